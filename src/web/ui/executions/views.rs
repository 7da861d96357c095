//! Filters that people keep, with a name.

use actix_web::web::{Data, Form, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use crate::json;
use crate::store::read::list::views::{self, Added, MOST};
use crate::web::ui::kit::form;
use crate::web::{Problem, State};

use super::asked::Asked;
use super::query::Query;

/// Most characters of a name.
const NAME: usize = 60;

/// What a form says.
#[derive(Deserialize)]
pub struct Sent {
    #[serde(default)]
    token: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    q: String,
}

/// `POST /views`: keep a filter, then show it.
pub async fn save(
    state: Data<State>,
    request: HttpRequest,
    sent: Form<Sent>,
) -> Result<HttpResponse, Problem> {
    let by = form::sender(&request, &sent.token)?;
    let name = sent.name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() || name.chars().nth(NAME).is_some() {
        return Err(Problem::new(
            400,
            format!("a view needs a name of 1 to {NAME} characters; go back and give it one"),
        ));
    }
    let query = Query::parse(&sent.q);
    if let Some(complaint) = query.complaint() {
        return Err(Problem::new(400, format!("this filter can't be kept: {complaint}")));
    }
    if query.terms.is_empty() {
        return Err(Problem::new(
            400,
            "an empty filter is the view 'All'; narrow the list first, then keep it",
        ));
    }
    let db = state.runtime.pool().get().await?;
    let text = query.text();
    match views::add(&db, &json::storable_text(&name), &json::storable_text(&text), &by).await? {
        Added::Kept(_) => Ok(form::see(&Asked::of(query).address())),
        Added::NameTaken => Err(Problem::new(
            409,
            format!("there is a view '{name}' already; go back and choose another name"),
        )),
        Added::TooMany => Err(Problem::new(
            409,
            format!("there are {MOST} views already; delete one that nobody needs first"),
        )),
    }
}

/// `POST /views/{id}/delete`: forget a filter.
pub async fn delete(
    state: Data<State>,
    request: HttpRequest,
    id: Path<i64>,
    sent: Form<Sent>,
) -> Result<HttpResponse, Problem> {
    form::sender(&request, &sent.token)?;
    let db = state.runtime.pool().get().await?;
    // Twice is once.
    views::delete(&db, *id).await?;
    Ok(form::see("/executions"))
}
