//! Who asks for work, and how it gets some.
//!
//! A poll of an idle queue costs no statement: it waits until something says that the queue may have work (a commit here,
//! a notification from another server, or the sweep that looks each second, which is the truth). A commit here that queues
//! work while nothing older waits leases it to who waits for it, in the same transaction. Polls that look at the
//! same time are served by one statement. A low-water mark per queue keeps claims from walking dead index entries; the
//! sweep sets it anew, so that nothing in front of it stays behind.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout_at;

use super::Lease;
use super::stats::Stats;
use crate::id::AttemptId;
use crate::store::commit::Taken;
use crate::store::queue::{Mark, Slot};
use crate::store::{self, GenericClient, Pool};

/// Queues that nobody asked for this long are forgotten in memory.
const IDLE: Duration = Duration::from_mins(2);
/// Most names of workers that are kept.
const NAMES: usize = 10_000;
/// How long work that reached nobody is tried to be given back.
const PATIENCE: Duration = Duration::from_mins(1);
/// A worker's last poll is written down at most this often.
const NOTE_EVERY: Duration = Duration::from_secs(2);

/// How far a queue's mark stays behind what was claimed last.
const SLACK: SignedDuration = SignedDuration::from_secs(1);

/// One queue as this server sees it.
struct Queue {
    id: i32,
    /// Whether there may be something; cleared before looking.
    maybe: AtomicBool,
    wake: Notify,
    mark: Mutex<Mark>,
    asked: Mutex<Instant>,
    waiting: Mutex<Line>,
}

/// Polls that wait, in the order in which they came.
#[derive(Default)]
struct Line {
    polls: BTreeMap<u64, Waiting>,
    next: u64,
}

/// A poll that waits.
struct Waiting {
    worker: i64,
    /// How many attempts it takes.
    room: usize,
    reply: oneshot::Sender<Offer>,
}

/// A poll's place in the line, which it leaves when it goes away.
struct Place<'a> {
    queue: &'a Queue,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        locked(&self.queue.waiting).polls.remove(&self.number);
    }
}

impl Queue {
    fn wait_in_line(&self, worker: i64, room: usize) -> (Place<'_>, oneshot::Receiver<Offer>) {
        let (reply, leases) = oneshot::channel();
        let mut line = locked(&self.waiting);
        let number = line.next;
        line.next += 1;
        line.polls.insert(number, Waiting { worker, room, reply });
        (Place { queue: self, number }, leases)
    }
}

/// A worker's last poll.
struct Seen {
    id: i64,
    at: Instant,
    noted: Instant,
}

struct Ask {
    queue: Arc<Queue>,
    worker: i64,
    lease_secs: Option<f64>,
    count: usize,
    reply: oneshot::Sender<Offer>,
}

/// Leases on their way to who asked, none or some. Whoever goes away without taking them gives them back, also in the very
/// moment in which they arrive.
#[derive(Default)]
pub struct Offer {
    leases: Vec<Lease>,
    back: Option<mpsc::UnboundedSender<Vec<Lease>>>,
}

impl Offer {
    /// What is offered.
    #[must_use]
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// Offer what another does, too.
    pub fn join(&mut self, mut other: Self) {
        self.leases.append(&mut other.leases);
        self.back = self.back.take().or(other.back.take());
    }

    /// Take them as the last thing before they are handed out, unless who asked is found to have hung up: this thread hears
    /// first of connections that were closed meanwhile, which end what waits here.
    pub async fn take(mut self) -> Vec<Lease> {
        if !self.leases.is_empty() {
            tokio::task::yield_now().await;
        }
        std::mem::take(&mut self.leases)
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Offer").field(&self.leases).finish()
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if !self.leases.is_empty()
            && let Some(back) = &self.back
        {
            let _ = back.send(std::mem::take(&mut self.leases));
        }
    }
}

/// Polls for which a transaction leases what it queues. When it fails, they look for themselves.
pub(super) struct Served {
    claims: Arc<Claims>,
    polls: Vec<(Waiting, usize)>,
    /// The newest poll of each queue.
    newest: HashMap<i32, usize>,
    /// Who gets which attempt.
    taken: HashMap<AttemptId, usize>,
}

