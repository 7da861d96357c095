//! Who works: workers and servers, by name.

use jiff::Timestamp;
use serde::Deserialize;
use tokio_postgres::Row;

use super::super::{Error, GenericClient};
use crate::id::ExecutionId;
use crate::json::Json;

/// A worker or server, whatever number of queues it asks.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// Whether it is one of our servers.
    pub is_server: bool,
    /// `live`, `draining`, `lost` or `stopped`.
    pub state: String,
    /// The queues that it asked last, eight at most.
    pub queues: Vec<String>,
    /// How many there are.
    pub queue_count: i32,
    /// When it was first heard of.
    pub first_seen: Timestamp,
    /// When it was last heard of.
    pub seen_at: Timestamp,
    /// Attempts that it has.
    pub leased: i64,
    /// Attempts that were lost with it since it was last heard of.
    pub lost_attempts: i64,
    /// When the last of them was.
    pub lost_at: Option<Timestamp>,
    /// Since when it takes no new work.
    pub draining_since: Option<Timestamp>,
    /// What it has had longest, three at most.
    pub working_on: Vec<Work>,
}

/// An attempt that a worker has.
#[derive(Debug, Clone, Deserialize)]
pub struct Work {
    /// The execution.
    #[serde(rename = "execution_id")]
    pub execution: ExecutionId,
    /// Tool, check or model; cut.
    pub name: String,
    /// The execution's agent; cut.
    pub agent: String,
    /// The turn.
    pub turn: i32,
    /// Since when.
    pub since: Timestamp,
}

/// Workers and servers that were heard of within a day, living ones first; 200 at most.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`], [`Error::Corrupt`]
pub async fn list(db: &impl GenericClient) -> Result<Vec<Worker>, Error> {
    let page = db.prepare_cached(include_str!("../../../sql/pages/workers.sql")).await?;
    db.query(&page, &[]).await?.iter().map(worker).collect()
}

fn worker(row: &Row) -> Result<Worker, Error> {
    let work: Option<Json> = row.get("working_on");
    let corrupt = |source| Error::Corrupt { what: "worker_status", source };
    Ok(Worker {
        name: row.get("worker"),
        is_server: row.get::<_, &str>("kind") == "server",
        state: row.get("state"),
        queues: row.get("queues"),
        queue_count: row.get("queue_count"),
        first_seen: row.get("first_seen"),
        seen_at: row.get("seen_at"),
        leased: row.get("leased"),
        lost_attempts: row.get("lost_attempts"),
        lost_at: row.get("lost_at"),
        draining_since: row.get("draining_since"),
        working_on: work.map_or(Ok(vec![]), |w| serde_json::from_str(w.text()).map_err(corrupt))?,
    })
}
