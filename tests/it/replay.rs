//! Replays: the same calls return what they returned to the original, and no tool is called.

use serde_json::{Value, json};

use crate::forks::page_of;
use crate::harness::{Server, TestDb, agent, calls, says, script, tenure, tools};
use crate::{approvals, invariants};

fn call(tool: &str, arguments: &Value) -> Value {
    json!({ "calls": [{ "name": tool, "arguments": arguments }] })
}

/// A run that looked twice at the same and once at something else, with another answer each time, and whose `act`, which a
/// person had to approve, failed.
async fn original(server: &Server) -> String {
    let look = |at: &str| call("look", &json!({ "at": at }));
    let model = script(&[look("it"), look("it"), look("that"), calls(["act"]), says("done")]);
    let mut tools = tools(["look", "act"]);
    tools[1]["approvalRequired"] = json!(true);
    let id = server.start_run(&agent("story", &model, tools), "Go.").await;
    for n in 1..=3 {
        let task = server.take("look").await;
        server.complete(&task, &json!({ "seen": n })).await;
    }
    let question = approvals::only(server, &id).await;
    approvals::decide(server, &question, &json!({ "decision": "approve", "by": "mira" })).await.ok();
    let task = server.take("act").await;
    let closed = json!({ "reasonForIncompletion": "it is closed" });
    server.report(&task, "FAILED_WITH_TERMINAL_ERROR", &closed).await;
    server.until(&id, "COMPLETED").await;
    id
}

async fn replay(server: &Server, id: &str, how: Value) -> String {
    let answer = server.post(&format!("/api/v1/executions/{id}/replay"), &how).await.ok();
    assert_eq!((&answer["forkedFrom"], &answer["as"]), (&json!(id), &json!("replay")));
    answer["executionId"].as_str().unwrap().to_owned()
}

/// What a run's tools returned, or people in their place, in order.
async fn returned(server: &Server, id: &str) -> Vec<String> {
    let told = server.conversation(id).await.into_iter().filter(|(role, _)| role == "tool");
    told.map(|(_, text)| text.strip_prefix("Error: ").unwrap_or(&text).to_owned()).collect()
}

#[tokio::test]
async fn another_model_gets_what_the_tools_returned_and_no_tool_is_called() {
    let database = TestDb::new().await;
    let mut server = Server::start(&database).await;
    let id = original(&server).await;
    let look = |at: &str| call("look", &json!({ "at": at }));
    let slow = json!({ "text": "I have seen it.", "delay_ms": 1500 });
    let other =
        script(&[look("that"), look("it"), look("it"), look("it"), calls(["act"]), look("nothing"), slow]);
    let copy = replay(&server, &id, json!({ "model": other })).await;
    server.kill();
    server = Server::start(&database).await;
    let output = server.until(&copy, "COMPLETED").await["output"].to_string();
    assert!(output.contains("I have seen it."), "{output}");

    let returned = returned(&server, &copy).await;
    for (text, part) in returned.iter().zip(["3", "1", "2", "2", "it is closed", "never called look"]) {
        assert!(text.contains(part), "no {part} in {returned:?}");
    }
    assert_eq!(returned.len(), 6);
    for tool in ["look", "act"] {
        assert_eq!(server.poll(tool, 1).await, [Value::Null; 0], "{tool} was called");
    }
    let asked = "select count(*) from tenure.approvals where execution_id = $1::text::uuid";
    let db = database.connect().await;
    assert_eq!(db.query_one(asked, &[&copy]).await.unwrap().get::<_, i64>(0), 0, "a person was asked");
    invariants::hold(&db, &[id.clone(), copy.clone()]).await;

    let diff = server.get(&format!("/diff.json?a={id}&b={copy}")).await.ok();
    assert_eq!(diff["first_turn"], 1, "{diff}");
    let refused = server.post(&format!("/api/v1/executions/{copy}/fork"), &json!({ "at": 3 })).await;
    assert!(refused.status == 409 && refused.text.contains("is a replay"), "{}", refused.text);
}

