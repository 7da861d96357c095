//! Which points there are, and lanes that play them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum as _;

use super::judge::Judge;
use super::play::Play;
use super::proxy::{Action, Statement, is_clock};
use super::report::{Section, Violation};
use super::stage::{Lane, Stage};
use super::{Error, Progress, SCENARIOS, Scenario, Tell};

/// Runs are forgotten after so many points, so that judging stays cheap.
const FORGET_AFTER: u32 = 25;
/// Points per scenario of a quick look.
const QUICK: usize = 10;

/// What to play.
#[derive(Clone)]
pub struct Options {
    /// Only these scenarios; all if there are none.
    pub scenarios: Vec<String>,
    /// Only this statement.
    pub point: Option<Place>,
    /// Only this action.
    pub action: Option<Action>,
    /// A few points of each scenario instead of all.
    pub quick: bool,
    /// Chooses the few.
    pub seed: u64,
    /// Lanes.
    pub lanes: usize,
    /// Who hears how it goes.
    pub tell: Tell,
    /// Whether each point is told of.
    pub verbose: bool,
}

/// A statement as the command line names it: by its number from 1, or as in `queue/take#2`, the second time. Names are what
/// stays the same when numbers can't, as where the clock is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// By its number.
    Number(usize),
    /// By its name.
    Statement(Statement),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        let (name, occurrence) = text.rsplit_once('#').unwrap_or((text, "1"));
        let occurrence = occurrence.parse().map_err(|_| format!("'{occurrence}' is no number"))?;
        Ok(Self::Statement(Statement { name: name.to_owned(), occurrence }))
    }
}

impl Options {
    fn scenarios(&self) -> impl Iterator<Item = &'static Scenario> {
        let is_wanted = |s: &&Scenario| self.scenarios.iter().any(|name| name == s.name);
        SCENARIOS.iter().filter(move |s| self.scenarios.is_empty() || is_wanted(s))
    }
}

/// A statement of a scenario, and what happens at it.
#[derive(Clone)]
pub struct Point {
    scenario: &'static Scenario,
    number: usize,
    statement: Statement,
    action: Action,
}

impl Point {
    fn reproduce(&self) -> String {
        let (scenario, action) = (self.scenario.name, self.action.name());
        let Statement { name, occurrence } = &self.statement;
        format!("tenure torture --scenario {scenario} --point '{name}#{occurrence}' --action {action}")
    }
}

/// How one performance went.
struct Played {
    seen: Vec<Statement>,
    fired: bool,
    recovery: Option<Duration>,
    wrong: Vec<String>,
}

/// The statements of each scenario, from a clean run on a server that has just been started.
///
/// # Errors
///
/// A scenario does not even succeed in peace.
pub async fn numbered(
    stage: &Stage,
    options: &Options,
) -> Result<Vec<(&'static Scenario, Vec<Statement>)>, Error> {
    let lanes = open(stage, options).await?;
    let (found, lanes) = number(lanes, options).await?;
    drop(lanes);
    Ok(found)
}

async fn open(stage: &Stage, options: &Options) -> Result<Vec<Lane>, Error> {
    let lanes = (1..=options.lanes.max(1)).map(|number| Lane::open(stage, number));
    futures_util::future::try_join_all(lanes).await
}

