//! Outbound: models. A question goes in, an answer or a classified error comes out.
//!
//! ```text
//!              ┌─ demo       built in, deterministic, no key
//!  Models ─────┼─ openai     chat completions: OpenAI, Azure, Ollama and every compatible provider
//!  (registry)  ├─ anthropic  messages
//!              └─ gemini     generateContent
//!                    └── http   one client: timeouts, size cap, Retry-After, keys kept out of texts
//! ```
//!
//! Nothing here sees the database, and nothing here retries a fault of the network or the provider:
//! [`Error::class`] says whether the same attempt may be repeated and when, the caller does it. The
//! only request sent twice is one that the provider refused because of an optional setting
//! (a temperature that a reasoning model does not take); the second one goes without it.
//!
//! The three wire formats are our own code instead of a client library's. What a run survives is
//! decided here, and it needs things that the libraries we looked at can't give: arguments that are
//! not JSON kept as data instead of failing the whole answer, a cap on the size of an answer while
//! it is read, `Retry-After` and status for every provider, local servers without a key, model
//! names sent exactly as written, and one meaning of call ids, finish reasons and usage.
//!
//! Invariants, each named by a test:
//!
//! 1. Every call id starts with `call_` and is unique within its reply.
//! 2. A malformed answer is data: arguments that are no JSON object arrive as [`Arguments::Malformed`].
//! 3. No error text, log line or `Debug` output contains a key.
//! 4. The demo provider's answer depends on the request alone, so a repeated attempt gets the same one.
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

mod aloud;
mod anthropic;
mod demo;
mod draft;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gemini;
mod http;
mod media;
mod openai;
mod providers;
#[cfg(test)]
mod tests;
pub mod window;

pub use error::{Class, Error};
pub use providers::Models;

/// Something that answers a conversation with text, tool calls or both.
#[async_trait]
pub trait Model: Send + Sync {
    /// Asks once. Takes as long as the model does, at most the configured timeout.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::class`] says whether asking again may help.
    async fn complete(&self, request: &Request) -> Result<Reply, Error>;

    /// The same, and tells `say` the text of the answer piece by piece, where the provider can. The answer counts, not the
    /// pieces.
    ///
    /// # Errors
    /// As [`Model::complete`], also after pieces were told.
    async fn complete_aloud(&self, request: &Request, say: Say<'_>) -> Result<Reply, Error> {
        let _ = say;
        self.complete(request).await
    }

    /// When to ask for pieces.
    fn live_tokens(&self) -> LiveTokens {
        LiveTokens::default()
    }
}

/// Takes the next piece of an answer's text.
pub type Say<'a> = &'a mut (dyn FnMut(&str) + Send);

/// When models are asked to answer piece by piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LiveTokens {
    /// Never.
    Never,
    /// When somebody listens at the moment of asking.
    #[default]
    Watched,
    /// Always, so that who comes in the middle of an answer hears it as well.
    Always,
}

/// One question to a model: the whole conversation and what the model may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Which model of which provider.
    pub model: ModelRef,
    /// The agent's own base URL; goes before the environment's and the provider's.
    pub base_url: Option<String>,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// Tools that the model may call.
    pub tools: Vec<ToolSpec>,
    /// Upper limit of the answer, in tokens.
    pub max_tokens: u32,
    /// Randomness; left out for models that take none.
    pub temperature: Option<f64>,
    /// Ask for an answer that is one JSON object.
    pub json_output: bool,
    /// `low`, `medium`, `high`, … for models that think before they answer.
    pub reasoning_effort: Option<String>,
    /// Tokens that the model may spend on thinking, where the provider takes a number.
    pub thinking_budget: Option<u32>,
    /// Id of the execution that asks: for logs, and for the demo model's call ids.
    pub execution: String,
    /// Number of this turn in the execution, from 1.
    pub turn: u32,
}

/// A model's name as agents write it: `provider/model`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelRef {
    /// The provider, in lower case.
    pub provider: String,
    /// The provider's own name of the model; may contain slashes.
    pub name: String,
}

impl FromStr for ModelRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once('/') {
            Some((provider, name)) if !provider.trim().is_empty() && !name.trim().is_empty() => {
                Ok(Self { provider: provider.trim().to_lowercase(), name: name.trim().to_owned() })
            }
            _ => Err(Error::InvalidModel(text.to_owned())),
        }
    }
}

