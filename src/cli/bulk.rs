//! `tenure bulk …`: one action on every run that a filter matches.

mod retention;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    api::Api,
    failure::{Exit, Failure},
    terminal::Terminal,
    text,
};

/// Commands on bulk jobs.
#[derive(Debug, Subcommand)]
pub enum Bulk {
    /// Do something to every run that a filter matches; it goes on by itself
    Start(Start),
    /// The newest bulk jobs
    List,
    /// How a bulk job stands
    Show(Target),
    /// Begin nothing more of a bulk job; what is done stays done
    Cancel(Target),
    /// Which finished runs go, and when
    #[command(subcommand)]
    Retention(retention::Retention),
}

/// A bulk job that is wanted.
#[derive(Debug, Args)]
pub struct Start {
    /// What to do to each run
    #[arg(value_name = "ACTION", value_parser = ["pause", "resume", "stop", "cancel", "retry", "restart", "delete"])]
    action: String,
    /// Which runs, in the words of the list: status:failed agent:triage since:24h
    #[arg(value_name = "FILTER", required = true, num_args = 1..)]
    filter: Vec<String>,
    /// Why; whoever looks at those runs later reads it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Runs a second, at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rate: u16,
    /// With delete: only runs that ended so long ago, as 30d or 12h
    #[arg(long, value_name = "TIME")]
    keep: Option<String>,
    /// With delete: write each run to a file before, in the directory that the server has for that
    #[arg(long)]
    export: bool,
    /// Only say how many runs match
    #[arg(long)]
    dry_run: bool,
}

/// One bulk job.
#[derive(Debug, Args)]
pub struct Target {
    /// Its id
    #[arg(value_name = "ID")]
    id: String,
}

impl Bulk {
    pub(super) async fn run(self, api: &Api, out: Terminal) -> Result<Exit, Failure> {
        match self {
            Self::Start(start) => begin(&start, api, out).await,
            Self::List => list(api, out).await,
            Self::Show(target) => {
                let job = api.get(&["api", "v1", "bulk", &target.id]).await.map_err(name_jobs)?;
                Ok(show(&job, out))
            }
            Self::Cancel(target) => {
                let path = ["api", "v1", "bulk", &target.id, "cancel"];
                Ok(show(&api.post(&path, &json!({})).await.map_err(name_jobs)?, out))
            }
            Self::Retention(retention) => retention.run(api, out).await,
        }
    }
}

fn name_jobs(failure: Failure) -> Failure {
    if failure.exit == Exit::NotFound { failure.next("tenure bulk list shows the jobs") } else { failure }
}

async fn begin(start: &Start, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let wish = json!({
        "action": start.action, "filter": start.filter.join(" "), "reason": start.reason, "rate": start.rate,
        "by": super::env("USER"), "dryRun": start.dry_run, "keep": start.keep, "export": start.export,
    });
    let answer = api.post(&["api", "v1", "bulk"], &wish).await?;
    if out.json || !start.dry_run {
        let exit = show(&answer, out);
        if !out.json {
            out.note(format!(
                "how it goes: tenure bulk show {}",
                text::line(answer["id"].as_str().unwrap_or_default(), 40)
            ));
        }
        return Ok(exit);
    }
    let more = if answer["hasMore"] == true { " or more" } else { "" };
    out.say(format!("{}{more} runs match", answer["expected"]));
    Ok(Exit::Ok)
}

async fn list(api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let answer = api.get(&["api", "v1", "bulk"]).await?;
    if out.json {
        out.document(&answer, false);
        return Ok(Exit::Ok);
    }
    let jobs = answer["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    if jobs.is_empty() {
        out.say("no bulk jobs");
        out.note("begin one: tenure bulk start retry status:failed since:24h");
        return Ok(Exit::Ok);
    }
    let header = ["ID", "ACTION", "STATE", "DONE", "SKIPPED", "FAILED", "OF", "BY", "FILTER"];
    out.table(&header, jobs.iter().map(row));
    Ok(Exit::Ok)
}

fn row(job: &Value) -> Vec<String> {
    let word = |key: &str| text::line(job[key].as_str().unwrap_or_default(), 80);
    vec![
        word("id"),
        word("action"),
        word("state"),
        job["done"].to_string(),
        job["skipped"].to_string(),
        job["failed"].to_string(),
        expected(job),
        word("by"),
        word("filter"),
    ]
}

/// How many runs it is about, as far as that is known.
fn expected(job: &Value) -> String {
    job["expected"].as_i64().map_or_else(|| "many".to_owned(), |n| n.to_string())
}

fn show(job: &Value, out: Terminal) -> Exit {
    if out.json {
        out.document(job, false);
        return Exit::Ok;
    }
    let word = |key: &str| text::line(job[key].as_str().unwrap_or_default(), 300);
    out.say(format!("{}  {} {}", word("id"), word("action"), word("filter")));
    out.say(format!("{}: {}", word("state"), word("why")));
    out.say(format!(
        "{} of {} done, {} skipped, {} failed",
        job["done"],
        expected(job),
        job["skipped"],
        job["failed"]
    ));
    for (name, key) in [("newest of the others", "note"), ("reason", "reason"), ("by", "by")] {
        if !word(key).is_empty() {
            out.say(format!("{name}: {}", word(key)));
        }
    }
    Exit::Ok
}
