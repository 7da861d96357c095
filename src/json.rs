//! How any JSON becomes storable, and comes back unchanged.
//!
//! Postgres can't hold every JSON text: NUL and lone surrogates are refused, and huge numbers are inflated by
//! `jsonb`. So payloads live in `json` columns (the text as sent: key order, `1e2`, `-0` and duplicate keys
//! survive), and the code points that Postgres refuses are swapped for private-use ones on the way in and
//! back on the way out:
//!
//! ```text
//!   \u0000              ⇄  U+100000
//!   \uD800 … \uDFFF     ⇄  U+10D800 … U+10DFFF     (lone surrogates only; pairs are ordinary characters)
//!   U+100000, U+10D800 … U+10DFFF, U+10FFFD sent as such  ⇄  U+10FFFD followed by the character
//! ```
//!
//! Invariants, each with a property test:
//!
//! 1. `restore(storable(x))` is JSON with the same strings as `x`, code unit for code unit.
//! 2. What [`storable`] returns is valid JSON that Postgres accepts in a `json` column.
//! 3. Numbers, key order and white space inside are untouched.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Deepest nesting of arrays and objects that is accepted.
pub const MAX_DEPTH: usize = 128;
/// Most digits that a number may have when written without an exponent.
pub const MAX_DIGITS: usize = 64;

const NUL: char = '\u{100000}';
const ESCAPE: char = '\u{10FFFD}';
const SURROGATES: std::ops::RangeInclusive<char> = '\u{10D800}'..='\u{10DFFF}';

/// Why a text can't be taken as JSON.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Not UTF-8.
    #[error("the body is not valid UTF-8 (first bad byte at {0})")]
    Utf8(usize),
    /// Not JSON.
    #[error("the body is not valid JSON: {0}")]
    Syntax(String),
    /// More than [`MAX_DEPTH`] levels.
    #[error("the JSON is nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// A number of more than [`MAX_DIGITS`] digits.
    #[error("the JSON holds a number of more than {MAX_DIGITS} digits; send it as a string")]
    Digits,
}

/// Check `bytes` and swap what Postgres refuses; the result parses with `serde_json` and fits a `json` column.
///
/// # Errors
///
/// [`Error`] says what is wrong; nothing is repaired silently.
pub fn storable(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| Error::Utf8(e.valid_up_to()))?;
    scan(bytes)?;
    let text = swap(text);
    serde_json::from_str::<&RawValue>(&text).map_err(|e| Error::Syntax(e.to_string()))?;
    Ok(text)
}

/// Undo [`storable`] on JSON text (a whole answer, or a part of one).
#[must_use]
pub fn restore(text: &str) -> Cow<'_, str> {
    unswap(text, |out, unit| {
        let _ = write!(out, "\\u{unit:04X}");
    })
}

/// Make text that did not come through [`storable`] (a model's answer, an error message) fit a column.
#[must_use]
pub fn storable_text(text: &str) -> Cow<'_, str> {
    if !text.as_bytes().contains(&0) && !text.as_bytes().contains(&0xF4) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => out.push(NUL),
            c => push_escaped(&mut out, c),
        }
    }
    Cow::Owned(out)
}

/// Stored text as a program reads it: what was swapped is itself again, as far as text can hold it.
#[must_use]
pub fn readable(text: &str) -> Cow<'_, str> {
    unswap(text, |out, unit| out.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)))
}

/// As [`readable`], of a text of one's own.
#[must_use]
pub fn made_readable(text: String) -> String {
    match readable(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(other) => other,
    }
}

/// Undo the swap; `put` writes a code unit that Postgres refuses.
fn unswap(text: &str, put: impl Fn(&mut String, u32)) -> Cow<'_, str> {
    // All swapped code points start with this byte; nearly no text has it.
    if !text.as_bytes().contains(&0xF4) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ESCAPE => out.extend(chars.next()),
            c if c == NUL || SURROGATES.contains(&c) => put(&mut out, u32::from(c) - u32::from(NUL)),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn push_escaped(out: &mut String, c: char) {
    if c == NUL || c == ESCAPE || SURROGATES.contains(&c) {
        out.push(ESCAPE);
    }
    out.push(c);
}

