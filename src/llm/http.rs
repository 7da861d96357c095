//! One HTTP client for all providers: timeouts, size cap, classified errors, no key in any text.
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};
use serde_json::{Map, Value};

use super::Error;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read, in bytes.
const MAX_REPLY: usize = 10 * 1024 * 1024;
/// An event stream may be so many times as long.
const PER_PIECE: usize = 10;
/// How much of a refused answer a person gets to see, in characters.
const SHOWN: usize = 500;
/// The longest wait that a provider can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(2);

/// The client. Honours the usual proxy variables, follows no redirects (a redirect would carry keys
/// to another host).
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: Client,
    timeout: Duration,
}

/// Where a request goes and with which key.
pub(super) struct Target<'a> {
    /// The provider's name, for texts.
    pub provider: &'a str,
    /// Base URL without the operation's path.
    pub base: Url,
    /// The key, if any.
    pub key: Option<&'a str>,
    /// Header that carries the key.
    pub key_header: HeaderName,
    /// What stands before the key in the header: `"Bearer "` or nothing.
    pub key_prefix: &'static str,
    /// Environment variable that the key comes from, for hints.
    pub key_variable: &'a str,
}

/// Changes a request that was refused with this text into one that may pass; `false` when it can't.
pub(super) type Fallback = fn(body: &mut Map<String, Value>, refusal: &str) -> bool;

/// Puts an answer together that comes piece by piece.
pub(super) trait Pieces {
    /// The next piece.
    fn take(&mut self, piece: Value);
    /// All of it, as if it had come at once; `None` when its end is missing.
    fn whole(&mut self) -> Option<Value>;
}

impl Http {
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A client whose requests take at most `timeout` from the first byte sent to the last one read.
    pub(super) fn new(timeout: Duration) -> Result<Self, Error> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("tenure/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Error::Invalid(format!("the HTTP client for models can't start: {}", cause(&e))))?;
        Ok(Self { client, timeout })
    }

    /// Posts `body` and returns the answer's JSON. When the provider refuses the request (400, 422),
    /// the first fallback that applies changes it and it is sent again, each fallback at most once.
    pub(super) async fn post(
        &self,
        target: &Target<'_>,
        path: &[&str],
        extra: &[(&'static str, &'static str)],
        body: Map<String, Value>,
        fallbacks: &[Fallback],
    ) -> Result<Value, Error> {
        self.post_aloud(target, path, extra, body, fallbacks, None).await
    }

    /// The same; an answer that comes as an event stream is put together by `pieces`.
    pub(super) async fn post_aloud(
        &self,
        target: &Target<'_>,
        path: &[&str],
        extra: &[(&'static str, &'static str)],
        mut body: Map<String, Value>,
        fallbacks: &[Fallback],
        mut pieces: Option<&mut (dyn Pieces + Send)>,
    ) -> Result<Value, Error> {
        let url = target.url(path)?;
        let headers = target.headers(extra)?;
        let mut left = fallbacks.to_vec();
        loop {
            let pieces = pieces.as_mut().map(|pieces| &mut **pieces as &mut (dyn Pieces + Send));
            let error = match self.send(target, &url, &headers, &body, pieces).await {
                Err(error) => error,
                answer => return answer,
            };
            let Error::Status { status: 400 | 422, body: refusal, .. } = &error else { return Err(error) };
            let Some(applied) = left.iter().position(|change| change(&mut body, refusal)) else {
                return Err(error);
            };
            tracing::debug!(provider = target.provider, refusal, "asking again without what was refused");
            left.remove(applied);
        }
    }

    async fn send(
        &self,
        target: &Target<'_>,
        url: &Url,
        headers: &HeaderMap,
        body: &Map<String, Value>,
        pieces: Option<&mut (dyn Pieces + Send)>,
    ) -> Result<Value, Error> {
        let sent = self.client.post(url.clone()).headers(headers.clone()).json(body).send().await;
        let response = sent.map_err(|e| self.broken(target, &e))?;
        let status = response.status();
        let retry_after = retry_after(response.headers(), Timestamp::now());
        let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if let Some(pieces) = pieces
            && status.is_success()
            && kind.starts_with("text/event-stream")
        {
            return self.read_pieces(target, response, pieces).await;
        }
        let bytes = self.read(target, response).await?;
        if !status.is_success() {
            return Err(target.status(status.as_u16(), &bytes, retry_after));
        }
        serde_json::from_slice(&bytes).map_err(|e| target.unreadable(&e.to_string(), &bytes))
    }

