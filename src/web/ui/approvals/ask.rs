//! One question: what is asked and may be changed, what follows, how it got here, how such ones were decided, and what
//! became of it.

use serde_json::Value;

use super::edit::Form;
use super::mark;
use crate::id::ApprovalId;
use crate::store::GenericClient;
use crate::store::outbox::{self, Delivery};
use crate::store::read::approvals::{self, Approval, Before, Vote};
use crate::store::read::run::{self, Message};
use crate::web::Problem;
use crate::web::ui::kit::{Cell, Report, Sheet, Viewer};
use crate::web::ui::payload::Payload;
use crate::web::ui::shown::{self, Mark};

/// Messages before it.
const MESSAGES: i32 = 3;
/// Tellings of it that are shown.
const TOLD: i64 = 10;
/// Characters of each.
const WORDS: usize = 600;

/// A question as it was read.
pub struct Seen {
    pub approval: Approval,
    votes: Vec<Vote>,
    told: Vec<Delivery>,
    before: Before,
    title: Option<String>,
    messages: Vec<Message>,
    all_messages: i32,
}

/// For `templates/approvals/_ask.html`.
pub struct Ask {
    pub id: ApprovalId,
    pub execution: String,
    pub agent: String,
    pub title: String,
    pub tool: String,
    pub about: String,
    pub mark: Mark,
    pub turn: i32,
    pub is_pending: bool,
    pub is_question: bool,
    pub tags: Vec<(&'static str, String)>,
    pub who: String,
    pub hash: String,
    pub form: Form,
    /// What is asked, when it can't be edited on a page.
    pub payload: Option<Payload>,
    pub edited: Option<Payload>,
    pub answer: Option<Payload>,
    pub outcome: String,
    pub reason: String,
    pub votes: Vec<Said>,
    /// Who was told of it, and what came of that.
    pub told: Vec<(String, String)>,
    pub follows: Vec<(String, Option<String>)>,
    pub before: Vec<String>,
    pub same: String,
    pub messages: Vec<(String, String)>,
    pub all_messages: i32,
    pub name: String,
}

/// What one person said.
pub struct Said {
    pub mark: Mark,
    pub who: String,
    pub via: String,
    pub when: String,
    pub reason: String,
}

/// Read question `id`.
pub async fn look(db: &impl GenericClient, id: ApprovalId) -> Result<Seen, Problem> {
    let approval = approvals::get(db, id).await?;
    let execution = approval.brief.execution;
    let votes = approvals::votes(db, execution, id).await?;
    let before = approvals::before(db, &approval.brief.tool).await?;
    let told = outbox::about(db, TOLD, id.into()).await?;
    let head = run::head(db, execution).await?;
    let last = head.messages;
    let messages = run::messages(db, execution, (last - MESSAGES + 1).max(1), last).await?;
    Ok(Seen { approval, votes, before, told, title: head.prompt, messages, all_messages: last })
}

/// Who was told what of it, and what came of that.
fn heard(delivery: &Delivery, viewer: &Viewer) -> (String, String) {
    let at = viewer.zone.at(delivery.created_at, viewer.now);
    let why = shown::excerpt(&shown::text(&delivery.why), 200);
    (shown::excerpt(&delivery.webhook, 80), format!("{} {at}, {why}", delivery.event))
}

impl Ask {
    pub fn of(seen: Seen, viewer: &Viewer) -> Self {
        let Seen { approval: a, votes, before, told, title, messages, all_messages } = seen;
        let b = &a.brief;
        let form = Form::of(&a.arguments, &a.schema);
        let (zone, now) = (&viewer.zone, viewer.now);
        let is_pending = b.decided.is_none();
        let group = b.group.as_deref().map(|g| shown::excerpt(g, 80));
        let tool = shown::excerpt(&b.tool, 80);
        let mut tags = vec![];
        if is_pending && b.quorum > 1 {
            tags.push(("human", format!("{} of {} approved", b.approved, b.quorum)));
        } else if is_pending {
            tags.push((
                "human",
                if b.is_question { "an answer needed" } else { "1 approval needed" }.to_owned(),
            ));
        }
        if let (Some(at), true) = (b.expires_at, is_pending) {
            let then = match (b.on_expiry.as_deref(), &b.escalate_to) {
                (Some("approve"), _) => "approve".to_owned(),
                (Some("escalate"), Some(to)) => format!("ask {}", shown::excerpt(to, 40)),
                _ => "deny".to_owned(),
            };
            tags.push(("", format!("until {}, then {then}", zone.at(at, now))));
        }
        if let (Some(policy), true) = (&a.policy, is_pending) {
            tags.push(("", format!("policy {}", shown::excerpt(policy, 60))));
        }
        if a.not_requester && is_pending {
            tags.push(("", "not by who started the run".to_owned()));
        }
        let outcome = b.decided.as_ref().map(|d| {
            let how = match b.state.as_str() {
                "withdrawn" => return format!("Withdrawn {}, because the run ended.", zone.stamp(d.at)),
                "approved" if b.is_edited => "Approved with other arguments",
                "approved" => "Approved",
                "answered" => "Answered",
                "asked" => "Asked back",
                _ => "Denied",
            };
            format!("{how} by {} {}, {}.", shown::excerpt(&d.by, 100), zone.stamp(d.at), channel(&d.via))
        });
        let reason = b.decided.as_ref().and_then(|d| d.reason.as_deref()).map(|r| shown::cut(r, 2000).0);
        let query = |key: &str, value: &str| {
            serde_urlencoded::to_string([(key, shown::text(value))]).unwrap_or_default()
        };
        let follows = if b.is_question {
            vec![("the model reads the answer in its next turn".to_owned(), None)]
        } else {
            vec![
                (
                    format!("it runs once in queue {tool}"),
                    Some(format!("/queues?{}", query("queue", &b.tool))),
                ),
                (
                    format!("idempotency key {}/{}__{}", b.execution, shown::excerpt(&a.call_id, 60), a.turn),
                    None,
                ),
                ("if it is denied, the model is told why and goes on".to_owned(), None),
            ]
        };
        Self {
            id: b.id,
            execution: b.execution.to_string(),
            agent: shown::excerpt(&b.agent, 80),
            title: title.map(|t| shown::excerpt(&t, 120)).unwrap_or_default(),
            about: shown::excerpt(&a.description, 300),
            mark: mark(&b.state),
            turn: a.turn,
            is_pending,
            is_question: b.is_question,
            tags,
            who: match (group, b.quorum) {
                (Some(group), 1) => format!("one of {group}"),
                (Some(group), n) => format!("{n} of {group}"),
                (None, 1) => "anybody".to_owned(),
                (None, n) => format!("{n} people"),
            },
            hash: a.hash,
            payload: (!is_pending || form.whole.is_empty() || b.is_question)
                .then(|| Payload::of(&a.arguments)),
            form,
            edited: a.edited.as_ref().map(Payload::of),
            answer: a.answer.as_ref().map(Payload::of),
            outcome: outcome.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
            votes: votes.iter().map(|v| said(v, viewer)).collect(),
            told: told.iter().map(|d| heard(d, viewer)).collect(),
            follows,
            before: history(&before),
            same: format!("/approvals?show=decided&{}", query("tool", &b.tool)),
            messages: messages.iter().map(message).collect(),
            all_messages,
            name: viewer.name.clone(),
            tool,
        }
    }
}

/// Through which channel, as people say it.
fn channel(via: &str) -> &'static str {
    match via {
        "page" => "on this page",
        "api" => "over HTTP",
        "cli" => "on the command line",
        "protocol" => "by a program that waits for the run",
        "sql" => "in SQL",
        _ => "because nobody else did in time",
    }
}

