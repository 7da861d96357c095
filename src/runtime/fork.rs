//! Runs that go on from other runs: fork, retry, restart, rerun, replay.
//!
//! All are one thing: a new execution with a copy of another one's history up to an event. They differ in the event
//! and in what is changed. The original is only read, and what has ended stays as it is.
//!
//! ```text
//!   restart   after event 0              nothing is copied; perhaps another version of the agent
//!   replay    after event 0              the same, and its tools return what they returned to the original
//!   fork      after any event            what was open then is asked anew
//!   retry     before what it failed of   that is asked anew, with all its tries before it
//!   rerun     where a step was called    that is asked anew, perhaps with another input or model
//! ```
//!
//! 1. What is read of an original was appended and never changes, so nothing is locked, also while it runs.
//! 2. The state of the new run is built from the copied events alone (`engine::history`).
//! 3. Nothing that is copied runs again; everything that was open gets new attempts, whose idempotency keys are new, too.
//! 4. What people decided holds for the original only: what they were asked is asked anew, and a call that they approved
//!    never runs a second time for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::batch::Question;
use super::commit::{Done, Work};
use super::reply::{Ruled, calls_of, decisive};
use super::{Error, Runtime, Started, answer, decision};
use crate::agent::Agent;
use crate::agent::Tool;
use crate::engine::history::{Record, rebuild};
use crate::engine::{Call, Command, Event, Failure, Policy, State, Status, Task};
use crate::id::{ApprovalId, AttemptId, ExecutionId};
use crate::json::Json;
use crate::llm;
use crate::store::approvals::{self, Undelivered};
use crate::store::forks::{self, Copied, NewFork, Old, Origin, Past};
use crate::store::{self, GenericClient};

/// Where a new run goes on from an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// From its beginning.
    Start,
    /// From its beginning, with what the original's tools returned.
    Replay,
    /// After this event.
    Event(i32),
    /// Where what it failed of was called.
    Failure,
    /// Where this task was called.
    Task(Task),
    /// Where the task was called that this attempt was a try at.
    Attempt(AttemptId),
}

/// Which version of the agent a restarted run gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// The one that the original ran.
    #[default]
    Same,
    /// The one that a new start would get.
    Newest,
    /// This one.
    Number(i32),
}

/// A run that somebody wants to go on from another one.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The new run's id, made by the caller.
    pub id: ExecutionId,
    /// The original.
    pub from: ExecutionId,
    /// Where.
    pub at: At,
    /// Which version; others than the same are for runs that begin anew.
    pub version: Version,
    /// Another model.
    pub model: Option<String>,
    /// Another prompt.
    pub prompt: Option<String>,
    /// Another shared context to begin with, an object.
    pub context: Option<Json>,
    /// Other arguments of the tool call that it goes on at, an object.
    pub arguments: Option<Json>,
    /// Idempotency key: the same one makes one run.
    pub key: Option<String>,
    /// Who wants it, in words.
    pub by: String,
}

impl Wanted {
    /// A run that goes on from `from` at `at` with nothing changed.
    #[must_use]
    pub fn new(from: ExecutionId, at: At, by: &str) -> Self {
        Self {
            id: ExecutionId::new(),
            from,
            at,
            version: Version::Same,
            model: None,
            prompt: None,
            context: None,
            arguments: None,
            key: None,
            by: by.to_owned(),
        }
    }

    fn way(&self) -> &'static str {
        match self.at {
            At::Start => "restart",
            At::Replay => "replay",
            At::Event(_) => "fork",
            At::Failure => "retry",
            At::Task(_) | At::Attempt(_) => "rerun",
        }
    }
}

/// A run that goes on from another one, ready to be committed.
#[derive(Debug)]
pub(super) struct Fork {
    pub row: NewFork,
    pub agent: Arc<Agent>,
    pub priority: i16,
    pub domains: Option<Json>,
    pub state: State,
    /// What the last copied decision led to and nobody had written down yet.
    pub due: Vec<Command>,
    /// What was open: it is queued anew.
    pub open: Vec<(AttemptId, i32)>,
    /// What people were asked and had not decided: they are asked anew.
    pub asks: Vec<Question>,
    /// What the model answered last: turn, text and finish.
    pub reply: Option<(u32, Option<String>, &'static str)>,
    /// What its first own event says.
    pub told: Json,
}

impl Runtime {
    /// Let a new run go on from another one. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when the original is in no state for it; [`store::Error::NotFound`], [`store::Error::Refused`].
    pub async fn fork(&self, wanted: Wanted) -> Result<Started, Error> {
        let fork = self.plan(wanted).await?;
        let (id, version) = (fork.row.id, fork.row.version);
        match self.shared.done(Work::Fork(Box::new(fork))).await? {
            Done::Started(started) => Ok(started),
            _ => Ok(Started { id, version, is_new: true }),
        }
    }

