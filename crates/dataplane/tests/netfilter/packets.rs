//! Packets between machines behind Linux bridges, and to the host.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use dataplane::hybrid::{Netfilter, Node, desired};
use model::HybridDevices;
use policy::{Member, Members};
use testkit::{Nic, Outcome, Probe, Question, Switch, Vm, probe_all_within};

use crate::sample::{group, group_id, mac, node, port, port_id, prefix};
use crate::tools::{FORMS, Tools};

const WAIT: Duration = Duration::from_millis(1500);

/// Machines 1 to 3, each behind its bridge, on one switch that lets everything pass.
struct Host {
    switch: Switch,
    vms: Vec<Vm>,
}

impl Host {
    fn start() -> Self {
        let switch = Switch::start().unwrap();
        switch.add_bridge("br-int").unwrap();
        switch.ofctl(&["add-flow", "br-int", "actions=NORMAL"]).unwrap();
        let vms = (1..=3).map(|number| Self::plug(&switch, number)).collect();
        Self { switch, vms }
    }

    fn plug(switch: &Switch, number: u8) -> Vm {
        let devices = HybridDevices::of(port_id(number));
        let nic = Nic {
            mac: Some(mac(number).to_string()),
            addresses: vec![
                format!("10.0.0.{number}/24").parse().unwrap(),
                format!("fd00::{number}/64").parse().unwrap(),
            ],
            ..Nic::default()
        };
        let suffix = devices.tap.strip_prefix("tap").unwrap();
        let vm = Vm::behind_bridge(switch, suffix, &nic).unwrap();
        switch.vsctl(&["add-port", "br-int", &devices.qvo]).unwrap();
        for port in [22, 80, 81] {
            vm.listen_tcp(port).unwrap();
        }
        vm
    }

