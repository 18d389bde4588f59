//! Tunnels of an agent on a real switch, with a server that answers from a list.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use agent::TunnelConfig;
use model::NetworkType;
use neutron::object::{NetworkSegment, Object, SecurityGroup, SecurityGroupRule};
use neutron::rpc::{Cast, FdbEntries, NetworkFdb, PortInfo, TunnelAddress};
use testkit::{Fabric, Nic, Outcome, Underlay, Vm, eventually};

use crate::node::{Node, PATIENCE, Settings, bound, id, mac};

const GROUP: u32 = 0x9000;
const NETWORK: u32 = 0x8000;
const KEY: u32 = 300;
const HERE: &str = "192.0.2.1";

fn address(n: u32) -> String {
    let [_, _, b, c] = n.to_be_bytes();
    format!("10.0.{b}.{c}")
}

fn port(n: u32, kind: NetworkType) -> Object {
    let segment = NetworkSegment {
        id: id(NETWORK + 1),
        network_type: kind.name().to_owned(),
        segmentation_id: Some(KEY),
        ..NetworkSegment::default()
    };
    Object::Port(bound(n, NETWORK, segment, GROUP))
}

/// A port of a group that lets everything pass.
fn objects(n: u32, kind: NetworkType) -> Vec<Object> {
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
    let group = Object::SecurityGroup(group);
    vec![port(n, kind), group, rule(GROUP + 1, "ingress"), rule(GROUP + 2, "egress")]
}

fn plug(node: &Node, n: u32) -> Vm {
    let nic = Nic {
        mac: Some(mac(n)),
        addresses: vec![format!("{}/16", address(n)).parse().unwrap()],
        ..Nic::default()
    };
    let device = format!("tap{n}");
    let vm = Vm::cabled(&node.switch, &device, &nic).unwrap();
    node.plug(&device, &id(n));
    vm
}

fn settings(local_ip: IpAddr, kind: NetworkType, l2_population: bool) -> Settings {
    let config = TunnelConfig::new(local_ip, [kind]);
    let tunnel = TunnelConfig { l2_population, arp_responder: l2_population, ..config };
    Settings { tunnel: Some(tunnel), ..Settings::default() }
}

/// What a server says of ports behind an end.
fn entries(kind: NetworkType, behind: &[(&str, Vec<PortInfo>)]) -> FdbEntries {
    let ports: BTreeMap<String, Vec<PortInfo>> =
        behind.iter().map(|(end, ports)| ((*end).to_owned(), ports.clone())).collect();
    let network_type = kind.name().to_owned();
    let fdb = NetworkFdb { segment_id: Some(KEY), network_type, ports };
    FdbEntries { fdb_entries: [(id(NETWORK), fdb)].into() }
}

fn entry(n: u32) -> PortInfo {
    PortInfo::new(mac(n), address(n))
}

fn tunnels(node: &Node) -> Vec<String> {
    let ports = node.switch.vsctl(&["list-ports", "br-tun"]).unwrap_or_default();
    let ports = ports.lines().filter(|port| *port != "patch-int").map(str::to_owned);
    let mut ports: Vec<String> = ports.collect();
    ports.sort();
    ports
}

fn wait_tunnels(node: &Node, expected: &[&str]) {
    let waited = eventually(PATIENCE, || tunnels(node) == expected);
    assert!(waited.is_ok(), "{:?} {:#?}", tunnels(node), node.status());
}

fn wait_flow(node: &Node, there: bool, parts: &[&str]) {
    let is_there =
        || node.flows_of("br-tun").iter().any(|flow| parts.iter().all(|part| flow.contains(part)));
    let waited = eventually(PATIENCE, || is_there() == there);
    assert!(waited.is_ok(), "{parts:?}: {:#?} {:#?}", node.flows_of("br-tun"), node.status());
}

/// Waits until br-tun goes by so many tunnels, in and out.
fn wait_settled(node: &Node, tunnels: usize) {
    let goes_by = || {
        let flows = node.flows_of("br-tun");
        let from = flows.iter().filter(|flow| flow.contains("cookie=0x3e1707")).count();
        let flood = flows.iter().find(|flow| flow.contains("table=22") && flow.contains("0x12c"));
        (from, flood.map_or(0, |flow| flow.matches("output:").count()))
    };
    let waited = eventually(PATIENCE, || goes_by() == (tunnels, tunnels));
    assert!(waited.is_ok(), "{:#?}", node.flows_of("br-tun"));
}

