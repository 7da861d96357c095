//! Model calls in the shape that the protocol's clients read: what the model was told, what it answered.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::task::{Fields, raw};
use crate::agent::Agent;
use crate::json::Json;
use crate::store::read::messages::Message;

/// A model's answer as stored.
#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    text: String,
    #[serde(default)]
    calls: Vec<Call>,
    #[serde(default)]
    finish: String,
    #[serde(default)]
    usage: Usage,
    reasoning: Option<String>,
}

#[derive(Deserialize)]
struct Call {
    id: String,
    name: String,
    arguments: Json,
}

#[derive(Deserialize, Default)]
struct Usage {
    prompt: u64,
    completion: u64,
    total: u64,
    reasoning: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolCall {
    task_reference_name: String,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    input_parameters: Fields,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Json>,
}

impl From<Call> for ToolCall {
    fn from(call: Call) -> Self {
        let input_parameters = super::task::fields(&call.arguments);
        Self { task_reference_name: call.id, name: call.name, kind: "SIMPLE", input_parameters, output: None }
    }
}

/// What a model call is about, without its conversation.
pub fn input(agent: &Agent) -> Json {
    Json::of(&parameters(agent))
}

/// The same with the conversation that it saw.
pub fn input_with(agent: &Agent, messages: &Json) -> Json {
    let mut input: Fields = serde_json::from_str(input(agent).text()).unwrap_or_default();
    input.insert("messages".into(), raw(messages));
    Json::of(&input)
}

/// Provider, model and settings.
pub fn parameters(agent: &Agent) -> Map<String, Value> {
    let (provider, model) = agent.model.split_once('/').unwrap_or(("", &agent.model));
    let tools: Vec<_> = agent
        .tools
        .iter()
        .map(|t| json!({ "name": t.name, "type": "SIMPLE", "description": t.description, "inputSchema": t.input_schema }))
        .collect();
    let mut parameters = Map::from_iter([
        ("llmProvider".to_owned(), json!(provider)),
        ("model".to_owned(), json!(model)),
        ("maxTokens".to_owned(), json!(agent.max_tokens)),
        ("tools".to_owned(), json!(tools)),
    ]);
    let given = [
        ("temperature", agent.temperature.map(|t| json!(t))),
        ("baseUrl", agent.base_url.as_ref().map(|u| json!(u))),
        ("reasoningEffort", agent.reasoning_effort.as_ref().map(|e| json!(e))),
        ("thinkingTokenLimit", agent.thinking_budget.map(|b| json!(b))),
        ("contextWindowBudget", agent.context_budget.map(|b| json!(b))),
    ];
    parameters.extend(given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    parameters
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    result: Option<Json>,
    tool_calls: Vec<ToolCall>,
    finish_reason: String,
    prompt_tokens: u64,
    completion_tokens: u64,
    token_used: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_tokens: Option<u64>,
}

/// What a model answered. A text that is a JSON object is given as that object; beside tool calls there is no result.
pub fn output(stored: &Json) -> Json {
    let Ok(reply) = serde_json::from_str::<Reply>(stored.text()) else { return stored.clone() };
    let result = (reply.calls.is_empty() || !reply.text.is_empty()).then(|| result(&reply.text));
    Json::of(&Output {
        result,
        tool_calls: reply.calls.into_iter().map(ToolCall::from).collect(),
        finish_reason: reply.finish,
        prompt_tokens: reply.usage.prompt,
        completion_tokens: reply.usage.completion,
        token_used: reply.usage.total,
        reasoning: reply.reasoning,
        reasoning_tokens: reply.usage.reasoning,
    })
}

fn result(text: &str) -> Json {
    let trimmed = text.trim();
    let bare = trimmed
        .strip_prefix("```json")
        .or_else(|| trimmed.strip_prefix("```"))
        .and_then(|t| t.strip_suffix("```"))
        .map_or(trimmed, str::trim);
    if bare.starts_with('{')
        && let Ok(object) = Json::from_text(bare.to_owned())
    {
        return object;
    }
    Json::of(&text)
}

/// One message of the conversation as clients read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    role: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    media: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
}

/// The conversation: the agent's own messages, then what was said. `input` is the execution's.
pub fn conversation(agent: &Agent, input: &Json, transcript: &[Message]) -> Json {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Input {
        prompt: String,
        media: Vec<String>,
    }
    let input: Input = serde_json::from_str(input.text()).unwrap_or_default();
    let plain =
        |role, message: &str| Said { role, message: message.to_owned(), media: vec![], tool_calls: vec![] };
    let mut said = vec![];
    if !agent.instructions.is_empty() {
        said.push(plain("system", &agent.instructions));
    }
    said.extend(agent.memory.iter().map(|m| plain(role(&m.role), &m.text)));
    for message in transcript {
        match message.role.as_str() {
            "user" => said.push(match &message.content {
                Some(text) => plain("user", text),
                None => Said { media: input.media.clone(), ..plain("user", &input.prompt) },
            }),
            "system" => said.push(plain("system", message.content.as_deref().unwrap_or_default())),
            "assistant" => said.push(answered(message)),
            "tool" => said.push(returned(message)),
            _ => {} // Signals stand in the message that they were injected into.
        }
    }
    Json::of(&said)
}

fn role(name: &str) -> &'static str {
    match name {
        "system" => "system",
        "assistant" => "assistant",
        _ => "user",
    }
}

