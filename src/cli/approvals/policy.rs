//! `tenure approvals policy …`: which calls need a person, whatever their tool says.

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{
    api::Api,
    failure::{Exit, Failure},
    terminal::Terminal,
    text,
};

const PATH: [&str; 3] = ["api", "v1", "approval-policies"];

/// Commands on policies.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// All of them, in the order in which they are looked at; the first one that matches a call counts
    List,
    /// Set a policy, or replace the one of its name
    Set(Box<Set>),
    /// Remove a policy
    Remove {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// What a policy says.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// A person must let the call go
    Always,
    /// Nobody needs to
    Never,
    /// A person must when an argument is above a number, or equals a value
    When,
}

/// A policy.
#[derive(Debug, Args)]
pub struct Set {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// What it says
    #[arg(value_name = "MODE")]
    mode: Mode,
    /// Calls of these tools; * stands for any text
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    tool: String,
    /// Calls by these agents
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    agent: String,
    /// With `when`: of this argument, names with dots between them
    #[arg(long, value_name = "PATH")]
    argument: Option<String>,
    /// With `when`: above this number; what is no number counts as above
    #[arg(long, value_name = "NUMBER", conflicts_with = "equals")]
    above: Option<f64>,
    /// With `when`: equal to this; JSON, or text where that is no JSON
    #[arg(long, value_name = "VALUE")]
    equals: Option<String>,
    /// With `never`: also calls of tools that ask by themselves
    #[arg(long)]
    waives: bool,
    /// Whose decision it is; anybody's unless said
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// How many must approve
    #[arg(long, value_name = "N", default_value_t = 1)]
    quorum: i16,
    /// For how many seconds they are asked; for ever unless said
    #[arg(long, value_name = "SECS")]
    timeout_secs: Option<f64>,
    /// What happens then: deny, approve or escalate
    #[arg(long, value_name = "WHAT")]
    on_timeout: Option<String>,
    /// Who is asked then
    #[arg(long, value_name = "NAME")]
    escalate_to: Option<String>,
    /// Whoever started the run can't approve
    #[arg(long)]
    not_requester: bool,
    /// Policies are looked at from the lowest
    #[arg(long, value_name = "N", default_value_t = 100)]
    position: i32,
    /// Your name, for the record; the user of this shell if not said
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Policy {
    pub(super) async fn run(self, api: &Api, out: Terminal) -> Result<Exit, Failure> {
        let answer = match &self {
            Self::List => api.get(&PATH).await?,
            Self::Set(set) => api.post(&PATH, &set.wish()).await?,
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
                out.say("there are no policies; each tool says itself whether it asks");
            } else {
                out.table(&["AT", "NAME", "AGENT", "TOOL", "SAYS", "ASKS", "SET BY"], rows.iter().map(line));
            }
        }
        Ok(Exit::Ok)
    }
}

impl Set {
    fn wish(&self) -> Value {
        let mode = match self.mode {
            Mode::Always => "always",
            Mode::Never => "never",
            Mode::When => "when",
        };
        let equals = self.equals.as_ref().map(|v| serde_json::from_str(v).unwrap_or_else(|_| json!(v)));
        json!({
            "name": self.name, "position": self.position, "agent": self.agent, "tool": self.tool, "mode": mode,
            "argument": self.argument, "above": self.above, "equals": equals, "waives": self.waives,
            "group": self.group, "quorum": self.quorum, "timeoutSeconds": self.timeout_secs,
            "onTimeout": self.on_timeout, "escalateTo": self.escalate_to, "notRequester": self.not_requester,
            "by": self.by.clone().or_else(|| crate::cli::env("USER")),
        })
    }
}

fn line(row: &Value) -> Vec<String> {
    let word = |key: &str| text::line(row[key].as_str().unwrap_or_default(), 60);
    vec![
        row["position"].to_string(),
        word("name"),
        word("agent"),
        word("tool"),
        word("says"),
        word("asks"),
        word("setBy"),
    ]
}
