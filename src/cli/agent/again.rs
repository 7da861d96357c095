//! New runs that go on from old ones: retry, restart, rerun, fork, replay; and where two runs part.

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::name_execution;
use crate::cli::{
    api::Api,
    failure::{Exit, Failure},
    terminal::Terminal,
    text,
};

/// Flags of `agent retry`.
#[derive(Debug, Args)]
pub struct Retry {
    /// The run that failed
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    other: Other,
}

/// Flags of `agent restart` and `agent replay`.
#[derive(Debug, Args)]
pub struct Restart {
    /// The run whose input is taken
    #[arg(value_name = "ID")]
    id: String,
    /// Which version of the agent: same, newest or a number
    #[arg(long, value_name = "N", default_value = "same")]
    version: String,
    #[command(flatten)]
    other: Other,
}

/// Flags of `agent rerun`.
#[derive(Debug, Args)]
pub struct Rerun {
    /// The run
    #[arg(value_name = "ID")]
    id: String,
    /// From the model call of this turn on
    #[arg(long, value_name = "N")]
    turn: u32,
    /// From this tool call of the turn on instead; the first is 0
    #[arg(long, value_name = "N")]
    call: Option<u16>,
    /// Run the call with these arguments, a JSON object
    #[arg(long, value_name = "JSON", requires = "call")]
    arguments: Option<String>,
    #[command(flatten)]
    other: Other,
}

/// Flags of `agent fork`.
#[derive(Debug, Args)]
pub struct Fork {
    /// The run
    #[arg(value_name = "ID")]
    id: String,
    /// After which of its events; `tenure agent status` and the page of the run know them
    #[arg(long, value_name = "N")]
    at: i32,
    #[command(flatten)]
    other: Other,
}

/// Flags of `agent continue`.
#[derive(Debug, Args)]
pub struct Continue {
    /// The run that ended with an answer
    #[arg(value_name = "ID")]
    id: String,
    /// What is said next
    #[arg(value_name = "PROMPT")]
    prompt: String,
    /// The same key makes one run
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// Flags of `agent diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// The first run
    #[arg(value_name = "ID")]
    a: String,
    /// The second run
    #[arg(value_name = "ID")]
    b: String,
}

/// What may be other than in the old run.
#[derive(Debug, Args)]
pub struct Other {
    /// Go on with another model
    #[arg(long, value_name = "PROVIDER/MODEL")]
    model: Option<String>,
    /// Go on with another prompt
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// The same key makes one run
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub(super) async fn retry(retry: &Retry, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    begin(&retry.id, "retry", json!({}), &retry.other, api, out).await
}

pub(super) async fn restart(restart: &Restart, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    anew(restart, "restart", api, out).await
}

pub(super) async fn replay(replay: &Restart, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    anew(replay, "replay", api, out).await
}

async fn anew(restart: &Restart, way: &str, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let version = restart.version.parse::<i32>().map_or_else(|_| json!(restart.version), |n| json!(n));
    begin(&restart.id, way, json!({ "version": version }), &restart.other, api, out).await
}

pub(super) async fn rerun(rerun: &Rerun, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let mut body = json!({ "turn": rerun.turn });
    if let Some(call) = rerun.call {
        body["call"] = json!(call);
    }
    if let Some(arguments) = &rerun.arguments {
        let arguments: Map<String, Value> = serde_json::from_str(arguments)
            .map_err(|error| Failure::new(Exit::Usage, "--arguments is not a JSON object").because(error))?;
        body["arguments"] = Value::Object(arguments);
    }
    begin(&rerun.id, "rerun", body, &rerun.other, api, out).await
}

pub(super) async fn fork(fork: &Fork, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    begin(&fork.id, "fork", json!({ "at": fork.at }), &fork.other, api, out).await
}

pub(super) async fn go_on(next: &Continue, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let mut body = json!({ "prompt": next.prompt });
    if let Some(key) = &next.idempotency_key {
        body["idempotencyKey"] = json!(key);
    }
    ask(&next.id, "continue", &body, api, out).await
}

pub(super) async fn diff(diff: &Diff, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let page = if out.json { "diff.json" } else { "diff.txt" };
    let request = api.request(Method::GET, &[page]).query(&[("a", &diff.a), ("b", &diff.b)]);
    if out.json {
        out.document(&api.json(request).await?, false);
        return Ok(Exit::Ok);
    }
    let answer = api.send(request.timeout(std::time::Duration::from_secs(30))).await?;
    let answer = answer
        .text()
        .await
        .map_err(|error| Failure::new(Exit::NoServer, "the server's answer broke off").because(error))?;
    out.say(text::lines(answer.trim_end()));
    Ok(Exit::Ok)
}

async fn begin(
    id: &str,
    way: &str,
    mut body: Value,
    other: &Other,
    api: &Api,
    out: Terminal,
) -> Result<Exit, Failure> {
    let all =
        [("model", &other.model), ("prompt", &other.prompt), ("idempotencyKey", &other.idempotency_key)];
    for (field, text) in all {
        if let Some(text) = text {
            body[field] = json!(text);
        }
    }
    ask(id, way, &body, api, out).await
}

async fn ask(id: &str, way: &str, body: &Value, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let request = api.request(Method::POST, &["api", "v1", "executions", id, way]).json(body);
    let answer = api.json(request).await.map_err(|failure| name_execution(failure, id))?;
    if out.json {
        out.document(&answer, false);
        return Ok(Exit::Ok);
    }
    let new = answer["executionId"].as_str().unwrap_or_default();
    out.say(format!("{new}  goes on from {id}"));
    out.note(format!("watch it: tenure agent stream {new}"));
    Ok(Exit::Ok)
}
