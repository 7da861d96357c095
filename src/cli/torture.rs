//! `tenure torture`: pulls the plug at every statement, and ends with a certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::{
    api::ServerUrl,
    failure::{Exit, Failure},
    terminal::{Ink, Terminal},
};
use crate::{
    postgres,
    torture::{
        self, Error, Place, Stage,
        proxy::Action,
        report::{About, Certificate},
        sink::Sink,
        world,
    },
    worker::{Context, Tool, ToolError, Worker, stop_signal},
};

/// Flags of `torture`.
#[derive(Debug, Args)]
pub struct Torture {
    /// A few points of each scenario instead of all
    #[arg(long)]
    quick: bool,
    /// Print the scenarios with their numbered statements, and play nothing
    #[arg(long)]
    list: bool,
    /// Play these scenarios only
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    scenario: Vec<String>,
    /// Play one statement of the scenario only: its number, or its name as in queue/take#2
    #[arg(long, value_name = "N", requires = "scenario")]
    point: Option<Place>,
    /// Let one thing only go wrong
    #[arg(long, value_name = "ACTION")]
    action: Option<Action>,
    /// Faults that fall at random in the storm
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    random: usize,
    /// What random choices begin with
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Points that are played at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    lanes: u8,
    /// Where the certificate goes
    #[arg(long, value_name = "DIR", default_value = "target/torture")]
    report: PathBuf,
    /// Add to the certificate that is there, of an earlier part
    #[arg(long)]
    add: bool,
    /// Also copy the certificate's text to this file
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "docs/certificate.md")]
    keep: Option<PathBuf>,
}

pub(super) async fn run(torture: Torture, out: Terminal) -> Result<Exit, Failure> {
    let mut interrupted = std::pin::pin!(stop_signal());
    tokio::select! {
        done = play(torture, out) => done,
        () = &mut interrupted => Err(Failure::new(Exit::Interrupted, "the torture was interrupted")),
    }
}

async fn play(torture: Torture, out: Terminal) -> Result<Exit, Failure> {
    let began = (Instant::now(), jiff::Timestamp::now());
    let stage = Stage::set(&postgres::Options::default()).await.map_err(failure)?;
    let options = torture::Options {
        scenarios: torture.scenario.clone(),
        point: torture.point.clone(),
        action: torture.action,
        quick: torture.quick,
        seed: torture.seed,
        lanes: torture.lanes.into(),
        tell: Arc::new(move |line: &str| out.note(line)),
        verbose: torture.point.is_some(),
    };
    if torture.list {
        return list(&stage, &options, out).await;
    }
    let (ours, theirs): (Vec<_>, Vec<_>) =
        torture.scenario.iter().cloned().partition(|name| !is_of_world(name));
    let (mut sections, mut violations) = (vec![], vec![]);
    if theirs.is_empty() || !ours.is_empty() {
        let options = torture::Options { scenarios: ours.clone(), ..options.clone() };
        (sections, violations) = torture::exhaust(&stage, &options).await.map_err(failure)?;
    }
    if (ours.is_empty() || !theirs.is_empty()) && torture.action.is_none() {
        let world = world::Options {
            only: theirs,
            random: torture.random,
            quick: torture.quick,
            seed: torture.seed,
            pg_bin: std::env::var_os("TENURE_PG_BIN").map(PathBuf::from),
            tell: options.tell.clone(),
        };
        let (more, wrong) = world::play(&world).await.map_err(failure)?;
        sections.extend(more);
        violations.extend(wrong);
    }
    let about = About {
        tenure: version().await,
        postgres: stage.version().await.map_err(failure)?,
        system: system(),
        machine: machine(),
        command: command(),
        seed: torture.seed,
        began: began.1.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        took_secs: began.0.elapsed().as_secs(),
    };
    let mut certificate = Certificate { about, sections, violations };
    if torture.add {
        certificate.add_to(&torture.report).map_err(failure)?;
    }
    certificate.write(&torture.report).map_err(failure)?;
    if let Some(file) = &torture.keep {
        let text = torture.report.join("certificate.md");
        std::fs::copy(&text, file)
            .map_err(|e| Failure::new(Exit::Failed, format!("can't write {}: {e}", file.display())))?;
    }
    show(&certificate, &torture.report, out);
    Ok(if certificate.violations.is_empty() { Exit::Ok } else { Exit::Failed })
}

fn is_of_world(name: &str) -> bool {
    world::names().any(|(known, _)| known == name)
}

async fn list(stage: &Stage, options: &torture::Options, out: Terminal) -> Result<Exit, Failure> {
    let found = torture::numbered(stage, options).await.map_err(failure)?;
    if out.json {
        let scenarios: Vec<_> = found
            .iter()
            .map(|(s, statements)| json!({ "name": s.name, "about": s.about, "statements": statements }))
            .collect();
        out.document(&json!(scenarios), false);
        return Ok(Exit::Ok);
    }
    for (scenario, statements) in found {
        out.say(format!("{}: {}", out.paint(Ink::Strong, scenario.name), scenario.about));
        for (at, statement) in statements.iter().enumerate() {
            let again =
                if statement.occurrence > 1 { format!(" ({})", statement.occurrence) } else { String::new() };
            out.say(format!("  {:>3}  {}{again}", at + 1, statement.name));
        }
    }
    Ok(Exit::Ok)
}

