//! The provider `demo`: built in, deterministic, needs no key.
//!
//! - `demo/incident-commander` plays the incident story with the tool `fetch_incident_context`.
//! - `demo/refund-desk` asks for two refunds with the tool `refund`.
//! - `demo/echo` answers with the last thing a user said.
//! - `demo/script:/path/to/file.json` plays a script; `demo/<name>` plays the script of that name in
//!   the file that `TENURE_DEMO_SCRIPT` names.
//!
//! An answer depends on the request alone: the turn picks the step, and call ids are made of
//! execution, turn and position. So an attempt that is repeated after a crash gets the same answer.
//! The one exception is a scripted failure with `times`, which this process counts.
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::draft::{Draft, DraftCall};
use super::{Error, Message, Reply, Request, Usage};

mod incident;
mod refunds;
pub(super) mod script;

use script::{Scripts, Step};

/// How long the incident commander seems to think.
const THINKING: Duration = Duration::from_millis(300);

/// How long saying a word takes, and an answer at most.
const WORD: Duration = Duration::from_millis(40);
const SPEAKING: Duration = Duration::from_secs(2);

/// The provider.
pub(super) struct Demo {
    scripts: Scripts,
}

impl Demo {
    /// With the scripts of this file, if one is named.
    pub(super) fn new(file: Option<&str>) -> Result<Self, Error> {
        Ok(Self { scripts: Scripts::load(file)? })
    }

    pub(super) async fn complete(&self, request: &Request) -> Result<Reply, Error> {
        let name = request.model.name.as_str();
        if let Some(path) = name.strip_prefix("script:") {
            let steps = script::read_steps(path)?;
            return self.scripts.play(&steps, request).await;
        }
        if let Some(steps) = self.scripts.named(name) {
            return self.scripts.play(steps, request).await;
        }
        match name {
            "incident-commander" => {
                tokio::time::sleep(THINKING).await;
                Ok(answer(request, incident::step(request)))
            }
            "refund-desk" => Ok(answer(request, refunds::step(request))),
            "echo" => Ok(answer(request, Step::say(last_user_text(request)))),
            _ => Err(Error::Invalid(format!(
                "demo/{name} does not exist. Use demo/incident-commander, demo/refund-desk, demo/echo, \
                 demo/script:/path/to/file.json or a name from the file in TENURE_DEMO_SCRIPT."
            ))),
        }
    }
}

/// Say an answer word by word, for those who listen.
pub(super) async fn speak(text: &str, say: super::Say<'_>) {
    let words = text.split_inclusive(' ');
    let pause = SPEAKING.checked_div(words.clone().count().try_into().unwrap_or(u32::MAX));
    for word in words {
        say(word);
        tokio::time::sleep(pause.unwrap_or_default().min(WORD)).await;
    }
}

/// What a step says, as a whole answer.
fn answer(request: &Request, step: Step) -> Reply {
    let malformed = step.malformed_arguments;
    let calls = step.calls.into_iter().enumerate().map(|(nth, call)| DraftCall {
        id: Some(call.id.unwrap_or_else(|| call_id(request, nth))),
        name: call.name,
        arguments: match &malformed {
            Some(text) => super::Arguments::Malformed(text.clone()),
            None => call.arguments,
        },
    });
    let mut reply = Draft {
        text: step.text,
        calls: calls.collect(),
        finish: step.finish,
        response_id: Some(format!("demo-{}-{}", request.execution, request.turn)),
        ..Draft::default()
    }
    .seal();
    reply.usage = usage(request, &reply);
    reply
}

/// The same for the same execution, turn and position.
fn call_id(request: &Request, nth: usize) -> String {
    let digest = Sha256::digest(format!("{}/{}/{nth}", request.execution, request.turn).as_bytes());
    let start = digest.first_chunk::<8>().expect("a SHA-256 digest has 32 bytes");
    format!("call_{:016x}", u64::from_be_bytes(*start))
}

fn last_user_text(request: &Request) -> &str {
    let texts = request.messages.iter().rev().filter_map(|m| match m {
        Message::User { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.into_iter().next().unwrap_or_default()
}

/// About four characters to a token.
fn usage(request: &Request, reply: &Reply) -> Usage {
    let read: usize = request.messages.iter().map(characters).sum::<usize>()
        + request.tools.iter().map(|t| t.name.len() + t.description.len()).sum::<usize>();
    let written = reply.text.chars().count() + reply.calls.iter().map(call_characters).sum::<usize>();
    let (prompt, completion) = (tokens(read), tokens(written));
    Usage { prompt, completion, total: prompt + completion, cached: None, reasoning: None }
}

fn tokens(characters: usize) -> u64 {
    characters.div_ceil(4) as u64
}

fn characters(message: &Message) -> usize {
    match message {
        Message::System(text) | Message::User { text, .. } | Message::Tool { text, .. } => {
            text.chars().count()
        }
        Message::Assistant { text, calls } => {
            text.chars().count() + calls.iter().map(call_characters).sum::<usize>()
        }
    }
}

fn call_characters(call: &super::Call) -> usize {
    call.name.len() + call.arguments.replay().to_string().len()
}
