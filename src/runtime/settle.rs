//! What one item of a batch comes to: it counts, it is said again, or it is too late. Pure but for the ids that
//! [`Batch`] makes; the model checker (`runtime::model`) runs this very code.
//!
//! ```text
//!  the fence had its attempt, and nothing else of the batch decided it ──► decided ──► Accepted
//!  otherwise its fate: it ended as this says ──► Accepted
//!                      anything else         ──► TooLate, and a live execution's event says so
//! ```
//!
//! 1. An attempt is settled once; `Accepted` is answered only for what its worker or server said of it.
//! 2. An item is judged by its own fence, never by that of another item of the batch.

use std::collections::{HashMap, HashSet};

use super::batch::{Batch, Happened, Live, Surroundings};
use super::commit::{Answer, Done, Work};
use super::{Error, Outcome, Reported, Started, Verdict};
use crate::engine::{Call, Status, Task};
use crate::id::{ApprovalId, AttemptId, ExecutionId};
use crate::store;
use crate::store::approvals::Undelivered;
use crate::store::commit::{Fate, Taken};
use crate::store::queue::Why;

/// Losses of attempts of which the same batch brings an outcome. They are left out: the outcome is worth more, and both would
/// take the same row. The next look finds what is lost all the same.
pub(super) fn overheard<'a>(works: impl Iterator<Item = (usize, &'a Work)>) -> Vec<usize> {
    let (mut lost, mut said) = (vec![], HashSet::new());
    for (i, work) in works {
        match (work, work.attempt()) {
            (Work::Lost(expired), _) => lost.push((i, expired.attempt)),
            (_, Some(told)) => drop(said.insert(told.1)),
            _ => {}
        }
    }
    lost.into_iter().filter(|(_, attempt)| said.contains(attempt)).map(|(i, _)| i).collect()
}

/// Decide about one item; what is refused for itself leaves the others alone. `said` is what people said, of a decision.
pub(super) fn settle(
    work: &Work,
    said: Option<Said>,
    lives: &mut HashMap<ExecutionId, Live>,
    taken: &HashMap<AttemptId, Taken>,
    fates: &HashMap<AttemptId, Fate>,
    batch: &mut Batch,
    around: &mut impl Surroundings,
) -> Answer {
    let id = work.execution();
    if let Work::Decide { .. } = work {
        return deliver(id, said, lives, batch, around);
    }
    let Some(live) = lives.get_mut(&id) else {
        return match work {
            Work::Control { .. } => {
                Err(store::Error::NotFound { what: "execution", id: id.to_string() }.into())
            }
            _ => Ok(Done::Reported(Reported::Unknown)),
        };
    };
    if let Work::Start(start) = work {
        batch.decide(live, Happened::Accepted { refused: start.refused.clone() }, around)?;
        return Ok(Done::Started(Started { id, version: start.version, is_new: true }));
    }
    if let Work::Fork(fork) = work {
        batch.decide(live, Happened::Forked(fork), around)?;
        return Ok(Done::Started(Started { id, version: fork.row.version, is_new: true }));
    }
    if let Work::Control { event, by, request, .. } = work {
        let (event, by, request) = (event.clone(), by.clone(), request.clone());
        let happened = Happened::Controlled { event, by, request };
        batch.decide(live, happened, around)?;
        return Ok(Done::Controlled);
    }
    let Some(attempt) = work.attempt().map(|a| a.1) else { return Ok(Done::Controlled) };
    match taken.get(&attempt) {
        Some(Taken { task: Task::Model { .. }, .. }) if matches!(work, Work::Report(_)) => {
            let text = format!("attempt {attempt} is a model call; servers perform those themselves");
            Err(store::Error::Refused(text).into())
        }
        Some(taken) if !live.settled.contains(&attempt) => {
            live.settled.push(attempt);
            batch.decide(live, happened(work, taken.clone()), around)?;
            Ok(Done::Reported(Reported::Accepted(None)))
        }
        Some(_) => {
            let fate = batch.results.iter().find(|r| r.taken.attempt == attempt).map(|r| r.outcome);
            Ok(Done::Reported(too_late(work, attempt, fate, live, batch, around)?))
        }
        None => match fates.get(&attempt) {
            Some(fate) => {
                Ok(Done::Reported(too_late(work, attempt, fate.outcome.as_deref(), live, batch, around)?))
            }
            None => Ok(Done::Reported(Reported::Unknown)),
        },
    }
}

