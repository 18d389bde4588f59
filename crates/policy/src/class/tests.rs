use std::collections::BTreeSet;
use std::fmt::Write;

use expect_test::{Expect, expect};
use model::{Direction, Remote, SecurityGroup};
use proptest::prelude::*;

use super::*;
use crate::{Member, Packet, Policy, Term, allows, atoms, compile, sample};

fn used() -> Vec<RemoteSet> {
    let groups = (0..3).map(|n| RemoteSet::Group(sample::group_id(n)));
    groups.chain([RemoteSet::AddressGroup(sample::address_group_id(0))]).collect()
}

/// Each of them is named by as many terms.
fn demand(sets: Vec<RemoteSet>, terms: usize) -> Demand {
    sets.into_iter().map(|set| (set, terms)).collect()
}

fn belongs(classes: &Classes, set: RemoteSet, entry: &ClassEntry) -> bool {
    classes.of(set).any(|selector| selector.finds(entry))
}

fn add(members: &mut Members, group: u64, prefix: &str, mac: Option<MacAddr>) {
    let member = Member::new(prefix.parse().unwrap(), mac);
    members.groups.entry(sample::group_id(group)).or_default().insert(member);
}

/// One entry a line, with its class as the sets that it belongs to.
fn check(members: &Members, expect: Expect) {
    let classes = Classes::build(&demand(used(), 1), members);
    let mut text = String::new();
    for entry in classes.entries() {
        let sets: Vec<usize> = (0..)
            .zip(used())
            .filter(|(_, set)| belongs(&classes, *set, &entry))
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
    let before: BTreeSet<ClassEntry> =
        Classes::build(&demand(used(), 1), &members).entries().collect();
    add(&mut members, 1, "10.0.1.1", None);
    let after: BTreeSet<ClassEntry> =
        Classes::build(&demand(used(), 1), &members).entries().collect();
    assert!(before.is_subset(&after));
    assert_eq!(after.len(), before.len() + 1);
}

#[test]
fn a_class_has_the_same_number_for_ever() {
    let mut members = Members::default();
    add(&mut members, 0, "10.0.0.1", None);
    add(&mut members, 0, "10.0.0.2", None);
    add(&mut members, 1, "10.0.0.2", None);
    let classes = Classes::build(&demand(used(), 1), &members);
    let numbers: Vec<u32> = classes.entries().map(|entry| entry.class.0).collect();
    expect!["[1535480768, 2845566432]"].assert_eq(&format!("{numbers:?}"));
}

/// Group 0 with a member in each combination of it and groups 1 to 3.
fn overlapping() -> (Vec<RemoteSet>, Members) {
    let mut members = Members::default();
    for last in 0..8 {
        let address = format!("10.0.0.{last}");
        add(&mut members, 0, &address, None);
        for group in (1..4).filter(|group| last >> (group - 1) & 1 == 1) {
            add(&mut members, group, &address, None);
        }
    }
    ((0..4).map(|n| RemoteSet::Group(sample::group_id(n))).collect(), members)
}

#[test]
fn a_set_with_many_classes_gets_a_bit_where_that_saves_flows() {
    let (sets, members) = overlapping();
    let selectors = |terms| -> Vec<usize> {
        let mut demand = demand(sets.clone(), 1);
        demand =
            demand.iter().map(|(set, n)| (set, if set == sets[0] { terms } else { n })).collect();
        let classes = Classes::build(&demand, &members);
        sets.iter().map(|set| classes.of(*set).count()).collect()
    };
    assert_eq!(selectors(18), [8, 4, 4, 4]);
    assert_eq!(selectors(19), [1, 4, 4, 4], "a bit, and who has it alone needs no class");
    let demand = sets.iter().map(|set| (*set, 19)).collect();
    let classes = Classes::build(&demand, &members);
    let alone = classes.lookup([10, 0, 0, 0].into(), None).unwrap();
    assert_eq!(alone.class, ClassId::NONE);
    assert!(belongs(&classes, sets[0], &alone));
    assert!(!belongs(&classes, sets[1], &alone));
}

#[test]
fn members_who_come_and_go_change_no_decision() {
    let (sets, mut members) = overlapping();
    let demand = demand(sets.clone(), 19);
    let mut classes = Classes::build(&demand, &members);
    for last in 8..100 {
        add(&mut members, last % 4, &format!("10.0.0.{last}"), None);
        let changes = classes.follow(&demand, &members);
        assert_eq!((changes.came.len(), changes.went.len()), (1, 0));
        assert!(changes.selectors.is_empty(), "{last}");
    }
}

/// One of each combination has another number than its hash.
fn weak(sets: &[RemoteSet]) -> u32 {
    membership::hash(sets) % 5
}

/// Terms that name each of six sets and their members.
type Moment = (Demand, Members);

/// Moments of which each differs from the last in one set.
fn moments() -> impl Strategy<Value = Vec<Moment>> {
    let terms = prop_oneof![1 => Just(0), 3 => Just(1), 2 => Just(18), 2 => Just(200)];
    let member = (sample::prefix(), 0..2_u8)
        .prop_map(|(prefix, last)| Member::new(prefix, Some(sample::mac(last))));
    let low = (0..40_u8).prop_map(|low| Member::new(Prefix::host([10, 0, 0, low].into()), None));
    let member = prop_oneof![1 => member, 4 => low];
    let many = proptest::collection::btree_set(member, 0..40);
    let step =
        (0..6_u64, terms, prop_oneof![4 => many.prop_map(Some), 1 => Just(None)], any::<bool>());
    proptest::collection::vec(step, 1..20).prop_map(|steps| {
        let mut terms = BTreeMap::new();
        let mut members = Members::default();
        let mut moments = Vec::new();
        for (number, named, set, little) in steps {
            let id = sample::group_id(number);
            let addresses = sample::address_group_id(number);
            if number < 4 {
                terms.insert(RemoteSet::Group(id), named);
            } else {
                terms.insert(RemoteSet::AddressGroup(addresses), named);
            }
            let mut set = set;
            if let (true, Some(set)) = (little, &mut set)
                && let Some(before) = members.groups.get(&id)
            {
                // One who is new and one who has gone.
                let new = set.iter().find(|member| !before.contains(member)).copied();
                *set = before.iter().skip(1).copied().chain(new).collect();
            }
            match (number < 4, set) {
                (true, Some(set)) => {
                    members.groups.insert(id, set.into_iter().collect());
                }
                (true, None) => {
                    members.groups.remove(&id);
                }
                (false, set) => {
                    let set = set.unwrap_or_default();
                    let prefixes = set.into_iter().map(|member| member.prefix()).collect();
                    members.address_groups.insert(addresses, prefixes);
                }
            }
            let demand = terms.iter().map(|(set, terms)| (*set, *terms)).collect();
            moments.push((demand, members.clone()));
        }
        moments
    })
}

fn selectors(classes: &Classes, set: RemoteSet) -> Vec<Selector> {
    classes.of(set).collect()
}

/// What happened along the way: how often a set got or lost a bit, and how many classes had
/// another number than their hash.
#[derive(Default)]
struct Seen {
    turns: usize,
    collisions: usize,
}

/// Each step makes what a build makes, and says exactly what is different.
fn follows(hash: Hash, moments: &[Moment], seen: &mut Seen) -> Result<(), TestCaseError> {
    let nobody = (Demand::default(), Members::default());
    let mut followed = Classes::build_by(hash, &nobody.0, &nobody.1);
    let mut before = followed.clone();
    for (demand, members) in moments {
        let changes = followed.follow(demand, members);
        let built = Classes::build_by(hash, demand, members);
        prop_assert!(followed.entries().eq(built.entries()));
        for set in sample::remote_sets() {
            prop_assert_eq!(selectors(&followed, set), selectors(&built, set));
            let is_other = selectors(&before, set) != selectors(&built, set);
            prop_assert_eq!(changes.selectors.contains(&set), is_other, "{:?}", set);
        }
        let old: BTreeSet<ClassEntry> = before.entries().collect();
        let new: BTreeSet<ClassEntry> = built.entries().collect();
        prop_assert_eq!(changes.came, new.difference(&old).copied().collect());
        prop_assert_eq!(changes.went, old.difference(&new).copied().collect());
        prop_assert!(followed.follow(demand, members).is_empty());
        seen.turns += usize::from(before.bits != built.bits);
        seen.collisions += usize::from(built.memberships.collided);
        before = built;
    }
    Ok(())
}

fn follow_equals_build(hash: Hash) -> Seen {
    let mut seen = Seen::default();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let all = std::cell::RefCell::new(&mut seen);
    runner.run(&moments(), |moments| follows(hash, &moments, &mut all.borrow_mut())).unwrap();
    seen
}

#[test]
fn follow_equals_build_also_where_bits_come_and_go() {
    let seen = follow_equals_build(membership::hash);
    assert!(seen.turns > 20, "{} turns", seen.turns);
    assert_eq!(seen.collisions, 0);
}

#[test]
fn follow_equals_build_where_hashes_collide() {
    let seen = follow_equals_build(weak);
    assert!(seen.collisions > 20, "{} collisions", seen.collisions);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn lookup_equals_membership_with_bits(moments in moments()) {
        let Some((demand, members)) = moments.last() else { return Ok(()) };
        let classes = Classes::build(demand, members);
        for low in 0..41 {
            for mac in [None, Some(sample::mac(0)), Some(sample::mac(1))] {
                holds(&classes, demand, members, [10, 0, 0, low].into(), mac)?;
            }
        }
    }
}

/// What the classes say of an address is what the members say.
fn holds(
    classes: &Classes,
    demand: &Demand,
    members: &Members,
    address: IpAddr,
    mac: Option<MacAddr>,
) -> Result<(), TestCaseError> {
    let entry = classes.lookup(address, mac);
    let mut nothing = true;
    for (set, _) in demand.iter() {
        let expected = members.holds(set, address, mac);
        nothing &= !expected;
        let found = entry.is_some_and(|entry| belongs(classes, set, &entry));
        prop_assert_eq!(found, expected, "{} {:?}", address, set);
    }
    prop_assert_eq!(entry.is_none(), nothing);
    Ok(())
}

/// 200 rules that name 64 groups, of which each of 400 addresses is in about a half: with a class
/// for each combination they would be 200 times 200 flows.
#[test]
fn rules_that_name_many_random_groups_cost_one_flow_each() {
    let mut members = Members::default();
    let mut state = 1_u64;
    for address in 0..400_u32 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(address.into());
        let groups = state ^ state >> 32;
        for group in (0..64).filter(|group| groups >> group & 1 == 1) {
            add(&mut members, group, &format!("10.0.{}.{}", address / 256, address % 256), None);
        }
    }
    let terms = |number: u64| if number < 8 { 4 } else { 3 };
    let sets = (0..64).map(|number| (RemoteSet::Group(sample::group_id(number)), terms(number)));
    let demand: Demand = sets.collect();
    let classes = Classes::build(&demand, &members);
    let by_class = |set| classes.memberships.counts().get(&set).copied().unwrap_or(0);
    let flows = |each: &dyn Fn(RemoteSet) -> usize| -> usize {
        demand.iter().map(|(set, terms)| terms * each(set)).sum()
    };
    assert_eq!(flows(&|set| classes.of(set).count()), 200);
    assert!(flows(&by_class) > 35_000, "{}", flows(&by_class));
}

