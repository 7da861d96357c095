//! What an execution gives back, and what its tools share. Pure.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{self, Json};

/// The output of an execution in storable form: `{"result", "finishReason", "context"}`. `text` is as the model said it.
#[must_use]
pub fn output(text: Option<&str>, finish: &str, context: &Json) -> Json {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Output<'a> {
        result: Option<Json>,
        finish_reason: &'a str,
        context: &'a Json,
    }
    Json::of(&Output { result: text.map(result), finish_reason: finish, context })
}

/// The output of an execution that a person ended by refusing a call: what the protocol's clients look for.
#[must_use]
pub fn rejection(reason: &str, context: &Json) -> Json {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Output<'a> {
        result: (),
        finish_reason: &'static str,
        rejection_reason: &'a str,
        context: &'a Json,
    }
    Json::of(&Output { result: (), finish_reason: "rejected", rejection_reason: reason, context })
}

/// An answer as a result, storable: the object that it is, also inside a fence, else the text.
fn result(text: &str) -> Json {
    let inner = text.trim();
    let inner = inner.strip_prefix("```json").and_then(|t| t.strip_suffix("```")).map_or(inner, str::trim);
    if inner.starts_with('{')
        && let Ok(object) = json::storable(inner.as_bytes())
        && let Ok(object) = Json::from_text(object.into_owned())
    {
        return object;
    }
    Json::of(&json::storable_text(text))
}

/// Merge what a tool returned under `_state_updates` into what the tools share; `None` when nothing changes.
///
/// Shallow: a value replaces the one before, except that of two arrays the new one's items are added where they are
/// not there yet. Values pass through as they were sent.
#[must_use]
pub fn merge(context: &Json, output: &Json) -> Option<Json> {
    #[derive(Deserialize)]
    struct Peek {
        #[serde(rename = "_state_updates")]
        updates: Option<IndexMap<String, Box<RawValue>>>,
    }
    if !output.text().contains("\"_state_updates\"") {
        return None;
    }
    let updates = serde_json::from_str::<Peek>(output.text()).ok()?.updates.filter(|u| !u.is_empty())?;
    let mut merged: IndexMap<String, Box<RawValue>> =
        serde_json::from_str(context.text()).unwrap_or_default();
    for (key, new) in updates {
        let value = merged.get(&key).and_then(|old| union(old, &new)).unwrap_or(new);
        merged.insert(key, value);
    }
    let merged = Json::of(&merged);
    (merged != *context).then_some(merged)
}

/// Two arrays as one without repetitions; `None` when one of them is none.
fn union(old: &RawValue, new: &RawValue) -> Option<Box<RawValue>> {
    let mut items: Vec<&RawValue> = array(old)?;
    let value = |raw: &RawValue| serde_json::from_str::<serde_json::Value>(raw.get()).ok();
    let mut known: Vec<_> = items.iter().map(|i| value(i)).collect();
    for item in array(new)? {
        let parsed = value(item);
        if !known.contains(&parsed) {
            known.push(parsed);
            items.push(item);
        }
    }
    serde_json::value::to_raw_value(&items).ok()
}

fn array(raw: &RawValue) -> Option<Vec<&RawValue>> {
    if raw.get().starts_with('[') { serde_json::from_str(raw.get()).ok() } else { None }
}

/// What a stop-when worker said: go on unless it says otherwise.
#[must_use]
pub fn should_continue(output: &Json) -> bool {
    let value = output.value();
    let said =
        value.get("should_continue").or_else(|| value.get("result").and_then(|r| r.get("should_continue")));
    said.or_else(|| value.get("result")).and_then(serde_json::Value::as_bool).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::from_text(text.to_owned()).unwrap()
    }

    #[test]
    fn an_answer_that_is_an_object_is_given_back_as_one() {
        let context = json("{}");
        assert_eq!(
            output(Some("```json\n{\"a\": 1e2}\n```"), "STOP", &context).text(),
            r#"{"result":{"a": 1e2},"finishReason":"STOP","context":{}}"#
        );
        assert_eq!(
            output(Some("{not json"), "STOP", &context).text(),
            r#"{"result":"{not json","finishReason":"STOP","context":{}}"#
        );
        assert_eq!(
            output(None, "TOOL_CALLS", &context).text(),
            r#"{"result":null,"finishReason":"TOOL_CALLS","context":{}}"#
        );
    }

    #[test]
    fn an_answer_that_postgres_would_refuse_is_swapped_and_comes_back() {
        for (said, sent) in
            [("a\0b", r#""a\u0000b""#), (r#"{"a":"\u0000","b":"\uD800"}"#, r#"{"a":"\u0000","b":"\uD800"}"#)]
        {
            let stored = output(Some(said), "STOP", &json("{}"));
            assert!(!stored.text().contains("\\u"), "{}", stored.text());
            let back = format!(r#"{{"result":{sent},"finishReason":"STOP","context":{{}}}}"#);
            assert_eq!(json::restore(stored.text()), back);
        }
    }

    #[test]
    fn state_updates_merge_shallowly_and_arrays_unite() {
        let merged = merge(
            &json(r#"{"n":1,"list":[1,{"a":1}],"keep":"x"}"#),
            &json(r#"{"result":"ok","_state_updates":{"n":12345678901234567890123,"list":[{"a":1},2]}}"#),
        )
        .unwrap();
        assert_eq!(merged.text(), r#"{"n":12345678901234567890123,"list":[1,{"a":1},2],"keep":"x"}"#);
        assert_eq!(merge(&merged, &json(r#"{"result":1}"#)), None);
        assert_eq!(merge(&json(r#"{"a":1}"#), &json(r#"{"_state_updates":{"a":1}}"#)), None);
    }

    #[test]
    fn a_stop_when_worker_may_wrap_its_answer() {
        assert!(!should_continue(&json(r#"{"should_continue":false}"#)));
        assert!(!should_continue(&json(r#"{"result":{"should_continue":false}}"#)));
        assert!(should_continue(&json("{}")));
    }
}
