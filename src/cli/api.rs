//! The server as the commands see it: JSON in, JSON or a [`Failure`] with the next step out.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

use super::{
    failure::{Exit, Failure},
    text,
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

impl std::str::FromStr for ServerUrl {
    type Err = String;

    /// Reads `http://host:port`, with or without the scheme, a `/` or `/api` at its end.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("{text:?} is not a server address ({why}); write it like http://localhost:6767")
        };
        let text = text.trim();
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&with_scheme).map_err(|error| wrong(&error.to_string()))?;
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/api").unwrap_or(path).to_owned();
        url.set_path(&path);
        match (url.scheme(), url.host_str()) {
            ("http" | "https", Some(host)) if !host.is_empty() => Ok(Self(url)),
            _ => Err(wrong("it needs http:// or https:// and a host")),
        }
    }
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// A key that never shows up in logs or `--help`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for ApiKey {
    fn from(key: String) -> Self {
        Self(key)
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Api {
    /// Its address.
    pub server: ServerUrl,
    key: Option<ApiKey>,
    http: Client,
}

impl Api {
    /// A client of `server`.
    ///
    /// # Errors
    ///
    /// The HTTP client can't be set up, such as with unreadable system certificates.
    pub fn new(server: ServerUrl, key: Option<ApiKey>) -> Result<Self, Failure> {
        let http = crate::worker::http_client(&server.0)
            .map_err(|error| Failure::new(Exit::Failed, "could not set up the HTTP client").because(error))?;
        Ok(Self { server, key, http })
    }

    /// The address of a page or endpoint. Each segment stays one, whatever is in it.
    #[must_use]
    pub fn url(&self, path: &[&str]) -> Url {
        let mut url = self.server.0.clone();
        url.path_segments_mut().expect("http URLs have a path").pop_if_empty().extend(path);
        url
    }

    /// A request with the key, without a time limit.
    pub fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let request = self.http.request(method, self.url(path));
        match &self.key {
            Some(key) => request.bearer_auth(key.expose()).header("X-Authorization", key.expose()),
            None => request,
        }
    }

    /// `GET` a JSON document.
    ///
    /// # Errors
    ///
    /// No server, or the server says no.
    pub async fn get(&self, path: &[&str]) -> Result<Value, Failure> {
        self.json(self.request(Method::GET, path)).await
    }

    /// `POST` a JSON document and read the answer.
    ///
    /// # Errors
    ///
    /// No server, or the server says no.
    pub async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// Send a request and read the answer as JSON; an empty one is `null`.
    ///
    /// # Errors
    ///
    /// No server, or the server says no, or it isn't JSON.
    pub async fn json(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = self.send(request.timeout(ANSWER)).await?;
        let body = response.bytes().await.map_err(|error| self.no_answer(&error))?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| {
            Failure::new(Exit::Failed, format!("{} did not answer in JSON", self.server))
                .because(error)
                .next("is that a Tenure server? Name another with --server URL")
        })
    }

    /// Send a request; the answer is a success.
    ///
    /// # Errors
    ///
    /// No server, or the server says no.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.no_answer(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        Err(refusal(status, &String::from_utf8_lossy(&body)))
    }

    fn no_answer(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() && !error.is_connect() {
            return Failure::new(Exit::TimedOut, format!("{} did not answer in time", self.server))
                .next("tenure doctor");
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Failure::new(Exit::NoServer, format!("no server answers at {}", self.server))
            .because(cause)
            .next("start one with `tenure serve`, or name another with --server URL")
    }
}

/// What the server said, as a failure of the command.
fn refusal(status: StatusCode, body: &str) -> Failure {
    let said = serde_json::from_str::<Value>(body).ok();
    let said = said.as_ref().and_then(|json| json["message"].as_str().or_else(|| json["error"].as_str()));
    let said = text::line(said.unwrap_or(body), 500);
    match status {
        StatusCode::NOT_FOUND if said.is_empty() => Failure::new(Exit::NotFound, "not found"),
        StatusCode::NOT_FOUND => Failure::new(Exit::NotFound, said),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Failure::new(Exit::Refused, "the server wants another API key")
                .because(said)
                .next("give it with --api-key or in TENURE_API_KEY")
        }
        status if status.is_client_error() => {
            Failure::new(Exit::Refused, format!("the server refused ({status})")).because(said)
        }
        status => Failure::new(Exit::Failed, format!("the server failed ({status})"))
            .because(said)
            .next("tenure doctor"),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::{Exit, ServerUrl, refusal};

    #[test]
    fn a_server_is_named_with_or_without_scheme_slash_and_api() {
        for text in [
            "localhost:6767",
            "http://localhost:6767",
            "http://localhost:6767/",
            "http://localhost:6767/api/",
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().to_string(), "http://localhost:6767", "{text}");
        }
        assert_eq!("https://h/tenure/api".parse::<ServerUrl>().unwrap().to_string(), "https://h/tenure");
    }

    #[test]
    fn a_server_that_can_not_be_one_is_refused_with_an_example() {
        for text in ["", "http://", "ftp://h", "http://h:99999", "h:port"] {
            let error = text.parse::<ServerUrl>().unwrap_err();
            assert!(error.contains("http://localhost:6767"), "{error}");
        }
    }

    #[test]
    fn each_refusal_has_its_exit_code_and_the_servers_words() {
        let exit = |status: u16, body: &str| refusal(StatusCode::from_u16(status).unwrap(), body);
        assert_eq!(exit(404, r#"{"status":404,"message":"no execution x"}"#).what, "no execution x");
        assert_eq!(exit(404, "").exit, Exit::NotFound);
        assert_eq!(exit(401, r#"{"error":"INVALID_TOKEN"}"#).exit, Exit::Refused);
        let refused = exit(400, r#"{"error":"no task waits\u001b[2J","status":400}"#);
        assert_eq!((refused.exit, refused.why.as_deref()), (Exit::Refused, Some("no task waits[2J")));
        assert_eq!(exit(500, "oops").exit, Exit::Failed);
    }
}
