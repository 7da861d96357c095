//! What happened to a run, as sentences.

use askama::Template;
use jiff::Timestamp;

use super::address::Wanted;
use super::frame::Frame;
use super::{Answer, Part, Run, run};
use crate::store::GenericClient;
use crate::store::read::run::Value;
use crate::web::Problem;
use crate::web::ui::kit::{Base, Cell, Report, Sheet};
use crate::web::ui::shown;

/// Events of a page.
const PAGE: i32 = 200;

/// `templates/execution/events.html`
#[derive(Template)]
#[template(path = "execution/events.html")]
struct EventsPage {
    base: Base,
    run: Frame,
    moments: Vec<Moment>,
    first: i32,
    last: i32,
    events: i32,
    older: Option<String>,
    newer: Option<String>,
}

struct Moment {
    seq: i32,
    address: String,
    at: String,
    at_time: Timestamp,
    gap: String,
    text: String,
    worker: String,
    error: Option<String>,
    ink: &'static str,
}

/// `GET /execution/{id}/events`
pub async fn answer(run: &Run<'_>, db: &impl GenericClient) -> Result<Answer, Problem> {
    let (first, last) = range(run.wanted, run.newest(), PAGE, "events")?;
    let moments = run::events(db, run.id, first, last).await?;
    let older = (first > 1).then(|| run.link(&Wanted { before: first.to_string(), ..run.wanted.clone() }));
    run.answer(
        || EventsPage {
            base: run.base(),
            run: run
                .frame(vec![run.statement("", Part::Events, &[Value::from(first), Value::from(last)])], true),
            moments: moments.iter().map(|m| moment(run, m)).collect(),
            first,
            last,
            events: run.newest(),
            older: older.clone(),
            newer: newer(run, last, run.newest(), PAGE),
        },
        || Report { next: older.clone(), ..Report::list(sheet(&moments)) },
    )
}

/// The numbers of a page of what has `all` of them, counted from 1: the newest, or those before the address's `before`.
pub fn range(wanted: &Wanted, all: i32, page: i32, what: &str) -> Result<(i32, i32), Problem> {
    let last = match wanted.before.as_str() {
        "" => all,
        before => {
            let n: i32 = before.parse().ok().filter(|n| *n >= 1).ok_or_else(|| {
                let before = shown::excerpt(before, 30);
                Problem::new(
                    400,
                    format!("before={before} is no number of {what}; take a whole one from 1 on"),
                )
            })?;
            (n - 1).min(all)
        }
    };
    Ok(((last - page + 1).max(1), last))
}

/// The address of the page after the one that ends with `last`.
pub fn newer(run: &Run<'_>, last: i32, all: i32, page: i32) -> Option<String> {
    (last < all).then(|| {
        let end = last.saturating_add(page);
        let before = if end >= all { String::new() } else { (end + 1).to_string() };
        run.link(&Wanted { before, ..run.wanted.clone() })
    })
}

fn moment(run: &Run<'_>, m: &run::Moment) -> Moment {
    let kept = Wanted { step: String::new(), show: String::new(), ..run.wanted.kept() };
    Moment {
        seq: m.seq,
        address: kept.at(m.seq).address(run.id, super::Tab::Timeline),
        at: run.viewer.zone.clock(m.at),
        at_time: m.at,
        gap: format!("+{}", shown::duration(shown::secs(run.head.created_at, m.at))),
        text: shown::sentence(&shown::excerpt(&m.what, 300)),
        worker: m.worker.as_deref().map(|w| shown::excerpt(w, 60)).unwrap_or_default(),
        error: m.error.as_deref().map(|e| shown::excerpt(e, 600)),
        ink: ink(&m.kind),
    }
}

fn ink(kind: &str) -> &'static str {
    match kind {
        "attempt_lost" | "attempt_failed" | "tool_failed" | "model_failed" | "check_failed" | "failed"
        | "timed_out" => "fail",
        "completed" | "tool_returned" | "model_replied" | "checked" => "ok",
        "paused" | "stop_requested" | "terminated" | "result_refused" => "warn",
        "resumed" | "signalled" => "human",
        _ => "",
    }
}

fn sheet(moments: &[run::Moment]) -> Sheet {
    let mut sheet =
        Sheet::new("events", &["seq", "at", "kind", "what", "task", "attempt", "worker", "error"]);
    sheet.rows.extend(moments.iter().map(|m| {
        vec![
            Cell::Int(m.seq.into()),
            Cell::Time(m.at),
            Cell::Text(m.kind.clone()),
            Cell::Text(m.what.clone()),
            Cell::text(m.task.clone()),
            Cell::int(m.attempt.map(Into::into)),
            Cell::text(m.worker.clone()),
            Cell::text(m.error.clone()),
        ]
    }));
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_numbers_leave_none_out() {
        let of =
            |before: &str| range(&Wanted { before: before.into(), ..Wanted::default() }, 450, 200, "events");
        assert_eq!(of("").unwrap(), (251, 450));
        assert_eq!((of("251").unwrap(), of("51").unwrap()), ((51, 250), (1, 50)));
        assert_eq!((of("1").unwrap(), of("2147483647").unwrap()), ((1, 0), (251, 450)));
        for wrong in ["0", "-1", "x", "99999999999999999999", "1.5"] {
            assert!(of(wrong).unwrap_err().to_string().contains("from 1 on"), "{wrong}");
        }
    }
}
