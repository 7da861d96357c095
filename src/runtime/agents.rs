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
    /// An agent version that was used before.
    pub fn known(&self, name: &str, version: i32) -> Option<Arc<Agent>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(name.to_owned(), version)).cloned()
    }

    /// An agent version, retired ones included.
    pub async fn get(
        &self,
        db: &impl GenericClient,
        name: &str,
        version: i32,
    ) -> Result<Arc<Agent>, store::Error> {
        if let Some(agent) = self.known(name, version) {
            return Ok(agent);
        }
        let definition = store::agents::of_execution(db, name, version).await?.definition;
        let agent = Agent::parse(definition.text())
            .map_err(|e| store::Error::Refused(format!("agent {name} version {version}: {e}")))?;
        let agent = Arc::new(agent);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert((name.to_owned(), version), agent.clone());
        Ok(agent)
    }
}
