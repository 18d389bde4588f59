//! Where unicast goes that is for no port of the node, packet by packet.

use model::MacAddr;
use openflow::interpreter::{Effect, Packet, Tables, Untracked, run};
use openflow::{Field, PortNo};

use super::*;

pub(super) const UPLINK: u32 = 1000;
const SEGMENT: u16 = 117;
const STRANGER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const ANOTHER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);

/// Ports 1 and 2 are managed and may send anything, 3 and 4 are unmanaged.
fn mixed() -> Snapshot {
    let anything = group(1, [rule(Direction::Egress, Transport::Any, Remote::Any)]);
    let mut snapshot = snapshot([1, 2, 3, 4].map(|n| port(n, &[1])), [anything]);
    for n in [3, 4] {
        secure(&mut snapshot, n, PortSecurity::Disabled);
    }
    snapshot
}

fn secure(snapshot: &mut Snapshot, n: u128, security: PortSecurity) {
    Arc::make_mut(&mut snapshot.ports.get_mut(&port_id(n)).unwrap().port).security = security;
}

pub(super) fn mac(n: u8) -> MacAddr {
    port(n, &[]).port.mac
}

/// A switch that learns.
pub(super) struct Learner {
    flows: FlowSet,
}

impl Learner {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Self { flows: desired(snapshot).flows }
    }

    /// How many flows there are.
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// What was learned stays, as in a switch.
    pub(super) fn update(&mut self, snapshot: &Snapshot) {
        let learned: Vec<Arc<Flow>> =
            self.flows.iter().filter(|flow| layout::is_learned(flow)).cloned().collect();
        self.flows = desired(snapshot).flows;
        for flow in learned {
            self.flows.replace(flow);
        }
    }

    /// The ports that an IP packet leaves by, with the tag that it has there.
    pub(super) fn send(
        &mut self,
        in_port: u32,
        from: MacAddr,
        to: MacAddr,
    ) -> Vec<(u32, Option<u16>)> {
        let address = |mac: MacAddr| [10, 0, 0, mac.octets()[5]];
        let packet = Packet::new(PortNo(in_port)).eth_src(from.octets()).eth_dst(to.octets());
        let packet = packet.ipv4(address(from), address(to)).udp(1, 2);
        let packet = if in_port == UPLINK { packet.vlan(SEGMENT) } else { packet };
        self.put_in(packet)
    }

    /// The ports that a packet leaves by, and the tag that it has there.
    pub(super) fn put_in(&mut self, packet: Packet) -> Vec<(u32, Option<u16>)> {
        let text = packet.to_string();
        let is_unicast = packet.get(Field::ETH_DST) >> 40 & 1 == 0;
        let tables = Tables::new(self.flows.iter().map(AsRef::as_ref));
        let run = run(&tables, packet, &mut Untracked);
        assert_eq!(run.fault, None);
        let mut left = Vec::new();
        for effect in run.effects {
            match effect {
                Effect::Output { port, packet } => left.push((port.0, packet.vlan_vid())),
                Effect::Learn(flow) => drop(self.flows.replace(flow)),
                Effect::Normal { .. } => assert!(!is_unicast, "{text}"),
                _ => {}
            }
        }
        // What goes nowhere is counted.
        let refused = run.steps.iter().any(|step| step.table == layout::DROPPED);
        assert!(!is_unicast || left.is_empty() == refused, "{text}");
        left
    }
}

const LOCAL_VLAN: Option<u16> = Some(1);

#[test]
fn unknown_unicast_goes_to_unmanaged_ports_and_beyond() {
    let mut switch = Learner::new(&mixed());
    assert_eq!(switch.send(1, mac(1), STRANGER), [(3, None), (4, None), (UPLINK, LOCAL_VLAN)]);
    assert_eq!(switch.send(3, mac(3), STRANGER), [(4, None), (UPLINK, LOCAL_VLAN)]);
    assert_eq!(switch.send(UPLINK, ANOTHER, STRANGER), [(3, None), (4, None)]);
}

#[test]
fn who_was_heard_gets_it_alone_wherever_they_move() {
    let mut switch = Learner::new(&mixed());
    switch.send(4, STRANGER, mac(1));
    assert_eq!(switch.send(1, mac(1), STRANGER), [(4, None)]);
    assert_eq!(switch.send(UPLINK, ANOTHER, STRANGER), [(4, None)]);
    switch.send(3, STRANGER, mac(4));
    assert_eq!(switch.send(1, mac(1), STRANGER), [(3, None)]);
    assert_eq!(switch.send(3, mac(3), STRANGER), [], "it is where the frame came from");
    switch.send(UPLINK, STRANGER, mac(3));
    assert_eq!(switch.send(1, mac(1), STRANGER), [(UPLINK, LOCAL_VLAN)]);
    assert_eq!(switch.send(3, mac(3), STRANGER), [(UPLINK, LOCAL_VLAN)]);
    assert_eq!(switch.send(UPLINK, ANOTHER, STRANGER), [], "it is where the frame came from");
}

#[test]
fn nobody_is_learned_from_managed_ports_and_no_group_is_learned() {
    let mut switch = Learner::new(&mixed());
    let before = switch.len();
    switch.send(1, mac(1), mac(3));
    switch.send(3, MacAddr::BROADCAST, mac(4));
    assert_eq!(switch.len(), before);
    switch.send(3, mac(3), mac(4));
    assert_eq!(switch.len(), before + 1);
}

