//! Rules of the house: which calls need a person, whatever their tool says; who may decide; and asking back.

use serde_json::{Value, json};

use crate::approvals::{asked, decide, only, run, shown};
use crate::forks::{page_of, press};
use crate::harness::{Answer, Http, Server, TestDb, agent, calls, eventually, says, script, tenure, tools};
use crate::invariants;

const POLICIES: &str = "/api/v1/approval-policies";

async fn server() -> (TestDb, Server) {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    (database, server)
}

async fn set(http: &Http, policy: &Value) -> Answer {
    http.post(POLICIES, policy).await
}

/// A run whose model wants to pay these amounts at once, with a tool that asks nobody by itself.
async fn pays(http: &Http, amounts: &[Value]) -> String {
    let call = |amount: &Value| json!({ "name": "pay", "arguments": { "order": { "amount": amount } } });
    let model = script(&[json!({ "calls": amounts.iter().map(call).collect::<Vec<_>>() }), says("done")]);
    http.start_run(&agent("cashier", &model, tools(["pay"])), "Pay.").await
}

#[tokio::test]
async fn a_policy_asks_above_a_threshold_and_says_that_it_did() {
    let (database, server) = server().await;
    let policy = json!({
        "name": "large payments", "tool": "pa*", "mode": "when", "argument": "order.amount", "above": 500,
        "group": "leads", "timeoutSeconds": 3600, "onTimeout": "deny", "by": "mira",
    });
    let set = set(&server, &policy).await.ok();
    assert_eq!(set["policies"][0]["says"], "when order.amount is above 500");
    assert_eq!(set["policies"][0]["setBy"], "mira");

    let id = pays(&server, &[json!(12), json!(500.5), json!("many")]).await;
    let questions = asked(&server, &id, 2).await;
    let first = questions[0]["id"].as_str().unwrap();
    let whole = shown(&server, first).await;
    assert_eq!((&whole["policy"], &whole["group"]), (&json!("large payments"), &json!("leads")));
    assert!(
        server.poll("pay", 1).await.is_empty(),
        "what needs nobody waits for the last decision of its turn"
    );
    let pending = &server.status(&id).await["pendingTool"];
    assert_eq!((&pending["tool_name"], pending["toolCalls"].as_array().unwrap().len()), (&json!("pay"), 2));
    decide(&server, first, &json!({ "decision": "approve", "by": "mira" })).await.ok();
    let second = questions[1]["id"].as_str().unwrap();
    decide(&server, second, &json!({ "decision": "deny", "by": "mira", "reason": "how many?" })).await.ok();
    for amount in [json!(500.5), json!(12)] {
        let task = server.take("pay").await;
        assert_eq!(task["inputData"]["order"]["amount"], amount);
        server.complete(&task, &json!({})).await;
    }
    server.until(&id, "COMPLETED").await;

    // A run that ends takes its questions with it, although no tool of it asks by itself.
    let ended = pays(&server, &[json!(9000)]).await;
    let question = only(&server, &ended).await;
    server.delete(&format!("/api/agent/{ended}/cancel?reason=enough")).await.ok();
    assert_eq!(shown(&server, &question).await["state"], "withdrawn");
    invariants::hold(&database.connect().await, &[id, ended]).await;
}

#[tokio::test]
async fn a_fork_is_ruled_as_its_original_was_and_asks_anew() {
    let (database, server) = server().await;
    set(&server, &json!({ "name": "all", "mode": "always", "tool": "pay" })).await.ok();
    let id = pays(&server, &[json!(1)]).await;
    let first = only(&server, &id).await;
    let at = server.events(&id).await.len();
    decide(&server, &first, &json!({ "decision": "approve", "by": "mira" })).await.ok();
    let task = server.take("pay").await;
    let called = server.events(&id).await.iter().position(|e| e == "tool_called").unwrap() + 1;
    server.delete(&format!("{POLICIES}/all")).await.ok();

    // Without the policy, too: what was asked is asked again, and what was approved for another run doesn't run.
    let fork = format!("/api/v1/executions/{id}/fork");
    let copy =
        server.post(&fork, &json!({ "at": at })).await.ok()["executionId"].as_str().unwrap().to_owned();
    let again = only(&server, &copy).await;
    assert_ne!(again, first);
    assert!(server.poll("pay", 1).await.is_empty(), "it ran undecided");
    let refused = server.post(&fork, &json!({ "at": called })).await.refused(409);
    assert!(refused.contains("was approved for the original run only"), "{refused}");
    decide(&server, &again, &json!({ "decision": "deny", "by": "mira", "reason": "no" })).await.ok();
    server.until(&copy, "COMPLETED").await;
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    let free = pays(&server, &[json!(1)]).await;
    server.complete(&server.take("pay").await, &json!({})).await;
    server.until(&free, "COMPLETED").await;
    invariants::hold(&database.connect().await, &[id, copy, free]).await;
}

