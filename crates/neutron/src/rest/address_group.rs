//! Address groups: the extension `address-group`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attribute::parse;
use super::{Attribute, Error, Resource, check};

/// The attributes of an address group.
pub const ADDRESS_GROUP: Resource = Resource {
    name: "address_group",
    plural: "address_groups",
    path: "address-groups",
    attributes: &[
        Attribute::shown("id"),
        Attribute::fixed("project_id", check::text),
        Attribute::open("name", check::text),
        Attribute::open("description", check::text_or_null),
        Attribute::fixed("addresses", check::prefixes),
        Attribute::shown("revision_number"),
        Attribute::shown("created_at"),
        Attribute::shown("updated_at"),
    ],
};

/// An address group as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddressGroup {
    /// UUID.
    pub id: String,
    /// The owner.
    pub project_id: String,
    /// The name, which need not be unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Its prefixes, with host bits zero.
    pub addresses: Vec<String>,
    /// Counts the changes.
    pub revision_number: u64,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub created_at: String,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub updated_at: String,
}

/// An address group as it is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AddressGroupCreate {
    /// The owner.
    pub project_id: String,
    /// The name.
    #[serde(default)]
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Its prefixes, each once, with host bits zero.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// What is to change of an address group; what is missing stays. Addresses come and go by
/// [`Addresses`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AddressGroupUpdate {
    /// The name.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
}

/// Addresses that are to join or leave an address group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Prefixes, each once, with host bits zero.
    pub addresses: Vec<String>,
}

impl Addresses {
    /// Reads `{"addresses": ["10.0.0.0/24", "10.1.0.1"]}`.
    ///
    /// # Errors
    ///
    /// The body has another form, or names what is no address.
    pub fn from_body(body: &[u8]) -> Result<Self, Error> {
        const ATTRIBUTE: &str = "addresses";
        let value =
            parse(body)?.remove(ATTRIBUTE).ok_or(Error::Required { attribute: ATTRIBUTE })?;
        let checked = check::addresses_or_prefixes(ATTRIBUTE, value)?;
        let addresses = checked.as_array().into_iter().flatten();
        let addresses = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Self { addresses })
    }
}
