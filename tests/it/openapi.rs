//! `/api/openapi.json` is true: it has every route and no other, and what it invites people to send is answered.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use regex::Regex;
use serde_json::{Value, json};

use crate::harness::{Answer, Http, Server, TestDb, agent, skip, tools};
use crate::{invariants, sdk};

/// Routes as the sources register them: method and path, those below `/api` by their longer name.
fn registered() -> BTreeSet<(String, String)> {
    let resource = Regex::new(
        r#"(?s)(?:resource|at)\(\s*(\[[^\]]*\]|"[^"]*")\s*\)((?:\s*\.(?:get|post|put|delete)\([\w:]+\))+)"#,
    )
    .unwrap();
    let (path, method) =
        (Regex::new(r#""([^"]*)""#).unwrap(), Regex::new(r"\.(get|post|put|delete)\(").unwrap());
    let mut found = BTreeSet::new();
    for file in ["src/web/wire/mod.rs", "src/web/api/mod.rs", "src/web/health.rs", "src/web/metrics.rs"] {
        let text = std::fs::read_to_string(file).unwrap();
        for resource in resource.captures_iter(&text) {
            let before = &text[..resource.get(0).unwrap().start()];
            let base = before.rfind("_api(").map_or("", |at| before[..at].rsplit(' ').next().unwrap());
            let is_relative = resource[0].starts_with("at(");
            for path in path.captures_iter(&resource[1]).filter(|p| &p[1] != "/token") {
                let path = if is_relative { format!("/api/{base}{}", &path[1]) } else { path[1].to_owned() };
                found.extend(method.captures_iter(&resource[2]).map(|m| (m[1].to_owned(), path.clone())));
            }
        }
    }
    found
}

fn described(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = |(path, at): (&String, &Value)| {
        at.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(methods).collect()
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let document = server.get("/api/openapi.json").await.ok();
    let registered = registered();
    assert!(registered.len() > 50, "{registered:?}");
    assert_eq!(described(&document), registered);
}

/// Bodies that nobody should send, as they are.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let wide = [b"[".to_vec(), b"1,".repeat(200_000), b"1]".to_vec()].concat();
    vec![
        ("nothing", vec![]),
        ("depth", deep),
        ("depth without an end", b"{\"a\":".repeat(5_000)),
        ("width", wide),
        ("a huge number", br#"{"status":"COMPLETED","taskId":1e99999,"prompt":1e99999}"#.to_vec()),
        ("many digits", format!(r#"{{"prompt":{}}}"#, "9".repeat(10_000)).into_bytes()),
        ("NUL", br#"{"taskId":"\u0000","prompt":"\u0000","name":"\u0000","message":"\u0000"}"#.to_vec()),
        (
            "lone surrogates",
            br#"{"taskId":"\ud800","prompt":"\ud800","name":"\udfff","message":"\udfff\ud800"}"#.to_vec(),
        ),
        (
            "repeated keys",
            br#"{"taskId":"a","taskId":"b","prompt":"a","prompt":"b","name":"a","name":"b"}"#.to_vec(),
        ),
        ("bytes", vec![0xff, 0xfe, 0, 0, 0x80]),
        ("a mark and nothing", vec![0xef, 0xbb, 0xbf]),
        ("two texts", b"{} {}".to_vec()),
        (
            "prototypes",
            br#"{"__proto__":{"a":1},"constructor":null,"taskId":{"$ne":1},"name":["a"]}"#.to_vec(),
        ),
        ("no JSON", b"<xml/>".to_vec()),
        ("null", b"null".to_vec()),
        ("a text", b"\"text\"".to_vec()),
    ]
}

/// An answer that tells whoever asked what to do: no fault of ours, and a refusal says why.
fn is_civil(what: &str, answer: &Answer) {
    assert!(answer.status < 500, "{what}: {answer:?}");
    if answer.status >= 400 {
        // What was sent comes back as it was, also what no JSON library reads.
        let lone = Regex::new(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}").unwrap();
        let text = lone.replace_all(&answer.text, "?");
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{what}: {e}: {answer:?}"));
        let said = body["message"].as_str().or(body["error"].as_str()).unwrap_or_default();
        assert!(said.len() > 3, "{what}: a refusal says why: {answer:?}");
    }
}

#[tokio::test]
async fn hostile_bodies_are_answered_on_every_route() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let document = server.get("/api/openapi.json").await.ok();
    let hole = Regex::new(r"\{\w+\}").unwrap();
    for (method, path) in described(&document) {
        for filling in ["01890000-0000-7000-8000-000000000000", "x"] {
            let path = hole.replace_all(&path, filling).into_owned();
            let sent = hostile().into_iter().map(|(name, body)| {
                let (what, request) =
                    (format!("{method} {path} {name}"), server.request(&method.to_uppercase(), &path));
                let json = request.header("content-type", "application/json").body(body);
                async move { (what, Http::try_send(json).await) }
            });
            for (what, answer) in join_all(sent).await {
                is_civil(&what, &answer.unwrap_or_else(|e| panic!("{what}: {e:?}")));
            }
            for kind in [
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
                "application/json; charset=utf-16",
                "\u{e9}",
            ] {
                let request =
                    server.request(&method.to_uppercase(), &path).header("content-type", kind.as_bytes());
                is_civil(
                    &format!("{method} {path} {kind}"),
                    &Http::try_send(request.body("{}")).await.unwrap(),
                );
            }
        }
    }
    assert!(!server.process().log().contains("panicked"), "{}", server.process().log());
    invariants::hold(&database.connect().await, &[]).await;
}

#[tokio::test]
async fn whoever_sends_a_body_slowly_holds_up_nobody() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let address = server.base().strip_prefix("http://").unwrap().to_owned();
    let mut slow = vec![];
    for path in ["/api/agent/start", "/api/tasks", "/api/workflow"].iter().cycle().take(60) {
        let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{{"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        slow.push(connection);
    }
    let id = server.start_run(&agent("echo", "demo/echo", tools([])), "p").await;
    server.until(&id, "COMPLETED").await;
    // A body that breaks off is nobody's fault either.
    for mut connection in slow {
        connection.shutdown().await.unwrap();
        let mut answer = String::new();
        let read =
            tokio::time::timeout(Duration::from_secs(10), connection.read_to_string(&mut answer)).await;
        assert!(read.is_ok(), "the connection stays open");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(server.get("/health/ready").await.status, 200);
    assert!(!server.process().log().contains("panicked"), "{}", server.process().log());
}

/// `TENURE_TEST_CASES` is how many requests are made up for each operation.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_description_invites_to_is_answered() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    let venvs = match sdk::virtual_environments(&suite) {
        Ok(venvs) => venvs,
        Err(reason) => return skip(&reason),
    };
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let echo = agent("echo", "demo/echo", tools(["fetch"]));
    server.post("/api/agent/deploy", &json!({ "agentConfig": echo })).await.ok();
    let cases = std::env::var("TENURE_TEST_CASES").unwrap_or_else(|_| "6".to_owned());
    let output = Command::new(venvs.join("schemathesis/bin/schemathesis"))
        .args(["run", &format!("{}/api/openapi.json", server.base())])
        .args(["--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", &cases, "--seed", "7", "--max-time", "45", "--request-timeout", "10"])
        .args(["--generation-deterministic", "--no-color", "--warnings", "off", "--continue-on-failure"])
        .args(["--suppress-health-check", "all", "--no-shrink"])
        .current_dir(server.directory())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!server.process().log().contains("panicked"), "{}", server.process().log());
    invariants::hold(&database.connect().await, &[]).await;
}
