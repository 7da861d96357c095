//! Who looks at a page, and what it wants to get: read from the address, the headers and two cookies.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use jiff::Timestamp;

use super::form;
use crate::web::ui::shown::Zone;
use crate::web::{Problem, State};

/// Cookie of the theme: `light` or `dark`; without it the system decides.
pub const THEME: &str = "tenure_theme";
/// Cookie of the time zone: a name of the IANA database; without it times are in UTC.
pub const ZONE: &str = "tenure_zone";

/// Cookie of the name under which somebody decides.
const NAME: &str = "tenure_name";

/// A path, or its last part, without the format that it may end in.
pub fn without_format(path: &str) -> &str {
    [".json", ".csv", ".txt"].iter().find_map(|format| path.strip_suffix(format)).unwrap_or(path)
}

/// The `Set-Cookie` that keeps a name for the next decision.
pub fn named(name: &str) -> String {
    let name = serde_urlencoded::to_string([("n", name)]).unwrap_or_default();
    format!("{NAME}={name}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax")
}

fn name(headers: &HeaderMap) -> String {
    let kept =
        form::cookie(headers, NAME).and_then(|c| serde_urlencoded::from_str::<Vec<(String, String)>>(c).ok());
    let kept = kept.and_then(|pairs| pairs.into_iter().next()).map(|(_, name)| name).unwrap_or_default();
    kept.chars().take(100).collect()
}

/// Shapes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A page for a browser.
    Html,
    /// `.json`, or `Accept: application/json`.
    Json,
    /// `.csv`, or `Accept: text/csv`.
    Csv,
    /// `.txt`, or no particular wish, as of curl.
    Text,
    /// `Accept: text/event-stream`: parts of the page whenever they change.
    Live,
}

impl Format {
    /// Of a request to `path` with these headers. What the path says counts more.
    pub fn of(path: &str, headers: &HeaderMap) -> Self {
        match path.rsplit_once('/').and_then(|(_, name)| name.rsplit_once('.')) {
            Some((_, "json")) => return Self::Json,
            Some((_, "csv")) => return Self::Csv,
            Some((_, "txt")) => return Self::Text,
            _ => {}
        }
        let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let named = [
            ("text/event-stream", Self::Live),
            ("text/html", Self::Html),
            ("application/json", Self::Json),
            ("text/csv", Self::Csv),
        ];
        named.into_iter().find(|(kind, _)| accept.contains(kind)).map_or(Self::Text, |(_, format)| format)
    }
}

/// Who looks at a page.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The shape that it wants.
    pub format: Format,
    /// Where it is.
    pub zone: Zone,
    /// `light`, `dark`, or empty for what the system says.
    pub theme: &'static str,
    /// What its forms must carry; empty in parts that are sent to open pages.
    pub token: String,
    /// Under which name they decided before; empty in parts that are sent to open pages.
    pub name: String,
    /// Gives the browser its token, when it had none.
    pub cookie: Option<String>,
    /// Path and query as asked, without a suffix for the format.
    pub here: String,
    /// The `--server` that the command line needs to reach this server; `None` when it finds it by itself.
    pub server: Option<String>,
    /// Scheme and host as the viewer knows them: `http://localhost:6767`.
    pub origin: String,
    /// When it asked.
    pub now: Timestamp,
    /// How many questions wait for people.
    pub waiting: i64,
}

impl Viewer {
    /// From a request's parts.
    pub fn of(request: &HttpRequest) -> Self {
        let headers = request.headers();
        let (token, cookie) = form::token(headers);
        let path = request.path();
        let plain = without_format(path);
        let here = match request.query_string() {
            "" => plain.to_owned(),
            query => format!("{plain}?{query}"),
        };
        let info = request.connection_info();
        let (scheme, host) = (info.scheme(), info.host());
        let is_usual = scheme == "http" && matches!(host, "localhost:6767" | "127.0.0.1:6767");
        let is_plain =
            host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '[' | ']'));
        let origin = if is_plain { format!("{scheme}://{host}") } else { "http://localhost:6767".to_owned() };
        Self {
            format: Format::of(path, headers),
            zone: form::cookie(headers, ZONE).and_then(Zone::named).unwrap_or_default(),
            theme: form::cookie(headers, THEME).map_or("", theme),
            token,
            name: name(headers),
            cookie,
            here,
            server: (!is_usual && is_plain).then(|| origin.clone()),
            origin,
            now: Timestamp::now(),
            waiting: request.app_data::<Data<State>>().map_or(0, |state| state.waiting.known()),
        }
    }

    /// The same one, looking now.
    pub async fn looks_again(&self, state: &State) -> Self {
        let waiting = state.waiting.now(state.runtime.pool()).await;
        Self { now: Timestamp::now(), waiting, ..self.clone() }
    }

    /// `--server ADDRESS` with a space before it, where the command line needs it.
    pub fn server_flag(&self) -> String {
        self.server.as_ref().map(|s| format!(" --server {s}")).unwrap_or_default()
    }
}

/// A theme that there is, or what the system says.
pub fn theme(name: &str) -> &'static str {
    ["light", "dark"].into_iter().find(|t| *t == name).unwrap_or("")
}

impl FromRequest for Viewer {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let viewer = Self::of(request);
        let state = request.app_data::<Data<State>>().cloned();
        Box::pin(async move {
            match state {
                Some(state) if viewer.format == Format::Html => Ok(viewer.looks_again(&state).await),
                _ => Ok(viewer),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn viewer(path: &str, accept: &str) -> Viewer {
        let request = TestRequest::with_uri(path).insert_header((header::ACCEPT, accept));
        Viewer::of(
            &request
                .insert_header((header::COOKIE, "tenure_zone=Europe/Berlin; tenure_theme=dark"))
                .to_http_request(),
        )
    }

    #[test]
    fn the_path_says_the_format_or_else_the_headers() {
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        for (path, accept, format) in [
            ("/executions", browser, Format::Html),
            ("/executions.csv?q=x", browser, Format::Csv),
            ("/executions", "application/json", Format::Json),
            ("/executions", "text/event-stream", Format::Live),
            ("/executions", "*/*", Format::Text),
            ("/executions.json", "*/*", Format::Json),
        ] {
            assert_eq!(viewer(path, accept).format, format, "{path} {accept}");
        }
        assert_eq!(viewer("/executions.csv?q=x", "*/*").here, "/executions?q=x");
    }

    #[test]
    fn a_name_is_kept_for_the_next_decision() {
        let cookie = named("Mira; a=b é");
        let cookie = cookie.split(';').next().unwrap();
        let request = TestRequest::with_uri("/").insert_header((header::COOKIE, cookie));
        assert_eq!(Viewer::of(&request.to_http_request()).name, "Mira; a=b é");
    }

    #[test]
    fn cookies_say_zone_and_theme_and_wrong_ones_nothing() {
        let viewer = viewer("/", "*/*");
        assert_eq!((viewer.zone.name(), viewer.theme), ("Europe/Berlin", "dark"));
        let odd = TestRequest::with_uri("/")
            .insert_header((header::COOKIE, "tenure_zone=Mars/Base; tenure_theme=pink"));
        let odd = Viewer::of(&odd.to_http_request());
        assert_eq!((odd.zone.name(), odd.theme), ("UTC", ""));
    }
}
