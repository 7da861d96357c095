//! The single agent's loop, told over HTTP: what a user's program and its workers see.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::path};

use crate::harness::{Server, TestDb, agent, calls, eventually, says, script, tools, within};

async fn server() -> (TestDb, Server) {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    (database, server)
}

fn count(events: &[String], kind: &str) -> usize {
    events.iter().filter(|event| *event == kind).count()
}

/// Code and text of the only reason for which a run waits.
async fn only_reason(server: &Server, id: &str, code: &str) -> String {
    eventually(&format!("{id} waits for {code}"), async || {
        let why = server.why(id).await;
        let [(found, text)] = &why[..] else { return None };
        (found == code).then(|| text.clone())
    })
    .await
}

#[tokio::test]
async fn a_question_that_needs_one_tool() {
    let (_database, server) = server().await;
    let model = script(&[calls(["lookup"]), says("It appeared in 1859.")]);

    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When?").await;
    let text = only_reason(&server, &id, "no_worker").await;
    assert!(text.contains("no live worker polls queue 'lookup'"), "{text}");
    let task = server.take("lookup").await;
    assert_eq!((&task["inputData"]["for"], &task["status"]), (&json!("lookup"), &json!("IN_PROGRESS")));
    server.complete(&task, &json!({ "year": 1859 })).await;

    let end = server.until(&id, "COMPLETED").await;
    assert_eq!(
        (&end["output"]["result"], &end["output"]["finishReason"]),
        (&json!("It appeared in 1859."), &json!("STOP"))
    );
    let told = server.conversation(&id).await;
    assert!(told.iter().any(|(role, text)| role == "tool" && text.contains("1859")), "{told:?}");
    assert_eq!(
        server.events(&id).await,
        [
            "started",
            "model_called",
            "model_replied",
            "tool_called",
            "tool_returned",
            "model_called",
            "model_replied",
            "completed"
        ]
    );
    assert_eq!(server.why(&id).await, []);
}

#[tokio::test]
async fn calls_of_one_turn_wait_side_by_side_and_the_model_waits_for_the_last() {
    let (_database, server) = server().await;
    let model = script(&[calls(["a", "b", "c"]), says("all three")]);
    let id = server.start_run(&agent("fan", &model, tools(["a", "b", "c"])), "Go.").await;
    let tasks = [server.take("a").await, server.take("b").await, server.take("c").await];
    for (at, left) in [(2, "two"), (0, "one")] {
        server.complete(&tasks[at], &json!({ "answer": at })).await;
        assert_eq!(count(&server.events(&id).await, "model_called"), 1, "{left} still open");
    }
    server.complete(&tasks[1], &json!({ "answer": 1 })).await;
    server.until(&id, "COMPLETED").await;
}

#[tokio::test]
async fn a_loop_ends_at_its_turn_limit() {
    let (_database, server) = server().await;
    let model = script(&[calls(["again"])]);
    let mut endless = agent("endless", &model, tools(["again"]));
    endless["maxTurns"] = json!(2);
    let id = server.start_run(&endless, "Go.").await;
    for _ in 0..2 {
        let task = server.take("again").await;
        server.complete(&task, &json!({})).await;
    }
    let end = server.until(&id, "COMPLETED").await;
    assert_eq!(end["output"]["result"], Value::Null, "{end}");
    assert_eq!(count(&server.events(&id).await, "model_called"), 2);
}

