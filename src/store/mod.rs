//! The only SQL: one file per statement in `sql/<table>/`, one function beside it here.
//!
//! Functions take any client or transaction, so the caller decides what is one transaction.

/// One column of many rows, as the array that a statement takes.
macro_rules! column {
    ($rows:expr, $row:ident => $value:expr) => {
        $rows.iter().map(|$row| $value).collect::<Vec<_>>()
    };
}

pub mod agents;
pub mod approvals;
pub mod bulk;
pub mod forks;
pub mod inbox;
pub mod logs;
pub mod outbox;
pub mod policies;
pub mod prices;
pub mod read;
pub mod task_defs;

use tokio_postgres::error::SqlState;

use crate::id::ExecutionId;

pub use deadpool_postgres::{GenericClient, Pool};

pub mod commit;
pub mod invariants;
pub mod judge;
pub mod queue;
pub mod retention;
pub mod schema;
pub mod servers;
mod statements;

pub use statements::statements;

/// Why a statement did not produce a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing has this id.
    #[error("no {what} with id '{id}'")]
    NotFound {
        /// `"execution"`, `"task"`, …
        what: &'static str,
        /// The id that was asked for.
        id: String,
    },
    /// The execution was there, and somebody deleted it.
    #[error("execution '{id}' {what}")]
    Deleted {
        /// When and by whom, and where it was written to.
        what: String,
        /// The execution.
        id: ExecutionId,
    },
    /// The database can't be reached or is going away; the same again may work in a moment.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The migrations did not run.
    #[error("migrating the database failed")]
    Migration(#[from] Box<refinery::Error>),
    /// A row does not fit the types here.
    #[error("a row of {what} can't be read")]
    Corrupt {
        /// The table.
        what: &'static str,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// What was sent can't be stored; the same again won't do better.
    #[error("this can't be stored: {0}")]
    Refused(String),
    /// Postgres refused the statement.
    #[error("postgres: {}", .0.as_db_error().map_or_else(|| .0.to_string(), |e| e.message().to_owned()))]
    Postgres(#[source] tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(e: tokio_postgres::Error) -> Self {
        let away = match e.code() {
            None => {
                let source = std::error::Error::source(&e);
                e.is_closed() || source.is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
            }
            Some(code) => {
                [
                    SqlState::ADMIN_SHUTDOWN,
                    SqlState::CRASH_SHUTDOWN,
                    SqlState::CANNOT_CONNECT_NOW,
                    SqlState::TOO_MANY_CONNECTIONS,
                    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                    SqlState::IN_FAILED_SQL_TRANSACTION,
                    SqlState::READ_ONLY_SQL_TRANSACTION,
                    SqlState::DISK_FULL,
                    SqlState::OUT_OF_MEMORY,
                ]
                .contains(code)
                    || code.code().starts_with("08")
            }
        };
        if e.code() == Some(&SqlState::PROGRAM_LIMIT_EXCEEDED) {
            return Self::Refused("a name, key or id is too long; shorten it".into());
        }
        if away { Self::Unavailable(Box::new(e)) } else { Self::Postgres(e) }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(e: deadpool_postgres::PoolError) -> Self {
        match e {
            deadpool_postgres::PoolError::Backend(e) => e.into(),
            e => Self::Unavailable(Box::new(e)),
        }
    }
}

impl Error {
    /// Whether the same again may work: the database was away, or two transactions were in each other's way.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Postgres(e) => e.code().is_some_and(|code| {
                [
                    SqlState::T_R_SERIALIZATION_FAILURE,
                    SqlState::T_R_DEADLOCK_DETECTED,
                    SqlState::LOCK_NOT_AVAILABLE,
                    SqlState::QUERY_CANCELED,
                ]
                .contains(code)
            }),
            _ => false,
        }
    }

    /// Whether this Postgres takes no writes, such as a standby.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        let code = |e: &tokio_postgres::Error| e.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION);
        matches!(self, Self::Unavailable(e) if e.downcast_ref::<tokio_postgres::Error>().is_some_and(code))
    }

    /// Whether a statement was stopped because its time was over.
    #[must_use]
    pub fn took_too_long(&self) -> bool {
        matches!(self, Self::Postgres(e) if e.code() == Some(&SqlState::QUERY_CANCELED))
    }
}
