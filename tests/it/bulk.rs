//! Bulk jobs: every run that a filter matches is acted on once, through deaths of servers; rate, cancel, channels, bad input.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::forks::{page_of, press};
use crate::harness::{Http, Server, TestDb, agent, calls, eventually, says, script, tenure, tools, within};
use crate::invariants;

/// Runs of agent `a` that wait for a tool.
pub async fn waiting(http: &Http, many: usize) -> Vec<String> {
    let stepper = agent("a", &script(&[calls(["step"]), says("done")]), tools(["step"]));
    http.post("/api/agent/deploy", &json!({ "agentConfig": stepper })).await.ok();
    let starts: Vec<_> = (0..many).map(|_| json!({ "agent": "a", "prompt": "Go." })).collect();
    let answer = http.post("/api/v1/starts", &json!({ "starts": starts })).await.ok();
    let results = answer["results"].as_array().unwrap().iter();
    results.map(|r| r["execution"].as_str().unwrap().to_owned()).collect()
}

pub async fn begin(http: &Http, action: &str, filter: &str, rate: u16) -> String {
    let wish =
        json!({ "action": action, "filter": filter, "rate": rate, "by": "mira", "reason": "a bad day" });
    http.post("/api/v1/bulk", &wish).await.ok()["id"].as_str().unwrap().to_owned()
}

async fn shown(http: &Http, id: &str) -> Value {
    http.get(&format!("/api/v1/bulk/{id}")).await.ok()
}

pub async fn ended(http: &Http, id: &str) -> Value {
    within(Duration::from_mins(1), "the job ends", async || {
        let job = shown(http, id).await;
        (job["state"] != "running").then_some(job)
    })
    .await
}

async fn came_to(http: &Http, id: &str, many: i64) -> Value {
    eventually(&format!("it came to {many}"), async || {
        let job = shown(http, id).await;
        (job["matched"].as_i64() >= Some(many)).then_some(job)
    })
    .await
}

