//! Pages for people: complete without script, and every word that a model or a tool said is text.
//!
//! A page is a struct, a handler and a template with the same name. Handlers read and shape; templates branch and loop
//! but never compute. Errors are the edge's own, shown as a page to whoever asks for HTML.

mod actions;
mod agents;
mod approvals;
mod assets;
mod bulk;
mod costs;
mod diff;
mod execution;
mod executions;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod kit;
mod markdown;
mod money;
mod payload;
mod queues;
mod retention;
mod shown;
mod timeline;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Compress, Next};
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse, Resource, Route, guard};
use askama::Template;

use super::Problem;
pub use executions::Summary;
pub use kit::Waiting;
pub use kit::live::Live;
use kit::{Base, Format, Viewer};

/// Only our own files, no inline style or script, nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Every path of it.
pub fn routes(app: &mut ServiceConfig) {
    app.service(web::resource("/").route(read().to(home)))
        .service(
            web::resource("/assets/{version}/{name:.*}")
                .wrap(Compress::default())
                .route(read().to(assets::get)),
        )
        .service(
            web::resource("/look").route(read().to(kit::look::show)).route(web::post().to(kit::look::set)),
        )
        .service(pages("/agents").route(read().to(agents::list)))
        .service(pages("/agents/{name}").route(read().to(agents::agent::show)))
        .service(
            web::resource("/agents/{name}/start")
                .app_data(agents::start::limits())
                .route(web::post().to(agents::start::start)),
        )
        .service(pages("/approvals").route(read().to(approvals::list)))
        .service(
            pages("/approvals/policies")
                .route(read().to(approvals::policies::show))
                .route(web::post().to(approvals::policies::set)),
        )
        .service(
            web::resource("/approvals/policies/remove").route(web::post().to(approvals::policies::remove)),
        )
        .service(
            pages("/approvals/webhooks")
                .route(read().to(approvals::webhooks::show))
                .route(web::post().to(approvals::webhooks::set)),
        )
        .service(
            web::resource("/approvals/webhooks/{action}").route(web::post().to(approvals::webhooks::act)),
        )
        .service(pages("/approvals/{id}").route(read().to(approvals::show)))
        .service(
            web::resource("/approvals/{id}/decide")
                .app_data(approvals::limits())
                .route(web::post().to(approvals::decide)),
        )
        .service(pages("/bulk").route(read().to(bulk::list)).route(web::post().to(bulk::start)))
        .service(web::resource("/bulk/new").route(read().to(bulk::new)))
        .service(
            pages("/bulk/retention").route(read().to(retention::show)).route(web::post().to(retention::set)),
        )
        .service(web::resource("/bulk/retention/remove").route(web::post().to(retention::remove)))
        .service(pages("/bulk/{id}").route(read().to(bulk::show)))
        .service(web::resource("/bulk/{id}/cancel").route(web::post().to(bulk::cancel)))
        .service(pages("/diff").route(read().to(diff::show)))
        .service(pages("/executions").route(read().to(executions::list)))
        .service(pages("/execution/{id}").route(read().to(execution::show)))
        .service(web::resource("/execution/{id}/continue").route(web::post().to(execution::again::go_on)))
        .service(web::resource("/execution/{id}/message").route(web::post().to(execution::message::send)))
        .service(
            web::resource("/execution/{id}/{way:fork|retry|restart|rerun|replay}")
                .route(web::post().to(execution::again::begin)),
        )
        .service(
            pages("/execution/{id}/{tab}")
                .route(read().to(execution::tab))
                .route(web::post().to(actions::act)),
        )
        .service(pages("/execution/{id}/payload/{name}").route(read().to(execution::download::of_run)))
        .service(
            pages("/execution/{id}/attempt/{attempt}/{name}")
                .route(read().to(execution::download::of_attempt)),
        )
        .service(web::resource("/executions/act").route(web::post().to(executions::bulk::act)))
        .service(web::resource("/views").route(web::post().to(executions::views::save)))
        .service(web::resource("/views/{id}/delete").route(web::post().to(executions::views::delete)))
        .service(pages("/costs").route(read().to(costs::show)))
        .service(web::resource("/costs/prices").route(web::post().to(costs::form::set)))
        .service(web::resource("/costs/prices/{id}/delete").route(web::post().to(costs::form::remove)))
        .service(pages("/queues").route(read().to(queues::show)))
        .service(web::resource("/queues/{id}/{action}").route(web::post().to(queues::switch)));
}

/// A page under its own address and under those that name another format.
fn pages(
    path: &str,
) -> Resource<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = Error,
        InitError = (),
    >,
> {
    let others = format!("{path}.{{format:json|csv|txt}}");
    web::resource(vec![path.to_owned(), others]).wrap(Compress::default())
}

fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn home() -> HttpResponse {
    kit::form::see("/executions")
}

/// Answer with a page.
fn page(status: StatusCode, viewer: &Viewer, template: &impl Template) -> Result<HttpResponse, Problem> {
    Ok(html(status, viewer, drawn(template)?))
}

