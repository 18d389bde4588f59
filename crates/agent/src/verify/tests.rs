use std::net::IpAddr;
use std::sync::Arc;

use dataplane::{Filter, LocalNetwork, PortQos, Underlay, bridge};
use model::{
    AddressPair, EtherType, IpProtocol, MacAddr, NetworkId, NetworkType, OfPort, Port, PortRange,
    PortSecurity, Prefix, Remote, SecurityGroup, SecurityGroupId, SecurityGroupRule,
    SecurityGroupRuleId, Segment, SegmentationId, Transport, VlanTag,
};
use openflow::Priority;
use policy::Member;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

mod chains;
mod group_frames;
mod sets;
mod stateless;

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x4000_8000_0000_0000_0000 | number)
}

/// Sets of netfilter are named with the front of an id.
fn group_id(number: u8) -> SecurityGroupId {
    SecurityGroupId::new(uuid(u128::from(number) << 96))
}

fn mac(last: u8) -> MacAddr {
    MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, last])
}

/// Port `n` with two addresses and the ofport `n`.
fn port(n: u8, groups: &[u8]) -> LocalPort {
    let pair = |text: String| AddressPair { mac: mac(n), prefix: text.parse().unwrap() };
    LocalPort {
        ofport: OfPort::new(n.into()).unwrap(),
        port: Arc::new(Port {
            id: PortId::new(uuid(u128::from(n) << 8)),
            network: NetworkId::new(uuid(0xff)),
            mac: mac(n),
            pairs: [pair(format!("10.0.0.{n}")), pair(format!("2001:db8::{n:x}"))].into(),
            security: PortSecurity::Enabled,
            groups: groups.iter().map(|group| group_id(*group)).collect(),
            admin_up: true,
        }),
        standby: false,
        filter: Filter::Flows,
        qos: PortQos::default(),
    }
}

type Shape = (Direction, EtherType, Transport, Remote);

/// One network, ports 1 to 3 in groups {0}, {0} and {0, 1}, and these rules by turns.
fn node(shapes: &[Shape], members: &[BTreeSet<Prefix>], uplink: bool) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for number in [0, 1] {
        let id = group_id(number);
        let group = SecurityGroup { id, rules: BTreeSet::new(), stateful: true };
        snapshot.groups.insert(id, Arc::new(group));
    }
    for (number, (direction, ethertype, transport, remote)) in (0..).zip(shapes) {
        let id = SecurityGroupRuleId::new(uuid(number << 16));
        let rule = SecurityGroupRule::new(id, *direction, *ethertype, *transport, *remote);
        let group = snapshot.groups.get_mut(&group_id((number % 2) as u8)).unwrap();
        Arc::make_mut(group).rules.extend(rule.ok());
    }
    for (number, prefixes) in (0..).zip(members) {
        let any_mac = |prefix: &Prefix| Member::new(*prefix, Some(mac(0x77)));
        let prefixes = prefixes.iter().map(any_mac).collect();
        snapshot.members.groups.insert(group_id(number), prefixes);
    }
    for local in [port(1, &[0]), port(2, &[0]), port(3, &[0, 1])] {
        snapshot.ports.insert(local.port.id, local);
    }
    let segment = Segment {
        network_type: NetworkType::Vlan,
        physical_network: Some("physnet1".to_owned()),
        segmentation_id: Some(SegmentationId::new(117)),
    };
    let network = LocalNetwork { vlan: VlanTag::new(5).unwrap(), segment };
    snapshot.networks.insert(NetworkId::new(uuid(0xff)), network);
    if uplink {
        snapshot
            .uplinks
            .insert(Underlay::Physical("physnet1".to_owned()), OfPort::new(1000).unwrap());
    }
    snapshot
}

fn tcp(low: u16, high: u16) -> Transport {
    Transport::Ports { protocol: IpProtocol::TCP, range: PortRange::new(low, high).unwrap() }
}

