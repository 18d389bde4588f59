//! Two halves of a prefix that admit the same are that prefix.

use std::collections::BTreeMap;

use model::{EtherType, Prefix, Remote};

use crate::range_set::RangeSet;

/// What each family and remote admits, in order of both.
type Admitted = BTreeMap<(EtherType, Remote), RangeSet>;

/// The same permissions with as few prefixes as joining gives: the longest halves are joined
/// first, and what they make may be a half again. Both halves of everything are anybody.
pub(crate) fn join_halves(
    admitted: impl Iterator<Item = ((EtherType, Remote), RangeSet)>,
) -> Admitted {
    let mut joined = Admitted::new();
    let mut prefixes: BTreeMap<(u8, Prefix), RangeSet> = BTreeMap::new();
    for (key, set) in admitted {
        match key {
            (_, Remote::Prefix(prefix)) => prefixes.insert((prefix.length(), prefix), set),
            _ => joined.insert(key, set),
        };
    }
    // The longest prefix comes last, and the two halves of a prefix are neighbours.
    while let Some(((_, prefix), set)) = prefixes.pop_last() {
        let other = prefixes.last_key_value().map(|((_, other), same)| (*other, *same == set));
        match (parent(prefix), other) {
            (Some(whole), Some((other, true))) if parent(other) == Some(whole) => {
                prefixes.pop_last();
                let place = prefixes.entry((whole.length(), whole)).or_default();
                *place = place.union(&set);
            }
            (Some(_), _) => {
                joined.insert((prefix.ethertype(), Remote::Prefix(prefix)), set);
            }
            (None, _) => {
                let place = joined.entry((prefix.ethertype(), Remote::Any)).or_default();
                *place = place.union(&set);
            }
        }
    }
    joined
}

/// The prefix that this one is a half of.
fn parent(prefix: Prefix) -> Option<Prefix> {
    Prefix::new(prefix.address(), prefix.length().checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use model::Direction;

    use crate::{Members, compile, sample};

    fn check(rules: &str, expect: Expect) {
        let group = sample::group(rules);
        let policy = compile([&group], Direction::Ingress);
        expect.assert_eq(&policy.to_string());
        crate::check([&group], &Members::default(), Direction::Ingress, &policy).unwrap();
    }

    #[test]
    fn halves_become_the_whole() {
        check(
            "IPv4 10.0.0.0 tcp 22
             IPv4 10.0.0.1 tcp 22
             IPv4 10.0.0.2/31 tcp 22
             IPv4 10.0.0.4 tcp 22
             IPv4 10.0.0.6 tcp 22
             IPv6 2001:db8::2 tcp 22
             IPv6 2001:db8::3 tcp 22",
            expect![[r#"
                IPv4 10.0.0.0/30 tcp 22
                IPv4 10.0.0.4/32 tcp 22
                IPv4 10.0.0.6/32 tcp 22
                IPv6 2001:db8::2/127 tcp 22
            "#]],
        );
    }

    #[test]
    fn both_halves_of_everything_are_anybody() {
        check(
            "IPv4 0.0.0.0/1 tcp 22
             IPv4 128.0.0.0/1 tcp 22
             IPv4 anybody tcp 23",
            expect![[r#"
                IPv4 anybody tcp 22/0xfffe
            "#]],
        );
    }

    #[test]
    fn different_halves_stay() {
        check(
            "IPv4 10.0.0.0/25 tcp 22
             IPv4 10.0.0.128/25 tcp 23",
            expect![[r#"
                IPv4 10.0.0.0/25 tcp 22
                IPv4 10.0.0.128/25 tcp 23
            "#]],
        );
    }
}
