//! Attempts as they stand: what is to be done, who has it, how it ended.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::{Error, GenericClient};
use crate::engine::Task;
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;

const GET: &str = include_str!("../../../sql/tasks/get.sql");
const OF_EXECUTION: &str = include_str!("../../../sql/tasks/of_execution.sql");
const OPEN_BY_REF: &str = include_str!("../../../sql/tasks/open_by_ref.sql");
const EXECUTION_OF: &str = include_str!("../../../sql/tasks/execution_of.sql");

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In the queue, and nobody has it: ready, deferred or held.
    Waiting,
    /// A worker has it.
    Leased,
    /// It ended with an output.
    Completed,
    /// It failed and was tried again.
    Failed,
    /// It failed, and there was no other try.
    GaveUp,
    /// Its worker was lost.
    Lost,
    /// The execution ended before it did.
    Withdrawn,
}

impl Standing {
    /// In a word: `waiting`, `leased`, or how it ended.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Leased => "leased",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::GaveUp => "gave_up",
            Self::Lost => "lost",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// One try at a task.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The execution.
    pub execution: ExecutionId,
    /// The attempt.
    pub id: AttemptId,
    /// What it is a try at.
    pub task: Task,
    /// Which try, 1-based.
    pub number: i32,
    /// Tries before it that were lost with their worker.
    pub losses: i32,
    /// Tool, worker or model.
    pub name: String,
    /// The call's id in the conversation.
    pub call_id: Option<String>,
    /// The domain of its queue, empty for none.
    pub domain: String,
    /// Where it stands.
    pub standing: Standing,
    /// Who has it or had it.
    pub worker: Option<String>,
    /// How often it was handed out.
    pub polls: i32,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it was first handed out.
    pub started_at: Option<Timestamp>,
    /// When its lease was last given.
    pub leased_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it may run, while it waits.
    pub run_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// The attempt before.
    pub retry_of: Option<AttemptId>,
    /// The task's input as stored.
    pub input: Json,
    /// What it produced.
    pub output: Option<Json>,
    /// Seconds of its leases.
    pub lease_secs: Option<i32>,
}

impl From<&Row> for Attempt {
    fn from(row: &Row) -> Self {
        Self {
            execution: row.get("execution_id"),
            id: row.get("attempt_id"),
            task: task(row),
            number: row.get("attempt"),
            losses: row.get("losses"),
            name: row.get("name"),
            call_id: row.get("call_id"),
            domain: row.get("domain"),
            standing: standing(row.get("status")),
            worker: row.get("worker"),
            polls: row.get("polls"),
            created_at: row.get("created_at"),
            started_at: row.get("started_at"),
            leased_at: row.get("leased_at"),
            ended_at: row.get("ended_at"),
            run_at: row.get("run_at"),
            error: row.get("error"),
            retry_of: row.get("retry_of"),
            input: row.get("input"),
            output: row.get("output"),
            lease_secs: row.get("response_timeout_secs"),
        }
    }
}

fn task(row: &Row) -> Task {
    let turn = u32::try_from(row.get::<_, i32>("turn")).unwrap_or_default();
    match row.get("kind") {
        "model" => Task::Model { turn },
        "check" => Task::Check { turn },
        _ => Task::Tool { turn, call: u16::try_from(row.get::<_, i16>("call")).unwrap_or_default() },
    }
}

fn standing(status: &str) -> Standing {
    match status {
        "leased" => Standing::Leased,
        "completed" => Standing::Completed,
        "failed" => Standing::Failed,
        "gave_up" => Standing::GaveUp,
        "lost" => Standing::Lost,
        "withdrawn" => Standing::Withdrawn,
        _ => Standing::Waiting,
    }
}

/// An attempt together with what is said of it outside of its execution.
#[derive(Debug, Clone)]
pub struct Whole {
    /// The attempt.
    pub attempt: Attempt,
    /// The agent that its execution runs.
    pub agent: String,
    /// The agent's version.
    pub version: i32,
    /// Priority of the execution.
    pub priority: i16,
    /// Idempotency key of the execution's start.
    pub start_key: Option<String>,
}

/// All attempts of an execution, in the order of the run.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn of_execution(db: &impl GenericClient, execution: ExecutionId) -> Result<Vec<Attempt>, Error> {
    let of_execution = db.prepare_cached(OF_EXECUTION).await?;
    Ok(db.query(&of_execution, &[&execution]).await?.iter().map(Attempt::from).collect())
}

/// One attempt.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Postgres`], [`Error::Unavailable`]
pub async fn get(db: &impl GenericClient, id: AttemptId) -> Result<Whole, Error> {
    let get = db.prepare_cached(GET).await?;
    let row = db
        .query_opt(&get, &[&id])
        .await?
        .ok_or_else(|| Error::NotFound { what: "task", id: id.to_string() })?;
    Ok(Whole {
        attempt: Attempt::from(&row),
        agent: row.get("agent"),
        version: row.get("version"),
        priority: row.get("priority"),
        start_key: row.get("start_key"),
    })
}

/// The open attempt of a tool call, by its turn and call id, or of a check, by its turn and name.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn open_by_ref(
    db: &impl GenericClient,
    execution: ExecutionId,
    turn: i32,
    name: &str,
) -> Result<Option<AttemptId>, Error> {
    let open_by_ref = db.prepare_cached(OPEN_BY_REF).await?;
    Ok(db.query_opt(&open_by_ref, &[&execution, &turn, &name]).await?.map(|row| row.get("id")))
}

/// The execution that an attempt belongs to; `None` when nobody knows it.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn execution_of(db: &impl GenericClient, attempt: AttemptId) -> Result<Option<ExecutionId>, Error> {
    let execution_of = db.prepare_cached(EXECUTION_OF).await?;
    Ok(db.query_opt(&execution_of, &[&attempt]).await?.map(|row| row.get("execution_id")))
}
