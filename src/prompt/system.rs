//! The system prompt: the agent's instructions and what its settings add.

use std::fmt::Write as _;

use serde_json::Value;

use crate::agent::Agent;

pub(super) fn text(agent: &Agent) -> String {
    let mut parts = vec![];
    if !agent.instructions.is_empty() {
        parts.push(crate::json::readable(&agent.instructions).into_owned());
    } else if !agent.tools.is_empty() {
        parts.push("You are a helpful assistant. Use the tools where they help.".to_owned());
    }
    if let Some(schema) = &agent.output_schema {
        let shape = shape(schema, schema, 0);
        parts.push(if agent.tools.is_empty() {
            format!("Answer with JSON of this shape and no other text: {shape}")
        } else {
            format!("Give your final answer as JSON of this shape: {shape}")
        });
    }
    if let Some(code) = &agent.code {
        let mut text = String::from("You can execute code with your code tool.");
        if !code.languages.is_empty() {
            let _ = write!(text, " Languages: {}.", code.languages.join(", "));
        }
        text.push_str(" Each run is on its own: include all imports and print what you need to see.");
        if !code.commands.is_empty() {
            let _ = write!(text, " Allowed commands: {}.", code.commands.join(", "));
        }
        parts.push(text);
    }
    if let Some(cli) = &agent.cli {
        let mut text = String::from(
            "You can run command lines with your command tool, the program and its arguments apart.",
        );
        if !cli.commands.is_empty() {
            let _ = write!(text, " Allowed commands: {}.", cli.commands.join(", "));
        }
        text.push_str(if cli.shell {
            " A shell may be used."
        } else {
            " A shell is not available: no pipes, no redirection."
        });
        parts.push(text);
    }
    if agent.planning {
        parts.push(
            "Before you act, write a short plan of numbered steps. Then carry the steps out one by one, and check the \
             outcome of each before you go on."
                .to_owned(),
        );
    }
    parts.join("\n\n")
}

/// A JSON Schema in a few words: `{'name': str, 'tags': [str]}`.
fn shape(schema: &Value, root: &Value, depth: usize) -> String {
    if depth > 12 {
        return "any".into();
    }
    let inner = |s: &Value| shape(s, root, depth + 1);
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        let found = [&root["$defs"][name], &root["definitions"][name]].into_iter().find(|d| d.is_object());
        return found.map_or_else(|| "any".into(), inner);
    }
    if let Some(options) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
        return options.iter().map(inner).collect::<Vec<_>>().join(" | ");
    }
    if let Some(values) = schema["enum"].as_array() {
        return format!("one of {}", Value::Array(values.clone()));
    }
    match schema["type"].as_str() {
        Some("string") => "str".into(),
        Some("integer") => "int".into(),
        Some("number") => "float".into(),
        Some("boolean") => "bool".into(),
        Some("null") => "None".into(),
        Some("array") => format!("[{}]", inner(&schema["items"])),
        Some("object") => {
            let fields = schema["properties"].as_object().map(|p| {
                p.iter().map(|(k, v)| format!("'{k}': {}", inner(v))).collect::<Vec<_>>().join(", ")
            });
            format!("{{{}}}", fields.unwrap_or_default())
        }
        _ => "any".into(),
    }
}
