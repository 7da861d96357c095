//! The refund desk: asks for two refunds at once, then says what was paid and what wasn't.
use serde_json::{Value, json};

use super::super::{Arguments, Message, Request};
use super::script::{ScriptedCall, Step};

const TOOL: &str = "refund";

/// What the desk does next, given the conversation so far.
pub(super) fn step(request: &Request) -> Step {
    let results = request.messages.iter().filter_map(|message| match message {
        Message::Tool { name, text, .. } if name == TOOL => Some(text.as_str()),
        _ => None,
    });
    let lines: Vec<_> = results.map(line).collect();
    if !lines.is_empty() {
        return Step::say(&lines.join("\n"));
    }
    let call = |order: &str, amount: u32, reason: &str| ScriptedCall {
        id: None,
        name: TOOL.to_owned(),
        arguments: Arguments::from_value(json!({ "order": order, "amount": amount, "reason": reason })),
    };
    Step {
        calls: vec![call("48211", 1240, "arrived broken"), call("48377", 980, "changed their mind")],
        ..Step::default()
    }
}

/// What came of one refund.
fn line(result: &str) -> String {
    let receipt: Value = serde_json::from_str(result).unwrap_or_default();
    match (receipt["order"].as_str(), receipt["amount"].as_f64()) {
        (Some(order), Some(amount)) => format!("paid: order {order}, {amount} euros"),
        _ => format!("not paid: {}", result.trim().lines().next().unwrap_or("the tool said nothing")),
    }
}
