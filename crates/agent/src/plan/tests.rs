//! The way of a port, step by step, as the plan sees it.

use std::collections::BTreeSet;
use std::sync::Arc;

use dataplane::FlowSet;
use dataplane::bridge::layout::{Kind, Owner};
use model::{OfPort, PortId, VlanTag};
use neutron::object::Object;
use openflow::{Command, Cookie, Flow, FlowMod, Match, Priority, TableId};

use super::{Asked, Plan, State, Wiring, plan};
use crate::bridge::{BridgeId, Refused};
use crate::cache::{Asking, Query};
use crate::fixture::{group, id, node, port, row, rule};
use crate::inventory::{Inventory, Report, Tagging};
use crate::status::Status;

pub(super) fn port_id(n: u32) -> PortId {
    id(n).parse().unwrap()
}

/// The planned changes of the integration bridge.
pub(super) fn changes(plan: &Plan) -> &[FlowMod] {
    plan.bundles.get(&BridgeId::Integration).map_or(&[], Vec::as_slice)
}

pub(super) fn state(plan: &Plan, n: u32) -> &State {
    &plan.ports.get(&port_id(n)).unwrap().state
}

/// Lets the server answer what the plan asks now, out of `objects`. Tells whether it asked.
fn answer_round(inventory: &mut Inventory, objects: &[Object]) -> bool {
    let queries = plan(inventory).queries;
    let questions = inventory.cache.ask(&queries);
    for question in &questions {
        let Some(Asking::Bulk(call)) = question.call() else { panic!("{question:?}") };
        let (field, values) = call.filter.first_key_value().unwrap();
        let matches = |object: &Object| match (object, field.as_str()) {
            (Object::Port(port), "security_group_ids") => {
                port.security_group_ids.iter().any(|id| values.contains(id))
            }
            (Object::SecurityGroupRule(rule), _) => values.contains(&rule.security_group_id),
            (other, _) => values.iter().any(|id| id == other.id()),
        };
        let of_type = objects.iter().filter(|object| object.resource() == call.resource);
        inventory
            .cache
            .answer(question, of_type.filter(|object| matches(object)).cloned().collect());
    }
    !questions.is_empty()
}

/// Lets the server answer until the plan asks nothing more.
pub(super) fn answer(inventory: &mut Inventory, objects: &[Object]) {
    while answer_round(inventory, objects) {}
}

/// Clears the zones that networks are to have.
fn clear_zones(inventory: &mut Inventory) {
    let clearing = plan(inventory).clearing;
    inventory.cleared.extend(clearing);
}

/// Carries the planned tags out as ovs-vswitchd does.
pub(super) fn apply_tags(inventory: &mut Inventory) {
    clear_zones(inventory);
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    for change in plan(inventory).tags {
        let port = replica.ports.get_mut(&change.row).unwrap();
        port.tag = Some(change.tag);
        port.other_config.extend(change.record);
    }
    inventory.replica = Some(Arc::new(replica));
}

/// Carries the planned flows of the other bridges out as the switch does.
fn apply_elsewhere(inventory: &mut Inventory) {
    let bundles = plan(inventory).bundles;
    for (bridge, changes) in bundles.iter().filter(|(id, _)| **id != BridgeId::Integration) {
        inventory.bridge_mut(*bridge).unwrap().flows.apply(changes);
    }
}

/// Carries the planned flows out as the switch does.
pub(super) fn apply_flows(inventory: &mut Inventory) {
    apply_elsewhere(inventory);
    let plan = plan(inventory);
    inventory.integration.flows.apply(changes(&plan));
    inventory.confirm(plan.wires, BTreeSet::new());
    inventory.warm |= plan.warm;
}

/// Takes one flow of the owner away, as if it had never been accepted.
fn lose_a_flow(inventory: &mut Inventory, owner: Owner) {
    let installed = inventory.integration.flows.installed().unwrap();
    let flow = installed.iter().find(|flow| flow.cookie == owner.cookie()).unwrap();
    let lost = FlowMod::new(Command::DeleteStrict, Arc::clone(flow));
    inventory.integration.flows.apply(&[lost]);
}

/// The end of the patch ports between the bridges that lies on this one, with a port number once
/// ovs-vswitchd has made it.
fn end(inventory: &Inventory, name: &str) -> Option<(ovsdb::RowId, ovsdb::Interface)> {
    let replica = inventory.replica.as_deref().unwrap();
    replica.interface(name).map(|(row, interface)| (row, interface.clone()))
}

