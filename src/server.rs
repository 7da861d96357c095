//! `tenure serve`: puts the parts of a server together, and takes them apart again within five seconds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpServer, dev::ServerHandle};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::llm::Models;
use crate::postgres::{self, Cluster};
use crate::runtime::{Runtime, Settings};
use crate::{notify, perform, store, web};

/// How many write, each with a connection of its own. One for each core: more make commits smaller and so dearer; two at
/// least, so that one can go on while the other waits for its disk.
pub(crate) fn committers() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4))
}

/// How long open requests may take when the server drains.
const DRAIN_SECS: u64 = 4;

/// What a server is told on its command line.
#[derive(Debug)]
pub struct Options {
    /// Address for the API and the pages.
    pub listen: SocketAddr,
    /// Whether it answers HTTP.
    pub serves_web: bool,
    /// Model calls that it performs at the same time; 0 for none.
    pub model_calls: usize,
    /// The directory to which runs are written before they are deleted, if there is one.
    pub export_dir: Option<PathBuf>,
    /// Where people reach the pages, for links in what they are told.
    pub public_url: Option<String>,
    /// Whoever comes must have it.
    pub api_key: Option<web::ApiKey>,
    /// Which Postgres.
    pub postgres: postgres::Options,
}

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else listens there.
    #[error("can't listen on {listen}: {source}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// Postgres can't be found, started or used.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// The schema can't be brought up to date.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The runtime can't be started.
    #[error(transparent)]
    Runtime(#[from] crate::runtime::Error),
    /// A model's settings are wrong.
    #[error(transparent)]
    Models(#[from] crate::llm::Error),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Connect to `cluster` and bring its schema up to date; returns what was missing.
///
/// # Errors
///
/// [`Error::Postgres`], [`Error::Store`]
pub async fn migrate(cluster: &Cluster) -> Result<Vec<String>, Error> {
    let (mut client, connection) = cluster.config().connect().await?;
    let connection = tokio::spawn(connection);
    client.batch_execute("set statement_timeout = 0").await.map_err(store::Error::from)?;
    let done = store::schema::migrate(&mut client).await;
    drop(client);
    let _ = connection.await;
    Ok(done?)
}

/// Serve until SIGTERM or Ctrl-C. `ready` is told the address when requests are answered.
///
/// # Errors
///
/// [`Error`]
pub async fn run(
    options: Options,
    report: postgres::Report<'_>,
    ready: impl FnOnce(&str),
) -> Result<(), Error> {
    // An address that is taken is said before anything is started.
    drop(listener(options.listen)?);
    let models = Arc::new(Models::from_env(&|name| std::env::var(name).ok())?);
    let cluster = postgres::open(&options.postgres, report).await?;
    let served = serve(&options, &cluster, models, ready).await;
    let stopped = cluster.stop().await;
    served?;
    Ok(stopped?)
}

fn listener(listen: SocketAddr) -> Result<std::net::TcpListener, Error> {
    std::net::TcpListener::bind(listen).map_err(|source| Error::Listen { listen, source })
}

async fn serve(
    options: &Options,
    cluster: &Cluster,
    models: Arc<Models>,
    ready: impl FnOnce(&str),
) -> Result<(), Error> {
    for step in migrate(cluster).await? {
        tracing::info!("migrated the database: {step}");
    }
    let stop = CancellationToken::new();
    let settings = Settings {
        name: crate::id::session_name(),
        model_calls: options.model_calls,
        model_timeout: models.timeout(),
        committers: committers(),
        exports: options.export_dir.clone(),
    };
    let (runtime, handed) = Runtime::open(cluster.config(), settings, stop.clone()).await?;
    let performer = tokio::spawn(perform::run(runtime.clone(), models.clone(), handed));
    let address = format!("http://{}", options.listen);
    let notifier = (options.model_calls > 0).then(|| {
        let pages = options.public_url.as_deref().unwrap_or(&address).trim_end_matches('/').to_owned();
        tokio::spawn(notify::run(runtime.clone(), pages))
    });
    let mut http = None;
    if options.serves_web {
        let server = http_server(options, &runtime, &models)?;
        http = Some((server.handle(), tokio::spawn(server)));
    }
    if let Some(lock) = cluster.lock() {
        lock.announce(&address)?;
    }
    ready(&address);
    until_told_to_stop().await?;
    tracing::info!("stopping: no new work is taken, what is open is finished or handed back");
    stop.cancel();
    let drained = async {
        runtime.say_draining().await;
        if let Some((handle, server)) = http {
            stop_http(&handle).await;
            let _ = server.await;
        }
        let _ = performer.await;
        if let Some(notifier) = notifier {
            let _ = notifier.await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(DRAIN_SECS + 1), drained).await.is_err() {
        tracing::warn!("some requests were still open and were cut");
    }
    runtime.close();
    Ok(())
}

fn http_server(
    options: &Options,
    runtime: &Runtime,
    models: &Arc<Models>,
) -> Result<actix_web::dev::Server, Error> {
    let listener = listener(options.listen)?;
    let models = models.clone();
    let config = web::Config {
        api_key: options.api_key.clone(),
        provider: Arc::new(move |provider: &str| models.configured(provider)),
        metrics: crate::telemetry::install().ok(),
    };
    let state = web::State::new(runtime.clone(), config);
    let server = HttpServer::new(move || App::new().configure(|app| web::routes(app, &state)))
        .workers(std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8))
        .disable_signals()
        .shutdown_timeout(DRAIN_SECS)
        .client_request_timeout(Duration::from_secs(10))
        // Of a stream that is told much at once, so much waits to be written, not more; each connection keeps it.
        .h1_write_buffer_size(WRITTEN)
        .on_connect(|connection, _| forget_the_silent(connection))
        // Who hangs up while it waits for work gets none: what it would have got goes to somebody who is there.
        .h1_allow_half_closed(false)
        .listen(listener)?
        .run();
    Ok(server)
}

/// Bytes that are gathered for a connection before they are written.
const WRITTEN: usize = 2 * 1024;
/// Who takes none of what it was sent for that long is gone.
const PATIENCE: Duration = Duration::from_mins(1);

/// Let the system cut the connection of a client that takes nothing any more, whether it vanished or reads no further: its
/// buffers are full, and only the kernel would wait for it, for a quarter of an hour.
fn forget_the_silent(connection: &dyn std::any::Any) {
    #[cfg(target_os = "linux")]
    if let Some(tcp) = connection.downcast_ref::<actix_web::rt::net::TcpStream>() {
        let millis = u32::try_from(PATIENCE.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(tcp, millis);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = connection;
}

async fn stop_http(handle: &ServerHandle) {
    handle.stop(true).await;
}

async fn until_told_to_stop() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
