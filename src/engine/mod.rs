//! What an execution does next. Pure: no clock, no database, no network, no `async`, no ids made here.
//!
//! An execution is a small state machine. [`decide`] takes the agent, the state that its execution is in and one
//! [`Event`] that has happened, and returns the state that it moves to and the [`Command`]s that must be carried
//! out in the same transaction. Everything else in the crate exists to feed events in here and to carry commands out.
//!
//! ```text
//!            ┌──────────── Returned(last) / all answered at once ──────────────┐
//!            ▼                                                                 │
//!  Started ─► model call open ── Replied(calls) ──► tool calls open ── Returned(more open)
//!            │  ▲    │   │               │           ▲   │
//!            │  │    │   │               │  Approved │   └ turn limit, stop, condition ─► Completed
//!            │  │    │   │               └► approvals open ── Denied, Answered ─► the model is told
//!            │  │    │   └ Replied(text) ─► Completed    └ Rejected ─► Completed
//!            │  └ Checked(go on) ── check open ◄─ the turn is over and a stop-when worker must be asked
//!            └ Failed(no more tries) ─► Failed        Cancelled ─► Terminated     DeadlinePassed ─► TimedOut
//! ```
//!
//! Invariants, held by [`decide`] and checked by property tests:
//!
//! 1. A terminal execution accepts no event.
//! 2. An execution has an open task exactly while it is not terminal: nothing hangs, nothing leaks.
//! 3. A turn begins only when no task of the turn before is open, and never beyond the turn limit.
//! 4. Each call of the model is answered exactly once: by a tool, by its final failure, by a person, or at once.
//! 5. Only what is open can end, be retried or fail.
//! 6. Message numbers grow by one, without gaps.
//! 7. A call that needs an approval is queued only by the decision that approves it, and what is called beside it in the
//!    same turn only when no decision of that turn is open.

pub mod history;
mod retry;
mod single;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::json::Json;

pub use retry::{Backoff, Failure, Policy};

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Something is open.
    Running,
    /// Something is open, and nothing new is handed out until it is resumed.
    Paused,
    /// It ended with an answer.
    Completed,
    /// It ended without one.
    Failed,
    /// Somebody ended it.
    Terminated,
    /// It took longer than it was allowed to.
    TimedOut,
}

impl Status {
    /// Whether nothing can happen to it any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Running | Self::Paused)
    }

    /// As stored: `running`, `paused`, `completed`, `failed`, `terminated`, `timed_out`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Terminated => "terminated",
            Self::TimedOut => "timed_out",
        }
    }
}

/// A unit of work of an execution, whatever the number of tries it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// The model call of a turn.
    Model {
        /// 1-based.
        turn: u32,
    },
    /// A tool call of a turn.
    Tool {
        /// 1-based.
        turn: u32,
        /// Which of the reply's calls, 0-based.
        call: u16,
    },
    /// Asking the stop-when worker after a turn.
    Check {
        /// 1-based.
        turn: u32,
    },
    /// A person's decision about a tool call. It waits as a row, in no queue.
    Approval {
        /// 1-based.
        turn: u32,
        /// Which of the reply's calls, 0-based.
        call: u16,
    },
}

impl Task {
    /// The turn that it belongs to.
    #[must_use]
    pub fn turn(self) -> u32 {
        match self {
            Self::Model { turn }
            | Self::Tool { turn, .. }
            | Self::Check { turn }
            | Self::Approval { turn, .. } => turn,
        }
    }

    /// As stored: `model`, `tool`, `check`; a decision is no row among these.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Model { .. } => "model",
            Self::Tool { .. } => "tool",
            Self::Check { .. } => "check",
            Self::Approval { .. } => "approval",
        }
    }

    /// Which call of its turn; 0 for what is no tool call.
    #[must_use]
    pub fn call(self) -> u16 {
        match self {
            Self::Tool { call, .. } | Self::Approval { call, .. } => call,
            Self::Model { .. } | Self::Check { .. } => 0,
        }
    }
}

