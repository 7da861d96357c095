//! Approval policies as rows.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;

use super::{Error, GenericClient};
use crate::agent::policy::{Condition, Policy, Rule};
use crate::agent::{Asking, Expiry};

/// A policy, and how it came to be.
#[derive(Debug, Clone)]
pub struct Stored {
    /// What it says.
    pub policy: Policy,
    /// Policies are looked at from the lowest; the name decides between equals.
    pub position: i32,
    /// When it was set.
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: String,
}

/// All of them, as psql shows them.
pub const STATEMENT: &str = "select *\n  from tenure.approval_policies\n order by position, name;";

/// All of them, in the order in which they are looked at.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn list(db: &impl GenericClient) -> Result<Vec<Stored>, Error> {
    let list = db.prepare_cached(include_str!("../../sql/policies/list.sql")).await?;
    db.query(&list, &[]).await?.iter().map(stored).collect()
}

fn stored(row: &Row) -> Result<Stored, Error> {
    let rule = match row.try_get("mode")? {
        "always" => Rule::Always,
        "never" => Rule::Never { waives: row.try_get("waives")? },
        _ => Rule::When {
            argument: row.try_get::<_, Option<String>>("argument")?.unwrap_or_default(),
            is: if let Some(most) = row.try_get("above")? {
                Condition::Above(most)
            } else {
                let text: Option<String> = row.try_get("equals")?;
                let value = serde_json::from_str(text.as_deref().unwrap_or("null"));
                Condition::Equals(value.unwrap_or(Value::Null))
            },
        },
    };
    let expiry = match row.try_get::<_, Option<String>>("on_timeout")?.as_deref() {
        None => None,
        Some("approve") => Some(Expiry::Approve),
        Some("escalate") => Some(Expiry::Escalate {
            to: row.try_get::<_, Option<String>>("escalate_to")?.unwrap_or_default(),
        }),
        Some(_) => Some(Expiry::Deny),
    };
    let secs: Option<f64> = row.try_get("timeout_secs")?;
    Ok(Stored {
        policy: Policy {
            name: row.try_get("name")?,
            agent: row.try_get("agent")?,
            tool: row.try_get("tool")?,
            rule,
            asking: Asking {
                group: row.try_get("of_group")?,
                quorum: row.try_get("quorum")?,
                expiry: secs.map(Duration::from_secs_f64).zip(expiry),
                not_requester: row.try_get("not_requester")?,
            },
        },
        position: row.try_get("position")?,
        set_at: row.try_get("set_at")?,
        set_by: row.try_get("set_by")?,
    })
}

/// Set a policy, or replace the one of its name.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn set(db: &impl GenericClient, policy: &Policy, position: i32, by: &str) -> Result<(), Error> {
    let set = db.prepare_cached(include_str!("../../sql/policies/set.sql")).await?;
    let (mode, waives, argument, is) = match &policy.rule {
        Rule::Always => ("always", false, None, None),
        Rule::Never { waives } => ("never", *waives, None, None),
        Rule::When { argument, is } => ("when", false, Some(argument), Some(is)),
    };
    let (above, equals) = match is {
        None => (None, None),
        Some(Condition::Above(most)) => (Some(*most), None),
        Some(Condition::Equals(value)) => (None, Some(value.to_string())),
    };
    let asking = &policy.asking;
    let escalate_to = match &asking.expiry {
        Some((_, Expiry::Escalate { to })) => Some(to),
        _ => None,
    };
    db.execute(
        &set,
        &[
            &policy.name,
            &position,
            &policy.agent,
            &policy.tool,
            &mode,
            &argument,
            &above,
            &equals,
            &waives,
            &asking.group,
            &asking.quorum,
            &asking.expiry.as_ref().map(|e| e.0.as_secs_f64()),
            &asking.expiry.as_ref().map(|e| e.1.name()),
            &escalate_to,
            &asking.not_requester,
            &by,
        ],
    )
    .await?;
    Ok(())
}

/// Remove the policy of this name; whether there was one.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn remove(db: &impl GenericClient, name: &str) -> Result<bool, Error> {
    let remove = db.prepare_cached(include_str!("../../sql/policies/remove.sql")).await?;
    Ok(db.execute(&remove, &[&name]).await? > 0)
}
