//! Numbers for things that are known by their content, the same after a restart.
//!
//! A number is the FNV-1a hash (64 bits, offset basis `0xcbf29ce484222325`, prime `0x100000001b3`)
//! of the content, its upper half xored into its lower. 0 is taken to mean "none", so a hash of 0
//! becomes 1. Where several things have the same hash, the least of them keeps it; the others, in
//! their order, take the next higher number that nothing else has (after the highest comes 1).
//! So a number depends on other things only where hashes collide.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use model::SecurityGroupId;

/// The number of a policy on a node: of the set of groups that it is made from. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(pub u32);

/// A number for each set of groups.
pub fn policy_ids(
    sets: &BTreeSet<BTreeSet<SecurityGroupId>>,
) -> BTreeMap<BTreeSet<SecurityGroupId>, PolicyId> {
    let bytes = |set: &BTreeSet<SecurityGroupId>| {
        hash(set.iter().flat_map(|group| *group.uuid().as_bytes()))
    };
    assign(sets, NOT_ZERO, bytes)
        .into_iter()
        .map(|(set, number)| (set.clone(), PolicyId(number)))
        .collect()
}

/// Every number but the one that means "none".
pub(crate) const NOT_ZERO: RangeInclusive<u32> = 1..=u32::MAX;

/// A number of the range for each key, from a hash of each key. The range has at least as many
/// numbers as there are keys.
pub(crate) fn assign<K: Ord>(
    keys: &BTreeSet<K>,
    range: RangeInclusive<u32>,
    hash: impl Fn(&K) -> u32,
) -> BTreeMap<&K, u32> {
    let mut taken = BTreeSet::new();
    let mut numbers = BTreeMap::new();
    let mut waiting = Vec::new();
    for key in keys {
        let number = hash(key).clamp(*range.start(), *range.end());
        if taken.insert(number) {
            numbers.insert(key, number);
        } else {
            waiting.push((key, number));
        }
    }
    for (key, mut number) in waiting {
        while !taken.insert(number) {
            number = if number == *range.end() { *range.start() } else { number + 1 };
        }
        numbers.insert(key, number);
    }
    numbers
}

/// FNV-1a with 64 bits, folded to 32.
pub(crate) fn hash(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let wide = bytes.into_iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (wide >> 32) as u32 ^ wide as u32
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::sample::group_id;

    /// The test vectors of the authors (draft-eastlake-fnv), folded.
    #[test]
    fn hash_is_fnv_1a() {
        assert_eq!(hash([]), 0xcbf2_9ce4 ^ 0x8422_2325);
        assert_eq!(hash(*b"a"), 0xaf63_dc4c ^ 0x8601_ec8c);
        assert_eq!(hash(*b"foobar"), 0x8594_4171 ^ 0xf739_67e8);
    }

    #[test]
    fn a_policy_has_the_same_number_for_ever() {
        let sets = [&[][..], &[1], &[1, 2], &[2]];
        let sets: BTreeSet<BTreeSet<SecurityGroupId>> =
            sets.iter().map(|ids| ids.iter().copied().map(group_id).collect()).collect();
        let numbers: Vec<u32> = policy_ids(&sets).values().map(|id| id.0).collect();
        expect!["[4fd0bfc1, 8266e16d, 3004e44, 8266e0a0]"].assert_eq(&format!("{numbers:x?}"));
    }

    #[test]
    fn collisions_do_not_move_others() {
        let numbers = |keys: &[u32]| -> Vec<(u32, u32)> {
            let keys = keys.iter().copied().collect();
            assign(&keys, NOT_ZERO, |key| key % 10)
                .into_iter()
                .map(|(key, number)| (*key, number))
                .collect()
        };
        assert_eq!(numbers(&[3, 4, 13]), [(3, 3), (4, 4), (13, 5)]);
        assert_eq!(numbers(&[4, 13]), [(4, 4), (13, 3)]);
        assert_eq!(numbers(&[0, 1]), [(0, 1), (1, 2)], "0 is nothing's number");
        let last = BTreeSet::from([1, 2]);
        let numbers: Vec<u32> = assign(&last, NOT_ZERO, |_| u32::MAX).into_values().collect();
        assert_eq!(numbers, [u32::MAX, 1]);
    }
}
