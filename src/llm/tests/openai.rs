use super::*;

fn answer(message: &Value, finish: &str) -> Value {
    json!({
        "id": "chatcmpl-1",
        "choices": [{ "index": 0, "message": message, "finish_reason": finish }],
        "usage": {
            "prompt_tokens": 40, "completion_tokens": 9, "total_tokens": 49,
            "prompt_tokens_details": { "cached_tokens": 32 },
            "completion_tokens_details": { "reasoning_tokens": 4 }
        }
    })
}

fn text(text: &str) -> Value {
    answer(&json!({ "role": "assistant", "content": text }), "stop")
}

fn calls(calls: &Value) -> Value {
    answer(&json!({ "role": "assistant", "content": null, "tool_calls": calls }), "tool_calls")
}

fn function(id: &str, arguments: &str) -> Value {
    json!({ "id": id, "type": "function", "function": { "name": "lookup", "arguments": arguments } })
}

async fn complete(server: &MockServer, request: &Request) -> Result<Reply, Error> {
    let base = format!("{}/v1", server.uri());
    models(&[("OPENAI_API_KEY", "sk-secret"), ("OPENAI_BASE_URL", &base)]).complete(request).await
}

#[tokio::test]
async fn a_text_comes_back_with_its_usage() {
    let server = answering(text("It is up.")).await;
    let reply = complete(&server, &ask("openai/gpt-4o-mini")).await.unwrap();

    assert_eq!((reply.text.as_str(), reply.finish), ("It is up.", Finish::Stop));
    assert_eq!(reply.response_id.as_deref(), Some("chatcmpl-1"));
    let usage = reply.usage;
    assert_eq!((usage.prompt, usage.completion, usage.total), (40, 9, 49));
    assert_eq!((usage.cached, usage.reasoning), (Some(32), Some(4)));

    let request = &server.received_requests().await.unwrap()[0];
    assert_eq!(request.url.path(), "/v1/chat/completions");
    assert_eq!(request.headers["authorization"], "Bearer sk-secret");
    assert_eq!(
        request.body_json::<Value>().unwrap(),
        json!({
            "model": "gpt-4o-mini",
            "messages": [{ "role": "user", "content": "Is checkout-api down?" }],
            "max_completion_tokens": 16384
        })
    );
}

