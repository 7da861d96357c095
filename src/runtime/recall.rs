//! What this server has read or written of conversations that go on, so that a model call reads only what is new to it.
//!
//! ```text
//!   a commit here ──► hear ──► [ newer | older ] ◄── recall ◄── a model call
//!                                                      │ what is missing
//!                                                      └──► tenure.messages
//! ```
//!
//! 1. Messages are never changed and are numbered without gaps: what is known of a conversation is its beginning, up to a
//!    number, and stays true whatever other servers write.
//! 2. What is kept is bounded; when it is too much, what was not used for longest goes, half of it at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::batch::Batch;
use super::{Runtime, Shared};
use crate::id::ExecutionId;
use crate::json::Json;
use crate::store::{self, read};

/// Bytes of text that are kept.
const ROOM: usize = 16 << 20;
/// What an entry takes beside its texts, about.
const EACH: usize = 200;

/// One message of a conversation, with what it refers to.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// `user`, `assistant`, `tool`, `system` or `signal`.
    pub role: String,
    /// The turn that it belongs to.
    pub turn: u32,
    /// Which call it answers.
    pub call: Option<u16>,
    /// The tool's name, when no attempt says it.
    pub name: Option<String>,
    /// Its own text.
    pub content: Option<String>,
    /// What the attempt that it refers to produced.
    pub output: Option<Json>,
    /// Why that attempt produced nothing.
    pub error: Option<String>,
}

impl Entry {
    fn size(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        EACH + text(&self.content) + text(&self.error) + self.output.as_ref().map_or(0, |o| o.text().len())
    }
}

impl From<read::messages::Message> for Entry {
    fn from(m: read::messages::Message) -> Self {
        Self {
            role: m.role,
            turn: u32::try_from(m.turn).unwrap_or(0),
            call: m.call.and_then(|c| u16::try_from(c).ok()),
            name: m.name,
            content: m.content,
            output: m.output,
            error: m.error,
        }
    }
}

/// The beginning of a conversation.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// What the run was started with.
    pub input: Json,
    /// Its messages from the first on.
    pub entries: Arc<Vec<Entry>>,
}

#[derive(Debug)]
struct Known {
    conversation: Conversation,
    size: usize,
}

