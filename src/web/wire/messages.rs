//! Messages that programs send into a run.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};

use super::words;
use crate::json::Json;
use crate::store::inbox::{self, MAX_MESSAGES, Pushed};
use crate::web::body::{Body, plain};
use crate::web::{Problem, State};

/// `POST /api/workflow/{id}/messages`: 200 with the message's id as text.
pub async fn push(state: Data<State>, id: Path<String>, body: Body<Json>) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    if !body.0.text().starts_with('{') {
        return Err(Problem::new(400, "a message must be a JSON object"));
    }
    match inbox::push(&state.runtime.pool().get().await?, id, &body.0).await? {
        Pushed::Taken(message) => Ok(plain(&message)),
        Pushed::Ended => Err(Problem::new(409, format!("execution {id} has ended and takes no messages"))),
        Pushed::Full => Err(Problem::new(
            429,
            format!("execution {id} holds {MAX_MESSAGES} unread messages; send again when it has read some"),
        )),
    }
}
