//! Sorted sets whose versions share what is the same in them. They know nothing of what they hold.
//!
//! A set is a row of leaves, each with some of the items. A clone shares all leaves, a change
//! copies the one that it is in, and what two versions do not have in common is found in the leaves
//! that they do not share.

use std::collections::BTreeSet;
use std::fmt;
use std::iter::Peekable;
use std::sync::Arc;

/// The most items of a leaf.
const MOST: usize = 128;
/// How many it has when it is made, or joined with the next one.
const HALF: usize = MOST / 2;

/// A set that is cheap to clone, and cheap to change while clones of it are kept.
#[derive(Clone)]
pub struct SharedSet<T> {
    /// Ascending, each sorted, none empty. How items are spread over them says what happened to the
    /// set, so leaves are not compared.
    leaves: Arc<Vec<Arc<Vec<T>>>>,
    len: usize,
}

impl<T: Ord + Copy> SharedSet<T> {
    /// Adds an item. Tells whether it is new.
    pub fn insert(&mut self, item: T) -> bool {
        let place = self.place(&item);
        let found = self.leaves.get(place).map_or(Err(0), |leaf| leaf.binary_search(&item));
        let Err(at) = found else { return false };
        let leaves = Arc::make_mut(&mut self.leaves);
        if let Some(leaf) = leaves.get_mut(place).map(Arc::make_mut) {
            leaf.insert(at, item);
            if leaf.len() > MOST {
                let rest = leaf.split_off(HALF);
                leaves.insert(place + 1, Arc::new(rest));
            }
        } else {
            leaves.push(Arc::new(vec![item]));
        }
        self.len += 1;
        true
    }

    /// Takes an item out. Tells whether it was there.
    pub fn remove(&mut self, item: &T) -> bool {
        let place = self.place(item);
        let found = self.leaves.get(place).and_then(|leaf| leaf.binary_search(item).ok());
        let Some(at) = found else { return false };
        let leaves = Arc::make_mut(&mut self.leaves);
        let next = leaves.get(place + 1).map(Arc::clone);
        if let Some(leaf) = leaves.get_mut(place).map(Arc::make_mut) {
            leaf.remove(at);
            let next = next.filter(|next| leaf.len() + next.len() <= HALF);
            leaf.extend(next.iter().flat_map(|next| next.iter()));
            let is_empty = leaf.is_empty();
            if next.is_some() {
                leaves.remove(place + 1);
            }
            if is_empty {
                leaves.remove(place);
            }
        }
        self.len -= 1;
        true
    }

    /// Whether the item is in the set.
    pub fn contains(&self, item: &T) -> bool {
        let leaf = self.leaves.get(self.place(item));
        leaf.is_some_and(|leaf| leaf.binary_search(item).is_ok())
    }

    /// The items, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> + use<'_, T> {
        self.leaves.iter().flat_map(|leaf| leaf.iter())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it is the same version of the set. Others may be equal, too.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.leaves, &other.leaves)
    }

    /// What is in this set and not in another, in order. Leaves that both share are not looked at.
    pub fn without(&self, other: &Self) -> impl Iterator<Item = &T> {
        let mut there = other.apart(self).peekable();
        self.apart(other).filter(move |item| !is_next(&mut there, item))
    }

    /// What is in the leaves that are not those of another set.
    fn apart(&self, other: &Self) -> impl Iterator<Item = &T> + use<'_, T> {
        let shared: BTreeSet<*const Vec<T>> = other.leaves.iter().map(Arc::as_ptr).collect();
        let apart = self.leaves.iter().filter(move |leaf| !shared.contains(&Arc::as_ptr(leaf)));
        apart.flat_map(|leaf| leaf.iter())
    }

    /// The leaf that the item is in, or would be.
    fn place(&self, item: &T) -> usize {
        let behind = self.leaves.partition_point(|leaf| leaf.first().is_some_and(|it| it <= item));
        behind.saturating_sub(1)
    }
}

/// Goes on to what is not less than the item, and tells whether it is the item.
fn is_next<'a, T: Ord + 'a>(items: &mut Peekable<impl Iterator<Item = &'a T>>, item: &T) -> bool {
    while items.next_if(|it| *it < item).is_some() {}
    items.peek().is_some_and(|it| *it == item)
}

impl<T> Default for SharedSet<T> {
    fn default() -> Self {
        Self { leaves: Arc::default(), len: 0 }
    }
}

impl<T: Ord + Copy> FromIterator<T> for SharedSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items: Vec<T> = items.into_iter().collect();
        items.sort_unstable();
        items.dedup();
        let leaves = items.chunks(HALF).map(|leaf| Arc::new(leaf.to_vec())).collect();
        Self { leaves: Arc::new(leaves), len: items.len() }
    }
}

impl<T: Ord + Copy, const N: usize> From<[T; N]> for SharedSet<T> {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Ord + Copy> PartialEq for SharedSet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || (self.len == other.len && self.iter().eq(other.iter()))
    }
}

impl<T: Ord + Copy> Eq for SharedSet<T> {}

impl<T: Ord + Copy + fmt::Debug> fmt::Debug for SharedSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether leaves are as they are to be, and hold exactly these.
    fn check(set: &SharedSet<u16>, items: &BTreeSet<u16>) {
        assert!(set.leaves.iter().all(|leaf| (1..=MOST).contains(&leaf.len())));
        assert!(set.iter().eq(items), "{set:?}");
        assert_eq!((set.len(), set.is_empty()), (items.len(), items.is_empty()));
    }

    fn copies(items: impl Iterator<Item = impl std::borrow::Borrow<u16>>) -> Vec<u16> {
        items.map(|item| *item.borrow()).collect()
    }

    proptest! {
        /// A set does what a plain one does, versions of it stay as they are, and the difference of
        /// two is that of plain ones.
        #[test]
        fn is_a_set(
            first in proptest::collection::btree_set(0..900_u16, 0..700),
            steps in proptest::collection::vec((0..900_u16, 0..900_u16, any::<bool>()), 1..20),
        ) {
            let mut plain = first.clone();
            let mut set: SharedSet<u16> = first.iter().copied().collect();
            let before = set.clone();
            prop_assert!(before.is_same(&set));
            for (from, to, comes) in steps {
                let last = (set.clone(), plain.clone());
                for item in from..to {
                    if comes {
                        prop_assert_eq!(set.insert(item), plain.insert(item));
                    } else {
                        prop_assert_eq!(set.remove(&item), plain.remove(&item));
                    }
                    prop_assert_eq!(set.contains(&item), comes);
                }
                check(&set, &plain);
                for (old, of) in [&last, &(before.clone(), first.clone())] {
                    check(old, of);
                    prop_assert_eq!(copies(set.without(old)), copies(plain.difference(of)));
                    prop_assert_eq!(copies(old.without(&set)), copies(of.difference(&plain)));
                    prop_assert_eq!(*old == set, *of == plain);
                }
                prop_assert_eq!(&set, &plain.iter().copied().collect());
            }
        }
    }

    /// One more of ten thousand copies one leaf, and one leaf is looked at to find it.
    #[test]
    fn a_change_costs_a_leaf() {
        let before: SharedSet<u16> = (0..20_000).step_by(2).collect();
        let mut after = before.clone();
        assert!(after.insert(9_999) && after.remove(&10_000));
        assert!(after.apart(&before).count() <= MOST);
        assert_eq!(copies(after.without(&before)), [9_999]);
        assert_eq!(copies(before.without(&after)), [10_000]);
    }
}