/// Carries the planned ports of bridges out as ovs-vswitchd does.
pub(super) fn apply_wiring(inventory: &mut Inventory) {
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    for change in plan(inventory).wiring {
        match change {
            Wiring::NoteBridge { bridge, external_ids } => {
                replica.bridges.get_mut(&bridge).unwrap().external_ids.extend(external_ids);
            }
            Wiring::Add { bridge, port, kind, options } => {
                let number = 0x100 + u32::try_from(replica.interfaces.len()).unwrap();
                let [port_row, row] = [row(0x4000 + number), row(0x5000 + number)];
                let (name, ofport) = (port.clone(), Some(i64::from(number)));
                let interface =
                    ovsdb::Interface { name, kind, ofport, options, ..ovsdb::Interface::default() };
                replica.interfaces.insert(row, interface);
                let interfaces = BTreeSet::from([row]);
                let port = ovsdb::Port { name: port, interfaces, ..ovsdb::Port::default() };
                replica.ports.insert(port_row, port);
                replica.bridges.get_mut(&bridge).unwrap().ports.insert(port_row);
            }
            Wiring::AddEnd { bridge, port, tag, is_access, options, external_ids } => {
                let number = 0x100 + u32::try_from(replica.interfaces.len()).unwrap();
                let [port_row, row] = [row(0x4000 + number), row(0x5000 + number)];
                let (name, ofport) = (port.clone(), Some(i64::from(number)));
                let kind = "patch".to_owned();
                let interface = ovsdb::Interface {
                    name,
                    kind,
                    ofport,
                    options,
                    external_ids,
                    ..ovsdb::Interface::default()
                };
                replica.interfaces.insert(row, interface);
                let (interfaces, tag) = (BTreeSet::from([row]), Some(tag));
                let vlan_mode = is_access.then(|| "access".to_owned());
                let port = ovsdb::Port {
                    name: port,
                    interfaces,
                    tag,
                    vlan_mode,
                    ..ovsdb::Port::default()
                };
                replica.ports.insert(port_row, port);
                replica.bridges.get_mut(&bridge).unwrap().ports.insert(port_row);
            }
            Wiring::SetAccess { port, tag } => {
                let port = replica.ports.get_mut(&port).unwrap();
                (port.tag, port.vlan_mode) = (Some(tag), Some("access".to_owned()));
            }
            Wiring::Note { interface, external_ids } => {
                replica.interfaces.get_mut(&interface).unwrap().external_ids.extend(external_ids);
            }
            Wiring::Remove { bridge, port } => {
                replica.bridges.get_mut(&bridge).unwrap().ports.remove(&port);
            }
            Wiring::Set { interface, options } => {
                replica.interfaces.get_mut(&interface).unwrap().options.extend(options);
            }
            Wiring::SetBridge { bridge, snooping, other_config } => {
                let bridge = replica.bridges.get_mut(&bridge).unwrap();
                bridge.mcast_snooping_enable = snooping.unwrap_or(bridge.mcast_snooping_enable);
                bridge.other_config.extend(other_config);
            }
            Wiring::SetPort { port, other_config } => {
                replica.ports.get_mut(&port).unwrap().other_config.extend(other_config);
            }
            Wiring::Identify { bridge, datapath_id } => {
                replica.bridges.get_mut(&bridge).unwrap().datapath_id = Some(datapath_id);
            }
        }
    }
    inventory.replica = Some(Arc::new(replica));
}

pub(super) fn one_port() -> Vec<Object> {
    vec![Object::Port(port(1, &[7])), group(7), Object::SecurityGroupRule(rule(70, 7, Some(7)))]
}

#[test]
fn nothing_is_decided_before_the_database_is_read() {
    let mut inventory = Inventory::new("node1", "br-int");
    let plan = plan(&mut inventory);
    assert!(changes(&plan).is_empty() && plan.queries.is_empty() && !plan.warm);
}

#[test]
fn the_way_of_a_port() {
    let mut inventory = node(&[1]);
    assert_eq!(*state(&plan(&mut inventory), 1), State::Asking(Asked::Port));
    assert!(!plan(&mut inventory).warm);
    answer(&mut inventory, &one_port());

    let clearing = plan(&mut inventory);
    assert!(matches!(state(&clearing, 1), State::Clearing(tag) if tag.get() == 1));
    clear_zones(&mut inventory);

    let tagging = plan(&mut inventory);
    assert!(matches!(state(&tagging, 1), State::Tagging(tag) if tag.get() == 1));
    assert!(tagging.warm && tagging.wires.is_empty());
    assert_eq!(tagging.tags.len(), 1);
    apply_tags(&mut inventory);

    let flows = plan(&mut inventory);
    assert_eq!(*state(&flows, 1), State::Flows);
    assert!(flows.tags.is_empty() && !changes(&flows).is_empty() && flows.up.is_empty());
    apply_flows(&mut inventory);

    let wired = plan(&mut inventory);
    assert_eq!(*state(&wired, 1), State::Wired);
    assert!(changes(&wired).is_empty());
    assert_eq!(wired.up, BTreeSet::from([port_id(1)]));
    inventory.reported.insert(port_id(1), Report::Up);

    let up = plan(&mut inventory);
    assert_eq!(*state(&up, 1), State::Up);
    assert!(up.up.is_empty() && changes(&up).is_empty() && up.tags.is_empty());
}

#[test]
fn the_policy_of_a_port_goes_ahead_of_its_tag() {
    let mut inventory = node(&[1]);
    answer(&mut inventory, &one_port());
    let kinds = |plan: &Plan| -> BTreeSet<Kind> {
        changes(plan).iter().map(|change| Owner::of(change.flow.cookie).unwrap().kind).collect()
    };
    for _ in 0..2 {
        let ahead = plan(&mut inventory);
        assert!(matches!(state(&ahead, 1), State::Clearing(_) | State::Tagging(_)));
        assert!(kinds(&ahead).contains(&Kind::Policy) && !kinds(&ahead).contains(&Kind::Port));
        assert!(ahead.wires.is_empty() && ahead.up.is_empty());
        clear_zones(&mut inventory);
    }
    // A policy that is there already is not sent again.
    let ahead = plan(&mut inventory);
    inventory.integration.flows.apply(changes(&ahead));
    apply_tags(&mut inventory);
    let rest = plan(&mut inventory);
    assert!(kinds(&rest).contains(&Kind::Port) && !kinds(&rest).contains(&Kind::Policy));
    // Of a port that has gone before it got so far nothing stays.
    inventory.integration.flows.apply(changes(&rest));
    inventory.replica = node(&[]).replica;
    let gone = plan(&mut inventory);
    assert!(kinds(&gone).is_superset(&BTreeSet::from([Kind::Port, Kind::Policy])));
    assert!(changes(&gone).iter().all(|change| change.command == Command::DeleteStrict));
}

