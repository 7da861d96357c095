//! The scenarios: what happens to a run, told once and played under every fault.
//!
//! Each sets its scene, opens the window in which statements are counted, does one thing, waits until it has had its
//! effect, shuts the window, and goes on until the run has ended.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::Error;
use super::people::{approve, decide, expire};
use super::play::Play;
use super::process::{Process, tenure};
use super::stage::{SLOW, STEP};
use crate::id::ExecutionId;
use crate::postgres;
use crate::store::judge::{self, Run};

/// One scenario.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is done while things go wrong.
    pub about: &'static str,
    pub(super) tell: for<'p, 'l> fn(&'p mut Play<'l>) -> BoxFuture<'p, Result<(), Error>>,
}

macro_rules! scenarios {
    ($($name:ident: $about:literal,)*) => {
        /// All scenarios.
        pub const SCENARIOS: &[Scenario] = &[
            $(Scenario { name: stringify!($name), about: $about, tell: |play| Box::pin($name(play)) },)*
        ];
    };
}

scenarios! {
    start: "a run is started, and its first model call is made",
    claim: "a worker asks for work",
    complete: "a worker completes two calls, and the model is asked again",
    fail: "a worker fails, and the call waits again at once",
    extend: "a worker extends its lease twice, then hands the call back",
    cancel: "a run is cancelled while one call is leased and one waits",
    pause: "a run is paused and resumed",
    signal: "a run is sent a word",
    retry: "a failed call waits a second, then becomes ready",
    model: "a model fails once, and is asked again a moment later",
    timer: "the time of a run is over",
    lost: "a worker falls silent, and its lease ends",
    stream: "a client follows a run to its end",
    deploy: "an agent is deployed in two versions",
    fork: "a run is forked while a call of it waits, and both go on",
    message: "a message comes for a call that waits for one",
    bulk: "two runs are restarted by a bulk job",
    delete: "two finished runs are deleted by a bulk job",
    approve: "a person approves a call",
    decide: "one person approves a call while another denies it on another server",
    expire: "nobody decides about a call in time, and it is approved",
    read: "pages and lists are read",
    migrate: "a server starts on an empty database",
}

async fn start(play: &mut Play<'_>) -> Result<(), Error> {
    let mut agent = play.walker()?;
    // One that no server knows yet.
    agent["name"] = format!("walker_{}", play.unique).into();
    play.open().await;
    let run = play.start(&agent, "completed").await?;
    play.until_ready(run, STEP).await?;
    play.shut().await;
    play.finish(run).await
}

async fn claim(play: &mut Play<'_>) -> Result<(), Error> {
    let run = waiting(play).await?;
    play.open().await;
    let task = play.take(STEP).await?;
    play.shut().await;
    play.complete(task).await?;
    play.finish(run).await
}

async fn complete(play: &mut Play<'_>) -> Result<(), Error> {
    let agent = play.agent("pair", &[&[STEP, STEP], &[STEP]])?;
    let run = play.start(&agent, "completed").await?;
    play.until_ready(run, STEP).await?;
    let task = play.take(STEP).await?;
    play.open().await;
    play.complete(task).await?;
    while play.run(run).await?.turn < 2 {
        // The second call was not handed on with the first one's answer.
        let task = play.take(STEP).await?;
        play.complete(task).await?;
    }
    play.until(run, "is in its second turn", |r| r.turn >= 2 && r.many("model_replied") >= 2).await?;
    play.shut().await;
    play.finish(run).await
}

async fn fail(play: &mut Play<'_>) -> Result<(), Error> {
    let run = waiting(play).await?;
    let task = play.take(STEP).await?;
    play.perform(&task)?;
    play.open().await;
    play.report(&task, "FAILED", "/api/tasks").await?;
    play.until_ready(run, STEP).await?;
    play.shut().await;
    play.finish(run).await
}

