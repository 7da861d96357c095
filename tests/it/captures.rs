//! What real clients said to another server, said to this one: every answer has the status that they were given then,
//! and every key that they were given, with a value of the same type.
//!
//! `tests/it/captures/` has transcripts of our own. More are taken from `$TENURE_CAPTURES`, or from
//! `../shared/protocol/captures` beside this repository; without them the test says so and is skipped.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Http, Server, TestDb, eventually, frames, script},
    invariants,
};

/// Where we differ on purpose: the end of a key's path, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("inputData.__agentspan_ctx__", "there are no credentials yet, so no token for them"),
    ("reasonForIncompletion", "a tool's failure is told to the model and does not end the run"),
    ("task.outputData.p", "what a worker says when it asks to be called back is not kept for that call"),
    ("tasks[].inputData._agent_state", "a call is shown as the model made it"),
    ("tasks[].inputData.messages", "only the newest model call repeats the conversation"),
    ("event.args.__agentspan_ctx__", "what watchers see is what the model wrote"),
    ("event.args._agent_state", "what watchers see is what the model wrote"),
    ("event.args.method", "what watchers see is what the model wrote"),
    ("response.currentTask", "by then it may have ended"),
    ("response.pendingTool", "a run that has ended asks nobody"),
    ("response.isWaiting", "a run that has ended asks nobody"),
];

/// Where we answer with another status on purpose: the end of a path, theirs, ours, and why.
const OTHERWISE: &[(&str, u16, u16, &str)] =
    &[("/respond", 200, 400, "an answer to a run that asks nothing is refused, as the protocol says")];

/// Paths of features that are not there yet.
const NOT_YET: &[&str] =
    &["/api/scheduler", "/api/workers/secrets", "/api/credentials", "/api/prompts", "/api/schema"];

/// Fields of agents that are refused until their features are there; the rest of the story is played without them.
const FIELDS_NOT_YET: &[&str] = &["credentials"];

/// One request of a client and what it was answered.
#[derive(Debug, Clone, Deserialize)]
struct Exchange {
    method: String,
    path: String,
    #[serde(default)]
    headers: HashMap<String, String>,
    body: Value,
    status: u16,
    response: Value,
}

impl Exchange {
    fn is_poll(&self) -> bool {
        self.path.starts_with("/api/tasks/poll/batch/")
    }

    /// What it was handed: by a poll, or as the next task after a report.
    fn tasks(&self) -> Vec<Value> {
        match &self.response {
            Value::Array(tasks) if self.is_poll() => tasks.clone(),
            task @ Value::Object(_) if self.path.starts_with("/api/tasks/update") && self.status == 200 => {
                vec![task.clone()]
            }
            _ => vec![],
        }
    }
}

fn read(file: &Path) -> Vec<Exchange> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A script that makes the model say what it said then, for each run: by its id there, and by the name of its agent for those
/// that are started by name.
fn scripts(exchanges: &[Exchange]) -> HashMap<String, String> {
    let mut runs: HashMap<String, BTreeMap<u32, Vec<Value>>> = HashMap::new();
    for exchange in exchanges {
        if let Some(id) = exchange.response["executionId"].as_str() {
            runs.entry(id.to_owned()).or_default();
        }
        for task in exchange.tasks() {
            let reference = text(&task["referenceTaskName"]);
            let Some((id, turn)) = reference.rsplit_once("__") else { continue };
            let mut arguments = task["inputData"].clone();
            for reserved in ["_agent_state", "method", "__agentspan_ctx__", "_allowed_commands"] {
                arguments.as_object_mut().unwrap().remove(reserved);
            }
            let call = json!({ "id": id, "name": task["taskType"], "arguments": arguments });
            let mut run = text(&task["workflowInstanceId"]);
            if !runs.contains_key(&run) {
                run = text(&task["workflowType"]);
            }
            let run = runs.entry(run).or_default();
            let calls = run.entry(turn.parse().unwrap()).or_default();
            if !calls.iter().any(|c| c["id"] == id) {
                calls.push(call);
            }
        }
    }
    // What people were asked about and refused was never handed out.
    for exchange in exchanges {
        let asked = &exchange.response["pendingTool"];
        let reference = text(&asked["taskRefName"]);
        let Some((_, turn)) = reference.rsplit_once("__") else { continue };
        let run = runs.entry(text(&exchange.response["executionId"])).or_default();
        let calls = run.entry(turn.parse().unwrap()).or_default();
        if calls.is_empty() {
            calls.push(json!({ "name": asked["tool_name"], "arguments": asked["parameters"] }));
        }
    }
    let step = |calls: &Vec<Value>| json!({ "calls": calls });
    runs.into_iter()
        .map(|(id, turns)| {
            let steps: Vec<_> = turns.values().map(step).chain([last(exchanges)]).collect();
            (id, script(&steps))
        })
        .collect()
}