fn up() -> Inventory {
    up_with(&one_port())
}

pub(super) fn up_with(objects: &[Object]) -> Inventory {
    let mut inventory = node(&[1]);
    answer(&mut inventory, objects);
    apply_tags(&mut inventory);
    apply_flows(&mut inventory);
    inventory.reported.insert(port_id(1), Report::Up);
    inventory
}

/// Port 2, on another network.
fn elsewhere() -> Object {
    let mut port = port(2, &[7]);
    port.network_id = id(0xcc);
    Object::Port(port)
}

#[test]
fn a_network_waits_for_what_the_one_before_has_left_on_its_vlan() {
    let objects = [one_port(), vec![elsewhere()]].concat();
    let mut inventory = up_with(&objects);
    // Port 1 is unplugged and port 2 is plugged in at once.
    inventory.replica = node(&[2]).replica;
    answer(&mut inventory, &objects);
    let waiting = plan(&mut inventory);
    assert!(matches!(state(&waiting, 2), State::Clearing(tag) if tag.get() == 1));
    assert!(waiting.clearing.is_empty(), "flows of port 1 still lead into the zone");
    assert_eq!(waiting.tags.iter().map(|change| change.tag).collect::<Vec<_>>(), [VlanTag::DEAD]);

    inventory.integration.bundling = true;
    assert!(plan(&mut inventory).clearing.is_empty(), "who knows what the bundle brings");
    inventory.integration.bundling = false;
    apply_flows(&mut inventory);
    let clearing = plan(&mut inventory);
    assert_eq!(clearing.clearing.values().map(|tag| tag.get()).collect::<Vec<_>>(), [1]);
    assert!(changes(&clearing).is_empty());

    clear_zones(&mut inventory);
    apply_tags(&mut inventory);
    assert_eq!(*state(&plan(&mut inventory), 2), State::Flows);
    assert!(plan(&mut inventory).clearing.is_empty());
}

#[test]
fn a_vlan_that_is_recorded_is_kept_with_its_connections() {
    let mut inventory = up();
    let mut restarted = node(&[1]);
    restarted.replica = inventory.replica.take();
    answer(&mut restarted, &one_port());
    let plan = plan(&mut restarted);
    assert_eq!(*state(&plan, 1), State::Flows);
    assert!(plan.clearing.is_empty());
}

#[test]
fn a_tag_counts_when_vswitchd_has_applied_it() {
    let mut inventory = node(&[1]);
    answer(&mut inventory, &one_port());
    apply_tags(&mut inventory);
    inventory.tagging.insert(row(0x2001), Tagging::Sent);
    assert!(matches!(state(&plan(&mut inventory), 1), State::Tagging(_)));
    inventory.tagging.insert(row(0x2001), Tagging::Written { configuration: 1 });
    assert!(matches!(state(&plan(&mut inventory), 1), State::Tagging(_)));
    inventory.forget_applied_tags();
    assert_eq!(inventory.tagging.len(), 1);
    inventory.tagging.insert(row(0x2001), Tagging::Written { configuration: 0 });
    assert_eq!(*state(&plan(&mut inventory), 1), State::Flows);
}

#[test]
fn a_restart_with_nothing_changed_sends_nothing_at_any_step() {
    let before = up();
    let mut inventory = node(&[1]);
    for (bridge, _) in before.bridges() {
        inventory.reconnect(bridge, before.bridge(bridge).unwrap().flows.installed().cloned());
    }
    inventory.replica = before.replica;
    let mut rounds = 0;
    loop {
        let plan = plan(&mut inventory);
        assert!(plan.bundles.is_empty() && plan.tags.is_empty(), "{:?}", plan.bundles);
        assert!(plan.wiring.is_empty());
        if !answer_round(&mut inventory, &one_port()) {
            assert!(plan.warm && plan.wires.contains_key(&port_id(1)));
            break;
        }
        rounds += 1;
    }
    assert_eq!(rounds, 3, "the port, its group, the members of the group");
}

/// Ports 1 and 2 with their tags, of which the server has described the second alone.
fn half_described(mut inventory: Inventory) -> Inventory {
    let objects =
        [Object::Port(port(2, &[8])), group(8), Object::SecurityGroupRule(rule(80, 8, None))];
    let asked = [Query::Port(port_id(2))].into();
    for question in inventory.cache.ask(&asked) {
        inventory.cache.answer(&question, objects[..1].to_vec());
    }
    for _ in 0..2 {
        let queries = plan(&mut inventory).queries;
        let first = Query::Port(port_id(1));
        let wanted = queries.into_iter().filter(|query| *query != first).collect();
        for question in inventory.cache.ask(&wanted) {
            let matching = |object: &&Object| {
                matches!(
                    question.call(),
                    Some(Asking::Bulk(call)) if call.resource == object.resource()
                )
            };
            let objects = objects.iter().filter(matching).cloned().collect();
            inventory.cache.answer(&question, objects);
        }
    }
    apply_tags(&mut inventory);
    inventory
}

#[test]
fn on_a_bridge_without_flows_no_port_waits_for_another() {
    let mut inventory = half_described(node(&[1, 2]));
    apply_elsewhere(&mut inventory);
    let plan = plan(&mut inventory);
    assert!(!plan.warm && !changes(&plan).is_empty());
    assert_eq!(plan.wires.keys().collect::<Vec<_>>(), [&port_id(2)]);
}