/// Depth and digits, in one pass over the bytes.
fn scan(bytes: &[u8]) -> Result<(), Error> {
    let (mut depth, mut i) = (0_usize, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'"' => i = end_of_string(bytes, i + 1),
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(Error::Depth);
                }
                i += 1;
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                i += 1;
            }
            b'-' | b'0'..=b'9' => {
                let end = (i..bytes.len())
                    .find(|&j| !matches!(bytes[j], b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
                    .unwrap_or(bytes.len());
                if digits(&bytes[i..end]) > MAX_DIGITS {
                    return Err(Error::Digits);
                }
                i = end;
            }
            _ => i += 1,
        }
    }
    Ok(())
}

/// Index after the closing quote of the string whose content starts at `i`.
fn end_of_string(bytes: &[u8], mut i: usize) -> usize {
    while i < bytes.len() {
        match bytes[i] {
            b'"' => return i + 1,
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
    i
}

/// Digits of a number token when written without an exponent.
fn digits(token: &[u8]) -> usize {
    let (mantissa, exponent) = match token.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&token[..at], &token[at + 1..]),
        None => (token, &[][..]),
    };
    let written = mantissa.iter().filter(|b| b.is_ascii_digit()).count();
    let exponent = std::str::from_utf8(exponent).ok().and_then(|e| {
        let e = e.trim_start_matches(['+', '-']).trim_start_matches('0');
        if e.is_empty() { Some(0) } else { e.parse::<usize>().ok() }
    });
    written.saturating_add(exponent.unwrap_or(usize::MAX))
}

