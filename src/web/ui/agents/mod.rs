//! The list of agents by name, each with how its newest runs went.
//!
//! ```text
//!   mod      /agents
//!   agent    /agents/{name}: figures, runs, versions, one definition
//!   start    /agents/{name}/start: the form that starts a run
//!   diff     what changed from one version to another
//! ```

pub mod agent;
mod definition;
pub mod diff;
pub mod start;

use std::fmt::Write as _;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::kit::live::{self, Follow};
use super::kit::{Base, Cell, Copies, Format, Report, Sheet, Statement, Viewer};
use super::{drawn, page, shown};
use crate::json;
use crate::store::{self, read::agents};
use crate::web::{Problem, State};

/// Lines of a page.
const PAGE: usize = 25;

/// What the address says.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Wanted {
    /// A text in the name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    q: String,
    /// Only names after this one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    after: String,
    /// Anything shows deleted agents instead.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    deleted: String,
}

impl Wanted {
    fn filter(&self) -> agents::Filter {
        let given =
            |text: &str| Some(text).filter(|t| !t.is_empty()).map(|t| json::storable_text(t).into_owned());
        agents::Filter {
            name: given(self.q.trim()),
            after: given(&self.after),
            deleted: !self.deleted.is_empty(),
        }
    }

    /// The address of the page that shows this.
    fn address(&self) -> String {
        let query = serde_urlencoded::to_string(self).unwrap_or_default();
        if query.is_empty() { "/agents".to_owned() } else { format!("/agents?{query}") }
    }
}

/// `templates/agents.html`
#[derive(Template)]
#[template(path = "agents.html")]
struct AgentsPage {
    base: Base,
    q: String,
    deleted: bool,
    tabs: [Tab; 2],
    lines: Vec<Line>,
    is_filtered: bool,
    first: Option<String>,
    more: Option<String>,
    too_slow: bool,
    server: String,
    statements: [Statement; 1],
    copies: Copies,
}

struct Tab {
    word: &'static str,
    address: String,
    is_current: bool,
}

struct Line {
    address: String,
    name: String,
    version: i32,
    model: String,
    tools: Vec<String>,
    more_tools: i64,
    live: String,
    runs: String,
    ran: bool,
    share: String,
    ended: String,
    took: String,
    slowest: String,
    tokens: String,
    last: Option<Moment>,
}

/// A time as a table shows it.
struct Moment {
    at: Timestamp,
    short: String,
    stamp: String,
}

impl Moment {
    fn of(at: Timestamp, viewer: &Viewer) -> Self {
        Self { at, short: viewer.zone.at(at, viewer.now), stamp: viewer.zone.stamp(at) }
    }
}

/// What was found for a list.
struct Found {
    agents: Vec<agents::Summary>,
    has_more: bool,
    too_slow: bool,
}

/// `GET /agents`
pub async fn list(
    state: Data<State>,
    wanted: Query<Wanted>,
    viewer: Viewer,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let wanted = wanted.into_inner();
    match viewer.format {
        Format::Live => {
            let draw = move |state: State, viewer: Viewer| {
                let wanted = wanted.clone();
                async move { drawn(&draw(&find(&state, &wanted).await?, &wanted, &viewer)) }
            };
            Ok(live::answer(&state, &request, viewer, Follow::Executions, draw))
        }
        Format::Html => page(StatusCode::OK, &viewer, &draw(&find(&state, &wanted).await?, &wanted, &viewer)),
        _ => report(&find(&state, &wanted).await?, &wanted).answer(&viewer),
    }
}

async fn find(state: &State, wanted: &Wanted) -> Result<Found, Problem> {
    let mut db = state.runtime.pool().get().await?;
    let limit = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
    let found = in_time(agents::summaries(&mut db, &wanted.filter(), limit).await)?;
    let too_slow = found.is_none();
    let mut agents = found.unwrap_or_default();
    let has_more = agents.len() > PAGE;
    agents.truncate(PAGE);
    Ok(Found { agents, has_more, too_slow })
}

/// What was read, or `None` when it took longer than it may.
fn in_time<T>(read: Result<T, store::Error>) -> Result<Option<T>, Problem> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.took_too_long() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn draw(found: &Found, wanted: &Wanted, viewer: &Viewer) -> AgentsPage {
    let deleted = !wanted.deleted.is_empty();
    let tab = |word, deleted: &str, is_current| Tab {
        word,
        address: Wanted { after: String::new(), deleted: deleted.to_owned(), ..wanted.clone() }.address(),
        is_current,
    };
    let statement = Statement::new("", wanted.filter().statement(PAGE));
    AgentsPage {
        base: Base::live(viewer, "agents", viewer.here.clone()),
        q: shown::text(&wanted.q),
        deleted,
        tabs: [tab("Deployed", "", !deleted), tab("Deleted", "1", deleted)],
        lines: found.agents.iter().map(|a| line(a, viewer)).collect(),
        is_filtered: !wanted.q.trim().is_empty(),
        first: (!wanted.after.is_empty())
            .then(|| Wanted { after: String::new(), ..wanted.clone() }.address()),
        more: next(found, wanted),
        too_slow: found.too_slow,
        server: viewer.server_flag(),
        copies: Copies::curl(viewer, true)
            .and("command line", format!("tenure agent list{}", viewer.server_flag()))
            .and("SQL", statement.sql.clone()),
        statements: [statement],
    }
}

