//! `tenure db` and `tenure psql`: the database itself.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::{
    failure::{Exit, Failure},
    serve::failure,
    terminal::Terminal,
    text,
};
use crate::{postgres, server, store};

/// Commands on the database.
#[derive(Debug, Subcommand)]
pub enum Db {
    /// Bring the database to this binary's version and exit (`serve` does it too)
    Migrate(postgres::Options),
    /// Print which Postgres it is and which migrations it has
    Status(postgres::Options),
    /// Look whether everything holds that must always hold, and print what breaks it
    Verify(postgres::Options),
}

/// Flags of `psql`.
#[derive(Debug, Args)]
pub struct Psql {
    /// Where the state is.
    #[command(flatten)]
    pub postgres: postgres::Options,
    /// Arguments for psql
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<OsString>,
}

/// Do it.
///
/// # Errors
///
/// The database can't be found or used.
pub async fn run(command: Db, out: Terminal) -> Result<Exit, Failure> {
    let (Db::Migrate(options) | Db::Status(options) | Db::Verify(options)) = &command;
    let cluster = cluster(options).await?;
    let done = match command {
        Db::Migrate(_) => migrate(&cluster, out).await,
        Db::Status(_) => status(&cluster, out).await,
        Db::Verify(_) => verify(&cluster, out).await,
    };
    cluster.stop().await.map_err(failure)?;
    done
}

/// The database of a server that runs here, else the one that a server would use.
async fn cluster(options: &postgres::Options) -> Result<postgres::Cluster, Failure> {
    if options.database_url.is_none()
        && let Some(running) = postgres::find_running(&options.data_dir).await.map_err(failure)?
    {
        return Ok(running);
    }
    postgres::open(options, &|line| tracing::info!("postgres: {line}")).await.map_err(failure)
}

async fn migrate(cluster: &postgres::Cluster, out: Terminal) -> Result<Exit, Failure> {
    let done = server::migrate(cluster).await.map_err(failure)?;
    if out.json {
        out.document(&serde_json::json!({ "database": cluster.url(), "applied": done }), false);
    } else if done.is_empty() {
        out.say("the database is up to date");
    } else {
        for step in done {
            out.say(format!("migrated: {step}"));
        }
    }
    Ok(Exit::Ok)
}

async fn status(cluster: &postgres::Cluster, out: Terminal) -> Result<Exit, Failure> {
    let (mut client, connection) = cluster.config().connect().await.map_err(failure)?;
    let connection = tokio::spawn(connection);
    let steps = store::schema::status(&mut client).await.map_err(failure)?;
    drop(client);
    let _ = connection.await;
    let missing = steps.iter().filter(|s| !s.applied).count();
    if out.json {
        let steps: Vec<_> = steps
            .iter()
            .map(|s| serde_json::json!({ "version": s.version, "name": s.name, "applied": s.applied }))
            .collect();
        out.document(
            &serde_json::json!({ "database": cluster.url(), "about": cluster.describe(), "steps": steps }),
            false,
        );
    } else {
        out.say(cluster.describe());
        out.say(cluster.url());
        for step in &steps {
            let applied = if step.applied { "applied" } else { "missing" };
            out.say(format!("{applied}  V{:04} {}", step.version, step.name));
        }
        if missing > 0 {
            out.say("next: tenure db migrate (or start a server, which does it too)");
        }
    }
    Ok(Exit::Ok)
}

/// Rows of an invariant that are shown.
const SHOWN: usize = 20;

async fn verify(cluster: &postgres::Cluster, out: Terminal) -> Result<Exit, Failure> {
    let (client, connection) = cluster.config().connect().await.map_err(failure)?;
    let connection = tokio::spawn(connection);
    let broken = store::invariants::broken(&client, SHOWN).await;
    drop(client);
    let _ = connection.await;
    let broken = broken.map_err(|error| match error {
        store::Error::NotFound { .. } => {
            Failure::new(Exit::Failed, "there is nothing of Tenure in this database")
                .next("tenure db migrate")
        }
        error => failure(error),
    })?;
    let asked = store::invariants::invariants().len();
    if out.json {
        let broken: Vec<_> = broken
            .iter()
            .map(|b| {
                let row: serde_json::Map<_, _> =
                    b.row.iter().map(|(c, v)| (c.clone(), v.as_str().into())).collect();
                serde_json::json!({ "invariant": b.invariant.name, "says": b.invariant.says, "row": row })
            })
            .collect();
        let document = serde_json::json!({ "database": cluster.url(), "asked": asked, "broken": broken });
        out.document(&document, false);
    } else if broken.is_empty() {
        out.say(format!("all {asked} invariants hold"));
    } else {
        for b in &broken {
            let row: Vec<_> = b.row.iter().map(|(column, value)| format!("{column} {value}")).collect();
            out.say(text::lines(&format!("broken: {}\n  {}", b.invariant.says, row.join(", "))));
        }
    }
    Ok(if broken.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// Become psql.
///
/// # Errors
///
/// There is no psql, or no database.
pub async fn psql(psql: Psql) -> Result<Exit, Failure> {
    use std::os::unix::process::CommandExt as _;

    let cluster = cluster(&psql.postgres).await?;
    let Some(mut command) = cluster.psql() else {
        return Err(Failure::new(Exit::Failed, "there is no psql on this system")
            .because(format!("the database is {}", cluster.url()))
            .next("install the package postgresql-client"));
    };
    if cluster.owned() {
        // Nobody else serves this database: it must be stopped again afterwards.
        let status = command.args(&psql.args).status();
        cluster.stop().await.map_err(failure)?;
        let ok = status.is_ok_and(|s| s.success());
        return Ok(if ok { Exit::Ok } else { Exit::Failed });
    }
    let error = command.args(&psql.args).exec();
    Err(Failure::new(Exit::Failed, format!("psql can't be run: {error}")))
}
