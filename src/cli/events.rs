//! An execution's events as they come over the wire (SSE), through cuts of the connection and restarts of the server.

use std::time::Duration;

use reqwest::{Method, Response, header};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    api::Api,
    failure::{Exit, Failure},
    terminal::Terminal,
};

/// The server sends a sign of life every 15 s; after this long without any, the connection is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// Pause before the next try to connect.
const RECONNECT: Duration = Duration::from_millis(250);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number, from which a cut stream goes on.
    pub id: Option<u64>,
    /// Its type, such as `tool_call`.
    pub name: String,
    /// Everything else.
    pub data: Value,
}

impl Event {
    /// True for the last event of a run.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(self.name.as_str(), "done" | "error")
    }

    /// A text of the payload; the first of `keys` that is there.
    #[must_use]
    pub fn text(&self, keys: &[&str]) -> &str {
        keys.iter().find_map(|key| self.data[*key].as_str()).unwrap_or_default()
    }
}

/// Takes bytes as they arrive and gives events as they are complete.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Bytes of a line that isn't complete.
    rest: Vec<u8>,
    id: Option<u64>,
    name: String,
    data: String,
}

impl Decoder {
    /// The events that `bytes` complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(bytes);
        let mut events = vec![];
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            events.extend(self.line(line.trim_end_matches(['\n', '\r'])));
        }
        events
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = value.parse().ok(),
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            _ => {} // A comment (the sign of life), or a field that nobody knows yet.
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let (id, name, data) =
            (self.id.take(), std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        let data: Value = serde_json::from_str(&data).ok()?;
        let id = id.or_else(|| data["id"].as_u64());
        let name = if name.is_empty() { data["type"].as_str().unwrap_or("message").to_owned() } else { name };
        Some(Event { id, name, data })
    }
}

/// The events of an execution, from one on, each once.
pub struct Stream<'a> {
    api: &'a Api,
    out: Terminal,
    execution: String,
    /// Whether to be told what models say, too.
    tokens: bool,
    /// The number of the last event that was handed out.
    pub last: Option<u64>,
    connection: Option<Response>,
    decoder: Decoder,
    ready: std::collections::VecDeque<Event>,
    connected_before: bool,
}

impl<'a> Stream<'a> {
    /// The events after number `last`; all of them for `None`. With `tokens` also what models say, as it comes.
    #[must_use]
    pub fn new(api: &'a Api, out: Terminal, execution: &str, last: Option<u64>, tokens: bool) -> Self {
        let (connection, decoder, ready) = (None, Decoder::default(), std::collections::VecDeque::new());
        Self {
            api,
            out,
            execution: execution.into(),
            tokens,
            last,
            connection,
            decoder,
            ready,
            connected_before: false,
        }
    }

    /// The next event, however long it takes and however often the connection breaks meanwhile. `None` when the server
    /// closed the stream properly: it has no more events now, and asking again connects again.
    ///
    /// # Errors
    ///
    /// The first connection finds no server, or a server says that there is no such execution.
    pub async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                if event.id.is_none() || event.id > self.last {
                    self.last = event.id.or(self.last);
                    return Ok(Some(event));
                }
            }
            let connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let connection = self.connection.insert(connection);
            match timeout(SILENCE, connection.chunk()).await {
                Ok(Ok(Some(bytes))) => self.ready.extend(self.decoder.feed(&bytes)),
                ended => {
                    self.connection = None;
                    self.decoder = Decoder::default();
                    sleep(RECONNECT).await;
                    if let Ok(Ok(None)) = ended {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<Response, Failure> {
        let mut told = false;
        loop {
            let mut request = self
                .api
                .request(Method::GET, &["api", "agent", "stream", &self.execution])
                .header(header::ACCEPT, "text/event-stream");
            if let Some(last) = self.last {
                request = request.header("Last-Event-ID", last);
            }
            if self.tokens {
                request = request.query(&[("tokens", "1")]);
            }
            match self.api.send(request).await {
                Ok(connection) => {
                    if told {
                        self.out.note("the server is back");
                    }
                    self.connected_before = true;
                    return Ok(connection);
                }
                Err(error)
                    if self.connected_before && matches!(error.exit, Exit::NoServer | Exit::Failed) =>
                {
                    if !std::mem::replace(&mut told, true) {
                        self.out.note("lost the server; the run goes on there, waiting for it to be back");
                    }
                    sleep(RECONNECT).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Decoder;

    const WIRE: &str = ":connected\n\nid:1\nevent:thinking\ndata:{\"type\":\"thinking\",\"content\":\"größe\"}\n\n\
        :heartbeat\n\nid: 2\r\nevent: done\r\ndata: {\"output\":{\"result\":\"ok\"}}\r\n\r\n";

    #[test]
    fn events_come_out_whole_however_the_bytes_are_cut() {
        let whole = Decoder::default().feed(WIRE.as_bytes());
        assert_eq!(whole.len(), 2);
        assert_eq!((whole[0].id, whole[0].name.as_str()), (Some(1), "thinking"));
        assert_eq!(whole[0].text(&["message", "content"]), "größe");
        assert_eq!(whole[1].data, json!({"output": {"result": "ok"}}));
        assert!(whole[1].is_last());

        for size in 1..20 {
            let mut decoder = Decoder::default();
            let cut: Vec<_> = WIRE.as_bytes().chunks(size).flat_map(|bytes| decoder.feed(bytes)).collect();
            assert_eq!(cut, whole, "in pieces of {size}");
        }
    }

    #[test]
    fn signs_of_life_and_half_an_event_are_no_events() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.feed(b":heartbeat\n\n: x\n\nid:3\nevent:done\ndata:{\"a\":"), []);
        assert_eq!(decoder.feed(b"1}\n"), []);
        assert_eq!(decoder.feed(b"\n").len(), 1);
    }

    #[test]
    fn an_event_without_a_name_takes_its_payloads_type_and_id() {
        let event = &Decoder::default().feed(b"data: {\"type\":\"handoff\",\"id\":9}\n\n")[0];
        assert_eq!((event.name.as_str(), event.id), ("handoff", Some(9)));
    }
}
