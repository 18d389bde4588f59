//! The elementary values of AMQP 0-9-1 (section 4.2.5) and how they stand in bytes.
//!
//! Reading never panics and never allocates more than there are bytes; writing cannot fail,
//! because a value that exists fits.

use crate::{Fault, Table};

/// Reads values one after the other.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next so many bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Fault::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(Fault::Truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// What a length of four bytes stands in front of.
    pub(crate) fn long_block(&mut self) -> Result<&'a [u8], Fault> {
        let length = u32::decode(self)?;
        self.take(usize::try_from(length).map_err(|_| Fault::Truncated)?)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { Err(Fault::Trailing) }
    }
}

/// A value that a method has as a field.
pub(crate) trait Field: Sized {
    fn encode(&self, out: &mut Vec<u8>);
    fn decode(from: &mut Reader<'_>) -> Result<Self, Fault>;
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Field for $number {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn decode(from: &mut Reader<'_>) -> Result<Self, Fault> {
                from.array().map(Self::from_be_bytes)
            }
        }
    )*};
}

numbers! { u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 }

/// A text of at most 255 bytes: names, routing keys, reasons.
///
/// AMQP says UTF-8, but brokers do not check. What is not UTF-8 becomes U+FFFD, so that a stranger's
/// routing key costs nobody the connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct ShortString(String);

impl ShortString {
    /// `None` when it is too long.
    pub(crate) fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        u8::try_from(text.len()).is_ok().then_some(Self(text))
    }

    /// As much of the text as fits.
    pub(crate) fn cut(text: &str) -> Self {
        let end = text.floor_char_boundary(255);
        Self(text.get(..end).unwrap_or_default().to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl Field for ShortString {
    fn encode(&self, out: &mut Vec<u8>) {
        // A text with replaced bytes may have grown, but it is not sent again.
        let length = u8::try_from(self.0.len()).unwrap_or(u8::MAX);
        out.push(length);
        out.extend(self.0.bytes().take(usize::from(length)));
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Fault> {
        let length = u8::decode(from)?;
        let bytes = from.take(usize::from(length))?;
        Ok(Self(String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// Bytes with a length of four bytes in front.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LongString(pub(crate) Vec<u8>);

impl Field for LongString {
    fn encode(&self, out: &mut Vec<u8>) {
        put_block(out, |out| out.extend_from_slice(&self.0));
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Fault> {
        from.long_block().map(|bytes| Self(bytes.to_vec()))
    }
}

/// Bits that follow each other in a method's fields, eight at most, the first in the lowest place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) fn of<const N: usize>(bits: [bool; N]) -> Self {
        const { assert!(N <= 8, "eight bits to a byte") };
        Self(bits.iter().rev().fold(0, |all, bit| all << 1 | u8::from(*bit)))
    }

    pub(crate) fn has(self, place: u8) -> bool {
        self.0.checked_shr(u32::from(place)).unwrap_or_default() & 1 == 1
    }
}

impl Field for Flags {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.0);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Fault> {
        u8::decode(from).map(Self)
    }
}

impl Field for Table {
    fn encode(&self, out: &mut Vec<u8>) {
        self.put(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Fault> {
        Self::read(from, 0)
    }
}

/// Writes what `content` writes, with its length of four bytes in front.
pub(crate) fn put_block(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    content(out);
    let length = out.len().saturating_sub(start).saturating_sub(4);
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *place = length.to_be_bytes();
    }
}
