//! A model's answer on its way into the tables: the part that decides, and the whole in a form that columns take.

use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::agent::policy::{self, Policy};
use crate::engine;
use crate::json::{Json, storable_text};
use crate::llm;

/// The calls of a stored answer.
pub(super) fn calls_of(stored: &Json) -> Vec<engine::Call> {
    serde_json::from_str::<llm::Reply>(stored.text()).map(|reply| calls(&reply)).unwrap_or_default()
}

fn calls(reply: &llm::Reply) -> Vec<engine::Call> {
    let call = |call: &llm::Call| engine::Call {
        id: storable_text(&call.id).into_owned(),
        name: storable_text(&call.name).into_owned(),
        arguments: match &call.arguments {
            llm::Arguments::Object(object) => Ok(Json::of(&storable_value(object.clone().into()))),
            llm::Arguments::Malformed(text) => Err(storable_text(text).into_owned()),
        },
        gated: None,
    };
    reply.calls.iter().map(call).collect()
}

/// The part of an answer that decides what is next.
pub(super) fn decisive(reply: &llm::Reply) -> engine::Reply {
    engine::Reply {
        text: storable_text(&reply.text).into_owned(),
        calls: calls(reply),
        truncated: reply.finish == llm::Finish::Length,
        prompt_tokens: reply.usage.prompt,
        completion_tokens: reply.usage.completion,
    }
}

/// What a policy said about one call of an answer, as its event keeps it: a run that is told again is told the same.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ruled {
    /// Which call.
    pub call: usize,
    /// Whether a person must let it go.
    pub asks: bool,
    /// The policy.
    pub policy: String,
}

/// Let policies rule about these calls.
pub(super) fn ruled(agent: &Agent, policies: &[Policy], calls: &mut [engine::Call]) -> Vec<Ruled> {
    let mut all = vec![];
    if policies.is_empty() {
        return all;
    }
    for (n, call) in calls.iter_mut().enumerate() {
        let (Some(tool), Ok(arguments)) = (agent.tool(&call.name), &call.arguments) else { continue };
        if let Some(ruling) = policy::ruling(policies, &agent.name, tool, &arguments.value()) {
            call.gated = Some(ruling.asks);
            all.push(Ruled { call: n, asks: ruling.asks, policy: ruling.policy.name.clone() });
        }
    }
    all
}

/// An answer whose texts fit a column.
pub(super) fn stored(mut reply: llm::Reply) -> llm::Reply {
    let fit = |text: &mut String| *text = storable_text(text).into_owned();
    fit(&mut reply.text);
    reply.reasoning.iter_mut().for_each(fit);
    for call in &mut reply.calls {
        fit(&mut call.id);
        fit(&mut call.name);
        match &mut call.arguments {
            llm::Arguments::Object(object) => {
                if let serde_json::Value::Object(fitting) = storable_value(std::mem::take(object).into()) {
                    *object = fitting;
                }
            }
            llm::Arguments::Malformed(text) => fit(text),
        }
    }
    reply
}

fn storable_value(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(storable_text(&text).into_owned()),
        Value::Array(items) => Value::Array(items.into_iter().map(storable_value).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter().map(|(k, v)| (storable_text(&k).into_owned(), storable_value(v))).collect(),
        ),
        other => other,
    }
}