#[tokio::test]
async fn what_a_tool_asks_by_itself_is_waived_only_by_a_policy_that_says_so() {
    let (database, server) = server().await;
    let gated = json!([{
        "name": "refund", "description": "r", "toolType": "worker", "approvalRequired": true,
        "inputSchema": { "type": "object" },
    }]);
    set(&server, &json!({ "name": "free", "mode": "never", "tool": "refund" })).await.ok();
    let asks = run(&server, gated.clone(), ["refund"]).await;
    let question = only(&server, &asks).await;
    assert_eq!(shown(&server, &question).await["policy"], Value::Null);
    set(&server, &json!({ "name": "free", "mode": "never", "tool": "refund", "waives": true })).await.ok();
    let goes = run(&server, gated, ["refund"]).await;
    let task = server.take("refund").await;
    assert_eq!(task["workflowInstanceId"], goes);
    server.complete(&task, &json!({})).await;
    server.until(&goes, "COMPLETED").await;
    invariants::hold(&database.connect().await, &[goes]).await;
}

#[tokio::test]
async fn whoever_started_a_run_does_not_approve_it_where_that_is_said() {
    let (database, server) = server().await;
    set(&server, &json!({ "name": "four eyes", "mode": "always", "notRequester": true })).await.ok();
    let model = script(&[calls(["pay"]), says("done")]);
    let start = json!({
        "agentConfig": agent("cashier", &model, tools(["pay"])), "prompt": "Pay.", "requestedBy": " Mira ",
    });
    let id = server.start_with(&start).await;
    let question = only(&server, &id).await;
    let approve = |by: &str| json!({ "decision": "approve", "by": by });
    let own = decide(&server, &question, &approve("mira")).await.refused(400);
    assert_eq!(own, "mira started this run, so somebody else decides");
    let page = server.get(&format!("/approvals/{question}.txt")).await;
    assert!(page.text.contains("four eyes"), "{}", page.text);
    decide(&server, &question, &approve("tomek")).await.ok();
    server.complete(&server.take("pay").await, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn a_person_asks_back_and_the_model_calls_again() {
    let (database, server) = server().await;
    let gated = json!([{
        "name": "refund", "description": "r", "toolType": "worker", "approvalRequired": true,
        "inputSchema": { "type": "object" },
    }]);
    let model = script(&[calls(["refund"]), calls(["refund"]), says("done")]);
    let id = server.start_run(&agent("careful", &model, gated), "Go.").await;
    let question = only(&server, &id).await;
    let ask = |reason: &str| json!({ "decision": "ask", "by": "mira", "reason": reason });
    let why = decide(&server, &question, &ask(" ")).await.refused(400);
    assert!(why.contains("says what"), "{why}");
    let made = decide(&server, &question, &ask("which photo shows it?")).await.ok();
    assert_eq!(made["approval"]["state"], "asked");
    assert!(made["message"].as_str().unwrap().starts_with("mira asked back at "), "{made}");
    let late =
        decide(&server, &question, &json!({ "decision": "approve", "by": "tomek" })).await.refused(409);
    assert!(late.contains("mira asked back at ") && late.contains("which photo"), "{late}");

    let second = asked(&server, &id, 1).await[0]["id"].as_str().unwrap().to_owned();
    assert_ne!(second, question, "the model called again, which is another question");
    let told = server.conversation(&id).await;
    assert!(
        told.iter()
            .any(|(role, text)| role == "tool" && text.contains("asks back") && text.contains("which photo")),
        "{told:?}"
    );
    let timeline = server.get(&format!("/api/executions/{id}/timeline")).await.text;
    assert!(timeline.contains("mira asked back about refund"), "{timeline}");
    decide(&server, &second, &json!({ "decision": "approve", "by": "mira" })).await.ok();
    server.complete(&server.take("refund").await, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn what_a_policy_can_not_mean_is_refused_with_the_reason() {
    let (_database, server) = server().await;
    for (wrong, word) in [
        (json!({ "name": "x", "mode": "sometimes" }), "always, never or when"),
        (json!({ "name": " ", "mode": "always" }), "name"),
        (json!({ "name": "x", "mode": "when", "above": 1 }), "which argument"),
        (json!({ "name": "x", "mode": "when", "argument": "a" }), "above or equals"),
        (json!({ "name": "x", "mode": "when", "argument": "a", "above": 1, "equals": 2 }), "not both"),
        (json!({ "name": "x", "mode": "always", "above": 1 }), "need mode to be when"),
        (json!({ "name": "x", "mode": "always", "waives": true }), "never"),
        (json!({ "name": "x", "mode": "never", "group": "g" }), "nobody is asked"),
        (json!({ "name": "x", "mode": "always", "quorum": 0 }), "quorum"),
        (json!({ "name": "x", "mode": "always", "onTimeout": "deny" }), "timeoutSeconds"),
        (json!({ "name": "x", "mode": "always", "surprise": 1 }), "surprise"),
        (json!({ "name": "a\u{0}b", "mode": "always" }), "NUL"),
    ] {
        let said = set(&server, &wrong).await.refused(400);
        assert!(said.contains(word), "{wrong}: {said}");
    }
    server.delete(&format!("{POLICIES}/unknown")).await.refused(404);
    assert_eq!(server.get(POLICIES).await.ok()["policies"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_sets_lists_and_removes_policies_for_every_server() {
    let (database, server) = server().await;
    let other = Server::start(&database).await;
    let policy = |args: &[&str]| {
        let args = [&["--server", server.base(), "approvals", "policy"], args].concat();
        let done = tenure(&args).output().unwrap();
        (done.status.code(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
    };
    let (code, said) = policy(&["list"]);
    assert!(code == Some(0) && said.starts_with("there are no policies"), "{said}");
    let (code, said) =
        policy(&["set", "large", "when", "--argument", "order.amount", "--above", "100", "--group", "leads"]);
    assert!(
        code == Some(0) && said.contains("when order.amount is above 100") && said.contains("leads"),
        "{said}"
    );
    let (code, said) = policy(&["set", "large", "when"]);
    assert!(code == Some(5) && said.contains("which argument"), "{said}");
    let page = server.request("GET", "/approvals").header("accept", "text/html");
    let page = Http::send(page).await.text;
    assert!(page.contains("when order.amount is above 100"), "{page}");

    // The other server hears of it within a second, without being told.
    eventually("the other server asks, too", async || {
        let id = pays(&other, &[json!(101)]).await;
        let waits = |events: Vec<String>| {
            if events.iter().any(|e| e == "approval_asked") {
                Some(true)
            } else {
                events.iter().any(|e| e == "tool_called").then_some(false)
            }
        };
        eventually("it goes on", async || waits(other.events(&id).await)).await.then_some(())
    })
    .await;
    let (code, said) = policy(&["remove", "large"]);
    assert_eq!((code, said.as_str()), (Some(0), "removed large\n"));
    let (code, said) = policy(&["remove", "large"]);
    assert!(code == Some(3) && said.contains("no policy has the name 'large'"), "{said}");
}

#[tokio::test]
async fn policies_are_set_changed_and_removed_on_their_page() {
    let (_database, server) = server().await;
    let page = "/approvals/policies";
    let typed = [
        ("name", "large <b>"),
        ("tool", "refund"),
        ("mode", "when"),
        ("argument", "amount"),
        ("above", "500"),
        ("group", "finance"),
        ("quorum", "2"),
        ("time", "90"),
        ("on_timeout", "deny"),
        ("not_requester", "on"),
        ("by", "mira"),
    ];
    let (status, location) = press(&server, page, page, &typed).await;
    assert_eq!((status, location.as_str()), (303, page));
    let all = server.get("/api/v1/approval-policies").await.ok();
    let set = &all["policies"][0];
    assert_eq!(
        (&set["name"], &set["above"], &set["group"], &set["quorum"], &set["timeoutSeconds"], &set["setBy"]),
        (&json!("large <b>"), &json!(500.0), &json!("finance"), &json!(2), &json!(5400.0), &json!("mira"))
    );
    assert_eq!((&set["notRequester"], &set["onTimeout"]), (&json!(true), &json!("deny")));

    // What the form shows of it says the same again.
    let (shown, _) = page_of(&server, "/approvals/policies?change=large%20%3Cb%3E").await;
    for part in
        ["value=\"large &#60;b&#62;\"", "value=\"500\"", "value=\"90\"", "name=\"not_requester\" checked"]
    {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
    let never = [("name", "large <b>"), ("tool", "refund"), ("mode", "never"), ("waives", "on")];
    assert_eq!(press(&server, page, page, &never).await.0, 303);
    let all = server.get("/api/v1/approval-policies").await.ok();
    assert_eq!((&all["policies"][0]["mode"], &all["policies"][0]["waives"]), (&json!("never"), &json!(true)));
    assert_eq!(all["policies"].as_array().unwrap().len(), 1);

    for (typed, word) in [
        ([("name", "x"), ("mode", "when"), ("above", "1")], "say which argument"),
        ([("name", "x"), ("mode", "always"), ("quorum", "many")], "quorum: must be a whole number"),
        ([("name", " "), ("mode", "always"), ("quorum", "")], "name: must be 1 to 100"),
    ] {
        let (status, _) = press(&server, page, page, &typed).await;
        assert_eq!(status, 422, "{word}");
    }
    let gone = press(&server, page, "/approvals/policies/remove", &[]).await;
    assert_eq!(gone.0, 303);
    assert_eq!(server.get("/api/v1/approval-policies").await.ok()["policies"], json!([]));
    assert!(page_of(&server, page).await.0.contains("No policies yet"));
    assert!(page_of(&server, "/approvals").await.0.contains("href=\"/approvals/policies\""));
}
