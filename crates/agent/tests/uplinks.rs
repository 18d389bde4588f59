//! Frames from and to a physical network, for managed and unmanaged ports, on a real switch.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use std::net::IpAddr;
use std::time::Instant;

use neutron::object::{
    NetworkSegment, Object, Port, PortSecurity, SecurityGroup, SecurityGroupRule,
};
use testkit::frame::{self, Mac, number};
use testkit::{Sniffer, Way, Wire, eventually};

use crate::node::{Node, PATIENCE, bound, id, vlan};

const GROUP: u32 = 0x9000;
const NETWORK: u32 = 0x8000;
const MANAGED: u8 = 1;
const UNMANAGED: u8 = 2;
/// Somebody behind the physical network.
const OUTSIDE: u8 = 9;
/// The UDP port that the group lets in, and one that it does not.
const OPEN: u16 = 7;
const CLOSED: u16 = 9;
const BROADCAST: Mac = [0xff; 6];

fn mac(n: u8) -> Mac {
    [0xfa, 0x16, 0x3e, 0, 0, n]
}

fn port(n: u8, tag: Option<u32>) -> Object {
    let network_type = if tag.is_some() { "vlan" } else { "flat" }.to_owned();
    let segment = NetworkSegment { network_type, segmentation_id: tag, ..vlan(0) };
    let port_security_enabled = n == MANAGED;
    Object::Port(Port {
        security: Some(PortSecurity { port_security_enabled, ..PortSecurity::default() }),
        ..bound(n.into(), NETWORK, segment, GROUP)
    })
}

fn objects(vlan: Option<u32>) -> Vec<Object> {
    let rule = |n, direction: &str, port: Option<u16>| {
        Object::SecurityGroupRule(SecurityGroupRule {
            id: id(n),
            security_group_id: id(GROUP),
            direction: direction.to_owned(),
            ethertype: "IPv4".to_owned(),
            protocol: port.map(|_| "udp".to_owned()),
            port_range_min: port.map(u32::from),
            port_range_max: port.map(u32::from),
            revision_number: 1,
            ..SecurityGroupRule::default()
        })
    };
    let group = SecurityGroup { id: id(GROUP), stateful: true, ..SecurityGroup::default() };
    vec![
        port(MANAGED, vlan),
        port(UNMANAGED, vlan),
        Object::SecurityGroup(group),
        rule(GROUP + 1, "ingress", Some(OPEN)),
        rule(GROUP + 2, "egress", None),
    ]
}

/// UDP of a text that tells it from all others.
fn udp(from: u8, to: Mac, port: u16, text: &str) -> Vec<u8> {
    let address = |n: u8| IpAddr::from([10, 0, 0, n]);
    let data = frame::udp(1000, port, text.as_bytes());
    let packet = frame::ip(address(from), address(to[5]), number::UDP, &data);
    frame::ethernet(mac(from), to, number::IPV4, &packet)
}

/// A node with the two ports, and the wire of its physical network.
struct Scene {
    node: Node,
    managed: Wire,
    unmanaged: Wire,
    outside: Wire,
    sniffer: Sniffer,
    /// The tag that frames of the network have on the wire.
    tag: Option<u16>,
    count: u32,
}

impl Scene {
    fn start(tag: Option<u16>) -> Self {
        let node = Node::start(objects(tag.map(u32::from)));
        let [managed, unmanaged] = [MANAGED, UNMANAGED].map(|n| {
            let device = format!("tap{n}");
            let wire = Wire::cabled(&node.switch, &device, &node::mac(n.into())).unwrap();
            node.plug(&device, &id(n.into()));
            wire
        });
        let outside = Wire::cabled(&node.switch, "outside", &node::mac(OUTSIDE.into())).unwrap();
        node.switch.vsctl(&["add-port", "br-phys", "outside"]).unwrap();
        let sniffer = Sniffer::start(node.switch.namespace(), "outside").unwrap();
        node.wait_up(2);
        Self { node, managed, unmanaged, outside, sniffer, tag, count: 0 }
    }

