//! The agent on a real switch, with a server that answers from a list.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use agent::{Firewall, Forwarding};
use neutron::object::{
    AllowedAddressPair, IpAllocation, Network, Object, Port, PortSecurity, ResourceType,
    SecurityGroup, SecurityGroupRule,
};
use testkit::frame::{self, Mac, number};
use testkit::{Nic, Outcome, Vm, Wire, eventually};

use crate::node::{Node, PATIENCE, Settings, bound, id, mac, vlan};

const GROUP: u32 = 0x9000;

fn port(n: u32) -> Object {
    Object::Port(bound(n, 0x8000, vlan(117), GROUP))
}

fn rule(n: u32, direction: &str, tcp: Option<u32>) -> Object {
    Object::SecurityGroupRule(SecurityGroupRule {
        id: id(n),
        security_group_id: id(GROUP),
        direction: direction.to_owned(),
        ethertype: "IPv4".to_owned(),
        protocol: tcp.map(|_| "tcp".to_owned()),
        port_range_min: tcp,
        port_range_max: tcp,
        revision_number: 1,
        ..SecurityGroupRule::default()
    })
}

fn group() -> Object {
    let group = SecurityGroup { id: id(GROUP), stateful: true, ..SecurityGroup::default() };
    Object::SecurityGroup(group)
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

fn address(vm: &Vm, port: u16) -> SocketAddr {
    vm.v4(port).unwrap()
}

fn quick() -> Duration {
    Duration::from_millis(700)
}

#[test]
fn packets_follow_the_rules_as_they_change() {
    let objects = vec![
        port(1),
        port(2),
        group(),
        rule(0x100, "egress", None),
        rule(0x101, "ingress", Some(80)),
    ];
    let node = Node::start(objects);
    let (client, server) = (vm(&node, 1), vm(&node, 2));
    node.wait_up(2);
    server.listen_tcp(80).unwrap();
    server.listen_tcp(81).unwrap();
    server.listen_udp(80).unwrap();

    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Reached);
    assert_eq!(client.connect_tcp(address(&server, 81), quick()), Outcome::Filtered);
    assert_eq!(client.ask_udp(address(&server, 80), quick()), Outcome::Filtered);
    let server_ip: IpAddr = address(&server, 0).ip();
    assert_eq!(client.ping(server_ip, quick()), Outcome::Filtered);

    let mut open = client.open_stream(address(&server, 80), quick()).unwrap();
    assert_eq!(open.exchange(quick()), Outcome::Reached);
    node.server.add(rule(0x102, "ingress", Some(81)));
    eventually(PATIENCE, || client.connect_tcp(address(&server, 81), quick()) == Outcome::Reached)
        .unwrap();
    assert_eq!(open.exchange(quick()), Outcome::Reached, "another rule is no matter of its");

    node.server.delete(ResourceType::SecurityGroupRule, &id(0x101));
    eventually(PATIENCE, || open.exchange(quick()) == Outcome::Filtered).unwrap();
    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Filtered);

    // The permission comes back, and with it the connection.
    node.server.add(rule(0x103, "ingress", Some(80)));
    eventually(PATIENCE, || open.exchange(quick()) == Outcome::Reached).unwrap();
}

#[test]
fn without_a_firewall_only_who_a_port_sends_as_is_looked_at() {
    let settings = Settings { firewall: Some(Firewall::Noop), ..Settings::default() };
    let node = Node::start_with(vec![port(1), port(2), group()], settings);
    let (client, server) = (vm(&node, 1), vm(&node, 2));
    node.wait_up(2);
    server.listen_tcp(80).unwrap();
    assert_eq!(client.connect_tcp(address(&server, 80), PATIENCE), Outcome::Reached);

    let device = client.device();
    let rename = |address: &str| {
        let flush = format!("address flush dev {device}\nneighbour flush dev {device}\n");
        let add = format!("{flush}address add {address} dev {device}\n");
        client.namespace().ip(&add).unwrap();
    };
    // Nobody hears it asking for somebody's MAC address from an address that is not its own.
    rename("10.0.0.77/24");
    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Filtered);
    rename("10.0.0.1/24");
    eventually(PATIENCE, || client.connect_tcp(address(&server, 80), quick()) == Outcome::Reached)
        .unwrap();
}

