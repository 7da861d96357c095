//! One run that goes on and on: does a turn cost more when many lie behind it?

use std::time::Instant;

use serde::Deserialize;

use super::Scale;
use crate::bench::gauge::{Reading, Used};
use crate::bench::http::Connection;
use crate::bench::load::start_run;
use crate::bench::report::{Figure, Goal};
use crate::bench::rig::{Agent, TOOL};
use crate::bench::{Error, rig::Rig};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    task_id: String,
    workflow_instance_id: String,
}

/// What one run came to.
struct Ran {
    /// The last turns beside those around the tenth: reports, whole turns, bytes of WAL.
    report: f64,
    whole: f64,
    wal: f64,
    /// A turn around the tenth, and one of the last, in milliseconds.
    early: f64,
    late: f64,
}

/// Turn 1,000 beside turn 10: time until a report is answered, time of the whole turn, WAL.
pub async fn measure(rig: &Rig, scale: Scale) -> Result<Vec<Figure>, Error> {
    let turns = if scale.quick { 100 } else { 1_000 };
    let mut all = vec![];
    for _ in 0..scale.rounds {
        all.push(run(rig, turns).await?);
    }
    let each = |of: fn(&Ran) -> f64| all.iter().map(of).collect::<Vec<_>>();
    let ratio = |what: &str, of| {
        let name = format!("turn {turns} beside turn 10: {what}");
        Figure::new("turns", name, "×", Goal::AtMost(1.1), each(of))
    };
    Ok(vec![
        ratio("time until a report is answered", |r| r.report),
        ratio("time of the whole turn", |r| r.whole).note("reads the conversation for the model"),
        ratio("bytes of WAL", |r| r.wal),
        Figure::new("turns", "a turn around turn 10", "ms", Goal::None, each(|r| r.early)),
        Figure::new("turns", format!("a turn around turn {turns}"), "ms", Goal::None, each(|r| r.late)),
    ])
}

async fn run(rig: &Rig, turns: usize) -> Result<Ran, Error> {
    let around = 20;
    rig.forget().await?;
    let server = rig.serve().await?;
    let mut http = Connection::open(server.address).await?;
    let poll = format!("/api/tasks/poll/batch/{TOOL}?workerid=turns&count=1&timeout=5000");
    start_run(&mut http, Agent::Endless).await?;
    let (mut reports, mut wholes) = (vec![], vec![]);
    let mut spans: Vec<Used> = vec![];
    let mut before: Option<Reading> = None;
    for turn in 1..=turns {
        // WAL is read before turns 10 and `turns - 20`, and 20 turns later.
        if turn == 10 || turn == turns - around {
            before = Some(Reading::take(&rig.db, server.pid).await?);
        }
        let began = Instant::now();
        let Some(task) = serde_json::from_slice::<Vec<Task>>(&http.get(&poll).await?.body)?.pop() else {
            return Err("the run stands still".into());
        };
        let body = format!(
            r#"{{"workflowInstanceId":"{}","taskId":"{}","workerId":"turns","status":"COMPLETED","outputData":{{"ok":true,"text":"the answer of this turn, as short as any"}}}}"#,
            task.workflow_instance_id, task.task_id
        );
        let reported = Instant::now();
        http.post("/api/tasks/update-v2", &body).await?;
        reports.push(reported.elapsed());
        wholes.push(began.elapsed());
        if turn == 10 + around || turn == turns {
            let now = Reading::take(&rig.db, server.pid).await?;
            spans.extend(before.take().map(|b| b.until(&now)));
        }
    }
    server.stop().await?;
    let median = |all: &[std::time::Duration], from: usize| {
        let mut some = all[from..from + around].to_vec();
        some.sort_unstable();
        some[around / 2].as_secs_f64()
    };
    let last = turns - around;
    let ratio = |all: &[std::time::Duration]| median(all, last) / median(all, 10);
    Ok(Ran {
        report: ratio(&reports),
        whole: ratio(&wholes),
        wal: spans[1].wal / spans[0].wal,
        early: 1000.0 * median(&wholes, 10),
        late: 1000.0 * median(&wholes, last),
    })
}
