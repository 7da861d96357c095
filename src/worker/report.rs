//! A result travels until the server takes it or refuses it for good.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    ToolError,
    attempt::{Outcome, is_gone},
    input::{Fields, Task},
    server::{Failure, Report, Server},
};

/// First pause between two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// After this long without any server, a result is given up: the lease has long gone to somebody else.
const GIVE_UP: Duration = Duration::from_mins(15);

/// Hand in how `task` ended, through restarts of the server. With `more`, returns the next attempt if the server
/// hands one over in its reply. `pause` caps the time between two tries (a short lease wants short pauses).
pub(super) async fn deliver(
    server: &Server,
    task: &Task,
    outcome: Outcome,
    pause: Duration,
    more: bool,
) -> Option<Task> {
    let report = match outcome {
        Outcome::Completed(output) => report(server, task, "COMPLETED", output, None),
        Outcome::Failed(ToolError::Retryable(why)) => {
            report(server, task, "FAILED", Fields::new(), Some(why))
        }
        Outcome::Failed(ToolError::Terminal(why)) => {
            report(server, task, "FAILED_WITH_TERMINAL_ERROR", Fields::new(), Some(why))
        }
        Outcome::LeaseLost => {
            tracing::warn!(
                execution.id = task.execution_id,
                task.id = task.attempt_id,
                "lost the lease; stopped the call and dropped its result"
            );
            return None;
        }
    };
    match send(server, &report, pause, more).await {
        Ok(next) => next,
        Err(Failure::Refused { status, text }) if !is_gone(status) && report.status == "COMPLETED" => {
            // Said nothing, the call would be performed again after its lease, only to be refused again.
            let why = format!("the server refused the tool's result ({status}): {text}");
            let refused = self::report(server, task, "FAILED_WITH_TERMINAL_ERROR", Fields::new(), Some(why));
            send(server, &refused, pause, more).await.unwrap_or_else(|error| dropped(task, &error))
        }
        Err(error) => dropped(task, &error),
    }
}

/// Give an attempt back untouched; another worker gets it at once. One try: the lease does the same, only later.
pub(super) async fn hand_back(server: &Server, task: &Task) {
    let mut back = report(server, task, "IN_PROGRESS", Fields::new(), None);
    back.callback_after_seconds = Some(0);
    if let Err(error) = server.report(&back, false).await {
        tracing::warn!(%error, task.id = task.attempt_id, "could not hand an attempt back; its lease will");
    }
}

async fn send(
    server: &Server,
    report: &Report<'_>,
    longest: Duration,
    more: bool,
) -> Result<Option<Task>, Failure> {
    let since = Instant::now();
    let longest = longest.min(LONGEST_PAUSE);
    let mut pause = FIRST_PAUSE.min(longest);
    loop {
        match server.report(report, more).await {
            Err(error) if error.passes() && since.elapsed() < GIVE_UP => {
                tracing::debug!(%error, task.id = report.task_id, "could not report a result yet");
                sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
            answer => return answer,
        }
    }
}

fn dropped(task: &Task, error: &Failure) -> Option<Task> {
    tracing::error!(
        %error,
        execution.id = task.execution_id,
        task.id = task.attempt_id,
        "the server did not take a result; it is lost"
    );
    None
}

fn report<'a>(
    server: &'a Server,
    task: &'a Task,
    status: &'static str,
    output_data: Fields,
    reason_for_incompletion: Option<String>,
) -> Report<'a> {
    Report {
        workflow_instance_id: &task.execution_id,
        task_id: &task.attempt_id,
        worker_id: &server.session,
        status,
        output_data,
        reason_for_incompletion,
        callback_after_seconds: None,
    }
}
