//! Bulk jobs: one action on every run that a filter matches, however many there are.
//!
//! ```text
//!   a wish ──► a row ──► a server takes it on, under a lease ──► page of the list ──► small steps, at the rate ──► done
//!                 ▲                                                                         │
//!                 └── its server died: another one, from the last step on ──────────────────┘
//! ```
//!
//! 1. A run is acted on once: a step that is done again after a death finds by its own request or key what it had done. It is
//!    counted once: a step is written down by who stands where it began.
//!    What deletes runs and what is written down of it are one commit.
//! 2. Runs that began after the job are none of its own, so what it makes itself is never met.
//! 3. Every action is an item for the committers like any other, so other work goes on between them.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};

use super::commit::Work;
use super::fork::{At, Wanted as Forked};
use super::{Error, Runtime, Shared, retention};
use crate::engine::Event;
use crate::id::{BulkId, ExecutionId};
use crate::store::bulk::{self, NewJob, Order, Step, Taken};
use crate::store::read::list::query::Query;
use crate::store::read::list::{self, Filter, Place};
use crate::store::{self, commit};

/// A server that takes a job on has it for so long after each step.
const LEASE_SECS: f64 = 10.0;
/// Runs that are looked up at once.
const PAGE: usize = 200;
/// How long one look takes at most.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Runs that are counted before a job begins, and for how long.
const COUNTED: usize = 20_000;
/// Steps a second, when the rate is higher than that.
const STEPS: usize = 10;

/// What can be done to many runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Let them begin no further step.
    Pause,
    /// Let paused ones go on.
    Resume,
    /// End them after the turn that is going on.
    Stop,
    /// End them now.
    Cancel,
    /// Go on where they failed, as new runs.
    Retry,
    /// Begin again with their input, as new runs.
    Restart,
    /// Delete those that have ended, with all that belongs to them.
    Delete,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Pause, Self::Resume, Self::Stop, Self::Cancel, Self::Retry, Self::Restart, Self::Delete];

    /// As it is stored and written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Restart => "restart",
            Self::Delete => "delete",
        }
    }

    /// The action of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// What it lets happen to a run, and why; `None` when it begins another one, or ends one for good.
    #[must_use]
    pub fn event(self, reason: &str) -> Option<Event> {
        match self {
            Self::Pause => Some(Event::Paused),
            Self::Resume => Some(Event::Resumed),
            Self::Stop => Some(Event::StopRequested),
            Self::Cancel => Some(Event::Cancelled { reason: reason.to_owned() }),
            Self::Retry | Self::Restart | Self::Delete => None,
        }
    }
}

/// A bulk job that somebody wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What is to be done.
    pub action: Action,
    /// To which runs, in the words of the list.
    pub filter: String,
    /// Why, for whoever looks at them later.
    pub reason: String,
    /// Runs a second, 1 to 1000.
    pub rate: u16,
    /// Who wants it, in words.
    pub by: String,
    /// Idempotency key: the same one begins one job.
    pub key: Option<String>,
    /// To delete: only runs that ended so many seconds ago or earlier.
    pub keep_secs: f64,
    /// To delete: whether each is written to a file before.
    pub export: bool,
    /// The retention policy that wants it.
    pub policy: Option<String>,
}

/// Runs that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// So many were found.
    pub found: usize,
    /// Whether there are, or may be, more.
    pub has_more: bool,
}

impl Runtime {
    /// How many runs a bulk job with this filter would look at that began so many seconds ago or earlier, counted for two
    /// seconds at most.
    ///
    /// # Errors
    ///
    /// [`store::Error::Refused`] when the filter can't be read, or says nothing.
    pub async fn count_bulk(&self, filter: &str, keep_secs: f64) -> Result<Count, Error> {
        let query = read(filter)?;
        let now = Timestamp::now();
        let before = Place::Before(youngest(now, keep_secs));
        let mut db = self.pool().get().await.map_err(store::Error::from)?;
        let found = list::search(&mut db, &query.filter(), before, COUNTED, (now, PATIENCE)).await?;
        Ok(Count { found: found.ids.len(), has_more: found.has_more || found.stopped.is_some() })
    }

    /// Begin a bulk job. Durable when this returns; a server takes it on within a second.
    ///
    /// # Errors
    ///
    /// [`store::Error::Refused`] when the filter can't be read or says nothing, or the rate is out of bounds.
    pub async fn start_bulk(&self, wanted: &Wanted) -> Result<BulkId, Error> {
        if !(1..=1000).contains(&wanted.rate) {
            return Err(store::Error::Refused("rate: must be 1 to 1000 runs a second".into()).into());
        }
        if wanted.action != Action::Delete && (wanted.keep_secs > 0.0 || wanted.export) {
            return Err(store::Error::Refused("keep and export are for action delete".into()).into());
        }
        self.can_export(wanted.export)?;
        let count = self.count_bulk(&wanted.filter, wanted.keep_secs).await?;
        self.begin_bulk(wanted, count).await
    }