async fn count(db: &Client, sql: &str) -> i64 {
    db.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn every_run_is_acted_on_once_also_when_the_server_dies_in_between() {
    let database = TestDb::new().await;
    let (mut one, mut two) = tokio::join!(Server::start(&database), Server::start(&database));
    let ids = waiting(&one, 80).await;
    let db = database.connect().await;
    let cancel = begin(&one, "cancel", "agent:a is:live", 1000).await;
    let job = ended(&one, &cancel).await;
    assert_eq!(
        (&job["state"], &job["expected"], &job["done"]),
        (&json!("done"), &json!(80), &json!(80)),
        "{job}"
    );
    let by = "select count(*) from tenure.events where kind = 'terminated' and data ->> 'by' like 'mira (bulk job %' and data ->> 'reason' = 'a bad day'";
    assert_eq!(count(&db, by).await, 80, "each run says who and why");

    let retry = begin(&one, "retry", "agent:a status:terminated", 40).await;
    let job = came_to(&one, &retry, 8).await;
    let server = job["server"].as_str().unwrap().to_owned();
    let has_it = |server: &str, of: &Server| server.contains(&format!(":{}:", of.process().pid()));
    let left = if has_it(&server, &one) {
        one.kill();
        two
    } else {
        two.kill();
        one
    };
    let job = ended(&left, &retry).await;
    assert_eq!(
        (&job["state"], &job["matched"], &job["done"], &job["note"]),
        (&json!("done"), &json!(80), &json!(80), &Value::Null),
        "{job}"
    );
    assert_ne!(job["server"], json!(server), "another one went on");
    let each = "select count(*) from (select forked_from from tenure.executions where forked_as = 'retry' group by 1 having count(*) = 1) f";
    assert_eq!(count(&db, each).await, 80, "one retry of each");
    assert_eq!(count(&db, "select count(*) from tenure.executions").await, 160);

    // What is so already is skipped, and says why.
    let again = ended(&left, &begin(&left, "cancel", "status:terminated", 1000).await).await;
    assert_eq!((&again["skipped"], &again["done"]), (&json!(80), &json!(0)), "{again}");
    assert!(again["note"].as_str().unwrap().contains("terminated"), "{again}");
    // What a job makes is never part of it.
    let restart = ended(&left, &begin(&left, "restart", "agent:a", 1000).await).await;
    assert_eq!((&restart["matched"], &restart["done"]), (&json!(160), &json!(160)), "{restart}");
    assert_eq!(count(&db, "select count(*) from tenure.executions").await, 320);
    invariants::hold(&db, &ids).await;
}

#[tokio::test]
async fn a_job_keeps_to_its_rate_goes_on_elsewhere_after_a_drain_and_can_be_cancelled() {
    let database = TestDb::new().await;
    let mut server = Server::start(&database).await;
    waiting(&server, 60).await;
    let job = begin(&server, "pause", "agent:a", 10).await;
    came_to(&server, &job, 5).await;
    server.process().signal(crate::harness::Signal::TERM);
    server.ended().await;
    let db = database.connect().await;
    let why = "select why from tenure.bulk_job";
    let why: String = db.query_one(why, &[]).await.unwrap().get(0);
    assert_eq!(why, "waits for a server that takes it on");
    let server = Server::start(&database).await;
    let before = shown(&server, &job).await["matched"].as_i64().unwrap();
    came_to(&server, &job, before + 3).await;
    let cancelled = server.post(&format!("/api/v1/bulk/{job}/cancel?by=mira"), &json!({})).await.ok();
    assert_eq!((&cancelled["state"], &cancelled["endedBy"]), (&json!("cancelled"), &json!("mira")));
    let again = server.post(&format!("/api/v1/bulk/{job}/cancel"), &json!({})).await.ok();
    assert_eq!((&again["changed"], &again["endedBy"]), (&json!(false), &json!("mira")));
    let paused = "select count(*) from tenure.executions where status = 'paused'";
    let job = eventually("what was under way is counted", async || {
        let job = shown(&server, &job).await;
        (job["done"].as_i64() == Some(count(&db, paused).await)).then_some(job)
    })
    .await;
    assert!(job["matched"].as_i64() < Some(60), "{job}");
    let took = "select extract(epoch from updated_at - created_at)::float8 * rate + 10 >= matched from tenure.bulk_jobs";
    assert!(db.query_one(took, &[]).await.unwrap().get::<_, bool>(0), "faster than its rate");
}

#[tokio::test]
async fn a_job_that_is_taken_on_twice_counts_each_run_once_and_outlives_its_server() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    waiting(&server, 60).await;
    let db = database.connect().await;
    let job = begin(&server, "pause", "agent:a", 20).await;
    came_to(&server, &job, 5).await;
    // As after a while without the database: the server takes its own job on again, each time that it looks.
    let over = "update tenure.bulk_jobs set lease_until = now() - interval '1 s' where state = 'running'";
    while db.execute(over, &[]).await.unwrap() > 0 {}
    let job = ended(&server, &job).await;
    assert_eq!(
        (&job["matched"], &job["done"], &job["skipped"]),
        (&json!(60), &json!(60), &json!(0)),
        "{job}"
    );
    drop(server);
    db.batch_execute("update tenure.workers set seen_at = now() - interval '2 days'").await.unwrap();
    db.batch_execute(include_str!("../../sql/workers/forget.sql")).await.unwrap();
    let kept = "select count(*) from tenure.bulk_job where state = 'done' and server is null";
    assert_eq!(count(&db, kept).await, 1, "the job outlives who did it");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_says_what_would() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    waiting(&server, 3).await;
    for (wish, word) in [
        (json!({ "action": "retry", "filter": "" }), "every run that there is"),
        (json!({ "action": "retry", "filter": "stauts:failed" }), "stauts"),
        (
            json!({ "action": "remove", "filter": "agent:a" }),
            "pause, resume, stop, cancel, retry, restart, delete",
        ),
        (json!({ "action": "retry", "filter": "agent:a", "keep": "30d" }), "action delete"),
        (json!({ "action": "delete", "filter": "agent:a", "keep": "soon" }), "write 30d"),
        (json!({ "action": "delete", "filter": "agent:a", "export": true }), "--export-dir"),
        (json!({ "action": "retry", "filter": "agent:a", "rate": 0 }), "1 to 1000"),
        (json!({ "action": "retry", "filter": "agent:a", "rate": 1001 }), "1 to 1000"),
        (json!({ "action": "retry", "filter": "agent:a", "rata": 1 }), "unknown field"),
        (json!({ "action": "retry" }), "filter"),
    ] {
        let answer = server.post("/api/v1/bulk", &wish).await;
        assert!(answer.status == 400 && answer.text.contains(word), "{wish}: {}", answer.text);
    }
    let counted = json!({ "action": "pause", "filter": "agent:a", "dryRun": true });
    let counted = server.post("/api/v1/bulk", &counted).await.ok();
    assert_eq!((&counted["expected"], &counted["hasMore"]), (&json!(3), &json!(false)));
    assert_eq!(server.get("/api/v1/bulk").await.ok()["jobs"], json!([]), "counting begins nothing");
    let once = json!({ "action": "pause", "filter": "agent:a", "idempotencyKey": "once" });
    let begin = || server.post("/api/v1/bulk", &once);
    let (first, second) = tokio::join!(begin(), begin());
    assert_eq!(first.ok()["id"], second.ok()["id"], "one key, one job");
    for id in ["x", "0199f0aa-0000-7000-8000-000000000001"] {
        assert_eq!(server.get(&format!("/api/v1/bulk/{id}")).await.status, 404);
        assert_eq!(server.post(&format!("/api/v1/bulk/{id}/cancel"), &json!({})).await.status, 404);
    }
}

