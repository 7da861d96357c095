//! People decide on pages: by keys, on a phone, and without a script.

use serde_json::{Value, json};

use super::{
    Window,
    window::{Screen, Theme},
};
use crate::harness::{Server, TestDb, agent, eventually, says, script};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const END: &str = "\u{e010}";
const BACKSPACE: &str = "\u{e003}";

/// A run that asks whether it may refund, and the id of its question.
async fn asks(server: &Server) -> (String, String) {
    let tools = json!([{
        "name": "refund", "description": "Pays money back.", "toolType": "worker", "approvalRequired": true,
        "inputSchema": { "type": "object", "properties": {
            "amount": { "type": "number", "maximum": 5000, "description": "In euros." },
            "currency": { "type": "string", "enum": ["EUR", "USD"] },
            "why": { "type": "string" },
        } },
    }]);
    let arguments = json!({ "amount": 1240.5, "currency": "EUR", "why": "arrived broken" });
    let model = script(&[json!({ "calls": [{ "name": "refund", "arguments": arguments }] }), says("Done.")]);
    let run = server.start_run(&agent("support", &model, tools), "Refund order 48211.").await;
    let question = eventually("the run asks", async || {
        let list = server.get(&format!("/api/v1/approvals?execution={run}")).await.ok();
        list["approvals"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    (run, question)
}

async fn shown(server: &Server, question: &str) -> Value {
    server.get(&format!("/api/v1/approvals/{question}")).await.ok()
}

#[tokio::test]
async fn an_approval_with_an_edit_by_keys_alone() {
    let Some(window) = Window::open().await else { return };
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let (_, question) = asks(&server).await;
    window.go(&format!("{}/executions", server.base())).await;
    window.follow_keys("gp").await;
    window.press("j").await;
    assert!(window.focus().await.contains(&question), "the first question has the focus");
    window.follow_keys(ENTER).await;
    assert!(window.text().await.contains("Refund order 48211."));
    window.press("e").await;
    assert_eq!(window.focus().await, "input[name=v:amount]");
    window.press(format!("{END}{}", BACKSPACE.repeat(6))).await;
    window.press("1190").await;
    window.comes_to_show("Approve with 1 edit").await;
    window.press(ENTER).await;
    assert_eq!(shown(&server, &question).await["state"], "pending", "Enter in a field decides nothing");
    window.press("\u{e00c}").await;
    window.press("a").await;
    let focus: String = window.ask("return document.activeElement.value", &[]).await;
    assert_eq!(focus, "approve");
    window.follow_keys(ENTER).await;
    window.comes_to_show("Approved with other arguments").await;
    let now = shown(&server, &question).await;
    assert_eq!((&now["state"], &now["edited"]["amount"]), (&json!("approved"), &json!(1190)));
    assert_eq!(server.take("refund").await["inputData"]["currency"], "EUR");
    assert_eq!(window.complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_denial_on_a_phone() {
    let Some(window) = Window::open().await else { return };
    window.look(Screen::PHONE, Theme::Dark).await;
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let (run, question) = asks(&server).await;
    window.go(&format!("{}/approvals", server.base())).await;
    window.follow(&format!("a[href='/approvals/{question}']")).await;
    assert!(window.sideways_scroll().await.is_empty(), "{:?}", window.sideways_scroll().await);
    assert_eq!(window.barriers().await, [""; 0]);
    window.keep_picture("approval-phone").await;
    window.follow("button[value=deny]").await;
    assert!(window.text().await.contains("Whoever denies says why"), "{}", window.text().await);
    window.go(&format!("{}/approvals/{question}", server.base())).await;
    // As a thumb does it: what is wanted stands in the middle, above the bars at the bottom.
    window
        .ask::<()>("document.querySelector('textarea[name=note]').scrollIntoView({ block: 'center' })", &[])
        .await;
    window.click("textarea[name=note]").await;
    window.press("Photo 2 shows older damage").await;
    window.follow("button[value=deny]").await;
    window.comes_to_show("Photo 2 shows older damage").await;
    assert_eq!(shown(&server, &question).await["state"], "denied");
    server.until(&run, "COMPLETED").await;
    let complaints = window.complaints().await;
    assert!(complaints.iter().all(|text| text.contains("status of 400")), "{complaints:?}");
}

#[tokio::test]
async fn decisions_where_no_script_runs() {
    let Some(window) = Window::open().await else { return };
    window.without_scripts().await;
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let (_, question) = asks(&server).await;
    window.go(&format!("{}/approvals/{question}", server.base())).await;
    window.click("select[name='v:currency'] option[value=USD]").await;
    window.click("input[name=by]").await;
    window.press("Mira").await;
    window.follow("button[value=approve]").await;
    let text = window.text().await;
    assert!(text.contains("Approved with other arguments by Mira"), "{text}");
    assert_eq!(shown(&server, &question).await["edited"]["currency"], "USD");

    // The name is kept, and the run's own page decides, too.
    let (run, question) = asks(&server).await;
    window.go(&format!("{}/execution/{run}", server.base())).await;
    window.click("form.asked textarea").await;
    window.press("no more today").await;
    window.follow("form.asked button[value=deny]").await;
    assert_eq!(window.driver().current_url().await.unwrap().path(), format!("/execution/{run}"));
    let now = shown(&server, &question).await;
    assert_eq!(
        (&now["decision"]["by"], &now["decision"]["reason"]),
        (&json!("Mira"), &json!("no more today"))
    );
    assert_eq!(window.complaints().await, [""; 0]);
}

#[tokio::test]
async fn an_outdated_page_says_who_was_first() {
    let Some(window) = Window::open().await else { return };
    window.without_scripts().await;
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let (_, question) = asks(&server).await;
    window.go(&format!("{}/approvals/{question}", server.base())).await;
    let what = json!({ "decision": "deny", "by": "tomek", "reason": "use anonymise instead" });
    server.post(&format!("/api/v1/approvals/{question}/decide"), &what).await.ok();
    window.follow("button[value=approve]").await;
    let text = window.text().await;
    assert!(text.contains("It was denied by tomek at ") && text.contains("use anonymise instead"), "{text}");
    assert!(window.complaints().await.iter().all(|text| text.contains("status of 409")));
}

#[tokio::test]
async fn an_open_page_shows_what_others_decide_and_keeps_what_is_typed() {
    let Some(window) = Window::open().await else { return };
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let (_, first) = asks(&server).await;
    window.go(&format!("{}/approvals/{first}", server.base())).await;
    window.press("e").await;
    window.press(TAB).await;
    window.click("textarea[name=note]").await;
    window.press("half a sentence").await;
    let (_, second) = asks(&server).await;
    window
        .comes_to(
            "lists the second",
            "return document.querySelector(`a[href='/approvals/${arguments[0]}']`) != null",
            &second,
        )
        .await;
    let typed: String = window.ask("return document.querySelector('textarea[name=note]').value", &[]).await;
    assert_eq!(typed, "half a sentence");
    let what = json!({ "decision": "approve", "by": "tomek" });
    server.post(&format!("/api/v1/approvals/{first}/decide"), &what).await.ok();
    window.comes_to_show("Approved by tomek").await;
    assert_eq!(window.complaints().await, [""; 0]);
}
