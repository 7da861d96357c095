//! The torture itself: points of every action hold, and what is broken is noticed.

use std::path::Path;

use serde_json::{Value, json};
use tenure::torture::{Judge, sink::Sink};

use crate::harness::{Server, TestDb, agent, calls, says, script, tenure, tools};

/// Plays what these flags name; the certificate, which lies in `report`, too.
fn torture(report: &Path, flags: &[&str]) -> Value {
    let mut command = tenure(&[&["torture", "--json"], flags].concat());
    let done = command.arg("--report").arg(report).output().unwrap();
    let certificate: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{e}: {done:?}"));
    assert!(done.status.success(), "{:#}", certificate["violations"]);
    for file in ["certificate.json", "certificate.md", "certificate.html"] {
        let text = std::fs::read_to_string(report.join(file)).unwrap();
        assert!(text.contains(flags[1]), "{file} does not name the scenario:\n{text}");
    }
    certificate
}

/// Also: a signal is heard once, however its commit ends; nothing is written by a transaction that was not opened.
#[test]
fn a_signal_survives_every_action_at_every_statement() {
    let report = tempfile::tempdir().unwrap();
    let certificate = torture(report.path(), &["--scenario", "signal"]);
    let rows = certificate["sections"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 11, "every action was played: {rows:#?}");
    for row in rows {
        assert!(row["points"].as_u64() > row["unreached"].as_u64(), "{row}");
    }
}

/// A commit that hands a model call over goes through, and nobody hears of it. Also: a certificate grows by parts.
#[test]
fn a_model_call_that_nobody_was_told_of_is_made_all_the_same() {
    let report = tempfile::tempdir().unwrap();
    torture(report.path(), &["--scenario", "signal", "--point", "1", "--action", "drop_after"]);
    for _again in 0..2 {
        let both = torture(report.path(), &["--scenario", "stream", "--action", "drop_after", "--add"]);
        let names: Vec<_> = both["sections"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
        assert_eq!(names, ["signal", "stream"], "one part is added to the other, once");
    }
}

#[tokio::test]
async fn what_is_broken_is_noticed() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let model = script(&[calls(["look"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["look"])), "Look.").await;
    let task = server.take("look").await;
    let sink = Sink::at(&server.directory().join("effects"));
    sink.perform("key", task["taskId"].as_str().unwrap()).unwrap();
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;

    let (db, mut judge) = (database.connect().await, Judge::default());
    let wrong = judge.look(&db, &sink.effects().unwrap()).await.unwrap();
    assert!(wrong.is_empty(), "{wrong:?}");

    sink.perform("key", task["taskId"].as_str().unwrap()).unwrap();
    db.batch_execute("update tenure.results set output = '{\"tampered\": true}' where kind = 'tool'")
        .await
        .unwrap();
    db.batch_execute("delete from tenure.events where seq = 2").await.unwrap();
    let wrong = judge.look(&db, &sink.effects().unwrap()).await.unwrap().join("\n");
    for expected in [
        "broken: Events are numbered from 1 without gaps",
        "had ended, and has changed since",
        "was performed 2 times",
        "although its call had been completed",
    ] {
        assert!(wrong.contains(expected), "{expected} is not in\n{wrong}");
    }
}
