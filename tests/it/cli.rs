//! The command line as a user meets it: the built binary, what it prints, and how it ends. The server here is a few
//! canned answers on a socket, so that also answers which a good server never gives can be given.

use std::{
    collections::HashMap,
    io::Write,
    net::TcpListener,
    os::unix::process::CommandExt,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::free_port;
use crate::worker::{Desk, greet};

/// What was asked: method, path with query, headers of interest, body.
type Asked = Arc<Mutex<Vec<(String, String, HashMap<String, String>, Value)>>>;

/// A server that gives each request the answers set for it, in turn, and the last one for ever.
struct Canned {
    address: String,
    asked: Asked,
    answers: Arc<Mutex<HashMap<String, Vec<Answer>>>>,
}

#[derive(Clone)]
enum Answer {
    Json(u16, Value),
    /// An event stream; broken off in the middle when not whole.
    Events {
        text: &'static str,
        whole: bool,
    },
}

impl Canned {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let canned = Self { address, asked: Asked::default(), answers: Arc::default() };
        let (asked, answers) = (canned.asked.clone(), canned.answers.clone());
        let app = move || {
            let (asked, answers) = (asked.clone(), answers.clone());
            App::new().default_service(web::to(move |request: HttpRequest, body: web::Bytes| {
                let reply = answer(&asked, &answers, &request, &body);
                async move { reply }
            }))
        };
        tokio::spawn(HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run());
        canned
    }

    fn gives(self, request: &str, status: u16, body: Value) -> Self {
        self.answers.lock().unwrap().entry(request.into()).or_default().push(Answer::Json(status, body));
        self
    }

    fn streams(self, request: &str, text: &'static str, whole: bool) -> Self {
        self.answers.lock().unwrap().entry(request.into()).or_default().push(Answer::Events { text, whole });
        self
    }

    async fn tenure(&self, args: &[&str]) -> Ended {
        tenure_with(&[&["--server", &self.address], args].concat(), &[]).await
    }

    fn asked(&self, request: &str) -> Vec<(String, HashMap<String, String>, Value)> {
        let asked = self.asked.lock().unwrap();
        let wanted = |(method, path, ..): &&(String, String, _, _)| {
            format!("{method} {}", path.split('?').next().unwrap()) == request
        };
        asked
            .iter()
            .filter(wanted)
            .map(|(_, path, headers, body)| (path.clone(), headers.clone(), body.clone()))
            .collect()
    }
}

fn answer(
    asked: &Asked,
    answers: &Mutex<HashMap<String, Vec<Answer>>>,
    request: &HttpRequest,
    body: &web::Bytes,
) -> HttpResponse {
    let headers =
        request.headers().iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned())).collect();
    let path = request.uri().path_and_query().unwrap().to_string();
    let json = serde_json::from_slice(body).unwrap_or_default();
    asked.lock().unwrap().push((request.method().to_string(), path, headers, json));
    let mut answers = answers.lock().unwrap();
    let Some(set) = answers.get_mut(&format!("{} {}", request.method(), request.path())) else {
        return HttpResponse::NotFound().json(json!({"status": 404, "message": "no such thing"}));
    };
    match if set.len() > 1 { set.remove(0) } else { set[0].clone() } {
        Answer::Json(status, body) => {
            HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).json(body)
        }
        Answer::Events { text, whole } => {
            let cut = (!whole).then(|| Err(std::io::Error::other("cut")));
            let parts = [Ok(web::Bytes::from_static(text.as_bytes()))].into_iter().chain(cut);
            let text_then_cut = futures_util::stream::iter(parts).then(|part| async {
                if part.is_err() {
                    tokio::time::sleep(Duration::from_millis(100)).await; // The text is on its way before the cut.
                }
                part
            });
            HttpResponse::Ok().content_type("text/event-stream").streaming(text_then_cut)
        }
    }
}

