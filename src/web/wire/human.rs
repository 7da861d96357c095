//! Questions to people in the protocol's words: human tasks, what a client is told of them, and its answers.
//!
//! The calls of one turn that need an approval are one human task to the protocol, answered at once; each has a row of its
//! own here. A tool that a person answers is a human task by itself. `respond` answers the first that is open.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::control::who;
use super::task::{Fields, fields, raw};
use super::words::{self, to_ref};
use crate::agent::Agent;
use crate::id::ExecutionId;
use crate::json::Json;
use crate::runtime::{Choice, Decided, Decision};
use crate::store::read::approvals::{self, Approval};
use crate::store::read::executions;
use crate::web::body::{Body, done};
use crate::web::{Problem, State};

/// Questions that are one human task.
pub struct Human<'a> {
    pub asked: Vec<&'a Approval>,
    pub is_question: bool,
}

/// The human tasks of an execution, in the order in which the protocol would have them.
pub fn tasks(all: &[Approval]) -> Vec<Human<'_>> {
    let mut tasks: IndexMap<(i32, bool, i16), Vec<&Approval>> = IndexMap::new();
    for one in all {
        let is_question = one.brief.is_question;
        tasks.entry((one.turn, is_question, if is_question { one.call } else { 0 })).or_default().push(one);
    }
    tasks.sort_keys();
    tasks.into_iter().map(|((_, is_question, _), asked)| Human { asked, is_question }).collect()
}

impl Human<'_> {
    /// Its name within the execution.
    pub fn reference(&self, agent: &Agent) -> String {
        let first = self.asked[0];
        reference(agent, self.is_question, first.turn, &first.call_id)
    }

    /// What a person is given.
    pub fn input(&self, agent: &Agent) -> Json {
        let first = self.asked[0];
        let mut input = if self.is_question { fields(&first.arguments) } else { Fields::new() };
        let what = if self.is_question { first.brief.tool.as_str() } else { "Tool Approval" };
        let separator = if self.is_question { " — " } else { " " };
        let mut add = |key: &str, value: Box<RawValue>| input.insert(key.to_owned(), value);
        add(
            "__humanTaskDefinition",
            raw(&json!({
                "assignmentCompletionStrategy": "LEAVE_OPEN",
                "displayName": format!("{}{separator}{what}", agent.name),
                "userFormTemplate": { "version": 0 },
            })),
        );
        let (schema, ui) = schemas(self.is_question);
        add("response_schema", raw(&schema));
        add("response_ui_schema", raw(&ui));
        if self.is_question {
            add("_description", raw(&first.description));
        } else {
            let calls = self.asked.iter().map(|a| called(&a.brief.tool, &a.arguments));
            add("tool_calls", raw(&calls.collect::<Vec<_>>()));
        }
        Json::of(&input)
    }

    /// What a person answered.
    pub fn output(&self) -> Json {
        if let Some(answer) = &self.asked[0].answer {
            return answer.clone();
        }
        let Some(decided) = self.asked.iter().find_map(|a| a.brief.decided.as_ref()) else {
            return super::task::empty();
        };
        let approved = self.asked.iter().all(|a| a.brief.state == "approved");
        Json::of(&json!({ "approved": approved, "reason": decided.reason }))
    }

    /// Its status.
    pub fn status(&self) -> &'static str {
        let is = |state: &str| self.asked.iter().any(|a| a.brief.state == state);
        if self.asked.iter().any(|a| a.brief.decided.is_none()) {
            "IN_PROGRESS"
        } else if is("withdrawn") {
            "CANCELED"
        } else {
            "COMPLETED"
        }
    }

    /// What a client is told of it.
    pub fn pending_tool(&self, agent: &Agent) -> Value {
        let calls = self.asked.iter().map(|a| (a.brief.tool.as_str(), a.arguments.clone())).collect();
        pending_tool(self.reference(agent), self.is_question, calls)
    }
}

fn reference(agent: &Agent, is_question: bool, turn: i32, call_id: &str) -> String {
    if is_question {
        format!("{call_id}__{turn}")
    } else {
        format!("{}_approval_human__{turn}", to_ref(&agent.name))
    }
}

