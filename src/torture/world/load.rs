//! Clients that start runs of many shapes, follow them, and remember what they were told.
//!
//! 1. A client never gives up: what it started it follows to its end, whoever dies meanwhile.
//! 2. What it was told is a promise: the judge holds the database to it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::Error;
use super::super::client::Careful;
use super::super::stage::WORK;
use super::dice::Dice;
use crate::id::ExecutionId;

/// Time between two looks at a run.
const LOOK: Duration = Duration::from_millis(120);
/// How long a run may take to end once its client looks.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a run is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One answer.
    Plain,
    /// Three calls at once, then one, then an answer.
    Calls,
    /// A call that fails twice before it succeeds.
    Retried,
    /// A call that fails for good; the model is told.
    Refused,
    /// Paused, and resumed a moment later.
    Paused,
    /// Cancelled in the middle of its calls.
    Cancelled,
    /// Told something on the way.
    Signalled,
    /// Followed by its stream from beginning to end.
    Followed,
    /// Started three times at once under one key.
    Repeated,
    /// One call whose first attempt never comes back by itself; not one of [`ALL`](Self::ALL).
    Hung,
}

impl Shape {
    /// All that end by themselves.
    pub const ALL: [Self; 9] = [
        Self::Plain,
        Self::Calls,
        Self::Retried,
        Self::Refused,
        Self::Paused,
        Self::Cancelled,
        Self::Signalled,
        Self::Followed,
        Self::Repeated,
    ];

    fn turns(self) -> Value {
        let call = |arguments: Value| json!({ "name": WORK, "arguments": arguments });
        let quick = || call(json!({ "millis": 30 }));
        let slowly = |calls: Vec<Value>| json!({ "calls": calls, "delay_ms": 15 });
        let answer = json!({ "text": "done", "delay_ms": 10 });
        match self {
            Self::Plain | Self::Repeated => json!([{ "text": "done", "delay_ms": 40 }]),
            Self::Calls | Self::Signalled | Self::Followed => {
                json!([slowly(vec![quick(), quick(), quick()]), slowly(vec![quick()]), answer])
            }
            Self::Hung => json!([{ "calls": [call(json!({ "hangs": true }))] }, { "text": "done" }]),
            Self::Retried => {
                json!([slowly(vec![call(json!({ "millis": 10, "fails": 2 })), quick()]), answer])
            }
            Self::Refused => json!([slowly(vec![call(json!({ "millis": 10, "fatal": true }))]), answer]),
            Self::Paused | Self::Cancelled => {
                let long = || call(json!({ "millis": 150 }));
                json!([slowly(vec![long(), long()]), slowly(vec![long()]), answer])
            }
        }
    }
}

/// What the clients were told, and what they found wrong.
#[derive(Debug, Default)]
pub struct History {
    /// Runs whose start was answered, and the states in which they may be found in the end.
    pub runs: HashMap<ExecutionId, (Shape, &'static [&'static str])>,
    /// What must never happen.
    pub wrong: Vec<String>,
    /// Answers of 503 and broken connections.
    pub failures: u32,
}

/// Clients at work.
pub struct Load {
    clients: JoinSet<()>,
    stop: CancellationToken,
    history: Arc<Mutex<History>>,
}

impl Load {
    /// Let these clients work.
    ///
    /// # Errors
    ///
    /// Scripts can't be written.
    pub fn start(
        clients: Vec<Careful>,
        shapes: &[Shape],
        directory: &Path,
        seed: u64,
    ) -> Result<Self, Error> {
        let agents: Arc<Vec<_>> = Arc::new(
            shapes
                .iter()
                .map(|shape| Ok((*shape, agent(*shape, directory)?)))
                .collect::<Result<_, Error>>()?,
        );
        let (stop, history) = (CancellationToken::new(), Arc::new(Mutex::new(History::default())));
        let mut set = JoinSet::new();
        for (number, http) in clients.into_iter().enumerate() {
            let mut client =
                Client { http, dice: Dice::fork(seed, number as u64 + 1), history: history.clone() };
            let (agents, stop) = (agents.clone(), stop.clone());
            set.spawn(async move {
                while !stop.is_cancelled() {
                    let (shape, agent) = &agents[client.dice.roll(agents.len())];
                    if let Err(error) = client.run(*shape, agent).await {
                        client.history().wrong.push(error.to_string());
                    }
                    for foul in client.http.fouls() {
                        client.history().wrong.push(foul);
                    }
                    client.history().failures += client.http.failures();
                }
            });
        }
        Ok(Self { clients: set, stop, history })
    }

