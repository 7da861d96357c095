//! The only translator of errors into answers.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde_json::json;

use crate::{json, runtime, store};

/// An error as the client sees it. The protocol has two shapes for errors, and ours is the second:
/// `{"error", "status"}` where the agent API judges what it was sent, and
/// `{"status", "message", "instance", "retryable"}` for everything else.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    status: StatusCode,
    message: String,
    by_agent_api: bool,
}

impl Problem {
    /// An error in the general shape.
    #[must_use]
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, message: message.into(), by_agent_api: false }
    }

    /// What the agent API can't accept, in its own shape: a 400.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self { by_agent_api: true, ..Self::new(400, message) }
    }

    /// A 404 in the general shape.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }

    /// An error about a request, in the shape that its path has.
    #[must_use]
    pub fn at(request: &HttpRequest, status: u16, message: impl Into<String>) -> Self {
        let by_agent_api = status == 400 && request.path().starts_with("/api/agent");
        Self { by_agent_api, ..Self::new(status, message) }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Say something else.
    #[must_use]
    pub fn saying(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }
}

impl From<json::Error> for Problem {
    fn from(error: json::Error) -> Self {
        Self::new(400, error.to_string())
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match &error {
            store::Error::NotFound { .. } | store::Error::Deleted { .. } => {
                Self::not_found(error.to_string())
            }
            store::Error::Refused(_) => Self::new(400, error.to_string()),
            e if e.took_too_long() => {
                Self::new(503, "reading this took too long; ask for less, or try again in a moment")
            }
            e if e.is_transient() => Self::new(503, "the database is not available; try again in a moment"),
            _ => {
                tracing::error!(?error, "a statement failed");
                Self::new(500, "internal error; the server's log has the details")
            }
        }
    }
}

impl From<runtime::Error> for Problem {
    fn from(error: runtime::Error) -> Self {
        match error {
            runtime::Error::Illegal(illegal) => Self::new(409, illegal.to_string()),
            runtime::Error::Conflict(text) => Self::new(409, text),
            runtime::Error::Busy | runtime::Error::ShuttingDown => Self::new(503, error.to_string()),
            runtime::Error::Store(error) => error.into(),
        }
    }
}

impl From<deadpool_postgres::PoolError> for Problem {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        store::Error::from(error).into()
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let (status, message) = (self.status.as_u16(), &self.message);
        let body = if self.by_agent_api {
            json!({ "error": message, "status": status })
        } else {
            json!({ "status": status, "message": message, "instance": "tenure", "retryable": status == 503 })
        };
        let mut answer = HttpResponse::build(self.status);
        if status == 503 {
            answer.insert_header((header::RETRY_AFTER, "1"));
        }
        answer.content_type("application/json").body(json::restore(&body.to_string()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(problem: Problem) -> (u16, serde_json::Value) {
        let answer = problem.error_response();
        let status = answer.status().as_u16();
        let bytes = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[actix_web::test]
    async fn the_agent_api_refuses_in_its_own_shape() {
        let (status, body) = body(Problem::refused("no")).await;
        assert_eq!((status, body), (400, json!({"error": "no", "status": 400})));
    }

    #[actix_web::test]
    async fn everything_else_has_the_general_shape() {
        let lost = store::Error::NotFound { what: "execution", id: "x".into() };
        let (status, body) = body(lost.into()).await;
        assert_eq!(status, 404);
        assert_eq!(
            (body["message"].as_str(), body["retryable"].as_bool()),
            (Some("no execution with id 'x'"), Some(false))
        );
    }

    #[test]
    fn a_busy_server_asks_to_try_again() {
        let answer = Problem::from(runtime::Error::Busy).error_response();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key(header::RETRY_AFTER));
    }
}
