//! The pages in a real browser: they render, hostile text stays text, and the browser complains of nothing.
//!
//! Needs Chromium. Without it the test says that it was skipped, and fails where `CI` or `TENURE_TEST_NO_SKIP` is set.

use std::process::Command;

use serde_json::json;

use crate::harness::{Server, TestDb, agent, calls, says, script, tools};

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

#[tokio::test]
async fn pages_render_in_a_browser_that_finds_nothing_to_complain_of() {
    let Some(browser) = BROWSERS.into_iter().find(|b| Command::new(b).arg("--version").output().is_ok())
    else {
        let strict = ["CI", "TENURE_TEST_NO_SKIP"].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!strict, "there is no Chromium: install the package chromium");
        eprintln!("skipped: there is no Chromium");
        return;
    };
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let hostile =
        "<script>document.title='taken over'</script><img src=x onerror=document.title='taken over'>";
    let model = script(&[calls(["lookup"]), says(hostile)]);
    let id = server.start_run(&agent("browsed", &model, tools(["lookup"])), hostile).await;
    let task = server.take("lookup").await;
    server.complete(&task, &json!({ "found": hostile })).await;
    server.until(&id, "COMPLETED").await;

    for (path, shows) in [
        ("/executions".to_owned(), id.as_str()),
        (format!("/execution/{id}"), "Completed"),
        (format!("/execution/{id}?step=tool-1-0"), "lookup"),
    ] {
        let (page, complaints) = open(browser, &format!("{}{path}", server.base()));
        assert!(page.contains(" · tenure</title>"), "{path}: a script has changed the title");
        assert!(page.contains(shows), "{path}: no {shows:?} in {page}");
        assert!(page.contains("&lt;script&gt;"), "{path}: the hostile text is not shown");
        assert_eq!(complaints, [""; 0], "{path}");
    }
}

/// The page as the browser built it, and what it wrote to its console.
fn open(browser: &str, url: &str) -> (String, Vec<String>) {
    let profile = tempfile::tempdir().unwrap();
    let done = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--log-level=0", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    let complaints = said.lines().filter(|l| l.contains("CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8_lossy(&done.stdout).into_owned(), complaints)
}
