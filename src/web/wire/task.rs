//! One attempt in the shape that the protocol's workers and clients read.
//!
//! What a tool is given and what it returned is never parsed on its way through: texts are spliced, so that a 30-digit
//! number or a key's place survives.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::words::{self, millis};
use crate::agent::{Agent, ToolKind};
use crate::engine;
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;
use crate::runtime::Lease;
use crate::store::read::attempts::{Attempt, Standing};

/// Seconds of a lease when no definition says otherwise.
pub const LEASE_SECS: i32 = 3600;

/// The same for all attempts of one call, so that a tool can tell a repetition: `<execution>/<reference>`.
const IDEMPOTENCY_KEY: &str = "_idempotency_key";
/// What the execution's tools share.
const STATE: &str = "_agent_state";
/// The tool's name, once more.
const METHOD: &str = "method";
/// Commands that a command-line tool may run.
const ALLOWED_COMMANDS: &str = "_allowed_commands";

/// Levels of JSON inside of JSON strings that are looked into.
const MAX_NESTING: usize = 8;

/// A JSON object whose values nobody has looked into.
pub type Fields = IndexMap<String, Box<RawValue>>;

/// A task of the protocol: one attempt.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_field_names,
    clippy::struct_excessive_bools,
    reason = "the protocol's names and flags"
)]
pub struct Task {
    pub task_type: String,
    pub status: &'static str,
    pub input_data: Json,
    pub reference_task_name: String,
    pub retry_count: i32,
    pub seq: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    pub poll_count: i64,
    pub task_def_name: String,
    pub scheduled_time: i64,
    pub start_time: i64,
    pub end_time: i64,
    pub update_time: i64,
    pub start_delay_in_seconds: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retried_task_id: Option<AttemptId>,
    pub retried: bool,
    pub executed: bool,
    pub callback_from_worker: bool,
    pub response_timeout_seconds: i32,
    pub workflow_instance_id: ExecutionId,
    pub workflow_type: String,
    pub task_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_for_incompletion: Option<String>,
    pub callback_after_seconds: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<String>,
    pub output_data: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    pub rate_limit_per_frequency: i32,
    pub rate_limit_frequency_in_seconds: i32,
    pub workflow_priority: i16,
    pub iteration: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_start_time: Option<i64>,
    pub subworkflow_changed: bool,
    pub loop_over_task: bool,
    pub queue_wait_time: i64,
    pub workflow_task: WorkflowTask,
}

/// Where a task stands in its workflow's definition.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowTask {
    pub name: String,
    pub task_reference_name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub input_parameters: Fields,
}

/// What a worker gets: an attempt that is leased to it. `messages` are given to whoever decides about going on.
pub fn leased(lease: &Lease, agent: &Agent, worker: &str, messages: Option<Json>) -> Task {
    let reference = words::reference(agent, lease.task, lease.call_id.as_deref(), &lease.name);
    let (created, started) = (lease.created_at.as_millisecond(), lease.started_at.as_millisecond());
    let mut input = fields(&lease.input);
    if matches!(lease.task, engine::Task::Tool { .. }) {
        input = with_nested_json(input, MAX_NESTING);
        add(&mut input, METHOD, &lease.name);
        add(&mut input, STATE, &lease.context);
        let tool = agent.tool(&lease.name);
        if let Some(tool) = tool.filter(|t| t.kind == ToolKind::Cli || t.allowed_commands.is_some()) {
            add(&mut input, ALLOWED_COMMANDS, &tool.allowed_commands.clone().unwrap_or_default());
        }
        add(&mut input, IDEMPOTENCY_KEY, &format!("{}/{reference}", lease.execution));
    } else if let Some(messages) = messages {
        add(&mut input, "messages", &messages);
    }
    Task {
        task_type: lease.name.clone(),
        status: "IN_PROGRESS",
        input_data: Json::of(&input),
        retry_count: i32::try_from(lease.number).unwrap_or(i32::MAX) - 1,
        seq: usize::from(lease.task.call()) + 2,
        correlation_id: lease.start_key.clone(),
        poll_count: i64::from(lease.polls),
        task_def_name: lease.name.clone(),
        scheduled_time: created,
        start_time: started,
        end_time: 0,
        update_time: started,
        start_delay_in_seconds: 0,
        retried_task_id: lease.retry_of,
        retried: false,
        executed: false,
        callback_from_worker: true,
        response_timeout_seconds: whole_secs(lease.lease_secs),
        workflow_instance_id: lease.execution,
        workflow_type: lease.agent.clone(),
        task_id: lease.attempt.to_string(),
        reason_for_incompletion: None,
        callback_after_seconds: 0,
        worker_id: Some(worker.to_owned()),
        output_data: empty(),
        domain: some(&lease.domain),
        rate_limit_per_frequency: 0,
        rate_limit_frequency_in_seconds: 0,
        workflow_priority: lease.priority.saturating_neg(),
        iteration: lease.task.turn(),
        first_start_time: Some(started),
        subworkflow_changed: false,
        loop_over_task: true,
        queue_wait_time: (started - created).max(0),
        workflow_task: workflow_task(&lease.name, &reference, "SIMPLE"),
        reference_task_name: reference,
    }
}

