//! Input that nobody should send, over a real socket. Each is answered as the protocol or HTTP expects, nothing is
//! lost, and never is it a fault of ours: [`Http::send`] refuses every 5xx.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    harness::{Http, Server, TestDb, agent, calls, says, script, tools},
    invariants,
};

const UNKNOWN: &str = "01890000-0000-7000-8000-000000000000";
const MEGABYTE: usize = 1024 * 1024;

fn echo() -> Value {
    agent("echo", "demo/echo", tools([]))
}

/// A request for a run, with one field replaced.
fn start_with(field: &str, value: Value) -> Value {
    let mut request = json!({ "agentConfig": echo(), "prompt": "p" });
    request[field] = value;
    request
}

/// Text that doesn't compress, so that no index is spared by it.
fn noise(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        text += &uuid::Uuid::now_v7().simple().to_string()[12..];
    }
    text.truncate(length);
    text
}

#[tokio::test]
async fn bodies_over_eight_megabytes_are_too_large_and_those_below_are_not() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let paths = [
        "/api/agent/start",
        "/api/agent/deploy",
        "/api/agent/compile",
        &format!("/api/agent/{UNKNOWN}/signal"),
        "/api/workflow",
        &format!("/api/workflow/{UNKNOWN}/messages"),
        "/api/tasks",
        "/api/tasks/update-v2",
        &format!("/api/tasks/{UNKNOWN}/log"),
        "/api/metadata/taskdefs",
        "/api/token",
    ];
    for path in paths {
        let answer = server.post_bytes(path, vec![b' '; 8 * MEGABYTE + 1]).await;
        assert!(answer.refused(413).contains("8388608"), "{path}: {}", answer.text);
    }

    let model = script(&[calls(["fetch"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["fetch"])), &"p".repeat(7 * MEGABYTE)).await;
    let task = server.take("fetch").await;
    let output = json!({ "result": noise(7 * MEGABYTE) });
    server.complete(&task, &output).await;
    server.until(&id, "COMPLETED").await;
    let workflow = server.workflow(&id).await;
    let tasks = workflow["tasks"].as_array().unwrap();
    let stored = tasks.iter().find(|t| t["taskType"] == "fetch").unwrap();
    assert!(stored["outputData"] == output, "seven megabytes came back changed");
}

