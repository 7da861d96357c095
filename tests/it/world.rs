//! The instruments that hurt the world around the servers do what they say.

use std::time::Duration;

use serde_json::json;
use tenure::postgres::Victim;
use tenure::torture::world::netns::Network;
use tokio_postgres::{Client, error::SqlState};

use crate::{
    harness::{Server, TestDb, agent, calls, eventually, says, script, skip, tools},
    invariants,
};

/// A directory that Postgres's account can reach.
fn place(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("tenure-victim-{}-{name}", std::process::id()))
}

async fn connect(victim: &Victim) -> Client {
    let (client, connection) = victim.config("tenure").unwrap().connect().await.unwrap();
    tokio::spawn(connection);
    client
}

async fn count(db: &Client) -> i64 {
    db.query_one("select count(*) from t", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_killed_victim_comes_back_with_what_was_committed() {
    let mut victim = Victim::make(None, &place("kill"), None).await.unwrap();
    victim.start().await.unwrap();
    victim.create_database().await.unwrap();
    for round in 0..3 {
        let db = connect(&victim).await;
        db.batch_execute("create table if not exists t (n int); insert into t values (1)").await.unwrap();
        victim.kill().await;
        assert!(db.simple_query("select 1").await.is_err());
        let took = victim.start().await.unwrap();
        println!("round {round}: back after {took:?}");
        assert_eq!(count(&connect(&victim).await).await, round + 1);
    }
    let place = place("kill");
    drop(victim);
    assert!(!place.exists());
}

#[tokio::test]
async fn a_full_victim_refuses_to_write_and_goes_on_when_there_is_room() {
    let mut victim = match Victim::make(None, &place("full"), Some(80)).await {
        Ok(victim) => victim,
        Err(error) => return skip(&error.to_string()),
    };
    victim.start().await.unwrap();
    victim.create_database().await.unwrap();
    let db = connect(&victim).await;
    db.batch_execute("create table t (n text)").await.unwrap();
    victim.fill().unwrap();
    let grow = "insert into t select repeat('x', 1000) from generate_series(1, 2000)";
    let error = db.batch_execute(grow).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::DISK_FULL));
    assert_eq!(count(&db).await, 0);
    victim.empty();
    db.batch_execute(grow).await.unwrap();
    assert_eq!(count(&db).await, 2000);
}

#[tokio::test]
async fn a_standby_is_promoted_with_all_that_was_acknowledged() {
    let mut primary = Victim::make(None, &place("primary"), None).await.unwrap();
    primary.start().await.unwrap();
    primary.create_database().await.unwrap();
    let mut standby = Victim::standby_of(&primary, &place("standby"), "other").await.unwrap();
    standby.start().await.unwrap();
    let db = connect(&primary).await;
    db.batch_execute("alter system set synchronous_standby_names = 'other'").await.unwrap();
    db.batch_execute("select pg_reload_conf()").await.unwrap();
    db.batch_execute("create table t (n int)").await.unwrap();
    for _ in 0..20 {
        db.batch_execute("insert into t values (1)").await.unwrap();
    }
    primary.kill().await;
    let other = connect(&standby).await;
    let refused = other.batch_execute("insert into t values (1)").await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
    other.batch_execute("select pg_promote()").await.unwrap();
    other.batch_execute("insert into t values (1)").await.unwrap();
    assert_eq!(count(&other).await, 21);
}

