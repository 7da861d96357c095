//! What a point is played on.
//!
//! ```text
//!  one Postgres ┬─ database of lane 1 ◄── proxy ◄── victim ◄──┐
//!               │                     ◄──────────── other  ◄──┴─ the careful client; three workers ──► sink
//!               └─ database of lane 2 …
//! ```
//!
//! Commits of this Postgres do not wait for the disk: processes die here, never the machine. Leases last a second, the
//! shortest that a task's definition can say.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::config::Host;

use super::Error;
use super::client::Careful;
use super::process::{Process, tenure};
use super::proxy::Proxy;
use super::sink::Sink;
use crate::ports;
use crate::postgres::{self, Cluster, Config};
use crate::store::{judge, schema};

/// How long a server may take to be ready.
const READY: Duration = Duration::from_secs(30);
/// Workers of a lane.
const WORKERS: usize = 3;
const TEMPLATE: &str = "tenure_template";

/// Tools that the driver performs, and those that workers do.
pub(super) const STEP: &str = "step";
pub(super) const WORK: &str = "work";
/// A tool whose failed attempts wait a second.
pub(super) const SLOW: &str = "slow_retry";

/// One Postgres, and room for files.
pub struct Stage {
    cluster: Cluster,
    directory: PathBuf,
}

impl Stage {
    /// Start Postgres, make the template.
    ///
    /// # Errors
    ///
    /// Postgres can't be had.
    pub async fn set(options: &postgres::Options) -> Result<Self, Error> {
        let cluster = postgres::ephemeral(options, &|line| tracing::debug!("postgres: {line}")).await?;
        let id = uuid::Uuid::now_v7().simple().to_string();
        let directory = std::env::temp_dir().join(format!("tenure-torture-{}", &id[20..]));
        std::fs::create_dir_all(&directory)?;
        let stage = Self { cluster, directory };
        stage.admin(&format!("create database {TEMPLATE}")).await?;
        schema::migrate(&mut stage.connect(TEMPLATE).await?).await?;
        Ok(stage)
    }

    async fn admin(&self, sql: &str) -> Result<(), Error> {
        let (client, connection) = self.cluster.config().connect().await?;
        tokio::spawn(connection);
        Ok(client.batch_execute(sql).await?)
    }

    async fn connect(&self, database: &str) -> Result<Client, Error> {
        let mut config = self.cluster.config().clone();
        connect(config.dbname(database)).await
    }

    /// A fresh database with the newest schema, or with nothing; its name.
    ///
    /// # Errors
    ///
    /// Postgres says no.
    pub async fn database(&self, name: &str, migrated: bool) -> Result<(), Error> {
        let template = if migrated { format!("template {TEMPLATE}") } else { String::new() };
        self.admin(&format!("drop database if exists {name} with (force)")).await?;
        self.admin(&format!("create database {name} {template}")).await
    }

