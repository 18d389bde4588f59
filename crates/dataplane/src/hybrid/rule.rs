//! Rules as values, and their text.
//!
//! The text of a rule is what `iptables-save` prints for it: sources and destinations first, then
//! the protocol, then the other matches in their order, then the target. So a rule that is
//! installed is compared as text. `iptables` names protocols as the machine's `/etc/protocols`
//! does; [`super::Installed`] brings those to the names used here.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use model::{CtZone, IpProtocol, MacAddr, PortRange, Prefix};

use super::name::{ChainName, SetName};
use crate::bridge::layout::MARK_REVOKED;

/// One rule of a chain: everything that it names must hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// Where the packet comes from.
    pub source: Option<Prefix>,
    /// Where it goes to.
    pub destination: Option<Prefix>,
    /// Its protocol.
    pub protocol: Option<IpProtocol>,
    /// What else must hold.
    pub matches: Vec<RuleMatch>,
    /// What is done then.
    pub target: Target,
}

/// One more thing that a rule may ask of a packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleMatch {
    /// It came into its Linux bridge by this device.
    PhysdevIn(String),
    /// The same, and it is bridged and not delivered to this host.
    BridgedIn(String),
    /// It leaves its Linux bridge by this device.
    BridgedOut(String),
    /// UDP from one port to another.
    Udp {
        /// The source port.
        from: u16,
        /// The destination port.
        to: u16,
    },
    /// Its destination port lies in this range; the rule's protocol is TCP or UDP.
    Port(PortRange),
    /// Its destination port lies in one of these ranges: [`Multiport::ROOM`] counts.
    Multiport(Multiport),
    /// ICMP with this type and, if given, code.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: Option<u8>,
    },
    /// ICMPv6, likewise.
    Icmpv6 {
        /// The type.
        kind: u8,
        /// The code.
        code: Option<u8>,
    },
    /// It has this source MAC address.
    SourceMac(MacAddr),
    /// It has this destination MAC address.
    DestinationMac(MacAddr),
    /// Its source address is in the set.
    SourceIn(SetName),
    /// Its destination address is in the set.
    DestinationIn(SetName),
    /// Its connection has lost what admitted it, and the agent has marked it so (`MARK_REVOKED`).
    Revoked,
    /// It belongs to a connection, or to one because of another.
    Known,
    /// Conntrack cannot say what it belongs to.
    Invalid,
    /// TCP or UDP from and to these ports, as others write it: no rule of ours is like that.
    Ports {
        /// The protocol.
        protocol: IpProtocol,
        /// The source ports.
        from: Option<PortRange>,
        /// The destination ports.
        to: Option<PortRange>,
    },
    /// What others have written there, which asks for nothing.
    Comment(String),
    /// Something that no rule of ours asks and that is not understood.
    Other(String),
}

/// Destination ports of one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Multiport(Vec<PortRange>);

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The packet goes on.
    Accept,
    /// The packet is gone.
    Drop,
    /// Back to where the chain was called from.
    Return,
    /// The chain is called.
    Jump(ChainName),
    /// The chain goes on in place of this one: it returns to where this one was called from.
    Goto(ChainName),
    /// Conntrack looks into this zone.
    Zone(CtZone),
    /// Conntrack does not look.
    NoTrack,
    /// Something that no rule of ours does; nothing where it is empty.
    Other(String),
}

impl Rule {
    /// A rule for every packet.
    pub(super) fn all(target: Target) -> Self {
        Self { source: None, destination: None, protocol: None, matches: Vec::new(), target }
    }

    /// It is for packets from this prefix alone.
    pub(super) fn source(self, prefix: Prefix) -> Self {
        Self { source: Some(prefix).filter(|prefix| !prefix.is_any()), ..self }
    }

    /// It is for packets to this prefix alone.
    pub(super) fn destination(self, prefix: Prefix) -> Self {
        Self { destination: Some(prefix).filter(|prefix| !prefix.is_any()), ..self }
    }

    /// It is for packets of this protocol alone. `iptables` takes 0 for any protocol.
    pub(super) fn protocol(self, protocol: IpProtocol) -> Self {
        Self { protocol: Some(protocol), ..self }
    }

