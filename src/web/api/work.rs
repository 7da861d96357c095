//! Much at once: many starts in one request, many reports in one request with the work that follows.
//!
//! Each item has a result of its own: one that is refused or too late leaves the others alone. What is answered is
//! committed, as everywhere.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;
use crate::runtime::{Lease, MODEL_QUEUE, Offer, Outcome, Report, Reported};
use crate::web::body::{Body, reply};
use crate::web::wire::start::{Run, deployed};
use crate::web::{Problem, State};

/// Most items of one request, and most attempts that it brings.
const MAX: usize = 1000;
/// Longest wait for work.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Body of `POST /api/v1/starts`.
#[derive(Deserialize)]
pub struct Starts {
    starts: Vec<Wanted>,
}

/// A run of a deployed agent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    agent: String,
    version: Option<i32>,
    prompt: String,
    context: Option<Json>,
    #[serde(default)]
    session: String,
    key: Option<String>,
    #[serde(default)]
    priority: i16,
}

#[derive(Serialize)]
struct Results<T> {
    results: Vec<T>,
}

/// What became of one start.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", untagged)]
enum Begun {
    #[serde(rename_all = "camelCase")]
    Started {
        execution: ExecutionId,
        is_new: bool,
    },
    Refused {
        error: String,
    },
}

/// `POST /api/v1/starts`: 200 with a result for each, in order.
pub async fn starts(state: Data<State>, body: Body<Starts>) -> Result<HttpResponse, Problem> {
    let starts = body.0.starts;
    few("starts", starts.len())?;
    let results = join_all(starts.into_iter().map(|wanted| start(&state, wanted))).await;
    let results = results.into_iter().map(|r| r.unwrap_or_else(|p| Begun::Refused { error: p.to_string() }));
    Ok(reply(&Results { results: results.collect() }))
}

async fn start(state: &State, wanted: Wanted) -> Result<Begun, Problem> {
    let (agent, version) = deployed(state, &wanted.agent, wanted.version).await?;
    let run = Run {
        prompt: wanted.prompt,
        context: wanted.context,
        session: wanted.session,
        key: wanted.key,
        priority: wanted.priority,
        ..Run::default()
    };
    let started = run.start(state, agent, version).await?;
    Ok(Begun::Started { execution: started.id, is_new: started.is_new })
}

/// Body of `POST /api/v1/work`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Work {
    queue: String,
    #[serde(default)]
    domain: String,
    worker: String,
    /// How many attempts it would take now.
    #[serde(default)]
    count: usize,
    /// How long it waits for the first of them.
    #[serde(default)]
    wait_ms: u64,
    #[serde(default)]
    reports: Vec<Done>,
}

/// How an attempt ended: with an output, or with an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Done {
    execution: ExecutionId,
    attempt: AttemptId,
    output: Option<Json>,
    error: Option<String>,
    /// Whether another try makes no sense.
    #[serde(default)]
    terminal: bool,
}

/// What became of a report.
#[derive(Serialize)]
struct Standing {
    attempt: AttemptId,
    /// `accepted`, `too_late`, `unknown` or `refused`.
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// An attempt that the worker has now.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    execution: ExecutionId,
    attempt: AttemptId,
    name: String,
    turn: u32,
    /// Which try, 1-based.
    number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
    input: Json,
    /// What the execution's tools share.
    context: Json,
    lease_seconds: f64,
}

#[derive(Serialize)]
struct Worked {
    results: Vec<Standing>,
    attempts: Vec<Taken>,
}

/// `POST /api/v1/work`: reports, each with its result in order, and attempts to go on with. Work that is there comes in
/// the commit of the reports; when there is none, the request waits for some.
pub async fn work(state: Data<State>, body: Body<Work>) -> Result<HttpResponse, Problem> {
    let Work { queue, domain, worker, count, wait_ms, reports } = body.0;
    few("reports", reports.len())?;
    if queue == MODEL_QUEUE || queue.is_empty() {
        return Err(Problem::refused(
            "queue: must be that of a tool; servers perform model calls themselves",
        ));
    }
    let count = count.min(MAX);
    let reported = reports.into_iter().enumerate().map(|(n, done)| report(&state, &worker, done, n < count));
    let (results, nexts): (Vec<_>, Vec<_>) = join_all(reported).await.into_iter().unzip();
    let mut offer = Offer::default();
    for next in nexts.into_iter().flatten() {
        offer.join(next);
    }
    let room = count - offer.leases().len();
    let wait = if room == count { Duration::from_millis(wait_ms).min(MAX_WAIT) } else { Duration::ZERO };
    match state.runtime.poll(&queue, &domain, &worker, room, wait).await {
        Ok(more) => offer.join(more),
        // The reports count already; whoever finds no work asks again.
        Err(error) if results.is_empty() => return Err(error.into()),
        Err(error) => tracing::warn!(?error, "could not look for work"),
    }
    let attempts = offer.take().await.into_iter().map(taken).collect();
    Ok(reply(&Worked { results, attempts }))
}

async fn report(state: &State, worker: &str, done: Done, wants_next: bool) -> (Standing, Option<Offer>) {
    let attempt = done.attempt;
    let outcome = match done.error {
        Some(error) => Outcome::Failed { error, retryable: !done.terminal, output: done.output },
        None => Outcome::Completed(done.output.filter(|o| o.text().starts_with('{')).unwrap_or_else(empty)),
    };
    let report =
        Report { execution: done.execution, attempt, worker: worker.to_owned(), outcome, wants_next };
    let standing = |result, error| Standing { attempt, result, error };
    match state.runtime.report(report).await {
        Ok(Reported::Accepted(next)) => (standing("accepted", None), next),
        Ok(Reported::TooLate) => (standing("too_late", None), None),
        Ok(Reported::Unknown) => (standing("unknown", None), None),
        Err(error) => (standing("refused", Some(error.to_string())), None),
    }
}

fn empty() -> Json {
    Json::of(&serde_json::Map::new())
}

fn taken(lease: Lease) -> Taken {
    Taken {
        execution: lease.execution,
        attempt: lease.attempt,
        turn: lease.task.turn(),
        name: lease.name,
        number: lease.number,
        call_id: lease.call_id,
        input: lease.input,
        context: lease.context,
        lease_seconds: lease.lease_secs,
    }
}

fn few(what: &str, many: usize) -> Result<(), Problem> {
    if many > MAX {
        return Err(Problem::refused(format!("{what}: at most {MAX} in one request")));
    }
    Ok(())
}
