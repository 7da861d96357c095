//! Every page in both themes on three screens: complete, readable by everybody, and nothing for the browser to
//! complain of.

use crate::harness::{Server, TestDb};

use super::{
    Window,
    stage::Stage,
    window::{Screen, Theme},
};

/// A page that must be fit to be seen.
pub struct Page {
    /// In the names of its pictures.
    name: &'static str,
    pub path: String,
    /// A text on it.
    pub shows: &'static str,
    status: u16,
}

fn page(name: &'static str, path: &str, shows: &'static str) -> Page {
    Page { name, path: path.to_owned(), shows, status: 200 }
}

impl Page {
    fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

/// Every kind of page there is. A new page is one more line.
pub fn pages(stage: &Stage) -> Vec<Page> {
    let Stage { completed, forked, failed, stuck, running, asking, asked, decided, bulk, .. } = stage;
    vec![
        page("executions", "/executions", "The library is closed on Sundays."),
        page("executions-filtered", "/executions?q=status:completed+agent:librarian", "Origin of Species"),
        page("executions-none", "/executions?q=nowhere", "No execution matches"),
        page("executions-complaint", "/executions?q=status:gone", "The list shows what the rest")
            .with_status(400),
        page("execution-completed", &format!("/execution/{completed}"), "tester was lost"),
        page("execution-failed", &format!("/execution/{failed}"), "401"),
        page("execution-stuck", &format!("/execution/{stuck}"), "No live worker polls"),
        page("execution-running", &format!("/execution/{running}"), "Cancel"),
        page("execution-step", &format!("/execution/{completed}?step=tool-1-0"), "application/json"),
        page("execution-tries", &format!("/execution/{completed}?step=tool-1-0&show=tries"), "try 2, tester"),
        page("execution-then", &format!("/execution/{completed}?at=4"), "As it was after event 4"),
        page("conversation", &format!("/execution/{completed}/conversation"), "It appeared in 1859."),
        page("events", &format!("/execution/{completed}/events"), "Tool lookup returned"),
        page("attempts", &format!("/execution/{completed}/attempts"), "Lost"),
        page("state", &format!("/execution/{completed}/state"), "Completed"),
        page("payloads", &format!("/execution/{completed}/payloads"), "It appeared in 1859."),
        page("run-agent", &format!("/execution/{completed}/agent"), "librarian"),
        page("logs", &format!("/execution/{completed}/logs"), "Completed"),
        page("execution-forked", &format!("/execution/{forked}"), "after event"),
        page("diff", &format!("/diff?a={completed}&b={forked}"), "Down"),
        page("execution-asking", &format!("/execution/{asking}"), "Waits for a decision of 'finance-leads'"),
        page("approvals", "/approvals", "questions wait for a decision"),
        page("approvals-decided", "/approvals?show=decided", "photo 2 shows older damage"),
        page("approval", &format!("/approvals/{asked}"), "How such asks were decided"),
        page("approval-decided", &format!("/approvals/{decided}"), "Approved with other arguments by mira"),
        page("policies", "/approvals/policies", "Set a policy"),
        page("approval-unknown", "/approvals/nobody", "o approval with id").with_status(404),
        page("bulk", "/bulk", "Resume agent:librarian"),
        page("bulk-job", &format!("/bulk/{bulk}"), "All that matched were seen to"),
        page("webhooks", "/approvals/webhooks?change=ops", "Not taken"),
        page("retention", "/bulk/retention?change=tidy", "Which runs, as the list is narrowed"),
        page("bulk-new", "/bulk/new?q=status:completed", "Do the same to all of them"),
        page("bulk-wrong", "/bulk/new?q=status:gone", "status:gone").with_status(422),
        page("queues", "/queues", "Nothing polls nobody_here"),
        page("queue-selected", "/queues?queue=lookup", "Wait to start on lookup"),
        page("queues-week", "/queues?span=7d&queue=tenure.model", "Wait to start on tenure.model"),
        page("costs", "/costs?by=agent", "Set a price"),
        page("agents", "/agents", "librarian"),
        page("agent", "/agents/librarian", "Start a run"),
        page("look", "/look", "Asia/Kathmandu"),
        page("not-found", "/no/such/page", "No static resource").with_status(404),
        page("execution-unknown", "/execution/nobody", "o execution with id").with_status(404),
    ]
}

/// The same before anything has happened.
fn empty_pages() -> [Page; 8] {
    [
        page("executions-empty", "/executions", "No agent has run here yet"),
        page("policies-empty", "/approvals/policies", "No policies yet"),
        page("approvals-empty", "/approvals", "Nobody waits for a decision"),
        page("bulk-empty", "/bulk", "No bulk jobs yet"),
        page("webhooks-empty", "/approvals/webhooks", "No webhooks yet"),
        page("retention-empty", "/bulk/retention", "every run is kept for ever"),
        page("costs-empty", "/costs", "No prices yet"),
        page("queues-empty", "/queues", "Postgres"),
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
    for page in empty_pages() {
        faults.extend(faults_of(&window, server.base(), &page, theme).await);
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

async fn faults_of(window: &Window, base: &str, page: &Page, theme: Theme) -> Vec<String> {
    let mut faults = vec![];
    window.look(Screen::DESK, theme).await;
    let status = window.go(&format!("{base}{}", page.path)).await;
    if status != page.status {
        faults.push(format!("  {}: status {status}", page.name));
    }
    for screen in [Screen::DESK, Screen::TABLET, Screen::PHONE] {
        window.look(screen, theme).await;
        let name = format!("{}-{}-{}", page.name, theme.name(), screen.0);
        window.keep_picture(&name).await;
        let mut found = vec![];
        if !window.text().await.contains(page.shows) {
            found.push(format!("does not show {:?}", page.shows));
        }
        found.extend(window.inline_code().await);
        found.extend(window.sideways_scroll().await);
        found.extend(window.barriers().await);
        let known = format!("responded with a status of {}", page.status);
        found.extend(window.complaints().await.into_iter().filter(|text| !text.contains(&known)));
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
