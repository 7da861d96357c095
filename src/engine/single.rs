//! One agent's loop: a model call, the tool calls that it asks for, and so on until it answers.

use super::{Agent, Call, Command, Event, Message, Reply, State, Status, Task};
use crate::agent::ToolKind;
use crate::agent::termination::Progress;
use crate::json::Json;

/// How often the loop begins again while required tools were not called.
const MAX_PASSES: u32 = 3;

/// A decision in the making: the state as it changes and the commands so far.
pub(super) struct Step<'a> {
    agent: &'a Agent,
    pub(super) state: State,
    commands: Vec<Command>,
}

impl<'a> Step<'a> {
    pub(super) fn new(agent: &'a Agent, state: State) -> Self {
        Self { agent, state, commands: vec![] }
    }

    pub(super) fn done(self) -> (State, Vec<Command>) {
        (self.state, self.commands)
    }

    /// Handle what happened to the work itself; false when it can't have happened in this state.
    pub(super) fn on_work(&mut self, event: &Event) -> bool {
        match event {
            Event::Started if self.state.turn == 0 => {
                self.append(Message::Prompt);
                self.next_turn();
            }
            Event::Replied(reply) if self.close(Task::Model { turn: self.state.turn }) => self.replied(reply),
            Event::Returned { task: task @ Task::Tool { .. } } if self.close(*task) => self.answered(*task),
            Event::Approved { task, arguments, feedback, calls }
                if self.is_gate(*task, calls) && self.close(*task) =>
            {
                self.approved(*task, arguments, feedback.as_deref(), calls);
            }
            Event::Denied { task: task @ Task::Approval { .. }, text, calls } if self.close(*task) => {
                self.told(*task, text, calls);
            }
            Event::Answered { task: task @ Task::Approval { .. }, text, calls }
                if !self.is_gate(*task, calls) && self.close(*task) =>
            {
                self.told(*task, text, calls);
            }
            Event::Checked { turn, go_on } if self.close(Task::Check { turn: *turn }) => {
                if *go_on {
                    self.next_turn();
                } else {
                    self.finish();
                }
            }
            Event::Failed { task, failure, error, attempt, losses, policy }
                if self.is_open(*task) && !matches!(task, Task::Approval { .. }) =>
            {
                match policy.next(*failure, *attempt, *losses) {
                    Some(delay) => self.commands.push(Command::Retry {
                        task: *task,
                        attempt: attempt + 1,
                        losses: *losses,
                        delay,
                    }),
                    None => self.gave_up(*task, error),
                }
            }
            _ => return false,
        }
        true
    }

    pub(super) fn pause(&mut self) {
        self.state.status = Status::Paused;
        self.commands.push(Command::Hold);
    }

    pub(super) fn resume(&mut self) {
        self.state.status = Status::Running;
        self.commands.push(Command::Release);
    }

    pub(super) fn append(&mut self, message: Message) {
        self.state.messages += 1;
        self.commands.push(Command::Append { n: self.state.messages, message });
    }

    /// End it, whatever is open.
    pub(super) fn end(&mut self, status: Status, reason: Option<String>) {
        if !self.state.open.is_empty() {
            self.state.open.clear();
            self.commands.push(Command::Withdraw);
        }
        self.state.held.clear();
        self.state.status = status;
        self.commands.push(Command::Finish { status, reason, answer: None });
    }

    fn is_open(&self, task: Task) -> bool {
        self.state.open.contains(&task)
    }

    /// Take `task` off what is open; false when it wasn't.
    fn close(&mut self, task: Task) -> bool {
        let found = self.state.open.iter().position(|t| *t == task);
        found.map(|at| self.state.open.remove(at)).is_some()
    }

    fn next_turn(&mut self) {
        self.state.turn += 1;
        let turn = self.state.turn;
        self.state.open.push(Task::Model { turn });
        self.commands.push(Command::CallModel { turn, upto: self.state.messages });
    }

    fn replied(&mut self, reply: &Reply) {
        let turn = self.state.turn;
        self.append(Message::Reply { turn });
        self.state.prompt_tokens = self.state.prompt_tokens.saturating_add(reply.prompt_tokens);
        self.state.completion_tokens = self.state.completion_tokens.saturating_add(reply.completion_tokens);
        self.state.again = reply.truncated || !reply.calls.is_empty();
        self.state.ended = self.agent.termination.as_ref().is_some_and(|t| {
            t.is_met(Progress {
                text: &reply.text,
                turn,
                prompt_tokens: self.state.prompt_tokens,
                completion_tokens: self.state.completion_tokens,
            })
        });
        let holds = reply.calls.iter().any(|call| self.is_gated(call) && self.refusal(call).is_none());
        for (i, call) in reply.calls.iter().enumerate() {
            let index = u16::try_from(i).unwrap_or(u16::MAX);
            match self.refusal(call) {
                Some(text) => {
                    let (id, name) = (call.id.clone(), call.name.clone());
                    self.append(Message::Answer { turn, call: index, id, name, text });
                }
                None => self.begin_call(index, call, holds),
            }
        }
        // Perhaps the call that needed a decision was refused after all.
        self.let_go(turn, &reply.calls);
        self.turn_over();
    }

    /// A call that can be made: by a tool at once, by a person, or once nothing has to be decided any more.
    fn begin_call(&mut self, index: u16, call: &Call, holds: bool) {
        let Ok(arguments) = &call.arguments else { return };
        let Some(tool) = self.agent.tool(&call.name) else { return };
        let turn = self.state.turn;
        self.state.missing.retain(|m| *m != call.name);
        if tool.max_calls.is_some() {
            *self.state.used.entry(call.name.clone()).or_default() += 1;
        }
        if self.is_question(call) || self.is_gated(call) {
            let task = Task::Approval { turn, call: index };
            self.state.open.push(task);
            let (id, name) = (call.id.clone(), call.name.clone());
            self.commands.push(Command::Ask { task, id, name, arguments: arguments.clone() });
        } else if holds {
            self.state.held.push(index);
        } else {
            self.call_tool(Task::Tool { turn, call: index }, call, arguments);
        }
    }

