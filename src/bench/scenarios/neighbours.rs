//! What others do to the same database meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::{Scale, at, latency, served, watch};
use crate::bench::Error;
use crate::bench::http::Connection;
use crate::bench::load::{Plan, door};
use crate::bench::report::{Figure, Goal};
use crate::bench::rig::{Agent, Rig, Server};

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
    let runs = if scale.quick { 500 } else { 20_000 };
    let (mut ratios, mut late, mut speeds) = (vec![], vec![], vec![]);
    for _ in 0..scale.rounds.min(2) {
        rig.forget().await?;
        rig.db.batch_execute(&include_str!("../sql/history.sql").replace("$runs", &runs.to_string())).await?;
        rig.db.batch_execute("checkpoint").await?;
        let server = rig.serve().await?;
        let load = Plan::ten(door(&server), 64).start();
        tokio::time::sleep(scale.window / 3).await;
        let before = watch(rig, &load, server.pid, scale.window).await?;
        let began = Instant::now();
        let job = Job::start(&server, "delete", "agent:bench_old", 1000).await?;
        let meanwhile = watch(rig, &load, server.pid, scale.window).await?;
        let done = job.done().await?;
        let took = began.elapsed();
        load.stop().await?;
        server.stop().await?;
        ratios.push(meanwhile.steps_per_second() / before.steps_per_second());
        late.push(at(&meanwhile.acknowledged, 0.99) / at(&before.acknowledged, 0.99));
        speeds.push(f64::from(done) / took.as_secs_f64());
    }
    Ok(vec![
        Figure::new("G15", "throughput while old runs are deleted", "× before", Goal::AtLeast(0.9), ratios)
            .note("a bulk job at its highest rate; each run has 43 events"),
        Figure::new("G15", "reports meanwhile, p99", "× before", Goal::AtMost(2.0), late),
        Figure::new("G15", "runs that were deleted", "runs/s", Goal::None, speeds),
    ])
}

/// G18: one run at a time before and while a bulk job retries runs whose tool is another one.
pub async fn bulk(rig: &Rig, scale: Scale) -> Result<Vec<Figure>, Error> {
    let (many, lone) = if scale.quick { (200, 3) } else { (10_000, 30) };
    let mut figures = vec![];
    for (rate, goal) in [(100, Goal::AtMost(1.2)), (1000, Goal::None)] {
        rig.forget().await?;
        let server = rig.serve().await?;
        start_runs(&server, Agent::Other, many).await?;
        Job::start(&server, "cancel", "agent:bench_other", 1000).await?.done().await?;
        latency::alone(&server, 3).await?;
        let (mut claims, mut reports) = (vec![], vec![]);
        let job = Job::start(&server, "retry", "agent:bench_other status:terminated", rate).await?;
        let mut came = 0;
        for _ in 0..scale.rounds.max(3) {
            let (during, _, first) = latency::alone(&server, lone).await?;
            let now = job.now().await?;
            if now.state != "running" {
                break;
            }
            came = now.done;
            claims.push(first);
            reports.push(during);
        }
        job.cancel().await?;
        // The same afterwards: what was retried waits in its queue, for both.
        let (mut claims_then, mut reports_then) = (vec![], vec![]);
        for _ in 0..claims.len() {
            let (after, _, first) = latency::alone(&server, lone).await?;
            claims_then.push(first);
            reports_then.push(after);
        }
        server.stop().await?;
        let ratios = |during: &[Vec<Duration>], then: &[Vec<Duration>], share: f64| {
            during.iter().zip(then).map(|(d, t)| at(d, share) / at(t, share)).collect::<Vec<_>>()
        };
        let name = |what: &str| format!("{what} beside a bulk retry, {rate} runs a second");
        figures.extend([
            Figure::new(
                "G18",
                name("start until the first call is claimed, p50"),
                "× without",
                goal,
                ratios(&claims, &claims_then, 0.5),
            )
            .note(format!("{came} of {many} runs were retried meanwhile")),
            Figure::new(
                "G18",
                name("the same, p95"),
                "× without",
                Goal::None,
                ratios(&claims, &claims_then, 0.95),
            ),
            Figure::new("G18", name("reports, p50"), "× without", goal, ratios(&reports, &reports_then, 0.5)),
        ]);
    }
    Ok(figures)
}

/// Accept runs, many in a request.
async fn start_runs(server: &Server, agent: Agent, many: usize) -> Result<(), Error> {
    let mut http = Connection::open(server.address).await?;
    let start = format!(r#"{{"agent":"{}","prompt":"Do it."}}"#, agent.name());
    let mut left = many;
    while left > 0 {
        let some = left.min(200);
        left -= some;
        let body = format!(r#"{{"starts":[{}]}}"#, vec![start.clone(); some].join(","));
        let answer = http.post("/api/v1/starts", &body).await?;
        if answer.status != 200 {
            return Err(format!("starts: {}", String::from_utf8_lossy(&answer.body)).into());
        }
    }
    Ok(())
}

/// A bulk job of a server.
struct Job {
    address: SocketAddr,
    id: String,
}

/// How it stands.
#[derive(Deserialize)]
struct Standing {
    id: String,
    state: String,
    done: i32,
}

impl Job {
    async fn start(server: &Server, action: &str, filter: &str, rate: u16) -> Result<Self, Error> {
        let body = json!({ "action": action, "filter": filter, "rate": rate }).to_string();
        let answer = Connection::open(server.address).await?.post("/api/v1/bulk", &body).await?;
        if answer.status != 200 {
            return Err(format!("bulk: {}", String::from_utf8_lossy(&answer.body)).into());
        }
        let Standing { id, .. } = serde_json::from_slice(&answer.body)?;
        Ok(Self { address: server.address, id })
    }

    async fn now(&self) -> Result<Standing, Error> {
        let answer = Connection::open(self.address).await?.get(&format!("/api/v1/bulk/{}", self.id)).await?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Wait for its end; to how many runs it was done.
    async fn done(&self) -> Result<i32, Error> {
        loop {
            let now = self.now().await?;
            if now.state != "running" {
                return Ok(now.done);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn cancel(&self) -> Result<(), Error> {
        let path = format!("/api/v1/bulk/{}/cancel", self.id);
        Connection::open(self.address).await?.post(&path, "{}").await?;
        Ok(())
    }
}
