use serde_json::json;

use super::*;

#[test]
fn a_conversation_is_replayed_in_the_order_of_the_calls() {
    let agent = agent(json!({"instructions": "Be brief."}));
    let entries = [
        prompt(),
        replied(
            1,
            &json!({"text": "", "calls": [call("call_a", "search"), call("call_b", "fetch")],
            "finish": "TOOL_CALLS", "usage": usage()}),
        ),
        // Results arrive in any order.
        returned(1, 1, &json!({"page": 1e2})),
        returned(1, 0, &json!({"result": "found"})),
    ];
    let request = ask(&agent, 2, &json!({"prompt": "find it"}), &entries).request;
    let [
        Message::System(system),
        Message::User { text, .. },
        Message::Assistant { calls, .. },
        first,
        second,
    ] = &request.messages[..]
    else {
        panic!("{:?}", request.messages)
    };
    assert_eq!((system.as_str(), text.as_str(), calls.len()), ("Be brief.", "find it", 2));
    assert_eq!(*first, tool("call_a", "search", "found"));
    assert_eq!(*second, tool("call_b", "fetch", r#"{"page":100.0}"#));
    assert_eq!(request.temperature, Some(0.0));
}

#[test]
fn shared_state_and_the_newest_signal_stand_before_the_prompt() {
    let entries = [
        prompt(),
        signal("old"),
        replied(
            1,
            &json!({"text": "", "calls": [call("call_a", "search")], "finish": "TOOL_CALLS", "usage": usage()}),
        ),
        returned(1, 0, &json!({"result": "ok", "_state_updates": {"seen": ["x"]}})),
        signal("hurry"),
    ];
    let request =
        ask(&agent(json!({})), 2, &json!({"prompt": "go", "context": {"who": "me"}}), &entries).request;
    let Message::User { text, .. } = &request.messages[1] else { panic!() };
    assert_eq!(
        text,
        "[SIGNALS]\nhurry\n[/SIGNALS]\n\nContext:\n```json\n{\n  \"who\": \"me\",\n  \"seen\": \"[\\\"x\\\"]\"\n}\n```\n\ngo"
    );
    let Some(Message::Tool { text, .. }) = request.messages.last() else { panic!() };
    assert_eq!(text, "ok");
}

#[test]
fn a_failed_tool_is_an_observation() {
    let mut failed = returned(1, 0, &json!({}));
    (failed.output, failed.error) = (None, Some("boom".into()));
    let entries = [
        prompt(),
        replied(
            1,
            &json!({"text": "", "calls": [call("call_a", "search")], "finish": "TOOL_CALLS", "usage": usage()}),
        ),
        failed,
    ];
    let request = ask(&agent(json!({})), 2, &json!({"prompt": "go"}), &entries).request;
    assert_eq!(request.messages.last(), Some(&tool("call_a", "search", "Error: boom")));
}

#[test]
fn what_was_said_in_earlier_runs_stands_before_the_prompt() {
    let input = json!({"prompt": "and now?", "memory": [{"role": "user", "message": "I am Ada."}, {"role": "assistant", "message": "Hello."}]});
    let request = ask(&agent(json!({})), 1, &input, &[prompt()]).request;
    let said: Vec<_> = request
        .messages
        .iter()
        .filter_map(|m| match m {
            Message::User { text, .. } | Message::Assistant { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(said, ["I am Ada.", "Hello.", "and now?"]);
}

#[test]
fn an_answer_that_was_cut_off_is_continued() {
    let entries =
        [prompt(), replied(1, &json!({"text": "half", "calls": [], "finish": "LENGTH", "usage": usage()}))];
    let request = ask(&agent(json!({})), 2, &json!({"prompt": "go"}), &entries).request;
    assert!(matches!(request.messages.last(), Some(Message::User { text, .. }) if text.contains("cut off")));
}

#[test]
fn old_results_are_cut_and_a_conversation_that_does_not_fit_is_condensed() {
    let mut entries = vec![prompt()];
    for turn in 1..=9 {
        let calls = json!([call(&format!("call_{turn}"), "search")]);
        entries.push(replied(
            turn,
            &json!({"text": "", "calls": calls, "finish": "TOOL_CALLS", "usage": usage()}),
        ));
        entries.push(returned(turn, 0, &json!({"result": "x".repeat(2000)})));
    }
    let input = json!({"prompt": "go"});
    let whole = ask(&agent(json!({})), 10, &input, &entries);
    assert_eq!(whole.condensed, None);
    let lengths: Vec<_> = whole
        .request
        .messages
        .iter()
        .filter_map(|m| match m {
            Message::Tool { text, .. } => Some(text.len()),
            _ => None,
        })
        .collect();
    assert_eq!(lengths, [514, 514, 514, 2000, 2000, 2000, 2000, 2000, 2000]);

    let short = ask(&agent(json!({"contextWindowBudget": 2000})), 10, &input, &entries);
    let condensed = short.condensed.unwrap();
    assert_eq!((condensed.trigger, condensed.exchanges), ("proactive", 4));
    assert_eq!(condensed.after, short.request.messages.len());
    let Message::Assistant { text, .. } = &short.request.messages[2] else { panic!() };
    assert!(text.contains("- called search: xxx") && text.ends_with("(4 exchanges were shortened.)"));
}

#[test]
fn settings_add_to_the_instructions() {
    let agent = agent(json!({"instructions": "Do.", "enablePlanning": true,
        "outputType": {"className": "Out", "schema": {"type": "object",
            "properties": {"n": {"type": "integer"}, "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}}},
            "$defs": {"Tag": {"enum": ["a", "b"]}}}}}));
    let request = ask(&agent, 1, &json!({"prompt": "go"}), &[prompt()]).request;
    let Message::System(text) = &request.messages[0] else { panic!() };
    assert!(text.starts_with(
        "Do.\n\nGive your final answer as JSON of this shape: {'n': int, 'tags': [one of [\"a\",\"b\"]]}"
    ));
    assert!(text.contains("short plan"));
}

#[test]
fn nothing_to_ask_is_said() {
    assert!(assemble(&agent(json!({})), "e", 1, &Json::of(&json!({"prompt": ""})), &[prompt()]).is_err());
}

// -- vocabulary ------------------------------------------------------------------------

fn agent(extra: Value) -> Agent {
    let mut config = json!({"name": "a", "model": "demo/echo", "tools": [{"name": "search"}, {"name": "fetch"}], "instructions": "i"});
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    Agent::parse(&config.to_string()).unwrap()
}

fn ask(agent: &Agent, turn: u32, input: &Value, entries: &[Entry]) -> Prompt {
    assemble(agent, "e", turn, &Json::of(input), entries).unwrap()
}

fn entry(role: &str, turn: u32) -> Entry {
    Entry { role: role.into(), turn, call: None, name: None, content: None, output: None, error: None }
}

fn prompt() -> Entry {
    entry("user", 0)
}

fn signal(text: &str) -> Entry {
    Entry { content: Some(text.into()), ..entry("signal", 1) }
}

fn replied(turn: u32, output: &Value) -> Entry {
    Entry { output: Some(Json::of(output)), ..entry("assistant", turn) }
}

fn returned(turn: u32, call: u16, output: &Value) -> Entry {
    Entry { call: Some(call), output: Some(Json::of(output)), ..entry("tool", turn) }
}

fn call(id: &str, name: &str) -> Value {
    json!({"id": id, "name": name, "arguments": {}})
}

fn usage() -> Value {
    json!({"prompt": 1, "completion": 1, "total": 2, "cached": null, "reasoning": null})
}

fn tool(id: &str, name: &str, text: &str) -> Message {
    Message::Tool { call_id: id.into(), name: name.into(), text: text.into() }
}

#[test]
fn what_a_person_said_with_an_approval_is_the_systems_word_from_then_on() {
    let agent =
        Agent::parse(r#"{"name":"a","model":"demo/x","instructions":"Do.","tools":[{"name":"t"}]}"#).unwrap();
    let entry = |role: &str, content: Option<&str>, output: Option<&str>| Entry {
        role: role.into(),
        turn: 1,
        call: Some(0),
        name: None,
        content: content.map(str::to_owned),
        output: output.map(|o| Json::from_text(o.into()).unwrap()),
        error: None,
    };
    let reply = r#"{"text":"","calls":[{"id":"call_1","name":"t","arguments":{}}],"finish":"TOOL_CALLS","usage":{"prompt":1,"completion":1,"total":2}}"#;
    let entries = [
        entry("user", None, None),
        entry("assistant", None, Some(reply)),
        entry("system", Some("Human reviewer feedback: fine"), None),
        entry("tool", None, Some(r#"{"result":"done"}"#)),
    ];
    let input = Json::of(&serde_json::json!({"prompt": "Go."}));
    let messages = assemble(&agent, "e", 2, &input, &entries).unwrap().request.messages;
    let kinds: Vec<_> = messages
        .iter()
        .map(|m| match m {
            Message::System(text) => text.as_str(),
            Message::User { .. } => "user",
            Message::Assistant { .. } => "assistant",
            Message::Tool { .. } => "tool",
        })
        .collect();
    assert_eq!(kinds, ["Do.", "Human reviewer feedback: fine", "user", "assistant", "tool"]);
}
