//! Machines that move from one firewall to the other, and what is on its way meanwhile.
#![allow(clippy::print_stdout, reason = "what moves cost is worth knowing")]

use std::time::Duration;

use agent::Firewall;
use agent::status::PortStatus;
use testkit::{Delivery, Outcome, Pace, Sniffer, Steady, Stream, Vm, Way, eventually};

use super::PATIENCE;
use super::feed::Feed;
use super::scene::{
    CLIENTS, ECHO, NEVER, SERVERS, SOON, Scene, Wiring, device, plugged_as, port, unique,
};

/// A rule of somebody else.
const FOREIGN: &str = "-A FORWARD -s 192.0.2.1/32 -j DROP";

/// How long all machines may take to move; with the kernel's datapath an emulated processor does it.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// A thousand datagrams a second.
const FAST: Pace =
    Pace { messages: 3_600_000, every: Duration::from_millis(1), grace: Duration::from_millis(10) };

/// What an emulated processor can do beside. What is late there may count as lost: nothing is decided by
/// how many pings are.
const SLOW: Pace =
    Pace { messages: 36_000, every: Duration::from_millis(100), grace: Duration::from_secs(2) };

/// How many pings a move may cost.
const LOST: usize = 3;

/// A server, a client and a stranger that move, and a server and a client by devices of other names,
/// which do not.
pub(crate) struct Moving {
    pub(crate) scene: Scene,
    firewall: Firewall,
    other_server: Vm,
    other_client: Vm,
}

impl Moving {
    pub(crate) fn start(firewall: Firewall, wiring: Wiring) -> Self {
        let scene = Scene::start_with(firewall, wiring);
        scene.node.server.add(port(4, SERVERS));
        scene.node.server.add(port(5, CLIENTS));
        let [other_server, other_client] =
            [4, 5].map(|n| plugged_as(&scene.node, n, &format!("machine{n}")));
        scene.node.wait_up(5);
        other_server.listen_udp(ECHO).unwrap();
        scene.run(&format!("iptables {FOREIGN}"));
        Self { scene, firewall, other_server, other_client }
    }

    /// Whether an emulated processor does all this, as with the kernel's datapath: it takes ten times
    /// as long, and nothing can be said of how long.
    fn is_emulated(&self) -> bool {
        self.scene.node.switch.datapath_type() == "system"
    }

    /// That pace, unless it is too much.
    fn pace(&self, pace: Pace) -> Pace {
        if self.is_emulated() { SLOW } else { pace }
    }

    /// Whether a move may lose so many pings.
    pub(crate) fn may_lose(&self, lost: usize) -> bool {
        self.is_emulated() || lost <= LOST
    }

    /// The ports 1 to 3, which move.
    fn ports(&self) -> Vec<PortStatus> {
        let mut ports = self.scene.node.status().ports;
        ports.retain(|port| [1, 2, 3].iter().any(|n| port.id == unique(*n)));
        ports
    }

    /// Starts the agent with another firewall, and waits until the machines are plugged in for it.
    fn go(&mut self, firewall: Firewall) {
        self.restart(firewall);
        self.wait_plugged([kind(firewall); 3]);
        match firewall {
            Firewall::OpenVswitch => {
                eventually(LONG, || self.has_no_linux_bridges()).unwrap();
                let left = self.scene.netfilter();
                let rules: Vec<&str> = left.lines().filter(|it| it.starts_with("-A")).collect();
                assert_eq!(rules, [FOREIGN], "{left}");
            }
            _ => {
                assert!(self.scene.netfilter().contains(FOREIGN));
                let names = self.scene.node.switch.namespace().interfaces().unwrap();
                for (kind, n) in
                    ["qbr", "qvb", "qvo"].into_iter().flat_map(|it| (1..4).map(move |n| (it, n)))
                {
                    assert!(names.contains(&device(kind, n)), "{names:?}");
                }
            }
        }
    }

    /// Waits until the ports 1 to 3 are plugged in by devices of these kinds.
    pub(crate) fn wait_plugged(&self, kinds: [&str; 3]) {
        self.scene.node.wait_within(LONG, "the machines have moved", |status| {
            let is_there = |n: u32, kind: &str| {
                let mut ports = status.ports.iter();
                ports.any(|port| port.id == unique(n) && port.interface == device(kind, n))
            };
            let mut kinds = (1..).zip(kinds);
            let is_idle =
                |it: &PortStatus| !it.warnings.iter().any(|it| it.contains("being moved"));
            status.ports.iter().all(|port| port.up && is_idle(port))
                && kinds.all(|(n, kind)| is_there(n, kind))
        });
    }

    /// Starts the agent with another firewall when it has noted the one that it had.
    pub(crate) fn restart(&mut self, firewall: Firewall) {
        let note = ["get", "Bridge", "br-int", "external_ids:weir-firewall-driver"];
        let had = format!("{}\n", self.firewall);
        let switch = &self.scene.node.switch;
        eventually(LONG, || switch.vsctl(&note).is_ok_and(|noted| noted == had)).unwrap();
        self.firewall = firewall;
        self.scene.node.stop_agent();
        self.scene.node.start_agent_with(firewall);
    }

