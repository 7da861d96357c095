//! Executions as workflows: start by name, and the whole of one.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use serde::{Deserialize, Serialize};

use super::executions::{Whole, whole};
use super::start::{Run, deployed};
use super::task::{self, Fields, Task};
use super::words;
use crate::id::ExecutionId;
use crate::json::Json;
use crate::store::read::executions;
use crate::web::body::{Body, plain, reply};
use crate::web::{Problem, State};

/// Body of `POST /api/workflow`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartWorkflow {
    name: String,
    version: Option<i32>,
    input: Option<Fields>,
    correlation_id: Option<String>,
    idempotency_key: Option<String>,
    priority: Option<i64>,
    task_to_domain: Option<Json>,
}

/// `POST /api/workflow`: start a deployed agent by its name; 200 with the execution's id as text.
pub async fn start(state: Data<State>, body: Body<StartWorkflow>) -> Result<HttpResponse, Problem> {
    let body = body.0;
    let (agent, version) = deployed(&state, &body.name, body.version).await?;
    let mut more = body.input.unwrap_or_default();
    let run = Run {
        prompt: take(&mut more, "prompt")?,
        media: take(&mut more, "media")?,
        context: take(&mut more, "context")?,
        session: take(&mut more, "session_id")?,
        key: body.idempotency_key.or(body.correlation_id),
        domains: body.task_to_domain,
        // The protocol's 0 to 99 with the highest first, as ours with the lowest first.
        priority: i16::try_from(-body.priority.unwrap_or(0).clamp(0, 99)).unwrap_or(0),
        more: without_ours(more),
        ..Run::default()
    };
    let started = run.start(&state, agent, version).await?;
    Ok(plain(&started.id))
}

/// A field of the input, with its default when it is absent or null.
fn take<T: serde::de::DeserializeOwned + Default>(input: &mut Fields, key: &str) -> Result<T, Problem> {
    let value = input.shift_remove(key).filter(|v| v.get() != "null");
    value.map_or(Ok(T::default()), |v| {
        serde_json::from_str(v.get()).map_err(|e| Problem::new(400, format!("input.{key}: {e}")))
    })
}

/// The server itself says where a run works.
fn without_ours(mut input: Fields) -> Fields {
    input.shift_remove("cwd");
    input
}

/// The protocol's workflow: an execution.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the protocol's names")]
struct Workflow {
    workflow_id: ExecutionId,
    workflow_name: String,
    workflow_version: i32,
    status: &'static str,
    input: Json,
    output: Json,
    variables: Json,
    tasks: Vec<Task>,
    task_to_domain: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    create_time: i64,
    update_time: i64,
    start_time: i64,
    end_time: i64,
    created_by: &'static str,
    owner_app: &'static str,
    priority: i16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_for_incompletion: Option<String>,
    failed_reference_task_names: Vec<String>,
    failed_task_names: Vec<String>,
}

fn shown(execution: executions::Execution, tasks: Vec<Task>) -> Workflow {
    let e = execution;
    let failed = || tasks.iter().filter(|t| t.status == "FAILED" && !t.retried);
    Workflow {
        workflow_id: e.id,
        workflow_name: e.agent,
        workflow_version: e.version,
        status: words::status(e.status),
        input: e.input,
        output: e.output.unwrap_or_else(task::empty),
        variables: Json::of(&Fields::from([("_agent_state".to_owned(), task::raw(&e.context))])),
        task_to_domain: e.domains.unwrap_or_else(task::empty),
        correlation_id: e.start_key,
        create_time: e.created_at.as_millisecond(),
        update_time: e.updated_at.as_millisecond(),
        start_time: e.created_at.as_millisecond(),
        end_time: words::millis(e.ended_at),
        created_by: "anonymous",
        owner_app: "",
        priority: e.priority.saturating_neg(),
        reason_for_incompletion: e.reason,
        failed_reference_task_names: failed().map(|t| t.reference_task_name.clone()).collect(),
        failed_task_names: failed().map(|t| t.task_def_name.clone()).collect(),
        tasks,
    }
}

/// Query of `GET /api/workflow/{id}`. Python writes `True` and `False`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Include {
    include_tasks: Option<String>,
}

/// `GET /api/workflow/{id}`
pub async fn get(
    state: Data<State>,
    id: Path<String>,
    include: Query<Include>,
) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    if include.include_tasks.as_deref().is_some_and(|i| i.eq_ignore_ascii_case("false")) {
        let execution = executions::get(&state.runtime.pool().get().await?, id).await?;
        return Ok(reply(&shown(execution, vec![])));
    }
    let Whole { execution, tasks } = whole(&state, id).await?;
    Ok(reply(&shown(execution, tasks)))
}

/// `GET /api/agent/executions/{id}/full`
pub async fn full(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let Whole { execution, tasks } = whole(&state, words::execution_id(&id)?).await?;
    Ok(reply(&shown(execution, tasks)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_input_has_beyond_the_known_fields_is_kept() {
        let mut input: Fields =
            serde_json::from_str(r#"{"prompt":"p","media":null,"ticket":1.0,"cwd":"/etc"}"#).unwrap();
        assert_eq!(take::<String>(&mut input, "prompt").unwrap(), "p");
        assert!(take::<Vec<String>>(&mut input, "media").unwrap().is_empty());
        assert_eq!(Json::of(&without_ours(input)).text(), r#"{"ticket":1.0}"#);
    }

    #[test]
    fn a_prompt_that_is_no_text_is_named() {
        let mut input: Fields = serde_json::from_str(r#"{"prompt":[1]}"#).unwrap();
        assert!(take::<String>(&mut input, "prompt").unwrap_err().to_string().starts_with("input.prompt: "));
    }
}
