//! Ethernet frames, built from their parts, with checksums that conntrack accepts; and read, as
//! far as it takes to tell whose they are.
//!
//! For tests that must say exactly what a machine sends, also what no kernel would send. Nothing
//! is checked: a frame may claim any source.

mod read;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::icmp::checksum;

pub use read::{Read, Tunnelled, read};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// EtherTypes, IP protocols and UDP ports that are known here.
pub mod number {
    #![expect(missing_docs, reason = "each is named as IEEE or IANA name it")]

    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const RARP: u16 = 0x8035;
    pub const VLAN: u16 = 0x8100;
    pub const TRANSPARENT_ETHERNET_BRIDGING: u16 = 0x6558;
    pub const IPV6: u16 = 0x86dd;

    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const GRE: u8 = 47;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;

    pub const VXLAN_PORT: u16 = 4789;
    pub const GENEVE_PORT: u16 = 6081;
}

/// TCP flags (RFC 9293 § 3.1).
pub mod flag {
    #![expect(missing_docs, reason = "each is named as the RFC names it")]

    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const ACK: u8 = 0x10;
}

/// A frame without a VLAN tag.
pub fn ethernet(source: Mac, destination: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &source, &ethertype.to_be_bytes(), payload].concat()
}

/// The frame with an 802.1Q tag in front of its EtherType.
pub fn tagged(vlan: u16, frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(frame.len().min(12));
    [addresses, &number::VLAN.to_be_bytes(), &vlan.to_be_bytes(), rest].concat()
}

/// ARP (RFC 826) or RARP for IPv4 over Ethernet: operation 1 asks, 2 answers, 3 asks the reverse.
pub fn arp(operation: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend_from_slice(&operation.to_be_bytes());
    for (mac, address) in [sender, target] {
        packet.extend_from_slice(&mac);
        packet.extend_from_slice(&address.octets());
    }
    packet
}

/// An IP packet of the addresses' family; the checksum of a transport that has one is filled in.
///
/// # Panics
/// When the addresses are not of one family.
pub fn ip(source: IpAddr, destination: IpAddr, protocol: u8, transport: &[u8]) -> Vec<u8> {
    let mut transport = transport.to_vec();
    let length = u32::try_from(transport.len()).unwrap_or(u32::MAX);
    let (mut sum_over, mut packet) = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => (
            pseudo_v4(source, destination, protocol, length),
            header_v4(source, destination, protocol, length),
        ),
        (IpAddr::V6(source), IpAddr::V6(destination)) => (
            pseudo_v6(source, destination, protocol, length),
            header_v6(source, destination, protocol, length),
        ),
        _ => panic!("{source} and {destination} are not of one family"),
    };
    if protocol == number::ICMP {
        sum_over.clear();
    }
    let place = match protocol {
        number::ICMP | number::ICMPV6 => Some(2),
        number::TCP => Some(16),
        number::UDP => Some(6),
        _ => None,
    };
    if let Some(place) = place
        && let Some(field) = transport.get(place..place + 2)
    {
        debug_assert_eq!(field, [0, 0]);
        sum_over.extend_from_slice(&transport);
        let sum = checksum(&sum_over).to_be_bytes();
        transport.splice(place..place + 2, sum);
    }
    packet.extend_from_slice(&transport);
    packet
}

fn header_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, length: u32) -> Vec<u8> {
    let total = u16::try_from(length + 20).unwrap_or(u16::MAX);
    let mut header = vec![0x45, 0];
    header.extend_from_slice(&total.to_be_bytes());
    header.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend_from_slice(&source.octets());
    header.extend_from_slice(&destination.octets());
    let sum = checksum(&header).to_be_bytes();
    header.splice(10..12, sum);
    header
}

/// The hop limit is 255, which neighbour discovery demands and nothing else minds.
fn header_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, length: u32) -> Vec<u8> {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    let mut header = vec![0x60, 0, 0, 0];
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(&[protocol, 255]);
    header.extend_from_slice(&source.octets());
    header.extend_from_slice(&destination.octets());
    header
}

fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, length: u32) -> Vec<u8> {
    let [.., high, low] = length.to_be_bytes();
    [&source.octets()[..], &destination.octets(), &[0, protocol, high, low]].concat()
}

fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, length: u32) -> Vec<u8> {
    let length = length.to_be_bytes();
    [&source.octets()[..], &destination.octets(), &length, &[0, 0, 0, protocol]].concat()
}

/// A UDP datagram, for [`ip`] to put the checksum in.
pub fn udp(source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 8).unwrap_or(u16::MAX);
    let words = [source, destination, length, 0];
    [&words.map(u16::to_be_bytes).concat(), data].concat()
}

/// Where a TCP segment stands in its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The flags, of [`flag`].
    pub flags: u8,
    /// The sequence number.
    pub sequence: u32,
    /// The sequence number that is awaited from the other side.
    pub acknowledged: u32,
}

/// A TCP segment, for [`ip`] to put the checksum in.
pub fn tcp(source: u16, destination: u16, segment: Segment, data: &[u8]) -> Vec<u8> {
    let mut packet = [source, destination].map(u16::to_be_bytes).concat();
    packet.extend_from_slice(&segment.sequence.to_be_bytes());
    packet.extend_from_slice(&segment.acknowledged.to_be_bytes());
    packet.extend_from_slice(&[0x50, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend_from_slice(data);
    packet
}

/// An SCTP packet that opens an association (RFC 9260 § 3.3.2).
pub fn sctp_init(source: u16, destination: u16, tag: u32) -> Vec<u8> {
    let mut packet = [source, destination].map(u16::to_be_bytes).concat();
    packet.extend_from_slice(&[0; 8]); // no verification tag yet; the checksum
    packet.extend_from_slice(&[1, 0, 0, 20]);
    packet.extend_from_slice(&tag.to_be_bytes());
    packet.extend_from_slice(&[0, 1, 0, 0, 0, 1, 0, 1]);
    packet.extend_from_slice(&tag.to_be_bytes());
    let sum = crc32c(&packet).to_le_bytes();
    packet.splice(8..12, sum);
    packet
}

/// ICMP or ICMPv6 with whatever follows type, code and checksum; for [`ip`] to put the checksum in.
pub fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0], rest].concat()
}

/// An echo request or reply: what goes into [`icmp`] behind the checksum.
pub fn echo(id: u16, data: &[u8]) -> Vec<u8> {
    [&id.to_be_bytes()[..], &[0, 1], data].concat()
}

/// CRC-32C (RFC 9260 appendix A), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const DESTINATION: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    #[test]
    fn sums_are_right() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
        for data in [&b""[..], b"1", b"odd", b"even"] {
            let datagram = udp(1, 2, data);
            let packet = ip(SOURCE.into(), DESTINATION.into(), number::UDP, &datagram);
            assert_eq!(checksum(&packet[..20]), 0);
            let length = u32::try_from(datagram.len()).unwrap();
            let mut covered = pseudo_v4(SOURCE, DESTINATION, number::UDP, length);
            covered.extend_from_slice(&packet[20..]);
            assert_eq!(checksum(&covered), 0);
        }
    }

    #[test]
    fn a_tag_stands_before_the_ethertype() {
        let frame = ethernet([1; 6], [2; 6], number::ARP, &[9]);
        assert_eq!(frame, [&[2; 6][..], &[1; 6], &[8, 6, 9]].concat());
        assert_eq!(tagged(7, &frame), [&[2; 6][..], &[1; 6], &[0x81, 0, 0, 7, 8, 6, 9]].concat());
    }
}
