//! What the server has told: ports, security groups, address groups, QoS policies, trunks. Pure.
//!
//! Objects come by push and by pull, in any order. The revision number decides between two
//! versions of one object; an id that was deleted stays deleted while an answer that is older
//! than the deletion may still be under way. Nothing that was confirmed is forgotten because
//! the server is gone: [`Cache::distrust`] only makes every query be asked again.
//!
//! What a snapshot takes from here, it shares: groups from `rule_set`, members from `port_set`.

mod moved;
mod port_set;
mod qos;
mod rule_set;
mod trunk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{
    AddressGroup, AddressGroupId, NetworkId, PortId, Prefix, QosPolicy, QosPolicyId, SecurityGroup,
    SecurityGroupId, Segment, Trunk, TrunkId, TrunkStatus,
};
use neutron::convert::{ConvertError, Membership, QosChoice};
use neutron::object::ResourceType;
use neutron::object::{self, Object};
use neutron::rpc::{BulkPull, EventType, Pull};
use policy::{Members, RemoteSet, SharedSet};

use self::moved::Moved;
use self::port_set::PortSet;
use self::qos::QosSet;
use self::rule_set::{RuleSet, Told};
use self::trunk::TrunkSet;

/// The most questions that are under way at a time, and the most ids in one of them: ids of
/// single objects, and of groups whose rules or members are asked for. A bound on the memory that
/// answers need, which hold every object in the form of the bus; a question about groups may be
/// answered by very many and counts as several. A server with several workers answers as many at
/// once, and while an answer is taken in, the next ones are made.
const QUESTIONS: usize = 8;
const OBJECTS: usize = 50;
const GROUPS: usize = 4;
const GROUPS_COUNT_AS: usize = 4;

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
    /// A QoS policy by its id.
    QosPolicy(QosPolicyId),
    /// The trunk whose parent port this is.
    Trunk(PortId),
}

/// How a question is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asking {
    /// For many objects.
    Bulk(BulkPull),
    /// For one: Neutron gives QoS policies and trunks in no other way.
    One(Pull),
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
    pub port: Arc<model::Port>,
    /// Whether and how it is bound to this host.
    pub binding: Binding,
    /// By whose word it has a QoS policy.
    pub qos: QosChoice,
}

/// The binding of a port to this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// It runs here, carried by this segment.
    Here(Segment),
    /// It is bound to this host, carried by this segment, and runs on another one: its virtual
    /// machine is to come, or has gone.
    Standby(Segment),
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
    ports: PortSet,
    groups: BTreeMap<SecurityGroupId, Entry<GroupRecord>>,
    rules: RuleSet,
    address_groups: BTreeMap<AddressGroupId, Entry<AddressGroupRecord>>,
    qos: QosSet,
    trunks: TrunkSet,
    /// Ids that a push has deleted, while questions are open.
    deleted: BTreeSet<String>,
    /// What networks said, while questions are open.
    moved: Moved,
    /// Queries that were answered at least once.
    known: BTreeSet<Query>,
    /// Queries that need not be asked: nothing was missed since their answer.
    fresh: BTreeSet<Query>,
    /// Queries whose answer is under way.
    open: BTreeSet<Query>,
    /// How many questions are under way, those about groups counted as several.
    under_way: usize,
}

#[derive(Debug)]
struct Entry<T> {
    revision: u64,
    learned: u64,
    value: T,
}

#[derive(Debug)]
struct GroupRecord {
    stateful: bool,
    name: Option<String>,
}

#[derive(Debug)]
struct AddressGroupRecord {
    addresses: SharedSet<Prefix>,
    name: Option<String>,
}

