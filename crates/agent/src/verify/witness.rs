//! The packets that are sent: one of each atom, and some that tell foreign flows apart.
//!
//! Within an atom neither rules nor terms tell one packet from another, but a flow that should
//! not be there may. So at every place there is also a packet of each usual protocol, and one for
//! each flow that the switch holds and should not.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Direction, EtherType, IpProtocol, MacAddr};
use openflow::{Field, Flow};
use policy::{L4, Packet};

/// What a flow looks at beside who sends to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Landmark {
    ethertype: Option<EtherType>,
    protocol: IpProtocol,
    l4: L4,
    remote: [Option<IpAddr>; 2],
}

/// What these flows, which should not be there, look at.
pub(super) fn landmarks<'a>(odd: impl Iterator<Item = &'a Flow>) -> BTreeSet<Landmark> {
    odd.map(of_flow).chain(usual()).collect()
}

/// The atoms, and the landmarks at each of their places.
pub(super) fn packets(
    atoms: impl Iterator<Item = Packet>,
    landmarks: &BTreeSet<Landmark>,
    direction: Direction,
) -> Vec<Packet> {
    let mut packets: BTreeSet<Packet> = atoms.collect();
    let places: BTreeSet<(IpAddr, Option<MacAddr>)> =
        packets.iter().map(|packet| (packet.remote, packet.remote_mac)).collect();
    for landmark in landmarks {
        let [src, dst] = landmark.remote;
        let own = if direction == Direction::Ingress { src } else { dst };
        for (remote, remote_mac) in places.iter().copied().chain(own.map(|it| (it, None))) {
            let Landmark { protocol, l4, .. } = *landmark;
            let packet = Packet { remote, remote_mac, protocol, l4 };
            let is_icmp = protocol == packet.ethertype().icmp();
            let fits = is_icmp == matches!(l4, L4::Icmp { .. });
            if fits && landmark.ethertype.is_none_or(|it| it == packet.ethertype()) {
                packets.insert(packet);
            }
        }
    }
    packets.into_iter().collect()
}

/// Traffic that there is everywhere.
fn usual() -> impl Iterator<Item = Landmark> {
    let ports = [IpProtocol::TCP, IpProtocol::UDP, IpProtocol::SCTP];
    let ports = ports.into_iter().map(|protocol| (None, protocol, L4::Ports { dst: 1 }));
    let echo = [(EtherType::Ipv4, 8), (EtherType::Ipv6, 128)];
    let echo = echo
        .into_iter()
        .map(|(ethertype, kind)| (Some(ethertype), ethertype.icmp(), L4::Icmp { kind, code: 0 }));
    ports.chain(echo).map(|(ethertype, protocol, l4)| Landmark {
        ethertype,
        protocol,
        l4,
        remote: [None, None],
    })
}

fn of_flow(flow: &Flow) -> Landmark {
    let value = |field| flow.matches.get(field).map(|(value, _)| value);
    let number = |field| value(field).and_then(|value| u16::try_from(value).ok());
    let octet = |field| value(field).and_then(|value| u8::try_from(value).ok());
    let ethertype = match number(Field::ETH_TYPE) {
        Some(0x0800) => Some(EtherType::Ipv4),
        Some(0x86dd) => Some(EtherType::Ipv6),
        _ => None,
    };
    let protocol = octet(Field::IP_PROTO).map_or(IpProtocol::TCP, IpProtocol);
    let ports = [Field::TCP_DST, Field::UDP_DST, Field::SCTP_DST];
    let icmp = ethertype.is_some_and(|ethertype| ethertype.icmp() == protocol);
    let l4 = if protocol.has_ports() {
        L4::Ports { dst: ports.into_iter().find_map(number).unwrap_or(1) }
    } else if icmp {
        let first = |fields: [Field; 2]| fields.into_iter().find_map(octet).unwrap_or(0);
        let kind = first([Field::ICMPV4_TYPE, Field::ICMPV6_TYPE]);
        L4::Icmp { kind, code: first([Field::ICMPV4_CODE, Field::ICMPV6_CODE]) }
    } else {
        L4::None
    };
    let address = |four, six| {
        let four = value(four).and_then(|it| u32::try_from(it).ok()).map(Ipv4Addr::from_bits);
        let six = value(six).map(Ipv6Addr::from_bits);
        four.map(IpAddr::V4).or(six.map(IpAddr::V6))
    };
    let remote =
        [address(Field::IPV4_SRC, Field::IPV6_SRC), address(Field::IPV4_DST, Field::IPV6_DST)];
    Landmark { ethertype, protocol, l4, remote }
}
