//! What `weir trace` and `weir verify` say of ports that netfilter filters, on a real switch and with
//! what is really in netfilter.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::string_slice, reason = "ids are ASCII")]

mod node;

use std::time::Duration;

use agent::trace::{Filtering, Question, Trace, Transport, Way};
use agent::{Firewall, State};
use expect_test::{Expect, expect};
use neutron::object::{IpAllocation, Object, Port, SecurityGroup, SecurityGroupRule};
use testkit::{Nic, Vm};

use crate::node::{Node, Settings, bound, id, vlan};

const GROUP: u32 = 0x9000;
const ECHO: u16 = 7;
/// The port without a Linux bridge.
const BY_FLOWS: u32 = 3;
/// The port without an IPv4 address.
const V6_ONLY: u32 = 4;
const SOON: Duration = Duration::from_secs(5);
const NEVER: Duration = Duration::from_millis(500);

/// The id of port or group `n`, of which the first digits count.
fn unique(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

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
        let group = Object::SecurityGroup(SecurityGroup {
            id: unique(GROUP),
            stateful: true,
            ..SecurityGroup::default()
        });
        let rules = [rule(0xa000, "egress", None), rule(0xa001, "ingress", Some(ECHO))];
        let objects = [group].into_iter().chain((1..=4).map(port)).chain(rules);
        let firewall = Some(Firewall::IptablesHybrid);
        let node =
            Node::start_with(objects.collect(), Settings { firewall, ..Settings::default() });
        let vms = [1, 2, 3, 4].map(|n| plugged(&node, n));
        node.wait_up(4);
        Self { node, vms }
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

/// A machine as os-vif plugs it in.
fn plugged(node: &Node, n: u32) -> Vm {
    let addresses = vec![format!("10.0.0.{n}/24").parse().unwrap()];
    let nic = Nic { mac: Some(node::mac(n)), addresses, ..Nic::default() };
    let id = unique(n);
    let suffix = &id[..11];
    let (vm, device) = if n == BY_FLOWS {
        let device = format!("tap{suffix}");
        (Vm::cabled(&node.switch, &device, &nic).unwrap(), device)
    } else {
        (Vm::behind_bridge(&node.switch, suffix, &nic).unwrap(), format!("qvo{suffix}"))
    };
    node.plug(&device, &id);
    for port in [ECHO, ECHO + 1] {
        vm.listen_udp(port).unwrap();
    }
    vm
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
