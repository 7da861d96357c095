//! The edge on a real Postgres: the protocol's stories, and what happens to input that nobody should send.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::App;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::test::{self, TestRequest};
use serde_json::{Value, json};
use tenure::llm::Models;
use tenure::postgres::{self, Cluster, Options};
use tenure::runtime::{Runtime, Settings};
use tenure::{perform, store, web};
use tokio_util::sync::{CancellationToken, DropGuard};

const UNKNOWN: &str = "01890000-0000-7000-8000-000000000000";

/// A server without a socket: everything behind the routes is real.
struct Server {
    state: web::State,
    _cluster: Cluster,
    _stop: DropGuard,
}

impl Server {
    async fn start(api_key: Option<&str>) -> Self {
        let options = Options { offline: true, ..Options::default() };
        let cluster = postgres::ephemeral(&options, &|_| {}).await.unwrap();
        let (mut client, connection) = cluster.config().connect().await.unwrap();
        tokio::spawn(connection);
        store::schema::migrate(&mut client).await.unwrap();
        let stop = CancellationToken::new();
        let settings = Settings {
            name: "test".into(),
            model_calls: 4,
            model_timeout: Duration::from_secs(10),
            committers: 2,
            exports: None,
        };
        let (runtime, handed) = Runtime::open(cluster.config(), settings, stop.clone()).await.unwrap();
        let models = Arc::new(Models::from_env(&|_| None).unwrap());
        tokio::spawn(perform::run(runtime.clone(), models.clone(), handed));
        let provider = Arc::new(move |provider: &str| models.configured(provider));
        let config = web::Config { api_key: api_key.map(web::ApiKey::new), provider, metrics: None };
        Self { state: web::State::new(runtime, config), _cluster: cluster, _stop: stop.drop_guard() }
    }
}

/// The app of a server, as a service to call.
macro_rules! app {
    ($server:expr) => {{
        let state = $server.state.clone();
        test::init_service(App::new().configure(|app| web::routes(app, &state))).await
    }};
}

/// Status and body of the answer; a body that is no JSON comes as a text.
macro_rules! ask {
    ($app:expr, $request:expr) => {
        async { read($app.call($request.to_request()).await.expect("errors are answers")).await }
    };
}

async fn read<B: MessageBody>(answer: ServiceResponse<B>) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = text(answer).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn text<B: MessageBody>(answer: ServiceResponse<B>) -> String {
    let bytes = answer.into_body().try_into_bytes();
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(body) => actix_web::body::to_bytes(body).await.unwrap_or_else(|_| panic!("the body broke off")),
    };
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn get(path: &str) -> TestRequest {
    TestRequest::get().uri(path)
}

fn post(path: &str, body: &Value) -> TestRequest {
    TestRequest::post().uri(path).set_json(body)
}

fn commander(name: &str) -> Value {
    json!({ "name": name, "model": "demo/incident-commander",
        "tools": [{ "name": "fetch_incident_context", "inputSchema": { "type": "object" } }] })
}

/// Ask until `wanted` is true of the answer.
macro_rules! until {
    ($app:expr, $path:expr, $wanted:expr) => {{
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let (status, answer) = ask!($app, get($path)).await;
            if status == 200 && $wanted(&answer) {
                break answer;
            }
            assert!(Instant::now() < until, "{} is still {answer}", $path);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }};
}

