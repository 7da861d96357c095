//! Pages that are open while workers report.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio::time;

use super::{
    Error,
    database::Database,
    report::{Figure, Goal},
    server::Server,
    tabs::{DIGITS, MARK, PATIENCE, Tabs, marks, newer},
};

/// Pages that are open at the same time.
const TABS: usize = 200;
/// From a report to the page that shows it, 95 of 100 times.
const VISIBLE: Goal = Goal::Millis(300.0);
/// Connections that open pages cost.
const EXTRA: Goal = Goal::Count(2.0);
/// Time between two reports: several a second, and longer than a page's own pace.
const APART: Duration = Duration::from_millis(150);
/// The same for pages that take longer to draw.
const LONG_APART: Duration = Duration::from_millis(500);

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

/// Something that a page should show.
struct Reported {
    /// The address of the page.
    page: String,
    mark: usize,
    /// When the server had answered whoever reported it.
    answered: Instant,
    /// The attempt that it was of, if of one.
    attempt: String,
}

impl Reported {
    fn now(page: &str, mark: usize, attempt: &str) -> Self {
        Self { page: page.to_owned(), mark, answered: Instant::now(), attempt: attempt.to_owned() }
    }
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
    async fn report(&mut self, run: &str) -> Result<Reported, Error> {
        let task = self.task(run).await?;
        let mark = self.next;
        self.next += 1;
        let body = json!({
            "workflowInstanceId": run, "taskId": task["taskId"], "workerId": "bench", "status": "COMPLETED",
            "outputData": { "result": format!("{MARK}{mark:0DIGITS$}") },
        });
        self.post("/api/tasks", &body).await?;
        let attempt = task["taskId"].as_str().unwrap_or_default();
        Ok(Reported::now(&format!("/execution/{run}"), mark, attempt))
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
        let mut reported = vec![];
        let mut pace = time::interval(APART);
        for run in runs.iter().cycle().take(many) {
            pace.tick().await;
            reported.push(self.report(run).await?);
        }
        let committed = committed(database, &reported).await?;
        Ok(figures(&format!("live, {name}"), &reported, open, &committed).await)
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
        let mut reported = vec![];
        for mark in 1..=many {
            self.start().await?;
            reported.push(Reported::now("/executions", mark, ""));
            time::sleep(LONG_APART).await;
        }
        Ok(figures("live, a new run in the open list", &reported, open, &HashMap::new()).await)
    }
}

/// A run of 20,000 events in an open page, while somebody sends it words.
async fn long_run(server: &Server, database: &Database, many: usize) -> Result<Vec<Figure>, Error> {
    let id = &database.long_run;
    eprintln!("live, 1 page of the run of 20,000 events");
    let open = Tabs::open(server, std::iter::once(format!("/execution/{id}")), marks).await?;
    let mut reported = vec![];
    for mark in 1..=many {
        let body = json!({ "message": format!("{MARK}{mark:0DIGITS$}") });
        let request = server.client.post(format!("{}/api/agent/{id}/signal", server.base)).json(&body);
        request.send().await?.error_for_status()?;
        reported.push(Reported::now(&format!("/execution/{id}"), mark, ""));
        time::sleep(LONG_APART).await;
    }
    Ok(figures("live, 1 page of the run of 20,000 events", &reported, open, &HashMap::new()).await)
}

/// When the events of these reports were written, by attempt.
async fn committed(database: &Database, reported: &[Reported]) -> Result<HashMap<String, SystemTime>, Error> {
    let attempts: Vec<&str> = reported.iter().map(|r| r.attempt.as_str()).collect();
    let sql = "select v.attempt_id::text, v.at from tenure.tasks t join tenure.events v
                   on v.execution_id = t.execution_id and v.attempt_id = t.id and v.kind = 'tool_returned'
                where t.id = any($1::text[]::uuid[])";
    let rows = database.client.query(sql, &[&attempts]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// How long it took until the open pages showed what was reported.
async fn figures(
    name: &str,
    reported: &[Reported],
    open: Tabs,
    committed: &HashMap<String, SystemTime>,
) -> Vec<Figure> {
    let marks: Vec<_> = reported.iter().map(|r| (r.page.clone(), r.mark)).collect();
    let by_mark: HashMap<_, _> = reported.iter().map(|r| (r.mark, r)).collect();
    let (mut after_answer, mut after_event, mut missing) = (vec![], vec![], 0);
    for (mark, seen) in open.close(&marks).await {
        let Some((_, instant, clock)) = seen else {
            // What never arrived was not in time either.
            after_answer.push(PATIENCE);
            missing += 1;
            continue;
        };
        after_answer.push(instant.saturating_duration_since(by_mark[&mark].answered));
        if let Some(at) = committed.get(&by_mark[&mark].attempt) {
            after_event.push(clock.duration_since(*at).unwrap_or_default());
        }
    }
    let note = format!("{} reports, {missing} never shown", reported.len());
    let answer =
        Figure::millis(&format!("{name}: after the answer"), VISIBLE, after_answer.into_iter()).note(&note);
    let event = Figure::millis(&format!("{name}: after the event"), VISIBLE, after_event.into_iter());
    if committed.is_empty() { vec![answer] } else { vec![answer, event] }
}
