//! What the pages of agents show: figures over their newest runs, and versions, the deleted ones included.
//!
//! Every function reads at most as many rows as it is told, in at most two seconds.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::{Error, GenericClient};
use super::costs::{self, Cost};
use super::executions::{pattern, status_of};
use super::list::escaped;
use crate::engine::Status;
use crate::id::ExecutionId;
use crate::json::Json;

const FIGURES: &str = include_str!("../../../sql/agents/figures.sql");
const RUNS: &str = include_str!("../../../sql/agents/runs.sql");
const SUMMARIES: &str = include_str!("../../../sql/agents/summaries.sql");
const VERSION: &str = include_str!("../../../sql/agents/version.sql");
const VERSIONS: &str = include_str!("../../../sql/agents/versions.sql");

/// Which agents a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// A text somewhere in the name; `None` matches every name.
    pub name: Option<String>,
    /// Only names after this one.
    pub after: Option<String>,
    /// Those that are deleted, instead of those that can be started.
    pub deleted: bool,
}

impl Filter {
    /// The statement that shows in psql what [`summaries`] finds.
    #[must_use]
    pub fn statement(&self, limit: usize) -> String {
        let mut conditions =
            vec![if self.deleted { "deleted_at is not null" } else { "deleted_at is null" }.to_owned()];
        if let Some(name) = &self.name {
            conditions.push(format!("strpos(lower(name), lower({})) > 0", escaped(name)));
        }
        if let Some(after) = &self.after {
            conditions.push(format!("name > {}", escaped(after)));
        }
        let conditions = conditions.join("\n   and ");
        format!(
            "select name, version, model, tools, runs, live, ended, completed, median_duration, p95_duration, tokens, last_run\n  \
             from tenure.agent_summary\n where {conditions}\n order by name\n limit {limit};"
        )
    }
}

/// The statements that show in psql what [`activity`] and [`version`] find, each with what it shows.
#[must_use]
pub fn statements(name: &str, version: i32, extent: Extent) -> [(&'static str, String); 4] {
    let name = escaped(name);
    let Extent { figures, runs, versions } = extent;
    [
        ("How the newest runs went", format!("select * from tenure.agent_figures({name}, {figures});")),
        (
            "Its newest runs",
            format!(
                "select id, version, status, started_at, duration, turn, prompt_tokens + completion_tokens as tokens, \
                 prompt, result, reason\n  from tenure.execution\n where agent = {name}\n order by id desc\n limit {runs};"
            ),
        ),
        (
            "Its newest versions, and how many of the newest runs ran them",
            format!(
                "select v.version, v.checksum, v.created_at, v.retired_at, count(r.id) as runs,\n       \
                 count(r.id) filter (where r.status = 'completed') as completed\n  \
                 from (select * from tenure.agent_versions where name = {name} order by version desc limit {versions}) v\n  \
                 left join (select id, version, status from tenure.executions where agent = {name} order by id desc limit {figures}) r\n    \
                 on r.version = v.version\n group by v.version, v.checksum, v.created_at, v.retired_at\n order by v.version desc;"
            ),
        ),
        (
            "The definition that is shown",
            format!(
                "select definition from tenure.agent_versions where name = {name} and version = {version};"
            ),
        ),
    ]
}

/// One line of the list of agents.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// The version that starting it runs.
    pub version: i32,
    /// `provider/model` of that version.
    pub model: Option<String>,
    /// Names of its first tools.
    pub tools: Vec<Option<String>>,
    /// How many tools it has.
    pub tool_count: i64,
    /// How its newest runs went.
    pub figures: Figures,
    /// When its current version was first deployed.
    pub version_at: Timestamp,
}

