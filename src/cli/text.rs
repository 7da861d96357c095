//! Text that is safe and short enough for a terminal, and times that people write.

use std::{borrow::Cow, time::Duration};

use jiff::Timestamp;
use serde_json::Value;

/// True for characters that a terminal acts on instead of showing them: control characters (both sets), and those
/// that turn the direction of the text around.
fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text of several lines, without anything that a terminal would act on. Line breaks and tabs stay.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    let stays = |c: char| !acts(c) || c == '\n' || c == '\t';
    if text.chars().all(stays) { Cow::Borrowed(text) } else { text.chars().filter(|c| stays(*c)).collect() }
}

/// Text on one line, without anything that a terminal would act on, cut at `width` characters.
#[must_use]
pub fn line(text: &str, width: usize) -> String {
    let spaced =
        text.chars().map(|c| if matches!(c, '\n' | '\t' | '\r') { ' ' } else { c }).filter(|c| !acts(*c));
    let mut short: String = spaced.clone().take(width).collect();
    if spaced.clone().nth(width).is_some() {
        short.pop();
        short.push('…');
    }
    short
}

/// JSON for programs, in which the characters that terminals act on are escapes.
#[must_use]
pub fn json(value: &Value, pretty: bool) -> String {
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let text = text.expect("a JSON value has a text form");
    if !text.chars().any(|c| acts(c) && c != '\n') {
        return text;
    }
    // The only control character outside of a JSON string is the line break; all of these are in the first plane.
    let escape = |c: char| if acts(c) && c != '\n' { format!("\\u{:04x}", c as u32) } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// A value of a result: strings as they are, everything else as JSON.
#[must_use]
pub fn value(value: &Value) -> String {
    match value {
        Value::String(text) => lines(text).into_owned(),
        other => json(other, true),
    }
}

/// `840ms`, `12.3s`, `4m32s`, `2h05m`, `3d04h`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{:.1}s", (duration.as_secs_f64() * 10.0).floor() / 10.0),
        60..3_600 => format!("{}m{:02}s", secs / 60, secs % 60),
        3_600..86_400 => format!("{}h{:02}m", secs / 3_600, secs / 60 % 60),
        _ => format!("{}d{:02}h", secs / 86_400, secs / 3_600 % 24),
    }
}

/// The time since `then`, zero when that is in the future.
#[must_use]
pub fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// A point in time as servers write it: RFC 3339, or milliseconds since 1970.
#[must_use]
pub fn timestamp(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(ms) => {
            Timestamp::from_millisecond(ms.as_i64()?).ok().filter(|t| *t != Timestamp::UNIX_EPOCH)
        }
        _ => None,
    }
}

/// Reads `30s`, `5m`, `1h`, `1d`, `2w`, `1mo` (30 days), `1y` (365 days), also `1h30m`; a bare number is seconds.
///
/// # Errors
///
/// Anything else, with the forms that are understood.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is not a length of time; write it like 30s, 5m, 1h, 1h30m, 7d, 1mo or 1y");
    let mut rest = text.trim();
    if let Ok(secs) = rest.parse() {
        return Ok(Duration::from_secs(secs));
    }
    let mut secs = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit_ends = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_ends);
        let unit_secs = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            "mo" => 30 * 86_400,
            "y" => 365 * 86_400,
            _ => return Err(wrong()),
        };
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_secs));
        secs = part.and_then(|part| secs.checked_add(part)).ok_or_else(wrong)?;
        rest = next;
    }
    if text.trim().is_empty() { Err(wrong()) } else { Ok(Duration::from_secs(secs)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_never_reaches_it() {
        let hostile = "a\u{1b}[31mred\u{7}\u{9b}2J\u{202e}txt.exe\r\nnext";
        assert_eq!(lines(hostile), "a[31mred2Jtxt.exe\nnext");
        assert_eq!(line(hostile, 80), "a[31mred2Jtxt.exe  next");
        let text = super::json(&json!({"k": hostile}), false);
        assert!(!text.chars().any(acts), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["k"], hostile);
    }

    #[test]
    fn a_line_is_cut_by_characters_and_says_so() {
        assert_eq!(line("größer", 6), "größer");
        assert_eq!(line("größere", 6), "größe…");
    }

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        let secs = |text| parse_duration(text).map(|d| d.as_secs());
        assert_eq!(secs("30s"), Ok(30));
        assert_eq!(secs("5m"), Ok(300));
        assert_eq!(secs("1h30m"), Ok(5_400));
        assert_eq!(secs("7d"), Ok(604_800));
        assert_eq!(secs("1mo"), Ok(2_592_000));
        assert_eq!(secs("90"), Ok(90));
        for wrong in ["", "h", "-1h", "1x", "1h x", "99999999999999999999y", "1.5h"] {
            assert!(secs(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn lengths_of_time_are_shown_in_two_units_at_most() {
        let shown = |ms| duration(Duration::from_millis(ms));
        assert_eq!(shown(840), "840ms");
        assert_eq!(shown(12_380), "12.3s");
        assert_eq!(shown(59_999), "59.9s");
        assert_eq!(shown(272_000), "4m32s");
        assert_eq!(shown(7_500_000), "2h05m");
        assert_eq!(shown(273_600_000), "3d04h");
    }

    #[test]
    fn a_time_is_read_from_text_and_from_milliseconds() {
        assert_eq!(timestamp(&json!("2026-11-21T06:00:00.000Z")), timestamp(&json!(1_795_240_800_000_i64)));
        assert_eq!(timestamp(&json!(0)), None, "the protocol's way to say: not yet");
        assert_eq!(timestamp(&json!(null)), None);
    }
}
