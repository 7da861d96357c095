//! Bulk jobs as rows: one action on every run that a filter matches.

use std::collections::HashSet;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Error, GenericClient};
use crate::id::{BulkId, ExecutionId};

/// What is to be done to which runs.
#[derive(Debug, Clone)]
pub struct Order {
    /// `pause`, `resume`, `stop`, `cancel`, `retry`, `restart` or `delete`.
    pub action: String,
    /// Which runs, in the words of the list.
    pub filter: String,
    /// Why.
    pub reason: String,
    /// Who wants it.
    pub by: String,
    /// Runs a second, at most.
    pub rate: i32,
    /// To delete: only runs that ended so many seconds ago or earlier.
    pub keep_secs: f64,
    /// To delete: whether each is written to a file before.
    pub export: bool,
    /// The retention policy that wants it.
    pub policy: Option<String>,
}

/// A job that somebody wants.
#[derive(Debug)]
pub struct NewJob<'a> {
    /// Its id.
    pub id: BulkId,
    /// What it is to do.
    pub order: Order,
    /// How many match now; `None` when they are too many to be counted.
    pub expected: Option<i32>,
    /// It looks at runs before this one.
    pub cursor: ExecutionId,
    /// Idempotency key.
    pub key: Option<&'a str>,
}

/// A job that this server sees to.
#[derive(Debug)]
pub struct Taken {
    /// Its id.
    pub id: BulkId,
    /// What it does.
    pub order: Order,
    /// It has seen to all runs from this one on.
    pub cursor: ExecutionId,
    /// When it began.
    pub created_at: Timestamp,
}

/// What a step came to.
#[derive(Debug, Default)]
pub struct Step {
    /// Runs to which it was done.
    pub done: i32,
    /// Runs to which it could not be done, or which were so already.
    pub skipped: i32,
    /// Runs where something else went wrong.
    pub failed: i32,
    /// Why the last one of those.
    pub note: Option<String>,
}

/// A job as people see it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: BulkId,
    /// What it does.
    pub order: Order,
    /// `running`, `done` or `cancelled`.
    pub state: String,
    /// How many matched at its start, if they could be counted.
    pub expected: Option<i32>,
    /// Runs that it came to so far.
    pub matched: i32,
    /// Those to which it was done.
    pub done: i32,
    /// Those to which it could not be done, or which were so already.
    pub skipped: i32,
    /// Those where something else went wrong.
    pub failed: i32,
    /// Why the newest one was skipped or failed.
    pub note: Option<String>,
    /// The server that sees to it.
    pub server: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last came on.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who cancelled it.
    pub ended_by: Option<String>,
    /// What it does or waits for, in words.
    pub why: String,
}

/// The newest ones, as psql shows them.
pub const NEWEST: &str = "select * from tenure.bulk_job\n order by id desc\n limit 100;";

/// One of them, as psql shows it.
#[must_use]
pub fn statement(id: BulkId) -> String {
    format!("select * from tenure.bulk_job where id = '{id}';")
}

/// The runs that one made, of a retry or restart, as psql shows them.
#[must_use]
pub fn statement_of_runs(id: BulkId) -> String {
    format!("select id, forked_from, status\n  from tenure.executions\n where start_key like 'bulk:{id}:%';")
}

/// Begin one, or find the one with its key.
///
/// # Errors
///
/// [`Error`]
pub async fn start(db: &impl GenericClient, job: &NewJob<'_>) -> Result<BulkId, Error> {
    let start = db.prepare_cached(include_str!("../../sql/bulk/start.sql")).await?;
    let NewJob { id, order, expected, cursor, key } = job;
    let Order { action, filter, reason, by, rate, keep_secs, export, policy } = order;
    loop {
        let rows = db
            .query(
                &start,
                &[id, action, filter, reason, by, rate, expected, cursor, key, keep_secs, export, policy],
            )
            .await?;
        if let Some(row) = rows.first() {
            return Ok(row.try_get(0)?);
        }
    }
}

/// Take on jobs that nobody sees to, for so long.
///
/// # Errors
///
/// [`Error`]
pub async fn take(db: &impl GenericClient, server: i64, lease_secs: f64) -> Result<Vec<Taken>, Error> {
    let take = db.prepare_cached(include_str!("../../sql/bulk/take.sql")).await?;
    let rows = db.query(&take, &[&server, &lease_secs]).await?;
    let taken = |r: &Row| {
        Ok(Taken {
            id: r.try_get("id")?,
            order: order(r)?,
            cursor: r.try_get("cursor")?,
            created_at: r.try_get("created_at")?,
        })
    };
    rows.iter().map(taken).collect()
}