    async fn plan(&self, wanted: Wanted) -> Result<Fork, Error> {
        let db = self.pool().get().await.map_err(store::Error::from)?;
        let origin = forks::origin(&db, wanted.from).await?;
        if origin.is_replay && !matches!(wanted.at, At::Start | At::Replay) {
            let text = "is a replay, whose tools only told again what they had returned; restart it, or go on from the original";
            return Err(Error::Conflict(format!("execution {} {text}", wanted.from)));
        }
        let (at, edited) = place(&db, &wanted, &origin).await?;
        let past = forks::history(&db, wanted.from, at).await?;
        let has_signals = past.iter().any(|p| p.kind == "signalled");
        let signals = if has_signals { forks::signals(&db, wanted.from).await? } else { vec![] };
        let decided =
            approvals::decided_in(&db, &past.iter().filter_map(approval_of).collect::<Vec<_>>()).await?;
        let attempts = if at == 0 { vec![] } else { forks::attempts(&db, wanted.from).await? };
        let (told_by, version) = match wanted.version {
            Version::Same => (self.agent(&origin.agent, origin.version).await?, origin.version),
            _ if at > 0 => {
                let text = "another version can't go on where this one was; restart the run with it instead";
                return Err(store::Error::Refused(text.into()).into());
            }
            Version::Newest => self.deployed(&db, &origin.agent, None).await?,
            Version::Number(n) => self.deployed(&db, &origin.agent, Some(n)).await?,
        };
        let (agent, version) = match &wanted.model {
            None => (told_by.clone(), version),
            Some(model) => self.with_model(&db, &origin.agent, version, model).await?,
        };
        drop(db);
        built(
            &wanted,
            origin,
            &told_by,
            (agent, version),
            at,
            edited,
            Told { past, signals, decided, attempts },
        )
    }

    async fn deployed(
        &self,
        db: &impl GenericClient,
        name: &str,
        version: Option<i32>,
    ) -> Result<(Arc<Agent>, i32), Error> {
        let Some(found) = store::agents::get(db, name, version).await? else {
            let which = version.map(|v| format!(" version {v}")).unwrap_or_default();
            let text =
                format!("agent {name}{which} is not deployed any more; only the same version can run again");
            return Err(Error::Conflict(text));
        };
        Ok((self.agent(name, found.version).await?, found.version))
    }

