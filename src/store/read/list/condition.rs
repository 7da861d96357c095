//! What a list of executions can be narrowed by, and how that is said in SQL.
//!
//! The conditions are the one place where SQL is put together from parts: the list that is shown and the statement that
//! is printed beside it have to be the same, so both are made of [`Condition::sql`], over `tenure.execution` as `e`.
//! `offset 0` keeps Postgres from joining a view with all executions: it is asked about one at a time, by an index.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use crate::engine::Status;
use crate::id::ExecutionId;
use crate::json;

/// A condition on an execution. Lists mean any of their members.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// It stands so.
    Status(Vec<Status>),
    /// It runs one of these agents.
    Agent(Vec<String>),
    /// Its agent has one of these versions.
    Version(Vec<i32>),
    /// It started then or later.
    Since(Moment),
    /// It started before that.
    Until(Moment),
    /// It is in one of these states.
    Is(Vec<Now>),
    /// It has an attempt in one of these queues now.
    Queue(Vec<String>),
    /// One of these workers tried something of it; the mark of a worker's session may be left out.
    Worker(Vec<String>),
    /// It called one of these tools.
    Tool(Vec<String>),
    /// It asked one of these models; the provider may be left out.
    Model(Vec<String>),
    /// The reason of its end, or an error of a try, holds this text, in any case.
    Error(String),
    /// How long it took, or takes so far.
    Took(Comparison, SignedDuration),
    /// Tokens read and written so far.
    Tokens(Comparison, i64),
    /// Model calls begun.
    Turns(Comparison, i64),
    /// It belongs to one of these sessions.
    Session(Vec<String>),
    /// It was started with one of these idempotency keys.
    Key(Vec<String>),
    /// It is one of these.
    Id(Vec<ExecutionId>),
    /// Somebody said this in it, in any case.
    Word(String),
}

/// A time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So long before now.
    Ago(SignedDuration),
    /// Then.
    At(Timestamp),
}

/// What an execution is doing, as a list shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Now {
    /// Something of it waits, and nobody is there to take it.
    Stuck,
    /// A try failed or was lost; the next one has its time.
    Retrying,
    /// It has not ended.
    Live,
    /// It has ended.
    Ended,
}

/// How a number compares to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `=`
    Equal,
}

impl Comparison {
    /// As people and SQL write it.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::More => ">",
            Self::AtLeast => ">=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
        }
    }
}

impl Moment {
    /// The time that is meant at `now`.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH),
            Self::At(time) => time,
        }
    }

    fn sql(self) -> String {
        match self {
            Self::Ago(ago) => format!("now() - {}", interval(ago)),
            Self::At(time) => format!("'{time}'"),
        }
    }
}

const LIVE: [Status; 2] = [Status::Running, Status::Paused];
const ENDED: [Status; 4] = [Status::Completed, Status::Failed, Status::Terminated, Status::TimedOut];

impl Now {
    /// Where an execution stands of which this is true.
    fn statuses(self) -> &'static [Status] {
        match self {
            Self::Stuck | Self::Retrying => &LIVE[..1],
            Self::Live => &LIVE,
            Self::Ended => &ENDED,
        }
    }

    /// Whether it is a matter of the status alone.
    fn is_status(self) -> bool {
        matches!(self, Self::Live | Self::Ended)
    }

    fn sql(self) -> String {
        let waits = |codes: &str| {
            format!(
                "e.status = 'running' and exists (select from tenure.why_waiting w where w.execution_id = e.id and w.code in ({codes}) offset 0)"
            )
        };
        match self {
            Self::Stuck => waits("'no_worker', 'no_server'"),
            Self::Retrying => waits("'retry', 'lost'"),
            Self::Live => "e.ended_at is null".to_owned(),
            Self::Ended => "e.ended_at is not null".to_owned(),
        }
    }
}

impl Condition {
    /// Where executions stand of which this is true; `None` for anywhere.
    pub(super) fn statuses(&self) -> Option<Vec<Status>> {
        match self {
            Self::Status(statuses) => Some(statuses.clone()),
            Self::Is(states) => Some(states.iter().flat_map(|s| s.statuses()).copied().collect()),
            Self::Queue(_) => Some(LIVE.to_vec()),
            _ => None,
        }
    }

    /// Whether [`statuses`](Self::statuses) says all of it.
    pub(super) fn is_status(&self) -> bool {
        match self {
            Self::Status(_) => true,
            Self::Is(states) => states.iter().all(|s| s.is_status()),
            _ => false,
        }
    }

