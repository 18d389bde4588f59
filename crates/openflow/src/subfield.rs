//! A range of bits of a field, as actions name it: `NXM_NX_REG5[0..15]`.

use crate::field::{Field, ones};
use std::fmt;

/// Some adjacent bits of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subfield {
    field: Field,
    lo: u8,
    hi: u8,
}

impl Subfield {
    /// Bits `lo` to `hi` of a field, both included, bit 0 being the lowest.
    ///
    /// # Panics
    ///
    /// Where they leave the field; in a constant, that is a compile error.
    pub const fn new(field: Field, lo: u8, hi: u8) -> Self {
        assert!(lo <= hi && hi < field.bits(), "subfield leaves its field");
        Self { field, lo, hi }
    }

    /// Bits `lo` to `hi` of a field, where it has them.
    pub const fn checked(field: Field, lo: u8, hi: u8) -> Option<Self> {
        if lo <= hi && hi < field.bits() { Some(Self { field, lo, hi }) } else { None }
    }

    /// A whole field.
    pub const fn whole(field: Field) -> Self {
        Self { field, lo: 0, hi: field.bits() - 1 }
    }

    /// The field that it is a part of.
    pub const fn field(self) -> Field {
        self.field
    }

    /// Its lowest bit.
    pub const fn lo(self) -> u8 {
        self.lo
    }

    /// Its highest bit.
    pub const fn hi(self) -> u8 {
        self.hi
    }

    /// How many bits it has.
    pub const fn bits(self) -> u8 {
        self.hi - self.lo + 1
    }

    /// Whether it is all of its field.
    pub const fn is_whole(self) -> bool {
        self.bits() == self.field.bits()
    }

    /// All ones over its width, not shifted.
    pub const fn full_value(self) -> u128 {
        ones(self.bits())
    }

    /// Its bits within the field.
    pub const fn mask(self) -> u128 {
        self.full_value() << self.lo
    }
}

impl From<Field> for Subfield {
    fn from(field: Field) -> Self {
        Self::whole(field)
    }
}

impl fmt::Display for Subfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field.subfield_name())?;
        if self.is_whole() {
            f.write_str("[]")
        } else if self.lo == self.hi {
            write!(f, "[{}]", self.lo)
        } else {
            write!(f, "[{}..{}]", self.lo, self.hi)
        }
    }
}
