//! An answer of the chat completions format that comes piece by piece: told as it comes, put together to what it would have
//! been at once, so that there is one reader of answers.

use serde_json::{Map, Value, json};

use super::Say;
use super::http::Pieces;

/// Puts the pieces together.
pub(super) struct Aloud<'a> {
    say: Say<'a>,
    /// Fields of the message that are texts.
    texts: Map<String, Value>,
    calls: Vec<PartialCall>,
    finish: Value,
    usage: Value,
    id: Value,
    error: Value,
}

/// A call whose arguments come in pieces of text.
#[derive(Default)]
struct PartialCall {
    index: Option<u64>,
    id: Option<String>,
    name: String,
    arguments: String,
}

impl<'a> Aloud<'a> {
    pub(super) fn new(say: Say<'a>) -> Self {
        let (finish, usage, id, error) = Default::default();
        Self { say, texts: Map::new(), calls: vec![], finish, usage, id, error }
    }

    fn append(&mut self, field: &str, piece: &Value) {
        let Some(piece) = piece.as_str() else { return };
        match self.texts.entry(field).or_insert_with(|| "".into()) {
            Value::String(text) => text.push_str(piece),
            other => *other = piece.into(),
        }
    }

    /// Which call a piece is of: that of its index, else of its id, else the last one.
    fn call(&mut self, piece: &Value) -> &mut PartialCall {
        let (index, id) = (piece["index"].as_u64(), piece["id"].as_str().filter(|id| !id.is_empty()));
        let known = match (index, id) {
            (Some(_), _) => self.calls.iter().position(|call| call.index == index),
            (None, Some(id)) => self.calls.iter().position(|call| call.id.as_deref() == Some(id)),
            (None, None) => self.calls.len().checked_sub(1),
        };
        let at = known.unwrap_or_else(|| {
            self.calls.push(PartialCall { index, ..PartialCall::default() });
            self.calls.len() - 1
        });
        &mut self.calls[at]
    }
}

impl Pieces for Aloud<'_> {
    fn take(&mut self, mut piece: Value) {
        for (kept, new) in [(&mut self.id, "id"), (&mut self.usage, "usage"), (&mut self.error, "error")] {
            let new = piece[new].take();
            if !new.is_null() {
                *kept = new;
            }
        }
        let choice = &piece["choices"][0];
        if !choice["finish_reason"].is_null() {
            self.finish = choice["finish_reason"].clone();
        }
        let delta = &choice["delta"];
        if let Some(text) = delta["content"].as_str() {
            (self.say)(text);
        }
        for field in ["content", "refusal", "reasoning_content", "reasoning"] {
            self.append(field, &delta[field]);
        }
        for part in delta["tool_calls"].as_array().into_iter().flatten() {
            let call = self.call(part);
            if let Some(id) = part["id"].as_str().filter(|id| !id.is_empty()) {
                call.id = Some(id.to_owned());
            }
            if let Some(name) = part["function"]["name"].as_str().filter(|_| call.name.is_empty()) {
                name.clone_into(&mut call.name);
            }
            match &part["function"]["arguments"] {
                Value::String(text) => call.arguments.push_str(text),
                Value::Null => {}
                whole => call.arguments = whole.to_string(),
            }
        }
    }

    fn whole(&mut self) -> Option<Value> {
        if !self.error.is_null() {
            return Some(json!({ "error": self.error.take() }));
        }
        if self.finish.is_null() {
            return None;
        }
        let mut message = std::mem::take(&mut self.texts);
        let calls = self.calls.drain(..).map(
            |call| json!({ "id": call.id, "function": { "name": call.name, "arguments": call.arguments } }),
        );
        message.insert("tool_calls".into(), calls.collect());
        Some(json!({
            "id": self.id.take(),
            "choices": [{ "message": message, "finish_reason": self.finish.take() }],
            "usage": self.usage.take(),
        }))
    }
}