    /// The version of an agent that differs from another one by its model only.
    async fn with_model(
        &self,
        db: &impl GenericClient,
        name: &str,
        version: i32,
        model: &str,
    ) -> Result<(Arc<Agent>, i32), Error> {
        let definition = store::agents::of_execution(db, name, version).await?.definition;
        let refused = |why: String| Error::from(store::Error::Refused(why));
        let mut fields: IndexMap<String, Box<RawValue>> =
            serde_json::from_str(definition.text()).map_err(|e| refused(e.to_string()))?;
        fields.insert("model".to_owned(), raw(&model));
        let definition = Json::of(&fields);
        Agent::parse(definition.text()).map_err(|invalid| refused(invalid.to_string()))?;
        let version = store::agents::keep(self.pool(), name, &definition).await?;
        Ok((self.agent(name, version).await?, version))
    }
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("texts and JSON are JSON")
}

/// What is read of an original.
struct Told {
    past: Vec<Past>,
    signals: Vec<String>,
    decided: Vec<Undelivered>,
    attempts: Vec<Old>,
}

/// After which event the new run goes on, and the tool call whose arguments may be changed there.
async fn place(
    db: &impl GenericClient,
    wanted: &Wanted,
    origin: &Origin,
) -> Result<(i32, Option<Task>), Error> {
    let id = wanted.from;
    let refused = |text: String| Err(Error::from(store::Error::Refused(text)));
    let task = match wanted.at {
        At::Start | At::Replay => return Ok((0, None)),
        At::Event(n) if (0..=origin.events).contains(&n) => return Ok((n, None)),
        At::Event(n) => {
            return refused(format!("event {n} is none of this run's: it has 1 to {}", origin.events));
        }
        At::Failure => return Ok((failure(db, id, origin).await?, None)),
        At::Task(task) => Some(task),
        At::Attempt(attempt) => forks::task_of(db, id, attempt).await?,
    };
    let Some(task) = task else { return refused(format!("execution {id} has no such step")) };
    match forks::called(db, id, task).await? {
        Some(n) => Ok((n, Some(task))),
        None => refused(format!(
            "execution {id} has no {} in turn {}{}",
            if task.kind() == "tool" { "tool call" } else { task.kind() },
            task.turn(),
            if task.kind() == "tool" { format!(" with number {}", task.call()) } else { String::new() }
        )),
    }
}

async fn failure(db: &impl GenericClient, id: ExecutionId, origin: &Origin) -> Result<i32, Error> {
    let why = match origin.status {
        Status::Failed | Status::Terminated | Status::TimedOut => {
            return Ok(forks::failed_at(db, id).await?.unwrap_or(0));
        }
        Status::Completed => "has completed; restart it, or rerun one of its steps",
        Status::Running | Status::Paused => "has not ended; it is going on by itself, or fork it",
    };
    Err(Error::Conflict(format!("execution {id} {why}")))
}

/// Everything that is committed.
fn built(
    wanted: &Wanted,
    origin: Origin,
    told_by: &Agent,
    (agent, version): (Arc<Agent>, i32),
    at: i32,
    edited: Option<Task>,
    told: Told,
) -> Result<Fork, Error> {
    let input = input(&origin.input, wanted)?;
    let context = shared(&input, &told.past);
    let record = records(&told)?;
    let mut point = rebuild(told_by, record).map_err(|torn| Error::Conflict(torn.to_string()))?;
    if point.state.status.is_terminal() && point.due.is_empty() {
        return Err(Error::Conflict(format!("event {at} is the end of this run; go on from an earlier one")));
    }
    if point.state.status == Status::Paused {
        point.state.status = Status::Running;
    }
    approved_elsewhere(told_by, &point.state, &told)?;
    let asks = asks(&point.state, &point.due, &told);
    let (mut attempts, open) = copies(&told);
    if let Some(arguments) = &wanted.arguments {
        edit(arguments, edited, &told, &mut attempts)?;
    }
    let reply = told.past.last().filter(|p| p.kind == "model_replied").and_then(|p| {
        let reply: llm::Reply = serde_json::from_str(p.output.as_ref()?.text()).ok()?;
        let text = reply.calls.is_empty().then(|| reply.text.clone());
        Some((p.task?.turn(), text, reply.finish.as_str()))
    });
    let told = Json::of(&json!({
        "from": wanted.from,
        "at": at,
        "as": wanted.way(),
        "by": crate::json::storable_text(&wanted.by),
        "changed": changed(wanted),
    }));
    let row = NewFork {
        id: wanted.id,
        from: wanted.from,
        at,
        messages: i32::try_from(point.messages).unwrap_or(i32::MAX),
        version,
        input,
        context,
        key: wanted.key.clone().filter(|k| !k.trim().is_empty()),
        way: wanted.way(),
        attempts,
    };
    let (state, due) = (point.state, point.due);
    Ok(Fork {
        row,
        agent,
        priority: origin.priority,
        domains: origin.domains,
        state,
        due,
        open,
        asks,
        reply,
        told,
    })
}

/// What is other than in the original, in words.
fn changed(wanted: &Wanted) -> Vec<&'static str> {
    let all = [
        ("version", wanted.version != Version::Same),
        ("model", wanted.model.is_some()),
        ("prompt", wanted.prompt.is_some()),
        ("context", wanted.context.is_some()),
        ("arguments", wanted.arguments.is_some()),
    ];
    all.into_iter().filter(|(_, is)| *is).map(|(word, _)| word).collect()
}

fn input(original: &Json, wanted: &Wanted) -> Result<Json, Error> {
    if wanted.prompt.is_none() && wanted.context.is_none() {
        return Ok(original.clone());
    }
    let mut fields: IndexMap<String, Box<RawValue>> =
        serde_json::from_str(original.text()).unwrap_or_default();
    if let Some(prompt) = &wanted.prompt {
        fields.insert("prompt".to_owned(), raw(prompt));
    }
    if let Some(context) = &wanted.context {
        fields.insert("context".to_owned(), raw(&object(context, "context")?));
    }
    Ok(Json::of(&fields))
}

fn object<'a>(value: &'a Json, field: &str) -> Result<&'a Json, Error> {
    if value.text().starts_with('{') {
        Ok(value)
    } else {
        Err(store::Error::Refused(format!("{field}: must be an object")).into())
    }
}

