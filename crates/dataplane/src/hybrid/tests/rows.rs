//! What passes without rules, and what no rule can let pass: row by row.

use super::*;
use crate::hybrid::verdict::{Tracking, tracking};
use crate::hybrid::{Fault, Unmatched};

const INGRESS: Direction = Direction::Ingress;
const EGRESS: Direction = Direction::Egress;

/// Port 1 has group 1, which has these rules.
fn with_rules(rules: &str) -> Desired {
    desired(&node([port(1, &[1])], [group(1, rules)]))
}

fn tcp(to: u16) -> Header {
    Header::Ports { from: 40000, to }
}

const V4: [&str; 2] = ["10.0.0.1", "192.0.2.1"];
const V6: [&str; 2] = ["2001:db8::1", "2001:db8:2::1"];
const ALL: &str = "egress IPv4 anybody any\negress IPv6 anybody any\n\
                   ingress IPv4 anybody any\ningress IPv6 anybody any";

#[test]
fn without_rules_nothing_opens_a_connection() {
    let desired = with_rules("");
    for direction in [INGRESS, EGRESS] {
        for addresses in [V4, V6] {
            let packet = packet(1, direction, addresses, IpProtocol::TCP, tcp(80));
            assert!(!passes(&desired, &packet), "{packet:?}");
            for known in [State::Established, State::Related] {
                assert!(passes(&desired, &in_state(&packet, known)));
            }
        }
    }
}

#[test]
fn a_rule_precedes_what_conntrack_calls_invalid() {
    let desired = with_rules("ingress IPv4 anybody tcp 80");
    let packet = packet(1, INGRESS, V4, IpProtocol::TCP, tcp(80));
    assert!(passes(&desired, &in_state(&packet, State::Invalid)));
    let other = Packet { header: tcp(81), ..packet };
    assert!(!passes(&desired, &in_state(&other, State::Invalid)));
}

#[test]
fn a_machine_is_who_it_is() {
    let desired = with_rules(ALL);
    let good = packet(1, EGRESS, V4, IpProtocol::TCP, tcp(80));
    assert!(passes(&desired, &good));
    let foreign_address = Packet { source: "10.0.0.2".parse().unwrap(), ..good.clone() };
    assert!(!passes(&desired, &foreign_address));
    // Not even as a part of a connection.
    assert!(!passes(&desired, &in_state(&foreign_address, State::Established)));
    assert!(!passes(&desired, &Packet { source_mac: mac(2), ..good }));
    let good = packet(1, EGRESS, V6, IpProtocol::TCP, tcp(80));
    assert!(passes(&desired, &good));
    let link_local = Packet { source: mac(1).link_local().into(), ..good.clone() };
    assert!(passes(&desired, &link_local));
    assert!(!passes(&desired, &Packet { source: mac(2).link_local().into(), ..good }));
}

#[test]
fn an_address_pair_is_a_source_too() {
    let pairs =
        [pair(1, "10.0.0.1"), pair(7, "10.9.0.0/16"), pair(8, "0.0.0.0/0"), pair(9, "fd00::/64")];
    let desired = desired(&node([with_pairs(port(1, &[1]), &pairs)], [group(1, ALL)]));
    let from = |number, source: &str| {
        let family = if source.contains(':') { V6 } else { V4 };
        let packet = packet(1, EGRESS, [source, family[1]], IpProtocol::TCP, tcp(80));
        passes(&desired, &Packet { source_mac: mac(number), ..packet })
    };
    assert!(from(7, "10.9.1.2") && !from(7, "10.0.0.1") && !from(1, "10.9.1.2"));
    assert!(from(8, "203.0.113.5") && !from(9, "203.0.113.5"));
    assert!(from(9, "fd00::5"));
    // The link-local address of each pair of the family, as Neutron has it.
    assert!(from(9, &mac(9).link_local().to_string()));
    assert!(!from(8, &mac(8).link_local().to_string()));
}

#[test]
fn a_port_without_addresses_is_known_by_its_mac_address() {
    let desired = desired(&node([with_pairs(port(1, &[1]), &[])], [group(1, ALL)]));
    for addresses in [["203.0.113.5", "192.0.2.1"], ["fd00::5", "2001:db8:2::1"]] {
        let packet = packet(1, EGRESS, addresses, IpProtocol::TCP, tcp(80));
        assert!(passes(&desired, &packet));
        assert!(!passes(&desired, &Packet { source_mac: mac(2), ..packet }));
    }
}