impl Cache {
    /// The cache of the agent on this host.
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned(), ..Self::default() }
    }

    /// Takes note of those queries that must be asked now, and groups them into questions. What is
    /// too much for now is asked when something was answered.
    pub fn ask(&mut self, wanted: &BTreeSet<Query>) -> Vec<Question> {
        let mut by_kind: BTreeMap<u8, Vec<Query>> = BTreeMap::new();
        for query in wanted.difference(&self.fresh).filter(|query| !self.open.contains(query)) {
            by_kind.entry(query.kind()).or_default().push(*query);
        }
        let mut questions = Vec::new();
        for queries in by_kind.values() {
            let Some((most, counts_as)) = queries.first().map(|query| query.most()) else {
                continue;
            };
            for queries in queries.chunks(most) {
                if self.under_way + counts_as <= QUESTIONS {
                    self.under_way += counts_as;
                    self.open.extend(queries);
                    let queries = queries.iter().copied().collect();
                    questions.push(Question { queries, asked: self.now, missed: self.missed });
                }
            }
        }
        questions
    }

    /// The call could not be made or failed: its queries may be asked again.
    pub fn unanswered(&mut self, question: &Question) {
        self.under_way = self.under_way.saturating_sub(question.counts_as());
        for query in &question.queries {
            self.open.remove(query);
            self.is_doubted(*query);
        }
        self.forget_passing();
    }

    /// The server has answered.
    pub fn answer(&mut self, question: &Question, objects: Vec<Object>) {
        let mut seen = BTreeSet::new();
        let mut moved = Vec::new();
        for object in objects {
            let id = object.id().to_owned();
            if matches!(object, Object::Port(_)) && !self.moved.is_empty() {
                moved.extend(id.parse().map(Query::Port));
            }
            // What is stored now is newer than the question: nobody will ask whether it was seen.
            if self.deleted.contains(&id) || !self.update(object) {
                seen.insert(id);
            }
        }
        // Also one that came as the member of a group.
        moved.retain(|query| self.is_doubtful(*query, question.asked));
        for query in &moved {
            self.fresh.remove(query);
        }
        self.under_way = self.under_way.saturating_sub(question.counts_as());
        for query in &question.queries {
            self.drop_absent(*query, question.asked, &seen);
            self.open.remove(query);
            self.known.insert(*query);
            if let Query::Rules(group) = query {
                self.rules.know(*group);
                self.settle_stateful(*group);
            }
            // What was missed while it was under way may be newer than the answer.
            let is_doubted = self.is_doubted(*query) || self.is_doubtful(*query, question.asked);
            if question.missed == self.missed && !is_doubted {
                self.fresh.insert(*query);
            }
        }
        self.forget_passing();
    }

    /// The server has pushed. Tells whether anything that this node needs may have changed.
    pub fn push(&mut self, event: EventType, objects: Vec<Object>) -> bool {
        let mut changed = false;
        for object in objects {
            changed |= match (event, &object) {
                (_, Object::Trunk(_) | Object::SubPort(_)) => self.hear_trunk(&object),
                (EventType::Deleted, _) => self.delete(&object),
                (EventType::Created | EventType::Updated, Object::Network(network)) => {
                    let moved = self.hear_network(network);
                    (self.is_wanted(&object) && self.update(object)) || moved
                }
                (EventType::Created | EventType::Updated, _) => {
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
        if self.known.is_subset(wanted) {
            return;
        }
        self.known.retain(|query| wanted.contains(query));
        self.fresh.retain(|query| wanted.contains(query));
        let known = &self.known;
        self.ports.retain(|id, membership| {
            let members = |group: &SecurityGroupId| known.contains(&Query::Members(*group));
            known.contains(&Query::Port(id)) || membership.groups.iter().any(members)
        });
        self.groups.retain(|id, _| known.contains(&Query::Group(*id)));
        self.rules.retain(|group| known.contains(&Query::Rules(group)));
        self.address_groups.retain(|id, _| known.contains(&Query::AddressGroup(*id)));
        let networks: BTreeSet<NetworkId> = self.networks().collect();
        let known = &self.known;
        self.trunks.retain(|parent| known.contains(&Query::Trunk(parent)));
        self.qos.retain(
            |id| known.contains(&Query::QosPolicy(id)),
            |network| networks.contains(&network),
        );
    }

    /// Whether the server has answered this query at least once.
    pub fn is_known(&self, query: Query) -> bool {
        self.known.contains(&query)
    }

    /// Whether somebody has asked this, or is asking.
    fn asks(&self, query: Query) -> bool {
        self.known.contains(&query) || self.open.contains(&query)
    }

    /// What the server said of a port.
    pub fn port(&self, id: PortId) -> Option<&Result<KnownPort, ConvertError>> {
        self.ports.known(id)
    }

    /// Which QoS policy a port has by what was said last.
    pub fn qos_policy_of(&self, id: PortId) -> Option<QosPolicyId> {
        let known = self.ports.known(id)?.as_ref().ok()?;
        self.qos.choose(known.qos, known.port.network, self.ports.get(id)?.learned)
    }

    /// The same of each port of this network that somebody asked about by itself.
    fn qos_policies_in(&self, network: NetworkId) -> Vec<Option<QosPolicyId>> {
        let ports = self.known.iter().filter_map(|query| query.port());
        let here =
            ports.filter(|id| carried(&self.ports, *id).is_some_and(|(it, _)| it == network));
        here.map(|id| self.qos_policy_of(id)).collect()
    }

    /// A QoS policy that the server has described.
    pub fn qos_policy(&self, id: QosPolicyId) -> Option<&Result<Arc<QosPolicy>, ConvertError>> {
        self.qos.policy(id)
    }

    /// The trunk with this parent port, if the server has described one.
    pub fn trunk(&self, parent: PortId) -> Option<&Result<Trunk, ConvertError>> {
        self.trunks.trunk(parent)
    }

    /// By our own doing the server has this status for a trunk now. An answer that is under way may be
    /// older.
    pub fn set_trunk_status(&mut self, trunk: TrunkId, status: TrunkStatus) -> bool {
        let open = self.trunks.parent(trunk).filter(|it| self.open.contains(&Query::Trunk(*it)));
        if let Some(parent) = open {
            self.trunks.doubt(parent);
        }
        self.trunks.set_status(trunk, status)
    }

    /// The sets of members that the rules of a group name as their remote.
    pub fn remote_sets(&self, group: SecurityGroupId) -> impl Iterator<Item = RemoteSet> {
        self.rules.remote_sets(group)
    }

    /// Rules of a group that do not convert, and so do not apply.
    pub fn broken_rules(&self, group: SecurityGroupId) -> impl Iterator<Item = &ConvertError> {
        self.rules.broken(group)
    }

    /// Every security group whose rules are known, with its rules.
    pub fn security_groups(&self) -> BTreeMap<SecurityGroupId, Arc<SecurityGroup>> {
        let groups = self.known.iter().filter_map(|query| match query {
            Query::Rules(id) => Some((*id, Arc::clone(self.rules.group(*id)?))),
            _ => None,
        });
        groups.collect()
    }

    /// Who is in the groups whose members are known.
    pub fn members(&self) -> Members {
        let groups = self.known.iter().filter_map(|query| match query {
            Query::Members(id) => Some((*id, self.ports.members(*id))),
            _ => None,
        });
        let address_groups = self.address_groups.iter();
        let addresses = |entry: &Entry<AddressGroupRecord>| entry.value.addresses.clone();
        Members {
            groups: groups.collect(),
            address_groups: address_groups.map(|(id, entry)| (*id, addresses(entry))).collect(),
        }
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

    /// A push is kept where a query asked for what it says, or is asking.
    fn is_wanted(&self, object: &Object) -> bool {
        let asked = |query: Query| self.known.contains(&query) || self.open.contains(&query);
        match object {
            Object::Port(port) => {
                let id = port.id.parse();
                id.is_ok_and(|id| self.ports.get(id).is_some() || asked(Query::Port(id)))
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
            Object::QosPolicy(policy) => {
                policy.id.parse().is_ok_and(|id| asked(Query::QosPolicy(id)))
            }
            Object::Network(network) => {
                network.id.parse().is_ok_and(|id| self.networks().any(|it| it == id))
            }
            Object::Subnet(_) | Object::Trunk(_) | Object::SubPort(_) => false,
        }
    }

    /// The networks of ports that somebody asked about by themselves.
    fn networks(&self) -> impl Iterator<Item = NetworkId> {
        self.known.iter().filter_map(|query| match query {
            Query::Port(id) => {
                let known = self.ports.known(*id)?.as_ref().ok()?;
                Some(known.port.network)
            }
            _ => None,
        })
    }

    fn update(&mut self, object: Object) -> bool {
        self.now += 1;
        let learned = self.now;
        let revision = object.revision_number();
        match object {
            Object::Port(port) => {
                let Ok(id) = port.id.parse() else { return ignored(&port.id) };
                // Nothing is known of its members' addresses: it is in no group, and closed.
                let (value, known) = match view(&port, &self.host) {
                    Ok((membership, known)) => (membership, Ok(known)),
                    Err(error) => {
                        let (groups, addresses) = (BTreeSet::new(), BTreeSet::new());
                        (Membership { groups, addresses }, Err(error))
                    }
                };
                let known = known.map(|known| self.while_bound_anew(id, &port, known));
                // Of most members nobody needs to know more.
                let is_stranger = |it: &KnownPort| it.binding == Binding::Elsewhere;
                let drop = known.as_ref().is_ok_and(is_stranger) && !self.asks(Query::Port(id));
                let known = (!drop).then_some(known);
                let stored = self.ports.store(id, Entry { revision, learned, value }, known);
                self.forget_stranger(id);
                stored
            }
            Object::SecurityGroup(group) => {
                let Ok(id) = group.id.parse() else { return ignored(&group.id) };
                let value = GroupRecord { stateful: group.stateful, name: group.name };
                let stored = store(&mut self.groups, id, Entry { revision, learned, value });
                self.settle_stateful(id);
                stored
            }
            Object::SecurityGroupRule(rule) => {
                let (Ok(id), Ok(group)) = (rule.id.parse(), rule.group()) else {
                    return ignored(&rule.id);
                };
                let rule = rule.to_model();
                self.rules.store(Told { id, group, revision, learned, rule })
            }
            Object::AddressGroup(group) => {
                let (Ok(id), Ok(AddressGroup { addresses, .. })) =
                    (group.id.parse(), group.to_model())
                else {
                    return ignored(&group.id);
                };
                let value = AddressGroupRecord {
                    addresses: addresses.into_iter().collect(),
                    name: group.name,
                };
                store(&mut self.address_groups, id, Entry { revision, learned, value })
            }
            Object::QosPolicy(policy) => {
                let Ok(id) = policy.id.parse() else { return ignored(&policy.id) };
                self.qos.store(id, revision, learned, &policy)
            }
            Object::Network(network) => {
                let Ok((id, policy)) = network.qos() else { return ignored(&network.id) };
                let before = self.qos_policies_in(id);
                self.qos.store_network(id, revision, learned, policy);
                self.qos_policies_in(id) != before
            }
            Object::Trunk(trunk) => {
                let Ok(parent) = trunk.parent() else { return ignored(&trunk.id) };
                self.trunks.store(parent, revision, learned, &trunk)
            }
            Object::Subnet(_) | Object::SubPort(_) => false,
        }
    }

    /// A port that is bound anew where it is, because its profile is another, say, has no segment
    /// until that is done. What carries it goes on meanwhile.
    fn while_bound_anew(&self, id: PortId, port: &object::Port, known: KnownPort) -> KnownPort {
        let is_bound_anew = port
            .binding_for(&self.host)
            .is_some_and(|binding| binding.is_active() && binding.vif_type == "unbound");
        match self.ports.known(id) {
            Some(Ok(KnownPort { port, binding: binding @ Binding::Here(_), .. }))
                if is_bound_anew && port.network == known.port.network =>
            {
                KnownPort { binding: binding.clone(), ..known }
            }
            _ => known,
        }
    }

    fn delete(&mut self, object: &Object) -> bool {
        let id = object.id();
        if !self.open.is_empty() {
            self.deleted.insert(id.to_owned());
        }
        match object.resource() {
            ResourceType::Port => id.parse().is_ok_and(|id| self.ports.remove(id)),
            ResourceType::SecurityGroup => {
                let removed = remove(&mut self.groups, id);
                if let Ok(id) = id.parse() {
                    self.settle_stateful(id);
                }
                removed
            }
            ResourceType::SecurityGroupRule => id.parse().is_ok_and(|id| self.rules.remove(id)),
            ResourceType::AddressGroup => remove(&mut self.address_groups, id),
            ResourceType::QosPolicy => id.parse().is_ok_and(|id| self.qos.remove(id)),
            ResourceType::Network => id.parse().is_ok_and(|id| self.qos.remove_network(id)),
            ResourceType::Subnet | ResourceType::Trunk | ResourceType::SubPort => false,
        }
    }

    /// Has the ports asked about again that say that other segments carry this network. Tells
    /// whether there are any.
    fn hear_network(&mut self, network: &object::Network) -> bool {
        self.now += 1;
        let Some((id, segments)) = self.moved.hear(network, self.now) else { return false };
        let before = self.fresh.len();
        let ports = &self.ports;
        self.fresh.retain(|query| {
            let carried = query.port().and_then(|port| carried(ports, port));
            carried.is_none_or(|(network, segment)| network != id || segments.contains(segment))
        });
        self.forget_passing();
        self.fresh.len() != before
    }

    /// Has the trunk asked for again that the server has told something of. Tells whether there is one.
    fn hear_trunk(&mut self, object: &Object) -> bool {
        self.now += 1;
        let parent = match object {
            Object::Trunk(trunk) => trunk.parent().ok(),
            Object::SubPort(subport) => {
                subport.trunk().ok().and_then(|trunk| self.trunks.parent(trunk))
            }
            _ => None,
        };
        // Whose a subport is may not be known yet.
        let open = self.open.iter().filter_map(|query| match query {
            Query::Trunk(it) => Some(*it),
            _ => None,
        });
        let open = open.filter(|it| parent.is_none_or(|parent| parent == *it));
        open.collect::<Vec<_>>().into_iter().for_each(|it| self.trunks.doubt(it));
        parent.is_some_and(|parent| self.fresh.remove(&Query::Trunk(parent)))
    }

    /// Whether the answer to this, which has come, may be older than what was told since.
    fn is_doubted(&mut self, query: Query) -> bool {
        match query {
            Query::Trunk(parent) => self.trunks.was_doubted(parent),
            _ => false,
        }
    }

    /// Whether the answer to a question that was asked at that moment may be older than what the
    /// port's network has said.
    fn is_doubtful(&self, query: Query, asked: u64) -> bool {
        let carried = query.port().and_then(|port| carried(&self.ports, port));
        carried.is_some_and(|(network, segment)| self.moved.doubts(network, segment, asked))
    }

    /// What an answer leaves out is gone, unless it was learned after the question.
    fn drop_absent(&mut self, query: Query, asked: u64, seen: &BTreeSet<String>) {
        match query {
            Query::Port(id) => {
                let old = self.ports.get(id).is_some_and(|entry| entry.learned <= asked);
                if old && !seen.contains(&id.to_string()) {
                    self.ports.remove(id);
                }
            }
            Query::Group(id) => {
                drop_if(&mut self.groups, asked, seen, |key, _| *key == id);
                self.settle_stateful(id);
            }
            Query::Rules(id) => self.rules.drop_absent(id, asked, seen),
            Query::Members(id) => {
                let known = &self.known;
                self.ports.remove_of(id, |port, learned| {
                    let asked_itself = known.contains(&Query::Port(port));
                    learned <= asked && !asked_itself && !seen.contains(&port.to_string())
                });
            }
            Query::AddressGroup(id) => {
                drop_if(&mut self.address_groups, asked, seen, |key, _| *key == id);
            }
            Query::QosPolicy(id) => {
                self.qos.drop_absent(id, asked, seen.contains(&id.to_string()));
            }
            // It is asked for alone.
            Query::Trunk(parent) => self.trunks.drop_absent(parent, asked, !seen.is_empty()),
        }
    }

    /// Whether a group is stateful is told apart from its rules; without a word, it is.
    fn settle_stateful(&mut self, id: SecurityGroupId) {
        let stateful = self.groups.get(&id).is_none_or(|entry| entry.value.stateful);
        if self.rules.group(id).is_some_and(|group| group.stateful != stateful) {
            Arc::make_mut(self.rules.know(id)).stateful = stateful;
        }
    }

    /// Forgets a port that nobody asked about and that has left the groups of which somebody did.
    fn forget_stranger(&mut self, id: PortId) {
        let is_wanted = |entry: &Entry<Membership>| {
            let mut groups = entry.value.groups.iter();
            self.asks(Query::Port(id)) || groups.any(|group| self.asks(Query::Members(*group)))
        };
        if !self.ports.get(id).is_some_and(is_wanted) {
            self.ports.remove(id);
        }
    }

    /// Forgets what matters only to answers that are under way.
    fn forget_passing(&mut self) {
        if self.open.is_empty() {
            self.deleted.clear();
            self.moved.forget();
        }
    }
}

impl Query {
    /// In the order in which they are asked. Rules come late, and may be very many: who their remotes
    /// are is asked as soon as the first of them name any, so that the ports of these groups need not
    /// wait for the rules of all others. QoS policies come last: few ports wait for them.
    fn kind(self) -> u8 {
        match self {
            Self::Port(_) => 0,
            Self::Trunk(_) => 1,
            Self::Group(_) => 2,
            Self::Members(_) => 3,
            Self::AddressGroup(_) => 4,
            Self::Rules(_) => 5,
            Self::QosPolicy(_) => 6,
        }
    }

    /// The port, if it asks for one by its id.
    fn port(self) -> Option<PortId> {
        match self {
            Self::Port(id) => Some(id),
            Self::Group(_)
            | Self::Rules(_)
            | Self::Members(_)
            | Self::AddressGroup(_)
            | Self::QosPolicy(_)
            | Self::Trunk(_) => None,
        }
    }

    /// How many of its kind one question asks at most, and as how many questions it counts.
    fn most(self) -> (usize, usize) {
        match self {
            Self::Port(_) | Self::Group(_) | Self::AddressGroup(_) => (OBJECTS, 1),
            Self::Rules(_) | Self::Members(_) => (GROUPS, GROUPS_COUNT_AS),
            Self::QosPolicy(_) | Self::Trunk(_) => (1, 1),
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
            Self::QosPolicy(id) => (ResourceType::QosPolicy, "id", id.to_string()),
            Self::Trunk(parent) => (ResourceType::Trunk, "port_id", parent.to_string()),
        }
    }
}

impl Question {
    /// Whether it asks for a trunk.
    pub fn is_for_trunk(&self) -> bool {
        self.queries.iter().any(|query| matches!(query, Query::Trunk(_)))
    }

    /// The call that asks it; nothing for a question without queries.
    pub fn call(&self) -> Option<Asking> {
        let (resource, field, id) = self.queries.first()?.filter();
        if matches!(resource, ResourceType::QosPolicy | ResourceType::Trunk) {
            return Some(Asking::One(Pull { resource, id }));
        }
        let values = self.queries.iter().map(|query| query.filter().2).collect();
        let filter = BTreeMap::from([(field.to_owned(), values)]);
        Some(Asking::Bulk(BulkPull { resource, filter }))
    }

    /// As how many questions it counts while it is under way.
    fn counts_as(&self) -> usize {
        self.queries.first().map_or(0, |query| query.most().1)
    }
}

/// The groups that a port is in, and what it is to this host.
fn view(port: &object::Port, host: &str) -> Result<(Membership, KnownPort), ConvertError> {
    let membership = port.membership()?;
    let binding = match port.binding_for(host) {
        None => Binding::Elsewhere,
        // What a virtual machine leaves behind that has moved on.
        Some(binding) if binding.vif_type == "unbound" => Binding::Elsewhere,
        Some(binding) if binding.vif_type == "binding_failed" => Binding::Failed,
        Some(binding) => match port.segment_for(host)? {
            None => Binding::Failed,
            Some(segment) if binding.is_active() => Binding::Here(segment),
            Some(segment) => Binding::Standby(segment),
        },
    };
    let known = KnownPort { port: Arc::new(port.to_model()?), binding, qos: port.qos()? };
    Ok((membership, known))
}

/// A port's network, and what carries it here.
fn carried(ports: &PortSet, id: PortId) -> Option<(NetworkId, &Segment)> {
    let known = ports.known(id)?.as_ref().ok()?;
    match &known.binding {
        Binding::Here(segment) | Binding::Standby(segment) => Some((known.port.network, segment)),
        Binding::Failed | Binding::Elsewhere => None,
    }
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
