//! What a judge asks after servers were killed: the tables themselves, past all that those servers say of them.

use std::collections::HashMap;

use jiff::Timestamp;

use tokio_postgres::Client;

use super::Error;
use crate::id::{AttemptId, ExecutionId};

/// Where an execution stands.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Its status.
    pub status: String,
    /// Why it ended, if not plainly.
    pub reason: Option<String>,
    /// Its turn.
    pub turn: i32,
    /// Kinds of its events, oldest first.
    pub kinds: Vec<String>,
    /// Tools whose calls wait for a worker.
    pub ready: Vec<String>,
}

impl Run {
    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !matches!(self.status.as_str(), "running" | "paused")
    }

    /// How many of its events are of this kind.
    #[must_use]
    pub fn many(&self, kind: &str) -> usize {
        self.kinds.iter().filter(|k| *k == kind).count()
    }
}

/// An attempt at a tool call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its execution.
    pub execution: ExecutionId,
    /// Its id.
    pub attempt: AttemptId,
    /// Turn and place of the call.
    pub call: (i32, i16),
    /// How it ended, if it has.
    pub outcome: Option<String>,
    /// When the call's result was accepted, and of which attempt.
    pub accepted: Option<(Timestamp, AttemptId)>,
}

/// Where an execution stands; `None` when there is none.
///
/// # Errors
///
/// [`Error`]
pub async fn run(db: &Client, id: ExecutionId) -> Result<Option<Run>, Error> {
    let row = db.query_opt(include_str!("../../sql/torture/run.sql"), &[&id]).await?;
    let run = |r: tokio_postgres::Row| {
        Ok::<_, tokio_postgres::Error>(Run {
            status: r.try_get(0)?,
            reason: r.try_get(1)?,
            turn: r.try_get::<_, Option<i32>>(2)?.unwrap_or_default(),
            kinds: r.try_get(3)?,
            ready: r.try_get(4)?,
        })
    };
    Ok(row.map(run).transpose()?)
}

/// Why an execution is not moving.
///
/// # Errors
///
/// [`Error`]
pub async fn waits(db: &Client, id: ExecutionId) -> Result<Vec<String>, Error> {
    let rows = db.query(include_str!("../../sql/torture/waits.sql"), &[&id]).await?;
    Ok(rows.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?)
}

/// Every attempt at a tool call.
///
/// # Errors
///
/// [`Error`]
pub async fn calls(db: &Client) -> Result<Vec<Call>, Error> {
    let rows = db.query(include_str!("../../sql/torture/calls.sql"), &[]).await?;
    let call = |r: &tokio_postgres::Row| {
        let at: Option<Timestamp> = r.try_get(6)?;
        Ok(Call {
            execution: r.try_get(0)?,
            attempt: r.try_get(1)?,
            call: (r.try_get(2)?, r.try_get(3)?),
            outcome: r.try_get(5)?,
            accepted: at.zip(r.try_get(7)?),
        })
    };
    rows.iter().map(call).collect()
}

/// Every execution that has ended, with a hash of what is known of it.
///
/// # Errors
///
/// [`Error`]
pub async fn ended(db: &Client) -> Result<HashMap<ExecutionId, String>, Error> {
    let rows = db.query(include_str!("../../sql/torture/ended.sql"), &[]).await?;
    rows.iter().map(|r| Ok((r.try_get(0)?, r.try_get(1)?))).collect()
}

/// How many versions an agent has, how many different ones, and which is current.
///
/// # Errors
///
/// [`Error`]
pub async fn versions(db: &Client, agent: &str) -> Result<(i64, i64, Option<i32>), Error> {
    let row = db.query_one(include_str!("../../sql/torture/versions.sql"), &[&agent]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

/// How many runs go on from a run.
///
/// # Errors
///
/// [`Error`]
pub async fn forks(db: &Client, id: ExecutionId) -> Result<i64, Error> {
    Ok(db.query_one(include_str!("../../sql/torture/forks.sql"), &[&id]).await?.try_get(0)?)
}

/// The schema, to compare two databases by.
///
/// # Errors
///
/// [`Error`]
pub async fn schema(db: &Client) -> Result<String, Error> {
    Ok(db.query_one(include_str!("../../sql/torture/schema.sql"), &[]).await?.try_get(0)?)
}

/// Forget all runs of a database that nobody else uses.
///
/// # Errors
///
/// [`Error`]
pub async fn clear(db: &Client) -> Result<(), Error> {
    let clear = include_str!("../../sql/torture/clear.sql");
    Ok(db
        .batch_execute(&format!("begin; set local session_replication_role = replica; {clear}; commit"))
        .await?)
}

/// Where an execution stands, in short.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its status.
    pub status: String,
    /// Why it ended, if not plainly.
    pub reason: String,
    /// Why it is not moving.
    pub waits: String,
}

impl Standing {
    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !matches!(self.status.as_str(), "running" | "paused")
    }
}

/// Where every execution stands.
///
/// # Errors
///
/// [`Error`]
pub async fn standings(db: &Client) -> Result<HashMap<ExecutionId, Standing>, Error> {
    let rows = db.query(include_str!("../../sql/torture/standings.sql"), &[]).await?;
    let standing = |r: &tokio_postgres::Row| {
        let text = |i| Ok::<_, tokio_postgres::Error>(r.try_get::<_, Option<String>>(i)?.unwrap_or_default());
        Ok((r.try_get(0)?, Standing { status: text(1)?, reason: text(2)?, waits: text(3)? }))
    };
    rows.iter().map(standing).collect()
}

/// How many late results were refused, and how many attempts were lost with their worker.
///
/// # Errors
///
/// [`Error`]
pub async fn refused(db: &Client) -> Result<(i64, i64), Error> {
    let row = db.query_one(include_str!("../../sql/torture/refused.sql"), &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Processes that serve a session of a server.
///
/// # Errors
///
/// [`Error`]
pub async fn sessions(db: &Client) -> Result<Vec<i32>, Error> {
    let rows = db.query(include_str!("../../sql/torture/sessions.sql"), &[]).await?;
    rows.iter().map(|r| Ok(r.try_get(0)?)).collect()
}

/// End a session.
///
/// # Errors
///
/// [`Error`]
pub async fn end_session(db: &Client, process: i32) -> Result<(), Error> {
    db.execute(include_str!("../../sql/torture/end_session.sql"), &[&process]).await?;
    Ok(())
}

/// Let commits wait for this standby, and wait until they do.
///
/// # Errors
///
/// [`Error`]
pub async fn wait_for_standby(db: &Client, name: &str) -> Result<(), Error> {
    db.batch_execute(&include_str!("../../sql/torture/wait_for_standby.sql").replace(":name", name)).await?;
    db.batch_execute(include_str!("../../sql/torture/reload.sql")).await?;
    while db.query_opt(include_str!("../../sql/torture/standby_in_step.sql"), &[&name]).await?.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Make a standby the primary.
///
/// # Errors
///
/// [`Error`]
pub async fn promote(db: &Client) -> Result<(), Error> {
    db.batch_execute(include_str!("../../sql/torture/promote.sql")).await?;
    Ok(())
}
