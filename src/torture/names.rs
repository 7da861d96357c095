//! Which file a statement comes from.

use std::collections::HashMap;
use std::sync::Arc;

use crate::store;

/// Statements by their text.
pub(super) struct Names(HashMap<String, Arc<str>>);

impl Names {
    /// Those of this binary.
    pub fn known() -> Self {
        Self(store::statements().map(|(name, text)| (text, name.into())).collect())
    }

    /// `queue/take`; for a statement that has no file its first words.
    pub fn of(&self, text: &str) -> Arc<str> {
        if let Some(name) = self.0.get(text) {
            return name.clone();
        }
        let lines = text.lines().map(|line| line.trim().trim_start_matches("-- "));
        let words = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let words: String = words.chars().take(48).collect();
        if words.is_empty() { "nothing".into() } else { words.trim_end().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_named_by_its_file_or_by_its_first_words() {
        let names = Names::known();
        let (name, text) = store::statements().find(|(name, _)| name == "queue/take").unwrap();
        assert_eq!(*names.of(&text), name);
        assert_eq!(&*names.of("begin"), "begin");
    }
}
