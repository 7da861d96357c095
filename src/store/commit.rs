//! The statements of a committer's transaction: lock, take, and then all that was decided, a table at a time.
//!
//! A committer prepares them once on its own connection, because they are sent without waiting for one another: a
//! statement that still had to be prepared would be overtaken by the `commit` behind it.

use std::collections::{HashMap, HashSet};

use futures_util::join;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::queue::Lease;
use super::read::executions::status_of;
use super::{Error, GenericClient, approvals};
use crate::engine::{State, Status, Task};
use crate::id::{AttemptId, ExecutionId};
use crate::json::Json;

/// A committer's prepared statements.
pub struct Statements {
    start: Statement,
    find_by_key: Statement,
    lock: Statement,
    progress: Statement,
    advance: Statement,
    take: Statement,
    names: Statement,
    fate: Statement,
    enqueue: Statement,
    withdraw: Statement,
    hold: Statement,
    release: Statement,
    tasks: Statement,
    retry: Statement,
    results: Statement,
    events: Statement,
    messages: Statement,
    now: Statement,
    reply: Statement,
    /// Those about approvals.
    pub approvals: approvals::Statements,
    copy: Statement,
    /// Those about inboxes.
    pub inbox: super::inbox::Statements,
}

/// A new execution.
#[derive(Debug)]
pub struct NewExecution {
    /// Its id.
    pub id: ExecutionId,
    /// Agent.
    pub agent: String,
    /// Agent version.
    pub version: i32,
    /// Input.
    pub input: Json,
    /// First context.
    pub context: Json,
    /// Idempotency key.
    pub key: Option<String>,
    /// Session.
    pub session: Option<String>,
    /// Task name → domain.
    pub domains: Option<Json>,
    /// Domain.
    pub domain: Option<String>,
    /// Lower is first.
    pub priority: i16,
    /// Seconds until the deadline.
    pub timeout: Option<f64>,
}

/// A locked execution.
#[derive(Debug)]
pub struct Locked {
    /// Its id.
    pub id: ExecutionId,
    /// Agent.
    pub agent: String,
    /// Agent version.
    pub version: i32,
    /// Its status as stored.
    pub status: Status,
    /// Where it stands.
    pub state: State,
    /// What its tools share.
    pub context: Json,
    /// Lower is first.
    pub priority: i16,
    /// Number of its newest event.
    pub seq: i32,
    /// Task name → domain.
    pub domains: Option<Json>,
    /// Whether its tools only tell again what they returned to another run.
    pub is_replay: bool,
    /// The time of what is decided now: not before its newest event.
    pub at: Timestamp,
}

/// What becomes of a locked execution.
#[derive(Debug)]
pub struct Advanced {
    /// Its id.
    pub id: ExecutionId,
    /// Status name.
    pub status: &'static str,
    /// Why it ended.
    pub reason: Option<String>,
    /// What its tools share, when it changed.
    pub context: Option<Json>,
    /// Its result, when it ended.
    pub output: Option<Json>,
    /// Number of its newest event.
    pub seq: i32,
    /// Time of its newest event.
    pub at: Timestamp,
    /// Whether it has ended.
    pub ended: bool,
    /// Whether more of it changes than its progress, which its newest event has.
    pub is_changed: bool,
}

/// An attempt whose queue row was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The execution.
    pub execution: ExecutionId,
    /// The attempt.
    pub attempt: AttemptId,
    /// What it was a try at.
    pub task: Task,
    /// Which try, 1-based.
    pub number: u32,
    /// Earlier tries that were lost.
    pub losses: u32,
    /// Tool, check or model.
    pub name: String,
    /// Where it waited.
    pub queue: i32,
    /// How often it was handed out.
    pub polls: i32,
    /// When it was first handed out.
    pub started_at: Option<Timestamp>,
    /// The session that had it.
    pub worker_id: Option<i64>,
    /// Who that is, once it was looked up.
    pub worker: Option<String>,
    /// Retries that the client chose: count, logic, delay in seconds.
    pub retries: Option<(i32, String, i32)>,
    /// Factor of a linear delay.
    pub backoff_scale: Option<i32>,
}

/// What became of an attempt that is not in the queue.
#[derive(Debug, Clone)]
pub struct Fate {
    /// The attempt.
    pub attempt: AttemptId,
    /// How it ended; `None`: somebody else has it now.
    pub outcome: Option<String>,
    /// Whether its execution has ended.
    pub ended: bool,
}