#[tokio::test]
async fn depth_and_digits_have_limits_and_what_is_within_comes_back_unchanged() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let config = echo().to_string();
    let start =
        |context: &str| format!(r#"{{"agentConfig":{config},"prompt":"p","context":{{"x":{context}}}}}"#);
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));

    // The body and its context are two levels themselves.
    for bad in
        [nested(127), nested(5000), "9".repeat(65), format!("-0.{}", "1".repeat(64)), "1e100000".into()]
    {
        let answer = server.post_bytes("/api/agent/start", start(&bad)).await;
        let message = answer.refused(400);
        assert!(message.contains("128 levels") || message.contains("64 digits"), "{message}");
    }
    for good in [&nested(126), &"9".repeat(64), "1e60", "-0", "9007199254740993", "1.50", "0.1e-7"] {
        let answer = server.post_bytes("/api/agent/start", start(good)).await;
        let id = answer.ok()["executionId"].as_str().unwrap().to_owned();
        eventually_completed(&server, &id).await;
        let whole = server.get(&format!("/api/workflow/{id}")).await;
        assert!(whole.text.contains(&format!(r#""x":{good}"#)), "{good} is not in {}", whole.text);
    }
}

#[tokio::test]
async fn text_that_postgres_refuses_is_kept_and_given_back() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let odd = r"a\u0000b\uD800c\uDC00d\u202Ee\uDBC0\uDC00f"; // NUL, lone surrogates, right-to-left, our own stand-in
    let kept = "a\\u0000b\\uD800c\\uDC00d\u{202E}e\u{100000}f";
    let config = echo().to_string();
    let body = format!(
        r#"{{"agentConfig":{config},"prompt":"{odd}","sessionId":"{odd}","context":{{"{odd}":"{odd}"}}}}"#
    );
    let id = server.post_bytes("/api/agent/start", body).await.ok();
    let id = id["executionId"].as_str().unwrap();
    eventually_completed(&server, id).await;
    let whole = server.get(&format!("/api/workflow/{id}?includeTasks=true")).await.text;
    let escaped = kept.replace('\u{202E}', "\\u202E").replace('\u{100000}', "\\uDBC0\\uDC00");
    let has = |text: &str| whole.contains(text) || whole.contains(&escaped);
    assert!(has(&format!(r#""prompt":"{kept}""#)) || has(&format!(r#""prompt":"{odd}""#)), "{whole}");
    assert!(
        whole.matches(r"a\u0000b\uD800c\uDC00d").count() >= 5,
        "prompt, session, context, answer: {whole}"
    );

    let model = script(&[calls(["fetch"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["fetch"])), "p").await;
    let task = server.take("fetch").await;
    let body = format!(
        r#"{{"workflowInstanceId":"{id}","taskId":{},"status":"COMPLETED","workerId":"{odd}",
            "outputData":{{"{odd}":["{odd}"],"_state_updates":{{"k":"{odd}"}}}},"logs":[{{"log":"{odd}"}}]}}"#,
        task["taskId"]
    );
    assert_eq!(server.post_bytes("/api/tasks", body).await.status, 200);
    eventually_completed(&server, &id).await;
    for path in [
        format!("/api/workflow/{id}?includeTasks=true"),
        format!("/api/agent/stream/{id}"),
        format!("/api/tasks/{}", task["taskId"].as_str().unwrap()),
        format!("/api/tasks/{}/log", task["taskId"].as_str().unwrap()),
    ] {
        let answer = server.get(&path).await;
        assert!(answer.text.contains(r"a\u0000b\uD800c\uDC00d"), "{path}: {}", answer.text);
    }
    for path in [format!("/api/executions/{id}/timeline"), format!("/api/agent/executions/{id}")] {
        assert_eq!(server.get(&path).await.status, 200, "{path}");
    }
}

/// The answer may hold what no JSON library reads, so only its text is looked at.
async fn eventually_completed(server: &Server, id: &str) {
    crate::harness::eventually("completed", async || {
        let answer = server.get(&format!("/api/agent/{id}/status")).await;
        answer.text.contains(r#""status":"COMPLETED""#).then_some(())
    })
    .await;
}

#[tokio::test]
async fn bytes_that_are_no_json_are_named_and_a_byte_order_mark_is_forgiven() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let good = json!({ "agentConfig": echo(), "prompt": "p" }).to_string();
    server.post_bytes("/api/agent/start", format!("\u{FEFF}{good}")).await.ok();
    let bad: [(&[u8], &str); 8] = [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\"", "JSON"),
        (b"{\"a\":1,}", "JSON"),
        (b"{\"a\":NaN}", "JSON"),
        (b"{} {}", "JSON"),
        (b"{\"prompt\":\"\xff\"}", "UTF-8"),
        (b"\xff\xfe{\0}\0", "UTF-8"),
    ];
    for (body, says) in bad {
        for path in [
            "/api/agent/start",
            "/api/tasks",
            "/api/tasks/update-v2",
            "/api/workflow",
            "/api/metadata/taskdefs",
        ] {
            let message = server.post_bytes(path, body).await.refused(400);
            assert!(message.contains(says), "{path}: {message}");
        }
    }
}

/// Values of every type, none of which is right everywhere.
fn of_every_type() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!([]),
        json!([1]),
        json!([[null]]),
        json!({}),
        json!({ "a": [1] }),
    ]
}

/// Send `base` with each field in turn holding a value of every type.
async fn wrong_types(server: &Server, path: &str, base: &Value, fields: &[&str]) {
    let mut requests = vec![];
    for field in fields {
        for value in of_every_type() {
            let mut body = base.clone();
            *body.pointer_mut(&format!("/{field}")).unwrap_or_else(|| panic!("{field}")) = value;
            requests.push(body);
        }
    }
    for some in requests.chunks(16) {
        for answer in join_all(some.iter().map(|body| server.post(path, body))).await {
            assert!(answer.status < 300 || !answer.refused(answer.status).is_empty());
        }
    }
}

