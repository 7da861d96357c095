//! Approval policies: which there are, setting and removing them.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{LONGEST, named};
use crate::agent::policy::{Condition, Policy, Rule};
use crate::agent::{Asking, Expiry};
use crate::json::storable_text;
use crate::store::policies::{self, Stored};
use crate::web::body::{Body, reply};
use crate::web::{Problem, State, deciding};

/// Most policies that there can be: a server goes through all of them for each call.
const MOST: usize = 1000;

/// A policy as programs read it.
pub fn row(stored: &Stored) -> Value {
    let Stored { policy, position, set_at, set_by } = stored;
    let (mode, waives, argument, is) = match &policy.rule {
        Rule::Always => ("always", false, None, None),
        Rule::Never { waives } => ("never", *waives, None, None),
        Rule::When { argument, is } => ("when", false, Some(argument), Some(is)),
    };
    let (above, equals) = match is {
        None => (None, None),
        Some(Condition::Above(most)) => (Some(most), None),
        Some(Condition::Equals(value)) => (None, Some(value)),
    };
    let asking = &policy.asking;
    let (secs, then) = asking.expiry.as_ref().map(|(time, then)| (time.as_secs_f64(), then)).unzip();
    let escalate_to = match then {
        Some(Expiry::Escalate { to }) => Some(to),
        _ => None,
    };
    json!({
        "name": policy.name, "position": position, "agent": policy.agent, "tool": policy.tool, "mode": mode,
        "argument": argument, "above": above, "equals": equals, "waives": waives, "group": asking.group,
        "quorum": asking.quorum, "timeoutSeconds": secs, "onTimeout": then.map(Expiry::name),
        "escalateTo": escalate_to, "notRequester": asking.not_requester, "setAt": set_at.to_string(),
        "setBy": set_by, "says": policy.says(), "asks": policy.asks(),
    })
}

/// `GET /api/v1/approval-policies`: in the order in which they are looked at.
pub async fn list(state: Data<State>) -> Result<HttpResponse, Problem> {
    let all = policies::list(&state.runtime.pool().get().await?).await?;
    Ok(reply(&json!({ "policies": all.iter().map(row).collect::<Vec<_>>() })))
}

/// Body of `POST /api/v1/approval-policies`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wish {
    name: String,
    position: Option<i32>,
    agent: Option<String>,
    tool: Option<String>,
    mode: String,
    argument: Option<String>,
    above: Option<f64>,
    #[serde(default)]
    equals: Value,
    waives: Option<bool>,
    group: Option<String>,
    quorum: Option<i16>,
    timeout_seconds: Option<f64>,
    on_timeout: Option<String>,
    escalate_to: Option<String>,
    not_requester: Option<bool>,
    by: Option<String>,
}

impl Wish {
    fn policy(&self) -> Result<Policy, String> {
        let mut is = self.above.map(Condition::Above);
        if !self.equals.is_null() {
            if is.replace(Condition::Equals(self.equals.clone())).is_some() {
                return Err("a condition is above or equals, not both".to_owned());
            }
            let text = self.equals.to_string();
            if text.len() > 1000 || *text != storable_text(&text) {
                return Err("equals: must be at most 1000 bytes of JSON, without NUL".to_owned());
            }
        }
        let rule = match (self.mode.as_str(), &self.argument, is) {
            ("always", None, None) => Rule::Always,
            ("never", None, None) => Rule::Never { waives: self.waives == Some(true) },
            ("when", Some(argument), Some(is)) => Rule::When { argument: named("argument", argument)?, is },
            ("when", ..) => return Err("mode is when: say which argument, and above or equals".to_owned()),
            ("always" | "never", ..) => {
                return Err("argument, above and equals need mode to be when".to_owned());
            }
            _ => return Err("mode: can be always, never or when".to_owned()),
        };
        if self.waives == Some(true) && self.mode != "never" {
            return Err("waives needs mode to be never".to_owned());
        }
        let mut asking = json!({
            "group": self.group, "quorum": self.quorum, "timeoutSeconds": self.timeout_seconds,
            "onTimeout": self.on_timeout, "escalateTo": self.escalate_to, "notRequester": self.not_requester,
        });
        let says_whom = asking.as_object_mut().is_some_and(|fields| {
            fields.retain(|_, v| !v.is_null());
            fields.iter().any(|(name, v)| {
                !(name == "notRequester" && *v == json!(false) || name == "quorum" && *v == json!(1))
            })
        });
        if says_whom && self.mode == "never" {
            return Err("mode is never: nobody is asked, so it can't be said whom".to_owned());
        }
        Ok(Policy {
            name: named("name", &self.name)?,
            agent: named("agent", self.agent.as_deref().unwrap_or("*"))?,
            tool: named("tool", self.tool.as_deref().unwrap_or("*"))?,
            rule,
            asking: Asking::parse(&asking, false)?,
        })
    }
}

/// `POST /api/v1/approval-policies`: set one, or replace the one of its name. It holds here when this is answered, on other
/// servers within a second.
pub async fn set(
    state: Data<State>,
    request: HttpRequest,
    body: Body<Wish>,
) -> Result<HttpResponse, Problem> {
    put(&state, body.0, "a client", &request).await?;
    list(state).await
}

/// Set a policy, or replace the one of its name.
pub async fn put(state: &State, wish: Wish, otherwise: &str, request: &HttpRequest) -> Result<(), Problem> {
    let policy = wish.policy().map_err(|why| Problem::new(400, why))?;
    let by = deciding::who(&storable_text(wish.by.as_deref().unwrap_or_default()), otherwise, request)?;
    let db = state.runtime.pool().get().await?;
    let all = policies::list(&db).await?;
    if all.len() >= MOST && !all.iter().any(|stored| stored.policy.name == policy.name) {
        return Err(Problem::new(409, format!("there are {MOST} policies already; remove some")));
    }
    policies::set(&db, &policy, wish.position.unwrap_or(100), &by).await?;
    drop(db);
    Ok(state.runtime.policies_changed().await?)
}

/// `DELETE /api/v1/approval-policies/{name}`
pub async fn remove(state: Data<State>, name: Path<String>) -> Result<HttpResponse, Problem> {
    let name = storable_text(&name).into_owned();
    take_away(&state, &name).await?;
    Ok(reply(&json!({ "removed": name })))
}

/// Remove the policy of a name.
pub async fn take_away(state: &State, name: &str) -> Result<(), Problem> {
    if !policies::remove(&state.runtime.pool().get().await?, name).await? {
        let name: String = name.chars().take(LONGEST).collect();
        return Err(Problem::not_found(format!("no policy has the name '{name}'")));
    }
    Ok(state.runtime.policies_changed().await?)
}
