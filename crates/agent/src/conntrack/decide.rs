//! Which connections no rule admits any more. Pure.
//!
//! A connection is judged as the first packet of its original direction would be, by the reference
//! verdict: its sender's egress rules where the sender is a port of this node, and its receiver's
//! ingress rules where the receiver is one. A stateless port has no connections: an entry is that of
//! the other side alone, or a leftover that nothing looks at.
//!
//! A connection whose receiver may open one back, to the port that it came from, is not forgotten:
//! the receiver's next packet would open it again, and what the sender says would be its replies.
//! Its entry stays, and the mark that the sender's next packet leaves there stops both. Of a port
//! that netfilter filters nobody leaves a mark, so the agent does ([`sentences`]).
//!
//! Of conntrack's entries the MAC
//! addresses are not known, and sometimes not the ports: what cannot be told is left alone, and
//! the flows judge it by its next packet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::bridge::layout::MARK_REVOKED;
use dataplane::{LocalPort, Snapshot};
use model::{
    AddressGroupId, CtZone, Direction, IpProtocol, Port, PortSecurity, Prefix, SecurityGroup,
    SecurityGroupId,
};
use openflow::{CtTransport, CtTuple};
use policy::{L4, Member, Members, Packet};

use super::{Affected, Connection, Entries, Entry};

/// The connections to cut.
pub(crate) fn unruled(affected: &Affected, snapshot: &Snapshot, entries: Entries) -> Entries {
    let index = Index::new(&snapshot.members);
    let mut unruled = Entries::new();
    for (zone, mut entries) in entries {
        let ports = ruled(snapshot, zone);
        let mut judge = Judge::new(zone, ports, &snapshot.groups, &affected.lost, &index);
        entries.retain(|entry| judge.is_unruled(entry));
        if !entries.is_empty() {
            unruled.insert(zone, entries);
        }
    }
    unruled
}

/// What decides on connections, but for the ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The groups that ports have.
    pub(crate) groups: Groups,
    /// Who is in the groups that rules name.
    pub(crate) members: Members,
}

/// Ports that netfilter filters, by their zones, with what decides on their connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Zones {
    /// The port of each zone.
    pub(crate) ports: BTreeMap<CtZone, Arc<Port>>,
    /// What decides.
    pub(crate) rules: Rules,
}

impl Rules {
    /// Those that the node has.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self { groups: snapshot.groups.clone(), members: snapshot.members.clone() }
    }

    /// Who is a member of which groups, by address. It takes all members to make it.
    pub(super) fn index(&self) -> Index {
        Index::new(&self.members)
    }

    /// Judges connections that are in a zone because of this port.
    fn judge<'a>(
        &'a self,
        port: &'a Port,
        zone: CtZone,
        lost: &'a BTreeSet<(CtZone, IpAddr)>,
        index: &'a Index,
    ) -> Judge<'a> {
        let is_managed = port.security == PortSecurity::Enabled;
        let ports = vec![Ruled::new(port, is_managed, &self.groups)];
        Judge::new(zone, ports, &self.groups, lost, index)
    }
}

/// Drops those connections of a port in a zone that no rule of it admits. Whoever is told of the others
/// takes them for established, and asks no rule again.
pub(super) fn retain_admitted(
    (rules, index): (&Rules, &Index),
    port: &Port,
    zone: CtZone,
    connections: &mut Vec<Connection>,
) {
    let lost = BTreeSet::new();
    let mut judge = rules.judge(port, zone, &lost, index);
    connections.retain(|it| judge.verdict(&it.entry.original) != Some(false));
}

/// What is done to connections of one zone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sentence {
    /// They are forgotten.
    pub(crate) forget: Vec<Entry>,
    /// Their packets are dropped, whoever sends them.
    pub(crate) revoke: Vec<Entry>,
    /// They are not, any more.
    pub(crate) reinstate: Vec<Entry>,
    /// Whether there are others whose packets are dropped already.
    pub(crate) revoked: bool,
}

/// What becomes of the connections of ports that have zones of their own. Their rules look at the
/// first packet alone, so what is not forgotten goes on unless it is marked.
pub(crate) fn sentences(zones: &Zones, entries: Entries) -> BTreeMap<CtZone, Sentence> {
    let Zones { ports, rules } = zones;
    let (index, lost) = (rules.index(), BTreeSet::new());
    let mut sentences = BTreeMap::new();
    for (zone, entries) in entries {
        let Some(port) = ports.get(&zone) else { continue };
        let mut judge = rules.judge(port, zone, &lost, &index);
        let mut sentence = Sentence::default();
        for entry in entries {
            let is_revoked = entry.mark & MARK_REVOKED != 0;
            match judge.verdict(&entry.original) {
                Some(false) if judge.is_unruled(&entry) => sentence.forget.push(entry),
                Some(false) if !is_revoked => sentence.revoke.push(entry),
                Some(true) if is_revoked => sentence.reinstate.push(entry),
                _ => sentence.revoked |= is_revoked,
            }
        }
        if sentence != Sentence::default() {
            sentences.insert(zone, sentence);
        }
    }
    sentences
}

