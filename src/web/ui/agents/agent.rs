//! One agent: how its newest runs went, its versions, one definition, and the form that starts a run.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use jiff::Timestamp;
use serde::Deserialize;

use super::definition::{Fact, Meaning};
use super::diff::Diff;
use super::start::Form;
use super::{Moment, address, in_time, share};
use crate::agent::Agent;
use crate::engine::Status;
use crate::id::ExecutionId;
use crate::json;
use crate::store::read::agents::{self, Activity, Definition, Extent};
use crate::store::read::pages::{self, Step};
use crate::web::ui::kit::base::shell;
use crate::web::ui::kit::live::{self, Follow};
use crate::web::ui::kit::{Base, Cell, Copies, Format, Report, Sheet, Statement, Viewer};
use crate::web::ui::money::{self, Spent};
use crate::web::ui::payload::{Payload, size};
use crate::web::ui::{drawn, page, shown, timeline};
use crate::web::wire::start::refusal;
use crate::web::{Problem, State};

/// How much a page reads.
const EXTENT: Extent = Extent { figures: 1000, runs: 20, versions: 100 };
/// Attempts whose time a line shows.
const SHAPE: usize = 60;

/// What the address says.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Wanted {
    /// The version whose definition is shown; the current one unless said.
    #[serde(default)]
    version: String,
    /// `3..4` shows what changed from version 3 to version 4.
    #[serde(default)]
    diff: String,
}

/// What a page is about.
pub struct Found {
    name: String,
    /// Whether nobody can start it any more.
    is_deleted: bool,
    shown: Definition,
    /// What the shown definition means, or why this server can't run it.
    meaning: Result<Meaning, String>,
    model: String,
    /// Why a run can't go anywhere: the model's provider is not configured.
    no_provider: Option<String>,
    activity: Activity,
    too_slow: bool,
    shapes: HashMap<ExecutionId, Vec<Step>>,
    change: Option<Change>,
}

/// What changed between two versions.
struct Change {
    from: i32,
    to: i32,
    diff: Diff,
}

/// `templates/agent.html`
#[derive(Template)]
#[template(path = "agent.html")]
#[expect(clippy::struct_excessive_bools, reason = "what a template asks is yes or no")]
struct AgentPage {
    base: Base,
    address: String,
    name: String,
    mark: shown::Mark,
    facts: Vec<Fact>,
    stats: Vec<Stat>,
    too_slow: bool,
    runs: Vec<Line>,
    all_runs: String,
    versions: Vec<VersionLine>,
    older_versions: bool,
    version: i32,
    is_current: bool,
    is_deleted: bool,
    meaning: Result<Meaning, String>,
    no_provider: Option<String>,
    change: Option<Change>,
    definition: Payload,
    raw: String,
    form: Form,
    command: String,
    deploy: String,
    statements: Vec<Statement>,
    copies: Copies,
}

struct Stat {
    name: &'static str,
    value: String,
    more: String,
}

struct Line {
    id: ExecutionId,
    mark: shown::Mark,
    title: String,
    version: i32,
    now: String,
    shape: Vec<timeline::Bar>,
    took: String,
    turns: String,
    spent: Spent,
    started: Moment,
}

struct VersionLine {
    number: i32,
    address: String,
    is_current: bool,
    is_shown: bool,
    deleted: Option<Moment>,
    deployed: Moment,
    checksum: String,
    runs: String,
    share: String,
    /// Where to see what changed since the version before it.
    changes: Option<String>,
    /// Where to see what changed from it to the current one.
    to_current: Option<String>,
}

/// `GET /agents/{name}`
pub async fn show(
    state: Data<State>,
    name: Path<String>,
    wanted: Query<Wanted>,
    viewer: Viewer,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (name, wanted) = (named(&name, request.path()), wanted.into_inner());
    match viewer.format {
        Format::Live => {
            let draw = move |state: State, viewer: Viewer| {
                let (name, wanted) = (name.clone(), wanted.clone());
                async move {
                    let found = find(&state, &name, &wanted).await?;
                    drawn(&draw(found, Form::default(), &viewer))
                }
            };
            Ok(live::answer(&state, &request, viewer, Follow::Executions, draw))
        }
        Format::Html => {
            let found = find(&state, &name, &wanted).await?;
            page(StatusCode::OK, &viewer, &draw(found, Form::empty(&viewer.name), &viewer))
        }
        _ => report(&find(&state, &name, &wanted).await?).answer(&viewer),
    }
}

