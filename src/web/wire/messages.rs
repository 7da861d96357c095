//! Messages that programs send into a run.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

use super::{who, words};
use crate::json::Json;
use crate::runtime::Pushed;
use crate::store::inbox::MAX_MESSAGES;
use crate::web::body::{Body, plain};
use crate::web::{Problem, State};

/// `POST /api/workflow/{id}/messages`: 200 with the message's id as text.
pub async fn push(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
    body: Body<Json>,
) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    if !body.0.text().starts_with('{') {
        return Err(Problem::new(400, "a message must be a JSON object"));
    }
    match state.runtime.message(id, body.0, &who(&request)).await? {
        Pushed::Taken(message) => Ok(plain(&message)),
        Pushed::Full => Err(Problem::new(
            429,
            format!("execution {id} holds {MAX_MESSAGES} unread messages; send again when it has read some"),
        )),
    }
}
