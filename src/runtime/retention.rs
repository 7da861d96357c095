//! Retention: finished runs that are old enough go, written to a file before if that is wished.
//!
//! ```text
//!   policy ──► once an hour: is anything due? ──► a bulk job that deletes ──► per step: file ──► tenure.delete_runs
//! ```
//!
//! 1. A run goes as a whole or not at all, and only when it has ended.
//! 2. Nobody is waited for: what somebody else is at is left for the next hour.
//! 3. A file is on the disk before what is in it goes. A run whose file was written twice is in both.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::fs;
use tokio::io::AsyncWriteExt as _;

use super::bulk::{Action, Wanted};
use super::{Error, Runtime, Shared};
use crate::id::{BulkId, ExecutionId};
use crate::store::bulk::{Order, Step};
use crate::store::retention::{self, Deletion, Policy};
use crate::store::{self, GenericClient};

/// How often what is due is looked for.
const EVERY_SECS: f64 = 3600.0;
/// Runs that go in a second, at most.
const RATE: u16 = 1000;

impl Runtime {
    /// Set a retention policy, or replace the one of its name. What is due by it goes from the next second on.
    ///
    /// # Errors
    ///
    /// [`store::Error::Refused`] when the filter can't be read or says nothing, or there is no place for exports.
    pub async fn set_retention(&self, policy: &Policy, by: &str) -> Result<(), Error> {
        let filter = super::bulk::read(&policy.filter)?.text();
        self.can_export(policy.export)?;
        let db = self.pool().get().await.map_err(store::Error::from)?;
        Ok(retention::set(&db, &Policy { filter, ..policy.clone() }, by).await?)
    }

    /// Whether this server can do what is wished.
    pub(super) fn can_export(&self, is_wished: bool) -> Result<(), Error> {
        if is_wished && self.shared.exports.is_none() {
            return Err(store::Error::Refused(NO_PLACE.into()).into());
        }
        Ok(())
    }

    /// Begin a job for what is due by a policy, if anything is.
    async fn retain(&self, policy: Policy) -> Result<(), Error> {
        let wanted = Wanted {
            action: Action::Delete,
            reason: String::new(),
            rate: RATE,
            by: format!("retention policy '{}'", policy.name),
            key: None,
            keep_secs: policy.keep_secs,
            export: policy.export,
            policy: Some(policy.name),
            filter: policy.filter,
        };
        let count = self.count_bulk(&wanted.filter, wanted.keep_secs).await?;
        if count.found > 0 || count.has_more {
            self.begin_bulk(&wanted, count).await?;
        }
        Ok(())
    }

    /// Write those of these runs to a file that are to go, if that is wished.
    pub(super) async fn export(
        &self,
        db: &impl GenericClient,
        order: &Order,
        ids: &[ExecutionId],
    ) -> Result<Exported, Error> {
        if !order.export {
            return Ok(Exported { ids: ids.to_vec(), file: None, trouble: None });
        }
        let (ids, events): (Vec<_>, Vec<_>) =
            retention::ended(db, ids, order.keep_secs).await?.into_iter().unzip();
        if ids.is_empty() {
            return Ok(Exported { ids, file: None, trouble: None });
        }
        let written = match &self.shared.exports {
            Some(directory) => write(db, directory, &ids).await,
            None => Err(Unwritten::File(NO_PLACE.to_owned())),
        };
        match written {
            Ok(file) => Ok(Exported { ids, file: Some((events, file)), trouble: None }),
            Err(Unwritten::Store(error)) => Err(error.into()),
            Err(Unwritten::File(why)) => Ok(Exported { ids, file: None, trouble: Some(why) }),
        }
    }
}

/// Runs that are to go, and the file in which they are.
pub(super) struct Exported {
    ids: Vec<ExecutionId>,
    /// How many events were seen of each, and the file.
    file: Option<(Vec<i32>, String)>,
    /// Why they were not written.
    trouble: Option<String>,
}

/// Delete runs for a job, in the transaction that writes this down; what came of it.
pub(super) async fn delete(
    db: &impl GenericClient,
    job: BulkId,
    order: &Order,
    exported: Exported,
) -> Result<Step, store::Error> {
    let mut step = Step::default();
    let Exported { ids, file, trouble } = exported;
    if trouble.is_some() {
        step.failed = i32::try_from(ids.len()).unwrap_or(i32::MAX);
        step.note = trouble;
        return Ok(step);
    }
    let exported = file.as_ref().map(|(events, file)| (events.as_slice(), file.as_str()));
    let (by, keep_secs) = (order.by.as_str(), order.keep_secs);
    for (_, why) in retention::delete(db, &Deletion { ids: &ids, by, keep_secs, job, exported }).await? {
        if why.is_none() {
            step.done += 1;
        } else {
            step.skipped += 1;
        }
        step.note = why.or(step.note);
    }
    Ok(step)
}

const NO_PLACE: &str =
    "this server has no directory for exports; start it with --export-dir, as all servers of this database";

/// Begin what is due.
pub(super) async fn look(shared: &Arc<Shared>, db: &impl GenericClient) -> Result<(), store::Error> {
    for policy in retention::due(db, EVERY_SECS).await? {
        let runtime = Runtime { shared: shared.clone() };
        tokio::spawn(async move {
            let name = policy.name.clone();
            if let Err(error) = runtime.retain(policy).await {
                tracing::warn!(
                    ?error,
                    policy = name,
                    "what is due by a retention policy could not be looked for"
                );
            }
        });
    }
    Ok(())
}

/// Why a file was not written.
enum Unwritten {
    Store(store::Error),
    File(String),
}

impl From<store::Error> for Unwritten {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// Write runs to a new file of a day's directory, one line per row; its name. It is on the disk when this returns.
async fn write(db: &impl GenericClient, directory: &Path, ids: &[ExecutionId]) -> Result<String, Unwritten> {
    let name = format!("{}/{}.jsonl", Timestamp::now().strftime("%Y-%m-%d"), ExecutionId::new());
    let path = directory.join(&name);
    let failed = |error: std::io::Error| Unwritten::File(format!("can't write {}: {error}", path.display()));
    let part = path.with_extension("part");
    let written = async {
        let day = path.parent().unwrap_or(directory);
        fs::create_dir_all(day).await.map_err(failed)?;
        let mut file = fs::File::create(&part).await.map_err(failed)?;
        for id in ids {
            let mut lines = String::new();
            retention::export(db, *id, |table, row| {
                let _ = writeln!(lines, r#"{{"table":"{table}","row":{row}}}"#);
            })
            .await?;
            file.write_all(lines.as_bytes()).await.map_err(failed)?;
        }
        file.sync_all().await.map_err(failed)?;
        fs::rename(&part, &path).await.map_err(failed)?;
        for changed in [day, directory] {
            fs::File::open(changed).await.map_err(failed)?.sync_all().await.map_err(failed)?;
        }
        Ok(name.clone())
    };
    let written = written.await;
    if written.is_err() {
        let _ = fs::remove_file(&part).await;
    }
    written
}
