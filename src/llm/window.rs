//! How much conversation a model can read, in tokens.

/// What is assumed of a model that no row names.
pub const DEFAULT: u32 = 128_000;

/// Beginnings of model names and their windows. The longest that fits wins.
const WINDOWS: &[(&str, u32)] = &[
    ("claude", 200_000),
    ("claude-sonnet-4", 1_000_000),
    ("codestral", 256_000),
    ("command-a", 256_000),
    ("command-r", 128_000),
    ("deepseek", 128_000),
    ("gemini", 1_048_576),
    ("gemma-2", 8_192),
    ("gpt-3.5", 16_385),
    ("gpt-4", 8_192),
    ("gpt-4-turbo", 128_000),
    ("gpt-4.1", 1_047_576),
    ("gpt-4o", 128_000),
    ("gpt-5", 400_000),
    ("grok-3", 131_072),
    ("grok-4", 256_000),
    ("llama-3", 128_000),
    ("llama3", 128_000),
    ("mistral-7b", 32_768),
    ("mixtral-8x7b", 32_768),
    ("o1", 200_000),
    ("o1-mini", 128_000),
    ("o3", 200_000),
    ("o4", 200_000),
    ("sonar", 128_000),
    ("sonar-pro", 200_000),
];

/// The window of a model, by its name without the provider. A vendor before a slash, as routers
/// write it (`anthropic/claude-…`), is skipped.
#[must_use]
pub fn tokens(model: &str) -> u32 {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    WINDOWS
        .iter()
        .filter(|(prefix, _)| name.starts_with(prefix))
        .max_by_key(|(prefix, _)| prefix.len())
        .map_or(DEFAULT, |(_, window)| *window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        assert_eq!(tokens("gpt-4"), 8_192);
        assert_eq!(tokens("gpt-4o-mini"), 128_000);
        assert_eq!(tokens("gpt-4.1-nano"), 1_047_576);
        assert_eq!(tokens("o1-preview"), 200_000);
        assert_eq!(tokens("claude-opus-4-5"), 200_000);
        assert_eq!(tokens("claude-sonnet-4-6"), 1_000_000);
        assert_eq!(tokens("gemini-2.5-flash"), 1_048_576);
    }

    #[test]
    fn a_routers_vendor_is_skipped_and_an_unknown_model_gets_the_default() {
        assert_eq!(tokens("Anthropic/Claude-Haiku-4-5"), 200_000);
        assert_eq!(tokens("my-own-model"), DEFAULT);
    }
}
