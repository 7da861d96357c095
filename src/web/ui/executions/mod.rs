//! The list of executions: newest first, its whole state in the address.

pub(super) mod asked;
mod bar;
pub mod bulk;
mod line;
mod summary;
pub mod views;

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::kit::live::{self, Follow};
use super::kit::{Base, Cell, Copies, Format, Report, Statement, Viewer, form};
use super::{drawn, page, shown};
use crate::id::ExecutionId;
pub(super) use crate::store::read::list::query;
use crate::store::read::list::{self, Condition, Found, Moment, Place, Stopped};
use crate::store::read::{list::views as kept, pages};
use crate::web::{Problem, State};
use asked::{Asked, EXPORT, Wanted};
use bar::{Chip, Menu, Tab};
use line::Line;
pub use summary::Summary;
use summary::{Histogram, Tile};

/// Attempts whose time a line shows.
const SHAPE: usize = 60;
/// How long a page is looked for, so that it is there within two seconds; and an export.
const PATIENCE: Duration = Duration::from_millis(1750);
const EXPORT_PATIENCE: Duration = Duration::from_secs(20);
/// Newer executions are counted up to this, for so long.
const NEWER: usize = 99;
const NEWER_PATIENCE: Duration = Duration::from_millis(100);

/// `templates/executions.html`
#[derive(Template)]
#[template(path = "executions.html")]
struct ExecutionsPage {
    base: Base,
    tiles: Vec<Tile>,
    histogram: Histogram,
    tabs: Vec<Tab>,
    /// The saved view that is shown.
    view: Option<i64>,
    chips: Vec<Chip>,
    menus: [Menu; 3],
    /// The filter as forms carry it.
    q: String,
    /// What could not be read of it.
    broken: String,
    complaint: Option<String>,
    can_be_kept: bool,
    /// Where the same is done to all that match.
    all: Option<String>,
    lines: Vec<Line>,
    is_first: bool,
    is_filtered: bool,
    /// What an action just did.
    did: Option<String>,
    /// Where this page is, for forms that come back.
    back: String,
    fresh: Option<String>,
    newest: String,
    newer: Option<String>,
    older: Option<String>,
    stopped: Option<String>,
    limit: usize,
    export: [(&'static str, String); 2],
    copies: Copies,
    statements: Vec<Statement>,
    server: String,
}

/// `GET /executions`
pub async fn list(
    state: Data<State>,
    wanted: Query<Wanted>,
    viewer: Viewer,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let wanted = wanted.into_inner();
    let asked = Asked::read(&wanted, &viewer)?;
    if !wanted.more.is_empty() {
        return Ok(form::see(&asked.address()));
    }
    let complaint = asked.query.complaint();
    match (viewer.format, complaint) {
        (Format::Live, _) => {
            let draw = move |state, viewer| {
                let asked = asked.clone();
                async move { drawn(&read(&state, &asked, "", &viewer).await?) }
            };
            Ok(live::answer(&state, &request, viewer, Follow::Executions, draw))
        }
        (Format::Html, complaint) => {
            let status = complaint.map_or(StatusCode::OK, |_| StatusCode::BAD_REQUEST);
            page(status, &viewer, &read(&state, &asked, &wanted.did, &viewer).await?)
        }
        (_, Some(complaint)) => Err(Problem::new(400, complaint)),
        (_, None) => report(&state, &asked, &viewer).await?.answer(&viewer),
    }
}

/// The ids of the page.
async fn find(state: &State, asked: &Asked, viewer: &Viewer) -> Result<Found, Problem> {
    if let Some(ids) = &asked.rows {
        return Ok(Found { ids: ids.clone(), has_more: false, stopped: None });
    }
    let mut db = state.runtime.pool().get().await?;
    let patience = if viewer.format == Format::Csv { EXPORT_PATIENCE } else { PATIENCE };
    let filter = asked.query.filter();
    Ok(list::search(&mut db, &filter, asked.place, asked.limit, (viewer.now, patience)).await?)
}

async fn read(state: &State, asked: &Asked, did: &str, viewer: &Viewer) -> Result<ExecutionsPage, Problem> {
    let found = find(state, asked, viewer).await?;
    let mut db = state.runtime.pool().get().await?;
    let read = pages::lines(&db, &found.ids).await?;
    let shapes = pages::shapes(&db, &found.ids, SHAPE).await?;
    let agents = pages::agents(&db).await?;
    let views = kept::list(&db).await?;
    let fresh = match (asked.place, &asked.rows) {
        (Place::Newest, Some(rows)) => {
            let place = rows.first().map_or(Place::Newest, |id| Place::After(*id));
            let filter = asked.query.filter();
            let newer = list::search(&mut db, &filter, place, NEWER, (viewer.now, NEWER_PATIENCE)).await?;
            newer_ones(newer.ids.len(), newer.has_more)
        }
        _ => None,
    };
    drop(db);
    let known = state.summary.get(&state.runtime).await;
    let known = known.as_deref();
    let text = asked.query.text();
    let (newer, older) = neighbours(asked, &found);
    let is_filtered = !asked.query.terms.is_empty();
    let back = asked.at(asked.place).address();
    Ok(ExecutionsPage {
        base: Base::live(viewer, "executions", asked.followed(&found.ids)),
        tiles: summary::tiles(known),
        histogram: summary::histogram(known, asked, viewer),
        tabs: bar::tabs(asked, &views, known),
        view: views
            .iter()
            .find(|v| query::Query::parse(&crate::json::readable(&v.query)).text() == text)
            .map(|v| v.id),
        chips: bar::chips(asked),
        menus: bar::menus(asked, &agents),
        q: query::Query { broken: vec![], ..asked.query.clone() }.text().replace('\0', "\u{2400}"),
        broken: asked.query.broken_text().replace('\0', "\u{2400}"),
        complaint: asked.query.complaint().map(|c| shown::sentence(&shown::text(&c))),
        can_be_kept: is_filtered && asked.query.broken.is_empty(),
        all: (is_filtered && asked.query.broken.is_empty()).then(|| {
            format!("/bulk/new?{}", serde_urlencoded::to_string([("q", &text)]).unwrap_or_default())
        }),
        lines: line::lines(&read, shapes, viewer),
        is_first: !is_filtered && asked.query.broken.is_empty() && asked.place == Place::Newest,
        is_filtered,
        did: bulk::said(did),
        fresh,
        newest: asked.at(Place::Newest).address(),
        newer,
        older,
        stopped: found.stopped.map(|s| looked(&s, found.ids.len(), viewer)),
        limit: asked.limit,
        export: [(("CSV"), asked.export(".csv", Some(EXPORT))), ("JSON", asked.export(".json", Some(200)))],
        copies: copies(asked, viewer),
        statements: vec![Statement::new("", asked.query.filter().statement(asked.place, asked.limit))],
        server: viewer.server_flag(),
        back,
    })
}

/// Addresses of the pages before and behind this one, where there may be something.
fn neighbours(asked: &Asked, found: &Found) -> (Option<String>, Option<String>) {
    let (first, last) = (found.ids.first().copied(), found.ids.last().copied());
    let goes_on = found.stopped.map(|s| s.at);
    let at =
        |place: fn(ExecutionId) -> Place, id: Option<ExecutionId>| id.map(|id| asked.at(place(id)).address());
    match asked.place {
        Place::After(from) => {
            let newer = if found.has_more { first } else { goes_on };
            (at(Place::After, newer), at(Place::Before, Some(last.unwrap_or(from))))
        }
        place => {
            let older = if found.has_more { last } else { goes_on };
            let newer = match place {
                Place::Before(from) => Some(first.unwrap_or(from)),
                _ => None,
            };
            (at(Place::After, newer), at(Place::Before, older))
        }
    }
}

fn newer_ones(many: usize, is_more: bool) -> Option<String> {
    match many {
        0 => None,
        1 => Some("1 newer execution. Show it".to_owned()),
        n => Some(format!("{n}{} newer executions. Show them", if is_more { "+" } else { "" })),
    }
}

/// How far a search got, in a sentence.
fn looked(stopped: &Stopped, found: usize, viewer: &Viewer) -> String {
    let back = viewer.zone.full(stopped.at.time());
    let skipped = match stopped.skipped {
        0 => String::new(),
        n => format!(" {n} of them too large to be read in time."),
    };
    let found = if found == 0 { "Nothing was found so far." } else { "This is what was found so far." };
    format!("Looked through {} executions back to {back}.{skipped} {found}", stopped.looked)
}

/// The list for programs. An export is read in parts, and says in its last line when there is more.
async fn report(state: &State, asked: &Asked, viewer: &Viewer) -> Result<Report, Problem> {
    const PART: usize = 500;
    let found = find(state, asked, viewer).await?;
    let mut read = vec![];
    for ids in found.ids.chunks(PART) {
        let db = state.runtime.pool().get().await?;
        read.extend(pages::lines(&db, ids).await?);
    }
    let mut sheet = line::sheet(&read, viewer.now);
    let next = neighbours(asked, &found).1.filter(|_| found.has_more || found.stopped.is_some());
    let notes: Vec<_> = found.stopped.map(|s| looked(&s, found.ids.len(), viewer)).into_iter().collect();
    if let (Format::Csv, Some(next)) = (viewer.format, &next) {
        let why = notes
            .first()
            .cloned()
            .unwrap_or_else(|| format!("These are {} executions; there are more.", read.len()));
        let next = next.replacen("/executions", "/executions.csv", 1);
        let mut last = vec![Cell::None; sheet.columns.len()];
        last[0] = Cell::Text(format!("{why} Go on: {}{next}", viewer.origin));
        sheet.rows.push(last);
    }
    Ok(Report { notes, next, ..Report::list(sheet) })
}

/// The list as other tools ask for it.
fn copies(asked: &Asked, viewer: &Viewer) -> Copies {
    let copies = Copies::curl(viewer, true);
    let copies = match command(asked) {
        Some(command) => copies.and("command line", format!("{command}{}", viewer.server_flag())),
        None => copies,
    };
    copies.and("SQL", asked.query.filter().statement(asked.place, asked.limit))
}

/// The command line that shows the same, where one can.
fn command(asked: &Asked) -> Option<String> {
    let mut command = "tenure agent execution".to_owned();
    for term in asked.query.terms.iter().filter(|_| asked.query.broken.is_empty()) {
        let flag = match &term.condition {
            _ if term.negated => return None,
            Condition::Agent(names) if names.len() == 1 => {
                format!(" --name {}", super::kit::base::shell(&names[0]))
            }
            Condition::Status(statuses) if statuses.len() == 1 => {
                format!(" --status {}", statuses[0].name().to_ascii_uppercase())
            }
            Condition::Since(Moment::Ago(_)) => format!(" --since {}", asked.query.value("since")?),
            _ => return None,
        };
        command.push_str(&flag);
    }
    (asked.place == Place::Newest && asked.query.broken.is_empty())
        .then(|| format!("{command} --limit {}", asked.limit))
}
