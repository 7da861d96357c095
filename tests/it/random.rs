//! Random operations against a server, compared with a small model of what clients may see.
//!
//! A run calls one tool, then two at once, then answers. Whatever clients, workers and deaths do in between, after each
//! operation the server has to show what [`Run`] says: its status, and every try at every step and how it stands. proptest
//! shrinks what doesn't to the shortest sequence. `TENURE_TEST_CASES` is how many sequences are tried.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::harness::{Http, Server, TestDb, agent, calls, says, script, tools, within};
use crate::invariants;

/// Tools that each turn calls.
const CALLS: [usize; 2] = [1, 2];
/// Tries after the first, as the tool's definition says.
const RETRIES: u32 = 1;

#[derive(Debug, Clone, Copy)]
enum Said {
    Done,
    Failed,
    FailedForGood,
    SeeMeAgain,
    StillAtIt,
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Start {
        key: Option<u8>,
    },
    Poll {
        count: usize,
    },
    /// Any task that was ever handed out, as often as it likes.
    Report {
        task: prop::sample::Index,
        said: Said,
    },
    Pause(prop::sample::Index),
    Resume(prop::sample::Index),
    Stop(prop::sample::Index),
    Signal(prop::sample::Index),
    Cancel(prop::sample::Index),
    LoseLease {
        task: prop::sample::Index,
    },
    Restart,
}

fn operation() -> impl Strategy<Value = Operation> {
    let any = any::<prop::sample::Index>;
    let said = prop_oneof![
        6 => Just(Said::Done),
        2 => Just(Said::Failed),
        1 => Just(Said::FailedForGood),
        1 => Just(Said::SeeMeAgain),
        1 => Just(Said::StillAtIt),
    ];
    prop_oneof![
        2 => prop::option::of(0_u8..2).prop_map(|key| Operation::Start { key }),
        7 => (1_usize..3).prop_map(|count| Operation::Poll { count }),
        9 => (any(), said).prop_map(|(task, said)| Operation::Report { task, said }),
        1 => any().prop_map(Operation::Pause),
        2 => any().prop_map(Operation::Resume),
        1 => any().prop_map(Operation::Stop),
        1 => any().prop_map(Operation::Signal),
        1 => any().prop_map(Operation::Cancel),
        2 => any().prop_map(|task| Operation::LoseLease { task }),
        1 => Just(Operation::Restart),
    ]
}

// -- the model ---------------------------------------------------------------------------

