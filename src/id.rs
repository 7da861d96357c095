//! Identifiers are types: an execution's id can't be passed where an attempt's is wanted.

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