#[tokio::test]
async fn wrong_types_in_any_field_of_a_start_are_answered() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let tool = json!({ "name": "t", "description": null, "inputSchema": null, "outputSchema": null, "toolType": null, "stateful": null,
        "maxCalls": null, "timeoutSeconds": null, "config": null, "approvalRequired": null, "guardrails": null });
    let mut config = echo();
    let all = [
        "description",
        "baseUrl",
        "memory",
        "maxTokens",
        "temperature",
        "reasoningEffort",
        "thinkingConfig",
        "contextWindowBudget",
        "outputType",
        "stopWhen",
        "termination",
        "requiredTools",
        "enablePlanning",
        "planner",
        "codeExecution",
        "cliConfig",
        "metadata",
        "agents",
        "router",
        "guardrails",
        "handoffs",
        "callbacks",
        "gate",
        "credentials",
        "strategy",
        "introduction",
        "includeContents",
        "synthesize",
    ];
    for field in all {
        config[field] = json!(null);
    }
    config["tools"] = json!([tool]);
    let base = json!({
        "agentConfig": config, "prompt": "p", "sessionId": null, "media": null, "context": null, "idempotencyKey": null,
        "timeoutSeconds": null, "credentials": null, "runId": null, "name": null, "version": null, "model": null,
        "static_plan": null, "framework": null, "rawConfig": null,
    });
    let top = base.as_object().unwrap().keys().cloned();
    let of_config = config.as_object().unwrap().keys().map(|k| format!("agentConfig/{k}"));
    let of_tool = tool.as_object().unwrap().keys().map(|k| format!("agentConfig/tools/0/{k}"));
    let fields: Vec<_> = top.chain(of_config).chain(of_tool).collect();
    let fields: Vec<_> = fields.iter().map(String::as_str).collect();
    wrong_types(&server, "/api/agent/start", &base, &fields).await;
    wrong_types(&server, "/api/agent/compile", &base, &fields).await;
    wrong_types(&server, "/api/agent/deploy", &base, &fields).await;

    server.post("/api/agent/deploy", &json!({ "agentConfig": echo() })).await.ok();
    let base = json!({
        "name": "echo", "version": null, "correlationId": null, "priority": null, "taskToDomain": null, "idempotencyKey": null,
        "idempotencyStrategy": null,
        "input": { "prompt": "p", "media": null, "context": null, "session_id": null, "cwd": null, "more": null },
    });
    let fields = [
        "name",
        "version",
        "correlationId",
        "priority",
        "taskToDomain",
        "idempotencyKey",
        "idempotencyStrategy",
        "input",
        "input/prompt",
        "input/media",
        "input/context",
        "input/session_id",
        "input/cwd",
        "input/more",
    ];
    wrong_types(&server, "/api/workflow", &base, &fields).await;
    invariants::hold(&database.connect().await, &[]).await;
}

