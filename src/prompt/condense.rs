//! Shortening a conversation that would not fit the model's window, without a model.

use std::fmt::Write as _;

use serde::Serialize;

use crate::llm::{Message, Request, window};

/// Exchanges at the end that stay as they are.
const KEPT: usize = 5;
/// What is left of an older output and of an older text, in characters.
const OUTPUT: usize = 150;
const TEXT: usize = 200;

/// How a conversation was shortened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condensed {
    /// `proactive`: it would not have fitted. `reactive`: the answer before was cut off.
    pub trigger: &'static str,
    /// Messages before.
    pub before: usize,
    /// Messages after.
    pub after: usize,
    /// Exchanges that became a line each.
    pub exchanges: usize,
}

/// Shorten `request` when it is too long, or was so long that the answer before was cut off.
pub(super) fn condense(request: &mut Request, budget: Option<u32>, truncated: bool) -> Option<Condensed> {
    let window = window::tokens(&request.model.name);
    let room = window.saturating_sub(request.max_tokens).max(window / 4);
    let room = budget.map_or(room, |b| b.min(room)) as usize;
    let tokens = estimate(request);
    let trigger = match () {
        () if tokens > room => "proactive",
        () if truncated && tokens > room / 2 => "reactive",
        () => return None,
    };
    let head = head(&request.messages);
    let exchanges = exchanges(&request.messages[head..]);
    if exchanges.len() <= KEPT {
        return None;
    }
    let before = request.messages.len();
    let old = exchanges.len() - KEPT;
    let cut = head + exchanges[..old].iter().sum::<usize>();
    let summary = summary(&request.messages[head..cut], &exchanges[..old]);
    request.messages.splice(head..cut, [Message::Assistant { text: summary, calls: vec![] }]);
    Some(Condensed { trigger, before, after: request.messages.len(), exchanges: old })
}

/// Tokens of a request, about: three and a half characters each.
fn estimate(request: &Request) -> usize {
    let messages: usize = request.messages.iter().map(length).sum();
    let tools: usize = request
        .tools
        .iter()
        .map(|t| t.name.len() + t.description.len() + t.input_schema.to_string().len())
        .sum();
    (messages + tools) * 2 / 7
}

fn length(message: &Message) -> usize {
    match message {
        Message::System(text) | Message::User { text, .. } | Message::Tool { text, .. } => text.len(),
        Message::Assistant { text, calls } => {
            let arguments = |c: &crate::llm::Call| serde_json::to_string(&c.arguments).map_or(0, |a| a.len());
            text.len() + calls.iter().map(|c| c.name.len() + arguments(c)).sum::<usize>()
        }
    }
}

/// Messages that always stay: what leads up to the first user message, and that one.
fn head(messages: &[Message]) -> usize {
    messages.iter().position(|m| matches!(m, Message::User { .. })).map_or(messages.len(), |at| at + 1)
}

/// Lengths of the exchanges: calls with their results are one, any other message is one.
fn exchanges(messages: &[Message]) -> Vec<usize> {
    let mut lengths: Vec<usize> = vec![];
    for message in messages {
        match (message, lengths.last_mut()) {
            (Message::Tool { .. }, Some(last)) => *last += 1,
            _ => lengths.push(1),
        }
    }
    lengths
}

fn summary(messages: &[Message], exchanges: &[usize]) -> String {
    let mut text = String::from("Earlier in this conversation, in short:\n");
    let mut rest = messages;
    for length in exchanges {
        let (exchange, after) = rest.split_at(*length);
        rest = after;
        let line = match exchange {
            [Message::Assistant { calls, .. }, results @ ..] if !calls.is_empty() => {
                let results = results.iter().filter_map(|r| match r {
                    Message::Tool { name, text, .. } => Some(format!("{name}: {}", first(text, OUTPUT))),
                    _ => None,
                });
                format!("called {}", results.collect::<Vec<_>>().join("; "))
            }
            [Message::Assistant { text, .. } | Message::User { text, .. } | Message::System(text), ..] => {
                first(text, TEXT)
            }
            _ => continue,
        };
        let _ = writeln!(text, "- {line}");
    }
    let _ = write!(text, "({} exchanges were shortened.)", exchanges.len());
    text
}

fn first(text: &str, chars: usize) -> String {
    let line = text.replace('\n', " ");
    match line.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
