//! The model's functions against the statements that they stand for, on a real Postgres: the same operations in random
//! order on both, and after each of them the same rows.

use std::collections::HashMap;

use deadpool_postgres::Object;
use jiff::Timestamp;

use super::EMPTY;
use super::committer::{EXECUTION, id};
use super::tables::{Attempt, Lease, Outcome, Row, Tables, When, Worker};
use crate::agent::Agent;
use crate::engine::{self, Status, Task};
use crate::id::AttemptId;
use crate::postgres::{self, Options};
use crate::store::commit::{Advanced, NewExecution, NewQueued, NewTask, Statements};
use crate::store::queue::{self, Mark, Slot};
use crate::store::{schema, servers};

/// As good as now, but not now: what is called back for then is deferred.
const SOON: f64 = 1e-6;
/// Two workers that poll, and a server.
const WORKERS: [Worker; 3] = [0, 1, 2];
const SERVER: Worker = 2;

/// Numbers that look like chance and are always the same.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 31)) % n as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, things: &[T]) -> Option<T> {
        (!things.is_empty()).then(|| things[self.below(things.len())])
    }
}

/// The tables of both worlds.
struct Both {
    db: Object,
    sql: Statements,
    queue: i32,
    sessions: Vec<i64>,
    model: Tables,
    next: u8,
    /// Leases by their grant.
    leases: HashMap<u8, queue::Lease>,
    /// Ends of leases, by stamp.
    ends: HashMap<u8, Timestamp>,
}

