//! What the frame of every page needs, and two things that most pages end with.

use jiff::Timestamp;

use super::{Viewer, waiting};
use crate::web::ui::shown;

/// For `templates/base.html`.
#[derive(Debug, Clone)]
pub struct Base {
    /// Which part of the site: `executions`, `agents`, `queues`, …
    pub section: &'static str,
    /// `light`, `dark`, or empty for what the system says.
    pub theme: &'static str,
    /// What a click on "Theme" chooses.
    pub next_theme: &'static str,
    /// The time zone's name.
    pub zone: String,
    /// What forms must carry.
    pub token: String,
    /// Path and query of the page.
    pub here: String,
    /// Where open pages get what changes; empty when nothing does.
    pub live: String,
    /// When it was drawn.
    pub now: Timestamp,
    /// The same in the viewer's zone.
    pub as_of: String,
    /// How many questions wait for people; empty for none.
    pub waiting: String,
}

impl Base {
    /// The frame of a page that stays as it is.
    pub fn of(viewer: &Viewer, section: &'static str) -> Self {
        Self {
            section,
            theme: viewer.theme,
            next_theme: match viewer.theme {
                "light" => "dark",
                "dark" => "",
                _ => "light",
            },
            zone: viewer.zone.name().to_owned(),
            token: viewer.token.clone(),
            here: viewer.here.clone(),
            live: String::new(),
            now: viewer.now,
            as_of: viewer.zone.clock(viewer.now),
            waiting: waiting::shown(viewer.waiting),
        }
    }

    /// The frame of a page whose parts follow the database, from the stream at `address`.
    pub fn live(viewer: &Viewer, section: &'static str, address: String) -> Self {
        Self { live: address, ..Self::of(viewer, section) }
    }
}

/// A statement that shows in psql what the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it shows; empty when that is plain.
    pub about: &'static str,
    /// The statement, with its semicolon.
    pub sql: String,
}

impl Statement {
    /// A statement, with what it shows.
    pub fn new(about: &'static str, sql: impl Into<String>) -> Self {
        Self { about, sql: sql.into() }
    }
}

/// One thing as other tools ask for it: label and text, to be copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copies(pub Vec<(&'static str, String)>);

impl Copies {
    /// A page for curl, in three formats when it is a list.
    pub fn curl(viewer: &Viewer, is_list: bool) -> Self {
        let (path, query) = viewer.here.split_once('?').map_or((viewer.here.as_str(), ""), |(p, q)| (p, q));
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        let url = |suffix: &str| shell(&format!("{}{path}{suffix}{query}", viewer.origin));
        let mut copies =
            vec![("curl", format!("curl {}", url(".txt"))), ("curl, JSON", format!("curl {}", url(".json")))];
        if is_list {
            copies.push(("curl, CSV", format!("curl {}", url(".csv"))));
        }
        Self(copies)
    }

    /// With one more.
    #[must_use]
    pub fn and(mut self, label: &'static str, text: impl Into<String>) -> Self {
        self.0.push((label, text.into()));
        self
    }
}

/// A text as one word of a shell.
pub fn shell(text: &str) -> String {
    let text = shown::text(text);
    let is_plain = !text.is_empty()
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/' | b':' | b'-' | b'_' | b'@' | b',')
        });
    if is_plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_word_as_it_is() {
        assert_eq!(shell("http://localhost:6767/executions.csv"), "http://localhost:6767/executions.csv");
        assert_eq!(shell("a b"), "'a b'");
        assert_eq!(shell("$(rm -rf /)'; x"), "'$(rm -rf /)'\\''; x'");
        assert_eq!(shell(""), "''");
    }
}