#[tokio::test]
async fn a_server_that_is_told_of_both_goes_on_with_the_promoted_standby() {
    let mut primary = Victim::make(None, &place("one"), None).await.unwrap();
    primary.start().await.unwrap();
    primary.create_database().await.unwrap();
    let mut standby = Victim::standby_of(&primary, &place("two"), "two").await.unwrap();
    standby.start().await.unwrap();
    // The standby comes first, and is passed over as long as it is one.
    let hosts = format!("{},{}", standby.socket_dir().display(), primary.socket_dir().display());
    let server = Server::at(&format!("postgres:///tenure?host={hosts}&user=tenure")).await;
    let db = connect(&primary).await;
    db.batch_execute("alter system set synchronous_standby_names = 'two'").await.unwrap();
    db.batch_execute("select pg_reload_conf()").await.unwrap();

    let model = script(&[calls(["step"]), says("done")]);
    let mut ids = vec![];
    for _ in 0..5 {
        ids.push(server.start_run(&agent("a", &model, tools(["step"])), "Go.").await);
    }
    let task = server.take("step").await;
    primary.kill().await;
    eventually("it is not ready", async || {
        server.try_get("/health/ready").await.ok().filter(|answer| answer.status == 503)
    })
    .await;
    connect(&standby).await.batch_execute("select pg_promote()").await.unwrap();
    eventually("it is ready again", async || {
        server.try_get("/health/ready").await.ok().filter(|answer| answer.status == 200)
    })
    .await;
    server.complete(&task, &json!({})).await;
    for _ in 1..5 {
        let task = server.take("step").await;
        server.complete(&task, &json!({})).await;
    }
    for id in &ids {
        server.until(id, "COMPLETED").await;
    }
    invariants::hold(&connect(&standby).await, &ids).await;
}

#[tokio::test]
async fn a_server_whose_postgres_takes_no_writes_says_so_and_hands_nothing_out() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let model = script(&[calls(["step"]), says("done")]);
    let id = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    eventually("the call waits", async || (!server.why(&id).await.is_empty()).then_some(())).await;
    let db = database.connect().await;
    let name: String = db.query_one("select current_database()::text", &[]).await.unwrap().get(0);
    let switch = async |on: &str| {
        let set = format!("alter database {name} set default_transaction_read_only = {on}");
        db.batch_execute(&format!("set transaction_read_only = off; {set}")).await.unwrap();
        // Sessions learn of it when they begin, as after a failover.
        let others = "select pg_terminate_backend(pid) from pg_stat_activity
                       where datname = current_database() and pid <> pg_backend_pid()";
        db.batch_execute(others).await.unwrap();
    };
    switch("on").await;
    let ready = eventually("it is not ready", async || {
        server.try_get("/health/ready").await.ok().filter(|answer| answer.text.contains("read-only"))
    })
    .await;
    assert_eq!(ready.status, 503);
    assert_eq!(server.get("/api/tasks/poll/batch/step?timeout=100").await.ok(), json!([]));
    assert_eq!(server.get(&format!("/api/agent/{id}/status")).await.status, 200, "reads go on");

    // Another one is the primary now, which the old connections don't know.
    let set = format!("alter database {name} set default_transaction_read_only = off");
    db.batch_execute(&set).await.unwrap();
    let task = server.take("step").await;
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    invariants::hold(&db, &[id]).await;
}

#[tokio::test]
async fn a_pulled_cable_lets_nothing_pass() {
    let network = match Network::make().await {
        Ok(network) => network,
        Err(error) => return skip(&error.to_string()),
    };
    let server = tokio::net::TcpListener::bind((network.here(), 0)).await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(async move { while server.accept().await.is_ok() {} });
    let reach = async |patience: Duration| {
        let mut command = tokio::process::Command::from(network.command("bash"));
        let open = format!("exec 3<>/dev/tcp/{}/{}", address.ip(), address.port());
        let status = command.args(["-c", &open]).kill_on_drop(true).status();
        let within = tokio::time::timeout(patience, status).await;
        within.is_ok_and(|status| status.unwrap().success())
    };
    // What gets through does so in the end, however busy the machine is.
    let patience = Duration::from_secs(20);
    assert!(reach(patience).await);
    network.unplug().await.unwrap();
    assert!(!reach(Duration::from_millis(800)).await);
    network.plug().await.unwrap();
    assert!(reach(patience).await);
}