/// The page again, with a form that could not be obeyed.
pub async fn again(state: &State, name: &str, form: Form, viewer: Viewer) -> Result<HttpResponse, Problem> {
    let viewer = Viewer { here: address(name), ..viewer };
    let found = find(state, name, &Wanted::default()).await?;
    page(StatusCode::UNPROCESSABLE_ENTITY, &viewer, &draw(found, form, &viewer))
}

/// The name as it is stored, from a part of the path, which may end in a suffix for the format.
pub fn named(part: &str, path: &str) -> String {
    let suffix = [".json", ".csv", ".txt"].into_iter().find(|s| path.ends_with(s)).unwrap_or_default();
    json::storable_text(part.strip_suffix(suffix).unwrap_or(part)).into_owned()
}

async fn find(state: &State, name: &str, wanted: &Wanted) -> Result<Found, Problem> {
    let mut db = state.runtime.pool().get().await?;
    let wants = match wanted.version.trim() {
        "" => None,
        text => Some(text.parse().map_err(|_| no_version(name, text))?),
    };
    let version = async |number: i32| {
        let found = agents::version(&db, name, Some(number)).await?;
        found.ok_or_else(|| no_version(name, &number.to_string()))
    };
    let current = agents::version(&db, name, None).await?.ok_or_else(|| unknown(name))?;
    let is_deleted = current.retired_at.is_some();
    let change = match wanted.diff.trim() {
        "" => None,
        text => {
            let (from, to) = range(text)?;
            let diff = Diff::between(&version(from).await?.definition, &version(to).await?.definition);
            Some(Change { from, to, diff })
        }
    };
    let shown = match wants {
        Some(number) if number != current.version => version(number).await?,
        _ => current,
    };
    let activity = in_time(agents::activity(&mut db, name, EXTENT).await)?;
    let too_slow = activity.is_none();
    let mut activity = activity.unwrap_or_default();
    activity.cost = in_time(agents::cost(&mut db, name, EXTENT.figures).await)?;
    let ids: Vec<_> = activity.runs.iter().map(|r| r.id).collect();
    let mut shapes: HashMap<_, Vec<_>> = HashMap::new();
    for step in pages::shapes(&db, &ids, SHAPE).await? {
        shapes.entry(step.execution).or_default().push(step);
    }
    let agent = Agent::parse(shown.definition.text());
    Ok(Found {
        name: name.to_owned(),
        is_deleted,
        model: agent.as_ref().map(|a| a.model.clone()).unwrap_or_default(),
        no_provider: agent.as_ref().ok().and_then(|a| refusal(state, a)),
        meaning: agent.as_ref().map(Meaning::of).map_err(ToString::to_string),
        shown,
        activity,
        too_slow,
        shapes,
        change,
    })
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(format!(
        "there is no agent '{name}'; deploy it first: tenure agent deploy FILE, or see /agents"
    ))
}

fn no_version(name: &str, version: &str) -> Problem {
    Problem::not_found(format!("agent '{name}' has no version '{version}'; its page lists those that it has"))
}

/// `3..4` as two versions.
fn range(text: &str) -> Result<(i32, i32), Problem> {
    let range = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    range.ok_or_else(|| Problem::new(400, format!("diff='{text}' must be two versions, such as 3..4")))
}

