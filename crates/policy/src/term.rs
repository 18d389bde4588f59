//! The canonical policy: what the compiler makes and the drivers lower.

use std::collections::BTreeSet;
use std::fmt;

use model::{EtherType, IpProtocol, PortRange, Remote};

use crate::{L4, Members, Packet, space};

/// What a set of security groups admits in one direction: everything that a term admits. It has
/// one text, one term a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Policy {
    /// The terms. They may overlap, and their order means nothing.
    pub terms: BTreeSet<Term>,
}

/// One permission that a switch can match with one value and mask per field, members aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term {
    /// The family.
    pub ethertype: EtherType,
    /// Who is on the other side.
    pub remote: Remote,
    /// What follows the addresses.
    pub transport: TermMatch,
}

/// What a term says of the packet behind its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TermMatch {
    /// Nothing.
    Any,
    /// One protocol, all of it.
    Protocol(IpProtocol),
    /// One protocol with ports, and the destination ports that equal the value where the mask
    /// has ones. The value is zero where the mask is, and the mask is not zero.
    Port {
        /// TCP, UDP, SCTP, DCCP or UDP-Lite.
        protocol: IpProtocol,
        /// The value.
        value: u16,
        /// The bits that count.
        mask: u16,
    },
    /// ICMP of the term's family with this type and, if given, code.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: Option<u8>,
    },
}

impl Policy {
    /// A term that admits the packet, or `None` where it is to be dropped.
    pub fn admits(&self, members: &Members, packet: &Packet) -> Option<Term> {
        self.terms.iter().find(|term| term.admits(members, packet)).copied()
    }
}

impl Term {
    /// Whether it admits the packet.
    pub fn admits(&self, members: &Members, packet: &Packet) -> bool {
        self.ethertype == packet.ethertype()
            && self.transport.holds(packet)
            && members.is_remote(self.remote, packet)
    }
}

impl TermMatch {
    /// The destination ports that it admits, as ranges, where it tells ports apart.
    pub fn ports(self) -> Vec<PortRange> {
        if !matches!(self, Self::Port { .. }) {
            return Vec::new();
        }
        // Only ICMP depends on the family.
        let ranges = space::of_term(EtherType::Ipv4, self);
        ranges
            .iter()
            .filter_map(|range| PortRange::new(range.low as u16, range.high as u16).ok())
            .collect()
    }

    fn holds(self, packet: &Packet) -> bool {
        match self {
            Self::Any => true,
            Self::Protocol(protocol) => packet.protocol == protocol,
            Self::Port { protocol, value, mask } => {
                packet.protocol == protocol
                    && matches!(packet.l4, L4::Ports { dst } if dst & mask == value)
            }
            Self::Icmp { kind, code } => {
                packet.protocol == packet.ethertype().icmp()
                    && matches!(packet.l4, L4::Icmp { kind: k, code: c }
                        if k == kind && code.is_none_or(|code| code == c))
            }
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.terms.iter().try_for_each(|term| writeln!(f, "{term}"))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.ethertype)?;
        match self.remote {
            Remote::Any => f.write_str("anybody ")?,
            Remote::Prefix(prefix) => write!(f, "{prefix} ")?,
            Remote::Group(id) => write!(f, "group {id} ")?,
            Remote::AddressGroup(id) => write!(f, "address group {id} ")?,
        }
        self.transport.fmt(f)
    }
}

impl fmt::Display for TermMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Any => f.write_str("anything"),
            Self::Protocol(protocol) => protocol.fmt(f),
            Self::Port { protocol, value, mask: u16::MAX } => write!(f, "{protocol} {value}"),
            Self::Port { protocol, value, mask } => write!(f, "{protocol} {value}/{mask:#06x}"),
            Self::Icmp { kind, code: None } => write!(f, "icmp type {kind}"),
            Self::Icmp { kind, code: Some(code) } => write!(f, "icmp type {kind} code {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_ranges_whatever_the_mask() {
        let ports = |value, mask| {
            let ranges = TermMatch::Port { protocol: IpProtocol::TCP, value, mask }.ports();
            ranges.iter().map(|range| (range.low(), range.high())).collect::<Vec<_>>()
        };
        assert_eq!(ports(80, u16::MAX), [(80, 80)]);
        assert_eq!(ports(80, 0xfff8), [(80, 87)]);
        assert_eq!(ports(0x8000, 0x8000), [(0x8000, u16::MAX)]);
        assert_eq!(ports(4, 0xfffd), [(4, 4), (6, 6)]);
        assert!(TermMatch::Any.ports().is_empty());
        assert!(TermMatch::Icmp { kind: 8, code: None }.ports().is_empty());
    }
}
