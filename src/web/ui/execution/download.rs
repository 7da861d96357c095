//! Whole payloads as they were sent, however large.
//!
//! They are read in slices, and no connection to the database is held while the client takes one, so a slow client costs
//! one slice of memory and nothing else. The context of a run is read as one: it may change between two slices.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Bytes, Data, Path};
use futures_util::stream::{self, Stream};

use crate::id::ExecutionId;
use crate::json;
use crate::store;
use crate::store::read::run::{self, Whole};
use crate::web::wire::words;
use crate::web::{Problem, State};

/// What Postgres stores instead of a character that stands for another one begins with this.
const ESCAPE: &[u8] = "\u{10FFFD}".as_bytes();

/// `GET /execution/{id}/payload/{input|output|context}`
pub async fn of_run(state: Data<State>, path: Path<(String, String)>) -> Result<HttpResponse, Problem> {
    let (id, name) = path.into_inner();
    let id = words::execution_id(&id)?;
    let name = name.trim_end_matches(".json");
    let whole = match name {
        "input" => Whole::Input,
        "output" => Whole::Output,
        "context" => Whole::Context,
        _ => {
            return Err(Problem::not_found(format!(
                "a run has no payload '{name}'; there are input, output and context"
            )));
        }
    };
    send(&state, id, whole, &format!("{id}-{name}.json")).await
}

/// `GET /execution/{id}/attempt/{attempt}/{input|output}`
pub async fn of_attempt(
    state: Data<State>,
    path: Path<(String, String, String)>,
) -> Result<HttpResponse, Problem> {
    let (id, attempt, name) = path.into_inner();
    let id = words::execution_id(&id)?;
    let none = || Problem::not_found(format!("no attempt with id '{attempt}'"));
    let attempt = attempt.parse().map_err(|_| none())?;
    let name = name.trim_end_matches(".json");
    let whole = match name {
        "input" => Whole::AttemptInput(attempt),
        "output" => Whole::AttemptOutput(attempt),
        _ => {
            return Err(Problem::not_found(format!(
                "an attempt has no payload '{name}'; there are input and output"
            )));
        }
    };
    send(&state, id, whole, &format!("{attempt}-{name}.json")).await
}

async fn send(state: &State, id: ExecutionId, whole: Whole, name: &str) -> Result<HttpResponse, Problem> {
    let first = slice(state, id, whole, 0)
        .await?
        .ok_or_else(|| Problem::not_found("there is no such payload yet"))?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(pieces(Sending {
            state: state.clone(),
            id,
            whole,
            bytes: first.1,
            offset: 0,
            next: Some(first.0),
            held: vec![],
        })))
}

async fn slice(
    state: &State,
    id: ExecutionId,
    whole: Whole,
    offset: i32,
) -> Result<Option<(Vec<u8>, i64)>, store::Error> {
    let db = state.runtime.pool().get().await?;
    run::slice(&db, id, whole, offset).await
}

/// A payload on its way.
struct Sending {
    state: State,
    id: ExecutionId,
    whole: Whole,
    /// Of all of it.
    bytes: i64,
    /// Read so far.
    offset: i32,
    /// A slice that was read and not sent.
    next: Option<Vec<u8>>,
    /// The end of the slice before, which only makes sense with what follows.
    held: Vec<u8>,
}

fn pieces(sending: Sending) -> impl Stream<Item = Result<Bytes, store::Error>> {
    stream::try_unfold(sending, |mut sending| async move {
        if sending.next.is_none() && i64::from(sending.offset) < sending.bytes {
            let read = slice(&sending.state, sending.id, sending.whole, sending.offset).await?;
            // What is gone or has another length is not what was begun: the client sees a cut answer.
            let same = read
                .filter(|(_, bytes)| *bytes == sending.bytes)
                .ok_or_else(|| store::Error::NotFound { what: "payload", id: sending.id.to_string() })?;
            sending.next = Some(same.0);
        }
        let Some(slice) = sending.next.take().filter(|s| !s.is_empty()) else { return Ok(None) };
        sending.offset = sending.offset.saturating_add(i32::try_from(slice.len()).unwrap_or(i32::MAX));
        let is_last = i64::from(sending.offset) >= sending.bytes;
        let mut bytes = std::mem::take(&mut sending.held);
        bytes.extend_from_slice(&slice);
        let end = if is_last { bytes.len() } else { whole_characters(&bytes) };
        sending.held = bytes.split_off(end);
        Ok(Some((restored(bytes), sending)))
    })
}

/// How many of these bytes are whole characters, none of them waiting for the next one.
fn whole_characters(bytes: &[u8]) -> usize {
    let valid = match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(error) => error.valid_up_to(),
    };
    let mut escapes = 0;
    while bytes[..valid - escapes * ESCAPE.len()].ends_with(ESCAPE) {
        escapes += 1;
    }
    if escapes % 2 == 1 { valid - ESCAPE.len() } else { valid }
}

fn restored(bytes: Vec<u8>) -> Bytes {
    match String::from_utf8(bytes) {
        Ok(text) => match json::restore(&text) {
            Cow::Borrowed(_) => Bytes::from(text),
            Cow::Owned(text) => Bytes::from(text),
        },
        Err(error) => Bytes::from(error.into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slices_restore_to_the_whole(text in "[aé\u{100000}\u{10FFFD}\u{10D800}😀]{0,40}", size in 1_usize..9) {
            let (mut held, mut out) = (vec![], vec![]);
            let slices: Vec<_> = text.as_bytes().chunks(size).collect();
            for (n, slice) in slices.iter().enumerate() {
                held.extend_from_slice(slice);
                let end = if n + 1 == slices.len() { held.len() } else { whole_characters(&held) };
                let rest = held.split_off(end);
                out.extend_from_slice(&restored(std::mem::replace(&mut held, rest)));
            }
            prop_assert_eq!(String::from_utf8(out).unwrap(), json::restore(&text).into_owned());
        }
    }
}
