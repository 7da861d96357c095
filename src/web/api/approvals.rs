//! Questions to people: which there are, what is asked, deciding them.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use crate::id::{ApprovalId, ExecutionId};
use crate::json::{Json, storable_text};
use crate::runtime::{Choice, Decided};
use crate::store::read::approvals::{self, Approval, Before, Brief, Vote, Wanted};
use crate::web::body::{Body, reply};
use crate::web::deciding::{self, Wish};
use crate::web::wire::words;
use crate::web::{Problem, State};

/// Most questions of one answer.
const MOST: i64 = 200;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: ApprovalId,
    execution_id: ExecutionId,
    agent: String,
    /// `call` to be approved, or `question` to be answered.
    kind: &'static str,
    tool: String,
    state: String,
    group: Option<String>,
    quorum: i16,
    approved: i64,
    asked_at: String,
    expires_at: Option<String>,
    on_expiry: Option<String>,
    escalate_to: Option<String>,
    decision: Option<Decision>,
    arguments_beginning: String,
}

#[derive(Serialize)]
struct Decision {
    by: String,
    via: String,
    at: String,
    reason: Option<String>,
    edited: bool,
}

fn row(b: Brief) -> Row {
    let edited = b.is_edited;
    Row {
        id: b.id,
        execution_id: b.execution,
        agent: b.agent,
        kind: if b.is_question { "question" } else { "call" },
        tool: b.tool,
        state: b.state,
        group: b.group,
        quorum: b.quorum,
        approved: b.approved,
        asked_at: b.asked_at.to_string(),
        expires_at: b.expires_at.map(|t| t.to_string()),
        on_expiry: b.on_expiry,
        escalate_to: b.escalate_to,
        decision: b.decided.map(|d| Decision {
            by: d.by,
            via: d.via,
            at: d.at.to_string(),
            reason: d.reason,
            edited,
        }),
        arguments_beginning: b.beginning,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    #[serde(flatten)]
    row: Row,
    turn: i32,
    call: i16,
    call_id: String,
    description: String,
    arguments: Json,
    /// What a decision may carry, to count only for these arguments.
    arguments_hash: String,
    schema: Json,
    /// What it was approved with, when that is something else.
    edited: Option<Json>,
    answer: Option<Json>,
    /// The policy that asks, when it isn't the tool itself.
    policy: Option<String>,
    /// Whether whoever started the run can't decide it.
    not_requester: bool,
}

fn whole(a: Approval) -> Whole {
    Whole {
        row: row(a.brief),
        turn: a.turn,
        call: a.call,
        call_id: a.call_id,
        description: a.description,
        arguments: a.arguments,
        arguments_hash: a.hash,
        schema: a.schema,
        edited: a.edited,
        answer: a.answer,
        policy: a.policy,
        not_requester: a.not_requester,
    }
}

/// Query of `GET /api/v1/approvals`.
#[derive(Deserialize)]
pub struct Asked {
    state: Option<String>,
    tool: Option<String>,
    agent: Option<String>,
    group: Option<String>,
    execution: Option<String>,
    after: Option<String>,
    limit: Option<i64>,
}

#[derive(Serialize)]
struct List {
    approvals: Vec<Row>,
    /// `after` of the next page, when there is one.
    next: Option<ApprovalId>,
}

/// `GET /api/v1/approvals`: those that nobody has decided, oldest first; or those that were decided, newest first.
pub async fn list(state: Data<State>, asked: Query<Asked>) -> Result<HttpResponse, Problem> {
    let asked = asked.into_inner();
    let word = |text: Option<String>| text.filter(|t| !t.is_empty()).map(|t| storable_text(&t).into_owned());
    let is_decided = match asked.state.as_deref() {
        None | Some("" | "pending") => false,
        Some("decided") => true,
        Some(other) => {
            let other: String = other.chars().take(50).collect();
            return Err(Problem::new(400, format!("state can be pending or decided, not '{other}'")));
        }
    };
    let limit = asked.limit.unwrap_or(50);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::new(400, format!("limit can be 1 to {MOST}")));
    }
    let wanted = Wanted {
        is_decided,
        after: asked.after.filter(|a| !a.is_empty()).map(|a| deciding::approval_id(&a)).transpose()?,
        tool: word(asked.tool),
        agent: word(asked.agent),
        group: word(asked.group),
        execution: asked.execution.filter(|e| !e.is_empty()).map(|e| words::execution_id(&e)).transpose()?,
    };
    let mut found = approvals::list(&state.runtime.pool().get().await?, &wanted, limit + 1).await?;
    let has_more = i64::try_from(found.len()).is_ok_and(|n| n > limit);
    found.truncate(usize::try_from(limit).unwrap_or(0));
    let next = found.last().map(|b| b.id).filter(|_| has_more);
    Ok(reply(&List { approvals: found.into_iter().map(row).collect(), next }))
}

