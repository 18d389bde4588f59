//! What is in netfilter and should not be, or should be and is not; and packets that meet it.
//!
//! No packet that the rules of groups tell apart need meet a rule of somebody else. So such a rule
//! makes packets of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{EtherType, Prefix};

use super::FAMILIES;
use super::name::ChainName;
use super::netfilter::{Netfilter, TableName};
use super::rule::{Rule, RuleMatch};
use super::verdict::{Header, Packet};

/// A rule of table filter that is in one of two and not in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OddRule<'a> {
    /// The family.
    pub family: EtherType,
    /// The chain that it is in.
    pub chain: &'a ChainName,
    /// The rule.
    pub rule: &'a Rule,
}

impl Netfilter {
    /// Rules of chains of ours, and of the kernel's before ours, that only one of the two has.
    pub fn odd_rules<'a>(&'a self, other: &'a Self) -> BTreeSet<OddRule<'a>> {
        let (mine, theirs) = (self.filter_rules(), other.filter_rules());
        mine.symmetric_difference(&theirs).copied().collect()
    }

    /// Addresses that a set has in only one of the two.
    pub fn odd_members(&self, other: &Self) -> BTreeSet<Prefix> {
        let names = self.sets.keys().chain(other.sets.keys());
        let members = |of: &Self, name| {
            of.sets.get::<super::SetName>(name).map(|set| set.prefixes.clone()).unwrap_or_default()
        };
        names.flat_map(|name| &members(self, name) ^ &members(other, name)).collect()
    }

    fn filter_rules(&self) -> BTreeSet<OddRule<'_>> {
        let mut all = BTreeSet::new();
        for family in FAMILIES {
            let Some(table) = self.family(family).0.get(&TableName::Filter) else { continue };
            for (chain, rules) in table.chains() {
                all.extend(rules.iter().map(|rule| OddRule { family, chain, rule }));
            }
        }
        all
    }
}

impl OddRule<'_> {
    /// The packet changed so that it is one that the rule is for, as far as that can be told;
    /// `sets` has what the sets hold that the rule may name.
    pub fn meet(&self, packet: &Packet, sets: &Netfilter) -> Packet {
        let mut packet = packet.clone();
        let rule = self.rule;
        let first = |prefix: Prefix| prefix.address();
        let of_set = |name| sets.sets.get(name)?.prefixes.first().copied().map(first);
        let put = |place: &mut IpAddr, address: Option<IpAddr>| {
            if let Some(address) = address.filter(|it| it.is_ipv4() == place.is_ipv4()) {
                *place = address;
            }
        };
        put(&mut packet.source, rule.source.map(first));
        put(&mut packet.destination, rule.destination.map(first));
        if let Some(protocol) = rule.protocol.filter(|protocol| protocol.0 != 0) {
            packet.protocol = protocol;
            let (from, to) = match packet.header {
                Header::Ports { from, to } => (from, to),
                _ => (1, 1),
            };
            packet.header = if protocol.has_ports() {
                Header::Ports { from, to }
            } else if protocol == self.family.icmp() {
                Header::Icmp { kind: 8, code: 0 }
            } else {
                Header::Other
            };
        }
        for each in &rule.matches {
            match (each, &mut packet.header) {
                (RuleMatch::Udp { from, to }, header) => {
                    *header = Header::Ports { from: *from, to: *to };
                }
                (RuleMatch::Port(range), Header::Ports { to, .. }) => *to = range.low(),
                (RuleMatch::Multiport(ports), Header::Ports { to, .. }) => {
                    *to = ports.ranges().first().map_or(*to, |range| range.low());
                }
                (
                    RuleMatch::Ports { from: source, to: destination, .. },
                    Header::Ports { from, to },
                ) => {
                    *from = source.map_or(*from, |range| range.low());
                    *to = destination.map_or(*to, |range| range.low());
                }
                (
                    RuleMatch::Icmp { kind: wanted, code: only }
                    | RuleMatch::Icmpv6 { kind: wanted, code: only },
                    Header::Icmp { kind, code },
                ) => (*kind, *code) = (*wanted, only.unwrap_or(0)),
                (RuleMatch::SourceMac(mac), _) => packet.source_mac = *mac,
                (RuleMatch::DestinationMac(mac), _) => packet.destination_mac = *mac,
                (RuleMatch::SourceIn(set), _) => put(&mut packet.source, of_set(set)),
                (RuleMatch::DestinationIn(set), _) => put(&mut packet.destination, of_set(set)),
                _ => {}
            }
        }
        packet
    }
}
