//! Postgres is found, started, adopted, recovered and refused as it should be. Real processes, real kills.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tenure::postgres::{self, Cluster, DataDirLock, Error, Options, Source};

/// A data directory of one test. When the test ends, its Postgres and its files go.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("tenure-it-").tempdir().unwrap();
        open_to_all(directory.path());
        Self(directory)
    }

    fn data_dir(&self) -> PathBuf {
        self.0.path().join("home")
    }

    fn options(&self) -> Options {
        Options {
            data_dir: self.data_dir(),
            cache_dir: self.0.path().join("cache"),
            offline: true,
            ..Options::default()
        }
    }

    /// The cluster's main process, as its pid file tells.
    fn postmaster(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.data_dir().join("postgres/data/postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pid) = self.postmaster()
            && command_line(pid).contains("cluster_name=tenure-")
        {
            kill(pid, Signal::QUIT);
            eventually_sync("postgres ends", || command_line(pid).is_empty());
        }
        if let Ok(elsewhere) = std::fs::read_link(self.data_dir().join("postgres")) {
            let _ = std::fs::remove_dir_all(elsewhere);
        }
    }
}

/// Collects what `open` reports.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Lines {
    fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

async fn open(options: &Options) -> (Result<Cluster, Error>, String) {
    let lines = Lines::default();
    let cluster = postgres::open(options, &|line| lines.0.lock().unwrap().push(line.to_owned())).await;
    let said = lines.all();
    println!("{said}");
    (cluster, said)
}

async fn opened(options: &Options) -> Cluster {
    open(options).await.0.unwrap()
}

async fn refused(options: &Options) -> String {
    let error = open(options).await.0.expect_err("it should have been refused").to_string();
    println!("{error}");
    error
}

async fn execute(cluster: &Cluster, sql: &str) -> Result<(), Error> {
    let (client, connection) = cluster.config().connect().await?;
    tokio::spawn(connection);
    Ok(client.batch_execute(sql).await?)
}

async fn text(cluster: &Cluster, sql: &str) -> String {
    let (client, connection) = cluster.config().connect().await.unwrap();
    tokio::spawn(connection);
    client.query_one(sql, &[]).await.unwrap().get(0)
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Empty for a process that is gone, or only a zombie.
fn command_line(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn eventually_sync(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How long it takes until statements work again.
async fn healed(cluster: &Cluster) -> Duration {
    let began = Instant::now();
    while execute(cluster, "insert into notes values ('after')").await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "not healed within 20 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

fn open_to_all(directory: &Path) {
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Another process that opens Postgres as told by `how` and then does nothing, until it is killed.
fn holder(how: &str, data_dir: &Path) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "postgres::be_a_holder", "--ignored", "--nocapture"])
        .env("TENURE_IT_HOLD", how)
        .env("TENURE_DATA_DIR", data_dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.into_iter().find_map(|line| Some(line.split_once("holding ")?.1.to_owned()));
    (child, said.expect("the holder ended early"))
}

fn kill_and_reap(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The other end of [`holder`].
#[tokio::test]
#[ignore = "runs only as the child process of other tests"]
async fn be_a_holder() {
    let Ok(how) = std::env::var("TENURE_IT_HOLD") else { return };
    let data_dir = PathBuf::from(std::env::var_os("TENURE_DATA_DIR").unwrap());
    let options = Options { data_dir, offline: true, ..Options::default() };
    let cluster = match how.as_str() {
        "ephemeral" => postgres::ephemeral(&options, &|_| {}).await.unwrap(),
        _ => postgres::open(&options, &|_| {}).await.unwrap(),
    };
    println!("holding {}", cluster.url());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_first_start_makes_a_durable_cluster_and_the_second_finds_the_same_data_quickly() {
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
    cluster.stop().await.unwrap();
    assert_eq!(place.postmaster(), None, "a stopped cluster leaves no pid file");

    let began = Instant::now();
    let cluster = opened(&place.options()).await;
    let second = began.elapsed();
    assert_eq!(text(&cluster, "select text from notes").await, "kept");
    println!("first {first:?}, second {second:?}");
    assert!(first < Duration::from_secs(5), "first start took {first:?}");
    assert!(second < Duration::from_secs(1), "second start took {second:?}");
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
    if !is_root() {
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
async fn a_given_url_is_used_and_neither_started_nor_stopped() {
    let place = Place::new();
    let cluster = opened(&place.options()).await;
    let given = |url: &str| Options { database_url: Some(url.parse().unwrap()), ..Place::new().options() };

    let (user, said) = open(&given(&cluster.url())).await;
    let user = user.unwrap();
    assert!(!user.owned() && said.contains("using the given database url"), "{said}");
    user.stop().await.unwrap();
    assert_eq!(text(&cluster, "select 'still there'").await, "still there");

    execute(&cluster, "create role guest login").await.unwrap();
    let error = refused(&given(&cluster.url().replace("user=tenure", "user=guest"))).await;
    assert!(error.contains("grant create on database tenure to guest"), "{error}");
    let error = refused(&given(&cluster.url().replace("/tenure?", "/elsewhere?"))).await;
    assert!(error.contains("createdb"), "{error}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_url_that_nobody_answers_is_refused_at_once_without_its_password() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://me:hush@127.0.0.1:{free}/db");
    let place = Place::new();
    let options = Options { database_url: Some(url.parse().unwrap()), ..place.options() };
    let began = Instant::now();
    let error = refused(&options).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(error.contains(&format!("127.0.0.1:{free}")) && error.contains("refused"), "{error}");
    assert!(!error.contains("hush") && !format!("{options:?}").contains("hush"), "{error} {options:?}");
    assert!(!place.data_dir().exists(), "nothing is started instead");

    let error = refused(&Options { source: Source::Url, ..place.options() }).await;
    assert!(error.contains("--database-url"), "{error}");
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

/// Needs the network and minutes: `TENURE_TEST_FETCH=1 cargo test --test it fetched`.
async fn fetched_binaries_start(source: Source, name: &str) {
    if std::env::var_os("TENURE_TEST_FETCH").is_none() {
        println!("skipped: set TENURE_TEST_FETCH=1 to fetch {name} from the network");
        return;
    }
    let place = Place::new();
    let online = Options { source, offline: false, ..place.options() };
    let (cluster, said) = open(&online).await;
    let cluster = cluster.unwrap();
    assert!(said.contains("fetching Postgres"), "{said}");
    assert!(said.contains(&format!("{}/cache/postgres/{name}", place.0.path().display())), "{said}");
    assert_eq!(text(&cluster, "select 'it works'").await, "it works");
    let output = cluster.psql().unwrap().args(["-Atc", "select 40 + 2"]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "42\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    cluster.stop().await.unwrap();

    let (cluster, said) = open(&Options { source: Source::Cache, ..place.options() }).await;
    assert!(said.contains("fetched earlier"), "{said}");
    cluster.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn fetched_by_pip_it_starts() {
    fetched_binaries_start(Source::Pip, "wheel").await;
}

#[tokio::test]
async fn fetched_by_apt_it_starts() {
    fetched_binaries_start(Source::Apt, "debian").await;
}
