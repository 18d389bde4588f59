//! The chains of Weir's `iptables_hybrid` and those of Neutron's own driver decide alike: random
//! ports, groups and members are given to both, and packets to the chains of both. What differs on
//! purpose (`docs/hybrid.md`) is not among them.

mod chains;
mod node;

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use dataplane::hybrid::verdict::{Header, Packet, State, Verdict, verdict};
use dataplane::hybrid::{Node, Port, desired};
use model::{Direction, HybridDevices, IpProtocol, MacAddr, SecurityGroup};
use policy::{L4, atoms};
use serde_json::Value;

use self::chains::Chains;
use self::node::{Random, mac};
use crate::cloud::programs;

/// How many nodes are compared.
const NODES: u64 = 240;
/// Of how many nodes one gets all of the packets that are treated by themselves, which are many.
const THOROUGH: usize = 10;

/// What Neutron's driver makes of the nodes.
fn neutron(nodes: &[Value]) -> Vec<Chains> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/neutron/netfilter/driver.py");
    let mut child = Command::new(programs("neutron").join("python"))
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = serde_json::to_vec(nodes).unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(&input));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A packet of the port: the addresses are its own end and the other one.
fn packet(
    port: &Port,
    direction: Direction,
    [own, remote]: [IpAddr; 2],
    own_mac: MacAddr,
    (protocol, header): (IpProtocol, Header),
) -> Packet {
    let devices = HybridDevices::of(port.port.id);
    let (input, output, source, destination, macs) = match direction {
        Direction::Ingress => (devices.qvb, devices.tap, remote, own, [mac(99), own_mac]),
        Direction::Egress => (devices.tap, devices.qvb, own, remote, [own_mac, mac(99)]),
    };
    Packet {
        input,
        output: Some(output),
        source_mac: macs[0],
        destination_mac: macs[1],
        source,
        destination,
        protocol,
        header,
        state: State::New,
    }
}

/// Packets that rules tell apart.
fn by_rules(node: &Node, port: &Port, packets: &mut Vec<Packet>) {
    let groups: Vec<&SecurityGroup> =
        port.port.groups.iter().map(|id| Arc::as_ref(&node.groups[id])).collect();
    for direction in [Direction::Ingress, Direction::Egress] {
        let policy = policy::compile(groups.iter().copied(), direction);
        for atom in atoms(&groups, &node.members, direction, &policy) {
            let header = match atom.l4 {
                L4::Ports { dst } => Header::Ports { from: 1, to: dst },
                L4::Icmp { kind, code } => Header::Icmp { kind, code },
                L4::None => Header::Other,
            };
            let own = if atom.remote.is_ipv4() { "10.0.0.1" } else { "2001:db8::1" };
            let addresses = [own.parse().unwrap(), atom.remote];
            let what = (atom.protocol, header);
            packets.push(packet(port, direction, addresses, port.port.mac, what));
        }
    }
}

/// Packets that are treated by themselves, and their like: from every address and MAC address, to
/// every address.
fn by_themselves(port: &Port, packets: &mut Vec<Packet>) {
    let udp = [(68, 67), (67, 68), (546, 547), (547, 546), (5, 6)]
        .map(|(from, to)| (IpProtocol::UDP, Header::Ports { from, to }));
    let icmp = [8, 130, 131, 132, 133, 134, 135, 136, 143, 128];
    let ipv4 = ["10.0.0.1", "10.0.0.9", "10.9.0.5", "0.0.0.0", "255.255.255.255", "224.0.0.1"];
    let link_local = [1, 7].map(|number| mac(number).link_local().to_string());
    let ipv6 = ["2001:db8::1", "2001:db8::9", "fd09::5", "::", "ff02::1", "fe80::1"];
    let ipv6 = ipv6.into_iter().chain(link_local.iter().map(String::as_str));
    let families: [Vec<IpAddr>; 2] = [
        ipv4.iter().map(|text| text.parse().unwrap()).collect(),
        ipv6.map(|text| text.parse().unwrap()).collect(),
    ];
    for addresses in families {
        let protocol = match addresses[0] {
            IpAddr::V4(_) => IpProtocol::ICMP,
            IpAddr::V6(_) => IpProtocol::ICMPV6,
        };
        let icmp = icmp.map(|kind| (protocol, Header::Icmp { kind, code: 0 }));
        for what in udp.into_iter().chain(icmp) {
            for own in &addresses {
                for remote in &addresses {
                    for number in [1, 7, 8] {
                        for direction in [Direction::Ingress, Direction::Egress] {
                            let ends = [*own, *remote];
                            packets.push(packet(port, direction, ends, mac(number), what));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn chains_decide_as_those_of_neutrons_driver() {
    let nodes: Vec<Node> = (1..=NODES).map(|seed| Random::new(seed).node()).collect();
    let told: Vec<Value> = nodes.iter().map(node::tell).collect();
    let mut compared = [0_u64; 2];
    for (number, (node, theirs)) in nodes.iter().zip(neutron(&told)).enumerate() {
        let ours = desired(node);
        assert!(ours.faults.is_empty(), "{:?}", ours.faults);
        let stateless = policy::are_stateless(node.groups.values().map(Arc::as_ref));
        let states = match stateless {
            true => &[State::Untracked][..],
            false => &[State::New, State::Established, State::Related, State::Invalid],
        };
        for port in node.ports.values() {
            let mut packets = Vec::new();
            by_rules(node, port, &mut packets);
            if number % THOROUGH == 0 {
                by_themselves(port, &mut packets);
            }
            for (packet, state) in
                packets.iter().flat_map(|packet| states.iter().map(move |state| (packet, *state)))
            {
                let packet = Packet { state, ..packet.clone() };
                let passes = verdict(&ours.netfilter, &packet) == Verdict::Accepted;
                assert_eq!(passes, theirs.passes(&packet), "{packet:#?}\n{node:#?}\n{theirs:#?}");
                compared[usize::from(passes)] += 1;
            }
        }
    }
    eprintln!("{} packets are dropped by both, {} passed", compared[0], compared[1]);
    assert!(compared.iter().all(|count| *count > 10_000), "{compared:?}");
}
