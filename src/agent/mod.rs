//! What an agent is: model, instructions, tools, limits. Pure.
//!
//! A definition arrives as JSON (the `agentConfig` of the wire protocol), is stored as it was sent, versioned by
//! its content, and parsed into an [`Agent`] whenever something must be decided. [`parse`](Agent::parse) names the
//! field that it can't accept, and says of a known feature that isn't there yet that it isn't: a definition is never
//! accepted and then half obeyed.

mod asking;
mod config;
pub mod policy;
pub mod schema;
pub mod termination;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use asking::{Asking, Expiry};
pub use termination::Termination;

/// Turns of an agent that does not say.
pub const DEFAULT_MAX_TURNS: u32 = 25;
/// Answer tokens of an agent that does not say.
pub const DEFAULT_MAX_TOKENS: u32 = 16_384;

/// One version of an agent's definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Its name: letters, digits, `_` and `-`.
    pub name: String,
    /// `provider/model`.
    pub model: String,
    /// Where the provider is, when this agent has its own place.
    pub base_url: Option<String>,
    /// The system prompt's first part.
    pub instructions: String,
    /// What the model may ask for.
    pub tools: Vec<Tool>,
    /// Messages that stand between the system prompt and the user's.
    pub memory: Vec<MemoryMessage>,
    /// Model calls per execution; reaching it is not an error.
    pub max_turns: u32,
    /// How long an execution may take; `None` is for ever.
    pub timeout: Option<Duration>,
    /// Tokens of one answer.
    pub max_tokens: u32,
    /// Sampling temperature as given.
    pub temperature: Option<f64>,
    /// `low`, `medium`, `high`, … for models that reason.
    pub reasoning_effort: Option<String>,
    /// Tokens that the model may think before it answers.
    pub thinking_budget: Option<u32>,
    /// Context tokens after which the conversation is condensed, when smaller than the model's window.
    pub context_budget: Option<u32>,
    /// JSON Schema that the answer should follow.
    pub output_schema: Option<Value>,
    /// A worker that is asked after each turn whether to go on.
    pub stop_when: Option<String>,
    /// Conditions that end the loop, evaluated here.
    pub termination: Option<Termination>,
    /// Tools that must have been called before the loop may end.
    pub required_tools: Vec<String>,
    /// Whether the model is told to plan first.
    pub planning: bool,
    /// Languages and commands that its code tool allows.
    pub code: Option<CodeExecution>,
    /// What its command-line tool allows.
    pub cli: Option<Cli>,
}

/// One tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name, which is also the queue that its workers poll.
    pub name: String,
    /// What the model is told about it.
    pub description: String,
    /// JSON Schema of its input.
    pub input_schema: Value,
    /// Who performs it.
    pub kind: ToolKind,
    /// Whether its calls stay in the domain of the run that started it.
    pub stateful: bool,
    /// Most calls in one execution.
    pub max_calls: Option<u32>,
    /// Commands that a command-line tool may run, handed to its worker.
    pub allowed_commands: Option<Vec<String>>,
    /// How people are asked: before each call, or instead of a worker when it is a [`ToolKind::Human`].
    pub asking: Option<Asking>,
}

impl Tool {
    /// Whether a call of it waits until somebody has approved it.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        self.asking.is_some() && self.kind != ToolKind::Human
    }

    /// Whether a call of it is a question to a person, for a decision or for an answer.
    #[must_use]
    pub fn asks_a_person(&self) -> bool {
        self.asking.is_some()
    }
}

/// Who performs a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    /// A worker process polls the queue of the tool's name.
    Worker,
    /// The same; the worker runs command lines.
    Cli,
    /// A person answers.
    Human,
    /// Nobody: it returns messages that were sent into the run.
    Inbox {
        /// Most messages that one call returns.
        batch: u16,
        /// Whether it waits for the first one.
        blocking: bool,
    },
}

/// A message given with the definition.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryMessage {
    /// `user`, `assistant` or `system`.
    pub role: String,
    /// Its text.
    pub text: String,
}

/// What the code tool allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodeExecution {
    /// `python`, …
    pub languages: Vec<String>,
    /// Commands; empty means any.
    pub commands: Vec<String>,
}

/// What the command-line tool allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cli {
    /// Commands; empty means any.
    pub commands: Vec<String>,
    /// Whether a shell may be used.
    pub shell: bool,
}

/// Why a definition is refused. Shown to whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// Path of the field, as in `agentConfig.tools[0].toolType`.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl Agent {
    /// Read a definition in the wire protocol's `agentConfig` form. Unknown fields are ignored.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the first field that is wrong, or that needs a feature which isn't there yet.
    pub fn parse(definition: &str) -> Result<Self, Invalid> {
        config::parse(definition)
    }

    /// The tool with this name.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|t| t.name == name)
    }

    /// Whether a run of it may wait for people.
    #[must_use]
    pub fn asks_people(&self) -> bool {
        self.tools.iter().any(Tool::asks_a_person)
    }

    /// The part of the model string before the first `/`, in lower case.
    #[must_use]
    pub fn provider(&self) -> String {
        self.model.split('/').next().unwrap_or_default().to_lowercase()
    }

    /// Whether it is one model call and nothing else.
    #[must_use]
    pub fn is_simple(&self) -> bool {
        self.tools.is_empty()
    }

    /// Name of the workers besides its tools' that must be served by the client.
    #[must_use]
    pub fn required_workers(&self) -> Vec<String> {
        self.stop_when.iter().cloned().collect()
    }
}