async fn extend(play: &mut Play<'_>) -> Result<(), Error> {
    let run = waiting(play).await?;
    let task = play.take(STEP).await?;
    let (execution, id) = (&task["workflowInstanceId"], &task["taskId"]);
    let extend = json!({ "workflowInstanceId": execution, "taskId": id, "status": "IN_PROGRESS", "extendLease": true });
    let hand_back = json!({ "workflowInstanceId": execution, "taskId": id, "status": "IN_PROGRESS", "callbackAfterSeconds": 0 });
    play.open().await;
    for word in [&extend, &extend, &hand_back] {
        play.done("POST", "/api/tasks", Some(word)).await?;
    }
    play.until_ready(run, STEP).await?;
    play.shut().await;
    play.finish(run).await
}

async fn cancel(play: &mut Play<'_>) -> Result<(), Error> {
    let agent = play.agent("pair", &[&[STEP, STEP], &[STEP]])?;
    let run = play.start(&agent, "terminated").await?;
    play.until_ready(run, STEP).await?;
    let task = play.take(STEP).await?;
    play.perform(&task)?;
    play.open().await;
    play.done("DELETE", &format!("/api/agent/{run}/cancel?reason=enough"), None).await?;
    play.until(run, "has ended", Run::has_ended).await?;
    play.shut().await;
    // Too late, and nobody says so.
    play.report(&task, "COMPLETED", "/api/tasks").await?;
    play.finish(run).await
}

async fn pause(play: &mut Play<'_>) -> Result<(), Error> {
    let run = waiting(play).await?;
    play.open().await;
    play.done("PUT", &format!("/api/agent/{run}/pause"), None).await?;
    let paused = play.run(run).await?;
    if paused.status != "paused" || !paused.ready.is_empty() {
        play.record.wrong.push(format!("a pause was acknowledged, and the run is {paused:?}"));
    }
    play.done("PUT", &format!("/api/agent/{run}/resume"), None).await?;
    play.until_ready(run, STEP).await?;
    play.shut().await;
    play.finish(run).await
}

async fn signal(play: &mut Play<'_>) -> Result<(), Error> {
    let run = waiting(play).await?;
    play.open().await;
    let told =
        play.done("POST", &format!("/api/agent/{run}/signal"), Some(&json!({ "message": "Hurry." }))).await?;
    let heard = play.run(run).await?.many("signalled");
    // A client that got no answer says it again, as it can't know.
    if heard == 0 || heard > 1 + told.unsure as usize {
        play.record.wrong.push(format!(
            "one signal was acknowledged after {} unsure tries, and {heard} arrived",
            told.unsure
        ));
    }
    play.shut().await;
    play.finish(run).await
}

async fn retry(play: &mut Play<'_>) -> Result<(), Error> {
    let agent = play.agent("patient", &[&[SLOW]])?;
    let run = play.start(&agent, "completed").await?;
    play.until_ready(run, SLOW).await?;
    let task = play.take(SLOW).await?;
    play.perform(&task)?;
    play.open_alone(true).await;
    play.report(&task, "FAILED", "/api/tasks").await?;
    play.until_ready(run, SLOW).await?;
    play.shut().await;
    play.finish(run).await
}

async fn model(play: &mut Play<'_>) -> Result<(), Error> {
    let fails = json!([{ "text": "done", "delay_ms": 300, "fail": { "status": 503, "times": 1 } }]);
    let model = play.lane.script("failing", &fails)?;
    let mut agent = play.agent("failing", &[])?;
    agent["model"] = model.into();
    let run = play.start(&agent, "completed").await?;
    play.open_alone(false).await;
    play.until(run, "has ended", Run::has_ended).await?;
    play.shut().await;
    play.finish(run).await
}

