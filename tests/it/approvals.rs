//! People decide: asking, deciding through every channel, and that exactly one decision counts.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::harness::{Answer, Http, Server, TestDb, agent, calls, eventually, says, script, tenure, within};
use crate::invariants;

/// A tool whose calls need an approval, asked as `approval` says.
fn gated(name: &str, approval: &Value) -> Value {
    json!({
        "name": name, "description": format!("Does {name}."), "toolType": "worker", "approvalRequired": true,
        "inputSchema": {
            "type": "object",
            "properties": { "for": { "type": "string" }, "amount": { "type": "number", "maximum": 500 } },
        },
        "config": { "approval": approval },
    })
}

fn refund() -> Value {
    json!([gated("refund", &json!({}))])
}

/// A tool that a person answers.
fn human(name: &str) -> Value {
    json!({ "name": name, "description": "Asks a person.", "toolType": "human", "inputSchema": { "type": "object" } })
}

async fn server() -> (TestDb, Server) {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    (database, server)
}

/// A run whose model calls these tools at once and then ends.
pub async fn run<const N: usize>(http: &Http, tools: Value, names: [&str; N]) -> String {
    let model = script(&[calls(names), says("done")]);
    http.start_run(&agent("careful", &model, tools), "Go.").await
}

/// What a run asks people, once it asks so many.
pub async fn asked(http: &Http, run: &str, many: usize) -> Vec<Value> {
    eventually(&format!("{run} asks {many}"), async || {
        let list = http.get(&format!("/api/v1/approvals?execution={run}")).await.ok();
        let found = list["approvals"].as_array().unwrap().clone();
        (found.len() == many).then_some(found)
    })
    .await
}

pub async fn only(http: &Http, run: &str) -> String {
    asked(http, run, 1).await[0]["id"].as_str().unwrap().to_owned()
}

pub async fn decide(http: &Http, id: &str, what: &Value) -> Answer {
    http.post(&format!("/api/v1/approvals/{id}/decide"), what).await
}

pub async fn shown(http: &Http, id: &str) -> Value {
    http.get(&format!("/api/v1/approvals/{id}")).await.ok()
}

async fn respond(http: &Http, run: &str, what: &Value) -> Answer {
    http.post(&format!("/api/agent/{run}/respond"), what).await
}

/// Outcome and message of `tenure.decide(…)`.
async fn sql(db: &Client, arguments: &str) -> (String, String) {
    let row =
        db.query_one(&format!("select outcome, message from tenure.decide({arguments})"), &[]).await.unwrap();
    (row.get(0), row.get(1))
}

fn count(events: &[String], kind: &str) -> usize {
    events.iter().filter(|event| *event == kind).count()
}

#[tokio::test]
async fn a_call_waits_for_its_approval_and_then_runs() {
    let (database, server) = server().await;
    let id = run(&server, refund(), ["refund"]).await;
    let approval = only(&server, &id).await;

    let why = server.why(&id).await;
    assert_eq!(why.len(), 1, "{why:?}");
    assert_eq!(why[0].0, "approval");
    assert!(why[0].1.starts_with("waits for a decision of anybody on 'refund' (turn 1) since "), "{why:?}");
    assert!(server.poll("refund", 1).await.is_empty(), "it ran undecided");
    let db = database.connect().await;
    let queued: i64 = db.query_one("select count(*) from tenure.queue", &[]).await.unwrap().get(0);
    assert_eq!(queued, 0, "a wait for a person is in no queue");

    let answer =
        decide(&server, &approval, &json!({ "decision": "approve", "by": "mira", "reason": "fine" }))
            .await
            .ok();
    assert_eq!((&answer["outcome"], &answer["approval"]["state"]), (&json!("decided"), &json!("approved")));
    let task = server.take("refund").await;
    assert_eq!(task["inputData"]["for"], "refund");
    server.complete(&task, &json!({ "ok": true })).await;
    server.until(&id, "COMPLETED").await;

    let events = server.events(&id).await;
    let about = |kind: &&String| kind.starts_with("approval_") || *kind == "tool_called";
    let about: Vec<_> = events.iter().filter(about).collect();
    assert_eq!(about, ["approval_asked", "approval_approved", "tool_called"]);
    let told = server.conversation(&id).await;
    assert!(told.iter().any(|(_, text)| text == "Human reviewer feedback: fine"), "{told:?}");
    invariants::hold(&db, &[id]).await;
}

