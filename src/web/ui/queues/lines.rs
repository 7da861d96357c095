//! The words of the page of queues.

use jiff::Timestamp;

use super::charts::{Spark, spark};
use super::{Seen, Wanted};
use crate::runtime::MODEL_QUEUE;
use crate::store::read::health::Health;
use crate::store::read::queues::Standing;
use crate::store::read::workers::Worker;
use crate::web::ui::kit::Viewer;
use crate::web::ui::kit::base::shell;
use crate::web::ui::shown::{self, Mark};

/// What the page says when counting was stopped.
pub const TOO_SLOW: &str = "counting the queues was stopped after 2 s, because the database is busy; load the page again in a moment";
/// Where the database stops to count.
const MOST: i64 = 100_000;
/// Queues that the card of starving queues names.
const NAMED: usize = 3;

/// One number at the top.
pub struct Stat {
    pub name: &'static str,
    pub value: String,
    pub unit: &'static str,
    pub more: String,
}

/// Work that nobody is there for.
pub struct Starving {
    pub what: String,
    pub queues: Vec<String>,
    pub more: String,
    pub commands: Vec<String>,
    pub hint: &'static str,
}

/// One queue.
pub struct Line {
    pub id: i32,
    pub name: String,
    pub domain: String,
    pub address: String,
    pub is_selected: bool,
    pub is_alarm: bool,
    pub is_paused: bool,
    pub mark: Mark,
    pub note: String,
    pub ready: String,
    pub spark: Spark,
    pub ink: &'static str,
    pub oldest: String,
    pub started: String,
    pub p50: String,
    pub p95: String,
    pub leased: String,
    pub workers: String,
    pub failed: String,
}

/// One worker or server.
pub struct WorkerLine {
    pub name: String,
    pub kind: &'static str,
    pub mark: Mark,
    pub queues: Vec<String>,
    pub more_queues: String,
    pub seen: String,
    pub seen_at: Timestamp,
    pub is_late: bool,
    pub leased: i64,
    pub work: Vec<Doing>,
    pub note: String,
    pub since: String,
    pub since_at: Timestamp,
}

/// An attempt that a worker has.
pub struct Doing {
    pub address: String,
    pub what: String,
    pub agent: String,
    pub for_secs: String,
}

fn ago(at: Timestamp, viewer: &Viewer) -> String {
    format!("{} ago", shown::duration(shown::secs(at, viewer.now)))
}

