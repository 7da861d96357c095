//! Bodies: what comes in is made storable first, what goes out is restored last.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Problem;
use crate::json;

/// Most bytes that a body may have.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// A JSON body. Texts inside are storable; fields of type [`Json`](crate::json::Json) are as the client wrote them.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Body<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, body) = (request.clone(), read(request, payload));
        Box::pin(async move {
            let bytes = body.await?;
            let bad = |problem: String| Problem::at(&request, 400, problem);
            let text = json::storable(&bytes).map_err(|e| bad(e.to_string()))?;
            let parsed = serde_json::from_str(&text)
                // Where a body may be left out, nothing is as good as `null`.
                .or_else(
                    |e| if bytes.is_empty() { serde_json::from_str("null").map_err(|_| e) } else { Err(e) },
                );
            parsed.map(Self).map_err(|e| bad(format!("the body does not fit: {e}")))
        })
    }
}

/// A body of any text, made storable.
pub struct Text(pub String);

impl FromRequest for Text {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, body) = (request.clone(), read(request, payload));
        Box::pin(async move {
            let bytes = body.await?;
            let text = std::str::from_utf8(&bytes)
                .map_err(|e| Problem::at(&request, 400, json::Error::Utf8(e.valid_up_to()).to_string()))?;
            Ok(Self(json::storable_text(text).into_owned()))
        })
    }
}

fn read(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<web::Bytes, Problem>> + use<> {
    let request = request.clone();
    let payload = web::Payload::from_request(&request, payload);
    async move {
        let gone = |_| Problem::at(&request, 400, "the body broke off");
        match payload.await.map_err(gone)?.to_bytes_limited(MAX_BODY).await {
            Ok(bytes) => bytes.map_err(gone),
            Err(_) => Err(Problem::new(413, format!("the body is larger than {MAX_BODY} bytes; send less"))),
        }
    }
}

/// Answer with `value` as JSON.
pub fn reply(value: &impl Serialize) -> HttpResponse {
    let text = serde_json::to_string(value).expect("answers are maps with string keys");
    reply_text(&text)
}

/// Answer with JSON that is text already.
pub fn reply_text(text: &str) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(json::restore(text).into_owned())
}

/// Answer with plain text, such as an id.
pub fn plain(text: &impl ToString) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text.to_string())
}

/// 200 and nothing else.
pub fn done() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::json::Json;

    async fn body(bytes: impl Into<web::Bytes>) -> Result<Json, u16> {
        let (request, mut payload) = TestRequest::post().set_payload(bytes).to_http_parts();
        let body = Body::<Json>::from_request(&request, &mut payload).await;
        body.map(|b| b.0).map_err(|p| actix_web::ResponseError::status_code(&p).as_u16())
    }

    #[actix_web::test]
    async fn a_body_keeps_its_numbers_and_its_order() {
        let sent = r#"{"z": 1e2, "a": 12345678901234567890.10}"#;
        assert_eq!(body(sent).await.unwrap().text(), sent);
    }

    #[actix_web::test]
    async fn bodies_that_nobody_should_send_are_refused() {
        assert_eq!(body("{").await.unwrap_err(), 400);
        assert_eq!(body(&b"\"\xff\""[..]).await.unwrap_err(), 400);
        assert_eq!(body("[".repeat(200)).await.unwrap_err(), 400);
        assert_eq!(body(vec![b' '; MAX_BODY + 1]).await.unwrap_err(), 413);
    }

    #[actix_web::test]
    async fn what_postgres_would_refuse_comes_back_as_it_was() {
        let sent = r#"{"a":"x\u0000y"}"#;
        let stored = body(sent).await.unwrap();
        assert!(!stored.text().contains("u0000"));
        let answer = actix_web::body::to_bytes(reply(&stored).into_body()).await.unwrap();
        assert_eq!(answer, sent);
    }
}
