//! Wake-ups between servers and to open pages.
//!
//! Never inside a writing transaction (commits that notify can't share an fsync): what was committed is collected and
//! sent in a transaction of its own, at most fifty times a second. Losing one costs latency, never work.

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, watch};
use tokio_postgres::AsyncMessage;

use super::Shared;
use crate::id::ExecutionId;
use crate::store::{self, Pool};

/// Shortest time between two notifications of one server.
const PACE: Duration = Duration::from_millis(20);
/// Postgres takes payloads below 8000 bytes.
const PAYLOAD: usize = 7900;
/// An execution that nobody watched this long is forgotten.
const IDLE: Duration = Duration::from_secs(10);

/// A connection that lasted this long is made again at once.
const RELIABLE: Duration = Duration::from_secs(1);

/// What other servers are told.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub queues: Vec<i32>,
    pub changed: Vec<(ExecutionId, i32)>,
}

/// Executions that somebody watches, with the newest event known of each.
pub(super) struct Watched {
    map: Mutex<HashMap<ExecutionId, (watch::Sender<i32>, Instant)>>,
    all: broadcast::Sender<(ExecutionId, i32)>,
}

impl Default for Watched {
    fn default() -> Self {
        Self { map: Mutex::default(), all: broadcast::Sender::new(1024) }
    }
}

/// Executions that change, as this server hears of it. Hearing of one late or never is possible; the tables are the truth.
pub struct News(broadcast::Receiver<(ExecutionId, i32)>);

impl News {
    /// The next one with its newest event; `None` when there were too many to name them.
    pub async fn next(&mut self) -> Option<(ExecutionId, i32)> {
        match self.0.recv().await {
            Ok(one) => Some(one),
            Err(broadcast::error::RecvError::Lagged(_)) => {
                self.0 = self.0.resubscribe();
                None
            }
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// One execution that is followed.
pub struct Followed {
    newest: watch::Receiver<i32>,
    /// What the follower knows by itself.
    known: i32,
}

impl Followed {
    /// The follower has seen that there are events up to `seq`.
    pub fn know(&mut self, seq: i32) {
        self.known = self.known.max(seq);
    }

    /// Resolves when there are events beyond `seq`: soon after a commit anywhere, after about a second when the hint to it
    /// was lost. Waiting costs no connection and, however many wait, one look at the table a second.
    pub async fn beyond(&mut self, seq: i32) {
        if self.known <= seq {
            let _ = self.newest.wait_for(|newest| *newest > seq).await;
        }
    }
}

/// How long this server's own notifications take to come back.
#[derive(Default)]
pub(super) struct Echo {
    sent: Mutex<Option<Instant>>,
    last: Mutex<Option<Duration>>,
}

impl Echo {
    fn sending(&self) {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn heard(&self) {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sent) = sent {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent.elapsed());
        }
    }

    /// What the last one took.
    pub fn last(&self) -> Option<Duration> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<ExecutionId, (watch::Sender<i32>, Instant)>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that changes from now on.
    pub fn news(&self) -> News {
        News(self.all.subscribe())
    }

    /// There are events up to `seq`.
    pub fn publish(&self, id: ExecutionId, seq: i32) {
        let _ = self.all.send((id, seq));
        self.known(id, seq);
    }

    fn known(&self, id: ExecutionId, seq: i32) {
        if let Some((sender, _)) = self.map().get(&id) {
            sender.send_if_modified(|known| {
                let newer = seq > *known;
                *known = seq.max(*known);
                newer
            });
        }
    }

    /// Follow one execution. What is committed from now on is heard of.
    pub fn follow(&self, id: ExecutionId) -> Followed {
        let mut map = self.map();
        let (sender, used) = map.entry(id).or_insert_with(|| (watch::Sender::new(0), Instant::now()));
        *used = Instant::now();
        Followed { newest: sender.subscribe(), known: 0 }
    }

    /// The truth, looked up each second for all that are watched, in one statement.
    pub async fn refresh(&self, pool: &Pool) -> Result<(), store::Error> {
        let ids: Vec<_> = {
            let mut map = self.map();
            map.retain(|_, (sender, used)| sender.receiver_count() > 0 || used.elapsed() < IDLE);
            map.keys().copied().collect()
        };
        if ids.is_empty() {
            return Ok(());
        }
        for (id, seq) in store::queue::newest(&pool.get().await?, &ids).await? {
            self.known(id, seq);
        }
        Ok(())
    }
}

/// Tell other servers what was committed here.
pub(super) async fn tell(shared: Arc<Shared>, mut news: mpsc::UnboundedReceiver<Told>) {
    let mut gathered = vec![];
    while news.recv_many(&mut gathered, 10_000).await > 0 {
        let mut words = BTreeSet::new();
        for told in gathered.drain(..) {
            words.extend(told.queues.iter().map(|q| format!("q{q}")));
            words.extend(told.changed.iter().map(|(id, seq)| format!("e{id}:{seq}")));
        }
        let mut payload = format!("s{}", shared.session.id);
        let mut payloads = vec![];
        for word in words {
            if payload.len() + 1 + word.len() > PAYLOAD {
                payloads.push(std::mem::replace(&mut payload, format!("s{}", shared.session.id)));
            }
            payload.push(' ');
            payload.push_str(&word);
        }
        payloads.push(payload);
        shared.echo.sending();
        if let Err(error) = store::servers::notify(&shared.pool, &payloads).await {
            tracing::debug!(?error, "could not notify other servers; they look each second");
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Hear from other servers, and hold this server's session lock, until it stops. Reconnects by itself.
pub(super) async fn hear(shared: Arc<Shared>, config: crate::postgres::Config) {
    while !shared.stop.is_cancelled() {
        let began = Instant::now();
        tokio::select! {
            done = listen(&shared, &config) => {
                if let Err(error) = done {
                    tracing::debug!(?error, "the listening connection broke; looking each second instead");
                }
            }
            () = shared.closed.cancelled() => return,
        }
        // This server lives, though its lock is gone: say so before others believe the lock.
        shared.lock_changed();
        if began.elapsed() < RELIABLE {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

async fn listen(
    shared: &Arc<Shared>,
    config: &crate::postgres::Config,
) -> Result<(), crate::postgres::Error> {
    let (client, mut connection) = crate::postgres::connect(config).await?;
    let id = i32::try_from(shared.session.id).unwrap_or(0);
    let pump = async {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(note) = message? {
                heard(shared, note.payload());
            }
        }
        Ok::<_, tokio_postgres::Error>(())
    };
    let setup = async {
        client
            .batch_execute(&format!(
                "set statement_timeout = 0; listen tenure; select pg_advisory_lock(7238, {id})"
            ))
            .await?;
        shared.lock_changed();
        std::future::pending::<Result<(), tokio_postgres::Error>>().await
    };
    tokio::select! { done = pump => done?, done = setup => done? }
    Ok(())
}

fn heard(shared: &Shared, payload: &str) {
    let mut words = payload.split(' ');
    if words.next() == Some(&format!("s{}", shared.session.id)) {
        shared.echo.heard();
        return;
    }
    for word in words {
        if let Some(queue) = word.strip_prefix('q').and_then(|q| q.parse().ok()) {
            shared.claims.wake(queue);
        } else if let Some((id, seq)) = word.strip_prefix('e').and_then(|e| e.split_once(':'))
            && let (Ok(id), Ok(seq)) = (id.parse(), seq.parse())
        {
            shared.watched.publish(id, seq);
        }
    }
}