fn happened(work: &Work, taken: Taken) -> Happened<'static> {
    match work {
        Work::Report(r) => Happened::Reported { taken, outcome: r.outcome.clone(), worker: r.worker.clone() },
        Work::Model { outcome, .. } => Happened::Performed { taken, outcome: outcome.clone() },
        Work::Lost(expired) => {
            let error = match expired.why {
                Why::Gone => format!("server {} is gone", expired.worker),
                Why::Forgotten => format!("server {} was not told that it has it", expired.worker),
                Why::Silent => format!("worker {} fell silent: its lease ended", expired.worker),
            };
            Happened::Lost { taken, error }
        }
        Work::Start(_) | Work::Fork(_) | Work::Control { .. } | Work::Decide { .. } | Work::Message(_) => {
            Happened::Accepted { refused: None }
        }
    }
}

/// What was said about the questions of an execution.
#[derive(Default)]
pub(super) struct Said {
    pub verdicts: Vec<Verdict>,
    /// Decisions that it has to take notice of, each with the calls of its turn.
    pub decisions: Vec<(Undelivered, Vec<Call>)>,
    /// Questions that others are asked now.
    pub escalated: Vec<(ApprovalId, String)>,
}

/// Let an execution take notice of what was decided.
fn deliver(
    id: ExecutionId,
    said: Option<Said>,
    lives: &mut HashMap<ExecutionId, Live>,
    batch: &mut Batch,
    around: &mut impl Surroundings,
) -> Answer {
    let (Some(live), Some(said)) = (lives.get_mut(&id), said) else {
        return Err(store::Error::NotFound { what: "execution", id: id.to_string() }.into());
    };
    for (approval, to) in said.escalated {
        batch.decide(live, Happened::Escalated { approval, to }, around)?;
    }
    for (decision, calls) in said.decisions {
        let (approval, is_known) = (decision.id, live.delivered.contains(&decision.id));
        if is_known {
            continue;
        }
        live.delivered.push(approval);
        // It was decided under the lock, after the time of the lock was read.
        live.at = live.at.max(decision.at);
        if let Err(illegal) =
            batch.decide(live, Happened::Decided { decision: Box::new(decision), calls }, around)
        {
            // Its run has ended in between: the decision stands, and nothing follows from it.
            tracing::info!(execution.id = %id, approval.id = %approval, %illegal, "a decision came too late for its run");
        }
    }
    Ok(Done::Decided(said.verdicts))
}

/// The attempt has ended, or somebody else has it (`fate` is `None`): the same report again, or one that comes too late.
fn too_late(
    work: &Work,
    attempt: AttemptId,
    fate: Option<&str>,
    live: &mut Live,
    batch: &mut Batch,
    around: &mut impl Surroundings,
) -> Result<Reported, Error> {
    let Work::Report(report) = work else { return Ok(Reported::TooLate) };
    let said_before = match report.outcome {
        Outcome::Completed(_) => fate == Some("completed"),
        Outcome::Failed { .. } => matches!(fate, Some("failed" | "gave_up")),
    };
    if said_before {
        return Ok(Reported::Accepted(None));
    }
    if live.state.status == Status::Running || live.state.status == Status::Paused {
        let (worker, outcome) = (report.worker.clone(), fate.map(str::to_owned));
        batch.decide(live, Happened::Refused { attempt, worker, outcome }, around)?;
    }
    Ok(Reported::TooLate)
}
