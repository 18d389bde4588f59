//! Rows: columns by name, and the Rust types that columns are read into.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::datum::{Atom, Datum, DatumError, RowId, excerpt};

/// How many values a column holds, which decides how a difference applies to it
/// (`ovsdb-server(7)`, section 4.1.14 "Update2 Notification").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// One value, or one at most: a difference is the new value.
    Single,
    /// A set: a difference names the members that come or go.
    Set,
    /// A map: a difference names the pairs that come, go or change.
    Map,
}

/// A row, or a part of one: values by the name of their column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row(BTreeMap<String, Datum>);

impl Row {
    /// A row without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// The row with `column` set to `value`.
    #[must_use]
    pub fn with(mut self, column: &str, value: impl Into<Datum>) -> Self {
        self.0.insert(column.to_owned(), value.into());
        self
    }

    /// The row without `column`.
    #[must_use]
    pub fn without(mut self, column: &str) -> Self {
        self.0.remove(column);
        self
    }

    /// The names of its columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// When the JSON is no object, or one of its members no value.
    pub fn from_json(json: &Value) -> Result<Self, ColumnError> {
        let object = json.as_object().ok_or_else(|| ColumnError::NoRow { json: excerpt(json) })?;
        let column = |(column, json): (&String, &Value)| match Datum::from_json(json) {
            Ok(datum) => Ok((column.clone(), datum)),
            Err(source) => Err(ColumnError::Datum { column: column.clone(), source }),
        };
        object.iter().map(column).collect::<Result<_, _>>().map(Self)
    }

    /// The row as RFC 7047 writes it.
    pub fn to_json(&self) -> Value {
        let columns = self.0.iter().map(|(column, datum)| (column.clone(), datum.to_json()));
        Value::Object(columns.collect::<Map<_, _>>())
    }

    /// The value of a column that is there.
    pub fn datum(&self, column: &str) -> Option<&Datum> {
        self.0.get(column)
    }

    /// Reads a column. One that is missing has the default of its type: a server leaves those out
    /// of the rows that it reports as inserted.
    ///
    /// # Errors
    /// When the value does not fit the type.
    pub fn get<T: ColumnType>(&self, column: &str) -> Result<T, ColumnError> {
        let Some(datum) = self.0.get(column) else { return Ok(T::default()) };
        T::from_datum(datum).ok_or_else(|| ColumnError::Type {
            column: column.to_owned(),
            json: excerpt(&datum.to_json()),
        })
    }

    /// Applies a difference as `modify` of an update2 gives it. `kind` tells the kind of a
    /// column, and `None` for one that is not known. After an error the row is in between.
    pub(crate) fn apply_difference(
        &mut self,
        difference: &Self,
        kind: impl Fn(&str) -> Option<ColumnKind>,
    ) -> Result<(), ColumnError> {
        for (column, change) in &difference.0 {
            let unfit =
                || ColumnError::Type { column: column.clone(), json: excerpt(&change.to_json()) };
            let Some(kind) = kind(column) else {
                return Err(ColumnError::Unknown { column: column.clone() });
            };
            match (kind, change, self.0.get_mut(column)) {
                (ColumnKind::Set, Datum::Set(change), Some(Datum::Set(current))) => {
                    for member in change {
                        if !current.remove(member) {
                            current.insert(member.clone());
                        }
                    }
                }
                (ColumnKind::Map, Datum::Map(change), Some(Datum::Map(current))) => {
                    for (key, value) in change {
                        // A pair that is there already goes; one whose value is new changes.
                        if current.get(key) == Some(value) {
                            current.remove(key);
                        } else {
                            current.insert(key.clone(), value.clone());
                        }
                    }
                }
                (ColumnKind::Single | ColumnKind::Set, Datum::Set(_), _)
                | (ColumnKind::Map, Datum::Map(_), None) => {
                    self.0.insert(column.clone(), change.clone());
                }
                (ColumnKind::Single | ColumnKind::Set, Datum::Map(_), _)
                | (ColumnKind::Map, _, _) => return Err(unfit()),
            }
        }
        Ok(())
    }
}

/// A Rust type that holds one atom.
pub trait AtomType: Ord + Sized {
    /// The value, or `None` when the atom is of another type or out of range.
    fn from_atom(atom: &Atom) -> Option<Self>;

    /// The atom.
    fn to_atom(&self) -> Atom;
}

