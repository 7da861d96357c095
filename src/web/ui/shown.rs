//! How pages write numbers, times and words.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::engine::Status;
use crate::json;
use crate::store::read::pages::{Step, Wait};

/// Stored text as people read it. What no page can hold is shown as a symbol.
pub fn text(stored: &str) -> String {
    json::readable(stored).replace('\0', "\u{2400}")
}

/// The beginning of a stored text as one line of at most `most` characters.
pub fn excerpt(stored: &str, most: usize) -> String {
    let stored: String = stored.chars().take(most * 4).collect();
    let line = text(&stored).split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// The beginning of a stored text of at most `most` characters, and whether it was cut.
pub fn cut(stored: &str, most: usize) -> (String, bool) {
    match stored.char_indices().nth(most) {
        Some((at, _)) => (text(&stored[..at]), true),
        None => (text(stored), false),
    }
}

/// Seconds between two times, never below zero.
pub fn secs(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

/// How long something took: `24 ms`, `6.3 s`, `13m 22s`, `2d 5h`.
#[expect(clippy::cast_possible_truncation, reason = "whole seconds of a duration that is not negative")]
pub fn duration(secs: f64) -> String {
    if secs < 0.9995 {
        return format!("{:.0} ms", secs * 1000.0);
    }
    if secs < 59.95 {
        return format!("{secs:.1} s");
    }
    match secs.round() as i64 {
        s @ ..3600 => format!("{}m {:02}s", s / 60, s % 60),
        s @ 3600..86_400 => format!("{}h {:02}m", s / 3600, s / 60 % 60),
        s => format!("{}d {}h", s / 86_400, s / 3600 % 24),
    }
}

/// A count in a narrow column: `842`, `41.2k`, `1.3M`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn count(n: i64) -> String {
    match n {
        ..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{:.1}k", n as f64 / 1e3),
        _ => format!("{:.1}M", n as f64 / 1e6),
    }
}

/// `one turn`, `2 turns`.
pub fn many(n: i64, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{} {word}s", count(n)) }
}

/// Where the viewer is: every time on a page is written for this zone.
#[derive(Debug, Clone)]
pub struct Zone {
    zone: TimeZone,
    name: String,
}

impl Default for Zone {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, name: "UTC".to_owned() }
    }
}

impl Zone {
    /// By its name in the IANA database, in any case.
    pub fn named(name: &str) -> Option<Self> {
        if name.trim().eq_ignore_ascii_case("utc") {
            return Some(Self::default());
        }
        let zone = TimeZone::get(name.trim()).ok()?;
        let name = zone.iana_name()?.to_owned();
        Some(Self { zone, name })
    }

    /// Names to choose from.
    pub fn all() -> Vec<String> {
        let names = jiff::tz::db().available().map(|name| name.to_string());
        let mut all: Vec<_> = names.filter(|name| name.contains('/') && !name.starts_with("Etc/")).collect();
        all.insert(0, "UTC".to_owned());
        all
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn format(&self, at: Timestamp, format: &str) -> String {
        at.to_zoned(self.zone.clone()).strftime(format).to_string()
    }

    /// A time of a day: `14:05:09`.
    pub fn clock(&self, at: Timestamp) -> String {
        self.format(at, "%H:%M:%S")
    }

    /// A time with its day and its zone.
    pub fn stamp(&self, at: Timestamp) -> String {
        self.format(at, "%Y-%m-%d %H:%M:%S %Z")
    }

    /// A time with its day: `2026-11-21 14:05:09`.
    pub fn full(&self, at: Timestamp) -> String {
        self.format(at, "%Y-%m-%d %H:%M:%S")
    }

    /// A time as lists show it: without the day when it is today.
    pub fn at(&self, time: Timestamp, now: Timestamp) -> String {
        let day = |t: Timestamp| self.format(t, "%Y-%m-%d");
        self.format(time, if day(time) == day(now) { "%H:%M:%S" } else { "%b %-d, %H:%M" })
    }

    /// A sentence of the database, which writes times in full and in UTC, with its times as lists show them here.
    pub fn retold(&self, text: &str, now: Timestamp) -> String {
        let (mut out, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find(" UTC") {
            let begin = at.checked_sub("2026-11-21 14:05:09".len()).filter(|b| rest.is_char_boundary(*b));
            let time = begin.and_then(|b| format!("{}Z", &rest[b..at]).parse::<Timestamp>().ok());
            match (begin, time) {
                (Some(begin), Some(time)) => {
                    out.push_str(&rest[..begin]);
                    out.push_str(&self.at(time, now));
                }
                _ => out.push_str(&rest[..at + 4]),
            }
            rest = &rest[at + 4..];
        }
        out + rest
    }
}

/// A status as people read it: never colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Class of its colour.
    pub class: &'static str,
    /// Name of its icon.
    pub icon: &'static str,
    /// In a word.
    pub word: &'static str,
}

const fn mark(class: &'static str, icon: &'static str, word: &'static str) -> Mark {
    Mark { class, icon, word }
}

/// Where an execution stands; one that runs and can't go on by itself says so.
pub fn status(status: Status, waits: Option<&str>) -> Mark {
    match (status, waits) {
        (Status::Running, Some("no_worker" | "no_server")) => mark("warn", "alert", "Stuck"),
        (Status::Running, Some("queue_paused")) => mark("idle", "pause", "Queue paused"),
        (Status::Running, Some("retry" | "lost")) => mark("warn", "redo", "Retrying"),
        (Status::Running, Some("approval" | "question")) => mark("human", "user", "Waits for a person"),
        (Status::Running, _) => mark("run", "ring", "Running"),
        (Status::Paused, _) => mark("idle", "pause", "Paused"),
        (Status::Completed, _) => mark("ok", "check", "Completed"),
        (Status::Failed, _) => mark("fail", "x", "Failed"),
        (Status::Terminated, _) => mark("idle", "stop", "Terminated"),
        (Status::TimedOut, _) => mark("fail", "clock", "Timed out"),
    }
}

/// How a try stands or ended.
pub fn outcome(step: &Step) -> Mark {
    match step.status.as_str() {
        "completed" => mark("ok", "check", "Completed"),
        "failed" => mark("warn", "redo", "Failed, tried again"),
        "gave_up" => mark("fail", "x", "Failed for good"),
        "lost" => mark("fail", "alert", "Lost"),
        "withdrawn" => mark("idle", "stop", "Withdrawn"),
        "leased" => mark("run", "ring", "Running"),
        "held" => mark("idle", "pause", "Held"),
        "deferred" => mark("idle", "clock", "Waits for its time"),
        _ => mark("idle", "dash", "Waits for a worker"),
    }
}

/// Icon of a kind of task.
pub fn kind_icon(kind: &str) -> &'static str {
    match kind {
        "model" => "spark",
        "tool" => "tool",
        _ => "shield",
    }
}

