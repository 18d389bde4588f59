//! The exact comparison of a policy with the rules that it was made from.
//!
//! Rules and terms cut the packets into atoms: within one, no rule and no term tells a packet
//! from another. So one packet of each atom decides equality. Addresses with the same remotes
//! are one place, whatever they are; at each place only the rules and terms of its remotes cut
//! further. That keeps the atoms few, and each is asked of [`allows`] and of the policy in full.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use model::{
    Direction, EtherType, IpProtocol, MacAddr, Prefix, Remote, SecurityGroup, SecurityGroupRuleId,
};

use crate::range_set::Range;
use crate::{L4, Members, Packet, Policy, RemoteSet, Term, allows, space};

/// A packet on which a policy and its rules differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rules and policy differ on {packet}: {}", difference(*.rule, *.term))]
pub struct Counterexample {
    /// The packet.
    pub packet: Packet,
    /// The rule that admits it.
    pub rule: Option<SecurityGroupRuleId>,
    /// The term that admits it.
    pub term: Option<Term>,
}

/// How many atoms there are, all of which rules and policy agree on.
///
/// # Errors
///
/// The first packet that they do not agree on.
pub fn check<'a>(
    groups: impl IntoIterator<Item = &'a SecurityGroup>,
    members: &Members,
    direction: Direction,
    policy: &Policy,
) -> Result<u64, Counterexample> {
    let groups: Vec<&SecurityGroup> = groups.into_iter().collect();
    let mut agreed = 0;
    for packet in atoms(&groups, members, direction, policy) {
        let rule = allows(groups.iter().copied(), members, direction, &packet);
        let term = policy.admits(members, &packet);
        if rule.is_some() != term.is_some() {
            return Err(Counterexample { packet, rule, term });
        }
        agreed += 1;
    }
    Ok(agreed)
}

/// One packet of each atom: whatever is made of the policy, if it agrees with the rules on these,
/// and looks at nothing that neither of them looks at, it agrees on all.
pub fn atoms(
    groups: &[&SecurityGroup],
    members: &Members,
    direction: Direction,
    policy: &Policy,
) -> impl Iterator<Item = Packet> + use<> {
    let cuts = Cuts::of(groups, direction, policy);
    let places = cuts.places(members);
    places.into_iter().flat_map(move |((ethertype, remotes), (remote, remote_mac))| {
        cuts.points(ethertype, &remotes).into_iter().map(move |point| {
            let (protocol, l4) = space::packet_at(ethertype, point);
            Packet { remote, remote_mac, protocol, l4 }
        })
    })
}

fn difference(rule: Option<SecurityGroupRuleId>, term: Option<Term>) -> String {
    let rule = rule.map_or("no rule".to_owned(), |id| format!("rule {id}"));
    let term = term.map_or("no term".to_owned(), |term| format!("the term '{term}'"));
    format!("{rule} admits it, {term} does")
}

/// Where rules and terms of each family and remote begin and end (see [`crate::space`]).
struct Cuts(BTreeMap<(EtherType, Remote), BTreeSet<u32>>);

/// Family and remotes of a place, and one address with its Ethernet address that is there.
type Places = BTreeMap<(EtherType, Vec<Remote>), (IpAddr, Option<MacAddr>)>;

impl Cuts {
    fn of(groups: &[&SecurityGroup], direction: Direction, policy: &Policy) -> Self {
        let mut cuts = Self(BTreeMap::new());
        for rule in groups.iter().flat_map(|group| &group.rules) {
            if rule.direction() == direction {
                let range = space::of_rule(rule.ethertype(), rule.transport());
                cuts.add(rule.ethertype(), rule.remote(), [range]);
            }
        }
        for term in &policy.terms {
            let ranges = space::of_term(term.ethertype, term.transport);
            cuts.add(term.ethertype, term.remote, ranges.iter());
        }
        cuts
    }

    fn add(
        &mut self,
        ethertype: EtherType,
        remote: Remote,
        ranges: impl IntoIterator<Item = Range>,
    ) {
        let cuts = self.0.entry((ethertype, remote)).or_default();
        cuts.extend(ranges.into_iter().flat_map(|range| [range.low, range.high + 1]));
    }

    /// The lowest point of each atom at a place.
    fn points(&self, ethertype: EtherType, remotes: &[Remote]) -> BTreeSet<u32> {
        let cuts = remotes.iter().filter_map(|remote| self.0.get(&(ethertype, *remote)));
        let mut points: BTreeSet<u32> = cuts.flatten().copied().collect();
        points.insert(space::EVERYTHING.low);
        points.remove(&(space::EVERYTHING.high + 1));
        points
    }

    /// One address for each combination of remotes that any address has.
    fn places(&self, members: &Members) -> Places {
        let remotes: BTreeSet<Remote> = self.0.keys().map(|(_, remote)| *remote).collect();
        let mut addresses =
            BTreeSet::from([Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]);
        let mut macs = BTreeSet::from([None]);
        for remote in &remotes {
            if let Remote::Prefix(prefix) = remote {
                addresses.extend(edges(*prefix));
            }
            for member in RemoteSet::of(*remote).into_iter().flat_map(|set| members.of(set)) {
                addresses.extend(edges(member.prefix()));
                macs.insert(member.mac());
            }
        }

        let mut places = Places::new();
        for address in addresses {
            for mac in &macs {
                let packet = Packet {
                    remote: address,
                    remote_mac: *mac,
                    protocol: IpProtocol(0),
                    l4: L4::None,
                };
                let here: Vec<Remote> = remotes
                    .iter()
                    .filter(|remote| members.is_remote(**remote, &packet))
                    .copied()
                    .collect();
                places.entry((packet.ethertype(), here)).or_insert((address, *mac));
            }
        }
        places
    }
}

/// The lowest address of a prefix and the one behind its highest.
fn edges(prefix: Prefix) -> impl Iterator<Item = IpAddr> {
    let behind = match IpNet::from(prefix).broadcast() {
        IpAddr::V4(last) => last.to_bits().checked_add(1).map(|n| Ipv4Addr::from_bits(n).into()),
        IpAddr::V6(last) => last.to_bits().checked_add(1).map(|n| Ipv6Addr::from_bits(n).into()),
    };
    std::iter::once(prefix.address()).chain(behind)
}

#[cfg(test)]
mod tests;
