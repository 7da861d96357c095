//! Each parser of ours as a function of bytes, which panics when a promise is broken. Not part of a normal build.
//!
//! Two runners: `cargo test` feeds it what is in `fuzz/corpus`, everything that once broke it (`fuzz/regressions`) and some
//! thousand mutations of both; `cargo fuzz` (with a nightly compiler) searches by coverage. See `fuzz/README.md`.

use crate::agent::Agent;
use crate::agent::termination::Progress;
use crate::engine::{self, Event};
use crate::{json, llm, web};

/// A parser, by the name of its folder in the corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 9] = [
    ("json", json),
    ("agent", agent),
    ("reply", llm::fuzz::reply),
    ("script", llm::fuzz::script),
    ("wait", llm::fuzz::wait),
    ("markdown", web::fuzz::markdown),
    ("query", web::fuzz::query),
    ("address", web::fuzz::address),
    ("report", web::wire::read_report),
];

/// What is stored is JSON that Postgres takes, and comes back with the same strings and numbers.
pub fn json(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        assert_eq!(json::readable(&json::storable_text(text)), text);
        assert_eq!(json::restore(&json::storable_text(text)), text.replace('\0', "\\u0000"));
    }
    let Ok(stored) = json::storable(data) else { return };
    serde_json::from_str::<&serde_json::value::RawValue>(&stored).expect("what is stored is JSON");
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(&stored) {
        assert!(!value.to_string().contains("\\u0000"), "NUL in {stored}");
    }
    let restored = json::restore(&stored);
    let sent = std::str::from_utf8(data).expect("it was stored").trim_start_matches('\u{FEFF}');
    assert_eq!(units(&restored), units(sent), "{sent:?} came back as {restored:?}");
    assert_eq!(json::storable(restored.as_bytes()).as_deref(), Ok(&*stored), "{stored:?} does not stay");
}

/// JSON as code units, every escape and every character in the same form.
fn units(json: &str) -> Vec<u32> {
    let (mut out, mut rest) = (vec![], json);
    while let Some(c) = rest.chars().next() {
        let escaped = rest.strip_prefix("\\u").and_then(|r| u32::from_str_radix(r.get(..4)?, 16).ok());
        if let Some(unit) = escaped {
            // Apart from the same character written as such, which would mean something else in JSON.
            out.push(unit | if unit < 0x80 { 1 << 16 } else { 0 });
            rest = &rest[6..];
        } else if c == '\\' {
            out.extend(rest.chars().take(2).map(u32::from));
            rest = rest.char_indices().nth(2).map_or("", |(at, _)| &rest[at..]);
        } else {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|u| u32::from(*u)));
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// A definition is refused or begins.
pub fn agent(data: &[u8]) {
    let Ok(text) = json::storable(data) else { return };
    let Ok(agent) = Agent::parse(&text) else { return };
    let (state, _) =
        engine::decide(&agent, &engine::begin(&agent), &Event::Started).expect("every agent begins");
    assert_eq!(state.open.len(), 1);
    if let Some(termination) = &agent.termination {
        let _ = termination.is_met(Progress {
            text: "x",
            turn: 1,
            prompt_tokens: u64::MAX,
            completion_tokens: u64::MAX,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;
    use std::time::{Duration, Instant};

    use proptest::test_runner::{RngAlgorithm, TestRng};

    use super::*;

    /// Mutations of each target, unless `TENURE_TEST_CASES` says how many, and the most time for them.
    const MUTATIONS: usize = 4_000;
    const PATIENCE: Duration = Duration::from_secs(2);
    /// What parsers look for.
    const WORDS: [&str; 40] = [
        "\\u0000",
        "\\ud800",
        "\\udc00",
        "\u{100000}",
        "\u{10FFFD}",
        "\u{10D800}",
        "\\",
        "\"",
        "\0",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "true",
        "-0",
        "1e400",
        "18446744073709551615",
        "-1",
        "99999999999999999999",
        "name",
        "status:",
        "took:>",
        "since:",
        "\"\"",
        "-",
        "!",
        "(",
        ")",
        "<",
        ">",
        "`",
        "*",
        "|",
        "&",
        "%00",
        "=",
        "\n",
    ];

    fn files(folder: &str, target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(target);
        let Ok(entries) = folder.read_dir() else { return vec![] };
        let mut paths: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    fn below(rng: &mut TestRng, n: usize) -> usize {
        usize::try_from(proptest::prelude::Rng::next_u32(rng)).unwrap() % n.max(1)
    }

    /// A few random changes: bytes, words, pieces of another input.
    fn mutated(rng: &mut TestRng, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut data = seeds[below(rng, seeds.len())].clone();
        for _ in 0..=below(rng, 5) {
            let at = below(rng, data.len() + 1);
            let until = (at + below(rng, 12)).min(data.len());
            match below(rng, 6) {
                0 => drop(data.drain(at..until)),
                1 => data.splice(at..at, WORDS[below(rng, WORDS.len())].bytes()).for_each(drop),
                2 => data.splice(at..until, WORDS[below(rng, WORDS.len())].bytes()).for_each(drop),
                3 if at < data.len() => data[at] = u8::try_from(below(rng, 256)).unwrap(),
                4 => {
                    let piece = data[at..until].to_vec();
                    for _ in 0..below(rng, 30) {
                        data.splice(at..at, piece.iter().copied()).for_each(drop);
                    }
                }
                _ => {
                    let other = &seeds[below(rng, seeds.len())];
                    let from = below(rng, other.len() + 1);
                    data.splice(at.., other[from..].iter().copied()).for_each(drop);
                }
            }
        }
        data
    }

    fn holds(name: &str, parse: fn(&[u8]), data: &[u8]) {
        let began = Instant::now();
        let broke = catch_unwind(AssertUnwindSafe(|| parse(data))).is_err();
        let shown = String::from_utf8_lossy(data);
        assert!(!broke, "{name} breaks on {} bytes: {shown:?}", data.len());
        assert!(began.elapsed() < Duration::from_secs(5), "{name} takes too long on {shown:?}");
    }

    #[test]
    fn no_parser_breaks_on_what_it_may_be_sent() {
        let wanted = std::env::var("TENURE_TEST_CASES").ok().and_then(|n| n.parse().ok());
        for (name, parse) in TARGETS {
            let (corpus, regressions) = (files("corpus", name), files("regressions", name));
            assert!(!corpus.is_empty(), "fuzz/corpus/{name} has no seeds");
            let seeds = [corpus, regressions].concat();
            for seed in &seeds {
                holds(name, parse, seed);
            }
            let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            let until = Instant::now() + PATIENCE;
            for _ in 0..wanted.unwrap_or(MUTATIONS) {
                holds(name, parse, &mutated(&mut rng, &seeds));
                if wanted.is_none() && Instant::now() > until {
                    break;
                }
            }
        }
    }
}
