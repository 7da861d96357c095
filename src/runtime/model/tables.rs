//! One execution as the tables hold it, and each statement that moves its attempts as a small pure function.
//!
//! `conforms.rs` runs every one of them beside the statement of the same name on a real Postgres and compares the rows, so
//! that neither can change without the other. Time is left out: what is deferred may become due, and a lease may end,
//! whenever it likes.

use std::collections::BTreeMap;

use crate::engine::{State, Status, Task};

/// A try at a task, by what it is a try at and its number: in the tables, a row's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt {
    pub task: Task,
    pub number: u8,
}

/// When a row that nobody has may be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    Now,
    Later,
    /// When the execution is resumed: `run_at` is infinity.
    Held,
}

/// Who has a row. The sessions of a server that was started again are others.
pub type Worker = u8;

/// A row's lease. Each grant has a number, and each grant and extension a stamp, as each has its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    pub worker: Worker,
    pub grant: u8,
    pub stamp: u8,
    pub is_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub when: When,
    pub lease: Option<Lease>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Completed,
    Failed,
    GaveUp,
    Lost,
    Withdrawn,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::GaveUp => "gave_up",
            Self::Lost => "lost",
            Self::Withdrawn => "withdrawn",
        }
    }

    pub fn named(name: &str) -> Self {
        [Self::Completed, Self::Failed, Self::GaveUp, Self::Lost, Self::Withdrawn]
            .into_iter()
            .find(|o| o.name() == name)
            .expect("an outcome that the tables know")
    }

    /// Whether the task is over with it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::GaveUp)
    }
}

/// Everything that is stored of the execution and decides.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tables {
    pub state: State,
    /// Every attempt that there was, and how many before it were lost.
    pub tasks: BTreeMap<Attempt, u8>,
    pub queue: BTreeMap<Attempt, Row>,
    pub results: BTreeMap<Attempt, Outcome>,
    /// Makes stamps.
    pub stamps: u8,
}

impl Tables {
    pub fn new(state: State) -> Self {
        Self { state, tasks: BTreeMap::new(), queue: BTreeMap::new(), results: BTreeMap::new(), stamps: 0 }
    }

    fn lease(&mut self, worker: Worker) -> Lease {
        self.stamps += 1;
        Lease { worker, grant: self.stamps, stamp: self.stamps, is_over: false }
    }

    fn is_paused(&self) -> bool {
        self.state.status == Status::Paused
    }

    /// `take.sql`: the fence. Whether the row was there, with the worker and the lease that it must have.
    pub fn take(&mut self, attempt: Attempt, worker: Option<Worker>, stamp: Option<u8>) -> bool {
        let Some(row) = self.queue.get(&attempt) else { return false };
        let fits = worker.is_none_or(|w| row.lease.is_some_and(|l| l.worker == w))
            && stamp.is_none_or(|s| row.lease.is_some_and(|l| l.stamp == s));
        if fits {
            self.queue.remove(&attempt);
        }
        fits
    }

    /// `fate.sql`: how an attempt ended; `None` when nobody knows it.
    #[expect(clippy::option_option, reason = "nobody knows it, or it has not ended")]
    pub fn fate(&self, attempt: Attempt) -> Option<Option<Outcome>> {
        self.tasks.contains_key(&attempt).then(|| self.results.get(&attempt).copied())
    }

    /// `insert.sql` of the queue: ready, deferred, held, or leased already.
    pub fn enqueue(&mut self, attempt: Attempt, when: When, worker: Option<Worker>) {
        let lease = worker.map(|w| self.lease(w));
        self.queue.insert(attempt, Row { when: if lease.is_some() { When::Now } else { when }, lease });
    }

    /// `withdraw.sql`
    pub fn withdraw(&mut self) {
        for attempt in std::mem::take(&mut self.queue).into_keys() {
            self.results.insert(attempt, Outcome::Withdrawn);
        }
    }

    /// `hold.sql`
    pub fn hold(&mut self) {
        for row in self.queue.values_mut().filter(|r| r.lease.is_none()) {
            row.when = When::Held;
        }
    }

    /// `release.sql`
    pub fn release(&mut self) {
        for row in self.queue.values_mut().filter(|r| r.lease.is_none() && r.when == When::Held) {
            row.when = When::Now;
        }
    }

    /// `claim.sql`: which attempts it may lease.
    pub fn ready(&self, model: bool) -> impl Iterator<Item = Attempt> {
        let of_queue = move |a: &Attempt| matches!(a.task, Task::Model { .. }) == model;
        let ready = |r: &Row| r.lease.is_none() && r.when == When::Now;
        self.queue.iter().filter(move |(a, r)| of_queue(a) && ready(r)).map(|(a, _)| *a)
    }

    /// `claim.sql` having picked this one.
    pub fn claim(&mut self, attempt: Attempt, worker: Worker) {
        let lease = Some(self.lease(worker));
        self.queue.insert(attempt, Row { when: When::Now, lease });
    }

    /// `extend.sql`: whoever has it, for ever longer.
    pub fn extend(&mut self, attempt: Attempt) {
        if let Some(old) = self.queue.get(&attempt).and_then(|r| r.lease) {
            let lease = Some(Lease { grant: old.grant, ..self.lease(old.worker) });
            self.queue.insert(attempt, Row { when: When::Now, lease });
        }
    }

    /// `call_back.sql`: the worker that asks is one that is known.
    pub fn call_back(&mut self, attempt: Attempt, later: bool, by: Option<Worker>) {
        let when = match (self.is_paused(), later) {
            (true, _) => When::Held,
            (_, true) => When::Later,
            _ => When::Now,
        };
        if let Some(row) = self.queue.get_mut(&attempt)
            && row.lease.is_none_or(|l| by.is_none_or(|w| l.worker == w))
        {
            *row = Row { when, lease: None };
        }
    }

    /// `give_back.sql`: nothing but what was granted then.
    pub fn give_back(&mut self, attempt: Attempt, worker: Worker, grant: Option<u8>) {
        let when = if self.is_paused() { When::Held } else { When::Now };
        if let Some(row) = self.queue.get_mut(&attempt)
            && row.lease.is_some_and(|l| l.worker == worker && grant.is_none_or(|g| l.grant == g))
        {
            *row = Row { when, lease: None };
        }
    }

    /// `promote.sql`: the time of what is deferred has come.
    pub fn promote(&mut self) {
        for row in self.queue.values_mut().filter(|r| r.when == When::Later) {
            row.when = When::Now;
        }
    }

    /// `expired.sql`: leases that are over, or whose server is gone.
    pub fn expired(&self, is_gone: impl Fn(Worker) -> bool) -> Vec<(Attempt, u8)> {
        let leases = self.queue.iter().filter_map(|(a, r)| Some((*a, r.lease?)));
        leases.filter(|(_, l)| l.is_over || is_gone(l.worker)).map(|(a, l)| (a, l.stamp)).collect()
    }
}
