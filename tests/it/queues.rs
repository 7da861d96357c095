//! Queues: pausing and resuming them, how they are served, and the page that shows it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::harness::{
    Answer, Http, Server, Signal, TestDb, agent, calls, eventually, says, script, tenure, tools, within,
};

async fn pause(http: &Http, queue: &str, reason: &str) -> Value {
    let wish = json!({ "reason": reason, "by": "mira" });
    http.post(&format!("/api/queues/{queue}/pause"), &wish).await.ok()
}

async fn resume(http: &Http, queue: &str) -> Value {
    http.post(&format!("/api/queues/{queue}/resume"), &json!({ "by": "mira" })).await.ok()
}

/// A run whose model calls a tool so many times at once, and then ends.
async fn run_that_calls<const N: usize>(http: &Http, names: [&str; N]) -> String {
    let model = script(&[calls(names), says("done")]);
    http.start_run(&agent("a", &model, tools([names[0]])), "Go.").await
}

/// Wait until a run waits for this reason; its text.
async fn waits_for(http: &Http, id: &str, code: &str) -> String {
    eventually(&format!("{id} waits: {code}"), async || {
        http.why(id).await.into_iter().find(|reason| reason.0 == code).map(|reason| reason.1)
    })
    .await
}

/// A page as a browser gets it.
async fn page(http: &Http, path: &str) -> Answer {
    Http::send(http.request("GET", path).header("accept", "text/html")).await
}

/// One number that a statement gives.
async fn number(db: &Client, sql: &str) -> i64 {
    db.query_one(sql, &[]).await.unwrap().get(0)
}

/// The row of a queue in the JSON of the page.
async fn row(http: &Http, queue: &str) -> Value {
    let page = http.get("/queues.json").await.ok();
    let found = page["queues"].as_array().unwrap().iter().find(|row| row["queue"] == queue);
    found.unwrap_or_else(|| panic!("no {queue} in {page}")).clone()
}

#[tokio::test]
async fn a_paused_queue_hands_out_nothing_until_it_is_resumed() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let id = run_that_calls(&server, ["held", "held", "held"]).await;
    let leased = server.take("held").await;
    let paused = pause(&server, "held", "the provider is down").await;
    assert_eq!((&paused["changed"], &paused["paused"]["by"]), (&json!(true), &json!("mira at 127.0.0.1")));

    assert!(server.poll("held", 10).await.is_empty(), "a batch poll got something");
    let single = server.get("/api/tasks/poll/held?workerid=w&timeout=50").await;
    assert_eq!((single.status, &*single.text), (204, ""), "a poll got something");
    let next = server.report_for_next(&leased, "COMPLETED", &json!({ "outputData": {} })).await;
    assert_eq!((next.status, &*next.text), (204, ""), "what was leased ends, and nothing follows it");

    let why = waits_for(&server, &id, "queue_paused").await;
    assert!(why.starts_with("queue 'held' is paused by mira at 127.0.0.1 since 2"), "{why}");
    assert!(why.ends_with(" UTC: the provider is down"), "{why}");
    let again = pause(&server, "held", "another reason").await;
    assert_eq!((&again["changed"], &again["paused"]), (&json!(false), &paused["paused"]));

    resume(&server, "held").await;
    for _ in 0..2 {
        let task = server.take("held").await;
        server.complete(&task, &json!({})).await;
    }
    server.until(&id, "COMPLETED").await;
}

