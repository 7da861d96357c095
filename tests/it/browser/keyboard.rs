//! Everything can be reached by keys, and it is seen where one is.

use super::{Window, stage::Stage};

const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
const ESCAPE: &str = "\u{e00c}";

async fn path(window: &Window) -> String {
    window.driver().current_url().await.unwrap().path().to_owned()
}

#[tokio::test]
async fn keys_lead_to_every_part_of_the_site() {
    let Some(window) = Window::open().await else { return };
    let Stage { base, .. } = Stage::here().await;
    window.go(&format!("{base}/look")).await;
    for (keys, leads) in [("ge", "/executions"), ("gq", "/queues"), ("ga", "/agents"), ("ge", "/executions")]
    {
        window.follow_keys(keys).await;
        assert_eq!(path(&window).await, leads, "{keys}");
    }
    window.press("?").await;
    let open = "return document.querySelector('#keys').matches(':popover-open') == (arguments[0] == 'open')";
    window.comes_to("shows the keys", open, "open").await;
    window.press("?").await;
    window.comes_to("shows the keys no more", open, "closed").await;
    window.press("/").await;
    assert_eq!(window.focus().await, "input[name=q]");
    window.press("g?jk").await;
    let typed: String = window.ask("return document.activeElement.value", &[]).await;
    assert_eq!(typed, "g?jk", "keys are letters while somebody types");
    window.press(ESCAPE).await;
    assert_eq!(path(&window).await, "/executions");
}

#[tokio::test]
async fn from_the_list_to_a_selected_step_without_a_mouse() {
    let Some(window) = Window::open().await else { return };
    let Stage { base, completed, .. } = Stage::here().await;
    window.go(&format!("{base}/executions")).await;
    window.press(TAB).await;
    assert_eq!(window.focus().await, "a[href='#main']");
    window.press("/").await;
    window.follow_keys(&format!("Origin of Species{ENTER}")).await;
    reach(&window, &format!("a[href='/execution/{completed}']")).await;
    window.follow_keys(ENTER).await;
    assert_eq!(path(&window).await, format!("/execution/{completed}"));
    reach(&window, &format!("a[href='/execution/{completed}?step=tool-1-0']")).await;
    window.follow_keys(ENTER).await;
    assert!(window.find("[aria-label='Selected step']").await.is_displayed().await.unwrap());
    assert_eq!(window.complaints().await, [""; 0]);
}

/// Go on by Tab until the focus is there; it must be seen all the way.
async fn reach(window: &Window, wanted: &str) {
    let mut passed = vec![];
    while passed.len() < 80 {
        window.press(TAB).await;
        let focus = window.focus().await;
        if focus == wanted {
            return;
        }
        passed.push(focus);
    }
    panic!("{wanted} is not within 80 presses of Tab: {passed:#?}");
}
