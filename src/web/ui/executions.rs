//! The list of executions: newest first, its whole state in the address.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Query};
use askama::Template;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::kit::{Base, Viewer};
use super::shown::Zone;
use super::{page, shown, timeline};
use crate::engine::Status;
use crate::id::ExecutionId;
use crate::json;
use crate::store::{self, read::pages};
use crate::web::{Problem, State};

/// Lines of a page.
const PAGE: usize = 50;
/// Attempts whose time a line shows.
const SHAPE: usize = 60;
/// What can be filtered for.
const STATUSES: [Status; 6] = [
    Status::Running,
    Status::Paused,
    Status::Completed,
    Status::Failed,
    Status::Terminated,
    Status::TimedOut,
];

/// What the address says.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Wanted {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    status: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    agent: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    q: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    before: String,
}

impl Wanted {
    fn is_filtered(&self) -> bool {
        !(self.status.is_empty() && self.agent.is_empty() && self.q.is_empty())
    }

    /// The address of the page that shows this.
    fn address(&self) -> String {
        let query = serde_urlencoded::to_string(self).unwrap_or_default();
        if query.is_empty() { "/executions".to_owned() } else { format!("/executions?{query}") }
    }

    fn filter(&self) -> Result<pages::Filter, Problem> {
        let q = given(&self.q);
        let id = q.as_deref().and_then(|q| q.parse().ok());
        Ok(pages::Filter {
            status: given(&self.status).map(|s| status(&s)).transpose()?,
            agent: given(&self.agent).map(Into::into),
            id,
            text: q.filter(|_| id.is_none()).map(Into::into),
            before: given(&self.before).map(|b| cursor(&b)).transpose()?,
        })
    }
}

/// What was asked for, as it would be stored; `None` when nothing was.
fn given(text: &str) -> Option<std::borrow::Cow<'_, str>> {
    Some(text.trim()).filter(|t| !t.is_empty()).map(json::storable_text)
}

fn status(word: &str) -> Result<Status, Problem> {
    STATUSES.into_iter().find(|s| s.name().eq_ignore_ascii_case(word)).ok_or_else(|| {
        let known = STATUSES.map(Status::name).join(", ");
        Problem::new(400, format!("there is no status '{word}'; there are {known}"))
    })
}

fn cursor(text: &str) -> Result<ExecutionId, Problem> {
    let broken =
        |_| Problem::new(400, format!("before='{text}' is no execution's id; begin at /executions again"));
    text.parse().map_err(broken)
}

/// `templates/executions.html`
#[derive(Template)]
#[template(path = "executions.html")]
struct ExecutionsPage {
    base: Base,
    /// What was asked for, as a page can hold it.
    wanted: Wanted,
    tabs: Vec<Tab>,
    agents: Vec<String>,
    lines: Vec<Line>,
    is_filtered: bool,
    newest: Option<String>,
    older: Option<String>,
    too_slow: bool,
    as_of: String,
    server: Option<String>,
    sql: String,
}

struct Tab {
    word: &'static str,
    address: String,
    is_current: bool,
}

struct Line {
    id: ExecutionId,
    mark: shown::Mark,
    title: String,
    agent: String,
    version: i32,
    now: String,
    more: String,
    shape: Vec<timeline::Bar>,
    took: String,
    turns: String,
    tokens: String,
    started: String,
    started_at: Timestamp,
    stamp: String,
}

/// `GET /executions`
pub async fn list(
    state: Data<State>,
    wanted: Query<Wanted>,
    viewer: Viewer,
) -> Result<HttpResponse, Problem> {
    let wanted = wanted.into_inner();
    let zone = viewer.zone.clone();
    let filter = wanted.filter()?;
    let mut db = state.runtime.pool().get().await?;
    let (mut found, too_slow) = match pages::list(&mut db, &filter, PAGE + 1).await {
        Ok(found) => (found, false),
        Err(store::Error::Postgres(e))
            if e.code() == Some(&tokio_postgres::error::SqlState::QUERY_CANCELED) =>
        {
            (vec![], true)
        }
        Err(error) => return Err(error.into()),
    };
    let has_more = found.len() > PAGE;
    found.truncate(PAGE);
    let ids: Vec<_> = found.iter().map(|l| l.id).collect();
    let shapes = pages::shapes(&db, &ids, SHAPE).await?;
    let agents = pages::agents(&db).await?;
    drop(db);
    let older = found
        .last()
        .filter(|_| has_more)
        .map(|last| Wanted { before: last.id.to_string(), ..wanted.clone() });
    let now = Timestamp::now();
    page(
        StatusCode::OK,
        &viewer,
        &ExecutionsPage {
            base: Base::of(&viewer, "executions"),
            tabs: tabs(&wanted),
            agents: agents.iter().map(|a| shown::text(a)).collect(),
            lines: lines(&found, shapes, now, &zone),
            is_filtered: wanted.is_filtered(),
            newest: (!wanted.before.is_empty())
                .then(|| Wanted { before: String::new(), ..wanted.clone() }.address()),
            older: older.map(|w| w.address()),
            too_slow,
            as_of: zone.clock(now),
            server: viewer.server.clone(),
            sql: sql(&filter),
            wanted: Wanted {
                agent: wanted.agent.replace('\0', "\u{2400}"),
                q: wanted.q.replace('\0', "\u{2400}"),
                ..wanted
            },
        },
    )
}

