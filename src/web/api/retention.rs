//! Retention policies: which finished runs are kept for how long; listing, setting and removing them.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use super::bulk::{keep, kept};
use super::queues::{NAME, typed};
use super::{LONGEST, named};
use crate::json::storable_text;
use crate::store::retention::{self, Policy, Stored};
use crate::web::body::{Body, reply};
use crate::web::wire::who;
use crate::web::{Problem, State};

/// Most policies that there can be: each is looked at every hour.
const MOST: usize = 100;

/// A policy as programs read it.
pub fn row(stored: &Stored) -> Value {
    let Stored { policy, set_at, set_by, looked_at, deleted, last_at, job } = stored;
    json!({
        "name": policy.name, "filter": policy.filter, "keep": kept(policy.keep_secs), "export": policy.export,
        "setAt": set_at.to_string(), "setBy": set_by, "lookedAt": looked_at.map(|at| at.to_string()),
        "deleted": deleted, "lastAt": last_at.map(|at| at.to_string()), "job": job,
    })
}

/// `GET /api/v1/retention`: in the order of their names.
pub async fn list(state: Data<State>) -> Result<HttpResponse, Problem> {
    let all = retention::list(&state.runtime.pool().get().await?).await?;
    Ok(reply(&json!({ "policies": all.iter().map(row).collect::<Vec<_>>() })))
}

/// Body of `POST /api/v1/retention`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wish {
    /// Its name.
    pub name: String,
    /// Which runs.
    pub filter: String,
    /// For how long after their end.
    pub keep: String,
    /// Whether each is written to a file before it goes.
    #[serde(default)]
    pub export: bool,
    /// Who wants it.
    pub by: Option<String>,
}

/// `POST /api/v1/retention`: set one, or replace the one of its name. What is due by it goes from the next second on.
pub async fn set(
    state: Data<State>,
    request: HttpRequest,
    body: Body<Wish>,
) -> Result<HttpResponse, Problem> {
    put(&state, &body.0, &who(&request)).await?;
    list(state).await
}

/// Set a policy, or replace the one of its name.
pub async fn put(state: &State, wish: &Wish, otherwise: &str) -> Result<(), Problem> {
    let name = named("name", &wish.name).map_err(|why| Problem::new(400, why))?;
    let all = retention::list(&state.runtime.pool().get().await?).await?;
    if all.len() >= MOST && !all.iter().any(|stored| stored.policy.name == name) {
        return Err(Problem::new(409, format!("there are {MOST} policies already; remove some")));
    }
    let by = typed(wish.by.as_deref(), NAME).unwrap_or_else(|| otherwise.to_owned());
    let policy =
        Policy { name, filter: wish.filter.clone(), keep_secs: keep(&wish.keep)?, export: wish.export };
    Ok(state.runtime.set_retention(&policy, &by).await?)
}

/// `DELETE /api/v1/retention/{name}`
pub async fn remove(
    state: Data<State>,
    request: HttpRequest,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    let name = storable_text(&name).into_owned();
    take_away(&state, &name, &who(&request)).await?;
    Ok(reply(&json!({ "removed": name })))
}

/// Remove the policy of a name.
pub async fn take_away(state: &State, name: &str, by: &str) -> Result<(), Problem> {
    if retention::remove(&state.runtime.pool().get().await?, name, by).await? {
        return Ok(());
    }
    let name: String = name.chars().take(LONGEST).collect();
    Err(Problem::not_found(format!("no retention policy has the name '{name}'")))
}
