//! A private cluster is made, found again, adopted, recovered and refused as it should be.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tenure::postgres::{self, DataDirLock, Error, Options, Source};

use super::{
    Place, eventually_sync, execute, healed, holder, kill, kill_and_reap, open, open_to_all, opened, refused,
    text,
};

#[tokio::test]
async fn the_first_start_makes_a_durable_cluster_and_the_second_finds_it_sooner() {
    let place = Place::new();
    let began = Instant::now();
    let cluster = opened(&place.options()).await;
    let first = began.elapsed();
    execute(&cluster, "create table notes (text text); insert into notes values ('kept')").await.unwrap();
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("statement_timeout", "30s"),
        ("application_name", "tenure"),
    ] {
        assert_eq!(text(&cluster, &format!("show {setting}")).await, value, "{setting}");
    }
    assert!(cluster.owned());
    let pid = rustix::process::Pid::from_raw(place.postmaster().unwrap());
    assert_eq!(rustix::process::getpgid(pid).ok(), pid, "the terminal's Ctrl-C doesn't reach it");
    cluster.stop().await.unwrap();
    assert_eq!(place.postmaster(), None, "a stopped cluster leaves no pid file");

    let began = Instant::now();
    let cluster = opened(&place.options()).await;
    let second = began.elapsed();
    assert_eq!(text(&cluster, "select text from notes").await, "kept");
    println!("first {first:?}, second {second:?}");
    assert!(second < first, "the second start took {second:?} after {first:?} for the first");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_postmaster_is_started_again_while_we_run() {
    let place = Place::new();
    let cluster = opened(&place.options()).await;
    execute(&cluster, "create table notes (text text); insert into notes values ('before')").await.unwrap();
    for _ in 0..2 {
        kill(place.postmaster().unwrap(), Signal::KILL);
        let took = healed(&cluster).await;
        println!("healed after {took:?}");
        assert!(took < Duration::from_secs(10));
    }
    assert_eq!(text(&cluster, "select string_agg(text, ' ') from notes").await, "before after after");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_backend_that_outlives_its_killed_postmaster_does_not_block_the_restart() {
    let place = Place::new();
    let cluster = opened(&place.options()).await;
    execute(&cluster, "create table notes (text text)").await.unwrap();
    let (client, connection) = cluster.config().connect().await.unwrap();
    tokio::spawn(connection);
    // Counting doesn't look whether the postmaster is alive; this session would run for minutes.
    let busy = tokio::spawn(async move {
        client
            .batch_execute("set statement_timeout = 0; select count(*) from generate_series(1, 3000000000)")
            .await
    });
    let running = "select count(*)::text from pg_stat_activity where query like '%generate_series%' and state = 'active' and pid <> pg_backend_pid()";
    while text(&cluster, running).await != "1" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    kill(place.postmaster().unwrap(), Signal::KILL);
    println!("healed after {:?}", healed(&cluster).await);
    assert!(busy.await.unwrap().is_err());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn after_everything_was_killed_the_next_start_recovers() {
    let place = Place::new();
    let (child, _) = holder("private", &place.data_dir());
    let cluster = postgres::find_running(&place.data_dir()).await.unwrap().unwrap();
    execute(&cluster, "create table notes (text text); insert into notes values ('committed')")
        .await
        .unwrap();
    let postmaster = place.postmaster().unwrap();
    kill_and_reap(child);
    kill(postmaster, Signal::KILL);
    assert_eq!(place.postmaster(), Some(postmaster), "the pid file is stale now");

    let cluster = opened(&place.options()).await;
    assert_eq!(text(&cluster, "select text from notes").await, "committed");
    assert_ne!(place.postmaster(), Some(postmaster));
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_killed_process_left_running_is_adopted_and_looked_after() {
    let place = Place::new();
    let (child, url) = holder("private", &place.data_dir());
    let postmaster = place.postmaster().unwrap();
    kill_and_reap(child);

    let began = Instant::now();
    let cluster = opened(&place.options()).await;
    println!("adopted in {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!((place.postmaster(), cluster.url()), (Some(postmaster), url));
    assert!(cluster.owned());

    execute(&cluster, "create table notes (text text)").await.unwrap();
    kill(postmaster, Signal::KILL);
    println!("healed after {:?}", healed(&cluster).await);
    cluster.stop().await.unwrap();
    assert_eq!(place.postmaster(), None);
}

#[tokio::test]
async fn a_stale_pid_file_that_names_a_stranger_is_no_obstacle() {
    let place = Place::new();
    opened(&place.options()).await.stop().await.unwrap();
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    let data = place.data_dir().join("postgres/data");
    let text = format!("{}\n{}\n1700000000\n5432\n\n\n", stranger.id(), data.display());
    std::fs::write(data.join("postmaster.pid"), text).unwrap();

    opened(&place.options()).await.stop().await.unwrap();
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger is left alone");
    kill_and_reap(stranger);
}

#[tokio::test]
async fn a_second_process_hears_who_holds_the_data_directory() {
    let place = Place::new();
    assert_eq!(DataDirLock::holder(&place.data_dir()), None);
    let cluster = opened(&place.options()).await;
    cluster.lock().unwrap().announce("127.0.0.1:6767").unwrap();

    let error = refused(&place.options()).await;
    for part in [&*std::process::id().to_string(), "127.0.0.1:6767", "since 20", "--data-dir"] {
        assert!(error.contains(part), "{part} in: {error}");
    }
    let holder = DataDirLock::holder(&place.data_dir()).unwrap();
    assert_eq!((holder.pid, holder.listen.as_deref()), (Some(std::process::id()), Some("127.0.0.1:6767")));
    assert!(matches!(postgres::stop(&place.data_dir()).await, Err(Error::Held { .. })));

    let visitor =
        postgres::find_running(&place.data_dir()).await.unwrap().expect("psql needs no right to it");
    assert!(!visitor.owned());
    let output = visitor.psql().unwrap().args(["-Atc", "select 40 + 2"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n");

    cluster.stop().await.unwrap();
    assert_eq!(DataDirLock::holder(&place.data_dir()), None);
    assert!(postgres::find_running(&place.data_dir()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_cluster_left_running_can_be_stopped_by_its_data_directory() {
    let place = Place::new();
    assert!(!postgres::stop(&place.data_dir()).await.unwrap(), "nothing runs yet");
    drop(opened(&place.options()).await);
    assert!(place.postmaster().is_some(), "dropping leaves it running");
    assert!(postgres::stop(&place.data_dir()).await.unwrap());
    assert_eq!(place.postmaster(), None);
}

#[tokio::test]
async fn as_root_the_database_goes_where_its_account_can_reach_it() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root hands Postgres to another account");
        return;
    }
    let place = Place::new();
    let closed = place.0.path();
    std::fs::set_permissions(closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let (cluster, said) = open(&place.options()).await;
    let cluster = cluster.unwrap();
    assert!(said.contains(&format!("may not enter {}", closed.display())), "{said}");
    execute(&cluster, "create table notes (text text); insert into notes values ('kept')").await.unwrap();
    cluster.stop().await.unwrap();

    let cluster = opened(&place.options()).await;
    assert_eq!(text(&cluster, "select text from notes").await, "kept");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_path_gets_its_socket_elsewhere() {
    let place = Place::new();
    let options = Options { data_dir: place.data_dir().join("d".repeat(120)), ..place.options() };
    let cluster = opened(&options).await;
    assert!(!cluster.url().contains("ddd"), "{}", cluster.url());
    let visitor = postgres::find_running(&options.data_dir).await.unwrap().unwrap();
    assert_eq!(visitor.url(), cluster.url());
    let socket_dir = cluster.url();
    let socket_dir = socket_dir.split_once("host=").unwrap().1.split_once('&').unwrap().0.to_owned();
    assert_eq!(Path::new(&socket_dir).metadata().unwrap().permissions().mode() & 0o777, 0o700);
    cluster.stop().await.unwrap();
    std::fs::remove_dir_all(socket_dir).unwrap();
}

#[tokio::test]
async fn a_start_that_fails_shows_the_last_lines_of_the_log() {
    let place = Place::new();
    opened(&place.options()).await.stop().await.unwrap();
    let auto_conf = place.data_dir().join("postgres/data/postgresql.auto.conf");
    std::fs::write(auto_conf, "shared_buffers = 'plenty'\n").unwrap();
    let error = refused(&place.options()).await;
    assert!(error.contains("shared_buffers") && error.contains("plenty"), "{error}");
}

#[tokio::test]
async fn a_wrong_binaries_directory_is_named_and_no_other_is_taken() {
    let place = Place::new();
    let options = Options { pg_bin: Some("/usr/share".into()), ..place.options() };
    let error = refused(&options).await;
    assert!(error.contains("--pg-bin: /usr/share has no initdb"), "{error}");
    assert!(error.contains("install it:") && error.contains("DATABASE_URL"), "{error}");
}

#[tokio::test]
async fn binaries_that_are_too_old_or_do_not_fit_the_database_are_refused() {
    let place = Place::new();
    let old = programs_that_say(&place, "13.23");
    let error = refused(&Options { pg_bin: Some(old), ..place.options() }).await;
    assert!(error.contains("13.23, which is too old: 15 is the oldest"), "{error}");

    opened(&place.options()).await.stop().await.unwrap();
    let newer = programs_that_say(&place, "99.1");
    let error = refused(&Options { pg_bin: Some(newer), ..place.options() }).await;
    assert!(error.contains("99.1, but the existing database needs"), "{error}");
}

/// A directory of binaries that do nothing but tell a version.
fn programs_that_say(place: &Place, version: &str) -> PathBuf {
    let directory = place.0.path().join(version);
    std::fs::create_dir(&directory).unwrap();
    for name in ["initdb", "postgres"] {
        let program = directory.join(name);
        std::fs::write(&program, format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")).unwrap();
        open_to_all(&program);
    }
    directory
}

#[tokio::test]
async fn without_any_binaries_one_message_tells_what_was_tried_and_what_to_do() {
    let place = Place::new();
    let error = refused(&Options { source: Source::Cache, ..place.options() }).await;
    for part in [
        "the cache: nothing in",
        "the network: not used, because of --offline",
        "install it:",
        "DATABASE_URL",
    ] {
        assert!(error.contains(part), "{part} in: {error}");
    }
}

#[tokio::test]
async fn a_cluster_for_tests_goes_with_its_process_however_that_ends() {
    let (child, url) = holder("ephemeral", Path::new("/nowhere"));
    let socket_dir = PathBuf::from(url.split_once("host=").unwrap().1.split_once('&').unwrap().0);
    let home = socket_dir.ancestors().nth(2).unwrap().to_owned();
    assert!(home.exists(), "{}", home.display());
    kill_and_reap(child);
    eventually_sync("its files go", || !home.exists());
}