fn tabs(wanted: &Wanted) -> Vec<Tab> {
    let tab = |status: &str, word| Tab {
        word,
        address: Wanted { status: status.to_owned(), before: String::new(), ..wanted.clone() }.address(),
        is_current: wanted.status.trim().eq_ignore_ascii_case(status),
    };
    let named = STATUSES.map(|s| tab(s.name(), shown::status(s, None).word));
    std::iter::once(tab("", "All")).chain(named).collect()
}

fn lines(found: &[pages::Line], shapes: Vec<pages::Step>, now: Timestamp, zone: &Zone) -> Vec<Line> {
    let mut steps: HashMap<ExecutionId, Vec<pages::Step>> = HashMap::new();
    for step in shapes {
        steps.entry(step.execution).or_default().push(step);
    }
    found.iter().map(|l| line(l, steps.get(&l.id).map_or(&[], Vec::as_slice), now, zone)).collect()
}

fn line(line: &pages::Line, steps: &[pages::Step], now: Timestamp, zone: &Zone) -> Line {
    let until = line.ended_at.unwrap_or(now);
    let title = line.prompt.as_deref().map(|p| shown::excerpt(p, 160)).filter(|p| !p.is_empty());
    let (what, more) = now_and_more(line, steps);
    Line {
        id: line.id,
        mark: shown::status(line.status, line.waits.as_ref().map(|w| w.code.as_str())),
        title: title.unwrap_or_else(|| "(no prompt)".to_owned()),
        agent: shown::excerpt(&line.agent, 80),
        version: line.version,
        now: what,
        more,
        shape: timeline::shape(steps, line.started_at, until),
        took: shown::duration(shown::secs(line.started_at, until)),
        turns: shown::many(line.turn.into(), "turn"),
        tokens: shown::count(line.tokens),
        started: zone.at(line.started_at, now),
        started_at: line.started_at,
        stamp: zone.stamp(line.started_at),
    }
}

/// What it waits for, or what came of it, in two lines.
fn now_and_more(line: &pages::Line, steps: &[pages::Step]) -> (String, String) {
    if let Some(wait) = &line.waits {
        return shown::wait(wait);
    }
    let lost = i64::try_from(steps.iter().filter(|s| s.status == "lost").count()).unwrap_or(0);
    let survived =
        if lost == 0 { String::new() } else { format!("survived {}", shown::many(lost, "lost worker")) };
    let reason = line.reason.as_deref().map(|r| shown::sentence(&shown::excerpt(r, 240)));
    let result = line.result.as_deref().map(|r| shown::excerpt(r, 240)).filter(|r| !r.is_empty());
    match (line.status, reason, result) {
        (Status::Completed, reason, Some(result)) => (
            result,
            [survived, reason.unwrap_or_default()]
                .iter()
                .filter(|s| !s.is_empty())
                .cloned()
                .collect::<Vec<_>>()
                .join(" · "),
        ),
        (Status::Completed, reason, None) => (reason.unwrap_or_else(|| "No result".to_owned()), survived),
        (Status::Running, ..) => (format!("Turn {}", line.turn), survived),
        (_, reason, result) => {
            (reason.unwrap_or_else(|| "No reason given".to_owned()), result.unwrap_or(survived))
        }
    }
}

/// The statement that shows this list in psql.
fn sql(filter: &pages::Filter) -> String {
    let mut conditions = vec![];
    if let Some(status) = filter.status {
        conditions.push(format!("status = {}", shown::literal(status.name())));
    }
    if let Some(agent) = &filter.agent {
        conditions.push(format!("agent = {}", shown::literal(&shown::text(agent))));
    }
    if let Some(id) = filter.id {
        conditions.push(format!("id = '{id}'"));
    }
    if let Some(text) = &filter.text {
        let text = shown::literal(&shown::text(text).to_lowercase());
        conditions.push(format!(
            "strpos(lower(concat_ws(' ', prompt, result, input, output, session_id, start_key)), {text}) > 0"
        ));
    }
    if let Some(before) = filter.before {
        conditions.push(format!("id < '{before}'"));
    }
    let wheres = if conditions.is_empty() {
        String::new()
    } else {
        format!("\n where {}", conditions.join("\n   and "))
    };
    format!(
        "select id, agent, status, started_at, duration, turn, prompt_tokens + completion_tokens as tokens, prompt, result\n  \
         from tenure.execution{wheres}\n order by id desc\n limit {PAGE};"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_keeps_the_filter() {
        let wanted = Wanted { status: "failed".into(), q: "a&b=c".into(), ..Wanted::default() };
        assert_eq!(wanted.address(), "/executions?status=failed&q=a%26b%3Dc");
        assert_eq!(Wanted::default().address(), "/executions");
    }

    #[test]
    fn a_broken_filter_says_what_would_be_right() {
        let wrong = |wanted: Wanted| wanted.filter().unwrap_err().to_string();
        let status = wrong(Wanted { status: "gone".into(), ..Wanted::default() });
        assert!(status.contains("'gone'") && status.contains("timed_out"), "{status}");
        assert!(wrong(Wanted { before: "1".into(), ..Wanted::default() }).contains("before='1'"));
    }

    #[test]
    fn an_id_is_looked_for_as_an_id() {
        let id = "01a1fcfa-538f-71c9-afdc-37c6bf8c69cf";
        let filter = Wanted { q: format!(" {id} "), ..Wanted::default() }.filter().unwrap();
        assert_eq!((filter.id.map(|i| i.to_string()).as_deref(), filter.text), (Some(id), None));
    }
}
