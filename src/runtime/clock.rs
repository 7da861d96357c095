//! What happens because time passes: deferred work becomes ready, leases end, executions run out of time, sessions beat.
//!
//! Every server does all of it; each statement takes what it can lock and skips the rest, so no leader is needed. Only
//! the clock of Postgres decides.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Shared;
use super::commit::Work;
use crate::engine::Event;
use crate::store;

/// Longest time between two looks.
const SWEEP: Duration = Duration::from_secs(1);
/// A server that was not heard of this long is taken for dead, its lock or no lock.
const SILENT_SECS: f64 = 30.0;
/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(2);

/// Run until the server has closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let (mut swept, mut beaten, mut forgot) = (None::<Instant>, None::<Instant>, Instant::now());
    let due = |last: Option<Instant>, every: Duration| last.is_none_or(|at| at.elapsed() >= every);
    loop {
        let mut wait = SWEEP;
        let pass = async {
            let db = shared.pool.get().await?;
            while promote(&shared, &db).await? {}
            overdue(&shared, &db).await?;
            if due(swept, SWEEP) {
                swept = Some(Instant::now());
                lost(&shared, &db).await?;
                shared.claims.sweep().await?;
                shared.claims.note_workers().await?;
                shared.watched.refresh(&shared.pool).await?;
            }
            let just_locked = shared.just_locked.swap(false, Ordering::AcqRel);
            if just_locked || due(beaten, BEAT) {
                beaten = Some(Instant::now());
                if store::servers::beat(&db, shared.session.id).await? {
                    shared.known_alive.notify_one();
                }
            }
            if forgot.elapsed() > Duration::from_hours(1) {
                forgot = Instant::now();
                store::servers::forget(&db).await?;
            }
            if let Some(secs) = store::queue::next_due(&db).await? {
                wait = wait.min(Duration::from_secs_f64(secs.clamp(0.005, 1.0)));
            }
            Ok::<_, store::Error>(())
        };
        if let Err(error) = pass.await {
            tracing::warn!(?error, "could not look at what time has brought; trying again");
            if error.is_read_only() {
                // Another Postgres may be the primary now: whoever connects anew finds it.
                shared.pool.retain(|_, _| false);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.due.notified() => {}
            () = shared.closed.cancelled() => return,
        }
    }
}

/// Make due work ready; whether there may be more.
async fn promote(shared: &Shared, db: &deadpool_postgres::Object) -> Result<bool, store::Error> {
    let ready = store::queue::promote(db, 500).await?;
    let more = ready.len() == 500;
    shared.woken(ready);
    Ok(more)
}

/// Attempts whose worker is gone or silent count as lost.
async fn lost(shared: &Arc<Shared>, db: &deadpool_postgres::Object) -> Result<(), store::Error> {
    for expired in store::queue::expired(db, 500, SILENT_SECS).await? {
        // Answered through the committer; if that fails, the next look finds it again.
        let _ = shared.submit(Work::Lost(expired));
    }
    Ok(())
}

async fn overdue(shared: &Arc<Shared>, db: &deadpool_postgres::Object) -> Result<(), store::Error> {
    for id in store::queue::overdue(db, 500).await? {
        let _ = shared.submit(Work::Control { id, event: Event::DeadlinePassed, by: "clock".into() });
    }
    Ok(())
}
