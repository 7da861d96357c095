//! How a story is told: a line is printed when it was found to be true, and a wait has a condition and a deadline.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::processes::Stage;
use crate::cli::{
    failure::{Exit, Failure},
    terminal::{Ink, Terminal},
    text,
};

/// How long anything may take to come true.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Tells the story line by line, each with the time since it began.
pub(super) struct Teller {
    pub out: Terminal,
    began: Instant,
}

impl Teller {
    pub fn new(out: Terminal) -> Self {
        Self { out, began: Instant::now() }
    }

    pub fn says(&self, what: impl AsRef<str>) {
        let time = format!("{:>6.2}s", self.began.elapsed().as_secs_f64());
        self.out.say(format!("{}  {}", self.out.paint(Ink::Dim, &time), what.as_ref()));
    }

    pub fn adds(&self, what: impl AsRef<str>) {
        self.out.say(format!("{:9}{}", "", what.as_ref()));
    }
}

/// The server comes up.
pub(super) async fn open(stage: &mut Stage, teller: &Teller) -> Result<(), Failure> {
    if stage.has_other_port() {
        teller.says(format!("Port 6767 is taken; the demo uses {}.", stage.port));
    }
    teller.says(format!("Starting a server and its own Postgres under {} …", stage.data_dir.display()));
    let (pid, took) = stage.start_server().await?;
    teller.says(format!("Server up at {} (process {pid}, {}).", stage.api.server, text::duration(took)));
    Ok(())
}

/// Look until `holds` gives a value. A server that fails to answer is looked at again, too.
pub(super) async fn until<T>(
    what: &str,
    mut holds: impl AsyncFnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < deadline {
        match holds().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(failure) => last = Some(failure),
        }
        sleep(LOOK).await;
    }
    let failure =
        Failure::new(Exit::TimedOut, format!("waited {} in vain until {what}", text::duration(PATIENCE)));
    Err(match last {
        Some(last) => failure.because(last),
        None => failure.because(format!("it was not true at {}", Timestamp::now())),
    })
}

pub(super) fn expect(holds: bool, otherwise: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(broken(otherwise)) }
}

pub(super) fn broken(what: &str) -> Failure {
    Failure::new(Exit::Failed, what)
}
