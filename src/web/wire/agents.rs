//! Agents: start, deploy, compile, list, get, delete.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::start::{Run, deployed, unknown};
use super::{Word, plan};
use crate::agent::Agent;
use crate::id::ExecutionId;
use crate::json::Json;
use crate::store::agents::{self, Deployed};
use crate::web::body::{Body, done, reply, reply_text};
use crate::web::{Problem, State};

/// Fields of a request that says which agent it is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    agent_config: Option<Json>,
    framework: Option<Json>,
    raw_config: Option<Json>,
}

impl About {
    /// The definition, and what it means.
    fn agent(self) -> Result<(Json, Agent), Problem> {
        not_yet("framework", self.framework.as_ref())?;
        not_yet("rawConfig", self.raw_config.as_ref())?;
        let Some(definition) = self.agent_config.filter(|c| !c.is_null()) else {
            return Err(Problem::refused("agentConfig: is missing; send the agent's configuration"));
        };
        let agent =
            Agent::parse(definition.text()).map_err(|invalid| Problem::refused(invalid.to_string()))?;
        Ok((definition, agent))
    }
}

/// Refuse a field of a feature that isn't there, when it holds anything.
fn not_yet(field: &str, value: Option<&Json>) -> Result<(), Problem> {
    if value.is_none_or(|v| matches!(v.text(), "null" | "[]" | "{}" | "\"\"")) {
        return Ok(());
    }
    Err(Problem::refused(format!(
        "{field}: this server does not support it yet; remove it, or see docs/compatibility.md"
    )))
}

/// Body of `POST /api/agent/start`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartAgent {
    agent_config: Option<Json>,
    framework: Option<Json>,
    raw_config: Option<Json>,
    name: Option<String>,
    version: Option<i32>,
    model: Option<Json>,
    prompt: Option<String>,
    session_id: Option<String>,
    media: Option<Vec<String>>,
    context: Option<Json>,
    idempotency_key: Option<String>,
    timeout_seconds: Option<f64>,
    credentials: Option<Json>,
    run_id: Option<String>,
    requested_by: Option<String>,
    #[serde(rename = "static_plan")]
    static_plan: Option<Json>,
}

/// Answer to `POST /api/agent/start` and `/deploy`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_id: Option<ExecutionId>,
    agent_name: &'a str,
    required_workers: Vec<String>,
}

/// `POST /api/agent/start`: deploy what was sent, or take what is deployed, and start a run.
pub async fn start(state: Data<State>, body: Body<StartAgent>) -> Result<HttpResponse, Problem> {
    let body = body.0;
    not_yet("static_plan", body.static_plan.as_ref())?;
    not_yet("credentials", body.credentials.as_ref())?;
    let about =
        About { agent_config: body.agent_config, framework: body.framework, raw_config: body.raw_config };
    let name = body.name.filter(|n| !n.is_empty() && about.agent_config.is_none());
    let (agent, version) = if let Some(name) = name {
        not_yet("model", body.model.as_ref())?;
        deployed(&state, &name, body.version).await?
    } else {
        let (definition, agent) = about.agent()?;
        let version = agents::deploy(state.runtime.pool(), &agent.name, &definition).await?;
        (Arc::new(agent), version)
    };
    let run = Run {
        prompt: body.prompt.unwrap_or_default(),
        media: body.media.unwrap_or_default(),
        context: body.context,
        session: body.session_id.unwrap_or_default(),
        key: body.idempotency_key,
        stateful_domain: body.run_id,
        timeout_secs: body.timeout_seconds,
        requester: body.requested_by.unwrap_or_default(),
        ..Run::default()
    };
    let started = run.start(&state, agent.clone(), version).await?;
    Ok(accepted(&agent, Some(started.id)))
}

fn accepted(agent: &Agent, execution_id: Option<ExecutionId>) -> HttpResponse {
    reply(&Accepted { execution_id, agent_name: &agent.name, required_workers: agent.required_workers() })
}

/// `POST /api/agent/deploy`: make a definition what its name runs from now on.
pub async fn deploy(state: Data<State>, body: Body<About>) -> Result<HttpResponse, Problem> {
    let (definition, agent) = body.0.agent()?;
    agents::deploy(state.runtime.pool(), &agent.name, &definition).await?;
    Ok(accepted(&agent, None))
}

