//! One batch: what was decided about some executions, gathered table by table.
//!
//! Pure but for the ids that it makes: the committer locks, hands rows and items in, and writes what comes out.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::fork::Fork;
use super::inbox::{self, Parked};
use super::reply::{decisive, ruled, stored};
use super::{Outcome, answer, decision, replay};
use crate::agent::{Agent, Tool, ToolKind, policy};
use crate::engine::{
    self, Backoff, Call, Command, Event, Failure, IllegalEvent, Message, Policy, State, Status, Task,
};
use crate::id::{ApprovalId, AttemptId, ExecutionId};
use crate::json::{Json, readable, storable_text};
use crate::llm;
use crate::store::approvals::{NewApproval, Undelivered};
use crate::store::commit::{
    Advanced, Locked, NewEvent, NewMessage, NewQueued, NewResult, NewRetry, NewTask, Taken, Tokens,
};

/// A locked execution while items are decided one after the other.
#[expect(clippy::struct_excessive_bools, reason = "what is still to be written, each its own")]
pub(super) struct Live {
    pub id: ExecutionId,
    pub agent: Arc<Agent>,
    pub state: State,
    pub context: Json,
    context_changed: bool,
    priority: i16,
    domains: HashMap<String, String>,
    /// Whether its tools only tell again what they returned to another run.
    is_replay: bool,
    seq: i32,
    pub at: Timestamp,
    reason: Option<String>,
    /// Who cancels it, and by which request.
    ended_by: Option<(String, String)>,
    output: Option<Json>,
    /// What the model answered in this batch, by turn.
    replies: HashMap<u32, (Option<String>, &'static str)>,
    /// Attempts whose outcome was decided in this batch.
    pub settled: Vec<AttemptId>,
    /// Decisions that it took notice of in this batch.
    pub delivered: Vec<ApprovalId>,
    /// Its newest event in this batch, which tells where it stands.
    newest: Option<usize>,
    /// Its status as stored.
    status: Status,
    release: bool,
    withdraw: bool,
    /// It waited for people in this batch.
    asked: bool,
}

impl Live {
    /// Every queue that a decision about it can name.
    pub fn queues(&self) -> impl Iterator<Item = (String, String)> {
        let waits = |t: &&Tool| matches!(t.kind, ToolKind::Inbox { .. });
        let inbox = self.agent.tools.iter().find(waits).map(|_| (inbox::QUEUE.to_owned(), String::new()));
        let tools = self.agent.tools.iter().filter(move |t| !waits(t)).map(|t| &t.name);
        let names = tools.chain(&self.agent.stop_when);
        let replay = self.is_replay.then(|| (replay::QUEUE.to_owned(), String::new()));
        let queues = names.map(|name| (name.clone(), self.domains.get(name).cloned().unwrap_or_default()));
        queues.chain(inbox).chain(replay)
    }

    pub fn locked(row: Locked, agent: Arc<Agent>) -> Self {
        let domains =
            row.domains.as_ref().and_then(|d| serde_json::from_str(d.text()).ok()).unwrap_or_default();
        let (status, is_replay) = (row.status, row.is_replay);
        let live = Self::new(row.id, agent, row.state, row.context, row.priority, domains, row.seq, row.at);
        Self { is_replay, status, ..live }
    }

    pub fn begun(start: &super::Start, at: Timestamp) -> Self {
        let domains =
            start.domains.as_ref().and_then(|d| serde_json::from_str(d.text()).ok()).unwrap_or_default();
        let state = engine::begin(&start.agent);
        Self::new(start.id, start.agent.clone(), state, start.context.clone(), start.priority, domains, 0, at)
    }

