//! What a committer does to approvals, in its transaction: ask, decide, deliver, withdraw.

use jiff::Timestamp;
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

use super::{Error, GenericClient};
use crate::agent::{Asking, Expiry};
use crate::engine::Task;
use crate::id::{ApprovalId, ExecutionId};
use crate::json::Json;

/// A committer's prepared statements.
pub struct Statements {
    insert: Statement,
    decide: Statement,
    expire: Statement,
    undelivered: Statement,
    deliver: Statement,
    withdraw: Statement,
}

/// A question that is asked from now on.
#[derive(Debug)]
pub struct NewApproval {
    /// Which execution waits.
    pub execution: ExecutionId,
    /// Its id.
    pub id: ApprovalId,
    /// Whether it is a question to be answered in words, rather than a call to be approved.
    pub is_question: bool,
    /// The agent.
    pub agent: String,
    /// Turn and call.
    pub task: Task,
    /// The call's id in the conversation.
    pub call_id: String,
    /// The tool.
    pub tool: String,
    /// What the tool does.
    pub description: String,
    /// What the model wrote.
    pub arguments: Json,
    /// What the arguments must look like.
    pub schema: Json,
    /// Who is asked, for how long.
    pub asking: Asking,
    /// The policy that asks, when it isn't the tool itself.
    pub policy: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

/// What somebody decides.
#[derive(Debug, Clone)]
pub struct Decision {
    /// About which question.
    pub approval: ApprovalId,
    /// What.
    pub choice: Choice,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// Hash of the arguments that they were shown.
    pub shown: Option<String>,
    /// `page`, `api`, `cli`, `protocol`.
    pub via: &'static str,
}

/// What can be decided.
#[derive(Debug, Clone)]
pub enum Choice {
    /// Let the call go, perhaps with other arguments.
    Approve {
        /// Those.
        arguments: Option<Json>,
    },
    /// Don't.
    Deny,
    /// Answer a question.
    Answer(Json),
    /// Ask back: not like this, and the model is told what a person wants to know.
    Ask,
}

impl Choice {
    /// As SQL takes it: `approve`, `deny`, `answer`, `ask`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Deny => "deny",
            Self::Answer(_) => "answer",
            Self::Ask => "ask",
        }
    }
}

/// What became of a [`Decision`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Decided,
    /// It counts, and more must agree.
    Voted,
    /// Nobody had decided in time, and another group is asked.
    Escalated,
    /// Somebody was first.
    Taken,
    /// Its time is over.
    Expired,
    /// Other arguments were shown.
    Stale,
    /// Not possible.
    Refused,
    /// There is no such question.
    Unknown,
}

/// An [`Outcome`] and a sentence that says it.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// What.
    pub outcome: Outcome,
    /// In words.
    pub message: String,
}

/// What was decided and has not reached its execution.
#[derive(Debug, Clone)]
pub struct Undelivered {
    /// The execution.
    pub execution: ExecutionId,
    /// The question.
    pub id: ApprovalId,
    /// Turn and call.
    pub task: Task,
    /// The tool.
    pub tool: String,
    /// `approved`, `denied`, `answered`, `asked`.
    pub decision: String,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Through which channel.
    pub via: String,
    /// Why.
    pub reason: Option<String>,
    /// What the model wrote.
    pub arguments: Json,
    /// What was approved instead.
    pub edited: Option<Json>,
    /// What a question was answered with.
    pub answer: Option<Json>,
    /// What arguments must look like.
    pub schema: Json,
}

/// A question that something must be done about.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// The execution that waits.
    pub execution: ExecutionId,
    /// The question.
    pub id: ApprovalId,
    /// Its time is over; else it was decided and has to be delivered.
    pub is_over: bool,
}

fn decided(r: &Row) -> Result<Undelivered, Error> {
    let turn = u32::try_from(r.try_get::<_, i32>("turn")?).unwrap_or(0);
    let call = u16::try_from(r.try_get::<_, i16>("call")?).unwrap_or(0);
    Ok(Undelivered {
        execution: r.try_get("execution_id")?,
        id: r.try_get("id")?,
        task: Task::Approval { turn, call },
        tool: r.try_get("tool")?,
        decision: r.try_get("decision")?,
        at: r.try_get("decided_at")?,
        by: r.try_get("decided_by")?,
        via: r.try_get("decided_via")?,
        reason: r.try_get("reason")?,
        arguments: r.try_get("arguments")?,
        edited: r.try_get("edited")?,
        answer: r.try_get("answer")?,
        schema: r.try_get("schema")?,
    })
}

/// What was decided about these questions, whether their executions know it or not.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn decided_in(db: &impl GenericClient, ids: &[ApprovalId]) -> Result<Vec<Undelivered>, Error> {
    if ids.is_empty() {
        return Ok(vec![]);
    }
    let made = db.prepare_cached(include_str!("../../sql/approvals/made.sql")).await?;
    db.query(&made, &[&ids]).await?.iter().map(decided).collect()
}

