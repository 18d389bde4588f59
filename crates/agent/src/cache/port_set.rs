//! Ports, and whom they make members of which group, in the form in which snapshots share it.
//! Pure.
//!
//! A group whose members are the same stays the same object.

use std::collections::{BTreeMap, BTreeSet};

use model::{PortId, SecurityGroupId};
use neutron::convert::{ConvertError, Membership};
use policy::{Member, SharedSet};

use super::{Entry, KnownPort};

/// Ports that are known.
#[derive(Debug, Default)]
pub(super) struct PortSet {
    ports: BTreeMap<PortId, Entry<Membership>>,
    /// Those that somebody has asked for by themselves. Every plan looks at each of them, so they are
    /// not spread over the members of groups, of which there may be very many.
    known: BTreeMap<PortId, Result<KnownPort, ConvertError>>,
    groups: BTreeMap<SecurityGroupId, Group>,
}

/// The members of a group.
#[derive(Debug, Default)]
struct Group {
    ports: BTreeSet<PortId>,
    members: SharedSet<Member>,
    /// Members that several ports make, with how many do beside the first.
    shared: BTreeMap<Member, usize>,
}

impl PortSet {
    /// Stores what is not older than what is there; without what it says of the port itself where
    /// that is not given. Tells whether it did.
    pub(super) fn store(
        &mut self,
        id: PortId,
        entry: Entry<Membership>,
        known: Option<Result<KnownPort, ConvertError>>,
    ) -> bool {
        let old = self.ports.get(&id);
        if old.is_some_and(|old| old.revision > entry.revision) {
            return false;
        }
        // Most news of a port are no news of its addresses.
        if old.is_none_or(|old| old.value != entry.value) {
            self.leave(id);
            self.join(id, &entry.value);
        }
        self.ports.insert(id, entry);
        match known {
            Some(known) => self.known.insert(id, known),
            None => self.known.remove(&id),
        };
        true
    }

    /// Takes a port out. Tells whether it was there.
    pub(super) fn remove(&mut self, id: PortId) -> bool {
        self.leave(id);
        self.known.remove(&id);
        self.ports.remove(&id).is_some()
    }

    /// Takes out the ports of which `goes` says so, with the moment at which they were learned.
    pub(super) fn remove_of(&mut self, group: SecurityGroupId, goes: impl Fn(PortId, u64) -> bool) {
        let Some(members) = self.groups.get(&group) else { return };
        let learned = |id| self.ports.get(id).map_or(0, |entry| entry.learned);
        let gone: Vec<PortId> =
            members.ports.iter().filter(|id| goes(**id, learned(id))).copied().collect();
        for id in gone {
            self.remove(id);
        }
    }

    /// Forgets the ports of which `wanted` says no.
    pub(super) fn retain(&mut self, wanted: impl Fn(PortId, &Membership) -> bool) {
        let unwanted = |(id, entry): &(&PortId, &Entry<Membership>)| !wanted(**id, &entry.value);
        let gone: Vec<PortId> = self.ports.iter().filter(unwanted).map(|(id, _)| *id).collect();
        for id in gone {
            self.remove(id);
        }
    }

    /// Which groups a port is in, and with which addresses.
    pub(super) fn get(&self, id: PortId) -> Option<&Entry<Membership>> {
        self.ports.get(&id)
    }

    /// What the server said of a port itself; one that does not convert is closed, and the reason is
    /// kept.
    pub(super) fn known(&self, id: PortId) -> Option<&Result<KnownPort, ConvertError>> {
        self.known.get(&id)
    }

    /// The members of a group, as far as its ports are known.
    pub(super) fn members(&self, id: SecurityGroupId) -> SharedSet<Member> {
        self.groups.get(&id).map(|group| group.members.clone()).unwrap_or_default()
    }

    fn join(&mut self, id: PortId, membership: &Membership) {
        for group in &membership.groups {
            let group = self.groups.entry(*group).or_default();
            group.ports.insert(id);
            for member in members(membership) {
                if !group.members.insert(member) {
                    *group.shared.entry(member).or_default() += 1;
                }
            }
        }
    }

    fn leave(&mut self, id: PortId) {
        let Some(entry) = self.ports.get(&id) else { return };
        let membership = &entry.value;
        for group_id in &membership.groups {
            let Some(group) = self.groups.get_mut(group_id) else { continue };
            group.ports.remove(&id);
            for member in members(membership) {
                match group.shared.get_mut(&member) {
                    Some(count) if *count > 1 => *count -= 1,
                    Some(_) => {
                        group.shared.remove(&member);
                    }
                    None => {
                        group.members.remove(&member);
                    }
                }
            }
            if group.ports.is_empty() {
                self.groups.remove(group_id);
            }
        }
    }
}

/// Each once: addresses that differ may make one member.
fn members(membership: &Membership) -> BTreeSet<Member> {
    let addresses = membership.addresses.iter();
    addresses.map(|address| Member::new(address.prefix, address.mac)).collect()
}
