//! The server binaries that this system has.
//!
//! Only `initdb` and `postgres` are needed. The first place wins whose version is new enough and fits
//! the existing cluster; why the others were passed over is kept for the message that says so.

use std::path::{Path, PathBuf};

use super::{Attempt, OLDEST_MAJOR, account::Account};

/// A file beside a `bin` directory: the directories of its shared libraries, separated by colons.
pub(super) const LIBRARY_PATH: &str = "library-path";

/// A directory with a usable Postgres server.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    /// The `bin` directory.
    pub(super) directory: PathBuf,
    /// As in `15.18`.
    pub(super) version: String,
    /// Value of `LD_LIBRARY_PATH` that they need.
    libraries: Option<String>,
}

/// What a search is for, and what it has met so far.
#[derive(Debug)]
pub(super) struct Search {
    /// Who will run the binaries.
    pub(super) account: Account,
    /// The major version that the existing cluster needs.
    pub(super) major: Option<u32>,
    /// What was tried in vain.
    pub(super) attempts: Vec<Attempt>,
}

impl Binaries {
    /// The path of one of the binaries.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A command that runs one of the binaries as `account`.
    pub(super) fn command(&self, account: &Account, name: &str) -> tokio::process::Command {
        let mut command = account.command(&self.program(name));
        command.envs(self.libraries.iter().map(|paths| ("LD_LIBRARY_PATH", paths)));
        command
    }
}

/// A command for the `psql` in `directory`, if it is there.
pub(super) fn psql_in(directory: &Path) -> Option<std::process::Command> {
    let program = Some(directory.join("psql")).filter(|psql| psql.is_file())?;
    let mut command = std::process::Command::new(program);
    command.envs(libraries_of(directory).map(|paths| ("LD_LIBRARY_PATH", paths)));
    Some(command)
}

/// The shared libraries that were fetched along with the binaries in `directory`.
fn libraries_of(directory: &Path) -> Option<String> {
    std::fs::read_to_string(directory.with_file_name(LIBRARY_PATH)).ok()
}

impl Search {
    /// Takes the binaries in `directory`, or notes under `place` why not.
    pub(super) async fn try_directory(&mut self, place: &str, directory: &Path) -> Option<Binaries> {
        match self.inspect(directory).await {
            Ok(binaries) => Some(binaries),
            Err(reason) => self.note(place, reason),
        }
    }

    /// Notes that `place` is out; the `None` is for the caller to return.
    pub(super) fn note<T>(&mut self, place: &str, reason: impl Into<String>) -> Option<T> {
        self.attempts.push(Attempt { place: place.to_owned(), reason: reason.into() });
        None
    }

    /// Looks where package managers and people put Postgres.
    pub(super) async fn on_this_system(&mut self) -> Option<Binaries> {
        match bindir_by_pg_config().await {
            Ok(directory) => {
                if let Some(found) = self.try_directory("pg_config", &directory).await {
                    return Some(found);
                }
            }
            Err(reason) => {
                self.note::<()>("pg_config", reason);
            }
        }
        for (place, directories) in [("PATH", on_path()), ("the usual places", usual_places())] {
            if directories.is_empty() {
                self.note::<()>(place, "no postgres and initdb there");
            }
            for directory in directories {
                if let Some(found) = self.try_directory(place, &directory).await {
                    return Some(found);
                }
            }
        }
        None
    }

    async fn inspect(&self, directory: &Path) -> Result<Binaries, String> {
        // Programs like `initdb` look for their files relative to where they really are.
        let directory = directory.canonicalize().map_err(|e| format!("{}: {e}", directory.display()))?;
        for name in ["initdb", "postgres"] {
            if !directory.join(name).is_file() {
                return Err(format!("{} has no {name}", directory.display()));
            }
        }
        let libraries = libraries_of(&directory);
        let mut binaries = Binaries { directory, version: String::new(), libraries };
        let shown = binaries.program("postgres").display().to_string();
        if let Some(barrier) = self.account.barred_at(&binaries.directory) {
            return Err(format!("{shown}: the account {} may not enter {}", self.account, barrier.display()));
        }
        let output = binaries.command(&self.account, "postgres").arg("--version").output().await;
        let output = output.map_err(|e| format!("{shown} can't be run: {e}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let Some(version) = version_in(&said) else {
            let complaint = super::home::last_lines(&String::from_utf8_lossy(&output.stderr));
            return Err(format!("{shown} doesn't tell its version: {}", first_line(&complaint, &said)));
        };
        let major = major_of(version).unwrap_or(0);
        if major < OLDEST_MAJOR {
            return Err(format!(
                "{shown} is version {version}, which is too old: {OLDEST_MAJOR} is the oldest"
            ));
        }
        if let Some(needed) = self.major.filter(|needed| *needed != major) {
            return Err(format!("{shown} is version {version}, but the existing database needs {needed}"));
        }
        version.clone_into(&mut binaries.version);
        Ok(binaries)
    }
}

fn first_line(complaint: &str, said: &str) -> String {
    [complaint, said].iter().find_map(|text| text.lines().next()).unwrap_or("it says nothing").to_owned()
}

/// `15.18` from `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version_in(output: &str) -> Option<&str> {
    output.split_once("(PostgreSQL) ")?.1.split_whitespace().next()
}

/// `15` from `15.18`, `19` from `19beta1`.
fn major_of(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

async fn bindir_by_pg_config() -> Result<PathBuf, String> {
    let output = tokio::process::Command::new("pg_config").arg("--bindir").output().await;
    match output {
        Ok(output) if output.status.success() => {
            Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        }
        Ok(output) => Err(format!("it fails ({})", output.status)),
        Err(_) => Err("not on PATH".to_owned()),
    }
}

fn on_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = std::env::split_paths(&path).map(|directory| directory.join("postgres"));
    let homes = programs.filter_map(|postgres| Some(postgres.canonicalize().ok()?.parent()?.to_owned()));
    homes.filter(|directory| directory.join("initdb").is_file()).collect()
}

/// Where distributions, Homebrew and Postgres.app put server binaries, newest version first.
fn usual_places() -> Vec<PathBuf> {
    const PARENTS: [(&str, &str, &str); 6] = [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/usr/libexec", "postgresql", ""),
        ("/opt/homebrew/opt", "postgresql@", "bin"),
        ("/usr/local/opt", "postgresql@", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ];
    let mut found = Vec::new();
    for (parent, prefix, bin) in PARENTS {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| major_of(name.strip_prefix(prefix)?));
            let directory = entry.path().join(bin);
            if let Some(version) = version.filter(|_| directory.join("postgres").exists()) {
                found.push((version, directory));
            }
        }
    }
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let plain =
        ["/usr/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin", "/usr/local/bin"].map(PathBuf::from);
    let plain = plain.into_iter().filter(|directory| directory.join("postgres").exists());
    found.into_iter().map(|(_, directory)| directory).chain(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_packagers_write_them() {
        let said = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(version_in(said), Some("15.18"));
        assert_eq!(version_in("sh: not found"), None);
        assert_eq!(["15.18", "19beta1", "9.6.24", ""].map(major_of), [Some(15), Some(19), Some(9), None]);
    }
}
