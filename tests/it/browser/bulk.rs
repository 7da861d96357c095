//! All runs that failed are retried from the list, by mouse and without a script; an open page follows the job.

use serde_json::json;

use super::Window;
use crate::bulk::ended;
use crate::harness::{Server, TestDb, agent, script, tools};

/// Runs whose model failed, and will not the next time.
async fn fail(server: &Server, many: usize) {
    for n in 0..many {
        let refuses = script(&[json!({ "fail": { "status": 401 } })]);
        let id = server.start_run(&agent("oracle", &refuses, tools([])), &format!("Ask {n}.")).await;
        server.until(&id, "FAILED").await;
    }
}

async fn retry_from_the_list(window: &Window, server: &Server, rate: &str) -> String {
    window.go(&format!("{}/executions?q=status:failed+agent:oracle", server.base())).await;
    window.follow("a[href^='/bulk/new']").await;
    let text = window.text().await;
    assert!(text.contains("5 runs match"), "{text}");
    window.click("#reason").await;
    window.press("the oracle is back").await;
    window.click("#rate").await;
    window.press(format!("{}{rate}", "\u{e003}".repeat(3))).await;
    window.follow("form[action='/bulk'] button").await;
    let path = window.driver().current_url().await.unwrap().path().to_owned();
    path.strip_prefix("/bulk/").unwrap().to_owned()
}

#[tokio::test]
async fn all_that_failed_are_retried_and_the_open_page_follows() {
    let Some(window) = Window::open().await else { return };
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    fail(&server, 5).await;
    let job = retry_from_the_list(&window, &server, "3").await;
    window.comes_to_show("All that matched were seen to").await;
    let text = window.text().await;
    assert!(text.contains("the oracle is back") && text.contains("acted on, each once"), "{text}");
    let job = ended(&server, &job).await;
    assert_eq!((&job["done"], &job["skipped"], &job["rate"]), (&json!(5), &json!(0), &json!(3)), "{job}");
    let db = db.connect().await;
    let retries = "select count(*) from tenure.executions where forked_as = 'retry'";
    assert_eq!(db.query_one(retries, &[]).await.unwrap().get::<_, i64>(0), 5);
    window.follow("a[href^='/executions?q=status']").await;
    assert_eq!(window.complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_job_is_begun_and_cancelled_where_no_script_runs() {
    let Some(window) = Window::open().await else { return };
    window.without_scripts().await;
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    fail(&server, 5).await;
    let job = retry_from_the_list(&window, &server, "1").await;
    window.follow("form[action$='/cancel'] button").await;
    let text = window.text().await;
    assert!(text.contains("Cancelled by a person at"), "{text}");
    let job = ended(&server, &job).await;
    assert_eq!(job["state"], "cancelled", "{job}");
    window.go(&format!("{}/bulk", server.base())).await;
    assert!(window.text().await.contains("Retry status:failed agent:oracle"));
    assert_eq!(window.complaints().await, [""; 0]);
}
