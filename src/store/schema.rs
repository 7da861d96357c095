//! Migrations: forward only, one transaction each, guarded so that two new servers do not both migrate.

use std::time::Duration;

use tokio_postgres::Client;

use super::Error;

mod embedded {
    refinery::embed_migrations!("sql/migrations");
}

/// One step of the schema's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 1.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Whether this database has it.
    pub applied: bool,
}

/// Session lock that a migrating server holds.
const LOCK: i64 = 7_238_000_000;

fn runner() -> refinery::Runner {
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name("tenure.schema_history");
    runner
}

/// Bring the schema to the newest version; returns the names of the steps that were missing.
///
/// Other servers wait for the one that migrates. Statements give up after a few seconds of waiting for a lock, so that
/// a migration never queues up all traffic behind itself.
///
/// # Errors
///
/// [`Error::Migration`] names the step.
pub async fn migrate(db: &mut Client) -> Result<Vec<String>, Error> {
    db.execute("select pg_advisory_lock($1)", &[&LOCK]).await?;
    let done = migrate_locked(db).await;
    db.execute("select pg_advisory_unlock($1)", &[&LOCK]).await?;
    done
}

async fn migrate_locked(db: &mut Client) -> Result<Vec<String>, Error> {
    if status(db).await?.iter().all(|s| s.applied) {
        return Ok(vec![]);
    }
    db.batch_execute("create schema if not exists tenure").await?;
    db.batch_execute(&format!("set lock_timeout = {}", Duration::from_secs(5).as_millis())).await?;
    let report = runner().run_async(db).await.map_err(Box::new)?;
    db.batch_execute("reset lock_timeout").await?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// Every step that this binary knows, and whether the database has it.
///
/// # Errors
///
/// [`Error`] when the database can't be read.
pub async fn status(db: &mut Client) -> Result<Vec<Step>, Error> {
    let exists = db.query_one("select to_regclass('tenure.schema_history') is not null", &[]).await?;
    let applied: Vec<i64> = if exists.try_get(0)? {
        let rows = db.query("select version::bigint from tenure.schema_history", &[]).await?;
        rows.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?
    } else {
        vec![]
    };
    let runner = runner();
    let steps = runner.get_migrations().iter().map(|m| {
        let version = i64::from(m.version());
        Step { version, name: m.name().to_owned(), applied: applied.contains(&version) }
    });
    Ok(steps.collect())
}
