//! Executions as they stand.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as Unreadable, StrDeserializer};
use tokio_postgres::Row;

use super::super::retention::missing;
use super::super::{Error, GenericClient};
use crate::engine::Status;
use crate::id::ExecutionId;
use crate::json::Json;

const COUNT: &str = include_str!("../../../sql/executions/count.sql");
const GET: &str = include_str!("../../../sql/executions/get.sql");
const SEARCH: &str = include_str!("../../../sql/executions/search.sql");
const SEARCH_OLDEST: &str = include_str!("../../../sql/executions/search_oldest.sql");
const STATUS: &str = include_str!("../../../sql/executions/status.sql");
const USAGE: &str = include_str!("../../../sql/executions/usage.sql");
const WHY: &str = include_str!("../../../sql/executions/why.sql");

/// One execution.
#[derive(Debug, Clone)]
pub struct Execution {
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
    /// What it was started with.
    pub input: Json,
    /// What its tools share.
    pub context: Json,
    /// What it produced.
    pub output: Option<Json>,
    /// Number of its newest event.
    pub last_seq: i32,
    /// Idempotency key of its start.
    pub start_key: Option<String>,
    /// The conversation that it belongs to.
    pub session_id: Option<String>,
    /// Task name → domain.
    pub domains: Option<Json>,
    /// Lower is first.
    pub priority: i16,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When something last happened.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl From<Row> for Execution {
    fn from(row: Row) -> Self {
        Self {
            id: row.get("id"),
            agent: row.get("agent"),
            version: row.get("version"),
            status: status_of(row.get("status")),
            reason: row.get("reason"),
            input: row.get("input"),
            context: row.get("context"),
            output: row.get("output"),
            last_seq: row.get("last_seq"),
            start_key: row.get("start_key"),
            session_id: row.get("session_id"),
            domains: row.get("domains"),
            priority: row.get("priority"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
            ended_at: row.get("ended_at"),
        }
    }
}

pub(in crate::store) fn status_of(name: &str) -> Status {
    let name: StrDeserializer<'_, Unreadable> = name.into_deserializer();
    Status::deserialize(name).expect("the table holds known statuses only, by its check")
}

/// What matters to whoever waits for an execution.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Where it stands.
    pub status: Status,
    /// Why it ended without plain completion.
    pub reason: Option<String>,
    /// What it produced.
    pub output: Option<Json>,
}

/// Tokens of an execution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Model calls that ended with an answer.
    pub calls: i64,
    /// Tokens read.
    pub prompt: i64,
    /// Tokens written.
    pub completion: i64,
}

/// One reason for which an execution is not moving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Its kind, such as `no_worker`.
    pub code: String,
    /// The reason in words.
    pub text: String,
    /// The queue that it is about.
    pub queue: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What to look for; what is `None` matches everything.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Any of these statuses, as stored.
    pub statuses: Option<Vec<String>>,
    /// Any of these agents.
    pub agents: Option<Vec<String>>,
    /// This session.
    pub session: Option<String>,
    /// A text somewhere in the input, the session id or the start key.
    pub text: Option<String>,
    /// Started at or after.
    pub from: Option<Timestamp>,
    /// Started at or before.
    pub to: Option<Timestamp>,
    /// Exactly this one.
    pub id: Option<ExecutionId>,
    /// Oldest instead of newest first.
    pub oldest_first: bool,
}

/// The execution with this id.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Postgres`], [`Error::Unavailable`]
pub async fn get(db: &impl GenericClient, id: ExecutionId) -> Result<Execution, Error> {
    let get = db.prepare_cached(GET).await?;
    match db.query_opt(&get, &[&id]).await? {
        Some(row) => Ok(row.into()),
        None => Err(missing(db, id).await),
    }
}

/// Where the execution with this id stands.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Postgres`], [`Error::Unavailable`]
pub async fn status(db: &impl GenericClient, id: ExecutionId) -> Result<Standing, Error> {
    let status = db.prepare_cached(STATUS).await?;
    let Some(row) = db.query_opt(&status, &[&id]).await? else { return Err(missing(db, id).await) };
    Ok(Standing {
        status: status_of(row.get("status")),
        reason: row.get("reason"),
        output: row.get("output"),
    })
}

/// Executions that match, `limit` of them after the first `offset`, and how many match at all (counted to 10,000).
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn search(
    db: &impl GenericClient,
    search: &Search,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Execution>, i64), Error> {
    let s = search;
    let pattern = s.text.as_deref().map(pattern);
    let page = db.prepare_cached(if s.oldest_first { SEARCH_OLDEST } else { SEARCH }).await?;
    let rows = db
        .query(&page, &[&s.statuses, &s.agents, &s.session, &pattern, &s.from, &s.to, &limit, &offset, &s.id])
        .await?;
    let found: Vec<_> = rows.into_iter().map(Execution::from).collect();
    let here = i64::try_from(found.len()).unwrap_or(i64::MAX);
    if here < limit && (here > 0 || offset == 0) {
        return Ok((found, offset + here));
    }
    let count = db.prepare_cached(COUNT).await?;
    let row =
        db.query_one(&count, &[&s.statuses, &s.agents, &s.session, &pattern, &s.from, &s.to, &s.id]).await?;
    Ok((found, row.get("many")))
}

/// A pattern for `like` that finds `text` anywhere.
pub(super) fn pattern(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

/// Tokens that an execution has used so far.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn usage(db: &impl GenericClient, id: ExecutionId) -> Result<Usage, Error> {
    let usage = db.prepare_cached(USAGE).await?;
    let row = db.query_one(&usage, &[&id]).await?;
    Ok(Usage { calls: row.get("calls"), prompt: row.get("prompt"), completion: row.get("completion") })
}

/// Why an execution is not moving; empty when it has ended.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn why(db: &impl GenericClient, id: ExecutionId) -> Result<Vec<Reason>, Error> {
    let why = db.prepare_cached(WHY).await?;
    let reason = |row: &Row| Reason {
        code: row.get("code"),
        text: row.get("text"),
        queue: row.get("queue"),
        since: row.get("since"),
        hint: row.get("hint"),
    };
    Ok(db.query(&why, &[&id]).await?.iter().map(reason).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_looks_for_is_text_and_no_pattern() {
        assert_eq!(pattern("100%_\\"), "%100\\%\\_\\\\%");
    }

    #[test]
    fn every_status_is_read_as_it_is_stored() {
        use Status::{Completed, Failed, Paused, Running, Terminated, TimedOut};
        for status in [Running, Paused, Completed, Failed, Terminated, TimedOut] {
            assert_eq!(status_of(status.name()), status);
        }
    }
}
