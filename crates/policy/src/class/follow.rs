//! Classes that follow demand and members, and what has changed.
//!
//! What changes is as much as the members that come and go, and the prefixes that theirs cover.
//! Where bits go to other sets, or classes have the same hash, everything is built anew and
//! compared: both are rare.

use std::collections::{BTreeMap, BTreeSet};

use super::membership::Ticket;
use super::space::{Place, Space};
use super::{ClassEntry, Classes, bit};
use crate::{Demand, Member, Members, RemoteSet, SharedSet};

/// What is different from before. Nothing is in it that is the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassChanges {
    /// Entries that are new. One whose class or bits have changed is here as it is now, and in
    /// `went` as it was.
    pub came: BTreeSet<ClassEntry>,
    /// Entries that are not there any more.
    pub went: BTreeSet<ClassEntry>,
    /// The sets that have other selectors than before.
    pub selectors: BTreeSet<RemoteSet>,
}

impl ClassChanges {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.came.is_empty() && self.went.is_empty() && self.selectors.is_empty()
    }
}

/// A place, what was there and what is there.
type Step = (Place, Option<Ticket>, Option<Ticket>);

impl Classes {
    /// Becomes what [`Self::build`] makes of this demand and these members, at a cost that is
    /// that of the change. What versions of a set share is not looked at.
    pub fn follow(&mut self, demand: &Demand, members: &Members) -> ClassChanges {
        let members = members.only(demand);
        let steps = self.step(&members);
        self.members = members;

        if bit::choose(demand, self.memberships.counts()) == self.bits
            && let Ok(mut selectors) = self.memberships.number_fresh(&self.bits)
        {
            let mut changes = ClassChanges::default();
            for (place, before, after) in steps {
                changes.went.extend(before.map(|ticket| self.entry(place, ticket)));
                changes.came.extend(after.map(|ticket| self.entry(place, ticket)));
            }
            selectors.extend(self.memberships.forget_idle(&self.bits));
            changes.selectors = selectors;
            return changes;
        }
        for (place, before, _) in steps {
            match before {
                Some(ticket) => self.entries.insert(place, ticket),
                None => self.entries.remove(&place),
            };
        }
        let next = Self::build_by(self.memberships.hash(), demand, &self.members);
        let changes = self.changes_to(&next);
        *self = next;
        changes
    }

    /// Brings members to their places, and says which places have become different. The new
    /// combinations have no numbers yet.
    fn step(&mut self, members: &Members) -> Vec<Step> {
        let (gone, come) = difference(&self.members, members);
        let both = || gone.iter().chain(&come);
        let mut touched = BTreeSet::new();
        touch(&self.space, both(), &mut touched);
        for (member, set) in &gone {
            self.space.remove(*member, *set);
        }
        for (member, set) in &come {
            self.space.insert(*member, *set);
        }
        touch(&self.space, both(), &mut touched);

        let mut steps = Vec::with_capacity(touched.len());
        for place in touched {
            let after = self.space.at(place).map(|sets| self.memberships.take(&sets));
            let before = match after {
                Some(ticket) => self.entries.insert(place, ticket),
                None => self.entries.remove(&place),
            };
            if let Some(ticket) = before {
                self.memberships.release(ticket);
            }
            if before != after {
                steps.push((place, before, after));
            }
        }
        steps
    }

    /// The difference, the slow way.
    fn changes_to(&self, next: &Self) -> ClassChanges {
        let before: BTreeSet<ClassEntry> = self.entries().collect();
        let after: BTreeSet<ClassEntry> = next.entries().collect();
        let sets = self.sets().chain(next.sets());
        ClassChanges {
            came: after.difference(&before).copied().collect(),
            went: before.difference(&after).copied().collect(),
            selectors: sets.filter(|set| !self.of(*set).eq(next.of(*set))).collect(),
        }
    }
}

fn touch<'a>(
    space: &Space,
    members: impl Iterator<Item = &'a (Member, RemoteSet)>,
    touched: &mut BTreeSet<Place>,
) {
    for (member, _) in members {
        touched.extend(space.touched_by(*member));
    }
}

/// Who left which set, and who joined which.
type Moves = Vec<(Member, RemoteSet)>;

fn difference(before: &Members, after: &Members) -> (Moves, Moves) {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    each_difference(&before.groups, &after.groups, |id, member, joined| {
        let list = if joined { &mut come } else { &mut gone };
        list.push((member, RemoteSet::Group(id)));
    });
    each_difference(&before.address_groups, &after.address_groups, |id, prefix, joined| {
        let list = if joined { &mut come } else { &mut gone };
        list.push((Member::new(prefix, None), RemoteSet::AddressGroup(id)));
    });
    (gone, come)
}

/// Calls `found` with what is in one of two sets of the same id alone, and whether that is the
/// second.
fn each_difference<K: Ord + Copy, T: Ord + Copy>(
    before: &BTreeMap<K, SharedSet<T>>,
    after: &BTreeMap<K, SharedSet<T>>,
    mut found: impl FnMut(K, T, bool),
) {
    let nobody = SharedSet::default();
    let keys: BTreeSet<K> = before.keys().chain(after.keys()).copied().collect();
    for key in keys {
        let old = before.get(&key).unwrap_or(&nobody);
        let new = after.get(&key).unwrap_or(&nobody);
        if !old.is_same(new) {
            old.without(new).for_each(|item| found(key, *item, false));
            new.without(old).for_each(|item| found(key, *item, true));
        }
    }
}
