//! What becomes of one packet: the chains walked as netfilter walks them.
//!
//! Nothing is looked up by what a chain is for; only rules count. So what is proved of these
//! verdicts is true of the rules.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{CtZone, EtherType, IpProtocol, MacAddr};

use super::name::SetName;
use super::netfilter::{AddressSet, Netfilter, Table, TableName};
use super::rule::{Rule, RuleMatch, Target};

/// One IP packet at a Linux bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The device by which it came into the bridge.
    pub input: String,
    /// The device by which it leaves the bridge; none where it is delivered to this host.
    pub output: Option<String>,
    /// Where the frame is from.
    pub source_mac: MacAddr,
    /// Where the frame goes to.
    pub destination_mac: MacAddr,
    /// Where the packet is from. The destination has the same family.
    pub source: IpAddr,
    /// Where the packet goes to.
    pub destination: IpAddr,
    /// Its protocol.
    pub protocol: IpProtocol,
    /// What follows the IP header.
    pub header: Header,
    /// What conntrack says of it.
    pub state: State,
}

/// The part of the transport header that rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Header {
    /// Of a protocol that has ports.
    Ports {
        /// The source port.
        from: u16,
        /// The destination port.
        to: u16,
    },
    /// ICMP of the packet's family.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
    },
    /// Of any other protocol: nothing.
    Other,
}

/// What conntrack says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It opens a connection, or would.
    New,
    /// It belongs to a connection.
    Established,
    /// It belongs to a connection that was marked, because it has lost what admitted it.
    Revoked,
    /// It is there because of a connection.
    Related,
    /// It belongs to nothing and cannot open anything.
    Invalid,
    /// Conntrack has not looked at it.
    Untracked,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It goes on.
    Accepted,
    /// It is gone.
    Dropped,
    /// No rule of ours has decided; rules of others may.
    Undecided,
}

/// Where the connections of a device's packets are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tracking {
    /// In this zone.
    Zone(CtZone),
    /// Nowhere.
    Off,
}

/// Chains call each other less deeply than this; the kernel refuses those that do so in a circle.
const DEPTH: usize = 16;

/// What the rules of table filter do with the packet.
pub fn verdict(netfilter: &Netfilter, packet: &Packet) -> Verdict {
    let hook = if packet.output.is_some() { "FORWARD" } else { "INPUT" };
    match walk(netfilter, TableName::Filter, hook, packet) {
        Some(Target::Accept) => Verdict::Accepted,
        Some(Target::Drop) => Verdict::Dropped,
        _ => Verdict::Undecided,
    }
}

/// Where the connection of the packet is kept; `None` for where the host keeps its own.
pub fn tracking(netfilter: &Netfilter, packet: &Packet) -> Option<Tracking> {
    match walk(netfilter, TableName::Raw, "PREROUTING", packet) {
        Some(Target::Zone(zone)) => Some(Tracking::Zone(zone)),
        Some(Target::NoTrack) => Some(Tracking::Off),
        _ => None,
    }
}

/// The target that ends the way of the packet through this chain of the kernel.
fn walk(netfilter: &Netfilter, table: TableName, chain: &str, packet: &Packet) -> Option<Target> {
    let table = netfilter.family(packet.family()).0.get(&table)?;
    Walk { sets: &netfilter.sets, table, packet }.through(chain, DEPTH)
}

/// A packet on its way.
struct Walk<'a> {
    sets: &'a BTreeMap<SetName, AddressSet>,
    table: &'a Table,
    packet: &'a Packet,
}

impl Walk<'_> {
    /// The target that ends the way in this chain or in one that it calls; `None` where the packet
    /// comes back.
    fn through(&self, chain: &str, depth: usize) -> Option<Target> {
        let Some(depth) = depth.checked_sub(1) else { return Some(Target::Drop) };
        let rules = self.table.chain(chain).unwrap_or_default();
        for rule in rules.iter().filter(|rule| self.meets(rule)) {
            match &rule.target {
                Target::Return => return None,
                Target::Goto(chain) => return self.through(chain.as_str(), depth),
                Target::Jump(chain) => {
                    if let Some(end) = self.through(chain.as_str(), depth) {
                        return Some(end);
                    }
                }
                end => return Some(end.clone()),
            }
        }
        None
    }

    fn meets(&self, rule: &Rule) -> bool {
        let packet = self.packet;
        rule.source.is_none_or(|prefix| prefix.contains(packet.source))
            && rule.destination.is_none_or(|prefix| prefix.contains(packet.destination))
            // 0 stands for any protocol.
            && rule.protocol.is_none_or(|only| only.0 == 0 || only == packet.protocol)
            && rule.matches.iter().all(|each| self.holds(each))
    }

    fn holds(&self, each: &RuleMatch) -> bool {
        let packet = self.packet;
        let is_input = |device: &String| packet.input == *device;
        let icmp = |wanted: &u8, only: &Option<u8>| {
            matches!(packet.header, Header::Icmp { kind, code }
                if kind == *wanted && only.is_none_or(|only| only == code))
        };
        let ports = match packet.header {
            Header::Ports { from, to } => Some((from, to)),
            _ => None,
        };
        match each {
            RuleMatch::PhysdevIn(device) => is_input(device),
            RuleMatch::BridgedIn(device) => is_input(device) && packet.output.is_some(),
            RuleMatch::BridgedOut(device) => packet.output.as_ref() == Some(device),
            RuleMatch::Udp { from, to } => ports == Some((*from, *to)),
            RuleMatch::Port(range) => ports.is_some_and(|(_, to)| range.contains(to)),
            RuleMatch::Multiport(multiport) => ports
                .is_some_and(|(_, to)| multiport.ranges().iter().any(|range| range.contains(to))),
            // The tools take it for any.
            RuleMatch::Icmp { kind: 255, .. } => packet.protocol == IpProtocol::ICMP,
            RuleMatch::Icmp { kind, code } | RuleMatch::Icmpv6 { kind, code } => icmp(kind, code),
            RuleMatch::SourceMac(mac) => packet.source_mac == *mac,
            RuleMatch::DestinationMac(mac) => packet.destination_mac == *mac,
            RuleMatch::SourceIn(set) => self.is_in(set, packet.source),
            RuleMatch::DestinationIn(set) => self.is_in(set, packet.destination),
            RuleMatch::Revoked => packet.state == State::Revoked,
            RuleMatch::Known => {
                [State::Established, State::Related, State::Revoked].contains(&packet.state)
            }
            RuleMatch::Invalid => packet.state == State::Invalid,
        }
    }

    fn is_in(&self, set: &SetName, address: IpAddr) -> bool {
        let set = self.sets.get(set);
        set.is_some_and(|set| set.prefixes.iter().any(|prefix| prefix.contains(address)))
    }
}

impl Packet {
    fn family(&self) -> EtherType {
        match self.source {
            IpAddr::V4(_) => EtherType::Ipv4,
            IpAddr::V6(_) => EtherType::Ipv6,
        }
    }
}
