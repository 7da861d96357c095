//! Webhooks: who is told, of what, what came of it; setting, trying out and removing them.

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

use crate::store::outbox::{self, Delivery, Stored};
use crate::web::api::webhooks as api;
use crate::web::ui::kit::{Base, Cell, Copies, Format, Report, Sheet, Statement, Viewer, form};
use crate::web::ui::shown::Mark;
use crate::web::ui::{page, shown};
use crate::web::{Problem, State};

/// Deliveries that are shown.
const SHOWN: i64 = 50;

/// A webhook in the list.
struct Line {
    /// Its name, whole.
    name: String,
    shown: String,
    set: String,
    place: String,
    of: String,
    remind: String,
    mark: Mark,
    says: String,
}

/// Something that was told, or is to be.
struct Told {
    id: String,
    at: String,
    webhook: String,
    what: &'static str,
    address: String,
    mark: Mark,
    why: String,
    can_again: bool,
}

/// `templates/webhooks.html`
#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhooksPage {
    base: Base,
    copies: Copies,
    lines: Vec<Line>,
    told: Vec<Told>,
    form: Form,
    /// Each with whether it is chosen.
    events: Vec<(&'static str, &'static str, bool)>,
    /// A secret that was made up a moment ago.
    secret: String,
    statements: Vec<Statement>,
}

/// A form as it is shown, and as it is sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    token: String,
    name: String,
    url: String,
    shape: String,
    secret: String,
    asked: String,
    escalated: String,
    decided: String,
    failed: String,
    agent: String,
    group: String,
    remind: String,
    /// A delivery that is to be sent once more.
    delivery: String,
    /// Why it was not obeyed.
    #[serde(skip)]
    wrong: String,
}

/// What the address says.
#[derive(Debug, Default, Deserialize)]
pub struct Wanted {
    /// The webhook that is to be changed.
    #[serde(default)]
    change: String,
}

impl Form {
    fn of(stored: &Stored) -> Self {
        let w = &stored.webhook;
        let on =
            |event: &str| if w.events.iter().any(|e| e == event) { "on".to_owned() } else { String::new() };
        Self {
            name: shown::text(&w.name),
            url: shown::text(&w.url),
            shape: w.shape.clone(),
            asked: on("asked"),
            escalated: on("escalated"),
            decided: on("decided"),
            failed: on("failed"),
            agent: shown::text(&w.agent),
            group: w.group.as_deref().map(shown::text).unwrap_or_default(),
            remind: w.remind_secs.map(api::span).unwrap_or_default(),
            ..Self::default()
        }
    }

    fn fresh() -> Self {
        let on = || "on".to_owned();
        Self { asked: on(), escalated: on(), decided: on(), failed: on(), ..Self::default() }
    }

    fn has(&self, event: &str) -> bool {
        let field = match event {
            "asked" => &self.asked,
            "escalated" => &self.escalated,
            "decided" => &self.decided,
            _ => &self.failed,
        };
        !field.is_empty()
    }

    fn wish(&self) -> api::Wish {
        let word = |text: &str| Some(text.to_owned()).filter(|text| !text.trim().is_empty());
        let events =
            api::EVENTS.iter().filter(|(event, _)| self.has(event)).map(|(event, _)| (*event).to_owned());
        api::Wish {
            name: self.name.clone(),
            url: self.url.clone(),
            shape: word(&self.shape),
            secret: word(&self.secret),
            events: Some(events.collect()),
            agent: word(&self.agent),
            group: word(&self.group),
            remind: word(&self.remind),
            by: None,
        }
    }
}

fn line(stored: &Stored, viewer: &Viewer) -> Line {
    let (zone, now) = (&viewer.zone, viewer.now);
    let Stored { webhook: w, set_at, set_by, waiting, gave_up, last_at, trouble } = stored;
    let last = last_at.map(|at| format!("last taken {}", zone.at(at, now)));
    let (mark, says) = match (trouble, gave_up) {
        (Some(why), _) => {
            let says = format!("{}; {} waiting", shown::excerpt(why, 200), shown::count(*waiting));
            (Mark { class: "fail", icon: "alert", word: "Not taken" }, shown::sentence(&says))
        }
        (None, 1..) => (
            Mark { class: "warn", icon: "alert", word: "Gave up" },
            format!("{} in two days; see below", shown::count(*gave_up)),
        ),
        (None, _) => match last {
            Some(last) => (Mark { class: "ok", icon: "check", word: "Works" }, last),
            None => (Mark { class: "idle", icon: "clock", word: "Not used yet" }, String::new()),
        },
    };
    let mut of = w.events.join(", ");
    if w.agent != "*" {
        of = format!("{of}; agents {}", shown::excerpt(&w.agent, 100));
    }
    if let Some(group) = &w.group {
        of = format!("{of}; only for {}", shown::excerpt(group, 100));
    }
    Line {
        name: w.name.clone(),
        shown: shown::excerpt(&w.name, 100),
        set: format!("set {} by {}", zone.at(*set_at, now), shown::excerpt(set_by, 100)),
        place: shown::excerpt(
            &format!("{}{}", if w.shape == "slack" { "Slack, " } else { "" }, api::place(w)),
            200,
        ),
        of,
        remind: w.remind_secs.map(|secs| format!("every {}", api::span(secs))).unwrap_or_default(),
        mark,
        says,
    }
}

