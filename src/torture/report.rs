//! What was done and what was found: the certificate, for people and for programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use askama::Template;
use serde::{Deserialize, Serialize};

use super::Error;

/// Everything that was done in one go.
#[derive(Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// What ran where.
    pub about: About,
    /// Points by scenario and action, and storms by kind of fault.
    pub sections: Vec<Section>,
    /// What must never happen, and did.
    pub violations: Vec<Violation>,
}

/// What ran where.
#[derive(Debug, Serialize, Deserialize)]
pub struct About {
    /// Version of Tenure, with its commit when it is known.
    pub tenure: String,
    /// Version of Postgres.
    pub postgres: String,
    /// Version of the system.
    pub system: String,
    /// Processors and memory.
    pub machine: String,
    /// What was asked for.
    pub command: String,
    /// What random choices began with.
    pub seed: u64,
    /// Began, as RFC 3339.
    pub began: String,
    /// Took.
    pub took_secs: u64,
}

/// One scenario, or one storm.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// What happens in it.
    pub about: String,
    /// Statements that it consists of; 0 for a storm.
    pub statements: usize,
    /// What went wrong, and how often.
    pub rows: Vec<Row>,
}

/// One action, or one kind of fault.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub what: String,
    /// How often it was played.
    pub points: usize,
    /// How often the fault found nothing to hit.
    pub unreached: usize,
    /// Points with a violation.
    pub violations: usize,
    /// Time from the fault until the scenario was where it wanted to be.
    pub recovery: Recovery,
    /// The times that it is made of, in milliseconds.
    millis: Vec<u64>,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Recovery {
    /// Half of them were quicker.
    pub p50_ms: u64,
    /// All but one in a hundred were.
    pub p99_ms: u64,
    /// The slowest.
    pub max_ms: u64,
}

/// What must never happen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Violation {
    /// At which point.
    pub about: String,
    /// What was found.
    pub wrong: Vec<String>,
    /// The command that shows it again.
    pub reproduce: String,
}

impl Recovery {
    /// Of these times.
    #[must_use]
    pub fn of(millis: &[u64]) -> Self {
        let mut sorted = millis.to_vec();
        sorted.sort_unstable();
        let at =
            |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        let at = |percent| at(percent).unwrap_or_default();
        Self { p50_ms: at(50), p99_ms: at(99), max_ms: at(100) }
    }
}

impl Section {
    /// An empty one.
    #[must_use]
    pub fn of(name: &str, about: &str, statements: usize) -> Self {
        Self { name: name.to_owned(), about: about.to_owned(), statements, rows: vec![] }
    }

    /// One more point was played.
    pub fn add(&mut self, what: &str, reached: bool, is_violation: bool, recovery: Option<Duration>) {
        let at = self.rows.iter().position(|row| row.what == what).unwrap_or_else(|| {
            let what = what.to_owned();
            let (millis, recovery) = (vec![], Recovery::default());
            self.rows.push(Row { what, points: 0, unreached: 0, violations: 0, recovery, millis });
            self.rows.len() - 1
        });
        let row = &mut self.rows[at];
        row.points += 1;
        row.unreached += usize::from(!reached);
        row.violations += usize::from(is_violation);
        if let Some(recovery) = recovery.filter(|_| reached) {
            row.millis.push(u64::try_from(recovery.as_millis()).unwrap_or(u64::MAX));
        }
        row.recovery = Recovery::of(&row.millis);
    }

    fn sum(&self, of: impl Fn(&Row) -> usize) -> usize {
        self.rows.iter().map(of).sum()
    }

    /// Points of all rows.
    #[must_use]
    pub fn points(&self) -> usize {
        self.sum(|row| row.points)
    }

    /// Of all rows, those whose fault found nothing to hit.
    #[must_use]
    pub fn unreached(&self) -> usize {
        self.sum(|row| row.unreached)
    }

    /// Points with a violation of all rows.
    #[must_use]
    pub fn violations(&self) -> usize {
        self.sum(|row| row.violations)
    }

    /// Over all rows.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        Recovery::of(&self.rows.iter().flat_map(|row| row.millis.clone()).collect::<Vec<_>>())
    }
}

impl Certificate {
    /// All points.
    #[must_use]
    pub fn points(&self) -> usize {
        self.sections.iter().map(Section::points).sum()
    }

    /// Recovery by what went wrong, over all sections.
    #[must_use]
    pub fn by_fault(&self) -> Vec<Row> {
        let mut rows: BTreeMap<&str, Section> = BTreeMap::new();
        let mut order = vec![];
        for row in self.sections.iter().flat_map(|section| &section.rows) {
            let section = rows.entry(&row.what).or_insert_with(|| {
                order.push(row.what.as_str());
                Section {
                    rows: vec![Row { points: 0, unreached: 0, violations: 0, millis: vec![], ..row.clone() }],
                    ..Section::of("", "", 0)
                }
            });
            let sum = &mut section.rows[0];
            sum.points += row.points;
            sum.unreached += row.unreached;
            sum.violations += row.violations;
            sum.millis.extend(&row.millis);
            sum.recovery = Recovery::of(&sum.millis);
        }
        order.into_iter().filter_map(|what| rows.remove(what)?.rows.pop()).collect()
    }

    /// What an earlier part of the same work found, which lies in `directory`, goes before this. The same scenario counts
    /// anew.
    ///
    /// # Errors
    ///
    /// There is none, or it was found with another version or on another machine.
    pub fn add_to(&mut self, directory: &Path) -> Result<(), Error> {
        let file = directory.join("certificate.json");
        let cant = |why: String| Error::Stage(format!("can't add to {}: {why}", file.display()));
        let text = std::fs::read(&file).map_err(|e| cant(e.to_string()))?;
        let mut earlier: Self = serde_json::from_slice(&text).map_err(|e| cant(e.to_string()))?;
        let same = |about: &About| {
            [&about.tenure, &about.postgres, &about.system, &about.machine].map(String::clone)
        };
        if same(&earlier.about) != same(&self.about) {
            return Err(cant("it is of another version or machine; leave out --add to begin anew".into()));
        }
        let is_new = |name: &str| self.sections.iter().any(|section| section.name == name);
        let again = |violation: &Violation| {
            let mut words = violation.reproduce.split(' ').skip_while(|word| *word != "--scenario").skip(1);
            words.next().is_some_and(is_new)
        };
        earlier.sections.retain(|section| !is_new(&section.name));
        earlier.violations.retain(|violation| !again(violation));
        self.sections.splice(0..0, earlier.sections);
        self.violations.splice(0..0, earlier.violations);
        self.about.command = format!("{}; {}", earlier.about.command, self.about.command);
        self.about.took_secs += earlier.about.took_secs;
        self.about.began = earlier.about.began;
        Ok(())
    }

    /// Write it down as `certificate.json`, `.md` and `.html`.
    ///
    /// # Errors
    ///
    /// The directory can't be written to.
    pub fn write(&self, directory: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(directory)?;
        let json = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        std::fs::write(directory.join("certificate.json"), json)?;
        let text = Markdown { of: self }.render().map_err(std::io::Error::other)?;
        std::fs::write(directory.join("certificate.md"), text)?;
        let page = Page { of: self }.render().map_err(std::io::Error::other)?;
        std::fs::write(directory.join("certificate.html"), page)?;
        Ok(())
    }
}

#[derive(Template)]
#[template(path = "torture/certificate.md", escape = "none")]
struct Markdown<'a> {
    of: &'a Certificate,
}

#[derive(Template)]
#[template(path = "torture/certificate.html")]
struct Page<'a> {
    of: &'a Certificate,
}