/// How a command ended.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    for name in [
        "TENURE_SERVER_URL",
        "AGENTSPAN_SERVER_URL",
        "AGENT_SERVER_URL",
        "TENURE_API_KEY",
        "AGENTSPAN_API_KEY",
    ] {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

async fn tenure_with(args: &[&str], env: &[(&str, &str)]) -> Ended {
    let mut command = command(args);
    command.envs(env.iter().copied());
    let Output { status, stdout, stderr } = tokio::process::Command::from(command).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

const ID: &str = "0199f0aa-0000-7000-8000-000000000001";

fn running() -> Canned {
    Canned::open()
        .gives(
            &format!("GET /api/agent/executions/{ID}"),
            200,
            json!({
                "executionId": ID, "agentName": "triage", "version": 3, "status": "RUNNING",
                "currentTask": {"taskRefName": "call_1__1", "taskType": "look\u{1b}[2J", "status": "SCHEDULED"},
            }),
        )
        .gives(
            &format!("GET /api/agent/execution/{ID}"),
            200,
            json!({"executionId": ID, "startTime": jiff::Timestamp::now().as_millisecond() - 272_000}),
        )
        .gives(
            &format!("GET /api/executions/{ID}/why"),
            200,
            json!({"executionId": ID, "status": "RUNNING", "reasons": [
                {"code": "no_worker", "text": "no live worker polls queue look", "queue": "look"},
            ]}),
        )
}

#[tokio::test]
async fn status_says_what_a_run_does_for_how_long_and_what_it_waits_for() {
    let server = running();
    let ended = server.tenure(&["agent", "status", ID]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines[0], format!("Execution:    {ID}"));
    assert_eq!(lines[1], "Agent:        triage (version 3)");
    assert_eq!(lines[2], "Status:       RUNNING");
    assert_eq!(lines[3], "Current Task: look[2J (SCHEDULED, call_1__1)");
    assert!(lines[4].starts_with("Elapsed:      4m3"), "{}", lines[4]);
    assert_eq!(lines[5], "Waiting for:  no live worker polls queue look");
    assert!(lines[6].ends_with("tenure worker --queue look -- COMMAND"), "{}", lines[6]);
}

#[tokio::test]
async fn status_as_json_has_the_same_and_no_more_is_printed() {
    let ended = running().tenure(&["agent", "status", ID, "--json"]).await;
    let json: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&json["status"], &json["currentTask"]["status"]), (&json!("RUNNING"), &json!("SCHEDULED")));
    assert_eq!(json["waitingFor"][0]["code"], "no_worker");
    assert!(json["elapsedMs"].as_u64().unwrap() >= 272_000);
    assert_eq!(ended.err, "");
}

#[tokio::test]
async fn watching_a_status_ends_as_the_run_ends() {
    let path = format!("GET /api/agent/executions/{ID}");
    let server = Canned::open().gives(&path, 200, json!({"executionId": ID, "status": "RUNNING"})).gives(
        &path,
        200,
        json!({"executionId": ID, "status": "FAILED", "reasonForIncompletion": "no model"}),
    );
    let ended = server.tenure(&["agent", "status", ID, "--watch"]).await;
    assert_eq!(ended.code, 1);
    assert!(
        ended.out.contains("Status:       RUNNING") && ended.out.contains("Status:       FAILED"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("no model"));
}

#[tokio::test]
async fn what_is_not_there_and_who_may_not_have_their_exit_codes_and_next_steps() {
    let server = Canned::open().gives("GET /api/agent/list", 401, json!({"error": "INVALID_TOKEN"})).gives(
        &format!("POST /api/agent/{ID}/respond"),
        400,
        json!({"error": "no task waits for a person", "status": 400}),
    );
    let missing = server.tenure(&["agent", "status", "nope"]).await;
    assert_eq!(missing.code, 3);
    assert!(
        missing.err.contains("there is no execution nope") && missing.err.contains("tenure agent execution")
    );
    let missing = server.tenure(&["agent", "get", "nobody"]).await;
    assert_eq!((missing.code, missing.err.contains("tenure agent list")), (3, true), "{}", missing.err);
    let forbidden = server.tenure(&["agent", "list"]).await;
    assert_eq!((forbidden.code, forbidden.err.contains("TENURE_API_KEY")), (5, true), "{}", forbidden.err);
    let refused = server.tenure(&["agent", "respond", ID, "--approve"]).await;
    assert_eq!(
        (refused.code, refused.err.contains("no task waits for a person")),
        (5, true),
        "{}",
        refused.err
    );
}

#[tokio::test]
async fn without_a_server_a_command_says_how_to_start_one() {
    let port = free_port();
    let address = format!("127.0.0.1:{port}/api");
    for name in ["TENURE_SERVER_URL", "AGENTSPAN_SERVER_URL", "AGENT_SERVER_URL"] {
        let ended = tenure_with(&["agent", "list"], &[(name, &address)]).await;
        assert_eq!(ended.code, 4);
        assert!(
            ended.err.contains(&format!("no server answers at http://127.0.0.1:{port}\n")),
            "{}",
            ended.err
        );
        assert!(ended.err.contains("tenure serve"), "{}", ended.err);
    }
    let ended = tenure_with(&["agent", "list", "--json", "--server", &address], &[]).await;
    let error: Value = serde_json::from_str(&ended.err).unwrap();
    assert_eq!(error["error"]["code"], "no_server");
    let ended = tenure_with(&["agent", "list"], &[("AGENTSPAN_SERVER_URL", "ftp://x")]).await;
    assert_eq!((ended.code, ended.err.contains("AGENTSPAN_SERVER_URL")), (2, true), "{}", ended.err);
}

#[tokio::test]
async fn the_key_is_sent_in_both_headers() {
    let server = Canned::open().gives("GET /api/agent/list", 200, json!([]));
    let ended = server.tenure(&["agent", "list", "--api-key", "k1"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "no agents\n"));
    let headers = &server.asked("GET /api/agent/list")[0].1;
    assert_eq!((headers["authorization"].as_str(), headers["x-authorization"].as_str()), ("Bearer k1", "k1"));
}

fn agent_file() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    file.write_all(b"name: triage\nmodel: demo/x\n").unwrap();
    file
}

