//! The wrapper that every versioned object has on the wire: name, namespace, version, data
//! (oslo.versionedobjects, with Neutron's prefix `versioned_object.`).
//!
//! It knows nothing of any one type. [`optional`] and [`list`] are serde adapters for fields
//! that hold wrapped objects.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

const NAMESPACE: &str = "versionedobjects";

/// A type that travels in a wrapper.
pub(crate) trait Versioned {
    /// Its name on the wire.
    const NAME: &'static str;
    /// The version that is sent, and the highest that is understood.
    const VERSION: &'static str;
}

/// The wrapper itself.
#[derive(Serialize, Deserialize)]
pub(crate) struct Envelope<T> {
    #[serde(rename = "versioned_object.name")]
    pub(crate) name: String,
    #[serde(rename = "versioned_object.namespace")]
    namespace: String,
    #[serde(rename = "versioned_object.version")]
    version: String,
    #[serde(rename = "versioned_object.data")]
    pub(crate) data: T,
    /// The fields that the sender set; receivers do not look at it.
    #[serde(rename = "versioned_object.changes", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) changes: Vec<String>,
}

/// A wrapper that does not hold what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvelopeError {
    #[error("expected a {expected}, found a {found}")]
    Name { expected: &'static str, found: String },
    #[error("{name} has the namespace '{found}', not '{NAMESPACE}'")]
    Namespace { name: String, found: String },
    #[error("{name} has version {found}, at most {known} is understood")]
    Version { name: String, found: String, known: &'static str },
}

impl<T> Envelope<T> {
    /// Data of this name and version, wrapped.
    pub(crate) fn new(name: &str, version: &str, data: T) -> Self {
        Self {
            name: name.to_owned(),
            namespace: NAMESPACE.to_owned(),
            version: version.to_owned(),
            data,
            changes: Vec::new(),
        }
    }

    /// The data, if it is an object called `name` of a version that `known` covers.
    pub(crate) fn open(self, name: &'static str, known: &'static str) -> Result<T, EnvelopeError> {
        if self.name != name {
            return Err(EnvelopeError::Name { expected: name, found: self.name });
        }
        if self.namespace != NAMESPACE {
            return Err(EnvelopeError::Namespace { name: self.name, found: self.namespace });
        }
        if !covers(known, &self.version) {
            return Err(EnvelopeError::Version { name: self.name, found: self.version, known });
        }
        Ok(self.data)
    }
}

/// The object, wrapped.
pub(crate) fn wrap<T: Versioned>(object: &T) -> Envelope<&T> {
    Envelope::new(T::NAME, T::VERSION, object)
}

/// Whether somebody who speaks version `known` understands `asked`: the same major number, and a
/// minor number that is not higher. Text that is no version is not understood.
pub(crate) fn covers(known: &str, asked: &str) -> bool {
    match (parse(known), parse(asked)) {
        (Some((major, minor)), Some((wanted_major, wanted_minor))) => {
            major == wanted_major && minor >= wanted_minor
        }
        _ => false,
    }
}

/// Major and minor number.
pub(super) fn parse(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Makes another version of a wrapped object. What came with later versions may stay: a receiver
/// passes over fields that it does not know.
pub(crate) fn set_version(object: &mut Value, version: &str) {
    if let Some(said) = object.get_mut("versioned_object.version") {
        *said = Value::from(version);
    }
}

/// A field with one wrapped object or null.
pub(crate) mod optional {
    use super::*;

    pub(crate) fn serialize<T, S>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Versioned + Serialize,
        S: Serializer,
    {
        value.as_ref().map(wrap).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: Versioned + Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Option::<Envelope<T>>::deserialize(deserializer)?
            .map(|envelope| envelope.open(T::NAME, T::VERSION))
            .transpose()
            .map_err(D::Error::custom)
    }
}

/// A field with a list of wrapped objects; null is read as the empty list.
pub(crate) mod list {
    use super::*;

    pub(crate) fn serialize<T, S>(value: &[T], serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Versioned + Serialize,
        S: Serializer,
    {
        serializer.collect_seq(value.iter().map(wrap))
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: Versioned + Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Option::<Vec<Envelope<T>>>::deserialize(deserializer)?
            .unwrap_or_default()
            .into_iter()
            .map(|envelope| envelope.open(T::NAME, T::VERSION).map_err(D::Error::custom))
            .collect()
    }
}

/// Reads null as the default of the type.
pub(crate) fn null_is_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The typed data of an object that came as any JSON; the error names the object.
pub(crate) fn data<T: DeserializeOwned>(name: &str, data: Value) -> Result<T, String> {
    let id = data.get("id").and_then(Value::as_str).unwrap_or("without id").to_owned();
    serde_json::from_value(data).map_err(|error| format!("{name} {id}: {error}"))
}
