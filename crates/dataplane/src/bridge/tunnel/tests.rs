//! Golden text, frames through the tables, and what must hold whatever there is.

use std::net::{Ipv4Addr, Ipv6Addr};

use expect_test::{ExpectFile, expect_file};
use model::NetworkType::{Geneve, Gre, Vlan, Vxlan};
use openflow::interpreter::{Arp, Effect, Packet, Tables, Untracked, run};
use openflow::{Flow, PortNo};
use proptest::prelude::*;

use super::*;
use crate::bridge::layout::{self, tunnel::TABLES};

const PATCH: u32 = 1;
/// Ports to the ends 192.0.2.2, .3 and 2001:db8::4 (VXLAN), and .2 (GRE).
const SECOND: u32 = 2;
const THIRD: u32 = 3;
const FOURTH: u32 = 4;
const GRE: u32 = 5;

const MINE: MacAddr = MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, 1]);
const THEIRS: MacAddr = MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, 2]);
const STRANGER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 9]);
const MY_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THEIR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const MY_ADDRESS_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const THEIR_ADDRESS_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const THEIR_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

fn port(number: u32) -> OfPort {
    OfPort::new(number).unwrap()
}

fn vlan(number: u16) -> VlanTag {
    VlanTag::new(number.into()).unwrap()
}

fn end(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network(network_type: NetworkType, id: u32, population: Option<Population>) -> TunnelNetwork {
    let segmentation_id = SegmentationId::new(id);
    TunnelNetwork { network_type, segmentation_id, population: population.map(Arc::new) }
}

/// Local VLAN 1 is a VXLAN network that learns, 2 a GRE network, 3 a populated VXLAN network with
/// somebody at .2 and somebody at an end that no port leads to.
fn bridge() -> Tunnels {
    let population = Population {
        flood: [end("192.0.2.2"), end("192.0.2.99")].into(),
        unicast: [(THEIRS, end("192.0.2.2")), (STRANGER, end("192.0.2.99"))].into(),
        neighbours: [
            (THEIR_ADDRESS.into(), THEIRS),
            (THEIR_ADDRESS_6.into(), THEIRS),
            (THEIR_LINK_LOCAL.into(), THEIRS),
        ]
        .into(),
    };
    Tunnels {
        patch: Some(port(PATCH)),
        networks: [
            (vlan(1), network(Vxlan, 100, None)),
            (vlan(2), network(Gre, 100, None)),
            (vlan(3), network(Vxlan, 300, Some(population))),
        ]
        .into(),
        ends: [
            ((Vxlan, end("192.0.2.2")), port(SECOND)),
            ((Vxlan, end("192.0.2.3")), port(THIRD)),
            ((Vxlan, end("2001:db8::4")), port(FOURTH)),
            ((Gre, end("192.0.2.2")), port(GRE)),
        ]
        .into(),
        responder: Responder::Off,
    }
}

fn answering() -> Tunnels {
    Tunnels { responder: Responder::ArpAndNd, ..bridge() }
}

fn text<'a>(flows: impl IntoIterator<Item = &'a Arc<Flow>>) -> String {
    let mut text = String::new();
    for flow in flows {
        text.push_str(&layout::with_names_of(TABLES, flow));
        text.push('\n');
    }
    text
}

fn check(text: &str, expected: ExpectFile) {
    expected.assert_eq(text);
}

#[test]
fn a_bridge() {
    check(&text(desired(&bridge()).sorted()), expect_file!["golden/bridge.txt"]);
}

#[test]
fn what_answers() {
    let before = desired(&bridge());
    let after = desired(&answering());
    assert!(before.iter().all(|flow| after.get(flow) == Some(flow)), "it only adds");
    let added = after.sorted().into_iter().filter(|flow| before.get(flow).is_none());
    check(&text(added), expect_file!["golden/answers.txt"]);
}

/// What the kernel's datapath refuses is all that is missing there.
#[test]
fn without_advertisements_arp_is_answered_alone() {
    let both = desired(&answering());
    let arp = desired(&Tunnels { responder: Responder::Arp, ..bridge() });
    assert!(arp.iter().all(|flow| both.get(flow) == Some(flow)), "it only leaves out");
    let left_out = both.sorted().into_iter().filter(|flow| arp.get(flow).is_none());
    let text = text(left_out);
    assert!(!text.is_empty() && text.lines().all(|line| line.contains("icmp6")), "{text}");
    let kept = self::text(arp.sorted());
    assert!(kept.contains("arp_tpa") && !kept.contains("icmp_type=135"), "{kept}");
}