/// A first attempt at a task.
#[derive(Debug)]
pub struct NewTask {
    /// The execution.
    pub execution: ExecutionId,
    /// The attempt.
    pub id: AttemptId,
    /// What it is a try at.
    pub task: Task,
    /// Tool, check or model.
    pub name: String,
    /// The call's id in the conversation.
    pub call_id: Option<String>,
    /// Where it waits.
    pub queue: i32,
    /// What it is given.
    pub input: Json,
    /// When.
    pub at: Timestamp,
}

/// A further attempt at a task.
#[derive(Debug)]
pub struct NewRetry {
    /// The execution.
    pub execution: ExecutionId,
    /// The attempt.
    pub id: AttemptId,
    /// The one before.
    pub before: AttemptId,
    /// Which try, 1-based.
    pub number: i32,
    /// Earlier tries that were lost.
    pub losses: i32,
    /// When.
    pub at: Timestamp,
}

/// An attempt that begins to wait, or to be worked on.
#[derive(Debug)]
pub struct NewQueued {
    /// The execution.
    pub execution: ExecutionId,
    /// The attempt.
    pub attempt: AttemptId,
    /// Where it waits.
    pub queue: i32,
    /// Lower is first.
    pub priority: i16,
    /// Seconds until it may run; infinite while paused.
    pub delay: f64,
    /// Who has it already, and for how many seconds; by its definition, when a worker has it.
    pub lease: Option<(i64, Option<f64>)>,
}

/// What became of attempts that were to be leased at once.
#[derive(Debug, Default)]
pub struct Enqueued {
    /// They wait, because their queue is paused.
    pub waiting: Vec<AttemptId>,
    /// Workers have them, for as long as the task's definition says.
    pub leased: Vec<Lease>,
}

/// How an attempt ended.
#[derive(Debug)]
pub struct NewResult {
    /// The attempt as it was taken.
    pub taken: Taken,
    /// `completed`, `failed`, `gave_up`, `lost`.
    pub outcome: &'static str,
    /// What it produced.
    pub output: Option<Json>,
    /// Why it did not.
    pub error: Option<String>,
    /// Who reported it, when the lease did not know.
    pub worker: Option<String>,
    /// When it ended.
    pub at: Timestamp,
    /// What a model read and wrote.
    pub tokens: Option<Tokens>,
}

/// Tokens of one answer of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Read, cached ones included.
    pub prompt: i64,
    /// Written.
    pub completion: i64,
    /// Of those read: from the provider's cache, where it says so and there were some.
    pub cached: Option<i64>,
}

/// Something that happened.
#[derive(Debug)]
pub struct NewEvent {
    /// To which execution.
    pub execution: ExecutionId,
    /// Its number.
    pub seq: i32,
    /// What, past tense.
    pub kind: &'static str,
    /// To which attempt.
    pub attempt: Option<AttemptId>,
    /// Details.
    pub data: Option<Json>,
    /// When.
    pub at: Timestamp,
    /// Where the execution stands after it, when it is the newest.
    pub state: Option<Json>,
}

/// A message of the conversation.
#[derive(Debug)]
pub struct NewMessage {
    /// Of which execution.
    pub execution: ExecutionId,
    /// Its number.
    pub n: u32,
    /// `user`, `assistant`, `tool`, `system` or `signal`.
    pub role: &'static str,
    /// The turn it belongs to.
    pub turn: u32,
    /// The call that it answers.
    pub call: Option<u16>,
    /// Whose result it is.
    pub attempt: Option<AttemptId>,
    /// The call's id.
    pub call_id: Option<String>,
    /// The tool.
    pub name: Option<String>,
    /// Its text, when it is no result.
    pub content: Option<String>,
    /// When.
    pub at: Timestamp,
}

