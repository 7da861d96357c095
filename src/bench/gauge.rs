//! What something cost: WAL, commits and fsyncs as Postgres counts them, processor time as the kernel does.

use jiff::Timestamp;
use tokio_postgres::Client;

use super::Error;

/// A reading.
#[derive(Debug, Clone)]
pub struct Reading {
    pub at: Timestamp,
    wal: f64,
    commits: f64,
    syncs: f64,
    server: f64,
    postgres: f64,
}

/// What was used between two readings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    pub seconds: f64,
    /// Bytes.
    pub wal: f64,
    /// Transactions, those that only read included.
    pub commits: f64,
    /// Fsyncs of the WAL.
    pub syncs: f64,
    /// Processor seconds of the server (or of this process, when it does the work itself).
    pub server: f64,
    /// Processor seconds of Postgres.
    pub postgres: f64,
}

impl Reading {
    /// Read now; `server` is the process that does our part.
    pub async fn take(db: &Client, server: u32) -> Result<Self, Error> {
        let row = db.query_one(include_str!("sql/gauge.sql"), &[]).await?;
        let pid: i32 = db.query_one("select pg_backend_pid()", &[]).await?.get(0);
        let postmaster = u32::try_from(pid).ok().and_then(parent).unwrap_or(0);
        Ok(Self {
            at: row.get("at"),
            wal: row.get("wal"),
            commits: row.get("commits"),
            syncs: row.get("syncs"),
            server: processor(server, false),
            postgres: processor(postmaster, true)
                + children(postmaster).map(|c| processor(c, false)).sum::<f64>(),
        })
    }

    /// What was used since `self`.
    pub fn until(&self, then: &Self) -> Used {
        Used {
            seconds: then.at.duration_since(self.at).as_secs_f64(),
            wal: then.wal - self.wal,
            commits: then.commits - self.commits,
            syncs: then.syncs - self.syncs,
            server: then.server - self.server,
            postgres: then.postgres - self.postgres,
        }
    }
}

/// The fields of `/proc/PID/stat` after the name: state, parent, …
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

fn children(of: u32) -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(move |pid| parent(*pid) == Some(of))
}

/// Seconds of processor time of a process, on request with those of children that have ended.
fn processor(pid: u32, ended: bool) -> f64 {
    let Some(stat) = stat(pid) else { return 0.0 };
    let ticks = |n: usize| stat.get(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    let mut sum = ticks(11) + ticks(12);
    if ended {
        sum += ticks(13) + ticks(14);
    }
    #[expect(clippy::cast_precision_loss, reason = "it is 100")]
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    sum / per_second
}

/// Megabytes that a process has in memory now.
pub fn memory(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}
