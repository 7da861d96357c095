//! Where effects go: a file to which every performance of a tool adds one line before it reports anything.
//!
//! It is outside of every database and every server, as the world is, and a line is one write, so that no kill tears it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// A sink.
#[derive(Debug, Clone)]
pub struct Sink(PathBuf);

/// One performance of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The call's idempotency key, as the performer was told.
    pub key: String,
    /// The attempt.
    pub attempt: String,
    /// When it was performed.
    pub at: Timestamp,
}

impl Sink {
    /// In this file.
    #[must_use]
    pub fn at(file: &Path) -> Self {
        Self(file.to_owned())
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.0
    }

    /// Have an effect.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn perform(&self, key: &str, attempt: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0)?;
        file.write_all(format!("{}\t{attempt}\t{key}\n", Timestamp::now().as_microsecond()).as_bytes())
    }

    /// All effects so far.
    ///
    /// # Errors
    ///
    /// The file can't be read, or holds something else.
    pub fn effects(&self) -> io::Result<Vec<Effect>> {
        let text = match std::fs::read_to_string(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let effect = |line: &str| {
            let mut parts = line.splitn(3, '\t');
            let at = Timestamp::from_microsecond(parts.next()?.parse().ok()?).ok()?;
            Some(Effect { at, attempt: parts.next()?.to_owned(), key: parts.next()?.to_owned() })
        };
        let read = text.lines().map(|line| effect(line).ok_or_else(|| io::Error::other(line.to_owned())));
        read.collect()
    }

    /// Forget them.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn clear(&self) -> io::Result<()> {
        File::create(&self.0).map(drop)
    }
}
