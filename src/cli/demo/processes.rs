//! The demo's processes: a server and a worker, both this very binary, to be started and killed.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{Instant, sleep, timeout},
};

use crate::cli::{
    api::Api,
    failure::{Exit, Failure},
};
use crate::ports;

/// The port of the real thing, so that what is printed works elsewhere too.
const PORT: u16 = 6767;
/// How long a server may take to be ready; the first start may have to fetch Postgres.
const READY: Duration = Duration::from_mins(5);
/// How long a process may take to do what it was told.
const OBEY: Duration = Duration::from_secs(15);
/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(50);

/// Everything that the demo has started.
pub(super) struct Stage {
    binary: PathBuf,
    /// Where the database and the server's log are.
    pub data_dir: PathBuf,
    /// Where the server listens.
    pub port: u16,
    /// What the demo asks the server with.
    pub api: Api,
    server: Option<Child>,
    worker: Option<ToolWorker>,
}

/// What a tool worker performs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// Looks at incidents.
    Triage,
    /// Pays money back, and writes each payment into the ledger.
    Refunds,
}

/// A worker process, and what it says about its calls.
struct ToolWorker {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Stage {
    /// Choose directory and port; nothing is started yet.
    pub fn set(data_dir: Option<PathBuf>) -> Result<Self, Failure> {
        let cant =
            |what: String| move |error: std::io::Error| Failure::new(Exit::Failed, what).because(error);
        let binary = std::env::current_exe().map_err(cant("can't find this program's own file".into()))?;
        let data_dir = data_dir.unwrap_or_else(default_data_dir);
        std::fs::create_dir_all(&data_dir).map_err(cant(format!("can't make {}", data_dir.display())))?;
        let data_dir = data_dir.canonicalize().map_err(cant(format!("can't use {}", data_dir.display())))?;
        let port = free_port().map_err(cant("there is no free port".into()))?;
        let server = format!("http://localhost:{port}").parse().map_err(Failure::usage)?;
        let api = Api::new(server, None)?;
        Ok(Self { binary, data_dir, port, api, server: None, worker: None })
    }

    /// True when the usual port was taken.
    pub fn has_other_port(&self) -> bool {
        self.port != PORT
    }

