//! Tables and priorities of physical bridges, which are Neutron's.

use super::{Priority, Table, TableId};

tables! {
    /// Frames from br-int get the VLAN of their segment; the others are forwarded as they are.
    LOCAL_VLAN_TO_SEGMENT = 0;
}

/// A local VLAN of a network that the bridge carries.
pub const SEGMENT: Priority = Priority(4);
/// Frames from br-int of no such network.
pub const NO_SEGMENT: Priority = Priority(2);
/// Frames from anywhere else.
pub const MISS: Priority = Priority(0);
