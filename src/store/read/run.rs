//! One execution, in pieces of bounded size: what its pages read.
//!
//! Every page reads in one [`snapshot`], so its parts agree with each other however fast the execution grows meanwhile.
//! Payloads are cut by Postgres; whole ones are read in slices of [`SLICE`] bytes.

use std::fmt;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::retention::missing;
use super::super::{Error, GenericClient};
use super::executions::status_of;
use super::pages::Step;
use crate::engine::Status;
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;

/// Bytes of a payload that are in memory at a time while it is downloaded.
pub const SLICE: i32 = 8 * 1024 * 1024;
/// After every attempt's id.
const LAST: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/// A statement of these pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `$1` execution
    Head,
    /// `$1` execution, `$2` event
    AsOf,
    /// `$1` execution
    Work,
    /// `$1` execution, `$2` event
    WorkAsOf,
    /// `$1` execution, `$2` first, `$3` last
    Events,
    /// `$1` execution, `$2` first, `$3` last
    Messages,
    /// `$1` execution, `$2` before, `$3` how many
    Attempts,
    /// `$1` execution, `$2` event, `$3` before, `$4` how many
    AttemptsAsOf,
    /// `$1` execution, `$2` kind, `$3` turn, `$4` call
    Tries,
    /// `$1` execution, `$2` event, `$3` kind, `$4` turn, `$5` call
    TriesAsOf,
    /// `$1` execution, `$2` attempt
    Attempt,
    /// `$1` execution
    Payloads,
    /// `$1` execution
    State,
    /// `$1` execution
    Agent,
    /// `$1` execution
    Why,
    /// `$1` execution, `$2` until, `$3` and `$4` before, `$5` attempt, `$6` how many
    Logs,
}

impl Part {
    fn sql(self) -> &'static str {
        match self {
            Self::Head => include_str!("../../../sql/run/head.sql"),
            Self::AsOf => include_str!("../../../sql/run/as_of.sql"),
            Self::Work => include_str!("../../../sql/run/work.sql"),
            Self::WorkAsOf => include_str!("../../../sql/run/work_as_of.sql"),
            Self::Events => include_str!("../../../sql/run/events.sql"),
            Self::Messages => include_str!("../../../sql/run/messages.sql"),
            Self::Attempts => include_str!("../../../sql/run/attempts.sql"),
            Self::AttemptsAsOf => include_str!("../../../sql/run/attempts_as_of.sql"),
            Self::Tries => include_str!("../../../sql/run/tries.sql"),
            Self::TriesAsOf => include_str!("../../../sql/run/tries_as_of.sql"),
            Self::Attempt => include_str!("../../../sql/run/attempt.sql"),
            Self::Payloads => include_str!("../../../sql/run/payloads.sql"),
            Self::State => include_str!("../../../sql/run/state.sql"),
            Self::Agent => include_str!("../../../sql/run/agent.sql"),
            Self::Why => include_str!("../../../sql/executions/why.sql"),
            Self::Logs => include_str!("../../../sql/run/logs.sql"),
        }
    }

    /// The statement as it can be typed: `values` in the place of its parameters.
    #[must_use]
    pub fn printed(self, values: &[Value]) -> String {
        let lines: Vec<_> = self.sql().lines().filter(|line| !line.starts_with("--")).collect();
        let mut sql = lines.join("\n");
        for (n, value) in values.iter().enumerate().rev() {
            sql = sql.replace(&format!("${}", n + 1), &value.to_string());
        }
        sql.push(';');
        sql
    }
}

/// A value of a printed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Int(i64),
    /// A text, an id or a time.
    Text(String),
    /// Nothing.
    Null,
}

impl Value {
    /// Anything that is written as a text; `None` is null.
    pub fn text(value: Option<impl fmt::Display>) -> Self {
        value.map_or(Self::Null, |v| Self::Text(v.to_string()))
    }
}