fn small() -> Snapshot {
    let any = Remote::Any;
    let shapes = [
        (Direction::Egress, EtherType::Ipv4, Transport::Any, any),
        (Direction::Ingress, EtherType::Ipv4, tcp(22, 22), Remote::Group(group_id(1))),
        (Direction::Ingress, EtherType::Ipv4, tcp(80, 81), any),
    ];
    let member = BTreeSet::from(["10.9.0.0/16".parse().unwrap()]);
    node(&shapes, &[BTreeSet::new(), member], false)
}

fn desired(snapshot: &Snapshot) -> Vec<Arc<Flow>> {
    bridge::desired(snapshot).flows.iter().cloned().collect()
}

/// What is found with these flows, without regard to time.
fn found(snapshot: &Snapshot, installed: Vec<Arc<Flow>>) -> Report {
    let desired = bridge::desired(snapshot);
    let installed = installed.into_iter().map(|flow| (*flow).clone()).collect();
    let given = Given { snapshot, desired: &desired, installed };
    verify(given, Duration::from_secs(1), || Duration::ZERO).0
}

/// What is found when the flows that `spoil` says are taken out.
fn without(spoil: impl Fn(&Flow) -> bool) -> Report {
    let snapshot = small();
    let mut flows = desired(&snapshot);
    let before = flows.len();
    flows.retain(|flow| !spoil(flow));
    assert!(flows.len() < before, "nothing was spoiled");
    found(&snapshot, flows)
}

#[test]
fn what_the_compiler_makes_is_right() {
    let snapshot = small();
    let report = found(&snapshot, desired(&snapshot));
    assert_eq!(report.differences, []);
    assert_eq!((report.differ, report.checked), (0, report.of));
    assert!(report.of > 500, "{}", report.of);
    assert_eq!((report.ports, report.ports_checked), (3, 3));
    assert_eq!((report.policies, report.policies_checked), (4, 4));
}

#[test]
fn a_shared_mac_and_what_was_learned_are_no_difference() {
    let mut snapshot = small();
    let [shared, own] = [mac(1), mac(2)];
    let ports = &mut snapshot.ports;
    let third = ports.values_mut().find(|local| local.port.mac == mac(3)).unwrap();
    Arc::make_mut(&mut third.port)
        .pairs
        .insert(AddressPair { mac: shared, prefix: "10.7.0.0/16".parse().unwrap() });
    let mut twin = third.clone();
    twin.ofport = OfPort::new(4).unwrap();
    Arc::make_mut(&mut twin.port).id = PortId::new(uuid(0xffff));
    Arc::make_mut(&mut twin.port).mac = own;
    Arc::make_mut(&mut twin.port).pairs =
        [AddressPair { mac: own, prefix: "10.0.0.4/32".parse().unwrap() }].into();
    ports.insert(twin.port.id, twin);
    let mut flows = desired(&snapshot);
    let learned: Flow = format!(
        "cookie=0x3e17060000000005, table=176, priority=100,reg6=0x5,dl_dst={shared} \
         actions=load:0x3->NXM_NX_REG5[0..15]"
    )
    .parse()
    .unwrap();
    let without = flows.len();
    flows.push(Arc::new(learned));
    let report = found(&snapshot, flows);
    assert_eq!(report.differences, []);
    assert_eq!((report.checked, report.flows), (report.of, without));
}

#[test]
fn what_a_port_on_standby_does_not_get_is_no_difference() {
    let mut snapshot = small();
    snapshot.ports.values_mut().next().unwrap().standby = true;
    let report = found(&snapshot, desired(&snapshot));
    assert_eq!(report.differences, []);
}

