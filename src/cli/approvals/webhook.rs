//! `tenure approvals webhook …`: who is told when a person is asked, or a run fails.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{
    api::Api,
    failure::{Exit, Failure},
    terminal::Terminal,
    text,
};

const PATH: [&str; 3] = ["api", "v1", "webhooks"];

/// Commands on webhooks.
#[derive(Debug, Subcommand)]
pub enum Webhook {
    /// All of them, and how they do
    List,
    /// Set a webhook, or replace the one of its name; a secret that is made up is printed this once
    Set(Box<Set>),
    /// Remove a webhook; what waits to be told there is dropped
    Remove(Name),
    /// Let a webhook be told that it works
    Test(Name),
    /// What webhooks were told, newest first
    Deliveries {
        /// Only by this webhook
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Send a delivery once more
    Again {
        /// The delivery
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// A webhook.
#[derive(Debug, Args)]
pub struct Name {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
}

/// A webhook that is wanted.
#[derive(Debug, Args)]
pub struct Set {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// Where to
    #[arg(value_name = "URL")]
    url: String,
    /// A Slack message rather than signed JSON
    #[arg(long)]
    slack: bool,
    /// What it is told of; everything unless said
    #[arg(long, value_name = "EVENT", value_delimiter = ',', value_parser = ["asked", "escalated", "decided", "failed"])]
    events: Vec<String>,
    /// How long nobody may decide until it is reminded, as 30m; never unless said
    #[arg(long, value_name = "TIME")]
    remind: Option<String>,
    /// Only of what this group is asked
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Only of these agents; * stands for any text
    #[arg(long, value_name = "PATTERN")]
    agent: Option<String>,
    /// What it is signed with, whsec_ and base64; as it was, or made up, unless said
    #[arg(long, value_name = "SECRET", env = "TENURE_WEBHOOK_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Your name, for the record; the user of this shell if not said
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Webhook {
    pub(super) async fn run(self, api: &Api, out: Terminal) -> Result<Exit, Failure> {
        let answer = match &self {
            Self::List => api.get(&PATH).await?,
            Self::Set(set) => api.post(&PATH, &set.wish()).await?,
            Self::Remove(Name { name }) => {
                api.json(api.request(Method::DELETE, &[PATH[0], PATH[1], PATH[2], name])).await?
            }
            Self::Test(Name { name }) => {
                api.post(&[PATH[0], PATH[1], PATH[2], name, "test"], &json!({})).await?
            }
            Self::Deliveries { name } => {
                let request = api.request(Method::GET, &["api", "v1", "deliveries"]);
                api.json(request.query(&[("webhook", name.as_deref().unwrap_or_default())])).await?
            }
            Self::Again { id } => api.post(&["api", "v1", "deliveries", id, "again"], &json!({})).await?,
        };
        if out.json {
            out.document(&answer, false);
            return Ok(Exit::Ok);
        }
        match &self {
            Self::List | Self::Set(_) => webhooks(&answer, out),
            Self::Remove(Name { name }) => out.say(format!("removed {}", text::line(name, 100))),
            Self::Test(_) | Self::Again { .. } => {
                out.say(format!(
                    "waits to be sent: {}",
                    text::line(answer["delivery"].as_str().unwrap_or_default(), 40)
                ));
                out.note("what came of it: tenure approvals webhook deliveries");
            }
            Self::Deliveries { .. } => deliveries(&answer, out),
        }
        Ok(Exit::Ok)
    }
}

impl Set {
    fn wish(&self) -> Value {
        let events = (!self.events.is_empty()).then_some(&self.events);
        json!({
            "name": self.name, "url": self.url, "shape": if self.slack { "slack" } else { "json" },
            "events": events, "remind": self.remind, "group": self.group, "agent": self.agent, "secret": self.secret,
            "by": self.by.clone().or_else(|| crate::cli::env("USER")),
        })
    }
}

fn word(row: &Value, key: &str) -> String {
    text::line(row[key].as_str().unwrap_or_default(), 100)
}

fn webhooks(answer: &Value, out: Terminal) {
    let rows = answer["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        out.say("there are no webhooks; nobody is told");
        out.note("set one: tenure approvals webhook set ops https://example.com/hook --remind 30m");
        return;
    }
    let line = |row: &Value| {
        let events: Vec<_> =
            row["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        vec![
            word(row, "name"),
            word(row, "place"),
            word(row, "shape"),
            events.join(","),
            word(row, "remind"),
            row["waiting"].to_string(),
            word(row, "trouble"),
        ]
    };
    out.table(&["NAME", "WHERE", "SHAPE", "EVENTS", "REMIND", "WAITING", "TROUBLE"], rows.iter().map(line));
    if let Some(secret) = answer["secret"].as_str() {
        out.say(format!("its secret, printed this once: {secret}"));
    }
}

fn deliveries(answer: &Value, out: Terminal) {
    let rows = answer["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        out.say("nothing was told yet");
        return;
    }
    let line = |row: &Value| {
        let tries = row["tries"].to_string();
        vec![
            word(row, "createdAt"),
            word(row, "webhook"),
            word(row, "event"),
            tries,
            word(row, "why"),
            word(row, "id"),
        ]
    };
    out.table(&["AT", "WEBHOOK", "EVENT", "TRIES", "STANDS", "ID"], rows.iter().map(line));
}
