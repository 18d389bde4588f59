//! Classes of remote addresses.
//!
//! The groups and address groups that terms name cut the address space: addresses that belong to
//! the same of them are one class. A switch looks the class of an address up once, by longest
//! prefix, and terms match the class. One more member is one more entry, whatever the number of
//! rules and ports.
//!
//! An address belongs to what its own prefix belongs to and to what every covering prefix does,
//! so each entry has the memberships of those that cover it. Members with an any-address pair are
//! found by Ethernet address instead; their entries come before the others and have the
//! memberships of the address besides. That is the one product here: such an Ethernet address
//! costs one entry for each entry of its family that belongs to what it does not itself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{MacAddr, Prefix};

use crate::number::{assign, hash};
use crate::{Members, RemoteSet};

/// The number of a class: a hash of its memberships (see [`crate::policy_ids`] for the rule), 0
/// for the class of addresses that belong to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

impl ClassId {
    /// Of addresses that belong to nothing.
    pub const NONE: Self = Self(0);
}

/// Addresses and their class, unless an earlier entry has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassEntry {
    /// The addresses.
    pub prefix: Prefix,
    /// The Ethernet address that has to come with them.
    pub mac: Option<MacAddr>,
    /// Their class; never [`ClassId::NONE`].
    pub class: ClassId,
}

/// Who belongs to what, for the groups and address groups in use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes {
    entries: Vec<ClassEntry>,
    classes: BTreeMap<RemoteSet, BTreeSet<ClassId>>,
}

/// What an address belongs to.
type Membership = BTreeSet<RemoteSet>;

impl Classes {
    /// The classes that these sets make of the members.
    pub fn build(used: &BTreeSet<RemoteSet>, members: &Members) -> Self {
        let mut free: BTreeMap<Prefix, Membership> = BTreeMap::new();
        let mut tied: BTreeMap<(Prefix, MacAddr), Membership> = BTreeMap::new();
        for set in used {
            for member in members.of(*set) {
                let membership = match member.mac() {
                    None => free.entry(member.prefix()).or_default(),
                    Some(mac) => tied.entry((member.prefix(), mac)).or_default(),
                };
                membership.insert(*set);
            }
        }

        let mut entries: Vec<(Prefix, Option<MacAddr>, Membership)> =
            nest(&free).into_iter().map(|(prefix, set)| (prefix, None, set)).collect();
        // Few memberships are shared by many Ethernet addresses, so each is nested once.
        let mut alike: BTreeMap<(Prefix, Membership), Vec<MacAddr>> = BTreeMap::new();
        for ((any, mac), membership) in tied {
            alike.entry((any, membership)).or_default().push(mac);
        }
        for ((any, membership), macs) in alike {
            if free.get(&any).is_some_and(|everybody| membership.is_subset(everybody)) {
                continue;
            }
            let mut family: BTreeMap<Prefix, Membership> = free
                .iter()
                .filter(|(prefix, _)| any.covers(prefix))
                .map(|(prefix, set)| (*prefix, set.clone()))
                .collect();
            family.entry(any).or_default().extend(membership);
            for (prefix, set) in nest(&family) {
                entries.extend(macs.iter().map(|mac| (prefix, Some(*mac), set.clone())));
            }
        }
        Self::number(entries)
    }

    /// The entries; the first one that an address fits gives its class. Those tied to an
    /// Ethernet address come first, then the longest prefixes.
    pub fn entries(&self) -> impl Iterator<Item = ClassEntry> {
        self.entries.iter().copied()
    }

    /// The classes whose addresses belong to a set.
    pub fn of(&self, set: RemoteSet) -> impl Iterator<Item = ClassId> {
        self.classes.get(&set).into_iter().flatten().copied()
    }

    /// The class of an address, as a switch finds it.
    pub fn lookup(&self, address: IpAddr, mac: Option<MacAddr>) -> ClassId {
        self.entries
            .iter()
            .find(|entry| {
                entry.prefix.contains(address) && (entry.mac.is_none() || entry.mac == mac)
            })
            .map_or(ClassId::NONE, |entry| entry.class)
    }

    fn number(mut entries: Vec<(Prefix, Option<MacAddr>, Membership)>) -> Self {
        entries.sort_by_key(|(prefix, mac, _)| {
            (mac.is_none(), Reverse(prefix.length()), *prefix, *mac)
        });
        let memberships: BTreeSet<&Membership> = entries.iter().map(|(_, _, set)| set).collect();
        let numbers = assign(&memberships, |set| hash(set.iter().flat_map(bytes)));
        let mut built = Self::default();
        for (prefix, mac, membership) in &entries {
            let class = numbers.get(&membership).map_or(ClassId::NONE, |number| ClassId(*number));
            built.entries.push(ClassEntry { prefix: *prefix, mac: *mac, class });
            for set in membership {
                built.classes.entry(*set).or_default().insert(class);
            }
        }
        built
    }
}

/// Each prefix with the memberships of all that cover it, but those that add nothing.
fn nest(prefixes: &BTreeMap<Prefix, Membership>) -> Vec<(Prefix, Membership)> {
    let mut kept = Vec::new();
    // A prefix sorts before those that it covers, so these are on the stack.
    let mut wider: Vec<(Prefix, &Membership, Membership)> = Vec::new();
    for (prefix, own) in prefixes {
        while wider.pop_if(|(wide, ..)| !wide.covers(prefix)).is_some() {}
        let mut all = own.clone();
        if let Some((_, _, inherited)) = wider.last() {
            if own.is_subset(inherited) {
                continue;
            }
            all.extend(inherited);
        }
        kept.push((*prefix, all.clone()));
        wider.push((*prefix, own, all));
    }
    kept
}

/// What a set adds to the hash of a class: 1 for a security group or 2 for an address group,
/// then the octets of its id.
fn bytes(set: &RemoteSet) -> impl Iterator<Item = u8> {
    let (tag, id) = match set {
        RemoteSet::Group(id) => (1, id.uuid()),
        RemoteSet::AddressGroup(id) => (2, id.uuid()),
    };
    std::iter::once(tag).chain(*id.as_bytes())
}

#[cfg(test)]
mod tests;
