//! QoS policies on a real switch, with a server that answers from a list.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use neutron::object::{
    Object, Port, QosBandwidthLimitRule, QosDscpMarkingRule, QosMinimumBandwidthRule,
    QosPacketRateLimitRule, QosPolicy, QosRule, ResourceType, SecurityGroup, SecurityGroupRule,
};
use testkit::frame::{self, number};
use testkit::{Nic, Vm, Wire, eventually};

use crate::node::{Node, PATIENCE, Settings, bound, id, mac, vlan};

const GROUP: u32 = 0x9000;
const POLICY: u32 = 0xa000;

fn port(n: u32, policy: Option<u32>) -> Object {
    let qos_policy_id = policy.map(id);
    Object::Port(Port { qos_policy_id, ..bound(n, 0x8000, vlan(117), GROUP) })
}

fn limit(direction: &str, max_kbps: u32, max_burst_kbps: u32) -> QosRule {
    QosRule::BandwidthLimit(QosBandwidthLimitRule {
        max_kbps: Some(max_kbps),
        max_burst_kbps: Some(max_burst_kbps),
        direction: direction.to_owned(),
        ..Default::default()
    })
}

fn policy(revision_number: u64, rules: Vec<QosRule>) -> Object {
    Object::QosPolicy(QosPolicy { id: id(POLICY), rules, revision_number, ..Default::default() })
}

/// The group and its rules, which let everything pass.
fn open() -> Vec<Object> {
    let rule = |n, direction: &str, ethertype: &str| {
        Object::SecurityGroupRule(SecurityGroupRule {
            id: id(n),
            security_group_id: id(GROUP),
            direction: direction.to_owned(),
            ethertype: ethertype.to_owned(),
            revision_number: 1,
            ..SecurityGroupRule::default()
        })
    };
    let group = SecurityGroup { id: id(GROUP), stateful: true, ..SecurityGroup::default() };
    vec![
        Object::SecurityGroup(group),
        rule(0x100, "egress", "IPv4"),
        rule(0x101, "ingress", "IPv4"),
        rule(0x102, "egress", "IPv6"),
        rule(0x103, "ingress", "IPv6"),
    ]
}

fn vm(node: &Node, n: u32) -> Vm {
    let nic = Nic {
        mac: Some(mac(n)),
        addresses: vec![format!("10.0.0.{n}/24").parse().unwrap()],
        ..Nic::default()
    };
    let device = format!("tap{n}");
    let vm = Vm::cabled(&node.switch, &device, &nic).unwrap();
    node.plug(&device, &id(n));
    vm
}

/// What the database says of limits: of the interface of port 1, and every QoS and queue with its
/// identity.
fn limits(node: &Node) -> [String; 4] {
    let get = |column| node.switch.vsctl(&["get", "Interface", "tap1", column]).unwrap();
    let list = |table| {
        let columns = match table {
            "Queue" => "--columns=_uuid,external_ids,other_config",
            _ => "--columns=_uuid,type,external_ids,other_config,queues",
        };
        node.switch.vsctl(&[columns, "list", table]).unwrap()
    };
    let policed = format!("{} {}", get("ingress_policing_rate"), get("ingress_policing_burst"));
    let port = node.switch.vsctl(&["get", "Port", "tap1", "qos"]).unwrap();
    [policed.replace('\n', ""), port, list("QoS"), list("Queue")]
}

fn wait_for(node: &Node, what: &str, holds: impl Fn(&[String; 4]) -> bool) -> [String; 4] {
    let waited = eventually(PATIENCE, || holds(&limits(node)));
    assert!(waited.is_ok(), "{what}: {:#?}", limits(node));
    limits(node)
}

