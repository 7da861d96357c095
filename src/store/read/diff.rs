//! Two runs side by side: what is compared of each.

use tokio_postgres::Row;

use super::super::retention::missing;
use super::super::{Error, GenericClient};
use super::executions::status_of;
use crate::engine::Status;
use crate::id::ExecutionId;

const HEAD: &str = include_str!("../../../sql/diff/head.sql");
const STEPS: &str = include_str!("../../../sql/diff/steps.sql");

/// Steps of a run that are compared.
pub const MOST: i64 = 2000;

/// A run as a whole.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its id.
    pub id: ExecutionId,
    /// The agent that it runs.
    pub agent: String,
    /// The agent's version.
    pub version: i32,
    /// The model that it asks.
    pub model: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// Why it ended without plain completion.
    pub reason: Option<String>,
    /// The beginning of its prompt.
    pub prompt: Option<String>,
    /// The beginning of its result.
    pub result: Option<String>,
    /// Model calls begun.
    pub turns: i32,
    /// Events so far.
    pub events: i32,
}

/// The beginning of a text, and a hash of all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its beginning.
    pub text: String,
    /// Of all of it.
    pub hash: String,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `model`, `tool`, `check`.
    pub kind: String,
    /// 1-based.
    pub turn: i32,
    /// Which call of its turn.
    pub call: i16,
    /// Tool, worker or model.
    pub name: String,
    /// What a tool was given.
    pub given: Option<Text>,
    /// What came of it.
    pub came: Option<Text>,
    /// Whether it has ended by itself.
    pub is_over: bool,
}

/// A run as a whole.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Postgres`], [`Error::Unavailable`]
pub async fn head(db: &impl GenericClient, id: ExecutionId) -> Result<Head, Error> {
    let row = db.query_opt(&db.prepare_cached(HEAD).await?, &[&id]).await?;
    let Some(row) = row else { return Err(missing(db, id).await) };
    Ok(Head {
        id,
        agent: row.get("agent"),
        version: row.get("version"),
        model: row.get("model"),
        status: status_of(row.get("status")),
        reason: row.get("reason"),
        prompt: row.get("prompt"),
        result: row.get("result"),
        turns: row.get("turns"),
        events: row.get("events"),
    })
}

/// Its steps in order, at most [`MOST`].
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn steps(db: &impl GenericClient, id: ExecutionId) -> Result<Vec<Step>, Error> {
    let rows = db.query(&db.prepare_cached(STEPS).await?, &[&id, &MOST]).await?;
    let text = |row: &Row, name: &str| {
        let text: Option<String> = row.get(name);
        text.map(|text| Text { text, hash: row.get(&*format!("{name}_hash")) })
    };
    let step = |row: &Row| Step {
        kind: row.get("kind"),
        turn: row.get("turn"),
        call: row.get("call"),
        name: row.get("name"),
        given: text(row, "given"),
        came: text(row, "came"),
        is_over: row.get("is_over"),
    };
    Ok(rows.iter().map(step).collect())
}

/// The two statements as they can be typed.
#[must_use]
pub fn printed(id: ExecutionId) -> [String; 2] {
    let typed = |sql: &str| {
        let lines: Vec<_> = sql.lines().filter(|line| !line.starts_with("--")).collect();
        format!("{};", lines.join("\n").replace("$1", &format!("'{id}'")).replace("$2", &MOST.to_string()))
    };
    [typed(HEAD), typed(STEPS)]
}
