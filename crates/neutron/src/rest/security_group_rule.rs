//! Rules of security groups: the extensions `security-group`,
//! `security-groups-normalized-cidr`, `security-groups-remote-address-group` and
//! `security-groups-rules-belongs-to-default-sg`.

use serde::{Deserialize, Serialize};

use super::{Attribute, Resource, check};

/// The attributes of a rule.
pub const SECURITY_GROUP_RULE: Resource = Resource {
    name: "security_group_rule",
    plural: "security_group_rules",
    path: "security-group-rules",
    attributes: &[
        Attribute::shown("id"),
        Attribute::fixed("project_id", check::text),
        Attribute::given("security_group_id", check::uuid),
        Attribute::given("direction", check::direction),
        Attribute::fixed("ethertype", check::ethertype),
        Attribute::fixed("protocol", check::protocol),
        Attribute::fixed("port_range_min", check::rule_port),
        Attribute::fixed("port_range_max", check::rule_port),
        Attribute::fixed("remote_ip_prefix", check::rule_prefix),
        Attribute::fixed("remote_group_id", check::uuid_or_null),
        Attribute::fixed("remote_address_group_id", check::uuid_or_null),
        Attribute::open("description", check::text_or_null),
        Attribute::shown("normalized_cidr"),
        Attribute::shown("belongs_to_default_sg"),
        Attribute::shown("revision_number"),
        Attribute::shown("created_at"),
        Attribute::shown("updated_at"),
    ],
};

/// A rule as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    /// UUID.
    pub id: String,
    /// The owner.
    pub project_id: String,
    /// UUID of its group.
    pub security_group_id: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// `IPv4` or `IPv6`.
    pub ethertype: String,
    /// A name or a number as text; null for any.
    pub protocol: Option<String>,
    /// The first port, or the type for ICMP.
    pub port_range_min: Option<u16>,
    /// The last port, or the code for ICMP.
    pub port_range_max: Option<u16>,
    /// The other side as a prefix, as the user wrote it.
    pub remote_ip_prefix: Option<String>,
    /// `remote_ip_prefix` with its host bits zero.
    pub normalized_cidr: Option<String>,
    /// UUID of the group whose members are the other side.
    pub remote_group_id: Option<String>,
    /// UUID of the address group that is the other side.
    pub remote_address_group_id: Option<String>,
    /// Whether its group is the default group of its project.
    pub belongs_to_default_sg: bool,
    /// Free text.
    pub description: String,
    /// Counts the changes.
    pub revision_number: u64,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub created_at: String,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub updated_at: String,
}

/// What a rule allows: which packets, and from or to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// `ingress` or `egress`.
    pub direction: String,
    /// `IPv4` or `IPv6`.
    #[serde(default = "ipv4")]
    pub ethertype: String,
    /// A name or a number as text; any where it is missing.
    pub protocol: Option<String>,
    /// The first port, or the type for ICMP.
    pub port_range_min: Option<u16>,
    /// The last port, or the code for ICMP.
    pub port_range_max: Option<u16>,
    /// The other side as a prefix.
    pub remote_ip_prefix: Option<String>,
    /// UUID of the group whose members are the other side, or [`Permission::PARENT`].
    pub remote_group_id: Option<String>,
    /// UUID of the address group that is the other side.
    pub remote_address_group_id: Option<String>,
}

impl Permission {
    /// In a default rule, the group that gets the rule.
    pub const PARENT: &str = "PARENT";
}

/// A rule as it is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SecurityGroupRuleCreate {
    /// The owner.
    pub project_id: String,
    /// UUID of its group.
    pub security_group_id: String,
    /// What it allows.
    #[serde(flatten)]
    pub permission: Permission,
    /// Free text.
    #[serde(default)]
    pub description: String,
}

/// What is to change of a rule; what is missing stays.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SecurityGroupRuleUpdate {
    /// Free text.
    pub description: Option<String>,
}

fn ipv4() -> String {
    "IPv4".to_owned()
}