#[test]
fn tunnels_come_and_go_as_the_server_says_and_outlive_the_agent() {
    let kind = NetworkType::Vxlan;
    let settings = settings(HERE.parse().unwrap(), kind, false);
    let mut node = Node::start_told(objects(1, kind), settings, |_, server| {
        server.set_ends(Some(&["192.0.2.2", "192.0.2.3"]));
    });
    wait_tunnels(&node, &["vxlan-c0000202", "vxlan-c0000203"]);
    let _vm = plug(&node, 1);
    node.wait_up(1);
    let cast = |address: &str, make: fn(TunnelAddress) -> Cast| {
        let (tunnel_ip, tunnel_type) = (address.to_owned(), "vxlan".to_owned());
        node.server.caster.cast(make(TunnelAddress { tunnel_ip, tunnel_type }));
    };
    cast("192.0.2.4", Cast::TunnelUpdate);
    cast("192.0.2.3", Cast::TunnelDelete);
    wait_tunnels(&node, &["vxlan-c0000202", "vxlan-c0000204"]);
    let options = ["get", "interface", "vxlan-c0000204", "options"];
    let options = node.switch.vsctl(&options).unwrap();
    assert!(options.contains("remote_ip=\"192.0.2.4\""), "{options}");

    // Without an answer from the server nothing is taken away, and with the same one nothing either.
    let ports = |node: &Node| {
        let of = |port: &str| node.switch.vsctl(&["get", "interface", port, "ofport"]).unwrap();
        tunnels(node).iter().map(|port| of(port)).collect::<Vec<_>>()
    };
    wait_settled(&node, 2);
    let (before, numbers) = (node.flows_of("br-tun"), ports(&node));
    node.stop_agent();
    node.server.set_ends(None);
    node.start_agent();
    node.wait_up(1);
    assert_eq!((node.flows_of("br-tun"), ports(&node)), (before, numbers));
    node.stop_agent();
    node.server.set_ends(Some(&["192.0.2.4"]));
    node.start_agent();
    wait_tunnels(&node, &["vxlan-c0000204"]);
}

#[test]
fn what_was_learned_goes_with_the_tunnel() {
    let kind = NetworkType::Vxlan;
    let settings = settings(HERE.parse().unwrap(), kind, false);
    let node = Node::start_told(objects(1, kind), settings, |_, server| {
        server.set_ends(Some(&["192.0.2.2", "192.0.2.3"]));
    });
    let _vm = plug(&node, 1);
    node.wait_up(1);
    wait_tunnels(&node, &["vxlan-c0000202", "vxlan-c0000203"]);
    wait_settled(&node, 2);
    // As the switch does it for who sends through a tunnel.
    for (port, mac) in
        [("vxlan-c0000202", "02:00:00:00:00:02"), ("vxlan-c0000203", "02:00:00:00:00:03")]
    {
        let port = node.switch.vsctl(&["get", "interface", port, "ofport"]).unwrap();
        let learned = format!(
            "cookie=0x3e1706000012c001,table=20,priority=1,hard_timeout=300,vlan_tci=1/0xfff,\
             dl_dst={mac},actions=load:0->NXM_OF_VLAN_TCI[],load:300->NXM_NX_TUN_ID[],output:{}",
            port.trim()
        );
        node.switch.ofctl(&["add-flow", "br-tun", &learned]).unwrap();
    }
    let learned = || node.switch.ofctl(&["dump-flows", "br-tun", "table=20"]).unwrap();
    assert!(learned().contains("02:00:00:00:00:03"));
    let gone = TunnelAddress { tunnel_ip: "192.0.2.3".to_owned(), tunnel_type: "vxlan".to_owned() };
    node.server.caster.cast(Cast::TunnelDelete(gone));
    let waited = eventually(PATIENCE, || !learned().contains("02:00:00:00:00:03"));
    assert!(waited.is_ok(), "{}", learned());
    assert!(learned().contains("02:00:00:00:00:02"), "that tunnel is there");
    wait_settled(&node, 1);
}

