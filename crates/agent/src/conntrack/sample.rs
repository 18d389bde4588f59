//! A small node, for the tests of this module.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataplane::{Filter, LocalNetwork, LocalPort, PortQos, Snapshot};
use model::{
    AddressPair, CtZone, Direction, EtherType, IpProtocol, MacAddr, NetworkId, NetworkType, OfPort,
    Port, PortId, PortRange, PortSecurity, Remote, SecurityGroup, SecurityGroupId,
    SecurityGroupRule, SecurityGroupRuleId, Segment, Transport, VlanTag,
};

/// The local VLAN of network `n`, which is its zone.
pub(super) fn zone(n: u8) -> CtZone {
    vlan(n).zone()
}

fn vlan(n: u8) -> VlanTag {
    VlanTag::new(n.into()).unwrap()
}

pub(super) fn uuid(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

pub(super) fn network_id(n: u8) -> NetworkId {
    uuid(0xa000 + u32::from(n)).parse().unwrap()
}

pub(super) fn port_id(n: u8) -> PortId {
    uuid(n.into()).parse().unwrap()
}

pub(super) fn group_id(n: u32) -> SecurityGroupId {
    uuid(n).parse().unwrap()
}

pub(super) fn pair(mac: MacAddr, prefix: &str) -> AddressPair {
    AddressPair { mac, prefix: prefix.parse().unwrap() }
}

/// Port `n` of network 5 with address 10.0.0.n and group `n`.
pub(super) fn port(n: u8) -> LocalPort {
    let mac = MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, n]);
    let port = Port {
        id: port_id(n),
        network: network_id(5),
        mac,
        pairs: [pair(mac, &format!("10.0.0.{n}"))].into(),
        security: PortSecurity::Enabled,
        groups: [group_id(n.into())].into(),
        admin_up: true,
    };
    LocalPort {
        ofport: OfPort::new(n.into()).unwrap(),
        port: Arc::new(port),
        standby: false,
        filter: Filter::Flows,
        qos: PortQos::default(),
    }
}

pub(super) fn group(n: u32, rules: &[SecurityGroupRule]) -> SecurityGroup {
    SecurityGroup { id: group_id(n), rules: rules.iter().cloned().collect(), stateful: true }
}

pub(super) fn rule(
    direction: Direction,
    transport: Transport,
    remote: Remote,
) -> SecurityGroupRule {
    let id = SecurityGroupRuleId::random();
    SecurityGroupRule::new(id, direction, EtherType::Ipv4, transport, remote).unwrap()
}

pub(super) fn udp(port: u16) -> Transport {
    let range = PortRange::new(port, port).unwrap();
    Transport::Ports { protocol: IpProtocol::UDP, range }
}

/// Networks 5 and 6, with ports 1 and 2 on network 5. 1 may send everything, 2 may receive what
/// these rules say.
pub(super) fn node(ingress: &[SecurityGroupRule]) -> Snapshot {
    let network = |n| {
        let network_type = NetworkType::Local;
        let segment = Segment { network_type, physical_network: None, segmentation_id: None };
        (network_id(n), LocalNetwork { vlan: vlan(n), segment })
    };
    let everything = rule(Direction::Egress, Transport::Any, Remote::Any);
    Snapshot {
        networks: BTreeMap::from([5, 6].map(network)),
        ports: [1, 2].map(|n| (port_id(n), port(n))).into(),
        groups: [group(1, &[everything]), group(2, ingress)].map(|it| (it.id, Arc::new(it))).into(),
        ..Snapshot::default()
    }
}
