use super::*;

fn ok() -> Value {
    json!({ "choices": [{ "message": { "content": "ok" }, "finish_reason": "stop" }] })
}

#[test]
fn a_model_is_split_at_the_first_slash() {
    let model: ModelRef = "OpenRouter/meta-llama/Llama-3".parse().unwrap();
    assert_eq!((model.provider.as_str(), model.name.as_str()), ("openrouter", "meta-llama/Llama-3"));
    assert_eq!(model.to_string(), "openrouter/meta-llama/Llama-3");
    for wrong in ["gpt-4o", "/gpt-4o", "openai/", ""] {
        let error = wrong.parse::<ModelRef>().unwrap_err();
        assert_eq!(error.to_string(), format!("Invalid model format: '{wrong}'. Expected 'provider/model'."));
        assert_eq!(error.class(), Class::Fatal);
    }
}

#[test]
fn a_provider_without_its_key_says_what_to_set() {
    let models = models(&[("GROQ_API_KEY", "k"), ("OPENAI_API_KEY", "  ")]);
    assert_eq!(
        models.configured("openai").unwrap_err(),
        "Model provider 'openai' is not configured on the server. Set OPENAI_API_KEY in the server's \
         environment and start it again."
    );
    assert!(models.configured("gemini").unwrap_err().contains("Set GEMINI_API_KEY"));
    assert!(models.configured("azure_openai").unwrap_err().contains("Set AZURE_OPENAI_BASE_URL"));
    for ready in ["demo", "groq", "Groq", "ollama"] {
        models.configured(ready).unwrap();
    }
    let unknown = models.configured("acme").unwrap_err();
    assert!(
        unknown.starts_with("Model provider 'acme' is not known to this server. Known are demo, openai,")
    );
}

#[tokio::test]
async fn an_unconfigured_provider_is_not_asked() {
    let error = models(&[]).complete(&ask("openai/gpt-4o")).await.unwrap_err();
    assert!(matches!(error, Error::NotConfigured(_)), "{error}");
    assert_eq!(error.class(), Class::Fatal);
}

#[tokio::test]
async fn the_agents_base_url_goes_before_the_environments_and_needs_no_key() {
    let (agents, environments) = (answering(ok()).await, answering(ok()).await);
    let environment = environments.uri();
    let models = models(&[("OPENAI_BASE_URL", &environment)]);
    models.configured("openai").unwrap();
    let request = Request { base_url: Some(format!("{}/v1/", agents.uri())), ..ask("openai/local") };
    models.complete(&request).await.unwrap();
    assert!(received(&environments).await.is_empty());
    let sent = &agents.received_requests().await.unwrap()[0];
    assert_eq!(sent.url.path(), "/v1/chat/completions");
    assert!(!sent.headers.contains_key("authorization"));

    models.complete(&Request { base_url: Some(" ".into()), ..ask("openai/local") }).await.unwrap();
    assert_eq!(received(&environments).await.len(), 1);
}

#[tokio::test]
async fn a_base_url_may_lack_the_version_or_name_the_whole_operation() {
    for (suffix, path) in [
        ("", "/v1/chat/completions"),
        ("/", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/proxy/openai/v1/", "/proxy/openai/v1/chat/completions"),
        ("/v1?tenant=a", "/v1/chat/completions"),
    ] {
        let server = answering(ok()).await;
        let request = Request { base_url: Some(format!("{}{suffix}", server.uri())), ..ask("openai/m") };
        models(&[]).complete(&request).await.unwrap();
        let url = server.received_requests().await.unwrap()[0].url.clone();
        assert_eq!(url.path(), path, "{suffix}");
        assert_eq!(url.query(), suffix.split_once('?').map(|(_, q)| q));
    }
}

#[tokio::test]
async fn ollamas_host_may_lack_scheme_and_path() {
    let server = answering(ok()).await;
    let host = server.address().to_string();
    models(&[("OLLAMA_HOST", &host)]).complete(&ask("ollama/llama3.2:3b")).await.unwrap();
    assert_eq!(server.received_requests().await.unwrap()[0].url.path(), "/v1/chat/completions");
    assert_eq!(received(&server).await[0]["model"], "llama3.2:3b");
}

#[tokio::test]
async fn a_setting_that_can_not_be_used_is_named() {
    for (name, value) in [
        ("OPENAI_BASE_URL", "localhost:8080"),
        ("ANTHROPIC_BASE_URL", "ftp://host"),
        ("TENURE_MODEL_TIMEOUT_SECS", "0"),
        ("TENURE_MODEL_TIMEOUT_SECS", "ten"),
        ("TENURE_DEMO_SCRIPT", "/does/not/exist.json"),
    ] {
        let error = try_models(&[(name, value)]).unwrap_err();
        let named = if name == "TENURE_DEMO_SCRIPT" { value } else { name };
        assert!(error.to_string().contains(named), "{error}");
    }
    let request = Request { base_url: Some("nonsense".into()), ..ask("openai/gpt-4o") };
    let error = models(&[]).complete(&request).await.unwrap_err();
    assert!(error.to_string().starts_with("the agent's base URL is no usable base URL"), "{error}");
}

#[tokio::test]
async fn a_key_with_a_line_break_is_refused_without_showing_it() {
    let models = models(&[("OPENAI_API_KEY", "sk\nsecret")]);
    let error = models.complete(&ask("openai/gpt-4o")).await.unwrap_err();
    assert!(error.to_string().starts_with("OPENAI_API_KEY holds characters"), "{error}");
    assert!(!format!("{error:?}{models:?}").contains("secret"));
}

#[test]
fn wire_words_of_finish_reasons_and_arguments_survive_json() {
    for (finish, word) in [
        (Finish::Stop, "STOP"),
        (Finish::ToolCalls, "TOOL_CALLS"),
        (Finish::Length, "LENGTH"),
        (Finish::ContentFilter, "CONTENT_FILTER"),
        (Finish::Error, "ERROR"),
    ] {
        assert_eq!(serde_json::to_value(finish).unwrap(), word);
        assert_eq!(finish.as_str(), word);
    }
    assert_eq!(serde_json::from_str::<Finish>(r#""MAX_TOKENS""#).unwrap(), Finish::Length);
    for arguments in [Arguments::parse(r#"{"b":1,"a":[2]}"#), Arguments::parse("{oops")] {
        let stored = serde_json::to_string(&arguments).unwrap();
        assert_eq!(serde_json::from_str::<Arguments>(&stored).unwrap(), arguments);
    }
}
