//! Trunks on a real switch, with a server that answers from a list. The virtual machine sends frames
//! with VLAN tags.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use neutron::object::{Object, Port, SecurityGroup, SecurityGroupRule, SubPort, Trunk};
use neutron::rpc::{Cast, EventType};
use testkit::frame::{self, Mac, number};
use testkit::{Guest, Nic, Outcome, Vm, Wire, eventually};

use crate::node::{Node, PATIENCE, bound, id, mac, vlan};

/// The trunk, and what its bridge is called.
const TRUNK: u32 = 0x7000;
const BRIDGE: &str = "tbr-00000000-0";
/// The parent port, and subports with their tags. The other end of each network is the next number.
const PARENT: u32 = 0x001;
const SUBPORTS: [(u32, u16); 2] = [(0x101, 101), (0x201, 102)];
/// The group of everybody, and that of the first subport.
const OPEN: u32 = 0x9000;
const WEB: u32 = 0x9001;

fn rule(n: u32, group: u32, direction: &str, tcp: Option<u32>) -> Object {
    Object::SecurityGroupRule(SecurityGroupRule {
        id: id(n),
        security_group_id: id(group),
        direction: direction.to_owned(),
        ethertype: "IPv4".to_owned(),
        protocol: tcp.map(|_| "tcp".to_owned()),
        port_range_min: tcp,
        port_range_max: tcp,
        revision_number: 1,
        ..SecurityGroupRule::default()
    })
}

/// Each network is that of the ports with the same high byte.
fn port(n: u32, group: u32) -> Port {
    // The end of an id is in names of devices: it must not be the same for all.
    let network = n >> 8;
    Port { id: unique(n), ..bound(n, 0x8000 + network, vlan(117 + network), group) }
}

