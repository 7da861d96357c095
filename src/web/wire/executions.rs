//! Executions as the agent API shows them.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::task::{self, Task};
use super::{Word, human, words};
use crate::engine::{self, Status};
use crate::id::ExecutionId;
use crate::json::Json;
use crate::store::read::approvals;
use crate::store::read::attempts::{self, Attempt};
use crate::store::read::executions::{self, Execution};
use crate::store::read::messages;
use crate::store::{GenericClient, inbox};
use crate::web::body::{done, reply};
use crate::web::{Problem, State};

/// Answer to `GET /api/agent/{id}/status`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Standing {
    execution_id: ExecutionId,
    status: &'static str,
    is_complete: bool,
    is_running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_for_incompletion: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_waiting: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_tool: Option<Value>,
}

/// `GET /api/agent/{id}/status`: what clients ask each second.
pub async fn status(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    let db = state.runtime.pool().get().await?;
    let at = executions::status(&db, id).await?;
    let is_over = at.status.is_terminal();
    let pending_tool = if is_over { None } else { pending(&state, &db, id).await? };
    Ok(reply(&Standing {
        execution_id: id,
        status: words::status(at.status),
        is_complete: is_over,
        is_running: at.status == Status::Running,
        output: is_over.then(|| at.output.unwrap_or_else(task::empty)),
        reason_for_incompletion: at.reason.filter(|r| !r.trim().is_empty()),
        is_waiting: pending_tool.is_some(),
        pending_tool,
    }))
}

/// What a client is told that a run waits for: a person, or else a message.
async fn pending(state: &State, db: &impl GenericClient, id: ExecutionId) -> Result<Option<Value>, Problem> {
    let asked = approvals::of_execution(db, id, true).await?;
    if let Some(first) = human::tasks(&asked).first() {
        let execution = executions::get(db, id).await?;
        let agent = state.runtime.agent(&execution.agent, execution.version).await?;
        return Ok(Some(first.pending_tool(&agent)));
    }
    let waits = inbox::waiting(db, id).await?;
    Ok(waits.map(|w| json!({ "taskRefName": format!("{}__{}", w.name, w.turn), "parameters": w.input })))
}

/// An execution with all its tasks.
pub struct Whole {
    pub execution: Execution,
    pub tasks: Vec<Task>,
}

/// Read an execution, with its tasks as the protocol lists them: for an agent with tools the loop first.
///
/// The newest model call carries the conversation. The ones before saw a part of it, which is not repeated, so that
/// what is sent grows with the length of a run and not with its square.
pub async fn whole(state: &State, id: ExecutionId) -> Result<Whole, Problem> {
    let pool = state.runtime.pool();
    let db = pool.get().await?;
    let execution = executions::get(&db, id).await?;
    let attempts = attempts::of_execution(&db, id).await?;
    let newest = attempts.iter().rposition(|a| matches!(a.task, engine::Task::Model { .. }));
    let transcript = match newest {
        Some(at) => messages::conversation(&db, id, 0, upto(&attempts[at])).await?,
        None => vec![],
    };
    let asked = approvals::of_execution(&db, id, false).await?;
    drop(db);
    let agent = state.runtime.agent(&execution.agent, execution.version).await?;
    let mut humans = human::tasks(&asked).into_iter().peekable();
    let mut tasks = vec![];
    if !agent.is_simple() {
        let turns = attempts.last().map_or(0, |a| a.task.turn());
        tasks.push(task::loop_task(&execution, &agent, turns));
    }
    for (i, attempt) in attempts.iter().enumerate() {
        let mut task = task::shown(attempt, &agent, tasks.len() + 1);
        if newest == Some(i) {
            let said = super::model::conversation(&agent, &execution.input, &transcript);
            task.input_data = super::model::input_with(&agent, &said);
        }
        let is_answer = attempt.standing == attempts::Standing::Completed;
        tasks.push(task);
        // Right behind the answer of the model that asks them.
        let turn = i32::try_from(attempt.task.turn()).unwrap_or(i32::MAX);
        while is_answer
            && matches!(attempt.task, engine::Task::Model { .. })
            && let Some(asked) = humans.next_if(|h| h.asked[0].turn == turn)
        {
            tasks.push(task::human(&asked, id, &agent, tasks.len() + 1));
        }
    }
    Ok(Whole { execution, tasks })
}

/// The last message that a model call saw.
fn upto(attempt: &Attempt) -> i32 {
    #[derive(Deserialize)]
    struct Input {
        upto: i32,
    }
    serde_json::from_str::<Input>(attempt.input.text()).map_or(i32::MAX, |input| input.upto)
}

