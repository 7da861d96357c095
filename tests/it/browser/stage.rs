//! Runs in every state, for pages that show them.

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::harness::{Server, TestDb, agent, calls, eventually, says, script, tools};

/// A server with one run of each kind, for tests that only look.
pub struct Stage {
    pub base: String,
    pub completed: String,
    pub failed: String,
    pub stuck: String,
    pub running: String,
    /// What went on from the completed one with other arguments.
    pub forked: String,
    /// A run that waits for people, and what it asks; and a question that was decided.
    pub asking: String,
    pub asked: String,
    pub decided: String,
    /// A bulk job that has ended.
    pub bulk: String,
    _held: Mutex<(Server, TestDb)>,
}

impl Stage {
    /// The one of this process.
    pub async fn here() -> &'static Self {
        static STAGE: OnceCell<Stage> = OnceCell::const_new();
        STAGE.get_or_init(Self::set).await
    }

    async fn set() -> Self {
        let db = TestDb::new().await;
        let server = Server::start(&db).await;
        let here = &server;
        // The order is the list's, oldest first.
        let timed_out = times_out(here).await;
        let (completed, failed, stuck) = (completes(here).await, fails(here).await, stuck(here).await);
        let forked = goes_on(here, &completed).await;
        retries(here).await;
        let cancelled = waits(here, "cancelled", "Look for the wrong book.").await;
        here.delete(&format!("/api/agent/{cancelled}/cancel?reason=It%20was%20the%20wrong%20book"))
            .await
            .ok();
        let paused = waits(here, "paused", "Look for it when I am back.").await;
        here.put(&format!("/api/agent/{paused}/pause"), &json!(null)).await.ok();
        let running = waits(here, "running", &format!("Look for {}", "it".repeat(150))).await;
        let (asking, asked, decided) = asks(here).await;
        // Nothing changes: they have ended.
        let bulk = crate::bulk::begin(here, "resume", "agent:librarian status:completed", 100).await;
        crate::bulk::ended(here, &bulk).await;
        // Nobody listens there.
        let ops = json!({ "name": "ops", "url": "http://127.0.0.1:9/hook", "remind": "30m", "by": "mira" });
        here.post("/api/v1/webhooks", &ops).await.ok();
        here.post("/api/v1/webhooks/ops/test", &json!({})).await.ok();
        eventually("it was not taken", async || {
            let all = here.get("/api/v1/webhooks").await.ok();
            all["webhooks"][0]["trouble"].is_string().then_some(())
        })
        .await;
        let tidy = json!({ "name": "tidy", "filter": "status:completed agent:!billing", "keep": "30d", "by": "mira" });
        here.post("/api/v1/retention", &tidy).await.ok();
        here.until(&timed_out, "TIMED_OUT").await;
        eventually("the stuck run says why", async || {
            here.why(&stuck).await.iter().any(|(code, _)| code == "no_worker").then_some(())
        })
        .await;
        Self {
            base: server.base().to_owned(),
            completed,
            failed,
            stuck,
            running,
            forked,
            asking,
            asked,
            decided,
            bulk,
            _held: Mutex::new((server, db)),
        }
    }
}

/// The completed run once more from its second call on, which has another result now.
async fn goes_on(server: &Server, completed: &str) -> String {
    let wish = json!({ "turn": 1, "call": 1, "arguments": { "town": "Down" } });
    let answer = server.post(&format!("/api/v1/executions/{completed}/rerun"), &wish).await.ok();
    let id = answer["executionId"].as_str().unwrap().to_owned();
    let rain = server.take("weather").await;
    server.complete(&rain, &json!({ "rain": false, "mm": 0, "gauge": null })).await;
    // It was not there yet at that point.
    let year = server.take("lookup").await;
    server.complete(&year, &json!({ "year": 1859 })).await;
    server.until(&id, "COMPLETED").await;
    id
}

