//! One execution: what it is, why it waits, what its time was spent on, what was said, what happened.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use jiff::Timestamp;
use serde::Deserialize;

use super::conversation::{Said, said};
use super::kit::live::{self, Follow};
use super::kit::{Base, Format, Viewer};
use super::payload::Payload;
use super::shown::{self, Zone};
use super::timeline::{Timeline, key};
use super::{drawn, page};
use crate::engine::Status;
use crate::id::ExecutionId;
use crate::store::read::executions::{self, Execution, Reason};
use crate::store::read::{events, pages};
use crate::web::wire::words;
use crate::web::{Problem, State};

/// Attempts that a page shows.
const STEPS: usize = 300;
/// Messages that a page shows.
const MESSAGES: usize = 100;
/// Events that a page shows.
const EVENTS: usize = 300;

/// What the address says.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Wanted {
    /// The selected step, as [`key`] names it.
    #[serde(default)]
    step: String,
    /// `0` shows long waits to scale.
    #[serde(default)]
    fold: String,
}

/// `templates/execution.html`
#[derive(Template)]
#[template(path = "execution.html")]
#[expect(clippy::struct_excessive_bools, reason = "what a template asks is yes or no")]
struct ExecutionPage {
    base: Base,
    id: ExecutionId,
    raw: String,
    title: String,
    agent: String,
    version: i32,
    mark: shown::Mark,
    is_live: bool,
    is_paused: bool,
    facts: Vec<Fact>,
    ended: Option<String>,
    reasons: Vec<Why>,
    timeline: Timeline,
    fold: bool,
    attempts: Vec<Attempt>,
    has_earlier_attempts: bool,
    step: Option<Inspected>,
    conversation: Vec<Said>,
    has_earlier_messages: bool,
    moments: Vec<Moment>,
    events: i32,
    has_earlier_events: bool,
    input: Payload,
    output: Option<Payload>,
    context: Option<Payload>,
    as_of: String,
}

struct Fact {
    name: &'static str,
    value: String,
    /// What it is exactly.
    title: String,
    is_code: bool,
}

struct Why {
    mark: &'static str,
    icon: &'static str,
    text: String,
    hint: String,
    since: String,
}

struct Attempt {
    key: String,
    turn: i32,
    name: String,
    icon: &'static str,
    number: i32,
    mark: shown::Mark,
    worker: String,
    started: String,
    started_at: Option<Timestamp>,
    took: String,
    error: Option<String>,
}

struct Moment {
    seq: i32,
    at: String,
    at_time: Timestamp,
    gap: String,
    text: String,
    worker: String,
    error: Option<String>,
    ink: &'static str,
}

/// The selected step.
struct Inspected {
    key: String,
    name: String,
    icon: &'static str,
    turn: i32,
    input: Option<Payload>,
    output: Option<Payload>,
    tries: Vec<Attempt>,
    queue: String,
}

/// `GET /execution/{id}`
pub async fn show(
    state: Data<State>,
    id: Path<String>,
    wanted: Query<Wanted>,
    viewer: Viewer,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    let wanted = wanted.into_inner();
    if viewer.format == Format::Live {
        let draw = move |state, viewer| {
            let wanted = wanted.clone();
            async move { drawn(&read(&state, id, &wanted, &viewer).await?) }
        };
        return Ok(live::answer(&state, &request, viewer, Follow::Execution(id), draw));
    }
    page(StatusCode::OK, &viewer, &read(&state, id, &wanted, &viewer).await?)
}

