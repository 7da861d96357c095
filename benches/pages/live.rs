//! Pages that are open while workers report.

use std::collections::{HashMap, HashSet};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, Ordering},
};
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time};

use super::{
    Error,
    database::Database,
    load,
    report::{Figure, Goal},
    server::Server,
};

/// Pages that are open at the same time.
const TABS: usize = 200;
/// From a report to the page that shows it, 95 of 100 times.
const VISIBLE: Goal = Goal::Millis(300.0);
/// Connections that open pages cost.
const EXTRA: Goal = Goal::Count(2.0);
/// What a report can be recognised by in a page, before its number.
const MARK: &str = "seen-by-tabs-";
/// Digits of the number.
const DIGITS: usize = 6;
/// Longest text that is looked for, which two chunks may share.
const LONGEST: usize = 40;
/// Time between two reports: several a second, and longer than a page's own pace.
const APART: Duration = Duration::from_millis(150);
/// The same for pages that take longer to draw.
const LONG_APART: Duration = Duration::from_millis(500);
/// How long a part may take to arrive before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// One tab, many tabs of one run, many tabs of many runs; and what they cost in connections.
pub async fn measure(server: &Server, database: &Database, quick: bool) -> Result<Vec<Figure>, Error> {
    let reports = if quick { 20 } else { 150 };
    let mut stage = Stage::set(server, TABS).await?;
    let without = stage.connections(database, reports, &[]).await?;

    let first = stage.runs[..1].to_vec();
    let all = stage.runs.clone();
    let mut figures = stage.visible(database, "1 page open", reports, &first, 1).await?;
    figures.extend(stage.visible(database, "200 pages of one run", reports, &first, TABS).await?);
    let with = stage.connections(database, reports, &all).await?;
    figures.extend(stage.visible(database, "200 pages of 200 runs", reports * 2, &all, TABS).await?);
    figures.extend(long_run(server, database, if quick { 5 } else { 40 }).await?);
    figures.extend(stage.list(if quick { 5 } else { 40 }).await?);
    figures.push(
        Figure::count("connections more with 200 pages of 200 runs", EXTRA, with - without)
            .note(&format!("{without} without, {with} with")),
    );
    Ok(figures)
}

/// Runs whose tool is performed here.
struct Stage<'a> {
    server: &'a Server,
    agent: Value,
    runs: Vec<String>,
    /// What waits to be reported, by run.
    tasks: HashMap<String, Value>,
    next: usize,
}

/// When a report was answered, and the attempt that it was of.
struct Reported {
    answered: Instant,
    attempt: String,
}

impl<'a> Stage<'a> {
    /// Start the runs: each asks for the tool again as soon as it has returned.
    async fn set(server: &'a Server, runs: usize) -> Result<Self, Error> {
        let script = std::env::temp_dir().join(format!("tenure-bench-{}.json", std::process::id()));
        std::fs::write(&script, r#"[{"calls":[{"name":"bench_tool","arguments":{}}]}]"#)?;
        let agent = json!({
            "name": "bench", "model": format!("demo/script:{}", script.display()), "instructions": "Call the tool.",
            "tools": [{ "name": "bench_tool", "description": "It.", "inputSchema": { "type": "object" }, "toolType": "worker" }],
            "maxTurns": 100_000, "timeoutSeconds": 0, "external": false,
        });
        let mut stage = Self { server, agent, runs: vec![], tasks: HashMap::new(), next: 1 };
        for _ in 0..runs {
            let run = stage.start().await?;
            stage.runs.push(run);
        }
        Ok(stage)
    }

    /// Start a run; its id.
    async fn start(&self) -> Result<String, Error> {
        let request = json!({ "agentConfig": self.agent, "prompt": "Call the tool, again and again." });
        let started = self.post("/api/agent/start", &request).await?;
        Ok(started["executionId"].as_str().ok_or("a start gave no id")?.to_owned())
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let request = self.server.client.post(format!("{}{path}", self.server.base)).json(body);
        let text = request.send().await?.error_for_status()?.text().await?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// The task of a run, as soon as it waits for one.
    async fn task(&mut self, run: &str) -> Result<Value, Error> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(task) = self.tasks.remove(run) {
                return Ok(task);
            }
            let path = "/api/tasks/poll/batch/bench_tool?workerid=bench&count=200&timeout=100";
            let polled = self.server.client.get(format!("{}{path}", self.server.base)).send().await?;
            let found: Vec<Value> = polled.error_for_status()?.json().await?;
            for task in found {
                let run = task["workflowInstanceId"].as_str().unwrap_or_default().to_owned();
                self.tasks.insert(run, task);
            }
        }
        Err(format!("run {run} asks for no tool").into())
    }