/// How an agent's newest runs went. Times and medians are of the runs that have ended.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// How many runs were looked at.
    pub runs: i64,
    /// Runs of all times that have not ended, counted to 1000.
    pub live: i64,
    /// Runs that have ended.
    pub ended: i64,
    /// Runs that ended well.
    pub completed: i64,
    /// When the newest one started.
    pub last_run: Option<Timestamp>,
    /// Half of them took less, in seconds.
    pub median_secs: Option<f64>,
    /// Nineteen of twenty took less, in seconds.
    pub p95_secs: Option<f64>,
    /// Tokens read and written by all of them.
    pub tokens: i64,
}

impl From<&Row> for Figures {
    fn from(row: &Row) -> Self {
        Self {
            runs: row.get("runs"),
            live: row.get("live"),
            ended: row.get("ended"),
            completed: row.get("completed"),
            last_run: row.get("last_run"),
            median_secs: row.get("median_secs"),
            p95_secs: row.get("p95_secs"),
            tokens: row.get("tokens"),
        }
    }
}

/// One version of an agent as it was deployed.
#[derive(Debug, Clone)]
pub struct Definition {
    /// 1, 2, 3, …
    pub version: i32,
    /// The version that starting the agent runs.
    pub current: i32,
    /// SHA-256 of the definition as sent, in hex.
    pub checksum: String,
    /// The definition as sent.
    pub definition: Json,
    /// When it was first deployed.
    pub created_at: Timestamp,
    /// When it was deleted.
    pub retired_at: Option<Timestamp>,
}

/// One version of an agent, and how much it ran lately.
#[derive(Debug, Clone)]
pub struct Version {
    /// 1, 2, 3, …
    pub version: i32,
    /// SHA-256 of its definition as sent, in hex.
    pub checksum: String,
    /// When it was first deployed.
    pub created_at: Timestamp,
    /// When it was deleted.
    pub retired_at: Option<Timestamp>,
    /// How many of the agent's newest runs ran it.
    pub runs: i64,
    /// How many of those completed.
    pub completed: i64,
}

/// One run of an agent.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its id.
    pub id: ExecutionId,
    /// The agent's version.
    pub version: i32,
    /// Where it stands.
    pub status: Status,
    /// Why it ended without plain completion.
    pub reason: Option<String>,
    /// The beginning of its prompt.
    pub prompt: Option<String>,
    /// The beginning of its result.
    pub result: Option<String>,
    /// Model calls begun.
    pub turn: i32,
    /// Tokens read and written so far.
    pub tokens: i64,
    /// What they cost.
    pub cost: Cost,
    /// When it was accepted.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it waits for most: a kind such as `no_worker`, and the same in words.
    pub waits: Option<(String, String)>,
}

/// Everything about one agent that follows its runs.
#[derive(Debug, Clone, Default)]
pub struct Activity {
    /// How its newest runs went.
    pub figures: Figures,
    /// What its newest runs cost; `None` when adding it up took too long.
    pub cost: Option<Cost>,
    /// Tokens of the run in the middle.
    pub median_tokens: Option<i64>,
    /// Turns of the run in the middle.
    pub median_turns: Option<i32>,
    /// Its newest runs, newest first.
    pub runs: Vec<Run>,
    /// Its newest versions, newest first.
    pub versions: Vec<Version>,
}

/// How much of an agent is read.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Runs that figures are about.
    pub figures: i32,
    /// Runs that are listed.
    pub runs: i64,
    /// Versions that are listed.
    pub versions: i64,
}

