//! How fast are the pages over a database that has grown? `just bench-pages`
//!
//! ```text
//!   database   a Postgres of its own, seeded: a million executions, one of 20,000 events, one with an answer of 100 MB
//!   server     the real binary, serving on it
//!   load       asks for pages, one after the other and from 8 clients at the same time
//!   live       workers report while up to 200 pages are open (tabs)
//!   report     figures beside their goals: a table, docs/pages-benchmark.md, target/bench-pages.json
//! ```
//!
//! Ends with 1 when a goal is missed.

mod database;
mod live;
mod load;
mod pages;
mod report;
mod server;
mod tabs;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

/// Whatever goes wrong; a benchmark can only stop and say so.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Measure the pages.
#[derive(Debug, clap::Parser)]
struct Options {
    /// A small database and few samples: does it all work?
    #[arg(long)]
    quick: bool,
    /// Measure only what has this in its name; no report is written
    only: Option<String>,
    /// Measure this binary instead of the one that was just built
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_tenure"))]
    tenure: PathBuf,
    /// Keep the database and the server until Enter is pressed
    #[arg(long)]
    stay: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn wants(&self, group: &str) -> bool {
        self.only.as_ref().is_none_or(|only| group.contains(only))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Options::parse()).await {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("\nMissed: {}", missed.join("; "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// All of it; the goals that were missed.
async fn measure(options: &Options) -> Result<Vec<String>, Error> {
    let scale = if options.quick { database::Scale::QUICK } else { database::Scale::FULL };
    let database = database::Database::seeded(scale).await?;
    let mut figures = vec![];
    if options.wants("pages") {
        let server = server::Server::start(&options.tenure, &database.url).await?;
        figures.extend(pages::measure(&server, &database, options.quick).await?);
    }
    if options.wants("live") {
        // A server that has not opened connections for anything else.
        let server = server::Server::start(&options.tenure, &database.url).await?;
        figures.extend(live::measure(&server, &database, options.quick).await?);
    }
    let about = report::About::of(&database, scale, &options.tenure).await?;
    println!("\n{}", report::table(&figures));
    if options.only.is_none() {
        report::write(&about, &figures, options.quick)?;
    }
    if options.stay {
        let server = server::Server::start(&options.tenure, &database.url).await?;
        println!("{}/executions on {}; press Enter to end", server.base, database.url);
        std::io::stdin().read_line(&mut String::new())?;
    }
    Ok(figures.iter().filter(|f| f.missed()).map(|f| f.name.clone()).collect())
}
