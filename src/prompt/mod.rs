//! What a model is asked: an agent, a conversation and the number of its last message in, one request out. Pure.
//!
//! The whole request follows from the agent version and the messages up to a number, so that any call can be shown, or
//! made again, exactly as it was.
//!
//! ```text
//!   system     instructions, and what the agent's settings add to them
//!   …          the agent's memory, and what was said in earlier runs
//!   system     what people said with their approvals
//!   user       [SIGNALS] + Context: + prompt            ← the newest signal and shared state
//!   assistant  calls           ┐
//!   tool       one per call    ┘ per turn, in the order of the calls
//! ```

mod condense;
mod system;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::agent::Agent;
use crate::json::{Json, made_readable, readable};
use crate::llm::{self, Finish, Message, Request, ToolSpec};
use crate::runtime::{Entry, answer};

pub use condense::Condensed;

/// Longest value of the shared state that is shown, in characters.
const CONTEXT_VALUE: usize = 4096;
/// Longest shared state that is shown, in bytes.
const CONTEXT_ALL: usize = 32_768;
/// Tool results that are shown whole; older ones are cut.
const WHOLE_RESULTS: usize = 6;
/// What is left of an older tool result, in characters.
const CUT_RESULT: usize = 500;

/// A request, and how the conversation was shortened for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// To be sent.
    pub request: Request,
    /// What was left out, if anything.
    pub condensed: Option<Condensed>,
}

/// A message of an earlier run.
#[derive(Deserialize)]
struct Earlier {
    role: String,
    message: String,
}

/// Put the request of a turn together.
///
/// # Errors
///
/// A text for people when the agent's model string is none, or when there is nothing to ask.
pub fn assemble(
    agent: &Agent,
    execution: &str,
    turn: u32,
    input: &Json,
    entries: &[Entry],
) -> Result<Prompt, String> {
    #[derive(Deserialize, Default)]
    struct Input {
        #[serde(default)]
        prompt: Option<String>,
        #[serde(default)]
        media: Option<Vec<String>>,
        context: Option<Json>,
        /// What was said in earlier runs of the conversation.
        #[serde(default)]
        memory: Vec<Earlier>,
    }
    let input: Input = serde_json::from_str(input.text()).unwrap_or_default();
    let shared = shared_state(input.context.unwrap_or_else(|| Json::of(&serde_json::json!({}))), entries);
    let signal = entries.iter().rev().find(|e| e.role == "signal").and_then(|e| e.content.as_deref());
    let prompt = input.prompt.unwrap_or_default();
    let text = first_user_text(signal.unwrap_or_default(), &shared, &prompt);
    let media = input.media.unwrap_or_default().into_iter().filter(|m| !m.is_empty()).collect::<Vec<_>>();

    let mut messages = vec![];
    let system = system::text(agent);
    if !system.is_empty() {
        messages.push(Message::System(system));
    }
    let told = agent.memory.iter().map(|m| (m.role.as_str(), m.text.as_str()));
    let earlier = input.memory.iter().map(|m| (m.role.as_str(), m.message.as_str()));
    for (role, text) in told.chain(earlier) {
        let text = readable(text).into_owned();
        messages.push(match role {
            "system" => Message::System(text),
            "assistant" => Message::Assistant { text, calls: vec![] },
            _ => Message::User { text, media: vec![] },
        });
    }
    // What people said with an approval holds for all that follows, as the protocol has it.
    let said = entries.iter().filter(|e| e.role == "system").filter_map(|e| e.content.as_deref());
    messages.extend(said.map(|text| Message::System(readable(text).into_owned())));
    if text.is_empty() && media.is_empty() {
        return Err("there is nothing to ask the model: prompt, media and context are all empty".into());
    }
    messages.push(Message::User { text: made_readable(text), media });
    let truncated = history(entries, &mut messages);
    cut_old_results(&mut messages);
    if !matches!(messages.last(), Some(Message::User { .. } | Message::Tool { .. })) {
        messages.push(Message::User { text: "Please continue where you left off.".into(), media: vec![] });
    }

    let mut request = Request {
        model: agent.model.parse().map_err(|e: llm::Error| e.to_string())?,
        base_url: agent.base_url.clone(),
        messages,
        tools: agent.tools.iter().map(spec).collect(),
        max_tokens: agent.max_tokens,
        temperature: agent.temperature,
        json_output: agent.output_schema.is_some() && agent.tools.is_empty(),
        reasoning_effort: agent.reasoning_effort.clone(),
        thinking_budget: agent.thinking_budget,
        execution: execution.to_owned(),
        turn,
    };
    let condensed = condense::condense(&mut request, agent.context_budget, truncated);
    Ok(Prompt { request, condensed })
}

fn spec(tool: &crate::agent::Tool) -> ToolSpec {
    ToolSpec {
        name: tool.name.clone(),
        description: tool.description.clone(),
        input_schema: tool.input_schema.clone(),
    }
}

