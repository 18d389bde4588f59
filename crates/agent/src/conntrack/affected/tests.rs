//! What real changes of flows affect.

use std::sync::Arc;

use dataplane::bridge;
use model::{Direction, Remote};
use policy::Member;

use super::super::sample::{
    group, group_id, network_id, node, pair, port, port_id, rule, udp, zone,
};
use super::*;

/// What the step from one snapshot to the next affects.
fn between(old: &Snapshot, new: &Snapshot) -> Affected {
    let installed = bridge::desired(old).flows;
    let changes = bridge::desired(new).flows.diff(&installed, |_| true);
    assert!(!changes.is_empty());
    let wired = |(id, local): (&PortId, &dataplane::LocalPort)| {
        let network = old.networks[&local.port.network].clone();
        (*id, Arc::new(Wired { local: local.clone(), network }))
    };
    removed(&changes, &installed, &old.ports.iter().map(wired).collect(), new)
}

fn in_zones<const N: usize>(zones: [u8; N]) -> Affected {
    Affected { zones: zones.map(zone).into(), ..Affected::default() }
}

#[test]
fn what_is_added_affects_nothing() {
    let dns = rule(Direction::Ingress, udp(53), Remote::Any);
    let mut more = node(&[dns]);
    more.ports.insert(port_id(3), port(3));
    more.groups.insert(group_id(3), Arc::new(group(3, &[])));
    assert_eq!(between(&node(&[]), &more), Affected::default());
}

#[test]
fn a_rule_affects_the_networks_of_the_ports_that_had_it() {
    let dns = rule(Direction::Ingress, udp(53), Remote::Any);
    let (mut old, mut new) = (node(&[dns]), node(&[]));
    assert_eq!(between(&old, &new), in_zones([5]));
    for node in [&mut old, &mut new] {
        let mut port = port(3);
        Arc::make_mut(&mut port.port).groups = [group_id(2)].into();
        Arc::make_mut(&mut port.port).network = network_id(6);
        node.ports.insert(port_id(3), port);
    }
    assert_eq!(between(&old, &new), in_zones([5, 6]));
}

#[test]
fn a_member_that_leaves_may_affect_everybody() {
    let friends = group_id(0x77);
    let dns = rule(Direction::Ingress, udp(53), Remote::Group(friends));
    let mut old = node(&[dns]);
    let mut new = old.clone();
    let members = ["10.0.0.8", "10.0.0.9"].map(|it| Member::new(it.parse().unwrap(), None));
    old.members.groups.insert(friends, members.into());
    new.members.groups.insert(friends, [members[0]].into());
    assert_eq!(between(&old, &new), Affected::everywhere());
    assert_eq!(between(&new, &old), Affected::default(), "it comes back");
    assert_eq!(Affected::everywhere().zones(&new), in_zones([5, 6]).zones);
}

#[test]
fn a_port_affects_its_network() {
    let old = node(&[]);
    let mut new = old.clone();
    Arc::make_mut(&mut new.ports.get_mut(&port_id(2)).unwrap().port).groups = [group_id(1)].into();
    assert_eq!(between(&old, &new), in_zones([5]), "other groups");

    let mut new = old.clone();
    new.ports.remove(&port_id(2));
    assert_eq!(between(&old, &new), in_zones([5]), "it has gone");

    let mut new = old.clone();
    let local = new.ports.get_mut(&port_id(2)).unwrap();
    Arc::make_mut(&mut local.port).pairs = [pair(local.port.mac, "10.0.0.22")].into();
    let lost = [(zone(5), "10.0.0.2".parse().unwrap())].into();
    let expected = Affected { lost, ..in_zones([5]) };
    assert_eq!(between(&old, &new), expected, "another address");
}

#[test]
fn what_is_looked_at_together_starts_anew() {
    let mut affected = Affected { passes: 3, ..in_zones([5]) };
    affected.merge(in_zones([6]));
    assert_eq!(affected, in_zones([5, 6]));
    let mut nothing = Affected::default();
    nothing.merge(Affected { passes: 3, ..in_zones([5]) });
    assert_eq!(nothing, Affected { passes: 3, ..in_zones([5]) });
}
