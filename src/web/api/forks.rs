//! Runs that go on from other runs: `POST /api/v1/executions/{id}/{fork,retry,restart,rerun,replay,continue}`, `GET …/forks`.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::engine::Task;
use crate::id::ExecutionId;
use crate::json::Json;
use crate::runtime::fork::{At, Version, Wanted};
use crate::runtime::session::Next;
use crate::store::forks;
use crate::web::body::{Body, reply};
use crate::web::wire::{who, words};
use crate::web::{Problem, State};

/// What is to be other than in the original. Which fields make sense depends on the way.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Changes {
    at: Option<i32>,
    turn: Option<u32>,
    call: Option<u16>,
    version: Option<Value>,
    model: Option<String>,
    prompt: Option<String>,
    context: Option<Json>,
    arguments: Option<Json>,
    idempotency_key: Option<String>,
}

/// `POST /api/v1/executions/{id}/fork`: a new run that goes on after an event of this one.
pub async fn fork(state: Data<State>, id: Path<String>, request: HttpRequest, how: How) -> Answer {
    begin(&state, &id, "fork", &request, how).await
}

/// `POST /api/v1/executions/{id}/retry`: one that goes on where this one failed.
pub async fn retry(state: Data<State>, id: Path<String>, request: HttpRequest, how: How) -> Answer {
    begin(&state, &id, "retry", &request, how).await
}

/// `POST /api/v1/executions/{id}/restart`: one with the same input, from the beginning.
pub async fn restart(state: Data<State>, id: Path<String>, request: HttpRequest, how: How) -> Answer {
    begin(&state, &id, "restart", &request, how).await
}

/// `POST /api/v1/executions/{id}/rerun`: one that goes on where a step of this one was called.
pub async fn rerun(state: Data<State>, id: Path<String>, request: HttpRequest, how: How) -> Answer {
    begin(&state, &id, "rerun", &request, how).await
}

/// `POST /api/v1/executions/{id}/replay`: one from the beginning, whose tools return what they returned to this one.
pub async fn replay(state: Data<State>, id: Path<String>, request: HttpRequest, how: How) -> Answer {
    begin(&state, &id, "replay", &request, how).await
}

type How = Body<Option<Changes>>;
type Answer = Result<HttpResponse, Problem>;

async fn begin(state: &State, id: &str, way: &'static str, request: &HttpRequest, how: How) -> Answer {
    let (id, changes) = (words::execution_id(id)?, how.0.unwrap_or_default());
    let wanted = changes.wanted(id, way, &who(request))?;
    let started = state.runtime.fork(wanted).await?;
    Ok(reply(&json!({ "executionId": started.id, "forkedFrom": id, "as": way, "isNew": started.is_new })))
}

impl Changes {
    fn wanted(self, from: ExecutionId, way: &str, by: &str) -> Result<Wanted, Problem> {
        let missing = |field: &str, what: &str| Problem::new(400, format!("{field}: is missing; say {what}"));
        let at = match way {
            "fork" => At::Event(
                self.at.ok_or_else(|| missing("at", "after which event of the run, 0 for its beginning"))?,
            ),
            "retry" => At::Failure,
            "restart" => At::Start,
            "replay" => At::Replay,
            "rerun" => {
                let turn = self.turn.ok_or_else(|| missing("turn", "of which turn the step is"))?;
                At::Task(match self.call {
                    Some(call) => Task::Tool { turn, call },
                    None => Task::Model { turn },
                })
            }
            _ => return Err(Problem::not_found(format!("a run can't be gone on from by '{way}'"))),
        };
        let strange = [
            ("at", self.at.is_some() && way != "fork"),
            ("turn", self.turn.is_some() && way != "rerun"),
            ("call", self.call.is_some() && way != "rerun"),
            ("arguments", self.arguments.is_some() && self.call.is_none()),
            ("version", self.version.is_some() && !matches!(way, "restart" | "replay")),
        ];
        if let Some((field, _)) = strange.into_iter().find(|(_, is)| *is) {
            return Err(Problem::new(400, format!("{field}: makes no sense in a {way}; leave it out")));
        }
        Ok(Wanted {
            version: version(self.version.as_ref())?,
            model: self.model,
            prompt: self.prompt,
            context: self.context,
            arguments: self.arguments,
            key: self.idempotency_key,
            ..Wanted::new(from, at, by)
        })
    }
}

fn version(said: Option<&Value>) -> Result<Version, Problem> {
    match said {
        None | Some(Value::Null) => Ok(Version::Same),
        Some(Value::String(word)) if word == "same" => Ok(Version::Same),
        Some(Value::String(word)) if word == "newest" => Ok(Version::Newest),
        Some(other) => other
            .as_i64()
            .and_then(|n| i32::try_from(n).ok())
            .map(Version::Number)
            .ok_or_else(|| Problem::new(400, "version: must be \"same\", \"newest\" or a number")),
    }
}

/// Body of `POST /api/v1/executions/{id}/continue`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Said {
    prompt: String,
    idempotency_key: Option<String>,
}

/// `POST /api/v1/executions/{id}/continue`: the next run of the conversation.
pub async fn go_on(state: Data<State>, id: Path<String>, said: Body<Said>) -> Result<HttpResponse, Problem> {
    let (after, said) = (words::execution_id(&id)?, said.0);
    let next = Next { after, prompt: said.prompt, key: said.idempotency_key };
    let started = state.runtime.go_on(next).await?;
    Ok(reply(&json!({ "executionId": started.id, "after": after, "isNew": started.is_new })))
}

/// `GET /api/v1/executions/{id}/forks`: the runs that go on from this one, oldest first.
pub async fn list(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    let db = state.runtime.pool().get().await?;
    forks::origin(&db, id).await?;
    let forks = forks::of(&db, id).await?;
    let shown = forks.iter().map(|f| {
        json!({
            "executionId": f.id, "forkedAt": f.at, "as": f.way, "status": words::status(f.status),
            "startedAt": f.created_at.to_string(),
        })
    });
    Ok(reply(&json!({ "executionId": id, "forks": shown.collect::<Vec<_>>() })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(way: &str, body: &str) -> Result<At, String> {
        let changes: Changes = serde_json::from_str(body).unwrap();
        changes.wanted(ExecutionId::new(), way, "me").map(|w| w.at).map_err(|p| p.to_string())
    }

    #[test]
    fn a_way_says_where_to_go_on() {
        assert_eq!(at("fork", r#"{"at":7}"#), Ok(At::Event(7)));
        assert_eq!(at("retry", "{}"), Ok(At::Failure));
        assert_eq!(at("restart", r#"{"version":"newest"}"#), Ok(At::Start));
        assert_eq!(at("replay", r#"{"model":"openai/gpt-4o"}"#), Ok(At::Replay));
        assert_eq!(at("rerun", r#"{"turn":2}"#), Ok(At::Task(Task::Model { turn: 2 })));
        assert_eq!(at("rerun", r#"{"turn":2,"call":1}"#), Ok(At::Task(Task::Tool { turn: 2, call: 1 })));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert!(at("fork", "{}").unwrap_err().starts_with("at: "));
        assert!(at("rerun", "{}").unwrap_err().starts_with("turn: "));
        assert!(at("retry", r#"{"at":1}"#).unwrap_err().starts_with("at: makes no sense in a retry"));
        assert!(at("rerun", r#"{"turn":1,"arguments":{}}"#).unwrap_err().starts_with("arguments: "));
        assert!(at("restart", r#"{"version":"old"}"#).unwrap_err().starts_with("version: "));
        assert!(serde_json::from_str::<Changes>(r#"{"modle":"x"}"#).is_err());
    }
}
