//! The `tenure` command.

use std::process::ExitCode;

use clap::Parser;
use tenure::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().run().await
}
