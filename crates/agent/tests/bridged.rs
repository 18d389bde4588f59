//! What the agent says of netfilter and Linux bridges is what becomes of packets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use agent::bridged::{self, Unfiltered};
use testkit::frame::{self, number};
use testkit::{Nic, Outcome, PATIENCE, Sniffer, Switch, Vm, Wire, eventually};

const WAIT: Duration = Duration::from_secs(10);

fn nic(n: u8) -> Nic {
    let addresses = [format!("10.0.0.{n}/24"), format!("fd00::{n}/64")];
    Nic { addresses: addresses.map(|it| it.parse().unwrap()).into(), ..Nic::default() }
}

#[test]
fn a_machine_is_filtered_if_and_only_if_the_check_says_so() {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br0").unwrap();
    switch.ofctl(&["add-flow", "br0", "actions=NORMAL"]).unwrap();
    let one = Vm::plugged(&switch, "br0", "one", &nic(1)).unwrap();
    let two = Vm::behind_bridge(&switch, "2", &nic(2)).unwrap();
    switch.vsctl(&["add-port", "br0", "qvo2"]).unwrap();
    let addresses: Vec<IpAddr> = two.addresses().collect();
    for address in &addresses {
        assert_eq!(one.ping(*address, WAIT), Outcome::Reached);
    }
    for program in ["iptables", "ip6tables"] {
        let mut command = switch.namespace().command(program);
        let echo = if program == "iptables" { "icmp" } else { "icmpv6" };
        let name = format!("--{echo}-type");
        let rule = ["-A", "FORWARD", "-p", echo, &name, "echo-request", "-j", "DROP"];
        let output = command.args(rule).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    let set = |name: &str, value: &str| {
        let path = format!("/proc/sys/net/bridge/{name}");
        switch.namespace().inside(|| fs::write(path, value)).unwrap().unwrap();
    };
    let check = || switch.namespace().inside(bridged::check).unwrap();
    let names = ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"];
    for off in [&[][..], &names[..1], &names[1..], &names[..]] {
        for name in names {
            set(name, if off.contains(&name) { "0" } else { "1" });
        }
        let expected = if off.is_empty() { Ok(()) } else { Err(Unfiltered::Off(off.to_vec())) };
        assert_eq!(check(), expected);
        for (name, address) in names.iter().zip(&addresses) {
            let passes = off.contains(name);
            let (outcome, patience) = match passes {
                true => (Outcome::Reached, WAIT),
                false => (Outcome::Filtered, PATIENCE),
            };
            assert_eq!(one.ping(*address, patience), outcome, "{off:?}: {address}");
        }
    }
}

/// Why flows let no frame with a tag pass at a port that netfilter filters.
#[test]
fn netfilter_does_not_see_what_is_in_a_frame_with_a_tag() {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br0").unwrap();
    switch.ofctl(&["add-flow", "br0", "actions=NORMAL"]).unwrap();
    let one = Wire::cabled(&switch, "tap1", "02:00:00:00:00:01").unwrap();
    switch.add_linux_bridge("1", None).unwrap();
    switch.vsctl(&["add-port", "br0", "qvo1"]).unwrap();
    let mut command = switch.namespace().command("iptables");
    let output = command.args(["-A", "FORWARD", "-j", "DROP"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");

    let udp = frame::udp(1, 2, b"x");
    let (from, to) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let packet = frame::ip(from, to, number::UDP, &udp);
    let plain = frame::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], number::IPV4, &packet);
    let beyond = Sniffer::start(switch.namespace(), "qvo1").unwrap();
    let count = || beyond.seen().len();
    one.send(&plain).unwrap();
    one.send(&frame::tagged(0, &plain)).unwrap();
    // They keep their order, so the first is not to come.
    eventually(WAIT, || count() > 0).unwrap();
    one.send(&frame::tagged(0, &plain)).unwrap();
    eventually(WAIT, || count() > 1).unwrap();
    assert_eq!(count(), 2);
}