#[test]
fn a_port_whose_flows_are_held_back_is_not_wired() {
    let before = up();
    let mut inventory = node(&[1, 2]);
    inventory.reconnect(BridgeId::Integration, before.integration.flows.installed().cloned());
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    let tagged = before.replica.as_deref().unwrap().ports.get(&row(0x2001)).unwrap();
    replica.ports.insert(row(0x2001), tagged.clone());
    inventory.replica = Some(Arc::new(replica));
    let mut inventory = half_described(inventory);
    let plan = plan(&mut inventory);
    assert!(!plan.warm && changes(&plan).is_empty());
    assert_eq!(*state(&plan, 2), State::Flows);
    assert!(plan.wires.is_empty());
}

#[test]
fn flows_of_a_port_that_has_gone_do_not_wait() {
    let before = up();
    let mut inventory = node(&[2]);
    inventory.reconnect(BridgeId::Integration, before.integration.flows.installed().cloned());
    let flows = changes(&plan(&mut inventory)).to_vec();
    assert_eq!(flows.len(), 6);
    assert!(flows.iter().all(|change| change.command == Command::DeleteStrict));
}

#[test]
fn ports_that_may_not_talk_go_to_the_dead_vlan() {
    let mut elsewhere = port(1, &[]);
    elsewhere.bindings[0].host = "node2".to_owned();
    let mut failed = port(1, &[]);
    failed.bindings[0].vif_type = "binding_failed".to_owned();
    let mut down = port(1, &[]);
    down.admin_state_up = false;
    let abilities = "bridge mappings for physnet1 and no tunnels".to_owned();
    let cases = [
        (Some(elsewhere), State::NotBoundHere),
        (Some(failed), State::BindingFailed { abilities }),
        (Some(down), State::AdminDown),
        (None, State::Unknown),
    ];
    for (object, expected) in cases {
        let mut inventory = node(&[1]);
        let objects: Vec<Object> = object.into_iter().map(Object::Port).collect();
        answer(&mut inventory, &objects);
        let plan = plan(&mut inventory);
        assert_eq!(*state(&plan, 1), expected);
        assert_eq!(plan.tags.len(), 1);
        assert_eq!(plan.tags[0].tag, 4095);
        assert!(plan.wires.is_empty());
        assert_eq!(plan.down.contains(&port_id(1)), expected == State::AdminDown);
    }
}

#[test]
fn an_admin_down_port_loses_its_flows() {
    let mut inventory = up();
    let mut down = port(1, &[7]);
    down.admin_state_up = false;
    down.revision_number = 2;
    inventory.cache.push(neutron::rpc::EventType::Updated, vec![Object::Port(down)]);
    let plan = plan(&mut inventory);
    assert!(!changes(&plan).is_empty());
    assert!(changes(&plan).iter().all(|change| change.command == Command::DeleteStrict));
}

#[test]
fn one_bad_port_holds_up_no_other() {
    let mut inventory = node(&[1, 2]);
    let mut objects = one_port();
    let mut broken = port(2, &[7]);
    broken.mac_address = "fa".to_owned();
    objects.push(Object::Port(broken));
    answer(&mut inventory, &objects);
    apply_tags(&mut inventory);
    apply_flows(&mut inventory);
    let plan = plan(&mut inventory);
    assert_eq!(*state(&plan, 1), State::Wired);
    assert!(matches!(state(&plan, 2), State::Unusable(text) if text.contains("mac_address")));
}

#[test]
fn an_interface_without_a_switch_port_says_why() {
    let mut inventory = node(&[1]);
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    let interface = replica.interfaces.get_mut(&row(0x3001)).unwrap();
    interface.ofport = Some(-1);
    interface.error = Some("could not open network device tap1".to_owned());
    inventory.replica = Some(Arc::new(replica));
    answer(&mut inventory, &one_port());
    let text = state(&plan(&mut inventory), 1).to_string();
    assert!(text.ends_with("could not open network device tap1"), "{text}");
}

#[test]
fn of_two_interfaces_with_one_id_the_lower_port_counts() {
    let mut inventory = node(&[1, 2]);
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    let interface = replica.interfaces.get_mut(&row(0x3002)).unwrap();
    interface.external_ids.insert("iface-id".to_owned(), id(1));
    inventory.replica = Some(Arc::new(replica));
    answer(&mut inventory, &one_port());
    let plan = plan(&mut inventory);
    assert_eq!(&*plan.ports.get(&port_id(1)).unwrap().interface, "tap1");
    assert_eq!(plan.duplicates.get("tap2"), Some(&port_id(1)));
    assert!(plan.tags.iter().any(|change| change.row == row(0x2002) && change.tag == 4095));
}

#[test]
fn a_port_that_lacks_its_record_is_tagged_again_and_no_other() {
    let mut inventory = node(&[1, 2, 3]);
    let ports = (1..=3).map(|n| Object::Port(port(n, &[])));
    answer(&mut inventory, &ports.collect::<Vec<_>>());
    apply_tags(&mut inventory);
    assert!(plan(&mut inventory).tags.is_empty());
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    replica.ports.get_mut(&row(0x2002)).unwrap().other_config.remove("segmentation_id");
    inventory.replica = Some(Arc::new(replica));
    let rows: Vec<_> = plan(&mut inventory).tags.iter().map(|change| change.row).collect();
    assert_eq!(rows, [row(0x2002)]);
}

