//! Forms that only our own pages can send.
//!
//! Another site can't make a browser do anything: a form must come from our own page by what the browser says of it, and
//! must carry the token that our cookie carries, too. Nothing is kept here, so any server takes any server's form.

use std::fmt::Write as _;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::json;
use crate::web::Problem;
use crate::web::ui::shown;

const COOKIE: &str = "tenure_form";
/// Longest reason that is taken, in characters.
const REASON: usize = 500;

/// The token for this browser's forms, and the `Set-Cookie` that gives it to a browser which has none yet.
pub fn token(headers: &HeaderMap) -> (String, Option<String>) {
    if let Some(token) = cookie(headers, COOKIE).filter(|c| is_token(c)) {
        return (token.to_owned(), None);
    }
    let seed = Sha256::new().chain_update(Uuid::now_v7()).chain_update(Uuid::now_v7()).finalize();
    let token = seed.iter().fold(String::new(), |mut token, byte| {
        let _ = write!(token, "{byte:02x}");
        token
    });
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax");
    (token, Some(cookie))
}

/// The value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).filter_map(|v| v.to_str().ok());
    all.flat_map(|v| v.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

fn is_token(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Who sent this form, in words; a 403 when it did not come from our own page.
pub fn sender(request: &HttpRequest, token: &str) -> Result<String, Problem> {
    if !is_ours(request.headers(), token) {
        return Err(Problem::new(
            403,
            "this form did not come from our page, or from one opened long ago; go back, load the page again and repeat",
        ));
    }
    Ok(request.peer_addr().map_or_else(|| "a person".to_owned(), |p| format!("a person at {}", p.ip())))
}

/// A reason as somebody typed it, storable and of bounded length; empty when none was given.
pub fn reason(typed: &str) -> String {
    json::storable_text(typed.trim()).chars().take(REASON).collect()
}

/// What came of what a form says: done, or the reason why not, as a sentence to show with the form. What is no fault of the
/// form stays an error.
pub fn obeyed<T>(outcome: Result<T, Problem>) -> Result<Result<T, String>, Problem> {
    match outcome {
        Ok(done) => Ok(Ok(done)),
        Err(problem) if problem.status() < 500 => {
            Ok(Err(shown::sentence(&shown::text(&problem.to_string()))))
        }
        Err(problem) => Err(problem),
    }
}

/// Go on at `address` after a form did its work.
pub fn see(address: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, address)).finish()
}

/// `address` when it is a page of ours, else the list of executions.
pub fn local(address: &str) -> &str {
    let is_local = address.starts_with('/')
        && !address.starts_with("//")
        && address.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_local { address } else { "/executions" }
}

fn is_ours(headers: &HeaderMap, token: &str) -> bool {
    let said = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let is_ours = said("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let is_here = said("origin").is_none_or(|origin| {
        origin
            .split_once("://")
            .is_some_and(|(_, origin)| said("host").is_some_and(|host| host.eq_ignore_ascii_case(origin)))
    });
    let is_same = cookie(headers, COOKIE)
        .is_some_and(|c| is_token(c) && bool::from(c.as_bytes().ct_eq(token.as_bytes())));
    is_ours && is_here && is_same
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn ours(headers: &[(&'static str, &str)], token: &str) -> bool {
        let value = |v: &str| HeaderValue::from_str(v).unwrap();
        let headers = headers.iter().map(|(n, v)| (HeaderName::from_static(n), value(v)));
        is_ours(&headers.collect(), token)
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
    fn a_form_leads_to_our_own_pages_only() {
        assert_eq!(local("/queues?queue=a"), "/queues?queue=a");
        for elsewhere in
            ["//evil.example", "http://evil.example", "/\\evil.example", "/a\r\nset-cookie: x=1", ""]
        {
            assert_eq!(local(elsewhere), "/executions", "{elsewhere:?}");
        }
    }
}
