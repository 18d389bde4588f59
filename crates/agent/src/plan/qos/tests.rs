//! What is written for which policy, and that nothing else is.

mod guarantee;

use std::sync::Arc;

use dataplane::FlowSet;
use model::MeterId;
use neutron::object::{
    Network, Object, QosBandwidthLimitRule, QosDscpMarkingRule, QosPacketRateLimitRule, QosPolicy,
    QosRule,
};
use neutron::rpc::EventType;
use openflow::{Meter, MeterMod};
use ovsdb::{Port, Replica};

use super::*;
use crate::cache::Asking;
use crate::config::Extensions;
use crate::fixture::{NETWORK, group, id, node, port, row, rule};
use crate::plan::plan;

const GOLD: u32 = 0x60;
const SILVER: u32 = 0x61;

fn limits(n: u32, revision_number: u64, rules: &[(&str, u32, u32)]) -> Object {
    let rule = |(direction, rate, burst): &(&str, u32, u32)| {
        QosRule::BandwidthLimit(QosBandwidthLimitRule {
            max_kbps: Some(*rate),
            max_burst_kbps: Some(*burst),
            direction: (*direction).to_owned(),
            ..Default::default()
        })
    };
    let rules = rules.iter().map(rule).collect();
    Object::QosPolicy(QosPolicy { id: id(n), rules, revision_number, ..Default::default() })
}

fn with_policy(n: u32, policy: Option<u32>, of_network: Option<u32>) -> Object {
    let (own, network) = (policy.map(id), of_network.map(id));
    Object::Port(neutron::object::Port {
        qos_policy_id: own,
        qos_network_policy_id: network,
        ..port(n, &[7])
    })
}

/// A node with two ports of which the server has said this.
fn told(mut objects: Vec<Object>) -> Inventory {
    let mut inventory = node(&[1, 2]);
    inventory.extensions = Extensions::ALL;
    objects.push(group(7));
    objects.push(Object::SecurityGroupRule(rule(8, 7, None)));
    answer(&mut inventory, &objects);
    inventory.warm = true;
    inventory
}