    /// Whether nothing is left of Linux bridges and of what filtered there.
    pub(crate) fn has_no_linux_bridges(&self) -> bool {
        let names = self.scene.node.switch.namespace().interfaces().unwrap();
        let is_of_one = |name: &String| ["qbr", "qvb", "qvo"].iter().any(|it| name.starts_with(it));
        let netfilter = self.scene.netfilter();
        let is_ours = netfilter.contains("openvswi") || netfilter.contains("NIPv");
        !is_ours && !names.iter().any(is_of_one)
    }

    /// Whether the client gets through, and the stranger does not.
    pub(crate) fn check_filtered(&self) {
        assert_eq!(self.scene.answers(&self.scene.client, SOON), [true; 4]);
        assert_eq!(self.scene.answers(&self.scene.stranger, NEVER), [false; 4]);
    }
}

/// What the device is called by which machines are plugged in.
fn kind(firewall: Firewall) -> &'static str {
    if firewall == Firewall::OpenVswitch { "tap" } else { "qvo" }
}

/// What is on its way while machines move.
pub(crate) struct Traffic {
    stream: Stream,
    tcp: Steady,
    refused: Steady,
    heard: Sniffer,
    beside: Steady,
}

impl Traffic {
    pub(crate) fn start(moving: &Moving) -> Self {
        let Moving { scene, other_server, other_client, .. } = moving;
        let to = scene.server.v4(ECHO).unwrap();
        let (fast, pace) = (moving.pace(FAST), moving.pace(Pace::HUNDRED_PER_SECOND));
        let patient = Pace { grace: LONG, ..pace };
        let heard = Sniffer::start(scene.server.namespace(), scene.server.device()).unwrap();
        Self {
            stream: scene.client.open_stream(scene.server.v6(ECHO).unwrap(), SOON).unwrap(),
            // TCP sends again what was lost, and waits ever longer before it does; and a switch that
            // has no processor is late.
            tcp: scene.client.steady_tcp(to, patient).unwrap(),
            refused: scene.stranger.steady_udp(to, fast).unwrap(),
            heard,
            beside: other_client.steady_udp(other_server.v4(ECHO).unwrap(), patient).unwrap(),
        }
    }

    /// It has gone on, and what is refused never got through.
    pub(crate) fn check(mut self, moving: &Moving) {
        assert_eq!(self.stream.exchange(SOON), Outcome::Reached);
        let tcp = self.tcp.stop();
        assert_eq!(tcp.lost, 0, "{tcp:?}");
        let beside = self.beside.stop();
        assert_eq!(beside.lost, 0, "{beside:?}");
        assert_eq!(of_stranger(&self.heard), 0, "of {}", self.refused.sent());
        // It was sent all the time: once it is allowed, it gets through.
        moving.scene.node.server.add(port(3, CLIENTS));
        eventually(PATIENCE, || of_stranger(&self.heard) > 0).unwrap();
        self.refused.stop();
    }
}

/// How many datagrams of the stranger have come in.
fn of_stranger(heard: &Sniffer) -> usize {
    let is_of_it = |frame: &[u8]| {
        frame.get(12..14) == Some(&[8, 0])
            && frame.get(23) == Some(&17)
            && frame.get(26..30) == Some(&[10, 0, 0, 3])
    };
    heard.seen().iter().filter(|it| it.way == Way::In && is_of_it(&it.frame)).count()
}

/// Pings the server, by somebody who does not move, while something is done.
pub(crate) fn pinged(moving: &mut Moving, work: impl FnOnce(&mut Moving)) -> Delivery {
    let to = moving.scene.server.v4(ECHO).unwrap().ip();
    let pace = moving.pace(Pace::HUNDRED_PER_SECOND);
    let pings = moving.other_client.steady_ping(to, pace).unwrap();
    eventually(PATIENCE, || pings.sent() > 10).unwrap();
    work(moving);
    let sent = pings.sent();
    eventually(PATIENCE, || pings.sent() > sent + 10).unwrap();
    pings.stop()
}

/// Moves all machines, one firewall after the other, under traffic.
pub(crate) fn moves(wiring: Wiring, firewalls: &[Firewall]) {
    let before = match wiring {
        Wiring::BehindBridge => Firewall::IptablesHybrid,
        Wiring::Direct => Firewall::OpenVswitch,
    };
    let mut moving = Moving::start(before, wiring);
    let numbers: Vec<_> = moving.ports().into_iter().map(|port| (port.id, port.ofport)).collect();
    let traffic = Traffic::start(&moving);
    let feed = Feed::open(&moving.scene);
    let mut lost = Vec::new();
    for firewall in firewalls {
        lost.push(pinged(&mut moving, |moving| moving.go(*firewall)).lost);
        assert_eq!(moving.scene.answers(&moving.scene.client, SOON), [true; 4]);
        let now = moving.ports().into_iter().map(|port| (port.id, port.ofport));
        assert_eq!(now.collect::<Vec<_>>(), numbers);
        // The userspace datapath takes connections from nobody.
        if *firewall == Firewall::OpenVswitch && !moving.is_emulated() {
            feed.ask();
        }
        assert!(feed.goes_on(), "to {firewall}");
    }
    moving.check_filtered();
    traffic.check(&moving);
    println!("pings lost by each of {} moves: {lost:?}", lost.len());
    assert!(lost.iter().all(|it| moving.may_lose(*it)), "{lost:?}");
}
