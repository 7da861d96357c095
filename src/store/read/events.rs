//! What happened to an execution.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::{Error, GenericClient};
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;

const SINCE: &str = include_str!("../../../sql/events/since.sql");
const TIMELINE: &str = include_str!("../../../sql/events/timeline.sql");

/// One event with what a stream shows of the attempt or question that it is about.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its number, from 1 without gaps.
    pub seq: i32,
    /// Its kind as stored, such as `tool_returned`.
    pub kind: String,
    /// What is said of it beyond its attempt.
    pub data: Option<Json>,
    /// When it happened.
    pub at: Timestamp,
    /// The attempt's turn.
    pub turn: Option<i32>,
    /// The attempt's tool, worker or model.
    pub name: Option<String>,
    /// The attempt's call id.
    pub call_id: Option<String>,
    /// What a tool was given.
    pub input: Option<Json>,
    /// What it returned.
    pub output: Option<Json>,
    /// Why it failed.
    pub error: Option<String>,
    /// What people are asked from then on, as a list; for the first question of its sort in a turn.
    pub asked: Option<Json>,
}

/// One line of a timeline.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The event's number.
    pub seq: i32,
    /// When.
    pub at: Timestamp,
    /// The event's kind as stored.
    pub kind: String,
    /// What happened, in words.
    pub text: String,
    /// The tool, worker or model that it is about.
    pub task: Option<String>,
    /// Which try.
    pub attempt: Option<i32>,
    /// Who tried.
    pub worker: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// The attempt's id.
    pub attempt_id: Option<AttemptId>,
}

/// Up to `limit` events from number `seq` on, oldest first; at least one, if there is one, but none after `bytes` as stored.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn since(
    db: &impl GenericClient,
    execution: ExecutionId,
    seq: i32,
    limit: i64,
    bytes: i64,
) -> Result<Vec<Event>, Error> {
    let since = db.prepare_cached(SINCE).await?;
    let event = |row: &Row| Event {
        seq: row.get("seq"),
        kind: row.get("kind"),
        data: row.get("data"),
        at: row.get("at"),
        turn: row.get("turn"),
        name: row.get("name"),
        call_id: row.get("call_id"),
        input: row.get("input"),
        output: row.get("output"),
        error: row.get("error"),
        asked: row.get("asked"),
    };
    Ok(db.query(&since, &[&execution, &seq, &limit, &bytes]).await?.iter().map(event).collect())
}

/// Everything that happened to an execution, as sentences.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn timeline(db: &impl GenericClient, execution: ExecutionId) -> Result<Vec<Moment>, Error> {
    let timeline = db.prepare_cached(TIMELINE).await?;
    let moment = |row: &Row| Moment {
        seq: row.get("seq"),
        at: row.get("at"),
        kind: row.get("kind"),
        text: row.get("what"),
        task: row.get("task"),
        attempt: row.get("attempt"),
        worker: row.get("worker"),
        error: row.get("error"),
        attempt_id: row.get("attempt_id"),
    };
    Ok(db.query(&timeline, &[&execution]).await?.iter().map(moment).collect())
}