#[test]
fn an_interface_whose_id_is_none_is_closed_and_shown() {
    let mut inventory = node(&[1, 2]);
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    let interface = replica.interfaces.get_mut(&row(0x3002)).unwrap();
    interface.external_ids.insert("iface-id".to_owned(), "web server".to_owned());
    inventory.replica = Some(Arc::new(replica));
    answer(&mut inventory, &one_port());
    let plan = plan(&mut inventory);
    assert!(plan.tags.iter().any(|change| change.row == row(0x2002) && change.tag == 4095));
    assert!(plan.warm, "nobody waits for it");
    let status = Status::new("node1", &inventory, &plan);
    let shown: Vec<_> = status.ports.iter().map(|it| (&*it.interface, &*it.id, it.up)).collect();
    assert_eq!(shown, [("tap1", id(1).as_str(), false), ("tap2", "web server", false)]);
    assert!(status.ports[1].state.contains("not the id of a port"), "{status:?}");
}

#[test]
fn refused_flows_are_left_alone_until_the_retry() {
    let mut inventory = up();
    let mut objects = one_port();
    objects.push(Object::Port(port(2, &[7])));
    let mut grown = node(&[1, 2]);
    let mut replica = grown.replica.as_deref().unwrap().clone();
    let tagged = inventory.replica.as_deref().unwrap().ports.get(&row(0x2001)).unwrap().clone();
    replica.ports.insert(row(0x2001), tagged);
    grown.replica = Some(Arc::new(replica));
    inventory.replica = grown.replica;
    answer(&mut inventory, &objects);
    apply_tags(&mut inventory);
    let owner = Owner::port(port_id(2));
    let message = "table full".to_owned();
    inventory.integration.refused.insert(owner, Refused { message, times: 1, retry: false });

    let held = plan(&mut inventory);
    assert!(changes(&held).iter().all(|change| change.flow.cookie != owner.cookie()));
    assert_eq!(*state(&held, 2), State::Refused("table full".to_owned()));
    assert_eq!(held.wires.keys().collect::<Vec<_>>(), [&port_id(1)]);

    inventory.integration.refused.get_mut(&owner).unwrap().retry = true;
    let retried = plan(&mut inventory);
    assert!(changes(&retried).iter().any(|change| change.flow.cookie == owner.cookie()));
}

#[test]
fn a_port_that_is_closed_after_it_was_up_is_reported_down_once_and_up_again() {
    let mut inventory = up();
    let owner = Owner::port(port_id(1));
    let message = "table full".to_owned();
    inventory.integration.refused.insert(owner, Refused { message, times: 1, retry: false });
    let refused = plan(&mut inventory);
    assert_eq!(*state(&refused, 1), State::Refused("table full".to_owned()));
    assert_eq!(refused.down, BTreeSet::from([port_id(1)]));
    inventory.reported.insert(port_id(1), Report::Down);
    inventory.forget_settled(&refused);
    assert!(plan(&mut inventory).down.is_empty());

    inventory.integration.refused.clear();
    assert_eq!(plan(&mut inventory).up, BTreeSet::from([port_id(1)]));
}

#[test]
fn a_port_whose_device_has_gone_is_reported_down_and_one_that_never_came_is_not() {
    let mut inventory = up();
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    replica.interfaces.get_mut(&row(0x3001)).unwrap().ofport = Some(-1);
    inventory.replica = Some(Arc::new(replica));
    assert_eq!(plan(&mut inventory).down, BTreeSet::from([port_id(1)]));
    inventory.reported.clear();
    assert!(plan(&mut inventory).down.is_empty());
}

#[test]
fn a_refused_flow_that_all_ports_share_lets_no_port_up() {
    let mut inventory = node(&[1]);
    answer(&mut inventory, &one_port());
    apply_tags(&mut inventory);
    let message = "no".to_owned();
    let refused = Refused { message, times: 1, retry: false };
    inventory.integration.refused.insert(Owner::BASE, refused);
    apply_flows(&mut inventory);
    let closed = plan(&mut inventory);
    assert_eq!(*state(&closed, 1), State::Refused("no".to_owned()));
    assert!(closed.up.is_empty() && closed.wires.is_empty());

    let mut inventory = up();
    let refused = Refused { message: "no".to_owned(), times: 1, retry: false };
    inventory.integration.refused.insert(Owner::BASE, refused);
    lose_a_flow(&mut inventory, Owner::BASE);
    let warned = plan(&mut inventory);
    assert_eq!(*state(&warned, 1), State::Up, "what was confirmed goes on");
    assert_eq!(warned.ports[&port_id(1)].warnings.len(), 1);
    inventory.forget_settled(&warned);
    assert!(inventory.integration.refused.contains_key(&Owner::BASE));
}

#[test]
fn a_refusal_of_what_is_not_wanted_any_more_is_forgotten() {
    let mut inventory = up();
    let refused = Refused { message: "no".to_owned(), times: 1, retry: false };
    let class = Owner { kind: Kind::Class, object: 5 };
    inventory.integration.refused.insert(class, refused);
    let settled = plan(&mut inventory);
    assert!(settled.ports[&port_id(1)].warnings.is_empty());
    inventory.forget_settled(&settled);
    assert!(inventory.integration.refused.is_empty());
}

#[test]
fn a_port_that_comes_back_to_this_host_is_reported_again() {
    let mut inventory = up();
    let updated = neutron::rpc::EventType::Updated;
    let mut elsewhere = port(1, &[7]);
    elsewhere.revision_number = 2;
    elsewhere.bindings[0].host = "node2".to_owned();
    inventory.cache.push(updated, vec![Object::Port(elsewhere)]);
    let away = plan(&mut inventory);
    inventory.forget_settled(&away);
    apply_flows(&mut inventory);
    apply_tags(&mut inventory);

    let mut back = port(1, &[7]);
    back.revision_number = 3;
    inventory.cache.push(updated, vec![Object::Port(back)]);
    apply_tags(&mut inventory);
    apply_flows(&mut inventory);
    assert_eq!(plan(&mut inventory).up, BTreeSet::from([port_id(1)]));
}