/// What clients see of an attempt afterwards or meanwhile. `number` counts the tasks of the execution from 1.
pub fn shown(attempt: &Attempt, agent: &Agent, number: usize) -> Task {
    let a = attempt;
    let reference = words::reference(agent, a.task, a.call_id.as_deref(), &a.name);
    let is_model = matches!(a.task, engine::Task::Model { .. });
    let kind = agent.tool(&a.name).filter(|_| !is_model).map(|tool| tool.kind);
    let waits_for_messages = matches!(kind, Some(ToolKind::Inbox { .. }));
    let kind = match (is_model, waits_for_messages) {
        (true, _) => "LLM_CHAT_COMPLETE",
        (_, true) => "PULL_WORKFLOW_MESSAGES",
        _ => &a.name,
    };
    let status = match words::task_status(a.standing, a.task) {
        "SCHEDULED" if waits_for_messages => "IN_PROGRESS",
        status => status,
    };
    let updated = a.ended_at.or(a.leased_at).or(a.started_at).unwrap_or(a.created_at);
    let waits = a.run_at.map_or(0, |at| at.duration_since(a.created_at).as_secs().max(0));
    Task {
        task_type: kind.to_owned(),
        status,
        input_data: if is_model { super::model::input(agent) } else { shown_input(a) },
        retry_count: a.number - 1,
        seq: number,
        correlation_id: None,
        poll_count: i64::from(a.polls),
        task_def_name: kind.to_owned(),
        scheduled_time: a.created_at.as_millisecond(),
        start_time: millis(a.started_at),
        end_time: millis(a.ended_at),
        update_time: updated.as_millisecond(),
        start_delay_in_seconds: if a.number > 1 { waits } else { 0 },
        retried_task_id: a.retry_of,
        retried: matches!(a.standing, Standing::Failed | Standing::Lost),
        executed: a.ended_at.is_some(),
        callback_from_worker: true,
        response_timeout_seconds: a.lease_secs.unwrap_or(LEASE_SECS),
        workflow_instance_id: a.execution,
        workflow_type: agent.name.clone(),
        task_id: a.id.to_string(),
        reason_for_incompletion: a.error.clone(),
        callback_after_seconds: if a.number == 1 { waits } else { 0 },
        worker_id: a.worker.clone(),
        output_data: if waits_for_messages { shown_messages(a) } else { shown_output(a, is_model) },
        domain: some(&a.domain),
        rate_limit_per_frequency: 0,
        rate_limit_frequency_in_seconds: 0,
        workflow_priority: 0,
        iteration: a.task.turn(),
        first_start_time: a.started_at.map(jiff::Timestamp::as_millisecond),
        subworkflow_changed: false,
        loop_over_task: !agent.is_simple(),
        queue_wait_time: a
            .started_at
            .map_or(0, |s| (s.as_millisecond() - a.created_at.as_millisecond()).max(0)),
        workflow_task: workflow_task(kind, &reference, if is_model { "LLM_CHAT_COMPLETE" } else { "SIMPLE" }),
        reference_task_name: reference,
    }
}

