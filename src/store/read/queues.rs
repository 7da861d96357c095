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

/// How long back a look at the queues goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Span {
    /// By the minute.
    #[default]
    Hour,
    /// By 15 minutes.
    Day,
    /// By two hours.
    Week,
}

impl Span {
    /// Its length in seconds.
    #[must_use]
    pub fn secs(self) -> f64 {
        match self {
            Self::Hour => 3600.0,
            Self::Day => 86_400.0,
            Self::Week => 604_800.0,
        }
    }
}

/// One row of the page of queues.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The queue.
    pub queue: Queue,
    /// `paused`, `starved`, `held_back`, `busy` or `idle`.
    pub state: String,
    /// Attempts that anybody may take; counted up to 100,000.
    pub ready: i64,
    /// Attempts that somebody has.
    pub leased: i64,
    /// Attempts that wait for their time; counted up to 10,000.
    pub deferred: i64,
    /// Since when the oldest ready one waits.
    pub oldest_ready: Option<Timestamp>,
    /// When the next deferred one becomes ready.
    pub next_due: Option<Timestamp>,
    /// The error after which that one waits, cut.
    pub held_back_by: Option<String>,
    /// Who asks for its work or has some.
    pub live_workers: i64,
    /// When somebody last asked.
    pub last_seen: Option<Timestamp>,
    /// Who that was.
    pub last_worker: Option<String>,
    /// Attempts handed out in the span.
    pub started: i64,
    /// Attempts that failed in it.
    pub failed: i64,
    /// Attempts handed out per minute.
    pub started_per_min: f64,
    /// Failed ones of those, 0 to 1; `None` when none began.
    pub failed_share: Option<f64>,
    /// Seconds that half of them had been ready for at most.
    pub wait_p50_secs: Option<f64>,
    /// Seconds that 95 % of them had been ready for at most.
    pub wait_p95_secs: Option<f64>,
    /// Most that were ready at once, by period, oldest first.
    pub ready_series: Vec<i32>,
}

/// How the queues stand, longest wait first; 200 at most. Takes at most two seconds.
///
/// # Errors
///
/// [`Error::Postgres`] with the code `query_canceled` when two seconds were not enough, [`Error::Unavailable`]
pub async fn standing(db: &mut impl GenericClient, span: Span) -> Result<Vec<Standing>, Error> {
    let page = db.prepare_cached(include_str!("../../../sql/pages/queues.sql")).await?;
    let db = db.transaction().await?;
    db.batch_execute("set transaction read only; set local statement_timeout = '2s'").await?;
    let rows = db.query(&page, &[&span.secs()]).await?;
    db.commit().await?;
    let one = |row: &Row| Standing {
        queue: Queue {
            id: row.get("id"),
            name: row.get("queue"),
            domain: row.get("domain"),
            pause: pause(row),
        },
        state: row.get("state"),
        ready: row.get("ready"),
        leased: row.get("leased"),
        deferred: row.get("deferred"),
        oldest_ready: row.get("oldest_ready"),
        next_due: row.get("next_due"),
        held_back_by: row.get("held_back_by"),
        live_workers: row.get("live_workers"),
        last_seen: row.get("last_seen"),
        last_worker: row.get("last_worker"),
        started: row.get("started"),
        failed: row.get("failed"),
        started_per_min: row.get("started_per_min"),
        failed_share: row.get("failed_share"),
        wait_p50_secs: row.get("wait_p50_secs"),
        wait_p95_secs: row.get("wait_p95_secs"),
        ready_series: row.get::<_, Option<Vec<i32>>>("ready_series").unwrap_or_default(),
    };
    Ok(rows.iter().map(one).collect())
}

/// One period of a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Period {
    /// When it began.
    pub at: Timestamp,
    /// Its length in minutes.
    pub minutes: i32,
    /// Most attempts that were ready at once.
    pub ready: i32,
    /// Attempts handed out.
    pub started: i64,
    /// Attempts that failed.
    pub failed: i64,
    /// Seconds that half of those handed out had been ready for at most.
    pub wait_p50_secs: Option<f64>,
    /// Seconds that 95 % of them had been ready for at most.
    pub wait_p95_secs: Option<f64>,
}

/// How one queue was served, oldest period first; empty for a queue that nobody knows.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn history(
    db: &impl GenericClient,
    name: &str,
    domain: &str,
    span: Span,
) -> Result<Vec<Period>, Error> {
    let history = db.prepare_cached(include_str!("../../../sql/pages/queue_history.sql")).await?;
    let one = |row: &Row| Period {
        at: row.get("at"),
        minutes: row.get("minutes"),
        ready: row.get("ready"),
        started: row.get("started"),
        failed: row.get("failed"),
        wait_p50_secs: row.get("wait_p50_secs"),
        wait_p95_secs: row.get("wait_p95_secs"),
    };
    Ok(db.query(&history, &[&name, &domain, &span.secs()]).await?.iter().map(one).collect())
}