impl AtomType for String {
    fn from_atom(atom: &Atom) -> Option<Self> {
        if let Atom::String(text) = atom { Some(text.clone()) } else { None }
    }

    fn to_atom(&self) -> Atom {
        Atom::String(self.clone())
    }
}

impl AtomType for i64 {
    fn from_atom(atom: &Atom) -> Option<Self> {
        if let Atom::Integer(value) = atom { Some(*value) } else { None }
    }

    fn to_atom(&self) -> Atom {
        Atom::Integer(*self)
    }
}

impl AtomType for u16 {
    fn from_atom(atom: &Atom) -> Option<Self> {
        if let Atom::Integer(value) = atom { Self::try_from(*value).ok() } else { None }
    }

    fn to_atom(&self) -> Atom {
        Atom::Integer(i64::from(*self))
    }
}

impl AtomType for bool {
    fn from_atom(atom: &Atom) -> Option<Self> {
        if let Atom::Boolean(value) = atom { Some(*value) } else { None }
    }

    fn to_atom(&self) -> Atom {
        Atom::Boolean(*self)
    }
}

impl AtomType for RowId {
    fn from_atom(atom: &Atom) -> Option<Self> {
        if let Atom::Uuid(row) = atom { Some(*row) } else { None }
    }

    fn to_atom(&self) -> Atom {
        Atom::Uuid(*self)
    }
}

/// A Rust type that holds a column: an atom, an optional atom, a set or a map.
pub trait ColumnType: Default {
    /// How a difference applies to the column.
    const KIND: ColumnKind;

    /// The value, or `None` when the datum does not fit.
    fn from_datum(datum: &Datum) -> Option<Self>;

    /// The datum.
    fn to_datum(&self) -> Datum;
}

impl<T: AtomType + Default> ColumnType for T {
    const KIND: ColumnKind = ColumnKind::Single;

    fn from_datum(datum: &Datum) -> Option<Self> {
        Option::from_datum(datum).flatten()
    }

    fn to_datum(&self) -> Datum {
        self.to_atom().into()
    }
}

impl<T: AtomType> ColumnType for Option<T> {
    const KIND: ColumnKind = ColumnKind::Single;

    fn from_datum(datum: &Datum) -> Option<Self> {
        let Datum::Set(set) = datum else { return None };
        match (set.len(), set.first()) {
            (0, _) => Some(None),
            (1, Some(atom)) => T::from_atom(atom).map(Some),
            _ => None,
        }
    }

    fn to_datum(&self) -> Datum {
        Datum::Set(self.iter().map(T::to_atom).collect())
    }
}

impl<T: AtomType> ColumnType for BTreeSet<T> {
    const KIND: ColumnKind = ColumnKind::Set;

    fn from_datum(datum: &Datum) -> Option<Self> {
        let Datum::Set(set) = datum else { return None };
        set.iter().map(T::from_atom).collect()
    }

    fn to_datum(&self) -> Datum {
        Datum::Set(self.iter().map(T::to_atom).collect())
    }
}

impl<K: AtomType, V: AtomType> ColumnType for BTreeMap<K, V> {
    const KIND: ColumnKind = ColumnKind::Map;

    fn from_datum(datum: &Datum) -> Option<Self> {
        let Datum::Map(map) = datum else { return None };
        map.iter().map(|(key, value)| Some((K::from_atom(key)?, V::from_atom(value)?))).collect()
    }

    fn to_datum(&self) -> Datum {
        Datum::Map(self.iter().map(|(key, value)| (key.to_atom(), value.to_atom())).collect())
    }
}

impl<T: ColumnType> From<T> for Datum {
    fn from(value: T) -> Self {
        value.to_datum()
    }
}

/// A row, or a column of one, that cannot be read.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// A row was expected.
    #[error("expected a row, found {json}")]
    NoRow {
        /// What stood there, shortened.
        json: String,
    },
    /// A column holds what is no value.
    #[error("column {column} holds no value")]
    Datum {
        /// The column.
        column: String,
        /// What is wrong with it.
        source: DatumError,
    },
    /// A column holds a value of a type that is not its own.
    #[error("column {column} cannot hold {json}")]
    Type {
        /// The column.
        column: String,
        /// The value, shortened.
        json: String,
    },
    /// A column that was not asked for.
    #[error("column {column} is not known")]
    Unknown {
        /// The column.
        column: String,
    },
}

#[cfg(test)]
mod tests;
