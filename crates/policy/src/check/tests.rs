use expect_test::expect;
use model::IpProtocol;
use proptest::prelude::*;

use super::*;
use crate::{TermMatch, compile, sample};

const RULES: &str = "IPv4 anybody tcp 80-90
     IPv4 anybody type 8 code 0
     IPv4 10.0.0.0/24 udp
     IPv4 group:1 tcp 22
     IPv6 addresses:1 any";

fn members() -> Members {
    let mut members = Members::default();
    let member = crate::Member::new("192.0.2.7".parse().unwrap(), None);
    members.groups.insert(sample::group_id(1), [member].into());
    let prefix = "2001:db8::/64".parse().unwrap();
    members.address_groups.insert(sample::address_group_id(1), [prefix].into());
    members
}

#[test]
fn an_atom_is_counted_once() {
    let group = sample::group("IPv4 10.0.0.0/24 tcp 80-90");
    let policy = compile([&group], Direction::Ingress);
    // Outside of the prefix nothing is cut: one atom for each family. Inside, the rule and the
    // prefixes 80/12, 88/15 and 90 cut the line of ports into five.
    assert_eq!(check([&group], &members(), Direction::Ingress, &policy), Ok(2 + 5));
}

#[test]
fn each_missing_term_is_found() {
    let group = sample::group(RULES);
    let policy = compile([&group], Direction::Ingress);
    assert!(check([&group], &members(), Direction::Ingress, &policy).is_ok());
    for term in &policy.terms {
        let mut less = policy.clone();
        less.terms.remove(term);
        let found = check([&group], &members(), Direction::Ingress, &less).unwrap_err();
        assert!(found.rule.is_some() && found.term.is_none(), "{found}");
        assert!(term.admits(&members(), &found.packet), "{found}");
    }
}

#[test]
fn each_widened_term_is_found() {
    let group = sample::group(RULES);
    let policy = compile([&group], Direction::Ingress);
    for term in &policy.terms {
        let wider = match term.transport {
            TermMatch::Any | TermMatch::Protocol(_) => Term { remote: Remote::Any, ..*term },
            TermMatch::Port { protocol, value, mask } => {
                let mask = mask & !0x4000;
                Term { transport: TermMatch::Port { protocol, value: value & mask, mask }, ..*term }
            }
            TermMatch::Icmp { kind, .. } => {
                Term { transport: TermMatch::Icmp { kind, code: None }, ..*term }
            }
        };
        let mut more = policy.clone();
        more.terms.insert(wider);
        let found = check([&group], &members(), Direction::Ingress, &more).unwrap_err();
        assert_eq!((found.rule, found.term), (None, Some(wider)), "{found}");
    }
}

#[test]
fn the_other_direction_is_another_policy() {
    let group = sample::group(RULES);
    let policy = compile([&group], Direction::Ingress);
    let found = check([&group], &members(), Direction::Egress, &policy).unwrap_err();
    expect!["rules and policy differ on 0.0.0.0 icmp type 8 code 0: no rule admits it, the term 'IPv4 anybody icmp type 8 code 0' does"]
        .assert_eq(&found.to_string());
}

/// A term that admits this packet and hardly another one.
fn only(packet: &Packet) -> Term {
    let transport = match packet.l4 {
        L4::Ports { dst } => {
            TermMatch::Port { protocol: packet.protocol, value: dst, mask: u16::MAX }
        }
        L4::Icmp { kind, code } => TermMatch::Icmp { kind, code: Some(code) },
        L4::None => TermMatch::Protocol(packet.protocol),
    };
    let remote = Remote::Prefix(Prefix::host(packet.remote));
    Term { ethertype: packet.ethertype(), remote, transport }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Spoils the policy for one packet, whichever way, and wants it found.
    #[test]
    fn what_is_spoilt_is_found(
        rules in sample::shapes(1..12),
        members in sample::members(),
        packets in proptest::collection::vec(sample::packet(), 4),
    ) {
        let groups = sample::share_out(&rules, 2);
        let policy = compile(&groups, Direction::Ingress);
        for packet in packets {
            let mut spoilt = policy.clone();
            if policy.admits(&members, &packet).is_some() {
                spoilt.terms.retain(|term| !term.admits(&members, &packet));
            } else {
                spoilt.terms.insert(only(&packet));
            }
            prop_assert!(check(&groups, &members, Direction::Ingress, &spoilt).is_err());
        }
    }

    /// Masks with holes cut atoms that are no ranges.
    #[test]
    fn any_mask_is_understood(value: u16, mask: u16, port: u16) {
        prop_assume!(mask.count_zeros() < 12 && mask != 0);
        let value = value & mask;
        let transport = TermMatch::Port { protocol: IpProtocol::TCP, value, mask };
        let ranges = space::of_term(EtherType::Ipv4, transport);
        let point = space::of_protocol(IpProtocol::TCP).low | u32::from(port);
        prop_assert_eq!(ranges.holds(Range { low: point, high: point }), port & mask == value);
    }
}
