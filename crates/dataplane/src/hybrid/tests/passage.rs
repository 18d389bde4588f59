//! The way of single packets through what is installed, as it is told.

use super::*;
use crate::hybrid::{Reason, TableName, passage};

const INGRESS: Direction = Direction::Ingress;
const EGRESS: Direction = Direction::Egress;
const V4: [&str; 2] = ["10.0.0.1", "192.0.2.1"];
const V6: [&str; 2] = ["2001:db8::1", "2001:db8:2::1"];
const RULES: &str = "ingress IPv4 anybody tcp 80\negress IPv4 10.0.0.0/8 any";

fn tcp(direction: Direction, addresses: [&str; 2], to: u16) -> Packet {
    packet(1, direction, addresses, IpProtocol::TCP, Header::Ports { from: 40_000, to })
}

fn installed() -> Netfilter {
    let mut open = port(4, &[]);
    Arc::make_mut(&mut open.port).security = PortSecurity::Disabled;
    let ports = [port(1, &[1]), open, port(5, &[9])];
    read_back(&desired(&node(ports, [group(1, RULES)])).netfilter)
}

/// The rules that the packet meets, and what they do with it.
fn told(netfilter: &Netfilter, packet: &Packet) -> String {
    let passage = passage(netfilter, TableName::Filter, packet);
    let met = passage.met.iter().map(|met| format!("{}: {}\n", met.chain, met.rule));
    format!("{}{:?}: {}\n", met.collect::<String>(), passage.verdict(), passage.reason().text())
}

#[test]
fn what_is_installed_is_understood_to_the_letter() {
    for strict_equivalence in [false, true] {
        for ipset in [false, true] {
            let node = Node { strict_equivalence, ipset, ..golden::small() };
            let netfilter = desired(&node).netfilter;
            let found = read_back(&netfilter);
            assert_eq!(found.ipv4.to_string(), netfilter.ipv4.to_string());
            assert_eq!(found.ipv6.to_string(), netfilter.ipv6.to_string());
            assert_eq!(found, netfilter);
            assert_eq!(found.odd_rules(&netfilter).len(), 0);
            let tables = found.ipv4.0.values().chain(found.ipv6.0.values());
            for (chain, rules) in tables.flat_map(|table| table.chains()) {
                assert!(!format!("{rules:?}").contains("Other("), "{chain}: {rules:?}");
            }
        }
    }
}

