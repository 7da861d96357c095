//! Tasks, leases, attempts, cancelling, pausing, retries and hand-offs as a model that a checker explores in full.
//!
//! ```text
//!   2 workers ── claim ── perform ── report, extend, call back ──┐   each message late, twice or never
//!   2 servers ── claim ── perform ── outcome ────────────────────┤
//!       └────── sweep ── lost ───────────────────────────────────┼──► committer: one or two of them in one commit
//!   1 client ── pause, resume, stop, cancel ─────────────────────┘    (settle, Batch, engine::decide: the server's own)
//!   time ──── leases end, what is deferred becomes due
//!   death ─── of workers and servers, which come again
//! ```
//!
//! The statements are the functions of [`tables`], each compared with the real one in `conforms.rs`. What must hold in
//! every state that can be reached:
//!
//! 1. A task is accepted once, and no attempt has two results.
//! 2. What was answered as accepted is what is stored.
//! 3. Only what is over is counted as lost. Nothing is handed out of a task that is accepted, of an execution that has ended, or of one that is paused.
//! 4. Nobody gets an attempt that somebody still works on.
//! 5. Attempts of a task are numbered from 1 without gaps.
//! 6. An attempt is either queued or has a result; an execution is live exactly while something is queued.
//! 7. What has ended is never written to again.
//! 8. Nothing is stuck: from there, without further faults, the execution comes to its end.
//!
//! One thing is taken for granted: when a worker gets an attempt again that it had called back, no copy of that call is
//! still on its way. The protocol has nothing by which it could be told from a new one.
//!
//! A checker that finds nothing proves nothing, so each [`Flaw`] takes one rule away and has to be found.

mod committer;
mod conforms;
mod tables;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use serde_json::json;
use stateright::{Checker, Model, Property};

use self::committer::{EXECUTION, commit, id, until};
use self::tables::{Attempt, Outcome, Tables, Worker};
use super::commit::{Done, Work};
use super::{ModelFailure, ModelOutcome, Report, Reported};
use crate::agent::Agent;
use crate::engine::{self, Event, Failure, Status, Task};
use crate::json::Json;
use crate::llm;
use crate::store::queue::{Expired, Why};

const MODEL_QUEUE_ID: i32 = 1;
const TOO_LATE: Done = Done::Reported(Reported::TooLate);
static EMPTY: LazyLock<Json> = LazyLock::new(|| Json::of(&json!({})));

/// A rule that is taken away, to see that the checker notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// `take.sql` leaves the row where it is.
    OutcomesAreNotFenced,
    /// `take.sql` does not look which lease a loss is about.
    LossesTakeAnyLease,
    /// A loss and the outcome of the same attempt are decided in one batch.
    LossesAreHeardBesideOutcomes,
    /// `call_back.sql` does not look who has the row.
    AnybodyCallsBack,
    /// `give_back.sql` does not look which lease it is about.
    AnyLeaseIsGivenBack,
    /// `call_back.sql` and `give_back.sql` do not look whether the execution is paused.
    PauseForgetsWhatComesBack,
    /// `hold.sql` is left out.
    PauseHoldsNothing,
    /// `release.sql` is left out.
    ResumeReleasesNothing,
    /// `withdraw.sql` is left out.
    CancelWithdrawsNothing,
    /// Nobody looks for leases that are over.
    NobodySweeps,
}

/// What a worker says of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Said {
    Done,
    Failed,
    FailedForGood,
}

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Wish {
    Pause,
    Resume,
    Stop,
    Cancel,
}

/// On its way. What begins with a server dies with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Message {
    Report { by: usize, attempt: Attempt, said: Said },
    CallBack { by: usize, attempt: Attempt },
    Extend { attempt: Attempt },
    Wish(Wish),
    Performed { server: usize, attempt: Attempt, answered: bool },
    Lost { server: usize, attempt: Attempt, stamp: u8 },
    GiveBack { server: usize, attempt: Attempt, worker: Worker, grant: u8 },
}

impl Message {
    fn server(&self) -> Option<usize> {
        match self {
            Self::Performed { server, .. } | Self::Lost { server, .. } | Self::GiveBack { server, .. } => {
                Some(*server)
            }
            _ => None,
        }
    }

