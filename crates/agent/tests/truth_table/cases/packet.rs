//! What the machines send. Every frame is one of its kind: it carries a number of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use testkit::frame::{self, Mac, Segment, flag, number};

use crate::cases::fragment::checksum;
use crate::cases::machine::{Family, Machine, link_local};

pub(crate) const BROADCAST: Mac = [0xff; 6];

/// Eight bytes that no other frame has.
fn mark() -> [u8; 8] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    (0x7765_6972_0000_0000 | NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
}

/// More bytes than a frame can carry.
fn large() -> Vec<u8> {
    [&mark()[..], &[0x5a; 1800]].concat()
}

/// A port, or an ICMP id, that nobody used before, so that rows share no connection.
pub(crate) fn fresh() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Where a packet comes from and goes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) from: (Mac, IpAddr),
    pub(crate) to: (Mac, IpAddr),
}

/// From one machine's own address to another's.
pub(crate) fn path(family: Family, from: &Machine, to: &Machine) -> Path {
    Path { from: (from.mac(), from.ip(family)), to: (to.mac(), to.ip(family)) }
}

/// From the link-local address of a machine to a group of the link.
pub(crate) fn to_group(from: &Machine, group: &str) -> Path {
    let group: Ipv6Addr = group.parse().unwrap();
    Path { from: (from.mac(), from.link_local().into()), to: (group_mac(group), group.into()) }
}

