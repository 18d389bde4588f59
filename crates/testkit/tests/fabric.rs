//! Hosts of the kit: their wires carry VLANs and tunnels, and sniffers tell which.
#![expect(clippy::unwrap_used, reason = "a test may panic, also in what its tests share")]

use std::{
    collections::BTreeSet,
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use testkit::{Fabric, Nic, Outcome, Pace, Sniffer, Switch, Underlay, Vm, Way, eventually, frame};

const WAIT: Duration = Duration::from_secs(10);

/// A host with a bridge `br0` that forwards everything.
fn host() -> Switch {
    let host = Switch::start().unwrap();
    host.add_bridge("br0").unwrap();
    host.ofctl(&["add-flow", "br0", "actions=NORMAL"]).unwrap();
    host
}

fn nic(number: u8) -> Nic {
    Nic {
        mac: Some(format!("02:00:00:00:00:{number:02x}")),
        addresses: vec![format!("10.0.0.{number}/24").parse().unwrap()],
        ..Nic::default()
    }
}

fn address(vm: &Vm) -> IpAddr {
    vm.addresses().next().unwrap()
}

/// What left by the interface so far, each kind once, without what kernels say of themselves
/// where they have IPv6.
fn sent(sniffer: &Sniffer) -> BTreeSet<frame::Read> {
    let seen = sniffer.seen();
    let out = seen.iter().filter(|sighting| sighting.way == Way::Out);
    let frames = out.filter_map(|sighting| frame::read(&sighting.frame));
    frames
        .filter(|frame| frame.ethertype != frame::number::IPV6 || frame.tunnelled.is_some())
        .collect()
}

#[test]
fn a_cable_carries_from_the_first_frame() {
    let fabric = Fabric::start().unwrap();
    let hosts = [Switch::start().unwrap(), Switch::start().unwrap()];
    fabric.trunk(&hosts[0], "wire").unwrap();
    let heard = Sniffer::start(hosts[0].namespace(), "wire").unwrap();
    for number in 0..20 {
        let wire = format!("wire{number}");
        fabric.trunk(&hosts[1], &wire).unwrap();
        // A broadcast asks nobody for an address first.
        let add = format!("address add 10.0.{number}.1/24 dev {wire}\n");
        hosts[1].namespace().ip(&add).unwrap();
        let say = || {
            let socket = UdpSocket::bind(("0.0.0.0", 0))?;
            socket.set_broadcast(true)?;
            socket.send_to(wire.as_bytes(), (format!("10.0.{number}.255"), 7))
        };
        hosts[1].namespace().inside(say).unwrap().unwrap();
        let arrived = || heard.seen().iter().any(|it| it.frame.ends_with(wire.as_bytes()));
        eventually(WAIT, arrived).unwrap_or_else(|_| panic!("{wire} carried nothing"));
    }
}

#[test]
fn a_trunk_carries_vlans_and_keeps_them_apart() {
    let fabric = Fabric::start().unwrap();
    let hosts = [host(), host(), host()];
    // On each host one machine of VLAN 10 and one of VLAN 20, with the same addresses in both.
    let vms: Vec<[Vm; 2]> = (1..)
        .zip(&hosts)
        .map(|(number, host)| {
            fabric.trunk(host, "trunk").unwrap();
            host.vsctl(&["add-port", "br0", "trunk"]).unwrap();
            [10, 20].map(|vlan| {
                let port = format!("vm{vlan}");
                let vm = Vm::plugged(host, "br0", &port, &nic(number)).unwrap();
                host.vsctl(&["set", "port", &port, &format!("tag={vlan}")]).unwrap();
                vm
            })
        })
        .collect();
    let [wire, port] = ["trunk", "vm20"].map(|device| {
        let sniffer = Sniffer::start(hosts[0].namespace(), device);
        sniffer.unwrap()
    });

    assert_eq!(vms[0][0].ping(address(&vms[1][0]), WAIT), Outcome::Reached);
    let vlans = |frames: &BTreeSet<frame::Read>| -> BTreeSet<Vec<u16>> {
        frames.iter().map(|frame| frame.vlans.clone()).collect()
    };
    let from = address(&vms[0][0]);
    let is_request = |frame: &frame::Read| frame.addresses.is_some_and(|it| it.0 == from);
    eventually(WAIT, || sent(&wire).iter().any(is_request)).unwrap();
    let seen = sent(&wire);
    assert_eq!(vlans(&seen), BTreeSet::from([vec![10]]), "{seen:?}");
    assert_eq!(sent(&port), BTreeSet::new(), "a frame of VLAN 10");

    for to in [&vms[1][1], &vms[2][1]] {
        assert_eq!(vms[0][1].ping(address(to), WAIT), Outcome::Reached);
    }
    let both = BTreeSet::from([vec![10], vec![20]]);
    eventually(WAIT, || vlans(&sent(&wire)) == both).unwrap();
    assert!(wire.stop().iter().any(|sighting| sighting.way == Way::In));
    eventually(WAIT, || !sent(&port).is_empty()).expect("the replies");
}

#[test]
fn tunnels_of_every_type_join_two_hosts_over_both_families() {
    const NETWORK: u32 = 0x01_0203;
    let fabric = Fabric::start().unwrap();
    let hosts = [host(), host()];
    let underlays = [Underlay::of_host(1), Underlay::of_host(2)];
    let mut vms = Vec::new();
    for ((number, host), underlay) in (1..).zip(&hosts).zip(&underlays) {
        fabric.underlay(host, underlay).unwrap();
        vms.push(Vm::plugged(host, "br0", "vm", &nic(number)).unwrap());
    }
    let families = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
    for family in families {
        for kind in ["vxlan", "gre", "geneve"] {
            for (host, [own, other]) in hosts.iter().zip([[0, 1], [1, 0]]) {
                let [own, other] = [own, other].map(|host| underlays[host].address(family));
                host.vsctl(&[
                    "add-port",
                    "br0",
                    "tunnel",
                    "--",
                    "set",
                    "interface",
                    "tunnel",
                    &format!("type={kind}"),
                    &format!("options:local_ip=\"{}\"", own.unwrap()),
                    &format!("options:remote_ip=\"{}\"", other.unwrap()),
                    &format!("options:key={NETWORK}"),
                ])
                .unwrap();
            }
            let wire = Sniffer::start(hosts[0].namespace(), &underlays[0].wire).unwrap();
            let outcome = vms[0].ping(address(&vms[1]), WAIT);
            assert_eq!(outcome, Outcome::Reached, "{kind} over {family}");
            let mut seen = BTreeSet::new();
            eventually(WAIT, || {
                seen = sent(&wire);
                seen.retain(|frame| frame.tunnelled.is_some());
                !seen.is_empty()
            })
            .unwrap();
            let tunnels: BTreeSet<_> = seen
                .iter()
                .map(|frame| {
                    let tunnelled = frame.tunnelled.as_ref().unwrap();
                    (frame.addresses.unwrap().0, tunnelled.kind, tunnelled.id)
                })
                .collect();
            let own = underlays[0].address(family).unwrap();
            assert_eq!(tunnels, BTreeSet::from([(own, kind, Some(NETWORK))]), "{seen:?}");
            for host in &hosts {
                host.vsctl(&["del-port", "tunnel"]).unwrap();
            }
        }
    }
}

/// The kernel of a host sees what comes in by its wires, beside the switch. It must not answer there
/// for an address that is elsewhere: who asks would send to a wire that leads nowhere.
#[test]
fn only_the_bridge_with_an_address_answers_for_it() {
    let fabric = Fabric::start().unwrap();
    let hosts = [host(), host()];
    let underlays = [Underlay::of_host(1), Underlay::of_host(2)];
    for (host, underlay) in hosts.iter().zip(&underlays) {
        fabric.trunk(host, "trunk").unwrap();
        host.vsctl(&["add-port", "br0", "trunk"]).unwrap();
        fabric.underlay(host, underlay).unwrap();
    }
    let [asking, answering] = hosts.each_ref().map(Switch::namespace);
    let wires = ["trunk", "ul"].map(|wire| Sniffer::start(answering, wire).unwrap());
    let to = (underlays[1].addresses[0].addr(), 9);
    let ask = || UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(&[0], to));
    asking.inside(ask).unwrap().unwrap();

    let is_answer =
        |frame: &frame::Read| frame.ethertype == frame::number::ARP && !frame.is_group();
    let answers = |wire: &Sniffer| sent(wire).into_iter().filter(is_answer).collect::<Vec<_>>();
    let mac = hosts[1].vsctl(&["get", "interface", "br-ul", "mac_in_use"]).unwrap();
    let is_right =
        |answer: &frame::Read| answer.to_string().starts_with(mac.trim().trim_matches('"'));
    eventually(WAIT, || answers(&wires[1]).iter().any(is_right)).unwrap();
    let [trunk, underlay] = wires.each_ref().map(answers);
    assert!(trunk.is_empty() && underlay.iter().all(is_right), "{trunk:?} {underlay:?}");
}

