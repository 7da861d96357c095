//! Postgres is found, started, adopted, recovered and refused as it should be. Real processes, real kills.

mod fetched;
mod given;
mod private;

use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tenure::postgres::{self, Cluster, Error, Options};

/// A data directory of one test. When the test ends, its Postgres and its files go.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("tenure-it-").tempdir().unwrap();
        open_to_all(directory.path());
        Self(directory)
    }

    fn data_dir(&self) -> PathBuf {
        self.0.path().join("home")
    }

    fn options(&self) -> Options {
        Options {
            data_dir: self.data_dir(),
            cache_dir: self.0.path().join("cache"),
            offline: true,
            ..Options::default()
        }
    }

    /// The cluster's main process, as its pid file tells.
    fn postmaster(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.data_dir().join("postgres/data/postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pid) = self.postmaster()
            && command_line(pid).contains("cluster_name=tenure-")
        {
            kill(pid, Signal::QUIT);
            eventually_sync("postgres ends", || command_line(pid).is_empty());
        }
        if let Ok(elsewhere) = std::fs::read_link(self.data_dir().join("postgres")) {
            let _ = std::fs::remove_dir_all(elsewhere);
        }
    }
}

/// Collects what `open` reports.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Lines {
    fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

async fn open(options: &Options) -> (Result<Cluster, Error>, String) {
    let lines = Lines::default();
    let cluster = postgres::open(options, &|line| lines.0.lock().unwrap().push(line.to_owned())).await;
    let said = lines.all();
    println!("{said}");
    (cluster, said)
}

async fn opened(options: &Options) -> Cluster {
    open(options).await.0.unwrap()
}

async fn refused(options: &Options) -> String {
    let error = open(options).await.0.expect_err("it should have been refused").to_string();
    println!("{error}");
    error
}

async fn execute(cluster: &Cluster, sql: &str) -> Result<(), Error> {
    let (client, connection) = cluster.config().connect().await?;
    tokio::spawn(connection);
    Ok(client.batch_execute(sql).await?)
}

async fn text(cluster: &Cluster, sql: &str) -> String {
    let (client, connection) = cluster.config().connect().await.unwrap();
    tokio::spawn(connection);
    client.query_one(sql, &[]).await.unwrap().get(0)
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Empty for a process that is gone, or only a zombie.
fn command_line(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn eventually_sync(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How long it takes until statements work again.
async fn healed(cluster: &Cluster) -> Duration {
    let began = Instant::now();
    while execute(cluster, "insert into notes values ('after')").await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "not healed within 20 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

fn open_to_all(directory: &Path) {
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Another process that opens Postgres as told by `how` and then does nothing, until it is killed.
fn holder(how: &str, data_dir: &Path) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "postgres::be_a_holder", "--ignored", "--nocapture"])
        .env("TENURE_IT_HOLD", how)
        .env("TENURE_DATA_DIR", data_dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.into_iter().find_map(|line| Some(line.split_once("holding ")?.1.to_owned()));
    (child, said.expect("the holder ended early"))
}

fn kill_and_reap(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The other end of [`holder`].
#[tokio::test]
#[ignore = "runs only as the child process of other tests"]
async fn be_a_holder() {
    let Ok(how) = std::env::var("TENURE_IT_HOLD") else { return };
    let data_dir = PathBuf::from(std::env::var_os("TENURE_DATA_DIR").unwrap());
    let options = Options { data_dir, offline: true, ..Options::default() };
    let cluster = match how.as_str() {
        "ephemeral" => postgres::ephemeral(&options, &|_| {}).await.unwrap(),
        _ => postgres::open(&options, &|_| {}).await.unwrap(),
    };
    println!("holding {}", cluster.url());
    std::future::pending::<()>().await;
}
