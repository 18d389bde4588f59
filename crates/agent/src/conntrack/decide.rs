//! Which connections no rule admits any more. Pure.
//!
//! A connection is judged as the first packet of its original direction would be, by the reference
//! verdict: its sender's egress rules where the sender is a port of this node, and its receiver's
//! ingress rules where the receiver is one. A stateless port has no connections: an entry is that of
//! the other side alone, or a leftover that nothing looks at.
//!
//! A connection whose receiver may open one back, to the port that it came from, is not forgotten:
//! the receiver's next packet would open it again, and what the sender says would be its replies.
//! Its entry stays, and the mark that the sender's next packet leaves there stops both.
//!
//! Of conntrack's entries the MAC
//! addresses are not known, and sometimes not the ports: what cannot be told is left alone, and
//! the flows judge it by its next packet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::bridge::layout::MARK_REVOKED;
use dataplane::{LocalPort, Snapshot};
use model::{AddressGroupId, CtZone, Direction, IpProtocol, Prefix, SecurityGroupId};
use openflow::{CtTransport, CtTuple};
use policy::{L4, Member, Members, Packet};

use super::{Affected, Entries, Entry};

/// The connections to cut.
pub(crate) fn unruled(affected: &Affected, snapshot: &Snapshot, entries: Entries) -> Entries {
    let index = Index::new(&snapshot.members);
    let mut unruled = Entries::new();
    for (zone, mut entries) in entries {
        let mut judge = Judge::new(zone, affected, snapshot, &index);
        entries.retain(|entry| judge.is_unruled(entry));
        if !entries.is_empty() {
            unruled.insert(zone, entries);
        }
    }
    unruled
}

/// Judges connections of one zone.
struct Judge<'a> {
    zone: CtZone,
    lost: &'a BTreeSet<(CtZone, IpAddr)>,
    snapshot: &'a Snapshot,
    index: &'a Index,
    ports: Vec<&'a LocalPort>,
    /// What was found out of an address already.
    owners: BTreeMap<IpAddr, Vec<&'a LocalPort>>,
    memberships: BTreeMap<IpAddr, Members>,
}

/// One side of a connection.
enum Side {
    /// Not of this node: nobody filters it here.
    Elsewhere,
    /// Of this node, and admitted or not.
    Here { admitted: bool },
}

impl<'a> Judge<'a> {
    fn new(zone: CtZone, affected: &'a Affected, snapshot: &'a Snapshot, index: &'a Index) -> Self {
        let here = |local: &&LocalPort| {
            let network = snapshot.networks.get(&local.port.network);
            network.is_some_and(|network| network.vlan.zone() == zone)
        };
        Self {
            zone,
            lost: &affected.lost,
            snapshot,
            index,
            ports: snapshot.ports.values().filter(here).collect(),
            owners: BTreeMap::new(),
            memberships: BTreeMap::new(),
        }
    }

    fn is_unruled(&mut self, entry: &Entry) -> bool {
        match self.verdict(&entry.original) {
            None => false,
            Some(true) => entry.mark == MARK_REVOKED,
            Some(false) => {
                let back = reversed(&entry.original);
                back.and_then(|back| self.verdict(&back)) != Some(true)
            }
        }
    }

    /// Whether a connection of this original direction is admitted; `None` if neither side is of
    /// this node.
    fn verdict(&mut self, original: &CtTuple) -> Option<bool> {
        let CtTuple { src, dst, .. } = *original;
        let sides = [
            self.side(Direction::Egress, src, dst, original),
            self.side(Direction::Ingress, dst, src, original),
        ];
        let here = sides.iter().filter_map(|side| match side {
            Side::Elsewhere => None,
            Side::Here { admitted } => Some(*admitted),
        });
        here.reduce(|one, other| one && other)
    }

