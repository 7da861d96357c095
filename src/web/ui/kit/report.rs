//! The same answer for programs and terminals: JSON, CSV and plain text of what a page shows.

use std::fmt::Write as _;

use actix_web::HttpResponse;
use actix_web::http::header;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde_json::{Map, Number, Value};

use super::{Format, Viewer};
use crate::json::{self, Json};
use crate::web::Problem;
use crate::web::ui::shown;

/// One value.
#[derive(Debug, Clone)]
pub enum Cell {
    /// Nothing.
    None,
    /// Stored text.
    Text(String),
    /// A count.
    Int(i64),
    /// A share, a rate.
    Float(f64),
    /// A decimal number, exact.
    Number(String),
    /// A length of time in seconds.
    Secs(f64),
    /// A point in time.
    Time(Timestamp),
    /// Stored JSON.
    Json(Json),
}

impl Cell {
    /// A text that may be missing.
    pub fn text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::None, |t| Self::Text(t.into()))
    }

    /// A time that may be missing.
    pub fn time(at: Option<Timestamp>) -> Self {
        at.map_or(Self::None, Self::Time)
    }

    /// A length of time that may be missing.
    pub fn secs(secs: Option<f64>) -> Self {
        secs.map_or(Self::None, Self::Secs)
    }

    /// A count that may be missing.
    pub fn int(n: Option<i64>) -> Self {
        n.map_or(Self::None, Self::Int)
    }

    fn json(&self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Text(text) => Value::String(text.clone()),
            Self::Int(n) => (*n).into(),
            Self::Float(x) | Self::Secs(x) => Number::from_f64(*x).map_or(Value::Null, Value::Number),
            Self::Number(digits) => digits.parse().map_or(Value::Null, Value::Number),
            Self::Time(at) => Value::String(at.to_string()),
            Self::Json(json) => serde_json::from_str(json.text()).unwrap_or(Value::Null),
        }
    }

    /// For a spreadsheet: exact, and nothing that it would compute.
    fn csv(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Text(text) => harmless(shown::text(text)),
            Self::Json(json) => harmless(shown::text(json.text())),
            Self::Int(n) => n.to_string(),
            Self::Number(digits) => digits.clone(),
            Self::Float(x) | Self::Secs(x) => x.to_string(),
            Self::Time(at) => at.to_string(),
        }
    }

    /// For a terminal: as a page would show it, on one line.
    fn plain(&self, viewer: &Viewer) -> String {
        match self {
            Self::None => String::new(),
            Self::Text(text) => printable(&shown::excerpt(text, 100)),
            Self::Json(json) => printable(&shown::excerpt(json.text(), 100)),
            Self::Int(n) => n.to_string(),
            Self::Number(digits) => digits.clone(),
            Self::Float(x) => format!("{x:.2}"),
            Self::Secs(secs) => shown::duration(*secs),
            Self::Time(at) => viewer.zone.full(*at),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Float(_) | Self::Number(_) | Self::Secs(_))
    }
}

/// Spreadsheets take a text that begins like a formula for one; a quote in front says that it is text.
fn harmless(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

/// A terminal obeys control characters; symbols stand for them.
pub fn printable(text: &str) -> String {
    let symbol = |c: char| if c.is_control() && c != '\n' { '\u{FFFD}' } else { c };
    text.chars().map(symbol).collect()
}

/// Rows of a list.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// What it holds, a key in JSON: `executions`.
    pub name: &'static str,
    /// Keys in JSON, heads of columns elsewhere.
    pub columns: Vec<&'static str>,
    /// One cell per column each.
    pub rows: Vec<Vec<Cell>>,
}

impl Sheet {
    /// An empty list.
    pub fn new(name: &'static str, columns: &[&'static str]) -> Self {
        Self { name, columns: columns.to_vec(), rows: vec![] }
    }

    fn json(&self) -> Value {
        let row = |row: &Vec<Cell>| {
            let pairs = self.columns.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), cell.json()));
            Value::Object(pairs.collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(row).collect())
    }

    fn csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut out = csv::Writer::from_writer(vec![]);
        out.write_record(&self.columns)?;
        for row in &self.rows {
            out.write_record(row.iter().map(Cell::csv))?;
        }
        out.into_inner().map_err(|e| e.into_error().into())
    }

    fn plain(&self, viewer: &Viewer) -> String {
        if self.rows.is_empty() {
            return "(none)".to_owned();
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.columns.iter().map(|c| c.to_uppercase().replace('_', " ")));
        for row in &self.rows {
            table.add_row(row.iter().map(|c| c.plain(viewer)));
        }
        for (n, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if self.rows.iter().any(|row| row.get(n).is_some_and(Cell::is_number)) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }
}

