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
/// How long a lease may have been over when the commit that wrote it is seen.
const LATE: Duration = Duration::from_secs(5);
/// Longest time between two looks at all leases.
const THOROUGH: Duration = Duration::from_secs(30);
/// For so long all of them are looked at when an answer was lost: until what this server was not told of counts as such.
const UNSURE: Duration = Duration::from_secs(6);
/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(2);

/// When to look again. A look over what is dead and can't be cleaned up, because somebody holds an old snapshot open, takes
/// longer and longer: it takes one part of the time in so many at most, unless it would not be made for half a minute.
struct Pace {
    every: Duration,
    parts: u32,
    next: Instant,
}

impl Pace {
    fn new(every: Duration, parts: u32) -> Self {
        Self { every, parts, next: Instant::now() }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// A look that began then is over.
    fn looked(&mut self, began: Instant) {
        self.next = began + self.every.max((self.parts * began.elapsed()).min(THOROUGH));
    }
}

/// Run until the server has closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let (mut losses, mut queues) = (Losses::default(), Pace::new(SWEEP, 10));
    let (mut sweep, mut beat) = (Pace::new(SWEEP, 10), Pace::new(BEAT, 10));
    let mut forgot = Instant::now();
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
            if losses.look(&shared, &db).await? {
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

/// Looks for attempts that were lost with their worker.
///
/// 1. No lease is written that was over already, but for the time that a commit takes: once nothing was found, a look
///    begins where that one began, and passes over all that has died since.
/// 2. Everything is looked at, and what this server has without having been told, after the answer to a commit or a claim
///    was lost, and now and then.
struct Losses {
    few: Pace,
    all: Pace,
    doubted: Doubted,
    /// When a look began that found no lease that was over.
    clean: Option<Instant>,
    /// When it was noticed that an answer was lost.
    unsure: Option<Instant>,
}

impl Default for Losses {
    fn default() -> Self {
        Self {
            few: Pace::new(LOSSES, 10),
            all: Pace::new(LOSSES, 100),
            doubted: HashMap::new(),
            clean: None,
            unsure: None,
        }
    }
}

impl Losses {
    /// Look, if it is time. Whether it is to be done again soon, because a server seems to be gone.
    async fn look(
        &mut self,
        shared: &Arc<Shared>,
        db: &deadpool_postgres::Object,
    ) -> Result<bool, store::Error> {
        let began = Instant::now();
        if shared.claims.unsure.swap(false, Ordering::AcqRel) {
            self.unsure = Some(began);
        }
        let is_due = self.few.is_due() || !self.doubted.is_empty();
        let is_unsure = self.unsure.is_some_and(|since| since.elapsed() < UNSURE);
        if self.all.is_due() || (is_due && is_unsure) {
            self.lost(shared, db, None).await?;
            self.all.looked(began);
            self.few.looked(began);
        } else if is_due {
            let ended_secs = self.clean.map(|clean| (clean.elapsed() + LATE).as_secs_f64());
            self.lost(shared, db, ended_secs).await?;
            self.few.looked(began);
        }
        Ok(!self.doubted.is_empty())
    }

    /// Attempts whose worker is gone or silent count as lost. A server is gone when it has not been heard of since its lock
    /// was first missed; one that is only connecting again says so in time.
    async fn lost(
        &mut self,
        shared: &Arc<Shared>,
        db: &deadpool_postgres::Object,
        ended_secs: Option<f64>,
    ) -> Result<(), store::Error> {
        let looker = Looker {
            id: shared.session.id,
            performs: shared.session.performs(),
            forgotten_secs: FORGOTTEN_SECS,
            silent_secs: SILENT_SECS,
            ended_secs,
        };
        let began = Instant::now();
        let before = std::mem::take(&mut self.doubted);
        let found = store::queue::expired(db, 500, &looker).await?;
        if found.iter().all(|expired| expired.why != Why::Silent) {
            self.clean = Some(began);
        }
        for expired in found {
            if expired.why == Why::Gone {
                let (worker, heard) = expired.heard;
                let known = before.get(&worker).filter(|(_, then)| *then == heard).copied();
                let (since, _) =
                    *self.doubted.entry(worker).or_insert(known.unwrap_or((Instant::now(), heard)));
                if since.elapsed() < DOUBT {
                    continue;
                }
            }
            // Answered through the committer; if that fails, the next look finds it again.
            let _ = shared.submit(Work::Lost(expired));
        }
        Ok(())
    }
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
