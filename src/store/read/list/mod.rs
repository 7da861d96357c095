//! Looking through executions, newest first, never for longer than two seconds.
//!
//! ```text
//!   source: ids in their order, by the index that fits ─► what is left of the filter ─► until the page is full,
//!   a chunk at a time, as many as take about 200 ms           the source is dry, or the time is over
//! ```

mod condition;
pub mod facts;
pub mod query;
pub mod views;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_postgres::types::ToSql;

pub(super) use condition::escaped;
pub use condition::{Comparison, Condition, Moment, Now};

use super::super::{Error, GenericClient};
use crate::engine::Status;
use crate::id::ExecutionId;
use crate::json;

const ANY: [&str; 2] =
    [include_str!("../../../../sql/list/any_older.sql"), include_str!("../../../../sql/list/any_newer.sql")];
const BY_AGENT: [&str; 2] = [
    include_str!("../../../../sql/list/agent_older.sql"),
    include_str!("../../../../sql/list/agent_newer.sql"),
];
const BY_SESSION: [&str; 2] = [
    include_str!("../../../../sql/list/session_older.sql"),
    include_str!("../../../../sql/list/session_newer.sql"),
];
const BY_STATUS: [&str; 2] = [
    include_str!("../../../../sql/list/status_older.sql"),
    include_str!("../../../../sql/list/status_newer.sql"),
];

/// How long a statement should take.
const STRIDE: Duration = Duration::from_millis(200);
/// Executions that are looked through first.
const FIRST: usize = 400;
/// Most executions that are looked through at once.
const MOST: usize = 20_000;

/// Where a page lies in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// At the newest.
    #[default]
    Newest,
    /// Right after this one, towards older ones.
    Before(ExecutionId),
    /// Right before this one, towards newer ones.
    After(ExecutionId),
}

/// What a list shows: all conditions hold, each as it is or, when it says `true`, its opposite.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter(pub Vec<(bool, Condition)>);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Newest first, at most as many as were asked for.
    pub ids: Vec<ExecutionId>,
    /// Whether there are more behind them, away from where the page begins.
    pub has_more: bool,
    /// How far it looked when the time was over.
    pub stopped: Option<Stopped>,
}

/// A search that ran out of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Executions that it looked through.
    pub looked: usize,
    /// The last one of them; the search goes on behind it.
    pub at: ExecutionId,
    /// Executions that were too large to be looked through in time.
    pub skipped: usize,
}