    /// The condition over `tenure.execution e`; what is true of null is not said.
    fn positive(&self) -> String {
        match self {
            Self::Status(statuses) => {
                among("e.status", statuses.iter().map(|s| format!("'{}'", s.name())).collect())
            }
            Self::Agent(names) => among("e.agent", literals(names)),
            Self::Version(versions) => among("e.version", versions.iter().map(i32::to_string).collect()),
            Self::Since(time) => format!("e.id >= tenure.id_at({})", time.sql()),
            Self::Until(time) => format!("e.id < tenure.id_at({})", time.sql()),
            Self::Is(states) if states.len() == 1 => states[0].sql(),
            Self::Is(states) => {
                states.iter().map(|s| format!("({})", s.sql())).collect::<Vec<_>>().join(" or ")
            }
            Self::Queue(names) => attempts(&format!(
                "t.status in ('ready', 'deferred', 'held', 'leased') and {}",
                among("t.queue", literals(names))
            )),
            Self::Worker(names) => attempts(&either(names, |name| {
                format!(
                    "(t.worker = {} or starts_with(t.worker, {}))",
                    literal(name),
                    literal(&format!("{name}:"))
                )
            })),
            Self::Tool(names) => {
                attempts(&format!("t.kind = 'tool' and {}", among("t.name", literals(names))))
            }
            Self::Model(names) => attempts(&format!(
                "t.kind = 'model' and {}",
                either(names, |name| format!(
                    "{} in (t.name, substr(t.name, strpos(t.name, '/') + 1))",
                    literal(name)
                ))
            )),
            Self::Error(text) => {
                let text = format!("lower({})", literal(text));
                format!(
                    "strpos(lower(e.reason), {text}) > 0 or {}",
                    attempts(&format!("strpos(lower(t.error), {text}) > 0"))
                )
            }
            Self::Took(comparison, time) => format!("e.duration {} {}", comparison.sign(), interval(*time)),
            Self::Tokens(comparison, n) => format!(
                "coalesce(e.prompt_tokens, 0) + coalesce(e.completion_tokens, 0) {} {n}",
                comparison.sign()
            ),
            Self::Turns(comparison, n) => format!("coalesce(e.turn, 0) {} {n}", comparison.sign()),
            Self::Session(ids) => among("e.session_id", literals(ids)),
            Self::Key(keys) => among("e.start_key", literals(keys)),
            Self::Id(ids) => among("e.id", ids.iter().map(|id| format!("'{id}'")).collect()),
            Self::Word(word) => said(word),
        }
    }

    /// The condition, or its opposite, over `tenure.execution e`. Safe to be run as it is.
    #[must_use]
    pub fn sql(&self, negated: bool) -> String {
        let condition = self.positive();
        match (negated, self) {
            (true, _) => format!("({condition}) is not true"),
            (false, Self::Is(_) | Self::Error(_)) if condition.contains(" or ") => format!("({condition})"),
            (false, _) => condition,
        }
    }
}

fn among(column: &str, values: Vec<String>) -> String {
    match values.as_slice() {
        [one] => format!("{column} = {one}"),
        several => format!("{column} in ({})", several.join(", ")),
    }
}

fn either(names: &[String], condition: impl Fn(&str) -> String) -> String {
    let all: Vec<_> = names.iter().map(|name| condition(name)).collect();
    if all.len() == 1 { all.concat() } else { format!("({})", all.join(" or ")) }
}

fn attempts(condition: &str) -> String {
    format!("exists (select from tenure.task_status t where t.execution_id = e.id and {condition} offset 0)")
}

/// Whether a text occurs in anything that was said, as it is or as JSON has it.
fn said(word: &str) -> String {
    let stored = json::storable_text(word);
    let quoted = serde_json::Value::from(&*stored).to_string();
    let quoted = &quoted[1..quoted.len() - 1];
    let occurs = |text: &str| format!("strpos(lower(s.text), lower({})) > 0", escaped(text));
    let mut occurrence = occurs(&stored);
    if quoted != stored {
        occurrence = format!("({occurrence} or {})", occurs(quoted));
    }
    format!("exists (select from tenure.said(e.id) s where {occurrence})")
}

fn literals(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| literal(text)).collect()
}

/// A text as a literal, in the form in which it would be stored.
fn literal(text: &str) -> String {
    escaped(&json::storable_text(text))
}

/// A stored text as a literal. What no terminal shows is written as an escape.
fn escaped(stored: &str) -> String {
    let stored = stored.replace('\'', "''");
    let is_hidden = |c: char| c.is_control() || c >= '\u{100000}';
    if !stored.contains(is_hidden) {
        return format!("'{stored}'");
    }
    let mut out = String::from("U&'");
    for c in stored.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if is_hidden(c) => {
                let _ = write!(out, "\\+{:06X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

fn interval(time: SignedDuration) -> String {
    format!("interval '{} milliseconds'", time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_literal() {
        let evil = "x' or ''='\0\\";
        for condition in [
            Condition::Agent(vec![evil.into()]),
            Condition::Worker(vec![evil.into()]),
            Condition::Model(vec![evil.into(), evil.into()]),
            Condition::Error(evil.into()),
            Condition::Word(evil.into()),
        ] {
            let sql = condition.sql(true);
            assert!(sql.contains(r"U&'x'' or ''''=''\+100000\\"), "{sql}");
            assert_eq!(sql.matches('\'').count() % 2, 0, "{sql}");
        }
        assert_eq!(literal("it's 100%\\"), "'it''s 100%\\'");
    }

    #[test]
    fn a_negation_is_true_where_nothing_is_known() {
        let session = Condition::Session(vec!["s".into()]);
        assert_eq!(session.sql(false), "e.session_id = 's'");
        assert_eq!(session.sql(true), "(e.session_id = 's') is not true");
    }
}