/// From a machine's own address to a multicast or broadcast address.
pub(crate) fn to_many(from: &Machine, address: &str) -> Path {
    let address: IpAddr = address.parse().unwrap();
    let (family, mac) = match address {
        IpAddr::V4(Ipv4Addr::BROADCAST) => (Family::V4, BROADCAST),
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            (Family::V4, [1, 0, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(group) => (Family::V6, group_mac(group)),
    };
    Path { from: (from.mac(), from.ip(family)), to: (mac, address) }
}

fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Path {
    pub(crate) fn source_ip(self, ip: &str) -> Self {
        Self { from: (self.from.0, address(ip)), ..self }
    }

    pub(crate) fn source_mac(self, mac: Mac) -> Self {
        Self { from: (mac, self.from.1), ..self }
    }

    pub(crate) fn target_ip(self, ip: &str) -> Self {
        Self { to: (self.to.0, address(ip)), ..self }
    }

    pub(crate) fn target_mac(self, mac: Mac) -> Self {
        Self { to: (mac, self.to.1), ..self }
    }

    /// The way back.
    pub(crate) fn back(self) -> Self {
        Self { from: self.to, to: self.from }
    }

    pub(crate) fn ethertype(&self) -> u16 {
        if self.from.1.is_ipv4() { number::IPV4 } else { number::IPV6 }
    }

    /// IP of any protocol.
    pub(crate) fn carry(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let packet = frame::ip(self.from.1, self.to.1, protocol, payload);
        frame::ethernet(self.from.0, self.to.0, self.ethertype(), &packet)
    }

    /// IP of a protocol that has no ports.
    pub(crate) fn protocol(&self, protocol: u8) -> Vec<u8> {
        self.carry(protocol, &mark())
    }

    pub(crate) fn udp(&self, source: u16, destination: u16) -> Vec<u8> {
        self.carry(number::UDP, &frame::udp(source, destination, &mark()))
    }

    /// More than a frame can carry.
    pub(crate) fn large_udp(&self, source: u16, destination: u16) -> Vec<u8> {
        self.carry(number::UDP, &frame::udp(source, destination, &large()))
    }

    /// More than a frame can carry, of a protocol that has no ports.
    pub(crate) fn large(&self, protocol: u8) -> Vec<u8> {
        self.carry(protocol, &large())
    }

    /// A SYN; replies and broken ones are [`Path::segment`].
    pub(crate) fn tcp(&self, source: u16, destination: u16) -> Vec<u8> {
        self.segment(source, destination, flag::SYN)
    }

    pub(crate) fn segment(&self, source: u16, destination: u16, flags: u8) -> Vec<u8> {
        // Both sides begin with 1, so that a SYN with an ACK answers a SYN.
        let acknowledged = if flags & flag::ACK == 0 { 0 } else { 2 };
        let segment = Segment { flags, sequence: 1, acknowledged };
        // A SYN without data is what everybody sends; the urgent pointer is free without its flag.
        let [.., high, low] = mark();
        let mut packet = frame::tcp(source, destination, segment, &[]);
        packet[18..20].copy_from_slice(&[high, low]);
        self.carry(number::TCP, &packet)
    }

    /// What opens a DCCP connection (RFC 4340 § 5.1, 5.3).
    pub(crate) fn dccp_request(&self, destination: u16) -> Vec<u8> {
        let [_, _, number @ ..] = mark();
        let ports = [fresh(), destination].map(u16::to_be_bytes).concat();
        // Five words, with a sequence number of 48 bits and a service code.
        let packet = [&ports[..], &[5, 0, 0, 0, 1, 0], &number, &[0; 4]].concat();
        self.with_checksum(33, packet)
    }

    /// UDP-Lite (RFC 3828 § 3.1) whose checksum covers all of it.
    pub(crate) fn udplite(&self, destination: u16) -> Vec<u8> {
        let ports = [fresh(), destination].map(u16::to_be_bytes).concat();
        self.with_checksum(136, [&ports[..], &[0; 4], &mark()].concat())
    }

    /// A packet with the checksum in its fourth word, as UDP and its like have it.
    fn with_checksum(&self, protocol: u8, mut packet: Vec<u8>) -> Vec<u8> {
        let octets = |address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let length = u8::try_from(packet.len()).unwrap();
        let pseudo = [octets(self.from.1), octets(self.to.1), vec![0, protocol, 0, length]];
        let sum = checksum(&[pseudo.concat(), packet.clone()].concat());
        packet[6..8].copy_from_slice(&sum.to_be_bytes());
        self.carry(protocol, &packet)
    }

    /// What a client of FTP says behind the SYNs (RFC 2428 § 2): at which port it awaits data.
    pub(crate) fn ftp_announcement(&self, source: u16, port: u16) -> Vec<u8> {
        let (address, family) = (self.from.1, if self.from.1.is_ipv4() { 1 } else { 2 });
        let says = format!("EPRT |{family}|{address}|{port}|\r\n");
        let segment = Segment { flags: flag::ACK, sequence: 2, acknowledged: 2 };
        self.carry(number::TCP, &frame::tcp(source, 21, segment, says.as_bytes()))
    }

    pub(crate) fn sctp(&self, destination: u16) -> Vec<u8> {
        let [.., a, b, c, d] = mark();
        let init = frame::sctp_init(fresh(), destination, u32::from_be_bytes([a, b, c, d]));
        self.carry(number::SCTP, &init)
    }

    /// ICMP of the family.
    pub(crate) fn icmp(&self, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
        let protocol = if self.from.1.is_ipv4() { number::ICMP } else { number::ICMPV6 };
        self.carry(protocol, &frame::icmp(kind, code, rest))
    }

    pub(crate) fn echo_request(&self, id: u16) -> Vec<u8> {
        let kind = if self.from.1.is_ipv4() { 8 } else { 128 };
        self.icmp(kind, 0, &frame::echo(id, &mark()))
    }

    pub(crate) fn echo_reply(&self, id: u16) -> Vec<u8> {
        let kind = if self.from.1.is_ipv4() { 0 } else { 129 };
        self.icmp(kind, 0, &frame::echo(id, &mark()))
    }

    /// "Port unreachable", about the packet in this frame.
    pub(crate) fn unreachable(&self, about: &[u8]) -> Vec<u8> {
        let (kind, code) = if self.from.1.is_ipv4() { (3, 3) } else { (1, 4) };
        self.icmp(kind, code, &[&[0; 4], &about[14..]].concat())
    }

    /// Neighbour solicitation (135), advertisement (136) or redirect (137) about an address.
    pub(crate) fn neighbour(&self, kind: u8, target: IpAddr) -> Vec<u8> {
        let IpAddr::V6(target) = target else { panic!("{target} is not IPv6") };
        // An option for experiments (RFC 4727) carries the number.
        let [.., a, b, c, d, e, f] = mark();
        let option = [253, 1, a, b, c, d, e, f];
        self.icmp(kind, 0, &[&[0; 4], &target.octets()[..], &option].concat())
    }

    /// A message without a target: router solicitation or advertisement, MLD.
    pub(crate) fn message(&self, kind: u8) -> Vec<u8> {
        let fixed = if kind == 134 {
            12
        } else if kind == 133 {
            4
        } else {
            20
        };
        let [.., a, b, c, d, e, f] = mark();
        self.icmp(kind, 0, &[&vec![0; fixed][..], &[253, 1, a, b, c, d, e, f]].concat())
    }
}

/// ARP with the sender's MAC address in both places.
pub(crate) fn arp(operation: u16, from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr)) -> Vec<u8> {
    arp_in(from.0, number::ARP, operation, from, to)
}

/// Everybody is told or asked about an address of the sender.
pub(crate) fn gratuitous(mac: Mac, address: &str) -> Vec<u8> {
    let own = (mac, address.parse().unwrap());
    arp_in(mac, number::ARP, 1, own, ([0; 6], own.1))
}

/// What a hypervisor says for a machine that has moved to it.
pub(crate) fn rarp(mac: Mac) -> Vec<u8> {
    let nobody = Ipv4Addr::UNSPECIFIED;
    arp_in(mac, number::RARP, 3, (mac, nobody), (mac, nobody))
}

/// ARP with a source MAC address in the frame that may be another than the one in the packet.
pub(crate) fn arp_in(
    source: Mac,
    ethertype: u16,
    operation: u16,
    from: (Mac, Ipv4Addr),
    to: (Mac, Ipv4Addr),
) -> Vec<u8> {
    let destination = if operation == 2 { to.0 } else { BROADCAST };
    let packet = [frame::arp(operation, from, to), mark().to_vec()].concat();
    frame::ethernet(source, destination, ethertype, &packet)
}

/// A frame of another EtherType.
pub(crate) fn other(from: Mac, to: Mac, ethertype: u16) -> Vec<u8> {
    frame::ethernet(from, to, ethertype, &[&mark()[..], &[0; 40]].concat())
}

/// What every port may always send, and all its neighbours hear: an advertisement of its own
/// link-local address.
pub(crate) fn barrier(from: &Machine) -> Vec<u8> {
    to_group(from, "ff02::1").neighbour(136, link_local(from.mac()).into())
}
