//! Questions to people: what is asked, what was decided, and how such ones were decided before.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::{Error, GenericClient};
use crate::id::{ApprovalId, ExecutionId};
use crate::json::Json;

/// How a question stands, without its payloads.
#[derive(Debug, Clone)]
pub struct Brief {
    /// Its id.
    pub id: ApprovalId,
    /// The execution that asks.
    pub execution: ExecutionId,
    /// Its agent.
    pub agent: String,
    /// Whether it is to be answered in words, rather than a call to be approved.
    pub is_question: bool,
    /// The tool.
    pub tool: String,
    /// `pending`, `expiring`, `approved`, `denied`, `answered`, `asked`, `withdrawn`.
    pub state: String,
    /// Whose decision it is; `None`: anybody's.
    pub group: Option<String>,
    /// How many must approve.
    pub quorum: i16,
    /// How many have.
    pub approved: i64,
    /// Since when.
    pub asked_at: Timestamp,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// What happens then: `deny`, `approve`, `escalate`.
    pub on_expiry: Option<String>,
    /// Who is asked then.
    pub escalate_to: Option<String>,
    /// How it was decided.
    pub decided: Option<DecidedBy>,
    /// Whether it was approved with other arguments.
    pub is_edited: bool,
    /// The beginning of its arguments.
    pub beginning: String,
}

/// Who decided, when and why.
#[derive(Debug, Clone)]
pub struct DecidedBy {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// `page`, `api`, `cli`, `protocol`, `sql`, `clock`, `run`.
    pub via: String,
    /// Why.
    pub reason: Option<String>,
}

/// A question with everything.
#[derive(Debug, Clone)]
pub struct Approval {
    /// How it stands.
    pub brief: Brief,
    /// 1-based.
    pub turn: i32,
    /// Which of its turn's calls, 0-based.
    pub call: i16,
    /// The call's id in the conversation.
    pub call_id: String,
    /// What the tool does.
    pub description: String,
    /// What the model wrote.
    pub arguments: Json,
    /// sha256 of that text, hex.
    pub hash: String,
    /// What arguments must look like.
    pub schema: Json,
    /// What was approved instead.
    pub edited: Option<Json>,
    /// What it was answered with.
    pub answer: Option<Json>,
    /// The policy that asks, when it isn't the tool itself.
    pub policy: Option<String>,
    /// Whether whoever started the run can't decide it.
    pub not_requester: bool,
}

/// What one person said.
#[derive(Debug, Clone)]
pub struct Vote {
    /// Who.
    pub voter: String,
    /// `approve`, `deny`, `answer`, `ask`.
    pub vote: String,
    /// Through which channel.
    pub via: String,
    /// Why.
    pub reason: Option<String>,
    /// Whether for other arguments.
    pub is_edited: bool,
    /// Before it was escalated, or after.
    pub round: i16,
    /// When.
    pub at: Timestamp,
}

/// Which questions are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Those that were decided, newest first; else those that were not, oldest first.
    pub is_decided: bool,
    /// After this one in that order.
    pub after: Option<ApprovalId>,
    /// Of this tool.
    pub tool: Option<String>,
    /// Of this agent.
    pub agent: Option<String>,
    /// Of this group.
    pub group: Option<String>,
    /// Of this execution.
    pub execution: Option<ExecutionId>,
}

/// How questions about a tool were decided.
#[derive(Debug, Clone, Copy, Default)]
pub struct Before {
    /// How many, the newest 1000 at most.
    pub asks: i64,
    /// Approved, with other arguments or without.
    pub approved: i64,
    /// Of those, with other arguments.
    pub edited: i64,
    /// Denied.
    pub denied: i64,
    /// Answered in words.
    pub answered: i64,
    /// Decided by the clock.
    pub expired: i64,
    /// Half of them took no longer.
    pub median_secs: Option<f64>,
}

fn brief(row: &Row, beginning: String, is_edited: bool) -> Result<Brief, Error> {
    let decided = match row.try_get("decided_at")? {
        None => None,
        Some(at) => Some(DecidedBy {
            at,
            by: row.try_get::<_, Option<_>>("decided_by")?.unwrap_or_default(),
            via: row.try_get::<_, Option<_>>("decided_via")?.unwrap_or_default(),
            reason: row.try_get("reason")?,
        }),
    };
    Ok(Brief {
        id: row.try_get("id")?,
        execution: row.try_get("execution_id")?,
        agent: row.try_get("agent")?,
        is_question: row.try_get::<_, &str>("kind")? == "question",
        tool: row.try_get("tool")?,
        state: row.try_get("state")?,
        group: row.try_get("of_group")?,
        quorum: row.try_get("quorum")?,
        approved: row.try_get("approved")?,
        asked_at: row.try_get("asked_at")?,
        expires_at: row.try_get("expires_at")?,
        on_expiry: row.try_get("on_expiry")?,
        escalate_to: row.try_get("escalate_to")?,
        decided,
        is_edited,
        beginning,
    })
}

