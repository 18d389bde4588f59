//! The chains of random policies admit what the rules admit: on every packet that rules or terms
//! can tell apart, in both directions, in every state of a connection, with and without sets. And
//! those of random ports let pass what the reference lets pass, whoever sends what to whom.

use policy::{L4, SharedSet, atoms};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::hybrid::Meaning;

/// All of a rule but its id.
type Shape = (Direction, EtherType, Transport, Remote);

fn prefixes() -> impl Strategy<Value = Prefix> {
    let ipv4 = (0..8_u8, prop::sample::select(vec![32_u8, 32, 31, 30, 24, 1, 0]))
        .prop_map(|(low, length)| Prefix::new([10, 0, 0, low].into(), length).unwrap());
    let ipv6 = (0..8_u16, prop::sample::select(vec![128_u8, 128, 127, 64, 1, 0])).prop_map(
        |(low, length)| {
            let address = [0x2001, 0xdb8, 0, 0, 0, 0, 0, low];
            Prefix::new(address.into(), length).unwrap()
        },
    );
    prop_oneof![2 => ipv4, 1 => ipv6]
}

fn transports() -> impl Strategy<Value = Transport> {
    let with_ports = prop::sample::select(vec![6_u8, 6, 17, 33, 132, 136]).prop_map(IpProtocol);
    let low = prop_oneof![0..3_u16, 78..90_u16, 65_530..=65_535_u16];
    let ports = (with_ports, low, 0..9_u16).prop_map(|(protocol, low, more)| {
        let range = PortRange::new(low, low.saturating_add(more)).unwrap();
        Transport::Ports { protocol, range }
    });
    let kinds = || prop::sample::select(vec![0_u8, 3, 8, 128, 130, 134, 254, 255]);
    prop_oneof![
        1 => Just(Transport::Any),
        2 => prop::sample::select(vec![0_u8, 1, 4, 6, 17, 47, 58, 136, 255])
            .prop_map(|number| Transport::Protocol(IpProtocol(number))),
        6 => ports,
        3 => (kinds(), prop::option::of(prop::sample::select(vec![0_u8, 1, 255])))
            .prop_map(|(kind, code)| Transport::Icmp { kind, code }),
    ]
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let direction = prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
    let shape = (direction, prefixes(), transports(), 0..9_u8).prop_map(
        |(direction, prefix, transport, kind)| {
            let remote = match kind {
                0..=2 => Remote::Any,
                3..=5 => Remote::Prefix(prefix),
                6 => Remote::Group(group_id(1)),
                7 => Remote::Group(group_id(2)),
                _ => Remote::AddressGroup(address_group_id(1)),
            };
            (direction, prefix.ethertype(), transport, remote)
        },
    );
    (vec(shape, 0..24), crowd()).prop_map(|(shapes, crowd)| [shapes, crowd].concat())
}

/// Rules for single ports of one protocol, with gaps between them and without.
fn crowd() -> impl Strategy<Value = Vec<Shape>> {
    let protocols = prop::sample::select(vec![6_u8, 17, 33, 132, 136]).prop_map(IpProtocol);
    (protocols, btree_set(0..40_u16, 0..30)).prop_map(|(protocol, ports)| {
        let range = |port| PortRange::new(port, port).unwrap();
        let transports =
            ports.into_iter().map(|port| Transport::Ports { protocol, range: range(port) });
        let shape = |transport| (Direction::Ingress, EtherType::Ipv4, transport, Remote::Any);
        transports.map(shape).collect()
    })
}

fn everybody() -> impl Strategy<Value = Members> {
    let member =
        (prefixes(), 20..23_u8).prop_map(|(prefix, number)| Member::new(prefix, Some(mac(number))));
    let groups = btree_map(
        (1..3_u8).prop_map(group_id),
        btree_set(member, 0..5).prop_map(SharedSet::from_iter),
        0..3,
    );
    let addresses = btree_set(prefixes(), 0..4).prop_map(SharedSet::from_iter);
    let address_groups = btree_map(Just(address_group_id(1)), addresses, 0..2);
    (groups, address_groups).prop_map(|(groups, address_groups)| Members { groups, address_groups })
}

