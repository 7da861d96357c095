//! Messages that programs send into an execution, and who gets them.

use jiff::Timestamp;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::{Error, GenericClient};
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;

/// Messages of the last day that may wait in an execution.
pub const MAX_MESSAGES: i64 = 1000;

/// A message on its way to a tool.
#[derive(Debug)]
pub struct Message {
    /// Its id.
    pub id: Uuid,
    /// A JSON object.
    pub payload: Json,
    /// When it came.
    pub received_at: Timestamp,
}

/// A call that waits for a message.
#[derive(Debug)]
pub struct Waiting {
    /// Its id in the conversation, or the tool's name.
    pub name: String,
    /// 1-based.
    pub turn: i32,
    /// What it was given.
    pub input: Json,
}

/// The oldest call of an execution that waits for a message.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn waiting(db: &impl GenericClient, execution: ExecutionId) -> Result<Option<Waiting>, Error> {
    let waiting = db.prepare_cached(include_str!("../../sql/inbox/waiting.sql")).await?;
    Ok(db.query_opt(&waiting, &[&execution]).await?.map(|row| Waiting {
        name: row.get("name"),
        turn: row.get("turn"),
        input: row.get("input"),
    }))
}

/// A committer's prepared statements about inboxes.
pub struct Statements {
    push: Statement,
    parked: Statement,
    pop: Statement,
}

impl Statements {
    /// Prepare them on `db`.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn prepare(db: &Client) -> Result<Self, Error> {
        Ok(Self {
            push: db.prepare(include_str!("../../sql/inbox/push.sql")).await?,
            parked: db.prepare(include_str!("../../sql/inbox/parked.sql")).await?,
            pop: db.prepare(include_str!("../../sql/inbox/pop.sql")).await?,
        })
    }

    /// Put a message into the inbox of a locked execution: whether it is new there; `None` when the inbox is full.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn push(
        &self,
        db: &Client,
        execution: ExecutionId,
        id: Uuid,
        payload: &Json,
    ) -> Result<Option<bool>, Error> {
        let row = db.query_opt(&self.push, &[&execution, &id, payload, &MAX_MESSAGES]).await?;
        Ok(row.map(|r| r.try_get(0)).transpose()?)
    }

    /// Calls of locked executions that wait for a message, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn parked(
        &self,
        db: &Client,
        executions: &[ExecutionId],
    ) -> Result<Vec<(ExecutionId, AttemptId)>, Error> {
        let rows = db.query(&self.parked, &[&executions]).await?;
        rows.iter().map(|r| Ok((r.try_get("execution_id")?, r.try_get("attempt_id")?))).collect()
    }

    /// The oldest messages of a locked execution, which nobody else gets from now on.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn pop(
        &self,
        db: &Client,
        execution: ExecutionId,
        attempt: AttemptId,
        most: i64,
    ) -> Result<Vec<Message>, Error> {
        let mut rows = db.query(&self.pop, &[&execution, &attempt, &most]).await?;
        rows.sort_by_key(|row| row.get::<_, i64>("n"));
        rows.iter()
            .map(|r| {
                let received_at = r.try_get("received_at")?;
                Ok(Message { id: r.try_get("id")?, payload: r.try_get("payload")?, received_at })
            })
            .collect()
    }
}