/// What models say in the end: later where somebody writes to a run, which must find it alive.
fn last(exchanges: &[Exchange]) -> Value {
    let is_written_to = exchanges.iter().any(|exchange| exchange.path.ends_with("/messages"));
    json!({ "text": "as it was said then", "delay_ms": if is_written_to { 3_000 } else { 50 } })
}

fn leave_out(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|field, _| !FIELDS_NOT_YET.contains(&field.as_str()));
            fields.values_mut().for_each(leave_out);
        }
        Value::Array(all) => all.iter_mut().for_each(leave_out),
        _ => {}
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A replay in progress.
struct Replay<'a> {
    http: &'a Http,
    models: HashMap<String, String>,
    /// A model that calls nothing.
    silent: String,
    /// Theirs → ours.
    ids: Vec<(String, String)>,
    /// Tasks that were handed to us before the transcript gets to them.
    early: Vec<Value>,
    /// Where tasks were asked for, by their id there.
    asked: HashMap<String, String>,
    /// How workers failed: where they had asked, and what they said.
    failures: Vec<(String, Value)>,
    found: Vec<String>,
}

impl Replay<'_> {
    fn ours(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
    }

    async fn send(&self, exchange: &Exchange) -> Answer {
        let mut request = self.http.request(&exchange.method, &self.ours(&exchange.path));
        for name in ["Accept", "Content-Type"] {
            if let Some(value) = exchange.headers.get(name) {
                request = request.header(name, value);
            }
        }
        if !exchange.body.is_null() {
            let mut body: Value = serde_json::from_str(&self.ours(&exchange.body.to_string())).unwrap();
            if body["agentConfig"].is_object() {
                leave_out(&mut body["agentConfig"]);
                let name = text(&body["agentConfig"]["name"]);
                let run = exchange.response["executionId"].as_str().unwrap_or(&name);
                body["agentConfig"]["model"] = json!(self.models.get(run).unwrap_or(&self.silent));
            }
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        Http::send(request).await
    }

    async fn play(&mut self, exchange: &Exchange) {
        if exchange.is_poll() {
            return self.poll(exchange).await;
        }
        if exchange.path.starts_with("/api/agent/stream/") {
            return self.stream(exchange).await;
        }
        let is_report = exchange.path.starts_with("/api/tasks") && exchange.method == "POST";
        if is_report && !exchange.body.is_null() && !self.knows(&exchange.body["taskId"]) {
            return; // An attempt that was made there and not here.
        }
        let terminal = matches!(
            exchange.response["status"].as_str(),
            Some("COMPLETED" | "FAILED" | "TERMINATED" | "TIMED_OUT")
        );
        if terminal {
            let id =
                exchange.path.split('?').next().unwrap().split('/').find(|part| self.knows(&json!(part)));
            self.until_ended(&self.ours(id.unwrap())).await;
        }
        if exchange.response["isWaiting"] == true && !terminal {
            let id = self.ours(&text(&exchange.response["executionId"]));
            eventually(&format!("{id} asks a person"), async || {
                (self.http.status(&id).await["isWaiting"] == true).then_some(())
            })
            .await;
        }
        if let (Some("FAILED"), Some(path)) =
            (exchange.body["status"].as_str(), self.asked.get(&text(&exchange.body["taskId"])))
        {
            self.failures.push((path.clone(), exchange.body.clone()));
        }
        let answer = self.send(exchange).await;
        if exchange.path.starts_with("/api/tasks/update-v2") {
            assert!(matches!(answer.status, 200 | 204), "{exchange:?}\n{answer:?}");
            if answer.status == 200 {
                self.early.push(answer.json());
            }
            for task in exchange.tasks() {
                self.hand_out(&task).await;
            }
            return;
        }
        let differs = |(end, theirs, ours, _): &&(&str, u16, u16, &str)| {
            exchange.path.ends_with(end) && (exchange.status, answer.status) == (*theirs, *ours)
        };
        if OTHERWISE.iter().find(differs).is_some() {
            return;
        }
        assert_eq!(answer.status, exchange.status, "{} {}: {}", exchange.method, exchange.path, answer.text);
        self.learn(&exchange.response, &answer);
        if exchange.response.is_object() {
            self.compare("response", &exchange.response, &answer.json());
        }
    }

    fn knows(&self, id: &Value) -> bool {
        self.ids.iter().any(|(theirs, _)| Some(theirs.as_str()) == id.as_str())
    }

    /// Ids that this answer brought.
    fn learn(&mut self, theirs: &Value, answer: &Answer) {
        let id = match theirs {
            Value::String(id) => Some((id.clone(), answer.text.trim_matches('"').to_owned())),
            Value::Object(_) => {
                theirs["executionId"].as_str().map(|id| (id.to_owned(), text(&answer.json()["executionId"])))
            }
            _ => None,
        };
        if let Some((theirs, ours)) =
            id.filter(|(theirs, _)| theirs.len() == 36 && !self.knows(&json!(theirs)))
        {
            self.ids.push((theirs, ours));
        }
    }

    /// Wait for the end of a run. Workers that failed go on failing: we may try more often than was tried there.
    async fn until_ended(&self, id: &str) {
        eventually(&format!("{id} has ended"), async || {
            for (path, body) in &self.failures {
                for task in self.http.get(path).await.ok().as_array().unwrap() {
                    let more = json!({ "reasonForIncompletion": body["reasonForIncompletion"] });
                    self.http.report(task, "FAILED", &more).await;
                }
            }
            (self.http.status(id).await["isComplete"] == true).then_some(())
        })
        .await;
    }

    async fn poll(&mut self, exchange: &Exchange) {
        let answer = self.send(exchange).await.ok();
        self.early.extend(answer.as_array().expect("an array, also when it is empty").clone());
        for task in exchange.tasks() {
            self.hand_out(&task).await;
        }
    }

    /// Our task for theirs: the one with the same name in the same run.
    async fn hand_out(&mut self, theirs: &Value) {
        let run = self.ours(&text(&theirs["workflowInstanceId"]));
        let (queue, domain) = (text(&theirs["taskType"]), text(&theirs["domain"]));
        let mut path = format!("/api/tasks/poll/batch/{queue}?workerid=vm&count=1&timeout=100");
        if !domain.is_empty() {
            write!(path, "&domain={}", self.ours(&domain)).unwrap();
        }
        self.asked.insert(text(&theirs["taskId"]), path.clone());
        let reference = &theirs["referenceTaskName"];
        let ours = crate::harness::within(
            Duration::from_secs(20),
            &format!("{reference} is handed out"),
            async || {
                let same = |task: &Value| {
                    task["workflowInstanceId"] == run.as_str() && task["referenceTaskName"] == *reference
                };
                if let Some(at) = self.early.iter().position(same) {
                    return Some(Some(self.early.remove(at)));
                }
                if self.http.status(&run).await["isComplete"] == true {
                    return Some(None); // It tried more often there.
                }
                let more = self.http.get(&path).await.ok();
                self.early.extend(more.as_array().unwrap().clone());
                None
            },
        )
        .await;
        let Some(ours) = ours else { return };
        let id = text(&theirs["taskId"]);
        self.ids.retain(|(theirs, _)| *theirs != id);
        self.ids.push((id, text(&ours["taskId"])));
        self.compare("task", theirs, &ours);
    }

    /// Each event that they got is one that we get, with the same keys.
    async fn stream(&mut self, exchange: &Exchange) {
        let parts = exchange.response.as_array().unwrap().iter().filter_map(Value::as_str);
        let theirs = frames(&parts.collect::<String>());
        let id = self.ours(exchange.path.rsplit('/').next().unwrap());
        // A stream ends with its run; what they saw before that is in its beginning.
        if theirs.iter().any(|f| f.event == "done") {
            self.until_ended(&id).await;
        }
        let mut response = self.http.request("GET", &format!("/api/agent/stream/{id}")).send().await.unwrap();
        assert_eq!(response.status(), exchange.status);
        let mut got = String::new();
        for frame in theirs {
            let same = loop {
                if let Some(same) = frames(&got).into_iter().find(|f| f.event == frame.event) {
                    break same;
                }
                let chunk = tokio::time::timeout(Duration::from_secs(20), response.chunk()).await;
                let chunk = chunk.unwrap_or_else(|_| panic!("no event {} in\n{got}", frame.event)).unwrap();
                got += std::str::from_utf8(
                    &chunk.unwrap_or_else(|| panic!("no event {} in\n{got}", frame.event)),
                )
                .unwrap();
            };
            self.compare("event", &frame.data, &same.data);
        }
    }

    fn compare(&mut self, place: &str, theirs: &Value, ours: &Value) {
        compare(place, theirs, ours, &mut self.found);
    }
}

