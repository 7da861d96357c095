//! A run outlives its worker and its server: what happens, in order, and what must be true for each line to be printed.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    processes::{Job, Stage},
    telling::{PATIENCE, Teller, broken, expect, open, until},
    worker::{BEGAN, ENDED, TOOL},
};
use crate::cli::{
    agent::status::{Snapshot, result},
    failure::Failure,
    terminal::{Ink, Terminal},
    text,
};

const AGENT: &str = "incident_triage";
const PROMPT: &str = "SEV-2: checkout-api fails since the last deploy. \
    Find out with fetch_incident_context how far it reaches, and say what to do first.";
/// How long a sign of life of the worker counts.
const LEASE: Duration = Duration::from_secs(3);
/// The first call is killed as soon as it has begun, so it never takes this long.
const FIRST_CALL: Duration = Duration::from_mins(1);
/// The second call outlives the server, whose restart takes less than this.
const SECOND_CALL: Duration = Duration::from_secs(2);

/// One try at a task, as the timeline tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    id: String,
    task: String,
    name: String,
    number: u64,
    outcome: Option<String>,
    error: Option<String>,
    turn: Option<u64>,
    ended: Option<Timestamp>,
}

impl Attempt {
    fn read(json: &Value) -> Self {
        let word = |key: &str| json[key].as_str().map(|text| text::line(text, 200));
        Self {
            id: word("id").unwrap_or_default(),
            task: word("ref").unwrap_or_default(),
            name: word("name").unwrap_or_default(),
            number: json["attempt"].as_u64().unwrap_or_default(),
            outcome: word("outcome"),
            error: word("error"),
            turn: json["turn"].as_u64(),
            ended: text::timestamp(&json["ended_at"]),
        }
    }

    fn is_completed(&self) -> bool {
        self.outcome.as_deref().is_some_and(|outcome| outcome.eq_ignore_ascii_case("completed"))
    }

    fn is_lost(&self) -> bool {
        self.outcome.is_some() && !self.is_completed()
    }
}

pub(super) async fn tell(stage: &mut Stage, out: Terminal) -> Result<(), Failure> {
    let teller = Teller::new(out);
    open(stage, &teller).await?;
    deploy(stage, &teller).await?;
    let id = start_without_worker(stage, &teller).await?;
    let first_kill = kill_worker_in_mid_call(stage, &teller, &id).await?;
    kill_server_in_mid_call(stage, &teller, &id).await?;
    finish(stage, &teller, &id).await?;
    balance(stage, &teller, &id, first_kill).await?;
    links(stage, &teller, &id);
    Ok(())
}

async fn deploy(stage: &Stage, teller: &Teller) -> Result<(), Failure> {
    let deployed = stage.api.post(&["api", "agent", "deploy"], &json!({"agentConfig": agent()})).await?;
    expect(deployed["agentName"] == AGENT, "the server deployed another agent")?;
    teller.says(format!("Agent {AGENT} deployed; its tool {TOOL} lives in another process."));
    Ok(())
}

/// A run waits, durably, for a worker that doesn't exist yet.
async fn start_without_worker(stage: &Stage, teller: &Teller) -> Result<String, Failure> {
    let request = json!({"agentConfig": agent(), "prompt": PROMPT, "sessionId": "", "media": []});
    let started = stage.api.post(&["api", "agent", "start"], &request).await?;
    let id =
        started["executionId"].as_str().ok_or_else(|| broken("the server did not say the execution's id"))?;
    teller.says(format!(
        "Run started while no worker is alive: execution {}",
        teller.out.paint(Ink::Strong, id)
    ));
    let waits = until("the run says that it waits for a worker", async || {
        let snapshot = Snapshot::fetch(&stage.api, id).await?;
        let why = snapshot.reasons.iter().find(|reason| reason.code == "no_worker").cloned();
        Ok(why.filter(|_| snapshot.status() == "RUNNING"))
    })
    .await?;
    teller.says(format!("Status: {}. Why it is not moving: {}.", teller.out.status("RUNNING"), waits.text));
    Ok(id.to_owned())
}

/// The worker dies in the middle of its call, and the server notices. Returns when it died.
async fn kill_worker_in_mid_call(stage: &mut Stage, teller: &Teller, id: &str) -> Result<Timestamp, Failure> {
    let pid = stage.start_worker(Job::Triage, LEASE, FIRST_CALL)?;
    teller.says(format!("Worker started (process {pid})."));
    let attempt = call_began(stage).await?;
    teller.says(format!("The worker has begun the call (attempt {attempt})."));
    let killed = Timestamp::now();
    let (pid, said) = stage.kill_worker().await?;
    expect(said.is_empty(), "the call ended before the worker was killed")?;
    teller.says(format!(
        "{} in the middle of the call.",
        teller.out.paint(Ink::Bad, &format!("Worker {pid} killed with SIGKILL"))
    ));
    let lost = until("the server notices that the attempt is lost", async || {
        let attempts = attempts(stage, id).await?;
        Ok(attempts.into_iter().find(|one| one.id == attempt && one.is_lost()))
    })
    .await?;
    let why = lost.error.map(|why| format!(": {why}")).unwrap_or_default();
    teller.says(format!("The server gave up on attempt {attempt}{why}."));
    let snapshot = Snapshot::fetch(&stage.api, id).await?;
    expect(snapshot.status() == "RUNNING", "the run did not survive its worker")?;
    teller.says(format!("Same execution, status: {}.", teller.out.status("RUNNING")));
    Ok(killed)
}

