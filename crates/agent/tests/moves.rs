//! What may happen to machines that move between a Linux bridge of their own and none: they move again
//! and again, cannot move, move because somebody wants it, or an agent is killed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use agent::Firewall;
use testkit::{Outcome, eventually};

use crate::node::moving::{LONG, Moving, Traffic, moves, pinged};
use crate::node::scene::{ECHO, SOON, Scene, Wiring, device, unique};

#[test]
fn running_machines_leave_their_linux_bridges_and_come_back() {
    moves(Wiring::BehindBridge, &[Firewall::OpenVswitch, Firewall::IptablesHybrid]);
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
    assert!(moving.may_lose(pings.lost), "{pings:?}");
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
