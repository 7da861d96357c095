//! `tenure agent …`: agents and their runs, with the commands and flags that users of Agentspan know.
mod again;
mod catalog;
mod file;
mod history;
mod run;
pub(super) mod status;
mod steer;
mod watch;

use clap::Subcommand;

use super::{
    api::Api,
    failure::{Exit, Failure},
    terminal::Terminal,
};

/// Commands on agents and their runs.
#[derive(Debug, Subcommand)]
pub enum Agent {
    /// Start a run and watch it; ends as the run ends
    Run(run::Run),
    /// What a run is doing, what it waits for, and its output when it is done
    Status(status::Status),
    /// Deployed agents
    List,
    /// Print the definition of an agent
    Get(catalog::Named),
    /// Delete an agent; its runs stay
    Delete(catalog::Named),
    /// Runs, newest first
    Execution(history::History),
    /// Watch a run from its first event on, or from any other
    Stream(watch::Watch),
    /// Answer a run that asks a person
    Respond(steer::Respond),
    /// Check an agent file and print the plan that it becomes, without running it
    Compile(catalog::Compile),
    /// Deploy agents from JSON or YAML files, or from a Python package
    Deploy(catalog::Deploy),
    /// End a run now
    Cancel(steer::Cancel),
    /// Let a run begin no further step
    Pause(steer::Target),
    /// Let a paused run go on
    Resume(steer::Target),
    /// Let a run finish its turn and then end with what it has
    Stop(steer::Target),
    /// Tell a run something that its model reads in each further turn
    Signal(steer::Signal),
    /// Send a message into a run, for a tool that waits for one
    Send(steer::Send),
    /// Go on where a run failed, as a new run
    Retry(again::Retry),
    /// Begin again with the input of a run, as a new run
    Restart(again::Restart),
    /// Begin again without calling tools: the same calls return what they returned to that run
    Replay(again::Restart),
    /// Begin again at a step of a run, perhaps with other arguments, as a new run
    Rerun(again::Rerun),
    /// Go on from any event of a run, as a new run
    Fork(again::Fork),
    /// Go on with the conversation of a run that has answered, as the next run of its session
    Continue(again::Continue),
    /// Compare two runs step by step, and say where they part
    Diff(again::Diff),
}

impl Agent {
    pub(super) async fn run(self, api: &Api, out: Terminal) -> Result<Exit, Failure> {
        match self {
            Self::Run(run) => run::run(&run, api, out).await,
            Self::Status(status) => status::run(&status, api, out).await,
            Self::List => catalog::list(api, out).await,
            Self::Get(agent) => catalog::get(&agent, api, out).await,
            Self::Delete(agent) => catalog::delete(&agent, api, out).await,
            Self::Execution(history) => history::run(&history, api, out).await,
            Self::Stream(watch) => watch::run(&watch, api, out).await,
            Self::Respond(respond) => steer::respond(&respond, api, out).await,
            Self::Compile(compile) => catalog::compile(&compile, api, out).await,
            Self::Deploy(deploy) => catalog::deploy(&deploy, api, out).await,
            Self::Cancel(cancel) => steer::cancel(&cancel, api, out).await,
            Self::Pause(target) => steer::pause(&target, api, out).await,
            Self::Resume(target) => steer::resume(&target, api, out).await,
            Self::Stop(target) => steer::stop(&target, api, out).await,
            Self::Signal(signal) => steer::signal(&signal, api, out).await,
            Self::Send(send) => steer::send(&send, api, out).await,
            Self::Retry(retry) => again::retry(&retry, api, out).await,
            Self::Restart(restart) => again::restart(&restart, api, out).await,
            Self::Replay(replay) => again::replay(&replay, api, out).await,
            Self::Rerun(rerun) => again::rerun(&rerun, api, out).await,
            Self::Fork(fork) => again::fork(&fork, api, out).await,
            Self::Continue(next) => again::go_on(&next, api, out).await,
            Self::Diff(diff) => again::diff(&diff, api, out).await,
        }
    }
}

/// A failure that says which execution isn't there, and where to look.
pub(super) fn name_execution(failure: Failure, id: &str) -> Failure {
    if failure.exit != Exit::NotFound {
        return failure;
    }
    Failure::new(Exit::NotFound, format!("there is no execution {id}"))
        .because(&failure.what)
        .next("tenure agent execution lists the executions")
}

/// A failure that says which agent isn't there, and where to look.
fn name_agent(failure: Failure, name: &str) -> Failure {
    if failure.exit != Exit::NotFound {
        return failure;
    }
    Failure::new(Exit::NotFound, format!("there is no agent {name}"))
        .because(&failure.what)
        .next("tenure agent list shows the agents")
}
