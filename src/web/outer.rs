//! The layers around every handler.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, ResponseError};
use futures_util::FutureExt;

use super::Problem;

/// What nobody answers.
pub async fn no_such_route(request: HttpRequest) -> Result<&'static str, Problem> {
    Err(Problem::not_found(format!("No static resource {}.", request.path().trim_start_matches('/'))))
}

/// One line per request at debug level. The path alone: queries may hold what nobody should read in a log.
pub async fn log(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    let answer = next.call(request).await?.map_into_boxed_body();
    let request = answer.request();
    tracing::debug!(
        http.method = %request.method(),
        http.path = request.path(),
        http.status = answer.status().as_u16(),
        duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "answered"
    );
    Ok(answer)
}

/// A panic is a bug of ours and ends one request, not a connection.
pub async fn catch_panics(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let kept = request.request().clone();
    if let Ok(answer) = AssertUnwindSafe(next.call(request)).catch_unwind().await {
        return Ok(answer?.map_into_boxed_body());
    }
    tracing::error!(http.method = %kept.method(), http.path = kept.path(), "a handler panicked");
    let answer = Problem::new(500, "internal error; the server's log has the details").error_response();
    Ok(ServiceResponse::new(kept, answer))
}

/// Errors that the HTTP library answers by itself get the protocol's shape, too.
pub async fn shape_errors(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let answer = next.call(request).await?.map_into_boxed_body();
    let status = answer.status();
    let is_bare = !answer.headers().contains_key(header::CONTENT_TYPE)
        && matches!(answer.response().body().size(), BodySize::None | BodySize::Sized(0));
    if !is_bare || !(status.is_client_error() || status.is_server_error()) {
        return Ok(answer);
    }
    let message = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            format!("Request method '{}' is not supported", answer.request().method())
        }
        _ => status.canonical_reason().unwrap_or("error").to_owned(),
    };
    let shaped = Problem::new(status.as_u16(), message).error_response();
    Ok(answer.into_response(shaped))
}