#[test]
fn a_port_without_a_tag_is_no_trunk_while_the_server_is_asked() {
    let mut inventory = node(&[1]);
    let asking = plan(&mut inventory);
    assert_eq!(asking.tags.iter().map(|change| change.tag).collect::<Vec<_>>(), [VlanTag::DEAD]);
    apply_tags(&mut inventory);
    assert!(plan(&mut inventory).tags.is_empty());
}

#[test]
fn new_groups_take_over_when_they_are_known_and_not_before() {
    let mut inventory = up();
    let mut moved = port(1, &[8]);
    moved.revision_number = 2;
    let updated = neutron::rpc::EventType::Updated;
    inventory.cache.push(updated, vec![Object::Port(moved.clone())]);
    let waiting = plan(&mut inventory);
    // As a member of its old group it is gone at once; its own filter stays.
    let own = Owner::port(port_id(1)).cookie();
    assert!(changes(&waiting).iter().all(|change| change.flow.cookie != own));
    assert_eq!(*state(&waiting, 1), State::Up);
    assert_eq!(waiting.ports[&port_id(1)].warnings.len(), 1);
    assert!(!waiting.warm);

    answer(&mut inventory, &[Object::Port(moved), group(8)]);
    let changed = plan(&mut inventory);
    assert!(!changes(&changed).is_empty());
    assert!(changed.ports[&port_id(1)].warnings.is_empty());
}

#[test]
fn what_was_confirmed_goes_on_over_a_lost_connection_while_the_server_is_asked() {
    let mut inventory = up();
    let mut moved = port(1, &[8]);
    moved.revision_number = 2;
    let updated = neutron::rpc::EventType::Updated;
    inventory.cache.push(updated, vec![Object::Port(moved)]);
    apply_flows(&mut inventory);
    let installed = inventory.integration.flows.installed().cloned();
    inventory.reconnect(BridgeId::Integration, None);
    assert_eq!(*state(&plan(&mut inventory), 1), State::NoSwitch);

    inventory.reconnect(BridgeId::Integration, installed);
    let again = plan(&mut inventory);
    assert_eq!(changes(&again), [], "the flows of before are still there");
    assert_eq!(*state(&again, 1), State::Asking(Asked::Groups), "nothing is confirmed yet");
    apply_flows(&mut inventory);
    assert_eq!(*state(&plan(&mut inventory), 1), State::Up);

    // A switch that has started again holds nothing.
    inventory.reconnect(BridgeId::Integration, Some(FlowSet::new()));
    let own = Owner::port(port_id(1)).cookie();
    let flows = changes(&plan(&mut inventory)).to_vec();
    assert_eq!(flows.iter().filter(|change| change.flow.cookie == own).count(), 6);
}

#[test]
fn the_policy_that_a_port_leaves_lingers() {
    let to_anybody = Object::SecurityGroupRule(rule(70, 7, None));
    let mut inventory = up_with(&[Object::Port(port(1, &[7])), group(7), to_anybody]);
    let mut moved = port(1, &[8]);
    moved.revision_number = 2;
    let updated = neutron::rpc::EventType::Updated;
    inventory.cache.push(updated, vec![Object::Port(moved.clone())]);
    let objects = [Object::Port(moved), group(8), Object::SecurityGroupRule(rule(80, 8, None))];
    answer(&mut inventory, &objects);
    let policy_deletes = |plan: &Plan| {
        let is_policy = |change: &&FlowMod| {
            let owner = Owner::of(change.flow.cookie);
            owner.is_some_and(|owner| owner.kind == Kind::Policy)
        };
        let deletes = changes(plan).iter().filter(is_policy);
        deletes.filter(|change| change.command == Command::DeleteStrict).count()
    };
    let moving = plan(&mut inventory);
    assert!(!changes(&moving).is_empty());
    assert_eq!(policy_deletes(&moving), 0);
    inventory.integration.flows.apply(changes(&moving));
    let left = inventory.confirm(moving.wires, BTreeSet::new());
    assert_eq!(left.len(), 1);
    assert_eq!(policy_deletes(&plan(&mut inventory)), 0);
    inventory.fade(&left);
    assert_eq!(policy_deletes(&plan(&mut inventory)), 1);
}

#[test]
fn a_new_remote_group_does_not_disturb_the_other_rules() {
    let mut inventory = up();
    let updated = neutron::rpc::EventType::Updated;
    inventory.cache.push(updated, vec![Object::SecurityGroupRule(rule(71, 7, Some(9)))]);
    let waiting = plan(&mut inventory);
    assert!(changes(&waiting).is_empty(), "{:?}", waiting.bundles);
    assert_eq!(*state(&waiting, 1), State::Up);
}

#[test]
fn a_port_that_has_gone_is_reported() {
    let mut inventory = up();
    inventory.replica = node(&[]).replica;
    let plan = plan(&mut inventory);
    assert_eq!(plan.gone, BTreeSet::from([port_id(1)]));
    assert!(!changes(&plan).is_empty());
}

#[test]
fn a_changed_switch_port_is_wired_again() {
    let mut inventory = up();
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    replica.interfaces.get_mut(&row(0x3001)).unwrap().ofport = Some(9);
    inventory.replica = Some(Arc::new(replica));
    let moved = plan(&mut inventory);
    assert_eq!(*state(&moved, 1), State::Flows);
    let ofport = moved.wires.get(&port_id(1)).map(|wired| wired.local.ofport);
    assert_eq!(ofport, OfPort::new(9).ok());
    apply_flows(&mut inventory);
    assert_eq!(*state(&plan(&mut inventory), 1), State::Up);
}

