//! `tenure demo`: stories of runs whose worker, server and Postgres get killed, played with real processes.
//!
//! Each line is printed after it was found to be true. Nothing waits for a time; every wait is for a condition and
//! has a deadline, and a condition that doesn't come true ends the demo with the reason.
mod approvals;
mod processes;
mod story;
mod telling;
pub mod worker;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{
    failure::{Exit, Failure},
    terminal::{Ink, Terminal},
};
use processes::Stage;

/// What is played.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Story {
    /// A run outlives its worker and its server
    Crash,
    /// A run waits for people while all of it is killed
    Approvals,
}

/// Flags of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Which story
    #[arg(value_enum, default_value_t = Story::Crash)]
    story: Story,
    /// Stop everything at the end, instead of keeping the server up to look around
    #[arg(long)]
    exit: bool,
    /// Keep the demo's database under this directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(super) async fn run(demo: Demo, out: Terminal) -> Result<Exit, Failure> {
    let mut stage = Stage::set(demo.data_dir)?;
    let mut interrupted = std::pin::pin!(crate::worker::stop_signal());
    let told = tokio::select! {
        told = async {
            match demo.story {
                Story::Crash => story::tell(&mut stage, out).await,
                Story::Approvals => approvals::tell(&mut stage, out, !demo.exit).await,
            }
        } => told,
        () = &mut interrupted => Err(Failure::new(Exit::Interrupted, "the demo was interrupted")),
    };
    if told.is_ok() && !demo.exit {
        out.say(format!("\n{}", out.paint(Ink::Dim, "The server stays up. Ctrl-C stops it.")));
        tokio::select! {
            () = &mut interrupted => {}
            () = stage.server_death() => {
                stage.clear().await?;
                return Err(Failure::new(Exit::Failed, "the server ended").next(stage.look_at_log()));
            }
        }
    }
    let cleared = stage.clear().await;
    told.map_err(|failure| if failure.next.is_some() { failure } else { failure.next(stage.look_at_log()) })?;
    cleared?;
    out.say(out.paint(Ink::Dim, "Everything is stopped: no worker, no server, no Postgres is left running."));
    Ok(Exit::Ok)
}
