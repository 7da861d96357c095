//! A Postgres that somebody else runs is checked and used, encrypted as its url says, also behind a pooler.

use std::{
    os::unix::fs::MetadataExt as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tenure::postgres::{Options, Source};

use crate::harness::{free_port, skip};

use super::{Place, execute, kill_and_reap, open, opened, refused, text};

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
    let free = free_port();
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

/// A Postgres on a TCP port of loopback that demands TLS from whoever comes there.
struct Remote {
    place: Place,
    port: u16,
    process: Child,
}

impl Remote {
    /// `None` without the program that makes certificates.
    async fn start() -> Option<Self> {
        let place = Place::new();
        let cluster = opened(&place.options()).await;
        let bin = PathBuf::from(cluster.psql().unwrap().get_program()).parent().unwrap().to_owned();
        cluster.stop().await.unwrap();
        let data = place.data_dir().join("postgres/data");
        make_certificate(&data)?;
        let hba = data.join("remote_hba.conf");
        std::fs::write(&hba, "hostssl all all 127.0.0.1/32 trust\n").unwrap();

        let port = free_port();
        let process = as_owner_of(&data, &bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "ssl=on"])
            .args(["-c", &format!("port={port}"), "-c", &format!("hba_file={}", hba.display())])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        await_port(port).await;
        Some(Self { place, port, process })
    }

    fn options(&self, host: &str, query: &str) -> Options {
        let url = format!("postgres://tenure@{host}:{}/tenure?{query}", self.port);
        Options { database_url: Some(url.parse().unwrap()), ..self.place.options() }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that runs as whoever owns `path`.
fn as_owner_of(path: &Path, program: &Path) -> Command {
    let owner = path.metadata().unwrap();
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command
}

fn make_certificate(data: &Path) -> Option<()> {
    let made = as_owner_of(data, Path::new("openssl"))
        .current_dir(data)
        .args(["req", "-new", "-x509", "-days", "1", "-nodes", "-subj", "/CN=localhost"])
        .args([
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-out",
            "server.crt",
            "-keyout",
            "server.key",
        ])
        .stderr(Stdio::null())
        .status()
        .ok()?;
    made.success().then_some(())
}

async fn await_port(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < deadline, "nobody listens on port {port} within 20 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_url_decides_how_much_of_tls_is_wanted() {
    let Some(remote) = Remote::start().await else {
        return skip("openssl isn't installed");
    };
    let certificate = remote.place.data_dir().join("postgres/data/server.crt");
    let with_authority = format!("sslmode=verify-full&sslrootcert={}", certificate.display());
    for query in ["sslmode=prefer", "sslmode=require", &with_authority] {
        let (cluster, said) = open(&remote.options("localhost", query)).await;
        let cluster = cluster.unwrap();
        let encrypted = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
        assert_eq!(text(&cluster, encrypted).await, "true", "{said}");
        let pool = cluster.config().pool(2).unwrap();
        let row = pool.get().await.unwrap().query_one(encrypted, &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), "true");
    }

    let error = refused(&remote.options("localhost", "sslmode=verify-full")).await;
    assert!(error.contains("certificate") && error.contains("sslrootcert=FILE"), "{error}");
    let error = refused(&remote.options("127.0.0.1", &with_authority)).await;
    assert!(error.contains("certificate"), "a certificate for another name is refused: {error}");
    let error = refused(&remote.options("localhost", "sslmode=disable")).await;
    assert!(error.contains("no encryption"), "{error}");
}

#[tokio::test]
async fn a_pooler_that_refuses_session_settings_is_used_without_them() {
    let place = Place::new();
    let cluster = opened(&place.options()).await;
    let url = cluster.url();
    let (_, query) = url.split_once("?host=").unwrap();
    let socket_dir = query.split_once('&').unwrap().0;
    let port = free_port();
    let pooler_dir = place.0.path().join("pooler");
    std::fs::create_dir(&pooler_dir).unwrap();
    std::fs::write(pooler_dir.join("users"), "\"tenure\" \"\"\n").unwrap();
    let settings = format!(
        "[databases]\ntenure = host={socket_dir} user=tenure\n[pgbouncer]\npool_mode = transaction\nauth_type = any\n\
         auth_file = {0}/users\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n",
        pooler_dir.display()
    );
    std::fs::write(pooler_dir.join("settings"), settings).unwrap();

    let mut pgbouncer = as_owner_of(&place.data_dir().join("postgres/data"), Path::new("pgbouncer"));
    let Ok(pooler) = pgbouncer.arg("-q").arg(pooler_dir.join("settings")).stderr(Stdio::null()).spawn()
    else {
        cluster.stop().await.unwrap();
        return skip("pgbouncer isn't installed");
    };
    await_port(port).await;
    let url = format!("postgres://tenure@127.0.0.1:{port}/tenure");
    let options = Options { database_url: Some(url.parse().unwrap()), ..place.options() };
    let (client, said) = open(&options).await;
    let client = client.unwrap();
    assert!(said.contains("pooler"), "{said}");
    execute(&client, "create table through_the_pooler ()").await.unwrap();
    execute(&cluster, "drop table through_the_pooler").await.unwrap();
    kill_and_reap(pooler);
    cluster.stop().await.unwrap();
}