#[test]
fn bridges_are_joined_when_both_have_their_flows() {
    let peer =
        |inventory: &Inventory, name| end(inventory, name).unwrap().1.options["peer"].clone();
    let mut inventory = up();
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    let patches = replica.ports.extract_if(.., |_, port| port.name.contains("br-phys"));
    let patches: Vec<_> = patches.map(|(row, _)| row).collect();
    for bridge in replica.bridges.values_mut() {
        bridge.ports.retain(|row| !patches.contains(row));
    }
    replica.interfaces.retain(|_, interface| !interface.name.contains("br-phys"));
    inventory.replica = Some(Arc::new(replica));
    apply_flows(&mut inventory);
    assert_eq!(plan(&mut inventory).wiring.len(), 2);
    apply_wiring(&mut inventory);
    assert_eq!(peer(&inventory, "int-br-phys"), "nonexistent-peer");

    let open = plan(&mut inventory);
    assert!(open.wiring.is_empty(), "nothing is joined before both bridges refuse by default");
    assert_eq!(open.bundles.len(), 2);
    let bundle = open.bundles.get(&BridgeId::Physical(0)).unwrap();
    let physical = inventory.bridge_mut(BridgeId::Physical(0)).unwrap();
    physical.flows.apply(bundle);
    assert!(plan(&mut inventory).wiring.is_empty(), "one of them is not enough");
    apply_flows(&mut inventory);
    assert_eq!(plan(&mut inventory).wiring.len(), 2);
    apply_wiring(&mut inventory);
    assert_eq!(peer(&inventory, "int-br-phys"), "phy-br-phys");
    assert_eq!(peer(&inventory, "phy-br-phys"), "int-br-phys");

    let joined = plan(&mut inventory);
    assert!(joined.wiring.is_empty() && joined.bundles.is_empty());
    // What is joined stays so, whatever is known of the flows: a restart is not felt.
    inventory.reconnect(BridgeId::Physical(0), None);
    assert!(plan(&mut inventory).wiring.is_empty());
}

#[test]
fn a_port_is_up_only_if_its_network_leaves_the_node() {
    let mut inventory = node(&[1]);
    inventory.reconnect(BridgeId::Physical(0), None);
    answer(&mut inventory, &one_port());
    apply_tags(&mut inventory);
    assert!(plan(&mut inventory).clearing.is_empty(), "who knows what br-phys does with the VLAN");
    inventory.reconnect(BridgeId::Physical(0), Some(FlowSet::new()));
    apply_tags(&mut inventory);

    let elsewhere = std::mem::take(&mut inventory.physical);
    apply_flows(&mut inventory);
    let unmapped = plan(&mut inventory);
    assert!(state(&unmapped, 1).to_string().starts_with("no bridge carries physical network"));
    assert!(unmapped.up.is_empty());

    inventory.physical = elsewhere;
    // What the database says of its ports is read with the next news.
    inventory.replica = inventory.replica.as_deref().cloned().map(Arc::new);
    let waiting = plan(&mut inventory);
    assert_eq!(*state(&waiting, 1), State::Flows);
    assert!(waiting.wires.is_empty());
    apply_flows(&mut inventory);
    assert_eq!(*state(&plan(&mut inventory), 1), State::Wired);

    // Those who talk already go on when the bridge is taken away.
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    replica.bridges.retain(|_, bridge| bridge.name != "br-phys");
    inventory.replica = Some(Arc::new(replica));
    inventory.reconnect(BridgeId::Physical(0), None);
    let gone = plan(&mut inventory);
    assert_eq!(*state(&gone, 1), State::Wired);
    let warnings = &gone.ports.get(&port_id(1)).unwrap().warnings;
    let expected = "bridge br-phys, which carries physical network physnet1, is not there; make it";
    assert_eq!(warnings, &[expected]);
    assert!(gone.bundles.is_empty());
}

#[test]
fn a_local_vlan_is_not_reused_while_another_bridge_translates_it() {
    let mut inventory = up();
    let translation = |inventory: &Inventory| {
        let physical = inventory.bridge(BridgeId::Physical(0)).unwrap();
        let flows = physical.flows.installed().unwrap();
        flows.iter().any(|flow| Owner::of(flow.cookie) == Some(Owner::network(VlanTag::MIN)))
    };
    assert!(translation(&inventory));
    // The port goes, and one of another network comes.
    let mut other = port(2, &[]);
    other.network_id = id(0xab);
    inventory.replica = node(&[2]).replica;
    answer(&mut inventory, &[Object::Port(other)]);
    let going = plan(&mut inventory);
    inventory.integration.flows.apply(changes(&going));
    assert!(plan(&mut inventory).clearing.is_empty(), "br-phys still has the translation");
    let bundle = going.bundles.get(&BridgeId::Physical(0)).unwrap();
    inventory.bridge_mut(BridgeId::Physical(0)).unwrap().flows.apply(bundle);
    assert!(!translation(&inventory));
    assert_eq!(plan(&mut inventory).clearing.len(), 1);
}

