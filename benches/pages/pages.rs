//! Pages that are asked for.

use std::time::Duration;

use super::{
    Error,
    database::Database,
    load::{self, Sample},
    report::{Figure, Goal},
    server::Server,
};

/// Clients that ask at the same time.
const CLIENTS: usize = 8;
/// The list, 95 of 100 times.
const LIST: Goal = Goal::Millis(150.0);
/// First byte of any run's page.
const FIRST_BYTE: Goal = Goal::Millis(300.0);
/// HTML of any run's page.
const HTML: Goal = Goal::Kilobytes(300.0);
/// A search answers, or says that it stopped; 2 s and the time to say so.
const SEARCH: Goal = Goal::Millis(2500.0);

/// All pages.
pub async fn measure(server: &Server, database: &Database, quick: bool) -> Result<Vec<Figure>, Error> {
    let times = if quick { 20 } else { 100 };
    let mut figures = lists(server, database, times).await?;
    figures.extend(searches(server, if quick { 2 } else { 5 }).await?);
    figures.extend(runs(server, database, times / 2).await?);
    Ok(figures)
}

/// The list and its neighbours.
async fn lists(server: &Server, database: &Database, times: usize) -> Result<Vec<Figure>, Error> {
    let deep = database.id_at(0.5).await?;
    let pages = [
        ("list, first page", "/executions".to_owned()),
        ("list, failed", "/executions?q=status:failed".to_owned()),
        ("list, one agent", "/executions?q=agent:fraud_check".to_owned()),
        ("list, failed of one agent", "/executions?q=status:failed+agent:fraud_check".to_owned()),
        ("list, page after 500,000 others", format!("/executions?before={deep}")),
        ("list, failed, page after 500,000 others", format!("/executions?q=status:failed&before={deep}")),
        ("queues", "/queues".to_owned()),
        ("agents", "/agents".to_owned()),
        ("one agent", "/agents/fraud_check".to_owned()),
    ];
    let mut figures = vec![];
    for (name, path) in pages {
        eprintln!("{name}: {path}");
        let alone = load::sequential(server, &path, times).await?;
        figures.push(Figure::millis(name, LIST, alone.iter().map(|s| s.whole)).note(&size(&alone)));
        let together = load::concurrent(server, &path, CLIENTS, times / 2).await?;
        let name = format!("{name}, {CLIENTS} clients");
        figures.push(Figure::millis(&name, LIST, together.iter().map(|s| s.whole)));
    }
    Ok(figures)
}

/// Words and conditions that no index answers.
async fn searches(server: &Server, times: usize) -> Result<Vec<Figure>, Error> {
    let searches = [
        ("search, a word of most runs", "refund"),
        ("search, a word of one old run", "%22Case+777%3A%22"),
        ("search, a word that nobody said", "xylophone"),
        ("search, an error", "error:upstream"),
        ("search, what took long", "took:%3E15m"),
        ("search, a tool", "tool:legacy_export"),
        ("search, without a word", "-refund"),
    ];
    let mut figures = vec![];
    for (name, query) in searches {
        let path = format!("/executions?q={query}");
        eprintln!("{name}: {path}");
        let first = load::ask(server, &path).await?;
        let samples = load::sequential(server, &path, times).await?;
        let note = if stopped(&first) { "says that it stopped" } else { "answers" };
        let figure = Figure::slowest(name, SEARCH, samples.iter().map(|s| s.whole));
        figures.push(figure.note(note));
    }
    Ok(figures)
}

/// Whether a list says that not all of it is shown.
fn stopped(page: &Sample) -> bool {
    page.text.contains("class=\"stopped\"")
}

/// The page of a run of 20,000 events, and of one with an answer of 100 MB.
async fn runs(server: &Server, database: &Database, times: usize) -> Result<Vec<Figure>, Error> {
    let mut figures = vec![];
    let (long, wide) = (&database.long_run, &database.wide_run);
    let pages = [
        ("20,000 events", format!("/execution/{long}")),
        ("20,000 events, a step in the middle", format!("/execution/{long}?turn=1250&step=tool-1250-1")),
        ("20,000 events, as after event 10,000", format!("/execution/{long}?at=10000")),
        ("20,000 events, its conversation", format!("/execution/{long}/conversation")),
        ("20,000 events, its events", format!("/execution/{long}/events")),
        ("20,000 events, its attempts", format!("/execution/{long}/attempts")),
        ("answer of 100 MB", format!("/execution/{wide}")),
    ];
    for (name, path) in pages {
        eprintln!("{name}: {path}");
        let samples = load::sequential(server, &path, times).await?;
        let name = format!("run, {name}");
        figures.push(Figure::millis(
            &format!("{name}: first byte"),
            FIRST_BYTE,
            samples.iter().map(|s| s.first),
        ));
        figures.push(Figure::kilobytes(&format!("{name}: HTML"), HTML, samples.iter().map(|s| s.bytes)));
    }
    let raw = load::sequential(server, &format!("/execution/{wide}/payload/output"), 2).await?;
    let figure = Figure::millis("run, answer of 100 MB: download", Goal::None, raw.iter().map(|s| s.whole));
    figures.push(figure.note(&size(&raw)));
    Ok(figures)
}

/// How large a page is.
fn size(samples: &[Sample]) -> String {
    let bytes = samples.iter().map(|s| s.bytes).max().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "shown in kB")]
    let kilobytes = bytes as f64 / 1000.0;
    format!("{kilobytes:.0} kB")
}

/// Milliseconds of a time.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
