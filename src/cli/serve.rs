//! `tenure serve`: its flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{
    api::ApiKey,
    failure::{Exit, Failure},
};
use crate::{postgres, server, web};

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
    /// Model calls that this server performs at the same time
    #[arg(long, value_name = "N", env = "TENURE_MODEL_CALLS", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub model_calls: u16,
    /// Where people reach the pages, for links in what webhooks are told; http:// and the address above, unless said
    #[arg(long, value_name = "URL", env = "TENURE_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// Directory to which runs are written before they are deleted, where a retention policy wishes it
    #[arg(long, value_name = "DIR", env = "TENURE_EXPORT_DIR")]
    pub export_dir: Option<PathBuf>,
    /// Where the state is.
    #[command(flatten)]
    pub postgres: postgres::Options,
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
pub async fn run(serve: Serve, api_key: Option<ApiKey>) -> Result<Exit, Failure> {
    if !serve.listen.ip().is_loopback() && api_key.is_none() {
        return Err(Failure::usage(format!(
            "{} is open to other machines, and no API key is set",
            serve.listen
        ))
        .because("anybody who reaches it could run agents")
        .next("set TENURE_API_KEY, or listen on 127.0.0.1"));
    }
    let options = server::Options {
        listen: serve.listen,
        serves_web: serve.only != Some(Role::Worker),
        model_calls: if serve.only == Some(Role::Web) { 0 } else { serve.model_calls.into() },
        export_dir: serve.export_dir,
        public_url: serve.public_url,
        api_key: api_key.map(|key| web::ApiKey::new(key.expose())),
        postgres: serve.postgres,
    };
    let report = |line: &str| tracing::info!("postgres: {line}");
    let serves_web = options.serves_web;
    let ready = move |address: &str| {
        if serves_web {
            tracing::info!("ready: {address}/executions");
        } else {
            tracing::info!("ready: performing model calls and minding timers");
        }
    };
    server::run(options, &report, ready).await.map_err(failure)?;
    Ok(Exit::Ok)
}

/// What a server's error means on the command line.
pub(super) fn failure(error: impl Into<server::Error>) -> Failure {
    let error = error.into();
    match &error {
        server::Error::Listen { listen, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
            Failure::new(Exit::Failed, format!("{listen} is taken"))
                .because("another program, perhaps another tenure, listens there")
                .next("stop it, or choose another address with --listen")
        }
        _ => Failure::new(Exit::Failed, chain(&error)),
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
