//! The demo's tool workers, each a process of its own: `tenure demo-worker`. It says on standard output when a call begins
//! and ends, so that the demo can kill it in the middle.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{
    cli::{
        api::ServerUrl,
        failure::{Exit, Failure},
    },
    worker::{Context, Tool, ToolError, Worker, stop_signal},
};

/// The tool that looks at incidents.
pub(super) const TOOL: &str = "fetch_incident_context";
/// The tool that pays money back.
pub(super) const REFUND: &str = "refund";
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
    /// Pay money back instead, and write each payment into this file
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
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

#[derive(Deserialize)]
struct Refund {
    order: String,
    amount: f64,
}

#[derive(Serialize)]
struct Receipt {
    order: String,
    amount: f64,
    was_paid_before: bool,
}

/// Pay, like a bank that takes each key once: a payment that stands in the ledger is not made again.
fn pay(ledger: &Path, refund: &Refund, call: &Context) -> Result<Receipt, ToolError> {
    let key = &call.idempotency_key;
    let payments = std::fs::read_to_string(ledger).unwrap_or_default();
    let was_paid_before = payments.lines().any(|line| line.split(' ').next() == Some(key));
    if !was_paid_before {
        let mut file = File::options().create(true).append(true).open(ledger)?;
        writeln!(file, "{key} order {} amount {}", refund.order, refund.amount)?;
    }
    Ok(Receipt { order: refund.order.clone(), amount: refund.amount, was_paid_before })
}

pub(in crate::cli) async fn run(worker: DemoWorker, server: &ServerUrl) -> Result<Exit, Failure> {
    let takes = Duration::from_millis(worker.call_ms);
    let tool = match worker.ledger {
        None => Tool::new(TOOL, move |question: Question, call: Context| async move {
            say(BEGAN, &call)?;
            tokio::time::sleep(takes).await; // A slow monitoring system.
            say(ENDED, &call)?;
            Ok(incident(question))
        }),
        Some(ledger) => Tool::new(REFUND, move |refund: Refund, call: Context| {
            let ledger = ledger.clone();
            async move {
                let receipt = pay(&ledger, &refund, &call)?;
                say(BEGAN, &call)?;
                tokio::time::sleep(takes).await; // A slow bank.
                say(ENDED, &call)?;
                Ok(receipt)
            }
        }),
    };
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
