//! Conditions that end an agent's loop, evaluated in the server. Pure.

use serde::Deserialize;

/// A condition on the last turn, possibly put together from others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Termination {
    /// The answer contains `text`.
    TextMention {
        /// What to look for.
        text: String,
        /// Whether case counts.
        #[serde(default)]
        case_sensitive: bool,
    },
    /// The answer is exactly this, white space around it aside.
    StopMessage {
        /// The whole answer.
        stop_message: String,
    },
    /// The loop has made this many turns.
    MaxMessage {
        /// How many.
        max_messages: u32,
    },
    /// The execution has used this many tokens.
    TokenUsage {
        /// Prompt and answer together.
        max_total_tokens: Option<u64>,
        /// Prompt only.
        max_prompt_tokens: Option<u64>,
        /// Answer only.
        max_completion_tokens: Option<u64>,
    },
    /// All of them.
    And {
        /// At least one.
        conditions: Vec<Termination>,
    },
    /// Any of them.
    Or {
        /// At least one.
        conditions: Vec<Termination>,
    },
}

/// What a condition looks at.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The model's last text.
    pub text: &'a str,
    /// Turns made.
    pub turn: u32,
    /// Prompt tokens of the execution so far.
    pub prompt_tokens: u64,
    /// Answer tokens of the execution so far.
    pub completion_tokens: u64,
}

impl Termination {
    /// Whether the loop should end.
    #[must_use]
    pub fn is_met(&self, at: Progress<'_>) -> bool {
        let over = |limit: &Option<u64>, used: u64| limit.is_some_and(|l| used >= l);
        match self {
            Self::TextMention { text, case_sensitive: true } => at.text.contains(text.as_str()),
            Self::TextMention { text, case_sensitive: false } => {
                at.text.to_lowercase().contains(&text.to_lowercase())
            }
            Self::StopMessage { stop_message } => at.text.trim() == stop_message.trim(),
            Self::MaxMessage { max_messages } => at.turn >= *max_messages,
            Self::TokenUsage { max_total_tokens, max_prompt_tokens, max_completion_tokens } => {
                over(max_total_tokens, at.prompt_tokens.saturating_add(at.completion_tokens))
                    || over(max_prompt_tokens, at.prompt_tokens)
                    || over(max_completion_tokens, at.completion_tokens)
            }
            Self::And { conditions } => conditions.iter().all(|c| c.is_met(at)),
            Self::Or { conditions } => conditions.iter().any(|c| c.is_met(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_combine() {
        let at = Progress { text: "All DONE.", turn: 3, prompt_tokens: 90, completion_tokens: 10 };
        let met = |json: &str| serde_json::from_str::<Termination>(json).unwrap().is_met(at);
        assert!(met(r#"{"type":"text_mention","text":"done"}"#));
        assert!(!met(r#"{"type":"text_mention","text":"done","caseSensitive":true}"#));
        assert!(met(r#"{"type":"stop_message","stopMessage":" All DONE. "}"#));
        assert!(met(r#"{"type":"max_message","maxMessages":3}"#));
        assert!(met(r#"{"type":"token_usage","maxTotalTokens":100}"#));
        assert!(!met(r#"{"type":"token_usage","maxPromptTokens":100}"#));
        assert!(!met(
            r#"{"type":"and","conditions":[{"type":"max_message","maxMessages":3},{"type":"max_message","maxMessages":4}]}"#
        ));
        assert!(met(
            r#"{"type":"or","conditions":[{"type":"max_message","maxMessages":3},{"type":"max_message","maxMessages":4}]}"#
        ));
    }
}
