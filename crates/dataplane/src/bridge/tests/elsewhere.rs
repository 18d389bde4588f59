//! Ports with port security whose rules are no business of flows, packet by packet.

use std::net::{Ipv4Addr, Ipv6Addr};

use model::MacAddr;
use openflow::PortNo;
use openflow::interpreter::{Arp, Effect, Packet, Tables, Untracked, run};

use super::learning::{Learner, UPLINK, mac};
use super::*;
use crate::PermittedEtherType;

const STRANGER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const VIRTUAL: MacAddr = MacAddr::new([0, 0, 0x5e, 0, 1, 7]);
/// The way out of the node, where frames have the local VLAN.
const OUT: (u32, Option<u16>) = (UPLINK, Some(1));

/// Port 1 is managed and may send anything. Ports 2 and 3 are filtered elsewhere, and a rule that
/// they have lets nothing in. Port 2 may use 10.7.0.0/16 and 2001:db8:7::/48 with another MAC address.
fn mixed() -> Snapshot {
    let anything = group(1, [rule(Direction::Egress, Transport::Any, Remote::Any)]);
    let mut snapshot =
        snapshot([port(1, &[1]), port(2, &[2]), port(3, &[2])], [anything, group(2, [])]);
    for (n, filter) in [(2, Filter::Netfilter), (3, Filter::Nothing)] {
        local(&mut snapshot, n).filter = filter;
    }
    for prefix in ["10.7.0.0/16", "2001:db8:7::/48"] {
        pair(&mut snapshot, 2, prefix);
    }
    snapshot
}

fn local(snapshot: &mut Snapshot, n: u128) -> &mut LocalPort {
    snapshot.ports.get_mut(&port_id(n)).unwrap()
}

fn pair(snapshot: &mut Snapshot, n: u128, prefix: &str) {
    let pair = AddressPair { mac: VIRTUAL, prefix: prefix.parse().unwrap() };
    Arc::make_mut(&mut local(snapshot, n).port).pairs.insert(pair);
}

fn frame(from: MacAddr, to: MacAddr) -> Packet {
    Packet::new(PortNo(2)).eth_src(from.octets()).eth_dst(to.octets())
}

fn ipv4(from: MacAddr, address: [u8; 4]) -> Packet {
    frame(from, STRANGER).ipv4(address, [10, 0, 0, 99]).udp(67, 68)
}

fn arp(from: MacAddr, address: [u8; 4]) -> Packet {
    let (sha, spa) = (from.octets(), Ipv4Addr::from(address));
    let tpa = [10, 0, 0, 99].into();
    frame(from, STRANGER).arp(Arp { op: 1, sha, spa, tha: [0; 6], tpa })
}

fn advertisement(from: MacAddr, target: &str) -> Packet {
    let target: Ipv6Addr = target.parse().unwrap();
    frame(from, STRANGER).ipv6(target, target).neighbour_advertisement(target, from.octets())
}

#[test]
fn it_sends_whatever_it_wants_from_its_mac_addresses() {
    let mut switch = Learner::new(&mixed());
    for own in [mac(2), VIRTUAL] {
        assert_eq!(switch.put_in(ipv4(own, [192, 0, 2, 1])), [OUT]);
        assert_eq!(switch.put_in(frame(own, STRANGER).eth_type(0x88cc)), [OUT]);
        assert_eq!(switch.put_in(frame(own, STRANGER).eth_type(0x8035)), [OUT]);
    }
    for other in [mac(1), mac(3), STRANGER] {
        assert_eq!(switch.put_in(ipv4(other, [10, 0, 0, 2])), [], "{other}");
        assert_eq!(switch.put_in(frame(other, STRANGER).eth_type(0x88cc)), [], "{other}");
    }
    assert_eq!(switch.put_in(ipv4(mac(2), [10, 0, 0, 2]).vlan(7)), []);
}