/// Lets the server answer until nothing more is asked.
fn answer(inventory: &mut Inventory, objects: &[Object]) {
    loop {
        let queries = plan(inventory).queries;
        let questions = inventory.cache.ask(&queries);
        if questions.is_empty() {
            return;
        }
        for question in questions {
            let found = match question.call() {
                Some(Asking::One(call)) => {
                    let is_it = |it: &&Object| it.resource() == call.resource && it.id() == call.id;
                    objects.iter().filter(is_it).cloned().collect()
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

/// Carries the planned limits out as the database does. Tells what there were.
fn apply(inventory: &mut Inventory) -> Vec<QosChange> {
    let changes = plan(inventory).qos;
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    for (n, change) in (0x7000..).zip(&changes) {
        match change.clone() {
            QosChange::Police { interface, rate, burst } => {
                let interface = replica.interfaces.get_mut(&interface).unwrap();
                interface.ingress_policing_rate = rate;
                interface.ingress_policing_burst = burst;
            }
            QosChange::Shape { ports, qos, queues } => {
                let mut rows = BTreeMap::new();
                for (number, queue) in queues {
                    let row_of_queue = match queue {
                        RowOr::Row(there) => there,
                        RowOr::New(queue) => {
                            let new = row(0x10_0000 + n * 0x100 + u32::try_from(number).unwrap());
                            assert!(replica.queues.insert(new, queue).is_none());
                            new
                        }
                    };
                    rows.insert(number, row_of_queue);
                }
                let shaped = match qos {
                    RowOr::Row(there) => {
                        replica.qos.get_mut(&there).unwrap().queues = rows;
                        there
                    }
                    RowOr::New(qos) => {
                        let qos = Qos { queues: rows, ..qos };
                        assert!(replica.qos.insert(row(n), qos).is_none());
                        row(n)
                    }
                };
                for port in ports {
                    replica.ports.get_mut(&port).unwrap().qos = Some(shaped);
                }
            }
            QosChange::Unshape { port } => replica.ports.get_mut(&port).unwrap().qos = None,
            QosChange::SetQos { qos, other_config } => {
                replica.qos.get_mut(&qos).unwrap().other_config = other_config;
            }
            QosChange::SetQueue { queue, other_config } => {
                replica.queues.get_mut(&queue).unwrap().other_config = other_config;
            }
            QosChange::Record { port, set, remove } => {
                let config = &mut replica.ports.get_mut(&port).unwrap().other_config;
                config.retain(|key, _| !remove.contains(key));
                config.extend(set);
            }
            QosChange::RemoveQos(row) => assert!(replica.qos.remove(&row).is_some()),
            QosChange::RemoveQueue(row) => assert!(replica.queues.remove(&row).is_some()),
        }
    }
    inventory.replica = Some(Arc::new(replica));
    assert_eq!(plan(inventory).qos, [], "doing it again changes nothing");
    changes
}

fn replica(inventory: &Inventory) -> &Replica {
    inventory.replica.as_deref().unwrap()
}

fn policing(inventory: &Inventory, n: u32) -> (i64, i64) {
    let interface = &replica(inventory).interfaces[&row(0x3000 + n)];
    (interface.ingress_policing_rate, interface.ingress_policing_burst)
}

fn text(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

/// The QoS of a port and its queues, as `ovs-vsctl` would show them.
fn shape(inventory: &Inventory, n: u32) -> Option<String> {
    let replica = replica(inventory);
    let qos = &replica.qos[&replica.ports[&row(0x2000 + n)].qos?];
    let (kind, config, ids) = (&qos.kind, text(&qos.other_config), text(&qos.external_ids));
    let mut shown = format!("{kind} {config} ({ids})");
    for (number, queue) in &qos.queues {
        let queue = &replica.queues[queue];
        let (config, ids) = (text(&queue.other_config), text(&queue.external_ids));
        shown += &format!(" {number}: {config} ({ids})");
    }
    Some(shown)
}

/// How many rows there are of either table.
fn rows(inventory: &Inventory) -> (usize, usize) {
    (replica(inventory).qos.len(), replica(inventory).queues.len())
}

fn update(inventory: &mut Inventory, objects: Vec<Object>) {
    inventory.cache.push(EventType::Updated, objects);
}

#[test]
fn a_policy_comes_changes_and_goes() {
    let policy = limits(GOLD, 1, &[("egress", 3000, 0), ("ingress", 5000, 400)]);
    let mut inventory =
        told(vec![with_policy(1, Some(GOLD), None), with_policy(2, None, None), policy]);
    assert_eq!(apply(&mut inventory).len(), 2);
    assert_eq!((policing(&inventory, 1), policing(&inventory, 2)), ((3000, 2400), (0, 0)));
    let htb = "linux-htb max-rate=34359738367 (_type=bandwidth_limit id=tap1)";
    let ids = "(port=tap1 queue-num=0 type=bandwidth_limit)";
    let shaped = |rate, burst| Some(format!("{htb} 0: burst={burst} max-rate={rate} {ids}"));
    assert_eq!(shape(&inventory, 1), shaped(5_000_000, 400_000));
    assert_eq!(shape(&inventory, 2), None);

    // Neutron sends a changed rule with the revision that the policy had.
    update(&mut inventory, vec![limits(GOLD, 1, &[("egress", 7, 1), ("ingress", 6000, 0)])]);
    let changes = apply(&mut inventory);
    assert!(matches!(changes.as_slice(), [QosChange::Police { .. }, QosChange::SetQueue { .. }]));
    assert_eq!(policing(&inventory, 1), (7, 1));
    assert_eq!(shape(&inventory, 1), shaped(6_000_000, 0));

    update(&mut inventory, vec![limits(GOLD, 2, &[("egress", 7, 1)])]);
    assert_eq!(apply(&mut inventory).len(), 3);
    assert_eq!((shape(&inventory, 1), rows(&inventory)), (None, (0, 0)));
    update(&mut inventory, vec![with_policy(1, None, None)]);
    apply(&mut inventory);
    assert_eq!(policing(&inventory, 1), (0, 0));
    let forgotten = plan(&mut inventory).queries;
    assert!(!forgotten.contains(&Query::QosPolicy(id(GOLD).parse().unwrap())));
}

#[test]
fn nothing_changes_before_the_policy_is_known() {
    let gold = limits(GOLD, 1, &[("egress", 9, 9), ("ingress", 9, 9)]);
    let ports = || vec![with_policy(1, Some(GOLD), None), with_policy(2, None, None)];
    let mut before = told([ports(), vec![gold.clone()]].concat());
    apply(&mut before);

    // The next agent finds it there.
    let mut inventory = node(&[1, 2]);
    inventory.extensions = Extensions::ALL;
    inventory.replica = before.replica;
    assert_eq!(plan(&mut inventory).qos, []);
    let queries = plan(&mut inventory).queries;
    for question in inventory.cache.ask(&queries) {
        inventory.cache.answer(&question, ports());
    }
    let asked = plan(&mut inventory);
    assert!(asked.queries.contains(&Query::QosPolicy(id(GOLD).parse().unwrap())));
    assert_eq!(asked.qos, []);
    update(&mut inventory, vec![gold]);
    let queries = asked.queries;
    for question in inventory.cache.ask(&queries) {
        inventory.cache.unanswered(&question);
    }
    inventory.warm = true;
    assert_eq!(plan(&mut inventory).qos, []);
    // A policy that there is no more limits nothing.
    answer(&mut inventory, &[ports(), vec![group(7)]].concat());
    apply(&mut inventory);
    assert_eq!((policing(&inventory, 1), rows(&inventory)), ((0, 0), (0, 0)));
}

#[test]
fn the_policy_of_the_network_is_for_ports_without_one() {
    let policies =
        [limits(GOLD, 1, &[("egress", 10, 8)]), limits(SILVER, 1, &[("egress", 20, 16)])];
    let ports = [with_policy(1, Some(GOLD), Some(SILVER)), with_policy(2, None, Some(SILVER))];
    let objects = [policies.to_vec(), ports.to_vec(), vec![group(7)]].concat();
    let mut inventory = told(objects.clone());
    apply(&mut inventory);
    assert_eq!((policing(&inventory, 1), policing(&inventory, 2)), ((10, 8), (20, 16)));

    // The network says another one; its ports do not change by that.
    let network = |policy: Option<u32>, revision_number| {
        Object::Network(Network {
            id: NETWORK.to_owned(),
            qos_policy_id: policy.map(id),
            revision_number,
            ..Default::default()
        })
    };
    update(&mut inventory, vec![network(Some(GOLD), 2)]);
    answer(&mut inventory, &objects);
    apply(&mut inventory);
    assert_eq!((policing(&inventory, 1), policing(&inventory, 2)), ((10, 8), (10, 8)));
    update(&mut inventory, vec![network(None, 3)]);
    apply(&mut inventory);
    assert_eq!((policing(&inventory, 1), policing(&inventory, 2)), ((10, 8), (0, 0)));
    // What is said of the port later counts again.
    update(&mut inventory, vec![with_policy(2, None, Some(SILVER))]);
    answer(&mut inventory, &objects);
    apply(&mut inventory);
    assert_eq!(policing(&inventory, 2), (20, 16));
}

#[test]
fn what_others_wrote_is_left_and_what_ours_left_goes() {
    let gold = limits(GOLD, 1, &[("ingress", 9, 9)]);
    let mut inventory =
        told(vec![with_policy(1, Some(GOLD), None), with_policy(2, None, None), gold]);
    apply(&mut inventory);
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    let named = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    // Of somebody else: on a port of ours without a policy, and on none.
    let theirs = Qos { kind: HTB.to_owned(), external_ids: named("id", "x"), ..Qos::default() };
    replica.qos.insert(row(0x9001), theirs.clone());
    replica.qos.insert(row(0x9002), theirs);
    replica.queues.insert(row(0x9003), Queue::default());
    replica.ports.get_mut(&row(0x2002)).unwrap().qos = Some(row(0x9001));
    // Port 1 goes, and leaves its rows behind.
    let port = row(0x2001);
    replica.ports.remove(&port);
    replica.bridges.values_mut().for_each(|bridge| {
        bridge.ports.remove(&port);
    });
    // A port of another bridge has a limit that is no business of this agent.
    let mut ids = named("id", "other");
    ids.extend(named("_type", "bandwidth_limit"));
    let other = Qos { kind: HTB.to_owned(), external_ids: ids, ..Qos::default() };
    replica.qos.insert(row(0x9004), other);
    let other = Port { name: "other".to_owned(), qos: Some(row(0x9004)), ..Port::default() };
    replica.ports.insert(row(0x9005), other);
    inventory.replica = Some(Arc::new(replica));
    let changes = apply(&mut inventory);
    assert!(
        matches!(changes.as_slice(), [QosChange::RemoveQos(_), QosChange::RemoveQueue(_)]),
        "{changes:?}"
    );
    assert_eq!(rows(&inventory), (3, 1));
}

#[test]
fn a_vhost_port_is_policed_by_open_vswitch_itself() {
    let gold = limits(GOLD, 1, &[("ingress", 8000, 80)]);
    let mut inventory =
        told(vec![with_policy(1, Some(GOLD), None), with_policy(2, None, None), gold]);
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    replica.interfaces.get_mut(&row(0x3001)).unwrap().kind = "dpdkvhostuserclient".to_owned();
    inventory.replica = Some(Arc::new(replica));
    apply(&mut inventory);
    assert_eq!(
        shape(&inventory, 1).as_deref(),
        Some("egress-policer cbs=10000 cir=1000000 (id=tap1)")
    );
    update(&mut inventory, vec![limits(GOLD, 2, &[("ingress", 16000, 80)])]);
    assert!(matches!(apply(&mut inventory).as_slice(), [QosChange::SetQos { .. }]));
    update(&mut inventory, vec![limits(GOLD, 3, &[])]);
    apply(&mut inventory);
    assert_eq!(rows(&inventory), (0, 0));
}

#[test]
fn a_policy_that_makes_no_sense_is_said_and_changes_nothing() {
    let mark = QosRule::DscpMarking(QosDscpMarkingRule { dscp_mark: 99, ..Default::default() });
    let broken = QosPolicy { id: id(GOLD), rules: vec![mark], ..Default::default() };
    let objects = vec![
        with_policy(1, Some(GOLD), None),
        with_policy(2, None, None),
        Object::QosPolicy(broken),
    ];
    let mut inventory = told(objects);
    let plan = plan(&mut inventory);
    assert_eq!(plan.qos, []);
    let warnings = &plan.ports[&id(1).parse().unwrap()].warnings;
    assert!(warnings.iter().any(|it| it.contains("its QoS policy does not apply")), "{warnings:?}");
}

#[test]
fn without_the_extension_everything_stays() {
    let gold = limits(GOLD, 1, &[("egress", 9, 9)]);
    let mut inventory =
        told(vec![with_policy(1, Some(GOLD), None), with_policy(2, None, None), gold]);
    inventory.extensions = Extensions::default();
    let plan = plan(&mut inventory);
    assert_eq!(plan.qos, []);
    assert!(!plan.queries.contains(&Query::QosPolicy(id(GOLD).parse().unwrap())));
}

fn packets(revision_number: u64, rules: &[(&str, u32)]) -> Object {
    let rule = |(direction, kilo): &(&str, u32)| {
        QosRule::PacketRateLimit(QosPacketRateLimitRule {
            max_kpps: Some(*kilo),
            direction: (*direction).to_owned(),
            ..Default::default()
        })
    };
    let rules = rules.iter().map(rule).collect();
    Object::QosPolicy(QosPolicy { id: id(GOLD), rules, revision_number, ..Default::default() })
}

/// The meters of a port by the last plan, for what it sends and for what it gets.
fn meters(inventory: &Inventory, n: u32) -> [Option<u32>; 2] {
    let id = id(n).parse().unwrap();
    let qos = Policies {
        settled: [(id, None)].into(),
        meters: inventory.meters.assigned.iter().map(|(at, it)| (*at, (*it, LIMIT))).collect(),
        ..Policies::default()
    };
    let qos = qos.in_flows(inventory, id);
    [qos.egress.packets, qos.ingress.packets].map(|meter| meter.map(MeterId::get))
}

const LIMIT: Limit = Limit { rate: 1, burst: None };

#[test]
fn a_meter_is_there_before_flows_name_it_and_goes_after_them() {
    let policy = packets(1, &[("egress", 2), ("ingress", 3)]);
    let mut inventory =
        told(vec![with_policy(1, Some(GOLD), None), with_policy(2, None, None), policy]);
    // As long as nobody knows which there are, there is no choice.
    assert_eq!(plan(&mut inventory).meters, []);
    let foreign = Meter::packets(2, 7, None);
    inventory.meters.connect(vec![foreign.clone()], &FlowSet::new());
    let [ingress, egress] = [Meter::packets(1, 3000, None), Meter::packets(3, 2000, None)];
    let wanted = [ingress.clone(), egress.clone()].map(MeterMod::Add);
    assert_eq!(plan(&mut inventory).meters, wanted);
    assert_eq!(meters(&inventory, 1), [None, None]);
    // Their numbers are recorded.
    let changes = apply(&mut inventory);
    assert!(matches!(changes.as_slice(), [QosChange::Record { .. }]), "{changes:?}");
    let config = replica(&inventory).ports[&row(0x2001)].other_config.clone();
    let key = |direction: &str| format!("pps_{}_{direction}", id(1));
    assert_eq!((&*config[&key("ingress")], &*config[&key("egress")]), ("1", "3"));

    inventory.meters.read(vec![ingress, foreign.clone(), egress]);
    assert_eq!(plan(&mut inventory).meters, []);
    assert_eq!(meters(&inventory, 1), [Some(3), Some(1)]);
    update(&mut inventory, vec![packets(2, &[("egress", 9)])]);
    let changed = MeterMod::Modify(Meter::packets(3, 9000, None));
    assert_eq!(plan(&mut inventory).meters, [changed, MeterMod::Delete(1)]);
    apply(&mut inventory);
    let config = &replica(&inventory).ports[&row(0x2001)].other_config;
    assert_eq!(config.get(&key("ingress")), None);
    assert_eq!(config[&key("egress")], "3");
    // While a bundle is under way nobody knows what names it.
    inventory.integration.bundling = true;
    let plan = plan(&mut inventory);
    assert!(!plan.meters.contains(&MeterMod::Delete(1)), "{:?}", plan.meters);
}

#[test]
fn a_meter_that_the_switch_refuses_is_said() {
    let mut inventory = told(vec![
        with_policy(1, Some(GOLD), None),
        with_policy(2, None, None),
        packets(1, &[("egress", 2)]),
    ]);
    inventory.meters.connect(Vec::new(), &FlowSet::new());
    inventory.meters.refused = Some("no room".to_owned());
    let plan = plan(&mut inventory);
    let warnings = &plan.ports[&id(1).parse().unwrap()].warnings;
    let said = "the switch refused the meter of its egress: no room";
    assert!(warnings.iter().any(|it| it == said), "{warnings:?}");
}

#[test]
fn bandwidth_is_limited_by_meters_where_that_is_asked_for() {
    let policy = limits(GOLD, 1, &[("egress", 3000, 0), ("ingress", 5000, 400)]);
    let mut inventory =
        told(vec![with_policy(1, Some(GOLD), None), with_policy(2, None, None), policy]);
    apply(&mut inventory);
    assert_eq!((policing(&inventory, 1), rows(&inventory)), ((3000, 2400), (1, 1)));

    // Another agent with another option takes the rows away.
    inventory.extensions.meters_bandwidth = true;
    inventory.meters.connect(Vec::new(), &FlowSet::new());
    let [ingress, egress] = [Meter::kilobits(1, 5000, Some(400)), Meter::kilobits(2, 3000, None)];
    let wanted = [ingress.clone(), egress.clone()].map(MeterMod::Add);
    assert_eq!(plan(&mut inventory).meters, wanted);
    apply(&mut inventory);
    assert_eq!((policing(&inventory, 1), rows(&inventory)), ((0, 0), (0, 0)));
    let config = &replica(&inventory).ports[&row(0x2001)].other_config;
    assert_eq!(config[&format!("bps_{}_egress", id(1))], "2");
    inventory.meters.read(vec![ingress, egress]);
    assert_eq!(plan(&mut inventory).meters, []);

    inventory.extensions.meters_bandwidth = false;
    let deleted = [MeterMod::Delete(1), MeterMod::Delete(2)];
    assert_eq!(plan(&mut inventory).meters, deleted);
    apply(&mut inventory);
    assert_eq!((policing(&inventory, 1), rows(&inventory)), ((3000, 2400), (1, 1)));
    let config = &replica(&inventory).ports[&row(0x2001)].other_config;
    assert!(!config.keys().any(|key| key.starts_with("bps_")));
}