#[test]
fn a_family_without_addresses_is_checked_all_the_same() {
    let only_ipv4 = with_pairs(port(1, &[1]), &[pair(1, "10.0.0.1")]);
    let desired = desired(&node([only_ipv4], [group(1, ALL)]));
    let from = |source: &str| {
        passes(&desired, &packet(1, EGRESS, [source, V6[1]], IpProtocol::TCP, tcp(80)))
    };
    assert!(from(&mac(1).link_local().to_string()));
    assert!(!from("2001:db8::9"));
}

#[test]
fn dhcp() {
    let desired = with_rules("");
    let client = |addresses, from, to| passes(&desired, &udp(1, EGRESS, addresses, from, to));
    assert!(client(["0.0.0.0", "255.255.255.255"], 68, 67));
    assert!(!client(["0.0.0.0", "192.0.2.1"], 68, 67));
    assert!(client(V4, 68, 67) && client(V6, 546, 547));
    assert!(!client(["10.0.0.2", "192.0.2.1"], 68, 67));
    let server = |addresses, from, to| passes(&desired, &udp(1, INGRESS, addresses, from, to));
    assert!(server(V4, 67, 68) && server(["255.255.255.255", V4[1]], 67, 68));
    assert!(!server(["10.0.0.2", V4[1]], 67, 68) && !server(V4, 66, 68));
    assert!(server(V6, 547, 546) && server(["fe80::1", V6[1]], 547, 546));
    assert!(!server(["2001:db8::2", V6[1]], 547, 546));
}

#[test]
fn a_machine_is_no_dhcp_server_whatever_its_rules_say() {
    let desired = with_rules(ALL);
    for (addresses, from, to) in [(V4, 67, 68), (V6, 547, 546)] {
        let offer = udp(1, EGRESS, addresses, from, to);
        for state in [State::New, State::Established, State::Invalid] {
            assert!(!passes(&desired, &in_state(&offer, state)));
        }
    }
}

#[test]
fn icmpv6_from_a_machine() {
    let desired = with_rules("");
    let sends = |addresses, kind| passes(&desired, &icmpv6(1, EGRESS, addresses, kind));
    for kind in [1, 128, 129, 130, 133, 135, 136, 143] {
        assert!(sends(V6, kind), "{kind}");
    }
    assert!(!sends(V6, 134));
    assert!(!sends(["2001:db8::2", V6[1]], 128));
    for kind in [131, 135, 143] {
        assert!(sends(["::", "ff02::1"], kind) && !sends(["::", V6[1]], kind), "{kind}");
    }
    assert!(!sends(["::", "ff02::1"], 132));
    // Before any rule, so also where conntrack does not know it.
    assert!(passes(&desired, &in_state(&icmpv6(1, EGRESS, V6, 135), State::Invalid)));
    let allowed = with_rules(ALL);
    assert!(!passes(&allowed, &icmpv6(1, EGRESS, V6, 134)));
}

#[test]
fn icmpv6_to_a_machine() {
    let desired = with_rules("");
    for kind in [130, 134, 135, 136] {
        let packet = icmpv6(1, INGRESS, ["ff02::1", "fe80::1"], kind);
        assert!(passes(&desired, &in_state(&packet, State::Invalid)), "{kind}");
    }
    for kind in [128, 131, 133, 143] {
        assert!(!passes(&desired, &icmpv6(1, INGRESS, V6, kind)), "{kind}");
    }
}

#[test]
fn router_advertisements_are_for_ports_with_an_ipv6_address() {
    let only_ipv4 = with_pairs(port(1, &[1]), &[pair(1, "10.0.0.1")]);
    let desired = desired(&node([only_ipv4], [group(1, "")]));
    assert!(!passes(&desired, &icmpv6(1, INGRESS, ["ff02::1", "fe80::1"], 134)));
}

#[test]
fn multicast_and_broadcast_need_a_rule() {
    let to_groups = [
        ["224.0.0.5", "192.0.2.1"],
        ["10.255.255.255", "192.0.2.1"],
        ["255.255.255.255", "192.0.2.1"],
    ];
    let (none, some) = (with_rules(""), with_rules("ingress IPv4 anybody udp"));
    for addresses in to_groups {
        let packet = udp(1, INGRESS, addresses, 5, 6);
        assert!(!passes(&none, &packet) && passes(&some, &packet));
    }
}

#[test]
fn protocol_zero_is_any_protocol() {
    let desired = with_rules("ingress IPv4 192.0.2.0/24 0\ningress IPv4 anybody tcp 1");
    assert!(passes(&desired, &packet(1, INGRESS, V4, IpProtocol::TCP, tcp(80))));
    assert!(passes(&desired, &packet(1, INGRESS, V4, IpProtocol(99), Header::Other)));
    let elsewhere = ["10.0.0.1", "198.51.100.1"];
    assert!(!passes(&desired, &packet(1, INGRESS, elsewhere, IpProtocol::TCP, tcp(80))));
    assert!(desired.faults.is_empty());
}