#[derive(Serialize)]
struct Said {
    by: String,
    vote: String,
    via: String,
    at: String,
    reason: Option<String>,
    edited: bool,
}

fn said(vote: Vote) -> Said {
    Said {
        by: vote.voter,
        vote: vote.vote,
        via: vote.via,
        at: vote.at.to_string(),
        reason: vote.reason,
        edited: vote.is_edited,
    }
}

/// How questions about the same tool were decided.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct History {
    asks: i64,
    approved: i64,
    edited: i64,
    denied: i64,
    answered: i64,
    expired: i64,
    median_seconds: Option<f64>,
}

impl From<Before> for History {
    fn from(b: Before) -> Self {
        Self {
            asks: b.asks,
            approved: b.approved,
            edited: b.edited,
            denied: b.denied,
            answered: b.answered,
            expired: b.expired,
            median_seconds: b.median_secs,
        }
    }
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    approval: Whole,
    votes: Vec<Said>,
    before: History,
}

/// `GET /api/v1/approvals/{id}`: all of one question, and how such ones were decided before.
pub async fn get(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let id = deciding::approval_id(&id)?;
    let db = state.runtime.pool().get().await?;
    let found = approvals::get(&db, id).await?;
    let votes = approvals::votes(&db, found.brief.execution, id).await?;
    let before = approvals::before(&db, &found.brief.tool).await?.into();
    let votes = votes.into_iter().map(said).collect();
    Ok(reply(&Shown { approval: whole(found), votes, before }))
}

/// Body of `POST /api/v1/approvals/{id}/decide`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deciding {
    /// `approve`, `deny`, `answer` or `ask`.
    decision: String,
    /// Who.
    #[serde(default)]
    by: String,
    /// Why.
    #[serde(default)]
    reason: String,
    /// Other arguments to run with.
    arguments: Option<Json>,
    /// What a question is answered with.
    answer: Option<Json>,
    /// Hash of the arguments that were shown.
    arguments_hash: Option<String>,
    /// `cli`, when it is the command line that says it.
    #[serde(default)]
    via: String,
}

#[derive(Serialize)]
struct Answer {
    /// `decided`, or `voted` when more must agree.
    outcome: &'static str,
    message: String,
    /// How it stands now; missing when that could not be read just then.
    approval: Option<Whole>,
}

/// `POST /api/v1/approvals/{id}/decide`
pub async fn decide(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
    body: Body<Deciding>,
) -> Result<HttpResponse, Problem> {
    let (id, said) = (deciding::approval_id(&id)?, body.0);
    let given = |json: Option<Json>| json.filter(|j| !j.is_null());
    let (arguments, answer) = (given(said.arguments), given(said.answer));
    let choice = match (said.decision.as_str(), arguments, answer) {
        ("approve", arguments, None) => Choice::Approve { arguments },
        ("deny", None, None) => Choice::Deny,
        ("ask", None, None) => Choice::Ask,
        ("answer", None, Some(answer)) => Choice::Answer(answer),
        ("answer", None, None) => return Err(Problem::new(400, "answer: is missing")),
        ("approve" | "deny" | "answer" | "ask", ..) => {
            let text = "only an approval has arguments, and only an answer has an answer";
            return Err(Problem::new(400, text));
        }
        _ => return Err(Problem::new(400, "decision: can be approve, deny, answer or ask")),
    };
    let via = if said.via == "cli" { "cli" } else { "api" };
    let by = deciding::who(&said.by, "a client", &request)?;
    let wish = Wish { choice, by, reason: said.reason, shown: said.arguments_hash, via };
    let (verdict, approval) = deciding::decide(&state, id, wish).await?;
    let outcome = if verdict.outcome == Decided::Voted { "voted" } else { "decided" };
    Ok(reply(&Answer { outcome, message: verdict.message, approval: approval.map(whole) }))
}
