//! The real binary, serving.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{Http, Process, Signal, TestDb, database::background, within};

/// A port that nobody listens on, and that is nobody else's in these tests.
pub fn free_port() -> u16 {
    tenure::ports::claim().unwrap()
}

/// The `tenure` command with an environment that holds nothing of ours.
pub fn tenure(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command.env_clear().args(args);
    for name in ["PATH", "HOME", "XDG_CACHE_HOME", "TENURE_PG_BIN", "TENURE_CACHE_DIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// A data directory with a Postgres of its own, which goes with it.
pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("tenure-it-").tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(directory)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.0.path().join("home")
    }

    /// The main process of its Postgres, as its pid file tells.
    pub fn postmaster(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.data_dir().join("postgres/data/postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }

    /// A connection of the test's own to its Postgres.
    pub async fn connect(&self) -> tokio_postgres::Client {
        let cluster = tenure::postgres::find_running(&self.data_dir()).await.unwrap().unwrap();
        let (client, connection) = cluster.config().connect().await.unwrap();
        background().spawn(connection);
        client
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let data_dir = self.data_dir();
        let stopped = background().spawn(async move { tenure::postgres::stop(&data_dir).await.is_ok() });
        let deadline = Instant::now() + Duration::from_secs(10);
        while !stopped.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Ok(elsewhere) = std::fs::read_link(self.data_dir().join("postgres")) {
            let _ = std::fs::remove_dir_all(elsewhere);
        }
    }
}

type Configure = Box<dyn Fn(&mut Command) + Send>;

/// `tenure serve`. Answers to [`Http`]'s methods.
pub struct Server {
    http: Http,
    process: Process,
    configure: Configure,
    directory: TempDir,
}

impl std::ops::Deref for Server {
    type Target = Http;

    fn deref(&self) -> &Http {
        &self.http
    }
}

impl Server {
    /// On a database, ready.
    pub async fn start(db: &TestDb) -> Self {
        Self::with(db, |_| {}).await
    }

    /// The same with more flags and environment.
    pub async fn with(db: &TestDb, configure: impl Fn(&mut Command) + Send + 'static) -> Self {
        let url = db.url().to_owned();
        Self::configured(Box::new(move |command| configure(command.args(["--database-url", &url])))).await
    }

    /// On whatever Postgres this url leads to.
    pub async fn at(url: &str) -> Self {
        let url = url.to_owned();
        let configure = move |command: &mut Command| {
            command.args(["--database-url", &url]);
        };
        Self::configured(Box::new(configure)).await
    }

    /// With a private Postgres.
    pub async fn private(home: &Home) -> Self {
        let data_dir = home.data_dir();
        let configure = move |command: &mut Command| {
            command.arg("--data-dir").arg(&data_dir);
        };
        Self::configured(Box::new(configure)).await
    }

    async fn configured(configure: Configure) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let http = Http::new(format!("http://127.0.0.1:{}", free_port()));
        let process = spawn(&http, &configure, directory.path());
        let mut server = Self { http, process, configure, directory };
        server.ready().await;
        server
    }

    /// Wait until it is.
    pub async fn ready(&mut self) {
        let http = self.http.clone();
        within(Duration::from_secs(30), "the server is ready", async || {
            let ended = self.process.try_ended();
            assert!(ended.is_none(), "the server ended ({}):\n{}", ended.unwrap(), self.process.log());
            http.try_get("/health/ready").await.ok().filter(|answer| answer.status == 200)
        })
        .await;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Start it again after a kill, at the same address; returns before it is ready.
    pub fn start_again(&mut self) {
        self.process = spawn(&self.http, &self.configure, self.directory.path());
    }

    /// Kill it, start it again, and wait until it is ready.
    pub async fn restart(&mut self) {
        self.kill();
        self.start_again();
        self.ready().await;
    }

    /// SIGTERM; how it ended, and how long that took.
    pub async fn terminate(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        self.process.signal(Signal::TERM);
        let status = self.ended().await;
        (status, began.elapsed())
    }

    /// Wait for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        self.process.ended(Duration::from_secs(20)).await
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// `tenure worker` for a queue, with a shell script as its program and `more` flags.
    pub fn worker(&self, queue: &str, more: &[&str], program: &str) -> Process {
        let args = [&["worker", "--queue", queue], more, &["--", "sh", "-c", program]].concat();
        let mut command = tenure(&args);
        command.env("TENURE_SERVER_URL", self.http.base());
        Process::start(command, &format!("worker-{queue}"), self.directory.path())
    }

    /// A place for files that goes with the server.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

fn spawn(http: &Http, configure: &Configure, directory: &Path) -> Process {
    let address = http.base().strip_prefix("http://").unwrap();
    let mut command = tenure(&["serve", "--listen", address]);
    configure(&mut command);
    Process::start(command, "server", directory)
}
