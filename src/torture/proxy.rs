//! Between one server and its Postgres: numbers the statements, and at a chosen one something goes wrong.
//!
//! ```text
//!  server ──► cut into statements ──► [ is it the armed one? ] ──► Postgres
//!         ◄── answers, one per statement, in order ◄──────────────
//! ```
//!
//! 1. A statement is what ends with a sync or is a simple query; several may arrive in one packet and are cut apart.
//!    Preparing one changes nothing and is not counted.
//! 2. What servers do each second by themselves is counted only when the clock is what is tested, so that the numbers
//!    of a scenario are the same each time.
//! 3. Errors are made by Postgres itself, in place of the statement, so that a transaction is aborted and a connection
//!    closed exactly as it would be.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream, UnixStream, tcp::OwnedWriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::names::Names;
use super::wire::{Frontend, Group, Messages, farewell, query};

/// How long a delayed statement waits.
const DELAY: Duration = Duration::from_millis(400);
/// How long a half-open connection says nothing before it breaks.
const SILENCE: Duration = Duration::from_secs(2);

/// What happens at a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Action {
    /// The server dies before the statement is sent
    KillBefore,
    /// The statement is done, its answer is lost, and the server dies
    KillAfter,
    /// The connection breaks before the statement is sent
    DropBefore,
    /// The statement is done, and the connection breaks before the answer
    DropAfter,
    /// Postgres answers: could not serialize access
    #[value(name = "40001")]
    #[serde(rename = "40001")]
    Serialization,
    /// Postgres answers: deadlock detected
    #[value(name = "40P01")]
    #[serde(rename = "40P01")]
    Deadlock,
    /// Postgres answers: too many connections, and closes this one
    #[value(name = "53300")]
    #[serde(rename = "53300")]
    TooMany,
    /// Postgres answers: terminating connection, and closes it
    #[value(name = "57P01")]
    #[serde(rename = "57P01")]
    Terminated,
    /// Postgres answers: this server is read-only
    #[value(name = "25006")]
    #[serde(rename = "25006")]
    ReadOnly,
    /// The statement waits a while
    Delay,
    /// Nothing goes through any more in either direction, and the connection breaks only later
    HalfOpen,
}

impl Action {
    /// As it is written on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KillBefore => "kill_before",
            Self::KillAfter => "kill_after",
            Self::DropBefore => "drop_before",
            Self::DropAfter => "drop_after",
            Self::Serialization => "40001",
            Self::Deadlock => "40P01",
            Self::TooMany => "53300",
            Self::Terminated => "57P01",
            Self::ReadOnly => "25006",
            Self::Delay => "delay",
            Self::HalfOpen => "half_open",
        }
    }

    /// Whether the server is dead afterwards.
    #[must_use]
    pub fn kills(self) -> bool {
        matches!(self, Self::KillBefore | Self::KillAfter)
    }
}

/// A statement of a scenario: the `occurrence`-th execution of `name`, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct Statement {
    /// Its file, as in `queue/take`.
    pub name: String,
    /// Which execution of it.
    pub occurrence: u32,
}

/// What servers do each second, whether anything happens or not.
const CLOCK: &[&str] = &[
    "executions/newest",
    "executions/overdue",
    "queue/expired",
    "queue/next_due",
    "queue/promote",
    "queue/ready",
    "queues/count",
    "queues/forget_stats",
    "queues/gauges",
    "workers/beat",
    "workers/forget",
    "workers/lost",
    "workers/seen",
];

/// Neither changes anything nor can anything be told apart at it.
fn is_noise(name: &str) -> bool {
    name == "START TRANSACTION"
        || name.starts_with("set local synchronous_commit")
        || name.starts_with("select pg_notify")
        || name.contains("listen tenure")
}

pub(super) fn is_clock(name: &str) -> bool {
    CLOCK.contains(&name.rsplit(' ').next().unwrap_or(name))
}

/// When, where and what.
#[derive(Debug, Clone)]
pub struct Fired {
    /// The moment.
    pub at: Instant,
    /// The statement.
    pub statement: Statement,
}

#[derive(Default)]
struct State {
    counting: bool,
    clock: bool,
    counts: HashMap<Arc<str>, u32>,
    seen: Vec<Statement>,
    /// When the last statement that counts was sent, or counting began.
    newest: Option<Instant>,
    armed: Option<(Statement, Action)>,
    /// Statements until something happens at one, whichever it is.
    strike: Option<(u32, Action)>,
    struck: u64,
}

