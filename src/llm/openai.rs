//! The chat completions wire format: `OpenAI`, and everybody who speaks its language.
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::aloud::Aloud;
use super::draft::{Draft, DraftCall};
use super::http::{Fallback, Http, Target};
use super::media::Media;
use super::{Arguments, Call, Error, Finish, Message, Reply, Request, Say, ToolSpec, Usage};

/// Where a provider differs from `OpenAI`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// The field that limits the answer's length.
    pub limit: &'static str,
    /// Call ids must be nine letters or digits.
    pub short_ids: bool,
}

/// `OpenAI`'s newer field counts reasoning tokens too; its reasoning models take no other.
pub(super) const OPENAI: Dialect = Dialect { limit: "max_completion_tokens", short_ids: false };
/// The older field, which compatible providers agree on.
pub(super) const COMPATIBLE: Dialect = Dialect { limit: "max_tokens", short_ids: false };
/// Mistral refuses every call id that is not its own kind.
pub(super) const MISTRAL: Dialect = Dialect { limit: "max_tokens", short_ids: true };

/// Models that think before they answer take no temperature.
const WITHOUT_TEMPERATURE: [&str; 4] = ["o1", "o3", "o4", "gpt-5"];

/// What is changed when a provider refuses a request for an optional part of it.
const FALLBACKS: &[Fallback] = &[
    |body, refusal| {
        let is_refused = refusal.contains("stream") && body.remove("stream").is_some();
        is_refused && body.remove("stream_options").is_some()
    },
    |body, refusal| refusal.contains("temperature") && body.remove("temperature").is_some(),
    |body, refusal| refusal.contains("reasoning_effort") && body.remove("reasoning_effort").is_some(),
    |body, refusal| {
        (refusal.contains("response_format") || refusal.contains("json_object"))
            && body.remove("response_format").is_some()
    },
    swap_limit,
    drop_limit,
];

/// Asks once.
pub(super) async fn complete(
    http: &Http,
    target: &Target<'_>,
    dialect: Dialect,
    model: &str,
    request: &Request,
    say: Option<Say<'_>>,
) -> Result<Reply, Error> {
    let mut body = body(dialect, model, request)?;
    let path = ["chat", "completions"];
    let answer = match say {
        None => http.post(target, &path, &[], body, FALLBACKS).await?,
        Some(say) => {
            body.insert("stream".into(), true.into());
            body.insert("stream_options".into(), json!({ "include_usage": true }));
            let mut pieces = Aloud::new(say);
            http.post_aloud(target, &path, &[], body, FALLBACKS, Some(&mut pieces)).await?
        }
    };
    read(target, &answer)
}

fn body(dialect: Dialect, model: &str, request: &Request) -> Result<Map<String, Value>, Error> {
    let messages: Vec<Value> =
        request.messages.iter().map(|m| message(dialect, m)).collect::<Result<_, _>>()?;
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("messages".into(), messages.into());
    if !request.tools.is_empty() {
        body.insert("tools".into(), request.tools.iter().map(tool).collect());
    }
    if let Some(temperature) = request.temperature.filter(|_| takes_temperature(model)) {
        body.insert("temperature".into(), temperature.into());
    }
    body.insert(dialect.limit.into(), request.max_tokens.into());
    if let Some(effort) = &request.reasoning_effort {
        body.insert("reasoning_effort".into(), effort.as_str().into());
    }
    if request.json_output {
        body.insert("response_format".into(), json!({ "type": "json_object" }));
    }
    Ok(body)
}

fn takes_temperature(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    !WITHOUT_TEMPERATURE.iter().any(|prefix| name.starts_with(prefix))
}

fn message(dialect: Dialect, message: &Message) -> Result<Value, Error> {
    Ok(match message {
        Message::System(text) => json!({ "role": "system", "content": text }),
        Message::User { text, media } if media.is_empty() => json!({ "role": "user", "content": text }),
        Message::User { text, media } => {
            let text = (!text.is_empty()).then(|| Ok(json!({ "type": "text", "text": text })));
            let parts = text.into_iter().chain(media.iter().map(|m| part(m)));
            json!({ "role": "user", "content": parts.collect::<Result<Vec<_>, _>>()? })
        }
        Message::Assistant { text, calls } if calls.is_empty() => {
            json!({ "role": "assistant", "content": text })
        }
        Message::Assistant { text, calls } => {
            let content = if text.is_empty() { Value::Null } else { text.as_str().into() };
            let calls: Vec<Value> = calls.iter().map(|c| replayed_call(dialect, c)).collect();
            json!({ "role": "assistant", "content": content, "tool_calls": calls })
        }
        Message::Tool { call_id, text, .. } => {
            json!({ "role": "tool", "tool_call_id": wire_id(dialect, call_id), "content": text })
        }
    })
}

fn part(media: &str) -> Result<Value, Error> {
    let media = Media::parse(media)?;
    Ok(match &media {
        Media::Inline { mime, data, .. } if mime.starts_with("audio/") => {
            let format = if mime.ends_with("wav") { "wav" } else { "mp3" };
            json!({ "type": "input_audio", "input_audio": { "data": data, "format": format } })
        }
        Media::Inline { uri, .. } if !media.is_image() => {
            json!({ "type": "file", "file": { "filename": "attachment.pdf", "file_data": uri } })
        }
        Media::Inline { uri: url, .. } | Media::Url { url, .. } => {
            json!({ "type": "image_url", "image_url": { "url": url } })
        }
    })
}

