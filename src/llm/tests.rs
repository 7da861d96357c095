//! Providers against scripted servers: what we send, what we make of what they send, what fails how.
use std::collections::HashMap;

use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{
    Arguments, Call, Class, Error, Finish, LiveTokens, Message, Model, ModelRef, Models, Reply, Request,
    ToolSpec,
};

mod aloud;
mod anthropic;
mod configuration;
mod demo;
mod faults;
mod gemini;
mod openai;

/// The registry as `main` would build it from these variables.
fn models(environment: &[(&str, &str)]) -> Models {
    try_models(environment).expect("the environment is valid")
}

fn try_models(environment: &[(&str, &str)]) -> Result<Models, Error> {
    let environment: HashMap<String, String> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Models::from_env(&|name| environment.get(name).cloned())
}

/// A request with one user message and nothing else.
fn ask(model: &str) -> Request {
    Request {
        model: model.parse().expect("the test names a model"),
        base_url: None,
        messages: vec![user("Is checkout-api down?")],
        tools: vec![],
        max_tokens: 16_384,
        temperature: None,
        json_output: false,
        reasoning_effort: None,
        thinking_budget: None,
        execution: "0193".into(),
        turn: 1,
    }
}

fn user(text: &str) -> Message {
    Message::User { text: text.into(), media: vec![] }
}

fn lookup() -> ToolSpec {
    ToolSpec {
        name: "lookup".into(),
        description: "Looks a service up.".into(),
        input_schema: json!({ "type": "object", "properties": { "service": { "type": "string" } } }),
    }
}

/// A call and its result, as the conversation keeps them.
fn looked_up(id: &str, arguments: &str, result: &str) -> [Message; 2] {
    let call = Call { id: id.into(), name: "lookup".into(), arguments: Arguments::parse(arguments) };
    [
        Message::Assistant { text: String::new(), calls: vec![call] },
        Message::Tool { call_id: id.into(), name: "lookup".into(), text: result.into() },
    ]
}

/// A server that gives these answers in turn, the last one for ever.
async fn server(answers: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    let last = answers.len() - 1;
    for (nth, answer) in answers.into_iter().enumerate() {
        let mock = Mock::given(method("POST")).respond_with(answer);
        let mock = if nth < last { mock.up_to_n_times(1) } else { mock };
        mock.mount(&server).await;
    }
    server
}

async fn answering(body: Value) -> MockServer {
    server(vec![ResponseTemplate::new(200).set_body_json(body)]).await
}

fn refusal(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_string(body)
}

/// The JSON bodies that the server received.
async fn received(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.expect("the server records");
    requests.iter().map(|r| r.body_json().expect("we send JSON")).collect()
}
