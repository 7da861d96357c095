//! Addresses of a run's pages: what is selected, folded and looked back at stands in them, and links keep it.

use serde::{Deserialize, Serialize};

use crate::id::ExecutionId;

/// The views of one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// What its time was spent on.
    Timeline,
    /// What was said.
    Conversation,
    /// What happened.
    Events,
    /// Every try at every step.
    Attempts,
    /// What decides how it goes on.
    State,
    /// Input and output.
    Payloads,
    /// The agent version that it runs.
    Agent,
    /// What its workers logged.
    Logs,
}

impl Tab {
    /// In the order of the page.
    pub const ALL: [Self; 8] = [
        Self::Timeline,
        Self::Conversation,
        Self::Events,
        Self::Attempts,
        Self::State,
        Self::Payloads,
        Self::Agent,
        Self::Logs,
    ];

    /// The last part of its address; empty for the timeline.
    pub fn path(self) -> &'static str {
        match self {
            Self::Timeline => "",
            Self::Conversation => "conversation",
            Self::Events => "events",
            Self::Attempts => "attempts",
            Self::State => "state",
            Self::Payloads => "payloads",
            Self::Agent => "agent",
            Self::Logs => "logs",
        }
    }

    /// By the last part of its address.
    pub fn named(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tab| !path.is_empty() && tab.path() == path)
    }
}

/// What the address says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// The event after which it is shown; empty for now.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// The selected step: `tool-1-0`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub step: String,
    /// What is shown of it: `output`, `tries`, `raw`, or empty for its arguments.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub show: String,
    /// The turn that is unfolded beside the newest ones.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub turn: String,
    /// `0` shows long waits to scale.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fold: String,
    /// `1` shows messages as they were sent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub raw: String,
    /// Where the page of a list ends: an event, a message, an attempt or a line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub before: String,
    /// The attempt whose logs are shown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub attempt: String,
}

impl Wanted {
    /// The address of a view of `id` that shows this.
    pub fn address(&self, id: ExecutionId, tab: Tab) -> String {
        let path = match tab.path() {
            "" => format!("/execution/{id}"),
            path => format!("/execution/{id}/{path}"),
        };
        match serde_urlencoded::to_string(self) {
            Ok(query) if !query.is_empty() => format!("{path}?{query}"),
            _ => path,
        }
    }

    /// What other views keep of it.
    pub fn kept(&self) -> Self {
        Self { before: String::new(), attempt: String::new(), ..self.clone() }
    }

    /// The same after another event; 0 is now.
    pub fn at(&self, n: i32) -> Self {
        Self { at: if n == 0 { String::new() } else { n.to_string() }, before: String::new(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_what_it_says() {
        let id: ExecutionId = "01a1fcfa-538f-71c9-afdc-37c6bf8c69cf".parse().unwrap();
        let wanted = Wanted { step: "tool-1-0".into(), before: "a&b=c".into(), ..Wanted::default() };
        let begin = format!("/execution/{id}");
        assert_eq!(wanted.address(id, Tab::Events), format!("{begin}/events?step=tool-1-0&before=a%26b%3Dc"));
        assert_eq!(wanted.kept().at(3).address(id, Tab::Timeline), format!("{begin}?at=3&step=tool-1-0"));
        assert_eq!(Wanted::default().address(id, Tab::Timeline), begin);
    }

    #[test]
    fn every_view_has_a_path_of_its_own() {
        for tab in Tab::ALL {
            assert_eq!(Tab::named(tab.path()), Some(tab).filter(|t| *t != Tab::Timeline));
        }
    }
}
