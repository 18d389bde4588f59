//! The flow set as a function of the snapshot: golden text, and what must hold for all of them.

mod elsewhere;
mod learning;
mod physical;
mod sharing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use expect_test::{ExpectFile, expect, expect_file};
use model::{
    AddressPair, Direction, EtherType, IpProtocol, Network, NetworkId, NetworkType, OfPort, Port,
    PortId, PortRange, PortSecurity, Prefix, Remote, SecurityGroup, SecurityGroupId,
    SecurityGroupRule, SecurityGroupRuleId, Segment, SegmentationId, Transport, VlanTag,
};
use openflow::{Action, Cookie, Flow, Match, Priority};
use policy::Member;

use super::layout::{self, Owner};
use super::{Desired, Fault, desired};
use crate::{Filter, FlowSet, LocalNetwork, LocalPort, PortMeters, PortQos, Snapshot, Underlay};

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

fn port_id(number: u128) -> PortId {
    PortId::new(uuid(number))
}

fn group_id(number: u128) -> SecurityGroupId {
    SecurityGroupId::new(uuid(number))
}

fn network() -> Network {
    let segment = Segment {
        network_type: NetworkType::Vlan,
        physical_network: Some("physnet1".to_owned()),
        segmentation_id: Some(SegmentationId::new(117)),
    };
    Network { id: NetworkId::new(uuid(1)), segment }
}

/// Port `n` has ofport n, MAC fa:16:3e:00:00:n and address 10.0.0.n.
fn port(n: u8, groups: &[u128]) -> LocalPort {
    let mac = model::MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, n]);
    let prefix = Prefix::host([10, 0, 0, n].into());
    LocalPort {
        ofport: OfPort::new(n.into()).unwrap(),
        port: Arc::new(Port {
            id: port_id(n.into()),
            network: network().id,
            mac,
            pairs: BTreeSet::from([AddressPair { mac, prefix }]),
            security: PortSecurity::Enabled,
            groups: groups.iter().map(|group| group_id(*group)).collect(),
            admin_up: true,
        }),
        standby: false,
        filter: Filter::Flows,
        qos: PortQos::default(),
    }
}

fn rule(direction: Direction, transport: Transport, remote: Remote) -> SecurityGroupRule {
    let id = SecurityGroupRuleId::random();
    SecurityGroupRule::new(id, direction, EtherType::Ipv4, transport, remote).unwrap()
}

fn tcp(low: u16, high: u16) -> Transport {
    Transport::Ports { protocol: IpProtocol::TCP, range: PortRange::new(low, high).unwrap() }
}

fn group(number: u128, rules: impl IntoIterator<Item = SecurityGroupRule>) -> SecurityGroup {
    SecurityGroup { id: group_id(number), rules: rules.into_iter().collect(), stateful: true }
}

fn snapshot(
    ports: impl IntoIterator<Item = LocalPort>,
    groups: impl IntoIterator<Item = SecurityGroup>,
) -> Snapshot {
    let network = network();
    let local = LocalNetwork { vlan: VlanTag::MIN, segment: network.segment };
    Snapshot {
        networks: BTreeMap::from([(network.id, local)]),
        uplinks: BTreeMap::from([(
            Underlay::Physical("physnet1".to_owned()),
            OfPort::new(1000).unwrap(),
        )]),
        ports: ports.into_iter().map(|local| (local.port.id, local)).collect(),
        groups: groups.into_iter().map(|group| (group.id, Arc::new(group))).collect(),
        ..Snapshot::default()
    }
}

/// Two ports, three rules, one remote group: everything that a pipeline has.
fn small() -> Snapshot {
    let web = group(
        1,
        [
            rule(Direction::Egress, Transport::Any, Remote::Any),
            rule(Direction::Ingress, tcp(80, 81), Remote::Any),
            rule(Direction::Ingress, tcp(22, 22), Remote::Group(group_id(2))),
        ],
    );
    let mut snapshot = snapshot([port(1, &[1]), port(2, &[1, 2])], [web, group(2, [])]);
    let member = Member::from(*port(2, &[]).port.pairs.first().unwrap());
    snapshot.members.groups.insert(group_id(2), [member].into());
    snapshot
}

