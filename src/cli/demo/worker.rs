//! The demo's tool worker, a process of its own: `tenure demo-worker`. It says on standard output when a call begins
//! and ends, so that the demo can kill it in the middle.

use std::{io::Write, time::Duration};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{
    cli::{
        api::ServerUrl,
        failure::{Exit, Failure},
    },
    worker::{Context, Tool, ToolError, Worker, stop_signal},
};

/// The tool's name.
pub(super) const TOOL: &str = "fetch_incident_context";
/// What it says when a call begins, before the attempt's id.
pub(super) const BEGAN: &str = "began ";
/// What it says when a call has ended, before the attempt's id.
pub(super) const ENDED: &str = "ended ";

/// Flags of `demo-worker`.
#[derive(Debug, Args)]
pub struct DemoWorker {
    /// How long a lease lasts without a sign of life
    #[arg(long, value_name = "SECS", default_value_t = 3)]
    lease_secs: u64,
    /// How long a call takes
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    call_ms: u64,
}

#[derive(Deserialize)]
struct Question {
    service: String,
    #[serde(default = "a_quarter_of_an_hour")]
    window_minutes: u32,
}

fn a_quarter_of_an_hour() -> u32 {
    15
}

#[derive(Serialize)]
struct Incident {
    service: String,
    window_minutes: u32,
    severity: &'static str,
    error_rate_pct: f64,
    p95_latency_ms: u32,
    conversion_drop_pct: f64,
    recent_deploy_id: &'static str,
    deploy_author: &'static str,
    top_signal: &'static str,
    recommended_action: &'static str,
}

fn incident(question: Question) -> Incident {
    Incident {
        service: question.service,
        window_minutes: question.window_minutes,
        severity: "sev2",
        error_rate_pct: 22.7,
        p95_latency_ms: 3_870,
        conversion_drop_pct: 26.4,
        recent_deploy_id: "rel-2207",
        deploy_author: "mkowalski",
        top_signal: "payment timeouts rose within two minutes of rel-2207 reaching all hosts",
        recommended_action: "roll back rel-2207, hold further releases, watch the error rate for ten minutes",
    }
}

pub(in crate::cli) async fn run(worker: DemoWorker, server: &ServerUrl) -> Result<Exit, Failure> {
    let takes = Duration::from_millis(worker.call_ms);
    let tool = Tool::new(TOOL, move |question: Question, call: Context| async move {
        say(BEGAN, &call)?;
        tokio::time::sleep(takes).await; // A slow monitoring system.
        say(ENDED, &call)?;
        Ok(incident(question))
    });
    Worker::new(server.to_string())
        .with(tool.lease(Duration::from_secs(worker.lease_secs)))
        .run_until(stop_signal())
        .await
        .map(|()| Exit::Ok)
        .map_err(|error| Failure::usage(error.to_string()))
}

fn say(what: &str, call: &Context) -> Result<(), ToolError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}{}", call.attempt_id)?;
    Ok(out.flush()?)
}