#[test]
fn a_rule_flow_that_is_missing_is_named() {
    let report = without(|flow| layout::with_names(flow).contains("tp_dst=0x50"));
    // TCP to ports 80 and 81 is one atom: new and established, with a mark and without, to three
    // ports, from each place.
    assert!(report.differ >= 9, "{report:?}");
    let first = &report.differences[0];
    assert_eq!(first.direction, "ingress");
    assert!(first.expected.starts_with("accepted by rule"), "{first:?}");
    assert_eq!(first.found, "refused: no ingress rule allows it");
    assert_eq!(first.table, "182 RULES_INGRESS");
    assert!(first.should_be.as_ref().unwrap().contains("tp_dst=0x50"), "{first:?}");
}

#[test]
fn a_flow_too_many_is_named() {
    let snapshot = small();
    let mut flows = desired(&snapshot);
    let open = "table=182, priority=60,udp actions=goto_table:185".parse().unwrap();
    flows.push(Arc::new(open));
    let report = found(&snapshot, flows);
    assert!(report.differ > 0);
    let first = &report.differences[0];
    assert!(first.expected.starts_with("refused: no rule admits it"), "{first:?}");
    assert!(first.found.starts_with("accepted"), "{first:?}");
    assert!(first.flow.as_ref().unwrap().contains("priority=60,udp"), "{first:?}");
}

#[test]
fn every_stage_is_looked_at() {
    let port = |flow: &Flow, table| flow.table == TableId(table) && flow.priority != Priority(0);
    for table in [0, 160, 171, 173, 181, 184] {
        let report = without(|flow| port(flow, table));
        assert!(report.differ > 0, "nobody misses table {table}");
    }
}

/// A flow that should not be there, and what tells that it is.
fn with(flow: &str) -> Difference {
    let snapshot = small();
    let mut flows = desired(&snapshot);
    flows.push(Arc::new(flow.parse().unwrap()));
    let report = found(&snapshot, flows);
    assert!(report.differ > 0, "nobody sees {flow}");
    report.differences[0].clone()
}

#[test]
fn a_hole_in_the_source_checks_is_found() {
    for (hole, packet) in [
        ("table=171, priority=66,ip actions=resubmit(,175)", "ip"),
        ("table=171, priority=66,ipv6 actions=resubmit(,175)", "ipv6"),
        ("table=171, priority=96,arp actions=resubmit(,173)", "arp"),
        ("table=160, priority=200,dl_type=0x8035 actions=resubmit(,173)", "0x8035"),
        ("table=171, priority=96,dl_type=0x88cc actions=resubmit(,173)", "0x88cc"),
        ("table=171, priority=96,icmp6,icmp_type=136 actions=resubmit(,173)", "icmpv6_type=136"),
        ("table=171, priority=96,icmp6,icmp_type=134 actions=resubmit(,173)", "icmpv6_type=134"),
        ("table=171, priority=96,udp6,tp_src=547 actions=resubmit(,173)", "udp_src=547"),
        ("table=171, priority=96,udp,tp_src=67 actions=resubmit(,173)", "udp_src=67"),
        ("table=160, priority=200,in_port=1 actions=load:5->NXM_NX_REG6[],resubmit(,173)", ""),
        ("table=160, priority=200,vlan_tci=0x1000/0x1000 actions=resubmit(,173)", "dl_vlan"),
    ] {
        let first = with(hole);
        assert_eq!(first.direction, "egress", "{hole}");
        assert_eq!(first.found, "accepted", "{hole}: {first:?}");
        assert!(packet.is_empty() || first.flow.is_some(), "{hole}: {first:?}");
    }
}

#[test]
fn what_every_port_may_do_is_missed_when_it_cannot() {
    let takes = |name: &'static str, table, kind: &'static str| {
        let report = without(move |flow| {
            flow.table == TableId(table) && layout::with_names(flow).contains(kind)
        });
        assert!(report.differ > 0, "nobody misses {name}");
    };
    takes("DHCP discovery", 171, "nw_src=0.0.0.0");
    takes("DAD", 171, "icmp_type=135");
    takes("MLD reports without an address", 171, "icmp_type=143");
    takes("advertisements of own addresses", 171, "nd_target=fe80");
    takes("DHCPv6", 175, "udp6");
    takes("MLD reports", 175, "icmp_type=143");
    for kind in ["icmp_type=130", "icmp_type=134", "icmp_type=135", "icmp_type=136", "udp6", "arp"]
    {
        takes("delivery", 181, kind);
    }
}

