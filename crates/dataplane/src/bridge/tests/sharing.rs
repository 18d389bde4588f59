//! Who gets unicast for a MAC address that several ports may use, packet by packet.

use std::sync::Arc;

use model::MacAddr;
use openflow::PortNo;
use openflow::interpreter::{Arp, Packet};

use super::learning::{Learner, UPLINK, mac};
use super::*;

/// The virtual MAC address, with which its users may use 10.7.0.0/16 and 2001:db8:7::/48.
const VIRTUAL: MacAddr = MacAddr::new([0, 0, 0x5e, 0, 1, 7]);
const STRANGER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const OPEN: u128 = 1;
const CLOSED: u128 = 2;

/// Ports 1 to 4 may send and receive anything; 2 and 3 share the virtual MAC address.
fn redundant() -> Snapshot {
    let anything = [
        rule(Direction::Egress, Transport::Any, Remote::Any),
        rule(Direction::Ingress, Transport::Any, Remote::Any),
    ];
    let nothing = rule(Direction::Egress, Transport::Any, Remote::Any);
    let groups = [group(OPEN, anything), group(CLOSED, [nothing])];
    let mut snapshot = snapshot([1, 2, 3, 4].map(|n| port(n, &[OPEN])), groups);
    for n in [2, 3] {
        pair(&mut snapshot, n, VIRTUAL);
    }
    snapshot
}

fn local(snapshot: &mut Snapshot, n: u128) -> &mut LocalPort {
    snapshot.ports.get_mut(&port_id(n)).unwrap()
}

fn pair(snapshot: &mut Snapshot, n: u128, mac: MacAddr) {
    for prefix in ["10.7.0.0/16", "2001:db8:7::/48"] {
        let prefix = prefix.parse().unwrap();
        Arc::make_mut(&mut local(snapshot, n).port).pairs.insert(AddressPair { mac, prefix });
    }
}

fn announcement(in_port: u32, mac: MacAddr, address: [u8; 4]) -> Packet {
    let (sha, spa) = (mac.octets(), address.into());
    let packet = Packet::new(PortNo(in_port)).eth_src(sha).eth_dst([0xff; 6]);
    packet.arp(Arp { op: 1, sha, spa, tha: [0; 6], tpa: spa })
}

fn advertisement(in_port: u32, mac: MacAddr, address: &str) -> Packet {
    let address = address.parse().unwrap();
    let all = "ff02::1".parse::<std::net::Ipv6Addr>().unwrap();
    let packet =
        Packet::new(PortNo(in_port)).eth_src(mac.octets()).eth_dst([0x33, 0x33, 0, 0, 0, 1]);
    packet.ipv6(address, all).neighbour_advertisement(address, mac.octets())
}

/// Who gets an IP packet for the address that port 1 sends, and one from the uplink.
fn holder(switch: &mut Learner, shared: MacAddr) -> u32 {
    let [ours, theirs] =
        [(1, mac(1)), (UPLINK, STRANGER)].map(|(in_port, from)| switch.send(in_port, from, shared));
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 1, "{ours:?}");
    ours[0].0
}

#[test]
fn until_one_has_sent_an_own_address_goes_before_a_pair_then_the_lower_id() {
    let mut snapshot = redundant();
    assert_eq!(holder(&mut Learner::new(&snapshot), VIRTUAL), 2);
    pair(&mut snapshot, 2, mac(4));
    assert_eq!(holder(&mut Learner::new(&snapshot), mac(4)), 4);
}

#[test]
fn unicast_follows_who_has_sent_last() {
    let mut snapshot = redundant();
    pair(&mut snapshot, 2, mac(4));
    let mut switch = Learner::new(&snapshot);
    switch.put_in(announcement(3, VIRTUAL, [10, 7, 0, 1]));
    assert_eq!(holder(&mut switch, VIRTUAL), 3);
    switch.put_in(advertisement(2, VIRTUAL, "2001:db8:7::1"));
    assert_eq!(holder(&mut switch, VIRTUAL), 2);
    switch.put_in(announcement(2, mac(4), [10, 7, 0, 1]));
    assert_eq!(holder(&mut switch, mac(4)), 2);
    switch.send(4, mac(4), mac(1));
    assert_eq!(holder(&mut switch, mac(4)), 4, "any packet will do");
    assert_eq!(holder(&mut switch, VIRTUAL), 2);
}