impl From<ExecutionId> for Value {
    fn from(id: ExecutionId) -> Self {
        Self::Text(id.to_string())
    }
}

impl From<AttemptId> for Value {
    fn from(id: AttemptId) -> Self {
        Self::Text(id.to_string())
    }
}

impl<T: Into<i64>> From<T> for Value {
    fn from(n: T) -> Self {
        Self::Int(n.into())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => n.fmt(f),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Null => f.write_str("null"),
        }
    }
}

/// What every page of an execution begins with.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its id.
    pub id: ExecutionId,
    /// The agent that it runs.
    pub agent: String,
    /// The agent's version.
    pub version: i32,
    /// Where it stands.
    pub status: Status,
    /// Why it ended without plain completion; its beginning.
    pub reason: Option<String>,
    /// The beginning of its prompt; `None` when its input is too large to look into.
    pub prompt: Option<String>,
    /// Model calls begun.
    pub turn: i32,
    /// Messages of its conversation.
    pub messages: i32,
    /// Number of its newest event.
    pub events: i32,
    /// Idempotency key of its start.
    pub start_key: Option<String>,
    /// The conversation that it belongs to.
    pub session_id: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When something last happened.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it must have ended.
    pub deadline: Option<Timestamp>,
    /// Lower is first.
    pub priority: i16,
    /// Where its tools' queues are its own.
    pub domain: Option<String>,
    /// The run that it goes on from.
    pub origin: Option<Origin>,
}

/// The run that another one goes on from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Its id.
    pub id: ExecutionId,
    /// After which of its events; 0 is before the first.
    pub at: i32,
    /// `fork`, `retry`, `restart` or `rerun`.
    pub way: String,
}

/// How an execution stood after an event.
#[derive(Debug, Clone)]
pub struct AsOf {
    /// The event.
    pub event: i32,
    /// When it happened.
    pub at: Timestamp,
    /// Its kind as stored.
    pub kind: String,
    /// Where the execution stood.
    pub status: Status,
    /// Why it had ended.
    pub reason: Option<String>,
    /// Model calls begun.
    pub turn: i32,
    /// Messages of the conversation.
    pub messages: i32,
    /// Model calls that had ended with an answer.
    pub model_calls: i64,
    /// Tokens read.
    pub prompt_tokens: i64,
    /// Tokens written.
    pub completion_tokens: i64,
}

/// What an execution has cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    /// Model calls that ended with an answer.
    pub model_calls: i64,
    /// Tokens read.
    pub prompt_tokens: i64,
    /// Tokens written.
    pub completion_tokens: i64,
    /// Tries at tasks.
    pub attempts: i64,
    /// Tries that failed or were lost.
    pub failed: i64,
    /// Seconds in which something ran.
    pub working: f64,
    /// Lines that workers logged, counted to 10,001.
    pub lines: i64,
}

/// One event as a sentence.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Its number.
    pub seq: i32,
    /// When.
    pub at: Timestamp,
    /// Its kind as stored.
    pub kind: String,
    /// What happened, in words.
    pub what: String,
    /// The tool, worker or model that it is about.
    pub task: Option<String>,
    /// Which try.
    pub attempt: Option<i32>,
    /// Who tried.
    pub worker: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// 1-based.
    pub n: i32,
    /// When it was said.
    pub at: Timestamp,
    /// `user`, `assistant`, `tool`, `system` or `signal`.
    pub role: String,
    /// Its turn.
    pub turn: i32,
    /// The tool or model.
    pub name: Option<String>,
    /// The beginning of its text.
    pub text: Option<String>,
    /// Tools that the model wants called: a list of `name` and `arguments`, both cut.
    pub calls: Option<Json>,
    /// The beginning of what a tool returned.
    pub output: Option<String>,
    /// Bytes of all of its text or output.
    pub bytes: Option<i64>,
    /// Why the tool failed.
    pub error: Option<String>,
    /// Tokens read, for an answer of the model.
    pub prompt_tokens: Option<i64>,
    /// Tokens written, for an answer of the model.
    pub completion_tokens: Option<i64>,
    /// The attempt that it came from.
    pub attempt: Option<AttemptId>,
}

