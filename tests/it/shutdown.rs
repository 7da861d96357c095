//! SIGTERM: what is open ends well, within five seconds, and nothing is left running.

use std::{path::Path, time::Duration};

use serde_json::json;

use crate::{
    harness::{Home, Server, Signal, TestDb, agent, calls, eventually, frames, says, script, tools},
    invariants,
};

#[tokio::test]
async fn long_polls_end_empty_and_streams_break_off_so_that_their_clients_come_back() {
    let database = TestDb::new().await;
    let mut server = Server::start(&database).await;
    let id = server.start_run(&agent("a", &script(&[calls(["never"])]), tools(["never"])), "Go.").await;
    let streams: Vec<_> = (0..20)
        .map(|_| {
            let request = server.request("GET", &format!("/api/agent/stream/{id}"));
            tokio::spawn(async move {
                let (mut response, mut text) = (request.send().await.unwrap(), String::new());
                loop {
                    match response.chunk().await {
                        Ok(Some(chunk)) => text += std::str::from_utf8(&chunk).unwrap(),
                        ended => return (text, ended.is_err()),
                    }
                }
            })
        })
        .collect();
    let polls: Vec<_> = (0..20)
        .map(|n| {
            let request =
                server.request("GET", &format!("/api/tasks/poll/batch/idle?workerid=w{n}&timeout=5000"));
            tokio::spawn(async move { request.send().await.unwrap().text().await })
        })
        .collect();
    eventually("all of them wait", async || {
        let data = server.get("/api/tasks/queue/polldata?taskType=idle").await.ok();
        (data.as_array().unwrap().len() == 20).then_some(())
    })
    .await;

    let (status, took) = server.terminate().await;
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    for poll in polls {
        assert_eq!(poll.await.unwrap().unwrap(), "[]", "nothing, and no error");
    }
    for stream in streams {
        let (text, was_cut) = stream.await.unwrap();
        assert!(was_cut, "clients take a clean end for the end of the run: {text}");
        assert!(text.contains("retry:") && frames(&text).iter().all(|f| f.event == "thinking"), "{text}");
    }
}

#[tokio::test]
async fn an_idle_server_ends_at_once_on_both_signals() {
    let database = TestDb::new().await;
    let mut server = Server::start(&database).await;
    for signal in [Signal::TERM, Signal::INT] {
        server.process().signal(signal);
        let began = std::time::Instant::now();
        let status = server.ended().await;
        assert!(status.success(), "{signal:?}: {status}");
        assert!(began.elapsed() < Duration::from_secs(2), "{signal:?}: {:?}", began.elapsed());
        server.start_again();
        server.ready().await;
    }
}

#[tokio::test]
async fn the_private_postgres_goes_with_its_server_and_comes_back_with_the_next() {
    let home = Home::new();
    let mut server = Server::private(&home).await;
    let id = server
        .start_run(&agent("a", &script(&[calls(["step"]), says("done")]), tools(["step"])), "Go.")
        .await;
    assert!(home.postmaster().is_some());
    let (status, took) = server.terminate().await;
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
    assert_eq!(home.postmaster(), None);
    let left = processes_that_name(&home.data_dir());
    assert!(left.is_empty(), "still running: {left:?}");

    server.start_again();
    server.ready().await;
    let task = server.take("step").await;
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    invariants::hold(&home.connect().await, &[id]).await;
}

fn processes_that_name(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return vec![] };
    let command_line = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).ok();
    let lines = entries.filter_map(Result::ok).filter_map(command_line);
    let lines = lines.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    lines.filter(|line| line.contains(directory.to_str().unwrap())).collect()
}

#[tokio::test]
async fn a_model_call_that_is_going_on_is_handed_to_whoever_stays() {
    let database = TestDb::new().await;
    let (mut leaver, stayer) = tokio::join!(Server::start(&database), Server::start(&database));
    let model = script(&[json!({ "text": "thought", "delay_ms": 6000 })]);
    let id = leaver.start_run(&agent("a", &model, tools([])), "Think.").await;
    eventually("it thinks", async || {
        stayer.why(&id).await.iter().any(|(code, _)| code == "model_running").then_some(())
    })
    .await;
    let (status, took) = leaver.terminate().await;
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
    stayer.until(&id, "COMPLETED").await;
    invariants::hold(&database.connect().await, &[id]).await;
}

#[tokio::test]
async fn a_worker_finishes_what_it_has_begun() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let began = server.directory().join("began");
    let program = format!("touch {}; sleep 1; echo '{{\"ended\": true}}'", began.display());
    let mut worker = server.worker("step", &[], &program);
    let id = server
        .start_run(&agent("a", &script(&[calls(["step"]), says("done")]), tools(["step"])), "Go.")
        .await;
    eventually("the call is in progress", async || began.exists().then_some(())).await;
    worker.signal(Signal::TERM);
    assert!(worker.ended(Duration::from_secs(5)).await.success(), "{}", worker.log());
    server.until(&id, "COMPLETED").await;
    let events = server.events(&id).await;
    assert!(!events.iter().any(|e| e == "attempt_lost" || e == "attempt_failed"), "{events:?}");
}
