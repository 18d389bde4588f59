//! Ranges to value/mask pairs.

use crate::range_set::{Range, RangeSet};

/// The numbers that equal the value where the mask has ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Masked {
    pub(crate) value: u32,
    pub(crate) mask: u32,
}

/// The fewest prefixes of `width` bits that hold every number of `required` and none outside of
/// `allowed`, which includes `required`. Numbers that are allowed and not required may be in or
/// out; a prefix is as long as its required numbers let it be.
pub(crate) fn cover(required: &RangeSet, allowed: &RangeSet, width: u32) -> Vec<Masked> {
    let mut pairs = Vec::new();
    descend(required, allowed, Block { base: 0, bits: width }, width, &mut pairs);
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

fn descend(
    required: &RangeSet,
    allowed: &RangeSet,
    block: Block,
    width: u32,
    out: &mut Vec<Masked>,
) {
    let range = block.range();
    let mut inside = required.within(range);
    let Some(first) = inside.next() else { return };
    if allowed.holds(range) {
        let last = inside.last().unwrap_or(first);
        let free = ones(u32::BITS - (first.low ^ last.high).leading_zeros());
        out.push(Masked { value: first.low & !free, mask: ones(width) & !free });
    } else if let Some(bits) = block.bits.checked_sub(1) {
        descend(required, allowed, Block { base: block.base, bits }, width, out);
        descend(required, allowed, Block { base: block.base | 1 << bits, bits }, width, out);
    }
}

fn ones(bits: u32) -> u32 {
    u32::MAX.checked_shr(u32::BITS - bits).unwrap_or(0)
}

#[cfg(test)]
mod tests;
