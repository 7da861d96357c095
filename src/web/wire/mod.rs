//! The Agentspan agent API and Conductor's worker API, as their clients speak them.
//!
//! This is the only module that knows the protocol's words (workflow, taskDef, referenceTaskName, …); everything
//! behind it uses ours. `docs/compatibility.md` lists what is there and where we differ on purpose.

mod agents;
mod control;
mod executions;
mod forks;
mod human;
mod messages;
mod model;
mod plan;
mod polls;
mod reports;
mod search;
pub(super) mod start;
mod stream;
mod task;
mod task_defs;
mod tasks;
pub mod words;
mod workflows;

#[cfg(any(test, fuzzing))]
pub use reports::read as read_report;

use actix_web::web::{self, ServiceConfig, resource as at};
pub use control::who;
use serde::Deserialize;
pub(super) use stream::Pages;

use super::auth;
use crate::json;

/// A word from a path or query, made storable.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "String")]
pub(super) struct Word(pub String);

impl From<String> for Word {
    fn from(text: String) -> Self {
        match json::storable_text(&text) {
            std::borrow::Cow::Borrowed(_) => Self(text),
            std::borrow::Cow::Owned(text) => Self(text),
        }
    }
}

/// Every path of the protocol. The first that matches answers, so words stand before `{…}`; what workers ask all day comes
/// first. Clients whose server URL lacks `/api` are answered, too: the Python SDK adds it to the environment's URL, but not
/// to one given in the program.
pub fn routes(app: &mut ServiceConfig) {
    for api in ["/api", ""] {
        app.service(web::scope(&format!("{api}/tasks")).configure(tasks_api))
            .service(web::scope(&format!("{api}/agent")).configure(agent_api))
            .service(web::scope(&format!("{api}/metadata")).configure(metadata_api))
            .service(web::scope(&format!("{api}/workflow")).configure(workflow_api));
    }
    app.service(web::resource(["/api/token", "/token"]).post(auth::token));
}

fn tasks_api(tasks: &mut ServiceConfig) {
    tasks
        .service(at("/update-v2").post(reports::update_v2))
        .service(at("").post(reports::update))
        .service(at("/poll/batch/{task}").get(polls::batch))
        .service(at("/poll/{task}").get(polls::single))
        .service(at("/queue/sizes").get(tasks::queue_sizes))
        .service(at("/queue/all").get(tasks::queue_all))
        .service(at("/queue/polldata").get(tasks::poll_data))
        .service(at("/queue/polldata/all").get(tasks::all_poll_data))
        .service(at("/{id}/log").get(tasks::logs).post(tasks::log))
        .service(at("/{id}").get(tasks::get))
        .service(at("/{execution}/{reference}/{status}").post(reports::update_by_reference));
}

fn agent_api(agent: &mut ServiceConfig) {
    agent
        .service(at("/start").post(agents::start))
        .service(at("/deploy").post(agents::deploy))
        .service(at("/compile").post(agents::compile))
        .service(at("/list").get(agents::list))
        .service(at("/executions").get(search::search))
        .service(at("/executions/{id}").get(executions::detail))
        .service(at("/executions/{id}/full").get(workflows::full))
        .service(at("/executions/{id}/tasks").get(executions::tasks))
        .service(at("/executions/{id}/retry").post(forks::retry))
        .service(at("/executions/{id}/restart").post(forks::restart))
        .service(at("/executions/{id}/rerun").post(forks::rerun))
        .service(at("/execution/{id}").get(executions::usage))
        .service(at("/stream/{id}").get(stream::stream))
        .service(at("/events/{id}").post(executions::framework_event))
        .service(at("/{id}/status").get(executions::status))
        .service(at("/{id}/respond").post(human::respond))
        .service(at("/{id}/stop").post(control::stop))
        .service(at("/{id}/signal").post(control::signal))
        .service(at("/{id}/pause").put(control::pause))
        .service(at("/{id}/resume").put(control::resume))
        .service(at("/{id}/cancel").delete(control::cancel))
        .service(at("/{name}").get(agents::get).delete(agents::delete));
}

fn metadata_api(metadata: &mut ServiceConfig) {
    metadata
        .service(at("/taskdefs").get(task_defs::list).put(task_defs::put).post(task_defs::put))
        .service(at("/taskdefs/{name}").get(task_defs::get).delete(task_defs::delete))
        .service(at("/workflow").get(agents::definitions))
        .service(at("/workflow/{name}").get(agents::definition));
}

fn workflow_api(workflow: &mut ServiceConfig) {
    workflow
        .service(at("").post(workflows::start))
        .service(at("/{id}").get(workflows::get).delete(control::terminate))
        .service(at("/{id}/pause").put(control::pause))
        .service(at("/{id}/resume").put(control::resume))
        .service(at("/{id}/retry").post(forks::retry))
        .service(at("/{id}/restart").post(forks::restart))
        .service(at("/{id}/rerun").post(forks::rerun))
        .service(at("/{id}/messages").post(messages::push));
}