fn int(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn small(n: u16) -> i16 {
    i16::try_from(n).unwrap_or(i16::MAX)
}

/// The task that columns `kind`, `turn` and `call` of `row` name.
///
/// # Errors
///
/// [`Error::Postgres`] when a column is missing.
pub fn task(row: &Row) -> Result<Task, Error> {
    let turn = u32::try_from(row.try_get::<_, i32>("turn")?).unwrap_or(0);
    let call = u16::try_from(row.try_get::<_, i16>("call")?).unwrap_or(0);
    Ok(match row.try_get("kind")? {
        "tool" => Task::Tool { turn, call },
        "check" => Task::Check { turn },
        _ => Task::Model { turn },
    })
}

/// Which of `requests` have already become an event of executions `ids`.
///
/// # Errors
///
/// [`Error`]
pub async fn requested(
    db: &impl GenericClient,
    ids: &[ExecutionId],
    requests: &[&String],
) -> Result<HashSet<String>, Error> {
    let requested = db.prepare_cached(include_str!("../../sql/events/requested.sql")).await?;
    let rows = db.query(&requested, &[&ids, &requests]).await?;
    Ok(rows.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?)
}

impl Statements {
    /// Prepare them all on `db`.
    ///
    /// # Errors
    ///
    /// [`Error`] when one does not fit the schema or the connection broke.
    pub async fn prepare(db: &Client) -> Result<Self, Error> {
        Ok(Self {
            start: db.prepare(include_str!("../../sql/executions/insert.sql")).await?,
            find_by_key: db.prepare(include_str!("../../sql/executions/find_by_key.sql")).await?,
            lock: db.prepare(include_str!("../../sql/executions/lock.sql")).await?,
            progress: db.prepare(include_str!("../../sql/executions/progress.sql")).await?,
            advance: db.prepare(include_str!("../../sql/executions/advance.sql")).await?,
            take: db.prepare(include_str!("../../sql/queue/take.sql")).await?,
            names: db.prepare(include_str!("../../sql/workers/names.sql")).await?,
            fate: db.prepare(include_str!("../../sql/queue/fate.sql")).await?,
            enqueue: db.prepare(include_str!("../../sql/queue/insert.sql")).await?,
            withdraw: db.prepare(include_str!("../../sql/queue/withdraw.sql")).await?,
            hold: db.prepare(include_str!("../../sql/queue/hold.sql")).await?,
            release: db.prepare(include_str!("../../sql/queue/release.sql")).await?,
            tasks: db.prepare(include_str!("../../sql/tasks/insert.sql")).await?,
            retry: db.prepare(include_str!("../../sql/tasks/retry.sql")).await?,
            results: db.prepare(include_str!("../../sql/results/insert.sql")).await?,
            events: db.prepare(include_str!("../../sql/events/append.sql")).await?,
            messages: db.prepare(include_str!("../../sql/messages/append.sql")).await?,
            now: db.prepare(include_str!("../../sql/executions/now.sql")).await?,
            reply: db.prepare(include_str!("../../sql/results/reply.sql")).await?,
            approvals: approvals::Statements::prepare(db).await?,
            copy: db.prepare(super::forks::COPY).await?,
            inbox: super::inbox::Statements::prepare(db).await?,
        })
    }

    /// The copy of a history, for the module that knows what is in it.
    pub(super) fn copy(&self) -> &Statement {
        &self.copy
    }

    /// Insert executions; returns the ids of those whose start key was free.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn start(&self, db: &Client, rows: &[NewExecution]) -> Result<Vec<ExecutionId>, Error> {
        let rows = db
            .query(
                &self.start,
                &[
                    &column!(rows, r => r.id),
                    &column!(rows, r => &r.agent),
                    &column!(rows, r => r.version),
                    &column!(rows, r => &r.input),
                    &column!(rows, r => &r.context),
                    &column!(rows, r => r.key.as_ref()),
                    &column!(rows, r => r.session.as_ref()),
                    &column!(rows, r => r.domains.as_ref()),
                    &column!(rows, r => r.domain.as_ref()),
                    &column!(rows, r => r.priority),
                    &column!(rows, r => r.timeout),
                ],
            )
            .await?;
        Ok(rows.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// The execution that a start key belongs to, or that `start` itself had made, with its agent version.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn find_by_key(
        &self,
        db: &Client,
        agent: &str,
        key: Option<&str>,
        start: ExecutionId,
    ) -> Result<Option<(ExecutionId, i32)>, Error> {
        let row = db.query_opt(&self.find_by_key, &[&agent, &key, &start]).await?;
        row.map(|r| Ok((r.try_get(0)?, r.try_get(1)?))).transpose()
    }

    /// Lock executions in id order. Those that do not exist are left out.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn lock(&self, db: &Client, ids: &[ExecutionId]) -> Result<Vec<Locked>, Error> {
        let params: &[&(dyn ToSql + Sync)] = &[&ids];
        let (locked, progress) = join!(db.query(&self.lock, params), db.query(&self.progress, params));
        let mut rows: HashMap<ExecutionId, Row> = HashMap::new();
        for row in locked? {
            rows.insert(row.try_get("id")?, row);
        }
        let mut all = vec![];
        for p in progress? {
            let id = p.try_get("id")?;
            let Some(r) = rows.get(&id) else { continue };
            let state: Json = p.try_get("state")?;
            let before: Timestamp = p.try_get("at")?;
            all.push(Locked {
                id,
                agent: r.try_get("agent")?,
                version: r.try_get("version")?,
                status: status_of(r.try_get("status")?),
                state: serde_json::from_str(state.text())
                    .map_err(|source| Error::Corrupt { what: "events.state", source })?,
                context: r.try_get("context")?,
                priority: r.try_get("priority")?,
                seq: p.try_get("last_seq")?,
                domains: r.try_get("domains")?,
                is_replay: r.try_get("is_replay")?,
                at: p.try_get::<_, Timestamp>("now")?.max(before),
            });
        }
        Ok(all)
    }

    /// Take the queue rows of attempts; those that do not come back were too late.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn take(
        &self,
        db: &Client,
        rows: &[(ExecutionId, AttemptId, Option<i64>, Option<Timestamp>)],
    ) -> Result<Vec<Taken>, Error> {
        let rows = db
            .query(
                &self.take,
                &[
                    &column!(rows, r => r.0),
                    &column!(rows, r => r.1),
                    &column!(rows, r => r.2),
                    &column!(rows, r => r.3),
                ],
            )
            .await?;
        rows.iter().map(taken).collect()
    }

    /// The names of workers.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn names(&self, db: &Client, ids: &[i64]) -> Result<Vec<(i64, String)>, Error> {
        let rows = db.query(&self.names, &[&ids]).await?;
        rows.iter().map(|r| Ok((r.try_get("id")?, r.try_get("name")?))).collect()
    }

    /// What became of attempts that could not be taken. Unknown ones are left out.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn fate(&self, db: &Client, rows: &[(ExecutionId, AttemptId)]) -> Result<Vec<Fate>, Error> {
        let rows = db.query(&self.fate, &[&column!(rows, r => r.0), &column!(rows, r => r.1)]).await?;
        rows.iter()
            .map(|r| {
                let status: &str = r.try_get("status")?;
                Ok(Fate {
                    attempt: r.try_get("id")?,
                    outcome: r.try_get("outcome")?,
                    ended: !matches!(status, "running" | "paused"),
                })
            })
            .collect()
    }

    /// The time.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn now(&self, db: &Client) -> Result<Timestamp, Error> {
        Ok(db.query_one(&self.now, &[]).await?.try_get(0)?)
    }

    /// What the model answered in a turn.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn reply(&self, db: &Client, id: ExecutionId, turn: u32) -> Result<Option<Json>, Error> {
        Ok(db.query_opt(&self.reply, &[&id, &int(turn)]).await?.map(|r| r.try_get(0)).transpose()?.flatten())
    }

    /// Store locked executions.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn advance(&self, db: &Client, rows: &[Advanced]) -> Result<(), Error> {
        let rows: Vec<_> = rows.iter().filter(|r| r.is_changed).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let (ids, statuses) = (column!(rows, r => r.id), column!(rows, r => r.status));
        let (reasons, contexts) =
            (column!(rows, r => r.reason.as_ref()), column!(rows, r => r.context.as_ref()));
        let (outputs, ends) =
            (column!(rows, r => r.output.as_ref()), column!(rows, r => r.ended.then_some(r.at)));
        db.execute(&self.advance, &[&ids, &statuses, &reasons, &contexts, &outputs, &ends]).await?;
        Ok(())
    }

    /// Queue attempts, whose tasks and executions are stored by now.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn enqueue(&self, db: &Client, rows: &[NewQueued]) -> Result<Enqueued, Error> {
        let mut enqueued = Enqueued::default();
        if rows.is_empty() {
            return Ok(enqueued);
        }
        let told = db
            .query(
                &self.enqueue,
                &[
                    &column!(rows, r => r.execution),
                    &column!(rows, r => r.attempt),
                    &column!(rows, r => r.queue),
                    &column!(rows, r => r.priority),
                    &column!(rows, r => r.delay),
                    &column!(rows, r => r.lease.map(|l| l.0)),
                    &column!(rows, r => r.lease.and_then(|l| l.1)),
                ],
            )
            .await?;
        for row in &told {
            if row.try_get("is_leased")? {
                enqueued.leased.push(super::queue::lease(row)?);
            } else {
                enqueued.waiting.push(row.try_get("attempt_id")?);
            }
        }
        Ok(enqueued)
    }

    /// Take back all that is queued of executions.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn withdraw(&self, db: &Client, ids: &[ExecutionId], at: Timestamp) -> Result<(), Error> {
        if !ids.is_empty() {
            db.execute(&self.withdraw, &[&ids, &at]).await?;
        }
        Ok(())
    }

    /// Keep what waits of executions from being handed out.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn hold(&self, db: &Client, ids: &[ExecutionId]) -> Result<(), Error> {
        if !ids.is_empty() {
            db.execute(&self.hold, &[&ids]).await?;
        }
        Ok(())
    }

    /// Hand it out again; returns the queues that have something ready now.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn release(&self, db: &Client, ids: &[ExecutionId]) -> Result<Vec<i32>, Error> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let rows = db.query(&self.release, &[&ids]).await?;
        Ok(rows.iter().map(|r| r.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Write first attempts down.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn tasks(&self, db: &Client, rows: &[NewTask]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        db.execute(
            &self.tasks,
            &[
                &column!(rows, r => r.execution),
                &column!(rows, r => r.id),
                &column!(rows, r => r.task.kind()),
                &column!(rows, r => int(r.task.turn())),
                &column!(rows, r => small(r.task.call())),
                &column!(rows, r => &r.name),
                &column!(rows, r => r.call_id.as_ref()),
                &column!(rows, r => r.queue),
                &column!(rows, r => &r.input),
                &column!(rows, r => r.at),
            ],
        )
        .await?;
        Ok(())
    }

    /// Write further attempts down.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn retries(&self, db: &Client, rows: &[NewRetry]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        db.execute(
            &self.retry,
            &[
                &column!(rows, r => r.execution),
                &column!(rows, r => r.id),
                &column!(rows, r => r.before),
                &column!(rows, r => r.number),
                &column!(rows, r => r.losses),
                &column!(rows, r => r.at),
            ],
        )
        .await?;
        Ok(())
    }

    /// Write down how attempts ended.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn results(&self, db: &Client, rows: &[NewResult]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        db.execute(
            &self.results,
            &[
                &column!(rows, r => r.taken.execution),
                &column!(rows, r => r.taken.attempt),
                &column!(rows, r => r.taken.task.kind()),
                &column!(rows, r => int(r.taken.task.turn())),
                &column!(rows, r => small(r.taken.task.call())),
                &column!(rows, r => r.outcome),
                &column!(rows, r => r.output.as_ref()),
                &column!(rows, r => r.error.as_ref()),
                &column!(rows, r => r.taken.worker.as_ref().or(r.worker.as_ref())),
                &column!(rows, r => r.taken.polls),
                &column!(rows, r => r.taken.started_at),
                &column!(rows, r => r.at),
                &column!(rows, r => r.tokens.map(|t| t.prompt)),
                &column!(rows, r => r.tokens.map(|t| t.completion)),
                &column!(rows, r => r.tokens.and_then(|t| t.cached)),
            ],
        )
        .await?;
        Ok(())
    }

    /// Append events.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn events(&self, db: &Client, rows: &[NewEvent]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let (ids, seqs) = (column!(rows, r => r.execution), column!(rows, r => r.seq));
        let (kinds, attempts) = (column!(rows, r => r.kind), column!(rows, r => r.attempt));
        let (data, ats) = (column!(rows, r => r.data.as_ref()), column!(rows, r => r.at));
        let states = column!(rows, r => r.state.as_ref());
        db.execute(&self.events, &[&ids, &seqs, &kinds, &attempts, &data, &ats, &states]).await?;
        Ok(())
    }

    /// Append messages.
    ///
    /// # Errors
    ///
    /// [`Error`]
    pub async fn messages(&self, db: &Client, rows: &[NewMessage]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        db.execute(
            &self.messages,
            &[
                &column!(rows, r => r.execution),
                &column!(rows, r => int(r.n)),
                &column!(rows, r => r.role),
                &column!(rows, r => int(r.turn)),
                &column!(rows, r => r.call.map(small)),
                &column!(rows, r => r.attempt),
                &column!(rows, r => r.call_id.as_ref()),
                &column!(rows, r => r.name.as_ref()),
                &column!(rows, r => r.content.as_ref()),
                &column!(rows, r => r.at),
            ],
        )
        .await?;
        Ok(())
    }
}

fn taken(r: &Row) -> Result<Taken, Error> {
    let (count, logic): (Option<i32>, Option<String>) =
        (r.try_get("retry_count")?, r.try_get("retry_logic")?);
    let delay: Option<i32> = r.try_get("retry_delay_secs")?;
    Ok(Taken {
        execution: r.try_get("execution_id")?,
        attempt: r.try_get("id")?,
        task: task(r)?,
        number: u32::try_from(r.try_get::<_, i32>("attempt")?).unwrap_or(1),
        losses: u32::try_from(r.try_get::<_, i32>("losses")?).unwrap_or(0),
        name: r.try_get("name")?,
        queue: r.try_get("queue_id")?,
        polls: r.try_get("polls")?,
        started_at: r.try_get("started_at")?,
        worker_id: r.try_get("worker_id")?,
        worker: None,
        retries: count.zip(logic).zip(delay).map(|((c, l), d)| (c, l, d)),
        backoff_scale: r.try_get("backoff_scale")?,
    })
}
