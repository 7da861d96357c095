//! Bulk jobs: one action on every run that a filter matches.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::queues::{NAME, REASON, typed};
use crate::id::BulkId;
use crate::runtime::bulk::{Action, Wanted};
use crate::store::bulk::{self, Job};
use crate::store::read::list::query;
use crate::web::body::{Body, reply};
use crate::web::wire::who;
use crate::web::{Problem, State};

/// Jobs that are listed.
const SHOWN: i64 = 100;
/// Runs a second, when nothing is said.
pub const RATE: u16 = 100;

/// For how long after their end runs are kept, as it is written.
pub fn kept(keep_secs: f64) -> String {
    query::span(SignedDuration::try_from_secs_f64(keep_secs).unwrap_or_default())
}

/// For how many seconds after their end runs are to be kept.
pub fn keep(text: &str) -> Result<f64, Problem> {
    let keep = query::duration(text.trim()).filter(|_| !text.trim().is_empty());
    keep.map(|keep| keep.as_secs_f64()).ok_or_else(|| {
        let text = typed(Some(text), NAME).unwrap_or_default();
        Problem::new(400, format!("keep: '{text}' is no time; write 30d, 12h or 0s, at most a hundred years"))
    })
}

fn row(job: &Job) -> Value {
    json!({
        "id": job.id, "action": job.order.action, "filter": job.order.filter, "reason": job.order.reason, "by": job.order.by, "rate": job.order.rate,
        "state": job.state, "expected": job.expected, "matched": job.matched, "done": job.done, "skipped": job.skipped,
        "failed": job.failed, "note": job.note, "server": job.server, "startedAt": job.created_at.to_string(),
        "updatedAt": job.updated_at.to_string(), "endedAt": job.ended_at.map(|at| at.to_string()),
        "endedBy": job.ended_by, "why": job.why, "keep": kept(job.order.keep_secs), "export": job.order.export,
        "policy": job.order.policy,
    })
}

/// Body of `POST /api/v1/bulk`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wish {
    action: String,
    filter: String,
    reason: Option<String>,
    rate: Option<u16>,
    by: Option<String>,
    idempotency_key: Option<String>,
    /// To delete: only what ended so long ago.
    keep: Option<String>,
    /// To delete: write each run to a file before.
    #[serde(default)]
    export: bool,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
}

/// The action of a name.
pub fn action(name: &str) -> Result<Action, Problem> {
    let names = Action::ALL.map(Action::name).join(", ");
    Action::named(name)
        .ok_or_else(|| Problem::new(400, format!("action: there is no '{name}'; there are {names}")))
}

/// `POST /api/v1/bulk`: begin one, or count what it would come to.
pub async fn start(
    state: Data<State>,
    request: HttpRequest,
    wish: Body<Wish>,
) -> Result<HttpResponse, Problem> {
    let wish = wish.0;
    let action = action(&wish.action)?;
    let keep_secs = wish.keep.as_deref().map_or(Ok(0.0), keep)?;
    if wish.dry_run {
        let count = state.runtime.count_bulk(&wish.filter, keep_secs).await?;
        let counted = json!({ "action": action.name(), "expected": count.found, "hasMore": count.has_more });
        return Ok(reply(&counted));
    }
    let by = typed(wish.by.as_deref(), NAME).unwrap_or_else(|| who(&request));
    let reason = typed(wish.reason.as_deref(), REASON).unwrap_or_default();
    let rate = wish.rate.unwrap_or(RATE);
    let key = typed(wish.idempotency_key.as_deref(), REASON);
    let wanted = Wanted {
        action,
        filter: wish.filter,
        reason,
        rate,
        by,
        key,
        keep_secs,
        export: wish.export,
        policy: None,
    };
    let id = state.runtime.start_bulk(&wanted).await?;
    Ok(reply(&row(&bulk::get(&state.runtime.pool().get().await?, id).await?)))
}

/// `GET /api/v1/bulk`: the newest ones.
pub async fn list(state: Data<State>) -> Result<HttpResponse, Problem> {
    let all = bulk::list(&state.runtime.pool().get().await?, SHOWN).await?;
    Ok(reply(&json!({ "jobs": all.iter().map(row).collect::<Vec<_>>() })))
}

/// The id of a job.
pub fn job_id(text: &str) -> Result<BulkId, Problem> {
    text.parse().map_err(|_| {
        Problem::not_found(format!("no bulk job with id '{}'", typed(Some(text), NAME).unwrap_or_default()))
    })
}

/// `GET /api/v1/bulk/{id}`: one of them.
pub async fn get(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let id = job_id(&id)?;
    Ok(reply(&row(&bulk::get(&state.runtime.pool().get().await?, id).await?)))
}

/// Query of a cancel.
#[derive(Deserialize)]
pub struct By {
    by: Option<String>,
}

/// `POST /api/v1/bulk/{id}/cancel`: begin nothing more; what is done stays done.
pub async fn cancel(
    state: Data<State>,
    id: Path<String>,
    by: Query<By>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = job_id(&id)?;
    let by = typed(by.by.as_deref(), NAME).unwrap_or_else(|| who(&request));
    let db = state.runtime.pool().get().await?;
    let is_cancelled = bulk::cancel(&db, id, &by).await?;
    let job = bulk::get(&db, id).await?;
    let mut answer = row(&job);
    answer["changed"] = json!(is_cancelled);
    Ok(reply(&answer))
}
