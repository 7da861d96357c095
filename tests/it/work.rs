//! Much at once: each start and each report of one request has a result of its own.

use serde_json::{Value, json};

use crate::harness::{Http, Server, TestDb, agent, calls, says, script, tools};

const UNKNOWN: &str = "01890000-0000-7000-8000-000000000000";

async fn work(http: &Http, reports: Value, count: usize) -> (Vec<String>, Vec<Value>) {
    let body = json!({ "queue": "step", "worker": "w", "count": count, "waitMs": 0, "reports": reports });
    let answer = http.post("/api/v1/work", &body).await.ok();
    let results = answer["results"].as_array().unwrap().iter();
    let attempts = answer["attempts"].as_array().unwrap().clone();
    (results.map(|r| r["result"].as_str().unwrap().to_owned()).collect(), attempts)
}

/// As many runs as there are names, each at a call of its own.
async fn runs<const N: usize>(server: &Server) -> Vec<Value> {
    let stepper = agent("a", &script(&[calls(["step"]), says("done")]), tools(["step"]));
    server.post("/api/agent/deploy", &json!({ "agentConfig": stepper })).await.ok();
    let starts: Vec<_> =
        (0..N).map(|n| json!({ "agent": "a", "prompt": "Go.", "key": format!("k{n}") })).collect();
    let answer = server.post("/api/v1/starts", &json!({ "starts": starts })).await.ok();
    answer["results"].as_array().unwrap().clone()
}

/// Attempts as they come, until there are so many.
async fn take(server: &Server, many: usize) -> Vec<Value> {
    let mut taken = vec![];
    while taken.len() < many {
        let body = json!({ "queue": "step", "worker": "w", "count": many - taken.len(), "waitMs": 5000 });
        let answer = server.post("/api/v1/work", &body).await.ok();
        let attempts = answer["attempts"].as_array().unwrap();
        assert!(!attempts.is_empty(), "{} of {many} came", taken.len());
        taken.extend(attempts.clone());
    }
    taken
}

#[tokio::test]
async fn each_report_of_a_request_has_its_own_result() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let started = runs::<4>(&server).await;
    let taken = take(&server, 4).await;
    let report = |n: usize, more: Value| {
        let mut report = json!({ "execution": taken[n]["execution"], "attempt": taken[n]["attempt"] });
        report.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        report
    };
    let cancelled = taken[1]["execution"].as_str().unwrap();
    server.delete(&format!("/api/agent/{cancelled}/cancel")).await.ok();
    let mut unknown = report(0, json!({}));
    unknown["attempt"] = json!(UNKNOWN);

    let reports = json!([
        report(0, json!({ "output": { "n": 0 } })),
        report(1, json!({ "output": { "n": 1 } })),
        unknown,
        report(2, json!({ "error": "it is closed", "terminal": true })),
        report(3, json!({ "error": "not now" })),
        report(0, json!({ "output": { "n": 0 } })),
    ]);
    let (results, _) = work(&server, reports.clone(), 0).await;
    assert_eq!(results, ["accepted", "too_late", "unknown", "accepted", "accepted", "accepted"]);
    // Said again after a lost answer, it is the same, and changes nothing.
    let (again, _) = work(&server, reports, 0).await;
    assert_eq!(again[0], "accepted");

    let retried = take(&server, 1).await;
    assert_eq!((&retried[0]["execution"], &retried[0]["number"]), (&taken[3]["execution"], &json!(2)));
    let output =
        json!({ "execution": retried[0]["execution"], "attempt": retried[0]["attempt"], "output": {} });
    assert_eq!(work(&server, json!([output]), 0).await.0, ["accepted"]);
    for run in &started {
        let id = run["execution"].as_str().unwrap();
        server.until(id, if id == cancelled { "TERMINATED" } else { "COMPLETED" }).await;
    }
}

#[tokio::test]
async fn reports_bring_the_attempts_that_follow() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let twice = agent("a", &script(&[calls(["step", "step", "step"]), says("done")]), tools(["step"]));
    let id = server.start_run(&twice, "Go.").await;
    let first = take(&server, 1).await;
    let done = json!([{ "execution": first[0]["execution"], "attempt": first[0]["attempt"], "output": {} }]);
    let (results, next) = work(&server, done, 5).await;
    assert_eq!((results.len(), next.len()), (1, 2), "{next:?}");
    let done: Vec<_> =
        next.iter().map(|a| json!({ "execution": a["execution"], "attempt": a["attempt"] })).collect();
    assert_eq!(work(&server, json!(done), 0).await.0, ["accepted", "accepted"]);
    server.until(&id, "COMPLETED").await;
}

#[tokio::test]
async fn each_start_of_a_request_has_its_own_result_and_too_many_are_refused() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let first = runs::<2>(&server).await;
    assert!(first.iter().all(|r| r["isNew"] == true), "{first:?}");
    let starts = json!([
        { "agent": "a", "prompt": "Go.", "key": "k1" },
        { "agent": "nobody", "prompt": "Go." },
        { "agent": "a", "version": 7, "prompt": "Go." },
        { "agent": "a", "prompt": "Go." },
    ]);
    let answer = server.post("/api/v1/starts", &json!({ "starts": starts })).await.ok();
    let results = answer["results"].as_array().unwrap();
    assert_eq!((&results[0]["execution"], &results[0]["isNew"]), (&first[1]["execution"], &json!(false)));
    assert!(results[1]["error"].as_str().unwrap().contains("nobody"), "{}", results[1]);
    assert!(results[2]["error"].as_str().unwrap().contains('7'), "{}", results[2]);
    assert_eq!(results[3]["isNew"], true);

    let many: Vec<_> = (0..1001).map(|_| json!({ "agent": "a", "prompt": "Go." })).collect();
    let message = server.post("/api/v1/starts", &json!({ "starts": many })).await.refused(400);
    assert!(message.contains("at most 1000"), "{message}");
    let body = json!({ "queue": "tenure.model", "worker": "w", "count": 1 });
    let message = server.post("/api/v1/work", &body).await.refused(400);
    assert!(message.contains("servers perform model calls"), "{message}");
}