fn started() -> Canned {
    Canned::open().gives("POST /api/agent/start", 200, json!({"executionId": ID, "agentName": "triage"}))
}

#[tokio::test]
async fn run_prints_a_line_per_step_through_a_cut_and_ends_well_when_the_run_does() {
    let stream = format!("GET /api/agent/stream/{ID}");
    let server = started()
        .streams(&stream, ":connected\n\nid:1\nevent:thinking\ndata:{\"content\":\"triage_llm__1\"}\n\nid:2\nev", false)
        .streams(
            &stream,
            ":connected\n\nid:2\nevent:tool_call\ndata:{\"toolName\":\"look\",\"args\":{\"a\":1}}\n\n\
             id:3\nevent:tool_result\ndata:{\"toolName\":\"look\",\"result\":\"seen\"}\n\n\
             id:4\nevent:done\ndata:{\"output\":{\"result\":\"summary: fine\"}}\n\n",
            true,
        )
        .gives(
            &format!("GET /api/agent/{ID}/status"),
            200,
            json!({"status": "COMPLETED", "isComplete": true, "output": {"result": "summary: fine\nnext_action: none"}}),
        );
    let file = agent_file();
    let args = ["agent", "run", "two", "words", "--config", file.path().to_str().unwrap()];
    let ended = server
        .tenure(&[&args[..], &["--session", "s1", "--idempotency-key", "k", "--timeout", "5m"]].concat())
        .await;

    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(
        ended.out,
        format!(
            "triage  execution {ID}\n… triage_llm__1\n→ look({{\"a\":1}})\n← look: seen\nCOMPLETED\n\
             summary: fine\nnext_action: none\n"
        )
    );
    let request = &server.asked("POST /api/agent/start")[0].2;
    assert_eq!(request["agentConfig"], json!({"name": "triage", "model": "demo/x"}));
    assert_eq!((&request["prompt"], &request["sessionId"]), (&json!("two words"), &json!("s1")));
    assert_eq!((&request["idempotencyKey"], &request["timeoutSeconds"]), (&json!("k"), &json!(300)));
    let connections = server.asked(&stream);
    assert_eq!(connections[1].1["last-event-id"], "1");
}

#[tokio::test]
async fn run_ends_as_the_run_ends() {
    for (status, output, code) in [
        ("FAILED", json!({}), 1),
        ("TERMINATED", json!({}), 1),
        ("TIMED_OUT", json!({}), 124),
        ("COMPLETED", json!({"result": null, "finishReason": "rejected", "rejectionReason": "too dear"}), 1),
    ] {
        let server = started()
            .gives("GET /api/agent/triage", 200, json!({"name": "triage", "model": "demo/x"}))
            .streams(
                &format!("GET /api/agent/stream/{ID}"),
                "id:1\nevent:error\ndata:{\"content\":\"no\"}\n\n",
                true,
            )
            .gives(
                &format!("GET /api/agent/{ID}/status"),
                200,
                json!({"status": status, "isComplete": true, "output": output}),
            );
        let ended = server.tenure(&["agent", "run", "--name", "triage", "x"]).await;
        assert_eq!(ended.code, code, "{status}: {} {}", ended.out, ended.err);
    }
}

