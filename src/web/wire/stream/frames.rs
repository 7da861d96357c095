//! What a stream shows of an event: none, one or two frames.
//!
//! An event may become two frames (a tool's call and its result), so a frame's number is twice the event's, and one more for
//! the second; less what makes the first frame of a run number 1, because event 1, the start, has none.

use actix_web::web::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::agent::{Agent, ToolKind};
use crate::id::ExecutionId;
use crate::json;
use crate::store::read::events::Event;
use crate::store::read::executions::Execution;
use crate::web::wire::task::{Fields, fields, raw};
use crate::web::wire::words;

/// The number of an event's first or second frame.
pub fn frame_id(seq: i32, second: bool) -> i64 {
    i64::from(seq) * 2 - 3 + i64::from(second)
}

/// The event that a frame is of.
pub fn seq_of(id: i64) -> i32 {
    i32::try_from(id.saturating_add(3) / 2).unwrap_or(i32::MAX)
}

pub fn is_end(kind: &str) -> bool {
    matches!(kind, "completed" | "failed" | "terminated" | "timed_out")
}

/// One frame of the stream.
pub struct Frame {
    pub id: i64,
    kind: &'static str,
    payload: Fields,
}

impl Frame {
    fn new<const N: usize>(
        event: &Event,
        second: bool,
        kind: &'static str,
        payload: [(&str, Box<RawValue>); N],
    ) -> Self {
        let id = frame_id(event.seq, second);
        Self { id, kind, payload: payload.map(|(key, value)| (key.to_owned(), value)).into_iter().collect() }
    }

    pub fn bytes(self, execution: ExecutionId, at_ms: i64) -> Bytes {
        let mut data = Fields::new();
        data.insert("id".into(), raw(&self.id));
        data.insert("type".into(), raw(self.kind));
        data.insert("executionId".into(), raw(&execution));
        data.insert("timestamp".into(), raw(&at_ms));
        data.extend(self.payload);
        let text = serde_json::to_string(&data).expect("maps with string keys always serialise");
        // Values are as clients sent them, line breaks between tokens included; inside of texts those are escapes.
        let line = json::restore(&text).replace(['\r', '\n'], " ");
        Bytes::from(format!("id:{}\nevent:{}\ndata:{line}\n\n", self.id, self.kind))
    }
}

/// What the stream shows of an event. `end` is the execution, for the event that ended it.
pub fn frames(event: &Event, agent: &Agent, end: Option<&Execution>) -> Vec<Frame> {
    let one = |kind, payload| vec![Frame::new(event, false, kind, payload)];
    match event.kind.as_str() {
        "model_called" => {
            let turn = event.turn.and_then(|t| u32::try_from(t).ok()).unwrap_or(1);
            let reference = raw(&words::model_reference(agent, turn));
            vec![Frame::new(
                event,
                false,
                "thinking",
                [("content", reference.clone()), ("message", reference)],
            )]
        }
        "tool_called" if waits_for_messages(event, agent) => {
            let turn = event.turn.unwrap_or(1);
            let name = event.call_id.as_deref().or(event.name.as_deref()).unwrap_or_default();
            one("waiting", [("pendingTool", raw(&json!({ "taskRefName": format!("{name}__{turn}") })))])
        }
        "tool_returned" | "tool_failed" => {
            let name = event.name.clone().unwrap_or_default();
            let args = event.input.as_ref().map_or_else(|| raw(&json!({})), raw);
            call_and_result(event, &name, args, result(event))
        }
        "call_refused" => {
            let data = event.data.as_ref().map(fields).unwrap_or_default();
            let name = text(&data, "name").unwrap_or_default();
            let answer = text(&data, "text").unwrap_or_default();
            call_and_result(event, &name, raw(&json!({})), raw(&answer))
        }
        "approval_asked" => event
            .asked
            .as_ref()
            .and_then(|asked| crate::web::wire::human::waiting(agent, asked))
            .map_or_else(Vec::new, |pending| one("waiting", [("pendingTool", raw(&pending))])),
        "approval_denied" | "approval_answered" => {
            let data = event.data.as_ref().map(fields).unwrap_or_default();
            // A refusal by the protocol ends the run, and nobody is told its result.
            if text(&data, "via").as_deref() == Some("protocol") && event.output.is_none() {
                return vec![];
            }
            let name = text(&data, "name").unwrap_or_default();
            let args = event.input.as_ref().map_or_else(|| raw(&json!({})), raw);
            let result = match &event.output {
                Some(_) => result(event),
                None => raw(&json!({ "status": "DENIED", "error": event.error })),
            };
            call_and_result(event, &name, args, result)
        }
        "condensed" => {
            let data = event.data.as_ref().map(fields).unwrap_or_default();
            let field = |key: &str| data.get(key).cloned().unwrap_or_else(|| raw(&Value::Null));
            vec![Frame::new(
                event,
                false,
                "context_condensed",
                [
                    ("content", field("trigger")),
                    ("messagesBefore", field("before")),
                    ("messagesAfter", field("after")),
                    ("exchangesCondensed", field("exchanges")),
                ],
            )]
        }
        "paused" => one("waiting", [("pendingTool", raw(&json!({})))]),
        "completed" => {
            let output = end.and_then(|e| e.output.as_ref()).map_or_else(|| raw(&json!({})), raw);
            one("done", [("output", output)])
        }
        "failed" | "terminated" | "timed_out" => {
            let reason = end.and_then(|e| e.reason.clone()).unwrap_or_else(|| event.kind.clone());
            let (content, message) = (raw(&reason), raw(&reason));
            vec![Frame::new(
                event,
                false,
                "error",
                [("content", content), ("message", message), ("toolName", raw("workflow"))],
            )]
        }
        _ => vec![],
    }
}