#[test]
fn a_connection_that_is_not_committed_or_wrongly_is_found() {
    let commits = |flow: &Flow| layout::with_names(flow).contains("commit");
    for table in [185, 191] {
        let report = without(|flow| flow.table == TableId(table) && commits(flow));
        let first = &report.differences[0];
        assert!(first.expected.contains("; its connection is committed in zone 5"), "{first:?}");
        assert!(first.found.ends_with("; its connection is left as it is"), "{first:?}");
        let marked = report.differences.iter().any(|it| it.expected.contains("gets mark 0"));
        assert!(marked, "{report:?}");
    }
    for table in [172, 182] {
        let report = without(|flow| flow.table == TableId(table) && commits(flow));
        let first = &report.differences[0];
        assert!(first.expected.contains("; its connection gets mark 1 in zone 5"), "{first:?}");
    }
    let all =
        "table=191, priority=200,ip actions=ct(commit,zone=NXM_NX_REG6[0..15]),resubmit(,194)";
    assert!(with(all).found.contains("committed"));
    let other = "table=185, priority=200,ct_state=+trk+new,ip \
                 actions=ct(commit,zone=9),output:NXM_NX_REG5[]";
    assert!(with(other).found.contains("committed in zone 9"));
}

#[test]
fn ports_without_port_security_are_looked_at() {
    let mut snapshot = small();
    let mut free = port(4, &[]);
    Arc::make_mut(&mut free.port).security = PortSecurity::Disabled;
    snapshot.ports.insert(free.port.id, free.clone());
    let report = found(&snapshot, desired(&snapshot));
    assert_eq!((report.differences, report.ports_checked), (Vec::new(), 4));

    let of_port = |flow: &Flow| flow.cookie == layout::Owner::port(free.port.id).cookie();
    let mut flows = desired(&snapshot);
    flows.retain(|flow| !of_port(flow));
    let report = found(&snapshot, flows);
    assert!(report.differ > 0, "nobody misses the port");
    assert_eq!(report.differences[0].port, free.port.id.to_string());
    let mut flows = desired(&snapshot);
    flows.push(Arc::new(
        "table=160, priority=200,in_port=4,udp,tp_src=67 actions=drop".parse().unwrap(),
    ));
    assert!(found(&snapshot, flows).differ > 0);
}

#[test]
fn ports_that_are_filtered_elsewhere_are_looked_at() {
    let mut snapshot = small();
    let shared = AddressPair { mac: mac(9), prefix: "10.7.0.0/16".parse().unwrap() };
    for filter in [Filter::Netfilter, Filter::Nothing] {
        for pair in [shared, AddressPair { mac: mac(9), prefix: "::/0".parse().unwrap() }] {
            let local = snapshot.ports.values_mut().next().unwrap();
            local.filter = filter;
            Arc::make_mut(&mut local.port).pairs.insert(pair);
            for strict_equivalence in [true, false] {
                snapshot.strict_equivalence = strict_equivalence;
                let report = found(&snapshot, desired(&snapshot));
                assert_eq!((report.differences, report.ports_checked), (Vec::new(), 3));
            }
        }
    }
    let with = |flow: &str| {
        let mut flows = desired(&snapshot);
        flows.push(Arc::new(flow.parse().unwrap()));
        found(&snapshot, flows).differ
    };
    let refused = "table=171, priority=200,reg5=0x1,icmp6,icmp_type=134 actions=drop";
    let let_through = "table=171, priority=200,reg5=0x1,arp actions=resubmit(,173)";
    assert!(with(refused) > 0 && with(let_through) > 0);
    let filtered = "table=173, priority=200,reg6=0x5,tcp,tp_dst=22 actions=drop";
    assert!(with(filtered) > 0);
}

