//! Pages that follow the database.
//!
//! A template marks what may change: `<!--live ID-->` before and `<!--/live-->` after one element with that id. The same
//! address that gives the page gives, to whoever accepts `text/event-stream`, these parts: all of them at first, later those
//! that have changed. What is sent is always how things stand, read from the tables, so a stream that breaks and comes
//! back loses nothing and repeats nothing, on whichever server.
//!
//! ```text
//!   tabs ──┬─ view "/execution/x?fold=0" in Europe/Berlin ── drawn once per change, for all of its tabs
//!          └─ view "/executions"  …                          at most DRAWERS at the same time
//! ```
//!
//! Views with open tabs are drawn when the server hears that something was committed, and now and then all the same:
//! leases and clocks move without an event.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::{self, Stream};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::Viewer;
use crate::id::ExecutionId;
use crate::runtime::{News, Runtime};
use crate::web::{Problem, State};

/// Views that are drawn at the same time, each with one connection to the database.
const DRAWERS: usize = 2;
/// Views that one server keeps; who comes later gets a page that does not move.
const VIEWS: usize = 2000;
/// Shortest time between two drawings of one view.
const PACE: Duration = Duration::from_millis(100);
/// A view is drawn for one part of the time at most, of so many, however much happens.
const REST: u32 = 4;
/// Longest silence on a stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a view is kept after its last tab has gone, for one that comes back.
const LINGER: Duration = Duration::from_secs(5);
/// How often views are drawn without news, when there are few; many share it.
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(10);
/// What each view adds to that.
const EACH: Duration = Duration::from_millis(25);

/// What a view follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// One execution.
    Execution(ExecutionId),
    /// All of them.
    Executions,
    /// The clock only.
    Clock,
}

/// A drawn page.
type Drawing = Pin<Box<dyn Future<Output = Result<String, Problem>> + Send>>;
/// Draws a page.
type Draw = Box<dyn Fn() -> Drawing + Send + Sync>;

/// How a view stands.
#[derive(Debug, Clone, Default)]
struct Frame {
    version: u64,
    parts: Arc<Vec<(String, Arc<str>)>>,
}

/// The views that somebody has open, of one server process.
#[derive(Clone)]
pub struct Live {
    views: Arc<Mutex<HashMap<String, watch::Sender<Frame>>>>,
    drawers: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self { views: Arc::default(), drawers: Arc::new(Semaphore::new(DRAWERS)) }
    }
}

impl Live {
    fn views(&self) -> std::sync::MutexGuard<'_, HashMap<String, watch::Sender<Frame>>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a view is drawn without news.
    fn period(&self) -> Duration {
        let many = u32::try_from(self.views().len()).unwrap_or(u32::MAX);
        EACH.saturating_mul(many).clamp(OFTEN, SELDOM)
    }
}

/// Answer with the stream of a page's live parts. `draw` draws the whole page for a viewer.
pub fn answer<F, D>(
    state: &State,
    request: &HttpRequest,
    viewer: Viewer,
    follow: Follow,
    draw: F,
) -> HttpResponse
where
    F: Fn(State, Viewer) -> D + Send + Sync + 'static,
    D: Future<Output = Result<String, Problem>> + Send + 'static,
{
    let key = format!("{} {}", viewer.zone.name(), viewer.here);
    let frames = {
        let mut views = state.live.views();
        match views.get(&key) {
            Some(view) => view.subscribe(),
            None if views.len() >= VIEWS => {
                return HttpResponse::NoContent().finish();
            }
            None => {
                let (view, frames) = watch::channel(Frame::default());
                views.insert(key.clone(), view.clone());
                let viewer = Viewer { token: String::new(), cookie: None, ..viewer };
                let own = state.clone();
                let draw: Draw = Box::new(move || {
                    let viewer = Viewer { now: jiff::Timestamp::now(), ..viewer.clone() };
                    Box::pin(draw(own.clone(), viewer))
                });
                tokio::spawn(keep(state.clone(), key, view, follow, draw));
                frames
            }
        }
    };
    let last = request.headers().get("last-event-id").and_then(|v| v.to_str().ok()?.parse().ok());
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(parts(Tab {
            runtime: state.runtime.clone(),
            frames,
            last,
            sent: HashMap::new(),
            greeted: false,
        }))
}

/// Draw a view whenever it may have changed, as long as somebody has it open.
async fn keep(state: State, key: String, view: watch::Sender<Frame>, follow: Follow, draw: Draw) {
    let mut news = state.runtime.news();
    loop {
        let began = Instant::now();
        let (page, cost) = drawing(&state.live, &draw).await;
        if let Ok(page) = page {
            let frame = Frame::of(&page);
            view.send_if_modified(|old| {
                let differs = old.version != frame.version;
                if differs {
                    *old = frame;
                }
                differs
            });
        }
        let rest = PACE.max(cost * REST);
        tokio::select! {
            () = due(&mut news, follow, state.live.period()) => {}
            () = abandoned(&view) => {
                let mut views = state.live.views();
                if view.receiver_count() == 0 {
                    views.remove(&key);
                    return;
                }
            }
            () = state.runtime.stop().cancelled() => {
                state.live.views().remove(&key);
                return;
            }
        }
        sleep(rest.saturating_sub(began.elapsed())).await;
    }
}

