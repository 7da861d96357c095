//! Many watch, servers die, some read slowly: every client gets every frame once, and nobody harms anybody.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::{Http, Server, TestDb, agent, calls, eventually, says, script, tools, within};

/// A connection to the stream of a run, from a frame on; nothing is read yet.
async fn connect(base: &str, id: &str, after: i64) -> std::io::Result<TcpStream> {
    let address = base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /api/agent/stream/{id} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\nconnection: close\r\nlast-event-id: {after}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// A client that follows a run to its end, coming back after each cut, to the next of the servers.
struct Client {
    bases: Vec<String>,
    id: String,
    /// Numbers of the frames that it got.
    frames: Vec<i64>,
    cuts: usize,
}

impl Client {
    fn new(bases: &[&str], id: &str) -> Self {
        Self {
            bases: bases.iter().map(|&b| b.to_owned()).collect(),
            id: id.to_owned(),
            frames: vec![],
            cuts: 0,
        }
    }

    async fn follow(mut self) -> Self {
        loop {
            let base = self.bases[self.cuts % self.bases.len()].clone();
            if let Ok(stream) = connect(&base, &self.id, self.frames.last().copied().unwrap_or(0)).await
                && self.read(stream).await
            {
                return self;
            }
            self.cuts += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Read until the run has ended (true) or the connection has.
    async fn read(&mut self, mut stream: TcpStream) -> bool {
        let (mut text, mut part) = (String::new(), [0; 4096]);
        loop {
            let Ok(n @ 1..) = stream.read(&mut part).await else { return false };
            text.push_str(&String::from_utf8_lossy(&part[..n]));
            while let Some((frame, rest)) = text.split_once("\n\n") {
                let line = |name: &str| frame.lines().find_map(|l| l.strip_prefix(name)).map(str::to_owned);
                let (number, kind) = (line("id:"), line("event:"));
                text = rest.to_owned();
                self.frames.extend(number.map(|n| n.parse::<i64>().unwrap()));
                if matches!(kind.as_deref(), Some("done" | "error")) {
                    return true;
                }
            }
        }
    }
}

/// A run with so many turns, each of which waits for a worker.
async fn run_of(http: &Http, turns: usize) -> String {
    let steps: Vec<_> = (0..turns).map(|_| calls(["step"])).chain([says("Done.")]).collect();
    http.start_run(&agent("watched", &script(&steps), tools(["step"])), "Go.").await
}

/// Numbers of all frames of a run that has ended.
async fn frames_of(http: &Http, id: &str) -> Vec<i64> {
    http.stream(id, None).await.iter().map(|frame| frame.id.parse().unwrap()).collect()
}

/// Resident memory of a process in megabytes: now, and the most that it ever was.
fn memory(server: &Server) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process().pid())).unwrap();
    let read = |name: &str| -> f64 {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    };
    (read("VmRSS:"), read("VmHWM:"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_get_every_frame_once_while_both_servers_die() {
    const TURNS: usize = 6;
    let database = TestDb::new().await;
    let (mut one, mut other) = tokio::join!(Server::start(&database), Server::start(&database));
    one.register("step", &json!({ "responseTimeoutSeconds": 30 })).await;
    let mut runs = vec![];
    for _ in 0..4 {
        runs.push(run_of(&one, TURNS).await);
    }
    let bases = [one.base().to_owned(), other.base().to_owned()];
    let mut clients = JoinSet::new();
    for n in 0..200 {
        // Half of them begin at each server.
        let order = [bases[n % 2].as_str(), bases[1 - n % 2].as_str()];
        clients.spawn(Client::new(&order, &runs[n % runs.len()]).follow());
    }
    for turn in 0..TURNS {
        match turn {
            2 => one.restart().await,
            4 => other.restart().await,
            _ => {}
        }
        for _ in &runs {
            let task = one.take("step").await;
            one.complete(&task, &json!({ "turn": turn })).await;
        }
    }
    for id in &runs {
        one.until(id, "COMPLETED").await;
    }
    let clients =
        tokio::time::timeout(Duration::from_mins(1), clients.join_all()).await.expect("all of them end");
    let mut cuts = 0;
    for client in clients {
        let all = frames_of(&other, &client.id).await;
        assert_eq!(
            all.len(),
            3 * TURNS + 2,
            "a thought, a call and its result each turn, a thought and the end"
        );
        assert_eq!(client.frames, all, "after {} cuts", client.cuts);
        cuts += client.cuts;
    }
    assert!(cuts >= 200, "only {cuts} streams were cut, so this has shown nothing");
}

#[tokio::test]
async fn who_reads_nothing_makes_the_server_hold_little_and_others_wait_for_nothing() {
    const WIDE: usize = 300_000;
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let id = run_of(&server, 25).await;
    let mut stuck = vec![];
    for _ in 0..40 {
        stuck.push(connect(server.base(), &id, 0).await.unwrap());
    }
    let client = tokio::spawn(Client::new(&[server.base()], &id).follow());
    for _ in 0..25 {
        let task = server.take("step").await;
        server.complete(&task, &json!({ "result": "x".repeat(WIDE) })).await;
    }
    let client =
        tokio::time::timeout(Duration::from_mins(1), client).await.expect("it is not held up").unwrap();
    assert_eq!((client.frames, client.cuts), (frames_of(&server, &id).await, 0));
    // All that they did not read would be 300 MB.
    let (now, _) = memory(&server);
    assert!(now < 150.0, "{now} MB");
    drop(stuck);
}

#[tokio::test]
async fn what_a_vanished_reader_held_is_free_again() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let id = run_of(&server, 1).await;
    let task = server.take("step").await;
    let mut readers = vec![];
    for _ in 0..100 {
        let mut reader = connect(server.base(), &id, 0).await.unwrap();
        reader.read_exact(&mut [0; 16]).await.unwrap();
        readers.push(reader);
    }
    assert!(connections(&server).len() >= 100);
    drop(readers);
    eventually("their connections are closed", async || (connections(&server).len() < 50).then_some(()))
        .await;
    server.complete(&task, &json!({})).await;
    let client = Client::new(&[server.base()], &id).follow().await;
    assert_eq!(client.frames, frames_of(&server, &id).await);
}

/// The stream of a run with what its models say, to its end.
async fn heard(server: &Server, id: &str) -> String {
    let answer = server.get(&format!("/api/agent/stream/{id}?tokens=1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text
}

#[tokio::test]
async fn who_asks_for_it_hears_the_model_speak_and_gets_the_same_frames_as_others() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let model = script(&[calls(["step"]), says("The old release is back, and it holds.")]);
    let id = server.start_run(&agent("speaker", &model, tools(["step"])), "Go.").await;
    let task = server.take("step").await;
    let others = tokio::spawn(Client::new(&[server.base()], &id).follow());
    let mut listener = connect(server.base(), &format!("{id}?tokens=1"), 0).await.unwrap();
    listener.read_exact(&mut [0; 16]).await.unwrap();
    let listening = tokio::spawn(async move {
        let mut text = String::new();
        listener.read_to_string(&mut text).await.unwrap();
        text
    });
    server.complete(&task, &json!({})).await;
    let (mut said, mut pieces, mut frames) = (String::new(), 0, vec![]);
    let text = listening.await.unwrap();
    for frame in text.split("\n\n") {
        let line = |name: &str| frame.lines().find_map(|l| l.strip_prefix(name));
        frames.extend(line("id:").map(|n| n.parse::<i64>().unwrap()));
        if line("event:") == Some("tokens") {
            assert_eq!(line("id:"), None, "a stream can't go on after it: {frame}");
            let piece: serde_json::Value = serde_json::from_str(line("data:").unwrap()).unwrap();
            assert_eq!((&piece["turn"], &piece["at"]), (&json!(2), &json!(said.len())), "{piece}");
            said += piece["text"].as_str().unwrap();
            pieces += 1;
        }
    }
    // On a busy machine the answer itself may come before its last words.
    assert!("The old release is back, and it holds.".starts_with(&said), "{said}");
    assert!(pieces > 1, "all at once");
    assert_eq!(frames, others.await.unwrap().frames);
    assert_eq!(heard(&server, &id).await.matches("event:tokens").count(), 0, "what was said is not stored");
}

/// Takes a minute: `cargo test --test it -- --ignored who_takes_nothing`
#[tokio::test]
#[ignore = "waits for the system to give a connection up"]
async fn who_takes_nothing_for_a_minute_is_cut_off_and_goes_on_where_it_was() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let id = run_of(&server, 25).await;
    let slow = connect(server.base(), &id, 0).await.unwrap();
    for _ in 0..25 {
        let task = server.take("step").await;
        server.complete(&task, &json!({ "result": "x".repeat(1_000_000) })).await;
    }
    let port = format!(":{:04X}", slow.local_addr().unwrap().port());
    within(Duration::from_secs(150), "the server has cut it", async || {
        (!connections(&server).iter().any(|other| other.ends_with(&port))).then_some(())
    })
    .await;
    let mut client = Client::new(&[server.base()], &id);
    assert!(!client.read(slow).await, "it was not cut");
    assert!(client.frames.len() < frames_of(&server, &id).await.len());
    let client = client.follow().await;
    assert_eq!(client.frames, frames_of(&server, &id).await);
}

/// The other ends of a server's open connections, as the system writes addresses.
fn connections(server: &Server) -> Vec<String> {
    let port: u16 = server.base().rsplit(':').next().unwrap().parse().unwrap();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let own = columns.filter(|c| c.len() > 3 && c[1].ends_with(&format!(":{port:04X}")) && c[3] == "01");
    own.map(|c| c[2].to_owned()).collect()
}