/// What the tools share after these events.
fn shared(input: &Json, past: &[Past]) -> Json {
    #[derive(serde::Deserialize, Default)]
    struct Input {
        context: Option<Json>,
    }
    let input: Input = serde_json::from_str(input.text()).unwrap_or_default();
    let begin = input.context.unwrap_or_else(|| Json::of(&json!({})));
    let outputs = past.iter().filter(|p| p.kind == "tool_returned").filter_map(|p| p.output.as_ref());
    outputs.fold(begin, |shared, output| answer::merge(&shared, output).unwrap_or(shared))
}

fn records(told: &Told) -> Result<Vec<Record>, Error> {
    let mut signals = told.signals.iter();
    let mut calls = vec![];
    let mut records = Vec::with_capacity(told.past.len());
    for past in &told.past {
        if let ("model_replied", Some(output)) = (past.kind.as_str(), &past.output) {
            calls = calls_of(output);
        }
        records.push(if past.kind.starts_with("approval_") {
            asked(past, &told.decided, &calls)?
        } else {
            record(past, &mut signals)?
        });
    }
    Ok(records)
}

/// Which question an event tells of, when it tells what was decided.
fn approval_of(past: &Past) -> Option<ApprovalId> {
    matches!(past.kind.as_str(), "approval_approved" | "approval_denied" | "approval_answered")
        .then(|| serde_json::from_value(past.data.as_ref()?.value()["approval"].clone()).ok())?
}

fn cannot(past: &Past) -> Error {
    Error::Conflict(format!("event {} ({}) can't be told again", past.seq, past.kind))
}

/// What an event about a question says to the engine: a decision the same as when it was made.
fn asked(past: &Past, decided: &[Undelivered], calls: &[Call]) -> Result<Record, Error> {
    match past.kind.as_str() {
        "approval_asked" => {
            let again = past.data.as_ref().is_some_and(|d| d.value()["again"] == true);
            Ok(if again { Record::Note } else { Record::Effect })
        }
        "approval_escalated" => Ok(Record::Note),
        _ => {
            let id = approval_of(past);
            let row = decided.iter().find(|d| Some(d.id) == id).ok_or_else(|| cannot(past))?;
            let told = decision::delivered(row, calls.to_vec());
            if told.kind == past.kind { Ok(Record::Cause(told.event)) } else { Err(cannot(past)) }
        }
    }
}

/// What people were asked and had not decided; what is due will ask them by itself.
fn asks(state: &State, due: &[Command], told: &Told) -> Vec<Question> {
    let is_due = |open: &Task| due.iter().any(|c| matches!(c, Command::Ask { task, .. } if task == open));
    let calls = last_calls(told);
    let question = |task: &Task| {
        let call = calls.get(usize::from(task.call()))?;
        Some((*task, call.id.clone(), call.name.clone(), call.arguments.clone().ok()?))
    };
    let open = state.open.iter().filter(|task| matches!(task, Task::Approval { .. }));
    open.filter(|task| !is_due(task)).filter_map(question).collect()
}

/// The calls of the newest turn.
fn last_calls(told: &Told) -> Vec<Call> {
    let replies = told.past.iter().rev().filter(|p| p.kind == "model_replied");
    replies.filter_map(|p| p.output.as_ref()).map(calls_of).next().unwrap_or_default()
}

/// Refuse to run a call again that people let go for the original only.
fn approved_elsewhere(agent: &Agent, state: &State, told: &Told) -> Result<(), Error> {
    let calls = last_calls(told);
    for task in state.open.iter().filter(|task| matches!(task, Task::Tool { .. })) {
        let Some(call) = calls.get(usize::from(task.call())) else { continue };
        let this = |p: &&Past| {
            let data = p.data.as_ref().map(Json::value).unwrap_or_default();
            p.kind == "approval_approved" && data["turn"] == task.turn() && data["call"] == task.call()
        };
        let approved = told.past.iter().rev().find(this);
        if approved.is_none() && !agent.tool(&call.name).is_some_and(Tool::is_gated) {
            continue;
        }
        let before = approved.map_or(0, |p| p.seq - 1);
        return Err(Error::Conflict(format!(
            "the call of '{}' in turn {} was approved for the original run only; go on from event {before}, so that \
             people are asked again",
            call.name,
            task.turn()
        )));
    }
    Ok(())
}

