//! Retry, restart and rerun, as Conductor's clients ask for them.
//!
//! The protocol lets an ended workflow run again under its own id. Here what has ended stays: each of these begins a new
//! execution that is linked with the old one, and answers with the new one's id.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::task::fields;
use super::{who, words};
use crate::id::AttemptId;
use crate::json::Json;
use crate::runtime::fork::{At, Version, Wanted};
use crate::web::body::{Body, plain};
use crate::web::{Problem, State};

/// `POST …/{id}/retry`: go on where it failed.
pub async fn retry(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let wanted = Wanted::new(words::execution_id(&id)?, At::Failure, &who(&request));
    Ok(plain(&state.runtime.fork(wanted).await?.id))
}

/// Query of a restart. Python writes `True` and `False`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latest {
    use_latest_definitions: Option<String>,
}

/// `POST …/{id}/restart`: the same input from the beginning.
pub async fn restart(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
    latest: Query<Latest>,
) -> Result<HttpResponse, Problem> {
    let is_newest = latest.use_latest_definitions.as_deref().is_some_and(|l| l.eq_ignore_ascii_case("true"));
    let wanted = Wanted {
        version: if is_newest { Version::Newest } else { Version::Same },
        ..Wanted::new(words::execution_id(&id)?, At::Start, &who(&request))
    };
    Ok(plain(&state.runtime.fork(wanted).await?.id))
}

/// Body of a rerun.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rerun {
    re_run_from_task_id: Option<AttemptId>,
    workflow_input: Option<Json>,
    task_input: Option<Json>,
    correlation_id: Option<String>,
}

/// `POST …/{id}/rerun`: from a task on, or from the beginning, perhaps with another input.
pub async fn rerun(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
    body: Body<Rerun>,
) -> Result<HttpResponse, Problem> {
    let body = body.0;
    let id = words::execution_id(&id)?;
    let at = body.re_run_from_task_id.map_or(At::Start, At::Attempt);
    let mut input = body.workflow_input.as_ref().map(fields).unwrap_or_default();
    let prompt = input.shift_remove("prompt").map(|p| serde_json::from_str(p.get())).transpose();
    let prompt = prompt.map_err(|e| Problem::new(400, format!("workflowInput.prompt: {e}")))?;
    let context = input.shift_remove("context").map(|c| Json::of(&c));
    if let Some(other) = input.keys().next() {
        let text = format!("workflowInput.{other}: only prompt and context can be other in a rerun");
        return Err(Problem::new(400, text));
    }
    let wanted = Wanted {
        prompt,
        context,
        arguments: body.task_input.filter(|i| !i.is_null()),
        key: body.correlation_id,
        ..Wanted::new(id, at, &who(&request))
    };
    Ok(plain(&state.runtime.fork(wanted).await?.id))
}
