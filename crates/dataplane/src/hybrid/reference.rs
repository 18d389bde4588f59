//! What should become of a packet on the Linux bridge of a port that netfilter filters: the
//! reference, with no chain in it. `docs/hybrid.md` says the same in words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Direction, EtherType, IpProtocol, MacAddr, Port, Prefix, SecurityGroupRuleId};

use super::meaning::Meaning;
use super::verdict::{Header, Packet, State};

/// What should become of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A rule admits it.
    ByRule(SecurityGroupRuleId),
    /// It passes, and needs no rule for that.
    WithoutRule,
    /// No rule admits it.
    Unruled,
    /// It does not pass, whatever rules say.
    Refused,
}

const MLD_QUERY: u8 = 130;
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const MLD_REPORTS: [u8; 3] = [131, 132, 143];
/// A host that looks for an address sends these from `::`.
const FROM_NOBODY: [u8; 3] = [131, NEIGHBOUR_SOLICITATION, 143];

impl Expected {
    /// Whether it passes.
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::ByRule(_) | Self::WithoutRule)
    }
}

impl Meaning<'_> {
    /// What should become of a packet that a port with these groups sends or is to get.
    pub fn expected(&self, port: &Port, direction: Direction, packet: &Packet) -> Expected {
        let judge = Judge { port, strict: self.strict, stateless: self.is_stateless(), packet };
        let settled = match direction {
            Direction::Ingress => judge.gets(),
            Direction::Egress => judge.sends(),
        };
        settled.unwrap_or_else(|| match self.rule_at_bridge(direction, packet) {
            _ if self.strict && !self.is_stateless() && packet.state == State::Invalid => {
                Expected::Refused
            }
            Some(rule) => Expected::ByRule(rule),
            None => Expected::Unruled,
        })
    }
}

/// A packet of a port.
struct Judge<'a> {
    port: &'a Port,
    strict: bool,
    stateless: bool,
    packet: &'a Packet,
}

impl Judge<'_> {
    /// What is settled before any rule of what the port sends.
    fn sends(&self) -> Option<Expected> {
        let packet = self.packet;
        let [server, client] = dhcp(packet.family());
        if self.looks_for_an_address() {
            return Some(Expected::WithoutRule);
        }
        // Whose address it advertises is for the integration bridge to see.
        if self.strict && self.icmpv6() == Some(NEIGHBOUR_ADVERTISEMENT) {
            return Some(Expected::WithoutRule);
        }
        if !self.may_be_its_source() {
            return Some(Expected::Refused);
        }
        match self.icmpv6() {
            Some(ROUTER_ADVERTISEMENT) => return Some(Expected::Refused),
            Some(_) if !self.strict => return Some(Expected::WithoutRule),
            Some(MLD_QUERY | ROUTER_SOLICITATION | NEIGHBOUR_SOLICITATION) => {
                return Some(Expected::WithoutRule);
            }
            Some(kind) if MLD_REPORTS.contains(&kind) && is_to_link_local_group(packet) => {
                return Some(Expected::WithoutRule);
            }
            _ => {}
        }
        if self.is_udp(client, server) {
            return Some(Expected::WithoutRule);
        }
        if self.is_udp(server, client) {
            return Some(Expected::Refused);
        }
        self.connection()
    }

    /// What is settled before any rule of what the port gets.
    fn gets(&self) -> Option<Expected> {
        let packet = self.packet;
        let has_ipv6 = self.own().any(|prefix| prefix.ethertype() == EtherType::Ipv6);
        match self.icmpv6() {
            Some(MLD_QUERY | NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT) => {
                return Some(Expected::WithoutRule);
            }
            Some(ROUTER_ADVERTISEMENT) if self.strict || has_ipv6 => {
                return Some(Expected::WithoutRule);
            }
            _ => {}
        }
        if let Some(settled) = self.connection() {
            return Some(settled);
        }
        let [server, client] = dhcp(packet.family());
        let is_for_it = || match packet.destination {
            IpAddr::V4(Ipv4Addr::BROADCAST) => true,
            IpAddr::V6(address) if starts_with(address, &[0xfe80, 0, 0, 0]) => true,
            address => self.own().any(|prefix| prefix.contains(address)),
        };
        let is_reply = self.is_udp(server, client) && (self.strict || is_for_it());
        is_reply.then_some(Expected::WithoutRule)
    }

    /// What conntrack settles.
    fn connection(&self) -> Option<Expected> {
        match self.packet.state {
            _ if self.stateless => None,
            State::Revoked => Some(Expected::Refused),
            State::Established | State::Related => Some(Expected::WithoutRule),
            State::New | State::Invalid | State::Untracked => None,
        }
    }

    /// DHCP discovery, duplicate address detection and what goes with it.
    fn looks_for_an_address(&self) -> bool {
        let packet = self.packet;
        if !packet.source.is_unspecified() {
            return false;
        }
        match packet.destination {
            IpAddr::V4(to) => {
                self.is_udp(68, 67)
                    && match self.strict {
                        true => packet.source_mac == self.port.mac,
                        false => to == Ipv4Addr::BROADCAST,
                    }
            }
            IpAddr::V6(_) => {
                self.icmpv6().is_some_and(|kind| FROM_NOBODY.contains(&kind))
                    && is_to_link_local_group(packet)
            }
        }
    }

    fn may_be_its_source(&self) -> bool {
        let Packet { source, source_mac: mac, .. } = *self.packet;
        let family = self.packet.family();
        let is_link_local = |of: MacAddr| source == IpAddr::V6(of.link_local()) && mac == of;
        let has_address = self.own().next().is_some();
        is_link_local(self.port.mac)
            || self.port.pairs.iter().filter(|pair| pair.prefix.ethertype() == family).any(|pair| {
                let is_pair = pair.mac == mac && pair.prefix.contains(source);
                is_pair || !self.strict && is_link_local(pair.mac)
            })
            || !self.strict && !has_address && mac == self.port.mac
    }

    /// The addresses of its own.
    fn own(&self) -> impl Iterator<Item = Prefix> {
        let own = self.port.pairs.iter().filter(|pair| pair.mac == self.port.mac);
        own.map(|pair| pair.prefix)
    }

    /// Its type, if it is one of ICMPv6.
    fn icmpv6(&self) -> Option<u8> {
        match self.packet.header {
            Header::Icmp { kind, .. } if self.packet.family() == EtherType::Ipv6 => Some(kind),
            _ => None,
        }
    }

    fn is_udp(&self, from: u16, to: u16) -> bool {
        self.packet.protocol == IpProtocol::UDP && self.packet.header == Header::Ports { from, to }
    }
}

/// The ports of a DHCP server and of a client.
fn dhcp(family: EtherType) -> [u16; 2] {
    match family {
        EtherType::Ipv4 => [67, 68],
        EtherType::Ipv6 => [547, 546],
    }
}

/// Whether it goes to ff02::/16.
fn is_to_link_local_group(packet: &Packet) -> bool {
    matches!(packet.destination, IpAddr::V6(address) if starts_with(address, &[0xff02]))
}

fn starts_with(address: Ipv6Addr, segments: &[u16]) -> bool {
    address.segments().starts_with(segments)
}
