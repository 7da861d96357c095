//! `tenure why ID`: what a run waits for, since when, and what to do about it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    api::Api,
    failure::{Exit, Failure},
    terminal::{Ink, Terminal},
    text,
};

/// One reason for which a run is not moving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Its kind, such as `no_worker`.
    pub code: String,
    /// The reason in words.
    pub text: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Reason {
    fn read(json: &Value) -> Self {
        let code = json["code"].as_str().unwrap_or_default();
        let queue = json["queue"].as_str();
        let hint = json["hint"].as_str().map(|hint| text::line(hint, 300));
        Self {
            code: text::line(code, 40),
            text: text::line(json["text"].as_str().unwrap_or(code), 300),
            since: text::timestamp(&json["since"]),
            hint: hint.or_else(|| own_hint(code, queue)),
        }
    }

    /// The reason with how long it has held.
    #[must_use]
    pub fn sentence(&self, now: Timestamp) -> String {
        match self.since {
            Some(since) => format!("{} (for {})", self.text, text::duration(text::since(since, now))),
            None => self.text.clone(),
        }
    }
}

fn own_hint(code: &str, queue: Option<&str>) -> Option<String> {
    let queue = text::line(queue.unwrap_or("NAME"), 80);
    (code == "no_worker")
        .then(|| format!("start a worker, such as: tenure worker --queue {queue} -- COMMAND"))
}

/// The reasons why an execution is not moving; none when it is over. A server that doesn't know the question has none.
///
/// # Errors
///
/// No server, or it refuses.
pub async fn reasons(api: &Api, id: &str) -> Result<Vec<Reason>, Failure> {
    match api.get(&["api", "executions", id, "why"]).await {
        Ok(answer) => Ok(read(&answer)),
        Err(failure) if failure.exit == Exit::NotFound => Ok(vec![]),
        Err(failure) => Err(failure),
    }
}

fn read(answer: &Value) -> Vec<Reason> {
    answer["reasons"].as_array().into_iter().flatten().map(Reason::read).collect()
}

/// `tenure why ID`.
pub(super) async fn run(api: &Api, out: Terminal, id: &str) -> Result<Exit, Failure> {
    let answer = api
        .get(&["api", "executions", id, "why"])
        .await
        .map_err(|failure| super::agent::name_execution(failure, id))?;
    if out.json {
        out.document(&answer, false);
        return Ok(Exit::Ok);
    }
    let status = answer["status"].as_str().unwrap_or_default();
    out.say(format!("{}  {}", text::line(id, 80), out.status(status)));
    let reasons = read(&answer);
    for reason in &reasons {
        out.say(format!("  {}", reason.sentence(Timestamp::now())));
        if let Some(hint) = &reason.hint {
            out.say(format!("    {}", out.paint(Ink::Dim, hint)));
        }
    }
    if reasons.is_empty() {
        let over = matches!(status, "COMPLETED" | "FAILED" | "TERMINATED" | "TIMED_OUT");
        out.say(if over { "  waits for nothing: it is over" } else { "  waits for nothing: it is moving" });
    }
    Ok(Exit::Ok)
}

/// The reasons as `--json` shows them inside of other documents.
pub(super) fn as_json(reasons: &[Reason]) -> Value {
    let one = |reason: &Reason| json!({"code": reason.code, "text": reason.text, "since": reason.since.map(|t| t.to_string()), "hint": reason.hint});
    reasons.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_how_long_it_holds_and_what_to_do() {
        let reason = Reason::read(&json!({
            "code": "no_worker", "text": "no live worker polls queue tool_a", "queue": "tool_a",
            "since": "2026-11-21T06:00:00Z",
        }));
        let now = "2026-11-21T06:00:12.5Z".parse().unwrap();
        assert_eq!(reason.sentence(now), "no live worker polls queue tool_a (for 12.5s)");
        assert!(reason.hint.unwrap().ends_with("tenure worker --queue tool_a -- COMMAND"));
    }
}