    /// Report the task of a run with the next mark.
    async fn report(&mut self, run: &str) -> Result<(usize, Reported), Error> {
        let task = self.task(run).await?;
        let mark = self.next;
        self.next += 1;
        let body = json!({
            "workflowInstanceId": run, "taskId": task["taskId"], "workerId": "bench", "status": "COMPLETED",
            "outputData": { "result": format!("{MARK}{mark:0DIGITS$}") },
        });
        self.post("/api/tasks", &body).await?;
        let attempt = task["taskId"].as_str().unwrap_or_default().to_owned();
        Ok((mark, Reported { answered: Instant::now(), attempt }))
    }

    /// Report `many` times while `tabs` pages of `runs` are open, each in its turn.
    async fn visible(
        &mut self,
        database: &Database,
        name: &str,
        many: usize,
        runs: &[String],
        tabs: usize,
    ) -> Result<Vec<Figure>, Error> {
        eprintln!("live, {name}");
        let paths = runs.iter().cycle().take(tabs).map(|id| format!("/execution/{id}"));
        let open = Tabs::open(self.server, paths, marks).await?;
        let mut reported = HashMap::new();
        let mut pace = time::interval(APART);
        for run in runs.iter().cycle().step_by(runs.len().div_ceil(many).max(1)).take(many) {
            pace.tick().await;
            let (mark, report) = self.report(run).await?;
            reported.insert(mark, report);
        }
        let tabs_of_each = tabs / runs.len();
        let seen = open.close(reported.len() * tabs_of_each, self.next - many).await;
        let committed = committed(database, &reported).await?;
        Ok(figures(&format!("live, {name}"), &reported, &seen, &committed, tabs_of_each))
    }

    /// The most connections that the server has while workers report and these runs are open.
    async fn connections(&mut self, database: &Database, many: usize, open: &[String]) -> Result<i64, Error> {
        let tabs = Tabs::open(self.server, open.iter().map(|id| format!("/execution/{id}")), marks).await?;
        let (most, stop) = (AtomicI64::new(0), AtomicBool::new(false));
        let watch = async {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(database.connections().await?.0, Ordering::Relaxed);
                time::sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, Error>(())
        };
        let runs = self.runs.clone();
        let report = async {
            for run in runs.iter().cycle().take(many) {
                self.report(run).await?;
                time::sleep(APART / 3).await;
            }
            stop.store(true, Ordering::Relaxed);
            Ok::<_, Error>(())
        };
        let (watched, reported) = tokio::join!(watch, report);
        watched?;
        reported?;
        drop(tabs);
        Ok(most.into_inner())
    }
}

impl Stage<'_> {
    /// New runs, as the open list counts them above itself.
    async fn list(&mut self, many: usize) -> Result<Vec<Figure>, Error> {
        eprintln!("live, the list");
        let open = Tabs::open(self.server, std::iter::once("/executions".to_owned()), newer).await?;
        let mut reported = HashMap::new();
        for mark in 1..=many {
            self.start().await?;
            reported.insert(mark, Reported { answered: Instant::now(), attempt: String::new() });
            time::sleep(LONG_APART).await;
        }
        let seen = open.close(many, 1).await;
        Ok(figures("live, a new run in the open list", &reported, &seen, &HashMap::new(), 1))
    }
}

/// A run of 20,000 events in an open page, while somebody sends it words.
async fn long_run(server: &Server, database: &Database, many: usize) -> Result<Vec<Figure>, Error> {
    let id = &database.long_run;
    eprintln!("live, 1 page of the run of 20,000 events");
    let open = Tabs::open(server, std::iter::once(format!("/execution/{id}")), marks).await?;
    let mut reported = HashMap::new();
    for mark in 1..=many {
        let body = json!({ "message": format!("{MARK}{mark:0DIGITS$}") });
        let request = server.client.post(format!("{}/api/agent/{id}/signal", server.base)).json(&body);
        request.send().await?.error_for_status()?;
        reported.insert(mark, Reported { answered: Instant::now(), attempt: String::new() });
        time::sleep(LONG_APART).await;
    }
    let seen = open.close(many, 1).await;
    Ok(figures("live, 1 page of the run of 20,000 events", &reported, &seen, &HashMap::new(), 1))
}