#[tokio::test]
async fn the_command_line_and_the_page_begin_replays_too() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let id = original(&server).await;
    let said = tenure(&["agent", "replay", &id, "--server", server.base(), "--json"]).output().unwrap();
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    let copy = said["executionId"].as_str().unwrap().to_owned();
    server.until(&copy, "COMPLETED").await;
    assert_eq!(returned(&server, &copy).await, returned(&server, &id).await);
    let same = server.get(&format!("/diff.json?a={id}&b={copy}")).await.ok();
    assert_eq!(same["first_turn"], Value::Null, "{same}");
    let again = replay(&server, &copy, json!({})).await;
    server.until(&again, "COMPLETED").await;

    let page = page_of(&server, &format!("/execution/{id}")).await.0;
    assert!(
        page.contains(&format!("action=\"/execution/{id}/replay\"")) && page.contains("Replayed as"),
        "{page}"
    );
    let page = page_of(&server, &format!("/execution/{copy}")).await.0;
    assert!(page.contains("Replays, without calling tools,"), "{page}");
    let told = server.get(&format!("/execution/{copy}/events.txt")).await.text;
    assert!(told.contains("the input and what tools return are"), "{told}");
    invariants::hold(&database.connect().await, &[id, copy, again]).await;
}

#[tokio::test]
async fn what_people_said_is_told_again_and_nobody_is_asked() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let refund = |amount: u32| call("refund", &json!({ "amount": amount }));
    let ask = call("ask", &json!({ "what": "colour" }));
    let model = script(&[refund(900), refund(20), ask.clone(), ask, says("done")]);
    let mut tools = tools(["refund", "ask"]);
    tools[0]["approvalRequired"] = json!(true);
    tools[1]["toolType"] = json!("human");
    let id = server.start_run(&agent("people", &model, tools), "Go.").await;
    for decision in [
        json!({ "decision": "deny", "by": "mira", "reason": "too much" }),
        json!({ "decision": "approve", "by": "mira", "arguments": { "amount": 10 } }),
        json!({ "decision": "answer", "by": "mira", "answer": "green" }),
        json!({ "decision": "answer", "by": "mira", "answer": "red" }),
    ] {
        let question = approvals::only(&server, &id).await;
        approvals::decide(&server, &question, &decision).await.ok();
        if decision["decision"] == "approve" {
            let task = server.take("refund").await;
            server.complete(&task, &json!({ "paid": task["inputData"]["amount"] })).await;
        }
    }
    server.until(&id, "COMPLETED").await;
    let said = returned(&server, &id).await;
    for (text, part) in said.iter().zip(["too much", "{\"paid\":10}", "green", "red"]) {
        assert!(text.contains(part), "no {part} in {said:?}");
    }

    // A fork has what was answered in its copied part.
    let at = server.events(&id).await.len() - 1;
    let fork = server.post(&format!("/api/v1/executions/{id}/fork"), &json!({ "at": at })).await.ok();
    let fork = fork["executionId"].as_str().unwrap().to_owned();
    server.until(&fork, "COMPLETED").await;
    let mut runs = vec![id, fork];
    for n in 0..2 {
        let copy = replay(&server, &runs[n].clone(), json!({})).await;
        server.until(&copy, "COMPLETED").await;
        assert_eq!(returned(&server, &copy).await, said);
        runs.push(copy);
    }
    assert_eq!(server.poll("refund", 1).await, [Value::Null; 0], "refund was called");
    let db = database.connect().await;
    let asked = "select count(*) from tenure.approvals where execution_id::text = any($1)";
    assert_eq!(db.query_one(asked, &[&runs[1..].to_vec()]).await.unwrap().get::<_, i64>(0), 0);
    invariants::hold(&db, &runs).await;
}
