//! The words in which scenarios are told: start, take, perform, report, until.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Error;
use super::client::Told;
use super::proxy::{Action, Fired, Statement};
use super::stage::{Lane, SLOW, STEP, WORK};
use crate::id::{AttemptId, ExecutionId};
use crate::store::judge::{self, Run};

/// How long a run may stand still before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(25);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(10);
/// Silence after which nothing of a scenario is on its way any more.
const QUIET: Duration = Duration::from_millis(60);

/// What must be found afterwards, because somebody was told so or because a scenario ends so.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Runs whose start was answered, and how they end.
    pub runs: Vec<(ExecutionId, &'static str)>,
    /// Attempts whose report was answered.
    pub reported: Vec<AttemptId>,
    /// What the scenario itself found wrong.
    pub wrong: Vec<String>,
}

/// One performance of a scenario on a lane.
pub(super) struct Play<'a> {
    pub lane: &'a Lane,
    pub record: Record,
    /// Makes keys and names that no other performance has.
    pub unique: String,
    armed: Option<(Statement, Action)>,
    window: Option<JoinHandle<()>>,
    /// Statements of the window, in order.
    pub seen: Vec<Statement>,
    pub fired: Option<Fired>,
    /// From the fault until the scenario was where it wanted to be.
    pub recovery: Option<Duration>,
}

impl Drop for Play<'_> {
    fn drop(&mut self) {
        self.let_other_go_on();
    }
}

impl<'a> Play<'a> {
    pub fn new(lane: &'a Lane, armed: Option<(Statement, Action)>) -> Self {
        let unique = uuid::Uuid::now_v7().simple().to_string();
        Self {
            lane,
            record: Record::default(),
            unique,
            armed,
            window: None,
            seen: vec![],
            fired: None,
            recovery: None,
        }
    }

    /// From here on statements are counted, and the armed one is waited for.
    pub async fn open(&mut self) {
        self.quiet().await;
        self.lane.proxy.count(false, self.armed.take());
    }

    /// Wait until nothing of what went before is on its way any more.
    async fn quiet(&self) {
        self.lane.proxy.count(false, None);
        let began = Instant::now();
        while self.lane.proxy.quiet_for() < QUIET && began.elapsed() < Duration::from_secs(2) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The same for what only one of the servers does, perhaps the clock: the other one is stopped until it happens.
    pub async fn open_alone(&mut self, clock: bool) {
        self.quiet().await;
        self.lane.other.process.signal(Signal::STOP);
        self.lane.proxy.count(clock, self.armed.take());
        let mut fired = self.lane.proxy.subscribe();
        let pid = self.lane.other.process.pid();
        self.window = Some(tokio::spawn(async move {
            let _ = fired.wait_for(Option::is_some).await;
            super::process::signal(pid, Signal::CONT);
        }));
    }

    fn let_other_go_on(&mut self) {
        if let Some(window) = self.window.take() {
            window.abort();
            self.lane.other.process.signal(Signal::CONT);
        }
    }

    /// The scenario is where it wanted to be: what comes after is not counted.
    pub async fn shut(&mut self) {
        let reached = Instant::now();
        while self.lane.proxy.quiet_for() < QUIET && reached.elapsed() < Duration::from_secs(2) {
            tokio::time::sleep(LOOK).await;
        }
        self.let_other_go_on();
        self.fired = self.lane.proxy.fired();
        self.recovery = self.fired.as_ref().map(|fired| reached.saturating_duration_since(fired.at));
        self.seen = self.lane.proxy.rest();
    }

    /// An agent whose model plays these steps: names of tools to call, or an answer.
    pub fn agent(&self, name: &str, steps: &[&[&str]]) -> Result<Value, Error> {
        let call = |tool: &&str| json!({ "name": tool, "arguments": { "for": tool } });
        let mut turns: Vec<_> = steps
            .iter()
            .map(|calls| json!({ "calls": calls.iter().map(call).collect::<Vec<_>>() }))
            .collect();
        turns.push(json!({ "text": "done" }));
        let model = self.lane.script(name, &Value::from(turns))?;
        let tool = |tool| json!({ "name": tool, "description": tool, "inputSchema": { "type": "object" }, "toolType": "worker" });
        Ok(json!({
            "name": name, "model": model, "instructions": "Do it.", "tools": [tool(STEP), tool(WORK), tool(SLOW)],
            "maxTurns": 25, "timeoutSeconds": 0, "external": false,
        }))
    }

    /// A step of the driver's, then one of a worker's.
    pub fn walker(&self) -> Result<Value, Error> {
        self.agent("walker", &[&[STEP], &[WORK]])
    }

    /// Start a run that ends like this.
    pub async fn start(&mut self, agent: &Value, ends: &'static str) -> Result<ExecutionId, Error> {
        self.start_with(agent, ends, &json!({})).await
    }

    /// The same with more in the request.
    pub async fn start_with(
        &mut self,
        agent: &Value,
        ends: &'static str,
        more: &Value,
    ) -> Result<ExecutionId, Error> {
        let mut request = json!({ "agentConfig": agent, "prompt": "Go.", "idempotencyKey": self.unique });
        if let (Some(request), Some(more)) = (request.as_object_mut(), more.as_object()) {
            request.extend(more.clone());
        }
        let told = self.done("POST", "/api/agent/start", Some(&request)).await?;
        let id = told.body["executionId"].as_str().and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| Error::Scenario(format!("a start was answered {}", told.body)))?;
        self.record.runs.push((id, ends));
        Ok(id)
    }

