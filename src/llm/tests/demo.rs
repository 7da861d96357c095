use std::io::Write;
use std::time::{Duration, Instant};

use super::*;

fn incident_tool() -> ToolSpec {
    ToolSpec { name: "fetch_incident_context".into(), ..lookup() }
}

fn commander() -> Request {
    Request { tools: vec![incident_tool()], ..ask("demo/incident-commander") }
}

async fn say(request: &Request) -> Reply {
    models(&[]).complete(request).await.unwrap()
}

fn with_result(text: &str) -> Request {
    let mut request = Request { turn: 2, ..commander() };
    let call = Call {
        id: "call_1".into(),
        name: "fetch_incident_context".into(),
        arguments: Arguments::parse("{}"),
    };
    request.messages.push(Message::Assistant { text: String::new(), calls: vec![call] });
    let name = "fetch_incident_context".into();
    request.messages.push(Message::Tool { call_id: "call_1".into(), name, text: text.into() });
    request
}

fn script(content: &Value) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.to_string().as_bytes()).unwrap();
    file
}

fn played(file: &tempfile::NamedTempFile, turn: u32) -> Request {
    Request { turn, ..ask(&format!("demo/script:{}", file.path().display())) }
}

#[tokio::test]
async fn the_commander_looks_once_and_takes_its_time() {
    let began = Instant::now();
    let reply = say(&commander()).await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(reply.finish, Finish::ToolCalls);
    assert_eq!(reply.calls.len(), 1);
    assert_eq!(reply.calls[0].name, "fetch_incident_context");
    assert_eq!(
        reply.calls[0].arguments,
        Arguments::parse(r#"{"service":"checkout-api","window_minutes":15}"#)
    );
    assert!(reply.usage.prompt > 0 && reply.usage.completion > 0);
    assert_eq!(reply.usage.total, reply.usage.prompt + reply.usage.completion);
}

#[tokio::test]
async fn a_repeated_attempt_gets_the_same_answer_and_another_turn_another_id() {
    let first = say(&commander()).await;
    assert_eq!(say(&commander()).await, first);
    let other = say(&Request { turn: 2, ..commander() }).await;
    assert_ne!(other.calls[0].id, first.calls[0].id);
    let elsewhere = say(&Request { execution: "0194".into(), ..commander() }).await;
    assert_ne!(elsewhere.calls[0].id, first.calls[0].id);
}

#[tokio::test]
async fn the_commander_uses_what_the_tool_found() {
    let context = json!({
        "service": "checkout-api", "severity": "sev2", "error_rate_pct": 18.4, "p95_latency_ms": 4210,
        "conversion_drop_pct": 31, "recent_deploy_id": "dpl-481",
        "recommended_action": "rollback dpl-481, freeze the rollout, and watch errors for 10 minutes"
    });
    let expected = "summary: sev2 on checkout-api, error rate 18.4%, p95 4210 ms, conversion down 31%, \
                    since deploy dpl-481\n\
                    next_action: rollback dpl-481, freeze the rollout, and watch errors for 10 minutes";
    let reply = say(&with_result(&context.to_string())).await;
    assert_eq!((reply.text.as_str(), reply.finish), (expected, Finish::Stop));
    assert!(reply.calls.is_empty());
    let wrapped = say(&with_result(&json!({ "result": context }).to_string())).await;
    assert_eq!(wrapped.text, expected);
}

#[tokio::test]
async fn the_commander_copes_with_a_poor_or_failed_tool() {
    for (result, summary, action) in [
        (
            r#"{"recent_deploy_id":"d1"}"#,
            "the service, since deploy d1",
            "roll back d1 and watch the error rate",
        ),
        ("{}", "the service, the context names no signals", "freeze deploys and page the on-call engineer"),
        (
            r#"{"status":"FAILED","error":"no route\nto host"}"#,
            "no incident context, no route",
            "freeze deploys and page the on-call engineer to look by hand",
        ),
        ("boom", "no incident context, boom", "freeze deploys and page the on-call engineer to look by hand"),
    ] {
        let reply = say(&with_result(result)).await;
        assert_eq!(reply.text, format!("summary: {summary}\nnext_action: {action}"));
    }
    let without_tool = say(&Request { tools: vec![], ..commander() }).await;
    assert!(without_tool.text.contains("not among this agent's tools") && without_tool.calls.is_empty());
}

#[tokio::test]
async fn the_echo_repeats_the_last_user() {
    let mut request = ask("demo/echo");
    request.messages.push(Message::Assistant { text: "one".into(), calls: vec![] });
    request.messages.push(user("two"));
    assert_eq!(say(&request).await.text, "two");
}

#[tokio::test]
async fn a_script_is_played_turn_by_turn_and_its_last_step_repeats() {
    let file = script(&json!([
        { "calls": [{ "name": "lookup", "arguments": { "service": "a" } },
                    { "name": "lookup", "id": "mine", "arguments": "{oops" }] },
        { "text": "cut", "finish": "LENGTH" },
        { "text": "done" },
    ]));
    let first = say(&played(&file, 1)).await;
    assert_eq!(first.calls[0].arguments, Arguments::parse(r#"{"service":"a"}"#));
    assert_eq!(first.calls[1].id, "call_mine");
    assert_eq!(first.calls[1].arguments, Arguments::Malformed("{oops".into()));
    assert_eq!(say(&played(&file, 2)).await.finish, Finish::Length);
    for turn in [3, 9] {
        assert_eq!(say(&played(&file, turn)).await.text, "done");
    }
}

#[tokio::test]
async fn a_script_can_be_slow_and_malformed() {
    let file = script(&json!([{ "calls": [{ "name": "a" }], "malformed_arguments": "{", "delay_ms": 50 }]));
    let began = Instant::now();
    let reply = say(&played(&file, 1)).await;
    assert!(began.elapsed() >= Duration::from_millis(50));
    assert_eq!(reply.calls[0].arguments, Arguments::Malformed("{".into()));
}

#[tokio::test]
async fn a_scripted_failure_passes_after_its_times_for_each_execution() {
    let file = script(&json!([
        { "text": "ok", "fail": { "status": 429, "retry_after_secs": 2, "times": 2 } },
    ]));
    let models = models(&[]);
    for execution in ["a", "b"] {
        let request = Request { execution: execution.into(), ..played(&file, 1) };
        for _ in 0..2 {
            let error = models.complete(&request).await.unwrap_err();
            assert_eq!(error.class(), Class::Retry { after: Some(Duration::from_secs(2)) });
        }
        assert_eq!(models.complete(&request).await.unwrap().text, "ok");
    }
}

#[tokio::test]
async fn scripts_have_names_in_the_file_that_the_environment_names() {
    let file = script(&json!({ "triage": [{ "text": "from the file" }] }));
    let models = models(&[("TENURE_DEMO_SCRIPT", file.path().to_str().unwrap())]);
    assert_eq!(models.complete(&ask("demo/triage")).await.unwrap().text, "from the file");
    let error = models.complete(&ask("demo/other")).await.unwrap_err();
    assert!(error.to_string().starts_with("demo/other does not exist. Use demo/incident-commander"));
    assert_eq!(error.class(), Class::Fatal);
}

#[tokio::test]
async fn a_script_that_can_not_be_played_says_where_but_quotes_nothing() {
    let (secret, empty) = (script(&json!(["root:secret-hash"])), script(&json!([])));
    for (request, why) in [
        (played(&secret, 1), "is not a valid script at line 1 column"),
        (ask("demo/script:/does/not/exist"), "can't be read (entity not found)"),
        (ask("demo/script:/dev/zero"), "is not a file of at most 1 MB"),
        (played(&empty, 1), "has no steps; give it at least one"),
    ] {
        let error = models(&[]).complete(&request).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(error.class(), Class::Fatal);
    }
}
