//! QoS policies: the extensions `qos` and `qos-default`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Attribute, Resource, check};

/// The attributes of a QoS policy.
pub const QOS_POLICY: Resource = Resource {
    name: "policy",
    plural: "policies",
    path: "qos/policies",
    attributes: &[
        Attribute::shown("id"),
        Attribute::fixed("project_id", check::text),
        Attribute::open("name", check::text),
        Attribute::open("description", check::text_or_null),
        Attribute::open("shared", check::boolean),
        Attribute::open("is_default", check::boolean),
        Attribute::shown("rules"),
        Attribute::shown("tags"),
        Attribute::shown("revision_number"),
        Attribute::shown("created_at"),
        Attribute::shown("updated_at"),
    ],
};

/// A QoS policy as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QosPolicy {
    /// UUID.
    pub id: String,
    /// The owner.
    pub project_id: String,
    /// The name, which need not be unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether other projects may use it.
    pub shared: bool,
    /// Whether new networks of its project have it.
    pub is_default: bool,
    /// Its rules, each with its type and the policy's id.
    pub rules: Vec<Map<String, Value>>,
    /// Empty.
    pub tags: Vec<String>,
    /// Counts the changes.
    pub revision_number: u64,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub created_at: String,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub updated_at: String,
}

/// A QoS policy as it is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct QosPolicyCreate {
    /// The owner.
    pub project_id: String,
    /// The name.
    #[serde(default)]
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Whether other projects may use it.
    #[serde(default)]
    pub shared: bool,
    /// Whether new networks of its project have it.
    #[serde(default)]
    pub is_default: bool,
}

/// What is to change of a QoS policy; what is missing stays.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct QosPolicyUpdate {
    /// The name.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Whether other projects may use it.
    pub shared: Option<bool>,
    /// Whether new networks of its project have it.
    pub is_default: Option<bool>,
}