/// The beginning of a stored JSON.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Its first characters.
    pub text: String,
    /// Bytes of all of it.
    pub bytes: i64,
}

/// What an attempt was given and what it produced.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The call's id in the conversation.
    pub call_id: Option<String>,
    /// What it was given.
    pub input: Option<Beginning>,
    /// What it produced.
    pub output: Option<Beginning>,
}

/// What an execution was given, what it produced, what its tools share.
#[derive(Debug, Clone)]
pub struct Payloads {
    /// What it was given.
    pub input: Option<Beginning>,
    /// What it produced.
    pub output: Option<Beginning>,
    /// What its tools share.
    pub context: Option<Beginning>,
}

/// An agent version.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The agent.
    pub name: String,
    /// The version.
    pub version: i32,
    /// The version that new runs get.
    pub current: Option<i32>,
    /// sha256 of the definition, hex.
    pub checksum: String,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// When somebody deleted it.
    pub retired_at: Option<Timestamp>,
    /// The definition.
    pub definition: Option<Beginning>,
}

/// One line of a worker's log.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its number, growing.
    pub n: i64,
    /// The attempt that it is about.
    pub attempt: AttemptId,
    /// When it was logged.
    pub at: Timestamp,
    /// Its beginning.
    pub text: String,
    /// Bytes of all of it.
    pub bytes: i64,
    /// The tool or worker.
    pub name: Option<String>,
    /// The attempt's turn.
    pub turn: Option<i32>,
    /// Which try.
    pub number: Option<i32>,
    /// Who logged it.
    pub worker: Option<String>,
}

/// A payload that can be downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// What the execution was given.
    Input,
    /// What it produced.
    Output,
    /// What its tools share.
    Context,
    /// What an attempt was given.
    AttemptInput(AttemptId),
    /// What an attempt produced.
    AttemptOutput(AttemptId),
}

/// Begin to read: one view of the database, only reading, at most two seconds per statement.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn snapshot(db: &mut impl GenericClient) -> Result<Transaction<'_>, Error> {
    let snapshot = db.transaction().await?;
    snapshot
        .batch_execute(
            // A plan that fits any run reads all of a long one.
            "set transaction isolation level repeatable read, read only; set local statement_timeout = '2s'; \
             set local plan_cache_mode = force_custom_plan",
        )
        .await?;
    Ok(snapshot)
}

/// The execution with this id, without what it was given and what it produced.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Postgres`], [`Error::Unavailable`]
pub async fn head(db: &impl GenericClient, id: ExecutionId) -> Result<Head, Error> {
    let head = db.prepare_cached(Part::Head.sql()).await?;
    let Some(row) = db.query_opt(&head, &[&id]).await? else { return Err(missing(db, id).await) };
    Ok(Head {
        id,
        agent: row.get("agent"),
        version: row.get("version"),
        status: status_of(row.get("status")),
        reason: row.get("reason"),
        prompt: row.get("prompt"),
        turn: row.get("turn"),
        messages: row.get("messages"),
        events: row.get("last_seq"),
        start_key: row.get("start_key"),
        session_id: row.get("session_id"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
        ended_at: row.get("ended_at"),
        deadline: row.get("deadline"),
        priority: row.get("priority"),
        domain: row.get("domain"),
        origin: row.get::<_, Option<ExecutionId>>("forked_from").map(|id| Origin {
            id,
            at: row.get("forked_at"),
            way: row.get("forked_as"),
        }),
    })
}

/// How an execution stood after event `n`; `None` when there is no such event.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn as_of(db: &impl GenericClient, id: ExecutionId, n: i32) -> Result<Option<AsOf>, Error> {
    let as_of = db.prepare_cached(Part::AsOf.sql()).await?;
    Ok(db.query_opt(&as_of, &[&id, &n]).await?.map(|row| AsOf {
        event: row.get("event"),
        at: row.get("at"),
        kind: row.get("kind"),
        status: status_of(row.get("status")),
        reason: row.get("reason"),
        turn: row.get("turn"),
        messages: row.get("messages"),
        model_calls: row.get("model_calls"),
        prompt_tokens: row.get("prompt_tokens"),
        completion_tokens: row.get("completion_tokens"),
    }))
}

