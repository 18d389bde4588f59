//! With `strict_equivalence` every packet gets the verdict of the other driver: each difference
//! that there is without it.

use super::*;
use crate::hybrid::{Fault, Unmatched};

const INGRESS: Direction = Direction::Ingress;
const EGRESS: Direction = Direction::Egress;
const V4: [&str; 2] = ["10.0.0.1", "192.0.2.1"];
const V6: [&str; 2] = ["2001:db8::1", "2001:db8:2::1"];

/// The verdicts on a packet without the option and with it.
fn verdicts(port: &Port, rules: &str, packet: &Packet) -> [bool; 2] {
    [false, true].map(|strict_equivalence| {
        let node = Node { strict_equivalence, ..node([port.clone()], [group(1, rules)]) };
        passes(&desired(&node), packet)
    })
}

/// Those on a packet of port 1.
fn usual(rules: &str, packet: &Packet) -> [bool; 2] {
    verdicts(&port(1, &[1]), rules, packet)
}

const LOOSER: [bool; 2] = [true, false];
const STRICTER: [bool; 2] = [false, true];

#[test]
fn invalid_is_dropped_whatever_the_rules_say() {
    let header = Header::Ports { from: 1, to: 80 };
    for direction in [INGRESS, EGRESS] {
        let opening = packet(1, direction, V4, IpProtocol::TCP, header);
        let rules = "ingress IPv4 anybody tcp\negress IPv4 anybody tcp";
        assert_eq!(usual(rules, &opening), [true, true]);
        assert_eq!(usual(rules, &in_state(&opening, State::Invalid)), LOOSER);
    }
}

#[test]
fn icmpv6_from_a_machine_needs_a_rule_but_for_what_a_host_needs() {
    for kind in [1, 128, 129, 137, 138] {
        assert_eq!(usual("", &icmpv6(1, EGRESS, V6, kind)), LOOSER, "{kind}");
        let allowed = format!("egress IPv6 anybody type {kind}");
        assert_eq!(usual(&allowed, &icmpv6(1, EGRESS, V6, kind)), [true, true], "{kind}");
    }
    for kind in [130, 133, 135, 136] {
        assert_eq!(usual("", &icmpv6(1, EGRESS, V6, kind)), [true, true], "{kind}");
    }
    for kind in [131, 132, 143] {
        let to_groups = [V6[0], "ff02::16"];
        assert_eq!(usual("", &icmpv6(1, EGRESS, to_groups, kind)), [true, true], "{kind}");
        assert_eq!(usual("", &icmpv6(1, EGRESS, V6, kind)), LOOSER, "{kind}");
    }
    assert_eq!(usual("", &icmpv6(1, EGRESS, V6, 134)), [false, false]);
}

#[test]
fn a_neighbour_advertisement_is_judged_by_its_target_on_the_integration_bridge() {
    let from_elsewhere = ["2001:db8::77", "ff02::1"];
    assert_eq!(usual("", &icmpv6(1, EGRESS, from_elsewhere, 136)), STRICTER);
    assert_eq!(usual("", &icmpv6(1, EGRESS, from_elsewhere, 135)), [false, false]);
}

#[test]
fn dhcp_servers_answer_to_any_address() {
    for (addresses, from, to) in
        [(["10.0.0.99", V4[1]], 67, 68), (["2001:db8::99", V6[1]], 547, 546)]
    {
        assert_eq!(usual("", &udp(1, INGRESS, addresses, from, to)), STRICTER);
    }
}

#[test]
fn dhcp_clients_ask_any_server_with_their_own_mac_address() {
    let discover = udp(1, EGRESS, ["0.0.0.0", "192.0.2.1"], 68, 67);
    assert_eq!(usual("", &discover), STRICTER);
    let usual_one = udp(1, EGRESS, ["0.0.0.0", "255.255.255.255"], 68, 67);
    assert_eq!(usual("", &usual_one), [true, true]);
    assert_eq!(usual("", &Packet { source_mac: mac(9), ..usual_one }), LOOSER);
}

