//! What was spent, one sum per currency; calls whose cost is not known are counted, never taken for free.

use std::collections::HashMap;

use jiff::civil::Date;
use tokio_postgres::Row;

use super::super::{Error, GenericClient};
use crate::id::{AttemptId, ExecutionId};

const OF_AGENT: &str = include_str!("../../../sql/prices/of_agent.sql");
const OF_ATTEMPTS: &str = include_str!("../../../sql/prices/of_attempts.sql");
const OF_DAY: &str = include_str!("../../../sql/prices/of_day.sql");
const OF_RUNS: &str = include_str!("../../../sql/prices/of_runs.sql");
const SPENT: &str = include_str!("../../../sql/prices/spent.sql");

/// An exact amount of one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// Three capital letters.
    pub currency: String,
    /// A decimal number.
    pub amount: String,
}

/// What some calls cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cost {
    /// One sum per currency, in the order of their codes. Empty when nothing is known, and when there were no calls.
    pub sums: Vec<Money>,
    /// Calls that are in the sums.
    pub priced: i64,
    /// Calls whose cost is not known.
    pub unknown: i64,
}

impl Cost {
    fn add(&mut self, row: &Row) {
        let (money, calls) = (money(row), row.get::<_, i64>("calls"));
        match money {
            Some(money) => {
                self.sums.push(money);
                self.priced += calls;
            }
            None => self.unknown += calls,
        }
    }

    fn of(rows: &[Row]) -> Self {
        let mut cost = Self::default();
        for row in rows {
            cost.add(row);
        }
        cost
    }
}

fn money(row: &Row) -> Option<Money> {
    Some(Money { currency: row.get::<_, Option<_>>("currency")?, amount: row.get::<_, Option<_>>("cost")? })
}

/// What each of these runs cost so far; runs without a model call are left out.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn of_runs(
    db: &impl GenericClient,
    ids: &[ExecutionId],
) -> Result<HashMap<ExecutionId, Cost>, Error> {
    let statement = db.prepare_cached(OF_RUNS).await?;
    let mut costs = HashMap::<_, Cost>::new();
    for row in db.query(&statement, &[&ids]).await? {
        costs.entry(row.get("execution_id")).or_default().add(&row);
    }
    Ok(costs)
}

/// What each of these attempts cost; `None` for an answer of a model whose cost is not known.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn of_attempts(
    db: &impl GenericClient,
    execution: ExecutionId,
    attempts: &[AttemptId],
) -> Result<HashMap<AttemptId, Option<Money>>, Error> {
    let statement = db.prepare_cached(OF_ATTEMPTS).await?;
    let rows = db.query(&statement, &[&execution, &attempts]).await?;
    Ok(rows.iter().map(|row| (row.get("attempt_id"), money(row))).collect())
}

/// What the newest `newest` runs of an agent cost.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn of_agent(db: &impl GenericClient, agent: &str, newest: i64) -> Result<Cost, Error> {
    let statement = db.prepare_cached(OF_AGENT).await?;
    Ok(Cost::of(&db.query(&statement, &[&agent, &newest]).await?))
}

/// What the newest `newest` runs cost that started in the last 24 hours; nothing while there are no prices.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn of_day(db: &impl GenericClient, newest: i64) -> Result<Cost, Error> {
    let statement = db.prepare_cached(OF_DAY).await?;
    Ok(Cost::of(&db.query(&statement, &[&newest]).await?))
}

/// By what spending is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Days in UTC.
    Day,
    /// Agents.
    Agent,
    /// Models.
    Model,
}

impl By {
    /// `day`, `agent` or `model`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Agent => "agent",
            Self::Model => "model",
        }
    }
}

/// The statement that lists prices in psql.
pub const PRICES: &str = "select * from tenure.prices order by model, valid_from desc;";

/// The statement that shows in psql what [`spent`] finds.
#[must_use]
pub fn statement(by: By, (from, until): (Date, Date)) -> String {
    let order = if by == By::Day { "day desc" } else { "cost desc nulls last" };
    let by = by.name();
    format!(
        "select {by}, currency, sum(cost) as cost, sum(calls) as calls, sum(prompt_tokens) as prompt_tokens,\n       \
         sum(cached_tokens) as cached_tokens, sum(completion_tokens) as completion_tokens\n  from tenure.cost_by_day\n \
         where day between '{from}' and '{until}'\n group by {by}, currency\n order by {order};"
    )
}

/// A day, an agent or a model in one currency, or what is not known of it.
#[derive(Debug, Clone)]
pub struct Spent {
    /// Which day, agent or model.
    pub what: String,
    /// `None`: these calls have no price.
    pub money: Option<Money>,
    /// How many calls.
    pub calls: i64,
    /// Tokens read, cached ones included.
    pub prompt_tokens: i64,
    /// Of those from the provider's cache.
    pub cached_tokens: i64,
    /// Tokens written.
    pub completion_tokens: i64,
}

/// What was spent on these days (UTC, both included), at most `limit` rows. Costs a look at each model call of them.
///
/// # Errors
///
/// [`Error::Postgres`], with the code `query_canceled` after ten seconds; [`Error::Unavailable`]
pub async fn spent(
    db: &mut impl GenericClient,
    by: By,
    (from, until): (Date, Date),
    limit: i64,
) -> Result<Vec<Spent>, Error> {
    let db = db.transaction().await?;
    db.batch_execute("set transaction read only; set local statement_timeout = '10s'; set local jit = off")
        .await?;
    let statement = db.prepare_cached(SPENT).await?;
    let rows = db.query(&statement, &[&from, &until, &by.name(), &limit]).await?;
    db.commit().await?;
    let spent = |row: &Row| Spent {
        what: row.get("what"),
        money: money(row),
        calls: row.get("calls"),
        prompt_tokens: row.get("prompt_tokens"),
        cached_tokens: row.get("cached_tokens"),
        completion_tokens: row.get("completion_tokens"),
    };
    Ok(rows.iter().map(spent).collect())
}
