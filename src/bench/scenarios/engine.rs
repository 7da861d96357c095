//! Throughput: how much of what Postgres can write is left when it is decided, fenced and answered.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Say, Scale, Seen, at, served, watch};
use crate::bench::floor::{self, Shape};
use crate::bench::load::{Door, Plan, door};
use crate::bench::report::{Figure, Goal};
use crate::bench::{Error, rig::Rig};
use crate::llm::Models;
use crate::perform;
use crate::runtime::{Runtime, Settings};

/// G4 and G5: the batched statements, the workers with connections of their own, and ours through its doors.
pub async fn limits(rig: &Rig, scale: Scale, say: Say<'_>) -> Result<Vec<Figure>, Error> {
    let (mut floors, mut smalls, mut owns) = (vec![], vec![], vec![]);
    let (mut https, mut batches, mut locals) = (vec![], vec![], vec![]);
    let workers = if scale.quick { 32 } else { 256 };
    let long = scale.window;
    for round in 1..=scale.rounds {
        rig.forget().await?;
        floors.push(floor::steps(rig, Shape::Rows(100), 16, 100, long).await?);
        let http = served(rig, |server| Plan::ten(door(server), workers), long).await?;
        rig.forget().await?;
        owns.push(floor::steps(rig, Shape::Own, workers, 100, long).await?);
        let batch =
            |server: &crate::bench::rig::Server| Plan::ten(Door::Batch(server.address, 16), workers * 4);
        let batch = served(rig, batch, long).await?;
        let local = in_process(rig, workers, long).await?;
        rig.forget().await?;
        smalls.push(floor::steps(rig, Shape::Small(100), 16, 100, long).await?);
        say(&format!(
            "  round {round}: floor {:.0}, small floor {:.0}, own connections {:.0}; HTTP {:.0}, batch verbs {:.0}, in-process {:.0} steps/s",
            floors[round - 1],
            smalls[round - 1],
            owns[round - 1],
            http.steps_per_second(),
            batch.steps_per_second(),
            local.steps_per_second(),
        ));
        https.push(http);
        batches.push(batch);
        locals.push(local);
    }
    let ratio = |ours: &[Seen], floor: &[f64]| {
        ours.iter().zip(floor).map(|(o, f)| o.steps_per_second() / f).collect::<Vec<_>>()
    };
    let speed = |ours: &[Seen]| ours.iter().map(Seen::steps_per_second).collect::<Vec<_>>();
    let of_floor = "of the same rows written by array statements of 100 steps over 16 connections";
    Ok(vec![
        Figure::new(
            "G4",
            "HTTP, 256 workers, one report per request",
            "× floor",
            Goal::AtLeast(0.25),
            ratio(&https, &floors),
        )
        .note(of_floor),
        Figure::new(
            "G4",
            "HTTP, batch verbs, 16 connections × 64",
            "× floor",
            Goal::AtLeast(0.4),
            ratio(&batches, &floors),
        )
        .note(of_floor),
        Figure::new("G4", "in-process, 256 workers", "× floor", Goal::AtLeast(0.8), ratio(&locals, &floors))
            .note(of_floor),
        Figure::new(
            "G4",
            "HTTP, against three narrow rows per step",
            "× small floor",
            Goal::None,
            ratio(&https, &smalls),
        )
        .note("a queue without results, tasks, messages and executions"),
        Figure::new(
            "G5",
            "HTTP, 256 workers, against claim and complete on 256 own connections",
            "×",
            Goal::AtLeast(25.0),
            ratio(&https, &owns),
        )
        .note("the same rows, two commits per step"),
        Figure::new("G4", "floor: every row of a step", "steps/s", Goal::None, floors),
        Figure::new("G4", "small floor: three rows of a step", "steps/s", Goal::None, smalls),
        Figure::new("G5", "own connections", "steps/s", Goal::None, owns),
        Figure::new("G4", "HTTP, 256 workers", "steps/s", Goal::None, speed(&https)),
        Figure::new("G4", "batch verbs", "steps/s", Goal::None, speed(&batches)),
        Figure::new("G4", "in-process", "steps/s", Goal::None, speed(&locals)),
        Figure::new(
            "G4",
            "HTTP, 256 workers: report answered after, p50",
            "ms",
            Goal::None,
            https.iter().map(|s| at(&s.acknowledged, 0.5)).collect(),
        ),
        Figure::new(
            "G4",
            "HTTP, 256 workers: report answered after, p99",
            "ms",
            Goal::None,
            https.iter().map(|s| at(&s.acknowledged, 0.99)).collect(),
        ),
    ])
}

