//! A Postgres with full durability that is there to be hurt: killed, started again, filled up, promoted.
//!
//! It is a child of this process, reaped by it, so that a killed one is really gone. It listens on a socket only.
//! What it is told to survive is the caller's business; this module does not keep it alive.
//!
//! ```text
//! <place>/            owned by Postgres's account
//!     data/           the cluster; on a filesystem of its own if it has a Room
//!     wal/            its log, if it has a Room: a full Room is a full table space, not a crash
//!     socket/         where it listens
//!     postgres.log
//! ```

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use super::{
    Error,
    account::Account,
    binaries::{Binaries, Search},
    connection::{Config, DATABASE, USER},
    guard, home, process,
};

/// How often a waiting loop looks again.
const GLANCE: Duration = Duration::from_millis(2);
/// How long crash recovery may take.
const LONGEST_RECOVERY: Duration = Duration::from_mins(1);
/// Full durability, whatever the defaults may be one day.
const SETTINGS: [&str; 12] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "max_connections=150",
    "shared_buffers=64MB",
    "autovacuum_naptime=5s",
    "jit=off",
    "listen_addresses=",
    "lc_messages=C",
    "log_line_prefix=%m [%p] ",
    "wal_keep_size=64MB",
    "hot_standby_feedback=on",
];

/// A filesystem of limited size in memory. Only processes that enter it see it, and it goes with its holder.
#[derive(Debug)]
pub struct Room {
    holder: Child,
    megabytes: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Victim {
    place: PathBuf,
    /// Marks its processes: each of their command lines contains it.
    tag: String,
    account: Account,
    binaries: Binaries,
    room: Option<Room>,
    settings: Vec<String>,
    child: Option<Child>,
}

impl Victim {
    /// A new cluster in `place`, which must not exist yet; with `room` megabytes for its data if that is limited, by the
    /// binaries in `pg_bin` or else this system's. It does not run yet.
    ///
    /// # Errors
    ///
    /// There are no binaries, or the cluster can't be made; with a room also when this process may not mount.
    pub async fn make(pg_bin: Option<&Path>, place: &Path, room: Option<u32>) -> Result<Self, Error> {
        let mut victim = Self::prepare(pg_bin, place).await?;
        if let Some(megabytes) = room {
            victim.room = Some(Room::open(&victim.data(), megabytes, &victim.account).await?);
        }
        let mut initdb = victim.command("initdb");
        initdb.arg("-D").arg(victim.data());
        initdb.args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C", "-U", USER]);
        initdb.args(["--auth-local=trust", "--auth-host=reject"]);
        if victim.room.is_some() {
            initdb.arg("-X").arg(victim.place.join("wal"));
        }
        run(initdb, "initdb").await?;
        Ok(victim)
    }

    /// A standby of `primary`, copied from it while it runs. It does not run yet.
    ///
    /// # Errors
    ///
    /// The copy fails, or the binaries have no `pg_basebackup`.
    pub async fn standby_of(primary: &Self, place: &Path, name: &str) -> Result<Self, Error> {
        let victim = Self::prepare(Some(&primary.binaries.directory), place).await?;
        let mut copy = victim.command("pg_basebackup");
        copy.arg("-D").arg(victim.data()).args(["-R", "-X", "stream", "-c", "fast", "-d"]);
        copy.arg(format!(
            "host={} port={} user={USER} application_name={name}",
            primary.socket_dir().display(),
            home::PORT
        ));
        run(copy, "pg_basebackup").await?;
        Ok(victim)
    }

    async fn prepare(pg_bin: Option<&Path>, place: &Path) -> Result<Self, Error> {
        let account = Account::choose(&place.join("data"))?;
        let mut search = Search { account: account.clone(), major: None, attempts: Vec::new() };
        let found = match pg_bin {
            Some(directory) => search.try_directory("--pg-bin", directory).await,
            None => search.on_this_system().await,
        };
        let none =
            || Error::NotFound { attempts: search.attempts.clone(), advice: super::fetch::advice(None) };
        let binaries = found.ok_or_else(none)?;
        std::fs::create_dir_all(place).map_err(Error::file("can't create", place))?;
        let place = place.canonicalize().map_err(Error::file("can't find", place))?;
        for directory in [&place, &place.join("data"), &place.join("socket"), &place.join("wal")] {
            account.create_private(directory)?;
        }
        guard::add_directory(&place);
        let tag = format!("tenure-victim-{}", &uuid::Uuid::now_v7().simple().to_string()[16..]);
        Ok(Self { place, tag, account, binaries, room: None, settings: Vec::new(), child: None })
    }