/// In which order ids come, and what they have in common.
#[derive(Debug, PartialEq)]
enum Source {
    Any,
    Ids(Vec<ExecutionId>),
    By([&'static str; 2], Vec<String>),
}

/// What remains to be done after a filter was looked at.
#[derive(Debug, PartialEq)]
struct Plan {
    source: Source,
    /// First id and the one behind the last.
    range: (u128, u128),
    /// What the source does not see to, as SQL.
    rest: String,
}

impl Filter {
    /// All of it over `tenure.execution e`, a condition per line.
    #[must_use]
    pub fn sql(&self) -> Vec<String> {
        self.0.iter().map(|(negated, condition)| condition.sql(*negated)).collect()
    }

    /// The statement that shows a page of the list in psql.
    #[must_use]
    pub fn statement(&self, place: Place, limit: usize) -> String {
        let mut conditions = self.sql();
        match place {
            Place::Newest => {}
            Place::Before(id) => conditions.push(format!("e.id < '{id}'")),
            Place::After(id) => conditions.push(format!("e.id > '{id}'")),
        }
        let wheres = match conditions.join("\n   and ") {
            all if all.is_empty() => all,
            all => format!("\n where {all}"),
        };
        let page = |order| {
            format!(
                "select e.id, e.agent, e.status, e.started_at, e.duration, e.turn,\n       \
                 e.prompt_tokens + e.completion_tokens as tokens, e.prompt, e.result\n  \
                 from tenure.execution e{wheres}\n order by e.id{order}\n limit {limit}"
            )
        };
        match place {
            Place::After(_) => format!("select * from (\n{}) page\n order by id desc;", page("")),
            _ => format!("{};", page(" desc")),
        }
    }

    fn positive(&self) -> impl Iterator<Item = &Condition> {
        self.0.iter().filter(|(negated, _)| !negated).map(|(_, condition)| condition)
    }

    /// The statuses that it allows; `None` when it allows all of them.
    fn statuses(&self) -> Option<Vec<Status>> {
        let all = self.positive().filter_map(Condition::statuses);
        all.reduce(|some, others| some.into_iter().filter(|s| others.contains(s)).collect())
    }

    fn names(&self, of: impl Fn(&Condition) -> Option<&Vec<String>>) -> Option<Vec<String>> {
        let mut all = self.positive().filter_map(of);
        let first = all.next()?.clone();
        let both = all.fold(first, |some, others| some.into_iter().filter(|n| others.contains(n)).collect());
        Some(both.iter().map(|name| json::storable_text(name).into_owned()).collect())
    }

    fn plan(&self, now: Timestamp) -> Plan {
        let ids = self.positive().find_map(|c| if let Condition::Id(ids) = c { Some(ids) } else { None });
        let sessions = self.names(|c| if let Condition::Session(ids) = c { Some(ids) } else { None });
        let agents = self.names(|c| if let Condition::Agent(names) = c { Some(names) } else { None });
        let statuses = self.statuses();
        // Most runs end well: an agent's own are fewer than all of those.
        let is_many = |statuses: &Vec<Status>| statuses.contains(&Status::Completed);
        let source = match (ids, sessions, statuses, agents) {
            (Some(ids), ..) => Source::Ids(ids.clone()),
            (_, Some(sessions), ..) => Source::By(BY_SESSION, sessions),
            (_, _, Some(statuses), agents) if agents.is_none() || !is_many(&statuses) => {
                Source::By(BY_STATUS, statuses.iter().map(|s| s.name().to_owned()).collect())
            }
            (_, _, _, Some(agents)) => Source::By(BY_AGENT, agents),
            _ => Source::Any,
        };
        let sees_to = |negated: bool, condition: &Condition| match condition {
            Condition::Since(_) | Condition::Until(_) => !negated,
            Condition::Session(_) => !negated && matches!(source, Source::By(BY_SESSION, _)),
            Condition::Agent(_) => !negated && matches!(source, Source::By(BY_AGENT, _)),
            condition => !negated && condition.is_status() && matches!(source, Source::By(BY_STATUS, _)),
        };
        let rest = self.0.iter().filter(|(negated, condition)| !sees_to(*negated, condition));
        let rest =
            rest.map(|(negated, condition)| condition.sql(*negated)).collect::<Vec<_>>().join("\n   and ");
        let mut range = (0, u128::MAX);
        for condition in self.positive() {
            match condition {
                Condition::Since(time) => {
                    range.0 = range.0.max(ExecutionId::first_at(time.at(now)).as_u128());
                }
                Condition::Until(time) => {
                    range.1 = range.1.min(ExecutionId::first_at(time.at(now)).as_u128());
                }
                _ => {}
            }
        }
        Plan { source, range, rest }
    }
}

/// The executions of a page: up to `limit` that match, in their place. Looks for at most `patience`, and then says how
/// far it got. `now` is what times before now are counted from.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Unavailable`]
pub async fn search(
    db: &mut impl GenericClient,
    filter: &Filter,
    place: Place,
    limit: usize,
    (now, patience): (Timestamp, Duration),
) -> Result<Found, Error> {
    let mut search = Search::new(filter.plan(now), place, limit + 1);
    let deadline = Instant::now() + patience;
    while !search.is_done {
        let left = deadline.saturating_duration_since(Instant::now());
        if left < Duration::from_millis(5) {
            break;
        }
        search.step(db, left).await?;
    }
    let mut ids = search.found;
    let has_more = ids.len() > limit;
    ids.truncate(limit);
    if search.is_newer {
        ids.reverse();
    }
    let at = if search.is_newer { search.range.0.saturating_sub(1) } else { search.range.1 };
    let at = ExecutionId::from_u128(at);
    let stopped = (!search.is_done).then_some(Stopped { looked: search.looked, at, skipped: search.skipped });
    Ok(Found { ids, has_more, stopped })
}

/// A search under way.
struct Search {
    source: Source,
    rest: String,
    /// What was not looked through yet.
    range: (u128, u128),
    is_newer: bool,
    wanted: usize,
    chunk: usize,
    found: Vec<ExecutionId>,
    looked: usize,
    skipped: usize,
    is_done: bool,
}

impl Search {
    fn new(plan: Plan, place: Place, wanted: usize) -> Self {
        let mut range = plan.range;
        match place {
            Place::Newest => {}
            Place::Before(id) => range.1 = range.1.min(id.as_u128()),
            Place::After(id) => range.0 = range.0.max(id.as_u128().saturating_add(1)),
        }
        let chunk = if plan.rest.is_empty() { wanted } else { FIRST.max(wanted) };
        let is_newer = matches!(place, Place::After(_));
        let (source, rest) = (plan.source, plan.rest);
        Self {
            source,
            rest,
            range,
            is_newer,
            wanted,
            chunk,
            found: vec![],
            looked: 0,
            skipped: 0,
            is_done: range.0 >= range.1,
        }
    }

    /// Look through one more chunk, for at most `left`.
    async fn step(&mut self, db: &mut impl GenericClient, left: Duration) -> Result<(), Error> {
        let begin = Instant::now();
        // A single execution may take all the time there is; a chunk must leave some for a smaller one.
        let most = if self.chunk == 1 { left } else { left.min(STRIDE * 3) };
        match self.look(db, most).await {
            Ok((candidates, matching)) => {
                self.take(&candidates, matching);
                let pace = STRIDE.as_secs_f64() / begin.elapsed().as_secs_f64().max(0.001);
                self.chunk = scaled(self.chunk, pace.clamp(0.25, 8.0));
            }
            Err(error) if error.took_too_long() => {
                if self.chunk == 1 && begin.elapsed() + Duration::from_millis(50) >= left {
                    self.skip(db).await?;
                }
                self.chunk = (self.chunk / 20).max(1);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The next candidates and those of them that match.
    async fn look(
        &self,
        db: &mut impl GenericClient,
        patience: Duration,
    ) -> Result<(Vec<ExecutionId>, Vec<ExecutionId>), Error> {
        let candidates = self.candidates(db, self.chunk).await?;
        if self.rest.is_empty() || candidates.is_empty() {
            return Ok((candidates.clone(), candidates));
        }
        let db = db.transaction().await?;
        // The candidates are few: each is looked up by itself, whatever the tables hold.
        let settings = format!(
            "set transaction read only; set local statement_timeout = {}; set local enable_hashjoin = off; \
             set local enable_mergejoin = off; set local enable_seqscan = off; set local jit = off",
            patience.as_millis().max(1)
        );
        db.batch_execute(&settings).await?;
        let order = if self.is_newer { "" } else { " desc" };
        let matching = format!(
            "select e.id\n  from tenure.execution e\n where e.id = any($1)\n   and {}\n order by e.id{order}\n limit {}",
            self.rest,
            self.wanted - self.found.len()
        );
        let rows = db.query(&matching, &[&candidates]).await?;
        db.commit().await?;
        Ok((candidates, rows.iter().map(|row| row.get(0)).collect()))
    }

    /// The next ids of the source, at most `most`.
    async fn candidates(&self, db: &impl GenericClient, most: usize) -> Result<Vec<ExecutionId>, Error> {
        let (from, to) = (ExecutionId::from_u128(self.range.0), ExecutionId::from_u128(self.range.1));
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let (statements, values) = match &self.source {
            Source::Any => (&ANY, None),
            Source::By(statements, values) => (statements, Some(values)),
            Source::Ids(ids) => {
                let mut ids: Vec<_> = ids.iter().filter(|id| (from..to).contains(id)).copied().collect();
                ids.sort_unstable();
                ids.dedup();
                if !self.is_newer {
                    ids.reverse();
                }
                ids.truncate(most);
                return Ok(ids);
            }
        };
        let statement = db.prepare_cached(statements[usize::from(self.is_newer)]).await?;
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&from, &to, &limit];
        parameters.extend(values.map(|values| values as &(dyn ToSql + Sync)));
        Ok(db.query(&statement, &parameters).await?.iter().map(|row| row.get(0)).collect())
    }

    fn take(&mut self, candidates: &[ExecutionId], matching: Vec<ExecutionId>) {
        self.looked += candidates.len();
        self.found.extend(matching);
        self.is_done = self.found.len() >= self.wanted || candidates.len() < self.chunk;
        if let Some(last) = candidates.last() {
            self.pass(*last);
        }
    }

    fn pass(&mut self, id: ExecutionId) {
        if self.is_newer {
            self.range.0 = id.as_u128().saturating_add(1);
        } else {
            self.range.1 = id.as_u128();
        }
    }

    /// Leave out one that can't be looked through in the time of a whole search.
    async fn skip(&mut self, db: &impl GenericClient) -> Result<(), Error> {
        if let Some(id) = self.candidates(db, 1).await?.first().copied() {
            self.looked += 1;
            self.skipped += 1;
            self.pass(id);
        }
        Ok(())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a chunk is a small number, and what scales it is positive"
)]
fn scaled(chunk: usize, by: f64) -> usize {
    ((chunk as f64 * by) as usize).clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn plan(conditions: Vec<Condition>) -> Plan {
        let filter = Filter(conditions.into_iter().map(|c| (false, c)).collect());
        filter.plan("2026-11-21T07:00:00Z".parse().unwrap())
    }

    fn agent() -> Condition {
        Condition::Agent(vec!["a".into()])
    }

    #[test]
    fn what_an_index_serves_needs_no_look() {
        let hour = Condition::Since(Moment::Ago(SignedDuration::from_hours(1)));
        for condition in [
            agent(),
            Condition::Status(vec![Status::Failed, Status::TimedOut]),
            Condition::Is(vec![Now::Ended]),
            Condition::Session(vec!["s".into()]),
        ] {
            let plan = plan(vec![condition, hour.clone()]);
            assert_eq!(plan.rest, "");
            assert_ne!(plan.source, Source::Any);
            let first = ExecutionId::first_at("2026-11-21T06:00:00Z".parse().unwrap());
            assert_eq!(plan.range, (first.as_u128(), u128::MAX));
        }
    }

    #[test]
    fn rare_statuses_come_first_and_common_ones_after_the_agent() {
        let rare = plan(vec![agent(), Condition::Status(vec![Status::Failed])]);
        assert_eq!(
            (rare.source, &*rare.rest),
            (Source::By(BY_STATUS, vec!["failed".into()]), "e.agent = 'a'")
        );
        let common = plan(vec![agent(), Condition::Status(vec![Status::Completed])]);
        assert_eq!(
            (common.source, &*common.rest),
            (Source::By(BY_AGENT, vec!["a".into()]), "e.status = 'completed'")
        );
    }

    #[test]
    fn statuses_that_exclude_each_other_leave_nothing() {
        let plan = plan(vec![Condition::Is(vec![Now::Stuck]), Condition::Status(vec![Status::Failed])]);
        assert_eq!(plan.source, Source::By(BY_STATUS, vec![]));
    }

    #[test]
    fn two_names_for_one_column_are_what_both_allow() {
        let both =
            plan(vec![Condition::Agent(vec!["a".into(), "b".into()]), Condition::Agent(vec!["b".into()])]);
        assert_eq!(both.source, Source::By(BY_AGENT, vec!["b".into()]));
    }
}
