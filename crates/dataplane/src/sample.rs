//! Changes of a node at random, for tests of what follows them.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{
    AddressGroupId, AddressPair, Direction, Dscp, EtherType, IpProtocol, MacAddr, MeterId,
    NetworkId, NetworkType, OfPort, Port, PortId, PortRange, PortSecurity, Prefix, Remote,
    SecurityGroup, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId, Segment,
    SegmentationId, Transport, VlanTag,
};
use policy::Member;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use uuid::Uuid;

use crate::{
    Filter, LocalNetwork, LocalPort, PermittedEtherType, PortMeters, PortQos, Snapshot, Underlay,
};

/// Something that happens to a node. Numbers name things; there are few, so they meet.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// A port is plugged in or changes.
    Port {
        number: u8,
        network: u8,
        groups: BTreeSet<u8>,
        managed: bool,
        standby: bool,
        filter: Filter,
        pair: Option<u8>,
        mark: Option<u8>,
    },
    /// A port goes.
    Unplug(u8),
    /// A rule is added to a group, which may be new.
    Rule { group: u8, number: u8, direction: Direction, transport: Transport, remote: Remote },
    /// Many rules that cannot be merged name one group, and one names each of the others.
    Rules { group: u8, direction: Direction, remote: u8 },
    /// A rule is taken away.
    NoRule { group: u8, number: u8 },
    /// A group is forgotten.
    NoGroup(u8),
    /// Somebody joins a group.
    Join { group: u8, member: Member },
    /// Somebody leaves a group.
    Leave { group: u8, index: u8 },
    /// Groups get other members: the n-th address is in those groups whose bit is set.
    Crowd(Vec<u8>),
    /// An address group gets another content.
    Addresses { group: u8, prefixes: BTreeSet<Prefix> },
    /// A set of groups lingers, or none.
    Linger(Option<BTreeSet<u8>>),
    /// The uplink comes or goes.
    Uplink(bool),
    /// An EtherType is permitted, or none.
    Permit(bool),
}

fn uuid(kind: u8, number: u8) -> Uuid {
    Uuid::from_u128(u128::from(kind) << 64 | u128::from(number))
}

fn group_id(number: u8) -> SecurityGroupId {
    SecurityGroupId::new(uuid(1, number))
}

fn address_group_id(number: u8) -> AddressGroupId {
    AddressGroupId::new(uuid(2, number))
}

fn mac(number: u8) -> MacAddr {
    MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, number])
}

fn groups(numbers: &BTreeSet<u8>) -> BTreeSet<SecurityGroupId> {
    numbers.iter().copied().map(group_id).collect()
}

fn add_rule(
    snapshot: &mut Snapshot,
    group: u8,
    number: u8,
    direction: Direction,
    transport: Transport,
    remote: Remote,
) {
    let id = SecurityGroupRuleId::new(uuid(5, number));
    let rule = SecurityGroupRule::new(id, direction, EtherType::Ipv4, transport, remote);
    let id = group_id(group);
    let known = snapshot
        .groups
        .entry(id)
        .or_insert_with(|| Arc::new(SecurityGroup { id, rules: BTreeSet::new(), stateful: true }));
    Arc::make_mut(known).rules.extend(rule);
}

impl Edit {
    /// Does it to the snapshot.
    pub(crate) fn apply(self, snapshot: &mut Snapshot) {
        match self {
            Self::Port {
                number,
                network,
                groups: numbers,
                managed,
                standby,
                filter,
                pair,
                mark,
            } => {
                let id = NetworkId::new(uuid(3, network));
                let segment = Segment {
                    network_type: NetworkType::Vlan,
                    physical_network: Some("physnet1".to_owned()),
                    segmentation_id: Some(SegmentationId::new(100 + u32::from(network))),
                };
                let vlan = VlanTag::new(1 + u32::from(network)).unwrap();
                snapshot.networks.insert(id, LocalNetwork { vlan, segment });
                let prefix = Prefix::host([10, 0, 0, number].into());
                let mut pairs = BTreeSet::from([AddressPair { mac: mac(number), prefix }]);
                pairs.extend(pair.map(|mine| AddressPair { mac: mac(200 + mine), prefix }));
                let security = if managed { PortSecurity::Enabled } else { PortSecurity::Disabled };
                let port = Port {
                    id: PortId::new(uuid(4, number)),
                    network: id,
                    mac: mac(number),
                    pairs,
                    security,
                    groups: groups(&numbers),
                    admin_up: true,
                };
                let ofport = OfPort::new(u32::from(number) + 1).unwrap();
                let meter = |at: u32| {
                    let number = mark.map(|mark| u32::from(mark) + at);
                    number.map(|number| MeterId::new(number).unwrap())
                };
                let odd = mark.is_some_and(|mark| mark % 2 == 1);
                let qos = PortQos {
                    dscp: mark.map(|mark| Dscp::new(mark.into()).unwrap()),
                    queue: odd,
                    egress: PortMeters { packets: meter(1), bandwidth: meter(19) },
                    ingress: PortMeters { packets: meter(9), bandwidth: meter(29).filter(|_| odd) },
                };
                snapshot.ports.insert(
                    port.id,
                    LocalPort { ofport, port: Arc::new(port), standby, filter, qos },
                );
            }
            Self::Unplug(number) => {
                snapshot.ports.remove(&PortId::new(uuid(4, number)));
            }
            Self::Rule { group, number, direction, transport, remote } => {
                add_rule(snapshot, group, number, direction, transport, remote);
            }
            Self::Rules { group, direction, remote } => {
                let mut add = |number, port, remote| {
                    let range = PortRange::new(port, port).unwrap();
                    let transport = Transport::Ports { protocol: IpProtocol::TCP, range };
                    let remote = Remote::Group(group_id(remote));
                    add_rule(snapshot, group, number, direction, transport, remote);
                };
                (0..4).for_each(|other| add(100 + other, 9, other));
                (0..20).for_each(|n| add(110 + n, 80 + 2 * u16::from(n), remote));
            }
            Self::NoRule { group, number } => {
                let id = SecurityGroupRuleId::new(uuid(5, number));
                if let Some(known) = snapshot.groups.get_mut(&group_id(group)) {
                    Arc::make_mut(known).rules.retain(|rule| rule.id() != id);
                }
            }
            Self::NoGroup(number) => {
                snapshot.groups.remove(&group_id(number));
            }
            Self::Join { group, member } => {
                let set = snapshot.members.groups.entry(group_id(group)).or_default();
                set.insert(member);
            }
            Self::Leave { group, index } => {
                if let Some(set) = snapshot.members.groups.get_mut(&group_id(group)) {
                    let member = set.iter().nth(index.into()).copied();
                    member.map(|member| set.remove(&member));
                }
            }
            Self::Crowd(crowd) => {
                for group in 0..4 {
                    let hosts = (0..).zip(&crowd).filter(|(_, groups)| *groups >> group & 1 == 1);
                    let members = hosts
                        .map(|(low, _)| Member::new(Prefix::host([10, 0, 0, low].into()), None));
                    snapshot.members.groups.insert(group_id(group), members.collect());
                }
            }
            Self::Addresses { group, prefixes } => {
                let id = address_group_id(group);
                snapshot.members.address_groups.insert(id, prefixes.into_iter().collect());
            }
            Self::Linger(set) => {
                snapshot.in_force = set.iter().map(groups).collect();
            }
            Self::Uplink(true) => {
                let ofport = OfPort::new(1000).unwrap();
                snapshot.uplinks.insert(Underlay::Physical("physnet1".to_owned()), ofport);
            }
            Self::Uplink(false) => snapshot.uplinks.clear(),
            Self::Permit(true) => {
                let ethertype = PermittedEtherType::new(0x88cc).unwrap();
                snapshot.permitted_ethertypes.insert(ethertype);
            }
            Self::Permit(false) => snapshot.permitted_ethertypes.clear(),
        }
    }
}

pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    let few = || 0..4_u8;
    let numbers = || btree_set(few(), 0..3);
    let direction = || prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
    prop_oneof![
        4 => (0..6_u8, 0..2_u8, numbers(), [0.8, 0.1].map(prop::bool::weighted), filter(), proptest::option::of(0..2_u8), proptest::option::of(0..3_u8))
            .prop_map(|(number, network, groups, [managed, standby], filter, pair, mark)| {
                Edit::Port { number, network, groups, managed, standby, filter, pair, mark }
            }),
        1 => (0..6_u8).prop_map(Edit::Unplug),
        6 => (few(), 0..12_u8, direction(), transport(), remote()).prop_map(
            |(group, number, direction, transport, remote)| {
                Edit::Rule { group, number, direction, transport, remote }
            }
        ),
        3 => (few(), direction(), few())
            .prop_map(|(group, direction, remote)| Edit::Rules { group, direction, remote }),
        3 => vec(0..16_u8, 16..32).prop_map(Edit::Crowd),
        3 => (few(), 0..12_u8).prop_map(|(group, number)| Edit::NoRule { group, number }),
        1 => few().prop_map(Edit::NoGroup),
        4 => (few(), member()).prop_map(|(group, member)| Edit::Join { group, member }),
        2 => (few(), few()).prop_map(|(group, index)| Edit::Leave { group, index }),
        1 => (0..2_u8, btree_set(prefix(), 0..4))
            .prop_map(|(group, prefixes)| Edit::Addresses { group, prefixes }),
        1 => proptest::option::of(numbers()).prop_map(Edit::Linger),
        1 => any::<bool>().prop_map(Edit::Uplink),
        1 => any::<bool>().prop_map(Edit::Permit),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![6 => Just(Filter::Flows), 1 => Just(Filter::Netfilter), 1 => Just(Filter::Nothing)]
}

fn transport() -> impl Strategy<Value = Transport> {
    let protocols = vec![IpProtocol::TCP, IpProtocol::UDP, IpProtocol::DCCP];
    prop_oneof![
        1 => Just(Transport::Any),
        3 => (prop::sample::select(protocols), 80..90_u16, 0..10_u16).prop_map(
            |(protocol, low, more)| {
                let range = PortRange::new(low, low + more).unwrap();
                Transport::Ports { protocol, range }
            }
        ),
    ]
}

fn remote() -> impl Strategy<Value = Remote> {
    prop_oneof![
        Just(Remote::Any),
        prefix().prop_map(Remote::Prefix),
        (0..4_u8).prop_map(|number| Remote::Group(group_id(number))),
        (0..2_u8).prop_map(|number| Remote::AddressGroup(address_group_id(number))),
    ]
}

fn member() -> impl Strategy<Value = Member> {
    let any = "0.0.0.0/0".parse().unwrap();
    let prefix = prop_oneof![9 => prefix(), 1 => Just(any)];
    (prefix, 0..3_u8).prop_map(|(prefix, number)| Member::new(prefix, Some(mac(number))))
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (0..8_u8, prop::sample::select(vec![32_u8, 32, 31, 30, 24]))
        .prop_map(|(low, length)| Prefix::new([10, 0, 0, low].into(), length).unwrap())
}
