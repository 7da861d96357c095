//! What the pages show: narrow rows, and never more of them than a page holds.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::{Error, GenericClient};
use super::costs::{self, Cost, Money};
use super::executions::status_of;
use crate::engine::Status;
use crate::id::{AttemptId, ExecutionId};

const AGENTS: &str = include_str!("../../../sql/pages/agents.sql");
const LIST: &str = include_str!("../../../sql/pages/list.sql");
const SHAPES: &str = include_str!("../../../sql/pages/shapes.sql");

/// One line of the list of executions.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its id.
    pub id: ExecutionId,
    /// The agent that it runs.
    pub agent: String,
    /// The agent's version.
    pub version: i32,
    /// Where it stands.
    pub status: Status,
    /// Why it ended without plain completion.
    pub reason: Option<String>,
    /// The beginning of its prompt.
    pub prompt: Option<String>,
    /// The beginning of its result.
    pub result: Option<String>,
    /// Model calls begun.
    pub turn: i32,
    /// Tokens read and written so far.
    pub tokens: i64,
    /// What they cost.
    pub cost: Cost,
    /// The session that it belongs to.
    pub session: Option<String>,
    /// When it was accepted.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it waits for most.
    pub waits: Option<Wait>,
}

/// The reason that matters most of those for which an execution waits.
#[derive(Debug, Clone)]
pub struct Wait {
    /// Its kind, such as `no_worker`.
    pub code: String,
    /// The reason in words.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// How many reasons there are, this one included.
    pub reasons: i64,
}

/// One attempt without what it was given and what it produced.
#[derive(Debug, Clone)]
pub struct Step {
    /// The execution.
    pub execution: ExecutionId,
    /// The attempt.
    pub id: AttemptId,
    /// `model`, `tool` or `check`.
    pub kind: String,
    /// 1-based.
    pub turn: i32,
    /// Which of the turn's calls, 0-based.
    pub call: i16,
    /// Which try, 1-based.
    pub number: i32,
    /// Tool, worker or model.
    pub name: String,
    /// `ready`, `deferred`, `held`, `leased`, or how it ended.
    pub status: String,
    /// Who has it or had it.
    pub worker: Option<String>,
    /// Where it waits or waited.
    pub queue: String,
    /// The queue's domain, empty for none.
    pub domain: String,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it was first handed out.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it may run, while it waits.
    pub run_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// Tokens read, for a model call.
    pub prompt_tokens: Option<i64>,
    /// Tokens written, for a model call.
    pub completion_tokens: Option<i64>,
    /// What it cost, where that was looked up and it did: an answer copied from another run cost nothing again. `Some(None)`
    /// is a cost that is not known.
    pub cost: Option<Option<Money>>,
}

impl From<&Row> for Step {
    fn from(row: &Row) -> Self {
        Self {
            execution: row.get("execution_id"),
            id: row.get("attempt_id"),
            kind: row.get("kind"),
            turn: row.get("turn"),
            call: row.get("call"),
            number: row.get("attempt"),
            name: row.get("name"),
            status: row.get("status"),
            worker: row.get("worker"),
            queue: row.get("queue"),
            domain: row.get("domain"),
            created_at: row.get("created_at"),
            started_at: row.get("started_at"),
            ended_at: row.get("ended_at"),
            run_at: row.get("run_at"),
            error: row.get("error"),
            prompt_tokens: row.get("prompt_tokens"),
            completion_tokens: row.get("completion_tokens"),
            cost: None,
        }
    }
}

/// These executions as lines of a list, newest first; those that are not there are left out.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn lines(db: &impl GenericClient, ids: &[ExecutionId]) -> Result<Vec<Line>, Error> {
    let list = db.prepare_cached(LIST).await?;
    let found = db.query(&list, &[&ids]).await?;
    let mut costs = costs::of_runs(db, ids).await?;
    let waits = |row: &Row| {
        Some(Wait {
            code: row.get::<_, Option<_>>("code")?,
            text: row.get("text"),
            hint: row.get("hint"),
            reasons: row.get("reasons"),
        })
    };
    let mut line = |row: &Row| Line {
        id: row.get("id"),
        agent: row.get("agent"),
        version: row.get("version"),
        status: status_of(row.get("status")),
        reason: row.get("reason"),
        prompt: row.get("prompt"),
        result: row.get("result"),
        turn: row.get("turn"),
        tokens: row.get("tokens"),
        cost: costs.remove(&row.get("id")).unwrap_or_default(),
        session: row.get("session_id"),
        started_at: row.get("created_at"),
        ended_at: row.get("ended_at"),
        waits: waits(row),
    };
    Ok(found.iter().map(&mut line).collect())
}

/// A number of rows as Postgres takes it.
fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Names of agents to choose from.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn agents(db: &impl GenericClient) -> Result<Vec<String>, Error> {
    let agents = db.prepare_cached(AGENTS).await?;
    Ok(db.query(&agents, &[]).await?.iter().map(|row| row.get("name")).collect())
}

/// The first `limit` attempts of each of these executions, oldest first.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn shapes(
    db: &impl GenericClient,
    executions: &[ExecutionId],
    limit: usize,
) -> Result<Vec<Step>, Error> {
    let shapes = db.prepare_cached(SHAPES).await?;
    Ok(db.query(&shapes, &[&executions, &rows(limit)]).await?.iter().map(Step::from).collect())
}
