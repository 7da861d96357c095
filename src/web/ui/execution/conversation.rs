//! What was said in a run: readable, or as it was sent.

use askama::Template;
use jiff::Timestamp;
use serde::Deserialize;

use super::address::{Tab, Wanted};
use super::events::{newer, range};
use super::frame::Frame;
use super::{Answer, Part, Run, run};
use crate::json;
use crate::store::GenericClient;
use crate::store::read::run::{Beginning, Message, Value};
use crate::web::Problem;
use crate::web::ui::kit::{Base, Cell, Report, Sheet};
use crate::web::ui::markdown;
use crate::web::ui::payload::{self, Payload};
use crate::web::ui::shown;

/// Messages of a page.
const PAGE: i32 = 30;
/// Messages below the timeline.
const NEWEST: i32 = 6;
/// Most characters of a message there.
const SHORT: usize = 3_000;
/// A result that is longer than this is folded at first.
const SMALL: usize = 120;
/// Most characters of a message here; Postgres cuts at the same.
const LONG: usize = 16_000;

/// `templates/execution/conversation.html`
#[derive(Template)]
#[template(path = "execution/conversation.html")]
struct ConversationPage {
    base: Base,
    run: Frame,
    said: Vec<Said>,
    first: i32,
    last: i32,
    all: i32,
    switch: Switch,
    older: Option<String>,
    newer: Option<String>,
}

/// Readable or raw.
pub struct Switch {
    pub readable: String,
    pub raw: String,
    pub is_raw: bool,
}

/// One message.
pub struct Said {
    /// Who.
    pub who: &'static str,
    pub at: String,
    pub datetime: Timestamp,
    /// What was said, as harmless HTML.
    pub html: Option<String>,
    /// The same as text, when there is no HTML.
    pub text: String,
    /// What is not shown of it: the size of all, and where that is.
    pub whole: Option<(String, String)>,
    /// Tools that the model wants called.
    pub calls: Vec<Call>,
    /// The tool that returned.
    pub tool: Option<String>,
    /// What it returned.
    pub output: Option<Payload>,
    /// The address of all that it returned.
    pub download: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Model and tokens.
    pub note: String,
}

/// One tool request.
pub struct Call {
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub arguments: String,
}

#[derive(Deserialize)]
struct StoredCall {
    name: Option<String>,
    arguments: Option<String>,
}

/// `GET /execution/{id}/conversation`
pub async fn answer(run: &Run<'_>, db: &impl GenericClient) -> Result<Answer, Problem> {
    let all = run.messages();
    let (first, last) = range(run.wanted, all, PAGE, "messages")?;
    let messages = run::messages(db, run.id, first, last).await?;
    let older = (first > 1).then(|| run.link(&Wanted { before: first.to_string(), ..run.wanted.clone() }));
    run.answer(
        || ConversationPage {
            base: run.base(),
            run: run.frame(
                vec![run.statement("", Part::Messages, &[Value::from(first), Value::from(last)])],
                true,
            ),
            said: messages.iter().map(|m| said(run, m, LONG)).collect(),
            first,
            last,
            all,
            switch: switch(run),
            older: older.clone(),
            newer: newer(run, last, all, PAGE),
        },
        || Report { next: older.clone(), ..Report::list(sheet(&messages)) },
    )
}

/// The newest messages, for the page of the timeline, and the numbers of the first and the last.
pub async fn newest(run: &Run<'_>, db: &impl GenericClient) -> Result<(Vec<Said>, i32, i32), Problem> {
    let last = run.messages();
    let first = (last - NEWEST + 1).max(1);
    let messages = run::messages(db, run.id, first, last).await?;
    Ok((messages.iter().map(|m| said(run, m, SHORT)).collect(), first, last))
}

/// The switch between readable and raw.
pub fn switch(run: &Run<'_>) -> Switch {
    let with = |raw: &str| run.link(&Wanted { raw: raw.to_owned(), ..run.wanted.clone() });
    Switch { readable: with(""), raw: with("1"), is_raw: run.wanted.raw == "1" }
}

/// The whole conversation of a run, as links lead to it.
pub fn address(run: &Run<'_>) -> String {
    run.wanted.kept().address(run.id, Tab::Conversation)
}

fn said(run: &Run<'_>, message: &Message, most: usize) -> Said {
    let is_tool = message.role == "tool";
    let (text, cut) = shown::cut(message.text.as_deref().unwrap_or_default(), most);
    let html = Some(&text)
        .filter(|t| message.role == "assistant" && run.wanted.raw != "1" && !t.is_empty())
        .and_then(|t| markdown::html(t));
    let bytes = message.bytes.unwrap_or(0);
    let has = message.text.as_ref().or(message.output.as_ref()).map_or(0, String::len);
    let is_cut = cut || usize::try_from(bytes).is_ok_and(|bytes| bytes > has);
    let download = match message.attempt {
        Some(attempt) => format!("/execution/{}/attempt/{attempt}/output", run.id),
        None => format!("/execution/{}/payload/input", run.id),
    };
    let size = payload::size(usize::try_from(bytes).unwrap_or(0));
    let output = message.output.as_ref().map(|text| {
        let text: String = text.chars().take(most).collect();
        let folded = text.len() > SMALL;
        Payload { folded, ..Payload::beginning(&Beginning { text, bytes }) }
    });
    Said {
        who: match message.role.as_str() {
            "assistant" => "model",
            "tool" => "tool",
            "signal" => "signal",
            _ => "user",
        },
        at: run.viewer.zone.clock(message.at),
        datetime: message.at,
        html,
        text,
        whole: (is_cut && output.is_none()).then(|| (size.clone(), download.clone())),
        calls: calls(message),
        tool: message.name.as_deref().filter(|_| is_tool).map(|n| shown::excerpt(n, 80)),
        output,
        download,
        error: message.error.as_deref().map(shown::text),
        note: note(message),
    }
}

fn calls(message: &Message) -> Vec<Call> {
    let calls: Option<Vec<StoredCall>> =
        message.calls.as_ref().and_then(|calls| serde_json::from_str(calls.text()).ok());
    let call = |call: StoredCall| Call {
        name: shown::excerpt(call.name.as_deref().unwrap_or("?"), 80),
        arguments: json::restore(call.arguments.as_deref().unwrap_or("{}")).into_owned(),
    };
    calls.unwrap_or_default().into_iter().map(call).collect()
}

fn note(message: &Message) -> String {
    let (Some(read), Some(written)) = (message.prompt_tokens, message.completion_tokens) else {
        let bytes = message.bytes.filter(|_| message.role == "tool");
        return bytes.map(|b| payload::size(usize::try_from(b).unwrap_or(0))).unwrap_or_default();
    };
    let model = message.name.as_deref().map(|n| format!("{}, ", shown::excerpt(n, 80))).unwrap_or_default();
    format!("{model}{} tokens in, {} out", shown::count(read), shown::count(written))
}

fn sheet(messages: &[Message]) -> Sheet {
    let columns = ["n", "at", "role", "turn", "name", "text", "calls", "output", "bytes", "error"];
    let mut sheet = Sheet::new("messages", &columns);
    sheet.rows.extend(messages.iter().map(|m| {
        vec![
            Cell::Int(m.n.into()),
            Cell::Time(m.at),
            Cell::Text(m.role.clone()),
            Cell::Int(m.turn.into()),
            Cell::text(m.name.clone()),
            Cell::text(m.text.clone()),
            m.calls.clone().map_or(Cell::None, Cell::Json),
            Cell::text(m.output.clone()),
            Cell::int(m.bytes),
            Cell::text(m.error.clone()),
        ]
    }));
    sheet
}
