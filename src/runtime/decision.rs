//! What a person's decision means to an execution, and what the model is told of it. Pure.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::agent::schema;
use crate::engine::{Call, Event};
use crate::json::Json;
use crate::store::approvals::Undelivered;

/// A decision as the execution takes it.
pub(super) struct Delivered {
    /// The event that it is to the engine.
    pub event: Event,
    /// The kind of event that is stored.
    pub kind: &'static str,
    /// Its details.
    pub data: Json,
}

#[derive(Serialize)]
struct Data<'a> {
    approval: crate::id::ApprovalId,
    turn: u32,
    call: u16,
    name: &'a str,
    by: &'a str,
    via: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    edited: bool,
    /// A question back, rather than a refusal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    back: bool,
}

/// What decision `d` about one of the `calls` of its turn is.
pub(super) fn delivered(d: &Undelivered, calls: Vec<Call>) -> Delivered {
    let task = d.task;
    let (kind, event) = match d.decision.as_str() {
        "answered" => {
            let text = d.answer.as_ref().map_or_else(String::new, |a| told(a.text()));
            ("approval_answered", Event::Answered { task, text, calls })
        }
        "approved" => match unfit(d) {
            None => {
                let arguments = d.edited.clone().unwrap_or_else(|| d.arguments.clone());
                ("approval_approved", Event::Approved { task, arguments, feedback: feedback(d), calls })
            }
            Some(why) => {
                let text = format!(
                    "Error: this call of '{}' was approved with other arguments, which do not fit the tool: {why}. It was \
                     not made.",
                    d.tool
                );
                ("approval_denied", Event::Denied { task, text, calls })
            }
        },
        "asked" => ("approval_denied", Event::Denied { task, text: question(d), calls }),
        // The protocol's clients take a refusal for the end of the run.
        _ if d.via == "protocol" => {
            let reason = d.reason.clone().unwrap_or_default();
            ("approval_denied", Event::Rejected { task, reason })
        }
        _ => ("approval_denied", Event::Denied { task, text: denial(d), calls }),
    };
    let data = Data {
        approval: d.id,
        turn: task.turn(),
        call: task.call(),
        name: &d.tool,
        by: &d.by,
        via: &d.via,
        reason: d.reason.as_deref().filter(|r| !r.is_empty()),
        edited: d.edited.is_some(),
        back: d.decision == "asked",
    };
    Delivered { event, kind, data: Json::of(&data) }
}

/// Why edited arguments can't be used; whoever decides in SQL has nobody who checks them before.
fn unfit(d: &Undelivered) -> Option<String> {
    schema::check(&d.schema.value(), &d.edited.as_ref()?.value()).err()
}

fn denial(d: &Undelivered) -> String {
    if d.via == "clock" {
        return format!("Error: nobody decided about this call of '{}' in time, so it was not made.", d.tool);
    }
    let reason = d.reason.as_deref().unwrap_or_default();
    format!("Error: a person did not allow this call of '{}', so it was not made: {reason}", d.tool)
}

fn question(d: &Undelivered) -> String {
    let words = d.reason.as_deref().unwrap_or_default();
    format!(
        "A person asks back before they decide about this call of '{}', so it was not made: {words}\nTake what they say into \
         account, and call the tool again if it is still right.",
        d.tool
    )
}

/// What the model is told besides the result, if anything.
fn feedback(d: &Undelivered) -> Option<String> {
    let mut parts = vec![];
    if let Some(edited) = &d.edited {
        let changes = changes(&d.arguments, edited);
        if !changes.is_empty() {
            parts.push(format!(
                "A person approved the call of '{}' with other arguments, and those were used: {}.",
                d.tool,
                changes.join("; ")
            ));
        }
    }
    let reason = d.reason.as_deref().filter(|r| !r.is_empty() && d.via != "clock");
    parts.extend(reason.map(|r| format!("Human reviewer feedback: {r}")));
    (!parts.is_empty()).then(|| parts.join("\n"))
}

