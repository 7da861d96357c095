//! Scripts: what the demo model answers turn by turn, read from a JSON file.
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::{Arguments, Error, Finish, Reply, Request};

/// The largest script file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// One turn's answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::llm) struct Step {
    /// The answer's text.
    pub text: String,
    /// Tools to call.
    pub calls: Vec<ScriptedCall>,
    /// Instead of the reason that follows from text and calls.
    pub finish: Option<Finish>,
    /// How long the answer takes, in milliseconds.
    pub delay_ms: u64,
    /// Answer with this error first.
    pub fail: Option<Failure>,
    /// Replaces the arguments of every call with this text.
    pub malformed_arguments: Option<String>,
}

/// A tool call of a step.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::llm) struct ScriptedCall {
    /// Instead of the id made from execution, turn and position.
    #[serde(default)]
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// An object, or any text for arguments that are no JSON object.
    #[serde(default = "no_arguments")]
    pub arguments: Arguments,
}

/// An error of the provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::llm) struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// How long the provider asks to wait.
    #[serde(default)]
    pub retry_after_secs: Option<u64>,
    /// How often an execution's turn meets it; without it, always.
    #[serde(default)]
    pub times: Option<u32>,
}

fn no_arguments() -> Arguments {
    Arguments::Object(serde_json::Map::new())
}

impl Step {
    /// A step that only speaks.
    pub(super) fn say(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// A step that only calls.
    pub(super) fn call(call: ScriptedCall) -> Self {
        Self { calls: vec![call], ..Self::default() }
    }
}

/// The named scripts, and how often which failure has been played.
pub(super) struct Scripts {
    named: HashMap<String, Vec<Step>>,
    failed: Mutex<HashMap<(String, u32), u32>>,
}

impl Scripts {
    /// Reads a file that maps names to lists of steps; no file, no names.
    pub(super) fn load(file: Option<&str>) -> Result<Self, Error> {
        let named: HashMap<String, Vec<Step>> = file.map(read).transpose()?.unwrap_or_default();
        if let Some((name, _)) = named.iter().find(|(_, steps)| steps.is_empty()) {
            return Err(Error::Invalid(format!("demo script '{name}' has no steps; give it at least one")));
        }
        Ok(Self { named, failed: Mutex::default() })
    }

    pub(super) fn named(&self, name: &str) -> Option<&[Step]> {
        self.named.get(name).map(Vec::as_slice)
    }

    /// Plays the step of the request's turn; the last one repeats.
    pub(super) async fn play(&self, steps: &[Step], request: &Request) -> Result<Reply, Error> {
        let turn = usize::try_from(request.turn.max(1)).unwrap_or(usize::MAX);
        let Some(step) = steps.get(turn - 1).or(steps.last()) else {
            return Err(Error::Invalid(format!("{} has no steps; give it at least one", request.model)));
        };
        tokio::time::sleep(Duration::from_millis(step.delay_ms)).await;
        match &step.fail {
            Some(failure) if self.fails(failure, request) => Err(Error::Status {
                provider: "demo".to_owned(),
                status: failure.status,
                body: "scripted failure".to_owned(),
                hint: String::new(),
                retry_after: failure.retry_after_secs.map(Duration::from_secs),
            }),
            _ => Ok(super::answer(request, step.clone())),
        }
    }

    fn fails(&self, failure: &Failure, request: &Request) -> bool {
        let Some(times) = failure.times else { return true };
        let mut failed = self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let played = failed.entry((request.execution.clone(), request.turn)).or_default();
        *played = played.saturating_add(1);
        *played <= times
    }
}

/// Reads a file that is a list of steps.
pub(super) fn read_steps(path: &str) -> Result<Vec<Step>, Error> {
    read(path)
}

/// Reads a JSON file. Texts of errors say where it is wrong but quote nothing from it, because an
/// agent names the path and may read the text.
fn read<T: DeserializeOwned>(path: &str) -> Result<T, Error> {
    let bad = |why: String| Error::Invalid(format!("demo script {path} {why}; see docs/models.md"));
    let unreadable = |e: std::io::Error| bad(format!("can't be read ({})", e.kind()));
    // Looked at before it is opened, because opening a pipe would wait for its other end.
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() || about.len() > MAX_FILE {
        return Err(bad("is not a file of at most 1 MB".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(&text).map_err(|e| bad(format!("is not a valid script at line {} column {}", e.line(), e.column())))
}

/// What a file holds.
pub(in crate::llm) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}
