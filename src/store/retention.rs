//! Deleting finished runs: policies as rows, the one way in which a run goes, and what is still known of it then.

use futures_util::TryStreamExt;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Error, GenericClient};
use crate::id::{BulkId, ExecutionId};

/// Which finished runs are kept for how long.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Which runs, in the words of the list.
    pub filter: String,
    /// For how many seconds after their end.
    pub keep_secs: f64,
    /// Whether each is written to a file before it goes.
    pub export: bool,
}

/// A policy, and what came of it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// What it says.
    pub policy: Policy,
    /// When it was set.
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: String,
    /// When what is due was last looked for.
    pub looked_at: Option<Timestamp>,
    /// How many runs went by it.
    pub deleted: i64,
    /// When the newest of them did.
    pub last_at: Option<Timestamp>,
    /// The bulk job that works for it right now.
    pub job: Option<BulkId>,
}

/// All of them, as psql shows them.
pub const STATEMENT: &str = "select *\n  from tenure.retention_policies\n order by name;";

/// All of them, in the order of their names.
///
/// # Errors
///
/// [`Error`]
pub async fn list(db: &impl GenericClient) -> Result<Vec<Stored>, Error> {
    let list = db.prepare_cached(include_str!("../../sql/retention/list.sql")).await?;
    let stored = |row: &Row| {
        Ok(Stored {
            policy: policy(row)?,
            set_at: row.try_get("set_at")?,
            set_by: row.try_get("set_by")?,
            looked_at: row.try_get("looked_at")?,
            deleted: row.try_get("deleted")?,
            last_at: row.try_get("last_at")?,
            job: row.try_get("job")?,
        })
    };
    db.query(&list, &[]).await?.iter().map(stored).collect()
}

fn policy(row: &Row) -> Result<Policy, Error> {
    Ok(Policy {
        name: row.try_get("name")?,
        filter: row.try_get("filter")?,
        keep_secs: row.try_get("keep_secs")?,
        export: row.try_get("export")?,
    })
}

/// Set a policy, or replace the one of its name.
///
/// # Errors
///
/// [`Error`]
pub async fn set(db: &impl GenericClient, policy: &Policy, by: &str) -> Result<(), Error> {
    let set = db.prepare_cached(include_str!("../../sql/retention/set.sql")).await?;
    let Policy { name, filter, keep_secs, export } = policy;
    db.execute(&set, &[name, filter, keep_secs, export, &by]).await?;
    Ok(())
}

/// Remove the policy of this name; whether there was one.
///
/// # Errors
///
/// [`Error`]
pub async fn remove(db: &impl GenericClient, name: &str, by: &str) -> Result<bool, Error> {
    let remove = db.prepare_cached(include_str!("../../sql/retention/remove.sql")).await?;
    Ok(db.execute(&remove, &[&name, &by]).await? > 0)
}

/// Policies for which what is due was not looked for within so many seconds; now it counts as looked for.
///
/// # Errors
///
/// [`Error`]
pub async fn due(db: &impl GenericClient, every_secs: f64) -> Result<Vec<Policy>, Error> {
    let due = db.prepare_cached(include_str!("../../sql/retention/due.sql")).await?;
    db.query(&due, &[&every_secs]).await?.iter().map(policy).collect()
}

/// Those of these runs that ended so many seconds ago or earlier, each with the number of its events.
///
/// # Errors
///
/// [`Error`]
pub async fn ended(
    db: &impl GenericClient,
    ids: &[ExecutionId],
    keep_secs: f64,
) -> Result<Vec<(ExecutionId, i32)>, Error> {
    let ended = db.prepare_cached(include_str!("../../sql/retention/ended.sql")).await?;
    let rows = db.query(&ended, &[&ids, &keep_secs]).await?;
    rows.iter().map(|r| Ok((r.try_get(0)?, r.try_get(1)?))).collect()
}

/// Hand everything that is stored of a run to `write`, one row after the other: of which table it is, and the row as JSON.
///
/// # Errors
///
/// [`Error`]
pub async fn export(
    db: &impl GenericClient,
    id: ExecutionId,
    mut write: impl FnMut(&str, &str),
) -> Result<(), Error> {
    let export = db.prepare_cached(include_str!("../../sql/retention/export.sql")).await?;
    let rows = db.query_raw(&export, [id]).await?;
    futures_util::pin_mut!(rows);
    while let Some(row) = rows.try_next().await? {
        write(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(())
}

/// Which runs are to go, and why.
#[derive(Debug)]
pub struct Deletion<'a> {
    /// The runs.
    pub ids: &'a [ExecutionId],
    /// Who wants it.
    pub by: &'a str,
    /// Only those that ended so many seconds ago or earlier.
    pub keep_secs: f64,
    /// The job that it belongs to.
    pub job: BulkId,
    /// How many events were seen of each, and the file that they were written to.
    pub exported: Option<(&'a [i32], &'a str)>,
}

/// Delete runs with all that belongs to them. Those that are gone have no reason; those that have not been over for long
/// enough are left out.
///
/// # Errors
///
/// [`Error`]
pub async fn delete(
    db: &impl GenericClient,
    deletion: &Deletion<'_>,
) -> Result<Vec<(ExecutionId, Option<String>)>, Error> {
    let delete = db.prepare_cached(include_str!("../../sql/retention/delete.sql")).await?;
    let Deletion { ids, by, keep_secs, job, exported } = deletion;
    let (events, file) = exported.unzip();
    let rows = db.query(&delete, &[ids, by, keep_secs, job, &events, &file]).await?;
    rows.iter().map(|r| Ok((r.try_get(0)?, r.try_get(1)?))).collect()
}

/// Why there is no such execution: it never was, or was deleted.
pub async fn missing(db: &impl GenericClient, id: ExecutionId) -> Error {
    let look = async {
        let fate = db.prepare_cached(include_str!("../../sql/retention/fate.sql")).await?;
        let Some(row) = db.query_opt(&fate, &[&id]).await? else { return Ok(None) };
        let (at, by): (Timestamp, String) = (row.try_get("deleted_at")?, row.try_get("deleted_by")?);
        let file: Option<String> = row.try_get("exported_to")?;
        let file = file.map(|file| format!(", and had been written to {file}")).unwrap_or_default();
        Ok::<_, Error>(Some(format!("was deleted at {at:.0} by {by}{file}")))
    };
    match look.await {
        Ok(Some(what)) => Error::Deleted { what, id },
        Ok(None) => Error::NotFound { what: "execution", id: id.to_string() },
        Err(error) => error,
    }
}

/// Forget what nobody asks for any more.
///
/// # Errors
///
/// [`Error`]
pub async fn forget(db: &impl GenericClient) -> Result<(), Error> {
    let forget = db.prepare_cached(include_str!("../../sql/retention/forget.sql")).await?;
    db.execute(&forget, &[]).await?;
    Ok(())
}