fn said(vote: &Vote, viewer: &Viewer) -> Said {
    let state = match vote.vote.as_str() {
        "approve" => "approved",
        "deny" => "denied",
        "ask" => "asked",
        _ => "answered",
    };
    let edited = if vote.is_edited { "with other arguments" } else { "" };
    let reason = vote.reason.as_deref().map(|r| shown::excerpt(r, 300)).unwrap_or_default();
    Said {
        mark: mark(state),
        who: shown::excerpt(&vote.voter, 100),
        via: channel(&vote.via).to_owned(),
        when: viewer.zone.at(vote.at, viewer.now),
        reason: [edited, &reason].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(": "),
    }
}

/// How such questions were decided, in sentences.
fn history(before: &Before) -> Vec<String> {
    if before.asks == 0 {
        return vec!["nobody has decided one before".to_owned()];
    }
    let asks = if before.asks >= 1000 { "1000 or more".to_owned() } else { before.asks.to_string() };
    let counts = [
        (before.approved, "approved"),
        (before.edited, "of them edited"),
        (before.denied, "denied"),
        (before.answered, "answered"),
        (before.expired, "by the clock"),
    ];
    let counts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}"));
    let mut lines = vec![format!("last 90 days: {asks}"), counts.collect::<Vec<_>>().join(", ")];
    lines.extend(before.median_secs.map(|secs| format!("half within {}", shown::duration(secs))));
    lines
}