fn called(name: &str, arguments: &Json) -> Value {
    json!({ "name": name, "args": arguments })
}

/// The first call's name and arguments, and all of them.
fn pending_tool(reference: String, is_question: bool, calls: Vec<(&str, Json)>) -> Value {
    let (schema, ui) = schemas(is_question);
    let (name, arguments) = &calls[0];
    json!({
        "taskRefName": reference,
        "tool_name": name,
        "parameters": arguments,
        "response_schema": schema,
        "response_ui_schema": ui,
        "toolCalls": calls.iter().map(|(name, arguments)| called(name, arguments)).collect::<Vec<_>>(),
    })
}

/// What an answer looks like, and how a form asks for it.
fn schemas(is_question: bool) -> (Value, Value) {
    if is_question {
        return (
            json!({ "type": "object", "properties": { "response": { "type": "string" } }, "required": ["response"] }),
            json!({ "response": { "ui:widget": "textarea" } }),
        );
    }
    (
        json!({
            "type": "object",
            "properties": { "approved": { "type": "boolean" }, "reason": { "type": "string" } },
            "required": ["approved"],
        }),
        json!({
            "ui:order": ["approved", "reason"],
            "approved": { "ui:widget": "radio" },
            "reason": { "ui:widget": "textarea" },
        }),
    )
}

/// What the stream says of the event with which an execution began to ask. `asked` is a list of what it asks.
pub fn waiting(agent: &Agent, asked: &Json) -> Option<Value> {
    #[derive(Deserialize)]
    struct Asked {
        kind: String,
        turn: i32,
        call_id: String,
        name: String,
        arguments: Json,
    }
    let asked: Vec<Asked> = serde_json::from_str(asked.text()).ok()?;
    let first = asked.first()?;
    let is_question = first.kind == "question";
    let reference = reference(agent, is_question, first.turn, &first.call_id);
    let calls = asked.iter().map(|a| (a.name.as_str(), a.arguments.clone())).collect();
    Some(pending_tool(reference, is_question, calls))
}

/// `POST /api/agent/{id}/respond`: answer the first human task that is open.
pub async fn respond(
    state: Data<State>,
    id: Path<String>,
    request: HttpRequest,
    answer: Body<Json>,
) -> Result<HttpResponse, Problem> {
    let id = words::execution_id(&id)?;
    let asked = {
        let db = state.runtime.pool().get().await?;
        let standing = executions::status(&db, id).await?;
        let asked = approvals::of_execution(&db, id, true).await?;
        if asked.is_empty() {
            let now = words::status(standing.status);
            let none = format!("No pending HUMAN task found for execution {id}, which is {now}");
            return Err(Problem::refused(none));
        }
        asked
    };
    let first = tasks(&asked).swap_remove(0);
    let by = who(&request);
    let (choice, reason) = if first.is_question {
        (Choice::Answer(answer.0), None)
    } else {
        let said = Said::of(&answer.0).ok_or_else(|| {
            Problem::refused(
                "this answer neither approves nor refuses; send {\"approved\": true} or {\"approved\": false, \"reason\": …}",
            )
        })?;
        let choice = if said.approves { Choice::Approve { arguments: None } } else { Choice::Deny };
        let reason = said.reason.or_else(|| (!said.approves).then(|| "rejected by a person".to_owned()));
        (choice, reason)
    };
    let decision = |a: &&Approval| Decision {
        approval: a.brief.id,
        choice: choice.clone(),
        by: by.clone(),
        reason: reason.clone(),
        shown: None,
        via: "protocol",
    };
    settle(&state, id, first.asked.iter().map(decision).collect()).await
}

/// Decide, and say what became of it: one that counts is enough, and if none does, why.
async fn settle(state: &State, id: ExecutionId, decisions: Vec<Decision>) -> Result<HttpResponse, Problem> {
    let verdicts = state.runtime.decide(id, decisions).await?;
    if verdicts.iter().any(|v| matches!(v.outcome, Decided::Decided | Decided::Voted)) {
        return Ok(done());
    }
    let said = verdicts.into_iter().next().map(|v| v.message).unwrap_or_default();
    Err(Problem::new(409, said))
}

