//! Others beside ours, on the same machine and Postgres: programs that do the same, as `benches/peers` has them.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Say, Scale, Seen, door, served};
use crate::bench::gauge::Reading;
use crate::bench::load::Plan;
use crate::bench::report::{Figure, Goal};
use crate::bench::{Error, rig::Rig};

/// How long a peer may take to begin and to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a peer did in one round, and its name.
struct Peer {
    name: String,
    seen: Seen,
}

/// Ours with 64 runs at the same time, and then each of `commands`, in turns.
pub async fn measure(
    rig: &Rig,
    scale: Scale,
    commands: &[String],
    say: Say<'_>,
) -> Result<Vec<Figure>, Error> {
    let mut ours = vec![];
    let mut peers: Vec<Vec<Peer>> = commands.iter().map(|_| vec![]).collect();
    for round in 1..=scale.rounds {
        ours.push(served(rig, |server| Plan::ten(door(server), 64), scale.window).await?);
        rig.forget().await?;
        for (command, rounds) in commands.iter().zip(&mut peers) {
            let peer = beside(rig, scale, command).await?;
            say(&format!("  round {round}: {} {:.0} steps/s", peer.name, peer.seen.steps_per_second()));
            rounds.push(peer);
        }
    }
    let mut figures = of_one("tenure", ours.iter());
    for rounds in &peers {
        let name = rounds.first().map_or("nobody", |p| p.name.as_str());
        let ratio = ours.iter().zip(rounds).map(|(o, p)| o.steps_per_second() / p.seen.steps_per_second());
        figures.push(
            Figure::new("peers", format!("tenure beside {name}"), "×", Goal::None, ratio.collect()).note(
                "ours crosses HTTP for every call of a tool; theirs runs in one process with its steps",
            ),
        );
        figures.extend(of_one(name, rounds.iter().map(|p| &p.seen)));
    }
    Ok(figures)
}

fn of_one<'a>(name: &str, rounds: impl Iterator<Item = &'a Seen> + Clone) -> Vec<Figure> {
    let figure = |what: &str, unit, of: fn(&Seen) -> f64| {
        Figure::new("peers", format!("{name}{what}"), unit, Goal::None, rounds.clone().map(of).collect())
    };
    vec![
        figure(", 64 runs of 21 steps at the same time", "steps/s", Seen::steps_per_second),
        figure(": WAL of Postgres per step", "B", |s| s.used.wal / s.steps),
        figure(": fsyncs of that per step", "", |s| s.used.syncs / s.steps),
        figure(": transactions per step", "", |s| s.used.commits / s.steps),
        figure(": processor time of Postgres per step", "ms", |s| 1000.0 * s.used.postgres / s.steps),
    ]
}

/// Run a peer on an empty database of this Postgres. It says `{"begin": NAME}` when it is warm, and `{"steps": N}` when the
/// time is over.
async fn beside(rig: &Rig, scale: Scale, command: &str) -> Result<Peer, Error> {
    rig.db.batch_execute("drop database if exists bench_peer with (force)").await?;
    rig.db.batch_execute("create database bench_peer").await?;
    let mut config = rig.cluster.config().clone();
    config.dbname("bench_peer");
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("DATABASE_URL", config.url())
        .env("BENCH_SECONDS", scale.window.as_secs_f64().to_string())
        .env("BENCH_PORT", crate::ports::claim()?.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let name = said(&mut lines, "begin", command, PATIENCE).await?;
    let before = Reading::take(&rig.db, child.id().unwrap_or_default()).await?;
    let steps = said(&mut lines, "steps", command, scale.window + PATIENCE).await?;
    let after = Reading::take(&rig.db, child.id().unwrap_or_default()).await?;
    if timeout(PATIENCE, child.wait()).await.is_err() {
        child.kill().await?;
    }
    let name = name.as_str().unwrap_or("a peer").to_owned();
    let steps = steps.as_f64().ok_or_else(|| format!("`{command}` counts no steps: {steps}"))?;
    Ok(Peer { name, seen: Seen { used: before.until(&after), steps, ..Seen::default() } })
}

/// What the next line with `key` says of it.
async fn said(
    lines: &mut Lines<BufReader<ChildStdout>>,
    key: &str,
    command: &str,
    patience: Duration,
) -> Result<Value, Error> {
    let until = Instant::now() + patience;
    while let Ok(Some(line)) = timeout_at(until, lines.next_line()).await.unwrap_or(Ok(None)) {
        let line: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(value) = line.get(key) {
            return Ok(value.clone());
        }
    }
    Err(format!("`{command}` said nothing, or ended without a line {{\"{key}\": …}}; does it run by itself?")
        .into())
}