    fn side(
        &mut self,
        direction: Direction,
        own: IpAddr,
        remote: IpAddr,
        original: &CtTuple,
    ) -> Side {
        let ports = &self.ports;
        let owners = self.owners.entry(own).or_insert_with(|| most_specific(ports, own));
        if owners.is_empty() {
            return match self.lost.contains(&(self.zone, own)) {
                true => Side::Here { admitted: false },
                false => Side::Elsewhere,
            };
        }
        let snapshot = self.snapshot;
        let groups_of =
            |local: &'a LocalPort| snapshot.groups_of(&local.port.groups).map(Arc::as_ref);
        let is_tracked = |local: &&'a LocalPort| {
            !local.is_managed() || !snapshot.is_stateless(&local.port.groups)
        };
        if !owners.iter().any(is_tracked) {
            return Side::Elsewhere;
        }
        let Some(packet) = packet(original, remote) else { return Side::Here { admitted: true } };
        let members = self.memberships.entry(remote).or_insert_with(|| self.index.members(remote));
        // Where several ports may use the address, it is not known whose connection it is.
        let admitted = owners.iter().any(|local| {
            !local.is_managed()
                || policy::allows(groups_of(local), members, direction, &packet).is_some()
                || !is_tracked(local)
        });
        Side::Here { admitted }
    }
}

/// The ports that use the address by the longest prefix: one that may use any address does not
/// speak for the address of another.
fn most_specific<'a>(ports: &[&'a LocalPort], address: IpAddr) -> Vec<&'a LocalPort> {
    let using: Vec<(u8, &LocalPort)> =
        ports.iter().filter_map(|local| Some((longest(local, address)?, *local))).collect();
    let longest = using.iter().map(|(length, _)| *length).max();
    using.iter().filter(|(length, _)| Some(*length) == longest).map(|(_, local)| *local).collect()
}

/// The length of the longest prefix of the port that covers the address.
fn longest(local: &LocalPort, address: IpAddr) -> Option<u8> {
    let link_local = Prefix::host(IpAddr::V6(local.port.mac.link_local()));
    let pairs = local.port.pairs.iter().map(|pair| pair.prefix);
    let covering = pairs.chain([link_local]).filter(|prefix| prefix.contains(address));
    covering.map(|prefix| prefix.length()).max()
}

/// The connection that the receiver would open with its next packet. A reply to an ICMP request
/// opens none.
fn reversed(original: &CtTuple) -> Option<CtTuple> {
    let CtTuple { src, dst, protocol, transport } = *original;
    let transport = match transport {
        CtTransport::Ports { src, dst } => CtTransport::Ports { src: dst, dst: src },
        CtTransport::None => CtTransport::None,
        CtTransport::Icmp { .. } => return None,
    };
    Some(CtTuple { src: dst, dst: src, protocol, transport })
}

/// The first packet, where enough of it is known.
fn packet(original: &CtTuple, remote: IpAddr) -> Option<Packet> {
    let protocol = IpProtocol(original.protocol);
    let l4 = match original.transport {
        CtTransport::Ports { dst, .. } if protocol.has_ports() => L4::Ports { dst },
        CtTransport::Icmp { kind, code, .. } => L4::Icmp { kind, code },
        CtTransport::None if protocol.has_ports() => return None,
        CtTransport::Ports { .. } | CtTransport::None => L4::None,
    };
    Some(Packet { remote, remote_mac: None, protocol, l4 })
}

/// Finds the groups of an address without asking each of their members.
#[derive(Default)]
struct Index {
    groups: BTreeMap<Prefix, BTreeSet<SecurityGroupId>>,
    address_groups: BTreeMap<Prefix, BTreeSet<AddressGroupId>>,
}

impl Index {
    fn new(members: &Members) -> Self {
        let mut index = Self::default();
        for (id, members) in &members.groups {
            for member in members.iter() {
                index.groups.entry(member.prefix()).or_default().insert(*id);
            }
        }
        for (id, prefixes) in &members.address_groups {
            for prefix in prefixes.iter() {
                index.address_groups.entry(*prefix).or_default().insert(*id);
            }
        }
        index
    }

    /// Members among whom this address is the only one. A member that is tied to a MAC address
    /// counts, because the connection may be its.
    fn members(&self, address: IpAddr) -> Members {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let host = Prefix::host(address);
        let mut members = Members::default();
        for prefix in (0..=longest).filter_map(|length| Prefix::new(address, length)) {
            for id in self.groups.get(&prefix).into_iter().flatten() {
                members.groups.insert(*id, [Member::new(host, None)].into());
            }
            for id in self.address_groups.get(&prefix).into_iter().flatten() {
                members.address_groups.insert(*id, [host].into());
            }
        }
        members
    }
}

#[cfg(test)]
mod tests;