    /// Start nothing more; let them.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Wait until all clients have seen the end of what they started, then say what they remember.
    pub async fn finish(mut self) -> History {
        self.stop();
        while self.clients.join_next().await.is_some() {}
        std::mem::take(&mut *self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An agent whose model plays the shape's turns.
pub(super) fn agent(shape: Shape, directory: &Path) -> Result<Value, Error> {
    let name = format!("storm_{shape:?}").to_lowercase();
    let file = directory.join(format!("{name}.json"));
    std::fs::write(&file, shape.turns().to_string())?;
    let tool = json!({ "name": WORK, "description": WORK, "inputSchema": { "type": "object" }, "toolType": "worker" });
    Ok(json!({
        "name": name, "model": format!("demo/script:{}", file.display()), "instructions": "Do it.", "tools": [tool],
        "maxTurns": 25, "timeoutSeconds": 0, "external": false,
    }))
}

struct Client {
    http: Careful,
    dice: Dice,
    history: Arc<Mutex<History>>,
}

impl Client {
    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&mut self, shape: Shape, agent: &Value) -> Result<(), Error> {
        let key = uuid::Uuid::now_v7().to_string();
        let request = json!({ "agentConfig": agent, "prompt": "Go.", "idempotencyKey": key });
        let id = match shape {
            Shape::Repeated => self.start_thrice(&request).await?,
            _ => self.start(&request).await?,
        };
        self.history().runs.insert(id, (shape, &["completed"]));
        let moment = self.dice.millis(5, 250);
        match shape {
            Shape::Paused => {
                tokio::time::sleep(moment).await;
                if self.tell("PUT", id, "pause", None).await? {
                    tokio::time::sleep(moment).await;
                    self.tell("PUT", id, "resume", None).await?;
                }
            }
            Shape::Cancelled => {
                tokio::time::sleep(moment).await;
                if self.tell("DELETE", id, "cancel", None).await? {
                    self.history().runs.insert(id, (shape, &["terminated"]));
                }
            }
            Shape::Signalled => {
                tokio::time::sleep(moment).await;
                self.tell("POST", id, "signal", Some(&json!({ "message": "hurry" }))).await?;
            }
            Shape::Followed => self.follow(id).await?,
            _ => {}
        }
        self.until_ended(id).await
    }

    async fn start(&self, request: &Value) -> Result<ExecutionId, Error> {
        let told = self.http.ask("POST", "/api/agent/start", Some(request)).await?;
        let id = told.body["executionId"].as_str().and_then(|id| id.parse().ok());
        id.ok_or_else(|| Error::Scenario(format!("a start was answered {}: {}", told.status, told.body)))
    }

    async fn start_thrice(&self, request: &Value) -> Result<ExecutionId, Error> {
        let (one, two, three) =
            tokio::try_join!(self.start(request), self.start(request), self.start(request))?;
        if one == two && two == three {
            return Ok(one);
        }
        Err(Error::Scenario(format!("one key started {one}, {two} and {three}")))
    }

    /// Ask for something; false when the run had ended before.
    async fn tell(
        &self,
        method: &str,
        id: ExecutionId,
        what: &str,
        body: Option<&Value>,
    ) -> Result<bool, Error> {
        let told = self.http.ask(method, &format!("/api/agent/{id}/{what}"), body).await?;
        match told.status {
            409 => Ok(false),
            _ if told.is_ok() => Ok(true),
            status => Err(Error::Scenario(format!("{what} of {id} was answered {status}: {}", told.body))),
        }
    }

    /// Look at a run until it has ended. What is seen then is never taken back.
    async fn until_ended(&self, id: ExecutionId) -> Result<(), Error> {
        let (began, path) = (Instant::now(), format!("/api/agent/{id}/status"));
        loop {
            let told = self.http.ask("GET", &path, None).await?;
            if told.status == 404 {
                return Err(Error::Scenario(format!("execution {id} was accepted and is not there")));
            }
            if told.body["isComplete"] == true {
                let result = &told.body["output"]["result"];
                if told.body["status"] == "COMPLETED" && result != "done" {
                    return Err(Error::Scenario(format!("execution {id} completed with {result}")));
                }
                return Ok(());
            }
            if told.body["status"] == "PAUSED" {
                // A pause whose answer was lost may arrive after the word to go on.
                self.tell("PUT", id, "resume", None).await?;
            }
            if began.elapsed() > PATIENCE {
                return Err(Error::Stuck(format!(
                    "execution {id} is still {} after {PATIENCE:?}",
                    told.body
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Follow a run's stream over every break, then read it again in one go: both must be the same frames.
    async fn follow(&self, id: ExecutionId) -> Result<(), Error> {
        let (began, mut seen) = (Instant::now(), vec![]);
        while began.elapsed() < PATIENCE {
            let ended = self.frames(id, &mut seen).await;
            if ended {
                let mut again = vec![];
                while !self.frames(id, &mut again).await && began.elapsed() < PATIENCE {}
                if seen == again {
                    return Ok(());
                }
                return Err(Error::Scenario(format!(
                    "the stream of {id} was cut and gave {seen:?}; in one go it gives {again:?}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(Error::Stuck(format!("the stream of {id} has not ended after {PATIENCE:?}")))
    }

    /// Frames beyond those that were seen, until the connection breaks; true when the last one came.
    async fn frames(&self, id: ExecutionId, seen: &mut Vec<(i64, String)>) -> bool {
        let base = &self.http.bases()[seen.len() % self.http.bases().len()];
        let mut request = self.http.http().get(format!("{base}/api/agent/stream/{id}"));
        if let Some((last, _)) = seen.last() {
            request = request.header("last-event-id", last.to_string());
        }
        let Ok(answer) = request.send().await else { return false };
        let (mut bytes, mut text) = (answer.bytes_stream(), String::new());
        loop {
            let Ok(Some(Ok(piece))) = tokio::time::timeout(Duration::from_secs(20), bytes.next()).await
            else {
                return false;
            };
            text.push_str(&String::from_utf8_lossy(&piece));
            while let Some((block, rest)) = text.split_once("\n\n") {
                let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let (Some(number), Some(kind)) = (line("id:").and_then(|n| n.parse().ok()), line("event:"))
                {
                    seen.push((number, kind.to_owned()));
                }
                text = rest.to_owned();
                if seen.last().is_some_and(|(_, kind)| kind == "done" || kind == "error") {
                    return true;
                }
            }
        }
    }
}