#[test]
fn it_announces_no_addresses_but_its_own() {
    let mut switch = Learner::new(&mixed());
    // An address may be used with any of its MAC addresses.
    for own in [mac(2), VIRTUAL] {
        assert_eq!(switch.put_in(arp(own, [10, 0, 0, 2])), [OUT]);
        assert_eq!(switch.put_in(arp(own, [10, 7, 8, 9])), [OUT]);
        for address in [[10, 0, 0, 1], [10, 0, 0, 3], [0; 4]] {
            assert_eq!(switch.put_in(arp(own, address)), [], "{address:?}");
        }
    }
    assert_eq!(switch.put_in(arp(STRANGER, [10, 0, 0, 2])), []);

    let link_local = |mac: MacAddr| mac.link_local().to_string();
    for target in ["2001:db8:7::9", &link_local(mac(2)), &link_local(VIRTUAL)] {
        // As in Neutron, judged by the target alone.
        for from in [mac(2), VIRTUAL, STRANGER] {
            assert_eq!(switch.put_in(advertisement(from, target)), [OUT], "{target} by {from}");
        }
    }
    for from in [mac(2), VIRTUAL, STRANGER] {
        for target in ["2001:db8:8::9", &link_local(mac(1))] {
            assert_eq!(switch.put_in(advertisement(from, target)), [], "{target} by {from}");
        }
    }
}

#[test]
fn who_may_have_any_address_announces_any_from_its_mac_addresses() {
    let mut snapshot = mixed();
    for prefix in ["0.0.0.0/0", "::/0"] {
        pair(&mut snapshot, 2, prefix);
    }
    let mut switch = Learner::new(&snapshot);
    for own in [mac(2), VIRTUAL] {
        assert_eq!(switch.put_in(arp(own, [0; 4])), [OUT]);
        assert_eq!(switch.put_in(advertisement(own, "2001:db8:8::9")), [OUT]);
    }
    assert_eq!(switch.put_in(arp(STRANGER, [0; 4])), []);
    assert_eq!(switch.put_in(advertisement(STRANGER, "2001:db8:8::9")), []);
}

#[test]
fn frames_for_it_are_delivered_without_rules() {
    let mut switch = Learner::new(&mixed());
    for to in [mac(2), VIRTUAL] {
        for (in_port, from) in [(1, mac(1)), (3, mac(3)), (UPLINK, STRANGER)] {
            assert_eq!(switch.send(in_port, from, to), [(2, None)], "{to} from {in_port}");
        }
    }
    let other = frame(mac(3), mac(2)).eth_type(0x88cc);
    let from_three = Packet::new(PortNo(3)).eth_src(mac(3).octets()).eth_dst(mac(2).octets());
    assert_eq!(switch.put_in(from_three.eth_type(0x88cc)), [(2, None)]);
    assert_eq!(switch.put_in(other), [], "the MAC address of another port");
    // What it sends to a managed port meets the rules there, which let nothing in.
    assert_eq!(switch.send(2, mac(2), mac(1)), []);
}

/// The kernel does not show netfilter what is in a frame with a tag.
#[test]
fn no_frame_with_a_tag_passes_by_netfilter() {
    let mut switch = Learner::new(&mixed());
    let from = |n: u8| {
        let from = Packet::new(PortNo(n.into())).eth_src(mac(n).octets());
        let packet = from.eth_dst(STRANGER.octets()).ipv4([10, 0, 0, n], [10, 0, 0, 99]);
        packet.udp(1, 2)
    };
    for n in [2, 3] {
        assert_eq!(switch.put_in(from(n)), [OUT]);
        assert_eq!(switch.put_in(from(n).vlan(7)), []);
    }
    assert_eq!(switch.put_in(from(2).vlan(0)), [], "a priority tag");
    assert_eq!(switch.put_in(from(3).vlan(0)), [OUT], "nobody filters it anyway");

    // On the wire there is the tag of the segment; what is in it may be another one.
    let to = |to: [u8; 6]| {
        let frame = Packet::new(PortNo(UPLINK)).eth_src(STRANGER.octets()).eth_dst(to);
        frame.vlan(117)
    };
    for tag in [0x8100, 0x88a8] {
        assert_eq!(switch.put_in(to(mac(2).octets()).eth_type(tag)), []);
        assert_eq!(switch.put_in(to(mac(3).octets()).eth_type(tag)), [(3, None)]);
        let flows = desired(&mixed()).flows;
        let tables = Tables::new(flows.iter().map(AsRef::as_ref));
        let group = run(&tables, to([0xff; 6]).eth_type(tag), &mut Untracked);
        assert!(group.is_dropped(), "{:?}", group.effects);
    }
}

