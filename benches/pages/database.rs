//! A Postgres of its own with a database that has grown.

use std::time::{Duration, Instant};

use tenure::{postgres, store::schema};
use tokio_postgres::Client;

use super::Error;

/// Steps of the seed, in order.
const SEED: [(&str, &str); 5] = [
    ("agents", include_str!("seed/1_agents.sql")),
    ("executions", include_str!("seed/2_executions.sql")),
    ("what they did", include_str!("seed/3_details.sql")),
    ("a run of 20,000 events", include_str!("seed/4_long_run.sql")),
    ("a run with a wide answer", include_str!("seed/5_wide_run.sql")),
];

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Executions.
    pub runs: u32,
    /// Bytes of the widest output.
    pub output: u32,
}

impl Scale {
    /// What the goals speak of.
    pub const FULL: Self = Self { runs: 1_000_000, output: 100_000_000 };
    /// For trying things out.
    pub const QUICK: Self = Self { runs: 50_000, output: 5_000_000 };
}

/// A seeded database; it goes with this process.
pub struct Database {
    /// For `--database-url`.
    pub url: String,
    /// A connection of our own.
    pub client: Client,
    /// How long seeding took.
    pub took: Duration,
    /// Its id.
    pub long_run: String,
    /// Its id.
    pub wide_run: String,
    _cluster: postgres::Cluster,
}

impl Database {
    pub async fn seeded(scale: Scale) -> Result<Self, Error> {
        let cluster = postgres::ephemeral(&postgres::Options::default(), &|_| {}).await?;
        let (mut client, connection) = cluster.config().connect().await?;
        tokio::spawn(connection);
        client.batch_execute("set statement_timeout = 0; set lock_timeout = 0").await?;
        schema::migrate(&mut client).await?;
        let began = Instant::now();
        let settings = format!(
            "set bench.runs = {}; set bench.output = {}; set synchronous_commit = off; set work_mem = '256MB'; \
             set maintenance_work_mem = '256MB'",
            scale.runs, scale.output
        );
        client.batch_execute(&settings).await?;
        for (what, sql) in SEED {
            let step = Instant::now();
            client.batch_execute(sql).await.map_err(|e| described(what, &e))?;
            eprintln!("seeded {what} in {:.1} s", step.elapsed().as_secs_f32());
        }
        let id = |table: &str| format!("select execution_id::text from {table}");
        let long_run = client.query_one(&id("long"), &[]).await?.get(0);
        let wide_run = client.query_one(&id("wide"), &[]).await?.get(0);
        client.batch_execute("drop table run, part, step, wide, long, texts").await?;
        client.batch_execute("vacuum (analyze)").await?;
        client.batch_execute("checkpoint").await?;
        let took = began.elapsed();
        eprintln!("seeded in {:.0} s", took.as_secs_f32());
        Ok(Self { url: cluster.url(), client, took, long_run, wide_run, _cluster: cluster })
    }

    /// Connections of others to this database, and how many of them work right now.
    pub async fn connections(&self) -> Result<(i64, i64), Error> {
        let row = self
            .client
            .query_one(
                "select count(*), count(*) filter (where state <> 'idle') from pg_stat_activity
                  where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'",
                &[],
            )
            .await?;
        Ok((row.get(0), row.get(1)))
    }

    /// The execution that this share of all others is newer than, of those with details.
    pub async fn id_at(&self, share: f64) -> Result<String, Error> {
        let sql = "select id::text from tenure.executions order by id offset
                   (select (count(*) * $1::double precision)::bigint - 300 from tenure.executions) limit 1";
        Ok(self.client.query_one(sql, &[&share]).await?.get(0))
    }
}

/// The driver's short text hides what the server said.
fn described(what: &str, error: &tokio_postgres::Error) -> Error {
    let said = error.as_db_error().map_or_else(
        || error.to_string(),
        |e| {
            let place = e.where_().map(|w| format!(" ({w})")).unwrap_or_default();
            format!("{}{place} at {:?}", e.message(), e.position())
        },
    );
    format!("seeding {what}: {said}").into()
}
