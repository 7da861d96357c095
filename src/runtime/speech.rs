//! What is a model saying right now, to whoever listens?
//!
//! ```text
//!   model ─► performer ─► Speaker ─► the text so far, of one run ─► Listening ─► stream, page
//! ```
//!
//! Of each call there is one text that grows. A listener remembers how much of it it has had, so a slow one gets more at
//! once and nobody holds a queue. Nothing of it is stored and nothing depends on it: the whole answer comes as an event,
//! as ever. It is heard on the server that performs the call, not on others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::id::{AttemptId, ExecutionId};

/// Shortest time between two pieces for one listener.
const PACE: Duration = Duration::from_millis(100);

/// The newest answer of one run, as far as it goes.
#[derive(Debug, Default)]
struct Said {
    attempt: Option<AttemptId>,
    turn: u32,
    text: String,
    is_over: bool,
}

type Channel = watch::Sender<Said>;

/// Who speaks and who listens on this server.
#[derive(Default)]
pub(super) struct Speech(Mutex<HashMap<ExecutionId, Weak<Channel>>>);

impl Speech {
    /// Hear what the models of a run say.
    pub fn listen(&self, id: ExecutionId) -> Listening {
        let channel = self.channel(id, true).unwrap_or_else(|| Arc::new(Channel::new(Said::default())));
        let mut answers = channel.subscribe();
        let seen = {
            let said = answers.borrow_and_update();
            // What is over is an event already, or will be in a moment.
            if said.is_over {
                Seen { attempt: said.attempt, bytes: said.text.len(), is_over: true }
            } else {
                Seen::default()
            }
        };
        Listening { answers, seen, due: Instant::now(), _channel: channel }
    }

    /// Speak in a run, if somebody listens, or `unheard` all the same.
    pub fn speak(&self, id: ExecutionId, attempt: AttemptId, turn: u32, unheard: bool) -> Option<Speaker> {
        let channel = self.channel(id, unheard)?;
        channel.send_replace(Said { attempt: Some(attempt), turn, ..Said::default() });
        Some(Speaker(channel))
    }

    fn channel(&self, id: ExecutionId, make: bool) -> Option<Arc<Channel>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = all.get(&id).and_then(Weak::upgrade) {
            return Some(channel);
        }
        make.then(|| {
            all.retain(|_, channel| channel.strong_count() > 0);
            let channel = Arc::new(Channel::new(Said::default()));
            all.insert(id, Arc::downgrade(&channel));
            channel
        })
    }
}

/// Says one answer; it is over when this goes.
pub struct Speaker(Arc<Channel>);

impl Speaker {
    /// The next piece of it.
    pub fn say(&self, piece: &str) {
        if !piece.is_empty() {
            self.0.send_modify(|said| said.text.push_str(piece));
        }
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.0.send_modify(|said| said.is_over = true);
    }
}

/// What one listener has had.
#[derive(Debug, Default)]
struct Seen {
    attempt: Option<AttemptId>,
    bytes: usize,
    is_over: bool,
}

/// Hears what the models of a run say.
pub struct Listening {
    answers: watch::Receiver<Said>,
    seen: Seen,
    due: Instant,
    _channel: Arc<Channel>,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The turn that it belongs to, from 1.
    pub turn: u32,
    /// How many bytes of UTF-8 stand before it; 0 begins an answer, also one that is given a second time.
    pub at: usize,
    /// The text; empty when nothing is left to say.
    pub text: String,
    /// Whether the answer ends with it, whole or broken off.
    pub is_last: bool,
}

impl Listening {
    /// The next piece for who may listen; waits for ever for who doesn't.
    pub async fn heard(listening: &mut Option<Self>) -> Piece {
        match listening {
            Some(listening) => listening.next().await,
            None => std::future::pending().await,
        }
    }

    /// The next piece, at most ten a second. May be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Piece {
        sleep_until(self.due).await;
        let seen = &self.seen;
        let is_new = |said: &Said| {
            let grown = said.text.len() > if said.attempt == seen.attempt { seen.bytes } else { 0 };
            grown || said.is_over && said.attempt == seen.attempt && !seen.is_over
        };
        let piece = match self.answers.wait_for(is_new).await {
            Ok(said) => {
                let at = if said.attempt == self.seen.attempt { self.seen.bytes } else { 0 };
                self.seen = Seen { attempt: said.attempt, bytes: said.text.len(), is_over: said.is_over };
                Piece { turn: said.turn, at, text: said.text[at..].to_owned(), is_last: said.is_over }
            }
            // Not while we hold the channel.
            Err(_) => std::future::pending().await,
        };
        self.due = Instant::now() + PACE;
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> (ExecutionId, AttemptId) {
        (ExecutionId::new(), AttemptId::new())
    }

    #[tokio::test]
    async fn a_listener_hears_what_it_has_not_had() {
        let (speech, (run, attempt)) = (Speech::default(), ids());
        let mut listening = speech.listen(run);
        let speaker = speech.speak(run, attempt, 3, false).unwrap();
        speaker.say("Rolled ");
        let piece = |at, text: &str, is_last| Piece { turn: 3, at, text: text.into(), is_last };
        assert_eq!(listening.next().await, piece(0, "Rolled ", false));
        speaker.say("ba");
        speaker.say("ck");
        let mut late = speech.listen(run);
        assert_eq!(late.next().await, piece(0, "Rolled back", false));
        drop(speaker);
        assert_eq!(listening.next().await, piece(7, "back", true));
        assert_eq!(late.next().await, piece(11, "", true));
    }

    #[tokio::test]
    async fn a_second_try_begins_anew() {
        let (speech, (run, attempt)) = (Speech::default(), ids());
        let mut listening = speech.listen(run);
        speech.speak(run, attempt, 1, false).unwrap().say("One two");
        assert_eq!(listening.next().await.text, "One two");
        let again = speech.speak(run, AttemptId::new(), 1, false).unwrap();
        again.say("Three");
        let piece = listening.next().await;
        assert_eq!((piece.at, piece.text.as_str()), (0, "Three"));
    }

    #[tokio::test]
    async fn what_was_over_before_is_not_heard() {
        let (speech, (run, attempt)) = (Speech::default(), ids());
        let _keeps_it = speech.listen(run);
        speech.speak(run, attempt, 1, false).unwrap().say("over");
        let mut late = speech.listen(run);
        speech.speak(run, AttemptId::new(), 2, false).unwrap().say("new");
        let piece = late.next().await;
        assert_eq!((piece.turn, piece.text.as_str()), (2, "new"));
    }

    #[test]
    fn nobody_speaks_to_an_empty_room_unless_told_to() {
        let (speech, (run, attempt)) = (Speech::default(), ids());
        assert!(speech.speak(run, attempt, 1, false).is_none());
        assert!(speech.speak(run, attempt, 1, true).is_some());
        let _listening = speech.listen(run);
        assert!(speech.speak(run, attempt, 1, false).is_some());
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let speech = Speech::default();
        for _ in 0..10 {
            drop(speech.listen(ExecutionId::new()));
        }
        assert_eq!(speech.0.lock().unwrap().len(), 1);
    }
}
