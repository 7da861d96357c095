//! What was spent, by day, agent or model, and the prices that it is computed with.

pub mod form;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Query};
use askama::Template;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use super::kit::{Base, Cell, Copies, Format, Report, Sheet, Statement, Viewer};
use super::{money, page, shown};
use crate::json;
use crate::store::prices::{self, Price};
use crate::store::read::costs::{self, By, Cost, Spent};
use crate::web::{Problem, State};
use form::Form;

/// Most rows of the sums.
const ROWS: i64 = 200;
/// Most prices that a page lists.
const PRICES: usize = 500;

/// What the address says.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Wanted {
    /// `day`, `agent` or `model`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    by: String,
    /// `today`, `7d` or `30d`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    span: String,
}

/// Spans as the address and the page write them, and their days.
const SPANS: [(&str, &str, i32); 3] = [("today", "today", 1), ("7d", "7 days", 7), ("30d", "30 days", 30)];
const BYS: [By; 3] = [By::Day, By::Agent, By::Model];

impl Wanted {
    fn by(&self) -> Result<By, Problem> {
        let by = BYS.into_iter().find(|by| by.name() == self.by || (self.by.is_empty() && *by == By::Day));
        by.ok_or_else(|| {
            Problem::new(400, format!("nothing is added up by '{}'; there are day, agent and model", self.by))
        })
    }

    fn span(&self) -> Result<(&'static str, &'static str, i32), Problem> {
        let span = SPANS.into_iter().find(|s| s.0 == self.span || (self.span.is_empty() && s.2 == 7));
        span.ok_or_else(|| {
            Problem::new(400, format!("there is no span '{}'; there are today, 7d and 30d", self.span))
        })
    }

    /// First and last day, in UTC.
    fn days(&self, now: Timestamp) -> Result<(Date, Date), Problem> {
        let today = now.to_zoned(TimeZone::UTC).date();
        Ok((today.saturating_sub((self.span()?.2 - 1).days()), today))
    }

    fn address(&self) -> String {
        let query = serde_urlencoded::to_string(self).unwrap_or_default();
        if query.is_empty() { "/costs".to_owned() } else { format!("/costs?{query}") }
    }
}

/// Everything that the page shows, as it was read.
struct Seen {
    by: By,
    days: (Date, Date),
    /// `None`: adding it up took too long.
    spent: Option<Vec<Spent>>,
    prices: Vec<Price>,
}