#[test]
fn a_member_that_is_missing_is_found_among_many() {
    let any = Remote::Group(group_id(1));
    let shapes = [(Direction::Ingress, EtherType::Ipv4, tcp(22, 22), any)];
    let members = (0..3000_u16).map(|n| {
        let [high, low] = n.to_be_bytes();
        Prefix::host(IpAddr::from([10, 9, high, low]))
    });
    let snapshot = node(&shapes, &[BTreeSet::new(), members.collect()], false);
    let mut flows = desired(&snapshot);
    assert_eq!(found(&snapshot, flows.clone()).differ, 0);
    flows.retain(|flow| !layout::with_names(flow).contains("nw_src=10.9.7.33 "));
    let report = found(&snapshot, flows);
    assert!(report.differ > 0);
    assert!(report.differences[0].packet.contains("10.9.7.33"), "{report:?}");
}

/// More rules than atoms could be made of.
#[test]
fn the_edges_of_many_rules_are_looked_at() {
    let rule = |n: u16| {
        let [high, low] = n.to_be_bytes();
        let prefix = Prefix::new(IpAddr::from([10, high, low, 0]), 24).unwrap();
        (Direction::Ingress, EtherType::Ipv4, tcp(100 + 2 * n, 100 + 2 * n), Remote::Prefix(prefix))
    };
    let shapes: Vec<Shape> = (0..210).map(rule).collect();
    let snapshot = node(&shapes, &[], false);
    let mut flows = desired(&snapshot);
    let report = found(&snapshot, flows.clone());
    assert_eq!((report.differences, report.checked), (Vec::new(), report.of));
    assert!(report.of > 30_000, "{}", report.of);

    let before = flows.len();
    flows.retain(|flow| !layout::with_names(flow).contains("tp_dst=298 "));
    assert_eq!(flows.len(), before - 1);
    let report = found(&snapshot, flows);
    assert!(report.differ > 0 && report.differences[0].should_be.is_some(), "{report:?}");
}

#[test]
fn when_time_is_up_it_says_how_much_was_left() {
    let snapshot = small();
    let desired = bridge::desired(&snapshot);
    let installed = desired.flows.clone();
    let given = Given { snapshot: &snapshot, desired: &desired, installed };
    let mut now = Duration::ZERO;
    let (report, _) = verify(given, Duration::from_secs(60), || {
        now += Duration::from_secs(1);
        now
    });
    assert!(report.checked < report.of && report.checked > 0, "{report:?}");
    assert_eq!(report.differ, 0);
}

fn address(four: bool, net: u8, low: u8) -> IpAddr {
    if four {
        IpAddr::from([10, 0, net, low])
    } else {
        IpAddr::from([0x2001, 0xdb8, 0, u16::from(net), 0, 0, 0, u16::from(low)])
    }
}

fn prefix() -> impl Strategy<Value = Prefix> {
    let short = prop::sample::select(vec![0_u8, 0, 1, 2, 8, 9, 16, 32]);
    let near = (any::<bool>(), 0..2_u8, 0..6_u8, short).prop_map(|(four, net, low, short)| {
        let width = if four { 32 } else { 128 };
        Prefix::new(address(four, net, low), width - short).unwrap()
    });
    let edge = prop::sample::select(vec!["0.0.0.0/0", "::/0", "ff02::/16", "224.0.0.0/4"]);
    prop_oneof![8 => near, 1 => edge.prop_map(|text| text.parse().unwrap())]
}

