//! The stage: Postgres, the server, the benchmark's agents.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::process::{Child, Command};
use tokio_postgres::Client;

use super::{Error, Options, http::Connection};
use crate::ports;
use crate::postgres::{self, Cluster, Config};

/// The tool that the agents call.
pub const TOOL: &str = "bench_tool";
/// Its calls in one run, of the agent that answers after some.
pub const CALLS: u32 = 10;
/// A tool that nobody performs.
const OTHER: &str = "bench_other_tool";
/// Model calls at the same time.
const MODEL_CALLS: &str = "1024";

/// Beside our settings for a laptop: what operations.md recommends for a machine of this size, and connections for the
/// workers that have one each.
const SETTINGS: [&str; 5] = [
    "max_connections=400",
    "shared_buffers=512MB",
    "max_wal_size=4GB",
    "checkpoint_timeout=15min",
    "wal_buffers=16MB",
];

/// What an agent's model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    /// Calls the tool ten times, then answers.
    Ten,
    /// Calls the tool until its turns are over.
    Endless,
    /// Calls another tool, which nobody performs.
    Other,
}

impl Agent {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ten => "bench",
            Self::Endless => "bench_endless",
            Self::Other => "bench_other",
        }
    }
}

/// The same, with what counts the time of statements.
const COUNTING: [&str; 7] = [
    SETTINGS[0],
    SETTINGS[1],
    SETTINGS[2],
    SETTINGS[3],
    SETTINGS[4],
    "shared_preload_libraries=pg_stat_statements",
    "pg_stat_statements.track_planning=on",
];

/// Everything that stays over all scenarios.
pub struct Rig {
    pub cluster: Cluster,
    /// A connection of our own.
    pub db: Client,
    /// File of the models' scripts.
    pub scripts: PathBuf,
    directory: PathBuf,
}

impl Rig {
    /// Start Postgres, with the tables of the server and of the floor.
    pub async fn open(options: &Options) -> Result<Self, Error> {
        let settings: &[&str] = if options.statements { &COUNTING } else { &SETTINGS };
        let cluster = postgres::durable_ephemeral(&options.postgres, settings, &|_| {}).await?;
        let db = prepared(cluster.config()).await?;
        db.batch_execute(include_str!("sql/floor.sql")).await?;
        let directory = std::env::temp_dir().join(format!("tenure-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let scripts = directory.join("scripts.json");
        let call = |n: u32| json!({ "calls": [{ "name": TOOL, "arguments": { "n": n, "last": n == CALLS, "for": "the order of the day, which is 130 bytes long" } }] });
        let ten: Vec<_> = (1..=CALLS).map(call).chain([json!({ "text": "All of it is done." })]).collect();
        let endless = [json!({ "calls": [{ "name": TOOL, "arguments": { "n": 1, "last": false } }] })];
        let other = [json!({ "calls": [{ "name": OTHER, "arguments": {} }] })];
        std::fs::write(&scripts, json!({ "ten": ten, "endless": endless, "other": other }).to_string())?;
        Ok(Self { cluster, db, scripts, directory })
    }

    /// One more connection, without a limit on its statements' time.
    pub async fn connect(&self) -> Result<Client, Error> {
        connected(self.cluster.config()).await
    }

    /// Another database of the same Postgres, empty but for the schema.
    pub async fn database(&self, name: &str) -> Result<Client, Error> {
        self.db.batch_execute(&format!("create database {name}")).await?;
        let mut config = self.cluster.config().clone();
        config.dbname(name);
        prepared(&config).await
    }

    /// Forget every run.
    pub async fn forget(&self) -> Result<(), Error> {
        self.db.batch_execute(include_str!("sql/forget.sql")).await?;
        Ok(())
    }

    /// Start a server, and deploy the agents on it.
    pub async fn serve(&self) -> Result<Server, Error> {
        let server = self.server(&[]).await?;
        let mut http = Connection::open(server.address).await?;
        for (agent, model, tool, turns) in [
            (Agent::Ten, "demo/ten", TOOL, 25),
            (Agent::Endless, "demo/endless", TOOL, 1_000_000),
            (Agent::Other, "demo/other", OTHER, 25),
        ] {
            let tool = json!({ "name": tool, "description": "Does it.", "inputSchema": { "type": "object" }, "toolType": "worker" });
            let agent = json!({
                "name": agent.name(), "model": model, "instructions": "Do it.", "tools": [tool], "maxTurns": turns,
                "timeoutSeconds": 0, "external": false,
            });
            let answer = http.post("/api/agent/deploy", &json!({ "agentConfig": agent }).to_string()).await?;
            if answer.status != 200 {
                return Err(
                    format!("deploy: {} {}", answer.status, String::from_utf8_lossy(&answer.body)).into()
                );
            }
        }
        let definition =
            json!({ "name": TOOL, "retryCount": 2, "retryLogic": "FIXED", "retryDelaySeconds": 0 });
        http.post("/api/metadata/taskdefs", &json!([definition]).to_string()).await?;
        Ok(server)
    }

    /// Start one more server with these flags.
    pub async fn server(&self, flags: &[&str]) -> Result<Server, Error> {
        let port = ports::claim()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let process = Command::new(std::env::current_exe()?)
            .args(["serve", "--listen", &address.to_string(), "--model-calls", MODEL_CALLS])
            .args(["--database-url", &self.cluster.url()])
            .args(flags)
            .env("TENURE_DEMO_SCRIPT", &self.scripts)
            .env("RUST_LOG", "warn")
            .env_remove("TENURE_API_KEY")
            .env_remove("AGENTSPAN_API_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let pid = process.id().unwrap_or_default();
        let began = Instant::now();
        while !is_ready(address).await {
            if began.elapsed() > Duration::from_secs(30) {
                return Err("the server is not ready after 30 s".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Server { address, pid, process })
    }

    pub fn close(self) {
        let _ = std::fs::remove_dir_all(&self.directory);
        // Postgres and its files go with this process.
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut http) = Connection::open(address).await else { return false };
    http.get("/health/ready").await.is_ok_and(|answer| answer.status == 200)
}

async fn connected(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect().await?;
    tokio::spawn(connection);
    client
        .batch_execute(
            "set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0",
        )
        .await?;
    Ok(client)
}

async fn prepared(config: &Config) -> Result<Client, Error> {
    let mut client = connected(config).await?;
    crate::store::schema::migrate(&mut client).await?;
    Ok(client)
}

/// `tenure serve`; it ends with this value.
pub struct Server {
    pub address: SocketAddr,
    pub pid: u32,
    process: Child,
}

impl Server {
    pub async fn stop(mut self) -> Result<(), Error> {
        self.process.kill().await?;
        Ok(())
    }
}
