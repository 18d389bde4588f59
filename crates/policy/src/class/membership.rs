//! What addresses belong to, each combination of sets held once, with its number and its bits.
//!
//! There are far fewer combinations than addresses, and a member that joins seldom makes a new
//! one. A combination is taken by each entry that has it; when nobody has it any more it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Bit, Bits, ClassId, bytes};
use crate::RemoteSet;
use crate::number::{NOT_ZERO, assign};

/// Stands for a combination; never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// How a class gets its number, see [`super::Classes`].
pub(super) type Hash = fn(&[RemoteSet]) -> u32;

/// The combinations.
#[derive(Debug, Clone)]
pub(super) struct Memberships {
    hash: Hash,
    next: u64,
    tickets: BTreeMap<Arc<[RemoteSet]>, Ticket>,
    known: BTreeMap<Ticket, Known>,
    /// Combinations that have no number yet, and those that nobody has any more.
    fresh: BTreeSet<Ticket>,
    idle: BTreeSet<Ticket>,
    /// How many combinations a set is in.
    counts: BTreeMap<RemoteSet, usize>,
    /// The classes: what is left of combinations without the sets that have bits.
    classes: BTreeMap<Arc<[RemoteSet]>, Class>,
    taken: BTreeSet<ClassId>,
    of: BTreeMap<RemoteSet, BTreeSet<ClassId>>,
    /// Some class does not have the number that its hash says.
    pub(super) collided: bool,
}

#[derive(Debug, Clone)]
struct Known {
    sets: Arc<[RemoteSet]>,
    uses: usize,
    class: ClassId,
    bits: Bits,
}

#[derive(Debug, Clone)]
struct Class {
    id: ClassId,
    /// How many combinations it is made of.
    uses: usize,
}

/// Two classes have the same hash, so all have to be numbered together.
#[derive(Debug)]
pub(super) struct Collision;

impl Memberships {
    pub(super) fn new(hash: Hash) -> Self {
        Self {
            hash,
            next: 0,
            tickets: BTreeMap::new(),
            known: BTreeMap::new(),
            fresh: BTreeSet::new(),
            idle: BTreeSet::new(),
            counts: BTreeMap::new(),
            classes: BTreeMap::new(),
            taken: BTreeSet::new(),
            of: BTreeMap::new(),
            collided: false,
        }
    }

    pub(super) fn hash(&self) -> Hash {
        self.hash
    }