    fn call_tool(&mut self, task: Task, call: &Call, arguments: &Json) {
        self.state.open.push(task);
        self.commands.push(Command::CallTool {
            task,
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: arguments.clone(),
        });
    }

    /// A person let a call go.
    fn approved(&mut self, decided: Task, arguments: &Json, feedback: Option<&str>, calls: &[Call]) {
        let (turn, index) = (decided.turn(), decided.call());
        if let Some(text) = feedback {
            self.append(Message::Feedback { text: text.to_owned() });
        }
        if let Some(call) = calls.get(usize::from(index)) {
            self.call_tool(Task::Tool { turn, call: index }, call, arguments);
        }
        self.let_go(turn, calls);
        self.turn_over();
    }

    /// A person answered a call in the tool's place, or refused it.
    fn told(&mut self, decided: Task, text: &str, calls: &[Call]) {
        let (turn, index) = (decided.turn(), decided.call());
        let (id, name) =
            calls.get(usize::from(index)).map(|c| (c.id.clone(), c.name.clone())).unwrap_or_default();
        self.append(Message::Answer { turn, call: index, id, name, text: text.to_owned() });
        self.let_go(turn, calls);
        self.turn_over();
    }

    /// Whether it is a decision without which a call is not made, rather than a question to be answered.
    fn is_gate(&self, task: Task, calls: &[Call]) -> bool {
        let call = calls.get(usize::from(task.call()));
        matches!(task, Task::Approval { .. })
            && call.and_then(|c| self.agent.tool(&c.name)).is_some_and(|tool| tool.kind != ToolKind::Human)
    }

    /// Whether a person answers a call in the tool's place.
    fn is_question(&self, call: &Call) -> bool {
        call.gated != Some(false)
            && self.agent.tool(&call.name).is_some_and(|tool| tool.kind == ToolKind::Human)
    }

    /// Whether a call waits until a person has let it go.
    fn is_gated(&self, call: &Call) -> bool {
        let tool = self.agent.tool(&call.name).filter(|tool| tool.kind != ToolKind::Human);
        tool.is_some_and(|tool| call.gated.unwrap_or_else(|| tool.is_gated()))
    }

    /// Begin what waited for decisions, once none of them is open.
    fn let_go(&mut self, turn: u32, calls: &[Call]) {
        if self.state.open.iter().any(|task| self.is_gate(*task, calls)) {
            return;
        }
        for index in std::mem::take(&mut self.state.held) {
            if let Some(call) = calls.get(usize::from(index))
                && let Ok(arguments) = &call.arguments
            {
                self.call_tool(Task::Tool { turn, call: index }, call, arguments);
            }
        }
    }

    /// What the model is told when a call can't be made at all.
    fn refusal(&self, call: &Call) -> Option<String> {
        let Some(tool) = self.agent.tool(&call.name) else {
            let names: Vec<_> = self.agent.tools.iter().map(|t| t.name.as_str()).collect();
            return Some(format!(
                "Error: there is no tool '{}'. Available tools: {}.",
                call.name,
                if names.is_empty() { "none".into() } else { names.join(", ") }
            ));
        };
        if let Err(sent) = &call.arguments {
            let sent: String = sent.chars().take(200).collect();
            return Some(format!(
                "Error: the arguments of '{}' are not a JSON object: {sent}. Call it again with valid JSON.",
                call.name
            ));
        }
        let used = self.state.used.get(&call.name).copied().unwrap_or(0);
        tool.max_calls.filter(|max| used >= *max).map(|max| {
            format!(
                "Error: '{}' may be called {max} times in this run, and it was. Go on without it.",
                call.name
            )
        })
    }

    fn answered(&mut self, task: Task) {
        self.append(Message::Result { task });
        self.turn_over();
    }

    /// No more tries: the model hears of a tool's failure, anything else ends the execution.
    fn gave_up(&mut self, task: Task, error: &str) {
        match task {
            Task::Tool { .. } => {
                self.close(task);
                self.answered(task);
            }
            Task::Model { .. } | Task::Check { .. } | Task::Approval { .. } => {
                self.end(Status::Failed, Some(error.to_owned()));
            }
        }
    }

    /// When nothing of the turn is open any more: another one, a question whether to, or the end.
    fn turn_over(&mut self) {
        if !self.state.open.is_empty() {
            return;
        }
        let s = &self.state;
        if !s.again || s.ended || s.stop || s.turn >= s.turn_limit {
            return self.finish();
        }
        match &self.agent.stop_when {
            Some(name) => {
                let turn = self.state.turn;
                self.state.open.push(Task::Check { turn });
                self.commands.push(Command::Check { turn, name: name.clone() });
            }
            None => self.next_turn(),
        }
    }

    /// The loop is over; begin again when required tools were not called, as often as that makes sense.
    fn finish(&mut self) {
        let s = &self.state;
        if !s.missing.is_empty() && !s.stop && !s.ended && s.pass < MAX_PASSES {
            let text =
                format!("You have not called {} yet. Call it before you answer.", s.missing.join(", "));
            self.state.pass += 1;
            self.state.turn_limit = self.state.turn + self.agent.max_turns;
            self.append(Message::Nudge { text });
            return self.next_turn();
        }
        self.state.status = Status::Completed;
        let answer = Some(self.state.turn);
        self.commands.push(Command::Finish { status: Status::Completed, reason: None, answer });
    }
}
