//! What must hold whatever was killed, one question per file in `sql/invariants`. Its first line says what holds; its
//! query returns what breaks it, so no rows are good news. Asked while work goes on, some may find what is just happening.

use tokio_postgres::{Client, SimpleQueryMessage, error::SqlState};

use super::{Error, statements};

/// Something that must hold.
#[derive(Debug, Clone)]
pub struct Invariant {
    /// Its short name.
    pub name: String,
    /// What holds.
    pub says: String,
    query: String,
}

/// What breaks an invariant.
#[derive(Debug, Clone)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// One row of its query: columns and values.
    pub row: Vec<(String, String)>,
}

/// All invariants in the order of their names.
#[must_use]
pub fn invariants() -> Vec<Invariant> {
    let mut all: Vec<_> = statements()
        .filter_map(|(name, text)| {
            let name = name.strip_prefix("invariants/")?.to_owned();
            let (says, query) = text.split_once('\n')?;
            let says = says.trim_start_matches("-- ").trim_end_matches('.').to_owned();
            Some(Invariant { name, says, query: query.to_owned() })
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Ask all invariants of one moment; returns what breaks them, at most `most` rows each.
///
/// # Errors
///
/// [`Error`]; [`Error::NotFound`] when there is no schema of ours.
pub async fn broken(db: &Client, most: usize) -> Result<Vec<Broken>, Error> {
    db.batch_execute("begin isolation level repeatable read read only; set local statement_timeout = 0")
        .await?;
    let found = look(db, most).await;
    db.batch_execute("rollback").await?;
    found
}

async fn look(db: &Client, most: usize) -> Result<Vec<Broken>, Error> {
    let mut found = vec![];
    for invariant in invariants() {
        let limited = format!("select * from ({}) broken limit {most}", invariant.query);
        let answer = db.simple_query(&limited).await.map_err(|error| match error.code() {
            Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME) => {
                Error::NotFound { what: "schema", id: "tenure".into() }
            }
            _ => error.into(),
        })?;
        for message in &answer {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let value = |i| row.get(i).unwrap_or("null").to_owned();
            let row = row.columns().iter().enumerate().map(|(i, c)| (c.name().to_owned(), value(i)));
            found.push(Broken { invariant: invariant.clone(), row: row.collect() });
        }
    }
    Ok(found)
}