#[test]
fn a_packet_that_a_rule_admits() {
    expect_test::expect![[r#"
        FORWARD: -j neutron-filter-top
        neutron-filter-top: -j neutron-openvswi-local
        FORWARD: -j neutron-openvswi-FORWARD
        neutron-openvswi-FORWARD: -m physdev --physdev-out tap01000000-00 --physdev-is-bridged -j neutron-openvswi-sg-chain
        neutron-openvswi-sg-chain: -m physdev --physdev-out tap01000000-00 --physdev-is-bridged -j neutron-openvswi-i01000000-0
        neutron-openvswi-i01000000-0: -g neutron-openvswi-gi-64bacd92
        neutron-openvswi-gi-64bacd92: -p tcp -m multiport --dports 80 -j RETURN
        neutron-openvswi-sg-chain: -j ACCEPT
        Accepted: a rule admits it
    "#]]
    .assert_eq(&told(&installed(), &tcp(INGRESS, V4, 80)));
}

#[test]
fn a_packet_that_no_rule_admits() {
    expect_test::expect![[r#"
        FORWARD: -j neutron-filter-top
        neutron-filter-top: -j neutron-openvswi-local
        FORWARD: -j neutron-openvswi-FORWARD
        neutron-openvswi-FORWARD: -m physdev --physdev-out tap01000000-00 --physdev-is-bridged -j neutron-openvswi-sg-chain
        neutron-openvswi-sg-chain: -m physdev --physdev-out tap01000000-00 --physdev-is-bridged -j neutron-openvswi-i01000000-0
        neutron-openvswi-i01000000-0: -g neutron-openvswi-gi-64bacd92
        neutron-openvswi-gi-64bacd92: -j neutron-openvswi-sg-fallback
        neutron-openvswi-sg-fallback: -j DROP
        Dropped: no ingress rule allows it
    "#]].assert_eq(&told(&installed(), &tcp(INGRESS, V4, 81)));
}

#[test]
fn a_packet_from_an_address_of_somebody_else() {
    expect_test::expect![[r#"
        FORWARD: -j neutron-filter-top
        neutron-filter-top: -j neutron-openvswi-local
        FORWARD: -j neutron-openvswi-FORWARD
        neutron-openvswi-FORWARD: -m physdev --physdev-in tap01000000-00 --physdev-is-bridged -j neutron-openvswi-sg-chain
        neutron-openvswi-sg-chain: -m physdev --physdev-in tap01000000-00 --physdev-is-bridged -j neutron-openvswi-o01000000-0
        neutron-openvswi-o01000000-0: -j neutron-openvswi-s01000000-0
        neutron-openvswi-s01000000-0: -j DROP
        Dropped: the port may not use this source address with this MAC address
    "#]]
        .assert_eq(&told(&installed(), &tcp(EGRESS, ["10.0.0.2", V4[1]], 80)));
}

#[test]
fn every_decision_has_its_reason() {
    let reason = |packet: &Packet| passage(&installed(), TableName::Filter, packet).reason();
    let refused = tcp(INGRESS, V4, 81);
    let state = |state| reason(&in_state(&refused, state));
    assert_eq!(state(State::New), Reason::NoRule(INGRESS));
    assert_eq!(state(State::Established), Reason::Known);
    assert_eq!(state(State::Related), Reason::Known);
    assert_eq!(state(State::Revoked), Reason::Revoked);
    assert_eq!(state(State::Invalid), Reason::Invalid);
    assert_eq!(reason(&tcp(EGRESS, V4, 80)), Reason::NoRule(EGRESS));
    assert_eq!(reason(&tcp(EGRESS, [V4[0], "10.9.9.9"], 80)), Reason::Rule(EGRESS));
    assert_eq!(reason(&Packet { source_mac: mac(2), ..tcp(EGRESS, V4, 80) }), Reason::Source);
    assert_eq!(reason(&udp(1, EGRESS, V4, 68, 67)), Reason::NoneNeeded);
    assert_eq!(reason(&udp(1, EGRESS, V4, 67, 68)), Reason::Server);
    assert_eq!(reason(&icmpv6(1, EGRESS, V6, 134)), Reason::Server);
    assert_eq!(reason(&icmpv6(1, INGRESS, V6, 135)), Reason::NoneNeeded);
    assert_eq!(reason(&udp(4, INGRESS, V4, 1, 2)), Reason::Open);
    assert_eq!(reason(&udp(5, INGRESS, V4, 1, 2)), Reason::Closed);
    assert_eq!(reason(&udp(9, INGRESS, V4, 1, 2)), Reason::Nothing);
    let delivered = Packet { output: None, ..tcp(EGRESS, [V4[0], "10.9.9.9"], 80) };
    assert_eq!(reason(&delivered), Reason::Nothing);
}

/// The text of `iptables-save` with a line before the first rule that begins like this.
fn with(before: &str, line: &str) -> Netfilter {
    let desired = desired(&node([port(1, &[1])], [group(1, RULES)])).netfilter;
    let ipv4 = desired.ipv4.to_string();
    let at = ipv4.find(&format!("\n{before}")).unwrap();
    let ipv4 = format!("{}\n{line}{}", &ipv4[..at], &ipv4[at..]);
    Installed::parse(Listing { ipv4: &ipv4, ..Listing::default() }).netfilter()
}

#[test]
fn rules_of_others_count_where_they_are_met() {
    let decided = |netfilter: &Netfilter, packet: &Packet| {
        let passage = passage(netfilter, TableName::Filter, packet);
        (passage.verdict(), passage.reason())
    };
    let first = "-A FORWARD -j neutron-filter-top";
    let (admitted, refused) = (tcp(INGRESS, V4, 80), tcp(INGRESS, V4, 23));
    let telnet = with(first, "-A FORWARD -p tcp -m tcp --dport 23 -j ACCEPT");
    assert_eq!(decided(&telnet, &refused), (Verdict::Accepted, Reason::Foreign));
    assert_eq!(decided(&telnet, &admitted), (Verdict::Accepted, Reason::Rule(INGRESS)));
    let dropped =
        with(first, "-A FORWARD -s 192.0.2.0/24 -j REJECT --reject-with icmp-port-unreachable");
    assert_eq!(decided(&dropped, &admitted), (Verdict::Dropped, Reason::Foreign));
    let logged = with(first, "-A FORWARD -j LOG --log-prefix \"all \"");
    assert_eq!(decided(&logged, &admitted), (Verdict::Accepted, Reason::Rule(INGRESS)));
    for odd in ["-j DOCKER-USER", "-i br0 -j ACCEPT", "! -s 10.0.0.0/8 -j DROP"] {
        let odd = with(first, &format!("-A FORWARD {odd}"));
        assert_eq!(decided(&odd, &admitted), (Verdict::Unknown, Reason::Foreign));
    }
    // What is for others in any case needs not be understood.
    let udp = with(first, "-A FORWARD -s 203.0.113.1/32 -i br0 -j DROP");
    assert_eq!(decided(&udp, &admitted), (Verdict::Accepted, Reason::Rule(INGRESS)));
    let damaged =
        with("-A neutron-openvswi-sg-chain -j ACCEPT", "-A neutron-openvswi-sg-chain -j DROP");
    assert_eq!(decided(&damaged, &admitted), (Verdict::Dropped, Reason::Foreign));
}

#[test]
fn a_set_that_is_not_as_ours_are_says_nothing() {
    let node = node([port(1, &[1])], [group(1, "ingress IPv4 group:2 any")]);
    let ipv4 = desired(&node).netfilter.ipv4.to_string();
    let name = "NIPv400000002-0000-6000-0000-";
    let verdict = |sets: &str| {
        let listing = Listing { ipv4: &ipv4, sets, ..Listing::default() };
        verdict(&Installed::parse(listing).netfilter(), &tcp(INGRESS, V4, 80))
    };
    let create = format!("create {name} hash:net family inet maxelem 65536\n");
    assert_eq!(verdict(&create), Verdict::Dropped);
    assert_eq!(verdict(&format!("{create}add {name} 192.0.2.0/24\n")), Verdict::Accepted);
    let odd = format!("{create}add {name} 192.0.2.0/24\nadd {name} 192.0.2.1 nomatch\n");
    assert_eq!(verdict(&odd), Verdict::Unknown);
    assert_eq!(verdict(&format!("create {name} list:set size 8\n")), Verdict::Unknown);
}