/// Note every key of `theirs` that `ours` lacks or has with another type.
fn compare(place: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Null, _) => {}
        (Value::Object(theirs), Value::Object(ours)) => {
            for (key, theirs) in theirs {
                let place = format!("{place}.{key}");
                match ours.get(key) {
                    Some(ours) => compare(&place, theirs, ours, found),
                    None => compare(&place, theirs, &Value::Null, found),
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            for theirs in theirs {
                let alike = |ours: &&Value| {
                    ["referenceTaskName", "retryCount", "role", "name"].iter().all(|k| ours[k] == theirs[k])
                };
                if let Some(same) = ours.iter().find(alike) {
                    compare(&format!("{place}[]"), theirs, same, found);
                }
            }
        }
        _ if std::mem::discriminant(theirs) == std::mem::discriminant(ours) => {}
        (_, Value::Null) if DIFFERENT.iter().any(|(end, _)| place.ends_with(end)) => {}
        // The model's own words differ, so a result may be any text or object.
        _ if place.ends_with("output.result") || place.ends_with("outputData.result") => {}
        _ => found.push(format!("{place}: they had {theirs}, we have {ours}")),
    }
}

async fn replay(file: &Path) {
    let exchanges = read(file);
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let (models, name) = (scripts(&exchanges), file.file_name().unwrap().to_string_lossy());
    let mut replay = Replay {
        http: &server,
        models,
        silent: script(&[last(&exchanges)]),
        ids: vec![],
        early: vec![],
        asked: HashMap::new(),
        failures: vec![],
        found: vec![],
    };
    for exchange in exchanges.iter().filter(|e| !NOT_YET.iter().any(|path| e.path.starts_with(path))) {
        replay.play(exchange).await;
    }
    replay.found.sort();
    replay.found.dedup();
    assert!(replay.found.is_empty(), "{name}:\n{}", replay.found.join("\n"));
    invariants::hold(&database.connect().await, &[]).await;
    println!("{name}: {} exchanges", exchanges.len());
}