/// Write a step down that leads from one run to another; returns the job's state, or `None` when somebody else sees to it by
/// now, or it is written down already.
///
/// # Errors
///
/// [`Error`]
pub async fn step(
    db: &impl GenericClient,
    (job, server, lease_secs): (BulkId, i64, f64),
    (from, to): (ExecutionId, ExecutionId),
    step: &Step,
    is_last: bool,
) -> Result<Option<String>, Error> {
    let statement = db.prepare_cached(include_str!("../../sql/bulk/step.sql")).await?;
    let Step { done, skipped, failed, note } = step;
    let row = db
        .query_opt(
            &statement,
            &[&job, &server, &lease_secs, &to, done, skipped, failed, note, &is_last, &from],
        )
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Let others take on what this server sees to.
///
/// # Errors
///
/// [`Error`]
pub async fn leave(db: &impl GenericClient, server: i64) -> Result<(), Error> {
    let leave = db.prepare_cached(include_str!("../../sql/bulk/leave.sql")).await?;
    db.execute(&leave, &[&server]).await?;
    Ok(())
}

/// Cancel one; whether it was running.
///
/// # Errors
///
/// [`Error::NotFound`]
pub async fn cancel(db: &impl GenericClient, id: BulkId, by: &str) -> Result<bool, Error> {
    let cancel = db.prepare_cached(include_str!("../../sql/bulk/cancel.sql")).await?;
    let row = db.query_opt(&cancel, &[&id, &by]).await?;
    let row = row.ok_or_else(|| Error::NotFound { what: "bulk job", id: id.to_string() })?;
    Ok(row.try_get(0)?)
}

/// The newest ones.
///
/// # Errors
///
/// [`Error`]
pub async fn list(db: &impl GenericClient, most: i64) -> Result<Vec<Job>, Error> {
    let list = db.prepare_cached(include_str!("../../sql/bulk/list.sql")).await?;
    db.query(&list, &[&None::<BulkId>, &most]).await?.iter().map(job).collect()
}

/// One of them.
///
/// # Errors
///
/// [`Error::NotFound`]
pub async fn get(db: &impl GenericClient, id: BulkId) -> Result<Job, Error> {
    let list = db.prepare_cached(include_str!("../../sql/bulk/list.sql")).await?;
    let row = db.query_opt(&list, &[&Some(id), &1_i64]).await?;
    job(&row.ok_or_else(|| Error::NotFound { what: "bulk job", id: id.to_string() })?)
}

fn order(r: &Row) -> Result<Order, Error> {
    Ok(Order {
        action: r.try_get("action")?,
        filter: r.try_get("filter")?,
        reason: r.try_get("reason")?,
        by: r.try_get("started_by")?,
        rate: r.try_get("rate")?,
        keep_secs: r.try_get("keep_secs")?,
        export: r.try_get("export")?,
        policy: r.try_get("policy")?,
    })
}

fn job(r: &Row) -> Result<Job, Error> {
    Ok(Job {
        id: r.try_get("id")?,
        order: order(r)?,
        state: r.try_get("state")?,
        expected: r.try_get("expected")?,
        matched: r.try_get("matched")?,
        done: r.try_get("done")?,
        skipped: r.try_get("skipped")?,
        failed: r.try_get("failed")?,
        note: r.try_get("note")?,
        server: r.try_get("server")?,
        created_at: r.try_get("created_at")?,
        updated_at: r.try_get("updated_at")?,
        ended_at: r.try_get("ended_at")?,
        ended_by: r.try_get("ended_by")?,
        why: r.try_get("why")?,
    })
}

/// Of which of these runs a job made another one already, under these keys.
///
/// # Errors
///
/// [`Error`]
pub async fn made(
    db: &impl GenericClient,
    ids: &[ExecutionId],
    keys: &[String],
) -> Result<HashSet<ExecutionId>, Error> {
    let made = db.prepare_cached(include_str!("../../sql/bulk/made.sql")).await?;
    let rows = db.query(&made, &[&ids, &keys]).await?;
    Ok(rows.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?)
}
