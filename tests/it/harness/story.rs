//! The words in which stories are told: agents, scripts of their models, runs, tasks, streams.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

use super::{Answer, Http, eventually};

/// A model that plays these steps (docs/models.md), one per turn.
pub fn script(steps: &[Value]) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("script-{}-{number}.json", std::process::id());
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, Value::from(steps).to_string()).unwrap();
    format!("demo/script:{}", file.display())
}

/// A step that answers.
pub fn says(text: &str) -> Value {
    json!({ "text": text })
}

/// A step that calls tools without arguments.
pub fn calls<const N: usize>(names: [&str; N]) -> Value {
    let call = |name| json!({ "name": name, "arguments": { "for": name } });
    json!({ "calls": names.map(call).to_vec() })
}

/// Tools that workers perform.
pub fn tools<const N: usize>(names: [&str; N]) -> Value {
    let tool = |name| json!({ "name": name, "description": name, "inputSchema": { "type": "object" }, "toolType": "worker" });
    names.map(tool).into_iter().collect()
}

/// An agent with a model and tools.
pub fn agent(name: &str, model: &str, tools: Value) -> Value {
    json!({ "name": name, "model": model, "instructions": "Do it.", "tools": tools, "maxTurns": 25, "timeoutSeconds": 0, "external": false })
}

impl Http {
    /// Start a run; its id.
    pub async fn start_run(&self, agent: &Value, prompt: &str) -> String {
        self.start_with(&json!({ "agentConfig": agent, "prompt": prompt })).await
    }

    /// Start a run by a whole request; its id.
    pub async fn start_with(&self, request: &Value) -> String {
        let answer = self.post("/api/agent/start", request).await.ok();
        answer["executionId"].as_str().unwrap().to_owned()
    }

    /// Let workers retry at once: registers the tool as its worker would.
    pub async fn register(&self, task: &str, more: &Value) {
        let mut definition =
            json!({ "name": task, "retryCount": 2, "retryLogic": "FIXED", "retryDelaySeconds": 0 });
        let more = more.as_object().unwrap().clone();
        definition.as_object_mut().unwrap().extend(more);
        self.put("/api/metadata/taskdefs", &definition).await.ok();
    }

    pub async fn status(&self, id: &str) -> Value {
        self.get(&format!("/api/agent/{id}/status")).await.ok()
    }

    /// Wait until a run has this status; what the server says of it then. Bears servers that are away.
    pub async fn until(&self, id: &str, status: &str) -> Value {
        let path = format!("/api/agent/{id}/status");
        eventually(&format!("{id} is {status}"), async || {
            let answer = self.try_get(&path).await.ok().filter(|a| a.status == 200)?.json();
            let is_over = answer["isComplete"] == true;
            assert!(!is_over || answer["status"] == status, "{id} should be {status}: {answer}");
            (answer["status"] == status).then_some(answer)
        })
        .await
    }

    /// Ask for up to `count` tasks of a queue, waiting a little.
    pub async fn poll(&self, queue: &str, count: usize) -> Vec<Value> {
        let path = format!("/api/tasks/poll/batch/{queue}?workerid=tester&count={count}&timeout=100");
        let answer = self.get(&path).await.ok();
        answer.as_array().unwrap().clone()
    }

    /// The next task of a queue, as soon as there is one.
    pub async fn take(&self, queue: &str) -> Value {
        eventually(&format!("{queue} has a task"), async || self.poll(queue, 1).await.pop()).await
    }

    /// Report a task by update-v2, which may answer with the next one.
    pub async fn report_for_next(&self, task: &Value, status: &str, more: &Value) -> Answer {
        self.post("/api/tasks/update-v2", &result(task, status, more)).await
    }

    /// Report a task, and ask for no next one.
    pub async fn report(&self, task: &Value, status: &str, more: &Value) {
        let answer = self.post("/api/tasks", &result(task, status, more)).await;
        assert_eq!((answer.status, &*answer.text), (200, task["taskId"].as_str().unwrap()));
    }

    /// Report a task as done.
    pub async fn complete(&self, task: &Value, output: &Value) {
        self.report(task, "COMPLETED", &json!({ "outputData": output })).await;
    }

    /// The whole run as Conductor's clients see it.
    pub async fn workflow(&self, id: &str) -> Value {
        self.get(&format!("/api/workflow/{id}?includeTasks=true")).await.ok()
    }

    /// Kinds of all events of a run, in order.
    pub async fn events(&self, id: &str) -> Vec<String> {
        let timeline = self.get(&format!("/api/executions/{id}/timeline")).await.ok();
        let kind = |event: &Value| event["kind"].as_str().unwrap().to_owned();
        timeline["events"].as_array().unwrap().iter().map(kind).collect()
    }

    /// Why a run is not moving: code and text of each reason.
    pub async fn why(&self, id: &str) -> Vec<(String, String)> {
        let why = self.get(&format!("/api/executions/{id}/why")).await.ok();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        why["reasons"].as_array().unwrap().iter().map(|r| (text(&r["code"]), text(&r["text"]))).collect()
    }

    /// What the model saw in the newest turn: `(role, message)`.
    pub async fn conversation(&self, id: &str) -> Vec<(String, String)> {
        let workflow = self.workflow(id).await;
        let tasks = workflow["tasks"].as_array().unwrap();
        let model = tasks.iter().rfind(|t| t["taskType"] == "LLM_CHAT_COMPLETE").unwrap();
        let messages = model["inputData"]["messages"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        messages.iter().map(|m| (text(&m["role"]), text(&m["message"]))).collect()
    }

    /// The stream of a run until the server closes it.
    pub async fn stream(&self, id: &str, after: Option<&str>) -> Vec<Frame> {
        let mut request = self.request("GET", &format!("/api/agent/stream/{id}"));
        if let Some(last) = after {
            request = request.header("last-event-id", last);
        }
        let answer = Self::send(request).await;
        assert_eq!((answer.status, &*answer.content_type), (200, "text/event-stream"), "{}", answer.text);
        assert!(answer.text.starts_with(":connected\n\n"), "{}", answer.text);
        frames(&answer.text)
    }
}

fn result(task: &Value, status: &str, more: &Value) -> Value {
    let mut result = json!({
        "workflowInstanceId": task["workflowInstanceId"], "taskId": task["taskId"],
        "workerId": "tester", "status": status,
    });
    result.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    result
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub id: String,
    pub event: String,
    pub data: Value,
}

/// The events of a stream's text; comments and retry hints are left out.
pub fn frames(text: &str) -> Vec<Frame> {
    let frame = |block: &str| {
        let line = |name: &str| block.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        Some(Frame {
            id: line("id:")?.to_owned(),
            event: line("event:")?.to_owned(),
            data: serde_json::from_str(line("data:")?).unwrap(),
        })
    };
    text.split("\n\n").filter_map(frame).collect()
}