#[test]
fn the_target_of_a_migration_is_wired_before_it_is_active() {
    let mut inventory = node(&[1]);
    let mut moving = port(1, &[7]);
    let (here, mut there) = (moving.bindings[0].clone(), moving.bindings[0].clone());
    there.host = "node2".to_owned();
    let status = |binding: &neutron::object::PortBinding, status: &str| {
        neutron::object::PortBinding { status: Some(status.to_owned()), ..binding.clone() }
    };
    moving.bindings = vec![status(&there, "ACTIVE"), status(&here, "INACTIVE")];
    let objects = [Object::Port(moving.clone()), group(7)];
    answer(&mut inventory, &objects);
    apply_tags(&mut inventory);
    apply_flows(&mut inventory);
    let wired = plan(&mut inventory);
    assert_eq!(*state(&wired, 1), State::Wired);
    assert!(wired.snapshot.ports[&port_id(1)].standby);
    assert_eq!(wired.ports[&port_id(1)].warnings.len(), 1);
    assert!(wired.up.contains(&port_id(1)), "who migrates it waits to hear that");

    inventory.reported_up([port_id(1)]);
    assert_eq!(*state(&plan(&mut inventory), 1), State::Up);

    moving.bindings = vec![status(&there, "INACTIVE"), status(&here, "ACTIVE")];
    moving.revision_number = 2;
    moving.status = "DOWN".to_owned();
    let pushed = vec![Object::Port(moving)];
    inventory.hear(&pushed);
    inventory.cache.push(neutron::rpc::EventType::Updated, pushed.clone());
    let active = plan(&mut inventory);
    assert!(!active.snapshot.ports[&port_id(1)].standby && active.tags.is_empty());
    apply_flows(&mut inventory);
    let wired = plan(&mut inventory);
    assert!(wired.ports[&port_id(1)].warnings.is_empty());
    assert!(wired.up.contains(&port_id(1)), "it was reported as on standby");

    // Called down again while that report is under way: it may be from before.
    inventory.doubted.clear();
    inventory.hear(&pushed);
    inventory.reported_up([port_id(1)]);
    assert!(plan(&mut inventory).up.contains(&port_id(1)));
    inventory.doubted.clear();
    inventory.reported_up([port_id(1)]);
    assert_eq!(*state(&plan(&mut inventory), 1), State::Up);
}

#[test]
fn of_ports_of_an_ancillary_bridge_the_server_hears() {
    let mut inventory = node(&[]);
    let with = |marked: &str| {
        let mut replica = (*node(&[9]).replica.unwrap()).clone();
        let bridge = replica.bridges.values_mut().find(|bridge| bridge.name == "br-int").unwrap();
        bridge.name = "br-ex".to_owned();
        bridge.external_ids.insert("bridge-id".to_owned(), marked.to_owned());
        Some(Arc::new(replica))
    };
    inventory.replica = with("another");
    assert!(plan(&mut inventory).up.is_empty());
    inventory.replica = with("br-ex");
    let plugged = plan(&mut inventory);
    assert_eq!(plugged.up, BTreeSet::from([port_id(9)]));
    assert!(plugged.queries.is_empty() && plugged.tags.is_empty() && plugged.ports.is_empty());
    inventory.reported.insert(port_id(9), Report::Up);
    let known = plan(&mut inventory);
    assert!(known.up.is_empty() && known.gone.is_empty());
    inventory.replica = node(&[]).replica;
    assert_eq!(plan(&mut inventory).gone, BTreeSet::from([port_id(9)]));
}

#[test]
fn what_neutrons_agent_left_goes_when_no_packet_can_meet_it_any_more() {
    let theirs = |table, priority, cookie| Flow {
        table: TableId(table),
        priority: Priority(priority),
        cookie: Cookie(cookie),
        matches: Match::new(),
        actions: [].into(),
    };
    let [canary, normal, extension, other] =
        [theirs(23, 0, 77), theirs(60, 1, 77), theirs(0, 200, 78), theirs(200, 1, 79)];
    let installed: FlowSet = [&canary, &normal, &extension, &other].into_iter().cloned().collect();
    let mut inventory = node(&[1]);
    inventory.reconnect(BridgeId::Integration, Some(installed.clone()));
    assert!(changes(&plan(&mut inventory)).is_empty(), "the port is not described");
    answer(&mut inventory, &one_port());
    clear_zones(&mut inventory);

    let is_delete = |change: &&FlowMod| change.command == Command::DeleteStrict;
    let gone = |plan: &Plan| -> Vec<Flow> {
        let gone = changes(plan).iter().filter(is_delete).map(|it| Flow::clone(&it.flow));
        let mut gone: Vec<Flow> = gone.collect();
        gone.sort_by_key(|flow| flow.table);
        gone
    };
    let first = plan(&mut inventory);
    assert_eq!(gone(&first), std::slice::from_ref(&extension), "what stands before the way in");
    assert!(changes(&first).len() > 1, "what replaces it comes with it");
    assert!(!inventory.integration.has_just_left(), "the switch has not confirmed");
    inventory.integration.fade();

    apply_flows(&mut inventory);
    assert!(changes(&plan(&mut inventory)).is_empty(), "packets may be under way");
    assert!(inventory.integration.has_just_left());
    assert!(!inventory.integration.has_just_left(), "it is said once");
    assert!(changes(&plan(&mut inventory)).is_empty());
    inventory.integration.fade();
    assert_eq!(gone(&plan(&mut inventory)), [canary, normal.clone()]);

    // Without the sign of Neutron's agent, flows of others are left alone.
    let mut stranger = node(&[1]);
    let installed = [normal, extension, other].into_iter().collect();
    stranger.reconnect(BridgeId::Integration, Some(installed));
    answer(&mut stranger, &one_port());
    clear_zones(&mut stranger);
    assert!(!changes(&plan(&mut stranger)).iter().any(|change| is_delete(&change)));
}
