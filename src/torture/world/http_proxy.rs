//! A way between HTTP clients and servers on which things go wrong.
//!
//! ```text
//!  client ──► proxy: one connection, one request ──► the first upstream that answers
//!                    └─ the next armed [`Harm`] falls on the next request that comes
//! ```
//!
//! 1. A harm falls on exactly one request; requests without one pass unchanged but for `Connection: close`.
//! 2. Who hangs up here is hung up on there, so that a server sees the end of an impatient client.
//! 3. While the way is cut nothing passes and nobody is told: connections stay open and silent.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Larger heads are nobody's that we test.
const MAX_HEAD: usize = 64 * 1024;

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// The request arrives this much later.
    Delay(Duration),
    /// The connection ends before the request arrives.
    Lose,
    /// The request arrives; its answer does not.
    LoseAnswer,
    /// The connection is reset in the middle of the answer.
    Reset,
    /// The connection ends in the middle of the answer.
    Truncate,
    /// The request arrives; then nothing is heard for this long.
    HalfOpen(Duration),
    /// The request arrives twice at once; the client gets one of the answers.
    Duplicate,
}

impl Harm {
    /// One of each.
    pub const ALL: [Self; 7] = [
        Self::Delay(Duration::from_millis(300)),
        Self::Lose,
        Self::LoseAnswer,
        Self::Reset,
        Self::Truncate,
        Self::HalfOpen(Duration::from_millis(1500)),
        Self::Duplicate,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Lose => "lose",
            Self::LoseAnswer => "lose-answer",
            Self::Reset => "reset",
            Self::Truncate => "truncate",
            Self::HalfOpen(_) => "half-open",
            Self::Duplicate => "duplicate",
        }
    }
}

/// The way. Ends with this value.
#[derive(Debug)]
pub struct HttpProxy {
    address: SocketAddr,
    way: Arc<Way>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Way {
    upstreams: Vec<SocketAddr>,
    turn: AtomicUsize,
    armed: Mutex<VecDeque<Harm>>,
    fallen: AtomicU64,
    open: watch::Sender<bool>,
}

impl HttpProxy {
    /// To one server, or to several of which any that can be reached will do.
    ///
    /// # Errors
    ///
    /// The system gives no port.
    pub async fn to(upstreams: Vec<SocketAddr>) -> io::Result<Self> {
        Self::at(IpAddr::V4(Ipv4Addr::LOCALHOST), upstreams).await
    }

    /// The same, listening at another address of this machine.
    ///
    /// # Errors
    ///
    /// The system gives no port there.
    pub async fn at(ip: IpAddr, upstreams: Vec<SocketAddr>) -> io::Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await?;
        let address = listener.local_addr()?;
        let way = Arc::new(Way {
            upstreams,
            turn: AtomicUsize::new(0),
            armed: Mutex::default(),
            fallen: AtomicU64::new(0),
            open: watch::Sender::new(true),
        });
        let accepting = tokio::spawn(accept(listener, way.clone()));
        Ok(Self { address, way, accepting })
    }

    /// Where clients go: `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request meets this. Several harms fall on one request each, in order.
    pub fn arm(&self, harm: Harm) {
        self.way.armed().push_back(harm);
    }

    /// How many harms have fallen.
    #[must_use]
    pub fn fallen(&self) -> u64 {
        self.way.fallen.load(Ordering::Relaxed)
    }

    /// What is armed and has not fallen never will.
    pub fn disarm(&self) {
        self.way.armed().clear();
    }

    /// Nothing passes any more, in either direction, until [`mend`](Self::mend).
    pub fn cut(&self) {
        self.way.open.send_replace(false);
    }