/// The loop of an agent with tools, as one more task: how many turns it has made.
pub fn loop_task(execution: &crate::store::read::executions::Execution, agent: &Agent, turns: u32) -> Task {
    let reference = format!("{}_loop", words::to_ref(&agent.name));
    let status = match execution.status {
        engine::Status::Running | engine::Status::Paused => "IN_PROGRESS",
        engine::Status::Completed => "COMPLETED",
        // Not FAILED: clients take the first failed task for the reason, and the loop is none.
        _ => "CANCELED",
    };
    let created = execution.created_at.as_millisecond();
    Task {
        task_type: "DO_WHILE".into(),
        status,
        input_data: empty(),
        retry_count: 0,
        seq: 1,
        correlation_id: None,
        poll_count: 0,
        task_def_name: "DO_WHILE".into(),
        scheduled_time: created,
        start_time: created,
        end_time: millis(execution.ended_at),
        update_time: execution.updated_at.as_millisecond(),
        start_delay_in_seconds: 0,
        retried_task_id: None,
        retried: false,
        executed: execution.ended_at.is_some(),
        callback_from_worker: true,
        response_timeout_seconds: 0,
        workflow_instance_id: execution.id,
        workflow_type: agent.name.clone(),
        task_id: format!("{}:loop", execution.id),
        reason_for_incompletion: None,
        callback_after_seconds: 0,
        worker_id: None,
        output_data: Json::of(&json!({ "iteration": turns })),
        domain: None,
        rate_limit_per_frequency: 0,
        rate_limit_frequency_in_seconds: 0,
        workflow_priority: 0,
        iteration: turns,
        first_start_time: Some(created),
        subworkflow_changed: false,
        loop_over_task: false,
        queue_wait_time: 0,
        workflow_task: workflow_task("DO_WHILE", &reference, "DO_WHILE"),
        reference_task_name: reference,
    }
}

/// A question to people, as the task of the protocol that it would be.
pub fn human(asked: &super::human::Human<'_>, execution: ExecutionId, agent: &Agent, number: usize) -> Task {
    let (first, reference) = (&asked.asked[0], asked.reference(agent));
    let created = first.brief.asked_at.as_millisecond();
    let decided = asked.asked.iter().filter_map(|a| a.brief.decided.as_ref());
    let is_over = asked.status() != "IN_PROGRESS";
    let ended = decided.map(|d| d.at.as_millisecond()).max().filter(|_| is_over);
    let turn = u32::try_from(first.turn).unwrap_or(0);
    Task {
        task_type: "HUMAN".into(),
        status: asked.status(),
        input_data: asked.input(agent),
        retry_count: 0,
        seq: number,
        correlation_id: None,
        poll_count: 0,
        task_def_name: "HUMAN".into(),
        scheduled_time: created,
        start_time: created,
        end_time: ended.unwrap_or(0),
        update_time: ended.unwrap_or(created),
        start_delay_in_seconds: 0,
        retried_task_id: None,
        retried: false,
        executed: is_over,
        callback_from_worker: true,
        response_timeout_seconds: 0,
        workflow_instance_id: execution,
        workflow_type: agent.name.clone(),
        task_id: first.brief.id.to_string(),
        reason_for_incompletion: None,
        callback_after_seconds: 0,
        worker_id: None,
        output_data: asked.output(),
        domain: None,
        rate_limit_per_frequency: 0,
        rate_limit_frequency_in_seconds: 0,
        workflow_priority: 0,
        iteration: turn,
        first_start_time: Some(created),
        subworkflow_changed: false,
        loop_over_task: true,
        queue_wait_time: 0,
        workflow_task: workflow_task("HUMAN", &reference, "HUMAN"),
        reference_task_name: reference,
    }
}

fn shown_input(attempt: &Attempt) -> Json {
    if !matches!(attempt.task, engine::Task::Tool { .. }) {
        return attempt.input.clone();
    }
    let mut input = with_nested_json(fields(&attempt.input), MAX_NESTING);
    add(&mut input, METHOD, &attempt.name);
    Json::of(&input)
}

fn shown_output(attempt: &Attempt, is_model: bool) -> Json {
    match (&attempt.output, &attempt.error) {
        (Some(output), _) if is_model => super::model::output(output),
        (Some(output), Some(error)) => {
            let mut output = fields(output);
            output.entry("error".to_owned()).or_insert_with(|| raw(error));
            Json::of(&output)
        }
        (Some(output), None) => output.clone(),
        (None, Some(error)) if attempt.standing == Standing::GaveUp => {
            Json::of(&json!({ "status": "FAILED", "error": error }))
        }
        (None, _) => empty(),
    }
}

/// What a call that waited for messages returned, with the protocol's word for their run.
fn shown_messages(attempt: &Attempt) -> Json {
    let mut output = attempt.output.as_ref().map(fields).unwrap_or_default();
    let messages: Option<Vec<Fields>> =
        output.get("messages").and_then(|messages| serde_json::from_str(messages.get()).ok());
    if let Some(mut messages) = messages {
        for message in &mut messages {
            message.insert("workflowId".to_owned(), raw(&attempt.execution));
        }
        output.insert("messages".to_owned(), raw(&messages));
    }
    Json::of(&output)
}

