//! One thing at a time goes wrong outside: Postgres is killed, full or moves, the network is bad or cut, servers are
//! stopped in good order. Clients work meanwhile, and afterwards all is judged.

use std::time::Duration;

use super::super::process::{Process, tenure};
use super::super::report::{Section, Violation};
use super::super::{Error, Tell};
use super::dice::Dice;
use super::faults::Fault;
use super::ground::{self, Ground, Size};
use super::http_proxy::{Harm, HttpProxy};
use super::load::Shape;
use super::netns::Network;
use super::storm::{Storm, once, pass};
use crate::postgres::Victim;

type Found = Result<(Section, Vec<Violation>), Error>;

/// What can go wrong outside, by name.
pub const NAMES: [(&str, &str); 7] = [
    ("postgres", "Postgres is killed under load, and started again"),
    ("session", "single sessions of Postgres are ended and killed"),
    ("network", "requests are delayed, lost, repeated and cut off between clients, workers and servers"),
    ("drain", "servers are told to stop under load, and end in good order"),
    ("cut", "the network between a worker and its server is cut"),
    ("full_disk", "the disk of Postgres is full for a while"),
    ("failover", "the primary dies, and its synchronous standby is promoted"),
];

fn about(name: &str) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == name).map_or("", |(_, about)| about)
}

fn storm<'a>(name: &'a str, seed: u64, tell: &Tell) -> Storm<'a> {
    Storm { name, about: about(name), shapes: &Shape::ALL, seed, tell: tell.clone() }
}

/// Let one of the first four happen so many times, on a ground that is there.
///
/// # Errors
///
/// The ground breaks.
pub async fn on(ground: &mut Ground, name: &str, times: usize, seed: u64, tell: &Tell) -> Found {
    let mut dice = Dice::fork(seed, name.len() as u64);
    let mut fault = |nth: usize| {
        let who = dice.roll(1 << 20);
        match name {
            "postgres" => (dice.millis(500, 1500), Fault::KillPostgres),
            "session" if nth % 4 == 3 => (dice.millis(300, 900), Fault::KillBackend(who)),
            "session" => (dice.millis(50, 300), Fault::TerminateBackend(who)),
            "network" => (dice.millis(20, 80), Fault::Http(who, Harm::ALL[nth % Harm::ALL.len()])),
            _ => (dice.millis(100, 400), Fault::DrainServer(who)),
        }
    };
    let faults: Vec<_> = (0..times).map(&mut fault).collect();
    once(&storm(name, seed, tell), ground, &faults).await
}

/// A worker loses its network, and comes back with what it did meanwhile.
///
/// # Errors
///
/// The ground breaks.
pub async fn cut(ground: &mut Ground, times: usize, seed: u64, tell: &Tell) -> Found {
    let storm = storm("cut", seed, tell);
    let mut dice = Dice::new(seed);
    let server = ground.nodes[0].server.base.trim_start_matches("http://").parse();
    let server = server.map_err(std::io::Error::other)?;
    let log = ground.directory.join("cut-worker.log");
    let mut how = "by a cable that is pulled between two network namespaces".to_owned();
    let (network, way) = match Network::make().await {
        Ok(network) => {
            let way = HttpProxy::at(network.here(), vec![server]).await?;
            (Some(network), way)
        }
        Err(error) => {
            how = format!("by a proxy, as there can be no network namespace here ({error})");
            (None, HttpProxy::to(vec![server]).await?)
        }
    };
    let plain = tenure(&["torture-worker", "--server", &way.url(), "--concurrency", "4", "--sink"])?;
    let mut command = match &network {
        Some(network) => {
            let mut command = network.command(plain.get_program());
            command.args(plain.get_args());
            command
        }
        None => plain,
    };
    command.arg(ground.sink.file());
    let worker = Process::start(command, &log)?;
    let load = storm.load(ground, 1)?;
    let mut section = Section::of("cut", "", 0);
    for _ in 0..times {
        pass(ground, dice.millis(500, 900)).await?;
        match &network {
            Some(network) => network.unplug().await?,
            None => way.cut(),
        }
        // Longer than a lease lasts.
        pass(ground, dice.millis(1200, 2500)).await?;
        match &network {
            Some(network) => network.plug().await?,
            None => way.mend(),
        }
        section.add("cut the network of a worker", true, false, None);
    }
    pass(ground, Duration::from_millis(1500)).await?;
    let found = storm.judged(ground, load, section, &format!("{}, {how}", storm.about)).await;
    drop(worker);
    found
}

/// Postgres can't write for a while.
///
/// # Errors
///
/// There can be no filesystem of limited size here, or the ground breaks.
pub async fn full_disk(pg_bin: Option<&std::path::Path>, times: usize, seed: u64, tell: &Tell) -> Found {
    let storm = storm("full_disk", seed, tell);
    let mut ground = Ground::set(pg_bin, Size { servers: 2, workers: 3, room: Some(120) }).await?;
    let load = storm.load(&ground, 1)?;
    let mut section = Section::of("full_disk", "", 0);
    for _ in 0..times {
        pass(&mut ground, Duration::from_millis(800)).await?;
        ground.postgres.fill()?;
        pass(&mut ground, Duration::from_millis(2500)).await?;
        ground.postgres.empty();
        if ground.postgres.has_ended() {
            ground.postgres.start().await?;
        }
        section.add("fill the disk of Postgres", true, false, None);
    }
    pass(&mut ground, Duration::from_millis(500)).await?;
    storm.judged(&mut ground, load, section, storm.about).await
}

/// The primary dies; servers find the standby that takes its place.
///
/// # Errors
///
/// The ground breaks.
pub async fn failover(pg_bin: Option<&std::path::Path>, times: usize, seed: u64, tell: &Tell) -> Found {
    let storm = storm("failover", seed, tell);
    let directory = ground::fresh_directory()?;
    let places: Vec<_> = (0..=times).map(|n| directory.join(format!("postgres-{n}"))).collect();
    let sockets: Vec<_> = places.iter().map(|place| place.join("socket").display().to_string()).collect();
    let url = format!("postgres:///tenure?host={}&user=tenure", sockets.join(","));
    let mut primary = Victim::make(pg_bin, &places[0], None).await?;
    primary.start().await?;
    primary.create_database().await?;
    let mut ground =
        Ground::on(primary, directory, Size { servers: 2, workers: 3, room: None }, Some(&url)).await?;
    let load = storm.load(&ground, 1)?;
    let mut section = Section::of("failover", "", 0);
    for place in &places[1..] {
        let mut standby = Victim::standby_of(&ground.postgres, place, "heir").await?;
        standby.start().await?;
        let db = ground.connect().await?;
        crate::store::judge::wait_for_standby(&db, "heir").await?;
        pass(&mut ground, Duration::from_millis(1500)).await?;
        ground.postgres.kill().await;
        crate::store::judge::promote(&ground::connect(&standby).await?).await?;
        ground.postgres = standby;
        let lost = std::time::Instant::now();
        ground.ready().await?;
        section.add("kill the primary, promote the standby", true, false, Some(lost.elapsed()));
    }
    pass(&mut ground, Duration::from_secs(1)).await?;
    storm.judged(&mut ground, load, section, storm.about).await
}
