//! `tenure serve`: its flags.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

use super::{
    api::ApiKey,
    failure::{Exit, Failure},
};

/// Flags of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Address for the API and the pages. Beyond loopback an --api-key is required
    #[arg(long, value_name = "ADDR:PORT", env = "TENURE_LISTEN", default_value = "127.0.0.1:6767")]
    pub listen: SocketAddr,
    /// Play one role only: answer HTTP, or call models and mind timers
    #[arg(long, value_name = "ROLE")]
    pub only: Option<Role>,
    /// Form of the log lines
    #[arg(long, value_name = "FORMAT", env = "TENURE_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Where the state is.
    #[command(flatten)]
    pub database: Database,
}

/// Which Postgres.
#[derive(Debug, Clone, Default, Args)]
pub struct Database {
    /// Use this Postgres (15 or newer) instead of a private one
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Keep the private Postgres under this directory
    #[arg(long, value_name = "DIR", env = "TENURE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What a server does when it doesn't do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Answer HTTP.
    Web,
    /// Call models, mind timers and leases.
    Worker,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object per line.
    Json,
}

/// Serve until SIGTERM or Ctrl-C.
///
/// # Errors
///
/// The address is taken, or the database can't be found or used.
#[expect(clippy::unused_async, reason = "serves")]
pub async fn run(serve: Serve, api_key: Option<ApiKey>) -> Result<Exit, Failure> {
    if !serve.listen.ip().is_loopback() && api_key.is_none() {
        return Err(Failure::usage(format!(
            "{} is open to other machines, and no API key is set",
            serve.listen
        ))
        .because("anybody who reaches it could run agents")
        .next("set TENURE_API_KEY, or listen on 127.0.0.1"));
    }
    Err(Failure::new(Exit::Failed, "this build has no server"))
}
