//! What goes wrong in a storm: drawn from dice, and done to a ground.

use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use rustix::process::{Pid, Signal, kill_process};

use super::super::Error;
use super::super::proxy::Action;
use super::dice::Dice;
use super::ground::Ground;
use super::http_proxy::Harm;
use crate::store::judge;

/// One thing that goes wrong. Numbers choose among what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to a server.
    KillServer(usize),
    /// SIGTERM to a server, which has to end in good order.
    DrainServer(usize),
    /// SIGKILL to a worker.
    KillWorker(usize),
    /// SIGSTOP to a worker, which wakes up after this time and does not know it.
    FreezeWorker(usize, Duration),
    /// `pg_terminate_backend` of a session.
    TerminateBackend(usize),
    /// SIGKILL to a session's process: Postgres ends all others too, and recovers.
    KillBackend(usize),
    /// SIGKILL to Postgres's main process, which is started again at once.
    KillPostgres,
    /// Something happens to the next request to a server.
    Http(usize, Harm),
    /// Something happens to a statement of a server, this many from now.
    Wire(usize, u32, Action),
}

impl Fault {
    /// Servers 40 %, workers 30 %, Postgres 10 %, network 20 %.
    pub fn draw(dice: &mut Dice) -> Self {
        let (who, percent) = (dice.roll(1 << 20), dice.roll(1000));
        match percent {
            0..400 => Self::KillServer(who),
            400..550 => Self::KillWorker(who),
            550..700 => Self::FreezeWorker(who, dice.millis(200, 2500)),
            700..780 => Self::TerminateBackend(who),
            780..794 => Self::KillBackend(who),
            794..800 => Self::KillPostgres,
            800..900 => Self::Http(who, dice.pick(&Harm::ALL)),
            _ => Self::Wire(
                who,
                u32::try_from(dice.roll(30)).unwrap_or(0),
                dice.pick(Action::value_variants()),
            ),
        }
    }

    /// Its kind, in reports.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::KillServer(_) => "kill a server".into(),
            Self::DrainServer(_) => "drain a server".into(),
            Self::KillWorker(_) => "kill a worker".into(),
            Self::FreezeWorker(..) => "freeze a worker".into(),
            Self::TerminateBackend(_) => "end a session of Postgres".into(),
            Self::KillBackend(_) => "kill a session of Postgres".into(),
            Self::KillPostgres => "kill Postgres".into(),
            Self::Http(_, harm) => format!("http {}", harm.name()),
            Self::Wire(_, _, action) => format!("statement {}", action.name()),
        }
    }

    /// Let it happen; false when there was nothing for it to happen to.
    ///
    /// # Errors
    ///
    /// What was killed can't be started again.
    pub async fn fall(self, ground: &mut Ground) -> Result<bool, Error> {
        match self {
            Self::KillServer(who) => {
                let at = who % ground.nodes.len();
                ground.nodes[at].server.process.kill().await;
                ground.supervise()?;
            }
            Self::DrainServer(who) => {
                let at = who % ground.nodes.len();
                ground.ready().await?;
                let process = &mut ground.nodes[at].server.process;
                process.signal(Signal::TERM);
                let ended = tokio::time::timeout(Duration::from_secs(8), process.ended()).await;
                let good = ended == Ok(true);
                ground.supervise()?;
                if !good {
                    return Err(Error::Scenario(
                        "a server did not end in good order within 8 s of SIGTERM".into(),
                    ));
                }
            }
            Self::KillWorker(who) => {
                let at = who % ground.hands.len();
                ground.hands[at].process.kill().await;
                ground.supervise()?;
            }
            Self::FreezeWorker(who, time) => {
                let at = who % ground.hands.len();
                let hand = &mut ground.hands[at];
                if hand.frozen_until.is_some() {
                    return Ok(false);
                }
                hand.process.signal(Signal::STOP);
                hand.frozen_until = Some(Instant::now() + time);
            }
            Self::TerminateBackend(who) => return Ok(session(ground, who, true).await.is_some()),
            Self::KillBackend(who) => {
                let Some(pid) = session(ground, who, false).await.and_then(Pid::from_raw) else {
                    return Ok(false);
                };
                return Ok(kill_process(pid, Signal::KILL).is_ok());
            }
            Self::KillPostgres => {
                ground.postgres.kill().await;
                ground.postgres.start().await?;
            }
            Self::Http(who, harm) => {
                let proxy = &ground.nodes[who % ground.nodes.len()].http;
                let before = proxy.fallen();
                proxy.arm(harm);
                return Ok(settled(|| proxy.fallen() > before).await);
            }
            Self::Wire(who, nth, action) => {
                let proxy = &ground.nodes[who % ground.nodes.len()].wire;
                let before = proxy.struck();
                proxy.strike(nth, action);
                return Ok(settled(|| proxy.struck() > before).await);
            }
        }
        Ok(true)
    }
}

/// Whether it happens soon. What is armed and falls later counts for nothing.
async fn settled(fallen: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !fallen() && began.elapsed() < Duration::from_millis(400) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    fallen()
}

/// One of Postgres's processes that serve a session of the servers; ended, if wanted.
async fn session(ground: &Ground, which: usize, end: bool) -> Option<i32> {
    let (client, connection) = ground.postgres.config("postgres").ok()?.connect().await.ok()?;
    let connection = tokio::spawn(connection);
    let pids = judge::sessions(&client).await.ok()?;
    let pid = *pids.get(which % pids.len().max(1))?;
    if end {
        judge::end_session(&client, pid).await.ok()?;
    }
    drop(client);
    let _ = connection.await;
    Some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_as_promised_and_the_same_for_a_seed() {
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            (0..10_000).map(|_| Fault::draw(&mut dice)).collect::<Vec<_>>()
        };
        let faults = draw(3);
        assert_eq!(faults, draw(3));
        let share = |of: fn(&Fault) -> bool| faults.iter().filter(|f| of(f)).count();
        let servers = share(|f| matches!(f, Fault::KillServer(_)));
        let workers = share(|f| matches!(f, Fault::KillWorker(_) | Fault::FreezeWorker(..)));
        let network = share(|f| matches!(f, Fault::Http(..) | Fault::Wire(..)));
        let postgres = 10_000 - servers - workers - network;
        for (found, wanted) in [(servers, 4000), (workers, 3000), (postgres, 1000), (network, 2000)] {
            assert!(found.abs_diff(wanted) < 200, "{found} instead of {wanted}");
        }
    }
}