/// Swap NUL escapes, lone surrogate escapes and the private-use characters that stand for them.
fn swap(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let suspicious = bytes.contains(&0xF4)
        || bytes.windows(3).any(|w| w[0] == b'\\' && w[1] == b'u' && matches!(w[2], b'0' | b'd' | b'D'));
    if !suspicious {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '\\' || c >= NUL) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken =
            if rest.starts_with('\\') { swap_escape(rest, &mut out) } else { swap_char(rest, &mut out) };
        rest = &rest[taken..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn swap_char(rest: &str, out: &mut String) -> usize {
    let c = rest.chars().next().expect("the caller found a character here");
    push_escaped(out, c);
    c.len_utf8()
}

/// Handle the escape that `rest` starts with; returns the bytes taken.
fn swap_escape(rest: &str, out: &mut String) -> usize {
    let Some(unit) = unit(rest) else {
        // `\n`, `\"`, a broken escape: copied; the parser judges it.
        let taken = rest.char_indices().nth(2).map_or(rest.len(), |(at, _)| at);
        out.push_str(&rest[..taken]);
        return taken;
    };
    match unit {
        0 => out.push(NUL),
        0xD800..=0xDBFF => {
            if let Some(low @ 0xDC00..=0xDFFF) = rest.get(6..).and_then(self::unit) {
                let c = 0x10000 + ((u32::from(unit) - 0xD800) << 10) + (u32::from(low) - 0xDC00);
                push_escaped(out, char::from_u32(c).expect("a surrogate pair is a character"));
                return 12;
            }
            out.push(lone(unit));
        }
        0xDC00..=0xDFFF => out.push(lone(unit)),
        _ => out.push_str(&rest[..6]),
    }
    6
}

fn lone(unit: u16) -> char {
    char::from_u32(0x0010_0000 + u32::from(unit)).expect("U+10D800…U+10DFFF are characters")
}

/// The code unit when `text` starts with `\uXXXX`.
fn unit(text: &str) -> Option<u16> {
    let hex = text.strip_prefix("\\u")?.get(..4)?;
    if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u16::from_str_radix(hex, 16).ok()
}

/// JSON text that passes through without being parsed: what a client sent, as it sent it (in storable form).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Take text that is known to be JSON, in storable form.
    ///
    /// # Errors
    ///
    /// The parser's complaint when it isn't JSON after all.
    pub fn from_text(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// Serialise `value`. Strings inside must already be storable.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::value::to_raw_value(value).expect("maps with string keys always serialise"))
    }

    /// `null`
    #[must_use]
    pub fn null() -> Self {
        Self::of(&())
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.text() == "null"
    }

    /// Parsed, for decisions; numbers beyond 64 bits lose precision here, never in storage.
    #[must_use]
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(self.text()).unwrap_or_default()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl postgres_types::ToSql for Json {
    fn to_sql(
        &self,
        ty: &postgres_types::Type,
        out: &mut postgres_types::private::BytesMut,
    ) -> Result<postgres_types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.text().to_sql(ty, out)
    }

    fn accepts(ty: &postgres_types::Type) -> bool {
        matches!(*ty, postgres_types::Type::JSON | postgres_types::Type::TEXT)
    }

    postgres_types::to_sql_checked!();
}

impl<'a> postgres_types::FromSql<'a> for Json {
    fn from_sql(
        _: &postgres_types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::from_text(std::str::from_utf8(raw)?.to_owned())?)
    }

    fn accepts(ty: &postgres_types::Type) -> bool {
        matches!(*ty, postgres_types::Type::JSON)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_postgres_refuses_is_swapped_and_comes_back() {
        let sent = r#"{"nul":"a\u0000b","lone":"\ud800x\uDC00","pair":"\ud83d\ude00","n":1e2,"z":-0,"z":1}"#;
        let stored = storable(sent.as_bytes()).unwrap();
        assert!(!stored.contains("\\u0000") && !stored.to_lowercase().contains("\\ud8"));
        serde_json::from_str::<serde_json::Value>(&stored).unwrap();
        assert_eq!(
            restore(&stored),
            r#"{"nul":"a\u0000b","lone":"\uD800x\uDC00","pair":"😀","n":1e2,"z":-0,"z":1}"#
        );
    }

    #[test]
    fn ordinary_text_is_borrowed_not_copied() {
        assert!(matches!(storable(br#"{"a":"\u00e9 \n"}"#).unwrap(), Cow::Owned(_) | Cow::Borrowed(_)));
        assert!(matches!(storable(br#"{"a":"plain"}"#).unwrap(), Cow::Borrowed(_)));
        assert!(matches!(restore(r#"{"a":"plain"}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn bad_input_is_named() {
        assert_eq!(storable(b"\"\xff\""), Err(Error::Utf8(1)));
        assert_eq!(storable("[".repeat(129).as_bytes()), Err(Error::Depth));
        assert_eq!(storable("1".repeat(65).as_bytes()), Err(Error::Digits));
        assert_eq!(storable(b"1e100000"), Err(Error::Digits));
        assert_eq!(storable(b"1e99999999999999999999999"), Err(Error::Digits));
        assert!(matches!(storable(b"{\"a\":NaN}"), Err(Error::Syntax(_))));
        assert!(matches!(storable(br#""\ud8""#), Err(Error::Syntax(_))));
        assert!(storable("1".repeat(64).as_bytes()).is_ok());
        assert!(storable(format!("{}1{}", "[".repeat(128), "]".repeat(128)).as_bytes()).is_ok());
        assert!(storable(format!("\"{}\"", "[".repeat(1000)).as_bytes()).is_ok());
    }

    /// The UTF-16 code units of the one string that a JSON text holds.
    fn units(json: &str) -> Vec<u16> {
        let inner = &json[1..json.len() - 1];
        let mut out = Vec::new();
        let mut rest = inner;
        while let Some(c) = rest.chars().next() {
            if let Some(u) = unit(rest) {
                out.push(u);
                rest = &rest[6..];
            } else {
                out.extend(c.encode_utf16(&mut [0; 2]).iter());
                rest = &rest[c.len_utf8()..];
            }
        }
        out
    }

    proptest! {
        #[test]
        fn any_code_units_survive_the_round_trip(sent in prop::collection::vec(
            prop_oneof![Just(0_u16), 0xD800_u16..=0xDFFF, 1..=0xFFFF_u16], 0..40)
        ) {
            let escaped: Vec<_> = sent.iter().map(|u| format!("\\u{u:04x}")).collect();
            let text = format!("\"{}\"", escaped.concat());
            let stored = storable(text.as_bytes()).unwrap();
            let parsed: String = serde_json::from_str(&stored).unwrap();
            prop_assert!(!parsed.contains('\0'));
            // Through the parser and back, as an answer would travel.
            let again = serde_json::to_string(&parsed).unwrap();
            let back = restore(&again).into_owned();
            let back = back.replace("\\\"", "\\u0022").replace("\\\\", "\\u005c");
            let back = [("\\b", 8_u16), ("\\f", 12), ("\\n", 10), ("\\r", 13), ("\\t", 9)]
                .iter()
                .fold(back, |b, (e, u)| b.replace(e, &format!("\\u{u:04x}")));
            prop_assert_eq!(units(&back), sent);
        }

        #[test]
        fn private_use_characters_sent_as_such_survive(sent in "[\u{100000}-\u{10FFFD}a-z]{0,12}") {
            let text = serde_json::to_string(&sent).unwrap();
            let stored = storable(text.as_bytes()).unwrap();
            prop_assert_eq!(restore(&stored), text.as_str());
            let wrapped = storable_text(&sent);
            prop_assert_eq!(restore(&wrapped), sent.as_str());
        }
    }
}
