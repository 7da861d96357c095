//! The form that starts a run of an agent.
//!
//! A page gives its form a key, and the run's start key is made of that and of what was sent: a double click starts one
//! run, and a changed form another one.

use std::fmt::Write as _;

use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::agent::{again, named};
use crate::json::{self, Json};
use crate::web::ui::kit::{Viewer, form};
use crate::web::ui::shown;
use crate::web::wire::start::{Run, deployed};
use crate::web::{MAX_BODY, Problem, State};

/// Most bytes of a form: what is typed may grow threefold on its way.
const MOST: usize = 3 * MAX_BODY;
/// Longest session id, in bytes.
const SESSION: usize = 1000;
/// Longest time that a run may be given, in seconds.
const LONGEST: f64 = 3.2e9;

/// A form as it is shown.
#[derive(Debug, Default)]
pub struct Form {
    /// What the agent is asked.
    pub prompt: String,
    /// The conversation that the run belongs to.
    pub session: String,
    /// What its tools share, as JSON.
    pub context: String,
    /// A version's number, or empty for the current one.
    pub version: String,
    /// Seconds, or empty for what the agent says.
    pub timeout: String,
    /// Who starts it.
    pub by: String,
    /// Of this form.
    pub key: String,
    /// Why it was not obeyed.
    pub wrong: Vec<Wrong>,
}

/// A field that can't be obeyed.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which field; empty when it is no single one.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub text: String,
}

impl Form {
    /// One that nobody has filled in.
    pub fn empty(name: &str) -> Self {
        Self { key: Uuid::now_v7().to_string(), by: name.to_owned(), ..Self::default() }
    }

    /// What is wrong with a field.
    pub fn wrong(&self, field: &str) -> Option<&str> {
        self.wrong.iter().find(|w| w.field == field).map(|w| w.text.as_str())
    }

    /// Whether more than the prompt is filled in.
    pub fn is_special(&self) -> bool {
        let more = [&self.session, &self.context, &self.version, &self.timeout];
        more.iter().any(|field| !field.is_empty())
    }

    /// Whether this version is chosen.
    pub fn chooses(&self, version: i32) -> bool {
        self.version == version.to_string()
    }
}

/// What a form says.
#[derive(Debug, Default, Deserialize)]
pub struct Sent {
    #[serde(default)]
    token: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    session: String,
    #[serde(default)]
    context: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    timeout: String,
    #[serde(default)]
    by: String,
}

/// What forms may be, for the route.
pub fn limits() -> web::FormConfig {
    web::FormConfig::default().limit(MOST).error_handler(|error, request| {
        let status = actix_web::ResponseError::status_code(&error).as_u16();
        Problem::at(request, status, format!("the form can't be read: {error}")).into()
    })
}

/// `POST /agents/{name}/start`: start a run and show it.
pub async fn start(
    state: Data<State>,
    name: Path<String>,
    request: HttpRequest,
    viewer: Viewer,
    sent: web::Form<Sent>,
) -> Result<HttpResponse, Problem> {
    let sent = sent.into_inner();
    form::sender(&request, &sent.token)?;
    let name = named(&name, "");
    let refused = match sent.run() {
        Ok((run, version)) => match begin(&state, &name, run, version).await {
            Ok(address) => return Ok(form::see(&address)),
            Err(problem) => vec![judged(problem, version)?],
        },
        Err(wrong) => wrong,
    };
    again(&state, &name, sent.kept(refused), viewer).await
}

async fn begin(state: &State, name: &str, run: Run, version: Option<i32>) -> Result<String, Problem> {
    let (agent, version) = deployed(state, name, version).await?;
    let started = run.start(state, agent, version).await?;
    Ok(format!("/execution/{}", started.id))
}

/// What of a form makes a start impossible; an error that it has no part in stays one.
fn judged(problem: Problem, version: Option<i32>) -> Result<Wrong, Problem> {
    match (problem.status(), version) {
        (404, Some(n)) => Ok(Wrong {
            field: "version",
            text: format!(
                "Version {n} can't be started; it is deleted or was never there. Choose another one."
            ),
        }),
        (404, None) => {
            Ok(Wrong { field: "", text: "This agent is deleted. Deploy it again, then start it.".to_owned() })
        }
        (400, _) => Ok(Wrong { field: "", text: shown::sentence(&problem.to_string()) }),
        _ => Err(problem),
    }
}

