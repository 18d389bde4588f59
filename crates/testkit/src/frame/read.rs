//! Reading a frame: addresses, VLAN tags, and what a tunnel carries inside.

use std::{
    fmt::{self, Display},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{Mac, number};

/// What a frame says of itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Read {
    /// Who sent it.
    pub source: Mac,
    /// Whom it is for.
    pub destination: Mac,
    /// The VLAN ids of its 802.1Q tags, the outermost first.
    pub vlans: Vec<u16>,
    /// What it carries behind the tags.
    pub ethertype: u16,
    /// The IP addresses, source and destination, if it is an IP packet.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// The frame inside, if it is a tunnel's.
    pub tunnelled: Option<Box<Tunnelled>>,
}

/// A frame inside a tunnel's packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tunnelled {
    /// `vxlan`, `geneve` or `gre`.
    pub kind: &'static str,
    /// The network identifier or key; `None` for GRE without a key.
    pub id: Option<u32>,
    /// The frame.
    pub frame: Read,
}

impl Read {
    /// Whether it is for a group of receivers: multicast or broadcast.
    pub fn is_group(&self) -> bool {
        self.destination.first().is_some_and(|first| first & 1 == 1)
    }
}

/// Hardware addresses, tags and what is inside, on one line.
impl Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}", Colons(self.source), Colons(self.destination))?;
        for vlan in &self.vlans {
            write!(f, " vlan {vlan}")?;
        }
        match (&self.tunnelled, &self.addresses) {
            (Some(inside), _) => {
                let id = inside.id.map_or_else(|| "without key".to_owned(), |id| id.to_string());
                write!(f, " {} {id}: {}", inside.kind, inside.frame)
            }
            (None, Some((source, destination))) => write!(f, " {source} > {destination}"),
            (None, None) => write!(f, " type {:#06x}", self.ethertype),
        }
    }
}

struct Colons(Mac);

impl Display for Colons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([a, b, c, d, e, g]) = self;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Reads a frame; `None` if it is shorter than it says.
///
/// Tunnels are known by their default ports. Fragments are not put together.
pub fn read(frame: &[u8]) -> Option<Read> {
    let (destination, rest) = frame.split_first_chunk()?;
    let (source, rest) = rest.split_first_chunk()?;
    let (mut ethertype, mut payload) = word(rest)?;
    let mut vlans = Vec::new();
    while ethertype == number::VLAN {
        let (tag, rest) = word(payload)?;
        vlans.push(tag & 0x0fff);
        (ethertype, payload) = word(rest)?;
    }
    let packet = match ethertype {
        number::IPV4 => Some(v4(payload)?),
        number::IPV6 => Some(v6(payload)?),
        _ => None,
    };
    let tunnelled = packet.as_ref().and_then(|packet| tunnelled(packet.protocol, packet.payload));
    let addresses = packet.map(|packet| packet.addresses);
    let (source, destination) = (*source, *destination);
    Some(Read {
        source,
        destination,
        vlans,
        ethertype,
        addresses,
        tunnelled: tunnelled.map(Box::new),
    })
}

struct Packet<'a> {
    addresses: (IpAddr, IpAddr),
    protocol: u8,
    payload: &'a [u8],
}

fn v4(packet: &[u8]) -> Option<Packet<'_>> {
    let (header, _) = packet.split_first_chunk::<20>()?;
    let [first, .., s1, s2, s3, s4, d1, d2, d3, d4] = *header;
    let protocol = *header.get(9)?;
    let addresses = (Ipv4Addr::new(s1, s2, s3, s4).into(), Ipv4Addr::new(d1, d2, d3, d4).into());
    Some(Packet { addresses, protocol, payload: packet.get(usize::from(first & 0x0f) * 4..)? })
}

fn v6(packet: &[u8]) -> Option<Packet<'_>> {
    const DESTINATION_OPTIONS: u8 = 60;
    let (header, mut payload) = packet.split_first_chunk::<40>()?;
    let address = |at: usize| {
        let octets: [u8; 16] = header.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::from(Ipv6Addr::from(octets)))
    };
    let mut protocol = *header.get(6)?;
    // The kernel limits the depth of tunnels by such an option.
    while protocol == DESTINATION_OPTIONS {
        protocol = *payload.first()?;
        payload = payload.get((usize::from(*payload.get(1)?) + 1) * 8..)?;
    }
    Some(Packet { addresses: (address(8)?, address(24)?), protocol, payload })
}

fn tunnelled(protocol: u8, payload: &[u8]) -> Option<Tunnelled> {
    match protocol {
        number::UDP => {
            let (port, _) = word(payload.get(2..)?)?;
            let data = payload.get(8..)?;
            match port {
                number::VXLAN_PORT => inside("vxlan", Some(vni(data)?), data.get(8..)?),
                number::GENEVE_PORT => {
                    let options = usize::from(data.first()? & 0x3f) * 4;
                    inside("geneve", Some(vni(data)?), data.get(8 + options..)?)
                }
                _ => None,
            }
        }
        number::GRE => gre(payload),
        _ => None,
    }
}

