use super::*;

fn answer(content: &Value, stop: &str) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "content": content, "stop_reason": stop,
        "usage": { "input_tokens": 10, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 5,
                   "output_tokens": 7 }
    })
}

fn text(text: &str) -> Value {
    answer(&json!([{ "type": "text", "text": text }]), "end_turn")
}

async fn complete(server: &MockServer, request: &Request) -> Result<Reply, Error> {
    let environment = [("ANTHROPIC_API_KEY", "sk-ant"), ("ANTHROPIC_BASE_URL", &server.uri())];
    models(&environment).complete(request).await
}

#[tokio::test]
async fn a_text_comes_back_with_its_usage() {
    let server = answering(text("It is up.")).await;
    let mut request = Request { temperature: Some(0.0), ..ask("anthropic/claude-sonnet-4-5") };
    request.messages.insert(0, Message::System("Be brief.".into()));
    request.messages.push(Message::System("Be kind.".into()));
    let reply = complete(&server, &request).await.unwrap();

    assert_eq!((reply.text.as_str(), reply.finish), ("It is up.", Finish::Stop));
    assert_eq!(reply.response_id.as_deref(), Some("msg_1"));
    let usage = reply.usage;
    assert_eq!((usage.prompt, usage.completion, usage.total, usage.cached), (35, 7, 42, Some(20)));

    let request = &server.received_requests().await.unwrap()[0];
    assert_eq!(request.url.path(), "/v1/messages");
    assert_eq!(request.headers["x-api-key"], "sk-ant");
    assert_eq!(request.headers["anthropic-version"], "2023-06-01");
    assert_eq!(
        request.body_json::<Value>().unwrap(),
        json!({
            "model": "claude-sonnet-4-5", "max_tokens": 16384, "temperature": 0.0,
            "system": "Be brief.\n\nBe kind.",
            "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Is checkout-api down?" }] }]
        })
    );
}

