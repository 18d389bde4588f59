//! Limits of bandwidth with real frames: a port with a limit and one without are flooded in turns, and
//! what has come through is compared. So it does not matter how fast the machine is.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use neutron::object::{
    Object, Port, QosBandwidthLimitRule, QosPolicy, QosRule, SecurityGroup, SecurityGroupRule,
};
use testkit::frame::{self, number};
use testkit::{Wire, eventually};

use crate::node::{Node, PATIENCE, Settings, bound, id, mac, vlan};

const GROUP: u32 = 0x9000;
const POLICY: u32 = 0xa000;
/// The port with limits, the one without, and who talks with both.
const LIMITED: u32 = 1;
const FREE: u32 = 2;
const PARTNER: u32 = 3;
/// What is limited to: one frame in a second, and two at once. A queue of the kernel is half as fast
/// again.
const KILOBITS: u32 = 8;
const BURST: u32 = 16;
/// A frame has so many bytes.
const FRAME: usize = 1000;
/// A flood ends when so many frames have come through without a limit. More than a hundred in a queue
/// would hold up other devices (`docs/qos.md`).
const ENOUGH: usize = 60;
/// Or fails after this time, in which a limit lets far fewer pass.
const LONG: Duration = Duration::from_secs(15);

/// From which port to which.
type Way = [u32; 2];

struct Scene {
    node: Node,
    wires: [Wire; 3],
}

impl Scene {
    fn start(settings: Settings) -> Self {
        let rule = |n, direction: &str| {
            Object::SecurityGroupRule(SecurityGroupRule {
                id: id(n),
                security_group_id: id(GROUP),
                direction: direction.to_owned(),
                ethertype: "IPv4".to_owned(),
                revision_number: 1,
                ..SecurityGroupRule::default()
            })
        };
        let group = SecurityGroup { id: id(GROUP), stateful: true, ..SecurityGroup::default() };
        let rules = ["egress", "ingress"].map(limit).to_vec();
        let policy = QosPolicy { id: id(POLICY), rules, ..QosPolicy::default() };
        let node = Node::start_with(
            vec![
                Object::SecurityGroup(group),
                rule(0x100, "egress"),
                rule(0x101, "ingress"),
                Object::QosPolicy(policy),
                port(LIMITED, Some(POLICY)),
                port(FREE, None),
                port(PARTNER, None),
            ],
            settings,
        );
        let wires = [LIMITED, FREE, PARTNER].map(|n| {
            let device = format!("tap{n}");
            let wire = Wire::cabled(&node.switch, &device, &mac(n)).unwrap();
            node.plug(&device, &id(n));
            wire
        });
        node.wait_up(3);
        Self { node, wires }
    }

    fn wire(&self, port: u32) -> &Wire {
        let [limited, free, partner] = &self.wires;
        match port {
            LIMITED => limited,
            FREE => free,
            _ => partner,
        }
    }

    /// Sends both ways in turns until enough has come through the second. Gives how many frames have
    /// come through each.
    fn flood(&self, ways: [Way; 2]) -> [usize; 2] {
        let frames = ways.map(frame);
        let mut came = [0; 2];
        let deadline = Instant::now() + LONG;
        while came[1] < ENOUGH {
            assert!(Instant::now() < deadline, "{came:?} have come through");
            for ([from, _], frame) in ways.iter().zip(&frames) {
                // No more than a device can keep until the switch gets to it.
                for _ in 0..10 {
                    self.wire(*from).send(frame).unwrap();
                }
            }
            for [_, to] in ways {
                while let Some(heard) = self.wire(to).hear(Instant::now()).unwrap() {
                    for (frame, came) in frames.iter().zip(&mut came) {
                        *came += usize::from(heard == *frame);
                    }
                }
            }
        }
        came
    }

    /// What the limited port sends or gets, compared with the other.
    fn egress(&self) -> [usize; 2] {
        self.flood([[LIMITED, PARTNER], [FREE, PARTNER]])
    }

    fn ingress(&self) -> [usize; 2] {
        self.flood([[PARTNER, LIMITED], [PARTNER, FREE]])
    }
}

fn port(n: u32, policy: Option<u32>) -> Object {
    let qos_policy_id = policy.map(id);
    Object::Port(Port { qos_policy_id, ..bound(n, 0x8000, vlan(117), GROUP) })
}

fn limit(direction: &str) -> QosRule {
    QosRule::BandwidthLimit(QosBandwidthLimitRule {
        max_kbps: Some(KILOBITS),
        max_burst_kbps: Some(BURST),
        direction: direction.to_owned(),
        ..QosBandwidthLimitRule::default()
    })
}

fn frame([from, to]: Way) -> Vec<u8> {
    let low = |n: u32| n.to_be_bytes()[3];
    let data = frame::udp(1000, 2000, &[7; FRAME - 42]);
    let packet = frame::ip(
        IpAddr::from([10, 0, 0, low(from)]),
        IpAddr::from([10, 0, 0, low(to)]),
        number::UDP,
        &data,
    );
    let [from, to] = [from, to].map(|n| [0xfa, 0x16, 0x3e, 0, 0, low(n)]);
    frame::ethernet(from, to, number::IPV4, &packet)
}

fn is_limited([limited, free]: [usize; 2]) -> bool {
    limited > 0 && limited * 2 < free
}

fn is_alike([limited, free]: [usize; 2]) -> bool {
    limited * 2 > free
}

#[test]
fn meters_limit_what_a_port_sends_and_gets() {
    let settings = Settings { meters_bandwidth: true, ..Settings::default() };
    let scene = Scene::start(settings);
    let metered =
        || scene.node.flows().iter().filter(|flow| flow.contains("actions=meter:")).count();
    eventually(PATIENCE, || metered() == 2).unwrap();
    let came = [scene.egress(), scene.ingress()];
    assert!(came.into_iter().all(is_limited), "{came:?}");

    scene.node.server.add(port(LIMITED, None));
    eventually(PATIENCE, || metered() == 0).unwrap();
    // The datapath may go by a verdict of before for a moment.
    scene.node.switch.appctl(&["revalidator/wait"]).unwrap();
    let came = [scene.egress(), scene.ingress()];
    assert!(came.into_iter().all(is_alike), "{came:?}");
}

#[test]
fn a_queue_limits_what_a_port_gets() {
    let scene = Scene::start(Settings::default());
    let qos = || scene.node.switch.vsctl(&["get", "Port", "tap1", "qos"]).unwrap();
    eventually(PATIENCE, || qos().trim() != "[]").unwrap();
    scene.node.switch.settle().unwrap();
    let came = scene.ingress();
    assert!(is_limited(came), "{came:?}");

    scene.node.server.add(port(LIMITED, None));
    eventually(PATIENCE, || qos().trim() == "[]").unwrap();
    scene.node.switch.settle().unwrap();
    let came = scene.ingress();
    assert!(is_alike(came), "{came:?}");
}