/// A switch that learns.
struct Switch {
    flows: FlowSet,
}

/// Where a frame went: a port, the tag that it has there, and the key of the tunnel.
type Left = (u32, Option<u16>, u32);

impl Switch {
    fn new(bridge: &Tunnels) -> Self {
        Self { flows: desired(bridge) }
    }

    fn put_in(&mut self, packet: Packet) -> Vec<(Left, Packet)> {
        let tables = Tables::new(self.flows.iter().map(AsRef::as_ref));
        let run = run(&tables, packet, &mut Untracked);
        assert_eq!(run.fault, None);
        let mut left = Vec::new();
        for effect in run.effects {
            match effect {
                Effect::Output { port, packet } => {
                    let key = u32::try_from(packet.get(Field::TUN_ID)).unwrap();
                    left.push(((port.0, packet.vlan_vid(), key), packet));
                }
                Effect::Learn(flow) => {
                    assert!(layout::is_learned(&flow), "{flow}");
                    self.flows.replace(flow);
                }
                Effect::Drop => {}
                other => panic!("{other:?}"),
            }
        }
        left
    }

    fn go(&mut self, packet: Packet) -> Vec<Left> {
        self.put_in(packet).into_iter().map(|(left, _)| left).collect()
    }

    /// The one answer that came back to br-int.
    fn answer(&mut self, packet: Packet) -> Packet {
        let tag = packet.vlan_vid();
        let [(left, answer)] = self.put_in(packet).try_into().unwrap();
        assert_eq!(left, (PATCH, tag, 0));
        answer
    }
}

/// From br-int, with the tag of a local VLAN.
fn from_here(vlan: u16, from: MacAddr, to: MacAddr) -> Packet {
    let packet = Packet::new(PortNo(PATCH)).eth_src(from.octets()).eth_dst(to.octets());
    packet.vlan(vlan).ipv4(MY_ADDRESS, THEIR_ADDRESS).udp(1, 2)
}

/// From a tunnel, with a key.
fn from_tunnel(port: u32, key: u32, from: MacAddr, to: MacAddr) -> Packet {
    let packet = Packet::new(PortNo(port)).eth_src(from.octets()).eth_dst(to.octets());
    packet.with(Field::TUN_ID, key.into()).ipv4(THEIR_ADDRESS, MY_ADDRESS).udp(1, 2)
}

#[test]
fn what_is_for_many_takes_the_tunnels_of_its_network() {
    let mut switch = Switch::new(&bridge());
    let to_many = |vlan| from_here(vlan, MINE, MacAddr::BROADCAST);
    let all = [(SECOND, None, 100), (THIRD, None, 100), (FOURTH, None, 100)];
    assert_eq!(switch.go(to_many(1)), all);
    assert_eq!(switch.go(to_many(2)), [(GRE, None, 100)]);
    assert_eq!(switch.go(to_many(3)), [(SECOND, None, 300)]);
    assert_eq!(switch.go(to_many(4)), []);
}

#[test]
fn who_was_heard_gets_it_alone() {
    let mut switch = Switch::new(&bridge());
    assert_eq!(switch.go(from_here(1, MINE, STRANGER)).len(), 3);
    assert_eq!(switch.go(from_tunnel(THIRD, 100, STRANGER, MINE)), [(PATCH, Some(1), 100)]);
    assert_eq!(switch.go(from_here(1, MINE, STRANGER)), [(THIRD, None, 100)]);
    let announcement =
        from_tunnel(SECOND, 100, STRANGER, MacAddr::BROADCAST).ipv6(THEIR_ADDRESS_6, MY_ADDRESS_6);
    let announcement = announcement.neighbour_advertisement(THEIR_ADDRESS_6, STRANGER.octets());
    assert_eq!(switch.go(announcement), [(PATCH, Some(1), 100)]);
    assert_eq!(switch.go(from_here(1, MINE, STRANGER)), [(SECOND, None, 100)]);
    assert_eq!(switch.go(from_here(2, MINE, STRANGER)), [(GRE, None, 100)], "another network");
}

