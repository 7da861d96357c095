//! Agents: definitions by name, versioned by their content.

use std::fmt::Write as _;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio_postgres::Row;

use super::{Error, GenericClient, Pool};
use crate::json::Json;

const ADD_VERSION: &str = include_str!("../../sql/agents/add_version.sql");
const CURRENT: &str = include_str!("../../sql/agents/current.sql");
const GET: &str = include_str!("../../sql/agents/get.sql");
const LIST: &str = include_str!("../../sql/agents/list.sql");
const LOCK: &str = include_str!("../../sql/agents/lock.sql");
const OF_EXECUTION: &str = include_str!("../../sql/agents/of_execution.sql");
const RETIRE: &str = include_str!("../../sql/agents/retire.sql");
const SET_CURRENT: &str = include_str!("../../sql/agents/set_current.sql");

/// One version of an agent as it was deployed.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The agent's name.
    pub name: String,
    /// 1, 2, 3, …
    pub version: i32,
    /// SHA-256 of the definition as sent, in hex.
    pub checksum: String,
    /// The definition as sent.
    pub definition: Json,
    /// When the agent was first deployed.
    pub created_at: Timestamp,
    /// When it last was.
    pub updated_at: Timestamp,
}

impl From<Row> for Deployed {
    fn from(row: Row) -> Self {
        Self {
            name: row.get("name"),
            version: row.get("version"),
            checksum: row.get("checksum"),
            definition: row.get("definition"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

/// Make `definition` what starting `name` runs, and return its version. The same content is the same version, and
/// deploying what is current already writes nothing.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn deploy(pool: &Pool, name: &str, definition: &Json) -> Result<i32, Error> {
    let checksum = checksum(definition.text());
    let mut db = pool.get().await?;
    let current = db.prepare_cached(CURRENT).await?;
    if let Some(row) = db.query_opt(&current, &[&name]).await?
        && row.get::<_, &str>("checksum") == checksum
    {
        return Ok(row.get("version"));
    }
    let tx = db.transaction().await?;
    let version = add(&tx, name, definition, &checksum).await?;
    tx.commit().await?;
    Ok(version)
}

async fn add(tx: &Transaction<'_>, name: &str, definition: &Json, checksum: &str) -> Result<i32, Error> {
    let version = add_version(tx, name, definition, checksum).await?;
    tx.execute(&tx.prepare_cached(SET_CURRENT).await?, &[&name, &version]).await?;
    Ok(version)
}

async fn add_version(
    tx: &Transaction<'_>,
    name: &str,
    definition: &Json,
    checksum: &str,
) -> Result<i32, Error> {
    tx.execute(&tx.prepare_cached(LOCK).await?, &[&name]).await?;
    let add = tx.prepare_cached(ADD_VERSION).await?;
    Ok(tx.query_one(&add, &[&name, &checksum, definition]).await?.get("version"))
}

/// Keep `definition` as a version of `name`, which starting it does not run; the same content is the same version.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn keep(pool: &Pool, name: &str, definition: &Json) -> Result<i32, Error> {
    let mut db = pool.get().await?;
    let tx = db.transaction().await?;
    let version = add_version(&tx, name, definition, &checksum(definition.text())).await?;
    tx.commit().await?;
    Ok(version)
}

fn checksum(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The current version of `name`, or the one with this number; `None` when it was never deployed or is deleted.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn get(
    db: &impl GenericClient,
    name: &str,
    version: Option<i32>,
) -> Result<Option<Deployed>, Error> {
    let get = db.prepare_cached(GET).await?;
    Ok(db.query_opt(&get, &[&name, &version]).await?.map(Deployed::from))
}

/// The version that an execution runs, even when it was deleted since.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Postgres`], [`Error::Unavailable`]
pub async fn of_execution(db: &impl GenericClient, name: &str, version: i32) -> Result<Deployed, Error> {
    let of_execution = db.prepare_cached(OF_EXECUTION).await?;
    db.query_opt(&of_execution, &[&name, &version])
        .await?
        .map(Deployed::from)
        .ok_or_else(|| Error::NotFound { what: "agent", id: name.to_owned() })
}

/// All agents with their current version, by name.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn list(db: &impl GenericClient) -> Result<Vec<Deployed>, Error> {
    let list = db.prepare_cached(LIST).await?;
    Ok(db.query(&list, &[]).await?.into_iter().map(Deployed::from).collect())
}

/// Delete an agent, or one version of it; false when there was nothing to delete. Executions keep what they run.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn retire(db: &impl GenericClient, name: &str, version: Option<i32>) -> Result<bool, Error> {
    let retire = db.prepare_cached(RETIRE).await?;
    Ok(!db.query(&retire, &[&name, &version]).await?.is_empty())
}
