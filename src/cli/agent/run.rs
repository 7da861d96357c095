//! `tenure agent run`: start a run and watch it.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::{file, name_agent, watch};
use crate::cli::{
    api::Api,
    failure::{Exit, Failure},
    terminal::{Ink, Terminal},
    text,
};

/// Flags of `agent run`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("agent").required(true))]
pub struct Run {
    /// What to ask the agent
    #[arg(value_name = "PROMPT")]
    prompt: Vec<String>,
    /// Run the agent in this JSON or YAML file
    #[arg(long, value_name = "FILE", group = "agent")]
    config: Option<PathBuf>,
    /// Run this deployed agent
    #[arg(long, value_name = "NAME", group = "agent")]
    name: Option<String>,
    /// Group the run under this session
    #[arg(long, value_name = "ID", default_value = "")]
    session: String,
    /// Print the execution's id and don't wait for it
    #[arg(long)]
    no_stream: bool,
    /// Start at most one run with this key: a second start finds the first one
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// End the run after this long, such as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = text::parse_duration)]
    timeout: Option<Duration>,
    /// Print what the model says while it says it, too
    #[arg(long, conflicts_with = "no_stream")]
    tokens: bool,
}

pub(super) async fn run(run: &Run, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let agent = match (&run.config, &run.name) {
        (Some(path), _) => file::read(path)?,
        (None, Some(name)) => {
            api.get(&["api", "agent", name]).await.map_err(|failure| name_agent(failure, name))?
        }
        (None, None) => return Err(Failure::usage("say which agent: --config FILE or --name NAME")),
    };
    let started = api.post(&["api", "agent", "start"], &request(run, &agent)).await?;
    let Some(id) = started["executionId"].as_str() else {
        return Err(Failure::new(Exit::Failed, "the server started the run but did not say its id"));
    };
    if run.no_stream {
        if out.json {
            out.document(&started, false);
        } else {
            out.say(text::line(id, 100));
        }
        return Ok(Exit::Ok);
    }
    if out.json {
        out.document(&started, true);
    } else {
        let name = text::line(started["agentName"].as_str().unwrap_or_default(), 80);
        out.say(format!("{}  execution {}", out.paint(Ink::Strong, &name), text::line(id, 100)));
    }
    watch::follow(api, out, id, None, run.tokens).await
}

fn request(run: &Run, agent: &Value) -> Value {
    let mut request = json!({
        "agentConfig": agent, "prompt": run.prompt.join(" "), "sessionId": run.session, "media": [],
    });
    if let Some(key) = &run.idempotency_key {
        request["idempotencyKey"] = json!(key);
    }
    if let Some(name) = crate::cli::env("USER") {
        request["requestedBy"] = json!(name);
    }
    if let Some(timeout) = run.timeout {
        request["timeoutSeconds"] = json!(timeout.as_secs().max(1));
    }
    request
}