struct Shared {
    to: PathBuf,
    names: Arc<Names>,
    victim: AtomicI32,
    state: Mutex<State>,
    fired: watch::Sender<Option<Fired>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Count a statement; what is to happen at it.
    fn arrives(&self, name: &Arc<str>) -> Option<Action> {
        let mut state = self.state();
        if let Some((left, action)) = state.strike.take() {
            if left == 0 {
                state.struck += 1;
                return Some(action);
            }
            state.strike = Some((left - 1, action));
        }
        if !state.counting || is_noise(name) || (is_clock(name) && !state.clock) {
            return None;
        }
        let count = state.counts.entry(name.clone()).or_default();
        *count += 1;
        let statement = Statement { name: name.to_string(), occurrence: *count };
        state.seen.push(statement.clone());
        state.newest = Some(Instant::now());
        let (_, action) = state.armed.take_if(|(armed, _)| *armed == statement)?;
        self.fired.send_replace(Some(Fired { at: Instant::now(), statement }));
        Some(action)
    }

    fn kill(&self) {
        if let Some(pid) = Pid::from_raw(self.victim.swap(0, Ordering::AcqRel)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// A proxy that listens.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    accepts: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

impl Proxy {
    /// Listen on a free port of this machine, in front of Postgres's socket file.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn open(to: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            to: to.to_owned(),
            names: Arc::new(Names::known()),
            victim: AtomicI32::new(0),
            state: Mutex::default(),
            fired: watch::Sender::new(None),
        });
        let accepts = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { shared, port, accepts })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who dies of a kill.
    pub fn victim(&self, pid: i32) {
        self.shared.victim.store(pid, Ordering::Release);
    }

    /// Count from 1 from here on, with the clock's statements or without, and let `armed` happen once.
    pub fn count(&self, clock: bool, armed: Option<(Statement, Action)>) {
        *self.shared.state() =
            State { counting: true, clock, armed, newest: Some(Instant::now()), ..State::default() };
        self.shared.fired.send_replace(None);
    }

    /// Let this happen at the next statement after `skip` others, whichever it is.
    pub fn strike(&self, skip: u32, action: Action) {
        self.shared.state().strike = Some((skip, action));
    }

    /// How many strikes have fallen.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.shared.state().struck
    }

    /// What was to strike and has not never will.
    pub fn calm(&self) {
        self.shared.state().strike = None;
    }

    /// Let everything through; returns what was counted.
    #[must_use]
    pub fn rest(&self) -> Vec<Statement> {
        std::mem::take(&mut *self.shared.state()).seen
    }

    /// How long nothing that counts has been said.
    #[must_use]
    pub fn quiet_for(&self) -> Duration {
        self.shared.state().newest.map_or(Duration::MAX, |newest| newest.elapsed())
    }

    /// What has happened, if it has.
    #[must_use]
    pub fn fired(&self) -> Option<Fired> {
        self.shared.fired.borrow().clone()
    }

    /// Hear of it when it happens.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Fired>> {
        self.shared.fired.subscribe()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    let shared = shared.clone();
                    connections.spawn(async move { drop(connection(client, shared).await) });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What is done with Postgres's answer to a statement.
