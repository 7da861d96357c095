//! Processes that end with the test that started them.

use std::{
    fs::File,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Mutex, OnceLock},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Kills what is left when this process has ended without cleaning up. `+ pid` adds, `- pid` takes away; a negative
/// pid is a process group.
const GUARD: &str = r#"
while read -r sign pid; do
    case $sign in
        +) pids="$pids $pid " ;;
        -) pids=$(printf '%s' "$pids" | sed "s/ $pid //") ;;
    esac
done
[ -z "$pids" ] || kill -s KILL -- $pids
"#;

#[expect(clippy::zombie_processes, reason = "the guard outlives this process")]
fn tell_guard(sign: char, pid: i32) {
    static GUARD_INPUT: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let input = GUARD_INPUT.get_or_init(|| {
        let mut guard =
            Command::new("sh").args(["-c", GUARD]).stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        Mutex::new(guard.stdin.take().unwrap())
    });
    let mut input = input.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    writeln!(input, "{sign} {pid}").unwrap();
}

/// A running program, with what it wrote.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    leads: bool,
    reaped: bool,
}

impl Process {
    /// Start `command`; what it writes is added to `<directory>/<name>.log`.
    pub fn start(command: Command, name: &str, directory: &Path) -> Self {
        Self::spawn(command, name, directory, false)
    }

    /// The same with a process group of its own, which is killed as a whole: for programs that leave children behind.
    pub fn start_group(mut command: Command, name: &str, directory: &Path) -> Self {
        command.process_group(0);
        Self::spawn(command, name, directory, true)
    }

    fn spawn(mut command: Command, name: &str, directory: &Path, leads: bool) -> Self {
        let log = directory.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let process = Self { child, name: name.to_owned(), log, leads, reaped: false };
        tell_guard('+', process.guarded());
        process
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(&mut self) {
        if !self.reaped {
            if self.leads {
                kill_process_group(Pid::from_raw(self.pid()).unwrap(), Signal::KILL).unwrap();
            }
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            self.reap();
        }
    }

    fn reap(&mut self) {
        self.reaped = true;
        tell_guard('-', self.guarded());
    }

    fn guarded(&self) -> i32 {
        if self.leads { -self.pid() } else { self.pid() }
    }

    /// How it ended, if it has.
    pub fn try_ended(&mut self) -> Option<ExitStatus> {
        let ended = self.child.try_wait().unwrap();
        if ended.is_some() && !self.reaped {
            self.reap();
        }
        ended
    }

    /// Wait for its end.
    pub async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        super::within(patience, &what, async || self.try_ended()).await
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(60)..];
            println!("---- last lines of {} ----\n{}\n----", self.name, shown.join("\n"));
        }
    }
}