fn whole(row: &Row) -> Result<Approval, Error> {
    let (arguments, edited): (Json, Option<Json>) = (row.try_get("arguments")?, row.try_get("edited")?);
    Ok(Approval {
        brief: brief(row, arguments.text().chars().take(500).collect(), edited.is_some())?,
        turn: row.try_get("turn")?,
        call: row.try_get("call")?,
        call_id: row.try_get("call_id")?,
        description: row.try_get("description")?,
        arguments,
        hash: row.try_get("arguments_hash")?,
        schema: row.try_get("schema")?,
        edited,
        answer: row.try_get("answer")?,
        policy: row.try_get("policy")?,
        not_requester: row.try_get("not_requester")?,
    })
}

/// One question.
///
/// # Errors
///
/// [`Error::NotFound`]
pub async fn get(db: &impl GenericClient, id: ApprovalId) -> Result<Approval, Error> {
    let get = db.prepare_cached(include_str!("../../../sql/approvals/get.sql")).await?;
    let row = db.query_opt(&get, &[&id]).await?;
    row.as_ref().map_or_else(|| Err(Error::NotFound { what: "approval", id: id.to_string() }), whole)
}

/// What an execution asks and asked, in the order of its calls; or only what nobody has decided yet.
///
/// # Errors
///
/// [`Error`]
pub async fn of_execution(
    db: &impl GenericClient,
    execution: ExecutionId,
    is_pending: bool,
) -> Result<Vec<Approval>, Error> {
    let all = db.prepare_cached(include_str!("../../../sql/approvals/of_execution.sql")).await?;
    db.query(&all, &[&execution, &is_pending]).await?.iter().map(whole).collect()
}

/// Who said what about a question, oldest first.
///
/// # Errors
///
/// [`Error`]
pub async fn votes(
    db: &impl GenericClient,
    execution: ExecutionId,
    id: ApprovalId,
) -> Result<Vec<Vote>, Error> {
    let votes = db.prepare_cached(include_str!("../../../sql/approvals/votes.sql")).await?;
    let vote = |row: &Row| {
        Ok(Vote {
            voter: row.try_get("voter")?,
            vote: row.try_get("vote")?,
            via: row.try_get("via")?,
            reason: row.try_get("reason")?,
            is_edited: row.try_get("is_edited")?,
            round: row.try_get("round")?,
            at: row.try_get("at")?,
        })
    };
    db.query(&votes, &[&execution, &id]).await?.iter().map(vote).collect()
}

/// Up to `limit` questions.
///
/// # Errors
///
/// [`Error`]
pub async fn list(db: &impl GenericClient, wanted: &Wanted, limit: i64) -> Result<Vec<Brief>, Error> {
    let sql = if wanted.is_decided {
        include_str!("../../../sql/approvals/decided.sql")
    } else {
        include_str!("../../../sql/approvals/pending.sql")
    };
    let list = db.prepare_cached(sql).await?;
    let w = wanted;
    let rows = db.query(&list, &[&limit, &w.after, &w.tool, &w.agent, &w.group, &w.execution]).await?;
    rows.iter().map(|row| brief(row, row.try_get("arguments")?, row.try_get("is_edited")?)).collect()
}

/// How questions about a tool were decided in the last 90 days.
///
/// # Errors
///
/// [`Error`]
pub async fn before(db: &impl GenericClient, tool: &str) -> Result<Before, Error> {
    let before = db.prepare_cached(include_str!("../../../sql/approvals/before.sql")).await?;
    let row = db.query_one(&before, &[&tool]).await?;
    Ok(Before {
        asks: row.try_get("asks")?,
        approved: row.try_get("approved")?,
        edited: row.try_get("edited")?,
        denied: row.try_get("denied")?,
        answered: row.try_get("answered")?,
        expired: row.try_get("expired")?,
        median_secs: row.try_get("median_secs")?,
    })
}

/// How many questions nobody has decided, counted up to `most`.
///
/// # Errors
///
/// [`Error`]
pub async fn count(db: &impl GenericClient, most: i64) -> Result<i64, Error> {
    let count = db.prepare_cached(include_str!("../../../sql/approvals/count.sql")).await?;
    Ok(db.query_one(&count, &[&most]).await?.try_get(0)?)
}

/// The statements that show in psql what [`list`] and [`get`] find, and the one that decides; each with what it shows.
#[must_use]
pub fn statements(is_decided: bool, current: Option<ApprovalId>) -> Vec<(&'static str, String)> {
    let (condition, order) = if is_decided {
        ("decided_at is not null", "decided_at desc")
    } else {
        ("decided_at is null", "asked_at")
    };
    let mut statements = vec![(
        "What people are asked",
        format!(
            "select id, tool, arguments, agent, of_group, asked_at, expires_at, decided_by, decided_at, reason\n  \
             from tenure.approval\n where {condition}\n order by {order}\n limit 50;"
        ),
    )];
    if let Some(id) = current {
        statements.push(("This question", format!("select * from tenure.approval where id = '{id}';")));
        statements.push((
            "Decide it: one function under every channel, so each decision is written down in the same way",
            format!("select * from tenure.decide('{id}', 'deny', by => 'your name', reason => 'why');"),
        ));
    }
    statements
}
