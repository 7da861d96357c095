//! A client that insists: no answer of a server that is up may be a 5xx.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    pub content_type: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The same of an answer that must be a 200.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// A refusal in one of the protocol's two shapes; gives its message.
    #[track_caller]
    pub fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        let body = self.json();
        assert_eq!(body["status"], status, "{}", self.text);
        let message = body["message"].as_str().or(body["error"].as_str());
        message.unwrap_or_else(|| panic!("no message in {}", self.text)).to_owned()
    }
}

/// A client of one server.
#[derive(Clone)]
pub struct Http {
    base: String,
    client: reqwest::Client,
}

impl Http {
    pub fn new(base: String) -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        Self { base, client }
    }

    /// `http://127.0.0.1:port`
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request of any kind, to be sent by [`send`](Self::send).
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Send; the server may be away.
    pub async fn try_send(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let header = response.headers().get("content-type").and_then(|v| v.to_str().ok());
        let content_type = header.unwrap_or_default().to_owned();
        Ok(Answer { status, content_type, text: response.text().await? })
    }

    /// Send; the server must be there and in its right mind.
    pub async fn send(request: RequestBuilder) -> Answer {
        let answer = Self::try_send(request).await.unwrap();
        assert!(answer.status < 500, "{}: {}", answer.status, answer.text);
        answer
    }

    pub async fn try_get(&self, path: &str) -> Result<Answer, reqwest::Error> {
        Self::try_send(self.request("GET", path)).await
    }

    pub async fn try_post(&self, path: &str, body: &Value) -> Result<Answer, reqwest::Error> {
        Self::try_send(self.request("POST", path).json(body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        Self::send(self.request("GET", path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Self::send(self.request("POST", path).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        Self::send(self.request("PUT", path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        Self::send(self.request("DELETE", path)).await
    }

    /// A body exactly as given, said to be JSON.
    pub async fn post_bytes(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request("POST", path).header("content-type", "application/json");
        Self::send(request.body(body)).await
    }
}
