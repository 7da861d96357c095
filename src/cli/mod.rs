//! The command line: every command, its flags, and how it ends.
//!
//! Commands that ask a server speak HTTP through [`api::Api`] like any other client. `serve`, `db` and `psql` work on
//! the database itself. Each answers on standard output (text for people, `--json` for programs) and ends with one of
//! the documented exit codes ([`Exit`]).
pub mod agent;
pub mod api;
pub mod approvals;
pub mod bench;
pub mod bulk;
pub mod cost;
pub mod db;
pub mod demo;
pub mod doctor;
pub mod events;
pub mod failure;
pub mod logging;
pub mod program;
pub mod queue;
pub mod serve;
pub mod terminal;
pub mod text;
pub mod torture;
pub mod why;

use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use api::{Api, ApiKey, ServerUrl};
use failure::{Exit, Failure};
use terminal::Terminal;

/// Where a server is when nobody says it.
const DEFAULT_SERVER: &str = "http://localhost:6767";

/// Also in `docs/cli.md`.
const EXIT_CODES: &str = "\
Exit codes:
    0  done; for commands that wait for a run: it completed
    1  the run failed, was cancelled or rejected, or the command itself failed
    2  the command line, or a file named on it, can't be used
    3  no such execution, agent, queue or approval
    4  no server answers
    5  the server refused
  124  the run timed out, or the server did not answer in time
  130  interrupted; a run that was being watched goes on";

const EXAMPLES: &str = "\
Examples:
  tenure demo                                   watch a run survive its worker and its server
  tenure serve                                  the server, on http://localhost:6767
  tenure agent run --config agent.yaml \"hello\"  start a run and watch it
  tenure why ID                                 what a run waits for, and what to do about it
  tenure worker --queue my_tool -- ./my_tool    perform a tool with any program";

/// Runs AI agents that keep their job when their process dies.
#[derive(Debug, Parser)]
#[command(name = "tenure", version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
#[expect(clippy::doc_markdown, reason = "these comments are the help text, where backticks would show")]
pub struct Global {
    /// The server, with or without /api [also: AGENTSPAN_SERVER_URL, AGENT_SERVER_URL; default: http://localhost:6767]
    #[arg(long, global = true, value_name = "URL", env = "TENURE_SERVER_URL", hide_env_values = true)]
    pub server: Option<ServerUrl>,
    /// The key that clients send and that `serve` asks for [also: AGENTSPAN_API_KEY]
    #[arg(long, global = true, value_name = "KEY", env = "TENURE_API_KEY", hide_env_values = true)]
    pub api_key: Option<ApiKey>,
    /// Print JSON for programs; its shape is stable
    #[arg(long, global = true)]
    pub json: bool,
    /// Print without colours [also: NO_COLOR; CLICOLOR_FORCE prints them always]
    #[arg(long, global = true)]
    pub no_color: bool,
}

impl Global {
    /// The server to talk to.
    fn server(&self) -> Result<ServerUrl, Failure> {
        if let Some(server) = &self.server {
            return Ok(server.clone());
        }
        let named = ["AGENTSPAN_SERVER_URL", "AGENT_SERVER_URL"]
            .into_iter()
            .find_map(|name| Some((name, env(name)?)));
        let (name, text) = named.unwrap_or(("--server", DEFAULT_SERVER.to_owned()));
        text.parse().map_err(|why: String| Failure::usage(format!("{name}: {why}")))
    }

    /// The key to send, or to ask for.
    fn api_key(&self) -> Option<ApiKey> {
        let key = self.api_key.clone().or_else(|| env("AGENTSPAN_API_KEY").map(ApiKey::from));
        key.filter(|key| !key.expose().is_empty())
    }

    fn api(&self) -> Result<Api, Failure> {
        Api::new(self.server()?, self.api_key())
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start, watch and steer agents and their runs
    #[command(subcommand)]
    Agent(agent::Agent),
    /// Why a run is not moving, and what to do about it
    Why {
        /// The execution
        #[arg(value_name = "ID")]
        id: String,
    },
    /// What people are asked, and deciding it
    #[command(subcommand)]
    Approvals(approvals::Approvals),
    /// Do something to every run that a filter matches
    #[command(subcommand)]
    Bulk(bulk::Bulk),
    /// Look at queues, pause and resume them
    #[command(subcommand)]
    Queue(queue::Queue),
    /// What model calls cost, by day, agent or model, or of one run
    Cost(cost::Cost),
    /// What models cost: list, set and remove prices
    #[command(subcommand)]
    Prices(cost::Prices),
    /// Run the server: API, pages, models and timers in one process
    Serve(serve::Serve),
    /// Play a story: a run whose worker and server get killed, or one that waits for people
    Demo(demo::Demo),
    /// Perform a tool with any program: input JSON on its stdin, output JSON on its stdout
    Worker(program::Program),
    /// Measure how near this machine's tenure is to what its Postgres can do; uses a Postgres of its own
    Bench(crate::bench::Options),
    /// Check the server, the database, the clock and the keys, and say how to fix what is wrong
    Doctor(doctor::Doctor),
    /// Open psql on the database, in which views show everything
    Psql(db::Psql),
    /// Migrate the database, or say which version it has
    #[command(subcommand)]
    Db(db::Db),
    /// Print a shell's completions, to be put where that shell looks for them
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Pull the plug at every statement of every scenario, and count what was lost
    Torture(torture::Torture),
    /// The tool worker of the demo
    #[command(hide = true)]
    DemoWorker(demo::worker::DemoWorker),
    /// The tool worker of the torture
    #[command(hide = true)]
    TortureWorker(torture::TortureWorker),
}

impl Cli {
    /// Do it, and say how it ended.
    pub async fn run(self) -> ExitCode {
        let out = Terminal::new(self.global.json, self.global.no_color);
        logging::init(&self.command);
        match self.dispatch(out).await {
            Ok(exit) => exit.into(),
            Err(failure) => {
                out.failure(&failure);
                failure.exit.into()
            }
        }
    }

