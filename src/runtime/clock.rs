//! What happens because time passes: deferred work becomes ready, leases end, executions and questions run out of time,
//! sessions beat.
//!
//! Every server does all of it; each statement takes what it can lock and skips the rest, so no leader is needed. Only
//! the clock of Postgres decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::commit::{Deciding, Work};
use super::{Shared, bulk, retention};
use crate::engine::Event;
use crate::store::{self, queue::Looker, queue::Why};

/// Longest time between two looks at what may have been missed.
const SWEEP: Duration = Duration::from_secs(1);
/// The same for what was lost with its worker, for which somebody waits.
const LOSSES: Duration = Duration::from_millis(500);
/// A server that was not heard of this long is taken for dead, its lock or no lock.
const SILENT_SECS: f64 = 30.0;
/// A server whose lock has vanished has this long to say that it lives.
const DOUBT: Duration = Duration::from_millis(400);
/// A model call that this server has for so long and does not perform, it was never told of.
const FORGOTTEN_SECS: f64 = 2.0;
/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(2);

/// When to look again. A look over what is dead and can't be cleaned up, because somebody holds an old snapshot open, takes
/// longer and longer: it takes at most a tenth of the time.
struct Pace {
    every: Duration,
    next: Instant,
}

impl Pace {
    fn new(every: Duration) -> Self {
        Self { every, next: Instant::now() }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// A look that began then is over.
    fn looked(&mut self, began: Instant) {
        self.next = began + self.every.max(10 * began.elapsed());
    }
}

/// Run until the server has closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let (mut losses, mut queues) = (Pace::new(LOSSES), Pace::new(SWEEP));
    let (mut sweep, mut beat) = (Pace::new(SWEEP), Pace::new(BEAT));
    let mut forgot = Instant::now();
    let mut doubted = HashMap::new();
    loop {
        let mut wait = LOSSES;
        let pass = async {
            let db = shared.keyed.get().await?;
            while promote(&shared, &db).await? {}
            overdue(&shared, &db).await?;
            let just_locked = shared.lock_changed.swap(false, Ordering::AcqRel);
            if just_locked || beat.is_due() {
                beat.looked(Instant::now());
                if store::servers::beat(&db, shared.session.id).await? {
                    shared.known_alive.notify_one();
                }
            }
            if losses.is_due() || !doubted.is_empty() {
                let began = Instant::now();
                lost(&shared, &db, &mut doubted).await?;
                losses.looked(began);
            }
            if !doubted.is_empty() {
                wait = DOUBT;
            }
            if queues.is_due() {
                let began = Instant::now();
                shared.claims.sweep().await?;
                queues.looked(began);
            }
            if sweep.is_due() {
                sweep.looked(Instant::now());
                undecided(&shared, &db).await?;
                bulk::look(&shared, &db).await?;
                retention::look(&shared, &db).await?;
                shared.policies.read(&shared.pool).await?;
                shared.claims.note_workers().await?;
                shared.watched.refresh(&shared.pool).await?;
            }
            if forgot.elapsed() > Duration::from_hours(1) {
                forgot = Instant::now();
                store::servers::forget(&db).await?;
                store::retention::forget(&db).await?;
                store::outbox::forget(&db).await?;
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
                shared.keyed.retain(|_, _| false);
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

/// Servers whose lock was not there at the last look: when that was first so, and when they had been heard of then.
type Doubted = HashMap<i64, (Instant, Timestamp)>;

/// Attempts whose worker is gone or silent count as lost. A server is gone when it has not been heard of since its lock was
/// first missed; one that is only connecting again says so in time.
async fn lost(
    shared: &Arc<Shared>,
    db: &deadpool_postgres::Object,
    doubted: &mut Doubted,
) -> Result<(), store::Error> {
    let looker = Looker {
        id: shared.session.id,
        performs: shared.session.performs(),
        forgotten_secs: FORGOTTEN_SECS,
        silent_secs: SILENT_SECS,
    };
    let before = std::mem::take(doubted);
    for expired in store::queue::expired(db, 500, &looker).await? {
        if expired.why == Why::Gone {
            let (worker, heard) = expired.heard;
            let known = before.get(&worker).filter(|(_, then)| *then == heard).copied();
            let (since, _) = *doubted.entry(worker).or_insert(known.unwrap_or((Instant::now(), heard)));
            if since.elapsed() < DOUBT {
                continue;
            }
        }
        // Answered through the committer; if that fails, the next look finds it again.
        let _ = shared.submit(Work::Lost(expired));
    }
    Ok(())
}

/// Questions that nobody decided in time, and decisions that were made in SQL.
async fn undecided(shared: &Arc<Shared>, db: &deadpool_postgres::Object) -> Result<(), store::Error> {
    for due in store::approvals::due(db, 500).await? {
        let decisions = if due.is_over { vec![Deciding::Clock(due.id)] } else { vec![] };
        let _ = shared.submit(Work::Decide { id: due.execution, decisions });
    }
    Ok(())
}

async fn overdue(shared: &Arc<Shared>, db: &deadpool_postgres::Object) -> Result<(), store::Error> {
    for id in store::queue::overdue(db, 500).await? {
        let (by, request) = ("clock".into(), String::new());
        let _ = shared.submit(Work::Control { id, event: Event::DeadlinePassed, by, request });
    }
    Ok(())
}
