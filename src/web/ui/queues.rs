//! Queues and workers: what waits and why, who works, how the database does; pausing and resuming a queue.

mod charts;
mod lines;
mod report;

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::{Deserialize, Serialize};

use super::kit::live::{self, Follow};
use super::kit::{Base, Copies, Format, Statement, Viewer, form};
use super::{drawn, page, shown};
use crate::json;
use crate::store::read::health::{self, Health};
use crate::store::read::queues::{self, Period, Queue, Span, Standing};
use crate::store::read::workers::{self, Worker};
use crate::web::{Problem, State};
use charts::Chart;
use lines::{Line, Starving, Stat, WorkerLine};

/// What the address says.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Wanted {
    /// `1h`, `24h` or `7d`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    span: String,
    /// The queue whose charts are shown, and its domain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    queue: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    domain: String,
}

/// Spans as the address, the page and SQL write them.
const SPANS: [(Span, &str, &str, &str); 3] = [
    (Span::Hour, "1h", "1 hour", "last hour"),
    (Span::Day, "24h", "24 hours", "last 24 hours"),
    (Span::Week, "7d", "7 days", "last 7 days"),
];

impl Wanted {
    fn address(&self) -> String {
        let query = serde_urlencoded::to_string(self).unwrap_or_default();
        if query.is_empty() { "/queues".to_owned() } else { format!("/queues?{query}") }
    }

    /// The span, how SQL writes it, and what a sentence calls it.
    fn span(&self) -> Result<(Span, &'static str, &'static str), Problem> {
        let wanted = self.span.trim();
        let found = SPANS.iter().find(|s| s.1 == wanted || (wanted.is_empty() && s.0 == Span::Hour));
        let unknown = || Problem::new(400, format!("there is no span '{wanted}'; there are 1h, 24h and 7d"));
        found.map(|s| (s.0, s.2, s.3)).ok_or_else(unknown)
    }

    fn with_span(&self, span: Span, word: &str) -> String {
        let span = if span == Span::Hour { String::new() } else { word.to_owned() };
        Self { span, ..self.clone() }.address()
    }

    fn with_queue(&self, queue: &Queue) -> String {
        Self { queue: queue.name.clone(), domain: queue.domain.clone(), ..self.clone() }.address()
    }
}

/// Everything that the page shows, as it was read.
struct Seen {
    /// `None`: counting took too long.
    queues: Option<Vec<Standing>>,
    workers: Vec<Worker>,
    health: Health,
    notify: Option<Duration>,
    /// The queue whose charts are shown.
    selected: Option<(Queue, Vec<Period>)>,
    /// Its name, as SQL and sentences write the span.
    span: (&'static str, &'static str),
}

