//! Port 1.11 and the objects that a port carries inside.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::NetworkSegment;
use super::envelope::{self, Versioned, null_is_default};
use super::json_text;

/// A port.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Port {
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
    /// Its MAC address.
    pub mac_address: String,
    /// Whether it should carry traffic.
    pub admin_state_up: bool,
    /// What uses it: the id of the virtual machine.
    #[serde(default)]
    pub device_id: String,
    /// Who uses it: `compute:*`, or `network:*` for Neutron's own ports, which are trusted.
    #[serde(default)]
    pub device_owner: String,
    /// ACTIVE, DOWN, BUILD, ERROR or N/A.
    #[serde(default)]
    pub status: String,
    /// Further sources that it may use.
    #[serde(default, with = "envelope::list")]
    pub allowed_address_pairs: Vec<AllowedAddressPair>,
    /// One for each host that it is or will be on.
    #[serde(default, with = "envelope::list")]
    pub bindings: Vec<PortBinding>,
    /// ExtraDhcpOpt objects, kept as they came. Neutron's agent fails where this is missing.
    #[serde(default, deserialize_with = "null_is_default")]
    pub dhcp_options: Vec<Value>,
    /// DistributedPortBinding objects, kept as they came. Neutron's agent fails where this is
    /// missing.
    #[serde(default, deserialize_with = "null_is_default")]
    pub distributed_bindings: Vec<Value>,
    /// Its addresses.
    #[serde(default, with = "envelope::list")]
    pub fixed_ips: Vec<IpAllocation>,
    /// Whether its traffic is checked; it is where this is missing.
    #[serde(default, with = "envelope::optional")]
    pub security: Option<PortSecurity>,
    /// UUIDs of its security groups, in any order.
    #[serde(default, deserialize_with = "null_is_default")]
    pub security_group_ids: Vec<String>,
    /// UUID of its own QoS policy.
    #[serde(default)]
    pub qos_policy_id: Option<String>,
    /// UUID of the QoS policy of its network.
    #[serde(default)]
    pub qos_network_policy_id: Option<String>,
    /// For each host and level of the hierarchy, the segment that carries it there.
    #[serde(default, with = "envelope::list")]
    pub binding_levels: Vec<PortBindingLevel>,
    /// Counts the changes. A receiver drops what is older than what it has.
    #[serde(default)]
    pub revision_number: u64,
    /// Free text. Neutron's agent fails where this is missing.
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

/// A port on a host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PortBinding {
    /// UUID of the port.
    #[serde(default)]
    pub port_id: String,
    /// The host, or empty.
    pub host: String,
    /// What Nova says of the device.
    #[serde(default, with = "json_text")]
    pub profile: Map<String, Value>,
    /// `ovs`, `unbound`, `binding_failed` and others.
    pub vif_type: String,
    /// What Nova must know to plug it.
    #[serde(default, with = "json_text::optional")]
    pub vif_details: Option<Map<String, Value>>,
    /// `normal` and others.
    #[serde(default)]
    pub vnic_type: String,
    /// ACTIVE or INACTIVE; missing means ACTIVE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The segment of a port on a host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PortBindingLevel {
    /// UUID of the port.
    #[serde(default)]
    pub port_id: String,
    /// The host.
    pub host: String,
    /// 0 is the top; the lowest level of the host is what a virtual machine's port uses.
    #[serde(default)]
    pub level: u32,
    /// The mechanism driver that bound it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The segment.
    #[serde(default, with = "envelope::optional")]
    pub segment: Option<NetworkSegment>,
    /// UUID of the segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_id: Option<String>,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An address of a port.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct IpAllocation {
    /// UUID of the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_id: Option<String>,
    /// UUID of the subnet.
    pub subnet_id: String,
    /// UUID of the network.
    #[serde(default)]
    pub network_id: String,
    /// The address.
    pub ip_address: String,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A further source that a port may use.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AllowedAddressPair {
    /// UUID of the port.
    #[serde(default)]
    pub port_id: String,
    /// The MAC address; the server fills in the port's own where none was given.
    pub mac_address: String,
    /// An address or a prefix.
    pub ip_address: String,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Whether a port's traffic is checked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PortSecurity {
    /// UUID of the port.
    #[serde(default)]
    pub id: String,
    /// Whether it is.
    pub port_security_enabled: bool,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Port {
    /// The status of a port that its host has not wired.
    pub const DOWN: &'static str = "DOWN";
}

impl PortBinding {
    /// The status of the binding of the host that the port runs on.
    pub const ACTIVE: &'static str = "ACTIVE";
    /// The status of the binding of a host that the port may move to, or has left.
    pub const INACTIVE: &'static str = "INACTIVE";

    /// Whether the port runs on this host.
    pub fn is_active(&self) -> bool {
        self.status.as_deref().is_none_or(|status| status == Self::ACTIVE)
    }
}

impl Versioned for Port {
    const NAME: &'static str = "Port";
    const VERSION: &'static str = "1.11";
}

impl Versioned for PortBinding {
    const NAME: &'static str = "PortBinding";
    const VERSION: &'static str = "1.0";
}

impl Versioned for PortBindingLevel {
    const NAME: &'static str = "PortBindingLevel";
    const VERSION: &'static str = "1.1";
}

impl Versioned for IpAllocation {
    const NAME: &'static str = "IPAllocation";
    const VERSION: &'static str = "1.0";
}

impl Versioned for AllowedAddressPair {
    const NAME: &'static str = "AllowedAddressPair";
    const VERSION: &'static str = "1.0";
}

impl Versioned for PortSecurity {
    const NAME: &'static str = "PortSecurity";
    const VERSION: &'static str = "1.0";
}