    pub fn forked(fork: &Fork, at: Timestamp) -> Self {
        let domains =
            fork.domains.as_ref().and_then(|d| serde_json::from_str(d.text()).ok()).unwrap_or_default();
        let (agent, state, context) = (fork.agent.clone(), fork.state.clone(), fork.row.context.clone());
        let mut live = Self::new(fork.row.id, agent, state, context, fork.priority, domains, fork.row.at, at);
        live.is_replay = fork.row.way == replay::WAY;
        live.replies.extend(fork.reply.clone().map(|(turn, text, finish)| (turn, (text, finish))));
        live
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of a row")]
    fn new(
        id: ExecutionId,
        agent: Arc<Agent>,
        state: State,
        context: Json,
        priority: i16,
        domains: HashMap<String, String>,
        seq: i32,
        at: Timestamp,
    ) -> Self {
        Self {
            id,
            agent,
            state,
            context,
            context_changed: false,
            priority,
            domains,
            is_replay: false,
            seq,
            at,
            reason: None,
            ended_by: None,
            output: None,
            replies: HashMap::new(),
            settled: vec![],
            delivered: vec![],
            asked: false,
            newest: None,
            status: Status::Running,
            release: false,
            withdraw: false,
        }
    }
}

/// What a performed model call brought.
#[derive(Debug, Clone)]
pub struct ModelOutcome {
    /// The answer, or why there is none.
    pub result: Result<llm::Reply, ModelFailure>,
    /// How the conversation was shortened for it, if it was.
    pub condensed: Option<Json>,
}

/// A model call without an answer.
#[derive(Debug, Clone)]
pub struct ModelFailure {
    /// Why.
    pub error: String,
    /// May it go better next time?
    pub failure: Failure,
}

/// Something to decide about an execution.
#[derive(Debug, Clone)]
pub(super) enum Happened<'a> {
    /// It goes on from another run, whose history was copied.
    Forked(&'a Fork),
    /// It was accepted; with a reason when it must end at once.
    Accepted { refused: Option<String> },
    /// Somebody wants something.
    Controlled { event: Event, by: String, request: String },
    /// A question was decided.
    Decided { decision: Box<Undelivered>, calls: Vec<Call> },
    /// Nobody had decided a question in time, and others are asked.
    Escalated { approval: ApprovalId, to: String },
    /// A worker reported.
    Reported { taken: Taken, outcome: Outcome, worker: String },
    /// A server's model call ended.
    Performed { taken: Taken, outcome: ModelOutcome },
    /// An attempt was lost with its worker.
    Lost { taken: Taken, error: String },
    /// A report came too late.
    Refused { attempt: AttemptId, worker: String, outcome: Option<String> },
}

/// What people are asked: the decision, the call's id in the conversation, its tool and its arguments.
pub(super) type Question = (Task, String, String, Json);

/// A model call that this server goes on with at once.
#[derive(Debug, Clone)]
pub(super) struct HandOff {
    pub execution: ExecutionId,
    pub attempt: AttemptId,
    pub agent: Arc<Agent>,
    pub turn: u32,
    pub upto: u32,
}

/// Everything that one transaction writes.
#[derive(Default)]
pub(super) struct Batch {
    pub results: Vec<NewResult>,
    pub events: Vec<NewEvent>,
    pub messages: Vec<NewMessage>,
    pub tasks: Vec<NewTask>,
    pub retries: Vec<NewRetry>,
    pub queued: Vec<NewQueued>,
    pub asked: Vec<NewApproval>,
    pub delivered: Vec<(ExecutionId, ApprovalId, Timestamp)>,
    pub unanswered: Vec<(ExecutionId, Option<String>)>,
    pub advanced: Vec<Advanced>,
    pub withdraw: Vec<ExecutionId>,
    pub hold: Vec<ExecutionId>,
    pub release: Vec<ExecutionId>,
    pub hand_offs: Vec<HandOff>,
    /// Calls that begin to wait for messages.
    pub waits: Vec<Parked>,
    /// Executions whose end needs the text of an earlier turn.
    pub answers: Vec<(ExecutionId, u32)>,
}

/// What the committer lends to a decision.
pub(super) trait Surroundings {
    /// The id of a queue that was asked for before.
    fn queue(&self, name: &str, domain: &str) -> i32;
    /// Room for one more model call here: the server's worker id and the seconds of its lease.
    fn take_slot(&mut self, attempt: AttemptId) -> Option<(i64, f64)>;
    /// Which calls need a person.
    fn policies(&self) -> Arc<Vec<policy::Policy>>;
    /// A worker that waits for this queue's work, for which it takes the attempt.
    fn take_worker(&mut self, queue: i32, attempt: AttemptId) -> Option<i64>;
}

impl Batch {
    /// Whether it has nothing to do with questions to people.
    pub fn asks_nobody(&self) -> bool {
        self.asked.is_empty() && self.delivered.is_empty() && self.unanswered.is_empty()
    }