/// The small state that decides: what is open, how far it is, what was asked for. The conversation is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// Where it stands.
    pub status: Status,
    /// Model calls begun.
    pub turn: u32,
    /// The turn after which this pass ends.
    pub turn_limit: u32,
    /// Tasks that something must still perform, and decisions that somebody must still make.
    pub open: Vec<Task>,
    /// Calls of this turn that wait until nothing has to be decided any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<u16>,
    /// Messages in the conversation.
    pub messages: u32,
    /// Somebody asked it to end after the turn that is going on.
    #[serde(default)]
    pub stop: bool,
    /// Whether the turn that is going on asks for another one.
    #[serde(default)]
    pub again: bool,
    /// Whether a termination condition was met in this turn.
    #[serde(default)]
    pub ended: bool,
    /// Passes begun, while required tools are missing.
    #[serde(default)]
    pub pass: u32,
    /// Required tools that were not called yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Calls so far of the tools that have a limit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub used: BTreeMap<String, u32>,
    /// Prompt tokens so far.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Answer tokens so far.
    #[serde(default)]
    pub completion_tokens: u64,
}

/// One tool request of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Its id, unique within the reply.
    pub id: String,
    /// The tool that it asks for.
    pub name: String,
    /// Its arguments as a JSON object, or what stands there instead of one.
    pub arguments: Result<Json, String>,
    /// Whether a policy says that a person must let it go, or need not; `None`: as its tool says.
    pub gated: Option<bool>,
}

/// What the model answered, as far as it decides anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Its text.
    pub text: String,
    /// The tools that it wants called.
    pub calls: Vec<Call>,
    /// Whether the answer was cut off by a length limit.
    pub truncated: bool,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// Something that has happened. Past tense.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The execution was accepted.
    Started,
    /// The open model call ended with an answer.
    Replied(Reply),
    /// A tool call ended with an output.
    Returned {
        /// Which.
        task: Task,
    },
    /// Somebody let a tool call go.
    Approved {
        /// Which decision.
        task: Task,
        /// The arguments that it runs with.
        arguments: Json,
        /// What somebody told the model with it, such as what was changed.
        feedback: Option<String>,
        /// The calls of its turn.
        calls: Vec<Call>,
    },
    /// Somebody refused a tool call; the model is told.
    Denied {
        /// Which decision.
        task: Task,
        /// What the model is told.
        text: String,
        /// The calls of its turn.
        calls: Vec<Call>,
    },
    /// Somebody answered what the model asked them.
    Answered {
        /// Which question.
        task: Task,
        /// What the model is told.
        text: String,
        /// The calls of its turn.
        calls: Vec<Call>,
    },
    /// Somebody refused a tool call and with it the rest of the run.
    Rejected {
        /// Which decision.
        task: Task,
        /// Why.
        reason: String,
    },
    /// The stop-when worker answered.
    Checked {
        /// After which turn.
        turn: u32,
        /// Whether the loop may go on.
        go_on: bool,
    },
    /// A try at an open task ended without a result.
    Failed {
        /// Which.
        task: Task,
        /// How.
        failure: Failure,
        /// Why, for people and for the model.
        error: String,
        /// Which try it was, 1-based.
        attempt: u32,
        /// How many of the tries were lost with their worker, this one included.
        losses: u32,
        /// How often and when it may be tried again.
        policy: Policy,
    },
    /// Somebody held it.
    Paused,
    /// Somebody let it go on.
    Resumed,
    /// Somebody asked it to end after this turn.
    StopRequested,
    /// Somebody sent it a word; it replaces the one before, and an empty one clears it.
    Signalled {
        /// The word.
        text: String,
    },
    /// Somebody ended it.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// Its time is over.
    DeadlinePassed,
}

impl Event {
    /// Its name, for errors and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Replied(_) => "replied",
            Self::Returned { .. } => "returned",
            Self::Approved { .. } => "approved",
            Self::Denied { .. } => "denied",
            Self::Answered { .. } => "answered",
            Self::Rejected { .. } => "rejected",
            Self::Checked { .. } => "checked",
            Self::Failed { .. } => "failed",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::StopRequested => "stop_requested",
            Self::Signalled { .. } => "signalled",
            Self::Cancelled { .. } => "cancelled",
            Self::DeadlinePassed => "deadline_passed",
        }
    }
}