#[tokio::test]
async fn our_own_transcripts_play() {
    for entry in std::fs::read_dir("tests/it/captures").unwrap() {
        replay(&entry.unwrap().path()).await;
    }
}

#[tokio::test]
async fn what_real_clients_said_elsewhere_is_answered_here_as_it_was_there() {
    let given = std::env::var_os("TENURE_CAPTURES").map(PathBuf::from);
    let places = ["../shared/protocol/captures", "../../shared/protocol/captures"].map(PathBuf::from);
    let Some(place) = given.into_iter().chain(places).find(|p| p.is_dir()) else {
        writeln!(std::io::stderr(), "skipped: there are no transcripts of real clients; set TENURE_CAPTURES")
            .unwrap();
        return;
    };
    let wanted = [
        "run_",
        "incident_sdk",
        "serve_",
        "cworkers_",
        "lease_",
        "sse_reconnect_",
        "async_",
        "hitl_",
        "more_",
    ];
    let mut files: Vec<_> = place.read_dir().unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| wanted.iter().any(|w| f.file_name().unwrap().to_string_lossy().starts_with(w)));
    files.sort();
    assert!(!files.is_empty(), "{} has no transcripts", place.display());
    for file in files {
        replay(&file).await;
    }
}

#[test]
fn a_missing_key_and_another_type_are_noticed() {
    let mut found = vec![];
    compare(
        "r",
        &json!({ "a": 1, "b": [{ "c": true }], "n": null }),
        &json!({ "a": "1", "b": [{}], "n": 1 }),
        &mut found,
    );
    assert_eq!(found, ["r.a: they had 1, we have \"1\"", "r.b[].c: they had true, we have null"]);
}