#[test]
fn bandwidth_limits_are_rows_of_the_database() {
    let rules = vec![limit("egress", 3000, 300), limit("ingress", 5000, 0)];
    let objects = [open(), vec![port(1, Some(POLICY)), policy(1, rules)]].concat();
    let mut node = Node::start(objects);
    let _vm = vm(&node, 1);
    node.wait_up(1);
    let written = wait_for(&node, "limits", |[policed, port, ..]| {
        policed == "3000 300" && port.trim() != "[]"
    });
    let [_, _, qos, queues] = &written;
    for text in ["linux-htb", "max-rate=\"34359738367\"", "_type=bandwidth_limit", "id=tap1"] {
        assert!(qos.contains(text), "{text}: {qos}");
    }
    for text in ["max-rate=\"5000000\"", "burst=\"0\"", "port=tap1", "queue-num=\"0\""] {
        assert!(queues.contains(text), "{text}: {queues}");
    }

    // The next agent finds what is there.
    node.stop_agent();
    node.start_agent();
    node.wait_up(1);
    node.server.add(policy(2, vec![limit("egress", 4000, 0), limit("ingress", 5000, 0)]));
    let after = wait_for(&node, "a changed limit", |[policed, ..]| policed == "4000 3200");
    assert_eq!(after[1..], written[1..], "the rest is what it was");

    node.server.add(policy(3, vec![limit("egress", 4000, 0)]));
    let gone = |[policed, port, qos, queues]: &[String; 4]| {
        policed == "4000 3200" && port.trim() == "[]" && qos.is_empty() && queues.is_empty()
    };
    wait_for(&node, "one limit less", gone);
    node.server.add(policy(4, vec![limit("ingress", 7000, 0)]));
    wait_for(&node, "another limit", |[policed, port, ..]| policed == "0 0" && port.trim() != "[]");
    node.server.delete(ResourceType::QosPolicy, &id(POLICY));
    node.server.add(port(1, None));
    wait_for(&node, "no policy", |[policed, port, qos, queues]| {
        policed == "0 0" && port.trim() == "[]" && qos.is_empty() && queues.is_empty()
    });
}

#[test]
fn a_port_takes_its_limits_along() {
    let objects =
        [open(), vec![port(1, Some(POLICY)), policy(1, vec![limit("ingress", 9, 9)])]].concat();
    let node = Node::start(objects);
    let _vm = vm(&node, 1);
    node.wait_up(1);
    wait_for(&node, "a limit", |[_, port, ..]| port.trim() != "[]");
    node.switch.vsctl(&["del-port", "br-int", "tap1"]).unwrap();
    let rows = |table| node.switch.vsctl(&["list", table]).unwrap();
    eventually(PATIENCE, || rows("QoS").is_empty() && rows("Queue").is_empty()).unwrap();
}

fn mark(dscp_mark: u32) -> QosRule {
    QosRule::DscpMarking(QosDscpMarkingRule { dscp_mark, ..Default::default() })
}

/// The traffic class with which a packet of port 1 arrives at port 2; nothing if none arrives.
fn class(wires: &[Wire; 2], version: u8, text: &str) -> Option<u8> {
    let [sender, receiver] = wires;
    let address = |n: u8| match version {
        4 => IpAddr::from([10, 0, 0, n]),
        _ => format!("fe80::f816:3eff:fe00:{n}").parse().unwrap(),
    };
    let ethertype = if version == 4 { number::IPV4 } else { number::IPV6 };
    let data = frame::udp(1000, 2000, text.as_bytes());
    let packet = frame::ip(address(1), address(2), number::UDP, &data);
    let [from, to] = [1, 2].map(|n| [0xfa, 0x16, 0x3e, 0, 0, n]);
    sender.send(&frame::ethernet(from, to, ethertype, &packet)).unwrap();
    let deadline = Instant::now() + Duration::from_millis(700);
    while let Some(heard) = receiver.hear(deadline).unwrap() {
        let packet = heard.get(14..).unwrap_or_default();
        if let [first, second, ..] = packet
            && heard.ends_with(text.as_bytes())
        {
            return Some(if version == 4 { *second } else { first << 4 | second >> 4 });
        }
    }
    None
}

