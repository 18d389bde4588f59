//! Packets that tell what holds for a port whatever its rules: who it may be, and what passes without
//! any.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::hybrid::verdict::{Header, Packet};
use model::{Direction, EtherType, IpProtocol, MacAddr, Port};
use policy::L4;

use super::FAMILIES;
use crate::probe::{End, STRANGER, at_bridge, end_of_port};

/// Addresses that no port has (RFC 5737, RFC 3849).
const NOBODY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);
const NOBODY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x66);
/// Everybody on a link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const SOME_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// How many of a port's address pairs are looked at.
const PAIRS: usize = 4;
/// Types of ICMPv6: echo request, MLD, router and neighbour discovery, MLDv2.
const ICMPV6: [u8; 9] = [128, 130, 131, 132, 133, 134, 135, 136, 143];

/// A packet like any other that the port sends or gets.
pub(super) fn some_packet(port: &Port, direction: Direction, family: EtherType) -> Packet {
    let (own, other) = (end_of_port(port, family), somebody(family));
    let ends = match direction {
        Direction::Ingress => [other, own],
        Direction::Egress => [own, other],
    };
    at_bridge(port.id, direction, ends, IpProtocol::TCP, L4::Ports { dst: 1 })
}

/// The packets of a port.
pub(super) fn packets(port: &Port) -> Vec<(Direction, Packet)> {
    let mut packets = Vec::new();
    for family in FAMILIES {
        let sends = |packet| (Direction::Egress, packet);
        for source in sources(port, family) {
            packets.extend(sent(port, family, source).into_iter().map(sends));
        }
        let gets = |packet| (Direction::Ingress, packet);
        packets.extend(received(port, family).into_iter().map(gets));
    }
    packets
}

/// Those that the port may send from, and others near them.
fn sources(port: &Port, family: EtherType) -> Vec<End> {
    let own = end_of_port(port, family);
    let nobody = somebody(family).address;
    let mut sources = vec![
        own,
        End { address: nobody, ..own },
        End { mac: STRANGER, ..own },
        End { mac: STRANGER, address: nobody },
        End { address: unspecified(family), ..own },
        End { address: unspecified(family), mac: STRANGER },
    ];
    let link_local = |mac: MacAddr| End { mac, address: mac.link_local().into() };
    if family == EtherType::Ipv6 {
        sources.push(link_local(port.mac));
    }
    for pair in port.pairs.iter().filter(|pair| pair.prefix.ethertype() == family).take(PAIRS) {
        let address = pair.prefix.address();
        sources.extend([End { mac: pair.mac, address }, End { mac: port.mac, address }]);
        if family == EtherType::Ipv6 {
            sources.push(link_local(pair.mac));
        }
    }
    sources
}

/// What may be sent from there.
fn sent(port: &Port, family: EtherType, from: End) -> Vec<Packet> {
    let to = |address: IpAddr| End { mac: STRANGER, address };
    let make =
        |to: End, protocol, l4| at_bridge(port.id, Direction::Egress, [from, to], protocol, l4);
    let other = somebody(family);
    let udp = |to, [from, port]: [u16; 2]| {
        let header = Header::Ports { from, to: port };
        Packet { header, ..make(to, IpProtocol::UDP, L4::Ports { dst: port }) }
    };
    let [server, client] = dhcp(family);
    let mut packets = vec![
        make(other, IpProtocol::TCP, L4::Ports { dst: 1 }),
        udp(other, [client, server]),
        udp(other, [server, client]),
    ];
    match family {
        EtherType::Ipv4 => packets.push(udp(to(Ipv4Addr::BROADCAST.into()), [client, server])),
        EtherType::Ipv6 => {
            let all = to(ALL_NODES.into());
            let each = |kind| [all, other].map(|to| (to, kind));
            packets.extend(
                ICMPV6
                    .into_iter()
                    .flat_map(each)
                    .map(|(to, kind)| make(to, IpProtocol::ICMPV6, L4::Icmp { kind, code: 0 })),
            );
        }
    }
    packets
}

/// What the port may get.
fn received(port: &Port, family: EtherType) -> Vec<Packet> {
    let own = end_of_port(port, family);
    let make = |to: IpAddr, protocol, l4| {
        let ends = [somebody(family), End { address: to, ..own }];
        at_bridge(port.id, Direction::Ingress, ends, protocol, l4)
    };
    let [server, client] = dhcp(family);
    let everybody = match family {
        EtherType::Ipv4 => Ipv4Addr::BROADCAST.into(),
        EtherType::Ipv6 => IpAddr::V6(SOME_LINK_LOCAL),
    };
    let mut packets = Vec::new();
    for to in [own.address, everybody, somebody(family).address] {
        let reply = make(to, IpProtocol::UDP, L4::Ports { dst: client });
        packets.push(Packet { header: Header::Ports { from: server, to: client }, ..reply });
        packets.push(make(to, IpProtocol::TCP, L4::Ports { dst: 1 }));
    }
    if family == EtherType::Ipv6 {
        for kind in ICMPV6 {
            packets.push(make(own.address, IpProtocol::ICMPV6, L4::Icmp { kind, code: 0 }));
        }
    }
    packets
}

/// Somebody who is not at this node.
fn somebody(family: EtherType) -> End {
    let address = match family {
        EtherType::Ipv4 => NOBODY.into(),
        EtherType::Ipv6 => NOBODY_V6.into(),
    };
    End { mac: STRANGER, address }
}

fn unspecified(family: EtherType) -> IpAddr {
    match family {
        EtherType::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        EtherType::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// The ports of a DHCP server and of a client.
fn dhcp(family: EtherType) -> [u16; 2] {
    match family {
        EtherType::Ipv4 => [67, 68],
        EtherType::Ipv6 => [547, 546],
    }
}
