//! Runs that go on from other runs: fork at any event, retry, restart, rerun; through the API, the protocol, the command line
//! and the page.

use serde_json::{Value, json};

use crate::harness::{Server, TestDb, agent, calls, says, script, tenure, tools};
use crate::invariants;

async fn server() -> (TestDb, Server) {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    (database, server)
}

/// Begin a run that goes on from `id`.
async fn begin(server: &Server, id: &str, way: &str, how: Value) -> String {
    let answer = server.post(&format!("/api/v1/executions/{id}/{way}"), &how).await.ok();
    assert_eq!((&answer["forkedFrom"], &answer["as"]), (&json!(id), &json!(way)));
    answer["executionId"].as_str().unwrap().to_owned()
}

/// What a run's tables hold, as one text: to see that nobody wrote to it.
async fn tables(database: &TestDb, id: &str) -> String {
    let db = database.connect().await;
    let mut all = String::new();
    for table in ["executions", "events", "messages", "tasks", "results", "task_logs", "queue"] {
        let key = if table == "executions" { "id" } else { "execution_id" };
        let sql = format!(
            "select coalesce(string_agg(t::text, E'\\n' order by t::text), '') from tenure.{table} t where {key} = '{id}'"
        );
        all += &db.query_one(&sql, &[]).await.unwrap().get::<_, String>(0);
    }
    all
}

/// A run of two tools and an answer, to its end.
async fn told(server: &Server) -> (String, Value) {
    let model = script(&[calls(["look"]), calls(["act"]), says("done")]);
    let agent = agent("story", &model, tools(["look", "act"]));
    let id = server.start_run(&agent, "Go.").await;
    for tool in ["look", "act"] {
        let task = server.take(tool).await;
        server.complete(&task, &json!({ "said": tool, "_state_updates": { tool: 1 } })).await;
    }
    (id.clone(), server.until(&id, "COMPLETED").await["output"].clone())
}

#[tokio::test]
async fn a_run_can_be_forked_after_each_of_its_events_and_ends_the_same() {
    let (database, server) = server().await;
    let (id, output) = told(&server).await;
    let before = tables(&database, &id).await;
    let events = server.events(&id).await;
    for n in 0..events.len() {
        let copy = begin(&server, &id, "fork", json!({ "at": n })).await;
        let copied = &server.events(&copy).await[..=n];
        assert_eq!((&copied[..n], &*copied[n]), (&events[..n], "forked"), "after event {n}");
        for (tool, called) in [("look", 4), ("act", 8)] {
            let returned = called + 1;
            if n < returned {
                let task = server.take(tool).await;
                assert_eq!(task["workflowInstanceId"], json!(copy), "after event {n}");
                let key = task["inputData"]["_idempotency_key"].as_str().unwrap();
                assert!(key.starts_with(&copy), "{key}");
                server.complete(&task, &json!({ "said": tool, "_state_updates": { tool: 1 } })).await;
            }
        }
        assert_eq!(server.until(&copy, "COMPLETED").await["output"], output, "after event {n}");
        assert_eq!(server.poll("look", 1).await, [Value::Null; 0], "a copied step ran again");
    }
    assert_eq!(tables(&database, &id).await, before, "the original changed");
    invariants::hold(&database.connect().await, &[]).await;

    let end = server.post(&format!("/api/v1/executions/{id}/fork"), &json!({ "at": events.len() })).await;
    assert_eq!(end.status, 409, "{}", end.text);
    let beyond = server.post(&format!("/api/v1/executions/{id}/fork"), &json!({ "at": 99 })).await;
    assert_eq!(beyond.status, 400, "{}", beyond.text);
}

