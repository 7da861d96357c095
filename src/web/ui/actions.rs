//! What people may do to a run from its page, as plain forms.
//!
//! Another site can't make a browser do it: the form must come from our own page by what the browser says of it, and must
//! carry the token that our cookie carries, too. Nothing is kept here, so any server takes any server's form.

use std::fmt::Write as _;

use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::shown;
use crate::engine::{Event, Status};
use crate::json;
use crate::runtime;
use crate::web::wire::words;
use crate::web::{Problem, State};

const COOKIE: &str = "tenure_form";
/// Longest reason that is taken.
const REASON: usize = 500;

/// The token for this browser's forms, and the `Set-Cookie` that gives it to a browser which has none yet.
pub fn token(headers: &HeaderMap) -> (String, Option<String>) {
    if let Some(token) = cookie(headers).filter(|c| is_token(c)) {
        return (token.to_owned(), None);
    }
    let seed = Sha256::new().chain_update(Uuid::now_v7()).chain_update(Uuid::now_v7()).finalize();
    let token = seed.iter().fold(String::new(), |mut token, byte| {
        let _ = write!(token, "{byte:02x}");
        token
    });
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict");
    (token, Some(cookie))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).filter_map(|v| v.to_str().ok());
    all.flat_map(|v| v.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn is_token(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What a form says.
#[derive(Deserialize)]
pub struct Form {
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
    form: web::Form<Form>,
) -> Result<HttpResponse, Problem> {
    let (id, action) = path.into_inner();
    let id = words::execution_id(&id)?;
    if !is_our_form(request.headers(), &form.token) {
        return Err(Problem::new(
            403,
            "this form did not come from our page, or from one opened long ago; go back, load the page again and repeat",
        ));
    }
    let event = event(&action, &form.reason)?;
    let by = request.peer_addr().map_or_else(|| "a person".to_owned(), |p| format!("a person at {}", p.ip()));
    match state.runtime.control(id, event, &by).await {
        Ok(()) => {}
        Err(runtime::Error::Illegal(now)) if is_so(&action, now.status) => {}
        Err(runtime::Error::Illegal(now)) => {
            let now = shown::status(now.status, None).word.to_lowercase();
            return Err(Problem::new(409, format!("execution {id} is {now}; it can't {action} any more")));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, format!("/execution/{id}"))).finish())
}

fn event(action: &str, reason: &str) -> Result<Event, Problem> {
    let given: String = json::storable_text(reason.trim()).chars().take(REASON).collect();
    let reason = if given.is_empty() { "cancelled by a person".to_owned() } else { given };
    match action {
        "pause" => Ok(Event::Paused),
        "resume" => Ok(Event::Resumed),
        "stop" => Ok(Event::StopRequested),
        "cancel" => Ok(Event::Cancelled { reason }),
        _ => Err(Problem::not_found(format!(
            "there is no action '{action}'; there are pause, resume, stop and cancel"
        ))),
    }
}

/// Whether what was asked for is so already, as after a second click.
fn is_so(action: &str, now: Status) -> bool {
    matches!(
        (action, now),
        ("pause", Status::Paused) | ("resume", Status::Running) | ("cancel", Status::Terminated)
    )
}

fn is_our_form(headers: &HeaderMap, token: &str) -> bool {
    let said = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let is_ours = said("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let is_here = said("origin").is_none_or(|origin| {
        origin
            .split_once("://")
            .is_some_and(|(_, origin)| said("host").is_some_and(|host| host.eq_ignore_ascii_case(origin)))
    });
    let is_same =
        cookie(headers).is_some_and(|c| is_token(c) && bool::from(c.as_bytes().ct_eq(token.as_bytes())));
    is_ours && is_here && is_same
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn ours(headers: &[(&'static str, &str)], token: &str) -> bool {
        let value = |v: &str| HeaderValue::from_str(v).unwrap();
        let headers = headers.iter().map(|(n, v)| (HeaderName::from_static(n), value(v)));
        is_our_form(&headers.collect(), token)
    }

    #[test]
    fn a_form_must_come_from_our_page_with_its_token() {
        let (token, other) = ("a".repeat(64), "b".repeat(64));
        let (cookie, wrong) = (format!("x=1; tenure_form={token}"), format!("tenure_form={other}"));
        let here = ("host", "localhost:6767");
        let same = [here, ("origin", "http://localhost:6767"), ("sec-fetch-site", "same-origin")];
        assert!(ours(&[same[0], same[1], same[2], ("cookie", &cookie)], &token));
        assert!(ours(&[here, ("cookie", &cookie)], &token), "a browser that says nothing has the token only");
        assert!(!ours(&same, &token));
        assert!(!ours(&[same[0], same[1], same[2], ("cookie", &wrong)], &token));
        assert!(!ours(&[same[0], same[1], same[2], ("cookie", "tenure_form=")], ""));
        for (name, value) in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!ours(&[here, ("cookie", &cookie), (name, value)], &token), "{name}: {value}");
        }
    }

    #[test]
    fn a_browser_keeps_its_token() {
        let (token, cookie) = super::token(&HeaderMap::new());
        let mut headers = HeaderMap::new();
        let sent = cookie.unwrap().split(';').next().unwrap().to_owned();
        headers.insert(header::COOKIE, HeaderValue::from_str(&sent).unwrap());
        assert_eq!(super::token(&headers), (token.clone(), None));
        assert!(ours(&[("cookie", &sent)], &token));
    }

    #[test]
    fn only_known_actions_act() {
        assert_eq!(event("pause", "").unwrap(), Event::Paused);
        assert!(matches!(event("cancel", " why ").unwrap(), Event::Cancelled { reason } if reason == "why"));
        assert!(event("delete", "").is_err());
    }
}
