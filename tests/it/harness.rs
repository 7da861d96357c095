//! What the tests stand on: databases, processes, an HTTP client, and the words in which stories are told.
//!
//! Everything here is real: the binary that users run, a Postgres, kills by signal. Whatever a test starts ends with
//! it, also when it panics, and when the whole test process is killed.

mod database;
mod http;
mod process;
mod server;
mod story;

use std::io::Write as _;
use std::time::{Duration, Instant};

pub use database::TestDb;
pub use http::{Answer, Http};
pub use process::Process;
pub use rustix::process::Signal;
pub use server::{Home, Server, free_port, tenure};
pub use story::{agent, calls, frames, says, script, tools};

/// Say past libtest's capture why a test did not run; panics where nothing may be skipped.
pub fn skip(reason: &str) {
    let strict = ["CI", "TENURE_TEST_NO_SKIP"].iter().any(|name| std::env::var_os(name).is_some());
    assert!(!strict, "nothing may be skipped here: {reason}");
    writeln!(std::io::stderr(), "skipped: {reason}").expect("stderr is open");
}

/// Poll `condition` until it gives something; panics with `what` when it doesn't in time.
pub async fn eventually<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    within(Duration::from_secs(30), what, condition).await
}

/// The same with another patience.
pub async fn within<T>(patience: Duration, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
