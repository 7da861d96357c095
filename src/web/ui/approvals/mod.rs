//! Approvals: an inbox of what people are asked, one question with what is known of it, and deciding it.
//!
//! ```text
//!   /approvals              questions that nobody has decided, the oldest one opened
//!   /approvals?show=decided those that were decided
//!   /approvals/{id}         one question
//!   /approvals/policies     which calls need a person
//!   /approvals/webhooks     who is told
//! ```

mod ask;
mod edit;
pub mod policies;
pub mod webhooks;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::{self, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::{Deserialize, Serialize};

use super::kit::live::{self, Follow};
use super::kit::{Base, Cell, Copies, Format, Report, Sheet, Statement, Viewer, form, without_format};
use super::shown::{self, Mark};
use super::{drawn, page};
use crate::id::ApprovalId;
use crate::json::{Json, storable_text};
use crate::runtime::Choice;
use crate::store::policies::{self as kept, Stored};
use crate::store::read::approvals::{self, Brief, Wanted as Which};
use crate::web::deciding::{self, Wish};
use crate::web::{Problem, State};
pub use ask::Ask;

/// Questions on a page.
const ROWS: i64 = 50;
/// Decisions beside those.
const RECENT: i64 = 5;
/// How far questions are counted.
const COUNTED: i64 = 1000;
/// Most bytes of a form.
const MOST: usize = 1024 * 1024;

/// What the address says.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Wanted {
    /// `decided`, or empty for what nobody has decided.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    show: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    tool: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    agent: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    group: String,
    /// The last question of the page before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    after: String,
}

impl Wanted {
    fn address(&self, id: Option<ApprovalId>) -> String {
        let path = id.map_or_else(|| "/approvals".to_owned(), |id| format!("/approvals/{id}"));
        let query = serde_urlencoded::to_string(self).unwrap_or_default();
        if query.is_empty() { path } else { format!("{path}?{query}") }
    }

    fn is_decided(&self) -> Result<bool, Problem> {
        match self.show.as_str() {
            "" | "pending" => Ok(false),
            "decided" => Ok(true),
            other => {
                let other = shown::excerpt(other, 30);
                Err(Problem::new(400, format!("there is no list '{other}'; there are pending and decided")))
            }
        }
    }

    fn which(&self) -> Result<Which, Problem> {
        let word = |text: &str| Some(storable_text(text).into_owned()).filter(|t| !t.is_empty());
        Ok(Which {
            is_decided: self.is_decided()?,
            after: (!self.after.is_empty()).then(|| deciding::approval_id(&self.after)).transpose()?,
            tool: word(&self.tool),
            agent: word(&self.agent),
            group: word(&self.group),
            execution: None,
        })
    }
}

/// One line of a list.
pub struct Line {
    pub address: String,
    pub is_current: bool,
    pub tool: String,
    pub mark: Mark,
    pub is_question: bool,
    /// How long there is left, or when it was decided.
    pub when: String,
    pub is_urgent: bool,
    pub about: String,
    pub facts: Vec<String>,
}

/// `templates/approvals.html`
#[derive(Template)]
#[template(path = "approvals.html")]
struct ApprovalsPage {
    base: Base,
    copies: Copies,
    /// Whether one was chosen; narrow screens then show that one only.
    is_chosen: bool,
    count: String,
    is_decided: bool,
    filter: String,
    pending: String,
    decided: String,
    all: String,
    lines: Vec<Line>,
    next: Option<String>,
    recent: Vec<Line>,
    ask: Option<Ask>,
    policies: Vec<Rule>,
    statements: Vec<Statement>,
}

/// A policy about which calls need a person.
struct Rule {
    /// As it is stored, for forms and addresses.
    whole: String,
    name: String,
    of: String,
    says: String,
    asks: String,
    set: String,
}

/// Everything that the page shows, as it was read.
struct Seen {
    count: i64,
    found: Vec<Brief>,
    has_more: bool,
    recent: Vec<Brief>,
    ask: Option<ask::Seen>,
    policies: Vec<Stored>,
}

