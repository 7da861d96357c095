//! Committers: a few per server, sharded by execution. Each takes whatever waits, locks those executions, decides, writes
//! it all and commits once; alone, an item waits for nobody.
//!
//! ```text
//!  items ──► channel ──► [ begin · start · lock · take ]  one round trip
//!                        decide each, in order            no I/O
//!                        [ writes · claim ] [ commit ]    two round trips, one fsync
//!                   ◄──  answers, wake-ups, model calls   only after the commit
//! ```
//!
//! 1. Nothing is answered before it is committed.
//! 2. An item that can't be stored is refused by itself: the batch is halved until it stands alone.
//! 3. A transaction that was not opened writes nothing, although its statements are on their way already.
//! 4. When the database goes away in mid-commit, the same items are decided again; those that had been committed after
//!    all are recognised and answered as accepted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::{future::BoxFuture, join};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::Client;
use uuid::Uuid;

use super::batch::{Batch, HandOff, Live, ModelOutcome, Surroundings};
use super::claims::{Found, Served, Wanted};
use super::fork::Fork;
use super::inbox::{self, Mail, Pushed};
use super::reply::calls_of;
use super::settle::Said;
use super::{Decision, Error, MODEL_QUEUE, Report, Reported, Shared, Slot, Start, Started, Verdict, settle};
use crate::agent::Agent;
use crate::agent::policy::Policy;
use crate::engine::{Call, Event};
use crate::id::{ApprovalId, AttemptId, ExecutionId};
use crate::store::approvals::Outcome;
use crate::store::commit::{Enqueued, Fate, NewExecution, Statements, Taken, Tokens};
use crate::store::{self, queue::Expired};

/// Most items in one commit.
const BATCH: usize = 256;
/// How long an item is kept while the database is away.
const PATIENCE: Duration = Duration::from_secs(20);

/// What follows is sent without waiting for this. Should this fail, as after a late cancel, the statements behind it would
/// commit one by one; those that write look for this setting, which only the transaction has.
const BEGIN: &str = "begin; set local tenure.deciding = on";

/// Something for a committer.
pub(super) enum Work {
    Start(Start),
    Fork(Box<Fork>),
    Message(Mail),
    /// `request` tells it from another one that wants the same.
    Control {
        id: ExecutionId,
        event: Event,
        by: String,
        request: String,
    },
    Decide {
        id: ExecutionId,
        decisions: Vec<Deciding>,
    },
    Report(Report),
    Model {
        id: ExecutionId,
        attempt: AttemptId,
        worker: i64,
        outcome: ModelOutcome,
    },
    Lost(Expired),
}

/// Who decides a question.
pub(super) enum Deciding {
    /// Somebody, by a decision. The id tells it from another one that says the same.
    Person(Decision, Uuid),
    /// The clock: its time is over.
    Clock(ApprovalId),
}

/// What became of it.
pub(super) enum Done {
    Started(Started),
    Controlled,
    Decided(Vec<Verdict>),
    Messaged(Pushed),
    Reported(Reported),
}

pub(super) struct Item {
    pub work: Work,
    pub reply: oneshot::Sender<Result<Done, Error>>,
}

impl Work {
    pub fn execution(&self) -> ExecutionId {
        match self {
            Self::Start(start) => start.id,
            Self::Fork(fork) => fork.row.id,
            Self::Message(mail) => mail.to,
            Self::Control { id, .. } | Self::Decide { id, .. } | Self::Model { id, .. } => *id,
            Self::Report(report) => report.execution,
            Self::Lost(expired) => expired.execution,
        }
    }

    pub fn attempt(&self) -> Option<(ExecutionId, AttemptId, Option<i64>, Option<jiff::Timestamp>)> {
        match self {
            Self::Report(r) => Some((r.execution, r.attempt, None, None)),
            Self::Model { id, attempt, worker, .. } => Some((*id, *attempt, Some(*worker), None)),
            Self::Lost(e) => Some((e.execution, e.attempt, None, Some(e.lease_until))),
            Self::Start(_)
            | Self::Fork(_)
            | Self::Control { .. }
            | Self::Decide { .. }
            | Self::Message(_) => None,
        }
    }

    /// The execution whose calls may have to wait for messages no longer.
    fn may_end_a_wait(&self) -> Option<ExecutionId> {
        match self {
            Self::Message(mail) => Some(mail.to),
            Self::Control { id, event: Event::StopRequested, .. } => Some(*id),
            _ => None,
        }
    }