/// What differs between two sets of arguments, name by name.
fn changes(asked: &Json, edited: &Json) -> Vec<String> {
    let object = |json: &Json| match json.value() {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let (asked, edited) = (object(asked), object(edited));
    let mut changes = vec![];
    for (name, value) in &edited {
        match asked.get(name) {
            Some(before) if before == value => {}
            Some(before) => changes.push(format!("{name} was {before} and is now {value}")),
            None => changes.push(format!("{name} was not given and is now {value}")),
        }
    }
    let gone = asked.iter().filter(|(name, _)| !edited.contains_key(*name));
    changes.extend(gone.map(|(name, before)| format!("{name} was {before} and was left out")));
    changes
}

/// An answer as the model reads it: its `result` when it has one, else all of it.
fn told(answer: &str) -> String {
    let value: Value = serde_json::from_str(answer).unwrap_or_default();
    match value.get("result") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => answer.to_owned(),
        Some(result) => result.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::Task;
    use crate::id::{ApprovalId, ExecutionId};

    fn decided(decision: &str) -> Undelivered {
        Undelivered {
            execution: ExecutionId::new(),
            id: ApprovalId::new(),
            task: Task::Approval { turn: 1, call: 0 },
            tool: "refund".into(),
            decision: decision.into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            by: "mira".into(),
            via: "page".into(),
            reason: None,
            arguments: Json::of(&json!({"amount": 1240, "note": "x", "order": "48211"})),
            edited: None,
            answer: None,
            schema: Json::of(&json!({"type": "object", "properties": {"amount": {"type": "number"}}})),
        }
    }

    #[test]
    fn the_model_is_told_what_a_person_changed_and_said() {
        let d = Undelivered {
            edited: Some(Json::of(&json!({"amount": 1190, "order": "48211", "to": "a"}))),
            reason: Some("one photo shows old damage".into()),
            ..decided("approved")
        };
        let Event::Approved { arguments, feedback, .. } = delivered(&d, vec![]).event else { panic!() };
        assert_eq!(arguments.value()["amount"], 1190);
        assert_eq!(
            feedback.unwrap(),
            "A person approved the call of 'refund' with other arguments, and those were used: amount was 1240 and is now \
             1190; to was not given and is now \"a\"; note was \"x\" and was left out.\nHuman reviewer feedback: one photo \
             shows old damage"
        );
    }

    #[test]
    fn a_plain_approval_says_nothing() {
        let Event::Approved { feedback, arguments, .. } = delivered(&decided("approved"), vec![]).event
        else {
            panic!()
        };
        assert_eq!((feedback, arguments.value()["amount"].clone()), (None, json!(1240)));
    }

    #[test]
    fn arguments_that_do_not_fit_are_not_run() {
        let d = Undelivered { edited: Some(Json::of(&json!({"amount": "lots"}))), ..decided("approved") };
        let d = delivered(&d, vec![]);
        let Event::Denied { text, .. } = d.event else { panic!() };
        assert!(text.contains("do not fit") && text.contains("amount"), "{text}");
        assert_eq!(d.kind, "approval_denied");
    }

    #[test]
    fn a_denial_is_told_but_the_protocols_ends_the_run() {
        let denied = |via: &str| Undelivered {
            via: via.into(),
            reason: Some("anonymise instead".into()),
            ..decided("denied")
        };
        let Event::Denied { text, .. } = delivered(&denied("page"), vec![]).event else { panic!() };
        assert!(text.ends_with("so it was not made: anonymise instead"), "{text}");
        assert!(matches!(delivered(&denied("protocol"), vec![]).event, Event::Rejected { .. }));
        let Event::Denied { text, .. } = delivered(&denied("clock"), vec![]).event else { panic!() };
        assert!(text.contains("in time"), "{text}");
    }

    #[test]
    fn the_model_is_told_what_a_person_asks_back() {
        let d = Undelivered { reason: Some("which photo?".into()), ..decided("asked") };
        let told = delivered(&d, vec![]);
        let Event::Denied { text, .. } = told.event else { panic!() };
        assert!(text.contains("so it was not made: which photo?"), "{text}");
        assert!(told.data.value()["back"] == true && told.kind == "approval_denied");
    }

    #[test]
    fn an_answer_is_what_the_model_reads() {
        let answered = |answer: Value| {
            let d = Undelivered { answer: Some(Json::of(&answer)), ..decided("answered") };
            let Event::Answered { text, .. } = delivered(&d, vec![]).event else { panic!() };
            text
        };
        assert_eq!(answered(json!({"response": "blue"})), r#"{"response":"blue"}"#);
        assert_eq!(answered(json!({"result": "blue", "x": 1})), "blue");
        assert_eq!(answered(json!({"result": [1]})), "[1]");
    }
}
