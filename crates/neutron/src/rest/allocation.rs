//! What there is to be had as a segment, and who has it. Neutron has no such list; it is Weir's
//! own, at `/v2.0/weir/segments`.

use serde::{Deserialize, Serialize};

/// The body: by type, physical network and number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocations {
    /// The segments.
    pub segments: Vec<Allocation>,
}

/// A segment in use, or a run of free ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// local, flat, vlan, vxlan, gre or geneve.
    pub network_type: String,
    /// The physical network, for flat and vlan.
    pub physical_network: Option<String>,
    /// The VLAN tag, VNI or key, for all but local and flat; the first of a run.
    pub segmentation_id: Option<u32>,
    /// The last of a run; of one in use the same as the first.
    pub through: Option<u32>,
    /// Whether it may be given to a network whose creator does not say.
    pub in_range: bool,
    /// UUID of the network that has it; null where it is free.
    pub network_id: Option<String>,
    /// The name of that network.
    pub network_name: Option<String>,
}