    /// Decide about one thing that happened to `live`.
    ///
    /// # Errors
    ///
    /// [`IllegalEvent`]; nothing was gathered then.
    pub fn decide(
        &mut self,
        live: &mut Live,
        happened: Happened<'_>,
        around: &mut impl Surroundings,
    ) -> Result<(), IllegalEvent> {
        match happened {
            Happened::Forked(fork) => self.forked(live, fork, around),
            Happened::Accepted { refused } => {
                self.apply(live, &Event::Started, &Cause::of("started"), around)?;
                if let Some(reason) = refused {
                    self.apply(live, &Event::Cancelled { reason }, &Cause::none(), around)?;
                }
                Ok(())
            }
            Happened::Controlled { event, by, request } => {
                if matches!(event, Event::Cancelled { .. }) {
                    live.ended_by = Some((storable_text(&by).into_owned(), request.clone()));
                }
                let by = Some(Json::of(&json!({ "by": storable_text(&by), "request": request })));
                let cause = match event {
                    Event::Paused => Cause { kind: "paused", data: by, ..Cause::none() },
                    Event::Resumed => Cause { kind: "resumed", data: by, ..Cause::none() },
                    Event::StopRequested => Cause { kind: "stop_requested", data: by, ..Cause::none() },
                    Event::Signalled { .. } => Cause { kind: "signalled", data: by, ..Cause::none() },
                    _ => Cause::none(),
                };
                self.apply(live, &event, &cause, around)
            }
            Happened::Decided { decision, calls } => {
                let decided = decision::delivered(&decision, calls);
                self.delivered.push((live.id, decision.id, live.at));
                let cause = Cause { kind: decided.kind, attempt: None, data: Some(decided.data) };
                self.apply(live, &decided.event, &cause, around)
            }
            Happened::Escalated { approval, to } => {
                let data = json!({ "approval": approval, "of": storable_text(&to) });
                self.event(live, "approval_escalated", None, Some(Json::of(&data)));
                Ok(())
            }
            Happened::Reported { taken, outcome, worker } => {
                self.reported(live, taken, outcome, worker, around)
            }
            Happened::Performed { taken, outcome } => self.performed(live, taken, outcome, around),
            Happened::Lost { taken, error } => self.failed(
                live,
                taken,
                Failed { error, failure: Failure::Lost, output: None, worker: None },
                around,
            ),
            Happened::Refused { attempt, worker, outcome } => {
                let data = json!({ "worker": storable_text(&worker), "outcome": outcome });
                self.event(live, "result_refused", Some(attempt), Some(Json::of(&data)));
                Ok(())
            }
        }
    }

    /// What was open is queued anew, and what was due is done.
    fn forked(
        &mut self,
        live: &mut Live,
        fork: &Fork,
        around: &mut impl Surroundings,
    ) -> Result<(), IllegalEvent> {
        self.event(live, "forked", None, Some(fork.told.clone()));
        for (attempt, queue) in &fork.open {
            if inbox::is_parked(*queue, around) {
                self.park(live, *attempt, *queue);
                continue;
            }
            self.queued.push(NewQueued {
                execution: live.id,
                attempt: *attempt,
                queue: *queue,
                priority: live.priority,
                delay: 0.0,
                lease: None,
            });
        }
        for question in &fork.asks {
            self.ask(live, question.clone(), true, around);
        }
        if fork.row.at == 0 {
            return self.apply(live, &Event::Started, &Cause::of("started"), around);
        }
        self.carry_out(live, fork.state.clone(), fork.due.clone(), &Cause::none(), None, around);
        Ok(())
    }

    fn reported(
        &mut self,
        live: &mut Live,
        taken: Taken,
        outcome: Outcome,
        worker: String,
        around: &mut impl Surroundings,
    ) -> Result<(), IllegalEvent> {
        let output = match outcome {
            Outcome::Completed(output) => output,
            Outcome::Failed { error, retryable, output } => {
                let failure = if retryable { Failure::Retryable { after: None } } else { Failure::Terminal };
                return self.failed(
                    live,
                    taken,
                    Failed { error, failure, output, worker: Some(worker) },
                    around,
                );
            }
        };
        let attempt = Some(taken.attempt);
        if let Task::Check { turn } = taken.task {
            let go_on = answer::should_continue(&output);
            let data = Some(Json::of(&json!({ "turn": turn, "go_on": go_on })));
            let cause = Cause { kind: "checked", attempt, data };
            self.apply(live, &Event::Checked { turn, go_on }, &cause, around)?;
        } else {
            if let Some(context) = answer::merge(&live.context, &output) {
                live.context = context;
                live.context_changed = true;
            }
            let cause = Cause { kind: "tool_returned", attempt, data: None };
            self.apply(live, &Event::Returned { task: taken.task }, &cause, around)?;
        }
        self.result(live, taken, "completed", Some(output), None, Some(worker), None);
        Ok(())
    }

