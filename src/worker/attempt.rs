//! One attempt: the function runs, its lease is kept, and one of the two ends first.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::{task::JoinHandle, time::sleep};

use super::{
    Context, ToolError,
    input::{Fields, Task},
    server::{Failure, Lease, Server},
    tool::Tool,
};

/// Pause after a sign of life that found no server.
const AGAIN: Duration = Duration::from_millis(250);

/// How an attempt ended on this side.
#[derive(Debug)]
pub(super) enum Outcome {
    Completed(Fields),
    Failed(ToolError),
    /// Somebody else has the call now, or nobody needs it any more: there is nothing to report.
    LeaseLost,
}

/// Run the tool's function for `task` until it ends or the lease is lost.
pub(super) async fn perform(server: &Server, tool: &Tool, task: &Task) -> Outcome {
    let context = Context::new(task);
    let mut work = Work(tokio::spawn(tool.call(task.arguments(), context.clone())));
    tokio::select! {
        ended = &mut work.0 => outcome(ended, &context),
        () = keep_lease(server, task, third_of_lease(tool, task)) => {
            context.say_lease_is_lost();
            Outcome::LeaseLost
        }
    }
}

/// A running function. It does not outlive this value.
struct Work(JoinHandle<Result<Fields, ToolError>>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type Ended = Result<Result<Fields, ToolError>, tokio::task::JoinError>;

fn outcome(ended: Ended, context: &Context) -> Outcome {
    match ended {
        Ok(Ok(mut output)) => {
            output.extend(context.state_updates().map(|updates| ("_state_updates".to_owned(), updates)));
            Outcome::Completed(output)
        }
        Ok(Err(error)) => Outcome::Failed(error),
        Err(panic) => Outcome::Failed(ToolError::Retryable(format!("the tool panicked: {panic}"))),
    }
}

/// The server's word on the lease counts; the tool's own is for servers that say nothing.
pub(super) fn third_of_lease(tool: &Tool, task: &Task) -> Duration {
    let lease_secs = if task.lease_secs > 0 { task.lease_secs } else { tool.lease_secs() };
    Duration::from_secs(lease_secs) / 3
}

/// Show a sign of life at each `interval`; returns when the server says that the lease is lost. A server that can't
/// be reached says nothing, so the function goes on: its result is accepted if the lease outlives the outage.
async fn keep_lease(server: &Server, task: &Task, interval: Duration) {
    let mut pause = interval;
    loop {
        sleep(pause).await;
        pause = match server.extend(task).await {
            Ok(Lease::Held) => interval,
            Ok(Lease::Lost) => return,
            Err(Failure::Refused { status, .. }) if is_gone(status) => return,
            Err(error) => {
                tracing::debug!(%error, execution.id = task.execution_id, "could not extend a lease");
                AGAIN.min(interval)
            }
        };
    }
}

/// The server no longer knows the attempt, or knows it as ended.
pub(super) fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE)
}
