//! Which calls need a person? The approval policies as this server knows them: read at its start, once a second, and when it
//! changes them itself.

use std::sync::{Arc, PoisonError, RwLock};

use crate::agent::policy::Policy;
use crate::store;

/// What is known.
#[derive(Default)]
pub(super) struct Policies(RwLock<Arc<Vec<Policy>>>);

impl Policies {
    /// In the order in which they are looked at.
    pub fn known(&self) -> Arc<Vec<Policy>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Read them.
    ///
    /// # Errors
    ///
    /// [`store::Error`]; what was known stays.
    pub async fn read(&self, pool: &store::Pool) -> Result<(), store::Error> {
        let all = store::policies::list(&pool.get().await?).await?;
        let all = all.into_iter().map(|stored| stored.policy).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
        Ok(())
    }
}
