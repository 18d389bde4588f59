//! Which prefixes belong to what: their own memberships, and those of everything that covers
//! them. Knows neither numbers nor bits.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use model::{EtherType, MacAddr, Prefix};

use crate::{Member, RemoteSet};

/// Addresses that share an entry. The order is that in which a switch looks: those tied to an
/// Ethernet address come first, then the longest prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    free: bool,
    length: Reverse<u8>,
    prefix: Prefix,
    mac: Option<MacAddr>,
}

/// The members by their address.
#[derive(Debug, Clone, Default)]
pub(super) struct Space {
    /// What prefixes belong to by themselves, sorted; never empty.
    free: BTreeMap<Prefix, Vec<RemoteSet>>,
    /// What any-address prefixes belong to together with an Ethernet address; never empty.
    tied: BTreeMap<(Prefix, MacAddr), Vec<RemoteSet>>,
    /// How many free prefixes have a length, so that covering ones are found by a few lookups.
    lengths: BTreeMap<(EtherType, u8), usize>,
}

impl Place {
    pub(super) fn new(prefix: Prefix, mac: Option<MacAddr>) -> Self {
        Self { free: mac.is_none(), length: Reverse(prefix.length()), prefix, mac }
    }

    pub(super) fn prefix(&self) -> Prefix {
        self.prefix
    }

    pub(super) fn mac(&self) -> Option<MacAddr> {
        self.mac
    }
}

impl Space {
    /// The member joins the set.
    pub(super) fn insert(&mut self, member: Member, set: RemoteSet) {
        let prefix = member.prefix();
        let own = match member.mac() {
            Some(mac) => self.tied.entry((prefix, mac)).or_default(),
            None => self.free.entry(prefix).or_default(),
        };
        if own.is_empty() && member.mac().is_none() {
            *self.lengths.entry((prefix.ethertype(), prefix.length())).or_default() += 1;
        }
        if let Err(place) = own.binary_search(&set) {
            own.insert(place, set);
        }
    }

    /// The member leaves the set.
    pub(super) fn remove(&mut self, member: Member, set: RemoteSet) {
        let prefix = member.prefix();
        match member.mac() {
            Some(mac) => {
                if remove(&mut self.tied, &(prefix, mac), set) {
                    self.tied.remove(&(prefix, mac));
                }
            }
            None => {
                if remove(&mut self.free, &prefix, set) {
                    self.free.remove(&prefix);
                    let length = (prefix.ethertype(), prefix.length());
                    let left = self.lengths.get(&length).map_or(0, |count| count - 1);
                    if left > 0 {
                        self.lengths.insert(length, left);
                    } else {
                        self.lengths.remove(&length);
                    }
                }
            }
        }
    }

    /// Every entry that is needed, with all that its addresses belong to.
    pub(super) fn all(&self) -> Vec<(Place, Vec<RemoteSet>)> {
        let mut entries: Vec<(Place, Vec<RemoteSet>)> = nest(&self.free)
            .into_iter()
            .map(|(prefix, sets)| (Place::new(prefix, None), sets))
            .collect();
        // Few memberships are shared by many Ethernet addresses, so each is nested once.
        let mut alike: BTreeMap<(Prefix, &[RemoteSet]), Vec<MacAddr>> = BTreeMap::new();
        for ((any, mac), sets) in &self.tied {
            alike.entry((*any, sets)).or_default().push(*mac);
        }
        for ((any, sets), macs) in alike {
            if self.free.get(&any).is_some_and(|everybody| is_subset(sets, everybody)) {
                continue;
            }
            let mut family: BTreeMap<Prefix, Vec<RemoteSet>> =
                self.below(any).map(|(prefix, own)| (*prefix, own.clone())).collect();
            let everybody = family.entry(any).or_default();
            *everybody = union(everybody, sets);
            for (prefix, sets) in nest(&family) {
                let places = macs.iter().map(|mac| Place::new(prefix, Some(*mac)));
                entries.extend(places.map(|place| (place, sets.clone())));
            }
        }
        entries
    }

