//! Makes each decision durable: outcomes in, one commit out.
//!
//! Handlers, performers and timers call the methods of [`Runtime`]; nothing else writes to an execution.

mod agents;
pub mod answer;
mod batch;
pub mod bulk;
mod claims;
mod clock;
mod commit;
mod decision;
pub mod fork;
mod inbox;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of a model are small")]
mod model;
mod policies;
mod queues;
mod recall;
mod replay;
mod reply;
mod retention;
pub mod session;
mod settle;
mod speech;
mod spend;
mod stats;
mod wake;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::engine;
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;
use crate::store;

pub use self::claims::Offer;
pub use crate::store::approvals::{Choice, Decision, Outcome as Decided, Verdict};
pub use crate::store::queue::Lease;
pub use batch::{ModelFailure, ModelOutcome};
use commit::{Done, Item, Work};
pub use inbox::Pushed;
pub use queues::Switched;
pub use recall::{Conversation, Entry};
pub use speech::{Listening, Piece, Speaker};
pub use wake::{Followed, News};

/// The queue of model calls, which servers perform themselves. Tools can't have a dot in their name.
pub const MODEL_QUEUE: &str = "tenure.model";

/// Where servers are registered that perform no model calls. Nothing ever waits in it.
pub const WEB_QUEUE: &str = "tenure.web";

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The execution is in no state for it (it has ended, or is paused already). A conflict at the edge.
    #[error(transparent)]
    Illegal(#[from] engine::IllegalEvent),
    /// What is asked for does not fit how the execution stands. A conflict at the edge.
    #[error("{0}")]
    Conflict(String),
    /// More is waiting to be committed than fits; try again in a moment.
    #[error("the server has more to write than it can; try again in a moment")]
    Busy,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The database said no, or nothing.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A run that somebody wants.
#[derive(Debug, Clone)]
pub struct Start {
    /// Its id, made by the caller.
    pub id: ExecutionId,
    /// The agent version that it runs.
    pub agent: Arc<Agent>,
    /// Its number.
    pub version: i32,
    /// `{"prompt", "media", "context", "session_id", …}`, storable.
    pub input: Json,
    /// What its tools share at the beginning; an object.
    pub context: Json,
    /// Idempotency key: the same one starts one execution.
    pub key: Option<String>,
    /// Groups executions of one conversation.
    pub session: Option<String>,
    /// Domain in which its stateful tools' calls wait.
    pub domain: Option<String>,
    /// Task name → domain, as an object of strings.
    pub domains: Option<Json>,
    /// Lower is first; 0 unless said.
    pub priority: i16,
    /// Overrides the agent's.
    pub timeout: Option<Duration>,
    /// The run is accepted and ends at once with this reason (its model provider is not configured).
    pub refused: Option<String>,
}

/// What became of a [`Start`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The execution; another one's id when the key was taken.
    pub id: ExecutionId,
    /// The agent version that it runs.
    pub version: i32,
    /// Whether this start made it.
    pub is_new: bool,
}

/// How a worker's try ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// With an output, a JSON object in storable form.
    Completed(Json),
    /// With an error.
    Failed {
        /// Why, for people and the model.
        error: String,
        /// Whether another try makes sense.
        retryable: bool,
        /// What it produced all the same.
        output: Option<Json>,
    },
}

/// What a worker says about an attempt.
#[derive(Debug, Clone)]
pub struct Report {
    /// The execution.
    pub execution: ExecutionId,
    /// The attempt.
    pub attempt: AttemptId,
    /// Who says it; kept when the lease does not know.
    pub worker: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Also lease the next attempt of its queue to the worker that had it, in the same commit.
    pub wants_next: bool,
}

/// What became of a [`Report`].
#[derive(Debug)]
pub enum Reported {
    /// It counts (or says again what counts). The next attempt, when one was asked for and there is one.
    Accepted(Option<Offer>),
    /// Too late: the attempt was lost, retried or withdrawn, or ended otherwise. Nothing changed.
    TooLate,
    /// Nobody knows the attempt.
    Unknown,
}

/// How a server takes part.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What this server is called, unique among living ones: `host:pid:random`.
    pub name: String,
    /// Model calls at the same time; 0 when this server performs none.
    pub model_calls: usize,
    /// How long one may take.
    pub model_timeout: Duration,
    /// Committers.
    pub committers: usize,
    /// The directory to which runs are written before they are deleted, if there is one.
    pub exports: Option<PathBuf>,
}

