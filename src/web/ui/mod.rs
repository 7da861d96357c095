//! Pages for people: complete without script, and every word that a model or a tool said is text.
//!
//! A page is a struct, a handler and a template with the same name. Handlers read and shape; templates branch and loop
//! but never compute. Errors are the edge's own, shown as a page to whoever asks for HTML.

mod actions;
mod assets;
mod conversation;
mod execution;
mod executions;
mod markdown;
mod payload;
mod raw;
mod shown;
mod timeline;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Compress, Next};
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, HttpResponse, Route, guard};
use askama::Template;

use super::Problem;

/// Only our own files, no inline style or script, nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// Every path of it.
pub fn routes(app: &mut ServiceConfig) {
    app.service(web::resource("/").route(read().to(home)))
        .service(web::resource("/executions").route(read().to(executions::list)))
        .service(web::resource("/execution/{id}.json").route(read().to(raw::execution)))
        .service(web::resource("/execution/{id}").route(read().to(execution::show)))
        .service(web::resource("/execution/{id}/{action}").post(actions::act))
        .service(
            web::resource("/assets/{version}/{name}").wrap(Compress::default()).route(read().to(assets::get)),
        );
}

fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn home() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, "/executions")).finish()
}

/// Answer with a page.
fn page(status: StatusCode, template: &impl Template) -> Result<HttpResponse, Problem> {
    let html = template.render().map_err(|error| {
        tracing::error!(%error, "a page can't be drawn");
        Problem::new(500, "internal error; the server's log has the details")
    })?;
    Ok(HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(html))
}

/// `templates/error.html`
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    status: u16,
    title: &'static str,
    message: String,
}

/// Whether an error to this request is read by a person. Programs get the protocol's JSON on their own paths, whatever
/// they accept.
fn is_for_people(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let is_form = method == Method::GET || method == Method::HEAD || method == Method::POST;
    let is_protocol = ["/api", "/actuator", "/health"].iter().any(|p| path.starts_with(p));
    is_form && !is_protocol && accepts.contains("text/html")
}

/// Errors are pages for people, and all pages carry the headers that keep hostile text harmless.
pub async fn speak_html(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let people = is_for_people(request.method(), request.path(), request.headers());
    let mut answer = match next.call(request).await {
        Ok(answer) => answer.map_into_boxed_body(),
        Err(error) if people => {
            let (status, message) = (error.as_response_error().status_code(), said(&error));
            return Err(InternalError::from_response(error, error_page(status, message)).into());
        }
        Err(error) => return Err(error),
    };
    let status = answer.status();
    if people && (status.is_client_error() || status.is_server_error()) {
        let message = answer.response().error().and_then(said);
        let retry = answer.headers().get(header::RETRY_AFTER).cloned();
        answer = answer.into_response(error_page(status, message));
        if let Some(retry) = retry {
            answer.headers_mut().insert(header::RETRY_AFTER, retry);
        }
    }
    if answer.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/html")) {
        protect(answer.headers_mut());
    }
    Ok(answer)
}

fn said(error: &Error) -> Option<String> {
    error.as_error::<Problem>().map(ToString::to_string)
}

fn error_page(status: StatusCode, message: Option<String>) -> HttpResponse {
    let title = match status.as_u16() {
        400 => "This can't be read",
        403 => "Not from here",
        404 => "Nothing here",
        409 => "Not possible now",
        503 => "Not available right now",
        _ => status.canonical_reason().unwrap_or("Error"),
    };
    let message = message.unwrap_or_else(|| status.canonical_reason().unwrap_or("error").to_owned());
    let error =
        ErrorPage { status: status.as_u16(), title, message: shown::sentence(&shown::text(&message)) };
    page(status, &error).unwrap_or_else(|_| HttpResponse::InternalServerError().finish())
}

fn protect(headers: &mut HeaderMap) {
    let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(method: &Method, path: &str, accept: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        is_for_people(method, path, &headers)
    }

    #[test]
    fn people_get_pages_and_programs_get_json() {
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        assert!(people(&Method::GET, "/execution/x", browser));
        assert!(people(&Method::POST, "/execution/x/pause", browser));
        assert!(!people(&Method::GET, "/api/agent/list", browser));
        assert!(!people(&Method::GET, "/execution/x", "*/*"));
        assert!(!people(&Method::DELETE, "/execution/x", browser));
    }
}
