//! Filters that somebody kept, with a name.

use jiff::Timestamp;
use tokio_postgres::error::SqlState;

use super::super::super::{Error, GenericClient};

const ADD: &str = include_str!("../../../../sql/views/add.sql");
const DELETE: &str = include_str!("../../../../sql/views/delete.sql");
const LIST: &str = include_str!("../../../../sql/views/list.sql");

/// Most views that are kept.
pub const MOST: i64 = 30;

/// A filter with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its number.
    pub id: i64,
    /// Its name, unique.
    pub name: String,
    /// The filter in the words of the list.
    pub query: String,
    /// When it was kept.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
}

/// What became of a view to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It has this number.
    Kept(i64),
    /// Another one has its name.
    NameTaken,
    /// There are [`MOST`] already.
    TooMany,
}

/// All of them, oldest first.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn list(db: &impl GenericClient) -> Result<Vec<View>, Error> {
    let list = db.prepare_cached(LIST).await?;
    let rows = db.query(&list, &[]).await?;
    let view = |row: &tokio_postgres::Row| View {
        id: row.get("id"),
        name: row.get("name"),
        query: row.get("query"),
        created_at: row.get("created_at"),
        created_by: row.get("created_by"),
    };
    Ok(rows.iter().map(view).collect())
}

/// Keep a filter. All texts in storable form, the name of 1 to 60 characters.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn add(db: &impl GenericClient, name: &str, query: &str, by: &str) -> Result<Added, Error> {
    let add = db.prepare_cached(ADD).await?;
    match db.query_opt(&add, &[&name, &query, &by, &MOST]).await {
        Ok(Some(row)) => Ok(Added::Kept(row.get("id"))),
        Ok(None) => Ok(Added::TooMany),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(Added::NameTaken),
        Err(error) => Err(error.into()),
    }
}

/// Forget a filter; whether there was one.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn delete(db: &impl GenericClient, id: i64) -> Result<bool, Error> {
    let delete = db.prepare_cached(DELETE).await?;
    Ok(db.execute(&delete, &[&id]).await? > 0)
}
