//! What is made of which trunk, what the server hears, and that nothing is done without need.

use std::sync::Arc;

use neutron::object::{Object, Port, SubPort};

use super::*;
use crate::cache::Asking;
use crate::config::Extensions;
use crate::fixture::{group, id, node, port, row, rule};
use crate::plan::plan;
use crate::plan::tests::apply_wiring;

const TRUNK: u32 = 0x70;
const PARENT: u32 = 1;
const BRIDGE: u32 = 0x1003;

/// The id of port `n`, of which the first digits count.
fn unique(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

fn parsed(n: u32) -> PortId {
    unique(n).parse().unwrap()
}

fn trunk_id() -> TrunkId {
    id(TRUNK).parse().unwrap()
}

/// A node with the bridge of a trunk and the device in it.
fn plugged() -> Inventory {
    let mut inventory = node(&[]);
    inventory.extensions = Extensions::ALL;
    inventory.warm = true;
    change(&mut inventory, |replica| {
        let interface = ovsdb::Interface {
            name: "vm".to_owned(),
            ofport: Some(1),
            external_ids: noted(parsed(PARENT), Some("fa:16:3e:00:00:01")),
            ..ovsdb::Interface::default()
        };
        replica.interfaces.insert(row(0x6001), interface);
        let interfaces = BTreeSet::from([row(0x6001)]);
        let port = ovsdb::Port { name: "vm".to_owned(), interfaces, ..ovsdb::Port::default() };
        replica.ports.insert(row(0x6002), port);
        let (name, ports) = (trunk_bridge(trunk_id()), BTreeSet::from([row(0x6002)]));
        replica.bridges.insert(row(BRIDGE), ovsdb::Bridge { name, ports, ..Default::default() });
    });
    inventory
}

fn change(inventory: &mut Inventory, with: impl FnOnce(&mut Replica)) {
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    with(&mut replica);
    inventory.replica = Some(Arc::new(replica));
}

fn trunk(revision_number: u64, status: &str, subports: &[(u32, u32)]) -> Object {
    let subport = |(n, tag): &(u32, u32)| SubPort {
        port_id: unique(*n),
        trunk_id: id(TRUNK),
        segmentation_type: "vlan".to_owned(),
        segmentation_id: *tag,
        ..SubPort::default()
    };
    Object::Trunk(neutron::object::Trunk {
        id: id(TRUNK),
        port_id: unique(PARENT),
        status: status.to_owned(),
        sub_ports: subports.iter().map(subport).collect(),
        revision_number,
        ..Default::default()
    })
}

/// Port `n`, bound to this host or to another one.
fn known(n: u32, revision_number: u64, is_here: bool) -> Object {
    let mut port = Port { id: unique(n), revision_number, ..port(n, &[7]) };
    if !is_here {
        port.bindings.iter_mut().for_each(|it| it.host = "node2".to_owned());
    }
    Object::Port(port)
}

/// Lets the server answer until nothing more is asked, with these and what all tests need.
fn answer(inventory: &mut Inventory, objects: &[Object]) {
    let rule = Object::SecurityGroupRule(rule(8, 7, None));
    let objects: Vec<Object> = objects.iter().cloned().chain([group(7), rule]).collect();
    loop {
        let queries = plan(inventory).queries;
        let questions = inventory.cache.ask(&queries);
        if questions.is_empty() {
            return;
        }
        for question in questions {
            let found = match question.call() {
                Some(Asking::One(call)) => {
                    let parents = objects.iter().filter(
                        |it| matches!(it, Object::Trunk(trunk) if trunk.port_id == call.id),
                    );
                    parents.cloned().collect()
                }
                Some(Asking::Bulk(call)) => {
                    let of_type = objects.iter().filter(|it| it.resource() == call.resource);
                    let (_, ids) = call.filter.first_key_value().unwrap();
                    let named = |it: &&Object| match it {
                        Object::SecurityGroupRule(_) => true,
                        _ => ids.iter().any(|id| id == it.id()),
                    };
                    of_type.filter(named).cloned().collect()
                }
                None => Vec::new(),
            };
            inventory.cache.answer(&question, found);
        }
    }
}

/// The server has said everything again.
fn hear(inventory: &mut Inventory, objects: &[Object]) {
    inventory.cache.distrust();
    answer(inventory, objects);
}

fn state(inventory: &mut Inventory) -> TrunkState {
    let plan = plan(inventory);
    plan.trunks.values().next().unwrap().state.clone()
}

fn call(inventory: &mut Inventory) -> Option<TrunkCall> {
    plan(inventory).trunk_calls.remove(&trunk_id())
}

fn wiring(inventory: &mut Inventory) -> usize {
    plan(inventory).wiring.len()
}

/// The names of all ends.
fn ends(inventory: &Inventory) -> Vec<String> {
    let replica = inventory.replica.as_ref().unwrap();
    let trunks = Trunks::read(replica, &inventory.integration_bridge);
    let there = trunks.bridges.values().flat_map(|it| it.ends.keys());
    trunks.here.keys().chain(there).cloned().collect()
}

fn bound(inventory: &mut Inventory, asked: &[u32], failed: &[u32]) {
    let [asked, failed] = [asked, failed].map(|it| it.iter().copied().map(parsed).collect());
    inventory.trunks_bound.insert(trunk_id(), Bound { asked, is_active: true, failed });
}

/// A trunk with one subport that is wired.
fn wired() -> Inventory {
    let mut inventory = plugged();
    let all = [known(1, 1, true), known(2, 1, true), trunk(1, "ACTIVE", &[(2, 101)])];
    answer(&mut inventory, &all);
    apply_wiring(&mut inventory);
    assert_eq!(state(&mut inventory), TrunkState::Up);
    inventory
}

#[test]
fn the_way_of_a_trunk() {
    let mut inventory = plugged();
    assert_eq!(state(&mut inventory), TrunkState::Asking);
    assert_eq!(wiring(&mut inventory), 0);
    let trunk = trunk(1, "DOWN", &[(2, 101)]);
    answer(&mut inventory, &[known(1, 1, true), known(2, 1, false), trunk.clone()]);
    assert_eq!(state(&mut inventory), TrunkState::Binding(1));
    let subports = BTreeMap::from([(parsed(2), VlanTag::new(101).unwrap())]);
    let bind = TrunkCall::Bind { subports, is_active: true };
    assert_eq!(call(&mut inventory), Some(bind));
    apply_wiring(&mut inventory);
    assert_eq!(ends(&inventory), ["tpi-00000001-00", "tpt-00000001-00"]);
    inventory.trunk_calls.insert(trunk_id());
    assert_eq!(call(&mut inventory), None, "it is being called");
    inventory.trunk_calls.clear();

    // The answer overtakes what it says.
    bound(&mut inventory, &[2], &[]);
    assert_eq!((state(&mut inventory), call(&mut inventory)), (TrunkState::Binding(1), None));
    hear(&mut inventory, &[known(1, 1, true), known(2, 2, true), trunk]);
    assert_eq!((state(&mut inventory), call(&mut inventory)), (TrunkState::Wiring, None));
    apply_wiring(&mut inventory);
    assert_eq!(ends(&inventory).len(), 4);
    assert_eq!(state(&mut inventory), TrunkState::Telling);
    assert_eq!(call(&mut inventory), Some(TrunkCall::Tell(TrunkStatus::Active)));
    inventory.cache.set_trunk_status(trunk_id(), TrunkStatus::Active);
    assert_eq!((state(&mut inventory), call(&mut inventory)), (TrunkState::Up, None));
    assert_eq!(wiring(&mut inventory), 0);
}

#[test]
fn an_end_begins_on_the_dead_vlan() {
    let inventory = wired();
    let replica = inventory.replica.as_deref().unwrap();
    let port = |name| replica.port(name).unwrap().1;
    for (name, tag, mode) in [
        ("tpi-00000001-00", VlanTag::DEAD, None),
        ("spi-00000002-00", VlanTag::DEAD, None),
        ("tpt-00000001-00", 0, Some("access")),
        ("spt-00000002-00", 101, Some("access")),
    ] {
        let port = port(name);
        assert_eq!((port.tag, port.vlan_mode.as_deref()), (Some(tag), mode), "{name}");
    }
}

#[test]
fn what_is_joined_stays_while_nobody_answers() {
    let mut inventory = wired();
    inventory.cache = crate::cache::Cache::new(crate::fixture::HOST);
    assert_eq!((state(&mut inventory), wiring(&mut inventory)), (TrunkState::Asking, 0));
    // Nor when the server knows of no trunk: the ports say by themselves whether they are bound here.
    answer(&mut inventory, &[known(1, 1, true), known(2, 1, true)]);
    assert_eq!((state(&mut inventory), wiring(&mut inventory)), (TrunkState::Unknown, 0));
}

#[test]
fn without_the_extension_nothing_is_done() {
    let mut inventory = wired();
    change(&mut inventory, |replica| {
        replica.bridges.remove(&row(BRIDGE));
    });
    inventory.extensions.trunk = false;
    assert_eq!(wiring(&mut inventory), 0);
    inventory.extensions.trunk = true;
    apply_wiring(&mut inventory);
    assert_eq!(ends(&inventory), Vec::<String>::new());
}

#[test]
fn another_tag_is_set_and_a_subport_that_has_left_is_cut_off() {
    let mut inventory = wired();
    let ports = [known(1, 1, true), known(2, 1, true), known(3, 1, true)];
    let say = |revision, subports: &[(u32, u32)]| {
        [&ports[..], &[trunk(revision, "ACTIVE", subports)]].concat()
    };
    hear(&mut inventory, &say(2, &[(2, 102), (3, 101)]));
    apply_wiring(&mut inventory);
    assert_eq!(wiring(&mut inventory), 0);
    let tag = |inventory: &Inventory, name| {
        inventory.replica.as_deref().unwrap().port(name).unwrap().1.tag
    };
    assert_eq!(tag(&inventory, "spt-00000002-00"), Some(102));
    assert_eq!(tag(&inventory, "spt-00000003-00"), Some(101));
    hear(&mut inventory, &say(3, &[(3, 101)]));
    apply_wiring(&mut inventory);
    let left = ["spi-00000003-00", "tpi-00000001-00", "spt-00000003-00", "tpt-00000001-00"];
    assert_eq!(ends(&inventory), left);
}

#[test]
fn what_somebody_has_broken_is_mended() {
    let mut inventory = wired();
    change(&mut inventory, |replica| {
        let (row, _) = replica.interface("spt-00000002-00").unwrap();
        let interface = replica.interfaces.get_mut(&row).unwrap();
        interface.options = patched_to("nobody");
        interface.external_ids.clear();
        let (row, _) = replica.port("spt-00000002-00").unwrap();
        replica.ports.get_mut(&row).unwrap().tag = Some(7);
    });
    assert_eq!(wiring(&mut inventory), 3);
    apply_wiring(&mut inventory);
    assert_eq!((state(&mut inventory), wiring(&mut inventory)), (TrunkState::Up, 0));
}

#[test]
fn what_cannot_be_bound_degrades_a_trunk() {
    let mut inventory = wired();
    let ports = [known(1, 1, true), known(2, 1, true), known(3, 1, false)];
    let subports = [(2, 101), (3, 102)];
    let all = [&ports[..], &[trunk(2, "DOWN", &subports)]].concat();
    hear(&mut inventory, &all);
    assert!(matches!(call(&mut inventory), Some(TrunkCall::Bind { .. })));
    bound(&mut inventory, &[3], &[3]);
    apply_wiring(&mut inventory);
    inventory.cache.set_trunk_status(trunk_id(), TrunkStatus::Build);
    assert_eq!(call(&mut inventory), Some(TrunkCall::Tell(TrunkStatus::Degraded)));
    inventory.cache.set_trunk_status(trunk_id(), TrunkStatus::Degraded);
    assert_eq!((state(&mut inventory), call(&mut inventory)), (TrunkState::NotBound(1), None));
    // What the server calls an error is its own word.
    inventory.cache.set_trunk_status(trunk_id(), TrunkStatus::Error);
    assert_eq!((state(&mut inventory), call(&mut inventory)), (TrunkState::NotBound(1), None));
    // It is asked for again when the subport has left and come back.
    let plan = plan(&mut inventory);
    inventory.forget_settled(&plan);
    assert!(inventory.trunks_bound.contains_key(&trunk_id()));
    let without = [&ports[..], &[trunk(3, "DOWN", &subports[..1])]].concat();
    hear(&mut inventory, &without);
    let plan = crate::plan::plan(&mut inventory);
    inventory.forget_settled(&plan);
    hear(&mut inventory, &[&ports[..], &[trunk(4, "DOWN", &subports)]].concat());
    assert!(matches!(call(&mut inventory), Some(TrunkCall::Bind { .. })));
}

/// The host to which a virtual machine moves has taken its subports before it arrives.
#[test]
fn subports_that_are_taken_away_are_not_taken_back() {
    let mut inventory = wired();
    bound(&mut inventory, &[2], &[]);
    let trunk = trunk(2, "ACTIVE", &[(2, 101)]);
    hear(&mut inventory, &[known(1, 1, true), known(2, 2, false), trunk]);
    assert_eq!((state(&mut inventory), call(&mut inventory)), (TrunkState::Binding(1), None));
    assert_eq!(wiring(&mut inventory), 0, "it is cut off by what the port says");
}

#[test]
fn a_device_in_another_bridge_is_not_wired() {
    let mut inventory = plugged();
    change(&mut inventory, |replica| {
        replica.bridges.get_mut(&row(BRIDGE)).unwrap().name = "tbr-00000000-1".to_owned();
    });
    answer(&mut inventory, &[known(1, 1, true), trunk(1, "DOWN", &[])]);
    let elsewhere = TrunkState::Elsewhere(trunk_bridge(trunk_id()));
    assert_eq!((state(&mut inventory), wiring(&mut inventory)), (elsewhere, 0));
}

#[test]
fn an_end_that_another_bridge_has_is_waited_for() {
    let mut inventory = wired();
    // The subport's end is in the bridge of a trunk whose device has gone.
    change(&mut inventory, |replica| {
        let (end, _) = replica.port("spt-00000002-00").unwrap();
        replica.bridges.get_mut(&row(BRIDGE)).unwrap().ports.remove(&end);
        let (name, ports) = ("tbr-00000000-1".to_owned(), BTreeSet::from([end]));
        replica.bridges.insert(row(0x1004), ovsdb::Bridge { name, ports, ..Default::default() });
    });
    assert_eq!(state(&mut inventory), TrunkState::Wiring);
    let changes = plan(&mut inventory).wiring;
    let [Wiring::Remove { bridge, .. }] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(*bridge, row(0x1004));
    change(&mut inventory, |replica| {
        let (end, _) = replica.port("spt-00000002-00").unwrap();
        replica.ports.remove(&end);
        replica.bridges.remove(&row(0x1004));
    });
    apply_wiring(&mut inventory);
    assert_eq!((state(&mut inventory), wiring(&mut inventory)), (TrunkState::Up, 0));
}
