//! Groups and members for tests: from text where a person should see them, and at random.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{
    AddressGroupId, Direction, EtherType, IpProtocol, MacAddr, PortRange, Prefix, Remote,
    SecurityGroup, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId, Transport,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use crate::{L4, Member, Members, Packet, RemoteSet, SharedSet};

pub(crate) fn group_id(number: u64) -> SecurityGroupId {
    format!("00000000-0000-4000-8000-{number:012x}").parse().unwrap()
}

pub(crate) fn address_group_id(number: u64) -> AddressGroupId {
    format!("00000000-0000-4000-9000-{number:012x}").parse().unwrap()
}

/// The groups 0 to 7 and the address groups 0 to 7.
pub(crate) fn remote_sets() -> impl Iterator<Item = RemoteSet> {
    let groups = (0..8).map(|number| RemoteSet::Group(group_id(number)));
    groups.chain((0..8).map(|number| RemoteSet::AddressGroup(address_group_id(number))))
}

pub(crate) fn rule_id(number: u64) -> SecurityGroupRuleId {
    format!("00000000-0000-4000-a000-{number:012x}").parse().unwrap()
}

pub(crate) fn mac(last: u8) -> MacAddr {
    MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, last])
}

/// A group of ingress rules, one a line: `IPv4 10.0.0.0/8 tcp 80-90`, with `anybody`, a prefix,
/// `group:1` or `addresses:1` as the remote, and then `any`, a protocol, a protocol with ports,
/// or `type 8 code 0`. The rules have the ids 1, 2, 3 and so on.
pub(crate) fn group(text: &str) -> SecurityGroup {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let rules = lines.zip(1..).map(|(line, number)| rule(number, line)).collect();
    SecurityGroup { id: group_id(1), rules, stateful: true }
}

fn rule(number: u64, line: &str) -> SecurityGroupRule {
    let words: Vec<&str> = line.split(' ').collect();
    let remote = match words[1].split_once(':') {
        None if words[1] == "anybody" => Remote::Any,
        Some(("group", id)) => Remote::Group(group_id(id.parse().unwrap())),
        Some(("addresses", id)) => Remote::AddressGroup(address_group_id(id.parse().unwrap())),
        _ => Remote::Prefix(words[1].parse().unwrap()),
    };
    let transport = match words[2..] {
        ["any"] => Transport::Any,
        ["type", kind] => Transport::Icmp { kind: kind.parse().unwrap(), code: None },
        ["type", kind, "code", code] => {
            Transport::Icmp { kind: kind.parse().unwrap(), code: Some(code.parse().unwrap()) }
        }
        [protocol] => Transport::Protocol(protocol.parse().unwrap()),
        [protocol, ports] => {
            let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
            let range = PortRange::new(low.parse().unwrap(), high.parse().unwrap()).unwrap();
            Transport::Ports { protocol: protocol.parse().unwrap(), range }
        }
        _ => panic!("no rule: {line}"),
    };
    let ethertype = words[0].parse().unwrap();
    SecurityGroupRule::new(rule_id(number), Direction::Ingress, ethertype, transport, remote)
        .unwrap()
}

/// Groups that share these rules out, each rule under a number of its own.
pub(crate) fn share_out(rules: &[Shape], groups: u64) -> Vec<SecurityGroup> {
    let mut shared: Vec<SecurityGroup> = (0..groups)
        .map(|number| SecurityGroup {
            id: group_id(number),
            rules: BTreeSet::new(),
            stateful: true,
        })
        .collect();
    for (number, (direction, ethertype, transport, remote)) in (0..).zip(rules) {
        let id = rule_id(number);
        let made = SecurityGroupRule::new(id, *direction, *ethertype, *transport, *remote);
        let place = usize::try_from(number % groups).unwrap();
        shared[place].rules.extend(made.ok());
    }
    shared
}

/// All of a rule but its id.
pub(crate) type Shape = (Direction, EtherType, Transport, Remote);

