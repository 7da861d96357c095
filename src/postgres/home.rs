//! Where a private cluster lives.
//!
//! ```text
//! <data dir>/tenure.lock       who works with it (lock.rs)
//! <data dir>/postgres/         owned by Postgres's account, mode 0700; as root possibly a symlink to
//!     data/                    the cluster itself       a place that this account can reach
//!     socket/                  the socket; elsewhere when its path would be too long
//!     postgres.log             what Postgres logs
//!     binaries                 the directory of the binaries that ran it last
//! ```

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Error, account::Account};

/// Systems allow 103 to 107 bytes for the path of a socket.
const LONGEST_SOCKET_PATH: usize = 103;

/// Postgres names its socket after the port, also when it listens on no port.
pub(super) const PORT: u16 = 5432;

/// Where root's clusters go whose data directory Postgres's account can't reach.
const REACHABLE_PLACE: &str = "/var/lib/tenure";

/// The files of one private cluster and the account that owns them.
#[derive(Debug, Clone)]
pub(super) struct Home {
    root: PathBuf,
    /// Who runs Postgres here.
    pub(super) account: Account,
}

impl Home {
    /// The home in `data_dir`, if a cluster was made there before. Creates nothing.
    pub(super) fn find(data_dir: &Path) -> Result<Option<Self>, Error> {
        let Ok(root) = data_dir.join("postgres").canonicalize() else { return Ok(None) };
        let home = Self { account: Account::choose(&root.join("data"))?, root };
        Ok(home.major().is_some().then_some(home))
    }

    /// The home in `data_dir`, created if needed.
    pub(super) fn open(data_dir: &Path, report: super::Report<'_>) -> Result<Self, Error> {
        if let Some(home) = Self::find(data_dir)? {
            return Ok(home);
        }
        let place = data_dir.join("postgres");
        let account = Account::choose(&place.join("data"))?;
        if place.symlink_metadata().is_err()
            && let Some(barrier) = account.barred_at(data_dir)
        {
            let reachable = Path::new(REACHABLE_PLACE).join(digest(data_dir));
            report(&format!(
                "the account {account}, which has to run Postgres for root, may not enter {}; the database \
                 goes to {} instead ({} points there)",
                barrier.display(),
                reachable.display(),
                place.display()
            ));
            std::os::unix::fs::symlink(&reachable, &place).map_err(Error::file("can't create", &place))?;
        }
        let root = std::fs::read_link(&place).unwrap_or(place);
        account.create_private(&root)?;
        let root = root.canonicalize().map_err(Error::file("can't find", &root))?;
        Ok(Self { root, account })
    }

    /// The directory of everything.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The cluster's data directory, as Postgres understands the word.
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Where Postgres logs.
    pub(super) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    /// Marks this cluster's processes: each of their command lines contains it.
    pub(super) fn tag(&self) -> String {
        format!("tenure-{}", digest(&self.root))
    }

    /// The directory of the socket. May not exist yet.
    pub(super) fn socket_dir(&self) -> PathBuf {
        let usual = self.root.join("socket");
        if usual.join(socket_name()).as_os_str().len() <= LONGEST_SOCKET_PATH {
            return usual;
        }
        let short =
            if rustix::process::geteuid().is_root() && Path::new("/run").is_dir() { "/run" } else { "/tmp" };
        Path::new(short).join(self.tag())
    }

    /// The major version that made the cluster, if there is one.
    pub(super) fn major(&self) -> Option<u32> {
        std::fs::read_to_string(self.data().join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// The directory of the binaries that ran it last.
    pub(super) fn last_binaries(&self) -> Option<PathBuf> {
        let text = std::fs::read_to_string(self.root.join("binaries")).ok()?;
        Some(PathBuf::from(text.trim_end()))
    }

    /// Remembers the directory of the binaries that run it now; forgetting costs only a search.
    pub(super) fn remember_binaries(&self, directory: &Path) {
        let _ = std::fs::write(self.root.join("binaries"), directory.as_os_str().as_encoded_bytes());
    }

    /// The last lines of the log that were written after `from` bytes.
    pub(super) fn log_tail(&self, from: u64) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let recent = log.get(usize::try_from(from).unwrap_or(0)..).unwrap_or(&log);
        last_lines(&String::from_utf8_lossy(recent))
    }
}

/// The name of the socket in its directory.
pub(super) fn socket_name() -> String {
    format!(".s.PGSQL.{PORT}")
}

/// The last lines of a program's output, enough to see why it ended.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// 16 hexadecimal digits that stand for a path.
fn digest(path: &Path) -> String {
    let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
    hash[..8].iter().fold(String::new(), |text, byte| text + format!("{byte:02x}").as_str())
}