/// What the tools share as of the last entry: the execution's input and what tools returned since.
fn shared_state(begin: Json, entries: &[Entry]) -> Json {
    entries
        .iter()
        .filter(|e| e.role == "tool")
        .filter_map(|e| e.output.as_ref())
        .fold(begin, |shared, output| answer::merge(&shared, output).unwrap_or(shared))
}

fn first_user_text(signal: &str, shared: &Json, prompt: &str) -> String {
    let mut parts = vec![];
    if !signal.is_empty() {
        parts.push(format!("[SIGNALS]\n{signal}\n[/SIGNALS]"));
    }
    if let Some(shown) = shown_state(shared) {
        parts.push(format!("Context:\n```json\n{shown}\n```"));
    }
    if !prompt.is_empty() {
        parts.push(prompt.to_owned());
    }
    parts.join("\n\n")
}

/// The shared state as the model sees it: long values cut, oldest keys dropped when it is too much.
fn shown_state(shared: &Json) -> Option<String> {
    let values: IndexMap<String, Box<RawValue>> = serde_json::from_str(shared.text()).ok()?;
    let mut values: IndexMap<String, String> = values
        .into_iter()
        .map(|(key, raw)| {
            let text = serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
            let shown = match text.char_indices().nth(CONTEXT_VALUE) {
                Some((at, _)) => format!("{}[truncated]", &text[..at]),
                None => text,
            };
            (key, shown)
        })
        .collect();
    loop {
        if values.is_empty() {
            return None;
        }
        let text = serde_json::to_string_pretty(&values).ok()?;
        if text.len() <= CONTEXT_ALL {
            return Some(text);
        }
        values.shift_remove_index(0);
    }
}

/// Append what was said since the prompt; whether the last answer was cut off by a length limit.
fn history(entries: &[Entry], messages: &mut Vec<Message>) -> bool {
    let mut results: BTreeMap<(u32, u16), &Entry> = BTreeMap::new();
    for entry in entries.iter().filter(|e| e.role == "tool") {
        results.insert((entry.turn, entry.call.unwrap_or(0)), entry);
    }
    let mut truncated = false;
    for entry in entries {
        match entry.role.as_str() {
            "assistant" => {
                let reply: llm::Reply = entry
                    .output
                    .as_ref()
                    .and_then(|o| serde_json::from_str(o.text()).ok())
                    .unwrap_or_default();
                truncated = reply.finish == Finish::Length;
                said(entry.turn, reply, &results, messages);
            }
            "user" => {
                if let Some(text) = &entry.content {
                    messages.push(Message::User { text: readable(text).into_owned(), media: vec![] });
                }
            }
            _ => {}
        }
    }
    truncated
}

fn said(turn: u32, reply: llm::Reply, results: &BTreeMap<(u32, u16), &Entry>, messages: &mut Vec<Message>) {
    if reply.calls.is_empty() {
        let cut = reply.finish == Finish::Length;
        if !reply.text.is_empty() {
            messages.push(Message::Assistant { text: made_readable(reply.text), calls: vec![] });
        }
        if cut {
            let text = "Your answer was cut off by the length limit. Continue exactly where it ended.".into();
            messages.push(Message::User { text, media: vec![] });
        }
        return;
    }
    let answers = (0..).zip(&reply.calls).map(|(index, call)| {
        let text = results.get(&(turn, index)).map_or_else(String::new, |e| result_text(e));
        Message::Tool { call_id: call.id.clone(), name: call.name.clone(), text: made_readable(text) }
    });
    let answers: Vec<_> = answers.collect();
    messages.push(Message::Assistant { text: made_readable(reply.text), calls: reply.calls });
    messages.extend(answers);
}

/// A tool's result as the model reads it: its `result` when it has one, else all of it; or why there is none.
#[must_use]
pub fn result_text(entry: &Entry) -> String {
    if let Some(text) = &entry.content {
        return text.clone();
    }
    if let Some(error) = &entry.error {
        return format!("Error: {error}");
    }
    let Some(output) = &entry.output else { return String::new() };
    let Ok(mut map) = serde_json::from_str::<IndexMap<String, Box<RawValue>>>(output.text()) else {
        return output.text().to_owned();
    };
    map.shift_remove("_state_updates");
    match map.get("result") {
        Some(result) if result.get() != "null" => match serde_json::from_str::<Value>(result.get()) {
            Ok(Value::String(text)) => text,
            _ => result.get().to_owned(),
        },
        _ => Json::of(&map).text().to_owned(),
    }
}

fn cut_old_results(messages: &mut [Message]) {
    let results = messages.iter_mut().rev().filter_map(|m| match m {
        Message::Tool { text, .. } => Some(text),
        _ => None,
    });
    for text in results.skip(WHOLE_RESULTS) {
        if let Some((at, _)) = text.char_indices().nth(CUT_RESULT) {
            text.truncate(at);
            text.push_str("...[truncated]");
        }
    }
}
