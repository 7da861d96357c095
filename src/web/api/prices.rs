//! Prices of models, and what was spent.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::store::prices::{self, Price};
use crate::store::read::costs::{self, By, Cost, Money};
use crate::store::read::executions;
use crate::web::body::{Body, reply};
use crate::web::price::Wish;
use crate::web::wire::words;
use crate::web::{Problem, State};

/// Most prices that are set at once.
const MOST: usize = 1000;
/// Most rows of a sum.
const ROWS: i64 = 10_000;
/// Most days that are added up.
const DAYS: i32 = 366;

fn row(price: &Price) -> Value {
    let p = &price.price;
    json!({
        "id": price.id, "model": p.model, "currency": p.currency, "prompt": p.prompt, "completion": p.completion,
        "cached": p.cached, "from": price.valid_from.to_string(), "until": p.valid_until.map(|t| t.to_string()),
        "note": p.note, "inForce": price.in_force, "setAt": price.set_at.to_string(), "setBy": price.set_by,
    })
}

/// `GET /api/prices`
pub async fn list(state: Data<State>) -> Result<HttpResponse, Problem> {
    let prices = prices::list(&state.runtime.pool().get().await?).await?;
    Ok(reply(&prices.iter().map(row).collect::<Vec<_>>()))
}

/// One price or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wishes {
    Many(Vec<Value>),
    One(Value),
}

/// `POST /api/prices`: set one price, or an array of them, all or none.
pub async fn set(
    state: Data<State>,
    request: HttpRequest,
    body: Body<Value>,
) -> Result<HttpResponse, Problem> {
    let wishes = match serde_json::from_value(body.0) {
        Ok(Wishes::Many(wishes)) => wishes,
        Ok(Wishes::One(wish)) => vec![wish],
        Err(error) => return Err(Problem::new(400, format!("the body does not fit: {error}"))),
    };
    if wishes.is_empty() || wishes.len() > MOST {
        return Err(Problem::new(400, format!("send 1 to {MOST} prices at once")));
    }
    let read = |(n, wish): (usize, Value)| {
        let said = |why: String| Problem::new(400, format!("price {}: {why}", n + 1));
        let wish: Wish = serde_json::from_value(wish).map_err(|e| said(e.to_string()))?;
        wish.price().map_err(|problem| said(problem.to_string()))
    };
    let wanted = wishes.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let by = request
        .peer_addr()
        .map_or_else(|| "a client".to_owned(), |peer| format!("a client at {}", peer.ip()));
    let db = state.runtime.pool().get().await?;
    let ids = prices::set(&db, &wanted, &by).await?;
    let all = prices::list(&db).await?;
    let set: Vec<_> = all.iter().filter(|p| ids.contains(&p.id)).map(row).collect();
    Ok(reply(&set))
}

/// `DELETE /api/prices/{id}`
pub async fn remove(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let unknown = || Problem::not_found(format!("no price has the number '{id}'"));
    let number = id.parse().map_err(|_| unknown())?;
    if prices::remove(&state.runtime.pool().get().await?, number).await? {
        Ok(reply(&json!({ "removed": number })))
    } else {
        Err(unknown())
    }
}

/// What a sum is over.
#[derive(Deserialize)]
pub struct Wanted {
    by: Option<String>,
    days: Option<i32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spent {
    #[serde(flatten)]
    what: serde_json::Map<String, Value>,
    currency: Option<String>,
    cost: Option<String>,
    calls: i64,
    prompt_tokens: i64,
    cached_tokens: i64,
    completion_tokens: i64,
}

/// `GET /api/costs?by=day|agent|model&days=7`: what was spent; currency and cost are null for calls without a price.
pub async fn spent(state: Data<State>, wanted: Query<Wanted>) -> Result<HttpResponse, Problem> {
    let by = match wanted.by.as_deref() {
        None | Some("day") => By::Day,
        Some("agent") => By::Agent,
        Some("model") => By::Model,
        Some(other) => {
            return Err(Problem::new(
                400,
                format!("nothing is added up by '{other}'; there are day, agent and model"),
            ));
        }
    };
    let days = wanted.days.unwrap_or(7);
    if !(1..=DAYS).contains(&days) {
        return Err(Problem::new(400, format!("days is {days}; it goes from 1 (today) to {DAYS}")));
    }
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let from = today.saturating_sub((days - 1).days());
    let mut db = state.runtime.pool().get().await?;
    let spent = costs::spent(&mut db, by, (from, today), ROWS).await.map_err(|error| match error {
        error if error.took_too_long() => {
            Problem::new(503, "adding that up takes longer than 10 s; ask for fewer days")
        }
        error => error.into(),
    })?;
    let rows = spent.into_iter().map(|s| {
        let (currency, cost) = s.money.map_or((None, None), |m| (Some(m.currency), Some(m.amount)));
        Spent {
            what: [(by.name().to_owned(), json!(crate::json::readable(&s.what)))].into_iter().collect(),
            currency,
            cost,
            calls: s.calls,
            prompt_tokens: s.prompt_tokens,
            cached_tokens: s.cached_tokens,
            completion_tokens: s.completion_tokens,
        }
    });
    Ok(reply(&json!({
        "from": from.to_string(), "until": today.to_string(), "by": by.name(), "spent": rows.collect::<Vec<_>>(),
    })))
}

/// `GET /api/executions/{id}/cost`: what a run cost so far.
pub async fn of_run(state: Data<State>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    let db = state.runtime.pool().get().await?;
    executions::status(&db, id).await?;
    let Cost { sums, priced, unknown } = costs::of_runs(&db, &[id]).await?.remove(&id).unwrap_or_default();
    let sum = |money: Money| json!({ "currency": money.currency, "cost": money.amount });
    Ok(reply(&json!({
        "executionId": id, "costs": sums.into_iter().map(sum).collect::<Vec<_>>(), "pricedCalls": priced,
        "unpricedCalls": unknown,
    })))
}