    async fn dispatch(self, out: Terminal) -> Result<Exit, Failure> {
        let global = self.global;
        match self.command {
            Command::Agent(command) => command.run(&global.api()?, out).await,
            Command::Why { id } => why::run(&global.api()?, out, &id).await,
            Command::Approvals(command) => command.run(&global.api()?, out).await,
            Command::Bulk(command) => command.run(&global.api()?, out).await,
            Command::Queue(command) => command.run(&global.api()?, out).await,
            Command::Cost(command) => command.run(&global.api()?, out).await,
            Command::Prices(command) => command.run(&global.api()?, out).await,
            Command::Serve(serve) => serve::run(serve, global.api_key()).await,
            Command::Demo(demo) => demo::run(demo, out).await,
            Command::Worker(program) => program::run(program, &global.server()?, global.api_key()).await,
            Command::Bench(options) => bench::run(options, out).await,
            Command::Doctor(doctor) => doctor::run(&doctor, &global.api()?, out).await,
            Command::Psql(psql) => db::psql(psql).await,
            Command::Db(command) => db::run(command, out).await,
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "tenure", &mut std::io::stdout());
                Ok(Exit::Ok)
            }
            Command::Torture(torture) => torture::run(torture, out).await,
            Command::DemoWorker(worker) => demo::worker::run(worker, &global.server()?).await,
            Command::TortureWorker(worker) => torture::worker(worker, &global.server()?).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_for() {
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                assert!(sub.get_about().is_some(), "{}", sub.get_name());
                for arg in
                    sub.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
                {
                    assert!(arg.get_help().is_some(), "{} {}", sub.get_name(), arg.get_id());
                }
                check(sub);
            }
        }
        check(&Cli::command());
    }

    #[test]
    fn global_flags_count_before_and_after_the_command() {
        for line in [
            vec!["tenure", "--server", "h:1", "--json", "agent", "status", "x"],
            vec!["tenure", "agent", "status", "x", "--json", "--server", "h:1"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.global.server.unwrap().to_string(), "http://h:1");
            assert!(cli.global.json);
        }
    }

    #[test]
    fn the_originals_command_lines_are_understood() {
        for line in [
            "tenure --server http://localhost:6767 agent status x",
            "tenure agent run --config a.yaml --session s --no-stream two words",
            "tenure agent run --name incident_triage help",
            "tenure agent execution --name mybot --status COMPLETED --since 1d",
            "tenure agent execution --window now-7d",
            "tenure agent stream x --last-event-id 7",
            "tenure agent respond x --approve --reason fine -m hello",
            "tenure agent respond x --deny",
            "tenure agent get a --version 2",
            "tenure agent delete a --version 2",
            "tenure agent list",
            "tenure agent compile a.json",
            "tenure agent deploy a.json b.yaml",
            "tenure worker --queue q -- ./tool --flag",
            "tenure psql -- -c select",
            "tenure approvals list --decided --tool refund",
            "tenure approvals show x",
            "tenure approvals approve x --set amount=1190 --set to=EUR --note fine",
            "tenure approvals approve x --arguments {}",
            "tenure approvals deny x --reason no --by mira",
            "tenure approvals answer x two words",
            "tenure approvals answer x --value 7",
            "tenure queue list",
            "tenure cost --by agent --days 30",
            "tenure cost x",
            "tenure prices set openai/gpt* --prompt 2.5 --completion 10 --from 2026-01-31",
            "tenure prices import -",
            "tenure prices remove 3",
            "tenure queue pause x --reason maintenance --domain d",
            "tenure queue resume x",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn a_command_line_that_makes_no_sense_is_a_usage_error() {
        for line in [
            "tenure agent respond x",
            "tenure agent respond x --approve --deny",
            "tenure agent run hello",
            "tenure agent run --name a --config b hello",
            "tenure worker --queue q",
            "tenure approvals deny x",
            "tenure approvals answer x",
            "tenure approvals approve x --set a=1 --arguments {}",
            "tenure agent execution --since yesterday",
            "tenure --server ftp://x agent list",
            "tenure cost --days 0",
            "tenure cost x --by day",
            "tenure prices set openai/x --prompt 1",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
