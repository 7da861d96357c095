//! What changed from one version of a definition to another, line by line. Pure.

use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use crate::json::Json;
use crate::web::ui::payload;

/// Lines around a change that are shown with it.
const CONTEXT: usize = 3;
/// Most lines that a page shows.
const LINES: usize = 600;
/// Most characters of a line.
const WIDTH: usize = 1000;
/// Most bytes of a definition that are compared.
const MOST: usize = 1_000_000;
/// How long the search for the shortest difference may take; a longer one is as true.
const PATIENCE: Duration = Duration::from_millis(200);

/// What changed.
#[derive(Debug, Default)]
pub struct Diff {
    /// Shown lines, with what did not change nearby.
    pub lines: Vec<Line>,
    /// Lines that came.
    pub added: i64,
    /// Lines that went.
    pub removed: i64,
    /// Whether there is more than a page shows.
    pub cut: bool,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// `add`, `del`, `gap` for lines that are left out, or empty for what stayed.
    pub ink: &'static str,
    /// `+`, `-` or a space.
    pub sign: &'static str,
    /// Its text.
    pub text: String,
}

impl Diff {
    /// From one stored definition to another.
    pub fn between(from: &Json, to: &Json) -> Self {
        let (from, from_cut) = lines(from);
        let (to, to_cut) = lines(to);
        let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(&from, &to);
        let mut out = Self { cut: from_cut || to_cut, ..Self::default() };
        for (n, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
            if n > 0 {
                out.push("gap", " ", "…");
            }
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let text = change.value().trim_end_matches(['\n', '\r']);
                match change.tag() {
                    ChangeTag::Equal => out.push("", " ", text),
                    ChangeTag::Insert => {
                        out.added += 1;
                        out.push("add", "+", text);
                    }
                    ChangeTag::Delete => {
                        out.removed += 1;
                        out.push("del", "-", text);
                    }
                }
            }
        }
        out
    }

    fn push(&mut self, ink: &'static str, sign: &'static str, text: &str) {
        if self.lines.len() == LINES {
            self.cut = true;
            return;
        }
        let text = match text.char_indices().nth(WIDTH) {
            Some((at, _)) => {
                self.cut = true;
                format!("{}…", &text[..at])
            }
            None => text.to_owned(),
        };
        self.lines.push(Line { ink, sign, text });
    }
}

/// A definition as lines, and whether it was cut. Long texts, such as instructions, are broken where they have lines of
/// their own.
fn lines(definition: &Json) -> (String, bool) {
    let text = definition.text();
    let end = text.floor_char_boundary(MOST);
    let pretty = payload::indented(&text[..end]).replace("\\n", "\\n\n");
    (pretty + "\n", end < text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::from_text(text.to_owned()).unwrap()
    }

    #[test]
    fn what_changed_is_shown_with_what_is_near() {
        let from = json(r#"{"name":"a","model":"demo/x","instructions":"One.\nTwo.\nThree."}"#);
        let to = json(r#"{"name":"a","model":"demo/y","instructions":"One.\nTwo!\nThree."}"#);
        let diff = Diff::between(&from, &to);
        let shown: Vec<_> = diff.lines.iter().map(|l| format!("{}{}", l.sign, l.text)).collect();
        assert_eq!((diff.added, diff.removed, diff.cut), (2, 2, false));
        assert_eq!(
            shown,
            [
                " {",
                "   \"name\": \"a\",",
                "-  \"model\": \"demo/x\",",
                "+  \"model\": \"demo/y\",",
                "   \"instructions\": \"One.\\n",
                "-Two.\\n",
                "+Two!\\n",
                " Three.\"",
                " }"
            ]
        );
    }

    #[test]
    fn the_same_is_no_change_and_much_is_cut() {
        let many = |word: &str| Json::of(&(0..2000).map(|n| format!("{word}{n}")).collect::<Vec<_>>());
        assert!(Diff::between(&many("a"), &many("a")).lines.is_empty());
        let diff = Diff::between(&many("a"), &many("b"));
        assert!(diff.cut && diff.lines.len() == LINES && diff.added == 2000);
        let wide = Diff::between(&Json::of(&"x".repeat(5000)), &Json::of(&"y".repeat(5000)));
        assert!(wide.cut && wide.lines.iter().all(|l| l.text.chars().count() <= WIDTH + 1));
    }
}
