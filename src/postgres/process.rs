//! Which processes are alive, told by their command lines.
//!
//! A process id alone proves nothing: it may be a zombie that nobody reaps, or a stranger who got the
//! number after a crash. A command line can be read of any account's processes, also as root in a
//! container, where working directories can't.

use rustix::process::{Pid, Signal};

/// The command line of `pid`, or `None` when there is no such process or only its zombie.
#[cfg(target_os = "linux")]
pub(super) fn command_line(pid: i32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
    (!line.is_empty()).then_some(line)
}

/// Every live process whose command line contains `text`.
#[cfg(target_os = "linux")]
pub(super) fn with_command_line(text: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| command_line(pid).is_some_and(|line| line.contains(text)))
        .collect()
}

/// The command line of `pid`, or `None` when there is no such process or only its zombie.
#[cfg(not(target_os = "linux"))]
pub(super) fn command_line(pid: i32) -> Option<String> {
    listed(&["-p", &pid.to_string()]).into_iter().next().map(|(_, line)| line)
}

/// Every live process whose command line contains `text`.
#[cfg(not(target_os = "linux"))]
pub(super) fn with_command_line(text: &str) -> Vec<i32> {
    listed(&["-ax"]).into_iter().filter(|(_, line)| line.contains(text)).map(|(pid, _)| pid).collect()
}

/// The processes that `ps` selects, zombies left out.
#[cfg(not(target_os = "linux"))]
fn listed(selection: &[&str]) -> Vec<(i32, String)> {
    let output =
        std::process::Command::new("ps").args(["-ww", "-o", "pid=,stat=,command="]).args(selection).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let process = |line: &str| {
        let (pid, rest) = line.trim_start().split_once(' ')?;
        let (state, command) = rest.trim_start().split_once(' ')?;
        Some((pid.parse().ok()?, command.to_owned())).filter(|_| !state.starts_with('Z'))
    };
    text.lines().filter_map(process).collect()
}

/// Sends `signal` to `pid`. That it is gone already is fine.
pub(super) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}