/// Whether a call waits for nobody but messages.
fn waits_for_messages(event: &Event, agent: &Agent) -> bool {
    let tool = event.name.as_deref().and_then(|name| agent.tool(name));
    tool.is_some_and(|tool| matches!(tool.kind, ToolKind::Inbox { .. }))
}

/// A call right before its result: clients pair them by their order, also when tools ran side by side.
fn call_and_result(event: &Event, name: &str, args: Box<RawValue>, result: Box<RawValue>) -> Vec<Frame> {
    vec![
        Frame::new(
            event,
            false,
            "tool_call",
            [("toolName", raw(name)), ("args", args.clone()), ("input", args)],
        ),
        Frame::new(event, true, "tool_result", [("toolName", raw(name)), ("result", result)]),
    ]
}

/// `result` of a tool's output when there is one, else the whole; of a failure its reason.
fn result(event: &Event) -> Box<RawValue> {
    if event.kind == "tool_failed" {
        return raw(&json!({ "status": "FAILED", "error": event.error }));
    }
    let Some(output) = &event.output else { return raw(&json!({})) };
    match fields(output).shift_remove("result") {
        Some(result) if result.get() != "null" => result,
        _ => raw(output),
    }
}

fn text(fields: &Fields, key: &str) -> Option<String> {
    fields.get(key).and_then(|v| serde_json::from_str(v.get()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Status;
    use crate::json::Json;

    fn agent() -> Agent {
        Agent::parse(r#"{"name":"ops","model":"demo/x","tools":[{"name":"look"}]}"#).unwrap()
    }

    fn event(seq: i32, kind: &str) -> Event {
        Event {
            seq,
            kind: kind.into(),
            data: None,
            at: jiff::Timestamp::UNIX_EPOCH,
            turn: Some(2),
            name: None,
            call_id: None,
            input: None,
            output: None,
            error: None,
            asked: None,
        }
    }

    fn json(text: &str) -> Json {
        Json::from_text(text.into()).unwrap()
    }

    fn ended(status: Status, output: Option<Json>, reason: Option<&str>) -> Execution {
        Execution {
            id: ExecutionId::new(),
            agent: "ops".into(),
            version: 1,
            status,
            reason: reason.map(str::to_owned),
            input: Json::null(),
            context: Json::null(),
            output,
            last_seq: 9,
            start_key: None,
            session_id: None,
            domains: None,
            priority: 0,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
            ended_at: Some(jiff::Timestamp::UNIX_EPOCH),
        }
    }

    fn shown(event: &Event, end: Option<&Execution>) -> Vec<(i64, String, Value)> {
        let show = |frame: Frame| {
            let (id, kind) = (frame.id, frame.kind.to_owned());
            let text = String::from_utf8(frame.bytes(ExecutionId::new(), 5).to_vec()).unwrap();
            assert!(
                text.starts_with(&format!("id:{id}\nevent:{kind}\ndata:{{")) && text.ends_with("}\n\n"),
                "{text}"
            );
            assert_eq!(text.lines().count(), 4, "one line of data: {text}");
            let data = text.lines().nth(2).unwrap().strip_prefix("data:").unwrap();
            (id, kind, serde_json::from_str(data).unwrap())
        };
        frames(event, &agent(), end).into_iter().map(show).collect()
    }

    #[test]
    fn a_tool_is_a_call_right_before_its_result() {
        let returned = Event {
            name: Some("look".into()),
            input: Some(json("{\"n\":\n 1.50}")),
            output: Some(json(r#"{"result":{"a":1},"_state_updates":{}}"#)),
            ..event(7, "tool_returned")
        };
        let shown = shown(&returned, None);
        let [(11, call, args), (12, result, value)] = &shown[..] else { panic!("{shown:?}") };
        assert_eq!((call.as_str(), result.as_str()), ("tool_call", "tool_result"));
        assert_eq!(
            (&args["args"], &args["input"], &value["result"]),
            (&json!({"n": 1.5}), &json!({"n": 1.5}), &json!({"a": 1}))
        );
        assert_eq!((&value["toolName"], &value["timestamp"]), (&json!("look"), &json!(5)));
    }

    #[test]
    fn a_result_without_that_key_is_the_whole_output() {
        let returned =
            Event { output: Some(json(r#"{"result":null,"rows":2}"#)), ..event(1, "tool_returned") };
        assert_eq!(shown(&returned, None)[1].2["result"], json!({"result": null, "rows": 2}));
    }

    #[test]
    fn a_tool_that_failed_for_good_is_no_error_of_the_stream() {
        let failed = Event { error: Some("boom".into()), ..event(3, "tool_failed") };
        let kinds: Vec<_> = shown(&failed, None).into_iter().map(|(_, kind, _)| kind).collect();
        assert_eq!(kinds, ["tool_call", "tool_result"]);
        assert!(shown(&event(4, "attempt_failed"), None).is_empty(), "it is tried again");
    }

    #[test]
    fn a_call_that_no_tool_answered_is_shown_with_its_answer() {
        let refused = Event {
            data: Some(json(r#"{"turn":1,"call":0,"id":"call_1","name":"nope","text":"no such tool"}"#)),
            ..event(2, "call_refused")
        };
        assert_eq!(shown(&refused, None)[1].2["result"], "no such tool");
    }

    #[test]
    fn the_calls_of_a_turn_that_wait_for_a_decision_are_one_wait() {
        let asked = Event {
            asked: Some(json(
                r#"[{"kind":"call","turn":2,"call_id":"c1","name":"look","arguments":{"n": 1.50}},
                    {"kind":"call","turn":2,"call_id":"c2","name":"look","arguments":{}}]"#,
            )),
            ..event(5, "approval_asked")
        };
        let (_, kind, frame) = &shown(&asked, None)[0];
        let pending = &frame["pendingTool"];
        assert_eq!((kind.as_str(), &pending["taskRefName"]), ("waiting", &json!("ops_approval_human__2")));
        assert_eq!((&pending["tool_name"], &pending["parameters"]), (&json!("look"), &json!({"n": 1.5})));
        assert_eq!(pending["toolCalls"].as_array().unwrap().len(), 2);
        assert!(shown(&event(6, "approval_asked"), None).is_empty(), "it belongs to the wait before");
    }

    #[test]
    fn the_end_is_the_output_or_the_reason() {
        let output = Some(json(r#"{"result":"x\u0001","finishReason":"STOP"}"#));
        let done = &shown(&event(9, "completed"), Some(&ended(Status::Completed, output, None)))[0];
        assert_eq!(
            (done.0, done.1.as_str(), &done.2["output"]["finishReason"]),
            (15, "done", &json!("STOP"))
        );
        let error = &shown(&event(9, "timed_out"), Some(&ended(Status::TimedOut, None, Some("too long"))))[0];
        assert_eq!(
            (error.1.as_str(), &error.2["content"], &error.2["message"]),
            ("error", &json!("too long"), &json!("too long"))
        );
    }

    #[test]
    fn frames_are_numbered_from_one_and_know_their_event() {
        assert_eq!(frame_id(2, false), 1);
        for seq in 2..9 {
            assert_eq!((seq_of(frame_id(seq, false)), seq_of(frame_id(seq, true))), (seq, seq));
            assert_eq!(frame_id(seq + 1, false), frame_id(seq, true) + 1);
        }
        assert_eq!((seq_of(0), seq_of(i64::MAX), seq_of(-9)), (1, i32::MAX, -3));
    }

    #[test]
    fn a_model_call_is_named_by_its_turn() {
        assert_eq!(shown(&event(2, "model_called"), None)[0].2["content"], "ops_llm__2");
    }
}
