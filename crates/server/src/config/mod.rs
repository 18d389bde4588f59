//! What an operator decides: where the API listens, where the state lies, which segments there
//! are, and how large packets may be.
//!
//! Names are those of Neutron's options: `ml2_conf.ini` has them in the sections `ml2` and
//! `ml2_type_…`.

mod range;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use model::NetworkType;

pub use self::range::{
    KeyRange, ParseTunnelRangeError, ParseVlanRangeError, TunnelRange, VlanRange, VniRange,
};

/// What an operator decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the API listens. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// The directory of the database; made if it is missing.
    pub state_dir: PathBuf,
    /// Which segments there are.
    pub segments: SegmentConfig,
    /// How large packets may be.
    pub mtu: MtuConfig,
    /// How much there may be of something, and how long agents may be silent.
    pub limits: Limits,
    /// The firewall of agents whose files name none (`firewall_driver`): they are told this name. The
    /// server itself needs none.
    pub firewall_driver: String,
}

/// How much there may be of something, and how long agents may be silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many of a resource a project may have that has no limit of its own (`quota_…`); -1, or
    /// nothing said, is no limit.
    pub quotas: BTreeMap<String, i64>,
    /// The same of resources that `quotas` does not name (`default_quota`).
    pub default_quota: i64,
    /// How many allowed address pairs a port may have (`max_allowed_address_pair`).
    pub allowed_address_pairs: usize,
    /// After how long without a report an agent is down (`agent_down_time`).
    pub agent_down_time: Duration,
}

impl Limits {
    /// No quotas, and for the rest what Neutron has by default.
    pub fn without_quotas() -> Self {
        Self {
            quotas: BTreeMap::new(),
            default_quota: -1,
            allowed_address_pairs: 10,
            agent_down_time: Duration::from_secs(75),
        }
    }

    /// After how many seconds without a report an agent is down.
    pub(crate) fn down_after(&self) -> i64 {
        i64::try_from(self.agent_down_time.as_secs()).unwrap_or(i64::MAX)
    }

    /// How many of a resource a project may have that has no limit of its own.
    pub(crate) fn quota(&self, resource: &str) -> i64 {
        self.quotas.get(resource).copied().unwrap_or(self.default_quota)
    }
}

/// Which segments there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentConfig {
    /// What carries a network whose creator does not say: the first type that has a segment left.
    pub project_network_types: Vec<NetworkType>,
    /// The VLANs of each physical network that are given to networks whose creator does not say.
    /// Physical networks are used up in this order.
    pub network_vlan_ranges: Vec<VlanRange>,
    /// Further physical networks whose VLANs are there for those who name them.
    pub vlan_networks: BTreeSet<String>,
    /// The physical networks that may carry a flat network.
    pub flat_networks: FlatNetworks,
    /// The VNIs of VXLAN networks whose creator does not say.
    pub vxlan_vni_ranges: Vec<VniRange>,
    /// The VNIs of Geneve networks whose creator does not say.
    pub geneve_vni_ranges: Vec<VniRange>,
    /// The keys of GRE networks whose creator does not say.
    pub gre_tunnel_id_ranges: Vec<KeyRange>,
}

/// The physical networks that may carry a flat network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlatNetworks {
    /// Whatever it is called.
    Any,
    /// These; where there is none, there are no flat networks.
    Only(BTreeSet<String>),
}

/// How large packets may be, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MtuConfig {
    /// The largest IP packet that the underlay carries.
    pub global_physnet_mtu: u32,
    /// The same of single physical networks, where it is smaller.
    pub physical_network_mtus: BTreeMap<String, u32>,
    /// The same between the ends of tunnels, where it is smaller.
    pub path_mtu: Option<u32>,
    /// What tunnels run over.
    pub overlay_ip_version: IpVersion,
    /// How long the headers of Geneve may be: Ethernet, UDP, Geneve and its options.
    pub geneve_max_header_size: u32,
}

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Text that is not a version of IP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is neither 4 nor 6")]
pub struct ParseIpVersionError {
    /// What was given.
    pub text: String,
}

impl FromStr for IpVersion {
    type Err = ParseIpVersionError;

    fn from_str(text: &str) -> Result<Self, ParseIpVersionError> {
        match text {
            "4" => Ok(Self::V4),
            "6" => Ok(Self::V6),
            _ => Err(ParseIpVersionError { text: text.to_owned() }),
        }
    }
}

impl MtuConfig {
    /// Geneve without options (`GENEVE_ENCAP_MIN_OVERHEAD`).
    pub const GENEVE_HEADER_SIZE: u32 = 30;

    /// Plain Ethernet everywhere, and tunnels over IPv4: what Neutron assumes.
    pub const fn ethernet() -> Self {
        Self {
            global_physnet_mtu: 1500,
            physical_network_mtus: BTreeMap::new(),
            path_mtu: None,
            overlay_ip_version: IpVersion::V4,
            geneve_max_header_size: Self::GENEVE_HEADER_SIZE,
        }
    }
}
