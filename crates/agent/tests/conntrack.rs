//! Connections that lose their rule, on a real switch: also those that only receive.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use neutron::object::{IpAllocation, Object, Port, ResourceType, SecurityGroup, SecurityGroupRule};
use testkit::{Nic, Vm, eventually};

use crate::node::{Node, PATIENCE, bound, id, vlan};

/// From one datagram to the next.
const PACE: Duration = Duration::from_millis(10);
/// Who hears nothing for so long is cut off.
const SILENCE: Duration = Duration::from_secs(1);

const CLIENTS: u32 = 0x9000;
const SERVERS: u32 = 0x9001;

/// Port `n` on network `net`, with address 10.0.`net`.`n`.
fn port(net: u32, n: u32, group: u32) -> Object {
    let ip_address = format!("10.0.{net}.{n}");
    Object::Port(Port {
        fixed_ips: vec![IpAllocation { ip_address, ..IpAllocation::default() }],
        ..bound(n, 0x8000 + net, vlan(100 + net), group)
    })
}

fn group(n: u32) -> Object {
    Object::SecurityGroup(SecurityGroup { id: id(n), stateful: true, ..SecurityGroup::default() })
}

fn rule(n: u32, group: u32, direction: &str, udp: Option<u32>) -> Object {
    Object::SecurityGroupRule(SecurityGroupRule {
        id: id(n),
        security_group_id: id(group),
        direction: direction.to_owned(),
        ethertype: "IPv4".to_owned(),
        protocol: udp.map(|_| "udp".to_owned()),
        port_range_min: udp,
        port_range_max: udp,
        revision_number: 1,
        ..SecurityGroupRule::default()
    })
}

fn vm(node: &Node, net: u32, n: u32) -> Vm {
    let nic = Nic {
        mac: Some(format!("fa:16:3e:00:00:{n:02x}")),
        addresses: vec![format!("10.0.{net}.{n}/24").parse().unwrap()],
        ..Nic::default()
    };
    let device = format!("tap{n}");
    let vm = Vm::cabled(&node.switch, &device, &nic).unwrap();
    node.plug(&device, &id(n));
    vm
}

/// A client that asks once, and a server that goes on answering.
struct Feed {
    client: UdpSocket,
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Feed {
    fn open(client: &Vm, server: &Vm, port: u16) -> Self {
        let bind = |port: u16| UdpSocket::bind(("0.0.0.0", port)).unwrap();
        let answers = server.namespace().inside(|| bind(port)).unwrap();
        let questions = client.namespace().inside(|| bind(0)).unwrap();
        questions.connect(server.v4(port).unwrap()).unwrap();
        answers.set_read_timeout(Some(PATIENCE)).unwrap();
        questions.send(b"go on").unwrap();
        let (_, from) = answers.recv_from(&mut [0; 16]).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let server = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                answers.send_to(b"on", from).unwrap();
                thread::park_timeout(PACE);
            }
        });
        Self { client: questions, stop, server: Some(server) }
    }

    /// Whether anything comes within that time.
    fn hears(&self, within: Duration) -> bool {
        self.client.set_read_timeout(Some(within)).unwrap();
        self.client.recv(&mut [0; 16]).is_ok()
    }

    /// When it heard something for the last time, once there was silence.
    fn falls_silent(&self) -> Instant {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Instant::now();
        while self.hears(SILENCE) {
            last = Instant::now();
            assert!(last < deadline, "the answers go on");
        }
        last
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ended = server.join();
        }
    }
}