/// What an execution has cost so far.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn work(db: &impl GenericClient, id: ExecutionId) -> Result<Work, Error> {
    let work = db.prepare_cached(Part::Work.sql()).await?;
    let row = db.query_one(&work, &[&id]).await?;
    Ok(Work {
        model_calls: row.get("model_calls"),
        prompt_tokens: row.get("prompt_tokens"),
        completion_tokens: row.get("completion_tokens"),
        attempts: row.get("attempts"),
        failed: row.get("failed"),
        working: row.get("working"),
        lines: row.get("lines"),
    })
}

/// What it had cost after an event; lines of logs are not counted.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn work_as_of(db: &impl GenericClient, id: ExecutionId, then: &AsOf) -> Result<Work, Error> {
    let work = db.prepare_cached(Part::WorkAsOf.sql()).await?;
    let row = db.query_one(&work, &[&id, &then.event]).await?;
    Ok(Work {
        model_calls: then.model_calls,
        prompt_tokens: then.prompt_tokens,
        completion_tokens: then.completion_tokens,
        attempts: row.get("attempts"),
        failed: row.get("failed"),
        working: row.get("working"),
        lines: 0,
    })
}

/// What happened from event `first` to event `last`, oldest first.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn events(
    db: &impl GenericClient,
    id: ExecutionId,
    first: i32,
    last: i32,
) -> Result<Vec<Moment>, Error> {
    let events = db.prepare_cached(Part::Events.sql()).await?;
    let moment = |row: &Row| Moment {
        seq: row.get("seq"),
        at: row.get("at"),
        kind: row.get("kind"),
        what: row.get("what"),
        task: row.get("task"),
        attempt: row.get("attempt"),
        worker: row.get("worker"),
        error: row.get("error"),
    };
    Ok(db.query(&events, &[&id, &first, &last]).await?.iter().map(moment).collect())
}

/// What was said from message `first` to message `last`, oldest first.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn messages(
    db: &impl GenericClient,
    id: ExecutionId,
    first: i32,
    last: i32,
) -> Result<Vec<Message>, Error> {
    let messages = db.prepare_cached(Part::Messages.sql()).await?;
    let message = |row: &Row| Message {
        n: row.get("n"),
        at: row.get("at"),
        role: row.get("role"),
        turn: row.get("turn"),
        name: row.get("name"),
        text: row.get("text"),
        calls: row.get("calls"),
        output: row.get("output"),
        bytes: row.get("bytes"),
        error: row.get("error"),
        prompt_tokens: row.get("prompt_tokens"),
        completion_tokens: row.get("completion_tokens"),
        attempt: row.get("attempt_id"),
    };
    Ok(db.query(&messages, &[&id, &first, &last]).await?.iter().map(message).collect())
}

/// After every attempt's id: where a list of attempts begins.
#[must_use]
pub fn last_attempt() -> AttemptId {
    LAST.parse().expect("it is written as an id")
}

/// Up to `limit` attempts before `before`, newest first; with an event, as they stood after it.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn attempts(
    db: &impl GenericClient,
    id: ExecutionId,
    at: Option<i32>,
    before: AttemptId,
    limit: i64,
) -> Result<Vec<Step>, Error> {
    let rows = if let Some(n) = at {
        let attempts = db.prepare_cached(Part::AttemptsAsOf.sql()).await?;
        db.query(&attempts, &[&id, &n, &before, &limit]).await?
    } else {
        let attempts = db.prepare_cached(Part::Attempts.sql()).await?;
        db.query(&attempts, &[&id, &before, &limit]).await?
    };
    Ok(rows.iter().map(Step::from).collect())
}

