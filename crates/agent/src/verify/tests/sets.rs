//! Remote groups whose members are in many combinations, so that groups get bits.

use std::cell::Cell;

use proptest::test_runner::TestRunner;

use super::stateless::compare;
use super::*;

/// Rules on every other port, so that they cannot be merged.
const RULES: u16 = 20;

/// TCP to [`RULES`] ports from or to members of a group.
fn rules(direction: Direction, ethertype: EtherType, group: u8) -> impl Iterator<Item = Shape> {
    let remote = Remote::Group(group_id(group));
    (0..RULES).map(move |n| (direction, ethertype, tcp(80 + 2 * n, 80 + 2 * n), remote))
}

/// One rule for each of these groups in each direction.
fn named(groups: std::ops::Range<u8>) -> impl Iterator<Item = Shape> {
    let both = [Direction::Egress, Direction::Ingress];
    groups.map(|group| Remote::Group(group_id(group))).flat_map(move |remote| {
        both.map(|direction| (direction, EtherType::Ipv4, tcp(9, 9), remote))
    })
}

/// How many rule flows match a bit.
fn bits(flows: &[Arc<Flow>]) -> usize {
    let matches_bit = |flow: &&Arc<Flow>| {
        let flow = flow.to_string();
        let registers = ["reg11=", "reg12=", "reg13=", "reg14=", "reg15="];
        registers.iter().any(|register| flow.contains(register))
    };
    flows.iter().filter(matches_bit).count()
}

/// A node whose group 2 has a bit in each direction; the addresses in it, this one among them,
/// have all combinations of 3 to 5.
pub(super) fn node_with_bits(member: IpAddr) -> Snapshot {
    let both = [Direction::Egress, Direction::Ingress];
    let mut shapes: Vec<Shape> =
        both.into_iter().flat_map(|direction| rules(direction, EtherType::Ipv4, 2)).collect();
    shapes.extend(named(3..6));
    let mut members = vec![BTreeSet::new(); 6];
    for n in 0..8_u8 {
        let address = Prefix::host(if n == 0 { member } else { [10, 0, 0, 100 + n].into() });
        members[2].insert(address);
        for group in (0..3).filter(|group| n >> group & 1 == 1) {
            members[3 + group].insert(address);
        }
    }
    members[3].insert(Prefix::host([10, 0, 0, 3].into()));
    let snapshot = node(&shapes, &members, false);
    // In each direction one policy has all of the rules and one has half of them.
    assert_eq!(bits(&desired(&snapshot)), usize::from(RULES) * 3);
    snapshot
}

/// What the destination belongs to on the way out says nothing of the source on the way in.
#[test]
fn bits_of_the_destination_are_forgotten() {
    // Port 2 is in the group with a bit, port 3 in one without; port 1 is in none.
    let snapshot = node_with_bits([10, 0, 0, 2].into());
    let bridge = Bridge::new(&bridge::desired(&snapshot).flows);
    for sender in snapshot.ports.values() {
        let others = snapshot.ports.values().filter(|other| *other != sender);
        others.for_each(|receiver| compare(&snapshot, &bridge, sender, receiver));
    }
}

fn host() -> impl Strategy<Value = Prefix> {
    let host = (any::<bool>(), 0..24_u8);
    let host = host.prop_map(|(four, low)| Prefix::host(address(four, 0, low)));
    prop_oneof![12 => host, 1 => prefix()]
}

/// Whichever of the groups have bits, the flows say what the rules say.
#[test]
fn flows_with_bits_say_what_the_rules_say() {
    let direction = prop::sample::select(vec![Direction::Ingress, Direction::Egress]);
    let ethertype = prop::sample::select(vec![EtherType::Ipv4, EtherType::Ipv6]);
    let many = vec((direction, ethertype, 0..6_u8), 2..4);
    let members = vec(btree_set(host(), 8..24), 6);
    let seen = Cell::new((0, 0));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(8) };
    let outcome = TestRunner::new(config).run(
        &(many, vec(shape(6), 4..10), members),
        |(many, mut shapes, members)| {
            for (direction, ethertype, group) in many {
                shapes.extend(rules(direction, ethertype, group));
            }
            shapes.extend(named(0..6));
            let snapshot = node(&shapes, &members, true);
            let flows = desired(&snapshot);
            let (with, without) = seen.get();
            let by_class = flows.iter().any(|flow| flow.to_string().contains(",reg8="));
            seen.set((with + usize::from(bits(&flows) > 0), without + usize::from(by_class)));
            let report = found(&snapshot, flows);
            prop_assert_eq!(report.differences, []);
            prop_assert_eq!(report.checked, report.of);
            Ok(())
        },
    );
    outcome.unwrap();
    let (with, without) = seen.get();
    assert!(with >= 4 && without >= 4, "{with} with bits, {without} with classes");
}
