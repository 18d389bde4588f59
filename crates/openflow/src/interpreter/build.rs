//! Making packets: one method for each header, from the outside in.

use super::packet::{
    ADVERTISEMENT, ETH_TYPE_ARP, ETH_TYPE_IPV4, ETH_TYPE_IPV6, ICMPV4, ICMPV6, Packet, SCTP,
    SOLICITATION, TAG_PRESENT, TCP, UDP,
};
use crate::{
    field::Field,
    matching::{CtState, from_bytes},
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Time to live of a packet for which none is given.
const TTL: u128 = 64;

/// The contents of an ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub op: u16,
    /// Ethernet address of the sender.
    pub sha: [u8; 6],
    /// IPv4 address of the sender.
    pub spa: Ipv4Addr,
    /// Ethernet address of the target.
    pub tha: [u8; 6],
    /// IPv4 address of the target.
    pub tpa: Ipv4Addr,
}

/// Which part of a packet a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fragment {
    /// The first, with the transport header.
    First,
    /// A later one.
    Later,
}

impl Packet {
    /// With any field. Where it belongs to a protocol, that is for the caller to set.
    #[must_use]
    pub fn with(mut self, field: Field, value: u128) -> Self {
        self.set(field, value);
        self
    }

    /// From an Ethernet address.
    #[must_use]
    pub fn eth_src(self, mac: [u8; 6]) -> Self {
        self.with(Field::ETH_SRC, from_bytes(&mac))
    }

    /// To an Ethernet address.
    #[must_use]
    pub fn eth_dst(self, mac: [u8; 6]) -> Self {
        self.with(Field::ETH_DST, from_bytes(&mac))
    }

    /// Of an ethertype.
    #[must_use]
    pub fn eth_type(self, eth_type: u16) -> Self {
        self.with(Field::ETH_TYPE, eth_type.into())
    }

    /// In a VLAN, 0 to 4095: with one more tag.
    #[must_use]
    pub fn vlan(mut self, vlan: u16) -> Self {
        self.push_tag();
        self.with(Field::VLAN_VID, u128::from(vlan) | TAG_PRESENT)
    }

    /// ARP; RARP with [`eth_type`](Self::eth_type) 0x8035 behind it.
    #[must_use]
    pub fn arp(self, arp: Arp) -> Self {
        self.with(Field::ETH_TYPE, ETH_TYPE_ARP)
            .with(Field::ARP_OP, arp.op.into())
            .with(Field::ARP_SHA, from_bytes(&arp.sha))
            .with(Field::ARP_SPA, arp.spa.to_bits().into())
            .with(Field::ARP_THA, from_bytes(&arp.tha))
            .with(Field::ARP_TPA, arp.tpa.to_bits().into())
    }

    /// IPv4, with a time to live of 64.
    #[must_use]
    pub fn ipv4(self, src: impl Into<Ipv4Addr>, dst: impl Into<Ipv4Addr>) -> Self {
        self.with(Field::ETH_TYPE, ETH_TYPE_IPV4)
            .with(Field::IP_TTL, TTL)
            .with(Field::IPV4_SRC, src.into().to_bits().into())
            .with(Field::IPV4_DST, dst.into().to_bits().into())
    }

    /// IPv6, with a hop limit of 64.
    #[must_use]
    pub fn ipv6(self, src: impl Into<Ipv6Addr>, dst: impl Into<Ipv6Addr>) -> Self {
        self.with(Field::ETH_TYPE, ETH_TYPE_IPV6)
            .with(Field::IP_TTL, TTL)
            .with(Field::IPV6_SRC, src.into().to_bits())
            .with(Field::IPV6_DST, dst.into().to_bits())
    }

    /// Of an IP protocol.
    #[must_use]
    pub fn ip_proto(self, proto: u8) -> Self {
        self.with(Field::IP_PROTO, proto.into())
    }

    /// With a time to live, or hop limit.
    #[must_use]
    pub fn ttl(self, ttl: u8) -> Self {
        self.with(Field::IP_TTL, ttl.into())
    }

    /// A fragment of an IP packet.
    #[must_use]
    pub fn fragment(self, fragment: Fragment) -> Self {
        let bits = match fragment {
            Fragment::First => 1,
            Fragment::Later => 3,
        };
        self.with(Field::IP_FRAG, bits)
    }

    /// TCP between two ports, behind the IP header.
    #[must_use]
    pub fn tcp(self, src: u16, dst: u16) -> Self {
        self.with(Field::IP_PROTO, TCP)
            .with(Field::TCP_SRC, src.into())
            .with(Field::TCP_DST, dst.into())
    }

    /// With TCP flags, bit 0 FIN, 1 SYN, 2 RST, 4 ACK.
    #[must_use]
    pub fn tcp_flags(self, flags: u16) -> Self {
        self.with(Field::TCP_FLAGS, flags.into())
    }

    /// UDP between two ports, behind the IP header.
    #[must_use]
    pub fn udp(self, src: u16, dst: u16) -> Self {
        self.with(Field::IP_PROTO, UDP)
            .with(Field::UDP_SRC, src.into())
            .with(Field::UDP_DST, dst.into())
    }

    /// SCTP between two ports, behind the IP header.
    #[must_use]
    pub fn sctp(self, src: u16, dst: u16) -> Self {
        self.with(Field::IP_PROTO, SCTP)
            .with(Field::SCTP_SRC, src.into())
            .with(Field::SCTP_DST, dst.into())
    }

    /// ICMP behind the IPv4 header, ICMPv6 behind the IPv6 header.
    #[must_use]
    pub fn icmp(self, icmp_type: u8, code: u8) -> Self {
        let (proto, type_field, code_field) = if self.get(Field::ETH_TYPE) == ETH_TYPE_IPV6 {
            (ICMPV6, Field::ICMPV6_TYPE, Field::ICMPV6_CODE)
        } else {
            (ICMPV4, Field::ICMPV4_TYPE, Field::ICMPV4_CODE)
        };
        self.with(Field::IP_PROTO, proto)
            .with(type_field, icmp_type.into())
            .with(code_field, code.into())
    }

    /// A neighbour solicitation behind the IPv6 header, with the sender's Ethernet address.
    #[must_use]
    pub fn neighbour_solicitation(self, target: Ipv6Addr, mac: [u8; 6]) -> Self {
        let packet = self.neighbour(SOLICITATION, target).with(Field::ND_OPTIONS_TYPE, 1);
        packet.with(Field::ND_SLL, from_bytes(&mac))
    }

    /// A neighbour advertisement behind the IPv6 header, with the target's Ethernet address.
    #[must_use]
    pub fn neighbour_advertisement(self, target: Ipv6Addr, mac: [u8; 6]) -> Self {
        let packet = self.neighbour(ADVERTISEMENT, target).with(Field::ND_OPTIONS_TYPE, 2);
        packet.with(Field::ND_TLL, from_bytes(&mac))
    }

    /// As it is when connection tracking has seen it.
    #[must_use]
    pub fn tracked(self, zone: u16, state: CtState, mark: u32) -> Self {
        self.with(Field::CT_STATE, (state | CtState::TRK).0.into())
            .with(Field::CT_ZONE, zone.into())
            .with(Field::CT_MARK, mark.into())
    }

    fn neighbour(self, icmp_type: u128, target: Ipv6Addr) -> Self {
        self.with(Field::IP_PROTO, ICMPV6)
            .with(Field::ICMPV6_TYPE, icmp_type)
            .with(Field::ICMPV6_CODE, 0)
            .with(Field::ND_TARGET, target.to_bits())
    }
}