async fn read(
    state: &State,
    id: ExecutionId,
    wanted: &Wanted,
    viewer: &Viewer,
) -> Result<ExecutionPage, Problem> {
    let db = state.runtime.pool().get().await?;
    let execution = executions::get(&db, id).await?;
    let usage = executions::usage(&db, id).await?;
    let reasons = if execution.status.is_terminal() { vec![] } else { executions::why(&db, id).await? };
    let steps = pages::steps(&db, id, STEPS + 1).await?;
    let messages = pages::messages(&db, id, MESSAGES + 1).await?;
    let happened = events::timeline(&db, id).await?;
    let selected = match steps.iter().find(|s| key(s) == wanted.step) {
        Some(step) => Some(inspect(
            step,
            &steps,
            viewer,
            pages::payloads(&db, id, (&step.kind, step.turn, step.call)).await?,
        )),
        None => None,
    };
    drop(db);

    let (now, zone) = (viewer.now, &viewer.zone);
    let (steps, has_earlier_attempts) = newest(&steps, STEPS);
    let (messages, has_earlier_messages) = newest(&messages, MESSAGES);
    let (happened, has_earlier_events) = newest(&happened, EVENTS);
    let prompt = prompt(&execution);
    let fold = wanted.fold != "0";
    let is_live = !execution.status.is_terminal();
    Ok(ExecutionPage {
        base: if is_live {
            Base::live(viewer, "executions", viewer.here.clone())
        } else {
            Base::of(viewer, "executions")
        },
        id,
        raw: format!("/execution/{id}.json"),
        title: title(&prompt),
        agent: shown::excerpt(&execution.agent, 80),
        version: execution.version,
        mark: shown::status(execution.status, worst(&reasons)),
        is_live,
        is_paused: execution.status == Status::Paused,
        facts: facts(&execution, usage, steps.last().map_or(0, |s| s.turn), viewer),
        ended: execution.reason.as_deref().map(|r| shown::sentence(&shown::cut(r, 2000).0)),
        reasons: reasons.iter().map(|r| why(r, now)).collect(),
        timeline: Timeline::draw(steps, execution.created_at, execution.ended_at.unwrap_or(now), fold, zone),
        fold,
        attempts: steps.iter().map(|s| attempt(s, viewer)).collect(),
        has_earlier_attempts,
        step: selected,
        conversation: messages.iter().map(|m| said(m, &prompt, zone)).collect(),
        has_earlier_messages,
        moments: moments(happened, execution.created_at, zone),
        events: execution.last_seq,
        has_earlier_events,
        input: Payload::of(&execution.input),
        output: execution.output.as_ref().map(Payload::of),
        context: Some(&execution.context).filter(|c| !matches!(c.text(), "{}" | "null")).map(Payload::of),
        as_of: zone.clock(now),
    })
}

/// The last `most` of what was read, and whether there are more.
fn newest<T>(read: &[T], most: usize) -> (&[T], bool) {
    let from = read.len().saturating_sub(most);
    (&read[from..], from > 0)
}

fn prompt(execution: &Execution) -> String {
    #[derive(Default, Deserialize)]
    struct Input {
        prompt: Option<String>,
    }
    serde_json::from_str::<Input>(execution.input.text()).unwrap_or_default().prompt.unwrap_or_default()
}

fn title(prompt: &str) -> String {
    let title = shown::excerpt(prompt, 120);
    if title.is_empty() { "(no prompt)".to_owned() } else { title }
}

/// The reason that colours the status.
fn worst(reasons: &[Reason]) -> Option<&str> {
    let rank = |code: &str| match code {
        "no_worker" | "no_server" => 0,
        "queue_paused" => 1,
        "lost" | "retry" => 2,
        _ => 3,
    };
    reasons.iter().map(|r| r.code.as_str()).min_by_key(|code| rank(code))
}

fn facts(e: &Execution, usage: executions::Usage, turn: i32, viewer: &Viewer) -> Vec<Fact> {
    let (now, zone) = (viewer.now, &viewer.zone);
    let fact = |name, value: String| Fact { name, title: value.clone(), value, is_code: false };
    let tokens = usage.prompt + usage.completion;
    let mut facts = vec![
        Fact { title: zone.stamp(e.created_at), ..fact("Started", zone.at(e.created_at, now)) },
        fact("Took", shown::duration(shown::secs(e.created_at, e.ended_at.unwrap_or(now)))),
        fact("Turns", shown::count(turn.into())),
        Fact {
            title: format!(
                "{} in, {} out, {}",
                usage.prompt,
                usage.completion,
                shown::many(usage.calls, "model call")
            ),
            ..fact("Tokens", shown::count(tokens))
        },
    ];
    let code = |name, value: &str| Fact { is_code: true, ..fact(name, shown::excerpt(value, 120)) };
    facts.extend(e.session_id.as_deref().filter(|s| !s.is_empty()).map(|s| code("Session", s)));
    facts.extend(e.start_key.as_deref().map(|k| code("Idempotency key", k)));
    facts
}