/// Netfilter does not see them, so flows refuse what a managed port would not send or get.
#[test]
fn other_ethertypes_need_a_permission_with_strict_equivalence() {
    let passing = |strict_equivalence, permitted: &[u16], n: u8, ethertype| {
        let permitted = permitted.iter().map(|number| PermittedEtherType::new(*number).unwrap());
        let permitted_ethertypes = permitted.collect();
        let snapshot = Snapshot { strict_equivalence, permitted_ethertypes, ..mixed() };
        let mut switch = Learner::new(&snapshot);
        let from = Packet::new(PortNo(n.into())).eth_src(mac(n).octets());
        let sent = switch.put_in(from.eth_dst(STRANGER.octets()).eth_type(ethertype));
        let to = Packet::new(PortNo(UPLINK)).eth_src(STRANGER.octets()).eth_dst(mac(n).octets());
        let got = switch.put_in(to.vlan(117).eth_type(ethertype));
        assert!(sent.is_empty() || sent == [OUT]);
        assert!(got.is_empty() || got == [(n.into(), None)]);
        (!sent.is_empty(), !got.is_empty())
    };
    assert_eq!(passing(false, &[], 2, 0x88cc), (true, true));
    assert_eq!(passing(true, &[], 2, 0x88cc), (false, false));
    assert_eq!(passing(true, &[0x88cc], 2, 0x88cc), (true, true));
    assert_eq!(passing(true, &[0x88cc], 2, 0x88b5), (false, false));
    // As at a managed port: reverse ARP of a MAC address that has an address, and what is IP.
    for n in [1, 2] {
        assert_eq!(passing(true, &[], n, 0x8035), (true, false), "{n}");
    }
    assert_eq!(passing(true, &[], 3, 0x88cc), (true, true), "nobody filters this one");
    let mut switch = Learner::new(&Snapshot { strict_equivalence: true, ..mixed() });
    assert_eq!(switch.put_in(ipv4(mac(2), [192, 0, 2, 1])), [OUT]);
    assert_eq!(switch.put_in(arp(mac(2), [10, 0, 0, 2])), [OUT]);
    assert_eq!(switch.put_in(arp(mac(2), [10, 0, 0, 1])), []);
    assert_eq!(switch.put_in(advertisement(mac(2), "2001:db8::9")), []);
    let to = Packet::new(PortNo(UPLINK)).eth_src(STRANGER.octets()).eth_dst(mac(2).octets());
    let request = Arp {
        op: 1,
        sha: STRANGER.octets(),
        spa: [10, 0, 0, 99].into(),
        tha: [0; 6],
        tpa: [10, 0, 0, 2].into(),
    };
    assert_eq!(switch.put_in(to.clone().vlan(117).arp(request)), [(2, None)]);
    let to = to.vlan(117).ipv4([10, 0, 0, 99], [10, 0, 0, 2]).udp(1, 2);
    assert_eq!(switch.put_in(to), [(2, None)]);
}

#[test]
fn what_is_for_nobody_known_is_not_shown_to_it() {
    let mut snapshot = mixed();
    let mut switch = Learner::new(&snapshot);
    let before = switch.len();
    for (in_port, from) in [(1, mac(1)), (2, mac(2)), (3, mac(3))] {
        assert_eq!(switch.send(in_port, from, STRANGER), [OUT], "{in_port}");
    }
    assert_eq!(switch.len(), before, "nobody is learned");
    // Not where there is an unmanaged port either.
    let mut free = port(4, &[]);
    Arc::make_mut(&mut free.port).security = PortSecurity::Disabled;
    snapshot.ports.insert(free.port.id, free);
    assert_eq!(Learner::new(&snapshot).send(2, mac(2), STRANGER), [(4, None), OUT]);
}

/// The ports that a group frame reaches by flows alone, without NORMAL.
fn reached(snapshot: &Snapshot, in_port: u32, from: MacAddr) -> Vec<u32> {
    let flows = desired(snapshot).flows;
    let tables = Tables::new(flows.iter().map(AsRef::as_ref));
    let packet = Packet::new(PortNo(in_port)).eth_src(from.octets()).eth_dst([0xff; 6]);
    let packet = packet.ipv4([10, 0, 0, 9], [255; 4]).udp(1, 2);
    let run = run(&tables, packet, &mut Untracked);
    assert_eq!(run.fault, None);
    let outputs = run.effects.iter().filter_map(|effect| match effect {
        Effect::Output { port, .. } => Some(port.0),
        Effect::Normal { .. } => panic!("NORMAL"),
        _ => None,
    });
    outputs.collect()
}