    /// Ask, and be told that it was done.
    pub async fn done(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Told, Error> {
        let told = self.lane.client.ask(method, path, body).await?;
        if told.is_ok() {
            return Ok(told);
        }
        Err(Error::Scenario(format!("{method} {path} was answered {}: {}", told.status, told.body)))
    }

    /// Where a run stands.
    pub async fn run(&self, id: ExecutionId) -> Result<Run, Error> {
        let run = judge::run(&self.lane.db, id).await?;
        run.ok_or_else(|| Error::Scenario(format!("execution {id} was accepted and is not there")))
    }

    /// Wait until a run is like this.
    pub async fn until(
        &self,
        id: ExecutionId,
        what: &str,
        like: impl Fn(&Run) -> bool,
    ) -> Result<Run, Error> {
        let began = Instant::now();
        loop {
            let run = self.run(id).await?;
            if like(&run) {
                return Ok(run);
            }
            if began.elapsed() > PATIENCE {
                return Err(self.stuck(id, what, &run).await?);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Wait until a run says that it waits for this.
    pub async fn until_it_waits(&self, id: ExecutionId, what: &str) -> Result<(), Error> {
        let began = Instant::now();
        while !judge::waits(&self.lane.db, id).await?.iter().any(|why| why.contains(what)) {
            if began.elapsed() > PATIENCE {
                let what = format!("waited for a {what}");
                return Err(self.stuck(id, &what, &self.run(id).await?).await?);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Wait until a bulk job has seen to all of its runs.
    pub async fn until_job_is_done(&self, id: &str) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            let told = self.done("GET", &format!("/api/v1/bulk/{id}"), None).await?;
            if told.body["state"] == "done" {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(Error::Stuck(format!("bulk job: {}", told.body)));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Wait until a call of this tool waits for somebody.
    pub async fn until_ready(&self, id: ExecutionId, tool: &str) -> Result<Run, Error> {
        self.until(id, &format!("has a call of {tool} that waits"), |r| r.ready.iter().any(|t| t == tool))
            .await
    }

    /// Ask for a call of this tool until there is one.
    pub async fn take(&self, tool: &str) -> Result<Value, Error> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(task) = self.poll(tool).await? {
                return Ok(task);
            }
        }
        Err(Error::Stuck(format!("no call of {tool} was handed out for {} s", PATIENCE.as_secs())))
    }

    async fn poll(&self, tool: &str) -> Result<Option<Value>, Error> {
        let path = format!("/api/tasks/poll/batch/{tool}?workerid=driver&count=1&timeout=100");
        Ok(self.done("GET", &path, None).await?.body.as_array().and_then(|tasks| tasks.first().cloned()))
    }

    /// Do what a task is about.
    pub fn perform(&self, task: &Value) -> Result<(), Error> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = task["inputData"]["_idempotency_key"].as_str().map_or_else(
            || format!("{}/{}", text(&task["workflowInstanceId"]), text(&task["referenceTaskName"])),
            ToOwned::to_owned,
        );
        Ok(self.lane.sink.perform(&key, &text(&task["taskId"]))?)
    }

    /// Say how a task ended, and get the next one if there is one.
    pub async fn report(&mut self, task: &Value, status: &str, path: &str) -> Result<Option<Value>, Error> {
        let report = json!({
            "workflowInstanceId": task["workflowInstanceId"], "taskId": task["taskId"], "workerId": "driver",
            "status": status, "outputData": { "ok": true }, "reasonForIncompletion": "it was told to",
        });
        let told = self.done("POST", path, Some(&report)).await?;
        self.record.reported.extend(task["taskId"].as_str().and_then(|id| id.parse::<AttemptId>().ok()));
        Ok(Some(told.body).filter(|next| next["taskId"].is_string()))
    }

    /// Perform and report a task, and those that come with the answers.
    pub async fn complete(&mut self, task: Value) -> Result<(), Error> {
        let mut next = Some(task);
        while let Some(task) = next {
            self.perform(&task)?;
            next = self.report(&task, "COMPLETED", "/api/tasks/update-v2").await?;
        }
        Ok(())
    }

    /// Perform whatever is left of a run until it has ended, whichever way.
    pub async fn finish(&mut self, id: ExecutionId) -> Result<(), Error> {
        let mut moved = (Instant::now(), 0);
        loop {
            let run = self.run(id).await?;
            if run.has_ended() {
                return Ok(());
            }
            for tool in [STEP, SLOW] {
                if run.ready.iter().any(|t| t == tool)
                    && let Some(task) = self.poll(tool).await?
                {
                    self.complete(task).await?;
                }
            }
            if run.kinds.len() > moved.1 {
                moved = (Instant::now(), run.kinds.len());
            }
            if moved.0.elapsed() > PATIENCE {
                return Err(self.stuck(id, "has ended", &run).await?);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn stuck(&self, id: ExecutionId, what: &str, run: &Run) -> Result<Error, Error> {
        let waits = judge::waits(&self.lane.db, id).await?;
        let waits = if waits.is_empty() { "and nothing says why".to_owned() } else { waits.join("; ") };
        let last: Vec<_> = run.kinds.iter().rev().take(6).rev().map(String::as_str).collect();
        Ok(Error::Stuck(format!(
            "{} s went by before execution {id} {what}; it is {} in turn {}, after {}; {waits}",
            PATIENCE.as_secs(),
            run.status,
            run.turn,
            last.join(", ")
        )))
    }
}
