//! The chains of a policy, which all ports with the same set of groups share.
//!
//! Ports are cut into prefixes in a canonical policy, because a switch matches value and mask;
//! here they are ranges again, and as many of them in one rule as there is room for.

use std::collections::BTreeSet;

use model::{Direction, EtherType, IpProtocol, PortRange, Prefix, Remote};
use policy::{Members, Policy, RemoteSet, Term, TermMatch};

use super::name::{ChainName, SetName};
use super::rule::{Multiport, Rule, RuleMatch, Target};
use super::set::SetMembers;

/// How the chains of one policy are made.
pub(super) struct Lowering<'a> {
    pub(super) direction: Direction,
    pub(super) family: EtherType,
    pub(super) members: &'a Members,
    /// Whether remotes are matched by sets of addresses, or each member by a rule.
    pub(super) ipset: bool,
    /// Whether rules judge every packet by itself.
    pub(super) stateless: bool,
    /// Whether what conntrack calls invalid is dropped before the rules, and not behind them.
    pub(super) invalid_first: bool,
    /// What drops.
    pub(super) fallback: &'a ChainName,
}

impl Lowering<'_> {
    /// The rules of the policy's chain, and the sets that they name.
    pub(super) fn chain(&self, policy: &Policy) -> (Vec<Rule>, BTreeSet<RemoteSet>) {
        let mut rules = Vec::new();
        let mut sets = BTreeSet::new();
        let terms: Vec<Term> =
            policy.terms.iter().filter(|term| term.ethertype == self.family).copied().collect();
        let invalid = Rule::all(Target::Drop).with(RuleMatch::Invalid);
        if self.invalid_first && !self.stateless {
            rules.push(invalid.clone());
        }
        for same in terms.chunk_by(|one, other| one.remote == other.remote) {
            let Some(remote) = same.first().map(|term| term.remote) else { continue };
            sets.extend(RemoteSet::of(remote).filter(|_| self.ipset));
            let packets = self.packets(same);
            for side in self.sides(remote) {
                rules.extend(packets.iter().map(|packet| packet.admitted(&side)));
            }
        }
        if !self.invalid_first && !self.stateless {
            rules.push(invalid);
        }
        rules.push(Rule::all(Target::Jump(self.fallback.clone())));
        (rules, sets)
    }

    /// What a rule can say of the other side of a packet so that together they say: it is this
    /// remote.
    fn sides(&self, remote: Remote) -> Vec<Side> {
        let prefix = |prefix: Prefix| match self.direction {
            _ if prefix.is_any() => Side::default(),
            Direction::Ingress => Side { source: Some(prefix), ..Side::default() },
            Direction::Egress => Side { destination: Some(prefix), ..Side::default() },
        };
        let set = match remote {
            Remote::Any => return vec![Side::default()],
            Remote::Prefix(only) => return vec![prefix(only)],
            Remote::Group(id) => RemoteSet::Group(id),
            Remote::AddressGroup(id) => RemoteSet::AddressGroup(id),
        };
        let members = SetMembers::of(set, self.family, self.members);
        let mac = |mac| Side {
            address: Some(match self.direction {
                Direction::Ingress => RuleMatch::SourceMac(mac),
                Direction::Egress => RuleMatch::DestinationMac(mac),
            }),
            ..Side::default()
        };
        let macs = members.macs.into_iter().map(mac);
        if !self.ipset {
            return members.prefixes.into_iter().map(prefix).chain(macs).collect();
        }
        let name = SetName::of(set, self.family);
        let in_set = match self.direction {
            Direction::Ingress => RuleMatch::SourceIn(name),
            Direction::Egress => RuleMatch::DestinationIn(name),
        };
        [Side { address: Some(in_set), ..Side::default() }].into_iter().chain(macs).collect()
    }

    /// What the terms say behind the addresses.
    fn packets(&self, terms: &[Term]) -> Vec<Packet> {
        let mut packets = Vec::new();
        for same in terms.chunk_by(|one, other| is_ports_of_one_protocol(*one, *other)) {
            let Some(first) = same.first() else { continue };
            let (protocol, headers) = match first.transport {
                TermMatch::Any => (None, vec![None]),
                TermMatch::Protocol(protocol) => (Some(protocol), vec![None]),
                TermMatch::Port { protocol, .. } => {
                    let ranges = joined(same.iter().flat_map(|term| term.transport.ports()));
                    let headers = match_ports(protocol, ranges).into_iter().map(Some);
                    (Some(protocol), headers.collect())
                }
                TermMatch::Icmp { kind, code } => {
                    let header = match self.family {
                        EtherType::Ipv4 => RuleMatch::Icmp { kind, code },
                        EtherType::Ipv6 => RuleMatch::Icmpv6 { kind, code },
                    };
                    (Some(self.family.icmp()), vec![Some(header)])
                }
            };
            packets.extend(headers.into_iter().map(|header| Packet { protocol, header }));
        }
        packets
    }
}

/// What a rule says of the other side.
#[derive(Default)]
struct Side {
    source: Option<Prefix>,
    destination: Option<Prefix>,
    address: Option<RuleMatch>,
}

/// What a rule says behind the addresses.
struct Packet {
    protocol: Option<IpProtocol>,
    header: Option<RuleMatch>,
}

impl Packet {
    /// The rule that admits it from or to that side.
    fn admitted(&self, side: &Side) -> Rule {
        Rule {
            source: side.source,
            destination: side.destination,
            protocol: self.protocol,
            matches: self.header.iter().chain(&side.address).cloned().collect(),
            target: Target::Return,
        }
    }
}

fn is_ports_of_one_protocol(one: Term, other: Term) -> bool {
    match (one.transport, other.transport) {
        (TermMatch::Port { protocol: one, .. }, TermMatch::Port { protocol: other, .. }) => {
            one == other
        }
        _ => false,
    }
}

/// The same ports in as few ranges as there can be.
fn joined(ranges: impl Iterator<Item = PortRange>) -> Vec<PortRange> {
    let mut ranges: Vec<(u16, u16)> = ranges.map(|range| (range.low(), range.high())).collect();
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let joins = next.0 <= last.1.saturating_add(1);
        if joins {
            last.1 = last.1.max(next.1);
        }
        joins
    });
    ranges.into_iter().filter_map(|(low, high)| PortRange::new(low, high).ok()).collect()
}

/// Matches that together admit these ports. A single range of TCP or UDP has a match of its own,
/// which is faster; the kernel has the one for several ranges for every protocol with ports.
fn match_ports(protocol: IpProtocol, ranges: Vec<PortRange>) -> Vec<RuleMatch> {
    match ranges.as_slice() {
        [only] if [IpProtocol::TCP, IpProtocol::UDP].contains(&protocol) => {
            vec![RuleMatch::Port(*only)]
        }
        _ => Multiport::pack(ranges).into_iter().map(RuleMatch::Multiport).collect(),
    }
}
