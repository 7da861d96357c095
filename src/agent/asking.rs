//! How a tool asks people: whom, how many of them, for how long, and what happens when nobody decides. Pure.
//!
//! The protocol knows only `approvalRequired` and the tool type `human`, which ask anybody, for ever. The rest stands in
//! the tool's `config`, which the protocol leaves to servers:
//!
//! ```json
//! {"approval": {"group": "finance-leads", "quorum": 2, "timeoutSeconds": 3600, "onTimeout": "escalate",
//!               "escalateTo": "directors", "notRequester": true}}
//! ```

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// Longest name of a group.
const NAME: usize = 200;
/// Most people that must agree.
const QUORUM: i16 = 100;

/// How people are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    /// Whose decision it is; anybody's when nobody is named.
    pub group: Option<String>,
    /// How many of them must approve.
    pub quorum: i16,
    /// For how long, and what happens then.
    pub expiry: Option<(Duration, Expiry)>,
    /// Whether whoever started the run can't be one of them.
    pub not_requester: bool,
}

impl Default for Asking {
    fn default() -> Self {
        Self { group: None, quorum: 1, expiry: None, not_requester: false }
    }
}

/// What happens when nobody has decided in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiry {
    /// It counts as denied.
    Deny,
    /// It counts as approved.
    Approve,
    /// Another group is asked, once more for as long; then it counts as denied.
    Escalate {
        /// That group.
        to: String,
    },
}

impl Expiry {
    /// As stored: `deny`, `approve`, `escalate`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Approve => "approve",
            Self::Escalate { .. } => "escalate",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    group: Option<String>,
    quorum: Option<i16>,
    timeout_seconds: Option<f64>,
    on_timeout: Option<String>,
    escalate_to: Option<String>,
    not_requester: Option<bool>,
}

impl Asking {
    /// Read the `approval` of a tool's `config`. `is_question`: it is a person's answer that is wanted.
    ///
    /// # Errors
    ///
    /// What is wrong, for whoever sent it.
    pub fn parse(value: &Value, is_question: bool) -> Result<Self, String> {
        let config: Config = serde_json::from_value(value.clone()).map_err(|e| e.to_string())?;
        for name in config.group.iter().chain(&config.escalate_to) {
            if name.trim().is_empty() || name.chars().count() > NAME {
                return Err(format!("a group's name must be 1 to {NAME} characters long"));
            }
        }
        let quorum = config.quorum.unwrap_or(1);
        if !(1..=QUORUM).contains(&quorum) || (is_question && quorum != 1) {
            return Err(format!("quorum must be 1 to {QUORUM}, and 1 for a tool that a person answers"));
        }
        let expiry = match (config.on_timeout.as_deref().unwrap_or("deny"), config.escalate_to) {
            ("deny", None) => Expiry::Deny,
            ("approve", None) if !is_question => Expiry::Approve,
            ("escalate", Some(to)) => Expiry::Escalate { to },
            ("escalate", None) => return Err("onTimeout is escalate, but escalateTo names no group".into()),
            (_, Some(_)) => return Err("escalateTo needs onTimeout to be escalate".into()),
            (other, None) => {
                let words = if is_question { "deny or escalate" } else { "deny, approve or escalate" };
                return Err(format!("onTimeout can be {words}, not '{other}'"));
            }
        };
        let expiry = match config.timeout_seconds {
            None if config.on_timeout.is_some() => {
                return Err("onTimeout needs timeoutSeconds".into());
            }
            None => None,
            Some(secs) if (0.001..=3.2e9).contains(&secs) => Some((Duration::from_secs_f64(secs), expiry)),
            Some(_) => return Err("timeoutSeconds must be a positive number of seconds".into()),
        };
        let not_requester = config.not_requester.unwrap_or_default();
        Ok(Self { group: config.group, quorum, expiry, not_requester })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tool_says_whom_it_asks_and_for_how_long() {
        let asking = Asking::parse(
            &json!({"group": "leads", "quorum": 2, "timeoutSeconds": 60, "onTimeout": "escalate", "escalateTo": "bosses",
                    "notRequester": true}),
            false,
        );
        let expiry = Some((Duration::from_mins(1), Expiry::Escalate { to: "bosses".into() }));
        assert_eq!(
            asking,
            Ok(Asking { group: Some("leads".into()), quorum: 2, expiry, not_requester: true })
        );
        assert_eq!(Asking::parse(&json!({}), true), Ok(Asking::default()));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (wrong, word) in [
            (json!({"quorum": 0}), "quorum"),
            (json!({"group": " "}), "name"),
            (json!({"onTimeout": "deny"}), "timeoutSeconds"),
            (json!({"timeoutSeconds": -1}), "positive"),
            (json!({"timeoutSeconds": 5, "onTimeout": "shrug"}), "shrug"),
            (json!({"timeoutSeconds": 5, "onTimeout": "escalate"}), "escalateTo"),
            (json!({"timeoutSeconds": 5, "escalateTo": "x"}), "escalate"),
            (json!({"who": "x"}), "who"),
            (json!([]), "invalid"),
        ] {
            let why = Asking::parse(&wrong, false).unwrap_err();
            assert!(why.contains(word), "{wrong}: {why}");
        }
        let approve = json!({"timeoutSeconds": 5, "onTimeout": "approve"});
        assert!(Asking::parse(&approve, false).is_ok());
        assert!(Asking::parse(&approve, true).unwrap_err().contains("deny or escalate"));
    }
}