fn workflow_task(name: &str, reference: &str, kind: &'static str) -> WorkflowTask {
    WorkflowTask {
        name: name.to_owned(),
        task_reference_name: reference.to_owned(),
        kind,
        input_parameters: Fields::new(),
    }
}

/// The fields of an object; none for what is no object.
pub fn fields(json: &Json) -> Fields {
    serde_json::from_str(json.text()).unwrap_or_default()
}

fn add(fields: &mut Fields, key: &str, value: &impl Serialize) {
    fields.insert(key.to_owned(), raw(value));
}

pub fn raw(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("texts, lists and maps with string keys always serialise")
}

/// Models write objects into strings where a tool wants an object; the protocol hands tools the object.
fn with_nested_json(fields: Fields, levels: usize) -> Fields {
    fields.into_iter().map(|(key, value)| (key, opened(value, levels))).collect()
}

fn opened(value: Box<RawValue>, levels: usize) -> Box<RawValue> {
    let text = value.get();
    if levels == 0 || !(text.contains("\"{") || text.contains("\"[")) {
        return value;
    }
    match text.as_bytes()[0] {
        b'"' if matches!(text.as_bytes()[1], b'{' | b'[') => {
            let inner = serde_json::from_str::<String>(text).unwrap_or_default();
            match RawValue::from_string(inner) {
                Ok(inner) => opened(inner, levels - 1),
                Err(_) => value,
            }
        }
        b'{' => serde_json::from_str(text).map_or(value, |f: Fields| raw(&with_nested_json(f, levels - 1))),
        b'[' => serde_json::from_str(text).map_or(value, |items: Vec<Box<RawValue>>| {
            raw(&items.into_iter().map(|item| opened(item, levels - 1)).collect::<Vec<_>>())
        }),
        _ => value,
    }
}

