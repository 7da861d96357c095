//! Messages into a run, and the tools that wait for them.

use serde_json::{Value, json};

use crate::harness::{Server, TestDb, agent, calls, eventually, says, script, tenure};
use crate::invariants;

async fn server() -> (TestDb, Server) {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    (database, server)
}

/// An agent that asks for messages with these settings, as often as there are steps before its answer.
fn reader(name: &str, waits: usize, config: &Value) -> Value {
    let mut steps = vec![calls(["inbox"]); waits];
    steps.push(says("read"));
    let tool = json!({
        "name": "inbox", "description": "Wait for a message.", "inputSchema": { "type": "object" },
        "toolType": "pull_workflow_messages", "config": config,
    });
    agent(name, &script(&steps), json!([tool]))
}

async fn send(server: &Server, id: &str, payload: &Value) -> crate::harness::Answer {
    server.post(&format!("/api/workflow/{id}/messages"), payload).await
}

async fn waits(server: &Server, id: &str) {
    eventually("it waits for a message", async || {
        let why = server.why(id).await;
        (why.len() == 1 && why[0].0 == "message").then_some(())
    })
    .await;
}

/// What the calls of a run returned: the payloads of each.
async fn read(server: &Server, id: &str) -> Vec<Vec<Value>> {
    let workflow = server.workflow(id).await;
    let tasks = workflow["tasks"].as_array().unwrap().clone();
    let calls = tasks.iter().filter(|t| t["taskType"] == "PULL_WORKFLOW_MESSAGES");
    let payloads = |call: &Value| {
        let messages = call["outputData"]["messages"].as_array().unwrap();
        assert_eq!(call["outputData"]["count"], messages.len());
        assert!(messages.iter().all(|m| m["workflowId"] == json!(id) && m["receivedAt"].is_string()));
        messages.iter().map(|m| m["payload"].clone()).collect()
    };
    calls.map(payloads).collect()
}

#[tokio::test]
async fn a_call_waits_until_a_message_comes_and_says_that_it_does() {
    let (database, mut server) = server().await;
    let id = server.start_run(&reader("mail", 1, &json!({})), "Read.").await;
    waits(&server, &id).await;
    let status = server.status(&id).await;
    assert_eq!((&status["status"], &status["isWaiting"]), (&json!("RUNNING"), &json!(true)), "{status}");
    assert!(status["pendingTool"]["taskRefName"].as_str().unwrap().ends_with("__1"), "{status}");
    let workflow = server.workflow(&id).await;
    let task = workflow["tasks"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&task["taskType"], &task["status"]),
        (&json!("PULL_WORKFLOW_MESSAGES"), &json!("IN_PROGRESS"))
    );
    invariants::hold(&database.connect().await, &[]).await;

    // It waits through the death of its server, and holds nothing meanwhile.
    server.restart().await;
    waits(&server, &id).await;
    let db = database.connect().await;
    let leased = "select count(*) from tenure.queue where worker_id is not null";
    assert_eq!(db.query_one(leased, &[]).await.unwrap().get::<_, i64>(0), 0);

    let payload = json!({ "go": "on", "n": 1 });
    assert_eq!(send(&server, &id, &payload).await.status, 200);
    server.until(&id, "COMPLETED").await;
    assert_eq!(read(&server, &id).await, [vec![payload]]);
    let events = server.events(&id).await;
    assert!(events.contains(&"message_received".to_owned()), "{events:?}");
    let stream = server.stream(&id, None).await;
    assert!(
        stream.iter().any(|f| f.event == "waiting" && f.data["pendingTool"]["taskRefName"].is_string()),
        "{stream:?}"
    );
    let late = send(&server, &id, &json!({})).await;
    assert_eq!(late.status, 409, "{}", late.text);
    invariants::hold(&db, &[]).await;
}

