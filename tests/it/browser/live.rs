//! Open pages follow what happens, and lose and repeat nothing when the server dies.

use serde_json::json;

use super::Window;
use crate::harness::{Server, TestDb, agent, calls, says, script, tools};

/// Numbers of the events on the page.
async fn events(window: &Window) -> Vec<u32> {
    window
        .ask("return [...document.querySelectorAll('#events .seq')].map(e => Number(e.textContent))", &[])
        .await
}

/// Open a page and make sure that it follows; from here on it is known when it was loaded again.
async fn open(window: &Window, server: &Server, path: &str) {
    window.go(&format!("{}{path}", server.base())).await;
    window.ask::<()>("window.stays = true", &[]).await;
    follows(window).await;
}

async fn follows(window: &Window) {
    let script = "const live = document.querySelector('#live'); return !live.hidden && live.textContent == arguments[0]";
    window.comes_to("is live", script, "Live").await;
}

#[tokio::test]
async fn an_open_run_shows_what_the_model_says_while_it_says_it() {
    let Some(window) = Window::open().await else { return };
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[calls(["lookup"]), says(&"It appeared in 1859. <b>&amp;</b> ".repeat(12))]);
    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When did it appear?").await;
    let task = server.take("lookup").await;
    open(&window, &server, &format!("/execution/{id}")).await;
    // Whatever is shown is kept, so that nothing depends on how fast we look.
    let keep = "const said = document.querySelector('#speech pre'); window.said = [];
        new MutationObserver(() => window.said.push(said.textContent)).observe(said, { childList: true })";
    window.ask::<()>(keep, &[]).await;
    server.complete(&task, &json!({ "page": "one" })).await;
    let all = "return document.querySelector('.pill').textContent == arguments[0]";
    window.comes_to("shows the end", all, "Completed").await;
    let hidden = "return String(document.querySelector('#speech').hidden) == arguments[0]";
    window.comes_to("hides what is a message now", hidden, "true").await;
    let said: Vec<String> = window.ask("return window.said", &[]).await;
    assert!(said.len() > 2, "{said:?}");
    assert!(said.windows(2).all(|two| two[1].starts_with(&two[0])), "{said:?}");
    assert_eq!(said.last().unwrap().trim(), "It appeared in 1859. <b>&amp;</b> ".repeat(12).trim());
    assert_eq!(window.complaints().await, [""; 0]);
}