type Numbered = Vec<(&'static Scenario, Vec<Statement>)>;

async fn number(lanes: Vec<Lane>, options: &Options) -> Result<(Numbered, Vec<Lane>), Error> {
    let left = Arc::new(Mutex::new(options.scenarios().collect::<VecDeque<_>>()));
    let mut tasks = vec![];
    for mut lane in lanes {
        let left = left.clone();
        tasks.push(tokio::spawn(async move {
            let (mut found, mut judge) = (vec![], Judge::default());
            while let Some(scenario) = next(&left) {
                lane.refresh().await?;
                let played = play(&mut lane, &mut judge, scenario, None).await?;
                if let Some(wrong) = played.wrong.first() {
                    return Err(Error::Scenario(format!(
                        "scenario {} fails in peace: {wrong}",
                        scenario.name
                    )));
                }
                // How often the clock ticks meanwhile is up to the machine.
                let counts = |s: &Statement| s.occurrence == 1 || !is_clock(&s.name);
                found.push((scenario, played.seen.into_iter().filter(counts).collect()));
            }
            Ok((found, lane))
        }));
    }
    let (mut found, mut lanes) = (vec![], vec![]);
    for task in tasks {
        let (some, lane) = task.await.map_err(|error| Error::Stage(error.to_string()))??;
        found.extend(some);
        lanes.push(lane);
    }
    let place = |name| SCENARIOS.iter().position(|s| s.name == name);
    found.sort_by_key(|(scenario, _)| place(scenario.name));
    Ok((found, lanes))
}

fn next<T>(left: &Mutex<VecDeque<T>>) -> Option<T> {
    left.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Play a scenario with something armed, or in peace; what it left behind is judged.
async fn play(
    lane: &mut Lane,
    judge: &mut Judge,
    scenario: &Scenario,
    armed: Option<(Statement, Action)>,
) -> Result<Played, Error> {
    let mut play = Play::new(lane, armed);
    let told = (scenario.tell)(&mut play).await;
    if told.is_err() {
        play.shut().await;
    }
    let (seen, fired) = (std::mem::take(&mut play.seen), play.fired.is_some());
    let (recovery, mut record) = (play.recovery, std::mem::take(&mut play.record));
    drop(play);
    lane.fresh = false;
    match &told {
        Err(error @ (Error::Stuck(_) | Error::NoAnswer(_) | Error::Scenario(_))) => {
            record.wrong.push(error.to_string());
        }
        Err(error) => record.wrong.push(format!("could not be told to its end: {error}")),
        Ok(()) => {}
    }
    lane.revive().await?;
    let mut wrong = record.wrong.clone();
    if told.is_ok() {
        wrong = judge.judge(&lane.db, &lane.sink.effects()?, &record).await?;
    }
    wrong.extend(lane.client.fouls());
    if !wrong.is_empty() {
        // The next point begins with nothing of this one.
        lane.victim.process.kill().await;
        lane.clear().await?;
        judge.forget();
        lane.revive().await?;
    }
    Ok(Played { seen, fired, recovery, wrong })
}

/// Play all points that the options name.
///
/// # Errors
///
/// The stage can't be set, or breaks.
pub async fn exhaust(stage: &Stage, options: &Options) -> Result<(Vec<Section>, Vec<Violation>), Error> {
    (options.tell)(&format!(
        "setting the stage: {} lanes with two servers and three workers each",
        options.lanes
    ));
    let lanes = open(stage, options).await?;
    let (found, lanes) = number(lanes, options).await?;
    let points = points(&found, options);
    if points.is_empty() {
        return Err(Error::Stage("no such scenario or point; --list shows all".into()));
    }
    (options.tell)(&format!("{} scenarios, {} points", found.len(), points.len()));
    let mut sections: BTreeMap<&str, Section> = found
        .iter()
        .map(|(s, statements)| (s.name, Section::of(s.name, s.about, statements.len())))
        .collect();
    let progress = Arc::new(Mutex::new((Progress::new(options.tell.clone(), points.len()), 0)));
    let left = Arc::new(Mutex::new(VecDeque::from(points)));
    let mut tasks = vec![];
    for lane in lanes {
        tasks.push(tokio::spawn(lane_plays(lane, left.clone(), progress.clone(), options.clone())));
    }
    let mut violations = vec![];
    for task in tasks {
        for (point, played) in task.await.map_err(|error| Error::Stage(error.to_string()))?? {
            if let Some(section) = sections.get_mut(point.scenario.name) {
                section.add(point.action.name(), played.fired, !played.wrong.is_empty(), played.recovery);
            }
            if !played.wrong.is_empty() {
                let about =
                    format!("{} at {} ({})", point.action.name(), point.statement.name, point.scenario.name);
                violations.push(Violation { about, wrong: played.wrong, reproduce: point.reproduce() });
            }
        }
    }
    let sections = found.iter().filter_map(|(s, _)| sections.remove(s.name)).collect();
    Ok((sections, violations))
}

type Shared = Arc<Mutex<(Progress, usize)>>;

async fn lane_plays(
    mut lane: Lane,
    left: Arc<Mutex<VecDeque<Point>>>,
    progress: Shared,
    options: Options,
) -> Result<Vec<(Point, Played)>, Error> {
    let (mut judge, mut all, mut since) = (Judge::default(), vec![], 0);
    while let Some(point) = next(&left) {
        since += 1;
        if since > FORGET_AFTER {
            lane.clear().await?;
            judge.forget();
            since = 1;
        }
        let armed = Some((point.statement.clone(), point.action));
        let mut played = play(&mut lane, &mut judge, point.scenario, armed.clone()).await?;
        if !played.fired && played.wrong.is_empty() {
            // Some statements are only sent by a server that has just been started.
            lane.refresh().await?;
            played = play(&mut lane, &mut judge, point.scenario, armed).await?;
        }
        if options.verbose || !played.wrong.is_empty() {
            let took =
                played.recovery.map_or_else(String::new, |r| format!(", recovered in {} ms", r.as_millis()));
            let how = if !played.wrong.is_empty() {
                format!("VIOLATION\n  {}\n  {}", played.wrong.join("\n  "), point.reproduce())
            } else if played.fired {
                format!("held{took}")
            } else {
                "not reached".to_owned()
            };
            let Point { scenario, number, statement, action } = &point;
            (options.tell)(&format!(
                "{} {number} {} {}: {how}",
                scenario.name,
                statement.name,
                action.name()
            ));
        }
        {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.1 += usize::from(!played.wrong.is_empty());
            let violations = progress.1;
            progress.0.one(violations);
        }
        all.push((point, played));
    }
    Ok(all)
}

/// The points that the options name.
fn points(found: &Numbered, options: &Options) -> Vec<Point> {
    let actions: Vec<_> = Action::value_variants()
        .iter()
        .filter(|a| options.action.is_none_or(|wanted| wanted == **a))
        .collect();
    let mut points = vec![];
    for (scenario, statements) in found {
        let mut of_scenario = vec![];
        for (at, statement) in statements.iter().enumerate() {
            let wanted = match &options.point {
                None => true,
                Some(Place::Number(number)) => *number == at + 1,
                Some(Place::Statement(wanted)) => wanted == statement,
            };
            if !wanted {
                continue;
            }
            for action in &actions {
                let statement = statement.clone();
                of_scenario.push(Point { scenario, number: at + 1, statement, action: **action });
            }
        }
        if options.quick {
            of_scenario = a_few(of_scenario, options.seed);
        }
        points.extend(of_scenario);
    }
    points
}

/// Points from all over a scenario, each action at least once where there are enough.
fn a_few(points: Vec<Point>, seed: u64) -> Vec<Point> {
    let many = points.len();
    let chosen: BTreeSet<usize> = (0..QUICK.min(many))
        .map(|nth| {
            // Steps of a fixed share of the whole visit all of it before they come near where they were.
            let at = (seed % 1000) as usize + nth * (many * 89 / 144).max(1);
            at % many
        })
        .collect();
    points.into_iter().enumerate().filter(|(at, _)| chosen.contains(at)).map(|(_, point)| point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_number_or_a_statement() {
        let named =
            |name: &str, occurrence| Place::Statement(Statement { name: name.to_owned(), occurrence });
        assert_eq!("17".parse(), Ok(Place::Number(17)));
        assert_eq!("queue/take".parse(), Ok(named("queue/take", 1)));
        assert_eq!(
            "COMMIT after agents/set_current#2".parse(),
            Ok(named("COMMIT after agents/set_current", 2))
        );
        assert!("queue/take#x".parse::<Place>().is_err());
    }
}
