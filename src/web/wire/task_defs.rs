//! Definitions of tasks, as workers register them when they start.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Word;
use super::task::{Fields, raw};
use crate::json::Json;
use crate::store::task_defs::{self, TaskDef};
use crate::web::body::{Body, done, reply, reply_text};
use crate::web::{Problem, State};

/// What is so when a definition doesn't say.
fn defaults() -> [(&'static str, Value); 8] {
    [
        ("retryCount", json!(3)),
        ("retryLogic", json!("FIXED")),
        ("retryDelaySeconds", json!(60)),
        ("backoffScaleFactor", json!(1)),
        ("timeoutSeconds", json!(0)),
        ("timeoutPolicy", json!("TIME_OUT_WF")),
        ("responseTimeoutSeconds", json!(super::task::LEASE_SECS)),
        ("inputKeys", json!([])),
    ]
}

/// The fields of a definition that mean something here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    name: String,
    retry_count: i32,
    retry_logic: String,
    retry_delay_seconds: i32,
    backoff_scale_factor: i32,
    timeout_seconds: i32,
    response_timeout_seconds: i32,
}

/// `PUT` (one object) and `POST` (an array) `/api/metadata/taskdefs`; each takes both.
pub async fn put(state: Data<State>, body: Body<Json>) -> Result<HttpResponse, Problem> {
    let one_or_more = if body.0.text().starts_with('[') {
        serde_json::from_str(body.0.text()).map_err(|e| Problem::new(400, e.to_string()))?
    } else {
        vec![body.0]
    };
    let defs =
        one_or_more.iter().map(read).collect::<Result<Vec<_>, _>>().map_err(|e| Problem::new(400, e))?;
    task_defs::put(&state.runtime.pool().get().await?, &defs).await?;
    Ok(done())
}

fn read(sent: &Json) -> Result<TaskDef, String> {
    let mut definition: Fields = serde_json::from_str(sent.text())
        .map_err(|_| "a task definition must be a JSON object with a name".to_owned())?;
    definition.retain(|_, value| value.get() != "null");
    let retries_given = definition.contains_key("retryCount");
    for (key, value) in defaults() {
        definition.entry(key.to_owned()).or_insert_with(|| raw(&value));
    }
    let definition = Json::of(&definition);
    let read: Read = serde_json::from_str(definition.text())
        .map_err(|e| format!("the task definition does not fit: {e}"))?;
    check(&read)?;
    Ok(TaskDef {
        name: read.name,
        definition,
        retry_count: read.retry_count,
        retry_logic: read.retry_logic,
        retry_delay_secs: read.retry_delay_seconds,
        backoff_scale: read.backoff_scale_factor.max(1),
        response_timeout_secs: read.response_timeout_seconds,
        timeout_secs: read.timeout_seconds,
        retries_given,
    })
}

fn check(def: &Read) -> Result<(), String> {
    let of = |problem: &str| Err(format!("task definition '{}': {problem}", def.name));
    if def.name.is_empty() || def.name.len() > 200 {
        return of("name must be 1 to 200 characters long");
    }
    if !matches!(def.retry_logic.as_str(), "FIXED" | "LINEAR_BACKOFF" | "EXPONENTIAL_BACKOFF") {
        return of("retryLogic must be FIXED, LINEAR_BACKOFF or EXPONENTIAL_BACKOFF");
    }
    if def.response_timeout_seconds < 1 {
        return of("responseTimeoutSeconds must be 1 or more");
    }
    if def.retry_count < 0 || def.retry_delay_seconds < 0 || def.timeout_seconds < 0 {
        return of("retryCount, retryDelaySeconds and timeoutSeconds must not be negative");
    }
    Ok(())
}

/// `GET /api/metadata/taskdefs`
pub async fn list(state: Data<State>) -> Result<HttpResponse, Problem> {
    Ok(reply(&task_defs::list(&state.runtime.pool().get().await?).await?))
}

/// `GET /api/metadata/taskdefs/{name}`
pub async fn get(state: Data<State>, name: Path<Word>) -> Result<HttpResponse, Problem> {
    let found = task_defs::get(&state.runtime.pool().get().await?, &name.0).await?;
    Ok(reply_text(found.ok_or_else(|| unknown(&name.0))?.text()))
}

/// `DELETE /api/metadata/taskdefs/{name}`
pub async fn delete(state: Data<State>, name: Path<Word>) -> Result<HttpResponse, Problem> {
    let was_there = task_defs::delete(&state.runtime.pool().get().await?, &name.0).await?;
    if was_there { Ok(done()) } else { Err(unknown(&name.0)) }
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(format!("No such taskType found by name: {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn def(sent: &str) -> Result<TaskDef, String> {
        read(&Json::from_text(sent.to_owned()).unwrap())
    }

    #[test]
    fn a_bare_name_gets_the_protocols_defaults_and_no_retries_of_its_own() {
        let bare = def(r#"{"name":"fetch","enforceSchema":false}"#).unwrap();
        assert_eq!((bare.retry_count, bare.retry_delay_secs, bare.response_timeout_secs), (3, 60, 3600));
        assert!(!bare.retries_given);
        let definition = bare.definition.value();
        assert_eq!(
            (&definition["enforceSchema"], &definition["timeoutPolicy"]),
            (&json!(false), &json!("TIME_OUT_WF"))
        );
    }

    #[test]
    fn retries_that_a_client_chose_count() {
        let chosen = def(
            r#"{"name":"t","retryCount":2,"retryLogic":"LINEAR_BACKOFF","retryDelaySeconds":2,"responseTimeoutSeconds":10,"timeoutPolicy":"RETRY"}"#,
        )
        .unwrap();
        assert_eq!(
            (chosen.retry_count, chosen.retry_logic.as_str(), chosen.retries_given),
            (2, "LINEAR_BACKOFF", true)
        );
        assert_eq!(chosen.response_timeout_secs, 10);
    }

    #[test]
    fn null_is_as_good_as_absent() {
        assert!(!def(r#"{"name":"t","retryCount":null}"#).unwrap().retries_given);
    }

    #[test]
    fn what_can_not_be_is_named() {
        assert!(def(r#"{"retryCount":1}"#).unwrap_err().contains("name"));
        assert!(
            def(r#"{"name":"t","responseTimeoutSeconds":0}"#).unwrap_err().contains("responseTimeoutSeconds")
        );
        assert!(def(r#"{"name":"t","retryLogic":"HOPE"}"#).unwrap_err().contains("retryLogic"));
        assert!(def(r#"{"name":"t","retryCount":"many"}"#).unwrap_err().contains("invalid type"));
        assert!(def("[]").is_err());
    }
}
