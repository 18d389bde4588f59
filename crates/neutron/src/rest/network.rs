//! Networks: the core resource with the attributes of the extensions `provider`,
//! `multi-provider`, `net-mtu-writable`, `port-security`, `qos`, `availability_zone` and the standard attributes.

use serde::{Deserialize, Serialize};

use super::{Attribute, Resource, check, present, yes};

/// The attributes of a network.
pub const NETWORK: Resource = Resource {
    name: "network",
    plural: "networks",
    path: "networks",
    attributes: &[
        Attribute::shown("id"),
        Attribute::fixed("project_id", check::text),
        Attribute::open("name", check::text),
        Attribute::open("description", check::text_or_null),
        Attribute::open("admin_state_up", check::boolean),
        Attribute::open("shared", check::boolean),
        Attribute::open("mtu", check::mtu),
        Attribute::open("port_security_enabled", check::boolean),
        Attribute::open("provider:network_type", check::network_type),
        Attribute::open("provider:physical_network", check::physical_network),
        Attribute::open("provider:segmentation_id", check::integer_or_null),
        Attribute::fixed("segments", check::segments),
        Attribute::shown("status"),
        Attribute::shown("subnets"),
        Attribute::shown("router:external"),
        Attribute::shown("availability_zone_hints"),
        Attribute::shown("availability_zones"),
        Attribute::shown("ipv4_address_scope"),
        Attribute::shown("ipv6_address_scope"),
        Attribute::open("qos_policy_id", check::uuid_or_null),
        Attribute::shown("tags"),
        Attribute::shown("revision_number"),
        Attribute::shown("created_at"),
        Attribute::shown("updated_at"),
    ],
};

/// A segment, by the names that networks have for its parts. What is missing where one is asked
/// for is the server's choice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProviderSegment {
    /// local, flat, vlan, vxlan, gre or geneve.
    #[serde(rename = "provider:network_type")]
    pub network_type: Option<String>,
    /// The physical network, for flat and vlan.
    #[serde(rename = "provider:physical_network")]
    pub physical_network: Option<String>,
    /// The VLAN tag, VNI or key, for all but local and flat.
    #[serde(rename = "provider:segmentation_id")]
    pub segmentation_id: Option<i64>,
}

/// The segments of a network as they are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Segments {
    /// Two and more.
    Many {
        /// Each of them, in order.
        segments: Vec<ProviderSegment>,
    },
    /// One; all nulls where there is none.
    One(ProviderSegment),
}

/// A network as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// UUID.
    pub id: String,
    /// The owner.
    pub project_id: String,
    /// The name, which need not be unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether it should carry traffic.
    pub admin_state_up: bool,
    /// ACTIVE.
    pub status: String,
    /// Whether other projects may use it.
    pub shared: bool,
    /// The largest IP packet, in bytes.
    pub mtu: u32,
    /// Whether new ports have port security.
    pub port_security_enabled: bool,
    /// What carries it.
    #[serde(flatten)]
    pub segments: Segments,
    /// UUIDs of its subnets.
    pub subnets: Vec<String>,
    /// Whether it leads out; never yet.
    #[serde(rename = "router:external")]
    pub external: bool,
    /// Empty.
    pub availability_zone_hints: Vec<String>,
    /// Empty.
    pub availability_zones: Vec<String>,
    /// Null.
    pub ipv4_address_scope: Option<String>,
    /// Null.
    pub ipv6_address_scope: Option<String>,
    /// UUID of the QoS policy of its ports.
    pub qos_policy_id: Option<String>,
    /// Words that a user has put on it.
    pub tags: Vec<String>,
    /// Counts the changes.
    pub revision_number: u64,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub created_at: String,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub updated_at: String,
}

/// A network as it is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NetworkCreate {
    /// The owner.
    pub project_id: String,
    /// The name.
    #[serde(default)]
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Whether it should carry traffic.
    #[serde(default = "yes")]
    pub admin_state_up: bool,
    /// Whether other projects may use it.
    #[serde(default)]
    pub shared: bool,
    /// The largest IP packet, in bytes; 0 leaves it to the server.
    #[serde(default)]
    pub mtu: u32,
    /// Whether new ports have port security.
    #[serde(default = "yes")]
    pub port_security_enabled: bool,
    /// UUID of the QoS policy of its ports; the default one of the project where it is missing or
    /// null.
    pub qos_policy_id: Option<String>,
    /// What is to carry it; all of it is missing where that is the server's choice.
    #[serde(flatten)]
    pub provider: ProviderSegment,
    /// What is to carry it, if that is several segments.
    pub segments: Option<Vec<ProviderSegment>>,
}

/// What is to change of a network; what is missing stays.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NetworkUpdate {
    /// The name.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Whether it should carry traffic.
    pub admin_state_up: Option<bool>,
    /// Whether other projects may use it.
    pub shared: Option<bool>,
    /// The largest IP packet, in bytes; 0 leaves it to the server.
    pub mtu: Option<u32>,
    /// Whether new ports have port security.
    pub port_security_enabled: Option<bool>,
    /// UUID of the QoS policy of its ports; null for none.
    #[serde(default, deserialize_with = "present")]
    pub qos_policy_id: Option<Option<String>>,
    /// What carries it: only the number of a VLAN can change.
    #[serde(flatten)]
    pub provider: ProviderSegment,
}