#[test]
fn what_the_server_says_stands_above_what_was_learned() {
    let mut switch = Switch::new(&bridge());
    switch.go(from_tunnel(THIRD, 300, THEIRS, MINE));
    assert_eq!(switch.go(from_here(3, MINE, THEIRS)), [(SECOND, None, 300)]);
    // Nobody can be reached there yet, but somebody may have been heard.
    assert_eq!(switch.go(from_here(3, MINE, STRANGER)), [(SECOND, None, 300)]);
    switch.go(from_tunnel(THIRD, 300, STRANGER, MINE));
    assert_eq!(switch.go(from_here(3, MINE, STRANGER)), [(THIRD, None, 300)]);
}

#[test]
fn frames_with_a_group_address_as_their_source_teach_nothing() {
    let mut switch = Switch::new(&answering());
    let before = switch.flows.len();
    let frame = from_tunnel(SECOND, 100, MacAddr::BROADCAST, MINE);
    assert_eq!(switch.go(frame), [(PATCH, Some(1), 100)]);
    assert_eq!(switch.flows.len(), before);
}

#[test]
fn frames_of_tunnels_go_nowhere_but_to_br_int() {
    let mut switch = Switch::new(&answering());
    let address = [MINE, THEIRS, STRANGER, MacAddr::BROADCAST];
    for (port, key, expected) in [
        (SECOND, 100, Some(1)),
        (FOURTH, 100, Some(1)),
        (GRE, 100, Some(2)),
        (THIRD, 300, Some(3)),
        (GRE, 300, None),
        (SECOND, 0, None),
        (77, 100, None),
    ] {
        for to in address {
            let left = switch.go(from_tunnel(port, key, STRANGER, to));
            let expected: Vec<Left> =
                expected.map(|vlan| (PATCH, Some(vlan), key)).into_iter().collect();
            assert_eq!(left, expected, "port {port}, key {key}, to {to}");
        }
    }
}

fn arp(op: u16, to: MacAddr, spa: Ipv4Addr, tpa: Ipv4Addr) -> Packet {
    let arp = Arp { op, sha: MINE.octets(), spa, tha: [0; 6], tpa };
    from_here(3, MINE, to).arp(arp)
}

#[test]
fn arp_requests_are_answered() {
    let mut switch = Switch::new(&answering());
    for to in [MacAddr::BROADCAST, THEIRS, STRANGER] {
        let answer = switch.answer(arp(1, to, MY_ADDRESS, THEIR_ADDRESS));
        let expected = Arp {
            op: 2,
            sha: THEIRS.octets(),
            spa: THEIR_ADDRESS,
            tha: MINE.octets(),
            tpa: MY_ADDRESS,
        };
        let expected = Packet::new(PortNo(PATCH))
            .eth_src(THEIRS.octets())
            .eth_dst(MINE.octets())
            .vlan(3)
            .arp(expected);
        assert_eq!(answer.fields().collect::<Vec<_>>(), expected.fields().collect::<Vec<_>>());
    }
}

#[test]
fn what_must_not_be_answered_goes_its_way() {
    let mut switch = Switch::new(&answering());
    let out = [(SECOND, None, 300)];
    let many = MacAddr::BROADCAST;
    let nobody = Ipv4Addr::UNSPECIFIED;
    for (what, packet) in [
        ("nobody known", arp(1, many, MY_ADDRESS, Ipv4Addr::new(10, 0, 0, 77))),
        ("a reply", arp(2, many, MY_ADDRESS, THEIR_ADDRESS)),
        ("a probe", arp(1, many, nobody, THEIR_ADDRESS)),
        ("a probe for one", arp(1, THEIRS, nobody, THEIR_ADDRESS)),
        ("gratuitous", arp(1, many, THEIR_ADDRESS, THEIR_ADDRESS)),
        ("detection of duplicates", solicitation(Ipv6Addr::UNSPECIFIED, THEIR_ADDRESS_6)),
        ("a router perhaps", solicitation(MY_ADDRESS_6, THEIR_LINK_LOCAL)),
        ("no sender", solicitation(MY_ADDRESS_6, THEIR_ADDRESS_6).with(Field::ND_SLL, 0)),
        (
            "an advertisement",
            from_here(3, MINE, many)
                .ipv6(MY_ADDRESS_6, THEIR_ADDRESS_6)
                .neighbour_advertisement(THEIR_ADDRESS_6, MINE.octets()),
        ),
    ] {
        assert_eq!(switch.go(packet), out, "{what}");
    }
    let elsewhere = arp(1, many, MY_ADDRESS, THEIR_ADDRESS).with(Field::VLAN_TCI, 0x1001);
    assert_eq!(switch.go(elsewhere).len(), 3, "another network");
    assert_eq!(Switch::new(&bridge()).go(arp(1, many, MY_ADDRESS, THEIR_ADDRESS)), out, "off");
}

