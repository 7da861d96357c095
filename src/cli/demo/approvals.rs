//! A run waits for people while everything is killed: what happens, in order, and what must be true for each line to be
//! printed.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    processes::{Job, Stage},
    telling::{PATIENCE, Teller, broken, expect, open, until},
    worker::{BEGAN, ENDED, REFUND},
};
use crate::cli::{
    agent::status::{Snapshot, result},
    failure::Failure,
    terminal::{Ink, Terminal},
    text,
};

const AGENT: &str = "refund_desk";
const PROMPT: &str =
    "Two customers want their money back: order 48211 arrived broken, order 48377 was a change of mind.";
/// How long a sign of life of the worker counts.
const LEASE: Duration = Duration::from_secs(3);
/// The first call is killed when it has paid, so it never takes this long.
const FIRST_CALL: Duration = Duration::from_mins(1);

/// `is_watched`: somebody will look around afterwards, so one more run waits for them.
pub(super) async fn tell(stage: &mut Stage, out: Terminal, is_watched: bool) -> Result<(), Failure> {
    let teller = Teller::new(out);
    open(stage, &teller).await?;
    let id = start(stage).await?;
    teller.says(format!("Run started: execution {}", teller.out.paint(Ink::Strong, &id)));
    let asked = wait_for_people(stage, &teller, &id).await?;
    kill_all(stage, &teller, &id, &asked).await?;
    decide(stage, &teller, &id, &asked).await?;
    pay_once(stage, &teller, &id).await?;
    finish(stage, &teller, &id).await?;
    balance(stage, &teller, &id).await?;
    links(stage, &teller, &id);
    if is_watched {
        let id = start(stage).await?;
        let asked = questions(stage, &id, "pending", 2).await?;
        teller.out.say("");
        teller.adds("Another run asks the same. It waits for you, for as long as you like:");
        teller.adds(format!("{}/approvals/{}", stage.api.server, asked[0].id));
    }
    Ok(())
}

/// One question to people.
struct Question {
    id: String,
    what: String,
    since: String,
}

async fn start(stage: &Stage) -> Result<String, Failure> {
    let request = json!({"agentConfig": agent(), "prompt": PROMPT, "sessionId": "", "media": []});
    let started = stage.api.post(&["api", "agent", "start"], &request).await?;
    let id = started["executionId"].as_str();
    id.map(str::to_owned).ok_or_else(|| broken("the server did not say the execution's id"))
}

/// What a run asks people, once it has asked so many.
async fn questions(stage: &Stage, id: &str, which: &str, many: usize) -> Result<Vec<Question>, Failure> {
    let word = |value: &Value| text::line(value.as_str().unwrap_or_default(), 200);
    until(&format!("{many} questions are {which}"), async || {
        let query = [("execution", id), ("state", which)];
        let request = stage.api.request(reqwest::Method::GET, &["api", "v1", "approvals"]).query(&query);
        let list = stage.api.json(request).await?;
        let rows = list["approvals"].as_array().map(Vec::as_slice).unwrap_or_default();
        let read = |row: &Value| Question {
            id: word(&row["id"]),
            what: word(&row["argumentsBeginning"]),
            since: word(&row["askedAt"]),
        };
        Ok((rows.len() == many).then(|| rows.iter().map(read).collect()))
    })
    .await
}

/// The model wants two refunds, and each waits for a person.
async fn wait_for_people(stage: &mut Stage, teller: &Teller, id: &str) -> Result<Vec<Question>, Failure> {
    stage.start_worker(Job::Refunds, LEASE, FIRST_CALL)?;
    let asked = questions(stage, id, "pending", 2).await?;
    for question in &asked {
        teller.says(format!("The agent asks whether it may refund {}.", question.what));
    }
    let snapshot = Snapshot::fetch(&stage.api, id).await?;
    let why = snapshot.reasons.iter().find(|reason| reason.code == "approval");
    let why = why.ok_or_else(|| broken("the run does not say that it waits for a person"))?;
    teller.says(format!("Status: {}. Why it is not moving: {}.", teller.out.status("RUNNING"), why.text));
    Ok(asked)
}