async fn timer(play: &mut Play<'_>) -> Result<(), Error> {
    let agent = play.walker()?;
    let run = play.start_with(&agent, "timed_out", &json!({ "timeoutSeconds": 2 })).await?;
    // On a machine that is busy elsewhere its time may be over before the scene is set; then nothing is reached.
    play.until(run, "waits", |r| r.has_ended() || !r.ready.is_empty()).await?;
    play.open_alone(true).await;
    play.until(run, "has ended", Run::has_ended).await?;
    play.shut().await;
    play.finish(run).await
}

async fn lost(play: &mut Play<'_>) -> Result<(), Error> {
    let run = waiting(play).await?;
    let task = play.take(STEP).await?;
    play.perform(&task)?;
    play.open_alone(true).await;
    play.until(run, "has lost its worker", |r| r.many("attempt_lost") > 0).await?;
    play.shut().await;
    play.finish(run).await
}

async fn stream(play: &mut Play<'_>) -> Result<(), Error> {
    let agent = play.agent("short", &[&[STEP]])?;
    let run = play.start(&agent, "completed").await?;
    play.until_ready(run, STEP).await?;
    let task = play.take(STEP).await?;
    play.open().await;
    let bases = [play.lane.client.victim().to_owned(), play.lane.client.other_base().to_owned()];
    let reader = tokio::spawn(follow(play.lane.client.http().clone(), bases, run));
    // The stream is open before anything happens.
    tokio::time::sleep(Duration::from_millis(50)).await;
    play.complete(task).await?;
    play.finish(run).await?;
    let followed = reader.await.map_err(|error| Error::Scenario(error.to_string()))??;
    play.shut().await;
    let bases = [play.lane.client.other_base().to_owned(), play.lane.client.other_base().to_owned()];
    let whole = follow(play.lane.client.http().clone(), bases, run).await?;
    if followed != whole {
        play.record
            .wrong
            .push(format!("a stream that was cut brought frames {followed:?}, an uncut one {whole:?}"));
    }
    Ok(())
}

/// Read a run's stream to its end, coming back after each break where it broke off; the numbers and kinds of its frames.
async fn follow(
    http: reqwest::Client,
    bases: [String; 2],
    run: ExecutionId,
) -> Result<Vec<(i64, String)>, Error> {
    let (began, mut frames) = (Instant::now(), Vec::<(i64, String)>::new());
    for base in bases.iter().cycle() {
        let mut request = http.get(format!("{base}/api/agent/stream/{run}")).timeout(Duration::from_secs(25));
        if let Some((last, _)) = frames.last() {
            request = request.header("last-event-id", *last);
        }
        if let Ok(answer) = request.send().await {
            let (mut body, mut text) = (answer.bytes_stream(), String::new());
            while let Some(Ok(bytes)) = body.next().await {
                text.push_str(&String::from_utf8_lossy(&bytes));
                while let Some((block, rest)) = text.split_once("\n\n") {
                    let line = |name: &str| block.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
                    if let (Some(id), Some(kind)) =
                        (line("id:").and_then(|id| id.parse().ok()), line("event:"))
                    {
                        frames.push((id, kind.to_owned()));
                    }
                    text = rest.to_owned();
                }
                if frames.last().is_some_and(|(_, kind)| kind == "done" || kind == "error") {
                    return Ok(frames);
                }
            }
        }
        if began.elapsed() > Duration::from_secs(25) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Error::Stuck(format!("the stream of execution {run} did not end; it brought {frames:?}")))
}

async fn deploy(play: &mut Play<'_>) -> Result<(), Error> {
    let name = format!("deployed_{}", play.unique);
    let mut one = play.walker()?;
    one["name"] = name.clone().into();
    let mut two = one.clone();
    two["instructions"] = "Do it better.".into();
    play.open().await;
    for definition in [&one, &two] {
        play.done("POST", "/api/agent/deploy", Some(&json!({ "agentConfig": definition }))).await?;
    }
    play.shut().await;
    let found = judge::versions(&play.lane.db, &name).await?;
    if found != (2, 2, Some(2)) {
        play.record
            .wrong
            .push(format!("two contents were deployed; versions, contents and current one: {found:?}"));
    }
    Ok(())
}

