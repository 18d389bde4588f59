//! Rules that new security groups have from the start: the extension
//! `security-groups-default-rules`.

use serde::{Deserialize, Serialize};

use super::{Attribute, Permission, Resource, check, yes};

/// The attributes of a default rule. It belongs to no project: whose it would be is not kept.
pub const DEFAULT_SECURITY_GROUP_RULE: Resource = Resource {
    name: "default_security_group_rule",
    plural: "default_security_group_rules",
    path: "default-security-group-rules",
    attributes: &[
        Attribute::shown("id"),
        Attribute::fixed("project_id", check::text),
        Attribute::given("direction", check::direction),
        Attribute::fixed("ethertype", check::ethertype),
        Attribute::fixed("protocol", check::protocol),
        Attribute::fixed("port_range_min", check::rule_port),
        Attribute::fixed("port_range_max", check::rule_port),
        Attribute::fixed("remote_ip_prefix", check::rule_prefix),
        Attribute::fixed("remote_group_id", check::group_or_parent),
        Attribute::fixed("remote_address_group_id", check::uuid_or_null),
        Attribute::fixed("description", check::text_or_null),
        Attribute::fixed("used_in_default_sg", check::boolean),
        Attribute::fixed("used_in_non_default_sg", check::boolean),
    ],
};

/// A default rule as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefaultSecurityGroupRule {
    /// UUID.
    pub id: String,
    /// What it allows.
    #[serde(flatten)]
    pub permission: Permission,
    /// Free text.
    pub description: String,
    /// Whether the default group of a new project gets it.
    pub used_in_default_sg: bool,
    /// Whether every other new group gets it.
    pub used_in_non_default_sg: bool,
}

/// A default rule as it is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct DefaultSecurityGroupRuleCreate {
    /// What it allows.
    #[serde(flatten)]
    pub permission: Permission,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Whether the default group of a new project gets it.
    #[serde(default)]
    pub used_in_default_sg: bool,
    /// Whether every other new group gets it.
    #[serde(default = "yes")]
    pub used_in_non_default_sg: bool,
}
