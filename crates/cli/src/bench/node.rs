//! The node that is measured: a private switch with the ports plugged in, and an agent in this
//! process, joined to the cloud by the bus that `weir up` has. What a change has cost is read from
//! the agent's journal.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use agent::{
    Agent, Config,
    journal::{Entry, Journal},
};
use anyhow::{Context as _, bail};
use neutron::bus::local::LocalBus;
use testkit::Switch;
use tokio::time::{Instant, sleep};

use super::{
    cloud::{HOST, PHYSICAL_BRIDGE, PHYSICAL_NETWORK},
    progress::Step,
};
use crate::up;

/// The integration bridge.
pub(super) const INTEGRATION_BRIDGE: &str = "br-int";
/// How long all ports may take to come up.
const START: Duration = Duration::from_secs(300);
/// How long a change may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the journal is looked at. Each look costs the agent a fraction of a millisecond.
const POLL: Duration = Duration::from_millis(4);

/// A switch with an agent.
#[derive(Debug)]
pub(super) struct Node {
    agent: Agent,
    pub(super) socket: PathBuf,
}

/// What a change has cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    /// Flow modifications.
    pub(super) flow_mods: u64,
    /// The bundles that they came in.
    pub(super) bundles: u64,
    /// From the first message on the bus to the switch's last confirmation, in milliseconds.
    pub(super) milliseconds: f64,
    /// Of that, while a bundle was under way.
    pub(super) in_switch: f64,
}

impl Node {
    /// Starts an agent on the switch's integration bridge.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(switch: &Switch, bus: &LocalBus) -> anyhow::Result<Self> {
        Self::start_with(switch, bus, agent::Firewall::OpenVswitch)
    }

    /// The same with this firewall.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start_with(
        switch: &Switch,
        bus: &LocalBus,
        firewall: agent::Firewall,
    ) -> anyhow::Result<Self> {
        let socket = switch.run_dir().join("agent.sock");
        let config = Config {
            host: HOST.to_owned(),
            ovsdb: switch.db_remote().parse()?,
            ovs_run_dir: switch.run_dir().to_owned(),
            vswitchd_socket: None,
            integration_bridge: INTEGRATION_BRIDGE.to_owned(),
            datapath_type: switch.datapath_type().to_owned(),
            tunnel: None,
            bridge_mappings: BTreeMap::from([(
                PHYSICAL_NETWORK.to_owned(),
                PHYSICAL_BRIDGE.to_owned(),
            )]),
            permitted_ethertypes: BTreeSet::new(),
            firewall,
            enable_ipset: true,
            strict_equivalence: false,
            extensions: agent::Extensions::ALL,
            forwarding: agent::Forwarding::default(),
            drop_flows_on_start: false,
            gather: up::GATHER,
            report_interval: up::REPORT_INTERVAL,
            identity: agent::Identity::weir(),
            admin_socket: socket.clone(),
        };
        let end = bus.join(HOST);
        // Netfilter and the kernel's connections are those of the agent's namespace.
        let agent = switch.namespace().inside(|| Agent::start(config, end))??;
        Ok(Self { agent, socket })
    }

    /// Waits until this many ports are up, and nothing is left to do.
    ///
    /// # Errors
    /// When they do not come up in time.
    pub(super) async fn ready(&self, ports: usize) -> anyhow::Result<()> {
        let step = Step::begin("waiting until all ports are up", ports);
        let start = Instant::now();
        loop {
            let status = agent::admin::status(&self.socket).await?;
            let up = status.ports.iter().filter(|port| port.up).count();
            step.reached(up);
            if up == ports && !self.journal(u64::MAX).await?.pending {
                return Ok(());
            }
            if start.elapsed() > START {
                bail!("{up} of {ports} ports are up after {START:?}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What `change` costs until the switch has confirmed at least this many flow modifications
    /// and follows everything that has come.
    ///
    /// # Errors
    /// When the switch refuses a bundle, or it takes too long.
    pub(super) async fn cost(&self, at_least: u64, change: impl FnOnce()) -> anyhow::Result<Cost> {
        let before = self.journal(u64::MAX).await?.bundles;
        change();
        self.followed(before, at_least).await
    }

    /// What the bundles after the one with this number have cost, once they have brought at least
    /// this many flow modifications.
    ///
    /// # Errors
    /// As [`Self::cost`].
    pub(super) async fn followed(&self, after: u64, at_least: u64) -> anyhow::Result<Cost> {
        let start = Instant::now();
        loop {
            sleep(POLL).await;
            let journal = self.journal(after).await?;
            let mut bundles = journal.recent.iter();
            if let Some(refused) = bundles.find(|entry| !entry.carried_out) {
                bail!("the switch has refused bundle {}", refused.number);
            }
            let cost = Cost::of(journal.recent.iter().copied());
            match cost {
                Some(cost) if !journal.pending && cost.flow_mods >= at_least => return Ok(cost),
                _ if start.elapsed() < PATIENCE => {}
                cost => bail!(
                    "{} flow modifications after {PATIENCE:?}, at least {at_least} were expected",
                    cost.map_or(0, |cost| cost.flow_mods)
                ),
            }
        }
    }

    /// The number of the last bundle that was sent.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub(super) async fn last_bundle(&self) -> anyhow::Result<u64> {
        Ok(self.journal(u64::MAX).await?.bundles)
    }

    /// Stops the agent.
    pub(super) async fn stop(self) {
        self.agent.stop().await;
    }

    async fn journal(&self, after: u64) -> anyhow::Result<Journal> {
        agent::admin::journal(&self.socket, after).await.context("cannot read the agent's journal")
    }
}

impl Cost {
    /// Of these bundles together, oldest first.
    fn of(entries: impl Iterator<Item = Entry>) -> Option<Self> {
        let mut span: Option<(u64, u64)> = None;
        let (mut flow_mods, mut bundles, mut in_switch) = (0, 0, 0);
        for entry in entries {
            let first = span.map_or(entry.woken_us, |(first, _)| first);
            span = Some((first, entry.answered_us));
            flow_mods += entry.flow_mods;
            bundles += 1;
            in_switch += entry.answered_us.saturating_sub(entry.sent_us);
        }
        let (first, last) = span?;
        let milliseconds = |micros: u64| micros as f64 / 1e3;
        Some(Self {
            flow_mods,
            bundles,
            milliseconds: milliseconds(last.saturating_sub(first)),
            in_switch: milliseconds(in_switch),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_of_one_change_are_one_cost() {
        let entry = |number, flow_mods, [woken_us, sent_us, answered_us]: [u64; 3]| Entry {
            mends: 0,
            number,
            flow_mods,
            woken_us,
            sent_us,
            answered_us,
            carried_out: true,
        };
        assert_eq!(Cost::of([].into_iter()), None);
        let entries = [entry(7, 2, [1000, 3000, 3500]), entry(8, 5, [3100, 4000, 6000])];
        let cost = Cost { flow_mods: 7, bundles: 2, milliseconds: 5.0, in_switch: 2.5 };
        assert_eq!(Cost::of(entries.into_iter()), Some(cost));
    }
}