    /// The idempotency key of what begins a run.
    pub fn key(&self) -> Option<&String> {
        match self {
            Self::Start(start) => start.key.as_ref(),
            Self::Fork(fork) => fork.row.key.as_ref(),
            _ => None,
        }
    }
}

/// Run until the channel is closed and empty.
pub(super) async fn run(shared: Arc<Shared>, mut items: mpsc::Receiver<Item>) {
    let mut connection = None;
    let mut waiting = Vec::with_capacity(BATCH);
    while items.recv_many(&mut waiting, BATCH).await > 0 {
        let mut todo: Vec<Option<Item>> = waiting.drain(..).map(Some).collect();
        commit(&shared, &mut connection, &mut todo, false).await;
    }
}

type Connection = (deadpool_postgres::Object, Statements);

/// Commit `items` and answer them; halve them when one of them can't be stored. `again`: they may be committed already.
fn commit<'a>(
    shared: &'a Arc<Shared>,
    connection: &'a mut Option<Connection>,
    items: &'a mut [Option<Item>],
    mut again: bool,
) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let since = Instant::now();
        let mut pause = Duration::from_millis(20);
        loop {
            let error = match attempt(shared, connection, items, again).await {
                Ok(()) => return,
                Err(error) => error,
            };
            *connection = None;
            shared.claims.unsure.store(true, Ordering::Release);
            metrics::counter!("tenure_commit_failures_total").increment(1);
            if error.is_transient() && since.elapsed() < PATIENCE && !shared.given_up() {
                tracing::warn!(?error, items = items.len(), "could not commit; trying again");
                again = true;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
                continue;
            }
            if items.len() > 1 && !error.is_transient() {
                let (left, right) = items.split_at_mut(items.len() / 2);
                commit(shared, connection, left, again).await;
                commit(shared, connection, right, again).await;
                return;
            }
            tracing::error!(?error, items = items.len(), "could not commit");
            let text = match &error {
                store::Error::Refused(text) => text.clone(),
                error => error.to_string(),
            };
            for item in items.iter_mut().filter_map(Option::take) {
                let error = if error.is_transient() {
                    store::Error::Unavailable(text.clone().into())
                } else {
                    store::Error::Refused(text.clone())
                };
                let _ = item.reply.send(Err(error.into()));
            }
            return;
        }
    })
}

async fn attempt(
    shared: &Arc<Shared>,
    connection: &mut Option<Connection>,
    items: &mut [Option<Item>],
    again: bool,
) -> Result<(), store::Error> {
    if connection.is_none() {
        let client = shared.keyed.get().await?;
        let statements = Statements::prepare(&client).await?;
        store::queue::prepare_claim(&client).await?;
        *connection = Some((client, statements));
    }
    let Some((client, statements)) = connection else { return Ok(()) };
    let began = Instant::now();
    let mut tx = Transaction::new(shared, client, statements, items);
    let answers = match tx.run(again).await {
        Ok(answers) => answers,
        Err(error) => {
            if client.batch_execute("rollback").await.is_err()
                && let Some((client, _)) = connection.take()
            {
                // Nobody else may get a connection that is in the middle of a transaction.
                drop(deadpool_postgres::Object::take(client));
            }
            return Err(error);
        }
    };
    let after = tx.after;
    metrics::counter!("tenure_commits_total").increment(1);
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    metrics::histogram!("tenure_committed_items").record(items.len() as f64);
    metrics::histogram!("tenure_commit_seconds").record(began.elapsed());
    for (item, answer) in items.iter_mut().zip(answers) {
        if let (Some(item), Some(answer)) = (item.take(), answer) {
            let _ = item.reply.send(answer);
        }
    }
    shared.published(after);
    Ok(())
}

/// What is told to others once it is committed.
#[derive(Default)]
pub(super) struct After {
    /// Queues with something new to do, once per attempt.
    pub ready: Vec<i32>,
    /// Whether something was deferred.
    pub deferred: bool,
    /// Executions and their newest event.
    pub changed: Vec<(ExecutionId, i32)>,
    /// Workers with whom an attempt was lost.
    pub lost: Vec<i64>,
    /// Model calls that go on here.
    pub hand_offs: Vec<(Slot, HandOff)>,
    /// What polls that waited got.
    pub found: Vec<Found>,
}

pub(super) type Answer = Result<Done, Error>;

struct Transaction<'a> {
    shared: &'a Arc<Shared>,
    db: &'a deadpool_postgres::Object,
    sql: &'a Statements,
    items: &'a [Option<Item>],
    after: After,
}