#[tokio::test]
async fn resuming_wakes_a_waiting_poll_at_once_also_on_another_server() {
    let database = TestDb::new().await;
    let (server, other) = tokio::join!(Server::start(&database), Server::start(&database));
    let id = run_that_calls(&server, ["held"]).await;
    waits_for(&server, &id, "no_worker").await;
    pause(&server, "held", "").await;
    let poll = other.request("GET", "/api/tasks/poll/batch/held?workerid=w&count=5&timeout=5000");
    let poll = tokio::spawn(Http::send(poll));
    eventually("the poll waits", async || {
        let data = other.get("/api/tasks/queue/polldata?taskType=held").await.ok();
        data.as_array().is_some_and(|polls| !polls.is_empty()).then_some(())
    })
    .await;
    // Long enough for several looks of the server at its queues.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert!(!poll.is_finished(), "the poll was answered while the queue was paused");
    let began = Instant::now();
    resume(&server, "held").await;
    let tasks = poll.await.unwrap().ok();
    assert_eq!(tasks.as_array().unwrap().len(), 1);
    assert!(began.elapsed() < Duration::from_millis(700), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn paused_model_calls_wait_on_every_way_to_a_server() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let db = database.connect().await;
    let ahead = run_that_calls(&server, ["step"]).await;
    let task = server.take("step").await;
    pause(&server, "tenure.model", "too dear").await;
    // A start would hand its first call to this server, and a result the next one.
    let fresh = run_that_calls(&server, ["step"]).await;
    server.complete(&task, &json!({})).await;
    for id in [&ahead, &fresh] {
        let why = waits_for(&server, id, "queue_paused").await;
        assert!(why.contains("'tenure.model'") && why.ends_with(": too dear"), "{why}");
    }
    // A paused queue has no starved work, and the server's own look each second takes nothing.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let leased = "select count(*) from tenure.queue where worker_id is not null";
    assert_eq!(number(&db, leased).await, 0);
    resume(&server, "tenure.model").await;
    server.until(&ahead, "COMPLETED").await;
    let task = server.take("step").await;
    server.complete(&task, &json!({})).await;
    server.until(&fresh, "COMPLETED").await;
}

#[tokio::test]
async fn every_pause_and_resume_is_on_a_record_that_nobody_changes() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let db = database.connect().await;
    server.poll("kept", 1).await;
    pause(&server, "kept", "first").await;
    pause(&server, "kept", "second").await;
    resume(&server, "kept").await;
    resume(&server, "kept").await;
    let rows =
        db.query("select change, by, reason from tenure.queue_changes order by id", &[]).await.unwrap();
    let rows: Vec<(String, String, Option<String>)> =
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect();
    let by = "mira at 127.0.0.1";
    let record =
        |change: &str, reason: Option<&str>| (change.to_owned(), by.to_owned(), reason.map(str::to_owned));
    assert_eq!(rows, [record("paused", Some("first")), record("resumed", None)]);
    for change in ["update tenure.queue_changes set by = 'x'", "delete from tenure.queue_changes"] {
        let error = db.batch_execute(change).await.expect_err(change);
        assert!(error.as_db_error().unwrap().message().contains("only ever added to"), "{error:?}");
    }
    let unknown = server.post("/api/queues/nobody%2Fknows/pause", &json!({})).await.refused(404);
    assert!(unknown.contains("nobody/knows") && unknown.contains("worker"), "{unknown}");
}

#[tokio::test]
async fn the_command_line_lists_pauses_and_resumes_queues() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    server.poll("steered", 1).await;
    let run = async |args: &[&str]| {
        let mut command = tenure(args);
        command.env("TENURE_SERVER_URL", server.base()).env("USER", "mira");
        let output = tokio::process::Command::from(command).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), text.into_owned())
    };
    let (code, said) = run(&["queue", "pause", "steered", "--reason", "maintenance"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("paused by mira at 127.0.0.1") && said.contains(": maintenance"), "{said}");
    let (_, said) = run(&["queue", "list"]).await;
    assert!(
        said.lines().any(|l| l.starts_with("steered") && l.contains("paused") && l.contains("maintenance")),
        "{said}"
    );
    let (code, said) = run(&["queue", "resume", "steered"]).await;
    assert_eq!((code, said.trim()), (0, "steered  resumed"));
    let (code, said) = run(&["queue", "pause", "nobody"]).await;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("tenure queue list"), "{said}");
}

