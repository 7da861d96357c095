//! Retention policies: which finished runs are kept for how long, what is due, and setting, changing and removing them.

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use futures_util::future::join_all;
use serde::Deserialize;

use super::bulk::runs_of;
use super::kit::{Base, Cell, Copies, Format, Report, Sheet, Statement, Viewer, form};
use super::{page, shown};
use crate::runtime::bulk::Count;
use crate::store::retention::{self, Stored};
use crate::web::api::bulk::kept;
use crate::web::api::retention as api;
use crate::web::{Problem, State};

/// A policy in the list.
struct Line {
    /// Its name, whole.
    name: String,
    shown: String,
    set: String,
    filter: String,
    runs: String,
    keep: String,
    export: bool,
    due: String,
    deleted: String,
    last: String,
    /// The job that works for it.
    job: String,
}

/// `templates/retention.html`
#[derive(Template)]
#[template(path = "retention.html")]
struct RetentionPage {
    base: Base,
    copies: Copies,
    lines: Vec<Line>,
    form: Form,
    statements: Vec<Statement>,
}

/// A form as it is shown, and as it is sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    token: String,
    name: String,
    filter: String,
    keep: String,
    export: String,
    /// Why it was not obeyed.
    #[serde(skip)]
    wrong: String,
}

/// What the address says.
#[derive(Debug, Default, Deserialize)]
pub struct Wanted {
    /// The policy that is to be changed.
    #[serde(default)]
    change: String,
}

fn line(stored: &Stored, due: Option<Count>, viewer: &Viewer) -> Line {
    let (zone, now) = (&viewer.zone, viewer.now);
    let Stored { policy, set_at, set_by, deleted, last_at, job, .. } = stored;
    Line {
        name: policy.name.clone(),
        shown: shown::excerpt(&policy.name, 100),
        set: format!("set {} by {}", zone.at(*set_at, now), shown::excerpt(set_by, 100)),
        filter: shown::excerpt(&policy.filter, 200),
        runs: runs_of(&policy.filter),
        keep: kept(policy.keep_secs),
        export: policy.export,
        due: due.map_or_else(
            || "unknown".to_owned(),
            |c| {
                let found = shown::count(i64::try_from(c.found).unwrap_or(i64::MAX));
                if c.has_more { format!("{found} or more") } else { found }
            },
        ),
        deleted: shown::count(*deleted),
        last: last_at.map(|at| zone.at(at, now)).unwrap_or_default(),
        job: job.map(|id| id.to_string()).unwrap_or_default(),
    }
}

/// `GET /bulk/retention`
pub async fn show(
    state: Data<State>,
    wanted: Query<Wanted>,
    viewer: Viewer,
) -> Result<HttpResponse, Problem> {
    let all = retention::list(&state.runtime.pool().get().await?).await?;
    if viewer.format != Format::Html {
        return report(&all).answer(&viewer);
    }
    let changed = all.iter().find(|stored| stored.policy.name == wanted.change);
    let form = changed.map(|Stored { policy, .. }| Form {
        name: shown::text(&policy.name),
        filter: shown::text(&policy.filter),
        keep: kept(policy.keep_secs),
        export: if policy.export { "on".to_owned() } else { String::new() },
        ..Form::default()
    });
    draw(&state, &all, form.unwrap_or_default(), &viewer).await
}

async fn draw(state: &State, all: &[Stored], form: Form, viewer: &Viewer) -> Result<HttpResponse, Problem> {
    let due = join_all(all.iter().map(async |stored| {
        state.runtime.count_bulk(&stored.policy.filter, stored.policy.keep_secs).await.ok()
    }))
    .await;
    let status = if form.wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let cli = format!("tenure bulk retention list{}", viewer.server_flag());
    page(
        status,
        viewer,
        &RetentionPage {
            base: Base::of(viewer, "bulk"),
            copies: Copies::curl(viewer, true).and("CLI", cli),
            lines: all.iter().zip(due).map(|(stored, due)| line(stored, due, viewer)).collect(),
            form,
            statements: vec![Statement::new("", retention::STATEMENT)],
        },
    )
}

fn report(all: &[Stored]) -> Report {
    let mut sheet = Sheet::new(
        "policies",
        &[
            "name",
            "filter",
            "keep_secs",
            "export",
            "set_at",
            "set_by",
            "looked_at",
            "deleted",
            "last_at",
            "job",
        ],
    );
    sheet.rows.extend(all.iter().map(|stored| {
        let Stored { policy, set_at, set_by, looked_at, deleted, last_at, job } = stored;
        vec![
            Cell::Text(policy.name.clone()),
            Cell::Text(policy.filter.clone()),
            Cell::Secs(policy.keep_secs),
            Cell::Text(policy.export.to_string()),
            Cell::Time(*set_at),
            Cell::Text(set_by.clone()),
            Cell::time(*looked_at),
            Cell::Int(*deleted),
            Cell::time(*last_at),
            Cell::text(job.map(|id| id.to_string())),
        ]
    }));
    Report::list(sheet)
}

/// `POST /bulk/retention`: set a policy, or replace the one of its name.
pub async fn set(
    state: Data<State>,
    request: HttpRequest,
    viewer: Viewer,
    sent: web::Form<Form>,
) -> Result<HttpResponse, Problem> {
    let sent = sent.into_inner();
    let by = form::sender(&request, &sent.token)?;
    let wish = api::Wish {
        name: sent.name.clone(),
        filter: sent.filter.clone(),
        keep: sent.keep.clone(),
        export: !sent.export.is_empty(),
        by: None,
    };
    match form::obeyed(api::put(&state, &wish, &by).await)? {
        Ok(()) => Ok(form::see("/bulk/retention")),
        Err(wrong) => {
            let all = retention::list(&state.runtime.pool().get().await?).await?;
            draw(&state, &all, Form { wrong, ..sent }, &viewer).await
        }
    }
}

/// `POST /bulk/retention/remove`
pub async fn remove(
    state: Data<State>,
    request: HttpRequest,
    sent: web::Form<Form>,
) -> Result<HttpResponse, Problem> {
    let by = form::sender(&request, &sent.token)?;
    api::take_away(&state, &sent.name, &by).await?;
    Ok(form::see("/bulk/retention"))
}