struct Around<'a> {
    shared: &'a Shared,
    queues: &'a HashMap<(String, String), i32>,
    /// Room taken for model calls; given back unless they go on here.
    slots: HashMap<AttemptId, Slot>,
    /// Polls that get what is queued.
    served: Served,
}

impl Surroundings for Around<'_> {
    fn queue(&self, name: &str, domain: &str) -> i32 {
        // Every queue that these executions can name was looked up before.
        self.queues.get(&(name.to_owned(), domain.to_owned())).copied().unwrap_or_default()
    }

    fn policies(&self) -> Arc<Vec<Policy>> {
        self.shared.policies.known()
    }

    fn take_slot(&mut self, attempt: AttemptId) -> Option<(i64, f64)> {
        let (slot, lease) = self.shared.model_slot(attempt)?;
        self.slots.insert(attempt, slot);
        Some(lease)
    }

    fn take_worker(&mut self, queue: i32, attempt: AttemptId) -> Option<i64> {
        self.served.take(queue, attempt)
    }
}

impl<'a> Transaction<'a> {
    fn new(
        shared: &'a Arc<Shared>,
        db: &'a deadpool_postgres::Object,
        sql: &'a Statements,
        items: &'a [Option<Item>],
    ) -> Self {
        Self { shared, db, sql, items, after: After::default() }
    }

