//! `tenure worker --queue NAME -- COMMAND`: a worker without an SDK. One run of a program per attempt.
//!
//! The input is JSON on the program's standard input, the output is what it writes to standard output, and its exit
//! code says whether another attempt may help. The program runs in a process group of its own, which is killed when
//! the lease is lost.

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::value::{RawValue, to_raw_value};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    time::sleep,
};

use super::{
    api::{ApiKey, ServerUrl},
    failure::{Exit, Failure},
    text,
};
use crate::worker::{Context, StopSignals, Tool, ToolError, Worker, stop_signal};

/// Exit codes that say: no attempt can succeed (wrong usage, wrong input, no permission, wrong configuration).
const TERMINAL: [i32; 4] = [64, 65, 77, 78];
/// Lines of standard error that become the reason of a failure.
const REASON_LINES: usize = 8;
/// The longest output that a server takes.
const OUTPUT_MAX: u64 = 8 * 1024 * 1024;
/// How long what a program left behind may keep its output open.
const LEFTOVERS: Duration = Duration::from_secs(1);

const PROTOCOL: &str = "\
The program gets:
  stdin                   the call's input, one JSON object
  TENURE_EXECUTION_ID     the execution
  TENURE_ATTEMPT_ID       this try at the call
  TENURE_ATTEMPT          which try it is, from 1
  TENURE_IDEMPOTENCY_KEY  the same for all tries at this call

It answers with:
  stdout                  the output: JSON, or any text, which becomes {\"result\": text}
  exit code 0             completed
  exit code 64 65 77 78   failed, and no other try can help
  any other (such as 75)  failed, to be tried again; the last lines of stderr are the reason

Its process group is killed when the lease is lost.
SIGTERM or Ctrl-C ends the worker when running calls are finished; a second one kills them.

Example:
  tenure worker --queue word_count -- sh -c 'jq -r .text | wc -w'";

/// Flags of `worker`.
#[derive(Debug, Args)]
#[command(after_help = PROTOCOL)]
pub struct Program {
    /// The tool's name
    #[arg(long, value_name = "NAME")]
    queue: String,
    /// Take calls of this domain only
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// Calls at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=512))]
    concurrency: u16,
    /// After how many seconds without a sign of life of this worker somebody else gets the call
    #[arg(long, value_name = "SECS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    lease_secs: u32,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) async fn run(program: Program, server: &ServerUrl, key: Option<ApiKey>) -> Result<Exit, Failure> {
    let path = find(&program.command[0])?;
    let (queue, args) = (program.queue.clone(), program.command[1..].to_vec());
    let call =
        move |input: Box<RawValue>, context: Context| perform(path.clone(), args.clone(), input, context);
    let mut tool = Tool::new(queue, call)
        .concurrency(program.concurrency.into())
        .lease(Duration::from_secs(program.lease_secs.into()));
    if let Some(domain) = &program.domain {
        tool = tool.domain(domain);
    }
    let mut worker = Worker::new(server.to_string()).with(tool);
    if let Some(key) = key {
        worker = worker.api_key(key.expose());
    }
    tracing::info!("performs {} for {server}", program.queue);
    let (stop, mut signals) = (stop_signal(), StopSignals::listen());
    let working = worker.run_until(async {
        stop.await;
        tracing::info!("stopping: no new calls; once more stops at once");
    });
    let twice = async {
        signals.next().await;
        signals.next().await;
    };
    tokio::select! {
        ended = working => ended.map(|()| Exit::Ok).map_err(|error| Failure::usage(error.to_string())),
        () = twice => Ok(Exit::Interrupted),
    }
}

/// A program that isn't there should stop the worker now, not fail each call later.
fn find(program: &OsString) -> Result<PathBuf, Failure> {
    let path = Path::new(program);
    let found = if path.components().count() > 1 {
        path.exists().then(|| path.to_owned())
    } else {
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&dirs).map(|dir| dir.join(path)).find(|path| path.is_file())
    };
    found.ok_or_else(|| {
        Failure::usage(format!("there is no program {}", path.display())).next("give its whole path")
    })
}

