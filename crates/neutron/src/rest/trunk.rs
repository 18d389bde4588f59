//! Trunks: the extensions `trunk` and `trunk-details`.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::attribute::parse;
use super::{Attribute, Error, Resource, check, yes};

/// The attribute with the subports.
const SUB_PORTS: &str = "sub_ports";
/// The kind of tag that a switch has.
pub const VLAN: &str = "vlan";
/// The kind that is that of the network of the subport.
pub const INHERIT: &str = "inherit";

/// The attributes of a trunk.
pub const TRUNK: Resource = Resource {
    name: "trunk",
    plural: "trunks",
    path: "trunks",
    attributes: &[
        Attribute::shown("id"),
        Attribute::fixed("project_id", check::text),
        Attribute::open("name", check::text),
        Attribute::open("description", check::text_or_null),
        Attribute::open("admin_state_up", check::boolean),
        Attribute::given("port_id", check::uuid),
        Attribute::shown("status"),
        Attribute::fixed(SUB_PORTS, |attribute, value| {
            subports(value).map_err(|reason| Error::Invalid { attribute, reason })
        }),
        Attribute::shown("tags"),
        Attribute::shown("revision_number"),
        Attribute::shown("created_at"),
        Attribute::shown("updated_at"),
    ],
};

/// A trunk as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trunk {
    /// UUID.
    pub id: String,
    /// The owner.
    pub project_id: String,
    /// The name, which need not be unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether its subports may be changed.
    pub admin_state_up: bool,
    /// UUID of the port whose frames have no tag.
    pub port_id: String,
    /// ACTIVE, DOWN, BUILD, DEGRADED or ERROR.
    pub status: String,
    /// Its subports.
    pub sub_ports: Vec<SubPort>,
    /// Words that a user has put on it.
    pub tags: Vec<String>,
    /// Counts the changes.
    pub revision_number: u64,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub created_at: String,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub updated_at: String,
}

/// A port that is reached under a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubPort {
    /// UUID of the port.
    pub port_id: String,
    /// vlan.
    pub segmentation_type: String,
    /// The tag.
    pub segmentation_id: u32,
}

/// What the parent port of a trunk shows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkDetails {
    /// UUID.
    pub trunk_id: String,
    /// Its subports.
    pub sub_ports: Vec<SubPortDetails>,
}

/// What the parent port of a trunk shows of a subport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubPortDetails {
    /// UUID of the port.
    pub port_id: String,
    /// vlan.
    pub segmentation_type: String,
    /// The tag.
    pub segmentation_id: u32,
    /// The MAC address of the port.
    pub mac_address: String,
}

/// A trunk as it is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TrunkCreate {
    /// The owner.
    pub project_id: String,
    /// The name.
    #[serde(default)]
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Whether its subports may be changed.
    #[serde(default = "yes")]
    pub admin_state_up: bool,
    /// UUID of the port whose frames have no tag.
    pub port_id: String,
    /// Its subports.
    #[serde(default)]
    pub sub_ports: Vec<RequestedSubPort>,
}

/// What is to change of a trunk; what is missing stays. Subports come and go by [`SubPorts`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TrunkUpdate {
    /// The name.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Whether its subports may be changed.
    pub admin_state_up: Option<bool>,
}

/// A subport as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RequestedSubPort {
    /// UUID of the port.
    pub port_id: String,
    /// `vlan`, or `inherit` for the tag that its network has.
    pub segmentation_type: Option<String>,
    /// The tag.
    pub segmentation_id: Option<i64>,
}

/// Subports that are to join or leave a trunk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SubPorts {
    /// Each once.
    pub sub_ports: Vec<RequestedSubPort>,
}

impl SubPorts {
    /// Reads `{"sub_ports": [{"port_id": "..", "segmentation_type": "vlan", "segmentation_id": 7}]}`.
    ///
    /// # Errors
    ///
    /// The body has another form, or names what is no subport.
    pub fn from_body(body: &[u8]) -> Result<Self, Error> {
        let mut body = parse(body)?;
        let value = body.remove(SUB_PORTS).ok_or(Error::Required { attribute: SUB_PORTS })?;
        let checked = subports(value).map_err(|reason| Error::InvalidInput { reason })?;
        let sub_ports = serde_json::from_value(checked);
        let sub_ports =
            sub_ports.map_err(|error| Error::InvalidBody { reason: error.to_string() })?;
        Ok(Self { sub_ports })
    }
}

impl RequestedSubPort {
    /// What is said where a part of the tag is missing.
    pub fn incomplete(&self) -> Error {
        let Self { port_id, .. } = self;
        Error::InvalidInput { reason: incomplete(port_id) }
    }
}

fn incomplete(port: &str) -> String {
    format!(
        "Invalid subport details '{port}': missing segmentation information. Must specify both \
         segmentation_id and segmentation_type"
    )
}

/// A list of subports, each with a port of its own, and with both parts of its tag or neither. Which
/// tags there are already, and what `inherit` comes to, only the store knows.
fn subports(value: Value) -> Result<Value, String> {
    let Value::Array(mut list) = value else {
        return Err(format!("Invalid data format for subports: '{value}' is not a list"));
    };
    let (mut ports, mut tags) = (HashSet::new(), HashSet::new());
    for subport in &mut list {
        let Value::Object(members) = subport else {
            return Err(format!("Invalid data format for subport: '{subport}' is not a dict"));
        };
        let port = members.get("port_id").ok_or("A valid port UUID must be specified")?;
        let Some(id) = port.as_str().and_then(|text| Uuid::try_parse(text).ok()) else {
            return Err(format!("Invalid UUID for subport: '{port}'"));
        };
        let id = id.to_string();
        if !ports.insert(id.clone()) {
            return Err(format!("Non unique UUID for subport: '{id}'"));
        }
        let kind = members.get("segmentation_type").and_then(Value::as_str).map(str::to_owned);
        let tag = members.get("segmentation_id").filter(|value| !value.is_null()).cloned();
        let tag = tag.map(|tag| check::integer("segmentation_id", tag)).transpose();
        let tag = tag.map_err(|_| {
            let tag = members.get("segmentation_id").cloned().unwrap_or_default();
            format!("Invalid subport details: segmentation_id '{tag}' is not an integer")
        })?;
        let inherits = kind.as_deref() == Some(INHERIT);
        if !inherits && kind.is_some() != tag.is_some() {
            return Err(incomplete(&id));
        }
        if let Some(tag) = tag.as_ref().filter(|_| !inherits)
            && !tags.insert((kind.clone(), tag.clone()))
        {
            return Err(format!("Segmentation ID '{tag}' for '{id}' is not unique"));
        }
        members.insert("port_id".to_owned(), id.into());
        members.insert("segmentation_id".to_owned(), tag.unwrap_or_default());
    }
    Ok(list.into())
}
