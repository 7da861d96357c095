//! Webhooks: what happened is told once it is committed, until it is taken, signed, under one id; reminders; bad input.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio_postgres::Client;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::method};

use crate::approvals::{decide, only, run};
use crate::forks::{page_of, press};
use crate::harness::{Http, Server, TestDb, agent, eventually, script, tenure};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Somebody who takes everything.
async fn receiver() -> MockServer {
    let receiver = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(204)).mount(&receiver).await;
    receiver
}

fn gated(group: Value) -> Value {
    json!([{
        "name": "refund", "description": "Does it.", "toolType": "worker", "approvalRequired": true,
        "config": { "approval": group },
    }])
}

async fn set(http: &Http, name: &str, receiver: &MockServer, more: Value) -> Value {
    let mut wish = json!({ "name": name, "url": format!("{}/hook?key=hidden", receiver.uri()), "secret": SECRET, "by": "mira" });
    for (key, value) in more.as_object().unwrap() {
        wish[key] = value.clone();
    }
    http.post("/api/v1/webhooks", &wish).await.ok()
}

/// What came, once it is so much: event and body, in the order of their coming.
async fn came(receiver: &MockServer, many: usize) -> Vec<Request> {
    eventually(&format!("{many} came"), async || {
        let came = receiver.received_requests().await.unwrap();
        assert!(came.len() <= many, "{} came instead of {many}", came.len());
        (came.len() == many).then_some(came)
    })
    .await
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn header(request: &Request, name: &str) -> String {
    request.headers[name].to_str().unwrap().to_owned()
}

/// As a receiver checks it.
fn is_signed(request: &Request) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(&SECRET[6..]).unwrap()).unwrap();
    mac.update(
        format!("{}.{}.", header(request, "webhook-id"), header(request, "webhook-timestamp")).as_bytes(),
    );
    mac.update(&request.body);
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    header(request, "webhook-signature") == signature
}

async fn deliveries(http: &Http) -> Vec<Value> {
    http.get("/api/v1/deliveries").await.ok()["deliveries"].as_array().unwrap().clone()
}

/// Until the only delivery stands like this.
async fn stands(http: &Http, like: impl Fn(&Value) -> bool) -> Value {
    eventually("the delivery stands so", async || {
        let all = deliveries(http).await;
        assert!(all.len() <= 1, "{all:?}");
        all.into_iter().find(&like)
    })
    .await
}

async fn due(db: &Client) {
    db.batch_execute("update tenure.outbox set due_at = now() where state = 'waiting'").await.unwrap();
}

#[tokio::test]
async fn who_wants_to_know_is_told_of_questions_decisions_and_failures() {
    let database = TestDb::new().await;
    let server = Server::with(&database, |command| {
        command.env("TENURE_PUBLIC_URL", "https://tenure.example/");
    })
    .await;
    let (all, slack, others) = (receiver().await, receiver().await, receiver().await);
    set(&server, "all", &all, json!({})).await;
    set(
        &server,
        "slack",
        &slack,
        json!({ "shape": "slack", "events": ["asked", "decided"], "group": "finance" }),
    )
    .await;
    set(&server, "others", &others, json!({ "agent": "somebody-*" })).await;

    let asking = run(&server, gated(json!({ "group": "finance" })), ["refund"]).await;
    let id = only(&server, &asking).await;
    let first = came(&all, 1).await.remove(0);
    assert!(is_signed(&first), "{:?}", first.headers);
    let told = body(&first);
    assert_eq!(
        (&told["type"], &told["executionId"], &told["agent"], &told["url"]),
        (
            &json!("approval.asked"),
            &json!(asking),
            &json!("careful"),
            &json!(format!("https://tenure.example/approvals/{id}"))
        ),
        "{told}"
    );
    assert_eq!(
        (&told["approval"]["tool"], &told["approval"]["group"], &told["approval"]["arguments"]["for"]),
        (&json!("refund"), &json!("finance"), &json!("refund")),
        "{told}"
    );
    decide(&server, &id, &json!({ "decision": "deny", "by": "mira", "reason": "<!here> no & no" }))
        .await
        .ok();
    let told = body(&came(&all, 2).await[1]);
    assert_eq!(
        (&told["type"], &told["approval"]["decidedBy"], &told["approval"]["reason"]),
        (&json!("approval.decided"), &json!("mira"), &json!("<!here> no & no")),
        "{told}"
    );
    let said: Vec<_> = came(&slack, 2).await.iter().map(body).collect();
    let text = said[0]["text"].as_str().unwrap();
    assert!(text.contains("*careful* wants to call *refund*, and waits for finance"), "{text}");
    assert!(text.contains(&format!("<https://tenure.example/approvals/{id}|Open>")), "{text}");
    assert_eq!(said[1]["blocks"][1]["text"]["text"], "```&lt;!here&gt; no &amp; no```", "{}", said[1]);

    let model = script(&[json!({ "text": "done", "fail": { "status": 401 } })]);
    let failing = server.start_run(&agent("careful", &model, json!([])), "Go.").await;
    server.until(&failing, "FAILED").await;
    let told = body(&came(&all, 3).await[2]);
    assert_eq!(
        (&told["type"], &told["executionId"]),
        (&json!("execution.failed"), &json!(failing)),
        "{told}"
    );
    assert!(told["reason"].is_string(), "{told}");
    let ids: std::collections::BTreeSet<_> =
        came(&all, 3).await.iter().map(|r| header(r, "webhook-id")).collect();
    assert_eq!(ids.len(), 3, "one id for each");
    assert_eq!(came(&others, 0).await.len(), 0);
    let (page, _) = page_of(&server, &format!("/approvals/{id}")).await;
    assert!(page.contains("Who was told"), "{page}");
}

