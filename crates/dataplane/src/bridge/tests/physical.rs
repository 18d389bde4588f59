//! Physical bridges: golden text, and frames through their one table.

use model::MacAddr;
use openflow::PortNo;
use openflow::interpreter::{Effect, Packet, Tables, Untracked, run};

use super::*;
use crate::bridge::physical::{self, Physical};

const PATCH: u32 = 7;

/// Local VLANs 1 (VLAN 117), 2 (flat), 3 (VXLAN) and 4 (VLAN, but no id).
fn bridge() -> Physical {
    let segment = |network_type, id: Option<u32>| Segment {
        network_type,
        physical_network: Some("physnet1".to_owned()),
        segmentation_id: id.map(SegmentationId::new),
    };
    let networks = [
        segment(NetworkType::Vlan, Some(117)),
        segment(NetworkType::Flat, None),
        segment(NetworkType::Vxlan, Some(118)),
        segment(NetworkType::Vlan, None),
    ];
    let vlan = |number| VlanTag::new(number).unwrap();
    Physical { patch: OfPort::new(PATCH).ok(), networks: (1..).map(vlan).zip(networks).collect() }
}

#[test]
fn segments_of_a_physical_network() {
    let mut text = String::new();
    for flow in physical::desired(&bridge()).sorted() {
        text.push_str(&layout::with_names_of(layout::physical::TABLES, flow));
        text.push('\n');
    }
    expect![[r#"
        cookie=0x3e17010000000000, priority=0 actions=NORMAL
        cookie=0x3e17010000000000, priority=2,in_port=7 actions=drop
        cookie=0x3e17050000000001, priority=4,in_port=7,dl_vlan=1 actions=set_field:4213->vlan_vid,NORMAL
        cookie=0x3e17050000000002, priority=4,in_port=7,dl_vlan=2 actions=pop_vlan,NORMAL
    "#]].assert_eq(&text);
}

#[test]
fn only_networks_of_the_bridge_leave_by_it() {
    let flows = physical::desired(&bridge());
    let tables = Tables::new(flows.iter().map(AsRef::as_ref));
    let send = |port, vlan: Option<u16>| {
        let packet = Packet::new(PortNo(port)).eth_dst(MacAddr::BROADCAST.octets());
        let packet = vlan.into_iter().fold(packet, Packet::vlan);
        match run(&tables, packet, &mut Untracked).effects.as_slice() {
            [Effect::Normal { packet }] => Some(packet.vlan_vid()),
            [Effect::Drop] => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(send(PATCH, Some(1)), Some(Some(117)));
    assert_eq!(send(PATCH, Some(2)), Some(None));
    for vlan in [None, Some(0), Some(3), Some(4), Some(117), Some(VlanTag::DEAD)] {
        assert_eq!(send(PATCH, vlan), None, "{vlan:?}");
    }
    for vlan in [None, Some(1), Some(117), Some(500)] {
        assert_eq!(send(1, vlan), Some(vlan), "from the wire");
    }
}

#[test]
fn before_there_is_a_way_to_br_int_those_on_the_wire_talk() {
    let flows = physical::desired(&Physical { patch: None, ..bridge() });
    assert_eq!(flows.len(), 1);
    assert_eq!(*flows.sorted()[0].actions, [Action::Output(PortNo::NORMAL)]);
}
