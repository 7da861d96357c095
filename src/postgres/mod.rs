//! Finds Postgres, starts it if nobody else does, and connects to it.
//!
//! [`open`] tries in this order, and says at each step what it chose and why; `--pg` forces one:
//!
//! ```text
//! 1  a database url             checked (reachable, new enough, may create), never started or stopped
//! 2  the private cluster of     adopted if it runs, else started, recovered if it was killed;
//!    this data directory        made if there is none, with server binaries from
//! 3    this system              --pg-bin, the last start's, pg_config, PATH, the usual places
//! 4    the cache                fetched earlier
//! 5    the network              pip, apt-get, a release archive: the first that works
//! 6  otherwise one error        with each attempt's reason and the command that installs Postgres
//! ```
//!
//! A private cluster runs with full durability on a socket that only its owner can reach. It is a
//! child process that survives us: a killed tenure leaves it running, and the next one adopts it.

mod account;
mod binaries;
mod connection;
mod ephemeral;
mod error;
mod fetch;
mod given;
pub mod guard;
mod home;
mod lock;
mod postmaster;
mod private;
mod process;
mod victim;

use std::{
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

pub use connection::{Config, Connection};
pub use ephemeral::{durable_ephemeral, ephemeral};
pub use error::{Attempt, Error};
pub use lock::{DataDirLock, Holder};
pub use victim::{Room, Victim};

/// The oldest major version of Postgres that we work with.
pub const OLDEST_MAJOR: u32 = 15;

/// Takes one line for each thing that was decided or done.
pub type Report<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Which Postgres to use.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Use this Postgres (15 or newer) instead of a private one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<DatabaseUrl>,

    /// Where a private Postgres keeps its data
    #[arg(long, env = "TENURE_DATA_DIR", value_name = "DIR", default_value_os_t = default_data_dir())]
    pub data_dir: PathBuf,

    /// Take Postgres from there only
    #[arg(long = "pg", env = "TENURE_PG", value_name = "SOURCE", value_enum, default_value_t = Source::Auto)]
    pub source: Source,

    /// Directory of the Postgres server binaries to use
    #[arg(long, env = "TENURE_PG_BIN", value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,

    /// Where fetched Postgres binaries are kept
    #[arg(long, env = "TENURE_CACHE_DIR", value_name = "DIR", default_value_os_t = default_cache_dir())]
    pub cache_dir: PathBuf,

    /// Fetch nothing from the network
    #[arg(long, env = "TENURE_OFFLINE", value_parser = clap::builder::FalseyValueParser::new())]
    pub offline: bool,
}

impl Default for Options {
    /// What the command line gives without flags and environment.
    fn default() -> Self {
        Self {
            database_url: None,
            data_dir: default_data_dir(),
            source: Source::Auto,
            pg_bin: None,
            cache_dir: default_cache_dir(),
            offline: false,
        }
    }
}

/// Where Postgres comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Source {
    /// The database url if one is given, else a private one
    #[default]
    Auto,
    /// The database url
    Url,
    /// A private one, also when a database url is given
    Private,
    /// A private one by the binaries of --pg-bin
    Bin,
    /// A private one by this system's binaries
    System,
    /// A private one by binaries fetched earlier
    Cache,
    /// A private one by binaries from a Python wheel
    Pip,
    /// A private one by binaries from Debian packages
    Apt,
    /// A private one by binaries from a release archive
    Archive,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self);
        f.write_str(value.as_ref().map_or("auto", clap::builder::PossibleValue::get_name))
    }
}

/// A database url. Neither shown nor logged, as it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl FromStr for DatabaseUrl {
    type Err = Infallible;

    /// Takes any text: whoever parses arguments would print a refused one.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

/// A usable Postgres.
#[derive(Debug)]
pub struct Cluster {
    config: Config,
    description: String,
    binaries: Option<PathBuf>,
    owned: Option<private::Owned>,
}

/// Finds Postgres, or starts a private one. Each step gives `report` one line.
///
/// # Errors
///
/// Each error's text says what to do next: [`Error::Unusable`] for a database url,
/// [`Error::Held`] when another process works with the data directory, [`Error::NotFound`] when there
/// are no server binaries, and others.
pub async fn open(options: &Options, report: Report<'_>) -> Result<Cluster, Error> {
    let url = options.database_url.as_ref().filter(|url| !url.0.is_empty());
    match (options.source, url) {
        (Source::Auto | Source::Url, Some(url)) => given::open(&url.0, report).await,
        (Source::Url, None) => Err(Error::NoUrl),
        (Source::Auto, None) => {
            report(&format!("no database url is given, so a private one in {}", options.data_dir.display()));
            private::open(options, report).await
        }
        (source, _) => {
            report(&format!("--pg {source}: a private one in {}", options.data_dir.display()));
            private::open(options, report).await
        }
    }
}