#[derive(Debug)]
enum Answer {
    Pass,
    /// Nobody hears it; then this happens.
    Lost(End),
    /// The client hears this instead, and then nothing more.
    Instead(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Close,
    Kill,
}

#[derive(Default)]
struct Pending {
    answers: Mutex<VecDeque<Answer>>,
    frozen: AtomicBool,
}

impl Pending {
    fn answers(&self) -> MutexGuard<'_, VecDeque<Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection of the server, until either side ends it.
async fn connection(client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (from_postgres, mut to_postgres) = UnixStream::connect(&shared.to).await?.into_split();
    let (mut from_client, mut to_client) = client.into_split();
    let mut messages = Messages::default();
    let mut bytes = vec![0; 64 * 1024];
    let hello = loop {
        let many = from_client.read(&mut bytes).await?;
        messages.push(&bytes[..many]);
        match messages.first() {
            // Asked to encrypt: no.
            Some(message) if message.len() == 8 && message[4..] == 80_877_103_u32.to_be_bytes() => {
                to_client.write_all(b"N").await?;
            }
            Some(message) => break message.to_vec(),
            None if many == 0 => return Ok(()),
            None => {}
        }
    };
    let pending = Arc::new(Pending::default());
    pending.answers().push_back(Answer::Pass); // to the hello
    to_postgres.write_all(&hello).await?;
    let mut frontend = Frontend::new(shared.names.clone());
    let forwards = async {
        loop {
            let mut out = vec![];
            while let Some((kind, message)) = messages.next() {
                if matches!(kind, b'p' | b'X') {
                    out.extend_from_slice(message);
                } else if let Some(group) = frontend.take(kind, message)
                    && !forward(group, &mut out, &mut to_postgres, &shared, &pending).await?
                {
                    return Ok(());
                }
            }
            to_postgres.write_all(&out).await?;
            let many = from_client.read(&mut bytes).await?;
            if many == 0 {
                return Ok(());
            }
            messages.push(&bytes[..many]);
        }
    };
    tokio::select! {
        done = forwards => done,
        done = answer(from_postgres, to_client, &shared, &pending) => done,
    }
}

/// Send a statement on, or let something else happen; false when the connection is over.
async fn forward(
    group: Group,
    out: &mut Vec<u8>,
    to_postgres: &mut (impl AsyncWriteExt + Unpin),
    shared: &Shared,
    pending: &Pending,
) -> io::Result<bool> {
    let action = group.executes.as_ref().and_then(|name| shared.arrives(name));
    let mut send = |answer, bytes: &[u8]| {
        pending.answers().push_back(answer);
        out.extend_from_slice(bytes);
    };
    match action {
        None => send(Answer::Pass, &group.bytes),
        Some(action @ (Action::KillBefore | Action::DropBefore)) => {
            // What was sent before it was sent.
            to_postgres.write_all(out).await?;
            if action.kills() {
                shared.kill();
            }
            return Ok(false);
        }
        Some(Action::KillAfter) => send(Answer::Lost(End::Kill), &group.bytes),
        Some(Action::DropAfter) => send(Answer::Lost(End::Close), &group.bytes),
        Some(Action::Serialization) => send(Answer::Pass, &raise("40001", &group)),
        Some(Action::Deadlock) => send(Answer::Pass, &raise("40P01", &group)),
        Some(Action::ReadOnly) => send(Answer::Pass, &raise("25006", &group)),
        Some(Action::TooMany) => {
            send(Answer::Instead(farewell("53300", "sorry, too many clients already")), &goodbye());
        }
        Some(Action::Terminated) => {
            let text = "terminating connection due to administrator command";
            send(Answer::Instead(farewell("57P01", text)), &goodbye());
        }
        Some(Action::Delay) => {
            to_postgres.write_all(&std::mem::take(out)).await?;
            tokio::time::sleep(DELAY).await;
            pending.answers().push_back(Answer::Pass);
            to_postgres.write_all(&group.bytes).await?;
        }
        Some(Action::HalfOpen) => {
            to_postgres.write_all(&std::mem::take(out)).await?;
            pending.frozen.store(true, Ordering::Release);
            tokio::time::sleep(SILENCE).await;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Postgres itself fails with this code. A transaction is aborted by it; after a commit that failed there is none.
fn raise(code: &str, group: &Group) -> Vec<u8> {
    let ends = |name: &str| ["commit", "rollback"].iter().any(|end| name.to_lowercase().starts_with(end));
    let end = if group.executes.as_deref().is_some_and(ends) { "rollback; " } else { "" };
    query(&format!("{end}do $$ begin raise exception 'injected' using errcode = '{code}'; end $$"))
}

/// Postgres ends the session.
fn goodbye() -> Vec<u8> {
    query("select pg_terminate_backend(pg_backend_pid())")
}

/// Pass Postgres's answers on.
async fn answer(
    mut from_postgres: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    shared: &Shared,
    pending: &Pending,
) -> io::Result<()> {
    let mut messages = Messages::default();
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let many = from_postgres.read(&mut bytes).await?;
        messages.push(&bytes[..many]);
        let mut out = vec![];
        let mut end = (many == 0).then_some(End::Close);
        while let (None, Some((kind, message))) = (end, messages.next()) {
            let mut answers = pending.answers();
            match answers.front() {
                Some(Answer::Lost(then)) if kind == b'Z' => end = Some(*then),
                Some(Answer::Lost(_)) if kind != b'A' => {}
                Some(Answer::Instead(farewell)) => {
                    if matches!(kind, b'E' | b'Z') {
                        out.extend_from_slice(farewell);
                        end = Some(End::Close);
                    }
                }
                _ => out.extend_from_slice(message),
            }
            if kind == b'Z' {
                answers.pop_front();
            }
        }
        if pending.frozen.load(Ordering::Acquire) {
            if end.is_some() {
                std::future::pending::<()>().await;
            }
            continue;
        }
        to_client.write_all(&out).await?;
        match end {
            Some(End::Kill) => {
                shared.kill();
                return Ok(());
            }
            Some(End::Close) => return to_client.shutdown().await,
            None => {}
        }
    }
}