/// Up to `limit` agents by name. Takes at most two seconds.
///
/// # Errors
///
/// [`Error::Postgres`] with the code `query_canceled` when two seconds were not enough, [`Error::Unavailable`]
pub async fn summaries(
    db: &mut impl GenericClient,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Summary>, Error> {
    let summaries = db.prepare_cached(SUMMARIES).await?;
    let db = brief(db).await?;
    let name = filter.name.as_deref().map(pattern);
    let found = db.query(&summaries, &[&name, &filter.after, &filter.deleted, &limit]).await?;
    db.commit().await?;
    let summary = |row: &Row| Summary {
        name: row.get("name"),
        version: row.get("version"),
        model: row.get("model"),
        tools: row.get("tools"),
        tool_count: row.get("tool_count"),
        figures: row.into(),
        version_at: row.get("version_at"),
    };
    Ok(found.iter().map(summary).collect())
}

/// How an agent does. Takes at most two seconds for each of four statements.
///
/// # Errors
///
/// [`Error::Postgres`] with the code `query_canceled` when two seconds were not enough, [`Error::Unavailable`]
pub async fn activity(db: &mut impl GenericClient, name: &str, extent: Extent) -> Result<Activity, Error> {
    let (figures, runs, versions) = (
        db.prepare_cached(FIGURES).await?,
        db.prepare_cached(RUNS).await?,
        db.prepare_cached(VERSIONS).await?,
    );
    let db = brief(db).await?;
    let all = db.query_one(&figures, &[&name, &extent.figures]).await?;
    let runs = db.query(&runs, &[&name, &extent.runs]).await?;
    let versions = db.query(&versions, &[&name, &extent.versions, &i64::from(extent.figures)]).await?;
    let mut runs: Vec<_> = runs.iter().map(Run::from).collect();
    let ids: Vec<_> = runs.iter().map(|r| r.id).collect();
    let mut costs = costs::of_runs(&db, &ids).await?;
    for run in &mut runs {
        run.cost = costs.remove(&run.id).unwrap_or_default();
    }
    db.commit().await?;
    Ok(Activity {
        figures: (&all).into(),
        cost: None,
        median_tokens: all.get("median_tokens"),
        median_turns: all.get("median_turns"),
        runs,
        versions: versions.iter().map(Version::from).collect(),
    })
}

impl From<&Row> for Run {
    fn from(row: &Row) -> Self {
        Self {
            id: row.get("id"),
            version: row.get("version"),
            status: status_of(row.get("status")),
            reason: row.get("reason"),
            prompt: row.get("prompt"),
            result: row.get("result"),
            turn: row.get("turn"),
            tokens: row.get("tokens"),
            cost: Cost::default(),
            started_at: row.get("created_at"),
            ended_at: row.get("ended_at"),
            waits: row.get::<_, Option<_>>("code").map(|code| (code, row.get("text"))),
        }
    }
}

impl From<&Row> for Version {
    fn from(row: &Row) -> Self {
        Self {
            version: row.get("version"),
            checksum: row.get("checksum"),
            created_at: row.get("created_at"),
            retired_at: row.get("retired_at"),
            runs: row.get("runs"),
            completed: row.get("completed"),
        }
    }
}

/// What an agent's newest runs cost. Takes at most two seconds.
///
/// # Errors
///
/// [`Error::Postgres`] with the code `query_canceled` when two seconds were not enough, [`Error::Unavailable`]
pub async fn cost(db: &mut impl GenericClient, name: &str, newest: i32) -> Result<Cost, Error> {
    let db = brief(db).await?;
    let cost = costs::of_agent(&db, name, newest.into()).await?;
    db.commit().await?;
    Ok(cost)
}

/// One version of an agent, deleted or not; the current one unless said. `None` when there never was one.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn version(
    db: &impl GenericClient,
    name: &str,
    version: Option<i32>,
) -> Result<Option<Definition>, Error> {
    let get = db.prepare_cached(VERSION).await?;
    Ok(db.query_opt(&get, &[&name, &version]).await?.map(|row| Definition {
        version: row.get("version"),
        current: row.get("current"),
        checksum: row.get("checksum"),
        definition: row.get("definition"),
        created_at: row.get("created_at"),
        retired_at: row.get("retired_at"),
    }))
}

/// A transaction that only reads, whose statements end after two seconds.
async fn brief<C: GenericClient>(db: &mut C) -> Result<Transaction<'_>, Error> {
    let db = db.transaction().await?;
    db.batch_execute("set transaction read only; set local statement_timeout = '2s'").await?;
    Ok(db)
}
