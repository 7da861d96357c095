//! `tenure agent status ID`: what a run is doing, what it waits for, its output when it is done.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::name_execution;
use crate::cli::{
    api::Api,
    failure::{Exit, Failure},
    terminal::{Ink, Terminal},
    text,
    why::{self, Reason},
};

/// Time between two looks with `--watch`.
const LOOK: Duration = Duration::from_secs(1);

/// Flags of `agent status`.
#[derive(Debug, Args)]
pub struct Status {
    /// The execution
    #[arg(value_name = "ID")]
    id: String,
    /// Look again each second until the run is over; ends as the run ends
    #[arg(long)]
    watch: bool,
}

/// An execution as it is now.
#[derive(Debug)]
pub(in crate::cli) struct Snapshot {
    /// The server's own description.
    pub detail: Value,
    /// When it began and, if it did, ended.
    pub times: (Option<Timestamp>, Option<Timestamp>),
    /// Why it isn't moving.
    pub reasons: Vec<Reason>,
}

impl Snapshot {
    /// Ask the server.
    pub async fn fetch(api: &Api, id: &str) -> Result<Self, Failure> {
        let description = ["api", "agent", "executions", id];
        let usage = ["api", "agent", "execution", id];
        let (detail, usage, reasons) =
            futures_util::join!(api.get(&description), api.get(&usage), why::reasons(api, id));
        let detail = detail.map_err(|failure| name_execution(failure, id))?;
        let usage = usage.unwrap_or_default(); // Only the times are wanted of it, and they are not essential.
        let time = |key: &str| text::timestamp(&detail[key]).or_else(|| text::timestamp(&usage[key]));
        let times = (time("startTime").or_else(|| born(id)), time("endTime"));
        Ok(Self { detail, times, reasons: reasons? })
    }

    /// `RUNNING`, `COMPLETED`, …
    pub fn status(&self) -> &str {
        self.detail["status"].as_str().unwrap_or_default()
    }

    /// True when nothing more will happen.
    pub fn is_over(&self) -> bool {
        matches!(self.status(), "COMPLETED" | "FAILED" | "TERMINATED" | "TIMED_OUT")
    }

    /// How long it has run, or ran.
    fn elapsed(&self, now: Timestamp) -> Option<Duration> {
        let (began, ended) = self.times;
        if self.is_over() && ended.is_none() {
            return None;
        }
        Some(text::since(began?, ended.unwrap_or(now)))
    }

    fn current_task(&self) -> Option<String> {
        let task = &self.detail["currentTask"];
        let word = |key: &str| text::line(task[key].as_str().unwrap_or_default(), 100);
        task.is_object()
            .then(|| format!("{} ({}, {})", word("taskType"), word("status"), word("taskRefName")))
    }

    fn as_json(&self, now: Timestamp) -> Value {
        let mut json = self.detail.clone();
        json["startedAt"] = json!(self.times.0.map(|t| t.to_string()));
        json["endedAt"] = json!(self.times.1.map(|t| t.to_string()));
        json["elapsedMs"] = json!(self.elapsed(now).map(|d| d.as_millis()));
        json["waitingFor"] = why::as_json(&self.reasons);
        json
    }

    pub fn show(&self, out: Terminal, now: Timestamp) {
        if out.json {
            return out.document(&self.as_json(now), false);
        }
        let field = |name: &str, value: &str| out.say(format!("{:<14}{value}", format!("{name}:")));
        let word = |key: &str| text::line(self.detail[key].as_str().unwrap_or_default(), 120);
        field("Execution", &word("executionId"));
        let version = self.detail["version"].as_u64().map(|version| format!(" (version {version})"));
        field("Agent", &format!("{}{}", word("agentName"), version.unwrap_or_default()));
        field("Status", &out.status(self.status()));
        if let Some(task) = self.current_task() {
            field("Current Task", &task);
        }
        if let Some(elapsed) = self.elapsed(now) {
            field("Elapsed", &text::duration(elapsed));
        }
        for reason in &self.reasons {
            field("Waiting for", &reason.sentence(now));
            if let Some(hint) = &reason.hint {
                out.say(format!("{:<14}{}", "", out.paint(Ink::Dim, hint)));
            }
        }
        if let Some(reason) = self.detail["reasonForIncompletion"].as_str() {
            field("Reason", &text::line(reason, 500));
        }
        if let Some(result) = self.is_over().then(|| result(&self.detail["output"])).flatten() {
            field("Output", &result.replace('\n', &format!("\n{:<14}", "")));
        }
    }
}

/// When an execution with this id began, for servers that don't say it: version 7 ids contain the time.
fn born(id: &str) -> Option<Timestamp> {
    let (secs, nanos) = id.parse::<uuid::Uuid>().ok()?.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(secs).ok()?, i32::try_from(nanos).ok()?).ok()
}

/// What a person wants to see of an output: its result if it has one, else all of it.
pub(in crate::cli) fn result(output: &Value) -> Option<String> {
    let shown = match output.get("result") {
        Some(result) if !result.is_null() => result,
        _ => output,
    };
    let text = text::value(shown);
    (!shown.is_null() && shown != &json!({}) && !text.is_empty()).then(|| text.trim_end().to_owned())
}

pub(super) async fn run(status: &Status, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    loop {
        let snapshot = Snapshot::fetch(api, &status.id).await?;
        if status.watch {
            out.redraw();
        }
        snapshot.show(out, Timestamp::now());
        match status.watch {
            false => return Ok(Exit::Ok),
            true if snapshot.is_over() => return Ok(Exit::of_status(snapshot.status())),
            true => sleep(LOOK).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_shown_by_its_result() {
        assert_eq!(
            result(&json!({"result": "summary: ok\n", "finishReason": "STOP"})).unwrap(),
            "summary: ok"
        );
        assert_eq!(
            result(&json!({"result": null, "x": 1})).unwrap(),
            "{\n  \"result\": null,\n  \"x\": 1\n}"
        );
        assert_eq!(result(&json!({})), None);
        assert_eq!(result(&Value::Null), None);
    }

    #[test]
    fn a_running_execution_counts_to_now_and_a_finished_one_to_its_end() {
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let now = at("2026-11-21T06:10:00Z").unwrap();
        let began = at("2026-11-21T06:00:00Z");
        let snapshot = |status: &str, ended| Snapshot {
            detail: json!({"status": status}),
            times: (began, ended),
            reasons: vec![],
        };
        assert_eq!(snapshot("RUNNING", None).elapsed(now), Some(Duration::from_mins(10)));
        assert_eq!(
            snapshot("COMPLETED", at("2026-11-21T06:00:03Z")).elapsed(now),
            Some(Duration::from_secs(3))
        );
        assert_eq!(snapshot("COMPLETED", None).elapsed(now), None);
    }
}
