//! What machines lose while they move: each is pinged all the time, by one that does not move.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use testkit::{Pace, Steady, Vm};
use tokio::{task::spawn_blocking, time::sleep};

/// How long the first answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long pings go on before the first move and after the last.
const AROUND: Duration = Duration::from_millis(300);

/// What became of the pings of one machine while all were moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Pinged {
    /// A hundred a second, or fewer where the host is too busy to send them.
    pub(super) sent: usize,
    /// Those without an answer, by whichever machine's move.
    pub(super) lost: usize,
    /// The longest time between two answers, in milliseconds.
    pub(super) longest_gap_ms: f64,
    /// The longest time that an answer took, in milliseconds.
    pub(super) slowest_ms: f64,
}

/// Pings on their way.
#[derive(Debug)]
pub(super) struct Pings {
    streams: Vec<Steady>,
}

impl Pings {
    /// Each of these pings one of the machines a hundred times a second from now on, once it has answered.
    ///
    /// # Errors
    /// When one does not answer.
    pub(super) async fn start(from: &[Vm], machines: &[&Vm]) -> anyhow::Result<Self> {
        let mut streams = Vec::new();
        for (from, machine) in from.iter().zip(machines) {
            let to = machine.addresses().next().context("a machine has no address")?;
            ensure!(from.ping(to, PATIENCE).passed(), "{to} does not answer");
            streams.push(from.steady_ping(to, Pace::HUNDRED_PER_SECOND)?);
        }
        sleep(AROUND).await;
        Ok(Self { streams })
    }

    /// Stops them a little after the last move. In the order of the machines.
    ///
    /// # Errors
    /// When a thread that sends them has panicked.
    pub(super) async fn stop(self) -> anyhow::Result<Vec<Pinged>> {
        sleep(AROUND).await;
        let stopping: Vec<_> =
            self.streams.into_iter().map(|it| spawn_blocking(|| it.stop())).collect();
        let mut pinged = Vec::new();
        for stopped in stopping {
            let delivery = stopped.await?;
            pinged.push(Pinged {
                sent: delivery.sent,
                lost: delivery.lost,
                longest_gap_ms: delivery.silence.as_secs_f64() * 1e3,
                slowest_ms: delivery.slowest.as_secs_f64() * 1e3,
            });
        }
        Ok(pinged)
    }
}