    fn performed(
        &mut self,
        live: &mut Live,
        taken: Taken,
        outcome: ModelOutcome,
        around: &mut impl Surroundings,
    ) -> Result<(), IllegalEvent> {
        let reply = match outcome.result {
            Ok(reply) => reply,
            Err(ModelFailure { error, failure }) => {
                let error = storable_text(&error).into_owned();
                return self.failed(
                    live,
                    taken,
                    Failed { error, failure, output: None, worker: None },
                    around,
                );
            }
        };
        if let Some(condensed) = outcome.condensed {
            self.event(live, "condensed", Some(taken.attempt), Some(condensed));
        }
        let tokens = Some(tokens(&reply.usage));
        let text = reply.calls.is_empty().then(|| reply.text.clone());
        live.replies.insert(taken.task.turn(), (text, reply.finish.as_str()));
        let mut data =
            json!({ "turn": taken.task.turn(), "finish": reply.finish, "calls": reply.calls.len() });
        let mut decisive = decisive(&reply);
        let ruled = if live.is_replay {
            replay::ruled(&live.agent, &mut decisive.calls)
        } else {
            ruled(&live.agent, &around.policies(), &mut decisive.calls)
        };
        if !ruled.is_empty() {
            data["ruled"] = json!(ruled);
        }
        let cause =
            Cause { kind: "model_replied", attempt: Some(taken.attempt), data: Some(Json::of(&data)) };
        self.apply(live, &Event::Replied(decisive), &cause, around)?;
        let output = Json::of(&stored(reply));
        self.result(live, taken, "completed", Some(output), None, None, tokens);
        Ok(())
    }

    fn failed(
        &mut self,
        live: &mut Live,
        taken: Taken,
        failed: Failed,
        around: &mut impl Surroundings,
    ) -> Result<(), IllegalEvent> {
        let lost = failed.failure == Failure::Lost;
        let error = failed.error;
        let event = Event::Failed {
            task: taken.task,
            failure: failed.failure,
            error: error.clone(),
            attempt: taken.number,
            losses: taken.losses + u32::from(lost),
            policy: policy(&taken),
        };
        let (state, commands) = engine::decide(&live.agent, &live.state, &event)?;
        let retry = commands.iter().find_map(|c| match c {
            Command::Retry { delay, .. } => Some(delay.as_secs_f64()),
            _ => None,
        });
        let (kind, outcome) = match (retry, taken.task) {
            (Some(_), _) if lost => ("attempt_lost", "lost"),
            (Some(_), _) => ("attempt_failed", "failed"),
            (None, Task::Tool { .. } | Task::Approval { .. }) => ("tool_failed", "gave_up"),
            (None, Task::Model { .. }) => ("model_failed", "gave_up"),
            (None, Task::Check { .. }) => ("check_failed", "gave_up"),
        };
        let data = json!({ "error": error, "retry_in_secs": retry });
        let cause = Cause { kind, attempt: Some(taken.attempt), data: Some(Json::of(&data)) };
        self.carry_out(live, state, commands, &cause, Some(&taken), around);
        self.result(live, taken, outcome, failed.output, Some(error), failed.worker, None);
        Ok(())
    }

    fn apply(
        &mut self,
        live: &mut Live,
        event: &Event,
        cause: &Cause,
        around: &mut impl Surroundings,
    ) -> Result<(), IllegalEvent> {
        let (state, commands) = engine::decide(&live.agent, &live.state, event)?;
        self.carry_out(live, state, commands, cause, None, around);
        Ok(())
    }