/// A message for the conversation. What a task produced is referred to, never copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The person's prompt, which the execution's input holds.
    Prompt,
    /// What the model answered in a turn.
    Reply {
        /// 1-based.
        turn: u32,
    },
    /// What a tool returned, or its final failure.
    Result {
        /// Which call.
        task: Task,
    },
    /// An answer to a call that no tool gave.
    Answer {
        /// The turn of the call.
        turn: u32,
        /// Which call.
        call: u16,
        /// Its id.
        id: String,
        /// The tool that was asked for.
        name: String,
        /// What the model is told.
        text: String,
    },
    /// A word in the user's role from the server itself.
    Nudge {
        /// What the model is told.
        text: String,
    },
    /// A word of somebody who let a call go, as the system's.
    Feedback {
        /// What the model is told.
        text: String,
    },
    /// A signal; the last one counts.
    Signal {
        /// The word.
        text: String,
    },
}

/// Something that must now be done, in the transaction that stores the event. Imperative.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Add to the conversation.
    Append {
        /// The message's number, 1-based.
        n: u32,
        /// What it is.
        message: Message,
    },
    /// Queue the model call of a turn, over the messages up to `upto`.
    CallModel {
        /// 1-based.
        turn: u32,
        /// The last message that it sees.
        upto: u32,
    },
    /// Queue a tool call.
    CallTool {
        /// Which.
        task: Task,
        /// Its id in the conversation.
        id: String,
        /// The tool.
        name: String,
        /// A JSON object.
        arguments: Json,
    },
    /// Ask a person about a tool call.
    Ask {
        /// Which decision.
        task: Task,
        /// The call's id in the conversation.
        id: String,
        /// The tool.
        name: String,
        /// A JSON object.
        arguments: Json,
    },
    /// Queue the question to the stop-when worker.
    Check {
        /// After which turn.
        turn: u32,
        /// The worker's queue.
        name: String,
    },
    /// Queue the next try of an open task.
    Retry {
        /// Which.
        task: Task,
        /// Which try it will be, 1-based.
        attempt: u32,
        /// Tries lost so far.
        losses: u32,
        /// From now.
        delay: Duration,
    },
    /// Keep everything that waits from being handed out.
    Hold,
    /// Hand it out again.
    Release,
    /// Take back every open task and question; results and decisions on their way will be refused.
    Withdraw,
    /// End the execution.
    Finish {
        /// How.
        status: Status,
        /// Why, when it isn't plain completion.
        reason: Option<String>,
        /// The turn whose answer is the result, when there is one.
        answer: Option<u32>,
    },
}

/// An event that is not possible in the state it met. Nothing may be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an execution that is {status:?} with {open} open tasks can't take the event '{event}'")]
pub struct IllegalEvent {
    /// The status it met.
    pub status: Status,
    /// How much was open.
    pub open: usize,
    /// The event.
    pub event: &'static str,
}

/// The state of an execution that has just been accepted, before [`Event::Started`].
#[must_use]
pub fn begin(agent: &Agent) -> State {
    State {
        status: Status::Running,
        turn: 0,
        turn_limit: agent.max_turns,
        open: vec![],
        held: vec![],
        messages: 0,
        stop: false,
        again: false,
        ended: false,
        pass: 1,
        missing: agent.required_tools.clone(),
        used: BTreeMap::new(),
        prompt_tokens: 0,
        completion_tokens: 0,
    }
}

/// The whole state machine: one event in, the next state and the work that it causes out.
///
/// # Errors
///
/// [`IllegalEvent`] when `event` is not possible in `state`.
pub fn decide(agent: &Agent, state: &State, event: &Event) -> Result<(State, Vec<Command>), IllegalEvent> {
    let illegal = || IllegalEvent { status: state.status, open: state.open.len(), event: event.name() };
    if state.status.is_terminal() {
        return Err(illegal());
    }
    let mut step = single::Step::new(agent, state.clone());
    match event {
        Event::Paused if state.status == Status::Running => step.pause(),
        Event::Resumed if state.status == Status::Paused => step.resume(),
        Event::StopRequested => step.state.stop = true,
        Event::Signalled { text } => step.append(Message::Signal { text: text.clone() }),
        Event::Cancelled { reason } => step.end(Status::Terminated, Some(reason.clone())),
        Event::Rejected { task: task @ Task::Approval { .. }, reason } if state.open.contains(task) => {
            step.end(Status::Completed, Some(reason.clone()));
        }
        Event::DeadlinePassed => {
            let seconds = agent.timeout.map_or_else(|| "the allowed".to_owned(), |t| t.as_secs().to_string());
            step.end(Status::TimedOut, Some(format!("the execution took longer than {seconds} seconds")));
        }
        event if step.on_work(event) => {}
        _ => return Err(illegal()),
    }
    Ok(step.done())
}
