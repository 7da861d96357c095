//! How long it takes until all is well again, measured: the death of a worker, of a server beside others, of Postgres.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::client::Careful;
use super::super::process::{Process, tenure};
use super::super::report::{Recovery, Section, Violation};
use super::super::{Error, Tell};
use super::dice::Dice;
use super::ground::Ground;
use super::http_proxy::HttpProxy;
use super::load::{self, Shape};
use super::storm::pass;

/// What is measured.
pub const ABOUT: &str = "what dies alone, and how long it takes until all is well";

/// Calls that one worker holds when it dies.
const HELD: usize = 10;
/// Clients whose runs are timed.
const CLIENTS: usize = 6;
/// Length of a lease here.
const LEASE: Duration = Duration::from_secs(1);
/// After a start of Postgres, servers are given this long to come back before others take over what they had.
const GRACE: Duration = Duration::from_millis(5500);

/// How many deaths of each.
#[derive(Debug, Clone, Copy)]
pub struct Samples {
    /// Workers, each with ten calls.
    pub workers: usize,
    /// Servers.
    pub servers: usize,
    /// Postgres.
    pub postgres: usize,
    /// Whether a goal that is missed is a violation. A few deaths on a busy machine say little about time.
    pub are_judged: bool,
}

/// Measure all three, on a ground in peace.
///
/// # Errors
///
/// The ground breaks.
pub async fn measure(
    ground: &mut Ground,
    samples: Samples,
    seed: u64,
    tell: &Tell,
) -> Result<(Section, Vec<Violation>), Error> {
    ground.hands.clear();
    let began = Instant::now();
    let mut section = Section::of("recovery", ABOUT, 0);
    let mut violations = vec![];
    let mut note = |what: &str, goal: Duration, times: Vec<Duration>| {
        let found = Recovery::of(
            &times.iter().map(|t| u64::try_from(t.as_millis()).unwrap_or(0)).collect::<Vec<_>>(),
        );
        let missed = samples.are_judged && u128::from(found.p99_ms) > goal.as_millis();
        let last = times.len();
        for (nth, time) in times.iter().enumerate() {
            section.add(what, true, missed && nth + 1 == last, Some(*time));
        }
        let goal = goal.as_millis();
        tell(&format!(
            "{what}: p50 {} ms, p99 {} ms, slowest {} ms of {last} (goal: p99 at most {goal} ms)",
            found.p50_ms, found.p99_ms, found.max_ms
        ));
        if missed {
            violations.push(Violation {
                about: what.to_owned(),
                wrong: vec![format!("p99 is {} ms; it should be at most {goal} ms", found.p99_ms)],
                reproduce: "tenure torture --scenario recovery".into(),
            });
        }
    };
    let postgres = postgres_deaths(ground, samples.postgres).await?;
    note(
        "kill Postgres: all servers are ready, after it takes connections",
        Duration::from_secs(3),
        postgres,
    );
    pass(ground, GRACE).await?;
    let workers = worker_deaths(ground, samples.workers).await?;
    note("kill a worker: its calls are performed by another", LEASE + Duration::from_secs(1), workers);
    let servers = server_deaths(ground, samples.servers, seed).await?;
    note("kill a server beside others: added to a run that it met", Duration::from_secs(2), servers);
    tell(&format!("recoveries measured in {} s", began.elapsed().as_secs()));
    Ok((section, violations))
}

/// From a worker's SIGKILL until each call that it held is performed again.
async fn worker_deaths(ground: &mut Ground, deaths: usize) -> Result<Vec<Duration>, Error> {
    let client = ground.client(0)?;
    let agent = load::agent(Shape::Hung, &ground.directory)?;
    let worker = |ground: &Ground, number: usize| -> Result<Process, Error> {
        let server = ground.nodes[number % ground.nodes.len()].http.url();
        let mut command = tenure(&["torture-worker", "--server", &server, "--concurrency", "10", "--sink"])?;
        command.arg(ground.sink.file());
        Ok(Process::start(command, &ground.directory.join("measured-worker.log"))?)
    };
    let mut times = vec![];
    let mut doomed = worker(ground, 0)?;
    for number in 1..=deaths {
        ground.clear().await?;
        for _ in 0..HELD {
            let request =
                json!({ "agentConfig": agent, "prompt": "Go.", "idempotencyKey": uuid::Uuid::now_v7() });
            client.ask("POST", "/api/agent/start", Some(&request)).await?;
        }
        until("ten calls have begun", async || Ok(ground.sink.effects()?.len() >= HELD)).await?;
        let heir = worker(ground, number)?;
        tokio::time::sleep(Duration::from_millis(700)).await; // it polls, and leases are in every phase of their life
        let at = Timestamp::now();
        doomed.kill().await;
        until("they have begun again", async || Ok(ground.sink.effects()?.len() >= 2 * HELD)).await?;
        let effects = ground.sink.effects()?;
        times.extend(
            effects[HELD..].iter().map(|e| Duration::try_from(e.at.duration_since(at)).unwrap_or_default()),
        );
        doomed = heir;
    }
    ground.clear().await?;
    Ok(times)
}