async fn fork(play: &mut Play<'_>) -> Result<(), Error> {
    let run = waiting(play).await?;
    let at = play.run(run).await?.kinds.len();
    let body = json!({ "at": at, "idempotencyKey": format!("{}-fork", play.unique) });
    play.open().await;
    let told = play.done("POST", &format!("/api/v1/executions/{run}/fork"), Some(&body)).await?;
    let copy = told.body["executionId"].as_str().and_then(|id| id.parse().ok());
    let copy = copy.ok_or_else(|| Error::Scenario(format!("a fork was answered {}", told.body)))?;
    play.record.runs.push((copy, "completed"));
    play.until_ready(copy, STEP).await?;
    play.shut().await;
    play.finish(run).await?;
    play.finish(copy).await?;
    let many = judge::forks(&play.lane.db, run).await?;
    if many != 1 {
        play.record.wrong.push(format!("one fork was wanted with one key, and {many} runs go on"));
    }
    Ok(())
}

async fn bulk(play: &mut Play<'_>) -> Result<(), Error> {
    let agent = play.walker()?;
    let one = play.start(&agent, "completed").await?;
    let two = play.start_with(&agent, "completed", &another(play)).await?;
    for run in [one, two] {
        play.until_ready(run, STEP).await?;
    }
    let body = json!({
        "action": "restart", "filter": format!("id:{one},{two}"), "idempotencyKey": format!("{}-bulk", play.unique),
    });
    play.open().await;
    let told = play.done("POST", "/api/v1/bulk", Some(&body)).await?;
    let job = told.body["id"].as_str().unwrap_or_default().to_owned();
    play.until_job_is_done(&job).await?;
    play.shut().await;
    for run in [one, two] {
        play.finish(run).await?;
    }
    for run in [one, two] {
        let told = play.done("GET", &format!("/api/v1/executions/{run}/forks"), None).await?;
        let copies: Vec<_> = told.body["forks"].as_array().into_iter().flatten().collect();
        if copies.len() != 1 {
            play.record
                .wrong
                .push(format!("one restart of {run} was wanted, and there are {}", copies.len()));
        }
        for copy in copies.iter().filter_map(|copy| copy["executionId"].as_str()?.parse().ok()) {
            play.record.runs.push((copy, "completed"));
            play.finish(copy).await?;
        }
    }
    Ok(())
}

async fn delete(play: &mut Play<'_>) -> Result<(), Error> {
    let agent = play.agent("talker", &[])?;
    let one = play.start(&agent, "completed").await?;
    let two = play.start_with(&agent, "completed", &another(play)).await?;
    for run in [one, two] {
        play.finish(run).await?;
    }
    play.record.runs.retain(|(run, _)| ![one, two].contains(run));
    let body = json!({
        "action": "delete", "filter": format!("id:{one},{two}"), "idempotencyKey": format!("{}-delete", play.unique),
    });
    play.open().await;
    let told = play.done("POST", "/api/v1/bulk", Some(&body)).await?;
    let job = told.body["id"].as_str().unwrap_or_default().to_owned();
    play.until_job_is_done(&job).await?;
    play.shut().await;
    let told = play.done("GET", &format!("/api/v1/bulk/{job}"), None).await?;
    if told.body["done"] != 2 {
        play.record.wrong.push(format!("two runs were to be deleted: {}", told.body));
    }
    for run in [one, two] {
        let told = play.lane.client.ask("GET", &format!("/api/agent/{run}/status"), None).await?;
        if told.status != 404 {
            play.record.wrong.push(format!("execution {run} was deleted, and answers {}", told.status));
        }
    }
    Ok(())
}

/// What makes a start another one than the first of its point.
fn another(play: &Play<'_>) -> Value {
    json!({ "idempotencyKey": format!("{}-another", play.unique) })
}

