//! Faults that fall at random while clients work, and a judgement after each hundred of them.
//!
//! ```text
//!  clients start and follow runs ───────────────► stop starting ─► all ended ─► judge ─► forget ─┐
//!  faults fall, one after another ──► calm ──────────┘                                           │
//!  ▲                                                                                             │
//!  └───────────────────────────────────── next round ◄──────────────────────────────────────────┘
//! ```
//!
//! 1. Which fault falls on whom after which pause is drawn from the seed alone. When it meets which statement depends on
//!    the machine, so a storm can be called again, but not replayed to the instruction.
//! 2. A round ends with every run ended, or with a violation that names what does not move.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::super::judge::Judge;
use super::super::report::{Section, Violation};
use super::super::{Error, Progress, Tell};
use super::dice::Dice;
use super::faults::Fault;
use super::ground::{Ground, Size};
use super::load::{History, Load, Shape};
use crate::store::judge;

/// What happens in the random one.
pub const ABOUT: &str =
    "three servers, four workers and Postgres in the storm: a fault each eighth of a second";

/// Faults of a round.
const ROUND: usize = 100;
/// Clients.
const CLIENTS: usize = 20;
/// Pause between two faults, in milliseconds.
const PAUSE: (u64, u64) = (60, 180);
/// How long after the last client is content everything may take to have ended.
const SETTLE: Duration = Duration::from_secs(40);
/// Rounds with a violation after which a storm is over.
const ENOUGH: usize = 10;

/// A storm.
pub struct Storm<'a> {
    /// Its name in the report and on the command line.
    pub name: &'a str,
    /// What happens in it.
    pub about: &'a str,
    /// What its runs are like.
    pub shapes: &'a [Shape],
    /// What its choices begin with.
    pub seed: u64,
    /// Who hears how it goes.
    pub tell: Tell,
}

/// What storms have added up to.
#[derive(Debug, Default)]
struct Sum {
    runs: usize,
    failures: u32,
    refused: i64,
    lost: i64,
    rounds: usize,
}

/// Let `points` random faults fall, or as many as there is time for.
///
/// # Errors
///
/// The ground can't be set or kept.
pub async fn random(
    pg_bin: Option<&std::path::Path>,
    points: usize,
    seed: u64,
    until: Instant,
    tell: Tell,
) -> Result<(Section, Vec<Violation>), Error> {
    let mut ground = Ground::set(pg_bin, Size { servers: 3, workers: 4, room: None }).await?;
    let storm = Storm { name: "storm", about: ABOUT, shapes: &Shape::ALL, seed, tell };
    let mut section = Section::of(storm.name, "", 0);
    let (mut violations, mut sum) = (vec![], Sum::default());
    let mut dice = Dice::new(seed);
    let mut progress = Progress::new(storm.tell.clone(), points);
    while section.points() - section.unreached() < points
        && violations.len() < ENOUGH
        && Instant::now() < until
    {
        let left = points - (section.points() - section.unreached());
        let faults: Vec<_> =
            (0..ROUND.min(left)).map(|_| (dice.millis(PAUSE.0, PAUSE.1), Fault::draw(&mut dice))).collect();
        let wrong = storm.round(&mut ground, &faults, &mut section, &mut sum, &mut progress).await?;
        if !wrong.is_empty() {
            violations.push(storm.violation(&sum, wrong, &format!("--random {points} --seed {seed}")));
        }
    }
    section.about = sum.say(storm.about);
    Ok((section, violations))
}

/// Let these faults fall in one round; the violation, if there is one.
///
/// # Errors
///
/// The ground breaks.
pub async fn once(
    storm: &Storm<'_>,
    ground: &mut Ground,
    faults: &[(Duration, Fault)],
) -> Result<(Section, Vec<Violation>), Error> {
    let (mut section, mut sum) = (Section::of(storm.name, "", 0), Sum::default());
    let mut progress = Progress::new(storm.tell.clone(), faults.len());
    let wrong = storm.round(ground, faults, &mut section, &mut sum, &mut progress).await?;
    section.about = sum.say(storm.about);
    let again = format!("--scenario {}", storm.name);
    let violations = if wrong.is_empty() { vec![] } else { vec![storm.violation(&sum, wrong, &again)] };
    Ok((section, violations))
}

impl Sum {
    fn say(&self, about: &str) -> String {
        format!(
            "{about}; {} runs in {} rounds, {} attempts lost with their worker, {} late results refused, \
             {} requests tried again",
            self.runs, self.rounds, self.lost, self.refused, self.failures
        )
    }
}

