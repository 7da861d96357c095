//! One version's definition as people read it: instructions, tools, limits, and the JSON as sent.

use std::time::Duration;

use crate::agent::{Agent, Tool, ToolKind};
use crate::json::Json;
use crate::web::ui::payload::Payload;
use crate::web::ui::shown;

/// Most characters of instructions.
const INSTRUCTIONS: usize = 20_000;
/// Most tools.
const TOOLS: usize = 50;
/// Schemas that are longer than this are only in the definition itself.
const SCHEMA: usize = 8_000;

/// A name and what it is.
#[derive(Debug)]
pub struct Fact {
    /// What it is about.
    pub name: &'static str,
    /// What it is.
    pub value: String,
}

/// A tool on a page.
#[derive(Debug)]
pub struct ToolShown {
    /// Its name, which is also its queue.
    pub name: String,
    /// What the model is told about it.
    pub description: String,
    /// Who performs it and what else holds for it.
    pub notes: Vec<String>,
    /// What it takes; `None` when that is too long for a page.
    pub schema: Option<Payload>,
}

/// What an agent is, as far as this server understands its definition.
#[derive(Debug)]
pub struct Meaning {
    /// The beginning of the instructions.
    pub instructions: String,
    /// Whether there is more of them.
    pub is_cut: bool,
    /// The first tools.
    pub tools: Vec<ToolShown>,
    /// How many more there are.
    pub more_tools: usize,
    /// What bounds its runs, and how its model is asked.
    pub limits: Vec<Fact>,
    /// What the answer should look like.
    pub output_schema: Option<Payload>,
}

impl Meaning {
    /// Of an agent.
    pub fn of(agent: &Agent) -> Self {
        let (instructions, is_cut) = shown::cut(&agent.instructions, INSTRUCTIONS);
        Self {
            instructions,
            is_cut,
            tools: agent.tools.iter().take(TOOLS).map(tool).collect(),
            more_tools: agent.tools.len().saturating_sub(TOOLS),
            limits: limits(agent),
            output_schema: agent.output_schema.as_ref().map(|s| Payload::of(&Json::of(s))),
        }
    }
}

fn tool(tool: &Tool) -> ToolShown {
    let mut notes = vec![match tool.kind {
        ToolKind::Worker => "worker".to_owned(),
        ToolKind::Cli => "command line".to_owned(),
        ToolKind::Human => "a person answers".to_owned(),
        ToolKind::Inbox { .. } => "messages".to_owned(),
    }];
    notes.extend(tool.asking.as_ref().filter(|_| tool.is_gated()).map(|asking| {
        let who = asking.group.as_deref().map_or("anybody".to_owned(), |g| shown::excerpt(g, 80));
        if asking.quorum > 1 {
            format!("approved by {} of {who}", asking.quorum)
        } else {
            format!("approved by {who}")
        }
    }));
    notes.extend(tool.stateful.then(|| "stateful".to_owned()));
    notes.extend(tool.max_calls.map(|n| format!("at most {}", shown::many(n.into(), "call"))));
    if let Some(commands) = &tool.allowed_commands {
        notes.push(format!("runs {}", listed(commands)));
    }
    let schema = Json::of(&tool.input_schema);
    ToolShown {
        name: shown::excerpt(&tool.name, 200),
        description: shown::cut(&tool.description, 2000).0,
        notes,
        schema: (schema.text().len() <= SCHEMA).then(|| Payload::of(&schema)),
    }
}

fn limits(agent: &Agent) -> Vec<Fact> {
    let fact = |name, value: String| Fact { name, value };
    let number = |n: u32| shown::count(n.into());
    let time = |t: Option<Duration>| t.map_or("no limit".to_owned(), |t| shown::duration(t.as_secs_f64()));
    let mut facts = vec![
        fact("Turns", format!("at most {}", agent.max_turns)),
        fact("Time", agent.timeout.map_or("no limit".to_owned(), |t| format!("at most {}", time(Some(t))))),
        fact("Tokens of an answer", format!("at most {}", number(agent.max_tokens))),
    ];
    let mut also = |name, value: Option<String>| facts.extend(value.map(|v| fact(name, v)));
    also("Temperature", agent.temperature.map(|t| t.to_string()));
    also("Reasoning effort", agent.reasoning_effort.as_deref().map(|e| shown::excerpt(e, 40)));
    also("Thinking", agent.thinking_budget.map(|n| format!("at most {} tokens", number(n))));
    also("Context", agent.context_budget.map(|n| format!("condensed after {} tokens", number(n))));
    also("Model is at", agent.base_url.as_deref().map(|u| shown::excerpt(u, 200)));
    also("Must call", (!agent.required_tools.is_empty()).then(|| listed(&agent.required_tools)));
    also("Asks before going on", agent.stop_when.as_deref().map(|w| shown::excerpt(w, 200)));
    also(
        "Ends when",
        agent.termination.as_ref().map(|_| "its conditions hold; see the definition".to_owned()),
    );
    also("Plans first", agent.planning.then(|| "yes".to_owned()));
    let memory = i64::try_from(agent.memory.len()).unwrap_or(i64::MAX);
    also("Remembers", (memory > 0).then(|| shown::many(memory, "message")));
    also("Runs code in", agent.code.as_ref().map(|c| any(&c.languages, "any language")));
    also("Runs commands", agent.cli.as_ref().map(|c| any(&c.commands, "any")));
    facts
}

fn any(words: &[String], all: &str) -> String {
    if words.is_empty() { all.to_owned() } else { listed(words) }
}

/// The first words of a list.
fn listed(words: &[String]) -> String {
    let mut shown: Vec<_> = words.iter().take(12).map(|w| shown::excerpt(w, 60)).collect();
    if words.len() > shown.len() {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}
