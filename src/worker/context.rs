//! What a tool knows about the call that it performs.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{
    ToolError,
    input::{Fields, Task},
};

/// The call that a tool performs: whose it is, which try, and the agent's state.
///
/// Cheap to clone; clones share the state.
#[derive(Debug, Clone)]
pub struct Context {
    /// The execution that the call belongs to.
    pub execution_id: String,
    /// This try at the call. Every try has another id.
    pub attempt_id: String,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// The same for all attempts at this call and for no other call: hand it to whatever must not happen twice.
    pub idempotency_key: String,
    /// The tool's name.
    pub tool: String,
    state: Arc<Mutex<State>>,
    lost: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    /// As it was when the attempt was handed out.
    given: Fields,
    /// What the tool changed; the only part that travels back.
    updates: Fields,
}

impl Context {
    pub(super) fn new(task: &Task) -> Self {
        Self {
            execution_id: task.execution_id.clone(),
            attempt_id: task.attempt_id.clone(),
            attempt: task.retries + 1,
            idempotency_key: task.idempotency_key(),
            tool: task.tool.clone(),
            state: Arc::new(Mutex::new(State { given: task.state(), updates: Fields::new() })),
            lost: CancellationToken::new(),
        }
    }

    /// The value under `key` in the agent's state, which all tools of an execution share; what this attempt has set
    /// already counts. `None` when it isn't there.
    ///
    /// # Errors
    ///
    /// The value is not a `T`.
    pub fn state<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ToolError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(value) = state.updates.get(key).or_else(|| state.given.get(key)) else { return Ok(None) };
        serde_json::from_str(value.get())
            .map(Some)
            .map_err(|error| ToolError::terminal(format!("agent state {key:?} has another shape: {error}")))
    }

    /// Set `key` in the agent's state. It is merged when this attempt's result is accepted, not before.
    ///
    /// # Errors
    ///
    /// `value` has no JSON form.
    pub fn set_state<T: Serialize>(&self, key: impl Into<String>, value: &T) -> Result<(), ToolError> {
        let value = to_raw_value(value).map_err(ToolError::terminal)?;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).updates.insert(key.into(), value);
        Ok(())
    }

    /// Resolves when the lease is lost. The tool's own future is dropped then anyway; this is for what it started
    /// elsewhere, such as threads and spawned tasks.
    pub fn lease_lost(&self) -> WaitForCancellationFuture<'_> {
        self.lost.cancelled()
    }

    pub(super) fn say_lease_is_lost(&self) {
        self.lost.cancel();
    }

    pub(super) fn state_updates(&self) -> Option<Box<RawValue>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (!state.updates.is_empty())
            .then(|| to_raw_value(&state.updates).expect("a map of JSON values is a JSON value"))
    }
}
