//! What can go wrong: for a tool ([`ToolError`]) and for a worker ([`Error`]).

use std::fmt::{self, Display};

/// Why a tool call failed, and whether another attempt may help.
///
/// Every standard error becomes [`ToolError::Retryable`] by `?`; say [`ToolError::terminal`] where a second attempt
/// could only fail again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolError {
    /// The next attempt may succeed. The text reaches the agent's model after the last attempt.
    Retryable(String),
    /// No attempt can succeed: wrong arguments, no permission. The text reaches the agent's model at once.
    Terminal(String),
}

impl ToolError {
    /// A failure that another attempt may cure.
    pub fn retryable(reason: impl Display) -> Self {
        Self::Retryable(reason.to_string())
    }

    /// A failure that no attempt can cure.
    pub fn terminal(reason: impl Display) -> Self {
        Self::Terminal(reason.to_string())
    }

    /// The text that the server and the model get.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Retryable(reason) | Self::Terminal(reason) => reason,
        }
    }
}

impl Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

/// This is why [`ToolError`] itself is not a [`std::error::Error`]: `?` takes any error that is one.
impl<E: std::error::Error> From<E> for ToolError {
    fn from(error: E) -> Self {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !reason.ends_with(&cause_text) {
                reason = format!("{reason}: {cause_text}");
            }
            source = cause.source();
        }
        Self::Retryable(reason)
    }
}

/// Why a worker can't run at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The worker was given no tools.
    #[error("a worker needs at least one tool: add one with Worker::tool")]
    NoTools,
    /// The server's address is not a URL that a worker can use.
    #[error("{url:?} is not a server address ({reason}): give one like http://localhost:6767")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be set up.
    #[error("could not set up the HTTP client")]
    Http(#[from] reqwest::Error),
}

#[cfg(test)]
mod tests {
    use super::ToolError;

    #[test]
    fn a_standard_error_becomes_retryable_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not read the ledger")]
        struct Ledger(#[source] std::io::Error);

        let error = ToolError::from(Ledger(std::io::Error::other("disk on fire")));
        assert_eq!(error, ToolError::Retryable("could not read the ledger: disk on fire".into()));
    }
}