#[test]
fn who_may_not_send_from_it_moves_nothing() {
    let mut snapshot = redundant();
    Arc::make_mut(&mut local(&mut snapshot, 4).port).security = PortSecurity::Disabled;
    let mut switch = Learner::new(&snapshot);
    switch.put_in(announcement(3, VIRTUAL, [10, 7, 0, 1]));
    switch.put_in(announcement(2, VIRTUAL, [10, 8, 0, 1]));
    switch.put_in(advertisement(2, VIRTUAL, "2001:db8:8::1"));
    switch.put_in(announcement(1, VIRTUAL, [10, 0, 0, 1]));
    switch.put_in(advertisement(1, VIRTUAL, "fe80::f816:3eff:fe00:1"));
    switch.put_in(announcement(4, VIRTUAL, [10, 7, 0, 1]));
    assert_eq!(holder(&mut switch, VIRTUAL), 3);
}

#[test]
fn a_change_of_groups_needs_no_new_packet() {
    let mut snapshot = redundant();
    let mut switch = Learner::new(&snapshot);
    switch.put_in(announcement(3, VIRTUAL, [10, 7, 0, 1]));
    Arc::make_mut(&mut local(&mut snapshot, 3).port).groups = BTreeSet::from([group_id(CLOSED)]);
    switch.update(&snapshot);
    assert_eq!(switch.send(1, mac(1), VIRTUAL), [], "its own rules hold");
    Arc::make_mut(&mut local(&mut snapshot, 3).port).groups = BTreeSet::from([group_id(OPEN)]);
    switch.update(&snapshot);
    assert_eq!(holder(&mut switch, VIRTUAL), 3);
}

#[test]
fn who_has_gone_or_lost_the_address_gets_nothing() {
    let mut snapshot = redundant();
    pair(&mut snapshot, 4, VIRTUAL);
    let before = snapshot.clone();
    let mut switch = Learner::new(&snapshot);
    switch.put_in(announcement(3, VIRTUAL, [10, 7, 0, 1]));
    Arc::make_mut(&mut local(&mut snapshot, 3).port).pairs.retain(|pair| pair.mac != VIRTUAL);
    switch.update(&snapshot);
    assert_eq!(holder(&mut switch, VIRTUAL), 2);
    snapshot.ports.remove(&port_id(3));
    switch.update(&snapshot);
    assert_eq!(holder(&mut switch, VIRTUAL), 2);
    switch.update(&before);
    assert_eq!(holder(&mut switch, VIRTUAL), 3, "it is back, and nobody has sent since");
}

#[test]
fn an_unmanaged_port_with_that_address_takes_part() {
    let mut snapshot = redundant();
    pair(&mut snapshot, 2, mac(4));
    Arc::make_mut(&mut local(&mut snapshot, 4).port).security = PortSecurity::Disabled;
    let mut switch = Learner::new(&snapshot);
    assert_eq!(holder(&mut switch, mac(4)), 4);
    switch.put_in(announcement(2, mac(4), [10, 7, 0, 1]));
    assert_eq!(holder(&mut switch, mac(4)), 2);
    switch.send(4, mac(4), mac(1));
    assert_eq!(holder(&mut switch, mac(4)), 4);
}

#[test]
fn nothing_is_learned_of_an_address_that_one_port_has() {
    let mut snapshot = redundant();
    Arc::make_mut(&mut local(&mut snapshot, 3).port).pairs.retain(|pair| pair.mac != VIRTUAL);
    let mut switch = Learner::new(&snapshot);
    let before = switch.len();
    switch.put_in(announcement(2, VIRTUAL, [10, 7, 0, 1]));
    switch.send(1, mac(1), VIRTUAL);
    assert_eq!(switch.len(), before);
}

/// Who gets an IP packet for port 2 from port 1, and with which tag.
fn way_to_second(switch: &mut Learner) -> Vec<(u32, Option<u16>)> {
    switch.send(1, mac(1), mac(2))
}

#[test]
fn a_port_on_standby_receives_from_when_it_has_sent() {
    let mut snapshot = redundant();
    let elsewhere = [(UPLINK, Some(1))];
    local(&mut snapshot, 2).standby = true;
    let mut switch = Learner::new(&snapshot);
    assert_eq!(way_to_second(&mut switch), elsewhere, "its machine runs on another node");
    assert_eq!(switch.send(UPLINK, STRANGER, mac(2)), [], "and not here");

    // It resumes here, and the server says so a little later.
    switch.send(2, mac(2), mac(3));
    assert_eq!(way_to_second(&mut switch), [(2, None)]);
    assert_eq!(switch.send(UPLINK, STRANGER, mac(2)), [(2, None)]);
    local(&mut snapshot, 2).standby = false;
    switch.update(&snapshot);
    assert_eq!(way_to_second(&mut switch), [(2, None)]);
}

