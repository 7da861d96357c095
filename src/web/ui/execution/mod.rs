//! One execution: what it is, why it waits, what its time was spent on, what was said, what happened; now, or as it was
//! after any event.
//!
//! Each view has an address of its own and reads its part only, so a page stays small however long the run and however
//! large its payloads are.
//!
//! ```text
//!   /execution/{id}                timeline, the selected step, the newest messages     steps, rail, timeline
//!   /execution/{id}/conversation   what was said                                        conversation
//!   /execution/{id}/events         what happened                                        events
//!   /execution/{id}/attempts       every try at every step                              attempts
//!   /execution/{id}/logs           what its workers logged                              logs
//!   /execution/{id}/{state,payloads,agent}   JSON of it                                 documents
//!   /execution/{id}/payload/…      whole payloads                                       download
//!   /execution/{id}/message        a message into it                                    message
//!   /execution/{id}/{fork,retry,restart,rerun}   a new run that goes on from it         again
//! ```

pub(super) mod address;
pub mod again;
mod attempts;
mod conversation;
mod documents;
pub mod download;
mod events;
mod frame;
mod logs;
pub mod message;
mod rail;
mod steps;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use jiff::Timestamp;

use self::address::{Tab, Wanted};
use super::kit::live::{self, Follow};
use super::kit::{Cell, Format, Report, Statement, Viewer, without_format};
use super::{drawn, html, shown};
use crate::id::ExecutionId;
use crate::store::forks;
use crate::store::read::approvals::{self, Approval};
use crate::store::read::costs::{self, Cost};
use crate::store::read::executions::{self, Reason};
use crate::store::read::run::{self, AsOf, Head, Part, Value, Work};
use crate::web::wire::words;
use crate::web::{Problem, State};

/// Most questions to people that have a card.
const ASKED: usize = 20;

/// A view of a run, as the viewer wants it.
enum Answer {
    /// HTML.
    Page(String),
    /// For programs.
    Report(Report),
}

/// What every view knows.
struct Run<'a> {
    viewer: &'a Viewer,
    wanted: &'a Wanted,
    tab: Tab,
    id: ExecutionId,
    head: Head,
    /// The event that is looked back at.
    then: Option<AsOf>,
    work: Work,
    /// What it cost so far; of a run that is looked back at nothing is said.
    cost: Cost,
    reasons: Vec<Reason>,
    /// What it asks people now.
    asked: Vec<Approval>,
    /// Runs that go on from it.
    forks: Vec<forks::Fork>,
}

/// `GET /execution/{id}`
pub async fn show(
    state: Data<State>,
    id: Path<String>,
    wanted: Query<Wanted>,
    viewer: Viewer,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    respond(&state, &id, Tab::Timeline, wanted.into_inner(), viewer, &request).await
}

/// `GET /execution/{id}/{tab}`
pub async fn tab(
    state: Data<State>,
    path: Path<(String, String)>,
    wanted: Query<Wanted>,
    viewer: Viewer,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (id, name) = path.into_inner();
    let tab = Tab::named(without_format(&name)).ok_or_else(|| {
        let names: Vec<_> = Tab::ALL.iter().map(|t| t.path()).filter(|p| !p.is_empty()).collect();
        Problem::not_found(format!("a run has no page '{name}'; there are {}", names.join(", ")))
    })?;
    respond(&state, &id, tab, wanted.into_inner(), viewer, &request).await
}

async fn respond(
    state: &State,
    id: &str,
    tab: Tab,
    wanted: Wanted,
    viewer: Viewer,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(without_format(id))?;
    if viewer.format == Format::Live {
        let draw = move |state: State, viewer: Viewer| {
            let wanted = wanted.clone();
            async move {
                let viewer = Viewer { format: Format::Html, ..viewer };
                match read(&state, id, tab, &wanted, &viewer).await? {
                    Answer::Page(html) => Ok(html),
                    Answer::Report(_) => Ok(String::new()),
                }
            }
        };
        return Ok(live::answer(state, request, viewer, Follow::Execution(id), draw));
    }
    match read(state, id, tab, &wanted, &viewer).await? {
        Answer::Page(page) => Ok(html(StatusCode::OK, &viewer, page)),
        Answer::Report(report) => report.answer(&viewer),
    }
}

