//! Queues: how much waits, who asks for it.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::{Error, GenericClient};

const DEPTH: &str = include_str!("../../../sql/queues/depth.sql");
const POLLS: &str = include_str!("../../../sql/workers/polls.sql");

/// How much a queue holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// Its name.
    pub queue: String,
    /// Its domain, empty for none.
    pub domain: String,
    /// Attempts that anybody may take.
    pub ready: i64,
    /// Attempts that wait for their time.
    pub deferred: i64,
    /// Attempts that somebody has.
    pub leased: i64,
}

/// Who asked for work, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// The queue's name.
    pub queue: String,
    /// Its domain, empty for none.
    pub domain: String,
    /// Who asked.
    pub worker: String,
    /// When last.
    pub seen_at: Timestamp,
}

/// How much queues hold: those with these names, or all.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn depth(db: &impl GenericClient, names: Option<&[String]>) -> Result<Vec<Depth>, Error> {
    let depth = db.prepare_cached(DEPTH).await?;
    let one = |row: &Row| Depth {
        queue: row.get("queue"),
        domain: row.get("domain"),
        ready: row.get("ready"),
        deferred: row.get("deferred"),
        leased: row.get("leased"),
    };
    Ok(db.query(&depth, &[&names]).await?.iter().map(one).collect())
}

/// Who last asked for work of the queue with this name, or of any.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn polls(db: &impl GenericClient, name: Option<&str>) -> Result<Vec<Poll>, Error> {
    let polls = db.prepare_cached(POLLS).await?;
    let one = |row: &Row| Poll {
        queue: row.get("queue"),
        domain: row.get("domain"),
        worker: row.get("worker"),
        seen_at: row.get("seen_at"),
    };
    Ok(db.query(&polls, &[&name]).await?.iter().map(one).collect())
}

/// How a queue stands, as numbers for monitoring.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauges {
    /// Its name.
    pub queue: String,
    /// Its domain, empty for none.
    pub domain: String,
    /// Attempts that anybody may take.
    pub ready: i64,
    /// Attempts that somebody has.
    pub leased: i64,
    /// Attempts that wait for their time.
    pub deferred: i64,
    /// Seconds that the oldest ready one has waited.
    pub oldest_secs: f64,
    /// Workers that ask for its work or have some.
    pub live_workers: i64,
}

/// How every queue stands.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn gauges(db: &impl GenericClient) -> Result<Vec<Gauges>, Error> {
    let gauges = db.prepare_cached(include_str!("../../../sql/queues/gauges.sql")).await?;
    let one = |row: &Row| Gauges {
        queue: row.get("queue"),
        domain: row.get("domain"),
        ready: row.get("ready"),
        leased: row.get("leased"),
        deferred: row.get("deferred"),
        oldest_secs: row.get("oldest_secs"),
        live_workers: row.get("live_workers"),
    };
    Ok(db.query(&gauges, &[]).await?.iter().map(one).collect())
}

/// A queue, and whether it is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its id.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// Its domain, empty for none.
    pub domain: String,
    /// Who paused it, since when and why.
    pub pause: Option<Pause>,
}

/// Why nothing of a queue is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Since when.
    pub at: Timestamp,
    /// Who wanted it.
    pub by: String,
    /// Why, if that was said.
    pub reason: Option<String>,
}

fn pause(row: &Row) -> Option<Pause> {
    Some(Pause {
        at: row.get::<_, Option<Timestamp>>("paused_at")?,
        by: row.get::<_, Option<String>>("paused_by").unwrap_or_default(),
        reason: row.get("pause_reason"),
    })
}

async fn find(
    db: &impl GenericClient,
    id: Option<i32>,
    name: Option<&str>,
    domain: &str,
) -> Result<Option<Queue>, Error> {
    let get = db.prepare_cached(include_str!("../../../sql/queues/get.sql")).await?;
    let row = db.query_opt(&get, &[&id, &name, &domain]).await?;
    Ok(row.map(|row| Queue {
        id: row.get("id"),
        name: row.get("name"),
        domain: row.get("domain"),
        pause: pause(&row),
    }))
}

/// The queue with this id.
///
/// # Errors
///
/// [`Error::NotFound`]
pub async fn get(db: &impl GenericClient, id: i32) -> Result<Queue, Error> {
    find(db, Some(id), None, "").await?.ok_or_else(|| Error::NotFound { what: "queue", id: id.to_string() })
}

/// The queue with this name and domain (empty for none).
///
/// # Errors
///
/// [`Error::NotFound`]
pub async fn named(db: &impl GenericClient, name: &str, domain: &str) -> Result<Queue, Error> {
    let missing = || Error::NotFound { what: "queue", id: name.to_owned() };
    find(db, None, Some(name), domain).await?.ok_or_else(missing)
}
