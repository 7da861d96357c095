//! The operating-system account that a private Postgres runs as.
//!
//! Postgres refuses to run as root. So root hands it to another account: the one that owns the
//! existing files, else `postgres`, else `nobody`. Anybody else runs it as themselves.

use std::{
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::Error;

/// Who runs Postgres and owns its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// The account of this process.
    Own,
    /// Another one, because this process is root.
    Other {
        /// For messages.
        name: String,
        uid: u32,
        gid: u32,
    },
}

impl Account {
    /// Chooses for a cluster in `data`, which need not exist.
    pub(super) fn choose(data: &Path) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        if let Ok(owner) = data.metadata()
            && owner.uid() != 0
        {
            return Ok(Self::Other {
                name: format!("uid {}", owner.uid()),
                uid: owner.uid(),
                gid: owner.gid(),
            });
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"].iter().find_map(|name| find(&passwd, name)).ok_or_else(|| {
            Error::Account(
                "Postgres refuses to run as root, and this system has neither an account `postgres` nor \
                 `nobody`; add one (useradd --system postgres), run as another user, or set DATABASE_URL"
                    .to_owned(),
            )
        })
    }

    /// The uid that owns what Postgres uses.
    pub(super) fn uid(&self) -> u32 {
        match self {
            Self::Own => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => *uid,
        }
    }

    /// A command that will run as this account: in its own process group, so that the terminal's
    /// Ctrl-C doesn't reach it, and without our environment, which may hold secrets.
    pub(super) fn command(&self, program: &Path) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.process_group(0).stdin(std::process::Stdio::null());
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid); // std drops root's supplementary groups with the uid
        }
        command
    }

    /// Creates `directory`, for this account alone. It may exist already, if it is this account's.
    pub(super) fn create_private(&self, directory: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(directory).map_err(Error::file("can't create", directory))?;
        let found = directory.symlink_metadata().map_err(Error::file("can't read", directory))?;
        let ours = [self.uid(), rustix::process::geteuid().as_raw()].contains(&found.uid());
        if !found.is_dir() || !ours {
            let reason = io::Error::other("somebody else's file or directory is there; remove it");
            return Err(Error::file("can't use", directory)(reason));
        }
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
            .map_err(Error::file("can't restrict", directory))?;
        self.give(directory)
    }

    /// Makes this account the owner of `path`.
    pub(super) fn give(&self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid, .. } => std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
                .map_err(Error::file("can't change the owner of", path)),
        }
    }

    /// The outermost directory on the way into `directory` that this account may not enter.
    pub(super) fn barred_at(&self, directory: &Path) -> Option<PathBuf> {
        let Self::Other { uid, gid, .. } = self else { return None };
        let mut way: Vec<_> = directory.ancestors().collect();
        way.reverse();
        let barred = way.into_iter().find(|step| {
            step.metadata().is_ok_and(|found| {
                let bit = if found.uid() == *uid {
                    0o100
                } else if found.gid() == *gid {
                    0o010
                } else {
                    0o001
                };
                found.mode() & bit == 0
            })
        });
        barred.map(Path::to_owned)
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own => f.write_str("this account"),
            Self::Other { name, .. } => f.write_str(name),
        }
    }
}

/// The account called `name` in the text of a passwd file.
fn find(passwd: &str, name: &str) -> Option<Account> {
    let mut fields = passwd.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account::Other { name: name.to_owned(), uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\npostgresql:x:7:8::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        let found = find(passwd, "postgres");
        assert_eq!(found, Some(Account::Other { name: "postgres".to_owned(), uid: 101, gid: 104 }));
        assert_eq!(find(passwd, "nobody"), None);
    }

    #[test]
    fn an_account_is_barred_at_the_outermost_closed_directory() {
        let outer = tempfile::tempdir().unwrap();
        std::fs::set_permissions(outer.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let inner = outer.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        let stranger = Account::Other { name: "stranger".to_owned(), uid: 4_000_000, gid: 4_000_000 };
        assert_eq!(stranger.barred_at(&inner), Some(outer.path().to_owned()));
        assert_eq!(stranger.barred_at(Path::new("/")), None);
    }
}
