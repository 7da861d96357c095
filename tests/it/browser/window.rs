//! What a person has in front of them: a window of some size in some theme, and what can be seen in it.

use std::{path::PathBuf, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thirtyfour::{By, WebDriver, WebElement};

use super::driver::{self, Session};
use crate::harness::within;

/// Width and height in CSS pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Screen(pub u16, pub u16);

impl Screen {
    pub const DESK: Self = Self(1360, 900);
    pub const TABLET: Self = Self(768, 1024);
    pub const PHONE: Self = Self(390, 844);
}

/// What the person's system asks pages for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Theme {
    Light,
    Dark,
}

impl Theme {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// A window of a browser that nobody else uses.
pub struct Window {
    session: Session,
}

impl Window {
    /// A window at a desk, in the light. None where no browser is installed.
    pub async fn open() -> Option<Self> {
        let window = Self { session: driver::start(driver::installed()?).await };
        window.look(Screen::DESK, Theme::Light).await;
        Some(window)
    }

    pub fn driver(&self) -> &WebDriver {
        &self.session.driver
    }

    /// A command of the browser's own protocol.
    pub async fn command(&self, name: &str, with: Value) -> Value {
        let done = self.driver().cdp().send_raw(name, with).await;
        done.unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Change size and theme of the window.
    pub async fn look(&self, Screen(width, height): Screen, theme: Theme) {
        let device =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.command("Emulation.setDeviceMetricsOverride", device).await;
        let features = json!([
            { "name": "prefers-color-scheme", "value": theme.name() },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.command("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// From the next page on, no script of a page runs.
    pub async fn without_scripts(&self) {
        self.command("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    /// Go to an address; the status of the answer.
    pub async fn go(&self, url: &str) -> u16 {
        self.driver().goto(url).await.unwrap_or_else(|e| panic!("{url}: {e}"));
        self.ask("return performance.getEntriesByType('navigation')[0].responseStatus", &[]).await
    }

    /// The answer of a function's body that the test runs in the page. The page's policy does not bind it.
    pub async fn ask<T: DeserializeOwned>(&self, script: &str, arguments: &[Value]) -> T {
        let answer = self.driver().execute(script, arguments.to_vec()).await;
        let answer = answer.unwrap_or_else(|e| panic!("{script}: {e}"));
        answer.convert().unwrap_or_else(|e| panic!("{script}: {e}"))
    }

    /// The text that can be seen.
    pub async fn text(&self) -> String {
        self.ask("return document.body.innerText", &[]).await
    }

    /// The first element that a CSS selector finds.
    pub async fn find(&self, selector: &str) -> WebElement {
        self.driver().find(By::Css(selector)).await.unwrap_or_else(|e| panic!("{selector}: {e}"))
    }

    /// Press the mouse on the first element that a CSS selector finds.
    pub async fn click(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap_or_else(|e| panic!("{selector}: {e}"));
    }

    /// The same where that leads to a page; it is there afterwards.
    pub async fn follow(&self, selector: &str) {
        self.ask::<()>("window.left_behind = true", &[]).await;
        self.click(selector).await;
        self.arrives(selector).await;
    }

    /// The same by keys, which lead to a page.
    pub async fn follow_keys(&self, keys: &str) {
        self.ask::<()>("window.left_behind = true", &[]).await;
        self.press(keys).await;
        self.arrives(keys).await;
    }

    async fn arrives(&self, by: &str) {
        let script = "return !window.left_behind && document.readyState == 'complete'";
        self.comes_to(&format!("that {by:?} leads to is there"), script, "").await;
    }

    /// Press keys one after the other, wherever the focus is.
    pub async fn press(&self, keys: impl AsRef<str>) {
        self.driver().action_chain().send_keys(keys.as_ref()).perform().await.unwrap();
    }

    /// What has the focus, as CSS would name it. It must be seen to have it.
    pub async fn focus(&self) -> String {
        let (name, is_seen): (String, bool) = self.ask(FOCUS, &[]).await;
        assert!(is_seen, "nobody can see that {name} has the focus");
        name
    }

    /// Wait until the page shows a text, without loading it again.
    pub async fn comes_to_show(&self, text: &str) {
        self.comes_to(
            &format!("shows {text:?}"),
            "return document.body.innerText.includes(arguments[0])",
            text,
        )
        .await;
    }

    /// Wait until a function's body that gets `argument` is true in the page.
    pub async fn comes_to(&self, what: &str, script: &str, argument: &str) {
        within(PATIENCE, &format!("the page {what}"), async || {
            // Between two pages there is none that could answer.
            let answer = self.driver().execute(script, vec![json!(argument)]).await.ok()?;
            answer.convert::<bool>().ok()?.then_some(())
        })
        .await;
    }

    /// What the browser has complained of since the last time: errors, warnings, breaches of the page's policy.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.driver().browser_log().await.unwrap();
        entries.into_iter().map(|entry| format!("console: {} {}", entry.level, entry.message)).collect()
    }

    /// What makes the page wider than the window, if it is.
    pub async fn sideways_scroll(&self) -> Vec<String> {
        self.ask(SIDEWAYS, &[]).await
    }

    /// Styles and scripts in the page itself instead of in files.
    pub async fn inline_code(&self) -> Vec<String> {
        self.ask(INLINE, &[]).await
    }

    /// Keep a picture of the whole page as `screenshots/<name>.png`.
    pub async fn keep_picture(&self, name: &str) {
        let metrics = self.command("Page.getLayoutMetrics", json!({})).await;
        let size = &metrics["cssContentSize"];
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.command("Page.captureScreenshot", wanted).await;
        let bytes = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            picture["data"].as_str().unwrap(),
        );
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{name}.png")), bytes.unwrap()).unwrap();
    }
}

/// How long a page may take to follow.
const PATIENCE: Duration = Duration::from_secs(15);

const FOCUS: &str = "
    const e = document.activeElement, look = getComputedStyle(e), field = e.closest('.find, .query');
    const is_lined = style => style.outlineStyle != 'none' && parseFloat(style.outlineWidth) >= 1;
    const is_seen = e.matches(':focus-visible') && (is_lined(look) || field && is_lined(getComputedStyle(field)));
    const name = e.tagName.toLowerCase() + (e.id && '#' + e.id) + (e.name ? `[name=${e.name}]` : '') +
        (e.getAttribute('href') ? `[href='${e.getAttribute('href')}']` : '');
    return [name, Boolean(is_seen)]";

const SIDEWAYS: &str = "
    const room = innerWidth, page = document.scrollingElement.scrollWidth;
    if (page <= room) return [];
    const out = [...document.querySelectorAll('body *')]
        .filter(e => e.getBoundingClientRect().right > room + 0.5)
        .map(e => e.tagName.toLowerCase() + (e.id && '#' + e.id) + [...e.classList].map(c => '.' + c).join(''));
    return [`${page} px wide in a window of ${room}: ${out.slice(0, 12).join(' ')}`]";

const INLINE: &str = "
    const found = document.querySelectorAll('[style], style, script:not([src])');
    const handlers = [...document.querySelectorAll('*')]
        .filter(e => [...e.attributes].some(a => /^on/i.test(a.name)));
    return [...found, ...handlers].map(e => 'inline: ' + e.outerHTML.slice(0, 200))";
