//! Agent versions in memory. They never change, so nothing is ever stale.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::agent::Agent;
use crate::store::{self, GenericClient};

/// Versions kept before the memory is emptied.
const KEPT: usize = 1000;

/// See the module.
#[derive(Default)]
pub(super) struct Agents {
    known: Mutex<HashMap<(String, i32), Arc<Agent>>>,
}

impl Agents {
    /// An agent version, retired ones included.
    pub async fn get(
        &self,
        db: &impl GenericClient,
        name: &str,
        version: i32,
    ) -> Result<Arc<Agent>, store::Error> {
        let key = (name.to_owned(), version);
        if let Some(agent) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(agent.clone());
        }
        let definition = store::agents::of_execution(db, name, version).await?.definition;
        let agent = Agent::parse(definition.text())
            .map_err(|e| store::Error::Refused(format!("agent {name} version {version}: {e}")))?;
        let agent = Arc::new(agent);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(key, agent.clone());
        Ok(agent)
    }
}