#[test]
fn a_population_outlives_the_agent_until_it_is_told_again() {
    let kind = NetworkType::Geneve;
    let settings = settings(HERE.parse().unwrap(), kind, true);
    let flood = PortInfo::flood;
    let mut node = Node::start_told(objects(1, kind), settings, |_, server| {
        server.set_ends(Some(&[]));
        let table = entries(
            kind,
            &[("192.0.2.2", vec![flood(), entry(2), entry(3)]), (HERE, vec![entry(1)])],
        );
        server.set_population(Some(table));
    });
    let _vm = plug(&node, 1);
    node.wait_up(1);
    wait_tunnels(&node, &["geneve-c0000202"]);
    for n in [2, 3] {
        wait_flow(&node, true, &["table=20", &mac(n)]);
        wait_flow(&node, true, &["table=21", &format!("arp_tpa={}", address(n))]);
    }
    wait_flow(&node, true, &["table=22", "0x12c"]);
    let here = node.flows_of("br-tun").iter().any(|flow| flow.contains(&mac(1)));
    assert!(!here, "who is on this node needs no tunnel");

    // One moves, one goes, and somebody comes.
    let caster = &node.server.caster;
    caster.cast(Cast::AddFdbEntries(entries(kind, &[("192.0.2.3", vec![flood(), entry(2)])])));
    caster.cast(Cast::RemoveFdbEntries(entries(
        kind,
        &[("192.0.2.2", vec![flood(), entry(2), entry(3)])],
    )));
    caster.cast(Cast::AddFdbEntries(entries(kind, &[("192.0.2.3", vec![entry(4)])])));
    wait_flow(&node, true, &["table=20", &mac(4)]);
    wait_flow(&node, false, &["table=20", &mac(3)]);
    wait_flow(&node, true, &["table=20", &mac(2)]);
    wait_tunnels(&node, &["geneve-c0000203"]);

    wait_settled(&node, 1);
    // The server knows nothing of one of them any more, but has not said so to the next agent.
    let before = node.flows_of("br-tun");
    node.stop_agent();
    node.server.set_population(None);
    node.server.keep_silent(true);
    node.start_agent();
    node.wait("br-tun", |status| status.connections.switch == "ok");
    assert_eq!(node.flows_of("br-tun"), before);
    node.stop_agent();
    let table = entries(kind, &[("192.0.2.3", vec![flood(), entry(4)])]);
    node.server.set_population(Some(table));
    node.server.keep_silent(false);
    node.start_agent();
    node.wait_up(1);
    wait_flow(&node, false, &["table=20", &mac(2)]);
    wait_flow(&node, true, &["table=20", &mac(4)]);
    wait_flow(&node, true, &["table=22", "0x12c"]);
    wait_tunnels(&node, &["geneve-c0000203"]);
}

#[test]
fn virtual_machines_of_two_nodes_talk() {
    let v4: IpAddr = [0; 4].into();
    let v6: IpAddr = [0; 16].into();
    for (kind, family, l2_population) in [
        (NetworkType::Vxlan, v4, false),
        (NetworkType::Gre, v6, false),
        (NetworkType::Geneve, v6, true),
        (NetworkType::Gre, v4, true),
    ] {
        let fabric = Fabric::start().unwrap();
        let start = |here: u8, there: u8| {
            let ends = [here, there].map(|n| Underlay::of_host(n).address(family).unwrap());
            let [own, other] = ends;
            let settings = settings(own, kind, l2_population);
            Node::start_told(objects(here.into(), kind), settings, |switch, server| {
                fabric.underlay(switch, &Underlay::of_host(here)).unwrap();
                let other = other.to_string();
                server.set_ends(Some(&[&other]));
                let ports = vec![PortInfo::flood(), entry(there.into())];
                server.set_population(Some(entries(kind, &[(&other, ports)])));
            })
        };
        let nodes = [start(1, 2), start(2, 1)];
        let [one, two] = [(&nodes[0], 1), (&nodes[1], 2)].map(|(node, n)| plug(node, n));
        nodes.iter().for_each(|node| node.wait_up(1));
        nodes.iter().for_each(|node| wait_settled(node, 1));
        for (from, to) in [(&one, 2), (&two, 1)] {
            let reaches = || from.ping(address(to).parse().unwrap(), PATIENCE) == Outcome::Reached;
            let waited = eventually(PATIENCE, reaches);
            assert!(waited.is_ok(), "{kind} {family} {:#?}", nodes[0].flows_of("br-tun"));
        }
    }
}