#[tokio::test]
async fn a_call_runs_with_the_arguments_that_a_person_changed_when_they_fit() {
    let (database, server) = server().await;
    let id = run(&server, refund(), ["refund"]).await;
    let approval = only(&server, &id).await;
    let edit = |arguments: Value| json!({ "decision": "approve", "by": "mira", "arguments": arguments });

    let why = decide(&server, &approval, &edit(json!({ "amount": 501 }))).await.refused(422);
    assert!(why.contains("do not fit 'refund': amount: "), "{why}");
    decide(&server, &approval, &edit(json!([1]))).await.refused(422);
    assert_eq!(shown(&server, &approval).await["state"], "pending", "what does not fit decides nothing");
    let answer = decide(&server, &approval, &edit(json!({ "amount": 119.5, "for": "x" }))).await.ok();
    assert_eq!(answer["approval"]["decision"]["edited"], true);

    let task = server.take("refund").await;
    assert_eq!((&task["inputData"]["amount"], &task["inputData"]["for"]), (&json!(119.5), &json!("x")));
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    let told = server.conversation(&id).await;
    let words = "A person approved the call of 'refund' with other arguments, and those were used: amount was not given and \
                 is now 119.5; for was \"refund\" and is now \"x\".";
    assert!(told.iter().any(|(_, text)| text == words), "{told:?}");
    let shown = shown(&server, &approval).await;
    assert_eq!(
        (&shown["arguments"], &shown["edited"]["amount"]),
        (&json!({ "for": "refund" }), &json!(119.5))
    );
    assert_eq!((&shown["before"]["approved"], &shown["before"]["edited"]), (&json!(1), &json!(1)));
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn a_denial_is_told_to_the_model_and_the_run_goes_on() {
    let (database, server) = server().await;
    let id = run(&server, refund(), ["refund"]).await;
    let approval = only(&server, &id).await;
    let why = decide(&server, &approval, &json!({ "decision": "deny", "by": "mira" })).await.refused(400);
    assert!(why.contains("says why"), "{why}");
    decide(&server, &approval, &json!({ "decision": "deny", "by": "mira", "reason": "anonymise instead" }))
        .await
        .ok();
    let end = server.until(&id, "COMPLETED").await;
    assert_eq!(end["output"]["finishReason"], "STOP");
    let told = server.conversation(&id).await;
    assert!(
        told.iter()
            .any(|(role, text)| role == "tool" && text.ends_with("so it was not made: anonymise instead")),
        "{told:?}"
    );
    assert!(server.poll("refund", 1).await.is_empty());
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn each_call_of_a_turn_is_decided_for_itself_and_the_rest_waits_for_the_last() {
    let (database, server) = server().await;
    let tools =
        json!([gated("refund", &json!({})), { "name": "note", "description": "n", "toolType": "worker" }]);
    let id = run(&server, tools, ["refund", "note", "refund"]).await;
    let both = asked(&server, &id, 2).await;
    let [first, second] = [0, 1].map(|i| both[i]["id"].as_str().unwrap().to_owned());
    decide(&server, &second, &json!({ "decision": "approve", "by": "mira" })).await.ok();
    let task = server.take("refund").await;
    assert!(server.poll("note", 1).await.is_empty(), "it did not wait for the last decision");
    decide(&server, &first, &json!({ "decision": "deny", "by": "mira", "reason": "no" })).await.ok();
    let note = server.take("note").await;
    for task in [&task, &note] {
        server.complete(task, &json!({})).await;
    }
    server.until(&id, "COMPLETED").await;
    assert!(server.poll("refund", 1).await.is_empty(), "the denied one ran");
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn the_protocol_sees_one_human_task_per_turn_and_answers_all_of_it() {
    let (database, server) = server().await;
    let id = run(&server, refund(), ["refund", "refund"]).await;
    asked(&server, &id, 2).await;
    let status = server.status(&id).await;
    assert_eq!((&status["isWaiting"], &status["isRunning"]), (&json!(true), &json!(true)));
    let pending = &status["pendingTool"];
    assert_eq!(
        (&pending["taskRefName"], &pending["tool_name"], &pending["parameters"]),
        (&json!("careful_approval_human__1"), &json!("refund"), &json!({ "for": "refund" }))
    );
    assert_eq!(pending["toolCalls"].as_array().unwrap().len(), 2);
    assert_eq!(pending["response_schema"]["required"], json!(["approved"]));

    let unclear = respond(&server, &id, &json!({ "message": "hm" })).await.refused(400);
    assert!(unclear.contains("approved"), "{unclear}");
    assert_eq!(respond(&server, &id, &json!({ "approved": true })).await.status, 200);
    let none = respond(&server, &id, &json!({ "approved": true })).await.refused(400);
    assert!(none.starts_with("No pending HUMAN task found") && none.ends_with("RUNNING"), "{none}");
    assert!(server.status(&id).await.get("isWaiting").is_none());
    for _ in 0..2 {
        let task = server.take("refund").await;
        server.complete(&task, &json!({ "result": "paid" })).await;
    }
    server.until(&id, "COMPLETED").await;

    let frames = server.stream(&id, None).await;
    let kinds: Vec<_> = frames.iter().map(|f| f.event.as_str()).collect();
    assert_eq!(
        kinds,
        ["thinking", "waiting", "tool_call", "tool_result", "tool_call", "tool_result", "thinking", "done"]
    );
    assert_eq!(&frames[1].data["pendingTool"], pending);
    let workflow = server.workflow(&id).await;
    let tasks = workflow["tasks"].as_array().unwrap();
    let humans: Vec<_> = tasks.iter().filter(|t| t["taskType"] == "HUMAN").collect();
    assert_eq!(humans.len(), 1);
    assert_eq!(
        (&humans[0]["status"], &humans[0]["outputData"]["approved"], &humans[0]["referenceTaskName"]),
        (&json!("COMPLETED"), &json!(true), &json!("careful_approval_human__1"))
    );
    assert_eq!(humans[0]["inputData"]["tool_calls"].as_array().unwrap().len(), 2);
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn a_rejection_by_the_protocol_ends_the_run_and_no_tool_of_the_turn_runs() {
    let (database, server) = server().await;
    let tools =
        json!([gated("refund", &json!({})), { "name": "note", "description": "n", "toolType": "worker" }]);
    let id = run(&server, tools, ["refund", "note", "refund"]).await;
    asked(&server, &id, 2).await;
    respond(&server, &id, &json!({ "approved": false, "reason": "no way" })).await.ok();
    let end = server.until(&id, "COMPLETED").await;
    assert_eq!(
        end["output"],
        json!({ "result": null, "finishReason": "rejected", "rejectionReason": "no way", "context": {} })
    );
    assert!(server.poll("refund", 1).await.is_empty() && server.poll("note", 1).await.is_empty());
    let kinds: Vec<_> = server.stream(&id, None).await.into_iter().map(|f| f.event).collect();
    assert_eq!(kinds, ["thinking", "waiting", "done"]);
    let late = respond(&server, &id, &json!({ "approved": true })).await.refused(400);
    assert!(late.ends_with("COMPLETED"), "{late}");
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn a_person_answers_a_question_of_the_model_in_words() {
    let (database, server) = server().await;
    let tools = json!([human("ask"), gated("refund", &json!({}))]);
    let id = run(&server, tools, ["ask", "refund"]).await;
    asked(&server, &id, 2).await;
    // The approval comes first to the protocol, then the question.
    assert_eq!(server.status(&id).await["pendingTool"]["tool_name"], "refund");
    respond(&server, &id, &json!({ "approved": "yes" })).await.ok();
    let status = server.status(&id).await;
    assert_eq!(status["pendingTool"]["tool_name"], "ask");
    assert_eq!(status["pendingTool"]["response_schema"]["required"], json!(["response"]));
    let question = only(&server, &id).await;
    let wrong =
        decide(&server, &question, &json!({ "decision": "approve", "by": "mira" })).await.refused(400);
    assert!(wrong.contains("this is a question"), "{wrong}");
    respond(&server, &id, &json!({ "output": "blue" })).await.ok();
    let task = server.take("refund").await;
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    let told = server.conversation(&id).await;
    assert!(told.iter().any(|(role, text)| role == "tool" && text == r#"{"output":"blue"}"#), "{told:?}");
    let answered = server.stream(&id, None).await.into_iter().find(|f| f.event == "tool_result").unwrap();
    assert_eq!(
        (&answered.data["toolName"], &answered.data["result"]),
        (&json!("ask"), &json!({ "output": "blue" }))
    );

    let id = run(&server, json!([human("ask")]), ["ask"]).await;
    let question = only(&server, &id).await;
    decide(&server, &question, &json!({ "decision": "answer", "by": "mira", "answer": "green" })).await.ok();
    server.until(&id, "COMPLETED").await;
    assert_eq!(shown(&server, &question).await["answer"], json!({ "response": "green" }));
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn the_end_of_a_run_withdraws_what_it_asks_and_a_decision_then_hears_so() {
    let (database, server) = server().await;
    let id = run(&server, refund(), ["refund", "refund"]).await;
    let both = asked(&server, &id, 2).await;
    let first = both[0]["id"].as_str().unwrap();
    server.delete(&format!("/api/agent/{id}/cancel?reason=enough")).await.ok();
    let late = decide(&server, first, &json!({ "decision": "approve", "by": "mira" })).await.refused(409);
    assert!(late.starts_with("it was withdrawn at ") && late.ends_with(": enough"), "{late}");
    assert_eq!(shown(&server, first).await["state"], "withdrawn");
    assert!(server.poll("refund", 1).await.is_empty());

    let mut slow = agent("slow", &script(&[calls(["refund"])]), refund());
    slow["timeoutSeconds"] = json!(1);
    let timed = server.start_run(&slow, "Go.").await;
    let question = only(&server, &timed).await;
    server.until(&timed, "TIMED_OUT").await;
    assert_eq!(shown(&server, &question).await["state"], "withdrawn");
    invariants::hold(&database.connect().await, &[id, timed]).await;
}

#[tokio::test]
async fn what_nobody_decides_in_time_is_denied_approved_or_asked_of_others() {
    let (database, server) = server().await;
    let wait = |then: Value| {
        let mut approval = json!({ "timeoutSeconds": 0.3, "group": "leads" });
        approval.as_object_mut().unwrap().extend(then.as_object().unwrap().clone());
        json!([gated("refund", &approval)])
    };
    let denied = run(&server, wait(json!({ "onTimeout": "deny" })), ["refund"]).await;
    server.until(&denied, "COMPLETED").await;
    let told = server.conversation(&denied).await;
    assert!(
        told.iter().any(|(_, text)| text.contains("nobody decided about this call of 'refund' in time")),
        "{told:?}"
    );

    let approved = run(&server, wait(json!({ "onTimeout": "approve" })), ["refund"]).await;
    let task = server.take("refund").await;
    server.complete(&task, &json!({})).await;
    server.until(&approved, "COMPLETED").await;

    let escalated = run(
        &server,
        wait(json!({ "timeoutSeconds": 2, "onTimeout": "escalate", "escalateTo": "bosses" })),
        ["refund"],
    )
    .await;
    let question = only(&server, &escalated).await;
    let now = within(Duration::from_secs(10), "others are asked", async || {
        let now = shown(&server, &question).await;
        (now["group"] == "bosses").then_some(now)
    })
    .await;
    assert_eq!((&now["state"], &now["onExpiry"]), (&json!("pending"), &json!("deny")));
    decide(&server, &question, &json!({ "decision": "deny", "by": "boss", "reason": "no" })).await.ok();
    server.until(&escalated, "COMPLETED").await;
    assert_eq!(count(&server.events(&escalated).await, "approval_escalated"), 1);

    let list = server.get("/api/v1/approvals?state=decided&tool=refund&group=leads").await.ok();
    let by: Vec<_> = list["approvals"].as_array().unwrap().iter().map(|a| &a["decision"]["via"]).collect();
    assert_eq!(by, ["clock", "clock"]);
    invariants::hold(&database.connect().await, &[denied, approved, escalated]).await;
}

#[tokio::test]
async fn several_of_a_group_must_agree_on_the_same_arguments_and_nobody_counts_twice() {
    let (database, server) = server().await;
    let db = database.connect().await;
    db.batch_execute(
        "insert into tenure.group_members values ('leads', 'mira'), ('leads', 'tomek'), ('leads', 'jana')",
    )
    .await
    .unwrap();
    let id =
        run(&server, json!([gated("refund", &json!({ "group": "leads", "quorum": 2 }))]), ["refund"]).await;
    let question = only(&server, &id).await;
    let approve = |by: &str, more: Value| {
        let mut what = json!({ "decision": "approve", "by": by });
        what.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        what
    };
    let stranger = decide(&server, &question, &approve("eve", json!({}))).await.refused(400);
    assert!(stranger.contains("eve does not belong to leads"), "{stranger}");
    let first = decide(&server, &question, &approve("mira", json!({}))).await.ok();
    assert_eq!((&first["outcome"], &first["message"]), (&json!("voted"), &json!("1 of 2 approved")));
    let again = decide(&server, &question, &approve("mira", json!({}))).await.refused(409);
    assert!(again.contains("mira has approved it already"), "{again}");
    let other =
        decide(&server, &question, &approve("tomek", json!({ "arguments": { "amount": 1 } }))).await.ok();
    assert_eq!(other["outcome"], "voted", "those are other arguments");
    assert!(server.why(&id).await[0].1.contains("2 of 2 approved"), "{:?}", server.why(&id).await);
    assert!(server.poll("refund", 1).await.is_empty());
    let last =
        decide(&server, &question, &approve("jana", json!({ "arguments": { "amount": 1 } }))).await.ok();
    assert_eq!(last["outcome"], "decided");
    assert_eq!(server.take("refund").await["inputData"]["amount"], 1);
    assert_eq!(shown(&server, &question).await["votes"].as_array().unwrap().len(), 3);
    invariants::hold(&db, &[id]).await;
}

#[tokio::test]
async fn a_decision_in_psql_reaches_the_run_and_is_bound_to_what_was_shown() {
    let (database, server) = server().await;
    let db = database.connect().await;
    let id = run(&server, refund(), ["refund"]).await;
    let question = only(&server, &id).await;
    let (outcome, _) = sql(&db, &format!("'{question}', 'approve', by => 'mira', shown => 'another'")).await;
    assert_eq!(outcome, "stale");
    let hash = shown(&server, &question).await["argumentsHash"].as_str().unwrap().to_owned();
    let (outcome, said) =
        sql(&db, &format!("'{question}', 'approve', by => 'mira', shown => '{hash}'")).await;
    assert_eq!(outcome, "decided");
    assert!(said.starts_with("it was approved by mira at 2"), "{said}");
    server.take("refund").await;
    let (outcome, again) = sql(&db, &format!("'{question}', 'deny', reason => 'no'")).await;
    assert_eq!((outcome.as_str(), again.as_str()), ("taken", said.as_str()));
    assert_eq!(sql(&db, "gen_random_uuid(), 'approve'").await.0, "unknown");
    assert_eq!(sql(&db, &format!("'{question}', 'approve', by => ' '")).await.0, "taken");

    // Nobody checks what is changed in psql before a server does.
    let id = run(&server, refund(), ["refund"]).await;
    let question = only(&server, &id).await;
    let odd = format!("'{question}', 'approve', by => 'mira', arguments => '{{\"amount\": \"lots\"}}'");
    assert_eq!(sql(&db, &odd).await.0, "decided");
    server.until(&id, "COMPLETED").await;
    let told = server.conversation(&id).await;
    assert!(told.iter().any(|(_, text)| text.contains("do not fit the tool: amount: ")), "{told:?}");
    assert!(server.poll("refund", 1).await.is_empty());
    invariants::hold(&db, &[id]).await;
}

#[tokio::test]
async fn what_was_decided_stays_also_for_whoever_has_psql() {
    let (database, server) = server().await;
    let db = database.connect().await;
    let id = run(&server, refund(), ["refund"]).await;
    let question = only(&server, &id).await;
    decide(&server, &question, &json!({ "decision": "deny", "by": "mira", "reason": "no" })).await.ok();
    for (statement, word) in [
        ("update tenure.approvals set decision = 'approved'", "what was decided stays"),
        ("update tenure.approvals set arguments = '{}'", "what was decided stays"),
        ("delete from tenure.approvals", "stay as long as their run"),
        ("delete from tenure.approval_votes", "stay as long as their run"),
        ("truncate tenure.approvals", "only ever added to"),
        ("update tenure.approval_votes set voter = 'eve'", "only ever added to"),
    ] {
        let error = db.batch_execute(statement).await.unwrap_err();
        let said = error.as_db_error().unwrap().message();
        assert!(said.contains(word), "{statement}: {said}");
    }
}

/// `tenure approvals …` against a server: its exit code, and what it printed.
fn cli(server: &Server, args: &[&str]) -> (Option<i32>, String) {
    let args = [&["--server", server.base(), "approvals"], args].concat();
    let done = tenure(&args).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_shows_and_decides() {
    let (database, server) = server().await;
    assert_eq!(cli(&server, &["list"]), (Some(0), "nothing waits for a decision\n".to_owned()));
    let tools = json!([gated("refund", &json!({ "group": "leads", "timeoutSeconds": 3600 })), human("ask")]);
    let id = run(&server, tools, ["refund", "refund", "ask"]).await;
    let all = asked(&server, &id, 3).await;
    let [first, second, question] = [0, 1, 2].map(|i| all[i]["id"].as_str().unwrap());

    let (code, list) = cli(&server, &["list", "--tool", "refund"]);
    assert!(
        code == Some(0) && list.contains(first) && list.contains("leads") && !list.contains(question),
        "{list}"
    );
    let (code, shown) = cli(&server, &["show", first]);
    assert!(
        code == Some(0) && shown.starts_with("refund  pending\n") && shown.contains("then deny"),
        "{shown}"
    );
    let (code, wrong) = cli(&server, &["approve", first, "--set", "amount=501"]);
    assert!(code == Some(5) && wrong.contains("do not fit 'refund'"), "{wrong}");
    let (code, said) =
        cli(&server, &["approve", first, "--set", "amount=12", "--set", "for=7", "--by", "mira"]);
    assert!(code == Some(0) && said.contains("it was approved by mira"), "{said}");
    assert_eq!(
        server.take("refund").await["inputData"],
        json!({
            "for": "7", "amount": 12, "method": "refund", "_agent_state": {},
            "_idempotency_key": format!("{id}/{}__1", shown_call(&server, first).await),
        })
    );
    let (code, late) = cli(&server, &["deny", first, "--reason", "no"]);
    assert!(code == Some(5) && late.contains("409") && late.contains("approved by mira"), "{late}");
    let (code, said) =
        cli(&server, &["--json", "deny", second, "--note", "twice is too much", "--by", "mira"]);
    assert_eq!(code, Some(0), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["approval"]["decision"]["via"], "cli");
    let (code, said) = cli(&server, &["answer", question, "the", "blue", "one"]);
    assert!(code == Some(0) && said.starts_with("ask  it was answered by "), "{said}");
    let (code, said) = cli(&server, &["approve", "0199f0aa-0000-7000-8000-000000000001"]);
    assert!(code == Some(3) && said.contains("no approval with id"), "{said}");
    let (code, list) = cli(&server, &["list", "--decided"]);
    assert!(
        code == Some(0) && list.contains("approved, edited") && list.contains("twice is too much"),
        "{list}"
    );
    invariants::hold(&database.connect().await, &[id]).await;
}

async fn shown_call(http: &Http, id: &str) -> String {
    shown(http, id).await["callId"].as_str().unwrap().to_owned()
}

/// Approvals, and decisions about each; `just approvals` takes more.
fn scale() -> (usize, usize) {
    let number = |name: &str, otherwise: usize| {
        std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
    };
    (number("TENURE_TEST_APPROVALS", 30), number("TENURE_TEST_DECISIONS", 16))
}

#[tokio::test]
async fn of_many_contradicting_decisions_exactly_one_counts() {
    let database = TestDb::new().await;
    let (server, other) = tokio::join!(Server::start(&database), Server::start(&database));
    let (many, each) = scale();
    let mut runs = vec![];
    for _ in 0..many {
        runs.push(run(&server, refund(), ["refund"]).await);
    }
    // Every question by all of them at once, and two questions at a time.
    let [here, there] = [&server, &other].map(|server| Http::new(server.base().to_owned()));
    let says_so = |n: usize, question: String, id: String| {
        let (http, url) = (if n.is_multiple_of(2) { &here } else { &there }, database.url());
        async move {
            let (who, verb) = (format!("person-{n}"), if n.is_multiple_of(3) { "deny" } else { "approve" });
            match n % 8 {
                // psql, by a connection of its own
                6 => {
                    let client = tokio_postgres_of(url).await;
                    let call = format!("'{question}', '{verb}', by => '{who}', reason => 'so'");
                    sql(&client, &call).await.0 == "decided"
                }
                // the protocol
                7 => {
                    let answer = json!({ "approved": n % 2 == 1, "reason": "so" });
                    respond(http, &id, &answer).await.status == 200
                }
                _ => {
                    let what = json!({ "decision": verb, "by": who, "reason": "so" });
                    let answer = decide(http, &question, &what).await;
                    assert!(matches!(answer.status, 200 | 409), "{answer:?}");
                    answer.status == 200
                }
            }
        }
    };
    let decided = stream::iter(&runs).map(async |id| {
        let question = only(&server, id).await;
        let said = join_all((0..each).map(|n| says_so(n, question.clone(), id.clone()))).await;
        said.into_iter().filter(|counts| *counts).count()
    });
    let decided: Vec<_> = decided.buffer_unordered(2).collect().await;
    assert_eq!(decided, vec![1; many], "of all decisions about a question exactly one counts");
    let db = database.connect().await;
    eventually("all were delivered", async || {
        let row = db
            .query_one("select count(*) from tenure.approvals where delivered_at is null", &[])
            .await
            .unwrap();
        (row.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    let row = db
        .query_one(
            "select count(*) filter (where decision = 'approved'), (select count(*) from tenure.tasks where kind = 'tool')
               from tenure.approvals",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), row.get::<_, i64>(1), "what was approved runs, and nothing else");
    invariants::hold(&db, &runs).await;
}

async fn tokio_postgres_of(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn a_decision_and_a_cancel_never_both_win() {
    let (database, server) = server().await;
    let mut runs = vec![];
    for n in 0..20 {
        let id = run(&server, refund(), ["refund"]).await;
        let question = only(&server, &id).await;
        let cancel = format!("/api/agent/{id}/cancel?reason=race");
        let approve = json!({ "decision": "approve", "by": "mira" });
        let (decided, _) = if n % 2 == 0 {
            tokio::join!(decide(&server, &question, &approve), server.delete(&cancel))
        } else {
            let (cancelled, decided) =
                tokio::join!(server.delete(&cancel), decide(&server, &question, &approve));
            (decided, cancelled)
        };
        let state = shown(&server, &question).await["state"].clone();
        assert_eq!(state, if decided.status == 200 { "approved" } else { "withdrawn" });
        server.until(&id, "TERMINATED").await;
        runs.push(id);
    }
    assert!(server.poll("refund", 1).await.is_empty(), "a cancelled run has nothing in the queue");
    invariants::hold(&database.connect().await, &runs).await;
}

#[tokio::test]
async fn a_question_waits_through_restarts() {
    let (database, mut server) = server().await;
    let id = run(&server, refund(), ["refund"]).await;
    let question = only(&server, &id).await;
    let restarts = std::env::var("TENURE_TEST_RESTARTS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    for _ in 0..restarts {
        server.restart().await;
        assert_eq!(server.status(&id).await["isWaiting"], true);
    }
    decide(&server, &question, &json!({ "decision": "approve", "by": "mira" })).await.ok();
    server.restart().await;
    let task = server.take("refund").await;
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_decides_nothing() {
    let (_database, server) = server().await;
    let id = run(&server, refund(), ["refund"]).await;
    let question = only(&server, &id).await;
    let nobody = "0199f0aa-0000-7000-8000-000000000001";
    let approve = json!({ "decision": "approve", "by": "mira" });
    decide(&server, nobody, &approve).await.refused(404);
    decide(&server, "x'; drop table", &approve).await.refused(404);
    server.get("/api/v1/approvals/nonsense").await.refused(404);
    server.get("/api/v1/approvals?state=odd").await.refused(400);
    server.get("/api/v1/approvals?limit=0").await.refused(400);
    server.get("/api/v1/approvals?after=x").await.refused(404);
    respond(&server, nobody, &json!({ "approved": true })).await.refused(404);
    for wrong in [
        json!({}),
        json!({ "decision": "maybe" }),
        json!({ "decision": "answer", "answer": "x", "by": "m" }),
        json!({ "decision": "answer", "by": "m" }),
        json!({ "decision": "deny", "reason": "x", "arguments": {} }),
        json!({ "decision": "approve", "surprise": 1 }),
        json!({ "decision": "approve", "by": "m".repeat(101) }),
        json!({ "decision": "deny", "reason": "r".repeat(2001) }),
        json!([]),
    ] {
        let answer = decide(&server, &question, &wrong).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text);
    }
    let path = format!("/api/v1/approvals/{question}/decide");
    assert_eq!(server.post_bytes(&path, "{").await.status, 400);
    assert_eq!(server.post_bytes(&path, vec![b' '; 9 * 1024 * 1024]).await.status, 413);
    let stale = json!({ "decision": "approve", "by": "mira", "argumentsHash": "0".repeat(64) });
    assert!(decide(&server, &question, &stale).await.refused(409).contains("look at it again"));
    assert_eq!(shown(&server, &question).await["state"], "pending");
    // Text that Postgres refuses comes back as it was sent.
    let odd = json!({ "decision": "deny", "by": "mira", "reason": "a\u{0}b" });
    decide(&server, &question, &odd).await.ok();
    assert_eq!(shown(&server, &question).await["decision"]["reason"], "a\u{0}b");
}

#[tokio::test]
async fn a_fork_asks_people_again_and_never_runs_a_call_that_was_approved_for_the_original() {
    let (database, server) = server().await;
    let id = run(&server, refund(), ["refund"]).await;
    let first = only(&server, &id).await;
    let events = server.events(&id).await;
    let asked_at = events.iter().position(|e| e == "approval_asked").unwrap() + 1;
    decide(&server, &first, &json!({ "decision": "approve", "by": "mira", "reason": "fine" })).await.ok();
    server.complete(&server.take("refund").await, &json!({})).await;
    server.until(&id, "COMPLETED").await;

    let fork = format!("/api/v1/executions/{id}/fork");
    for at in [asked_at - 1, asked_at] {
        let copy = server.post(&fork, &json!({ "at": at })).await.ok();
        let copy = copy["executionId"].as_str().unwrap().to_owned();
        let again = only(&server, &copy).await;
        assert_ne!(again, first);
        assert!(server.poll("refund", 1).await.is_empty(), "it ran undecided");
        decide(&server, &again, &json!({ "decision": "deny", "by": "tomek", "reason": "no" })).await.ok();
        server.until(&copy, "COMPLETED").await;
        let n = server.events(&copy).await.len() - 1;
        server.post(&format!("/api/v1/executions/{copy}/fork"), &json!({ "at": n })).await.ok();
    }
    let events = server.events(&id).await;
    let called_at = events.iter().position(|e| e == "tool_called").unwrap() + 1;
    let refused = server.post(&fork, &json!({ "at": called_at })).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains(&format!("go on from event {asked_at}")), "{}", refused.text);
    let copy = server.post(&fork, &json!({ "at": called_at + 1 })).await.ok();
    server.until(copy["executionId"].as_str().unwrap(), "COMPLETED").await;
    invariants::hold(&database.connect().await, &[]).await;
}

#[tokio::test]
async fn a_fork_asks_anew_also_past_an_edited_approval_an_answer_and_an_escalation() {
    let (database, server) = server().await;
    let approval =
        json!({ "group": "leads", "timeoutSeconds": 1, "onTimeout": "escalate", "escalateTo": "bosses" });
    let tools = json!([gated("refund", &approval), human("ask")]);
    let id = run(&server, tools, ["refund", "ask"]).await;
    let both = asked(&server, &id, 2).await;
    let of = |tool: &str| both.iter().find(|a| a["tool"] == tool).unwrap()["id"].as_str().unwrap().to_owned();
    let (refund, question) = (of("refund"), of("ask"));
    within(Duration::from_secs(10), "others are asked", async || {
        (shown(&server, &refund).await["group"] == "bosses").then_some(())
    })
    .await;
    let escalated = server.events(&id).await.len();
    decide(&server, &question, &json!({ "decision": "answer", "by": "mira", "answer": "blue" })).await.ok();
    let answered = server.events(&id).await.len();
    let edit = json!({ "decision": "approve", "by": "boss", "arguments": { "amount": 1 } });
    decide(&server, &refund, &edit).await.ok();
    let task = server.take("refund").await;
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;

    let fork = format!("/api/v1/executions/{id}/fork");
    for (at, open) in [(escalated, 2), (answered, 1)] {
        let copy =
            server.post(&fork, &json!({ "at": at })).await.ok()["executionId"].as_str().unwrap().to_owned();
        let again = asked(&server, &copy, open).await;
        let refund = again.iter().find(|a| a["tool"] == "refund").unwrap();
        assert_eq!(refund["group"], "leads", "it begins with those whose decision it is");
        assert!(server.poll("refund", 1).await.is_empty(), "it ran undecided");
        server.delete(&format!("/api/agent/{copy}/cancel?reason=enough")).await.ok();
    }
    // Past the result nobody is asked, and the model knows what was answered and changed.
    let events = server.events(&id).await;
    let returned = events.iter().position(|e| e == "tool_returned").unwrap() + 1;
    let copy =
        server.post(&fork, &json!({ "at": returned })).await.ok()["executionId"].as_str().unwrap().to_owned();
    server.until(&copy, "COMPLETED").await;
    let told = server.conversation(&copy).await;
    assert!(told.iter().any(|(_, text)| text.contains("was not given and is now 1")), "{told:?}");
    assert!(told.iter().any(|(_, text)| text.contains("blue")), "{told:?}");
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_channel_refuses_what_is_unknown_too_large_or_too_late() {
    let (_database, server) = server().await;
    let id = run(&server, refund(), ["refund"]).await;
    let question = only(&server, &id).await;
    let nobody = "0199f0aa-0000-7000-8000-000000000001";

    // The page, by a browser that has its token.
    let page = server.request("GET", &format!("/approvals/{question}")).header("accept", "text/html");
    let page = page.send().await.unwrap();
    let cookie = page.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let html = page.text().await.unwrap();
    let token = html.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = async |path: &str, body: String| {
        let request = server.request("POST", path).header("cookie", &cookie).header("accept", "text/html");
        Http::send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    };
    let path = format!("/approvals/{question}/decide");
    let deny = format!("token={token}&decision=deny&note=no&by=mira");
    for (path, body, status) in [
        (path.as_str(), "decision=deny&note=no".to_owned(), 403),
        (path.as_str(), format!("token={token}"), 400),
        (path.as_str(), format!("token={token}&decision=approve&json=%7B"), 422),
        (path.as_str(), format!("token={token}&decision=approve&hash={}", "0".repeat(64)), 409),
        (path.as_str(), format!("{deny}&more={}", "x".repeat(2 << 20)), 413),
        (path.as_str(), format!("token={token}&decision=deny&note={}", "x".repeat(3000)), 400),
        (&format!("/approvals/{nobody}/decide"), deny.clone(), 404),
        ("/approvals/nonsense/decide", deny.clone(), 404),
    ] {
        let answer = form(path, body.clone()).await;
        assert_eq!(answer.status, status, "{path} {}: {}", &body[..body.len().min(200)], answer.text);
    }
    // The protocol.
    let respond_path = format!("/api/agent/{id}/respond");
    assert_eq!(server.post_bytes(&respond_path, "{").await.status, 400);
    assert_eq!(server.post_bytes(&respond_path, vec![b' '; 9 << 20]).await.status, 413);
    respond(&server, &id, &json!([1])).await.refused(400);
    assert_eq!(shown(&server, &question).await["state"], "pending");

    // Too late: who decided what is said everywhere.
    decide(&server, &question, &json!({ "decision": "deny", "by": "tomek", "reason": "no" })).await.ok();
    let late = form(&path, deny).await;
    assert!(late.status == 409 && late.text.contains("denied by tomek at "), "{}", late.text);
    let (code, late) = cli(&server, &["approve", &question]);
    assert!(code == Some(5) && late.contains("denied by tomek at "), "{late}");
    let (code, late) = cli(&server, &["ask", nobody, "why?"]);
    assert!(code == Some(3) && late.contains("no approval with id"), "{late}");
    let late = decide(&server, &question, &json!({ "decision": "ask", "by": "m", "reason": "?" }))
        .await
        .refused(409);
    assert!(late.contains("denied by tomek at "), "{late}");
}
