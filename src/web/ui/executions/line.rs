//! One line of the list: what it is, what it does now, what its time was spent on.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::engine::Status;
use crate::id::ExecutionId;
use crate::store::read::pages;
use crate::web::ui::kit::{Cell, Sheet, Viewer};
use crate::web::ui::money::{self, Spent};
use crate::web::ui::{shown, timeline};

/// As the page shows it.
pub struct Line {
    pub id: ExecutionId,
    pub mark: shown::Mark,
    pub title: String,
    pub agent: String,
    pub version: i32,
    pub now: String,
    pub more: String,
    pub shape: Vec<timeline::Bar>,
    pub took: String,
    pub turns: String,
    pub spent: Spent,
    pub started: String,
    pub started_at: Timestamp,
    pub stamp: String,
}

/// Lines of the page, with the beginning of what their time was spent on.
pub fn lines(found: &[pages::Line], shapes: Vec<pages::Step>, viewer: &Viewer) -> Vec<Line> {
    let mut steps: HashMap<ExecutionId, Vec<pages::Step>> = HashMap::new();
    for step in shapes {
        steps.entry(step.execution).or_default().push(step);
    }
    found.iter().map(|l| line(l, steps.get(&l.id).map_or(&[], Vec::as_slice), viewer)).collect()
}

fn line(line: &pages::Line, steps: &[pages::Step], viewer: &Viewer) -> Line {
    let until = line.ended_at.unwrap_or(viewer.now);
    let title = line.prompt.as_deref().map(|p| shown::excerpt(p, 160)).filter(|p| !p.is_empty());
    let (what, more) = now_and_more(line, steps, viewer);
    Line {
        id: line.id,
        mark: mark(line),
        title: title.unwrap_or_else(|| "(no prompt)".to_owned()),
        agent: shown::excerpt(&line.agent, 80),
        version: line.version,
        now: what,
        more,
        shape: timeline::shape(steps, line.started_at, until),
        took: shown::duration(shown::secs(line.started_at, until)),
        turns: shown::many(line.turn.into(), "turn"),
        spent: Spent::of(&line.cost, line.tokens),
        started: viewer.zone.at(line.started_at, viewer.now),
        started_at: line.started_at,
        stamp: viewer.zone.stamp(line.started_at),
    }
}

fn mark(line: &pages::Line) -> shown::Mark {
    shown::status(line.status, line.waits.as_ref().map(|w| w.code.as_str()))
}

/// What it waits for, or what came of it, in two lines.
fn now_and_more(line: &pages::Line, steps: &[pages::Step], viewer: &Viewer) -> (String, String) {
    if let Some(wait) = &line.waits {
        return shown::wait(wait, &viewer.zone, viewer.now);
    }
    let lost = i64::try_from(steps.iter().filter(|s| s.status == "lost").count()).unwrap_or(0);
    let survived =
        if lost == 0 { String::new() } else { format!("survived {}", shown::many(lost, "lost worker")) };
    let reason = line.reason.as_deref().map(|r| shown::sentence(&shown::excerpt(r, 240)));
    let result = line.result.as_deref().map(|r| shown::excerpt(r, 240)).filter(|r| !r.is_empty());
    match (line.status, reason, result) {
        (Status::Completed, reason, Some(result)) => {
            let more = [survived, reason.unwrap_or_default()];
            (result, more.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" · "))
        }
        (Status::Completed, reason, None) => (reason.unwrap_or_else(|| "No result".to_owned()), survived),
        (Status::Running, ..) => (format!("Turn {}", line.turn), survived),
        (_, reason, result) => {
            (reason.unwrap_or_else(|| "No reason given".to_owned()), result.unwrap_or(survived))
        }
    }
}

/// Lines for programs.
pub fn sheet(found: &[pages::Line], now: Timestamp) -> Sheet {
    let mut sheet = Sheet::new(
        "executions",
        &[
            "id",
            "status",
            "now",
            "agent",
            "version",
            "started_at",
            "ended_at",
            "took_secs",
            "turns",
            "tokens",
            "prompt",
            "result",
            "reason",
            "session",
            "cost",
            "currency",
            "unpriced_calls",
        ],
    );
    for line in found {
        let waits = line.waits.as_ref();
        let mut row = vec![
            Cell::Text(line.id.to_string()),
            Cell::Text(line.status.name().to_owned()),
            Cell::text(waits.map(|w| w.code.clone())),
            Cell::Text(line.agent.clone()),
            Cell::Int(line.version.into()),
            Cell::Time(line.started_at),
            Cell::time(line.ended_at),
            Cell::Secs(shown::secs(line.started_at, line.ended_at.unwrap_or(now))),
            Cell::Int(line.turn.into()),
            Cell::Int(line.tokens),
            Cell::text(line.prompt.clone()),
            Cell::text(line.result.clone()),
            Cell::text(line.reason.clone().or_else(|| waits.map(|w| w.text.clone()))),
            Cell::text(line.session.clone()),
        ];
        row.extend(money::cells(&line.cost));
        sheet.rows.push(row);
    }
    sheet
}