    /// Reads the body, at most [`MAX_REPLY`] bytes of it.
    async fn read(&self, target: &Target<'_>, mut response: Response) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.broken(target, &e))? {
            if bytes.len() + chunk.len() > MAX_REPLY {
                return Err(Error::TooLarge { provider: target.provider.to_owned(), limit: MAX_REPLY });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Reads an event stream to its end; lines that are no data are signs of life.
    async fn read_pieces(
        &self,
        target: &Target<'_>,
        mut response: Response,
        pieces: &mut (dyn Pieces + Send),
    ) -> Result<Value, Error> {
        let too_large = || Error::TooLarge { provider: target.provider.to_owned(), limit: MAX_REPLY };
        let (mut rest, mut all) = (Vec::new(), 0);
        while let Some(chunk) = response.chunk().await.map_err(|e| self.broken(target, &e))? {
            rest.extend_from_slice(&chunk);
            all += chunk.len();
            let mut begin = 0;
            while let Some(end) = rest[begin..].iter().position(|byte| *byte == b'\n') {
                let line = &rest[begin..begin + end];
                begin += end + 1;
                let Some(data) = line.strip_prefix(b"data:") else { continue };
                let data = data.trim_ascii();
                if data == b"[DONE]" || data.is_empty() {
                    continue;
                }
                let piece =
                    serde_json::from_slice(data).map_err(|e| target.unreadable(&e.to_string(), data))?;
                pieces.take(piece);
            }
            rest.drain(..begin);
            // Around each piece stands much that is the same each time.
            if rest.len() > MAX_REPLY || all > PER_PIECE * MAX_REPLY {
                return Err(too_large());
            }
        }
        pieces.whole().ok_or_else(|| {
            let address = target.base.origin().ascii_serialization();
            let cause = "the answer broke off".to_owned();
            Error::Unreachable { provider: target.provider.to_owned(), address, cause }
        })
    }

    fn broken(&self, target: &Target<'_>, error: &reqwest::Error) -> Error {
        let provider = target.provider.to_owned();
        // A connection that does not open in time is a network fault, not a slow model.
        if error.is_timeout() && !error.is_connect() {
            return Error::Timeout { provider, limit: self.timeout };
        }
        let address = target.base.origin().ascii_serialization();
        Error::Unreachable { provider, address, cause: target.redact(&cause(error)) }
    }
}

impl Target<'_> {
    /// An answer that is not what the wire format says.
    pub(super) fn unreadable(&self, cause: &str, body: &[u8]) -> Error {
        Error::Unreadable {
            provider: self.provider.to_owned(),
            cause: cause.to_owned(),
            body: self.show(body),
        }
    }

    /// An answer with a status other than success.
    pub(super) fn status(&self, status: u16, body: &[u8], retry_after: Option<Duration>) -> Error {
        Error::Status {
            provider: self.provider.to_owned(),
            status,
            body: self.show(body),
            hint: self.hint(status),
            retry_after,
        }
    }

    fn url(&self, path: &[&str]) -> Result<Url, Error> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Error::Invalid(format!("base URL {} can't have a path", self.base)))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    fn headers(&self, extra: &[(&'static str, &'static str)]) -> Result<HeaderMap, Error> {
        let mut headers: HeaderMap = extra
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        if let Some(key) = self.key {
            let mut value = HeaderValue::from_str(&format!("{}{key}", self.key_prefix)).map_err(|_| {
                Error::Invalid(format!(
                    "{} holds characters that no key has; set it again",
                    self.key_variable
                ))
            })?;
            value.set_sensitive(true);
            headers.insert(self.key_header.clone(), value);
        }
        Ok(headers)
    }

    fn hint(&self, status: u16) -> String {
        match status {
            401 | 403 if self.key.is_none() => format!(" (no key was sent: set {})", self.key_variable),
            401 | 403 => format!(" (check {})", self.key_variable),
            404 => " (check the model's name and the base URL)".to_owned(),
            _ => String::new(),
        }
    }

    fn show(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body);
        let text = self.redact(text.trim());
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    fn redact(&self, text: &str) -> String {
        match self.key {
            Some(key) if !key.is_empty() => text.replace(key, "***"),
            _ => text.to_owned(),
        }
    }
}

/// The innermost reason of a client error; the outer ones only repeat the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// How long the provider asks to wait: milliseconds, seconds or an HTTP date, capped.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::trim);
    let millis = text(HeaderName::from_static("retry-after-ms"))
        .and_then(|t| t.parse().ok())
        .map(|ms: f64| ms / 1000.0);
    let seconds = millis.or_else(|| {
        let text = text(RETRY_AFTER)?;
        text.parse().ok().or_else(|| {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Some(date.duration_since(now).as_secs_f64().max(0.0))
        })
    })?;
    // NaN, infinities and negative numbers are no times.
    Duration::try_from_secs_f64(seconds.min(MAX_RETRY_AFTER.as_secs_f64())).ok()
}