/// Two turns; a worker is lost and another takes over; results of some size.
async fn completes(server: &Server) -> String {
    server.register("lookup", &json!({ "responseTimeoutSeconds": 1 })).await;
    let model = script(&[calls(["lookup", "weather"]), says("It appeared in 1859. It rained.")]);
    let librarian = agent("librarian", &model, tools(["lookup", "weather"]));
    let id = server.start_run(&librarian, "In which year did the Origin of Species appear?").await;
    server.take("lookup").await;
    let rain = server.take("weather").await;
    server.complete(&rain, &json!({ "rain": true, "mm": 11.5, "gauge": null })).await;
    let again = server.take("lookup").await;
    let shelf: Vec<Value> = (0..200).map(|n| json!({ "shelf": n, "title": "Origin" })).collect();
    server.complete(&again, &json!({ "year": 1859, "found": shelf })).await;
    server.until(&id, "COMPLETED").await;
    id
}

async fn fails(server: &Server) -> String {
    let refuses = json!({ "fail": { "status": 401 } });
    let id = server.start_run(&agent("refused", &script(&[refuses]), tools([])), "Ask the oracle.").await;
    server.until(&id, "FAILED").await;
    id
}

async fn times_out(server: &Server) -> String {
    let mut hurried = agent("hurried", &script(&[calls(["slow"])]), tools(["slow"]));
    hurried["timeoutSeconds"] = json!(1);
    let id = server.start_run(&hurried, "Be quick.").await;
    server.take("slow").await;
    id
}

async fn stuck(server: &Server) -> String {
    let model = script(&[calls(["nobody_here"]), says("Done.")]);
    server.start_run(&agent("lonely", &model, tools(["nobody_here"])), "Wait for somebody.").await
}

/// A tool that failed once and is tried again later.
async fn retries(server: &Server) {
    server.register("flaky", &json!({ "retryDelaySeconds": 3600 })).await;
    let model = script(&[calls(["flaky"]), says("Done.")]);
    server.start_run(&agent("stubborn", &model, tools(["flaky"])), "Try until it works.").await;
    let task = server.take("flaky").await;
    let reason = json!({ "reasonForIncompletion": "The library is closed on Sundays." });
    server.report(&task, "FAILED", &reason).await;
}

/// A run that asks whether it may refund, what it asks, and a question that somebody had edited and approved before.
async fn asks(server: &Server) -> (String, String, String) {
    let tools = json!([{
        "name": "refund", "description": "Pays money back to a customer.", "toolType": "worker", "approvalRequired": true,
        "inputSchema": { "type": "object", "properties": {
            "order_id": { "type": "string" }, "amount": { "type": "number", "maximum": 5000, "description": "In euros." },
            "currency": { "type": "string", "enum": ["EUR", "USD"] }, "notify_customer": { "type": "boolean" },
            "reason": { "type": "string" },
        } },
        "config": { "approval": { "group": "finance-leads", "timeoutSeconds": 86400, "onTimeout": "escalate", "escalateTo": "directors" } },
    }]);
    let ask = async |name: &str, amount: f64| {
        let arguments = json!({
            "order_id": "48211", "amount": amount, "currency": "EUR", "notify_customer": true,
            "reason": "The screen was cracked when it arrived. Two photos show it; the order is nine days old.",
        });
        let model =
            script(&[json!({ "calls": [{ "name": "refund", "arguments": arguments }] }), says("Refunded.")]);
        let agent = agent(name, &model, tools.clone());
        let run =
            server.start_run(&agent, "Refund order 48211; the customer says that it arrived broken.").await;
        let path = format!("/api/v1/approvals?execution={run}");
        let asked = eventually("the run asks", async || {
            server.get(&path).await.ok()["approvals"][0]["id"].as_str().map(str::to_owned)
        })
        .await;
        (run, asked)
    };
    let (_, decided) = ask("support-triage", 98.0).await;
    let what = json!({ "decision": "approve", "by": "mira", "reason": "photo 2 shows older damage",
        "arguments": { "order_id": "48211", "amount": 89, "currency": "EUR" } });
    server.post(&format!("/api/v1/approvals/{decided}/decide"), &what).await.ok();
    ask("sales-closer", 12.0).await;
    let (run, asked) = ask("support-triage", 1240.0).await;
    (run, asked, decided)
}

/// A run whose tool a worker is busy with.
async fn waits(server: &Server, name: &str, prompt: &str) -> String {
    let model = script(&[calls([name]), says("Done.")]);
    let id = server.start_run(&agent(name, &model, tools([name])), prompt).await;
    server.take(name).await;
    id
}
