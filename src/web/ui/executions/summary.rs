//! The numbers above the list. One server computes them once for all who look, and never works at it for more than a
//! twentieth of its time; a page waits a moment for them and otherwise shows what was known before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::engine::Status;
use crate::runtime::Runtime;
use crate::store;
use crate::store::read::costs::Cost;
use crate::store::read::list::facts::{self, CAP, Facts, TOKENS_OF};
use crate::store::read::list::{self, Condition, Moment, Now, Place, views};
use crate::web::ui::kit::Viewer;
use crate::web::ui::{money, shown};

use super::asked::Asked;
use super::query::Query;

/// Shortest time between two looks.
const OFTEN: Duration = Duration::from_secs(5);
/// A look may cost this part of the time.
const SHARE: u32 = 20;
/// How long a page waits for numbers.
const PATIENCE: Duration = Duration::from_millis(60);
/// Executions that are counted for a view, and for how long.
const COUNTED: usize = 100;
const COUNTING: Duration = Duration::from_millis(100);

/// What is known of all executions.
pub struct Known {
    facts: Facts,
    /// How many executions each saved view shows, by its filter.
    views: HashMap<String, String>,
}

/// What one server process knows.
#[derive(Clone)]
pub struct Summary {
    known: Arc<watch::Sender<Option<Arc<Known>>>>,
    turn: Arc<Mutex<Turn>>,
}

/// Who may look, and when.
#[derive(Default)]
struct Turn {
    is_taken: bool,
    next: Option<Instant>,
}

impl Default for Summary {
    fn default() -> Self {
        Self { known: Arc::new(watch::Sender::new(None)), turn: Arc::default() }
    }
}

impl Summary {
    /// What is known, new if it is there in a moment.
    pub async fn get(&self, runtime: &Runtime) -> Option<Arc<Known>> {
        let mut news = self.known.subscribe();
        if let Some(look) = self.take_turn() {
            let (own, runtime) = (self.clone(), runtime.clone());
            tokio::spawn(async move {
                let begin = Instant::now();
                match read(&runtime).await {
                    Ok(known) => drop(own.known.send_replace(Some(Arc::new(known)))),
                    Err(error) => tracing::debug!(%error, "the list's numbers can't be read; trying again"),
                }
                look.end(begin.elapsed());
            });
        }
        if self.turn().is_taken {
            let _ = timeout(PATIENCE, news.changed()).await;
        }
        self.known.borrow().clone()
    }

    fn turn(&self) -> std::sync::MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_turn(&self) -> Option<Look> {
        let mut turn = self.turn();
        let is_due = turn.next.is_none_or(|next| next <= Instant::now());
        (is_due && !turn.is_taken).then(|| {
            turn.is_taken = true;
            Look(self.turn.clone())
        })
    }
}

/// The right to look; given back when it is dropped.
struct Look(Arc<Mutex<Turn>>);

impl Look {
    fn end(self, cost: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next =
            Some(Instant::now() + OFTEN.max(cost * SHARE));
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_taken = false;
    }
}

async fn read(runtime: &Runtime) -> Result<Known, store::Error> {
    let mut db = runtime.pool().get().await?;
    let mut facts = facts::read(&mut db).await?;
    facts.cost = match facts::cost(&mut db).await {
        Err(error) if error.took_too_long() => None,
        cost => Some(cost?),
    };
    let mut counts = HashMap::new();
    for view in views::list(&db).await? {
        let filter = Query::parse(&view.query).filter();
        let found =
            list::search(&mut db, &filter, Place::Newest, COUNTED, (Timestamp::now(), COUNTING)).await?;
        let more = if found.has_more || found.stopped.is_some() { "+" } else { "" };
        counts.insert(view.query, format!("{}{more}", found.ids.len()));
    }
    Ok(Known { facts, views: counts })
}

/// A number above the list, with what it means and where it leads.
pub struct Tile {
    pub dot: &'static str,
    pub name: &'static str,
    pub value: String,
    pub more: String,
    pub address: String,
}

/// A quarter of an hour.
pub struct Quarter {
    pub title: String,
    pub address: String,
    pub x: String,
    pub bars: Vec<Bar>,
}

/// A part of it.
pub struct Bar {
    pub ink: &'static str,
    pub y: String,
    pub height: String,
}

/// The last 24 hours.
pub struct Histogram {
    pub label: String,
    pub quarters: Vec<Quarter>,
    /// Times at its foot.
    pub from: String,
    pub middle: [String; 2],
    pub to: String,
}

const DAY: Condition = Condition::Since(Moment::Ago(jiff::SignedDuration::from_hours(24)));

/// What a failure is, for people.
pub fn failed() -> Condition {
    Condition::Status(vec![Status::Failed, Status::TimedOut])
}

/// What needs somebody, or time.
pub fn waiting() -> Condition {
    Condition::Is(vec![Now::Stuck, Now::Retrying])
}

impl Known {
    /// How many executions a saved view shows, as far as they were counted.
    pub fn of_view(&self, query: &str) -> Option<&str> {
        self.views.get(query).map(String::as_str)
    }

