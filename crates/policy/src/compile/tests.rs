use expect_test::{Expect, expect};
use model::{IpProtocol, SecurityGroup};
use proptest::prelude::*;

use super::*;
use crate::{Members, allows, sample};

fn check(rules: &str, expect: Expect) {
    let group = sample::group(rules);
    let policy = compile([&group], Direction::Ingress);
    expect.assert_eq(&policy.to_string());
    crate::check([&group], &Members::default(), Direction::Ingress, &policy).unwrap();
}

#[test]
fn nothing_is_admitted_without_rules() {
    check("", expect![]);
}

#[test]
fn ports_are_merged_and_cut() {
    check(
        "IPv4 anybody tcp 3000-3000
         IPv4 anybody tcp 3002-3999
         IPv4 anybody tcp 3001-3500
         IPv4 anybody udp 1-65535
         IPv4 anybody sctp 65535",
        expect![[r#"
            IPv4 anybody tcp 3000/0xfff8
            IPv4 anybody tcp 3008/0xffc0
            IPv4 anybody tcp 3072/0xfe00
            IPv4 anybody tcp 3584/0xff00
            IPv4 anybody tcp 3840/0xff80
            IPv4 anybody tcp 3968/0xffe0
            IPv4 anybody udp 1
            IPv4 anybody udp 2/0xfffe
            IPv4 anybody udp 4/0xfffc
            IPv4 anybody udp 8/0xfff8
            IPv4 anybody udp 16/0xfff0
            IPv4 anybody udp 32/0xffe0
            IPv4 anybody udp 64/0xffc0
            IPv4 anybody udp 128/0xff80
            IPv4 anybody udp 256/0xff00
            IPv4 anybody udp 512/0xfe00
            IPv4 anybody udp 1024/0xfc00
            IPv4 anybody udp 2048/0xf800
            IPv4 anybody udp 4096/0xf000
            IPv4 anybody udp 8192/0xe000
            IPv4 anybody udp 16384/0xc000
            IPv4 anybody udp 32768/0x8000
            IPv4 anybody sctp 65535
        "#]],
    );
}

#[test]
fn all_ports_are_the_protocol() {
    check(
        "IPv6 anybody tcp 0-79
         IPv6 anybody tcp 80-65535",
        expect![[r#"
            IPv6 anybody tcp
        "#]],
    );
}

#[test]
fn every_protocol_is_anything() {
    let all: String = (0..=255).map(|n| format!("IPv4 anybody {n}\n")).collect();
    check(
        &all,
        expect![[r#"
            IPv4 anybody anything
        "#]],
    );
}

#[test]
fn icmp_types_and_codes() {
    let codes: String = (0..=255).map(|n| format!("IPv4 anybody type 3 code {n}\n")).collect();
    check(
        &format!(
            "{codes}
             IPv4 anybody type 8 code 0
             IPv4 anybody type 0 code 0
             IPv4 anybody type 0
             IPv6 anybody type 128
             IPv6 2001:db8::/32 type 1"
        ),
        expect![[r#"
            IPv4 anybody icmp type 0
            IPv4 anybody icmp type 3
            IPv4 anybody icmp type 8 code 0
            IPv6 anybody icmp type 128
            IPv6 2001:db8::/32 icmp type 1
        "#]],
    );
    let kinds: String = (0..=255).map(|n| format!("IPv6 anybody type {n}\n")).collect();
    check(
        &kinds,
        expect![[r#"
            IPv6 anybody ipv6-icmp
        "#]],
    );
}

#[test]
fn wider_remotes_cover() {
    check(
        "IPv4 anybody tcp 80
         IPv4 10.0.0.0/8 tcp 80
         IPv4 10.0.0.0/8 udp
         IPv4 10.1.0.0/16 udp 53
         IPv4 10.1.2.0/24 tcp
         IPv4 10.1.2.3/32 tcp 443
         IPv4 11.0.0.0/8 udp 53
         IPv4 group:1 tcp 80
         IPv4 group:1 udp 53
         IPv4 addresses:1 any
         IPv6 group:1 tcp 80",
        expect![[r#"
            IPv4 anybody tcp 80
            IPv4 10.0.0.0/8 udp
            IPv4 10.1.2.0/24 tcp
            IPv4 11.0.0.0/8 udp 53
            IPv4 group 00000000-0000-4000-8000-000000000001 udp 53
            IPv4 address group 00000000-0000-4000-9000-000000000001 anything
            IPv6 group 00000000-0000-4000-8000-000000000001 tcp 80
        "#]],
    );
}

#[test]
fn a_cut_is_taken_where_it_saves_terms() {
    check(
        // The prefix says 1000-2000, of which anybody may do 1000-1023: that would be two more.
        "IPv4 anybody tcp 0-1023
         IPv4 10.0.0.0/8 tcp 1000-2000",
        expect![[r#"
            IPv4 anybody tcp 0/0xfc00
            IPv4 10.0.0.0/8 tcp 1024/0xfe00
            IPv4 10.0.0.0/8 tcp 1536/0xff00
            IPv4 10.0.0.0/8 tcp 1792/0xff80
            IPv4 10.0.0.0/8 tcp 1920/0xffc0
            IPv4 10.0.0.0/8 tcp 1984/0xfff0
            IPv4 10.0.0.0/8 tcp 2000
        "#]],
    );
    check(
        // What anybody may do fills the gaps of what the prefix may do.
        "IPv4 anybody tcp 81
         IPv4 anybody udp 0-99
         IPv4 10.0.0.0/8 tcp 80
         IPv4 10.0.0.0/8 tcp 82-83
         IPv4 10.0.0.0/8 udp 100-65535",
        expect![[r#"
            IPv4 anybody tcp 81
            IPv4 anybody udp 0/0xffc0
            IPv4 anybody udp 64/0xffe0
            IPv4 anybody udp 96/0xfffc
            IPv4 10.0.0.0/8 udp
            IPv4 10.0.0.0/8 tcp 80/0xfffc
        "#]],
    );
}

#[test]
fn ports_that_a_driver_cannot_match_are_refused() {
    let group = sample::group(
        "IPv4 anybody dccp 80-90
         IPv4 10.0.0.0/8 dccp
         IPv4 10.0.0.0/8 dccp 5
         IPv4 anybody tcp 80",
    );
    let mut policy = compile([&group], Direction::Ingress);
    let unmatched = [IpProtocol::DCCP, IpProtocol::UDPLITE];
    let refused = policy.refuse_ports(&unmatched, [&group], Direction::Ingress);
    expect![[r#"
        IPv4 anybody tcp 80
        IPv4 10.0.0.0/8 dccp
    "#]]
    .assert_eq(&policy.to_string());
    let told: Vec<String> = refused.iter().map(ToString::to_string).collect();
    expect![
        "rule 00000000-0000-4000-a000-000000000001 does not apply: ports of dccp cannot be matched"
    ]
    .assert_eq(&told.join("\n"));
    assert!(policy.refuse_ports(&unmatched, [&group], Direction::Ingress).is_empty());
}

#[test]
fn a_thousand_growing_ranges_are_one() {
    let rules: String =
        (3000..4000).map(|high| format!("IPv4 anybody tcp 3000-{high}\n")).collect();
    let policy = compile([&sample::group(&rules)], Direction::Ingress);
    assert_eq!(policy.terms.len(), 6);
}

fn equal(groups: &[SecurityGroup], members: &Members) -> Result<(), TestCaseError> {
    for direction in [Direction::Ingress, Direction::Egress] {
        let policy = compile(groups, direction);
        let result = crate::check(groups, members, direction, &policy);
        prop_assert!(result.is_ok(), "{}\n{policy}", result.unwrap_err());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn policy_equals_rules(rules in sample::shapes(0..16), members in sample::members()) {
        equal(&sample::share_out(&rules, 3), &members)?;
    }

    /// Does not share the atoms with the check.
    #[test]
    fn policy_equals_rules_on_random_packets(
        rules in sample::shapes(0..16),
        members in sample::members(),
        packets in proptest::collection::vec(sample::packet(), 20),
    ) {
        let groups = sample::share_out(&rules, 2);
        let policy = compile(&groups, Direction::Ingress);
        for packet in packets {
            let rule = allows(&groups, &members, Direction::Ingress, &packet);
            let term = policy.admits(&members, &packet);
            prop_assert_eq!(rule.is_some(), term.is_some(), "{:?}", packet);
        }
    }

    #[test]
    fn order_and_duplicates_do_not_matter(
        (rules, other) in sample::shapes(0..40).prop_flat_map(|rules| {
            let again = rules.iter().chain(rules.iter().step_by(2)).copied().collect::<Vec<_>>();
            (Just(rules), Just(again).prop_shuffle())
        }),
    ) {
        let one = compile(&sample::share_out(&rules, 1), Direction::Ingress);
        let two = compile(&sample::share_out(&other, 4), Direction::Ingress);
        prop_assert_eq!(one, two);
    }

    #[test]
    fn every_rule_that_is_not_refused_is_admitted(
        rules in sample::shapes(0..30),
        members in sample::members(),
        packets in proptest::collection::vec(sample::packet(), 20),
    ) {
        let groups = sample::share_out(&rules, 2);
        let mut policy = compile(&groups, Direction::Ingress);
        let unmatched = [IpProtocol::DCCP, IpProtocol::UDPLITE];
        let refused = policy.refuse_ports(&unmatched, &groups, Direction::Ingress);
        let mut left = groups.clone();
        for group in &mut left {
            group.rules.retain(|rule| refused.iter().all(|refusal| refusal.rule != rule.id()));
        }
        for packet in packets {
            let admitted = policy.admits(&members, &packet).is_some();
            if allows(&groups, &members, Direction::Ingress, &packet).is_none() {
                prop_assert!(!admitted, "widened: {packet:?}");
            }
            if allows(&left, &members, Direction::Ingress, &packet).is_some() {
                prop_assert!(admitted, "lost: {packet:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn large_policy_equals_rules(
        rules in sample::shapes(200..400),
        members in prop_oneof![sample::members(), sample::crowd()],
    ) {
        equal(&sample::share_out(&rules, 5), &members)?;
    }
}
