//! A private cluster: made once, started or adopted, kept alive, stopped.
//!
//! ```text
//!              take the lock
//!                    │
//!   running? ──yes──►adopt ──────────────┐
//!      │no                               ▼
//!   clear a crash's remains ► (initdb) ► start ► ready ► database ► supervise ──stop──► stopped
//!                                        ▲                             │ it died
//!                                        └─────────────────────────────┘
//! ```
//!
//! 1. One process at a time holds the data directory; only the holder starts or stops Postgres.
//! 2. A cluster appears whole or not at all: it is made beside its place and then renamed.
//! 3. Whatever was killed, the next start gets the cluster back with every committed transaction.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::JoinHandle, time::sleep};
use tokio_postgres::error::SqlState;

use super::{
    Cluster, Config, Error, Options, Report, Source,
    binaries::{Binaries, Search},
    connection::{DATABASE, USER},
    fetch,
    home::{self, Home},
    lock::DataDirLock,
    postmaster::{self, Postmaster},
};

/// For a laptop: full durability, modest memory. Whoever wants others sets them by `ALTER SYSTEM`.
const SETTINGS: &str = "\
# Written by tenure at each start. Change settings with ALTER SYSTEM, which comes after this file.
fsync = on
synchronous_commit = on
full_page_writes = on
max_connections = 60
shared_buffers = 128MB
max_wal_size = 1GB
checkpoint_timeout = 15min
autovacuum_naptime = 5s
autovacuum_vacuum_cost_limit = 2000
jit = off
log_checkpoints = off
log_line_prefix = '%m [%p] '
lc_messages = 'C'
";

/// How long a process that looks ready may take no session.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

/// What this process has to let go of in the end.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) lock: DataDirLock,
    stop: oneshot::Sender<()>,
    supervisor: JoinHandle<Result<(), Error>>,
}

impl Owned {
    /// Stops Postgres, then lets go of the data directory.
    pub(super) async fn stop(self) -> Result<(), Error> {
        let _ = self.stop.send(());
        self.supervisor.await.unwrap_or(Ok(()))
    }
}

/// Everything that starting this cluster takes, also a second time.
struct Launch {
    home: Home,
    binaries: Binaries,
    /// Settings of a cluster that is gone with this process; empty for one that stays.
    fleeting: &'static [&'static str],
}

/// Adopts, restarts or makes the private cluster of `options.data_dir`, and keeps it running.
pub(super) async fn open(options: &Options, report: Report<'_>) -> Result<Cluster, Error> {
    let data_dir = create_data_dir(&options.data_dir)?;
    let lock = DataDirLock::take(&data_dir).await?;
    let home = Home::open(&data_dir, report)?;
    let (mut cluster, launch, postmaster) = bring_up(home, options, &[], report).await?;
    let (stop, stopped) = oneshot::channel();
    let supervisor = tokio::spawn(supervise(launch, postmaster, stopped));
    cluster.owned = Some(Owned { lock, stop, supervisor });
    Ok(cluster)
}

/// As [`open`], but with other settings, and nobody keeps it running. Also gives the main process's id.
pub(super) async fn open_fleeting(
    options: &Options,
    settings: &'static [&'static str],
    report: Report<'_>,
) -> Result<(Cluster, i32), Error> {
    let home = Home::open(&create_data_dir(&options.data_dir)?, report)?;
    let (cluster, _, postmaster) = bring_up(home, options, settings, report).await?;
    Ok((cluster, postmaster.pid))
}

