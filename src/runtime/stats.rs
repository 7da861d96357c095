//! How queues are served: counted in memory where work is handed out and where it fails, added to the table every few
//! seconds. A crash loses the last seconds of it, nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Shared;
use crate::store::servers::Served;
use crate::store::{self, Pool};

/// Time between two writes.
const EVERY: Duration = Duration::from_secs(10);
/// Old rows that one write deletes at most, of each length of period.
const FORGET: i64 = 2000;
/// Buckets of a histogram of waits: the last one begins at 2^26 ms, a little under 19 hours.
const BUCKETS: usize = 28;

/// What was counted and not written yet, by queue.
#[derive(Default)]
pub(super) struct Stats {
    queues: Mutex<HashMap<i32, Counts>>,
}

#[derive(Default)]
struct Counts {
    started: i32,
    failed: i32,
    waits: [i32; BUCKETS],
}

impl Stats {
    fn with(&self, queue: i32, count: impl FnOnce(&mut Counts)) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        count(queues.entry(queue).or_default());
    }

    /// An attempt was handed out after it had been ready for `waited`.
    pub fn started(&self, queue: i32, waited: Duration) {
        self.with(queue, |counts| {
            counts.started = counts.started.saturating_add(1);
            let bucket = &mut counts.waits[bucket(waited)];
            *bucket = bucket.saturating_add(1);
        });
    }

    /// An attempt of a queue failed, gave up or was lost.
    pub fn failed(&self, queue: i32) {
        self.with(queue, |counts| counts.failed = counts.failed.saturating_add(1));
    }

    fn take(&self) -> Vec<Served> {
        let queues = std::mem::take(&mut *self.queues.lock().unwrap_or_else(PoisonError::into_inner));
        let served = |(queue, counts): (i32, Counts)| {
            let used = counts.waits.iter().rposition(|n| *n > 0).map_or(0, |last| last + 1);
            let waits = counts.waits[..used].to_vec();
            Served { queue, started: counts.started, failed: counts.failed, waits }
        };
        queues.into_iter().map(served).collect()
    }

    fn put_back(&self, served: Vec<Served>) {
        for served in served {
            self.with(served.queue, |counts| {
                counts.started = counts.started.saturating_add(served.started);
                counts.failed = counts.failed.saturating_add(served.failed);
                for (sum, more) in counts.waits.iter_mut().zip(served.waits) {
                    *sum = sum.saturating_add(more);
                }
            });
        }
    }

    /// Add what was counted to the table.
    pub async fn write(&self, pool: &Pool, server: i64) -> Result<(), store::Error> {
        let counted = self.take();
        let written = async {
            let mut db = pool.get().await?;
            let tx = db.transaction().await?;
            tx.batch_execute("set local synchronous_commit = off").await?;
            store::servers::count(&tx, server, &counted).await?;
            store::servers::forget_stats(&tx, FORGET).await?;
            Ok(tx.commit().await?)
        };
        let written = written.await;
        if written.is_err() {
            self.put_back(counted);
        }
        written
    }
}

/// The bucket of a wait, from 0: the bits that its milliseconds take.
fn bucket(waited: Duration) -> usize {
    let millis = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    let bits = u64::BITS - millis.leading_zeros();
    usize::try_from(bits).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// Write until the server has closed.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shared.closed.cancelled() => return,
        }
        if let Err(error) = shared.stats.write(&shared.pool, shared.session.id).await {
            tracing::debug!(?error, "could not write how queues are served; counting on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_counted_in_the_bucket_that_the_database_reads_it_from() {
        let of = |millis| bucket(Duration::from_millis(millis));
        assert_eq!([0, 1, 2, 3, 4, 1023, 1024].map(of), [0, 1, 2, 2, 3, 10, 11]);
        assert_eq!(bucket(Duration::from_micros(999)), 0);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_could_not_be_written_is_counted_again() {
        let stats = Stats::default();
        stats.started(1, Duration::from_millis(5));
        stats.failed(1);
        let served = stats.take();
        assert!(stats.take().is_empty());
        stats.started(1, Duration::ZERO);
        stats.put_back(served);
        let served = stats.take();
        assert_eq!((served[0].started, served[0].failed, &*served[0].waits), (2, 1, &[1, 0, 0, 1][..]));
    }
}