/// A model call that this server has to perform.
#[derive(Debug)]
pub struct ModelCall {
    /// The execution.
    pub execution: ExecutionId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The agent.
    pub agent: Arc<Agent>,
    /// 1-based.
    pub turn: u32,
    /// The last message that it sees.
    pub upto: u32,
    /// Held while it is performed.
    pub slot: Slot,
}

/// Room for a model call, and the word of this server that it performs it. A call that it has and does not perform (a commit
/// went through, and its answer was lost) counts as lost.
#[derive(Debug)]
pub struct Slot {
    attempt: AttemptId,
    performs: Arc<Mutex<HashSet<AttemptId>>>,
    _room: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.performs.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.attempt);
    }
}

/// Everything a server process shares. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

struct Session {
    id: i64,
    model_queue: i32,
    slots: Arc<Semaphore>,
    performs: Arc<Mutex<HashSet<AttemptId>>>,
    lease_secs: f64,
}

impl Session {
    fn slot(&self, room: OwnedSemaphorePermit, attempt: AttemptId) -> Slot {
        let performs = self.performs.clone();
        performs.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt);
        Slot { attempt, performs, _room: room }
    }

    /// Model calls that this server performs.
    fn performs(&self) -> Vec<AttemptId> {
        self.performs.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

struct Shared {
    /// For reading.
    pool: store::Pool,
    /// For what is looked up by keys: commits, claims and the clock.
    keyed: store::Pool,
    stop: CancellationToken,
    closed: CancellationToken,
    committers: Vec<mpsc::Sender<Item>>,
    claims: Arc<claims::Claims>,
    stats: Arc<stats::Stats>,
    spend: spend::Spend,
    recall: recall::Recall,
    agents: agents::Agents,
    policies: policies::Policies,
    watched: wake::Watched,
    speech: speech::Speech,
    echo: wake::Echo,
    news: mpsc::UnboundedSender<wake::Told>,
    calls: mpsc::UnboundedSender<ModelCall>,
    session: Session,
    /// Where runs are written to before they are deleted.
    exports: Option<PathBuf>,
    due: Notify,
    /// The session lock was got or lost a moment ago, and nobody can read that of the table yet.
    lock_changed: AtomicBool,
    /// The table says that this server holds its session lock.
    known_alive: Notify,
}

/// Items that may wait for one committer.
const BACKLOG: usize = 20_000;
/// Connections for everything but listening. More than this lowers throughput.
const CONNECTIONS: usize = 16;
/// Those of them that claim and look what time has brought. Each committer has one more.
const LOOKERS: usize = 4;

impl Shared {
    /// Room for a model call here, and the worker id and lease that it is performed under.
    fn model_slot(&self, attempt: AttemptId) -> Option<(Slot, (i64, f64))> {
        if self.stop.is_cancelled() {
            return None;
        }
        let room = self.session.slots.clone().try_acquire_owned().ok()?;
        Some((self.session.slot(room, attempt), (self.session.id, self.session.lease_secs)))
    }

    /// Let the next heartbeat come at once.
    fn lock_changed(&self) {
        self.lock_changed.store(true, Ordering::Release);
        self.due.notify_one();
    }

    /// Whether to stop waiting for a database that is away.
    fn given_up(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn submit(&self, work: Work) -> Result<oneshot::Receiver<Result<Done, Error>>, Error> {
        let (reply, done) = oneshot::channel();
        // Starts with one key go to one committer, so that they do not wait for each other in two transactions.
        let shard = match work.key() {
            Some(key) => key.bytes().fold(0, |h: u128, b| h * 31 % 65_521 + u128::from(b)),
            None => work.execution().as_u128(),
        };
        let committers = self.committers.len() as u128;
        let shard = usize::try_from(shard % committers).unwrap_or(0);
        self.committers[shard].try_send(Item { work, reply }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Error::Busy,
            mpsc::error::TrySendError::Closed(_) => Error::ShuttingDown,
        })?;
        Ok(done)
    }

    async fn done(&self, work: Work) -> Result<Done, Error> {
        self.submit(work)?.await.unwrap_or(Err(Error::ShuttingDown))
    }

    /// Something was committed: wake who waits for it, here at once and elsewhere soon.
    fn published(&self, after: commit::After) {
        if !after.lost.is_empty() {
            self.note_lost(after.lost);
        }
        for (slot, hand_off) in after.hand_offs {
            let batch::HandOff { execution, attempt, agent, turn, upto } = hand_off;
            let _ = self.calls.send(ModelCall { execution, attempt, agent, turn, upto, slot });
        }
        for found in after.found {
            found.send(&self.stats);
        }
        for (id, seq) in &after.changed {
            self.watched.publish(*id, *seq);
        }
        if after.deferred {
            self.due.notify_one();
        }
        for queue in &after.ready {
            self.claims.wake(*queue);
        }
        if !after.ready.is_empty() || !after.changed.is_empty() {
            let _ = self.news.send(wake::Told { queues: after.ready, changed: after.changed });
        }
    }

    /// Write down, for people only, with whom attempts were lost.
    fn note_lost(&self, workers: Vec<i64>) {
        let pool = self.pool.clone();
        tokio::spawn(async move {
            for worker in workers {
                if let Err(error) = store::servers::lost(&pool, worker).await {
                    tracing::debug!(?error, "could not note which worker was lost");
                }
            }
        });
    }

    /// Queues have something ready, without an event.
    fn woken(&self, queues: Vec<i32>) {
        if !queues.is_empty() {
            self.published(commit::After { ready: queues, ..commit::After::default() });
        }
    }
}

impl Runtime {
    /// Join the servers of a migrated database. Model calls that this server has to perform arrive on the channel.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the database can't be reached.
    pub async fn open(
        config: &crate::postgres::Config,
        settings: Settings,
        stop: CancellationToken,
    ) -> Result<(Self, mpsc::UnboundedReceiver<ModelCall>), Error> {
        let stats = Arc::new(stats::Stats::default());
        let keyed = settings.committers.max(1) + LOOKERS;
        let open = |config: &crate::postgres::Config, size: usize| {
            config.pool(size).map_err(|error| store::Error::Unavailable(error.into()))
        };
        let (pool, keyed) =
            (open(config, CONNECTIONS.saturating_sub(keyed).max(LOOKERS))?, open(&config.keyed(), keyed)?);
        let claims = claims::Claims::open(keyed.clone(), stats.clone());
        // A server that performs no model calls must not count as somebody who waits for them.
        let role = if settings.model_calls == 0 { WEB_QUEUE } else { MODEL_QUEUE };
        let (model_queue, joined) =
            (claims.queue_id(MODEL_QUEUE, "").await?, claims.queue_id(role, "").await?);
        let replays = claims.queue_id(replay::QUEUE, "").await?;
        let id = store::servers::join(&pool.get().await.map_err(store::Error::from)?, joined, &settings.name)
            .await?;
        let policies = policies::Policies::default();
        policies.read(&pool).await?;
        let (calls, performed) = mpsc::unbounded_channel();
        let (news, told) = mpsc::unbounded_channel();
        let (committers, items): (Vec<_>, Vec<_>) =
            (0..settings.committers.max(1)).map(|_| mpsc::channel(BACKLOG)).unzip();
        let shared = Arc::new(Shared {
            pool,
            keyed,
            stop,
            closed: CancellationToken::new(),
            committers,
            claims,
            stats,
            spend: spend::Spend::default(),
            recall: recall::Recall::default(),
            agents: agents::Agents::default(),
            policies,
            watched: wake::Watched::default(),
            speech: speech::Speech::default(),
            echo: wake::Echo::default(),
            news,
            calls,
            session: Session {
                id,
                model_queue,
                slots: Arc::new(Semaphore::new(settings.model_calls)),
                performs: Arc::default(),
                lease_secs: settings.model_timeout.as_secs_f64() + 30.0,
            },
            exports: settings.exports,
            due: Notify::new(),
            lock_changed: AtomicBool::new(false),
            known_alive: Notify::new(),
        });
        for items in items {
            tokio::spawn(commit::run(shared.clone(), items));
        }
        tokio::spawn(clock::run(shared.clone()));
        if settings.model_calls > 0 {
            tokio::spawn(replay::run(shared.clone(), replays));
        }
        tokio::spawn(stats::run(shared.clone()));
        tokio::spawn(spend::run(shared.clone()));
        tokio::spawn(wake::tell(shared.clone(), told));
        tokio::spawn(wake::hear(shared.clone(), config.clone()));
        // From its first request on, others must notice at once when this server dies. Behind a pooler they never do.
        let _ = tokio::time::timeout(Duration::from_secs(2), shared.known_alive.notified()).await;
        Ok((Self { shared }, performed))
    }

    /// Connections for reading.
    #[must_use]
    pub fn pool(&self) -> &store::Pool {
        &self.shared.pool
    }

    /// Cancelled when the server drains: long polls answer at once, streams close.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.shared.stop
    }

    /// How long the last notification of this server took through Postgres and back; `None` while there was none.
    #[must_use]
    pub fn notify_round_trip(&self) -> Option<Duration> {
        self.shared.echo.last()
    }

    /// Say that this server takes no new work any more, and what it counted. Gives up soon: it only informs.
    pub async fn say_draining(&self) {
        let shared = &self.shared;
        let said = async {
            store::servers::drain(&shared.pool, shared.session.id).await?;
            store::bulk::leave(&shared.pool.get().await?, shared.session.id).await?;
            shared.stats.write(&shared.pool, shared.session.id).await
        };
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_millis(500), said).await {
            tracing::debug!(?error, "could not say that this server drains");
        }
    }

    /// Executions that change from now on, here and on other servers.
    #[must_use]
    pub fn news(&self) -> News {
        self.shared.watched.news()
    }

    /// End the background work and close the connections. Everything that was answered is committed.
    pub fn close(&self) {
        self.shared.claims.release_all();
        self.shared.closed.cancel();
        self.shared.pool.close();
        self.shared.keyed.close();
    }

    /// The agent version, from memory when it was used before.
    ///
    /// # Errors
    ///
    /// [`store::Error::NotFound`]
    pub async fn agent(&self, name: &str, version: i32) -> Result<Arc<Agent>, Error> {
        if let Some(agent) = self.shared.agents.known(name, version) {
            return Ok(agent);
        }
        let db = self.shared.pool.get().await.map_err(store::Error::from)?;
        Ok(self.shared.agents.get(&db, name, version).await?)
    }

    /// Approval policies were changed: know them here at once. Other servers do within a second.
    ///
    /// # Errors
    ///
    /// [`store::Error`]
    pub async fn policies_changed(&self) -> Result<(), Error> {
        Ok(self.shared.policies.read(&self.shared.pool).await?)
    }

    /// Accept a run. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Error`]; with the same key it may be tried again.
    pub async fn start(&self, start: Start) -> Result<Started, Error> {
        let (id, version) = (start.id, start.version);
        match self.shared.done(Work::Start(start)).await? {
            Done::Started(started) => Ok(started),
            _ => Ok(Started { id, version, is_new: true }),
        }
    }

    /// Something a person or program wants of an execution: pause, resume, stop, signal, cancel.
    ///
    /// # Errors
    ///
    /// [`Error::Illegal`] when its state does not allow it; [`store::Error::NotFound`].
    pub async fn control(&self, id: ExecutionId, event: engine::Event, by: &str) -> Result<(), Error> {
        let request = uuid::Uuid::now_v7().to_string();
        self.shared.done(Work::Control { id, event, by: by.to_owned(), request }).await.map(drop)
    }

    /// Decide questions that execution `id` waits for. Durable when this returns, and the execution has taken notice.
    ///
    /// # Errors
    ///
    /// [`store::Error::NotFound`]
    pub async fn decide(&self, id: ExecutionId, decisions: Vec<Decision>) -> Result<Vec<Verdict>, Error> {
        let decisions =
            decisions.into_iter().map(|d| commit::Deciding::Person(d, uuid::Uuid::now_v7())).collect();
        match self.shared.done(Work::Decide { id, decisions }).await? {
            Done::Decided(verdicts) => Ok(verdicts),
            _ => Ok(vec![]),
        }
    }

    /// A worker's report. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Error`]; the same report may be sent again.
    pub async fn report(&self, report: Report) -> Result<Reported, Error> {
        match self.shared.done(Work::Report(report)).await? {
            Done::Reported(reported) => Ok(reported),
            _ => Ok(Reported::Unknown),
        }
    }

    /// How a model call that this server performed has ended. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Error`]; the same may be said again.
    pub async fn performed(
        &self,
        id: ExecutionId,
        attempt: AttemptId,
        outcome: ModelOutcome,
    ) -> Result<Reported, Error> {
        let worker = self.shared.session.id;
        match self.shared.done(Work::Model { id, attempt, worker, outcome }).await? {
            Done::Reported(reported) => Ok(reported),
            _ => Ok(Reported::Unknown),
        }
    }

    /// Wait for room and then for model calls that nobody performs yet. Empty now and then.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the database can't be reached.
    pub async fn poll_model_calls(&self) -> Result<Vec<ModelCall>, Error> {
        let session = &self.shared.session;
        let Ok(first) = session.slots.clone().acquire_owned().await else { return Ok(vec![]) };
        let mut slots = vec![first];
        while slots.len() < 32
            && let Ok(slot) = session.slots.clone().try_acquire_owned()
        {
            slots.push(slot);
        }
        // Room is held only for the look itself: while nothing waits, commits hand their calls over directly.
        let (queue, id, secs) = (session.model_queue, session.id, Some(session.lease_secs));
        let offer = self.shared.claims.poll_as(queue, id, secs, slots.len(), Duration::ZERO).await?;
        if offer.leases().is_empty() {
            drop(slots);
            self.shared.claims.wait(queue, Duration::from_secs(1)).await;
            return Ok(vec![]);
        }
        let mut calls = Vec::with_capacity(offer.leases().len());
        for (lease, room) in offer.leases().iter().zip(slots) {
            let slot = session.slot(room, lease.attempt);
            let agent = self.agent(&lease.agent, lease.version).await?;
            let upto = lease.input.value()["upto"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
            let (execution, attempt) = (lease.execution, lease.attempt);
            calls.push(ModelCall { execution, attempt, agent, turn: lease.task.turn(), upto, slot });
        }
        offer.take().await;
        Ok(calls)
    }

    /// Wait up to `timeout` for up to `count` attempts of a queue. Empty when there were none.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the database can't be reached.
    pub async fn poll(
        &self,
        queue: &str,
        domain: &str,
        worker: &str,
        count: usize,
        timeout: Duration,
    ) -> Result<Offer, Error> {
        if count == 0 || self.shared.stop.is_cancelled() {
            return Ok(Offer::default());
        }
        tokio::select! {
            offer = self.shared.claims.poll(queue, domain, worker, count, timeout) => Ok(offer?),
            () = self.shared.stop.cancelled() => Ok(Offer::default()),
        }
    }

    /// Extend a lease from now by what the task's definition says; false when nobody has the attempt.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]
    pub async fn extend(&self, execution: ExecutionId, attempt: AttemptId) -> Result<bool, Error> {
        let db = self.shared.pool.get().await.map_err(store::Error::from)?;
        Ok(store::queue::extend(&db, execution, attempt).await?)
    }

    /// Hand an attempt out again after `delay`, keeping it the same attempt; false when it is not queued, or another worker
    /// than `by` has it.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]
    pub async fn call_back(
        &self,
        execution: ExecutionId,
        attempt: AttemptId,
        delay: Duration,
        by: Option<&str>,
    ) -> Result<bool, Error> {
        let db = self.shared.pool.get().await.map_err(store::Error::from)?;
        let queue = store::queue::call_back(&db, execution, attempt, delay.as_secs_f64(), by).await?;
        if let Some(queue) = queue {
            if delay.is_zero() { self.shared.woken(vec![queue]) } else { self.shared.due.notify_one() }
        }
        Ok(queue.is_some())
    }

    /// Hear what the models of one execution say, as far as this server asks them.
    #[must_use]
    pub fn listen(&self, execution: ExecutionId) -> Listening {
        self.shared.speech.listen(execution)
    }

    /// Say a model's answer while it comes: if somebody listens, or `unheard` all the same.
    #[must_use]
    pub fn speak(&self, call: &ModelCall, unheard: bool) -> Option<Speaker> {
        self.shared.speech.speak(call.execution, call.attempt, call.turn, unheard)
    }

    /// Follow the events of one execution.
    #[must_use]
    pub fn follow(&self, execution: ExecutionId) -> Followed {
        self.shared.watched.follow(execution)
    }
}