/// Ours without HTTP: the runtime and the models in this process.
async fn in_process(rig: &Rig, workers: usize, long: Duration) -> Result<Seen, Error> {
    rig.forget().await?;
    let scripts = rig.scripts.to_string_lossy().into_owned();
    let env = move |name: &str| (name == "TENURE_DEMO_SCRIPT").then(|| scripts.clone());
    let models = std::sync::Arc::new(Models::from_env(&env)?);
    let config = rig.cluster.config();
    let settings = Settings {
        name: crate::id::session_name(),
        model_calls: 1024,
        model_timeout: models.timeout(),
        committers: crate::server::committers(),
        exports: None,
    };
    let stop = CancellationToken::new();
    let (runtime, handed) = Runtime::open(config, settings, stop.clone()).await?;
    let performer = tokio::spawn(perform::run(runtime.clone(), models, handed));
    let version = 1;
    let agent = runtime.agent(crate::bench::rig::Agent::Ten.name(), version).await?;
    let load = Plan::ten(Door::Local(runtime.clone(), agent, version), workers).start();
    tokio::time::sleep(long / 3).await;
    let seen = watch(rig, &load, std::process::id(), long).await;
    load.stop().await?;
    stop.cancel();
    performer.await?;
    runtime.close();
    seen
}

/// Where the time of Postgres and the bytes of its WAL go, from a place in the WAL on.
struct Listed(String);

impl Listed {
    async fn begin(rig: &Rig) -> Result<Self, Error> {
        rig.db
            .batch_execute(
                "create extension if not exists pg_stat_statements; create extension if not exists pg_walinspect;
                 select pg_stat_statements_reset()",
            )
            .await?;
        Ok(Self(rig.db.query_one("select pg_current_wal_insert_lsn()::text", &[]).await?.get(0)))
    }

    async fn end(self, rig: &Rig, say: Say<'_>) -> Result<(), Error> {
        let steps: f64 = rig
            .db
            .query_one(
                "select count(*)::double precision from tenure.results where outcome <> 'withdrawn'",
                &[],
            )
            .await?
            .get(0);
        let until: String = rig.db.query_one("select pg_current_wal_flush_lsn()::text", &[]).await?.get(0);
        say("   of %   µs/step calls/step planning  WAL B/step  statement");
        for row in rig.db.query(include_str!("../sql/statements.sql"), &[&steps]).await? {
            say(row.get(0));
        }
        say("   of %  B/step records/step");
        for row in rig.db.query(include_str!("../sql/wal.sql"), &[&self.0, &until, &steps]).await? {
            say(row.get(0));
        }
        Ok(())
    }
}

/// G1 and G11: runs per second at 64 workers, and what one step takes of everything.
///
/// `list` is told, when it is given, which statements took how much.
pub async fn costs(rig: &Rig, scale: Scale, list: Option<Say<'_>>) -> Result<Vec<Figure>, Error> {
    let mut rounds = vec![];
    for round in 1..=scale.rounds {
        let listed =
            if list.is_some() && round == scale.rounds { Some(Listed::begin(rig).await?) } else { None };
        let seen = served(rig, |server| Plan::ten(door(server), 64), scale.window).await?;
        if let (Some(listed), Some(say)) = (listed, list) {
            listed.end(rig, say).await?;
        }
        rounds.push(seen);
    }
    let each = |of: &dyn Fn(&Seen) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    Ok(vec![
        Figure::new(
            "G1",
            "runs of 10 calls, 64 at the same time",
            "runs/s",
            Goal::None,
            each(&Seen::runs_per_second),
        )
        .note("21 steps each: 10 tool calls over HTTP, 11 model calls"),
        Figure::new("G1", "the same in steps", "steps/s", Goal::None, each(&Seen::steps_per_second)),
        Figure::new(
            "G1",
            "report answered after, p50",
            "ms",
            Goal::None,
            each(&|s| at(&s.acknowledged, 0.5)),
        ),
        Figure::new(
            "G1",
            "report answered after, p99",
            "ms",
            Goal::None,
            each(&|s| at(&s.acknowledged, 0.99)),
        ),
        Figure::new(
            "G11",
            "WAL per step, 64 workers",
            "B",
            Goal::AtMost(500.0),
            each(&|s| s.used.wal / s.steps),
        ),
        Figure::new(
            "G11",
            "fsyncs per step, 64 workers",
            "",
            Goal::AtMost(0.05),
            each(&|s| s.used.syncs / s.steps),
        )
        .note("pg_stat_wal.wal_sync"),
        Figure::new(
            "G11",
            "transactions per step, 64 workers",
            "",
            Goal::AtMost(0.05),
            each(&|s| s.used.commits / s.steps),
        )
        .note("pg_stat_database.xact_commit; counts those that only read"),
        Figure::new(
            "G11",
            "processor time of the server per step",
            "ms",
            Goal::None,
            each(&|s| 1000.0 * s.used.server / s.steps),
        ),
        Figure::new(
            "G11",
            "processor time of Postgres per step",
            "ms",
            Goal::None,
            each(&|s| 1000.0 * s.used.postgres / s.steps),
        ),
    ])
}