#[tokio::test]
async fn wrong_types_in_any_field_of_a_report_are_answered_and_lose_nothing() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    server.register("fetch", &json!({})).await;
    let model = script(&[calls(["fetch"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["fetch"])), "p").await;
    let task = server.take("fetch").await;
    let base = json!({
        "workflowInstanceId": id, "taskId": task["taskId"], "workerId": "w", "status": "IN_PROGRESS", "outputData": null,
        "extendLease": true, "reasonForIncompletion": null, "callbackAfterSeconds": null, "logs": [{ "log": "l", "taskId": null, "createdTime": null }],
    });
    let fields = [
        "workflowInstanceId",
        "taskId",
        "workerId",
        "status",
        "outputData",
        "reasonForIncompletion",
        "callbackAfterSeconds",
        "logs",
        "logs/0/log",
        "logs/0/taskId",
        "logs/0/createdTime",
    ];
    wrong_types(&server, "/api/tasks", &base, &fields).await;
    wrong_types(&server, "/api/tasks/update-v2", &base, &fields).await;
    let definition = json!({
        "name": "t", "retryCount": 1, "retryLogic": "FIXED", "retryDelaySeconds": 1, "backoffScaleFactor": 1, "timeoutSeconds": 0,
        "timeoutPolicy": "RETRY", "responseTimeoutSeconds": 1, "concurrentExecLimit": null, "inputKeys": null, "enforceSchema": null,
    });
    let fields: Vec<_> = definition.as_object().unwrap().keys().map(String::as_str).collect();
    wrong_types(&server, "/api/metadata/taskdefs", &definition, &fields).await;
    for (path, base) in [
        (format!("/api/agent/{id}/signal"), json!({ "message": "m" })),
        (format!("/api/agent/{id}/respond"), json!({ "message": "m" })),
        (format!("/api/workflow/{id}/messages"), json!({ "message": "m" })),
        (format!("/api/agent/events/{id}"), json!({ "message": "m" })),
        ("/api/token".to_owned(), json!({ "message": null, "keyId": null, "keySecret": null })),
    ] {
        wrong_types(&server, &path, &base, &["message"]).await;
    }

    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn ids_of_nothing_are_not_found_on_every_route() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let routes = [
        ("GET", "/api/agent/ID/status"),
        ("POST", "/api/agent/ID/respond"),
        ("POST", "/api/agent/ID/stop"),
        ("POST", "/api/agent/ID/signal"),
        ("PUT", "/api/agent/ID/pause"),
        ("PUT", "/api/agent/ID/resume"),
        ("DELETE", "/api/agent/ID/cancel"),
        ("GET", "/api/agent/stream/ID"),
        ("GET", "/api/agent/execution/ID"),
        ("GET", "/api/agent/executions/ID"),
        ("GET", "/api/agent/executions/ID/full"),
        ("GET", "/api/agent/executions/ID/tasks"),
        ("GET", "/api/workflow/ID"),
        ("DELETE", "/api/workflow/ID?reason=because"),
        ("PUT", "/api/workflow/ID/pause"),
        ("PUT", "/api/workflow/ID/resume"),
        ("POST", "/api/workflow/ID/messages"),
        ("GET", "/api/tasks/ID"),
        ("POST", "/api/tasks/ID/log"),
        ("POST", "/api/tasks/ID/call_1__1/COMPLETED"),
        ("GET", "/api/executions/ID/why"),
        ("GET", "/api/executions/ID/timeline"),
        ("GET", "/api/metadata/taskdefs/ID"),
        ("DELETE", "/api/metadata/taskdefs/ID"),
        ("GET", "/api/metadata/workflow/ID"),
        ("GET", "/api/agent/ID"),
        ("DELETE", "/api/agent/ID"),
    ];
    let long = "x".repeat(10_000);
    let ids = [
        UNKNOWN,
        "00000000-0000-0000-0000-000000000000",
        "nope",
        "%00",
        "%F0%9F%8E%93",
        "..%2F..%2Fetc",
        "'%20or%201=1--",
        "%25",
        &long,
    ];
    for (method, route) in routes {
        for id in ids {
            let request = server.request(method, &route.replace("ID", id));
            let answer = Http::send(if method == "POST" { request.json(&json!({})) } else { request }).await;
            answer.refused(404);
        }
        let answer = Http::send(server.request(method, &route.replace("ID", "%FF"))).await;
        assert!(matches!(answer.status, 400 | 404), "{method} {route}: {answer:?}");
    }
    for id in ids {
        assert_eq!(server.get(&format!("/api/tasks/{UNKNOWN}/log")).await.ok(), json!([]));
        let by_body = json!({ "workflowInstanceId": id, "taskId": id, "status": "COMPLETED" });
        server.post("/api/tasks", &by_body).await.refused(404);
        server.post("/api/tasks/update-v2", &by_body).await.refused(404);
    }
}

