//! Workers ask for work.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use serde::Deserialize;

use super::task::{self, Task};
use super::{Word, model};
use crate::engine;
use crate::json::Json;
use crate::runtime::{self, Lease, MODEL_QUEUE, Offer};
use crate::store::{self, read};
use crate::web::body::reply;
use crate::web::{Problem, State};

/// Longest wait of one poll.
const MAX_WAIT_MS: u64 = 5000;
/// Wait of a poll that does not say.
const WAIT_MS: u64 = 100;
/// Most attempts that one poll gets.
const MAX_COUNT: usize = 100;

/// Query of a poll.
#[derive(Deserialize)]
pub struct Asking {
    workerid: Option<Word>,
    domain: Option<Word>,
    count: Option<usize>,
    timeout: Option<u64>,
}

/// `GET /api/tasks/poll/batch/{task}`: 200 with an array, empty when there was nothing in time.
pub async fn batch(
    state: Data<State>,
    task: Path<Word>,
    asking: Query<Asking>,
) -> Result<HttpResponse, Problem> {
    let wait = asking.timeout.unwrap_or(WAIT_MS);
    let count = asking.count.unwrap_or(1).min(MAX_COUNT);
    Ok(reply(&poll(&state, &task.0, asking.into_inner(), count, wait).await?))
}

/// `GET /api/tasks/poll/{task}`: 200 with one, or 204.
pub async fn single(
    state: Data<State>,
    task: Path<Word>,
    asking: Query<Asking>,
) -> Result<HttpResponse, Problem> {
    let wait = asking.timeout.unwrap_or(0);
    let mut tasks = poll(&state, &task.0, asking.into_inner(), 1, wait).await?;
    Ok(tasks.pop().map_or_else(|| HttpResponse::NoContent().finish(), |task| reply(&task)))
}

async fn poll(
    state: &State,
    queue: &str,
    asking: Asking,
    count: usize,
    wait_ms: u64,
) -> Result<Vec<Task>, Problem> {
    if wait_ms > MAX_WAIT_MS {
        return Err(Problem::new(400, "Long Poll Timeout value cannot be more than 5 seconds"));
    }
    if count == 0 || queue == MODEL_QUEUE {
        return Ok(vec![]);
    }
    let worker =
        asking.workerid.map(|w| w.0).filter(|w| !w.is_empty()).unwrap_or_else(|| "unnamed".to_owned());
    let domain = asking.domain.map(|d| d.0).unwrap_or_default();
    let wait = Duration::from_millis(wait_ms);
    match state.runtime.poll(queue, &domain, &worker, count, wait).await {
        Ok(offer) => Ok(hand_out(state, offer, &worker).await),
        // Clients answer an error with a pause of up to two minutes, but an empty answer with the next poll. While the
        // database is away there is nothing to hand out, so empty is also true.
        Err(runtime::Error::Store(error)) if error.is_transient() => {
            tracing::warn!(?error, "a poll found no database");
            tokio::time::sleep(wait.max(Duration::from_millis(WAIT_MS))).await;
            Ok(vec![])
        }
        Err(runtime::Error::Busy | runtime::Error::ShuttingDown) => Ok(vec![]),
        Err(error) => Err(error.into()),
    }
}

/// Leases in the protocol's shape. What can't be shaped goes back to its queue instead of waiting for its lease's end.
pub async fn hand_out(state: &State, offer: Offer, worker: &str) -> Vec<Task> {
    let mut tasks = Vec::with_capacity(offer.leases().len());
    for lease in offer.leases() {
        match shape(state, lease, worker).await {
            Ok(task) => tasks.push(task),
            Err(error) => {
                tracing::warn!(?error, task.id = %lease.attempt, "a lease could not be handed out");
                if let Err(error) = state
                    .runtime
                    .call_back(lease.execution, lease.attempt, Duration::from_secs(1), None)
                    .await
                {
                    tracing::warn!(?error, task.id = %lease.attempt, "…nor given back; it waits for its lease's end");
                }
            }
        }
    }
    offer.take().await;
    tasks
}

/// One lease in the protocol's shape.
async fn shape(state: &State, lease: &Lease, worker: &str) -> Result<Task, runtime::Error> {
    let pool = state.runtime.pool();
    let agent = state.runtime.agent(&lease.agent, lease.version).await?;
    let messages: Option<Json> = match lease.task {
        engine::Task::Check { .. } => {
            let transcript = read::messages::conversation(
                &pool.get().await.map_err(store::Error::from)?,
                lease.execution,
                0,
                i32::MAX,
            )
            .await?;
            Some(model::conversation(&agent, &lease.execution_input, &transcript))
        }
        _ => None,
    };
    Ok(task::leased(lease, &agent, worker, messages))
}
