//! What goes wrong around the servers, beyond single statements.
//!
//! ```text
//!  outside   one thing at a time: Postgres dies, is full or moves, the network is bad or cut, servers drain
//!  recovery  what dies alone, and how long it takes until all is well
//!  storm     everything at random, thousands of times
//!     └─ each on a ground: Postgres with full durability, servers between two proxies, workers, clients, a sink
//! ```

mod dice;
mod faults;
mod ground;
pub mod http_proxy;
mod load;
pub mod netns;
mod outside;
mod recovery;
mod storm;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::report::{Section, Violation};
use super::{Error, Tell};
use ground::{Ground, Size};
use recovery::Samples;

/// What to play.
#[derive(Clone)]
pub struct Options {
    /// Only this one of [`names`].
    pub only: Vec<String>,
    /// Random faults.
    pub random: usize,
    /// A little of everything.
    pub quick: bool,
    /// What random choices begin with.
    pub seed: u64,
    /// Where server binaries of Postgres are, unless this system's will do.
    pub pg_bin: Option<PathBuf>,
    /// Who hears how it goes.
    pub tell: Tell,
}

/// What can be played, each with what happens in it.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    let more = [("recovery", recovery::ABOUT), ("storm", storm::ABOUT)];
    outside::NAMES.into_iter().chain(more)
}

/// Play all that the options name.
///
/// # Errors
///
/// A ground can't be set, or breaks in a way that is nobody's fault.
pub async fn play(options: &Options) -> Result<(Vec<Section>, Vec<Violation>), Error> {
    let Options { seed, quick, tell, .. } = options;
    let (seed, quick, pg_bin) = (*seed, *quick, options.pg_bin.as_deref());
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let many = |few: usize, all: usize| if quick { few } else { all };
    let (mut sections, mut violations) = (vec![], vec![]);
    let mut note = |name: &str, found: Result<(Section, Vec<Violation>), Error>| match found {
        Ok((section, wrong)) => {
            (options.tell)(&format!("{name}: {} points, {} violations", section.points(), wrong.len()));
            sections.push(section);
            violations.extend(wrong);
        }
        Err(error @ (Error::Postgres(_) | Error::Stage(_))) => {
            (options.tell)(&format!("{name} can't be played here: {error}"));
            let about = format!("not played here: {error}");
            sections.push(Section::of(name, &about, 0));
        }
        Err(error) => {
            let reproduce = format!("tenure torture --scenario {name}");
            violations.push(Violation { about: name.to_owned(), wrong: vec![error.to_string()], reproduce });
        }
    };
    let plain = [
        ("postgres", many(1, 15)),
        ("session", many(4, 40)),
        ("network", many(14, 140)),
        ("drain", many(2, 30)),
    ];
    let mut shared = None;
    for (name, times) in plain.into_iter().filter(|(name, _)| wanted(name)) {
        let found = async {
            let mut ground = match shared.take() {
                Some(ground) => ground,
                None => Ground::set(pg_bin, Size { servers: 3, workers: 4, room: None }).await?,
            };
            let found = outside::on(&mut ground, name, times, seed, tell).await?;
            shared = Some(ground);
            Ok(found)
        };
        note(name, found.await);
    }
    drop(shared);
    if wanted("cut") {
        let found = async {
            let mut ground = Ground::set(pg_bin, Size { servers: 2, workers: 2, room: None }).await?;
            outside::cut(&mut ground, many(1, 12), seed, tell).await
        };
        note("cut", found.await);
    }
    if wanted("full_disk") {
        note("full_disk", outside::full_disk(pg_bin, many(1, 5), seed, tell).await);
    }
    if wanted("failover") {
        note("failover", outside::failover(pg_bin, many(1, 3), seed, tell).await);
    }
    if wanted("recovery") {
        let (workers, servers, postgres) = (many(1, 12), many(3, 100), many(2, 25));
        let samples = Samples { workers, servers, postgres, are_judged: !quick };
        let found = async {
            let mut ground = Ground::set(pg_bin, Size { servers: 2, workers: 0, room: None }).await?;
            recovery::measure(&mut ground, samples, seed, tell).await
        };
        note("recovery", found.await);
    }
    if wanted("storm") && options.random > 0 {
        let points = if quick { options.random.min(60) } else { options.random };
        // Bounded: even at one point a second it ends.
        let until = Instant::now() + Duration::from_secs(if quick { 30 } else { 60 + points as u64 });
        note("storm", storm::random(pg_bin, points, seed, until, tell.clone()).await);
    }
    Ok((sections, violations))
}
