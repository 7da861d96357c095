//! Kills at any moment: of workers, of servers, of Postgres. Real processes, real SIGKILL. Each story ends with the same
//! ids COMPLETED, no attempt performed twice, and every invariant intact.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::{
    harness::{
        Home, Http, Process, Server, Signal, TestDb, agent, calls, eventually, says, script, skip, tools,
        within,
    },
    invariants,
};

/// Three turns: two calls of `step` at once, one call, an answer. Every part takes a moment, so that kills hit it.
fn three_turns() -> Value {
    let slowly = |mut step: Value| {
        step["delay_ms"] = json!(40);
        step
    };
    let model = script(&[slowly(calls(["step", "step"])), slowly(calls(["step"])), slowly(says("done"))]);
    agent("stepper", &model, tools(["step"]))
}

/// What the tool does to the world: a line per performance, in a file that nobody else writes.
struct Effects(PathBuf);

impl Effects {
    fn beside(server: &Server) -> Self {
        Self(server.directory().join("effects"))
    }

    /// A worker whose program takes a moment before and after its effect.
    fn worker(&self, server: &Server) -> Process {
        let line = "$TENURE_EXECUTION_ID $TENURE_IDEMPOTENCY_KEY $TENURE_ATTEMPT_ID";
        let program = format!("sleep 0.05; echo \"{line}\" >> {}; sleep 0.05; echo '{{}}'", self.0.display());
        server.worker("step", &["--concurrency", "4", "--lease-secs", "1"], &program)
    }

    /// No attempt was performed twice, whatever completed was performed, and nothing was performed after it completed.
    async fn check(&self, db: &Client) {
        let mut seen: HashMap<String, u32> = HashMap::new();
        let mut keys: HashMap<String, String> = HashMap::new();
        for line in std::fs::read_to_string(&self.0).unwrap_or_default().lines() {
            let [_, key, attempt] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            *seen.entry(attempt.to_owned()).or_default() += 1;
            keys.insert(attempt.to_owned(), key.to_owned());
        }
        let rows = db
            .query(
                "select t.id::text, t.execution_id || ' ' || t.call_id, r.outcome
                   from tenure.tasks t left join tenure.results r on (r.execution_id, r.attempt_id) = (t.execution_id, t.id)
                  where t.kind = 'tool'",
                &[],
            )
            .await
            .unwrap();
        let mut call_of_key: HashMap<&str, String> = HashMap::new();
        for row in &rows {
            let (attempt, call, outcome): (String, String, Option<String>) =
                (row.get(0), row.get(1), row.get(2));
            let times = seen.remove(&attempt).unwrap_or(0);
            let completed = outcome.as_deref() == Some("completed");
            assert!(times <= 1, "attempt {attempt} was performed {times} times");
            assert!(!completed || times == 1, "attempt {attempt} is completed, but nothing was done");
            if let Some(key) = keys.get(&attempt) {
                let first = call_of_key.entry(key).or_insert_with(|| call.clone());
                assert_eq!(*first, call, "one key, two calls: {key}");
            }
        }
        assert!(seen.is_empty(), "performed, but never asked for: {seen:?}");
    }
}

/// Numbers that differ from run to run; a failure prints what they began with.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = uuid::Uuid::now_v7().as_u64_pair().1 | 1;
        println!("dice begin with {seed}");
        Self(seed)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.roll(to - from))
    }
}

