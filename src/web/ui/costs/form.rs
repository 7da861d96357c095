//! The form that sets a price, and the button that removes one.

use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::Value;

use super::{Wanted, answer};
use crate::store::{self, prices};
use crate::web::price::Wish;
use crate::web::ui::kit::{Viewer, form};
use crate::web::ui::shown;
use crate::web::{Problem, State};

/// What the form holds: nothing at first, what was sent when it can't be obeyed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    token: String,
    pub model: String,
    pub currency: String,
    pub prompt: String,
    pub completion: String,
    pub cached: String,
    pub from: String,
    pub until: String,
    pub note: String,
    /// What is wrong with it; empty for nothing.
    #[serde(skip)]
    pub wrong: String,
}

impl Form {
    fn wish(&self) -> Wish {
        Wish {
            model: self.model.clone(),
            currency: self.currency.clone(),
            prompt: Value::String(self.prompt.clone()),
            completion: Value::String(self.completion.clone()),
            cached: Value::String(self.cached.clone()),
            from: Some(self.from.clone()),
            until: Some(self.until.clone()),
            note: Some(self.note.clone()),
        }
    }
}

/// `POST /costs/prices`: set a price, then show them.
pub async fn set(
    state: Data<State>,
    request: HttpRequest,
    viewer: Viewer,
    sent: web::Form<Form>,
) -> Result<HttpResponse, Problem> {
    let sent = sent.into_inner();
    let by = form::sender(&request, &sent.token)?;
    let refused = match sent.wish().price() {
        Err(problem) => problem.to_string(),
        Ok(price) => match prices::set(&state.runtime.pool().get().await?, &[price], &by).await {
            Ok(_) => return Ok(form::see("/costs#prices")),
            Err(store::Error::Refused(why)) => why,
            Err(error) => return Err(error.into()),
        },
    };
    let viewer = Viewer { here: "/costs".to_owned(), ..viewer };
    answer(
        &state,
        &Wanted::default(),
        Form { wrong: shown::sentence(&shown::text(&refused)), ..sent },
        viewer,
    )
    .await
}

/// What a button says.
#[derive(Deserialize)]
pub struct Sent {
    #[serde(default)]
    token: String,
}

/// `POST /costs/prices/{id}/delete`: remove a price, then show the others.
pub async fn remove(
    state: Data<State>,
    request: HttpRequest,
    id: Path<i64>,
    sent: web::Form<Sent>,
) -> Result<HttpResponse, Problem> {
    form::sender(&request, &sent.token)?;
    // Twice is once.
    prices::remove(&state.runtime.pool().get().await?, *id).await?;
    Ok(form::see("/costs#prices"))
}
