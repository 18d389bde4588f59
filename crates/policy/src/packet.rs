//! One packet, as far as rules can see it. Its direction is given beside it.

use std::fmt;
use std::net::IpAddr;

use model::{EtherType, IpProtocol, MacAddr};

/// One packet in one direction. Its family is that of the remote address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packet {
    /// The address of the other side: the source for ingress, the destination for egress.
    pub remote: IpAddr,
    /// The Ethernet address that came with it, where it is known.
    pub remote_mac: Option<MacAddr>,
    /// The IP protocol.
    pub protocol: IpProtocol,
    /// What follows the IP header; it has the form that belongs to the protocol.
    pub l4: L4,
}

/// The part of the transport header that rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum L4 {
    /// Of a protocol that has ports.
    Ports {
        /// The destination port.
        dst: u16,
    },
    /// ICMP of the packet's family.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
    },
    /// Of any other protocol: nothing.
    None,
}

impl Packet {
    /// The family.
    pub fn ethertype(&self) -> EtherType {
        match self.remote {
            IpAddr::V4(_) => EtherType::Ipv4,
            IpAddr::V6(_) => EtherType::Ipv6,
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.remote)?;
        if let Some(mac) = self.remote_mac {
            write!(f, " ({mac})")?;
        }
        write!(f, " {}", self.protocol)?;
        match self.l4 {
            L4::Ports { dst } => write!(f, " {dst}"),
            L4::Icmp { kind, code } => write!(f, " type {kind} code {code}"),
            L4::None => Ok(()),
        }
    }
}
