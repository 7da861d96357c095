//! Where a run stood after any of its events: its record, told to [`decide`] again. Pure.
//!
//! A decision leaves one event for what happened and one for most of what followed. So the record of a run is enough to
//! build its state anew, also in the middle of a decision: what had not been written down by then is still due.
//!
//! ```text
//!   started · model_called │ model_replied · tool_called · tool_called │ tool_returned │ …
//!   cause     effect       │ cause           effect      ▲ effect
//!                          └ one decision                └ after this event, the second call is due
//! ```
//!
//! Invariants, checked by property tests:
//!
//! 1. After the last event of a run, its state is the one that the run had.
//! 2. Going on from any event with the same outcomes leads to the same end, by the same commands.
//! 3. The messages up to any event are numbered without gaps, and what is due goes on with the next number.

use super::{Agent, Command, Event, Message, State, Status, begin, decide};

/// What one event of a run says of its state.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Something happened.
    Cause(Event),
    /// Something followed from what happened before.
    Effect,
    /// Nothing.
    Note,
    /// The run goes on from here as a copy of another one; a copy is not held, whatever the original was.
    Copied,
}

/// Where a run stands after an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The state that the last decision led to.
    pub state: State,
    /// What followed from it and was not written down yet, in order.
    pub due: Vec<Command>,
    /// Messages that had been appended.
    pub messages: u32,
    /// Whether a person answered a call: the event that says so is that of their answer, too.
    said: bool,
}

/// A record that no run can have left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} can't have happened there: {why}")]
pub struct Torn {
    /// Its number.
    pub seq: usize,
    /// What is wrong.
    pub why: String,
}

impl Command {
    /// Whether carrying it out writes an event.
    fn is_recorded(&self) -> bool {
        match self {
            Self::Append { message, .. } => message.is_recorded(),
            Self::CallModel { .. }
            | Self::CallTool { .. }
            | Self::Ask { .. }
            | Self::Check { .. }
            | Self::Finish { .. } => true,
            Self::Retry { .. } | Self::Hold | Self::Release | Self::Withdraw => false,
        }
    }
}

impl Message {
    /// Whether it is said by an event of its own.
    fn is_recorded(&self) -> bool {
        matches!(self, Self::Answer { .. } | Self::Nudge { .. } | Self::Feedback { .. })
    }
}

/// Where a run of `agent` stands after these events.
///
/// # Errors
///
/// [`Torn`] when no run leaves such a record.
pub fn rebuild(agent: &Agent, record: impl IntoIterator<Item = Record>) -> Result<Point, Torn> {
    let mut point = Point { state: begin(agent), due: vec![], messages: 0, said: false };
    for (n, said) in record.into_iter().enumerate() {
        let torn = |why: String| Torn { seq: n + 1, why };
        match said {
            Record::Cause(event) => {
                if let Some(due) = point.due.first() {
                    return Err(torn(format!("{due:?} should have been first")));
                }
                let (state, commands) =
                    decide(agent, &point.state, &event).map_err(|illegal| torn(illegal.to_string()))?;
                (point.state, point.due) = (state, commands);
                point.said = matches!(event, Event::Denied { .. } | Event::Answered { .. });
            }
            Record::Effect if point.due.is_empty() => return Err(torn("nothing led to it".into())),
            Record::Effect => point.take(),
            Record::Copied if point.state.status == Status::Paused => point.state.status = Status::Running,
            Record::Copied | Record::Note => {}
        }
        point.settle();
    }
    Ok(point)
}

impl Point {
    /// One more of what is due is done.
    fn take(&mut self) {
        let done = self.due.remove(0);
        self.messages += u32::from(matches!(done, Command::Append { .. }));
    }

    /// What writes no event of its own was done together with the event before it.
    fn settle(&mut self) {
        let is_said =
            |c: &Command| matches!(c, Command::Append { message: Message::Answer { .. }, .. }) && self.said;
        let many = self.due.iter().take_while(|c| !c.is_recorded() || is_said(c)).count();
        (0..many).for_each(|_| self.take());
    }
}