/// A try at a step: turn, whether at a tool, number and how it stands.
type Try = (usize, bool, u32, &'static str);

/// One tool call. Its name in the run is known once it was handed out.
#[derive(Debug, Clone, Default)]
struct Call {
    name: Option<String>,
    tries: Vec<&'static str>,
    losses: u32,
}

impl Call {
    fn new() -> Self {
        Self { tries: vec!["waiting"], ..Self::default() }
    }

    fn is_open(&self) -> bool {
        matches!(self.tries.last(), Some(&("waiting" | "leased")))
    }

    fn number(&self) -> u32 {
        u32::try_from(self.tries.len()).unwrap()
    }
}

/// What clients may see of a run.
#[derive(Debug, Clone)]
struct Run {
    id: String,
    key: Option<u8>,
    status: &'static str,
    stop: bool,
    turns: Vec<Vec<Call>>,
    /// How the model call stands that goes on, or went on when it was cancelled.
    model: Option<&'static str>,
}

impl Run {
    fn new(id: String, key: Option<u8>) -> Self {
        let mut run = Self { id, key, status: "RUNNING", stop: false, turns: vec![], model: None };
        run.next_turn();
        run
    }

    fn is_live(&self) -> bool {
        matches!(self.status, "RUNNING" | "PAUSED")
    }

    fn is_ready(&self) -> usize {
        let waits = |call: &&Call| call.tries.last() == Some(&"waiting");
        if self.status == "RUNNING" {
            self.turns.last().map_or(0, |t| t.iter().filter(waits).count())
        } else {
            0
        }
    }

    /// The model is asked, and answers at once unless the run is paused.
    fn next_turn(&mut self) {
        if self.status == "PAUSED" {
            self.model = Some("waiting");
            return;
        }
        self.model = None;
        let calls = CALLS.get(self.turns.len()).copied();
        self.turns.push(vec![Call::new(); calls.unwrap_or(0)]);
        if calls.is_none() {
            self.status = "COMPLETED";
        }
    }

    fn turn_over(&mut self) {
        if self.turns.last().is_some_and(|t| t.iter().any(Call::is_open)) {
            return;
        }
        if self.stop { self.status = "COMPLETED" } else { self.next_turn() }
    }

    /// The try ends like this, and perhaps another one waits.
    fn ends(&mut self, turn: usize, call: usize, how: &'static str, again: bool) {
        let call = &mut self.turns[turn - 1][call];
        *call.tries.last_mut().unwrap() = how;
        if again {
            call.tries.push("waiting");
        } else {
            self.turn_over();
        }
    }

    fn cancel(&mut self) {
        self.status = "TERMINATED";
        let open = self.turns.iter_mut().flatten().filter(|c| c.is_open());
        open.for_each(|call| *call.tries.last_mut().unwrap() = "withdrawn");
        self.model = self.model.map(|_| "withdrawn");
    }

    fn tries(&self) -> Vec<Try> {
        let mut all: Vec<Try> = (1..=self.turns.len()).map(|turn| (turn, false, 1, "completed")).collect();
        all.extend(self.model.map(|standing| (self.turns.len() + 1, false, 1, standing)));
        for (turn, calls) in self.turns.iter().enumerate() {
            for call in calls {
                all.extend((1..).zip(&call.tries).map(|(n, standing)| (turn + 1, true, n, *standing)));
            }
        }
        all.sort_unstable();
        all
    }
}

/// A task that was handed out: of which run, turn, call and try.
#[derive(Debug, Clone)]
struct Handed {
    task: Value,
    run: usize,
    turn: usize,
    call: usize,
    number: u32,
}

// -- the server beside it ----------------------------------------------------------------

struct World<'a> {
    server: &'a mut Server,
    db: &'a Client,
    agent: Value,
    queue: String,
    runs: Vec<Run>,
    handed: Vec<Handed>,
    /// Idempotency keys by run and call.
    keys: BTreeMap<(usize, String), String>,
}

impl<'a> World<'a> {
    async fn new(server: &'a mut Server, db: &'a Client) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let queue = format!("tool_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        server.register(&queue, &json!({ "retryCount": RETRIES })).await;
        let model = script(&[calls([&queue]), calls([&queue, &queue]), says("done")]);
        let agent = agent(&format!("agent_{queue}"), &model, tools([&queue]));
        Self { server, db, agent, queue, runs: vec![], handed: vec![], keys: BTreeMap::new() }
    }

    async fn apply(&mut self, operation: Operation) {
        let some = |index: prop::sample::Index, n: usize| (n > 0).then(|| index.index(n));
        match operation {
            Operation::Start { key } => self.start(key).await,
            Operation::Poll { count } => self.poll(count).await,
            Operation::Report { task, said } => {
                if let Some(at) = some(task, self.handed.len()) {
                    self.report(at, said).await;
                }
            }
            Operation::LoseLease { task } => {
                if let Some(at) = some(task, self.handed.len()) {
                    self.lose(at).await;
                }
            }
            Operation::Restart => self.server.restart().await,
            Operation::Pause(run) => {
                self.control(some(run, self.runs.len()), "PUT", "pause", |run| {
                    let was = run.status;
                    if was == "RUNNING" {
                        run.status = "PAUSED";
                    }
                    matches!(was, "RUNNING" | "PAUSED")
                })
                .await;
            }
            Operation::Resume(run) => {
                self.control(some(run, self.runs.len()), "PUT", "resume", |run| {
                    let was = run.status;
                    if was == "PAUSED" {
                        run.status = "RUNNING";
                        if run.model.is_some() {
                            run.next_turn();
                        }
                    }
                    matches!(was, "RUNNING" | "PAUSED")
                })
                .await;
            }
            Operation::Stop(run) => {
                self.control(some(run, self.runs.len()), "POST", "stop", |run| {
                    run.stop |= run.is_live();
                    true
                })
                .await;
            }
            Operation::Signal(run) => {
                self.control(some(run, self.runs.len()), "POST", "signal", |run| run.is_live()).await;
            }
            Operation::Cancel(run) => {
                self.control(some(run, self.runs.len()), "DELETE", "cancel", |run| {
                    let fits = run.is_live() || run.status == "TERMINATED";
                    if run.is_live() {
                        run.cancel();
                    }
                    fits
                })
                .await;
            }
        }
    }

