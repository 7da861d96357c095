//! What people may do to several runs at once: each by itself, and what came of all of them in one line.

use actix_web::web::{Data, Form};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::join_all;

use crate::id::ExecutionId;
use crate::runtime;
use crate::store;
use crate::web::ui::actions;
use crate::web::ui::kit::form;
use crate::web::{Problem, State};

/// Most runs of one form: those of the longest page.
const MOST: usize = 200;
/// Runs that are acted on at the same time.
const AT_ONCE: usize = 20;

/// What came of an action on several runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Outcomes {
    done: usize,
    /// It was so already.
    same: usize,
    /// It can't be done to them any more, or not now.
    refused: usize,
    gone: usize,
    failed: usize,
}

/// `POST /executions/act`: `action`, `reason`, `back` and any number of `id`.
pub async fn act(
    state: Data<State>,
    request: HttpRequest,
    sent: Form<Vec<(String, String)>>,
) -> Result<HttpResponse, Problem> {
    let field = |name: &str| sent.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
    let by = form::sender(&request, field("token"))?;
    let (action, reason) = (field("action"), field("reason"));
    actions::event(action, reason)?;
    let ids = ids(sent.iter().filter(|(name, _)| name == "id").map(|(_, id)| id.as_str()))?;
    let mut outcomes = Outcomes::default();
    for some in ids.chunks(AT_ONCE) {
        let each = some.iter().map(async |id| {
            let event = actions::event(action, reason)?;
            Ok::<_, Problem>(state.runtime.control(*id, event, &by).await)
        });
        for outcome in join_all(each).await {
            outcomes.count(action, outcome?);
        }
    }
    let back = form::local(field("back"));
    let sign = if back.contains('?') { '&' } else { '?' };
    Ok(form::see(&format!("{back}{sign}did={action}.{}", outcomes.code())))
}

fn ids<'a>(sent: impl Iterator<Item = &'a str>) -> Result<Vec<ExecutionId>, Problem> {
    let broken = |id: &str| {
        Problem::new(400, format!("'{}' is no execution's id", id.chars().take(60).collect::<String>()))
    };
    let mut ids =
        sent.map(|id| id.parse().map_err(|_| broken(id))).collect::<Result<Vec<ExecutionId>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    match ids.len() {
        0 => {
            Err(Problem::new(400, "no execution is selected; go back, tick some and press the button again"))
        }
        n if n > MOST => {
            Err(Problem::new(400, format!("{n} executions are too many at once; take at most {MOST}")))
        }
        _ => Ok(ids),
    }
}

impl Outcomes {
    fn count(&mut self, action: &str, outcome: Result<(), runtime::Error>) {
        let counter = match outcome {
            Ok(()) => &mut self.done,
            Err(runtime::Error::Illegal(now)) if actions::is_so(action, now.status) => &mut self.same,
            Err(runtime::Error::Illegal(_)) => &mut self.refused,
            Err(runtime::Error::Store(store::Error::NotFound { .. })) => &mut self.gone,
            Err(error) => {
                tracing::warn!(%error, action, "an execution of several was not acted on");
                &mut self.failed
            }
        };
        *counter += 1;
    }

    /// For an address; nothing in it is a word that somebody could choose.
    fn code(self) -> String {
        format!("{}.{}.{}.{}.{}", self.done, self.same, self.refused, self.gone, self.failed)
    }
}

/// What an address says was done, in a sentence; `None` when it says nothing that could have been.
pub fn said(did: &str) -> Option<String> {
    let (action, counts) = did.split_once('.')?;
    let counts: Vec<u16> = counts.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [done, same, refused, gone, failed] = counts.try_into().ok()?;
    let (past, so) = match action {
        "pause" => ("paused", "paused already"),
        "resume" => ("resumed", "running already"),
        "stop" => ("will stop after their turn", "stopping already"),
        "cancel" => ("cancelled", "cancelled before"),
        _ => return None,
    };
    let parts = [
        (done, past),
        (same, so),
        (refused, "had ended before"),
        (gone, "not there any more"),
        (failed, "could not be reached; try them again"),
    ];
    let words: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    (!words.is_empty()).then(|| format!("{}.", words.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_one_line() {
        assert_eq!(said("pause.3.0.1.0.0").as_deref(), Some("3 paused; 1 had ended before."));
        assert_eq!(
            said("cancel.1.2.0.1.1").unwrap(),
            "1 cancelled; 2 cancelled before; 1 not there any more; 1 could not be reached; try them again."
        );
        for forged in
            ["", "pause", "pause.x", "pause.1.2", "<b>.1.0.0.0.0", "pause.0.0.0.0.0", "delete.1.0.0.0.0"]
        {
            assert_eq!(said(forged), None, "{forged}");
        }
    }

    #[test]
    fn only_so_many_runs_at_once() {
        let id = "01a1fcfa-538f-71c9-afdc-37c6bf8c69cf";
        assert_eq!(ids([id, id].into_iter()).unwrap().len(), 1);
        assert!(ids(std::iter::empty()).unwrap_err().to_string().contains("tick some"));
        assert!(ids(["x"].into_iter()).unwrap_err().to_string().contains("'x'"));
        let many: Vec<_> = (0..201).map(|n| ExecutionId::from_u128(n).to_string()).collect();
        assert!(ids(many.iter().map(String::as_str)).unwrap_err().to_string().contains("at most 200"));
    }
}