    /// One more setting, such as `synchronous_standby_names=*`, from the next start on.
    pub fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// Its main process, if it was started.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.child.as_ref().and_then(Child::id).and_then(|pid| i32::try_from(pid).ok())
    }

    /// Where its socket is.
    #[must_use]
    pub fn socket_dir(&self) -> PathBuf {
        self.place.join("socket")
    }

    /// The url of a database of it, for `tenure serve`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user={USER}", self.socket_dir().display())
    }

    fn data(&self) -> PathBuf {
        self.place.join("data")
    }

    fn log(&self) -> PathBuf {
        self.place.join("postgres.log")
    }

    /// A command of its binaries, as its account, inside its room.
    fn command(&self, program: &str) -> Command {
        let Some(room) = &self.room else { return self.binaries.command(&self.account, program) };
        let plain = self.binaries.command(&self.account, program);
        let mut command = Command::new("nsenter");
        command.env_clear().envs(plain.as_std().get_envs().filter_map(|(k, v)| Some((k, v?))));
        command.arg(format!("--mount=/proc/{}/ns/mnt", room.pid()));
        if let Account::Other { uid, gid, .. } = &self.account {
            command.args(["-S", &uid.to_string(), "-G", &gid.to_string()]);
        }
        command.arg("--").arg(plain.as_std().get_program()).process_group(0).stdin(Stdio::null());
        command
    }

    /// Starts it, and waits until it takes connections; how long that took.
    ///
    /// # Errors
    ///
    /// It gave up, or isn't ready in a minute.
    pub async fn start(&mut self) -> Result<Duration, Error> {
        let began = Instant::now();
        self.spawn()?;
        let pid = self.pid().unwrap_or_default();
        let config = self.config("postgres")?;
        while began.elapsed() < LONGEST_RECOVERY {
            if let Ok((client, connection)) = config.connect().await {
                drop((client, connection));
                return Ok(began.elapsed());
            }
            if let Some(child) = &mut self.child
                && let Ok(Some(status)) = child.try_wait()
            {
                self.gone(pid);
                let log = home::last_lines(&std::fs::read_to_string(self.log()).unwrap_or_default());
                return Err(Error::GaveUp { program: "postgres", status: status.to_string(), log });
            }
            sleep(GLANCE).await;
        }
        let (pid, seconds) = (self.pid().unwrap_or_default(), began.elapsed().as_secs());
        Err(Error::NotReady { pid, seconds, log: self.log() })
    }

    fn spawn(&mut self) -> Result<(), Error> {
        let mut options = OpenOptions::new();
        let log = options.create(true).append(true).open(self.log());
        let log = log.map_err(Error::file("can't open", &self.log()))?;
        let same = log.try_clone().map_err(Error::file("can't open", &self.log()))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).stdout(log).stderr(same).current_dir("/");
        command.args(["-c", &format!("unix_socket_directories={}", self.socket_dir().display())]);
        command.args(["-c", &format!("port={}", home::PORT), "-c", &format!("cluster_name={}", self.tag)]);
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        command.args(self.settings.iter().flat_map(|setting| ["-c", setting]));
        let child =
            command.spawn().map_err(Error::file("can't start", &self.binaries.program("postgres")))?;
        self.child = Some(child);
        self.pid().into_iter().for_each(guard::add);
        Ok(())
    }

    /// It has ended and was reaped.
    fn gone(&mut self, pid: i32) {
        guard::remove(pid);
        self.child = None;
        let _ = std::fs::remove_file(self.inside(&self.data().join("postmaster.pid")));
    }

    /// SIGKILL to its main process; returns when nothing of it is left and it can be started again.
    pub async fn kill(&mut self) {
        self.end(Signal::KILL).await;
    }

    /// Ends it in good order.
    pub async fn stop(&mut self) {
        self.end(Signal::INT).await;
    }

    async fn end(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else { return };
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        let mut going = process::with_command_line(&self.tag);
        process::signal(pid, signal);
        if tokio::time::timeout(Duration::from_secs(20), child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
        // They notice by themselves, and use the memory that a new one needs for itself, a moment longer than they have a
        // command line.
        let began = Instant::now();
        loop {
            let left = process::with_command_line(&self.tag);
            going.extend(&left);
            going.retain(|pid| Path::new("/proc").join(pid.to_string()).exists());
            if left.is_empty() && (going.is_empty() || began.elapsed() > Duration::from_secs(5)) {
                break;
            }
            if began.elapsed() > Duration::from_secs(3) {
                for pid in left {
                    process::signal(pid, Signal::KILL);
                }
            }
            sleep(GLANCE).await;
        }
        self.gone(pid);
    }

    /// Whether its main process has ended by itself; reaps it.
    pub fn has_ended(&mut self) -> bool {
        let Some(pid) = self.pid() else { return true };
        let ended = self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
        if ended {
            self.gone(pid);
        }
        ended
    }

    /// How to connect to a database of it.
    ///
    /// # Errors
    ///
    /// Never, for a place whose name is text.
    pub fn config(&self, database: &str) -> Result<Config, Error> {
        Config::parse(&self.url(database))
    }

    /// Creates the usual database; its url.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn create_database(&self) -> Result<String, Error> {
        let (client, connection) = self.config("postgres")?.connect().await?;
        let connection = tokio::spawn(connection);
        client.batch_execute(&format!("create database {DATABASE}")).await?;
        drop(client);
        let _ = connection.await;
        Ok(self.url(DATABASE))
    }

    /// Fills its room to the last byte.
    ///
    /// # Errors
    ///
    /// It has no room, or that can't be written to.
    pub fn fill(&self) -> Result<(), Error> {
        use std::io::Write as _;
        let path = self.inside(&self.data().join("filler"));
        let error = Error::file("can't fill", &path);
        if self.room.is_none() {
            return Err(error(std::io::Error::other("it has no room of its own")));
        }
        let mut file = std::fs::File::create(&path).map_err(error)?;
        while file.write_all(&[0; 8192]).is_ok() {}
        while file.write_all(&[0; 512]).is_ok() {}
        Ok(())
    }

    /// Makes room again.
    pub fn empty(&self) {
        let _ = std::fs::remove_file(self.inside(&self.data().join("filler")));
    }

    /// A file of its data as it is reached from outside its room.
    fn inside(&self, path: &Path) -> PathBuf {
        let Some(room) = &self.room else { return path.to_owned() };
        let outside = PathBuf::from(format!("/proc/{}/root", room.pid()));
        outside.join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Drop for Victim {
    /// Nothing of it stays: it is killed, and its files go.
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            process::signal(pid, Signal::KILL);
            guard::remove(pid);
        }
        for _ in 0..100 {
            // Its processes need a moment to notice, and may write meanwhile.
            if std::fs::remove_dir_all(&self.place).is_ok() || !self.place.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Room {
    async fn open(at: &Path, megabytes: u32, account: &Account) -> Result<Self, Error> {
        let owner = match account {
            Account::Own => String::new(),
            Account::Other { uid, gid, .. } => format!(",uid={uid},gid={gid}"),
        };
        let mount = format!(
            "mount -t tmpfs -o size={megabytes}m,mode=0700{owner} tenure-room \"$1\" && echo mounted && exec cat"
        );
        let mut holder = Command::new("unshare");
        holder.args(["--mount", "sh", "-c", &mount, "sh"]).arg(at);
        holder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut holder = holder.spawn().map_err(Error::file("can't mount a filesystem at", at))?;
        let mut said = [0; 8];
        if let Some(out) = &mut holder.stdout {
            let _ = tokio::io::AsyncReadExt::read(out, &mut said).await;
        }
        if said.starts_with(b"mounted") {
            return Ok(Self { holder, megabytes });
        }
        let why = std::io::Error::other("this takes root and `unshare`");
        Err(Error::file("can't mount a filesystem at", at)(why))
    }

    fn pid(&self) -> u32 {
        self.holder.id().unwrap_or_default()
    }

    /// How large it is.
    #[must_use]
    pub fn megabytes(&self) -> u32 {
        self.megabytes
    }
}

async fn run(mut command: Command, program: &'static str) -> Result<(), Error> {
    command.current_dir("/");
    let output = command.output().await.map_err(Error::file("can't start", Path::new(program)))?;
    if output.status.success() {
        return Ok(());
    }
    let log = home::last_lines(&String::from_utf8_lossy(&output.stderr));
    Err(Error::GaveUp { program, status: output.status.to_string(), log })
}