fn solicitation(from: Ipv6Addr, target: Ipv6Addr) -> Packet {
    let group = MacAddr::new([0x33, 0x33, 0xff, 0, 0, 2]);
    let packet =
        from_here(3, MINE, group).ipv6(from, "ff02::1:ff00:2".parse::<Ipv6Addr>().unwrap());
    packet.ttl(255).neighbour_solicitation(target, MINE.octets())
}

#[test]
fn neighbour_solicitations_are_answered() {
    let mut switch = Switch::new(&answering());
    let answer = switch.answer(solicitation(MY_ADDRESS_6, THEIR_ADDRESS_6));
    let expected = Packet::new(PortNo(PATCH))
        .eth_src(THEIRS.octets())
        .eth_dst(MINE.octets())
        .vlan(3)
        .ipv6(THEIR_ADDRESS_6, MY_ADDRESS_6)
        .ttl(255)
        .neighbour_advertisement(THEIR_ADDRESS_6, THEIRS.octets())
        .with(Field::ND_RESERVED, 0x6000_0000);
    assert_eq!(answer.fields().collect::<Vec<_>>(), expected.fields().collect::<Vec<_>>());
}

#[test]
fn a_network_that_is_no_tunnel_network_has_no_flows() {
    let mut with = bridge();
    with.networks.insert(vlan(9), network(Vlan, 9, None));
    assert_eq!(desired(&with), desired(&bridge()));
}

#[test]
fn of_two_networks_with_one_key_the_first_is_carried() {
    let mut with = bridge();
    with.networks.insert(vlan(9), network(Vxlan, 100, Some(Population::default())));
    assert_eq!(desired(&with), desired(&bridge()));
}

#[test]
fn an_entry_costs_itself() {
    let many = |count: u32| {
        let mut population = Population::default();
        for n in 0..count {
            let [_, a, b, c] = n.to_be_bytes();
            let mac = MacAddr::new([0xfa, 0x16, 0x3e, a, b, c]);
            let end = IpAddr::from([192, 0, 2, c % 100]);
            population.flood.insert(end);
            population.unicast.insert(mac, end);
            population.neighbours.insert(Ipv4Addr::from_bits(0x0a00_0000 + n).into(), mac);
        }
        let mut bridge = bridge();
        bridge.networks = [(vlan(3), network(Geneve, 300, Some(population)))].into();
        bridge.ends = (0..100)
            .map(|n: u8| ((Geneve, IpAddr::from([192, 0, 2, n])), port(u32::from(n) + 10)))
            .collect();
        bridge
    };
    let mut follower = Follower::default();
    follower.follow(&many(0));
    let rest = follower.flows().len();
    follower.follow(&many(10_000));
    assert_eq!(follower.flows().len(), rest + 10_000 + 1, "one each and one to many");
    assert_eq!(follower.follow(&many(10_010)).len(), 10);
    assert_eq!(follower.follow(&many(10_000)).len(), 10);
    let answering = Tunnels { responder: Responder::ArpAndNd, ..many(10_000) };
    follower.follow(&answering);
    let answering = Tunnels { responder: Responder::ArpAndNd, ..many(10_010) };
    assert_eq!(follower.follow(&answering).len(), 30);
}

fn any_end() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..4_u8).prop_map(|n| IpAddr::from([192, 0, 2, n])),
        (0..2_u16).prop_map(|n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n])),
    ]
}

