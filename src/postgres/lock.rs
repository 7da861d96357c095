//! One process at a time works with a data directory.
//!
//! The right to it is an exclusive lock on `<data dir>/tenure.lock`. The kernel releases it when its
//! holder ends, however that ends, so a lock is never stale. The file's text says who holds it.

use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::Error;

const FILE_NAME: &str = "tenure.lock";

/// How long to try before the directory counts as held: somebody may just be looking who holds it.
const PATIENCE: Duration = Duration::from_millis(200);

/// The right of this process to a data directory, until it is dropped or the process ends.
#[derive(Debug)]
pub struct DataDirLock {
    file: File,
    since: Timestamp,
}

impl DataDirLock {
    /// Takes the right to `data_dir`, which must exist.
    ///
    /// # Errors
    ///
    /// [`Error::Held`] when another process has it, [`Error::File`] when the lock file can't be used.
    pub async fn take(data_dir: &Path) -> Result<Self, Error> {
        let path = data_dir.join(FILE_NAME);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::file("can't open", &path))?;

        let deadline = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Held { path: data_dir.to_owned(), holder: Holder::read(&path) });
                }
                Err(TryLockError::Error(reason)) => return Err(Error::file("can't lock", &path)(reason)),
            }
        }

        let lock = Self { file, since: Timestamp::now() };
        lock.write(None).map_err(Error::file("can't write", &path))?;
        Ok(lock)
    }

    /// Tells whoever looks where this process listens, as in `127.0.0.1:6767`.
    ///
    /// # Errors
    ///
    /// When the lock file can't be written.
    pub fn announce(&self, listen: &str) -> std::io::Result<()> {
        self.write(Some(listen))
    }

    /// Who holds `data_dir`, if anybody does. Takes nothing.
    #[must_use]
    pub fn holder(data_dir: &Path) -> Option<Holder> {
        let path = data_dir.join(FILE_NAME);
        match File::open(&path).ok()?.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(Holder::read(&path)),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }

    fn write(&self, listen: Option<&str>) -> std::io::Result<()> {
        let text = format!("{}\n{:.0}\n{}\n", std::process::id(), self.since, listen.unwrap_or_default());
        let mut file = &self.file;
        file.rewind()?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    }
}

/// The process that works with a data directory, as far as its lock file tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// Its process id.
    pub pid: Option<u32>,
    /// When it took the directory.
    pub since: Option<Timestamp>,
    /// Where it listens, as in `127.0.0.1:6767`, once it does.
    pub listen: Option<String>,
}

impl Holder {
    /// What the lock file says; a line that isn't there yet is just unknown.
    fn read(path: &PathBuf) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut lines = text.lines();
        Self {
            pid: lines.next().and_then(|line| line.parse().ok()),
            since: lines.next().and_then(|line| line.parse().ok()),
            listen: lines.next().filter(|line| !line.is_empty()).map(str::to_owned),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}")?,
            None => f.write_str("another process")?,
        }
        if let Some(since) = self.since {
            write!(f, " since {since:.0}")?;
        }
        if let Some(listen) = &self.listen {
            write!(f, ", which listens on {listen}")?;
        }
        Ok(())
    }
}
