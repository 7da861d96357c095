//! A call as it comes over the wire, and what of it the tool sees.
//!
//! Values stay the text that the server sent (`RawValue`) until the tool's own type reads them, so that a 30-digit
//! number or a key's place survives.

use indexmap::IndexMap;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::ToolError;

/// A JSON object whose values nobody has looked into.
pub(super) type Fields = IndexMap<String, Box<RawValue>>;

const STATE: &str = "_agent_state";
const IDEMPOTENCY_KEY: &str = "_idempotency_key";
/// Keys that the server adds to a call's arguments. `method` is one too, but only when it holds the tool's name.
const RESERVED: [&str; 4] = [STATE, IDEMPOTENCY_KEY, "__agentspan_ctx__", "_allowed_commands"];

/// One attempt that the server has handed to this worker.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task {
    #[serde(rename = "taskId")]
    pub attempt_id: String,
    #[serde(rename = "workflowInstanceId")]
    pub execution_id: String,
    #[serde(rename = "referenceTaskName", default)]
    pub reference: String,
    #[serde(rename = "taskDefName", default)]
    pub tool: String,
    #[serde(rename = "retryCount", default)]
    pub retries: u32,
    #[serde(rename = "responseTimeoutSeconds", default)]
    pub lease_secs: u64,
    #[serde(rename = "inputData", default)]
    pub input: Fields,
}

impl Task {
    /// The server's own key if it sends one, else `<execution>/<call>`. A call's reference contains its turn
    /// (`call_abc__2`), which stays: some models use the same call ids again in the next turn.
    pub fn idempotency_key(&self) -> String {
        self.input
            .get(IDEMPOTENCY_KEY)
            .and_then(|key| serde_json::from_str(key.get()).ok())
            .unwrap_or_else(|| format!("{}/{}", self.execution_id, self.reference))
    }

    /// The agent's state, empty when the server sends none.
    pub fn state(&self) -> Fields {
        self.input.get(STATE).and_then(|state| serde_json::from_str(state.get()).ok()).unwrap_or_default()
    }

    /// The model's arguments alone.
    pub fn arguments(&self) -> Fields {
        let mut arguments = self.input.clone();
        arguments.retain(|key, value| {
            let is_tool_name =
                || serde_json::from_str(value.get()).is_ok_and(|name: String| name == self.tool);
            !(RESERVED.contains(&key.as_str()) || (key == "method" && is_tool_name()))
        });
        arguments
    }
}

/// The arguments as the tool's input type.
///
/// # Errors
///
/// Terminal, with what doesn't fit: the model reads it and can call again with better arguments.
pub(super) fn parse<I: DeserializeOwned>(arguments: &Fields) -> Result<I, ToolError> {
    let text = serde_json::to_string(arguments).expect("a map of JSON values is a JSON value");
    serde_json::from_str(&text)
        .map_err(|error| ToolError::terminal(format!("the arguments don't fit: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(input: &serde_json::Value) -> Task {
        let wire = json!({
            "taskId": "a1", "workflowInstanceId": "e1", "referenceTaskName": "call_9__2", "taskDefName": "search",
            "inputData": input, "somethingNew": true,
        });
        serde_json::from_str(&wire.to_string()).unwrap()
    }

    #[test]
    fn a_tool_sees_the_models_arguments_and_nothing_the_server_added() {
        let task = task(&json!({
            "query": "x", "method": "search", "_agent_state": {"n": 1}, "__agentspan_ctx__": {"execution_token": "t"},
            "_allowed_commands": [], "_idempotency_key": "k",
        }));
        assert_eq!(serde_json::to_string(&task.arguments()).unwrap(), r#"{"query":"x"}"#);
        assert_eq!(task.state().get("n").unwrap().get(), "1");
    }

    #[test]
    fn a_parameter_that_is_really_called_method_reaches_the_tool() {
        let task = task(&json!({"method": "POST"}));
        assert_eq!(serde_json::to_string(&task.arguments()).unwrap(), r#"{"method":"POST"}"#);
    }

    #[test]
    fn the_idempotency_key_is_the_servers_or_execution_and_call() {
        assert_eq!(task(&json!({"_idempotency_key": "given"})).idempotency_key(), "given");
        assert_eq!(task(&json!({})).idempotency_key(), "e1/call_9__2");
    }

    #[test]
    fn a_long_number_arrives_as_it_was_sent() {
        let task = task(&json!({}));
        let wide: Fields = serde_json::from_str(r#"{"n": 123456789012345678901234567890123}"#).unwrap();
        let task = Task { input: wide, ..task };
        let n: IndexMap<String, u128> = parse(&task.arguments()).unwrap();
        assert_eq!(n["n"], 123_456_789_012_345_678_901_234_567_890_123);
    }

    #[test]
    fn arguments_of_another_shape_are_a_terminal_failure_that_names_the_field() {
        #[derive(Debug, Deserialize)]
        struct Search {
            #[expect(dead_code, reason = "only its absence matters here")]
            query: String,
        }
        let error = parse::<Search>(&Fields::new()).unwrap_err();
        assert!(
            matches!(&error, ToolError::Terminal(reason) if reason.contains("missing field `query`")),
            "{error:?}"
        );
    }
}
