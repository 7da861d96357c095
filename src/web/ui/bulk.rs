//! Bulk jobs: what is to be done to all runs that a filter matches, how far it is, and cancelling it.

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

use super::kit::live::{self, Follow};
use super::kit::{Base, Cell, Copies, Format, Report, Sheet, Statement, Viewer, form, without_format};
use super::shown::{self, Mark};
use super::{drawn, page};
use crate::runtime::bulk::{Action, Wanted};
use crate::store::bulk::{self, Job, Order};
use crate::web::api::bulk::{RATE, action, job_id, kept};
use crate::web::{Problem, State};

/// Jobs that are listed.
const SHOWN: i64 = 100;
/// Columns of a job for programs.
const COLUMNS: [&str; 22] = [
    "id",
    "action",
    "filter",
    "reason",
    "started_by",
    "rate",
    "state",
    "expected",
    "matched",
    "done",
    "skipped",
    "failed",
    "note",
    "server",
    "created_at",
    "updated_at",
    "ended_at",
    "ended_by",
    "why",
    "keep_secs",
    "export",
    "policy",
];

/// One job in a list, and on its page.
struct Line {
    id: String,
    mark: Mark,
    /// What it does, in a line.
    title: String,
    filter: String,
    /// Where the runs are that match now.
    runs: String,
    /// Which of them only.
    only: String,
    by: String,
    reason: String,
    rate: String,
    done: String,
    skipped: String,
    failed: String,
    has_failed: bool,
    /// How many it came to, of how many.
    progress: String,
    /// The same as two numbers for a bar, when they are known.
    bar: Option<(i32, i32)>,
    note: String,
    server: String,
    began: String,
    ended: String,
    why: String,
    is_running: bool,
}

/// `templates/bulk.html`
#[derive(Template)]
#[template(path = "bulk.html")]
struct BulkPage {
    base: Base,
    copies: Copies,
    lines: Vec<Line>,
    statements: Vec<Statement>,
    server: String,
}

/// `templates/bulk_job.html`
#[derive(Template)]
#[template(path = "bulk_job.html")]
struct JobPage {
    base: Base,
    copies: Copies,
    job: Line,
    statements: Vec<Statement>,
}

/// `templates/bulk_new.html`
#[derive(Template)]
#[template(path = "bulk_new.html")]
struct NewPage {
    base: Base,
    filter: String,
    runs: String,
    count: String,
    is_empty: bool,
    action: String,
    actions: [(&'static str, &'static str); 7],
    reason: String,
    rate: String,
    key: String,
    wrong: String,
}

/// Actions as a form writes and says them.
const ACTIONS: [(Action, &str); 7] = [
    (Action::Retry, "Retry: go on where it failed, as a new run"),
    (Action::Restart, "Restart: begin again with its input, as a new run"),
    (Action::Cancel, "Cancel: end it now"),
    (Action::Stop, "Stop: end it after the turn that is going on"),
    (Action::Pause, "Pause: let it begin no further step"),
    (Action::Resume, "Resume: let it go on"),
    (Action::Delete, "Delete: for good, with all that belongs to it, if it has ended"),
];

/// Where the runs are that a filter matches.
pub fn runs_of(filter: &str) -> String {
    format!("/executions?{}", serde_urlencoded::to_string([("q", filter)]).unwrap_or_default())
}

/// Which of the runs that match a job comes to, and what it does before.
fn only(order: &Order) -> String {
    let old = if order.keep_secs > 0.0 {
        format!(", and ended {} ago", kept(order.keep_secs))
    } else {
        String::new()
    };
    let export = if order.export { "; each is written to a file before it goes" } else { "" };
    format!("{old}{export}")
}

