//! Asking for a page again and again.

use std::time::{Duration, Instant};

use super::{Error, server::Server};

/// What a request took and brought.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Until the first byte of the answer.
    pub first: Duration,
    /// Until its last one.
    pub whole: Duration,
    /// Bytes of the page.
    pub bytes: usize,
    /// The page.
    pub text: String,
}

/// Ask once, as a browser does that takes no compression.
pub async fn ask(server: &Server, path: &str) -> Result<Sample, Error> {
    let began = Instant::now();
    let request = server.client.get(format!("{}{path}", server.base)).header("accept", "text/html");
    let answer = request.send().await?;
    let first = began.elapsed();
    let status = answer.status();
    let body = answer.bytes().await?;
    let whole = began.elapsed();
    if !status.is_success() {
        return Err(format!("{path}: {status}").into());
    }
    Ok(Sample { first, whole, bytes: body.len(), text: String::from_utf8_lossy(&body).into_owned() })
}

/// Ask `times` times, one after the other, after a few that don't count.
pub async fn sequential(server: &Server, path: &str, times: usize) -> Result<Vec<Sample>, Error> {
    for _ in 0..(times / 10).min(10) {
        ask(server, path).await?;
    }
    let mut samples = Vec::with_capacity(times);
    for _ in 0..times {
        samples.push(Sample { text: String::new(), ..ask(server, path).await? });
    }
    Ok(samples)
}

/// Ask `times` times from each of `clients` at the same time.
pub async fn concurrent(
    server: &Server,
    path: &str,
    clients: usize,
    times: usize,
) -> Result<Vec<Sample>, Error> {
    let all = (0..clients).map(|_| sequential(server, path, times));
    Ok(futures_util::future::try_join_all(all).await?.concat())
}