fn any_type() -> impl Strategy<Value = NetworkType> {
    prop::sample::select(vec![Vlan, Vxlan, Gre, Geneve])
}

fn any_mac() -> impl Strategy<Value = MacAddr> {
    (0..2_u8, 0..4_u8).prop_map(|(first, last)| MacAddr::new([first, 0, 0, 0, 0, last]))
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..4_u8).prop_map(|n| IpAddr::from([10, 0, 0, n])),
        (0..4_u16).prop_map(|n| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n])),
        (0..2_u16).prop_map(|n| IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, n])),
    ]
}

fn population() -> impl Strategy<Value = Population> {
    use proptest::collection::{btree_map, btree_set};
    let unicast = btree_map(any_mac(), any_end(), 0..4);
    let neighbours = btree_map(any_address(), any_mac(), 0..4);
    (btree_set(any_end(), 0..3), unicast, neighbours)
        .prop_map(|(flood, unicast, neighbours)| Population { flood, unicast, neighbours })
}

fn any_bridge() -> impl Strategy<Value = Tunnels> {
    use proptest::collection::btree_map;
    let one = (any_type(), 0..3_u32, proptest::option::of(population()))
        .prop_map(|(kind, id, population)| network(kind, id, population));
    let networks = btree_map((1..5_u16).prop_map(vlan), one, 0..4);
    let ends = btree_map((any_type(), any_end()), (1..8_u32).prop_map(port), 0..6);
    let patch = prop::bool::weighted(0.9).prop_map(|is_there| is_there.then(|| port(PATCH)));
    let responder =
        prop_oneof![Just(Responder::Off), Just(Responder::Arp), Just(Responder::ArpAndNd)];
    (patch, networks, ends, responder).prop_map(|(patch, networks, ends, responder)| Tunnels {
        patch,
        networks,
        ends,
        responder,
    })
}

proptest! {
    #[test]
    fn whoever_follows_holds_what_is_desired(
        bridges in proptest::collection::vec((any_bridge(), any::<[bool; 3]>()), 1..8),
    ) {
        let mut follower = Follower::default();
        let mut last: Option<Tunnels> = None;
        for (mut bridge, keeps) in bridges {
            // Much stays as it was.
            if let Some(last) = last {
                let [networks, ends, responder] = keeps;
                if networks {
                    for (vlan, network) in last.networks {
                        bridge.networks.entry(vlan).or_insert(network);
                    }
                }
                if ends {
                    bridge.ends = last.ends;
                }
                if responder {
                    bridge.responder = last.responder;
                }
            }
            let before = follower.flows().clone();
            let touched: FlowSet = follower.follow(&bridge).into_iter().collect();
            prop_assert_eq!(follower.flows(), &desired(&bridge));
            let both = before.iter().chain(follower.flows().iter());
            for flow in both.filter(|flow| touched.get(flow).is_none()) {
                prop_assert_eq!(before.get(flow), follower.flows().get(flow));
            }
            last = Some(bridge);
        }
    }

    #[test]
    fn no_frame_changes_its_network(
        bridge in any_bridge(),
        port in 1..9_u32,
        tag in 0..6_u16,
        key in 0..4_u32,
        from in any_mac(),
        to in any_mac(),
    ) {
        let mut switch = Switch::new(&bridge);
        let packet = if port == PATCH { from_here(tag, from, to) } else { from_tunnel(port, key, from, to) };
        let carried: BTreeMap<_, _> = carried(&bridge).collect();
        for (left, tag_there, key_there) in switch.go(packet) {
            prop_assert_eq!(left == PATCH, port != PATCH, "never from tunnel to tunnel");
            let from_here = port == PATCH;
            let (tunnel, vlan) = if from_here { (left, tag) } else { (port, tag_there.unwrap()) };
            let network = carried.get(&VlanTag::new(vlan.into()).unwrap()).unwrap();
            let key = if from_here { key_there } else { key };
            prop_assert_eq!(network.segmentation_id.get(), key);
            let mut ends = bridge.ends.iter().filter(|(_, port)| u32::from(port.get()) == tunnel);
            prop_assert!(ends.any(|((kind, _), _)| *kind == network.network_type));
        }
    }
}
