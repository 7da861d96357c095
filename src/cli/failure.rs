//! How a command ends: what happened, why, the next command, and the exit code that says it to programs.

use std::{fmt, process::ExitCode};

/// The documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The run failed, or the command itself did.
    Failed = 1,
    /// The command line or a file on it can't be used.
    Usage = 2,
    /// No such execution or agent.
    NotFound = 3,
    /// No server answers.
    NoServer = 4,
    /// The server refused.
    Refused = 5,
    /// The run, or waiting for it, took too long.
    TimedOut = 124,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The code's name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::NoServer => "no_server",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
        }
    }

    /// How a run with this final status ends the command that waited for it.
    #[must_use]
    pub fn of_status(status: &str) -> Self {
        match status {
            "COMPLETED" => Self::Ok,
            "TIMED_OUT" => Self::TimedOut,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened.
    pub what: String,
    /// Why, where more is known.
    pub why: Option<String>,
    /// What to do about it.
    pub next: Option<String>,
}

impl Failure {
    /// `what` happened and the command ends with `exit`.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: None, next: None }
    }

    /// The command line or a file on it can't be used.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Say why.
    #[must_use]
    pub fn because(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(why.to_string()).filter(|why| !why.is_empty());
        self
    }

    /// Say what to do, as a command where there is one.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.why.iter().try_for_each(|why| write!(f, ": {why}"))
    }
}

impl std::error::Error for Failure {}
