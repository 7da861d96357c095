//! The real binary, serving, and a client of it.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use super::Error;

/// `tenure serve`; it ends with this value.
pub struct Server {
    /// `http://127.0.0.1:port`
    pub base: String,
    /// Keeps its connections.
    pub client: reqwest::Client,
    _process: Child,
}

impl Server {
    /// Start it on a database, and wait until it is ready.
    pub async fn start(tenure: &Path, url: &str) -> Result<Self, Error> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new(tenure)
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--database-url", url])
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(2)).build()?;
        let server = Self { base: format!("http://127.0.0.1:{port}"), client, _process: process };
        let began = Instant::now();
        while !server.is_ready().await {
            if began.elapsed() > Duration::from_secs(30) {
                return Err("the server is not ready after 30 s".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(server)
    }

    async fn is_ready(&self) -> bool {
        let asked = self.client.get(format!("{}/health/ready", self.base)).send().await;
        asked.is_ok_and(|answer| answer.status() == 200)
    }
}