#[tokio::test]
async fn run_without_stream_prints_the_id_alone() {
    let server = started();
    let file = agent_file();
    let ended =
        server.tenure(&["agent", "run", "x", "--no-stream", "--config", file.path().to_str().unwrap()]).await;
    assert_eq!((ended.code, ended.out), (0, format!("{ID}\n")));
}

#[tokio::test]
async fn a_stream_that_ends_without_a_last_event_ends_when_the_run_is_over() {
    let server = Canned::open()
        .streams(&format!("GET /api/agent/stream/{ID}"), ":connected\n\n", true)
        .gives(&format!("GET /api/agent/{ID}/status"), 200, json!({"status": "RUNNING", "isComplete": false}))
        .gives(
            &format!("GET /api/agent/{ID}/status"),
            200,
            json!({"status": "TERMINATED", "isComplete": true}),
        );
    let ended = server.tenure(&["agent", "stream", ID, "--last-event-id", "7"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (1, "TERMINATED\n"));
    assert_eq!(server.asked(&format!("GET /api/agent/stream/{ID}"))[0].1["last-event-id"], "7");
}

#[tokio::test]
async fn what_the_model_says_is_printed_as_it_comes_when_it_is_wanted() {
    let path = format!("GET /api/agent/stream/{ID}");
    let pieces = "event:tokens\ndata:{\"at\":0,\"text\":\"Rolled \\u001b[1m\",\"last\":false}\n\n\
        event:tokens\ndata:{\"at\":11,\"text\":\"back.\",\"last\":true}\n\nid:4\nevent:done\ndata:{\"output\":{}}\n\n";
    let over = json!({"status": "COMPLETED", "isComplete": true});
    let server =
        Canned::open().streams(&path, pieces, true).gives(&format!("GET /api/agent/{ID}/status"), 200, over);
    let ended = server.tenure(&["agent", "stream", ID, "--tokens"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "Rolled [1mback.\nCOMPLETED\n"));
    assert!(server.asked(&path)[0].0.ends_with("tokens=1"));
}

#[tokio::test]
async fn the_history_asks_for_what_its_flags_say_and_shows_a_table() {
    let server = Canned::open().gives(
        "GET /api/agent/executions",
        200,
        json!({"totalHits": 2, "results": [{
            "executionId": ID, "agentName": "tri\u{1b}]0;x\u{7}age", "status": "COMPLETED",
            "startTime": "2026-11-21T06:00:00.000Z", "endTime": "2026-11-21T06:00:12.300Z", "executionTime": 12_300,
        }]}),
    );
    let args =
        ["agent", "execution", "--name", "triage", "--status", "completed", "--since", "1h", "--limit", "1"];
    let ended = server.tenure(&args).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["EXECUTION", "AGENT", "STATUS", "STARTED", "TOOK"]
    );
    let cells: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(cells, [ID, "tri]0;xage", "COMPLETED", "2026-11-21", "06:00:00Z", "12.3s"]);
    assert!(lines[2].contains("1 of 2"));
    let query = &server.asked("GET /api/agent/executions")[0].0;
    for part in [
        "agentName=triage",
        "status=COMPLETED",
        "size=1&",
        "sort=startTime%3ADESC",
        "freeText=startTime%3A%5B",
    ] {
        assert!(query.contains(part), "{part} is not in {query}");
    }
}