#[tokio::test]
async fn the_command_line_and_the_page_begin_jobs_too() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    waiting(&server, 4).await;
    let run = |arguments: &[&str]| {
        let all = [&["bulk"], arguments, &["--server", server.base()]].concat();
        String::from_utf8(tenure(&all).output().unwrap().stdout).unwrap()
    };
    assert!(run(&["start", "pause", "agent:a", "is:live", "--dry-run"]).contains("4 runs match"));
    let said = run(&["start", "pause", "agent:a", "is:live", "--reason", "lunch", "--json"]);
    let id = serde_json::from_str::<Value>(&said).unwrap()["id"].as_str().unwrap().to_owned();
    ended(&server, &id).await;
    let said = run(&["show", &id]);
    assert!(said.contains("4 of 4 done, 0 skipped") && said.contains("lunch"), "{said}");
    assert!(run(&["list"]).contains("agent:a is:live"));
    assert!(run(&["cancel", &id]).contains("done: all that matched were seen to"));

    let (list, _) = page_of(&server, "/executions?q=status%3Apaused").await;
    assert!(list.contains("href=\"/bulk/new?q=status%3Apaused\""), "{list}");
    let (form, _) = page_of(&server, "/bulk/new?q=status%3Apaused").await;
    assert!(form.contains("<h1>4 runs match</h1>"), "{form}");
    let typed = [("q", "status:paused"), ("action", "resume"), ("reason", "<b>back</b>"), ("rate", "50")];
    let (status, location) = press(&server, "/bulk/new?q=status%3Apaused", "/bulk", &typed).await;
    assert_eq!(status, 303);
    let job = ended(&server, location.strip_prefix("/bulk/").unwrap()).await;
    assert_eq!((&job["done"], &job["action"]), (&json!(4), &json!("resume")));
    let (page, _) = page_of(&server, &location).await;
    assert!(page.contains("All that matched were seen to") && page.contains("&#60;b&#62;back"), "{page}");
    let (all, _) = page_of(&server, "/bulk").await;
    assert!(all.contains(&format!("href=\"{location}\"")), "{all}");
    let typed = [("q", "stauts:x"), ("action", "resume"), ("reason", ""), ("rate", "50")];
    let (status, _) = press(&server, "/bulk/new?q=status%3Apaused", "/bulk", &typed).await;
    assert_eq!(status, 422);
    assert_eq!(server.get("/bulk.json").await.ok()["jobs"].as_array().unwrap().len(), 2);
}
