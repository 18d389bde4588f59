//! What `weir trace` and `weir verify` say of ports that netfilter filters, on a real switch and with
//! what is really in netfilter.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::string_slice, reason = "ids are ASCII")]

mod node;

use std::time::Duration;

use agent::status::PortStatus;
use agent::trace::{Filtering, Question, Trace, Transport, Way};
use agent::verify::Difference;
use agent::{Firewall, State};
use expect_test::{Expect, expect};
use neutron::object::{IpAllocation, Object, Port, SecurityGroupRule};
use testkit::{Vm, eventually};

use crate::node::scene::{
    ECHO, NEVER, SOON, Scene as Servers, Wiring, device, group, plugged, unique,
};
use crate::node::{Node, PATIENCE, Settings, bound, id, vlan};

const GROUP: u32 = 0x9000;
/// The port without a Linux bridge.
const BY_FLOWS: u32 = 3;
/// The port without an IPv4 address.
const V6_ONLY: u32 = 4;

fn port(n: u32) -> Object {
    let ip_address = if n == V6_ONLY { "2001:db8::4".to_owned() } else { format!("10.0.0.{n}") };
    Object::Port(Port {
        id: unique(n),
        fixed_ips: vec![IpAllocation { ip_address, ..IpAllocation::default() }],
        security_group_ids: vec![unique(GROUP)],
        ..bound(n, 0x8000, vlan(100), GROUP)
    })
}

fn rule(n: u32, direction: &str, ports: Option<u16>) -> Object {
    Object::SecurityGroupRule(SecurityGroupRule {
        id: id(n),
        ethertype: "IPv4".to_owned(),
        revision_number: 1,
        security_group_id: unique(GROUP),
        direction: direction.to_owned(),
        protocol: ports.map(|_| "udp".to_owned()),
        port_range_min: ports.map(u32::from),
        port_range_max: ports.map(u32::from),
        ..SecurityGroupRule::default()
    })
}

/// Ports of which all are behind Linux bridges but for the third. They send what they want over IPv4,
/// and get UDP to one port.
struct Scene {
    node: Node,
    vms: [Vm; 4],
}

impl Scene {
    fn start() -> Self {
        let rules = [rule(0xa000, "egress", None), rule(0xa001, "ingress", Some(ECHO))];
        let objects = [group(GROUP)].into_iter().chain((1..=4).map(port)).chain(rules);
        let firewall = Some(Firewall::IptablesHybrid);
        let node =
            Node::start_with(objects.collect(), Settings { firewall, ..Settings::default() });
        let vms = [1, 2, 3, 4].map(|n| {
            let is_direct = n == BY_FLOWS;
            let vm =
                plugged(&node, n, if is_direct { Wiring::Direct } else { Wiring::BehindBridge });
            for port in [ECHO, ECHO + 1] {
                vm.listen_udp(port).unwrap();
            }
            vm
        });
        node.wait_up(4);
        Self { node, vms }
    }

