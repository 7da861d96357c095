//! `tenure doctor`: what is in order, what isn't, and how to fix it.

use std::{net::TcpListener, time::Instant};

use clap::Args;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use reqwest::{Method, header};
use serde_json::{Value, json};

use super::{
    api::Api,
    failure::{Exit, Failure},
    terminal::{Ink, Terminal},
    text,
};
use crate::{postgres, store};

/// Environment variables with the keys of model providers.
const MODEL_KEYS: [&str; 9] = [
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "MISTRAL_API_KEY",
    "XAI_API_KEY",
    "COHERE_API_KEY",
    "PERPLEXITY_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "OLLAMA_HOST",
];
/// A clock that differs by more than this makes times in lists and pages confusing.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Where the state is.
    #[command(flatten)]
    pub postgres: postgres::Options,
    /// Only ask whether the server lives, as a container's health check does
    #[arg(long)]
    pub live: bool,
}

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// In order.
    Good,
    /// Works, but look at it.
    Doubtful,
    /// Does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// How to fix it.
    pub fix: Option<String>,
}

impl Check {
    /// In order.
    #[must_use]
    pub fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, health: Health::Good, found: found.into(), fix: None }
    }

    /// Works, but look at it.
    #[must_use]
    pub fn doubtful(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, health: Health::Doubtful, found: found.into(), fix: Some(fix.into()) }
    }

    /// Does not work.
    #[must_use]
    pub fn bad(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, health: Health::Bad, found: found.into(), fix: Some(fix.into()) }
    }

    fn failed(name: &'static str, failure: &Failure) -> Self {
        let fix = failure.next.clone().unwrap_or_default();
        Self::bad(name, text::line(&failure.to_string(), 200), fix)
    }
}

pub(super) async fn run(doctor: &Doctor, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    if doctor.live {
        api.send(api.request(Method::GET, &["health", "live"])).await?;
        return Ok(Exit::Ok);
    }
    let mut checks = server(api).await;
    checks.extend(database(&doctor.postgres).await);
    checks.push(model_keys());
    if out.json {
        out.document(&checks.iter().map(as_json).collect(), false);
    } else {
        for check in &checks {
            show(out, check);
        }
    }
    let bad = checks.iter().any(|check| check.health == Health::Bad);
    Ok(if bad { Exit::Failed } else { Exit::Ok })
}

/// The server, over HTTP.
async fn server(api: &Api) -> Vec<Check> {
    let began = Instant::now();
    let response = match api.send(api.request(Method::GET, &["health"])).await {
        Ok(response) => response,
        Err(failure) => return vec![Check::failed("server", &failure), port()],
    };
    let took = text::duration(began.elapsed());
    let mut checks = vec![Check::good("server", format!("{} answers in {took}", api.server))];
    let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    checks.extend(date.and_then(|date| clock(date, Timestamp::now())));
    checks.push(match api.send(api.request(Method::GET, &["health", "ready"])).await {
        Ok(_) => Check::good("ready", "the server has its database and its schema"),
        Err(failure) if failure.exit == Exit::NotFound => {
            Check::doubtful("ready", "the server doesn't say whether it is ready", "is it a Tenure server?")
        }
        Err(failure) => Check::failed("ready", &failure),
    });
    checks.push(match api.get(&["api", "agent", "list"]).await {
        Ok(agents) => Check::good("agents", format!("{} deployed", agents.as_array().map_or(0, Vec::len))),
        Err(failure) => Check::failed("agents", &failure),
    });
    checks
}

fn clock(date: &str, now: Timestamp) -> Option<Check> {
    // HTTP writes the zone as "GMT"; the mail format that is parsed here wants the number.
    let server = rfc2822::parse(&date.replace("GMT", "+0000")).ok()?.timestamp();
    let skew = now.duration_since(server).abs();
    let found = format!("{} apart from the server's", text::duration(skew.unsigned_abs()));
    Some(if skew > SKEW {
        Check::doubtful(
            "clock",
            found,
            "set both clocks by NTP; times in lists and pages are off by that much",
        )
    } else {
        Check::good("clock", "as the server's")
    })
}

/// Whether a server could start here.
fn port() -> Check {
    match TcpListener::bind(("127.0.0.1", 6767)) {
        Ok(_) => Check::good("port", "6767 is free for `tenure serve`"),
        Err(error) => Check::doubtful(
            "port",
            format!("6767 can't be used: {error}"),
            "tenure serve --listen 127.0.0.1:PORT",
        ),
    }
}

/// The database, as `serve` would find it from here. Nothing is started for it.
async fn database(options: &postgres::Options) -> Vec<Check> {
    let cluster = if options.database_url.is_some() {
        postgres::open(options, &|_| {}).await.map(Some)
    } else {
        postgres::find_running(&options.data_dir).await
    };
    let cluster = match cluster {
        Ok(Some(cluster)) => cluster,
        Ok(None) => {
            let found = format!("none runs in {}", options.data_dir.display());
            return vec![Check::doubtful("postgres", found, "tenure serve starts one, or set DATABASE_URL")];
        }
        Err(error) => {
            return vec![Check::bad("postgres", error.to_string(), "tenure serve --help tells the flags")];
        }
    };
    let mut checks = vec![Check::good("postgres", cluster.describe())];
    checks.push(match schema(&cluster).await {
        Ok(missing) if missing.is_empty() => Check::good("schema", "up to date"),
        Ok(missing) => {
            Check::doubtful("schema", format!("missing: {}", missing.join(", ")), "tenure db migrate")
        }
        Err(error) => Check::bad("schema", error, "look at the rights of the database's user"),
    });
    checks
}

async fn schema(cluster: &postgres::Cluster) -> Result<Vec<String>, String> {
    let (mut client, connection) = cluster.config().connect().await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    let steps = store::schema::status(&mut client).await.map_err(|e| e.to_string())?;
    Ok(steps.into_iter().filter(|s| !s.applied).map(|s| s.name).collect())
}

fn model_keys() -> Check {
    let set: Vec<_> = MODEL_KEYS.into_iter().filter(|name| super::env(name).is_some()).collect();
    if set.is_empty() {
        let fix = "set one, such as OPENAI_API_KEY, where the server runs; models named demo/… need none";
        return Check::doubtful("model keys", "none in this environment", fix);
    }
    Check::good("model keys", format!("{} (a server reads those of its own environment)", set.join(", ")))
}

fn show(out: Terminal, check: &Check) {
    let (mark, ink) = match check.health {
        Health::Good => ("ok  ", Ink::Good),
        Health::Doubtful => ("look", Ink::Busy),
        Health::Bad => ("bad ", Ink::Bad),
    };
    out.say(format!("{}  {:<10}  {}", out.paint(ink, mark), check.name, check.found));
    if let Some(fix) = &check.fix {
        out.say(format!("{:18}{}", "", out.paint(Ink::Dim, fix)));
    }
}

fn as_json(check: &Check) -> Value {
    let health = match check.health {
        Health::Good => "ok",
        Health::Doubtful => "look",
        Health::Bad => "bad",
    };
    json!({"check": check.name, "health": health, "found": check.found, "fix": check.fix})
}

#[cfg(test)]
mod tests {
    use super::{Health, clock};

    #[test]
    fn a_clock_that_is_off_is_doubtful() {
        let health = |now: &str| clock("Sat, 21 Nov 2026 06:00:00 GMT", now.parse().unwrap()).unwrap().health;
        assert_eq!(health("2026-11-21T06:00:02Z"), Health::Good);
        assert_eq!(health("2026-11-21T05:59:00Z"), Health::Doubtful);
    }
}
