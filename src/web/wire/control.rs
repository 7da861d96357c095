//! What people and programs may do to a run: stop, signal, pause, resume, cancel.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::{Word, words};
use crate::engine::{Event, Status};
use crate::id::ExecutionId;
use crate::runtime;
use crate::web::body::{Body, done};
use crate::web::{Problem, State};

/// Who is asking, for the timeline.
#[must_use]
pub fn who(request: &HttpRequest) -> String {
    request.peer_addr().map_or_else(|| "a client".to_owned(), |peer| format!("a client at {}", peer.ip()))
}

/// Let `event` happen to an execution. What is so already is no conflict: a run that has ended needs no stop.
async fn control(
    state: &State,
    request: &HttpRequest,
    id: ExecutionId,
    event: Event,
    already: impl Fn(Status) -> bool,
) -> Result<HttpResponse, Problem> {
    match state.runtime.control(id, event, &who(request)).await {
        Ok(()) => Ok(done()),
        Err(runtime::Error::Illegal(illegal)) if already(illegal.status) => Ok(done()),
        Err(runtime::Error::Illegal(illegal)) => {
            let (now, event) = (words::status(illegal.status), illegal.event.replace('_', " "));
            Err(Problem::new(409, format!("execution {id} is {now}; it can't be {event}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /api/agent/{id}/stop`: end after the turn that is going on.
pub async fn stop(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    control(&state, &request, id, Event::StopRequested, Status::is_terminal).await
}

/// Body of `POST /api/agent/{id}/signal`.
#[derive(Deserialize)]
pub struct Signal {
    message: Option<String>,
}

/// `POST /api/agent/{id}/signal`: a word for the next turns; an empty one clears it.
pub async fn signal(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
    body: Body<Signal>,
) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    let text = body.0.message.unwrap_or_default();
    control(&state, &request, id, Event::Signalled { text }, |_| false).await
}

/// `PUT …/pause`
pub async fn pause(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    control(&state, &request, id, Event::Paused, |s| s == Status::Paused).await
}

/// `PUT …/resume`
pub async fn resume(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    control(&state, &request, id, Event::Resumed, |s| s == Status::Running).await
}

/// `?reason=`
#[derive(Deserialize)]
pub struct Reason {
    reason: Option<Word>,
}

/// `DELETE /api/agent/{id}/cancel`
pub async fn cancel(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
    why: Query<Reason>,
) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    let given = why.into_inner().reason.map(|w| w.0).filter(|r| !r.trim().is_empty());
    let reason = given.unwrap_or_else(|| "Cancelled by user".to_owned());
    control(&state, &request, id, Event::Cancelled { reason }, |s| s == Status::Terminated).await
}

/// `DELETE /api/workflow/{id}`
pub async fn terminate(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
    why: Query<Reason>,
) -> Result<HttpResponse, Problem> {
    cancel(state, id, request, why).await
}
