//! JSON as people read it: indented and coloured from its text, so that numbers, order and repetitions stay as sent.

use crate::json::{self, Json};
use crate::store::read::run::Beginning;

/// Most characters of JSON that was read whole.
const MOST: usize = 32_000;
/// JSON that is longer than this is folded at first.
const FOLD: usize = 3_000;
/// What stands for a payload that is too large to look into.
const TOO_LARGE: &str = "…";
/// Most coloured pieces; what follows has no colour and stays as sent.
const PIECES: usize = 2_000;
/// Deepest level that is indented further.
const DEEPEST: usize = 24;

/// A piece of text in one colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// `k` key, `s` string, `n` number, `b` literal, `x` punctuation.
    pub class: &'static str,
    /// The text.
    pub text: String,
}

/// JSON on a page.
#[derive(Debug, Clone)]
pub struct Payload {
    /// What is shown.
    pub spans: Vec<Span>,
    /// Size of all of it, in bytes as people read them.
    pub size: String,
    /// Whether it is folded at first.
    pub folded: bool,
    /// Whether only its beginning is shown.
    pub cut: bool,
}

impl Payload {
    /// From stored JSON that was read whole; a page shows its beginning.
    pub fn of(stored: &Json) -> Self {
        let text = json::restore(stored.text());
        let beginning = text.char_indices().nth(MOST).map_or(&*text, |(at, _)| &text[..at]);
        Self::shown(beginning, stored.text().len(), beginning.len() < text.len())
    }

    /// From the beginning of stored JSON that has `bytes` in all.
    pub fn beginning(stored: &Beginning) -> Self {
        let bytes = usize::try_from(stored.bytes).unwrap_or(0);
        let text = if stored.text.is_empty() { TOO_LARGE } else { &stored.text };
        Self::shown(&json::restore(text), bytes, bytes > stored.text.len())
    }

    fn shown(text: &str, bytes: usize, cut: bool) -> Self {
        Self { spans: spans(text, PIECES), size: size(bytes), folded: text.len() > FOLD, cut }
    }
}

/// Bytes as people read them.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn size(bytes: usize) -> String {
    match bytes {
        ..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} kB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MB", bytes as f64 / 1_048_576.0),
    }
}

/// A JSON text, or the beginning of one, indented and otherwise as stored.
pub fn indented(text: &str) -> String {
    spans(&json::restore(text), usize::MAX).into_iter().map(|span| span.text).collect()
}

/// The pieces of a JSON text, or of the beginning of one, indented by two spaces a level. What follows the first `most`
/// pieces has no colour and stays as sent.
fn spans(text: &str, most: usize) -> Vec<Span> {
    let mut out: Vec<Span> = vec![];
    let mut depth = 0_usize;
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if out.len() >= most {
            push(&mut out, "", rest);
            break;
        }
        let (class, taken) = token(first, rest);
        let (piece, after) = (&rest[..taken], rest[taken..].trim_start());
        let empty = matches!((first, after.chars().next()), ('{', Some('}')) | ('[', Some(']')));
        match first {
            '{' | '[' if empty => {
                push(&mut out, "x", &format!("{first}{}", &after[..1]));
                rest = after[1..].trim_start();
                continue;
            }
            '{' | '[' => {
                depth += 1;
                push(&mut out, "x", &format!("{first}{}", line(depth)));
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                push(&mut out, "x", &format!("{}{first}", line(depth)));
            }
            ',' => push(&mut out, "x", &format!(",{}", line(depth))),
            ':' => push(&mut out, "x", ": "),
            '"' if after.starts_with(':') => push(&mut out, "k", piece),
            _ => push(&mut out, class, piece),
        }
        rest = after;
    }
    out
}

fn line(depth: usize) -> String {
    format!("\n{}", "  ".repeat(depth.min(DEEPEST)))
}

fn push(out: &mut Vec<Span>, class: &'static str, text: &str) {
    match out.last_mut() {
        Some(last) if last.class == class => last.text.push_str(text),
        _ => out.push(Span { class, text: text.to_owned() }),
    }
}

/// Class and length of the token that `rest` starts with.
fn token(first: char, rest: &str) -> (&'static str, usize) {
    match first {
        '"' => {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, c)| match (escaped, c) {
                (true, _) => {
                    escaped = false;
                    false
                }
                (false, '\\') => {
                    escaped = true;
                    false
                }
                (false, c) => *c == '"',
            });
            ("s", end.map_or(rest.len(), |(at, _)| at + 1))
        }
        '{' | '}' | '[' | ']' | ',' | ':' => ("x", 1),
        c => {
            let end = rest
                .find(|c: char| c.is_whitespace() || matches!(c, ',' | ':' | '{' | '}' | '[' | ']' | '"'));
            let class = if c == '-' || c.is_ascii_digit() { "n" } else { "b" };
            (class, end.unwrap_or(rest.len()).max(c.len_utf8()))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(json: &str) -> String {
        spans(json, PIECES).into_iter().map(|s| s.text).collect()
    }

    #[test]
    fn json_is_indented_and_otherwise_as_sent() {
        assert_eq!(
            shown(r#"{"z":1e2,"z":-0,"a":[true,null],"e":{},"s":"a\"}b\u0000"}"#),
            "{\n  \"z\": 1e2,\n  \"z\": -0,\n  \"a\": [\n    true,\n    null\n  ],\n  \"e\": {},\n  \"s\": \"a\\\"}b\\u0000\"\n}"
        );
        let classes: Vec<_> = spans(r#"{"k":"v"}"#, PIECES).iter().map(|s| s.class).collect();
        assert_eq!(classes, ["x", "k", "x", "s", "x"]);
    }

    #[test]
    fn what_is_long_is_folded_and_what_is_huge_is_cut() {
        let json = |n, bytes| {
            let text = format!("\"{}\"", "x".repeat(n));
            Payload::beginning(&Beginning { text, bytes })
        };
        assert!(!json(98, 100).folded);
        let (folded, huge) = (json(5_000, 5_002), json(32_000, 100_000));
        assert!(folded.folded && !folded.cut && huge.folded && huge.cut);
        assert_eq!(huge.size, "97.7 kB");
    }

    #[test]
    fn what_would_take_too_much_room_has_no_colour_and_little_indentation() {
        let dense = format!("[{}", "1,".repeat(16_000));
        let drawn = spans(&dense, PIECES);
        assert!(drawn.len() <= PIECES + 1 && drawn.last().is_some_and(|s| s.class.is_empty()));
        let deep: usize = spans(&"[1,".repeat(10_000), PIECES).iter().map(|s| s.text.len()).sum();
        assert!(deep < 300_000, "{deep}");
    }

    proptest! {
        #[test]
        fn any_beginning_of_any_text_is_shown(text in "[\\[\\]{},:\"\\\\a1é -]{0,40}") {
            let squeeze = |s: &str| s.split_whitespace().collect::<String>();
            prop_assert_eq!(squeeze(&shown(&text)), squeeze(&text));
        }
    }
}
