//! SecurityGroup 1.6, SecurityGroupRule 1.3 and AddressGroup 1.2.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::envelope::{self, Versioned};

/// A security group.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// UUID.
    pub id: String,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Whether other projects may use it.
    #[serde(default)]
    pub shared: bool,
    /// Whether replies pass without a rule.
    pub stateful: bool,
    /// Whether it is the default group of its project.
    #[serde(default)]
    pub is_default: bool,
    /// Its rules. A push must have them, or Neutron's agent fails.
    #[serde(default, with = "envelope::list")]
    pub rules: Vec<SecurityGroupRule>,
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

/// A rule of a security group.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    /// UUID.
    pub id: String,
    /// The owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// UUID of the group that it belongs to.
    pub security_group_id: String,
    /// UUID of the group whose members are the other side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_group_id: Option<String>,
    /// `ingress` or `egress`.
    pub direction: String,
    /// `IPv4` or `IPv6`.
    pub ethertype: String,
    /// A name or a number as text; any where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The first port, or the type for ICMP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range_min: Option<u32>,
    /// The last port, or the code for ICMP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range_max: Option<u32>,
    /// The other side as a prefix, as the user wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip_prefix: Option<String>,
    /// UUID of the address group that is the other side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_address_group_id: Option<String>,
    /// `remote_ip_prefix` with its host bits zero; null without one.
    #[serde(default)]
    pub normalized_cidr: Option<String>,
    /// Whether its group is the default group of its project.
    #[serde(default)]
    pub belongs_to_default_sg: bool,
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

/// A named set of prefixes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AddressGroup {
    /// UUID.
    pub id: String,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The owner.
    #[serde(default)]
    pub project_id: String,
    /// Whether other projects may use it.
    #[serde(default)]
    pub shared: bool,
    /// All its addresses.
    #[serde(default, with = "envelope::list")]
    pub addresses: Vec<AddressAssociation>,
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

/// A prefix of an address group.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AddressAssociation {
    /// The prefix.
    pub address: String,
    /// UUID of the address group.
    #[serde(default)]
    pub address_group_id: String,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Versioned for SecurityGroup {
    const NAME: &'static str = "SecurityGroup";
    const VERSION: &'static str = "1.6";
}

impl Versioned for SecurityGroupRule {
    const NAME: &'static str = "SecurityGroupRule";
    const VERSION: &'static str = "1.3";
}

impl Versioned for AddressGroup {
    const NAME: &'static str = "AddressGroup";
    const VERSION: &'static str = "1.2";
}

impl Versioned for AddressAssociation {
    const NAME: &'static str = "AddressAssociation";
    const VERSION: &'static str = "1.0";
}
