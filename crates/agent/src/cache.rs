//! What the server has told: ports, security groups, address groups. Pure.
//!
//! Objects come by push and by pull, in any order. The revision number decides between two
//! versions of one object; an id that was deleted stays deleted while an answer that is older
//! than the deletion may still be under way. Nothing that was confirmed is forgotten because
//! the server is gone: [`Cache::distrust`] only makes every query be asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{
    AddressGroup, AddressGroupId, PortId, Prefix, Remote, SecurityGroup, SecurityGroupId,
    SecurityGroupRule, SecurityGroupRuleId, Segment,
};
use neutron::convert::{ConvertError, Membership};
use neutron::object::ResourceType;
use neutron::object::{self, Object};
use neutron::rpc::{BulkPull, EventType};
use policy::{Member, Members};

/// Something that must be asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// A port by its id.
    Port(PortId),
    /// A security group by its id: whether it is stateful.
    Group(SecurityGroupId),
    /// The rules of a security group.
    Rules(SecurityGroupId),
    /// The ports that are members of a security group.
    Members(SecurityGroupId),
    /// An address group by its id.
    AddressGroup(AddressGroupId),
}

/// The queries of one kind, asked in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub queries: BTreeSet<Query>,
    /// The moment of the cache at which it was asked.
    asked: u64,
    /// How often something had been missed by then.
    missed: u64,
}

/// What the server said of a port, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPort {
    /// The port.
    pub port: model::Port,
    /// Whether and how it is bound to this host.
    pub binding: Binding,
}

/// The binding of a port to this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// It runs here, carried by this segment.
    Here(Segment),
    /// It is bound to this host, but nothing here can carry its network.
    Failed,
    /// It runs on another host, or nowhere.
    Elsewhere,
}

/// What their owners call security groups and address groups. No decision looks at it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Of security groups.
    pub groups: BTreeMap<SecurityGroupId, String>,
    /// Of address groups.
    pub address_groups: BTreeMap<AddressGroupId, String>,
}

/// What the server has told.
#[derive(Debug, Default)]
pub struct Cache {
    host: String,
    /// Counts what was learned.
    now: u64,
    /// Counts how often something may have been missed.
    missed: u64,
    ports: BTreeMap<PortId, Entry<PortView>>,
    groups: BTreeMap<SecurityGroupId, Entry<GroupView>>,
    rules: BTreeMap<SecurityGroupRuleId, Entry<RuleView>>,
    address_groups: BTreeMap<AddressGroupId, Entry<AddressGroupView>>,
    /// Ids that a push has deleted, while questions are open.
    deleted: BTreeSet<String>,
    /// Queries that were answered at least once.
    known: BTreeSet<Query>,
    /// Queries that need not be asked: nothing was missed since their answer.
    fresh: BTreeSet<Query>,
    /// Queries whose answer is under way.
    open: BTreeSet<Query>,
}

#[derive(Debug)]
struct Entry<T> {
    revision: u64,
    learned: u64,
    value: T,
}

#[derive(Debug)]
struct PortView {
    membership: Membership,
    /// A port that does not convert is closed, and the reason is kept.
    known: Result<KnownPort, ConvertError>,
}

#[derive(Debug)]
struct GroupView {
    stateful: bool,
    name: Option<String>,
}

#[derive(Debug)]
struct AddressGroupView {
    addresses: BTreeSet<Prefix>,
    name: Option<String>,
}

#[derive(Debug)]
struct RuleView {
    group: SecurityGroupId,
    rule: Result<SecurityGroupRule, ConvertError>,
}