/// `templates/queues.html`
#[derive(Template)]
#[template(path = "queues.html")]
struct QueuesPage {
    base: Base,
    copies: Copies,
    stats: Vec<Stat>,
    starving: Option<Starving>,
    spans: Vec<Choice>,
    lines: Vec<Line>,
    is_too_slow: bool,
    span: &'static str,
    chart: Option<Chart>,
    workers: Vec<WorkerLine>,
    health: Vec<(&'static str, String)>,
    statements: Vec<Statement>,
    server: String,
}

struct Choice {
    word: &'static str,
    address: String,
    is_current: bool,
}

/// `GET /queues`
pub async fn show(
    state: Data<State>,
    wanted: Query<Wanted>,
    viewer: Viewer,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let wanted = wanted.into_inner();
    match viewer.format {
        Format::Html => {
            let seen = look(&state, &wanted).await?;
            page(StatusCode::OK, &viewer, &draw(&seen, &wanted, &viewer)?)
        }
        Format::Live => {
            // What is wrong with the address is said here, before a stream begins.
            look(&state, &wanted).await?;
            Ok(live::answer(&state, &request, viewer, Follow::Clock, move |state, viewer| {
                let wanted = wanted.clone();
                async move { drawn(&draw(&look(&state, &wanted).await?, &wanted, &viewer)?) }
            }))
        }
        _ => report::of(&look(&state, &wanted).await?).answer(&viewer),
    }
}

async fn look(state: &State, wanted: &Wanted) -> Result<Seen, Problem> {
    let (span, in_sql, in_words) = wanted.span()?;
    let mut db = state.runtime.pool().get().await?;
    let queues = match queues::standing(&mut db, span).await {
        Ok(queues) => Some(queues),
        Err(error) if error.took_too_long() => None,
        Err(error) => return Err(error.into()),
    };
    let selected = if wanted.queue.is_empty() {
        queues.iter().flatten().next().map(|first| first.queue.clone())
    } else {
        let (name, domain) = (json::storable_text(&wanted.queue), json::storable_text(&wanted.domain));
        Some(queues::named(&db, &name, &domain).await?)
    };
    let selected = match selected {
        Some(queue) => {
            let periods = queues::history(&db, &queue.name, &queue.domain, span).await?;
            Some((queue, periods))
        }
        None => None,
    };
    let workers = workers::list(&db).await?;
    let health = health::now(&db).await?;
    let notify = state.runtime.notify_round_trip();
    Ok(Seen { queues, workers, health, notify, selected, span: (in_sql, in_words) })
}

fn draw(seen: &Seen, wanted: &Wanted, viewer: &Viewer) -> Result<QueuesPage, Problem> {
    let (span, ..) = wanted.span()?;
    let queues = seen.queues.as_deref().unwrap_or_default();
    let choice = |s: &(Span, &'static str, &'static str, &'static str)| Choice {
        word: s.2,
        address: wanted.with_span(s.0, s.1),
        is_current: s.0 == span,
    };
    let copies = Copies::curl(viewer, true).and("CLI", format!("tenure queue list{}", viewer.server_flag()));
    Ok(QueuesPage {
        base: Base::live(viewer, "queues", viewer.here.clone()),
        copies,
        stats: lines::stats(seen),
        starving: lines::starving(queues, viewer),
        spans: SPANS.iter().map(choice).collect(),
        lines: queues.iter().map(|q| lines::line(q, seen, wanted, viewer)).collect(),
        is_too_slow: seen.queues.is_none(),
        span: seen.span.1,
        chart: seen.selected.as_ref().map(|(queue, periods)| charts::chart(queue, periods, span, viewer)),
        workers: seen.workers.iter().map(|w| lines::worker(w, viewer)).collect(),
        health: lines::health(&seen.health, viewer),
        statements: statements(seen),
        server: viewer.server_flag(),
    })
}

/// The statements that show this page in psql.
fn statements(seen: &Seen) -> Vec<Statement> {
    let span = seen.span.0;
    let mut statements = vec![
        Statement::new(
            "The queues, longest wait first",
            format!(
                "select {}\n  from tenure.queue_status('{span}')\n order by oldest_ready nulls last, next_due nulls last, \
                 last_seen desc nulls last, queue, domain\n limit 200;",
                report::QUEUES.join(", ")
            ),
        ),
        Statement::new(
            "The workers and servers",
            format!(
                "select {}\n  from tenure.worker_status\n order by array_position(array['live', 'draining', 'lost', \
                 'stopped'], state), kind desc, worker\n limit 200;",
                report::WORKERS.join(", ")
            ),
        ),
    ];
    if let Some((queue, _)) = &seen.selected {
        let [name, domain] = [&queue.name, &queue.domain].map(|text| shown::literal(&shown::text(text)));
        statements.push(Statement::new(
            "The charts",
            format!(
                "select {}\n  from tenure.queue_history({name}, {domain}, '{span}');",
                report::HISTORY.join(", ")
            ),
        ));
    }
    statements.push(Statement::new("The database", "select * from tenure.postgres_health;"));
    statements.push(Statement::new(
        "Who paused and resumed queues",
        "select c.at, q.name as queue, q.domain, c.change, c.by, c.reason\n  from tenure.queue_changes c\n  \
         join tenure.queues q on q.id = c.queue_id\n order by c.id desc\n limit 50;",
    ));
    statements
}

/// What a form says.
#[derive(Deserialize)]
pub struct Sent {
    #[serde(default)]
    token: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    back: String,
}

/// `POST /queues/{id}/{action}`: pause or resume a queue, then show the queues.
pub async fn switch(
    state: Data<State>,
    path: Path<(String, String)>,
    request: HttpRequest,
    sent: web::Form<Sent>,
) -> Result<HttpResponse, Problem> {
    let (id, action) = path.into_inner();
    let id: i32 =
        id.parse().map_err(|_| Problem::not_found(format!("'{id}' is no queue's number; see /queues")))?;
    let by = form::sender(&request, &sent.token)?;
    let reason = form::reason(&sent.reason);
    let reason = Some(reason.as_str()).filter(|r| !r.is_empty());
    // What is so already, as after a second click, is no mistake.
    match action.as_str() {
        "pause" => state.runtime.pause_queue(id, &by, reason).await?,
        "resume" => state.runtime.resume_queue(id, &by, reason).await?,
        _ => {
            return Err(Problem::not_found(format!(
                "there is no action '{action}'; there are pause and resume"
            )));
        }
    };
    let back = Some(form::local(&sent.back)).filter(|back| back.starts_with("/queues"));
    Ok(form::see(back.unwrap_or("/queues")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_keeps_span_and_queue() {
        let wanted = Wanted { span: "7d".into(), queue: "a&b".into(), domain: String::new() };
        assert_eq!(wanted.address(), "/queues?span=7d&queue=a%26b");
        assert_eq!(wanted.with_span(Span::Hour, "1h"), "/queues?queue=a%26b");
        assert_eq!(Wanted::default().span().unwrap().0, Span::Hour);
    }

    #[test]
    fn a_span_that_there_is_not_says_which_there_are() {
        let wanted = Wanted { span: "1y".into(), ..Wanted::default() };
        assert!(wanted.span().unwrap_err().to_string().contains("24h"));
    }
}
