//! Segments as a resource of their own: the extension `segment` without what it adds to subnets.

use serde::{Deserialize, Serialize};

use super::{Attribute, Resource, check, present};

/// The attributes of a segment. It belongs to the project of its network.
pub const SEGMENT: Resource = Resource {
    name: "segment",
    plural: "segments",
    path: "segments",
    attributes: &[
        Attribute::shown("id"),
        Attribute::fixed("project_id", check::text),
        Attribute::given("network_id", check::uuid),
        Attribute::given("network_type", check::network_type),
        Attribute::fixed("physical_network", check::physical_network),
        Attribute::fixed("segmentation_id", check::integer),
        Attribute::open("name", check::null_or_text),
        Attribute::open("description", check::text),
        Attribute::shown("revision_number"),
        Attribute::shown("created_at"),
        Attribute::shown("updated_at"),
    ],
};

/// A segment as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// UUID.
    pub id: String,
    /// UUID of the network that it carries.
    pub network_id: String,
    /// local, flat, vlan, vxlan, gre or geneve.
    pub network_type: String,
    /// The physical network, for flat and vlan.
    pub physical_network: Option<String>,
    /// The VLAN tag, VNI or key, for all but local and flat.
    pub segmentation_id: Option<u32>,
    /// The name; null for one that was made with its network.
    pub name: Option<String>,
    /// Free text; null for one that was made with its network.
    pub description: Option<String>,
    /// Counts the changes.
    pub revision_number: u64,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub created_at: String,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub updated_at: String,
}

/// A segment as it is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SegmentCreate {
    /// UUID of the network that it is to carry.
    pub network_id: String,
    /// local, flat, vlan, vxlan, gre or geneve.
    pub network_type: String,
    /// The physical network, for flat and vlan.
    pub physical_network: Option<String>,
    /// The VLAN tag, VNI or key; the server's choice where it is missing.
    pub segmentation_id: Option<i64>,
    /// The name.
    pub name: Option<String>,
    /// Free text.
    #[serde(default)]
    pub description: String,
}

/// What is to change of a segment; what is missing stays.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SegmentUpdate {
    /// The name, or null for none.
    #[serde(default, deserialize_with = "present")]
    pub name: Option<Option<String>>,
    /// Free text.
    pub description: Option<String>,
}