/// The address of the next page.
fn next(found: &Found, wanted: &Wanted) -> Option<String> {
    let last = found.agents.last().filter(|_| found.has_more)?;
    Some(Wanted { after: json::readable(&last.name).into_owned(), ..wanted.clone() }.address())
}

fn line(agent: &agents::Summary, viewer: &Viewer) -> Line {
    let figures = &agent.figures;
    let secs = |secs: Option<f64>| secs.map(shown::duration).unwrap_or_default();
    let tools: Vec<_> = agent.tools.iter().flatten().map(|t| shown::excerpt(t, 40)).collect();
    Line {
        address: address(&agent.name),
        name: shown::excerpt(&agent.name, 80),
        version: agent.version,
        model: agent.model.as_deref().map(|m| shown::excerpt(m, 80)).unwrap_or_default(),
        more_tools: agent.tool_count - i64::try_from(tools.len()).unwrap_or(0),
        tools,
        live: live_runs(figures.live),
        runs: shown::many(figures.runs, "run"),
        ran: figures.runs > 0,
        share: share(figures.completed, figures.ended),
        ended: format!("{} of {} ended", figures.completed, figures.ended),
        took: secs(figures.median_secs),
        slowest: secs(figures.p95_secs),
        tokens: shown::count(figures.tokens),
        last: figures.last_run.map(|at| Moment::of(at, viewer)),
    }
}

/// Runs that have not ended, which are counted up to a thousand; empty for none.
fn live_runs(live: i64) -> String {
    match live {
        0 => String::new(),
        1000.. => "1000 or more".to_owned(),
        n => n.to_string(),
    }
}

/// How many of them ended well, in percent; all of them only when it is all of them. Empty when none has ended.
fn share(completed: i64, ended: i64) -> String {
    match (completed, ended) {
        (_, ..=0) => String::new(),
        (c, e) if c >= e => "100 %".to_owned(),
        (c, e) => {
            let tenths = c * 1000 / e;
            if tenths >= 990 {
                format!("{}.{} %", tenths / 10, tenths % 10)
            } else {
                format!("{} %", tenths / 10)
            }
        }
    }
}

/// The address of an agent's page. Whatever the name holds, it is one part of a path and no other format's.
fn address(name: &str) -> String {
    let mut out = String::from("/agents/");
    for byte in json::readable(name).bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn report(found: &Found, wanted: &Wanted) -> Report {
    let columns = [
        "name",
        "version",
        "model",
        "tools",
        "runs",
        "live",
        "ended",
        "completed",
        "median_secs",
        "p95_secs",
        "tokens",
        "last_run",
    ];
    let mut sheet = Sheet::new("agents", &columns);
    for agent in &found.agents {
        let f = &agent.figures;
        sheet.rows.push(vec![
            Cell::Text(agent.name.clone()),
            Cell::Int(agent.version.into()),
            Cell::text(agent.model.clone()),
            Cell::Int(agent.tool_count),
            Cell::Int(f.runs),
            Cell::Int(f.live),
            Cell::Int(f.ended),
            Cell::Int(f.completed),
            Cell::secs(f.median_secs),
            Cell::secs(f.p95_secs),
            Cell::Int(f.tokens),
            Cell::time(f.last_run),
        ]);
    }
    let mut report = Report { next: next(found, wanted), ..Report::list(sheet) };
    if found.too_slow {
        report.notes.push("this took longer than 2 seconds; look for a name".to_owned());
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(address("librarian-2_b"), "/agents/librarian-2_b");
        assert_eq!(address("a/b c.json?x=1#é"), "/agents/a%2Fb%20c%2Ejson%3Fx%3D1%23%C3%A9");
    }

    #[test]
    fn only_all_is_all() {
        for (completed, ended, shown) in [
            (0, 0, ""),
            (0, 7, "0 %"),
            (200, 200, "100 %"),
            (999, 1000, "99.9 %"),
            (9999, 10_000, "99.9 %"),
            (2, 3, "66 %"),
        ] {
            assert_eq!(share(completed, ended), shown);
        }
    }

    #[test]
    fn the_address_keeps_the_filter() {
        let wanted = Wanted { q: "a&b".into(), deleted: "1".into(), ..Wanted::default() };
        assert_eq!(wanted.address(), "/agents?q=a%26b&deleted=1");
        assert_eq!(Wanted::default().address(), "/agents");
    }
}
