//! A Postgres for tests and benchmarks, gone with the process that opened it.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
};

use super::{Cluster, Error, Options, Report, private};

/// Reads until our end of the pipe closes, which it does however we end; then cleans up.
const GUARD: &str = r#"
cat >/dev/null
kill -QUIT "$1" 2>/dev/null
tries=0
while kill -0 "$1" 2>/dev/null && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
rm -rf "$2" "$3"
"#;

/// For tests: commits don't wait for the disk, and many tests can connect.
const RECKLESS: [&str; 4] =
    ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300"];

/// Starts a private cluster in a fresh directory below the system's temporary one. Its commits don't
/// wait for the disk. When this process ends, also by SIGKILL, the cluster ends and its files go.
///
/// `options.data_dir` and `options.database_url` are ignored.
///
/// # Errors
///
/// As [`open`](super::open).
pub async fn ephemeral(options: &Options, report: Report<'_>) -> Result<Cluster, Error> {
    fleeting(options, &RECKLESS, report).await
}

/// The same with full durability, and with these settings (`name=value`) besides ours.
///
/// # Errors
///
/// As [`open`](super::open).
pub async fn durable_ephemeral(
    options: &Options,
    settings: &'static [&'static str],
    report: Report<'_>,
) -> Result<Cluster, Error> {
    fleeting(options, settings, report).await
}

async fn fleeting(
    options: &Options,
    settings: &'static [&'static str],
    report: Report<'_>,
) -> Result<Cluster, Error> {
    let unique = uuid::Uuid::now_v7().as_u128() & 0xffff_ffff; // its random end
    let data_dir = std::env::temp_dir().join(format!("tenure-{}-{unique:x}", std::process::id()));
    let options = Options { data_dir: data_dir.clone(), database_url: None, ..options.clone() };
    let (cluster, pid) = private::open_fleeting(&options, settings, report).await?;
    guard(pid, &data_dir).map_err(Error::file("can't guard", &data_dir))?;
    Ok(cluster)
}

fn guard(pid: i32, data_dir: &Path) -> std::io::Result<()> {
    let place = data_dir.join("postgres");
    let place = place.canonicalize().unwrap_or(place);
    let mut guard = Command::new("sh")
        .args(["-c", GUARD, "sh", &pid.to_string()])
        .args([&place, data_dir])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    std::mem::forget(guard.stdin.take()); // our end of the pipe closes when this process ends
    Ok(())
}