    /// Whether a committer takes it, rather than one statement.
    fn is_item(&self) -> bool {
        !matches!(self, Self::CallBack { .. } | Self::Extend { .. } | Self::GiveBack { .. })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Server {
    is_up: bool,
    /// How often it was started.
    life: u8,
    /// The model call that it performs: it has room for one.
    call: Option<Attempt>,
}

/// How often what may happen still may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Left {
    /// Workers and servers that die, answers that get lost.
    deaths: u8,
    /// Leases that end.
    ends: u8,
    /// Messages that arrive twice.
    twice: u8,
    /// Attempts that fail.
    failures: u8,
    extensions: u8,
    call_backs: u8,
    pauses: u8,
    stops: u8,
    cancels: u8,
    /// Commits of two items.
    pairs: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    tables: Tables,
    servers: [Server; 2],
    workers: [Option<Attempt>; 2],
    messages: BTreeSet<Message>,
    left: Left,
    /// A rule that was broken.
    broken: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// A worker is leased this attempt; its answer arrives, gets lost, or nobody waits for it any more.
    Claim(usize, Attempt, Delivery),
    Say(usize, Said),
    CallBack(usize),
    Extend(usize),
    WorkerDies(usize),
    ServerClaims(usize, Attempt),
    Perform(usize, bool),
    ServerDies(usize),
    ServerStarts(usize),
    Sweep(usize),
    LeaseEnds(Attempt),
    Promote,
    Want(Wish),
    /// One statement's message.
    Deliver(Message, Kept),
    /// What a server's committer takes at once.
    Commit(usize, Message, Option<Message>, Kept),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Arrives,
    GetsLost,
    NobodyWaits(usize),
}

/// Whether a message, or one whose answer got lost, comes again.
type Kept = bool;

struct Protocol {
    agent: Arc<Agent>,
    calls: usize,
    left: Left,
    flaw: Flaw,
}

fn session(server: usize, life: u8) -> Worker {
    10 + 10 * server as u8 + life
}

impl Protocol {
    fn new(calls: usize, left: Left, flaw: Flaw) -> Self {
        let tools: Vec<_> = ["a", "b"].iter().map(|name| json!({ "name": name })).collect();
        let config = json!({ "name": "modelled", "model": "demo/echo", "maxTurns": 2, "tools": tools });
        Self { agent: Arc::new(Agent::parse(&config.to_string()).unwrap()), calls, left, flaw }
    }

    fn reply(&self, turn: u32) -> llm::Reply {
        let call = |name: &&str| llm::Call {
            id: format!("call_{name}"),
            name: (*name).to_owned(),
            arguments: llm::Arguments::Object(serde_json::Map::new()),
        };
        let calls = if turn == 1 { ["a", "b"][..self.calls].iter().map(call).collect() } else { vec![] };
        llm::Reply { calls, ..llm::Reply::default() }
    }

    /// As the server's own type.
    fn work(&self, world: &World, message: &Message) -> Work {
        let execution = *EXECUTION;
        match *message {
            Message::Report { by, attempt, said } => {
                let failed =
                    |retryable| super::Outcome::Failed { error: String::new(), retryable, output: None };
                let outcome = match said {
                    Said::Done => super::Outcome::Completed(EMPTY.clone()),
                    Said::Failed => failed(true),
                    Said::FailedForGood => failed(false),
                };
                let (worker, attempt) = (by.to_string(), id(attempt));
                Work::Report(Report { execution, attempt, worker, outcome, wants_next: true })
            }
            Message::Performed { server, attempt, answered } => {
                let failure =
                    ModelFailure { error: String::new(), failure: Failure::Retryable { after: None } };
                let result = if answered { Ok(self.reply(attempt.task.turn())) } else { Err(failure) };
                let worker = session(server, world.servers[server].life).into();
                let outcome = ModelOutcome { result, condensed: None };
                Work::Model { id: execution, attempt: id(attempt), worker, outcome }
            }
            Message::Lost { attempt, stamp, .. } => Work::Lost(Expired {
                execution,
                attempt: id(attempt),
                lease_until: until(stamp),
                worker: String::new(),
                heard: (0, until(0)),
                why: Why::Silent,
            }),
            Message::Wish(wish) => {
                let event = match wish {
                    Wish::Pause => Event::Paused,
                    Wish::Resume => Event::Resumed,
                    Wish::Stop => Event::StopRequested,
                    Wish::Cancel => Event::Cancelled { reason: String::new() },
                };
                Work::Control { id: execution, event, by: String::new(), request: String::new() }
            }
            Message::CallBack { .. } | Message::Extend { .. } | Message::GiveBack { .. } => {
                unreachable!("no committer takes these")
            }
        }
    }

