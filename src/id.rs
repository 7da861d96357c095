//! Identifiers are types: an execution's id can't be passed where an attempt's is wanted.

use jiff::Timestamp;
use postgres_types::{FromSql, ToSql};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Declares a `UUIDv7` newtype that travels unchanged through SQL, JSON, URLs and logs.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSql, FromSql)]
        #[postgres(transparent)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id. Version 7, so ids sort by creation time and index pages stay warm.
            #[expect(clippy::new_without_default, reason = "a default id would be a different one each time")]
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id as 128 bits, for spreading work over shards.
            #[must_use]
            pub fn as_u128(self) -> u128 {
                self.0.as_u128()
            }

            /// The id with these bits, as a bound of a range.
            #[must_use]
            pub fn from_u128(bits: u128) -> Self {
                Self(Uuid::from_u128(bits))
            }

            /// The lowest id of a millisecond; of times before 1970, that of 1970.
            #[must_use]
            pub fn first_at(time: Timestamp) -> Self {
                let millis = u128::try_from(time.as_millisecond()).unwrap_or(0);
                Self::from_u128(millis << 80 | 0x7000_8000_0000_0000_0000)
            }

            /// When it was made, to the millisecond.
            #[must_use]
            pub fn time(self) -> Timestamp {
                let millis = i64::try_from(self.as_u128() >> 80).unwrap_or(i64::MAX);
                Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }
    };
}

id!(
    /// Identifies one run of an agent (wire protocol: `workflowId`, `executionId`).
    ExecutionId
);
id!(
    /// Identifies one try at a task (wire protocol: `taskId`). A retry has another one, so a late
    /// result of an old attempt can't be mistaken for the new one's.
    AttemptId
);
id!(
    /// Identifies one question to people.
    ApprovalId
);
id!(
    /// Identifies one bulk job.
    BulkId
);

/// What a process calls itself: `host:pid:random`, so that two sessions never share a name, not even after a restart in the same container.
#[must_use]
pub fn session_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let random = Uuid::now_v7().simple().to_string();
    format!("{host}:{}:{}", std::process::id(), &random[24..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_lies_within_its_millisecond() {
        let time = "2026-11-21T07:00:00.123Z".parse::<Timestamp>().unwrap();
        let first = ExecutionId::first_at(time);
        assert_eq!(first.to_string(), "01a1fce7-9dfb-7000-8000-000000000000");
        assert_eq!(first.time(), time);
        assert_eq!(ExecutionId::first_at(Timestamp::MIN).time(), Timestamp::UNIX_EPOCH);
        let fresh = ExecutionId::new();
        assert!(ExecutionId::first_at(fresh.time()) <= fresh);
    }
}