fn share_out(shapes: &[Shape], stateful: bool) -> Vec<SecurityGroup> {
    let mut groups: Vec<SecurityGroup> = (1..3)
        .map(|number| SecurityGroup { id: group_id(number), rules: BTreeSet::new(), stateful })
        .collect();
    for (number, (direction, family, transport, remote)) in (0..).zip(shapes) {
        let id = rule_id(number);
        let made = SecurityGroupRule::new(id, *direction, *family, *transport, *remote);
        groups[usize::try_from(number % 2).unwrap()].rules.extend(made.ok());
    }
    groups
}

/// The packet as a bridge sees it: from or to the first address of port 1.
fn at_bridge(direction: Direction, atom: &policy::Packet) -> Packet {
    let own = if atom.remote.is_ipv4() { "10.0.0.1" } else { "2001:db8::1" };
    let header = match atom.l4 {
        // No port that DHCP has.
        L4::Ports { dst } => Header::Ports { from: 1, to: dst },
        L4::Icmp { kind, code } => Header::Icmp { kind, code },
        L4::None => Header::Other,
    };
    let packet = packet(1, direction, [own, &atom.remote.to_string()], atom.protocol, header);
    match (direction, atom.remote_mac) {
        (_, None) => packet,
        (Direction::Ingress, Some(mac)) => Packet { source_mac: mac, ..packet },
        (Direction::Egress, Some(mac)) => Packet { destination_mac: mac, ..packet },
    }
}

fn compare(
    groups: &[SecurityGroup],
    members: &Members,
    [strict, ipset]: [bool; 2],
) -> Result<u64, TestCaseError> {
    let node = Node {
        strict_equivalence: strict,
        ipset,
        members: members.clone(),
        ..node([port(1, &[1, 2])], groups.iter().cloned())
    };
    let desired = desired(&node);
    prop_assert!(desired.faults.iter().all(|fault| !fault.closes_port()));
    let read_back = Desired { netfilter: read_back(&desired.netfilter), ..desired.clone() };
    let meaning = Meaning::of(groups, members, strict);
    let port = Arc::clone(&node.ports[&port_id(1)].port);
    let both = |groups: &[SecurityGroup], direction| {
        let groups: Vec<&SecurityGroup> = groups.iter().collect();
        let policy = policy::compile(groups.iter().copied(), direction);
        atoms(&groups, members, direction, &policy).collect::<Vec<_>>()
    };
    let mut compared = 0;
    for direction in [Direction::Ingress, Direction::Egress] {
        // Rules as they are written cut packets too where they do not apply.
        for atom in both(groups, direction).into_iter().chain(both(meaning.groups(), direction)) {
            let packet = at_bridge(direction, &atom);
            let states = [
                State::New,
                State::Established,
                State::Revoked,
                State::Related,
                State::Invalid,
                State::Untracked,
            ];
            for state in states {
                let packet = in_state(&packet, state);
                let expected = meaning.expected(&port, direction, &packet).is_accepted();
                let found = passes(&desired, &packet);
                prop_assert_eq!(passes(&read_back, &packet), found, "{} is read back", atom);
                prop_assert_eq!(found, expected, "{:?} {} {:?}", direction, atom, state);
                compared += 1;
            }
        }
    }
    Ok(compared)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn chains_admit_what_rules_admit(
        shapes in shapes(),
        members in everybody(),
        options in [any::<bool>(), any::<bool>()],
        stateful in prop::bool::weighted(0.7),
    ) {
        compare(&share_out(&shapes, stateful), &members, options)?;
    }
}

/// A port with addresses of either family or none, and pairs of its own MAC address and of others.
fn ports() -> impl Strategy<Value = Port> {
    let address = prop::sample::select(vec![
        (1, "10.0.0.1"),
        (1, "10.0.0.0/30"),
        (1, "2001:db8::1"),
        (9, "10.0.0.9"),
        (9, "2001:db8::9"),
        (9, "0.0.0.0/0"),
    ]);
    btree_set(address, 0..4).prop_map(|pairs| {
        let pairs: Vec<_> = pairs.into_iter().map(|(number, text)| pair(number, text)).collect();
        with_pairs(port(1, &[1, 2]), &pairs)
    })
}

