//! Trunk 1.1 and SubPort 1.0.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::envelope::{Versioned, list};

/// A trunk with its subports.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Trunk {
    /// UUID.
    pub id: String,
    /// Whether its owner lets its subports be changed.
    #[serde(default)]
    pub admin_state_up: bool,
    /// The owner.
    #[serde(default)]
    pub project_id: String,
    /// The name.
    #[serde(default)]
    pub name: String,
    /// UUID of the port whose frames have no tag.
    #[serde(default)]
    pub port_id: String,
    /// ACTIVE, DOWN, BUILD, DEGRADED or ERROR.
    #[serde(default)]
    pub status: String,
    /// Its subports, in any order.
    #[serde(with = "list", default)]
    pub sub_ports: Vec<SubPort>,
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

/// A port that is reached under a tag. It has no id and no revision of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SubPort {
    /// UUID of the port.
    pub port_id: String,
    /// UUID of the trunk.
    #[serde(default)]
    pub trunk_id: String,
    /// vlan.
    #[serde(default)]
    pub segmentation_type: String,
    /// The tag.
    #[serde(default)]
    pub segmentation_id: u32,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Versioned for Trunk {
    const NAME: &'static str = "Trunk";
    const VERSION: &'static str = "1.1";
}

impl Versioned for SubPort {
    const NAME: &'static str = "SubPort";
    const VERSION: &'static str = "1.0";
}
