//! `/diff?a=…&b=…`: two runs side by side, with the first difference marked. Also `.json`, `.csv` and `.txt`.

mod compare;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Query};
use askama::Template;
use serde::Deserialize;

use self::compare::{Pair, pairs};
use super::agents::diff::Diff;
use super::kit::{Base, Cell, Copies, Format, Report, Sheet, Statement, Viewer};
use super::{page, shown};
use crate::json::Json;
use crate::store::read::diff::{self, Head, MOST, Step};
use crate::store::read::run;
use crate::web::wire::words;
use crate::web::{Problem, State};

/// Rows that a page shows; programs get all.
const ROWS: usize = 300;
/// Characters of a step's text on the page.
const TEXT: usize = 300;

/// Which runs.
#[derive(Debug, Default, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    a: String,
    #[serde(default)]
    b: String,
}

/// `templates/diff.html`
#[derive(Template)]
#[template(path = "diff.html")]
struct DiffPage {
    base: Base,
    a: String,
    b: String,
    compared: Option<Compared>,
    statements: Vec<Statement>,
    copies: Copies,
}

/// What was found.
struct Compared {
    /// Where they part, in a sentence.
    verdict: String,
    parts: bool,
    facts: Vec<Fact>,
    rows: Vec<Row>,
    /// More rows than are shown.
    more: usize,
    lines: Option<Diff>,
}

struct Fact {
    name: &'static str,
    a: String,
    b: String,
    differs: bool,
}

struct Row {
    place: String,
    icon: &'static str,
    name: String,
    a: Side,
    b: Side,
    is: &'static str,
    ink: &'static str,
    is_first: bool,
}

struct Side {
    given: String,
    came: String,
    address: String,
}

/// `GET /diff`
pub async fn show(
    state: Data<State>,
    wanted: Query<Wanted>,
    viewer: Viewer,
) -> Result<HttpResponse, Problem> {
    let (a, b) = (wanted.a.trim(), wanted.b.trim());
    if a.is_empty() || b.is_empty() {
        if viewer.format != Format::Html {
            return Err(Problem::new(400, "a and b: say which two runs, as in /diff?a=ID&b=ID"));
        }
        let copies = Copies::curl(&viewer, true);
        let base = Base::of(&viewer, "executions");
        let (a, b) = (a.to_owned(), b.to_owned());
        return page(
            StatusCode::OK,
            &viewer,
            &DiffPage { base, a, b, compared: None, statements: vec![], copies },
        );
    }
    let (a, b) = (words::execution_id(a)?, words::execution_id(b)?);
    let mut connection = state.runtime.pool().get().await?;
    let db = run::snapshot(&mut connection).await?;
    let heads = (diff::head(&db, a).await?, diff::head(&db, b).await?);
    let steps = (diff::steps(&db, a).await?, diff::steps(&db, b).await?);
    let over = (heads.0.status.is_terminal(), heads.1.status.is_terminal());
    let pairs = pairs(&steps.0, &steps.1, over);
    if viewer.format != Format::Html {
        return report(&heads, &pairs).answer(&viewer);
    }
    let flag = viewer.server_flag();
    let copies = Copies::curl(&viewer, true).and("CLI", format!("tenure agent diff {a} {b}{flag}"));
    let statements = [("The first run", a), ("The second run", b)]
        .into_iter()
        .flat_map(|(about, id)| diff::printed(id).into_iter().map(move |sql| Statement::new(about, sql)));
    let found = DiffPage {
        base: Base::of(&viewer, "executions"),
        a: a.to_string(),
        b: b.to_string(),
        compared: Some(compared(&heads, &pairs)),
        statements: statements.collect(),
        copies,
    };
    page(StatusCode::OK, &viewer, &found)
}

fn first<'a, 'b>(pairs: &'b [Pair<'a>]) -> Option<&'b Pair<'a>> {
    pairs.iter().find(|pair| pair.is.differs())
}