impl Served {
    /// The worker that takes an attempt of a queue. None, when nobody waits or something older may.
    pub fn take(&mut self, queue: i32, attempt: AttemptId) -> Option<i64> {
        let with_room = self.newest.get(&queue).filter(|i| self.polls[**i].1 < self.polls[**i].0.room);
        let i = if let Some(i) = with_room {
            *i
        } else {
            let of = self.claims.queue(queue);
            if of.maybe.load(Ordering::Acquire) {
                return None;
            }
            let (_, poll) = locked(&of.waiting).polls.pop_first()?;
            self.polls.push((poll, 0));
            self.newest.insert(queue, self.polls.len() - 1);
            self.polls.len() - 1
        };
        let (poll, taken) = &mut self.polls[i];
        *taken += 1;
        self.taken.insert(attempt, i);
        Some(poll.worker)
    }

    /// What each poll gets of what was leased. Until it is sent, it is given back when it is dropped: whether the
    /// transaction is committed is not known yet.
    pub fn offers(self, leased: Vec<Lease>) -> Vec<Found> {
        let offer =
            |(poll, _): (Waiting, usize)| Found { reply: poll.reply, offer: self.claims.offer(vec![]) };
        let mut found: Vec<_> = self.polls.into_iter().map(offer).collect();
        for lease in leased {
            if let Some(i) = self.taken.get(&lease.attempt) {
                found[*i].offer.leases.push(lease);
            }
        }
        found
    }
}

/// An answer to a poll that waited.
pub(super) struct Found {
    reply: oneshot::Sender<Offer>,
    offer: Offer,
}

impl Found {
    /// Send it. Who hung up in between gets nothing: its work is ready again at once.
    pub fn send(self, stats: &Stats) {
        let queues: Vec<_> = self.offer.leases.iter().map(|l| l.queue_id).collect();
        metrics::counter!("tenure_claims_total").increment(queues.len() as u64);
        if self.reply.send(self.offer).is_ok() {
            for queue in queues {
                stats.started(queue, Duration::ZERO);
            }
        }
    }
}

/// The work that a reporter would take next.
pub(super) struct Wanted {
    item: usize,
    queue: i32,
    worker: i64,
}

/// See the module.
pub(super) struct Claims {
    pool: Pool,
    ids: Mutex<HashMap<(String, String), i32>>,
    queues: Mutex<HashMap<i32, Arc<Queue>>>,
    workers: Mutex<HashMap<(i32, String), Seen>>,
    /// Names of workers, which never change.
    names: Mutex<HashMap<i64, String>>,
    asks: mpsc::UnboundedSender<Ask>,
    back: mpsc::UnboundedSender<Vec<Lease>>,
    /// Whether the answer to a commit or a claim was lost, so that this server may have what it does not know of.
    pub unsure: Arc<AtomicBool>,
}

