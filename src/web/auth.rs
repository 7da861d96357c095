//! Who is asking: with an API key set, whoever has it; the outermost layer.
//!
//! The protocol's clients send a key in five different ways. Conductor's clients change it for a token first; ours is
//! derived from the key, so every server accepts it, also after a restart, and nothing is kept.

use std::fmt::Write as _;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::body::{Body, reply};
use super::{Problem, State};

/// A secret that opens the server, and the token that is derived from it.
#[derive(Clone)]
pub struct ApiKey {
    key: String,
    token: String,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl ApiKey {
    /// From the configured key.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        let key = key.into();
        let digest = Sha256::new().chain_update(b"tenure token\0").chain_update(&key).finalize();
        let token = digest.iter().fold(String::from("tenure_"), |mut token, byte| {
            let _ = write!(token, "{byte:02x}");
            token
        });
        Self { key, token }
    }

    /// Whether `given` is the key or its token. Takes the same time whatever is wrong with it.
    #[must_use]
    pub fn opens(&self, given: &str) -> bool {
        let same = |secret: &str| {
            Sha256::digest(secret.as_bytes()).as_slice().ct_eq(Sha256::digest(given.as_bytes()).as_slice())
        };
        (same(&self.key) | same(&self.token)).into()
    }

    /// Whether any of a request's credentials opens.
    fn admits(&self, headers: &HeaderMap) -> bool {
        credentials(headers).iter().any(|given| self.opens(given))
    }
}

/// Everything in the headers that may be a key or a token.
fn credentials(headers: &HeaderMap) -> Vec<String> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut found: Vec<_> = ["x-authorization", "x-api-key", "x-auth-key", "x-auth-secret"]
        .into_iter()
        .filter_map(text)
        .collect();
    if let Some((scheme, rest)) = text("authorization").as_deref().and_then(|v| v.split_once(' ')) {
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => found.push(rest.trim().to_owned()),
            "basic" => found.extend(password(rest.trim())),
            _ => {}
        }
    }
    found
}

/// The password of a `Basic` credential: what browsers ask people for.
fn password(basic: &str) -> Option<String> {
    let decoded = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

/// Paths that answer without credentials: probes, and where credentials are changed for a token.
#[must_use]
pub fn is_open(path: &str) -> bool {
    matches!(path, "/api/health" | "/api/token")
        || ["/health", "/actuator/health"]
            .iter()
            .any(|p| path.strip_prefix(p).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Let in whoever has the key; everybody when there is none.
pub async fn require(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let key = request.app_data::<Data<State>>().and_then(|s| s.config.api_key.clone());
    if key.is_none_or(|key| is_open(request.path()) || key.admits(request.headers())) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let answer = unauthorized(request.headers());
    Ok(request.into_response(answer))
}

fn unauthorized(headers: &HeaderMap) -> HttpResponse {
    // Conductor's clients read the code and fetch a new token; people read the message.
    let error = if headers.contains_key("x-authorization") {
        "INVALID_TOKEN"
    } else if credentials(headers).is_empty() {
        "Authentication required"
    } else {
        "Invalid API key"
    };
    HttpResponse::Unauthorized()
        .insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"tenure\", charset=\"UTF-8\""))
        .json(json!({ "error": error, "status": 401,
            "message": "send the server's API key, as in 'Authorization: Bearer <key>'" }))
}

/// Body of `POST /api/token`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    key_id: Option<String>,
    key_secret: Option<String>,
}

/// `POST /api/token`: a token for a key. Without authentication everybody gets one.
pub async fn token(state: Data<State>, body: Body<Credentials>) -> Result<HttpResponse, Problem> {
    let Some(key) = &state.config.api_key else {
        return Ok(reply(&json!({ "token": "anonymous" })));
    };
    let given = [body.0.key_id, body.0.key_secret];
    if given.iter().flatten().any(|given| key.opens(given)) {
        return Ok(reply(&json!({ "token": key.token })));
    }
    Ok(HttpResponse::Unauthorized().json(json!({ "error": "INVALID_TOKEN", "status": 401,
        "message": "neither keyId nor keySecret is this server's API key" })))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn a_key_opens_however_a_client_sends_it() {
        let key = ApiKey::new("sesame");
        for (name, value) in [
            ("x-authorization", "sesame"),
            ("authorization", "Bearer sesame"),
            ("authorization", "basic YWRhOnNlc2FtZQ=="),
            ("x-api-key", "sesame"),
            ("x-auth-key", "sesame"),
            ("x-auth-secret", "sesame"),
        ] {
            assert!(key.admits(&headers(name, value)), "{name}: {value}");
        }
        for (name, value) in [
            ("x-authorization", "sesam"),
            ("authorization", "Bearer "),
            ("authorization", "sesame"),
            ("authorization", "Basic c2VzYW1lOg=="),
            ("authorization", "Basic %%%"),
            ("cookie", "sesame"),
        ] {
            assert!(!key.admits(&headers(name, value)), "{name}: {value}");
        }
    }

    #[test]
    fn the_token_of_a_key_opens_and_of_another_key_does_not() {
        let (key, other) = (ApiKey::new("a"), ApiKey::new("b"));
        assert!(key.opens(&key.token) && !key.opens(&other.token));
        assert_eq!(format!("{key:?}"), "[secret]");
    }

    #[test]
    fn only_probes_and_the_token_need_no_key() {
        assert!(
            is_open("/health")
                && is_open("/health/live")
                && is_open("/actuator/health")
                && is_open("/api/token")
        );
        assert!(
            !is_open("/healthy")
                && !is_open("/api/agent/list")
                && !is_open("/")
                && !is_open("/actuator/prometheus")
        );
    }
}