#[test]
fn ip_packets_have_the_mark_of_the_policy() {
    let objects = vec![port(1, Some(POLICY)), port(2, None), policy(1, vec![mark(26)])];
    let mut node = Node::start([open(), objects].concat());
    let wires = [1, 2].map(|n| {
        let device = format!("tap{n}");
        let wire = Wire::cabled(&node.switch, &device, &mac(n)).unwrap();
        node.plug(&device, &id(n));
        wire
    });
    node.wait_up(2);
    let mut count = 0;
    let mut wait_for_class = |expected: u8| {
        for version in [4, 6] {
            let mut last = None;
            let waited = eventually(PATIENCE, || {
                count += 1;
                last = class(&wires, version, &format!("packet {count}"));
                last == Some(expected)
            });
            assert!(waited.is_ok(), "IPv{version}: {last:?} instead of {expected}");
        }
    };
    wait_for_class(26 << 2);
    let flows = node.flows();
    assert_eq!(flows.iter().filter(|flow| flow.contains("table=159,")).count(), 3, "{flows:#?}");

    // The next agent finds them, and what changes then is only what it is told.
    node.stop_agent();
    node.start_agent();
    node.wait_up(2);
    assert_eq!(node.flows(), flows);
    node.server.add(policy(2, vec![mark(46)]));
    wait_for_class(46 << 2);
    node.server.add(policy(3, vec![]));
    wait_for_class(0);
    assert!(!node.flows().iter().any(|flow| flow.contains("ip_dscp")));
}

fn packets(direction: &str, kilo: u32) -> QosRule {
    QosRule::PacketRateLimit(QosPacketRateLimitRule {
        max_kpps: Some(kilo),
        max_burst_kpps: Some(1),
        direction: direction.to_owned(),
        ..Default::default()
    })
}

fn meters(node: &Node, command: &str) -> String {
    node.switch.ofctl(&[command, "br-int"]).unwrap()
}