    /// The rules for whoever is about to get `attempt`.
    fn hand_out(world: &mut World, attempt: Attempt) {
        let tables = &world.tables;
        let accepted = tables.results.iter().any(|(a, o)| a.task == attempt.task && o.is_final());
        let has = |held: &Option<Attempt>| *held == Some(attempt);
        world.broken = world.broken.or(match tables.state.status {
            Status::Paused => Some("handed out while paused"),
            status if status.is_terminal() => Some("handed out after the end"),
            _ if accepted => Some("handed out although it was accepted"),
            _ if world.workers.iter().any(has) || world.servers.iter().any(|s| has(&s.call)) => {
                Some("handed out while somebody works on it")
            }
            _ => None,
        });
    }

    fn commit(&self, world: &mut World, server: usize, messages: &[Message]) {
        let works: Vec<_> = messages.iter().map(|m| self.work(world, m)).collect();
        let at = &world.servers[server];
        let slot = (session(server, at.life), at.call.is_none());
        let before = world.tables.clone();
        let committed = match commit(&mut world.tables, &self.agent, &works, slot, self.flaw) {
            Ok(committed) => committed,
            Err(broken) => {
                world.broken = Some(broken);
                return;
            }
        };
        if committed.answers.is_empty() && works.len() == 1 {
            world.broken = Some("an item was refused though it was alone");
            return;
        }
        for (message, answer) in messages.iter().zip(&committed.answers) {
            world.messages.remove(message);
            if let Message::Lost { attempt, stamp, .. } = *message {
                let lease = before.queue.get(&attempt).and_then(|r| r.lease);
                let counts = world.tables.results.len() > before.results.len();
                if counts && messages.len() == 1 && lease.is_none_or(|l| l.stamp != stamp) {
                    world.broken = Some("counted as lost, but the lease was another");
                }
            }
            let Message::Report { by, attempt, said } = *message else { continue };
            let Ok(Done::Reported(Reported::Accepted(_))) = answer else {
                let lost = |m: &Message| matches!(*m, Message::Lost { attempt: a, .. } if a == attempt);
                if before.queue.contains_key(&attempt) && messages.len() == 2 && messages.iter().any(lost) {
                    world.broken = Some("an outcome was worth less than a loss of the same instant");
                }
                continue;
            };
            let stored = world.tables.results.get(&attempt);
            let told = match said {
                Said::Done => matches!(stored, Some(Outcome::Completed)),
                _ => matches!(stored, Some(Outcome::Failed | Outcome::GaveUp)),
            };
            if !told {
                world.broken = Some("answered as accepted, but not what is stored");
            }
            // What it takes next is leased in the same commit; it takes nothing that it can't work on.
            let next = world.tables.ready(false).next();
            if let Some(next) = next.filter(|_| world.workers[by].is_none()) {
                Self::hand_out(world, next);
                world.tables.claim(next, by as Worker);
                world.workers[by] = Some(next);
            }
        }
        if let Some(attempt) = committed.hand_off {
            // What was handed on before the pause of the same commit may go on, as if the pause had come a moment later.
            if !matches!(messages, [_, Message::Wish(Wish::Pause)]) {
                Self::hand_out(world, attempt);
            }
            world.servers[server].call = Some(attempt);
        }
    }

    /// From here on nothing goes wrong any more: does it come to its end?
    fn comes_to_its_end(&self, world: &World) -> bool {
        let mut world = world.clone();
        world.left = Left { deaths: 0, ends: 9, twice: 0, failures: 0, pauses: 0, pairs: 0, ..world.left };
        for _ in 0..60 {
            if world.tables.state.status.is_terminal() {
                return true;
            }
            let Some(action) = self.next_good(&world) else { return false };
            let Some(next) = self.next_state(&world, action) else { return false };
            world = next;
        }
        false
    }

