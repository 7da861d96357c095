//! Open pages, each with its stream, and what they received when.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::{StreamExt as _, future::try_join_all};
use tokio::{sync::mpsc, task::JoinHandle, time};

use super::{Error, load, server::Server};

/// What a report can be recognised by in a page, before its number.
pub const MARK: &str = "seen-by-tabs-";
/// Digits of the number.
pub const DIGITS: usize = 6;
/// How long a part may take to arrive before it counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Longest text that is looked for, which two chunks may share.
const LONGEST: usize = 40;

/// A mark, and when a page received it.
pub type Seen = (usize, Instant, SystemTime);

/// Pages that are open until this value goes.
pub struct Tabs {
    /// The address of each, with what it has received so far.
    tabs: Vec<(String, Arc<Mutex<Vec<Seen>>>)>,
    readers: Vec<JoinHandle<()>>,
}

impl Tabs {
    /// Open pages as a browser does, and wait until each has received something. `find` finds marks in what they receive.
    pub async fn open(
        server: &Server,
        paths: impl Iterator<Item = String>,
        find: fn(&[u8]) -> Vec<usize>,
    ) -> Result<Self, Error> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let (mut followed, mut opened) = (HashMap::new(), vec![]);
        for path in paths {
            let stream = match followed.get(&path) {
                Some(stream) => String::clone(stream),
                None => followed.entry(path.clone()).or_insert(stream_of(server, &path).await?).clone(),
            };
            let request =
                client.get(format!("{}{stream}", server.base)).header("accept", "text/event-stream");
            opened.push(async move { Ok::<_, Error>((path, request.send().await?.error_for_status()?)) });
        }
        let mut tabs = Self { tabs: vec![], readers: vec![] };
        let (ready, mut is_ready) = mpsc::channel(1);
        for (path, answer) in try_join_all(opened).await? {
            let seen = Arc::default();
            tabs.readers.push(tokio::spawn(read(answer, find, Arc::clone(&seen), ready.clone())));
            tabs.tabs.push((path, seen));
        }
        for _ in 0..tabs.readers.len() {
            time::timeout(PATIENCE * 3, is_ready.recv())
                .await
                .map_err(|_| "an open page received nothing")?;
        }
        Ok(tabs)
    }

    /// Wait until each page has its newest mark, or for a while; then close them. Gives for each mark of a page when
    /// that page first showed it or a later one, if it did: a page that is drawn once for two reports shows the newest.
    pub async fn close(self, marks: &[(String, usize)]) -> Vec<(usize, Option<Seen>)> {
        let began = Instant::now();
        loop {
            let found: Vec<_> =
                self.tabs.iter().flat_map(|(path, seen)| first_shown(path, seen, marks)).collect();
            if found.iter().all(|(_, seen)| seen.is_some()) || began.elapsed() > PATIENCE {
                return found;
            }
            time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Tabs {
    fn drop(&mut self) {
        self.readers.iter().for_each(JoinHandle::abort);
    }
}

fn first_shown(path: &str, seen: &Mutex<Vec<Seen>>, marks: &[(String, usize)]) -> Vec<(usize, Option<Seen>)> {
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let own = marks.iter().filter(|(page, _)| page == path);
    own.map(|(_, mark)| (*mark, seen.iter().find(|(shown, ..)| shown >= mark).copied())).collect()
}

/// Read a stream to its end.
async fn read(
    answer: reqwest::Response,
    find: fn(&[u8]) -> Vec<usize>,
    seen: Arc<Mutex<Vec<Seen>>>,
    ready: mpsc::Sender<()>,
) {
    let mut stream = answer.bytes_stream();
    let (mut tail, mut known, mut is_drawn) = (vec![], HashSet::new(), false);
    while let Some(Ok(chunk)) = stream.next().await {
        tail.extend_from_slice(&chunk);
        if !is_drawn && position(&tail, "event: drawn").is_some() {
            is_drawn = true;
            let _ = ready.send(()).await;
        }
        for mark in find(&tail) {
            if known.insert(mark) {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push((mark, Instant::now(), SystemTime::now()));
            }
        }
        tail.drain(..tail.len() - tail.len().min(LONGEST));
    }
}

/// The address of a page's own stream.
async fn stream_of(server: &Server, path: &str) -> Result<String, Error> {
    let page = load::ask(server, path).await?.text;
    let (_, after) = page.split_once(" data-live=\"").ok_or_else(|| format!("{path} is not live"))?;
    let (address, _) = after.split_once('"').unwrap_or_default();
    Ok(address.replace("&amp;", "&").replace("&#38;", "&"))
}

fn position(text: &[u8], what: &str) -> Option<usize> {
    // The search of strings is much faster than comparing windows, which counts where 200 pages arrive ten times a second.
    // A character that a chunk has cut in two is beyond what is looked for.
    match std::str::from_utf8(text) {
        Ok(text) => text.find(what),
        Err(_) => text.windows(what.len()).position(|window| window == what.as_bytes()),
    }
}

/// The marks of a text, in its order.
pub fn marks(mut text: &[u8]) -> Vec<usize> {
    let mut found = vec![];
    while let Some(at) = position(text, MARK) {
        text = &text[at + MARK.len()..];
        if let Some(mark) = text.get(..DIGITS).and_then(|d| std::str::from_utf8(d).ok()?.parse().ok()) {
            found.push(mark);
        }
    }
    found
}

/// How many newer runs an open list speaks of; each of them counts as seen.
pub fn newer(text: &[u8]) -> Vec<usize> {
    let Some(at) = position(text, " newer execution") else { return vec![] };
    let digits = text[..at].iter().rev().take_while(|c| c.is_ascii_digit()).count();
    let many = std::str::from_utf8(&text[at - digits..at]).ok().and_then(|d| d.parse().ok());
    (1..=many.unwrap_or(0)).collect()
}