/// A new worker gets the same call, and the server dies while it works.
async fn kill_server_in_mid_call(stage: &mut Stage, teller: &Teller, id: &str) -> Result<(), Failure> {
    let pid = stage.start_worker(Job::Triage, LEASE, SECOND_CALL)?;
    teller.says(format!("Another worker started (process {pid})."));
    let attempt = call_began(stage).await?;
    teller.says(format!("It has begun the same call again (attempt {attempt})."));
    let pid = stage.kill_server().await?;
    expect(stage.worker_is_busy().await, "the worker's call ended before the server was killed")?;
    teller.says(format!(
        "{}; the worker goes on.",
        teller.out.paint(Ink::Bad, &format!("Server {pid} killed with SIGKILL"))
    ));
    let (pid, took) = stage.start_server().await?;
    teller.says(format!("Server started again on the same data (process {pid}, {}).", text::duration(took)));
    let mut said = stage.worker_says(PATIENCE).await?;
    while let Some(attempt) = said.strip_prefix(BEGAN) {
        teller
            .says(format!("The restart took longer than the lease; the worker has begun attempt {attempt}."));
        said = stage.worker_says(PATIENCE).await?;
    }
    let ended = said.strip_prefix(ENDED).ok_or_else(|| broken(&format!("the worker said {said:?}")))?;
    teller.says(format!("The worker has ended its call (attempt {ended})."));
    let snapshot = Snapshot::fetch(&stage.api, id).await?;
    expect(snapshot.detail["executionId"] == id, "the server forgot the execution")
}

async fn finish(stage: &Stage, teller: &Teller, id: &str) -> Result<(), Failure> {
    let snapshot = until("the run is over", async || {
        Ok(Some(Snapshot::fetch(&stage.api, id).await?).filter(Snapshot::is_over))
    })
    .await?;
    let output = result(&snapshot.detail["output"]).unwrap_or_default();
    expect(snapshot.status() == "COMPLETED", &format!("the run ended {}", snapshot.status()))?;
    expect(
        output.contains("summary:") && output.contains("next_action:"),
        "the answer has not the two lines it should",
    )?;
    teller.says(format!("Same execution {id}, status: {}.", teller.out.status("COMPLETED")));
    output.lines().for_each(|line| teller.adds(teller.out.paint(Ink::Strong, line)));
    Ok(())
}

/// What was lost and what wasn't repeated, by the server's own records.
async fn balance(stage: &Stage, teller: &Teller, id: &str, first_kill: Timestamp) -> Result<(), Failure> {
    let attempts = attempts(stage, id).await?;
    teller.out.say("");
    for attempt in &attempts {
        let completed =
            attempts.iter().filter(|other| other.task == attempt.task && other.is_completed()).count();
        expect(completed == 1, &format!("{} was completed {completed} times", attempt.task))?;
        let turn = attempt.turn.map(|turn| format!("turn {turn}, ")).unwrap_or_default();
        let what = format!("{turn}{}, attempt {}", attempt.name, attempt.number);
        teller.adds(match (&attempt.outcome, attempt.ended) {
            (Some(outcome), _) if attempt.is_lost() => format!("lost       {what} ({outcome})"),
            (_, Some(ended)) if ended < first_kill => {
                format!("completed  {what}: before the kills, never repeated")
            }
            _ => format!("completed  {what}"),
        });
    }
    expect(attempts.iter().any(Attempt::is_lost), "the timeline shows no lost attempt")?;
    let kept =
        |attempt: &Attempt| attempt.is_completed() && attempt.ended.is_some_and(|ended| ended < first_kill);
    expect(attempts.iter().any(kept), "the timeline shows no step from before the kills")
}

fn links(stage: &Stage, teller: &Teller, id: &str) {
    let root = &stage.api.server;
    teller.out.say("");
    teller.adds(format!("this run      {root}/execution/{id}"));
    teller.adds(format!("all runs      {root}/executions"));
    teller.adds(format!("in a shell    tenure agent status {id} --server {root}"));
    teller.adds(format!("in psql       tenure psql --data-dir {}", stage.data_dir.display()));
}

/// The attempt that the worker says it has begun.
async fn call_began(stage: &mut Stage) -> Result<String, Failure> {
    let said = stage.worker_says(PATIENCE).await?;
    said.strip_prefix(BEGAN).map(str::to_owned).ok_or_else(|| broken(&format!("the worker said {said:?}")))
}

async fn attempts(stage: &Stage, id: &str) -> Result<Vec<Attempt>, Failure> {
    let timeline = stage.api.get(&["api", "executions", id, "timeline"]).await?;
    Ok(timeline["attempts"].as_array().into_iter().flatten().map(Attempt::read).collect())
}

fn agent() -> Value {
    json!({
        "name": AGENT,
        "model": "demo/incident-commander",
        "instructions": "You lead the response to production incidents. Look at the facts once with \
            fetch_incident_context before you judge. Answer in two lines: \"summary:\" with what is broken and why, \
            and \"next_action:\" with the one thing to do now.",
        "tools": [{
            "name": TOOL,
            "description": "What is known about an incident of a service: deploys, errors, latency, lost sales.",
            "inputSchema": {
                "type": "object",
                "properties": {"service": {"type": "string"}, "window_minutes": {"type": "integer"}},
                "required": ["service"],
            },
            "toolType": "worker",
        }],
        "maxTurns": 25, "timeoutSeconds": 0, "external": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_lost_when_it_ended_in_any_way_but_completed() {
        let with =
            |outcome: Value| Attempt::read(&json!({"id": "a", "ref": "r", "attempt": 1, "outcome": outcome}));
        assert!(with(json!("completed")).is_completed() && with(json!("COMPLETED")).is_completed());
        assert!(with(json!("lost")).is_lost() && with(json!("timed_out")).is_lost());
        assert!(!with(json!(null)).is_lost() && !with(json!(null)).is_completed());
    }
}
