//! Agents themselves: list, get, delete, compile, deploy.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{file, name_agent};
use crate::cli::{
    api::Api,
    failure::{Exit, Failure},
    terminal::Terminal,
    text,
};

/// An agent, and which version of it.
#[derive(Debug, Args)]
pub struct Named {
    /// The agent
    #[arg(value_name = "NAME")]
    name: String,
    /// Which version; the newest if not said
    #[arg(long, value_name = "N")]
    version: Option<u32>,
}

/// Flags of `agent compile`.
#[derive(Debug, Args)]
pub struct Compile {
    /// Agent file, JSON or YAML; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Flags of `agent deploy`.
#[derive(Debug, Args)]
pub struct Deploy {
    /// Agent files, JSON or YAML; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "package")]
    files: Vec<PathBuf>,
    /// Deploy the agents of this Python package or directory, by its own SDK
    #[arg(long, short, value_name = "PACKAGE", conflicts_with = "files")]
    package: Option<String>,
    /// Of the package, these agents only
    #[arg(long, short, value_name = "NAMES", value_delimiter = ',', requires = "package")]
    agents: Vec<String>,
}

pub(super) async fn list(api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let answer = api.get(&["api", "agent", "list"]).await?;
    if out.json {
        out.document(&answer, false);
        return Ok(Exit::Ok);
    }
    let agents = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if agents.is_empty() {
        out.say("no agents");
        out.note("deploy one: tenure agent deploy FILE");
        return Ok(Exit::Ok);
    }
    out.table(&["AGENT", "VERSION", "UPDATED", "DESCRIPTION"], agents.iter().map(row));
    Ok(Exit::Ok)
}

fn row(agent: &Value) -> Vec<String> {
    let word = |key: &str, width| text::line(agent[key].as_str().unwrap_or_default(), width);
    let updated = text::timestamp(&agent["updateTime"]).or_else(|| text::timestamp(&agent["createTime"]));
    vec![
        word("name", 80),
        agent["version"].to_string(),
        updated.map(|time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default(),
        word("description", 120),
    ]
}

pub(super) async fn get(agent: &Named, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let config =
        api.json(named(agent, Method::GET, api)).await.map_err(|failure| name_agent(failure, &agent.name))?;
    out.document(&config, false);
    Ok(Exit::Ok)
}

pub(super) async fn delete(agent: &Named, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let request = named(agent, Method::DELETE, api).timeout(std::time::Duration::from_secs(30));
    api.send(request).await.map_err(|failure| name_agent(failure, &agent.name))?;
    if out.json {
        out.document(&json!({"agentName": agent.name, "version": agent.version, "done": "deleted"}), false);
    } else {
        out.say(format!("{}  deleted", agent.name));
    }
    Ok(Exit::Ok)
}

fn named(agent: &Named, method: Method, api: &Api) -> reqwest::RequestBuilder {
    api.request(method, &["api", "agent", &agent.name])
        .query(&agent.version.map(|version| [("version", version)]))
}

pub(super) async fn compile(compile: &Compile, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let body = json!({"agentConfig": file::read(&compile.file)?});
    let plan = api.post(&["api", "agent", "compile"], &body).await?;
    out.document(&plan, false);
    Ok(Exit::Ok)
}

pub(super) async fn deploy(deploy: &Deploy, api: &Api, out: Terminal) -> Result<Exit, Failure> {
    if let Some(package) = &deploy.package {
        return deploy_python(package, &deploy.agents, api, out).await;
    }
    // All files are read before the first is deployed: a typo in the last one deploys nothing.
    let agents = deploy.files.iter().map(|path| file::read(path)).collect::<Result<Vec<_>, _>>()?;
    let mut deployed = vec![];
    for agent in agents {
        let name = agent["name"].as_str().unwrap_or_default().to_owned();
        let answer = api
            .post(&["api", "agent", "deploy"], &json!({"agentConfig": agent}))
            .await
            .map_err(|failure| Failure { what: format!("{name}: {}", failure.what), ..failure })?;
        if !out.json {
            out.say(format!("{}  deployed", text::line(answer["agentName"].as_str().unwrap_or(&name), 80)));
        }
        deployed.push(answer);
    }
    if out.json {
        out.document(&deployed.into(), false);
    }
    Ok(Exit::Ok)
}

/// Python agents are objects in a program; only their own SDK can turn them into configurations.
async fn deploy_python(package: &str, agents: &[String], api: &Api, out: Terminal) -> Result<Exit, Failure> {
    let is_path = package.contains('/') || package.starts_with('.') || Path::new(package).is_dir();
    let python = python();
    let mut command = Command::new(&python);
    command.args(["-m", "agentspan.cli.deploy", if is_path { "--path" } else { "--package" }, package]);
    if !agents.is_empty() {
        command.args(["--agents", &agents.join(",")]);
    }
    command.env("AGENTSPAN_SERVER_URL", format!("{}/api", api.server)).stderr(Stdio::inherit());
    let needs = "install the SDK (pip install agentspan), or name another interpreter in PYTHON";
    let output = command.output().await.map_err(|error| {
        Failure::new(Exit::Failed, format!("could not run {}", python.display())).because(error).next(needs)
    })?;
    let Ok(results) = serde_json::from_slice::<Vec<Value>>(&output.stdout) else {
        return Err(Failure::new(Exit::Failed, format!("{} could not deploy {package}", python.display()))
            .because(output.status)
            .next(needs));
    };
    let failed = results.iter().any(|result| result["success"] != true);
    if out.json {
        out.document(&results.into(), false);
    } else {
        for result in &results {
            let name = text::line(result["agent_name"].as_str().unwrap_or_default(), 80);
            let how = if result["success"] == true { "deployed" } else { "not deployed: " };
            out.say(format!(
                "{name}  {how}{}",
                text::line(result["error"].as_str().unwrap_or_default(), 300)
            ));
        }
    }
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

/// `PYTHON`, the project's own environment, or what is on the path.
fn python() -> PathBuf {
    let own =
        || [".venv/bin/python", "venv/bin/python"].into_iter().map(PathBuf::from).find(|path| path.exists());
    std::env::var_os("PYTHON").map(PathBuf::from).or_else(own).unwrap_or_else(|| "python3".into())
}
