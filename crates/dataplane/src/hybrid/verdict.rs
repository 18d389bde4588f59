//! What becomes of one packet: the chains walked as netfilter walks them.
//!
//! Nothing is looked up by what a chain is for; only rules count. So what is proved of these
//! verdicts is true of the rules.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use model::{CtZone, EtherType, IpProtocol, MacAddr};

use super::name::{ChainName, SetName};
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
    /// It meets a rule of others that is not understood.
    Unknown,
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
/// Targets of others that let a packet go on.
const GO_ON: [&str; 4] = ["LOG", "NFLOG", "TRACE", "MARK"];

/// What the rules of table filter do with the packet.
pub fn verdict(netfilter: &Netfilter, packet: &Packet) -> Verdict {
    walk(netfilter, TableName::Filter, packet, |_, _| {}).verdict()
}

/// Where the connection of the packet is kept; `None` for where the host keeps its own.
pub fn tracking(netfilter: &Netfilter, packet: &Packet) -> Option<Tracking> {
    walk(netfilter, TableName::Raw, packet, |_, _| {}).tracking()
}

/// How the way of a packet through a table ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End<'a> {
    /// It comes back to the chain of the kernel.
    Back,
    /// With this.
    Target(&'a Target),
    /// With a rule that is not understood.
    Unknown,
}

impl End<'_> {
    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Target(Target::Accept) => Verdict::Accepted,
            Self::Target(Target::Drop) => Verdict::Dropped,
            Self::Target(Target::Other(text)) if is_refusal(text) => Verdict::Dropped,
            Self::Back => Verdict::Undecided,
            Self::Target(_) | Self::Unknown => Verdict::Unknown,
        }
    }

    pub(super) fn tracking(self) -> Option<Tracking> {
        match self {
            Self::Target(Target::Zone(zone)) => Some(Tracking::Zone(*zone)),
            Self::Target(Target::NoTrack) => Some(Tracking::Off),
            _ => None,
        }
    }
}

/// How the way of the packet through a table ends; `meet` is told of each rule that it meets.
pub(super) fn walk<'a>(
    netfilter: &'a Netfilter,
    table: TableName,
    packet: &Packet,
    meet: impl FnMut(&'a ChainName, &'a Rule),
) -> End<'a> {
    let hook = match table {
        TableName::Raw | TableName::Nat => "PREROUTING",
        TableName::Filter if packet.output.is_some() => "FORWARD",
        TableName::Filter => "INPUT",
    };
    let Some(table) = netfilter.family(packet.family()).0.get(&table) else { return End::Back };
    Walk { sets: &netfilter.sets, table, packet, meet }.through(hook, DEPTH)
}

/// A packet on its way.
struct Walk<'a, 'b, M> {
    sets: &'a BTreeMap<SetName, AddressSet>,
    table: &'a Table,
    packet: &'b Packet,
    meet: M,
}