#[tokio::test]
async fn polls_for_nothing_get_nothing_and_absurd_ones_are_refused() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    for queue in ["nobody_knows_it", "%00", "%F0%9F%8E%93", "a%20b%2Fc", "'%22"] {
        for query in [
            "timeout=0",
            "timeout=0&count=0",
            "timeout=0&count=1000000",
            "timeout=1&domain=%00",
            "timeout=1&workerid=",
        ] {
            let answer = server.get(&format!("/api/tasks/poll/batch/{queue}?{query}")).await;
            assert_eq!(answer.ok(), json!([]), "{queue} {query}");
        }
        assert_eq!(server.get(&format!("/api/tasks/poll/{queue}?workerid=w")).await.status, 204);
    }
    let message = server.get("/api/tasks/poll/batch/q?timeout=5001").await.refused(400);
    assert!(message.contains("5 seconds"), "{message}");
    for query in
        ["timeout=-1", "timeout=x", "count=-1", "count=99999999999999999999", "timeout=1e3", "count="]
    {
        server.get(&format!("/api/tasks/poll/batch/q?{query}")).await.refused(400);
    }
}

#[tokio::test]
async fn names_of_ten_thousand_characters_are_taken_or_refused_but_break_nothing() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let long = noise(10_000);
    let mut named_long = echo();
    named_long["name"] = json!(long);
    server.post("/api/agent/start", &json!({ "agentConfig": named_long, "prompt": "p" })).await.refused(400);
    for tool in [tools([&long]), tools(["fetch"])] {
        let mut with_tool = agent("a", &script(&[calls([&long]), says("done")]), tool);
        with_tool["maxTurns"] = json!(2);
        let answer =
            server.post("/api/agent/start", &json!({ "agentConfig": with_tool, "prompt": "p" })).await;
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
    }
    for field in ["sessionId", "idempotencyKey", "runId"] {
        let answer = server.post("/api/agent/start", &start_with(field, json!(long))).await;
        assert!(matches!(answer.status, 200 | 400), "{field}: {answer:?}");
    }
    let stateful = json!([{ "name": "t", "stateful": true, "toolType": "worker" }]);
    let by_domain = agent("b", &script(&[calls(["t"]), says("done")]), stateful);
    let answer = server
        .post("/api/agent/start", &json!({ "agentConfig": by_domain, "prompt": "p", "runId": long }))
        .await;
    assert!(matches!(answer.status, 200 | 400), "{answer:?}");
    for query in [
        format!("{long}?timeout=0"),
        format!("q?timeout=0&domain={long}"),
        format!("q?timeout=0&workerid={long}"),
    ] {
        let answer = server.get(&format!("/api/tasks/poll/batch/{query}")).await;
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
    }
    server.put("/api/metadata/taskdefs", &json!({ "name": long })).await.refused(400);
    let answer = server
        .post(
            "/api/workflow",
            &json!({ "name": "a", "input": { "prompt": "p" }, "taskToDomain": { "fetch": long } }),
        )
        .await;
    assert!(matches!(answer.status, 200 | 400), "{answer:?}");
    let free_text =
        server.get(&format!("/api/agent/executions?freeText={long}&sessionId={long}&agentName={long}")).await;
    assert_eq!(free_text.ok()["totalHits"], 0);
    // The server is as well as before.
    let id = server.start_run(&echo(), "still here").await;
    assert_eq!(server.until(&id, "COMPLETED").await["output"]["result"], "still here");
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn one_key_starts_one_run_however_many_ask_two_servers_at_once() {
    let database = TestDb::new().await;
    let (one, other) = tokio::join!(Server::start(&database), Server::start(&database));
    let request = json!({ "agentConfig": echo(), "prompt": "p", "idempotencyKey": "k" });
    let starts = (0..64).map(|n| {
        let (http, request) = (if n % 2 == 0 { (*one).clone() } else { (*other).clone() }, request.clone());
        tokio::spawn(async move { http.start_with(&request).await })
    });
    let mut ids: Vec<_> = join_all(starts).await.into_iter().map(Result::unwrap).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    one.until(&ids[0], "COMPLETED").await;
    assert_eq!(one.start_with(&request).await, ids[0], "a run that has succeeded answers for its key, too");
    invariants::hold(&database.connect().await, &ids).await;
}

