//! Every try at every step of a run, newest first.

use askama::Template;
use jiff::Timestamp;

use super::address::{Tab, Wanted};
use super::frame::Frame;
use super::{Answer, Part, Run, run};
use crate::id::AttemptId;
use crate::store::GenericClient;
use crate::store::read::costs;
use crate::store::read::pages::Step;
use crate::store::read::run::Value;
use crate::web::Problem;
use crate::web::ui::kit::{Base, Cell, Report, Sheet};
use crate::web::ui::shown;
use crate::web::ui::timeline::key;

/// Attempts of a page.
const PAGE: i64 = 100;

/// `templates/execution/attempts.html`
#[derive(Template)]
#[template(path = "execution/attempts.html")]
struct AttemptsPage {
    base: Base,
    run: Frame,
    attempts: Vec<Attempt>,
    older: Option<String>,
    newest: Option<String>,
}

/// One try.
pub struct Attempt {
    pub step: String,
    pub logs: String,
    pub turn: i32,
    pub name: String,
    pub icon: &'static str,
    pub number: i32,
    pub mark: shown::Mark,
    pub worker: String,
    pub started: String,
    pub started_at: Option<Timestamp>,
    pub took: String,
    pub error: Option<String>,
}

/// `GET /execution/{id}/attempts`
pub async fn answer(run: &Run<'_>, db: &impl GenericClient) -> Result<Answer, Problem> {
    let before = match run.wanted.before.as_str() {
        "" => run::last_attempt(),
        before => attempt_id("before", before)?,
    };
    let mut steps = run::attempts(db, run.id, run.at(), before, PAGE + 1).await?;
    let has_more = i64::try_from(steps.len()).is_ok_and(|n| n > PAGE);
    steps.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    if !run.wants_page() {
        price(run, db, &mut steps).await?;
    }
    let older = steps
        .last()
        .filter(|_| has_more)
        .map(|last| run.link(&Wanted { before: last.id.to_string(), ..run.wanted.clone() }));
    let parts = (Part::Attempts, Part::AttemptsAsOf);
    run.answer(
        || AttemptsPage {
            base: run.base(),
            run: run.frame(vec![run.statement_then("", parts, &[before.into(), Value::from(PAGE)])], true),
            attempts: steps.iter().map(|s| Attempt::of(run, s)).collect(),
            older: older.clone(),
            newest: (!run.wanted.before.is_empty())
                .then(|| run.link(&Wanted { before: String::new(), ..run.wanted.clone() })),
        },
        || Report { next: older.clone(), ..Report::list(sheet(&steps)) },
    )
}

/// Look up what the model calls among these attempts cost.
pub async fn price(run: &Run<'_>, db: &impl GenericClient, steps: &mut [Step]) -> Result<(), Problem> {
    let calls: Vec<_> = steps.iter().filter(|s| s.prompt_tokens.is_some()).map(|s| s.id).collect();
    let mut costs = costs::of_attempts(db, run.id, &calls).await?;
    for step in steps {
        step.cost = costs.remove(&step.id);
    }
    Ok(())
}

/// An attempt's id in an address.
pub fn attempt_id(name: &str, id: &str) -> Result<AttemptId, Problem> {
    id.parse().map_err(|_| {
        let id = shown::excerpt(id, 50);
        Problem::new(400, format!("{name}={id} is no attempt's id; /attempts.json of this run has them"))
    })
}

impl Attempt {
    /// As a page shows it.
    pub fn of(run: &Run<'_>, step: &Step) -> Self {
        let until = step.ended_at.unwrap_or_else(|| run.until());
        let kept = Wanted { show: String::new(), ..run.wanted.kept() };
        Self {
            step: Wanted { step: key(step), ..kept.clone() }.address(run.id, Tab::Timeline),
            logs: Wanted { attempt: step.id.to_string(), ..kept }.address(run.id, Tab::Logs),
            turn: step.turn,
            name: shown::excerpt(&step.name, 80),
            icon: shown::kind_icon(&step.kind),
            number: step.number,
            mark: shown::outcome(step),
            worker: step.worker.as_deref().map(|w| shown::excerpt(w, 60)).unwrap_or_default(),
            started: step.started_at.map(|at| run.viewer.zone.clock(at)).unwrap_or_default(),
            started_at: step.started_at,
            took: step.started_at.map(|s| shown::duration(shown::secs(s, until))).unwrap_or_default(),
            error: step.error.as_deref().map(|e| shown::excerpt(e, 600)),
        }
    }
}

fn money(step: &Step) -> Option<&costs::Money> {
    step.cost.as_ref()?.as_ref()
}

/// The attempts for programs.
pub fn sheet(steps: &[Step]) -> Sheet {
    let columns = [
        "attempt_id",
        "kind",
        "turn",
        "call",
        "attempt",
        "name",
        "status",
        "worker",
        "queue",
        "domain",
        "created_at",
        "started_at",
        "ended_at",
        "error",
        "prompt_tokens",
        "completion_tokens",
        "cost",
        "currency",
    ];
    let mut sheet = Sheet::new("attempts", &columns);
    sheet.rows.extend(steps.iter().map(|s| {
        vec![
            Cell::Text(s.id.to_string()),
            Cell::Text(s.kind.clone()),
            Cell::Int(s.turn.into()),
            Cell::Int(s.call.into()),
            Cell::Int(s.number.into()),
            Cell::Text(s.name.clone()),
            Cell::Text(s.status.clone()),
            Cell::text(s.worker.clone()),
            Cell::Text(s.queue.clone()),
            Cell::Text(s.domain.clone()),
            Cell::Time(s.created_at),
            Cell::time(s.started_at),
            Cell::time(s.ended_at),
            Cell::text(s.error.clone()),
            Cell::int(s.prompt_tokens),
            Cell::int(s.completion_tokens),
            money(s).map_or(Cell::None, |m| Cell::Number(m.amount.clone())),
            Cell::text(money(s).map(|m| m.currency.clone())),
        ]
    }));
    sheet
}
