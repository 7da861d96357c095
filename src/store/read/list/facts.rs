//! The numbers above the list: what runs, what failed, what the last 24 hours were like.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::super::{Error, GenericClient};
use super::super::costs::{self, Cost};
use super::super::executions::status_of;
use crate::engine::Status;

const ERRORS: &str = include_str!("../../../../sql/list/errors.sql");
const HISTOGRAM: &str = include_str!("../../../../sql/list/histogram.sql");
const STANDING: &str = include_str!("../../../../sql/list/standing.sql");
const TOKENS: &str = include_str!("../../../../sql/list/tokens.sql");
const TOOK: &str = include_str!("../../../../sql/list/took.sql");
const WAITING: &str = include_str!("../../../../sql/list/waiting.sql");

/// Counts of what is live end here; one more means "more than that".
pub const CAP: i64 = 10_000;
/// Newest executions of which durations and reasons are looked at.
const SAMPLE: i64 = 1000;
/// Newest executions whose tokens are added up.
pub const TOKENS_OF: i64 = 20_000;
/// How long one statement may take, in milliseconds.
const PATIENCE: u32 = 5000;

/// All of them. Counts up to [`CAP`] + 1 unless said otherwise.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Executions that run.
    pub running: i64,
    /// Executions that are paused.
    pub paused: i64,
    /// Executions that failed or took too long, whenever.
    pub failed: i64,
    /// Attempts that somebody has.
    pub steps: i64,
    /// Who has them.
    pub workers: i64,
    /// Running executions that wait for somebody who is not there, or for their next try.
    pub waiting: i64,
    /// Those that wait for somebody.
    pub stuck: i64,
    /// Those that wait for their next try.
    pub retrying: i64,
    /// Different reasons of the failures of the last 24 hours.
    pub errors: i64,
    /// Half of the executions that completed in the last 24 hours took less, in seconds.
    pub p50: Option<f64>,
    /// 95 of 100 took less, in seconds.
    pub p95: Option<f64>,
    /// Executions whose tokens were added up, up to [`TOKENS_OF`].
    pub counted: i64,
    /// Tokens that they read.
    pub prompt_tokens: i64,
    /// Tokens that they wrote.
    pub completion_tokens: i64,
    /// What they cost; nothing while there are no prices, `None` when adding it up took too long.
    pub cost: Option<Cost>,
    /// Executions by quarter of an hour and status, oldest first, where there are some; all of them.
    pub quarters: Vec<(Timestamp, Status, i64)>,
}

/// What the executions whose tokens are counted cost. Takes at most five seconds.
///
/// # Errors
///
/// [`Error::Postgres`] with the code `query_canceled` when a statement took longer than five seconds,
/// [`Error::Unavailable`]
pub async fn cost(db: &mut impl GenericClient) -> Result<Cost, Error> {
    let db = brief(db).await?;
    let cost = costs::of_day(&db, TOKENS_OF).await?;
    db.commit().await?;
    Ok(cost)
}

/// A transaction that only reads, whose statements end after five seconds.
async fn brief<C: GenericClient>(db: &mut C) -> Result<Transaction<'_>, Error> {
    let db = db.transaction().await?;
    let settings =
        format!("set transaction read only; set local statement_timeout = {PATIENCE}; set local jit = off");
    db.batch_execute(&settings).await?;
    Ok(db)
}

/// Read them, but for what they cost; takes as long as counting the last 24 hours takes.
///
/// # Errors
///
/// [`Error::Postgres`] with the code `query_canceled` when a statement took longer than five seconds,
/// [`Error::Unavailable`]
pub async fn read(db: &mut impl GenericClient) -> Result<Facts, Error> {
    let db = brief(db).await?;
    let one = async |sql: &str, parameter: i64| -> Result<Row, Error> {
        let statement = db.prepare_cached(sql).await?;
        Ok(db.query_one(&statement, &[&parameter]).await?)
    };
    let (standing, waiting) = (one(STANDING, CAP + 1).await?, one(WAITING, CAP + 1).await?);
    let (took, errors, tokens) =
        (one(TOOK, SAMPLE).await?, one(ERRORS, SAMPLE).await?, one(TOKENS, TOKENS_OF).await?);
    let histogram = db.prepare_cached(HISTOGRAM).await?;
    let quarters = db.query(&histogram, &[]).await?;
    let facts = Facts {
        running: standing.get("running"),
        paused: standing.get("paused"),
        failed: standing.get("failed"),
        steps: standing.get("steps"),
        workers: standing.get("workers"),
        waiting: waiting.get("either"),
        stuck: waiting.get("stuck"),
        retrying: waiting.get("retrying"),
        errors: errors.get("many"),
        p50: took.get("p50"),
        p95: took.get("p95"),
        counted: tokens.get("executions"),
        prompt_tokens: tokens.get("prompt"),
        completion_tokens: tokens.get("completion"),
        quarters: quarters
            .iter()
            .map(|row| (row.get("at"), status_of(row.get("status")), row.get("many")))
            .collect(),
        cost: None,
    };
    db.commit().await?;
    Ok(facts)
}
