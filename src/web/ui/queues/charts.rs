//! Lines over time, drawn by the server.

use crate::store::read::queues::{Period, Queue, Span};
use crate::web::ui::kit::Viewer;
use crate::web::ui::shown;

/// The drawing area, in units of the chart's own.
const LEFT: f64 = 34.0;
const RIGHT: f64 = 552.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 100.0;
/// The same of a sparkline.
const SPARK: (f64, f64) = (84.0, 22.0);

/// A sparkline: the points of its line, and of the area below it.
pub struct Spark {
    pub line: String,
    pub area: String,
}

/// The two charts of one queue.
pub struct Chart {
    pub queue: String,
    pub now: String,
    pub ready: Drawing,
    pub waits: Drawing,
    /// The length of a period.
    pub step: String,
}

/// One chart.
pub struct Drawing {
    /// What it shows, for those who can't see it.
    pub label: String,
    /// Height of a line of the grid, and the number beside it.
    pub grid: Vec<(String, String, String)>,
    /// Place of a time below it, its anchor, and the time.
    pub times: Vec<(String, &'static str, String)>,
    pub area: Vec<String>,
    pub lower: Vec<String>,
    pub upper: Vec<String>,
    pub is_empty: bool,
}

#[expect(clippy::cast_precision_loss, reason = "pixels")]
fn at(n: usize, of: usize, from: f64, to: f64) -> f64 {
    from + (to - from) * n as f64 / of.saturating_sub(1).max(1) as f64
}

/// A series as a small line.
pub fn spark(series: &[i32]) -> Spark {
    let (width, height) = SPARK;
    let most = f64::from(series.iter().copied().max().unwrap_or(0).max(1));
    let point = |(n, value): (usize, &i32)| {
        format!(
            "{:.1},{:.1}",
            at(n, series.len(), 0.0, width),
            height - 2.0 - (height - 5.0) * f64::from(*value) / most
        )
    };
    let line = series.iter().enumerate().map(point).collect::<Vec<_>>().join(" ");
    Spark { area: format!("0,{height} {line} {width},{height}"), line }
}

/// The charts of a queue.
pub fn chart(queue: &Queue, periods: &[Period], span: Span, viewer: &Viewer) -> Chart {
    let over = match span {
        Span::Hour => "hour",
        Span::Day => "24 hours",
        Span::Week => "7 days",
    };
    let times = times(periods, span, viewer);
    let ready: Vec<_> = periods.iter().map(|p| Some(f64::from(p.ready))).collect();
    let most = periods.iter().map(|p| p.ready).max().unwrap_or(0);
    let now = periods.last().map_or(0, |p| p.ready);
    let scale = round_up(f64::from(most), 3.0);
    let ready = Drawing {
        label: format!("Ready attempts over the last {over}: {now} now, {most} at most"),
        grid: grid(scale, |n| format!("{n:.0}")),
        times: times.clone(),
        area: areas(&ready, scale),
        lower: lines(&ready, scale),
        upper: vec![],
        is_empty: periods.is_empty(),
    };
    let p50: Vec<_> = periods.iter().map(|p| p.wait_p50_secs).collect();
    let p95: Vec<_> = periods.iter().map(|p| p.wait_p95_secs).collect();
    let most = p95.iter().flatten().copied().fold(0.0, f64::max);
    let scale = most.max(0.003);
    let waits = Drawing {
        label: format!(
            "Wait to start over the last {over}: 95 % within {} at the worst",
            shown::duration(most)
        ),
        grid: grid(scale, |secs| axis_secs(secs, scale)),
        times,
        area: areas(&p95, scale),
        lower: lines(&p50, scale),
        upper: lines(&p95, scale),
        is_empty: p95.iter().all(Option::is_none),
    };
    let minutes = periods.first().map_or(1, |p| p.minutes);
    Chart {
        queue: shown::excerpt(&queue.name, 60),
        now: now.to_string(),
        ready,
        waits,
        step: shown::many(minutes.into(), "minute"),
    }
}

/// The least multiple of `step` that is not below a number, and not zero.
fn round_up(n: f64, step: f64) -> f64 {
    ((n / step).ceil() * step).max(step)
}

/// A number of seconds beside an axis that ends at `most`.
fn axis_secs(secs: f64, most: f64) -> String {
    match most {
        _ if secs == 0.0 => "0".to_owned(),
        m if m < 1.0 => format!("{:.0}ms", secs * 1000.0),
        m if m < 90.0 => format!("{secs:.1}s"),
        m if m < 5400.0 => format!("{:.0}m", secs / 60.0),
        _ => format!("{:.1}h", secs / 3600.0),
    }
}

fn grid(most: f64, write: impl Fn(f64) -> String) -> Vec<(String, String, String)> {
    let line = |n: usize| {
        let y = at(n, 4, BOTTOM, TOP);
        (format!("{y:.1}"), format!("{:.1}", y + 3.5), write(at(n, 4, 0.0, most)))
    };
    (0..4).map(line).collect()
}

fn times(periods: &[Period], span: Span, viewer: &Viewer) -> Vec<(String, &'static str, String)> {
    if periods.len() < 5 {
        return vec![];
    }
    let time = |n: usize| {
        let at_time = periods[(periods.len() - 1) * n / 4].at;
        let text = match span {
            Span::Hour | Span::Day => viewer.zone.clock(at_time).chars().take(5).collect(),
            Span::Week => viewer.zone.full(at_time).chars().skip(5).take(5).collect(),
        };
        let anchor = ["start", "middle", "middle", "middle", "end"][n];
        (format!("{:.0}", at(n, 5, LEFT, RIGHT)), anchor, text)
    };
    (0..5).map(time).collect()
}

/// Runs of neighbours that have a value, as points.
fn runs(values: &[Option<f64>], most: f64) -> Vec<Vec<(f64, f64)>> {
    let mut runs: Vec<Vec<(f64, f64)>> = vec![vec![]];
    for (n, value) in values.iter().enumerate() {
        let last = runs.len() - 1;
        match value {
            Some(value) => runs[last]
                .push((at(n, values.len(), LEFT, RIGHT), BOTTOM - (BOTTOM - TOP) * (value / most).min(1.0))),
            None if runs[last].is_empty() => {}
            None => runs.push(vec![]),
        }
    }
    runs.retain(|run| !run.is_empty());
    for run in &mut runs {
        if let [(x, y)] = run[..] {
            // A single value is a short dash.
            *run = vec![(x - 1.5, y), (x + 1.5, y)];
        }
    }
    runs
}

fn points(run: &[(f64, f64)]) -> String {
    run.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

fn lines(values: &[Option<f64>], most: f64) -> Vec<String> {
    runs(values, most).iter().map(|run| points(run)).collect()
}

fn areas(values: &[Option<f64>], most: f64) -> Vec<String> {
    let area = |run: &Vec<(f64, f64)>| {
        let ends = (run.first().map_or(LEFT, |p| p.0), run.last().map_or(RIGHT, |p| p.0));
        format!("{:.1},{BOTTOM} {} {:.1},{BOTTOM}", ends.0, points(run), ends.1)
    };
    runs(values, most).iter().map(area).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_gap_where_nothing_is_known() {
        let drawn = lines(&[Some(0.0), Some(1.0), None, Some(1.0), None], 1.0);
        assert_eq!(drawn, ["34.0,100.0 163.5,8.0", "421.0,8.0 424.0,8.0"]);
        assert!(lines(&[None, None], 1.0).is_empty());
    }

    #[test]
    fn a_sparkline_stays_in_its_box() {
        let drawn = spark(&[0, 5, 10]);
        assert_eq!(drawn.line, "0.0,20.0 42.0,11.5 84.0,3.0");
        assert_eq!(drawn.area, "0,22 0.0,20.0 42.0,11.5 84.0,3.0 84,22");
        assert_eq!(spark(&[]).line, "");
        assert_eq!(spark(&[0]).line, "0.0,20.0");
    }

    #[test]
    fn the_scale_ends_at_a_multiple_of_its_lines() {
        assert_eq!((round_up(0.0, 3.0), round_up(38.0, 3.0), round_up(3.0, 3.0)), (3.0, 39.0, 3.0));
    }
}
