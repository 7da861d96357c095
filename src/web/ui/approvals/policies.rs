//! Approval policies: which there are, and setting, changing and removing them.

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Rule, rule};
use crate::store::policies::{self, Stored};
use crate::web::api::policies as api;
use crate::web::ui::kit::{Base, Cell, Copies, Format, Report, Sheet, Statement, Viewer, form};
use crate::web::ui::{page, shown};
use crate::web::{Problem, State};

/// `templates/policies.html`
#[derive(Template)]
#[template(path = "policies.html")]
struct PoliciesPage {
    base: Base,
    copies: Copies,
    rules: Vec<Rule>,
    form: Form,
    statements: Vec<Statement>,
}

/// A form as it is shown, and as it is sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    token: String,
    name: String,
    position: String,
    agent: String,
    tool: String,
    mode: String,
    argument: String,
    above: String,
    equals: String,
    waives: String,
    group: String,
    quorum: String,
    /// Minutes.
    time: String,
    on_timeout: String,
    escalate_to: String,
    not_requester: String,
    by: String,
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

impl Form {
    /// One that says what a policy says.
    fn of(stored: &Stored) -> Self {
        let row = api::row(stored);
        let text = |key: &str| match &row[key] {
            Value::Null => String::new(),
            Value::String(text) => shown::text(text),
            Value::Number(number) => number.as_f64().map(|n| n.to_string()).unwrap_or_default(),
            other => other.to_string(),
        };
        let is = |key: &str| if row[key] == true { "on".to_owned() } else { String::new() };
        let minutes = row["timeoutSeconds"].as_f64().map(|secs| (secs / 60.0).to_string());
        Self {
            name: text("name"),
            position: text("position"),
            agent: text("agent"),
            tool: text("tool"),
            mode: text("mode"),
            argument: text("argument"),
            above: text("above"),
            equals: text("equals"),
            waives: is("waives"),
            group: text("group"),
            quorum: text("quorum"),
            time: minutes.unwrap_or_default(),
            on_timeout: text("onTimeout"),
            escalate_to: text("escalateTo"),
            not_requester: is("notRequester"),
            ..Self::default()
        }
    }

    /// The same as programs say it.
    fn wish(&self) -> Result<api::Wish, String> {
        let word = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let number = |field: &str, text: &str| match word(text) {
            None => Ok(None),
            Some(text) => text.parse::<f64>().map(Some).map_err(|_| format!("{field}: must be a number")),
        };
        let whole = |field: &str, text: &str| match word(text) {
            None => Ok(None),
            Some(text) => {
                text.parse::<i32>().map(Some).map_err(|_| format!("{field}: must be a whole number"))
            }
        };
        let is_when = self.mode == "when";
        let equals = word(&self.equals).filter(|_| is_when).map(|text| {
            serde_json::from_str(&text)
                .unwrap_or_else(|_| Value::String(crate::json::storable_text(&text).into()))
        });
        let asks = self.mode != "never";
        let wish = json!({
            "name": self.name, "position": whole("position", &self.position)?,
            "agent": word(&self.agent), "tool": word(&self.tool), "mode": self.mode,
            "argument": word(&self.argument).filter(|_| is_when),
            "above": number("above", &self.above)?.filter(|_| is_when),
            "equals": equals, "waives": (!self.waives.is_empty() && !asks).then_some(true),
            "group": word(&self.group).filter(|_| asks),
            "quorum": whole("quorum", &self.quorum)?.filter(|_| asks),
            "timeoutSeconds": number("time", &self.time)?.filter(|_| asks).map(|minutes| minutes * 60.0),
            "onTimeout": word(&self.on_timeout).filter(|_| asks && !self.time.trim().is_empty()),
            "escalateTo": word(&self.escalate_to).filter(|_| asks),
            "notRequester": (!self.not_requester.is_empty() && asks).then_some(true),
            "by": word(&self.by),
        });
        serde_json::from_value(wish).map_err(|error| error.to_string())
    }
}

/// `GET /approvals/policies`
pub async fn show(
    state: Data<State>,
    wanted: Query<Wanted>,
    viewer: Viewer,
) -> Result<HttpResponse, Problem> {
    let all = policies::list(&state.runtime.pool().get().await?).await?;
    if viewer.format != Format::Html {
        return report(&all).answer(&viewer);
    }
    let changed = all.iter().find(|stored| stored.policy.name == wanted.change);
    let form = changed.map(Form::of).unwrap_or_default();
    draw(&all, Form { by: viewer.name.clone(), ..form }, &viewer)
}

fn draw(all: &[Stored], form: Form, viewer: &Viewer) -> Result<HttpResponse, Problem> {
    let status = if form.wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let cli = format!("tenure approvals policy list{}", viewer.server_flag());
    page(
        status,
        viewer,
        &PoliciesPage {
            base: Base::of(viewer, "approvals"),
            copies: Copies::curl(viewer, true).and("CLI", cli),
            rules: all.iter().map(|stored| rule(stored, viewer)).collect(),
            form,
            statements: vec![Statement::new("", policies::STATEMENT)],
        },
    )
}

fn report(all: &[Stored]) -> Report {
    let mut sheet =
        Sheet::new("policies", &["name", "position", "agent", "tool", "says", "asks", "set_at", "set_by"]);
    sheet.rows.extend(all.iter().map(|stored| {
        let policy = &stored.policy;
        vec![
            Cell::Text(policy.name.clone()),
            Cell::Int(stored.position.into()),
            Cell::Text(policy.agent.clone()),
            Cell::Text(policy.tool.clone()),
            Cell::Text(policy.says()),
            Cell::Text(policy.asks()),
            Cell::Time(stored.set_at),
            Cell::Text(stored.set_by.clone()),
        ]
    }));
    Report::list(sheet)
}

/// `POST /approvals/policies`: set a policy, or replace the one of its name.
pub async fn set(
    state: Data<State>,
    request: HttpRequest,
    viewer: Viewer,
    sent: web::Form<Form>,
) -> Result<HttpResponse, Problem> {
    let sent = sent.into_inner();
    form::sender(&request, &sent.token)?;
    let put = match sent.wish() {
        Ok(wish) => api::put(&state, wish, "a person", &request).await,
        Err(why) => Err(Problem::new(400, why)),
    };
    match form::obeyed(put)? {
        Ok(()) => Ok(form::see("/approvals/policies")),
        Err(wrong) => {
            let all = policies::list(&state.runtime.pool().get().await?).await?;
            draw(&all, Form { wrong, ..sent }, &viewer)
        }
    }
}

/// `POST /approvals/policies/remove`
pub async fn remove(
    state: Data<State>,
    request: HttpRequest,
    sent: web::Form<Form>,
) -> Result<HttpResponse, Problem> {
    form::sender(&request, &sent.token)?;
    api::take_away(&state, &sent.name).await?;
    Ok(form::see("/approvals/policies"))
}
