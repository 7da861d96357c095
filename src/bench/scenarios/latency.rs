//! Latency: how many commits' time a step takes when nothing else goes on.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Scale, at, millis};
use crate::bench::floor;
use crate::bench::http::Connection;
use crate::bench::load::start_run;
use crate::bench::report::{Figure, Goal};
use crate::bench::rig::{Agent, CALLS, Server, TOOL};
use crate::bench::{Error, Options, rig::Rig};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    task_id: String,
    workflow_instance_id: String,
}

/// Median and 99th of a hundred in milliseconds, of one commit and of ours in the same round.
struct Round {
    commit: (f64, f64),
    report: f64,
    step: f64,
    start: (f64, f64),
}

/// G7 and G8.
pub async fn measure(rig: &Rig, scale: Scale, options: &Options) -> Result<Vec<Figure>, Error> {
    rig.forget().await?;
    let server = rig.serve().await?;
    let (many, runs) = if scale.quick { (50, 5) } else { (400, 40) };
    alone(&server, 3).await?;
    let mut rounds = vec![];
    for _ in 0..scale.rounds.max(if scale.quick { 1 } else { 5 }) {
        // Commits before and after, so that a disk that changes its mind shows.
        let mut commits = floor::commits(rig, many / 2).await?;
        let (reports, whole, starts) = alone(&server, runs).await?;
        commits.extend(floor::commits(rig, many / 2).await?);
        commits.sort_unstable();
        rounds.push(Round {
            commit: (at(&commits, 0.5), at(&commits, 0.99)),
            report: at(&reports, 0.5),
            step: at(&whole, 0.5) / f64::from(2 * CALLS),
            start: (at(&starts, 0.5), at(&starts, 0.99)),
        });
    }
    server.stop().await?;
    let each = |of: &dyn Fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    let mut figures = vec![Figure::new(
        "floor",
        "one row in one commit, alone, p50",
        "ms",
        Goal::None,
        each(&|r| r.commit.0),
    )];
    if options.wants("G8") {
        figures.push(
            Figure::new(
                "G8",
                "a report until its answer, alone",
                "commits",
                Goal::AtMost(1.1),
                each(&|r| r.report / r.commit.0),
            )
            .note("the server's overhead over the commit that makes it durable"),
        );
        figures.push(
            Figure::new(
                "G8",
                "a step of a run that is alone: model, hand-over, tool, report",
                "commits",
                Goal::AtMost(1.1),
                each(&|r| r.step / r.commit.0),
            )
            .note("from the first tool call of a run to its last report, per step"),
        );
        figures.push(Figure::new("G8", "the same", "ms", Goal::None, each(&|r| r.step)));
    }
    if options.wants("G7") {
        figures.push(
            Figure::new(
                "G7",
                "start of a run until a worker has its first call, less two commits, p50",
                "ms",
                Goal::AtMost(1.0),
                each(&|r| r.start.0 - 2.0 * r.commit.0),
            )
            .note("two commits lie on the way: the run, and the model's answer"),
        );
        figures.push(Figure::new(
            "G7",
            "the same, p99 less two commits' p99",
            "ms",
            Goal::AtMost(5.0),
            each(&|r| r.start.1 - 2.0 * r.commit.1),
        ));
        figures.push(Figure::new(
            "G7",
            "start of a run until a worker has its first call, p50",
            "ms",
            Goal::None,
            each(&|r| r.start.0),
        ));
    }
    Ok(figures)
}

/// Runs one after the other, with one worker that waits for their calls: how long each report took, each run from its
/// first call to its last report, and each start until the worker had the call.
pub async fn alone(
    server: &Server,
    runs: usize,
) -> Result<(Vec<Duration>, Vec<Duration>, Vec<Duration>), Error> {
    let (mut reports, mut whole, mut starts) = (vec![], vec![], vec![]);
    let mut client = Connection::open(server.address).await?;
    let mut worker = Connection::open(server.address).await?;
    let poll = format!("/api/tasks/poll/batch/{TOOL}?workerid=alone&count=1&timeout=5000");
    for _ in 0..runs {
        let asked = async {
            let answer = worker.get(&poll).await?;
            Ok::<_, Error>((answer, Instant::now()))
        };
        let started = async {
            // The poll is there first, as in an idle system.
            tokio::time::sleep(Duration::from_millis(5)).await;
            let began = Instant::now();
            start_run(&mut client, Agent::Ten).await?;
            Ok::<_, Error>(began)
        };
        let (asked, began) = tokio::join!(asked, started);
        let ((answer, got), began) = (asked?, began?);
        starts.push(got.duration_since(began));
        let mut task = serde_json::from_slice::<Vec<Task>>(&answer.body)?.pop();
        let first = Instant::now();
        for call in 1..=CALLS {
            let Some(now) = task.take() else { return Err("a lone run has no call".into()) };
            let body = format!(
                r#"{{"workflowInstanceId":"{}","taskId":"{}","workerId":"alone","status":"COMPLETED","outputData":{{"ok":true}}}}"#,
                now.workflow_instance_id, now.task_id
            );
            let began = Instant::now();
            worker.post("/api/tasks/update-v2", &body).await?;
            reports.push(began.elapsed());
            if call < CALLS {
                task = serde_json::from_slice::<Vec<Task>>(&worker.get(&poll).await?.body)?.pop();
            }
        }
        // From the first call to the last report: 10 reports and the 9 model calls between them.
        whole.push(first.elapsed().mul_f64(f64::from(2 * CALLS) / f64::from(2 * CALLS - 1)));
        // The model's last answer is not waited for by anybody.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for samples in [&mut reports, &mut whole, &mut starts] {
        samples.sort_unstable();
    }
    debug_assert!(millis(whole[0]) > 0.0);
    Ok((reports, whole, starts))
}
