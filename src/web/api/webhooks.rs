//! Webhooks: who is told of questions to people and of runs that failed, and what came of telling them.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use jiff::SignedDuration;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::queues::{NAME, typed};
use super::{LONGEST, named};
use crate::json::storable_text;
use crate::notify::{new_secret, read_secret};
use crate::store::outbox::{self, Delivery, Stored, Webhook};
use crate::store::read::list::query;
use crate::web::body::{Body, reply};
use crate::web::wire::who;
use crate::web::{Problem, State};

/// Longest address, in bytes.
const LONGEST_URL: usize = 2000;
/// Most webhooks that there can be: all are looked at for each question.
const MOST: usize = 50;
/// Deliveries that are listed.
const SHOWN: i64 = 100;
/// What somebody can be told of.
pub const EVENTS: [(&str, &str); 4] = [
    ("asked", "a person is asked"),
    ("escalated", "somebody else is asked, because nobody decided in time"),
    ("decided", "it was decided, or its time was over"),
    ("failed", "a run failed or ran out of time"),
];

/// Where a webhook is, without what may be a key.
pub fn place(webhook: &Webhook) -> String {
    let host = Url::parse(&webhook.url).ok().and_then(|url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}://{}{port}/…", url.scheme(), url.host_str()?))
    });
    host.unwrap_or_else(|| "…".to_owned())
}

/// How long somebody waits to be reminded, as it is written.
pub fn span(secs: f64) -> String {
    query::span(SignedDuration::try_from_secs_f64(secs).unwrap_or_default())
}

/// A webhook as programs read it.
fn row(stored: &Stored) -> Value {
    let Stored { webhook, set_at, set_by, waiting, gave_up, last_at, trouble } = stored;
    json!({
        "name": webhook.name, "place": place(webhook), "shape": webhook.shape, "events": webhook.events,
        "agent": webhook.agent, "group": webhook.group, "remind": webhook.remind_secs.map(span),
        "setAt": set_at.to_string(), "setBy": set_by, "waiting": waiting, "gaveUp": gave_up,
        "lastAt": last_at.map(|at| at.to_string()), "trouble": trouble,
    })
}

async fn all(state: &State) -> Result<Value, Problem> {
    let all = outbox::list(&state.runtime.pool().get().await?).await?;
    Ok(json!({ "webhooks": all.iter().map(row).collect::<Vec<_>>() }))
}

/// `GET /api/v1/webhooks`: in the order of their names.
pub async fn list(state: Data<State>) -> Result<HttpResponse, Problem> {
    Ok(reply(&all(&state).await?))
}

/// Body of `POST /api/v1/webhooks`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wish {
    /// Its name.
    pub name: String,
    /// Where to.
    pub url: String,
    /// `json` or `slack`.
    pub shape: Option<String>,
    /// What it is signed with; made up when there is none yet.
    pub secret: Option<String>,
    /// What it is told of; everything unless said.
    pub events: Option<Vec<String>>,
    /// Runs of these agents.
    pub agent: Option<String>,
    /// Only what this group is asked.
    pub group: Option<String>,
    /// How long nobody may decide until it is reminded.
    pub remind: Option<String>,
    /// Who wants it.
    pub by: Option<String>,
}

impl Wish {
    fn webhook(&self) -> Result<Webhook, String> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let url = self.url.trim();
        let is_url = url.len() <= LONGEST_URL
            && Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !is_url {
            return Err("url: must be an address that begins with http:// or https://".to_owned());
        }
        let shape = given(&self.shape).unwrap_or_else(|| "json".to_owned());
        if !matches!(shape.as_str(), "json" | "slack") {
            return Err("shape: can be json or slack".to_owned());
        }
        let known = EVENTS.map(|(name, _)| name);
        let events = self.events.clone().unwrap_or_else(|| known.map(str::to_owned).to_vec());
        if events.is_empty() || events.iter().any(|event| !known.contains(&event.as_str())) {
            return Err(format!("events: can be any of {}", known.join(", ")));
        }
        let remind_secs = match given(&self.remind) {
            None => None,
            Some(text) => {
                let secs = query::duration(text.trim()).map(|span| span.as_secs_f64());
                Some(
                    secs.filter(|secs| *secs >= 60.0)
                        .ok_or("remind: must be a time of a minute or more, as 30m or 4h")?,
                )
            }
        };
        Ok(Webhook {
            name: named("name", &self.name)?,
            url: url.to_owned(),
            shape,
            events,
            agent: named("agent", given(&self.agent).as_deref().unwrap_or("*"))?,
            group: given(&self.group).map(|group| named("group", &group)).transpose()?,
            remind_secs,
        })
    }
}

