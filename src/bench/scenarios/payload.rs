//! Wide results.

use super::{Scale, served};
use crate::bench::floor::{self, Shape};
use crate::bench::load::{Plan, door};
use crate::bench::report::{Figure, Goal};
use crate::bench::{Error, rig::Rig};

/// Bytes of what a call returns.
const OUTPUT: usize = 32 * 1024;

/// G17: calls that return 32 kB beside the same rows written raw.
pub async fn measure(rig: &Rig, scale: Scale) -> Result<Vec<Figure>, Error> {
    let (mut ratios, mut ours, mut floors) = (vec![], vec![], vec![]);
    for _ in 0..scale.rounds {
        rig.forget().await?;
        let floor = floor::steps(rig, Shape::Rows(10), 4, OUTPUT, scale.window).await?;
        let seen = served(rig, |server| Plan { output: OUTPUT, ..Plan::ten(door(server), 64) }, scale.window)
            .await?;
        let calls = seen.calls / seen.used.seconds;
        ratios.push(calls / floor);
        ours.push(calls);
        floors.push(floor);
    }
    Ok(vec![
        Figure::new("G17", "calls that return 32 kB", "× floor", Goal::AtLeast(0.6), ratios)
            .note("of the same rows written raw, ten in a statement over 4 connections; ours also reads each conversation, up to 320 kB, for every model call"),
        Figure::new("G17", "ours", "calls/s", Goal::None, ours),
        Figure::new("G17", "floor", "calls/s", Goal::None, floors),
    ])
}
