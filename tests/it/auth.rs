//! Who may come in.

use std::{collections::BTreeSet, time::Duration};

use base64::Engine as _;
use regex::Regex;
use serde_json::json;

use crate::harness::{
    Http, Process, Server, TestDb, agent, calls, eventually, free_port, says, script, tenure, tools,
};

const KEY: &str = "open sesame";
/// What probes ask, and where credentials are changed for a token.
const OPEN: &[&str] = &[
    "/health",
    "/api/health",
    "/health/live",
    "/health/ready",
    "/actuator/health",
    "/actuator/health/liveness",
    "/actuator/health/readiness",
    "/api/token",
];

async fn locked() -> (TestDb, Server) {
    let database = TestDb::new().await;
    let server = Server::with(&database, |command| {
        command.env("TENURE_API_KEY", KEY);
    })
    .await;
    (database, server)
}

/// All sources below a directory.
fn sources(directory: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in directory.read_dir().unwrap() {
        let path = entry.unwrap().path();
        text += &if path.is_dir() { sources(&path) } else { std::fs::read_to_string(path).unwrap() };
    }
    text
}

/// Every path that the sources register, with something for its parameters.
fn routes() -> BTreeSet<String> {
    let source = sources("src/web".as_ref());
    let resource = Regex::new(r"\b(?:resource|pages)\(\s*(\[[^\]]*\]|\x22[^\x22]*\x22)").unwrap();
    let quoted = Regex::new(r"\x22([^\x22]*)\x22").unwrap();
    let below = Regex::new(r"at\((\x22[^\x22]*\x22)\)").unwrap();
    let mut found = BTreeSet::new();
    for paths in resource.captures_iter(&source) {
        found.extend(quoted.captures_iter(&paths[1]).map(|path| path[1].to_owned()));
    }
    for scope in ["agent", "tasks", "metadata", "workflow"] {
        let prefix = format!("/api/{scope}");
        let body = source.split(&format!("fn {scope}_api(")).nth(1).unwrap().split("\n}").next().unwrap();
        found.extend(below.captures_iter(body).map(|path| format!("{prefix}{}", path[1].trim_matches('"'))));
    }
    let parameter = Regex::new(r"\{[^}]+\}").unwrap();
    found.iter().map(|path| parameter.replace_all(path, "x").into_owned()).collect()
}

#[tokio::test]
async fn no_route_answers_without_a_key_but_those_for_probes() {
    let (_database, server) = locked().await;
    let routes = routes();
    assert!(routes.len() > 50 && routes.contains("/api/agent/x/status"), "{routes:?}");
    let more = [
        "/",
        "/no/such/path",
        "/api",
        "/healthy",
        "/health/../api/agent/list",
        "//health",
        "/api/token/x",
        "/actuator/prometheus",
    ];
    for path in routes.iter().map(String::as_str).chain(more) {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            if OPEN.contains(&path) {
                continue;
            }
            let answer = Http::send(server.request(method, path)).await;
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
            assert_eq!(answer.json()["status"], 401, "{method} {path}");
        }
    }
    for path in OPEN.iter().filter(|p| **p != "/api/token") {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_key_is_taken_however_a_client_sends_it() {
    let (_database, server) = locked().await;
    let token = server.post("/api/token", &json!({ "keyId": KEY, "keySecret": "" })).await.ok();
    let token = token["token"].as_str().unwrap().to_owned();
    assert_ne!(token, KEY);
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("anybody:{KEY}"));
    let list = async |name: &str, value: &str| {
        Http::send(server.request("GET", "/api/agent/list").header(name, value)).await.status
    };
    for (name, value) in [
        ("authorization", format!("Bearer {KEY}")),
        ("authorization", format!("bearer {token}")),
        ("authorization", format!("Basic {basic}")),
        ("x-authorization", KEY.to_owned()),
        ("x-authorization", token.clone()),
        ("x-api-key", KEY.to_owned()),
        ("x-auth-key", KEY.to_owned()),
        ("x-auth-secret", KEY.to_owned()),
    ] {
        assert_eq!(list(name, &value).await, 200, "{name}: {value}");
    }
    for (name, value) in [
        ("authorization", KEY),
        ("authorization", "Bearer"),
        ("authorization", "Bearer open"),
        ("authorization", "Basic !"),
        ("x-authorization", ""),
        ("x-authorization", "tenure_0"),
        ("cookie", KEY),
    ] {
        assert_eq!(list(name, value).await, 401, "{name}: {value}");
    }
    for wrong in [json!({}), json!({ "keyId": "x", "keySecret": "y" }), json!({ "keyId": null })] {
        assert_eq!(server.post("/api/token", &wrong).await.status, 401);
    }
}