#[test]
fn a_source_that_is_not_the_ports_does_not_pass() {
    let objects =
        vec![port(1), port(2), group(), rule(0x100, "egress", None), rule(0x101, "ingress", None)];
    let node = Node::start(objects);
    let (client, server) = (vm(&node, 1), vm(&node, 2));
    node.wait_up(2);
    server.listen_tcp(80).unwrap();
    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Reached);

    let device = client.device();
    client
        .namespace()
        .ip(&format!("address flush dev {device}\naddress add 10.0.0.77/24 dev {device}\n"))
        .unwrap();
    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Filtered);
    client
        .namespace()
        .ip(&format!("address flush dev {device}\naddress add 10.0.0.1/24 dev {device}\n"))
        .unwrap();
    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Reached);
    client.namespace().ip(&format!("link set dev {device} address fa:16:3e:00:00:78\n")).unwrap();
    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Filtered);
}

#[test]
fn a_restart_with_nothing_changed_sends_nothing() {
    let objects = vec![port(1), port(2), group(), rule(0x100, "egress", None)];
    let mut node = Node::start(objects);
    let _vms = (vm(&node, 1), vm(&node, 2));
    node.wait_up(2);
    let before = node.flows();
    node.stop_agent();
    assert_eq!(node.flows(), before, "the data plane stays as it is");
    node.start_agent();
    node.wait_up(2);
    assert_eq!(node.status().bridge.flow_mods, 0);
    assert_eq!(node.flows(), before);
}

/// The port, as a member of these groups.
fn in_groups(port: Object, groups: &[u32], revision_number: u64) -> Object {
    let Object::Port(port) = port else { unreachable!() };
    let security_group_ids = groups.iter().copied().map(id).collect();
    Object::Port(Port { security_group_ids, revision_number, ..port })
}

/// A group whose members are in many combinations of groups has a bit, and with fewer of them it
/// has classes. Going from one to the other is no matter to a connection.
#[test]
fn connections_live_on_when_a_group_gets_a_bit_and_loses_it() {
    const FRIENDS: u32 = 0x9001;
    let from_group = |n, tcp, group| {
        let Object::SecurityGroupRule(rule) = rule(n, "ingress", Some(tcp)) else { unreachable!() };
        Object::SecurityGroupRule(SecurityGroupRule { remote_group_id: Some(id(group)), ..rule })
    };
    // Friends on other nodes, in each combination of three more groups.
    let elsewhere = |n: u32| {
        let Object::Port(mut port) = port(100 + n) else { unreachable!() };
        port.bindings[0].host = "node2".to_owned();
        let others = (1..4).filter(|group| n >> (group - 1) & 1 == 1).map(|group| FRIENDS + group);
        in_groups(Object::Port(port), &[FRIENDS].into_iter().chain(others).collect::<Vec<_>>(), 1)
    };
    let client = |groups, revision| in_groups(port(1), groups, revision);
    let mut objects = vec![port(2), group(), rule(0x100, "egress", None)];
    objects.push(client(&[GROUP, FRIENDS], 1));
    objects.extend((0..20).map(|n| from_group(0x200 + n, 80 + 2 * n, FRIENDS)));
    objects.extend((1..4).map(|n| from_group(0x300 + n, 9, FRIENDS + n)));
    objects.extend((1..8).map(elsewhere));
    objects.extend((0..4).map(|n| {
        let stateful = true;
        Object::SecurityGroup(SecurityGroup { id: id(FRIENDS + n), stateful, ..Default::default() })
    }));
    let node = Node::start(objects);
    let (client_vm, server) = (vm(&node, 1), vm(&node, 2));
    node.wait_up(2);
    server.listen_tcp(80).unwrap();
    let has_bit = || {
        let flows = node.flows();
        let rules: Vec<_> = flows.iter().filter(|flow| flow.contains("tp_dst=80 ")).collect();
        let of_bit = |flow: &&&String| (11..16).any(|n| flow.contains(&format!(",reg{n}=0x")));
        assert!(!rules.is_empty());
        rules.iter().filter(of_bit).count() == rules.len()
    };

    assert!(has_bit());
    let mut open = client_vm.open_stream(address(&server, 80), quick()).unwrap();
    assert_eq!(open.exchange(quick()), Outcome::Reached);
    (3..8).for_each(|n| node.server.delete(ResourceType::Port, &id(100 + n)));
    eventually(PATIENCE, || !has_bit()).unwrap();
    assert_eq!(open.exchange(quick()), Outcome::Reached, "by its class");
    assert_eq!(client_vm.connect_tcp(address(&server, 80), quick()), Outcome::Reached);
    (3..8).for_each(|n| node.server.add(elsewhere(n)));
    eventually(PATIENCE, has_bit).unwrap();
    assert_eq!(open.exchange(quick()), Outcome::Reached, "by its bit");

    // Another friend with no other group takes its place, so that the bit stays.
    let Object::Port(mut other) = port(100) else { unreachable!() };
    other.bindings[0].host = "node2".to_owned();
    node.server.add(in_groups(Object::Port(other), &[FRIENDS], 1));
    node.server.add(client(&[GROUP], 2));
    eventually(PATIENCE, || open.exchange(quick()) == Outcome::Filtered).unwrap();
    assert!(has_bit());
    assert_eq!(client_vm.connect_tcp(address(&server, 80), quick()), Outcome::Filtered);
    node.server.add(client(&[GROUP, FRIENDS], 3));
    eventually(PATIENCE, || open.exchange(quick()) == Outcome::Reached).unwrap();
}

