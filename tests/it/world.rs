//! The instruments that hurt the world around the servers do what they say.

use tenure::postgres::Victim;
use tenure::torture::world::netns::Network;
use tokio_postgres::{Client, error::SqlState};

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
        Err(error) => return println!("skipped: {error}"),
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
async fn a_pulled_cable_lets_nothing_pass() {
    let network = match Network::make().await {
        Ok(network) => network,
        Err(error) => return println!("skipped: {error}"),
    };
    let server = tokio::net::TcpListener::bind((network.here(), 0)).await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(async move { while server.accept().await.is_ok() {} });
    let reach = async || {
        let mut command = tokio::process::Command::from(network.command("bash"));
        let open = format!("exec 3<>/dev/tcp/{}/{}", address.ip(), address.port());
        let status = command.args(["-c", &open]).kill_on_drop(true).status();
        let within = tokio::time::timeout(std::time::Duration::from_millis(800), status).await;
        within.is_ok_and(|status| status.unwrap().success())
    };
    assert!(reach().await);
    network.unplug().await.unwrap();
    assert!(!reach().await);
    network.plug().await.unwrap();
    assert!(reach().await);
}