#[tokio::test]
async fn the_token_outlives_the_server_that_gave_it_and_dies_with_its_key() {
    let (_database, mut server) = locked().await;
    let token = server.post("/api/token", &json!({ "keyId": KEY })).await.ok()["token"].clone();
    let list = async |server: &Server| {
        let request =
            server.request("GET", "/api/agent/list").header("x-authorization", token.as_str().unwrap());
        Http::send(request).await
    };
    server.restart().await;
    assert_eq!(list(&server).await.status, 200);
    let (_other_database, other) = {
        let database = TestDb::new().await;
        let server = Server::with(&database, |command| {
            command.env("TENURE_API_KEY", "another");
        })
        .await;
        (database, server)
    };
    let refused = list(&other).await;
    assert_eq!((refused.status, &refused.json()["error"]), (401, &json!("INVALID_TOKEN")));
}

#[tokio::test]
async fn our_own_worker_and_commands_work_with_the_key() {
    let (_database, server) = locked().await;
    let agent_file = server.directory().join("agent.json");
    let model = script(&[calls(["step"]), says("done")]);
    std::fs::write(&agent_file, agent("a", &model, tools(["step"])).to_string()).unwrap();
    let mut worker = tenure(&["worker", "--queue", "step", "--", "echo", "{}"]);
    worker.env("TENURE_SERVER_URL", server.base()).env("TENURE_API_KEY", KEY);
    let _worker = Process::start(worker, "worker", server.directory());
    let run = |key: &str| {
        let mut run = tenure(&["agent", "run", "Go.", "--config", agent_file.to_str().unwrap()]);
        run.env("TENURE_SERVER_URL", server.base()).env("TENURE_API_KEY", key);
        tokio::process::Command::from(run).output()
    };
    let output = run(KEY).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("done"));
    assert_eq!(run("wrong").await.unwrap().status.code(), Some(5));
    assert!(!server.process().log().contains(KEY), "the key is in the log");
}

#[tokio::test]
async fn a_server_open_to_others_needs_a_key() {
    let database = TestDb::new().await;
    let listen = format!("0.0.0.0:{}", free_port());
    let serve = || tenure(&["serve", "--listen", &listen, "--database-url", database.url()]);
    for key in [None, Some("")] {
        let mut command = serve();
        command.envs(key.map(|key| ("TENURE_API_KEY", key)));
        let directory = tempfile::tempdir().unwrap();
        let mut process = Process::start(command, "server", directory.path());
        let status = process.ended(Duration::from_secs(10)).await;
        let said = process.log();
        assert_eq!(status.code(), Some(2), "{key:?}: {said}");
        assert!(said.contains("TENURE_API_KEY") && said.contains("127.0.0.1"), "{said}");
    }
    let mut command = serve();
    command.env("TENURE_API_KEY", KEY);
    let directory = tempfile::tempdir().unwrap();
    let _process = Process::start(command, "server", directory.path());
    let http = Http::new(format!("http://127.0.0.1:{}", listen.rsplit_once(':').unwrap().1));
    eventually("it serves", async || http.try_get("/health/ready").await.ok().filter(|a| a.status == 200))
        .await;
    assert_eq!(http.get("/api/agent/list").await.status, 401);
}
