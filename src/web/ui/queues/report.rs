//! The page for programs: the same names as the columns in psql.

use super::Seen;
use crate::store::read::queues::{Period, Standing};
use crate::store::read::workers::Worker;
use crate::web::ui::kit::{Cell, Report, Sheet};

/// Columns of the queues.
pub const QUEUES: [&str; 21] = [
    "queue",
    "domain",
    "state",
    "ready",
    "leased",
    "deferred",
    "oldest_ready",
    "next_due",
    "held_back_by",
    "live_workers",
    "last_seen",
    "last_worker",
    "paused_at",
    "paused_by",
    "pause_reason",
    "started",
    "failed",
    "started_per_min",
    "failed_share",
    "wait_p50_secs",
    "wait_p95_secs",
];
/// Columns of the workers.
pub const WORKERS: [&str; 9] = [
    "worker",
    "kind",
    "state",
    "queue_count",
    "first_seen",
    "seen_at",
    "leased",
    "lost_attempts",
    "draining_since",
];
/// Columns of the charts.
pub const HISTORY: [&str; 6] = ["at", "ready", "started", "failed", "wait_p50_secs", "wait_p95_secs"];

fn float(value: Option<f64>) -> Cell {
    value.map_or(Cell::None, Cell::Float)
}

fn queue(row: &Standing) -> Vec<Cell> {
    let pause = row.queue.pause.as_ref();
    vec![
        Cell::Text(row.queue.name.clone()),
        Cell::Text(row.queue.domain.clone()),
        Cell::Text(row.state.clone()),
        Cell::Int(row.ready),
        Cell::Int(row.leased),
        Cell::Int(row.deferred),
        Cell::time(row.oldest_ready),
        Cell::time(row.next_due),
        Cell::text(row.held_back_by.clone()),
        Cell::Int(row.live_workers),
        Cell::time(row.last_seen),
        Cell::text(row.last_worker.clone()),
        Cell::time(pause.map(|p| p.at)),
        Cell::text(pause.map(|p| p.by.clone())),
        Cell::text(pause.and_then(|p| p.reason.clone())),
        Cell::Int(row.started),
        Cell::Int(row.failed),
        Cell::Float(row.started_per_min),
        float(row.failed_share),
        Cell::secs(row.wait_p50_secs),
        Cell::secs(row.wait_p95_secs),
    ]
}

fn worker(row: &Worker) -> Vec<Cell> {
    vec![
        Cell::Text(row.name.clone()),
        Cell::Text(if row.is_server { "server" } else { "worker" }.to_owned()),
        Cell::Text(row.state.clone()),
        Cell::Int(row.queue_count.into()),
        Cell::Time(row.first_seen),
        Cell::Time(row.seen_at),
        Cell::Int(row.leased),
        Cell::Int(row.lost_attempts),
        Cell::time(row.draining_since),
    ]
}

fn period(row: &Period) -> Vec<Cell> {
    vec![
        Cell::Time(row.at),
        Cell::Int(row.ready.into()),
        Cell::Int(row.started),
        Cell::Int(row.failed),
        Cell::secs(row.wait_p50_secs),
        Cell::secs(row.wait_p95_secs),
    ]
}

/// The whole page.
pub fn of(seen: &Seen) -> Report {
    let mut queues = Sheet::new("queues", &QUEUES);
    queues.rows = seen.queues.iter().flatten().map(queue).collect();
    let mut workers = Sheet::new("workers", &WORKERS);
    workers.rows = seen.workers.iter().map(worker).collect();
    let mut sheets = vec![queues, workers];
    let mut facts = vec![
        ("span", Cell::Text(seen.span.0.to_owned())),
        ("postgres", Cell::Text(seen.health.version.clone())),
        ("round_trip_secs", Cell::Secs(seen.health.round_trip.as_secs_f64())),
        ("notify_secs", Cell::secs(seen.notify.map(|n| n.as_secs_f64()))),
        ("dead_share", float(seen.health.dead_share)),
        ("oldest_transaction_secs", Cell::Secs(seen.health.oldest_transaction_secs)),
        ("lock_waits", Cell::Int(seen.health.lock_waits)),
        ("connections", Cell::Int(seen.health.connections)),
        ("max_connections", Cell::Int(seen.health.max_connections.into())),
        ("database_bytes", Cell::Int(seen.health.database_bytes)),
    ];
    if let Some((queue, periods)) = &seen.selected {
        facts.push(("history_of", Cell::Text(queue.name.clone())));
        let mut history = Sheet::new("history", &HISTORY);
        history.rows = periods.iter().map(period).collect();
        sheets.push(history);
    }
    let mut notes = vec![];
    if seen.queues.is_none() {
        notes.push(super::lines::TOO_SLOW.to_owned());
    }
    Report { facts, sheets, notes, ..Report::default() }
}
