//! An answer as a provider gave it, made into one that the rest of Tenure can rely on.
use std::collections::HashSet;

use uuid::Uuid;

use super::{Arguments, Call, Finish, Reply, Usage};

/// How many calls of one answer are kept.
const MAX_CALLS: usize = 128;
/// The longest call id that is kept as it is.
const MAX_ID: usize = 128;

/// What a wire format read, before ids, limits and finish reason are settled.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub text: String,
    pub calls: Vec<DraftCall>,
    /// `None` where the provider gave no reason or one that we don't know.
    pub finish: Option<Finish>,
    pub usage: Usage,
    pub reasoning: Option<String>,
    pub response_id: Option<String>,
}

/// A call with the id that the provider gave it, if any.
#[derive(Debug)]
pub(super) struct DraftCall {
    pub id: Option<String>,
    pub name: String,
    pub arguments: Arguments,
}

impl Draft {
    /// Gives every call its id, cuts what is too much and says so in the text, and makes the finish
    /// reason agree with what the answer holds.
    pub(super) fn seal(self) -> Reply {
        let Self { mut text, calls: drafted, finish, usage, reasoning, response_id } = self;
        if drafted.len() > MAX_CALLS {
            let note = format!("[Only the first {MAX_CALLS} of {} tool calls were kept.]", drafted.len());
            text = if text.is_empty() { note } else { format!("{text}\n\n{note}") };
        }
        let mut taken = HashSet::new();
        let calls: Vec<Call> = drafted
            .into_iter()
            .take(MAX_CALLS)
            .map(|call| Call {
                id: unique(&call_id(call.id.as_deref()), &mut taken),
                name: call.name,
                arguments: call.arguments,
            })
            .collect();
        let finish = match finish {
            None | Some(Finish::Stop | Finish::ToolCalls) if calls.is_empty() => Finish::Stop,
            None | Some(Finish::Stop | Finish::ToolCalls) => Finish::ToolCalls,
            Some(other) => other,
        };
        let reasoning = reasoning.filter(|r| !r.trim().is_empty());
        Reply { text, calls, finish, usage, reasoning, response_id }
    }
}

/// The provider's id with our prefix, or a fresh one where there is none that can be kept.
fn call_id(given: Option<&str>) -> String {
    match given.map(str::trim) {
        Some(id) if !id.is_empty() && id.len() <= MAX_ID && id.chars().all(|c| c.is_ascii_graphic()) => {
            if id.starts_with("call_") { id.to_owned() } else { format!("call_{id}") }
        }
        _ => format!("call_{}", Uuid::now_v7().simple()),
    }
}

fn unique(id: &str, taken: &mut HashSet<String>) -> String {
    let mut candidate = id.to_owned();
    let mut n = 1;
    while !taken.insert(candidate.clone()) {
        n += 1;
        candidate = format!("{id}_{n}");
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_ids(ids: &[Option<&str>]) -> Vec<String> {
        let calls = ids
            .iter()
            .map(|id| DraftCall {
                id: id.map(str::to_owned),
                name: "t".into(),
                arguments: Arguments::parse("{}"),
            })
            .collect();
        Draft { calls, ..Draft::default() }.seal().calls.into_iter().map(|c| c.id).collect()
    }

    #[test]
    fn a_providers_id_is_kept_and_a_foreign_one_gets_the_prefix() {
        assert_eq!(with_ids(&[Some("call_a1"), Some("toolu_01")]), ["call_a1", "call_toolu_01"]);
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_provider_sends_every_id_has_the_prefix_and_is_unique(
            ids in proptest::collection::vec(proptest::option::of("(call_)?[0-2]?(_2)?|\\PC*"), 0..40),
        ) {
            let ids = with_ids(&ids.iter().map(Option::as_deref).collect::<Vec<_>>());
            let distinct: HashSet<_> = ids.iter().collect();
            proptest::prop_assert_eq!(distinct.len(), ids.len());
            proptest::prop_assert!(ids.iter().all(|id| id.starts_with("call_")), "{:?}", ids);
        }
    }

    #[test]
    fn a_call_without_a_usable_id_gets_a_fresh_one() {
        let ids = with_ids(&[None, Some("  "), Some("a\u{0}b"), Some(&"x".repeat(200))]);
        let distinct: HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 4);
        assert!(ids.iter().all(|id| id.starts_with("call_") && id.len() == "call_".len() + 32), "{ids:?}");
    }

    #[test]
    fn calls_with_the_same_id_get_distinct_ones() {
        assert_eq!(
            with_ids(&[Some("call_0"), Some("call_0"), Some("call_0_2"), Some("0")]),
            ["call_0", "call_0_2", "call_0_2_2", "call_0_3"]
        );
    }

    #[test]
    fn calls_beyond_the_limit_are_cut_and_the_text_says_so() {
        let calls = (0..300)
            .map(|_| DraftCall { id: None, name: "t".into(), arguments: Arguments::parse("") })
            .collect();
        let reply = Draft { text: "busy".into(), calls, ..Draft::default() }.seal();
        assert_eq!(reply.calls.len(), 128);
        assert_eq!(reply.text, "busy\n\n[Only the first 128 of 300 tool calls were kept.]");
    }

    #[test]
    fn the_finish_reason_agrees_with_the_calls() {
        let call = || DraftCall { id: None, name: "t".into(), arguments: Arguments::parse("") };
        let sealed = |calls, finish| Draft { calls, finish, ..Draft::default() }.seal().finish;
        assert_eq!(sealed(vec![call()], Some(Finish::Stop)), Finish::ToolCalls);
        assert_eq!(sealed(vec![], Some(Finish::ToolCalls)), Finish::Stop);
        assert_eq!(sealed(vec![], None), Finish::Stop);
        assert_eq!(sealed(vec![call()], Some(Finish::Length)), Finish::Length);
    }
}