    /// What [`Self::all`] says of one place: all that its addresses belong to, or `None` where
    /// no entry is needed.
    pub(super) fn at(&self, place: Place) -> Option<Vec<RemoteSet>> {
        let own = self.free.get(&place.prefix).map_or(&[][..], Vec::as_slice);
        let mut wider = self.wider(place.prefix);
        if let Some(mac) = place.mac {
            let any = Prefix::new(place.prefix.address(), 0)?;
            let tied = self.tied.get(&(any, mac))?;
            if self.free.get(&any).is_some_and(|everybody| is_subset(tied, everybody)) {
                return None;
            }
            if place.prefix == any {
                return Some(union(own, tied));
            }
            wider = union(&wider, tied);
        }
        (!is_subset(own, &wider)).then(|| union(own, &wider))
    }

    /// The places whose entry may be another one after this member has come or gone.
    pub(super) fn touched_by(&self, member: Member) -> BTreeSet<Place> {
        let prefix = member.prefix();
        let below = self.below(prefix).map(|(below, _)| *below).chain([prefix]);
        if let Some(mac) = member.mac() {
            return below.map(|prefix| Place::new(prefix, Some(mac))).collect();
        }
        let macs = self.tied.keys().filter(|(any, _)| any.covers(&prefix));
        let macs: Vec<Option<MacAddr>> = macs.map(|(_, mac)| Some(*mac)).chain([None]).collect();
        below.flat_map(|prefix| macs.iter().map(move |mac| Place::new(prefix, *mac))).collect()
    }

    /// The free prefixes that lie in this one, itself included.
    fn below(&self, prefix: Prefix) -> impl Iterator<Item = (&Prefix, &Vec<RemoteSet>)> {
        // A prefix sorts before those that it covers, and they follow it without a gap.
        self.free.range(prefix..).take_while(move |(below, _)| prefix.covers(below))
    }

    /// What all prefixes that cover this one, itself excluded, belong to by themselves.
    fn wider(&self, prefix: Prefix) -> Vec<RemoteSet> {
        let family = (prefix.ethertype(), 0)..(prefix.ethertype(), prefix.length());
        let mut sets: Vec<RemoteSet> = self
            .lengths
            .range(family)
            .filter_map(|((_, length), _)| Prefix::new(prefix.address(), *length))
            .filter_map(|wide| self.free.get(&wide))
            .flatten()
            .copied()
            .collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }
}

/// Takes the set out, and says whether nothing is left.
fn remove<K: Ord>(places: &mut BTreeMap<K, Vec<RemoteSet>>, key: &K, set: RemoteSet) -> bool {
    let Some(own) = places.get_mut(key) else { return false };
    if let Ok(place) = own.binary_search(&set) {
        own.remove(place);
    }
    own.is_empty()
}

/// Each prefix with the memberships of all that cover it, but those that add nothing.
fn nest(prefixes: &BTreeMap<Prefix, Vec<RemoteSet>>) -> Vec<(Prefix, Vec<RemoteSet>)> {
    let mut kept = Vec::new();
    // A prefix sorts before those that it covers, so these are on the stack.
    let mut wider: Vec<(Prefix, Vec<RemoteSet>)> = Vec::new();
    for (prefix, own) in prefixes {
        while wider.pop_if(|(wide, _)| !wide.covers(prefix)).is_some() {}
        let inherited = wider.last().map_or(&[][..], |(_, sets)| sets.as_slice());
        if is_subset(own, inherited) {
            continue;
        }
        let all = union(own, inherited);
        kept.push((*prefix, all.clone()));
        wider.push((*prefix, all));
    }
    kept
}

/// Whether the sorted `all` has every one of `some`.
fn is_subset(some: &[RemoteSet], all: &[RemoteSet]) -> bool {
    some.iter().all(|set| all.binary_search(set).is_ok())
}

/// The sets of either, sorted.
fn union(one: &[RemoteSet], other: &[RemoteSet]) -> Vec<RemoteSet> {
    let mut sets = [one, other].concat();
    sets.sort_unstable();
    sets.dedup();
    sets
}
