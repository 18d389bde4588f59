//! Dictionaries that Neutron sends as JSON text inside a string (`"{}"`), as a serde adapter.
//!
//! A plain JSON object is read too; text is what is sent.

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Object(Map<String, Value>),
}

impl Form {
    fn open(self) -> Result<Map<String, Value>, serde_json::Error> {
        match self {
            Self::Text(text) if text.is_empty() => Ok(Map::new()),
            Self::Text(text) => serde_json::from_str(&text),
            Self::Object(map) => Ok(map),
        }
    }
}

pub(crate) fn serialize<S: Serializer>(
    map: &Map<String, Value>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serde_json::to_string(map).map_err(S::Error::custom)?.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Map<String, Value>, D::Error> {
    match Option::<Form>::deserialize(deserializer)? {
        Some(form) => form.open().map_err(D::Error::custom),
        None => Ok(Map::new()),
    }
}

/// The same for a field that may be null.
pub(crate) mod optional {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        map: &Option<Map<String, Value>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match map {
            Some(map) => super::serialize(map, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Map<String, Value>>, D::Error> {
        Option::<Form>::deserialize(deserializer)?
            .map(Form::open)
            .transpose()
            .map_err(D::Error::custom)
    }
}