/// `POST /api/agent/compile`: what running a definition would mean; nothing is stored.
pub async fn compile(body: Body<About>) -> Result<HttpResponse, Problem> {
    let (definition, agent) = body.0.agent()?;
    let workflow_def = plan::workflow_def(&agent, &definition, 1);
    Ok(reply(&Compiled { workflow_def, required_workers: agent.required_workers() }))
}

/// Answer to `POST /api/agent/compile`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Compiled {
    workflow_def: plan::WorkflowDef,
    required_workers: Vec<String>,
}

/// `GET /api/agent/list`
pub async fn list(state: Data<State>) -> Result<HttpResponse, Problem> {
    let agents = agents::list(&state.runtime.pool().get().await?).await?;
    let shown = agents.iter().map(|a| {
        let agent = Agent::parse(a.definition.text()).ok();
        json!({
            "name": a.name,
            "version": a.version,
            "type": "conductor",
            "tags": agent.as_ref().map(plan::capabilities).unwrap_or_default(),
            "description": a.definition.value()["description"].as_str().unwrap_or_default(),
            "createTime": a.created_at.as_millisecond(),
            "updateTime": a.updated_at.as_millisecond(),
            "checksum": a.checksum,
        })
    });
    Ok(reply(&shown.collect::<Vec<_>>()))
}

/// `?version=`
#[derive(Deserialize)]
pub struct Version {
    version: Option<i32>,
}

/// `GET /api/agent/{name}`: the definition as it was sent.
pub async fn get(state: Data<State>, name: Path<Word>, at: Query<Version>) -> Result<HttpResponse, Problem> {
    Ok(reply_text(found(&state, &name.0, at.version).await?.definition.text()))
}

async fn found(state: &State, name: &str, version: Option<i32>) -> Result<Deployed, Problem> {
    let found = agents::get(&state.runtime.pool().get().await?, name, version).await?;
    found.ok_or_else(|| unknown(name, version))
}

/// `DELETE /api/agent/{name}`: nobody can start it any more; its runs go on.
pub async fn delete(
    state: Data<State>,
    name: Path<Word>,
    at: Query<Version>,
) -> Result<HttpResponse, Problem> {
    let was_there = agents::retire(&state.runtime.pool().get().await?, &name.0, at.version).await?;
    if was_there { Ok(done()) } else { Err(unknown(&name.0, at.version)) }
}

/// `GET /api/metadata/workflow/{name}`: the agent as the workflow that clients take it for.
pub async fn definition(
    state: Data<State>,
    name: Path<Word>,
    at: Query<Version>,
) -> Result<HttpResponse, Problem> {
    let found = found(&state, &name.0, at.version).await?;
    let agent = state.runtime.agent(&found.name, found.version).await?;
    Ok(reply(&plan::workflow_def(&agent, &found.definition, found.version)))
}

/// `GET /api/metadata/workflow`
pub async fn definitions(state: Data<State>) -> Result<HttpResponse, Problem> {
    let agents = agents::list(&state.runtime.pool().get().await?).await?;
    let shown = agents.iter().filter_map(|a| {
        let agent = Agent::parse(a.definition.text()).ok()?;
        Some(plan::workflow_def(&agent, &a.definition, a.version))
    });
    Ok(reply(&shown.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> String {
        serde_json::from_str::<About>(body).unwrap().agent().unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_there_yet_is_refused_by_its_name() {
        assert!(refusal(r#"{"framework":"langgraph","rawConfig":{"a":1}}"#).starts_with("framework: "));
        assert!(refusal(r#"{"rawConfig":{"a":1}}"#).starts_with("rawConfig: "));
        assert!(
            refusal(r#"{"agentConfig":{"name":"a","model":"demo/x","agents":[{"name":"b"}]}}"#)
                .starts_with("agentConfig.agents: ")
        );
        assert!(not_yet("credentials", Some(&Json::of(&json!(["TOKEN"])))).is_err());
        assert!(not_yet("credentials", Some(&Json::of(&json!([])))).is_ok());
    }

    #[test]
    fn an_agent_must_be_there() {
        assert!(refusal("{}").starts_with("agentConfig: is missing"));
        assert!(refusal(r#"{"agentConfig":{"name":"a","model":"gpt"}}"#).contains("provider/model"));
    }
}
