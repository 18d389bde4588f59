//! A host with all ports plugged in, and an agent that is measured on it: Weir's or Neutron's.

use std::{
    env, fs,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use testkit::{AgentOptions, Carried, Daemon, NeutronAgent, Relay, Switch};
use tokio::time::sleep;

use super::{
    super::{interface, progress::Step},
    POLL, START,
    exchange::Exchange,
    scene::{HOST, Scene},
    timeline::{Purpose, Timeline},
};

/// The integration bridge, and the one that stands for the wire of the physical network.
pub(super) const INTEGRATION_BRIDGE: &str = "br-int";
const PHYSICAL_BRIDGE: &str = "br-phys";
/// How long an agent asks for nothing that has learned everything.
const FETCHED: Duration = Duration::from_secs(20);
/// How long the server may take until it says that ports are active which it has taken note of.
const SETTLE: Duration = Duration::from_secs(30);
/// Ticks of a second in which Linux counts processor time: `USER_HZ`, the same everywhere.
const TICKS: f64 = 100.0;

/// Which agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Weir,
    Neutron,
}

/// A host on which an agent runs.
#[derive(Debug)]
pub(super) struct Host {
    // Dropped in this order.
    agent: Running,
    _relay: Relay,
    pub(super) switch: Switch,
    carried: Arc<Mutex<Vec<Carried>>>,
    exchange: Exchange,
    pub(super) timeline: Timeline,
    pub(super) started: Instant,
}

/// The agent that runs.
#[derive(Debug)]
enum Running {
    Weir(Daemon),
    Neutron(NeutronAgent),
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) cpu_seconds: f64,
    pub(super) peak_rss_bytes: u64,
}

impl Host {
    /// Makes a host with the interfaces of the scene, and starts the agent. The clock runs from
    /// there.
    ///
    /// # Errors
    /// When the switch or the agent does not start.
    pub(super) fn start(scene: &Scene, kind: Kind) -> anyhow::Result<Self> {
        let switch = Switch::start().context("cannot start a private Open vSwitch")?;
        for bridge in [INTEGRATION_BRIDGE, PHYSICAL_BRIDGE] {
            switch.add_bridge(bridge)?;
        }
        interface::plug(&switch, INTEGRATION_BRIDGE, &scene.interfaces)?;
        let carried = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&carried);
        let watch = move |it| kept.lock().unwrap_or_else(PoisonError::into_inner).push(it);
        let relay = scene.neutron().watched_relay(switch.namespace(), watch)?;
        let ini = format!("[ovs]\nbridge_mappings = physnet1:{PHYSICAL_BRIDGE}\n");
        let options = AgentOptions { host: HOST.to_owned(), ini };
        let started = Instant::now();
        let agent = match kind {
            Kind::Weir => Running::Weir(weir_agent(scene, &switch, &options)?),
            Kind::Neutron => {
                Running::Neutron(NeutronAgent::start(scene.neutron(), &switch, &options)?)
            }
        };
        let (exchange, timeline) = (Exchange::default(), Timeline::default());
        Ok(Self { agent, _relay: relay, switch, carried, exchange, timeline, started })
    }

    /// Waits until the server has taken note that all ports are up, and says that they are active.
    ///
    /// # Errors
    /// When that takes too long.
    pub(super) async fn all_active(&mut self, scene: &Scene) -> anyhow::Result<()> {
        let ports = scene.interfaces.len();
        let step = Step::begin(&format!("{}: waiting until all are up", self.name()), ports);
        while self.follow() < ports {
            step.reached(self.timeline.reported());
            if self.started.elapsed() > START {
                let reported = self.timeline.reported();
                bail!("{reported} of {ports} ports are up after {START:?}; {}", self.log());
            }
            sleep(POLL).await;
        }
        let reported = Instant::now();
        loop {
            let active = scene.active().await?;
            if active == ports {
                return Ok(());
            }
            if reported.elapsed() > SETTLE {
                bail!("{active} of {ports} ports are active, although all were reported up");
            }
            sleep(POLL).await;
        }
    }

    /// Waits until the agent has learned what there is, and asks no more.
    ///
    /// # Errors
    /// When that takes too long.
    pub(super) async fn fetched(&mut self) -> anyhow::Result<()> {
        let _step = Step::begin(&format!("{}: waiting until all is fetched", self.name()), 1);
        loop {
            self.follow();
            let idle = self.timeline.idle_since(Purpose::Fetch);
            if idle.is_some_and(|since| since.elapsed() > FETCHED) {
                return Ok(());
            }
            if self.started.elapsed() > START {
                bail!("not everything is fetched after {START:?}; {}", self.log());
            }
            sleep(POLL).await;
        }
    }

    /// Takes note of what was said meanwhile. Gives how many ports the server has heard are up.
    pub(super) fn follow(&mut self) -> usize {
        let carried = {
            let mut carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *carried)
        };
        for carried in carried {
            for message in self.exchange.take(&carried) {
                self.timeline.take(message);
            }
        }
        self.timeline.reported()
    }

    /// What the agent has used so far; helpers of Neutron's are not counted.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        let pid = match &self.agent {
            Running::Weir(daemon) => Some(daemon.pid()),
            Running::Neutron(agent) => agent.pid().and_then(|pid| u32::try_from(pid).ok()),
        };
        let pid = pid.context("the agent has ended")?;
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        Usage::of(&read("stat")?, &read("status")?).context("proc(5) is not as it should be")
    }

    /// Ends the agent.
    ///
    /// # Errors
    /// When Weir's does not end; Neutron's is not asked for its opinion.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        match self.agent {
            Running::Weir(daemon) => daemon.stop().context("'weir agent' does not stop"),
            Running::Neutron(_) => Ok(()),
        }
    }

    fn name(&self) -> &'static str {
        match self.agent {
            Running::Weir(_) => "weir",
            Running::Neutron(_) => "neutron",
        }
    }

    /// The end of its log.
    fn log(&self) -> String {
        let log = match &self.agent {
            Running::Weir(_) => fs::read_to_string(self.switch.run_dir().join("weir.log")),
            Running::Neutron(agent) => Ok(agent.log()),
        };
        let log = log.unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(10)..).unwrap_or_default();
        format!("its log:\n{}", tail.join("\n"))
    }
}

