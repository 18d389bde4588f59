use std::fmt::Write;
use std::sync::Arc;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::{Member, sample};

fn used() -> BTreeSet<RemoteSet> {
    let groups = (0..3).map(|n| RemoteSet::Group(sample::group_id(n)));
    groups.chain([RemoteSet::AddressGroup(sample::address_group_id(0))]).collect()
}

fn add(members: &mut Members, group: u64, prefix: &str, mac: Option<MacAddr>) {
    let member = Member::new(prefix.parse().unwrap(), mac);
    let group = members.groups.entry(sample::group_id(group)).or_default();
    Arc::make_mut(group).insert(member);
}

/// One entry a line, with its class as the sets that it belongs to.
fn check(members: &Members, expect: Expect) {
    let classes = Classes::build(&used(), members);
    let mut text = String::new();
    for entry in classes.entries() {
        let sets: Vec<usize> = (0..)
            .zip(used())
            .filter(|(_, set)| classes.of(*set).any(|class| class == entry.class))
            .map(|(number, _)| number)
            .collect();
        let mac = entry.mac.map(|mac| format!(" {mac}")).unwrap_or_default();
        writeln!(text, "{}{mac} {sets:?}", entry.prefix).unwrap();
    }
    expect.assert_eq(&text);
}

#[test]
fn nested_prefixes_inherit() {
    let mut members = Members::default();
    add(&mut members, 0, "10.0.0.0/24", None);
    add(&mut members, 1, "10.0.0.5", None);
    add(&mut members, 0, "10.0.0.6", None);
    add(&mut members, 2, "10.0.0.0/16", None);
    add(&mut members, 2, "2001:db8::1", None);
    add(&mut members, 7, "10.9.9.9", None);
    check(
        &members,
        expect![[r#"
            2001:db8::1/128 [2]
            10.0.0.5/32 [0, 1, 2]
            10.0.0.0/24 [0, 2]
            10.0.0.0/16 [2]
        "#]],
    );
}

#[test]
fn any_address_is_tied_to_its_mac() {
    let mut members = Members::default();
    add(&mut members, 0, "10.0.0.1", Some(sample::mac(1)));
    add(&mut members, 0, "0.0.0.0/0", Some(sample::mac(1)));
    add(&mut members, 1, "10.0.0.2", Some(sample::mac(2)));
    check(
        &members,
        expect![[r#"
            10.0.0.2/32 fa:16:3e:00:00:01 [0, 1]
            0.0.0.0/0 fa:16:3e:00:00:01 [0]
            10.0.0.1/32 [0]
            10.0.0.2/32 [1]
        "#]],
    );
}

#[test]
fn one_more_member_is_one_more_entry() {
    let mut members = Members::default();
    for last in 1..100 {
        add(&mut members, last % 3, &format!("10.0.0.{last}"), None);
    }
    let before: BTreeSet<ClassEntry> = Classes::build(&used(), &members).entries().collect();
    add(&mut members, 1, "10.0.1.1", None);
    let after: BTreeSet<ClassEntry> = Classes::build(&used(), &members).entries().collect();
    assert!(before.is_subset(&after));
    assert_eq!(after.len(), before.len() + 1);
}

#[test]
fn a_class_has_the_same_number_for_ever() {
    let mut members = Members::default();
    add(&mut members, 0, "10.0.0.1", None);
    add(&mut members, 0, "10.0.0.2", None);
    add(&mut members, 1, "10.0.0.2", None);
    let classes = Classes::build(&used(), &members);
    let numbers: Vec<u32> = classes.entries().map(|entry| entry.class.0).collect();
    expect!["[1535480768, 2845566432]"].assert_eq(&format!("{numbers:?}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn lookup_equals_membership(
        members in sample::members(),
        addresses in proptest::collection::vec((sample::address(), 0..4_u8), 15),
    ) {
        let classes = Classes::build(&used(), &members);
        for (address, last) in addresses {
            let mac = Some(sample::mac(last)).filter(|_| last < 3);
            let class = classes.lookup(address, mac);
            let mut nothing = true;
            for set in used() {
                let belongs = members.holds(set, address, mac);
                nothing &= !belongs;
                prop_assert_eq!(classes.of(set).any(|c| c == class), belongs, "{} {:?}", address, set);
            }
            prop_assert_eq!(class == ClassId::NONE, nothing);
        }
    }

    #[test]
    fn every_entry_is_needed(members in sample::members()) {
        let classes = Classes::build(&used(), &members);
        for entry in classes.entries() {
            let next = classes.entries.iter().find(|other| {
                other != &&entry
                    && other.prefix.covers(&entry.prefix)
                    && other.prefix.length() < entry.prefix.length()
                    && other.mac == entry.mac
            });
            prop_assert!(next.is_none_or(|next| next.class != entry.class));
            prop_assert!(entry.class != ClassId::NONE);
        }
    }
}
