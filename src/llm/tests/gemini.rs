use super::*;

fn answer(parts: &Value, finish: &str) -> Value {
    json!({
        "responseId": "r1",
        "candidates": [{ "content": { "role": "model", "parts": parts }, "finishReason": finish }],
        "usageMetadata": { "promptTokenCount": 10, "candidatesTokenCount": 4, "thoughtsTokenCount": 3,
                           "totalTokenCount": 17, "cachedContentTokenCount": 2 }
    })
}

async fn complete(server: &MockServer, request: &Request) -> Result<Reply, Error> {
    let environment = [("GEMINI_API_KEY", "g-key"), ("GEMINI_BASE_URL", &server.uri())];
    models(&environment).complete(request).await
}

#[tokio::test]
async fn a_text_comes_back_with_its_usage() {
    let parts = json!([{ "text": "Hm.", "thought": true }, { "text": "It is up." }]);
    let server = answering(answer(&parts, "STOP")).await;
    let mut request = Request { json_output: true, ..ask("google_gemini/gemini-2.5-flash") };
    request.messages.insert(0, Message::System("Be brief.".into()));
    let reply = complete(&server, &request).await.unwrap();

    assert_eq!((reply.text.as_str(), reply.reasoning.as_deref()), ("It is up.", Some("Hm.")));
    let usage = reply.usage;
    assert_eq!((usage.prompt, usage.completion, usage.total), (10, 7, 17));
    assert_eq!((usage.cached, usage.reasoning), (Some(2), Some(3)));

    let request = &server.received_requests().await.unwrap()[0];
    assert_eq!(request.url.path(), "/v1beta/models/gemini-2.5-flash:generateContent");
    assert_eq!(request.headers["x-goog-api-key"], "g-key");
    assert_eq!(
        request.body_json::<Value>().unwrap(),
        json!({
            "systemInstruction": { "parts": [{ "text": "Be brief." }] },
            "contents": [{ "role": "user", "parts": [{ "text": "Is checkout-api down?" }] }],
            "generationConfig": { "maxOutputTokens": 16384, "responseMimeType": "application/json" }
        })
    );
}

#[tokio::test]
async fn calls_come_back_with_fresh_ids_and_are_replayed_by_name() {
    let parts = json!([
        { "functionCall": { "name": "lookup", "args": { "service": "a" } } },
        { "functionCall": { "name": "lookup", "args": { "service": "b" } } },
    ]);
    let server = answering(answer(&parts, "STOP")).await;
    let mut request = Request { tools: vec![lookup()], json_output: true, ..ask("gemini/gemini-3-pro") };
    let reply = complete(&server, &request).await.unwrap();
    assert_eq!(reply.finish, Finish::ToolCalls);
    assert!(reply.calls.iter().all(|c| c.id.starts_with("call_")));
    assert_ne!(reply.calls[0].id, reply.calls[1].id);

    let results = reply.calls.iter().zip(["down", r#"{"state":"up"}"#]).map(|(call, text)| Message::Tool {
        call_id: call.id.clone(),
        name: call.name.clone(),
        text: text.into(),
    });
    let results: Vec<_> = results.collect();
    request.messages.push(Message::Assistant { text: String::new(), calls: reply.calls });
    request.messages.extend(results);
    complete(&server, &request).await.unwrap();

    let sent = &received(&server).await[1];
    assert_eq!(
        sent["contents"].as_array().unwrap()[1..],
        [
            json!({ "role": "model", "parts": [
                { "functionCall": { "name": "lookup", "args": { "service": "a" } },
                  "thoughtSignature": "skip_thought_signature_validator" },
                { "functionCall": { "name": "lookup", "args": { "service": "b" } } },
            ]}),
            json!({ "role": "user", "parts": [
                { "functionResponse": { "name": "lookup", "response": { "result": "down" } } },
                { "functionResponse": { "name": "lookup", "response": { "state": "up" } } },
            ]}),
        ]
    );
    assert_eq!(sent["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]["type"], "object");
    assert!(sent["generationConfig"].get("responseMimeType").is_none());
}

#[tokio::test]
async fn a_blocked_prompt_is_a_content_filter_and_no_candidate_at_all_is_unreadable() {
    let server = answering(json!({ "promptFeedback": { "blockReason": "SAFETY" } })).await;
    let reply = complete(&server, &ask("gemini/gemini-2.5-pro")).await.unwrap();
    assert_eq!(reply.finish, Finish::ContentFilter);

    let server = answering(json!({})).await;
    let error = complete(&server, &ask("gemini/gemini-2.5-pro")).await.unwrap_err();
    assert_eq!(error.class(), Class::Retry { after: None });
}

#[tokio::test]
async fn effort_becomes_a_level_or_a_budget_and_is_given_up_when_refused() {
    let ok = || ResponseTemplate::new(200).set_body_json(answer(&json!([{ "text": "ok" }]), "STOP"));
    let server = server(vec![ok(), refusal(400, "Thinking is not enabled for this model"), ok()]).await;
    let ask = |model| Request { reasoning_effort: Some("high".into()), ..ask(model) };
    complete(&server, &ask("gemini/gemini-3-pro")).await.unwrap();
    complete(&server, &ask("gemini/gemini-2.0-flash")).await.unwrap();
    let sent: Vec<_> =
        received(&server).await.iter().map(|b| b["generationConfig"]["thinkingConfig"].clone()).collect();
    assert_eq!(sent, [json!({ "thinkingLevel": "high" }), json!({ "thinkingBudget": 24576 }), Value::Null]);
}
