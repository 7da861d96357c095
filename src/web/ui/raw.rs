//! An execution as JSON, whole: what its page shows and what the page cuts.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde::Serialize;

use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;
use crate::store::read::{attempts, events, executions};
use crate::web::body::reply;
use crate::web::wire::words;
use crate::web::{Problem, State};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    execution_id: ExecutionId,
    agent: String,
    version: i32,
    status: &'static str,
    reason: Option<String>,
    started_at: String,
    ended_at: Option<String>,
    session_id: Option<String>,
    idempotency_key: Option<String>,
    prompt_tokens: i64,
    completion_tokens: i64,
    input: Json,
    output: Option<Json>,
    context: Json,
    reasons: Vec<Reason>,
    attempts: Vec<Attempt>,
    events: Vec<Event>,
}

#[derive(Serialize)]
struct Reason {
    code: String,
    text: String,
    hint: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the number of the attempt, as everywhere")]
struct Attempt {
    id: AttemptId,
    kind: &'static str,
    turn: u32,
    call: u16,
    attempt: i32,
    name: String,
    status: &'static str,
    worker: Option<String>,
    created_at: String,
    started_at: Option<String>,
    ended_at: Option<String>,
    error: Option<String>,
    input: Json,
    output: Option<Json>,
}

#[derive(Serialize)]
struct Event {
    seq: i32,
    at: String,
    kind: String,
    text: String,
    error: Option<String>,
}

/// `GET /execution/{id}.json`
pub async fn execution(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    let db = state.runtime.pool().get().await?;
    let execution = executions::get(&db, id).await?;
    let usage = executions::usage(&db, id).await?;
    let reasons = executions::why(&db, id).await?;
    let attempts = attempts::of_execution(&db, id).await?;
    let events = events::timeline(&db, id).await?;
    drop(db);
    Ok(reply(&Whole {
        execution_id: id,
        agent: execution.agent,
        version: execution.version,
        status: execution.status.name(),
        reason: execution.reason,
        started_at: execution.created_at.to_string(),
        ended_at: execution.ended_at.map(|t| t.to_string()),
        session_id: execution.session_id,
        idempotency_key: execution.start_key,
        prompt_tokens: usage.prompt,
        completion_tokens: usage.completion,
        input: execution.input,
        output: execution.output,
        context: execution.context,
        reasons: reasons.into_iter().map(|r| Reason { code: r.code, text: r.text, hint: r.hint }).collect(),
        attempts: attempts.into_iter().map(attempt).collect(),
        events: events.into_iter().map(event).collect(),
    }))
}

fn attempt(a: attempts::Attempt) -> Attempt {
    Attempt {
        id: a.id,
        kind: a.task.kind(),
        turn: a.task.turn(),
        call: a.task.call(),
        attempt: a.number,
        name: a.name,
        status: a.standing.name(),
        worker: a.worker,
        created_at: a.created_at.to_string(),
        started_at: a.started_at.map(|t| t.to_string()),
        ended_at: a.ended_at.map(|t| t.to_string()),
        error: a.error,
        input: a.input,
        output: a.output,
    }
}

fn event(m: events::Moment) -> Event {
    Event { seq: m.seq, at: m.at.to_string(), kind: m.kind, text: m.text, error: m.error }
}
