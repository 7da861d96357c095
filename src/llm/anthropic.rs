//! Anthropic's messages wire format.
use serde_json::{Map, Value, json};

use super::draft::{Draft, DraftCall};
use super::http::{Fallback, Http, Target};
use super::media::Media;
use super::{Arguments, Error, Finish, Message, Reply, Request, ToolSpec, Usage};

const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");
/// The smallest thinking budget that the API takes, in tokens.
const MIN_THINKING: u32 = 1024;

/// What is changed when the provider refuses a request for an optional part of it.
const FALLBACKS: &[Fallback] = &[
    |body, refusal| refusal.contains("temperature") && body.remove("temperature").is_some(),
    |body, refusal| refusal.contains("max_tokens") && lower_limit(body, refusal),
    |body, refusal| {
        // Newer models decide themselves how long they think.
        let fixed = body.get("thinking").is_some_and(|t| t["type"] == "enabled");
        fixed
            && refusal.contains("adaptive")
            && body.insert("thinking".into(), json!({ "type": "adaptive" })).is_some()
    },
    |body, refusal| refusal.contains("thinking") && body.remove("thinking").is_some(),
    |body, refusal| {
        (refusal.contains("effort") || refusal.contains("output_config"))
            && body.remove("output_config").is_some()
    },
];

/// Asks once.
pub(super) async fn complete(
    http: &Http,
    target: &Target<'_>,
    model: &str,
    request: &Request,
) -> Result<Reply, Error> {
    let body = body(model, request)?;
    let versioned = target.base.path().trim_end_matches('/').ends_with("/v1");
    let path: &[&str] = if versioned { &["messages"] } else { &["v1", "messages"] };
    let answer = http.post(target, path, &[VERSION], body, FALLBACKS).await?;
    read(target, &answer)
}

fn body(model: &str, request: &Request) -> Result<Map<String, Value>, Error> {
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("max_tokens".into(), request.max_tokens.into());
    let systems: Vec<&str> = request.messages.iter().filter_map(system).collect();
    if !systems.is_empty() {
        body.insert("system".into(), systems.join("\n\n").into());
    }
    body.insert("messages".into(), messages(&request.messages)?.into());
    if !request.tools.is_empty() {
        body.insert("tools".into(), request.tools.iter().map(tool).collect());
    }
    if let Some(budget) = thinking(request) {
        body.insert("thinking".into(), json!({ "type": "enabled", "budget_tokens": budget }));
    } else if let Some(temperature) = request.temperature {
        body.insert("temperature".into(), temperature.into());
    }
    match request.reasoning_effort.as_deref() {
        None | Some("none") => {}
        Some("minimal") => drop(body.insert("output_config".into(), json!({ "effort": "low" }))),
        Some(effort) => drop(body.insert("output_config".into(), json!({ "effort": effort }))),
    }
    Ok(body)
}

/// The thinking budget, if this turn may think. A turn that answers tool results may not: it would
/// have to repeat the signed thoughts before the calls, which the conversation does not keep.
fn thinking(request: &Request) -> Option<u32> {
    let budget = request.thinking_budget.filter(|b| *b > 0)?.max(MIN_THINKING);
    let after_tools = matches!(request.messages.last(), Some(Message::Tool { .. }));
    (!after_tools && budget < request.max_tokens).then_some(budget)
}

