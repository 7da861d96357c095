//! Logs go to standard error, never between a command's answers.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::{
    Command,
    serve::{LogFormat, Serve},
};

/// Start logging as `command` wants it: servers and workers talk, clients only warn. `RUST_LOG` overrides.
pub fn init(command: &Command) {
    let (level, format) = match command {
        Command::Serve(Serve { log_format, .. }) => ("info", *log_format),
        Command::Worker(_) => ("info", LogFormat::Text),
        _ => ("warn", LogFormat::Text),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new(format!("{level},actix_server=warn,actix_http=off,refinery_core=warn,deadpool=error"))
    });
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}