impl std::fmt::Display for ModelRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider, self.name)
    }
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Instructions.
    System(String),
    /// What a person or another program said.
    User {
        /// The text, possibly empty when there is media.
        text: String,
        /// URLs or `data:` URIs of images, documents or audio.
        media: Vec<String>,
    },
    /// What the model answered in an earlier turn.
    Assistant {
        /// The text, possibly empty when there are calls.
        text: String,
        /// The calls, each followed by one [`Message::Tool`].
        calls: Vec<Call>,
    },
    /// What became of one call.
    Tool {
        /// The call's id.
        call_id: String,
        /// The tool's name.
        name: String,
        /// The result, or what went wrong, as the model shall read it.
        text: String,
    },
}

/// A tool as it is described to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// The name that the model calls it by.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON schema of its arguments.
    pub input_schema: Value,
}

impl ToolSpec {
    /// The schema as every provider takes it: an object with a type.
    fn schema(&self) -> Value {
        let mut schema = self.input_schema.as_object().cloned().unwrap_or_default();
        if !schema.contains_key("type") {
            schema.insert("type".into(), "object".into());
        }
        if schema["type"] == "object" && !schema.contains_key("properties") {
            schema.insert("properties".into(), json!({}));
        }
        Value::Object(schema)
    }
}

/// One tool request by the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Starts with `call_`, unique within its reply.
    pub id: String,
    /// The tool's name as the model wrote it; may name a tool that does not exist.
    pub name: String,
    /// What to call it with.
    pub arguments: Arguments,
}

/// Arguments of a call. In JSON an object, or a string where the model's text was no JSON object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Arguments {
    /// A JSON object, as it should be.
    Object(Map<String, Value>),
    /// What the model wrote instead, unchanged.
    Malformed(String),
}

impl Arguments {
    /// Reads arguments that arrive as text. Nothing and `null` mean no arguments.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.trim().is_empty() {
            return Self::Object(Map::new());
        }
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(object)) => Self::Object(object),
            Ok(Value::Null) => Self::Object(Map::new()),
            // Some models encode their object twice.
            Ok(Value::String(inner)) if inner.trim_start().starts_with('{') => Self::parse(&inner),
            _ => Self::Malformed(text.to_owned()),
        }
    }

    /// Reads arguments that arrive as JSON.
    #[must_use]
    pub fn from_value(value: Value) -> Self {
        match value {
            Value::Object(object) => Self::Object(object),
            Value::Null => Self::Object(Map::new()),
            Value::String(text) => Self::parse(&text),
            other => Self::Malformed(other.to_string()),
        }
    }

    /// The arguments as they are shown to the model again. Always an object, because providers refuse
    /// a whole conversation for one earlier call that is none.
    fn replay(&self) -> Value {
        match self {
            Self::Object(object) => Value::Object(object.clone()),
            Self::Malformed(text) => json!({ "malformed_arguments": text }),
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Reply {
    /// The answer's text, possibly empty when there are calls.
    pub text: String,
    /// Tools that the model wants called, at most 128.
    pub calls: Vec<Call>,
    /// Why the model stopped.
    pub finish: Finish,
    /// What it cost, in tokens.
    pub usage: Usage,
    /// What the model thought, where the provider shows it.
    pub reasoning: Option<String>,
    /// The provider's id of this answer.
    pub response_id: Option<String>,
}

/// Why a model stopped. In JSON the wire protocol's word, such as `"TOOL_CALLS"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Finish {
    /// It had said everything.
    #[default]
    Stop,
    /// It waits for tools.
    ToolCalls,
    /// It ran into the token limit; the answer is cut.
    #[serde(alias = "MAX_TOKENS")]
    Length,
    /// It or its provider refused.
    ContentFilter,
    /// The provider broke off.
    Error,
}

impl Finish {
    /// The wire protocol's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "STOP",
            Self::ToolCalls => "TOOL_CALLS",
            Self::Length => "LENGTH",
            Self::ContentFilter => "CONTENT_FILTER",
            Self::Error => "ERROR",
        }
    }
}

impl std::fmt::Display for Finish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tokens of one answer. Zero where the provider counts nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read, cached ones included.
    pub prompt: u64,
    /// Tokens written, reasoning included.
    pub completion: u64,
    /// Both together, as the provider adds them up.
    pub total: u64,
    /// Of `prompt`: read from the provider's cache.
    pub cached: Option<u64>,
    /// Of `completion`: spent on thinking.
    pub reasoning: Option<u64>,
}
