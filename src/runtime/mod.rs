//! Makes each decision durable: outcomes in, one commit out.
//!
//! Handlers, performers and timers call the methods of [`Runtime`]; nothing else writes to an execution.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::engine::{self, Task};
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;
use crate::store;

/// The queue of model calls, which servers perform themselves. Tools can't have a dot in their name.
pub const MODEL_QUEUE: &str = "tenure.model";

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The execution is in no state for it (it has ended, or is paused already). A conflict at the edge.
    #[error(transparent)]
    Illegal(#[from] engine::IllegalEvent),
    /// More is waiting to be committed than fits; try again in a moment.
    #[error("the server has more to write than it can; try again in a moment")]
    Busy,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The database said no, or nothing.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A run that somebody wants.
#[derive(Debug, Clone)]
pub struct Start {
    /// Its id, made by the caller.
    pub id: ExecutionId,
    /// The agent version that it runs.
    pub agent: Arc<Agent>,
    /// Its number.
    pub version: i32,
    /// `{"prompt", "media", "context", "session_id", …}`, storable.
    pub input: Json,
    /// What its tools share at the beginning; an object.
    pub context: Json,
    /// Idempotency key: the same one starts one execution.
    pub key: Option<String>,
    /// Groups executions of one conversation.
    pub session: Option<String>,
    /// Domain in which its stateful tools' calls wait.
    pub domain: Option<String>,
    /// Task name → domain, as an object of strings.
    pub domains: Option<Json>,
    /// Lower is first; 0 unless said.
    pub priority: i16,
    /// Overrides the agent's.
    pub timeout: Option<Duration>,
    /// The run is accepted and ends at once with this reason (its model provider is not configured).
    pub refused: Option<String>,
}

/// What became of a [`Start`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The execution; another one's id when the key was taken.
    pub id: ExecutionId,
    /// The agent version that it runs.
    pub version: i32,
    /// Whether this start made it.
    pub is_new: bool,
}

/// How a worker's try ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// With an output, a JSON object in storable form.
    Completed(Json),
    /// With an error.
    Failed {
        /// Why, for people and the model.
        error: String,
        /// Whether another try makes sense.
        retryable: bool,
        /// What it produced all the same.
        output: Option<Json>,
    },
}

/// What a worker says about an attempt.
#[derive(Debug, Clone)]
pub struct Report {
    /// The execution.
    pub execution: ExecutionId,
    /// The attempt.
    pub attempt: AttemptId,
    /// Who says it; kept when the lease does not know.
    pub worker: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Also lease the next attempt of this queue to this worker, in the same commit.
    pub next: Option<Next>,
}

/// Who would take the next attempt.
#[derive(Debug, Clone)]
pub struct Next {
    /// Task name.
    pub queue: String,
    /// Its domain, empty for none.
    pub domain: String,
    /// The worker.
    pub worker: String,
}

/// What became of a [`Report`].
#[derive(Debug, Clone)]
pub enum Reported {
    /// It counts (or it is the same report again). The next attempt, when one was asked for and there is one.
    Accepted(Option<Box<Lease>>),
    /// Too late: the attempt was lost, retried or withdrawn. Nothing changed.
    TooLate,
    /// Nobody knows the attempt.
    Unknown,
}

/// An attempt that a worker has until a time.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The execution.
    pub execution: ExecutionId,
    /// The attempt.
    pub attempt: AttemptId,
    /// What it is a try at.
    pub task: Task,
    /// The queue's name: tool, check or [`MODEL_QUEUE`].
    pub queue: String,
    /// The queue's domain, empty for none.
    pub domain: String,
    /// Tool, check or model.
    pub name: String,
    /// The call's id in the conversation.
    pub call_id: Option<String>,
    /// The task's input as stored.
    pub input: Json,
    /// Which try, 1-based.
    pub number: u32,
    /// Earlier tries that were lost with their worker.
    pub losses: u32,
    /// The attempt before.
    pub retry_of: Option<AttemptId>,
    /// How often it was handed out, this time included.
    pub polls: u32,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it was first handed out.
    pub started_at: Timestamp,
    /// Seconds of the lease.
    pub lease_secs: f64,
    /// Priority of the execution.
    pub priority: i16,
    /// The agent.
    pub agent: String,
    /// Its version.
    pub version: i32,
    /// What the execution's tools share now.
    pub context: Json,
    /// The execution's input.
    pub execution_input: Json,
    /// The execution's start key.
    pub start_key: Option<String>,
    /// The worker session that has it.
    pub worker_id: i64,
}

/// Everything a server process shares. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

struct Shared {
    pool: store::Pool,
    stop: CancellationToken,
}

impl Runtime {
    /// Connections for reading.
    #[must_use]
    pub fn pool(&self) -> &store::Pool {
        &self.shared.pool
    }

    /// Cancelled when the server drains: long polls answer at once, streams close.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.shared.stop
    }

    /// Accept a run. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Error`]; with the same key it may be tried again.
    pub async fn start(&self, start: Start) -> Result<Started, Error> {
        let _ = start;
        unimplemented!()
    }

    /// Something a person or program wants of an execution: pause, resume, stop, signal, cancel.
    ///
    /// # Errors
    ///
    /// [`Error::Illegal`] when its state does not allow it; [`store::Error::NotFound`].
    pub async fn control(&self, id: ExecutionId, event: engine::Event, by: &str) -> Result<(), Error> {
        let _ = (id, event, by);
        unimplemented!()
    }

    /// A worker's report. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Error`]; the same report may be sent again.
    pub async fn report(&self, report: Report) -> Result<Reported, Error> {
        let _ = report;
        unimplemented!()
    }

    /// Wait up to `timeout` for up to `count` attempts of a queue. Empty when there were none.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the database can't be reached.
    pub async fn poll(
        &self,
        queue: &str,
        domain: &str,
        worker: &str,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<Lease>, Error> {
        let _ = (queue, domain, worker, count, timeout);
        unimplemented!()
    }

    /// Extend a lease from now by what the task's definition says; false when nobody has the attempt.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]
    pub async fn extend(&self, execution: ExecutionId, attempt: AttemptId) -> Result<bool, Error> {
        let _ = (execution, attempt);
        unimplemented!()
    }

    /// Hand an attempt out again after `delay`, keeping it the same attempt; false when it is not queued.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]
    pub async fn call_back(&self, execution: ExecutionId, attempt: AttemptId, delay: Duration) -> Result<bool, Error> {
        let _ = (execution, attempt, delay);
        unimplemented!()
    }

    /// Resolves when `execution` may have more than `seq` events: soon after a commit anywhere, and at the latest after
    /// a second or so. The caller reads the table again; this is a hint.
    pub async fn changed(&self, execution: ExecutionId, seq: i32) {
        let _ = (execution, seq);
        unimplemented!()
    }
}