#[tokio::test]
async fn parallel_calls_come_back_beside_text_and_thoughts() {
    let content = json!([
        { "type": "thinking", "thinking": "Two services.", "signature": "s" },
        { "type": "text", "text": "Let me look." },
        { "type": "tool_use", "id": "toolu_1", "name": "lookup", "input": { "service": "a" } },
        { "type": "tool_use", "id": "toolu_2", "name": "lookup", "input": ["b"] },
        { "type": "something_new" },
    ]);
    let server = answering(answer(&content, "tool_use")).await;
    let request = Request { tools: vec![lookup()], ..ask("anthropic/claude-opus-4-5") };
    let reply = complete(&server, &request).await.unwrap();

    assert_eq!((reply.text.as_str(), reply.finish), ("Let me look.", Finish::ToolCalls));
    assert_eq!(reply.reasoning.as_deref(), Some("Two services."));
    assert_eq!((reply.calls[0].id.as_str(), reply.calls[1].id.as_str()), ("call_toolu_1", "call_toolu_2"));
    assert_eq!(reply.calls[0].arguments, Arguments::parse(r#"{"service":"a"}"#));
    assert_eq!(reply.calls[1].arguments, Arguments::Malformed(r#"["b"]"#.into()));
    assert_eq!(
        received(&server).await[0]["tools"],
        json!([{ "name": "lookup", "description": "Looks a service up.",
                 "input_schema": { "type": "object", "properties": { "service": { "type": "string" } } } }])
    );
}

#[tokio::test]
async fn all_results_of_a_turn_arrive_in_one_message() {
    let server = answering(text("ok")).await;
    let call = |id: &str, arguments| Call {
        id: id.into(),
        name: "lookup".into(),
        arguments: Arguments::parse(arguments),
    };
    let result = |id: &str| Message::Tool { call_id: id.into(), name: "lookup".into(), text: "up".into() };
    let mut request = ask("anthropic/claude-opus-4-5");
    let calls = vec![call("call_toolu_1", "{}"), call("call_x.2", "{oops")];
    request.messages.extend([
        Message::Assistant { text: "Let me look.".into(), calls },
        result("call_toolu_1"),
        result("call_x.2"),
        user("Faster!"),
    ]);
    complete(&server, &request).await.unwrap();

    assert_eq!(
        received(&server).await[0]["messages"].as_array().unwrap()[1..],
        [
            json!({ "role": "assistant", "content": [
                { "type": "text", "text": "Let me look." },
                { "type": "tool_use", "id": "call_toolu_1", "name": "lookup", "input": {} },
                { "type": "tool_use", "id": "call_x_2", "name": "lookup",
                  "input": { "malformed_arguments": "{oops" } },
            ]}),
            json!({ "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "call_toolu_1", "content": "up" },
                { "type": "tool_result", "tool_use_id": "call_x_2", "content": "up" },
                { "type": "text", "text": "Faster!" },
            ]}),
        ]
    );
}

#[tokio::test]
async fn thinking_takes_no_temperature_and_pauses_while_tools_are_answered() {
    let server = answering(text("ok")).await;
    let mut request =
        Request { thinking_budget: Some(100), temperature: Some(0.0), ..ask("anthropic/claude-opus-4-1") };
    complete(&server, &request).await.unwrap();
    request.messages.extend(looked_up("call_1", "{}", "up"));
    complete(&server, &request).await.unwrap();

    let sent = received(&server).await;
    assert_eq!(sent[0]["thinking"], json!({ "type": "enabled", "budget_tokens": 1024 }));
    assert!(sent[0].get("temperature").is_none());
    assert!(sent[1].get("thinking").is_none());
}

#[tokio::test]
async fn a_refused_limit_is_lowered_to_the_largest_that_the_model_takes() {
    let words = "max_tokens: 16384 > 4096, which is the maximum allowed number of output tokens";
    let server =
        server(vec![refusal(400, words), ResponseTemplate::new(200).set_body_json(text("ok"))]).await;
    assert_eq!(complete(&server, &ask("anthropic/claude-3-opus")).await.unwrap().text, "ok");
    assert_eq!(received(&server).await[1]["max_tokens"], 4096);
}

#[tokio::test]
async fn a_model_that_decides_itself_how_long_it_thinks_may() {
    let words = "thinking.type.enabled is not supported for this model. Use thinking.type.adaptive";
    let server =
        server(vec![refusal(400, words), ResponseTemplate::new(200).set_body_json(text("ok"))]).await;
    let request = Request { thinking_budget: Some(2048), ..ask("anthropic/claude-opus-4-7") };
    complete(&server, &request).await.unwrap();
    assert_eq!(received(&server).await[1]["thinking"], json!({ "type": "adaptive" }));
}

#[tokio::test]
async fn images_and_documents_become_blocks() {
    let server = answering(text("ok")).await;
    let media = vec!["https://x.test/a.png".into(), "data:application/pdf;base64,QUJD".into()];
    let message = Message::User { text: "look".into(), media };
    complete(&server, &Request { messages: vec![message], ..ask("anthropic/claude-opus-4-5") })
        .await
        .unwrap();
    assert_eq!(
        received(&server).await[0]["messages"][0]["content"],
        json!([
            { "type": "image", "source": { "type": "url", "url": "https://x.test/a.png" } },
            { "type": "document",
              "source": { "type": "base64", "media_type": "application/pdf", "data": "QUJD" } },
            { "type": "text", "text": "look" },
        ])
    );
}

#[tokio::test]
async fn an_overloaded_provider_may_be_asked_again_and_a_refusal_is_a_content_filter() {
    let overloaded = refusal(529, r#"{"type":"error","error":{"type":"overloaded_error"}}"#);
    let busy = server(vec![overloaded.insert_header("retry-after", "3")]).await;
    let error = complete(&busy, &ask("anthropic/claude-opus-4-5")).await.unwrap_err();
    assert_eq!(error.class(), Class::Retry { after: Some(std::time::Duration::from_secs(3)) });

    let server = answering(answer(&json!([]), "refusal")).await;
    let reply = complete(&server, &ask("anthropic/claude-opus-4-5")).await.unwrap();
    assert_eq!(reply.finish, Finish::ContentFilter);
}