impl Usage {
    /// Reads `/proc/PID/stat` and `/proc/PID/status`.
    fn of(stat: &str, status: &str) -> Option<Self> {
        // The name of the program stands in parentheses and may have any in it; the fields behind
        // it count from the third on.
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        let ticks: Vec<f64> =
            ticks.collect::<Result<_, _>>().ok().filter(|it: &Vec<_>| it.len() == 2)?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = peak.trim().strip_suffix(" kB")?.parse().ok()?;
        let cpu_seconds = ticks.iter().sum::<f64>() / TICKS;
        Some(Self { cpu_seconds, peak_rss_bytes: kibibytes * 1024 })
    }
}

/// Starts `weir agent`, which is this same program, with the files of Neutron's agent.
fn weir_agent(scene: &Scene, switch: &Switch, options: &AgentOptions) -> anyhow::Result<Daemon> {
    let files = NeutronAgent::configure(scene.neutron(), switch, options)?;
    let program = env::current_exe().context("cannot find the program that runs")?;
    let mut command = switch.namespace().command(program);
    command.arg("agent");
    for file in files {
        command.arg("--config-file").arg(file);
    }
    command.arg("--ovs-run-dir").arg(switch.run_dir());
    command.arg("--state-dir").arg(switch.run_dir().join("weir"));
    Ok(Daemon::spawn_logged("weir agent", command, switch.run_dir().join("weir.log"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_behind_the_name_of_the_program() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 9 0 0 0 150 25 7 7 20 0 1 0 1 1 1";
        let usage = Usage::of(stat, "Name:\ta\nVmHWM:\t  2048 kB\n").unwrap();
        assert_eq!((usage.cpu_seconds, usage.peak_rss_bytes), (1.75, 2 * 1024 * 1024));
        assert!(Usage::of("42 (a) S 1", "VmHWM: 1 kB").is_none());
    }
}
