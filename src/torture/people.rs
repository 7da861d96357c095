//! Scenarios in which a run waits for people.

use serde_json::{Value, json};

use super::Error;
use super::client::Told;
use super::play::Play;
use super::stage::{STEP, WORK};
use crate::id::ExecutionId;

/// A run whose first call waits for a person, asked as `approval` says, and the question's path.
async fn asking(play: &mut Play<'_>, approval: &Value) -> Result<(ExecutionId, String), Error> {
    let mut agent = play.agent("careful", &[&[STEP], &[WORK]])?;
    for tool in agent["tools"].as_array_mut().into_iter().flatten().filter(|tool| tool["name"] == STEP) {
        tool["approvalRequired"] = json!(true);
        tool["config"] = json!({ "approval": approval });
    }
    let run = play.start(&agent, "completed").await?;
    play.until(run, "asks a person", |r| r.many("approval_asked") > 0).await?;
    let list = play.done("GET", &format!("/api/v1/approvals?execution={run}"), None).await?;
    let id = list.body["approvals"][0]["id"].as_str();
    let id = id.ok_or_else(|| Error::Scenario(format!("a question is not listed: {}", list.body)))?;
    Ok((run, format!("/api/v1/approvals/{id}")))
}

fn body(decision: &str, by: &str) -> Value {
    json!({ "decision": decision, "by": by, "reason": "so" })
}

/// Whether this decision counts. A client that got no answer says it again, and may hear that it has decided already.
fn counts(told: &Told, by: &str) -> Option<bool> {
    let said = told.body["message"].as_str().unwrap_or_default();
    match told.status {
        200 => Some(true),
        409 if said.contains(&format!(" by {by} at ")) => (told.unsure > 0).then_some(true),
        409 => Some(false),
        _ => None,
    }
}

pub(super) async fn approve(play: &mut Play<'_>) -> Result<(), Error> {
    let (run, question) = asking(play, &json!({})).await?;
    play.open().await;
    let told =
        play.lane.client.ask("POST", &format!("{question}/decide"), Some(&body("approve", "ann"))).await?;
    if counts(&told, "ann") != Some(true) {
        play.record
            .wrong
            .push(format!("the only decision about a question was answered {} {}", told.status, told.body));
    }
    play.until_ready(run, STEP).await?;
    play.shut().await;
    play.finish(run).await
}

pub(super) async fn decide(play: &mut Play<'_>) -> Result<(), Error> {
    let (run, question) = asking(play, &json!({})).await?;
    let path = format!("{question}/decide");
    play.open().await;
    let client = &play.lane.client;
    let (approve, deny) = (body("approve", "ann"), body("deny", "bob"));
    let (ann, bob) =
        tokio::join!(client.ask("POST", &path, Some(&approve)), client.other("POST", &path, Some(&deny)));
    let (ann, bob) = (ann?, bob?);
    if !matches!((counts(&ann, "ann"), counts(&bob, "bob")), (Some(a), Some(b)) if a != b) {
        play.record.wrong.push(format!(
            "of two decisions one counts: {} {} and {} {}",
            ann.status, ann.body, bob.status, bob.body
        ));
    }
    play.until(run, "has taken notice", |r| r.many("approval_approved") + r.many("approval_denied") > 0)
        .await?;
    play.shut().await;
    play.finish(run).await
}

pub(super) async fn expire(play: &mut Play<'_>) -> Result<(), Error> {
    let (run, _) = asking(play, &json!({ "timeoutSeconds": 2, "onTimeout": "approve" })).await?;
    play.open_alone(true).await;
    play.until(run, "was approved by the clock", |r| r.many("approval_approved") > 0).await?;
    play.shut().await;
    play.finish(run).await
}
