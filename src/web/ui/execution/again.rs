//! Forms that begin a new run from one that is shown: fork, retry, restart, rerun, replay, continue.

use std::fmt::Write as _;

use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::engine::Task;
use crate::json::{self, Json};
use crate::runtime::fork::{At, Version, Wanted};
use crate::runtime::session::Next;
use crate::web::ui::kit::form;
use crate::web::wire::words;
use crate::web::{Problem, State};

/// What a form says; what it leaves empty stays as it was.
#[derive(Deserialize)]
pub struct Sent {
    token: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    at: String,
    #[serde(default)]
    turn: String,
    #[serde(default)]
    call: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    was: String,
    #[serde(default)]
    arguments: String,
}

/// A key for the forms of a page: another one once a run was begun from it. So a second click makes no second run, and
/// whoever looks at the page again may make one.
pub(super) fn key(run: &super::Run<'_>) -> String {
    run.forks.last().map_or_else(|| "first".to_owned(), |fork| fork.id.to_string())
}

/// `POST /execution/{id}/{way}`: begin a run that goes on from this one, and show it.
pub async fn begin(
    state: Data<State>,
    path: Path<(String, String)>,
    request: HttpRequest,
    sent: web::Form<Sent>,
) -> Result<HttpResponse, Problem> {
    let (id, way) = path.into_inner();
    let by = form::sender(&request, &sent.token)?;
    let id = words::execution_id(&id)?;
    let wanted = sent.wanted(Wanted::new(id, sent.at(&way)?, &by), &way)?;
    let started = state.runtime.fork(wanted).await?;
    Ok(form::see(&format!("/execution/{}", started.id)))
}

/// `POST /execution/{id}/continue`: begin the next run of the conversation, and show it.
pub async fn go_on(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
    sent: web::Form<Sent>,
) -> Result<HttpResponse, Problem> {
    form::sender(&request, &sent.token)?;
    let wanted = Wanted::new(words::execution_id(&id)?, At::Start, "");
    let prompt = json::storable_text(sent.prompt.trim()).into_owned();
    let next = Next { after: wanted.from, prompt, key: Some(sent.key(&wanted, "continue")) };
    let started = state.runtime.go_on(next).await?;
    Ok(form::see(&format!("/execution/{}", started.id)))
}

impl Sent {
    fn at(&self, way: &str) -> Result<At, Problem> {
        let number = |name: &str, text: &str| {
            text.parse().map_err(|_| Problem::new(400, format!("{name}: must be a number")))
        };
        Ok(match way {
            "retry" => At::Failure,
            "restart" => At::Start,
            "replay" => At::Replay,
            "rerun" if self.call.is_empty() => At::Task(Task::Model { turn: number("turn", &self.turn)? }),
            "rerun" => {
                let call = self.call.parse().map_err(|_| Problem::new(400, "call: must be a number"))?;
                At::Task(Task::Tool { turn: number("turn", &self.turn)?, call })
            }
            _ => At::Event(i32::try_from(number("at", &self.at)?).unwrap_or(i32::MAX)),
        })
    }

    /// The same for the same form, sent from the same page.
    fn key(&self, wanted: &Wanted, way: &str) -> String {
        let id = wanted.from.to_string();
        let all = [
            &self.key,
            &id,
            way,
            &self.at,
            &self.turn,
            &self.call,
            &self.version,
            &self.model,
            &self.prompt,
            &self.arguments,
        ];
        let hash = all.iter().fold(Sha256::new(), |hash, part| {
            hash.chain_update(part.len().to_be_bytes()).chain_update(part.as_bytes())
        });
        hash.finalize().iter().fold("form:".to_owned(), |mut key, byte| {
            let _ = write!(key, "{byte:02x}");
            key
        })
    }

    fn wanted(&self, wanted: Wanted, way: &str) -> Result<Wanted, Problem> {
        let typed =
            |text: &str| Some(json::storable_text(text.trim()).into_owned()).filter(|t| !t.is_empty());
        // Browsers send line ends of their own.
        let said = |text: &str| text.replace("\r\n", "\n");
        let arguments = typed(&self.arguments).filter(|a| said(a) != said(self.was.trim()));
        let arguments = arguments
            .map(|text| {
                let text = json::storable(text.as_bytes())?.into_owned();
                Json::from_text(text)
                    .map_err(|e| Problem::new(400, format!("the arguments are no JSON: {e}")))
            })
            .transpose()?;
        let is_prompt_other = way != "rerun" && said(&self.prompt) != said(&self.was);
        Ok(Wanted {
            version: if self.version == "newest" { Version::Newest } else { Version::Same },
            model: typed(&self.model),
            prompt: typed(&said(&self.prompt)).filter(|_| is_prompt_other),
            arguments,
            key: Some(self.key(&wanted, way)),
            ..wanted
        })
    }
}
