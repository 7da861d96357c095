//! Where a storm rages: a Postgres with full durability, servers with a proxy on either side, workers, a sink.
//!
//! ```text
//!  clients ──► HTTP proxy ──► server ──► statement proxy ──► Postgres, killed like everything else
//!  workers ──►  one of each per server
//!     └──► sink
//! ```
//!
//! Whatever ends is started again at once, as an operating system's supervisor would.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::super::Error;
use super::super::client::Careful;
use super::super::process::{Process, tenure};
use super::super::proxy::Proxy;
use super::super::sink::Sink;
use super::super::stage::{Server, WORK};
use super::http_proxy::HttpProxy;
use crate::postgres::{Victim, guard};
use crate::store::{judge, schema};

/// How long everything may take to be ready again.
const READY: Duration = Duration::from_secs(30);
/// The database.
const DATABASE: &str = "tenure";

/// A server and its ways.
pub struct Node {
    /// The server.
    pub server: Server,
    /// Between it and Postgres.
    pub wire: Proxy,
    /// Between clients and it.
    pub http: HttpProxy,
}

/// A tool worker.
pub struct Hand {
    /// Its process.
    pub process: Process,
    /// When it goes on, if it is frozen.
    pub frozen_until: Option<Instant>,
    server: String,
    log: PathBuf,
}

/// See the module.
pub struct Ground {
    /// The Postgres.
    pub postgres: Victim,
    /// The servers.
    pub nodes: Vec<Node>,
    /// The workers.
    pub hands: Vec<Hand>,
    /// Where effects go.
    pub sink: Sink,
    /// Room for files.
    pub directory: PathBuf,
}

/// What a ground is made of.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Servers.
    pub servers: usize,
    /// Workers.
    pub workers: usize,
    /// Megabytes for the data of Postgres, if they are limited.
    pub room: Option<u32>,
}

impl Ground {
    /// Start everything, and wait until it works.
    ///
    /// # Errors
    ///
    /// A part of it can't be had.
    pub async fn set(pg_bin: Option<&Path>, size: Size) -> Result<Self, Error> {
        let directory = fresh_directory()?;
        let mut postgres = Victim::make(pg_bin, &directory.join("postgres"), size.room).await?;
        postgres.start().await?;
        postgres.create_database().await?;
        Self::on(postgres, directory, size, None).await
    }

    /// The same on a Postgres that runs. With `url` servers reach it by that, and not through a proxy.
    pub(super) async fn on(
        postgres: Victim,
        directory: PathBuf,
        size: Size,
        url: Option<&str>,
    ) -> Result<Self, Error> {
        schema::migrate(&mut connect(&postgres).await?).await?;
        let mut nodes = vec![];
        for number in 1..=size.servers {
            let wire = Proxy::open(&postgres.socket_dir().join(".s.PGSQL.5432")).await?;
            let through = format!("postgres://tenure@127.0.0.1:{}/{DATABASE}?sslmode=disable", wire.port());
            let log = directory.join(format!("server-{number}.log"));
            let server = Server::start(url.unwrap_or(&through), &log)?;
            let at = server.base.trim_start_matches("http://").parse().map_err(std::io::Error::other)?;
            let http = HttpProxy::to(vec![at]).await?;
            nodes.push(Node { server, wire, http });
        }
        let sink = Sink::at(&directory.join("effects"));
        let mut ground = Self { postgres, nodes, hands: vec![], sink, directory };
        ground.ready().await?;
        let client = ground.client(0)?;
        let definition = json!({
            "name": WORK, "retryCount": 3, "retryLogic": "FIXED", "retryDelaySeconds": 0,
            "responseTimeoutSeconds": 1, "timeoutSeconds": 0,
        });
        client.ask("PUT", "/api/metadata/taskdefs", Some(&definition)).await?;
        for number in 0..size.workers {
            let server = ground.nodes[number % ground.nodes.len()].http.url();
            ground.hire(server)?;
        }
        Ok(ground)
    }