/// `templates/costs.html`
#[derive(Template)]
#[template(path = "costs.html")]
struct CostsPage {
    base: Base,
    copies: Copies,
    bys: Vec<Choice>,
    spans: Vec<Choice>,
    by: &'static str,
    stats: Vec<(&'static str, String, String)>,
    lines: Vec<Line>,
    is_too_slow: bool,
    is_cut: bool,
    prices: Vec<PriceLine>,
    more_prices: usize,
    form: Form,
    statements: Vec<Statement>,
}

struct Choice {
    word: &'static str,
    address: String,
    is_current: bool,
}

struct Line {
    what: String,
    /// Where to see more of it.
    address: Option<String>,
    cost: String,
    title: String,
    is_known: bool,
    calls: String,
    read: String,
    cached: String,
    written: String,
}

struct PriceLine {
    id: i64,
    model: String,
    prompt: String,
    completion: String,
    cached: String,
    currency: String,
    from: String,
    from_at: Timestamp,
    until: String,
    in_force: bool,
    note: String,
    by: String,
}

/// `GET /costs`
pub async fn show(
    state: Data<State>,
    wanted: Query<Wanted>,
    viewer: Viewer,
) -> Result<HttpResponse, Problem> {
    let wanted = wanted.into_inner();
    match viewer.format {
        Format::Html | Format::Live => answer(&state, &wanted, Form::default(), viewer).await,
        _ => report(&look(&state, &wanted).await?).answer(&viewer),
    }
}

/// The page, with a form that could not be obeyed when it says so.
async fn answer(state: &State, wanted: &Wanted, form: Form, viewer: Viewer) -> Result<HttpResponse, Problem> {
    let status = if form.wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let seen = look(state, wanted).await?;
    page(status, &viewer, &draw(&seen, wanted, form, &viewer)?)
}

async fn look(state: &State, wanted: &Wanted) -> Result<Seen, Problem> {
    let (by, days) = (wanted.by()?, wanted.days(Timestamp::now())?);
    let mut db = state.runtime.pool().get().await?;
    let spent = match costs::spent(&mut db, by, days, ROWS + 1).await {
        Ok(spent) => Some(spent),
        Err(error) if error.took_too_long() => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Seen { by, days, spent, prices: prices::list(&db).await? })
}

fn draw(seen: &Seen, wanted: &Wanted, form: Form, viewer: &Viewer) -> Result<CostsPage, Problem> {
    let span = wanted.span()?;
    let spent = seen.spent.as_deref().unwrap_or_default();
    let most = usize::try_from(ROWS).unwrap_or(usize::MAX);
    let by = |by: By| Choice {
        word: by.name(),
        address: Wanted { by: by.name().to_owned(), ..wanted.clone() }.address(),
        is_current: by == seen.by,
    };
    let choice = |s: (&'static str, &'static str, i32)| Choice {
        word: s.1,
        address: Wanted { span: s.0.to_owned(), ..wanted.clone() }.address(),
        is_current: s == span,
    };
    let flag = viewer.server_flag();
    let command = format!("tenure cost --by {} --days {}{flag}", seen.by.name(), span.2);
    Ok(CostsPage {
        base: Base::of(viewer, "costs"),
        copies: Copies::curl(viewer, true)
            .and("CLI", command)
            .and("SQL", costs::statement(seen.by, seen.days)),
        bys: BYS.into_iter().map(by).collect(),
        spans: SPANS.into_iter().map(choice).collect(),
        by: seen.by.name(),
        stats: stats(spent),
        lines: spent.iter().take(most).map(|s| line(s, seen.by)).collect(),
        is_too_slow: seen.spent.is_none(),
        is_cut: spent.len() > most,
        prices: seen.prices.iter().take(PRICES).map(|p| price(p, viewer)).collect(),
        more_prices: seen.prices.len().saturating_sub(PRICES),
        form,
        statements: vec![
            Statement::new("What was spent", costs::statement(seen.by, seen.days)),
            Statement::new("The prices", costs::PRICES),
        ],
    })
}

/// One sum per currency, then what has no price, then tokens.
fn stats(spent: &[Spent]) -> Vec<(&'static str, String, String)> {
    let mut sums: Vec<(String, f64, i64)> = vec![];
    for row in spent {
        let Some(money) = &row.money else { continue };
        let amount: f64 = money.amount.parse().unwrap_or(0.0);
        match sums.iter_mut().find(|(currency, ..)| *currency == money.currency) {
            Some((_, sum, calls)) => (*sum, *calls) = (*sum + amount, *calls + row.calls),
            None => sums.push((money.currency.clone(), amount, row.calls)),
        }
    }
    let total = |read: fn(&Spent) -> i64| spent.iter().map(read).sum::<i64>();
    let unknown = spent.iter().filter(|s| s.money.is_none()).map(|s| s.calls).sum();
    let mut stats: Vec<_> = sums
        .into_iter()
        .map(|(currency, sum, calls)| {
            let sum = money::money(&costs::Money { currency, amount: format!("{sum:.9}") });
            ("Spent", sum, format!("for {}", shown::many(calls, "model call")))
        })
        .collect();
    if stats.is_empty() {
        stats.push(("Spent", "–".to_owned(), "no call has a price".to_owned()));
    }
    stats.push(("Without a price", shown::count(unknown), "model calls, in no sum".to_owned()));
    let (read, written) = (total(|s| s.prompt_tokens), total(|s| s.completion_tokens));
    let cached = shown::count(total(|s| s.cached_tokens));
    stats.push(("Tokens read", shown::count(read), format!("{cached} of them from a cache")));
    stats.push(("Tokens written", shown::count(written), String::new()));
    stats
}

fn line(spent: &Spent, by: By) -> Line {
    let cost = spent.money.as_ref().map(money::money);
    let what = shown::excerpt(&spent.what, 120);
    let query = serde_urlencoded::to_string([("agent", json::readable(&spent.what))]).unwrap_or_default();
    Line {
        address: (by == By::Agent).then(|| format!("/executions?{query}")),
        what,
        is_known: cost.is_some(),
        title: spent.money.as_ref().map(|m| format!("{} {}", m.amount, m.currency)).unwrap_or_default(),
        cost: cost.unwrap_or_else(|| "no price".to_owned()),
        calls: shown::count(spent.calls),
        read: shown::count(spent.prompt_tokens),
        cached: shown::count(spent.cached_tokens),
        written: shown::count(spent.completion_tokens),
    }
}

fn price(price: &Price, viewer: &Viewer) -> PriceLine {
    let p = &price.price;
    let zone = &viewer.zone;
    PriceLine {
        id: price.id,
        model: shown::excerpt(&p.model, 120),
        prompt: p.prompt.clone(),
        completion: p.completion.clone(),
        cached: p.cached.clone().unwrap_or_default(),
        currency: p.currency.clone(),
        from: zone.full(price.valid_from),
        from_at: price.valid_from,
        until: p.valid_until.map(|at| zone.full(at)).unwrap_or_default(),
        in_force: price.in_force,
        note: p.note.as_deref().map(|n| shown::excerpt(n, 200)).unwrap_or_default(),
        by: shown::excerpt(&price.set_by, 100),
    }
}

/// The same for programs.
fn report(seen: &Seen) -> Report {
    let by = seen.by.name();
    let columns = [by, "currency", "cost", "calls", "prompt_tokens", "cached_tokens", "completion_tokens"];
    let mut spent = Sheet::new("spent", &columns);
    spent.rows.extend(seen.spent.iter().flatten().map(|s| {
        let cost = Cost { sums: s.money.clone().into_iter().collect(), ..Cost::default() };
        let [amount, currency, _] = money::cells(&cost);
        let counts = [s.calls, s.prompt_tokens, s.cached_tokens, s.completion_tokens].map(Cell::Int);
        [Cell::Text(s.what.clone()), currency, amount].into_iter().chain(counts).collect()
    }));
    let mut prices = Sheet::new(
        "prices",
        &[
            "id",
            "model",
            "currency",
            "prompt",
            "completion",
            "cached",
            "from",
            "until",
            "in_force",
            "note",
            "set_at",
            "set_by",
        ],
    );
    prices.rows.extend(seen.prices.iter().map(|price| {
        let p = &price.price;
        vec![
            Cell::Int(price.id),
            Cell::Text(p.model.clone()),
            Cell::Text(p.currency.clone()),
            Cell::Number(p.prompt.clone()),
            Cell::Number(p.completion.clone()),
            p.cached.clone().map_or(Cell::None, Cell::Number),
            Cell::Time(price.valid_from),
            Cell::time(p.valid_until),
            Cell::Text(if price.in_force { "yes" } else { "no" }.to_owned()),
            Cell::text(p.note.clone()),
            Cell::Time(price.set_at),
            Cell::Text(price.set_by.clone()),
        ]
    }));
    let too_slow = "adding that up took longer than 10 s; ask for a shorter span".to_owned();
    Report {
        facts: vec![
            ("from", Cell::Text(seen.days.0.to_string())),
            ("until", Cell::Text(seen.days.1.to_string())),
        ],
        sheets: vec![spent, prices],
        notes: seen.spent.is_none().then_some(too_slow).into_iter().collect(),
        next: None,
    }
}