/// Judges connections of one zone.
struct Judge<'a> {
    zone: CtZone,
    ports: Vec<Ruled<'a>>,
    groups: &'a Groups,
    lost: &'a BTreeSet<(CtZone, IpAddr)>,
    index: &'a Index,
    /// What was found out of an address already.
    owners: BTreeMap<IpAddr, Vec<Ruled<'a>>>,
    memberships: BTreeMap<IpAddr, Members>,
}

/// A port whose connections are in the zone.
#[derive(Clone, Copy)]
struct Ruled<'a> {
    port: &'a Port,
    /// Whether rules decide what it may do.
    is_managed: bool,
    /// Whether its connections are tracked.
    is_tracked: bool,
}

type Groups = BTreeMap<SecurityGroupId, Arc<SecurityGroup>>;

/// The ports of the network that has the zone.
fn ruled(snapshot: &Snapshot, zone: CtZone) -> Vec<Ruled<'_>> {
    let here = |local: &&LocalPort| {
        let network = snapshot.networks.get(&local.port.network);
        network.is_some_and(|network| network.vlan.zone() == zone)
    };
    let ports = snapshot.ports.values().filter(here);
    ports.map(|local| Ruled::new(&local.port, local.is_managed(), &snapshot.groups)).collect()
}

impl<'a> Ruled<'a> {
    fn new(port: &'a Port, is_managed: bool, groups: &Groups) -> Self {
        let groups = groups_of(port, groups);
        Self { port, is_managed, is_tracked: !is_managed || !policy::are_stateless(groups) }
    }
}

/// Those groups of the port that are known.
fn groups_of<'a>(port: &'a Port, groups: &'a Groups) -> impl Iterator<Item = &'a SecurityGroup> {
    port.groups.iter().filter_map(|id| groups.get(id)).map(Arc::as_ref)
}

/// One side of a connection.
enum Side {
    /// Not of this node: nobody filters it here.
    Elsewhere,
    /// Of this node, and admitted or not.
    Here { admitted: bool },
}

impl<'a> Judge<'a> {
    fn new(
        zone: CtZone,
        ports: Vec<Ruled<'a>>,
        groups: &'a Groups,
        lost: &'a BTreeSet<(CtZone, IpAddr)>,
        index: &'a Index,
    ) -> Self {
        let (owners, memberships) = (BTreeMap::new(), BTreeMap::new());
        Self { zone, ports, groups, lost, index, owners, memberships }
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
        if !owners.iter().any(|owner| owner.is_tracked) {
            return Side::Elsewhere;
        }
        let Some(packet) = packet(original, remote) else { return Side::Here { admitted: true } };
        let members = self.memberships.entry(remote).or_insert_with(|| self.index.members(remote));
        // Where several ports may use the address, it is not known whose connection it is.
        let admitted = owners.iter().any(|owner| {
            let groups = groups_of(owner.port, self.groups);
            !owner.is_managed
                || policy::allows(groups, members, direction, &packet).is_some()
                || !owner.is_tracked
        });
        Side::Here { admitted }
    }
}

/// The ports that use the address by the longest prefix: one that may use any address does not
/// speak for the address of another.
fn most_specific<'a>(ports: &[Ruled<'a>], address: IpAddr) -> Vec<Ruled<'a>> {
    let using: Vec<(u8, Ruled<'_>)> =
        ports.iter().filter_map(|ruled| Some((longest(ruled.port, address)?, *ruled))).collect();
    let longest = using.iter().map(|(length, _)| *length).max();
    using.iter().filter(|(length, _)| Some(*length) == longest).map(|(_, ruled)| *ruled).collect()
}

/// Whether the port may use the address.
pub(super) fn uses(port: &Port, address: IpAddr) -> bool {
    longest(port, address).is_some()
}

/// The length of the longest prefix of the port that covers the address.
fn longest(port: &Port, address: IpAddr) -> Option<u8> {
    let link_local = Prefix::host(IpAddr::V6(port.mac.link_local()));
    let pairs = port.pairs.iter().map(|pair| pair.prefix);
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
pub(super) struct Index {
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
