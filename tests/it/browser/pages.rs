//! Every page in both themes on three screens: complete, readable by everybody, and nothing for the browser to
//! complain of.

use crate::harness::{Server, TestDb};

use super::{
    Window,
    stage::Stage,
    window::{Screen, Theme},
};

/// A page that must be fit to be seen: its name in pictures, where it is, and a text on it.
pub struct Page {
    name: &'static str,
    pub path: String,
    pub shows: &'static str,
}

/// Every kind of page there is. A new page is one more line.
pub fn pages(stage: &Stage) -> Vec<Page> {
    let Stage { completed, failed, stuck, running, .. } = stage;
    let page = |name, path: &str, shows| Page { name, path: path.to_owned(), shows };
    vec![
        page("executions", "/executions", "The library is closed on Sundays."),
        page("executions-filtered", "/executions?status=completed&agent=librarian", "Origin of Species"),
        page("executions-none", "/executions?q=nowhere", "No execution matches"),
        page("execution-completed", &format!("/execution/{completed}"), "tester was lost"),
        page("execution-failed", &format!("/execution/{failed}"), "401"),
        page("execution-stuck", &format!("/execution/{stuck}"), "No live worker polls"),
        page("execution-running", &format!("/execution/{running}"), "Cancel"),
        page("queues", "/queues", "Postgres round trip"),
        page("queues-week", "/queues?span=7d&queue=tenure.model", "Wait to start on tenure.model"),
        page("execution-step", &format!("/execution/{completed}?step=tool-1-0"), "Arguments"),
        page("execution-conversation", &format!("/execution/{completed}/conversation"), "Readable"),
        page("execution-events", &format!("/execution/{completed}/events"), "was lost"),
        page("execution-attempts", &format!("/execution/{completed}/attempts"), "tester"),
        page("execution-then", &format!("/execution/{completed}?at=3"), "As it was after event 3"),
        page("look", "/look", "Asia/Kathmandu"),
        page("not-found", "/no/such/page", "No static resource"),
        page("execution-unknown", "/execution/nobody", "o execution with id"),
    ]
}

async fn are_fit_to_be_seen(theme: Theme) {
    let Some(window) = Window::open().await else { return };
    let stage = Stage::here().await;
    let mut faults = vec![];
    for page in pages(stage) {
        faults.extend(faults_of(&window, &stage.base, &page, theme).await);
    }
    let empty = TestDb::new().await;
    let server = Server::start(&empty).await;
    let page =
        Page { name: "executions-empty", path: "/executions".into(), shows: "No agent has run here yet" };
    faults.extend(faults_of(&window, server.base(), &page, theme).await);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

async fn faults_of(window: &Window, base: &str, page: &Page, theme: Theme) -> Vec<String> {
    let mut faults = vec![];
    for screen in [Screen::DESK, Screen::TABLET, Screen::PHONE] {
        window.look(screen, theme).await;
        let status = window.go(&format!("{base}{}", page.path)).await;
        let name = format!("{}-{}-{}", page.name, theme.name(), screen.0);
        window.keep_picture(&name).await;
        let is_missing = matches!(page.name, "not-found" | "execution-unknown");
        let mut found = vec![];
        if status != if is_missing { 404 } else { 200 } {
            found.push(format!("status {status}"));
        }
        if !window.text().await.contains(page.shows) {
            found.push(format!("does not show {:?}", page.shows));
        }
        found.extend(window.inline_code().await);
        found.extend(window.sideways_scroll().await);
        found.extend(window.barriers().await);
        found.extend(
            window.complaints().await.into_iter().filter(|c| !(is_missing && c.contains("status of 404"))),
        );
        faults.extend(found.into_iter().map(|fault| format!("  {name}: {fault}")));
    }
    faults
}

#[tokio::test]
async fn pages_in_the_light_are_fit_to_be_seen() {
    are_fit_to_be_seen(Theme::Light).await;
}

#[tokio::test]
async fn pages_in_the_dark_are_fit_to_be_seen() {
    are_fit_to_be_seen(Theme::Dark).await;
}