/// A mark a moment before an attempt that was claimed: transactions that were slower to commit may still bring older ones.
fn behind(mark: Mark) -> Mark {
    Mark { run_at: mark.run_at.and_then(|at| at.checked_sub(SLACK).ok()), ..mark }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Claims {
    /// Begin to serve polls.
    pub fn open(pool: Pool, stats: Arc<Stats>) -> Arc<Self> {
        let (asks, waiting) = mpsc::unbounded_channel();
        let (back, returned) = mpsc::unbounded_channel();
        let claims = Arc::new(Self {
            pool: pool.clone(),
            ids: Mutex::default(),
            queues: Mutex::default(),
            workers: Mutex::default(),
            names: Mutex::default(),
            asks,
            back: back.clone(),
            unsure: Arc::default(),
        });
        tokio::spawn(serve(pool.clone(), stats, waiting, back, claims.unsure.clone()));
        tokio::spawn(give_back(pool, Arc::downgrade(&claims), returned));
        claims
    }

    /// Wait up to `patience` for up to `count` attempts of a queue.
    pub async fn poll(
        &self,
        name: &str,
        domain: &str,
        worker: &str,
        count: usize,
        patience: Duration,
    ) -> Result<Offer, store::Error> {
        let id = self.queue_id(name, domain).await?;
        let session = self.worker(id, worker).await?;
        let offer = self.poll_as(id, session, None, count, patience).await;
        self.heard(id, worker);
        offer
    }

    /// The same for a session that is known already.
    pub async fn poll_as(
        &self,
        queue: i32,
        worker: i64,
        lease_secs: Option<f64>,
        count: usize,
        patience: Duration,
    ) -> Result<Offer, store::Error> {
        let queue = self.queue(queue);
        *locked(&queue.asked) = Instant::now();
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            // Interest is registered before looking, so that a wake-up in between is not missed.
            let woken = queue.wake.notified();
            if queue.maybe.load(Ordering::Acquire) {
                let (reply, leases) = oneshot::channel();
                let queue = queue.clone();
                let _ = self.asks.send(Ask { queue, worker, lease_secs, count, reply });
                if let Ok(offer) = leases.await
                    && !offer.leases.is_empty()
                {
                    return Ok(offer);
                }
            }
            if patience.is_zero() {
                return Ok(Offer::default());
            }
            let (place, mut found) = queue.wait_in_line(worker, count);
            let is_over = tokio::select! {
                biased;
                offer = &mut found => {
                    match offer {
                        Ok(offer) if !offer.leases.is_empty() => return Ok(offer),
                        _ => continue,
                    }
                }
                over = timeout_at(deadline, woken) => over.is_err(),
            };
            // From here on nothing is sent any more; what was sent in this instant is taken.
            drop(place);
            found.close();
            if let Ok(offer) = found.try_recv()
                && !offer.leases.is_empty()
            {
                return Ok(offer);
            }
            if is_over {
                return Ok(Offer::default());
            }
        }
    }

    /// Offer what is leased.
    pub fn offer(&self, leases: Vec<Lease>) -> Offer {
        Offer { leases, back: Some(self.back.clone()) }
    }

    /// To lease what a transaction queues to polls that wait.
    pub fn serving(self: &Arc<Self>) -> Served {
        Served { claims: self.clone(), polls: vec![], newest: HashMap::new(), taken: HashMap::new() }
    }

    /// Wait until a queue may have something.
    pub async fn wait(&self, queue: i32, patience: Duration) {
        let queue = self.queue(queue);
        let woken = queue.wake.notified();
        if !queue.maybe.load(Ordering::Acquire) {
            let _ = tokio::time::timeout(patience, woken).await;
        }
    }

    /// Something may be ready in a queue: one waiting poll looks, and wakes the next when there is more.
    pub fn wake(&self, queue: i32) {
        if let Some(queue) = locked(&self.queues).get(&queue) {
            queue.maybe.store(true, Ordering::Release);
            queue.wake.notify_one();
        }
    }

    /// Something urgent is ready: the mark must not hide it.
    pub fn urgent(&self, queue: i32) {
        if let Some(queue) = locked(&self.queues).get(&queue) {
            *locked(&queue.mark) = Mark::default();
        }
    }

    /// All waiting polls return: the server drains.
    pub fn release_all(&self) {
        for queue in locked(&self.queues).values() {
            queue.maybe.store(false, Ordering::Release);
            queue.wake.notify_waiters();
        }
    }

    /// Look at all queues that somebody asks for, from their very beginning, which is where claims go on from then.
    pub async fn sweep(&self) -> Result<(), store::Error> {
        let asked: Vec<Arc<Queue>> = {
            let mut queues = locked(&self.queues);
            queues.retain(|_, q| locked(&q.asked).elapsed() < IDLE || Arc::strong_count(q) > 1);
            queues.values().cloned().collect()
        };
        if asked.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = asked.iter().map(|q| q.id).collect();
        let ready = store::queue::ready(&self.pool.get().await?, &ids).await?;
        for queue in asked {
            if let Some(begins) = ready.get(&queue.id) {
                *locked(&queue.mark) = *begins;
                queue.maybe.store(true, Ordering::Release);
                queue.wake.notify_one();
            }
        }
        Ok(())
    }

    /// Write down when workers were last heard of. Losing that in a crash of Postgres does no harm.
    pub async fn note_workers(&self) -> Result<(), store::Error> {
        let due: Vec<_> = {
            let mut workers = locked(&self.workers);
            workers.retain(|_, seen| seen.at.elapsed() < IDLE);
            workers
                .iter_mut()
                .filter(|(_, seen)| seen.at > seen.noted && seen.noted.elapsed() >= NOTE_EVERY)
                .map(|((queue, name), seen)| {
                    seen.noted = Instant::now();
                    (*queue, name.clone(), seen.at.elapsed().as_secs_f64())
                })
                .collect()
        };
        if due.is_empty() {
            return Ok(());
        }
        let mut db = self.pool.get().await?;
        let tx = db.transaction().await?;
        tx.batch_execute("set local synchronous_commit = off").await?;
        store::servers::seen(&tx, &due).await?;
        Ok(tx.commit().await?)
    }

    /// The id of a queue, made when it is new.
    pub async fn queue_id(&self, name: &str, domain: &str) -> Result<i32, store::Error> {
        let key = (name.to_owned(), domain.to_owned());
        let ids = self.queue_ids(vec![key.clone()]).await?;
        ids.get(&key).copied().ok_or(store::Error::NotFound { what: "queue", id: key.0 })
    }

    /// The ids of queues, made when they are new.
    pub async fn queue_ids(
        &self,
        wanted: Vec<(String, String)>,
    ) -> Result<HashMap<(String, String), i32>, store::Error> {
        let mut found = HashMap::with_capacity(wanted.len());
        let mut missing = vec![];
        {
            let ids = locked(&self.ids);
            for key in wanted {
                match ids.get(&key) {
                    Some(id) => drop(found.insert(key, *id)),
                    None => missing.push(key),
                }
            }
        }
        if !missing.is_empty() {
            let made = store::servers::ensure_queues(&self.pool.get().await?, &missing).await?;
            let mut ids = locked(&self.ids);
            for (key, id) in made {
                ids.insert(key.clone(), id);
                found.insert(key, id);
            }
        }
        Ok(found)
    }

    fn queue(&self, id: i32) -> Arc<Queue> {
        let new = || {
            Arc::new(Queue {
                id,
                maybe: AtomicBool::new(true),
                wake: Notify::new(),
                mark: Mutex::default(),
                asked: Mutex::new(Instant::now()),
                waiting: Mutex::default(),
            })
        };
        locked(&self.queues).entry(id).or_insert_with(new).clone()
    }

    /// The session of a worker that polls a queue, made when it is new; notes that it was heard of.
    async fn worker(&self, queue: i32, name: &str) -> Result<i64, store::Error> {
        let key = (queue, name.to_owned());
        if let Some(seen) = locked(&self.workers).get_mut(&key) {
            seen.at = Instant::now();
            return Ok(seen.id);
        }
        let ids = store::servers::seen(&self.pool.get().await?, &[(queue, key.1.clone(), 0.0)]).await?;
        let id = ids.first().copied().ok_or(store::Error::NotFound { what: "worker", id: key.1.clone() })?;
        let now = Instant::now();
        locked(&self.workers).insert(key, Seen { id, at: now, noted: now });
        Ok(id)
    }

    /// Name those who had these attempts.
    pub async fn name(
        &self,
        (sql, db): (&store::commit::Statements, &tokio_postgres::Client),
        taken: &mut [Taken],
    ) -> Result<(), store::Error> {
        let mut unknown: Vec<i64> = {
            let mut names = locked(&self.names);
            if names.len() > NAMES {
                names.clear();
            }
            taken.iter().filter_map(|t| t.worker_id).filter(|id| !names.contains_key(id)).collect()
        };
        if !unknown.is_empty() {
            unknown.sort_unstable();
            unknown.dedup();
            let found = sql.names(db, &unknown).await?;
            locked(&self.names).extend(found);
        }
        let names = locked(&self.names);
        for attempt in taken {
            attempt.worker = attempt.worker_id.and_then(|id| names.get(&id).cloned());
        }
        Ok(())
    }

    /// Which reporters can take more work now: those whose queue may have some.
    pub fn wanted<'a>(&self, reports: impl Iterator<Item = (usize, &'a Taken)>) -> Vec<Wanted> {
        let mut wanted = vec![];
        for (item, taken) in reports {
            let Some(worker) = taken.worker_id else { continue };
            self.heard(taken.queue, taken.worker.as_deref().unwrap_or_default());
            if self.queue(taken.queue).maybe.load(Ordering::Acquire) {
                wanted.push(Wanted { item, queue: taken.queue, worker });
            }
        }
        wanted
    }

    /// A worker was heard of, though it did not poll.
    fn heard(&self, queue: i32, name: &str) {
        if let Some(seen) = locked(&self.workers).get_mut(&(queue, name.to_owned())) {
            seen.at = Instant::now();
        }
    }

    /// Lease what reporters take next, in their transaction.
    pub async fn claim_nexts(
        &self,
        db: &impl GenericClient,
        wanted: &[Wanted],
    ) -> Result<Vec<(usize, Lease)>, store::Error> {
        let slots: Vec<_> =
            wanted.iter().map(|w| Slot { queue: w.queue, worker: w.worker, lease_secs: None }).collect();
        let mut marks: Vec<(i32, Mark)> = vec![];
        for slot in &slots {
            if !marks.iter().any(|m| m.0 == slot.queue) {
                marks.push((slot.queue, *locked(&self.queue(slot.queue).mark)));
            }
        }
        let mut items: HashMap<i32, Vec<usize>> = HashMap::new();
        for w in wanted {
            items.entry(w.queue).or_default().push(w.item);
        }
        let claimed = store::queue::claim(db, &marks, &slots).await?;
        let item = |queue: i32, slot: usize| items.get(&queue).and_then(|of| of.get(slot)).copied();
        Ok(claimed.into_iter().filter_map(|c| Some((item(c.queue, c.slot)?, c.lease))).collect())
    }
}