    /// What well-behaved parts do next.
    fn next_good(&self, world: &World) -> Option<Action> {
        if let Some(down) = world.servers.iter().position(|s| !s.is_up) {
            return Some(Action::ServerStarts(down));
        }
        if let Some(message) = world.messages.iter().next() {
            let server = message.server().unwrap_or(0);
            return Some(if message.is_item() {
                Action::Commit(server, *message, None, false)
            } else {
                Action::Deliver(*message, false)
            });
        }
        if world.tables.state.status == Status::Paused {
            return Some(Action::Want(Wish::Resume));
        }
        if let Some(server) = world.servers.iter().position(|s| s.call.is_some()) {
            return Some(Action::Perform(server, true));
        }
        if let Some(worker) = world.workers.iter().position(Option::is_some) {
            return Some(Action::Say(worker, Said::Done));
        }
        if let Some(attempt) = world.tables.ready(true).next() {
            return Some(Action::ServerClaims(0, attempt));
        }
        if let Some(attempt) = world.tables.ready(false).next() {
            return Some(Action::Claim(0, attempt, Delivery::Arrives));
        }
        if world.tables.queue.values().any(|r| r.when == tables::When::Later) {
            return Some(Action::Promote);
        }
        let leased = world.tables.queue.iter().find(|(_, r)| r.lease.is_some_and(|l| !l.is_over));
        if let Some((attempt, _)) = leased {
            return Some(Action::LeaseEnds(*attempt));
        }
        (self.flaw != Flaw::NobodySweeps).then_some(Action::Sweep(0))
    }