/// The private cluster of `data_dir` if it runs, whoever works with it. Takes no right to it:
/// the [`Cluster`] isn't owned.
///
/// # Errors
///
/// When it is starting and doesn't get ready.
pub async fn find_running(data_dir: &Path) -> Result<Option<Cluster>, Error> {
    private::find_running(data_dir).await
}

/// Stops the private cluster of `data_dir` if it runs. Says whether it did.
///
/// # Errors
///
/// [`Error::Held`] when a process works with it.
pub async fn stop(data_dir: &Path) -> Result<bool, Error> {
    private::stop(data_dir).await
}

/// Opens one connection, see [`Config::connect`].
///
/// # Errors
///
/// The driver's, when the server can't be reached or refuses.
pub async fn connect(config: &Config) -> Result<(tokio_postgres::Client, Connection), Error> {
    config.connect().await
}

/// A pool of connections, see [`Config::pool`].
///
/// # Errors
///
/// When the pool can't be built.
pub fn pool(config: &Config, size: usize) -> Result<deadpool_postgres::Pool, Error> {
    config.pool(size)
}

impl Cluster {
    /// How to connect to it.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The url without its password, for people and for `psql`.
    #[must_use]
    pub fn url(&self) -> String {
        self.config.url()
    }

    /// What it is, in one line.
    #[must_use]
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// Whether it is ours to [`stop`](Self::stop).
    #[must_use]
    pub fn owned(&self) -> bool {
        self.owned.is_some()
    }

    /// Our right to its data directory, if it is ours.
    #[must_use]
    pub fn lock(&self) -> Option<&DataDirLock> {
        self.owned.as_ref().map(|owned| &owned.lock)
    }

    /// A command that runs `psql` on it, if there is a `psql`. The password goes by the environment,
    /// not by an argument that others can read.
    #[must_use]
    pub fn psql(&self) -> Option<std::process::Command> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = self.binaries.iter().cloned().chain(std::env::split_paths(&path));
        let mut psql = places.into_iter().find_map(|directory| binaries::psql_in(&directory))?;
        psql.arg(self.url());
        psql.envs(self.config.password().map(|password| ("PGPASSWORD", password)));
        Some(psql)
    }

    /// Stops it if it is ours. Dropping a cluster instead leaves it running for the next process.
    ///
    /// # Errors
    ///
    /// When Postgres can't be stopped.
    pub async fn stop(self) -> Result<(), Error> {
        match self.owned {
            Some(owned) => owned.stop().await,
            None => Ok(()),
        }
    }
}

/// `/var/lib/tenure` for root, else the place that the XDG specification gives.
fn default_data_dir() -> PathBuf {
    default_dir("/var/lib", "XDG_DATA_HOME", ".local/share")
}

/// `/var/cache/tenure` for root, else the place that the XDG specification gives.
fn default_cache_dir() -> PathBuf {
    default_dir("/var/cache", "XDG_CACHE_HOME", ".cache")
}

fn default_dir(of_root: &str, variable: &str, in_home: &str) -> PathBuf {
    let base = if rustix::process::geteuid().is_root() {
        PathBuf::from(of_root)
    } else if let Some(xdg) = std::env::var_os(variable).filter(|path| Path::new(path).is_absolute()) {
        PathBuf::from(xdg)
    } else {
        std::env::home_dir().unwrap_or_else(std::env::temp_dir).join(in_home)
    };
    base.join("tenure")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        postgres: Options,
    }

    #[test]
    fn the_command_line_gives_options_and_shows_no_password() {
        let arguments =
            ["tenure", "--pg", "pip", "--data-dir", "/d", "--database-url", "postgres://me:hush@h/db"];
        let parsed = CommandLine::try_parse_from(arguments).unwrap();
        assert_eq!((parsed.postgres.source, &*parsed.postgres.data_dir), (Source::Pip, Path::new("/d")));
        assert!(!format!("{parsed:?}").contains("hush"), "{parsed:?}");
        assert_eq!(Source::Pip.to_string(), "pip");
    }
}