async fn message(play: &mut Play<'_>) -> Result<(), Error> {
    let mut agent = play.agent("reader", &[&["letters"], &[STEP]])?;
    let letters = json!({
        "name": "letters", "description": "Wait for a message.", "inputSchema": { "type": "object" },
        "toolType": "pull_workflow_messages", "config": { "batchSize": 100 },
    });
    agent["tools"].as_array_mut().into_iter().for_each(|tools| tools.push(letters.clone()));
    let run = play.start(&agent, "completed").await?;
    play.until_it_waits(run, "message").await?;
    play.open().await;
    let path = format!("/api/workflow/{run}/messages");
    let told = play.done("POST", &path, Some(&json!({ "go": "on" }))).await?;
    play.until_ready(run, STEP).await?;
    play.shut().await;
    let came = play.run(run).await?.many("message_received");
    // A client that got no answer sends it again, as it can't know.
    if came == 0 || came > 1 + told.unsure as usize {
        let text =
            format!("one message was acknowledged after {} unsure tries, and {came} came", told.unsure);
        play.record.wrong.push(text);
    }
    play.finish(run).await
}

async fn read(play: &mut Play<'_>) -> Result<(), Error> {
    let run = waiting(play).await?;
    play.open().await;
    for path in [
        format!("/api/agent/{run}/status"),
        format!("/api/agent/executions/{run}/full"),
        format!("/api/workflow/{run}?includeTasks=true"),
        "/api/agent/executions?size=5".to_owned(),
        format!("/api/executions/{run}/why"),
        format!("/api/executions/{run}/timeline"),
        "/api/queues".to_owned(),
        "/api/tasks/queue/all".to_owned(),
        "/api/agent/list".to_owned(),
        "/api/metadata/taskdefs".to_owned(),
        "/executions".to_owned(),
        format!("/execution/{run}"),
        "/queues".to_owned(),
        "/agents".to_owned(),
        "/agents/walker".to_owned(),
    ] {
        play.done("GET", &path, None).await?;
    }
    play.shut().await;
    play.finish(run).await
}

async fn migrate(play: &mut Play<'_>) -> Result<(), Error> {
    let name = format!("migrated_{}", play.lane.number);
    let direct = play.lane.config().driver().clone();
    let admin = &play.lane.db;
    admin.batch_execute(&format!("drop database if exists {name} with (force)")).await?;
    admin.batch_execute(&format!("create database {name}")).await?;
    let user = direct.get_user().unwrap_or("tenure");
    let url = format!("postgres://{user}@127.0.0.1:{}/{name}?sslmode=disable", play.lane.proxy.port());
    let log = play.lane.directory.join("migrate.log");
    let began = Instant::now();
    play.open().await;
    loop {
        let command = tenure(&["db", "migrate", "--database-url", &url])?;
        let mut process = Process::start(command, &log)?;
        play.lane.proxy.victim(process.pid());
        if process.ended().await {
            break;
        }
        if began.elapsed() > Duration::from_secs(25) {
            return Err(Error::Stuck(format!("migrating does not succeed:\n{}", process.last_lines(5))));
        }
    }
    play.shut().await;
    play.lane.proxy.victim(play.lane.victim.process.pid());
    let mut config = play.lane.config().clone();
    let (migrated, connection) = postgres::connect(config.dbname(&name)).await?;
    tokio::spawn(connection);
    let (found, wanted) = (judge::schema(&migrated).await?, judge::schema(&play.lane.db).await?);
    if found != wanted {
        play.record.wrong.push("the schema is not that of a database that was migrated in peace".to_owned());
    }
    Ok(())
}

/// A run whose first call waits for a worker.
async fn waiting(play: &mut Play<'_>) -> Result<ExecutionId, Error> {
    let agent: Value = play.walker()?;
    let run = play.start(&agent, "completed").await?;
    play.until_ready(run, STEP).await?;
    Ok(run)
}