/// Draw a view, once it may; and how long that took.
async fn drawing(live: &Live, draw: &Draw) -> (Result<String, Problem>, Duration) {
    let _drawer = live.drawers.acquire().await;
    let began = Instant::now();
    let page = draw().await;
    if let Err(error) = &page {
        tracing::debug!(%error, "an open page can't be drawn; trying again");
    }
    (page, began.elapsed())
}

/// Resolves when what is followed has changed, or after a while all the same.
async fn due(news: &mut News, follow: Follow, period: Duration) {
    let heard = async {
        loop {
            match (news.next().await, follow) {
                (Some((id, _)), Follow::Execution(own)) if id != own => {}
                (_, Follow::Clock) => std::future::pending().await,
                _ => return,
            }
        }
    };
    let _ = timeout(period, heard).await;
}

/// Resolves when nobody has the view open for a while.
async fn abandoned(view: &watch::Sender<Frame>) {
    loop {
        view.closed().await;
        sleep(LINGER).await;
        if view.receiver_count() == 0 {
            return;
        }
    }
}

impl Frame {
    /// The live parts of a page.
    fn of(page: &str) -> Self {
        let mut parts = vec![];
        let mut rest = page;
        while let Some((_, after)) = rest.split_once("<!--live ") {
            let Some((id, after)) = after.split_once("-->") else { break };
            let Some((part, after)) = after.split_once("<!--/live-->") else { break };
            parts.push((id.to_owned(), Arc::from(part.trim())));
            rest = after;
        }
        let mut hasher = DefaultHasher::new();
        parts.hash(&mut hasher);
        // Zero is the frame before the first drawing.
        Self { version: hasher.finish().max(1), parts: Arc::new(parts) }
    }
}

/// One open stream.
struct Tab {
    runtime: Runtime,
    frames: watch::Receiver<Frame>,
    /// What the browser has had from an earlier stream.
    last: Option<u64>,
    /// What it has had from this one.
    sent: HashMap<String, Arc<str>>,
    greeted: bool,
}

fn parts(tab: Tab) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
    stream::unfold(tab, |mut tab| async move {
        if !tab.greeted {
            tab.greeted = true;
            return Some((Ok(Bytes::from_static(b"retry: 1000\n\n")), tab));
        }
        let stop = tab.runtime.stop().clone();
        loop {
            let frame = tab.frames.borrow_and_update().clone();
            if let Some(news) = tab.news(&frame) {
                return Some((Ok(news), tab));
            }
            tokio::select! {
                changed = timeout(HEARTBEAT, tab.frames.changed()) => match changed {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(_) => return Some((Ok(Bytes::from_static(b": all is well\n\n")), tab)),
                },
                () = stop.cancelled() => return None,
            }
        }
    })
}

impl Tab {
    /// What this browser does not have yet.
    fn news(&mut self, frame: &Frame) -> Option<Bytes> {
        if frame.version == 0 {
            return None;
        }
        let has_it = self.last.take() == Some(frame.version);
        let mut out = String::new();
        for (id, part) in frame.parts.iter() {
            let before = self.sent.insert(id.clone(), part.clone());
            if !has_it && before.as_ref() != Some(part) {
                let data = json!({ "id": id, "html": &**part });
                let _ = write!(out, "event: part\ndata: {data}\n\n");
            }
        }
        if out.is_empty() {
            return None;
        }
        let _ = write!(out, "id: {}\nevent: drawn\ndata: {{}}\n\n", frame.version);
        Some(Bytes::from(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_its_live_parts() {
        let frame = Frame::of(
            "<main><!--live a--><p id=a>1</p><!--/live--> x <!--live b-->\n<p id=b>2</p>\n<!--/live--></main>",
        );
        let parts: Vec<_> = frame.parts.iter().map(|(id, part)| (id.as_str(), &**part)).collect();
        assert_eq!(parts, [("a", "<p id=a>1</p>"), ("b", "<p id=b>2</p>")]);
        assert!(Frame::of("<p>nothing</p>").parts.is_empty());
    }

    #[test]
    fn the_same_page_is_the_same_frame() {
        let version = |page: &str| Frame::of(page).version;
        assert_eq!(version("a<!--live a-->1<!--/live-->"), version("b<!--live a-->1<!--/live-->"));
        assert_ne!(version("<!--live a-->1<!--/live-->"), version("<!--live a-->2<!--/live-->"));
    }
}
