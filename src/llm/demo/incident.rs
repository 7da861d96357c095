//! The incident commander: looks at the incident once, then says what happened and what to do.
use serde_json::{Map, Value, json};

use super::super::{Arguments, Message, Request};
use super::script::{ScriptedCall, Step};

const TOOL: &str = "fetch_incident_context";

/// What the commander does next, given the conversation so far.
pub(super) fn step(request: &Request) -> Step {
    let results = request.messages.iter().filter_map(|message| match message {
        Message::Tool { name, text, .. } if name == TOOL => Some(text.as_str()),
        _ => None,
    });
    let context = results.map(Context::read).reduce(|earlier, later| match later {
        Context::Missing(_) => earlier,
        found @ Context::Found(_) => found,
    });
    match context {
        Some(context) => Step::say(&context.verdict()),
        None if request.tools.iter().any(|tool| tool.name == TOOL) => Step::call(ScriptedCall {
            id: None,
            name: TOOL.to_owned(),
            arguments: Arguments::from_value(json!({ "service": "checkout-api", "window_minutes": 15 })),
        }),
        None => {
            Step::say(&Context::Missing(format!("the tool {TOOL} is not among this agent's tools")).verdict())
        }
    }
}

/// What the tool said.
enum Context {
    Found(Map<String, Value>),
    Missing(String),
}

impl Context {
    fn read(result: &str) -> Self {
        let Ok(Value::Object(mut map)) = serde_json::from_str(result) else {
            return Self::Missing(first_line(result));
        };
        // A result may come wrapped in `result`.
        if let Some(Value::Object(inner)) = map.get_mut("result") {
            map = std::mem::take(inner);
        }
        let failed = map.get("status").is_some_and(|s| s == "FAILED");
        match map.get("error") {
            Some(error) if failed || map.len() == 1 => Self::Missing(first_line(&plain(error))),
            _ if failed => Self::Missing("the tool failed".to_owned()),
            _ => Self::Found(map),
        }
    }

    /// The two lines that everybody waits for.
    fn verdict(&self) -> String {
        match self {
            Self::Missing(reason) => format!(
                "summary: no incident context, {reason}\n\
                 next_action: freeze deploys and page the on-call engineer to look by hand"
            ),
            Self::Found(facts) => format!("summary: {}\nnext_action: {}", summary(facts), action(facts)),
        }
    }
}

fn summary(facts: &Map<String, Value>) -> String {
    let field = |name: &str| facts.get(name).map(plain).filter(|text| !text.is_empty());
    let service = field("service").unwrap_or_else(|| "the service".to_owned());
    let subject = match field("severity") {
        Some(severity) => format!("{severity} on {service}"),
        None => service,
    };
    let signals = [
        field("error_rate_pct").map(|v| format!("error rate {v}%")),
        field("p95_latency_ms").map(|v| format!("p95 {v} ms")),
        field("conversion_drop_pct").map(|v| format!("conversion down {v}%")),
        field("recent_deploy_id").map(|v| format!("since deploy {v}")),
    ];
    let signals: Vec<String> = signals.into_iter().flatten().collect();
    if signals.is_empty() {
        return format!("{subject}, the context names no signals");
    }
    format!("{subject}, {}", signals.join(", "))
}

fn action(facts: &Map<String, Value>) -> String {
    let field = |name: &str| facts.get(name).map(plain).filter(|text| !text.is_empty());
    match (field("recommended_action"), field("recent_deploy_id")) {
        (Some(action), _) => action,
        (None, Some(deploy)) => format!("roll back {deploy} and watch the error rate"),
        (None, None) => "freeze deploys and page the on-call engineer".to_owned(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => first_line(text),
        other => other.to_string(),
    }
}

fn first_line(text: &str) -> String {
    text.trim().lines().next().unwrap_or("it sent nothing").chars().take(200).collect()
}
