//! Pulls the plug at every statement, and counts what was lost.
//!
//! ```text
//!  scenarios ──► one clean run each ──► its statements × actions = points ──► lanes play them ──► certificate
//!                                                                             │
//!                                       judge: invariants, effects, answers ◄─┘
//! ```
//!
//! A scenario is played by a careful client on real servers and workers. In a clean run the proxy between one server and
//! Postgres numbers the statements; then each is played again once per action, and afterwards everything that must hold
//! is looked at.
//!
//! 1. A point is known by its scenario, statement and action, and is the same point tomorrow.
//! 2. Nothing is judged while it goes on: each point ends with its run ended, or with a violation that says it is stuck.
//! 3. A violation comes with the line that shows it again.

pub mod client;
mod judge;
mod names;
mod people;
mod plan;
mod play;
pub mod process;
pub mod proxy;
pub mod report;
mod scenarios;
pub mod sink;
pub mod stage;
mod wire;
pub mod world;

use std::sync::Arc;
use std::time::Instant;

pub use judge::Judge;
pub use plan::{Options, Place, Point, exhaust, numbered};
pub use scenarios::{SCENARIOS, Scenario};
pub use stage::Stage;

/// Why a point, or all of it, could not be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing moves any more: a violation.
    #[error("stuck: {0}")]
    Stuck(String),
    /// No server answered for a long time: a violation.
    #[error("no server answered {0}")]
    NoAnswer(String),
    /// Something was answered that the scenario can't go on from: a violation.
    #[error("{0}")]
    Scenario(String),
    /// The stage could not be set.
    #[error("{0}")]
    Stage(String),
    /// Postgres can't be had.
    #[error(transparent)]
    Postgres(#[from] crate::postgres::Error),
    /// A look into the database failed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The driver's own statement failed.
    #[error("postgres: {}", .0.as_db_error().map_or_else(|| .0.to_string(), |e| e.message().to_owned()))]
    Driver(#[from] tokio_postgres::Error),
    /// HTTP.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Who hears how it goes: one line at a time, for people.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Counts what is done and says so now and then.
pub(crate) struct Progress {
    tell: Tell,
    all: usize,
    done: usize,
    began: Instant,
    told: Instant,
}

impl Progress {
    pub fn new(tell: Tell, all: usize) -> Self {
        Self { tell, all, done: 0, began: Instant::now(), told: Instant::now() }
    }

    pub fn one(&mut self, violations: usize) {
        self.done += 1;
        if self.told.elapsed().as_secs() >= 5 || self.done == self.all {
            self.told = Instant::now();
            let left = self.began.elapsed().as_secs() * (self.all - self.done) as u64 / self.done as u64;
            (self.tell)(&format!(
                "{} of {} points, {violations} violations, about {left} s left",
                self.done, self.all
            ));
        }
    }
}