#[tokio::test]
async fn what_is_not_taken_is_sent_again_under_the_same_id_and_says_why() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let db = database.connect().await;
    let receiver = MockServer::start().await;
    let busy = ResponseTemplate::new(503).set_body_string("busy\nright now");
    Mock::given(method("POST")).respond_with(busy).up_to_n_times(1).mount(&receiver).await;
    let gone = ResponseTemplate::new(410);
    Mock::given(method("POST")).respond_with(gone).up_to_n_times(1).mount(&receiver).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&receiver).await;
    set(&server, "ops", &receiver, json!({})).await;
    server.post("/api/v1/webhooks/ops/test", &json!({})).await.ok();
    let waits = stands(&server, |d| d["why"].as_str().unwrap().contains("503")).await;
    assert_eq!((&waits["state"], &waits["tries"]), (&json!("waiting"), &json!(1)), "{waits}");
    assert!(
        waits["why"].as_str().unwrap().contains("answered 503 Service Unavailable: busy right now"),
        "{waits}"
    );
    let listed = server.get("/api/v1/webhooks").await.ok()["webhooks"][0].clone();
    assert!(listed["waiting"] == 1 && listed["trouble"].as_str().unwrap().contains("503"), "{listed}");
    assert!(!listed.to_string().contains("hidden"), "an address can hold a key: {listed}");
    due(&db).await;
    let gone = stands(&server, |d| d["state"] == "gave_up").await;
    assert_eq!(gone["tries"], 2, "{gone}");
    let path = format!("/api/v1/deliveries/{}/again", gone["id"].as_str().unwrap());
    server.post(&path, &json!({})).await.ok();
    stands(&server, |d| d["state"] == "delivered").await;
    let came = came(&receiver, 3).await;
    let ids: std::collections::BTreeSet<_> = came.iter().map(|r| header(r, "webhook-id")).collect();
    assert_eq!((ids.len(), is_signed(&came[2])), (1, true));
}

#[tokio::test]
async fn another_server_tells_what_one_was_telling_when_it_died() {
    let database = TestDb::new().await;
    let mut server = Server::start(&database).await;
    let db = database.connect().await;
    let receiver = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(8));
    Mock::given(method("POST")).respond_with(slow).up_to_n_times(1).mount(&receiver).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&receiver).await;
    set(&server, "ops", &receiver, json!({})).await;
    server.post("/api/v1/webhooks/ops/test", &json!({})).await.ok();
    came(&receiver, 1).await;
    server.kill();
    let other = Server::start(&database).await;
    let is_being = stands(&other, |d| d["tries"] == 1).await;
    assert_eq!(is_being["why"], "is being sent");
    // As half a minute later.
    due(&db).await;
    stands(&other, |d| d["state"] == "delivered").await;
    let came = came(&receiver, 2).await;
    assert_eq!(header(&came[0], "webhook-id"), header(&came[1], "webhook-id"));
}

