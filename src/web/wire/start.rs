//! Starting a run, whichever way a client asks for it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::task::{Fields, fields, raw};
use crate::agent::Agent;
use crate::id::ExecutionId;
use crate::json::Json;
use crate::runtime::{Start, Started};
use crate::store::agents;
use crate::web::{Problem, State};

/// Longest name of a task or domain, in bytes.
const MAX_NAME: usize = 200;

/// The deployed agent with this name, ready to run, and its version.
///
/// # Errors
///
/// A 404 when it can't be started; a 400 when this server can't run its definition.
pub async fn deployed(state: &State, name: &str, version: Option<i32>) -> Result<(Arc<Agent>, i32), Problem> {
    let pool = state.runtime.pool();
    let found = agents::get(&pool.get().await?, name, version).await?;
    let version = found.ok_or_else(|| unknown(name, version))?.version;
    Ok((state.runtime.agent(name, version).await?, version))
}

/// There is no such agent, or no such version of it, that could be started.
pub fn unknown(name: &str, version: Option<i32>) -> Problem {
    let version = version.map(|v| format!(", version={v}")).unwrap_or_default();
    Problem::not_found(format!("No such workflow found by name: {name}{version}; deploy the agent first"))
}

/// What all ways of starting have in common, once the agent is known.
#[derive(Default)]
pub struct Run {
    pub prompt: String,
    pub media: Vec<String>,
    pub context: Option<Json>,
    pub session: String,
    /// Fields of the input beyond those above.
    pub more: Fields,
    pub key: Option<String>,
    /// Domain of its stateful tools.
    pub stateful_domain: Option<String>,
    /// Task name → domain, when the client says it itself.
    pub domains: Option<Json>,
    pub timeout_secs: Option<f64>,
    pub priority: i16,
    /// Who wants it, by their own account.
    pub requester: String,
}

/// The execution's input as it is stored, and as clients read it.
#[derive(Serialize)]
struct Input<'a> {
    prompt: &'a str,
    media: &'a [String],
    context: &'a Json,
    session_id: &'a str,
    cwd: &'a str,
    #[serde(flatten)]
    more: &'a Fields,
}

impl Run {
    /// Start it.
    ///
    /// # Errors
    ///
    /// A 400 for a run about nothing; whatever the runtime says.
    pub async fn start(mut self, state: &State, agent: Arc<Agent>, version: i32) -> Result<Started, Problem> {
        let context = match self.context.take().filter(|c| !c.is_null()) {
            None => Json::of(&Fields::new()),
            Some(context) if context.text().starts_with('{') => context,
            Some(_) => return Err(Problem::refused("context: must be an object")),
        };
        let says_something = !self.prompt.trim().is_empty()
            || self.media.iter().any(|m| !m.trim().is_empty())
            || !fields(&context).is_empty();
        if !says_something {
            return Err(Problem::refused(
                "Agent execution requires a non-empty prompt, at least one media item, or non-empty context.",
            ));
        }
        let requester = self.requester.trim();
        if requester.chars().count() > MAX_NAME {
            return Err(Problem::refused(format!(
                "requestedBy: must be a name of at most {MAX_NAME} characters"
            )));
        }
        if !requester.is_empty() {
            self.more.insert("requested_by".to_owned(), raw(requester));
        }
        let domains = self.domains(&agent);
        check_domains(domains.as_ref())?;
        let start = Start {
            id: ExecutionId::new(),
            input: self.input(&context),
            context,
            key: self.key.clone().filter(|k| !k.trim().is_empty()),
            session: Some(self.session.clone()).filter(|s| !s.is_empty()),
            domains,
            domain: self.stateful_domain.clone().filter(|r| !r.is_empty()),
            priority: self.priority,
            timeout: timeout(self.timeout_secs)?,
            refused: refusal(state, &agent),
            agent,
            version,
        };
        Ok(state.runtime.start(start).await?)
    }