impl Storm<'_> {
    fn violation(&self, sum: &Sum, wrong: Vec<String>, again: &str) -> Violation {
        let about = format!("round {} of {}", sum.rounds, self.name);
        Violation { about, wrong, reproduce: format!("tenure torture {again}") }
    }

    /// Clients who work on this ground.
    ///
    /// # Errors
    ///
    /// They can't be set up.
    pub fn load(&self, ground: &Ground, of: u64) -> Result<Load, Error> {
        let clients = (0..CLIENTS).map(|n| ground.client(n)).collect::<Result<Vec<_>, _>>()?;
        Load::start(clients, self.shapes, &ground.directory, self.seed ^ (of << 32))
    }

    async fn round(
        &self,
        ground: &mut Ground,
        faults: &[(Duration, Fault)],
        section: &mut Section,
        sum: &mut Sum,
        progress: &mut Progress,
    ) -> Result<Vec<String>, Error> {
        sum.rounds += 1;
        let load = self.load(ground, sum.rounds as u64)?;
        let (mut fallen, mut log, mut wrong) = (vec![], String::new(), vec![]);
        let began = Instant::now();
        for (pause, fault) in faults {
            pass(ground, *pause).await?;
            let reached = match fault.fall(ground).await {
                Ok(reached) => reached,
                Err(Error::Scenario(what)) => {
                    wrong.push(what);
                    true
                }
                Err(error) => return Err(error),
            };
            let _ = writeln!(log, "{:>6} ms  {fault:?} {reached}", began.elapsed().as_millis());
            fallen.push((fault.name(), reached));
            if reached {
                progress.one(section.violations());
            }
        }
        wrong.extend(self.settle(ground, load, sum).await?);
        let last = fallen.len();
        for (nth, (name, reached)) in fallen.into_iter().enumerate() {
            section.add(&name, reached, !wrong.is_empty() && nth + 1 == last, None);
        }
        if !wrong.is_empty() {
            (self.tell)(&format!("VIOLATION in round {}\n  {}\n{log}", sum.rounds, wrong.join("\n  ")));
        }
        Ok(wrong)
    }

    /// Everything calms down and is judged; then all is forgotten.
    ///
    /// # Errors
    ///
    /// The ground breaks.
    async fn settle(&self, ground: &mut Ground, load: Load, sum: &mut Sum) -> Result<Vec<String>, Error> {
        load.stop();
        ground.calm().await?;
        let mut finish = Box::pin(load.finish());
        let history = loop {
            tokio::select! {
                history = &mut finish => break history,
                () = tokio::time::sleep(Duration::from_millis(20)) => ground.supervise()?,
            }
        };
        ground.calm().await?;
        let wrong = judged(ground, &history).await?;
        let (refused, lost) = judge::refused(&ground.connect().await?).await?;
        sum.runs += history.runs.len();
        sum.failures += history.failures;
        sum.refused += refused;
        sum.lost += lost;
        ground.clear().await?;
        Ok(wrong)
    }

    /// The same for who lets faults fall by other means.
    ///
    /// # Errors
    ///
    /// The ground breaks.
    pub async fn judged(
        &self,
        ground: &mut Ground,
        load: Load,
        mut section: Section,
        about: &str,
    ) -> Result<(Section, Vec<Violation>), Error> {
        let mut sum = Sum { rounds: 1, ..Sum::default() };
        let wrong = self.settle(ground, load, &mut sum).await?;
        section.about = sum.say(about);
        let again = format!("--scenario {}", self.name);
        if wrong.is_empty() {
            return Ok((section, vec![]));
        }
        if let Some(row) = section.rows.last_mut() {
            row.violations += 1;
        }
        Ok((section, vec![self.violation(&sum, wrong, &again)]))
    }
}

/// Time goes by, and whatever ends meanwhile is started again.
///
/// # Errors
///
/// The system's.
pub async fn pass(ground: &mut Ground, time: Duration) -> Result<(), Error> {
    let until = Instant::now() + time;
    loop {
        ground.supervise()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(left.min(Duration::from_millis(20))).await;
    }
}

/// What is wrong once nothing is going on any more.
async fn judged(ground: &Ground, history: &History) -> Result<Vec<String>, Error> {
    let db = ground.connect().await?;
    let mut wrong = history.wrong.clone();
    let began = Instant::now();
    let standings = loop {
        let standings = judge::standings(&db).await?;
        let live: Vec<_> = standings.iter().filter(|(_, s)| !s.has_ended()).collect();
        if live.is_empty() {
            break standings;
        }
        if began.elapsed() > SETTLE {
            for (id, standing) in live {
                wrong.push(format!(
                    "execution {id} is {} and does not move: {}",
                    standing.status, standing.waits
                ));
            }
            break standings;
        }
        drop(live);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    wrong.extend(Judge::among_zombies().look(&db, &ground.sink.effects()?).await?);
    for (id, (shape, ends)) in &history.runs {
        match standings.get(id) {
            None => wrong.push(format!("the start of execution {id} was acknowledged, and it is not there")),
            Some(found) if !ends.contains(&found.status.as_str()) => wrong.push(format!(
                "execution {id} ({shape:?}) should be {} and is {}: {}",
                ends.join(" or "),
                found.status,
                found.reason
            )),
            Some(_) => {}
        }
    }
    Ok(wrong)
}