    fn tagged(&self, tag: Option<u16>, frame: &[u8]) -> Vec<u8> {
        tag.map_or_else(|| frame.to_vec(), |tag| frame::tagged(tag, frame))
    }

    /// What of a frame with this tag, sent from outside, the managed and the unmanaged port hear:
    /// all that comes before a frame that both must hear.
    fn outside_sends(&mut self, tag: Option<u16>, to: Mac, port: u16) -> [bool; 2] {
        self.count += 1;
        let text = format!("frame {}", self.count);
        let sent = udp(OUTSIDE, to, port, &text);
        let last = udp(OUTSIDE, BROADCAST, OPEN, &format!("last {}", self.count));
        self.outside.send(&self.tagged(tag, &sent)).unwrap();
        self.outside.send(&self.tagged(self.tag, &last)).unwrap();
        let deadline = Instant::now() + PATIENCE;
        [&self.managed, &self.unmanaged].map(|wire| {
            let mut heard = false;
            loop {
                let frame = wire.hear(deadline).unwrap().unwrap();
                heard |= frame == sent;
                if frame == last {
                    return heard;
                }
            }
        })
    }

    /// The tags with which a frame from a port leaves, once it has.
    fn on_the_wire(&self, from: &Wire, sent: &[u8]) -> Vec<u16> {
        from.send(sent).unwrap();
        let inside = |whole: &[u8]| whole.ends_with(sent.get(12..).unwrap());
        let seen = || {
            let seen = self.sniffer.seen();
            let mut out = seen.into_iter().filter(|it| it.way == Way::Out && inside(&it.frame));
            out.next().map(|it| frame::read(&it.frame).unwrap().vlans)
        };
        let waited = eventually(PATIENCE, seen);
        waited.unwrap_or_else(|_| panic!("{:#?}", self.node.flows_of("br-phys")))
    }
}

#[test]
fn frames_of_a_physical_network_reach_whom_they_are_for() {
    for tag in [Some(117), None] {
        let mut scene = Scene::start(tag);
        let [managed, unmanaged] = [mac(MANAGED), mac(UNMANAGED)];
        assert_eq!(scene.outside_sends(tag, managed, OPEN), [true, false], "a rule lets it in");
        assert_eq!(scene.outside_sends(tag, managed, CLOSED), [false, false], "no rule does");
        assert_eq!(scene.outside_sends(tag, unmanaged, CLOSED), [false, true], "no rules here");
        assert_eq!(scene.outside_sends(tag, BROADCAST, OPEN), [true, true]);
        let other = if tag.is_some() {
            [None, Some(118), Some(1)]
        } else {
            [Some(117), Some(118), Some(1)]
        };
        for tag in other {
            for to in [managed, unmanaged, BROADCAST] {
                assert_eq!(scene.outside_sends(tag, to, OPEN), [false, false], "{tag:?}");
            }
        }
    }
}

#[test]
fn frames_leave_with_the_vlan_of_their_segment() {
    for tag in [Some(117), None] {
        let mut scene = Scene::start(tag);
        let expected: Vec<u16> = tag.into_iter().collect();
        // Only who was heard gets unicast from an unmanaged port.
        scene.outside_sends(tag, mac(UNMANAGED), OPEN);
        for (wire, n) in [(&scene.managed, MANAGED), (&scene.unmanaged, UNMANAGED)] {
            for to in [mac(OUTSIDE), BROADCAST] {
                let text = format!("from {n} to {}", to[0]);
                let vlans = scene.on_the_wire(wire, &udp(n, to, OPEN, &text));
                assert_eq!(vlans, expected, "{tag:?} {text}");
            }
        }
        // What stays on the node is never seen there.
        let inside = udp(UNMANAGED, mac(MANAGED), OPEN, "inside");
        scene.unmanaged.send(&inside).unwrap();
        scene.on_the_wire(&scene.unmanaged, &udp(UNMANAGED, BROADCAST, OPEN, "after it"));
        let seen = scene.sniffer.stop();
        let end = inside.get(12..).unwrap();
        assert!(!seen.iter().any(|it| it.frame.ends_with(end)));
    }
}
