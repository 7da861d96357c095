//! Why there is no usable Postgres, and what to do about it.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::lock::Holder;

/// Why Postgres can't be used. Every message ends with what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database url isn't one. The text never contains the url, which may hold a password.
    #[error("the database url can't be read: {0}; it looks like postgres://user:password@host:5432/database")]
    Url(String),

    /// A database url was demanded, and none was given.
    #[error("--pg url needs a database url: give --database-url or set DATABASE_URL")]
    NoUrl,

    /// The server behind the database url can't be used as it is.
    #[error("{target} can't be used: {reason}; {advice}")]
    Unusable {
        /// The url without its password.
        target: String,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        advice: String,
    },

    /// Another process works with this data directory.
    #[error("the data directory {} is in use by {holder}; stop that process, or choose another directory with --data-dir", path.display())]
    Held {
        /// The data directory.
        path: PathBuf,
        /// Who has it.
        holder: Holder,
    },

    /// Neither on this system nor by fetching was a Postgres server found.
    #[error("{}", not_found(attempts, advice))]
    NotFound {
        /// Each place that was tried, in order.
        attempts: Vec<Attempt>,
        /// The command that installs Postgres on this system.
        advice: String,
    },

    /// A file or directory can't be used.
    #[error("{} {}: {reason}", doing, path.display())]
    File {
        /// What was being done, as in `can't create`.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        reason: std::io::Error,
    },

    /// The system has no account that Postgres could run as.
    #[error("{0}")]
    Account(String),

    /// `initdb` or `postgres` gave up.
    #[error("{program} gave up ({status}){}", quoted(log))]
    GaveUp {
        /// `initdb` or `postgres`.
        program: &'static str,
        /// How it ended.
        status: String,
        /// The last lines that it logged.
        log: String,
    },

    /// The private Postgres runs, but isn't ready after minutes.
    #[error("the private Postgres (pid {pid}) isn't ready after {seconds} s; it may be recovering: see {}", log.display())]
    NotReady {
        /// Its process id.
        pid: i32,
        /// How long it was waited for.
        seconds: u64,
        /// Its log file.
        log: PathBuf,
    },

    /// Postgres refused a connection or a statement.
    #[error("Postgres: {}", reason(.0))]
    Postgres(#[from] tokio_postgres::Error),

    /// The connection pool can't be built.
    #[error("the connection pool can't be built: {0}")]
    Pool(#[from] deadpool_postgres::BuildError),
}

impl Error {
    /// Wraps an I/O error with what was being done to which path; made for `map_err`.
    pub(super) fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::File { doing, path, reason }
    }
}

/// One place where server binaries were looked for, and why it didn't work.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The place, as in `pg_config` or `pip`.
    pub place: String,
    /// Why it didn't work.
    pub reason: String,
}

fn not_found(attempts: &[Attempt], advice: &str) -> String {
    let mut text = format!("no Postgres {} or newer was found", super::OLDEST_MAJOR);
    for Attempt { place, reason } in attempts {
        let _ = write!(text, "\n  {place}: {reason}");
    }
    let _ = write!(
        text,
        "\ninstall it:   {advice}\nor use yours: set DATABASE_URL=postgres://user:password@host:5432/database"
    );
    text
}

fn quoted(log: &str) -> String {
    if log.is_empty() {
        return ", and it logged nothing".to_owned();
    }
    log.lines().fold(":".to_owned(), |text, line| text + "\n  | " + line)
}

/// What the driver's error really says; its own `Display` is often just `db error`.
pub(super) fn reason(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
