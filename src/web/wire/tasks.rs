//! Looking at tasks, their logs, and the queues that they wait in.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::task;
use super::{Word, words};
use crate::store::logs::{self, Line};
use crate::store::read::{attempts, queues};
use crate::web::body::{Text, done, reply};
use crate::web::{Problem, State};

/// `GET /api/tasks/{id}`
pub async fn get(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let id = words::attempt_id(&id)?;
    let pool = state.runtime.pool();
    let whole = attempts::get(&pool.get().await?, id).await?;
    let agent = state.runtime.agent(&whole.agent, whole.version).await?;
    let shown = task::shown(&whole.attempt, &agent, usize::from(whole.attempt.task.call()) + 1);
    Ok(reply(&task::Task {
        workflow_priority: whole.priority.saturating_neg(),
        correlation_id: whole.start_key,
        ..shown
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogLine {
    log: String,
    task_id: String,
    created_time: i64,
}

/// `GET /api/tasks/{id}/log`
pub async fn logs(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let id = words::attempt_id(&id)?;
    let db = state.runtime.pool().get().await?;
    let Some(execution) = attempts::execution_of(&db, id).await? else { return Ok(reply(&[(); 0])) };
    let lines = logs::of_attempt(&db, execution, id).await?;
    let shown = lines.into_iter().map(|l| LogLine {
        log: l.text,
        task_id: id.to_string(),
        created_time: words::millis(l.at),
    });
    Ok(reply(&shown.collect::<Vec<_>>()))
}

/// `POST /api/tasks/{id}/log`: the body is the line.
pub async fn log(state: Data<State>, id: Path<String>, line: Text) -> Result<HttpResponse, Problem> {
    let id = words::attempt_id(&id)?;
    let db = state.runtime.pool().get().await?;
    let execution = attempts::execution_of(&db, id).await?;
    let execution = execution.ok_or_else(|| Problem::not_found(format!("No such task found by id: {id}")))?;
    logs::append(&db, execution, id, &[Line { text: line.0, at: None }]).await?;
    Ok(done())
}

/// `GET /api/tasks/queue/sizes?taskType=a&taskType=b`: how much waits, in all domains together.
pub async fn queue_sizes(
    state: Data<State>,
    asked: Query<Vec<(String, Word)>>,
) -> Result<HttpResponse, Problem> {
    let names: Vec<_> = asked
        .into_inner()
        .into_iter()
        .filter(|(key, _)| key == "taskType")
        .map(|(_, Word(name))| name)
        .collect();
    let depths = queues::depth(&state.runtime.pool().get().await?, Some(&names)).await?;
    let mut sizes: IndexMap<_, _> = names.into_iter().map(|name| (name, 0)).collect();
    for depth in depths {
        *sizes.entry(depth.queue).or_default() += depth.ready + depth.deferred;
    }
    Ok(reply(&sizes))
}

/// `GET /api/tasks/queue/all`: how much waits, by queue; with a domain as `domain:name`.
pub async fn queue_all(state: Data<State>) -> Result<HttpResponse, Problem> {
    let depths = queues::depth(&state.runtime.pool().get().await?, None).await?;
    let sizes: IndexMap<_, _> =
        depths.into_iter().map(|d| (label(d.queue, &d.domain), d.ready + d.deferred)).collect();
    Ok(reply(&sizes))
}

fn label(queue: String, domain: &str) -> String {
    if domain.is_empty() { queue } else { format!("{domain}:{queue}") }
}

/// `?taskType=`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfTask {
    task_type: Word,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PollData {
    queue_name: String,
    domain: Option<String>,
    worker_id: String,
    last_poll_time: i64,
}

/// `GET /api/tasks/queue/polldata?taskType=`
pub async fn poll_data(state: Data<State>, of: Query<OfTask>) -> Result<HttpResponse, Problem> {
    polls(&state, Some(&of.task_type.0)).await
}

/// `GET /api/tasks/queue/polldata/all`
pub async fn all_poll_data(state: Data<State>) -> Result<HttpResponse, Problem> {
    polls(&state, None).await
}

async fn polls(state: &State, name: Option<&str>) -> Result<HttpResponse, Problem> {
    let polls = queues::polls(&state.runtime.pool().get().await?, name).await?;
    let shown = polls.into_iter().map(|p| PollData {
        queue_name: p.queue,
        domain: (!p.domain.is_empty()).then_some(p.domain),
        worker_id: p.worker,
        last_poll_time: p.seen_at.as_millisecond(),
    });
    Ok(reply(&shown.collect::<Vec<_>>()))
}