    fn carry_out(
        &mut self,
        live: &mut Live,
        state: State,
        commands: Vec<Command>,
        cause: &Cause,
        taken: Option<&Taken>,
        around: &mut impl Surroundings,
    ) {
        live.asked |= live.state.open.iter().any(|task| matches!(task, Task::Approval { .. }));
        live.state = state;
        if !cause.kind.is_empty() {
            self.event(live, cause.kind, cause.attempt, cause.data.clone());
        }
        for command in commands {
            match command {
                Command::Append { n, message } => self.append(live, n, message, cause),
                Command::Ask { task, id, name, arguments } => {
                    self.ask(live, (task, id, name, arguments), false, around);
                }
                Command::CallModel { turn, upto } => self.call_model(live, turn, upto, around),
                Command::CallTool { task, id, name, arguments } => {
                    let data = json!({ "turn": task.turn(), "call": task.call(), "name": name });
                    let attempt = self.queue_task(live, task, name, Some(id), arguments, around);
                    self.event(live, "tool_called", Some(attempt), Some(Json::of(&data)));
                }
                Command::Check { turn, name } => {
                    let text = live.replies.get(&turn).and_then(|r| r.0.clone()).unwrap_or_default();
                    let input = Json::of(&json!({ "result": storable_text(&text), "iteration": turn }));
                    let attempt = self.queue_task(live, Task::Check { turn }, name, None, input, around);
                    self.event(live, "check_called", Some(attempt), None);
                }
                Command::Retry { attempt, losses, delay, .. } => {
                    if let Some(taken) = taken {
                        self.retry(live, taken, attempt, losses, delay.as_secs_f64());
                    }
                }
                Command::Hold => {}
                Command::Release => live.release = true,
                Command::Withdraw => live.withdraw = true,
                Command::Finish { status, reason, answer } => self.finish(live, status, reason, answer),
            }
        }
    }

    fn call_model(&mut self, live: &mut Live, turn: u32, upto: u32, around: &mut impl Surroundings) {
        let (execution, attempt) = (live.id, AttemptId::new());
        let queue = around.queue(super::MODEL_QUEUE, "");
        let paused = live.state.status == Status::Paused;
        let lease = if paused { None } else { around.take_slot(attempt) };
        let lease = lease.map(|(server, secs)| (server, Some(secs)));
        if lease.is_some() {
            self.hand_offs.push(HandOff { execution, attempt, agent: live.agent.clone(), turn, upto });
        }
        self.tasks.push(NewTask {
            execution,
            id: attempt,
            task: Task::Model { turn },
            name: live.agent.model.clone(),
            call_id: None,
            queue,
            input: Json::of(&json!({ "upto": upto })),
            at: live.at,
        });
        let delay = if paused { f64::INFINITY } else { 0.0 };
        self.queued.push(NewQueued { execution, attempt, queue, priority: live.priority, delay, lease });
        self.event(live, "model_called", Some(attempt), Some(Json::of(&json!({ "turn": turn }))));
    }

    fn queue_task(
        &mut self,
        live: &Live,
        task: Task,
        name: String,
        call_id: Option<String>,
        input: Json,
        around: &mut impl Surroundings,
    ) -> AttemptId {
        let (execution, attempt) = (live.id, AttemptId::new());
        let is_told_again = live.is_replay && matches!(task, Task::Tool { .. });
        let waits = !is_told_again
            && live.agent.tool(&name).is_some_and(|t| matches!(t.kind, ToolKind::Inbox { .. }));
        let queue = if is_told_again {
            around.queue(replay::QUEUE, "")
        } else if waits {
            self.waits.push((execution, attempt));
            around.queue(inbox::QUEUE, "")
        } else {
            around.queue(&name, live.domains.get(&name).map_or("", String::as_str))
        };
        let is_held = waits || live.state.status == Status::Paused;
        let delay = if is_held { f64::INFINITY } else { 0.0 };
        let worker = if is_held { None } else { around.take_worker(queue, attempt) };
        self.tasks.push(NewTask { execution, id: attempt, task, name, call_id, queue, input, at: live.at });
        self.queued.push(NewQueued {
            execution,
            attempt,
            queue,
            priority: live.priority,
            delay,
            lease: worker.map(|worker| (worker, None)),
        });
        attempt
    }

    fn retry(&mut self, live: &Live, taken: &Taken, number: u32, losses: u32, delay: f64) {
        let (execution, id) = (live.id, AttemptId::new());
        let int = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        self.retries.push(NewRetry {
            execution,
            id,
            before: taken.attempt,
            number: int(number),
            losses: int(losses),
            at: live.at,
        });
        let delay = if live.state.status == Status::Paused { f64::INFINITY } else { delay };
        let queue = taken.queue;
        self.queued.push(NewQueued {
            execution,
            attempt: id,
            queue,
            priority: live.priority,
            delay,
            lease: None,
        });
    }