    /// Begin a bulk job of which that many runs are expected.
    pub(super) async fn begin_bulk(&self, wanted: &Wanted, count: Count) -> Result<BulkId, Error> {
        let expected = (!count.has_more).then(|| i32::try_from(count.found).unwrap_or(i32::MAX));
        let id = BulkId::new();
        let job = NewJob {
            id,
            order: Order {
                action: wanted.action.name().to_owned(),
                filter: read(&wanted.filter)?.text(),
                reason: wanted.reason.clone(),
                by: wanted.by.clone(),
                rate: wanted.rate.into(),
                keep_secs: wanted.keep_secs,
                export: wanted.export,
                policy: wanted.policy.clone(),
            },
            expected,
            cursor: youngest(Timestamp::now(), wanted.keep_secs),
            key: wanted.key.as_deref().filter(|key| !key.trim().is_empty()),
        };
        let db = self.pool().get().await.map_err(store::Error::from)?;
        Ok(bulk::start(&db, &job).await?)
    }
}

/// Runs from this one on began less than so many seconds ago.
fn youngest(now: Timestamp, keep_secs: f64) -> ExecutionId {
    let keep = SignedDuration::try_from_secs_f64(keep_secs).unwrap_or(SignedDuration::MAX);
    ExecutionId::first_at(now.checked_sub(keep).unwrap_or(Timestamp::MIN))
}

/// What a filter says.
pub(super) fn read(filter: &str) -> Result<Query, Error> {
    let refused = |why: String| Err(store::Error::Refused(why).into());
    let query = Query::parse(filter);
    if let Some(complaint) = query.complaint() {
        return refused(format!("filter: {complaint}"));
    }
    if query.terms.is_empty() {
        return refused("filter: says nothing, and would be every run that there is; narrow it, as with status:failed or since:24h".into());
    }
    Ok(query)
}

/// Take on jobs that nobody sees to.
pub(super) async fn look(shared: &Arc<Shared>, db: &impl store::GenericClient) -> Result<(), store::Error> {
    if shared.stop.is_cancelled() {
        return Ok(());
    }
    for job in bulk::take(db, shared.session.id, LEASE_SECS).await? {
        tracing::info!(job = %job.id, action = job.order.action, filter = job.order.filter, "goes on with a bulk job");
        tokio::spawn(Walk::new(shared, job).run());
    }
    Ok(())
}

/// A job under way.
struct Walk {
    runtime: Runtime,
    job: Taken,
    filter: Filter,
    action: Action,
    /// Runs that were found and not acted on yet.
    page: VecDeque<ExecutionId>,
    /// Where the next page begins, when there is one.
    behind: Option<ExecutionId>,
}

impl Walk {
    fn new(shared: &Arc<Shared>, job: Taken) -> Self {
        let filter = Query::parse(&job.order.filter).filter();
        let action = Action::named(&job.order.action).unwrap_or(Action::Pause);
        let (page, behind) = (VecDeque::new(), Some(job.cursor));
        Self { runtime: Runtime { shared: shared.clone() }, job, filter, action, page, behind }
    }