/// The tries at one task, oldest first; with an event, as they stood after it. The newest hundred of them.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn tries(
    db: &impl GenericClient,
    id: ExecutionId,
    at: Option<i32>,
    (kind, turn, call): (&str, i32, i16),
) -> Result<Vec<Step>, Error> {
    let rows = if let Some(n) = at {
        let tries = db.prepare_cached(Part::TriesAsOf.sql()).await?;
        db.query(&tries, &[&id, &n, &kind, &turn, &call]).await?
    } else {
        let tries = db.prepare_cached(Part::Tries.sql()).await?;
        db.query(&tries, &[&id, &kind, &turn, &call]).await?
    };
    Ok(rows.iter().rev().map(Step::from).collect())
}

fn beginning(row: &Row, text: &str, bytes: &str) -> Option<Beginning> {
    Some(Beginning { text: row.get::<_, Option<_>>(text)?, bytes: row.get(bytes) })
}

/// What an attempt was given and what it produced.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Postgres`], [`Error::Unavailable`]
pub async fn exchange(
    db: &impl GenericClient,
    id: ExecutionId,
    attempt: AttemptId,
) -> Result<Exchange, Error> {
    let exchange = db.prepare_cached(Part::Attempt.sql()).await?;
    let row = db.query_opt(&exchange, &[&id, &attempt]).await?;
    let row = row.ok_or_else(|| Error::NotFound { what: "attempt", id: attempt.to_string() })?;
    Ok(Exchange {
        call_id: row.get("call_id"),
        input: beginning(&row, "input", "input_bytes"),
        output: beginning(&row, "output", "output_bytes"),
    })
}

/// What an execution was given, what it produced, what its tools share.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Postgres`], [`Error::Unavailable`]
pub async fn payloads(db: &impl GenericClient, id: ExecutionId) -> Result<Payloads, Error> {
    let payloads = db.prepare_cached(Part::Payloads.sql()).await?;
    let Some(row) = db.query_opt(&payloads, &[&id]).await? else { return Err(missing(db, id).await) };
    Ok(Payloads {
        input: beginning(&row, "input", "input_bytes"),
        output: beginning(&row, "output", "output_bytes"),
        context: beginning(&row, "context", "context_bytes"),
    })
}

/// The engine's state and the context that tools share.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Postgres`], [`Error::Unavailable`]
pub async fn state(
    db: &impl GenericClient,
    id: ExecutionId,
) -> Result<(Option<Beginning>, Option<Beginning>), Error> {
    let state = db.prepare_cached(Part::State.sql()).await?;
    let Some(row) = db.query_opt(&state, &[&id]).await? else { return Err(missing(db, id).await) };
    Ok((beginning(&row, "state", "state_bytes"), beginning(&row, "context", "context_bytes")))
}

/// The agent version that an execution runs.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Postgres`], [`Error::Unavailable`]
pub async fn agent(db: &impl GenericClient, id: ExecutionId) -> Result<Definition, Error> {
    let agent = db.prepare_cached(Part::Agent.sql()).await?;
    let Some(row) = db.query_opt(&agent, &[&id]).await? else { return Err(missing(db, id).await) };
    Ok(Definition {
        name: row.get("name"),
        version: row.get("version"),
        current: row.get("current"),
        checksum: row.get("checksum"),
        created_at: row.get("created_at"),
        retired_at: row.get("retired_at"),
        definition: beginning(&row, "definition", "bytes"),
    })
}

/// Which lines of logs.
#[derive(Debug, Clone, Copy)]
pub struct Lines {
    /// Only what was logged until then.
    pub until: Option<Timestamp>,
    /// Only what stands before this line of this attempt.
    pub before: (AttemptId, i64),
    /// Only what is about this attempt.
    pub of: Option<AttemptId>,
    /// How many.
    pub limit: i64,
}

