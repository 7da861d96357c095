//! Agent versions that were read before. Their content never changes, so remembering them can't be wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::agent::Agent;
use crate::store::{self, Pool};

/// Versions that are remembered at most; beyond it all are forgotten.
const MOST: usize = 1000;

#[derive(Default)]
pub struct Catalog {
    known: Mutex<HashMap<(String, i32), Arc<Agent>>>,
}

impl Catalog {
    /// The agent that an execution runs.
    ///
    /// # Errors
    ///
    /// [`store::Error::NotFound`], also for a definition that this server can't read (a newer one wrote it).
    pub async fn agent(&self, pool: &Pool, name: &str, version: i32) -> Result<Arc<Agent>, store::Error> {
        let key = (name.to_owned(), version);
        if let Some(agent) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(agent.clone());
        }
        let deployed = store::agents::of_execution(&pool.get().await?, name, version).await?;
        let agent = Agent::parse(deployed.definition.text()).map(Arc::new).map_err(|invalid| {
            tracing::warn!(%invalid, "version {version} of agent {name} can't be read");
            store::Error::NotFound { what: "readable agent", id: name.to_owned() }
        })?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, agent.clone());
        Ok(agent)
    }
}