/// VXLAN (RFC 7348 § 5) and Geneve (RFC 8926 § 3.4) have it at the same place.
fn vni(header: &[u8]) -> Option<u32> {
    let [a, b, c] = *header.get(4..)?.first_chunk()?;
    Some(u32::from_be_bytes([0, a, b, c]))
}

/// GRE (RFC 2784, RFC 2890) with a frame inside.
fn gre(header: &[u8]) -> Option<Tunnelled> {
    const CHECKSUM: u16 = 0x8000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    let (flags, rest) = word(header)?;
    let (protocol, mut rest) = word(rest)?;
    if protocol != number::TRANSPARENT_ETHERNET_BRIDGING {
        return None;
    }
    if flags & CHECKSUM != 0 {
        rest = rest.get(4..)?;
    }
    let mut id = None;
    if flags & KEY != 0 {
        let (key, behind) = rest.split_first_chunk()?;
        (id, rest) = (Some(u32::from_be_bytes(*key)), behind);
    }
    if flags & SEQUENCE != 0 {
        rest = rest.get(4..)?;
    }
    inside("gre", id, rest)
}

fn inside(kind: &'static str, id: Option<u32>, frame: &[u8]) -> Option<Tunnelled> {
    Some(Tunnelled { kind, id, frame: read(frame)? })
}

/// The 16 bits at the beginning, and what is behind.
fn word(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*word), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ethernet, ip, tagged, udp};

    const A: Mac = [2, 0, 0, 0, 0, 1];
    const B: Mac = [2, 0, 0, 0, 0, 2];

    /// An ARP frame as a tunnel's packet.
    fn outer(source: &str, destination: &str, protocol: u8, header: &[u8]) -> Vec<u8> {
        let inner = ethernet(A, B, number::ARP, &[0; 28]);
        let transport = match protocol {
            number::UDP => {
                let [high, low, data @ ..] = header else { panic!("no port") };
                udp(1, u16::from_be_bytes([*high, *low]), &[data, &inner].concat())
            }
            _ => [header, &inner].concat(),
        };
        let source: IpAddr = source.parse().unwrap();
        let packet = ip(source, destination.parse().unwrap(), protocol, &transport);
        let ethertype = if source.is_ipv4() { number::IPV4 } else { number::IPV6 };
        ethernet(B, A, ethertype, &packet)
    }

    fn told(frame: &[u8]) -> String {
        // However it is cut, nothing panics, and the frame inside is never made up.
        for length in 0..frame.len() {
            drop(read(&frame[..length]));
        }
        read(frame).unwrap().to_string()
    }

    #[test]
    fn tags_are_told_from_the_outside_in() {
        let frame = tagged(100, &tagged(0xe007, &ethernet(A, [0xff; 6], number::ARP, &[0; 28])));
        let parts = read(&frame).unwrap();
        assert_eq!((&parts.vlans[..], parts.ethertype), (&[100, 7][..], number::ARP));
        assert!(parts.is_group());
        assert_eq!(
            told(&frame),
            "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff vlan 100 vlan 7 type 0x0806"
        );
    }

    #[test]
    fn every_tunnel_is_looked_into() {
        let inside = "02:00:00:00:00:01 > 02:00:00:00:00:02 type 0x0806";
        let vxlan = [0x12, 0xb5, 8, 0, 0, 0, 0, 1, 2, 0];
        let geneve = [0x17, 0xc1, 1, 0, 0x65, 0x58, 0, 1, 2, 0, 0, 0, 0, 0];
        let gre = [0x20, 0, 0x65, 0x58, 0, 0, 1, 2];
        let keyless = [0, 0, 0x65, 0x58];
        let cases = [
            (number::UDP, &vxlan[..], "vxlan 258"),
            (number::UDP, &geneve, "geneve 258"),
            (number::GRE, &gre, "gre 258"),
            (number::GRE, &keyless, "gre without key"),
        ];
        for (source, destination) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
            for (protocol, header, tunnel) in cases {
                assert_eq!(
                    told(&outer(source, destination, protocol, header)),
                    format!("02:00:00:00:00:02 > 02:00:00:00:00:01 {tunnel}: {inside}")
                );
            }
        }
    }

    #[test]
    fn other_packets_are_told_by_their_addresses() {
        let frame = outer("192.0.2.1", "192.0.2.2", number::UDP, &[0, 53]);
        assert!(told(&frame).ends_with(" 192.0.2.1 > 192.0.2.2"));
    }
}
