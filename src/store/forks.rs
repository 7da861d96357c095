//! Runs that go on from other runs: what is read of an original, and the copy of it.

use jiff::Timestamp;
use tokio_postgres::Client;

use super::commit::{Statements, task};
use super::read::executions::status_of;
use super::retention::missing;
use super::{Error, GenericClient};
use crate::engine::{Status, Task};
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;

const ORIGIN: &str = include_str!("../../sql/forks/origin.sql");
const HISTORY: &str = include_str!("../../sql/forks/history.sql");
const SIGNALS: &str = include_str!("../../sql/forks/signals.sql");
const ATTEMPTS: &str = include_str!("../../sql/forks/attempts.sql");
const CALLED: &str = include_str!("../../sql/forks/called.sql");
const FAILED_AT: &str = include_str!("../../sql/forks/failed_at.sql");
const TASK_OF: &str = include_str!("../../sql/forks/task_of.sql");
const ASKED_AGAIN: &str = include_str!("../../sql/forks/asked_again.sql");
const OF: &str = include_str!("../../sql/forks/of.sql");
pub(super) const COPY: &str = include_str!("../../sql/forks/copy.sql");

/// Forks of one run that are listed.
const SHOWN: i64 = 50;

/// The run that another one goes on from.
#[derive(Debug)]
pub struct Origin {
    /// Its agent.
    pub agent: String,
    /// Its agent's version.
    pub version: i32,
    /// Where it stands.
    pub status: Status,
    /// What it was started with.
    pub input: Json,
    /// Lower is first.
    pub priority: i16,
    /// Task name → domain.
    pub domains: Option<Json>,
    /// Number of its newest event.
    pub events: i32,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Whether its tools only told again what they had returned to another run.
    pub is_replay: bool,
}

/// A call of a replay.
#[derive(Debug)]
pub struct AskedAgain {
    /// Its turn.
    pub turn: u32,
    /// Which call of the turn.
    pub call: u16,
    /// How many messages the replay has.
    pub messages: u32,
    /// The run that is replayed.
    pub original: ExecutionId,
    /// How many messages that one has.
    pub recorded: u32,
}

/// One event of a run with what is needed to decide again.
#[derive(Debug)]
pub struct Past {
    /// Its number.
    pub seq: i32,
    /// Its kind as stored.
    pub kind: String,
    /// The attempt that it is about.
    pub attempt: Option<AttemptId>,
    /// What that was a try at.
    pub task: Option<Task>,
    /// What is said beyond that.
    pub data: Option<Json>,
    /// What a model answered, or what a tool returned that changes what the tools share.
    pub output: Option<Json>,
    /// Why it failed.
    pub error: Option<String>,
}

/// An attempt of the original.
#[derive(Debug, Clone, Copy)]
pub struct Old {
    /// Its id.
    pub id: AttemptId,
    /// The attempt before it.
    pub retry_of: Option<AttemptId>,
    /// Where it waited.
    pub queue: i32,
    /// What it was a try at.
    pub task: Task,
}

/// An execution that goes on from another one.
#[derive(Debug)]
pub struct NewFork {
    /// Its id.
    pub id: ExecutionId,
    /// The original.
    pub from: ExecutionId,
    /// After which event; 0 is before the first.
    pub at: i32,
    /// Messages up to there.
    pub messages: i32,
    /// The agent version that it runs.
    pub version: i32,
    /// What it is given.
    pub input: Json,
    /// What its tools share.
    pub context: Json,
    /// Idempotency key.
    pub key: Option<String>,
    /// `fork`, `retry`, `restart`, `rerun` or `replay`.
    pub way: &'static str,
    /// Attempts that are copied.
    pub attempts: Vec<Copied>,
}

/// An attempt that is copied.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The original's.
    pub old: AttemptId,
    /// The copy's.
    pub new: AttemptId,
    /// Whether it had ended by then; else it is asked anew.
    pub has_ended: bool,
    /// What it is given instead.
    pub input: Option<Json>,
    /// What it produced instead.
    pub output: Option<Json>,
}

/// A run that goes on from another one, as that one's page lists it.
#[derive(Debug, Clone)]
pub struct Fork {
    /// Its id.
    pub id: ExecutionId,
    /// After which event.
    pub at: i32,
    /// `fork`, `retry`, `restart` or `rerun`.
    pub way: String,
    /// Where it stands.
    pub status: Status,
    /// When it began.
    pub created_at: Timestamp,
}

/// The run that a fork begins with.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Postgres`], [`Error::Unavailable`]
pub async fn origin(db: &impl GenericClient, id: ExecutionId) -> Result<Origin, Error> {
    let row = db.query_opt(&db.prepare_cached(ORIGIN).await?, &[&id]).await?;
    let Some(row) = row else { return Err(missing(db, id).await) };
    Ok(Origin {
        agent: row.get("agent"),
        version: row.get("version"),
        status: status_of(row.get("status")),
        input: row.get("input"),
        priority: row.get("priority"),
        domains: row.get("domains"),
        events: row.get("last_seq"),
        ended_at: row.get("ended_at"),
        is_replay: row.get("is_replay"),
    })
}

