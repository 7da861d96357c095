//! What can go wrong when a model is asked, and whether asking again may help.
use std::time::Duration;

/// Why there is no answer. Texts name the provider and what to do, and never contain a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model's name has no provider.
    #[error("Invalid model format: '{0}'. Expected 'provider/model'.")]
    InvalidModel(String),

    /// The provider is unknown here or lacks its key; the text says which and what to set.
    #[error("{0}")]
    NotConfigured(String),

    /// A setting or a part of the request can't be used; the text says which and how to write it.
    #[error("{0}")]
    Invalid(String),

    /// There was no connection, or it broke before the answer was complete.
    #[error("{provider} can't be reached at {address}: {cause}")]
    Unreachable {
        /// The provider's name.
        provider: String,
        /// Scheme, host and port.
        address: String,
        /// The innermost reason.
        cause: String,
    },

    /// The whole answer did not arrive in time.
    #[error(
        "{provider} did not answer within {} s; TENURE_MODEL_TIMEOUT_SECS raises the limit",
        limit.as_secs_f64()
    )]
    Timeout {
        /// The provider's name.
        provider: String,
        /// How long was waited.
        limit: Duration,
    },

    /// The provider answered with a status other than success.
    #[error("{provider} answered {status}: {body}{hint}")]
    Status {
        /// The provider's name.
        provider: String,
        /// The HTTP status.
        status: u16,
        /// The first 500 characters of the body.
        body: String,
        /// What a person may do about it, or nothing.
        hint: String,
        /// How long the provider asks to wait, at most 120 s.
        retry_after: Option<Duration>,
    },

    /// The answer was longer than we read.
    #[error("{provider} sent an answer of more than {limit} bytes; it was not read further")]
    TooLarge {
        /// The provider's name.
        provider: String,
        /// The limit in bytes.
        limit: usize,
    },

    /// The answer is not what this provider's wire format says.
    #[error("{provider} sent an answer that can't be read ({cause}): {body}")]
    Unreadable {
        /// The provider's name.
        provider: String,
        /// What is wrong with it.
        cause: String,
        /// The first 500 characters of the body.
        body: String,
    },
}

/// What a caller does about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The fault may pass: repeat the same attempt, not before `after` when it is given.
    Retry {
        /// What the provider asked for.
        after: Option<Duration>,
    },
    /// Asking again gives the same error: somebody must change something.
    Fatal,
}

impl Error {
    /// Whether asking again may help.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Unreadable { .. } => {
                Class::Retry { after: None }
            }
            // Both "slow down" and "your credit is used up" arrive as 429; only the first one passes.
            Self::Status { status: 429, body, .. } if body.contains("insufficient_quota") => Class::Fatal,
            Self::Status { status: 408 | 409 | 425 | 429 | 500.., retry_after, .. } => {
                Class::Retry { after: *retry_after }
            }
            Self::Status { .. }
            | Self::InvalidModel(_)
            | Self::NotConfigured(_)
            | Self::Invalid(_)
            | Self::TooLarge { .. } => Class::Fatal,
        }
    }
}
