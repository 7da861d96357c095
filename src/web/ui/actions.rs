//! What people may do to a run from its page, as plain forms.

use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::kit::form;
use super::shown;
use crate::engine::{Event, Status};
use crate::runtime::{self, bulk::Action};
use crate::web::wire::words;
use crate::web::{Problem, State};

/// What a form says.
#[derive(Deserialize)]
pub struct Sent {
    #[serde(default)]
    token: String,
    #[serde(default)]
    reason: String,
}

/// `POST /execution/{id}/{action}`: let something happen to an execution, then show it.
pub async fn act(
    state: Data<State>,
    path: Path<(String, String)>,
    request: HttpRequest,
    sent: web::Form<Sent>,
) -> Result<HttpResponse, Problem> {
    let (id, action) = path.into_inner();
    let id = words::execution_id(&id)?;
    let by = form::sender(&request, &sent.token)?;
    let event = event(&action, &sent.reason)?;
    match state.runtime.control(id, event, &by).await {
        Ok(()) => {}
        Err(runtime::Error::Illegal(now)) if is_so(&action, now.status) => {}
        Err(runtime::Error::Illegal(now)) => {
            let now = shown::status(now.status, None).word.to_lowercase();
            return Err(Problem::new(409, format!("execution {id} is {now}; it can't {action} any more")));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(form::see(&format!("/execution/{id}")))
}

/// What an action means.
///
/// # Errors
///
/// 404 when there is no such action.
pub fn event(action: &str, reason: &str) -> Result<Event, Problem> {
    let given = form::reason(reason);
    let reason = if given.is_empty() { "cancelled by a person".to_owned() } else { given };
    Action::named(action).and_then(|action| action.event(&reason)).ok_or_else(|| {
        Problem::not_found(format!("there is no action '{action}'; there are pause, resume, stop and cancel"))
    })
}

/// Whether what was asked for is so already, as after a second click.
pub fn is_so(action: &str, now: Status) -> bool {
    matches!(
        (action, now),
        ("pause", Status::Paused) | ("resume", Status::Running) | ("cancel", Status::Terminated)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_actions_act() {
        assert_eq!(event("pause", "").unwrap(), Event::Paused);
        assert!(matches!(event("cancel", " why ").unwrap(), Event::Cancelled { reason } if reason == "why"));
        assert!(event("delete", "").is_err());
    }
}