/// What the switch has learned by itself, without the time that it has been there.
fn learned(node: &Node) -> Vec<String> {
    let dump = node.switch.ofctl(&["--no-stats", "dump-flows", "br-int", "table=195"]).unwrap();
    dump.lines().filter(|line| line.contains("cookie=")).map(str::to_owned).collect()
}

#[test]
fn what_the_switch_has_learned_is_left_alone_and_goes_with_the_last_unmanaged_port() {
    let with_security = |port_security_enabled| {
        let Object::Port(port) = port(1) else { unreachable!() };
        let security = PortSecurity { port_security_enabled, ..PortSecurity::default() };
        let revision_number = if port_security_enabled { 2 } else { 1 };
        Object::Port(Port { security: Some(security), revision_number, ..port })
    };
    let mut node = Node::start(vec![with_security(false), port(2), group()]);
    let (unmanaged, managed) = (vm(&node, 1), vm(&node, 2));
    node.wait_up(2);
    // It asks for the other's MAC address, and so says its own.
    unmanaged.connect_tcp(address(&managed, 80), quick());
    eventually(PATIENCE, || learned(&node).iter().any(|flow| flow.contains(&mac(1)))).unwrap();

    let (flows, known) = (node.flows(), learned(&node));
    assert_eq!(node.status().bridge.flows, flows.len());
    node.stop_agent();
    node.start_agent();
    node.wait_up(2);
    assert_eq!(node.status().bridge.flow_mods, 0);
    assert_eq!((node.flows(), learned(&node)), (flows, known));

    node.server.add(with_security(true));
    eventually(PATIENCE, || learned(&node).is_empty()).unwrap();
}

/// A MAC address that ports 2 and 3 share, with any address.
const SHARED: Mac = [0xfa, 0x16, 0x3e, 0, 2, 0];

/// A port that may use [`SHARED`].
fn sharing(n: u32) -> Object {
    let Object::Port(port) = port(n) else { unreachable!() };
    let pair = AllowedAddressPair {
        mac_address: "fa:16:3e:00:02:00".to_owned(),
        ip_address: "10.7.0.0/16".to_owned(),
        ..AllowedAddressPair::default()
    };
    Object::Port(Port { allowed_address_pairs: vec![pair], ..port })
}

