//! How pages look to one browser: its theme and its time zone, kept in cookies.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Form, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

use super::viewer::{THEME, ZONE, theme};
use super::{Base, Viewer, form};
use crate::web::Problem;
use crate::web::ui::page;
use crate::web::ui::shown::Zone;

/// A year, in seconds.
const KEEP: u32 = 31_536_000;

/// What the address says.
#[derive(Deserialize)]
pub struct Wanted {
    #[serde(default)]
    back: String,
}

/// `templates/look.html`
#[derive(Template)]
#[template(path = "look.html")]
struct LookPage {
    base: Base,
    back: String,
    zones: Vec<String>,
}

/// `GET /look`
pub async fn show(wanted: Query<Wanted>, viewer: Viewer) -> Result<HttpResponse, Problem> {
    let look = LookPage {
        base: Base::of(&viewer, "look"),
        back: form::local(&wanted.back).to_owned(),
        zones: Zone::all(),
    };
    page(StatusCode::OK, &viewer, &look)
}

/// What a form says.
#[derive(Deserialize)]
pub struct Look {
    #[serde(default)]
    token: String,
    #[serde(default)]
    back: String,
    theme: Option<String>,
    zone: Option<String>,
}

/// `POST /look`: keep what is given of theme and zone, and go back.
pub async fn set(request: HttpRequest, look: Form<Look>) -> Result<HttpResponse, Problem> {
    form::sender(&request, &look.token)?;
    let mut answer = form::see(form::local(&look.back));
    let mut keep = |name: &str, value: &str| {
        let age = if value.is_empty() { 0 } else { KEEP };
        let cookie = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            answer.headers_mut().append(header::SET_COOKIE, cookie);
        }
    };
    if let Some(wanted) = &look.theme {
        keep(THEME, theme(wanted));
    }
    if let Some(wanted) = &look.zone {
        let zone = Zone::named(wanted).ok_or_else(|| {
            Problem::new(
                400,
                format!("there is no time zone '{wanted}'; names are like Europe/Berlin or UTC"),
            )
        })?;
        keep(ZONE, zone.name());
    }
    Ok(answer)
}
