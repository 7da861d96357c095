//! Google's generateContent wire format.
use serde_json::{Map, Value, json};

use super::draft::{Draft, DraftCall};
use super::http::{Fallback, Http, Target};
use super::media::Media;
use super::{Arguments, Error, Finish, Message, Reply, Request, ToolSpec, Usage};

/// Stands in for the signature of an earlier turn's thoughts, which models since Gemini 3 demand with
/// calls and which the conversation does not keep. The API documents it for that purpose.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// What is changed when the provider refuses a request for an optional part of it.
const FALLBACKS: &[Fallback] = &[
    |body, refusal| refusal.to_lowercase().contains("thinking") && forget(body, "thinkingConfig"),
    |body, refusal| {
        let refusal = refusal.to_lowercase();
        (refusal.contains("response mime type") || refusal.contains("response_mime_type"))
            && forget(body, "responseMimeType")
    },
    |body, refusal| refusal.contains("temperature") && forget(body, "temperature"),
];

/// Asks once.
pub(super) async fn complete(
    http: &Http,
    target: &Target<'_>,
    model: &str,
    request: &Request,
) -> Result<Reply, Error> {
    let body = body(model, request)?;
    let operation = format!("{model}:generateContent");
    let versioned = target.base.path().trim_matches('/').starts_with('v');
    let path: &[&str] = if versioned { &["models", &operation] } else { &["v1beta", "models", &operation] };
    let answer = http.post(target, path, &[], body, FALLBACKS).await?;
    read(target, &answer)
}

fn body(model: &str, request: &Request) -> Result<Map<String, Value>, Error> {
    let systems: Vec<Value> = request.messages.iter().filter_map(system).collect();
    let mut body = Map::new();
    if !systems.is_empty() {
        body.insert("systemInstruction".into(), json!({ "parts": systems }));
    }
    if !request.tools.is_empty() {
        let tools: Vec<Value> = request.tools.iter().map(tool).collect();
        body.insert("tools".into(), json!([{ "functionDeclarations": tools }]));
    }
    body.insert("contents".into(), contents(model, &request.messages)?.into());
    body.insert("generationConfig".into(), config(model, request).into());
    Ok(body)
}

fn config(model: &str, request: &Request) -> Map<String, Value> {
    let mut config = Map::new();
    config.insert("maxOutputTokens".into(), request.max_tokens.into());
    if let Some(temperature) = request.temperature {
        config.insert("temperature".into(), temperature.into());
    }
    // The API refuses JSON mode together with tools.
    if request.json_output && request.tools.is_empty() {
        config.insert("responseMimeType".into(), "application/json".into());
    }
    let thinking = match (request.thinking_budget, request.reasoning_effort.as_deref()) {
        (Some(budget), _) => Some(json!({ "thinkingBudget": budget })),
        (None, Some(effort)) if since_gemini_3(model) && effort != "none" => {
            Some(json!({ "thinkingLevel": effort }))
        }
        (None, Some("minimal" | "low")) => Some(json!({ "thinkingBudget": 1_024 })),
        (None, Some("medium")) => Some(json!({ "thinkingBudget": 8_192 })),
        (None, Some("high")) => Some(json!({ "thinkingBudget": 24_576 })),
        _ => None,
    };
    if let Some(thinking) = thinking {
        config.insert("thinkingConfig".into(), thinking);
    }
    config
}

fn since_gemini_3(model: &str) -> bool {
    !["gemini-1", "gemini-2"].iter().any(|older| model.starts_with(older))
}

fn system(message: &Message) -> Option<Value> {
    match message {
        Message::System(text) if !text.trim().is_empty() => Some(json!({ "text": text })),
        _ => None,
    }
}

