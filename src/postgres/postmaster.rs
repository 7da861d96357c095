//! The main process of a private cluster: found, started, waited for, stopped.
//!
//! It is our child when we started it and a stranger when an earlier tenure did, which was killed.
//! Either way it survives us, and whoever comes next adopts it.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::{process::Child, time::sleep};

use super::{
    Error, Report,
    binaries::Binaries,
    home::{self, Home},
    process,
};

/// How often a waiting loop looks again.
const GLANCE: Duration = Duration::from_millis(10);
/// How often an adopted process is looked at; a child reports its own end.
const LOOK_AFTER_ADOPTED: Duration = Duration::from_millis(200);
/// How long crash recovery may take before we give up waiting.
const LONGEST_RECOVERY: Duration = Duration::from_mins(5);
/// The log starts anew beyond this size.
const LARGEST_LOG: u64 = 10 << 20;

/// A running main process.
#[derive(Debug)]
pub(super) struct Postmaster {
    pub(super) pid: i32,
    child: Option<Child>,
    home: Home,
    log_start: u64,
}

/// Looks for the cluster's main process, which may be just starting or stopping. Removes nothing.
pub(super) fn find(home: &Home) -> Option<Postmaster> {
    let pid = PidFile::read(&home.data())?.pid;
    is_postmaster(pid, home).then(|| Postmaster { pid, child: None, home: home.clone(), log_start: 0 })
}

/// As [`find`]; when there is none, clears away what a crash left in the way of starting one.
pub(super) async fn find_or_clear(home: &Home, report: Report<'_>) -> Option<Postmaster> {
    if let Some(postmaster) = find(home) {
        return Some(postmaster);
    }
    end_orphans(home).await;
    let pid_file = home.data().join("postmaster.pid");
    if pid_file.exists() {
        report("the last Postgres here was killed; its process is gone, so its pid file is removed");
        let _ = std::fs::remove_file(pid_file);
    }
    let socket = home.socket_dir().join(home::socket_name());
    let _ = std::fs::remove_file(socket.with_extension(format!("{}.lock", home::PORT)));
    let _ = std::fs::remove_file(socket);
    None
}

/// Starts the main process. It isn't ready for connections yet.
pub(super) fn start(home: &Home, binaries: &Binaries, settings: &[&str]) -> Result<Postmaster, Error> {
    let socket_dir = home.socket_dir();
    home.account.create_private(&socket_dir)?;

    let path = home.log();
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    let log = options.open(&path).map_err(Error::file("can't open", &path))?;
    if log.metadata().is_ok_and(|log| log.len() > LARGEST_LOG) {
        let _ = log.set_len(0);
    }
    home.account.give(&path)?;
    let log_start = log.metadata().map_or(0, |log| log.len());
    let same_log = log.try_clone().map_err(Error::file("can't open", &path))?;

    let mut sockets = std::ffi::OsString::from("unix_socket_directories=\"");
    sockets.push(&socket_dir);
    sockets.push("\"");
    let mut command = binaries.command(&home.account, "postgres");
    command.current_dir(home.root()).stdout(log).stderr(same_log).arg("-D").arg(home.data());
    command.arg("-c").arg(sockets).args(["-c", "listen_addresses="]);
    command.args(["-c", &format!("port={}", home::PORT), "-c", &format!("cluster_name={}", home.tag())]);
    command.args(settings.iter().flat_map(|setting| ["-c", setting]));
    let child = command.spawn().map_err(Error::file("can't start", &binaries.program("postgres")))?;

    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
    Ok(Postmaster { pid, child: Some(child), home: home.clone(), log_start })
}

impl Postmaster {
    /// Waits until it takes connections.
    pub(super) async fn ready(&mut self, report: Report<'_>) -> Result<(), Error> {
        let began = Instant::now();
        let mut next_report = Duration::from_secs(3);
        loop {
            let pid_file = PidFile::read(&self.home.data());
            if pid_file.is_some_and(|file| file.pid == self.pid && file.ready) {
                return Ok(());
            }
            if let Some(status) = self.end() {
                let log = self.home.log_tail(self.log_start);
                return Err(Error::GaveUp { program: "postgres", status, log });
            }
            if began.elapsed() > LONGEST_RECOVERY {
                let seconds = began.elapsed().as_secs();
                return Err(Error::NotReady { pid: self.pid, seconds, log: self.home.log() });
            }
            if began.elapsed() > next_report {
                let seconds = began.elapsed().as_secs();
                report(&format!("Postgres isn't ready yet after {seconds} s, it is recovering from a crash"));
                next_report *= 2;
            }
            sleep(GLANCE).await;
        }
    }

    /// Waits until it has ended, and says how.
    pub(super) async fn ended(&mut self) -> String {
        if let Some(child) = &mut self.child {
            return child.wait().await.map_or_else(|e| e.to_string(), |status| status.to_string());
        }
        while is_postmaster(self.pid, &self.home) {
            sleep(LOOK_AFTER_ADOPTED).await;
        }
        "it is gone".to_owned()
    }

    /// Stops it: sessions are ended, everything is on disk. Harsher ways follow if that takes too long.
    pub(super) async fn stop(&mut self) -> Result<(), Error> {
        let ways = [(Signal::INT, 30), (Signal::QUIT, 5), (Signal::KILL, 5)];
        for (signal, patience_s) in ways {
            process::signal(self.pid, signal);
            let deadline = Instant::now() + Duration::from_secs(patience_s);
            while Instant::now() < deadline {
                if self.end().is_some() {
                    return Ok(());
                }
                sleep(GLANCE).await;
            }
            tracing::warn!(pid = self.pid, ?signal, "postgres doesn't stop");
        }
        let log = self.home.log_tail(self.log_start);
        Err(Error::GaveUp { program: "postgres", status: "it can't be stopped".to_owned(), log })
    }

    /// How it ended, if it has. Reaps a child, whose zombie would else keep the pid alive.
    fn end(&mut self) -> Option<String> {
        match &mut self.child {
            Some(child) => match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(status.to_string()),
                Err(error) => Some(error.to_string()),
            },
            None => (!is_postmaster(self.pid, &self.home)).then(|| "it is gone".to_owned()),
        }
    }
}

/// Whether `pid` is this cluster's main process, and not a zombie or a stranger with its number.
fn is_postmaster(pid: i32, home: &Home) -> bool {
    let data = home.data();
    process::command_line(pid)
        .is_some_and(|line| line.contains(&home.tag()) || line.contains(&*data.to_string_lossy()))
}

/// Waits until no process of a dead main process is left, and ends those that don't go by themselves:
/// they still use the files and the memory that a new one needs for itself.
async fn end_orphans(home: &Home) {
    let steps = [(None, 2), (Some(Signal::QUIT), 2), (Some(Signal::KILL), 2)];
    for (signal, patience_s) in steps {
        let deadline = Instant::now() + Duration::from_secs(patience_s);
        let mut left = process::with_command_line(&home.tag());
        if let Some(signal) = signal {
            for &pid in &left {
                process::signal(pid, signal);
            }
        }
        while !left.is_empty() && Instant::now() < deadline {
            sleep(GLANCE).await;
            left = process::with_command_line(&home.tag());
        }
        if left.is_empty() {
            return;
        }
    }
}

/// What Postgres writes into `postmaster.pid`, as far as it matters here.
struct PidFile {
    pid: i32,
    ready: bool,
}

impl PidFile {
    fn read(data: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let ready = lines.nth(6).is_some_and(|status| status.trim() == "ready");
        Some(Self { pid, ready })
    }
}
