//! Values of the database (RFC 7047 section 5.1): atoms, and sets and maps of them.
//!
//! A scalar is a set of one, as in `ovsdb-server` itself: on the wire `5` and `["set",[5]]` are
//! the same value, so here they are the same [`Datum`], and equality needs no schema.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};
use uuid::Uuid;

/// The identity of a row: the column `_uuid`. Kept as the two halves of its number, which compare
/// as its bytes do and without a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(u64, u64);

impl RowId {
    /// The row with this UUID.
    pub const fn new(uuid: Uuid) -> Self {
        let (high, low) = uuid.as_u64_pair();
        Self(high, low)
    }

    /// The UUID.
    pub const fn uuid(self) -> Uuid {
        Uuid::from_u64_pair(self.0, self.1)
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid().fmt(f)
    }
}

impl fmt::Debug for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowId({})", self.uuid())
    }
}

/// Text that is not the identity of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a UUID")]
pub struct ParseRowIdError {
    /// What was given.
    pub text: String,
}

impl FromStr for RowId {
    type Err = ParseRowIdError;

    fn from_str(text: &str) -> Result<Self, ParseRowIdError> {
        Uuid::try_parse(text).map(Self::new).map_err(|_| ParseRowIdError { text: text.to_owned() })
    }
}

/// A finite real number. Its order is total, and there is one zero.
#[derive(Debug, Clone, Copy)]
pub struct Real(f64);

impl Real {
    /// The number, or `None` when it is infinite or not a number, which JSON cannot carry.
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns the negative zero into the positive one.
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

// Written by hand because `f64` has no total equality; a `Real` does, being finite.
impl Ord for Real {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Real {}

/// One indivisible value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// A 64-bit integer.
    Integer(i64),
    /// A real number. A server writes a whole one as an integer, and it is read as one.
    Real(Real),
    /// True or false.
    Boolean(bool),
    /// Text.
    String(String),
    /// A row.
    Uuid(RowId),
    /// A row that the same transaction inserts under this name. Never sent by a server.
    NamedUuid(String),
}

impl Atom {
    /// Reads an atom.
    ///
    /// # Errors
    /// When the JSON is no atom of RFC 7047.
    pub fn from_json(json: &Value) -> Result<Self, DatumError> {
        let bad = || DatumError::Atom { json: excerpt(json) };
        match json {
            Value::Bool(value) => Ok(Self::Boolean(*value)),
            Value::String(value) => Ok(Self::String(value.clone())),
            Value::Number(number) => match number.as_i64() {
                Some(value) => Ok(Self::Integer(value)),
                None => number.as_f64().and_then(Real::new).map(Self::Real).ok_or_else(bad),
            },
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(tag), Value::String(text)] if tag == "uuid" => {
                    text.parse().map(Self::Uuid).map_err(|_| bad())
                }
                [Value::String(tag), Value::String(name)] if tag == "named-uuid" => {
                    Ok(Self::NamedUuid(name.clone()))
                }
                _ => Err(bad()),
            },
            Value::Null | Value::Object(_) => Err(bad()),
        }
    }

    /// The atom as RFC 7047 writes it.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Integer(value) => json!(value),
            Self::Real(value) => json!(value.get()),
            Self::Boolean(value) => json!(value),
            Self::String(value) => json!(value),
            Self::Uuid(row) => json!(["uuid", row.to_string()]),
            Self::NamedUuid(name) => json!(["named-uuid", name]),
        }
    }
}

/// The value of a column: a set (a scalar is a set of one) or a map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Datum {
    /// A set of atoms.
    Set(BTreeSet<Atom>),
    /// A map from atom to atom.
    Map(BTreeMap<Atom, Atom>),
}

impl Datum {
    /// The set of nothing: also an optional column without a value.
    pub const fn empty() -> Self {
        Self::Set(BTreeSet::new())
    }

    /// The row that the same transaction inserts under `name`.
    pub fn named(name: &str) -> Self {
        Atom::NamedUuid(name.to_owned()).into()
    }

    /// Reads a value.
    ///
    /// # Errors
    /// When the JSON is no value of RFC 7047, or a map names a key twice.
    pub fn from_json(json: &Value) -> Result<Self, DatumError> {
        match json.as_array().map(Vec::as_slice) {
            Some([Value::String(tag), Value::Array(members)]) if tag == "set" => {
                members.iter().map(Atom::from_json).collect::<Result<_, _>>().map(Self::Set)
            }
            Some([Value::String(tag), Value::Array(pairs)]) if tag == "map" => {
                let mut map = BTreeMap::new();
                for pair in pairs {
                    let [key, value] = pair.as_array().map_or(&[][..], Vec::as_slice) else {
                        return Err(DatumError::Pair { json: excerpt(pair) });
                    };
                    if map.insert(Atom::from_json(key)?, Atom::from_json(value)?).is_some() {
                        return Err(DatumError::DuplicateKey { json: excerpt(key) });
                    }
                }
                Ok(Self::Map(map))
            }
            _ => Atom::from_json(json).map(Self::from),
        }
    }

    /// The value as RFC 7047 writes it; a set of one is written as its member.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Set(set) => match set.first() {
                Some(only) if set.len() == 1 => only.to_json(),
                _ => json!(["set", set.iter().map(Atom::to_json).collect::<Vec<_>>()]),
            },
            Self::Map(map) => {
                let pairs = map.iter().map(|(key, value)| json!([key.to_json(), value.to_json()]));
                json!(["map", pairs.collect::<Vec<_>>()])
            }
        }
    }
}

impl From<Atom> for Datum {
    fn from(atom: Atom) -> Self {
        Self::Set(BTreeSet::from([atom]))
    }
}

impl From<&str> for Datum {
    fn from(text: &str) -> Self {
        Atom::String(text.to_owned()).into()
    }
}

/// JSON that is no value of the database.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatumError {
    /// An atom was expected.
    #[error("expected an atom, found {json}")]
    Atom {
        /// What stood there, shortened.
        json: String,
    },
    /// A pair of key and value was expected.
    #[error("expected a pair of a map, found {json}")]
    Pair {
        /// What stood there, shortened.
        json: String,
    },
    /// A key stands in a map twice.
    #[error("a map names its key {json} twice")]
    DuplicateKey {
        /// The key.
        json: String,
    },
}

/// The beginning of a JSON text, short enough for a message.
pub(crate) fn excerpt(json: &Value) -> String {
    const LONGEST: usize = 80;
    let text = json.to_string();
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