pub fn empty() -> Json {
    Json::of(&json!({}))
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn whole_secs(secs: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to what fits")]
    let whole = secs.clamp(1.0, f64::from(i32::MAX)) as i32;
    whole
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;

    fn agent() -> Agent {
        Agent::parse(
            r#"{"name":"triage","model":"demo/x","tools":[{"name":"fetch"},
                {"name":"run","toolType":"cli","config":{"allowedCommands":["ls"]}}]}"#,
        )
        .unwrap()
    }

    fn json(text: &str) -> Json {
        Json::from_text(text.to_owned()).unwrap()
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    fn lease(name: &str, input: &str) -> Lease {
        Lease {
            execution: ExecutionId::new(),
            attempt: AttemptId::new(),
            task: engine::Task::Tool { turn: 2, call: 1 },
            queue: name.into(),
            domain: String::new(),
            queue_id: 1,
            waited: std::time::Duration::ZERO,
            name: name.into(),
            call_id: Some("call_7".into()),
            input: json(input),
            number: 2,
            losses: 0,
            retry_of: None,
            polls: 1,
            created_at: at(100),
            started_at: at(103),
            lease_secs: 10.0,
            priority: 0,
            agent: "triage".into(),
            version: 3,
            context: json(r#"{"seen":["a"]}"#),
            execution_input: json(r#"{"prompt":"p"}"#),
            start_key: None,
            worker_id: 1,
        }
    }

    fn attempt(standing: Standing) -> Attempt {
        Attempt {
            execution: ExecutionId::new(),
            id: AttemptId::new(),
            task: engine::Task::Tool { turn: 1, call: 0 },
            number: 1,
            losses: 0,
            name: "fetch".into(),
            call_id: Some("call_1".into()),
            domain: String::new(),
            standing,
            worker: Some("w".into()),
            polls: 1,
            created_at: at(100),
            started_at: Some(at(101)),
            leased_at: None,
            ended_at: Some(at(102)),
            run_at: None,
            error: None,
            retry_of: None,
            input: json(r#"{"service":"checkout"}"#),
            output: None,
            lease_secs: None,
        }
    }

    #[test]
    fn a_worker_gets_the_arguments_as_the_model_wrote_them_and_what_it_needs_beside_them() {
        let lease = lease("fetch", r#"{"service":"checkout","n":1.50,"big":123456789012345678901234567890}"#);
        let task = leased(&lease, &agent(), "host-1", None);
        assert_eq!(
            task.input_data.text(),
            format!(
                r#"{{"service":"checkout","n":1.50,"big":123456789012345678901234567890,"method":"fetch","_agent_state":{{"seen":["a"]}},"_idempotency_key":"{}/call_7__2"}}"#,
                lease.execution
            )
        );
        let sent = serde_json::to_value(&task).unwrap();
        for (key, value) in [
            ("taskType", json!("fetch")),
            ("taskDefName", json!("fetch")),
            ("status", json!("IN_PROGRESS")),
            ("referenceTaskName", json!("call_7__2")),
            ("retryCount", json!(1)),
            ("pollCount", json!(1)),
            ("iteration", json!(2)),
            ("responseTimeoutSeconds", json!(10)),
            ("workflowType", json!("triage")),
            ("scheduledTime", json!(100_000)),
            ("startTime", json!(103_000)),
            ("endTime", json!(0)),
            ("queueWaitTime", json!(3000)),
            ("workerId", json!("host-1")),
            ("outputData", json!({})),
        ] {
            assert_eq!(sent[key], value, "{key}");
        }
        assert_eq!(sent["workflowTask"]["type"], "SIMPLE");
        assert!(sent.get("domain").is_none() && sent.get("reasonForIncompletion").is_none());
    }

    #[test]
    fn a_command_line_tool_hears_which_commands_are_allowed() {
        let task = leased(&lease("run", "{}"), &agent(), "w", None);
        assert_eq!(task.input_data.value()["_allowed_commands"], json!(["ls"]));
    }

    #[test]
    fn objects_that_a_model_wrote_into_strings_are_handed_over_as_objects() {
        let open =
            |input: &str| Json::of(&with_nested_json(fields(&json(input)), MAX_NESTING)).text().to_owned();
        assert_eq!(open(r#"{"a":"{\"b\":\"[1.0]\"}"}"#), r#"{"a":{"b":[1.0]}}"#);
        assert_eq!(open(r#"{"list":["{\"b\":1}","{no"]}"#), r#"{"list":[{"b":1},"{no"]}"#);
        assert_eq!(open(r#"{"text":"say \"{1}\"","n":"5"}"#), r#"{"text":"say \"{1}\"","n":"5"}"#);
    }

    #[test]
    fn a_check_gets_the_conversation_and_nothing_of_a_tool() {
        let check = Lease {
            task: engine::Task::Check { turn: 1 },
            call_id: None,
            ..lease("triage_stop_when", r#"{"result":"r","iteration":1}"#)
        };
        let task = leased(&check, &agent(), "w", Some(json("[]")));
        assert_eq!(task.input_data.text(), r#"{"result":"r","iteration":1,"messages":[]}"#);
        assert_eq!(task.reference_task_name, "triage_stop_when__1");
    }

    #[test]
    fn a_tool_that_failed_for_good_says_so_without_failing_the_run() {
        let failed = Attempt { error: Some("boom".into()), ..attempt(Standing::GaveUp) };
        let task = shown(&failed, &agent(), 2);
        assert_eq!(
            (task.status, task.reason_for_incompletion.as_deref()),
            ("COMPLETED_WITH_ERRORS", Some("boom"))
        );
        assert_eq!(task.output_data.value(), json!({"status": "FAILED", "error": "boom"}));
        assert!(!task.retried);
    }

    #[test]
    fn an_attempt_that_was_tried_again_is_marked() {
        let failed = Attempt { error: Some("boom".into()), ..attempt(Standing::Failed) };
        let again = Attempt { number: 2, retry_of: Some(failed.id), ..attempt(Standing::Waiting) };
        let (first, second) = (shown(&failed, &agent(), 2), shown(&again, &agent(), 3));
        assert_eq!((first.status, first.retried), ("FAILED", true));
        assert_eq!(
            (second.status, second.retry_count, second.retried_task_id),
            ("SCHEDULED", 1, Some(failed.id))
        );
        assert_eq!(first.reference_task_name, second.reference_task_name);
    }

    #[test]
    fn what_clients_show_of_a_call_has_its_arguments_and_no_key_of_ours() {
        let task = shown(&attempt(Standing::Completed), &agent(), 1);
        assert_eq!(task.input_data.text(), r#"{"service":"checkout","method":"fetch"}"#);
        assert_eq!(serde_json::to_value(&task).unwrap()["inputData"]["_idempotency_key"], Value::Null);
    }
}
