//! The conversation of an execution as people read it.

use jiff::Timestamp;
use serde::Deserialize;

use super::payload::{self, Payload};
use super::shown::{self, Zone};
use crate::json::Json;
use crate::store::read::pages::Message;

/// Most characters of a message that a page shows.
const MOST: usize = 16_000;

/// One message.
pub struct Said {
    /// Who.
    pub who: &'static str,
    /// When, UTC.
    pub at: String,
    /// The same for programs.
    pub datetime: Timestamp,
    /// What was said.
    pub text: String,
    /// Whether only its beginning is shown.
    pub cut: bool,
    /// Tools that the model wants called.
    pub calls: Vec<Call>,
    /// The tool that returned.
    pub tool: Option<String>,
    /// What it returned.
    pub output: Option<Payload>,
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

/// A model's answer as stored.
#[derive(Default, Deserialize)]
struct Reply {
    #[serde(default)]
    text: String,
    #[serde(default)]
    calls: Vec<StoredCall>,
}

#[derive(Deserialize)]
struct StoredCall {
    name: String,
    arguments: Option<Json>,
}

/// What a person reads of `message`; `prompt` is what the first one stands for.
pub fn said(message: &Message, prompt: &str, zone: &Zone) -> Said {
    let reply = match message.role.as_str() {
        "assistant" => reply(message),
        _ => Reply::default(),
    };
    let is_tool = message.role == "tool";
    let content = message.content.as_deref();
    let stored = match message.role.as_str() {
        "assistant" => content.unwrap_or(&reply.text),
        "user" => content.unwrap_or(prompt),
        _ => content.unwrap_or_default(),
    };
    let (text, cut) = shown::cut(stored, MOST);
    Said {
        who: match message.role.as_str() {
            "assistant" => "model",
            "tool" => "tool",
            "signal" => "signal",
            _ => "user",
        },
        at: zone.clock(message.at),
        datetime: message.at,
        text,
        cut,
        calls: reply.calls.iter().map(call).collect(),
        tool: message.name.as_deref().filter(|_| is_tool).map(|n| shown::excerpt(n, 80)),
        output: message.output.as_ref().filter(|_| is_tool).map(Payload::of),
        error: message.error.as_deref().map(shown::text),
        note: note(message),
    }
}

fn reply(message: &Message) -> Reply {
    message.output.as_ref().and_then(|o| serde_json::from_str(o.text()).ok()).unwrap_or_default()
}

fn call(call: &StoredCall) -> Call {
    let arguments = call.arguments.as_ref().map_or_else(|| "{}".to_owned(), |a| shown::cut(a.text(), 2000).0);
    Call { name: shown::excerpt(&call.name, 80), arguments }
}

fn note(message: &Message) -> String {
    let (Some(read), Some(written)) = (message.prompt_tokens, message.completion_tokens) else {
        let size =
            message.output.as_ref().filter(|_| message.role == "tool").map(|o| payload::size(o.text().len()));
        return size.unwrap_or_default();
    };
    let model = message.name.as_deref().map(|n| format!("{}, ", shown::excerpt(n, 80))).unwrap_or_default();
    format!("{model}{} tokens in, {} out", shown::count(read), shown::count(written))
}