fn told(delivery: &Delivery, viewer: &Viewer) -> Told {
    let (class, icon, word) = match delivery.state.as_str() {
        "delivered" => ("ok", "check", "Taken"),
        "waiting" if delivery.tries > 0 => ("warn", "clock", "Tried again"),
        "waiting" => ("run", "ring", "Waiting"),
        "dropped" => ("idle", "x", "Not sent"),
        _ => ("fail", "alert", "Gave up"),
    };
    let (what, address) = match (delivery.event.as_str(), delivery.execution) {
        ("asked", _) => ("a person is asked", format!("/approvals/{}", delivery.subject)),
        ("reminder", _) => ("a reminder", format!("/approvals/{}", delivery.subject)),
        ("escalated", _) => ("others are asked", format!("/approvals/{}", delivery.subject)),
        ("decided", _) => ("it was decided", format!("/approvals/{}", delivery.subject)),
        ("failed", Some(run)) => ("a run failed", format!("/execution/{run}")),
        ("failed", None) => ("a run failed", String::new()),
        _ => ("a test", String::new()),
    };
    Told {
        id: delivery.id.to_string(),
        at: viewer.zone.at(delivery.created_at, viewer.now),
        webhook: shown::excerpt(&delivery.webhook, 100),
        what,
        address,
        mark: Mark { class, icon, word },
        why: shown::sentence(&shown::text(&delivery.why)),
        can_again: delivery.state != "waiting",
    }
}

/// `GET /approvals/webhooks`
pub async fn show(
    state: Data<State>,
    wanted: Query<Wanted>,
    viewer: Viewer,
) -> Result<HttpResponse, Problem> {
    let all = outbox::list(&state.runtime.pool().get().await?).await?;
    if viewer.format != Format::Html {
        return report(&all).answer(&viewer);
    }
    let changed = all.iter().find(|stored| stored.webhook.name == wanted.change);
    draw(&state, changed.map_or_else(Form::fresh, Form::of), String::new(), &viewer).await
}

async fn draw(state: &State, form: Form, secret: String, viewer: &Viewer) -> Result<HttpResponse, Problem> {
    let status = if form.wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let db = state.runtime.pool().get().await?;
    let all = outbox::list(&db).await?;
    let deliveries = outbox::deliveries(&db, SHOWN, None).await?;
    drop(db);
    let cli = format!("tenure approvals webhook list{}", viewer.server_flag());
    page(
        status,
        viewer,
        &WebhooksPage {
            base: Base::of(viewer, "approvals"),
            copies: Copies::curl(viewer, true).and("CLI", cli),
            lines: all.iter().map(|stored| line(stored, viewer)).collect(),
            told: deliveries.iter().map(|delivery| told(delivery, viewer)).collect(),
            events: api::EVENTS.map(|(event, says)| (event, says, form.has(event))).to_vec(),
            form,
            secret,
            statements: outbox::STATEMENTS.map(|(says, sql)| Statement::new(says, sql)).to_vec(),
        },
    )
}

fn report(all: &[Stored]) -> Report {
    let columns = [
        "name",
        "place",
        "shape",
        "events",
        "agent",
        "of_group",
        "remind_secs",
        "waiting",
        "gave_up",
        "last_at",
        "trouble",
    ];
    let mut sheet = Sheet::new("webhooks", &columns);
    sheet.rows.extend(all.iter().map(|stored| {
        let Stored { webhook: w, waiting, gave_up, last_at, trouble, .. } = stored;
        vec![
            Cell::Text(w.name.clone()),
            Cell::Text(api::place(w)),
            Cell::Text(w.shape.clone()),
            Cell::Text(w.events.join(" ")),
            Cell::Text(w.agent.clone()),
            Cell::text(w.group.clone()),
            w.remind_secs.map_or(Cell::None, Cell::Secs),
            Cell::Int(*waiting),
            Cell::Int(*gave_up),
            Cell::time(*last_at),
            Cell::text(trouble.clone()),
        ]
    }));
    Report::list(sheet)
}

/// `POST /approvals/webhooks`: set a webhook, or replace the one of its name. A secret that was made up is shown this once.
pub async fn set(
    state: Data<State>,
    request: HttpRequest,
    viewer: Viewer,
    sent: web::Form<Form>,
) -> Result<HttpResponse, Problem> {
    let sent = sent.into_inner();
    let by = form::sender(&request, &sent.token)?;
    match form::obeyed(api::put(&state, &sent.wish(), &by).await)? {
        Ok(None) => Ok(form::see("/approvals/webhooks")),
        Ok(Some(secret)) => draw(&state, Form::fresh(), secret, &viewer).await,
        Err(wrong) => draw(&state, Form { wrong, ..sent }, String::new(), &viewer).await,
    }
}

/// `POST /approvals/webhooks/{action}`: `remove` one, `test` one, or send a delivery `again`.
pub async fn act(
    state: Data<State>,
    action: web::Path<String>,
    request: HttpRequest,
    sent: web::Form<Form>,
) -> Result<HttpResponse, Problem> {
    form::sender(&request, &sent.token)?;
    match action.as_str() {
        "remove" => api::take_away(&state, &sent.name).await?,
        "test" => drop(api::try_out(&state, &sent.name).await?),
        "again" => drop(api::once_more(&state, &sent.delivery).await?),
        _ => return Err(Problem::not_found("there are remove, test and again")),
    }
    Ok(form::see("/approvals/webhooks"))
}