/// The cluster's main process once it answers, if one runs. One that is just ending is waited for.
async fn adopt(home: &Home, report: Report<'_>) -> Result<Option<Postmaster>, Error> {
    let config = Config::socket(&home.socket_dir());
    let began = Instant::now();
    loop {
        let Some(mut found) = postmaster::find_or_clear(home, report).await else { return Ok(None) };
        match found.ready(report).await {
            Ok(()) if answers(&config).await => return Ok(Some(found)),
            Ok(()) if began.elapsed() > LONGEST_SILENCE => {
                let seconds = began.elapsed().as_secs();
                return Err(Error::NotReady { pid: found.pid, seconds, log: home.log() });
            }
            Ok(()) => sleep(Duration::from_millis(10)).await, // its pid file outlives a killed one
            Err(Error::GaveUp { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether sessions can be opened, our database being there or not.
async fn answers(config: &Config) -> bool {
    match config.connect().await {
        Ok(_) => true,
        Err(Error::Postgres(error)) => error.code().is_some_and(|code| *code != SqlState::CANNOT_CONNECT_NOW),
        Err(_) => false,
    }
}

async fn bring_up(
    home: Home,
    options: &Options,
    fleeting: &'static [&'static str],
    report: Report<'_>,
) -> Result<(Cluster, Launch, Postmaster), Error> {
    let began = Instant::now();
    let running = adopt(&home, report).await?;
    let binaries = find_binaries(options, &home, report).await?;
    let launch = Launch { home, binaries, fleeting };
    let (postmaster, how) = if let Some(postmaster) = running {
        (postmaster, "which was running already")
    } else {
        let how = launch.make_if_missing(report).await?;
        (launch.start(report).await?, how)
    };
    let home = &launch.home;
    let config = Config::socket(&home.socket_dir());
    create_database(&config, report).await?;
    home.remember_binaries(&launch.binaries.directory);
    let version = &launch.binaries.version;
    let description = format!("private Postgres {version} in {}", home.root().display());
    let took = began.elapsed().as_secs_f32();
    report(&format!("{description}, {how}, is ready after {took:.2} s (pid {})", postmaster.pid));

    let binaries = Some(launch.binaries.directory.clone());
    Ok((Cluster { config, description, binaries, owned: None }, launch, postmaster))
}

/// The running private cluster of `data_dir`, without any right to it.
pub(super) async fn find_running(data_dir: &Path) -> Result<Option<Cluster>, Error> {
    let Ok(data_dir) = data_dir.canonicalize() else { return Ok(None) };
    let Some(home) = Home::find(&data_dir)? else { return Ok(None) };
    let Some(mut postmaster) = postmaster::find(&home) else { return Ok(None) };
    postmaster.ready(&|_| {}).await?;
    Ok(Some(Cluster {
        config: Config::socket(&home.socket_dir()),
        description: format!("private Postgres in {} (pid {})", home.root().display(), postmaster.pid),
        binaries: home.last_binaries(),
        owned: None,
    }))
}

/// Stops the private cluster of `data_dir` when nobody works with it. Says whether one ran.
pub(super) async fn stop(data_dir: &Path) -> Result<bool, Error> {
    let Ok(data_dir) = data_dir.canonicalize() else { return Ok(false) };
    let _lock = DataDirLock::take(&data_dir).await?;
    let Some(home) = Home::find(&data_dir)? else { return Ok(false) };
    let Some(mut postmaster) = postmaster::find(&home) else { return Ok(false) };
    postmaster.stop().await?;
    Ok(true)
}

fn create_data_dir(data_dir: &Path) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(data_dir).map_err(Error::file("can't create", data_dir))?;
    data_dir.canonicalize().map_err(Error::file("can't find", data_dir))
}

/// Finds the binaries for `home`, the ones that ran it last before all others.
async fn find_binaries(options: &Options, home: &Home, report: Report<'_>) -> Result<Binaries, Error> {
    let mut search = Search { account: home.account.clone(), major: home.major(), attempts: Vec::new() };
    let found = choose(options, home, &mut search, report).await;
    found.ok_or_else(|| Error::NotFound { attempts: search.attempts, advice: fetch::advice(home.major()) })
}

async fn choose(options: &Options, home: &Home, search: &mut Search, report: Report<'_>) -> Option<Binaries> {
    let chosen = |binaries: Binaries, why: &str| {
        report(&format!("Postgres {} from {} ({why})", binaries.version, binaries.directory.display()));
        Some(binaries)
    };
    if let Some(directory) = &options.pg_bin {
        return chosen(search.try_directory("--pg-bin", directory).await?, "--pg-bin");
    }
    if options.source == Source::Bin {
        return search.note("--pg bin", "give the directory with --pg-bin");
    }
    let any = matches!(options.source, Source::Auto | Source::Private);
    if any
        && let Some(directory) = home.last_binaries()
        && let Some(found) = search.try_directory("the binaries of the last start", &directory).await
    {
        return chosen(found, "as at the last start");
    }
    if options.source == Source::System {
        return chosen(search.on_this_system().await?, "--pg system");
    }
    if any && let Some(found) = search.on_this_system().await {
        return chosen(found, "found on this system");
    }
    let (found, why) = fetch::from_cache_or_network(options, search, report).await?;
    chosen(found, why)
}

impl Launch {
    /// Makes the cluster unless there is one. Says which it was.
    async fn make_if_missing(&self, report: Report<'_>) -> Result<&'static str, Error> {
        if self.home.major().is_some() {
            return Ok("started again");
        }
        report(&format!("creating a database cluster in {}", self.home.root().display()));
        let unfinished = self.home.root().join("unfinished");
        if self.initdb(&unfinished, "C.UTF-8").await.is_err() {
            self.initdb(&unfinished, "C").await?;
        }
        let path = unfinished.join("postgresql.conf");
        let mut conf = std::fs::read_to_string(&path).map_err(Error::file("can't read", &path))?;
        conf.push_str("\ninclude_if_exists = 'tenure.conf'\n");
        std::fs::write(&path, conf).map_err(Error::file("can't write", &path))?;

        let data = self.home.data();
        std::fs::rename(&unfinished, &data).map_err(Error::file("can't create", &data))?;
        if self.fleeting.is_empty() {
            sync_file_system(&data).await?;
        }
        Ok("newly made")
    }

    async fn initdb(&self, directory: &Path, locale: &str) -> Result<(), Error> {
        if directory.exists() {
            std::fs::remove_dir_all(directory).map_err(Error::file("can't remove", directory))?;
        }
        let mut command = self.binaries.command(&self.home.account, "initdb");
        command.current_dir(self.home.root()).arg("-D").arg(directory);
        command.args(["--no-sync", "--no-instructions", "--encoding=UTF8", "-U", USER]);
        command.args(["--auth-local=trust", "--auth-host=reject", &format!("--locale={locale}")]);
        let output =
            command.output().await.map_err(Error::file("can't start", &self.binaries.program("initdb")))?;
        if output.status.success() {
            return Ok(());
        }
        let log = home::last_lines(&String::from_utf8_lossy(&output.stderr));
        if log.contains("could not look up effective user ID") {
            return Err(Error::Account(format!(
                "Postgres can't be started by uid {}, because this system knows no account with that number; \
                 add one to /etc/passwd, or set DATABASE_URL",
                self.home.account.uid()
            )));
        }
        Err(Error::GaveUp { program: "initdb", status: output.status.to_string(), log })
    }

    /// Starts the cluster and waits until it takes connections.
    async fn start(&self, report: Report<'_>) -> Result<Postmaster, Error> {
        let conf = self.home.data().join("tenure.conf");
        std::fs::write(&conf, SETTINGS).map_err(Error::file("can't write", &conf))?;
        self.home.account.give(&conf)?;
        let mut postmaster = postmaster::start(&self.home, &self.binaries, self.fleeting)?;
        postmaster.ready(report).await?;
        Ok(postmaster)
    }

    /// Gets a cluster back that died under us: adopts it if somebody was quicker, else starts it.
    async fn revive(&self) -> Result<Postmaster, Error> {
        let report = |line: &str| tracing::info!("{line}");
        match adopt(&self.home, &report).await? {
            Some(postmaster) => Ok(postmaster),
            None => self.start(&report).await,
        }
    }
}

/// Keeps the cluster running until told to stop it, or until the [`Cluster`] is dropped.
async fn supervise(
    launch: Launch,
    mut postmaster: Postmaster,
    mut stop: oneshot::Receiver<()>,
) -> Result<(), Error> {
    loop {
        tokio::select! {
            biased;
            told = &mut stop => return if told.is_ok() { postmaster.stop().await } else { Ok(()) },
            how = postmaster.ended() => {
                tracing::warn!(postgres.pid = postmaster.pid, "private Postgres ended unexpectedly ({how}); starting it again");
            }
        }
        let mut pause = Duration::from_millis(100);
        postmaster = loop {
            match launch.revive().await {
                Ok(postmaster) => break postmaster,
                Err(error) => {
                    tracing::error!(%error, retry_ms = pause.as_millis(), "private Postgres doesn't start");
                }
            }
            tokio::select! {
                _ = &mut stop => return Ok(()),
                () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
            }
        };
        tracing::info!(postgres.pid = postmaster.pid, "private Postgres is back");
    }
}

/// Creates our database in a new cluster. Also finishes what a kill interrupted.
async fn create_database(config: &Config, report: Report<'_>) -> Result<(), Error> {
    match config.connect().await {
        Ok(_) => return Ok(()),
        Err(Error::Postgres(error)) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) => {}
        Err(error) => return Err(error),
    }
    let mut maintenance = config.clone();
    maintenance.dbname("postgres");
    let (client, connection) = maintenance.connect().await?;
    tokio::spawn(connection);
    let builds_with_lz4 = client
        .query_one(
            "select 'lz4' = any (enumvals) from pg_settings where name = 'default_toast_compression'",
            &[],
        )
        .await?
        .get(0);
    if builds_with_lz4 {
        client.execute("alter system set default_toast_compression = lz4", &[]).await?;
        client.execute("alter system set wal_compression = lz4", &[]).await?;
        client.execute("select pg_reload_conf()", &[]).await?;
    }
    client.batch_execute(&format!("create database {DATABASE}")).await?;
    report(&format!("created the database {DATABASE}"));
    Ok(())
}

/// Brings a new cluster to the disk at once, which is quicker than initdb's file by file.
async fn sync_file_system(data: &Path) -> Result<(), Error> {
    let path = data.to_owned();
    let synced = tokio::task::spawn_blocking(move || {
        #[cfg(target_os = "linux")]
        return std::fs::File::open(path).and_then(|data| Ok(rustix::fs::syncfs(data)?));
        #[cfg(not(target_os = "linux"))]
        {
            drop(path);
            rustix::fs::sync();
            Ok(())
        }
    });
    synced.await.unwrap_or(Ok(())).map_err(Error::file("can't sync", data))
}