fn replayed_call(dialect: Dialect, call: &Call) -> Value {
    json!({
        "id": wire_id(dialect, &call.id),
        "type": "function",
        "function": { "name": call.name, "arguments": call.arguments.replay().to_string() },
    })
}

/// A call's id as the provider takes it: where only short ones are allowed, its own if it made one,
/// else nine digits that depend on nothing but our id.
fn wire_id(dialect: Dialect, id: &str) -> String {
    if !dialect.short_ids {
        return id.to_owned();
    }
    let own = id.strip_prefix("call_").unwrap_or(id);
    if own.len() == 9 && own.chars().all(|c| c.is_ascii_alphanumeric()) {
        return own.to_owned();
    }
    Sha256::digest(id.as_bytes()).iter().take(9).map(|byte| char::from(b'a' + byte % 26)).collect()
}

fn tool(tool: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "function": { "name": tool.name, "description": tool.description, "parameters": tool.schema() },
    })
}

const LIMITS: [&str; 2] = ["max_completion_tokens", "max_tokens"];

/// The model takes the limit under its other name.
fn swap_limit(body: &mut Map<String, Value>, refusal: &str) -> bool {
    let unsupported = ["nsupported", "not supported", "nrecognized", "nknown", "not permitted", "instead"];
    if !LIMITS.iter().any(|l| refusal.contains(l)) || !unsupported.iter().any(|u| refusal.contains(u)) {
        return false;
    }
    let [newer, older] = LIMITS;
    let (from, to) = if body.contains_key(newer) { (newer, older) } else { (older, newer) };
    body.remove(from).is_some_and(|limit| body.insert(to.into(), limit).is_none())
}

/// The limit is more than the model can write: let it have its own.
fn drop_limit(body: &mut Map<String, Value>, refusal: &str) -> bool {
    LIMITS.iter().any(|l| refusal.contains(l)) && LIMITS.iter().any(|l| body.remove(*l).is_some())
}

pub(super) fn read(target: &Target<'_>, answer: &Value) -> Result<Reply, Error> {
    let choice = &answer["choices"][0];
    let message = &choice["message"];
    if !message.is_object() {
        return Err(without_choice(target, answer));
    }
    let (mut text, thoughts) = texts(&message["content"]);
    let mut finish = choice["finish_reason"].as_str().and_then(finish);
    if let Some(refusal) = message["refusal"].as_str().filter(|r| !r.is_empty()) {
        refusal.clone_into(&mut text);
        finish = Some(Finish::ContentFilter);
    }
    let shown = ["reasoning_content", "reasoning"].iter().find_map(|f| message[*f].as_str());
    let calls =
        message["tool_calls"].as_array().map_or_else(Vec::new, |calls| calls.iter().map(call).collect());
    let draft = Draft {
        text,
        calls,
        finish,
        usage: usage(&answer["usage"]),
        reasoning: shown.map(str::to_owned).or(thoughts),
        response_id: answer["id"].as_str().map(str::to_owned),
    };
    Ok(draft.seal())
}

/// Gateways report their upstream's fault as an `error` in an answer with status 200.
fn without_choice(target: &Target<'_>, answer: &Value) -> Error {
    let body = answer.to_string();
    let error = &answer["error"];
    if error.is_null() {
        return target.unreadable("no choices[0].message", body.as_bytes());
    }
    let code = error["code"].as_u64().and_then(|c| u16::try_from(c).ok());
    target.status(code.filter(|c| (400..600).contains(c)).unwrap_or(502), body.as_bytes(), None)
}

/// Text and thoughts of a content that is a string or a list of parts.
fn texts(content: &Value) -> (String, Option<String>) {
    if let Some(text) = content.as_str() {
        return (text.to_owned(), None);
    }
    let (mut text, mut thoughts) = (String::new(), String::new());
    for part in content.as_array().into_iter().flatten() {
        match part["type"].as_str() {
            Some("thinking") => {
                let chunks = part["thinking"].as_array().into_iter().flatten();
                thoughts.extend(chunks.filter_map(|c| c["text"].as_str()));
            }
            _ => text.push_str(part["text"].as_str().unwrap_or_default()),
        }
    }
    (text, Some(thoughts))
}

fn finish(reason: &str) -> Option<Finish> {
    Some(match reason {
        "stop" => Finish::Stop,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "length" | "max_tokens" | "model_length" => Finish::Length,
        "content_filter" => Finish::ContentFilter,
        "error" => Finish::Error,
        _ => return None,
    })
}

fn call(call: &Value) -> DraftCall {
    DraftCall {
        id: call["id"].as_str().map(str::to_owned),
        name: call["function"]["name"].as_str().unwrap_or_default().to_owned(),
        arguments: Arguments::from_value(call["function"]["arguments"].clone()),
    }
}

fn usage(usage: &Value) -> Usage {
    let prompt = usage["prompt_tokens"].as_u64().unwrap_or(0);
    let completion = usage["completion_tokens"].as_u64().unwrap_or(0);
    Usage {
        prompt,
        completion,
        total: usage["total_tokens"].as_u64().unwrap_or(prompt.saturating_add(completion)),
        cached: usage["prompt_tokens_details"]["cached_tokens"].as_u64(),
        reasoning: usage["completion_tokens_details"]["reasoning_tokens"].as_u64(),
    }
}