    async fn run(mut self) {
        let shared = self.runtime.shared.clone();
        loop {
            let began = Instant::now();
            let stepped = tokio::select! {
                stepped = self.step() => stepped,
                () = shared.closed.cancelled() => return,
            };
            let rest = match stepped {
                Ok(None) => return,
                Ok(Some(many)) => Duration::from_secs_f64(f64::from(many) / f64::from(self.job.order.rate)),
                Err(error) => {
                    tracing::warn!(?error, job = %self.job.id, "a bulk job did not come on; trying again");
                    // From what is written down on: what was done meanwhile is found to be done.
                    (self.page, self.behind) = (VecDeque::new(), Some(self.job.cursor));
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(rest.saturating_sub(began.elapsed())) => {}
                () = shared.stop.cancelled() => return,
            }
        }
    }

    /// Act on a few runs and write down what came of it; how many, or `None` when there is nothing more to do here.
    async fn step(&mut self) -> Result<Option<u32>, Error> {
        if self.page.is_empty()
            && let Some(behind) = self.behind
        {
            let mut db = self.runtime.pool().get().await.map_err(store::Error::from)?;
            let place = Place::Before(behind);
            let found =
                list::search(&mut db, &self.filter, place, PAGE, (self.job.created_at, PATIENCE)).await?;
            self.behind = match found.stopped {
                Some(stopped) => Some(stopped.at),
                None => found.ids.last().copied().filter(|_| found.has_more),
            };
            self.page = found.ids.into();
        }
        let rate = usize::try_from(self.job.order.rate).unwrap_or(1);
        let many = rate.div_ceil(STEPS).min(self.page.len());
        let some: Vec<_> = self.page.drain(..many).collect();
        let cursor = if self.page.is_empty() { self.behind } else { None };
        let cursor = cursor.or(some.last().copied()).unwrap_or(self.job.cursor);
        let is_last = self.page.is_empty() && self.behind.is_none();
        let whose = (self.job.id, self.runtime.shared.session.id, LEASE_SECS);
        let way = (self.job.cursor, cursor);
        let state = if self.action == Action::Delete {
            // What is gone is not found again, so it goes with what is written down of it or not at all.
            let mut db = self.runtime.pool().get().await.map_err(store::Error::from)?;
            let exported = self.runtime.export(&db, &self.job.order, &some).await?;
            let deciding = db.transaction().await.map_err(store::Error::from)?;
            let step = retention::delete(&deciding, self.job.id, &self.job.order, exported).await?;
            let state = bulk::step(&deciding, whose, way, &step, is_last).await?;
            if state.is_some() {
                deciding.commit().await.map_err(store::Error::from)?;
            }
            state
        } else {
            let step = self.act(&some).await?;
            let db = self.runtime.pool().get().await.map_err(store::Error::from)?;
            bulk::step(&db, whose, way, &step, is_last).await?
        };
        self.job.cursor = cursor;
        let goes_on = state.as_deref() == Some("running");
        Ok(goes_on.then(|| u32::try_from(some.len()).unwrap_or(u32::MAX)))
    }

    async fn act(&self, ids: &[ExecutionId]) -> Result<Step, Error> {
        let mut step = Step::default();
        let keys: Vec<_> = ids.iter().map(|id| format!("bulk:{}:{id}", self.job.id)).collect();
        let reason =
            if self.job.order.reason.is_empty() { "cancelled by a bulk job" } else { &self.job.order.reason };
        let event = self.action.event(reason);
        let known = if event.is_none() && !ids.is_empty() {
            let db = self.runtime.pool().get().await.map_err(store::Error::from)?;
            bulk::made(&db, ids, &keys).await?
        } else {
            HashSet::new()
        };
        let by = format!("{} (bulk job {})", self.job.order.by, self.job.id);
        let acts = ids.iter().zip(&keys).filter(|(id, _)| !known.contains(id)).map(|(id, key)| {
            let event = event.clone();
            let by = by.clone();
            async move {
                if let Some(event) = event {
                    self.control(*id, event, by, key.clone()).await
                } else {
                    let at = if self.action == Action::Retry { At::Failure } else { At::Start };
                    let wanted = Forked { key: Some(key.clone()), ..Forked::new(*id, at, &by) };
                    self.runtime.fork(wanted).await.map(drop)
                }
            }
        });
        step.done = i32::try_from(known.len()).unwrap_or(i32::MAX);
        for acted in join_all(acts).await {
            let note = match acted {
                Ok(()) => {
                    step.done += 1;
                    continue;
                }
                Err(Error::Busy | Error::ShuttingDown) => return acted.map(|()| step),
                Err(Error::Store(ref error)) if error.is_transient() => return acted.map(|()| step),
                Err(Error::Illegal(now)) => {
                    step.skipped += 1;
                    format!("a run that is {} can't {}", now.status.name(), self.action.name())
                }
                Err(Error::Conflict(text) | Error::Store(store::Error::Refused(text))) => {
                    step.skipped += 1;
                    text
                }
                Err(error @ Error::Store(store::Error::NotFound { .. })) => {
                    step.skipped += 1;
                    error.to_string()
                }
                Err(error) => {
                    step.failed += 1;
                    error.to_string()
                }
            };
            step.note = Some(crate::json::storable_text(&note).chars().take(500).collect());
        }
        Ok(step)
    }

    /// Let something happen to a run, unless this job did so before.
    async fn control(&self, id: ExecutionId, event: Event, by: String, request: String) -> Result<(), Error> {
        let work = Work::Control { id, event, by, request: request.clone() };
        match self.runtime.shared.done(work).await {
            Ok(_) => Ok(()),
            Err(Error::Illegal(now)) => {
                let db = self.runtime.pool().get().await.map_err(store::Error::from)?;
                let known = commit::requested(&db, &[id], &[&request]).await?;
                if known.contains(&request) { Ok(()) } else { Err(Error::Illegal(now)) }
            }
            Err(error) => Err(error),
        }
    }
}