fn draw(found: Found, form: Form, viewer: &Viewer) -> AgentPage {
    let Found { name, shown: definition, .. } = &found;
    let path = address(name);
    let is_deleted = found.is_deleted;
    let is_current = definition.version == definition.current;
    let flag = viewer.server_flag();
    let statements: Vec<_> = agents::statements(name, definition.version, EXTENT)
        .into_iter()
        .map(|(about, sql)| Statement::new(about, sql))
        .collect();
    let word = shell(&json::readable(name));
    let command = format!("tenure agent run --name {word} \"What should it do?\"{flag}");
    AgentPage {
        base: Base::live(viewer, "agents", viewer.here.clone()),
        name: shown::excerpt(name, 120),
        mark: mark(&found),
        facts: facts(&found, viewer),
        stats: stats(&found.activity, viewer),
        too_slow: found.too_slow,
        runs: found.activity.runs.iter().map(|r| line(r, &found.shapes, viewer)).collect(),
        all_runs: all_runs(name),
        versions: versions(&found, &path, viewer),
        older_versions: found.activity.versions.last().is_some_and(|v| v.version > 1),
        version: definition.version,
        is_current,
        is_deleted,
        definition: Payload::of(&definition.definition),
        raw: format!("{path}.json?version={}", definition.version),
        copies: Copies::curl(viewer, true)
            .and("command line", command.clone())
            .and("its definition", format!("tenure agent get {word}{flag}"))
            .and("SQL", statements[0].sql.clone()),
        statements,
        command,
        deploy: format!("tenure agent deploy agent.yaml{flag}"),
        form,
        address: path,
        meaning: found.meaning,
        no_provider: found.no_provider,
        change: found.change,
    }
}

fn mark(found: &Found) -> shown::Mark {
    let mark = |class, icon, word| shown::Mark { class, icon, word };
    if found.is_deleted {
        mark("idle", "x", "Deleted")
    } else if found.shown.retired_at.is_some() {
        mark("idle", "x", "Deleted version")
    } else if found.meaning.is_err() {
        mark("fail", "alert", "Can't run here")
    } else if found.no_provider.is_some() {
        mark("warn", "alert", "Model not configured")
    } else if found.shown.version == found.shown.current {
        mark("ok", "check", "Deployed")
    } else {
        mark("idle", "clock", "Older version")
    }
}

fn facts(found: &Found, viewer: &Viewer) -> Vec<Fact> {
    let (shown, zone) = (&found.shown, &viewer.zone);
    let fact = |name, value: String| Fact { name, value };
    let mut facts = vec![fact("Version", shown.version.to_string())];
    if shown.version != shown.current {
        facts.push(fact("Current", shown.current.to_string()));
    }
    if !found.model.is_empty() {
        facts.push(fact("Model", shown::excerpt(&found.model, 120)));
    }
    facts.push(fact("Deployed", zone.at(shown.created_at, viewer.now)));
    facts.extend(shown.retired_at.map(|at| fact("Deleted", zone.at(at, viewer.now))));
    facts.push(fact("Definition", size(shown.definition.text().len())));
    facts
}

fn stats(activity: &Activity, viewer: &Viewer) -> Vec<Stat> {
    let f = &activity.figures;
    let or_dash = |text: String| if text.is_empty() { "–".to_owned() } else { text };
    let secs = |secs: Option<f64>| or_dash(secs.map(shown::duration).unwrap_or_default());
    let stat = |name, value, more| Stat { name, value, more };
    let last = f.last_run.map_or("never".to_owned(), |at| viewer.zone.at(at, viewer.now));
    let most = i64::from(EXTENT.figures);
    vec![
        stat("Running now", f.live.to_string(), if f.live < 1000 { String::new() } else { "or more".into() }),
        stat(
            "Completed",
            or_dash(share(f.completed, f.ended)),
            format!("{} of {} that ended", f.completed, f.ended),
        ),
        stat("Took, median", secs(f.median_secs), format!("p95 {}", secs(f.p95_secs))),
        stat(
            "Tokens, median",
            or_dash(activity.median_tokens.map(shown::count).unwrap_or_default()),
            format!("{} in all", shown::count(f.tokens)),
        ),
        spent(activity),
        stat(
            "Turns, median",
            or_dash(activity.median_turns.map(|n| n.to_string()).unwrap_or_default()),
            String::new(),
        ),
        stat(
            "Last run",
            last,
            if f.runs < most { shown::many(f.runs, "run") } else { format!("of the newest {most}") },
        ),
    ]
}