    /// Everything passes again, also what was under way.
    pub fn mend(&self) {
        self.way.open.send_replace(true);
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Way {
    fn armed(&self) -> std::sync::MutexGuard<'_, VecDeque<Harm>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn harm(&self) -> Option<Harm> {
        let harm = self.armed().pop_front();
        self.fallen.fetch_add(u64::from(harm.is_some()), Ordering::Relaxed);
        harm
    }

    /// The first upstream that takes a connection, beginning with another one each time.
    async fn connect(&self) -> io::Result<TcpStream> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut last = io::Error::other("there is no upstream");
        for n in 0..self.upstreams.len() {
            match TcpStream::connect(self.upstreams[(first + n) % self.upstreams.len()]).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Resolves while the way is open.
    async fn passable(&self) {
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

async fn accept(listener: TcpListener, way: Arc<Way>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => drop(connections.spawn(carry(client, way.clone()))),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One request and its answer. Errors are what this is for: the connections just end.
async fn carry(mut client: TcpStream, way: Arc<Way>) {
    let _ = client.set_nodelay(true);
    let Ok(request) = read_request(&mut client).await else { return };
    way.passable().await;
    let harm = way.harm();
    match harm {
        Some(Harm::Lose) => return,
        Some(Harm::Delay(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let Ok(mut server) = send(&way, &request).await else { return };
    if harm == Some(Harm::Duplicate)
        && let Ok(mut twin) = send(&way, &request).await
    {
        tokio::spawn(async move {
            let mut answer = vec![];
            let read = twin.read_to_end(&mut answer);
            let _ = tokio::time::timeout(Duration::from_mins(1), read).await;
        });
    }
    match harm {
        Some(Harm::LoseAnswer) => {
            // It is there when something comes back.
            let _ = server.read(&mut [0; 1024]).await;
            return;
        }
        Some(Harm::HalfOpen(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let _ = answer(&mut client, &mut server, &way, harm).await;
}

async fn send(way: &Way, request: &[u8]) -> io::Result<TcpStream> {
    let mut server = way.connect().await?;
    let _ = server.set_nodelay(true);
    server.write_all(request).await?;
    Ok(server)
}

/// Carry what the server says until it ends, or the client does.
async fn answer(
    client: &mut TcpStream,
    server: &mut TcpStream,
    way: &Way,
    harm: Option<Harm>,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (mut piece, mut ignored) = (vec![0; 16 * 1024], [0; 64]);
    loop {
        let length = tokio::select! {
            read = server.read(&mut piece) => read?,
            read = from_client.read(&mut ignored) => {
                if read? == 0 { return Ok(()) }
                continue;
            }
        };
        way.passable().await;
        if length == 0 {
            return to_client.shutdown().await;
        }
        if matches!(harm, Some(Harm::Reset | Harm::Truncate)) {
            to_client.write_all(&piece[..length / 2]).await?;
            if harm == Some(Harm::Reset) {
                client.set_zero_linger()?;
            }
            return Ok(());
        }
        to_client.write_all(&piece[..length]).await?;
    }
}

/// A request, rewritten so that its connection ends with it.
async fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(2048);
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 2;
        }
        if bytes.len() > MAX_HEAD || client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let (rewritten, length) = rewrite(&String::from_utf8_lossy(&bytes[..head]));
    let body = head + 2;
    while bytes.len() < body + length {
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut request = rewritten.into_bytes();
    request.extend_from_slice(&bytes[body..body + length]);
    Ok(request)
}

/// The head of a request that asks for its connection's end, and the length of the body that follows.
fn rewrite(head: &str) -> (String, usize) {
    let mut length = 0;
    let mut kept = String::with_capacity(head.len() + 24);
    for line in head.split_terminator("\r\n") {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
        if !name.eq_ignore_ascii_case("connection") {
            kept.push_str(line);
            kept.push_str("\r\n");
        }
    }
    (kept + "connection: close\r\n\r\n", length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_asks_for_the_end_of_its_connection() {
        let (head, length) =
            rewrite("POST /a HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nContent-Length: 12\r\n");
        assert_eq!(head, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nconnection: close\r\n\r\n");
        assert_eq!(length, 12);
    }

    fn client() -> reqwest::Client {
        reqwest::Client::builder().no_proxy().build().unwrap()
    }

    /// A server that counts requests and answers each with the same ten bytes.
    async fn counting() -> (SocketAddr, Arc<AtomicU64>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let counted = count.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let counted = counted.clone();
                tokio::spawn(async move {
                    let Ok(_) = read_request(&mut client).await else { return };
                    counted.fetch_add(1, Ordering::SeqCst);
                    let said = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\n0123456789";
                    let _ = client.write_all(said.as_bytes()).await;
                });
            }
        });
        (address, count)
    }

    #[tokio::test]
    async fn each_harm_does_what_its_name_says_to_one_request() {
        let (address, count) = counting().await;
        let proxy = HttpProxy::to(vec![address]).await.unwrap();
        let ask = async || {
            let sent =
                client().post(proxy.url()).body("hello").timeout(Duration::from_millis(700)).send().await;
            match sent {
                Ok(answer) => answer.text().await,
                Err(error) => Err(error),
            }
        };
        for harm in Harm::ALL {
            let before = count.load(Ordering::SeqCst);
            proxy.arm(harm);
            let answer = ask().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let arrived = count.load(Ordering::SeqCst) - before;
            let (heard, times) = match harm {
                Harm::Delay(_) => (true, 1),
                Harm::Lose => (false, 0),
                Harm::LoseAnswer | Harm::Reset | Harm::Truncate | Harm::HalfOpen(_) => (false, 1),
                Harm::Duplicate => (true, 2),
            };
            assert_eq!((answer.is_ok(), arrived), (heard, times), "{harm:?}");
            assert_eq!(ask().await.unwrap(), "0123456789", "after {harm:?} all is well");
        }
        assert_eq!(proxy.fallen(), 7);

        proxy.cut();
        assert!(ask().await.is_err());
        proxy.mend();
        assert_eq!(ask().await.unwrap(), "0123456789");
    }

    #[tokio::test]
    async fn a_dead_upstream_is_passed_over() {
        let (address, _) = counting().await;
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let proxy = HttpProxy::to(vec![gone, address]).await.unwrap();
        for _ in 0..4 {
            let answer = client().get(proxy.url()).send().await.unwrap();
            assert_eq!(answer.text().await.unwrap(), "0123456789");
        }
    }
}
