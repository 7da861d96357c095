//! Prices of models, with the dates from which they hold.
//!
//! Nothing is multiplied here: the views of `sql/migrations/V0030__costs.sql` do it, for psql as for everybody else.

use jiff::Timestamp;
use tokio_postgres::error::SqlState;

use super::{Error, GenericClient};

const CHARGE: &str = include_str!("../../sql/prices/charge.sql");
const LIST: &str = include_str!("../../sql/prices/list.sql");
const REMOVE: &str = include_str!("../../sql/prices/remove.sql");
const SET: &str = include_str!("../../sql/prices/set.sql");

/// What a model costs from a time on. Amounts are decimal numbers per million tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPrice {
    /// `provider/name`; with `*` at its end all models that begin so.
    pub model: String,
    /// Three capital letters.
    pub currency: String,
    /// Of tokens read.
    pub prompt: String,
    /// Of tokens written.
    pub completion: String,
    /// Of tokens read from the provider's cache; `None`: as `prompt`.
    pub cached: Option<String>,
    /// `None`: from now on.
    pub valid_from: Option<Timestamp>,
    /// `None`: until the next one of the same model.
    pub valid_until: Option<Timestamp>,
    /// Where it comes from.
    pub note: Option<String>,
}

/// A price that is set.
#[derive(Debug, Clone)]
pub struct Price {
    /// Its number.
    pub id: i64,
    /// What it is.
    pub price: NewPrice,
    /// From when.
    pub valid_from: Timestamp,
    /// Whether a call now would be charged this, unless a more exact one exists for its model.
    pub in_force: bool,
    /// When it was set.
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: String,
}

/// Tokens of calls of one model.
#[derive(Debug, Clone, Default)]
pub struct Use {
    /// The model.
    pub model: String,
    /// Tokens read, cached ones included.
    pub prompt: i64,
    /// Of those from the provider's cache.
    pub cached: i64,
    /// Tokens written.
    pub completion: i64,
}

/// All of them: by model, the newest first.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn list(db: &impl GenericClient) -> Result<Vec<Price>, Error> {
    let list = db.prepare_cached(LIST).await?;
    let rows = db.query(&list, &[]).await?;
    let price = |row: &tokio_postgres::Row| Price {
        id: row.get("id"),
        price: NewPrice {
            model: row.get("model"),
            currency: row.get("currency"),
            prompt: row.get("prompt"),
            completion: row.get("completion"),
            cached: row.get("cached"),
            valid_from: row.get("valid_from"),
            valid_until: row.get("valid_until"),
            note: row.get("note"),
        },
        valid_from: row.get("valid_from"),
        in_force: row.get("in_force"),
        set_at: row.get("set_at"),
        set_by: row.get("set_by"),
    };
    Ok(rows.iter().map(price).collect())
}

/// Set prices, all or none; their numbers in the same order. One of the same model from the same time on is replaced.
///
/// # Errors
///
/// [`Error::Refused`] when a number or time makes no sense, [`Error::Postgres`], [`Error::Unavailable`]
pub async fn set(db: &impl GenericClient, prices: &[NewPrice], by: &str) -> Result<Vec<i64>, Error> {
    let set = db.prepare_cached(SET).await?;
    let texts = |read: fn(&NewPrice) -> &String| prices.iter().map(read).collect::<Vec<_>>();
    let (models, currencies) = (texts(|p| &p.model), texts(|p| &p.currency));
    let (prompts, completions) = (texts(|p| &p.prompt), texts(|p| &p.completion));
    let cached: Vec<_> = prices.iter().map(|p| p.cached.as_ref()).collect();
    let from: Vec<_> = prices.iter().map(|p| p.valid_from).collect();
    let until: Vec<_> = prices.iter().map(|p| p.valid_until).collect();
    let notes: Vec<_> = prices.iter().map(|p| p.note.as_ref()).collect();
    match db
        .query(&set, &[&models, &currencies, &prompts, &completions, &cached, &from, &until, &notes, &by])
        .await
    {
        Ok(rows) => Ok(rows.iter().map(|row| row.get(0)).collect()),
        Err(error) => Err(refusal(&error).map_or_else(|| error.into(), Error::Refused)),
    }
}

/// Why Postgres refuses a price, in words.
fn refusal(error: &tokio_postgres::Error) -> Option<String> {
    let said = error.as_db_error()?;
    let constraint = said.constraint().unwrap_or_default().replace('_', " ");
    match said.code() {
        &SqlState::CHECK_VIOLATION => Some(format!("a price was refused: {constraint}")),
        &SqlState::CARDINALITY_VIOLATION => {
            Some("two of the prices are for the same model from the same time on".into())
        }
        &SqlState::INVALID_TEXT_REPRESENTATION | &SqlState::NUMERIC_VALUE_OUT_OF_RANGE => {
            Some(said.message().to_owned())
        }
        _ => None,
    }
}

/// Remove a price; whether there was one.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn remove(db: &impl GenericClient, id: i64) -> Result<bool, Error> {
    let remove = db.prepare_cached(REMOVE).await?;
    Ok(db.execute(&remove, &[&id]).await? > 0)
}

/// What these calls cost at the prices that are in force now: currency and millionths of it, `None` for no price.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn charge(db: &impl GenericClient, uses: &[Use]) -> Result<Vec<Option<(String, f64)>>, Error> {
    let charge = db.prepare_cached(CHARGE).await?;
    let models: Vec<_> = uses.iter().map(|u| &u.model).collect();
    let count = |read: fn(&Use) -> i64| uses.iter().map(read).collect::<Vec<_>>();
    let (prompt, cached, completion) = (count(|u| u.prompt), count(|u| u.cached), count(|u| u.completion));
    let rows = db.query(&charge, &[&models, &prompt, &cached, &completion]).await?;
    let cost = |row: &tokio_postgres::Row| {
        Some((row.get::<_, Option<String>>("currency")?, row.get::<_, Option<f64>>("micros")?))
    };
    Ok(rows.iter().map(cost).collect())
}