/// When the events of these reports were written, by attempt.
async fn committed(
    database: &Database,
    reported: &HashMap<usize, Reported>,
) -> Result<HashMap<String, SystemTime>, Error> {
    let attempts: Vec<&str> = reported.values().map(|r| r.attempt.as_str()).collect();
    let sql = "select v.attempt_id::text, v.at from tenure.tasks t join tenure.events v
                   on v.execution_id = t.execution_id and v.attempt_id = t.id and v.kind = 'tool_returned'
                where t.id = any($1::text[]::uuid[])";
    let rows = database.client.query(sql, &[&attempts]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn figures(
    name: &str,
    reported: &HashMap<usize, Reported>,
    seen: &[Seen],
    committed: &HashMap<String, SystemTime>,
    tabs_of_each: usize,
) -> Vec<Figure> {
    let (mut after_answer, mut after_event) = (vec![], vec![]);
    for (mark, instant, clock) in seen {
        let Some(report) = reported.get(mark) else { continue };
        after_answer.push(instant.saturating_duration_since(report.answered));
        if let Some(at) = committed.get(&report.attempt) {
            after_event.push(clock.duration_since(*at).unwrap_or_default());
        }
    }
    let missing = reported.len() * tabs_of_each - after_answer.len();
    // What never arrived was not in time either.
    after_answer.extend(std::iter::repeat_n(PATIENCE, missing));
    let note = format!("{} reports, {missing} not shown", reported.len());
    let mut found = vec![
        Figure::millis(&format!("{name}: after the report's answer"), VISIBLE, after_answer.into_iter())
            .note(&note),
    ];
    if !after_event.is_empty() {
        found.push(Figure::millis(&format!("{name}: after the event"), VISIBLE, after_event.into_iter()));
    }
    found
}

/// A mark, and when a tab received it.
type Seen = (usize, Instant, SystemTime);

/// Open pages.
struct Tabs {
    seen: Arc<Mutex<Vec<Seen>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Tabs {
    /// Open pages as a browser does, and wait until each has received something. `find` finds marks in what they receive.
    async fn open(
        server: &Server,
        paths: impl Iterator<Item = String>,
        find: fn(&[u8]) -> Vec<usize>,
    ) -> Result<Self, Error> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let (mut followed, mut opened) = (HashMap::new(), vec![]);
        for path in paths {
            let stream = match followed.get(&path) {
                Some(stream) => String::clone(stream),
                None => followed.entry(path.clone()).or_insert(stream_of(server, &path).await?).clone(),
            };
            let request =
                client.get(format!("{}{stream}", server.base)).header("accept", "text/event-stream");
            opened.push(
                async move { Ok::<_, Error>(request.send().await?.error_for_status()?.bytes_stream()) },
            );
        }
        let streams = futures_util::future::try_join_all(opened).await?;
        let mut tabs = Self { seen: Arc::default(), readers: vec![] };
        let (ready, mut is_ready) = tokio::sync::mpsc::channel(TABS);
        for mut stream in streams {
            let (seen, ready) = (tabs.seen.clone(), ready.clone());
            tabs.readers.push(tokio::spawn(async move {
                let (mut tail, mut known, mut greeted) = (Vec::new(), HashSet::new(), false);
                while let Some(Ok(chunk)) = stream.next().await {
                    tail.extend_from_slice(&chunk);
                    if !greeted && position(&tail, b"event: drawn").is_some() {
                        greeted = true;
                        let _ = ready.send(()).await;
                    }
                    for mark in find(&tail) {
                        if known.insert(mark) {
                            let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                            seen.push((mark, Instant::now(), SystemTime::now()));
                        }
                    }
                    let keep = tail.len().min(LONGEST);
                    tail.drain(..tail.len() - keep);
                }
            }));
        }
        drop(ready);
        for _ in 0..tabs.readers.len() {
            time::timeout(PATIENCE * 3, is_ready.recv())
                .await
                .map_err(|_| "an open page received nothing")?;
        }
        Ok(tabs)
    }

    /// Wait until so many marks from `first` on were seen, or for a while; then close them all.
    async fn close(self, expected: usize, first: usize) -> Vec<Seen> {
        let began = Instant::now();
        let seen = || {
            let seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            seen.iter().filter(|(mark, ..)| *mark >= first).copied().collect::<Vec<_>>()
        };
        while seen().len() < expected && began.elapsed() < PATIENCE {
            time::sleep(Duration::from_millis(20)).await;
        }
        seen()
    }
}

impl Drop for Tabs {
    fn drop(&mut self) {
        self.readers.iter().for_each(JoinHandle::abort);
    }
}

/// The address of a page's own stream.
async fn stream_of(server: &Server, path: &str) -> Result<String, Error> {
    let page = load::ask(server, path).await?.text;
    let (_, after) = page.split_once(" data-live=\"").ok_or_else(|| format!("{path} is not live"))?;
    let (address, _) = after.split_once('"').unwrap_or_default();
    Ok(address.replace("&amp;", "&").replace("&#38;", "&"))
}

fn position(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The marks of a text, in its order.
fn marks(mut text: &[u8]) -> Vec<usize> {
    let mut found = vec![];
    while let Some(at) = position(text, MARK.as_bytes()) {
        text = &text[at + MARK.len()..];
        if let Some(mark) = text.get(..DIGITS).and_then(|d| std::str::from_utf8(d).ok()?.parse().ok()) {
            found.push(mark);
        }
    }
    found
}

/// How many newer runs an open list speaks of; each of them counts as seen.
fn newer(text: &[u8]) -> Vec<usize> {
    let Some(at) = position(text, b" newer execution") else { return vec![] };
    let digits = text[..at].iter().rev().take_while(|c| c.is_ascii_digit()).count();
    let many = std::str::from_utf8(&text[at - digits..at]).ok().and_then(|d| d.parse().ok());
    (1..=many.unwrap_or(0)).collect()
}
