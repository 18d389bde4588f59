//! Ranges to value/mask pairs.
//!
//! The masks are prefixes, and no cover by prefixes has fewer. Masks with holes could do with
//! fewer pairs at times (1 to 65534 is 30 prefixes and 16 such pairs), but every other mask is
//! one more table for the switch to search on each new flow, and prefixes are 16 masks at most,
//! whatever the rules are.

use crate::range_set::{Range, RangeSet};

/// The numbers that equal the value where the mask has ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Masked {
    pub(crate) value: u32,
    pub(crate) mask: u32,
}

/// The fewest prefixes that hold every number of `required` and none outside of `allowed`, which
/// includes `required`, among the numbers that differ from `base` in their lowest `width` bits
/// alone. Numbers that are allowed and not required may be in or out; a prefix is as long as its
/// required numbers let it be.
pub(crate) fn cover(required: &RangeSet, allowed: &RangeSet, base: u32, width: u32) -> Vec<Masked> {
    let mut pairs = Vec::new();
    descend(required, allowed, Block { base, bits: width }, &mut pairs);
    for pair in &mut pairs {
        pair.value &= ones(width);
        pair.mask &= ones(width);
    }
    pairs
}

/// The numbers that share all but their lowest `bits` bits with `base`.
#[derive(Clone, Copy)]
struct Block {
    base: u32,
    bits: u32,
}

impl Block {
    fn range(self) -> Range {
        Range { low: self.base, high: self.base | ones(self.bits) }
    }
}

/// Required numbers of the block are in its least block that has all of them; where that is not
/// allowed as a whole, there are some in both halves of it.
fn descend(required: &RangeSet, allowed: &RangeSet, block: Block, pairs: &mut Vec<Masked>) {
    let Some(span) = required.span(block.range()) else { return };
    let bits = u32::BITS - (span.low ^ span.high).leading_zeros();
    let least = Block { base: span.low & !ones(bits), bits };
    if allowed.holds(least.range()) {
        pairs.push(Masked { value: least.base, mask: !ones(bits) });
    } else if let Some(bits) = bits.checked_sub(1) {
        descend(required, allowed, Block { base: least.base, bits }, pairs);
        descend(required, allowed, Block { base: least.base | 1 << bits, bits }, pairs);
    }
}

fn ones(bits: u32) -> u32 {
    u32::MAX.checked_shr(u32::BITS - bits).unwrap_or(0)
}

#[cfg(test)]
mod tests;
