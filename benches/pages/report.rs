//! Figures beside their goals: for people, for the documents, for programs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Error,
    database::{Database, Scale},
    pages::millis,
};

/// What a figure is measured against.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// At most so many milliseconds.
    Millis(f64),
    /// At most so many thousand bytes.
    Kilobytes(f64),
    /// At most so many.
    Count(f64),
    /// Nothing; it is good to know.
    None,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Of what.
    pub name: String,
    unit: &'static str,
    samples: usize,
    p50: f64,
    p95: f64,
    max: f64,
    /// What is held against the goal.
    judged: f64,
    goal: Option<f64>,
    note: String,
}

impl Figure {
    /// Times, of which 95 in 100 must reach the goal.
    pub fn millis(name: &str, goal: Goal, times: impl Iterator<Item = Duration>) -> Self {
        let figure = Self::of(name, "ms", goal, times.map(millis).collect());
        Self { judged: figure.p95, ..figure }
    }

    /// Times that all must reach the goal.
    pub fn slowest(name: &str, goal: Goal, times: impl Iterator<Item = Duration>) -> Self {
        Self::of(name, "ms", goal, times.map(millis).collect())
    }

    /// Sizes, all of which must reach the goal.
    #[expect(clippy::cast_precision_loss, reason = "shown in kB")]
    pub fn kilobytes(name: &str, goal: Goal, bytes: impl Iterator<Item = usize>) -> Self {
        Self::of(name, "kB", goal, bytes.map(|b| b as f64 / 1000.0).collect())
    }

    /// A number of things.
    #[expect(clippy::cast_precision_loss, reason = "there are few")]
    pub fn count(name: &str, goal: Goal, many: i64) -> Self {
        Self::of(name, "", goal, vec![many as f64])
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list of samples"
    )]
    fn of(name: &str, unit: &'static str, goal: Goal, mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let last = samples.len().saturating_sub(1);
        let at = |share: f64| samples.get((last as f64 * share).ceil() as usize).copied().unwrap_or(f64::NAN);
        let goal = match goal {
            Goal::Millis(most) | Goal::Kilobytes(most) | Goal::Count(most) => Some(most),
            Goal::None => None,
        };
        let (p50, p95, max) = (at(0.5), at(0.95), at(1.0));
        Self {
            name: name.to_owned(),
            unit,
            samples: samples.len(),
            p50,
            p95,
            max,
            judged: max,
            goal,
            note: String::new(),
        }
    }

    /// The same with a word.
    pub fn note(self, note: &str) -> Self {
        Self { note: note.to_owned(), ..self }
    }

    /// Whether it should have been less. What has no sample has missed.
    pub fn missed(&self) -> bool {
        self.goal.is_some_and(|goal| self.judged.is_nan() || self.judged > goal)
    }

    fn cells(&self) -> [String; 7] {
        let shown = |value: f64| match self.unit {
            "" => format!("{value:.0}"),
            unit if value < 10.0 => format!("{value:.1} {unit}"),
            unit => format!("{value:.0} {unit}"),
        };
        let [p50, p95] =
            [self.p50, self.p95].map(|v| if self.samples < 2 { String::new() } else { shown(v) });
        let (goal, ratio) = match self.goal {
            Some(goal) => (
                shown(goal),
                format!("{:.2}{}", self.judged / goal, if self.missed() { " missed" } else { "" }),
            ),
            None => (String::new(), String::new()),
        };
        [self.name.clone(), p50, p95, shown(self.max), goal, ratio, self.note.clone()]
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "samples": self.samples, "p50": self.p50, "p95": self.p95,
            "max": self.max, "goal": self.goal, "ratio": self.goal.map(|g| self.judged / g),
            "missed": self.missed(), "note": self.note,
        })
    }
}

const HEAD: [&str; 7] = ["what", "p50", "p95", "max", "goal", "of goal", "note"];

/// For a terminal.
pub fn table(figures: &[Figure]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY).set_header(HEAD);
    for figure in figures {
        table.add_row(figure.cells());
    }
    table.to_string()
}