    /// Running, needing attention and failed executions, for the tabs.
    pub fn of_tabs(&self) -> [String; 3] {
        [self.facts.waiting, self.facts.running, self.facts.failed].map(capped)
    }

    fn of_day(&self, statuses: &[Status]) -> i64 {
        self.facts.quarters.iter().filter(|(_, s, _)| statuses.contains(s)).map(|(.., n)| n).sum()
    }
}

/// The strip of numbers; without them while nothing is known.
pub fn tiles(known: Option<&Known>) -> Vec<Tile> {
    let tile = |dot, name, conditions: Vec<Condition>, numbers: Option<(String, String)>| {
        let query = conditions.into_iter().fold(Query::default(), |query, c| query.with(c));
        let (value, more) = numbers.unwrap_or_else(|| ("–".to_owned(), "counting".to_owned()));
        Tile { dot, name, value, more, address: Asked::of(query).address() }
    };
    let has_prices = known.is_some_and(|k| k.facts.cost.as_ref().is_none_or(|cost| *cost != Cost::default()));
    let number = |read: fn(&Known) -> (String, String)| known.map(read);
    vec![
        tile("run", "Running", vec![Condition::Status(vec![Status::Running])], number(running)),
        tile("warn", "Stuck or retrying", vec![waiting()], number(stuck)),
        tile("fail", "Failed, 24 h", vec![failed(), DAY], number(failures)),
        tile(
            "ok",
            "Completed, 24 h",
            vec![Condition::Status(vec![Status::Completed]), DAY],
            number(completed),
        ),
        tile("", if has_prices { "Spent, 24 h" } else { "Tokens, 24 h" }, vec![DAY], number(tokens)),
    ]
}

fn running(known: &Known) -> (String, String) {
    let f = &known.facts;
    let mut more = format!("{}, {}", shown::many(f.steps, "step"), shown::many(f.workers, "worker"));
    if f.paused > 0 {
        more = format!("{more}, {} paused", capped(f.paused));
    }
    (capped(f.running), more)
}

fn stuck(known: &Known) -> (String, String) {
    let f = &known.facts;
    let more = match (f.stuck, f.retrying) {
        (0, 0) => "all work has somebody".to_owned(),
        (stuck, retrying) => format!("{} stuck, {} retrying", capped(stuck), capped(retrying)),
    };
    (capped(f.waiting), more)
}

fn failures(known: &Known) -> (String, String) {
    let many = known.of_day(&[Status::Failed, Status::TimedOut]);
    let more = if many == 0 { "none".to_owned() } else { shown::many(known.facts.errors, "distinct error") };
    (grouped(many), more)
}

fn completed(known: &Known) -> (String, String) {
    let more = match (known.facts.p50, known.facts.p95) {
        (Some(p50), Some(p95)) => format!("p50 {}, p95 {}", shown::duration(p50), shown::duration(p95)),
        _ => "none".to_owned(),
    };
    (grouped(known.of_day(&[Status::Completed])), more)
}

fn tokens(known: &Known) -> (String, String) {
    let f = &known.facts;
    let more = if f.counted < TOKENS_OF {
        format!("{} read, {} written", shown::count(f.prompt_tokens), shown::count(f.completion_tokens))
    } else {
        format!("of the newest {} runs", grouped(TOKENS_OF))
    };
    let tokens = f.prompt_tokens + f.completion_tokens;
    match &f.cost {
        None => ("–".to_owned(), format!("{}, adding it up takes too long", shown::many(tokens, "token"))),
        Some(cost) if *cost == Cost::default() => (shown::count(tokens), more),
        Some(cost) if cost.sums.is_empty() => (shown::count(tokens), money::words(cost)),
        Some(cost) if f.counted < TOKENS_OF => (money::sum(cost), shown::many(tokens, "token")),
        Some(cost) => (money::sum(cost), more),
    }
}

/// A count that ends somewhere: `10,000+`.
fn capped(n: i64) -> String {
    if n > CAP { format!("{}+", grouped(CAP)) } else { grouped(n) }
}

