//! Rules of the house: which calls need a person, whatever their tool says. Pure.
//!
//! A policy is for calls of tools, and agents, whose names fit a pattern in which `*` stands for any text. Policies are looked
//! at in their order, and the first one that matches a call counts. It says `always`, `never`, or `when` an argument is above
//! a number or equals a value. One that says `never` lets calls go that a policy further down would stop; those of tools that
//! ask by themselves only when it `waives` that. A tool that a person answers is nobody's to rule about.

use serde_json::Value;

use super::{Asking, Expiry, Tool, ToolKind};

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Whose calls: a pattern.
    pub agent: String,
    /// Calls of what: a pattern.
    pub tool: String,
    /// What it says.
    pub rule: Rule,
    /// How people are asked.
    pub asking: Asking,
}

/// What a policy says about calls.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// They need a person.
    Always,
    /// They need nobody.
    Never {
        /// Not even when the tool itself says so.
        waives: bool,
    },
    /// They need a person on a condition.
    When {
        /// Names, with dots between them: `order.amount`.
        argument: String,
        /// The condition.
        is: Condition,
    },
}

/// When an argument makes a call need a person.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Greater than this. What is missing or is no number counts as greater: a person looks at it.
    Above(f64),
    /// The same as this.
    Equals(Value),
}

/// Whether people must let a call go.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruling<'a> {
    /// The policy that says so.
    pub policy: &'a Policy,
    /// What it says.
    pub asks: bool,
}

/// What the first matching one of `policies` says about a call; `None`: as its tool says.
#[must_use]
pub fn ruling<'a>(policies: &'a [Policy], agent: &str, tool: &Tool, arguments: &Value) -> Option<Ruling<'a>> {
    if tool.kind == ToolKind::Human {
        return None;
    }
    let policy = policies.iter().find(|p| p.matches(agent, &tool.name, arguments))?;
    let asks = !matches!(policy.rule, Rule::Never { .. });
    let counts = asks || !tool.is_gated() || policy.rule == (Rule::Never { waives: true });
    counts.then_some(Ruling { policy, asks })
}

impl Policy {
    /// What it says, for people.
    #[must_use]
    pub fn says(&self) -> String {
        match &self.rule {
            Rule::Always => "always".to_owned(),
            Rule::Never { waives: false } => "never".to_owned(),
            Rule::Never { waives: true } => "never, whatever the tool says".to_owned(),
            Rule::When { argument, is: Condition::Above(most) } => format!("when {argument} is above {most}"),
            Rule::When { argument, is: Condition::Equals(value) } => format!("when {argument} is {value}"),
        }
    }

    /// Whom it asks, for how long, and what happens then, for people; empty when it asks nobody.
    #[must_use]
    pub fn asks(&self) -> String {
        if matches!(self.rule, Rule::Never { .. }) {
            return String::new();
        }
        let asking = &self.asking;
        let mut text = asking.group.clone().unwrap_or_else(|| "anybody".to_owned());
        if asking.quorum > 1 {
            text = format!("{} of {text}", asking.quorum);
        }
        if asking.not_requester {
            text.push_str(", not who started the run");
        }
        if let Some((time, then)) = &asking.expiry {
            let then = match then {
                Expiry::Deny => "it is denied".to_owned(),
                Expiry::Approve => "it is approved".to_owned(),
                Expiry::Escalate { to } => format!("{to} is asked"),
            };
            text = format!("{text}; after {} s {then}", time.as_secs_f64());
        }
        text
    }

    fn matches(&self, agent: &str, tool: &str, arguments: &Value) -> bool {
        fits(&self.agent, agent)
            && fits(&self.tool, tool)
            && match &self.rule {
                Rule::Always | Rule::Never { .. } => true,
                Rule::When { argument, is } => is.holds(found(arguments, argument)),
            }
    }
}

impl Condition {
    fn holds(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Equals(wanted) => value == Some(wanted),
            Self::Above(most) => {
                let number = value.and_then(|v| v.as_f64().or_else(|| v.as_str()?.trim().parse().ok()));
                number.is_none_or(|n| n.is_nan() || n > *most)
            }
        }
    }
}

fn found<'a>(arguments: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(arguments, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        value => value.get(name),
    })
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(name: &str, asking: Option<Asking>) -> Tool {
        Tool {
            name: name.into(),
            description: String::new(),
            input_schema: json!({}),
            kind: ToolKind::Worker,
            stateful: false,
            max_calls: None,
            allowed_commands: None,
            asking,
        }
    }

    fn policy(tool: &str, rule: Rule) -> Policy {
        Policy {
            name: format!("{rule:?}"),
            agent: "*".into(),
            tool: tool.into(),
            rule,
            asking: Asking::default(),
        }
    }

    fn asks(policies: &[Policy], tool: &Tool, arguments: &Value) -> Option<bool> {
        ruling(policies, "support", tool, arguments).map(|r| r.asks)
    }

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, is) in [
            ("*", "", true),
            ("refund", "refund", true),
            ("refund", "refunds", false),
            ("refund*", "refund_all", true),
            ("*_all", "refund_all", true),
            ("r*d*l", "refund_all", true),
            ("a*a", "a", false),
            ("*x*", "refund", false),
            ("é*", "été", true),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn the_first_policy_that_matches_counts() {
        let policies = [
            policy("refund_test", Rule::Never { waives: false }),
            policy("refund*", Rule::Always),
            policy("*", Rule::Never { waives: true }),
        ];
        assert_eq!(asks(&policies, &tool("refund_test", None), &json!({})), Some(false));
        assert_eq!(asks(&policies, &tool("refund_all", None), &json!({})), Some(true));
        let gated = Some(Asking::default());
        assert_eq!(
            asks(&policies, &tool("refund_test", gated.clone()), &json!({})),
            None,
            "it waives nothing"
        );
        assert_eq!(asks(&policies, &tool("delete", gated), &json!({})), Some(false));
        assert_eq!(asks(&[], &tool("delete", None), &json!({})), None);
        let human = Tool { kind: ToolKind::Human, ..tool("ask", Some(Asking::default())) };
        assert_eq!(asks(&policies, &human, &json!({})), None);
        let other = [Policy { agent: "sales*".into(), ..policy("*", Rule::Always) }];
        assert_eq!(asks(&other, &tool("refund", None), &json!({})), None);
    }

    #[test]
    fn what_is_above_needs_a_person_and_so_does_what_is_no_number() {
        let when = |argument: &str, is| [policy("*", Rule::When { argument: argument.into(), is })];
        let above = when("order.amount", Condition::Above(500.0));
        for (arguments, expected) in [
            (json!({"order": {"amount": 500}}), None),
            (json!({"order": {"amount": 500.01}}), Some(true)),
            (json!({"order": {"amount": "1240"}}), Some(true)),
            (json!({"order": {"amount": "12"}}), None),
            (json!({"order": {"amount": "NaN"}}), Some(true)),
            (json!({"order": {"amount": [600]}}), Some(true)),
            (json!({"order": {}}), Some(true)),
            (json!({}), Some(true)),
        ] {
            assert_eq!(asks(&above, &tool("refund", None), &arguments), expected, "{arguments}");
        }
        let equals = when("to.0", Condition::Equals(json!("board")));
        assert_eq!(asks(&equals, &tool("mail", None), &json!({"to": ["board"]})), Some(true));
        assert_eq!(asks(&equals, &tool("mail", None), &json!({"to": ["staff", "board"]})), None);
        assert_eq!(asks(&equals, &tool("mail", None), &json!({})), None);
    }
}
