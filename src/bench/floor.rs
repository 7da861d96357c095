//! The floor: what Postgres does here when nobody decides anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::load::ids;
use super::{Error, rig::Rig};
use crate::id::AttemptId;

/// A state as long as one of ours in the middle of a run.
const STATE: &str = r#"{"status":"running","turn":3,"turn_limit":25,"open":[{"Model":{"turn":3}}],"messages":5,"stop":false,"again":false,"ended":false,"pass":1,"prompt_tokens":1234,"completion_tokens":234}"#;
const INPUT: &str = r#"{"n":3,"last":false,"for":"the order of the day, which is 130 bytes long"}"#;

/// Who performs the floor's steps.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Every row of a step, so many steps in a statement.
    Rows(usize),
    /// Three rows of a step, so many steps in a statement.
    Small(usize),
    /// Each worker on its own connection: claim one in one commit, complete it in another.
    Own,
}

/// Steps per second of `shape` over so many connections.
pub async fn steps(
    rig: &Rig,
    shape: Shape,
    connections: usize,
    output: usize,
    long: Duration,
) -> Result<f64, Error> {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let output = format!(r#"{{"ok":true,"text":"{}"}}"#, "abcdefghij ".repeat(output / 11 + 1));
    let mut tasks = vec![];
    for worker in 0..connections {
        let db = rig.connect().await?;
        let (stop, done, output) = (stop.clone(), done.clone(), output.clone());
        tasks.push(tokio::spawn(async move {
            match shape {
                Shape::Rows(batch) => rows(&db, batch, &output, &stop, &done).await,
                Shape::Small(batch) => small(&db, worker, batch, &stop, &done).await,
                Shape::Own => own(&db, worker, &output, &stop, &done).await,
            }
        }));
    }
    tokio::time::sleep(long / 4).await;
    let (before, began) = (done.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(long).await;
    let (after, took) = (done.load(Ordering::Relaxed), began.elapsed());
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok((after - before) as f64 / took.as_secs_f64())
}

async fn rows(
    db: &tokio_postgres::Client,
    batch: usize,
    output: &str,
    stop: &AtomicBool,
    done: &AtomicU64,
) -> Result<(), Error> {
    let (executions, mut before) = ids(batch);
    let state = crate::json::Json::from_text(STATE.into())?;
    let input = crate::json::Json::from_text(INPUT.into())?;
    let output = crate::json::Json::from_text(output.into())?;
    db.execute(include_str!("sql/step_start.sql"), &[&executions, &before, &Some(1_i64)]).await?;
    let write = db.prepare(include_str!("sql/step.sql")).await?;
    let mut n = 1;
    while !stop.load(Ordering::Relaxed) {
        let after: Vec<AttemptId> = (0..batch).map(|_| AttemptId::new()).collect();
        let numbers = vec![n; batch];
        db.execute(&write, &[&executions, &before, &after, &numbers, &input, &output, &state, &Some(1_i64)])
            .await?;
        done.fetch_add(batch as u64, Ordering::Relaxed);
        before = after;
        n += 1;
    }
    Ok(())
}

async fn small(
    db: &tokio_postgres::Client,
    worker: usize,
    batch: usize,
    stop: &AtomicBool,
    done: &AtomicU64,
) -> Result<(), Error> {
    let write = db.prepare(include_str!("sql/small_step.sql")).await?;
    let mut next = i64::try_from(worker)? << 40;
    let runs: Vec<i64> = (next..).take(batch).collect();
    let mut before = vec![-1_i64; batch];
    let mut n = 1_i32;
    while !stop.load(Ordering::Relaxed) {
        let after: Vec<i64> = (next..).take(batch).collect();
        db.execute(&write, &[&before, &after, &runs, &vec![n; batch]]).await?;
        done.fetch_add(batch as u64, Ordering::Relaxed);
        next += i64::try_from(batch)?;
        before = after;
        n += 1;
    }
    Ok(())
}

async fn own(
    db: &tokio_postgres::Client,
    worker: usize,
    output: &str,
    stop: &AtomicBool,
    done: &AtomicU64,
) -> Result<(), Error> {
    let (executions, attempts) = ids(1);
    let state = crate::json::Json::from_text(STATE.into())?;
    let input = crate::json::Json::from_text(INPUT.into())?;
    let output = crate::json::Json::from_text(output.into())?;
    let nobody: Option<i64> = None;
    db.execute(include_str!("sql/step_start.sql"), &[&executions, &attempts, &nobody]).await?;
    let claim = db.prepare(include_str!("sql/own_claim.sql")).await?;
    let write = db.prepare(include_str!("sql/step.sql")).await?;
    let worker = i64::try_from(worker)?;
    while !stop.load(Ordering::Relaxed) {
        let Some(row) = db.query_opt(&claim, &[&worker]).await? else { continue };
        let (execution, attempt) = (row.get::<_, crate::id::ExecutionId>(0), row.get::<_, AttemptId>(1));
        let number: i32 = row.get(2);
        let arrays = (vec![execution], vec![attempt], vec![AttemptId::new()], vec![number + 1]);
        db.execute(&write, &[&arrays.0, &arrays.1, &arrays.2, &arrays.3, &input, &output, &state, &nobody])
            .await?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// How long one row in one commit takes, over one connection: all samples, shortest first.
pub async fn commits(rig: &Rig, many: usize) -> Result<Vec<Duration>, Error> {
    let db = rig.connect().await?;
    let insert = db.prepare("insert into bench.commits (data) values (repeat('x', 130))").await?;
    let mut took = Vec::with_capacity(many);
    for _ in 0..many {
        let began = Instant::now();
        db.execute(&insert, &[]).await?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    Ok(took)
}
