//! Workers report: done, failed, still at it, see me again later.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::task::Task;
use super::{Word, polls, words};
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;
use crate::runtime::{Outcome, Report, Reported};
use crate::store::logs::{self, Line};
use crate::store::read::attempts;
use crate::web::body::{Body, plain, reply};
use crate::web::{Problem, State};

/// Longest time after which an attempt may be asked for again.
const MAX_CALL_BACK_SECS: f64 = 30.0 * 86_400.0;

/// Body of an update.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    workflow_instance_id: Option<String>,
    task_id: String,
    worker_id: Option<String>,
    status: Option<String>,
    output_data: Option<Json>,
    #[serde(default)]
    extend_lease: Option<bool>,
    reason_for_incompletion: Option<String>,
    callback_after_seconds: Option<f64>,
    logs: Option<Vec<LogLine>>,
}

/// A line that a worker logged.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogLine {
    log: Option<String>,
    created_time: Option<f64>,
}

impl From<LogLine> for Line {
    fn from(line: LogLine) -> Self {
        // Some clients send seconds here and milliseconds there. Seconds stay below 10^11 until the year 5138.
        let millis = line.created_time.map(|t| if t.abs() < 1e11 { t * 1000.0 } else { t });
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and a time out of range is left out")]
        let at = millis.and_then(|ms| Timestamp::from_millisecond(ms as i64).ok());
        Self { text: line.log.unwrap_or_default(), at }
    }
}

/// What an update means.
#[derive(Debug, Clone)]
enum Meaning {
    Extend,
    CallBack(Duration),
    End(Outcome),
}

impl Update {
    fn meaning(&self) -> Result<Meaning, Problem> {
        if self.extend_lease == Some(true) {
            return Ok(Meaning::Extend);
        }
        let status = self.status.as_deref().unwrap_or_default();
        if status == "IN_PROGRESS" {
            let secs = self.callback_after_seconds.unwrap_or(0.0).clamp(0.0, MAX_CALL_BACK_SECS);
            return Ok(Meaning::CallBack(Duration::from_secs_f64(secs)));
        }
        end(status, self.output_data.clone(), self.reason_for_incompletion.as_deref()).map(Meaning::End)
    }
}

