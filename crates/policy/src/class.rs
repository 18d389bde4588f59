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
//!
//! A set whose members are in many combinations of other sets would have many classes, and each
//! of its terms would be as many rule flows. It gets a bit instead (see `bit`), which entries
//! carry beside their class and which its terms match; it does not count for the class then.
//!
//! [`Classes::build`] is the specification, [`Classes::follow`] does the same step by step.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{MacAddr, Prefix};

use crate::{Demand, Members, RemoteSet};

mod bit;
mod follow;
mod membership;
mod space;

pub use self::follow::ClassChanges;
use self::membership::{Hash, Memberships, Ticket};
use self::space::{Place, Space};

/// The number of a class: a hash of its memberships in sets without bits (see
/// [`crate::policy_ids`] for the rule), 0 for the class of addresses that belong to none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

impl ClassId {
    /// Of addresses that belong to no set without a bit.
    pub const NONE: Self = Self(0);
}

/// The place of a bit, below [`Bits::WIDTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bit(u8);

impl Bit {
    /// Which of [`Bits::words`] it is in, and where, counted from the lowest.
    pub fn place(self) -> (u8, u8) {
        (self.0 / 32, self.0 % 32)
    }
}

/// A bit for each set that has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bits([u32; 5]);

impl Bits {
    /// How many there are.
    pub const WIDTH: u8 = 160;

    /// All of them, the lowest first.
    pub fn words(self) -> [u32; 5] {
        self.0
    }

    /// Whether the bit is set.
    pub fn has(self, bit: Bit) -> bool {
        let (word, place) = bit.place();
        self.0.get(usize::from(word)).is_some_and(|word| word & 1 << place != 0)
    }
}

impl FromIterator<Bit> for Bits {
    fn from_iter<I: IntoIterator<Item = Bit>>(bits: I) -> Self {
        let mut set = Self::default();
        for (word, place) in bits.into_iter().map(Bit::place) {
            if let Some(word) = set.0.get_mut(usize::from(word)) {
                *word |= 1 << place;
            }
        }
        set
    }
}

/// Addresses with their class and bits, unless an earlier entry has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassEntry {
    /// The addresses.
    pub prefix: Prefix,
    /// The Ethernet address that has to come with them.
    pub mac: Option<MacAddr>,
    /// Their class. It is [`ClassId::NONE`] only where they have bits.
    pub class: ClassId,
    /// Their bits.
    pub bits: Bits,
}

/// How a term finds addresses of its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// They have this class.
    Class(ClassId),
    /// They have this bit.
    Bit(Bit),
}

impl Selector {
    /// Whether it finds the addresses of the entry.
    pub fn finds(self, entry: &ClassEntry) -> bool {
        match self {
            Self::Class(class) => entry.class == class,
            Self::Bit(bit) => entry.bits.has(bit),
        }
    }
}

/// Who belongs to what, for the groups and address groups in use.
#[derive(Debug, Clone)]
pub struct Classes {
    /// What they were made of.
    members: Members,
    space: Space,
    memberships: Memberships,
    entries: BTreeMap<Place, Ticket>,
    bits: BTreeMap<RemoteSet, Bit>,
}

impl Classes {
    /// The classes that the sets which rules name make of the members.
    pub fn build(demand: &Demand, members: &Members) -> Self {
        Self::build_by(membership::hash, demand, members)
    }

    /// The entries; the first one that an address fits gives its class and bits. Those tied to
    /// an Ethernet address come first, then the longest prefixes.
    pub fn entries(&self) -> impl Iterator<Item = ClassEntry> {
        self.entries.iter().map(|(place, ticket)| self.entry(*place, *ticket))
    }

    /// What finds the addresses of a set: its bit, or each of its classes. Nothing where nobody
    /// belongs to it.
    pub fn of(&self, set: RemoteSet) -> impl Iterator<Item = Selector> {
        let bit = self.bits.get(&set).copied().map(Selector::Bit);
        bit.into_iter().chain(self.memberships.classes(set).map(Selector::Class))
    }

    /// The entry of an address, as a switch finds it.
    pub fn lookup(&self, address: IpAddr, mac: Option<MacAddr>) -> Option<ClassEntry> {
        self.entries().find(|entry| {
            entry.prefix.contains(address) && (entry.mac.is_none() || entry.mac == mac)
        })
    }

    fn build_by(hash: Hash, demand: &Demand, members: &Members) -> Self {
        let members = members.only(demand);
        let mut space = Space::default();
        for set in members.sets() {
            members.of(set).for_each(|member| space.insert(member, set));
        }
        let mut memberships = Memberships::new(hash);
        let entries =
            space.all().into_iter().map(|(place, sets)| (place, memberships.take(&sets))).collect();
        let bits = bit::choose(demand, memberships.counts());
        memberships.number_all(&bits);
        Self { members, space, memberships, entries, bits }
    }

    /// The sets that have selectors.
    fn sets(&self) -> impl Iterator<Item = RemoteSet> {
        self.bits.keys().copied().chain(self.memberships.sets())
    }

    fn entry(&self, place: Place, ticket: Ticket) -> ClassEntry {
        let (class, bits) = self.memberships.value(ticket);
        ClassEntry { prefix: place.prefix(), mac: place.mac(), class, bits }
    }
}

impl Default for Classes {
    /// Of nobody.
    fn default() -> Self {
        Self::build(&Demand::default(), &Members::default())
    }
}

/// What a set adds to a hash: 1 for a security group or 2 for an address group, then the octets
/// of its id.
fn bytes(set: &RemoteSet) -> impl Iterator<Item = u8> + use<> {
    let (tag, id) = match set {
        RemoteSet::Group(id) => (1, id.uuid()),
        RemoteSet::AddressGroup(id) => (2, id.uuid()),
    };
    std::iter::once(tag).chain(*id.as_bytes())
}

#[cfg(test)]
mod tests;