/// `GET /approvals`
pub async fn list(
    state: Data<State>,
    wanted: Query<Wanted>,
    viewer: Viewer,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    respond(&state, None, wanted.into_inner(), viewer, &request).await
}

/// `GET /approvals/{id}`
pub async fn show(
    state: Data<State>,
    id: Path<String>,
    wanted: Query<Wanted>,
    viewer: Viewer,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = deciding::approval_id(without_format(&id))?;
    respond(&state, Some(id), wanted.into_inner(), viewer, &request).await
}

async fn respond(
    state: &State,
    id: Option<ApprovalId>,
    wanted: Wanted,
    viewer: Viewer,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let seen = look(state, id, &wanted).await?;
    match viewer.format {
        Format::Html => page(StatusCode::OK, &viewer, &draw(seen, id, &wanted, &viewer)?),
        Format::Live => Ok(live::answer(state, request, viewer, Follow::Executions, move |state, viewer| {
            let wanted = wanted.clone();
            async move { drawn(&draw(look(&state, id, &wanted).await?, id, &wanted, &viewer)?) }
        })),
        _ => report(&seen, id, &wanted).answer(&viewer),
    }
}

async fn look(state: &State, id: Option<ApprovalId>, wanted: &Wanted) -> Result<Seen, Problem> {
    let db = state.runtime.pool().get().await?;
    let which = wanted.which()?;
    let count = approvals::count(&db, COUNTED).await?;
    let mut found = approvals::list(&db, &which, ROWS + 1).await?;
    let has_more = i64::try_from(found.len()).is_ok_and(|n| n > ROWS);
    found.truncate(usize::try_from(ROWS).unwrap_or(0));
    let recent = if which.is_decided {
        vec![]
    } else {
        let which = Which { is_decided: true, after: None, ..which };
        approvals::list(&db, &which, RECENT).await?
    };
    let ask = match id.or_else(|| found.first().map(|b| b.id)) {
        Some(id) => Some(ask::look(&db, id).await?),
        None => None,
    };
    let policies = if id.is_some() { vec![] } else { kept::list(&db).await? };
    Ok(Seen { count, found, has_more, recent, ask, policies })
}

fn draw(
    seen: Seen,
    id: Option<ApprovalId>,
    wanted: &Wanted,
    viewer: &Viewer,
) -> Result<ApprovalsPage, Problem> {
    let current = seen.ask.as_ref().map(|a| a.approval.brief.id);
    let line = |b: &Brief| line(b, wanted, current, viewer);
    let is_decided = wanted.is_decided()?;
    let bare = |show: &str| Wanted { show: show.to_owned(), after: String::new(), ..wanted.clone() };
    let filter = [("tool", &wanted.tool), ("agent", &wanted.agent), ("group", &wanted.group)];
    let filter =
        filter.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k} {}", shown::excerpt(v, 60)));
    let cli = format!("tenure approvals list{}", viewer.server_flag());
    let last = seen.found.last().map(|b| b.id.to_string());
    Ok(ApprovalsPage {
        base: Base::live(viewer, "approvals", viewer.here.clone()),
        copies: Copies::curl(viewer, id.is_none()).and("CLI", cli),
        is_chosen: id.is_some(),
        count: match seen.count {
            0 => "Nobody waits for a decision.".to_owned(),
            1 => "1 question waits for a decision.".to_owned(),
            COUNTED => "More than 1000 questions wait for a decision.".to_owned(),
            n => format!("{n} questions wait for a decision."),
        },
        is_decided,
        filter: filter.collect::<Vec<_>>().join(", "),
        pending: bare("").address(None),
        decided: bare("decided").address(None),
        all: Wanted { show: wanted.show.clone(), ..Wanted::default() }.address(None),
        lines: seen.found.iter().map(line).collect(),
        next: last.filter(|_| seen.has_more).map(|after| Wanted { after, ..wanted.clone() }.address(None)),
        recent: seen.recent.iter().map(line).collect(),
        statements: statements(is_decided, current),
        policies: seen.policies.iter().map(|stored| rule(stored, viewer)).collect(),
        ask: seen.ask.map(|ask| Ask::of(ask, viewer)),
    })
}

