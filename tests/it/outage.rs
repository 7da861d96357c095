//! Postgres goes away and comes back while a server runs: a socket between the two is closed and opened again.

use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};

use crate::{
    harness::{Server, TestDb, agent, calls, eventually, says, script, tools},
    invariants,
};

const SOCKET: &str = ".s.PGSQL.5432";

/// A way to Postgres that can be cut.
struct Way {
    directory: TempDir,
    postgres: PathBuf,
    open: JoinHandle<()>,
}

impl Way {
    /// The way, and the url that takes it; none when Postgres is not behind a socket file.
    fn to(database: &TestDb) -> Option<(Self, String)> {
        let host = database.url().split(['?', '&']).find_map(|part| part.strip_prefix("host="))?;
        let directory = tempfile::tempdir().unwrap();
        let url = database.url().replace(host, directory.path().to_str().unwrap());
        let postgres = PathBuf::from(host).join(SOCKET);
        let open = Self::connect(&directory, &postgres);
        Some((Self { directory, postgres, open }, url))
    }

    fn connect(directory: &TempDir, postgres: &std::path::Path) -> JoinHandle<()> {
        let listener = UnixListener::bind(directory.path().join(SOCKET)).unwrap();
        let postgres = postgres.to_owned();
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let postgres = postgres.clone();
                connections.spawn(async move {
                    let mut server = UnixStream::connect(postgres).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        })
    }

    fn cut(&self) {
        self.open.abort();
        std::fs::remove_file(self.directory.path().join(SOCKET)).unwrap();
    }

    fn mend(&mut self) {
        self.open = Self::connect(&self.directory, &self.postgres);
    }
}

#[tokio::test]
async fn while_postgres_is_away_the_server_says_so_and_afterwards_goes_on() {
    let database = TestDb::new().await;
    let Some((mut way, url)) = Way::to(&database) else {
        println!("skipped: this Postgres is not behind a socket file");
        return;
    };
    let server = Server::at(&url).await;
    let model = script(&[calls(["step"]), says("done")]);
    let request = json!({ "agentConfig": agent("a", &model, tools(["step"])), "prompt": "Go.", "idempotencyKey": "k1" });
    let id = server.start_with(&request).await;
    let task = server.take("step").await;

    way.cut();
    eventually("it is not ready", async || {
        server.try_get("/health/ready").await.ok().filter(|answer| answer.status == 503)
    })
    .await;
    assert_eq!(server.get("/health/live").await.status, 200);
    assert_eq!(
        server.get("/health").await.ok()["healthy"],
        false,
        "up, as clients want to know, but not well"
    );
    let poll = server.get("/api/tasks/poll/batch/step?timeout=100").await;
    assert_eq!(poll.ok(), json!([]), "workers would pause for minutes after an error");
    let refused = server.try_get(&format!("/api/agent/{id}/status")).await.unwrap();
    assert!(refused.status == 503 && refused.json()["retryable"] == true, "{refused:?}");

    // Who waits patiently is served when Postgres is back.
    let report = {
        let (http, task) = ((*server).clone(), task.clone());
        let body = json!({ "workflowInstanceId": id, "taskId": task["taskId"], "status": "COMPLETED", "outputData": {} });
        async move {
            eventually("the report is taken", async || {
                http.try_post("/api/tasks", &body).await.ok().filter(|a| a.status == 200).map(|_| ())
            })
            .await;
        }
    };
    tokio::join!(report, async { way.mend() });
    server.until(&id, "COMPLETED").await;
    assert_eq!(server.start_with(&request).await, id);
    invariants::hold(&database.connect().await, &[id]).await;
}