    fn input(&self, context: &Json) -> Json {
        Json::of(&Input {
            prompt: &self.prompt,
            media: &self.media,
            context,
            session_id: &self.session,
            cwd: ".",
            more: &self.more,
        })
    }

    /// Stateful tools and the client's own workers of this run wait where only this client polls.
    fn domains(&self, agent: &Agent) -> Option<Json> {
        let mut domains: Fields = self.domains.as_ref().map(fields).unwrap_or_default();
        if let Some(run_id) = self.stateful_domain.as_deref().filter(|r| !r.is_empty()) {
            let tools = agent.tools.iter().filter(|t| t.stateful).map(|t| t.name.clone());
            domains.extend(tools.chain(agent.required_workers()).map(|name| (name, raw(run_id))));
        }
        (!domains.is_empty()).then(|| Json::of(&domains))
    }
}

/// A queue's name holds the domain, so it can't be of any length.
fn check_domains(domains: Option<&Json>) -> Result<(), Problem> {
    let fits = |(task, domain): &(String, Box<RawValue>)| {
        task.len() <= MAX_NAME
            && serde_json::from_str::<String>(domain.get()).is_ok_and(|d| d.len() <= MAX_NAME)
    };
    match domains.map(fields).unwrap_or_default().into_iter().find(|entry| !fits(entry)) {
        None => Ok(()),
        Some((task, _)) => {
            let task: String = task.chars().take(MAX_NAME).collect();
            Err(Problem::refused(format!(
                "domain of '{task}': task and domain must be texts of at most {MAX_NAME} bytes"
            )))
        }
    }
}

/// Why a run of `agent` can't go anywhere: its provider is not configured here. An agent that brings its own place for
/// its model is not judged.
pub fn refusal(state: &State, agent: &Agent) -> Option<String> {
    if agent.base_url.is_some() {
        return None;
    }
    (state.config.provider)(&agent.provider()).err()
}

fn timeout(secs: Option<f64>) -> Result<Option<Duration>, Problem> {
    match secs {
        None | Some(0.0) => Ok(None),
        Some(secs) => Duration::try_from_secs_f64(secs)
            .ok()
            .filter(|t| t.as_secs() < 3_200_000_000)
            .map(Some)
            .ok_or_else(|| {
                Problem::refused("timeoutSeconds: must be 0 (none) or a positive number of seconds")
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_keeps_what_the_client_wrote() {
        let context = Json::from_text(r#"{"n": 1.0e5, "a":null}"#.into()).unwrap();
        let mut run = Run { prompt: "Go.".into(), session: "s".into(), ..Run::default() };
        run.more.insert("ticket".into(), raw(&7));
        assert_eq!(
            run.input(&context).text(),
            r#"{"prompt":"Go.","media":[],"context":{"n": 1.0e5, "a":null},"session_id":"s","cwd":".","ticket":7}"#
        );
    }

    #[test]
    fn only_what_is_stateful_waits_in_the_domain_of_the_run() {
        let agent = Agent::parse(
            r#"{"name":"a","model":"demo/x","tools":[{"name":"mine","stateful":true},{"name":"theirs"}],"stopWhen":{"taskName":"a_stop_when"}}"#,
        )
        .unwrap();
        let run = Run { stateful_domain: Some("r1".into()), ..Run::default() };
        assert_eq!(run.domains(&agent).unwrap().text(), r#"{"mine":"r1","a_stop_when":"r1"}"#);
        assert!(Run::default().domains(&agent).is_none());
    }

    #[test]
    fn a_timeout_is_a_time_or_none() {
        assert_eq!(timeout(Some(0.0)).unwrap(), None);
        assert_eq!(timeout(Some(1.5)).unwrap(), Some(Duration::from_millis(1500)));
        assert!(timeout(Some(-1.0)).is_err() && timeout(Some(1e300)).is_err());
    }
}