#[tokio::test]
async fn a_page_shows_queues_and_pauses_them_by_a_form() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let empty = page(&server, "/queues").await;
    assert!(empty.text.contains("No queues yet") || empty.text.contains("tenure.model"), "{}", empty.text);
    let id = run_that_calls(&server, ["warehouse", "warehouse"]).await;
    waits_for(&server, &id, "no_worker").await;
    let shown = page(&server, "/queues?queue=warehouse").await;
    for part in [
        "2 steps wait for workers that do not exist.",
        "tenure worker --queue warehouse --server",
        "Starved",
        "no worker has ever asked for it",
        "Ready steps on <span class=\"mono\">warehouse</span>",
        "<svg class=\"spark\"",
        "Postgres round trip",
        "tenure.queue_history(&#39;warehouse&#39;, &#39;&#39;, &#39;1 hour&#39;)",
    ] {
        assert!(shown.text.contains(part), "no {part:?} in {}", shown.text);
    }
    assert!(!shown.text.contains(" style="), "the policy forbids that");

    let rows = shown.text.split("id=\"queue-").skip(1);
    let row_of_it = rows.map(str::to_owned).find(|r| r.contains(">warehouse</a>")).unwrap();
    let queue_id = row_of_it.split('"').next().unwrap().to_owned();
    let action = format!("/queues/{queue_id}/pause");
    assert!(row_of_it.contains(&format!("action=\"{action}\"")), "{row_of_it}");
    let token = "a".repeat(64);
    let form = async |path: &str, fields: &[(&str, &str)]| {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let request = client
            .post(format!("{}{path}", server.base()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(serde_urlencoded::to_string(fields).unwrap());
        let answer = request.header("cookie", format!("tenure_form={token}")).send().await.unwrap();
        let location = answer.headers().get("location").map(|l| l.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location.unwrap_or_default())
    };
    let name = row(&server, "warehouse").await;
    assert_eq!((&name["state"], &name["ready"]), (&json!("starved"), &json!(2)));
    assert_eq!(form(&action, &[("reason", "x")]).await.0, 403, "without the page's token");
    let fields = [("token", token.as_str()), ("reason", "stock count"), ("back", "/queues?span=7d")];
    assert_eq!(form(&action, &fields).await, (303, "/queues?span=7d".to_owned()));
    let elsewhere = [("token", token.as_str()), ("back", "https://evil.example/")];
    assert_eq!(form(&action, &elsewhere).await, (303, "/queues".to_owned()), "a second click");
    let shown = page(&server, "/queues").await;
    assert!(shown.text.contains("by a person at 127.0.0.1 since") && shown.text.contains("“stock count”"));
    assert!(!shown.text.contains("workers that do not exist"), "paused work is not starving");
    let action = action.replace("pause", "resume");
    assert_eq!(form(&action, &[("token", &token)]).await.0, 303);
    assert_eq!(row(&server, "warehouse").await["state"], "starved");
    for (path, status) in [
        ("/queues/999999/pause", 404),
        ("/queues/x/pause", 404),
        (&*format!("/queues/{queue_id}/delete"), 404),
    ] {
        assert_eq!(form(path, &[("token", &token)]).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn the_page_has_every_format_and_refuses_what_it_does_not_know() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let id = run_that_calls(&server, ["lookup"]).await;
    waits_for(&server, &id, "no_worker").await;
    let csv = server.get("/queues.csv").await;
    assert!(csv.content_type.starts_with("text/csv") && csv.text.starts_with("queue,domain,state,ready,"));
    assert!(csv.text.lines().any(|l| l.starts_with("lookup,,starved,1,")), "{}", csv.text);
    let text = server.get("/queues.txt?span=24h").await;
    for part in ["QUEUES", "lookup", "WORKERS", "HISTORY", "24 hours"] {
        assert!(text.text.contains(part), "no {part} in {}", text.text);
    }
    for (path, status, says) in [
        ("/queues?queue=nobody", 404, "nobody"),
        ("/queues?span=1y", 400, "24h"),
        ("/queues?queue=%00", 404, "queue"),
        ("/queues?queue=lookup&domain=x", 404, "lookup"),
        ("/queues?span=7d&queue=lookup", 200, "lookup"),
    ] {
        let shown = page(&server, path).await;
        assert_eq!(shown.status, status, "{path}");
        assert!(shown.text.contains(says) && shown.text.contains("</html>"), "{path}: {}", shown.text);
        let live = Http::try_send(
            server.request("GET", path).header("accept", "text/event-stream").timeout(Duration::from_secs(1)),
        )
        .await;
        assert!(live.is_err() == (status == 200), "{path}: a stream that begins does not end by itself");
    }
}

#[tokio::test]
async fn an_open_page_follows_the_queues() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let id = run_that_calls(&server, ["lookup"]).await;
    waits_for(&server, &id, "no_worker").await;
    let mut stream =
        server.request("GET", "/queues").header("accept", "text/event-stream").send().await.unwrap();
    let mut seen = String::new();
    let mut until = async |text: &str| {
        let read = async {
            while !seen.contains(text) {
                let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
                seen += &String::from_utf8_lossy(&chunk);
            }
        };
        tokio::time::timeout(Duration::from_secs(15), read).await.unwrap_or_else(|_| panic!("no {text}"));
    };
    until("1 step waits for a worker that does not exist").await;
    pause(&server, "lookup", "seen live").await;
    until("“seen live”").await;
}

/// What a page prints for psql, as it would be typed.
fn printed(html: &str) -> Vec<String> {
    let blocks = html.split("data-statement>").skip(1).map(|rest| rest.split("</pre>").next().unwrap());
    let plain = |text: &str| {
        text.replace("&#39;", "'")
            .replace("&quot;", "\"")
            .replace("&#34;", "\"")
            .replace("&lt;", "<")
            .replace("&#60;", "<")
            .replace("&gt;", ">")
            .replace("&#62;", ">")
            .replace("&amp;", "&")
            .replace("&#38;", "&")
    };
    blocks.map(plain).collect()
}

#[tokio::test]
async fn what_the_page_prints_for_psql_gives_what_the_page_shows() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let db = database.connect().await;
    let name = "it's \"<b>odd</b>\" & more";
    let encoded = "it%27s%20%22%3Cb%3Eodd%3C%2Fb%3E%22%20%26%20more";
    server.get(&format!("/api/tasks/poll/batch/{encoded}?workerid=w&timeout=10")).await.ok();
    let id = run_that_calls(&server, ["lookup", "lookup"]).await;
    waits_for(&server, &id, "no_worker").await;
    pause(&server, "lookup", "compare").await;
    let path = format!("/queues?queue={encoded}");
    let statements = printed(&page(&server, &path).await.text);
    assert_eq!(statements.len(), 5, "{statements:?}");
    // What is counted in between is in the one and not in the other: then both are asked again.
    let (page, results) = eventually("nothing changes in between", async || {
        let before = server.get(&format!("/queues.json?queue={encoded}")).await.ok();
        let mut results = vec![];
        for statement in &statements {
            let statement = statement.trim_end_matches(';');
            let sql = format!("select coalesce(json_agg(r), '[]')::text from ({statement}) r");
            let rows = db.query_one(&sql, &[]).await.unwrap_or_else(|e| panic!("{e:?}: {statement}"));
            results.push(serde_json::from_str::<Value>(rows.get(0)).unwrap());
        }
        let after = server.get(&format!("/queues.json?queue={encoded}")).await.ok();
        (before["queues"] == after["queues"] && before["history"] == after["history"])
            .then_some((after, results))
    })
    .await;
    let pick = |rows: &Value, keys: &[&str]| -> Vec<Vec<Value>> {
        rows.as_array().unwrap().iter().map(|row| keys.iter().map(|k| row[k].clone()).collect()).collect()
    };
    let queues = [
        "queue",
        "domain",
        "state",
        "ready",
        "leased",
        "deferred",
        "live_workers",
        "paused_by",
        "pause_reason",
        "started",
        "failed",
    ];
    let in_page = pick(&page["queues"], &queues);
    assert!(in_page.len() >= 3 && in_page.iter().any(|row| row[0] == name), "{page}");
    assert_eq!(in_page, pick(&results[0], &queues));
    let workers = ["worker", "kind", "state", "queue_count", "leased", "lost_attempts"];
    assert_eq!(pick(&page["workers"], &workers), pick(&results[1], &workers));
    let history = ["ready", "started", "failed"];
    assert_eq!(page["history"].as_array().unwrap().len(), 60);
    assert_eq!(pick(&page["history"], &history), pick(&results[2], &history));
    assert_eq!(page["postgres"], results[3][0]["version"]);
    assert_eq!((&results[4][0]["change"], &results[4][0]["reason"]), (&json!("paused"), &json!("compare")));
}

#[tokio::test]
async fn hostile_names_and_reasons_stay_text() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let hostile = "<script>alert(1)</script>\"'<img src=x onerror=alert(1)>";
    let encoded = hostile.bytes().map(|b| format!("%{b:02X}")).collect::<Vec<_>>().concat();
    let poll = format!("/api/tasks/poll/batch/{encoded}?workerid={encoded}&domain={encoded}&timeout=10");
    server.get(&poll).await.ok();
    let wish = json!({ "domain": hostile, "reason": format!("{hostile}\u{0}\u{1b}[31m"), "by": hostile });
    server.post(&format!("/api/queues/{encoded}/pause"), &wish).await.ok();
    for path in [
        "/queues".to_owned(),
        format!("/queues?queue={encoded}&domain={encoded}"),
        format!("/queues?queue={encoded}"),
    ] {
        let shown = page(&server, &path).await;
        assert!(shown.text.contains("alert(1)"), "{path}");
        assert!(
            !shown.text.contains("<script>alert") && !shown.text.contains("<img"),
            "{path}: {}",
            shown.text
        );
    }
    let text = server.get("/queues.txt").await;
    assert!(!text.text.contains('\u{1b}'), "a terminal would obey it");
    assert!(
        server.get("/queues.json").await.ok()["queues"]
            .as_array()
            .unwrap()
            .iter()
            .any(|q| q["queue"] == hostile)
    );
}

