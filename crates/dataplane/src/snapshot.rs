//! Everything that decides what a node's integration bridge should hold, at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use model::{
    Dscp, MeterId, NetworkId, NetworkType, OfPort, Port, PortId, PortSecurity, SecurityGroup,
    SecurityGroupId, Segment, VlanTag,
};
use policy::Members;

use crate::PermittedEtherType;

/// One moment of a node.
///
/// Ports that may not talk (unknown, administratively down, not bound here, waiting for
/// something) are simply not in it: a port without flows is closed.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Networks that have a port here.
    pub networks: BTreeMap<NetworkId, LocalNetwork>,
    /// The port (ofport) that leads to each underlay.
    pub uplinks: BTreeMap<Underlay, OfPort>,
    /// Ports that are plugged in and may talk.
    pub ports: BTreeMap<PortId, LocalPort>,
    /// The security groups that those ports name, shared like the sets of `members`.
    pub groups: BTreeMap<SecurityGroupId, Arc<SecurityGroup>>,
    /// Who is in the groups that rules name as the remote.
    pub members: Members,
    /// Sets of groups by which the switch may be judging packets now, whatever `ports` says: those
    /// of its confirmed ports, and those that ports had until a moment ago. A packet learns its
    /// policy before `ct` and meets the rules behind it; one that is between the two when its port
    /// changes sets must find the rules that it was sent under, or its connection would be cut.
    /// Those of ports that are about to be in `ports` may be here too, so that their policies go
    /// ahead.
    pub in_force: BTreeSet<BTreeSet<SecurityGroupId>>,
    /// Frames that pass managed ports without a check.
    pub permitted_ethertypes: BTreeSet<PermittedEtherType>,
    /// Whether the rules of managed ports filter IP multicast and broadcast.
    pub strict_equivalence: bool,
}

impl Snapshot {
    /// The port (ofport) that leads to the underlay which carries this network.
    pub fn uplink(&self, network: &LocalNetwork) -> Option<OfPort> {
        self.uplinks.get(&Underlay::of(&network.segment)?).copied()
    }

    /// Those groups of the set that are known.
    pub fn groups_of<'a>(
        &'a self,
        set: &'a BTreeSet<SecurityGroupId>,
    ) -> impl Iterator<Item = &'a Arc<SecurityGroup>> {
        set.iter().filter_map(|id| self.groups.get(id))
    }

    /// Whether a port with this set of groups is judged packet by packet.
    pub fn is_stateless(&self, set: &BTreeSet<SecurityGroupId>) -> bool {
        policy::are_stateless(self.groups_of(set).map(Arc::as_ref))
    }
}

/// What carries frames from node to node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Underlay {
    /// The physical network of this name, behind a bridge of its own.
    Physical(String),
    /// Tunnels, all of them behind the tunnel bridge.
    Tunnels,
}

impl Underlay {
    /// What carries this segment; nothing where it stays on its node.
    pub fn of(segment: &Segment) -> Option<Self> {
        match segment.network_type {
            NetworkType::Local => None,
            NetworkType::Flat | NetworkType::Vlan => {
                segment.physical_network.clone().map(Self::Physical)
            }
            NetworkType::Vxlan | NetworkType::Gre | NetworkType::Geneve => Some(Self::Tunnels),
        }
    }
}

impl fmt::Display for Underlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Physical(name) => write!(f, "physical network {name}"),
            Self::Tunnels => f.write_str("tunnels"),
        }
    }
}

/// A network with a port on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNetwork {
    /// Its local VLAN, which is its conntrack zone too.
    pub vlan: VlanTag,
    /// The segment that carries it beyond this node.
    pub segment: Segment,
}

/// A port that is plugged into the integration bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPort {
    /// Its port number (ofport).
    pub ofport: OfPort,
    /// What the API says of it.
    pub port: Arc<Port>,
    /// Whether its virtual machine is active on another node, as while it migrates: the port may
    /// send, and receives from when it has sent. Until then its frames leave the node.
    pub standby: bool,
    /// Who applies the rules of its groups.
    pub filter: Filter,
    /// What its QoS policy asks of flows.
    pub qos: PortQos,
}

impl LocalPort {
    /// Whether flows apply the rules of its groups.
    pub fn is_managed(&self) -> bool {
        self.port.security == PortSecurity::Enabled && self.filter == Filter::Flows
    }

    /// Whether netfilter applies the rules of its groups. It sees no frame that has a tag.
    pub fn is_behind_netfilter(&self) -> bool {
        self.is_checked() && self.filter == Filter::Netfilter
    }

    /// Whether flows look at who it sends as, while its rules are no business of theirs.
    pub fn is_checked(&self) -> bool {
        self.port.security == PortSecurity::Enabled && self.filter != Filter::Flows
    }
}

/// Who applies the rules of a port with port security.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filter {
    /// The flows of br-int.
    #[default]
    Flows,
    /// Netfilter, on the Linux bridge that is between the port and br-int.
    Netfilter,
    /// Nobody.
    Nothing,
}

/// What flows do to the traffic of a port besides filtering it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortQos {
    /// The mark of IP packets that it sends.
    pub dscp: Option<Dscp>,
    /// Whether something is set aside for what it sends: on a physical network, that goes to the
    /// queue which has the number of the port (ofport).
    pub queue: bool,
    /// The meters of what it sends.
    pub egress: PortMeters,
    /// The meters of unicast that it gets.
    pub ingress: PortMeters,
}

/// The meters of one direction; the switch has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortMeters {
    /// That of packets.
    pub packets: Option<MeterId>,
    /// That of kilobits.
    pub bandwidth: Option<MeterId>,
}