async fn until(what: &str, mut look: impl AsyncFnMut() -> Result<bool, Error>) -> Result<(), Error> {
    let began = Instant::now();
    while !look().await? {
        if began.elapsed() > Duration::from_secs(30) {
            return Err(Error::Stuck(format!("30 s went by before {what}")));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

type Times = Arc<Mutex<Vec<(Instant, Instant)>>>;

/// What the death of a server adds to the runs that it meets, as clients behind a balancer see it.
async fn server_deaths(ground: &mut Ground, deaths: usize, seed: u64) -> Result<Vec<Duration>, Error> {
    let addresses = ground.nodes.iter().map(|node| node.server.base.trim_start_matches("http://").parse());
    let balancer = HttpProxy::to(addresses.collect::<Result<_, _>>().map_err(std::io::Error::other)?).await?;
    for _ in 0..4 {
        ground.hire(balancer.url())?;
    }
    let agent = Arc::new(load::agent(Shape::Calls, &ground.directory)?);
    let (times, stop) = (Times::default(), CancellationToken::new());
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let client = Careful::new([balancer.url()])?;
        clients.spawn(run_after_run(client, agent.clone(), times.clone(), stop.clone()));
    }
    let (mut dice, mut killed) = (Dice::new(seed), vec![]);
    pass(ground, Duration::from_secs(3)).await?;
    for _ in 0..deaths {
        let at = dice.roll(ground.nodes.len());
        ground.nodes[at].server.process.kill().await;
        killed.push(Instant::now());
        // It stays away for a while: the others have to do.
        tokio::time::sleep(dice.millis(1000, 1500)).await;
        ground.ready().await?;
        pass(ground, dice.millis(400, 700)).await?;
    }
    stop.cancel();
    while let Some(done) = clients.join_next().await {
        done.map_err(|error| Error::Stage(error.to_string()))??;
    }
    ground.hands.clear();
    ground.clear().await?;
    let times = times.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let met = |run: &(Instant, Instant)| killed.iter().any(|at| run.0 < *at && *at < run.1);
    let first = killed.first().copied().unwrap_or_else(Instant::now);
    let mut calm: Vec<_> = times.iter().filter(|run| run.1 < first).map(|run| run.1 - run.0).collect();
    calm.sort_unstable();
    let usual = calm.get(calm.len() / 2).copied().unwrap_or_default();
    Ok(times.iter().filter(|run| met(run)).map(|run| (run.1 - run.0).saturating_sub(usual)).collect())
}

async fn run_after_run(
    client: Careful,
    agent: Arc<Value>,
    times: Times,
    stop: CancellationToken,
) -> Result<(), Error> {
    while !stop.is_cancelled() {
        let request =
            json!({ "agentConfig": *agent, "prompt": "Go.", "idempotencyKey": uuid::Uuid::now_v7() });
        let began = Instant::now();
        let told = client.ask("POST", "/api/agent/start", Some(&request)).await?;
        let path = format!("/api/agent/{}/status", told.body["executionId"].as_str().unwrap_or_default());
        while client.ask("GET", &path, None).await?.body["isComplete"] != true {
            if began.elapsed() > Duration::from_mins(1) {
                return Err(Error::Stuck(format!("{path} has not ended after 60 s")));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        times.lock().unwrap_or_else(PoisonError::into_inner).push((began, Instant::now()));
    }
    Ok(())
}

/// From the moment at which a killed Postgres takes connections again until every server is ready.
async fn postgres_deaths(ground: &mut Ground, deaths: usize) -> Result<Vec<Duration>, Error> {
    let mut times = vec![];
    for _ in 0..deaths {
        ground.postgres.kill().await;
        ground.postgres.start().await?;
        let up = Instant::now();
        ground.ready().await?;
        times.push(up.elapsed());
        pass(ground, Duration::from_millis(300)).await?;
    }
    Ok(times)
}
