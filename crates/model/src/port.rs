//! Ports: what a virtual machine plugs in.

use std::collections::BTreeSet;

use crate::{MacAddr, NetworkId, PortId, Prefix, SecurityGroupId};

/// A source that a port may use: a MAC address together with a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressPair {
    /// The Ethernet address.
    pub mac: MacAddr,
    /// The addresses that may go with it.
    pub prefix: Prefix,
}

/// Whether a port's traffic is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortSecurity {
    /// Anti-spoofing and security groups apply.
    Enabled,
    /// Port security is off, or the owner is trusted (`network:*`): nothing is checked.
    Disabled,
}

/// A port as a node needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its id, which the interface carries as `external_ids:iface-id`.
    pub id: PortId,
    /// Its network.
    pub network: NetworkId,
    /// Its own Ethernet address.
    pub mac: MacAddr,
    /// Every allowed source: the own MAC with each fixed IP, and the allowed address pairs.
    /// The link-local address of the own MAC is allowed besides and not listed.
    pub pairs: BTreeSet<AddressPair>,
    /// Whether its traffic is checked.
    pub security: PortSecurity,
    /// Its security groups.
    pub groups: BTreeSet<SecurityGroupId>,
    /// Whether the owner wants it to carry traffic (`admin_state_up`).
    pub admin_up: bool,
}
