//! Ports behind Linux bridges of their own, where netfilter filters them, on a real switch.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::string_slice, reason = "ids are ASCII")]

mod node;

use std::process::Output;
use std::time::Duration;

use agent::Firewall;
use neutron::object::{IpAllocation, Object, Port, SecurityGroup, SecurityGroupRule};
use testkit::{Namespace, Nic, Outcome, Pace, Stream, Switch, Vm, eventually};

use crate::node::{Node, PATIENCE, Settings, bound, id, vlan};

/// How long a packet may take that gets there.
const SOON: Duration = Duration::from_secs(5);
/// How long nothing is waited for.
const NEVER: Duration = Duration::from_millis(500);

const CLIENTS: u32 = 0x9000;
const SERVERS: u32 = 0x9001;
const TO_ANYBODY: u32 = 0xa000;
const FROM_CLIENTS: u32 = 0xa010;
const ECHO: u16 = 7;

/// The id of port or group `n`, of which the first digits count.
fn unique(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

fn port(n: u32, group: u32) -> Object {
    let fixed = |ip_address| IpAllocation { ip_address, ..IpAllocation::default() };
    Object::Port(Port {
        id: unique(n),
        fixed_ips: vec![fixed(format!("10.0.0.{n}")), fixed(format!("2001:db8::{n}"))],
        security_group_ids: vec![unique(group)],
        ..bound(n, 0x8000, vlan(100), group)
    })
}

fn group(n: u32) -> Object {
    Object::SecurityGroup(SecurityGroup {
        id: unique(n),
        stateful: true,
        ..SecurityGroup::default()
    })
}

fn rules(n: u32, rule: &SecurityGroupRule) -> [Object; 2] {
    [("IPv4", n), ("IPv6", n + 0x100)].map(|(ethertype, n)| {
        Object::SecurityGroupRule(SecurityGroupRule {
            id: id(n),
            ethertype: ethertype.to_owned(),
            revision_number: 1,
            ..rule.clone()
        })
    })
}

/// What members of a group may send: everything.
fn egress(n: u32, group: u32) -> [Object; 2] {
    let direction = "egress".to_owned();
    rules(
        n,
        &SecurityGroupRule { security_group_id: unique(group), direction, ..Default::default() },
    )
}

/// What servers may get: UDP and TCP to one port, from clients.
fn from_clients(protocol: &str) -> [Object; 2] {
    let port = Some(u32::from(ECHO));
    let n = if protocol == "udp" { FROM_CLIENTS } else { FROM_CLIENTS + 1 };
    rules(
        n,
        &SecurityGroupRule {
            security_group_id: unique(SERVERS),
            direction: "ingress".to_owned(),
            protocol: Some(protocol.to_owned()),
            port_range_min: port,
            port_range_max: port,
            remote_group_id: Some(unique(CLIENTS)),
            ..Default::default()
        },
    )
}

/// A node with a server and two machines, of which the first is a client.
struct Scene {
    node: Node,
    server: Vm,
    client: Vm,
    stranger: Vm,
}

impl Scene {
    fn start() -> Self {
        let mut objects = vec![group(CLIENTS), group(SERVERS)];
        objects.extend([port(1, SERVERS), port(2, CLIENTS), port(3, SERVERS)]);
        objects.extend(egress(TO_ANYBODY, CLIENTS));
        objects.extend(egress(TO_ANYBODY + 1, SERVERS));
        objects.extend(from_clients("udp"));
        objects.extend(from_clients("tcp"));
        let firewall = Some(Firewall::IptablesHybrid);
        let node = Node::start_with(objects, Settings { firewall, ..Settings::default() });
        let [server, client, stranger] = [1, 2, 3].map(|n| plugged(&node, n));
        node.wait_up(3);
        for vm in [&server, &client] {
            vm.listen_udp(ECHO).unwrap();
            vm.listen_tcp(ECHO).unwrap();
        }
        Self { node, server, client, stranger }
    }

    /// Whether the server answers both families.
    fn answers(&self, who: &Vm, within: Duration) -> Vec<bool> {
        let to = [self.server.v4(ECHO).unwrap(), self.server.v6(ECHO).unwrap()];
        let udp = to.map(|to| who.ask_udp(to, within).passed());
        let tcp = to.map(|to| who.connect_tcp(to, within).passed());
        [udp, tcp].concat()
    }

    /// What a program prints that runs where the switch does.
    fn run(&self, command: &str) -> String {
        let mut words = command.split(' ');
        let program = words.next().unwrap();
        let Output { status, stdout, stderr } =
            self.node.switch.namespace().command(program).args(words).output().unwrap();
        assert!(status.success(), "{command}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// All rules and sets, without what changes by itself.
    fn netfilter(&self) -> String {
        let listings = ["iptables-save", "ip6tables-save", "ipset save"].map(|it| self.run(it));
        let listings = listings.concat();
        listings.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
    }
}

/// The name of a device of port `n`.
fn device(kind: &str, n: u32) -> String {
    format!("{kind}{}", &unique(n)[..11])
}

/// A machine that is plugged in as os-vif does it.
fn plugged(node: &Node, n: u32) -> Vm {
    let nic = Nic {
        mac: Some(node::mac(n)),
        addresses: vec![
            format!("10.0.0.{n}/24").parse().unwrap(),
            format!("2001:db8::{n}/64").parse().unwrap(),
        ],
        ..Nic::default()
    };
    let id = unique(n);
    let suffix = &id[..11];
    let vm = Vm::behind_bridge(&node.switch, suffix, &nic).unwrap();
    node.plug(&format!("qvo{suffix}"), &id);
    vm
}

#[test]
fn netfilter_filters_what_is_behind_linux_bridges() {
    let scene = Scene::start();
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    assert_eq!(scene.answers(&scene.stranger, NEVER), [false; 4]);
    // Somebody joins the clients, and leaves them.
    scene.node.server.add(port(3, CLIENTS));
    eventually(PATIENCE, || scene.answers(&scene.stranger, NEVER) == [true; 4]).unwrap();
    scene.node.server.add(port(3, SERVERS));
    eventually(PATIENCE, || scene.answers(&scene.stranger, NEVER) == [false; 4]).unwrap();
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
}

#[test]
fn a_restart_changes_nothing() {
    let mut scene = Scene::start();
    let mut stream = scene.client.open_stream(scene.server.v4(ECHO).unwrap(), SOON).unwrap();
    let steady =
        scene.client.steady_udp(scene.server.v6(ECHO).unwrap(), Pace::HUNDRED_PER_SECOND).unwrap();
    assert_eq!(stream.exchange(SOON), Outcome::Reached);
    let (before, flows) = (scene.netfilter(), scene.node.flows());
    scene.node.stop_agent();
    scene.node.start_agent();
    scene.node.wait_up(3);
    assert_eq!(scene.netfilter(), before);
    assert_eq!(scene.node.flows(), flows);
    assert_eq!(stream.exchange(SOON), Outcome::Reached);
    let delivery = steady.stop();
    assert_eq!(delivery.lost, 0, "{delivery:?}");
}

#[test]
fn a_permission_that_goes_takes_its_connections_along() {
    let scene = Scene::start();
    let to = [scene.server.v4(ECHO).unwrap(), scene.server.v6(ECHO).unwrap()];
    let mut streams = to.map(|to| scene.client.open_stream(to, SOON).unwrap());
    let exchanged = |streams: &mut [Stream; 2], within| {
        streams.each_mut().map(|stream| stream.exchange(within) == Outcome::Reached)
    };
    assert_eq!(exchanged(&mut streams, SOON), [true; 2]);
    let steady = scene.client.steady_udp(to[0], Pace::HUNDRED_PER_SECOND).unwrap();
    for rule in from_clients("tcp") {
        scene.node.server.delete(rule.resource(), rule.id());
    }
    let tcp = || to.map(|to| scene.client.connect_tcp(to, NEVER).passed());
    eventually(PATIENCE, || tcp() == [false; 2]).unwrap();
    eventually(PATIENCE, || exchanged(&mut streams, NEVER) == [false; 2]).unwrap();
    for rule in from_clients("tcp") {
        scene.node.server.add(rule);
    }
    eventually(PATIENCE, || tcp() == [true; 2]).unwrap();
    // TCP has sent again and again meanwhile; it does so ever less often.
    assert_eq!(exchanged(&mut streams, PATIENCE), [true; 2]);
    let delivery = steady.stop();
    assert_eq!(delivery.lost, 0, "others are not touched: {delivery:?}");
}

#[test]
fn where_netfilter_sees_nothing_nothing_passes() {
    let off = |switch: &Switch| {
        switch.namespace().write_sysctl("net/bridge/bridge-nf-call-iptables", "0").unwrap();
    };
    let firewall = Some(Firewall::IptablesHybrid);
    let objects = vec![group(CLIENTS), group(SERVERS), port(1, SERVERS)];
    let settings = Settings { firewall, ..Settings::default() };
    let node = Node::start_told(objects, settings, |switch, _| off(switch));
    let _server = plugged(&node, 1);
    let says = "netfilter does not filter the port: netfilter does not see all that passes";
    node.wait("it says so", |status| {
        status.ports.iter().any(|port| !port.up && port.state.starts_with(says))
    });
}

#[test]
fn where_the_agent_does_not_see_the_linux_bridges_nothing_passes() {
    let firewall = Some(Firewall::IptablesHybrid);
    let namespace = Some(Namespace::create("agent").unwrap());
    let objects = vec![group(CLIENTS), group(SERVERS), port(1, SERVERS), port(2, SERVERS)];
    let objects = objects.into_iter().chain(egress(TO_ANYBODY, SERVERS)).collect();
    let node = Node::start_with(objects, Settings { firewall, namespace, ..Settings::default() });
    let [_one, _two] = [1, 2].map(|n| plugged(&node, n));
    let says = |n| {
        let id = unique(n);
        format!(
            "netfilter does not filter the port: there is no Linux bridge qbr{} in the network \
             namespace of the agent",
            &id[..11]
        )
    };
    node.wait("it says so", |status| {
        let told = |n| status.ports.iter().any(|it| !it.up && it.state.starts_with(&says(n)));
        told(1) && told(2)
    });
    assert!(!node.server.thinks_up(&unique(1)));
    let ofport = node.switch.vsctl(&["get", "Interface", &device("qvo", 1), "ofport"]).unwrap();
    let from = format!("in_port={}", ofport.trim());
    let flows = node.flows();
    assert!(!flows.iter().any(|flow| flow.contains(&from)), "{from}: {flows:#?}");
}

#[test]
fn a_port_is_up_as_long_as_all_it_sends_passes_netfilter() {
    let scene = Scene::start();
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    let [tap, qbr, qvb] = ["tap", "qbr", "qvb"].map(|kind| device(kind, 2));
    let namespace = scene.node.switch.namespace();
    let is_up = |says: Option<&str>| {
        scene.node.wait(says.unwrap_or("up"), |status| {
            let port = status.ports.iter().find(|port| port.id == unique(2)).unwrap();
            port.up == says.is_none() && says.is_none_or(|says| port.state.contains(says))
        });
    };
    // A machine that has not started yet, or has stopped, has no device there.
    namespace.ip(&format!("link set dev {tap} nomaster")).unwrap();
    namespace.ip("link add name eth7 type veth peer name eth8").unwrap();
    for (before, says, after) in [
        (
            format!("link set dev {qvb} nomaster"),
            format!("{qvb} is no port of Linux bridge {qbr}"),
            format!("link set dev {qvb} master {qbr}"),
        ),
        (
            format!("link set dev eth7 master {qbr}"),
            format!("eth7 is a port of Linux bridge {qbr}"),
            "link set dev eth7 nomaster".to_owned(),
        ),
    ] {
        namespace.ip(&before).unwrap();
        is_up(Some(&says));
        namespace.ip(&after).unwrap();
        is_up(None);
    }
    namespace.ip(&format!("link set dev {tap} master {qbr}")).unwrap();
    eventually(PATIENCE, || scene.answers(&scene.client, NEVER) == [true; 4]).unwrap();
}

#[test]
fn what_netfilter_held_goes_when_flows_filter() {
    let mut scene = Scene::start();
    let foreign = "-A FORWARD -s 192.0.2.1/32 -j DROP";
    scene.run("iptables -A FORWARD -s 192.0.2.1/32 -j DROP");
    let mut stream = scene.client.open_stream(scene.server.v4(ECHO).unwrap(), SOON).unwrap();
    let to = scene.server.v6(ECHO).unwrap();
    let steady = scene.client.steady_udp(to, Pace::HUNDRED_PER_SECOND).unwrap();
    let refused = scene.stranger.steady_udp(to, Pace::HUNDRED_PER_SECOND).unwrap();
    assert_eq!(stream.exchange(SOON), Outcome::Reached);

    scene.node.stop_agent();
    scene.node.start_agent_with(Firewall::OpenVswitch);
    scene.node.wait_up(3);
    eventually(PATIENCE, || !scene.netfilter().contains("openvswi")).unwrap();
    let left = scene.netfilter();
    let rules: Vec<&str> = left.lines().filter(|line| line.starts_with("-A")).collect();
    assert_eq!(rules, [foreign], "{left}");
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    assert_eq!(scene.answers(&scene.stranger, NEVER), [false; 4]);

    // And back.
    scene.node.stop_agent();
    scene.node.start_agent_with(Firewall::IptablesHybrid);
    scene.node.wait_up(3);
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    assert_eq!(scene.answers(&scene.stranger, NEVER), [false; 4]);
    assert!(scene.netfilter().contains(foreign));
    assert_eq!(stream.exchange(SOON), Outcome::Reached);
    let (delivery, refused) = (steady.stop(), refused.stop());
    assert_eq!(delivery.lost, 0, "{delivery:?}");
    assert_eq!(refused.lost, refused.sent, "none got through");
}

#[test]
fn what_netfilter_does_not_take_is_told_and_tried_again() {
    let scene = Scene::start();
    // Somebody has a set of the name that the next one is to have.
    let name = format!("NIPv4{}", unique(SERVERS));
    let name = &name[..29];
    scene.run(&format!("ipset create {name} list:set"));
    let from_servers = || {
        rules(
            0xa020,
            &SecurityGroupRule {
                security_group_id: unique(SERVERS),
                direction: "ingress".to_owned(),
                remote_group_id: Some(unique(SERVERS)),
                ..Default::default()
            },
        )
    };
    for rule in from_servers() {
        scene.node.server.add(rule);
    }
    let says = "netfilter goes on with the rules it had";
    scene.node.wait("it says so", |status| {
        let warned = |warnings: &[String]| warnings.iter().any(|it| it.starts_with(says));
        status.ports.iter().all(|port| port.up && warned(&port.warnings))
    });
    assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    scene.run(&format!("ipset destroy {name}"));
    eventually(PATIENCE, || scene.answers(&scene.stranger, NEVER) == [true; 4]).unwrap();
    scene.node.wait("it is well again", |status| {
        status.ports.iter().all(|port| port.up && port.warnings.is_empty())
    });
}
