//! Retention: finished runs that are due go as a whole, nothing else does, and what was spent and what became of them stays
//! known.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::bulk::{begin, ended};
use crate::forks::{page_of, press};
use crate::harness::{Http, Server, TestDb, agent, calls, eventually, says, script, tenure, tools, within};
use crate::invariants;

/// Runs of agent `name` that have completed.
async fn completed(http: &Http, name: &str, many: usize) -> Vec<String> {
    let told = agent(name, &script(&[says("done")]), json!([]));
    http.post("/api/agent/deploy", &json!({ "agentConfig": told })).await.ok();
    let starts: Vec<_> = (0..many).map(|_| json!({ "agent": name, "prompt": "Go." })).collect();
    let answer = http.post("/api/v1/starts", &json!({ "starts": starts })).await.ok();
    let results = answer["results"].as_array().unwrap().iter();
    let ids: Vec<_> = results.map(|r| r["execution"].as_str().unwrap().to_owned()).collect();
    within(Duration::from_mins(1), "all are done", async || {
        let done = http.get(&format!("/api/agent/executions?agentName={name}&status=COMPLETED")).await.ok();
        (done["totalHits"].as_u64() == Some(many as u64)).then_some(())
    })
    .await;
    ids
}

async fn policy(http: &Http, name: &str, filter: &str, keep: &str) {
    let wish = json!({ "name": name, "filter": filter, "keep": keep, "by": "mira" });
    http.post("/api/v1/retention", &wish).await.ok();
}

async fn count(db: &Client, what: &str) -> i64 {
    db.query_one(&format!("select count(*) from tenure.{what}"), &[]).await.unwrap().get(0)
}