/// Rules that overlap, touch, nest and cover each other more often than not.
pub(crate) fn shapes(number: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Shape>> {
    let direction = prop_oneof![9 => Just(Direction::Ingress), 1 => Just(Direction::Egress)];
    let shape = (direction, prefix(), transport(), remote_kind()).prop_map(
        |(direction, prefix, transport, kind)| {
            let remote = match kind {
                0..=2 => Remote::Any,
                3..=6 => Remote::Prefix(prefix),
                7..=10 => Remote::Group(group_id(u64::from(kind) - 7)),
                _ => Remote::AddressGroup(address_group_id(u64::from(kind) - 11)),
            };
            (direction, prefix.ethertype(), transport, remote)
        },
    );
    vec(shape, number)
}

pub(crate) fn members() -> impl Strategy<Value = Members> {
    let member =
        (prefix(), 0..3_u8).prop_map(|(prefix, last)| Member::new(prefix, Some(mac(last))));
    (
        btree_map(
            (0..4_u64).prop_map(group_id),
            btree_set(member, 0..5).prop_map(SharedSet::from_iter),
            0..4,
        ),
        btree_map(
            (0..2_u64).prop_map(address_group_id),
            btree_set(prefix(), 0..4).prop_map(SharedSet::from_iter),
            0..2,
        ),
    )
        .prop_map(|(groups, address_groups)| Members { groups, address_groups })
}

/// Members in many combinations of the groups.
pub(crate) fn crowd() -> impl Strategy<Value = Members> {
    let prefix = || prop_oneof![8 => address().prop_map(Prefix::host), 1 => prefix()];
    let member =
        (prefix(), 0..3_u8).prop_map(|(prefix, last)| Member::new(prefix, Some(mac(last))));
    (vec(btree_set(member, 10..40), 4), vec(btree_set(prefix(), 10..40), 2)).prop_map(
        |(groups, address_groups)| Members {
            groups: (0..).map(group_id).zip(groups.into_iter().map(SharedSet::from_iter)).collect(),
            address_groups: (0..)
                .map(address_group_id)
                .zip(address_groups.into_iter().map(SharedSet::from_iter))
                .collect(),
        },
    )
}

pub(crate) fn packet() -> impl Strategy<Value = Packet> {
    (address(), 0..4_u8, protocol(), port()).prop_map(|(remote, last, protocol, port)| {
        let [kind, code] = port.to_be_bytes();
        let icmp = if remote.is_ipv4() { IpProtocol::ICMP } else { IpProtocol::ICMPV6 };
        let l4 = if protocol.has_ports() {
            L4::Ports { dst: port }
        } else if protocol == icmp {
            L4::Icmp { kind: code, code: kind }
        } else {
            L4::None
        };
        Packet { remote, remote_mac: Some(mac(last)).filter(|_| last < 3), protocol, l4 }
    })
}

/// Few addresses, so that prefixes meet.
pub(crate) fn address() -> impl Strategy<Value = IpAddr> {
    let low = prop_oneof![0..8_u8, any::<u8>()];
    (any::<bool>(), 0..3_u8, low).prop_map(|(four, net, low)| {
        if four {
            IpAddr::from([10, 0, net, low])
        } else {
            IpAddr::from([0x2001, 0xdb8, 0, u16::from(net), 0, 0, 0, u16::from(low)])
        }
    })
}

pub(crate) fn prefix() -> impl Strategy<Value = Prefix> {
    let short = prop::sample::select(vec![0_u8, 0, 1, 2, 7, 8, 9, 16, 20, 32]);
    let near = (address(), short).prop_map(|(address, short)| {
        let width = if address.is_ipv4() { 32 } else { 128 };
        Prefix::new(address, width - short).unwrap()
    });
    let edge = vec!["0.0.0.0/0", "::/0", "128.0.0.0/1", "255.255.255.255/32"];
    prop_oneof![9 => near, 1 => prop::sample::select(edge).prop_map(|text| text.parse().unwrap())]
}

fn remote_kind() -> impl Strategy<Value = u8> {
    0..13_u8
}

fn protocol() -> impl Strategy<Value = IpProtocol> {
    let known = vec![0, 1, 6, 6, 6, 17, 33, 47, 58, 132, 136, 255];
    prop_oneof![9 => prop::sample::select(known), 1 => any::<u8>()].prop_map(IpProtocol)
}

fn port() -> impl Strategy<Value = u16> {
    let edge = vec![0, 1, 22, 79, 80, 81, 443, 1023, 1024, 32767, 32768, 65534, 65535];
    prop_oneof![2 => prop::sample::select(edge), 1 => 0..16_u16, 1 => any::<u16>()]
}

fn transport() -> impl Strategy<Value = Transport> {
    let few = || prop_oneof![4 => 0..3_u8, 1 => Just(255), 1 => any::<u8>()];
    prop_oneof![
        1 => Just(Transport::Any),
        3 => protocol().prop_map(Transport::Protocol),
        8 => (protocol(), port(), port()).prop_map(|(protocol, one, other)| {
            let protocol = if protocol.has_ports() { protocol } else { IpProtocol::TCP };
            let range = PortRange::new(one.min(other), one.max(other)).unwrap();
            Transport::Ports { protocol, range }
        }),
        3 => (few(), prop::option::of(few()))
            .prop_map(|(kind, code)| Transport::Icmp { kind, code }),
    ]
}