/// The UDP connections of a network, by what is printed of them.
fn connections(node: &Node, net: u32) -> Vec<String> {
    let dump = node.switch.appctl(&["dpctl/dump-conntrack"]).unwrap();
    let here = format!("src=10.0.{net}.");
    let mut lines: Vec<String> = dump
        .lines()
        .filter(|line| line.starts_with("udp,") && line.contains(&here))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

/// Two networks with a client and a server each, whose ports 5000 and 5001 are open.
fn node() -> (Node, [Vm; 4]) {
    let node = Node::start(vec![
        port(1, 1, CLIENTS),
        port(1, 2, SERVERS),
        port(2, 3, CLIENTS),
        port(2, 4, SERVERS),
        group(CLIENTS),
        group(SERVERS),
        rule(0x100, CLIENTS, "egress", None),
        rule(0x200, SERVERS, "ingress", Some(5000)),
        rule(0x201, SERVERS, "ingress", Some(5001)),
    ]);
    let vms = [vm(&node, 1, 1), vm(&node, 1, 2), vm(&node, 2, 3), vm(&node, 2, 4)];
    node.wait_up(4);
    (node, vms)
}

#[test]
fn a_feed_that_lost_its_rule_is_cut_and_no_other() {
    let (node, [client, server, other_client, other_server]) = node();
    let feed = Feed::open(&client, &server, 5000);
    let neighbour = Feed::open(&client, &server, 5001);
    let elsewhere = Feed::open(&other_client, &other_server, 5001);
    for feed in [&feed, &neighbour, &elsewhere] {
        assert!(feed.hears(PATIENCE));
    }
    let before = [connections(&node, 1), connections(&node, 2)];
    assert_eq!(before.each_ref().map(Vec::len), [2, 1], "{before:#?}");

    let removed = Instant::now();
    node.server.delete(ResourceType::SecurityGroupRule, &id(0x200));
    let took = feed.falls_silent() - removed;
    // In the virtual machine with the kernel datapath everything takes ten times as long.
    let limit = if node.switch.datapath_type() == "system" { 10 } else { 1 };
    assert!(took < Duration::from_secs(limit), "{took:?}");
    assert!(neighbour.hears(SILENCE));
    assert!(elsewhere.hears(SILENCE));
    let [mut here, there] = before;
    here.retain(|line| line.contains("orig=(src=10.0.1.1,") && line.contains(",dport=5001)"));
    assert_eq!(connections(&node, 1), here);
    assert_eq!(connections(&node, 2), there);

    // It stays cut, and with the permission it comes back, as a new connection.
    feed.client.send(b"go on").unwrap();
    assert!(!feed.hears(SILENCE));
    node.server.add(rule(0x202, SERVERS, "ingress", Some(5000)));
    eventually(PATIENCE, || {
        feed.client.send(b"go on").unwrap();
        feed.hears(PACE * 5)
    })
    .unwrap();
    assert_eq!(connections(&node, 1).len(), 2);
}

/// The userspace datapath is asked at the control socket of ovs-vswitchd, the kernel is not.
#[test]
fn without_its_control_socket_the_userspace_datapath_is_cut_later_and_the_kernel_at_once() {
    let (node, [client, server, _other_client, _other_server]) = node();
    let feed = Feed::open(&client, &server, 5000);
    assert!(feed.hears(PATIENCE));
    let control = node.switch.run_dir().join("ovs-vswitchd.ctl");
    let hidden = node.switch.run_dir().join("hidden.ctl");
    std::fs::rename(&control, &hidden).unwrap();
    node.server.delete(ResourceType::SecurityGroupRule, &id(0x200));
    if node.switch.datapath_type() == "system" {
        feed.falls_silent();
        assert_eq!(node.status().connections.conntrack, "ok");
        return;
    }
    node.wait("the trouble is told", |status| {
        status.connections.conntrack.starts_with("cannot list connections at ")
    });
    assert!(feed.hears(SILENCE));
    std::fs::rename(&hidden, &control).unwrap();
    node.wait("the trouble is over", |status| status.connections.conntrack == "ok");
    feed.falls_silent();
}

#[test]
fn a_network_does_not_inherit_the_connections_of_the_one_before_on_its_vlan() {
    let (node, [client, server, other_client, other_server]) = node();
    let feed = Feed::open(&client, &server, 5000);
    let elsewhere = Feed::open(&other_client, &other_server, 5000);
    assert!(feed.hears(PATIENCE) && elsewhere.hears(PATIENCE));
    let vlan = |net: u32| {
        let status = node.status();
        let found = status.networks.iter().find(|network| network.id == id(0x8000 + net));
        found.map(|network| network.vlan)
    };
    let taken_over = vlan(1);
    drop(feed);
    for device in ["tap1", "tap2"] {
        node.switch.vsctl(&["del-port", "br-int", device]).unwrap();
    }
    node.wait("they have gone", |status| status.ports.len() == 2);
    let there = connections(&node, 2);
    assert_eq!([connections(&node, 1).len(), there.len()], [1, 1]);

    for port in [port(3, 5, CLIENTS), port(3, 6, SERVERS)] {
        node.server.add(port);
    }
    let _vms = [vm(&node, 3, 5), vm(&node, 3, 6)];
    node.wait_up(4);
    assert_eq!(vlan(3), taken_over);
    assert_eq!([connections(&node, 1), connections(&node, 2)], [vec![], there]);
}