async fn policies(http: &Http) -> Vec<Value> {
    http.get("/api/v1/retention").await.ok()["policies"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_is_due_goes_as_a_whole_and_nothing_else() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let db = database.connect().await;
    completed(&server, "old", 30).await;
    let kept = completed(&server, "kept", 3).await;
    let gated =
        json!([{ "name": "drop", "description": "drop", "toolType": "worker", "approvalRequired": true }]);
    let asks = agent("asks", &script(&[calls(["drop"]), says("done")]), gated);
    let asked = server.start_run(&asks, "Drop.").await;
    let open = server.start_run(&asks, "Drop, too.").await;
    let deny = json!({ "approved": false, "reason": "no" });
    eventually("it asks", async || {
        (server.post(&format!("/api/agent/{asked}/respond"), &deny).await.status == 200).then_some(())
    })
    .await;
    server.until(&asked, "COMPLETED").await;
    let spent = server.get("/api/costs").await.ok();

    policy(&server, "later", "agent:old", "1h").await;
    policy(&server, "now", "agent:old,asks", "0s").await;
    let now = eventually("31 went", async || {
        let all = policies(&server).await;
        (all[1]["deleted"] == 31 && all[1]["job"].is_null()).then(|| all[1].clone())
    })
    .await;
    assert_eq!((&now["filter"], &now["setBy"]), (&json!("agent:old,asks"), &json!("mira")));
    assert_eq!(policies(&server).await[0]["deleted"], 0, "an hour has not gone by");
    assert_eq!(count(&db, "executions").await, 4);
    for table in ["events", "messages", "tasks", "results", "approvals", "approval_votes"] {
        let left = format!("{table} where execution_id not in (select id from tenure.executions)");
        assert_eq!(count(&db, &left).await, 0, "{table}");
    }
    assert_eq!(count(&db, "approvals").await, 1, "what nobody has decided is still asked");
    assert_eq!(server.get("/api/costs").await.ok(), spent, "what was spent stays known");
    let job = server.get("/api/v1/bulk").await.ok()["jobs"][0].clone();
    assert_eq!(
        (&job["action"], &job["policy"], &job["by"], &job["done"]),
        (&json!("delete"), &json!("now"), &json!("retention policy 'now'"), &json!(31)),
        "{job}"
    );
    assert!(job["note"].as_str().unwrap().contains("is running can't be deleted; cancel it first"), "{job}");

    // Whoever has its id is told what became of it.
    for path in [format!("/api/agent/{asked}/status"), format!("/api/v1/executions/{asked}/forks")] {
        let told = server.get(&path).await.refused(404);
        assert!(told.contains("was deleted at") && told.contains("by retention policy 'now'"), "{told}");
    }
    let again = server.post(&format!("/api/v1/executions/{asked}/restart"), &json!({})).await.refused(404);
    assert!(again.contains("was deleted at"), "{again}");
    let page =
        Http::send(server.request("GET", &format!("/execution/{asked}")).header("accept", "text/html")).await;
    assert!(page.status == 404 && page.text.contains("was deleted at"), "{}", page.text);
    invariants::hold(&db, &[kept, vec![open]].concat()).await;
}

#[tokio::test]
async fn a_deletion_goes_on_elsewhere_when_its_server_dies_and_counts_each_run_once() {
    let database = TestDb::new().await;
    let (mut one, mut two) = tokio::join!(Server::start(&database), Server::start(&database));
    completed(&one, "a", 80).await;
    let job = begin(&one, "delete", "agent:a", 40).await;
    let shown = eventually("it is under way", async || {
        let job = one.get(&format!("/api/v1/bulk/{job}")).await.ok();
        (job["done"].as_i64() >= Some(8)).then_some(job)
    })
    .await;
    let left = if shown["server"].as_str().unwrap().contains(&format!(":{}:", one.process().pid())) {
        one.kill();
        two
    } else {
        two.kill();
        one
    };
    let job = ended(&left, &job).await;
    assert_eq!(
        (&job["matched"], &job["done"], &job["note"]),
        (&json!(80), &json!(80), &Value::Null),
        "{job}"
    );
    let db = database.connect().await;
    assert_eq!((count(&db, "executions").await, count(&db, "deleted_runs").await), (0, 80));
    invariants::hold(&db, &[]).await;
}

#[tokio::test]
async fn runs_are_on_the_disk_before_they_go_and_can_be_read_back() {
    let database = TestDb::new().await;
    let files = tempfile::tempdir().unwrap();
    let place = files.path().to_owned();
    let server = Server::with(&database, move |command| {
        command.env("TENURE_EXPORT_DIR", &place);
    })
    .await;
    let db = database.connect().await;
    let model = script(&[calls(["look"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["look"])), "Look.").await;
    let task = server.take("look").await;
    server.complete(&task, &json!({ "found": "\u{fffd} \"it\"" })).await;
    server.until(&id, "COMPLETED").await;
    let tables = ["executions", "events", "messages", "tasks", "results"];
    let mut before = vec![];
    for table in tables {
        before.push(rows(&db, table).await);
    }
    let wish = json!({ "action": "delete", "filter": "agent:a", "export": true, "by": "mira" });
    let job = server.post("/api/v1/bulk", &wish).await.ok()["id"].as_str().unwrap().to_owned();
    assert_eq!(ended(&server, &job).await["done"], 1);
    assert_eq!(count(&db, "executions").await, 0);

    let told = server.get(&format!("/api/agent/{id}/status")).await.refused(404);
    let file = told.split("written to ").nth(1).unwrap().split(".jsonl").next().unwrap();
    let text = std::fs::read_to_string(files.path().join(format!("{file}.jsonl"))).unwrap();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let (table, row) = (line["table"].as_str().unwrap(), line["row"].to_string());
        let back = format!(
            "insert into tenure.{table} select * from json_populate_record(null::tenure.{table}, $1::text::json)"
        );
        db.execute(&back, &[&row]).await.unwrap();
    }
    db.batch_execute("delete from tenure.deleted_runs").await.unwrap();
    for (table, before) in tables.iter().zip(before) {
        assert_eq!(rows(&db, table).await, before, "{table}");
    }
    server.until(&id, "COMPLETED").await;
    invariants::hold(&db, &[id]).await;

    // What can't be written stays.
    let day = files.path().join(file).parent().unwrap().to_owned();
    std::fs::remove_dir_all(&day).unwrap();
    std::fs::write(&day, "in the way").unwrap();
    let job = server.post("/api/v1/bulk", &wish).await.ok()["id"].as_str().unwrap().to_owned();
    let job = ended(&server, &job).await;
    assert!(job["failed"] == 1 && job["note"].as_str().unwrap().contains("can't write"), "{job}");
    assert_eq!(count(&db, "executions").await, 1);
}

async fn rows(db: &Client, table: &str) -> Vec<String> {
    let all = format!("select row_to_json(t)::text from tenure.{table} t order by 1");
    db.query(&all, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_run_that_another_one_needs_stays_and_the_database_refuses_what_would_tear_one() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let db = database.connect().await;
    let model = script(&[calls(["look"]), calls(["look"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["look"])), "Look.").await;
    for _ in 0..2 {
        let task = server.take("look").await;
        server.complete(&task, &json!({})).await;
    }
    server.until(&id, "COMPLETED").await;
    let fork = server.post(&format!("/api/v1/executions/{id}/fork"), &json!({ "at": 3 })).await.ok();
    let fork = fork["executionId"].as_str().unwrap().to_owned();
    let job = ended(&server, &begin(&server, "delete", &format!("id:{id}"), 100).await).await;
    assert_eq!(job["skipped"], 1, "{job}");
    assert!(job["note"].as_str().unwrap().starts_with(&format!("{fork} goes on from it")), "{job}");
    let young = format!("select * from tenure.delete_runs('{{{id}}}', keep => '1 h')");
    assert_eq!(db.query(&young, &[]).await.unwrap().len(), 0, "it ended a moment ago");
    for torn in [
        "delete from tenure.executions where ended_at is null",
        "truncate tenure.approvals",
        "update tenure.retention_policies set keep = '-1 s'; insert into tenure.retention_policies values ('x', 'x', '-1 s')",
    ] {
        assert!(db.batch_execute(torn).await.is_err(), "{torn}");
    }
    let job = ended(&server, &begin(&server, "cancel", &format!("id:{fork}"), 100).await).await;
    assert_eq!(job["done"], 1);
    let job = ended(&server, &begin(&server, "delete", &format!("id:{id},{fork}"), 100).await).await;
    assert_eq!((&job["done"], &job["skipped"]), (&json!(2), &json!(0)), "{job}");
    invariants::hold(&db, &[]).await;
}

#[tokio::test]
async fn a_run_is_forked_or_deleted_but_never_half_of_each() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let ids = completed(&server, "a", 60).await;
    let db = database.connect().await;
    let delete = async {
        for some in ids.chunks(4) {
            let them = format!("select * from tenure.delete_runs('{{{}}}', 'mira')", some.join(","));
            db.query(&them, &[]).await.unwrap();
        }
    };
    let fork = async {
        let mut made = vec![];
        for id in &ids {
            let path = format!("/api/v1/executions/{id}/replay");
            let answer = server.post(&path, &json!({})).await;
            match answer.status {
                200 => made.push(answer.json()["executionId"].as_str().unwrap().to_owned()),
                404 => assert!(answer.text.contains("was deleted at"), "{}", answer.text),
                _ => panic!("{}", answer.text),
            }
        }
        made
    };
    let ((), made) = tokio::join!(delete, fork);
    for id in &made {
        server.until(id, "COMPLETED").await;
    }
    invariants::hold(&db, &made).await;

    // Also while the fork is being committed, which takes its time here.
    let model = script(&[calls(["look"]), calls(["look"]), says("done")]);
    let id = server.start_run(&agent("b", &model, tools(["look"])), "Look.").await;
    for _ in 0..2 {
        let task = server.take("look").await;
        server.complete(&task, &json!({})).await;
    }
    server.until(&id, "COMPLETED").await;
    db.batch_execute(
        "create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(0.5); return null; end $$;
         create trigger wait after insert on tenure.executions for each row execute function wait()",
    )
    .await
    .unwrap();
    let (path, body) = (format!("/api/v1/executions/{id}/fork"), json!({ "at": 3 }));
    let fork = server.post(&path, &body);
    tokio::pin!(fork);
    let under_way =
        "exists (select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database())";
    let them = format!(
        "select why from tenure.delete_runs(case when {under_way} then '{{{id}}}'::uuid[] end, 'mira')"
    );
    let fork = loop {
        tokio::select! {
            fork = &mut fork => break fork.ok(),
            rows = db.query(&them, &[]) => {
                let went = rows.unwrap().iter().any(|row| row.get::<_, Option<String>>(0).is_none());
                assert!(!went, "it went while a fork began");
            }
        }
    };
    invariants::hold(&db, &[id, fork["executionId"].as_str().unwrap().to_owned()]).await;
}

#[tokio::test]
async fn policies_are_set_and_removed_in_every_channel_and_nonsense_is_refused() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    completed(&server, "a", 2).await;
    let wish = |more: Value| {
        let mut wish = json!({ "name": "n", "filter": "agent:a", "keep": "30d" });
        for (key, value) in more.as_object().unwrap() {
            wish[key] = value.clone();
        }
        wish
    };
    for (more, word) in [
        (json!({ "name": " " }), "1 to 100 characters"),
        (json!({ "filter": "" }), "every run that there is"),
        (json!({ "filter": "stauts:failed" }), "stauts"),
        (json!({ "keep": "" }), "write 30d"),
        (json!({ "keep": "a month" }), "write 30d"),
        (json!({ "keep": "200000d" }), "a hundred years"),
        (json!({ "export": true }), "--export-dir"),
        (json!({ "days": 30 }), "unknown field"),
    ] {
        let answer = server.post("/api/v1/retention", &wish(more.clone())).await;
        assert!(answer.status == 400 && answer.text.contains(word), "{more}: {}", answer.text);
    }
    assert_eq!(server.delete("/api/v1/retention/none").await.status, 404);
    assert!(policies(&server).await.is_empty());

    let run = |arguments: &[&str]| {
        let all = [&["bulk", "retention"], arguments, &["--server", server.base()]].concat();
        String::from_utf8(tenure(&all).output().unwrap().stdout).unwrap()
    };
    assert!(run(&["list"]).contains("every run is kept"));
    let said = run(&["set", "tidy", "agent:a", "status:completed", "--keep", "90m", "--by", "mira"]);
    assert!(
        said.contains("agent:a status:completed") && said.contains("90m") && said.contains("mira"),
        "{said}"
    );
    let (page, _) = page_of(&server, "/bulk/retention?change=tidy").await;
    assert!(page.contains("value=\"90m\"") && page.contains("agent:a status:completed"), "{page}");
    let typed = [("name", "tidy"), ("filter", "agent:b"), ("keep", "0s")];
    let (status, location) = press(&server, "/bulk/retention", "/bulk/retention", &typed).await;
    assert_eq!((status, location.as_str()), (303, "/bulk/retention"));
    assert_eq!(policies(&server).await[0]["filter"], "agent:b");
    let typed = [("name", "tidy"), ("filter", "agent:b"), ("keep", "soon")];
    assert_eq!(press(&server, "/bulk/retention", "/bulk/retention", &typed).await.0, 422);
    assert_eq!(press(&server, "/bulk/retention", "/bulk/retention/remove", &[]).await.0, 303);
    assert!(policies(&server).await.is_empty());
    policy(&server, "tidy", "agent:b", "0s").await;
    assert!(run(&["remove", "tidy"]).contains("removed tidy"));
    assert_eq!(server.get("/bulk/retention.json").await.ok()["policies"], json!([]));
    assert_eq!(server.get("/api/agent/executions").await.ok()["totalHits"], 2, "nothing else went");
}