#[test]
fn a_stream_follows_a_shared_mac_that_moves() {
    let rules = [rule(0x100, "egress", None), rule(0x101, "ingress", None)];
    let objects = [port(1), sharing(2), sharing(3), group()].into_iter().chain(rules);
    let node = Node::start(objects.collect());
    let [client, one, other] = [1, 2, 3].map(|n| {
        let device = format!("tap{n}");
        let wire = Wire::cabled(&node.switch, &device, &mac(n)).unwrap();
        node.plug(&device, &id(n));
        wire
    });
    node.wait_up(3);
    let virtual_ip = Ipv4Addr::new(10, 7, 0, 1);
    let stream = |count: u8| {
        let datagram = frame::udp(1000, 2000, &[count; 8]);
        let packet = frame::ip([10, 0, 0, 1].into(), virtual_ip.into(), number::UDP, &datagram);
        frame::ethernet([0xfa, 0x16, 0x3e, 0, 0, 1], SHARED, number::IPV4, &packet)
    };
    let announcement = {
        let own = (SHARED, virtual_ip);
        frame::ethernet(SHARED, [0xff; 6], number::ARP, &frame::arp(1, own, ([0; 6], own.1)))
    };
    // The stream never pauses, so the switch goes by the verdict that it has cached.
    let mut count = 0_u8;
    let mut reaches = |wire: &Wire| {
        eventually(PATIENCE, || {
            count = count.wrapping_add(1);
            let packet = stream(count);
            client.send(&packet).unwrap();
            let deadline = Instant::now() + Duration::from_millis(50);
            let mut heard = std::iter::from_fn(|| wire.hear(deadline).unwrap());
            heard.any(|frame| frame == packet)
        })
        .unwrap();
    };
    reaches(&one);
    for wire in [&other, &one, &other] {
        wire.send(&announcement).unwrap();
        reaches(wire);
    }
}

#[test]
fn the_journal_tells_what_a_change_has_cost() {
    let node = Node::start(vec![port(1), port(2), group(), rule(0x100, "egress", None)]);
    let _vms = (vm(&node, 1), vm(&node, 2));
    node.wait_up(2);
    let before = node.journal(0);
    assert_eq!(before.bundles, node.status().bridge.bundles);

    node.server.add(rule(0x101, "ingress", Some(80)));
    eventually(PATIENCE, || !node.journal(before.bundles).recent.is_empty()).unwrap();
    let mut after = node.journal(before.bundles);
    let [entry] = *after.recent.make_contiguous() else { panic!("{after:?}") };
    assert_eq!((entry.number, entry.flow_mods, entry.carried_out), (before.bundles + 1, 1, true));
    assert!(entry.woken_us <= entry.sent_us && entry.sent_us < entry.answered_us, "{entry:?}");
    assert_eq!(after.flow_mods, before.flow_mods + 1);
}

#[test]
fn a_network_that_alone_is_told_to_have_another_segment_takes_its_ports_along() {
    let node = Node::start(vec![port(1), port(2), group()]);
    let _vms = [vm(&node, 1), vm(&node, 2)];
    node.wait_up(2);
    let carried = |vlan: u32| {
        let translated =
            [format!("dl_vlan={vlan} "), format!("set_field:{}->vlan_vid", 4096 + vlan)];
        let bridges = ["br-int", "br-phys"].map(|bridge| node.flows_of(bridge).concat());
        bridges.iter().zip(&translated).all(|(flows, vlan)| flows.contains(vlan))
    };
    eventually(PATIENCE, || carried(117)).unwrap();

    // As a server of Neutron does it: the ports have the new number, and only the network is told.
    for n in [1, 2] {
        node.server.add_silently(Object::Port(bound(n, 0x8000, vlan(118), GROUP)));
    }
    let segments = vec![vlan(118)];
    node.server.add(Object::Network(Network { id: id(0x8000), segments, ..Network::default() }));
    eventually(PATIENCE, || carried(118) && !carried(117))
        .unwrap_or_else(|_| panic!("{:#?}", node.flows_of("br-phys")));
    node.wait_up(2);
}