fn text(desired: &Desired, of: impl Fn(&Owner) -> bool) -> String {
    let mut text = String::new();
    for flow in desired.flows.sorted() {
        if Owner::of(flow.cookie).is_some_and(|owner| of(&owner)) {
            text.push_str(&layout::with_names(flow));
            text.push('\n');
        }
    }
    text
}

fn check(desired: &Desired, of: impl Fn(&Owner) -> bool, expected: ExpectFile) {
    expected.assert_eq(&text(desired, of));
}

#[test]
fn the_frame_of_the_pipeline() {
    let of = |owner: &Owner| *owner == Owner::BASE;
    check(&desired(&Snapshot::default()), of, expect_file!["golden/base.txt"]);
}

#[test]
fn ports_policies_classes_and_networks() {
    let of = |owner: &Owner| *owner != Owner::BASE;
    check(&desired(&small()), of, expect_file!["golden/small.txt"]);
}

#[test]
fn what_qos_policies_ask_of_flows() {
    let meter = |number| Some(model::MeterId::new(number).unwrap());
    let mut snapshot = small();
    let first = snapshot.ports.get_mut(&port_id(1)).unwrap();
    first.qos = PortQos {
        dscp: Some(model::Dscp::new(26).unwrap()),
        queue: true,
        egress: PortMeters { packets: meter(7), bandwidth: None },
        ingress: PortMeters { packets: None, bandwidth: meter(8) },
    };
    let second = snapshot.ports.get_mut(&port_id(2)).unwrap();
    second.qos = PortQos {
        dscp: None,
        queue: false,
        egress: PortMeters { packets: None, bandwidth: meter(9) },
        ingress: PortMeters { packets: meter(10), bandwidth: meter(11) },
    };
    let before: BTreeSet<_> =
        desired(&small()).flows.sorted().into_iter().map(|it| layout::with_names(it)).collect();
    let now: BTreeSet<_> =
        desired(&snapshot).flows.sorted().into_iter().map(|it| layout::with_names(it)).collect();
    let new: Vec<_> = now.difference(&before).map(String::as_str).collect();
    expect![[r#"
        cookie=0x3e17020000000001, table=ACCEPT_OR_INGRESS, priority=100,reg6=0x1,dl_dst=fa:16:3e:00:00:01 actions=meter:8,set_field:0x1->reg5,set_field:0xe8df7c0b->reg7,goto_table:BASE_INGRESS
        cookie=0x3e17020000000001, table=BANDWIDTH_RATE_LIMIT, priority=100,ip,in_port=1 actions=set_queue:1,set_field:26->ip_dscp,goto_table:TRANSIENT
        cookie=0x3e17020000000001, table=BANDWIDTH_RATE_LIMIT, priority=100,ipv6,in_port=1 actions=set_queue:1,set_field:26->ip_dscp,goto_table:TRANSIENT
        cookie=0x3e17020000000001, table=BANDWIDTH_RATE_LIMIT, priority=30,in_port=1 actions=set_queue:1,goto_table:TRANSIENT
        cookie=0x3e17020000000001, table=PACKET_RATE_LIMIT, priority=100,in_port=1 actions=meter:7,goto_table:BANDWIDTH_RATE_LIMIT
        cookie=0x3e17020000000002, table=ACCEPT_OR_INGRESS, priority=100,reg6=0x1,dl_dst=fa:16:3e:00:00:02 actions=meter:10,set_field:0x2->reg5,set_field:0x5d1871b3->reg7,goto_table:INGRESS_BANDWIDTH
        cookie=0x3e17020000000002, table=BANDWIDTH_RATE_LIMIT, priority=30,in_port=2 actions=meter:9,goto_table:TRANSIENT
        cookie=0x3e17020000000002, table=INGRESS_BANDWIDTH, priority=100,reg5=0x2 actions=meter:11,goto_table:BASE_INGRESS"#]].assert_eq(&new.join("\n"));
    assert_eq!(before.difference(&now).count(), 2, "the ways to the ports have their meters");
    // In a tunnel there is no queue.
    for network in snapshot.networks.values_mut() {
        network.segment.network_type = NetworkType::Vxlan;
    }
    let flows = desired(&snapshot).flows;
    let mut actions = flows.iter().flat_map(|flow| flow.actions.iter());
    assert!(!actions.any(|action| matches!(action, Action::SetQueue(_))));
}

/// A group whose members are in every combination of it and three other groups: it has a bit.
fn overlapping() -> Snapshot {
    let from = |port, remote| rule(Direction::Ingress, tcp(port, port), remote);
    let many = (0..19).map(|n| from(80 + 2 * n, Remote::Group(group_id(2))));
    let others = (3..6).map(|number| from(22, Remote::Group(group_id(number))));
    let mut snapshot = snapshot([port(1, &[1])], [group(1, many.chain(others))]);
    for number in 2..6 {
        let is_in = |n: &u8| number == 2 || n >> (number - 3) & 1 == 1;
        let host = |n| Member::new(Prefix::host([10, 0, 0, n].into()), None);
        let members = (0..8).filter(is_in).map(host).collect();
        snapshot.members.groups.insert(group_id(number), members);
    }
    snapshot
}

#[test]
fn a_group_whose_classes_would_multiply_has_a_bit() {
    let of = |owner: &Owner| [layout::Kind::Class, layout::Kind::Policy].contains(&owner.kind);
    check(&desired(&overlapping()), of, expect_file!["golden/bits.txt"]);
}

/// Entries of classes load no zeros, and a packet between two ports has passed table 174.
#[test]
fn whatever_leads_to_the_classes_of_the_receiver_clears_the_bits() {
    let desired = desired(&overlapping());
    let leads = desired.flows.iter().filter(|flow| {
        flow.actions.iter().any(|action| match action {
            Action::GotoTable(table) | Action::Resubmit(table) => *table == layout::REMOTE_INGRESS,
            Action::Ct(ct) => ct.table == Some(layout::REMOTE_INGRESS),
            _ => false,
        })
    });
    let mut count = 0;
    for flow in leads {
        let cleared = layout::SETS.map(|word| Action::SetField { dst: word, value: 0 });
        assert!(flow.actions.starts_with(&cleared), "{flow}");
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn goto_only_goes_forward() {
    for desired in [desired(&Snapshot::default()), desired(&small())] {
        for flow in desired.flows.iter() {
            for action in flow.actions.iter() {
                if let Action::GotoTable(table) = action {
                    assert!(*table > flow.table, "{flow}");
                }
            }
        }
    }
}

#[test]
fn a_port_costs_six_flows() {
    let of = |owner: &Owner| *owner == Owner::port(port_id(1));
    assert_eq!(text(&desired(&small()), of).lines().count(), 6);
}

#[test]
fn an_unmanaged_port_is_not_checked() {
    let mut snapshot = small();
    let local = snapshot.ports.get_mut(&port_id(1)).unwrap();
    Arc::make_mut(&mut local.port).security = PortSecurity::Disabled;
    let of = |owner: &Owner| *owner == Owner::port(port_id(1));
    expect![[r#"
        cookie=0x3e17020000000001, table=TRANSIENT, priority=100,in_port=1 actions=set_field:0x1->reg5,set_field:0x1->reg6,goto_table:LEARN
        cookie=0x3e17020000000001, table=ACCEPT_OR_INGRESS, priority=100,reg6=0x1,dl_dst=fa:16:3e:00:00:01 actions=set_field:0x1->reg5,load:0x1->NXM_NX_REG10[3],goto_table:ACCEPTED_EGRESS
        cookie=0x3e17020000000001, table=UNICAST_ELSEWHERE, priority=100,reg5=0x1,reg6=0x1 actions=output:1
        cookie=0x3e17020000000001, table=UNICAST_ELSEWHERE, priority=110,reg5=0x1,reg6=0x1,in_port=1 actions=set_field:0xb->reg9,resubmit(,DROPPED)
    "#]]
    .assert_eq(&text(&desired(&snapshot), of));
}

#[test]
fn with_strict_equivalence_rules_filter_group_frames() {
    let mut snapshot = small();
    let mut unmanaged = port(3, &[]);
    Arc::make_mut(&mut unmanaged.port).security = PortSecurity::Disabled;
    snapshot.ports.insert(unmanaged.port.id, unmanaged);
    let before = desired(&snapshot).flows;
    snapshot.strict_equivalence = true;
    let mut filtered = desired(&snapshot);
    for flow in before.iter() {
        filtered.flows.remove(flow);
    }
    check(&filtered, |_| true, expect_file!["golden/strict.txt"]);
}

#[test]
fn a_permitted_ethertype_needs_no_source_mac() {
    let permitted = |owner: Owner| {
        let mut snapshot = small();
        snapshot.permitted_ethertypes.insert("0x88cc".parse().unwrap());
        let text = text(&desired(&snapshot), |of| *of == owner);
        let flows = text.lines().filter(|flow| flow.contains("dl_type=0x88cc"));
        flows.flat_map(|flow| [flow, "\n"]).collect::<String>()
    };
    expect![[r#"
        cookie=0x3e17020000000001, table=BASE_EGRESS, priority=95,reg5=0x1,dl_type=0x88cc actions=set_field:0x1->reg6,resubmit(,ACCEPT_OR_INGRESS)
    "#]].assert_eq(&permitted(Owner::port(port_id(1))));
    expect![[r#"
        cookie=0x3e17010000000000, table=TRANSIENT, priority=50,dl_type=0x88cc actions=move:NXM_OF_IN_PORT[]->NXM_NX_REG5[0..15],goto_table:BASE_EGRESS
        cookie=0x3e17010000000000, table=BASE_INGRESS, priority=100,dl_type=0x88cc actions=output:NXM_NX_REG5[]
    "#]].assert_eq(&permitted(Owner::BASE));
}

#[test]
fn a_port_with_an_unknown_group_is_closed() {
    let mut snapshot = small();
    snapshot.groups.remove(&group_id(2));
    let desired = desired(&snapshot);
    assert_eq!(desired.faults, [Fault::Group { port: port_id(2), group: group_id(2) }]);
    assert!(text(&desired, |owner| *owner == Owner::port(port_id(2))).is_empty());
    assert!(!text(&desired, |owner| *owner == Owner::port(port_id(1))).is_empty());
}

#[test]
fn the_policy_of_a_set_in_force_stays() {
    let mut before = small();
    let of = |owner: &Owner| owner.kind == layout::Kind::Policy;
    let both = text(&desired(&before), of);
    let left = before.ports.remove(&port_id(2)).unwrap();
    assert_ne!(text(&desired(&before), of), both);
    before.in_force.insert(left.port.groups.clone());
    assert_eq!(text(&desired(&before), of), both);
}

#[test]
fn a_port_without_a_network_is_closed() {
    let mut snapshot = small();
    snapshot.networks.clear();
    let desired = desired(&snapshot);
    assert_eq!(desired.faults.len(), 2);
    assert!(text(&desired, |owner| *owner != Owner::BASE).is_empty());
}

#[test]
fn ports_of_dccp_are_refused_and_not_widened() {
    let dccp =
        Transport::Ports { protocol: IpProtocol::DCCP, range: PortRange::new(1, 2).unwrap() };
    let rule = rule(Direction::Ingress, dccp, Remote::Any);
    let desired = desired(&snapshot([port(1, &[1])], [group(1, [rule.clone()])]));
    let refusal = policy::Refusal { rule: rule.id(), protocol: IpProtocol::DCCP };
    assert_eq!(desired.faults, [Fault::Rule { port: port_id(1), refusal }]);
    assert!(!text(&desired, |_| true).contains("nw_proto=33"));
}

#[test]
fn the_scale_scenario_is_small() {
    let rules = (3000..4000).map(|high| rule(Direction::Ingress, tcp(3000, high), Remote::Any));
    let rules = rules.chain([rule(Direction::Egress, Transport::Any, Remote::Any)]);
    let ports = (0..400_u16).map(|n| {
        let mut local = port(1, &[1]);
        let [high, low] = n.to_be_bytes();
        let mac = model::MacAddr::new([0xfa, 0x16, 0x3e, 0, high, low]);
        local.ofport = OfPort::new(u32::from(n) + 1).unwrap();
        Arc::make_mut(&mut local.port).id = port_id(n.into());
        Arc::make_mut(&mut local.port).mac = mac;
        let prefix = Prefix::host([10, 0, high, low].into());
        Arc::make_mut(&mut local.port).pairs = BTreeSet::from([AddressPair { mac, prefix }]);
        local
    });
    let snapshot = snapshot(ports, [group(1, rules)]);
    let started = Instant::now();
    let desired = desired(&snapshot);
    println!("{} flows in {:?}", desired.flows.len(), started.elapsed());
    assert!(desired.flows.len() < 2600, "{}", desired.flows.len());
}

#[test]
fn diff_leads_from_any_set_to_any_other() {
    let sets = [
        FlowSet::new(),
        desired(&Snapshot::default()).flows,
        desired(&small()).flows,
        desired(&snapshot([port(1, &[])], [])).flows,
    ];
    for from in &sets {
        for to in &sets {
            let mut installed = from.clone();
            for change in to.diff(from, layout::is_weir) {
                installed.apply(&change);
            }
            assert_eq!(&installed, to);
            assert!(to.diff(&installed, layout::is_weir).is_empty());
        }
    }
}

#[test]
fn diff_adds_before_it_deletes_and_leaves_foreign_flows() {
    let foreign = Flow {
        table: layout::LOCAL_SWITCHING,
        priority: Priority(7),
        cookie: Cookie(1),
        matches: Match::new(),
        actions: [].into(),
    };
    let mut installed = desired(&snapshot([port(3, &[])], [])).flows;
    installed.replace(foreign.clone());
    let changes = desired(&small()).flows.diff(&installed, layout::is_weir);
    let is_delete = |change: &openflow::FlowMod| change.command == openflow::Command::DeleteStrict;
    assert!(changes.iter().any(is_delete));
    assert!(changes.is_sorted_by_key(is_delete));
    assert!(changes.iter().all(|change| change.flow.key() != foreign.key()));
}

#[test]
fn a_flat_network_takes_frames_without_a_tag_and_with_a_priority_tag() {
    let mut snapshot = small();
    for local in snapshot.networks.values_mut() {
        local.segment.network_type = NetworkType::Flat;
        local.segment.segmentation_id = None;
    }
    let flows = text(&desired(&snapshot), |owner| owner.kind == layout::Kind::Network);
    expect![[r#"
        cookie=0x3e17050000000001, table=LOCAL_SWITCHING, priority=3,in_port=1000,vlan_tci=0x0000/0x1fff actions=push_vlan:0x8100,set_field:4097->vlan_vid,set_field:0x1->reg6,load:0x1->NXM_NX_REG10[0],goto_table:PACKET_RATE_LIMIT
        cookie=0x3e17050000000001, table=LOCAL_SWITCHING, priority=3,in_port=1000,dl_vlan=0 actions=set_field:4097->vlan_vid,set_field:0x1->reg6,load:0x1->NXM_NX_REG10[0],goto_table:PACKET_RATE_LIMIT
        cookie=0x3e17050000000001, table=ACCEPTED_EGRESS_NORMAL, priority=50,reg6=0x1,reg10=0/0x1 actions=push_vlan:0x8100,set_field:4097->vlan_vid,output:1000
    "#]]
    .assert_eq(&flows);
}

#[test]
fn a_tunnel_network_takes_frames_with_its_local_vlan() {
    for network_type in [NetworkType::Vxlan, NetworkType::Gre, NetworkType::Geneve] {
        let mut snapshot = small();
        snapshot.uplinks = BTreeMap::from([(Underlay::Tunnels, OfPort::new(900).unwrap())]);
        for local in snapshot.networks.values_mut() {
            local.segment.network_type = network_type;
            local.segment.physical_network = None;
        }
        let flows = text(&desired(&snapshot), |owner| owner.kind == layout::Kind::Network);
        expect![[r#"
            cookie=0x3e17050000000001, table=LOCAL_SWITCHING, priority=3,in_port=900,dl_vlan=1 actions=set_field:0x1->reg6,load:0x1->NXM_NX_REG10[0],goto_table:PACKET_RATE_LIMIT
            cookie=0x3e17050000000001, table=ACCEPTED_EGRESS_NORMAL, priority=50,reg6=0x1,reg10=0/0x1 actions=push_vlan:0x8100,set_field:4097->vlan_vid,output:900
        "#]]
        .assert_eq(&flows);
    }
}