    /// Postgres's version.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub async fn version(&self) -> Result<String, Error> {
        let row = self.connect(TEMPLATE).await?.query_one("show server_version", &[]).await?;
        Ok(row.try_get(0)?)
    }

    /// Postgres's socket file.
    fn socket(&self) -> Result<PathBuf, Error> {
        let driver = self.cluster.config().driver();
        match driver.get_hosts() {
            [Host::Unix(directory), ..] => {
                let port = driver.get_ports().first().copied().unwrap_or(5432);
                Ok(directory.join(format!(".s.PGSQL.{port}")))
            }
            _ => Err(Error::Stage("this Postgres is not behind a socket file".into())),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect().await?;
    tokio::spawn(connection);
    Ok(client)
}

/// `tenure serve`.
pub struct Server {
    /// Where it listens.
    pub base: String,
    port: u16,
    database: String,
    log: PathBuf,
    /// Its process.
    pub process: Process,
}

impl Server {
    /// Start one; returns before it is ready.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn start(database: &str, log: &Path) -> io::Result<Self> {
        let port = ports::claim()?;
        let process = serve(port, database, log)?;
        let base = format!("http://127.0.0.1:{port}");
        Ok(Self { base, port, database: database.to_owned(), log: log.to_owned(), process })
    }

    /// Start it again at the same address, after its death; returns before it is ready.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn start_again(&mut self) -> io::Result<()> {
        self.process = serve(self.port, &self.database, &self.log)?;
        Ok(())
    }

    /// Wait until it answers that it is.
    ///
    /// # Errors
    ///
    /// It ended, or it takes too long.
    pub async fn ready(&mut self, http: &reqwest::Client) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            let asked =
                http.get(format!("{}/health/ready", self.base)).timeout(Duration::from_secs(2)).send();
            if asked.await.is_ok_and(|answer| answer.status() == 200) {
                return Ok(());
            }
            if self.process.has_ended() || began.elapsed() > READY {
                let log = self.process.last_lines(20);
                return Err(Error::Stage(format!("a server did not get ready; its log ends:\n{log}")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn serve(port: u16, database: &str, log: &Path) -> io::Result<Process> {
    let mut command =
        tenure(&["serve", "--listen", &format!("127.0.0.1:{port}"), "--database-url", database])?;
    command.env("NO_COLOR", "1");
    Process::start(command, log)
}

/// One database with two servers and three workers.
pub struct Lane {
    /// From 1.
    pub number: usize,
    /// The lane's own way to its database.
    pub db: Client,
    /// Between the victim and Postgres.
    pub proxy: Proxy,
    /// The server to which everything happens.
    pub victim: Server,
    /// The one that stays.
    pub other: Server,
    /// Effects of this lane.
    pub sink: Sink,
    /// Its client.
    pub client: Careful,
    /// Room for files.
    pub directory: PathBuf,
    workers: Vec<Process>,
    /// Whether the victim has done nothing since it was started.
    pub fresh: bool,
    config: Config,
}

impl Lane {
    /// Start everything and wait until it works.
    ///
    /// # Errors
    ///
    /// A part of it did not start.
    pub async fn open(stage: &Stage, number: usize) -> Result<Self, Error> {
        let name = format!("lane_{number}");
        stage.database(&name, true).await?;
        let directory = stage.directory.join(&name);
        std::fs::create_dir_all(&directory)?;
        let mut config = stage.cluster.config().clone();
        config.dbname(&name);
        let proxy = Proxy::open(&stage.socket()?).await?;
        let user = stage.cluster.config().driver().get_user().unwrap_or("tenure");
        let through = format!("postgres://{user}@127.0.0.1:{}/{name}?sslmode=disable", proxy.port());
        let victim = Server::start(&through, &directory.join("victim.log"))?;
        let other = Server::start(&config.url(), &directory.join("other.log"))?;
        let client = Careful::new([victim.base.clone(), other.base.clone()])?;
        let mut lane = Self {
            number,
            db: connect(&config).await?,
            proxy,
            victim,
            other,
            sink: Sink::at(&directory.join("effects")),
            client,
            directory,
            workers: vec![],
            fresh: true,
            config,
        };
        lane.victim.ready(lane.client.http()).await?;
        lane.other.ready(lane.client.http()).await?;
        lane.proxy.victim(lane.victim.process.pid());
        for (task, delay) in [(STEP, 0), (WORK, 0), (SLOW, 1)] {
            let definition = json!({
                "name": task, "retryCount": 3, "retryLogic": "FIXED", "retryDelaySeconds": delay,
                "responseTimeoutSeconds": 1, "timeoutSeconds": 0,
            });
            lane.client.other("PUT", "/api/metadata/taskdefs", Some(&definition)).await?;
        }
        for worker in 1..=WORKERS {
            let mut command = tenure(&["torture-worker", "--server", &lane.other.base, "--sink"])?;
            command.arg(lane.sink.file());
            let log = lane.directory.join(format!("worker-{worker}.log"));
            lane.workers.push(Process::start(command, &log)?);
        }
        Ok(lane)
    }

    /// How its database is reached.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A file with what a model answers turn by turn; the model's name.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn script(&self, name: &str, steps: &Value) -> io::Result<String> {
        let file = self.directory.join(format!("{name}.json"));
        if !file.exists() {
            std::fs::write(&file, steps.to_string())?;
        }
        Ok(format!("demo/script:{}", file.display()))
    }

    /// Start the victim again if it is dead.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn revive(&mut self) -> Result<(), Error> {
        if self.victim.process.has_ended() {
            self.victim.start_again()?;
            self.fresh = true;
        }
        self.victim.ready(self.client.http()).await?;
        self.proxy.victim(self.victim.process.pid());
        Ok(())
    }

    /// Kill the victim and start it again: it remembers nothing.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn refresh(&mut self) -> Result<(), Error> {
        self.victim.process.kill().await;
        self.revive().await
    }

    /// Forget all runs, so that looking at all of them stays cheap.
    ///
    /// # Errors
    ///
    /// Postgres says no.
    pub async fn clear(&mut self) -> Result<(), Error> {
        judge::clear(&self.db).await?;
        Ok(self.sink.clear()?)
    }
}