#[test]
fn flows_come_back_with_vswitchd() {
    let objects = vec![port(1), group(), rule(0x100, "egress", None)];
    let node = Node::start(objects);
    let _vm = vm(&node, 1);
    node.wait_up(1);
    let before = node.flows();
    node.switch.kill_vswitchd();
    node.wait("the loss is seen", |status| status.connections.switch != "ok");
    node.switch.start_vswitchd().unwrap();
    node.wait_up(1);
    eventually(PATIENCE, || node.flows() == before).unwrap();
}

#[test]
fn the_last_confirmed_comes_back_with_vswitchd_while_the_server_is_silent() {
    let node = Node::start(vec![port(1), group(), rule(0x100, "egress", None)]);
    let _vm = vm(&node, 1);
    node.wait_up(1);
    let before = node.flows();
    node.server.keep_silent(true);
    let Object::Port(mut moved) = port(1) else { unreachable!() };
    moved.security_group_ids = vec![id(GROUP + 1)];
    moved.revision_number = 2;
    node.server.add(Object::Port(moved));
    node.wait("the new group is asked about", |status| !status.ports[0].warnings.is_empty());

    node.switch.kill_vswitchd();
    node.wait("the loss is seen", |status| status.connections.switch != "ok");
    node.switch.start_vswitchd().unwrap();
    node.wait_up(1);
    eventually(PATIENCE, || node.flows() == before).unwrap();

    node.server.keep_silent(false);
    node.wait("it knows the new group", |status| status.ports[0].warnings.is_empty());
    node.wait_up(1);
}

#[test]
fn a_port_that_has_gone_leaves_nothing() {
    let node = Node::start(vec![port(1), group()]);
    let empty = node.flows().len();
    let vm = vm(&node, 1);
    node.wait_up(1);
    // Six of the port, and of its network the way in and the way out.
    assert_eq!(node.flows().len(), empty + 6 + 2);
    node.switch.vsctl(&["del-port", "br-int", "tap1"]).unwrap();
    drop(vm);
    node.wait("the port is gone", |status| status.ports.is_empty());
    eventually(PATIENCE, || node.flows().len() == empty).unwrap();
}

#[test]
fn what_the_switch_refuses_holds_up_nobody_else() {
    let node = Node::start(vec![port(1), port(2), group(), rule(0x100, "egress", None)]);
    let _first = vm(&node, 1);
    node.wait_up(1);
    // Table 160 has room for what it holds and nothing more.
    let held = node.flows().iter().filter(|flow| flow.contains("table=160,")).count();
    let limit = format!("flow_limit={held}");
    let table = ["--id=@t", "create", "Flow_Table", limit.as_str(), "overflow_policy=refuse"];
    let bridge = ["--", "set", "Bridge", "br-int", "flow_tables:160=@t"];
    node.switch.vsctl(&[&["--"], &table[..], &bridge].concat()).unwrap();

    let before = node.flows();
    let _second = vm(&node, 2);
    node.wait("the refusal is shown", |status| {
        let refused = status.ports.iter().find(|port| port.interface == "tap2");
        refused.is_some_and(|port| !port.up && port.state.contains("refused"))
            && !status.refused.is_empty()
    });
    let status = node.status();
    assert!(status.ports.iter().any(|port| port.interface == "tap1" && port.up));
    assert_eq!(node.flows(), before, "the bundle fails whole");

    node.switch.vsctl(&["clear", "Bridge", "br-int", "flow_tables"]).unwrap();
    node.wait_up(2);
    eventually(PATIENCE, || node.server.thinks_up(&id(2))).unwrap();

    // A second address of a port that is up is refused: the server hears of that too.
    let rows = node.flows().iter().filter(|flow| flow.contains("table=171,")).count();
    let limit = format!("flow_limit={rows}");
    let table = ["--id=@t", "create", "Flow_Table", limit.as_str(), "overflow_policy=refuse"];
    let bridge = ["--", "set", "Bridge", "br-int", "flow_tables:171=@t"];
    node.switch.vsctl(&[&["--"], &table[..], &bridge].concat()).unwrap();
    let Object::Port(mut more) = port(2) else { unreachable!() };
    let second = IpAllocation { ip_address: "10.0.0.99".to_owned(), ..IpAllocation::default() };
    more.fixed_ips.push(second);
    more.revision_number = 2;
    node.server.add(Object::Port(more));
    eventually(PATIENCE, || !node.server.thinks_up(&id(2))).unwrap();
    assert!(node.server.thinks_up(&id(1)));
    node.switch.vsctl(&["clear", "Bridge", "br-int", "flow_tables"]).unwrap();
    eventually(PATIENCE, || node.server.thinks_up(&id(2))).unwrap();
}