/// `POST /api/v1/webhooks`: set one, or replace the one of its name. A secret that was made up is told this once.
pub async fn set(
    state: Data<State>,
    request: HttpRequest,
    body: Body<Wish>,
) -> Result<HttpResponse, Problem> {
    let secret = put(&state, &body.0, &who(&request)).await?;
    let mut answer = all(&state).await?;
    answer["secret"] = json!(secret);
    Ok(reply(&answer))
}

/// Set a webhook, or replace the one of its name; its secret, when it was made up.
pub async fn put(state: &State, wish: &Wish, otherwise: &str) -> Result<Option<String>, Problem> {
    let webhook = wish.webhook().map_err(|why| Problem::new(400, why))?;
    let secret = wish.secret.as_deref().filter(|secret| !secret.trim().is_empty());
    let secret = secret.map(read_secret).transpose().map_err(|why| Problem::new(400, why))?;
    let by = typed(wish.by.as_deref(), NAME).unwrap_or_else(|| otherwise.to_owned());
    let db = state.runtime.pool().get().await?;
    let all = outbox::list(&db).await?;
    let is_new = !all.iter().any(|stored| stored.webhook.name == webhook.name);
    if all.len() >= MOST && is_new {
        return Err(Problem::new(409, format!("there are {MOST} webhooks already; remove some")));
    }
    let made_up = (is_new && secret.is_none()).then(new_secret);
    outbox::set(&db, &webhook, secret.as_deref().or(made_up.as_deref()), &by).await?;
    Ok(made_up)
}

fn unknown(name: &str) -> Problem {
    let name: String = name.chars().take(LONGEST).collect();
    Problem::not_found(format!("no webhook has the name '{name}'"))
}

/// `DELETE /api/v1/webhooks/{name}`: what waits to be told there is dropped.
pub async fn remove(state: Data<State>, name: Path<String>) -> Result<HttpResponse, Problem> {
    let name = storable_text(&name).into_owned();
    take_away(&state, &name).await?;
    Ok(reply(&json!({ "removed": name })))
}

/// Remove the webhook of a name.
pub async fn take_away(state: &State, name: &str) -> Result<(), Problem> {
    let is_gone = outbox::remove(&state.runtime.pool().get().await?, name).await?;
    if is_gone { Ok(()) } else { Err(unknown(name)) }
}

/// `POST /api/v1/webhooks/{name}/test`: let it be told that it works.
pub async fn test(state: Data<State>, name: Path<String>) -> Result<HttpResponse, Problem> {
    let id = try_out(&state, &storable_text(&name)).await?;
    Ok(reply(&json!({ "delivery": id })))
}

/// Let a webhook be told that it works; the delivery.
pub async fn try_out(state: &State, name: &str) -> Result<Uuid, Problem> {
    outbox::test(&state.runtime.pool().get().await?, name).await?.ok_or_else(|| unknown(name))
}

/// What is wanted of the deliveries.
#[derive(Deserialize)]
pub struct Which {
    webhook: Option<String>,
    /// An approval, or a run that failed.
    about: Option<String>,
}

fn told(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.id, "webhook": delivery.webhook, "event": delivery.event, "executionId": delivery.execution,
        "about": delivery.subject, "state": delivery.state, "tries": delivery.tries,
        "createdAt": delivery.created_at.to_string(), "endedAt": delivery.ended_at.map(|at| at.to_string()),
        "why": delivery.why,
    })
}

/// `GET /api/v1/deliveries`: the newest hundred.
pub async fn deliveries(state: Data<State>, which: Query<Which>) -> Result<HttpResponse, Problem> {
    let db = state.runtime.pool().get().await?;
    let of = typed(which.webhook.as_deref(), NAME);
    let all = match which.about.as_deref().filter(|about| !about.is_empty()) {
        None => outbox::deliveries(&db, SHOWN, of.as_deref()).await?,
        Some(about) => {
            let about = about.parse().map_err(|_| Problem::new(400, "about: is no id"))?;
            let mut all = outbox::about(&db, SHOWN, about).await?;
            all.retain(|delivery| of.as_ref().is_none_or(|of| delivery.webhook == *of));
            all
        }
    };
    Ok(reply(&json!({ "deliveries": all.iter().map(told).collect::<Vec<_>>() })))
}

/// `POST /api/v1/deliveries/{id}/again`: send it once more.
pub async fn again(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    Ok(reply(&json!({ "delivery": once_more(&state, &id).await? })))
}

/// Send something once more; the delivery.
pub async fn once_more(state: &State, id: &str) -> Result<Uuid, Problem> {
    let missing = || Problem::not_found("there is no such delivery; what was told long ago is forgotten");
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let is_there = outbox::again(&state.runtime.pool().get().await?, id).await?;
    if is_there { Ok(id) } else { Err(missing()) }
}
