//! Segments as a table. Neutron has no such list; it is Weir's own, at `/v2.0/weir/segments`.

use serde::{Deserialize, Serialize};

/// The body: every segment there is, by physical network and number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segments {
    /// The segments.
    pub segments: Vec<Segment>,
}

/// A segment, free or in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// vlan or flat.
    pub network_type: String,
    /// The physical network.
    pub physical_network: String,
    /// The VLAN tag, for vlan.
    pub segmentation_id: Option<u32>,
    /// Whether it may be given to a network whose creator does not say.
    pub in_range: bool,
    /// UUID of the network that has it; null where it is free.
    pub network_id: Option<String>,
    /// The name of that network.
    pub network_name: Option<String>,
}
