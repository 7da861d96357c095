//! Where two runs part. Pure.
//!
//! Steps are compared by their place (turn, kind, call), in the order of the turns. A run that has not come as far yet does
//! not differ there: only what both have, or what one has and the other, which has ended, never will.

use std::collections::BTreeMap;

use crate::store::read::diff::{Step, Text};

/// How a step of one run is to the step in its place of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The same was given and came.
    Same,
    /// One of them has not ended, or has not come so far.
    Open,
    /// Another tool, or another kind of thing.
    OtherStep,
    /// Other arguments.
    OtherInput,
    /// Something else came of it.
    OtherOutcome,
    /// Only the first run has it.
    OnlyFirst,
    /// Only the second run has it.
    OnlySecond,
}

impl Relation {
    /// Whether the runs differ there.
    pub fn differs(self) -> bool {
        !matches!(self, Self::Same | Self::Open)
    }

    /// In words, as a program reads it, too.
    pub fn words(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Open => "open",
            Self::OtherStep => "other step",
            Self::OtherInput => "other input",
            Self::OtherOutcome => "other outcome",
            Self::OnlyFirst => "only in A",
            Self::OnlySecond => "only in B",
        }
    }
}

/// Two steps in one place.
#[derive(Debug)]
pub struct Pair<'a> {
    /// Of the first run.
    pub a: Option<&'a Step>,
    /// Of the second run.
    pub b: Option<&'a Step>,
    /// How they are to each other.
    pub is: Relation,
}

impl Pair<'_> {
    /// Whichever there is.
    pub fn any(&self) -> &Step {
        self.a.or(self.b).expect("a pair has one step at least")
    }
}

/// Steps of two runs by their places; `over` says of each run whether it has ended.
pub fn pairs<'a>(a: &'a [Step], b: &'a [Step], over: (bool, bool)) -> Vec<Pair<'a>> {
    let place = |s: &Step| (s.turn, ["model", "tool", "check"].iter().position(|k| *k == s.kind), s.call);
    let mut places: BTreeMap<_, (Option<&Step>, Option<&Step>)> = BTreeMap::new();
    for step in a {
        places.entry(place(step)).or_default().0 = Some(step);
    }
    for step in b {
        places.entry(place(step)).or_default().1 = Some(step);
    }
    let relation = |a: Option<&Step>, b: Option<&Step>| match (a, b) {
        (Some(a), Some(b)) => relation(a, b),
        (Some(_), None) if over.1 => Relation::OnlyFirst,
        (None, Some(_)) if over.0 => Relation::OnlySecond,
        _ => Relation::Open,
    };
    places.into_values().map(|(a, b)| Pair { a, b, is: relation(a, b) }).collect()
}

fn relation(a: &Step, b: &Step) -> Relation {
    // Another model is no other step: what it answers tells.
    if a.name != b.name && a.kind != "model" {
        return Relation::OtherStep;
    }
    if !same(a.given.as_ref(), b.given.as_ref()) {
        return Relation::OtherInput;
    }
    match (a.is_over, b.is_over) {
        (true, true) if same(a.came.as_ref(), b.came.as_ref()) => Relation::Same,
        (true, true) => Relation::OtherOutcome,
        _ => Relation::Open,
    }
}

/// The same text, or the same JSON in another order.
fn same(a: Option<&Text>, b: Option<&Text>) -> bool {
    let json = |text: &Text| serde_json::from_str::<serde_json::Value>(&text.text).ok();
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.hash == b.hash || json(a).is_some_and(|value| Some(value) == json(b)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(kind: &str, turn: i32, call: i16, name: &str, given: &str, came: &str) -> Step {
        let text =
            |text: &str| (!text.is_empty()).then(|| Text { text: text.to_owned(), hash: text.to_owned() });
        let (kind, name) = (kind.to_owned(), name.to_owned());
        Step { kind, turn, call, name, given: text(given), came: text(came), is_over: !came.is_empty() }
    }

    fn relations(a: &[Step], b: &[Step], over: (bool, bool)) -> Vec<Relation> {
        pairs(a, b, over).iter().map(|p| p.is).collect()
    }

    #[test]
    fn the_first_difference_is_where_something_else_was_asked_or_came() {
        use Relation::{OnlyFirst, OtherInput, OtherOutcome, OtherStep, Same};
        let a = [
            step("model", 1, 0, "demo/x", "", "look"),
            step("tool", 1, 0, "look", r#"{"a":1,"b":2}"#, "1"),
            step("tool", 1, 1, "act", "{}", "1"),
            step("model", 2, 0, "demo/x", "", "done"),
        ];
        let mut b = a.clone();
        b[0].name = "demo/y".into();
        b[1] = step("tool", 1, 0, "look", r#"{"b":2,"a":1}"#, "1");
        assert_eq!(relations(&a, &b, (true, true)), [Same; 4]);
        b[1] = step("tool", 1, 0, "look", r#"{"a":2}"#, "1");
        b[2] = step("tool", 1, 1, "other", "{}", "1");
        b[3].came = None;
        assert_eq!(relations(&a, &b, (true, true)), [Same, OtherInput, OtherStep, OtherOutcome]);
        assert_eq!(relations(&a, &b[..1], (true, true)), [Same, OnlyFirst, OnlyFirst, OnlyFirst]);
    }

    #[test]
    fn a_run_that_is_behind_does_not_differ() {
        use Relation::{Open, Same};
        let a = [step("model", 1, 0, "m", "", "x"), step("model", 2, 0, "m", "", "y")];
        assert_eq!(relations(&a, &a[..1], (true, false)), [Same, Open]);
        let b = [a[0].clone(), step("model", 2, 0, "m", "", "")];
        assert_eq!(relations(&a, &b, (true, false)), [Same, Open]);
        assert!(!Open.differs() && !Same.differs());
    }
}