fn counted(n: i64) -> String {
    if n >= MOST { "100k+".to_owned() } else { shown::count(n) }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A queue's name as the page writes it.
fn name_of(queue: &str) -> String {
    shown::excerpt(queue, 80)
}

fn labelled(row: &Standing) -> String {
    if row.queue.domain.is_empty() {
        name_of(&row.queue.name)
    } else {
        format!("{} ({})", name_of(&row.queue.name), shown::excerpt(&row.queue.domain, 40))
    }
}

/// The numbers at the top.
pub fn stats(seen: &Seen) -> Vec<Stat> {
    let queues = seen.queues.as_deref().unwrap_or_default();
    let sum = |of: fn(&Standing) -> i64| queues.iter().map(of).sum::<i64>();
    let starving: i64 = queues.iter().filter(|q| q.state == "starved").map(|q| q.ready).sum();
    let paused: i64 = queues.iter().filter(|q| q.state == "paused").map(|q| q.ready).sum();
    let more = match (starving, paused) {
        (0, 0) => format!("in {}", shown::many(count(queues, |q| q.ready > 0), "queue")),
        (0, paused) => format!("{} paused", counted(paused)),
        (starving, 0) => format!("{} unserved", counted(starving)),
        (starving, paused) => format!("{} unserved, {} paused", counted(starving), counted(paused)),
    };
    let slowest = queues
        .iter()
        .filter_map(|q| Some((q.wait_p95_secs?, q)))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let working =
        |state: &str| i64::try_from(seen.workers.iter().filter(|w| w.state == state).count()).unwrap_or(0);
    let (draining, lost) = (working("draining"), working("lost"));
    let health = &seen.health;
    let deferred = sum(|q| q.deferred);
    vec![
        Stat { name: "Ready, not started", value: counted(sum(|q| q.ready)), unit: "", more },
        Stat {
            name: "In flight",
            value: shown::count(sum(|q| q.leased)),
            unit: "",
            more: if deferred == 0 {
                "nothing waits for its time".to_owned()
            } else {
                format!("{} wait for their time", shown::count(deferred))
            },
        },
        Stat {
            name: "Wait to start, p95",
            value: slowest.map_or_else(|| "–".to_owned(), |(secs, _)| shown::duration(secs)),
            unit: "",
            more: slowest.map_or_else(
                || format!("nothing was started in the {}", seen.span.1),
                |(_, queue)| format!("{}, {}", labelled(queue), seen.span.1),
            ),
        },
        Stat {
            name: "Workers and servers",
            value: working("live").to_string(),
            unit: "live",
            more: format!("{draining} draining, {lost} lost"),
        },
        Stat {
            name: "Postgres round trip",
            value: round_trip(health.round_trip.as_secs_f64()),
            unit: "",
            more: seen.notify.map_or_else(
                || "no wake-up measured yet".to_owned(),
                |n| format!("NOTIFY wake-up {}", round_trip(n.as_secs_f64())),
            ),
        },
        Stat {
            name: "Table health",
            value: health.dead_share.map_or_else(|| "–".to_owned(), percent),
            unit: "dead",
            more: format!(
                "{}, oldest tx {}",
                shown::many(health.lock_waits, "lock wait"),
                shown::duration(health.oldest_transaction_secs)
            ),
        },
    ]
}

fn count(queues: &[Standing], which: fn(&Standing) -> bool) -> i64 {
    i64::try_from(queues.iter().filter(|q| which(q)).count()).unwrap_or(0)
}

fn round_trip(secs: f64) -> String {
    if secs < 0.0095 { format!("{:.1} ms", secs * 1000.0) } else { shown::duration(secs) }
}

/// The command that brings somebody who takes a queue's work; `None` where only the program of its runs can.
fn command(row: &Standing, server: &str) -> Option<String> {
    let queue = &row.queue;
    if queue.name == MODEL_QUEUE {
        return Some("tenure serve".to_owned());
    }
    let name = shell(&queue.name);
    queue.domain.is_empty().then(|| format!("tenure worker --queue {name}{server} -- COMMAND"))
}

/// The card of what nobody is there for.
pub fn starving(queues: &[Standing], viewer: &Viewer) -> Option<Starving> {
    let starved: Vec<_> = queues.iter().filter(|q| q.state == "starved").collect();
    if starved.is_empty() {
        return None;
    }
    let steps: i64 = starved.iter().map(|q| q.ready).sum();
    let what = match steps {
        1 => "1 step waits for a worker that does not exist.".to_owned(),
        n => format!("{} steps wait for workers that do not exist.", counted(n)),
    };
    let more = match starved.len().saturating_sub(NAMED) {
        0 => String::new(),
        1 => "and one more queue".to_owned(),
        n => format!("and {n} more queues"),
    };
    let commands: Vec<_> =
        starved.iter().filter_map(|q| command(q, &viewer.server_flag())).take(NAMED).collect();
    Some(Starving {
        what,
        queues: starved.iter().take(NAMED).map(|q| labelled(q)).collect(),
        more,
        hint: if commands.is_empty() {
            "Start the program that started these runs again; its workers poll these queues."
        } else {
            "Start one with"
        },
        commands,
    })
}

/// One queue.
pub fn line(row: &Standing, seen: &Seen, wanted: &Wanted, viewer: &Viewer) -> Line {
    let queue = &row.queue;
    let (mark, note) = standing(row, viewer);
    let is_alarm = row.state == "starved";
    let selected = seen.selected.as_ref().is_some_and(|(selected, _)| selected.id == queue.id);
    let secs = |secs: Option<f64>| secs.map_or_else(|| "–".to_owned(), shown::duration);
    Line {
        id: queue.id,
        name: name_of(&queue.name),
        domain: shown::excerpt(&queue.domain, 60),
        address: wanted.with_queue(queue),
        is_selected: selected,
        is_alarm,
        is_paused: queue.pause.is_some(),
        mark,
        note,
        ready: counted(row.ready),
        spark: spark(&row.ready_series),
        ink: match row.state.as_str() {
            "starved" | "held_back" => "retry",
            "paused" | "idle" => "queue",
            _ => "llm",
        },
        oldest: row
            .oldest_ready
            .map_or_else(|| "–".to_owned(), |at| shown::duration(shown::secs(at, viewer.now))),
        started: rate(row.started_per_min),
        p50: secs(row.wait_p50_secs),
        p95: row.wait_p95_secs.map(shown::duration).unwrap_or_default(),
        leased: if is_alarm { "none".to_owned() } else { shown::count(row.leased) },
        workers: if is_alarm {
            command(row, "").map(|command| format!("start one: {command}")).unwrap_or_default()
        } else {
            let word = if queue.name == MODEL_QUEUE { "server" } else { "worker" };
            shown::many(row.live_workers, word)
        },
        failed: row.failed_share.map_or_else(|| "–".to_owned(), percent),
    }
}

fn rate(per_minute: f64) -> String {
    match per_minute {
        0.0 => "0".to_owned(),
        n if n < 0.1 => "<0.1".to_owned(),
        n if n < 10.0 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

const fn mark(class: &'static str, icon: &'static str, word: &'static str) -> Mark {
    Mark { class, icon, word }
}

/// Where a queue stands, and a sentence about it.
fn standing(row: &Standing, viewer: &Viewer) -> (Mark, String) {
    let next = row
        .next_due
        .map_or_else(String::new, |at| format!("next in {}", shown::duration(shown::secs(viewer.now, at))));
    match row.state.as_str() {
        "paused" => {
            let said = row.queue.pause.as_ref().map_or_else(String::new, |pause| {
                let reason = pause.reason.as_deref().map(|r| format!(", “{}”", shown::excerpt(r, 160)));
                format!(
                    "by {} since {}{}",
                    shown::excerpt(&pause.by, 100),
                    viewer.zone.at(pause.at, viewer.now),
                    reason.unwrap_or_default()
                )
            });
            (mark("idle", "pause", "Paused"), said)
        }
        "starved" => {
            let nobody = if row.queue.name == MODEL_QUEUE { "server" } else { "worker" };
            let said = match (&row.last_worker, row.last_seen) {
                (Some(who), Some(at)) => {
                    format!("no live {nobody}; last seen {}, {}", shown::excerpt(who, 60), ago(at, viewer))
                }
                _ => format!("no {nobody} has ever asked for it"),
            };
            (mark("warn", "alert", "Starved"), said)
        }
        "held_back" => {
            let why = row.held_back_by.as_deref().map(|error| shown::excerpt(error, 120));
            let said = [why.unwrap_or_else(|| waiting(row)), next];
            (mark("warn", "redo", "Held back"), said.join(", "))
        }
        "busy" if row.deferred > 0 => (mark("ok", "check", "Healthy"), format!("{}, {next}", waiting(row))),
        "busy" => (mark("ok", "check", "Healthy"), String::new()),
        _ => {
            let said = row.last_seen.map_or_else(
                || "nobody asks for it, and nothing waits".to_owned(),
                |at| format!("nothing waits; last asked {}", ago(at, viewer)),
            );
            (mark("idle", "sleep", "Idle"), said)
        }
    }
}

fn waiting(row: &Standing) -> String {
    if row.deferred == 1 {
        "1 waits for its time".to_owned()
    } else {
        format!("{} wait for their time", shown::count(row.deferred))
    }
}

/// One worker or server.
pub fn worker(row: &Worker, viewer: &Viewer) -> WorkerLine {
    let of_queue = |name: &String| match name.as_str() {
        MODEL_QUEUE => "model calls".to_owned(),
        "tenure.web" => "pages only".to_owned(),
        name => shown::excerpt(name, 40),
    };
    let queues: Vec<_> = row.queues.iter().take(4).map(of_queue).collect();
    let more = i64::from(row.queue_count) - i64::try_from(queues.len()).unwrap_or(0);
    let work = |w: &crate::store::read::workers::Work| Doing {
        address: format!("/execution/{}", w.execution),
        what: shown::excerpt(&w.name, 60),
        agent: format!("{} turn {}", shown::excerpt(&w.agent, 60), w.turn),
        for_secs: shown::duration(shown::secs(w.since, viewer.now)),
    };
    WorkerLine {
        name: shown::excerpt(&row.name, 80),
        kind: if row.is_server { "server" } else { "worker" },
        mark: worker_mark(&row.state),
        queues,
        more_queues: if more > 0 { format!("and {more} more") } else { String::new() },
        seen: ago(row.seen_at, viewer),
        seen_at: row.seen_at,
        is_late: row.state == "lost",
        leased: row.leased,
        work: row.working_on.iter().map(work).collect(),
        note: doing(row, viewer),
        since: viewer.zone.at(row.first_seen, viewer.now),
        since_at: row.first_seen,
    }
}

fn worker_mark(state: &str) -> Mark {
    match state {
        "live" => mark("ok", "check", "Live"),
        "draining" => mark("idle", "sleep", "Draining"),
        "lost" => mark("fail", "x", "Lost"),
        _ => mark("idle", "stop", "Stopped"),
    }
}

/// What a worker does, beyond the attempts that are named.
fn doing(row: &Worker, viewer: &Viewer) -> String {
    let unnamed = row.leased - i64::try_from(row.working_on.len()).unwrap_or(0);
    match row.state.as_str() {
        "draining" if row.leased > 0 => format!("finishes {}, then stops", row.leased),
        "draining" => "stops".to_owned(),
        "lost" if row.lost_attempts > 0 => {
            let at = row.lost_at.map(|at| format!(" at {}", viewer.zone.clock(at))).unwrap_or_default();
            format!(
                "{} lost with it{at}; somebody else gets the work",
                shown::many(row.lost_attempts, "attempt")
            )
        }
        "lost" if row.leased > 0 => "its leases end, then somebody else gets the work".to_owned(),
        "lost" => "had nothing to lose".to_owned(),
        "stopped" => "does not ask any more".to_owned(),
        _ if unnamed > 0 => format!("{unnamed} more"),
        _ if row.leased == 0 => "idle".to_owned(),
        _ => String::new(),
    }
}

/// What the database says of itself.
pub fn health(health: &Health, viewer: &Viewer) -> Vec<(&'static str, String)> {
    let dead = health.dead_share.map_or_else(
        || "not known yet".to_owned(),
        |share| {
            let most = health.table_most_dead.as_deref().unwrap_or_default();
            format!("{} of our rows, most in {most}", percent(share))
        },
    );
    #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
    let size = health.database_bytes as f64;
    vec![
        ("Version", shown::excerpt(&health.version, 80)),
        ("Up since", viewer.zone.stamp(health.up_since)),
        ("Connections", format!("{} of {}", health.connections, health.max_connections)),
        ("Round trip", round_trip(health.round_trip.as_secs_f64())),
        ("Dead rows", dead),
        ("Oldest transaction", shown::duration(health.oldest_transaction_secs)),
        ("Lock waits", health.lock_waits.to_string()),
        (
            "Database size",
            if size < 1e9 { format!("{:.1} MB", size / 1e6) } else { format!("{:.1} GB", size / 1e9) },
        ),
    ]
}
