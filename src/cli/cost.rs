//! `tenure cost` and `tenure prices …`: what was spent, and the prices that it is computed with.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    api::Api,
    failure::{Exit, Failure},
    terminal::Terminal,
    text,
};

/// What was spent.
#[derive(Debug, Args)]
pub struct Cost {
    /// One run, instead of all that was spent
    #[arg(value_name = "ID", conflicts_with_all = ["by", "days"])]
    id: Option<String>,
    /// Add it up by this
    #[arg(long, value_name = "WHAT", default_value = "day")]
    by: By,
    /// So many days, today included; days are in UTC
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
}

/// By what spending is added up.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// Days
    Day,
    /// Agents
    Agent,
    /// Models
    Model,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Agent => "agent",
            Self::Model => "model",
        }
    }
}

/// Commands on prices.
#[derive(Debug, Subcommand)]
pub enum Prices {
    /// All prices, by model, the newest first
    List,
    /// Set what a model costs per million tokens, from now on unless said
    Set(Set),
    /// Set all prices of a JSON file, or none: an array as `tenure prices list --json` prints it
    Import {
        /// The file; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Remove a price; what it covered gets the price before it, or none
    Remove {
        /// Its number in the list
        #[arg(value_name = "NUMBER")]
        id: i64,
    },
}

/// A price.
#[derive(Debug, Args)]
pub struct Set {
    /// provider/name as agents write it; with * at its end all models that begin so
    #[arg(value_name = "MODEL")]
    model: String,
    /// A million tokens read
    #[arg(long, value_name = "AMOUNT")]
    prompt: String,
    /// A million tokens written
    #[arg(long, value_name = "AMOUNT")]
    completion: String,
    /// A million of the tokens read that came from the provider's cache; as the others unless said
    #[arg(long, value_name = "AMOUNT")]
    cached: Option<String>,
    /// Three letters
    #[arg(long, value_name = "CODE", default_value = "USD")]
    currency: String,
    /// From this day (UTC) or time on; now unless said
    #[arg(long, value_name = "WHEN")]
    from: Option<String>,
    /// Until this day or time; until the next price of the model unless said
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Where it comes from
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

impl Cost {
    pub(super) async fn run(self, api: &Api, out: Terminal) -> Result<Exit, Failure> {
        if let Some(id) = &self.id {
            return of_run(id, api, out).await;
        }
        let request = api.request(Method::GET, &["api", "costs"]);
        let answer =
            api.json(request.query(&[("by", self.by.name()), ("days", &self.days.to_string())])).await?;
        if out.json {
            out.document(&answer, false);
            return Ok(Exit::Ok);
        }
        let rows = answer["spent"].as_array().map(Vec::as_slice).unwrap_or_default();
        if rows.is_empty() {
            out.say("no model has answered in this time");
            return Ok(Exit::Ok);
        }
        let header = [
            self.by.name().to_uppercase(),
            "COST".into(),
            "CALLS".into(),
            "READ".into(),
            "CACHED".into(),
            "WRITTEN".into(),
        ];
        out.table(&header.each_ref().map(String::as_str), rows.iter().map(|row| self.line(row)));
        if rows.iter().any(|row| row["cost"].is_null()) {
            out.note("some calls have no price; set it: tenure prices set MODEL --prompt AMOUNT --completion AMOUNT");
        }
        Ok(Exit::Ok)
    }