/// Answer to `GET /api/agent/executions/{id}`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    execution_id: ExecutionId,
    agent_name: String,
    version: i32,
    status: &'static str,
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    input: Json,
    output: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_for_incompletion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_task: Option<CurrentTask>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CurrentTask {
    task_ref_name: String,
    task_type: String,
    status: &'static str,
    input_data: Json,
    output_data: Json,
}

impl From<Task> for CurrentTask {
    fn from(task: Task) -> Self {
        Self {
            task_ref_name: task.reference_task_name,
            task_type: task.task_type,
            status: task.status,
            input_data: task.input_data,
            output_data: task.output_data,
        }
    }
}

/// `GET /api/agent/executions/{id}`: what it is doing now.
pub async fn detail(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let Whole { execution: e, mut tasks } = whole(&state, words::execution_id(&id)?).await?;
    let current = tasks.iter().rposition(|t| matches!(t.status, "SCHEDULED" | "IN_PROGRESS"));
    Ok(reply(&Detail {
        execution_id: e.id,
        status: words::status(e.status),
        start_time: words::iso(e.created_at),
        end_time: e.ended_at.map(words::iso),
        agent_name: e.agent,
        version: e.version,
        input: e.input,
        output: e.output.unwrap_or_else(task::empty),
        reason_for_incompletion: e.reason,
        current_task: current.map(|at| tasks.swap_remove(at).into()),
    }))
}

/// Answer to `GET /api/agent/execution/{id}`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageOf {
    execution_id: ExecutionId,
    agent_name: String,
    version: i32,
    status: &'static str,
    start_time: i64,
    end_time: i64,
    input: Json,
    output: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_usage: Option<TokenUsage>,
    tasks: Vec<Brief>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the protocol's names")]
struct TokenUsage {
    prompt_tokens: i64,
    completion_tokens: i64,
    total_tokens: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Brief {
    task_type: String,
    reference_task_name: String,
    status: &'static str,
    output_data: Json,
}

/// `GET /api/agent/execution/{id}`: what it cost.
pub async fn usage(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let Whole { execution: e, tasks } = whole(&state, words::execution_id(&id)?).await?;
    let used = executions::usage(&state.runtime.pool().get().await?, e.id).await?;
    let brief = |t: Task| Brief {
        task_type: t.task_type,
        reference_task_name: t.reference_task_name,
        status: t.status,
        output_data: t.output_data,
    };
    Ok(reply(&UsageOf {
        execution_id: e.id,
        status: words::status(e.status),
        start_time: e.created_at.as_millisecond(),
        end_time: words::millis(e.ended_at),
        agent_name: e.agent,
        version: e.version,
        input: e.input,
        output: e.output.unwrap_or_else(task::empty),
        token_usage: (used.calls > 0).then_some(TokenUsage {
            prompt_tokens: used.prompt,
            completion_tokens: used.completion,
            total_tokens: used.prompt + used.completion,
        }),
        tasks: tasks.into_iter().map(brief).collect(),
    }))
}

/// Query of `GET /api/agent/executions/{id}/tasks`.
#[derive(Deserialize)]
pub struct Page {
    status: Option<Word>,
    #[serde(default)]
    start: usize,
    #[serde(default = "fifteen")]
    count: usize,
}

fn fifteen() -> usize {
    15
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tasks {
    total_hits: usize,
    summary: BTreeMap<&'static str, usize>,
    results: Vec<Task>,
}

/// `GET /api/agent/executions/{id}/tasks`: a page of its tasks, and how many there are of each status.
pub async fn tasks(state: Data<State>, id: Path<String>, page: Query<Page>) -> Result<HttpResponse, Problem> {
    let Whole { tasks, .. } = whole(&state, words::execution_id(&id)?).await?;
    let mut summary = BTreeMap::new();
    for task in &tasks {
        *summary.entry(task.status).or_default() += 1;
    }
    let wanted = page.status.as_ref().map(|w| w.0.as_str()).filter(|s| !s.is_empty());
    let of_status = |t: &Task| wanted.is_none_or(|w| w.split(',').any(|s| s.trim() == t.status));
    let found: Vec<_> = tasks.into_iter().filter(of_status).collect();
    Ok(reply(&Tasks {
        total_hits: found.len(),
        summary,
        results: found.into_iter().skip(page.start).take(page.count.min(1000)).collect(),
    }))
}

/// `POST /api/agent/events/{id}`: what a framework's worker tells about itself. Frameworks are not there yet, and their
/// workers take any answer but 200 for a fault of theirs.
pub async fn framework_event() -> HttpResponse {
    done()
}
