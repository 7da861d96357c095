//! The conversation of an execution.

use tokio_postgres::Row;

use super::super::{Error, GenericClient};
use crate::id::ExecutionId;
use crate::json::Json;

const CONVERSATION: &str = include_str!("../../../sql/messages/conversation.sql");

/// One message with what it refers to.
#[derive(Debug, Clone)]
pub struct Message {
    /// `user`, `assistant`, `tool`, `system` or `signal`.
    pub role: String,
    /// Its turn.
    pub turn: i32,
    /// Which of its turn's calls it answers, from 0.
    pub call: Option<i16>,
    /// The call that it answers.
    pub call_id: Option<String>,
    /// The tool of that call.
    pub name: Option<String>,
    /// Its text, when it is not what an attempt produced.
    pub content: Option<String>,
    /// What the call that it answers was given.
    pub arguments: Option<Json>,
    /// What the attempt produced that it refers to.
    pub output: Option<Json>,
    /// Why that attempt failed.
    pub error: Option<String>,
}

/// The messages behind number `after` up to number `upto`, oldest first.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn conversation(
    db: &impl GenericClient,
    execution: ExecutionId,
    after: i32,
    upto: i32,
) -> Result<Vec<Message>, Error> {
    let conversation = db.prepare_cached(CONVERSATION).await?;
    let message = |row: &Row| Message {
        role: row.get("role"),
        turn: row.get("turn"),
        call: row.get("call"),
        call_id: row.get("call_id"),
        name: row.get("name"),
        content: row.get("content"),
        arguments: row.get("arguments"),
        output: row.get("output"),
        error: row.get("error"),
    };
    Ok(db.query(&conversation, &[&execution, &after, &upto]).await?.iter().map(message).collect())
}