impl Known {
    fn new(input: Json, entries: Vec<Entry>) -> Self {
        let size = EACH + input.text().len() + entries.iter().map(Entry::size).sum::<usize>();
        Self { conversation: Conversation { input, entries: Arc::new(entries) }, size }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Recall {
    kept: Mutex<Kept>,
    room: usize,
}

#[derive(Debug, Default)]
struct Kept {
    newer: HashMap<ExecutionId, Known>,
    older: HashMap<ExecutionId, Known>,
    /// Bytes of the newer ones.
    size: usize,
}

impl Default for Recall {
    fn default() -> Self {
        Self { kept: Mutex::default(), room: ROOM }
    }
}

impl Kept {
    /// Take out what is known of a conversation.
    fn take(&mut self, id: ExecutionId) -> Option<Known> {
        if let Some(known) = self.newer.remove(&id) {
            self.size -= known.size;
            return Some(known);
        }
        self.older.remove(&id)
    }

    fn put(&mut self, id: ExecutionId, known: Known, room: usize) {
        if known.size > room / 4 {
            return;
        }
        self.size += known.size;
        if let Some(before) = self.newer.insert(id, known) {
            self.size -= before.size;
        }
        if self.size > room / 2 {
            self.older = std::mem::take(&mut self.newer);
            self.size = 0;
        }
    }
}

impl Recall {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run has begun here.
    fn begun(&self, id: ExecutionId, input: Json) {
        self.kept().put(id, Known::new(input, vec![]), self.room);
    }

    /// Message number `n` was committed here. What is not the next one of what is known is read when it is wanted.
    fn heard(&self, id: ExecutionId, n: u32, entry: Entry) {
        let mut kept = self.kept();
        let Some(mut known) = kept.take(id) else { return };
        if u32::try_from(known.conversation.entries.len() + 1) == Ok(n) {
            known.size += entry.size();
            Arc::make_mut(&mut known.conversation.entries).push(entry);
        }
        kept.put(id, known, self.room);
    }

    /// What is known, which then counts as used.
    fn known(&self, id: ExecutionId) -> Option<Conversation> {
        let mut kept = self.kept();
        let known = kept.take(id)?;
        let conversation = known.conversation.clone();
        kept.put(id, known, self.room);
        Some(conversation)
    }

    fn learned(&self, id: ExecutionId, conversation: &Conversation) {
        let mut kept = self.kept();
        let longer = |known: &Known| known.conversation.entries.len() > conversation.entries.len();
        let known = match kept.take(id) {
            Some(known) if longer(&known) => known,
            _ => Known::new(conversation.input.clone(), conversation.entries.to_vec()),
        };
        kept.put(id, known, self.room);
    }

    /// Take notice of what was committed.
    pub fn hear(&self, batch: &Batch, begun: impl Iterator<Item = (ExecutionId, Json)>) {
        for (id, input) in begun {
            self.begun(id, input);
        }
        let results: HashMap<_, _> = batch.results.iter().map(|r| (r.taken.attempt, r)).collect();
        for message in &batch.messages {
            let result = match message.attempt {
                None => None,
                Some(attempt) => match results.get(&attempt) {
                    Some(result) => Some(result),
                    // It refers to something older: to be read.
                    None => continue,
                },
            };
            let entry = Entry {
                role: message.role.to_owned(),
                turn: message.turn,
                call: message.call,
                name: message.name.clone().or_else(|| Some(result?.taken.name.clone())),
                content: message.content.clone(),
                output: result.and_then(|r| r.output.clone()),
                error: result.and_then(|r| r.error.clone()),
            };
            self.heard(message.execution, message.n, entry);
        }
        let mut kept = self.kept();
        for ended in batch.advanced.iter().filter(|a| a.ended) {
            kept.take(ended.id);
        }
    }
}

impl Runtime {
    /// The messages of a run up to number `upto`, and what it was started with.
    ///
    /// # Errors
    ///
    /// [`store::Error`]
    pub async fn conversation(&self, id: ExecutionId, upto: u32) -> Result<Conversation, store::Error> {
        self.shared.conversation(id, upto).await
    }
}

impl Shared {
    pub(super) async fn conversation(
        &self,
        id: ExecutionId,
        upto: u32,
    ) -> Result<Conversation, store::Error> {
        let recall = &self.recall;
        let known = recall.known(id);
        let many = usize::try_from(upto).unwrap_or(usize::MAX);
        if let Some(known) = &known
            && known.entries.len() == many
        {
            return Ok(known.clone());
        }
        let (input, mut entries) = match known {
            Some(known) => (Some(known.input), Arc::unwrap_or_clone(known.entries)),
            None => (None, vec![]),
        };
        entries.truncate(many);
        let after = i32::try_from(entries.len()).unwrap_or(i32::MAX);
        let upto = i32::try_from(upto).unwrap_or(i32::MAX);
        let db = self.pool.get().await?;
        let (input, messages) = futures_util::join!(
            async {
                match input {
                    Some(input) => Ok(input),
                    None => read::executions::get(&db, id).await.map(|row| row.input),
                }
            },
            read::messages::conversation(&db, id, after, upto)
        );
        entries.extend(messages?.into_iter().map(Entry::from));
        let conversation = Conversation { input: input?, entries: Arc::new(entries) };
        recall.learned(id, &conversation);
        Ok(conversation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        let (role, content) = ("user".to_owned(), Some(text.to_owned()));
        Entry { role, turn: 1, call: None, name: None, content, output: None, error: None }
    }

    fn texts(recall: &Recall, id: ExecutionId) -> Option<Vec<String>> {
        let known = recall.known(id)?;
        Some(known.entries.iter().filter_map(|e| e.content.clone()).collect())
    }

    #[test]
    fn what_is_known_is_the_beginning_without_a_gap() {
        let (recall, id) = (Recall::default(), ExecutionId::new());
        recall.heard(id, 1, entry("of a run that began elsewhere"));
        assert_eq!(texts(&recall, id), None);
        recall.begun(id, Json::of(&1));
        recall.heard(id, 1, entry("one"));
        recall.heard(id, 3, entry("three, and another server wrote two"));
        recall.heard(id, 4, entry("four"));
        assert_eq!(texts(&recall, id), Some(vec!["one".into()]));

        let entries = Arc::new(vec![entry("one"), entry("two"), entry("three")]);
        recall.learned(id, &Conversation { input: Json::of(&1), entries });
        recall.heard(id, 4, entry("four"));
        recall.heard(id, 4, entry("again"));
        assert_eq!(texts(&recall, id).unwrap(), ["one", "two", "three", "four"]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_used_stays() {
        let recall = Recall { room: 100 * EACH, kept: Mutex::default() };
        let used = ExecutionId::new();
        recall.begun(used, Json::of(&1));
        recall.heard(used, 1, entry("stays"));
        for _ in 0..1_000 {
            recall.begun(ExecutionId::new(), Json::of(&1));
            assert_eq!(texts(&recall, used).unwrap(), ["stays"]);
        }
        let kept = recall.kept();
        assert!(kept.newer.len() + kept.older.len() < 100, "{} + {}", kept.newer.len(), kept.older.len());
        assert_eq!(kept.size, kept.newer.values().map(|k| k.size).sum::<usize>());
    }
}
