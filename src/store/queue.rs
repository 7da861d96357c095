//! Work that waits: claims, leases and what brings it back.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Error, GenericClient, commit};
use crate::engine::Task;
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;

/// Where a claim begins to look in a queue.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mark {
    /// Lower is first.
    pub priority: Option<i16>,
    /// Older is first.
    pub run_at: Option<Timestamp>,
}

/// A worker's free slot.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// The queue that it asks.
    pub queue: i32,
    /// The worker.
    pub worker: i64,
    /// Seconds of its lease, when not the task definition's.
    pub lease_secs: Option<f64>,
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
    /// The queue's name: tool, check or the queue of model calls.
    pub queue: String,
    /// The queue's domain, empty for none.
    pub domain: String,
    /// The queue's id.
    pub queue_id: i32,
    /// How long it had been ready.
    pub waited: Duration,
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

/// A claimed attempt and where it stood in its queue.
#[derive(Debug)]
pub struct Claimed {
    /// The attempt.
    pub lease: Lease,
    /// Its queue.
    pub queue: i32,
    /// Which of the queue's slots got it, from 0 in the order given.
    pub slot: usize,
    /// Its place in the queue.
    pub mark: Mark,
}

/// Prepare [`claim`], which then sends its statement at once.
///
/// # Errors
///
/// [`Error`]
pub async fn prepare_claim(db: &impl GenericClient) -> Result<tokio_postgres::Statement, Error> {
    Ok(db.prepare_cached(include_str!("../../sql/queue/claim.sql")).await?)
}

/// Lease ready attempts to free slots, oldest first within priority. No attempt is ever handed to two slots.
///
/// `marks` has one entry per queue that occurs in `slots`.
///
/// # Errors
///
/// [`Error`]; nothing was leased then.
pub async fn claim(
    db: &impl GenericClient,
    marks: &[(i32, Mark)],
    slots: &[Slot],
) -> Result<Vec<Claimed>, Error> {
    let claim = prepare_claim(db).await?;
    let mut many: HashMap<i32, i64> = HashMap::new();
    let mut number = |slot: &Slot| {
        let number = many.entry(slot.queue).or_default();
        *number += 1;
        *number
    };
    let numbers: Vec<_> = slots.iter().map(&mut number).collect();
    let rows = db
        .query(
            &claim,
            &[
                &marks.iter().map(|m| m.0).collect::<Vec<_>>(),
                &marks.iter().map(|m| m.1.priority).collect::<Vec<_>>(),
                &marks.iter().map(|m| m.1.run_at).collect::<Vec<_>>(),
                &marks.iter().map(|m| many.get(&m.0).copied().unwrap_or(0)).collect::<Vec<_>>(),
                &slots.iter().map(|s| s.queue).collect::<Vec<_>>(),
                &numbers,
                &slots.iter().map(|s| s.worker).collect::<Vec<_>>(),
                &slots.iter().map(|s| s.lease_secs).collect::<Vec<_>>(),
            ],
        )
        .await?;
    rows.iter().map(claimed).collect()
}

fn claimed(r: &Row) -> Result<Claimed, Error> {
    Ok(Claimed {
        queue: r.try_get("queue_id")?,
        slot: usize::try_from(r.try_get::<_, i64>("slot")? - 1).unwrap_or(0),
        mark: Mark { priority: r.try_get("priority")?, run_at: r.try_get("run_at")? },
        lease: lease(r)?,
    })
}

/// The lease that a row tells of.
pub(super) fn lease(r: &Row) -> Result<Lease, Error> {
    Ok(Lease {
        execution: r.try_get("execution_id")?,
        attempt: r.try_get("attempt_id")?,
        task: commit::task(r)?,
        queue: r.try_get("queue")?,
        domain: r.try_get("domain")?,
        queue_id: r.try_get("queue_id")?,
        waited: r
            .try_get::<_, Timestamp>("leased_at")?
            .duration_since(r.try_get("run_at")?)
            .try_into()
            .unwrap_or_default(),
        name: r.try_get("name")?,
        call_id: r.try_get("call_id")?,
        input: r.try_get("input")?,
        number: u32::try_from(r.try_get::<_, i32>("attempt")?).unwrap_or(1),
        losses: u32::try_from(r.try_get::<_, i32>("losses")?).unwrap_or(0),
        retry_of: r.try_get("retry_of")?,
        polls: u32::try_from(r.try_get::<_, i32>("polls")?).unwrap_or(1),
        created_at: r.try_get("created_at")?,
        started_at: r.try_get("first_leased")?,
        lease_secs: r.try_get("lease")?,
        priority: r.try_get("priority")?,
        agent: r.try_get("agent")?,
        version: r.try_get("version")?,
        context: r.try_get("context")?,
        execution_input: r.try_get("execution_input")?,
        start_key: r.try_get("start_key")?,
        worker_id: r.try_get("worker_id")?,
    })
}

/// Why nobody performs an attempt that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its lease is over.
    Silent,
    /// Its server is gone.
    Gone,
    /// Its server was never told that it has it.
    Forgotten,
}

/// An attempt that somebody has and nobody performs.
#[derive(Debug, Clone)]
pub struct Expired {
    /// The execution.
    pub execution: ExecutionId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The lease as it was seen; whoever extends it in between keeps it.
    pub lease_until: Timestamp,
    /// Who has it.
    pub worker: String,
    /// That one's id, and when it was last heard of.
    pub heard: (i64, Timestamp),
    /// Why nobody performs it.
    pub why: Why,
}