#[actix_web::test]
async fn a_run_waits_for_its_worker_says_so_and_completes() {
    let server = Server::start(None).await;
    let app = &app!(server);

    // Somebody starts a run, and no worker is there.
    let start =
        json!({ "agentConfig": commander("triage"), "prompt": "checkout-api fails", "sessionId": "s" });
    let (status, started) = ask!(app, post("/api/agent/start", &start)).await;
    assert_eq!(
        (status, &started["agentName"], &started["requiredWorkers"]),
        (200, &json!("triage"), &json!([]))
    );
    let id = started["executionId"].as_str().unwrap();
    let why =
        until!(app, &format!("/api/executions/{id}/why"), |a: &Value| a["reasons"][0]["code"] == "no_worker");
    assert_eq!(why["reasons"][0]["queue"], "fetch_incident_context");

    // A worker comes, fails once, and is handed the next try when its time has come.
    let poll = "/api/tasks/poll/batch/fetch_incident_context?workerid=w&count=1&timeout=5000";
    let (_, polled) = ask!(app, get(poll)).await;
    let first = &polled[0];
    assert_eq!(
        (&first["status"], &first["iteration"], &first["retryCount"]),
        (&json!("IN_PROGRESS"), &json!(1), &json!(0))
    );
    let report = |task: &Value, status: &str, output: Value| {
        json!({ "workflowInstanceId": id, "taskId": task["taskId"], "workerId": "w", "status": status,
            "outputData": output, "reasonForIncompletion": "boom" })
    };
    assert_eq!(ask!(app, post("/api/tasks/update-v2", &report(first, "FAILED", json!({})))).await.0, 204);
    let (_, why) = ask!(app, get(&format!("/api/executions/{id}/why"))).await;
    assert_eq!(why["reasons"][0]["code"], "retry");
    assert!(
        why["reasons"][0]["text"].as_str().unwrap().starts_with("retry 1 of 2 of 'fetch_incident_context'")
    );
    let (_, polled) = ask!(app, get(poll)).await;
    let second = &polled[0];
    assert_eq!((&second["retryCount"], &second["retriedTaskId"]), (&json!(1), &first["taskId"]));
    assert_eq!(second["inputData"]["_idempotency_key"], first["inputData"]["_idempotency_key"]);

    // Its result counts once, however often it is sent, and one of the first try not at all.
    let output = json!({ "service": "checkout-api", "severity": "sev2" });
    for _ in 0..2 {
        assert_eq!(
            ask!(app, post("/api/tasks/update-v2", &report(second, "COMPLETED", output.clone()))).await.0,
            204
        );
    }
    assert_eq!(
        ask!(app, post("/api/tasks", &report(first, "COMPLETED", json!({ "late": true })))).await.0,
        200
    );
    let done = until!(app, &format!("/api/agent/{id}/status"), |a: &Value| a["isComplete"] == true);
    assert_eq!(done["status"], "COMPLETED");
    assert!(done["output"]["result"].as_str().unwrap().contains("summary:"));

    // What clients read afterwards.
    let (_, workflow) = ask!(app, get(&format!("/api/workflow/{id}?includeTasks=true"))).await;
    let tasks: Vec<_> = workflow["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| (t["taskType"].as_str().unwrap(), t["status"].as_str().unwrap()))
        .collect();
    assert_eq!(
        tasks,
        [
            ("DO_WHILE", "COMPLETED"),
            ("LLM_CHAT_COMPLETE", "COMPLETED"),
            ("fetch_incident_context", "FAILED"),
            ("fetch_incident_context", "COMPLETED"),
            ("LLM_CHAT_COMPLETE", "COMPLETED"),
        ]
    );
    let last = &workflow["tasks"][4]["inputData"]["messages"];
    assert_eq!(last[2]["toolCalls"][0]["name"], "fetch_incident_context");
    let (_, usage) = ask!(app, get(&format!("/api/agent/execution/{id}"))).await;
    assert!(usage["tokenUsage"]["totalTokens"].as_i64().is_some());
    let (_, found) = ask!(
        app,
        get("/api/agent/executions?freeText=s&status=COMPLETED&agentName=triage&sort=startTime:DESC&size=5")
    )
    .await;
    assert_eq!((&found["totalHits"], &found["results"][0]["executionId"]), (&json!(1), &json!(id)));

    // The stream of a run that has ended is all there, from anywhere.
    let (_, stream) = ask!(app, get(&format!("/api/agent/stream/{id}"))).await;
    let kinds: Vec<_> = stream.as_str().unwrap().lines().filter_map(|l| l.strip_prefix("event:")).collect();
    assert_eq!(kinds, ["thinking", "tool_call", "tool_result", "thinking", "done"]);
    let ids: Vec<_> = stream.as_str().unwrap().lines().filter_map(|l| l.strip_prefix("id:")).collect();
    let (_, rest) =
        ask!(app, get(&format!("/api/agent/stream/{id}")).insert_header(("Last-Event-ID", ids[1]))).await;
    let again: Vec<_> = rest.as_str().unwrap().lines().filter_map(|l| l.strip_prefix("id:")).collect();
    assert_eq!(again, ids[2..], "a cut between a call and its result goes on with the result");
    let bogus = get(&format!("/api/agent/stream/{id}")).insert_header(("Last-Event-ID", "99999999999999"));
    assert_eq!(ask!(app, bogus).await.1, ":connected\n\n", "a number from elsewhere ends, too");
}

#[actix_web::test]
async fn one_key_starts_one_run_however_many_ask_at_once() {
    let server = Server::start(None).await;
    let app = &app!(server);
    let start = json!({ "agentConfig": commander("once"), "prompt": "p", "idempotencyKey": "k" });
    let started =
        futures_util::future::join_all((0..8).map(|_| ask!(app, post("/api/agent/start", &start)))).await;
    assert!(started.iter().all(|(status, answer)| *status == 200 && answer == &started[0].1), "{started:?}");
    let (_, found) = ask!(app, get("/api/agent/executions?agentName=once")).await;
    assert_eq!(found["totalHits"], 1);
}

#[actix_web::test]
async fn what_postgres_can_not_hold_comes_back_as_it_was_sent() {
    let server = Server::start(None).await;
    let app = &app!(server);
    let body = r#"{"agentConfig":{"name":"odd","model":"demo/incident-commander","instructions":"a\u0000b"},"prompt":"p\ud800","context":{"n":1.50,"big":123456789012345678901234567890}}"#;
    let request = TestRequest::post().uri("/api/agent/start").set_payload(body);
    let (status, started) = ask!(app, request).await;
    assert_eq!(status, 200, "{started}");
    let path = format!("/api/workflow/{}?includeTasks=false", started["executionId"].as_str().unwrap());
    let answer = app.call(get(&path).to_request()).await.unwrap();
    let body = text(answer).await;
    assert!(body.contains(r#""prompt":"p\uD800""#), "{body}");
    assert!(body.contains(r#"{"n":1.50,"big":123456789012345678901234567890}"#), "{body}");
    let answer = app.call(get("/api/agent/odd").to_request()).await.unwrap();
    let body = text(answer).await;
    assert!(body.contains(r#""instructions":"a\u0000b""#), "{body}");
}

#[actix_web::test]
async fn bad_input_is_answered_and_never_a_fault_of_ours() {
    let server = Server::start(None).await;
    let app = &app!(server);
    let to = |path: &str, body: Vec<u8>| TestRequest::post().uri(path).set_payload(body);
    let agent = commander("bad").to_string();
    let start = |rest: &str| format!(r#"{{"agentConfig":{agent},{rest}}}"#).into_bytes();
    for (expected, request) in vec![
        (400, to("/api/agent/start", b"{".to_vec())),
        (400, to("/api/agent/start", b"[]".to_vec())),
        (400, to("/api/agent/start", vec![])),
        (400, to("/api/agent/start", b"{\"prompt\":\"\xff\"}".to_vec())),
        (400, to("/api/agent/start", start(r#""prompt":"  ""#))),
        (400, to("/api/agent/start", start(r#""prompt":7"#))),
        (400, to("/api/agent/start", start(r#""prompt":"p","timeoutSeconds":-1"#))),
        (400, to("/api/agent/start", start(r#""prompt":"p","context":[1]"#))),
        (400, to("/api/agent/start", start(r#""prompt":"p","credentials":["TOKEN"]"#))),
        (
            400,
            to(
                "/api/agent/start",
                start(&format!(r#""prompt":"p","context":{}{}"#, "[".repeat(200), "]".repeat(200))),
            ),
        ),
        (
            400,
            to("/api/agent/start", start(&format!(r#""prompt":"p","context":{{"n":{}}}"#, "9".repeat(65)))),
        ),
        (413, to("/api/agent/start", vec![b' '; 8 * 1024 * 1024 + 1])),
        (
            400,
            to("/api/agent/start", br#"{"framework":"langgraph","rawConfig":{"a":1},"prompt":"p"}"#.to_vec()),
        ),
        (404, to("/api/agent/start", br#"{"name":"nobody","prompt":"p"}"#.to_vec())),
        (404, to("/api/workflow", br#"{"name":"nobody","input":{"prompt":"p"}}"#.to_vec())),
        (404, get("/api/agent/nope/status")),
        (404, get(&format!("/api/agent/{UNKNOWN}/status"))),
        (404, get(&format!("/api/agent/stream/{UNKNOWN}"))),
        (404, get(&format!("/api/workflow/{UNKNOWN}"))),
        (404, get(&format!("/api/executions/{UNKNOWN}/why"))),
        (404, get(&format!("/api/tasks/{UNKNOWN}"))),
        (404, get("/api/metadata/taskdefs/nobody")),
        (404, get("/no/such/path")),
        (405, TestRequest::patch().uri("/api/agent/list")),
        (400, get("/api/agent/executions?size=100000")),
        (400, get("/api/agent/executions?start=x")),
        (400, get("/api/agent/executions?status=SLEEPING")),
        (400, get("/api/tasks/poll/batch/x?timeout=5001")),
        (200, get("/api/tasks/poll/batch/nobody%20knows%00it?timeout=0")),
        (204, get("/api/tasks/poll/nobody-knows-it")),
        (404, post("/api/tasks", &json!({ "taskId": "nope", "status": "COMPLETED" }))),
        (404, post("/api/tasks/update-v2", &json!({ "taskId": UNKNOWN, "status": "COMPLETED" }))),
        (400, post("/api/tasks", &json!({ "taskId": UNKNOWN, "status": "SLEEPING" }))),
        (404, post(&format!("/api/tasks/{UNKNOWN}/call_1__1/COMPLETED"), &json!({}))),
        (404, post(&format!("/api/workflow/{UNKNOWN}/messages"), &json!({}))),
        (404, post(&format!("/api/agent/{UNKNOWN}/respond"), &json!({}))),
        (404, TestRequest::put().uri(&format!("/api/agent/{UNKNOWN}/pause"))),
        (400, post("/api/metadata/taskdefs", &json!([{ "name": "t", "responseTimeoutSeconds": 0 }]))),
        (400, post("/api/metadata/taskdefs", &json!([1]))),
    ] {
        let request = request.to_request();
        let what = format!("{} {}", request.method(), request.uri());
        let answer = app.call(request).await.expect("errors are answers");
        let status = answer.status().as_u16();
        let body = text(answer).await;
        assert_eq!(status, expected, "{what}: {body}");
        assert!(
            status < 300 || serde_json::from_str::<Value>(&body).is_ok(),
            "{what}: an error is JSON, not {body}"
        );
    }
}

#[actix_web::test]
async fn whoever_has_no_key_gets_nothing_but_health() {
    let server = Server::start(Some("sesame")).await;
    let app = &app!(server);
    for path in [
        "/",
        "/api/agent/list",
        "/api/agent/executions",
        "/api/tasks/poll/batch/x",
        "/api/workflow/x",
        "/nothing",
        "/api/metadata/taskdefs",
        "/api/executions/x/why",
        "/actuator/prometheus",
        "/actuator/info",
        "/api/version",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let request = TestRequest::with_uri(path).method(method.parse().unwrap());
            let (status, answer) = ask!(app, request).await;
            assert_eq!((status, &answer["status"]), (401, &json!(401)), "{method} {path}");
        }
    }
    for path in ["/health", "/health/live", "/health/ready", "/actuator/health", "/api/health"] {
        assert_eq!(ask!(app, get(path)).await.0, 200, "{path}");
    }
    let (status, answer) =
        ask!(app, post("/api/token", &json!({ "keyId": "sesame", "keySecret": "" }))).await;
    let token = answer["token"].as_str().unwrap().to_owned();
    assert_eq!(status, 200);
    assert_eq!(ask!(app, get("/api/agent/list").insert_header(("X-Authorization", token))).await.0, 200);
    assert_eq!(
        ask!(app, get("/api/agent/list").insert_header(("Authorization", "Bearer sesame"))).await.0,
        200
    );
    assert_eq!(ask!(app, post("/api/token", &json!({ "keyId": "open", "keySecret": "up" }))).await.0, 401);
    let (status, answer) = ask!(app, get("/api/agent/list").insert_header(("X-Authorization", "old"))).await;
    assert_eq!((status, &answer["error"]), (401, &json!("INVALID_TOKEN")));
}