    /// It is for packets alone of which this holds too.
    pub(super) fn with(mut self, another: RuleMatch) -> Self {
        self.matches.push(another);
        self
    }
}

impl Multiport {
    /// How many numbers there is room for in one rule; a range of several ports takes two.
    pub const ROOM: usize = 15;

    /// The ranges in as few rules as there is room in.
    pub(super) fn pack(ranges: impl IntoIterator<Item = PortRange>) -> Vec<Self> {
        let mut rules: Vec<Self> = Vec::new();
        let mut room = 0;
        for range in ranges {
            let takes = if range.low() == range.high() { 1 } else { 2 };
            match rules.last_mut() {
                Some(last) if takes <= room => last.0.push(range),
                _ => {
                    rules.push(Self(vec![range]));
                    room = Self::ROOM;
                }
            }
            room -= takes;
        }
        rules
    }

    /// These ranges in one rule, where they are installed so.
    pub(super) fn exactly(ranges: Vec<PortRange>) -> Self {
        Self(ranges)
    }

    /// The ranges.
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(prefix) = self.source {
            write!(f, "-s {} ", PrefixText(prefix))?;
        }
        if let Some(prefix) = self.destination {
            write!(f, "-d {} ", PrefixText(prefix))?;
        }
        if let Some(protocol) = self.protocol {
            write!(f, "-p {} ", ProtocolText(protocol))?;
        }
        for each in &self.matches {
            write!(f, "{each} ")?;
        }
        self.target.fmt(f)
    }
}

impl fmt::Display for RuleMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = |code: &Option<u8>| code.map(|code| format!("/{code}")).unwrap_or_default();
        match self {
            Self::PhysdevIn(device) => write!(f, "-m physdev --physdev-in {device}"),
            Self::BridgedIn(device) => {
                write!(f, "-m physdev --physdev-in {device} --physdev-is-bridged")
            }
            Self::BridgedOut(device) => {
                write!(f, "-m physdev --physdev-out {device} --physdev-is-bridged")
            }
            // For each port of `-m udp` and `-m tcp`, a number too, iptables asks the resolver, which
            // looks through all addresses of all devices of the host.
            Self::Udp { from, to } => {
                write!(f, "-m multiport --sports {from} -m multiport --dports {to}")
            }
            Self::Port(range) => write!(f, "-m multiport --dports {}", PortsText(*range)),
            Self::Multiport(ports) => {
                f.write_str("-m multiport --dports ")?;
                ports.0.iter().enumerate().try_for_each(|(n, range)| {
                    let comma = if n == 0 { "" } else { "," };
                    write!(f, "{comma}{}", PortsText(*range))
                })
            }
            Self::Icmp { kind, code: only } => {
                write!(f, "-m icmp --icmp-type {kind}{}", code(only))
            }
            Self::Icmpv6 { kind, code: only } => {
                write!(f, "-m icmp6 --icmpv6-type {kind}{}", code(only))
            }
            Self::SourceMac(mac) => write!(f, "-m mac --mac-source {mac}"),
            Self::DestinationMac(mac) => {
                let [a, b, c, d, e, g] = mac.octets();
                let (high, low) = (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, g]));
                write!(
                    f,
                    "-m bpf --bytecode \"6,32 0 0 {FRAME},21 0 3 {high},40 0 0 {},21 0 1 {low},\
                     6 0 0 1,6 0 0 0\"",
                    FRAME + 4
                )
            }
            Self::SourceIn(set) => write!(f, "-m set --match-set {set} src"),
            Self::DestinationIn(set) => write!(f, "-m set --match-set {set} dst"),
            Self::Revoked => {
                write!(f, "-m connmark --mark {MARK_REVOKED:#x}/{MARK_REVOKED:#x}")
            }
            Self::Known => f.write_str("-m conntrack --ctstate RELATED,ESTABLISHED"),
            Self::Invalid => f.write_str("-m conntrack --ctstate INVALID"),
            Self::Ports { protocol, from, to } => {
                write!(f, "-m {}", ProtocolText(*protocol))?;
                for (name, range) in [("--sport", from), ("--dport", to)] {
                    if let Some(range) = range {
                        write!(f, " {name} {}", PortsText(*range))?;
                    }
                }
                Ok(())
            }
            Self::Comment(text) => write!(f, "-m comment --comment {text}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("-j ACCEPT"),
            Self::Drop => f.write_str("-j DROP"),
            Self::Return => f.write_str("-j RETURN"),
            Self::Jump(chain) => write!(f, "-j {chain}"),
            Self::Goto(chain) => write!(f, "-g {chain}"),
            Self::Zone(zone) => write!(f, "-j CT --zone {zone}"),
            Self::NoTrack => f.write_str("-j CT --notrack"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// Where a filter program finds the Ethernet header (`SKF_LL_OFF`). `iptables` has no match for the
/// destination MAC address, so a program of six instructions compares it: the first four octets,
/// then the other two.
pub(super) const FRAME: u32 = 0xffe0_0000;

/// A prefix, always with its length.
struct PrefixText(Prefix);

impl fmt::Display for PrefixText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.address() {
            IpAddr::V4(address) => write!(f, "{address}/{}", self.0.length()),
            IpAddr::V6(address) => match in_ipv4_form(address) {
                Some(text) => write!(f, "{text}/{}", self.0.length()),
                None => write!(f, "{address}/{}", self.0.length()),
            },
        }
    }
}

