//! The bindings of a port, below its URL (extension `binding-extended`): a port that moves has one
//! to the host that it is on and one to the host that it will be on.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Attribute, Resource, check};

/// The attributes of a binding.
pub const PORT_BINDING: Resource = Resource {
    name: "binding",
    plural: "bindings",
    path: "bindings",
    attributes: &[
        Attribute::fixed("project_id", check::text),
        Attribute::needed("host", check::host),
        Attribute::open("vnic_type", check::vnic_type),
        Attribute::open("profile", check::object),
        Attribute::shown("vif_type"),
        Attribute::shown("vif_details"),
        Attribute::shown("status"),
    ],
};

/// A binding as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortBinding {
    /// The host, or empty.
    pub host: String,
    /// `normal` and others.
    pub vnic_type: String,
    /// What Nova says of the device.
    pub profile: Map<String, Value>,
    /// `ovs`, `unbound` or `binding_failed`.
    pub vif_type: String,
    /// What Nova must know to plug it.
    pub vif_details: Map<String, Value>,
    /// ACTIVE for the host that the port runs on, or INACTIVE.
    pub status: String,
}

/// A binding as it is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PortBindingCreate {
    /// The host.
    pub host: String,
    /// `normal` and others.
    #[serde(default = "super::port::normal")]
    pub vnic_type: String,
    /// What Nova says of the device.
    #[serde(default)]
    pub profile: Map<String, Value>,
}

/// What is to change of a binding; what is missing stays.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PortBindingUpdate {
    /// The host.
    pub host: Option<String>,
    /// `normal` and others.
    pub vnic_type: Option<String>,
    /// What Nova says of the device.
    pub profile: Option<Map<String, Value>>,
}
