//! What workers logged about a run.

use askama::Template;
use jiff::Timestamp;

use super::address::{Tab, Wanted};
use super::attempts::attempt_id;
use super::frame::Frame;
use super::{Answer, Part, Run, run};
use crate::id::AttemptId;
use crate::store::GenericClient;
use crate::store::read::run::{Line as Logged, Lines};
use crate::web::Problem;
use crate::web::ui::kit::{Base, Cell, Report, Sheet, Statement};
use crate::web::ui::{payload, shown};

/// Lines of a page.
const PAGE: i64 = 200;

/// `templates/execution/logs.html`
#[derive(Template)]
#[template(path = "execution/logs.html")]
struct LogsPage {
    base: Base,
    run: Frame,
    lines: Vec<Line>,
    /// Of one attempt only: the address of all.
    all: Option<String>,
    older: Option<String>,
    newest: Option<String>,
}

struct Line {
    at: String,
    at_time: Timestamp,
    text: String,
    /// What is left out of it.
    cut: Option<String>,
    name: String,
    what: String,
    worker: String,
    own: String,
}

/// `GET /execution/{id}/logs`
pub async fn answer(run: &Run<'_>, db: &impl GenericClient) -> Result<Answer, Problem> {
    let wanted = run.wanted;
    let wants = Lines {
        until: run.then.as_ref().map(|then| then.at),
        before: before(&wanted.before)?,
        of: match wanted.attempt.as_str() {
            "" => None,
            id => Some(attempt_id("attempt", id)?),
        },
        limit: PAGE,
    };
    let mut lines = run::logs(db, run.id, Lines { limit: PAGE + 1, ..wants }).await?;
    let has_more = i64::try_from(lines.len()).is_ok_and(|n| n > PAGE);
    lines.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    let older = lines
        .last()
        .filter(|_| has_more)
        .map(|last| run.link(&Wanted { before: format!("{}.{}", last.attempt, last.n), ..wanted.clone() }));
    run.answer(
        || LogsPage {
            base: run.base(),
            run: run.frame(vec![Statement::new("", Part::Logs.printed(&wants.values(run.id)))], true),
            lines: lines.iter().map(|l| line(run, l)).collect(),
            all: wants.of.map(|_| run.link(&wanted.kept())),
            older: older.clone(),
            newest: (!wanted.before.is_empty())
                .then(|| run.link(&Wanted { before: String::new(), ..wanted.clone() })),
        },
        || Report { next: older.clone(), ..Report::list(sheet(&lines)) },
    )
}

/// Where a page ends: `attempt.line`.
fn before(text: &str) -> Result<(AttemptId, i64), Problem> {
    if text.is_empty() {
        return Ok((run::last_attempt(), i64::MAX));
    }
    let place = text.split_once('.').and_then(|(id, n)| Some((id.parse().ok()?, n.parse().ok()?)));
    place.ok_or_else(|| {
        let text = shown::excerpt(text, 60);
        Problem::new(
            400,
            format!("before={text} is no line of these logs; take the address of an 'Older' link"),
        )
    })
}

fn line(run: &Run<'_>, l: &Logged) -> Line {
    let is_cut = u64::try_from(l.bytes).is_ok_and(|bytes| bytes > l.text.len() as u64);
    Line {
        at: run.viewer.zone.full(l.at),
        at_time: l.at,
        text: shown::text(&l.text),
        cut: is_cut.then(|| payload::size(usize::try_from(l.bytes).unwrap_or(0))),
        name: l.name.as_deref().map(|n| shown::excerpt(n, 60)).unwrap_or_default(),
        what: format!("turn {}, try {}", l.turn.unwrap_or(0), l.number.unwrap_or(0)),
        worker: l.worker.as_deref().map(|w| shown::excerpt(w, 60)).unwrap_or_default(),
        own: Wanted { attempt: l.attempt.to_string(), ..run.wanted.kept() }.address(run.id, Tab::Logs),
    }
}

fn sheet(lines: &[Logged]) -> Sheet {
    let mut sheet =
        Sheet::new("lines", &["n", "at", "attempt_id", "name", "turn", "attempt", "worker", "line"]);
    sheet.rows.extend(lines.iter().map(|l| {
        vec![
            Cell::Int(l.n),
            Cell::Time(l.at),
            Cell::Text(l.attempt.to_string()),
            Cell::text(l.name.clone()),
            Cell::int(l.turn.map(Into::into)),
            Cell::int(l.number.map(Into::into)),
            Cell::text(l.worker.clone()),
            Cell::Text(l.text.clone()),
        ]
    }));
    sheet
}