#[tokio::test]
async fn what_was_handed_out_and_failed_is_counted_with_its_wait() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let db = database.connect().await;
    server.register("counted", &json!({ "retryCount": 0 })).await;
    let id = run_that_calls(&server, ["counted", "counted", "counted", "counted"]).await;
    waits_for(&server, &id, "no_worker").await;
    let waited = "select count(*) from tenure.queue q join tenure.queues n on n.id = q.queue_id \
                  where n.name = 'counted' and q.run_at < now() - interval '600 ms'";
    eventually("all have waited", async || (number(&db, waited).await == 4).then_some(())).await;
    let tasks = server.poll("counted", 10).await;
    assert_eq!(tasks.len(), 4);
    server.report(&tasks[0], "FAILED", &json!({ "reasonForIncompletion": "no" })).await;
    for task in &tasks[1..] {
        server.complete(task, &json!({})).await;
    }
    server.until(&id, "COMPLETED").await;
    let counted = eventually("it is counted", async || {
        let row = row(&server, "counted").await;
        (row["started"] == 4 && row["failed"] == 1).then_some(row)
    })
    .await;
    assert_eq!(counted["failed_share"], 0.25);
    for key in ["wait_p50_secs", "wait_p95_secs"] {
        let secs = counted[key].as_f64().unwrap();
        assert!((0.512..=8.192).contains(&secs), "{key}: {secs}");
    }
    // Two model calls, both handed over at once.
    let model = row(&server, "tenure.model").await;
    assert_eq!((&model["started"], &model["failed"]), (&json!(2), &json!(0)));
    assert!(model["wait_p95_secs"].as_f64().unwrap() < 0.5, "{model}");
    for span in ["24h", "7d"] {
        let page = server.get(&format!("/queues.json?span={span}&queue=counted")).await.ok();
        let started: i64 =
            page["history"].as_array().unwrap().iter().map(|p| p["started"].as_i64().unwrap()).sum();
        assert_eq!(started, 4, "{span}");
    }
}