fn line(job: &Job, viewer: &Viewer) -> Line {
    let (zone, now) = (&viewer.zone, viewer.now);
    let (class, icon, word) = match job.state.as_str() {
        "running" if job.server.is_none() => ("warn", "clock", "Waits for a server"),
        "running" => ("run", "ring", "Running"),
        "done" => ("ok", "check", "Done"),
        _ => ("idle", "x", "Cancelled"),
    };
    let count = |n: i32| shown::count(i64::from(n));
    let progress = match (job.state.as_str(), job.expected) {
        ("running", Some(expected)) => format!("{} of {}", count(job.matched), count(expected)),
        _ => count(job.matched),
    };
    let mut title = job.order.action.clone();
    title[..1].make_ascii_uppercase();
    Line {
        id: job.id.to_string(),
        mark: Mark { class, icon, word },
        title: format!("{title} {}", shown::excerpt(&job.order.filter, 200)),
        filter: shown::text(&job.order.filter),
        runs: runs_of(&job.order.filter),
        only: only(&job.order),
        by: shown::excerpt(&job.order.by, 100),
        reason: shown::text(&job.order.reason),
        rate: format!("{} a second at most", job.order.rate),
        done: count(job.done),
        skipped: count(job.skipped),
        failed: count(job.failed),
        has_failed: job.failed > 0,
        progress,
        bar: job.expected.filter(|n| *n > 0).map(|n| (job.matched.min(n), n)),
        note: job.note.as_deref().map(|note| shown::sentence(&shown::text(note))).unwrap_or_default(),
        server: job.server.as_deref().map(shown::text).unwrap_or_default(),
        began: zone.at(job.created_at, now),
        ended: job.ended_at.map(|at| zone.at(at, now)).unwrap_or_default(),
        why: shown::sentence(&shown::text(&job.why)),
        is_running: job.state == "running",
    }
}

fn sheet(jobs: &[Job]) -> Sheet {
    let mut sheet = Sheet::new("jobs", &COLUMNS);
    let int = |n: i32| Cell::Int(i64::from(n));
    let text = |text: &str| Cell::Text(text.to_owned());
    for j in jobs {
        sheet.rows.push(vec![
            text(&j.id.to_string()),
            text(&j.order.action),
            text(&j.order.filter),
            text(&j.order.reason),
            text(&j.order.by),
            int(j.order.rate),
            text(&j.state),
            j.expected.map_or(Cell::None, int),
            int(j.matched),
            int(j.done),
            int(j.skipped),
            int(j.failed),
            Cell::text(j.note.clone()),
            Cell::text(j.server.clone()),
            Cell::Time(j.created_at),
            Cell::Time(j.updated_at),
            Cell::time(j.ended_at),
            Cell::text(j.ended_by.clone()),
            text(&j.why),
            Cell::Secs(j.order.keep_secs),
            text(&j.order.export.to_string()),
            Cell::text(j.order.policy.clone()),
        ]);
    }
    sheet
}

/// `GET /bulk`
pub async fn list(state: Data<State>, viewer: Viewer, request: HttpRequest) -> Result<HttpResponse, Problem> {
    match viewer.format {
        Format::Html => page(StatusCode::OK, &viewer, &all(&state, &viewer).await?),
        Format::Live => {
            Ok(live::answer(&state, &request, viewer, Follow::Clock, |state, viewer| async move {
                drawn(&all(&state, &viewer).await?)
            }))
        }
        _ => {
            let jobs = bulk::list(&state.runtime.pool().get().await?, SHOWN).await?;
            Report::list(sheet(&jobs)).answer(&viewer)
        }
    }
}

async fn all(state: &State, viewer: &Viewer) -> Result<BulkPage, Problem> {
    let jobs = bulk::list(&state.runtime.pool().get().await?, SHOWN).await?;
    let flag = viewer.server_flag();
    Ok(BulkPage {
        base: Base::live(viewer, "bulk", viewer.here.clone()),
        copies: Copies::curl(viewer, true).and("CLI", format!("tenure bulk list{flag}")),
        lines: jobs.iter().map(|job| line(job, viewer)).collect(),
        statements: vec![Statement::new("", bulk::NEWEST)],
        server: flag,
    })
}

/// `GET /bulk/{id}`
pub async fn show(
    state: Data<State>,
    id: Path<String>,
    viewer: Viewer,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = job_id(without_format(&id))?;
    match viewer.format {
        Format::Html => page(StatusCode::OK, &viewer, &one(&state, id, &viewer).await?),
        Format::Live => {
            bulk::get(&state.runtime.pool().get().await?, id).await?;
            Ok(live::answer(&state, &request, viewer, Follow::Clock, move |state, viewer| async move {
                drawn(&one(&state, id, &viewer).await?)
            }))
        }
        _ => {
            let job = bulk::get(&state.runtime.pool().get().await?, id).await?;
            Report::list(sheet(&[job])).answer(&viewer)
        }
    }
}

