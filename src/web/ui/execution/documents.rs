//! Views of a run that are JSON to read: its state, its payloads, the agent that it runs.

use askama::Template;
use serde_json::value::RawValue;

use super::frame::Frame;
use super::{Answer, Part, Run, Statement, run};
use crate::json::Json;
use crate::store::GenericClient;
use crate::store::read::run::Beginning;
use crate::web::Problem;
use crate::web::ui::kit::{Base, Cell, Report};
use crate::web::ui::payload::Payload;
use crate::web::ui::shown;

/// `templates/execution/documents.html`
#[derive(Template)]
#[template(path = "execution/documents.html")]
struct DocumentsPage {
    base: Base,
    run: Frame,
    title: &'static str,
    note: String,
    facts: Vec<(&'static str, String)>,
    link: Option<(String, String)>,
    documents: Vec<Document>,
}

/// One JSON.
struct Document {
    what: &'static str,
    payload: Option<Payload>,
    /// What stands there when there is none.
    none: &'static str,
    download: Option<String>,
}

fn document(what: &'static str, stored: Option<&Beginning>, download: Option<String>) -> Document {
    Document { what, payload: stored.map(Payload::beginning), none: "Nothing yet.", download }
}

/// JSON that is whole, or a note of how long it is.
fn cell(stored: Option<&Beginning>) -> Cell {
    let Some(stored) = stored else { return Cell::None };
    let is_whole = usize::try_from(stored.bytes).is_ok_and(|bytes| bytes == stored.text.len());
    match serde_json::from_str::<Box<RawValue>>(&stored.text).ok().filter(|_| is_whole) {
        Some(_) => serde_json::from_str::<Json>(&stored.text).map_or(Cell::None, Cell::Json),
        None => Cell::Text(stored.text.clone()),
    }
}

/// `GET /execution/{id}/payloads`
pub async fn payloads(run: &Run<'_>, db: &impl GenericClient) -> Result<Answer, Problem> {
    let read = run::payloads(db, run.id).await?;
    let is_then = run.then.is_some();
    // What it produced came with its end.
    let had_ended = run.then.as_ref().is_none_or(|then| then.status.is_terminal());
    let output = read.output.as_ref().filter(|_| had_ended);
    let whole = |name: &str| Some(format!("/execution/{}/payload/{name}", run.id));
    let is_empty = read.context.as_ref().is_none_or(|c| matches!(c.text.as_str(), "{}" | "null"));
    let documents = || {
        vec![
            document("Input", read.input.as_ref(), whole("input")),
            Document { none: "No output yet.", ..document("Output", output, whole("output")) },
            Document {
                none: "Its tools share nothing.",
                ..document(
                    "Context that its tools share",
                    read.context.as_ref().filter(|_| !is_empty),
                    whole("context"),
                )
            },
        ]
    };
    run.answer(
        || DocumentsPage {
            base: run.base(),
            run: run.frame(vec![run.statement("", Part::Payloads, &[])], false),
            title: "Input and output",
            note: if is_then {
                "The context is shown as it is now; its past is not kept.".into()
            } else {
                String::new()
            },
            facts: vec![],
            link: None,
            documents: documents(),
        },
        || {
            let facts = vec![
                ("id", Cell::Text(run.id.to_string())),
                ("input", cell(read.input.as_ref())),
                ("output", cell(output)),
                ("context", cell(read.context.as_ref())),
            ];
            let bytes = [&read.input, &read.output, &read.context];
            let is_cut = bytes.iter().any(|b| {
                b.as_ref().is_some_and(|b| usize::try_from(b.bytes).is_ok_and(|bytes| bytes > b.text.len()))
            });
            let note = format!("what is long is cut here; all of it: /execution/{}/payload/output", run.id);
            Report { facts, notes: is_cut.then_some(note).into_iter().collect(), ..Report::default() }
        },
    )
}

/// `GET /execution/{id}/state`
pub async fn state(run: &Run<'_>, db: &impl GenericClient) -> Result<Answer, Problem> {
    let (state, context) = run::state(db, run.id).await?;
    let head = &run.head;
    let zone = &run.viewer.zone;
    let numbers = || {
        let mut facts = vec![
            ("Status", run.then.as_ref().map_or(head.status, |t| t.status).name().to_owned()),
            ("Turn", run.then.as_ref().map_or(head.turn, |t| t.turn).to_string()),
            ("Messages", run.messages().to_string()),
            ("Events", run.newest().to_string()),
            ("Attempts", format!("{}, of them {} failed or lost", run.work.attempts, run.work.failed)),
            ("Model calls", run.work.model_calls.to_string()),
            ("Tokens read", run.work.prompt_tokens.to_string()),
            ("Tokens written", run.work.completion_tokens.to_string()),
            ("Priority", format!("{} (lower is first)", head.priority)),
        ];
        facts.extend(head.domain.as_deref().map(|d| ("Domain", shown::excerpt(d, 120))));
        facts.push(("Last event", zone.stamp(head.updated_at)));
        facts.extend(head.deadline.map(|at| ("Must end by", zone.stamp(at))));
        facts
    };
    let note = if run.then.is_some() {
        "Numbers are as of the event. The two documents are shown as they are now; their past is not kept."
    } else {
        "What the engine needs to know to go on. The conversation is not in it."
    };
    run.answer(
        || DocumentsPage {
            base: run.base(),
            run: run.frame(vec![run.statement("", Part::State, &[]), work(run)], false),
            title: "State",
            note: note.to_owned(),
            facts: numbers(),
            link: None,
            documents: vec![
                document("Engine state", state.as_ref(), None),
                document(
                    "Context that its tools share",
                    context.as_ref(),
                    Some(format!("/execution/{}/payload/context", run.id)),
                ),
            ],
        },
        || {
            let mut facts = run.cells();
            facts.push(("state", cell(state.as_ref())));
            facts.push(("context", cell(context.as_ref())));
            Report { facts, ..Report::default() }
        },
    )
}

fn work(run: &Run<'_>) -> Statement {
    match run.at() {
        None => run.statement("The numbers", Part::Work, &[]),
        Some(n) => run.statement("The numbers", Part::WorkAsOf, &[n.into()]),
    }
}

/// `GET /execution/{id}/agent`
pub async fn agent(run: &Run<'_>, db: &impl GenericClient) -> Result<Answer, Problem> {
    let agent = run::agent(db, run.id).await?;
    let zone = &run.viewer.zone;
    let facts = || {
        let mut facts = vec![
            ("Version", agent.version.to_string()),
            (
                "New runs get",
                match agent.current {
                    Some(current) if current == agent.version => "this version".to_owned(),
                    Some(current) => format!("version {current}"),
                    None => "no version; the agent was deleted".to_owned(),
                },
            ),
            ("First seen", zone.stamp(agent.created_at)),
            ("Checksum", agent.checksum.clone()),
        ];
        facts.extend(agent.retired_at.map(|at| ("Deleted", zone.stamp(at))));
        facts
    };
    run.answer(
        || DocumentsPage {
            base: run.base(),
            run: run.frame(vec![run.statement("", Part::Agent, &[])], false),
            title: "Agent",
            note: "A version is never changed; this run keeps it to its end.".to_owned(),
            facts: facts(),
            link: Some((address(&agent.name), format!("All of {}", shown::excerpt(&agent.name, 80)))),
            documents: vec![document("Definition", agent.definition.as_ref(), None)],
        },
        || Report {
            facts: vec![
                ("id", Cell::Text(run.id.to_string())),
                ("agent", Cell::Text(agent.name.clone())),
                ("version", Cell::Int(agent.version.into())),
                ("current", Cell::int(agent.current.map(Into::into))),
                ("checksum", Cell::Text(agent.checksum.clone())),
                ("created_at", Cell::Time(agent.created_at)),
                ("retired_at", Cell::time(agent.retired_at)),
                ("definition", cell(agent.definition.as_ref())),
            ],
            ..Report::default()
        },
    )
}

/// The address of an agent's page.
pub fn address(agent: &str) -> String {
    let name = askama::filters::urlencode_strict(shown::text(agent))
        .map_or_else(|_| String::new(), |n| n.to_string());
    format!("/agents/{name}")
}
