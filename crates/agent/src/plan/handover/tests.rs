//! What is given to whom, and when.

use dataplane::hybrid::Listing;

use super::*;
use crate::firewall::Firewall;
use crate::fixture::{node, row};
use crate::path::Sight;
use crate::plan::plan;
use crate::plan::tests::{answer, apply_flows, apply_tags, one_port, port_id};

/// A node whose one port, behind a Linux bridge, waits for its flows.
fn behind_bridge(firewall: Firewall, datapath_type: &str) -> Inventory {
    let mut inventory = node(&[1]);
    inventory.firewall = firewall;
    let devices = HybridDevices::of(port_id(1));
    inventory.devices = Sight::of(&devices, &[&devices.qvb, &devices.tap]);
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    replica.interfaces.get_mut(&row(0x3001)).unwrap().name = devices.qvo;
    replica.bridges.get_mut(&row(0x1001)).unwrap().datapath_type = datapath_type.to_owned();
    inventory.replica = Some(Arc::new(replica));
    answer(&mut inventory, &one_port());
    apply_tags(&mut inventory);
    inventory
}

/// An agent before this one had netfilter filter it.
fn find(inventory: &mut Inventory) {
    let tap = HybridDevices::of(port_id(1)).tap;
    let ipv4 = format!(
        "*raw\n:neutron-openvswi-PREROUTING - [0:0]\n\
         -A neutron-openvswi-PREROUTING -m physdev --physdev-in {tap} -j CT --zone 4100\nCOMMIT\n"
    );
    inventory.netfilter.pretend_found(Listing { ipv4: &ipv4, ..Listing::default() });
}

fn zones(carries: &[Carry]) -> Vec<(u16, u16)> {
    carries.iter().map(|it| (it.from.get(), it.to.get())).collect()
}

#[test]
fn flows_know_connections_before_they_filter() {
    let mut inventory = behind_bridge(Firewall::OpenVswitch, "system");
    // Nobody has looked yet.
    let first = plan(&mut inventory);
    assert!(!first.warm && first.carries.is_empty());
    find(&mut inventory);
    let found = plan(&mut inventory);
    assert!(!found.warm);
    assert_eq!(zones(&found.carries), [(4100, 1)]);
    inventory.handover = Handover::UnderWay;
    let waiting = plan(&mut inventory);
    assert!(!waiting.warm && waiting.carries.is_empty());
    inventory.handover = Handover::Done;
    let done = plan(&mut inventory);
    assert!(done.warm && done.carries.is_empty());
    inventory.warm = true;
    // What has begun since goes along when netfilter lets go.
    apply_flows(&mut inventory);
    let gone = plan(&mut inventory).netfilter.unwrap();
    assert_eq!(zones(gone.carries()), [(4100, 1)]);
}

#[test]
fn who_cannot_be_given_any_does_not_wait() {
    let mut inventory = behind_bridge(Firewall::OpenVswitch, "netdev");
    assert!(plan(&mut inventory).warm);
    find(&mut inventory);
    let found = plan(&mut inventory);
    assert!(found.warm && found.carries.is_empty());
    // And where netfilter was empty there is nothing to give.
    let mut inventory = behind_bridge(Firewall::OpenVswitch, "system");
    inventory.netfilter.pretend_found(Listing::default());
    assert!(plan(&mut inventory).warm);
}

#[test]
fn netfilter_knows_connections_before_it_filters() {
    for datapath_type in ["system", "netdev"] {
        let mut inventory = behind_bridge(Firewall::IptablesHybrid, datapath_type);
        plan(&mut inventory);
        inventory.netfilter.pretend_found(Listing::default());
        let change = plan(&mut inventory).netfilter.unwrap();
        assert_eq!(zones(change.carries()), [(1, 4097)]);
        // One that has a zone already has its connections there.
        find(&mut inventory);
        let change = plan(&mut inventory).netfilter.unwrap();
        assert_eq!(zones(change.carries()), []);
    }
}