    fn client(&self) -> &'a Client {
        self.db
    }

    fn works(&self) -> impl Iterator<Item = (usize, &'a Work)> {
        self.items.iter().enumerate().filter_map(|(i, item)| item.as_ref().map(|item| (i, &item.work)))
    }

    async fn run(&mut self, again: bool) -> Result<Vec<Option<Answer>>, store::Error> {
        let mut answers: Vec<Option<Answer>> = self.items.iter().map(|_| None).collect();
        for i in settle::overheard(self.works()) {
            answers[i] = Some(Ok(Done::Reported(Reported::TooLate)));
        }
        let (mut lives, taken) = self.open(&mut answers).await?;
        if again {
            self.recognise(&mut answers).await?;
        }
        let queues = self.queues(&lives).await?;
        let mut around = Around {
            shared: self.shared,
            queues: &queues,
            slots: HashMap::new(),
            served: self.shared.claims.serving(),
        };
        let mut batch = Batch::default();
        let fates = self.fates(&taken).await?;
        let is_decided = self.works().any(|(_, work)| matches!(work, Work::Decide { .. }));
        let mut decided = if is_decided { Box::pin(self.decided(&lives)).await? } else { HashMap::new() };
        for (i, work) in self.works() {
            if answers[i].is_some() {
                continue;
            }
            if let Work::Message(mail) = work {
                let (at, live) = ((self.sql, self.client()), lives.get_mut(&mail.to));
                answers[i] = Some(inbox::receive(at, mail, live, &mut batch).await?);
                continue;
            }
            let said = decided.remove(&i);
            let answer = settle::settle(work, said, &mut lives, &taken, &fates, &mut batch, &mut around);
            if let Err(error) = &answer
                && !matches!(work, Work::Control { .. })
            {
                // Its queue row is deleted by now: let the caller undo that by failing this item alone.
                return Err(store::Error::Refused(error.to_string()));
            }
            answers[i] = Some(answer);
        }
        let asked: Vec<_> = self.works().filter_map(|(_, w)| w.may_end_a_wait()).collect();
        inbox::hand_over((self.sql, self.client()), &asked, &mut lives, &mut batch, &mut around).await?;
        for (id, turn) in std::mem::take(&mut batch.answers) {
            let reply = self.sql.reply(self.client(), id, turn).await?;
            if let Some(live) = lives.get_mut(&id) {
                Batch::answer(live, reply.as_ref());
            }
        }
        for (_, live) in lives.drain() {
            batch.close(live);
        }
        let nexts = self.shared.claims.wanted(self.works().filter_map(|(i, w)| match w {
            Work::Report(r) if r.wants_next => Some((i, taken.get(&r.attempt)?)),
            _ => None,
        }));
        let leases = self.write(&mut batch, &nexts, around.served).await?;
        for (i, lease) in leases {
            if let Some(Some(Ok(Done::Reported(Reported::Accepted(next))))) = answers.get_mut(i) {
                *next = Some(self.shared.claims.offer(vec![lease]));
            }
        }
        let hand_offs = batch.hand_offs.into_iter();
        self.after.hand_offs =
            hand_offs.filter_map(|h| Some((around.slots.remove(&h.attempt)?, h))).collect();
        Ok(answers)
    }

    /// Begin: insert what starts, lock what exists, take the attempts that outcomes are for.
    async fn open(
        &self,
        answers: &mut [Option<Answer>],
    ) -> Result<(HashMap<ExecutionId, Live>, HashMap<AttemptId, Taken>), store::Error> {
        let db = self.client();
        let starts: Vec<_> = self.works().filter_map(|(i, w)| start_of(i, w)).collect();
        let rows: Vec<_> = starts.iter().map(|(_, s)| new_execution(s)).collect();
        let mut ids: Vec<_> = self.works().filter(|(_, w)| !begins(w)).map(|(_, w)| w.execution()).collect();
        ids.sort_unstable();
        ids.dedup();
        let attempts: Vec<_> =
            self.works().filter(|(i, _)| answers[*i].is_none()).filter_map(|(_, w)| w.attempt()).collect();
        let forks: Vec<_> = self.works().filter_map(|(i, w)| fork_of(i, w)).collect();
        let histories: Vec<_> = forks.iter().map(|(_, f)| &f.row).collect();
        let begins_some = !rows.is_empty() || !histories.is_empty();
        let (began, inserted, copied, now, locked, taken) = join!(
            db.batch_execute(BEGIN),
            async { if rows.is_empty() { Ok(vec![]) } else { self.sql.start(db, &rows).await } },
            async { if histories.is_empty() { Ok(vec![]) } else { self.sql.fork(db, &histories).await } },
            async { if begins_some { self.sql.now(db).await.map(Some) } else { Ok(None) } },
            async { if ids.is_empty() { Ok(vec![]) } else { self.sql.lock(db, &ids).await } },
            async { if attempts.is_empty() { Ok(vec![]) } else { self.sql.take(db, &attempts).await } },
        );
        began?;
        let (inserted, copied, now, locked, mut taken) = (inserted?, copied?, now?, locked?, taken?);
        self.shared.claims.name((self.sql, db), &mut taken).await?;
        let now = now.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let mut lives = HashMap::new();
        for (i, start) in starts {
            if inserted.contains(&start.id) {
                lives.insert(start.id, Live::begun(start, now));
            } else {
                let given = (start.id, start.version);
                answers[i] = Some(self.existing(given, &start.agent.name, start.key.as_deref()).await);
            }
        }
        for (i, fork) in forks {
            let row = &fork.row;
            if copied.contains(&row.id) {
                lives.insert(row.id, Live::forked(fork, now));
            } else {
                let existing =
                    self.existing((row.id, row.version), &fork.agent.name, row.key.as_deref()).await;
                answers[i] = Some(match existing {
                    Err(Error::Store(store::Error::NotFound { .. })) => {
                        Err(store::retention::missing(self.db, row.from).await.into())
                    }
                    existing => existing,
                });
            }
        }
        for row in locked {
            let agent = self.agent(&row.agent, row.version).await?;
            lives.insert(row.id, Live::locked(row, agent));
        }
        Ok((lives, taken.into_iter().map(|t| (t.attempt, t)).collect()))
    }

    /// Answer what was wanted of executions and had been committed after all.
    async fn recognise(&self, answers: &mut [Option<Answer>]) -> Result<(), store::Error> {
        let wanted = || {
            self.works().filter_map(|(i, work)| match work {
                Work::Control { id, request, .. } => Some((i, *id, request)),
                _ => None,
            })
        };
        let (ids, requests): (Vec<_>, Vec<_>) = wanted().map(|(_, id, request)| (id, request)).unzip();
        if !ids.is_empty() {
            let known = store::commit::requested(self.db, &ids, &requests).await?;
            for (i, ..) in wanted().filter(|(.., request)| known.contains(*request)) {
                answers[i] = Some(Ok(Done::Controlled));
            }
        }
        Ok(())
    }

    /// A start whose key is taken, or that had been committed after all.
    async fn existing(&self, given: (ExecutionId, i32), agent: &str, key: Option<&str>) -> Answer {
        let found = self.sql.find_by_key(self.client(), agent, key, given.0).await?;
        let (id, version) = match (found, key) {
            (Some(found), _) => found,
            // It failed between the two statements, so its key is free again: nothing was started, and that is said.
            (None, Some(_)) => {
                let again = "the run with this key has just ended; start it again".into();
                return Err(store::Error::Unavailable(again).into());
            }
            (None, None) => {
                return Err(store::Error::NotFound { what: "execution", id: given.0.to_string() }.into());
            }
        };
        Ok(Done::Started(Started { id, version, is_new: id == given.0 }))
    }

    async fn agent(&self, name: &str, version: i32) -> Result<Arc<Agent>, store::Error> {
        self.shared.agents.get(self.db, name, version).await
    }

    /// Every queue that a decision about these executions can name.
    async fn queues(
        &self,
        lives: &HashMap<ExecutionId, Live>,
    ) -> Result<HashMap<(String, String), i32>, store::Error> {
        let mut wanted = vec![(MODEL_QUEUE.to_owned(), String::new())];
        for live in lives.values() {
            wanted.extend(live.queues());
        }
        wanted.sort_unstable();
        wanted.dedup();
        self.shared.claims.queue_ids(wanted).await
    }

    /// What became of the attempts that could not be taken.
    async fn fates(
        &self,
        taken: &HashMap<AttemptId, Taken>,
    ) -> Result<HashMap<AttemptId, Fate>, store::Error> {
        let missing: Vec<_> = self
            .works()
            .filter_map(|(_, w)| w.attempt())
            .filter(|a| !taken.contains_key(&a.1))
            .map(|a| (a.0, a.1))
            .collect();
        if missing.is_empty() {
            return Ok(HashMap::new());
        }
        let fates = self.sql.fate(self.client(), &missing).await?;
        Ok(fates.into_iter().map(|f| (f.attempt, f)).collect())
    }

    /// Let people decide, and gather what was decided and their executions do not know yet, by item.
    async fn decided(
        &self,
        lives: &HashMap<ExecutionId, Live>,
    ) -> Result<HashMap<usize, Said>, store::Error> {
        let mut all = HashMap::new();
        let (db, sql) = (self.client(), &self.sql.approvals);
        for (i, work) in self.works() {
            let Work::Decide { id, decisions } = work else { continue };
            if !lives.contains_key(id) {
                continue;
            }
            let mut said = Said::default();
            for deciding in decisions {
                let (approval, verdict) = match deciding {
                    Deciding::Person(decision, request) => {
                        (decision.approval, sql.decide(db, decision, *request).await?)
                    }
                    Deciding::Clock(approval) => (*approval, sql.expire(db, *approval).await?),
                };
                if verdict.outcome == Outcome::Escalated {
                    said.escalated.push((approval, verdict.message.clone()));
                }
                said.verdicts.push(verdict);
            }
            let mut known: HashMap<u32, Vec<Call>> = HashMap::new();
            for decision in sql.undelivered(db, &[*id]).await? {
                let turn = decision.task.turn();
                if let Entry::Vacant(calls) = known.entry(turn) {
                    let reply = self.sql.reply(db, *id, turn).await?;
                    calls.insert(reply.as_ref().map(calls_of).unwrap_or_default());
                }
                said.decisions.push((decision, known[&turn].clone()));
            }
            all.insert(i, said);
        }
        Ok(all)
    }

    /// Write all that was decided, lease what reporters take next, and commit.
    async fn write(
        &mut self,
        batch: &mut Batch,
        nexts: &[Wanted],
        served: Served,
    ) -> Result<Vec<(usize, super::Lease)>, store::Error> {
        let (db, sql) = (self.client(), self.sql);
        let at = batch.advanced.iter().map(|a| a.at).max().unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let claims = self.shared.claims.clone();
        // What people are asked takes several statements, one after the other.
        let is_whole = batch.asks_nobody();
        let (
            results,
            events,
            messages,
            tasks,
            retries,
            advanced,
            queued,
            withdrawn,
            held,
            released,
            asked,
            leased,
            committed,
        ) = join!(
            sql.results(db, &batch.results),
            sql.events(db, &batch.events),
            sql.messages(db, &batch.messages),
            sql.tasks(db, &batch.tasks),
            sql.retries(db, &batch.retries),
            sql.advance(db, &batch.advanced),
            sql.enqueue(db, &batch.queued),
            sql.withdraw(db, &batch.withdraw, at),
            sql.hold(db, &batch.hold),
            sql.release(db, &batch.release),
            async { if batch.asks_nobody() { Ok(()) } else { Box::pin(people(db, sql, batch, at)).await } },
            async {
                if nexts.is_empty() { Ok(vec![]) } else { Box::pin(claims.claim_nexts(self.db, nexts)).await }
            },
            // Sent behind the others without waiting for them: when one of them fails, this undoes all.
            async { if is_whole { db.batch_execute("commit").await } else { Ok(()) } },
        );
        // In the order in which they were sent: behind the first that failed, Postgres only says that something did.
        results.and(events).and(messages).and(tasks).and(retries).and(advanced)?;
        let Enqueued { waiting: not_leased, leased: mut found } = queued?;
        withdrawn.and(held)?;
        let released = released?;
        asked?;
        let leased = leased?;
        found.retain(|lease| !batch.withdraw.contains(&lease.execution));
        self.after.found = served.offers(found);
        committed?;
        if !is_whole {
            db.batch_execute("commit").await?;
        }
        self.after.ready = released;
        batch.hand_offs.retain(|h| !not_leased.contains(&h.attempt));
        for queued in &batch.queued {
            if let Some((_, secs)) = queued.lease
                && !not_leased.contains(&queued.attempt)
            {
                // What a worker got is counted when it is sent.
                if secs.is_some() {
                    self.shared.stats.started(queued.queue, Duration::ZERO);
                }
                continue;
            }
            if queued.delay > 0.0 {
                self.after.deferred = true;
            } else {
                if queued.priority < 0 {
                    claims.urgent(queued.queue);
                }
                self.after.ready.push(queued.queue);
            }
        }
        for (_, lease) in &leased {
            self.shared.stats.started(lease.queue_id, lease.waited);
        }
        let begun = self.works().filter_map(|(_, work)| match work {
            Work::Start(start) => Some((start.id, start.input.clone())),
            _ => None,
        });
        self.shared.recall.hear(batch, begun);
        self.count(batch);
        self.after.changed = batch.advanced.iter().map(|a| (a.id, a.seq)).collect();
        Ok(leased)
    }

    /// What is durable now, for monitoring.
    fn count(&mut self, batch: &Batch) {
        count(batch);
        for result in &batch.results {
            if let Some(tokens) = result.tokens {
                self.shared.spend.used(&result.taken.name, tokens);
            }
        }
        for result in batch.results.iter().filter(|r| r.outcome != "completed") {
            self.shared.stats.failed(result.taken.queue);
            self.after.lost.extend(result.taken.worker_id.filter(|_| result.outcome == "lost"));
        }
    }
}

