//! How do many streams read what happened without taking the database from everybody else?
//!
//! ```text
//!   stream ─┐                    ┌─ kept? ─────────────────────────► frames, shared
//!   stream ─┼─ frames from n on ─┤
//!   stream ─┘                    └─ one of READERS ─► one page of events ─► frames, kept for the next
//! ```
//!
//! What has happened never changes, so what one stream has read is right for every other of the same run: who follows
//! together reads once and sends the same bytes. A few pages are kept, for that moment only.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::web::Bytes;
use tokio::sync::Semaphore;

use super::frames::{frames, is_end};
use crate::agent::Agent;
use crate::id::ExecutionId;
use crate::store::read::{events, executions};
use crate::store::{self, Pool};

/// Pages that are read at the same time, each with one connection to the database.
const READERS: usize = 4;
/// Most events in a page.
const EVENTS: i64 = 32;
/// No event is added to a page that has so many bytes: as stored, where texts are packed, and as sent.
const BYTES: usize = 64 * 1024;
/// Pages that are kept.
const KEPT: usize = 64;
/// Only pages of so many bytes, as sent, are kept.
const KEPT_BYTES: usize = 2 * BYTES;

/// What some events of a run look like on a stream.
pub struct Page {
    /// Each frame with its number, oldest first.
    pub frames: Vec<(i64, Bytes)>,
    /// The last event in it; `None` when there is no event.
    pub last_seq: Option<i32>,
    /// Whether the run ends with it.
    pub ends: bool,
    bytes: usize,
}

/// The pages that streams of this server have read a moment ago, by run and first event.
pub struct Pages {
    kept: Mutex<VecDeque<(ExecutionId, i32, Arc<Page>)>>,
    readers: Semaphore,
}

impl Default for Pages {
    fn default() -> Self {
        Self { kept: Mutex::default(), readers: Semaphore::new(READERS) }
    }
}

impl Pages {
    /// The page of a run that begins with event `seq`.
    pub async fn get(
        &self,
        pool: &Pool,
        id: ExecutionId,
        agent: &Agent,
        seq: i32,
    ) -> Result<Arc<Page>, store::Error> {
        if let Some(page) = self.kept(id, seq) {
            return Ok(page);
        }
        let _reader = self.readers.acquire().await;
        // Who waited beside others may find what they have read.
        if let Some(page) = self.kept(id, seq) {
            return Ok(page);
        }
        let page = Arc::new(read(pool, id, agent, seq).await?);
        if page.last_seq.is_some() && page.bytes <= KEPT_BYTES {
            let mut kept = self.all();
            kept.truncate(KEPT - 1);
            kept.push_front((id, seq, page.clone()));
        }
        Ok(page)
    }

    /// An execution, for a stream that begins.
    pub async fn execution(
        &self,
        pool: &Pool,
        id: ExecutionId,
    ) -> Result<executions::Execution, store::Error> {
        let _reader = self.readers.acquire().await;
        executions::get(&pool.get().await?, id).await
    }

    fn kept(&self, id: ExecutionId, seq: i32) -> Option<Arc<Page>> {
        self.all().iter().find(|(of, from, _)| *of == id && *from == seq).map(|(_, _, page)| page.clone())
    }

    fn all(&self) -> std::sync::MutexGuard<'_, VecDeque<(ExecutionId, i32, Arc<Page>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(pool: &Pool, id: ExecutionId, agent: &Agent, seq: i32) -> Result<Page, store::Error> {
    let db = pool.get().await?;
    let mut page = Page { frames: vec![], last_seq: None, ends: false, bytes: 0 };
    for event in events::since(&db, id, seq, EVENTS, i64::try_from(BYTES).unwrap_or(i64::MAX)).await? {
        if page.bytes >= BYTES {
            break;
        }
        let end = if is_end(&event.kind) { Some(executions::get(&db, id).await?) } else { None };
        for frame in frames(&event, agent, end.as_ref()) {
            let (number, bytes) = (frame.id, frame.bytes(id, event.at.as_millisecond()));
            page.bytes += bytes.len();
            page.frames.push((number, bytes));
        }
        page.last_seq = Some(event.seq);
        page.ends |= end.is_some();
    }
    Ok(page)
}