/// The conversation as turns that alternate; all results of a turn's calls must arrive in one.
fn contents(model: &str, messages: &[Message]) -> Result<Vec<Value>, Error> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let (role, parts) = match message {
            Message::System(_) => continue,
            Message::User { text, media } => {
                let media = media.iter().map(|m| media_part(m)).collect::<Result<Vec<_>, _>>()?;
                ("user", text_part(text).into_iter().chain(media).collect::<Vec<_>>())
            }
            Message::Assistant { text, calls } => {
                let calls = calls.iter().enumerate().map(|(nth, call)| {
                    let mut part =
                        json!({ "functionCall": { "name": call.name, "args": call.arguments.replay() } });
                    if nth == 0 && since_gemini_3(model) {
                        part["thoughtSignature"] = NO_SIGNATURE.into();
                    }
                    part
                });
                ("model", text_part(text).into_iter().chain(calls).collect())
            }
            Message::Tool { name, text, .. } => {
                let response = match serde_json::from_str(text) {
                    Ok(Value::Object(object)) => Value::Object(object),
                    _ => json!({ "result": text }),
                };
                ("user", vec![json!({ "functionResponse": { "name": name, "response": response } })])
            }
        };
        match turns.last_mut() {
            _ if parts.is_empty() => {}
            Some((last, turn)) if *last == role => turn.extend(parts),
            _ => turns.push((role, parts)),
        }
    }
    Ok(turns.into_iter().map(|(role, parts)| json!({ "role": role, "parts": parts })).collect())
}

fn text_part(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({ "text": text }))
}

fn media_part(media: &str) -> Result<Value, Error> {
    Ok(match Media::parse(media)? {
        Media::Url { url, mime } => json!({ "fileData": { "mimeType": mime, "fileUri": url } }),
        Media::Inline { mime, data, .. } => json!({ "inlineData": { "mimeType": mime, "data": data } }),
    })
}

fn tool(tool: &ToolSpec) -> Value {
    json!({ "name": tool.name, "description": tool.description, "parametersJsonSchema": tool.schema() })
}

fn forget(body: &mut Map<String, Value>, field: &str) -> bool {
    let config = body.get_mut("generationConfig").and_then(Value::as_object_mut);
    config.is_some_and(|c| c.remove(field).is_some())
}

pub(super) fn read(target: &Target<'_>, answer: &Value) -> Result<Reply, Error> {
    let candidate = &answer["candidates"][0];
    let blocked = answer["promptFeedback"]["blockReason"].as_str();
    if candidate.is_null() && blocked.is_none() {
        return Err(target.unreadable("no candidates", answer.to_string().as_bytes()));
    }
    let mut draft = Draft {
        finish: match blocked {
            Some(_) => Some(Finish::ContentFilter),
            None => candidate["finishReason"].as_str().and_then(finish),
        },
        usage: usage(&answer["usageMetadata"]),
        response_id: answer["responseId"].as_str().map(str::to_owned),
        ..Draft::default()
    };
    for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
        if let Some(call) = part.get("functionCall") {
            draft.calls.push(DraftCall {
                id: call["id"].as_str().map(str::to_owned),
                name: call["name"].as_str().unwrap_or_default().to_owned(),
                arguments: Arguments::from_value(call["args"].clone()),
            });
        } else if part["thought"] == true {
            draft.reasoning.get_or_insert_default().push_str(part["text"].as_str().unwrap_or_default());
        } else {
            draft.text.push_str(part["text"].as_str().unwrap_or_default());
        }
    }
    if draft.text.is_empty() && draft.finish == Some(Finish::Error) {
        candidate["finishMessage"].as_str().unwrap_or_default().clone_into(&mut draft.text);
    }
    Ok(draft.seal())
}

fn finish(reason: &str) -> Option<Finish> {
    Some(match reason {
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY" => {
            Finish::ContentFilter
        }
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "OTHER" => Finish::Error,
        _ => return None,
    })
}

/// The API counts thoughts beside the answer; we count them within the completion.
fn usage(usage: &Value) -> Usage {
    let count = |field: &str| usage[field].as_u64();
    let sum = |one: Option<u64>, other: Option<u64>| one.unwrap_or(0).saturating_add(other.unwrap_or(0));
    let prompt = sum(count("promptTokenCount"), count("toolUsePromptTokenCount"));
    let reasoning = count("thoughtsTokenCount");
    let completion = sum(count("candidatesTokenCount"), reasoning);
    Usage {
        prompt,
        completion,
        total: count("totalTokenCount").unwrap_or(prompt.saturating_add(completion)),
        cached: count("cachedContentTokenCount"),
        reasoning,
    }
}