impl Cache {
    /// The cache of the agent on this host.
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned(), ..Self::default() }
    }

    /// Takes note of those queries that must be asked now, and groups them into questions.
    pub fn ask(&mut self, wanted: &BTreeSet<Query>) -> Vec<Question> {
        let mut by_kind: BTreeMap<u8, BTreeSet<Query>> = BTreeMap::new();
        for query in wanted.difference(&self.fresh) {
            if self.open.insert(*query) {
                by_kind.entry(query.kind()).or_default().insert(*query);
            }
        }
        let (asked, missed) = (self.now, self.missed);
        by_kind.into_values().map(|queries| Question { queries, asked, missed }).collect()
    }

    /// The call could not be made or failed: its queries may be asked again.
    pub fn unanswered(&mut self, question: &Question) {
        for query in &question.queries {
            self.open.remove(query);
        }
        self.forget_deletions();
    }

    /// The server has answered.
    pub fn answer(&mut self, question: &Question, objects: Vec<Object>) {
        let mut seen = BTreeSet::new();
        for object in objects {
            seen.insert(object.id().to_owned());
            if !self.deleted.contains(object.id()) {
                self.update(object);
            }
        }
        for query in &question.queries {
            self.drop_absent(*query, question.asked, &seen);
            self.open.remove(query);
            self.known.insert(*query);
            // What was missed while it was under way may be newer than the answer.
            if question.missed == self.missed {
                self.fresh.insert(*query);
            }
        }
        self.forget_deletions();
    }

    /// The server has pushed. Tells whether anything that this node needs may have changed.
    pub fn push(&mut self, event: EventType, objects: Vec<Object>) -> bool {
        let mut changed = false;
        for object in objects {
            changed |= match event {
                EventType::Deleted => self.delete(&object),
                EventType::Created | EventType::Updated => {
                    self.is_wanted(&object) && self.update(object)
                }
            };
        }
        changed
    }

    /// Something may have been missed: everything is to be asked again, and stands until then.
    pub fn distrust(&mut self) {
        self.missed += 1;
        self.fresh.clear();
    }

    /// Forgets what no query of `wanted` is about.
    pub fn keep_only(&mut self, wanted: &BTreeSet<Query>) {
        self.known.retain(|query| wanted.contains(query));
        self.fresh.retain(|query| wanted.contains(query));
        let known = &self.known;
        self.ports.retain(|id, entry| {
            known.contains(&Query::Port(*id))
                || entry
                    .value
                    .membership
                    .groups
                    .iter()
                    .any(|group| known.contains(&Query::Members(*group)))
        });
        self.groups.retain(|id, _| known.contains(&Query::Group(*id)));
        self.rules.retain(|_, entry| known.contains(&Query::Rules(entry.value.group)));
        self.address_groups.retain(|id, _| known.contains(&Query::AddressGroup(*id)));
    }

    /// Whether the server has answered this query at least once.
    pub fn is_known(&self, query: Query) -> bool {
        self.known.contains(&query)
    }

    /// What the server said of a port.
    pub fn port(&self, id: PortId) -> Option<&Result<KnownPort, ConvertError>> {
        self.ports.get(&id).map(|entry| &entry.value.known)
    }

    /// The remotes that the rules of a group name.
    pub fn remotes(&self, group: SecurityGroupId) -> impl Iterator<Item = Remote> {
        self.rules_of(group).filter_map(|view| view.rule.as_ref().ok()).map(|rule| rule.remote())
    }

    /// Rules of a group that do not convert, and so do not apply.
    pub fn broken_rules(&self, group: SecurityGroupId) -> impl Iterator<Item = &ConvertError> {
        self.rules_of(group).filter_map(|view| view.rule.as_ref().err())
    }

    /// Every security group whose rules are known, with its rules.
    pub fn security_groups(&self) -> BTreeMap<SecurityGroupId, Arc<SecurityGroup>> {
        let mut groups: BTreeMap<SecurityGroupId, SecurityGroup> = self
            .known
            .iter()
            .filter_map(|query| match query {
                Query::Rules(id) => Some(*id),
                _ => None,
            })
            .map(|id| {
                let stateful = self.groups.get(&id).is_none_or(|entry| entry.value.stateful);
                (id, SecurityGroup { id, rules: BTreeSet::new(), stateful })
            })
            .collect();
        for entry in self.rules.values() {
            if let (Some(group), Ok(rule)) = (groups.get_mut(&entry.value.group), &entry.value.rule)
            {
                group.rules.insert(rule.clone());
            }
        }
        groups.into_iter().map(|(id, group)| (id, Arc::new(group))).collect()
    }

    /// Who is in the groups whose members are known.
    pub fn members(&self) -> Members {
        let mut groups: BTreeMap<SecurityGroupId, BTreeSet<Member>> = BTreeMap::new();
        for query in &self.known {
            if let Query::Members(group) = query {
                groups.entry(*group).or_default();
            }
        }
        for entry in self.ports.values() {
            let Membership { groups: of, addresses } = &entry.value.membership;
            for group in of {
                if let Some(known) = groups.get_mut(group) {
                    known.extend(
                        addresses.iter().map(|address| Member::new(address.prefix, address.mac)),
                    );
                }
            }
        }
        let mut members = Members::default();
        for (id, group) in groups {
            members.groups.insert(id, Arc::new(group));
        }
        for (id, entry) in &self.address_groups {
            members.address_groups.insert(*id, Arc::new(entry.value.addresses.clone()));
        }
        members
    }

    /// What their owners call the groups that are known.
    pub fn names(&self) -> Names {
        let name = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
        let groups = self.groups.iter();
        let address_groups = self.address_groups.iter();
        Names {
            groups: groups
                .filter_map(|(id, entry)| Some((*id, name(&entry.value.name)?)))
                .collect(),
            address_groups: address_groups
                .filter_map(|(id, entry)| Some((*id, name(&entry.value.name)?)))
                .collect(),
        }
    }

    fn rules_of(&self, group: SecurityGroupId) -> impl Iterator<Item = &RuleView> {
        self.rules.values().map(|entry| &entry.value).filter(move |view| view.group == group)
    }

    /// A push is kept where a query asked for what it says, or is asking.
    fn is_wanted(&self, object: &Object) -> bool {
        let asked = |query: Query| self.known.contains(&query) || self.open.contains(&query);
        match object {
            Object::Port(port) => {
                let id = port.id.parse();
                id.is_ok_and(|id| self.ports.contains_key(&id) || asked(Query::Port(id)))
                    || port
                        .security_group_ids
                        .iter()
                        .filter_map(|group| group.parse().ok())
                        .any(|group| asked(Query::Members(group)))
            }
            Object::SecurityGroup(group) => {
                group.id.parse().is_ok_and(|id| asked(Query::Group(id)))
            }
            Object::SecurityGroupRule(rule) => {
                rule.group().is_ok_and(|group| asked(Query::Rules(group)))
            }
            Object::AddressGroup(group) => {
                group.id.parse().is_ok_and(|id| asked(Query::AddressGroup(id)))
            }
            Object::Network(_) | Object::Subnet(_) => false,
        }
    }

    fn update(&mut self, object: Object) -> bool {
        self.now += 1;
        let learned = self.now;
        let revision = object.revision_number();
        match object {
            Object::Port(port) => {
                let Ok(id) = port.id.parse() else { return ignored(&port.id) };
                match view(&port, &self.host) {
                    Ok(value) => store(&mut self.ports, id, Entry { revision, learned, value }),
                    // Nothing is known of its members' addresses: it is in no group, and closed.
                    Err(error) => {
                        let membership =
                            Membership { groups: BTreeSet::new(), addresses: BTreeSet::new() };
                        let value = PortView { membership, known: Err(error) };
                        store(&mut self.ports, id, Entry { revision, learned, value })
                    }
                }
            }
            Object::SecurityGroup(group) => {
                let Ok(id) = group.id.parse() else { return ignored(&group.id) };
                let value = GroupView { stateful: group.stateful, name: group.name };
                store(&mut self.groups, id, Entry { revision, learned, value })
            }
            Object::SecurityGroupRule(rule) => {
                let (Ok(id), Ok(group)) = (rule.id.parse(), rule.group()) else {
                    return ignored(&rule.id);
                };
                let value = RuleView { group, rule: rule.to_model() };
                store(&mut self.rules, id, Entry { revision, learned, value })
            }
            Object::AddressGroup(group) => {
                let (Ok(id), Ok(AddressGroup { addresses, .. })) =
                    (group.id.parse(), group.to_model())
                else {
                    return ignored(&group.id);
                };
                let value = AddressGroupView { addresses, name: group.name };
                store(&mut self.address_groups, id, Entry { revision, learned, value })
            }
            Object::Network(_) | Object::Subnet(_) => false,
        }
    }

    fn delete(&mut self, object: &Object) -> bool {
        let id = object.id();
        if !self.open.is_empty() {
            self.deleted.insert(id.to_owned());
        }
        match object.resource() {
            ResourceType::Port => remove(&mut self.ports, id),
            ResourceType::SecurityGroup => remove(&mut self.groups, id),
            ResourceType::SecurityGroupRule => remove(&mut self.rules, id),
            ResourceType::AddressGroup => remove(&mut self.address_groups, id),
            ResourceType::Network | ResourceType::Subnet => false,
        }
    }

    /// What an answer leaves out is gone, unless it was learned after the question.
    fn drop_absent(&mut self, query: Query, asked: u64, seen: &BTreeSet<String>) {
        match query {
            Query::Port(id) => drop_if(&mut self.ports, asked, seen, |key, _| *key == id),
            Query::Group(id) => drop_if(&mut self.groups, asked, seen, |key, _| *key == id),
            Query::Rules(id) => drop_if(&mut self.rules, asked, seen, |_, rule| rule.group == id),
            Query::Members(id) => {
                let known = self.known.clone();
                drop_if(&mut self.ports, asked, seen, |key, port| {
                    port.membership.groups.contains(&id) && !known.contains(&Query::Port(*key))
                });
            }
            Query::AddressGroup(id) => {
                drop_if(&mut self.address_groups, asked, seen, |key, _| *key == id);
            }
        }
    }

    fn forget_deletions(&mut self) {
        if self.open.is_empty() {
            self.deleted.clear();
        }
    }
}