/// Who said what.
fn message(m: &Message) -> (String, String) {
    let who = match m.role.as_str() {
        "assistant" => "model".to_owned(),
        "tool" => m.name.as_deref().map_or_else(|| "tool".to_owned(), |n| shown::excerpt(n, 30)),
        other => shown::excerpt(other, 30),
    };
    let text = m.text.as_deref().filter(|t| !t.is_empty()).or(m.error.as_deref()).or(m.output.as_deref());
    let text = match (text, &m.calls) {
        (Some(text), _) => shown::excerpt(text, WORDS),
        (None, Some(calls)) => called(&calls.value()),
        (None, None) => String::new(),
    };
    (who, text)
}

/// Which tools the model wanted called, with what.
fn called(calls: &Value) -> String {
    let call = |call: &Value| {
        let word = |key: &str| call[key].as_str().unwrap_or_default().to_owned();
        format!("{} {}", word("name"), word("arguments"))
    };
    let calls: Vec<_> = calls.as_array().into_iter().flatten().map(call).collect();
    shown::excerpt(&format!("calls {}", calls.join("; ")), WORDS)
}

impl Seen {
    /// For programs.
    pub fn report(&self) -> Report {
        let (a, b) = (&self.approval, &self.approval.brief);
        let d = b.decided.as_ref();
        let mut votes = Sheet::new("votes", &["at", "by", "vote", "via", "reason"]);
        votes.rows.extend(self.votes.iter().map(|v| {
            vec![
                Cell::Time(v.at),
                Cell::Text(v.voter.clone()),
                Cell::Text(v.vote.clone()),
                Cell::Text(v.via.clone()),
                Cell::text(v.reason.clone()),
            ]
        }));
        Report {
            facts: vec![
                ("id", Cell::Text(b.id.to_string())),
                ("state", Cell::Text(b.state.clone())),
                ("tool", Cell::Text(b.tool.clone())),
                ("agent", Cell::Text(b.agent.clone())),
                ("execution_id", Cell::Text(b.execution.to_string())),
                ("turn", Cell::Int(a.turn.into())),
                ("group", Cell::text(b.group.clone())),
                ("quorum", Cell::Int(b.quorum.into())),
                ("approved", Cell::Int(b.approved)),
                ("asked_at", Cell::Time(b.asked_at)),
                ("expires_at", Cell::time(b.expires_at)),
                ("on_expiry", Cell::text(b.on_expiry.clone())),
                ("policy", Cell::text(a.policy.clone())),
                ("not_requester", Cell::Int(a.not_requester.into())),
                ("arguments", Cell::Json(a.arguments.clone())),
                ("arguments_hash", Cell::Text(a.hash.clone())),
                ("edited", a.edited.clone().map_or(Cell::None, Cell::Json)),
                ("answer", a.answer.clone().map_or(Cell::None, Cell::Json)),
                ("decided_at", Cell::time(d.map(|d| d.at))),
                ("decided_by", Cell::text(d.map(|d| d.by.clone()))),
                ("reason", Cell::text(d.and_then(|d| d.reason.clone()))),
            ],
            sheets: vec![votes],
            ..Report::default()
        }
    }
}
