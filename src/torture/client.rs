//! A careful client: it tries again when it got no answer, with the same idempotency key, on the other server when one is
//! dead, and remembers what it was told.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode, header};
use serde_json::Value;

use super::Error;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long it goes on trying.
const PATIENCE: Duration = Duration::from_secs(25);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(40);

/// What a server said in the end.
#[derive(Debug, Clone)]
pub struct Told {
    /// HTTP status.
    pub status: u16,
    /// The body; null when it is no JSON.
    pub body: Value,
    /// Tries before this one that may have had their effect all the same.
    pub unsure: u32,
}

impl Told {
    /// Whether it was done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// See the module.
pub struct Careful {
    http: reqwest::Client,
    bases: Vec<String>,
    fouls: Mutex<Vec<String>>,
    failures: Mutex<u32>,
}

impl Careful {
    /// Of these servers: the victim and the other, or more.
    ///
    /// # Errors
    ///
    /// The HTTP client can't be set up.
    pub fn new(bases: impl Into<Vec<String>>) -> Result<Self, Error> {
        let http = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(1)).build()?;
        Ok(Self { http, bases: bases.into(), fouls: Mutex::default(), failures: Mutex::default() })
    }

    /// For requests that are not worth this care.
    #[must_use]
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Where its servers listen.
    #[must_use]
    pub fn bases(&self) -> &[String] {
        &self.bases
    }

    /// Where the victim listens.
    #[must_use]
    pub fn victim(&self) -> &str {
        &self.bases[0]
    }

    /// Where the other server listens.
    #[must_use]
    pub fn other_base(&self) -> &str {
        &self.bases[1]
    }

    /// Ask the first server, then the next …, until one answers.
    ///
    /// # Errors
    ///
    /// Nobody answers for a long time.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Told, Error> {
        self.insist(&(0..self.bases.len()).collect::<Vec<_>>(), method, path, body).await
    }

    /// Ask the other server.
    ///
    /// # Errors
    ///
    /// It does not answer for a long time.
    pub async fn other(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Told, Error> {
        self.insist(&[1], method, path, body).await
    }

    /// Ask the victim alone, once.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub async fn victim_once(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Told, Error> {
        let (status, _, body) = self.send(0, method, path, body).await?;
        Ok(Told { status, body, unsure: 0 })
    }

    /// What servers answered that they never may, since last asked.
    pub fn fouls(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.fouls))
    }

    /// Answers of 503 and broken connections since last asked.
    pub fn failures(&self) -> u32 {
        std::mem::take(&mut *lock(&self.failures))
    }

    async fn insist(
        &self,
        who: &[usize],
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Told, Error> {
        let (began, mut unsure) = (Instant::now(), 0);
        for server in who.iter().cycle() {
            match self.send(*server, method, path, body).await {
                Ok((status, _, body)) if status < 500 => return Ok(Told { status, body, unsure }),
                Ok(_) => {}
                Err(error) if error.is_connect() => {}
                Err(_) => unsure += 1,
            }
            *lock(&self.failures) += 1;
            if began.elapsed() > PATIENCE {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(Error::NoAnswer(format!("{method} {path}")))
    }

    async fn send(
        &self,
        server: usize,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Option<String>, Value), reqwest::Error> {
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
        let mut request =
            self.http.request(method.clone(), format!("{}{path}", self.bases[server])).timeout(ANSWER);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let header = |name| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(ToOwned::to_owned);
        let (retry, kind) = (header(header::RETRY_AFTER), header(header::CONTENT_TYPE));
        let text = answer.text().await?;
        if status.is_server_error() && (status != StatusCode::SERVICE_UNAVAILABLE || retry.is_none()) {
            let after = if retry.is_none() { ", without Retry-After" } else { "" };
            let text: String = text.chars().take(200).collect();
            lock(&self.fouls)
                .push(format!("{method} {path} was answered {}{after}: {text}", status.as_u16()));
        }
        let is_json = kind.is_some_and(|kind| kind.contains("json"));
        let body =
            if is_json { serde_json::from_str(&text).unwrap_or(Value::Null) } else { Value::String(text) };
        Ok((status.as_u16(), retry, body))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