/// Where and on what it was measured.
pub struct About {
    commit: String,
    rows: Vec<(&'static str, String)>,
}

impl About {
    pub async fn of(database: &Database, scale: Scale, tenure: &Path) -> Result<Self, Error> {
        // Binaries lie in a directory named after the profile that they were built with.
        let profile = tenure.parent().and_then(Path::file_name).unwrap_or_default();
        let row = database
            .client
            .query_one(
                "select current_setting('server_version'), pg_size_pretty(pg_database_size(current_database())),
                        (select count(*) from tenure.executions), (select count(*) from tenure.tasks),
                        (select count(*) from tenure.events),
                        (select p.events from tenure.progress($1::text::uuid) p)",
                &[&database.long_run],
            )
            .await?;
        let counted = |place: usize| row.get::<_, i64>(place);
        let commit = said("git", &["describe", "--always", "--dirty"]);
        let rows = vec![
            ("commit", commit.clone()),
            ("machine", machine()),
            (
                "load while measuring",
                first_line("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(", "),
            ),
            ("Rust", said("rustc", &["--version"])),
            ("profile", profile.to_string_lossy().into_owned()),
            (
                "Postgres",
                format!(
                    "{}, Tenure's settings for a laptop (128 MB of shared buffers), without fsync",
                    row.get::<_, String>(0)
                ),
            ),
            (
                "database",
                format!(
                    "{} executions, {} attempts, {} events, {}; seeded in {:.0} s",
                    counted(2),
                    counted(3),
                    counted(4),
                    row.get::<_, String>(1),
                    database.took.as_secs_f32()
                ),
            ),
            ("the long run", format!("{} events", row.get::<_, i32>(5))),
            ("the wide answer", format!("{} MB", scale.output / 1_000_000)),
        ];
        Ok(Self { commit, rows })
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let field = |file: &str, name: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let kilobytes: u64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    format!(
        "{cores} cores ({}), {} GB, Linux {}",
        field("/proc/cpuinfo", "model name"),
        kilobytes / 1_000_000,
        said("uname", &["-r"])
    )
}

fn first_line(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".to_owned(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}

/// The files. Figures of a quick run are for programs only.
pub fn write(about: &About, figures: &[Figure], quick: bool) -> Result<(), Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let json = json!({
        "commit": about.commit,
        "about": about.rows.iter().map(|(name, value)| (*name, value.clone())).collect::<std::collections::BTreeMap<_, _>>(),
        "figures": figures.iter().map(Figure::json).collect::<Vec<_>>(),
    });
    std::fs::create_dir_all(root.join("target"))?;
    std::fs::write(root.join("target/bench-pages.json"), format!("{json:#}\n"))?;
    if !quick {
        std::fs::write(root.join("docs/pages-benchmark.md"), markdown(about, figures))?;
    }
    Ok(())
}

fn markdown(about: &About, figures: &[Figure]) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = format!("{INTRODUCTION}\n| | |\n|---|---|\n");
    for (name, value) in &about.rows {
        text.push_str(&row(&[(*name).to_owned(), value.clone()]));
    }
    text.push_str("\n## Figures\n\n");
    text.push_str(&row(&HEAD.map(str::to_owned)));
    text.push_str("|---|--:|--:|--:|--:|--:|---|\n");
    for figure in figures {
        text.push_str(&row(&figure.cells()));
    }
    text.push_str(EXPLANATION);
    text
}

const INTRODUCTION: &str = "# How fast the pages are

Written by `just bench-pages`; run it on your machine. It starts a Postgres of its own, fills it, starts a server on it and
measures from outside, over HTTP. It ends with 1 when a goal is missed. `just bench-pages --quick` tries all of it on a
small database in a minute.
";

const EXPLANATION: &str = "
## What is measured

- **Pages** are asked for by one client, one request after the other, and by 8 clients at the same time, without
  compression. Times are those of the whole page where nothing else is said. Clients, server and Postgres share the machine.
- **Searches** have no index that helps. Each statement of a page stops after two seconds; the page then shows what it has
  found and says so. The slowest request counts.
- **Live**: workers report tool results while pages are open. Measured from the answer to a worker's report until a page
  has received the part that shows the result, and from the time of the event's row until then. A page of a live run is
  drawn at most ten times a second, so a second report soon after a first one waits.
- **Connections**: the most that the server had open to Postgres while workers reported, with 200 pages open and with none.
";
