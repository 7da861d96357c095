//! The report as a page: a chart for every figure that has a goal, drawn here, in the look of the pages.

use askama::Template;

use super::Error;
use super::report::{Figure, Goal, Report, shown};

/// The drawing area of a chart.
const LEFT: f64 = 8.0;
const RIGHT: f64 = 552.0;

#[derive(Template)]
#[template(path = "bench.html")]
struct Page<'a> {
    css: &'static str,
    about: &'a [(&'static str, String)],
    quick: bool,
    charts: Vec<Chart>,
    others: Vec<Row>,
}

/// One figure beside its goal, every round a dot.
struct Chart {
    scenario: &'static str,
    name: String,
    value: String,
    goal: String,
    missed: bool,
    note: String,
    /// What it shows, for those who can't see it.
    label: String,
    bar: String,
    mark: String,
    dots: Vec<String>,
}

/// One figure without a goal.
struct Row {
    scenario: &'static str,
    name: String,
    value: String,
}

/// The whole page, with its style inside.
pub fn page(report: &Report) -> Result<String, Error> {
    let charts = report.figures.iter().filter(|f| f.goal != Goal::None).map(chart).collect();
    let others = report.figures.iter().filter(|f| f.goal == Goal::None);
    let others =
        others.map(|f| Row { scenario: f.scenario, name: f.name.clone(), value: value(f) }).collect();
    let css = include_str!("../../static/app.css");
    Ok(Page { css, about: &report.about, quick: report.quick, charts, others }.render()?)
}

fn value(figure: &Figure) -> String {
    format!("{} {}", shown(figure.median()), figure.unit).trim_end().to_owned()
}

fn chart(figure: &Figure) -> Chart {
    let (goal, words) = match figure.goal {
        Goal::AtLeast(goal) => (goal, format!("at least {}", shown(goal))),
        Goal::AtMost(goal) => (goal, format!("at most {}", shown(goal))),
        Goal::None => (0.0, String::new()),
    };
    let most = figure.rounds().iter().copied().chain([goal, figure.median()]).fold(0.0, f64::max) * 1.08;
    let x = |value: f64| LEFT + (RIGHT - LEFT) * (value / most).clamp(0.0, 1.0);
    let place = |value: f64| format!("{:.1}", x(value));
    let value = value(figure);
    Chart {
        scenario: figure.scenario,
        name: figure.name.clone(),
        label: format!("{}: {value}; goal: {words}", figure.name),
        missed: figure.missed(),
        note: figure.note_text().to_owned(),
        bar: format!("{:.1}", x(figure.median()) - LEFT),
        mark: place(goal),
        dots: figure.rounds().iter().map(|v| place(*v)).collect(),
        goal: words,
        value,
    }
}
