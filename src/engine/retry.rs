//! May it be tried again, and when? Pure.
//!
//! Two budgets that are kept apart: failures that the worker reported, counted against the task's policy, and tries
//! that were lost with their worker, which say nothing about the task until there are many of them.

use std::time::Duration;

/// Tries of one task that may be lost with their worker before the task itself is suspected.
pub const MAX_LOSSES: u32 = 10;

/// How a try ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It may go better next time; the other side may have said when.
    Retryable {
        /// Not before this much later.
        after: Option<Duration>,
    },
    /// It won't go better next time.
    Terminal,
    /// Its worker died or fell silent; nobody knows how far it came.
    Lost,
}

/// How delays grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// Always the same.
    Fixed,
    /// One delay more each time.
    Linear,
    /// Twice as long each time.
    Exponential,
}

/// How often and when a task may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Tries after the first.
    pub retries: u32,
    /// The delay before the second try.
    pub delay: Duration,
    /// How it grows.
    pub backoff: Backoff,
    /// It never grows beyond this.
    pub cap: Duration,
}

impl Policy {
    /// For tools that say nothing: two more tries, after 2 and 4 seconds.
    pub const TOOL: Self = Self {
        retries: 2,
        delay: Duration::from_secs(2),
        backoff: Backoff::Linear,
        cap: Duration::from_hours(1),
    };

    /// For model calls: providers come back, so about a quarter of an hour of patience.
    pub const MODEL: Self = Self {
        retries: 20,
        delay: Duration::from_secs(1),
        backoff: Backoff::Exponential,
        cap: Duration::from_mins(1),
    };

    /// The delay before the next try, or `None` when there is none.
    #[must_use]
    pub fn next(&self, failure: Failure, attempt: u32, losses: u32) -> Option<Duration> {
        let failures = attempt.saturating_sub(losses);
        match failure {
            Failure::Terminal => None,
            Failure::Lost if losses > MAX_LOSSES => None,
            // The first loss is most likely a restart: at once. A task that goes on killing workers slows down.
            Failure::Lost => Some(Duration::from_secs(u64::from(losses.saturating_sub(1).min(30)))),
            Failure::Retryable { .. } if failures > self.retries => None,
            Failure::Retryable { after } => Some(self.grown(failures.max(1)).max(after.unwrap_or_default())),
        }
    }

    fn grown(&self, failures: u32) -> Duration {
        let factor = match self.backoff {
            Backoff::Fixed => 1,
            Backoff::Linear => failures,
            Backoff::Exponential => 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX),
        };
        self.delay.saturating_mul(factor).min(self.cap)
    }
}