#[tokio::test]
async fn one_key_starts_one_run_by_name_too() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    server.post("/api/agent/deploy", &json!({ "agentConfig": echo() })).await.ok();
    let request = json!({ "name": "echo", "input": { "prompt": "p" }, "correlationId": "k" });
    let answers = join_all((0..64).map(|_| server.post("/api/workflow", &request))).await;
    assert!(answers.iter().all(|a| a.status == 200 && a.text == answers[0].text), "{answers:?}");
}

#[tokio::test]
async fn a_broken_place_to_go_on_from_is_the_beginning_or_the_end() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let id = server.start_run(&echo(), "p").await;
    server.until(&id, "COMPLETED").await;
    let all = server.stream(&id, None).await;
    for broken in ["", "x", "-1", "0", "1.5", "0x3", "-99999999999999999999"] {
        assert_eq!(server.stream(&id, Some(broken)).await, all, "{broken}");
    }
    for beyond in ["99", "2147483647", "4294967295", "9223372036854775807"] {
        assert_eq!(server.stream(&id, Some(beyond)).await, [], "{beyond}");
    }
}

#[tokio::test]
async fn absurd_searches_are_refused_or_find_nothing() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let id = server.start_run(&echo(), "needle").await;
    server.until(&id, "COMPLETED").await;
    let refused_or_empty = [
        "size=-1",
        "size=0",
        "size=99999999999",
        "size=x",
        "start=-1",
        "start=99999999999999999999",
        "start=1000000",
        "sort=",
        "sort=startTime",
        "sort=startTime:SIDEWAYS",
        "sort=%00",
        "status=SLEEPING",
        "status=%00",
        "freeText=%25",
        "freeText=_",
        "freeText='%20or%20true--",
        "freeText=startTime:[x%20TO%20*]",
        "freeText=startTime:[*%20TO",
        "freeText=startTime:[99999999999999999999%20TO%20*]",
        "freeText=%00",
        "sessionId=%00",
        "agentName=%F0%9F%8E%93",
        "freeText=%5C",
        "size=20&size=30",
    ];
    for query in refused_or_empty {
        let answer = server.get(&format!("/api/agent/executions?{query}")).await;
        assert!(answer.status == 200 || !answer.refused(400).is_empty(), "{query}");
    }
    let found = server.get("/api/agent/executions?freeText=*&size=20&start=0&sort=startTime:DESC").await.ok();
    assert_eq!(found["results"][0]["executionId"], id);
    for query in ["count=-1", "count=99999999999", "start=-1", "status=x"] {
        let answer = server.get(&format!("/api/agent/executions/{id}/tasks?{query}")).await;
        assert!(answer.status == 200 || !answer.refused(400).is_empty(), "{query}");
    }
    for query in ["", "taskType=", "taskType=%00", "other=x"] {
        let answer = server.get(&format!("/api/tasks/queue/sizes?{query}")).await;
        assert!(answer.status == 200 || !answer.refused(400).is_empty(), "{query}");
    }
}