impl Query {
    fn kind(self) -> u8 {
        match self {
            Self::Port(_) => 0,
            Self::Group(_) => 1,
            Self::Rules(_) => 2,
            Self::Members(_) => 3,
            Self::AddressGroup(_) => 4,
        }
    }

    /// The resource, the field of the filter, and the value that this query asks for.
    fn filter(self) -> (ResourceType, &'static str, String) {
        match self {
            Self::Port(id) => (ResourceType::Port, "id", id.to_string()),
            Self::Group(id) => (ResourceType::SecurityGroup, "id", id.to_string()),
            Self::Rules(id) => {
                (ResourceType::SecurityGroupRule, "security_group_id", id.to_string())
            }
            Self::Members(id) => (ResourceType::Port, "security_group_ids", id.to_string()),
            Self::AddressGroup(id) => (ResourceType::AddressGroup, "id", id.to_string()),
        }
    }
}

impl Question {
    /// The call that asks it; nothing for a question without queries.
    pub fn call(&self) -> Option<BulkPull> {
        let (resource, field, _) = self.queries.first()?.filter();
        let values = self.queries.iter().map(|query| query.filter().2).collect();
        Some(BulkPull { resource, filter: BTreeMap::from([(field.to_owned(), values)]) })
    }
}

fn view(port: &object::Port, host: &str) -> Result<PortView, ConvertError> {
    let membership = port.membership()?;
    let binding = match port.binding_for(host) {
        None => Binding::Elsewhere,
        Some(binding) if binding.vif_type == "binding_failed" => Binding::Failed,
        Some(_) => port.segment_for(host)?.map_or(Binding::Failed, Binding::Here),
    };
    Ok(PortView { membership, known: Ok(KnownPort { port: port.to_model()?, binding }) })
}

fn ignored(id: &str) -> bool {
    tracing::warn!(id, "ignored an object whose id or group does not convert");
    false
}

/// Stores what is not older than what is there. Tells whether it did.
fn store<K: Ord, T>(map: &mut BTreeMap<K, Entry<T>>, id: K, entry: Entry<T>) -> bool {
    match map.get(&id) {
        Some(old) if old.revision > entry.revision => false,
        _ => {
            map.insert(id, entry);
            true
        }
    }
}

fn remove<K: Ord + std::str::FromStr, T>(map: &mut BTreeMap<K, Entry<T>>, id: &str) -> bool {
    id.parse().is_ok_and(|id| map.remove(&id).is_some())
}

fn drop_if<K: Ord + ToString, T>(
    map: &mut BTreeMap<K, Entry<T>>,
    asked: u64,
    seen: &BTreeSet<String>,
    concerns: impl Fn(&K, &T) -> bool,
) {
    map.retain(|id, entry| {
        entry.learned > asked || !concerns(id, &entry.value) || seen.contains(&id.to_string())
    });
}

#[cfg(test)]
mod tests;
