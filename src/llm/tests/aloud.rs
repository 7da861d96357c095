//! Answers that come piece by piece.
use super::*;

fn openai(server: &MockServer) -> Models {
    models(&[("OPENAI_API_KEY", "sk-secret"), ("OPENAI_BASE_URL", &format!("{}/v1", server.uri()))])
}

/// An event stream of these chunks.
fn pieces(chunks: &[Value], end: &str) -> ResponseTemplate {
    let chunks: Vec<_> = chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect();
    let text = format!(": a sign of life\n\n{}{end}", chunks.concat());
    ResponseTemplate::new(200).set_body_raw(text, "text/event-stream; charset=utf-8")
}

fn delta(delta: Value, finish: Value) -> Value {
    json!({ "id": "chatcmpl-1", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}

async fn aloud(models: &Models) -> (Result<Reply, Error>, Vec<String>) {
    let mut told = vec![];
    let reply = models.complete_aloud(&ask("openai/gpt-4o"), &mut |piece| told.push(piece.to_owned())).await;
    (reply, told)
}

#[tokio::test]
async fn an_answer_in_pieces_is_told_and_is_the_same_as_in_one_piece() {
    let server = server(vec![pieces(
        &[
            delta(json!({ "role": "assistant", "content": "" }), Value::Null),
            delta(json!({ "content": "Rolled " }), Value::Null),
            delta(json!({ "content": "back." }), Value::Null),
            delta(json!({ "tool_calls": [{ "index": 0, "id": "call_a", "type": "function", "function": { "name": "lookup", "arguments": "" } }] }), Value::Null),
            delta(json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{\"serv" } }] }), Value::Null),
            delta(json!({ "tool_calls": [{ "index": 1, "id": "call_b", "function": { "name": "lookup", "arguments": "{}" } }] }), Value::Null),
            delta(json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "ice\":\"api\"}" } }] }), Value::Null),
            delta(json!({}), json!("tool_calls")),
            json!({ "id": "chatcmpl-1", "choices": [], "usage": { "prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13 } }),
        ],
        "data: [DONE]\n\n",
    )])
    .await;
    let (reply, told) = aloud(&openai(&server)).await;
    let reply = reply.unwrap();
    assert_eq!(told.concat(), "Rolled back.");
    assert_eq!((reply.text.as_str(), reply.finish), ("Rolled back.", Finish::ToolCalls));
    let calls: Vec<_> = reply.calls.iter().map(|c| (c.id.as_str(), c.arguments.clone())).collect();
    assert_eq!(
        calls,
        [("call_a", Arguments::parse(r#"{"service":"api"}"#)), ("call_b", Arguments::parse("{}"))]
    );
    assert_eq!((reply.usage.prompt, reply.usage.completion, reply.usage.total), (9, 4, 13));
    assert_eq!(reply.response_id.as_deref(), Some("chatcmpl-1"));
    let sent = &received(&server).await[0];
    assert_eq!((&sent["stream"], &sent["stream_options"]["include_usage"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn a_provider_that_gives_no_pieces_is_asked_for_the_whole() {
    let whole = json!({ "choices": [{ "message": { "content": "Up." }, "finish_reason": "stop" }] });
    let whole = ResponseTemplate::new(200).set_body_json(whole);
    let server = server(vec![refusal(400, "this provider does not stream"), whole]).await;
    let (reply, told) = aloud(&openai(&server)).await;
    assert_eq!((reply.unwrap().text, told), ("Up.".into(), vec![]));
    let sent = received(&server).await;
    assert!(sent[1].get("stream").is_none() && sent[1].get("stream_options").is_none(), "{}", sent[1]);
}

#[tokio::test]
async fn pieces_without_an_end_or_with_an_error_are_no_answer() {
    let begun = delta(json!({ "content": "Rolled " }), Value::Null);
    let cut = server(vec![pieces(std::slice::from_ref(&begun), "")]).await;
    let error = aloud(&openai(&cut)).await.0.unwrap_err();
    assert!(
        matches!(&error, Error::Unreachable { cause, .. } if cause == "the answer broke off"),
        "{error:?}"
    );
    assert!(matches!(error.class(), Class::Retry { .. }));

    let failed = json!({ "error": { "code": 503, "message": "overloaded" } });
    let failed = server(vec![pieces(&[begun, failed], "data: [DONE]\n\n")]).await;
    let error = aloud(&openai(&failed)).await.0.unwrap_err();
    assert!(matches!(error, Error::Status { status: 503, .. }), "{error:?}");
}

#[tokio::test]
async fn who_counts_no_tokens_in_pieces_is_asked_for_the_whole_from_then_on() {
    let uncounted = [delta(json!({ "content": "Up." }), json!("stop"))];
    let whole = json!({ "choices": [{ "message": { "content": "Up." }, "finish_reason": "stop" }] });
    let server = server(vec![pieces(&uncounted, ""), ResponseTemplate::new(200).set_body_json(whole)]).await;
    let models = openai(&server);
    assert_eq!(aloud(&models).await.1, ["Up."]);
    assert_eq!(aloud(&models).await.0.unwrap().text, "Up.");
    let asked: Vec<_> = received(&server).await.iter().map(|body| body.get("stream").is_some()).collect();
    assert_eq!(asked, [true, false]);
}

#[tokio::test]
async fn the_demo_says_word_by_word_what_it_answers() {
    let mut told = vec![];
    let models = models(&[]);
    let reply =
        models.complete_aloud(&ask("demo/echo"), &mut |word| told.push(word.to_owned())).await.unwrap();
    assert_eq!((told.concat(), told.len()), (reply.text, 3));
}

#[test]
fn when_to_ask_for_pieces_is_one_of_three_words() {
    assert_eq!(models(&[]).live_tokens(), LiveTokens::Watched);
    assert_eq!(models(&[("TENURE_LIVE_TOKENS", "always")]).live_tokens(), LiveTokens::Always);
    let error = try_models(&[("TENURE_LIVE_TOKENS", "often")]).unwrap_err().to_string();
    assert_eq!(error, "TENURE_LIVE_TOKENS 'often' is none of watched, always, never");
}
