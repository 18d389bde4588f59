//! Network 1.3, its segments, and Subnet 1.2.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::envelope::{self, Versioned, null_is_default};

/// A network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Network {
    /// UUID.
    pub id: String,
    /// The owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// ACTIVE, DOWN, BUILD or ERROR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Whether it should carry traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Whether other projects may use it.
    #[serde(default)]
    pub shared: bool,
    /// The largest IP packet, in bytes.
    #[serde(default)]
    pub mtu: u32,
    /// Whether new ports have port security.
    #[serde(default, with = "envelope::optional")]
    pub security: Option<NetworkPortSecurity>,
    /// What carries it.
    #[serde(default, with = "envelope::list")]
    pub segments: Vec<NetworkSegment>,
    /// UUID of the QoS policy of its ports.
    #[serde(default)]
    pub qos_policy_id: Option<String>,
    /// Counts the changes.
    #[serde(default)]
    pub revision_number: u64,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Whether new ports of a network have port security.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NetworkPortSecurity {
    /// UUID of the network.
    #[serde(default)]
    pub id: String,
    /// Whether they have.
    pub port_security_enabled: bool,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One broadcast domain that carries a network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NetworkSegment {
    /// UUID.
    #[serde(default)]
    pub id: String,
    /// UUID of the network.
    #[serde(default)]
    pub network_id: String,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// local, flat, vlan, vxlan, gre or geneve.
    pub network_type: String,
    /// The physical network, for flat and vlan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical_network: Option<String>,
    /// The VLAN tag, VNI or key, for all but local and flat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segmentation_id: Option<u32>,
    /// Whether a driver made it for one binding.
    #[serde(default)]
    pub is_dynamic: bool,
    /// Its place among the segments of the network.
    #[serde(default)]
    pub segment_index: u32,
    /// The hosts that it reaches.
    #[serde(default, deserialize_with = "null_is_default")]
    pub hosts: Vec<String>,
    /// Counts the changes.
    #[serde(default)]
    pub revision_number: u64,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Subnet {
    /// UUID.
    pub id: String,
    /// The owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// UUID of its network.
    pub network_id: String,
    /// 4 or 6.
    pub ip_version: u8,
    /// Its addresses.
    pub cidr: String,
    /// The address of the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_ip: Option<String>,
    /// What addresses are taken from.
    #[serde(default, with = "envelope::list")]
    pub allocation_pools: Vec<IpAllocationPool>,
    /// Whether it has DHCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_dhcp: Option<bool>,
    /// Counts the changes.
    #[serde(default)]
    pub revision_number: u64,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A range of addresses of a subnet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct IpAllocationPool {
    /// UUID.
    #[serde(default)]
    pub id: String,
    /// UUID of the subnet.
    #[serde(default)]
    pub subnet_id: String,
    /// The first address.
    pub start: String,
    /// The last address.
    pub end: String,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Versioned for Network {
    const NAME: &'static str = "Network";
    const VERSION: &'static str = "1.3";
}

impl Versioned for NetworkPortSecurity {
    const NAME: &'static str = "NetworkPortSecurity";
    const VERSION: &'static str = "1.0";
}

impl Versioned for NetworkSegment {
    const NAME: &'static str = "NetworkSegment";
    const VERSION: &'static str = "1.0";
}

impl Versioned for Subnet {
    const NAME: &'static str = "Subnet";
    const VERSION: &'static str = "1.2";
}

impl Versioned for IpAllocationPool {
    const NAME: &'static str = "IPAllocationPool";
    const VERSION: &'static str = "1.0";
}