async fn one(state: &State, id: crate::id::BulkId, viewer: &Viewer) -> Result<JobPage, Problem> {
    let job = bulk::get(&state.runtime.pool().get().await?, id).await?;
    let flag = viewer.server_flag();
    Ok(JobPage {
        base: Base::live(viewer, "bulk", viewer.here.clone()),
        copies: Copies::curl(viewer, false).and("CLI", format!("tenure bulk show {id}{flag}")),
        job: line(&job, viewer),
        statements: vec![
            Statement::new("The job", bulk::statement(id)),
            Statement::new("The runs that it made, of a retry or restart", bulk::statement_of_runs(id)),
        ],
    })
}

/// What the address of a form says, and what a form says.
#[derive(Debug, Default, Deserialize)]
pub struct Sent {
    #[serde(default)]
    token: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    rate: String,
    /// Another one for each form that is shown, so that a second click begins no second job.
    #[serde(default)]
    key: String,
}

/// `GET /bulk/new`: what it would come to, and a form that begins it.
pub async fn new(state: Data<State>, sent: Query<Sent>, viewer: Viewer) -> Result<HttpResponse, Problem> {
    ask(&state, &sent, String::new(), viewer).await
}

async fn ask(state: &State, sent: &Sent, wrong: String, viewer: Viewer) -> Result<HttpResponse, Problem> {
    let counted = state.runtime.count_bulk(&sent.q, 0.0).await.map_err(Problem::from);
    let (count, wrong) = match form::obeyed(counted)? {
        Ok(count) => (Some(count), wrong),
        Err(unread) => (None, unread),
    };
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let words = |found: usize| shown::many(i64::try_from(found).unwrap_or(i64::MAX), "run");
    let count_words = count.map(|c| match (c.found, c.has_more) {
        (1, false) => "1 run matches".to_owned(),
        (found, has_more) => format!("{}{} match", words(found), if has_more { " or more" } else { "" }),
    });
    page(
        status,
        &viewer,
        &NewPage {
            base: Base::of(&viewer, "bulk"),
            filter: shown::text(&sent.q),
            runs: runs_of(&sent.q),
            is_empty: count.is_none_or(|c| c.found == 0 && !c.has_more),
            count: count_words.unwrap_or_default(),
            action: sent.action.clone(),
            actions: ACTIONS.map(|(action, says)| (action.name(), says)),
            reason: shown::text(&sent.reason),
            rate: if sent.rate.is_empty() { RATE.to_string() } else { shown::excerpt(&sent.rate, 10) },
            key: uuid::Uuid::now_v7().to_string(),
            wrong,
        },
    )
}

/// `POST /bulk`: begin it, and show how it goes.
pub async fn start(
    state: Data<State>,
    request: HttpRequest,
    sent: web::Form<Sent>,
    viewer: Viewer,
) -> Result<HttpResponse, Problem> {
    let by = form::sender(&request, &sent.token)?;
    let rate = sent.rate.trim().parse().unwrap_or(0);
    let wanted = action(&sent.action).map(|action| Wanted {
        action,
        filter: sent.q.clone(),
        reason: form::reason(&sent.reason),
        rate,
        by,
        key: Some(format!("form:{}", sent.key)).filter(|_| !sent.key.is_empty()),
        keep_secs: 0.0,
        export: false,
        policy: None,
    });
    let begun = match wanted {
        Ok(wanted) => state.runtime.start_bulk(&wanted).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match form::obeyed(begun)? {
        Ok(id) => Ok(form::see(&format!("/bulk/{id}"))),
        Err(wrong) => ask(&state, &sent, wrong, viewer).await,
    }
}

/// `POST /bulk/{id}/cancel`: begin nothing more, and show how it stands.
pub async fn cancel(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
    sent: web::Form<Sent>,
) -> Result<HttpResponse, Problem> {
    let by = form::sender(&request, &sent.token)?;
    let id = job_id(&id)?;
    bulk::cancel(&state.runtime.pool().get().await?, id, &by).await?;
    Ok(form::see(&format!("/bulk/{id}")))
}
