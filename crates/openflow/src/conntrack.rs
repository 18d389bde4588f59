//! Connections as conntrack names them.

use std::fmt;
use std::net::IpAddr;

/// One direction of a connection: enough to find it within a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CtTuple {
    /// Who sends.
    pub src: IpAddr,
    /// Who receives; of the family of `src`.
    pub dst: IpAddr,
    /// The IP protocol.
    pub protocol: u8,
    /// What tells connections of the same two apart.
    pub transport: CtTransport,
}

/// What tells connections of the same protocol between the same two apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CtTransport {
    /// TCP, UDP and their like.
    Ports {
        /// The sender's.
        src: u16,
        /// The receiver's.
        dst: u16,
    },
    /// ICMP and ICMPv6.
    Icmp {
        /// The identifier of an echo; 0 for what has none.
        id: u16,
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
    },
    /// Nothing that conntrack knows.
    None,
}

impl fmt::Display for CtTuple {
    /// In the syntax of `ovs-ofctl ct-flush` and of `ovs-appctl dpctl/flush-conntrack`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.src.is_ipv4() { "nw" } else { "ipv6" };
        let Self { src, dst, protocol, .. } = self;
        write!(f, "ct_{family}_src={src},ct_{family}_dst={dst},ct_nw_proto={protocol}")?;
        match self.transport {
            CtTransport::Ports { src, dst } => write!(f, ",ct_tp_src={src},ct_tp_dst={dst}"),
            CtTransport::Icmp { id, kind, code } => {
                write!(f, ",icmp_id={id},icmp_type={kind},icmp_code={code}")
            }
            CtTransport::None => Ok(()),
        }
    }
}