impl<'a, M: FnMut(&'a ChainName, &'a Rule)> Walk<'a, '_, M> {
    /// How the way ends in this chain or in one that it calls.
    fn through(&mut self, chain: &str, depth: usize) -> End<'a> {
        let Some(depth) = depth.checked_sub(1) else { return End::Target(&Target::Drop) };
        let Some((chain, rules)) = self.table.named(chain) else { return End::Back };
        for rule in rules {
            match self.meets(rule) {
                Some(false) => continue,
                Some(true) => (self.meet)(chain, rule),
                None => {
                    (self.meet)(chain, rule);
                    return End::Unknown;
                }
            }
            match &rule.target {
                Target::Return => return End::Back,
                Target::Goto(chain) => return self.through(chain.as_str(), depth),
                Target::Jump(chain) => match self.through(chain.as_str(), depth) {
                    End::Back => {}
                    end => return end,
                },
                Target::Other(text) if goes_on(text) => {}
                Target::Other(text) if !is_refusal(text) => return End::Unknown,
                end => return End::Target(end),
            }
        }
        End::Back
    }

    /// Whether the rule is for the packet; `None` where that is not known.
    fn meets(&self, rule: &Rule) -> Option<bool> {
        let packet = self.packet;
        let is_for = rule.source.is_none_or(|prefix| prefix.contains(packet.source))
            && rule.destination.is_none_or(|prefix| prefix.contains(packet.destination))
            // 0 stands for any protocol.
            && rule.protocol.is_none_or(|only| only.0 == 0 || only == packet.protocol);
        if !is_for {
            return Some(false);
        }
        let mut is_known = true;
        for each in &rule.matches {
            match self.holds(each) {
                Some(false) => return Some(false),
                Some(true) => {}
                None => is_known = false,
            }
        }
        is_known.then_some(true)
    }

    fn holds(&self, each: &RuleMatch) -> Option<bool> {
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
        let holds = match each {
            RuleMatch::PhysdevIn(device) => is_input(device),
            RuleMatch::BridgedIn(device) => is_input(device) && packet.output.is_some(),
            RuleMatch::BridgedOut(device) => packet.output.as_ref() == Some(device),
            RuleMatch::Udp { from, to } => ports == Some((*from, *to)),
            RuleMatch::Port(range) => ports.is_some_and(|(_, to)| range.contains(to)),
            RuleMatch::Multiport(multiport) => ports
                .is_some_and(|(_, to)| multiport.ranges().iter().any(|range| range.contains(to))),
            RuleMatch::Ports { protocol, from: source, to: destination } => {
                packet.protocol == *protocol
                    && ports.is_some_and(|(from, to)| {
                        source.is_none_or(|range| range.contains(from))
                            && destination.is_none_or(|range| range.contains(to))
                    })
            }
            // The tools take it for any.
            RuleMatch::Icmp { kind: 255, .. } => packet.protocol == IpProtocol::ICMP,
            RuleMatch::Icmp { kind, code } | RuleMatch::Icmpv6 { kind, code } => icmp(kind, code),
            RuleMatch::SourceMac(mac) => packet.source_mac == *mac,
            RuleMatch::DestinationMac(mac) => packet.destination_mac == *mac,
            RuleMatch::SourceIn(set) => return self.is_in(set, packet.source),
            RuleMatch::DestinationIn(set) => return self.is_in(set, packet.destination),
            RuleMatch::Revoked => packet.state == State::Revoked,
            RuleMatch::Known => {
                [State::Established, State::Related, State::Revoked].contains(&packet.state)
            }
            RuleMatch::Invalid => packet.state == State::Invalid,
            RuleMatch::Comment(_) => true,
            RuleMatch::Other(_) => return None,
        };
        Some(holds)
    }

    /// Nothing is known of a set that is not as ours are.
    fn is_in(&self, set: &SetName, address: IpAddr) -> Option<bool> {
        let set = self.sets.get(set)?;
        Some(set.prefixes.iter().any(|prefix| prefix.contains(address)))
    }
}

/// The name of the target in the text of a rule.
fn target(text: &str) -> &str {
    let mut words = text.split(' ').skip_while(|word| *word != "-j");
    words.nth(1).unwrap_or_default()
}

fn goes_on(text: &str) -> bool {
    text.is_empty() || GO_ON.contains(&target(text))
}

fn is_refusal(text: &str) -> bool {
    target(text) == "REJECT"
}

impl fmt::Display for Packet {
    /// As `ovs-appctl ofproto/trace` takes a packet, where it knows the protocol's ports.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is_ipv4, protocol) = (self.source.is_ipv4(), self.protocol);
        let name = match (is_ipv4, protocol) {
            (true, IpProtocol::TCP) => "tcp",
            (true, IpProtocol::UDP) => "udp",
            (true, IpProtocol::SCTP) => "sctp",
            (true, IpProtocol::ICMP) => "icmp",
            (true, _) => "ip",
            (false, IpProtocol::TCP) => "tcp6",
            (false, IpProtocol::UDP) => "udp6",
            (false, IpProtocol::SCTP) => "sctp6",
            (false, IpProtocol::ICMPV6) => "icmp6",
            (false, _) => "ipv6",
        };
        let address = if is_ipv4 { "nw" } else { "ipv6" };
        write!(f, "{name},dl_src={},dl_dst={},", self.source_mac, self.destination_mac)?;
        write!(f, "{address}_src={},{address}_dst={}", self.source, self.destination)?;
        if ["ip", "ipv6"].contains(&name) {
            write!(f, ",nw_proto={}", protocol.0)?;
        }
        match self.header {
            Header::Ports { from, to } => write!(f, ",tp_src={from},tp_dst={to}"),
            Header::Icmp { kind, code } => write!(f, ",icmp_type={kind},icmp_code={code}"),
            Header::Other => Ok(()),
        }
    }
}

impl Packet {
    /// Its family.
    pub fn family(&self) -> EtherType {
        match self.source {
            IpAddr::V4(_) => EtherType::Ipv4,
            IpAddr::V6(_) => EtherType::Ipv6,
        }
    }
}