/// Serve all polls that wait at the same time with one statement.
async fn serve(
    pool: Pool,
    stats: Arc<Stats>,
    mut waiting: mpsc::UnboundedReceiver<Ask>,
    back: mpsc::UnboundedSender<Vec<Lease>>,
    unsure: Arc<AtomicBool>,
) {
    let mut asks = vec![];
    while waiting.recv_many(&mut asks, 512).await > 0 {
        if let Err(error) = serve_once(&pool, &stats, &mut asks, &back).await {
            unsure.store(true, Ordering::Release);
            tracing::warn!(?error, "could not claim work");
            for ask in &asks {
                // Whoever asks again finds out whether the database is back.
                ask.queue.maybe.store(true, Ordering::Release);
            }
            asks.clear();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn serve_once(
    pool: &Pool,
    stats: &Stats,
    asks: &mut Vec<Ask>,
    back: &mpsc::UnboundedSender<Vec<Lease>>,
) -> Result<(), store::Error> {
    asks.retain(|a| !a.reply.is_closed());
    let mut slots = vec![];
    let mut owners: HashMap<i32, Vec<usize>> = HashMap::new();
    let mut queues: HashMap<i32, Arc<Queue>> = HashMap::new();
    for (i, ask) in asks.iter().enumerate() {
        queues.entry(ask.queue.id).or_insert_with(|| {
            ask.queue.maybe.store(false, Ordering::Release);
            ask.queue.clone()
        });
        for _ in 0..ask.count {
            slots.push(Slot { queue: ask.queue.id, worker: ask.worker, lease_secs: ask.lease_secs });
            owners.entry(ask.queue.id).or_default().push(i);
        }
    }
    if slots.is_empty() {
        asks.clear();
        return Ok(());
    }
    let marks: Vec<_> = queues.values().map(|q| (q.id, *locked(&q.mark))).collect();
    let db = pool.get().await?;
    let began = Instant::now();
    let claimed = store::queue::claim(&db, &marks, &slots).await?;
    metrics::histogram!("tenure_claim_seconds").record(began.elapsed());
    metrics::counter!("tenure_claims_total").increment(claimed.len() as u64);
    let mut leases: Vec<Vec<Lease>> = asks.iter().map(|_| vec![]).collect();
    let mut counts: HashMap<i32, usize> = HashMap::new();
    for c in claimed {
        *counts.entry(c.queue).or_default() += 1;
        if let Some(queue) = queues.get(&c.queue) {
            *locked(&queue.mark) = behind(c.mark);
        }
        if let Some(i) = owners.get(&c.queue).and_then(|o| o.get(c.slot)) {
            leases[*i].push(c.lease);
        }
    }
    for (id, queue) in &queues {
        let asked = owners.get(id).map_or(0, Vec::len);
        if counts.get(id).copied().unwrap_or(0) == asked {
            queue.maybe.store(true, Ordering::Release);
            queue.wake.notify_one();
        }
    }
    for (ask, leases) in asks.drain(..).zip(leases) {
        let started: Vec<_> = leases.iter().map(|l| (l.queue_id, l.waited)).collect();
        // Who hung up in between gets nothing: its work is ready again at once.
        if ask.reply.send(Offer { leases, back: Some(back.clone()) }).is_ok() {
            for (queue, waited) in started {
                stats.started(queue, waited);
            }
        }
    }
    Ok(())
}

/// What nobody took is ready again at once. If that can't be written for a while, the lease ends by itself.
async fn give_back(pool: Pool, claims: Weak<Claims>, mut returned: mpsc::UnboundedReceiver<Vec<Lease>>) {
    while let Some(leases) = returned.recv().await {
        let (pool, claims) = (pool.clone(), claims.clone());
        // Each by itself: a transaction whose end is not known yet may have to be waited for.
        tokio::spawn(async move {
            let since = Instant::now();
            let ready = loop {
                let ready = async { store::queue::give_back(&pool.get().await?, &leases).await };
                match ready.await {
                    Err(error) if error.is_transient() && since.elapsed() < PATIENCE => {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                    ready => break ready,
                }
            };
            let ready = ready.inspect_err(|error| tracing::warn!(?error, "could not give work back"));
            let Some(claims) = claims.upgrade() else { return };
            for queue in ready.unwrap_or_default() {
                claims.urgent(queue);
                claims.wake(queue);
            }
        });
    }
}