impl Lines {
    /// The parameters of the statement, for printing.
    #[must_use]
    pub fn values(&self, id: ExecutionId) -> Vec<Value> {
        let (attempt, n) = self.before;
        let (until, of) = (Value::text(self.until), Value::text(self.of));
        vec![id.into(), until, attempt.into(), n.into(), of, self.limit.into()]
    }
}

/// What workers logged, newest attempt first.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn logs(db: &impl GenericClient, id: ExecutionId, lines: Lines) -> Result<Vec<Line>, Error> {
    let logs = db.prepare_cached(Part::Logs.sql()).await?;
    let (attempt, n) = lines.before;
    let rows = db.query(&logs, &[&id, &lines.until, &attempt, &n, &lines.of, &lines.limit]).await?;
    let line = |row: &Row| Line {
        n: row.get("n"),
        attempt: row.get("attempt_id"),
        at: row.get("at"),
        text: row.get("line"),
        bytes: row.get("bytes"),
        name: row.get("name"),
        turn: row.get("turn"),
        number: row.get("attempt"),
        worker: row.get("worker"),
    };
    Ok(rows.iter().map(line).collect())
}

/// Up to [`SLICE`] bytes of a payload from the byte after `offset` on, and how many it has; `None` when there is none. The
/// context of a run that goes on may change between slices, so it comes as one.
///
/// # Errors
///
/// [`Error::NotFound`] when there is no such execution or attempt, [`Error::Postgres`], [`Error::Unavailable`]
pub async fn slice(
    db: &impl GenericClient,
    id: ExecutionId,
    whole: Whole,
    offset: i32,
) -> Result<Option<(Vec<u8>, i64)>, Error> {
    let (from, most) =
        (offset.saturating_add(1), if whole == Whole::Context { i32::MAX - offset } else { SLICE });
    let row = match whole {
        Whole::Input | Whole::Output | Whole::Context => {
            let sql = match whole {
                Whole::Input => include_str!("../../../sql/run/input.sql"),
                Whole::Output => include_str!("../../../sql/run/output.sql"),
                _ => include_str!("../../../sql/run/context.sql"),
            };
            let slice = db.prepare_cached(sql).await?;
            match db.query_opt(&slice, &[&id, &from, &most]).await? {
                Some(row) => row,
                None => return Err(missing(db, id).await),
            }
        }
        Whole::AttemptInput(attempt) | Whole::AttemptOutput(attempt) => {
            let sql = match whole {
                Whole::AttemptInput(_) => include_str!("../../../sql/run/attempt_input.sql"),
                _ => include_str!("../../../sql/run/attempt_output.sql"),
            };
            let slice = db.prepare_cached(sql).await?;
            let row = db.query_opt(&slice, &[&id, &attempt, &from, &most]).await?;
            row.ok_or_else(|| Error::NotFound { what: "attempt", id: attempt.to_string() })?
        }
    };
    Ok(row.get::<_, Option<Vec<u8>>>("slice").map(|slice| (slice, row.get("bytes"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_statement_holds_its_values() {
        let id: ExecutionId = "01a1fcfa-538f-71c9-afdc-37c6bf8c69cf".parse().unwrap();
        let sql = Part::TriesAsOf.printed(&[
            id.into(),
            33.into(),
            Value::text(Some("it's")),
            2.into(),
            Value::Null,
        ]);
        assert!(sql.contains("tenure.attempts_as_of('01a1fcfa-538f-71c9-afdc-37c6bf8c69cf', 33)"), "{sql}");
        assert!(
            sql.contains("kind = 'it''s' and turn = 2 and call = null") && sql.ends_with("limit 100;"),
            "{sql}"
        );
        assert!(!sql.contains("--") && !sql.contains('$'), "{sql}");
    }
}