#[test]
fn an_underlay_outlives_the_switch_process() {
    let fabric = Fabric::start().unwrap();
    let hosts = [host(), host()];
    let underlays = [Underlay::of_host(1), Underlay::of_host(2)];
    let vms: Vec<Vm> = (1..)
        .zip(&hosts)
        .map(|(number, host)| {
            let underlay = &underlays[usize::from(number) - 1];
            fabric.underlay(host, underlay).unwrap();
            let remote = underlays[2 - usize::from(number)].addresses[0].addr();
            let remote = format!("options:remote_ip={remote}");
            let set = ["set", "interface", "tunnel", "type=vxlan", &remote];
            host.vsctl(&[&["add-port", "br0", "tunnel", "--"], &set[..]].concat()).unwrap();
            Vm::plugged(host, "br0", "vm", &nic(number)).unwrap()
        })
        .collect();
    vms[1].listen_udp(7).unwrap();
    assert_eq!(vms[0].ping(address(&vms[1]), WAIT), Outcome::Reached);
    let steady = vms[0].steady_udp(vms[1].v4(7).unwrap(), Pace::HUNDRED_PER_SECOND).unwrap();

    let killed = std::time::Instant::now();
    hosts[0].kill_vswitchd();
    hosts[0].start_vswitchd().unwrap();
    hosts[0].ofctl(&["add-flow", "br0", "actions=NORMAL"]).unwrap();
    let reached = vms[0].ask_udp(vms[1].v4(7).unwrap(), WAIT);
    let back = std::time::Instant::now();
    assert_eq!(reached, Outcome::Reached);
    let delivery = steady.stop();
    assert!(delivery.lost > 0, "{delivery}");
    assert_eq!(delivery.lost_outside(&[killed..=back]), 0, "{delivery}");
}