    /// Ask people about a call; `again` when a copied event has asked for another run already.
    fn ask(
        &mut self,
        live: &mut Live,
        (task, call_id, name, arguments): Question,
        again: bool,
        around: &impl Surroundings,
    ) {
        let Some(tool) = live.agent.tool(&name).cloned() else { return };
        let is_question = tool.kind == ToolKind::Human;
        let policies = around.policies();
        let policy = policy::ruling(&policies, &live.agent.name, &tool, &arguments.value());
        let policy = policy.filter(|ruling| ruling.asks).map(|ruling| ruling.policy);
        let asking = policy.map(|p| p.asking.clone()).or(tool.asking).unwrap_or_default();
        let policy = policy.map(|p| p.name.clone());
        let id = ApprovalId::new();
        // Several calls of a turn that need a decision are one question to the protocol's clients.
        let is_first = is_question
            || !self
                .asked
                .iter()
                .any(|a| a.execution == live.id && a.task.turn() == task.turn() && !a.is_question);
        let mut data = json!({
            "approval": id, "turn": task.turn(), "call": task.call(), "name": name,
            "of": asking.group, "first": is_first,
        });
        if again {
            data["again"] = json!(true);
        }
        if let Some(policy) = &policy {
            data["policy"] = json!(policy);
        }
        self.asked.push(NewApproval {
            execution: live.id,
            id,
            is_question,
            agent: live.agent.name.clone(),
            task,
            call_id,
            tool: name,
            description: storable_text(&tool.description).into_owned(),
            arguments,
            schema: Json::of(&tool.input_schema),
            asking,
            policy,
            at: live.at,
        });
        self.event(live, "approval_asked", None, Some(Json::of(&data)));
    }

    fn append(&mut self, live: &mut Live, n: u32, message: Message, cause: &Cause) {
        let current = cause.attempt;
        let turn = live.state.turn;
        let mut row = NewMessage {
            execution: live.id,
            n,
            role: "user",
            turn,
            call: None,
            attempt: None,
            call_id: None,
            name: None,
            content: None,
            at: live.at,
        };
        match message {
            Message::Prompt => {}
            Message::Reply { turn } => {
                (row.role, row.turn, row.attempt) = ("assistant", turn, current);
            }
            Message::Result { task } => {
                (row.role, row.turn, row.call, row.attempt) =
                    ("tool", task.turn(), Some(task.call()), current);
            }
            Message::Answer { turn, call, id, name, text } => {
                // A person's answer has its event already.
                if !cause.kind.starts_with("approval_") {
                    let data = json!({ "turn": turn, "call": call, "id": id, "name": name, "text": text });
                    self.event(live, "call_refused", None, Some(Json::of(&data)));
                }
                (row.role, row.turn, row.call) = ("tool", turn, Some(call));
                (row.call_id, row.name, row.content) = (Some(id), Some(name), Some(text));
            }
            Message::Nudge { text } => {
                self.event(live, "nudged", None, Some(Json::of(&json!({ "text": text }))));
                row.content = Some(text);
            }
            Message::Feedback { text } => {
                self.event(live, "advised", None, Some(Json::of(&json!({ "text": text }))));
                (row.role, row.content) = ("system", Some(text));
            }
            Message::Signal { text } => (row.role, row.content) = ("signal", Some(text)),
        }
        self.messages.push(row);
    }

    fn finish(&mut self, live: &mut Live, status: Status, reason: Option<String>, answer: Option<u32>) {
        if let Some(turn) = answer {
            match live.replies.get(&turn) {
                Some((text, finish)) => {
                    live.output = Some(answer::output(text.as_deref(), finish, &live.context));
                }
                None => self.answers.push((live.id, turn)),
            }
        }
        if status == Status::Completed
            && let (None, Some(reason)) = (answer, &reason)
        {
            live.output = Some(answer::rejection(reason, &live.context));
        }
        let data = reason.as_ref().map(|reason| match live.ended_by.take() {
            None => Json::of(&json!({ "reason": reason })),
            Some((by, request)) => Json::of(&json!({ "reason": reason, "by": by, "request": request })),
        });
        live.reason = reason;
        self.event(live, status.name(), None, data);
    }

    /// The text of an earlier turn has been read: the output of the execution that ended with it.
    pub fn answer(live: &mut Live, reply: Option<&Json>) {
        let reply: Option<llm::Reply> = reply.and_then(|r| serde_json::from_str(r.text()).ok());
        let reply = reply.unwrap_or_default();
        let text = reply.calls.is_empty().then(|| readable(&reply.text));
        live.output = Some(answer::output(text.as_deref(), reply.finish.as_str(), &live.context));
    }

