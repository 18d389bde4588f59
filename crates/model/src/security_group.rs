//! Security groups, their rules, and address groups.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::{AddressGroupId, Prefix, SecurityGroupId, SecurityGroupRuleId};

/// The direction of traffic as seen from the virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Towards the virtual machine.
    Ingress,
    /// From the virtual machine.
    Egress,
}

/// The family of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EtherType {
    /// 0x0800.
    Ipv4,
    /// 0x86dd.
    Ipv6,
}

/// An IP protocol number, 0 to 255.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpProtocol(pub u8);

/// Text that is no value of its field of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {wanted}")]
pub struct ParseRuleValueError {
    /// What was given.
    pub text: String,
    /// What it should have been.
    pub wanted: &'static str,
}

/// Neutron's protocol names (neutron-lib `IP_PROTOCOL_MAP`); the first of a number is canonical.
const PROTOCOL_NAMES: [(&str, u8); 24] = [
    ("ah", 51),
    ("dccp", 33),
    ("egp", 8),
    ("esp", 50),
    ("gre", 47),
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("ipv6-encap", 41),
    ("ipv6-frag", 44),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("ipv6-route", 43),
    ("ospf", 89),
    ("pgm", 113),
    ("rsvp", 46),
    ("sctp", 132),
    ("tcp", 6),
    ("udp", 17),
    ("udplite", 136),
    ("vrrp", 112),
    ("hopopt", 0),
];

impl IpProtocol {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// DCCP.
    pub const DCCP: Self = Self(33);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// UDP-Lite.
    pub const UDPLITE: Self = Self(136);

    /// Neutron's name of it, where it has one.
    pub fn name(self) -> Option<&'static str> {
        PROTOCOL_NAMES.iter().find(|(_, number)| *number == self.0).map(|(name, _)| *name)
    }

    /// Whether its header has a destination port.
    pub fn has_ports(self) -> bool {
        [Self::TCP, Self::UDP, Self::SCTP, Self::DCCP, Self::UDPLITE].contains(&self)
    }
}

impl fmt::Display for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Debug for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for IpProtocol {
    type Err = ParseRuleValueError;

    /// A number, or one of Neutron's names in lower case.
    fn from_str(text: &str) -> Result<Self, ParseRuleValueError> {
        PROTOCOL_NAMES
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, number)| *number)
            .or_else(|| text.parse().ok())
            .map(Self)
            .ok_or_else(|| ParseRuleValueError {
                text: text.to_owned(),
                wanted: "an IP protocol (a name, or a number from 0 to 255)",
            })
    }
}

/// Destination ports from `low` to `high`, both included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    low: u16,
    high: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self { low: 0, high: u16::MAX };

    /// # Errors
    ///
    /// [`RuleError::ReversedPorts`] where `low` is more than `high`.
    pub const fn new(low: u16, high: u16) -> Result<Self, RuleError> {
        if low <= high {
            Ok(Self { low, high })
        } else {
            Err(RuleError::ReversedPorts { low, high })
        }
    }

    /// The lowest port.
    pub const fn low(self) -> u16 {
        self.low
    }

    /// The highest port.
    pub const fn high(self) -> u16 {
        self.high
    }

    /// Whether the port lies in it.
    pub const fn contains(self, port: u16) -> bool {
        self.low <= port && port <= self.high
    }
}

impl fmt::Debug for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.low, self.high)
    }
}

/// What a rule says of the packet behind its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Nothing: every IP packet of the family.
    Any,
    /// One protocol, all of it.
    Protocol(IpProtocol),
    /// One protocol with ports, and some of its destination ports.
    Ports {
        /// TCP, UDP, SCTP, DCCP or UDP-Lite.
        protocol: IpProtocol,
        /// The destination ports.
        range: PortRange,
    },
    /// ICMP of the rule's family with this type and, if given, code.
    Icmp {
        /// The ICMP type.
        kind: u8,
        /// The ICMP code.
        code: Option<u8>,
    },
}

/// Who is on the other side: the source for ingress, the destination for egress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remote {
    /// Anybody.
    Any,
    /// An address in the prefix.
    Prefix(Prefix),
    /// A member of the security group, on whatever network.
    Group(SecurityGroupId),
    /// An address of the address group.
    AddressGroup(AddressGroupId),
}

/// Values that do not make a rule together.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The first port is above the last.
    #[error("port range {low}-{high} is reversed")]
    ReversedPorts {
        /// The first port.
        low: u16,
        /// The last port.
        high: u16,
    },
    /// The remote prefix has another family than the rule.
    #[error("remote prefix {prefix} is not {ethertype}")]
    RemoteFamily {
        /// The prefix.
        prefix: Prefix,
        /// The family of the rule.
        ethertype: EtherType,
    },
    /// Ports of a protocol that has none.
    #[error("protocol {protocol} has no ports")]
    NoPorts {
        /// The protocol.
        protocol: IpProtocol,
    },
}

/// One permission. Rules only ever allow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecurityGroupRule {
    id: SecurityGroupRuleId,
    direction: Direction,
    ethertype: EtherType,
    transport: Transport,
    remote: Remote,
}