#[test]
fn ten_thousand_entries_cost_ten_thousand_flows() {
    const PORTS: u32 = 10_000;
    const NODES: u32 = 100;
    let kind = NetworkType::Vxlan;
    let mut settings = settings(HERE.parse().unwrap(), kind, true);
    settings.tunnel.as_mut().unwrap().arp_responder = false;
    let end = |n: u32| format!("192.0.2.{}", 2 + n % NODES);
    let table = |ports: std::ops::Range<u32>| {
        let mut behind: BTreeMap<String, Vec<PortInfo>> = BTreeMap::new();
        for n in ports {
            let of_end = behind.entry(end(n)).or_insert_with(|| vec![PortInfo::flood()]);
            of_end.push(entry(0x100 + n));
        }
        let behind: Vec<_> = behind.iter().map(|(end, of)| (end.as_str(), of.clone())).collect();
        entries(kind, &behind)
    };
    let node = Node::start_told(objects(1, kind), settings, |_, server| {
        server.set_ends(Some(&[]));
    });
    let _vm = plug(&node, 1);
    node.wait_up(1);
    // The tunnels first: ovs-vswitchd takes its time to make a hundred ports.
    node.server.caster.cast(Cast::AddFdbEntries(table(0..NODES)));
    let unicast = || {
        let count = node.switch.ofctl(&[
            "dump-aggregate",
            "br-tun",
            "table=20,cookie=0x3e17080000000000/0xffffff0000000000",
        ]);
        let count = count.unwrap();
        let count = count.split("flow_count=").nth(1).unwrap();
        count.trim().parse::<u32>().unwrap()
    };
    eventually(PATIENCE, || unicast() == NODES).unwrap();
    let rest = node.flows_of("br-tun").len();
    let started = Instant::now();
    node.server.caster.cast(Cast::AddFdbEntries(table(NODES..PORTS)));
    eventually(PATIENCE, || unicast() == PORTS).unwrap();
    let took = started.elapsed();
    println!("{} entries in {took:?}", PORTS - NODES);
    assert_eq!(node.flows_of("br-tun").len() - rest, usize::try_from(PORTS - NODES).unwrap());
}

#[test]
fn what_others_do_to_the_tunnel_bridge_is_mended_and_what_it_learns_is_left_alone() {
    let kind = NetworkType::Vxlan;
    let settings = settings(HERE.parse().unwrap(), kind, false);
    let node = Node::start_told(objects(1, kind), settings, |_, server| {
        server.set_ends(Some(&["192.0.2.2", "192.0.2.3"]));
    });
    let _vm = plug(&node, 1);
    node.wait_up(1);
    wait_tunnels(&node, &["vxlan-c0000202", "vxlan-c0000203"]);
    wait_settled(&node, 2);
    let flows = node.flows_of("br-tun");
    let dump = |table: &str| node.switch.ofctl(&["--no-stats", "dump-flows", "br-tun", table]);
    // As the switch does it for who sends through a tunnel.
    let learned = "cookie=0x3e17060000000000,table=20,priority=1,hard_timeout=300,\
                   dl_dst=02:00:00:00:00:09,actions=drop";
    node.switch.ofctl(&["add-flow", "br-tun", learned]).unwrap();

    let table = u64::try_from(dump("table=22").unwrap().lines().count()).unwrap();
    node.switch.ofctl(&["del-flows", "br-tun", "table=22"]).unwrap();
    let mended = |count: u64| {
        node.wait(&format!("{count} mended"), |status| {
            let bridge = status.underlays.iter().find(|it| it.bridge == "br-tun").unwrap();
            let told = &bridge.foreign;
            (told.removed, told.added, told.mended, told.damaged) == (count, 0, count, 0)
        });
        assert_eq!(node.flows_of("br-tun"), flows);
    };
    mended(table);
    assert!(dump("table=20").unwrap().contains("02:00:00:00:00:09"), "it is the switch's");
    node.switch.ofctl(&["del-flows", "br-tun"]).unwrap();
    mended(table + u64::try_from(flows.len()).unwrap());
}