#[tokio::test]
async fn messages_are_read_in_their_order_and_each_once() {
    let (database, server) = server().await;
    let id = server.start_run(&reader("order", 3, &json!({ "batchSize": 2 })), "Read.").await;
    waits(&server, &id).await;
    for n in 1..=5 {
        // It has ended once its three calls have returned.
        if send(&server, &id, &json!({ "n": n })).await.status == 409 {
            assert!(n > 3);
            break;
        }
    }
    server.until(&id, "COMPLETED").await;
    let read: Vec<Vec<Value>> = read(&server, &id).await;
    assert!(read.iter().all(|call| (1..=2).contains(&call.len())), "{read:?}");
    let numbers: Vec<_> = read.concat().iter().map(|m| m["n"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=i64::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
    invariants::hold(&database.connect().await, &[]).await;
}

#[tokio::test]
async fn a_call_that_does_not_wait_returns_what_there_is() {
    let (_database, server) = server().await;
    let id = server.start_run(&reader("glance", 1, &json!({ "blocking": false })), "Look.").await;
    server.until(&id, "COMPLETED").await;
    assert_eq!(read(&server, &id).await, [Vec::<Value>::new()]);
}

#[tokio::test]
async fn many_messages_at_once_come_each_once_whoever_sends_them() {
    let (database, server) = server().await;
    let other = Server::start(&database).await;
    let id = server.start_run(&reader("many", 40, &json!({ "batchSize": 100 })), "Read.").await;
    let sent = futures_util::future::join_all((0..40).map(|n| {
        let server = if n % 2 == 0 { &server } else { &other };
        let id = &id;
        async move { send(server, id, &json!({ "n": n })).await.status }
    }))
    .await;
    assert!(sent.iter().all(|s| *s == 200 || *s == 409), "{sent:?}");
    let taken = sent.iter().filter(|s| **s == 200).count();
    let all = async || {
        let mut numbers: Vec<_> =
            read(&server, &id).await.concat().iter().map(|m| m["n"].as_i64().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    };
    let db = database.connect().await;
    eventually("all are read", async || {
        let unread = "select count(*) from tenure.inbox where taken_by is null";
        (db.query_one(unread, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    server.post(&format!("/api/agent/{id}/stop"), &Value::Null).await;
    server.until(&id, "COMPLETED").await;
    let numbers = all().await;
    assert_eq!(numbers.len(), taken);
    assert!(numbers.windows(2).all(|w| w[0] < w[1]), "{numbers:?}");
    invariants::hold(&db, &[]).await;
}

#[tokio::test]
async fn a_stop_ends_the_wait_and_a_pause_does_not() {
    let (database, server) = server().await;
    let id = server.start_run(&reader("stop", 2, &json!({})), "Read.").await;
    waits(&server, &id).await;
    server.put(&format!("/api/agent/{id}/pause"), &Value::Null).await;
    server.put(&format!("/api/agent/{id}/resume"), &Value::Null).await;
    waits(&server, &id).await;
    server.post(&format!("/api/agent/{id}/stop"), &Value::Null).await;
    server.until(&id, "COMPLETED").await;
    assert_eq!(read(&server, &id).await, [Vec::<Value>::new()]);
    invariants::hold(&database.connect().await, &[]).await;
}

#[tokio::test]
async fn a_full_inbox_takes_no_more_and_a_wrong_message_is_refused() {
    let (database, server) = server().await;
    let quiet = agent("quiet", &script(&[calls(["slow"])]), crate::harness::tools(["slow"]));
    let id = server.start_run(&quiet, "Wait.").await;
    let db = database.connect().await;
    let fill = "insert into tenure.inbox (execution_id, id, payload) select $1::text::uuid, gen_random_uuid(), '{}' from generate_series(1, 1000)";
    db.execute(fill, &[&id]).await.unwrap();
    assert_eq!(send(&server, &id, &json!({})).await.status, 429);
    assert_eq!(send(&server, &id, &json!([1])).await.status, 400);
    assert_eq!(send(&server, "0199f0aa-0000-7000-8000-000000000001", &json!({})).await.status, 404);
}

#[tokio::test]
async fn a_waiting_run_is_forked_and_both_get_messages_of_their_own() {
    let (database, server) = server().await;
    let id = server.start_run(&reader("fork", 1, &json!({})), "Read.").await;
    waits(&server, &id).await;
    let n = server.events(&id).await.len();
    let copy = server.post(&format!("/api/v1/executions/{id}/fork"), &json!({ "at": n })).await.ok();
    let copy = copy["executionId"].as_str().unwrap();
    waits(&server, copy).await;
    let sent = tenure(&["agent", "send", copy, "hello there", "--server", server.base()]).output().unwrap();
    assert!(sent.status.success(), "{sent:?}");
    server.until(copy, "COMPLETED").await;
    assert_eq!(read(&server, copy).await, [vec![json!({ "message": "hello there" })]]);
    waits(&server, &id).await;
    assert_eq!(send(&server, &id, &json!({ "for": "the first" })).await.status, 200);
    server.until(&id, "COMPLETED").await;
    assert_eq!(read(&server, &id).await, [vec![json!({ "for": "the first" })]]);
    invariants::hold(&database.connect().await, &[]).await;
}
