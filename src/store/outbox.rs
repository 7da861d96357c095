//! Webhooks, and what they are told: rows of an outbox that were written by the commits that they tell of.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Error, GenericClient};
use crate::id::{ApprovalId, ExecutionId};

/// Somebody who wants to know.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Where to.
    pub url: String,
    /// `json` or `slack`.
    pub shape: String,
    /// `asked`, `escalated`, `decided`, `failed`.
    pub events: Vec<String>,
    /// Runs of these agents; `*` stands for any text.
    pub agent: String,
    /// Only what this group is asked.
    pub group: Option<String>,
    /// Seconds between reminders of what nobody has decided.
    pub remind_secs: Option<f64>,
}

/// A webhook, and how it does.
#[derive(Debug, Clone)]
pub struct Stored {
    /// What it says.
    pub webhook: Webhook,
    /// When it was set.
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: String,
    /// How much waits to be told.
    pub waiting: i64,
    /// How much was given up in the last two days.
    pub gave_up: i64,
    /// When it last took something.
    pub last_at: Option<Timestamp>,
    /// Why the oldest that waits was not taken.
    pub trouble: Option<String>,
}

/// Something that is to be told right now.
#[derive(Debug)]
pub struct Due {
    /// Its id, the same at each try.
    pub id: Uuid,
    /// `asked`, `reminder`, `escalated`, `decided`, `failed`, `test`.
    pub event: String,
    /// The run.
    pub execution: Option<ExecutionId>,
    /// The approval that it is about, when it is about one.
    pub subject: Uuid,
    /// Which try this is, 1-based.
    pub tries: i32,
    /// When it happened.
    pub at: Timestamp,
    /// The webhook's name.
    pub webhook: String,
    /// Where to.
    pub url: String,
    /// What it is signed with.
    pub secret: String,
    /// `json` or `slack`.
    pub shape: String,
}

impl Due {
    /// The approval that it is about.
    #[must_use]
    pub fn approval(&self) -> ApprovalId {
        ApprovalId::from_u128(self.subject.as_u128())
    }
}

/// What became of something that was to be told.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its id.
    pub id: Uuid,
    /// To which webhook.
    pub webhook: String,
    /// What happened.
    pub event: String,
    /// The run.
    pub execution: Option<ExecutionId>,
    /// The approval, or the run.
    pub subject: Uuid,
    /// `waiting`, `delivered`, `dropped`, `gave_up`.
    pub state: String,
    /// How often it was tried.
    pub tries: i32,
    /// When it happened.
    pub created_at: Timestamp,
    /// When it was taken or given up.
    pub ended_at: Option<Timestamp>,
    /// How it stands, in words.
    pub why: String,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// It was taken.
    Delivered,
    /// There is nothing to tell any more.
    Dropped(&'static str),
    /// It was not taken; try again after so many seconds.
    Later(String, f64),
    /// It was not taken, and will not be.
    GaveUp(String),
}

/// All of them, as psql shows them, and what they were told.
pub const STATEMENTS: [(&str, &str); 2] = [
    (
        "Webhooks",
        "select name, shape, events, agent, of_group, remind, set_by\n  from tenure.webhooks\n order by name;",
    ),
    ("What they were told", "select * from tenure.deliveries\n order by created_at desc\n limit 50;"),
];

/// All of them, in the order of their names.
///
/// # Errors
///
/// [`Error`]
pub async fn list(db: &impl GenericClient) -> Result<Vec<Stored>, Error> {
    let list = db.prepare_cached(include_str!("../../sql/outbox/list.sql")).await?;
    let stored = |r: &Row| {
        Ok(Stored {
            webhook: Webhook {
                name: r.try_get("name")?,
                url: r.try_get("url")?,
                shape: r.try_get("shape")?,
                events: r.try_get("events")?,
                agent: r.try_get("agent")?,
                group: r.try_get("of_group")?,
                remind_secs: r.try_get("remind_secs")?,
            },
            set_at: r.try_get("set_at")?,
            set_by: r.try_get("set_by")?,
            waiting: r.try_get("waiting")?,
            gave_up: r.try_get("gave_up")?,
            last_at: r.try_get("last_at")?,
            trouble: r.try_get("trouble")?,
        })
    };
    db.query(&list, &[]).await?.iter().map(stored).collect()
}

/// Set a webhook, or replace the one of its name. Without a secret it keeps the one that it has.
///
/// # Errors
///
/// [`Error`]
pub async fn set(
    db: &impl GenericClient,
    webhook: &Webhook,
    secret: Option<&str>,
    by: &str,
) -> Result<(), Error> {
    let set = db.prepare_cached(include_str!("../../sql/outbox/set.sql")).await?;
    let Webhook { name, url, shape, events, agent, group, remind_secs } = webhook;
    db.execute(&set, &[name, url, &secret, shape, events, agent, group, remind_secs, &by]).await?;
    Ok(())
}

/// Remove a webhook; whether there was one.
///
/// # Errors
///
/// [`Error`]
pub async fn remove(db: &impl GenericClient, name: &str) -> Result<bool, Error> {
    let remove = db.prepare_cached(include_str!("../../sql/outbox/remove.sql")).await?;
    Ok(db.execute(&remove, &[&name]).await? > 0)
}

