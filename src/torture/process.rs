//! Processes that are started to be killed. None outlives this one, however it ends.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use crate::postgres::guard;

/// `tenure` with these arguments and nothing of this process's environment that it would listen to.
///
/// # Errors
///
/// This program's own file can't be found.
pub fn tenure(args: &[&str]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    for name in ["DATABASE_URL", "AGENTSPAN_API_KEY", "AGENTSPAN_SERVER_URL", "AGENT_SERVER_URL", "RUST_LOG"]
    {
        command.env_remove(name);
    }
    for name in
        ["API_KEY", "DATABASE_URL", "DATA_DIR", "LISTEN", "PG", "SERVER_URL", "DEMO_SCRIPT", "LOG_FORMAT"]
    {
        command.env_remove(format!("TENURE_{name}"));
    }
    command.args(args);
    Ok(command)
}

/// Send a signal to a process that may be gone.
pub(super) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// A running program; what it writes is added to a file.
pub struct Process {
    child: Child,
    pid: i32,
    log: PathBuf,
}

impl Process {
    /// Start it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn start(mut command: Command, log: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let mut command = tokio::process::Command::from(command);
        let child = command.kill_on_drop(true).spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        guard::add(pid);
        Ok(Self { child, pid, log: log.to_owned() })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Send it a signal: `STOP` and `CONT` are what it is for.
    pub fn signal(&self, signal: Signal) {
        if self.child.id().is_some() {
            self::signal(self.pid, signal);
        }
    }

    /// SIGKILL; it is gone when this returns.
    pub async fn kill(&mut self) {
        if self.child.id().is_some() {
            let _ = self.child.kill().await;
            guard::remove(self.pid);
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.child.id().is_none() || !matches!(self.child.try_wait(), Ok(None));
        if ended {
            guard::remove(self.pid);
        }
        ended
    }

    /// Its end, however it comes; true when it went well.
    pub async fn ended(&mut self) -> bool {
        let ended = self.child.wait().await;
        guard::remove(self.pid);
        ended.is_ok_and(|status| status.success())
    }

    /// Its last lines.
    #[must_use]
    pub fn last_lines(&self, many: usize) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(many)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            guard::remove(self.pid);
        }
    }
}
