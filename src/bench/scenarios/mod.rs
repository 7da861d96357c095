//! What is measured, one file for what belongs together.

mod backlog;
mod engine;
mod latency;
mod memory;
mod neighbours;
mod payload;
mod peers;
mod streams;
mod turns;

use std::time::Duration;

use super::gauge::{Reading, Used};
use super::load::{Load, Plan, door};
use super::report::Figure;
use super::{Error, Options, rig::Rig};

/// Takes a line about how it goes.
pub type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// Sizes that `--quick` makes small.
#[derive(Debug, Clone, Copy)]
struct Scale {
    rounds: usize,
    window: Duration,
    quick: bool,
}

/// Measure everything that is wanted.
pub async fn run(rig: &Rig, options: &Options, say: Say<'_>) -> Vec<Figure> {
    let scale = if options.quick {
        Scale { rounds: 1, window: Duration::from_millis(800), quick: true }
    } else {
        Scale { rounds: options.rounds.max(1), window: Duration::from_secs(5), quick: false }
    };
    let mut figures = vec![];
    let mut keep = |scenario: &'static str, measured: Result<Vec<Figure>, Error>| match measured {
        Ok(measured) => figures.extend(measured),
        // The others are measured all the same.
        Err(error) => figures.push(Figure::failed(scenario, &error)),
    };
    if options.wants("G8") || options.wants("G7") {
        say("G7, G8: one run at a time beside one commit at a time");
        keep("G8", latency::measure(rig, scale, options).await);
    }
    if options.wants("G4") || options.wants("G5") {
        say("G4, G5: many workers beside plain statements");
        keep("G4", engine::limits(rig, scale, say).await);
    }
    if options.wants("G1") || options.wants("G11") {
        say("G1, G11: 64 workers, and what a step costs");
        keep("G11", engine::costs(rig, scale, options.statements.then_some(say)).await);
    }
    if !options.peer.is_empty() {
        say("peers: others that do the same");
        keep("peers", peers::measure(rig, scale, &options.peer, say).await);
    }
    if options.wants("turns") {
        say("turns: one run that goes on and on");
        keep("turns", turns::measure(rig, scale).await);
    }
    if options.wants("G17") {
        say("G17: results of 32 kB");
        keep("G17", payload::measure(rig, scale).await);
    }
    if options.wants("G16") {
        say("G16: more servers that listen");
        keep("G16", neighbours::listeners(rig, scale).await);
    }
    if options.wants("G15") {
        say("G15: old runs are deleted meanwhile");
        keep("G15", neighbours::retention(rig, scale).await);
    }
    if options.wants("G18") {
        say("G18: a bulk job meanwhile");
        keep("G18", neighbours::bulk(rig, scale).await);
    }
    if options.wants("G10") {
        say("G10: a snapshot is held open");
        let hold = if options.quick { 4 } else { options.hold };
        keep("G10", backlog::snapshot(rig, scale, Duration::from_secs(hold)).await);
    }
    if options.wants("G12") {
        say("G12: what the server has in memory");
        keep("G12", memory::measure(rig, scale).await);
    }
    if options.wants("streams") {
        say("streams: many clients that watch runs");
        keep("streams", streams::measure(rig, scale).await);
    }
    if options.wants("G9") {
        say("G9: claims from a long queue");
        keep("G9", backlog::depth(rig, scale).await);
    }
    figures
}

/// What a load did while it was watched.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    used: Used,
    /// Attempts whose outcome was committed.
    steps: f64,
    /// Those of workers.
    calls: f64,
    /// How long reports took, shortest first.
    acknowledged: Vec<Duration>,
}

impl Seen {
    fn steps_per_second(&self) -> f64 {
        self.steps / self.used.seconds
    }

    fn runs_per_second(&self) -> f64 {
        self.calls / f64::from(super::rig::CALLS) / self.used.seconds
    }
}

/// Watch a load that goes on, for a while. `server` is the process that does our part.
async fn watch(rig: &Rig, load: &Load, server: u32, long: Duration) -> Result<Seen, Error> {
    load.acknowledged();
    let before = Reading::take(&rig.db, server).await?;
    tokio::time::sleep(long).await;
    let after = Reading::take(&rig.db, server).await?;
    let acknowledged = load.acknowledged();
    let counted = rig.db.query_one(include_str!("../sql/steps.sql"), &[&before.at, &after.at]).await?;
    Ok(Seen { used: before.until(&after), steps: counted.get(0), calls: counted.get(1), acknowledged })
}

/// One load on a new server and empty tables: warmed up, watched, ended.
async fn served(
    rig: &Rig,
    plan: impl FnOnce(&super::rig::Server) -> Plan,
    long: Duration,
) -> Result<Seen, Error> {
    rig.forget().await?;
    let server = rig.serve().await?;
    let load = plan(&server).start();
    tokio::time::sleep(long / 3).await;
    let seen = watch(rig, &load, server.pid, long).await?;
    load.stop().await?;
    server.stop().await?;
    Ok(seen)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The sample at a share of all of them, in milliseconds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list of samples"
)]
fn at(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * share).round() as usize).map_or(f64::NAN, |t| millis(*t))
}
