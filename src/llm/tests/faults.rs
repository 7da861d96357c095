use std::time::{Duration, Instant};

use super::*;

async fn fault(server: &MockServer) -> Error {
    let environment = [
        ("OPENAI_API_KEY", "sk-secret"),
        ("OPENAI_BASE_URL", &server.uri()),
        ("TENURE_MODEL_TIMEOUT_SECS", "5"),
    ];
    models(&environment).complete(&ask("openai/gpt-4o")).await.unwrap_err()
}

async fn class_of(answer: ResponseTemplate) -> Class {
    fault(&server(vec![answer]).await).await.class()
}

#[tokio::test]
async fn what_may_pass_is_retried_and_what_may_not_is_fatal() {
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        assert_eq!(class_of(ResponseTemplate::new(status)).await, Class::Retry { after: None }, "{status}");
    }
    for status in [301, 400, 401, 403, 404, 413] {
        assert_eq!(class_of(ResponseTemplate::new(status)).await, Class::Fatal, "{status}");
    }
}

#[tokio::test]
async fn a_wait_that_the_provider_asks_for_is_honoured_up_to_two_minutes() {
    let after = |header: &str, value: &str| {
        let answer = ResponseTemplate::new(429).insert_header(header, value);
        async move {
            match class_of(answer).await {
                Class::Retry { after } => after,
                Class::Fatal => panic!("429 may pass"),
            }
        }
    };
    assert_eq!(after("retry-after", "7").await, Some(Duration::from_secs(7)));
    assert_eq!(after("retry-after", "0.5").await, Some(Duration::from_millis(500)));
    assert_eq!(after("retry-after-ms", "1500").await, Some(Duration::from_millis(1500)));
    assert_eq!(after("retry-after", "86400").await, Some(Duration::from_mins(2)));
    assert_eq!(after("retry-after", "soon").await, None);
    assert_eq!(after("retry-after", "-3").await, None);
    assert_eq!(after("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT").await, Some(Duration::ZERO));
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(60);
    let soon = jiff::fmt::rfc2822::to_string(&soon.to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
    let waited = after("retry-after", &soon).await.unwrap();
    assert!(waited > Duration::from_secs(50) && waited <= Duration::from_mins(1), "{waited:?}");
}

#[tokio::test]
async fn used_up_credit_is_no_reason_to_ask_again() {
    assert_eq!(class_of(refusal(429, r#"{"error":{"code":"insufficient_quota"}}"#)).await, Class::Fatal);
}

#[tokio::test]
async fn an_error_names_provider_status_and_remedy_but_never_the_key() {
    let body = format!("bad key sk-secret {}", "x".repeat(2000));
    let error = fault(&server(vec![refusal(401, &body)]).await).await;
    let text = error.to_string();
    assert!(text.starts_with("openai answered 401: bad key *** xxx"), "{text}");
    assert!(text.ends_with("… (check OPENAI_API_KEY)"), "{text}");
    assert!(text.chars().count() < 600, "{}", text.len());
    assert!(!format!("{error:?}").contains("sk-secret"));
}

#[tokio::test]
async fn a_slow_answer_times_out() {
    let late = ResponseTemplate::new(200).set_delay(Duration::from_secs(30));
    let server = server(vec![late]).await;
    let environment = [("OPENAI_BASE_URL", server.uri()), ("TENURE_MODEL_TIMEOUT_SECS", "0.2".into())];
    let environment: Vec<_> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let began = Instant::now();
    let error = models(&environment).complete(&ask("openai/gpt-4o")).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert_eq!(error.class(), Class::Retry { after: None });
}

#[tokio::test]
async fn a_refused_connection_may_pass() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let base = format!("http://user:pass@{unused}/v1");
    let error = models(&[("OPENAI_BASE_URL", &base)]).complete(&ask("openai/gpt-4o")).await.unwrap_err();
    assert_eq!(error.class(), Class::Retry { after: None });
    let text = error.to_string();
    assert!(text.starts_with(&format!("openai can't be reached at http://{unused}: ")), "{text}");
    assert!(text.contains("refused") && !text.contains("pass"), "{text}");
}

#[tokio::test]
async fn an_answer_cut_in_the_middle_is_no_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let provider = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\":[").await.unwrap();
    });
    let error = models(&[("OPENAI_BASE_URL", &base)]).complete(&ask("openai/gpt-4o")).await.unwrap_err();
    provider.await.unwrap();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_beyond_ten_megabytes_is_not_read_further() {
    let huge = json!({ "choices": [{ "message": { "content": "x".repeat(11 * 1024 * 1024) } }] });
    let error = fault(&answering(huge).await).await;
    assert!(matches!(error, Error::TooLarge { limit: 10_485_760, .. }), "{error}");
    assert_eq!(error.class(), Class::Fatal);
}

#[tokio::test]
async fn an_answer_that_is_no_answer_may_be_asked_for_again() {
    for body in ["<html>gateway</html>", "{}", r#"{"choices":[]}"#, r#"{"choices":[{"message":"hi"}]}"#, ""] {
        let error = fault(&server(vec![refusal(200, body)]).await).await;
        assert!(matches!(error, Error::Unreadable { .. }), "{body}: {error}");
        assert_eq!(error.class(), Class::Retry { after: None }, "{body}");
    }
}

#[tokio::test]
async fn an_upstream_fault_inside_a_successful_answer_counts_as_that_fault() {
    let limited = fault(&answering(json!({ "error": { "code": 429, "message": "slow" } })).await).await;
    assert_eq!(limited.class(), Class::Retry { after: None });
    let wrong = fault(&answering(json!({ "error": { "code": 400, "message": "no" } })).await).await;
    assert_eq!(wrong.class(), Class::Fatal);
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_key_away() {
    let other = answering(json!({})).await;
    let redirect = ResponseTemplate::new(307).insert_header("location", other.uri());
    let error = fault(&server(vec![redirect]).await).await;
    assert!(matches!(error, Error::Status { status: 307, .. }), "{error}");
    assert!(received(&other).await.is_empty());
}
