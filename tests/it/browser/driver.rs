//! One chromedriver for all tests of this process, and a Chromium for each window.

use std::{
    path::PathBuf,
    process::Command,
    sync::{LazyLock, Mutex},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use thirtyfour::{
    CapabilitiesHelper as _, ChromiumLikeCapabilities as _, DesiredCapabilities, LoggingPrefsLogLevel,
    WebDriver,
};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::harness::{Process, eventually};

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Quiet, without a sandbox (which root can't have) and without anything that asks the network by itself.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
];

/// The browser's command, where there is one, and chromedriver, too. Says so where not.
pub fn installed() -> Option<PathBuf> {
    let runs = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let found = BROWSERS.into_iter().find(|browser| runs(browser)).filter(|_| runs("chromedriver"));
    if found.is_none() {
        crate::harness::skip("there is no browser: install the packages chromium and chromium-driver");
    }
    found.map(|name| on_path(name).unwrap_or_else(|| panic!("{name} runs but is not on PATH")))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// The address of this process's chromedriver. It ends with the process, and with it every browser.
async fn address() -> &'static str {
    static DRIVER: Mutex<Option<Process>> = Mutex::new(None);
    static ADDRESS: OnceCell<String> = OnceCell::const_new();
    ADDRESS
        .get_or_init(async || {
            let name = format!("chromedriver-{}", std::process::id());
            let mut command = Command::new("chromedriver");
            command.arg("--port=0");
            let mut process = Process::start_group(command, &name, env!("CARGO_TARGET_TMPDIR").as_ref());
            let port = eventually("chromedriver names its port", async || {
                assert!(process.try_ended().is_none(), "chromedriver ended:\n{}", process.log());
                let log = process.log();
                let (_, rest) = log.split_once("started successfully on port ")?;
                rest.split_once('.')?.0.parse::<u16>().ok()
            })
            .await;
            *DRIVER.lock().unwrap() = Some(process);
            format!("http://127.0.0.1:{port}")
        })
        .await
}

/// A browser of its own, with an empty profile.
pub struct Session {
    pub driver: WebDriver,
    _profile: TempDir,
    _turn: SemaphorePermit<'static>,
}

/// Start a browser. Only a few run at a time: each takes a core.
pub async fn start(browser: PathBuf) -> Session {
    static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(3));
    let turn = TURNS.acquire().await.unwrap();
    let profile = tempfile::tempdir().unwrap();
    let mut wanted = DesiredCapabilities::chrome();
    wanted.set_binary(browser.to_str().unwrap()).unwrap();
    for flag in FLAGS {
        wanted.add_arg(flag).unwrap();
    }
    wanted.add_arg(&format!("--user-data-dir={}", profile.path().display())).unwrap();
    wanted.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
    // A dialog stays open, so that a test can see it.
    wanted.set("unhandledPromptBehavior", json!("ignore")).unwrap();
    // No connection is kept: at the end of a test the session is closed outside of the test's runtime.
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
    let client = client.timeout(Duration::from_mins(1)).build().unwrap();
    let driver = WebDriver::builder(address().await, wanted).client(client).await.unwrap();
    Session { driver, _profile: profile, _turn: turn }
}