/// What a waiting execution needs, in two lines.
pub fn wait(wait: &Wait, zone: &Zone, now: Timestamp) -> (String, String) {
    let more = match wait.reasons {
        ..=1 => String::new(),
        n => format!("and {} more", many(n - 1, "reason")),
    };
    let (what, cause) = wait.text.split_once(" because: ").unwrap_or((&wait.text, ""));
    let hint = wait.hint.as_deref().map(|h| sentence(&excerpt(h, 200))).unwrap_or_default();
    let second = [excerpt(cause, 200), hint, more]
        .into_iter()
        .filter(|s| !s.is_empty())
        .collect::<Vec<_>>()
        .join(" · ");
    (sentence(&excerpt(&zone.retold(what, now), 300)), second)
}

/// A text with its first letter in upper case.
pub fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A text as a literal in SQL.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (secs, shown) in [
            (0.0, "0 ms"),
            (0.0241, "24 ms"),
            (0.9996, "1.0 s"),
            (6.31, "6.3 s"),
            (59.96, "1m 00s"),
            (802.0, "13m 22s"),
            (7260.0, "2h 01m"),
            (190_800.0, "2d 5h"),
        ] {
            assert_eq!(duration(secs), shown);
        }
    }

    #[test]
    fn counts_fit_a_column() {
        assert_eq!(
            (count(9999), count(41_234), count(1_250_000)),
            ("9999".into(), "41.2k".into(), "1.2M".into())
        );
        assert_eq!((many(1, "turn"), many(0, "turn")), ("1 turn".into(), "0 turns".into()));
    }

    #[test]
    fn an_excerpt_is_one_line_of_what_was_sent() {
        assert_eq!(excerpt("a\n\n b\tc", 10), "a b c");
        assert_eq!(excerpt("äöüßäöüß", 4), "äöüß…");
        assert_eq!(text("x\u{100000}y\u{10FFFD}\u{100000}"), "x\u{2400}y\u{100000}");
    }

    #[test]
    fn times_in_sentences_are_the_viewers() {
        let (berlin, now) = (Zone::named("europe/berlin").unwrap(), "2026-11-21T20:00:00Z".parse().unwrap());
        assert_eq!(
            berlin.retold("leased since 2026-11-21 14:05:09 UTC until 2026-12-01 14:05:09 UTC, é UTC", now),
            "leased since 15:05:09 until Dec 1, 15:05, é UTC"
        );
        for same in ["", " UTC", "äääääääääääääääää UTC", "99-99-99 99:99:99 99 UTC"] {
            assert_eq!(berlin.retold(same, now), same);
        }
    }

    #[test]
    fn a_literal_can_not_be_left() {
        assert_eq!(literal("x' or ''='"), "'x'' or ''''='''");
    }
}
