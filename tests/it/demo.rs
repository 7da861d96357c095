//! `tenure demo --exit`, as a new user runs it: it tells a story, each line true, and leaves nothing running.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

#[test]
fn the_demo_tells_the_story_of_a_run_that_outlives_worker_and_server() {
    let said = told(&[]);
    in_order(
        &said,
        &[
            "Server up at http://localhost:",
            "Agent incident_triage deployed",
            "Run started while no worker is alive: execution ",
            "Status: RUNNING. Why it is not moving: no live worker polls queue 'fetch_incident_context'",
            "The worker has begun the call",
            "killed with SIGKILL in the middle of the call",
            "The server gave up on attempt ",
            "fell silent",
            "Same execution, status: RUNNING",
            "It has begun the same call again",
            "killed with SIGKILL; the worker goes on",
            "Server started again on the same data",
            "status: COMPLETED",
            "summary: ",
            "next_action: ",
            "before the kills, never repeated",
            "attempt 1 (lost)",
            "/execution/",
            "Everything is stopped",
        ],
    );
    // The worker's lease is a few seconds long: whoever says at once that it is over says what isn't true.
    let lease = seconds(&said, "gave up on attempt") - seconds(&said, "in the middle of the call");
    assert!(lease > 1.0, "the lease of the killed worker ended after {lease} s\n{said}");
    let execution = |line: &str| {
        let line = said.lines().find(|l| l.contains(line)).unwrap();
        line.split_whitespace().find(|w| w.len() >= 36).unwrap().trim_end_matches(',').to_owned()
    };
    assert_eq!(execution("Run started while"), execution("status: COMPLETED"));
}

#[test]
fn the_demo_of_approvals_tells_how_people_decide_what_waited_while_all_was_killed() {
    let said = told(&["approvals"]);
    in_order(
        &said,
        &[
            "Server up at http://localhost:",
            "Run started: execution ",
            "The agent asks whether it may refund {\"order\":\"48211\",\"amount\":1240",
            "The agent asks whether it may refund {\"order\":\"48377\",\"amount\":980",
            "Status: RUNNING. Why it is not moving: waits for a decision of anybody on 'refund' (turn 1) since ",
            "Everything killed with SIGKILL: worker ",
            "Server started again on the same data",
            "Same execution, same 2 questions, asked since ",
            "Mira approves the first with another amount",
            "tenure approvals approve ",
            "killed with SIGKILL right after",
            "Tomek's page is old; he denies the same one and hears: it was approved by mira at ",
            "Tomek denies the second one",
            "killed with SIGKILL when it had paid 1190 and not yet reported it",
            "got the same call under the same key, found it paid",
            "status: COMPLETED",
            "paid: order 48211, 1190 euros",
            "not paid: ",
            "paid once  order 48211 amount 1190",
            "/approvals",
            "Everything is stopped",
        ],
    );
}

// -- vocabulary ------------------------------------------------------------------------

/// What the demo of `story` says; nothing of it runs any more.
fn told(story: &[&str]) -> String {
    /// A demo takes the usual port when that is free, so two at a time would be in each other's way.
    static PORT: Mutex<()> = Mutex::new(());
    let _alone = PORT.lock().unwrap_or_else(PoisonError::into_inner);
    let home = tempfile::tempdir().unwrap();
    // Postgres runs as another user than root and must reach its data.
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let data = home.path().join("data");

    let done = Command::new(env!("CARGO_BIN_EXE_tenure"))
        .args(["demo", "--exit", "--data-dir"])
        .arg(&data)
        .args(story)
        .env_remove("DATABASE_URL")
        .env("NO_COLOR", "1")
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(processes_of(&data), [""; 0], "left running");
    said
}

fn in_order(said: &str, expected: &[&str]) {
    let mut rest = said;
    for line in expected {
        let at = rest
            .find(line)
            .unwrap_or_else(|| panic!("'{line}' is missing after what was said before:\n{said}"));
        rest = &rest[at + line.len()..];
    }
}

/// The time at the beginning of the line that contains `text`.
fn seconds(said: &str, text: &str) -> f64 {
    let line = said.lines().find(|l| l.contains(text)).unwrap();
    line.trim_start().split_once('s').unwrap().0.parse().unwrap()
}

/// Command lines of running processes that name `data`.
fn processes_of(data: &std::path::Path) -> Vec<String> {
    let data = data.to_str().unwrap();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(data))
        .collect()
}