    /// A call waits for a message, in no worker's queue.
    pub fn park(&mut self, live: &Live, attempt: AttemptId, queue: i32) {
        let (execution, priority) = (live.id, live.priority);
        self.queued.push(NewQueued {
            execution,
            attempt,
            queue,
            priority,
            delay: f64::INFINITY,
            lease: None,
        });
    }

    /// An attempt that begins in this batch, as if it had been taken from the queue.
    pub fn begun(&self, live: &Live, attempt: AttemptId) -> Option<Taken> {
        let task = self.tasks.iter().find(|t| t.id == attempt)?;
        Some(Taken {
            execution: live.id,
            attempt,
            task: task.task,
            number: 1,
            losses: 0,
            name: task.name.clone(),
            queue: task.queue,
            polls: 0,
            started_at: Some(live.at),
            worker: None,
            worker_id: None,
            retries: None,
            backoff_scale: None,
        })
    }

    pub fn event(
        &mut self,
        live: &mut Live,
        kind: &'static str,
        attempt: Option<AttemptId>,
        data: Option<Json>,
    ) {
        live.seq += 1;
        live.newest = Some(self.events.len());
        let (execution, seq, at) = (live.id, live.seq, live.at);
        self.events.push(NewEvent { execution, seq, kind, attempt, data, at, state: None });
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of a row")]
    fn result(
        &mut self,
        live: &Live,
        taken: Taken,
        outcome: &'static str,
        output: Option<Json>,
        error: Option<String>,
        worker: Option<String>,
        tokens: Option<Tokens>,
    ) {
        self.results.push(NewResult { taken, outcome, output, error, worker, at: live.at, tokens });
    }

    /// All items of `live` are decided: what is stored of it.
    pub fn close(&mut self, live: Live) {
        let Some(newest) = live.newest else { return };
        self.events[newest].state = Some(Json::of(&live.state));
        let status = live.state.status;
        if live.withdraw {
            self.withdraw.push(live.id);
            if live.asked || live.agent.asks_people() {
                self.unanswered.push((live.id, live.reason.clone()));
            }
            self.hand_offs.retain(|h| h.execution != live.id);
        } else if status == Status::Paused {
            self.hold.push(live.id);
        } else if live.release {
            self.release.push(live.id);
        }
        self.advanced.push(Advanced {
            id: live.id,
            status: status.name(),
            reason: live.reason,
            is_changed: status != live.status || live.context_changed,
            context: live.context_changed.then_some(live.context),
            output: live.output,
            seq: live.seq,
            at: live.at,
            ended: status.is_terminal(),
        });
    }
}

/// Why something is decided, as the event that records it.
struct Cause {
    /// Empty when the decision's own events say it all.
    kind: &'static str,
    attempt: Option<AttemptId>,
    data: Option<Json>,
}

impl Cause {
    fn of(kind: &'static str) -> Self {
        Self { kind, attempt: None, data: None }
    }

    fn none() -> Self {
        Self::of("")
    }
}

/// A try without a result.
struct Failed {
    /// Storable.
    error: String,
    failure: Failure,
    output: Option<Json>,
    worker: Option<String>,
}

fn policy(taken: &Taken) -> Policy {
    if matches!(taken.task, Task::Model { .. }) {
        return Policy::MODEL;
    }
    let Some((retries, logic, delay)) = &taken.retries else { return Policy::TOOL };
    let secs = |n: i32| std::time::Duration::from_secs(u64::try_from(n).unwrap_or(0));
    let scale = u32::try_from(taken.backoff_scale.unwrap_or(1)).unwrap_or(1).max(1);
    let (backoff, delay) = match logic.as_str() {
        "LINEAR_BACKOFF" => (Backoff::Linear, secs(*delay).saturating_mul(scale)),
        "EXPONENTIAL_BACKOFF" => (Backoff::Exponential, secs(*delay)),
        _ => (Backoff::Fixed, secs(*delay)),
    };
    Policy { retries: u32::try_from(*retries).unwrap_or(0), delay, backoff, cap: Policy::TOOL.cap }
}

fn tokens(usage: &llm::Usage) -> Tokens {
    Tokens {
        prompt: signed(usage.prompt),
        completion: signed(usage.completion),
        cached: usage.cached.filter(|n| *n > 0).map(signed),
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
