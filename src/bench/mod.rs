//! How near is this to what Postgres can do here? `tenure bench`
//!
//! ```text
//!   rig        a Postgres of its own with full durability, and `tenure serve` as a process on it
//!   load       workers over HTTP (one report per request, or many), or in this process without HTTP
//!   floor      the same rows by plain statements; one row in one commit
//!   gauge      what it cost: WAL, commits, fsyncs, CPU
//!   scenarios  floor and ours in turns, in rounds; what counts is their ratio in one round
//!   report     figures beside their goals: a table, JSON, docs/performance.md, a page of charts
//! ```
//!
//! A *step* is an attempt whose outcome is committed: a model call by the server or a tool call by a worker. The agent
//! of the benchmark calls a tool ten times and then answers: 10 calls of workers, 11 of the model, 21 steps.
//!
//! 1. A figure is a ratio inside one run, against a floor that was measured in the same round.
//! 2. Nothing is measured with less than full durability.
//! 3. The floor decides nothing, looks at nothing and answers nobody; it writes the same rows.

mod chart;
mod floor;
mod gauge;
mod http;
mod load;
mod report;
mod rig;
mod scenarios;

use std::path::PathBuf;

pub use report::{Report, into_document};

/// What can be measured by itself.
const SCENARIOS: [&str; 16] = [
    "G1", "G4", "G5", "G7", "G8", "G9", "G10", "G11", "G12", "G15", "G16", "G17", "G18", "turns", "streams",
    "peers",
];

/// Whatever goes wrong; a benchmark can only stop and say so.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What to measure, and how long.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "bench")] // the options of Postgres inside have the same name
pub struct Options {
    /// Small numbers and short rounds: does it all work?
    #[arg(long)]
    pub quick: bool,
    /// Measure only these, such as G4,G8
    #[arg(long, value_name = "LIST", value_delimiter = ',', ignore_case = true, value_parser = SCENARIOS)]
    pub only: Vec<String>,
    /// Rounds of each comparison
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub rounds: usize,
    /// Seconds that a snapshot is held open in G10
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub hold: u64,
    /// With G11: also list the most expensive statements and what the WAL is made of (needs Postgres' contrib modules)
    #[arg(long)]
    pub statements: bool,
    /// Also measure what this program does with the same Postgres, as benches/peers has some; may be given again
    #[arg(long, value_name = "COMMAND")]
    pub peer: Vec<String>,
    /// Write bench.json and bench.html there
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,
    /// Write the figures as a document there
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Where Postgres comes from.
    #[command(flatten)]
    pub postgres: crate::postgres::Options,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.eq_ignore_ascii_case(name))
    }
}

/// Measure what `options` ask for. `say` is told how it goes.
///
/// # Errors
///
/// Postgres or the server can't be started, or one of them fails on the way.
pub async fn run(options: &Options, say: &(dyn Fn(&str) + Sync)) -> Result<Report, Error> {
    let began = std::time::Instant::now();
    let rig = rig::Rig::open(options).await?;
    let figures = scenarios::run(&rig, options, say).await;
    let about = report::about(&rig, options, began).await;
    rig.close();
    Ok(Report { about: about?, figures, quick: options.quick })
}