#[tokio::test]
async fn percentiles_are_read_from_the_right_bucket() {
    let database = TestDb::new().await;
    let db = database.connect().await;
    let quantile = async |waits: &str, share: f64| -> Option<f64> {
        let sql = format!("select tenure.wait_quantile('{waits}'::bigint[], {share})");
        db.query_one(&sql, &[]).await.unwrap().get(0)
    };
    assert_eq!(quantile("{}", 0.5).await, None);
    assert_eq!(quantile("{0,0}", 0.5).await, None);
    assert_eq!(quantile("{10}", 0.5).await, Some(0.0005));
    // 95 waits below 1 ms, five from 512 to 1024 ms.
    assert_eq!(quantile("{95,0,0,0,0,0,0,0,0,0,5}", 0.95).await, Some(0.001));
    let p96 = quantile("{95,0,0,0,0,0,0,0,0,0,5}", 0.96).await.unwrap();
    assert!(p96 > 0.512 && p96 < 1.024, "{p96}");
    let sum: Vec<i32> =
        db.query_one("select tenure.add_waits('{1,2}', '{0,1,5}')", &[]).await.unwrap().get(0);
    assert_eq!(sum, [1, 3, 5]);
}

#[tokio::test]
async fn old_statistics_are_forgotten() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let db = database.connect().await;
    db.batch_execute(
        "insert into tenure.queue_stats (minutes, since, queue_id, server)
         select m, now() - a, 1, 1 from unnest(array[1, 15, 120]) m, unnest(array[interval '2 days', interval '9 days']) a",
    )
    .await
    .unwrap();
    eventually("what is too old is gone", async || {
        (number(&db, "select count(*) from tenure.queue_stats where server = 1 and queue_id = 1 and since < now() - interval '1 day'").await == 2)
            .then_some(())
    })
    .await;
    drop(server);
}

async fn worker_state(http: &Http, is_wanted: impl Fn(&Value) -> bool, state: &str) -> Value {
    within(Duration::from_secs(40), &format!("a worker is {state}"), async || {
        let page = http.get("/queues.json").await.ok();
        let found = page["workers"].as_array().unwrap().iter().find(|w| is_wanted(w) && w["state"] == state);
        found.cloned()
    })
    .await
}