impl Both {
    async fn new(db: Object, sql: Statements) -> Self {
        let name = "modelled".to_owned();
        db.batch_execute(
            "set tenure.deciding = on;
             truncate tenure.executions, tenure.tasks, tenure.queue, tenure.results, tenure.agent_versions, tenure.task_defs, tenure.workers cascade;
             insert into tenure.agent_versions (name, version, checksum, definition) values ('modelled', 1, '', '{}')",
        )
        .await
        .unwrap();
        let queues = servers::ensure_queues(&db, &[("a".to_owned(), String::new())]).await.unwrap();
        let queue = queues[0].1;
        let mut sessions = vec![];
        for worker in WORKERS {
            sessions.push(match worker {
                SERVER => servers::join(&db, queue, "2").await.unwrap(),
                worker => servers::seen(&db, &[(queue, worker.to_string(), 0.0)]).await.unwrap()[0],
            });
        }
        let agent = Agent::parse(r#"{"name":"modelled","model":"demo/echo"}"#).unwrap();
        let state = engine::begin(&agent);
        let new = NewExecution {
            id: *EXECUTION,
            agent: name,
            version: 1,
            input: EMPTY.clone(),
            context: EMPTY.clone(),
            key: None,
            session: None,
            domains: None,
            domain: None,
            priority: 0,
            timeout: None,
        };
        sql.start(&db, &[new]).await.unwrap();
        Self {
            db,
            sql,
            queue,
            sessions,
            model: Tables::new(state),
            next: 0,
            leases: HashMap::new(),
            ends: HashMap::new(),
        }
    }

    fn session(&self, worker: Worker) -> i64 {
        self.sessions[usize::from(worker)]
    }

    fn attempt(&self, chance: &mut Chance) -> Option<Attempt> {
        chance.one_of(&self.model.tasks.keys().copied().collect::<Vec<_>>())
    }

    async fn set_paused(&mut self, is_paused: bool) {
        self.model.state.status = if is_paused { Status::Paused } else { Status::Running };
        let advanced = Advanced {
            id: *EXECUTION,
            status: self.model.state.status.name(),
            reason: None,
            context: None,
            output: None,
            seq: 0,
            at: Timestamp::now(),
            ended: false,
            is_changed: true,
        };
        self.sql.advance(&self.db, &[advanced]).await.unwrap();
    }

    /// Do something to both; what it was.
    async fn act(&mut self, chance: &mut Chance) -> String {
        let worker = WORKERS[chance.below(3)];
        let some = chance.below(2) == 0;
        let Some(attempt) = self.attempt(chance).filter(|_| chance.below(4) > 0) else {
            return self.enqueue(chance, worker).await;
        };
        match chance.below(11) {
            0 | 1 => return self.claim(worker, some).await,
            2 => {
                let by = some.then_some(worker);
                let stamps: Vec<_> = self.ends.keys().copied().collect();
                let stamp = chance.one_of(&stamps).filter(|_| chance.below(3) > 0);
                let end = stamp.map(|s| self.ends[&s]);
                let asked = [(*EXECUTION, id(attempt), by.map(|w| self.session(w)), end)];
                let taken = self.sql.take(&self.db, &asked).await.unwrap();
                let modelled = self.model.take(attempt, by, stamp);
                assert_eq!(taken.len(), usize::from(modelled), "take {attempt:?} {by:?} {stamp:?}");
                return format!("take {attempt:?} {by:?} {stamp:?}");
            }
            3 => {
                self.model.extend(attempt);
                queue::extend(&self.db, *EXECUTION, id(attempt)).await.unwrap();
            }
            4 | 5 => {
                let by = (chance.below(3) > 0).then_some(chance.below(2) as Worker);
                self.model.call_back(attempt, some, by);
                let (secs, name) = (if some { SOON } else { 0.0 }, by.map(|w| w.to_string()));
                queue::call_back(&self.db, *EXECUTION, id(attempt), secs, name.as_deref()).await.unwrap();
                return format!("call back {attempt:?} {some} {by:?}");
            }
            6 => {
                let stamps: Vec<_> = self.leases.keys().copied().collect();
                if let Some(stamp) = chance.one_of(&stamps) {
                    let lease = self.leases.remove(&stamp).expect("one of them"); // it is given back once
                    let of = *self.model.tasks.keys().find(|a| id(**a) == lease.attempt).unwrap();
                    let by = self.sessions.iter().position(|s| *s == lease.worker_id).unwrap();
                    self.model.give_back(of, by as Worker, Some(stamp));
                    queue::give_back(&self.db, &[lease]).await.unwrap();
                    return format!("give back {of:?} {stamp}");
                }
            }
            7 => {
                self.model.promote();
                queue::promote(&self.db, 100).await.unwrap();
            }
            8 => {
                let silent_secs = if some { -1.0 } else { 3600.0 };
                let looker = queue::Looker {
                    id: 0,
                    performs: vec![],
                    forgotten_secs: 3600.0,
                    silent_secs,
                    ended_secs: None,
                };
                let mut found: Vec<_> = queue::expired(&self.db, 100, &looker)
                    .await
                    .unwrap()
                    .into_iter()
                    .map(|e| (e.attempt, e.lease_until))
                    .collect();
                let modelled = self.model.expired(|w| some && w == SERVER);
                let mut modelled: Vec<_> =
                    modelled.into_iter().map(|(a, stamp)| (id(a), self.ends[&stamp])).collect();
                found.sort();
                modelled.sort();
                assert_eq!(found, modelled, "expired, servers gone: {some}");
            }
            9 => {
                let fate = self.sql.fate(&self.db, &[(*EXECUTION, id(attempt))]).await.unwrap();
                let modelled = self.model.fate(attempt).map(|o| o.map(|o| o.name().to_owned()));
                assert_eq!(fate.first().map(|f| f.outcome.clone()), modelled);
            }
            _ => match chance.below(5) {
                0 => {
                    self.model.withdraw();
                    self.sql.withdraw(&self.db, &[*EXECUTION], Timestamp::now()).await.unwrap();
                    return "withdraw".to_owned();
                }
                1 | 2 => {
                    self.set_paused(true).await;
                    self.model.hold();
                    self.sql.hold(&self.db, &[*EXECUTION]).await.unwrap();
                }
                _ => {
                    self.set_paused(false).await;
                    self.model.release();
                    self.sql.release(&self.db, &[*EXECUTION]).await.unwrap();
                }
            },
        }
        format!("{attempt:?} {worker} {some}")
    }

    async fn enqueue(&mut self, chance: &mut Chance, worker: Worker) -> String {
        self.next += 1;
        let task = Task::Tool { turn: u32::from(self.next), call: 0 };
        let attempt = Attempt { task, number: 1 };
        let new = NewTask {
            execution: *EXECUTION,
            id: id(attempt),
            task,
            name: "a".into(),
            call_id: None,
            queue: self.queue,
            input: EMPTY.clone(),
            at: Timestamp::now(),
        };
        let (when, delay) =
            [(When::Now, 0.0), (When::Later, SOON), (When::Held, f64::INFINITY)][chance.below(3)];
        let by = (delay == 0.0 && chance.below(2) == 0).then_some(worker);
        let queued = NewQueued {
            execution: *EXECUTION,
            attempt: id(attempt),
            queue: self.queue,
            priority: 0,
            delay,
            lease: by.map(|w| (self.session(w), Some(60.0))),
        };
        self.sql.tasks(&self.db, &[new]).await.unwrap();
        self.sql.enqueue(&self.db, &[queued]).await.unwrap();
        self.model.tasks.insert(attempt, 0);
        self.model.enqueue(attempt, when, by);
        format!("enqueue {attempt:?} {when:?} {by:?}")
    }

    /// Lease whatever the statement picks, which must be something that the model would.
    async fn claim(&mut self, worker: Worker, is_over: bool) -> String {
        let lease_secs = Some(if is_over { -1.0 } else { 60.0 });
        let slot = Slot { queue: self.queue, worker: self.session(worker), lease_secs };
        let claimed = queue::claim(&self.db, &[(self.queue, Mark::default())], &[slot]).await.unwrap();
        let ready: Vec<_> = self.model.ready(false).collect();
        let Some(claimed) = claimed.into_iter().next() else {
            assert_eq!(ready, [], "nothing was claimed");
            return "claim of nothing".to_owned();
        };
        let attempt = *ready.iter().find(|a| id(**a) == claimed.lease.attempt).expect("only what is ready");
        self.model.claim(attempt, worker);
        let lease = self.model.queue.get_mut(&attempt).and_then(|r| r.lease.as_mut()).unwrap();
        lease.is_over = is_over;
        self.leases.insert(lease.stamp, claimed.lease);
        format!("claim {attempt:?} {worker} {is_over}")
    }

    /// Panics unless both have the same rows.
    async fn compare(&mut self, after: &[String]) {
        let rows = self
            .db
            .query(
                "select attempt_id, run_at = 'infinity', deferred, worker_id, lease_until, lease_until < clock_timestamp()
                   from tenure.queue order by attempt_id",
                &[],
            )
            .await
            .unwrap();
        let mut modelled: Vec<_> = self.model.queue.iter().map(|(a, r)| (id(*a), *r)).collect();
        modelled.sort_by_key(|m| m.0);
        let after = || after.join("\n");
        assert_eq!(
            rows.iter().map(|r| r.get::<_, AttemptId>(0)).collect::<Vec<_>>(),
            modelled.iter().map(|m| m.0).collect::<Vec<_>>(),
            "the rows of the queue after\n{}",
            after()
        );
        for (row, (attempt, modelled)) in rows.iter().zip(modelled) {
            let when = match (row.get(1), row.get(2)) {
                (true, _) => When::Held,
                (_, true) => When::Later,
                _ => When::Now,
            };
            let (grant, stamp) = modelled.lease.map_or((0, 0), |l| (l.grant, l.stamp));
            let lease = row.get::<_, Option<i64>>(3).map(|session| Lease {
                worker: self.sessions.iter().position(|s| *s == session).unwrap() as Worker,
                grant,
                stamp,
                is_over: row.get(5),
            });
            // When it was ready is of no interest once somebody has it.
            let when = if lease.is_some() { modelled.when } else { when };
            assert_eq!(Row { when, lease }, modelled, "{attempt} after\n{}", after());
            if let Some(end) = row.get::<_, Option<Timestamp>>(4) {
                let known = *self.ends.entry(stamp).or_insert(end);
                assert_eq!(known, end, "a lease has its own end, after\n{}", after());
                let others = self.ends.iter().filter(|(s, e)| **s != stamp && **e == end).count();
                assert_eq!(others, 0, "two leases have one end, after\n{}", after());
            }
        }
        let results = self.db.query("select attempt_id, outcome from tenure.results", &[]).await.unwrap();
        let found: HashMap<_, _> =
            results.iter().map(|r| (r.get(0), Outcome::named(r.get::<_, &str>(1)))).collect();
        let modelled: HashMap<_, _> = self.model.results.iter().map(|(a, o)| (id(*a), *o)).collect();
        assert_eq!(found, modelled, "results after\n{}", after());
    }
}

#[tokio::test]
async fn the_statements_do_what_the_model_says() {
    let options = Options { offline: true, ..Options::default() };
    let cluster = postgres::ephemeral(&options, &|_| {}).await.unwrap();
    let (mut client, connection) = cluster.config().connect().await.unwrap();
    tokio::spawn(connection);
    schema::migrate(&mut client).await.unwrap();
    let pool = cluster.config().pool(1).unwrap();
    for seed in 0..12 {
        let db = pool.get().await.unwrap();
        let sql = Statements::prepare(&db).await.unwrap();
        let mut both = Both::new(db, sql).await;
        let (mut chance, mut done) = (Chance(seed), vec![]);
        for _ in 0..60 {
            done.push(both.act(&mut chance).await);
            both.compare(&done).await;
        }
    }
}
