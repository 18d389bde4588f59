//! The REST API's formats: for each resource a table of its attributes, the body that is shown,
//! and what may be asked for on create and update; and every error in Neutron's words.
//!
//! A body goes through [`Resource::create`] or [`Resource::update`], which say what is wrong with
//! it as Neutron does, and comes out as a typed request. What a request means, and whether it can
//! be met, is the server's to decide. `network` is the example that the others follow.
//! Facts: the Networking API reference v2.0, neutron-lib `api/definitions` and `api/validators`.

mod address_group;
mod agent;
mod allocation;
mod attribute;
mod check;
mod default_security_group_rule;
mod error;
mod network;
mod port;
mod port_binding;
mod qos_policy;
mod qos_rule;
mod quota;
mod security_group;
mod security_group_rule;
mod segment;
mod subnet;
#[cfg(test)]
mod tests;
mod trunk;
mod version;

use serde::{Deserialize, Deserializer};

pub use self::address_group::{
    ADDRESS_GROUP, AddressGroup, AddressGroupCreate, AddressGroupUpdate, Addresses,
};
pub use self::agent::{AGENT, Agent, AgentUpdate};
pub use self::allocation::{Allocation, Allocations};
pub use self::attribute::{Attribute, Body, Resource};
pub use self::default_security_group_rule::{
    DEFAULT_SECURITY_GROUP_RULE, DefaultSecurityGroupRule, DefaultSecurityGroupRuleCreate,
};
pub use self::error::{Error, ErrorBody, ErrorDetail};
pub use self::network::{
    NETWORK, Network, NetworkCreate, NetworkUpdate, ProviderSegment, Segments,
};
pub use self::port::{
    AddressPair, FixedIp, PORT, Port, PortCreate, PortUpdate, RequestedIp, RequestedPair,
};
pub use self::port_binding::{PORT_BINDING, PortBinding, PortBindingCreate, PortBindingUpdate};
pub use self::qos_policy::{QOS_POLICY, QosPolicy, QosPolicyCreate, QosPolicyUpdate};
pub use self::qos_rule::{
    QOS_BANDWIDTH_LIMIT_RULE, QOS_DSCP_MARKING_RULE, QOS_MINIMUM_BANDWIDTH_RULE,
    QOS_MINIMUM_PACKET_RATE_RULE, QOS_PACKET_RATE_LIMIT_RULE, QOS_RULE_TYPE, QOS_RULE_TYPES,
    QosRule, QosRuleRequest, QosRuleType,
};
pub use self::quota::{QUOTA_RESOURCES, QuotaUpdate};
pub use self::security_group::{
    SECURITY_GROUP, SecurityGroup, SecurityGroupCreate, SecurityGroupUpdate,
};
pub use self::security_group_rule::{
    Permission, SECURITY_GROUP_RULE, SecurityGroupRule, SecurityGroupRuleCreate,
    SecurityGroupRuleUpdate,
};
pub use self::segment::{SEGMENT, Segment, SegmentCreate, SegmentUpdate};
pub use self::subnet::{HostRoute, Pool, SUBNET, Subnet, SubnetCreate, SubnetUpdate};
pub use self::trunk::{
    INHERIT, RequestedSubPort, SubPort, SubPortDetails, SubPorts, TRUNK, Trunk, TrunkCreate,
    TrunkDetails, TrunkUpdate, VLAN,
};
pub use self::version::{EXTENSIONS, Extension, resources, versions};

/// Reads a member that is there: null is `Some(None)`, while a missing one is `None`.
fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// The default of attributes that are true where nothing is said.
fn yes() -> bool {
    true
}
