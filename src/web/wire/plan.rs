//! An agent as the workflow definition that the protocol's clients expect of it.
//!
//! There is no such workflow: the engine decides natively. This describes truthfully what it does, in their words.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::model;
use super::words::to_ref;
use crate::agent::Agent;
use crate::json::Json;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowDef {
    name: String,
    version: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    schema_version: i32,
    restartable: bool,
    workflow_status_listener_enabled: bool,
    timeout_policy: &'static str,
    timeout_seconds: u64,
    owner_email: &'static str,
    input_parameters: [&'static str; 4],
    output_parameters: Value,
    variables: Map<String, Value>,
    metadata: Metadata,
    tasks: Vec<Value>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the protocol's names")]
struct Metadata {
    agent_sdk: &'static str,
    agent_capabilities: Vec<&'static str>,
    #[serde(rename = "agentDef")]
    agent_def: Json,
}

/// What an agent can do, in the protocol's words.
pub fn capabilities(agent: &Agent) -> Vec<&'static str> {
    vec![if agent.is_simple() { "simple" } else { "tool-calling" }]
}

/// The virtual definition of `agent`, which was sent as `definition`.
pub fn workflow_def(agent: &Agent, definition: &Json, version: i32) -> WorkflowDef {
    let model = format!("{}_llm", to_ref(&agent.name));
    let tasks = if agent.is_simple() { vec![call_model(agent, &model)] } else { vec![turns(agent, &model)] };
    WorkflowDef {
        name: agent.name.clone(),
        version,
        description: definition.value()["description"].as_str().map(str::to_owned),
        schema_version: 2,
        restartable: true,
        workflow_status_listener_enabled: false,
        timeout_policy: "TIME_OUT_WF",
        timeout_seconds: agent.timeout.map_or(0, |t| t.as_secs()),
        owner_email: "",
        input_parameters: ["prompt", "media", "context", "session_id"],
        output_parameters: json!({
            "result": format!("${{{model}.output.result}}"),
            "finishReason": format!("${{{model}.output.finishReason}}"),
            "context": "${workflow.variables._agent_state}",
        }),
        variables: Map::new(),
        metadata: Metadata {
            agent_sdk: "conductor",
            agent_capabilities: capabilities(agent),
            agent_def: definition.clone(),
        },
        tasks,
    }
}

fn call_model(agent: &Agent, reference: &str) -> Value {
    json!({
        "name": "LLM_CHAT_COMPLETE",
        "taskReferenceName": reference,
        "type": "LLM_CHAT_COMPLETE",
        "inputParameters": model::parameters(agent),
    })
}

/// The loop: ask the model, perform its calls side by side, ask whether to go on.
fn turns(agent: &Agent, model: &str) -> Value {
    let name = to_ref(&agent.name);
    let tools: Vec<_> = agent.tools.iter().map(|t| t.name.as_str()).collect();
    let mut over = vec![
        call_model(agent, model),
        json!({
            "name": "FORK_JOIN_DYNAMIC",
            "taskReferenceName": format!("{name}_tools"),
            "type": "FORK_JOIN_DYNAMIC",
            "inputParameters": { "toolCalls": format!("${{{model}.output.toolCalls}}"), "tools": tools },
        }),
        json!({ "name": "JOIN", "taskReferenceName": format!("{name}_tools_join"), "type": "JOIN", "inputParameters": {} }),
    ];
    let mut goes_on =
        format!("$.{model}['toolCalls'].length > 0 && $.{name}_loop['iteration'] < {}", agent.max_turns);
    if let Some(check) = &agent.stop_when {
        over.push(json!({
            "name": check,
            "taskReferenceName": check,
            "type": "SIMPLE",
            "inputParameters": { "result": format!("${{{model}.output.result}}"), "iteration": format!("${{{name}_loop.output.iteration}}") },
        }));
        goes_on.push_str(" && $.");
        goes_on.push_str(check);
        goes_on.push_str("['should_continue'] == true");
    }
    json!({
        "name": "DO_WHILE",
        "taskReferenceName": format!("{name}_loop"),
        "type": "DO_WHILE",
        "inputParameters": { "maxTurns": agent.max_turns },
        "loopCondition": goes_on,
        "loopOver": over,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(definition: &str) -> Value {
        let json = Json::from_text(definition.to_owned()).unwrap();
        serde_json::to_value(workflow_def(&Agent::parse(definition).unwrap(), &json, 1)).unwrap()
    }

    #[test]
    fn an_agent_with_tools_is_a_loop_over_model_and_tools() {
        let plan = plan(
            r#"{"name":"ops-bot","model":"openai/m","baseUrl":"http://h/v1","tools":[{"name":"look"}],"stopWhen":{"taskName":"ops-bot_stop_when"}}"#,
        );
        assert_eq!(plan["name"], "ops-bot");
        assert_eq!(plan["metadata"]["agentDef"]["tools"][0]["name"], "look");
        let turns = &plan["tasks"][0];
        assert_eq!(
            (&turns["type"], &turns["taskReferenceName"]),
            (&json!("DO_WHILE"), &json!("ops_bot_loop"))
        );
        let kinds: Vec<_> =
            turns["loopOver"].as_array().unwrap().iter().map(|t| t["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["LLM_CHAT_COMPLETE", "FORK_JOIN_DYNAMIC", "JOIN", "SIMPLE"]);
        assert_eq!(turns["loopOver"][0]["inputParameters"]["baseUrl"], "http://h/v1");
    }

    #[test]
    fn an_agent_without_tools_is_one_model_call() {
        let plan = plan(r#"{"name":"a","model":"demo/x","description":"Says x."}"#);
        assert_eq!(plan["tasks"][0]["type"], "LLM_CHAT_COMPLETE");
        assert_eq!(plan["tasks"].as_array().unwrap().len(), 1);
        assert_eq!(plan["description"], "Says x.");
    }
}