#[test]
fn the_address_of_a_port_cannot_be_captured() {
    let mut switch = Learner::new(&mixed());
    switch.send(3, mac(2), STRANGER);
    switch.send(3, mac(4), STRANGER);
    switch.send(UPLINK, mac(4), STRANGER);
    assert_eq!(switch.send(UPLINK, ANOTHER, mac(4)), [(4, None)]);
    assert_eq!(switch.send(UPLINK, ANOTHER, mac(2)), [], "no ingress rule");
}

#[test]
fn a_place_that_is_no_unmanaged_port_any_more_gets_nothing() {
    let mut snapshot = mixed();
    let mut switch = Learner::new(&snapshot);
    switch.send(4, STRANGER, mac(1));
    secure(&mut snapshot, 4, PortSecurity::Enabled);
    switch.update(&snapshot);
    assert_eq!(switch.send(1, mac(1), STRANGER), [(3, None), (UPLINK, LOCAL_VLAN)]);
    snapshot.ports.remove(&port_id(4));
    switch.update(&snapshot);
    assert_eq!(switch.send(1, mac(1), STRANGER), [(3, None), (UPLINK, LOCAL_VLAN)]);
}

#[test]
fn where_an_unmanaged_port_is_all_there_is() {
    let mut snapshot = mixed();
    snapshot.uplinks.clear();
    snapshot.ports.remove(&port_id(4));
    let mut switch = Learner::new(&snapshot);
    assert_eq!(switch.send(1, mac(1), STRANGER), [(3, None)]);
    assert_eq!(switch.send(3, mac(3), STRANGER), []);
}

#[test]
fn without_unmanaged_ports_unicast_leaves_by_the_uplink() {
    let mut snapshot = mixed();
    for n in [3, 4] {
        secure(&mut snapshot, n, PortSecurity::Enabled);
    }
    let mut switch = Learner::new(&snapshot);
    let before = switch.len();
    assert_eq!(switch.send(1, mac(1), STRANGER), [(UPLINK, LOCAL_VLAN)]);
    assert_eq!(switch.send(UPLINK, ANOTHER, STRANGER), []);
    assert_eq!(switch.len(), before);
}

#[test]
fn what_a_network_with_an_unmanaged_port_needs() {
    let mut snapshot = mixed();
    snapshot.ports.remove(&port_id(4));
    let flows = text(&desired(&snapshot), |owner| owner.kind == layout::Kind::Network);
    expect![[r#"
        cookie=0x3e17050000000001, table=LOCAL_SWITCHING, priority=3,in_port=1000,dl_vlan=117 actions=set_field:4097->vlan_vid,set_field:0x1->reg6,load:0x1->NXM_NX_REG10[0],goto_table:PACKET_RATE_LIMIT
        cookie=0x3e17050000000001, table=LEARN, priority=100,reg6=0x1,dl_src=00:00:00:00:00:00/01:00:00:00:00:00 actions=learn(table=LEARNED,hard_timeout=300,priority=100,delete_learned,cookie=0x3e17060000000001,limit=4096,NXM_NX_REG6[],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG5[0..15]),goto_table:ACCEPT_OR_INGRESS
        cookie=0x3e17050000000001, table=ACCEPTED_EGRESS_NORMAL, priority=65,reg6=0x1 actions=set_field:0->reg5,resubmit(,LEARNED),goto_table:UNICAST_ELSEWHERE
        cookie=0x3e17050000000001, table=UNICAST_ELSEWHERE, priority=50,reg6=0x1 actions=output:3,push_vlan:0x8100,set_field:4097->vlan_vid,output:1000
        cookie=0x3e17050000000001, table=UNICAST_ELSEWHERE, priority=100,reg5=0x3e8,reg6=0x1 actions=push_vlan:0x8100,set_field:4097->vlan_vid,output:1000
        cookie=0x3e17050000000001, table=UNICAST_ELSEWHERE, priority=110,reg5=0x3e8,reg6=0x1,in_port=1000 actions=set_field:0xb->reg9,resubmit(,DROPPED)
    "#]].assert_eq(&flows);
    let flows = text(&desired(&snapshot), |owner| *owner == Owner::port(port_id(3)));
    expect![[r#"
        cookie=0x3e17020000000003, table=TRANSIENT, priority=100,in_port=3 actions=set_field:0x3->reg5,set_field:0x1->reg6,goto_table:LEARN
        cookie=0x3e17020000000003, table=ACCEPT_OR_INGRESS, priority=100,reg6=0x1,dl_dst=fa:16:3e:00:00:03 actions=set_field:0x3->reg5,load:0x1->NXM_NX_REG10[3],goto_table:ACCEPTED_EGRESS
        cookie=0x3e17020000000003, table=UNICAST_ELSEWHERE, priority=100,reg5=0x3,reg6=0x1 actions=output:3
        cookie=0x3e17020000000003, table=UNICAST_ELSEWHERE, priority=110,reg5=0x3,reg6=0x1,in_port=3 actions=set_field:0xb->reg9,resubmit(,DROPPED)
    "#]].assert_eq(&flows);
}