/// `1,284`
fn grouped(n: i64) -> String {
    let digits = n.to_string();
    let (mut out, first) = (String::new(), digits.len() % 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && i % 3 == first % 3 {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Seconds of a bar.
const QUARTER: i64 = 15 * 60;
/// Bars of a day.
const QUARTERS: usize = 96;
/// Inks and words of what stands in a bar, from its foot up.
const PARTS: [(&str, &str); 4] =
    [("ok", "completed"), ("llm", "live"), ("queue", "terminated"), ("fail", "failed")];

fn part(status: Status) -> usize {
    match status {
        Status::Completed => 0,
        Status::Running | Status::Paused => 1,
        Status::Terminated => 2,
        Status::Failed | Status::TimedOut => 3,
    }
}

/// Bars of the last 24 hours; each leads to the executions that started in it.
pub fn histogram(known: Option<&Known>, asked: &Asked, viewer: &Viewer) -> Histogram {
    let last = viewer.now.as_second() / QUARTER * QUARTER;
    let first = last - 95 * QUARTER;
    let time = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(viewer.now);
    let clock = |seconds: i64| viewer.zone.clock(time(seconds))[..5].to_owned();
    let mut counts = vec![[0_i64; PARTS.len()]; QUARTERS];
    for (at, status, many) in known.iter().flat_map(|known| &known.facts.quarters) {
        let place = usize::try_from((at.as_second() - first) / QUARTER);
        if let Some(quarter) = place.ok().and_then(|place| counts.get_mut(place)) {
            quarter[part(*status)] += many;
        }
    }
    let highest = counts.iter().map(|parts| parts.iter().sum()).max().unwrap_or(0).max(1);
    let begins = (0_i64..).map(|n| first + n * QUARTER);
    let busy =
        counts.iter().zip(begins.clone()).enumerate().filter(|(_, (parts, _))| parts.iter().any(|n| *n > 0));
    let quarters = busy.map(|(place, (parts, begin))| Quarter {
        title: format!("{}, {}", clock(begin), words(parts)),
        address: started_between(asked, time(begin), time(begin + QUARTER)),
        x: tenth(place, 10.42, 0.8),
        bars: bars(parts, highest),
    });
    let quarters = quarters.collect();
    let worst = counts.iter().zip(begins).max_by_key(|(parts, _)| parts[3]).filter(|(p, _)| p[3] > 0);
    let peak = worst.map(|(_, begin)| format!("; failures peak at {}", clock(begin))).unwrap_or_default();
    Histogram {
        label: format!("Executions by the quarter of an hour in which they started, last 24 hours{peak}"),
        quarters,
        from: viewer.zone.at(time(first), viewer.now),
        middle: [clock(first + 24 * QUARTER), clock(first + 72 * QUARTER)],
        to: clock(viewer.now.as_second()),
    }
}

fn started_between(asked: &Asked, from: Timestamp, to: Timestamp) -> String {
    let query = asked.query.with(Condition::Since(Moment::At(from))).with(Condition::Until(Moment::At(to)));
    asked.narrowed(query).address()
}

fn words(parts: &[i64; PARTS.len()]) -> String {
    let said = parts
        .iter()
        .zip(PARTS)
        .filter(|(n, _)| **n > 0)
        .map(|(n, (_, word))| format!("{} {word}", grouped(*n)));
    said.collect::<Vec<_>>().join(", ")
}

/// Stacked from the foot up; 48 units are the highest, and what is there at all can be seen.
#[expect(clippy::cast_precision_loss, reason = "a picture has a few dozen rows of points")]
fn bars(parts: &[i64; PARTS.len()], highest: i64) -> Vec<Bar> {
    let mut foot = 50.0;
    let mut bars = vec![];
    for (n, (ink, _)) in parts.iter().zip(PARTS).filter(|(n, _)| **n > 0) {
        let height = (*n as f64 / highest as f64 * 46.0).max(1.5);
        foot -= height;
        bars.push(Bar { ink, y: format!("{foot:.1}"), height: format!("{height:.1}") });
    }
    bars
}

#[expect(clippy::cast_precision_loss, reason = "there are 96 bars")]
fn tenth(place: usize, step: f64, from: f64) -> String {
    format!("{:.1}", place as f64 * step + from)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn counts_are_grouped_and_end_somewhere() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((capped(10_000), capped(10_001)), ("10,000".into(), "10,000+".into()));
    }

    #[test]
    fn a_bar_leads_to_what_started_in_it() {
        let mut viewer = Viewer::of(&TestRequest::with_uri("/executions").to_http_request());
        viewer.now = "2026-11-21T14:18:31Z".parse().unwrap();
        let at = |time: &str| time.parse().unwrap();
        let quarters = vec![
            (at("2026-11-21T14:15:00Z"), Status::Running, 2),
            (at("2026-11-21T05:30:00Z"), Status::Completed, 45),
            (at("2026-11-21T05:30:00Z"), Status::Failed, 9),
            (at("2026-11-19T05:30:00Z"), Status::Failed, 9),
        ];
        let known = Known { facts: Facts { quarters, ..Facts::default() }, views: HashMap::new() };
        let drawn = histogram(Some(&known), &Asked::of(Query::default()), &viewer);
        let titles: Vec<_> = drawn.quarters.iter().map(|q| q.title.as_str()).collect();
        assert_eq!(titles, ["05:30, 45 completed, 9 failed", "14:15, 2 live"]);
        assert!(drawn.label.ends_with("failures peak at 05:30"), "{}", drawn.label);
        assert!(
            drawn.quarters[0]
                .address
                .contains("since%3A2026-11-21T05%3A30%3A00Z+until%3A2026-11-21T05%3A45%3A00Z")
        );
        for quarter in &drawn.quarters {
            assert!(quarter.bars.iter().all(|b| b.y.parse::<f64>().unwrap() >= 2.0), "it stays inside");
        }
        assert!(histogram(None, &Asked::of(Query::default()), &viewer).quarters.is_empty());
    }
}
