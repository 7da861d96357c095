//! What workers logged about their attempts.

use jiff::Timestamp;

use super::{Error, GenericClient};
use crate::id::{AttemptId, ExecutionId};

const APPEND: &str = include_str!("../../sql/logs/append.sql");
const OF_ATTEMPT: &str = include_str!("../../sql/logs/of_attempt.sql");

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The text, storable.
    pub text: String,
    /// When it was logged, as far as the worker said.
    pub at: Option<Timestamp>,
}

/// Append lines; the same lines sent again are not doubled, and lines about an unknown attempt go nowhere.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn append(
    db: &impl GenericClient,
    execution: ExecutionId,
    attempt: AttemptId,
    lines: &[Line],
) -> Result<(), Error> {
    let texts: Vec<_> = lines.iter().map(|l| &l.text).collect();
    let times: Vec<_> = lines.iter().map(|l| l.at).collect();
    let append = db.prepare_cached(APPEND).await?;
    db.execute(&append, &[&execution, &attempt, &texts, &times]).await?;
    Ok(())
}

/// The newest thousand lines about an attempt, oldest first.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn of_attempt(
    db: &impl GenericClient,
    execution: ExecutionId,
    attempt: AttemptId,
) -> Result<Vec<Line>, Error> {
    let of_attempt = db.prepare_cached(OF_ATTEMPT).await?;
    let rows = db.query(&of_attempt, &[&execution, &attempt]).await?;
    Ok(rows.iter().map(|row| Line { text: row.get("line"), at: row.get("at") }).collect())
}
