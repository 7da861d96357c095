//! Replays: runs whose tools only tell again what they returned to the original.
//!
//! A replay begins like a restart, perhaps with another model, prompt or version. Its tool calls wait in a queue of their
//! own, which servers poll. The same call, by tool and by the arguments that the model wrote, gets what it got then, from a
//! tool or from a person: the second time what it got the second time, and the last again when there is no further one. A
//! call that the original never made fails, and the model hears why. So nothing has an effect, and nobody is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::commit::Work;
use super::reply::Ruled;
use super::{Entry, Error, Lease, Outcome, Report, Shared};
use crate::agent::Agent;
use crate::engine;
use crate::json::Json;
use crate::llm::{self, Reply};
use crate::store::{self, forks};

/// The queue of calls that replays make. Tools can't have a dot in their name.
pub(super) const QUEUE: &str = "tenure.replay";
/// How such a run goes on from its original.
pub(super) const WAY: &str = "replay";

/// Most calls that are looked up at the same time.
const MANY: usize = 16;
/// How long one look waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// A call is answered in no time; should its server die, another one does.
const LEASE_SECS: f64 = 30.0;

/// Nobody has to let calls go that have no effect, nor to answer again what was answered.
pub(super) fn ruled(agent: &Agent, calls: &mut [engine::Call]) -> Vec<Ruled> {
    let mut all = vec![];
    for (n, call) in calls.iter_mut().enumerate() {
        if agent.tool(&call.name).is_some_and(crate::agent::Tool::asks_a_person) {
            call.gated = Some(false);
            all.push(Ruled { call: n, asks: false, policy: WAY.to_owned() });
        }
    }
    all
}

/// Answer the calls of replays until the server drains.
pub(super) async fn run(shared: Arc<Shared>, queue: i32) {
    loop {
        let answered = tokio::select! {
            answered = answer(&shared, queue) => answered,
            () = shared.stop.cancelled() => return,
        };
        if let Err(error) = answered {
            tracing::warn!(?error, "could not tell again what tools returned");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

async fn answer(shared: &Arc<Shared>, queue: i32) -> Result<(), Error> {
    let session = shared.session.id;
    let offer = shared.claims.poll_as(queue, session, Some(LEASE_SECS), MANY, PATIENCE).await?;
    let answers = offer.leases().iter().map(|lease| async {
        let outcome = told_again(shared, lease).await?;
        let (execution, attempt) = (lease.execution, lease.attempt);
        let worker = "replay".to_owned();
        shared.done(Work::Report(Report { execution, attempt, worker, outcome, wants_next: false })).await
    });
    for answer in join_all(answers).await {
        answer?;
    }
    offer.take().await;
    Ok(())
}

async fn told_again(shared: &Shared, lease: &Lease) -> Result<Outcome, Error> {
    let asked = {
        let db = shared.pool.get().await.map_err(store::Error::from)?;
        forks::asked_again(&db, lease.execution, lease.attempt).await?
    };
    let replay = shared.conversation(lease.execution, asked.messages).await?;
    let original = shared.conversation(asked.original, asked.recorded).await?;
    Ok(told(&original.entries, &replay.entries, asked.turn, asked.call).unwrap_or_else(|| {
        failed(&format!(
            "this is a replay, and the original never called {} with these arguments: nothing is recorded of it",
            lease.name
        ))
    }))
}

/// What came of the call that a replay makes, in the original; `None` when that never made it.
fn told(original: &[Entry], replay: &[Entry], turn: u32, call: u16) -> Option<Outcome> {
    let made: Vec<_> = calls(replay).collect();
    let n = made.iter().position(|(at, _)| *at == (turn, call))?;
    let asked = &made[n].1;
    let is_same = |other: &llm::Call| other.name == asked.name && other.arguments == asked.arguments;
    let before = made[..n].iter().filter(|(_, c)| is_same(c)).count();
    let answers = original.iter().filter(|e| e.role == "tool");
    let answers: HashMap<_, _> = answers.map(|e| ((e.turn, e.call.unwrap_or(0)), e)).collect();
    let same = calls(original).filter(|(_, c)| is_same(c)).filter_map(|(at, _)| answers.get(&at));
    same.take(before + 1).last().map(|entry| again(entry))
}

/// The calls of a conversation with turn and index, in the order in which the model made them.
fn calls(entries: &[Entry]) -> impl Iterator<Item = ((u32, u16), llm::Call)> {
    let replies = entries.iter().filter(|e| e.role == "assistant");
    replies.flat_map(|entry| {
        let reply = entry.output.as_ref().and_then(|o| serde_json::from_str::<Reply>(o.text()).ok());
        let numbered = (0..).zip(reply.unwrap_or_default().calls);
        numbered.map(|(n, call)| ((entry.turn, n), call))
    })
}

/// The outcome that reads to the model as the entry of the original did.
fn again(entry: &Entry) -> Outcome {
    // Without an attempt it is what a person answered, or why the call was not made.
    match (&entry.content, &entry.error, &entry.output) {
        (Some(text), ..) => match text.strip_prefix("Error: ") {
            Some(error) => failed(error),
            None => Outcome::Completed(Json::of(&serde_json::json!({ "result": text }))),
        },
        (None, Some(error), _) => failed(error),
        (None, None, output) => {
            Outcome::Completed(output.clone().unwrap_or_else(|| Json::of(&serde_json::Map::new())))
        }
    }
}

fn failed(error: &str) -> Outcome {
    Outcome::Failed { error: error.to_owned(), retryable: false, output: None }
}