/// How a question stands, as people read it.
pub fn mark(state: &str) -> Mark {
    let (class, icon, word) = match state {
        "pending" => ("human", "user", "Waits"),
        "expiring" => ("warn", "clock", "Its time is over"),
        "approved" => ("ok", "check", "Approved"),
        "denied" => ("fail", "x", "Denied"),
        "asked" => ("human", "chat", "Asked back"),
        "answered" => ("ok", "chat", "Answered"),
        _ => ("idle", "stop", "Withdrawn"),
    };
    Mark { class, icon, word }
}

fn line(b: &Brief, wanted: &Wanted, current: Option<ApprovalId>, viewer: &Viewer) -> Line {
    let ago = |at| shown::duration(shown::secs(at, viewer.now));
    let left = b.expires_at.map(|at| shown::secs(viewer.now, at));
    let mut facts = vec![shown::excerpt(&b.agent, 40)];
    let (when, is_urgent, about);
    match &b.decided {
        None => {
            facts.push(format!("asked {} ago", ago(b.asked_at)));
            if b.quorum > 1 {
                facts.push(format!("{} of {} approved", b.approved, b.quorum));
            }
            facts.extend(b.group.as_deref().map(|g| shown::excerpt(g, 40)));
            when = left.map(|secs| format!("{} left", shown::duration(secs))).unwrap_or_default();
            is_urgent = left.is_some_and(|secs| secs < 900.0);
            about = shown::excerpt(&b.beginning, 120);
        }
        Some(decided) => {
            facts.push(format!("by {}", shown::excerpt(&decided.by, 60)));
            when = format!("{} ago", ago(decided.at));
            is_urgent = false;
            let edited = if b.is_edited { "with other arguments" } else { "" };
            let reason = decided.reason.as_deref().map(|r| shown::excerpt(r, 120)).unwrap_or_default();
            about = [edited, &reason].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(": ");
        }
    }
    let show = if b.decided.is_some() && wanted.show.is_empty() { Wanted::default() } else { wanted.clone() };
    Line {
        address: show.address(Some(b.id)),
        is_current: current == Some(b.id),
        tool: shown::excerpt(&b.tool, 60),
        mark: mark(&b.state),
        is_question: b.is_question,
        when,
        is_urgent,
        about,
        facts,
    }
}

fn statements(is_decided: bool, current: Option<ApprovalId>) -> Vec<Statement> {
    approvals::statements(is_decided, current)
        .into_iter()
        .map(|(about, sql)| Statement::new(about, sql))
        .collect()
}

fn report(seen: &Seen, id: Option<ApprovalId>, wanted: &Wanted) -> Report {
    if let (Some(_), Some(ask)) = (id, &seen.ask) {
        return ask.report();
    }
    let mut sheet = Sheet::new(
        "approvals",
        &[
            "id",
            "state",
            "tool",
            "agent",
            "group",
            "asked_at",
            "expires_at",
            "quorum",
            "approved",
            "arguments",
            "decided_at",
            "decided_by",
            "via",
            "edited",
            "reason",
            "execution_id",
        ],
    );
    sheet.rows.extend(seen.found.iter().map(|b| {
        let d = b.decided.as_ref();
        vec![
            Cell::Text(b.id.to_string()),
            Cell::Text(b.state.clone()),
            Cell::Text(b.tool.clone()),
            Cell::Text(b.agent.clone()),
            Cell::text(b.group.clone()),
            Cell::Time(b.asked_at),
            Cell::time(b.expires_at),
            Cell::Int(b.quorum.into()),
            Cell::Int(b.approved),
            Cell::Text(b.beginning.clone()),
            Cell::time(d.map(|d| d.at)),
            Cell::text(d.map(|d| d.by.clone())),
            Cell::text(d.map(|d| d.via.clone())),
            Cell::Int(b.is_edited.into()),
            Cell::text(d.and_then(|d| d.reason.clone())),
            Cell::Text(b.execution.to_string()),
        ]
    }));
    let last = seen.found.last().map(|b| b.id.to_string()).filter(|_| seen.has_more);
    Report { next: last.map(|after| Wanted { after, ..wanted.clone() }.address(None)), ..Report::list(sheet) }
}