/// Let a webhook be told that it works; the delivery, or `None` when there is no such webhook.
///
/// # Errors
///
/// [`Error`]
pub async fn test(db: &impl GenericClient, name: &str) -> Result<Option<Uuid>, Error> {
    let test = db.prepare_cached(include_str!("../../sql/outbox/test.sql")).await?;
    Ok(db.query_opt(&test, &[&name]).await?.map(|row| row.try_get(0)).transpose()?)
}

/// Send something once more; whether there is such a delivery.
///
/// # Errors
///
/// [`Error`]
pub async fn again(db: &impl GenericClient, id: Uuid) -> Result<bool, Error> {
    let again = db.prepare_cached(include_str!("../../sql/outbox/again.sql")).await?;
    Ok(db.execute(&again, &[&id]).await? > 0)
}

/// The newest deliveries: to one webhook, or all.
///
/// # Errors
///
/// [`Error`]
pub async fn deliveries(
    db: &impl GenericClient,
    most: i64,
    webhook: Option<&str>,
) -> Result<Vec<Delivery>, Error> {
    let list = db.prepare_cached(include_str!("../../sql/outbox/deliveries.sql")).await?;
    db.query(&list, &[&most, &webhook]).await?.iter().map(delivery).collect()
}

/// The newest deliveries about an approval, or a run that failed.
///
/// # Errors
///
/// [`Error`]
pub async fn about(db: &impl GenericClient, most: i64, subject: Uuid) -> Result<Vec<Delivery>, Error> {
    let about = db.prepare_cached(include_str!("../../sql/outbox/about.sql")).await?;
    db.query(&about, &[&most, &subject]).await?.iter().map(delivery).collect()
}

fn delivery(r: &Row) -> Result<Delivery, Error> {
    Ok(Delivery {
        id: r.try_get("id")?,
        webhook: r.try_get("webhook")?,
        event: r.try_get("event")?,
        execution: r.try_get("execution_id")?,
        subject: r.try_get("subject")?,
        state: r.try_get("state")?,
        tries: r.try_get("tries")?,
        created_at: r.try_get("created_at")?,
        ended_at: r.try_get("ended_at")?,
        why: r.try_get("why")?,
    })
}

/// Write down who is to be reminded.
///
/// # Errors
///
/// [`Error`]
pub async fn remind(db: &impl GenericClient) -> Result<(), Error> {
    let remind = db.prepare_cached(include_str!("../../sql/outbox/remind.sql")).await?;
    db.execute(&remind, &[]).await?;
    Ok(())
}

/// Take what is due. It is due again after so many seconds, if nobody says what came of it.
///
/// # Errors
///
/// [`Error`]
pub async fn take(db: &impl GenericClient, most: i64, lease_secs: f64) -> Result<Vec<Due>, Error> {
    let take = db.prepare_cached(include_str!("../../sql/outbox/take.sql")).await?;
    let due = |r: &Row| {
        Ok(Due {
            id: r.try_get("id")?,
            event: r.try_get("event")?,
            execution: r.try_get("execution_id")?,
            subject: r.try_get("subject")?,
            tries: r.try_get("tries")?,
            at: r.try_get("created_at")?,
            webhook: r.try_get("name")?,
            url: r.try_get("url")?,
            secret: r.try_get("secret")?,
            shape: r.try_get("shape")?,
        })
    };
    db.query(&take, &[&most, &lease_secs]).await?.iter().map(due).collect()
}

/// Write down what came of a try.
///
/// # Errors
///
/// [`Error`]
pub async fn settle(db: &impl GenericClient, due: &Due, told: &Told) -> Result<(), Error> {
    let settle = db.prepare_cached(include_str!("../../sql/outbox/settle.sql")).await?;
    let (state, note, secs) = match told {
        Told::Delivered => ("delivered", None, 0.0),
        Told::Dropped(why) => ("dropped", Some(*why), 0.0),
        Told::Later(why, secs) => ("waiting", Some(why.as_str()), *secs),
        Told::GaveUp(why) => ("gave_up", Some(why.as_str()), 0.0),
    };
    db.execute(&settle, &[&due.id, &due.tries, &state, &note, &secs]).await?;
    Ok(())
}

/// A run that failed, as it is told.
#[derive(Debug)]
pub struct Failed {
    /// Its agent.
    pub agent: String,
    /// `failed` or `timed_out`.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub ended_at: Option<Timestamp>,
}

/// What there is to tell of a run that failed; `None` when it is gone.
///
/// # Errors
///
/// [`Error`]
pub async fn failed(db: &impl GenericClient, id: ExecutionId) -> Result<Option<Failed>, Error> {
    let failed = db.prepare_cached(include_str!("../../sql/outbox/failed.sql")).await?;
    let row = db.query_opt(&failed, &[&id]).await?;
    row.map(|r| {
        Ok(Failed {
            agent: r.try_get("agent")?,
            status: r.try_get("status")?,
            reason: r.try_get("reason")?,
            ended_at: r.try_get("ended_at")?,
        })
    })
    .transpose()
}

/// Forget what was told long ago.
///
/// # Errors
///
/// [`Error`]
pub async fn forget(db: &impl GenericClient) -> Result<(), Error> {
    let forget = db.prepare_cached(include_str!("../../sql/outbox/forget.sql")).await?;
    db.execute(&forget, &[]).await?;
    Ok(())
}