fn transport() -> impl Strategy<Value = Transport> {
    let protocol = || prop::sample::select(vec![0_u8, 1, 6, 17, 33, 47, 58, 132, 136]);
    let port = || prop::sample::select(vec![0_u16, 1, 79, 80, 81, 546, 1023, 32768, 65535]);
    let kind = || prop::sample::select(vec![0_u8, 3, 8, 128, 130, 131, 133, 134, 135, 136, 143]);
    prop_oneof![
        1 => Just(Transport::Any),
        2 => protocol().prop_map(|number| Transport::Protocol(IpProtocol(number))),
        5 => (protocol(), port(), port()).prop_map(|(number, one, other)| {
            let protocol = IpProtocol(number);
            let protocol = if protocol.has_ports() { protocol } else { IpProtocol::TCP };
            let range = PortRange::new(one.min(other), one.max(other)).unwrap();
            Transport::Ports { protocol, range }
        }),
        2 => (kind(), prop::option::of(0..2_u8))
            .prop_map(|(kind, code)| Transport::Icmp { kind, code }),
    ]
}

/// A rule that may name one of so many groups.
fn shape(groups: u8) -> impl Strategy<Value = Shape> {
    let direction = prop::sample::select(vec![Direction::Ingress, Direction::Egress]);
    (direction, prefix(), transport(), 0..4 + groups).prop_map(
        |(direction, prefix, transport, kind)| {
            let remote = match kind {
                0..=1 => Remote::Any,
                2..=3 => Remote::Prefix(prefix),
                kind => Remote::Group(group_id(kind - 4)),
            };
            (direction, prefix.ethertype(), transport, remote)
        },
    )
}

/// A switch does not see the ports of DCCP, so a rule with some of them does not apply; but two that
/// have all ports together do, on a port that has both.
#[test]
fn a_rule_that_does_not_apply_by_itself_may_beside_another() {
    let ports = |low, high| Transport::Ports {
        protocol: IpProtocol::DCCP,
        range: PortRange::new(low, high).unwrap(),
    };
    let rule =
        |transport| (Direction::Ingress, EtherType::Ipv4, transport, Remote::Group(group_id(1)));
    let other = (Direction::Ingress, EtherType::Ipv6, Transport::Any, Remote::Any);
    let shapes = [rule(ports(0, 79)), other, other, rule(ports(80, 65535))];
    let member = ["10.0.0.4/30".parse().unwrap()].into();
    let snapshot = node(&shapes, &[BTreeSet::new(), member], false);
    assert_eq!(found(&snapshot, desired(&snapshot)).differences, []);
}

/// Nor does it for everybody; but who is admitted to the rest of the ports is admitted to all.
#[test]
fn a_rule_that_does_not_apply_may_make_another_whole() {
    let ports = |low, high| Transport::Ports {
        protocol: IpProtocol::UDPLITE,
        range: PortRange::new(low, high).unwrap(),
    };
    let one = Remote::Prefix("10.0.0.0/32".parse().unwrap());
    let rule = |transport, remote| (Direction::Ingress, EtherType::Ipv4, transport, remote);
    let other = (Direction::Ingress, EtherType::Ipv6, Transport::Any, Remote::Any);
    let shapes = [rule(ports(1, 65535), one), other, rule(ports(0, 0), Remote::Any)];
    let snapshot = node(&shapes, &[BTreeSet::new(), BTreeSet::new()], false);
    assert_eq!(found(&snapshot, desired(&snapshot)).differences, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// The flows of any policy give the reference verdict, for a packet of every atom, in both
    /// directions, in everything that connection tracking can say, stateful and stateless.
    #[test]
    fn flows_say_what_the_rules_say(
        shapes in vec(shape(2), 0..10),
        members in vec(btree_set(prefix(), 0..4), 2),
        uplink in any::<bool>(),
        stateful in any::<[bool; 2]>(),
    ) {
        let mut snapshot = node(&shapes, &members, uplink);
        for (group, stateful) in snapshot.groups.values_mut().zip(stateful) {
            Arc::make_mut(group).stateful = stateful;
        }
        let report = found(&snapshot, desired(&snapshot));
        prop_assert_eq!(report.differences, []);
        prop_assert_eq!(report.checked, report.of);
    }
}
