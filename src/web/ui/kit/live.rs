//! Pages that follow the database.
//!
//! A template marks what may change: `<!--live ID-->` before and `<!--/live-->` after one element with that id. The same
//! address that gives the page gives, to whoever accepts `text/event-stream`, these parts: all of them at first, later those
//! that have changed. What is sent is always how things stand, read from the tables, so a stream that breaks and comes
//! back loses nothing and repeats nothing, on whichever server. A page of one run is also told what its models say while they
//! say it (`tokens`).
//!
//! ```text
//!   tabs ──┬─ view "/execution/x?fold=0" in Europe/Berlin ── drawn once per change, for all of its tabs
//!          └─ view "/executions"  …                          at most DRAWERS at the same time
//! ```
//!
//! Views with open tabs are drawn when the server hears that something was committed, and now and then all the same:
//! leases and clocks move without an event.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::{Pin, pin};
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
use crate::runtime::{Listening, News, Piece, Runtime};
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
const EACH: Duration = Duration::from_millis(50);

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
    /// What all tabs share, written once; a part that has not changed is the same one as in the frame before.
    parts: Arc<Vec<Arc<Part>>>,
}

/// One part of a page.
#[derive(Debug)]
struct Part {
    id: String,
    html: String,
    /// As it goes over the wire.
    sent: Bytes,
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

/// How many views are kept, for monitoring.
#[expect(clippy::cast_precision_loss, reason = "there are at most VIEWS")]
fn count(views: &HashMap<String, watch::Sender<Frame>>) {
    metrics::gauge!("tenure_open_views").set(views.len() as f64);
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
                count(&views);
                let viewer = Viewer { token: String::new(), name: String::new(), cookie: None, ..viewer };
                let (own, draw) = (state.clone(), Arc::new(draw));
                let draw: Draw = Box::new(move || {
                    let (own, viewer, draw) = (own.clone(), viewer.clone(), draw.clone());
                    Box::pin(async move {
                        let viewer = viewer.looks_again(&own).await;
                        draw(own, viewer).await
                    })
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
            answers: match follow {
                Follow::Execution(id) => Some(state.runtime.listen(id)),
                Follow::Executions | Follow::Clock => None,
            },
            last,
            sent: HashMap::new(),
            due: VecDeque::new(),
            greeted: false,
        }))
}

/// Draw a view whenever it may have changed, as long as somebody has it open.
async fn keep(state: State, key: String, view: watch::Sender<Frame>, follow: Follow, draw: Draw) {
    let mut news = state.runtime.news();
    // One wait over all drawings: begun anew after each, it would never be over.
    let mut gone = pin!(abandoned(&view));
    loop {
        let began = Instant::now();
        let (page, cost) = drawing(&state.live, &draw).await;
        if let Ok(page) = page {
            let frame = Frame::of(&page, &view.borrow().parts);
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
            () = &mut gone => {
                let mut views = state.live.views();
                if view.receiver_count() == 0 {
                    views.remove(&key);
                    count(&views);
                    return;
                }
                drop(views);
                gone.set(abandoned(&view));
            }
            () = state.runtime.stop().cancelled() => {
                let mut views = state.live.views();
                views.remove(&key);
                count(&views);
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
    /// The live parts of a page, those that are as `before` shared with it.
    fn of(page: &str, before: &[Arc<Part>]) -> Self {
        let mut parts = vec![];
        let mut hasher = DefaultHasher::new();
        let mut rest = page;
        while let Some((_, after)) = rest.split_once("<!--live ") {
            let Some((id, after)) = after.split_once("-->") else { break };
            let Some((part, after)) = after.split_once("<!--/live-->") else { break };
            let html = part.trim();
            (id, html).hash(&mut hasher);
            let same = before.iter().find(|old| old.id == id && old.html == html);
            parts.push(same.cloned().unwrap_or_else(|| Arc::new(Part::new(id, html))));
            rest = after;
        }
        // Zero is the frame before the first drawing.
        Self { version: hasher.finish().max(1), parts: Arc::new(parts) }
    }
}

impl Part {
    fn new(id: &str, html: &str) -> Self {
        let sent = format!("event: part\ndata: {}\n\n", json!({ "id": id, "html": html }));
        Self { id: id.to_owned(), html: html.to_owned(), sent: Bytes::from(sent) }
    }
}

/// One open stream.
struct Tab {
    runtime: Runtime,
    frames: watch::Receiver<Frame>,
    /// What models say in the run that is followed.
    answers: Option<Listening>,
    /// What the browser has had from an earlier stream.
    last: Option<u64>,
    /// What it has had from this one.
    sent: HashMap<String, Arc<Part>>,
    /// What it has not had yet of the frame that is being sent.
    due: VecDeque<Bytes>,
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
            if let Some(next) = tab.due.pop_front() {
                return Some((Ok(next), tab));
            }
            let frame = tab.frames.borrow_and_update().clone();
            tab.look(&frame);
            if !tab.due.is_empty() {
                continue;
            }
            tokio::select! {
                piece = Listening::heard(&mut tab.answers) => return Some((Ok(tokens(&piece)), tab)),
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

fn tokens(piece: &Piece) -> Bytes {
    let data = json!({ "turn": piece.turn, "at": piece.at, "text": piece.text, "last": piece.is_last });
    Bytes::from(format!("event: tokens\ndata: {data}\n\n"))
}

impl Tab {
    /// Find out what this browser does not have yet.
    fn look(&mut self, frame: &Frame) {
        if frame.version == 0 {
            return;
        }
        let has_it = self.last.take() == Some(frame.version);
        for part in frame.parts.iter() {
            let before = self.sent.insert(part.id.clone(), part.clone());
            if !has_it && before.is_none_or(|before| !Arc::ptr_eq(&before, part) && before.html != part.html)
            {
                self.due.push_back(part.sent.clone());
            }
        }
        if !self.due.is_empty() {
            let drawn = format!("id: {}\nevent: drawn\ndata: {{}}\n\n", frame.version);
            self.due.push_back(Bytes::from(drawn));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_its_live_parts() {
        let frame = Frame::of(
            "<main><!--live a--><p id=a>1</p><!--/live--> x <!--live b-->\n<p id=b>2</p>\n<!--/live--></main>",
            &[],
        );
        let parts: Vec<_> = frame.parts.iter().map(|part| (part.id.as_str(), part.html.as_str())).collect();
        assert_eq!(parts, [("a", "<p id=a>1</p>"), ("b", "<p id=b>2</p>")]);
        assert!(Frame::of("<p>nothing</p>", &[]).parts.is_empty());
    }

    #[test]
    fn what_has_not_changed_is_not_written_again() {
        let first = Frame::of("<!--live a-->1<!--/live--><!--live b-->2<!--/live-->", &[]);
        let second = Frame::of("<!--live a-->1<!--/live--><!--live b-->3<!--/live-->", &first.parts);
        assert!(Arc::ptr_eq(&first.parts[0], &second.parts[0]));
        assert!(!Arc::ptr_eq(&first.parts[1], &second.parts[1]));
    }

    #[test]
    fn the_same_page_is_the_same_frame() {
        let version = |page: &str| Frame::of(page, &[]).version;
        assert_eq!(version("a<!--live a-->1<!--/live-->"), version("b<!--live a-->1<!--/live-->"));
        assert_ne!(version("<!--live a-->1<!--/live-->"), version("<!--live a-->2<!--/live-->"));
    }
}