#[tokio::test]
async fn people_are_reminded_while_nobody_decides_and_not_told_what_is_over() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let db = database.connect().await;
    let receiver = receiver().await;
    set(&server, "ops", &receiver, json!({ "events": ["escalated"], "remind": "30m" })).await;
    let asking = run(
        &server,
        gated(json!({ "timeoutSeconds": 86400, "onTimeout": "escalate", "escalateTo": "chiefs" })),
        ["refund"],
    )
    .await;
    let id = only(&server, &asking).await;
    db.batch_execute("update tenure.approvals set asked_at = asked_at - interval '65 minutes'")
        .await
        .unwrap();
    let told = body(&came(&receiver, 1).await[0]);
    assert_eq!((&told["type"], &told["approval"]["id"]), (&json!("approval.reminder"), &json!(id)), "{told}");
    let second: i32 = db.query_one("select n from tenure.outbox", &[]).await.unwrap().get(0);
    assert_eq!(second, 2, "one reminder for what was missed, not two");
    db.batch_execute("update tenure.approvals set expires_at = now()").await.unwrap();
    let told = body(&came(&receiver, 2).await[1]);
    assert_eq!(
        (&told["type"], &told["approval"]["group"]),
        (&json!("approval.escalated"), &json!("chiefs")),
        "{told}"
    );
    decide(&server, &id, &json!({ "decision": "approve", "by": "mira" })).await.ok();
    // A reminder that was written down before, and comes too late.
    db.batch_execute(&format!("select tenure.tell('escalated', '{asking}', '{id}', 9, 'careful', 'chiefs')"))
        .await
        .unwrap();
    let dropped = eventually("it is dropped", async || {
        deliveries(&server).await.into_iter().find(|d| d["state"] == "dropped")
    })
    .await;
    assert_eq!(dropped["why"], "not sent: it was decided before");
    came(&receiver, 2).await;
}

#[tokio::test]
async fn webhooks_are_set_in_every_channel_and_nonsense_is_refused() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let receiver = receiver().await;
    let url = format!("{}/hook", receiver.uri());
    for (more, word) in [
        (json!({ "name": "" }), "1 to 100 characters"),
        (json!({ "url": "ftp://example.com" }), "http:// or https://"),
        (json!({ "url": "nonsense" }), "http:// or https://"),
        (json!({ "shape": "xml" }), "json or slack"),
        (json!({ "events": ["asked", "sold"] }), "asked, escalated, decided, failed"),
        (json!({ "events": [] }), "events"),
        (json!({ "remind": "5s" }), "a minute or more"),
        (json!({ "secret": "letmein" }), "whsec_"),
        (json!({ "uri": url }), "unknown field"),
    ] {
        let mut wish = json!({ "name": "ops", "url": url });
        for (key, value) in more.as_object().unwrap() {
            wish[key] = value.clone();
        }
        let answer = server.post("/api/v1/webhooks", &wish).await;
        assert!(answer.status == 400 && answer.text.contains(word), "{more}: {}", answer.text);
    }
    for path in ["/api/v1/webhooks/none/test", "/api/v1/deliveries/x/again"] {
        assert_eq!(server.post(path, &json!({})).await.status, 404);
    }
    assert_eq!(server.delete("/api/v1/webhooks/none").await.status, 404);
    assert_eq!(server.get("/api/v1/deliveries?about=x").await.status, 400);

    let cli = |arguments: &[&str]| {
        let all = [&["approvals", "webhook"], arguments, &["--server", server.base()]].concat();
        String::from_utf8(tenure(&all).output().unwrap().stdout).unwrap()
    };
    assert!(cli(&["list"]).contains("nobody is told"));
    let said = cli(&["set", "ops", &url, "--events", "asked,failed", "--remind", "45m", "--by", "mira"]);
    assert!(said.contains("asked,failed") && said.contains("45m") && said.contains("whsec_"), "{said}");
    assert!(!cli(&["list"]).contains("whsec_"), "it is printed once");
    assert!(cli(&["test", "ops"]).contains("waits to be sent"));
    came(&receiver, 1).await;
    assert!(cli(&["deliveries"]).contains("ops"));

    let (page, _) = page_of(&server, "/approvals/webhooks?change=ops").await;
    assert!(page.contains("value=\"45m\"") && page.contains("a test"), "{page}");
    let typed = [("name", "more"), ("url", url.as_str()), ("shape", "slack"), ("asked", "on")];
    let (status, _) = press(&server, "/approvals/webhooks", "/approvals/webhooks", &typed).await;
    assert_eq!(status, 200, "it shows the secret");
    let typed = [("name", "more"), ("url", "nowhere"), ("shape", "slack"), ("asked", "on")];
    assert_eq!(press(&server, "/approvals/webhooks", "/approvals/webhooks", &typed).await.0, 422);
    assert_eq!(press(&server, "/approvals/webhooks", "/approvals/webhooks/test", &[]).await.0, 303);
    came(&receiver, 2).await;
    assert_eq!(server.get("/approvals/webhooks.json").await.ok()["webhooks"].as_array().unwrap().len(), 2);
    assert!(cli(&["remove", "ops"]).contains("removed ops"));
    assert_eq!(deliveries(&server).await.len(), 1, "what was told there is gone with it");
}
