//! Two halves of a prefix that admit the same are that prefix.

use std::collections::BTreeMap;

use model::{EtherType, Prefix, Remote};

use crate::range_set::RangeSet;

/// What each family and remote admits, in order of both and each once.
type Admitted = Vec<((EtherType, Remote), RangeSet)>;

/// The same permissions with as few prefixes as joining gives: the longest halves are joined
/// first, and what they make may be a half again. Both halves of everything are anybody.
pub(crate) fn join_halves(
    admitted: impl Iterator<Item = ((EtherType, Remote), RangeSet)>,
) -> Admitted {
    let mut joined = Admitted::new();
    let mut lengths: BTreeMap<u8, Vec<(Prefix, RangeSet)>> = BTreeMap::new();
    for (key, set) in admitted {
        match key {
            (_, Remote::Prefix(prefix)) => {
                lengths.entry(prefix.length()).or_default().push((prefix, set));
            }
            _ => joined.push((key, set)),
        };
    }
    while let Some((length, prefixes)) = lengths.pop_last() {
        let mut wholes = Vec::new();
        // The two halves of a prefix are neighbours.
        let mut prefixes = prefixes.into_iter().peekable();
        while let Some((prefix, set)) = prefixes.next() {
            let whole = parent(prefix);
            let is_half = |other: &(Prefix, RangeSet)| parent(other.0) == whole && other.1 == set;
            match whole {
                None => joined.push(((prefix.ethertype(), Remote::Any), set)),
                Some(whole) if prefixes.next_if(is_half).is_some() => wholes.push((whole, set)),
                Some(_) => joined.push(((prefix.ethertype(), Remote::Prefix(prefix)), set)),
            }
        }
        if let Some(shorter) = length.checked_sub(1).filter(|_| !wholes.is_empty()) {
            let place = lengths.entry(shorter).or_default();
            place.append(&mut wholes);
            unite(place);
        }
    }
    unite(&mut joined);
    joined
}

/// Brings the keys into order, each once.
fn unite<K: Ord + Copy>(admitted: &mut Vec<(K, RangeSet)>) {
    admitted.sort_by_key(|(key, _)| *key);
    admitted.dedup_by(|(next, more), (last, set)| {
        let same = next == last;
        if same {
            *set = set.union(more);
        }
        same
    });
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
