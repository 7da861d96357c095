//! The five requests that a worker makes, and which of their failures pass by themselves.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::{
    Error,
    input::{Fields, Task},
    tool::Tool,
};

/// How long a poll waits at the server for work. Short, because a poll is never cut off (an attempt may be on its
/// way), so this is also how long an idle worker takes to stop.
const POLL: Duration = Duration::from_secs(1);
/// How long any answer may take beyond that.
const ANSWER: Duration = Duration::from_secs(15);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);

/// The server as a worker session sees it.
#[derive(Debug)]
pub(super) struct Server {
    http: Client,
    api: Url,
    key: Option<String>,
    /// This session's name.
    pub session: String,
}

/// A request that brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No answer, or not one that can be read.
    #[error("no answer: {}", causes(.0))]
    Unreachable(#[from] reqwest::Error),
    /// An answer that says no.
    #[error("{status}: {text}")]
    Refused { status: StatusCode, text: String },
}

impl Failure {
    /// True when the same request may succeed later without anybody changing it.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable(error) => !error.is_builder(),
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::TOO_MANY_REQUESTS
                            | StatusCode::REQUEST_TIMEOUT
                            | StatusCode::UNAUTHORIZED
                            | StatusCode::FORBIDDEN
                    )
            }
        }
    }

    /// True when there was no server at all, so that nothing is gained by a long pause.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

/// What the server says of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    Held,
    Lost,
}

/// A result on its way to the server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report<'a> {
    pub workflow_instance_id: &'a str,
    pub task_id: &'a str,
    pub worker_id: &'a str,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub output_data: Fields,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_for_incompletion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_after_seconds: Option<u32>,
}

impl Server {
    pub fn new(address: &str, key: Option<String>, session: String) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Address { url: address.into(), reason };
        let root = address.trim_end_matches('/');
        let root = root.strip_suffix("/api").unwrap_or(root);
        let api = Url::parse(&format!("{root}/api/")).map_err(|error| invalid(error.to_string()))?;
        if !matches!(api.scheme(), "http" | "https") {
            return Err(invalid("it needs http:// or https://".into()));
        }
        Ok(Self { http: http_client(&api)?, api, key, session })
    }

    /// Make the tool's lease and retry policy known. Values besides the lease are what the SDKs send.
    pub async fn register(&self, tool: &Tool) -> Result<(), Failure> {
        let definition = json!({
            "name": tool.name, "responseTimeoutSeconds": tool.lease_secs(), "timeoutSeconds": 0,
            "timeoutPolicy": "RETRY", "retryCount": 2, "retryLogic": "LINEAR_BACKOFF", "retryDelaySeconds": 2,
            "enforceSchema": false,
        });
        answer(self.request(Method::PUT, &["metadata", "taskdefs"]).json(&definition)).await.map(drop)
    }

    /// At most `count` attempts, as soon as there is one, else none after about a second.
    pub async fn poll(&self, tool: &Tool, count: usize) -> Result<Vec<Task>, Failure> {
        let request = self
            .request(Method::GET, &["tasks", "poll", "batch", &tool.name])
            .timeout(POLL + ANSWER)
            .query(&[("workerid", self.session.as_str())])
            .query(&[("count", count), ("timeout", POLL.as_millis().try_into().unwrap_or(usize::MAX))])
            .query(&tool.domain.as_deref().map(|domain| [("domain", domain)]));
        let body = answer(request).await?;
        Ok(serde_json::from_slice::<Vec<Box<RawValue>>>(&body)
            .unwrap_or_default()
            .iter()
            .filter_map(|task| readable(task))
            .collect())
    }

    /// Hand in a result. With `more`, the server may answer with the next attempt of the same queue.
    pub async fn report(&self, report: &Report<'_>, more: bool) -> Result<Option<Task>, Failure> {
        let path: &[&str] = if more { &["tasks", "update-v2"] } else { &["tasks"] };
        let body = answer(self.request(Method::POST, path).json(report)).await?;
        Ok(if more {
            serde_json::from_slice::<Box<RawValue>>(&body).ok().and_then(|task| readable(&task))
        } else {
            None
        })
    }

    /// Extend the lease, and ask whether it is still ours: the extension itself is answered alike in both cases.
    pub async fn extend(&self, task: &Task) -> Result<Lease, Failure> {
        let sign_of_life = json!({
            "workflowInstanceId": task.execution_id, "taskId": task.attempt_id,
            "status": "IN_PROGRESS", "extendLease": true,
        });
        answer(self.request(Method::POST, &["tasks"]).json(&sign_of_life)).await?;
        let body = answer(self.request(Method::GET, &["tasks", &task.attempt_id])).await?;
        Ok(self.lease_of(&body))
    }

    fn lease_of(&self, body: &[u8]) -> Lease {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Holder {
            status: String,
            worker_id: Option<String>,
        }
        match serde_json::from_slice::<Holder>(body) {
            Ok(now) if now.status != "IN_PROGRESS" => Lease::Lost,
            Ok(now) if now.worker_id.as_ref().is_some_and(|holder| *holder != self.session) => Lease::Lost,
            _ => Lease::Held,
        }
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.api.clone();
        url.path_segments_mut().expect("http URLs have a path").pop_if_empty().extend(path);
        let request = self.http.request(method, url).timeout(ANSWER);
        match &self.key {
            Some(key) => request.bearer_auth(key).header("X-Authorization", key),
            None => request,
        }
    }
}