fn show(certificate: &Certificate, report: &Path, out: Terminal) {
    if out.json {
        return out.document(&json!(certificate), false);
    }
    let header =
        ["SCENARIO", "STATEMENTS", "POINTS", "NOT REACHED", "VIOLATIONS", "P50 MS", "P99 MS", "SLOWEST MS"];
    let rows = certificate.sections.iter().map(|s| {
        let recovery = s.recovery();
        let numbers = [
            s.statements as u64,
            s.points() as u64,
            s.unreached() as u64,
            s.violations() as u64,
            recovery.p50_ms,
            recovery.p99_ms,
            recovery.max_ms,
        ];
        std::iter::once(s.name.clone()).chain(numbers.map(|n| n.to_string())).collect()
    });
    out.table(&header, rows);
    for violation in &certificate.violations {
        out.say(format!("\n{} {}", out.paint(Ink::Bad, "violation:"), violation.about));
        for wrong in &violation.wrong {
            out.say(format!("  {wrong}"));
        }
        out.say(format!("  again: {}", violation.reproduce));
    }
    let verdict = match certificate.violations.len() {
        0 => out.paint(Ink::Good, "no violation"),
        many => out.paint(Ink::Bad, &format!("{many} points with a violation")),
    };
    out.say(format!("\n{} points in {} s: {verdict}", certificate.points(), certificate.about.took_secs));
    out.say(format!("the certificate is {}", report.join("certificate.html").display()));
}

fn failure(error: Error) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

/// This version, with the commit of the clone that this is run in.
async fn version() -> String {
    let mut version = env!("CARGO_PKG_VERSION").to_owned();
    let described = tokio::process::Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .output()
        .await;
    if let Some(commit) = described.ok().filter(|done| done.status.success()) {
        version = format!("{version}, commit {}", String::from_utf8_lossy(&commit.stdout).trim());
    }
    version
}

fn system() -> String {
    let uname = rustix::system::uname();
    let parts = [uname.sysname(), uname.release(), uname.machine()];
    parts.map(|part| part.to_string_lossy().into_owned()).join(" ")
}

fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let read = |file: &str, field: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.split_once(':'));
        line.map(|(_, value)| value.trim().to_owned())
    };
    let model = read("/proc/cpuinfo", "model name").map(|model| format!(" ({model})")).unwrap_or_default();
    let memory = read("/proc/meminfo", "MemTotal").and_then(|kb| kb.split(' ').next()?.parse::<u64>().ok());
    let memory = memory.map(|kb| format!(", {} GB of memory", kb / 1_048_576)).unwrap_or_default();
    format!("{processors} processors{model}{memory}")
}

/// The line that this was started with.
fn command() -> String {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    format!("tenure {}", arguments.join(" "))
}

/// Flags of `torture-worker`.
#[derive(Debug, Args)]
pub struct TortureWorker {
    /// The file that each performance is added to
    #[arg(long, value_name = "FILE")]
    sink: PathBuf,
    /// Its tools
    #[arg(long, value_name = "NAME", default_value = "work")]
    tool: Vec<String>,
    /// How long a call takes that does not say it itself
    #[arg(long, value_name = "MS", default_value_t = 10)]
    call_ms: u64,
    /// Calls at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    concurrency: usize,
}

/// What a call may ask for.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Wish {
    /// Take this long.
    millis: Option<u64>,
    /// Fail at so many first attempts.
    fails: u32,
    /// Fail for good.
    fatal: bool,
    /// Do not come back from the first attempt.
    hangs: bool,
}

/// A worker whose only effects are lines in a file.
pub(super) async fn worker(flags: TortureWorker, server: &ServerUrl) -> Result<Exit, Failure> {
    let (sink, takes) = (Sink::at(&flags.sink), Duration::from_millis(flags.call_ms));
    let mut worker = Worker::new(server.to_string()).concurrency(flags.concurrency);
    for name in flags.tool {
        let sink = sink.clone();
        let tool = Tool::new(name, move |wish: Wish, call: Context| {
            let sink = sink.clone();
            async move {
                sink.perform(&call.idempotency_key, &call.attempt_id)?;
                let hangs = (wish.hangs && call.attempt == 1).then_some(Duration::from_hours(1));
                let takes = hangs.or(wish.millis.map(Duration::from_millis)).unwrap_or(takes);
                tokio::time::sleep(takes).await;
                if wish.fatal {
                    return Err(ToolError::terminal("it was told to"));
                }
                if call.attempt <= wish.fails {
                    return Err(ToolError::retryable("it was told to, and it may go better next time"));
                }
                Ok(json!({ "ok": true }))
            }
        });
        worker = worker.with(tool.lease(Duration::from_secs(1)));
    }
    worker
        .run_until(stop_signal())
        .await
        .map(|()| Exit::Ok)
        .map_err(|error| Failure::usage(error.to_string()))
}
