//! Ports: the core resource with the attributes of the extensions `binding`, `security-group`,
//! `port-security`, `allowed-address-pairs`, `qos`, `qos-port-network-policy` and `trunk-details`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Attribute, Resource, TrunkDetails, check, present, yes};

/// The attributes of a port.
pub const PORT: Resource = Resource {
    name: "port",
    plural: "ports",
    path: "ports",
    attributes: &[
        Attribute::shown("id"),
        Attribute::fixed("project_id", check::text),
        Attribute::given("network_id", check::uuid),
        Attribute::open("name", check::text),
        Attribute::open("description", check::text_or_null),
        Attribute::open("admin_state_up", check::boolean),
        Attribute::open("mac_address", check::mac),
        Attribute::open("fixed_ips", check::fixed_ips),
        Attribute::open("security_groups", check::uuids_or_null),
        Attribute::open("port_security_enabled", check::boolean),
        Attribute::open("allowed_address_pairs", check::address_pairs),
        Attribute::open("device_id", check::text_or_null),
        Attribute::open("device_owner", check::text_or_null),
        Attribute::open("binding:host_id", check::text_or_null),
        Attribute::open("binding:vnic_type", check::vnic_type),
        Attribute::open("binding:profile", check::object),
        Attribute::shown("binding:vif_type"),
        Attribute::shown("binding:vif_details"),
        Attribute::shown("status"),
        Attribute::shown("extra_dhcp_opts"),
        Attribute::open("qos_policy_id", check::uuid_or_null),
        Attribute::shown("qos_network_policy_id"),
        Attribute::shown("trunk_details"),
        Attribute::shown("tags"),
        Attribute::shown("revision_number"),
        Attribute::shown("created_at"),
        Attribute::shown("updated_at"),
    ],
};

/// An address of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedIp {
    /// UUID of the subnet.
    pub subnet_id: String,
    /// The address.
    pub ip_address: String,
}

/// An address as it is asked for: a subnet, an address, or both.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RequestedIp {
    /// UUID of the subnet.
    pub subnet_id: Option<String>,
    /// The address.
    pub ip_address: Option<String>,
}

/// A further source that a port may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPair {
    /// The MAC address.
    pub mac_address: String,
    /// An address or a prefix.
    pub ip_address: String,
}

/// A further source as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RequestedPair {
    /// The MAC address; the port's own where it is missing.
    pub mac_address: Option<String>,
    /// An address or a prefix.
    pub ip_address: String,
}

/// A port as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// UUID.
    pub id: String,
    /// The owner.
    pub project_id: String,
    /// UUID of its network.
    pub network_id: String,
    /// The name, which need not be unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether it should carry traffic.
    pub admin_state_up: bool,
    /// ACTIVE once its host has wired it, or DOWN.
    pub status: String,
    /// Its MAC address.
    pub mac_address: String,
    /// Its addresses.
    pub fixed_ips: Vec<FixedIp>,
    /// UUIDs of its security groups.
    pub security_groups: Vec<String>,
    /// Whether its traffic is checked.
    pub port_security_enabled: bool,
    /// Further sources that it may use.
    pub allowed_address_pairs: Vec<AddressPair>,
    /// What uses it: the id of the virtual machine.
    pub device_id: String,
    /// Who uses it: `compute:*` or `network:*`.
    pub device_owner: String,
    /// The host that it is on, or empty.
    #[serde(rename = "binding:host_id")]
    pub host: String,
    /// `normal` and others.
    #[serde(rename = "binding:vnic_type")]
    pub vnic_type: String,
    /// What Nova says of the device.
    #[serde(rename = "binding:profile")]
    pub profile: Map<String, Value>,
    /// `ovs`, `unbound` or `binding_failed`.
    #[serde(rename = "binding:vif_type")]
    pub vif_type: String,
    /// What Nova must know to plug it.
    #[serde(rename = "binding:vif_details")]
    pub vif_details: Map<String, Value>,
    /// Empty.
    pub extra_dhcp_opts: Vec<Value>,
    /// UUID of its own QoS policy.
    pub qos_policy_id: Option<String>,
    /// UUID of the QoS policy of its network.
    pub qos_network_policy_id: Option<String>,
    /// The trunk that it is the parent port of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk_details: Option<TrunkDetails>,
    /// Words that a user has put on it.
    pub tags: Vec<String>,
    /// Counts the changes.
    pub revision_number: u64,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub created_at: String,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub updated_at: String,
}

/// A port as it is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PortCreate {
    /// The owner.
    pub project_id: String,
    /// UUID of its network.
    pub network_id: String,
    /// The name.
    #[serde(default)]
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Whether it should carry traffic.
    #[serde(default = "yes")]
    pub admin_state_up: bool,
    /// Its MAC address; a new one where it is missing.
    pub mac_address: Option<String>,
    /// Its addresses; one of each family that the network has where it is missing.
    pub fixed_ips: Option<Vec<RequestedIp>>,
    /// UUIDs of its security groups; the default one of the project where it is missing or null.
    pub security_groups: Option<Vec<String>>,
    /// Whether its traffic is checked; as its network says where it is missing.
    pub port_security_enabled: Option<bool>,
    /// Further sources that it may use.
    #[serde(default)]
    pub allowed_address_pairs: Vec<RequestedPair>,
    /// What uses it.
    #[serde(default)]
    pub device_id: String,
    /// Who uses it.
    #[serde(default)]
    pub device_owner: String,
    /// The host that it shall be on.
    #[serde(rename = "binding:host_id", default)]
    pub host: String,
    /// `normal` and others.
    #[serde(rename = "binding:vnic_type", default = "normal")]
    pub vnic_type: String,
    /// What Nova says of the device.
    #[serde(rename = "binding:profile", default)]
    pub profile: Map<String, Value>,
    /// UUID of its own QoS policy.
    pub qos_policy_id: Option<String>,
}

/// What is to change of a port; what is missing stays.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct PortUpdate {
    /// The name.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Whether it should carry traffic.
    pub admin_state_up: Option<bool>,
    /// Its MAC address.
    pub mac_address: Option<String>,
    /// Its addresses.
    pub fixed_ips: Option<Vec<RequestedIp>>,
    /// UUIDs of its security groups; null for none.
    #[serde(default, deserialize_with = "present")]
    pub security_groups: Option<Option<Vec<String>>>,
    /// Whether its traffic is checked.
    pub port_security_enabled: Option<bool>,
    /// Further sources that it may use.
    pub allowed_address_pairs: Option<Vec<RequestedPair>>,
    /// What uses it.
    pub device_id: Option<String>,
    /// Who uses it.
    pub device_owner: Option<String>,
    /// The host that it shall be on; empty for none.
    #[serde(rename = "binding:host_id")]
    pub host: Option<String>,
    /// `normal` and others.
    #[serde(rename = "binding:vnic_type")]
    pub vnic_type: Option<String>,
    /// What Nova says of the device.
    #[serde(rename = "binding:profile")]
    pub profile: Option<Map<String, Value>>,
    /// UUID of its own QoS policy; null for none.
    #[serde(default, deserialize_with = "present")]
    pub qos_policy_id: Option<Option<String>>,
}

pub(super) fn normal() -> String {
    "normal".to_owned()
}
