//! Our own JSON, for what the wire protocol has no words for.

mod approvals;
pub(super) mod bulk;
mod forks;
pub(super) mod policies;
mod prices;
mod queues;
pub(super) mod retention;
pub(super) mod webhooks;
mod work;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::Serialize;
use serde_json::json;

use super::body::{reply, reply_text};
use super::wire::words;
use super::{Problem, State};
use crate::id::{AttemptId, ExecutionId};
use crate::json::storable_text;
use crate::store::read::{attempts, events, executions};

/// Longest name, pattern or path that somebody may set, in characters.
const LONGEST: usize = 100;

/// A name, pattern or path as somebody set it; or what is wrong with it.
fn named(field: &str, text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > LONGEST || *text != storable_text(text) {
        return Err(format!("{field}: must be 1 to {LONGEST} characters long, without NUL"));
    }
    Ok(text.to_owned())
}

/// Every path of it.
pub fn routes(app: &mut ServiceConfig) {
    app.service(web::resource("/api/executions/{id}/why").get(why))
        .service(web::resource("/api/executions/{id}/timeline").get(timeline))
        .service(web::resource("/api/v1/approvals").get(approvals::list))
        .service(web::resource("/api/v1/approvals/{id}").get(approvals::get))
        .service(web::resource("/api/v1/approvals/{id}/decide").post(approvals::decide))
        .service(web::resource("/api/v1/approval-policies").get(policies::list).post(policies::set))
        .service(web::resource("/api/v1/approval-policies/{name}").delete(policies::remove))
        .service(web::resource("/api/executions/{id}/cost").get(prices::of_run))
        .service(web::resource("/api/costs").get(prices::spent))
        .service(web::resource("/api/prices").get(prices::list).post(prices::set))
        .service(web::resource("/api/prices/{id}").delete(prices::remove))
        .service(web::resource("/api/v1/bulk").get(bulk::list).post(bulk::start))
        .service(web::resource("/api/v1/bulk/{id}").get(bulk::get))
        .service(web::resource("/api/v1/bulk/{id}/cancel").post(bulk::cancel))
        .service(web::resource("/api/v1/retention").get(retention::list).post(retention::set))
        .service(web::resource("/api/v1/retention/{name}").delete(retention::remove))
        .service(web::resource("/api/v1/webhooks").get(webhooks::list).post(webhooks::set))
        .service(web::resource("/api/v1/webhooks/{name}").delete(webhooks::remove))
        .service(web::resource("/api/v1/webhooks/{name}/test").post(webhooks::test))
        .service(web::resource("/api/v1/deliveries").get(webhooks::deliveries))
        .service(web::resource("/api/v1/deliveries/{id}/again").post(webhooks::again))
        .service(web::resource("/api/v1/starts").post(work::starts))
        .service(web::resource("/api/v1/work").post(work::work))
        .service(web::resource("/api/v1/executions/{id}/forks").get(forks::list))
        .service(web::resource("/api/v1/executions/{id}/continue").post(forks::go_on))
        .service(web::resource("/api/v1/executions/{id}/fork").post(forks::fork))
        .service(web::resource("/api/v1/executions/{id}/retry").post(forks::retry))
        .service(web::resource("/api/v1/executions/{id}/restart").post(forks::restart))
        .service(web::resource("/api/v1/executions/{id}/rerun").post(forks::rerun))
        .service(web::resource("/api/v1/executions/{id}/replay").post(forks::replay))
        .service(web::resource("/api/openapi.json").get(openapi))
        .service(web::resource("/api/queues").get(queues::list))
        .service(web::resource("/api/queues/{name}/pause").post(queues::pause))
        .service(web::resource("/api/queues/{name}/resume").post(queues::resume));
}

/// `GET /api/openapi.json`: every path for programs, and what it takes.
async fn openapi() -> HttpResponse {
    reply_text(include_str!("openapi.json"))
}

#[derive(Serialize)]
struct Reason {
    code: String,
    text: String,
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// `GET /api/executions/{id}/why`: why it is not moving; no reasons when it has ended.
async fn why(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    let db = state.runtime.pool().get().await?;
    let standing = executions::status(&db, id).await?;
    let reasons = executions::why(&db, id).await?.into_iter().map(|r| Reason {
        code: r.code,
        text: r.text,
        since: r.since.map(|t| t.to_string()),
        queue: r.queue,
        hint: r.hint,
    });
    Ok(reply(&json!({
        "executionId": id,
        "status": words::status(standing.status),
        "reasons": reasons.collect::<Vec<_>>(),
    })))
}

#[derive(Serialize)]
struct Timeline {
    #[serde(rename = "executionId")]
    execution_id: ExecutionId,
    events: Vec<Moment>,
    attempts: Vec<Attempt>,
}

#[derive(Serialize)]
struct Moment {
    seq: i32,
    at: String,
    kind: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the number of the attempt, as everywhere")]
struct Attempt {
    id: AttemptId,
    #[serde(rename = "ref")]
    reference: String,
    name: String,
    kind: &'static str,
    turn: u32,
    attempt: i32,
    /// `waiting`, `leased`, or how it ended.
    standing: &'static str,
    /// How it ended; null while it hasn't.
    outcome: Option<&'static str>,
    worker: Option<String>,
    started_at: Option<String>,
    ended_at: Option<String>,
    error: Option<String>,
}

/// `GET /api/executions/{id}/timeline`: what happened, and every try at every task.
async fn timeline(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    let pool = state.runtime.pool();
    let db = pool.get().await?;
    let execution = executions::get(&db, id).await?;
    let (events, attempts) = (events::timeline(&db, id).await?, attempts::of_execution(&db, id).await?);
    drop(db);
    let agent = state.runtime.agent(&execution.agent, execution.version).await?;
    let moment = |m: events::Moment| Moment {
        seq: m.seq,
        at: m.at.to_string(),
        kind: m.kind,
        text: m.text,
        task: m.task,
        attempt: m.attempt,
        worker: m.worker,
        error: m.error,
    };
    let attempt = |a: attempts::Attempt| Attempt {
        id: a.id,
        reference: words::reference(&agent, a.task, a.call_id.as_deref(), &a.name),
        kind: a.task.kind(),
        turn: a.task.turn(),
        attempt: a.number,
        standing: a.standing.name(),
        outcome: a.ended_at.map(|_| a.standing.name()),
        worker: a.worker,
        started_at: a.started_at.map(|t| t.to_string()),
        ended_at: a.ended_at.map(|t| t.to_string()),
        error: a.error,
        name: a.name,
    };
    Ok(reply(&Timeline {
        execution_id: id,
        events: events.into_iter().map(moment).collect(),
        attempts: attempts.into_iter().map(attempt).collect(),
    }))
}
