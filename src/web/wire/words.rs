//! Words of the wire protocol and ours, in both directions.

use jiff::Timestamp;

use crate::agent::Agent;
use crate::engine::{Status, Task};
use crate::id::{AttemptId, ExecutionId};
use crate::store::read::attempts::Standing;
use crate::web::Problem;

/// An execution's status.
#[must_use]
pub fn status(status: Status) -> &'static str {
    match status {
        Status::Running => "RUNNING",
        Status::Paused => "PAUSED",
        Status::Completed => "COMPLETED",
        Status::Failed => "FAILED",
        Status::Terminated => "TERMINATED",
        Status::TimedOut => "TIMED_OUT",
    }
}

/// Our word for a status that a client looks for; `None` when there is no such status.
#[must_use]
pub fn status_named(word: &str) -> Option<Status> {
    [Status::Running, Status::Paused, Status::Completed, Status::Failed, Status::Terminated, Status::TimedOut]
        .into_iter()
        .find(|s| status(*s).eq_ignore_ascii_case(word.trim()))
}

/// An attempt's status.
///
/// A tool that failed for good is `COMPLETED_WITH_ERRORS`: its run went on, and clients that read `FAILED` would blame
/// the whole run on it. The reason stands beside it and in its output, so nobody takes it for a success.
#[must_use]
pub fn task_status(standing: Standing, task: Task) -> &'static str {
    match standing {
        Standing::Waiting => "SCHEDULED",
        Standing::Leased => "IN_PROGRESS",
        Standing::Completed => "COMPLETED",
        Standing::GaveUp if matches!(task, Task::Tool { .. }) => "COMPLETED_WITH_ERRORS",
        Standing::Failed | Standing::GaveUp => "FAILED",
        Standing::Lost => "TIMED_OUT",
        Standing::Withdrawn => "CANCELED",
    }
}

/// The name of a task within its execution: `call_x__2` for a tool call, `<agent>_llm__2` for a model call.
#[must_use]
pub fn reference(agent: &Agent, task: Task, call_id: Option<&str>, name: &str) -> String {
    match task {
        Task::Model { turn } => model_reference(agent, turn),
        Task::Tool { turn, .. } | Task::Approval { turn, .. } => {
            format!("{}__{turn}", call_id.unwrap_or(name))
        }
        Task::Check { turn } => format!("{name}__{turn}"),
    }
}

/// The name of the model call of a turn. An agent without tools makes one call, outside of any loop.
#[must_use]
pub fn model_reference(agent: &Agent, turn: u32) -> String {
    let name = to_ref(&agent.name);
    if agent.is_simple() && turn <= 1 { format!("{name}_llm") } else { format!("{name}_llm__{turn}") }
}

/// An agent's name as it stands in the names of its tasks.
#[must_use]
pub fn to_ref(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// The turn and the call id (or worker's name) of a reference; `None` for what is no tool call and no check.
#[must_use]
pub fn split_reference(reference: &str) -> Option<(i32, &str)> {
    let (name, turn) = reference.rsplit_once("__")?;
    Some((turn.parse().ok()?, name))
}

/// Milliseconds since 1970; 0 when it has not happened.
#[must_use]
pub fn millis(at: Option<Timestamp>) -> i64 {
    at.map_or(0, Timestamp::as_millisecond)
}

/// A time as searches show it: UTC, milliseconds.
#[must_use]
pub fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The execution's id in a path; what is no id is nobody's.
///
/// # Errors
///
/// A 404.
pub fn execution_id(text: &str) -> Result<ExecutionId, Problem> {
    text.parse().map_err(|_| Problem::not_found(format!("no execution with id '{text}'")))
}

/// The attempt's id in a path or body.
///
/// # Errors
///
/// A 404.
pub fn attempt_id(text: &str) -> Result<AttemptId, Problem> {
    text.parse().map_err(|_| Problem::not_found(format!("no task with id '{text}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(definition: &str) -> Agent {
        Agent::parse(definition).unwrap()
    }

    #[test]
    fn a_tool_call_is_known_by_its_id_and_turn() {
        let agent = agent(r#"{"name":"a-b","model":"demo/x","tools":[{"name":"t"}]}"#);
        let task = Task::Tool { turn: 2, call: 1 };
        let reference = reference(&agent, task, Some("call_9__x"), "t");
        assert_eq!(reference, "call_9__x__2");
        assert_eq!(split_reference(&reference), Some((2, "call_9__x")));
        assert_eq!(model_reference(&agent, 3), "a_b_llm__3");
        assert_eq!(split_reference("call_9"), None);
        assert_eq!(split_reference("call_9__x"), None);
    }

    #[test]
    fn the_one_call_of_a_simple_agent_has_no_number() {
        assert_eq!(model_reference(&agent(r#"{"name":"a","model":"demo/x"}"#), 1), "a_llm");
    }

    #[test]
    fn statuses_are_found_by_their_word() {
        assert_eq!(status_named(" timed_out"), Some(Status::TimedOut));
        assert_eq!(status_named("RUNNING"), Some(Status::Running));
        assert_eq!(status_named("gone"), None);
    }

    #[test]
    fn times_are_in_milliseconds() {
        let at: Timestamp = "2026-11-21T06:05:04.0321Z".parse().unwrap();
        assert_eq!(iso(at), "2026-11-21T06:05:04.032Z");
        assert_eq!((millis(Some(at)) % 1000, millis(None)), (32, 0));
    }
}
