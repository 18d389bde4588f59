//! Minimum bandwidth: which rows there are for which ports.

use neutron::object::QosMinimumBandwidthRule;

use super::*;

const WIRE: u32 = 0xe01;
const BOND: u32 = 0xe02;

fn least(n: u32, revision_number: u64, rules: &[(&str, u32)]) -> Object {
    let rule = |(direction, min_kbps): &(&str, u32)| {
        QosRule::MinimumBandwidth(QosMinimumBandwidthRule {
            min_kbps: Some(*min_kbps),
            direction: (*direction).to_owned(),
            ..Default::default()
        })
    };
    let rules = rules.iter().map(rule).collect();
    Object::QosPolicy(QosPolicy { id: id(n), rules, revision_number, ..Default::default() })
}

/// The same node with a network device and a bond of two in the physical bridge.
fn with_devices(mut inventory: Inventory) -> Inventory {
    let mut replica = replica(&inventory).clone();
    for (n, names) in [(WIRE, vec!["eth0"]), (BOND, vec!["eth1", "eth2"])] {
        let rows = (0..).map(|at: u32| row(0x30_0000 + n * 0x10 + at));
        let interfaces: Vec<_> = rows.zip(&names).collect();
        let port = Port {
            name: format!("uplink{n}"),
            interfaces: interfaces.iter().map(|(row, _)| *row).collect(),
            ..Port::default()
        };
        for (row, name) in interfaces {
            let interface = Interface { name: (*name).to_owned(), ..Interface::default() };
            replica.interfaces.insert(row, interface);
        }
        replica.ports.insert(row(n), port);
        let (bridge, _) = replica.bridge("br-phys").unwrap();
        replica.bridges.get_mut(&bridge).unwrap().ports.insert(row(n));
    }
    inventory.replica = Some(Arc::new(replica));
    inventory
}

/// The QoS of an uplink, its identity included, and its queues, as `ovs-vsctl` would show them.
fn uplink(inventory: &Inventory, n: u32) -> Option<String> {
    let replica = replica(inventory);
    let identity = replica.ports[&row(n)].qos?;
    let qos = &replica.qos[&identity];
    let mut shown = format!(
        "{identity} {} {} ({})",
        qos.kind,
        text(&qos.other_config),
        text(&qos.external_ids)
    );
    for (number, queue) in &qos.queues {
        let queue = &replica.queues[queue];
        let (config, ids) = (text(&queue.other_config), text(&queue.external_ids));
        shown += &format!("\n{number}: {config} ({ids})");
    }
    Some(shown)
}

fn queue_of(n: u32, rate: u64) -> String {
    let port = id(n);
    format!(
        "{n}: max-rate=34359738367 min-rate={rate} (port={port} queue-num={n} \
         type=minimum_bandwidth)"
    )
}

fn queued(inventory: &mut Inventory) -> Vec<bool> {
    let replica = inventory.replica.clone().unwrap();
    let plugged = inventory.plugged(&replica);
    let policies = policies(inventory, &plugged.ports, &mut Plan::default());
    [1, 2].map(|n| policies.in_flows(inventory, id(n).parse().unwrap()).queue).into()
}

#[test]
fn every_uplink_has_a_queue_for_each_port() {
    let both = [("egress", 3000), ("ingress", 9)];
    let ports = [with_policy(1, Some(GOLD), None), with_policy(2, Some(SILVER), None)];
    let policies = [least(GOLD, 1, &both), least(SILVER, 1, &[("egress", 50)])];
    let mut inventory = with_devices(told([ports, policies].concat()));
    let changes = apply(&mut inventory);
    assert!(matches!(changes.as_slice(), [QosChange::Shape { .. }]), "{changes:?}");
    let shown = uplink(&inventory, WIRE).unwrap();
    assert_eq!(uplink(&inventory, BOND).as_ref(), Some(&shown));
    let bridge = row(0x1001);
    let qos = format!("linux-htb max-rate=34359738367 (_type=minimum_bandwidth id={bridge})");
    let (identity, rest) = shown.split_once(' ').unwrap();
    assert_eq!(rest, [qos, queue_of(1, 3_000_000), queue_of(2, 50_000)].join("\n"));
    assert_eq!(queued(&mut inventory), [true, true]);

    update(&mut inventory, vec![least(SILVER, 2, &[("egress", 70)])]);
    let changes = apply(&mut inventory);
    assert!(matches!(changes.as_slice(), [QosChange::SetQueue { .. }]), "{changes:?}");
    update(&mut inventory, vec![least(GOLD, 2, &[("ingress", 9)])]);
    apply(&mut inventory);
    assert_eq!(queued(&mut inventory), [false, true]);
    let shown = uplink(&inventory, WIRE).unwrap();
    assert!(shown.starts_with(identity) && shown.ends_with(&queue_of(2, 70_000)), "{shown}");
    assert_eq!(rows(&inventory), (1, 1));

    update(&mut inventory, vec![with_policy(2, None, None)]);
    apply(&mut inventory);
    assert_eq!((uplink(&inventory, WIRE), uplink(&inventory, BOND)), (None, None));
    assert_eq!(rows(&inventory), (0, 0));
}

