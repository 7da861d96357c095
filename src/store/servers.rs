//! Queues by name, and who asks for work: workers that poll, and servers.

use super::{Error, GenericClient};

/// Ids of queues by name and domain, made where they are missing.
///
/// # Errors
///
/// [`Error`]
pub async fn ensure_queues(
    db: &impl GenericClient,
    queues: &[(String, String)],
) -> Result<Vec<((String, String), i32)>, Error> {
    let ensure = db.prepare_cached(include_str!("../../sql/queues/ensure.sql")).await?;
    let (names, domains): (Vec<_>, Vec<_>) = queues.iter().map(|q| (&q.0, &q.1)).unzip();
    let rows = db.query(&ensure, &[&names, &domains]).await?;
    rows.iter().map(|r| Ok(((r.try_get(0)?, r.try_get(1)?), r.try_get(2)?))).collect()
}

/// Note when workers were last heard of, in seconds ago; returns their ids in the order given.
///
/// # Errors
///
/// [`Error`]
pub async fn seen(db: &impl GenericClient, workers: &[(i32, String, f64)]) -> Result<Vec<i64>, Error> {
    let seen = db.prepare_cached(include_str!("../../sql/workers/seen.sql")).await?;
    let rows = db
        .query(
            &seen,
            &[
                &workers.iter().map(|w| w.0).collect::<Vec<_>>(),
                &workers.iter().map(|w| &w.1).collect::<Vec<_>>(),
                &workers.iter().map(|w| w.2).collect::<Vec<_>>(),
            ],
        )
        .await?;
    let mut ids = std::collections::HashMap::with_capacity(rows.len());
    for row in &rows {
        ids.insert((row.try_get::<_, i32>(0)?, row.try_get::<_, String>(1)?), row.try_get::<_, i64>(2)?);
    }
    Ok(workers.iter().filter_map(|w| ids.get(&(w.0, w.1.clone())).copied()).collect())
}

/// Register a server's session; returns its id.
///
/// # Errors
///
/// [`Error`]
pub async fn join(db: &impl GenericClient, queue: i32, name: &str) -> Result<i64, Error> {
    let join = db.prepare_cached(include_str!("../../sql/workers/join.sql")).await?;
    Ok(db.query_one(&join, &[&queue, &name]).await?.try_get(0)?)
}

/// A server's heartbeat; returns whether its session lock shows that it lives.
///
/// # Errors
///
/// [`Error`]
pub async fn beat(db: &impl GenericClient, id: i64) -> Result<bool, Error> {
    let beat = db.prepare_cached(include_str!("../../sql/workers/beat.sql")).await?;
    let row = db.query_opt(&beat, &[&id]).await?;
    Ok(row.map(|r| r.try_get(0)).transpose()?.unwrap_or(false))
}

/// A server takes no new work any more.
///
/// # Errors
///
/// [`Error`]
pub async fn drain(pool: &super::Pool, id: i64) -> Result<(), Error> {
    let db = pool.get().await?;
    let drain = db.prepare_cached(include_str!("../../sql/workers/drain.sql")).await?;
    db.execute(&drain, &[&id]).await?;
    Ok(())
}

/// An attempt was lost with a worker.
///
/// # Errors
///
/// [`Error`]
pub async fn lost(pool: &super::Pool, id: i64) -> Result<(), Error> {
    let db = pool.get().await?;
    let lost = db.prepare_cached(include_str!("../../sql/workers/lost.sql")).await?;
    db.execute(&lost, &[&id]).await?;
    Ok(())
}

/// Pause a queue; false when there is none or it is paused already.
///
/// # Errors
///
/// [`Error`]
pub async fn pause_queue(
    db: &impl GenericClient,
    id: i32,
    by: &str,
    reason: Option<&str>,
) -> Result<bool, Error> {
    let pause = db.prepare_cached(include_str!("../../sql/queues/pause.sql")).await?;
    Ok(db.query_opt(&pause, &[&id, &by, &reason]).await?.is_some())
}

/// Let a queue go on; false when there is none or it is not paused.
///
/// # Errors
///
/// [`Error`]
pub async fn resume_queue(
    db: &impl GenericClient,
    id: i32,
    by: &str,
    reason: Option<&str>,
) -> Result<bool, Error> {
    let resume = db.prepare_cached(include_str!("../../sql/queues/resume.sql")).await?;
    Ok(db.query_opt(&resume, &[&id, &by, &reason]).await?.is_some())
}

/// What a server did for a queue since it last said so.
#[derive(Debug)]
pub struct Served {
    /// The queue.
    pub queue: i32,
    /// Attempts handed out.
    pub started: i32,
    /// Attempts that failed, gave up or were lost.
    pub failed: i32,
    /// The first ones by how long they had been ready; bucket n (from 0) begins at 2^(n-1) ms.
    pub waits: Vec<i32>,
}

/// Add what a server did, and how much is ready now, to the statistics.
///
/// # Errors
///
/// [`Error`]
pub async fn count(db: &impl GenericClient, id: i64, served: &[Served]) -> Result<(), Error> {
    let count = db.prepare_cached(include_str!("../../sql/queues/count.sql")).await?;
    let array = |waits: &[i32]| {
        format!("{{{}}}", waits.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    db.execute(
        &count,
        &[
            &id,
            &served.iter().map(|s| s.queue).collect::<Vec<_>>(),
            &served.iter().map(|s| s.started).collect::<Vec<_>>(),
            &served.iter().map(|s| s.failed).collect::<Vec<_>>(),
            &served.iter().map(|s| array(&s.waits)).collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

/// Delete up to `limit` rows of statistics of each kind that are too old to be looked at.
///
/// # Errors
///
/// [`Error`]
pub async fn forget_stats(db: &impl GenericClient, limit: i64) -> Result<(), Error> {
    let forget = db.prepare_cached(include_str!("../../sql/queues/forget_stats.sql")).await?;
    db.execute(&forget, &[&limit]).await?;
    Ok(())
}

/// Forget workers that were not heard of for a day.
///
/// # Errors
///
/// [`Error`]
pub async fn forget(db: &impl GenericClient) -> Result<(), Error> {
    let forget = db.prepare_cached(include_str!("../../sql/workers/forget.sql")).await?;
    db.execute(&forget, &[]).await?;
    Ok(())
}

/// Notify other servers, each payload below 8000 bytes. Writes nothing, so it waits for no disk.
///
/// # Errors
///
/// [`Error`]
pub async fn notify(pool: &super::Pool, payloads: &[String]) -> Result<(), Error> {
    let db = pool.get().await?;
    let notify = db.prepare_cached("select pg_notify('tenure', p) from unnest($1::text[]) as p").await?;
    db.execute(&notify, &[&payloads]).await?;
    Ok(())
}
