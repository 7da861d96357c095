//! Workers that do nothing but take and report, and as many runs as are wanted at the same time.
//!
//! A worker that reports the last call of a run starts the next one, so the number of open runs stays the same without
//! anybody asking how runs are doing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::rig::{Agent, Server, TOOL};
use super::{Error, http::Connection};
use crate::agent;
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;
use crate::runtime::{Outcome, Report, Reported, Runtime, Start};

/// How workers reach the server.
#[derive(Clone)]
pub enum Door {
    /// One connection per worker, one report per request.
    Http(SocketAddr),
    /// So many connections, each with a share of the workers and one request for all of its reports.
    Batch(SocketAddr, usize),
    /// In this process.
    Local(Runtime, Arc<agent::Agent>, i32),
}

/// What to do.
#[derive(Clone)]
pub struct Plan {
    pub door: Door,
    pub workers: usize,
    /// Open at the same time.
    pub runs: usize,
    pub agent: Agent,
    /// Bytes of what a call returns.
    pub output: usize,
}

/// Work that goes on until it is stopped.
pub struct Load {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

struct Shared {
    plan: Plan,
    output: String,
    stop: CancellationToken,
    /// How long reports took since somebody asked.
    acknowledged: Mutex<Vec<Duration>>,
    trouble: Mutex<Option<String>>,
}

/// A task as a worker reads it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Polled {
    task_id: String,
    workflow_instance_id: String,
    input_data: Input,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    last: bool,
}

impl Plan {
    /// Ten-step runs, as many as workers.
    pub fn ten(door: Door, workers: usize) -> Self {
        Self { door, workers, runs: workers, agent: Agent::Ten, output: 100 }
    }