/// One run of the program.
async fn perform(
    path: PathBuf,
    args: Vec<OsString>,
    input: Box<RawValue>,
    context: Context,
) -> Result<Box<RawValue>, ToolError> {
    let mut child = Command::new(&path)
        .args(args)
        .env("TENURE_EXECUTION_ID", &context.execution_id)
        .env("TENURE_ATTEMPT_ID", &context.attempt_id)
        .env("TENURE_ATTEMPT", context.attempt.to_string())
        .env("TENURE_IDEMPOTENCY_KEY", &context.idempotency_key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    // Whatever ends this function, also the loss of the lease, ends the program and all it started.
    let group = Group::of(&child);
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let stdout = child.stdout.take().expect("stdout is a pipe");
    let stderr = child.stderr.take().expect("stderr is a pipe");
    let feed = async move {
        drop(stdin.write_all(input.get().as_bytes()).await); // It need not read its input.
    };
    // What the program leaves behind could keep its output open for ever.
    let end_leftovers = async {
        drop(child.wait().await);
        sleep(LEFTOVERS).await;
        group.kill();
        std::future::pending::<()>().await;
    };
    let (output, reason) = tokio::select! {
        ((), output, reason) = async { futures_util::join!(feed, read_output(stdout), last_lines(stderr)) } => (output, reason),
        () = end_leftovers => unreachable!("it waits for ever"),
    };
    outcome(child.wait().await?, output?, &reason)
}

/// A program's process group; killed when this goes.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }

    fn kill(&self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL); // Nobody may be left in it.
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn read_output(stdout: impl AsyncRead + Unpin) -> Result<Vec<u8>, ToolError> {
    let mut output = vec![];
    stdout.take(OUTPUT_MAX + 1).read_to_end(&mut output).await?;
    if output.len() as u64 > OUTPUT_MAX {
        return Err(ToolError::terminal(format!("the program wrote more than {OUTPUT_MAX} bytes of output")));
    }
    Ok(output)
}

/// Pass standard error on to our own, and keep its end.
async fn last_lines(stderr: impl AsyncRead + Unpin) -> String {
    let mut lines = BufReader::new(stderr).split(b'\n');
    let mut last = std::collections::VecDeque::new();
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).into_owned();
        eprintln!("{line}");
        last.push_back(text::line(&line, 500));
        if last.len() > REASON_LINES {
            last.pop_front();
        }
    }
    last.make_contiguous().join("\n").trim().to_owned()
}

fn outcome(status: ExitStatus, output: Vec<u8>, reason: &str) -> Result<Box<RawValue>, ToolError> {
    if status.success() {
        return as_json(output);
    }
    let ended = match (status.code(), status.signal()) {
        (Some(code), _) => format!("the program ended with exit code {code}"),
        (None, Some(signal)) => format!("the program was killed by signal {signal}"),
        (None, None) => "the program ended".into(),
    };
    let reason = if reason.is_empty() { ended } else { format!("{reason}\n({ended})") };
    match status.code() {
        Some(code) if TERMINAL.contains(&code) => Err(ToolError::Terminal(reason)),
        _ => Err(ToolError::Retryable(reason)),
    }
}

/// JSON stays as it is, any other text is a JSON string.
fn as_json(output: Vec<u8>) -> Result<Box<RawValue>, ToolError> {
    if let Ok(json) = serde_json::from_slice::<Box<RawValue>>(&output) {
        return Ok(json);
    }
    let text = String::from_utf8(output)
        .map_err(|_| ToolError::terminal("the program's output is neither JSON nor text"))?;
    to_raw_value(text.trim_end_matches('\n')).map_err(ToolError::terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, output: &str, reason: &str) -> Result<String, ToolError> {
        let status = ExitStatus::from_raw(code << 8);
        outcome(status, output.as_bytes().to_vec(), reason).map(|json| json.get().to_owned())
    }

    #[test]
    fn json_stays_as_it_is_and_text_becomes_a_string() {
        assert_eq!(ended(0, "{\"n\": 1e400}\n", "").unwrap(), "{\"n\": 1e400}");
        assert_eq!(ended(0, "two\nlines\n", "").unwrap(), "\"two\\nlines\"");
        assert_eq!(ended(0, "", "").unwrap(), "\"\"");
    }

    #[test]
    fn exit_codes_say_whether_another_attempt_may_help() {
        for code in [1, 2, 75, 127] {
            assert!(matches!(ended(code, "x", ""), Err(ToolError::Retryable(_))), "{code}");
        }
        for code in TERMINAL {
            assert!(matches!(ended(code, "x", ""), Err(ToolError::Terminal(_))), "{code}");
        }
        assert_eq!(
            ended(75, "", "no\nluck").unwrap_err().reason(),
            "no\nluck\n(the program ended with exit code 75)"
        );
        let killed = outcome(ExitStatus::from_raw(9), vec![], "").unwrap_err();
        assert_eq!(killed, ToolError::retryable("the program was killed by signal 9"));
    }
}
