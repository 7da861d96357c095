//! Is it alive, is it ready: for probes, and for clients that look before they start.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, ServiceConfig};
use serde_json::{Value, json};
use tokio_postgres::SimpleQueryMessage;

use super::State;
use super::body::{plain, reply};

/// How long Postgres may take to say that it is there; clients wait two seconds for this server.
const PATIENCE: Duration = Duration::from_secs(1);

pub fn routes(app: &mut ServiceConfig) {
    app.service(web::resource(["/health", "/api/health"]).get(health))
        .service(web::resource("/health/live").get(live))
        .service(web::resource("/health/ready").get(ready))
        .service(web::resource("/actuator/health").get(actuator))
        .service(web::resource("/actuator/health/liveness").get(live))
        .service(web::resource("/actuator/health/readiness").get(ready))
        .service(web::resource("/actuator/info").get(info))
        .service(web::resource("/api/version").get(version));
}

/// What keeps this server from doing its work; empty when nothing does.
async fn problems(state: &State) -> Vec<&'static str> {
    let mut problems = vec![];
    if state.runtime.stop().is_cancelled() {
        problems.push("the server is shutting down");
    }
    let answers = async {
        let db = state.runtime.pool().get().await.ok()?;
        let said = db.simple_query("show transaction_read_only").await.ok()?;
        said.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0) == Some("on")),
            _ => None,
        })
    };
    match tokio::time::timeout(PATIENCE, answers).await {
        Ok(Some(false)) => {}
        Ok(Some(true)) => problems.push("Postgres is read-only"),
        _ => problems.push("Postgres does not answer"),
    }
    problems
}

/// `GET /health`: clients take any answer below 500 for a server that is up. It is, also while Postgres is away: what
/// they start then is answered with 503 and may be tried again.
async fn health(state: Data<State>) -> HttpResponse {
    let problems = problems(&state).await;
    let results: Vec<Value> =
        problems.iter().map(|p| json!({ "healthy": false, "details": { "error": p } })).collect();
    reply(
        &json!({ "healthy": problems.is_empty(), "status": up(problems.is_empty()), "healthResults": results }),
    )
}

async fn live() -> HttpResponse {
    reply(&json!({ "status": "UP" }))
}

async fn ready(state: Data<State>) -> HttpResponse {
    let problems = problems(&state).await;
    HttpResponse::build(code(&problems))
        .json(json!({ "status": up(problems.is_empty()), "reasons": problems }))
}

async fn actuator(state: Data<State>) -> HttpResponse {
    let problems = problems(&state).await;
    let db = !problems.iter().any(|problem| problem.starts_with("Postgres"));
    HttpResponse::build(code(&problems)).json(json!({
        "status": up(problems.is_empty()),
        "components": {
            "db": { "status": up(db) },
            "ping": { "status": "UP" },
            "readinessState": { "status": up(problems.is_empty()) },
        },
    }))
}

async fn info() -> HttpResponse {
    reply(&json!({ "app": { "name": "tenure", "version": env!("CARGO_PKG_VERSION") } }))
}

async fn version() -> HttpResponse {
    plain(&env!("CARGO_PKG_VERSION"))
}

fn up(is_up: bool) -> &'static str {
    if is_up { "UP" } else { "DOWN" }
}

fn code(problems: &[&str]) -> StatusCode {
    if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