/// Nothing is left but files; then a server comes up on them, and the run still asks the same.
async fn kill_all(stage: &mut Stage, teller: &Teller, id: &str, asked: &[Question]) -> Result<(), Failure> {
    let (worker, said) = stage.kill_worker().await?;
    expect(said.is_empty(), "a refund began before anybody had approved it")?;
    let server = stage.kill_server().await?;
    let postgres = stage.kill_postgres().await?;
    teller.says(format!(
        "{}: worker {worker}, server {server}, Postgres {postgres}. No process is left; the question is a row on the disk.",
        teller.out.paint(Ink::Bad, "Everything killed with SIGKILL")
    ));
    let (pid, took) = stage.start_server().await?;
    teller.says(format!(
        "Server started again on the same data (process {pid}, {}); Postgres recovered.",
        text::duration(took)
    ));
    let still = questions(stage, id, "pending", asked.len()).await?;
    let same = |(now, then): (&Question, &Question)| now.id == then.id && now.since == then.since;
    expect(still.iter().zip(asked).all(same), "other questions are asked than before the kills")?;
    teller.says(format!("Same execution, same {} questions, asked since {}.", still.len(), still[0].since));
    Ok(())
}

/// A person approves one with another amount and denies the other; the server dies right after; a second click hears who was
/// first.
async fn decide(stage: &mut Stage, teller: &Teller, id: &str, asked: &[Question]) -> Result<(), Failure> {
    let [broken_goods, changed_mind] = asked else { return Err(broken("there should be two questions")) };
    let decide = ["api", "v1", "approvals", &broken_goods.id, "decide"];
    let approve = json!({
        "decision": "approve", "by": "mira", "reason": "one photo shows older damage",
        "arguments": {"order": "48211", "amount": 1190, "reason": "arrived broken"},
    });
    let made = stage.api.post(&decide, &approve).await?;
    expect(made["outcome"] == "decided", "the approval did not count")?;
    teller.says("Mira approves the first with another amount, 1190 instead of 1240:");
    teller.adds(format!(
        "tenure approvals approve {} --set amount=1190 --by mira --reason \"one photo shows older damage\"",
        broken_goods.id
    ));
    let pid = stage.kill_server().await?;
    teller.says(format!(
        "{} right after.",
        teller.out.paint(Ink::Bad, &format!("Server {pid} killed with SIGKILL"))
    ));
    let (pid, took) = stage.start_server().await?;
    teller.says(format!("Server started again (process {pid}, {}).", text::duration(took)));
    let deny = json!({"decision": "deny", "by": "tomek", "reason": "twenty days too late"});
    let Err(late) = stage.api.post(&decide, &deny).await else {
        return Err(broken("a second decision about the same question counted"));
    };
    let late = late.why.unwrap_or(late.what);
    teller.says(format!("Tomek's page is old; he denies the same one and hears: {}", text::line(&late, 200)));
    let made = stage.api.post(&["api", "v1", "approvals", &changed_mind.id, "decide"], &deny).await?;
    expect(made["outcome"] == "decided", "the denial did not count")?;
    teller.says("Tomek denies the second one: twenty days too late.");
    questions(stage, id, "decided", 2).await?;
    Ok(())
}

/// The worker dies when it has paid and not yet said so; the next one gets the same call under the same key.
async fn pay_once(stage: &mut Stage, teller: &Teller, id: &str) -> Result<(), Failure> {
    stage.start_worker(Job::Refunds, LEASE, FIRST_CALL)?;
    let said = stage.worker_says(PATIENCE).await?;
    expect(said.starts_with(BEGAN), "the worker did not begin")?;
    expect(payments(stage, id).len() == 1, "the worker began and paid nothing")?;
    let (pid, _) = stage.kill_worker().await?;
    teller.says(format!(
        "{} when it had paid 1190 and not yet reported it.",
        teller.out.paint(Ink::Bad, &format!("Worker {pid} killed with SIGKILL"))
    ));
    let pid = stage.start_worker(Job::Refunds, LEASE, Duration::ZERO)?;
    stage.worker_says(PATIENCE).await?;
    let said = stage.worker_says(PATIENCE).await?;
    expect(said.starts_with(ENDED), "the worker did not end its call")?;
    teller.says(format!(
        "Another worker (process {pid}) got the same call under the same key, found it paid, and reported it."
    ));
    Ok(())
}