    fn is_gone(world: &World, worker: Worker) -> bool {
        let of = usize::from(worker / 10).checked_sub(1);
        of.is_some_and(|s| !world.servers[s].is_up || session(s, world.servers[s].life) != worker)
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let begun = engine::begin(&self.agent);
        let (state, _) = engine::decide(&self.agent, &begun, &Event::Started).unwrap();
        let mut tables = Tables::new(state);
        let first = Attempt { task: Task::Model { turn: 1 }, number: 1 };
        tables.tasks.insert(first, 0);
        tables.enqueue(first, tables::When::Now, Some(session(0, 0)));
        let server = |call| Server { is_up: true, life: 0, call };
        let servers = [server(Some(first)), server(None)];
        vec![World {
            tables,
            servers,
            workers: [None; 2],
            messages: BTreeSet::new(),
            left: self.left,
            broken: None,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        let left = world.left;
        let up = |s: &usize| world.servers[*s].is_up;
        for attempt in world.tables.ready(false) {
            for (w, _) in world.workers.iter().enumerate().filter(|(_, has)| has.is_none()) {
                actions.push(Action::Claim(w, attempt, Delivery::Arrives));
                if left.deaths > 0 {
                    actions.push(Action::Claim(w, attempt, Delivery::GetsLost));
                    let orphaned = |s| Action::Claim(w, attempt, Delivery::NobodyWaits(s));
                    actions.extend((0..2).filter(up).map(orphaned));
                }
            }
        }
        for attempt in world.tables.ready(true) {
            let free = |s: &usize| up(s) && world.servers[*s].call.is_none();
            actions.extend((0..2).filter(free).map(|s| Action::ServerClaims(s, attempt)));
        }
        for (w, _) in world.workers.iter().enumerate().filter(|(_, has)| has.is_some()) {
            actions.push(Action::Say(w, Said::Done));
            if left.failures > 0 {
                actions.extend([Action::Say(w, Said::Failed), Action::Say(w, Said::FailedForGood)]);
            }
            if left.call_backs > 0 {
                actions.push(Action::CallBack(w));
            }
            if left.extensions > 0 {
                actions.push(Action::Extend(w));
            }
            if left.deaths > 0 {
                actions.push(Action::WorkerDies(w));
            }
        }
        for (s, server) in world.servers.iter().enumerate() {
            if !server.is_up {
                actions.push(Action::ServerStarts(s));
                continue;
            }
            if left.deaths > 0 {
                actions.push(Action::ServerDies(s));
            }
            if server.call.is_some() {
                actions.push(Action::Perform(s, true));
                if left.failures > 0 {
                    actions.push(Action::Perform(s, false));
                }
            }
            if self.flaw != Flaw::NobodySweeps {
                actions.push(Action::Sweep(s));
            }
        }
        if left.ends > 0 {
            let lasting = world.tables.queue.iter().filter(|(_, r)| r.lease.is_some_and(|l| !l.is_over));
            actions.extend(lasting.map(|(a, _)| Action::LeaseEnds(*a)));
        }
        actions.push(Action::Promote);
        match world.tables.state.status {
            Status::Running if left.pauses > 0 => actions.push(Action::Want(Wish::Pause)),
            Status::Paused => actions.push(Action::Want(Wish::Resume)),
            _ => {}
        }
        if left.stops > 0 {
            actions.push(Action::Want(Wish::Stop));
        }
        if left.cancels > 0 {
            actions.push(Action::Want(Wish::Cancel));
        }
        Self::deliveries(world, actions);
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        let left = &mut world.left;
        match action {
            Action::Claim(w, attempt, delivery) => {
                if delivery == Delivery::Arrives {
                    world.messages.remove(&Message::CallBack { by: w, attempt });
                    Self::hand_out(&mut world, attempt);
                    world.workers[w] = Some(attempt);
                } else {
                    left.deaths -= 1;
                }
                world.tables.claim(attempt, w as Worker);
                if let Delivery::NobodyWaits(server) = delivery {
                    let grant = world.tables.stamps;
                    world.messages.insert(Message::GiveBack { server, attempt, worker: w as Worker, grant });
                }
            }
            Action::Say(w, said) => {
                left.failures -= u8::from(said != Said::Done);
                let attempt = world.workers[w].take()?;
                world.messages.insert(Message::Report { by: w, attempt, said });
            }
            Action::CallBack(w) => {
                left.call_backs -= 1;
                let attempt = world.workers[w].take()?;
                world.messages.insert(Message::CallBack { by: w, attempt });
            }
            Action::Extend(w) => {
                left.extensions -= 1;
                world.messages.insert(Message::Extend { attempt: world.workers[w]? });
            }
            Action::WorkerDies(w) => {
                left.deaths -= 1;
                world.workers[w] = None;
            }
            Action::ServerClaims(s, attempt) => {
                Self::hand_out(&mut world, attempt);
                world.tables.claim(attempt, session(s, world.servers[s].life));
                world.servers[s].call = Some(attempt);
            }
            Action::Perform(s, answered) => {
                left.failures -= u8::from(!answered);
                let attempt = world.servers[s].call.take()?;
                world.messages.insert(Message::Performed { server: s, attempt, answered });
            }
            Action::ServerDies(s) => {
                left.deaths -= 1;
                world.servers[s] = Server { is_up: false, call: None, ..world.servers[s] };
                world.messages.retain(|m| m.server() != Some(s));
            }
            Action::ServerStarts(s) => {
                let server = &mut world.servers[s];
                *server = Server { is_up: true, life: server.life + 1, call: None };
            }
            Action::Sweep(server) => {
                let found = world.tables.expired(|w| Self::is_gone(before, w));
                world.messages.extend(found.into_iter().map(|(attempt, stamp)| Message::Lost {
                    server,
                    attempt,
                    stamp,
                }));
            }
            Action::LeaseEnds(attempt) => {
                left.ends -= 1;
                world.tables.queue.get_mut(&attempt)?.lease.as_mut()?.is_over = true;
            }
            Action::Promote => world.tables.promote(),
            Action::Want(wish) => {
                match wish {
                    Wish::Pause => left.pauses -= 1,
                    Wish::Resume => {}
                    Wish::Stop => left.stops -= 1,
                    Wish::Cancel => left.cancels -= 1,
                }
                world.messages.insert(Message::Wish(wish));
            }
            Action::Deliver(message, kept) => self.deliver(&mut world, message, kept),
            Action::Commit(server, one, other, kept) => {
                left.pairs -= u8::from(other.is_some());
                left.twice -= u8::from(kept);
                let messages: Vec<_> = [Some(one), other].into_iter().flatten().collect();
                self.commit(&mut world, server, &messages);
                if kept {
                    world.messages.insert(one);
                }
            }
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no rule is broken on the way", |_, w: &World| w.broken.is_none()),
            Property::always("attempts are numbered from 1 without gaps", |_, w: &World| {
                w.tables.tasks.keys().all(|a| {
                    a.number == 1 || w.tables.tasks.contains_key(&Attempt { number: a.number - 1, ..*a })
                })
            }),
            Property::always("an attempt is queued or has a result", |_, w: &World| {
                let t = &w.tables;
                let one = |a: &Attempt| t.queue.contains_key(a) != t.results.contains_key(a);
                w.broken.is_some()
                    || t.tasks.keys().all(one) && t.queue.len() + t.results.len() == t.tasks.len()
            }),
            Property::always("an execution is live while something is queued", |_, w: &World| {
                w.broken.is_some() || w.tables.state.status.is_terminal() == w.tables.queue.is_empty()
            }),
            Property::always("nothing is stuck", |m: &Self, w: &World| {
                w.broken.is_some() || m.comes_to_its_end(w)
            }),
            Property::sometimes("it completes", |_, w: &World| w.tables.state.status == Status::Completed),
            Property::sometimes("it is cancelled, where somebody wants that", |m: &Self, w: &World| {
                m.left.cancels == 0 || w.tables.state.status == Status::Terminated
            }),
            Property::sometimes("a lost attempt is tried again and accepted", |m: &Self, w: &World| {
                let lost = |a: &Attempt| w.tables.results.get(a) == Some(&Outcome::Lost);
                let before = |a: &Attempt| a.number > 1 && lost(&Attempt { number: a.number - 1, ..*a });
                m.left.ends == 0
                    || w.tables.results.iter().any(|(a, o)| *o == Outcome::Completed && before(a))
            }),
        ]
    }
}

impl Protocol {
    /// What may arrive next: single statements by themselves, items alone or two in one commit.
    fn deliveries(world: &World, actions: &mut Vec<Action>) {
        let left = world.left;
        let again: &[bool] = if left.twice > 0 { &[false, true] } else { &[false] };
        for message in &world.messages {
            let may_repeat = message.server().is_none() && !matches!(message, Message::Wish(_));
            let again = if may_repeat { again } else { &[false] };
            if !message.is_item() {
                actions.extend(again.iter().map(|kept| Action::Deliver(*message, *kept)));
                continue;
            }
            for server in
                (0..2).filter(|s| world.servers[*s].is_up && message.server().is_none_or(|m| m == *s))
            {
                for kept in again {
                    actions.push(Action::Commit(server, *message, None, *kept));
                }
                if left.pairs == 0 {
                    continue;
                }
                let fits =
                    |m: &&Message| *m != message && m.is_item() && m.server().is_none_or(|m| m == server);
                for other in world.messages.iter().filter(fits) {
                    actions.push(Action::Commit(server, *message, Some(*other), false));
                }
            }
        }
    }

    fn deliver(&self, world: &mut World, message: Message, kept: Kept) {
        world.left.twice -= u8::from(kept);
        if !kept {
            world.messages.remove(&message);
        }
        let tables = &mut world.tables;
        let status = tables.state.status;
        if self.flaw == Flaw::PauseForgetsWhatComesBack && status == Status::Paused {
            tables.state.status = Status::Running;
        }
        match message {
            Message::CallBack { by, attempt } => {
                let by = Some(by as Worker).filter(|_| self.flaw != Flaw::AnybodyCallsBack);
                tables.call_back(attempt, true, by);
            }
            Message::Extend { attempt } => tables.extend(attempt),
            Message::GiveBack { attempt, worker, grant, .. } => {
                tables.give_back(
                    attempt,
                    worker,
                    Some(grant).filter(|_| self.flaw != Flaw::AnyLeaseIsGivenBack),
                );
            }
            _ => unreachable!("a committer takes these"),
        }
        tables.state.status = status;
    }
}

const NONE: Left = Left {
    deaths: 0,
    ends: 0,
    twice: 0,
    failures: 0,
    extensions: 0,
    call_backs: 0,
    pauses: 0,
    stops: 0,
    cancels: 0,
    pairs: 0,
};

/// Explore all of it, or until a rule is broken; the number of states, and what was found.
fn explore(calls: usize, left: Left, flaw: Flaw) -> (usize, Vec<(&'static str, String)>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = Protocol::new(calls, left, flaw).checker().threads(threads).spawn_bfs().join();
    let found = checker.discoveries().into_iter().filter(|(name, _)| {
        checker
            .model()
            .properties()
            .iter()
            .any(|p| p.name == *name && p.expectation == stateright::Expectation::Always)
    });
    let found = found
        .map(|(name, path)| (name, format!("{:#?}\n{:#?}", path.clone().into_actions(), path.last_state())));
    let found: Vec<_> = found.collect();
    if flaw == Flaw::None && found.is_empty() {
        checker.assert_properties();
    }
    (checker.unique_state_count(), found)
}

#[track_caller]
fn holds(name: &str, calls: usize, left: Left) -> usize {
    let (states, found) = explore(calls, left, Flaw::None);
    println!("{name}: {states} states");
    assert!(found.is_empty(), "{name}: {} is broken after\n{}", found[0].0, found[0].1);
    states
}

#[test]
fn deaths_losses_and_failures_break_no_rule() {
    holds("deaths and losses", 1, Left { deaths: 1, ends: 1, pairs: 1, ..NONE });
    holds("late and repeated reports", 1, Left { ends: 1, twice: 1, failures: 1, ..NONE });
}

#[test]
fn pausing_and_cancelling_break_no_rule() {
    holds("pauses", 1, Left { deaths: 1, call_backs: 1, twice: 1, pauses: 1, ..NONE });
    holds("cancels", 1, Left { ends: 1, cancels: 1, stops: 1, pauses: 1, ..NONE });
}

/// A checker that finds nothing proves nothing.
#[test]
fn each_rule_that_is_taken_away_is_missed() {
    let losses = Left { ends: 1, pairs: 1, extensions: 1, ..NONE };
    let pauses = Left { deaths: 1, call_backs: 1, pauses: 1, ..NONE };
    let flaws = [
        (Flaw::OutcomesAreNotFenced, Left { twice: 1, ..NONE }),
        (Flaw::LossesTakeAnyLease, losses),
        (Flaw::LossesAreHeardBesideOutcomes, losses),
        (Flaw::AnybodyCallsBack, Left { call_backs: 1, twice: 1, ..NONE }),
        (Flaw::AnyLeaseIsGivenBack, Left { twice: 1, ..pauses }),
        (Flaw::PauseForgetsWhatComesBack, pauses),
        (Flaw::PauseHoldsNothing, pauses),
        (Flaw::ResumeReleasesNothing, pauses),
        (Flaw::CancelWithdrawsNothing, Left { cancels: 1, ..NONE }),
        (Flaw::NobodySweeps, Left { deaths: 1, ..NONE }),
    ];
    for (flaw, left) in flaws {
        let (states, found) = explore(1, left, flaw);
        assert!(!found.is_empty(), "{flaw:?}: nothing is broken in {states} states");
        println!("{flaw:?}: '{}' is broken, after {states} states", found[0].0);
    }
}

/// `just model`
#[test]
#[ignore = "takes minutes"]
fn everything_together_breaks_no_rule() {
    let faults = Left { deaths: 1, ends: 1, twice: 1, pairs: 1, ..NONE };
    let states = [
        holds("two tools at once", 2, Left { ends: 1, pairs: 1, deaths: 1, ..NONE }),
        holds("faults and failures", 1, Left { failures: 1, ..faults }),
        holds("faults and a cancel", 1, Left { cancels: 1, ..faults }),
        holds("faults, a pause and a call back", 1, Left { call_backs: 1, pauses: 1, ..faults }),
        holds("two deaths and two ends", 1, Left { deaths: 2, ends: 2, extensions: 1, pairs: 1, ..NONE }),
    ];
    let all: usize = states.iter().sum();
    println!("together: {all} states");
    assert!(all >= 1_000_000, "only {all} states");
}