#[tokio::test]
async fn a_failed_try_is_repeated_as_another_attempt_of_the_same_task() {
    let (_database, server) = server().await;
    server.register("flaky", &json!({})).await;
    let model = script(&[calls(["flaky"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["flaky"])), "Go.").await;
    let mut seen = vec![];
    for retries in 0..2 {
        let task = server.take("flaky").await;
        assert_eq!(task["retryCount"], retries);
        server.report(&task, "FAILED", &json!({ "reasonForIncompletion": "not today" })).await;
        seen.push(task);
    }
    let third = server.take("flaky").await;
    assert_ne!(third["taskId"], seen[1]["taskId"]);
    assert_eq!(third["referenceTaskName"], seen[0]["referenceTaskName"]);
    server.complete(&third, &json!({ "at": "last" })).await;
    server.until(&id, "COMPLETED").await;
    let told = server.conversation(&id).await;
    assert!(told.iter().any(|(_, text)| text.contains("last")), "{told:?}");
    assert_eq!(count(&server.events(&id).await, "attempt_failed"), 2);
}

#[tokio::test]
async fn when_no_try_is_left_the_model_hears_the_reason_and_the_run_goes_on() {
    let (_database, server) = server().await;
    server.register("broken", &json!({})).await;
    let model = script(&[calls(["broken"]), says("I could not.")]);
    let id = server.start_run(&agent("a", &model, tools(["broken"])), "Go.").await;
    for _ in 0..3 {
        let task = server.take("broken").await;
        server.report(&task, "FAILED", &json!({ "reasonForIncompletion": "out of paper" })).await;
    }
    let end = server.until(&id, "COMPLETED").await;
    assert_eq!(end["output"]["result"], "I could not.");
    let told = server.conversation(&id).await;
    assert!(told.iter().any(|(role, text)| role == "tool" && text.contains("out of paper")), "{told:?}");
    let workflow = server.workflow(&id).await;
    let tasks = workflow["tasks"].as_array().unwrap();
    let statuses: Vec<_> = tasks.iter().filter(|t| t["taskType"] == "broken").map(|t| &t["status"]).collect();
    assert_eq!(statuses, ["FAILED", "FAILED", "COMPLETED_WITH_ERRORS"]);
}

#[tokio::test]
async fn a_terminal_failure_is_not_tried_again() {
    let (_database, server) = server().await;
    let model = script(&[calls(["broken"]), says("I could not.")]);
    let id = server.start_run(&agent("a", &model, tools(["broken"])), "Go.").await;
    let task = server.take("broken").await;
    server
        .report(&task, "FAILED_WITH_TERMINAL_ERROR", &json!({ "reasonForIncompletion": "forbidden" }))
        .await;
    server.until(&id, "COMPLETED").await;
    let told = server.conversation(&id).await;
    assert!(told.iter().any(|(role, text)| role == "tool" && text.contains("forbidden")), "{told:?}");
}

#[tokio::test]
async fn a_try_that_waits_for_its_time_says_when_and_why() {
    let (_database, server) = server().await;
    server.register("later", &json!({ "retryDelaySeconds": 600 })).await;
    let model = script(&[calls(["later"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["later"])), "Go.").await;
    let task = server.take("later").await;
    server.report(&task, "FAILED", &json!({ "reasonForIncompletion": "closed on Sundays" })).await;
    let text = only_reason(&server, &id, "retry").await;
    assert!(text.contains("retry 1 of 2") && text.contains("closed on Sundays"), "{text}");
    assert_eq!(server.poll("later", 1).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_provider_that_is_busy_is_asked_again_and_that_is_no_secret() {
    let (_database, server) = server().await;
    let busy = json!({ "text": "now", "fail": { "status": 429, "retry_after_secs": 2, "times": 1 } });
    let began = Instant::now();
    let id = server.start_run(&agent("a", &script(&[busy]), tools([])), "Go.").await;
    let text = only_reason(&server, &id, "retry").await;
    assert!(text.contains("429"), "{text}");
    server.until(&id, "COMPLETED").await;
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "not before the provider wants: {:?}",
        began.elapsed()
    );
    assert_eq!(count(&server.events(&id).await, "attempt_failed"), 1);
}

#[tokio::test]
async fn a_provider_that_refuses_ends_the_run_with_its_reason() {
    let (_database, server) = server().await;
    let refuses = json!({ "fail": { "status": 401 } });
    let id = server.start_run(&agent("a", &script(&[refuses]), tools([])), "Go.").await;
    let end = server.until(&id, "FAILED").await;
    assert!(end["reasonForIncompletion"].as_str().unwrap().contains("401"), "{end}");

    let id = server.start_run(&agent("a", "openai/gpt-4o", tools([])), "Go.").await;
    let end = server.until(&id, "TERMINATED").await;
    assert!(end["reasonForIncompletion"].as_str().unwrap().contains("openai"), "{end}");
}

#[tokio::test]
async fn calls_that_can_not_be_made_are_answered_at_once() {
    let (_database, server) = server().await;
    let bad = json!({ "calls": [{ "name": "look", "arguments": "{not json" }] });
    let model = script(&[calls(["nothing_like_it"]), bad, says("I see.")]);
    let id = server.start_run(&agent("a", &model, tools(["look"])), "Go.").await;
    server.until(&id, "COMPLETED").await;
    let told = server.conversation(&id).await;
    let answers: Vec<_> =
        told.iter().filter(|(role, _)| role == "tool").map(|(_, text)| text.as_str()).collect();
    assert!(answers[0].contains("no tool 'nothing_like_it'") && answers[0].contains("look"), "{answers:?}");
    assert!(answers[1].contains("not a JSON object") && answers[1].contains("{not json"), "{answers:?}");
    assert_eq!(count(&server.events(&id).await, "call_refused"), 2);
}

#[tokio::test]
async fn what_tools_share_reaches_the_next_tool_the_model_and_the_output() {
    let (_database, server) = server().await;
    let model = script(&[calls(["note", "note"]), calls(["read"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["note", "read"])), "Go.").await;
    for n in 1..=2 {
        let task = server.take("note").await;
        server.complete(&task, &json!({ "_state_updates": { "seen": [n], "last": n } })).await;
    }
    let task = server.take("read").await;
    assert_eq!(task["inputData"]["_agent_state"], json!({ "seen": [1, 2], "last": 2 }));
    server.complete(&task, &json!({})).await;
    let end = server.until(&id, "COMPLETED").await;
    assert_eq!(end["output"]["context"], json!({ "seen": [1, 2], "last": 2 }));
}

/// A provider that asks for `step` twice in each of its first turns, then answers.
async fn provider(turns: usize) -> MockServer {
    let provider = MockServer::start().await;
    let asked = AtomicUsize::new(0);
    let answer = move |_: &Request| {
        let turn = asked.fetch_add(1, Ordering::Relaxed);
        let call = |n| json!({ "id": format!("call_{turn}_{n}"), "type": "function", "function": { "name": "step", "arguments": "{}" } });
        let message = if turn < turns {
            json!({ "role": "assistant", "content": null, "tool_calls": [call(0), call(1)] })
        } else {
            json!({ "role": "assistant", "content": "done" })
        };
        ResponseTemplate::new(200).set_body_json(
            json!({ "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] }),
        )
    };
    Mock::given(path("/v1/chat/completions")).respond_with(answer).mount(&provider).await;
    provider
}

/// Role and text of the messages of each request that a provider got.
async fn requests(provider: &MockServer) -> Vec<Vec<(String, String)>> {
    let requests = provider.received_requests().await.unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let messages = |request: &Request| {
        let body: Value = request.body_json().unwrap();
        body["messages"].as_array().unwrap().iter().map(|m| (text(&m["role"]), text(&m["content"]))).collect()
    };
    requests.iter().map(messages).collect()
}

#[tokio::test]
async fn the_model_is_sent_signals_shared_state_and_answers_in_the_order_of_its_calls() {
    let (database, provider) = (TestDb::new().await, provider(2).await);
    let base = format!("{}/v1", provider.uri());
    let server = Server::with(&database, move |command| {
        command.env("OPENAI_BASE_URL", &base);
    })
    .await;
    let id = server.start_run(&agent("a", "openai/any", tools(["step"])), "Go.").await;
    let signal = async |text: &str| {
        server.post(&format!("/api/agent/{id}/signal"), &json!({ "message": text })).await.ok();
    };
    let first = [server.take("step").await, server.take("step").await];
    signal("hurry").await;
    signal("slow down").await;
    server.complete(&first[1], &json!({ "answer": "second", "_state_updates": { "known": "fact" } })).await;
    server.complete(&first[0], &json!({ "answer": "first" })).await;
    let second = [server.take("step").await, server.take("step").await];
    signal("").await;
    server.complete(&second[0], &json!({})).await;
    server.complete(&second[1], &json!({})).await;
    server.until(&id, "COMPLETED").await;

    let requests = requests(&provider).await;
    let user = |turn: usize| requests[turn].iter().find(|(role, _)| role == "user").unwrap().1.clone();
    assert_eq!(
        requests[0],
        [("system".to_owned(), "Do it.".to_owned()), ("user".to_owned(), "Go.".to_owned())]
    );
    assert!(
        user(1).starts_with("[SIGNALS]\nslow down\n[/SIGNALS]\n\n") && user(1).ends_with("Go."),
        "{}",
        user(1)
    );
    assert!(user(1).contains("\"known\": \"fact\"") && !user(1).contains("hurry"), "{}", user(1));
    assert!(!user(2).contains("[SIGNALS]") && user(2).contains("fact"), "{}", user(2));
    let answers: Vec<_> =
        requests[1].iter().filter(|(role, _)| role == "tool").map(|(_, text)| text).collect();
    assert!(answers[0].contains("first") && answers[1].contains("second"), "{answers:?}");
}

#[tokio::test]
async fn a_run_that_is_told_to_stop_ends_after_its_turn() {
    let (_database, server) = server().await;
    let model = script(&[calls(["step"])]);
    let id = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    let task = server.take("step").await;
    server.post(&format!("/api/agent/{id}/stop"), &json!(null)).await.ok();
    assert_eq!(server.status(&id).await["status"], "RUNNING");
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    assert_eq!(count(&server.events(&id).await, "model_called"), 1);
    server.post(&format!("/api/agent/{id}/stop"), &json!(null)).await.ok();
}

#[tokio::test]
async fn a_paused_run_takes_results_but_hands_nothing_out() {
    let (_database, server) = server().await;
    let model = script(&[calls(["a", "b"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["a", "b"])), "Go.").await;
    let held = server.take("a").await;
    server.put(&format!("/api/workflow/{id}/pause"), &json!(null)).await.ok();
    let standing = server.status(&id).await;
    assert_eq!((&standing["status"], &standing["isRunning"]), (&json!("PAUSED"), &json!(false)));
    assert_eq!(server.poll("b", 1).await, Vec::<Value>::new());
    server.complete(&held, &json!({})).await;
    assert!(server.why(&id).await.iter().any(|(code, _)| code == "paused"));

    server.put(&format!("/api/workflow/{id}/resume"), &json!(null)).await.ok();
    let task = server.take("b").await;
    server.put(&format!("/api/agent/{id}/pause"), &json!(null)).await.ok();
    server.complete(&task, &json!({})).await;
    assert_eq!(server.status(&id).await["status"], "PAUSED");
    server.put(&format!("/api/agent/{id}/resume"), &json!(null)).await.ok();
    server.until(&id, "COMPLETED").await;
    server.put(&format!("/api/agent/{id}/pause"), &json!(null)).await.refused(409);
}

#[tokio::test]
async fn a_cancelled_run_keeps_its_reason_and_takes_nothing_any_more() {
    let (_database, server) = server().await;
    let model = script(&[calls(["a", "b"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["a", "b"])), "Go.").await;
    let held = server.take("a").await;
    server.delete(&format!("/api/agent/{id}/cancel?reason=changed%20my%20mind")).await.ok();
    let end = server.until(&id, "TERMINATED").await;
    assert_eq!(end["reasonForIncompletion"], "changed my mind");
    assert_eq!(server.poll("b", 1).await, Vec::<Value>::new());
    server.complete(&held, &json!({ "too": "late" })).await;
    assert_eq!(
        server.get(&format!("/api/tasks/{}", held["taskId"].as_str().unwrap())).await.ok()["status"],
        "CANCELED"
    );
    let frames = server.stream(&id, None).await;
    assert_eq!(frames.last().unwrap().event, "error");
    assert_eq!(frames.last().unwrap().data["content"], "changed my mind");
}

#[tokio::test]
async fn a_run_whose_time_is_over_times_out() {
    let (_database, server) = server().await;
    let model = script(&[calls(["never"])]);
    let request =
        json!({ "agentConfig": agent("a", &model, tools(["never"])), "prompt": "Go.", "timeoutSeconds": 1 });
    let (began, id) = (Instant::now(), server.start_with(&request).await);
    server.until(&id, "TIMED_OUT").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let mut limited = agent("b", &model, tools(["never"]));
    limited["timeoutSeconds"] = json!(1);
    let id = server.start_run(&limited, "Go.").await;
    let end = server.until(&id, "TIMED_OUT").await;
    assert!(end["reasonForIncompletion"].as_str().unwrap().contains("1 second"), "{end}");
}

#[tokio::test]
async fn stateful_tools_wait_where_only_their_client_asks() {
    let (_database, server) = server().await;
    let model = script(&[calls(["mine"]), says("done")]);
    let mine = json!([{ "name": "mine", "toolType": "worker", "stateful": true }]);
    let request = json!({ "agentConfig": agent("a", &model, mine), "prompt": "Go.", "runId": "run-7" });
    let id = server.start_with(&request).await;
    let text = only_reason(&server, &id, "no_worker").await;
    assert!(text.contains("domain 'run-7'"), "{text}");
    assert_eq!(server.poll("mine", 1).await, Vec::<Value>::new());
    let path = "/api/tasks/poll/batch/mine?workerid=w&count=1&timeout=1000&domain=run-7";
    let task = server.get(path).await.ok()[0].clone();
    assert_eq!(task["domain"], "run-7");
    assert_eq!(server.workflow(&id).await["taskToDomain"]["mine"], "run-7");
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;
}

#[tokio::test]
async fn what_workers_log_can_be_read_again() {
    let (_database, server) = server().await;
    let model = script(&[calls(["step"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    let task = server.take("step").await;
    let path = format!("/api/tasks/{}/log", task["taskId"].as_str().unwrap());
    server.post_bytes(&path, "half way").await.ok();
    let logs = json!([{ "log": "all the way", "taskId": task["taskId"], "createdTime": 1_800_000_000.5 }]);
    server.report(&task, "COMPLETED", &json!({ "logs": logs, "outputData": {} })).await;
    let lines = server.get(&path).await.ok();
    assert_eq!((&lines[0]["log"], &lines[1]["log"]), (&json!("half way"), &json!("all the way")));
    assert_eq!(lines[1]["createdTime"], 1_800_000_000_500_i64);
    server.until(&id, "COMPLETED").await;
}

#[tokio::test]
async fn a_worker_may_ask_to_see_the_same_attempt_again() {
    let (_database, server) = server().await;
    let model = script(&[calls(["slow"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["slow"])), "Go.").await;
    let first = server.take("slow").await;
    let began = Instant::now();
    server
        .report(&first, "IN_PROGRESS", &json!({ "callbackAfterSeconds": 1, "outputData": { "p": 1 } }))
        .await;
    let text = only_reason(&server, &id, "called_back").await;
    assert!(text.contains("asked to see it again"), "{text}");
    let again = server.take("slow").await;
    assert!(began.elapsed() >= Duration::from_millis(950), "{:?}", began.elapsed());
    assert_eq!(
        (&again["taskId"], &again["retryCount"], &again["pollCount"]),
        (&first["taskId"], &json!(0), &json!(2))
    );
    server.complete(&again, &json!({})).await;
    server.until(&id, "COMPLETED").await;
}

#[tokio::test]
async fn a_lease_that_is_extended_outlives_its_time_and_one_that_is_not_does_not() {
    let (_database, server) = server().await;
    server.register("long", &json!({ "responseTimeoutSeconds": 1 })).await;
    let model = script(&[calls(["long"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["long"])), "Go.").await;
    let task = server.take("long").await;
    let sign = json!({ "workflowInstanceId": id, "taskId": task["taskId"], "status": "IN_PROGRESS", "extendLease": true });
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(250)).await; // A worker's own rhythm.
        server.post("/api/tasks", &sign).await;
    }
    assert_eq!(server.poll("long", 1).await, Vec::<Value>::new());
    let began = Instant::now();
    let other = server.take("long").await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_ne!(other["taskId"], task["taskId"]);
    assert_eq!(count(&server.events(&id).await, "attempt_lost"), 1);
    server.complete(&other, &json!({})).await;
    server.until(&id, "COMPLETED").await;
}

#[tokio::test]
async fn a_report_is_answered_with_the_next_task_of_its_queue() {
    let (_database, server) = server().await;
    let model = script(&[calls(["step", "step"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    let first = server.take("step").await;
    let answer = server.report_for_next(&first, "COMPLETED", &json!({ "outputData": {} })).await;
    let second = answer.ok();
    assert_eq!((&second["status"], &second["taskDefName"]), (&json!("IN_PROGRESS"), &json!("step")));
    assert_ne!(second["taskId"], first["taskId"]);
    let answer = server.report_for_next(&second, "COMPLETED", &json!({ "outputData": {} })).await;
    assert_eq!((answer.status, &*answer.text), (204, ""));
    server.until(&id, "COMPLETED").await;
}

#[tokio::test]
async fn a_task_can_be_reported_by_its_name_in_the_run() {
    let (_database, server) = server().await;
    let model = script(&[calls(["step"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    let task = server.take("step").await;
    let path =
        format!("/api/tasks/{id}/{}/COMPLETED?workerid=w", task["referenceTaskName"].as_str().unwrap());
    let answer = server.post(&path, &json!({ "by": "name" })).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, task["taskId"].as_str().unwrap()));
    server.until(&id, "COMPLETED").await;
}

#[tokio::test]
async fn a_condition_on_the_text_ends_the_loop_and_a_worker_may_be_asked_too() {
    let (_database, server) = server().await;
    let mut judged = agent("judged", &script(&[calls(["step"])]), tools(["step"]));
    judged["stopWhen"] = json!({ "taskName": "judged_stop_when" });
    let request = json!({ "agentConfig": judged, "prompt": "Go." });
    let started = server.post("/api/agent/start", &request).await.ok();
    assert_eq!(started["requiredWorkers"], json!(["judged_stop_when"]));
    let id = started["executionId"].as_str().unwrap();
    for go_on in [true, false] {
        let task = server.take("step").await;
        server.complete(&task, &json!({})).await;
        let check = server.take("judged_stop_when").await;
        assert!(check["inputData"]["iteration"].is_number(), "{check}");
        server.complete(&check, &json!({ "should_continue": go_on })).await;
    }
    server.until(id, "COMPLETED").await;

    let mut wordy = agent(
        "wordy",
        &script(&[json!({ "text": "We are DONE.", "calls": [{ "name": "step" }] })]),
        tools(["step"]),
    );
    wordy["termination"] = json!({ "type": "text_mention", "text": "done" });
    let id = server.start_run(&wordy, "Go.").await;
    let task = server.take("step").await;
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    assert_eq!(count(&server.events(&id).await, "model_called"), 1);
}

#[tokio::test]
async fn queues_tell_what_waits_and_who_asks() {
    let (_database, server) = server().await;
    let model = script(&[calls(["step", "step", "step"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    only_reason_of_many(&server, &id).await;
    let sizes = server.get("/api/tasks/queue/sizes?taskType=step&taskType=nothing").await.ok();
    assert_eq!(sizes, json!({ "step": 3, "nothing": 0 }));
    server.take("step").await;
    assert_eq!(server.get("/api/tasks/queue/all").await.ok()["step"], 2);
    let polls = server.get("/api/tasks/queue/polldata?taskType=step").await.ok();
    assert_eq!((&polls[0]["queueName"], &polls[0]["workerId"]), (&json!("step"), &json!("tester")));
}

async fn only_reason_of_many(server: &Server, id: &str) {
    eventually("three calls wait", async || (server.why(id).await.len() == 3).then_some(())).await;
}

#[tokio::test]
async fn a_deployed_agent_runs_by_its_name_in_its_newest_version() {
    let (_database, server) = server().await;
    for text in ["first", "second"] {
        let request = json!({ "agentConfig": agent("named", &script(&[says(text)]), tools([])) });
        server.post("/api/agent/deploy", &request).await.ok();
    }
    for (version, text) in [(json!(null), "second"), (json!(1), "first"), (json!(2), "second")] {
        let request =
            json!({ "name": "named", "version": version, "input": { "prompt": "Go.", "ticket": 7 } });
        let id = server.post("/api/workflow", &request).await.text;
        let end = server.until(&id, "COMPLETED").await;
        assert_eq!(end["output"]["result"], text);
        assert_eq!(server.workflow(&id).await["input"]["ticket"], 7);
    }
    server.delete("/api/agent/named").await.ok();
    server
        .post("/api/workflow", &json!({ "name": "named", "input": { "prompt": "Go." } }))
        .await
        .refused(404);
}

#[tokio::test]
async fn a_stream_that_is_cut_after_any_frame_goes_on_with_the_next() {
    let (_database, server) = server().await;
    server.register("flaky", &json!({})).await;
    let model = script(&[calls(["flaky", "nothing_like_it"]), calls(["flaky"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["flaky"])), "Go.").await;
    let task = server.take("flaky").await;
    server.report(&task, "FAILED", &json!({ "reasonForIncompletion": "once" })).await;
    for _ in 0..2 {
        let task = server.take("flaky").await;
        server.complete(&task, &json!({ "result": "ok" })).await;
    }
    server.until(&id, "COMPLETED").await;

    let all = server.stream(&id, None).await;
    let kinds: Vec<_> = all.iter().map(|f| f.event.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "thinking",
            "tool_call",
            "tool_result",
            "tool_call",
            "tool_result",
            "thinking",
            "tool_call",
            "tool_result",
            "thinking",
            "done"
        ]
    );
    for (at, frame) in all.iter().enumerate() {
        assert_eq!((&frame.data["id"].to_string(), &frame.data["type"]), (&frame.id, &json!(frame.event)));
        assert_eq!(server.stream(&id, Some(&frame.id)).await, all[at + 1..], "after {}", frame.id);
    }
    let ids: Vec<u64> = all.iter().map(|f| f.id.parse().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let args = &all[1].data["args"];
    assert!(args.get("_agent_state").is_none() && args.get("method").is_none(), "people read it: {args}");
}

#[tokio::test]
async fn a_run_is_watched_live_on_another_server_and_across_its_restart() {
    let database = TestDb::new().await;
    let (one, mut other) = tokio::join!(Server::start(&database), Server::start(&database));
    let model = script(&[calls(["step"]), calls(["step"]), says("done")]);
    let id = one.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    let live = tokio::spawn({
        let (http, id) = ((*other).clone(), id.clone());
        async move { (http.stream(&id, None).await, Instant::now()) }
    });
    for _ in 0..2 {
        let task = one.take("step").await;
        one.complete(&task, &json!({})).await;
    }
    one.until(&id, "COMPLETED").await;
    let ended = Instant::now();
    let (frames, closed) = live.await.unwrap();
    assert!(closed.saturating_duration_since(ended) < Duration::from_secs(2), "the end was seen late");
    assert_eq!(frames, one.stream(&id, None).await);
    assert_eq!(frames.last().unwrap().event, "done");

    other.restart().await;
    assert_eq!(other.stream(&id, Some(&frames[0].id)).await, frames[1..]);
}

#[tokio::test]
async fn work_reaches_a_waiting_poll_at_once_also_on_another_server() {
    let database = TestDb::new().await;
    let (one, other) = tokio::join!(Server::start(&database), Server::start(&database));
    let model = script(&[calls(["step"]), says("done")]);
    let stepper = agent("a", &model, tools(["step"]));
    for _ in 0..3 {
        let poll = tokio::spawn({
            let http = (*other).clone();
            async move { http.get("/api/tasks/poll/batch/step?workerid=w&timeout=5000").await.ok() }
        });
        let why = "a poll waits";
        within(Duration::from_secs(5), why, async || {
            let data = one.get("/api/tasks/queue/polldata?taskType=step").await.ok();
            (!data.as_array().unwrap().is_empty()).then_some(())
        })
        .await;
        let began = Instant::now();
        let id = one.start_run(&stepper, "Go.").await;
        let tasks = poll.await.unwrap();
        assert!(
            began.elapsed() < Duration::from_millis(900),
            "it slept until the sweep: {:?}",
            began.elapsed()
        );
        one.complete(&tasks[0], &json!({})).await;
        one.until(&id, "COMPLETED").await;
    }
}

#[tokio::test]
async fn work_that_somebody_waits_for_is_leased_by_the_commit_that_queues_it() {
    let database = TestDb::new().await;
    let db = database.connect().await;
    let server = Server::start(&database).await;
    let model = script(&[calls(["step", "step", "step"]), says("done")]);
    let stepper = agent("a", &model, tools(["step"]));
    let wait = |count: usize| {
        let http = (*server).clone();
        let path = format!("/api/tasks/poll/batch/step?workerid=w{count}&count={count}&timeout=5000");
        tokio::spawn(async move { http.get(&path).await.ok().as_array().unwrap().clone() })
    };
    // A poll that has not come to wait when the work is queued looks for itself.
    within(Duration::from_secs(20), "a lease without a commit of its own", async || {
        let polls = [wait(1), wait(2)];
        let id = server.start_run(&stepper, "Go.").await;
        let [one, two] = polls.map(async |poll| poll.await.unwrap());
        let tasks = [one.await, two.await].concat();
        let statement = "select count(*) from tenure.queue q join tenure.tasks t
                          on t.execution_id = q.execution_id and t.id = q.attempt_id and t.xmin = q.xmin
                         where q.execution_id = $1::text::uuid and q.polls = 1 and q.lease_until > q.leased_at";
        let at_once: i64 = db.query_one(statement, &[&id]).await.unwrap().get(0);
        for task in &tasks {
            assert_eq!((&task["pollCount"], &task["responseTimeoutSeconds"]), (&json!(1), &json!(3600)));
            server.complete(task, &json!({})).await;
        }
        for task in server.poll("step", 3 - tasks.len()).await {
            server.complete(&task, &json!({})).await;
        }
        server.until(&id, "COMPLETED").await;
        (at_once == 3).then_some(())
    })
    .await;
}
