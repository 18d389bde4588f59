//! Tables and priorities of the tunnel bridge. Numbers and names of tables are Neutron's.

use super::{Priority, Table, TableId};

tables! {
    /// Whether a frame comes from br-int or from a tunnel.
    ORIGIN = 0;
    /// From br-int: whether it is for one or for many.
    PATCH_LV_TO_TUN = 2;
    /// From a GRE tunnel: key to local VLAN.
    GRE_TUN_TO_LV = 3;
    /// From a VXLAN tunnel: network identifier to local VLAN.
    VXLAN_TUN_TO_LV = 4;
    /// From a Geneve tunnel: network identifier to local VLAN.
    GENEVE_TUN_TO_LV = 6;
    /// Who is behind which tunnel, learned from the frames that come from there; on to br-int.
    LEARN_FROM_TUN = 10;
    /// Destination address to tunnel: what the server has said, and what was learned.
    UCAST_TO_TUN = 20;
    /// Answers to ARP requests and neighbour solicitations.
    ARP_RESPONDER = 21;
    /// To all tunnels that a network needs.
    FLOOD_TO_TUN = 22;
    /// Makes a neighbour advertisement of a solicitation and sends it back.
    ND_REPLY = 23;
}

/// What must not be answered, though it asks for somebody who is known.
pub const NO_ANSWER: Priority = Priority(3);
/// What a neighbour says of itself.
pub const OWN: Priority = Priority(2);
/// What the server has said.
pub const POPULATED: Priority = Priority(2);
/// Frames that tell others where somebody is now.
pub const ANNOUNCEMENT: Priority = Priority(2);
/// What was learned.
pub const LEARNED: Priority = Priority(1);
/// A port, a network or an address.
pub const KNOWN: Priority = Priority(1);
/// What a table does with the rest.
pub const MISS: Priority = Priority(0);
