//! Commands that a run obeys: respond, cancel, pause, resume, stop, signal.

use clap::{ArgGroup, Args};
use reqwest::Method;
use serde_json::{Value, json};

use super::name_execution;
use crate::cli::{
    api::Api,
    failure::{Exit, Failure},
    terminal::Terminal,
};

/// A run.
#[derive(Debug, Args)]
pub struct Target {
    /// The execution
    #[arg(value_name = "ID")]
    id: String,
}

/// Flags of `agent respond`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("answer").required(true).multiple(true).args(["approve", "deny", "message"]))]
pub struct Respond {
    /// The execution
    #[arg(value_name = "ID")]
    id: String,
    /// Say yes
    #[arg(long, conflicts_with = "deny")]
    approve: bool,
    /// Say no
    #[arg(long, visible_alias = "reject")]
    deny: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Say something else, to a run that asked for more than yes or no
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
}

/// Flags of `agent cancel`.
#[derive(Debug, Args)]
pub struct Cancel {
    /// The execution
    #[arg(value_name = "ID")]
    id: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Flags of `agent send`.
#[derive(Debug, Args)]
pub struct Send {
    /// The execution
    #[arg(value_name = "ID")]
    id: String,
    /// A JSON object, sent as it is, or words, sent as {"message": …}
    #[arg(value_name = "MESSAGE")]
    message: String,
}

/// Flags of `agent signal`.
#[derive(Debug, Args)]
pub struct Signal {
    /// The execution
    #[arg(value_name = "ID")]
    id: String,
    /// What its model shall read; an empty text takes back what was said before
    #[arg(value_name = "MESSAGE")]
    message: String,
}

pub(super) async fn respond(respond: &Respond, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let request = api.request(Method::POST, &["api", "agent", &respond.id, "respond"]).json(&answer(respond));
    let said = match (respond.approve, respond.deny) {
        (true, _) => "approved",
        (_, true) => "denied",
        _ => "answered",
    };
    order(request, &respond.id, said, api, out).await
}

fn answer(respond: &Respond) -> Value {
    let mut answer = json!({});
    if respond.approve || respond.deny {
        answer["approved"] = json!(respond.approve);
    }
    for (key, text) in [("reason", &respond.reason), ("message", &respond.message)] {
        if let Some(text) = text {
            answer[key] = json!(text);
        }
    }
    answer
}

pub(super) async fn cancel(cancel: &Cancel, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let request = api.request(Method::DELETE, &["api", "agent", &cancel.id, "cancel"]);
    let request = request.query(&cancel.reason.as_deref().map(|reason| [("reason", reason)]));
    order(request, &cancel.id, "cancelled", api, out).await
}

pub(super) async fn pause(target: &Target, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let request = api.request(Method::PUT, &["api", "agent", &target.id, "pause"]);
    order(request, &target.id, "paused", api, out).await
}

pub(super) async fn resume(target: &Target, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let request = api.request(Method::PUT, &["api", "agent", &target.id, "resume"]);
    order(request, &target.id, "resumed", api, out).await
}

pub(super) async fn stop(target: &Target, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let request = api.request(Method::POST, &["api", "agent", &target.id, "stop"]);
    order(request, &target.id, "stopping after this turn", api, out).await
}

pub(super) async fn send(send: &Send, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let request = api.request(Method::POST, &["api", "workflow", &send.id, "messages"]);
    order(request.json(&payload(&send.message)), &send.id, "sent", api, out).await
}

fn payload(typed: &str) -> Value {
    match serde_json::from_str(typed) {
        Ok(object @ Value::Object(_)) => object,
        _ => json!({ "message": typed }),
    }
}

pub(super) async fn signal(signal: &Signal, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let request = api.request(Method::POST, &["api", "agent", &signal.id, "signal"]);
    order(request.json(&json!({"message": signal.message})), &signal.id, "told", api, out).await
}

async fn order(
    request: reqwest::RequestBuilder,
    id: &str,
    done: &str,
    api: &Api,
    out: Terminal,
) -> Result<Exit, Failure> {
    api.send(request.timeout(std::time::Duration::from_secs(30))).await.map_err(|failure| {
        let failure = name_execution(failure, id);
        if failure.next.is_some() { failure } else { failure.next(format!("tenure agent status {id}")) }
    })?;
    if out.json {
        out.document(&json!({"executionId": id, "done": done}), false);
    } else {
        out.say(format!("{id}  {done}"));
    }
    Ok(Exit::Ok)
}
