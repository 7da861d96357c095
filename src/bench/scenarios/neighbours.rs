//! What others do to the same database meanwhile.

use std::time::{Duration, Instant};

use super::{Scale, served, watch};
use crate::bench::load::{Plan, door};
use crate::bench::report::{Figure, Goal};
use crate::bench::{Error, rig::Rig};

/// G16: the same load with one server, and with seven more that listen to what it commits.
pub async fn listeners(rig: &Rig, scale: Scale) -> Result<Vec<Figure>, Error> {
    let more = if scale.quick { 1 } else { 7 };
    let mut ratios = vec![];
    for _ in 0..scale.rounds {
        let alone = served(rig, |server| Plan::ten(door(server), 64), scale.window).await?;
        let mut others = vec![];
        for _ in 0..more {
            others.push(rig.server(&["--only", "web"]).await?);
        }
        let heard = served(rig, |server| Plan::ten(door(server), 64), scale.window).await?;
        for other in others {
            other.stop().await?;
        }
        ratios.push(heard.steps_per_second() / alone.steps_per_second());
    }
    let name = format!("throughput with {more} more servers that listen");
    Ok(vec![
        Figure::new("G16", name, "× alone", Goal::AtLeast(0.9), ratios).note("the others share the machine"),
    ])
}

/// G15: the same load before and while the history of runs that ended long ago is deleted.
pub async fn retention(rig: &Rig, scale: Scale) -> Result<Vec<Figure>, Error> {
    let runs = if scale.quick { 1_000 } else { 20_000 };
    let mut ratios = vec![];
    let mut speeds = vec![];
    for _ in 0..scale.rounds.min(2) {
        rig.forget().await?;
        rig.db.batch_execute(&include_str!("../sql/history.sql").replace("$runs", &runs.to_string())).await?;
        rig.db.batch_execute("checkpoint").await?;
        let server = rig.serve().await?;
        let load = Plan::ten(door(&server), 64).start();
        tokio::time::sleep(scale.window / 3).await;
        let before = watch(rig, &load, server.pid, scale.window).await?;
        let db = rig.connect().await?;
        let deleting = tokio::spawn(async move {
            let began = Instant::now();
            let mut events = 0;
            loop {
                let row = db.query_one(include_str!("../sql/forget_some.sql"), &[&200_i64]).await?;
                let gone: i64 = row.get(0);
                if gone == 0 {
                    return Ok::<_, Error>((events, began.elapsed()));
                }
                events += gone;
                // Room for others, as a task in the background would leave.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let meanwhile = watch(rig, &load, server.pid, scale.window).await?;
        let (events, took) = deleting.await??;
        load.stop().await?;
        server.stop().await?;
        ratios.push(meanwhile.steps_per_second() / before.steps_per_second());
        #[expect(clippy::cast_precision_loss, reason = "millions")]
        speeds.push(events as f64 / took.as_secs_f64());
    }
    Ok(vec![
        Figure::new("G15", "throughput while old runs are deleted", "× before", Goal::AtLeast(0.9), ratios)
            .note("200 runs with 43 events each in one statement, then 20 ms of rest"),
        Figure::new("G15", "events that were deleted meanwhile", "events/s", Goal::None, speeds),
    ])
}