/// Anything that a machine may send or get, and what is near it.
fn traffic() -> impl Strategy<Value = (Direction, Packet)> {
    let own = [mac(9).link_local(), mac(1).link_local(), mac(8).link_local()];
    let mut ipv6 = own.map(|address| address.to_string()).to_vec();
    let more =
        ["::", "2001:db8::1", "2001:db8::9", "2001:db8::77", "ff02::1", "ff05::1", "fe81::1"];
    ipv6.extend(more.map(str::to_owned));
    let ipv4 = ["0.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.9", "192.0.2.1", "255.255.255.255"];
    let ipv4: Vec<String> = ipv4.map(str::to_owned).to_vec();
    let pick = |from: Vec<String>| prop::sample::select(from);
    let addresses =
        prop_oneof![(pick(ipv4.clone()), pick(ipv4)), (pick(ipv6.clone()), pick(ipv6)),];
    let numbers = [(68, 67), (67, 68), (546, 547), (547, 546), (66, 68), (67, 66), (5, 80)];
    let numbers = prop::sample::select(numbers.to_vec());
    let kind = prop::sample::select(vec![8_u8, 128, 130, 131, 132, 133, 134, 135, 136, 137, 143]);
    let transport = prop_oneof![
        3 => (prop::sample::select(vec![17_u8, 17, 17, 6, 136]), numbers)
            .prop_map(|(protocol, (from, to))| (protocol, Header::Ports { from, to })),
        3 => (kind, 0..2_u8).prop_map(|(kind, code)| (58, Header::Icmp { kind, code })),
        1 => Just((47, Header::Other)),
    ];
    let states = prop::sample::select(vec![
        State::New,
        State::Established,
        State::Revoked,
        State::Related,
        State::Invalid,
    ]);
    let macs = [1_u8, 1, 9, 8];
    let direction = prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
    (direction, addresses, transport, prop::sample::select(macs.to_vec()), states).prop_map(
        |(direction, (one, other), (protocol, header), sender, state)| {
            // ICMPv6 is nothing in IPv4.
            let protocol = match (one.contains(':'), header) {
                (false, Header::Icmp { .. }) => 1,
                _ => protocol,
            };
            let addresses = [one.as_str(), other.as_str()];
            let packet = packet(1, direction, addresses, IpProtocol(protocol), header);
            let packet = match direction {
                Direction::Ingress => packet,
                Direction::Egress => Packet { source_mac: mac(sender), ..packet },
            };
            (direction, in_state(&packet, state))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn chains_let_pass_what_the_reference_lets_pass(
        port in ports(),
        shapes in shapes(),
        packets in vec(traffic(), 1..60),
        strict_equivalence in any::<bool>(),
        stateful in prop::bool::weighted(0.7),
    ) {
        let groups = share_out(&shapes, stateful);
        let node = node([port.clone()], groups.iter().cloned());
        let node = Node { strict_equivalence, ..node };
        let desired = desired(&node);
        let meaning = Meaning::of(&groups, &node.members, strict_equivalence);
        for (direction, packet) in packets {
            let expected = meaning.expected(&port.port, direction, &packet);
            let found = passes(&desired, &packet);
            prop_assert_eq!(found, expected.is_accepted(), "{:?} {:?}", expected, packet);
            if direction == Direction::Egress {
                let delivered = Packet { output: None, ..packet };
                let found = verdict(&desired.netfilter, &delivered);
                let goes_on = if expected.is_accepted() { Verdict::Undecided } else { Verdict::Dropped };
                prop_assert_eq!(found, goes_on);
            }
        }
    }
}

#[test]
fn there_is_something_to_compare() {
    let rules = "ingress IPv4 anybody tcp 80-90\ningress IPv6 group:2 udp\negress IPv4 anybody any";
    let groups = [group(1, rules), group(2, "")];
    let compared = compare(&groups, &Members::default(), [false, true]).unwrap();
    assert!(compared > 50, "{compared}");
}

#[test]
fn a_hundred_ranges_take_few_rules() {
    let rules: String = (0..100)
        .map(|n| format!("ingress IPv4 anybody tcp {}-{}\n", 100 * n + 1, 100 * n + 51))
        .collect();
    let desired = desired(&node([port(1, &[1])], [group(1, &rules)]));
    let policy = desired.policies[&port_id(1)];
    let chain = chain(&desired, EtherType::Ipv4, &format!("neutron-openvswi-gi-{:08x}", policy.0));
    // Seven ranges a rule, and what every policy ends with.
    assert_eq!(chain.len(), 15 + 2);
    let one = desired.netfilter.rules();
    let all = (1..=50).map(|n| port(n, &[1]));
    let many = super::desired(&node(all, [group(1, &rules)]));
    let each = (many.netfilter.rules() - one) / 49;
    assert!(each < 60, "{each} rules for each port");
}
