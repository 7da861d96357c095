//! What happens to a run, as it happens: server-sent events from the events table.
//!
//! Nothing is remembered between two frames but the number of the last one, so a stream can be cut anywhere and goes
//! on anywhere, as long as the run exists.
//!
//! Invariants, each with a test:
//!
//! 1. Frame numbers grow.
//! 2. Going on after frame n gives exactly the frames after n.
//! 3. `done` or `error` is the last frame, and only a run that has ended sends one.
//! 4. Who reads slowly makes the server hold one page of events, and who takes nothing for a minute is cut off.
//! 5. What models say is told between the frames and has no number: it changes nothing of 1 to 3.
//! 6. A silent stream costs a heartbeat, and no look at the database of its own. However many read at once, others get
//!    at the database as well.

mod frames;
mod pages;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use self::frames::{frame_id, seq_of};
pub use self::pages::Pages;
use super::words;
use crate::agent::Agent;
use crate::id::ExecutionId;
use crate::runtime::{Followed, Listening, Piece};
use crate::store;
use crate::web::{Problem, State};

/// Clients give a silent stream up after 30 seconds.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What may be asked for beside events.
#[derive(Deserialize)]
pub struct Wanted {
    /// `1`: what models say, while they say it.
    tokens: Option<String>,
}

/// `GET /api/agent/stream/{id}`
pub async fn stream(
    state: Data<State>,
    id: Path<String>,
    wanted: Query<Wanted>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    // Before the first look, so that nothing is missed that is committed after it.
    let mut events = state.runtime.follow(id);
    let answers = match wanted.tokens.as_deref() {
        Some("1" | "true") => Some(state.runtime.listen(id)),
        _ => None,
    };
    let execution = match state.pages.execution(state.runtime.pool(), id).await {
        Err(error) if error.is_transient() => {
            return Ok(answer(stream::iter([Ok(goodbye(1000))]).chain(stream::once(cut()))));
        }
        found => found?,
    };
    let agent = state.runtime.agent(&execution.agent, execution.version).await?;
    events.know(execution.last_seq);
    let last = request.headers().get("last-event-id").and_then(|v| v.to_str().ok()?.trim().parse().ok());
    // Nobody has seen what has not happened: a number from elsewhere must not wait for ever.
    let last = last.unwrap_or(0).min(frame_id(execution.last_seq, true));
    let watch = Watch {
        state,
        id,
        agent,
        events,
        answers,
        last,
        next_seq: seq_of(last),
        waiting: VecDeque::from([Bytes::from_static(b":connected\n\n")]),
        ended: false,
        parted: false,
        heartbeat: Instant::now() + HEARTBEAT,
    };
    Ok(answer(stream::unfold(watch, |mut watch| async move { Some((watch.next().await?, watch)) })))
}

fn answer(frames: impl Stream<Item = Sent> + 'static) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache, no-transform"))
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(frames)
}

/// Bytes for the client, or the end of the connection.
type Sent = Result<Bytes, actix_web::Error>;

/// The stream breaks off before its run has ended. Clients take a clean end for the run's end, and come back only
/// after a broken connection; so it is broken, without its last chunk.
#[derive(Debug, thiserror::Error)]
#[error("the stream breaks off; its client comes back")]
struct Cut;

impl actix_web::ResponseError for Cut {}

/// Break the connection, once what was written before has left.
async fn cut() -> Sent {
    tokio::task::yield_now().await;
    Err(Cut.into())
}

/// The last words before a [`Cut`]: come back so much later, here or elsewhere.
fn goodbye(after_ms: u32) -> Bytes {
    Bytes::from(format!("retry:{after_ms}\n\n"))
}

/// One client that watches one run.
struct Watch {
    state: Data<State>,
    id: ExecutionId,
    agent: Arc<Agent>,
    events: Followed,
    /// What models say, if it is wanted.
    answers: Option<Listening>,
    /// Number of the last frame that was read.
    last: i64,
    /// The first event that is read next. At first that of the last frame: its second frame may be missing, and it may be
    /// the end of the run.
    next_seq: i32,
    waiting: VecDeque<Bytes>,
    /// Nothing comes after what is waiting.
    ended: bool,
    /// Nothing comes after what is waiting, although the run goes on.
    parted: bool,
    /// When the next sign of life is due.
    heartbeat: Instant,
}

impl Watch {
    /// The next bytes to send, or `None` at the end.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(bytes) = self.waiting.pop_front() {
                return Some(Ok(bytes));
            }
            if self.parted {
                return Some(cut().await);
            }
            if self.ended {
                return None;
            }
            self.wait().await;
        }
    }

    /// Wait until there is more, or it is time for a sign of life.
    async fn wait(&mut self) {
        tokio::select! {
            () = self.events.beyond(self.next_seq - 1) => {
                if let Err(error) = Box::pin(self.read()).await {
                    tracing::debug!(?error, execution.id = %self.id, "a stream breaks off; its client comes back");
                    self.part(1000);
                }
            }
            piece = Listening::heard(&mut self.answers) => self.waiting.push_back(tokens(self.id, &piece)),
            () = sleep_until(self.heartbeat) => self.waiting.push_back(Bytes::from_static(b":heartbeat\n\n")),
            () = self.state.runtime.stop().cancelled() => self.part(250),
        }
        if !self.waiting.is_empty() {
            self.heartbeat = Instant::now() + HEARTBEAT;
        }
    }

    /// Break off before the run has ended.
    fn part(&mut self, after_ms: u32) {
        self.waiting.push_back(goodbye(after_ms));
        self.parted = true;
    }

    /// Take the next page of frames.
    async fn read(&mut self) -> Result<(), store::Error> {
        let pool = self.state.runtime.pool();
        let page = self.state.pages.get(pool, self.id, &self.agent, self.next_seq).await?;
        let Some(last_seq) = page.last_seq else {
            // The run was deleted, and its client hears so when it comes back.
            self.part(1000);
            return Ok(());
        };
        let last = self.last;
        self.waiting.extend(page.frames.iter().filter(|(n, _)| *n > last).map(|(_, frame)| frame.clone()));
        self.last = last.max(frame_id(last_seq, true));
        self.next_seq = last_seq + 1;
        self.ended = page.ends;
        Ok(())
    }
}

/// A frame without a number: it isn't stored, so nobody goes on after it.
fn tokens(execution: ExecutionId, piece: &Piece) -> Bytes {
    let data = json!({
        "type": "tokens", "executionId": execution, "turn": piece.turn, "at": piece.at, "text": piece.text,
        "last": piece.is_last,
    });
    Bytes::from(format!("event:tokens\ndata:{data}\n\n"))
}