/// What a page shows, for programs.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Names and values at the top.
    pub facts: Vec<(&'static str, Cell)>,
    /// Lists; CSV has the first one only.
    pub sheets: Vec<Sheet>,
    /// Sentences that a reader should know, such as that a search stopped.
    pub notes: Vec<String>,
    /// Address of the next page, path and query as a page would link to it.
    pub next: Option<String>,
}

impl Report {
    /// Of one list.
    pub fn list(sheet: Sheet) -> Self {
        Self { sheets: vec![sheet], ..Self::default() }
    }

    /// The answer in the format that the viewer wants.
    ///
    /// # Errors
    ///
    /// 406 when there is no list and CSV is wanted.
    pub fn answer(&self, viewer: &Viewer) -> Result<HttpResponse, Problem> {
        let mut answer = HttpResponse::Ok();
        answer
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::VARY, "Accept"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        match viewer.format {
            Format::Json => {
                let body = json::restore(&self.json().to_string()).into_owned();
                Ok(answer.content_type("application/json").body(body))
            }
            Format::Csv => {
                let sheet = self
                    .sheets
                    .first()
                    .ok_or_else(|| Problem::new(406, "this page has no list; ask for .json or .txt"))?;
                let body = sheet.csv().map_err(|error| {
                    tracing::error!(%error, "a CSV can't be written");
                    Problem::new(500, "internal error; the server's log has the details")
                })?;
                let name = format!("attachment; filename=\"{}.csv\"", sheet.name);
                answer.insert_header((header::CONTENT_DISPOSITION, name));
                Ok(answer.content_type("text/csv; charset=utf-8").body(body))
            }
            _ => Ok(answer.content_type("text/plain; charset=utf-8").body(self.plain(viewer))),
        }
    }

    fn json(&self) -> Value {
        let mut all: Map<String, Value> =
            self.facts.iter().map(|(name, cell)| ((*name).to_owned(), cell.json())).collect();
        for sheet in &self.sheets {
            all.insert(sheet.name.to_owned(), sheet.json());
        }
        if !self.notes.is_empty() {
            all.insert("notes".to_owned(), self.notes.clone().into());
        }
        let next = self.next.as_ref().map(|next| with_suffix(next, ".json"));
        if !self.sheets.is_empty() || next.is_some() {
            all.insert("next".to_owned(), next.map_or(Value::Null, Value::String));
        }
        Value::Object(all)
    }

    fn plain(&self, viewer: &Viewer) -> String {
        let mut out = String::new();
        let width = self.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, cell) in &self.facts {
            let _ = writeln!(out, "{:width$}  {}", name.replace('_', " "), cell.plain(viewer));
        }
        for sheet in &self.sheets {
            let gap = if out.is_empty() { "" } else { "\n" };
            let _ = writeln!(
                out,
                "{gap}{}\n{}",
                sheet.name.to_uppercase().replace('_', " "),
                sheet.plain(viewer)
            );
        }
        for note in &self.notes {
            let _ = writeln!(out, "\n{}", printable(&shown::text(note)));
        }
        if let Some(next) = &self.next {
            let _ = writeln!(out, "\nMore: {}{next}", viewer.origin);
        }
        out
    }
}

/// An address with a suffix for its format.
fn with_suffix(address: &str, suffix: &str) -> String {
    match address.split_once('?') {
        Some((path, query)) => format!("{path}{suffix}?{query}"),
        None => format!("{address}{suffix}"),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::test::TestRequest;

    use super::*;

    async fn said(path: &str) -> String {
        let mut sheet = Sheet::new("runs", &["id", "said", "took"]);
        sheet.rows.push(vec![Cell::Int(1), Cell::Text("=1+1,\"x\"\u{1b}[31m".into()), Cell::Secs(802.0)]);
        sheet.rows.push(vec![Cell::Int(2), Cell::None, Cell::None]);
        let report = Report {
            facts: vec![("all", Cell::Int(2))],
            next: Some("/runs?before=2".into()),
            ..Report::list(sheet)
        };
        let answer = report.answer(&Viewer::of(&TestRequest::with_uri(path).to_http_request())).unwrap();
        String::from_utf8(to_bytes(answer.into_body()).await.unwrap().to_vec()).unwrap()
    }

    #[actix_web::test]
    async fn one_answer_in_three_formats() {
        let json: Value = serde_json::from_str(&said("/runs.json").await).unwrap();
        assert_eq!(json["runs"][0]["took"], 802.0);
        assert_eq!((&json["runs"][1]["said"], &json["next"]), (&Value::Null, &"/runs.json?before=2".into()));
        assert_eq!(said("/runs.csv").await, "id,said,took\n1,\"'=1+1,\"\"x\"\"\u{1b}[31m\",802\n2,,\n");
        let text = said("/runs.txt").await;
        for part in ["all  2", "RUNS", "ID  SAID", "13m 22s", "More: http://localhost:8080/runs?before=2"] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
        assert!(!text.contains('\u{1b}'), "a terminal would obey it: {text:?}");
    }
}
