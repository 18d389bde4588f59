//! Security groups: the extensions `security-group` and `stateful-security-group`.

use serde::{Deserialize, Serialize};

use super::{Attribute, Resource, SecurityGroupRule, check, yes};

/// The attributes of a security group.
pub const SECURITY_GROUP: Resource = Resource {
    name: "security_group",
    plural: "security_groups",
    path: "security-groups",
    attributes: &[
        Attribute::shown("id"),
        Attribute::fixed("project_id", check::text),
        Attribute::open("name", check::group_name),
        Attribute::open("description", check::text_or_null),
        Attribute::open("stateful", check::boolean),
        Attribute::shown("shared"),
        Attribute::shown("is_default"),
        Attribute::shown("security_group_rules"),
        Attribute::shown("tags"),
        Attribute::shown("revision_number"),
        Attribute::shown("created_at"),
        Attribute::shown("updated_at"),
    ],
};

/// A security group as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// UUID.
    pub id: String,
    /// The owner.
    pub project_id: String,
    /// The name, which need not be unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether replies pass without a rule.
    pub stateful: bool,
    /// Whether other projects may use it; never yet.
    pub shared: bool,
    /// Whether it is the default group of its project.
    pub is_default: bool,
    /// Its rules.
    pub security_group_rules: Vec<SecurityGroupRule>,
    /// Words that a user has put on it.
    pub tags: Vec<String>,
    /// Counts the changes.
    pub revision_number: u64,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub created_at: String,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub updated_at: String,
}

/// A security group as it is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SecurityGroupCreate {
    /// The owner.
    pub project_id: String,
    /// The name.
    #[serde(default)]
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Whether replies pass without a rule.
    #[serde(default = "yes")]
    pub stateful: bool,
}

/// What is to change of a security group; what is missing stays.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SecurityGroupUpdate {
    /// The name.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Whether replies pass without a rule.
    pub stateful: Option<bool>,
}
