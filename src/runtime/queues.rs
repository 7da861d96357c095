//! Queues that people pause and resume.

use super::{Error, Runtime};
use crate::store::read::queues::{self, Queue};
use crate::store::{self, servers};

/// What became of a wish to pause or resume a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switched {
    /// It is so now.
    Done(Queue),
    /// It was so already; nothing changed and nothing was written down.
    Already(Queue),
}

impl Runtime {
    /// Hand out nothing of a queue until it is resumed. What is leased finishes, what is ready waits. A claim that was
    /// under way when this returns may still lease.
    ///
    /// # Errors
    ///
    /// [`store::Error::NotFound`]
    pub async fn pause_queue(&self, id: i32, by: &str, reason: Option<&str>) -> Result<Switched, Error> {
        let db = self.shared.pool.get().await.map_err(store::Error::from)?;
        let changed = servers::pause_queue(&db, id, by, reason).await?;
        let queue = queues::get(&db, id).await?;
        drop(db);
        Ok(if changed { Switched::Done(queue) } else { Switched::Already(queue) })
    }

    /// Hand out its work again; whoever waits for some is woken, on every server.
    ///
    /// # Errors
    ///
    /// [`store::Error::NotFound`]
    pub async fn resume_queue(&self, id: i32, by: &str, reason: Option<&str>) -> Result<Switched, Error> {
        let db = self.shared.pool.get().await.map_err(store::Error::from)?;
        let changed = servers::resume_queue(&db, id, by, reason).await?;
        let queue = queues::get(&db, id).await?;
        drop(db);
        self.shared.woken(vec![id]);
        Ok(if changed { Switched::Done(queue) } else { Switched::Already(queue) })
    }
}
