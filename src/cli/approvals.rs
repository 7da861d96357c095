//! `tenure approvals …`: what people are asked, and deciding it.

mod policy;
mod webhook;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    api::Api,
    failure::{Exit, Failure},
    terminal::Terminal,
    text,
};

/// Commands on approvals.
#[derive(Debug, Subcommand)]
pub enum Approvals {
    /// What nobody has decided, oldest first
    List(List),
    /// All of one question, and how such ones were decided before
    Show {
        /// The approval
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Let a tool call go, as the model wrote it or with other arguments
    Approve(Approve),
    /// Refuse a tool call, or to answer; the model is told why
    Deny(Deny),
    /// Answer what the model asked a person
    Answer(Answer),
    /// Ask back: the call is not made, and the model is told what you want to know
    Ask(Ask),
    /// Rules about which calls need a person, whatever their tool says
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Who is told when a person is asked, or a run fails
    #[command(subcommand)]
    Webhook(webhook::Webhook),
}

/// Which approvals.
#[derive(Debug, Args)]
pub struct List {
    /// Those that were decided, newest first
    #[arg(long)]
    decided: bool,
    /// Of this tool
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Of this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Of this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Of this execution
    #[arg(long, value_name = "ID")]
    execution: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

/// Who says what about which approval.
#[derive(Debug, Args)]
pub struct Said {
    /// The approval
    #[arg(value_name = "ID")]
    id: String,
    /// Your name, for the record; the user of this shell if not said
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// An approval.
#[derive(Debug, Args)]
pub struct Approve {
    #[command(flatten)]
    said: Said,
    /// Run with another value of an argument; JSON, or text where that is no JSON or the tool wants text
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Run with these arguments, a JSON object
    #[arg(long, value_name = "JSON", conflicts_with = "set")]
    arguments: Option<String>,
    /// Why, for the record; the model is told
    #[arg(long, alias = "note", value_name = "TEXT")]
    reason: Option<String>,
}

/// A refusal.
#[derive(Debug, Args)]
pub struct Deny {
    #[command(flatten)]
    said: Said,
    /// Why; the model is told
    #[arg(long, alias = "note", value_name = "TEXT")]
    reason: String,
}

/// An answer.
#[derive(Debug, Args)]
pub struct Answer {
    #[command(flatten)]
    said: Said,
    /// The answer in words
    #[arg(value_name = "TEXT", required_unless_present = "value")]
    words: Vec<String>,
    /// The answer as a JSON value
    #[arg(long = "value", value_name = "JSON", conflicts_with = "words")]
    value: Option<String>,
}

/// A question back.
#[derive(Debug, Args)]
pub struct Ask {
    #[command(flatten)]
    said: Said,
    /// What you want to know; the model is told
    #[arg(value_name = "TEXT", required = true)]
    words: Vec<String>,
}

impl Approvals {
    pub(super) async fn run(self, api: &Api, out: Terminal) -> Result<Exit, Failure> {
        match self {
            Self::List(wanted) => list(&wanted, api, out).await,
            Self::Show { id } => show(&id, api, out).await,
            Self::Approve(approve) => {
                let mut what =
                    json!({ "decision": "approve", "reason": approve.reason.clone().unwrap_or_default() });
                if let Some(arguments) = edited(&approve, api, &mut what).await? {
                    what["arguments"] = arguments;
                }
                decide(&approve.said, what, api, out).await
            }
            Self::Deny(deny) => {
                let what = json!({ "decision": "deny", "reason": deny.reason });
                decide(&deny.said, what, api, out).await
            }
            Self::Ask(ask) => {
                let what = json!({ "decision": "ask", "reason": ask.words.join(" ") });
                decide(&ask.said, what, api, out).await
            }
            Self::Policy(policy) => policy.run(api, out).await,
            Self::Webhook(webhook) => webhook.run(api, out).await,
            Self::Answer(answer) => {
                let value = match &answer.value {
                    Some(json) => parsed(json, "--value")?,
                    None => answer.words.join(" ").into(),
                };
                decide(&answer.said, json!({ "decision": "answer", "answer": value }), api, out).await
            }
        }
    }
}

fn parsed(text: &str, flag: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|e| Failure::usage(format!("{flag} is not valid JSON")).because(e))
}

/// The arguments that somebody wants instead; binds the decision to those that were changed.
async fn edited(approve: &Approve, api: &Api, what: &mut Value) -> Result<Option<Value>, Failure> {
    if let Some(text) = &approve.arguments {
        return parsed(text, "--arguments").map(Some);
    }
    if approve.set.is_empty() {
        return Ok(None);
    }
    let asked = api.get(&["api", "v1", "approvals", &approve.said.id]).await.map_err(unknown)?;
    what["argumentsHash"] = asked["argumentsHash"].clone();
    let mut arguments = asked["arguments"].as_object().cloned().unwrap_or_default();
    for pair in &approve.set {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--set {pair}: write it like --set amount=1190")))?;
        let wants_text = asked["schema"]["properties"][name]["type"] == "string";
        let value = serde_json::from_str(value).ok().filter(|_| !wants_text).unwrap_or_else(|| value.into());
        arguments.insert(name.to_owned(), value);
    }
    Ok(Some(Value::Object(arguments)))
}

fn unknown(failure: Failure) -> Failure {
    if failure.exit == Exit::NotFound {
        failure.next("tenure approvals list shows what waits")
    } else {
        failure
    }
}

async fn list(wanted: &List, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let mut query = vec![("limit", wanted.limit.to_string())];
    query.extend(wanted.decided.then(|| ("state", "decided".to_owned())));
    let given = [
        ("tool", &wanted.tool),
        ("agent", &wanted.agent),
        ("group", &wanted.group),
        ("execution", &wanted.execution),
    ];
    query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    let answer = api.json(api.request(Method::GET, &["api", "v1", "approvals"]).query(&query)).await?;
    if out.json {
        out.document(&answer, false);
        return Ok(Exit::Ok);
    }
    let rows = answer["approvals"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        out.say(if wanted.decided { "nothing was decided yet" } else { "nothing waits for a decision" });
        return Ok(Exit::Ok);
    }
    let now = Timestamp::now();
    let header: &[&str] = if wanted.decided {
        &["ID", "TOOL", "DECISION", "BY", "WHEN", "REASON"]
    } else {
        &["ID", "TOOL", "AGENT", "OF", "ASKED", "LEFT", "ARGUMENTS"]
    };
    out.table(header, rows.iter().map(|row| line(row, wanted.decided, now)));
    if !answer["next"].is_null() {
        out.note("there are more; --limit shows more at once");
    }
    Ok(Exit::Ok)
}

fn line(row: &Value, is_decided: bool, now: Timestamp) -> Vec<String> {
    let word = |value: &Value, most: usize| text::line(value.as_str().unwrap_or_default(), most);
    let ago = |value: &Value| {
        let ago = text::timestamp(value).map(|at| format!("{} ago", text::duration(text::since(at, now))));
        ago.unwrap_or_default()
    };
    let id = word(&row["id"], 40);
    let tool = word(&row["tool"], 40);
    if is_decided {
        let edited = if row["decision"]["edited"] == true { ", edited" } else { "" };
        let state = format!("{}{edited}", word(&row["state"], 20));
        let decision = &row["decision"];
        return vec![
            id,
            tool,
            state,
            word(&decision["by"], 40),
            ago(&decision["at"]),
            word(&decision["reason"], 60),
        ];
    }
    let left = text::timestamp(&row["expiresAt"]).map(|at| text::duration(text::since(now, at)));
    let quorum = row["quorum"].as_i64().unwrap_or(1);
    let of = row["group"].as_str().map_or_else(|| "anybody".to_owned(), |g| text::line(g, 30));
    let of = if quorum > 1 { format!("{of} ({} of {quorum})", row["approved"]) } else { of };
    vec![
        id,
        tool,
        word(&row["agent"], 30),
        of,
        ago(&row["askedAt"]),
        left.unwrap_or_default(),
        word(&row["argumentsBeginning"], 60),
    ]
}

async fn show(id: &str, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let asked = api.get(&["api", "v1", "approvals", id]).await.map_err(unknown)?;
    if out.json {
        out.document(&asked, false);
        return Ok(Exit::Ok);
    }
    let word = |value: &Value| text::line(value.as_str().unwrap_or_default(), 300);
    out.say(format!("{}  {}", word(&asked["tool"]), word(&asked["state"])));
    let mut facts = vec![
        (
            "asked",
            format!("{} by {}, turn {}", word(&asked["askedAt"]), word(&asked["agent"]), asked["turn"]),
        ),
        ("execution", word(&asked["executionId"])),
        ("of", asked["group"].as_str().map_or_else(|| "anybody".to_owned(), |g| text::line(g, 80))),
    ];
    if asked["quorum"].as_i64().unwrap_or(1) > 1 {
        facts.push(("approved", format!("{} of {}", asked["approved"], asked["quorum"])));
    }
    if asked["expiresAt"].is_string() {
        facts.push(("until", format!("{}, then {}", word(&asked["expiresAt"]), word(&asked["onExpiry"]))));
    }
    let decision = &asked["decision"];
    if decision.is_object() {
        facts.push((
            "decided",
            format!("{} by {} ({})", word(&decision["at"]), word(&decision["by"]), word(&decision["via"])),
        ));
        if decision["reason"].is_string() {
            facts.push(("because", word(&decision["reason"])));
        }
    }
    if asked["policy"].is_string() {
        facts.push(("policy", word(&asked["policy"])));
    }
    if asked["notRequester"] == true {
        facts.push(("not by", "who started the run".to_owned()));
    }
    let before = &asked["before"];
    facts.push((
        "before",
        format!(
            "{} such asks in 90 days: {} approved ({} edited), {} denied, {} answered",
            before["asks"], before["approved"], before["edited"], before["denied"], before["answered"]
        ),
    ));
    for (name, value) in facts {
        out.say(format!("  {name:<10} {value}"));
    }
    for (name, key) in [("arguments", "arguments"), ("approved with", "edited"), ("answer", "answer")] {
        if !asked[key].is_null() {
            let pretty = serde_json::to_string_pretty(&asked[key]).unwrap_or_default();
            let lines: Vec<_> = pretty.lines().map(|l| format!("    {}", text::line(l, 300))).collect();
            out.say(format!("  {name}\n{}", lines.join("\n")));
        }
    }
    if !decision.is_object() {
        let verb =
            if asked["kind"] == "question" { "answer ID TEXT" } else { "approve ID [--set NAME=VALUE]" };
        out.note(format!("decide it: tenure approvals {}", verb.replace("ID", &text::line(id, 60))));
    }
    Ok(Exit::Ok)
}

async fn decide(said: &Said, what: Value, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let by = said.by.clone().or_else(|| super::env("USER")).unwrap_or_default();
    let mut body: Map<String, Value> = what.as_object().cloned().unwrap_or_default();
    body.insert("by".to_owned(), by.into());
    body.insert("via".to_owned(), "cli".into());
    let path = ["api", "v1", "approvals", &said.id, "decide"];
    let answer = api.post(&path, &Value::Object(body)).await.map_err(unknown)?;
    if out.json {
        out.document(&answer, false);
        return Ok(Exit::Ok);
    }
    let tool = text::line(answer["approval"]["tool"].as_str().unwrap_or_default(), 80);
    out.say(format!("{tool}  {}", text::line(answer["message"].as_str().unwrap_or_default(), 500)));
    Ok(Exit::Ok)
}