/// Where they part, in a sentence.
fn verdict(heads: &(Head, Head), pairs: &[Pair<'_>]) -> String {
    match first(pairs) {
        Some(pair) => {
            let step = pair.any();
            let what = match step.kind.as_str() {
                "model" => "the model's answer".to_owned(),
                _ => shown::excerpt(&step.name, 80),
            };
            format!("They part in turn {}, at {what}: {}.", step.turn, pair.is.words())
        }
        None if pairs.iter().all(|p| p.is == compare::Relation::Same) && heads.0.status == heads.1.status => {
            "They are the same, step by step.".to_owned()
        }
        None => "They have not parted so far.".to_owned(),
    }
}

/// What is compared of the runs as a whole.
fn facts(heads: &(Head, Head)) -> Vec<Fact> {
    let fact = |name, of: &dyn Fn(&Head) -> String| {
        let (a, b) = (of(&heads.0), of(&heads.1));
        Fact { name, differs: a != b, a, b }
    };
    let text = |text: &Option<String>| shown::excerpt(text.as_deref().unwrap_or_default(), TEXT);
    vec![
        fact("Agent", &|h| format!("{} v{}", shown::excerpt(&h.agent, 80), h.version)),
        fact("Model", &|h| text(&h.model)),
        fact("Prompt", &|h| text(&h.prompt)),
        fact("Status", &|h| shown::status(h.status, None).word.to_owned()),
        fact("Why it ended", &|h| text(&h.reason)),
        fact("Turns", &|h| h.turns.to_string()),
        fact("Result", &|h| text(&h.result)),
    ]
}

fn compared(heads: &(Head, Head), pairs: &[Pair<'_>]) -> Compared {
    let first_place = pairs.iter().position(|pair| pair.is.differs());
    // The page begins a little before the place where they part.
    let skip = first_place.map_or(0, |at| at.saturating_sub(ROWS / 2)).min(pairs.len().saturating_sub(ROWS));
    let rows = pairs.iter().enumerate().skip(skip).take(ROWS).map(|(n, pair)| {
        let step = pair.any();
        Row {
            place: format!("turn {}", step.turn),
            icon: shown::kind_icon(&step.kind),
            name: shown::excerpt(&step.name, 60),
            a: side(&heads.0, pair.a),
            b: side(&heads.1, pair.b),
            is: pair.is.words(),
            ink: match pair.is {
                compare::Relation::Same => "ok",
                compare::Relation::Open => "idle",
                _ => "fail",
            },
            is_first: first_place == Some(n),
        }
    });
    Compared {
        verdict: verdict(heads, pairs),
        parts: first_place.is_some(),
        facts: facts(heads).into_iter().filter(|f| !(f.a.is_empty() && f.b.is_empty())).collect(),
        rows: rows.collect(),
        more: pairs.len().saturating_sub(ROWS),
        lines: first(pairs).map(lines),
    }
}

fn side(head: &Head, step: Option<&Step>) -> Side {
    let Some(step) = step else {
        return Side { given: String::new(), came: "(not there)".to_owned(), address: String::new() };
    };
    let text =
        |text: &Option<diff::Text>| text.as_ref().map(|t| shown::excerpt(&t.text, TEXT)).unwrap_or_default();
    let came = if step.is_over { text(&step.came) } else { "(not ended)".to_owned() };
    let address = format!("/execution/{}?step={}-{}-{}", head.id, step.kind, step.turn, step.call);
    Side { given: text(&step.given), came, address }
}

/// The two steps where they part, line by line.
fn lines(pair: &Pair<'_>) -> Diff {
    let all = |step: Option<&Step>| {
        let Some(step) = step else { return Json::of(&serde_json::json!({})) };
        let read = |text: &Option<diff::Text>| {
            text.as_ref().map(|t| {
                serde_json::from_str(&t.text).unwrap_or_else(|_| serde_json::Value::String(t.text.clone()))
            })
        };
        Json::of(
            &serde_json::json!({ "name": step.name, "given": read(&step.given), "came": read(&step.came) }),
        )
    };
    Diff::between(&all(pair.a), &all(pair.b))
}

fn report(heads: &(Head, Head), pairs: &[Pair<'_>]) -> Report {
    let mut steps = Sheet::new(
        "steps",
        &["turn", "kind", "call", "name", "is", "given_a", "given_b", "came_a", "came_b"],
    );
    let text = |text: Option<&diff::Text>| Cell::text(text.map(|t| t.text.clone()));
    steps.rows.extend(pairs.iter().map(|pair| {
        let step = pair.any();
        vec![
            Cell::Int(step.turn.into()),
            Cell::Text(step.kind.clone()),
            Cell::Int(step.call.into()),
            Cell::Text(step.name.clone()),
            Cell::Text(pair.is.words().to_owned()),
            text(pair.a.and_then(|s| s.given.as_ref())),
            text(pair.b.and_then(|s| s.given.as_ref())),
            text(pair.a.and_then(|s| s.came.as_ref())),
            text(pair.b.and_then(|s| s.came.as_ref())),
        ]
    }));
    let mut whole = Sheet::new("runs", &["what", "a", "b", "differs"]);
    whole.rows.extend(facts(heads).into_iter().map(|f| {
        let differs = if f.differs { "yes" } else { "no" };
        vec![Cell::Text(f.name.to_owned()), Cell::Text(f.a), Cell::Text(f.b), Cell::Text(differs.to_owned())]
    }));
    let first = first(pairs);
    let mut notes = vec![];
    if i64::try_from(pairs.len()).is_ok_and(|n| n >= MOST) {
        notes.push(format!("Only the first {MOST} steps of each run were compared."));
    }
    Report {
        facts: vec![
            ("a", Cell::Text(heads.0.id.to_string())),
            ("b", Cell::Text(heads.1.id.to_string())),
            ("verdict", Cell::Text(verdict(heads, pairs))),
            ("first_turn", Cell::int(first.map(|p| p.any().turn.into()))),
            ("first_step", Cell::text(first.map(|p| p.any().name.clone()))),
            ("first_is", Cell::text(first.map(|p| p.is.words()))),
        ],
        sheets: vec![steps, whole],
        notes,
        next: None,
    }
}
