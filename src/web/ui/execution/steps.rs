//! The timeline of a run: turns and steps with their tries, the selected one beside it, the newest messages below.

use askama::Template;

use super::address::Wanted;
use super::attempts::{Attempt, price, sheet};
use super::conversation::{self, Said, Switch};
use super::frame::Frame;
use super::rail::{self, Rail};
use super::{Answer, Part, Run, Statement, run};
use crate::store::GenericClient;
use crate::store::read::pages::Step;
use crate::store::read::run::{Exchange, Value};
use crate::web::Problem;
use crate::web::ui::kit::{Base, Cell, Report, Sheet};
use crate::web::ui::money::Spent;
use crate::web::ui::payload::Payload;
use crate::web::ui::shown;
use crate::web::ui::timeline::{Bar, Lane, Tick, Timeline, key};

/// Attempts that are drawn.
const STEPS: i64 = 300;
/// Longest arguments that are offered to be edited, in bytes.
const ARGUMENTS: usize = 4000;
/// Steps that are shown with their names; older turns are one line each.
const LANES: usize = 40;

/// `templates/execution/timeline.html`
#[derive(Template)]
#[template(path = "execution/timeline.html")]
struct TimelinePage {
    base: Base,
    run: Frame,
    rail: Rail,
    drawing: Drawing,
    step: Option<Inspected>,
    said: Vec<Said>,
    switch: Switch,
    conversation: String,
    has_earlier_messages: bool,
}

/// The timeline with addresses.
struct Drawing {
    turns: Vec<Turn>,
    ticks: Vec<Tick>,
    losses: Vec<String>,
    end: String,
    /// Where waits are shown the other way.
    other_fold: String,
    is_folded: bool,
    is_to_scale: bool,
    /// Where older attempts are listed, when some are not drawn.
    earlier: Option<String>,
}

struct Turn {
    n: i32,
    took: String,
    spent: Spent,
    /// Empty when the turn is one line.
    lanes: Vec<Row>,
    bars: Vec<Bar>,
    /// Folds or unfolds it, where turns are folded.
    address: Option<String>,
}

struct Row {
    lane: Lane,
    address: String,
    is_selected: bool,
}

