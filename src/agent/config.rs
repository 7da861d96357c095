//! From the wire protocol's `agentConfig` to an [`Agent`].

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Agent, Asking, Cli, CodeExecution, DEFAULT_MAX_TOKENS, DEFAULT_MAX_TURNS, Invalid, MemoryMessage,
    Termination, Tool, ToolKind,
};

/// Fields of features that this server doesn't have yet: refused when they hold anything.
const NOT_YET: &[&str] = &[
    "agents",
    "router",
    "guardrails",
    "handoffs",
    "callbacks",
    "gate",
    "credentials",
    "prefillTools",
    "fallback",
    "planSource",
    "plannerContext",
    "maskedFields",
];

/// The same, for one tool.
const TOOL_NOT_YET: &[&str] = &["guardrails"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    name: String,
    model: Option<String>,
    base_url: Option<String>,
    instructions: Option<Value>,
    #[serde(default)]
    tools: Vec<Map<String, Value>>,
    memory: Option<Memory>,
    max_turns: Option<u32>,
    timeout_seconds: Option<f64>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    reasoning_effort: Option<String>,
    #[serde(rename = "thinkingConfig")]
    thinking: Option<Thinking>,
    context_window_budget: Option<u32>,
    output_type: Option<OutputType>,
    stop_when: Option<TaskName>,
    termination: Option<Value>,
    #[serde(default)]
    required_tools: Vec<String>,
    enable_planning: Option<bool>,
    planner: Option<Value>,
    code_execution: Option<Code>,
    #[serde(rename = "cliConfig")]
    cli: Option<CliConfig>,
    external: Option<bool>,
    metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Memory {
    #[serde(default)]
    messages: Vec<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thinking {
    enabled: Option<bool>,
    budget_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct OutputType {
    schema: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskName {
    task_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Code {
    enabled: Option<bool>,
    allowed_languages: Option<Vec<String>>,
    allowed_commands: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CliConfig {
    enabled: Option<bool>,
    allowed_commands: Option<Vec<String>>,
    allow_shell: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig {
    name: String,
    description: Option<String>,
    input_schema: Option<Value>,
    tool_type: Option<String>,
    stateful: Option<bool>,
    approval_required: Option<bool>,
    max_calls: Option<u32>,
    config: Option<Map<String, Value>>,
}

fn invalid<T>(field: &str, problem: impl Into<String>) -> Result<T, Invalid> {
    let field = if field.is_empty() { "agentConfig".to_owned() } else { format!("agentConfig.{field}") };
    Err(Invalid { field, problem: problem.into() })
}

fn not_yet<T>(field: &str) -> Result<T, Invalid> {
    invalid(field, "this server does not support it yet; remove it, or see docs/compatibility.md")
}

pub(super) fn parse(definition: &str) -> Result<Agent, Invalid> {
    let map: Map<String, Value> = serde_json::from_str(definition)
        .or_else(|e| invalid("", format!("is not a JSON object ({e}); send the agent's configuration")))?;
    for field in NOT_YET {
        if map.get(*field).is_some_and(holds_something) {
            return not_yet(field);
        }
    }
    let config: Config = serde_json::from_value(Value::Object(map))
        .or_else(|e| invalid("", format!("has a wrong field: {e}")))?;
    check_name(&config.name)?;
    if config.external == Some(true) {
        return invalid(
            "external",
            "an external agent can't be run itself; start the agent that it refers to",
        );
    }
    if let Some(flag) = ["_framework_passthrough", "_graph_structure"]
        .into_iter()
        .find(|f| config.metadata.as_ref().and_then(|m| m.get(*f)).is_some_and(holds_something))
    {
        return not_yet(&format!("metadata.{flag}"));
    }
    if config.planner.as_ref().is_some_and(Value::is_object) {
        return not_yet("planner");
    }
    let tools = config.tools.iter().enumerate().map(|(i, t)| tool(i, t)).collect::<Result<Vec<_>, _>>()?;
    if let Some(i) = (1..tools.len()).find(|&i| tools[..i].iter().any(|t| t.name == tools[i].name)) {
        return invalid(
            &format!("tools[{i}].name"),
            "a tool of this name is there already; rename one of them",
        );
    }
    Ok(Agent {
        model: model(config.model)?,
        base_url: config.base_url.filter(|u| !u.is_empty()),
        instructions: instructions(config.instructions)?,
        memory: memory(config.memory)?,
        max_turns: config.max_turns.unwrap_or(DEFAULT_MAX_TURNS).max(1),
        timeout: timeout(config.timeout_seconds)?,
        max_tokens: config.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
        temperature: config.temperature.or_else(|| (!tools.is_empty()).then_some(0.0)),
        reasoning_effort: config.reasoning_effort,
        thinking_budget: config
            .thinking
            .filter(|t| t.enabled != Some(false))
            .map(|t| t.budget_tokens.unwrap_or(2048).max(1024)),
        context_budget: config.context_window_budget,
        output_schema: config.output_type.and_then(|o| o.schema),
        stop_when: config.stop_when.map(|s| s.task_name),
        termination: config.termination.filter(holds_something).map(termination).transpose()?,
        required_tools: required(config.required_tools, &tools)?,
        planning: config.enable_planning == Some(true) || config.planner == Some(Value::Bool(true)),
        code: config.code_execution.filter(|c| c.enabled != Some(false)).map(|c| CodeExecution {
            languages: c.allowed_languages.unwrap_or_default(),
            commands: c.allowed_commands.unwrap_or_default(),
        }),
        cli: config.cli.filter(|c| c.enabled != Some(false)).map(|c| Cli {
            commands: c.allowed_commands.unwrap_or_default(),
            shell: c.allow_shell == Some(true),
        }),
        name: config.name,
        tools,
    })
}

fn holds_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        _ => true,
    }
}

fn check_name(name: &str) -> Result<(), Invalid> {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if !first || !rest || name.len() > 200 {
        return invalid(
            "name",
            "must begin with a letter or _, hold only letters, digits, _ and -, and be at most 200 long",
        );
    }
    Ok(())
}

fn model(model: Option<String>) -> Result<String, Invalid> {
    let model = model.unwrap_or_default();
    match model.split_once('/') {
        Some(("claude-code", _)) => not_yet("model"),
        Some((provider, name)) if !provider.is_empty() && !name.is_empty() => Ok(model),
        _ if model.is_empty() => invalid("model", "is missing; give a model such as 'openai/gpt-4o-mini'"),
        _ => invalid("model", format!("Invalid model format: '{model}'. Expected 'provider/model'.")),
    }
}

fn instructions(value: Option<Value>) -> Result<String, Invalid> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Object(o)) if o.contains_key("_worker_ref") => not_yet("instructions._worker_ref"),
        Some(Value::Object(_)) => not_yet("instructions.type"),
        Some(_) => invalid("instructions", "must be a text"),
    }
}

fn memory(memory: Option<Memory>) -> Result<Vec<MemoryMessage>, Invalid> {
    let messages = memory.map(|m| m.messages).unwrap_or_default();
    let mut out = Vec::with_capacity(messages.len());
    for (i, message) in messages.into_iter().enumerate() {
        let text = |key: &str| message.get(key).and_then(Value::as_str).map(str::to_owned);
        let Some(role) = text("role") else {
            return invalid(&format!("memory.messages[{i}].role"), "is missing");
        };
        // Tool traffic of an earlier run can't be replayed without its calls; only what was said counts.
        if matches!(role.as_str(), "user" | "assistant" | "system") {
            let text = text("message").or_else(|| text("content")).unwrap_or_default();
            if !text.is_empty() {
                out.push(MemoryMessage { role, text });
            }
        }
    }
    Ok(out)
}

fn timeout(seconds: Option<f64>) -> Result<Option<std::time::Duration>, Invalid> {
    match seconds {
        None | Some(0.0) => Ok(None),
        Some(s) if (0.0..=3.2e9).contains(&s) => Ok(Some(std::time::Duration::from_secs_f64(s))),
        Some(_) => invalid("timeoutSeconds", "must be 0 (none) or a positive number of seconds"),
    }
}

fn termination(value: Value) -> Result<Termination, Invalid> {
    serde_json::from_value(value).or_else(|e| invalid("termination", format!("{e}")))
}

fn required(required: Vec<String>, tools: &[Tool]) -> Result<Vec<String>, Invalid> {
    match required.iter().find(|r| !tools.iter().any(|t| t.name == **r)) {
        Some(name) => invalid("requiredTools", format!("'{name}' is not among the agent's tools")),
        None => Ok(required),
    }
}

fn tool(i: usize, map: &Map<String, Value>) -> Result<Tool, Invalid> {
    let at = |field: &str| format!("tools[{i}].{field}");
    if map.contains_key("_worker_ref") {
        return not_yet(&at("_worker_ref"));
    }
    for field in TOOL_NOT_YET {
        if map.get(*field).is_some_and(holds_something) {
            return not_yet(&at(field));
        }
    }
    let config: ToolConfig = serde_json::from_value(Value::Object(map.clone()))
        .or_else(|e| invalid(&format!("tools[{i}]"), format!("has a wrong field: {e}")))?;
    if config.name.is_empty() || config.name.len() > 200 {
        return invalid(&at("name"), "must be 1 to 200 characters long");
    }
    if config.config.as_ref().and_then(|c| c.get("credentials")).is_some_and(holds_something) {
        return not_yet(&at("config.credentials"));
    }
    let kind = match config.tool_type.as_deref() {
        None | Some("worker") => ToolKind::Worker,
        Some("cli") => ToolKind::Cli,
        Some("human") => ToolKind::Human,
        Some("pull_workflow_messages") => inbox(i, config.config.as_ref())?,
        Some(
            "http" | "api" | "mcp" | "agent_tool" | "generate_image" | "generate_audio" | "generate_video"
            | "generate_pdf" | "rag_index" | "rag_search",
        ) => return not_yet(&at("toolType")),
        Some(other) => return invalid(&at("toolType"), format!("'{other}' is unknown; use 'worker'")),
    };
    let asking = asking(i, kind, &config)?;
    let allowed_commands = config
        .config
        .as_ref()
        .and_then(|c| c.get("allowedCommands").or_else(|| c.get("allowed_commands")))
        .and_then(|v| serde_json::from_value(v.clone()).ok());
    Ok(Tool {
        name: config.name,
        description: config.description.unwrap_or_default(),
        input_schema: config
            .input_schema
            .filter(|s| s.as_object().is_some_and(|o| !o.is_empty()))
            .unwrap_or_else(|| serde_json::json!({"type": "object", "properties": {}})),
        kind,
        stateful: config.stateful == Some(true),
        max_calls: config.max_calls,
        allowed_commands,
        asking,
    })
}

/// How a tool's calls ask people, if they do.
fn asking(i: usize, kind: ToolKind, config: &ToolConfig) -> Result<Option<Asking>, Invalid> {
    let is_question = kind == ToolKind::Human;
    let given = config.config.as_ref().and_then(|c| c.get("approval")).filter(|a| !a.is_null());
    let at = format!("tools[{i}].config.approval");
    match given {
        Some(_) if !is_question && config.approval_required != Some(true) => {
            invalid(&at, "needs approvalRequired to be true")
        }
        Some(given) => Asking::parse(given, is_question).map(Some).or_else(|why| invalid(&at, why)),
        None => Ok((is_question || config.approval_required == Some(true)).then(Asking::default)),
    }
}

/// A tool that returns messages: how many at once, and whether it waits for the first.
fn inbox(i: usize, config: Option<&Map<String, Value>>) -> Result<ToolKind, Invalid> {
    let field =
        |names: [&str; 2]| config.and_then(|c| names.iter().find_map(|n| c.get(*n))).filter(|v| !v.is_null());
    let batch = match field(["batchSize", "batch_size"]) {
        None => 1,
        Some(n) => match n.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| (1..=100).contains(n)) {
            Some(n) => n,
            None => return invalid(&format!("tools[{i}].config.batchSize"), "must be 1 to 100"),
        },
    };
    match field(["blocking", "blocking"]).map_or(Some(true), Value::as_bool) {
        Some(blocking) => Ok(ToolKind::Inbox { batch, blocking }),
        None => invalid(&format!("tools[{i}].config.blocking"), "must be true or false"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tool_agent_is_read_with_its_defaults() {
        let agent = parse(
            &json!({"name": "weather", "model": "openai/gpt-4o-mini", "maxTurns": 25, "timeoutSeconds": 0,
                "external": false, "tools": [{"name": "get", "description": "d", "inputSchema": {}, "toolType": "worker"}]})
            .to_string(),
        )
        .unwrap();
        assert_eq!((agent.max_turns, agent.timeout, agent.max_tokens), (25, None, DEFAULT_MAX_TOKENS));
        assert_eq!(agent.temperature, Some(0.0));
        assert_eq!(agent.tools[0].input_schema["type"], "object");
        assert_eq!(agent.provider(), "openai");
    }

    #[test]
    fn what_is_not_there_yet_is_refused_by_name() {
        let refused = |extra: Value| {
            let mut config = json!({"name": "a", "model": "demo/echo", "tools": [{"name": "t"}]});
            config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            parse(&config.to_string()).unwrap_err().field
        };
        assert_eq!(refused(json!({"guardrails": [{"name": "g"}]})), "agentConfig.guardrails");
        assert_eq!(refused(json!({"agents": [{"name": "b"}]})), "agentConfig.agents");
        assert_eq!(
            refused(json!({"tools": [{"name": "t", "guardrails": [{"name": "g"}]}]})),
            "agentConfig.tools[0].guardrails"
        );
        assert_eq!(
            refused(json!({"tools": [{"name": "t", "toolType": "http"}]})),
            "agentConfig.tools[0].toolType"
        );
        assert_eq!(
            refused(json!({"instructions": {"_worker_ref": "x"}})),
            "agentConfig.instructions._worker_ref"
        );
        assert_eq!(refused(json!({"planner": {"name": "p"}})), "agentConfig.planner");
    }

    #[test]
    fn a_tool_may_ask_a_person_first_or_be_one() {
        let tools = |tools: Value| {
            let config = json!({"name": "a", "model": "demo/echo", "tools": tools});
            parse(&config.to_string()).map(|agent| agent.tools)
        };
        let gated = tools(json!([{"name": "t", "approvalRequired": true}])).unwrap();
        assert!(gated[0].is_gated() && gated[0].asks_a_person());
        let human = tools(json!([{"name": "t", "toolType": "human"}])).unwrap();
        assert!(!human[0].is_gated() && human[0].asks_a_person());
        let plain = tools(json!([{"name": "t", "approvalRequired": false}])).unwrap();
        assert!(!plain[0].asks_a_person());
        let wrong = tools(json!([{"name": "t", "config": {"approval": {"quorum": 2}}}])).unwrap_err();
        assert_eq!(wrong.field, "agentConfig.tools[0].config.approval");
    }

    #[test]
    fn a_tool_may_wait_for_messages() {
        let kind = |config: Value| {
            let tool = json!({"name": "t", "toolType": "pull_workflow_messages", "config": config});
            let config = json!({"name": "a", "model": "demo/echo", "tools": [tool]});
            parse(&config.to_string()).map(|agent| agent.tools[0].kind).map_err(|e| e.field)
        };
        assert_eq!(kind(json!({})), Ok(ToolKind::Inbox { batch: 1, blocking: true }));
        let given = json!({"batchSize": 10, "blocking": false});
        assert_eq!(kind(given), Ok(ToolKind::Inbox { batch: 10, blocking: false }));
        assert_eq!(kind(json!({"batchSize": 101})), Err("agentConfig.tools[0].config.batchSize".into()));
        assert_eq!(kind(json!({"blocking": "no"})), Err("agentConfig.tools[0].config.blocking".into()));
    }

    #[test]
    fn wrong_values_are_named() {
        let field = |config: Value| parse(&config.to_string()).unwrap_err().to_string();
        assert!(
            field(json!({"name": "a b", "model": "demo/echo"})).starts_with("agentConfig.name: must begin")
        );
        assert!(field(json!({"name": "a", "model": "gpt-4o"})).contains("Invalid model format: 'gpt-4o'"));
        assert!(field(json!({"name": "a"})).contains("agentConfig.model: is missing"));
        assert!(
            field(json!({"name": "a", "model": "demo/echo", "maxTurns": "x"}))
                .contains("invalid type: string")
        );
        assert!(field(json!([])).contains("not a JSON object"));
        assert!(
            field(json!({"name": "a", "model": "demo/echo", "requiredTools": ["t"]}))
                .contains("requiredTools")
        );
        assert!(
            field(json!({"name": "a", "model": "demo/echo", "tools": [{"name": "t"}, {"name": "t"}]}))
                .contains("tools[1].name")
        );
    }
}