#[tokio::test]
async fn tools_are_offered_and_parallel_calls_come_back() {
    let two = json!([function("call_1", r#"{"service":"a"}"#), function("call_2", r#"{"service":"b"}"#)]);
    let server = answering(calls(&two)).await;
    let request = Request { tools: vec![lookup()], temperature: Some(0.0), ..ask("openai/gpt-4o") };
    let reply = complete(&server, &request).await.unwrap();

    assert_eq!(reply.finish, Finish::ToolCalls);
    let read: Vec<_> = reply.calls.iter().map(|c| (c.id.as_str(), c.name.as_str(), &c.arguments)).collect();
    assert_eq!(
        read,
        [
            ("call_1", "lookup", &Arguments::parse(r#"{"service":"a"}"#)),
            ("call_2", "lookup", &Arguments::parse(r#"{"service":"b"}"#)),
        ]
    );
    let sent = &received(&server).await[0];
    assert_eq!(sent["temperature"], 0.0);
    assert_eq!(
        sent["tools"],
        json!([{ "type": "function", "function": {
            "name": "lookup", "description": "Looks a service up.",
            "parameters": { "type": "object", "properties": { "service": { "type": "string" } } }
        }}])
    );
}

#[tokio::test]
async fn an_earlier_turn_is_replayed_as_one_assistant_message_and_its_results() {
    let server = answering(text("ok")).await;
    let mut request = ask("openai/gpt-4o");
    request.messages.insert(0, Message::System("Be brief.".into()));
    request.messages.extend(looked_up("call_1", r#"{"service":"a"}"#, "down"));
    request.messages.extend(looked_up("call_2", "{oops", "arguments were no JSON object"));
    request.messages.push(Message::Assistant { text: "a is down".into(), calls: vec![] });
    complete(&server, &request).await.unwrap();

    assert_eq!(
        received(&server).await[0]["messages"],
        json!([
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "Is checkout-api down?" },
            { "role": "assistant", "content": null, "tool_calls": [function("call_1", r#"{"service":"a"}"#)] },
            { "role": "tool", "tool_call_id": "call_1", "content": "down" },
            { "role": "assistant", "content": null,
              "tool_calls": [function("call_2", r#"{"malformed_arguments":"{oops"}"#)] },
            { "role": "tool", "tool_call_id": "call_2", "content": "arguments were no JSON object" },
            { "role": "assistant", "content": "a is down" },
        ])
    );
}

#[tokio::test]
async fn malformed_arguments_are_data() {
    let odd = json!([
        function("call_1", r#"{"service": "#),
        function("call_2", "[1]"),
        function("call_3", ""),
        function("call_4", r#""{\"service\":\"a\"}""#),
        { "id": "call_5", "function": { "name": "lookup", "arguments": { "service": "b" } } },
        { "id": "call_6", "function": {} },
    ]);
    let server = answering(calls(&odd)).await;
    let reply = complete(&server, &ask("openai/gpt-4o")).await.unwrap();

    let arguments: Vec<_> = reply.calls.iter().map(|c| c.arguments.clone()).collect();
    assert_eq!(
        arguments,
        [
            Arguments::Malformed(r#"{"service": "#.into()),
            Arguments::Malformed("[1]".into()),
            Arguments::parse("{}"),
            Arguments::parse(r#"{"service":"a"}"#),
            Arguments::parse(r#"{"service":"b"}"#),
            Arguments::parse("{}"),
        ]
    );
    assert_eq!(reply.calls[5].name, "");
}

#[tokio::test]
async fn every_call_gets_an_id_of_its_own() {
    let server = answering(calls(&json!([
        function("fc_9", "{}"),
        function("call_0", "{}"),
        function("call_0", "{}"),
        { "function": { "name": "lookup", "arguments": "{}" } },
    ])))
    .await;
    let reply = complete(&server, &ask("openai/gpt-4o")).await.unwrap();
    let ids: Vec<_> = reply.calls.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids[..3], ["call_fc_9", "call_0", "call_0_2"]);
    assert!(ids[3].starts_with("call_") && ids[3].len() > 30, "{ids:?}");
}

#[tokio::test]
async fn json_mode_and_effort_are_asked_for() {
    let server = answering(text("{}")).await;
    let request = Request { json_output: true, reasoning_effort: Some("low".into()), ..ask("openai/gpt-4o") };
    complete(&server, &request).await.unwrap();
    let sent = &received(&server).await[0];
    assert_eq!(sent["response_format"], json!({ "type": "json_object" }));
    assert_eq!(sent["reasoning_effort"], "low");
}

#[tokio::test]
async fn reasoning_models_get_no_temperature() {
    for (model, taken) in [("o3-mini", false), ("gpt-5", false), ("vendor/o1", false), ("gpt-4o", true)] {
        let server = answering(text("ok")).await;
        let request = Request { temperature: Some(0.5), ..ask(&format!("openai/{model}")) };
        complete(&server, &request).await.unwrap();
        assert_eq!(received(&server).await[0].get("temperature").is_some(), taken, "{model}");
    }
}

#[tokio::test]
async fn media_become_parts() {
    let server = answering(text("ok")).await;
    let media = ["https://x.test/a.png", "data:application/pdf;base64,QUJD", "data:audio/wav;base64,QUJD"];
    let media = media.map(str::to_owned).to_vec();
    let request =
        Request { messages: vec![Message::User { text: "look".into(), media }], ..ask("openai/gpt-4o") };
    complete(&server, &request).await.unwrap();
    assert_eq!(
        received(&server).await[0]["messages"][0]["content"],
        json!([
            { "type": "text", "text": "look" },
            { "type": "image_url", "image_url": { "url": "https://x.test/a.png" } },
            { "type": "file", "file": {
                "filename": "attachment.pdf", "file_data": "data:application/pdf;base64,QUJD" } },
            { "type": "input_audio", "input_audio": { "data": "QUJD", "format": "wav" } },
        ])
    );
}

#[tokio::test]
async fn media_that_is_neither_url_nor_data_is_refused_before_anything_is_sent() {
    let server = answering(text("ok")).await;
    let message = Message::User { text: String::new(), media: vec!["/etc/passwd".into()] };
    let error = complete(&server, &Request { messages: vec![message], ..ask("openai/gpt-4o") }).await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("neither a URL nor a data URI"), "{error}");
    assert_eq!(error.class(), Class::Fatal);
    assert!(received(&server).await.is_empty());
}

#[tokio::test]
async fn a_refused_temperature_is_left_out_the_second_time() {
    let refused = refusal(400, r#"{"error":{"message":"Unsupported value: 'temperature'"}}"#);
    let server = server(vec![refused, ResponseTemplate::new(200).set_body_json(text("ok"))]).await;
    let request = Request { temperature: Some(0.2), ..ask("openai/new-model") };
    assert_eq!(complete(&server, &request).await.unwrap().text, "ok");
    let sent = received(&server).await;
    assert_eq!(sent[0]["temperature"], 0.2);
    assert!(sent[1].get("temperature").is_none());
}

#[tokio::test]
async fn a_refused_limit_goes_by_its_other_name_and_then_not_at_all() {
    let server = server(vec![
        refusal(400, "Unrecognized request argument supplied: max_completion_tokens"),
        refusal(400, "max_tokens is too large: 16384. This model supports at most 4096"),
        ResponseTemplate::new(200).set_body_json(text("ok")),
    ])
    .await;
    assert_eq!(complete(&server, &ask("openai/old-model")).await.unwrap().text, "ok");
    let sent = received(&server).await;
    let limits = |body: &Value| (body.get("max_completion_tokens").cloned(), body.get("max_tokens").cloned());
    assert_eq!(limits(&sent[0]), (Some(json!(16384)), None));
    assert_eq!(limits(&sent[1]), (None, Some(json!(16384))));
    assert_eq!(limits(&sent[2]), (None, None));
}

#[tokio::test]
async fn a_request_that_stays_refused_fails_with_the_providers_words() {
    let server = server(vec![refusal(400, "temperature and everything else is wrong")]).await;
    let request = Request { temperature: Some(0.2), ..ask("openai/gpt-4o") };
    let error = complete(&server, &request).await.unwrap_err();
    assert_eq!(error.to_string(), "openai answered 400: temperature and everything else is wrong");
    assert_eq!(error.class(), Class::Fatal);
    assert_eq!(received(&server).await.len(), 2);
}

#[tokio::test]
async fn finish_reasons_refusals_and_thoughts_are_read() {
    for (wire, finish) in [
        ("stop", Finish::Stop),
        ("length", Finish::Length),
        ("content_filter", Finish::ContentFilter),
        ("tool_calls", Finish::Stop), // without calls there is nothing to wait for
        ("something_new", Finish::Stop),
    ] {
        let server = answering(answer(&json!({ "content": "x" }), wire)).await;
        assert_eq!(complete(&server, &ask("openai/gpt-4o")).await.unwrap().finish, finish, "{wire}");
    }
    let server = answering(answer(&json!({ "content": null, "refusal": "I won't." }), "stop")).await;
    let reply = complete(&server, &ask("openai/gpt-4o")).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.finish), ("I won't.", Finish::ContentFilter));

    let server = answering(answer(&json!({ "content": "4", "reasoning_content": "2+2" }), "stop")).await;
    let reply = complete(&server, &ask("openai/gpt-4o")).await.unwrap();
    assert_eq!(reply.reasoning.as_deref(), Some("2+2"));

    let parts = json!([{ "type": "thinking", "thinking": [{ "type": "text", "text": "hm" }] },
                       { "type": "text", "text": "yes" }]);
    let server = answering(answer(&json!({ "content": parts }), "stop")).await;
    let reply = complete(&server, &ask("openai/gpt-4o")).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.reasoning.as_deref()), ("yes", Some("hm")));
}

#[tokio::test]
async fn mistral_gets_ids_of_nine_letters_and_digits() {
    let server = answering(text("ok")).await;
    let mut request = ask("mistral/mistral-medium");
    request.messages.extend(looked_up("call_D681PevKs", "{}", "up"));
    request.messages.extend(looked_up("call_0193f0c2", "{}", "up"));
    let environment = [("MISTRAL_API_KEY", "k"), ("MISTRAL_BASE_URL", &server.uri())];
    models(&environment).complete(&request).await.unwrap();

    let sent = &received(&server).await[0];
    assert_eq!(sent["model"], "mistral-medium");
    assert_eq!(sent["max_tokens"], 16384);
    let id = |nth: usize| sent["messages"][nth]["tool_calls"][0]["id"].as_str().unwrap();
    assert_eq!(id(1), "D681PevKs");
    assert_eq!(id(3).len(), 9);
    assert!(id(3).chars().all(|c| c.is_ascii_alphanumeric()), "{}", id(3));
    for call in [1, 3] {
        assert_eq!(sent["messages"][call + 1]["tool_call_id"], id(call));
    }
}

#[tokio::test]
async fn azure_sends_its_own_header_to_the_customers_host_and_the_deployment_as_model() {
    let server = answering(text("ok")).await;
    let environment = [
        ("AZURE_OPENAI_API_KEY", "az"),
        ("AZURE_OPENAI_ENDPOINT", &server.uri()),
        ("AZURE_OPENAI_DEPLOYMENT", "prod-4o"),
    ];
    models(&environment).complete(&ask("azureopenai/gpt-4o")).await.unwrap();
    let request = &server.received_requests().await.unwrap()[0];
    assert_eq!(request.url.path(), "/openai/v1/chat/completions");
    assert_eq!(request.headers["api-key"], "az");
    assert!(!request.headers.contains_key("authorization"));
    assert_eq!(received(&server).await[0]["model"], "prod-4o");
}
