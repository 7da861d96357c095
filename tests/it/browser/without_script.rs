//! Everything can be read and done where no script runs.

use serde_json::json;

use super::{Window, pages, stage::Stage};
use crate::harness::{Server, TestDb, agent, calls, script, tools};

#[tokio::test]
async fn every_page_can_be_read() {
    let Some(window) = Window::open().await else { return };
    window.without_scripts().await;
    let stage = Stage::here().await;
    for page in pages::pages(stage) {
        window.go(&format!("{}{}", stage.base, page.path)).await;
        let text = window.text().await;
        assert!(text.contains(page.shows), "{}: no {:?} in {text}", page.path, page.shows);
        assert!(window.sideways_scroll().await.is_empty(), "{}", page.path);
    }
}

#[tokio::test]
async fn lists_are_filtered_and_leafed_through_by_forms_and_links() {
    let Some(window) = Window::open().await else { return };
    window.without_scripts().await;
    let Stage { base, completed, forked, .. } = Stage::here().await;
    window.go(&format!("{base}/executions")).await;
    window.click("input[type=search]").await;
    window.follow_keys("Origin of Species\u{e007}").await;
    let rows = "return [...document.querySelectorAll('a.pri')].map(e => e.getAttribute('href'))";
    let found = [forked, completed].map(|id| format!("/execution/{id}"));
    assert_eq!(window.ask::<Vec<String>>(rows, &[]).await, found);
    assert!(window.driver().current_url().await.unwrap().query().unwrap().contains("q=Origin"));
    window.follow("a.pri").await;
    assert!(window.text().await.contains("It appeared in 1859."));
    window.follow("#timeline .nm a").await;
    assert!(window.find("[aria-label='Selected step']").await.is_displayed().await.unwrap());
}

#[tokio::test]
async fn a_run_is_paused_resumed_and_cancelled_by_forms() {
    let Some(window) = Window::open().await else { return };
    window.without_scripts().await;
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[calls(["lookup"])]);
    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When?").await;
    server.take("lookup").await;

    window.go(&format!("{}/execution/{id}", server.base())).await;
    window.follow("form[action$=pause] button").await;
    assert!(window.text().await.contains("Paused by a person at 127.0.0.1"));
    window.follow("form[action$=resume] button").await;
    assert_eq!(server.status(&id).await["status"], "RUNNING");
    window.click("details.drop:has([action$=cancel]) summary").await;
    window.click("[name=reason]").await;
    window.press("The wrong book").await;
    window.follow("form[action$=cancel] button").await;
    assert!(window.text().await.contains("The wrong book"));
    assert_eq!(server.status(&id).await["status"], "TERMINATED");
    assert_eq!(window.complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed_by_forms() {
    let Some(window) = Window::open().await else { return };
    window.without_scripts().await;
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    server.poll("lookup", 1).await;
    window.go(&format!("{}/queues", server.base())).await;
    window.click("button[popovertarget^=pause]").await;
    window.click("[popover]:popover-open [name=reason]").await;
    window.press("The library moves").await;
    window.follow("[popover]:popover-open button").await;
    let text = window.text().await;
    assert!(text.contains("The library moves"), "{text}");
    window.follow("form[action$=resume] button").await;
    assert!(!window.text().await.contains("The library moves"));
    assert_eq!(window.complaints().await, [""; 0]);
}

#[tokio::test]
async fn theme_and_time_zone_are_chosen_by_forms_and_kept() {
    let Some(window) = Window::open().await else { return };
    window.without_scripts().await;
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let id = server.start_run(&agent("echo", "demo/echo", json!([])), "Hello").await;
    server.until(&id, "COMPLETED").await;
    let look = "return [document.documentElement.dataset.theme ?? '', getComputedStyle(document.documentElement).colorScheme]";
    let seen = async || window.ask::<(String, String)>(look, &[]).await;

    window.go(&format!("{}/execution/{id}/events", server.base())).await;
    assert_eq!(seen().await.0, "");
    for theme in ["light", "dark", ""] {
        window.follow(".foot form[action='/look'] button").await;
        let (chosen, scheme) = seen().await;
        assert_eq!((&*chosen, &*scheme), (theme, if theme.is_empty() { "light dark" } else { theme }));
        assert!(window.driver().current_url().await.unwrap().path().contains(&id), "back where it was");
    }

    let time = "return document.querySelector('#events time').textContent";
    let before: String = window.ask(time, &[]).await;
    window.follow("a.zone").await;
    window.click("option[value='Asia/Kathmandu']").await;
    window.click("option[value=dark]").await;
    window.follow("form.look button").await;
    assert_eq!(seen().await.0, "dark");
    assert!(window.text().await.contains("Asia/Kathmandu"));
    let after: String = window.ask(time, &[]).await;
    let minutes = |clock: &str| clock[3..5].parse::<u32>().unwrap();
    assert_eq!((minutes(&before) + 45) % 60, minutes(&after), "UTC+5:45: {before} is {after}");
    assert_eq!(window.complaints().await, [""; 0]);
}