    /// One more entry has this combination.
    pub(super) fn take(&mut self, sets: &[RemoteSet]) -> Ticket {
        if let Some(ticket) = self.tickets.get(sets).copied() {
            if let Some(known) = self.known.get_mut(&ticket) {
                known.uses += 1;
                if self.idle.remove(&ticket) {
                    count(&mut self.counts, sets);
                }
            }
            return ticket;
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        let sets: Arc<[RemoteSet]> = sets.into();
        count(&mut self.counts, &sets);
        self.tickets.insert(Arc::clone(&sets), ticket);
        let known = Known { sets, uses: 1, class: ClassId::NONE, bits: Bits::default() };
        self.known.insert(ticket, known);
        self.fresh.insert(ticket);
        ticket
    }

    /// One entry has it no longer. It keeps its number until [`Self::forget_idle`].
    pub(super) fn release(&mut self, ticket: Ticket) {
        let Some(known) = self.known.get_mut(&ticket) else { return };
        known.uses -= 1;
        if known.uses == 0 {
            for set in known.sets.iter() {
                release(&mut self.counts, set);
            }
            self.idle.insert(ticket);
        }
    }

    /// How many combinations a set is in: the classes it would have if no set had a bit.
    pub(super) fn counts(&self) -> &BTreeMap<RemoteSet, usize> {
        &self.counts
    }

    /// The class and the bits of a combination.
    pub(super) fn value(&self, ticket: Ticket) -> (ClassId, Bits) {
        self.known.get(&ticket).map_or_else(Default::default, |known| (known.class, known.bits))
    }

    /// The classes whose addresses belong to a set that has no bit.
    pub(super) fn classes(&self, set: RemoteSet) -> impl Iterator<Item = ClassId> {
        self.of.get(&set).into_iter().flatten().copied()
    }

    /// The sets that have classes.
    pub(super) fn sets(&self) -> impl Iterator<Item = RemoteSet> {
        self.of.keys().copied()
    }

    /// Numbers the classes of all combinations, which is the rule for their numbers.
    pub(super) fn number_all(&mut self, bits: &BTreeMap<RemoteSet, Bit>) {
        let mut parts: BTreeSet<Arc<[RemoteSet]>> = BTreeSet::new();
        for known in self.known.values() {
            parts.insert(without(bits, &known.sets));
        }
        parts.remove(&[][..]);
        let numbers = assign(&parts, NOT_ZERO, |sets| (self.hash)(sets));
        self.collided =
            numbers.iter().any(|(sets, number)| own_number(self.hash, sets).0 != *number);
        let numbers: Vec<(Arc<[RemoteSet]>, ClassId)> =
            numbers.into_iter().map(|(sets, number)| (Arc::clone(sets), ClassId(number))).collect();
        for (sets, id) in numbers {
            self.add_class(sets, id);
        }
        self.give_numbers(bits);
    }

    /// Numbers the new combinations alone, and says for which sets a class came.
    ///
    /// # Errors
    ///
    /// [`Collision`], with nothing done, where that could change the numbers of others.
    pub(super) fn number_fresh(
        &mut self,
        bits: &BTreeMap<RemoteSet, Bit>,
    ) -> Result<BTreeSet<RemoteSet>, Collision> {
        if self.collided && !(self.fresh.is_empty() && self.idle.is_empty()) {
            return Err(Collision);
        }
        let mut parts: BTreeMap<Arc<[RemoteSet]>, ClassId> = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for known in self.fresh.iter().filter_map(|ticket| self.known.get(ticket)) {
            let sets = without(bits, &known.sets);
            if sets.is_empty() || self.classes.contains_key(&sets) || parts.contains_key(&sets) {
                continue;
            }
            let id = own_number(self.hash, &sets);
            if self.taken.contains(&id) || !taken.insert(id) {
                return Err(Collision);
            }
            parts.insert(sets, id);
        }
        let grown = parts.keys().flat_map(|sets| sets.iter()).copied().collect();
        for (sets, id) in parts {
            self.add_class(sets, id);
        }
        self.give_numbers(bits);
        Ok(grown)
    }

    /// Forgets the combinations that nobody has, and says for which sets a class went.
    pub(super) fn forget_idle(&mut self, bits: &BTreeMap<RemoteSet, Bit>) -> BTreeSet<RemoteSet> {
        let mut shrunk = BTreeSet::new();
        for ticket in std::mem::take(&mut self.idle) {
            let Some(known) = self.known.remove(&ticket) else { continue };
            self.tickets.remove(&known.sets);
            let sets = without(bits, &known.sets);
            let Some(class) = self.classes.get_mut(&sets) else { continue };
            class.uses -= 1;
            if class.uses == 0 {
                let id = class.id;
                self.classes.remove(&sets);
                self.taken.remove(&id);
                for set in sets.iter() {
                    let of = self.of.entry(*set).or_default();
                    of.remove(&id);
                    if of.is_empty() {
                        self.of.remove(set);
                    }
                    shrunk.insert(*set);
                }
            }
        }
        shrunk
    }

    fn add_class(&mut self, sets: Arc<[RemoteSet]>, id: ClassId) {
        self.taken.insert(id);
        for set in sets.iter() {
            self.of.entry(*set).or_default().insert(id);
        }
        self.classes.insert(sets, Class { id, uses: 0 });
    }

    /// Every new combination gets its class, which is there.
    fn give_numbers(&mut self, bits: &BTreeMap<RemoteSet, Bit>) {
        for ticket in std::mem::take(&mut self.fresh) {
            let Some(known) = self.known.get_mut(&ticket) else { continue };
            known.bits = known.sets.iter().filter_map(|set| bits.get(set)).copied().collect();
            if let Some(class) = self.classes.get_mut(&without(bits, &known.sets)) {
                class.uses += 1;
                known.class = class.id;
            }
        }
    }
}

/// The sets that have no bit.
fn without(bits: &BTreeMap<RemoteSet, Bit>, sets: &Arc<[RemoteSet]>) -> Arc<[RemoteSet]> {
    if bits.is_empty() {
        return Arc::clone(sets);
    }
    sets.iter().filter(|set| !bits.contains_key(set)).copied().collect()
}

/// The number of a class that shares its hash with no other.
fn own_number(hash: Hash, sets: &[RemoteSet]) -> ClassId {
    ClassId(hash(sets).max(*NOT_ZERO.start()))
}

/// The hash of all sets, in their order.
pub(super) fn hash(sets: &[RemoteSet]) -> u32 {
    crate::number::hash(sets.iter().flat_map(bytes))
}

fn count(counts: &mut BTreeMap<RemoteSet, usize>, sets: &[RemoteSet]) {
    for set in sets {
        *counts.entry(*set).or_default() += 1;
    }
}

fn release(counts: &mut BTreeMap<RemoteSet, usize>, set: &RemoteSet) {
    let left = counts.get(set).map_or(0, |count| count.saturating_sub(1));
    if left > 0 {
        counts.insert(*set, left);
    } else {
        counts.remove(set);
    }
}