fn rule(stored: &Stored, viewer: &Viewer) -> Rule {
    let policy = &stored.policy;
    let [agent, tool] = [&policy.agent, &policy.tool].map(|pattern| shown::excerpt(pattern, 60));
    Rule {
        whole: policy.name.clone(),
        name: shown::excerpt(&policy.name, 60),
        of: if agent == "*" { tool } else { format!("{tool} of {agent}") },
        says: shown::excerpt(&policy.says(), 120),
        asks: shown::excerpt(&policy.asks(), 120),
        set: format!("{} {}", shown::excerpt(&stored.set_by, 60), viewer.zone.stamp(stored.set_at)),
    }
}

/// What forms may be, for the route.
pub fn limits() -> web::FormConfig {
    web::FormConfig::default().limit(MOST).error_handler(|error, request| {
        let status = actix_web::ResponseError::status_code(&error).as_u16();
        Problem::at(request, status, format!("the form can't be read: {error}")).into()
    })
}

/// `POST /approvals/{id}/decide`: decide, then show what became of it.
pub async fn decide(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
    sent: web::Form<Vec<(String, String)>>,
) -> Result<HttpResponse, Problem> {
    let said = |name: &str| sent.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let sender = form::sender(&request, said("token"))?;
    let id = deciding::approval_id(&id)?;
    let name = said("by").trim();
    let by =
        if name.is_empty() { sender } else { deciding::who(&storable_text(name), "a person", &request)? };
    let choice = match said("decision") {
        "approve" => {
            let asked = approvals::get(&state.runtime.pool().get().await?, id).await?;
            Choice::Approve { arguments: edit::sent(&asked.arguments, &asked.schema, &sent)? }
        }
        "deny" => Choice::Deny,
        "ask" => Choice::Ask,
        "answer" => {
            let text = said("answer").replace("\r\n", "\n");
            if text.trim().is_empty() {
                return Err(Problem::new(400, "an answer needs words; go back and write some"));
            }
            Choice::Answer(Json::of(&storable_text(&text)))
        }
        _ => return Err(Problem::new(400, "nothing was decided: approve, deny, answer or ask back")),
    };
    let wish = Wish {
        choice,
        by,
        reason: storable_text(&said("note").replace("\r\n", "\n")).into_owned(),
        shown: Some(said("hash").to_owned()),
        via: "page",
    };
    deciding::decide(&state, id, wish).await?;
    let back = Some(form::local(said("back"))).filter(|back| back.starts_with("/execution/"));
    let mut answer = form::see(back.unwrap_or(&format!("/approvals/{id}")));
    if let Ok(cookie) = header::HeaderValue::from_str(&super::kit::named(name)) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_keeps_the_list() {
        let wanted = Wanted { show: "decided".into(), tool: "a&b".into(), ..Wanted::default() };
        assert_eq!(wanted.address(None), "/approvals?show=decided&tool=a%26b");
        assert_eq!(Wanted::default().address(None), "/approvals");
        let id: ApprovalId = "0199f0aa-0000-7000-8000-000000000001".parse().unwrap();
        assert_eq!(Wanted::default().address(Some(id)), format!("/approvals/{id}"));
        assert!(Wanted { show: "x".into(), ..Wanted::default() }.which().is_err());
        assert!(Wanted { after: "x".into(), ..Wanted::default() }.which().is_err());
    }
}
