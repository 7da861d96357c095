//! The form that sends a message into a run.

use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use crate::json::{self, Json};
use crate::runtime::Pushed;
use crate::web::ui::kit::form;
use crate::web::wire::words;
use crate::web::{Problem, State};

/// What the form says.
#[derive(Deserialize)]
pub struct Sent {
    token: String,
    #[serde(default)]
    message: String,
}

/// `POST /execution/{id}/message`: a JSON object as it is, anything else as `{"message": …}`.
pub async fn send(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
    sent: web::Form<Sent>,
) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    let by = form::sender(&request, &sent.token)?;
    if sent.message.trim().is_empty() {
        return Err(Problem::new(400, "the message is empty; go back and write one"));
    }
    match state.runtime.message(id, payload(sent.message.trim()), &by).await? {
        Pushed::Taken(_) => Ok(form::see(&format!("/execution/{id}"))),
        Pushed::Full => {
            Err(Problem::new(429, "this run holds as many unread messages as it may; try again later"))
        }
    }
}

fn payload(typed: &str) -> Json {
    let object = json::storable(typed.as_bytes())
        .ok()
        .filter(|text| text.starts_with('{'))
        .and_then(|text| Json::from_text(text.into_owned()).ok());
    object.unwrap_or_else(|| Json::of(&json!({ "message": json::storable_text(typed) })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_sent_as_it_is_and_words_as_a_message() {
        assert_eq!(payload(r#"{"n": 1e2}"#).text(), r#"{"n": 1e2}"#);
        assert_eq!(payload("go {on}").text(), r#"{"message":"go {on}"}"#);
        assert_eq!(payload("{broken").text(), r#"{"message":"{broken"}"#);
    }
}