/// Whether a switch that goes by terms and classes admits the packet.
fn admits(policy: &Policy, classes: &Classes, packet: &Packet) -> bool {
    let entry = classes.lookup(packet.remote, packet.remote_mac);
    policy.terms.iter().any(|term| {
        let anybody = Term { remote: Remote::Any, ..*term };
        let (set, found) = (RemoteSet::of(term.remote), entry.as_ref());
        let by_class = set.map(|set| found.is_some_and(|entry| belongs(classes, set, entry)));
        match by_class {
            Some(belongs) => belongs && anybody.admits(&Members::default(), packet),
            None => term.admits(&Members::default(), packet),
        }
    })
}

/// Rules, the terms that are made of them, and the classes that those need: every atom has one
/// verdict, whether groups have bits or classes.
#[test]
fn terms_with_classes_equal_rules() {
    let rules = prop_oneof![1 => sample::shapes(0..30), 2 => sample::shapes(100..250)];
    let members = prop_oneof![1 => sample::members(), 3 => sample::crowd()];
    let (bits, several) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&(rules, members), |(rules, members)| {
        let groups = sample::share_out(&rules, 3);
        let all: Vec<&SecurityGroup> = groups.iter().collect();
        let policy = compile(&groups, Direction::Ingress);
        let classes = Classes::build(&Demand::of(&policy), &members);
        bits.set(bits.get() + usize::from(!classes.bits.is_empty()));
        let many = sample::remote_sets().any(|set| classes.of(set).count() > 1);
        several.set(several.get() + usize::from(many));
        for packet in atoms(&all, &members, Direction::Ingress, &policy) {
            let allowed = allows(&groups, &members, Direction::Ingress, &packet).is_some();
            prop_assert_eq!(admits(&policy, &classes, &packet), allowed, "{}", packet);
        }
        Ok(())
    });
    outcome.unwrap();
    assert!(bits.get() > 0 && several.get() > 0, "{bits:?} with bits, {several:?} with classes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn lookup_equals_membership(
        members in sample::members(),
        addresses in proptest::collection::vec((sample::address(), 0..4_u8), 15),
    ) {
        let demand = demand(used(), 1);
        let classes = Classes::build(&demand, &members);
        for (address, last) in addresses {
            let mac = Some(sample::mac(last)).filter(|_| last < 3);
            holds(&classes, &demand, &members, address, mac)?;
        }
    }

    #[test]
    fn every_entry_is_needed(members in sample::members()) {
        let classes = Classes::build(&demand(used(), 1), &members);
        let entries: Vec<ClassEntry> = classes.entries().collect();
        for entry in &entries {
            let next = entries.iter().find(|other| {
                other != &entry
                    && other.prefix.covers(&entry.prefix)
                    && other.prefix.length() < entry.prefix.length()
                    && other.mac == entry.mac
            });
            prop_assert!(next.is_none_or(|next| next.class != entry.class));
            prop_assert!(entry.class != ClassId::NONE);
        }
    }
}
