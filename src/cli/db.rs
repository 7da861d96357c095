//! `tenure db` and `tenure psql`: the database itself.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::{
    failure::{Exit, Failure},
    serve::Database,
    terminal::Terminal,
};

/// Commands on the database.
#[derive(Debug, Subcommand)]
pub enum Db {
    /// Bring the database to this binary's version and exit (`serve` does it too)
    Migrate(Database),
    /// Print which Postgres it is and which migrations it has
    Status(Database),
}

/// Flags of `psql`.
#[derive(Debug, Args)]
pub struct Psql {
    /// Where the state is.
    #[command(flatten)]
    pub database: Database,
    /// Arguments for psql
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<OsString>,
}

/// Do it.
///
/// # Errors
///
/// The database can't be found or used.
#[expect(clippy::unused_async, reason = "connects to the database")]
pub async fn run(command: Db, _: Terminal) -> Result<Exit, Failure> {
    let (Db::Migrate(_) | Db::Status(_)) = command;
    Err(Failure::new(Exit::Failed, "this build has no database"))
}

/// Become psql.
///
/// # Errors
///
/// There is no psql, or no database.
#[expect(clippy::unused_async, reason = "may start the private Postgres first")]
pub async fn psql(_: Psql) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::Failed, "this build has no database"))
}