async fn finish(stage: &Stage, teller: &Teller, id: &str) -> Result<(), Failure> {
    let snapshot = until("the run is over", async || {
        Ok(Some(Snapshot::fetch(&stage.api, id).await?).filter(Snapshot::is_over))
    })
    .await?;
    let output = result(&snapshot.detail["output"]).unwrap_or_default();
    expect(snapshot.status() == "COMPLETED", &format!("the run ended {}", snapshot.status()))?;
    let is_right =
        output.contains("paid: order 48211, 1190 euros") && output.contains("twenty days too late");
    expect(is_right, &format!("the model was not told what people decided: {output}"))?;
    teller.says(format!("Same execution {id}, status: {}.", teller.out.status("COMPLETED")));
    output.lines().for_each(|line| teller.adds(teller.out.paint(Ink::Strong, line)));
    Ok(())
}

/// Who decided what, by the server's records, and what was paid, by the ledger.
async fn balance(stage: &Stage, teller: &Teller, id: &str) -> Result<(), Failure> {
    let asked = questions(stage, id, "decided", 2).await?;
    teller.out.say("");
    for question in &asked {
        let row = stage.api.get(&["api", "v1", "approvals", &question.id]).await?;
        let decision = &row["decision"];
        let edited = if decision["edited"] == true { ", with other arguments" } else { "" };
        let [outcome, who, at, reason] =
            [&row["state"], &decision["by"], &decision["at"], &decision["reason"]]
                .map(|v| text::line(v.as_str().unwrap_or_default(), 100));
        teller.adds(format!("{outcome:<9}  {} by {who} at {at}{edited}: {reason}", question.what));
    }
    let paid = payments(stage, id);
    expect(
        paid.len() == 1 && paid[0].ends_with("order 48211 amount 1190"),
        "the ledger holds other payments",
    )?;
    teller.adds(format!("paid once  {}", paid[0].split_once(' ').map_or("", |(_, what)| what)));
    Ok(())
}

/// What the ledger holds of this run. Each line begins with the key, and that with the execution.
fn payments(stage: &Stage, id: &str) -> Vec<String> {
    let ledger = std::fs::read_to_string(stage.ledger()).unwrap_or_default();
    ledger.lines().filter(|line| line.starts_with(id)).map(str::to_owned).collect()
}

fn links(stage: &Stage, teller: &Teller, id: &str) {
    let root = &stage.api.server;
    teller.out.say("");
    teller.adds(format!("this run      {root}/execution/{id}"));
    teller.adds(format!("approvals     {root}/approvals"));
    teller.adds(format!("in a shell    tenure approvals list --decided --server {root}"));
    teller.adds(format!(
        "in psql       tenure psql --data-dir {}   (view tenure.approval)",
        stage.data_dir.display()
    ));
    teller.adds(format!("the ledger    {}", stage.ledger().display()));
}

fn agent() -> Value {
    json!({
        "name": AGENT,
        "model": "demo/refund-desk",
        "instructions": "You decide about refunds. Ask for each with the tool refund, then say what was paid and what wasn't.",
        "tools": [{
            "name": REFUND,
            "description": "Pays a customer's money back, in euros.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "order": {"type": "string"},
                    "amount": {"type": "number", "maximum": 5000, "description": "In euros."},
                    "reason": {"type": "string"},
                },
                "required": ["order", "amount"],
            },
            "toolType": "worker",
            "approvalRequired": true,
        }],
        "maxTurns": 25, "timeoutSeconds": 0, "external": false,
    })
}