async fn read(
    state: &State,
    id: ExecutionId,
    tab: Tab,
    wanted: &Wanted,
    viewer: &Viewer,
) -> Result<Answer, Problem> {
    let mut connection = state.runtime.pool().get().await?;
    let db = run::snapshot(&mut connection).await?;
    let head = run::head(&db, id).await?;
    let then = match wanted.at.as_str() {
        "" => None,
        n => Some(looked_back(&db, &head, n).await?),
    };
    let work = match &then {
        None => run::work(&db, id).await?,
        Some(then) => run::work_as_of(&db, id, then).await?,
    };
    let cost = match then {
        None => costs::of_runs(&db, &[id]).await?.remove(&id).unwrap_or_default(),
        Some(_) => Cost::default(),
    };
    let is_over = head.status.is_terminal() || then.is_some();
    let reasons = if is_over { vec![] } else { executions::why(&db, id).await? };
    let asks = reasons.iter().any(|r| matches!(r.code.as_str(), "approval" | "question"));
    let mut asked = if asks { approvals::of_execution(&db, id, true).await? } else { vec![] };
    asked.truncate(ASKED);
    let forks = forks::of(&db, id).await?;
    let run = Run { viewer, wanted, tab, id, head, then, work, cost, reasons, asked, forks };
    match tab {
        Tab::Timeline => steps::answer(&run, &db).await,
        Tab::Conversation => conversation::answer(&run, &db).await,
        Tab::Events => events::answer(&run, &db).await,
        Tab::Attempts => attempts::answer(&run, &db).await,
        Tab::State => documents::state(&run, &db).await,
        Tab::Payloads => documents::payloads(&run, &db).await,
        Tab::Agent => documents::agent(&run, &db).await,
        Tab::Logs => logs::answer(&run, &db).await,
    }
}

/// How it was after event `n`, as the address names it.
async fn looked_back(db: &impl crate::store::GenericClient, head: &Head, n: &str) -> Result<AsOf, Problem> {
    let there_is_none = || {
        let shown = shown::excerpt(n, 30);
        let all = shown::many(head.events.into(), "event");
        Problem::new(
            400,
            format!("at={shown} is no event of this run, which has {all}; at can be 1 to {}", head.events),
        )
    };
    let n: i32 = n.parse().map_err(|_| there_is_none())?;
    if n < 1 || n > head.events {
        return Err(there_is_none());
    }
    run::as_of(db, head.id, n).await?.ok_or_else(there_is_none)
}

impl Run<'_> {
    /// The number of the event that is looked back at.
    fn at(&self) -> Option<i32> {
        self.then.as_ref().map(|then| then.event)
    }

    /// The newest event that is shown.
    fn newest(&self) -> i32 {
        self.at().unwrap_or(self.head.events)
    }

    /// How many messages had been said.
    fn messages(&self) -> i32 {
        self.then.as_ref().map_or(self.head.messages, |then| then.messages)
    }

    /// The end of the time that is shown.
    fn until(&self) -> Timestamp {
        self.then.as_ref().map_or_else(|| self.head.ended_at.unwrap_or(self.viewer.now), |then| then.at)
    }

    fn is_live(&self) -> bool {
        self.then.is_none() && !self.head.status.is_terminal()
    }

    /// The address of this view that shows `wanted`.
    fn link(&self, wanted: &Wanted) -> String {
        wanted.address(self.id, self.tab)
    }

    fn wants_page(&self) -> bool {
        matches!(self.viewer.format, Format::Html | Format::Live)
    }

    /// The page, when the viewer wants one.
    fn answer<T: Template>(
        &self,
        page: impl FnOnce() -> T,
        report: impl FnOnce() -> Report,
    ) -> Result<Answer, Problem> {
        if self.wants_page() {
            return Ok(Answer::Page(drawn(&page())?));
        }
        let mut report = report();
        if report.facts.is_empty() {
            report.facts = vec![("id", Cell::Text(self.id.to_string()))];
        }
        if let Some(n) = self.at() {
            report.facts.insert(1, ("event", Cell::Int(n.into())));
        }
        Ok(Answer::Report(report))
    }

    /// The printed statement of a part.
    fn statement(&self, about: &'static str, part: Part, values: &[Value]) -> Statement {
        Statement::new(about, part.printed(&[&[self.id.into()], values].concat()))
    }

    /// A part's printed statement whose second parameter is the event that is looked back at, if there is one.
    fn statement_then(&self, about: &'static str, (now, then): (Part, Part), values: &[Value]) -> Statement {
        match self.at() {
            None => self.statement(about, now, values),
            Some(n) => self.statement(about, then, &[&[Value::from(n)], values].concat()),
        }
    }
}