#[tokio::test]
async fn an_open_page_follows_its_run_also_over_the_death_of_the_server() {
    let Some(window) = Window::open().await else { return };
    let db = TestDb::new().await;
    let mut server = Server::start(&db).await;
    let model =
        script(&[calls(["lookup"]), calls(["lookup"]), calls(["lookup"]), says("It appeared in 1859.")]);
    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When did it appear?").await;
    let first = server.take("lookup").await;

    open(&window, &server, &format!("/execution/{id}/events")).await;
    server.complete(&first, &json!({ "page": "one" })).await;
    window.comes_to_show("Tool lookup returned").await;
    window.comes_to_show("Turn 2: tool lookup is called").await;
    let second = server.take("lookup").await;
    assert_eq!(window.complaints().await, [""; 0]);

    server.kill();
    window
        .comes_to(
            "says that it has lost the server",
            "return document.querySelector('#live').textContent == arguments[0]",
            "Reconnecting",
        )
        .await;
    server.start_again();
    server.ready().await;
    server.complete(&second, &json!({ "page": "two" })).await;
    let third = server.take("lookup").await;
    server.complete(&third, &json!({ "page": "three" })).await;
    server.until(&id, "COMPLETED").await;
    window
        .comes_to(
            "shows the end",
            "return document.querySelector('.pill').textContent == arguments[0]",
            "Completed",
        )
        .await;
    follows(&window).await;

    let all: Vec<u32> = (1..).take(server.events(&id).await.len()).collect();
    window
        .comes_to(
            "shows as many events",
            "return document.querySelectorAll('#events .seq').length == arguments[0]",
            &all.len().to_string(),
        )
        .await;
    let mut shown = events(&window).await;
    shown.sort_unstable();
    assert_eq!(shown, all, "each event once, none missing");
    assert!(window.ask::<bool>("return window.stays === true", &[]).await, "the page was loaded again");
    let lost = |complaint: &String| !complaint.contains("net::ERR_");
    assert_eq!(window.complaints().await.into_iter().filter(lost).collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test]
async fn what_a_person_opened_and_typed_stays_while_the_page_follows() {
    let Some(window) = Window::open().await else { return };
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[calls(["lookup"]), calls(["lookup"]), says("Done.")]);
    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When did it appear?").await;
    let task = server.take("lookup").await;

    open(&window, &server, &format!("/execution/{id}/events")).await;
    window.click("details.drop:has([action$=cancel]) summary").await;
    window.click("[name=reason]").await;
    window.press("The wrong").await;
    server.complete(&task, &json!({ "page": "one" })).await;
    window.comes_to_show("Turn 2").await;
    window.press(" book").await;
    let typed: String =
        window.ask("return document.querySelector('details[open] [name=reason]').value", &[]).await;
    assert_eq!(typed, "The wrong book");
    assert_eq!(window.focus().await, "input[name=reason]");

    // The form that was open all the time is still one of ours.
    window.follow("form[action$=cancel] button").await;
    assert!(window.text().await.contains("The wrong book"));
    assert_eq!(server.status(&id).await["status"], "TERMINATED");
    assert_eq!(window.complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_button_that_came_later_works() {
    let Some(window) = Window::open().await else { return };
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[calls(["lookup"]), says("Done.")]);
    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When did it appear?").await;
    server.take("lookup").await;

    open(&window, &server, &format!("/execution/{id}")).await;
    server.put(&format!("/api/agent/{id}/pause"), &json!(null)).await.ok();
    window
        .comes_to("can be resumed", "return !!document.querySelector(arguments[0])", "form[action$=resume]")
        .await;
    window.follow("form[action$=resume] button").await;
    assert_eq!(server.status(&id).await["status"], "RUNNING");
    assert!(window.text().await.contains("Running"));
    assert_eq!(window.complaints().await, [""; 0]);
}

#[tokio::test]
async fn rows_of_the_list_change_in_place_and_newer_ones_wait_to_be_asked_for() {
    let Some(window) = Window::open().await else { return };
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[calls(["lookup"]), says("Done.")]);
    let librarian = agent("librarian", &model, tools(["lookup"]));
    let mut ids = vec![];
    for n in 0..3 {
        ids.push(server.start_run(&librarian, &format!("Question {n}")).await);
    }
    let rows = async || -> Vec<String> {
        window
            .ask("return [...document.querySelectorAll('[data-row] input[name=id]')].map(e => e.value)", &[])
            .await
    };
    let newest_first = |ids: &[String]| ids.iter().rev().cloned().collect::<Vec<_>>();
    open(&window, &server, "/executions").await;
    assert_eq!(rows().await, newest_first(&ids));
    window.click(&format!("#r-{} input[type=checkbox]", ids[1])).await;

    let shown = ids.clone();
    for n in 3..7 {
        ids.push(server.start_run(&librarian, &format!("Question {n}")).await);
    }
    window.comes_to_show("4 newer executions").await;
    let task = server.take("lookup").await;
    server.complete(&task, &json!({})).await;
    let row = format!("#r-{}", task["workflowInstanceId"].as_str().unwrap());
    window
        .comes_to(
            "shows the new state in its row",
            "return document.querySelector(arguments[0])?.innerText.includes('Completed')",
            &row,
        )
        .await;
    assert_eq!(rows().await, newest_first(&shown), "nothing moves");
    let selected: Vec<String> = window
        .ask("return [...document.querySelectorAll('input[name=id]:checked')].map(e => e.value)", &[])
        .await;
    assert_eq!(selected, [shown[1].clone()], "what was selected stays so");
    assert!(window.ask::<bool>("return window.stays === true", &[]).await, "the page was loaded again");

    window.follow("a.fresh").await;
    assert_eq!(rows().await, newest_first(&ids));
    assert!(!window.text().await.contains("newer execution"));
    assert_eq!(window.complaints().await, [""; 0]);
}