fn end(status: &str, output: Option<Json>, reason: Option<&str>) -> Result<Outcome, Problem> {
    let output = output.filter(|o| !o.is_null());
    match status {
        "COMPLETED" => Ok(Outcome::Completed(object(output))),
        "FAILED" | "FAILED_WITH_TERMINAL_ERROR" => Ok(Outcome::Failed {
            error: reason.filter(|r| !r.trim().is_empty()).unwrap_or("the worker gave no reason").to_owned(),
            retryable: status == "FAILED",
            output: output.map(|o| object(Some(o))).filter(|o| o.text() != r#"{"result":null}"#),
        }),
        "" => Err(Problem::new(400, "status: is missing")),
        other => Err(Problem::new(
            400,
            format!(
                "status: '{other}' is none of COMPLETED, FAILED, FAILED_WITH_TERMINAL_ERROR, IN_PROGRESS"
            ),
        )),
    }
}

/// An output is an object; anything else is wrapped as clients wrap it themselves, so that nothing is lost.
fn object(output: Option<Json>) -> Json {
    match output {
        None => super::task::empty(),
        Some(output) if output.text().starts_with('{') => output,
        Some(output) => Json::of(&json!({ "result": output })),
    }
}

/// `POST /api/tasks`: 200 with the attempt's id as text.
pub async fn update(state: Data<State>, body: Body<Update>) -> Result<HttpResponse, Problem> {
    let id = words::attempt_id(&body.0.task_id)?;
    apply(&state, id, body.0, false).await?;
    Ok(plain(&id))
}

/// `POST /api/tasks/update-v2`: 200 with the next task of the same queue, leased already, or 204.
pub async fn update_v2(state: Data<State>, body: Body<Update>) -> Result<HttpResponse, Problem> {
    let id = words::attempt_id(&body.0.task_id)?;
    let next = apply(&state, id, body.0, true).await?;
    Ok(next.map_or_else(|| HttpResponse::NoContent().finish(), |task| reply(&task)))
}

async fn apply(
    state: &State,
    id: AttemptId,
    update: Update,
    wants_next: bool,
) -> Result<Option<Task>, Problem> {
    let execution = update.workflow_instance_id.as_deref().filter(|e| !e.is_empty());
    let execution = execution.map(words::execution_id).transpose()?;
    let meaning = update.meaning()?;
    if let (Meaning::Extend, Some(execution)) = (&meaning, execution) {
        // Too late is no error: the worker hears of it when it reports.
        state.runtime.extend(execution, id).await?;
        return Ok(None);
    }
    let execution = match execution {
        Some(execution) => execution,
        None => execution_of(state, id).await?,
    };
    let lines: Vec<Line> = update.logs.into_iter().flatten().map(Line::from).collect();
    if !lines.is_empty() {
        logs::append(&state.runtime.pool().get().await?, execution, id, &lines).await?;
    }
    match meaning {
        Meaning::Extend => state.runtime.extend(execution, id).await?,
        Meaning::CallBack(delay) => {
            state.runtime.call_back(execution, id, delay, update.worker_id.as_deref()).await?
        }
        Meaning::End(outcome) => {
            let worker = update.worker_id.unwrap_or_else(|| "unnamed".to_owned());
            return report(state, Report { execution, attempt: id, worker, outcome, wants_next }).await;
        }
    };
    Ok(None)
}

/// The execution of an attempt, for clients that do not say it.
async fn execution_of(state: &State, id: AttemptId) -> Result<ExecutionId, Problem> {
    let execution = attempts::execution_of(&state.runtime.pool().get().await?, id).await?;
    execution.ok_or_else(|| no_such_task(id))
}

fn no_such_task(id: AttemptId) -> Problem {
    Problem::not_found(format!("No such task found by id: {id}"))
}

async fn report(state: &State, report: Report) -> Result<Option<Task>, Problem> {
    let (id, worker) = (report.attempt, report.worker.clone());
    match state.runtime.report(report).await? {
        Reported::Accepted(Some(next)) => Ok(polls::hand_out(state, next, &worker).await.pop()),
        // Too late: the protocol says nothing about it, and an event of the run says all.
        Reported::Accepted(None) | Reported::TooLate => Ok(None),
        Reported::Unknown => Err(no_such_task(id)),
    }
}

/// `?workerid=`
#[derive(Deserialize)]
pub struct By {
    workerid: Option<Word>,
}

/// `POST /api/tasks/{execution}/{reference}/{status}`: the same by the call's name; the body is the output.
pub async fn update_by_reference(
    state: Data<State>,
    path: Path<(String, Word, String)>,
    by: Query<By>,
    body: Body<Json>,
) -> Result<HttpResponse, Problem> {
    let (execution, Word(reference), status) = path.into_inner();
    let execution = words::execution_id(&execution)?;
    let unknown = || Problem::not_found(format!("Found no open task '{reference}' in execution {execution}"));
    let (turn, name) = words::split_reference(&reference).ok_or_else(unknown)?;
    let db = state.runtime.pool().get().await?;
    let open = attempts::open_by_ref(&db, execution, turn, name).await?;
    drop(db);
    let id = open.ok_or_else(unknown)?;
    let reason = body.0.value()["reasonForIncompletion"].as_str().map(str::to_owned);
    let update = Update {
        workflow_instance_id: Some(execution.to_string()),
        task_id: id.to_string(),
        worker_id: by.into_inner().workerid.map(|w| w.0),
        status: Some(status),
        output_data: Some(body.0),
        extend_lease: None,
        reason_for_incompletion: reason,
        callback_after_seconds: None,
        logs: None,
    };
    apply(&state, id, update, false).await?;
    Ok(plain(&id))
}

/// Read a body as the handlers do, for fuzzing.
#[cfg(any(test, fuzzing))]
pub fn read(body: &[u8]) {
    let Ok(text) = crate::json::storable(body) else { return };
    if let Ok(update) = serde_json::from_str::<Update>(&text) {
        let _ = (update.meaning(), words::attempt_id(&update.task_id));
        update.logs.into_iter().flatten().map(Line::from).for_each(drop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(body: &str) -> Result<Meaning, String> {
        serde_json::from_str::<Update>(body).unwrap().meaning().map_err(|p| p.to_string())
    }

    #[test]
    fn a_completed_update_brings_its_output_unchanged() {
        let sent =
            r#"{"taskId":"t","status":"COMPLETED","outputData":{"n": 1.500, "b":null},"extendLease":false}"#;
        let Ok(Meaning::End(Outcome::Completed(output))) = meaning(sent) else { panic!() };
        assert_eq!(output.text(), r#"{"n": 1.500, "b":null}"#);
    }

    #[test]
    fn an_output_that_is_no_object_is_wrapped() {
        let completed = |output: &str| match meaning(&format!(
            r#"{{"taskId":"t","status":"COMPLETED","outputData":{output}}}"#
        )) {
            Ok(Meaning::End(Outcome::Completed(output))) => output.text().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(completed("[1]"), r#"{"result":[1]}"#);
        assert_eq!(completed("null"), "{}");
    }

    #[test]
    fn failures_say_whether_another_try_makes_sense() {
        let failed = |status: &str| {
            let sent = format!(
                r#"{{"taskId":"t","status":"{status}","reasonForIncompletion":"boom","outputData":{{"result":null}}}}"#
            );
            match meaning(&sent) {
                Ok(Meaning::End(Outcome::Failed { error, retryable, output })) => {
                    (error, retryable, output.is_some())
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(failed("FAILED"), ("boom".into(), true, false));
        assert_eq!(failed("FAILED_WITH_TERMINAL_ERROR"), ("boom".into(), false, false));
    }

    #[test]
    fn progress_asks_for_the_same_attempt_again() {
        let sent = r#"{"taskId":"t","status":"IN_PROGRESS","callbackAfterSeconds":1.5,"outputData":{"p":1}}"#;
        assert!(matches!(meaning(sent), Ok(Meaning::CallBack(delay)) if delay.as_millis() == 1500));
        assert!(matches!(
            meaning(r#"{"taskId":"t","status":"IN_PROGRESS","extendLease":true}"#),
            Ok(Meaning::Extend)
        ));
        assert!(matches!(
            meaning(r#"{"taskId":"t","status":"IN_PROGRESS","callbackAfterSeconds":-1}"#),
            Ok(Meaning::CallBack(Duration::ZERO))
        ));
    }

    #[test]
    fn an_unknown_status_is_named() {
        assert!(meaning(r#"{"taskId":"t","status":"SLEEPING"}"#).unwrap_err().contains("SLEEPING"));
        assert!(meaning(r#"{"taskId":"t"}"#).unwrap_err().contains("status"));
    }

    #[test]
    fn log_times_come_in_seconds_and_in_milliseconds() {
        let at =
            |time: f64| Line::from(LogLine { log: Some("l".into()), created_time: Some(time) }).at.unwrap();
        assert_eq!(at(1_800_000_000.0), at(1_800_000_000_000.0));
        assert_eq!(
            Line::from(LogLine { log: None, created_time: Some(1e300) }),
            Line { text: String::new(), at: None }
        );
    }
}
