//! Messages into a run, and the tools that wait for them.
//!
//! A call of such a tool is parked: a row of a queue that nobody polls. Waiting holds no thread, no connection and no
//! memory. Everything happens in a committer's transaction, under the lock on the execution:
//!
//! ```text
//!   message ──► inbox ──┐
//!                       ├─► a parked call and an unread message: the call returns, in the same commit
//!   call ─────► parked ─┘
//! ```
//!
//! 1. A message is in the output of one call at most, in the order of arrival.
//! 2. No message waits while a call does.
//! 3. A call that is not to wait, or of a run that is to stop, returns what there is, perhaps nothing.

use std::collections::HashMap;

use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use super::batch::{Batch, Happened, Live, Surroundings};
use super::commit::{Done, Work};
use super::{Error, Outcome, Runtime};
use crate::agent::ToolKind;
use crate::engine::IllegalEvent;
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;
use crate::store::commit::{Statements, Taken};
use crate::store::{self, inbox::Message};

/// The queue of calls that wait for a message. Tools can't have a dot in their name.
pub(super) const QUEUE: &str = "tenure.inbox";

/// A message for a run.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Its id.
    pub id: Uuid,
    /// The run.
    pub to: ExecutionId,
    /// A JSON object.
    pub payload: Json,
    /// Who sent it, in words.
    pub by: String,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the inbox, or read already, under this id.
    Taken(Uuid),
    /// The inbox holds as many as it may.
    Full,
}

impl Runtime {
    /// Send a message into a run. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when the run has ended; [`store::Error::NotFound`].
    pub async fn message(&self, to: ExecutionId, payload: Json, by: &str) -> Result<Pushed, Error> {
        let mail = Mail { id: Uuid::now_v7(), to, payload, by: by.to_owned() };
        match self.shared.done(Work::Message(mail)).await? {
            Done::Messaged(pushed) => Ok(pushed),
            _ => Ok(Pushed::Full),
        }
    }
}

/// Put a message into its inbox.
pub(super) async fn receive(
    (sql, db): (&Statements, &Client),
    mail: &Mail,
    live: Option<&mut Live>,
    batch: &mut Batch,
) -> Result<Result<Done, Error>, store::Error> {
    let Some(live) = live else {
        return Ok(Err(store::Error::NotFound { what: "execution", id: mail.to.to_string() }.into()));
    };
    if live.state.status.is_terminal() {
        let text = format!("execution {} has ended and takes no messages", mail.to);
        return Ok(Err(Error::Conflict(text)));
    }
    match sql.inbox.push(db, mail.to, mail.id, &mail.payload).await? {
        None => return Ok(Ok(Done::Messaged(Pushed::Full))),
        Some(true) => {
            let data = json!({ "id": mail.id, "by": crate::json::storable_text(&mail.by) });
            batch.event(live, "message_received", None, Some(Json::of(&data)));
        }
        // It had been committed after all, before the answer was lost.
        Some(false) => {}
    }
    Ok(Ok(Done::Messaged(Pushed::Taken(mail.id))))
}

/// Let calls return that wait for messages which are there: calls of `asked` executions, and those that have just begun.
pub(super) async fn hand_over(
    (sql, db): (&Statements, &Client),
    asked: &[ExecutionId],
    lives: &mut HashMap<ExecutionId, Live>,
    batch: &mut Batch,
    around: &mut impl Surroundings,
) -> Result<(), store::Error> {
    let is_live = |id: &ExecutionId| lives.get(id).is_some_and(|live| !live.state.status.is_terminal());
    let asked: Vec<_> = asked.iter().copied().filter(is_live).collect();
    let parked = if asked.is_empty() { vec![] } else { sql.inbox.parked(db, &asked).await? };
    let begun: Vec<_> = std::mem::take(&mut batch.waits).into_iter().filter(|(id, _)| is_live(id)).collect();
    for (id, attempt) in parked {
        let Some(live) = lives.get_mut(&id) else { continue };
        let Some(taken) = sql.take(db, &[(id, attempt, None, None)]).await?.pop() else { continue };
        let messages = look((sql, db), live, &taken).await?;
        match messages {
            Some(messages) => returned(live, taken, &messages, batch, around)?,
            None => batch.park(live, attempt, taken.queue),
        }
    }
    for (id, attempt) in begun {
        let Some(live) = lives.get_mut(&id) else { continue };
        let Some(taken) = batch.begun(live, attempt) else { continue };
        let messages = look((sql, db), live, &taken).await?;
        if let Some(messages) = messages {
            batch.queued.retain(|q| q.attempt != attempt);
            returned(live, taken, &messages, batch, around)?;
        }
    }
    Ok(())
}

/// The messages that a call returns with; `None` when it is to go on waiting.
async fn look(
    (sql, db): (&Statements, &Client),
    live: &Live,
    taken: &Taken,
) -> Result<Option<Vec<Message>>, store::Error> {
    let kind = live.agent.tool(&taken.name).map(|tool| tool.kind);
    let Some(ToolKind::Inbox { batch, blocking }) = kind else { return Ok(None) };
    let messages = sql.inbox.pop(db, live.id, taken.attempt, batch.into()).await?;
    Ok((!messages.is_empty() || !blocking || live.state.stop).then_some(messages))
}

fn returned(
    live: &mut Live,
    taken: Taken,
    messages: &[Message],
    batch: &mut Batch,
    around: &mut impl Surroundings,
) -> Result<(), store::Error> {
    let output = output(live.id, messages);
    let happened =
        Happened::Reported { taken, outcome: Outcome::Completed(output), worker: "the inbox".to_owned() };
    batch
        .decide(live, happened, around)
        .map_err(|illegal: IllegalEvent| store::Error::Refused(illegal.to_string()))
}

/// What a model reads, and what the protocol's clients see of it.
fn output(execution: ExecutionId, messages: &[Message]) -> Json {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct One<'a> {
        id: Uuid,
        execution_id: ExecutionId,
        payload: &'a Json,
        received_at: String,
    }
    let messages = messages.iter().map(|m| One {
        id: m.id,
        execution_id: execution,
        payload: &m.payload,
        received_at: m.received_at.to_string(),
    });
    let messages: Vec<_> = messages.collect();
    Json::of(&json!({ "messages": messages, "count": messages.len() }))
}

/// Whether a call of this attempt's queue waits for messages.
pub(super) fn is_parked(queue: i32, around: &impl Surroundings) -> bool {
    queue == around.queue(QUEUE, "")
}

/// A call as it was parked.
pub(super) type Parked = (ExecutionId, AttemptId);
