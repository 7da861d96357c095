//! `GET /api/agent/executions`: looking for runs.

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Word, words};
use crate::id::ExecutionId;
use crate::store::read::executions::{self, Execution, Search};
use crate::web::body::reply;
use crate::web::{Problem, State};

/// Most runs on one page.
const MAX_SIZE: i64 = 1000;
/// Most characters of an input or output in a list; the execution itself has all of them.
const MAX_SHOWN: usize = 4000;

/// Its query.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    start: Option<i64>,
    size: Option<i64>,
    sort: Option<Word>,
    free_text: Option<Word>,
    status: Option<Word>,
    agent_name: Option<Word>,
    session_id: Option<Word>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    total_hits: i64,
    results: Vec<Summary>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    execution_id: ExecutionId,
    agent_name: String,
    version: i32,
    status: &'static str,
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    update_time: String,
    execution_time: i64,
    input: String,
    output: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_for_incompletion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
}

impl From<Execution> for Summary {
    fn from(e: Execution) -> Self {
        let until = e.ended_at.unwrap_or_else(Timestamp::now).as_millisecond();
        Self {
            execution_id: e.id,
            agent_name: e.agent,
            version: e.version,
            status: words::status(e.status),
            start_time: words::iso(e.created_at),
            end_time: e.ended_at.map(words::iso),
            update_time: words::iso(e.updated_at),
            execution_time: (until - e.created_at.as_millisecond()).max(0),
            input: cut(e.input.text()),
            output: cut(e.output.as_ref().map_or("{}", |o| o.text())),
            reason_for_incompletion: e.reason,
            session_id: e.session_id,
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Runs that match, a page of them, newest first unless said otherwise.
pub async fn search(state: Data<State>, wanted: Query<Wanted>) -> Result<HttpResponse, Problem> {
    let wanted = wanted.into_inner();
    let (start, size) = (wanted.start.unwrap_or(0), wanted.size.unwrap_or(20));
    if start < 0 || !(0..=MAX_SIZE).contains(&size) {
        return Err(Problem::refused(format!("start must be 0 or more and size between 0 and {MAX_SIZE}")));
    }
    let search = wanted.read().map_err(Problem::refused)?;
    let db = state.runtime.pool().get().await?;
    let (found, total_hits) = executions::search(&db, &search, size, start).await?;
    Ok(reply(&Found { total_hits, results: found.into_iter().map(Summary::from).collect() }))
}

impl Wanted {
    fn read(self) -> Result<Search, String> {
        let given = |word: Option<Word>| word.map(|w| w.0.trim().to_owned()).filter(|w| !w.is_empty());
        let mut search = Search {
            session: given(self.session_id),
            agents: given(self.agent_name).map(|names| list(&names)),
            oldest_first: given(self.sort).is_some_and(|s| s.to_ascii_uppercase().ends_with(":ASC")),
            ..Search::default()
        };
        if let Some(words) = given(self.status) {
            search.statuses = Some(statuses(&words)?);
        }
        if let Some(text) = given(self.free_text) {
            terms(&text, &mut search)?;
        }
        Ok(search)
    }
}

fn list(words: &str) -> Vec<String> {
    words
        .split(',')
        .map(|w| w.trim().trim_matches(['"', '\'']).to_owned())
        .filter(|w| !w.is_empty())
        .collect()
}

fn statuses(words: &str) -> Result<Vec<String>, String> {
    let known = |word: String| {
        words::status_named(&word).map(|s| s.name().to_owned()).ok_or_else(|| {
            format!(
                "status '{word}' is unknown; use RUNNING, PAUSED, COMPLETED, FAILED, TERMINATED or TIMED_OUT"
            )
        })
    };
    list(words).into_iter().map(known).collect()
}

/// `startTime:[a TO b] AND status:COMPLETED AND some text`
fn terms(text: &str, search: &mut Search) -> Result<(), String> {
    let mut plain = vec![];
    for term in text.split(" AND ").map(str::trim).filter(|t| !t.is_empty() && *t != "*") {
        match term.split_once(':') {
            Some(("startTime", range)) => (search.from, search.to) = range_of(range)?,
            Some(("status", words)) => search.statuses = Some(statuses(words)?),
            Some(("agentName" | "workflowType", names)) => search.agents = Some(list(names)),
            Some(("executionId" | "workflowId", id)) => {
                search.id =
                    Some(id.trim_matches('"').parse().map_err(|_| format!("'{id}' is no execution's id"))?);
            }
            _ => plain.push(term.trim_matches(['"', '*'])),
        }
    }
    search.text = Some(plain.join(" AND ")).filter(|t| !t.is_empty());
    Ok(())
}

/// `[ms TO ms]`, either end `*`.
fn range_of(range: &str) -> Result<(Option<Timestamp>, Option<Timestamp>), String> {
    let wrong = || format!("startTime:{range} is no range; write it like startTime:[1700000000000 TO *]");
    let inner = range.strip_prefix('[').and_then(|r| r.strip_suffix(']')).ok_or_else(wrong)?;
    let (from, to) = inner.split_once(" TO ").ok_or_else(wrong)?;
    let end = |text: &str| match text.trim() {
        "*" => Ok(None),
        ms => ms.parse().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).map(Some).ok_or_else(wrong),
    };
    Ok((end(from)?, end(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(free_text: &str) -> Result<Search, String> {
        let mut search = Search::default();
        terms(free_text, &mut search).map(|()| search)
    }

    #[test]
    fn times_and_text_are_told_apart() {
        let search = read("startTime:[1700000000000 TO *] AND session-7").unwrap();
        assert_eq!(search.from.unwrap().as_millisecond(), 1_700_000_000_000);
        assert_eq!((search.to, search.text.as_deref()), (None, Some("session-7")));
        assert_eq!(read("*").unwrap().text, None);
        assert_eq!(read("a:b AND c").unwrap().text.as_deref(), Some("a:b AND c"));
    }

    #[test]
    fn several_statuses_may_be_asked_for() {
        let search = read("status:running,TIMED_OUT AND agentName:\"ops\"").unwrap();
        assert_eq!(search.statuses.unwrap(), ["running", "timed_out"]);
        assert_eq!(search.agents.unwrap(), ["ops"]);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert!(read("startTime:[x TO *]").unwrap_err().contains("startTime:[x TO *]"));
        assert!(read("startTime:[99999999999999999 TO *]").is_err());
        assert!(read("status:SLEEPING").unwrap_err().contains("SLEEPING"));
        assert!(read("executionId:nope").is_err());
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(5000)).chars().count(), MAX_SHOWN + 1);
        assert_eq!(cut("{}"), "{}");
    }
}