#[test]
fn what_was_learned_of_a_standby_goes_with_it() {
    let mut snapshot = redundant();
    local(&mut snapshot, 2).standby = true;
    let learned = Owner::learned_of(port_id(2));
    let learns = |snapshot: &Snapshot| {
        let learns = |flow: &Flow| {
            let learn = |action: &Action| match action {
                Action::Learn(learn) => learn.cookie == learned.cookie() && learn.delete_learned,
                _ => false,
            };
            flow.actions.iter().any(learn)
        };
        desired(snapshot).flows.iter().filter(|flow| learns(flow)).count()
    };
    assert_eq!(learns(&snapshot), 1);
    local(&mut snapshot, 2).standby = false;
    assert_eq!(learns(&snapshot), 0);
}

#[test]
fn a_standby_does_not_take_a_shared_address_before_it_sends() {
    let mut snapshot = redundant();
    local(&mut snapshot, 2).standby = true;
    let mut switch = Learner::new(&snapshot);
    assert_eq!(holder(&mut switch, VIRTUAL), 3);
    switch.put_in(announcement(2, VIRTUAL, [10, 7, 0, 1]));
    assert_eq!(holder(&mut switch, VIRTUAL), 2);
}

#[test]
fn what_a_shared_address_needs() {
    let flows = |snapshot: &Snapshot| {
        let desired = desired(snapshot);
        text(&desired, |_| true).lines().map(|line| format!("{line}\n")).collect::<BTreeSet<_>>()
    };
    let mut snapshot = redundant();
    let shared = flows(&snapshot);
    Arc::make_mut(&mut local(&mut snapshot, 3).port).pairs.retain(|pair| pair.mac != VIRTUAL);
    let alone = flows(&snapshot);
    let more: String =
        shared.difference(&alone).filter(|flow| !flow.contains("BASE_EGRESS,")).cloned().collect();
    expect![[r#"
        cookie=0x3e17020000000002, table=SHARED_MAC, priority=100,reg5=0x2,reg6=0x1,dl_dst=00:00:5e:00:01:07 actions=set_field:0x2->reg5,set_field:0xe8df7c0b->reg7,goto_table:BASE_INGRESS
        cookie=0x3e17020000000002, table=SHARED_MAC, priority=30,reg6=0x1,dl_dst=00:00:5e:00:01:07 actions=set_field:0x2->reg5,set_field:0xe8df7c0b->reg7,goto_table:BASE_INGRESS
        cookie=0x3e17020000000002, table=TRANSIENT, priority=100,in_port=2,dl_src=00:00:5e:00:01:07 actions=set_field:0x2->reg5,set_field:0x1->reg6,set_field:0xe8df7c0b->reg7,load:0x1->NXM_NX_REG10[1],load:0x1->NXM_NX_REG10[6],goto_table:BASE_EGRESS
        cookie=0x3e17020000000003, table=SHARED_MAC, priority=100,reg5=0x3,reg6=0x1,dl_dst=00:00:5e:00:01:07 actions=set_field:0x3->reg5,set_field:0xe8df7c0b->reg7,goto_table:BASE_INGRESS
        cookie=0x3e17020000000003, table=TRANSIENT, priority=100,in_port=3,dl_src=00:00:5e:00:01:07 actions=set_field:0x3->reg5,set_field:0x1->reg6,set_field:0xe8df7c0b->reg7,load:0x1->NXM_NX_REG10[1],load:0x1->NXM_NX_REG10[6],goto_table:BASE_EGRESS
        cookie=0x3e17050000000001, table=ACCEPT_OR_INGRESS, priority=100,reg6=0x1,dl_dst=00:00:5e:00:01:07 actions=set_field:0->reg5,resubmit(,LAST_SENDER),goto_table:SHARED_MAC
        cookie=0x3e17050000000001, table=ACCEPT_OR_INGRESS, priority=120,reg6=0x1,reg10=0x40/0x40 actions=load:0->NXM_NX_REG10[6],learn(table=LAST_SENDER,priority=100,delete_learned,cookie=0x3e17060000000001,NXM_NX_REG6[],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG5[0..15]),resubmit(,ACCEPT_OR_INGRESS)
    "#]].assert_eq(&more);
}