impl Statements {
    /// Prepare them all on `db`.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn prepare(db: &Client) -> Result<Self, Error> {
        Ok(Self {
            insert: db.prepare(include_str!("../../sql/approvals/insert.sql")).await?,
            decide: db.prepare(include_str!("../../sql/approvals/decide.sql")).await?,
            expire: db.prepare(include_str!("../../sql/approvals/expire.sql")).await?,
            undelivered: db.prepare(include_str!("../../sql/approvals/undelivered.sql")).await?,
            deliver: db.prepare(include_str!("../../sql/approvals/deliver.sql")).await?,
            withdraw: db.prepare(include_str!("../../sql/approvals/withdraw.sql")).await?,
        })
    }

    /// Ask.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn insert(&self, db: &Client, rows: &[NewApproval]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let escalates_to = |r: &NewApproval| match &r.asking.expiry {
            Some((_, Expiry::Escalate { to })) => Some(to.clone()),
            _ => None,
        };
        db.execute(
            &self.insert,
            &[
                &column!(rows, r => r.execution),
                &column!(rows, r => r.id),
                &column!(rows, r => if r.is_question { "question" } else { "call" }),
                &column!(rows, r => &r.agent),
                &column!(rows, r => i32::try_from(r.task.turn()).unwrap_or(i32::MAX)),
                &column!(rows, r => i16::try_from(r.task.call()).unwrap_or(i16::MAX)),
                &column!(rows, r => &r.call_id),
                &column!(rows, r => &r.tool),
                &column!(rows, r => &r.description),
                &column!(rows, r => &r.arguments),
                &column!(rows, r => &r.schema),
                &column!(rows, r => r.asking.group.as_ref()),
                &column!(rows, r => r.asking.quorum),
                &column!(rows, r => r.at),
                &column!(rows, r => r.asking.expiry.as_ref().map(|e| e.0.as_secs_f64())),
                &column!(rows, r => r.asking.expiry.as_ref().map(|e| e.1.name())),
                &column!(rows, r => escalates_to(r)),
                &column!(rows, r => r.asking.not_requester),
                &column!(rows, r => r.policy.as_ref()),
            ],
        )
        .await?;
        Ok(())
    }

    /// Decide. Of any number of decisions about one question exactly one counts; the same `request` counts once, and gets the
    /// same outcome again.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn decide(&self, db: &Client, decision: &Decision, request: Uuid) -> Result<Verdict, Error> {
        let (arguments, answer) = match &decision.choice {
            Choice::Approve { arguments } => (arguments.as_ref(), None),
            Choice::Deny | Choice::Ask => (None, None),
            Choice::Answer(answer) => (None, Some(answer)),
        };
        let row = db
            .query_one(
                &self.decide,
                &[
                    &decision.approval,
                    &decision.choice.name(),
                    &decision.by,
                    &decision.reason,
                    &arguments,
                    &answer,
                    &decision.shown,
                    &decision.via,
                    &request,
                ],
            )
            .await?;
        verdict(&row)
    }

    /// Let happen what happens when nobody has decided in time.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn expire(&self, db: &Client, id: ApprovalId) -> Result<Verdict, Error> {
        verdict(&db.query_one(&self.expire, &[&id]).await?)
    }

    /// What was decided and has not reached these executions.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn undelivered(&self, db: &Client, ids: &[ExecutionId]) -> Result<Vec<Undelivered>, Error> {
        let rows = db.query(&self.undelivered, &[&ids]).await?;
        rows.iter().map(decided).collect()
    }

    /// Executions have taken notice.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn deliver(
        &self,
        db: &Client,
        rows: &[(ExecutionId, ApprovalId, Timestamp)],
    ) -> Result<(), Error> {
        if !rows.is_empty() {
            let (ids, approvals) = (column!(rows, r => r.0), column!(rows, r => r.1));
            db.execute(&self.deliver, &[&ids, &approvals, &column!(rows, r => r.2)]).await?;
        }
        Ok(())
    }

    /// Executions have ended, each with the reason: what they still ask is withdrawn.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn withdraw(
        &self,
        db: &Client,
        rows: &[(ExecutionId, Option<String>)],
        at: Timestamp,
    ) -> Result<(), Error> {
        if !rows.is_empty() {
            let (ids, reasons) = (column!(rows, r => r.0), column!(rows, r => r.1.as_ref()));
            db.execute(&self.withdraw, &[&ids, &reasons, &at]).await?;
        }
        Ok(())
    }
}

fn verdict(row: &Row) -> Result<Verdict, Error> {
    let outcome = match row.try_get("outcome")? {
        "decided" => Outcome::Decided,
        "voted" => Outcome::Voted,
        "escalated" => Outcome::Escalated,
        "taken" => Outcome::Taken,
        "expired" => Outcome::Expired,
        "stale" => Outcome::Stale,
        "unknown" => Outcome::Unknown,
        _ => Outcome::Refused,
    };
    Ok(Verdict { outcome, message: row.try_get::<_, Option<String>>("message")?.unwrap_or_default() })
}

/// Up to `limit` questions of each sort that something must be done about.
///
/// # Errors
///
/// [`Error`]
pub async fn due(db: &impl GenericClient, limit: i64) -> Result<Vec<Due>, Error> {
    let due = db.prepare_cached(include_str!("../../sql/approvals/due.sql")).await?;
    let rows = db.query(&due, &[&limit]).await?;
    rows.iter()
        .map(|r| {
            Ok(Due {
                execution: r.try_get("execution_id")?,
                id: r.try_get("id")?,
                is_over: r.try_get("over")?,
            })
        })
        .collect()
}
