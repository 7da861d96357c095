//! Whatever way this process ends, also by SIGKILL: what it put under guard ends and goes too.
//!
//! A shell reads from a pipe whose other end is ours. When that closes, it kills and removes what is left on its list.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

/// `+ pid` and `- pid` for processes, `d path` for directories.
const GUARD: &str = r#"
while read -r sign what; do
    case $sign in
        +) pids="$pids $what " ;;
        -) pids=$(printf '%s' "$pids" | sed "s/ $what //") ;;
        d) set -- "$@" "$what" ;;
    esac
done
[ -z "$pids" ] || kill -s KILL -- $pids 2>/dev/null
for tries in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$@" 2>/dev/null && break
    sleep 0.2
done
"#;

fn tell(sign: char, what: &dyn std::fmt::Display) {
    static INPUT: OnceLock<Option<Mutex<ChildStdin>>> = OnceLock::new();
    let start = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARD]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        shell.process_group(0).spawn().ok()?.stdin.take().map(Mutex::new)
    };
    if let Some(input) = INPUT.get_or_init(start) {
        let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(input, "{sign} {what}");
    }
}

/// This process is killed with us.
pub fn add(pid: i32) {
    tell('+', &pid);
}

/// This process has ended, and its number may be somebody else's soon.
pub fn remove(pid: i32) {
    tell('-', &pid);
}

/// This directory goes with us.
pub fn add_directory(path: &Path) {
    tell('d', &path.display());
}