#[tokio::test]
async fn orders_reach_the_endpoints_of_the_protocol() {
    let server = ["POST respond", "DELETE cancel", "PUT pause", "PUT resume", "POST stop", "POST signal"]
        .iter()
        .fold(Canned::open(), |server, order| {
            let (method, verb) = order.split_once(' ').unwrap();
            server.gives(&format!("{method} /api/agent/{ID}/{verb}"), 200, json!({}))
        });
    for args in [
        &["respond", ID, "--reject", "--reason", "no", "-m", "later"][..],
        &["cancel", ID, "--reason", "too slow"],
        &["pause", ID],
        &["resume", ID],
        &["stop", ID],
        &["signal", ID, "hurry"],
    ] {
        let ended = server.tenure(&[&["agent"], args].concat()).await;
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.err);
        assert!(ended.out.starts_with(ID), "{}", ended.out);
    }
    let body = |order: &str| server.asked(&format!("{order} /api/agent/{ID}/{}", "respond"))[0].2.clone();
    assert_eq!(body("POST"), json!({"approved": false, "reason": "no", "message": "later"}));
    assert!(server.asked(&format!("DELETE /api/agent/{ID}/cancel"))[0].0.ends_with("?reason=too+slow"));
    assert_eq!(server.asked(&format!("POST /api/agent/{ID}/signal"))[0].2, json!({"message": "hurry"}));
}

#[tokio::test]
async fn one_bad_file_deploys_nothing() {
    let server = Canned::open().gives("POST /api/agent/deploy", 200, json!({"agentName": "triage"}));
    let (good, mut bad) = (agent_file(), tempfile::NamedTempFile::new().unwrap());
    bad.write_all(b"model: demo/x\n").unwrap();
    let (good, bad) = (good.path().to_str().unwrap(), bad.path().to_str().unwrap());
    let ended = server.tenure(&["agent", "deploy", good, bad]).await;
    assert_eq!((ended.code, ended.err.contains("it needs at least a `name`")), (2, true), "{}", ended.err);
    assert!(server.asked("POST /api/agent/deploy").is_empty());

    let ended = server.tenure(&["agent", "deploy", good, good]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "triage  deployed\ntriage  deployed\n"));
}

#[tokio::test]
async fn colours_come_only_when_wanted() {
    let plain = running().tenure(&["agent", "status", ID]).await;
    assert!(!plain.out.contains('\u{1b}'));
    let server = running();
    let args = ["--server", &server.address, "agent", "status", ID];
    assert!(tenure_with(&args, &[("CLICOLOR_FORCE", "1")]).await.out.contains("\u{1b}[33mRUNNING\u{1b}[0m"));
    assert!(!tenure_with(&args, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).await.out.contains('\u{1b}'));
}

#[tokio::test]
async fn every_shell_gets_completions_and_a_closed_pipe_is_no_error() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ended = tenure_with(&["completions", shell], &[]).await;
        assert!(ended.code == 0 && ended.out.contains("agent"), "{shell}");
    }
    let server = running();
    let line =
        format!("{} --server {} agent status {ID} | head -0", env!("CARGO_BIN_EXE_tenure"), server.address);
    let shell =
        tokio::process::Command::new("bash").args(["-o", "pipefail", "-c", &line]).output().await.unwrap();
    assert_eq!((shell.status.code(), String::from_utf8_lossy(&shell.stderr).as_ref()), (Some(0), ""));
}

/// `tenure worker` on the desk's queue, performing with a shell script.
fn program(desk: &Desk, script: &str) -> std::process::Child {
    let server = format!("http://127.0.0.1:{}", desk.port);
    let mut command =
        command(&["worker", "--server", &server, "--queue", "greet", "--lease-secs", "1", "--"]);
    command.args(["sh", "-c", script]).stderr(Stdio::null()).process_group(0).spawn().unwrap()
}

