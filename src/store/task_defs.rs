//! Definitions of tasks: how often and how long workers may try.

use super::{Error, GenericClient};
use crate::json::Json;

const DELETE: &str = include_str!("../../sql/task_defs/delete.sql");
const GET: &str = include_str!("../../sql/task_defs/get.sql");
const LIST: &str = include_str!("../../sql/task_defs/list.sql");
const PUT: &str = include_str!("../../sql/task_defs/put.sql");

/// What a client says about a task, and what follows from it.
#[derive(Debug, Clone)]
pub struct TaskDef {
    /// The task's name, which is its queue's too.
    pub name: String,
    /// As sent, with the defaults filled in.
    pub definition: Json,
    /// Tries after the first.
    pub retry_count: i32,
    /// `FIXED`, `LINEAR_BACKOFF` or `EXPONENTIAL_BACKOFF`.
    pub retry_logic: String,
    /// Seconds before the second try.
    pub retry_delay_secs: i32,
    /// Factor on the delay of linear backoff.
    pub backoff_scale: i32,
    /// Seconds of a lease.
    pub response_timeout_secs: i32,
    /// Seconds that a try may take at most; 0 is for ever.
    pub timeout_secs: i32,
    /// Whether the client chose the retries itself.
    pub retries_given: bool,
}

/// Define tasks. The last one of a name counts.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn put(db: &impl GenericClient, defs: &[TaskDef]) -> Result<(), Error> {
    let names: Vec<_> = defs.iter().map(|d| &d.name).collect();
    let definitions: Vec<_> = defs.iter().map(|d| &d.definition).collect();
    let counts: Vec<_> = defs.iter().map(|d| d.retry_count).collect();
    let logics: Vec<_> = defs.iter().map(|d| &d.retry_logic).collect();
    let delays: Vec<_> = defs.iter().map(|d| d.retry_delay_secs).collect();
    let scales: Vec<_> = defs.iter().map(|d| d.backoff_scale).collect();
    let responses: Vec<_> = defs.iter().map(|d| d.response_timeout_secs).collect();
    let timeouts: Vec<_> = defs.iter().map(|d| d.timeout_secs).collect();
    let given: Vec<_> = defs.iter().map(|d| d.retries_given).collect();
    let put = db.prepare_cached(PUT).await?;
    db.execute(
        &put,
        &[&names, &definitions, &counts, &logics, &delays, &scales, &responses, &timeouts, &given],
    )
    .await?;
    Ok(())
}

/// The definition of a task.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn get(db: &impl GenericClient, name: &str) -> Result<Option<Json>, Error> {
    let get = db.prepare_cached(GET).await?;
    Ok(db.query_opt(&get, &[&name]).await?.map(|row| row.get("definition")))
}

/// All definitions, by name.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn list(db: &impl GenericClient) -> Result<Vec<Json>, Error> {
    let list = db.prepare_cached(LIST).await?;
    Ok(db.query(&list, &[]).await?.iter().map(|row| row.get("definition")).collect())
}

/// Forget a definition; false when there was none.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn delete(db: &impl GenericClient, name: &str) -> Result<bool, Error> {
    let delete = db.prepare_cached(DELETE).await?;
    Ok(db.execute(&delete, &[&name]).await? > 0)
}
