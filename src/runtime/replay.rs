//! Replays: runs whose tools only tell again what they returned to the original.
//!
//! A replay begins like a restart, perhaps with another model, prompt or version. Its tool calls wait in a queue of their
//! own, which servers poll. The same call, by tool and arguments, gets what it got then: the second time what it got the
//! second time, and the last again when there is no further one. A call that the original never made fails, and the model
//! hears why. So nothing has an effect, and nobody is asked to let a call go.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::commit::Work;
use super::reply::Ruled;
use super::{Error, Lease, Outcome, Report, Shared};
use crate::agent::Agent;
use crate::engine;
use crate::json::Json;
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

/// Nobody has to let calls go that have no effect. What a person answers is asked anew.
pub(super) fn ruled(agent: &Agent, calls: &mut [engine::Call]) -> Vec<Ruled> {
    let mut all = vec![];
    for (n, call) in calls.iter_mut().enumerate() {
        if agent.tool(&call.name).is_some_and(crate::agent::Tool::is_gated) {
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
    let db = shared.pool.get().await.map_err(store::Error::from)?;
    let failed = |error: String| Outcome::Failed { error, retryable: false, output: None };
    Ok(match forks::recorded(&db, lease.execution, lease.attempt).await? {
        Some(recorded) if recorded.is_completed => {
            Outcome::Completed(recorded.output.unwrap_or_else(|| Json::of(&serde_json::Map::new())))
        }
        Some(recorded) => failed(recorded.error.unwrap_or_default()),
        None => failed(format!(
            "this is a replay, and the original never called {} with these arguments: nothing is recorded of it",
            lease.name
        )),
    })
}