fn signal(child: &std::process::Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

async fn gone(mut child: std::process::Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < deadline, "the worker did not stop");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn any_program_is_a_worker_json_in_json_out() {
    let desk = Desk::open();
    desk.offer(greet("a1", &json!({"name": "Ada", "method": "greet"})));
    let worker = program(
        &desk,
        r#"printf '{"got": %s, "key": "%s", "try": %s, "ids": "%s %s"}' "$(cat)" "$TENURE_IDEMPOTENCY_KEY" \
           "$TENURE_ATTEMPT" "$TENURE_EXECUTION_ID" "$TENURE_ATTEMPT_ID""#,
    );
    desk.until("a result", |book| book.results.len() == 1).await;
    signal(&worker, rustix::process::Signal::TERM);
    assert_eq!(gone(worker).await, Some(0));
    assert_eq!(desk.book.lock().unwrap().definitions[0]["responseTimeoutSeconds"], 1);
    assert_eq!(desk.results()[0]["status"], "COMPLETED");
    assert_eq!(
        desk.results()[0]["outputData"],
        json!({"got": {"name": "Ada"}, "key": "run-1/call_1__1", "try": 1, "ids": "run-1 a1"})
    );
}

#[tokio::test]
async fn a_programs_exit_code_says_whether_to_try_again() {
    let desk = Desk::open();
    for (id, code) in [("a1", 75), ("a2", 65), ("a3", 3)] {
        desk.offer(greet(id, &json!({"code": code})));
    }
    let worker = program(&desk, "echo not now >&2; exit $(tr -dc 0-9)");
    desk.until("three results", |book| book.results.len() == 3).await;
    signal(&worker, rustix::process::Signal::TERM);
    gone(worker).await;
    let mut said: Vec<_> =
        desk.results().iter().map(|r| (r["taskId"].clone(), r["status"].clone())).collect();
    said.sort_by_key(|(id, _)| id.to_string());
    let statuses: Vec<_> = said.into_iter().map(|(_, status)| status).collect();
    assert_eq!(statuses, ["FAILED", "FAILED_WITH_TERMINAL_ERROR", "FAILED"]);
    let reason = desk.results()[0]["reasonForIncompletion"].to_string();
    assert!(reason.contains("not now") && reason.contains("exit code"), "{reason}");
}

#[tokio::test]
async fn a_lost_lease_kills_the_program_and_its_children() {
    let desk = Desk::open();
    desk.offer(greet("a1", &json!({})));
    let pids = tempfile::NamedTempFile::new().unwrap();
    let worker = program(&desk, &format!("sleep 600 & echo $$ $! > {}; wait", pids.path().display()));
    desk.until("a sign of life", |book| book.signs_of_life > 0).await;
    let pids: Vec<i32> = std::fs::read_to_string(pids.path())
        .unwrap()
        .split_whitespace()
        .map(|p| p.parse().unwrap())
        .collect();
    assert_eq!(pids.len(), 2);
    desk.book.lock().unwrap().status = "TIMED_OUT".into();
    desk.until("both processes are gone", |_| pids.iter().all(|pid| !is_alive(*pid))).await;
    signal(&worker, rustix::process::Signal::TERM);
    assert_eq!(gone(worker).await, Some(0));
    assert!(desk.results().is_empty());
}

/// A zombie whose parent has not looked at it yet is not alive.
fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn sigterm_lets_a_running_program_finish() {
    let desk = Desk::open();
    desk.offer(greet("a1", &json!({})));
    let began = tempfile::NamedTempFile::new().unwrap();
    let worker = program(&desk, &format!("echo x > {}; sleep 1; echo finished", began.path().display()));
    desk.until("the program runs", |_| !std::fs::read(began.path()).unwrap().is_empty()).await;
    signal(&worker, rustix::process::Signal::TERM);
    assert_eq!(gone(worker).await, Some(0));
    assert_eq!(desk.results()[0]["outputData"], json!({"result": "finished"}));
}

#[tokio::test]
async fn a_program_that_is_not_there_stops_the_worker_at_once() {
    let ended = tenure_with(&["worker", "--queue", "q", "--", "no-such-program-here"], &[]).await;
    assert_eq!(
        (ended.code, ended.err.contains("there is no program no-such-program-here")),
        (2, true),
        "{}",
        ended.err
    );
}

/// The worker in a shell that `docs/workers.md` shows, word by word; only the port is another.
#[tokio::test]
async fn the_shell_worker_of_the_documentation_works() {
    let desk = Desk::open();
    let docs = include_str!("../../docs/workers.md");
    let script =
        docs.split("```sh\n").find(|block| block.starts_with("api=")).unwrap().split("```").next().unwrap();
    let script = script.replace("6767", &desk.port.to_string());
    let mut task = greet("a1", &json!({"text": "four words and punctuation!"}));
    task["taskDefName"] = json!("word_count");
    desk.offer(task);
    let mut worker =
        Command::new("bash").args(["-c", &script]).stdout(Stdio::null()).process_group(0).spawn().unwrap();
    desk.until("a result", |book| book.results.len() == 1).await;
    rustix::process::kill_process_group(
        rustix::process::Pid::from_child(&worker),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    worker.wait().unwrap();
    let result = &desk.results()[0];
    assert_eq!((&result["status"], &result["outputData"]), (&json!("COMPLETED"), &json!({"words": 4})));
    assert_eq!(desk.book.lock().unwrap().definitions[0]["name"], "word_count");
}
