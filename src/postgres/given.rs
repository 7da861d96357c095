//! A Postgres that somebody else runs, given by a database url.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, SimpleQueryMessage, error::SqlState};

use super::{Cluster, Config, Connection, Error, OLDEST_MAJOR, Report, error::reason};

/// All that has to be known about it, in one query that poolers take too.
const CHECK: &str = "select current_setting('server_version_num')::int / 10000 as major, \
    current_setting('server_version') as version, pg_is_in_recovery() as read_only, \
    has_database_privilege(current_database(), 'CREATE') as may_create, current_database() as name, current_user as me";

/// How long a server that says it is starting is waited for.
const LONGEST_STARTUP: Duration = Duration::from_secs(30);

/// Checks that the server behind `url` can be used. Starts nothing.
pub(super) async fn open(url: &str, report: Report<'_>) -> Result<Cluster, Error> {
    let mut config = Config::parse(url)?;
    report(&format!("using the given database url: {}", config.url()));

    let client = match connect_once_up(&config, report).await {
        Ok((client, connection)) => {
            tokio::spawn(connection);
            client
        }
        Err(Error::Postgres(error)) => {
            let refused = |advice: &str| unusable(&config, reason(&error), advice);
            let Some(code) = error.code() else {
                return Err(refused(&advice_without_answer(&error)));
            };
            if let Some(advice) = advice_for(code) {
                return Err(refused(advice));
            }
            // A pooler refuses settings at connect. If it takes us without them, that was it.
            let bare = Config::parse_bare(url)?;
            let Ok((client, connection)) = bare.connect().await else {
                return Err(refused("check the url, and the server's log for its reason"));
            };
            tokio::spawn(connection);
            report("it takes no session settings, so it is a pooler; its own timeouts apply");
            config = bare;
            client
        }
        Err(error) => return Err(error),
    };

    let version = check(&config, &client).await?;
    let description = format!("Postgres {version} at {}", config.url());
    report(&description);
    Ok(Cluster { config, description, binaries: None, owned: None })
}

/// Connects, and waits for a server that is just starting.
async fn connect_once_up(config: &Config, report: Report<'_>) -> Result<(Client, Connection), Error> {
    let began = Instant::now();
    let mut reported = false;
    loop {
        match config.connect().await {
            Err(Error::Postgres(error))
                if error.code() == Some(&SqlState::CANNOT_CONNECT_NOW)
                    && began.elapsed() < LONGEST_STARTUP =>
            {
                if !std::mem::replace(&mut reported, true) {
                    report("it is starting; waiting for it");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            result => return result,
        }
    }
}

/// The server's version, if we can work with it.
async fn check(config: &Config, client: &Client) -> Result<String, Error> {
    let messages = client.simple_query(CHECK).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let field = |name| row.and_then(|row| row.get(name)).unwrap_or_default();

    let version = field("version");
    if field("major").parse().unwrap_or(0) < OLDEST_MAJOR {
        let problem = format!("it is Postgres {version}");
        return Err(unusable(config, problem, &format!("use Postgres {OLDEST_MAJOR} or newer")));
    }
    if field("read_only") == "t" {
        let problem = "it is a read-only standby".to_owned();
        return Err(unusable(config, problem, "use the primary's address"));
    }
    if field("may_create") != "t" {
        let (me, name) = (field("me"), field("name"));
        let problem = format!("{me} may not create schemas in {name}");
        return Err(unusable(
            config,
            problem,
            &format!("run there: grant create on database {name} to {me}"),
        ));
    }
    Ok(version.to_owned())
}

fn unusable(config: &Config, reason: String, advice: &str) -> Error {
    Error::Unusable { target: config.url(), reason, advice: advice.to_owned() }
}

fn advice_for(code: &SqlState) -> Option<&'static str> {
    let advice = match *code {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "check the user, the password and the server's pg_hba.conf"
        }
        SqlState::INVALID_CATALOG_NAME => "create that database (createdb), or name another one",
        SqlState::TOO_MANY_CONNECTIONS => "free some, or raise max_connections",
        SqlState::CANNOT_CONNECT_NOW => "it is starting or stopping: try again in a moment",
        _ => return None,
    };
    Some(advice)
}

/// What to do when nobody who speaks Postgres' protocol answered.
fn advice_without_answer(error: &tokio_postgres::Error) -> String {
    let why = reason(error);
    if why.contains("certificate") || why.contains("UnknownIssuer") {
        return "give the server's authority as sslrootcert=FILE in the url, or sslmode=require to go without \
                checking its certificate"
            .to_owned();
    }
    if why.contains("TLS") {
        return "its network must be trusted to go without TLS: say so by sslmode=disable in the url"
            .to_owned();
    }
    "check its address and that it runs, or leave out the url to get a private Postgres".to_owned()
}