#[test]
fn a_limit_and_a_minimum_of_a_port_do_not_meet() {
    let Object::QosPolicy(mut policy) = limits(GOLD, 1, &[("ingress", 5000, 0)]) else { panic!() };
    let Object::QosPolicy(minimum) = least(GOLD, 1, &[("egress", 3000)]) else { panic!() };
    policy.rules.extend(minimum.rules);
    let ports = vec![with_policy(1, Some(GOLD), None), with_policy(2, None, None)];
    let mut inventory = with_devices(told([ports, vec![Object::QosPolicy(policy)]].concat()));
    apply(&mut inventory);
    assert_eq!(rows(&inventory), (2, 2));
    assert!(shape(&inventory, 1).unwrap().contains("(_type=bandwidth_limit id=tap1)"));
    update(&mut inventory, vec![limits(GOLD, 2, &[("ingress", 5000, 0)])]);
    apply(&mut inventory);
    assert_eq!((rows(&inventory), uplink(&inventory, WIRE)), ((1, 1), None));
    assert!(shape(&inventory, 1).is_some());
}

/// Rows as Neutron's agent leaves them, after a restart of its own: one QoS that the uplinks have, and
/// one of before, each with a random id.
fn after_neutron(inventory: &Inventory) -> Arc<Replica> {
    let mut replica = replica(inventory).clone();
    let queue = |n: u32, rate: &str| Queue {
        other_config: map([("max-rate", "34359738367"), ("min-rate", rate)]),
        external_ids: map([
            ("port", id(n).as_str()),
            ("type", "minimum_bandwidth"),
            ("queue-num", n.to_string().as_str()),
        ]),
    };
    replica.queues.insert(row(0x9001), queue(1, "3000000"));
    replica.queues.insert(row(0x9002), queue(2, "4000000"));
    for (n, name) in [(0x9003, "one"), (0x9004, "two")] {
        let qos = Qos {
            kind: "linux-htb".to_owned(),
            other_config: map([("max-rate", "34359738367")]),
            external_ids: map([("id", name), ("_type", "minimum_bandwidth")]),
            queues: BTreeMap::from([(1, row(0x9001)), (2, row(0x9002))]),
        };
        replica.qos.insert(row(n), qos);
    }
    for n in [WIRE, BOND] {
        replica.ports.get_mut(&row(n)).unwrap().qos = Some(row(0x9004));
    }
    Arc::new(replica)
}

#[test]
fn what_another_agent_has_written_stays() {
    let objects = || {
        vec![
            with_policy(1, Some(GOLD), None),
            with_policy(2, None, None),
            least(GOLD, 1, &[("egress", 3000)]),
        ]
    };
    let mut inventory = with_devices(node(&[1, 2]));
    inventory.extensions = Extensions::ALL;
    inventory.replica = Some(after_neutron(&inventory));
    // Before the server has said what they are for, all of it.
    assert_eq!(plan(&mut inventory).qos, []);

    answer(&mut inventory, &[objects(), vec![group(7)]].concat());
    inventory.warm = true;
    apply(&mut inventory);
    let shown = uplink(&inventory, WIRE).unwrap();
    let qos = "linux-htb max-rate=34359738367 (_type=minimum_bandwidth id=two)";
    assert_eq!(shown, format!("{} {qos}\n{}", row(0x9004), queue_of(1, 3_000_000)));
    assert_eq!((rows(&inventory), uplink(&inventory, BOND)), ((1, 1), Some(shown)));
}

#[test]
fn a_queue_stays_while_the_policy_of_its_port_is_not_known() {
    let policies = [least(GOLD, 1, &[("egress", 3000)]), least(SILVER, 1, &[("egress", 4000)])];
    let ports = [with_policy(1, Some(GOLD), None), with_policy(2, None, None)];
    let mut inventory = with_devices(told([ports.to_vec(), vec![policies[0].clone()]].concat()));
    inventory.replica = Some(after_neutron(&inventory));
    update(&mut inventory, vec![with_policy(2, Some(SILVER), None)]);
    apply(&mut inventory);
    assert!(uplink(&inventory, WIRE).unwrap().ends_with(&queue_of(2, 4_000_000)));
    answer(&mut inventory, &policies);
    apply(&mut inventory);
    assert!(uplink(&inventory, WIRE).unwrap().ends_with(&queue_of(2, 4_000_000)));
    update(&mut inventory, vec![with_policy(2, None, None)]);
    apply(&mut inventory);
    assert!(uplink(&inventory, WIRE).unwrap().ends_with(&queue_of(1, 3_000_000)));
}

#[test]
fn what_cannot_be_set_aside_is_said() {
    let ports = vec![with_policy(1, Some(GOLD), None), with_policy(2, None, None)];
    let mut inventory = told([ports, vec![least(GOLD, 1, &[("egress", 3000)])]].concat());
    let plan = plan(&mut inventory);
    assert_eq!(plan.qos, []);
    let warnings = &plan.ports[&id(1).parse().unwrap()].warnings;
    assert!(warnings.iter().any(|it| it.contains("nothing is set aside for it")), "{warnings:?}");
}
