//! Virtual machines of the kit: they reach each other as the flows say, and tell truly.
#![expect(clippy::unwrap_used, reason = "a test may panic, also in what its tests share")]

use std::time::Duration;

use testkit::{
    Namespace, Nic, Outcome, PATIENCE, Pace, Probe, Question, Switch, Vm, probe_all,
    remove_leftovers,
};

const WAIT: Duration = Duration::from_secs(5);

struct Pair {
    a: Vm,
    b: Vm,
    switch: Switch,
}

fn nic(number: u8) -> Nic {
    Nic {
        mac: Some(format!("02:00:00:00:00:{number:02x}")),
        addresses: vec![
            format!("192.0.2.{number}/24").parse().unwrap(),
            format!("2001:db8::{number}/64").parse().unwrap(),
        ],
        ..Nic::default()
    }
}

/// Two machines on a bridge that forwards everything; b serves port 7 by TCP and UDP.
fn pair() -> Pair {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br0").unwrap();
    let a = Vm::plugged(&switch, "br0", "a", &nic(1)).unwrap();
    let b = Vm::plugged(&switch, "br0", "b", &nic(2)).unwrap();
    b.listen_tcp(7).unwrap();
    b.listen_udp(7).unwrap();
    open(&switch);
    Pair { a, b, switch }
}

fn open(switch: &Switch) {
    switch.ofctl(&["add-flow", "br0", "actions=NORMAL"]).unwrap();
    switch.settle().unwrap();
}

fn shut(switch: &Switch) {
    switch.ofctl(&["del-flows", "br0"]).unwrap();
    switch.settle().unwrap();
}

/// Everything that a can ask b, on a served and on an unserved port, in both families.
fn questions(Pair { a, b, .. }: &Pair) -> Vec<Probe<'_>> {
    let addresses = [b.v4(7).unwrap(), b.v6(7).unwrap()];
    let questions = addresses.into_iter().flat_map(|served| {
        let mut unserved = served;
        unserved.set_port(8);
        [
            Question::Ping(served.ip()),
            Question::Tcp(served),
            Question::Udp(served),
            Question::Tcp(unserved),
            Question::Udp(unserved),
        ]
    });
    questions.map(|question| Probe { from: a, question }).collect()
}

#[test]
fn flows_decide_who_is_reached() {
    let pair = pair();
    let as_served = {
        use Outcome::{Reached, Refused};
        [Reached, Reached, Reached, Refused, Refused].repeat(2)
    };
    assert_eq!(probe_all(&questions(&pair)), as_served);

    shut(&pair.switch);
    assert_eq!(probe_all(&questions(&pair)), [Outcome::Filtered; 10]);

    open(&pair.switch);
    assert_eq!(probe_all(&questions(&pair)), as_served);
}

#[test]
fn many_ports_are_served_and_probed_at_once() {
    let pair = pair();
    for port in 1000..1300 {
        pair.b.listen_tcp(port).unwrap();
    }
    let probes: Vec<Probe<'_>> = (1000..1300)
        .map(|port| Probe { from: &pair.a, question: Question::Tcp(pair.b.v4(port).unwrap()) })
        .collect();
    let outcomes = testkit::probe_all_within(&probes, WAIT);
    assert_eq!(outcomes, vec![Outcome::Reached; 300]);
}

#[test]
fn an_open_connection_falls_silent_and_comes_back() {
    let Pair { a, b, switch } = pair();
    let mut stream = a.open_stream(b.v4(7).unwrap(), WAIT).unwrap();
    assert_eq!(stream.exchange(WAIT), Outcome::Reached);
    shut(&switch);
    assert_eq!(stream.exchange(PATIENCE), Outcome::Filtered);
    open(&switch);
    assert_eq!(stream.exchange(WAIT), Outcome::Reached);
    drop(b);
    assert_ne!(stream.exchange(PATIENCE), Outcome::Reached);
}