/// The id of port `n`, which differs from others in its first digits.
fn unique(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

/// A subport that is not bound yet.
fn unbound(n: u32, group: u32) -> Object {
    let mut port = port(n, group);
    port.bindings.iter_mut().for_each(|it| it.host = "elsewhere".to_owned());
    port.binding_levels.iter_mut().for_each(|it| it.host = "elsewhere".to_owned());
    Object::Port(port)
}

fn subport((n, tag): (u32, u16)) -> SubPort {
    SubPort {
        port_id: unique(n),
        trunk_id: id(TRUNK),
        segmentation_type: "vlan".to_owned(),
        segmentation_id: tag.into(),
        ..SubPort::default()
    }
}

/// What the server knows: a trunk with these subports, and another port in each network.
fn objects(subports: &[(u32, u16)]) -> Vec<Object> {
    let group = |n| SecurityGroup { id: id(n), stateful: true, ..SecurityGroup::default() };
    let trunk = Trunk {
        id: id(TRUNK),
        admin_state_up: true,
        port_id: unique(PARENT),
        status: "DOWN".to_owned(),
        sub_ports: subports.iter().copied().map(subport).collect(),
        revision_number: 1,
        ..Trunk::default()
    };
    let peers = [PARENT, 0x101, 0x201].map(|n| Object::Port(port(n + 1, OPEN)));
    let [(first, _), (second, _)] = SUBPORTS;
    let mut objects = vec![
        Object::SecurityGroup(group(OPEN)),
        Object::SecurityGroup(group(WEB)),
        rule(0x100, OPEN, "egress", None),
        rule(0x101, OPEN, "ingress", None),
        rule(0x102, WEB, "egress", None),
        rule(0x103, WEB, "ingress", Some(80)),
        Object::Port(port(PARENT, OPEN)),
        unbound(first, WEB),
        unbound(second, OPEN),
        Object::Trunk(trunk),
    ];
    objects.extend(peers);
    objects
}

fn address(n: u32) -> Ipv4Addr {
    let [_, _, high, low] = n.to_be_bytes();
    Ipv4Addr::new(10, 0, high, low)
}

fn bytes(n: u32) -> Mac {
    let [_, a, b, c] = n.to_be_bytes();
    [0xfa, 0x16, 0x3e, a, b, c]
}

fn nic(n: u32) -> Nic {
    let addresses = vec![format!("{}/24", address(n)).parse().unwrap()];
    Nic { mac: Some(mac(n)), addresses, ..Nic::default() }
}

/// Plugs a device into the bridge of the trunk, as Nova does it.
fn plug(node: &Node, device: &str) {
    let ids = [format!("iface-id={}", unique(PARENT)), format!("attached-mac=\"{}\"", mac(PARENT))];
    let ids = ids.map(|it| format!("external_ids:{it}"));
    let add = ["--may-exist", "add-br", BRIDGE, "--", "set", "Bridge", BRIDGE];
    let kind = format!("datapath_type={}", node.switch.datapath_type());
    let port = ["--", "add-port", BRIDGE, device, "--", "set", "Interface", device];
    let command = [&add[..], &[&kind], &port, &[&ids[0], &ids[1]]].concat();
    node.switch.vsctl(&command).unwrap();
}

fn plug_peer(node: &Node, n: u32) -> Vm {
    let device = format!("tap{n:x}");
    let vm = Vm::cabled(&node.switch, &device, &nic(n)).unwrap();
    node.plug(&device, &unique(n));
    vm
}

/// The interface of a virtual machine for a port.
fn interface(node: &Node, guest: &Guest, n: u32, tag: Option<u16>) -> Vm {
    guest.interface(&node.switch, &interface_name(n), tag, &nic(n)).unwrap()
}

fn interface_name(n: u32) -> String {
    format!("nic{n:x}")
}

fn wait_trunk(node: &Node, subports: usize, ports: usize) {
    node.wait("the trunk", |status| {
        let trunk = status.trunks.first();
        trunk.is_some_and(|trunk| trunk.up && trunk.subports.len() == subports)
            && status.ports.len() == ports
            && status.ports.iter().all(|port| port.up)
    });
}

fn served(n: u32) -> SocketAddr {
    (IpAddr::from(address(n)), 80).into()
}

fn reaches(from: &Vm, to: u32) -> bool {
    from.ping(address(to).into(), quick()) == Outcome::Reached
}

fn quick() -> Duration {
    Duration::from_millis(700)
}

/// What the database says of the ends of trunks, and of the device.
fn rows(node: &Node) -> String {
    let mut rows: Vec<String> = Vec::new();
    let tables = [
        ("Interface", "--columns=name,type,options,external_ids"),
        ("Port", "--columns=name,tag,vlan_mode"),
    ];
    for (table, columns) in tables {
        let listed = node.switch.vsctl(&["--format=csv", "--no-heading", columns, "list", table]);
        let listed = listed.unwrap();
        let of_trunk = |line: &&str| {
            ["tpi-", "tpt-", "spi-", "spt-", "vm,"].iter().any(|it| line.starts_with(it))
        };
        rows.extend(listed.lines().filter(of_trunk).map(|line| format!("{table} {line}")));
    }
    rows.sort();
    rows.join("\n")
}

#[test]
fn each_port_of_a_trunk_is_in_its_network_and_filtered_by_its_own_groups() {
    let mut node = Node::start(objects(&SUBPORTS));
    let peers = [PARENT, 0x101, 0x201].map(|n| plug_peer(&node, n + 1));
    let guest = Guest::cabled(&node.switch, "vm").unwrap();
    let [(first, red), (second, blue)] = SUBPORTS;
    let ports = [(PARENT, None), (first, Some(red)), (second, Some(blue))];
    let vms = ports.map(|(n, tag)| interface(&node, &guest, n, tag));
    plug(&node, "vm");
    wait_trunk(&node, 2, 6);
    let told: Vec<String> = node.server.told_of_trunks();
    let [one, two] = SUBPORTS.map(|(n, _)| format!("bind {}", unique(n)));
    assert_eq!(told, [one, two, "ACTIVE".to_owned()]);

    for (vm, (n, _)) in vms.iter().zip(ports) {
        eventually(PATIENCE, || reaches(vm, n + 1)).unwrap();
        vm.listen_tcp(80).unwrap();
        vm.listen_tcp(81).unwrap();
    }
    let connect = |peer: &Vm, to: u32, port: u16| {
        peer.connect_tcp((IpAddr::from(address(to)), port).into(), quick())
    };
    let [beside_parent, beside_first, beside_second] = &peers;
    for (peer, to, admitted) in
        [(beside_parent, PARENT, true), (beside_first, 0x101, false), (beside_second, 0x201, true)]
    {
        let other = if admitted { Outcome::Reached } else { Outcome::Filtered };
        assert_eq!(connect(peer, to, 80), Outcome::Reached, "{to:x}");
        assert_eq!((to, connect(peer, to, 81)), (to, other));
        assert_eq!(reaches(peer, to), admitted, "{to:x}");
    }

    // The next agent finds what is there, and the server hears nothing.
    let before = (rows(&node), node.flows());
    let mut stream = beside_first.open_stream(served(0x101), quick()).unwrap();
    node.stop_agent();
    assert_eq!(stream.exchange(quick()), Outcome::Reached);
    node.start_agent();
    wait_trunk(&node, 2, 6);
    assert_eq!((rows(&node), node.flows()), before);
    assert_eq!(stream.exchange(quick()), Outcome::Reached);
    assert_eq!(node.server.told_of_trunks(), Vec::<String>::new());
}

#[test]
fn the_rows_are_those_of_neutron() {
    let node = Node::start(objects(&SUBPORTS[..1]));
    let _vm = Vm::cabled(&node.switch, "vm", &nic(PARENT)).unwrap();
    plug(&node, "vm");
    wait_trunk(&node, 1, 2);
    let text = rows(&node);
    let parent = unique(PARENT);
    let subport = unique(0x101);
    // Local VLANs are given in the order of the networks' first ports.
    let tag =
        |end: &str| node.switch.vsctl(&["get", "Port", end, "tag"]).unwrap().trim().to_owned();
    let [red, blue] = [tag(&format!("spi-{subport:.11}")), tag(&format!("tpi-{parent:.11}"))];
    assert!(red != blue && [&red, &blue].iter().all(|tag| ["1", "2"].contains(&tag.as_str())));
    for line in [
        format!(
            "Interface tpi-{0:.11},patch,{{peer=tpt-{0:.11}}},\"{{attached-mac=\"\"{1}\"\", \
             iface-id=\"\"{0}\"\"}}\"",
            parent,
            mac(PARENT)
        ),
        format!(
            "Interface spt-{0:.11},patch,{{peer=spi-{0:.11}}},\"{{attached-mac=\"\"{1}\"\", \
             iface-id=\"\"{0}\"\"}}\"",
            subport,
            mac(0x101)
        ),
        format!("Port spi-{subport:.11},{red},[]"),
        format!("Port spt-{subport:.11},101,access"),
        format!("Port tpi-{parent:.11},{blue},[]"),
        format!("Port tpt-{parent:.11},0,access"),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
    let noted = |key: &str| {
        let key = format!("external_ids:{key}");
        node.switch.vsctl(&["get", "Interface", "vm", &key]).unwrap().trim().to_owned()
    };
    assert_eq!(noted("bridge_name"), BRIDGE);
    assert_eq!(noted("trunk_id").trim_matches('"'), id(TRUNK));
    assert_eq!(noted("subport_ids"), format!("\"[\\\"{subport}\\\"]\""));
}

/// A frame from the virtual machine, with a number in it.
fn numbered(tag: Option<u16>, from: (Mac, Ipv4Addr), to: Mac, count: u32) -> Vec<u8> {
    let data = frame::udp(1000, 2000, &count.to_be_bytes());
    let packet = frame::ip(from.1.into(), Ipv4Addr::BROADCAST.into(), number::UDP, &data);
    let frame = frame::ethernet(from.0, to, number::IPV4, &packet);
    tag.map_or(frame.clone(), |tag| frame::tagged(tag, &frame))
}

/// The number in a frame.
fn number_in(frame: &[u8]) -> Option<u32> {
    let (_, end) = frame.split_last_chunk::<4>()?;
    Some(u32::from_be_bytes(*end))
}

#[test]
fn nothing_passes_from_one_vlan_to_another() {
    let node = Node::start(objects(&SUBPORTS));
    let peers = [PARENT, 0x101, 0x201].map(|n| {
        let (n, device) = (n + 1, format!("tap{n:x}"));
        let wire = Wire::cabled(&node.switch, &device, &mac(n)).unwrap();
        node.plug(&device, &unique(n));
        wire
    });
    let vm = Wire::cabled(&node.switch, "vm", &mac(PARENT)).unwrap();
    plug(&node, "vm");
    wait_trunk(&node, 2, 6);

    let tags = [None, Some(101), Some(102), Some(103), Some(117), Some(1), Some(2), Some(4095)];
    let owners = [PARENT, 0x101, 0x201];
    let everybody = [0xff; 6];
    let mut count = 0;
    let mut expected: [Vec<u32>; 3] = Default::default();
    for tag in tags {
        for owner in owners {
            for to in owners.map(|n| bytes(n + 1)).into_iter().chain([everybody]) {
                count += 1;
                vm.send(&numbered(tag, (bytes(owner), address(owner)), to, count)).unwrap();
                for (place, n) in owners.into_iter().enumerate() {
                    let its_tag = SUBPORTS.iter().find(|(it, _)| *it == n).map(|(_, tag)| *tag);
                    let is_for = to == bytes(n + 1) || to == everybody;
                    if its_tag == tag && owner == n && is_for {
                        expected[place].push(count);
                    }
                }
            }
        }
    }
    // Behind the last of them comes one that each gets.
    let last = u32::MAX;
    for (place, n) in owners.into_iter().enumerate() {
        let tag = SUBPORTS.iter().find(|(it, _)| *it == n).map(|(_, tag)| *tag);
        vm.send(&numbered(tag, (bytes(n), address(n)), bytes(n + 1), last)).unwrap();
        expected[place].push(last);
    }
    for (wire, expected) in peers.iter().zip(&expected) {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while heard.last() != Some(&last) {
            let Some(frame) = wire.hear(deadline).unwrap() else { panic!("{heard:?}") };
            let from_vm = owners.iter().any(|n| frame.get(6..12) == Some(&bytes(*n)[..]));
            if frame.get(12..14) == Some(&[8, 0][..]) && from_vm {
                heard.extend(number_in(&frame));
            }
        }
        assert_eq!(heard, *expected);
    }
}

#[test]
fn subports_come_and_go_and_so_do_virtual_machines() {
    let node = Node::start(objects(&[]));
    let peers = [0x101, 0x201].map(|n| plug_peer(&node, n + 1));
    let [beside_first, beside_second] = &peers;
    let guest = Guest::cabled(&node.switch, "vm").unwrap();
    let vms = SUBPORTS.map(|(n, tag)| interface(&node, &guest, n, Some(tag)));
    plug(&node, "vm");
    wait_trunk(&node, 0, 3);
    assert_eq!(node.server.told_of_trunks(), ["ACTIVE"]);

    let tell = |event, subports: &[(u32, u16)], all: &[(u32, u16)]| {
        node.server.change_trunk(&id(TRUNK), |trunk| {
            trunk.sub_ports = all.iter().copied().map(subport).collect();
            trunk.status = "DOWN".to_owned();
        });
        let objects = subports.iter().copied().map(subport).map(Object::SubPort).collect();
        node.server.caster.cast(Cast::Push { event, objects });
    };
    let ([first, second], [one, other]) = (SUBPORTS, &vms);
    for (new, all, vm) in [(first, &SUBPORTS[..1], one), (second, &SUBPORTS[..], other)] {
        tell(EventType::Created, &[new], all);
        wait_trunk(&node, all.len(), 3 + all.len());
        eventually(PATIENCE, || reaches(vm, new.0 + 1)).unwrap();
        let told = node.server.told_of_trunks();
        assert_eq!(told, [format!("bind {}", unique(new.0)), "ACTIVE".to_owned()]);
    }

    // One goes; the other does not feel it.
    other.listen_tcp(80).unwrap();
    let mut stream = beside_second.open_stream(served(second.0), quick()).unwrap();
    tell(EventType::Deleted, &[first], &SUBPORTS[1..]);
    wait_trunk(&node, 1, 4);
    assert_eq!(stream.exchange(quick()), Outcome::Reached);
    assert!(!reaches(one, first.0 + 1));
    one.listen_tcp(80).unwrap();
    assert_eq!(beside_first.connect_tcp(served(first.0), quick()), Outcome::Filtered);
    assert_eq!(node.server.told_of_trunks(), ["ACTIVE"]);
    assert!(!rows(&node).contains(&format!("-{:.11}", unique(first.0))));

    // The same port under another tag.
    tell(EventType::Created, &[(first.0, 200)], &[second, (first.0, 200)]);
    wait_trunk(&node, 2, 5);
    assert!(!reaches(one, first.0 + 1));
    Guest::retag(&node.switch, &interface_name(first.0), Some(200)).unwrap();
    eventually(PATIENCE, || reaches(one, first.0 + 1)).unwrap();
    tell(EventType::Deleted, &[(first.0, 200)], &[second]);
    wait_trunk(&node, 1, 4);

    // The machine goes: with its device, or with the whole bridge.
    node.switch.vsctl(&["del-port", BRIDGE, "vm"]).unwrap();
    node.wait("nothing of the trunk", |status| status.ports.len() == 2 && status.trunks.is_empty());
    assert_eq!(rows(&node), "");
    let up = |n| node.server.thinks_up(&unique(n));
    eventually(PATIENCE, || !up(PARENT) && !up(second.0)).unwrap();
    plug(&node, "vm");
    wait_trunk(&node, 1, 4);
    eventually(PATIENCE, || reaches(other, second.0 + 1)).unwrap();
    node.switch.vsctl(&["del-br", BRIDGE]).unwrap();
    node.wait("nothing of the trunk", |status| status.ports.len() == 2 && status.trunks.is_empty());
    assert_eq!(rows(&node), "");
}
