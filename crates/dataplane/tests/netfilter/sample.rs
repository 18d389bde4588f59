//! Nodes for the tests beside.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataplane::hybrid::{Node, Port};
use model::{
    AddressGroupId, AddressPair, CtZone, MacAddr, NetworkId, PortId, PortRange, PortSecurity,
    Prefix, Remote, SecurityGroup, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId,
    Transport,
};
use policy::Members;
use uuid::Uuid;

/// The devices of ports are named with the front of their ids.
pub(crate) fn port_id(number: u8) -> PortId {
    PortId::new(Uuid::from_u128(u128::from(number) << 120))
}

pub(crate) fn group_id(number: u8) -> SecurityGroupId {
    SecurityGroupId::new(Uuid::from_u128(u128::from(number) << 96))
}

pub(crate) fn address_group_id(number: u8) -> AddressGroupId {
    AddressGroupId::new(Uuid::from_u128(u128::from(number) << 104))
}

pub(crate) fn mac(number: u8) -> MacAddr {
    MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, number])
}

pub(crate) fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// Port `n` has the MAC address fa:16:3e:00:00:n and the addresses 10.0.0.n and fd00::n.
pub(crate) fn port(number: u8, groups: &[u8]) -> Port {
    let pair = |text: String| AddressPair { mac: mac(number), prefix: prefix(&text) };
    let port = model::Port {
        id: port_id(number),
        network: NetworkId::new(Uuid::from_u128(1)),
        mac: mac(number),
        pairs: [format!("10.0.0.{number}"), format!("fd00::{number}")].map(pair).into(),
        security: PortSecurity::Enabled,
        groups: groups.iter().map(|number| group_id(*number)).collect(),
        admin_up: true,
    };
    Port { port: Arc::new(port), zone: Some(CtZone::new(4096 + u16::from(number))) }
}

/// A group of rules, one a line: `ingress IPv4 10.0.0.0/8 tcp 80-90`, with `anybody`, a prefix,
/// `group:1` or `addresses:1` as the remote, and then `any`, a protocol, a protocol with ports, or
/// `type 8 code 0`.
pub(crate) fn group(number: u8, text: &str) -> SecurityGroup {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let rules = lines.map(rule).collect();
    SecurityGroup { id: group_id(number), rules, stateful: true }
}

fn rule(line: &str) -> SecurityGroupRule {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [direction, ethertype, remote, transport @ ..] = words.as_slice() else {
        panic!("no rule: {line}")
    };
    let remote = match remote.split_once(':') {
        None if *remote == "anybody" => Remote::Any,
        Some(("group", number)) => Remote::Group(group_id(number.parse().unwrap())),
        Some(("addresses", number)) => {
            Remote::AddressGroup(address_group_id(number.parse().unwrap()))
        }
        _ => Remote::Prefix(prefix(remote)),
    };
    let transport = match transport {
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
    let (direction, ethertype) = (direction.parse().unwrap(), ethertype.parse().unwrap());
    let id = SecurityGroupRuleId::random();
    SecurityGroupRule::new(id, direction, ethertype, transport, remote).unwrap()
}

pub(crate) fn node(
    ports: impl IntoIterator<Item = Port>,
    groups: impl IntoIterator<Item = SecurityGroup>,
) -> Node {
    Node {
        ports: ports.into_iter().map(|port| (port.port.id, port)).collect(),
        groups: groups.into_iter().map(|group| (group.id, Arc::new(group))).collect(),
        members: Members { groups: BTreeMap::new(), address_groups: BTreeMap::new() },
        strict_equivalence: false,
        ipset: true,
    }
}
