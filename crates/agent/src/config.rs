//! What an agent is told when it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use dataplane::PermittedEtherType;
use dataplane::bridge::layout::{self, Table};

use crate::control::Control;
use crate::tunnel::TunnelConfig;

/// What an agent is told when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// The host name under which the server knows this node.
    pub host: String,
    /// Where the Open vSwitch database listens.
    pub ovsdb: ovsdb::Remote,
    /// The directory with the management sockets of the bridges.
    pub ovs_run_dir: PathBuf,
    /// The control socket of ovs-vswitchd, where it is not in `ovs_run_dir` under the name that it
    /// has by default.
    pub vswitchd_socket: Option<PathBuf>,
    /// The bridge that ports are plugged into; made if it is not there.
    pub integration_bridge: String,
    /// `system` or `netdev`, for bridges that the agent makes.
    pub datapath_type: String,
    /// Physical network to bridge.
    pub bridge_mappings: BTreeMap<String, String>,
    /// Tunnels to other nodes, where there are any.
    pub tunnel: Option<TunnelConfig>,
    /// Frames that pass ports with port security without a check.
    pub permitted_ethertypes: BTreeSet<PermittedEtherType>,
    /// Whether the rules of ports with port security filter IP multicast and broadcast, as
    /// `iptables_hybrid` does.
    pub strict_equivalence: bool,
    /// How long events are gathered, so that a burst is one change. One that comes later than this
    /// after a plan is taken at once.
    pub gather: Duration,
    /// How often the agent tells the server that it is alive.
    pub report_interval: Duration,
    /// Where `weir status` and its like ask.
    pub admin_socket: PathBuf,
}

impl Config {
    /// The control socket of ovs-vswitchd.
    pub(crate) fn control(&self) -> Control {
        match &self.vswitchd_socket {
            Some(socket) => Control::At(socket.clone()),
            None => Control::In(self.ovs_run_dir.clone()),
        }
    }

    /// The bridges that the agent looks after.
    pub(crate) fn bridges(&self) -> impl Iterator<Item = &str> {
        let physical = self.bridge_mappings.values().map(String::as_str);
        let tunnel = self.tunnel.iter().map(|tunnel| tunnel.bridge.as_str());
        std::iter::once(self.integration_bridge.as_str()).chain(physical).chain(tunnel)
    }

    /// What a bridge is for, in words, and its tables; `None` where the agent does not look after it.
    pub(crate) fn role(&self, bridge: &str) -> Option<(String, &'static [Table])> {
        if bridge == self.integration_bridge {
            return Some(("integration: every port is plugged in here".to_owned(), layout::TABLES));
        }
        if self.tunnel.as_ref().is_some_and(|tunnel| tunnel.bridge == bridge) {
            return Some(("tunnels to other nodes".to_owned(), layout::tunnel::TABLES));
        }
        let (name, _) = self.bridge_mappings.iter().find(|(_, it)| *it == bridge)?;
        Some((format!("leads to physical network {name}"), layout::physical::TABLES))
    }

    /// The management socket of a bridge.
    pub fn management_socket(&self, bridge: &str) -> PathBuf {
        self.ovs_run_dir.join(format!("{bridge}.mgmt"))
    }
}
