//! `tenure agent execution`: the list of runs.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;
use tokio::time::sleep;

use crate::cli::{
    api::Api,
    failure::{Exit, Failure},
    terminal::{Ink, Terminal},
    text,
};

/// Time between two looks with `--watch`.
const LOOK: Duration = Duration::from_secs(1);

/// Flags of `agent execution`.
#[derive(Debug, Args)]
pub struct History {
    /// Runs of this agent only
    #[arg(long, value_name = "AGENT", default_value = "")]
    name: String,
    /// Runs with this status only: RUNNING, PAUSED, COMPLETED, FAILED, TERMINATED or `TIMED_OUT`
    #[arg(long, value_name = "STATUS", default_value = "")]
    status: String,
    /// Runs that began within this time, such as 30m, 1h, 7d or 1mo
    #[arg(long, value_name = "TIME", value_parser = text::parse_duration)]
    since: Option<Duration>,
    /// The same, written as now-1h or now-7d
    #[arg(long, value_name = "WINDOW", value_parser = window, conflicts_with = "since")]
    window: Option<Duration>,
    /// Runs to show
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Look again each second
    #[arg(long)]
    watch: bool,
}

fn window(text: &str) -> Result<Duration, String> {
    text::parse_duration(text.strip_prefix("now-").unwrap_or(text))
}

pub(super) async fn run(history: &History, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    loop {
        let answer = api.json(request(history, api, Timestamp::now())).await?;
        if history.watch {
            out.redraw();
        }
        show(&answer, out);
        if !history.watch {
            return Ok(Exit::Ok);
        }
        sleep(LOOK).await;
    }
}

fn request(history: &History, api: &Api, now: Timestamp) -> reqwest::RequestBuilder {
    let mut query = vec![
        ("start", "0".to_owned()),
        ("size", history.limit.to_string()),
        ("sort", "startTime:DESC".to_owned()),
    ];
    let status = history.status.to_ascii_uppercase();
    let words = [("agentName", &history.name), ("status", &status)];
    query
        .extend(words.iter().filter(|(_, word)| !word.is_empty()).map(|(key, word)| (*key, (*word).clone())));
    if let Some(age) = history.since.or(history.window) {
        let from =
            i128::from(now.as_millisecond()) - i128::try_from(age.as_millis()).unwrap_or(i128::MAX / 2);
        query.push(("freeText", format!("startTime:[{} TO *]", from.max(0))));
    }
    api.request(Method::GET, &["api", "agent", "executions"]).query(&query)
}

fn show(answer: &Value, out: Terminal) {
    if out.json {
        return out.document(answer, false);
    }
    let runs = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    if runs.is_empty() {
        out.say("no executions");
        return out.note("start one: tenure agent run --name AGENT \"prompt\"");
    }
    out.table(&["EXECUTION", "AGENT", "STATUS", "STARTED", "TOOK"], runs.iter().map(|run| row(run, out)));
    let total = answer["totalHits"].as_u64().unwrap_or_default();
    if total > runs.len() as u64 {
        out.say(out.paint(Ink::Dim, &format!("{} of {total}; more with --limit", runs.len())));
    }
}

fn row(run: &Value, out: Terminal) -> Vec<String> {
    let word = |key: &str| text::line(run[key].as_str().unwrap_or_default(), 80);
    let took = run["executionTime"].as_u64().filter(|_| !run["endTime"].is_null()).map(Duration::from_millis);
    let started =
        text::timestamp(&run["startTime"]).map(|time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string());
    vec![
        word("executionId"),
        word("agentName"),
        out.status(&word("status")),
        started.unwrap_or_default(),
        took.map(text::duration).unwrap_or_default(),
    ]
}
