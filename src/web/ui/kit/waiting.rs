//! How many questions wait for people: the number beside "Approvals" on every page.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;

use crate::store::read::approvals;

/// Questions are counted up to here.
const COUNTED: i64 = 100;
/// How long a number is good for.
const GOOD: Duration = Duration::from_secs(1);

/// The number as one server process knows it. It is read by whoever draws a page, once a second at most, and a database that
/// does not answer holds no page up.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<(Option<Instant>, i64)>>);

impl Waiting {
    /// As it was read last.
    pub fn known(&self) -> i64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// As it is.
    pub async fn now(&self, pool: &Pool) -> i64 {
        {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if last.0.is_some_and(|read| read.elapsed() < GOOD) {
                return last.1;
            }
            last.0 = Some(Instant::now());
        }
        let counted = async { approvals::count(&pool.get().await.ok()?, COUNTED).await.ok() };
        if let Ok(Some(many)) = tokio::time::timeout(GOOD, counted).await {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = many;
        }
        self.known()
    }
}

/// As pages show it; empty when nobody is asked anything.
pub fn shown(many: i64) -> String {
    match many {
        0 => String::new(),
        COUNTED.. => "99+".to_owned(),
        _ => many.to_string(),
    }
}
