//! Long queues and dead rows: what a claim costs when much waits, and when nothing can be cleaned up.

use std::time::{Duration, Instant};

use super::{Scale, millis, watch};
use crate::bench::load::{Plan, door};
use crate::bench::report::{Figure, Goal};
use crate::bench::{Error, rig::Rig};
use crate::store::queue::{Mark, Slot, claim};

/// Attempts of the queue that are whole; the rest are rows of the queue alone.
const WHOLE: i64 = 2_000;

/// G9: the same claim from a short queue and from a long one, in turns.
pub async fn depth(rig: &Rig, scale: Scale) -> Result<Vec<Figure>, Error> {
    let (short, long, samples) = if scale.quick { (1_000, 100_000, 40) } else { (10_000, 10_000_000, 200) };
    let pair = [("bench_short", short), ("bench_long", long)];
    let mut pools = vec![];
    for (name, rows) in pair {
        let db = rig.database(name).await?;
        db.batch_execute("set synchronous_commit = off").await?;
        db.batch_execute(
            &include_str!("../sql/backlog.sql")
                .replace("$rows", &rows.to_string())
                .replace("$whole", &WHOLE.min(rows).to_string()),
        )
        .await?;
        let mut config = rig.cluster.config().clone();
        config.dbname(name);
        pools.push(config.keyed().pool(1)?);
    }
    rig.db.batch_execute("checkpoint").await?;
    let mut figures = vec![];
    for (many, what) in [(1, "one"), (10, "ten")] {
        let mut ratios = vec![];
        let mut took = [vec![], vec![]];
        for _ in 0..scale.rounds.max(3) {
            let mut round = [Duration::ZERO; 2];
            for (sum, pool) in round.iter_mut().zip(&pools) {
                claims(pool, many, samples / 4).await?;
                *sum = claims(pool, many, samples).await?;
            }
            ratios.push(round[1].as_secs_f64() / round[0].as_secs_f64());
            for (took, sum) in took.iter_mut().zip(round) {
                took.push(millis(sum));
            }
        }
        let [from_short, from_long] = took;
        figures.push(
            Figure::new(
                "G9",
                format!("claiming {what} of {long} ready beside {short} ready"),
                "×",
                Goal::AtMost(1.05),
                ratios,
            )
            .note("time of the claim, without its commit"),
        );
        figures.push(Figure::new("G9", format!("claiming {what} of {short}"), "ms", Goal::None, from_short));
        figures.push(Figure::new("G9", format!("claiming {what} of {long}"), "ms", Goal::None, from_long));
    }
    drop(pools);
    for (name, _) in pair {
        rig.db.batch_execute(&format!("drop database {name} with (force)")).await?;
    }
    Ok(figures)
}

/// The median time of a claim of the server's own, undone each time.
async fn claims(pool: &deadpool_postgres::Pool, many: usize, samples: usize) -> Result<Duration, Error> {
    let mut db = pool.get().await?;
    let slots = vec![Slot { queue: 1, worker: 1, lease_secs: Some(60.0) }; many];
    let mut took = Vec::with_capacity(samples);
    for _ in 0..samples {
        let tx = db.transaction().await?;
        let began = Instant::now();
        let claimed = claim(&tx, &[(1, Mark::default())], &slots).await?;
        took.push(began.elapsed());
        if claimed.len() != many {
            return Err(format!("{} of {many} were claimed", claimed.len()).into());
        }
        tx.rollback().await?;
    }
    took.sort_unstable();
    Ok(took[took.len() / 2])
}

/// G10: the same load before and while somebody holds a snapshot open.
pub async fn snapshot(rig: &Rig, scale: Scale, hold: Duration) -> Result<Vec<Figure>, Error> {
    rig.forget().await?;
    let server = rig.serve().await?;
    let window = if scale.quick { Duration::from_secs(1) } else { Duration::from_secs(10) };
    let load = Plan::ten(door(&server), 64).start();
    tokio::time::sleep(window / 2).await;
    let before = watch(rig, &load, server.pid, window).await?;
    let holder = rig.connect().await?;
    holder.batch_execute("begin isolation level repeatable read; select count(*) from tenure.queues").await?;
    let began = Instant::now();
    let mut windows = vec![];
    while began.elapsed() + window <= hold {
        windows.push(watch(rig, &load, server.pid, window).await?.steps_per_second());
    }
    holder.batch_execute("rollback").await?;
    load.stop().await?;
    server.stop().await?;
    let first = before.steps_per_second();
    let last = windows.last().copied().unwrap_or(f64::NAN);
    let course: Vec<_> = windows.iter().map(|w| format!("{:.2}", w / first)).collect();
    Ok(vec![
        Figure::new(
            "G10",
            format!("throughput after {} s with a snapshot held open", hold.as_secs()),
            "× before",
            Goal::AtLeast(0.95),
            vec![last / first],
        )
        .note(format!("in windows of {} s: {}", window.as_secs(), course.join(", "))),
        Figure::new("G10", "before", "steps/s", Goal::None, vec![first]),
    ])
}
