//! Machines that run move between a Linux bridge of their own and none, on a real switch, under traffic.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "what moves cost is worth knowing")]

mod node;

use std::time::Duration;

use agent::Firewall;
use agent::status::PortStatus;
use testkit::{Delivery, Outcome, Pace, Sniffer, Steady, Stream, Vm, Way, eventually};

use crate::node::PATIENCE;
use crate::node::scene::{
    CLIENTS, ECHO, NEVER, SERVERS, SOON, Scene, Wiring, device, plugged_as, port, unique,
};

/// A rule of somebody else.
const FOREIGN: &str = "-A FORWARD -s 192.0.2.1/32 -j DROP";

/// How long all machines may take to move; with the kernel's datapath an emulated processor does it.
const LONG: Duration = Duration::from_secs(120);

/// A thousand datagrams a second.
const FAST: Pace =
    Pace { messages: 3_600_000, every: Duration::from_millis(1), grace: Duration::from_millis(10) };

/// How many pings a move may cost.
const LOST: usize = 3;

/// A server, a client and a stranger that move, and a server and a client by devices of other names,
/// which do not.
struct Moving {
    scene: Scene,
    firewall: Firewall,
    other_server: Vm,
    other_client: Vm,
}

impl Moving {
    fn start(firewall: Firewall, wiring: Wiring) -> Self {
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

    /// Whether so many pings may have been lost.
    fn may_lose(&self, lost: usize, moves: usize) -> bool {
        self.is_emulated() || lost <= LOST * moves
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
    fn wait_plugged(&self, kinds: [&str; 3]) {
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
    fn restart(&mut self, firewall: Firewall) {
        let note = ["get", "Bridge", "br-int", "external_ids:weir-firewall-driver"];
        let had = format!("{}\n", self.firewall);
        let switch = &self.scene.node.switch;
        eventually(PATIENCE, || switch.vsctl(&note).is_ok_and(|noted| noted == had)).unwrap();
        self.firewall = firewall;
        self.scene.node.stop_agent();
        self.scene.node.start_agent_with(firewall);
    }

    /// Whether nothing is left of Linux bridges and of what filtered there.
    fn has_no_linux_bridges(&self) -> bool {
        let names = self.scene.node.switch.namespace().interfaces().unwrap();
        let is_of_one = |name: &String| ["qbr", "qvb", "qvo"].iter().any(|it| name.starts_with(it));
        let netfilter = self.scene.netfilter();
        let is_ours = netfilter.contains("openvswi") || netfilter.contains("NIPv");
        !is_ours && !names.iter().any(is_of_one)
    }

    /// Whether the client gets through, and the stranger does not.
    fn check_filtered(&self) {
        assert_eq!(self.scene.answers(&self.scene.client, SOON), [true; 4]);
        assert_eq!(self.scene.answers(&self.scene.stranger, NEVER), [false; 4]);
    }
}

/// What the device is called by which machines are plugged in.
fn kind(firewall: Firewall) -> &'static str {
    if firewall == Firewall::OpenVswitch { "tap" } else { "qvo" }
}

/// What is on its way while machines move.
struct Traffic {
    stream: Stream,
    tcp: Steady,
    refused: Steady,
    heard: Sniffer,
    beside: Steady,
}

impl Traffic {
    fn start(moving: &Moving) -> Self {
        let Moving { scene, other_server, other_client, .. } = moving;
        let to = scene.server.v4(ECHO).unwrap();
        let pace = if moving.is_emulated() { Pace::HUNDRED_PER_SECOND } else { FAST };
        let heard = Sniffer::start(scene.server.namespace(), scene.server.device()).unwrap();
        Self {
            stream: scene.client.open_stream(scene.server.v6(ECHO).unwrap(), SOON).unwrap(),
            tcp: scene.client.steady_tcp(to, Pace::HUNDRED_PER_SECOND).unwrap(),
            refused: scene.stranger.steady_udp(to, pace).unwrap(),
            heard,
            beside: other_client
                .steady_udp(other_server.v4(ECHO).unwrap(), Pace::HUNDRED_PER_SECOND)
                .unwrap(),
        }
    }

    /// It has gone on, and what is refused never got through.
    fn check(mut self, moving: &Moving) {
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
fn pinged(moving: &mut Moving, work: impl FnOnce(&mut Moving)) -> Delivery {
    let to = moving.scene.server.v4(ECHO).unwrap().ip();
    let pings = moving.other_client.steady_ping(to, Pace::HUNDRED_PER_SECOND).unwrap();
    eventually(PATIENCE, || pings.sent() > 10).unwrap();
    work(moving);
    let sent = pings.sent();
    eventually(PATIENCE, || pings.sent() > sent + 10).unwrap();
    pings.stop()
}

/// Moves all machines, one firewall after the other, under traffic.
fn moves(wiring: Wiring, firewalls: &[Firewall]) {
    let before = match wiring {
        Wiring::BehindBridge => Firewall::IptablesHybrid,
        Wiring::Direct => Firewall::OpenVswitch,
    };
    let mut moving = Moving::start(before, wiring);
    let numbers: Vec<_> = moving.ports().into_iter().map(|port| (port.id, port.ofport)).collect();
    let traffic = Traffic::start(&moving);
    let mut lost = Vec::new();
    for firewall in firewalls {
        lost.push(pinged(&mut moving, |moving| moving.go(*firewall)).lost);
        assert_eq!(moving.scene.answers(&moving.scene.client, SOON), [true; 4]);
        let now = moving.ports().into_iter().map(|port| (port.id, port.ofport));
        assert_eq!(now.collect::<Vec<_>>(), numbers);
    }
    moving.check_filtered();
    traffic.check(&moving);
    println!("pings lost by each of {} moves: {lost:?}", lost.len());
    assert!(moving.may_lose(lost.iter().sum(), lost.len()), "{lost:?}");
}

#[test]
fn running_machines_leave_their_linux_bridges_and_come_back() {
    moves(Wiring::BehindBridge, &[Firewall::OpenVswitch, Firewall::IptablesHybrid]);
}

#[test]
fn running_machines_go_behind_linux_bridges_and_come_back() {
    moves(Wiring::Direct, &[Firewall::IptablesHybrid, Firewall::OpenVswitch]);
}

#[test]
fn they_move_again_and_again() {
    let there_and_back = [Firewall::OpenVswitch, Firewall::IptablesHybrid];
    moves(Wiring::BehindBridge, &there_and_back.repeat(10));
}

/// The machine that cannot move stays as it was, and says why; the others move.
fn stays(moving: &mut Moving, firewall: Firewall, kind: &str, says: &str) {
    let mut stream = {
        let Scene { client, server, .. } = &moving.scene;
        client.open_stream(server.v4(ECHO).unwrap(), SOON).unwrap()
    };
    let devices = moving.scene.node.switch.namespace().interfaces().unwrap();
    let is_of_it = |name: &&String| name.ends_with(&device("", 1));
    let of_it: Vec<&String> = devices.iter().filter(is_of_it).collect();
    let pings = pinged(moving, |moving| {
        moving.restart(firewall);
        moving.scene.node.wait_within(LONG, "it says why", |status| {
            let mut ports = status.ports.iter();
            ports.any(|port| {
                let warns = port.warnings.iter().any(|warning| warning.contains(says));
                port.id == unique(1) && port.interface == device(kind, 1) && port.up && warns
            })
        });
        moving.scene.node.wait_within(LONG, "the others have moved", |status| {
            let other = if kind == "tap" { "qvo" } else { "tap" };
            let is_there = |n: u32| {
                let mut ports = status.ports.iter();
                ports.any(|it| it.id == unique(n) && it.up && it.interface == device(other, n))
            };
            [2, 3].into_iter().all(is_there)
        });
    });
    assert!(moving.may_lose(pings.lost, 1), "{pings:?}");
    let now = moving.scene.node.switch.namespace().interfaces().unwrap();
    let now: Vec<&String> = now.iter().filter(is_of_it).collect();
    assert_eq!(now, of_it);
    assert_eq!(stream.exchange(SOON), Outcome::Reached);
    moving.check_filtered();
}

#[test]
fn where_a_name_is_taken_the_machine_stays_as_it_is() {
    let mut moving = Moving::start(Firewall::OpenVswitch, Wiring::Direct);
    // One that nothing is joined to would be what is left of a move.
    let taken = device("qbr", 1);
    moving.scene.run(&format!("ip link add name {taken} type bridge"));
    moving.scene.run(&format!("ip link add name near master {taken} type veth peer name far"));
    stays(&mut moving, Firewall::IptablesHybrid, "tap", &taken);
}

#[test]
fn where_the_switch_has_such_a_port_the_machine_stays_as_it_is() {
    let mut moving = Moving::start(Firewall::OpenVswitch, Wiring::Direct);
    let taken = device("qvo", 1);
    let patch = ["set", "Interface", &taken, "type=patch", "options:peer=nowhere"];
    let add = [&["add-port", "br-phys", &taken, "--"], &patch[..]].concat();
    moving.scene.node.switch.vsctl(&add).unwrap();
    stays(&mut moving, Firewall::IptablesHybrid, "tap", &taken);
}

#[test]
fn where_the_switch_has_such_a_port_the_machine_stays_behind_its_linux_bridge() {
    let mut moving = Moving::start(Firewall::IptablesHybrid, Wiring::BehindBridge);
    let taken = device("tap", 1);
    let patch = ["set", "Interface", &taken, "type=patch", "options:peer=nowhere"];
    let add = [&["add-port", "br-phys", &taken, "--"], &patch[..]].concat();
    moving.scene.node.switch.vsctl(&add).unwrap();
    stays(&mut moving, Firewall::OpenVswitch, "qvo", &taken);
}

#[test]
fn a_port_keeps_the_driver_that_somebody_has_given_it() {
    let mut moving = Moving::start(Firewall::OpenVswitch, Wiring::Direct);
    let traffic = Traffic::start(&moving);
    let migrate = |moving: &Moving, to, ports: &[String]| moving.scene.node.migrate(to, ports);
    let error = migrate(&moving, "iptables_hybrid", &["tap7".to_owned()]).unwrap_err();
    assert!(error.to_string().contains("'tap7'"), "{error}");
    let error = migrate(&moving, "noop", &[]).unwrap_err();
    assert!(error.to_string().contains("iptables_hybrid"), "{error}");

    let moves = migrate(&moving, "iptables_hybrid", &[unique(1), device("tap", 3)]).unwrap();
    let ids: Vec<&str> = moves.iter().map(|it| it.port.as_str()).collect();
    assert_eq!(ids, [unique(1), unique(3)]);
    moving.wait_plugged(["qvo", "tap", "qvo"]);
    moving.check_filtered();
    // It cannot be, and says so.
    let moves = migrate(&moving, "iptables_hybrid", &[unique(4)]).unwrap();
    assert_eq!(moves.len(), 1);
    moving.scene.node.wait("it says why", |status| {
        let says = "it could not be moved to iptables_hybrid: its interface is machine4";
        status.ports.iter().any(|port| port.warnings.iter().any(|it| it.starts_with(says)))
    });

    moving.restart(Firewall::OpenVswitch);
    moving.scene.node.wait_up(5);
    moving.wait_plugged(["qvo", "tap", "qvo"]);
    moving.check_filtered();
    // The others move with the node.
    moving.restart(Firewall::IptablesHybrid);
    moving.wait_plugged(["qvo"; 3]);
    moving.restart(Firewall::OpenVswitch);
    moving.wait_plugged(["qvo", "tap", "qvo"]);
    moving.check_filtered();
    migrate(&moving, "openvswitch", &[]).unwrap();
    moving.wait_plugged(["tap"; 3]);
    eventually(LONG, || moving.has_no_linux_bridges()).unwrap();
    moving.check_filtered();
    traffic.check(&moving);
}

#[test]
fn what_an_agent_has_left_that_was_killed_is_ended() {
    let mut moving = Moving::start(Firewall::IptablesHybrid, Wiring::BehindBridge);
    let tap = device("tap", 1);
    moving.scene.node.stop_agent();
    // It had taken the device out of one place, and had not put it into the other.
    moving.scene.run(&format!("ip link set dev {tap} nomaster"));
    moving.scene.node.start_agent();
    let answers = |moving: &Moving| moving.scene.answers(&moving.scene.client, SOON);
    eventually(LONG, || answers(&moving) == [true; 4]).unwrap();
    moving.wait_plugged(["qvo"; 3]);
    moving.check_filtered();

    // The same in the middle of a move.
    moving.restart(Firewall::OpenVswitch);
    moving.scene.node.stop_agent();
    moving.scene.node.start_agent();
    moving.wait_plugged(["tap"; 3]);
    eventually(LONG, || moving.has_no_linux_bridges()).unwrap();
    moving.check_filtered();

    // It had made a Linux bridge, and had not used it.
    let [qbr, qvb, qvo] = ["qbr", "qvb", "qvo"].map(|kind| device(kind, 1));
    moving.scene.node.stop_agent();
    moving.scene.run(&format!("ip link add name {qbr} type bridge"));
    moving.scene.run(&format!("ip link add name {qvb} master {qbr} type veth peer name {qvo}"));
    moving.scene.node.start_agent();
    eventually(LONG, || moving.has_no_linux_bridges()).unwrap();
    moving.check_filtered();
}