/// What an event says to the engine.
fn record<'a>(past: &Past, signals: &mut impl Iterator<Item = &'a String>) -> Result<Record, Error> {
    let torn = || cannot(past);
    let data = || past.data.as_ref().map(Json::value).unwrap_or_default();
    let task = || past.task.ok_or_else(torn);
    Ok(Record::Cause(match past.kind.as_str() {
        "started" => Event::Started,
        "model_replied" => {
            let reply: llm::Reply =
                past.output.as_ref().and_then(|o| serde_json::from_str(o.text()).ok()).ok_or_else(torn)?;
            let mut reply = decisive(&reply);
            let ruled: Vec<Ruled> = serde_json::from_value(data()["ruled"].clone()).unwrap_or_default();
            for Ruled { call, asks, .. } in ruled {
                if let Some(call) = reply.calls.get_mut(call) {
                    call.gated = Some(asks);
                }
            }
            Event::Replied(reply)
        }
        "tool_returned" => Event::Returned { task: task()? },
        "checked" => Event::Checked { turn: task()?.turn(), go_on: data()["go_on"] == Value::Bool(true) },
        "tool_failed" | "model_failed" | "check_failed" => Event::Failed {
            task: task()?,
            failure: Failure::Terminal,
            error: past.error.clone().unwrap_or_default(),
            attempt: 1,
            losses: 0,
            policy: Policy::TOOL,
        },
        "paused" => Event::Paused,
        "resumed" => Event::Resumed,
        "stop_requested" => Event::StopRequested,
        "signalled" => Event::Signalled { text: signals.next().cloned().unwrap_or_default() },
        "terminated" => Event::Cancelled { reason: data()["reason"].as_str().unwrap_or_default().to_owned() },
        "timed_out" => Event::DeadlinePassed,
        "model_called" | "tool_called" | "check_called" | "call_refused" | "nudged" | "advised"
        | "completed" | "failed" => return Ok(Record::Effect),
        "attempt_failed" | "attempt_lost" | "result_refused" | "condensed" | "message_received" => {
            return Ok(Record::Note);
        }
        "forked" => return Ok(Record::Copied),
        _ => return Err(torn()),
    }))
}

/// Which attempts are copied, and which of them are asked anew: the attempt and its queue.
fn copies(told: &Told) -> (Vec<Copied>, Vec<(AttemptId, i32)>) {
    let mut begun = HashSet::new();
    let mut ended = HashMap::new();
    for past in &told.past {
        let Some(attempt) = past.attempt else { continue };
        match past.kind.as_str() {
            "model_called" | "tool_called" | "check_called" => drop(begun.insert(attempt)),
            "attempt_failed" | "attempt_lost" => drop(ended.insert(attempt, true)),
            "model_replied" | "tool_returned" | "checked" | "tool_failed" | "model_failed"
            | "check_failed" => drop(ended.insert(attempt, false)),
            _ => {}
        }
    }
    let is_copied = |old: &&Old| match old.retry_of {
        None => begun.contains(&old.id),
        Some(before) => ended.get(&before) == Some(&true),
    };
    let (mut copied, mut open) = (vec![], vec![]);
    for old in told.attempts.iter().filter(is_copied) {
        let (new, has_ended) = (AttemptId::new(), ended.contains_key(&old.id));
        if !has_ended {
            open.push((new, old.queue));
        }
        copied.push(Copied { old: old.id, new, has_ended, input: None, output: None });
    }
    (copied, open)
}

/// Let a tool call run with other arguments, as if the model had asked for these.
fn edit(arguments: &Json, edited: Option<Task>, told: &Told, attempts: &mut [Copied]) -> Result<(), Error> {
    let Some(task @ Task::Tool { turn, call }) = edited else {
        let text = "arguments: only a tool call has arguments; say which one it is to go on from";
        return Err(store::Error::Refused(text.into()).into());
    };
    let arguments = object(arguments, "arguments")?;
    let of = |id: AttemptId| told.attempts.iter().find(|a| a.id == id).map(|a| a.task);
    for copied in &mut *attempts {
        if of(copied.old) == Some(task) {
            copied.input = Some(arguments.clone());
        }
        if of(copied.old) == Some(Task::Model { turn }) {
            let said = told.past.iter().find(|p| p.kind == "model_replied" && p.attempt == Some(copied.old));
            copied.output = said
                .and_then(|p| serde_json::from_str::<llm::Reply>(p.output.as_ref()?.text()).ok())
                .and_then(|mut reply| {
                    let Value::Object(map) = arguments.value() else { return None };
                    reply.calls.get_mut(usize::from(call))?.arguments = llm::Arguments::Object(map);
                    Some(Json::of(&reply))
                });
        }
    }
    Ok(())
}
