//! `tenure queue …`: how queues stand, and stopping and letting go what they hand out.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    api::Api,
    failure::{Exit, Failure},
    terminal::Terminal,
    text,
};

/// Commands on queues.
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// How queues stand, longest wait first
    List,
    /// Hand out nothing of a queue until it is resumed; what workers have finishes, the rest waits
    Pause(Target),
    /// Hand out the work of a paused queue again
    Resume(Target),
}

/// A queue, and why something is done to it.
#[derive(Debug, Args)]
pub struct Target {
    /// The queue: a tool's name, or tenure.model for all model calls
    #[arg(value_name = "NAME")]
    name: String,
    /// Why; whoever asks what waits reads it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The queue's domain, for tools of stateful runs
    #[arg(long, value_name = "DOMAIN", default_value = "")]
    domain: String,
}

impl Queue {
    pub(super) async fn run(self, api: &Api, out: Terminal) -> Result<Exit, Failure> {
        match self {
            Self::List => list(api, out).await,
            Self::Pause(target) => switch(&target, "pause", api, out).await,
            Self::Resume(target) => switch(&target, "resume", api, out).await,
        }
    }
}

async fn list(api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let answer = api.get(&["api", "queues"]).await?;
    if out.json {
        out.document(&answer, false);
        return Ok(Exit::Ok);
    }
    let queues = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if queues.is_empty() {
        out.say("no queues");
        out.note("start a worker: tenure worker --queue NAME -- COMMAND");
        return Ok(Exit::Ok);
    }
    let header = ["QUEUE", "STATE", "READY", "LEASED", "DEFERRED", "OLDEST", "WORKERS", "NOTE"];
    out.table(&header, queues.iter().map(|queue| row(queue, Timestamp::now())));
    Ok(Exit::Ok)
}

fn row(queue: &Value, now: Timestamp) -> Vec<String> {
    let word = |key: &str| text::line(queue[key].as_str().unwrap_or_default(), 80);
    let name = match word("domain") {
        domain if domain.is_empty() => word("queue"),
        domain => format!("{} ({domain})", word("queue")),
    };
    let oldest = text::timestamp(&queue["oldestReady"]).map(|at| text::duration(text::since(at, now)));
    let note = if queue["paused"].is_object() { paused(queue) } else { String::new() };
    vec![
        name,
        word("state").replace('_', " "),
        queue["ready"].to_string(),
        queue["leased"].to_string(),
        queue["deferred"].to_string(),
        oldest.unwrap_or_default(),
        queue["liveWorkers"].to_string(),
        note,
    ]
}

/// Who paused it, since when and why.
fn paused(queue: &Value) -> String {
    let said = |key: &str| text::line(queue["paused"][key].as_str().unwrap_or_default(), 200);
    let reason = said("reason");
    let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
    format!("by {} since {}{reason}", said("by"), said("since"))
}

async fn switch(target: &Target, verb: &str, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let wish = json!({"domain": target.domain, "reason": target.reason, "by": super::env("USER")});
    let answer = api.post(&["api", "queues", &target.name, verb], &wish).await.map_err(|failure| {
        if failure.exit == Exit::NotFound {
            failure.next("tenure queue list shows the queues")
        } else {
            failure
        }
    })?;
    if out.json {
        out.document(&answer, false);
        return Ok(Exit::Ok);
    }
    let name = text::line(&target.name, 80);
    out.say(match (verb, answer["changed"] == true) {
        ("pause", true) => format!("{name}  paused {}", paused(&answer)),
        ("pause", false) => format!("{name}  was paused already {}", paused(&answer)),
        (_, true) => format!("{name}  resumed"),
        (_, false) => format!("{name}  was not paused"),
    });
    Ok(Exit::Ok)
}
