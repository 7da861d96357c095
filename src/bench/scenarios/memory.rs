//! What the server has in memory when much is going on.

use std::time::Duration;

use super::Scale;
use crate::bench::http::Connection;
use crate::bench::load::start_run;
use crate::bench::report::{Figure, Goal};
use crate::bench::rig::Agent;
use crate::bench::{Error, gauge, rig::Rig};

/// G12: many running executions, connected workers and queued attempts.
pub async fn measure(rig: &Rig, scale: Scale) -> Result<Vec<Figure>, Error> {
    let (executions, workers, queued) =
        if scale.quick { (200, 50, 10_000) } else { (10_000, 1_000, 1_000_000) };
    rig.forget().await?;
    let server = rig.serve().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = gauge::memory(server.pid);
    // Runs whose calls nobody performs: each waits with one attempt in the queue.
    let clients = 16;
    let mut starters = vec![];
    for n in 0..clients {
        let address = server.address;
        starters.push(tokio::spawn(async move {
            let mut http = Connection::open(address).await?;
            for _ in (n..executions).step_by(clients) {
                start_run(&mut http, Agent::Ten).await?;
            }
            Ok::<_, Error>(())
        }));
    }
    for starter in starters {
        starter.await??;
    }
    rig.db.batch_execute(&include_str!("../sql/queued.sql").replace("$rows", &queued.to_string())).await?;
    let mut waiting = vec![];
    for n in 0..workers {
        let mut http = Connection::open(server.address).await?;
        waiting.push(tokio::spawn(async move {
            loop {
                http.get(&format!(
                    "/api/tasks/poll/batch/bench_idle_{}?workerid=w{n}&count=1&timeout=5000",
                    n % 10
                ))
                .await?;
            }
            #[expect(unreachable_code, reason = "says the type of the error")]
            Ok::<(), Error>(())
        }));
    }
    // Several polls of each of them.
    let mut most = 0.0_f64;
    for _ in 0..if scale.quick { 3 } else { 12 } {
        tokio::time::sleep(Duration::from_secs(1)).await;
        most = most.max(gauge::memory(server.pid));
    }
    for waiting in &waiting {
        if waiting.is_finished() {
            return Err("a worker lost its connection".into());
        }
        waiting.abort();
    }
    server.stop().await?;
    Ok(vec![
        Figure::new(
            "G12",
            format!("server, {executions} running executions, {workers} connected workers, {queued} queued"),
            "MB",
            Goal::AtMost(32.0),
            vec![most],
        ),
        Figure::new("G12", "server, idle", "MB", Goal::None, vec![idle]),
    ])
}
