//! The events of a run as ticks on a line: each is a link to the run as it was then.

use super::Run;
use crate::store::read::run::Moment;
use crate::web::ui::shown;

/// Most ticks.
const TICKS: i32 = 60;

/// Widest tick, in percent.
const WIDEST: f64 = 1.1;

/// The line.
pub struct Rail {
    pub ticks: Vec<Tick>,
    /// Where the frame around the selected event is, and how wide.
    pub frame: (String, String),
    pub event: i32,
    pub events: i32,
    pub previous: Option<String>,
    pub next: Option<String>,
    /// Back to now, when an event is looked back at.
    pub now: Option<String>,
}

pub struct Tick {
    pub address: String,
    pub title: String,
    pub x: String,
    pub width: String,
    /// Empty for events that are of less interest.
    pub ink: &'static str,
}

/// The first and the last event of the line around `event`.
pub fn range(event: i32, events: i32) -> (i32, i32) {
    let last = (event + TICKS / 3).max(TICKS).min(events);
    ((last - TICKS + 1).max(1), last)
}

impl Rail {
    pub fn draw(run: &Run<'_>, moments: &[Moment]) -> Self {
        let (event, events) = (run.newest(), run.head.events);
        let link = |n: i32| run.link(&run.wanted.at(n));
        // With few events ticks stay as narrow as with many.
        let share = 100.0 / f64::from(u32::try_from(moments.len().max(1)).unwrap_or(1));
        let width = (share * 0.44).min(WIDEST);
        let place = |i: usize| f64::from(u32::try_from(i).unwrap_or(0)) * share;
        let tick = |(i, m): (usize, &Moment)| Tick {
            address: link(m.seq),
            title: format!("event {}: {}", m.seq, shown::excerpt(&m.what, 100)),
            x: percent(place(i) + (share - width) / 2.0),
            width: percent(width),
            ink: ink(&m.kind),
        };
        let selected = moments.iter().position(|m| m.seq == event).unwrap_or(0);
        Self {
            ticks: moments.iter().enumerate().map(tick).collect(),
            frame: (percent(place(selected) + share / 2.0 - width), percent(width * 2.0)),
            event,
            events,
            previous: (event > 1).then(|| link(event - 1)),
            next: (event < events).then(|| link(event + 1)),
            now: run.then.is_some().then(|| link(0)),
        }
    }
}

fn percent(x: f64) -> String {
    format!("{x:.2}%")
}

/// The ink of an event's tick.
fn ink(kind: &str) -> &'static str {
    match kind {
        "model_called" | "model_replied" => "t-llm",
        "tool_called" | "tool_returned" | "check_called" | "checked" => "t-tool",
        "attempt_failed" => "t-retry",
        "attempt_lost" | "tool_failed" | "model_failed" | "check_failed" | "failed" | "timed_out" => "t-fail",
        "approval_asked" | "approval_approved" | "approval_denied" | "approval_answered"
        | "approval_escalated" | "paused" | "resumed" | "signalled" | "stop_requested" | "terminated" => {
            "t-human"
        }
        "completed" => "t-ok",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_around_the_event_and_has_a_bounded_length() {
        assert_eq!((range(41, 41), range(1, 41)), ((1, 41), (1, 41)));
        assert_eq!(range(20_000, 20_000), (19_941, 20_000));
        assert_eq!(range(1, 20_000), (1, 60));
        let (first, last) = range(10_000, 20_000);
        assert!(first < 10_000 && last > 10_000 && last - first < TICKS);
    }
}
