use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;

use super::history::{self, Record};
use super::*;

#[test]
fn an_agent_without_tools_makes_one_model_call_and_completes() {
    let (agent, s) = started(json!({}));
    assert_eq!(s.open, [Task::Model { turn: 1 }]);

    let (s, commands) = decide(&agent, &s, &says("hello")).unwrap();
    assert_eq!(s.status, Status::Completed);
    assert_eq!(ends(&commands), Some((Status::Completed, Some(1))));
}

#[test]
fn the_model_runs_again_only_after_the_last_tool_returns() {
    let (agent, s) = started(tools(&["search", "fetch"]));

    let (s, commands) = decide(&agent, &s, &calls(&["search", "fetch"])).unwrap();
    assert_eq!(called(&commands), ["search", "fetch"]);

    let (s, commands) = decide(&agent, &s, &returns(1, 1)).unwrap();
    assert_eq!(turns(&commands), [0; 0]);

    let (s, commands) = decide(&agent, &s, &returns(1, 0)).unwrap();
    assert_eq!(turns(&commands), [2]);
    assert_eq!(s.open, [Task::Model { turn: 2 }]);
}

#[test]
fn an_unknown_tool_and_broken_arguments_are_answered_at_once() {
    let (agent, s) = started(tools(&["search"]));
    let reply = Event::Replied(Reply {
        calls: vec![call("nosuch", Ok(Json::of(&json!({})))), call("search", Err("{oops".into()))],
        ..reply("")
    });

    let (s, commands) = decide(&agent, &s, &reply).unwrap();

    let answers: Vec<_> = commands
        .iter()
        .filter_map(|c| match c {
            Command::Append { message: Message::Answer { text, .. }, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(answers[0], "Error: there is no tool 'nosuch'. Available tools: search.");
    assert!(answers[1].contains("not a JSON object: {oops"));
    assert_eq!(s.open, [Task::Model { turn: 2 }]);
}

#[test]
fn the_turn_limit_ends_the_loop_without_an_error() {
    let (agent, mut s) = started({
        let mut config = tools(&["search"]);
        config["maxTurns"] = json!(2);
        config
    });
    for turn in 1..=2 {
        s = decide(&agent, &s, &calls(&["search"])).unwrap().0;
        s = decide(&agent, &s, &returns(turn, 0)).unwrap().0;
    }
    assert_eq!((s.status, s.turn), (Status::Completed, 2));
}

#[test]
fn a_truncated_answer_goes_on() {
    let (agent, s) = started(tools(&["search"]));
    let (s, commands) =
        decide(&agent, &s, &Event::Replied(Reply { truncated: true, ..reply("half a") })).unwrap();
    assert_eq!(turns(&commands), [2]);
    assert_eq!(s.turn, 2);
}

#[test]
fn a_failed_tool_is_tried_again_and_then_told_to_the_model() {
    let (agent, s) = started(tools(&["search"]));
    let (s, _) = decide(&agent, &s, &calls(&["search"])).unwrap();

    let (s, commands) = decide(&agent, &s, &fails(tool(1, 0), 1)).unwrap();
    assert_eq!(retries(&commands), [(2, 2)]);
    let (s, commands) = decide(&agent, &s, &fails(tool(1, 0), 2)).unwrap();
    assert_eq!(retries(&commands), [(3, 4)]);
    let (s, commands) = decide(&agent, &s, &fails(tool(1, 0), 3)).unwrap();
    assert_eq!(retries(&commands), []);
    assert_eq!(turns(&commands), [2]);
    assert_eq!(s.status, Status::Running);
}

#[test]
fn tries_lost_with_their_worker_do_not_use_up_the_retries() {
    let (agent, s) = started(tools(&["search"]));
    let (mut s, _) = decide(&agent, &s, &calls(&["search"])).unwrap();
    for losses in 1..=10 {
        let (next, commands) = decide(&agent, &s, &lost(tool(1, 0), losses, losses)).unwrap();
        assert_eq!(retries(&commands), [(losses + 1, u64::from(losses) - 1)]);
        s = next;
    }
    let (_, commands) = decide(&agent, &s, &lost(tool(1, 0), 11, 11)).unwrap();
    assert_eq!(turns(&commands), [2]);
}

#[test]
fn a_model_call_that_can_not_succeed_fails_the_execution() {
    let (agent, s) = started(json!({}));
    let event = Event::Failed {
        task: Task::Model { turn: 1 },
        failure: Failure::Terminal,
        error: "401".into(),
        attempt: 1,
        losses: 0,
        policy: Policy::MODEL,
    };
    let (s, commands) = decide(&agent, &s, &event).unwrap();
    assert_eq!(s.status, Status::Failed);
    assert_eq!(ends(&commands), Some((Status::Failed, None)));
}

#[test]
fn a_stop_request_ends_it_after_the_turn() {
    let (agent, s) = started(tools(&["search"]));
    let (s, _) = decide(&agent, &s, &calls(&["search"])).unwrap();
    let (s, commands) = decide(&agent, &s, &Event::StopRequested).unwrap();
    assert_eq!((s.status, commands.len()), (Status::Running, 0));
    let (s, _) = decide(&agent, &s, &returns(1, 0)).unwrap();
    assert_eq!(s.status, Status::Completed);
}

#[test]
fn required_tools_are_asked_for_three_times_at_most() {
    let (agent, mut s) = started({
        let mut config = tools(&["search"]);
        config["requiredTools"] = json!(["search"]);
        config
    });
    for pass in 1..=2 {
        assert_eq!(s.pass, pass);
        s = decide(&agent, &s, &says("no")).unwrap().0;
        assert_eq!(s.status, Status::Running);
    }
    s = decide(&agent, &s, &says("no")).unwrap().0;
    assert_eq!(s.status, Status::Completed);
}

#[test]
fn a_stop_when_worker_is_asked_only_when_there_would_be_another_turn() {
    let (agent, s) = started({
        let mut config = tools(&["search"]);
        config["stopWhen"] = json!({"taskName": "a_stop_when"});
        config
    });
    let (asked, _) = decide(&agent, &s, &calls(&["search"])).unwrap();
    let (asked, _) = decide(&agent, &asked, &returns(1, 0)).unwrap();
    assert_eq!(asked.open, [Task::Check { turn: 1 }]);
    let (go, _) = decide(&agent, &asked, &Event::Checked { turn: 1, go_on: true }).unwrap();
    assert_eq!(go.open, [Task::Model { turn: 2 }]);
    let (stop, _) = decide(&agent, &asked, &Event::Checked { turn: 1, go_on: false }).unwrap();
    assert_eq!(stop.status, Status::Completed);

    let (s, _) = decide(&agent, &s, &says("done")).unwrap();
    assert_eq!(s.status, Status::Completed);
}

#[test]
fn a_tool_with_a_limit_is_refused_beyond_it() {
    let (agent, s) = started(json!({"tools": [{"name": "search", "maxCalls": 1}]}));
    let (_, commands) = decide(&agent, &s, &calls(&["search", "search"])).unwrap();
    assert_eq!(called(&commands), ["search"]);
}

/// An agent whose tool `refund` needs an approval, whose tool `ask` is a person, and whose tool `search` is neither.
fn careful() -> (Agent, State) {
    started(json!({"tools": [
        {"name": "search"}, {"name": "refund", "approvalRequired": true}, {"name": "ask", "toolType": "human"},
    ]}))
}

#[test]
fn a_call_that_needs_an_approval_runs_when_it_has_one() {
    let (agent, s) = careful();
    let (s, commands) = decide(&agent, &s, &calls(&["refund"])).unwrap();
    assert_eq!((s.open.as_slice(), called(&commands)), (&[decision(1, 0)][..], vec![]));
    assert!(commands.iter().any(|c| matches!(c, Command::Ask { name, .. } if name == "refund")));

    let (s, commands) = decide(&agent, &s, &approves(1, 0, &["refund"])).unwrap();
    assert_eq!((s.open.as_slice(), called(&commands)), (&[tool(1, 0)][..], vec!["refund"]));
    let Some(Command::CallTool { arguments, .. }) = commands.last() else { panic!("{commands:?}") };
    assert_eq!(arguments.value(), json!({"edited": true}));
}

#[test]
fn a_denial_is_told_to_the_model_and_the_run_goes_on() {
    let (agent, s) = careful();
    let (s, _) = decide(&agent, &s, &calls(&["refund"])).unwrap();
    let (s, commands) = decide(&agent, &s, &denies(1, 0, &["refund"])).unwrap();
    assert_eq!((called(&commands), turns(&commands), s.status), (vec![], vec![2], Status::Running));
}

#[test]
fn each_decision_of_a_turn_counts_for_its_own_call_and_the_rest_waits_for_the_last() {
    let (agent, s) = careful();
    let names = ["refund", "search", "refund"];
    let (s, commands) = decide(&agent, &s, &calls(&names)).unwrap();
    assert_eq!((called(&commands), s.held.as_slice()), (vec![], &[1][..]));

    let (s, commands) = decide(&agent, &s, &approves(1, 2, &names)).unwrap();
    assert_eq!(called(&commands), ["refund"]);
    let (s, commands) = decide(&agent, &s, &denies(1, 0, &names)).unwrap();
    assert_eq!(called(&commands), ["search"]);
    assert_eq!((s.open.as_slice(), s.held.len()), (&[tool(1, 2), tool(1, 1)][..], 0));
}

#[test]
fn a_question_in_words_holds_nobody_up_and_its_answer_is_told() {
    let (agent, s) = careful();
    let names = ["ask", "search"];
    let (s, commands) = decide(&agent, &s, &calls(&names)).unwrap();
    assert_eq!(called(&commands), ["search"]);
    let (s, _) = decide(&agent, &s, &returns(1, 1)).unwrap();
    let (_, commands) = decide(&agent, &s, &answers(1, 0, &names)).unwrap();
    assert_eq!(turns(&commands), [2]);
}

#[test]
fn a_rejection_ends_the_run_and_nothing_of_the_turn_runs() {
    let (agent, s) = careful();
    let (s, _) = decide(&agent, &s, &calls(&["refund", "search"])).unwrap();
    let (s, commands) = decide(&agent, &s, &rejects(1, 0)).unwrap();
    assert_eq!((called(&commands), &commands[0]), (vec![], &Command::Withdraw));
    assert_eq!((s.status, s.open.len(), s.held.len()), (Status::Completed, 0, 0));
    assert_eq!(ends(&commands), Some((Status::Completed, None)));
}

#[test]
fn what_waits_for_a_refused_call_is_let_go_at_once() {
    let (agent, s) = started(
        json!({"tools": [{"name": "search"}, {"name": "refund", "approvalRequired": true, "maxCalls": 0}]}),
    );
    let (s, commands) = decide(&agent, &s, &calls(&["refund", "search"])).unwrap();
    assert_eq!((called(&commands), s.held.len()), (vec!["search"], 0));
}

#[test]
fn cancelling_takes_back_what_is_open() {
    let (agent, s) = started(tools(&["search"]));
    let (s, commands) = decide(&agent, &s, &Event::Cancelled { reason: "enough".into() }).unwrap();
    assert_eq!(commands[0], Command::Withdraw);
    assert_eq!((s.status, s.open.len()), (Status::Terminated, 0));
}

/// The diagram in the module header, as data: any change to a transition shows up here.
#[test]
fn transition_table() {
    let (agent, thinking) = started({
        let mut config = tools(&["search"]);
        config["tools"].as_array_mut().unwrap().push(json!({"name": "refund", "approvalRequired": true}));
        config["stopWhen"] = json!({"taskName": "stop_when"});
        config
    });
    let asking = decide(&agent, &thinking, &calls(&["refund", "search"])).unwrap().0;
    let acting = decide(&agent, &thinking, &calls(&["search"])).unwrap().0;
    let acting_on_two = decide(&agent, &thinking, &calls(&["search", "search"])).unwrap().0;
    let checking = decide(&agent, &acting, &returns(1, 0)).unwrap().0;
    let paused = decide(&agent, &thinking, &Event::Paused).unwrap().0;
    let completed = decide(&agent, &thinking, &says("x")).unwrap().0;
    let states = [
        ("thinking", thinking),
        ("acting", acting),
        ("acting on two", acting_on_two),
        ("asking", asking),
        ("checking", checking),
        ("paused", paused),
        ("completed", completed),
    ];
    let events = [
        says("hi"),
        calls(&["search"]),
        calls(&["nosuch"]),
        calls(&["refund", "search"]),
        returns(1, 0),
        Event::Checked { turn: 1, go_on: true },
        Event::Checked { turn: 1, go_on: false },
        fails(Task::Model { turn: 1 }, 1),
        fails(tool(1, 0), 1),
        fails(tool(1, 0), 3),
        lost(tool(1, 0), 1, 1),
        Event::Paused,
        Event::Resumed,
        Event::StopRequested,
        Event::Signalled { text: "hurry".into() },
        Event::Cancelled { reason: "enough".into() },
        Event::DeadlinePassed,
        approves(1, 0, &["refund", "search"]),
        denies(1, 0, &["refund", "search"]),
        answers(1, 0, &["refund", "search"]),
        rejects(1, 0),
    ];
    let mut table = String::new();
    for (name, state) in &states {
        for event in &events {
            let to = decide(&agent, state, event).map_or("-".into(), |(s, c)| {
                let c: Vec<_> = c.iter().map(brief).collect();
                format!("{} {:?} [{}]", s.status.name(), s.open, c.join(", "))
            });
            writeln!(table, "{name} + {} => {to}", event.name()).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

proptest! {
    /// Whatever arrives, in whatever order, the invariants of the module header hold.
    #[test]
    fn no_sequence_of_events_breaks_the_invariants(
        script in prop::collection::vec(any_event(), 0..60),
        limit in 1_u32..5,
        stop_when in any::<bool>(),
        required in any::<bool>(),
    ) {
        let mut config = tools(&["search", "fetch"]);
        let people = json!([{"name": "refund", "approvalRequired": true, "maxCalls": 4}, {"name": "ask", "toolType": "human"}]);
        config["tools"].as_array_mut().unwrap().extend(people.as_array().unwrap().clone());
        config["maxTurns"] = json!(limit);
        if stop_when { config["stopWhen"] = json!({"taskName": "w"}); }
        if required { config["requiredTools"] = json!(["fetch"]); }
        let (agent, mut s) = started(config);
        let mut numbered = s.messages;
        let (mut asked, mut answered) = (0, 0);
        let mut last_calls = vec![];
        for mut event in script {
            // As the committer does, a decision comes with the calls of its turn.
            if let Event::Approved { calls, .. } | Event::Denied { calls, .. } | Event::Answered { calls, .. } = &mut event {
                calls.clone_from(&last_calls);
            }
            let before = s.clone();
            match decide(&agent, &s, &event) {
                Ok((next, commands)) => {
                    prop_assert!(!before.status.is_terminal()); // 1
                    if let Event::Replied(r) = &event {
                        asked += r.calls.len();
                        last_calls.clone_from(&r.calls);
                    }
                    for command in &commands {
                        match command {
                            Command::Append { n, message } => {
                                numbered += 1;
                                prop_assert_eq!(*n, numbered); // 6
                                answered += usize::from(matches!(
                                    message,
                                    Message::Result { .. } | Message::Answer { .. }
                                ));
                            }
                            Command::CallModel { turn, upto } => {
                                prop_assert_eq!(next.open.as_slice(), &[Task::Model { turn: *turn }]); // 3
                                prop_assert!(*turn <= next.turn_limit);
                                prop_assert_eq!(*upto, next.messages);
                                prop_assert_eq!(asked, answered); // 4
                            }
                            Command::Retry { task, .. } => prop_assert!(next.open.contains(task)), // 5
                            Command::CallTool { task, name, .. } => {
                                let is_decided = matches!(&event, Event::Approved { task: t, .. } if t.call() == task.call());
                                prop_assert!(name != "refund" || is_decided); // 7
                                let gates = next.open.iter().filter(|t| matches!(t, Task::Approval { .. }))
                                    .filter(|t| last_calls[usize::from(t.call())].name == "refund");
                                prop_assert!(name == "refund" || gates.count() == 0); // 7
                            }
                            _ => {}
                        }
                    }
                    s = next;
                }
                Err(_) => continue,
            }
            prop_assert_eq!(s.status.is_terminal(), s.open.is_empty()); // 2
            let is_asked = s.open.iter().any(|t| matches!(t, Task::Approval { .. }));
            prop_assert!(s.held.is_empty() || is_asked); // 2
            let stored = serde_json::to_string(&s).unwrap();
            prop_assert_eq!(&serde_json::from_str::<State>(&stored).unwrap(), &s);
        }
    }
}

proptest! {
    /// The invariants of `history`: a run can be built again after each of its events, and goes on from there as it did.
    #[test]
    fn a_run_goes_on_from_any_of_its_events_as_it_did(
        script in prop::collection::vec(any_event(), 0..60),
        limit in 1_u32..5,
        stop_when in any::<bool>(),
        required in any::<bool>(),
    ) {
        let mut config = tools(&["search", "fetch"]);
        config["maxTurns"] = json!(limit);
        if stop_when { config["stopWhen"] = json!({"taskName": "w"}); }
        if required { config["requiredTools"] = json!(["fetch"]); }
        let agent = Agent::parse(&{ config["name"] = json!("a"); config["model"] = json!("demo/echo"); config.to_string() }).unwrap();
        let run = Told::by(&agent, std::iter::once(Event::Started).chain(script));

        for n in 0..=run.record.len() {
            let point = history::rebuild(&agent, run.record[..n].iter().cloned()).unwrap();
            let appended = |c: &Command| matches!(c, Command::Append { .. });
            let before = run.commands.len() - run.after(n).len() - point.due.len();
            prop_assert_eq!(point.messages as usize, run.commands[..before].iter().filter(|c| appended(c)).count()); // 3
            prop_assert_eq!(point.messages as usize + point.due.iter().filter(|c| appended(c)).count(), point.state.messages as usize);
            let (mut state, mut commands) = (point.state, point.due);
            for event in run.causes_after(n) {
                let (next, more) = decide(&agent, &state, event).unwrap();
                state = next;
                commands.extend(more);
            }
            prop_assert_eq!(&state, &run.state); // 1, 2
            prop_assert_eq!(&commands[..], &run.commands[before..]); // 2
        }
    }
}

#[test]
fn what_no_run_can_have_left_is_no_record() {
    let agent = started(tools(&["search"])).0;
    let rebuild =
        |record: &[Record]| history::rebuild(&agent, record.iter().cloned()).map_err(|torn| torn.seq);
    assert_eq!(rebuild(&[Record::Effect]), Err(1));
    assert_eq!(rebuild(&[Record::Cause(Event::Started), Record::Cause(says("hi"))]), Err(2));
    assert_eq!(
        rebuild(&[Record::Cause(Event::Started), Record::Effect, Record::Cause(returns(1, 0))]),
        Err(3)
    );
}

#[test]
fn a_copy_of_a_held_run_goes_on() {
    let agent = started(json!({})).0;
    let held = [Record::Cause(Event::Started), Record::Effect, Record::Cause(Event::Paused)];
    assert_eq!(history::rebuild(&agent, held.clone()).unwrap().state.status, Status::Paused);
    let copied = held.into_iter().chain([Record::Copied]);
    assert_eq!(history::rebuild(&agent, copied).unwrap().state.status, Status::Running);
}

/// A run and the record that it leaves.
struct Told {
    record: Vec<Record>,
    commands: Vec<Command>,
    /// How many commands had been given before each event of the record, its own ones included.
    given: Vec<usize>,
    state: State,
}

impl Told {
    fn by(agent: &Agent, events: impl Iterator<Item = Event>) -> Self {
        let mut run = Self { record: vec![], commands: vec![], given: vec![0], state: begin(agent) };
        for event in events {
            let Ok((state, commands)) = decide(agent, &run.state, &event) else { continue };
            run.state = state;
            let is_retried = commands.iter().any(|c| matches!(c, Command::Retry { .. }));
            let is_end = matches!(event, Event::Cancelled { .. } | Event::DeadlinePassed);
            run.commands.extend(commands.iter().filter(|c| !matches!(c, Command::Retry { .. })).cloned());
            // The end that somebody asked for is written down once, as what happened.
            let effects = commands.iter().filter(|c| recorded(c)).count() - usize::from(is_end);
            run.note(if is_retried { Record::Note } else { Record::Cause(event) });
            (0..effects).for_each(|_| run.note(Record::Effect));
        }
        run
    }

    fn note(&mut self, record: Record) {
        self.record.push(record);
        self.given.push(self.commands.len());
    }

    /// What was commanded by decisions after event `n`.
    fn after(&self, n: usize) -> &[Command] {
        &self.commands[self.given[n]..]
    }

    fn causes_after(&self, n: usize) -> impl Iterator<Item = &Event> {
        self.record[n..].iter().filter_map(|r| match r {
            Record::Cause(event) => Some(event),
            _ => None,
        })
    }
}

fn recorded(command: &Command) -> bool {
    match command {
        Command::Append { message, .. } => matches!(message, Message::Answer { .. } | Message::Nudge { .. }),
        Command::Retry { .. } | Command::Hold | Command::Release | Command::Withdraw => false,
        _ => true,
    }
}

// -- vocabulary ------------------------------------------------------------------------

fn tools(names: &[&str]) -> serde_json::Value {
    json!({ "tools": names.iter().map(|n| json!({"name": n})).collect::<Vec<_>>() })
}

fn started(extra: serde_json::Value) -> (Agent, State) {
    let mut config = json!({"name": "a", "model": "demo/echo"});
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let agent = Agent::parse(&config.to_string()).unwrap();
    let (state, _) = decide(&agent, &begin(&agent), &Event::Started).unwrap();
    (agent, state)
}

fn reply(text: &str) -> Reply {
    Reply { text: text.into(), calls: vec![], truncated: false, prompt_tokens: 10, completion_tokens: 2 }
}

fn says(text: &str) -> Event {
    Event::Replied(reply(text))
}

fn call(name: &str, arguments: Result<Json, String>) -> Call {
    Call { id: format!("call_{name}"), name: name.into(), arguments, gated: None }
}

fn calls(names: &[&str]) -> Event {
    Event::Replied(Reply { calls: calls_named(names), ..reply("") })
}

fn tool(turn: u32, call: u16) -> Task {
    Task::Tool { turn, call }
}

fn returns(turn: u32, call: u16) -> Event {
    Event::Returned { task: tool(turn, call) }
}

fn fails(task: Task, attempt: u32) -> Event {
    let failure = Failure::Retryable { after: None };
    Event::Failed { task, failure, error: "boom".into(), attempt, losses: 0, policy: Policy::TOOL }
}

fn lost(task: Task, attempt: u32, losses: u32) -> Event {
    Event::Failed {
        task,
        failure: Failure::Lost,
        error: "lost".into(),
        attempt,
        losses,
        policy: Policy::TOOL,
    }
}

fn decision(turn: u32, call: u16) -> Task {
    Task::Approval { turn, call }
}

fn calls_named(names: &[&str]) -> Vec<Call> {
    names.iter().map(|n| call(n, Ok(Json::of(&json!({}))))).collect()
}

fn approves(turn: u32, call: u16, names: &[&str]) -> Event {
    let arguments = Json::of(&json!({"edited": true}));
    Event::Approved { task: decision(turn, call), arguments, feedback: None, calls: calls_named(names) }
}

fn denies(turn: u32, call: u16, names: &[&str]) -> Event {
    Event::Denied { task: decision(turn, call), text: "no".into(), calls: calls_named(names) }
}

fn answers(turn: u32, call: u16, names: &[&str]) -> Event {
    Event::Answered { task: decision(turn, call), text: "blue".into(), calls: calls_named(names) }
}

fn rejects(turn: u32, call: u16) -> Event {
    Event::Rejected { task: decision(turn, call), reason: "no".into() }
}

fn called(commands: &[Command]) -> Vec<&str> {
    commands
        .iter()
        .filter_map(|c| match c {
            Command::CallTool { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

fn turns(commands: &[Command]) -> Vec<u32> {
    commands
        .iter()
        .filter_map(|c| match c {
            Command::CallModel { turn, .. } => Some(*turn),
            _ => None,
        })
        .collect()
}

fn retries(commands: &[Command]) -> Vec<(u32, u64)> {
    commands
        .iter()
        .filter_map(|c| match c {
            Command::Retry { attempt, delay, .. } => Some((*attempt, delay.as_secs())),
            _ => None,
        })
        .collect()
}

fn ends(commands: &[Command]) -> Option<(Status, Option<u32>)> {
    commands.iter().find_map(|c| match c {
        Command::Finish { status, answer, .. } => Some((*status, *answer)),
        _ => None,
    })
}

fn brief(command: &Command) -> String {
    match command {
        Command::Append { n, message } => {
            let text = format!("{message:?}");
            format!("append {n} {}", text.split([' ', '{']).next().unwrap_or_default())
        }
        Command::CallModel { turn, .. } => format!("call model {turn}"),
        Command::CallTool { name, .. } => format!("call tool {name}"),
        Command::Ask { name, .. } => format!("ask a person about {name}"),
        Command::Check { name, .. } => format!("ask {name}"),
        Command::Retry { attempt, delay, .. } => format!("retry {attempt} in {}s", delay.as_secs()),
        Command::Finish { status, .. } => format!("finish {}", status.name()),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let turn = 1_u32..8;
    prop_oneof![
        3 => prop::sample::select(vec![vec!["search"], vec!["search", "fetch"], vec!["nosuch"], vec!["fetch", "nosuch"],
            vec!["refund"], vec!["refund", "search"], vec!["refund", "ask", "refund"], vec!["ask", "fetch"]])
            .prop_map(|names| calls(&names)),
        1 => Just(says("hi")),
        1 => Just(Event::Replied(Reply { truncated: true, ..reply("hal") })),
        6 => (turn.clone(), 0_u16..2).prop_map(|(t, c)| returns(t, c)),
        2 => (turn.clone(), 0_u16..2, 1_u32..5).prop_map(|(t, c, n)| fails(tool(t, c), n)),
        1 => (turn.clone(), 1_u32..30).prop_map(|(turn, n)| fails(Task::Model { turn }, n)),
        1 => (turn.clone(), 0_u16..2, 1_u32..13).prop_map(|(t, c, n)| lost(tool(t, c), n, n)),
        2 => (turn.clone(), any::<bool>()).prop_map(|(turn, go_on)| Event::Checked { turn, go_on }),
        4 => (turn, 0_u16..3, 0_u8..12).prop_map(|(t, c, what)| match what {
            0..=4 => approves(t, c, &[]),
            5..=7 => denies(t, c, &[]),
            8..=10 => answers(t, c, &[]),
            _ => rejects(t, c),
        }),
        1 => Just(Event::Paused),
        1 => Just(Event::Resumed),
        1 => Just(Event::Signalled { text: "x".into() }),
        1 => prop::sample::select(vec![Event::StopRequested, Event::DeadlinePassed, Event::Started,
            Event::Cancelled { reason: "r".into() }]),
    ]
}
