//! Messages that programs send into an execution.

use uuid::Uuid;

use super::{Error, GenericClient};
use crate::id::ExecutionId;
use crate::json::Json;

const PUSH: &str = include_str!("../../sql/inbox/push.sql");

/// Messages of the last day that an execution may hold.
pub const MAX_MESSAGES: i64 = 1000;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the inbox under this id.
    Taken(Uuid),
    /// The execution has ended.
    Ended,
    /// The inbox holds [`MAX_MESSAGES`].
    Full,
}

/// Put `payload` into the inbox of `execution`.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Postgres`], [`Error::Unavailable`]
pub async fn push(db: &impl GenericClient, execution: ExecutionId, payload: &Json) -> Result<Pushed, Error> {
    let id = Uuid::now_v7();
    let push = db.prepare_cached(PUSH).await?;
    let Some(row) = db.query_opt(&push, &[&execution, &id, payload, &MAX_MESSAGES]).await? else {
        return Err(Error::NotFound { what: "execution", id: execution.to_string() });
    };
    Ok(match (row.get("taken"), row.get("status")) {
        (true, _) => Pushed::Taken(id),
        (false, "running" | "paused") => Pushed::Full,
        (false, _) => Pushed::Ended,
    })
}
