//! Deciding a question to people, the same from every channel that speaks HTTP.

use actix_web::HttpRequest;

use super::{Problem, State};
use crate::agent::schema;
use crate::id::ApprovalId;
use crate::json::Json;
use crate::runtime::{Choice, Decided, Decision, Verdict};
use crate::store::read::approvals::{self, Approval};

/// Longest reason and name that are taken, in characters.
pub const REASON: usize = 2000;
const NAME: usize = 100;

/// What somebody wants decided; its texts are storable.
pub struct Wish {
    /// What.
    pub choice: Choice,
    /// Who says so, by their own account.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Hash of the arguments that they were shown.
    pub shown: Option<String>,
    /// `page`, `api`, `cli`.
    pub via: &'static str,
}

/// The id in a path.
///
/// # Errors
///
/// A 404.
pub fn approval_id(text: &str) -> Result<ApprovalId, Problem> {
    text.parse().map_err(|_| {
        let text: String = text.chars().take(100).collect();
        Problem::not_found(format!("no approval with id '{text}'"))
    })
}

/// Who decides: the name that they give, in storable form, or else where they are.
///
/// # Errors
///
/// 400 when the name is too long.
pub fn who(given: &str, otherwise: &str, request: &HttpRequest) -> Result<String, Problem> {
    let name = given.trim();
    if name.chars().count() > NAME {
        return Err(Problem::new(400, format!("a name has at most {NAME} characters")));
    }
    if !name.is_empty() {
        return Ok(name.to_owned());
    }
    Ok(request.peer_addr().map_or_else(|| otherwise.to_owned(), |p| format!("{otherwise} at {}", p.ip())))
}

/// Decide. What does not fit the tool is refused before anything is written. The question comes back as it stands then; `None`
/// when the decision is durable and only that could not be read.
///
/// # Errors
///
/// 404 when there is no such question; 409 with who decided what and when, when somebody was first, its time is over or other
/// arguments were shown; 422 when edited arguments don't fit; 400 when it makes no sense.
pub async fn decide(
    state: &State,
    id: ApprovalId,
    wish: Wish,
) -> Result<(Verdict, Option<Approval>), Problem> {
    if wish.reason.chars().count() > REASON {
        return Err(Problem::new(400, format!("a reason has at most {REASON} characters")));
    }
    let pool = state.runtime.pool();
    let asked = approvals::get(&pool.get().await?, id).await?;
    let choice = match wish.choice {
        Choice::Approve { arguments: Some(edited) } => {
            Choice::Approve { arguments: changed(&asked, edited)? }
        }
        choice => choice,
    };
    let decision = Decision {
        approval: id,
        choice,
        by: wish.by,
        reason: Some(wish.reason.trim().to_owned()).filter(|r| !r.is_empty()),
        shown: wish.shown.filter(|s| !s.is_empty()),
        via: wish.via,
    };
    let verdict = state.runtime.decide(asked.brief.execution, vec![decision]).await?.into_iter().next();
    let verdict = verdict.ok_or_else(|| Problem::new(503, "nothing was decided; try again in a moment"))?;
    let status = match verdict.outcome {
        Decided::Decided | Decided::Voted | Decided::Escalated => {
            let now = async { approvals::get(&pool.get().await.ok()?, id).await.ok() }.await;
            return Ok((verdict, now));
        }
        Decided::Taken | Decided::Expired | Decided::Stale => 409,
        Decided::Unknown => 404,
        Decided::Refused => 400,
    };
    Err(Problem::new(status, verdict.message))
}

/// Edited arguments, when they differ from what was asked and fit.
fn changed(asked: &Approval, edited: Json) -> Result<Option<Json>, Problem> {
    let value = edited.value();
    if !value.is_object() {
        return Err(Problem::new(422, "arguments are a JSON object"));
    }
    if value == asked.arguments.value() {
        return Ok(None);
    }
    schema::check(&asked.schema.value(), &value).map_err(|why| {
        Problem::new(422, format!("the arguments do not fit '{}': {why}", asked.brief.tool))
    })?;
    Ok(Some(edited))
}