/// The selected step.
struct Inspected {
    name: String,
    icon: &'static str,
    turn: i32,
    close: String,
    views: Vec<(&'static str, String, bool, usize)>,
    show: String,
    payload: Option<Payload>,
    /// What stands in its place when there is none.
    none: &'static str,
    download: String,
    raw: String,
    tries: Vec<Attempt>,
    queue: String,
    queue_address: String,
    facts: Vec<(&'static str, String)>,
    /// What it may be rerun with.
    again: Again,
}

/// The form that reruns a step.
struct Again {
    key: String,
    /// Which call of its turn; empty for a model call.
    call: String,
    /// As the model wrote them; empty when they are too long for a form.
    arguments: String,
}

/// `GET /execution/{id}`
pub async fn answer(run: &Run<'_>, db: &impl GenericClient) -> Result<Answer, Problem> {
    let mut steps = run::attempts(db, run.id, run.at(), run::last_attempt(), STEPS + 1).await?;
    let has_earlier = i64::try_from(steps.len()).is_ok_and(|n| n > STEPS);
    steps.truncate(usize::try_from(STEPS).unwrap_or(usize::MAX));
    price(run, db, &mut steps).await?;
    if !run.wants_page() {
        return Ok(Answer::Report(report(run, &steps)));
    }
    let (first, last) = rail::range(run.newest(), run.head.events);
    let moments = run::events(db, run.id, first, last).await?;
    let (said, first_message, last_message) = conversation::newest(run, db).await?;
    let selected = selected(run, db, &steps).await?;
    let statements = statements(run, (first_message, last_message), selected.as_ref());
    in_order(&mut steps);
    run.answer(
        || TimelinePage {
            base: run.base(),
            run: run.frame(statements, true),
            rail: Rail::draw(run, &moments),
            drawing: drawing(run, &steps, has_earlier),
            step: selected.map(|(tries, exchange)| inspect(run, &tries, exchange)),
            said,
            switch: conversation::switch(run),
            conversation: conversation::address(run),
            has_earlier_messages: first_message > 1,
        },
        Report::default,
    )
}

fn statements(
    run: &Run<'_>,
    (first, last): (i32, i32),
    selected: Option<&(Vec<Step>, Exchange)>,
) -> Vec<Statement> {
    let attempts = (Part::Attempts, Part::AttemptsAsOf);
    let (from, to) = rail::range(run.newest(), run.head.events);
    let mut statements = vec![
        run.statement_then("Steps", attempts, &[run::last_attempt().into(), Value::from(STEPS)]),
        run.statement("Events on the line", Part::Events, &[from.into(), to.into()]),
        run.statement("The newest messages", Part::Messages, &[first.into(), last.into()]),
    ];
    if let Some(last) = selected.and_then(|(tries, _)| tries.last()) {
        statements.push(run.statement("The selected step", Part::Attempt, &[last.id.into()]));
    }
    statements
}

fn report(run: &Run<'_>, steps: &[Step]) -> Report {
    let mut reasons = Sheet::new("reasons", &["code", "text", "queue", "since", "hint"]);
    reasons.rows.extend(run.reasons.iter().map(|r| {
        vec![
            Cell::Text(r.code.clone()),
            Cell::Text(r.text.clone()),
            Cell::text(r.queue.clone()),
            Cell::time(r.since),
            Cell::text(r.hint.clone()),
        ]
    }));
    let more = |what: &str| format!("{what}: /execution/{}/{what}.json", run.id);
    Report {
        facts: run.cells(),
        sheets: vec![sheet(steps), reasons],
        notes: ["payloads", "conversation", "events", "attempts", "logs"].map(more).to_vec(),
        next: None,
    }
}

/// In the order of the run: by turn, model before tools before checks, calls as the model named them, tries.
fn in_order(steps: &mut [Step]) {
    let kind = |s: &Step| ["model", "tool", "check"].iter().position(|k| *k == s.kind);
    steps.sort_by_key(|s| (s.turn, kind(s), s.call, s.number));
}

/// The tries at the selected step, oldest first, and what the one that matters was given and produced.
async fn selected(
    run: &Run<'_>,
    db: &impl GenericClient,
    steps: &[Step],
) -> Result<Option<(Vec<Step>, Exchange)>, Problem> {
    let Some(task) = task(&run.wanted.step) else { return Ok(None) };
    let is_drawn = steps.iter().any(|s| key(s) == run.wanted.step);
    let is_whole = steps.last().is_none_or(|oldest| oldest.turn < task.1);
    let mut tries: Vec<Step> = steps.iter().filter(|s| key(s) == run.wanted.step).cloned().collect();
    tries.sort_by_key(|s| s.number);
    if !is_drawn || !is_whole {
        tries = run::tries(db, run.id, run.at(), task).await?;
        price(run, db, &mut tries).await?;
    }
    let Some(last) = tries.last() else { return Ok(None) };
    let exchange = run::exchange(db, run.id, last.id).await?;
    Ok(Some((tries, exchange)))
}

/// A step as an address names it: `tool-1-0`.
fn task(step: &str) -> Option<(&str, i32, i16)> {
    let mut parts = step.split('-');
    let task = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (matches!(task.0, "model" | "tool" | "check") && parts.next().is_none()).then_some(task)
}

fn drawing(run: &Run<'_>, steps: &[Step], has_earlier: bool) -> Drawing {
    let wanted = run.wanted;
    let fold = wanted.fold != "0";
    // What was copied from another run is older than this one.
    let begin = steps.iter().map(|s| s.created_at).chain([run.head.created_at]).min();
    let begin = begin.unwrap_or(run.head.created_at);
    let timeline = Timeline::draw(steps, begin, run.until(), fold, &run.viewer.zone);
    let all: usize = timeline.turns.iter().map(|turn| turn.lanes.len()).sum();
    let mut shown_lanes = 0;
    let mut turns: Vec<Turn> = timeline
        .turns
        .into_iter()
        .rev()
        .map(|turn| {
            let is_newest = shown_lanes == 0 || shown_lanes + turn.lanes.len() <= LANES;
            let is_wanted = wanted.turn == turn.n.to_string();
            let is_open = is_newest || is_wanted;
            shown_lanes += turn.lanes.len();
            let lanes = turn.lanes.into_iter().filter(|_| is_open).take(STEPS_OF_TURN);
            let other = if is_wanted { String::new() } else { turn.n.to_string() };
            Turn {
                n: turn.n,
                took: turn.took,
                spent: turn.spent,
                lanes: lanes.map(|lane| row(run, lane)).collect(),
                bars: turn.bars,
                address: (all > LANES && !is_newest)
                    .then(|| run.link(&Wanted { turn: other, ..wanted.clone() })),
            }
        })
        .collect();
    turns.reverse();
    Drawing {
        turns,
        ticks: timeline.ticks,
        losses: timeline.losses,
        end: timeline.end,
        other_fold: run
            .link(&Wanted { fold: if fold { "0".into() } else { String::new() }, ..wanted.clone() }),
        is_folded: timeline.folded,
        is_to_scale: !fold,
        earlier: has_earlier.then(|| wanted.kept().address(run.id, super::Tab::Attempts)),
    }
}

/// Most steps of one turn that are shown.
const STEPS_OF_TURN: usize = 150;

fn row(run: &Run<'_>, lane: Lane) -> Row {
    let is_selected = lane.key == run.wanted.step;
    let show = if is_selected { String::new() } else { run.wanted.show.clone() };
    let address = run.link(&Wanted { step: lane.key.clone(), show, ..run.wanted.clone() });
    Row { lane, address, is_selected }
}

fn inspect(run: &Run<'_>, tries: &[Step], exchange: Exchange) -> Inspected {
    let wanted = run.wanted;
    let (first, last) = (&tries[0], &tries[tries.len() - 1]);
    let show = match wanted.show.as_str() {
        show @ ("output" | "tries" | "raw") => show.to_owned(),
        _ => String::new(),
    };
    let view = |word, name: &str, count| {
        let address = run.link(&Wanted { show: name.to_owned(), ..wanted.clone() });
        (word, address, show == name, count)
    };
    let is_model = first.kind == "model";
    let output = exchange.output.filter(|_| last.ended_at.is_some());
    let is_input = show.is_empty();
    let none = match (is_input, last.ended_at.is_some()) {
        (true, _) => "It was given nothing.",
        (false, true) => "It produced nothing.",
        (false, false) => "It has not ended yet.",
    };
    let stored = if is_input { exchange.input.as_ref() } else { output.as_ref() };
    let raw =
        if show == "raw" { raw_json(last, exchange.input.as_ref(), output.as_ref()) } else { String::new() };
    let query = serde_urlencoded::to_string([("queue", shown::text(&last.queue))]).unwrap_or_default();
    Inspected {
        name: shown::excerpt(&first.name, 80),
        icon: shown::kind_icon(&first.kind),
        turn: first.turn,
        close: run.link(&Wanted { step: String::new(), show: String::new(), ..wanted.clone() }),
        views: vec![
            view(if is_model { "Given" } else { "Arguments" }, "", 0),
            view("Output", "output", 0),
            view("Tries", "tries", tries.len()),
            view("Raw", "raw", 0),
        ],
        payload: stored.map(Payload::beginning),
        none,
        download: format!(
            "/execution/{}/attempt/{}/{}",
            run.id,
            last.id,
            if is_input { "input" } else { "output" }
        ),
        raw,
        queue: shown::excerpt(&last.queue, 80),
        queue_address: format!("/queues?{query}"),
        facts: step_facts(run, last, exchange.call_id.as_deref()),
        tries: tries.iter().rev().map(|s| Attempt::of(run, s)).collect(),
        show,
        again: Again {
            key: super::again::key(run),
            call: if first.kind == "tool" { first.call.to_string() } else { String::new() },
            arguments: exchange
                .input
                .as_ref()
                .filter(|i| first.kind == "tool" && i.text.len() < ARGUMENTS)
                .map(|i| shown::text(&i.text))
                .unwrap_or_default(),
        },
    }
}

fn step_facts(run: &Run<'_>, step: &Step, call_id: Option<&str>) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Stands", shown::outcome(step).word.to_owned())];
    if !step.domain.is_empty() {
        facts.push(("Domain", shown::excerpt(&step.domain, 60)));
    }
    facts.extend(step.worker.as_deref().map(|w| ("Worker", shown::excerpt(w, 60))));
    facts.extend(step.started_at.map(|at| ("Started", run.viewer.zone.stamp(at))));
    if step.kind == "tool" {
        let call = shown::excerpt(call_id.unwrap_or(&step.name), 100);
        facts.push(("Idempotency", format!("{}/{call}__{}", run.id, step.turn)));
    }
    if let (Some(read), Some(written)) = (step.prompt_tokens, step.completion_tokens) {
        facts.push(("Tokens", format!("{read} in, {written} out")));
        if let Some(cost) = &step.cost {
            let cost = cost.as_ref().map(|m| format!("{} {}", m.amount, m.currency));
            facts.push(("Cost", cost.unwrap_or_else(|| "no price".to_owned())));
        }
    }
    facts.push(("Attempt", step.id.to_string()));
    facts
}

/// The attempt as one text, as sent.
fn raw_json(step: &Step, input: Option<&run::Beginning>, output: Option<&run::Beginning>) -> String {
    const HALF: usize = 8_000;
    let part = |stored: Option<&run::Beginning>| {
        stored.map_or_else(
            || "null".to_owned(),
            |b| {
                let (text, cut) = shown::cut(&b.text, HALF);
                if cut { format!("{text}…") } else { text }
            },
        )
    };
    format!(
        "attempt  {}\ntask     {} {} of turn {}, call {}\ntry      {}\nstatus   {}\n\ninput\n{}\n\noutput\n{}\n",
        step.id,
        step.kind,
        shown::excerpt(&step.name, 80),
        step.turn,
        step.call,
        step.number,
        step.status,
        part(input),
        part(output)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_read_from_its_name() {
        assert_eq!(task("tool-12-3"), Some(("tool", 12, 3)));
        for wrong in
            ["", "tool", "tool-1", "tool-1-0-0", "other-1-0", "tool--1-0", "tool-1-99999", "tool-x-0"]
        {
            assert_eq!(task(wrong), None, "{wrong}");
        }
    }
}
