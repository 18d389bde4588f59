//! How often rules name the groups and address groups that stand for changing addresses.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Policy, RemoteSet};

/// How many terms name each group and address group; one that no term names is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand(BTreeMap<RemoteSet, usize>);

impl Demand {
    /// Of one policy.
    pub fn of(policy: &Policy) -> Self {
        let mut demand = Self::default();
        for set in policy.terms.iter().filter_map(|term| RemoteSet::of(term.remote)) {
            *demand.0.entry(set).or_default() += 1;
        }
        demand
    }

    /// With that of others besides.
    pub fn add(&mut self, other: &Self) {
        for (set, terms) in other.iter() {
            *self.0.entry(set).or_default() += terms;
        }
    }

    /// Without that of others, which was added before.
    pub fn remove(&mut self, other: &Self) {
        for (set, terms) in other.iter() {
            let left = self.terms(set).saturating_sub(terms);
            if left > 0 {
                self.0.insert(set, left);
            } else {
                self.0.remove(&set);
            }
        }
    }

    /// Whether one of these sets is named.
    pub fn names_any(&self, sets: &BTreeSet<RemoteSet>) -> bool {
        sets.iter().any(|set| self.0.contains_key(set))
    }

    /// How many terms name the set.
    pub fn terms(&self, set: RemoteSet) -> usize {
        self.0.get(&set).copied().unwrap_or(0)
    }

    /// The sets and how many terms name them, at least one.
    pub fn iter(&self) -> impl Iterator<Item = (RemoteSet, usize)> {
        self.0.iter().map(|(set, terms)| (*set, *terms))
    }
}

impl FromIterator<(RemoteSet, usize)> for Demand {
    fn from_iter<I: IntoIterator<Item = (RemoteSet, usize)>>(terms: I) -> Self {
        Self(terms.into_iter().filter(|(_, terms)| *terms > 0).collect())
    }
}

#[cfg(test)]
mod tests {
    use model::Direction;

    use super::*;
    use crate::{compile, sample};

    #[test]
    fn terms_are_counted_and_forgotten() {
        let rules = "IPv4 group:1 tcp 22\nIPv6 group:1 tcp 22\nIPv4 group:2 any\nIPv4 anybody udp";
        let one = compile([&sample::group(rules)], Direction::Ingress);
        let two = compile([&sample::group("IPv4 group:2 tcp")], Direction::Ingress);
        let set = |number| RemoteSet::Group(sample::group_id(number));
        let [one, two] = [one, two].map(|policy| Demand::of(&policy));
        let mut demand = one.clone();
        demand.add(&two);
        assert_eq!(demand, [(set(1), 2), (set(2), 2)].into_iter().collect());
        demand.remove(&one);
        assert_eq!(demand, [(set(2), 1)].into_iter().collect());
        assert_eq!((demand.terms(set(1)), demand.terms(set(2))), (0, 1));
        assert!(demand.names_any(&[set(1), set(2)].into()));
        assert!(!demand.names_any(&[set(1)].into()));
        demand.remove(&two);
        assert_eq!(demand, Demand::default());
    }
}