impl SecurityGroupRule {
    /// The rule with these values. ICMP by either number becomes the one of the family, an
    /// any-prefix becomes [`Remote::Any`], all ports become the whole protocol.
    ///
    /// # Errors
    ///
    /// [`RuleError::RemoteFamily`] and [`RuleError::NoPorts`].
    pub fn new(
        id: SecurityGroupRuleId,
        direction: Direction,
        ethertype: EtherType,
        transport: Transport,
        remote: Remote,
    ) -> Result<Self, RuleError> {
        let transport = match transport {
            Transport::Protocol(IpProtocol::ICMP) if ethertype == EtherType::Ipv6 => {
                Transport::Protocol(IpProtocol::ICMPV6)
            }
            Transport::Ports { protocol, .. } if !protocol.has_ports() => {
                return Err(RuleError::NoPorts { protocol });
            }
            Transport::Ports { protocol, range: PortRange::ALL } => Transport::Protocol(protocol),
            other => other,
        };
        let remote = match remote {
            Remote::Prefix(prefix) if prefix.ethertype() != ethertype => {
                return Err(RuleError::RemoteFamily { prefix, ethertype });
            }
            Remote::Prefix(prefix) if prefix.is_any() => Remote::Any,
            other => other,
        };
        Ok(Self { id, direction, ethertype, transport, remote })
    }

    /// Its id.
    pub fn id(&self) -> SecurityGroupRuleId {
        self.id
    }

    /// Its direction.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Its family.
    pub fn ethertype(&self) -> EtherType {
        self.ethertype
    }

    /// What it says of the packet behind the addresses.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Who is on the other side.
    pub fn remote(&self) -> Remote {
        self.remote
    }
}

impl EtherType {
    /// The number in the Ethernet header.
    pub const fn number(self) -> u16 {
        match self {
            Self::Ipv4 => 0x0800,
            Self::Ipv6 => 0x86dd,
        }
    }

    /// The protocol number of ICMP in this family.
    pub const fn icmp(self) -> IpProtocol {
        match self {
            Self::Ipv4 => IpProtocol::ICMP,
            Self::Ipv6 => IpProtocol::ICMPV6,
        }
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

impl FromStr for EtherType {
    type Err = ParseRuleValueError;

    fn from_str(text: &str) -> Result<Self, ParseRuleValueError> {
        match text {
            "IPv4" => Ok(Self::Ipv4),
            "IPv6" => Ok(Self::Ipv6),
            _ => Err(ParseRuleValueError { text: text.to_owned(), wanted: "IPv4 or IPv6" }),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

impl FromStr for Direction {
    type Err = ParseRuleValueError;

    fn from_str(text: &str) -> Result<Self, ParseRuleValueError> {
        match text {
            "ingress" => Ok(Self::Ingress),
            "egress" => Ok(Self::Egress),
            _ => Err(ParseRuleValueError { text: text.to_owned(), wanted: "ingress or egress" }),
        }
    }
}

/// A security group: its rules in both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// Its rules.
    pub rules: BTreeSet<SecurityGroupRule>,
    /// Whether replies pass without a rule (`stateful`).
    pub stateful: bool,
}

/// A named set of prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressGroup {
    /// Its id.
    pub id: AddressGroupId,
    /// Its addresses.
    pub addresses: BTreeSet<Prefix>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(
        ethertype: EtherType,
        transport: Transport,
        remote: Remote,
    ) -> Result<SecurityGroupRule, RuleError> {
        let id = SecurityGroupRuleId::random();
        SecurityGroupRule::new(id, Direction::Ingress, ethertype, transport, remote)
    }

    #[test]
    fn rules_are_canonical() {
        let icmp = Transport::Protocol(IpProtocol::ICMP);
        let any6 = Remote::Prefix("::/0".parse().unwrap());
        let made = rule(EtherType::Ipv6, icmp, any6).unwrap();
        assert_eq!(made.transport(), Transport::Protocol(IpProtocol::ICMPV6));
        assert_eq!(made.remote(), Remote::Any);
        let all = Transport::Ports { protocol: IpProtocol::TCP, range: PortRange::ALL };
        let made = rule(EtherType::Ipv4, all, Remote::Any).unwrap();
        assert_eq!(made.transport(), Transport::Protocol(IpProtocol::TCP));
    }

    #[test]
    fn impossible_rules_are_refused() {
        let six = Remote::Prefix("2001:db8::/32".parse().unwrap());
        assert_eq!(
            rule(EtherType::Ipv4, Transport::Any, six).unwrap_err().to_string(),
            "remote prefix 2001:db8::/32 is not IPv4"
        );
        let gre = Transport::Ports { protocol: IpProtocol(47), range: PortRange::ALL };
        assert_eq!(
            rule(EtherType::Ipv4, gre, Remote::Any).unwrap_err().to_string(),
            "protocol gre has no ports"
        );
        assert!(PortRange::new(2, 1).is_err());
    }

    #[test]
    fn protocol_text() {
        assert_eq!("icmpv6".parse(), Ok(IpProtocol::ICMPV6));
        assert_eq!(IpProtocol::ICMPV6.to_string(), "ipv6-icmp");
        assert_eq!("0".parse(), Ok(IpProtocol(0)));
        assert_eq!("255".parse(), Ok(IpProtocol(255)));
        assert_eq!(IpProtocol(255).to_string(), "255");
        for bad in ["256", "-1", "TCP ", ""] {
            assert!(bad.parse::<IpProtocol>().is_err(), "{bad}");
        }
    }
}