    fn tools(&self, form: &'static str) -> Tools<'_> {
        Tools { namespace: self.switch.namespace(), form }
    }

    fn vm(&self, number: u8) -> &Vm {
        self.vms.get(usize::from(number) - 1).unwrap()
    }

    /// What comes of connections, all at once: from one machine to a port of another, with IPv4 and
    /// with IPv6.
    fn tcp<const N: usize>(&self, asked: [(u8, u8, u16); N]) -> [[Outcome; 2]; N] {
        let probe = |(from, to, port)| {
            let (from, to): (&Vm, &Vm) = (self.vm(from), self.vm(to));
            let to = [to.v4(port).unwrap(), to.v6(port).unwrap()];
            to.map(|to| Probe { from, question: Question::Tcp(to) })
        };
        let outcomes = probe_all_within(asked.map(probe).as_flattened(), WAIT);
        let outcomes: Vec<[Outcome; 2]> =
            outcomes.chunks(2).map(|both| both.try_into().unwrap()).collect();
        outcomes.try_into().unwrap()
    }

    fn ping(&self, from: u8, to: &str) -> Outcome {
        self.vm(from).ping(to.parse::<IpAddr>().unwrap(), WAIT)
    }
}

const REACHED: Outcome = Outcome::Reached;
const FILTERED: Outcome = Outcome::Filtered;
const PASSED: [Outcome; 2] = [REACHED; 2];
const REFUSED: [Outcome; 2] = [FILTERED; 2];

/// Machine 1 serves the members of group 2, of which machine 2 is one and machine 3 is not.
fn serving(member: Member) -> Node {
    let egress = "egress IPv4 anybody any\negress IPv6 anybody any\n";
    let server = "ingress IPv4 group:2 tcp 80\ningress IPv6 group:2 tcp 80\n\
                  ingress IPv4 anybody icmp\ningress IPv4 group:2 udp 80";
    let groups = [group(1, server), group(2, egress), group(3, egress)];
    let mut node = node([port(1, &[1]), port(2, &[2]), port(3, &[3])], groups);
    let members = [member, Member::new(prefix("fd00::2"), None)].into_iter().collect();
    node.members = Members { groups: BTreeMap::from([(group_id(2), members)]), ..node.members };
    node
}

/// Whether machine 1 answers a datagram from this address.
fn is_answered(source: IpAddr) -> bool {
    let socket = UdpSocket::bind((source, 0)).unwrap();
    socket.connect("10.0.0.1:80").unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    socket.send(b"who am I?").unwrap();
    socket.recv(&mut [0; 64]).is_ok()
}

#[test]
fn rules_decide() {
    let host = Host::start();
    // A test of the test: nothing is filtered, and everything passes.
    assert_eq!(host.tcp([(3, 1, 81)]), [PASSED]);
    for form in FORMS {
        let tools = host.tools(form);
        let node = serving(Member::new(prefix("10.0.0.2"), None));
        for ipset in [true, false] {
            tools.apply(&desired(&Node { ipset, ..node.clone() }).netfilter);
            // A member to its port and to another one; who is no member; a member to another
            // machine; the server to a member.
            let asked = [(2, 1, 80), (2, 1, 81), (3, 1, 80), (2, 3, 80), (1, 2, 80)];
            let expected = [PASSED, REFUSED, REFUSED, REFUSED, REFUSED];
            assert_eq!(host.tcp(asked), expected, "{form}");
            assert_eq!(host.ping(3, "10.0.0.1"), REACHED);
            assert_eq!(host.ping(3, "fd00::1"), FILTERED);
        }
        tools.apply(&Netfilter::default());
        assert_eq!(host.tcp([(3, 1, 81)]), [PASSED], "{form}: nothing is left");
    }
}

#[test]
fn a_member_with_any_address_is_known_by_its_mac_address() {
    let host = Host::start();
    let any = |number| Member::new(prefix("0.0.0.0/0"), Some(mac(number)));
    for form in FORMS {
        let tools = host.tools(form);
        tools.apply(&desired(&serving(any(3))).netfilter);
        let [ipv4, ipv6] = [[REACHED, FILTERED], [FILTERED, REACHED]];
        assert_eq!(host.tcp([(3, 1, 80), (2, 1, 80)]), [ipv4, ipv6], "{form}");

        // The other way round, it is the destination.
        let mut node = serving(any(3));
        let to_group = group(1, "egress IPv4 group:2 tcp 80");
        let open = "ingress IPv4 anybody any\ningress IPv6 anybody any";
        for group in [to_group, group(2, open), group(3, open)] {
            node.groups.insert(group.id, group.into());
        }
        tools.apply(&desired(&node).netfilter);
        assert_eq!(host.tcp([(1, 3, 80), (1, 2, 80)]), [ipv4, REFUSED], "{form}");
        tools.apply(&Netfilter::default());
    }
}

#[test]
fn a_machine_is_who_it_is_and_reaches_its_host_by_its_rules() {
    let host = Host::start();
    let bridge = HybridDevices::of(port_id(2)).qbr;
    // Nobody gives this bridge an address; somebody might.
    host.switch.namespace().ip(&format!("addr add 10.0.0.99/24 dev {bridge}\n")).unwrap();
    let device = host.vm(2).device();
    host.vm(2).namespace().ip(&format!("addr add 10.0.0.77/24 dev {device}\n")).unwrap();
    host.vm(1).listen_udp(80).unwrap();
    let hears = |source: &str| {
        let source: IpAddr = source.parse().unwrap();
        host.vm(2).namespace().inside(|| is_answered(source)).unwrap()
    };
    assert!(hears("10.0.0.77"));
    assert_eq!(host.ping(2, "10.0.0.99"), REACHED);
    for form in FORMS {
        let tools = host.tools(form);
        let mut node = serving(Member::new(prefix("10.0.0.0/24"), None));
        tools.apply(&desired(&node).netfilter);
        assert_eq!(host.ping(2, "10.0.0.99"), REACHED, "{form}: a rule allows it");
        assert!(hears("10.0.0.2") && !hears("10.0.0.77"), "{form}");
        node.groups.insert(group_id(2), group(2, "egress IPv4 anybody udp 80").into());
        tools.apply(&desired(&node).netfilter);
        assert_eq!(host.ping(2, "10.0.0.99"), FILTERED, "{form}: no rule allows it");
        assert!(hears("10.0.0.2"), "{form}");
        tools.apply(&Netfilter::default());
    }
}