impl Sent {
    /// The run that is wanted, and the version of the agent; or all that is wrong.
    fn run(&self) -> Result<(Run, Option<i32>), Vec<Wrong>> {
        let mut wrong = vec![];
        let mut note = |field, problem: Result<(), String>| {
            wrong.extend(problem.err().map(|text| Wrong { field, text }));
        };
        let mut run = Run { key: self.start_key(), ..Run::default() };
        run.prompt = json::storable_text(&lines(&self.prompt)).into_owned();
        run.requester = json::storable_text(self.by.trim()).into_owned();
        run.session = json::storable_text(self.session.trim()).into_owned();
        note("context", context(&self.context).map(|context| run.context = context));
        note("timeout", timeout(&self.timeout).map(|secs| run.timeout_secs = secs));
        let mut version = None;
        note("version", number(&self.version).map(|n| version = n));
        if run.session.len() > SESSION {
            note("session", Err(format!("It is longer than {SESSION} bytes. Choose a shorter one.")));
        }
        let is_about_nothing =
            run.prompt.trim().is_empty() && self.context.trim().trim_matches(['{', '}']).trim().is_empty();
        if is_about_nothing {
            note("prompt", Err("Say what the agent should do.".to_owned()));
        }
        if wrong.is_empty() { Ok((run, version)) } else { Err(wrong) }
    }

    /// One key for the same form, however often it is sent.
    fn start_key(&self) -> Option<String> {
        if self.key.trim().is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        for field in [&self.key, &self.prompt, &self.session, &self.context, &self.version, &self.timeout] {
            hash.update(field.len().to_be_bytes());
            hash.update(field);
        }
        let key = hash.finalize().iter().take(16).fold(String::from("form-"), |mut key, byte| {
            let _ = write!(key, "{byte:02x}");
            key
        });
        Some(key)
    }

    /// The form with what was sent, and what is wrong with it.
    fn kept(self, wrong: Vec<Wrong>) -> Form {
        let shown = |text: String| text.replace('\0', "\u{2400}");
        Form {
            prompt: shown(self.prompt),
            session: shown(self.session),
            context: shown(self.context),
            version: self.version.trim().to_owned(),
            timeout: shown(self.timeout),
            by: shown(self.by),
            key: shown(self.key),
            wrong,
        }
    }
}

/// Browsers end lines with two characters.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

fn context(text: &str) -> Result<Option<Json>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let right = r#"Write an object such as {"ticket": 7}, or leave it empty."#;
    let stored = json::storable(text.as_bytes()).map_err(|error| {
        let error = error.to_string().replace("the body", "This");
        format!("{}. {right}", shown::sentence(&error))
    })?;
    if !stored.starts_with('{') {
        return Err(format!("This is JSON, but no object. {right}"));
    }
    Json::from_text(stored.into_owned()).map(Some).map_err(|error| format!("{error}. {right}"))
}

fn timeout(text: &str) -> Result<Option<f64>, String> {
    match text.trim() {
        "" => Ok(None),
        text => match text.parse::<f64>() {
            Ok(secs) if secs > 0.0 && secs < LONGEST => Ok(Some(secs)),
            _ => Err("Write a number of seconds above 0, such as 90, or leave it empty.".to_owned()),
        },
    }
}

fn number(text: &str) -> Result<Option<i32>, String> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| "Choose one of the versions.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(prompt: &str, context: &str) -> Sent {
        Sent { key: "k".into(), prompt: prompt.into(), context: context.into(), ..Sent::default() }
    }

    fn wrong(sent: &Sent) -> Vec<(&'static str, String)> {
        sent.run().err().unwrap_or_default().into_iter().map(|w| (w.field, w.text)).collect()
    }

    #[test]
    fn what_is_wrong_is_said_field_by_field() {
        let all = Sent { timeout: "-1".into(), version: "x".into(), ..sent(" ", "[1]") };
        let fields: Vec<_> = wrong(&all).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["context", "timeout", "version"]);
        assert_eq!(wrong(&sent(" ", " {} "))[0].0, "prompt");
        assert!(wrong(&sent("x", "{\"a\":"))[0].1.starts_with("This is not valid JSON: EOF"));
        assert!(wrong(&sent("", "{\"a\": 1}")).is_empty() && wrong(&sent("x", "")).is_empty());
        let (run, version) =
            Sent { version: "3".into(), timeout: "1.5".into(), ..sent("a\r\nb", "") }.run().unwrap();
        assert_eq!((run.prompt.as_str(), run.timeout_secs, version), ("a\nb", Some(1.5), Some(3)));
    }

    #[test]
    fn the_same_form_has_one_key_and_a_changed_one_another() {
        let key = |prompt| sent(prompt, "").start_key().unwrap();
        assert_eq!(key("a"), key("a"));
        assert_ne!(key("a"), key("b"));
        assert_ne!(sent("a", "b").start_key(), sent("ab", "").start_key());
        assert_eq!(Sent::default().start_key(), None);
    }
}