/// What becomes of questions to people.
async fn people(
    db: &Client,
    sql: &Statements,
    batch: &Batch,
    at: jiff::Timestamp,
) -> Result<(), store::Error> {
    sql.approvals.insert(db, &batch.asked).await?;
    sql.approvals.deliver(db, &batch.delivered).await?;
    sql.approvals.withdraw(db, &batch.unanswered, at).await
}

fn count(batch: &Batch) {
    for result in &batch.results {
        let kind = result.taken.task.kind();
        metrics::counter!("tenure_attempts_ended_total", "kind" => kind, "outcome" => result.outcome)
            .increment(1);
        if let Some(Tokens { prompt, completion, cached }) = result.tokens {
            let tokens = |kind: &'static str, n: i64| {
                let n = u64::try_from(n).unwrap_or(0);
                metrics::counter!("tenure_tokens_total", "model" => result.taken.name.clone(), "type" => kind).increment(n);
            };
            tokens("prompt", prompt);
            tokens("completion", completion);
            if let Some(cached) = cached {
                tokens("cached", cached);
            }
        }
    }
    for ended in batch.advanced.iter().filter(|a| a.ended) {
        metrics::counter!("tenure_executions_ended_total", "status" => ended.status).increment(1);
    }
}

fn begins(work: &Work) -> bool {
    matches!(work, Work::Start(_) | Work::Fork(_))
}

fn fork_of(i: usize, work: &Work) -> Option<(usize, &Fork)> {
    match work {
        Work::Fork(fork) => Some((i, fork)),
        _ => None,
    }
}

fn start_of(i: usize, work: &Work) -> Option<(usize, &Start)> {
    match work {
        Work::Start(start) => Some((i, start)),
        _ => None,
    }
}

fn new_execution(start: &Start) -> NewExecution {
    let timeout = start.timeout.or(start.agent.timeout);
    NewExecution {
        id: start.id,
        agent: start.agent.name.clone(),
        version: start.version,
        input: start.input.clone(),
        context: start.context.clone(),
        key: start.key.clone(),
        session: start.session.clone(),
        domains: start.domains.clone(),
        domain: start.domain.clone(),
        priority: start.priority,
        timeout: timeout.map(|t| t.as_secs_f64()),
    }
}
