//! The nouns of Weir: identifiers, addresses, networks, ports, security groups,
//! QoS policies and trunks.
//!
//! Every type here is legal once it exists: constructors and `FromStr` refuse what is not, and
//! bring what is to one canonical form, so `Eq`, `Ord` and `Hash` may be derived. Nothing here
//! decides anything, does I/O, or knows a wire format (there is no serde on purpose: the crate
//! `neutron` owns what crosses a wire).

mod address;
mod hybrid;
mod id;
mod network;
mod number;
mod port;
mod qos;
mod security_group;
mod trunk;

pub use address::{MacAddr, ParseMacError, ParsePrefixError, Prefix};
pub use hybrid::HybridDevices;
pub use id::{
    AddressGroupId, NetworkId, ParseIdError, PortId, QosPolicyId, SecurityGroupId,
    SecurityGroupRuleId, SubnetId, TrunkId,
};
pub use network::{Network, NetworkType, ParseNetworkTypeError, Segment};
pub use number::{CtZone, MeterId, NumberError, OfPort, SegmentationId, VlanTag};
pub use port::{AddressPair, Port, PortSecurity};
pub use qos::{BandwidthLimit, Dscp, Kbps, PacketRateLimit, QosPolicy};
pub use security_group::{
    AddressGroup, Direction, EtherType, IpProtocol, ParseRuleValueError, PortRange, Remote,
    RuleError, SecurityGroup, SecurityGroupRule, Transport,
};
pub use trunk::{ParseTrunkStatusError, TRUNK_BRIDGE, Trunk, TrunkStatus, trunk_bridge};