/// A client that does not give up: starts runs through outages, each under a key of its own, and notes what it was told.
async fn start_all(http: Http, many: usize, agent: Value) -> Vec<String> {
    let mut ids = vec![];
    for n in 0..many {
        let request = json!({ "agentConfig": agent, "prompt": "Go.", "idempotencyKey": format!("key-{n}") });
        let id = eventually("a run is accepted", async || {
            let answer = http.try_post("/api/agent/start", &request).await.ok()?;
            assert!(matches!(answer.status, 200 | 503), "{}", answer.text);
            (answer.status == 200).then(|| answer.json()["executionId"].as_str().unwrap().to_owned())
        })
        .await;
        ids.push(id);
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    ids
}

#[tokio::test]
async fn runs_survive_kills_of_workers_and_servers_at_random_moments() {
    let database = TestDb::new().await;
    let mut server = Server::start(&database).await;
    let effects = Effects::beside(&server);
    let mut worker = effects.worker(&server);
    let (mut dice, db) = (Dice::new(), database.connect().await);
    let client = start_all((*server).clone(), 30, three_turns());
    let chaos = async {
        for _ in 0..14 {
            tokio::time::sleep(dice.millis(50, 500)).await;
            if dice.roll(2) == 0 {
                worker.kill();
                worker = effects.worker(&server);
            } else {
                server.kill();
                server.start_again();
            }
        }
        server.ready().await;
    };
    let (ids, ()) = tokio::join!(client, chaos);
    for id in &ids {
        let end = server.until(id, "COMPLETED").await;
        assert_eq!(end["output"]["result"], "done");
    }
    invariants::hold(&db, &ids).await;
    effects.check(&db).await;
    let runs: i64 = db.query_one("select count(*) from tenure.executions", &[]).await.unwrap().get(0);
    assert_eq!(runs, 30, "a start that was repeated under its key made no second run");
    let lost: i64 =
        db.query_one("select count(*) from tenure.results where outcome = 'lost'", &[]).await.unwrap().get(0);
    println!("{lost} attempts were lost");
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_its_call_is_replaced_by_the_next() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let began = server.directory().join("began");
    let program = format!("touch {}; sleep 60", began.display());
    let mut doomed = server.worker("step", &["--lease-secs", "1"], &program);
    let model = script(&[calls(["step"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    eventually("the call is in progress", async || began.exists().then_some(())).await;
    doomed.kill();

    let effects = Effects::beside(&server);
    let _worker = effects.worker(&server);
    server.until(&id, "COMPLETED").await;
    let db = database.connect().await;
    invariants::hold(&db, &[id]).await;
    let attempts = db
        .query("select attempt, status from tenure.task_status where kind = 'tool' order by attempt", &[])
        .await
        .unwrap();
    let attempts: Vec<(i32, String)> = attempts.iter().map(|r| (r.get(0), r.get(1))).collect();
    assert_eq!(attempts, [(1, "lost".to_owned()), (2, "completed".to_owned())]);
}

/// The session lock goes away with the connection that listens. Its server lives, and so do its model calls.
#[tokio::test]
async fn a_server_that_only_connects_again_keeps_its_model_calls() {
    let database = TestDb::new().await;
    let (one, _other) = tokio::join!(Server::start(&database), Server::start(&database));
    let model = script(&[json!({ "text": "done", "delay_ms": 5000 })]);
    let id = one.start_run(&agent("a", &model, tools([])), "Go.").await;
    let db = database.connect().await;
    for _ in 0..9 {
        let cut =
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and classid = 7238
                      and database = (select oid from pg_database where datname = current_database())";
        db.batch_execute(cut).await.unwrap();
        tokio::time::sleep(Duration::from_millis(450)).await;
    }
    one.until(&id, "COMPLETED").await;
    let attempts: i64 = db.query_one("select count(*) from tenure.tasks", &[]).await.unwrap().get(0);
    assert_eq!(attempts, 1, "the model was asked once");
    invariants::hold(&db, &[id]).await;
}

#[tokio::test]
async fn runs_survive_the_death_of_postgres_and_of_everything_at_once() {
    let home = Home::new();
    let mut server = Server::private(&home).await;
    let effects = Effects::beside(&server);
    let mut worker = effects.worker(&server);
    let client = start_all((*server).clone(), 16, three_turns());
    let mut dice = Dice::new();
    let chaos = async {
        for everything in [false, false, true] {
            tokio::time::sleep(dice.millis(200, 900)).await;
            let postmaster = eventually("Postgres runs", async || home.postmaster()).await;
            kill(postmaster);
            if everything {
                server.kill();
                worker.kill();
                server.start_again();
                worker = effects.worker(&server);
            }
            server.ready().await;
        }
    };
    let (ids, ()) = tokio::join!(client, chaos);
    for id in &ids {
        server.until(id, "COMPLETED").await;
    }
    let db = home.connect().await;
    invariants::hold(&db, &ids).await;
    effects.check(&db).await;
}

fn kill(pid: i32) {
    // Between two looks it may have died already.
    let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL);
}

#[tokio::test]
async fn another_server_takes_over_the_model_calls_of_a_killed_one_at_once() {
    let database = TestDb::new().await;
    let (mut doomed, heir) = tokio::join!(Server::start(&database), Server::start(&database));
    let model = script(&[json!({ "text": "thought about it", "delay_ms": 3000 })]);
    let thinker = agent("thinker", &model, tools([]));
    let mut ids = vec![];
    for _ in 0..8 {
        ids.push(doomed.start_run(&thinker, "Think.").await);
    }
    let db = database.connect().await;
    let leased = |attempt: i32| {
        let sql = "select count(*) from tenure.queue q join tenure.tasks t on t.id = q.attempt_id
                    where q.worker_id is not null and t.attempt = $1";
        let db = &db;
        async move {
            let count: i64 = db.query_one(sql, &[&attempt]).await.unwrap().get(0);
            (count == 8).then_some(())
        }
    };
    eventually("the first server thinks", async || leased(1).await).await;
    doomed.kill();
    let began = Instant::now();
    eventually("the other server thinks", async || leased(2).await).await;
    // At once, but for a Postgres that has just been started: then the dead get five seconds to come back.
    assert!(began.elapsed() < Duration::from_secs(8), "it took {:?}", began.elapsed());
    println!("taken over in {:?}", began.elapsed());
    for id in &ids {
        heir.until(id, "COMPLETED").await;
    }
    invariants::hold(&db, &ids).await;
}

#[tokio::test]
async fn what_a_worker_says_after_its_lease_was_lost_is_refused_and_noted() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    server.register("step", &json!({ "responseTimeoutSeconds": 1 })).await;
    let model = script(&[calls(["step"]), calls(["step"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    let late = server.take("step").await;
    let again = server.take("step").await;
    assert_ne!(late["taskId"], again["taskId"]);
    assert_eq!((&late["referenceTaskName"], &again["retryCount"]), (&again["referenceTaskName"], &json!(1)));

    // The protocol says nothing about it.
    server.report(&late, "COMPLETED", &json!({ "outputData": { "by": "the late one" } })).await;
    server.complete(&again, &json!({ "by": "the right one" })).await;
    server.report(&late, "FAILED", &json!({ "reasonForIncompletion": "still late" })).await;
    let second = server.take("step").await;
    server.complete(&second, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    server.report(&late, "COMPLETED", &json!({})).await;

    let events = server.events(&id).await;
    assert_eq!(events.iter().filter(|e| *e == "tool_returned").count(), 2, "{events:?}");
    assert!(events.iter().filter(|e| *e == "result_refused").count() >= 2, "{events:?}");
    let told = server.conversation(&id).await;
    assert!(told.iter().any(|(_, text)| text.contains("the right one")), "{told:?}");
    assert!(!told.iter().any(|(_, text)| text.contains("the late one")), "{told:?}");
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn a_result_of_a_call_that_was_given_up_because_its_worker_was_lost_does_not_count_as_accepted() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    server.register("step", &json!({ "responseTimeoutSeconds": 1 })).await;
    let model = script(&[calls(["step"]), calls(["other"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["step", "other"])), "Go.").await;
    let late = server.take("step").await;
    let db = database.connect().await;
    let often = "update tenure.tasks set losses = 10 where execution_id = $1::text::uuid and name = 'step'";
    assert_eq!(db.execute(often, &[&id]).await.unwrap(), 1);
    let other = server.take("other").await;
    let report = json!({ "execution": id, "attempt": late["taskId"], "output": { "by": "the late one" } });
    let said = json!({ "queue": "step", "worker": "tester", "reports": [report] });
    let answer = server.post("/api/v1/work", &said).await.ok();
    assert_eq!(answer["results"][0]["result"], "too_late");
    assert!(server.events(&id).await.contains(&"result_refused".to_owned()));
    server.complete(&other, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    let told = server.conversation(&id).await;
    assert!(!told.iter().any(|(_, text)| text.contains("the late one")), "{told:?}");
    invariants::hold(&db, &[id]).await;
}

#[tokio::test]
async fn a_frozen_worker_that_wakes_up_late_changes_nothing() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let effects = Effects::beside(&server);
    let frozen =
        server.worker("step", &["--lease-secs", "1"], "sleep 0.3; echo '{\"by\": \"the frozen one\"}'");
    let model = script(&[calls(["step"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    eventually("the call is in progress", async || {
        server.why(&id).await.iter().any(|(code, _)| code == "leased").then_some(())
    })
    .await;
    frozen.signal(Signal::STOP);
    let _other = effects.worker(&server);
    server.until(&id, "COMPLETED").await;
    let before = server.workflow(&id).await;

    frozen.signal(Signal::CONT);
    // It is awake when it polls again.
    let later = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    server.until(&later, "COMPLETED").await;
    assert_eq!(server.workflow(&id).await["tasks"], before["tasks"]);
    assert!(!before.to_string().contains("the frozen one"), "{before}");
    invariants::hold(&database.connect().await, &[id, later]).await;
}

#[tokio::test]
async fn a_report_sent_sixty_four_times_at_once_counts_once() {
    let database = TestDb::new().await;
    let (one, other) = tokio::join!(Server::start(&database), Server::start(&database));
    let model = script(&[calls(["step"]), says("done")]);
    let id = one.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    let task = one.take("step").await;

    let reports = (0..64).map(|n| {
        let (http, task) = (if n % 2 == 0 { (*one).clone() } else { (*other).clone() }, task.clone());
        tokio::spawn(async move {
            http.report_for_next(&task, "COMPLETED", &json!({ "outputData": { "n": n } })).await
        })
    });
    for report in futures_util::future::join_all(reports).await {
        assert!(matches!(report.unwrap().status, 200 | 204));
    }
    one.until(&id, "COMPLETED").await;
    let events = one.events(&id).await;
    for (kind, times) in [("tool_returned", 1), ("model_called", 2), ("completed", 1)] {
        assert_eq!(events.iter().filter(|e| *e == kind).count(), times, "{events:?}");
    }
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn a_server_killed_between_a_report_and_its_answer_has_it_or_takes_it_again() {
    let database = TestDb::new().await;
    let mut server = Server::start(&database).await;
    let mut dice = Dice::new();
    let model = script(&[calls(["step"]), says("done")]);
    let mut ids = vec![];
    for _ in 0..10 {
        let id = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
        let task = server.take("step").await;
        let mut connection = send_report(server.base(), &task);
        std::thread::sleep(Duration::from_micros(dice.roll(12_000)));
        server.kill();
        let mut answer = String::new();
        let _ = connection.read_to_string(&mut answer);
        server.start_again();
        server.ready().await;
        let accepted = server.events(&id).await.iter().any(|e| e == "tool_returned");
        assert!(accepted || !answer.starts_with("HTTP/1.1 20"), "it was acknowledged and lost: {answer}");
        server.complete(&task, &json!({ "again": true })).await;
        server.until(&id, "COMPLETED").await;
        let events = server.events(&id).await;
        assert_eq!(events.iter().filter(|e| *e == "tool_returned").count(), 1, "{events:?}");
        ids.push(id);
    }
    invariants::hold(&database.connect().await, &ids).await;
}

/// Send a report and do not wait for its answer.
fn send_report(base: &str, task: &Value) -> TcpStream {
    let body = json!({
        "workflowInstanceId": task["workflowInstanceId"], "taskId": task["taskId"], "status": "COMPLETED", "outputData": {},
    })
    .to_string();
    let host = base.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(host).unwrap();
    let head = "POST /api/tasks HTTP/1.1\r\ncontent-type: application/json\r\nconnection: close\r\n";
    write!(connection, "{head}host: {host}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    connection
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_waits_for_work_loses_none() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let host = server.base().strip_prefix("http://").unwrap().to_owned();
    let model = script(&[calls(["step"]), says("done")]);
    let mut ids = vec![];
    for _ in 0..10 {
        let mut gone = TcpStream::connect(&host).unwrap();
        write!(gone, "GET /api/tasks/poll/batch/step?workerid=gone&count=1&timeout=5000 HTTP/1.1\r\nhost: {host}\r\n\r\n")
            .unwrap();
        gone.shutdown(Shutdown::Both).unwrap();
        drop(gone);
        ids.push(server.start_run(&agent("a", &model, tools(["step"])), "Go.").await);
    }
    for _ in 0..10 {
        let task = within(Duration::from_secs(10), "nobody else holds it", async || {
            server.poll("step", 1).await.pop()
        })
        .await;
        server.complete(&task, &json!({})).await;
    }
    for id in &ids {
        server.until(id, "COMPLETED").await;
    }
    invariants::hold(&database.connect().await, &ids).await;
}

/// Send a request, and hang up when `there` is.
async fn hang_up(server: &Server, request: &str, body: &Value, there: impl AsyncFn() -> bool) {
    let host = server.base().strip_prefix("http://").unwrap().to_owned();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut gone = TcpStream::connect(&host).unwrap();
    let head = format!("host: {host}\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
    write!(gone, "{request} HTTP/1.1\r\n{head}\r\n\r\n{body}").unwrap();
    eventually("the request is on its way", async || there().await.then_some(())).await;
    gone.shutdown(Shutdown::Both).unwrap();
}

/// Whether somebody waits for a lock.
async fn is_stuck(db: &Client) -> bool {
    let waiting = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())";
    db.query_one(waiting, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_client_that_hangs_up_while_its_work_is_put_together_loses_none() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let (db, mut other) = (database.connect().await, database.connect().await);
    let mut judged = agent("judged", &script(&[calls(["step"])]), tools(["step"]));
    judged["stopWhen"] = json!({ "taskName": "judge" });
    let id = server.start_run(&judged, "Go.").await;
    let step = server.take("step").await;
    server.complete(&step, &json!({})).await;
    let queued = "select exists (select from tenure.queue q join tenure.queues n on n.id = q.queue_id where n.name = 'judge')";
    let is_queued = async || db.query_one(queued, &[]).await.unwrap().get::<_, bool>(0).then_some(());
    eventually("there is something to judge", is_queued).await;

    // What was said so far is part of that work; it can't be read now.
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("lock table tenure.messages").await.unwrap();
    let poll = "GET /api/tasks/poll/batch/judge?workerid=gone&count=1&timeout=5000";
    hang_up(&server, poll, &Value::Null, async || is_stuck(&db).await).await;
    lock.rollback().await.unwrap();
    let check =
        within(Duration::from_secs(10), "nobody else holds it", async || server.poll("judge", 1).await.pop());
    let check = check.await;
    server.complete(&check, &json!({ "should_continue": false })).await;
    server.until(&id, "COMPLETED").await;
    invariants::hold(&db, &[id]).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_while_its_report_is_written_down_loses_no_work() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let (db, mut other) = (database.connect().await, database.connect().await);
    let model = script(&[calls(["step", "step"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    let first = server.take("step").await;

    let lock = other.transaction().await.unwrap();
    lock.batch_execute("lock table tenure.results").await.unwrap();
    let report = json!({
        "workflowInstanceId": id, "taskId": first["taskId"], "workerId": "tester", "status": "COMPLETED",
        "outputData": { "by": "the one that is gone" },
    });
    hang_up(&server, "POST /api/tasks/update-v2", &report, async || is_stuck(&db).await).await;
    lock.rollback().await.unwrap();
    // Its report counts; the call that came with the answer is there for others.
    let counts = async || server.events(&id).await.contains(&"tool_returned".to_owned()).then_some(());
    eventually("its report is written down", counts).await;
    let next =
        within(Duration::from_secs(10), "nobody else holds it", async || server.poll("step", 1).await.pop());
    let next = next.await;
    assert_ne!(next["taskId"], first["taskId"]);
    server.complete(&next, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    let told = server.conversation(&id).await;
    assert!(told.iter().any(|(_, text)| text.contains("the one that is gone")), "{told:?}");
    invariants::hold(&db, &[id]).await;
}

/// The same command where its process is always the first, as in a container.
fn in_a_container(command: &mut Command) {
    let mut inside = Command::new("unshare");
    inside.args(["--pid", "--fork", "--kill-child"]).arg(command.get_program()).args(command.get_args());
    inside.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    *command = inside;
}

#[tokio::test]
async fn a_server_starts_again_in_a_container_where_its_process_has_the_same_number() {
    let may = Command::new("unshare").args(["--pid", "--fork", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        return skip("process namespaces can't be made here");
    }
    let database = TestDb::new().await;
    let mut before = Server::with(&database, in_a_container).await;
    let model = script(&[calls(["step"]), says("done")]);
    let id = before.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    before.kill();
    let server = Server::with(&database, in_a_container).await;
    let task = server.take("step").await;
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    let names = "select name from tenure.workers where kind = 'server' order by id";
    let names = database.connect().await.query(names, &[]).await.unwrap();
    let of = |row: &tokio_postgres::Row| row.get::<_, String>(0).rsplit_once(':').unwrap().0.to_owned();
    assert_eq!((names.len(), of(&names[0])), (2, of(&names[1])), "it was not the same number");
}