/// An answer to the question whether calls may be made.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    approves: bool,
    /// Everything else that was said.
    reason: Option<String>,
}

impl Said {
    /// Read an answer: `approved` as a boolean or a word, or else a text that is nothing but a clear word. Anything that
    /// could mean either is none: nobody guesses whether a person has agreed.
    fn of(answer: &Json) -> Option<Self> {
        let answer = answer.value();
        let given = match &answer {
            Value::Object(map) => map,
            other => {
                let approves = word(other.as_str()?)?;
                return Some(Self { approves, reason: None });
            }
        };
        let said =
            |key: &str| given.get(key).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty());
        let approves = match given.get("approved") {
            Some(Value::Bool(approved)) => Some(*approved),
            Some(Value::String(text)) => word(text),
            Some(Value::Null) | None => None,
            Some(_) => return None,
        };
        let spoken = ["output", "message", "response", "answer"];
        let (approves, by_word) = match approves {
            Some(approves) => (approves, None),
            None => spoken.iter().find_map(|key| Some((word(said(key)?)?, Some(*key))))?,
        };
        let mut parts: Vec<String> = said("reason").map(str::to_owned).into_iter().collect();
        // A refusal in words is its own reason.
        parts.extend(by_word.filter(|_| !approves && parts.is_empty()).and_then(said).map(str::to_owned));
        let extra = given.iter().filter(|(key, value)| {
            !matches!(key.as_str(), "approved" | "reason")
                && Some(key.as_str()) != by_word
                && !value.is_null()
                && *value != ""
        });
        parts.extend(extra.map(|(key, value)| match value {
            Value::String(text) => format!("{key}: {text}"),
            other => format!("{key}: {other}"),
        }));
        Some(Self { approves, reason: (!parts.is_empty()).then(|| parts.join(". ")) })
    }
}

/// Whether a word says yes or no. A sentence that begins with no says no; one that begins with yes may go on with but.
fn word(text: &str) -> Option<bool> {
    const YES: [&str; 9] = ["true", "yes", "y", "ok", "okay", "approve", "approved", "accept", "allow"];
    const NO: [&str; 10] =
        ["false", "no", "n", "deny", "denied", "reject", "rejected", "refuse", "disapprove", "disallow"];
    let text = text.trim().trim_end_matches(['.', '!']).to_lowercase();
    if YES.contains(&text.as_str()) {
        return Some(true);
    }
    let first = text.split([' ', ',', '.', ':', ';']).next().unwrap_or_default();
    NO.contains(&first).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(answer: Value) -> Option<(bool, Option<String>)> {
        Said::of(&Json::of(&answer)).map(|s| (s.approves, s.reason))
    }

    #[test]
    fn a_clear_answer_counts_in_every_form_that_clients_send() {
        assert_eq!(said(json!({"approved": true})), Some((true, None)));
        assert_eq!(
            said(json!({"approved": false, "reason": "no way"})),
            Some((false, Some("no way".into())))
        );
        assert_eq!(said(json!({"approved": "Yes"})), Some((true, None)));
        assert_eq!(said(json!({"approved": "n", "reason": ""})), Some((false, None)));
        assert_eq!(said(json!({"output": "ok"})), Some((true, None)));
        assert_eq!(said(json!({"message": "approve!"})), Some((true, None)));
        assert_eq!(
            said(json!({"output": "No, anonymise instead"})),
            Some((false, Some("No, anonymise instead".into())))
        );
        assert_eq!(said(json!("yes")), Some((true, None)));
        assert_eq!(
            said(json!({"approved": true, "note": "a", "n": 1})),
            Some((true, Some("note: a. n: 1".into())))
        );
    }

    #[test]
    fn nobody_guesses_what_an_unclear_answer_means() {
        for unclear in [
            json!({}),
            json!({"x": 1}),
            json!({"approved": "perhaps"}),
            json!({"approved": 1}),
            json!({"message": "yes, but only ten"}),
            json!({"message": "not sure"}),
            json!("go"),
            json!(7),
            json!(null),
            json!([true]),
        ] {
            assert_eq!(said(unclear.clone()), None, "{unclear}");
        }
    }
}
