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

/// G10: the same load for as long, without and with a snapshot that somebody holds open. Tables grow in both.
pub async fn snapshot(rig: &Rig, scale: Scale, hold: Duration) -> Result<Vec<Figure>, Error> {
    let without = course(rig, scale, hold, false).await?;
    let with = course(rig, scale, hold, true).await?;
    // The last windows together: a checkpoint falls into one of them.
    let end = |of: &[f64]| {
        let last = &of[of.len() - of.len().min(3)..];
        last.iter().sum::<f64>() / f64::from(u32::try_from(last.len()).unwrap_or(1).max(1))
    };
    let told = |of: &[f64]| of.iter().map(|w| format!("{w:.0}")).collect::<Vec<_>>().join(", ");
    let name = format!("throughput at the end of {} s with a snapshot held open", hold.as_secs());
    Ok(vec![
        Figure::new("G10", name, "× without", Goal::AtLeast(0.95), vec![end(&with) / end(&without)]).note(
            format!("steps/s in windows of 10 s with it: {}; without: {}", told(&with), told(&without)),
        ),
        Figure::new("G10", "without", "steps/s", Goal::None, vec![end(&without)]),
    ])
}

/// Steps a second, window by window.
async fn course(rig: &Rig, scale: Scale, hold: Duration, is_held: bool) -> Result<Vec<f64>, Error> {
    rig.forget().await?;
    // Both courses begin with what the log has to be kept for written out.
    rig.db.batch_execute("checkpoint").await?;
    let server = rig.serve().await?;
    let window = if scale.quick { Duration::from_secs(1) } else { Duration::from_secs(10) };
    let load = Plan::ten(door(&server), 64).start();
    tokio::time::sleep(window / 2).await;
    let holder = rig.connect().await?;
    if is_held {
        holder
            .batch_execute("begin isolation level repeatable read; select count(*) from tenure.queues")
            .await?;
    }
    let began = Instant::now();
    let mut windows = vec![];
    while began.elapsed() + window <= hold {
        windows.push(watch(rig, &load, server.pid, window).await?.steps_per_second());
    }
    if is_held {
        holder.batch_execute("rollback").await?;
    }
    load.stop().await?;
    server.stop().await?;
    Ok(windows)
}