    /// Start the server and wait until it says that it is ready. Returns its process id and how long it took.
    pub async fn start_server(&mut self) -> Result<(u32, Duration), Failure> {
        let began = Instant::now();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .and_then(|log| Ok((log.try_clone()?, log)));
        let (out, err) =
            log.map_err(|error| Failure::new(Exit::Failed, "can't write the server's log").because(error))?;
        let child = Command::new(&self.binary)
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port), "--data-dir"])
            .arg(&self.data_dir)
            // A demo of its own, whatever this shell is set up for.
            .env_remove("DATABASE_URL")
            .env_remove("TENURE_API_KEY")
            .env_remove("AGENTSPAN_API_KEY")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn();
        let child = self.server.insert(child.map_err(|error| could_not_start("server", &error))?);
        let pid = child.id().unwrap_or_default();
        while self.api.get(&["health", "ready"]).await.is_err() {
            if let Ok(Some(status)) = child.try_wait() {
                self.server = None;
                return Err(Failure::new(
                    Exit::Failed,
                    format!("the server ended before it was ready ({status})"),
                )
                .because(last_line(&self.log())));
            }
            if began.elapsed() > READY {
                return Err(Failure::new(Exit::TimedOut, "the server was not ready in time"));
            }
            sleep(LOOK).await;
        }
        Ok((pid, began.elapsed()))
    }

    /// SIGKILL the server; it is gone when this returns. Its Postgres is not touched.
    pub async fn kill_server(&mut self) -> Result<u32, Failure> {
        let mut server = self.server.take().ok_or_else(|| Failure::new(Exit::Failed, "no server runs"))?;
        kill(&mut server, "server").await
    }

    /// SIGKILL Postgres; none of its processes is left when this returns.
    pub async fn kill_postgres(&self) -> Result<u32, Failure> {
        let pid = running_postgres(&self.data_dir)
            .ok_or_else(|| Failure::new(Exit::Failed, "no Postgres of the demo runs"))?;
        kill_process(pid, Signal::KILL)
            .map_err(|error| Failure::new(Exit::Failed, "could not kill Postgres").because(error))?;
        let deadline = Instant::now() + OBEY;
        while has_postgres(&self.data_dir) {
            if Instant::now() > deadline {
                return Err(Failure::new(Exit::TimedOut, "Postgres was killed, and parts of it live on"));
            }
            sleep(LOOK).await;
        }
        Ok(pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Start a tool worker whose calls take `call`, under leases of `lease`. Returns its process id.
    pub fn start_worker(&mut self, job: Job, lease: Duration, call: Duration) -> Result<u32, Failure> {
        let mut command = Command::new(&self.binary);
        command.args(["demo-worker", "--server", &self.api.server.to_string()]);
        if job == Job::Refunds {
            command.arg("--ledger").arg(self.ledger());
        }
        let mut child = command
            .args(["--lease-secs", &lease.as_secs().to_string(), "--call-ms", &call.as_millis().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| could_not_start("worker", &error))?;
        let pid = child.id().unwrap_or_default();
        let says = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
        self.worker = Some(ToolWorker { child, says });
        Ok(pid)
    }

    /// The next thing that the worker says about its calls.
    pub async fn worker_says(&mut self, within: Duration) -> Result<String, Failure> {
        let worker = self.worker.as_mut().ok_or_else(|| Failure::new(Exit::Failed, "no worker runs"))?;
        match timeout(within, worker.says.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(_) => Err(Failure::new(Exit::Failed, "the worker ended by itself")),
            Err(_) => Err(Failure::new(Exit::TimedOut, "the worker got no call in time")),
        }
    }

    /// True when the worker lives and has said nothing since it was last listened to.
    pub async fn worker_is_busy(&mut self) -> bool {
        let Some(worker) = self.worker.as_mut() else { return false };
        let silent = timeout(Duration::ZERO, worker.says.next_line()).await.is_err();
        silent && matches!(worker.child.try_wait(), Ok(None))
    }

    /// SIGKILL the worker; it is gone when this returns. What it said before is returned too.
    pub async fn kill_worker(&mut self) -> Result<(u32, Vec<String>), Failure> {
        let mut worker = self.worker.take().ok_or_else(|| Failure::new(Exit::Failed, "no worker runs"))?;
        let pid = kill(&mut worker.child, "worker").await?;
        let mut said = vec![];
        while let Ok(Some(line)) = worker.says.next_line().await {
            said.push(line);
        }
        Ok((pid, said))
    }

    /// Resolves when the server ends by itself.
    pub async fn server_death(&mut self) {
        match &mut self.server {
            Some(server) => drop(server.wait().await),
            None => std::future::pending().await,
        }
    }

    /// Stop everything in good order; nothing runs any more when this returns without error.
    pub async fn clear(&mut self) -> Result<(), Failure> {
        let worker = self.worker.take().map(|worker| worker.child);
        let children = [("worker", worker), ("server", self.server.take())];
        for (name, child) in children.into_iter().filter_map(|(name, child)| Some((name, child?))) {
            stop(name, child).await?;
        }
        let deadline = Instant::now() + OBEY;
        while let Some(postgres) = running_postgres(&self.data_dir) {
            if Instant::now() > deadline {
                let what = format!("Postgres (process {}) still runs", postgres.as_raw_nonzero());
                return Err(
                    Failure::new(Exit::Failed, what).next(format!("kill -INT {}", postgres.as_raw_nonzero()))
                );
            }
            // A killed server could not stop its Postgres, and if none took it over, it is ours to stop.
            let _ = kill_process(postgres, Signal::INT);
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// What to look at when something went wrong.
    pub fn look_at_log(&self) -> String {
        format!("the server's log is {}", self.log().display())
    }

    /// Where payments are written, one per line.
    pub fn ledger(&self) -> PathBuf {
        self.data_dir.join("demo-ledger.txt")
    }

    fn log(&self) -> PathBuf {
        self.data_dir.join("demo-server.log")
    }
}

/// A demo keeps its database, so that the next one starts faster and its runs can be looked at. As root, Postgres runs
/// as another user, who can't look into root's home.
fn default_data_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/var/lib/tenure-demo".into();
    }
    let home = std::env::home_dir().unwrap_or_else(std::env::temp_dir);
    std::env::var_os("XDG_DATA_HOME")
        .map_or_else(|| home.join(".local/share"), PathBuf::from)
        .join("tenure/demo")
}

fn free_port() -> std::io::Result<u16> {
    TcpListener::bind(("127.0.0.1", PORT)).map_or_else(|_| ports::claim(), |_| Ok(PORT))
}

async fn kill(child: &mut Child, name: &str) -> Result<u32, Failure> {
    use std::os::unix::process::ExitStatusExt;
    let pid = child.id().ok_or_else(|| Failure::new(Exit::Failed, format!("the {name} ended by itself")))?;
    let status = match child.start_kill() {
        Ok(()) => child.wait().await,
        Err(error) => Err(error),
    };
    match status {
        Ok(status) if status.signal() == Some(9) => Ok(pid),
        other => Err(Failure::new(Exit::Failed, format!("the {name} did not die by SIGKILL ({other:?})"))),
    }
}

/// SIGTERM, and SIGKILL for who doesn't obey.
async fn stop(name: &str, mut child: Child) -> Result<ExitStatus, Failure> {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = kill_process(pid, Signal::TERM);
    }
    if let Ok(Ok(status)) = timeout(OBEY, child.wait()).await {
        return Ok(status);
    }
    let killed = child.kill().await;
    Err(Failure::new(
        Exit::Failed,
        format!("the {name} did not stop in {OBEY:?} and was killed ({killed:?})"),
    ))
}

/// The Postgres of `data_dir`, if it is alive. A stale file may name a process id that has become somebody else's; Postgres
/// works in its cluster's directory, and nobody else does.
fn running_postgres(data_dir: &Path) -> Option<Pid> {
    let cluster = cluster(data_dir)?;
    let pid_file = std::fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(pid_file.lines().next()?.trim().parse().ok()?)?;
    let works_in = std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).ok()?;
    (works_in == cluster && test_kill_process(pid).is_ok()).then_some(pid)
}

/// Where the cluster of `data_dir` is; its directory may be a link to where Postgres's account can reach it.
fn cluster(data_dir: &Path) -> Option<PathBuf> {
    data_dir.join("postgres/data").canonicalize().ok()
}

/// Whether anything of the Postgres of `data_dir` is alive; its parts outlive a killed Postgres for a moment.
fn has_postgres(data_dir: &Path) -> bool {
    let Some(cluster) = cluster(data_dir) else { return false };
    let mut all =
        std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    all.any(|process| std::fs::read_link(process.join("cwd")).is_ok_and(|works_in| works_in == cluster))
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    crate::cli::text::line(text.trim_end().lines().last().unwrap_or_default(), 300)
}

fn could_not_start(name: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("could not start the {name}")).because(error)
}