fn answered(message: &Message) -> Said {
    let reply = message.output.as_ref().and_then(|o| serde_json::from_str::<Reply>(o.text()).ok());
    let (text, calls) = match reply {
        Some(reply) => (reply.text, reply.calls),
        None => (message.content.clone().unwrap_or_default(), vec![]),
    };
    let role = if calls.is_empty() { "assistant" } else { "tool_call" };
    Said { role, message: text, media: vec![], tool_calls: calls.into_iter().map(ToolCall::from).collect() }
}

/// A tool's answer: `result` as text when there is one, else the whole output; a failure as its reason.
fn returned(message: &Message) -> Said {
    let text = match (&message.content, &message.error, &message.output) {
        (Some(text), _, _) | (None, Some(text), _) => text.clone(),
        (None, None, Some(output)) => match super::task::fields(output).get("result").map(|r| r.get()) {
            None | Some("null") => output.text().to_owned(),
            Some(result) => serde_json::from_str::<String>(result).unwrap_or_else(|_| result.to_owned()),
        },
        (None, None, None) => String::new(),
    };
    let call = ToolCall {
        task_reference_name: message.call_id.clone().unwrap_or_default(),
        name: message.name.clone().unwrap_or_default(),
        kind: "SIMPLE",
        input_parameters: message.arguments.as_ref().map(super::task::fields).unwrap_or_default(),
        output: message.output.clone(),
    };
    Said { role: "tool", message: text, media: vec![], tool_calls: vec![call] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> Agent {
        Agent::parse(
            r#"{"name":"a","model":"openai/ft/m","instructions":"Be kind.","tools":[{"name":"look"}]}"#,
        )
        .unwrap()
    }

    fn message(role: &str) -> Message {
        Message {
            role: role.into(),
            turn: 1,
            call: None,
            call_id: None,
            name: None,
            content: None,
            arguments: None,
            output: None,
            error: None,
        }
    }

    fn json(text: &str) -> Json {
        Json::from_text(text.into()).unwrap()
    }

    #[test]
    fn an_answer_with_calls_has_no_result() {
        let stored = json(
            r#"{"text":"","calls":[{"id":"call_1","name":"look","arguments":{"n":1.50}}],"finish":"TOOL_CALLS","usage":{"prompt":7,"completion":2,"total":9}}"#,
        );
        let shown = output(&stored);
        assert!(
            shown.text().contains(r#""inputParameters":{"n":1.50}"#),
            "numbers stay as they are: {}",
            shown.text()
        );
        let shown = shown.value();
        assert_eq!((&shown["result"], &shown["tokenUsed"]), (&Value::Null, &json!(9)));
        assert_eq!(shown["toolCalls"][0]["taskReferenceName"], "call_1");
    }

    #[test]
    fn a_text_that_is_an_object_is_given_as_one() {
        let shown = |text: &str| {
            output(&Json::of(&json!({ "text": text, "finish": "STOP" }))).value()["result"].clone()
        };
        assert_eq!(shown("```json\n{\"a\": 1}\n```"), json!({"a": 1}));
        assert_eq!(shown("{not json}"), json!("{not json}"));
        assert_eq!(shown("plain"), json!("plain"));
    }

    #[test]
    fn malformed_arguments_are_shown_as_none() {
        let stored = json(
            r#"{"text":"","calls":[{"id":"call_1","name":"look","arguments":"{oops"}],"finish":"TOOL_CALLS"}"#,
        );
        assert_eq!(output(&stored).value()["toolCalls"][0]["inputParameters"], json!({}));
    }

    #[test]
    fn a_conversation_is_told_in_the_protocols_roles() {
        let transcript = [
            message("user"),
            Message {
                output: Some(json(
                    r#"{"text":"","calls":[{"id":"call_1","name":"look","arguments":{}}],"finish":"TOOL_CALLS"}"#,
                )),
                ..message("assistant")
            },
            Message {
                call_id: Some("call_1".into()),
                output: Some(json(r#"{"result":"blue"}"#)),
                ..message("tool")
            },
            Message { call_id: Some("call_2".into()), error: Some("it broke".into()), ..message("tool") },
            message("signal"),
            Message {
                output: Some(json(r#"{"text":"It is blue.","finish":"STOP"}"#)),
                ..message("assistant")
            },
        ];
        let told = conversation(&agent(), &json(r#"{"prompt":"Which?","media":["u"]}"#), &transcript).value();
        let told: Vec<_> = told
            .as_array()
            .unwrap()
            .iter()
            .map(|m| (m["role"].as_str().unwrap(), m["message"].as_str().unwrap()))
            .collect();
        assert_eq!(
            told,
            [
                ("system", "Be kind."),
                ("user", "Which?"),
                ("tool_call", ""),
                ("tool", "blue"),
                ("tool", "it broke"),
                ("assistant", "It is blue."),
            ]
        );
    }

    #[test]
    fn the_model_may_have_slashes_in_its_name() {
        let input = input(&agent()).value();
        assert_eq!((&input["llmProvider"], &input["model"]), (&json!("openai"), &json!("ft/m")));
    }
}
