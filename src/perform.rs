//! The server performs model calls: those that a commit here handed over, and those that nobody performs.
//!
//! A call holds no connection and no lock while the model thinks. Its lease belongs to this server's session: when the
//! process dies, the session's lock vanishes and another server makes the call again. An answer whose attempt was
//! given up meanwhile is refused when it arrives.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::engine::Failure;
use crate::json::Json;
use crate::llm::{Class, LiveTokens, Model};
use crate::prompt;
use crate::runtime::{Error, ModelCall, ModelFailure, ModelOutcome, Runtime, Speaker};
use crate::store;

/// How long calls that are open may go on when the server drains.
const GRACE: Duration = Duration::from_secs(3);

/// Perform until the runtime drains; then wait a moment for what is open and hand the rest back.
pub async fn run(runtime: Runtime, model: Arc<dyn Model>, mut handed: mpsc::UnboundedReceiver<ModelCall>) {
    let open = TaskTracker::new();
    let stop = runtime.stop().clone();
    let polling = tokio::spawn(poll(open.clone(), runtime.clone(), model.clone()));
    loop {
        tokio::select! {
            Some(call) = handed.recv() => spawn(&open, &runtime, &model, call),
            () = stop.cancelled() => break,
        }
    }
    let _ = polling.await;
    while let Ok(call) = handed.try_recv() {
        spawn(&open, &runtime, &model, call);
    }
    open.close();
    open.wait().await;
}

/// Look for calls that nobody performs, until the runtime drains. A look is never broken off: it may just have got some.
async fn poll(open: TaskTracker, runtime: Runtime, model: Arc<dyn Model>) {
    while !runtime.stop().is_cancelled() {
        match runtime.poll_model_calls().await {
            Ok(calls) => calls.into_iter().for_each(|call| spawn(&open, &runtime, &model, call)),
            Err(error) => {
                tracing::warn!(?error, "could not look for model calls");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

fn spawn(open: &TaskTracker, runtime: &Runtime, model: &Arc<dyn Model>, call: ModelCall) {
    let (runtime, model) = (runtime.clone(), model.clone());
    open.spawn(async move {
        let stop = runtime.stop().clone();
        let performed = AssertUnwindSafe(perform(&runtime, &*model, &call)).catch_unwind();
        let drained = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let outcome = tokio::select! {
            outcome = performed => outcome.unwrap_or_else(|_| lost("the server failed in the middle of the call; its log says how")),
            () = drained => lost("the server was stopped in the middle of the call"),
        };
        report(&runtime, &call, outcome).await;
    });
}

#[tracing::instrument(skip_all, fields(execution.id = %call.execution, task.id = %call.attempt, llm.model = call.agent.model))]
async fn perform(runtime: &Runtime, model: &dyn Model, call: &ModelCall) -> ModelOutcome {
    let prompt = match prompt_of(runtime, call).await {
        Ok(Ok(prompt)) => prompt,
        Ok(Err(nothing)) => return failed(nothing, Failure::Terminal),
        Err(error) => return failed(format!("the conversation could not be read: {error}"), Failure::Lost),
    };
    let condensed = prompt.condensed.as_ref().map(Json::of);
    let began = Instant::now();
    let result = match speaker(runtime, model, call) {
        None => model.complete(&prompt.request).await,
        Some(speaker) => model.complete_aloud(&prompt.request, &mut |piece| speaker.say(piece)).await,
    };
    let outcome = if result.is_ok() { "answered" } else { "failed" };
    metrics::histogram!("tenure_model_call_seconds", "model" => call.agent.model.clone(), "outcome" => outcome)
        .record(began.elapsed());
    let result = result.map_err(|error| {
        tracing::debug!(%error, "the model call failed");
        let failure = match error.class() {
            Class::Retry { after } => Failure::Retryable { after },
            Class::Fatal => Failure::Terminal,
        };
        ModelFailure { error: error.to_string(), failure }
    });
    ModelOutcome { result, condensed }
}

/// Somebody to tell the answer to while it comes.
fn speaker(runtime: &Runtime, model: &dyn Model, call: &ModelCall) -> Option<Speaker> {
    match model.live_tokens() {
        LiveTokens::Never => None,
        policy => runtime.speak(call, policy == LiveTokens::Always),
    }
}

async fn prompt_of(
    runtime: &Runtime,
    call: &ModelCall,
) -> Result<Result<prompt::Prompt, String>, store::Error> {
    let so_far = runtime.conversation(call.execution, call.upto).await?;
    let execution = call.execution.to_string();
    Ok(prompt::assemble(&call.agent, &execution, call.turn, &so_far.input, &so_far.entries))
}

fn failed(error: String, failure: Failure) -> ModelOutcome {
    ModelOutcome { result: Err(ModelFailure { error, failure }), condensed: None }
}

fn lost(error: &str) -> ModelOutcome {
    failed(error.to_owned(), Failure::Lost)
}

/// Say how it ended until that is durable: an answer has cost money.
async fn report(runtime: &Runtime, call: &ModelCall, outcome: ModelOutcome) {
    loop {
        match runtime.performed(call.execution, call.attempt, outcome.clone()).await {
            Ok(_) => return,
            Err(Error::Store(store::Error::Unavailable(_)) | Error::Busy)
                if !runtime.stop().is_cancelled() =>
            {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => {
                tracing::error!(?error, execution.id = %call.execution, "a model's answer could not be stored");
                return;
            }
        }
    }
}
