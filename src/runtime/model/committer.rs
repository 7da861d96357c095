//! A committer of the model: the server's own decisions over the model's tables.
//!
//! [`settle`], [`Batch`] and with them `engine::decide` are those of the server; only the statements around them are
//! [`Tables`]' functions, in the order in which `commit.rs` sends them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;

use super::tables::{Attempt, Outcome, Tables, When, Worker};
use super::{Flaw, MODEL_QUEUE_ID};
use crate::agent::Agent;
use crate::engine::{State, Task};
use crate::id::{AttemptId, ExecutionId};
use crate::runtime::batch::{Batch, Live, Surroundings};
use crate::runtime::commit::{Answer, Work};
use crate::runtime::settle;
use crate::store::commit::{Fate, Locked, Taken};

pub static EXECUTION: LazyLock<ExecutionId> = LazyLock::new(|| ExecutionId::from_u128(1));

/// An attempt's id says which it is.
pub fn id(attempt: Attempt) -> AttemptId {
    let kind = match attempt.task {
        Task::Model { .. } => 1,
        Task::Tool { .. } => 2,
        Task::Check { .. } => 3_u128,
        Task::Approval { .. } => 4,
    };
    let (turn, call) = (u128::from(attempt.task.turn()), u128::from(attempt.task.call()));
    AttemptId::from_u128(1 << 80 | kind << 64 | turn << 32 | call << 16 | u128::from(attempt.number))
}

fn attempt_of(id: AttemptId, of_batch: &HashMap<AttemptId, Attempt>) -> Attempt {
    of_batch.get(&id).copied().unwrap_or_else(|| {
        let bits = id.as_u128();
        let (turn, call) = ((bits >> 32) as u32, (bits >> 16) as u16);
        let task = match (bits >> 64) as u16 {
            1 => Task::Model { turn },
            2 => Task::Tool { turn, call },
            _ => Task::Check { turn },
        };
        Attempt { task, number: bits as u8 }
    })
}

/// The end of a lease, by its stamp.
pub fn until(stamp: u8) -> Timestamp {
    Timestamp::from_second(i64::from(stamp)).expect("a small number of seconds")
}

struct Slot {
    worker: Worker,
    is_free: bool,
}

impl Surroundings for Slot {
    fn take_worker(&mut self, _: i32, _: AttemptId) -> Option<i64> {
        None
    }

    fn queue(&self, name: &str, _: &str) -> i32 {
        if name == crate::runtime::MODEL_QUEUE { MODEL_QUEUE_ID } else { MODEL_QUEUE_ID + 1 }
    }

    fn policies(&self) -> Arc<Vec<crate::agent::policy::Policy>> {
        Arc::default()
    }

    fn take_slot(&mut self, _: AttemptId) -> Option<(i64, f64)> {
        std::mem::take(&mut self.is_free).then_some((i64::from(self.worker), 60.0))
    }
}

/// What a commit told and handed on.
#[derive(Default)]
pub struct Committed {
    /// The answers in the order of the items; empty when the batch was refused, and each is to be tried alone.
    pub answers: Vec<Answer>,
    /// A model call that goes on at once.
    pub hand_off: Option<Attempt>,
}

/// One transaction of the server with session `worker`.
///
/// # Errors
///
/// What Postgres would have refused: a rule that the tables themselves hold was broken.
pub fn commit(
    tables: &mut Tables,
    agent: &Arc<Agent>,
    works: &[Work],
    (worker, is_free): (Worker, bool),
    flaw: Flaw,
) -> Result<Committed, &'static str> {
    let before = tables.clone();
    let overheard = match flaw {
        Flaw::LossesAreHeardBesideOutcomes => vec![],
        _ => settle::overheard(works.iter().enumerate()),
    };
    let (mut taken, mut fates) = (HashMap::new(), HashMap::new());
    let asked = works.iter().enumerate().filter(|(i, _)| !overheard.contains(i));
    for (_, attempt, by, lease) in asked.clone().filter_map(|(_, w)| w.attempt()) {
        let key = attempt_of(attempt, &HashMap::new());
        let stamp = lease.map(|t| t.as_second() as u8).filter(|_| flaw != Flaw::LossesTakeAnyLease);
        let found = tables.take(key, by.map(|w| w as Worker), stamp);
        if found {
            taken.insert(attempt, row(key, tables.tasks[&key]));
            if flaw == Flaw::OutcomesAreNotFenced {
                let row = before.queue[&key];
                tables.queue.insert(key, row);
            }
        }
    }
    for (_, attempt, ..) in asked.filter_map(|(_, w)| w.attempt()).filter(|a| !taken.contains_key(&a.1)) {
        if let Some(outcome) = tables.fate(attempt_of(attempt, &HashMap::new())) {
            let ended = tables.state.status.is_terminal();
            fates.insert(attempt, Fate { attempt, outcome: outcome.map(|o| o.name().to_owned()), ended });
        }
    }
    let mut lives = HashMap::from([(*EXECUTION, live(tables, agent))]);
    let (mut batch, mut slot) = (Batch::default(), Slot { worker, is_free });
    let mut answers = vec![];
    for (i, work) in works.iter().enumerate() {
        if overheard.contains(&i) {
            answers.push(Ok(super::TOO_LATE));
            continue;
        }
        let answer = settle::settle(work, None, &mut lives, &taken, &fates, &mut batch, &mut slot);
        if answer.is_err() && !matches!(work, Work::Control { .. }) {
            *tables = before;
            return Ok(Committed::default());
        }
        answers.push(answer);
    }
    let live = lives.remove(&*EXECUTION).expect("it was put there");
    let state = live.state.clone();
    batch.close(live);
    write(tables, &before, &batch, state, flaw)?;
    let hand_off = batch.hand_offs.pop().map(|h| attempt_of(h.attempt, &new_ids(&batch)));
    Ok(Committed { answers, hand_off })
}

