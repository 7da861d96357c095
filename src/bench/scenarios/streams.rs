//! What many clients cost that each watch a run: while nothing happens, and while everything does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Scale, millis};
use crate::bench::gauge::{self, Reading};
use crate::bench::http::Connection;
use crate::bench::load::{Plan, door, start_run};
use crate::bench::report::{Figure, Goal};
use crate::bench::rig::{Agent, CALLS};
use crate::bench::{Error, rig::Rig};

/// Frames of a run with ten calls: a thought, a call and its result each turn, a thought and the end.
const FRAMES: usize = CALLS as usize * 3 + 2;

/// How it goes with the clients.
#[derive(Default)]
struct Tally {
    open: AtomicUsize,
    frames: AtomicUsize,
}

/// As many runs as clients, each run watched by one.
pub async fn measure(rig: &Rig, scale: Scale) -> Result<Vec<Figure>, Error> {
    let clients = if scale.quick { 200 } else { 5_000 };
    rig.forget().await?;
    let server = rig.serve().await?;
    let mut runs = vec![];
    let mut http = Connection::open(server.address).await?;
    for _ in 0..clients {
        runs.push(start_run(&mut http, Agent::Ten).await?);
    }
    // Every run comes to its first call, which nobody performs.
    let quiet = Duration::from_secs(if scale.quick { 2 } else { 20 });
    let before = idle(rig, server.pid, quiet).await?;
    let alone = gauge::memory(server.pid);

    let tally = Arc::new(Tally::default());
    let mut watching = JoinSet::new();
    let began = Instant::now();
    for run in runs {
        watching.spawn(follow(server.address, run, tally.clone()));
        if watching.len() % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    until(&tally.open, clients, &mut watching).await?;
    let opened = began.elapsed();
    let meanwhile = idle(rig, server.pid, quiet).await?;
    let silent = gauge::memory(server.pid);

    let began = Instant::now();
    let load = Plan { runs: 0, ..Plan::ten(door(&server), 64) }.start();
    let mut most = silent;
    let mut told = None;
    while told.is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(gauge::memory(server.pid));
        while let Some(ended) = watching.try_join_next() {
            ended??;
        }
        told = watching.is_empty().then(|| began.elapsed());
        if began.elapsed() > Duration::from_mins(5) {
            return Err(format!("{} of {clients} clients still wait for the end", watching.len()).into());
        }
    }
    load.stop().await?;
    server.stop().await?;
    let frames = tally.frames.load(Relaxed);
    if frames != clients * FRAMES {
        return Err(format!("{frames} frames instead of {}", clients * FRAMES).into());
    }
    let figure = |name: String, unit, goal, value| Figure::new("streams", name, unit, goal, vec![value]);
    Ok(vec![
        figure(format!("server, {clients} silent streams"), "MB", Goal::AtMost(128.0), silent),
        figure(
            format!("server, at most, while {clients} streams tell all of their runs"),
            "MB",
            Goal::AtMost(128.0),
            most,
        ),
        figure(format!("server, {clients} runs that wait, without streams"), "MB", Goal::None, alone),
        figure(
            "transactions a second, silent streams".into(),
            "more than without",
            Goal::AtMost(2.0),
            meanwhile - before,
        )
        .note("one statement a second looks at all that is watched"),
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        figure("opening a stream".into(), "ms", Goal::None, millis(opened) / clients as f64),
        #[expect(clippy::cast_precision_loss, reason = "hundreds of thousands")]
        figure(
            "frames told".into(),
            "frames/s",
            Goal::None,
            frames as f64 / told.unwrap_or_default().as_secs_f64(),
        )
        .note("by 64 workers that perform the runs' calls meanwhile"),
    ])
}

/// Transactions a second while nothing happens. What happened before is counted by Postgres within ten seconds.
async fn idle(rig: &Rig, server: u32, long: Duration) -> Result<f64, Error> {
    tokio::time::sleep(long.min(Duration::from_secs(11))).await;
    let before = Reading::take(&rig.db, server).await?;
    tokio::time::sleep(long).await;
    let used = before.until(&Reading::take(&rig.db, server).await?);
    Ok(used.commits / used.seconds)
}

/// Wait until so many are counted, or one of those who count has failed.
async fn until(
    count: &AtomicUsize,
    many: usize,
    counting: &mut JoinSet<Result<(), Error>>,
) -> Result<(), Error> {
    let began = Instant::now();
    while count.load(Relaxed) < many {
        if let Some(ended) = counting.try_join_next() {
            ended??;
            return Err("a stream ended before its run".into());
        }
        if began.elapsed() > Duration::from_mins(2) {
            return Err(format!("{} of {many} streams are open", count.load(Relaxed)).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Read the stream of a run to its end.
async fn follow(address: SocketAddr, run: String, tally: Arc<Tally>) -> Result<(), Error> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET /api/agent/stream/{run} HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let (mut text, mut is_open) = (Vec::new(), false);
    loop {
        if stream.read_buf(&mut text).await? == 0 {
            return Err("a stream broke off".into());
        }
        while let Some(end) = text.windows(2).position(|w| w == b"\n\n") {
            let frame: Vec<u8> = text.drain(..end + 2).collect();
            let has = |words: &[u8]| frame.windows(words.len()).any(|w| w == words);
            if has(b"\nevent:") {
                tally.frames.fetch_add(1, Relaxed);
            }
            // The first call of a run that waits shows nothing yet; its first thought does.
            if !is_open && has(b"event:thinking") {
                is_open = true;
                tally.open.fetch_add(1, Relaxed);
            }
            if has(b"event:done") {
                return Ok(());
            }
        }
    }
}
