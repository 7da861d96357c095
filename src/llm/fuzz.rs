//! What providers and scripts send, for fuzzing: whatever it is, it is read or refused.

use jiff::Timestamp;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};

use super::demo::script::{Step, parse};
use super::http::{Target, retry_after};
use super::{anthropic, gemini, openai};

/// An answer, read as each of the three formats. Panics when one breaks what every reply promises.
pub fn reply(data: &[u8]) {
    let Ok(answer) = serde_json::from_slice(data) else { return };
    let target = Target {
        provider: "fuzzed",
        base: Url::parse("http://localhost").expect("an address"),
        key: None,
        key_header: AUTHORIZATION,
        key_prefix: "",
        key_variable: "NONE",
    };
    for read in [openai::read, anthropic::read, gemini::read] {
        let Ok(reply) = read(&target, &answer) else { continue };
        let ids: std::collections::HashSet<_> = reply.calls.iter().map(|c| &c.id).collect();
        assert_eq!(ids.len(), reply.calls.len(), "ids of calls are distinct");
        assert!(reply.calls.len() <= 128 && ids.iter().all(|id| id.starts_with("call_")));
    }
}

/// A script of the demo model.
pub fn script(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        drop(parse::<Vec<Step>>(text));
        drop(parse::<std::collections::HashMap<String, Vec<Step>>>(text));
    }
}

/// How long a provider asks to wait.
pub fn wait(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    for name in [RETRY_AFTER, "retry-after-ms".parse().expect("a name")] {
        let headers = HeaderMap::from_iter([(name, value.clone())]);
        if let Some(wait) = retry_after(&headers, Timestamp::UNIX_EPOCH) {
            assert!(wait.as_secs() <= 24 * 3600, "{wait:?} is too long");
        }
    }
}
