//! How the database itself does.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::{Error, GenericClient};

/// What its own statistics say.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// Its version, as it says it.
    pub version: String,
    /// Connections of clients, of all databases.
    pub connections: i64,
    /// How many there may be.
    pub max_connections: i32,
    /// Seconds that the longest transaction on this database has been open.
    pub oldest_transaction_secs: f64,
    /// Locks that somebody waits for.
    pub lock_waits: i64,
    /// Rows of our tables that are dead and not cleaned up yet, 0 to 1; `None` while nothing is known.
    pub dead_share: Option<f64>,
    /// Our table that has most of them.
    pub table_most_dead: Option<String>,
    /// Size of this database.
    pub database_bytes: i64,
    /// When Postgres was started.
    pub up_since: Timestamp,
    /// What asking it nothing takes.
    pub round_trip: Duration,
}

/// How the database does right now.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn now(db: &impl GenericClient) -> Result<Health, Error> {
    let health = db.prepare_cached(include_str!("../../../sql/pages/health.sql")).await?;
    let began = Instant::now();
    db.batch_execute("").await?;
    let round_trip = began.elapsed();
    let row = db.query_one(&health, &[]).await?;
    Ok(Health {
        version: row.get("version"),
        connections: row.get("connections"),
        max_connections: row.get("max_connections"),
        oldest_transaction_secs: row.get("oldest_transaction_secs"),
        lock_waits: row.get("lock_waits"),
        dead_share: row.get("dead_share"),
        table_most_dead: row.get("table_most_dead"),
        database_bytes: row.get("database_bytes"),
        up_since: row.get("up_since"),
        round_trip,
    })
}