#[tokio::test]
async fn a_worker_is_seen_at_work_and_its_loss_is_noted() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let id = run_that_calls(&server, ["fragile"]).await;
    let mut worker = server.worker("fragile", &["--lease-secs", "1"], "sleep 60");
    let is_it = |w: &Value| w["kind"] == "worker" && w["leased"] == 1;
    let live = worker_state(&server, is_it, "live").await;
    let name = live["worker"].clone();
    let shown = page(&server, "/queues").await;
    assert!(shown.text.contains(&format!("href=\"/execution/{id}\">a turn 1</a>")), "{}", shown.text);
    worker.kill();
    let lost = worker_state(&server, |w| w["worker"] == name, "lost").await;
    assert_eq!((&lost["leased"], &lost["lost_attempts"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_one_that_is_killed_is_lost() {
    let database = TestDb::new().await;
    let (server, mut leaving, mut doomed) =
        tokio::join!(Server::start(&database), Server::start(&database), Server::start(&database));
    let pid = |server: &Server| format!(":{}:", server.process().pid());
    let (left, died) = (pid(&leaving), pid(&doomed));
    let is_server = |w: &Value, pid: &str| w["worker"].as_str().unwrap().contains(pid);
    worker_state(&server, |w| is_server(w, &left), "live").await;
    leaving.process().signal(Signal::TERM);
    leaving.ended().await;
    doomed.kill();
    let stopped = worker_state(&server, |w| is_server(w, &left), "stopped").await;
    assert!(stopped["draining_since"].is_string(), "{stopped}");
    worker_state(&server, |w| is_server(w, &died), "lost").await;
}

#[tokio::test]
async fn a_server_that_finishes_its_model_calls_is_draining() {
    let database = TestDb::new().await;
    let (server, mut leaving) = tokio::join!(Server::start(&database), Server::start(&database));
    let slow = script(&[json!({ "text": "late", "delay_ms": 2500 })]);
    leaving.start_run(&agent("slow", &slow, tools([])), "Go.").await;
    let pid = format!(":{}:", leaving.process().pid());
    let is_it = |w: &Value| w["worker"].as_str().unwrap().contains(&pid);
    worker_state(&server, |w| is_it(w) && w["leased"] == 1, "live").await;
    leaving.process().signal(Signal::TERM);
    worker_state(&server, is_it, "draining").await;
    leaving.ended().await;
    worker_state(&server, is_it, "stopped").await;
}

/// A worker that asks to see a task again gives it up; while its run is paused, that hands it to nobody.
#[tokio::test]
async fn what_is_called_back_while_its_run_is_paused_waits_for_the_resume() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let model = script(&[calls(["fetch"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["fetch"])), "p").await;
    let task = server.take("fetch").await;
    let run = |verb: &str| format!("/api/agent/{id}/{verb}");
    assert_eq!(server.put(&run("pause"), &json!({})).await.status, 200);
    server.report(&task, "IN_PROGRESS", &json!({ "callbackAfterSeconds": 0 })).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(server.poll("fetch", 1).await, [] as [Value; 0], "nothing of a paused run is handed out");
    assert_eq!(server.put(&run("resume"), &json!({})).await.status, 200);
    let again = server.take("fetch").await;
    assert_eq!(again["taskId"], task["taskId"]);
    server.complete(&again, &json!({})).await;
    server.until(&id, "COMPLETED").await;
}

/// A request that a client repeats because it got no answer must not take the task from whoever has it by then.
#[tokio::test]
async fn a_repeated_call_back_takes_the_task_from_nobody() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let model = script(&[calls(["fetch"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["fetch"])), "p").await;
    let task = server.take("fetch").await;
    let later = json!({ "callbackAfterSeconds": 0 });
    server.report(&task, "IN_PROGRESS", &later).await;
    let path = "/api/tasks/poll/batch/fetch?workerid=another&count=1&timeout=2000";
    let taken = server.get(path).await.ok();
    assert_eq!(taken[0]["taskId"], task["taskId"]);
    server.report(&task, "IN_PROGRESS", &later).await;
    assert_eq!(server.poll("fetch", 1).await, [] as [Value; 0], "another worker has it");
    server.complete(&taken[0], &json!({})).await;
    server.until(&id, "COMPLETED").await;
}