#[test]
fn icmp_type_255_is_not_every_type() {
    let desired = with_rules("ingress IPv4 anybody type 255\ningress IPv4 anybody type 8");
    let echo = |kind| {
        let header = Header::Icmp { kind, code: 0 };
        passes(&desired, &packet(1, INGRESS, V4, IpProtocol::ICMP, header))
    };
    assert!(echo(8) && !echo(0) && !echo(255));
    let fault = Fault::Rule { port: port_id(1), rule: rule_id(1), unmatched: Unmatched::IcmpType };
    assert_eq!(desired.faults, [fault]);
    let desired = with_rules("ingress IPv6 anybody type 255\ningress IPv4 anybody icmp");
    assert!(desired.faults.is_empty());
    assert!(passes(&desired, &icmpv6(1, INGRESS, V6, 255)));
    assert!(!passes(&desired, &icmpv6(1, INGRESS, V6, 254)));
}

#[test]
fn ports_of_every_protocol_are_exact() {
    for protocol in ["tcp", "udp", "sctp", "dccp", "udplite"] {
        let rules = format!(
            "ingress IPv4 anybody {protocol} 80-90\ningress IPv4 anybody {protocol} 91\ningress IPv4 anybody {protocol} 5"
        );
        let desired = with_rules(&rules);
        let to = |port| {
            let number = protocol.parse().unwrap();
            passes(&desired, &packet(1, INGRESS, V4, number, tcp(port)))
        };
        assert!(to(80) && to(91) && to(5), "{protocol}");
        assert!(!to(79) && !to(92) && !to(4), "{protocol}");
        assert!(desired.faults.is_empty());
    }
}

#[test]
fn a_member_with_any_address_lets_in_itself_alone() {
    for ipset in [true, false] {
        let rules = "ingress IPv4 group:2 any\negress IPv4 group:2 any";
        let mut node = node([port(1, &[1])], [group(1, rules)]);
        node.ipset = ipset;
        let any = Member::new(prefix("0.0.0.0/0"), Some(mac(9)));
        let known = Member::new(prefix("192.0.2.1"), Some(mac(8)));
        node.members.groups = one(group_id(2), [any, known].into_iter().collect());
        let desired = desired(&node);
        let meets = |direction, remote, other| {
            let packet = packet(1, direction, [V4[0], remote], IpProtocol(99), Header::Other);
            let packet = match direction {
                INGRESS => Packet { source_mac: mac(other), ..packet },
                EGRESS => Packet { destination_mac: mac(other), ..packet },
            };
            passes(&desired, &packet)
        };
        for direction in [INGRESS, EGRESS] {
            assert!(meets(direction, "192.0.2.1", 1));
            assert!(meets(direction, "203.0.113.7", 9));
            assert!(!meets(direction, "203.0.113.7", 8));
        }
    }
}

#[test]
fn an_address_group_may_be_everybody() {
    for ipset in [true, false] {
        let rules = "ingress IPv4 addresses:1 any\ningress IPv6 addresses:1 any";
        let mut node = node([port(1, &[1])], [group(1, rules)]);
        node.ipset = ipset;
        let everybody = [prefix("0.0.0.0/0"), prefix("::/0")];
        node.members.address_groups = one(address_group_id(1), everybody.into_iter().collect());
        let desired = desired(&node);
        for addresses in
            [["10.0.0.1", "9.9.9.9"], ["10.0.0.1", "203.0.113.7"], ["2001:db8::1", "fd00::1"]]
        {
            assert!(passes(
                &desired,
                &packet(1, INGRESS, addresses, IpProtocol(99), Header::Other)
            ));
        }
        for set in desired.netfilter.sets.values() {
            assert!(set.prefixes.iter().all(|prefix| prefix.length() > 0));
        }
    }
}

#[test]
fn a_stateless_port_is_judged_packet_by_packet() {
    let group = SecurityGroup { stateful: false, ..group(1, "ingress IPv4 anybody tcp 80") };
    let mut closed_without_zone = port(1, &[1]);
    closed_without_zone.zone = None;
    let desired = desired(&node([closed_without_zone], [group]));
    assert!(desired.faults.is_empty());
    let packet = packet(1, INGRESS, V4, IpProtocol::TCP, tcp(80));
    assert_eq!(tracking(&desired.netfilter, &packet), Some(Tracking::Off));
    let other = Packet { header: tcp(81), ..packet.clone() };
    for state in [State::Untracked, State::New, State::Established, State::Related, State::Invalid]
    {
        assert!(passes(&desired, &in_state(&packet, state)));
        assert!(!passes(&desired, &in_state(&other, state)));
    }
}