/// Answer with the HTML of a page.
fn html(status: StatusCode, viewer: &Viewer, html: String) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    answer
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::VARY, "Accept, Cookie"));
    if let Some(cookie) = &viewer.cookie {
        answer.insert_header((header::SET_COOKIE, cookie.as_str()));
    }
    answer.body(html)
}

/// The HTML of a page.
fn drawn(template: &impl Template) -> Result<String, Problem> {
    template.render().map_err(|error| {
        tracing::error!(%error, "a page can't be drawn");
        Problem::new(500, "internal error; the server's log has the details")
    })
}

/// `templates/error.html`
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    base: Base,
    status: u16,
    title: &'static str,
    message: String,
}

/// Whether a path is a page's, whose errors people read. Programs get the protocol's JSON on their own paths, whatever
/// they accept.
fn is_page(path: &str) -> bool {
    let first = path.trim_start_matches('/').split(['/', '.']).next().unwrap_or_default();
    matches!(
        first,
        "" | "bulk"
            | "costs"
            | "diff"
            | "executions"
            | "execution"
            | "approvals"
            | "agents"
            | "queues"
            | "look"
            | "views"
    )
}

/// How an error to this request is said.
fn tongue(request: &HttpRequest) -> Option<Viewer> {
    let (method, path) = (request.method(), request.path());
    let is_protocol = ["/api", "/actuator", "/health"].iter().any(|p| path.starts_with(p));
    let is_form = method == Method::GET || method == Method::HEAD || method == Method::POST;
    if is_protocol || !is_form {
        return None;
    }
    let viewer = Viewer::of(request);
    match viewer.format {
        Format::Html => Some(viewer),
        Format::Text | Format::Csv if is_page(path) => Some(viewer),
        _ => None,
    }
}

/// Errors are pages for people and lines for their terminals, and all pages carry the headers that keep hostile text
/// harmless.
pub async fn speak_html(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let viewer = tongue(request.request());
    let mut answer = match (next.call(request).await, &viewer) {
        (Ok(answer), _) => answer.map_into_boxed_body(),
        (Err(error), Some(viewer)) => {
            let (status, message) = (error.as_response_error().status_code(), said(&error));
            return Err(InternalError::from_response(error, error_page(viewer, status, message)).into());
        }
        (Err(error), None) => return Err(error),
    };
    let status = answer.status();
    if let Some(viewer) = viewer.filter(|_| status.is_client_error() || status.is_server_error()) {
        let is_drawn = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|t| t.as_bytes().starts_with(b"text/html"));
        if !is_drawn {
            let message = answer.response().error().and_then(said);
            let retry = answer.headers().get(header::RETRY_AFTER).cloned();
            answer = answer.into_response(error_page(&viewer, status, message));
            if let Some(retry) = retry {
                answer.headers_mut().insert(header::RETRY_AFTER, retry);
            }
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

fn error_page(viewer: &Viewer, status: StatusCode, message: Option<String>) -> HttpResponse {
    let title = match status.as_u16() {
        400 => "This can't be read",
        403 => "Not from here",
        404 => "Nothing here",
        409 => "Not possible now",
        413 => "Too large",
        422 => "This does not fit",
        503 => "Not available right now",
        _ => status.canonical_reason().unwrap_or("Error"),
    };
    let message = message.unwrap_or_else(|| status.canonical_reason().unwrap_or("error").to_owned());
    let message = shown::sentence(&shown::text(&message));
    if viewer.format != Format::Html {
        return HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(format!(
            "{} {title}\n{}\n",
            status.as_u16(),
            kit::report::printable(&message)
        ));
    }
    let error = ErrorPage { base: Base::of(viewer, ""), status: status.as_u16(), title, message };
    page(status, viewer, &error).unwrap_or_else(|_| HttpResponse::InternalServerError().finish())
}

fn protect(headers: &mut HeaderMap) {
    let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // With `no-referrer` browsers would say of our own forms that they come from nowhere: `Origin: null`.
    set(header::REFERRER_POLICY, "same-origin");
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn people(method: Method, path: &str, accept: &str) -> Option<Format> {
        let request = TestRequest::with_uri(path).method(method).insert_header((header::ACCEPT, accept));
        tongue(&request.to_http_request()).map(|viewer| viewer.format)
    }

    #[test]
    fn people_get_pages_and_programs_get_json() {
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        assert_eq!(people(Method::GET, "/execution/x", browser), Some(Format::Html));
        assert_eq!(people(Method::POST, "/execution/x/pause", browser), Some(Format::Html));
        assert_eq!(people(Method::GET, "/nothing", browser), Some(Format::Html));
        assert_eq!(people(Method::GET, "/execution/x", "*/*"), Some(Format::Text));
        assert_eq!(people(Method::GET, "/execution/x.json", "*/*"), None);
        assert_eq!(people(Method::GET, "/tasks/poll/x", "*/*"), None);
        assert_eq!(people(Method::GET, "/api/agent/list", browser), None);
        assert_eq!(people(Method::DELETE, "/execution/x", browser), None);
    }
}