    fn line(&self, row: &Value) -> Vec<String> {
        vec![
            text::line(row[self.by.name()].as_str().unwrap_or_default(), 80),
            money(row).unwrap_or_else(|| "no price".to_owned()),
            row["calls"].to_string(),
            row["promptTokens"].to_string(),
            row["cachedTokens"].to_string(),
            row["completionTokens"].to_string(),
        ]
    }
}

fn money(row: &Value) -> Option<String> {
    Some(format!("{} {}", text::line(row["cost"].as_str()?, 40), text::line(row["currency"].as_str()?, 3)))
}

async fn of_run(id: &str, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let answer = api.get(&["api", "executions", id, "cost"]).await?;
    if out.json {
        out.document(&answer, false);
        return Ok(Exit::Ok);
    }
    let sums: Vec<_> = answer["costs"].as_array().into_iter().flatten().filter_map(money).collect();
    let (priced, unpriced) = (&answer["pricedCalls"], &answer["unpricedCalls"]);
    if !sums.is_empty() {
        out.say(format!("{}  for {priced} model calls", sums.join(" + ")));
    }
    if *unpriced != 0 {
        out.say(format!("no price  for {unpriced} model calls"));
    } else if sums.is_empty() {
        out.say("no model has answered yet");
    }
    Ok(Exit::Ok)
}

impl Prices {
    pub(super) async fn run(self, api: &Api, out: Terminal) -> Result<Exit, Failure> {
        match self {
            Self::List => list(api, out).await,
            Self::Set(price) => {
                let wish = json!({
                    "model": price.model, "currency": price.currency, "prompt": price.prompt,
                    "completion": price.completion, "cached": price.cached, "from": price.from, "until": price.until,
                    "note": price.note,
                });
                set(&wish, api, out).await
            }
            Self::Import { file } => set(&read(&file)?, api, out).await,
            Self::Remove { id } => {
                let answer =
                    api.json(api.request(Method::DELETE, &["api", "prices", &id.to_string()])).await?;
                if out.json {
                    out.document(&answer, false);
                } else {
                    out.say(format!("{id}  removed"));
                }
                Ok(Exit::Ok)
            }
        }
    }
}

async fn list(api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let answer = api.get(&["api", "prices"]).await?;
    if out.json {
        out.document(&answer, false);
        return Ok(Exit::Ok);
    }
    let prices = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if prices.is_empty() {
        out.say("no prices");
        out.note("set one: tenure prices set PROVIDER/MODEL --prompt 2.50 --completion 10 --currency USD");
        return Ok(Exit::Ok);
    }
    let header = ["NUMBER", "MODEL", "READ", "CACHED", "WRITTEN", "CURRENCY", "FROM", "UNTIL", "NOTE"];
    out.table(&header, prices.iter().map(line));
    Ok(Exit::Ok)
}

fn line(price: &Value) -> Vec<String> {
    let word = |key: &str| text::line(price[key].as_str().unwrap_or_default(), 80);
    vec![
        price["id"].to_string(),
        word("model"),
        word("prompt"),
        word("cached"),
        word("completion"),
        word("currency"),
        word("from"),
        word("until"),
        word("note"),
    ]
}

async fn set(wish: &Value, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let answer = api.post(&["api", "prices"], wish).await?;
    if out.json {
        out.document(&answer, false);
        return Ok(Exit::Ok);
    }
    for price in answer.as_array().into_iter().flatten() {
        let word = |key: &str| text::line(price[key].as_str().unwrap_or_default(), 80);
        out.say(format!(
            "{}  {} read, {} written, per million tokens in {} from {}",
            word("model"),
            word("prompt"),
            word("completion"),
            word("currency"),
            word("from")
        ));
    }
    Ok(Exit::Ok)
}

/// The prices of a file, without what only a server says of them.
fn read(file: &std::path::Path) -> Result<Value, Failure> {
    let shown = file.display();
    let wrong = |why: &dyn std::fmt::Display| Failure::usage(format!("{shown} can't be imported: {why}"));
    let read = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text = read.map_err(|error| wrong(&error))?;
    let mut prices: Value = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    let list = prices.as_array_mut().ok_or_else(|| wrong(&"it is no array of prices"))?;
    for price in list.iter_mut().filter_map(Value::as_object_mut) {
        for name in ["id", "inForce", "setAt", "setBy"] {
            price.remove(name);
        }
    }
    Ok(prices)
}
