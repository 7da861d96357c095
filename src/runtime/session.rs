//! A conversation goes on: another run of the same session, whose model knows what was said before.
//!
//! What was said is the new run's `memory`: what the run before had been told of earlier ones, its prompt and its answer.
//! It stands in the new run's input, so that what its model was asked can be seen, and made again, from that run alone.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::{Error, Runtime, Start, Started};
use crate::engine::Status;
use crate::id::ExecutionId;
use crate::json::{Json, storable_text};
use crate::store::{self, forks, read::executions};

/// Most messages that a run is told of.
const MESSAGES: usize = 40;
/// Most bytes of them.
const BYTES: usize = 200_000;

/// A run that goes on with the conversation of another one.
#[derive(Debug, Clone)]
pub struct Next {
    /// The run that ended with an answer.
    pub after: ExecutionId,
    /// What is said next.
    pub prompt: String,
    /// Idempotency key: the same one makes one run.
    pub key: Option<String>,
}

/// One message of a memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    role: String,
    message: String,
}

impl Runtime {
    /// Start the next run of a conversation, with the agent's newest version. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when there is no answer to go on from; [`store::Error::NotFound`], [`store::Error::Refused`].
    pub async fn go_on(&self, next: Next) -> Result<Started, Error> {
        if next.prompt.trim().is_empty() {
            return Err(
                store::Error::Refused("prompt: is missing; say how the conversation goes on".into()).into()
            );
        }
        let db = self.pool().get().await.map_err(store::Error::from)?;
        let before = executions::get(&db, next.after).await?;
        if before.status != Status::Completed {
            let text =
                format!("execution {} has no answer to go on from; only a completed run has", next.after);
            return Err(Error::Conflict(text));
        }
        let version =
            store::agents::get(&db, &before.agent, None).await?.map_or(before.version, |a| a.version);
        let origin = forks::origin(&db, next.after).await?;
        drop(db);
        let agent = self.agent(&before.agent, version).await?;
        let session = before.session_id.clone().unwrap_or_else(|| next.after.to_string());
        let (input, context) = input(&before, &next.prompt, &session);
        self.start(Start {
            id: ExecutionId::new(),
            agent,
            version,
            input,
            context,
            key: next.key.filter(|k| !k.trim().is_empty()),
            session: Some(session),
            domains: origin.domains,
            domain: None,
            priority: origin.priority,
            timeout: None,
            refused: None,
        })
        .await
    }
}

/// The next run's input, and what its tools share: as the run before left it.
fn input(before: &executions::Execution, prompt: &str, session: &str) -> (Json, Json) {
    let mut fields: IndexMap<String, Box<RawValue>> =
        serde_json::from_str(before.input.text()).unwrap_or_default();
    let told = fields.get("memory").and_then(|m| serde_json::from_str(m.get()).ok()).unwrap_or_default();
    let asked = fields.get("prompt").and_then(|p| serde_json::from_str(p.get()).ok()).unwrap_or_default();
    let memory = memory(told, asked, answer(before.output.as_ref()));
    let raw = |value: &Json| to_raw_value(value).expect("JSON is JSON");
    let more = [
        ("prompt", Json::of(&storable_text(prompt))),
        ("media", Json::of(&json!([]))),
        ("context", before.context.clone()),
        ("session_id", Json::of(&session)),
        ("memory", Json::of(&memory)),
    ];
    fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), raw(value))));
    (Json::of(&fields), before.context.clone())
}

/// An answer as its model said it.
fn answer(output: Option<&Json>) -> String {
    #[derive(Deserialize)]
    struct Output {
        result: Option<Json>,
    }
    let result = output.and_then(|o| serde_json::from_str::<Output>(o.text()).ok()).and_then(|o| o.result);
    result
        .map_or_else(String::new, |r| serde_json::from_str(r.text()).unwrap_or_else(|_| r.text().to_owned()))
}

/// What a run is told: the newest of what was said, in pairs.
fn memory(mut told: Vec<Said>, asked: String, answer: String) -> Vec<Said> {
    let said = |role: &str, message| Said { role: role.to_owned(), message };
    told.extend([said("user", asked), said("assistant", answer)]);
    told.retain(|said| !said.message.is_empty());
    let mut bytes = 0;
    let kept = told.iter().rev().take(MESSAGES).take_while(|said| {
        bytes += said.message.len();
        bytes <= BYTES
    });
    let kept = kept.count().max(1);
    told.split_off(told.len().saturating_sub(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_grows_by_what_was_asked_and_answered_and_forgets_the_oldest() {
        let said = memory(vec![], "one".into(), "1".into());
        let said = memory(said, "two".into(), "2".into());
        let words: Vec<_> = said.iter().map(|s| format!("{}: {}", s.role, s.message)).collect();
        assert_eq!(words, ["user: one", "assistant: 1", "user: two", "assistant: 2"]);
        let long = (0..100).fold(vec![], |told, n| memory(told, format!("q{n}"), format!("a{n}")));
        assert_eq!((long.len(), &*long[0].message), (MESSAGES, "q80"));
        let big = memory(said, "x".repeat(BYTES - 10), "y".repeat(9));
        assert_eq!(
            big.iter().map(|s| s.role.as_str()).collect::<Vec<_>>(),
            ["assistant", "user", "assistant"]
        );
    }

    #[test]
    fn an_answer_is_its_text_or_its_json() {
        let output = |text: &str| Json::from_text(text.to_owned()).unwrap();
        assert_eq!(answer(Some(&output(r#"{"result":"hi"}"#))), "hi");
        assert_eq!(answer(Some(&output(r#"{"result":{"n":1e2}}"#))), r#"{"n":1e2}"#);
        assert_eq!(answer(Some(&output(r#"{"result":null}"#))), "");
        assert_eq!(answer(None), "");
    }
}
