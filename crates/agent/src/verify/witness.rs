//! The packets that are sent: one of each atom, and some that tell foreign flows apart.
//!
//! Within an atom neither rules nor terms tell one packet from another, but a flow that should
//! not be there may, or one that is missing. So at every place there is also a packet of each usual
//! protocol, and one for each flow that only one side has; and where such a flow names an address,
//! that is a place for every kind of packet.
//!
//! Atoms multiply where many rules name many different remotes. Beyond [`MANY`] the packets are
//! those at the edges of each rule instead: inside and outside of its remote and of its ports.
//! They are made when their turn comes, because there may be millions.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{
    Direction, EtherType, IpProtocol, MacAddr, Prefix, Remote, SecurityGroup, SecurityGroupRule,
    Transport,
};
use openflow::{Field, Flow};
use policy::{L4, Members, Packet, RemoteSet};

/// How many packets of one policy are made beforehand at most, about.
const MANY: usize = 20_000;
/// How many members of a remote group are looked at for each rule that names it.
const MEMBERS: usize = 4;
/// How many of the addresses that odd flows name become places.
const NAMED: usize = 64;
/// Addresses that rules name for no reason of their own (RFC 5737, RFC 3849).
const ANYWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
];
/// A port of TCP that is as good as any.
const SOME_PORT: u16 = 1;

/// The packets of a policy, in an order that means nothing.
pub(super) struct Packets<'a> {
    listed: Vec<Packet>,
    /// Rules whose packets are made when they are asked for, each with the number of its first.
    rules: Vec<(usize, &'a SecurityGroupRule)>,
    len: usize,
    members: &'a Members,
}

impl<'a> Packets<'a> {
    /// Those of the rules that these groups have for a direction.
    pub(super) fn of(
        groups: &[&'a SecurityGroup],
        members: &'a Members,
        direction: Direction,
        landmarks: &BTreeSet<Landmark>,
    ) -> Self {
        let rules = groups.iter().flat_map(|group| &group.rules);
        let rules: Vec<_> = rules.filter(|rule| rule.direction() == direction).collect();
        let are_few = about(&rules, members) <= MANY;
        let listed = if are_few {
            let policy = policy::compile(groups.iter().copied(), direction);
            packets(policy::atoms(groups, members, direction, &policy), landmarks, direction)
        } else {
            packets(ANYWHERE.into_iter().map(anything), landmarks, direction)
        };
        let mut packets = Self { len: listed.len(), listed, rules: Vec::new(), members };
        if !are_few {
            for rule in rules {
                packets.rules.push((packets.len, rule));
                packets.len += places(rule, members).len() * transports(rule).len();
            }
        }
        packets
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One of them.
    pub(super) fn get(&self, index: usize) -> Option<Packet> {
        if let Some(packet) = self.listed.get(index) {
            return Some(*packet);
        }
        let behind = self.rules.partition_point(|(first, _)| *first <= index);
        let (first, rule) = self.rules.get(behind.checked_sub(1)?)?;
        let (places, transports) = (places(rule, self.members), transports(rule));
        let at = index - first;
        let (remote, remote_mac) = *places.get(at / transports.len())?;
        let (protocol, l4) = *transports.get(at % transports.len())?;
        Some(Packet { remote, remote_mac, protocol, l4 })
    }
}

/// How many steps it takes at most to find the atoms of these rules, and how many there are then.
fn about(rules: &[&SecurityGroupRule], members: &Members) -> usize {
    let remotes: BTreeSet<Remote> = rules.iter().map(|rule| rule.remote()).collect();
    let addresses: usize = remotes
        .iter()
        .map(|remote| match RemoteSet::of(*remote) {
            None => 2,
            Some(set) => 2 * members.of(set).count(),
        })
        .sum();
    let places = addresses.min(1 << remotes.len().min(16));
    (addresses * remotes.len()).max(places * rules.len())
}

/// Inside and outside of the remote of a rule.
fn places(rule: &SecurityGroupRule, members: &Members) -> Vec<(IpAddr, Option<MacAddr>)> {
    let edges = |prefix: Prefix, mac| {
        let last = last(prefix);
        let beside = [before(prefix.address()), behind(last)].into_iter().flatten();
        [prefix.address(), last].into_iter().chain(beside).map(move |address| (address, mac))
    };
    let family = |(address, _): &(IpAddr, Option<MacAddr>)| {
        address.is_ipv4() == (rule.ethertype() == EtherType::Ipv4)
    };
    let places: BTreeSet<_> = match (rule.remote(), RemoteSet::of(rule.remote())) {
        (Remote::Prefix(prefix), _) => edges(prefix, None).collect(),
        (_, Some(set)) => {
            let some = members.of(set).take(MEMBERS);
            some.flat_map(|member| edges(member.prefix(), member.mac())).collect()
        }
        _ => ANYWHERE.into_iter().map(|address| (address, None)).collect(),
    };
    places.into_iter().filter(family).collect()
}

/// Inside and outside of what a rule says of the transport header.
fn transports(rule: &SecurityGroupRule) -> Vec<(IpProtocol, L4)> {
    let icmp = rule.ethertype().icmp();
    let whole = |protocol: IpProtocol| match protocol {
        protocol if protocol.has_ports() => (protocol, L4::Ports { dst: SOME_PORT }),
        protocol if protocol == icmp => (protocol, L4::Icmp { kind: 8, code: 0 }),
        protocol => (protocol, L4::None),
    };
    let transports: BTreeSet<_> = match rule.transport() {
        Transport::Any => [whole(IpProtocol::TCP)].into(),
        Transport::Protocol(protocol) => [whole(protocol), whole(IpProtocol::UDP)].into(),
        Transport::Ports { protocol, range } => {
            let beside = [range.low().checked_sub(1), range.high().checked_add(1)];
            let ports = [range.low(), range.high()].into_iter().chain(beside.into_iter().flatten());
            ports.map(|dst| (protocol, L4::Ports { dst })).collect()
        }
        Transport::Icmp { kind, code } => {
            let codes = [code.unwrap_or(0), code.unwrap_or(0).wrapping_add(1)];
            codes.map(|code| (icmp, L4::Icmp { kind, code })).into()
        }
    };
    transports.into_iter().collect()
}

/// The last address of a prefix.
fn last(prefix: Prefix) -> IpAddr {
    let length = u32::from(prefix.length());
    match prefix.address() {
        IpAddr::V4(first) => {
            let free = u32::MAX.checked_shr(length).unwrap_or(0);
            Ipv4Addr::from_bits(first.to_bits() | free).into()
        }
        IpAddr::V6(first) => {
            let free = u128::MAX.checked_shr(length).unwrap_or(0);
            Ipv6Addr::from_bits(first.to_bits() | free).into()
        }
    }
}

fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(Ipv4Addr::from_bits(address.to_bits().checked_sub(1)?).into()),
        IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits().checked_sub(1)?).into()),
    }
}