fn spent(activity: &Activity) -> Stat {
    let stat = |value: &str, more| Stat { name: "Spent", value: value.to_owned(), more };
    match &activity.cost {
        None => stat("–", "adding it up took longer than 2 s".to_owned()),
        Some(cost) if cost.sums.is_empty() && cost.unknown > 0 => stat("no price", money::words(cost)),
        Some(cost) if cost.sums.is_empty() => stat("–", String::new()),
        Some(cost) => stat(&money::sum(cost), money::words(cost)),
    }
}

fn line(run: &agents::Run, shapes: &HashMap<ExecutionId, Vec<Step>>, viewer: &Viewer) -> Line {
    let until = run.ended_at.unwrap_or(viewer.now);
    let steps = shapes.get(&run.id).map_or(&[][..], Vec::as_slice);
    let title = run.prompt.as_deref().map(|p| shown::excerpt(p, 160)).filter(|p| !p.is_empty());
    let said =
        |text: &Option<String>| text.as_deref().map(|t| shown::excerpt(t, 240)).filter(|t| !t.is_empty());
    let now = match (&run.waits, run.status) {
        (Some((_, why)), _) => shown::sentence(&shown::excerpt(why, 300)),
        (None, Status::Completed) => said(&run.result).or(said(&run.reason)).unwrap_or_default(),
        (None, Status::Running) => format!("Turn {}", run.turn),
        (None, _) => said(&run.reason).map(|r| shown::sentence(&r)).unwrap_or_default(),
    };
    Line {
        id: run.id,
        mark: shown::status(run.status, run.waits.as_ref().map(|(code, _)| code.as_str())),
        title: title.unwrap_or_else(|| "(no prompt)".to_owned()),
        version: run.version,
        now,
        shape: timeline::shape(steps, run.started_at, until),
        took: shown::duration(shown::secs(run.started_at, until)),
        turns: shown::many(run.turn.into(), "turn"),
        spent: Spent::of(&run.cost, run.tokens),
        started: Moment::of(run.started_at, viewer),
    }
}

fn versions(found: &Found, path: &str, viewer: &Viewer) -> Vec<VersionLine> {
    let all = &found.activity.versions;
    let current = found.shown.current;
    let moment = |at: Timestamp| Moment::of(at, viewer);
    let changes = |from: i32, to: i32| format!("{path}?version={to}&diff={from}..{to}#changes");
    let line = |(n, v): (usize, &agents::Version)| VersionLine {
        number: v.version,
        address: format!("{path}?version={}#definition", v.version),
        is_current: v.version == current && v.retired_at.is_none(),
        is_shown: v.version == found.shown.version,
        deleted: v.retired_at.map(moment),
        deployed: moment(v.created_at),
        checksum: v.checksum.clone(),
        runs: shown::count(v.runs),
        share: if v.runs == 0 { String::new() } else { format!("{} completed", shown::count(v.completed)) },
        changes: all.get(n + 1).map(|before| changes(before.version, v.version)),
        to_current: (v.version != current).then(|| changes(v.version, current)),
    };
    all.iter().enumerate().map(line).collect()
}

/// The address of the list of an agent's executions.
fn all_runs(name: &str) -> String {
    let name = json::readable(name);
    let is_plain =
        name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) && !name.starts_with('-');
    let value = if is_plain {
        name.into_owned()
    } else {
        format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    };
    let query = serde_urlencoded::to_string([("q", format!("agent:{value}"))]).unwrap_or_default();
    format!("/executions?{query}")
}

