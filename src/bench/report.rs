//! Figures beside their goals: for people, for programs, for the documents.

use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Error, Options, chart, rig::Rig};

/// What a figure is measured against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// Not less.
    AtLeast(f64),
    /// Not more.
    AtMost(f64),
    /// Nothing; it is good to know.
    None,
}

/// What was measured, in every round.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Which scenario.
    pub scenario: &'static str,
    /// Of what.
    pub name: String,
    /// In what.
    pub unit: &'static str,
    /// What it should be.
    pub goal: Goal,
    rounds: Vec<f64>,
    note: String,
}

impl Figure {
    /// A figure with its value in every round.
    pub fn new(
        scenario: &'static str,
        name: impl Into<String>,
        unit: &'static str,
        goal: Goal,
        rounds: Vec<f64>,
    ) -> Self {
        Self { scenario, name: name.into(), unit, goal, rounds, note: String::new() }
    }

    /// A scenario that ended early; it has reached nothing.
    #[must_use]
    pub fn failed(scenario: &'static str, error: &Error) -> Self {
        Self::new(scenario, "could not be measured", "", Goal::AtLeast(0.0), vec![]).note(error.to_string())
    }

    /// The same with a word.
    #[must_use]
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// The middle of all rounds, which is what counts.
    #[must_use]
    pub fn median(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// The least and the most of all rounds.
    fn range(&self) -> (f64, f64) {
        let least = self.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        (least, self.rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }

    /// Whether the median does not reach the goal. What has no value has not reached it.
    #[must_use]
    pub fn missed(&self) -> bool {
        let median = self.median();
        match self.goal {
            Goal::AtLeast(goal) => median.is_nan() || median < goal,
            Goal::AtMost(goal) => median.is_nan() || median > goal,
            Goal::None => false,
        }
    }

    /// Its value in every round.
    #[must_use]
    pub fn rounds(&self) -> &[f64] {
        &self.rounds
    }

    /// What else there is to say; empty for nothing.
    #[must_use]
    pub fn note_text(&self) -> &str {
        &self.note
    }

    fn cells(&self) -> [String; 7] {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        let (least, most) = self.range();
        let range = if self.rounds.len() > 1 {
            format!("{} – {}", shown(least), shown(most))
        } else {
            String::new()
        };
        let goal = match self.goal {
            Goal::AtLeast(goal) => format!("≥ {}", shown(goal)),
            Goal::AtMost(goal) => format!("≤ {}", shown(goal)),
            Goal::None => String::new(),
        };
        let verdict = match (self.goal, self.missed()) {
            (Goal::None, _) => "",
            (_, true) => "missed",
            (_, false) => "reached",
        };
        [
            self.scenario.to_owned(),
            self.name.clone(),
            format!("{}{unit}", shown(self.median())),
            range,
            goal,
            verdict.to_owned(),
            self.note.clone(),
        ]
    }

    fn json(&self) -> Value {
        let (goal, direction) = match self.goal {
            Goal::AtLeast(goal) => (Some(goal), Some("at least")),
            Goal::AtMost(goal) => (Some(goal), Some("at most")),
            Goal::None => (None, None),
        };
        json!({
            "scenario": self.scenario, "name": self.name, "unit": self.unit, "median": self.median(), "rounds": self.rounds,
            "goal": goal, "direction": direction, "missed": self.missed(), "note": self.note,
        })
    }
}

/// A number with three digits that count.
pub fn shown(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "?".to_owned(),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

const HEAD: [&str; 7] = ["", "what", "median", "rounds", "goal", "", "note"];

/// Everything that was measured, and where.
#[derive(Debug)]
pub struct Report {
    /// Machine, versions, settings.
    pub about: Vec<(&'static str, String)>,
    /// In the order of measuring.
    pub figures: Vec<Figure>,
    /// Whether it only tried things out.
    pub quick: bool,
}

impl Report {
    /// For a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY).set_header(HEAD);
        table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
        for figure in &self.figures {
            table.add_row(figure.cells());
        }
        table.to_string()
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let about: serde_json::Map<_, _> =
            self.about.iter().map(|(n, v)| ((*n).to_owned(), json!(v))).collect();
        json!({ "about": about, "quick": self.quick, "figures": self.figures.iter().map(Figure::json).collect::<Vec<_>>() })
    }

    /// A page with charts.
    ///
    /// # Errors
    ///
    /// The page can't be drawn.
    pub fn page(&self) -> Result<String, Error> {
        chart::page(self)
    }

    /// The figures for the documents; what stands around them is written by people.
    #[must_use]
    pub fn markdown(&self) -> String {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = String::from("| | |\n|---|---|\n");
        for (name, value) in &self.about {
            text.push_str(&row(&[(*name).to_owned(), value.clone()]));
        }
        text.push('\n');
        text.push_str(&row(&HEAD.map(str::to_owned)));
        text.push_str("|---|---|--:|--:|--:|---|---|\n");
        for figure in &self.figures {
            text.push_str(&row(&figure.cells()));
        }
        text
    }
}

/// Where the figures stand in a document: between these lines.
const MARKS: [&str; 2] = ["<!-- figures -->\n", "<!-- end of figures -->\n"];

/// A document with these figures in place of the ones that it has.
///
/// # Errors
///
/// The document has no place for them.
pub fn into_document(document: &str, figures: &str) -> Result<String, Error> {
    let place = || format!("the document has no lines {MARKS:?}");
    let (before, rest) = document.split_once(MARKS[0]).ok_or_else(place)?;
    let (_, after) = rest.split_once(MARKS[1]).ok_or_else(place)?;
    Ok(format!("{before}{}{figures}{}{after}", MARKS[0], MARKS[1]))
}

/// Machine, versions, settings.
pub async fn about(
    rig: &Rig,
    options: &Options,
    began: Instant,
) -> Result<Vec<(&'static str, String)>, Error> {
    let row = rig
        .db
        .query_one(
            "select current_setting('server_version'), current_setting('shared_buffers'), current_setting('max_wal_size'),
                    current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes'),
                    current_setting('wal_compression')",
            &[],
        )
        .await?;
    let said = |n: usize| row.get::<_, String>(n);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    Ok(vec![
        (
            "tenure",
            format!(
                "{}, {}",
                env!("CARGO_PKG_VERSION"),
                if cfg!(debug_assertions) { "debug build" } else { "release build" }
            ),
        ),
        ("commit", output("git", &["describe", "--always", "--dirty"])),
        (
            "machine",
            format!(
                "{cores} cores ({}), {} GB, Linux {}",
                field("/proc/cpuinfo", "model name"),
                memory(),
                output("uname", &["-r"])
            ),
        ),
        (
            "load averages at the end",
            first_line("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(", "),
        ),
        ("Postgres", format!("{}, private; shared_buffers {}, max_wal_size {}", said(0), said(1), said(2))),
        (
            "durability",
            format!(
                "fsync {}, synchronous_commit {}, full_page_writes {}, wal_compression {}",
                said(3),
                said(4),
                said(5),
                said(6)
            ),
        ),
        (
            "rounds",
            format!(
                "{} of each comparison, {} s in all",
                if options.quick { 1 } else { options.rounds },
                began.elapsed().as_secs()
            ),
        ),
        ("all of it", "workers, server and Postgres share the machine".to_owned()),
    ])
}

fn memory() -> u64 {
    field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1_000_000
}

fn field(file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_default();
    line.split_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn first_line(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stderr(std::process::Stdio::null()).output();
    output
        .ok()
        .filter(|o| o.status.success())
        .map_or_else(|| "unknown".to_owned(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(goal: Goal, rounds: &[f64]) -> Figure {
        Figure::new("G0", "x", "ms", goal, rounds.to_vec())
    }

    #[test]
    fn the_median_is_held_against_the_goal() {
        assert!(!figure(Goal::AtLeast(2.0), &[1.0, 3.0, 2.0]).missed());
        assert!(figure(Goal::AtLeast(2.1), &[1.0, 3.0, 2.0]).missed());
        assert!(figure(Goal::AtMost(2.4), &[1.0, 2.0, 3.0, 4.0]).missed());
        assert!(!figure(Goal::None, &[f64::NAN]).missed());
        assert!(figure(Goal::AtMost(1.0), &[]).missed());
    }

    #[test]
    fn figures_take_their_place_in_a_document() {
        let document = "a\n<!-- figures -->\nold\n<!-- end of figures -->\nb\n";
        let new = into_document(document, "new\n").unwrap();
        assert_eq!(new, "a\n<!-- figures -->\nnew\n<!-- end of figures -->\nb\n");
        assert!(into_document("none", "new").is_err());
    }
}
