//! `tenure bulk retention …`: which finished runs go, and when.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{
    api::Api,
    failure::{Exit, Failure},
    terminal::Terminal,
    text,
};

const PATH: [&str; 3] = ["api", "v1", "retention"];

/// Commands on retention policies.
#[derive(Debug, Subcommand)]
pub enum Retention {
    /// All policies; a run that none of them matches is kept
    List,
    /// Set a policy, or replace the one of its name; what is due goes at once, and then every hour
    Set(Set),
    /// Remove a policy
    Remove {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// A policy.
#[derive(Debug, Args)]
pub struct Set {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// Which runs, in the words of the list: status:completed -agent:billing
    #[arg(value_name = "FILTER", required = true, num_args = 1..)]
    filter: Vec<String>,
    /// For how long after their end they are kept, as 30d or 12h
    #[arg(long, value_name = "TIME")]
    keep: String,
    /// Write each run to a file before it goes, in the directory that the server has for that
    #[arg(long)]
    export: bool,
    /// Your name, for the record; the user of this shell if not said
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Retention {
    pub(super) async fn run(self, api: &Api, out: Terminal) -> Result<Exit, Failure> {
        let answer = match &self {
            Self::List => api.get(&PATH).await?,
            Self::Set(set) => {
                let by = set.by.clone().or_else(|| crate::cli::env("USER"));
                let filter = set.filter.join(" ");
                let wish = json!({ "name": set.name, "filter": filter, "keep": set.keep, "export": set.export, "by": by });
                api.post(&PATH, &wish).await?
            }
            Self::Remove { name } => {
                let path = [PATH[0], PATH[1], PATH[2], name];
                api.json(api.request(Method::DELETE, &path)).await?
            }
        };
        if out.json {
            out.document(&answer, false);
        } else if let Self::Remove { name } = &self {
            out.say(format!("removed {}", text::line(name, 100)));
        } else {
            let rows = answer["policies"].as_array().map(Vec::as_slice).unwrap_or_default();
            if rows.is_empty() {
                out.say("there are no policies; every run is kept");
                out.note("set one: tenure bulk retention set old status:completed --keep 30d");
            } else {
                out.table(
                    &["NAME", "RUNS", "KEEP", "EXPORT", "DELETED", "LAST", "SET BY"],
                    rows.iter().map(line),
                );
            }
        }
        Ok(Exit::Ok)
    }
}

fn line(row: &Value) -> Vec<String> {
    let word = |key: &str| text::line(row[key].as_str().unwrap_or_default(), 80);
    let export = if row["export"] == true { "yes" } else { "no" };
    vec![
        word("name"),
        word("filter"),
        word("keep"),
        export.to_owned(),
        row["deleted"].to_string(),
        word("lastAt"),
        word("setBy"),
    ]
}
