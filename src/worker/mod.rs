//! Workers: programs that perform tool calls, on any machine that reaches the server over HTTP.
//!
//! ```text
//!            ┌──────────────── one loop per tool ────────────────┐
//!  server ──►│ poll (long) ─► attempt ─► function ─► report ──┐  │
//!            │     ▲             └─ extends the lease         │  │
//!            │     └──────────── or the next attempt, handed ─┘  │
//!            └───────────────────── over in the reply ───────────┘
//! ```
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use tenure::worker::{ToolError, Worker};
//!
//! #[derive(Deserialize)]
//! struct Question { city: String }
//! #[derive(Serialize)]
//! struct Weather { celsius: f64 }
//!
//! # async fn run() -> Result<(), tenure::worker::Error> {
//! Worker::new("http://localhost:6767")
//!     .tool("get_weather", |question: Question| async move {
//!         if question.city.is_empty() {
//!             return Err(ToolError::terminal("city is empty"));
//!         }
//!         Ok(Weather { celsius: 21.5 })
//!     })
//!     .concurrency(4)
//!     .run_until(tenure::worker::stop_signal())
//!     .await
//! # }
//! ```
//!
//! What a tool author may rely on:
//!
//! 1. A function runs at least once per call and at most once per attempt; [`Context::idempotency_key`] is the
//!    same for all attempts at one call.
//! 2. While a function runs, its lease is extended at a third of its length. When the server says that the lease
//!    is lost, the function is dropped at its next `await` and its result goes nowhere.
//! 3. A result is reported until the server takes or refuses it; a server that is away for minutes loses nothing.
//! 4. After the stop signal no new attempt begins; those in flight are finished and reported first.
mod attempt;
mod context;
mod error;
mod input;
mod poll;
mod report;
mod server;
mod tool;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use context::Context;
pub use error::{Error, ToolError};
pub use tool::{Handler, Tool};

use server::Server;
pub(crate) use server::http_client;

/// Calls of one tool that run at the same time when nothing else is said.
const CONCURRENCY: usize = 1;
/// Length of a lease when nothing else is said.
const LEASE: Duration = Duration::from_secs(10);

/// A set of tools and the server whose calls they perform.
#[derive(Debug)]
#[must_use = "a worker does nothing until it runs"]
pub struct Worker {
    server: String,
    api_key: Option<String>,
    concurrency: usize,
    lease: Duration,
    tools: Vec<Tool>,
}

impl Worker {
    /// A worker for the server at `server`, such as `http://localhost:6767`; with or without `/api` at its end.
    pub fn new(server: impl Into<String>) -> Self {
        Self { server: server.into(), api_key: None, concurrency: CONCURRENCY, lease: LEASE, tools: vec![] }
    }

    /// Identify with this key, for servers that ask for one.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Calls of each tool that run at the same time (at least 1), for tools that don't say it themselves.
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.concurrency = calls.max(1);
        self
    }

    /// How long the server waits for a sign of life before it gives an attempt to somebody else (whole seconds, at
    /// least 1), for tools that don't say it themselves.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Perform the tool `name` with `handler`: an async function of the call's input, and of a [`Context`] if wanted.
    pub fn tool<Args>(self, name: impl Into<String>, handler: impl Handler<Args>) -> Self {
        self.with(Tool::new(name, handler))
    }

    /// Perform `tool`, which may say its own domain, concurrency and lease.
    pub fn with(mut self, tool: Tool) -> Self {
        self.tools.push(tool);
        self
    }

    /// Poll, perform and report until `shutdown` resolves; then finish what is in flight, report it and return.
    ///
    /// An unreachable server is not an error: the worker says so in its log and is back within about 250 ms of the
    /// server's return.
    ///
    /// # Errors
    ///
    /// The worker has no tools, or the server's address can't be used.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        if self.tools.is_empty() {
            return Err(Error::NoTools);
        }
        let server = Arc::new(Server::new(&self.server, self.api_key, crate::id::session_name())?);
        let stop = CancellationToken::new();
        let loops = TaskTracker::new();
        for tool in self.tools {
            let tool = tool.or_defaults(self.concurrency, self.lease);
            loops.spawn(poll::run(server.clone(), Arc::new(tool), stop.clone()));
        }
        loops.close();
        shutdown.await;
        stop.cancel();
        loops.wait().await;
        Ok(())
    }
}

/// Resolves at the first SIGINT or SIGTERM (Ctrl-C, `kill`, a container's stop) after the call, which takes over these
/// signals at once. Never resolves where they can't be taken over.
///
/// # Panics
///
/// Outside of a Tokio runtime.
pub fn stop_signal() -> impl Future<Output = ()> + Send {
    let mut signals = StopSignals::listen();
    async move { signals.next().await }
}

/// The signals that ask a process to stop.
pub(crate) struct StopSignals(std::io::Result<[Signal; 2]>);

impl StopSignals {
    /// Those that arrive from now on.
    pub(crate) fn listen() -> Self {
        let both = || Ok([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?]);
        Self(both())
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        let Ok([terminate, interrupt]) = &mut self.0 else { return std::future::pending().await };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