fn system(message: &Message) -> Option<&str> {
    match message {
        Message::System(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
}

/// The conversation as turns that alternate: what follows in the same role joins the turn before,
/// so that all results of a turn's calls arrive together.
fn messages(messages: &[Message]) -> Result<Vec<Value>, Error> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let (role, blocks) = match message {
            Message::System(_) => continue,
            Message::User { text, media } => {
                let media = media.iter().map(|m| block(m)).collect::<Result<Vec<_>, _>>()?;
                ("user", media.into_iter().chain(text_block(text)).collect::<Vec<_>>())
            }
            Message::Assistant { text, calls } => {
                let calls = calls.iter().map(|call| {
                    json!({
                        "type": "tool_use",
                        "id": wire_id(&call.id),
                        "name": call.name,
                        "input": call.arguments.replay(),
                    })
                });
                ("assistant", text_block(text).into_iter().chain(calls).collect())
            }
            Message::Tool { call_id, text, .. } => {
                let id = wire_id(call_id);
                ("user", vec![json!({ "type": "tool_result", "tool_use_id": id, "content": text })])
            }
        };
        match turns.last_mut() {
            _ if blocks.is_empty() => {}
            Some((last, turn)) if *last == role => turn.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    Ok(turns.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect())
}

fn text_block(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({ "type": "text", "text": text }))
}

fn block(media: &str) -> Result<Value, Error> {
    let media = Media::parse(media)?;
    let kind = if media.is_image() { "image" } else { "document" };
    let source = match media {
        Media::Url { url, .. } => json!({ "type": "url", "url": url }),
        Media::Inline { mime, data, .. } => json!({ "type": "base64", "media_type": mime, "data": data }),
    };
    Ok(json!({ "type": kind, "source": source }))
}

/// The API takes letters, digits, `_` and `-` in ids only.
fn wire_id(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

fn tool(tool: &ToolSpec) -> Value {
    json!({ "name": tool.name, "description": tool.description, "input_schema": tool.schema() })
}

/// The limit is more than the model can write. The API demands one, and its refusal names the largest.
fn lower_limit(body: &mut Map<String, Value>, refusal: &str) -> bool {
    let sent = body.get("max_tokens").and_then(Value::as_u64).unwrap_or(0);
    let numbers = refusal.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u64>().ok());
    let Some(largest) = numbers.filter(|n| (256..sent).contains(n)).max() else { return false };
    body.insert("max_tokens".into(), largest.into());
    if body.get("thinking").and_then(|t| t["budget_tokens"].as_u64()).is_some_and(|b| b >= largest) {
        body.remove("thinking");
    }
    true
}

pub(super) fn read(target: &Target<'_>, answer: &Value) -> Result<Reply, Error> {
    let Some(blocks) = answer["content"].as_array() else {
        return Err(target.unreadable("no content", answer.to_string().as_bytes()));
    };
    let mut draft = Draft {
        finish: answer["stop_reason"].as_str().and_then(finish),
        usage: usage(&answer["usage"]),
        response_id: answer["id"].as_str().map(str::to_owned),
        ..Draft::default()
    };
    for block in blocks {
        match block["type"].as_str() {
            Some("text") => draft.text.push_str(block["text"].as_str().unwrap_or_default()),
            Some("thinking") => {
                let thoughts = draft.reasoning.get_or_insert_default();
                thoughts.push_str(block["thinking"].as_str().unwrap_or_default());
            }
            Some("tool_use") => draft.calls.push(DraftCall {
                id: block["id"].as_str().map(str::to_owned),
                name: block["name"].as_str().unwrap_or_default().to_owned(),
                arguments: Arguments::from_value(block["input"].clone()),
            }),
            _ => {}
        }
    }
    Ok(draft.seal())
}

fn finish(reason: &str) -> Option<Finish> {
    Some(match reason {
        "end_turn" | "stop_sequence" | "pause_turn" => Finish::Stop,
        "tool_use" => Finish::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "refusal" => Finish::ContentFilter,
        _ => return None,
    })
}

/// The API counts cached tokens beside the others; we count them within the prompt, as everybody else.
fn usage(usage: &Value) -> Usage {
    let count = |field: &str| usage[field].as_u64();
    let cached = count("cache_read_input_tokens");
    let written = count("cache_creation_input_tokens");
    let parts = [count("input_tokens"), cached, written];
    let prompt = parts.into_iter().flatten().fold(0, u64::saturating_add);
    let completion = count("output_tokens").unwrap_or(0);
    let reasoning = usage["output_tokens_details"]["thinking_tokens"].as_u64();
    Usage { prompt, completion, total: prompt.saturating_add(completion), cached, reasoning }
}
