//! `tenure agent stream`, and the watching of `agent run`: one line per step, then how the run ended.

use clap::Args;
use serde_json::Value;

use super::name_execution;
use crate::cli::{
    api::Api,
    events::{Event, Stream},
    failure::{Exit, Failure},
    terminal::{Ink, Terminal},
    text,
};

/// Characters of a step's details that are shown; `--json` shows everything.
const DETAILS: usize = 160;

/// Flags of `agent stream`.
#[derive(Debug, Args)]
pub struct Watch {
    /// The execution
    #[arg(value_name = "ID")]
    id: String,
    /// Go on after this event
    #[arg(long, value_name = "N")]
    last_event_id: Option<u64>,
    /// Print what the model says while it says it, too
    #[arg(long)]
    tokens: bool,
}

pub(super) async fn run(watch: &Watch, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    follow(api, out, &watch.id, watch.last_event_id, watch.tokens).await
}

/// Print each event until the run is over; ends as the run ended.
pub(super) async fn follow(
    api: &Api,
    out: Terminal,
    id: &str,
    last: Option<u64>,
    tokens: bool,
) -> Result<Exit, Failure> {
    let mut stream = Stream::new(api, out, id, last, tokens);
    let mut interrupted = std::pin::pin!(crate::worker::stop_signal());
    loop {
        let event = tokio::select! {
            event = stream.next() => event.map_err(|failure| name_execution(failure, id))?,
            () = &mut interrupted => {
                let last = stream.last.unwrap_or_default();
                return Err(Failure::new(Exit::Interrupted, "stopped watching; the run goes on")
                    .next(format!("tenure agent stream {id} --last-event-id {last}")));
            }
        };
        match event {
            Some(event) => {
                show(out, id, &event);
                if event.is_last() {
                    return ended(api, out, id).await;
                }
            }
            None if is_over(api, id).await => return ended(api, out, id).await,
            None => {}
        }
    }
}

fn show(out: Terminal, id: &str, event: &Event) {
    if out.json {
        return out.document(&event.data, true);
    }
    if event.name == "tokens" {
        let said = text::lines(event.text(&["text"])).into_owned();
        return if event.data["last"] == true { out.say(said) } else { out.part(said) };
    }
    if let Some(line) = line(out, event) {
        out.say(line);
    }
    if event.name == "waiting" {
        out.say(out.paint(
            Ink::Dim,
            &format!("  answer: tenure agent respond {id} --approve | --deny --reason WHY"),
        ));
    }
}

/// What a person reads of an event.
fn line(out: Terminal, event: &Event) -> Option<String> {
    let short = |value: &Value| text::line(&plain(value), DETAILS);
    let said = |keys: &[&str]| text::line(event.text(keys), DETAILS);
    let tool = said(&["toolName", "tool_name"]);
    Some(match event.name.as_str() {
        "thinking" => out.paint(Ink::Dim, &format!("… {}", said(&["message", "content"]))),
        "tool_call" => {
            let arguments =
                ["args", "input"].iter().map(|key| &event.data[*key]).find(|value| !value.is_null());
            format!("→ {tool}({})", arguments.map(short).unwrap_or_default())
        }
        "tool_result" => format!("← {tool}: {}", short(&event.data["result"])),
        "handoff" => format!("⇢ {}", said(&["target", "agentName"])),
        "guardrail_pass" => {
            out.paint(Ink::Dim, &format!("guardrail {} is content", said(&["guardrailName"])))
        }
        "guardrail_fail" => {
            format!("guardrail {} objects: {}", said(&["guardrailName"]), said(&["reason", "content"]))
        }
        "waiting" => {
            let pending = &event.data["pendingTool"];
            let what = pending["tool_name"]
                .as_str()
                .or_else(|| pending["taskRefName"].as_str())
                .unwrap_or("a message");
            out.paint(
                Ink::Busy,
                &format!("? waits for a person: {} {}", text::line(what, 80), short(&pending["parameters"])),
            )
        }
        // How the run ended is said once, from its status.
        "done" | "error" => return None,
        other => out.paint(Ink::Dim, &format!("{} {}", text::line(other, 40), short(&event.data["content"]))),
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

async fn is_over(api: &Api, id: &str) -> bool {
    api.get(&["api", "agent", id, "status"]).await.is_ok_and(|status| status["isComplete"] == true)
}

/// Print how the run ended.
async fn ended(api: &Api, out: Terminal, id: &str) -> Result<Exit, Failure> {
    let status =
        api.get(&["api", "agent", id, "status"]).await.map_err(|failure| name_execution(failure, id))?;
    let name = status["status"].as_str().unwrap_or_default();
    let output = &status["output"];
    let rejected = output["finishReason"] == "rejected";
    if out.json {
        out.document(&status, true);
    } else {
        let why = status["reasonForIncompletion"]
            .as_str()
            .or(output["rejectionReason"].as_str())
            .unwrap_or_default();
        let word = if rejected { "REJECTED" } else { name };
        out.say(format!("{} {}", out.status(word), text::line(why, 500)).trim_end());
        if let Some(result) = super::status::result(output) {
            out.say(result);
        }
    }
    Ok(if rejected { Exit::Failed } else { Exit::of_status(name) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(name: &str, data: Value) -> Option<String> {
        line(Terminal::new(false, true), &Event { id: Some(1), name: name.into(), data })
    }

    #[test]
    fn each_step_is_one_harmless_line() {
        assert_eq!(
            shown("tool_call", json!({"toolName": "look", "args": {"q": "a\nb\u{1b}[2J"}})).unwrap(),
            r#"→ look({"q":"a\nb\u001b[2J"})"#
        );
        assert_eq!(
            shown("tool_result", json!({"toolName": "look", "result": "a\u{1b}[2J\nb"})).unwrap(),
            "← look: a[2J b"
        );
        assert_eq!(shown("thinking", json!({"content": "triage_llm__1"})).unwrap(), "… triage_llm__1");
        assert_eq!(
            shown("waiting", json!({"pendingTool": {"tool_name": "refund", "parameters": {"eur": 5}}}))
                .unwrap(),
            r#"? waits for a person: refund {"eur":5}"#
        );
        assert_eq!(shown("invented_later", json!({"content": "x"})).unwrap(), "invented_later x");
        assert_eq!(shown("done", json!({"output": {}})), None);
    }
}
