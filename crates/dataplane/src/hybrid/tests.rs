//! Nodes and packets for the tests below.

mod changes;
mod equivalence;
mod golden;
mod passage;
mod rows;
mod strict;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use model::{
    AddressGroupId, AddressPair, CtZone, Direction, EtherType, HybridDevices, IpProtocol, MacAddr,
    NetworkId, PortId, PortRange, PortSecurity, Prefix, Remote, SecurityGroup, SecurityGroupId,
    SecurityGroupRule, SecurityGroupRuleId, Transport,
};
use policy::{Member, Members};
use uuid::Uuid;

use super::verdict::{Header, Packet, State, Verdict, verdict};
use super::{Desired, Installed, Listing, Netfilter, Node, Port, desired};

/// The devices of ports are named with the front of their ids.
fn port_id(number: u8) -> PortId {
    PortId::new(Uuid::from_u128(u128::from(number) << 120 | 0x4000 << 64))
}

fn group_id(number: u8) -> SecurityGroupId {
    SecurityGroupId::new(Uuid::from_u128(0x6000 << 64 | u128::from(number) << 96))
}

fn address_group_id(number: u8) -> AddressGroupId {
    AddressGroupId::new(Uuid::from_u128(0xa000 << 64 | u128::from(number) << 96))
}

fn mac(number: u8) -> MacAddr {
    MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, number])
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn pair(number: u8, text: &str) -> AddressPair {
    AddressPair { mac: mac(number), prefix: prefix(text) }
}

/// Port `n` has the MAC address fa:16:3e:00:00:n, the addresses 10.0.0.n and 2001:db8::n, and the
/// zone 4096 + n.
fn port(number: u8, groups: &[u8]) -> Port {
    let pairs = [format!("10.0.0.{number}"), format!("2001:db8::{number:x}")];
    let port = model::Port {
        id: port_id(number),
        network: NetworkId::new(Uuid::from_u128(1)),
        mac: mac(number),
        pairs: pairs.iter().map(|text| pair(number, text)).collect(),
        security: PortSecurity::Enabled,
        groups: groups.iter().map(|number| group_id(*number)).collect(),
        admin_up: true,
    };
    Port { port: Arc::new(port), zone: Some(CtZone::new(4096 + u16::from(number))) }
}

/// The port with other addresses.
fn with_pairs(port: Port, pairs: &[AddressPair]) -> Port {
    let changed =
        model::Port { pairs: pairs.iter().copied().collect(), ..Arc::unwrap_or_clone(port.port) };
    Port { port: Arc::new(changed), zone: port.zone }
}

fn rule_id(number: u128) -> SecurityGroupRuleId {
    SecurityGroupRuleId::new(Uuid::from_u128(number))
}

/// A group of rules, one a line: `ingress IPv4 10.0.0.0/8 tcp 80-90`, with `anybody`, a prefix,
/// `group:1` or `addresses:1` as the remote, and then `any`, a protocol, a protocol with ports, or
/// `type 8 code 0`. The rules have the ids 1, 2, 3 and so on.
fn group(number: u8, text: &str) -> SecurityGroup {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let rules = lines.zip(1..).map(|(line, id)| rule(rule_id(id), line)).collect();
    SecurityGroup { id: group_id(number), rules, stateful: true }
}

fn rule(id: SecurityGroupRuleId, line: &str) -> SecurityGroupRule {
    let words: Vec<&str> = line.split_whitespace().collect();
    let remote = match words[2].split_once(':') {
        None if words[2] == "anybody" => Remote::Any,
        Some(("group", number)) => Remote::Group(group_id(number.parse().unwrap())),
        Some(("addresses", number)) => {
            Remote::AddressGroup(address_group_id(number.parse().unwrap()))
        }
        _ => Remote::Prefix(prefix(words[2])),
    };
    let transport = match words[3..] {
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
    let (direction, ethertype) = (words[0].parse().unwrap(), words[1].parse().unwrap());
    SecurityGroupRule::new(id, direction, ethertype, transport, remote).unwrap()
}

fn node(
    ports: impl IntoIterator<Item = Port>,
    groups: impl IntoIterator<Item = SecurityGroup>,
) -> Node {
    Node {
        ports: ports.into_iter().map(|port| (port.port.id, port)).collect(),
        groups: groups.into_iter().map(|group| (group.id, Arc::new(group))).collect(),
        members: Members::default(),
        strict_equivalence: false,
        ipset: true,
    }
}

fn members(prefixes: &[&str]) -> policy::SharedSet<Member> {
    prefixes.iter().map(|text| Member::new(prefix(text), None)).collect()
}

/// What a machine gets or sends: the other side is `remote`.
fn packet(
    number: u8,
    direction: Direction,
    [own, remote]: [&str; 2],
    protocol: IpProtocol,
    header: Header,
) -> Packet {
    let devices = HybridDevices::of(port_id(number));
    let [own, remote]: [IpAddr; 2] = [own, remote].map(|text| text.parse().unwrap());
    let other = MacAddr::new([0xfa, 0x16, 0x3e, 0xff, 0xff, 0xff]);
    let (input, output, macs, addresses) = match direction {
        Direction::Ingress => (devices.qvb, devices.tap, [other, mac(number)], [remote, own]),
        Direction::Egress => (devices.tap, devices.qvb, [mac(number), other], [own, remote]),
    };
    Packet {
        input,
        output: Some(output),
        source_mac: macs[0],
        destination_mac: macs[1],
        source: addresses[0],
        destination: addresses[1],
        protocol,
        header,
        state: State::New,
    }
}

fn udp(number: u8, direction: Direction, addresses: [&str; 2], from: u16, to: u16) -> Packet {
    packet(number, direction, addresses, IpProtocol::UDP, Header::Ports { from, to })
}

fn icmpv6(number: u8, direction: Direction, addresses: [&str; 2], kind: u8) -> Packet {
    packet(number, direction, addresses, IpProtocol::ICMPV6, Header::Icmp { kind, code: 0 })
}

fn in_state(packet: &Packet, state: State) -> Packet {
    Packet { state, ..packet.clone() }
}

fn passes(desired: &Desired, packet: &Packet) -> bool {
    match verdict(&desired.netfilter, packet) {
        Verdict::Accepted => true,
        Verdict::Dropped => false,
        Verdict::Undecided | Verdict::Unknown => panic!("nobody has decided on {packet:?}"),
    }
}

/// What is found where this is installed.
fn read_back(desired: &Netfilter) -> Netfilter {
    let (ipv4, ipv6) = (desired.ipv4.to_string(), desired.ipv6.to_string());
    let sets = desired.changes(&Installed::default()).sets_before;
    Installed::parse(Listing { ipv4: &ipv4, ipv6: &ipv6, sets: &sets, protocols: "" }).netfilter()
}

fn chain(desired: &Desired, family: EtherType, name: &str) -> Vec<String> {
    let filter = &desired.netfilter.family(family).0[&super::TableName::Filter];
    filter.chain(name).unwrap().iter().map(ToString::to_string).collect()
}

fn ids<T: Ord>(ids: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    ids.into_iter().collect()
}

fn one<K: Ord, V>(key: K, value: V) -> BTreeMap<K, V> {
    BTreeMap::from([(key, value)])
}