/// How many packets each meter has let in, and how many it has dropped, by its number.
fn counts(node: &Node) -> Vec<(u32, [u64; 2])> {
    let stats = meters(node, "meter-stats");
    let number = |text: &str, key: &str| -> Option<u64> {
        let (_, rest) = text.split_once(key)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let each = stats.split("meter:").skip(1).map(|text| {
        let meter: u32 = text.split(' ').next().unwrap().parse().unwrap();
        let (whole, bands) = text.split_once("bands:").unwrap_or((text, ""));
        let passed = number(whole, "packet_in_count:").unwrap_or(0);
        (meter, [passed, number(bands, "packet_count:").unwrap_or(0)])
    });
    each.collect()
}

#[test]
fn packets_above_the_limit_are_dropped_by_meters() {
    let rules = vec![packets("egress", 1), packets("ingress", 2)];
    let objects = vec![port(1, Some(POLICY)), port(2, Some(POLICY)), policy(1, rules)];
    let mut node = Node::start([open(), objects].concat());
    node.switch.ofctl(&["add-meter", "br-int", "meter=77,pktps,band=type=drop,rate=5"]).unwrap();
    let wires = [1, 2].map(|n| {
        let device = format!("tap{n}");
        let wire = Wire::cabled(&node.switch, &device, &mac(n)).unwrap();
        node.plug(&device, &id(n));
        wire
    });
    node.wait_up(2);
    let metered =
        |node: &Node| node.flows().iter().filter(|flow| flow.contains("actions=meter:")).count();
    // Two for what the ports send, two for what they get.
    let waited = eventually(PATIENCE, || metered(&node) == 4);
    assert!(waited.is_ok(), "{:#?}", node.flows());
    assert_eq!(counts(&node).len(), 5);

    let mut count = 0;
    let dropped = eventually(PATIENCE, || {
        for _ in 0..500 {
            count += 1;
            let data = frame::udp(1000, 2000, format!("{count}").as_bytes());
            let [from, to] = [1, 2].map(|n| IpAddr::from([10, 0, 0, n]));
            let packet = frame::ip(from, to, number::UDP, &data);
            let [from, to] = [1, 2].map(|n| [0xfa, 0x16, 0x3e, 0, 0, n]);
            wires[0].send(&frame::ethernet(from, to, number::IPV4, &packet)).unwrap();
        }
        counts(&node).iter().any(|(_, [_, dropped])| *dropped > 0)
    });
    assert!(dropped.is_ok(), "{count} packets: {}", meters(&node, "meter-stats"));
    // What port 1 sends goes through one, and what port 2 gets of it through another.
    let used = counts(&node).iter().filter(|(_, [passed, _])| *passed > 0).count();
    assert_eq!(used, 2, "{}", meters(&node, "meter-stats"));

    let (flows, there) = (node.flows(), meters(&node, "dump-meters"));
    let config = || node.switch.vsctl(&["get", "Port", "tap1", "other_config"]).unwrap();
    eventually(PATIENCE, || config().contains(&format!("pps_{}_ingress", id(1)))).unwrap();
    let recorded = config();
    node.stop_agent();
    node.start_agent();
    node.wait_up(2);
    let config = || node.switch.vsctl(&["get", "Port", "tap1", "other_config"]).unwrap();
    assert_eq!((node.flows(), meters(&node, "dump-meters")), (flows, there));
    assert_eq!(config(), recorded);

    node.server.add(policy(2, vec![packets("egress", 4)]));
    let changed = eventually(PATIENCE, || {
        let there = meters(&node, "dump-meters");
        there.matches("rate=4000").count() == 2 && there.matches("meter=").count() == 3
    });
    assert!(changed.is_ok(), "{}", meters(&node, "dump-meters"));
    assert_eq!(metered(&node), 2);
    node.server.add(policy(3, vec![]));
    let gone = eventually(PATIENCE, || meters(&node, "dump-meters").matches("meter=").count() == 1);
    assert!(gone.is_ok(), "{}", meters(&node, "dump-meters"));
    assert_eq!(metered(&node), 0);
    eventually(PATIENCE, || !config().contains("pps_")).unwrap();
    assert!(meters(&node, "dump-meters").contains("meter=77"), "others keep theirs");
}

fn minimum(direction: &str, min_kbps: u32) -> QosRule {
    QosRule::MinimumBandwidth(QosMinimumBandwidthRule {
        min_kbps: Some(min_kbps),
        direction: direction.to_owned(),
        ..Default::default()
    })
}

#[test]
fn what_is_set_aside_is_a_queue_of_the_wire() {
    let rules = vec![minimum("egress", 3000), minimum("ingress", 9), limit("ingress", 5000, 0)];
    let objects = [open(), vec![port(1, Some(POLICY)), policy(1, rules)]].concat();
    let mut node = Node::start(objects);
    node.switch.namespace().ip("link add wire type veth peer name far\nlink set wire up").unwrap();
    node.switch.vsctl(&["add-port", "br-phys", "wire"]).unwrap();
    let _vm = vm(&node, 1);
    node.wait_up(1);
    let of_wire = || node.switch.vsctl(&["get", "Port", "wire", "qos"]).unwrap();
    let find = |node: &Node, table: &str, kind: &str| {
        let columns = "--columns=_uuid,external_ids,other_config";
        node.switch.vsctl(&[columns, "find", table, &format!("external_ids:{kind}")]).unwrap()
    };
    eventually(PATIENCE, || of_wire().trim() != "[]").unwrap();
    let queue = |node: &Node| find(node, "Queue", "type=minimum_bandwidth");
    let qos = |node: &Node| find(node, "QoS", "_type=minimum_bandwidth");
    let ofport = node.switch.vsctl(&["get", "Interface", "tap1", "ofport"]).unwrap();
    let ofport = ofport.trim();
    let before = [qos(&node), queue(&node), of_wire()];
    let number = format!("queue-num=\"{ofport}\"");
    for text in ["min-rate=\"3000000\"", "max-rate=\"34359738367\"", &id(1), &number] {
        assert!(before[1].contains(text), "{text}: {}", before[1]);
    }

    // What the port sends goes there, across the patch ports.
    let in_queue = format!("set_queue:{ofport}");
    assert_eq!(node.flows().iter().filter(|flow| flow.contains(&in_queue)).count(), 1);
    let packet = format!(
        "in_port=tap1,udp,dl_src={},dl_dst=fa:16:3e:00:00:99,nw_src=10.0.0.1,nw_dst=10.0.0.99",
        mac(1)
    );
    let trace = ["ofproto/trace", "br-int", &packet, "--ct-next", "trk,new"];
    let trace = node.switch.appctl(&trace).unwrap();
    // Datapaths have words of their own for a queue.
    let at_the_end = |line: &&str| line.starts_with("Final flow:");
    let ends: Vec<_> = trace.lines().filter(at_the_end).collect();
    let queued = ends.iter().filter(|end| end.contains("skb_priority=0x")).count();
    assert_eq!((ends.len(), queued), (2, 2), "{trace}");
    let last = trace.lines().rfind(|line| line.starts_with("Datapath actions:")).unwrap();
    assert!(last.contains("push_vlan(vid=117"), "{trace}");

    node.stop_agent();
    node.start_agent();
    node.wait_up(1);
    node.server.add(policy(2, vec![minimum("egress", 4000), limit("ingress", 5000, 0)]));
    let changed = || queue(&node).contains("min-rate=\"4000000\"");
    assert!(eventually(PATIENCE, changed).is_ok(), "{}", queue(&node));
    let of_wire = || node.switch.vsctl(&["get", "Port", "wire", "qos"]).unwrap();
    let now = [qos(&node), queue(&node).replace("4000000", "3000000"), of_wire()];
    assert_eq!(now, before, "the next agent finds the rows");

    node.switch.vsctl(&["del-port", "br-int", "tap1"]).unwrap();
    let rows = |table| node.switch.vsctl(&["list", table]).unwrap();
    eventually(PATIENCE, || rows("QoS").is_empty() && rows("Queue").is_empty()).unwrap();
    assert_eq!(of_wire().trim(), "[]");
}

#[test]
fn bandwidth_is_limited_by_meters() {
    let rules = vec![limit("egress", 800, 80), limit("ingress", 400, 0), packets("ingress", 1000)];
    let objects = vec![port(1, Some(POLICY)), port(2, Some(POLICY)), policy(1, rules)];
    let settings = Settings { meters_bandwidth: true, ..Settings::default() };
    let node = Node::start_with([open(), objects].concat(), settings);
    let wires = [1, 2].map(|n| {
        let device = format!("tap{n}");
        let wire = Wire::cabled(&node.switch, &device, &mac(n)).unwrap();
        node.plug(&device, &id(n));
        wire
    });
    node.wait_up(2);
    // Each port sends through one and gets through two, of which the second has table 180.
    let in_table = |table: &str| {
        let flows = node.flows();
        flows.iter().filter(|flow| flow.contains(table) && flow.contains("meter:")).count()
    };
    let tables = || ["table=159,", "table=173,", "table=180,"].map(in_table);
    let waited = eventually(PATIENCE, || tables() == [2, 2, 2]);
    assert!(waited.is_ok(), "{:#?}", node.flows());
    assert_eq!(node.switch.vsctl(&["list", "QoS"]).unwrap(), "");
    let dump = meters(&node, "dump-meters");
    for text in ["kbps burst bands=", "rate=800 burst_size=80", "kbps bands=", "rate=400"] {
        assert!(dump.contains(text), "{text}: {dump}");
    }

    let data = frame::udp(1000, 2000, &[0; 1000]);
    let [from, to] = [1, 2].map(|n| IpAddr::from([10, 0, 0, n]));
    let packet = frame::ip(from, to, number::UDP, &data);
    let [from, to] = [1, 2].map(|n| [0xfa, 0x16, 0x3e, 0, 0, n]);
    let frame = frame::ethernet(from, to, number::IPV4, &packet);
    let dropped = eventually(PATIENCE, || {
        for _ in 0..100 {
            wires[0].send(&frame).unwrap();
        }
        counts(&node).iter().filter(|(_, [_, dropped])| *dropped > 0).count() == 2
    });
    assert!(dropped.is_ok(), "both limits drop: {}", meters(&node, "meter-stats"));
    let used = counts(&node).iter().filter(|(_, [passed, _])| *passed > 0).count();
    assert_eq!(used, 3, "{}", meters(&node, "meter-stats"));

    node.server.add(policy(2, vec![]));
    let gone = eventually(PATIENCE, || !meters(&node, "dump-meters").contains("meter="));
    assert!(gone.is_ok(), "{}", meters(&node, "dump-meters"));
    assert_eq!(tables(), [0, 0, 0]);
}