    /// What a program prints that runs where the switch does.
    fn run(&self, command: &str) -> String {
        let mut words = command.split(' ');
        let program = words.next().unwrap();
        let output = self.node.switch.namespace().command(program).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is reported of netfilter when this was done to it.
    fn found(&self, command: &str, is_it: impl Fn(&Difference) -> bool) -> Difference {
        self.run(command);
        let report = self.node.verify();
        assert!(!report.is_right());
        let filtered = report.netfilter.unwrap();
        let found = filtered.differences.iter().find(|it| is_it(it));
        found.unwrap_or_else(|| panic!("{command}: {filtered:#?}")).clone()
    }

    /// Has the agent mend nothing: it has a set to make whose name somebody has taken, and rules that
    /// need it come after it.
    fn hold_up_the_agent(&self) {
        let name = format!("NIPv4{}", unique(GROUP));
        self.run(&format!("ipset create {} list:set", &name[..29]));
        let Object::SecurityGroupRule(from_members) = rule(0xa002, "ingress", Some(99)) else {
            return;
        };
        let remote_group_id = Some(unique(GROUP));
        self.node
            .server
            .add(Object::SecurityGroupRule(SecurityGroupRule { remote_group_id, ..from_members }));
        self.node.wait("it goes on with the rules it had", |status| {
            let mut warnings = status.ports.iter().flat_map(|port| &port.warnings);
            warnings.any(|it| it.starts_with("netfilter goes on with the rules it had"))
        });
    }

    fn trace(&self, port: u32, way: Way, transport: Transport) -> Trace {
        let port = unique(port);
        self.node.trace(Question { port, way, transport, state: State::New })
    }
}

/// Whether a datagram gets from one machine to another in this time.
fn passes(from: &Vm, to: &Vm, port: u16, within: Duration) -> bool {
    from.ask_udp(to.v4(port).unwrap(), within).passed()
}

fn address(n: u8) -> std::net::IpAddr {
    [10, 0, 0, n].into()
}

fn check(filtering: Option<Filtering>, expected: &Expect) {
    let Filtering { port, direction, tracking, rules, verdict, reason } = filtering.unwrap();
    let rules = rules.iter().map(|met| format!("{} {}\n", met.chain, met.rule));
    let rules: String = rules.collect();
    let text = format!("{direction} of {port}, {tracking}\n{rules}{verdict}: {reason}\n");
    expected.assert_eq(&text);
}

#[test]
fn a_packet_is_traced_through_what_netfilter_holds() {
    let scene = Scene::start();
    let [one, two, by_flows, _] = &scene.vms;
    // From one Linux bridge to the other.
    let admitted = scene.trace(1, Way::To(address(2)), Transport::Udp(ECHO));
    assert!(passes(one, two, ECHO, SOON));
    assert!(admitted.accepted);
    let rules = admitted.rules.iter().map(|rule| (rule.direction.as_str(), rule.rule.clone()));
    let rules: Vec<_> = rules.collect();
    assert_eq!(rules, [("egress", id(0xa000)), ("ingress", id(0xa001))]);
    assert_eq!(admitted.sent.as_ref().unwrap().verdict, "accepted");
    check(
        admitted.received,
        &expect![[r#"
        ingress of 00000002-0000-4000-8000-000000000000, zone 4098
        FORWARD -j neutron-filter-top
        neutron-filter-top -j neutron-openvswi-local
        FORWARD -j neutron-openvswi-FORWARD
        neutron-openvswi-FORWARD -m physdev --physdev-out tap00000002-00 --physdev-is-bridged -j neutron-openvswi-sg-chain
        neutron-openvswi-sg-chain -m physdev --physdev-out tap00000002-00 --physdev-is-bridged -j neutron-openvswi-i00000002-0
        neutron-openvswi-i00000002-0 -g neutron-openvswi-gi-76e575d1
        neutron-openvswi-gi-76e575d1 -p udp -m multiport --dports 7 -j RETURN
        neutron-openvswi-sg-chain -j ACCEPT
        accepted: a rule admits it
    "#]],
    );

    let refused = scene.trace(1, Way::To(address(2)), Transport::Udp(ECHO + 1));
    assert!(!passes(one, two, ECHO + 1, NEVER));
    assert!(!refused.accepted);
    assert_eq!(refused.reason.as_deref(), Some("no ingress rule allows it"));
    check(
        refused.received,
        &expect![[r#"
        ingress of 00000002-0000-4000-8000-000000000000, zone 4098
        FORWARD -j neutron-filter-top
        neutron-filter-top -j neutron-openvswi-local
        FORWARD -j neutron-openvswi-FORWARD
        neutron-openvswi-FORWARD -m physdev --physdev-out tap00000002-00 --physdev-is-bridged -j neutron-openvswi-sg-chain
        neutron-openvswi-sg-chain -m physdev --physdev-out tap00000002-00 --physdev-is-bridged -j neutron-openvswi-i00000002-0
        neutron-openvswi-i00000002-0 -g neutron-openvswi-gi-76e575d1
        neutron-openvswi-gi-76e575d1 -j neutron-openvswi-sg-fallback
        neutron-openvswi-sg-fallback -j DROP
        dropped: no ingress rule allows it
    "#]],
    );

    // From a Linux bridge to a port that flows filter, and back.
    let refused = scene.trace(1, Way::To(address(3)), Transport::Udp(ECHO + 1));
    assert!(!passes(one, by_flows, ECHO + 1, NEVER));
    assert_eq!(refused.reason.as_deref(), Some("no ingress rule allows it"));
    assert_eq!((refused.sent.unwrap().verdict.as_str(), refused.received), ("accepted", None));
    let refused = scene.trace(3, Way::To(address(1)), Transport::Udp(ECHO + 1));
    assert!(!passes(by_flows, one, ECHO + 1, NEVER));
    assert_eq!(refused.sent, None);
    assert_eq!(refused.received.unwrap().verdict, "dropped");
}

#[test]
fn a_packet_that_its_port_may_not_send_is_traced_to_the_check() {
    let scene = Scene::start();
    let [_, two, _, v6_only] = &scene.vms;
    // A trace gives a port without an address of the family one that it may not use.
    let spoofed = scene.trace(V6_ONLY, Way::To(address(2)), Transport::Udp(ECHO));
    assert!(!spoofed.accepted && spoofed.steps.is_empty());
    // So does the machine.
    assert!(!passes(v6_only, two, ECHO, NEVER));
    check(
        spoofed.sent,
        &expect![[r#"
        egress of 00000004-0000-4000-8000-000000000000, zone 4099
        FORWARD -j neutron-filter-top
        neutron-filter-top -j neutron-openvswi-local
        FORWARD -j neutron-openvswi-FORWARD
        neutron-openvswi-FORWARD -m physdev --physdev-in tap00000004-00 --physdev-is-bridged -j neutron-openvswi-sg-chain
        neutron-openvswi-sg-chain -m physdev --physdev-in tap00000004-00 --physdev-is-bridged -j neutron-openvswi-o00000004-0
        neutron-openvswi-o00000004-0 -j neutron-openvswi-s00000004-0
        neutron-openvswi-s00000004-0 -j DROP
        dropped: the port may not use this source address with this MAC address
    "#]],
    );
}

#[test]
fn what_netfilter_holds_is_verified() {
    let scene = Scene::start();
    eventually(PATIENCE, || scene.node.verify().is_right()).unwrap();
    let filtered = scene.node.verify().netfilter.unwrap();
    assert_eq!((filtered.ports, filtered.policies, filtered.differ), (3, 2, 0));
    assert!(filtered.checked > 1000 && filtered.checked == filtered.of, "{filtered:?}");
    assert!(filtered.rules > 100, "{filtered:?}");
    scene.hold_up_the_agent();

    let rules = scene.run("iptables-save");
    let echo = rules.lines().find(|line| line.contains("-gi-") && line.contains("--dports 7 "));
    let (_, echo) = echo.unwrap().split_once("-A ").unwrap();
    let (chain, rule) = echo.split_once(' ').unwrap();

    let accept = "-p udp -m udp --dport 98 -j ACCEPT";
    let extra = scene
        .found(&format!("iptables -I {chain} 1 {accept}"), |it| it.flow.as_deref() == Some(accept));
    assert_eq!(extra.table, format!("filter {chain}"));
    assert_eq!(extra.expected, "refused: no rule admits it");
    assert!(extra.packet.ends_with("tp_dst=98"), "{extra:?}");
    assert!(extra.should_be.is_some_and(|rule| rule.ends_with("sg-fallback")));

    let missing =
        scene.found(&format!("iptables -D {echo}"), |it| it.should_be.as_deref() == Some(rule));
    assert_eq!(missing.table, format!("filter {chain}"));
    assert_eq!(missing.expected, format!("accepted by rule {}", id(0xa001)));
    assert_eq!(missing.found, "refused: no ingress rule allows it");

    // Whom a machine may be.
    let chain = "neutron-openvswi-s00000001-0";
    let spoofed = scene.found(&format!("ip6tables -I {chain} 1 -j RETURN"), |it| {
        it.table == format!("filter {chain}")
    });
    assert_eq!((spoofed.expected.as_str(), spoofed.direction.as_str()), ("refused", "egress"));
    assert_eq!(spoofed.port, unique(1));
}

#[test]
fn where_netfilter_sees_nothing_nothing_is_right() {
    let scene = Scene::start();
    let off =
        scene.node.switch.namespace().write_sysctl("net/bridge/bridge-nf-call-ip6tables", "0");
    off.unwrap();
    let report = scene.node.verify();
    assert!(!report.is_right());
    let trouble = report.netfilter.unwrap().trouble.unwrap();
    assert!(trouble.contains("net.bridge.bridge-nf-call-ip6tables=1"), "{trouble}");
}

#[test]
fn a_machine_that_has_moved_is_explained_where_it_is() {
    let scene = Servers::start();
    let node = &scene.node;
    let server = [unique(1)];
    for (to, kind, ports) in [("openvswitch", "tap", 2), ("iptables_hybrid", "qvo", 3)] {
        node.migrate(to, &server).unwrap();
        node.wait("the server has moved", |status| {
            let is_there = |port: &PortStatus| port.interface == device(kind, 1) && port.up;
            let has_moved = |port: &PortStatus| port.id != server[0] || is_there(port);
            status.ports.iter().all(|it| has_moved(it) && it.warnings.is_empty())
        });
        let is_right = || {
            let report = node.verify();
            report.is_right() && report.netfilter.is_some_and(|it| it.ports == ports)
        };
        eventually(PATIENCE, is_right).unwrap_or_else(|_| panic!("{to}: {:#?}", node.verify()));
        let (port, way) = (unique(2), Way::To(address(1)));
        let transport = Transport::Udp(ECHO);
        let admitted = node.trace(Question { port, way, transport, state: State::New });
        assert!(admitted.accepted && admitted.rules.len() == 2, "{admitted:#?}");
        assert_eq!(admitted.received.is_some(), to == "iptables_hybrid");
        assert_eq!(scene.answers(&scene.client, SOON), [true; 4]);
    }
}