fn behind(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(Ipv4Addr::from_bits(address.to_bits().checked_add(1)?).into()),
        IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits().checked_add(1)?).into()),
    }
}

fn anything(remote: IpAddr) -> Packet {
    let l4 = L4::Ports { dst: SOME_PORT };
    Packet { remote, remote_mac: None, protocol: IpProtocol::TCP, l4 }
}

/// What a flow looks at beside who sends to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Landmark {
    ethertype: Option<EtherType>,
    protocol: IpProtocol,
    l4: L4,
    remote: [Option<IpAddr>; 2],
}

/// What these flows look at, which should not be there, or should and are not.
pub(super) fn landmarks<'a>(odd: impl Iterator<Item = &'a Flow>) -> BTreeSet<Landmark> {
    odd.map(of_flow).chain(usual()).collect()
}

/// Somebody at these addresses, and traffic that there is everywhere.
pub(super) fn at(addresses: impl Iterator<Item = IpAddr>) -> BTreeSet<Landmark> {
    let there = addresses.map(|address| Landmark {
        ethertype: Some(if address.is_ipv4() { EtherType::Ipv4 } else { EtherType::Ipv6 }),
        protocol: IpProtocol::TCP,
        l4: L4::Ports { dst: SOME_PORT },
        remote: [Some(address); 2],
    });
    there.chain(usual()).collect()
}

/// The atoms, and the landmarks at each of their places.
fn packets(
    atoms: impl Iterator<Item = Packet>,
    landmarks: &BTreeSet<Landmark>,
    direction: Direction,
) -> Vec<Packet> {
    let mut packets: BTreeSet<Packet> = atoms.collect();
    let places: BTreeSet<(IpAddr, Option<MacAddr>)> =
        packets.iter().map(|packet| (packet.remote, packet.remote_mac)).collect();
    let kinds: BTreeSet<(EtherType, IpProtocol, L4)> =
        packets.iter().map(|packet| (packet.ethertype(), packet.protocol, packet.l4)).collect();
    for landmark in landmarks {
        let Landmark { protocol, l4, .. } = *landmark;
        let named = landmark.remote(direction);
        for (remote, remote_mac) in places.iter().copied().chain(named.map(|it| (it, None))) {
            let packet = Packet { remote, remote_mac, protocol, l4 };
            let is_icmp = protocol == packet.ethertype().icmp();
            let fits = is_icmp == matches!(l4, L4::Icmp { .. });
            if fits && landmark.ethertype.is_none_or(|it| it == packet.ethertype()) {
                packets.insert(packet);
            }
        }
    }
    let named = landmarks.iter().filter_map(|landmark| landmark.remote(direction));
    for remote in named.take(NAMED) {
        let here = kinds
            .iter()
            .filter(|(ethertype, ..)| (*ethertype == EtherType::Ipv4) == remote.is_ipv4());
        packets.extend(here.map(|(_, protocol, l4)| Packet {
            remote,
            remote_mac: None,
            protocol: *protocol,
            l4: *l4,
        }));
    }
    packets.into_iter().collect()
}

impl Landmark {
    /// The other side's address, where the flow names it.
    fn remote(&self, direction: Direction) -> Option<IpAddr> {
        let [src, dst] = self.remote;
        if direction == Direction::Ingress { src } else { dst }
    }
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
