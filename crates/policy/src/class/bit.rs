//! Which sets get a bit of their own.
//!
//! Where the members of a set are in many different combinations of other sets, the set has many
//! classes, and each of its terms is a rule flow for each of them. With a bit it is one flow. But
//! bits are few, and each is a mask of its own, once more for each length of port prefixes among
//! its terms. Open vSwitch tries all masks of a table on a packet that it has not seen: 1 750 of
//! them (160 bits, 2 000 random port ranges) have cost such a packet 0.13 ms, 64 hardly anything.
//!
//! The decision looks at the classes there would be without bits, so the decision for one set
//! does not depend on that for another. A set that goes from one form to the other has all its
//! rule flows and the entries of all its members rewritten, so that should be rare. It is: who
//! joins a set is mostly in a combination that is there already, and who makes a new one turns the
//! decision at one number of classes alone. Groups that merely overlap in pairs (two classes each)
//! never come near it, and a set that stays below it costs either three flows for each term at
//! most, or fewer than `FEWEST_SAVED` more than with a bit.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Bit, Bits, bytes};
use crate::number::{assign, hash};
use crate::{Demand, RemoteSet};

/// A set with fewer classes keeps them, however many terms it has.
const FEWEST_CLASSES: usize = 4;

/// A bit that saves fewer rule flows is not worth it.
const FEWEST_SAVED: usize = 128;

/// The bit of each set that gets one, given how many classes each set would have without bits.
pub(super) fn choose(
    demand: &Demand,
    classes: &BTreeMap<RemoteSet, usize>,
) -> BTreeMap<RemoteSet, Bit> {
    let mut wanting: Vec<(Reverse<u32>, RemoteSet)> = demand
        .iter()
        .filter_map(|(set, terms)| {
            let classes = classes.get(&set).copied().unwrap_or(0);
            let saved = terms.saturating_mul(classes.saturating_sub(1));
            let worth_it = classes >= FEWEST_CLASSES && saved >= FEWEST_SAVED;
            // Powers of two, so that one flow more or less does not change who goes first.
            worth_it.then(|| (Reverse(saved.ilog2()), set))
        })
        .collect();
    wanting.sort_unstable();
    let chosen: BTreeSet<RemoteSet> =
        wanting.into_iter().take(usize::from(Bits::WIDTH)).map(|(_, set)| set).collect();
    place(&chosen)
}

/// Each set has the bit that its hash says, unless another one has it (see [`assign`]).
fn place(sets: &BTreeSet<RemoteSet>) -> BTreeMap<RemoteSet, Bit> {
    let width = u32::from(Bits::WIDTH);
    let placed = assign(sets, 0..=width - 1, |set| hash(bytes(set)) % width);
    placed.into_iter().map(|(set, number)| (*set, Bit(number as u8))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::group_id;

    fn set(number: u64) -> RemoteSet {
        RemoteSet::Group(group_id(number))
    }

    fn chosen(sets: &[(u64, usize, usize)]) -> BTreeSet<u64> {
        let demand = sets.iter().map(|(number, terms, _)| (set(*number), *terms)).collect();
        let classes = sets.iter().map(|(number, _, classes)| (set(*number), *classes)).collect();
        let bits = choose(&demand, &classes);
        sets.iter().map(|(number, ..)| *number).filter(|n| bits.contains_key(&set(*n))).collect()
    }

    #[test]
    fn a_bit_has_to_save_flows() {
        let sets = [
            (1, 1000, 1),
            (2, 1000, 3),
            (3, 43, 4),
            (4, 42, 4),
            (5, 1, 129),
            (6, 1, 128),
            (7, 9, 0),
        ];
        assert_eq!(chosen(&sets), [3, 5].into());
    }

    #[test]
    fn where_bits_are_short_those_go_first_that_save_most() {
        let mut sets: Vec<(u64, usize, usize)> = (0..200).map(|n| (n, 20, 20)).collect();
        assert_eq!(chosen(&sets), (0..160).collect());
        sets.push((200, 40, 40));
        assert_eq!(chosen(&sets), (0..159).chain([200]).collect());
    }

    #[test]
    fn one_set_more_moves_few_others() {
        let all: BTreeSet<RemoteSet> = (0..160).map(set).collect();
        let bits = place(&all);
        assert_eq!(bits.values().collect::<BTreeSet<_>>().len(), 160);
        assert!(bits.values().all(|bit| bit.0 < Bits::WIDTH));
        let mut sets = BTreeSet::new();
        let mut moved = 0;
        for number in 0..80 {
            let before = place(&sets);
            sets.insert(set(number));
            let after = place(&sets);
            moved += before.iter().filter(|(set, bit)| after.get(set) != Some(bit)).count();
        }
        assert!(moved < 80, "{moved} sets moved while 80 came");
    }
}