#[test]
fn a_steady_stream_counts_what_is_lost() {
    let Pair { a, b, switch } = pair();
    let pace =
        Pace { messages: 100, every: Duration::from_millis(5), grace: Duration::from_millis(200) };
    let to = b.v4(7).unwrap();
    let [udp, tcp] = [a.steady_udp(to, pace), a.steady_tcp(to, pace)];
    for steady in [udp, tcp, a.steady_ping(to.ip(), pace)].map(Result::unwrap) {
        let delivery = steady.finish();
        assert_eq!((delivery.sent, delivery.lost), (100, 0), "{delivery:?}");
        assert!(!delivery.slowest.is_zero());
    }

    let endless = Pace { messages: 100_000, ..pace };
    let steady = a.steady_udp(to, endless).unwrap();
    shut(&switch);
    assert_eq!(a.ask_udp(to, PATIENCE), Outcome::Filtered);
    let delivery = steady.stop();
    assert!(delivery.lost > 0 && delivery.sent < 1000, "{delivery:?}");
}

#[test]
fn a_machine_without_route_says_so() {
    let Pair { a, .. } = pair();
    let nowhere = "198.51.100.1:7".parse().unwrap();
    assert!(matches!(a.connect_tcp(nowhere, PATIENCE), Outcome::Failed(_)));
    assert!(matches!(a.ask_udp(nowhere, PATIENCE), Outcome::Failed(_)));
    assert!(matches!(a.ping(nowhere.ip(), PATIENCE), Outcome::Failed(_)));
}

#[test]
fn an_interface_made_by_somebody_else_can_be_adopted() {
    let Pair { a, switch, .. } = pair();
    let namespace = Namespace::create("c").unwrap();
    let add = format!("link add name c type veth peer name tap0 netns {}", namespace.name());
    switch.namespace().ip(&add).unwrap();
    switch.namespace().ip("link set dev c up").unwrap();
    switch.vsctl(&["add-port", "br0", "c"]).unwrap();
    assert_eq!(namespace.interfaces().unwrap(), ["tap0"]);
    let c = Vm::adopt(namespace, "tap0", &nic(3)).unwrap();
    assert_eq!(a.ping(c.v4(0).unwrap().ip(), WAIT), Outcome::Reached);
    assert_eq!(a.ping(c.v6(0).unwrap().ip(), WAIT), Outcome::Reached);
}

#[test]
fn netfilter_sees_what_passes_a_linux_bridge() {
    let Pair { a, b, switch } = pair();
    let c = Vm::behind_bridge(&switch, "12345678-9a", &nic(3)).unwrap();
    switch.vsctl(&["add-port", "br0", "qvo12345678-9a"]).unwrap();
    let to = |vm: &Vm| [vm.v4(0).unwrap().ip(), vm.v6(0).unwrap().ip()];
    for address in to(&c) {
        assert_eq!(a.ping(address, WAIT), Outcome::Reached, "{address}");
    }
    let rule = |program: &str, verb: &str, way: &str| {
        let mut command = switch.namespace().command(program);
        command.args([verb, "FORWARD", "-m", "physdev", way, "tap12345678-9a"]);
        let output = command.args(["--physdev-is-bridged", "-j", "DROP"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    for way in ["--physdev-in", "--physdev-out"] {
        for program in ["iptables", "ip6tables"] {
            rule(program, "-A", way);
        }
        for address in to(&c) {
            assert_eq!(a.ping(address, PATIENCE), Outcome::Filtered, "{way} {address}");
        }
        for address in to(&b) {
            assert_eq!(a.ping(address, WAIT), Outcome::Reached, "others are no matter: {address}");
        }
        for program in ["iptables", "ip6tables"] {
            rule(program, "-D", way);
        }
    }
    for address in to(&c) {
        assert_eq!(a.ping(address, WAIT), Outcome::Reached, "{address}");
    }
}

#[test]
fn a_dropped_machine_leaves_no_namespace_and_no_interface() {
    let Pair { a, b, switch } = pair();
    let path = a.namespace().path();
    assert!(path.exists());
    assert!(switch.namespace().ip("link show dev a").is_ok());
    drop((a, b));
    assert!(!path.exists());
    testkit::eventually(WAIT, || switch.namespace().ip("link show dev a").is_err()).unwrap();
}

#[test]
fn only_what_the_dead_left_is_removed() {
    let ours = Namespace::create("ours").unwrap();
    // No process has this number: it is beyond what the kernel gives (at most 2^22).
    let dead = std::path::Path::new("/tmp/weirkit-99999999-0");
    std::fs::create_dir_all(dead).unwrap();
    remove_leftovers().unwrap();
    assert!(!dead.exists());
    assert!(ours.path().exists());
}
