//! Postgres's protocol, version 3, as far as a proxy must know it: where messages begin and end, and which statements a
//! client means.

use std::collections::HashMap;
use std::sync::Arc;

use super::names::Names;

/// Most that one message may hold here; more is no client of ours.
const LONGEST: usize = 256 * 1024 * 1024;

/// Bytes that arrive, cut into messages.
#[derive(Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    at: usize,
}

impl Messages {
    /// More has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.at));
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message with its type.
    pub fn next(&mut self) -> Option<(u8, &[u8])> {
        let rest = &self.bytes[self.at..];
        let length = u32::from_be_bytes(rest.get(1..5)?.try_into().ok()?) as usize;
        let end = 1 + length.clamp(4, LONGEST);
        if rest.len() < end {
            return None;
        }
        self.at += end;
        Some((rest[0], &rest[..end]))
    }

    /// The next whole message that has no type: what a client says first.
    pub fn first(&mut self) -> Option<&[u8]> {
        let rest = &self.bytes[self.at..];
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        if rest.len() < length.clamp(4, LONGEST) {
            return None;
        }
        self.at += length.clamp(4, LONGEST);
        Some(&rest[..length.clamp(4, LONGEST)])
    }
}

/// What a client sends up to a point at which Postgres says that it is ready again: one statement, or the preparation
/// of one.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// As it was sent.
    pub bytes: Vec<u8>,
    /// The statement that it executes; none when it only prepares or forgets.
    pub executes: Option<Arc<str>>,
}

/// A connection's client, as its messages tell.
pub(super) struct Frontend {
    names: Arc<Names>,
    prepared: HashMap<Vec<u8>, Arc<str>>,
    portals: HashMap<Vec<u8>, Arc<str>>,
    group: Group,
    /// The last statement that was no beginning or end of a transaction.
    last: Arc<str>,
}

impl Frontend {
    pub fn new(names: Arc<Names>) -> Self {
        Self {
            names,
            prepared: HashMap::new(),
            portals: HashMap::new(),
            group: Group::default(),
            last: "nothing".into(),
        }
    }

    /// Take a message; gives the group that it ends.
    pub fn take(&mut self, kind: u8, message: &[u8]) -> Option<Group> {
        let body = &message[5..];
        self.group.bytes.extend_from_slice(message);
        match kind {
            b'Q' => {
                let name = self.names.of(text(body));
                self.executes(name);
                return Some(std::mem::take(&mut self.group));
            }
            b'P' => {
                let (name, rest) = split(body);
                let statement = self.names.of(text(rest));
                self.prepared.insert(name.to_vec(), statement);
            }
            b'B' => {
                let (portal, rest) = split(body);
                if let Some(statement) = self.prepared.get(split(rest).0) {
                    self.portals.insert(portal.to_vec(), statement.clone());
                }
            }
            b'E' => {
                let statement = self.portals.get(split(body).0).cloned();
                self.executes(statement.unwrap_or_else(|| "unknown".into()));
            }
            b'C' if body.first() == Some(&b'S') => drop(self.prepared.remove(split(&body[1..]).0)),
            b'S' => return Some(std::mem::take(&mut self.group)),
            _ => {}
        }
        None
    }

    /// What a driver's transactions end with is named by what it ends.
    fn executes(&mut self, name: Arc<str>) {
        let ends = matches!(&*name, "COMMIT" | "ROLLBACK");
        self.group.executes = Some(if ends { format!("{name} after {}", self.last).into() } else { name });
        if let (false, Some(name)) = (ends, &self.group.executes) {
            self.last = name.clone();
        }
    }
}

/// A simple query.
pub(super) fn query(sql: &str) -> Vec<u8> {
    let length = u32::try_from(sql.len() + 5).unwrap_or(u32::MAX);
    [b"Q", &length.to_be_bytes()[..], sql.as_bytes(), b"\0"].concat()
}

/// The error with which Postgres parts.
pub(super) fn farewell(code: &str, text: &str) -> Vec<u8> {
    let fields = [("S", "FATAL"), ("V", "FATAL"), ("C", code), ("M", text)];
    let fields = fields.map(|(field, value)| format!("{field}{value}\0")).concat();
    let length = u32::try_from(fields.len() + 5).unwrap_or(u32::MAX);
    [b"E", &length.to_be_bytes()[..], fields.as_bytes(), b"\0"].concat()
}

/// A text that ends with a zero, and what follows.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(split(bytes).0).unwrap_or("not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    fn groups(bytes: &[u8], chunk: usize) -> Vec<Group> {
        let (mut messages, mut found) = (Messages::default(), vec![]);
        let mut frontend = Frontend::new(Arc::new(Names::known()));
        for piece in bytes.chunks(chunk) {
            messages.push(piece);
            while let Some((kind, message)) = messages.next() {
                found.extend(frontend.take(kind, message));
            }
        }
        found
    }

    #[test]
    fn statements_that_were_sent_without_waiting_are_told_apart_however_they_arrive() {
        let prepare =
            [message(b'P', b"s1\0show timezone\0\0\0"), message(b'D', b"Ss1\0"), message(b'S', b"")];
        let execute =
            [message(b'B', b"\0s1\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")];
        let bytes = [prepare.concat(), query("begin"), execute.concat(), query("COMMIT")].concat();
        for chunk in [1, 3, 7, bytes.len()] {
            let groups = groups(&bytes, chunk);
            let names: Vec<_> = groups.iter().map(|g| g.executes.as_deref()).collect();
            let expected = [None, Some("begin"), Some("show timezone"), Some("COMMIT after show timezone")];
            assert_eq!(names, expected, "in pieces of {chunk}");
            assert_eq!(groups.iter().flat_map(|g| g.bytes.clone()).collect::<Vec<_>>(), bytes);
        }
    }
}
