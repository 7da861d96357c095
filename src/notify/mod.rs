//! Tells people: sends what the outbox holds to webhooks, until it is taken or a day has gone by.
//!
//! What is to be told was written down by the commit that it tells of. Any server sends it; when one dies in the middle,
//! another one sends it again half a minute later, under the same id. Nothing waits for it.

mod body;
mod sign;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::runtime::Runtime;
use crate::store;
use crate::store::outbox::{self, Due, Told};

pub use sign::{new_secret, read_secret};

/// How often is looked for what is due.
const EVERY: Duration = Duration::from_secs(1);
/// How often is looked for who is to be reminded, and how often longer looks are at most.
const REMIND: Duration = Duration::from_secs(5);
/// Sent at the same time by one server.
const AT_ONCE: usize = 32;
/// Seconds after which it is sent again, if nobody said what came of it.
const LEASE_SECS: f64 = 30.0;
/// How long a webhook may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what is being sent may take when the server drains.
const GRACE: Duration = Duration::from_secs(1);
/// The wait after the first try, in seconds; twice as long after each other one.
const FIRST_SECS: f64 = 5.0;
/// The longest wait between two tries, in seconds.
const LONGEST_SECS: f64 = 3600.0;
/// Tries until it is given up: after a day and a bit.
const TRIES: i32 = 34;
/// How much of a refusal a person gets to see, in characters.
const SHOWN: usize = 200;

/// Send until the runtime drains. `pages` is where links lead to.
pub async fn run(runtime: Runtime, pages: String) {
    let client =
        Client::builder().redirect(redirect::Policy::none()).timeout(PATIENCE).user_agent("tenure").build();
    let sender = match client {
        Ok(client) => Arc::new(Sender { runtime, client, pages }),
        Err(error) => {
            tracing::error!(%error, "webhooks can't be told anything");
            return;
        }
    };
    let (stop, open) = (sender.runtime.stop().clone(), TaskTracker::new());
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut remind = Instant::now();
    while !stop.is_cancelled() {
        let began = Instant::now();
        let is_time_to_remind = began >= remind;
        let looked = sender.look(is_time_to_remind, room.available_permits()).await;
        if is_time_to_remind {
            remind = Instant::now() + REMIND.max(10 * began.elapsed());
        }
        let mut found = 0;
        match looked {
            Ok(all) => {
                found = all.len();
                for due in all {
                    let (sender, room) = (sender.clone(), room.clone().acquire_owned().await);
                    open.spawn(async move {
                        sender.tell(due).await;
                        drop(room);
                    });
                }
            }
            Err(error) => tracing::warn!(?error, "could not look for what webhooks are to be told"),
        }
        // There may be more as soon as there is room.
        let next =
            async { if found == 0 { tokio::time::sleep(EVERY).await } else { drop(room.acquire().await) } };
        tokio::select! {
            () = next => {}
            () = stop.cancelled() => {}
        }
    }
    open.close();
    // What is not answered by then is told by another server, under the same id.
    let _ = tokio::time::timeout(GRACE, open.wait()).await;
}

struct Sender {
    runtime: Runtime,
    client: Client,
    pages: String,
}

impl Sender {
    async fn look(&self, is_time_to_remind: bool, room: usize) -> Result<Vec<Due>, store::Error> {
        let db = self.runtime.pool().get().await?;
        if is_time_to_remind {
            outbox::remind(&db).await?;
        }
        outbox::take(&db, i64::try_from(room).unwrap_or(0), LEASE_SECS).await
    }

    async fn tell(&self, due: Due) {
        let told = match self.body(&due).await {
            Ok(Ok(body)) => self.send(&due, body).await,
            Ok(Err(why)) => Told::Dropped(why),
            Err(error) => {
                tracing::warn!(?error, delivery = %due.id, "what a webhook is to be told could not be read");
                return;
            }
        };
        if let Told::Later(why, _) | Told::GaveUp(why) = &told {
            tracing::warn!(
                webhook = due.webhook,
                event = due.event,
                tries = due.tries,
                "a webhook was not told: {why}"
            );
        }
        let settled = async {
            let db = self.runtime.pool().get().await?;
            outbox::settle(&db, &due, &told).await
        };
        if let Err(error) = settled.await {
            tracing::warn!(?error, delivery = %due.id, "what came of telling a webhook could not be written down; it is told again");
        }
    }

    /// What is sent, or why there is nothing to send any more.
    async fn body(&self, due: &Due) -> Result<Result<String, &'static str>, store::Error> {
        let db = self.runtime.pool().get().await?;
        let about = body::About::read(&db, due).await?;
        Ok(about.map(|about| match due.shape.as_str() {
            "slack" => body::slack(due, &about, &self.pages),
            _ => body::json(due, &about, &self.pages),
        }))
    }

    async fn send(&self, due: &Due, body: String) -> Told {
        let (id, now) = (due.id.to_string(), Timestamp::now().as_second());
        let Some(signature) = sign::signature(&due.secret, &id, now, &body) else {
            return Told::GaveUp("its secret is not base64; set the webhook again".to_owned());
        };
        let request = self
            .client
            .post(&due.url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .body(body);
        match request.send().await {
            Ok(answer) => came(due.tries, answer).await,
            Err(error) if error.is_builder() => {
                Told::GaveUp("its address can't be used; set the webhook again".to_owned())
            }
            Err(error) => later(due.tries, unreachable(&error), None),
        }
    }
}

/// Why nobody answered, without the address: it may hold a key.
fn unreachable(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("could not be reached: {cause}")
}

/// What an answer means.
async fn came(tries: i32, answer: Response) -> Told {
    let status = answer.status();
    if status.is_success() {
        return Told::Delivered;
    }
    let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let text: String = match beginning(answer).await {
        text if text.is_empty() => String::new(),
        text => format!(": {text}"),
    };
    let why = format!("answered {status}{text}");
    if status == StatusCode::GONE { Told::GaveUp(why) } else { later(tries, why, wait) }
}

/// The beginning of what it says, storable, in one line.
async fn beginning(mut answer: Response) -> String {
    let mut bytes = vec![];
    while let Ok(Some(piece)) = answer.chunk().await {
        bytes.extend_from_slice(&piece);
        if bytes.len() > 4 * SHOWN {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ");
    crate::json::storable_text(&text).chars().take(SHOWN).collect()
}

/// Try again, after twice as long as the last time, a fifth more or less so that not all come back at once.
fn later(tries: i32, why: String, wait: Option<f64>) -> Told {
    if tries >= TRIES {
        return Told::GaveUp(why);
    }
    let base = (FIRST_SECS * 2_f64.powi((tries - 1).clamp(0, 20))).min(LONGEST_SECS);
    let random = f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 255.0;
    let secs = base * (0.8 + 0.4 * random);
    Told::Later(why, secs.max(wait.unwrap_or(0.0).clamp(0.0, LONGEST_SECS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_an_hour_and_end_after_a_day() {
        let mut all = 0.0;
        for tries in 1..TRIES {
            let Told::Later(_, secs) = later(tries, String::new(), None) else {
                panic!("given up at {tries}")
            };
            let base = (5.0 * 2_f64.powi(tries - 1)).min(3600.0);
            assert!((0.8 * base..=1.2 * base).contains(&secs), "{secs} after {tries}");
            all += base;
        }
        assert!((86_400.0..100_000.0).contains(&all), "{all}");
        assert_eq!(later(TRIES, "no".into(), None), Told::GaveUp("no".into()));
        assert!(matches!(later(1, String::new(), Some(60.0)), Told::Later(_, secs) if secs >= 60.0));
    }
}
