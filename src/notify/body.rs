//! What a webhook is told, as JSON for programs and as a message for Slack.
//!
//! What happened is the event; how things stand is read when it is sent.

use serde_json::{Value, json};

use crate::engine::Status;
use crate::json::restore;
use crate::store::outbox::{self, Due, Failed};
use crate::store::read::approvals::{self, Approval};
use crate::store::{self, GenericClient};

/// Longest texts of a message for people, in characters.
const LONGEST: usize = 600;

/// What it is about.
pub enum About {
    /// A question to people.
    Approval(Box<Approval>),
    /// A run that failed.
    Run(Failed),
    /// Nothing: whether it works.
    Test,
}

impl About {
    /// Read it; or say why there is nothing to tell any more.
    ///
    /// # Errors
    ///
    /// [`store::Error`]
    pub async fn read(
        db: &impl GenericClient,
        due: &Due,
    ) -> Result<Result<Self, &'static str>, store::Error> {
        let gone = "the run was deleted";
        match due.event.as_str() {
            "test" => Ok(Ok(Self::Test)),
            "failed" => match due.execution {
                None => Ok(Err(gone)),
                Some(id) => Ok(outbox::failed(db, id).await?.map(Self::Run).ok_or(gone)),
            },
            event => match approvals::get(db, due.approval()).await {
                Ok(found) if event != "decided" && found.brief.decided.is_some() => {
                    Ok(Err("it was decided before"))
                }
                Ok(found) => Ok(Ok(Self::Approval(Box::new(found)))),
                Err(store::Error::NotFound { .. }) => Ok(Err(gone)),
                Err(error) => Err(error),
            },
        }
    }
}

/// Where a person looks at it.
fn page(due: &Due, about: &About, pages: &str) -> String {
    match (about, due.execution) {
        (About::Approval(a), _) => format!("{pages}/approvals/{}", a.brief.id),
        (About::Run(_), Some(id)) => format!("{pages}/execution/{id}"),
        _ => format!("{pages}/approvals/webhooks"),
    }
}

/// For programs.
pub fn json(due: &Due, about: &About, pages: &str) -> String {
    let kind = match about {
        About::Approval(_) => format!("approval.{}", due.event),
        About::Run(_) => "execution.failed".to_owned(),
        About::Test => "test".to_owned(),
    };
    let mut body = json!({
        "id": due.id, "type": kind, "at": due.at.to_string(), "url": page(due, about, pages),
        "executionId": due.execution,
    });
    match about {
        About::Approval(a) => {
            let b = &a.brief;
            let parsed =
                |json: &crate::json::Json| serde_json::from_str::<Value>(json.text()).unwrap_or_default();
            body["agent"] = json!(b.agent);
            body["approval"] = json!({
                "id": b.id, "kind": if b.is_question { "question" } else { "call" }, "tool": b.tool,
                "description": a.description, "arguments": parsed(&a.arguments), "group": b.group, "quorum": b.quorum,
                "approved": b.approved, "state": b.state, "askedAt": b.asked_at.to_string(),
                "expiresAt": b.expires_at.map(|at| at.to_string()), "onExpiry": b.on_expiry,
                "escalateTo": b.escalate_to, "edited": a.edited.as_ref().map(parsed),
                "decidedBy": b.decided.as_ref().map(|d| &d.by), "decidedVia": b.decided.as_ref().map(|d| &d.via),
                "decidedAt": b.decided.as_ref().map(|d| d.at.to_string()),
                "reason": b.decided.as_ref().and_then(|d| d.reason.as_ref()),
            });
        }
        About::Run(failed) => {
            body["agent"] = json!(failed.agent);
            body["status"] = json!(failed.status);
            body["reason"] = json!(failed.reason);
            body["endedAt"] = json!(failed.ended_at.map(|at| at.to_string()));
        }
        About::Test => {}
    }
    restore(&body.to_string()).into_owned()
}

/// For people in Slack, and whoever else takes its messages.
pub fn slack(due: &Due, about: &About, pages: &str) -> String {
    let (says, more) = match about {
        About::Approval(a) => asked(due, a),
        About::Run(failed) => {
            let status = if failed.status == Status::TimedOut.name() { "ran out of time" } else { "failed" };
            (format!("*{}* {status}", plain(&failed.agent)), failed.reason.clone().unwrap_or_default())
        }
        About::Test => ("Tenure can tell you things here.".to_owned(), String::new()),
    };
    let link = page(due, about, pages);
    let mut blocks = vec![json!({ "type": "section", "text": { "type": "mrkdwn", "text": says } })];
    if !more.trim().is_empty() {
        let more = format!("```{}```", plain(&more).replace("```", "'''"));
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": more } }));
    }
    let open = json!({ "type": "button", "text": { "type": "plain_text", "text": "Open" }, "url": link });
    blocks.push(json!({ "type": "actions", "elements": [open] }));
    restore(&json!({ "text": format!("{says} <{link}|Open>"), "blocks": blocks }).to_string()).into_owned()
}

/// What is asked or was decided, and the arguments or the reason.
fn asked(due: &Due, a: &Approval) -> (String, String) {
    let b = &a.brief;
    let (tool, agent) = (plain(&b.tool), plain(&b.agent));
    let whom = b.group.as_deref().map_or_else(|| "somebody".to_owned(), plain);
    let until = b.expires_at.map(|at| {
        let then = match b.on_expiry.as_deref() {
            Some("approve") => "it counts as approved".to_owned(),
            Some("escalate") => {
                format!(
                    "{} is asked",
                    b.escalate_to.as_deref().map_or_else(|| "somebody else".to_owned(), plain)
                )
            }
            _ => "it counts as denied".to_owned(),
        };
        format!(" Until {at:.0}; then {then}.")
    });
    let until = until.unwrap_or_default();
    let what = if b.is_question { "asks" } else { "wants to call" };
    match (&b.decided, due.event.as_str()) {
        (Some(d), _) => {
            let edited = if b.is_edited { " with other arguments" } else { "" };
            let says = format!("*{tool}* of {agent} was {}{edited} by {}", plain(&b.state), plain(&d.by));
            (says, d.reason.clone().unwrap_or_default())
        }
        (None, "reminder") => {
            let says = format!(
                "*{agent}* still waits for {whom}, since {:.0}: it {what} *{tool}*.{until}",
                b.asked_at
            );
            (says, a.arguments.text().to_owned())
        }
        (None, "escalated") => (
            format!("Nobody decided in time, so {whom} is asked: *{agent}* {what} *{tool}*.{until}"),
            a.arguments.text().to_owned(),
        ),
        (None, _) => (
            format!("*{agent}* {what} *{tool}*, and waits for {whom}.{until}"),
            a.arguments.text().to_owned(),
        ),
    }
}

/// Text in which nothing is a link, a name or a format, cut.
fn plain(text: &str) -> String {
    let mut plain: String = text.chars().take(LONGEST).collect();
    if plain.len() < text.len() {
        plain.push('…');
    }
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_model_says_is_a_link_or_calls_everybody() {
        assert_eq!(plain("<!channel> & <http://x|y>"), "&lt;!channel&gt; &amp; &lt;http://x|y&gt;");
        assert_eq!(plain(&"ä".repeat(700)).chars().count(), LONGEST + 1);
    }
}
