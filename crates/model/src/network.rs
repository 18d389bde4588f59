//! Networks and the segments that carry them.

use std::fmt;
use std::str::FromStr;

use crate::{NetworkId, SegmentationId};

/// How a segment is carried between hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkType {
    /// Not at all: one host only.
    Local,
    /// Untagged on a physical network.
    Flat,
    /// 802.1Q on a physical network.
    Vlan,
    /// VXLAN tunnels.
    Vxlan,
    /// GRE tunnels.
    Gre,
    /// Geneve tunnels.
    Geneve,
}

/// Text that is not a network type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a network type (local, flat, vlan, vxlan, gre, geneve)")]
pub struct ParseNetworkTypeError {
    /// What was given.
    pub text: String,
}

impl NetworkType {
    /// Neutron's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Flat => "flat",
            Self::Vlan => "vlan",
            Self::Vxlan => "vxlan",
            Self::Gre => "gre",
            Self::Geneve => "geneve",
        }
    }
}

impl fmt::Display for NetworkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for NetworkType {
    type Err = ParseNetworkTypeError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkTypeError> {
        [Self::Local, Self::Flat, Self::Vlan, Self::Vxlan, Self::Gre, Self::Geneve]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| ParseNetworkTypeError { text: text.to_owned() })
    }
}

/// One broadcast domain in the underlay.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// How it is carried.
    pub network_type: NetworkType,
    /// The physical network, for flat and VLAN segments.
    pub physical_network: Option<String>,
    /// The VLAN tag, VNI or key, for all but local and flat segments.
    pub segmentation_id: Option<SegmentationId>,
}

/// A network as a node needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// The segment that this node carries.
    pub segment: Segment,
}