#[test]
fn both_sides_of_a_port_are_in_its_zone() {
    let desired = with_rules("");
    for direction in [INGRESS, EGRESS] {
        for addresses in [V4, V6] {
            let packet = packet(1, direction, addresses, IpProtocol::TCP, tcp(80));
            let zone = Some(Tracking::Zone(CtZone::new(4097)));
            assert_eq!(tracking(&desired.netfilter, &packet), zone);
        }
    }
    let foreign = packet(2, INGRESS, V4, IpProtocol::TCP, tcp(80));
    assert_eq!(tracking(&desired.netfilter, &foreign), None);
}

#[test]
fn what_a_machine_sends_to_this_host_is_its_own_and_then_the_hosts() {
    let desired = with_rules("egress IPv4 anybody tcp 22");
    let bridged = packet(1, EGRESS, V4, IpProtocol::TCP, tcp(22));
    let delivered = Packet { output: None, ..bridged };
    assert_eq!(verdict(&desired.netfilter, &delivered), Verdict::Undecided);
    let refused = Packet { header: tcp(23), ..delivered.clone() };
    assert_eq!(verdict(&desired.netfilter, &refused), Verdict::Dropped);
    let spoofed = Packet { source: "10.0.0.2".parse().unwrap(), ..delivered };
    assert_eq!(verdict(&desired.netfilter, &spoofed), Verdict::Dropped);
}

#[test]
fn a_port_without_port_security_is_open_and_others_are_not_touched() {
    let mut open = port(1, &[]);
    Arc::make_mut(&mut open.port).security = PortSecurity::Disabled;
    let desired = desired(&node([open], []));
    let mut spoofed = packet(1, EGRESS, ["9.9.9.9", "8.8.8.8"], IpProtocol::TCP, tcp(1));
    assert!(passes(&desired, &spoofed));
    assert!(passes(&desired, &udp(1, INGRESS, V4, 1, 2)));
    // The host's own rules judge what it sends to the host.
    spoofed.output = None;
    assert_eq!(verdict(&desired.netfilter, &spoofed), Verdict::Undecided);
    let foreign = udp(2, EGRESS, V4, 1, 2);
    assert_eq!(verdict(&desired.netfilter, &foreign), Verdict::Undecided);
}

#[test]
fn what_cannot_be_filtered_is_closed() {
    let mut without_zone = port(2, &[1]);
    without_zone.zone = None;
    // The devices of the one have other names than those of port 1, those of the other the same.
    let like_the_first = [1_u128 << 88, 1].map(|more| {
        let mut port = port(1, &[1]);
        let id = port_id(1).uuid().as_u128() + more;
        Arc::make_mut(&mut port.port).id = PortId::new(Uuid::from_u128(id));
        port
    });
    let ports = [port(1, &[1]), without_zone, port(3, &[1, 9])].into_iter().chain(like_the_first);
    let desired = desired(&node(ports, [group(1, ALL)]));
    let faults: Vec<String> = desired.faults.iter().map(ToString::to_string).collect();
    assert!(desired.faults.iter().all(Fault::closes_port));
    expect_test::expect![[r#"
        [
            "port 01000000-0000-4000-0000-000000000001 is closed: the id of port 01000000-0000-4000-0000-000000000000 begins alike",
            "port 01000000-0100-4000-0000-000000000000 is closed: the id of port 01000000-0000-4000-0000-000000000000 begins alike",
            "port 02000000-0000-4000-0000-000000000000 is closed: no conntrack zone is free",
            "port 03000000-0000-4000-0000-000000000000 is closed: its security group 00000009-0000-6000-0000-000000000000 is not known",
        ]
    "#]]
    .assert_debug_eq(&faults);
    let tap = "tap01000000-01".to_owned();
    let other = Packet { output: Some(tap), ..udp(1, INGRESS, V4, 5, 6) };
    assert!(!passes(&desired, &other));
    assert!(passes(&desired, &udp(1, INGRESS, V4, 5, 6)));
    for number in [2, 3] {
        for direction in [INGRESS, EGRESS] {
            let packet = udp(number, direction, ["10.0.0.2", "192.0.2.1"], 5, 6);
            for state in [State::New, State::Established] {
                assert!(!passes(&desired, &in_state(&packet, state)));
            }
            let delivered = Packet { output: None, ..packet };
            if direction == EGRESS {
                assert_eq!(verdict(&desired.netfilter, &delivered), Verdict::Dropped);
            }
        }
    }
    let policies: BTreeSet<PortId> = desired.policies.keys().copied().collect();
    assert_eq!(policies, ids([port_id(1)]));
}
