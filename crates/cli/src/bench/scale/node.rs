//! A `weir up` that is measured.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use testkit::{Daemon, guarded};
use tokio::time::sleep;

use super::{
    super::progress::Step,
    scene::{INTEGRATION_BRIDGE, Scene},
};

/// How long a start may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the agent is asked whether all ports are up. Each answer costs it a fraction of a
/// millisecond, which is part of what is measured.
const POLL: Duration = Duration::from_millis(10);

/// A `weir up` that runs.
#[derive(Debug)]
pub(super) struct Node {
    daemon: Daemon,
    started: Instant,
    admin_socket: PathBuf,
}

/// What one start has needed.
#[derive(Debug)]
pub(super) struct Start {
    /// From the start of the process until the last port was up.
    pub(super) seconds: f64,
    /// Flows in the bridge, as the switch counts them.
    pub(super) flows: u64,
    /// Flow modifications that were sent.
    pub(super) flow_mods: u64,
    /// The memory that was resident when they were.
    pub(super) rss_bytes: u64,
    /// The most memory that was resident until then.
    pub(super) peak_rss_bytes: u64,
}

impl Node {
    /// Starts it: this same program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(
        args: &[(&str, String)],
        log: PathBuf,
        admin_socket: PathBuf,
    ) -> anyhow::Result<Self> {
        let program = env::current_exe().context("cannot find the program that runs")?;
        let mut command = guarded(program);
        command.arg("up").args(args.iter().flat_map(|(name, value)| [name, value.as_str()]));
        let started = Instant::now();
        let daemon = Daemon::spawn_logged("weir up", command, log)?;
        Ok(Self { daemon, started, admin_socket })
    }

    /// Waits until `ports` ports are up, notes what that has needed, and stops it.
    ///
    /// # Errors
    /// When it ends, or the ports do not come up in time.
    pub(super) async fn measure(
        mut self,
        scene: &Scene,
        ports: usize,
        step: &Step,
    ) -> anyhow::Result<Start> {
        let seconds = self.ready(ports, step).await?;
        let flows = flows(scene)?;
        let status = agent::admin::status(&self.admin_socket).await?;
        let (rss_bytes, peak_rss_bytes) = (self.rss_bytes()?, self.memory("VmHWM:")?);
        self.stop()?;
        Ok(Start { seconds, flows, flow_mods: status.bridge.flow_mods, rss_bytes, peak_rss_bytes })
    }

    /// # Errors
    /// When it has ended by itself.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        Ok(self.daemon.wait_until(Duration::ZERO, || true)?)
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.daemon.stop().context("'weir up' does not stop when asked to")
    }

    /// The socket on which its agent answers.
    pub(super) fn admin_socket(&self) -> &Path {
        &self.admin_socket
    }

    /// Seconds from the start until the last port was up.
    ///
    /// # Errors
    /// When it ends, or the ports do not come up in time.
    pub(super) async fn ready(&mut self, ports: usize, step: &Step) -> anyhow::Result<f64> {
        loop {
            self.check()?;
            // As long as it starts, nobody answers.
            let status = agent::admin::status(&self.admin_socket).await.ok();
            let elapsed = self.started.elapsed();
            let up = status.iter().flat_map(|status| &status.ports).filter(|port| port.up).count();
            step.reached(up);
            if up == ports {
                return Ok(elapsed.as_secs_f64());
            }
            if elapsed > PATIENCE {
                let not_up =
                    status.and_then(|status| status.ports.into_iter().find(|port| !port.up));
                let why = not_up.map(|port| format!("; port {} is not: {}", port.id, port.state));
                bail!("{up} of {ports} ports are up after {PATIENCE:?}{}", why.unwrap_or_default());
            }
            sleep(POLL).await;
        }
    }

    /// Waits until its agent has found the switch and the server.
    ///
    /// # Errors
    /// When it ends, or does not find them in time.
    pub(super) async fn connected(&mut self) -> anyhow::Result<()> {
        loop {
            self.check()?;
            let status = agent::admin::status(&self.admin_socket).await.ok();
            let connections = status.map(|status| status.connections);
            if connections.as_ref().is_some_and(|to| to.switch == "ok" && to.server == "ok") {
                return Ok(());
            }
            if self.started.elapsed() > PATIENCE {
                bail!("the agent is not connected after {PATIENCE:?}: {connections:?}");
            }
            sleep(POLL).await;
        }
    }

    /// The memory that is resident.
    ///
    /// # Errors
    /// When Linux does not tell.
    pub(super) fn rss_bytes(&self) -> anyhow::Result<u64> {
        self.memory("VmRSS:")
    }

    /// Linux counts it for each process: proc(5).
    fn memory(&self, what: &str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.daemon.pid());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(what));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kibibytes.with_context(|| format!("no {what} in {path}"))? * 1024)
    }
}

/// How many flows the switch has in the integration bridge.
fn flows(scene: &Scene) -> anyhow::Result<u64> {
    let text = scene.switch().ofctl(&["dump-aggregate", INTEGRATION_BRIDGE])?;
    let count = text.split("flow_count=").nth(1).and_then(|rest| rest.trim().parse().ok());
    count.with_context(|| format!("no flow count in '{}'", text.trim()))
}
