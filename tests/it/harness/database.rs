//! One Postgres for all tests of this process, and a database for each test.
//!
//! The schema is made once, in a template; a test's database is a copy of it and takes about 50 ms.
//! `TENURE_TEST_POSTGRES=testcontainers` takes a container instead of an embedded Postgres.

use std::{
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use tenure::{
    postgres::{self, Cluster, Options},
    store::schema,
};
use testcontainers::{
    ContainerAsync, GenericImage, ImageExt as _,
    core::{IntoContainerPort as _, WaitFor},
    runners::AsyncRunner as _,
};
use tokio::{runtime::Runtime, sync::OnceCell};
use tokio_postgres::Client;

/// What outlives single tests runs here.
pub(super) fn background() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    })
}

/// Run `work` in the background and wait for it: what it spawns outlives the test.
async fn in_background<T: Send + 'static, W: Future<Output = T>>(
    work: impl FnOnce() -> W + Send + 'static,
) -> T {
    tokio::task::spawn_blocking(|| background().block_on(work())).await.unwrap()
}

const TEMPLATE: &str = "tenure_template";

/// The url of this process's Postgres, with the template in it.
async fn server_url() -> &'static str {
    static URL: OnceCell<String> = OnceCell::const_new();
    URL.get_or_init(|| {
        in_background(|| async {
            let url = match std::env::var("TENURE_TEST_POSTGRES").as_deref() {
                Ok("testcontainers") => container().await,
                Ok("") | Err(_) => embedded().await,
                Ok(other) => panic!("TENURE_TEST_POSTGRES={other}: only testcontainers is known"),
            };
            connect(&url).await.batch_execute(&format!("create database {TEMPLATE}")).await.unwrap();
            schema::migrate(&mut connect(&in_database(&url, TEMPLATE)).await).await.unwrap();
            url
        })
    })
    .await
}

async fn embedded() -> String {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = postgres::ephemeral(&Options::default(), &|_| {}).await.unwrap();
    CLUSTER.get_or_init(|| cluster).url()
}

async fn container() -> String {
    static CONTAINER: OnceLock<ContainerAsync<GenericImage>> = OnceLock::new();
    let container = GenericImage::new("postgres", "17-alpine")
        .with_exposed_port(5432.tcp())
        .with_wait_for(WaitFor::message_on_stderr("database system is ready to accept connections"))
        .with_env_var("POSTGRES_PASSWORD", "test")
        .with_cmd(["postgres", "-c", "fsync=off", "-c", "max_connections=300"])
        .start()
        .await
        .unwrap();
    remove_with_this_process(container.id());
    let port = container.get_host_port_ipv4(5432).await.unwrap();
    CONTAINER.get_or_init(|| container);
    let url = format!("postgres://postgres:test@127.0.0.1:{port}/postgres?sslmode=disable");
    // The image starts Postgres twice; only the second one stays.
    super::eventually("the container's Postgres answers", async || try_connect(&url).await).await;
    url
}

/// Nothing drops a static, so a shell waits for the end of this process.
#[expect(clippy::zombie_processes, reason = "it outlives this process")]
fn remove_with_this_process(container: &str) {
    let mut guard = Command::new("sh")
        .args(["-c", "cat >/dev/null; docker rm -fv \"$1\"", "sh", container])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::mem::forget(guard.stdin.take());
}

fn in_database(url: &str, database: &str) -> String {
    let (head, query) = url.split_once('?').unwrap();
    format!("{}/{database}?{query}", head.rsplit_once('/').unwrap().0)
}

async fn try_connect(url: &str) -> Option<Client> {
    let options = Options { database_url: Some(url.parse().unwrap()), ..Options::default() };
    let cluster = postgres::open(&options, &|_| {}).await.ok()?;
    let (client, connection) = cluster.config().connect().await.ok()?;
    background().spawn(connection);
    Some(client)
}

async fn connect(url: &str) -> Client {
    try_connect(url).await.unwrap_or_else(|| panic!("no connection to {url}"))
}

/// A database that goes when the test ends.
pub struct TestDb {
    name: String,
    url: String,
}

impl TestDb {
    /// With the newest schema.
    pub async fn new() -> Self {
        Self::create(&format!("template {TEMPLATE}")).await
    }

    /// With nothing in it.
    pub async fn empty() -> Self {
        Self::create("").await
    }

    /// A copy of another test's database, to which nobody is connected.
    pub async fn of(other: &Self) -> Self {
        Self::create(&format!("template {}", other.name)).await
    }

    async fn create(how: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let url = server_url().await;
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let create = format!("create database {name} {how}");
        in_background(move || async move { connect(url).await.batch_execute(&create).await.unwrap() }).await;
        Self { url: in_database(url, &name), name }
    }

    /// What `--database-url` takes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection of the test's own.
    pub async fn connect(&self) -> Client {
        let url = self.url.clone();
        in_background(|| async move { connect(&url).await }).await
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let name = self.name.clone();
        std::thread::spawn(move || {
            background().block_on(async {
                let admin = connect(server_url().await).await;
                let _ = admin.batch_execute(&format!("drop database if exists {name} with (force)")).await;
            });
        });
    }
}