    /// The output of every call.
    fn text(&self) -> String {
        let filler = "abcdefghijklmnopqrstuvwxyz0123456789 ".chars().cycle().take(self.output);
        format!(r#"{{"ok":true,"text":"{}"}}"#, filler.collect::<String>())
    }

    /// Begin.
    pub fn start(self) -> Load {
        let shared = Arc::new(Shared {
            output: self.text(),
            plan: self,
            stop: CancellationToken::new(),
            acknowledged: Mutex::default(),
            trouble: Mutex::default(),
        });
        let tasks = TaskTracker::new();
        let spawn = |shared: Arc<Shared>, n: usize, work: Role| {
            tasks.spawn(async move {
                let stop = shared.stop.clone();
                let done = async {
                    match work {
                        Role::Starter(many) => shared.start_runs(many).await,
                        Role::Worker => shared.work(n).await,
                    }
                };
                let result = tokio::select! { result = done => result, () = stop.cancelled() => Ok(()) };
                if let Err(error) = result {
                    shared
                        .trouble
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .get_or_insert(error.to_string());
                    shared.stop.cancel();
                }
            });
        };
        let loops = match shared.plan.door {
            Door::Batch(_, connections) => connections,
            _ => shared.plan.workers,
        };
        for n in 0..loops {
            spawn(shared.clone(), n, Role::Worker);
        }
        let (runs, starters) = (shared.plan.runs, shared.plan.runs.min(16));
        for n in 0..starters {
            spawn(shared.clone(), n, Role::Starter(runs / starters + usize::from(n < runs % starters)));
        }
        tasks.close();
        Load { shared, tasks }
    }
}

enum Role {
    Starter(usize),
    Worker,
}

impl Load {
    /// How long the reports took that were answered since the last call, shortest first.
    pub fn acknowledged(&self) -> Vec<Duration> {
        let mut all = std::mem::take(
            &mut *self.shared.acknowledged.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        all.sort_unstable();
        all
    }

    /// End, and say what went wrong meanwhile.
    pub async fn stop(self) -> Result<(), Error> {
        self.shared.stop.cancel();
        self.tasks.wait().await;
        match self.shared.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            Some(trouble) => Err(trouble.into()),
            None => Ok(()),
        }
    }
}

/// Accept one run by HTTP.
pub async fn start_run(http: &mut Connection, agent: Agent) -> Result<String, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Started {
        execution_id: String,
    }
    let body = format!(r#"{{"name":"{}","prompt":"Do what there is to do."}}"#, agent.name());
    let answer = http.post("/api/agent/start", &body).await?;
    if answer.status != 200 {
        return Err(format!("start: {} {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
    }
    Ok(serde_json::from_slice::<Started>(&answer.body)?.execution_id)
}

impl Shared {
    async fn start_runs(&self, many: usize) -> Result<(), Error> {
        match &self.plan.door {
            Door::Http(address) | Door::Batch(address, _) => {
                let mut http = Connection::open(*address).await?;
                for _ in 0..many {
                    start_run(&mut http, self.plan.agent).await?;
                }
            }
            Door::Local(runtime, agent, version) => {
                for _ in 0..many {
                    local_start(runtime, agent, *version).await?;
                }
            }
        }
        Ok(())
    }

    async fn work(&self, n: usize) -> Result<(), Error> {
        match &self.plan.door {
            Door::Http(address) => self.by_http(*address, n).await,
            Door::Batch(address, connections) => self.by_batch(*address, n, *connections).await,
            Door::Local(runtime, agent, version) => self.locally(runtime, agent, *version, n).await,
        }
    }

    fn took(&self, began: Instant) {
        let mut all = self.acknowledged.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.push(began.elapsed());
    }

    fn report_of(&self, task: &Polled, worker: &str) -> String {
        format!(
            r#"{{"workflowInstanceId":"{}","taskId":"{}","workerId":"{worker}","status":"COMPLETED","outputData":{}}}"#,
            task.workflow_instance_id, task.task_id, self.output
        )
    }

    async fn by_http(&self, address: SocketAddr, n: usize) -> Result<(), Error> {
        let mut http = Connection::open(address).await?;
        let worker = format!("bench-{n}");
        let poll = format!("/api/tasks/poll/batch/{TOOL}?workerid={worker}&count=1&timeout=5000");
        let mut next: Option<Polled> = None;
        loop {
            let Some(task) = next.take() else {
                let answer = http.get(&poll).await?;
                next = serde_json::from_slice::<Vec<Polled>>(&answer.body)?.pop();
                continue;
            };
            let body = self.report_of(&task, &worker);
            let began = Instant::now();
            let answer = http.post("/api/tasks/update-v2", &body).await?;
            self.took(began);
            match answer.status {
                200 => next = Some(serde_json::from_slice(&answer.body)?),
                204 => {}
                status => {
                    return Err(format!("report: {status} {}", String::from_utf8_lossy(&answer.body)).into());
                }
            }
            if task.input_data.last {
                start_run(&mut http, self.plan.agent).await?;
            }
        }
    }

    async fn by_batch(&self, address: SocketAddr, n: usize, connections: usize) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Worked {
            results: Vec<Standing>,
            attempts: Vec<Leased>,
        }
        #[derive(Deserialize)]
        struct Standing {
            result: String,
        }
        #[derive(Deserialize)]
        struct Leased {
            execution: String,
            attempt: String,
            input: Input,
        }
        let mut http = Connection::open(address).await?;
        let count = self.plan.workers / connections;
        let start = format!(r#"{{"agent":"{}","prompt":"Do what there is to do."}}"#, self.plan.agent.name());
        let mut attempts: Vec<Leased> = vec![];
        loop {
            let report = |a: &Leased| {
                format!(
                    r#"{{"execution":"{}","attempt":"{}","output":{}}}"#,
                    a.execution, a.attempt, self.output
                )
            };
            let reports: Vec<_> = attempts.iter().map(report).collect();
            let body = format!(
                r#"{{"queue":"{TOOL}","worker":"bench-{n}","count":{count},"waitMs":5000,"reports":[{}]}}"#,
                reports.join(",")
            );
            let began = Instant::now();
            let answer = http.post("/api/v1/work", &body).await?;
            if answer.status != 200 {
                return Err(
                    format!("work: {} {}", answer.status, String::from_utf8_lossy(&answer.body)).into()
                );
            }
            let ended = attempts.iter().filter(|a| a.input.last).count();
            let worked: Worked = serde_json::from_slice(&answer.body)?;
            if let Some(standing) = worked.results.iter().find(|s| s.result != "accepted") {
                return Err(format!("a report was {}", standing.result).into());
            }
            if !attempts.is_empty() {
                self.took(began);
            }
            attempts = worked.attempts;
            if ended > 0 {
                let body = format!(r#"{{"starts":[{}]}}"#, vec![start.clone(); ended].join(","));
                let answer = http.post("/api/v1/starts", &body).await?;
                if answer.status != 200 {
                    return Err(format!(
                        "starts: {} {}",
                        answer.status,
                        String::from_utf8_lossy(&answer.body)
                    )
                    .into());
                }
            }
        }
    }

    async fn locally(
        &self,
        runtime: &Runtime,
        agent: &Arc<agent::Agent>,
        version: i32,
        n: usize,
    ) -> Result<(), Error> {
        let worker = format!("bench-{n}");
        let output = Json::from_text(RawValue::from_string(self.output.clone())?.get().into())?;
        let mut next = None;
        loop {
            let Some(lease) = next.take() else {
                next = runtime.poll(TOOL, "", &worker, 1, Duration::from_secs(5)).await?.take().await.pop();
                continue;
            };
            let last = serde_json::from_str::<Input>(lease.input.text()).is_ok_and(|i| i.last);
            let report = Report {
                execution: lease.execution,
                attempt: lease.attempt,
                worker: worker.clone(),
                outcome: Outcome::Completed(output.clone()),
                wants_next: true,
            };
            let began = Instant::now();
            let reported = runtime.report(report).await?;
            self.took(began);
            if let Reported::Accepted(Some(offer)) = reported {
                next = offer.take().await.pop();
            }
            if last {
                local_start(runtime, agent, version).await?;
            }
        }
    }
}

async fn local_start(runtime: &Runtime, agent: &Arc<agent::Agent>, version: i32) -> Result<(), Error> {
    let input = r#"{"prompt":"Do what there is to do.","media":[],"context":{},"session_id":"","cwd":"."}"#;
    runtime
        .start(Start {
            id: ExecutionId::new(),
            agent: agent.clone(),
            version,
            input: Json::from_text(input.into())?,
            context: Json::from_text("{}".into())?,
            key: None,
            session: None,
            domain: None,
            domains: None,
            priority: 0,
            timeout: None,
            refused: None,
        })
        .await?;
    Ok(())
}

/// Unused ids, for those who write rows themselves.
pub fn ids(many: usize) -> (Vec<ExecutionId>, Vec<AttemptId>) {
    ((0..many).map(|_| ExecutionId::new()).collect(), (0..many).map(|_| AttemptId::new()).collect())
}

/// The door of a server.
pub fn door(server: &Server) -> Door {
    Door::Http(server.address)
}