#[test]
fn with_strict_equivalence_group_frames_reach_it_without_rules() {
    let mut snapshot = mixed();
    snapshot.strict_equivalence = true;
    assert_eq!(reached(&snapshot, 2, mac(2)), [3, UPLINK], "the managed port lets nothing in");
    assert_eq!(reached(&snapshot, 3, mac(3)), [2, UPLINK]);
}

#[test]
fn its_groups_are_no_matter() {
    let mut snapshot = mixed();
    snapshot.ports.remove(&port_id(1));
    snapshot.groups.clear();
    let desired = desired(&snapshot);
    assert_eq!(desired.faults, []);
    assert!(desired.policies.is_empty());
    assert_eq!(text(&desired, |owner| owner.kind == layout::Kind::Policy), "");
}

#[test]
fn what_a_port_behind_netfilter_needs() {
    let mut snapshot = mixed();
    local(&mut snapshot, 3).filter = Filter::Netfilter;
    let flows = text(&desired(&snapshot), |owner| *owner == Owner::port(port_id(3)));
    expect![[r#"
        cookie=0x3e17020000000003, table=TRANSIENT, priority=100,in_port=3,dl_src=fa:16:3e:00:00:03 actions=set_field:0x3->reg5,set_field:0x1->reg6,load:0x1->NXM_NX_REG10[8],load:0x1->NXM_NX_REG10[1],load:0x1->NXM_NX_REG10[2],goto_table:BASE_EGRESS
        cookie=0x3e17020000000003, table=TRANSIENT, priority=125,in_port=3,vlan_tci=0x1000/0x1000 actions=set_field:0x2->reg9,goto_table:DROPPED
        cookie=0x3e17020000000003, table=BASE_EGRESS, priority=95,arp,reg5=0x3,arp_spa=10.0.0.3 actions=resubmit(,ACCEPT_OR_INGRESS)
        cookie=0x3e17020000000003, table=BASE_EGRESS, priority=95,icmp6,reg5=0x3,icmp_type=136,icmp_code=0,nd_target=fe80::f816:3eff:fe00:3 actions=set_field:0x1->reg6,resubmit(,ACCEPT_OR_INGRESS)
        cookie=0x3e17020000000003, table=ACCEPT_OR_INGRESS, priority=100,reg6=0x1,dl_dst=fa:16:3e:00:00:03 actions=set_field:0x3->reg5,load:0x1->NXM_NX_REG10[9],goto_table:BASE_INGRESS
    "#]].assert_eq(&flows);
}

#[test]
fn what_a_port_that_nobody_filters_needs() {
    let flows = text(&desired(&mixed()), |owner| *owner == Owner::port(port_id(3)));
    expect![[r#"
        cookie=0x3e17020000000003, table=TRANSIENT, priority=100,in_port=3,dl_src=fa:16:3e:00:00:03 actions=set_field:0x3->reg5,set_field:0x1->reg6,load:0x1->NXM_NX_REG10[8],load:0x1->NXM_NX_REG10[1],load:0x1->NXM_NX_REG10[2],goto_table:BASE_EGRESS
        cookie=0x3e17020000000003, table=BASE_EGRESS, priority=95,arp,reg5=0x3,arp_spa=10.0.0.3 actions=resubmit(,ACCEPT_OR_INGRESS)
        cookie=0x3e17020000000003, table=BASE_EGRESS, priority=95,icmp6,reg5=0x3,icmp_type=136,icmp_code=0,nd_target=fe80::f816:3eff:fe00:3 actions=set_field:0x1->reg6,resubmit(,ACCEPT_OR_INGRESS)
        cookie=0x3e17020000000003, table=ACCEPT_OR_INGRESS, priority=100,reg6=0x1,dl_dst=fa:16:3e:00:00:03 actions=set_field:0x3->reg5,load:0x1->NXM_NX_REG10[3],goto_table:ACCEPTED_EGRESS
    "#]].assert_eq(&flows);
}