#[tokio::test]
async fn unknown_routes_and_wrong_methods_are_answered_in_json() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    for path in [
        "/no/such/path",
        "/api",
        "/api/",
        "/api/agent/",
        "/api/nothing",
        "/api/agent/start/more",
        "/api//tasks",
        "/%00",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let answer = Http::send(server.request(method, path)).await;
            answer.refused(404);
        }
    }
    for (path, methods) in [
        ("/api/agent/start", ["GET", "PUT", "DELETE", "PATCH"]),
        ("/api/agent/list", ["POST", "PUT", "DELETE", "PATCH"]),
        ("/api/tasks", ["GET", "PUT", "DELETE", "PATCH"]),
        ("/api/tasks/update-v2", ["PUT", "PATCH", "DELETE", "OPTIONS"]),
        ("/api/tasks/poll/batch/q", ["POST", "PUT", "DELETE", "PATCH"]),
        ("/api/metadata/taskdefs", ["DELETE", "PATCH", "OPTIONS", "TRACE"]),
        ("/api/workflow", ["GET", "PUT", "DELETE", "PATCH"]),
        ("/health", ["POST", "PUT", "DELETE", "PATCH"]),
    ] {
        for method in methods {
            let answer = Http::send(server.request(method, path)).await;
            assert!(
                answer.status == 405 || path == "/api/tasks/update-v2" && answer.status == 404,
                "{method} {path}: {answer:?}"
            );
            answer.refused(answer.status);
        }
    }
}

#[tokio::test]
async fn oversized_and_broken_heads_close_one_connection_and_no_more() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let huge = "x".repeat(300_000);
    let many = "a: b\r\n".repeat(1000);
    let heads = [
        format!("GET /health HTTP/1.1\r\nhost: x\r\nbig: {huge}\r\n\r\n"),
        format!("GET /{huge} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        "GET /health HTTP/9.9\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET /health\r\n\r\n".to_owned(),
        "POST /api/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".to_owned(),
        "POST /api/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "POST /api/tasks HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "POST /api/tasks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{".to_owned(),
    ];
    for head in heads {
        let mut connection = TcpStream::connect(server.base().strip_prefix("http://").unwrap()).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let _ = connection.write_all(head.as_bytes());
        connection.shutdown(std::net::Shutdown::Write).unwrap_or_default();
        let mut answer = vec![];
        let _ = connection.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let start: String = head.chars().take(60).collect();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4"),
            "{start:?}: {answer}"
        );
        assert_eq!(server.get("/health/ready").await.status, 200);
    }
}

#[tokio::test]
async fn a_poisonous_item_fails_alone() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let model = script(&[calls(["fetch"]), says("done")]);
    let fetcher = agent("a", &model, tools(["fetch"]));
    let mut starts: Vec<_> = (0..40).map(|_| json!({ "agentConfig": fetcher, "prompt": "p" })).collect();
    for at in [3, 17, 31] {
        starts[at]["sessionId"] = json!(noise(10_000));
        starts[at]["idempotencyKey"] = json!(noise(10_000));
    }
    let answers = join_all(starts.iter().map(|s| server.post("/api/agent/start", s))).await;
    let mut ids = vec![];
    for (at, answer) in answers.iter().enumerate() {
        if ![3, 17, 31].contains(&at) || answer.status == 200 {
            ids.push(answer.ok()["executionId"].as_str().unwrap().to_owned());
        } else {
            answer.refused(400);
        }
    }

    let mut tasks = vec![];
    while tasks.len() < ids.len() {
        tasks.extend(server.poll("fetch", 100).await);
    }
    for id in &ids[..5] {
        server.delete(&format!("/api/workflow/{id}?reason=poison")).await.ok();
    }
    let strange = [
        json!({ "_state_updates": 7 }),
        json!({ "_state_updates": { "a": [null] } }),
        json!([]),
        json!("x"),
        json!(null),
    ];
    let reports = tasks.iter().enumerate().map(|(n, task)| {
        let body = json!({
            "workflowInstanceId": task["workflowInstanceId"], "taskId": task["taskId"], "status": "COMPLETED",
            "outputData": strange[n % strange.len()],
        });
        let server = &server;
        async move { server.post("/api/tasks/update-v2", &body).await }
    });
    for answer in join_all(reports).await {
        assert!(matches!(answer.status, 200 | 204), "{answer:?}");
    }
    for id in &ids[5..] {
        server.until(id, "COMPLETED").await;
    }
    for id in &ids[..5] {
        server.until(id, "TERMINATED").await;
    }
    invariants::hold(&database.connect().await, &ids).await;
}