#[test]
fn router_advertisements_reach_every_port() {
    let only_ipv4 = with_pairs(port(1, &[1]), &[pair(1, "10.0.0.1")]);
    let advertisement = icmpv6(1, INGRESS, ["ff02::1", "fe80::1"], 134);
    assert_eq!(verdicts(&only_ipv4, "", &advertisement), STRICTER);
    assert_eq!(usual("", &advertisement), [true, true]);
}

#[test]
fn a_port_without_addresses_has_its_link_local_one() {
    let none = with_pairs(port(1, &[1]), &[]);
    let rules = "egress IPv4 anybody any\negress IPv6 anybody any";
    assert_eq!(verdicts(&none, rules, &udp(1, EGRESS, V4, 1, 2)), LOOSER);
    assert_eq!(verdicts(&none, rules, &udp(1, EGRESS, V6, 1, 2)), LOOSER);
    let own = mac(1).link_local().to_string();
    assert_eq!(verdicts(&none, rules, &udp(1, EGRESS, [&own, V6[1]], 1, 2)), [true, true]);
}

#[test]
fn the_mac_address_of_a_pair_has_no_link_local_address() {
    let with_pair = with_pairs(port(1, &[1]), &[pair(1, "2001:db8::1"), pair(9, "2001:db8::9")]);
    let own = mac(9).link_local().to_string();
    let packet = Packet { source_mac: mac(9), ..udp(1, EGRESS, [&own, V6[1]], 1, 2) };
    assert_eq!(verdicts(&with_pair, "egress IPv6 anybody any", &packet), LOOSER);
}

#[test]
fn rules_that_the_other_driver_refuses_do_not_apply() {
    for (number, name) in [(33, "dccp"), (136, "udplite")] {
        let rules = format!("ingress IPv4 anybody {name} 80-90");
        let header = Header::Ports { from: 1, to: 85 };
        let packet = packet(1, INGRESS, V4, IpProtocol(number), header);
        assert_eq!(usual(&rules, &packet), LOOSER);
        let node = Node { strict_equivalence: true, ..node([port(1, &[1])], [group(1, &rules)]) };
        let unmatched = Unmatched::Ports(IpProtocol(number));
        let fault = Fault::Rule { port: port_id(1), rule: rule_id(1), unmatched };
        assert_eq!(desired(&node).faults, [fault]);
    }
}

#[test]
fn protocol_zero_is_not_any_protocol() {
    let rules = "ingress IPv4 anybody 0";
    assert_eq!(usual(rules, &udp(1, INGRESS, V4, 1, 2)), LOOSER);
    let node = Node { strict_equivalence: true, ..node([port(1, &[1])], [group(1, rules)]) };
    let unmatched = Unmatched::ProtocolZero;
    assert_eq!(
        desired(&node).faults,
        [Fault::Rule { port: port_id(1), rule: rule_id(1), unmatched }]
    );
}

#[test]
fn what_is_the_same_stays_the_same() {
    let rules = "ingress IPv4 192.0.2.0/24 udp 5-9\negress IPv6 anybody tcp";
    let cases = [
        (udp(1, INGRESS, V4, 1, 5), true),
        (udp(1, INGRESS, V4, 1, 10), false),
        (udp(1, INGRESS, ["224.0.0.5", "192.0.2.1"], 1, 5), true),
        (udp(1, INGRESS, ["224.0.0.5", "198.51.100.1"], 1, 5), false),
        (udp(1, EGRESS, V4, 68, 67), true),
        (udp(1, EGRESS, V4, 67, 68), false),
        (icmpv6(1, EGRESS, ["::", "ff02::1"], 135), true),
        (icmpv6(1, INGRESS, V6, 130), true),
        (icmpv6(1, INGRESS, V6, 128), false),
        (in_state(&udp(1, INGRESS, V4, 1, 10), State::Established), true),
    ];
    for (packet, expected) in cases {
        assert_eq!(usual(rules, &packet), [expected; 2], "{packet:?}");
    }
}