    async fn start(&mut self, key: Option<u8>) {
        let mut request = json!({ "agentConfig": self.agent, "prompt": "p" });
        if let Some(key) = key {
            request["idempotencyKey"] = json!(format!("{}-{key}", self.queue));
        }
        let id = self.server.start_with(&request).await;
        let counts = |run: &&Run| run.key == key && (run.is_live() || run.status == "COMPLETED");
        if let Some(known) = self.runs.iter().find(counts).filter(|_| key.is_some()) {
            assert_eq!(id, known.id, "one key starts one run");
        } else {
            assert!(self.runs.iter().all(|run| run.id != id), "a start without a known key is a new run");
            self.runs.push(Run::new(id, key));
        }
    }

    async fn poll(&mut self, count: usize) {
        let ready: usize = self.runs.iter().map(Run::is_ready).sum();
        let mut left = ready.min(count);
        if left == 0 {
            let path =
                format!("/api/tasks/poll/batch/{}?workerid=tester&count={count}&timeout=0", self.queue);
            assert_eq!(self.server.get(&path).await.ok(), json!([]), "nothing is ready");
        }
        while left > 0 {
            let (http, queue): (&Http, _) = (self.server, &self.queue);
            let tasks = within(Duration::from_secs(10), "what is ready is handed out", async || {
                Some(http.poll(queue, left).await).filter(|tasks| !tasks.is_empty())
            })
            .await;
            assert!(tasks.len() <= left, "{left} were asked for, and {} came", tasks.len());
            left -= tasks.len();
            for task in tasks {
                self.hand_out(task);
            }
        }
    }

    /// The model finds what was handed out, or it must not have been.
    fn hand_out(&mut self, task: Value) {
        let run = self.runs.iter().position(|r| r.id == task["workflowInstanceId"]).expect("a run of ours");
        assert_eq!(self.runs[run].status, "RUNNING", "handed out: {task}");
        let turn = usize::try_from(task["iteration"].as_u64().unwrap()).unwrap();
        let number = u32::try_from(task["retryCount"].as_u64().unwrap()).unwrap() + 1;
        let name = task["referenceTaskName"].as_str().unwrap().to_owned();
        let calls = &mut self.runs[run].turns[turn - 1];
        let fits = |call: &Call| {
            let named = call.name.as_ref().map_or(number == 1, |n| *n == name);
            named && call.number() == number && call.tries.last() == Some(&"waiting")
        };
        let call =
            calls.iter().position(fits).unwrap_or_else(|| panic!("handed out, but not waiting: {task}"));
        calls[call].name = Some(name.clone());
        *calls[call].tries.last_mut().unwrap() = "leased";
        let key = task["inputData"]["_idempotency_key"].as_str().unwrap().to_owned();
        let known = self.keys.entry((run, name)).or_insert_with(|| key.clone());
        assert_eq!(*known, key, "a call keeps its key");
        assert_eq!(
            self.keys.values().collect::<BTreeSet<_>>().len(),
            self.keys.len(),
            "no two calls have one key"
        );
        self.handed.push(Handed { task, run, turn, call, number });
    }

    /// Whether a handed out try is still open.
    fn is_open(&self, at: &Handed) -> bool {
        let call = &self.runs[at.run].turns[at.turn - 1][at.call];
        call.number() == at.number && call.is_open()
    }

    async fn report(&mut self, at: usize, said: Said) {
        let at = self.handed[at].clone();
        let (status, more) = match said {
            Said::Done => ("COMPLETED", json!({ "outputData": { "ok": true } })),
            Said::Failed => ("FAILED", json!({ "reasonForIncompletion": "boom" })),
            Said::FailedForGood => ("FAILED_WITH_TERMINAL_ERROR", json!({ "reasonForIncompletion": "boom" })),
            Said::SeeMeAgain => ("IN_PROGRESS", json!({ "callbackAfterSeconds": 0 })),
            Said::StillAtIt => ("IN_PROGRESS", json!({ "extendLease": true })),
        };
        // Late or repeated: the answer is the same.
        self.server.report(&at.task, status, &more).await;
        if !self.is_open(&at) {
            return;
        }
        let (run, turn, call) = (&mut self.runs[at.run], at.turn, at.call);
        let failures = at.number - run.turns[turn - 1][call].losses;
        match said {
            Said::Done => run.ends(turn, call, "completed", false),
            Said::Failed if failures <= RETRIES => run.ends(turn, call, "failed", true),
            Said::Failed | Said::FailedForGood => run.ends(turn, call, "gave_up", false),
            Said::SeeMeAgain => *run.turns[turn - 1][call].tries.last_mut().unwrap() = "waiting",
            Said::StillAtIt => {}
        }
    }