/// Which call attempt `attempt` of a replay is.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn asked_again(
    db: &impl GenericClient,
    replay: ExecutionId,
    attempt: AttemptId,
) -> Result<AskedAgain, Error> {
    let row = db.query_one(&db.prepare_cached(ASKED_AGAIN).await?, &[&replay, &attempt]).await?;
    let number = |name| row.try_get(name).map(|n: i32| u32::try_from(n).unwrap_or(0));
    Ok(AskedAgain {
        turn: number("turn")?,
        call: u16::try_from(row.try_get::<_, i16>("call")?).unwrap_or(0),
        messages: number("messages")?,
        original: row.try_get("original")?,
        recorded: number("recorded")?,
    })
}

/// What happened up to event `upto`.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn history(db: &impl GenericClient, id: ExecutionId, upto: i32) -> Result<Vec<Past>, Error> {
    let rows = db.query(&db.prepare_cached(HISTORY).await?, &[&id, &upto]).await?;
    let past = |row: &tokio_postgres::Row| {
        let kind: Option<&str> = row.try_get("kind")?;
        Ok(Past {
            seq: row.try_get("seq")?,
            kind: row.try_get("what")?,
            attempt: row.try_get("attempt_id")?,
            task: kind.is_some().then(|| task(row)).transpose()?,
            data: row.try_get("data")?,
            output: row.try_get("output")?,
            error: row.try_get("error")?,
        })
    };
    rows.iter().map(past).collect()
}

/// What was signalled to a run, in order.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn signals(db: &impl GenericClient, id: ExecutionId) -> Result<Vec<String>, Error> {
    let rows = db.query(&db.prepare_cached(SIGNALS).await?, &[&id]).await?;
    Ok(rows.iter().map(|r| r.get::<_, Option<String>>("content").unwrap_or_default()).collect())
}

/// Every attempt of a run.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn attempts(db: &impl GenericClient, id: ExecutionId) -> Result<Vec<Old>, Error> {
    let rows = db.query(&db.prepare_cached(ATTEMPTS).await?, &[&id]).await?;
    let old = |row: &tokio_postgres::Row| {
        Ok(Old {
            id: row.try_get("id")?,
            retry_of: row.try_get("retry_of")?,
            queue: row.try_get("queue_id")?,
            task: task(row)?,
        })
    };
    rows.iter().map(old).collect()
}

/// The event by which a task was called; `None` when it never was.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn called(db: &impl GenericClient, id: ExecutionId, task: Task) -> Result<Option<i32>, Error> {
    let turn = i32::try_from(task.turn()).unwrap_or(i32::MAX);
    let call = i16::try_from(task.call()).unwrap_or(i16::MAX);
    let called = db.prepare_cached(CALLED).await?;
    Ok(db.query_opt(&called, &[&id, &task.kind(), &turn, &call]).await?.map(|r| r.get("seq")))
}

/// After which event a run that has ended without success is to go on.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn failed_at(db: &impl GenericClient, id: ExecutionId) -> Result<Option<i32>, Error> {
    let row = db.query_opt(&db.prepare_cached(FAILED_AT).await?, &[&id]).await?;
    Ok(row.and_then(|r| r.get("seq")))
}

/// The task that an attempt was a try at; `None` when the run has no such attempt.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn task_of(
    db: &impl GenericClient,
    id: ExecutionId,
    attempt: AttemptId,
) -> Result<Option<Task>, Error> {
    db.query_opt(&db.prepare_cached(TASK_OF).await?, &[&id, &attempt]).await?.map(|r| task(&r)).transpose()
}

/// The newest runs that go on from a run, oldest first.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn of(db: &impl GenericClient, id: ExecutionId) -> Result<Vec<Fork>, Error> {
    let rows = db.query(&db.prepare_cached(OF).await?, &[&id, &SHOWN]).await?;
    let fork = |row: &tokio_postgres::Row| Fork {
        id: row.get("id"),
        at: row.get("forked_at"),
        way: row.get("forked_as"),
        status: status_of(row.get("status")),
        created_at: row.get("created_at"),
    };
    Ok(rows.iter().map(fork).collect())
}

impl Statements {
    /// Begin executions with copies; returns the ids of those whose key was free.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn fork(&self, db: &Client, forks: &[&NewFork]) -> Result<Vec<ExecutionId>, Error> {
        let each = || forks.iter().flat_map(|f| f.attempts.iter().map(|a| (f.id, a)));
        macro_rules! column {
            ($rows:expr, $row:pat => $value:expr) => {
                $rows.map(|$row| $value).collect::<Vec<_>>()
            };
        }
        let rows = db
            .query(
                self.copy(),
                &[
                    &column!(forks.iter(), f => f.id),
                    &column!(forks.iter(), f => f.from),
                    &column!(forks.iter(), f => f.at),
                    &column!(forks.iter(), f => f.messages),
                    &column!(forks.iter(), f => f.version),
                    &column!(forks.iter(), f => &f.input),
                    &column!(forks.iter(), f => &f.context),
                    &column!(forks.iter(), f => f.key.as_ref()),
                    &column!(forks.iter(), f => f.way),
                    &column!(each(), (id, _) => id),
                    &column!(each(), (_, a) => a.old),
                    &column!(each(), (_, a) => a.new),
                    &column!(each(), (_, a) => a.has_ended),
                    &column!(each(), (_, a) => a.input.as_ref()),
                    &column!(each(), (_, a) => a.output.as_ref()),
                ],
            )
            .await?;
        Ok(rows.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?)
    }
}
