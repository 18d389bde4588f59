//! What an agent is told when it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use dataplane::PermittedEtherType;
use dataplane::bridge::layout::{self, Table};

use crate::control::Control;
use crate::firewall::Firewall;
use crate::identity::Identity;
use crate::tunnel::TunnelConfig;

/// The name of the extension for QoS policies.
const QOS: &str = "qos";

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
    /// Who applies the rules of security groups.
    pub firewall: Firewall,
    /// Whether addresses of remote groups are in sets of addresses, not in rules, where netfilter
    /// applies them.
    pub enable_ipset: bool,
    /// Frames that pass ports with port security without a check.
    pub permitted_ethertypes: BTreeSet<PermittedEtherType>,
    /// Whether the rules of ports with port security filter IP multicast and broadcast, as
    /// `iptables_hybrid` does.
    pub strict_equivalence: bool,
    /// How bridges forward where flows say NORMAL.
    pub forwarding: Forwarding,
    /// What the agent does besides wiring and filtering.
    pub extensions: Extensions,
    /// Whether the first thing on each bridge is to delete all its flows, also those of others: a
    /// clean slate, at the price of an interruption.
    pub drop_flows_on_start: bool,
    /// How long events are gathered, so that a burst is one change. One that comes later than this
    /// after a plan is taken at once.
    pub gather: Duration,
    /// How often the agent tells the server that it is alive.
    pub report_interval: Duration,
    /// What it says of itself.
    pub identity: Identity,
    /// Where `weir status` and its like ask.
    pub admin_socket: PathBuf,
}

/// What the agent does besides wiring and filtering; as in Neutron nothing, where nobody says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions {
    /// QoS policies of ports and networks: `qos`. Without it, whatever limits a port stays as it is.
    pub qos: bool,
    /// Whether bandwidth is limited by meters of the integration bridge, not by rows of the database.
    pub meters_bandwidth: bool,
    /// Trunks. Neutron has an option of its own for them (`trunk_enabled`), and does not count them
    /// among its extensions. Without it, their bridges and patch ports stay as they are.
    pub trunk: bool,
}

impl Extensions {
    /// Everything that there is, bandwidth limited by rows.
    pub const ALL: Self = Self { qos: true, meters_bandwidth: false, trunk: true };

    /// Those of these names, as Neutron's option `extensions` has them. Others are for whoever reads
    /// the option to refuse. Trunks are no matter of that option.
    pub fn named(names: &[String]) -> Self {
        Self { qos: names.iter().any(|name| name == QOS), ..Self::default() }
    }

    /// The names of those that are on.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.qos.then_some(QOS).into_iter()
    }
}

/// How bridges forward where flows say NORMAL. The defaults are Neutron's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarding {
    /// How many MAC addresses a bridge remembers.
    pub mac_table_size: u32,
    /// Whether the integration bridge sends multicast only to ports that have asked for it.
    pub igmp_snooping: bool,
    /// With snooping: whether all multicast leaves the node all the same.
    pub igmp_flood: bool,
    /// With snooping: whether reports leave the node, so that routers hear of them.
    pub igmp_flood_reports: bool,
    /// With snooping: whether multicast that nobody has asked for goes to everybody.
    pub igmp_flood_unregistered: bool,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self {
            mac_table_size: 50_000,
            igmp_snooping: false,
            igmp_flood: false,
            igmp_flood_reports: true,
            igmp_flood_unregistered: false,
        }
    }
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