#[test]
fn a_permission_that_was_removed_goes_although_another_one_is_refused() {
    let rule = |n| rule(0x100 + n, "ingress", Some(n));
    let node = Node::start(vec![port(1), group(), rule(80), rule(90)]);
    let _vm = vm(&node, 1);
    node.wait_up(1);
    let admits = |n: u32| {
        let port = format!("tp_dst={n} ");
        node.flows().iter().any(|flow| flow.contains("table=182,") && flow.contains(&port))
    };
    assert!(admits(80) && admits(90));
    // Table 182 has room for what it holds and nothing more.
    let held = node.flows().iter().filter(|flow| flow.contains("table=182,")).count();
    let limit = format!("flow_limit={held}");
    let table = ["--id=@t", "create", "Flow_Table", limit.as_str(), "overflow_policy=refuse"];
    let bridge = ["--", "set", "Bridge", "br-int", "flow_tables:182=@t"];
    node.switch.vsctl(&[&["--"], &table[..], &bridge].concat()).unwrap();
    node.server.add(rule(100));
    node.wait("the refusal is shown", |status| !status.refused.is_empty());
    node.server.delete(ResourceType::SecurityGroupRule, &id(0x100 + 80));
    eventually(PATIENCE, || !admits(80)).unwrap();
    assert!(admits(90), "what is wanted stays");

    node.switch.vsctl(&["clear", "Bridge", "br-int", "flow_tables"]).unwrap();
    eventually(PATIENCE, || admits(100)).unwrap();
    node.wait_up(1);
}

#[test]
fn a_database_that_comes_late_is_waited_for() {
    let mut node = Node::start(vec![port(1), group()]);
    let _vm = vm(&node, 1);
    node.wait_up(1);
    node.stop_agent();
    node.switch.stop_ovsdb().unwrap();
    node.start_agent();
    node.wait("it says so", |status| status.connections.ovsdb != "ok");
    node.switch.start_ovsdb().unwrap();
    node.wait_up(1);
}

#[test]
fn a_clean_slate_takes_the_flows_of_others_too() {
    let settings = Settings {
        drop_flows_on_start: true,
        forwarding: Forwarding { mac_table_size: 77, igmp_snooping: true, ..Forwarding::default() },
        ..Settings::default()
    };
    let mut node = Node::start_with(vec![port(1), group()], settings);
    let _vm = vm(&node, 1);
    node.wait_up(1);
    let flows = node.flows();
    let get = |what: &[&str]| node.switch.vsctl(what).unwrap().trim().to_owned();
    assert_eq!(get(&["get", "Bridge", "br-int", "mcast_snooping_enable"]), "true");
    assert_eq!(get(&["get", "Bridge", "br-phys", "mcast_snooping_enable"]), "false");
    assert_eq!(get(&["get", "Bridge", "br-phys", "other_config:mac-table-size"]), "\"77\"");
    let flood = "other_config:mcast-snooping-flood-reports";
    assert_eq!(get(&["get", "Port", "int-br-phys", flood]), "\"true\"");

    node.switch.ofctl(&["add-flow", "br-int", "table=200,cookie=7,actions=drop"]).unwrap();
    node.stop_agent();
    node.start_agent();
    node.wait_up(1);
    eventually(PATIENCE, || node.flows() == flows).unwrap();
}