#[tokio::test]
async fn a_failed_run_is_retried_from_the_failed_step_and_its_tools_do_not_run_again() {
    let (database, server) = server().await;
    let model = script(&[calls(["look"]), json!({ "fail": { "status": 401 } })]);
    let id = server.start_run(&agent("fails", &model, tools(["look"])), "Go.").await;
    let task = server.take("look").await;
    server.complete(&task, &json!({ "seen": 1 })).await;
    server.until(&id, "FAILED").await;
    let before = tables(&database, &id).await;

    let other = script(&[calls(["look"]), says("better")]);
    let copy = begin(&server, &id, "retry", json!({ "model": other, "idempotencyKey": "once" })).await;
    assert_eq!(server.until(&copy, "COMPLETED").await["output"]["result"], "better");
    assert_eq!(
        server.events(&copy).await,
        [
            "started",
            "model_called",
            "model_replied",
            "tool_called",
            "tool_returned",
            "model_called",
            "forked",
            "model_replied",
            "completed"
        ]
    );
    assert_eq!(begin(&server, &id, "retry", json!({ "idempotencyKey": "once" })).await, copy);
    assert_eq!(tables(&database, &id).await, before);
    let db = database.connect().await;
    let copied =
        "select count(*) from tenure.results where execution_id = $1::text::uuid and copy_of is not null";
    assert_eq!(db.query_one(copied, &[&copy]).await.unwrap().get::<_, i64>(0), 2);
    invariants::hold(&db, &[]).await;

    let again = server.post(&format!("/api/v1/executions/{copy}/retry"), &json!({})).await;
    assert_eq!(again.status, 409, "{}", again.text);
    let forks = server.get(&format!("/api/v1/executions/{id}/forks")).await.ok();
    assert_eq!(
        (&forks["forks"][0]["executionId"], &forks["forks"][0]["as"]),
        (&json!(copy), &json!("retry"))
    );
    assert_eq!(forks["forks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_tool_call_is_rerun_with_other_arguments_and_the_model_reads_them_as_its_own() {
    let (database, server) = server().await;
    let (id, _) = told(&server).await;
    let how = json!({ "turn": 2, "call": 0, "arguments": { "for": "somebody else" } });
    let copy = begin(&server, &id, "rerun", how).await;
    let task = server.take("act").await;
    assert_eq!(task["inputData"]["for"], "somebody else");
    server.complete(&task, &json!({ "said": "act" })).await;
    server.until(&copy, "COMPLETED").await;
    let workflow = server.workflow(&copy).await;
    assert!(workflow.to_string().matches("somebody else").count() >= 2, "{workflow}");
    assert_eq!(server.poll("look", 1).await, [Value::Null; 0]);
    invariants::hold(&database.connect().await, &[]).await;

    for (how, status) in [
        (json!({ "turn": 7 }), 400),
        (json!({ "turn": 2, "call": 5 }), 400),
        (json!({ "turn": 2, "arguments": {} }), 400),
        (json!({ "turn": 2, "call": 0, "arguments": [1] }), 400),
        (json!({ "turn": 2, "model": "nothing" }), 400),
        (json!({ "trun": 2 }), 400),
    ] {
        let answer = server.post(&format!("/api/v1/executions/{id}/rerun"), &how).await;
        assert_eq!(answer.status, status, "{how}: {}", answer.text);
    }
    let unknown = "0199f0aa-0000-7000-8000-000000000001";
    assert_eq!(server.post(&format!("/api/v1/executions/{unknown}/retry"), &json!({})).await.status, 404);
}

#[tokio::test]
async fn a_restart_has_the_same_input_and_the_version_that_was_asked_for() {
    let (_database, server) = server().await;
    let first = server.start_run(&agent("twice", &script(&[says("one")]), json!([])), "Say.").await;
    server.until(&first, "COMPLETED").await;
    let second = agent("twice", &script(&[says("two")]), json!([]));
    server.post("/api/agent/deploy", &json!({ "agentConfig": second })).await.ok();
    for (how, result, prompt) in [
        (json!({}), "one", "Say."),
        (json!({ "version": "newest" }), "two", "Say."),
        (json!({ "version": 2, "prompt": "Say it." }), "two", "Say it."),
    ] {
        let copy = begin(&server, &first, "restart", how).await;
        assert_eq!(server.until(&copy, "COMPLETED").await["output"]["result"], result);
        assert_eq!(server.workflow(&copy).await["input"]["prompt"], prompt);
    }
    let missing = server.post(&format!("/api/v1/executions/{first}/restart"), &json!({ "version": 9 })).await;
    assert_eq!(missing.status, 409, "{}", missing.text);

    // A model that was tried in one run is not what the agent's next run gets.
    let other = script(&[says("three")]);
    let copy = begin(&server, &first, "restart", json!({ "model": other })).await;
    assert_eq!(server.until(&copy, "COMPLETED").await["output"]["result"], "three");
    let plain = server.post("/api/agent/start", &json!({ "name": "twice", "prompt": "Say." })).await.ok();
    let plain = plain["executionId"].as_str().unwrap();
    assert_eq!(server.until(plain, "COMPLETED").await["output"]["result"], "two");
}

#[tokio::test]
async fn a_held_run_is_forked_while_it_waits_and_only_the_copy_goes_on() {
    let (database, server) = server().await;
    let model = script(&[calls(["look", "act"]), says("done")]);
    let id = server.start_run(&agent("held", &model, tools(["look", "act"])), "Go.").await;
    let task = server.take("look").await;
    server.complete(&task, &json!({})).await;
    server.post(&format!("/api/agent/{id}/signal"), &json!({ "message": "hurry" })).await;
    server.put(&format!("/api/agent/{id}/pause"), &Value::Null).await;
    let n = server.events(&id).await.len();
    let copy = begin(&server, &id, "fork", json!({ "at": n })).await;
    let task = server.take("act").await;
    assert_eq!(task["workflowInstanceId"], json!(copy));
    server.complete(&task, &json!({})).await;
    server.until(&copy, "COMPLETED").await;
    let db = database.connect().await;
    let signals =
        "select content from tenure.messages where execution_id = $1::text::uuid and role = 'signal'";
    assert_eq!(db.query_one(signals, &[&copy]).await.unwrap().get::<_, &str>(0), "hurry");
    assert_eq!(server.status(&id).await["status"], "PAUSED");
    invariants::hold(&db, &[]).await;
}

#[tokio::test]
async fn the_protocol_and_the_command_line_begin_new_runs_too() {
    let (_database, server) = server().await;
    let id = server.start_run(&agent("wire", &script(&[says("hi")]), json!([])), "Go.").await;
    server.until(&id, "COMPLETED").await;
    let again =
        server.post(&format!("/api/workflow/{id}/restart?useLatestDefinitions=true"), &Value::Null).await;
    assert_eq!(again.status, 200, "{}", again.text);
    server.until(&again.text, "COMPLETED").await;
    let workflow = server.workflow(&id).await;
    let attempt =
        &workflow["tasks"].as_array().unwrap().iter().find(|t| t["taskType"] == "LLM_CHAT_COMPLETE").unwrap()
            ["taskId"];
    let rerun = json!({ "reRunFromTaskId": attempt, "workflowInput": { "prompt": "Other." } });
    let rerun = server.post(&format!("/api/agent/executions/{id}/rerun"), &rerun).await;
    assert_eq!(rerun.status, 200, "{}", rerun.text);
    server.until(&rerun.text, "COMPLETED").await;
    assert_eq!(server.workflow(&rerun.text).await["input"]["prompt"], "Other.");
    assert_eq!(server.post(&format!("/api/workflow/{id}/retry"), &Value::Null).await.status, 409);

    let told =
        tenure(&["agent", "fork", &id, "--at", "2", "--json", "--server", server.base()]).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    server.until(told["executionId"].as_str().unwrap(), "COMPLETED").await;
}

/// A page, and the cookie that its forms need.
pub async fn page_of(server: &Server, path: &str) -> (String, String) {
    let request = server.request("GET", path).header("accept", "text/html");
    let answer = request.send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    (answer.text().await.unwrap(), cookie)
}

/// Send a form; its status and where it leads.
async fn send(server: &Server, action: &str, cookie: &str, fields: &[(String, String)]) -> (u16, String) {
    let stay = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let request = stay
        .post(format!("{}{action}", server.base()))
        .header("cookie", cookie)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(serde_urlencoded::to_string(fields).unwrap());
    let answer = request.send().await.unwrap();
    let location =
        answer.headers().get("location").map(|l| l.to_str().unwrap().to_owned()).unwrap_or_default();
    (answer.status().as_u16(), location)
}

/// Send a form of a run's page as a browser without script does: the fields that are hidden in it, and others.
pub async fn press(server: &Server, page: &str, action: &str, typed: &[(&str, &str)]) -> (u16, String) {
    let (shown, cookie) = page_of(server, page).await;
    let form = shown.split("<form ").find(|f| f.contains(&format!("action=\"{action}\"")));
    let form = form.unwrap_or_else(|| panic!("no form {action} on {page}")).split("</form>").next().unwrap();
    let hidden = form.split("<input type=\"hidden\" ").skip(1).map(|input| {
        let part = |name: &str| {
            let text = input.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
            text.replace("&#60;", "<").replace("&#62;", ">").replace("&#34;", "\"").replace("&#38;", "&")
        };
        (part("name"), part("value"))
    });
    let typed = typed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    send(server, action, &cookie, &hidden.chain(typed).collect::<Vec<_>>()).await
}

/// The run that a form began.
fn begun((status, location): (u16, String)) -> String {
    assert_eq!(status, 303);
    location.strip_prefix("/execution/").unwrap().to_owned()
}

#[tokio::test]
async fn the_page_of_a_run_begins_new_ones_and_links_them() {
    let (_database, server) = server().await;
    let (id, _) = told(&server).await;
    let page = format!("/execution/{id}");
    let typed = [("prompt", "Otherwise."), ("version", "same"), ("model", "")];
    let restarted = begun(press(&server, &page, &format!("{page}/restart"), &typed).await);
    assert_eq!(server.workflow(&restarted).await["input"]["prompt"], "Otherwise.");
    let step = format!("{page}?step=tool-2-0");
    let typed = [("arguments", r#"{"for": "you"}"#), ("model", "")];
    let rerun = begun(press(&server, &step, &format!("{page}/rerun"), &typed).await);
    assert_eq!(server.take("act").await["inputData"]["for"], "you");
    let typed = [("at", "3"), ("model", "")];
    let forked = begun(press(&server, &format!("{page}?at=3"), &format!("{page}/fork"), &typed).await);

    let shown = page_of(&server, &page).await.0;
    for (words, id) in [
        ("Restarted as", &restarted),
        ("Rerun after event 8 as", &rerun),
        ("Forked after event 3 as", &forked),
    ] {
        assert!(
            shown.contains(words) && shown.contains(&format!("href=\"/execution/{id}\"")),
            "{words}: {shown}"
        );
    }
    assert!(!shown.contains("/retry\""), "what has completed has nothing to retry");
    let copy = page_of(&server, &format!("/execution/{forked}")).await.0;
    assert!(
        copy.contains("Goes on after event 3 of") && copy.contains(&format!("/execution/{id}?at=3")),
        "{copy}"
    );
    for n in 1..=4 {
        let then = server.get(&format!("/execution/{forked}.json?at={n}")).await.ok();
        assert_eq!((&then["events"], then["duration"].as_f64().unwrap() >= 0.0), (&json!(n), true), "{then}");
    }
    let wrong = [("at", "x"), ("model", "")];
    assert_eq!(press(&server, &format!("{page}?at=3"), &format!("{page}/fork"), &wrong).await.0, 400);
}

#[tokio::test]
async fn a_second_click_begins_no_second_run() {
    let (_database, server) = server().await;
    let (id, _) = told(&server).await;
    let page = format!("/execution/{id}");
    let (_, cookie) = page_of(&server, &page).await;
    let token = cookie.split('=').nth(1).unwrap();
    let fields = [("token", token), ("key", "first"), ("at", "3")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let action = format!("{page}/fork");
    let click = || send(&server, &action, &cookie, &fields);
    let (one, other) = tokio::join!(click(), click());
    assert_eq!(one, other);
    let forks = server.get(&format!("/api/v1/executions/{id}/forks")).await.ok();
    assert_eq!(forks["forks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn two_runs_are_compared_and_the_first_difference_is_marked() {
    let (_database, server) = server().await;
    let (id, _) = told(&server).await;
    let how = json!({ "turn": 2, "call": 0, "arguments": { "for": "somebody else" } });
    let copy = begin(&server, &id, "rerun", how).await;
    let behind = server.get(&format!("/diff.json?a={id}&b={copy}")).await.ok();
    assert_eq!(
        (&behind["first_turn"], &behind["first_is"]),
        (&json!(2), &json!("other outcome")),
        "{behind}"
    );
    let task = server.take("act").await;
    server.complete(&task, &json!({ "said": "act" })).await;
    server.until(&copy, "COMPLETED").await;
    let same = begin(&server, &id, "fork", json!({ "at": 9 })).await;
    server.until(&same, "COMPLETED").await;
    let same = server.get(&format!("/diff.json?a={id}&b={same}")).await.ok();
    assert_eq!(
        (&same["first_turn"], &same["verdict"]),
        (&Value::Null, &json!("They are the same, step by step."))
    );

    let (page, _) = page_of(&server, &format!("/diff?a={id}&b={copy}")).await;
    for part in ["They part in turn 2", "somebody else", "class=\"differs first\"", "class=\"add\""] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    assert!(page_of(&server, "/diff").await.0.contains("id of the first run"));
    let told = tenure(&["agent", "diff", &id, &copy, "--server", server.base()]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("They part in turn 2") && told.contains("other input"), "{told}");
    let unknown = server.get(&format!("/diff.json?a={id}&b=0199f0aa-0000-7000-8000-000000000001")).await;
    assert_eq!(unknown.status, 404, "{}", unknown.text);
    assert_eq!(server.get(&format!("/diff.json?a={id}")).await.status, 400);
}

#[tokio::test]
async fn a_conversation_goes_on_in_another_run_of_its_session() {
    let (_database, server) = server().await;
    let agent = agent("talk", &script(&[says("Hello, Ada.")]), json!([]));
    let first = server.start_run(&agent, "I am Ada.").await;
    server.until(&first, "COMPLETED").await;
    let next = json!({ "prompt": "Who am I?", "idempotencyKey": "once" });
    let path = format!("/api/v1/executions/{first}/continue");
    let second = server.post(&path, &next).await.ok()["executionId"].as_str().unwrap().to_owned();
    assert_eq!(server.post(&path, &next).await.ok()["executionId"], json!(second));
    server.until(&second, "COMPLETED").await;
    let input = server.workflow(&second).await["input"].clone();
    assert_eq!((&input["prompt"], &input["session_id"]), (&json!("Who am I?"), &json!(first)));
    let memory = json!([{ "role": "user", "message": "I am Ada." }, { "role": "assistant", "message": "Hello, Ada." }]);
    assert_eq!(input["memory"], memory);
    let told = tenure(&["agent", "continue", &second, "And now?", "--json", "--server", server.base()])
        .output()
        .unwrap();
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let third = told["executionId"].as_str().unwrap();
    server.until(third, "COMPLETED").await;
    let input = server.workflow(third).await["input"].clone();
    assert_eq!((input["memory"].as_array().unwrap().len(), &input["session_id"]), (4, &json!(first)));

    let page = format!("/execution/{third}");
    let fourth = begun(press(&server, &page, &format!("{page}/continue"), &[("prompt", "Go on.")]).await);
    server.until(&fourth, "COMPLETED").await;
    let (shown, _) = page_of(&server, &page).await;
    assert!(shown.contains(&format!("session%3A%22{first}%22")), "{shown}");
    let found = server.get(&format!("/executions.json?q=session:{first}")).await.ok();
    assert_eq!(found["executions"].as_array().unwrap().len(), 3, "{found}");
    assert_eq!(server.post(&path, &json!({ "prompt": " " })).await.status, 400);
}

#[tokio::test]
async fn what_a_copied_turn_cost_is_counted_once() {
    let (database, server) = server().await;
    let (id, _) = told(&server).await;
    let db = database.connect().await;
    let tokens = async || {
        let row = db.query_one(include_str!("../../sql/list/tokens.sql"), &[&1000_i64]).await.unwrap();
        (row.get::<_, i64>(1), row.get::<_, i64>(2))
    };
    let before = tokens().await;
    assert!(before.0 > 0 && before.1 > 0, "{before:?}");
    // After the last answer: no model is asked again.
    let copy = begin(&server, &id, "fork", json!({ "at": server.events(&id).await.len() - 1 })).await;
    server.until(&copy, "COMPLETED").await;
    assert_eq!(tokens().await, before);
}
