//! Field tables: the named values of arguments, headers and properties (section 4.2.5.5), with the
//! type letters that RabbitMQ gives them.

use std::collections::BTreeMap;

use crate::{
    Fault,
    wire::{Field, Reader, ShortString, put_block},
};

/// How deep tables and arrays may lie in each other.
const DEEPEST: usize = 16;

/// Named values. Names have at most 255 bytes; longer ones are left out when the table is sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table(BTreeMap<String, Value>);

/// A value in a [`Table`].
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`; `L` is read as the same.
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: a number and the places of it that stand behind the point.
    Decimal(u8, u32),
    /// `S`: a text, as bytes.
    Text(Vec<u8>),
    /// `x`
    Bytes(Vec<u8>),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `A`
    Array(Vec<Value>),
    /// `F`
    Table(Table),
    /// `V`
    Void,
}

impl Table {
    /// A table without values.
    pub fn new() -> Self {
        Self::default()
    }

    /// The table with this value too, or instead of one of the same name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.insert(name, value);
        self
    }

    /// Takes this value in, instead of one of the same name.
    pub fn insert(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_block(out, |out| {
            for (name, value) in &self.0 {
                if let Some(name) = ShortString::new(name.as_str()) {
                    name.encode(out);
                    value.put(out);
                }
            }
        });
    }

    pub(crate) fn read(from: &mut Reader<'_>, depth: usize) -> Result<Self, Fault> {
        let mut content = Reader::new(from.long_block()?);
        let mut table = BTreeMap::new();
        while !content.is_empty() {
            let name = ShortString::decode(&mut content)?.into_string();
            table.insert(name, Value::read(&mut content, depth)?);
        }
        Ok(Self(table))
    }
}

impl Value {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        fn typed(out: &mut Vec<u8>, letter: u8, value: &impl Field) {
            out.push(letter);
            value.encode(out);
        }
        match self {
            Self::Bool(value) => typed(out, b't', &u8::from(*value)),
            Self::I8(value) => typed(out, b'b', value),
            Self::U8(value) => typed(out, b'B', value),
            Self::I16(value) => typed(out, b's', value),
            Self::U16(value) => typed(out, b'u', value),
            Self::I32(value) => typed(out, b'I', value),
            Self::U32(value) => typed(out, b'i', value),
            Self::I64(value) => typed(out, b'l', value),
            Self::F32(value) => typed(out, b'f', value),
            Self::F64(value) => typed(out, b'd', value),
            Self::Timestamp(value) => typed(out, b'T', value),
            Self::Table(value) => typed(out, b'F', value),
            Self::Decimal(places, number) => {
                typed(out, b'D', places);
                number.encode(out);
            }
            Self::Text(bytes) => {
                out.push(b'S');
                put_block(out, |out| out.extend_from_slice(bytes));
            }
            Self::Bytes(bytes) => {
                out.push(b'x');
                put_block(out, |out| out.extend_from_slice(bytes));
            }
            Self::Array(values) => {
                out.push(b'A');
                put_block(out, |out| values.iter().for_each(|value| value.put(out)));
            }
            Self::Void => out.push(b'V'),
        }
    }

    fn read(from: &mut Reader<'_>, depth: usize) -> Result<Self, Fault> {
        let deeper = || if depth < DEEPEST { Ok(depth + 1) } else { Err(Fault::Depth) };
        Ok(match u8::decode(from)? {
            b't' => Self::Bool(u8::decode(from)? != 0),
            b'b' => Self::I8(Field::decode(from)?),
            b'B' => Self::U8(Field::decode(from)?),
            b's' => Self::I16(Field::decode(from)?),
            b'u' => Self::U16(Field::decode(from)?),
            b'I' => Self::I32(Field::decode(from)?),
            b'i' => Self::U32(Field::decode(from)?),
            b'l' | b'L' => Self::I64(Field::decode(from)?),
            b'f' => Self::F32(Field::decode(from)?),
            b'd' => Self::F64(Field::decode(from)?),
            b'T' => Self::Timestamp(Field::decode(from)?),
            b'D' => Self::Decimal(Field::decode(from)?, Field::decode(from)?),
            b'S' => Self::Text(from.long_block()?.to_vec()),
            b'x' => Self::Bytes(from.long_block()?.to_vec()),
            b'V' => Self::Void,
            b'F' => Self::Table(Table::read(from, deeper()?)?),
            b'A' => {
                let depth = deeper()?;
                let mut content = Reader::new(from.long_block()?);
                let mut values = Vec::new();
                while !content.is_empty() {
                    values.push(Self::read(&mut content, depth)?);
                }
                Self::Array(values)
            }
            letter => return Err(Fault::ValueType { letter }),
        })
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into_bytes())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::I32(number)
    }
}

impl From<i64> for Value {
    /// In four bytes if it fits, as other clients do: the broker compares arguments of queues
    /// that are declared again.
    fn from(number: i64) -> Self {
        i32::try_from(number).map_or(Self::I64(number), Self::I32)
    }
}

impl From<Table> for Value {
    fn from(table: Table) -> Self {
        Self::Table(table)
    }
}

#[cfg(test)]
pub(crate) mod tests;