    /// One more worker, at this server.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn hire(&mut self, server: String) -> Result<(), Error> {
        let log = self.directory.join(format!("worker-{}.log", self.hands.len() + 1));
        let process = work(&server, &self.sink, &log)?;
        self.hands.push(Hand { process, frozen_until: None, server, log });
        Ok(())
    }

    /// A client that begins with this server.
    ///
    /// # Errors
    ///
    /// It can't be set up.
    pub fn client(&self, first: usize) -> Result<Careful, Error> {
        let mut bases: Vec<_> = self.nodes.iter().map(|node| node.http.url()).collect();
        let many = bases.len();
        bases.rotate_left(first % many);
        Careful::new(bases)
    }

    /// A connection of our own to the database.
    ///
    /// # Errors
    ///
    /// Postgres is away.
    pub async fn connect(&self) -> Result<tokio_postgres::Client, Error> {
        connect(&self.postgres).await
    }

    /// Start again what has ended, and let go on what was frozen long enough.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn supervise(&mut self) -> Result<(), Error> {
        for node in &mut self.nodes {
            if node.server.process.has_ended() {
                node.server.start_again()?;
                node.wire.victim(node.server.process.pid());
            }
        }
        for hand in &mut self.hands {
            if hand.frozen_until.is_some_and(|until| until <= Instant::now()) {
                hand.process.signal(Signal::CONT);
                hand.frozen_until = None;
            }
            if hand.process.has_ended() {
                hand.process = work(&hand.server, &self.sink, &hand.log)?;
                hand.frozen_until = None;
            }
        }
        Ok(())
    }

    /// Nothing happens any more: no harm is armed, nobody is frozen, everybody is ready.
    ///
    /// # Errors
    ///
    /// A server does not get ready.
    pub async fn calm(&mut self) -> Result<(), Error> {
        for node in &self.nodes {
            node.http.disarm();
            node.http.mend();
            node.wire.calm();
        }
        for hand in &mut self.hands {
            hand.frozen_until = hand.frozen_until.map(|_| Instant::now());
        }
        if self.postgres.has_ended() {
            self.postgres.start().await?;
        }
        self.ready().await
    }

    /// Wait until every server is ready, starting again what ends.
    ///
    /// # Errors
    ///
    /// It takes too long.
    pub async fn ready(&mut self) -> Result<(), Error> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        let began = Instant::now();
        loop {
            self.supervise()?;
            let mut ready = 0;
            for node in &self.nodes {
                let asked = http.get(format!("{}/health/ready", node.server.base)).send().await;
                ready += usize::from(asked.is_ok_and(|answer| answer.status() == 200));
            }
            if ready == self.nodes.len() {
                return Ok(());
            }
            if began.elapsed() > READY {
                let ends: Vec<_> = self.nodes.iter().map(|node| node.server.process.last_lines(8)).collect();
                return Err(Error::Stuck(format!(
                    "{ready} servers are ready; logs end:\n{}",
                    ends.join("\n--\n")
                )));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Forget all runs, so that looking at all of them stays cheap.
    ///
    /// # Errors
    ///
    /// Postgres says no.
    pub async fn clear(&mut self) -> Result<(), Error> {
        judge::clear(&self.connect().await?).await?;
        Ok(self.sink.clear()?)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.hands.clear();
        self.nodes.clear();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A directory that Postgres's account can reach, and that goes with this process.
pub(super) fn fresh_directory() -> Result<PathBuf, Error> {
    let id = uuid::Uuid::now_v7().simple().to_string();
    let directory = std::env::temp_dir().join(format!("tenure-torture-{}", &id[20..]));
    std::fs::create_dir_all(&directory)?;
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755))?;
    guard::add_directory(&directory);
    Ok(directory)
}

pub(super) async fn connect(postgres: &Victim) -> Result<tokio_postgres::Client, Error> {
    let (client, connection) = postgres.config(DATABASE)?.connect().await?;
    tokio::spawn(connection);
    Ok(client)
}

fn work(server: &str, sink: &Sink, log: &Path) -> Result<Process, Error> {
    let mut command = tenure(&["torture-worker", "--server", server, "--sink"])?;
    command.arg(sink.file());
    Ok(Process::start(command, log)?)
}
