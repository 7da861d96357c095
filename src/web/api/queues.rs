//! Queues: how they stand, and stopping and letting go what they hand out.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::json::storable_text;
use crate::runtime::Switched;
use crate::store::read::queues::{self, Queue, Span, Standing};
use crate::web::body::{Body, reply};
use crate::web::{Problem, State};

/// Longest reason and name that are kept, in characters.
pub const REASON: usize = 500;
pub const NAME: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    queue: String,
    domain: String,
    state: String,
    ready: i64,
    leased: i64,
    deferred: i64,
    oldest_ready: Option<String>,
    live_workers: i64,
    last_seen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Paused>,
    started_per_minute: f64,
    failed_share: Option<f64>,
    wait_p50_seconds: Option<f64>,
    wait_p95_seconds: Option<f64>,
}

#[derive(Serialize)]
struct Paused {
    since: String,
    by: String,
    reason: Option<String>,
}

fn paused(queue: &Queue) -> Option<Paused> {
    let pause = queue.pause.as_ref()?;
    Some(Paused { since: pause.at.to_string(), by: pause.by.clone(), reason: pause.reason.clone() })
}

fn row(standing: Standing) -> Row {
    Row {
        paused: paused(&standing.queue),
        queue: standing.queue.name,
        domain: standing.queue.domain,
        state: standing.state,
        ready: standing.ready,
        leased: standing.leased,
        deferred: standing.deferred,
        oldest_ready: standing.oldest_ready.map(|t| t.to_string()),
        live_workers: standing.live_workers,
        last_seen: standing.last_seen.map(|t| t.to_string()),
        started_per_minute: standing.started_per_min,
        failed_share: standing.failed_share,
        wait_p50_seconds: standing.wait_p50_secs,
        wait_p95_seconds: standing.wait_p95_secs,
    }
}

/// `GET /api/queues`: how queues stand and were served over the last hour, longest wait first.
pub async fn list(state: Data<State>) -> Result<HttpResponse, Problem> {
    let mut db = state.runtime.pool().get().await?;
    let rows = queues::standing(&mut db, Span::Hour).await?;
    Ok(reply(&rows.into_iter().map(row).collect::<Vec<_>>()))
}

/// Body of `POST /api/queues/{name}/pause` and `…/resume`.
#[derive(Deserialize)]
pub struct Wish {
    /// Which of the queues with this name; the one without a domain if not said.
    #[serde(default)]
    domain: String,
    /// Why.
    reason: Option<String>,
    /// Who says it; where from is added.
    by: Option<String>,
}

impl Wish {
    fn reason(&self) -> Option<String> {
        typed(self.reason.as_deref(), REASON)
    }

    fn by(&self, request: &HttpRequest) -> String {
        let by = typed(self.by.as_deref(), NAME).unwrap_or_else(|| "a client".to_owned());
        request.peer_addr().map_or_else(|| by.clone(), |peer| format!("{by} at {}", peer.ip()))
    }
}

/// What somebody typed, storable and cut; `None` when it says nothing.
pub fn typed(text: Option<&str>, most: usize) -> Option<String> {
    let text: String = storable_text(text?.trim()).chars().take(most).collect();
    Some(text).filter(|text| !text.is_empty())
}

async fn find(state: &State, name: &str, wish: &Wish) -> Result<Queue, Problem> {
    let name = storable_text(name);
    let db = state.runtime.pool().get().await?;
    let missing = |problem: Problem| {
        let hint = "a queue is there as soon as a worker asks for its work or an agent calls its tool";
        problem.saying(format!("no queue with name '{name}' (domain '{}'); {hint}", wish.domain))
    };
    match queues::named(&db, &name, &wish.domain).await {
        Err(error @ crate::store::Error::NotFound { .. }) => Err(missing(error.into())),
        found => Ok(found?),
    }
}

/// `POST /api/queues/{name}/pause`: hand out nothing of it until it is resumed.
pub async fn pause(
    state: Data<State>,
    name: Path<String>,
    request: HttpRequest,
    wish: Body<Wish>,
) -> Result<HttpResponse, Problem> {
    let queue = find(&state, &name, &wish.0).await?;
    let by = wish.0.by(&request);
    Ok(answer(state.runtime.pause_queue(queue.id, &by, wish.0.reason().as_deref()).await?))
}

/// `POST /api/queues/{name}/resume`: hand out its work again.
pub async fn resume(
    state: Data<State>,
    name: Path<String>,
    request: HttpRequest,
    wish: Body<Wish>,
) -> Result<HttpResponse, Problem> {
    let queue = find(&state, &name, &wish.0).await?;
    let by = wish.0.by(&request);
    Ok(answer(state.runtime.resume_queue(queue.id, &by, wish.0.reason().as_deref()).await?))
}

fn answer(switched: Switched) -> HttpResponse {
    let (queue, changed) = match switched {
        Switched::Done(queue) => (queue, true),
        Switched::Already(queue) => (queue, false),
    };
    reply(&json!({
        "queue": queue.name, "domain": queue.domain, "paused": paused(&queue), "changed": changed,
    }))
}