/// The same for programs.
fn report(found: &Found) -> Report {
    let (shown, f) = (&found.shown, &found.activity.figures);
    let mut runs = Sheet::new(
        "runs",
        &[
            "id",
            "version",
            "status",
            "started_at",
            "took_secs",
            "turns",
            "tokens",
            "prompt",
            "result",
            "reason",
            "cost",
            "currency",
            "unpriced_calls",
        ],
    );
    for run in &found.activity.runs {
        let took = run.ended_at.map(|at| shown::secs(run.started_at, at));
        let mut row = vec![
            Cell::Text(run.id.to_string()),
            Cell::Int(run.version.into()),
            Cell::text(Some(run.status.name())),
            Cell::Time(run.started_at),
            Cell::secs(took),
            Cell::Int(run.turn.into()),
            Cell::Int(run.tokens),
            Cell::text(run.prompt.clone()),
            Cell::text(run.result.clone()),
            Cell::text(run.reason.clone()),
        ];
        row.extend(money::cells(&run.cost));
        runs.rows.push(row);
    }
    let mut versions =
        Sheet::new("versions", &["version", "checksum", "created_at", "deleted_at", "runs", "completed"]);
    for v in &found.activity.versions {
        versions.rows.push(vec![
            Cell::Int(v.version.into()),
            Cell::Text(v.checksum.clone()),
            Cell::Time(v.created_at),
            Cell::time(v.retired_at),
            Cell::Int(v.runs),
            Cell::Int(v.completed),
        ]);
    }
    let mut sheets = vec![runs, versions];
    if let Some(change) = &found.change {
        let mut changes = Sheet::new("changes", &["sign", "line"]);
        let line = |l: &super::diff::Line| vec![Cell::Text(l.sign.to_owned()), Cell::Text(l.text.clone())];
        changes.rows = change.diff.lines.iter().map(line).collect();
        sheets.push(changes);
    }
    let mut notes: Vec<_> = found.meaning.as_ref().err().cloned().into_iter().collect();
    notes.extend(found.no_provider.clone());
    notes
        .extend(found.too_slow.then(|| "the figures took longer than 2 seconds and are left out".to_owned()));
    let [cost, currency, unknown] =
        found.activity.cost.as_ref().map_or([Cell::None, Cell::None, Cell::None], money::cells);
    Report {
        facts: vec![
            ("name", Cell::Text(found.name.clone())),
            ("version", Cell::Int(shown.version.into())),
            ("current", Cell::Int(shown.current.into())),
            ("model", Cell::Text(found.model.clone())),
            ("deployed_at", Cell::Time(shown.created_at)),
            ("deleted_at", Cell::time(shown.retired_at)),
            ("runs", Cell::Int(f.runs)),
            ("live", Cell::Int(f.live)),
            ("ended", Cell::Int(f.ended)),
            ("completed", Cell::Int(f.completed)),
            ("median_secs", Cell::secs(f.median_secs)),
            ("p95_secs", Cell::secs(f.p95_secs)),
            ("tokens", Cell::Int(f.tokens)),
            ("cost", cost),
            ("currency", currency),
            ("unpriced_calls", unknown),
            ("median_tokens", Cell::int(found.activity.median_tokens)),
            ("median_turns", Cell::int(found.activity.median_turns.map(Into::into))),
            ("last_run", Cell::time(f.last_run)),
            ("definition", Cell::Json(shown.definition.clone())),
        ],
        sheets,
        notes,
        next: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_of_the_path_is_no_part_of_the_name() {
        assert_eq!(named("a.json", "/agents/a.json"), "a");
        assert_eq!(named("a.json", "/agents/a%2Ejson"), "a.json");
        assert_eq!(named("a.json.txt", "/agents/a%2Ejson.txt"), "a.json");
    }

    #[test]
    fn the_runs_of_an_agent_are_one_link_away() {
        assert_eq!(all_runs("librarian"), "/executions?q=agent%3Alibrarian");
        assert_eq!(all_runs("a \"b\\"), "/executions?q=agent%3A%22a+%5C%22b%5C%5C%22");
    }

    #[test]
    fn two_versions_make_a_range() {
        assert_eq!(range("3..4").unwrap(), (3, 4));
        for wrong in ["3", "3..", "a..b", "3...4"] {
            assert!(range(wrong).unwrap_err().to_string().contains("such as 3..4"), "{wrong}");
        }
    }
}