/// `lock.sql`
fn live(tables: &Tables, agent: &Arc<Agent>) -> Live {
    let row = Locked {
        id: *EXECUTION,
        agent: String::new(),
        version: 1,
        status: tables.state.status,
        state: tables.state.clone(),
        context: super::EMPTY.clone(),
        priority: 0,
        seq: 0,
        domains: None,
        is_replay: false,
        at: Timestamp::UNIX_EPOCH,
    };
    Live::locked(row, agent.clone())
}

/// What `take.sql` returns: tools may be retried once, at once.
fn row(attempt: Attempt, losses: u8) -> Taken {
    Taken {
        execution: *EXECUTION,
        attempt: id(attempt),
        task: attempt.task,
        number: attempt.number.into(),
        losses: losses.into(),
        name: String::new(),
        queue: MODEL_QUEUE_ID + i32::from(!matches!(attempt.task, Task::Model { .. })),
        polls: 1,
        started_at: None,
        worker: None,
        worker_id: None,
        retries: Some((1, "FIXED".into(), 1)),
        backoff_scale: None,
    }
}

fn new_ids(batch: &Batch) -> HashMap<AttemptId, Attempt> {
    let first = batch.tasks.iter().map(|t| (t.id, Attempt { task: t.task, number: 1 }));
    let again = batch.retries.iter().map(|r| {
        let before = attempt_of(r.before, &HashMap::new());
        (r.id, Attempt { number: r.number as u8, ..before })
    });
    first.chain(again).collect()
}

/// As `Transaction::write`, in its order.
fn write(
    tables: &mut Tables,
    before: &Tables,
    batch: &Batch,
    state: State,
    flaw: Flaw,
) -> Result<(), &'static str> {
    let ids = new_ids(batch);
    for result in &batch.results {
        let attempt = attempt_of(result.taken.attempt, &ids);
        let outcome = Outcome::named(result.outcome);
        let accepted = tables.results.iter().any(|(a, o)| a.task == attempt.task && o.is_final());
        if outcome.is_final() && accepted {
            return Err("a task has two accepted results");
        }
        if tables.results.insert(attempt, outcome).is_some() {
            return Err("an attempt has two results");
        }
    }
    for new in &batch.tasks {
        tables.tasks.insert(ids[&new.id], 0);
    }
    for again in &batch.retries {
        tables.tasks.insert(ids[&again.id], again.losses as u8);
    }
    for queued in &batch.queued {
        let when = match queued.delay {
            f64::INFINITY => When::Held,
            delay if delay > 0.0 => When::Later,
            _ => When::Now,
        };
        tables.enqueue(ids[&queued.attempt], when, queued.lease.map(|(w, _)| w as Worker));
    }
    if !batch.withdraw.is_empty() && flaw != Flaw::CancelWithdrawsNothing {
        tables.withdraw();
    }
    if !batch.hold.is_empty() && flaw != Flaw::PauseHoldsNothing {
        tables.hold();
    }
    if !batch.release.is_empty() && flaw != Flaw::ResumeReleasesNothing {
        tables.release();
    }
    if !batch.advanced.is_empty() {
        if before.state.status.is_terminal() {
            return Err("an execution that had ended was written to");
        }
        tables.state = state;
    }
    Ok(())
}