    /// Its lease is over; the second loss of a call would wait for a second, so each is lost once.
    async fn lose(&mut self, at: usize) {
        let at = self.handed[at].clone();
        let run = &mut self.runs[at.run];
        let call = &mut run.turns[at.turn - 1][at.call];
        let is_leased = call.number() == at.number && call.tries.last() == Some(&"leased");
        if !is_leased || call.losses > 0 {
            return;
        }
        call.losses += 1;
        run.ends(at.turn, at.call, "lost", true);
        let id: uuid::Uuid = at.task["taskId"].as_str().unwrap().parse().unwrap();
        let over = "update tenure.queue set lease_until = now() - interval '1 s' where attempt_id = $1";
        assert_eq!(self.db.execute(over, &[&id]).await.unwrap(), 1);
    }

    async fn control(
        &mut self,
        run: Option<usize>,
        method: &str,
        verb: &str,
        wanted: impl FnOnce(&mut Run) -> bool,
    ) {
        let Some(run) = run else { return };
        let request = self.server.request(method, &format!("/api/agent/{}/{verb}", self.runs[run].id));
        let request = if verb == "signal" { request.json(&json!({ "message": "hurry" })) } else { request };
        let answer = Http::send(request).await;
        let fits = wanted(&mut self.runs[run]);
        assert_eq!(answer.status, if fits { 200 } else { 409 }, "{verb}: {answer:?}");
    }

    /// The server shows what the model says, soon.
    async fn compare(&self, after: Operation) {
        for run in &self.runs {
            let mut seen = (String::new(), vec![]);
            let wanted = (run.status.to_owned(), run.tries());
            let deadline = std::time::Instant::now() + Duration::from_secs(15);
            while seen != wanted {
                assert!(
                    std::time::Instant::now() < deadline,
                    "after {after:?} the server shows\n{seen:?}, and should\n{wanted:?}"
                );
                seen = self.seen(&run.id).await;
                if seen != wanted {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }

    async fn seen(&self, id: &str) -> (String, Vec<Try>) {
        let status = self.server.status(id).await["status"].as_str().unwrap().to_owned();
        let timeline = self.server.get(&format!("/api/executions/{id}/timeline")).await.ok();
        let one = |a: &Value| {
            let known = ["waiting", "leased", "completed", "failed", "gave_up", "lost", "withdrawn"];
            let standing = known.into_iter().find(|s| a["standing"] == *s).unwrap_or("unknown");
            let number = |field: &str| a[field].as_u64().unwrap();
            let (turn, try_) = (number("turn"), number("attempt"));
            (usize::try_from(turn).unwrap(), a["kind"] == "tool", u32::try_from(try_).unwrap(), standing)
        };
        let mut tries: Vec<Try> = timeline["attempts"].as_array().unwrap().iter().map(one).collect();
        tries.sort_unstable();
        (status, tries)
    }
}

#[test]
fn whatever_happens_the_server_shows_what_the_model_says() {
    let cases = std::env::var("TENURE_TEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(24);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let database = runtime.block_on(TestDb::new());
    let mut server = runtime.block_on(Server::start(&database));
    let db = runtime.block_on(database.connect());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let (server, accepted) = (std::cell::RefCell::new(&mut server), std::cell::RefCell::new(vec![]));
    let outcome = TestRunner::new(config).run(&prop::collection::vec(operation(), 1..30), |operations| {
        let mut server = server.borrow_mut();
        // A panic is a failed case, so that proptest looks for a shorter one.
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                let mut world = World::new(&mut server, &db).await;
                for operation in operations {
                    world.apply(operation).await;
                    world.compare(operation).await;
                }
                accepted.borrow_mut().extend(world.runs.into_iter().map(|run| run.id));
            });
        }));
        played.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            TestCaseError::fail(
                text.or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default(),
            )
        })
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
    runtime.block_on(invariants::hold(&db, &accepted.borrow()));
}