/// What a server knows of itself when it looks for attempts that nobody performs.
#[derive(Debug)]
pub struct Looker {
    /// Its id.
    pub id: i64,
    /// The model calls that it performs.
    pub performs: Vec<AttemptId>,
    /// What it has for longer than this and does not perform, it was never told of.
    pub forgotten_secs: f64,
    /// Another server that was not heard of this long is gone.
    pub silent_secs: f64,
    /// Leases that ended longer ago are known to be none. `None`: look at all, and for what it was never told of.
    pub ended_secs: Option<f64>,
}

/// Attempts whose lease is over, whose server is gone or seems so, or that `looker` has without knowing.
///
/// # Errors
///
/// [`Error`]
pub async fn expired(db: &impl GenericClient, limit: i64, looker: &Looker) -> Result<Vec<Expired>, Error> {
    let expired = db.prepare_cached(include_str!("../../sql/queue/expired.sql")).await?;
    let Looker { id, performs, forgotten_secs, silent_secs, ended_secs } = looker;
    let rows = db.query(&expired, &[&limit, silent_secs, id, forgotten_secs, performs, ended_secs]).await?;
    rows.iter()
        .map(|r| {
            Ok(Expired {
                execution: r.try_get("execution_id")?,
                attempt: r.try_get("attempt_id")?,
                lease_until: r.try_get("lease_until")?,
                worker: r.try_get("worker")?,
                heard: (r.try_get("worker_id")?, r.try_get("seen_at")?),
                why: match r.try_get("why")? {
                    "gone" => Why::Gone,
                    "forgotten" => Why::Forgotten,
                    _ => Why::Silent,
                },
            })
        })
        .collect()
}

/// Make up to `limit` deferred attempts ready whose time has come; returns their queues.
///
/// # Errors
///
/// [`Error`]
pub async fn promote(db: &impl GenericClient, limit: i64) -> Result<Vec<i32>, Error> {
    let promote = db.prepare_cached(include_str!("../../sql/queue/promote.sql")).await?;
    let rows = db.query(&promote, &[&limit]).await?;
    Ok(rows.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?)
}

/// Seconds until something is due; `None` when nothing will be.
///
/// # Errors
///
/// [`Error`]
pub async fn next_due(db: &impl GenericClient) -> Result<Option<f64>, Error> {
    let next_due = db.prepare_cached(include_str!("../../sql/queue/next_due.sql")).await?;
    Ok(db.query_one(&next_due, &[]).await?.try_get(0)?)
}

/// Executions whose time is over.
///
/// # Errors
///
/// [`Error`]
pub async fn overdue(db: &impl GenericClient, limit: i64) -> Result<Vec<ExecutionId>, Error> {
    let overdue = db.prepare_cached(include_str!("../../sql/executions/overdue.sql")).await?;
    let rows = db.query(&overdue, &[&limit]).await?;
    Ok(rows.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?)
}

/// Extend a lease from now; false when nobody has the attempt.
///
/// # Errors
///
/// [`Error`]
pub async fn extend(
    db: &impl GenericClient,
    execution: ExecutionId,
    attempt: AttemptId,
) -> Result<bool, Error> {
    let extend = db.prepare_cached(include_str!("../../sql/queue/extend.sql")).await?;
    Ok(db.execute(&extend, &[&execution, &attempt]).await? == 1)
}

/// Give attempts back that did not reach their worker; returns their queues.
///
/// # Errors
///
/// [`Error`]
pub async fn give_back(db: &impl GenericClient, leases: &[Lease]) -> Result<Vec<i32>, Error> {
    let give_back = db.prepare_cached(include_str!("../../sql/queue/give_back.sql")).await?;
    let rows = db
        .query(
            &give_back,
            &[
                &leases.iter().map(|l| l.execution).collect::<Vec<_>>(),
                &leases.iter().map(|l| l.attempt).collect::<Vec<_>>(),
                &leases.iter().map(|l| l.worker_id).collect::<Vec<_>>(),
                &leases.iter().map(|l| i32::try_from(l.polls).unwrap_or(i32::MAX)).collect::<Vec<_>>(),
            ],
        )
        .await?;
    Ok(rows.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?)
}

/// Hand an attempt out again in `secs`, because worker `by` asks for it or whoever has it does; returns its queue, or `None`
/// when it is not queued or not that worker's any more.
///
/// # Errors
///
/// [`Error`]
pub async fn call_back(
    db: &impl GenericClient,
    execution: ExecutionId,
    attempt: AttemptId,
    secs: f64,
    by: Option<&str>,
) -> Result<Option<i32>, Error> {
    let call_back = db.prepare_cached(include_str!("../../sql/queue/call_back.sql")).await?;
    let row = db.query_opt(&call_back, &[&execution, &attempt, &secs, &by]).await?;
    Ok(row.map(|r| r.try_get(0)).transpose()?)
}

/// Which of `queues` have something ready, and where that begins.
///
/// # Errors
///
/// [`Error`]
pub async fn ready(db: &impl GenericClient, queues: &[i32]) -> Result<HashMap<i32, Mark>, Error> {
    let ready = db.prepare_cached(include_str!("../../sql/queue/ready.sql")).await?;
    let rows = db.query(&ready, &[&queues]).await?;
    rows.iter()
        .map(|r| Ok((r.try_get(0)?, Mark { priority: Some(r.try_get(1)?), run_at: Some(r.try_get(2)?) })))
        .collect()
}

/// The newest event of executions.
///
/// # Errors
///
/// [`Error`]
pub async fn newest(db: &impl GenericClient, ids: &[ExecutionId]) -> Result<Vec<(ExecutionId, i32)>, Error> {
    let newest = db.prepare_cached(include_str!("../../sql/executions/newest.sql")).await?;
    let rows = db.query(&newest, &[&ids]).await?;
    rows.iter().map(|r| Ok((r.try_get(0)?, r.try_get(1)?))).collect()
}