/// The C library writes the last 32 bits of an IPv6 address as IPv4 where exactly 96 bits before
/// them are zero, or 80 with 16 ones behind. The latter is also Rust's way.
fn in_ipv4_form(address: Ipv6Addr) -> Option<String> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => {
            let [.., a, b, c, d] = address.octets();
            Some(format!("::{a}.{b}.{c}.{d}"))
        }
        _ => None,
    }
}

/// A protocol: by name where every machine has the same name for it, by number otherwise.
pub(super) struct ProtocolText(pub(super) IpProtocol);

/// The protocols that have a name in the text of rules.
const NAMED: [(u8, &str); 7] = [
    (1, "icmp"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (58, "ipv6-icmp"),
    (132, "sctp"),
    (136, "udplite"),
];

impl fmt::Display for ProtocolText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.0;
        match NAMED.iter().find(|(named, _)| *named == number) {
            Some((_, name)) => f.write_str(name),
            None => number.fmt(f),
        }
    }
}

/// One port, or the first and the last of several.
struct PortsText(PortRange);

impl fmt::Display for PortsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.low(), self.0.high()) {
            (low, high) if low == high => low.fmt(f),
            (low, high) => write!(f, "{low}:{high}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(low: u16, high: u16) -> PortRange {
        PortRange::new(low, high).unwrap()
    }

    #[test]
    fn addresses_are_written_as_the_c_library_does() {
        let text = |prefix: &str| PrefixText(prefix.parse().unwrap()).to_string();
        assert_eq!(text("10.0.0.1"), "10.0.0.1/32");
        assert_eq!(text("::102:304"), "::1.2.3.4/128");
        assert_eq!(text("::1:2"), "::0.1.0.2/128");
        assert_eq!(text("::1"), "::1/128");
        assert_eq!(text("::2:0:0"), "::2:0:0/128");
        assert_eq!(text("::ffff:1.2.3.4"), "::ffff:1.2.3.4/128");
        assert_eq!(text("64:ff9b::102:304"), "64:ff9b::102:304/128");
        assert_eq!(text("fe80::/10"), "fe80::/10");
    }

    #[test]
    fn a_rule_has_room_for_fifteen_numbers() {
        let singles = (0..31).map(|n| range(2 * n, 2 * n));
        let sizes: Vec<usize> =
            Multiport::pack(singles).iter().map(|rule| rule.ranges().len()).collect();
        assert_eq!(sizes, [15, 15, 1]);
        let ranges = (0..8).map(|n| range(10 * n, 10 * n + 1));
        let sizes: Vec<usize> =
            Multiport::pack(ranges).iter().map(|rule| rule.ranges().len()).collect();
        assert_eq!(sizes, [7, 1]);
        assert!(Multiport::pack([]).is_empty());
    }
}
