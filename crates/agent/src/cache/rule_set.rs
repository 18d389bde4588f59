//! Rules by their group, in the form in which snapshots share them. Pure.
//!
//! A rule is kept once, in its group. A group that nothing has happened to stays the same object,
//! which is how whoever follows snapshots knows that there is nothing to do.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{SecurityGroup, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId};
use neutron::convert::ConvertError;
use policy::RemoteSet;

/// Rules that are known.
#[derive(Debug, Default)]
pub(super) struct RuleSet {
    index: BTreeMap<SecurityGroupRuleId, Known>,
    groups: BTreeMap<SecurityGroupId, Rules>,
}

/// What is known of a rule beside what it says.
#[derive(Debug)]
struct Known {
    group: SecurityGroupId,
    revision: u64,
    learned: u64,
}

/// The rules of a group.
#[derive(Debug)]
struct Rules {
    group: Arc<SecurityGroup>,
    /// Those that do not convert, and so do not apply.
    broken: BTreeMap<SecurityGroupRuleId, ConvertError>,
    /// How many rules name the set as their remote.
    remote_sets: BTreeMap<RemoteSet, usize>,
}

/// A rule as the server says it.
pub(super) struct Told {
    pub(super) id: SecurityGroupRuleId,
    pub(super) group: SecurityGroupId,
    pub(super) revision: u64,
    /// The moment of the cache.
    pub(super) learned: u64,
    /// What it says, unless it does not convert.
    pub(super) rule: Result<SecurityGroupRule, ConvertError>,
}

impl RuleSet {
    /// There is this group, maybe without rules.
    pub(super) fn know(&mut self, id: SecurityGroupId) -> &mut Arc<SecurityGroup> {
        &mut self.entry(id).group
    }

    /// Stores what is not older than what is there. Tells whether it did.
    pub(super) fn store(&mut self, told: Told) -> bool {
        let Told { id, group, revision, learned, rule } = told;
        if self.index.get(&id).is_some_and(|known| known.revision > revision) {
            return false;
        }
        self.remove(id);
        self.index.insert(id, Known { group, revision, learned });
        let rules = self.entry(group);
        match rule {
            Ok(rule) => {
                if let Some(set) = RemoteSet::of(rule.remote()) {
                    *rules.remote_sets.entry(set).or_default() += 1;
                }
                Arc::make_mut(&mut rules.group).rules.insert(rule);
            }
            Err(error) => {
                rules.broken.insert(id, error);
            }
        }
        true
    }

    /// Takes a rule out. Tells whether it was there.
    pub(super) fn remove(&mut self, id: SecurityGroupRuleId) -> bool {
        let Some(known) = self.index.remove(&id) else { return false };
        let Some(rules) = self.groups.get_mut(&known.group) else { return true };
        rules.broken.remove(&id);
        let found = rules.group.rules.iter().find(|rule| rule.id() == id).cloned();
        if let Some(rule) = found {
            Arc::make_mut(&mut rules.group).rules.remove(&rule);
            if let Some(Entry::Occupied(mut count)) =
                RemoteSet::of(rule.remote()).map(|set| rules.remote_sets.entry(set))
            {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        true
    }

    /// Takes out the rules of a group that were learned by `asked` and are not among `seen`.
    pub(super) fn drop_absent(
        &mut self,
        group: SecurityGroupId,
        asked: u64,
        seen: &BTreeSet<String>,
    ) {
        let Some(rules) = self.groups.get(&group) else { return };
        let ids = rules.group.rules.iter().map(SecurityGroupRule::id);
        let absent: Vec<_> = ids
            .chain(rules.broken.keys().copied())
            .filter(|id| self.index.get(id).is_some_and(|known| known.learned <= asked))
            .filter(|id| !seen.contains(&id.to_string()))
            .collect();
        for id in absent {
            self.remove(id);
        }
    }

    /// Forgets the groups of which `wanted` says no.
    pub(super) fn retain(&mut self, wanted: impl Fn(SecurityGroupId) -> bool) {
        self.groups.retain(|id, _| wanted(*id));
        let groups = &self.groups;
        self.index.retain(|_, known| groups.contains_key(&known.group));
    }

    /// A group with its rules.
    pub(super) fn group(&self, id: SecurityGroupId) -> Option<&Arc<SecurityGroup>> {
        self.groups.get(&id).map(|rules| &rules.group)
    }

    /// The sets that rules of a group name as their remote.
    pub(super) fn remote_sets(&self, id: SecurityGroupId) -> impl Iterator<Item = RemoteSet> {
        self.groups.get(&id).into_iter().flat_map(|rules| rules.remote_sets.keys().copied())
    }

    /// Why rules of a group do not convert.
    pub(super) fn broken(&self, id: SecurityGroupId) -> impl Iterator<Item = &ConvertError> {
        self.groups.get(&id).into_iter().flat_map(|rules| rules.broken.values())
    }

    /// How many rules there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    fn entry(&mut self, id: SecurityGroupId) -> &mut Rules {
        self.groups.entry(id).or_insert_with(|| {
            let group = SecurityGroup { id, rules: BTreeSet::new(), stateful: true };
            let (broken, remote_sets) = (BTreeMap::new(), BTreeMap::new());
            Rules { group: Arc::new(group), broken, remote_sets }
        })
    }
}