fn why(reason: &Reason, now: Timestamp) -> Why {
    let (mark, icon) = match reason.code.as_str() {
        "no_worker" | "no_server" => ("warn", "alert"),
        "retry" | "lost" => ("warn", "redo"),
        "paused" | "queue_paused" => ("idle", "pause"),
        "leased" | "model_running" => ("run", "ring"),
        _ => ("idle", "clock"),
    };
    Why {
        mark,
        icon,
        text: shown::sentence(&shown::excerpt(&reason.text, 600)),
        hint: reason.hint.as_deref().map(|h| shown::sentence(&shown::excerpt(h, 300))).unwrap_or_default(),
        since: reason
            .since
            .filter(|s| *s < now)
            .map(|s| shown::duration(shown::secs(s, now)))
            .unwrap_or_default(),
    }
}

fn attempt(step: &pages::Step, viewer: &Viewer) -> Attempt {
    let now = viewer.now;
    let took = step.started_at.map(|s| shown::duration(shown::secs(s, step.ended_at.unwrap_or(now))));
    Attempt {
        key: key(step),
        turn: step.turn,
        name: shown::excerpt(&step.name, 80),
        icon: shown::kind_icon(&step.kind),
        number: step.number,
        mark: shown::outcome(step),
        worker: step.worker.as_deref().map(|w| shown::excerpt(w, 60)).unwrap_or_default(),
        started: step.started_at.map(|at| viewer.zone.clock(at)).unwrap_or_default(),
        started_at: step.started_at,
        took: took.unwrap_or_default(),
        error: step.error.as_deref().map(|e| shown::excerpt(e, 600)),
    }
}

fn moments(happened: &[events::Moment], begin: Timestamp, zone: &Zone) -> Vec<Moment> {
    let ink = |kind: &str| match kind {
        "attempt_lost" | "attempt_failed" | "tool_failed" | "failed" | "timed_out" => "fail",
        "completed" | "tool_returned" | "model_replied" | "checked" => "ok",
        "paused" | "stop_requested" | "terminated" | "result_refused" => "warn",
        "resumed" | "signalled" => "human",
        _ => "",
    };
    let moment = |m: &events::Moment| Moment {
        seq: m.seq,
        at: zone.clock(m.at),
        at_time: m.at,
        gap: format!("+{}", shown::duration(shown::secs(begin, m.at))),
        text: shown::sentence(&shown::excerpt(&m.text, 300)),
        worker: m.worker.as_deref().map(|w| shown::excerpt(w, 60)).unwrap_or_default(),
        error: m.error.as_deref().map(|e| shown::excerpt(e, 600)),
        ink: ink(&m.kind),
    };
    happened.iter().map(moment).collect()
}

fn inspect(
    step: &pages::Step,
    steps: &[pages::Step],
    viewer: &Viewer,
    payloads: Vec<pages::Payload>,
) -> Inspected {
    let tries = steps.iter().filter(|s| key(s) == key(step)).map(|s| attempt(s, viewer)).collect();
    let queue = if step.domain.is_empty() {
        shown::excerpt(&step.queue, 80)
    } else {
        format!("{} in domain {}", shown::excerpt(&step.queue, 80), shown::excerpt(&step.domain, 60))
    };
    let output = payloads.iter().rev().find_map(|p| p.output.as_ref()).map(Payload::of);
    Inspected {
        key: key(step),
        name: shown::excerpt(&step.name, 80),
        icon: shown::kind_icon(&step.kind),
        turn: step.turn,
        input: payloads.last().map(|p| Payload::of(&p.input)),
        output,
        tries,
        queue,
    }
}