/// An attempt that can't be read has no id to report under; its lease brings it back for somebody newer.
fn readable(task: &RawValue) -> Option<Task> {
    serde_json::from_str(task.get())
        .inspect_err(
            |error| tracing::error!(%error, "the server sent an attempt that this worker can't read"),
        )
        .ok()
}

async fn answer(request: RequestBuilder) -> Result<Vec<u8>, Failure> {
    let response = request.send().await?;
    let status = response.status();
    let body = response.bytes().await?;
    if status.is_success() {
        return Ok(body.into());
    }
    let text = String::from_utf8_lossy(&body).chars().take(500).collect();
    Err(Failure::Refused { status, text })
}

/// An HTTP client for `url`. Proxies from the environment count, except towards this machine itself.
pub(crate) fn http_client(url: &Url) -> Result<Client, reqwest::Error> {
    let builder =
        Client::builder().connect_timeout(CONNECT).user_agent(concat!("tenure/", env!("CARGO_PKG_VERSION")));
    let is_here = url.host_str().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
    if is_here { builder.no_proxy().build() } else { builder.build() }
}

/// An error with its causes; the outermost alone says only "error sending request".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Lease, Server};

    fn server(address: &str) -> Server {
        Server::new(address, None, "me".into()).unwrap()
    }

    #[test]
    fn the_address_counts_with_and_without_api_and_slash() {
        for address in ["http://h:1", "http://h:1/", "http://h:1/api", "http://h:1/api/"] {
            assert_eq!(server(address).api.as_str(), "http://h:1/api/");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_an_example() {
        for address in ["", "localhost:6767", "ftp://h"] {
            let error = Server::new(address, None, "me".into()).unwrap_err().to_string();
            assert!(error.contains("http://localhost:6767"), "{error}");
        }
    }

    #[test]
    fn a_name_with_a_slash_stays_one_segment_of_the_path() {
        let request = server("http://h").request(reqwest::Method::GET, &["tasks", "a/b?c"]).build().unwrap();
        assert_eq!(request.url().as_str(), "http://h/api/tasks/a%2Fb%3Fc");
    }

    #[test]
    fn a_lease_is_lost_when_the_attempt_is_over_or_somebody_elses() {
        let lease = |body: &str| server("http://h").lease_of(body.as_bytes());
        assert_eq!(lease(r#"{"status":"IN_PROGRESS","workerId":"me"}"#), Lease::Held);
        assert_eq!(lease(r#"{"status":"IN_PROGRESS"}"#), Lease::Held);
        assert_eq!(lease(r#"{"status":"IN_PROGRESS","workerId":"other"}"#), Lease::Lost);
        assert_eq!(lease(r#"{"status":"TIMED_OUT","workerId":"me"}"#), Lease::Lost);
        assert_eq!(lease(r#"{"status":"CANCELED"}"#), Lease::Lost);
    }
}
