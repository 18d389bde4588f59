//! Finding the flow that a packet matches.
//!
//! The obvious form is a list by priority. Here flows that match on the same bits form a group in
//! which a hash finds the one, so that a lookup costs a step for each group and not for each flow;
//! groups are asked in the order of their best priority until none can be better. A test compares
//! the two forms.

use super::{Fault, packet::Packet};
use crate::{
    action::Action,
    field::Field,
    flow::Flow,
    matching::Term,
    number::{Priority, TableId},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Flows in their tables, ready for lookups.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    tables: BTreeMap<TableId, Table>,
}

#[derive(Debug, Clone, Default)]
struct Table {
    flows: Vec<Arc<Flow>>,
    /// By descending best priority.
    groups: Vec<Group>,
    has_conjunctions: bool,
}

/// The flows of a table that match on the same bits.
#[derive(Debug, Clone)]
struct Group {
    /// What all of them ask for alike, so that most groups need no hash to be passed over.
    alike: Box<[Term]>,
    /// The other bits.
    bits: Box<[(Field, u128)]>,
    best: Priority,
    /// By the values of the other bits, the indices of the flows by descending priority.
    flows: HashMap<Box<[u128]>, Vec<usize>>,
}

impl Tables {
    /// From flows in any order. Of two with one key the later counts, as if they were added one
    /// after the other; of two with one priority that both match a packet, the earlier is found.
    pub fn new<'a>(flows: impl IntoIterator<Item = &'a Flow>) -> Self {
        flows.into_iter().cloned().map(Arc::new).collect()
    }

    /// The flow of a table that a packet matches.
    ///
    /// # Errors
    /// [`Fault::ForeignMatch`] where that depends on a field that is not known.
    pub fn lookup(&self, table: TableId, packet: &Packet) -> Result<Option<&Flow>, Fault> {
        let found = self.tables.get(&table).and_then(|table| table.lookup(packet));
        match found {
            Some(flow) if !flow.matches.foreign().is_empty() => {
                Err(Fault::ForeignMatch { table, cookie: flow.cookie })
            }
            found => Ok(found),
        }
    }

    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.tables.values().map(|table| table.flows.len()).sum()
    }

    /// Whether there is no flow.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> FromIterator<&'a Flow> for Tables {
    fn from_iter<I: IntoIterator<Item = &'a Flow>>(flows: I) -> Self {
        Self::new(flows)
    }
}

impl FromIterator<Arc<Flow>> for Tables {
    /// As [`Tables::new`], with flows that others have too.
    fn from_iter<I: IntoIterator<Item = Arc<Flow>>>(flows: I) -> Self {
        let mut sorted: BTreeMap<TableId, Vec<Arc<Flow>>> = BTreeMap::new();
        for flow in flows {
            sorted.entry(flow.table).or_default().push(flow);
        }
        let tables = sorted.into_iter().map(|(id, flows)| (id, Table::new(flows))).collect();
        Self { tables }
    }
}

impl Table {
    fn new(flows: Vec<Arc<Flow>>) -> Self {
        let has_conjunctions = flows.iter().any(|flow| is_conjunctive(flow));
        let mut shapes: BTreeMap<Vec<(Field, u128)>, Vec<usize>> = BTreeMap::new();
        for (index, flow) in flows.iter().enumerate() {
            let bits = flow.matches.iter().map(|term| (term.field, term.mask)).collect();
            shapes.entry(bits).or_default().push(index);
        }
        let groups = shapes.iter().map(|(bits, indices)| Group::new(bits, indices, &flows));
        let mut groups: Vec<Group> = groups.collect();
        groups.sort_by_key(|group| Reverse(group.best));
        Self { flows, groups, has_conjunctions }
    }

    fn lookup(&self, packet: &Packet) -> Option<&Flow> {
        let ordinary = self.ordinary(packet);
        if !self.has_conjunctions {
            return ordinary;
        }
        self.conjunctive(packet, ordinary.map(|flow| flow.priority)).or(ordinary)
    }

    /// The best of the flows that match, those of conjunctions apart.
    fn ordinary(&self, packet: &Packet) -> Option<&Flow> {
        let mut best: Option<(Rank, &Flow)> = None;
        let mut values = Vec::new();
        for group in &self.groups {
            if best.is_some_and(|((priority, _), _)| priority > group.best) {
                break;
            }
            let mut found = self.flows_at(group.find(packet, &mut values));
            let Some((index, flow)) = found.find(|(_, flow)| !is_conjunctive(flow)) else {
                continue;
            };
            let rank = (flow.priority, Reverse(index));
            if best.is_none_or(|(other, _)| rank > other) {
                best = Some((rank, flow));
            }
        }
        best.map(|(_, flow)| flow)
    }

    /// The flow on the `conj_id` that flows of conjunctions complete together: flows of one
    /// priority, which is higher than that of an ordinary flow.
    fn conjunctive(&self, packet: &Packet, above: Option<Priority>) -> Option<&Flow> {
        let mut levels: BTreeMap<Reverse<Priority>, Vec<&Flow>> = BTreeMap::new();
        let mut values = Vec::new();
        for group in &self.groups {
            let found = self.flows_at(group.find(packet, &mut values));
            let better = found.filter(|(_, flow)| Some(flow.priority) > above);
            for (_, flow) in better.filter(|(_, flow)| is_conjunctive(flow)) {
                levels.entry(Reverse(flow.priority)).or_default().push(flow);
            }
        }
        levels
            .values()
            .flat_map(|level| completed(level))
            .find_map(|id| self.ordinary(&packet.clone().with(Field::CONJ_ID, id.into())))
    }

    fn flows_at<'a>(&'a self, indices: &'a [usize]) -> impl Iterator<Item = (usize, &'a Flow)> {
        indices.iter().filter_map(|index| Some((*index, self.flows.get(*index)?.as_ref())))
    }
}

type Rank = (Priority, Reverse<usize>);

impl Group {
    fn new(bits: &[(Field, u128)], indices: &[usize], all: &[Arc<Flow>]) -> Self {
        let flows = || indices.iter().filter_map(|index| Some((*index, all.get(*index)?.as_ref())));
        let value = |flow: &Flow, field| flow.matches.get(field).map_or(0, |(value, _)| value);
        let mut group = Self {
            alike: Box::default(),
            bits: Box::default(),
            best: flows().map(|(_, flow)| flow.priority).max().unwrap_or_default(),
            flows: HashMap::new(),
        };
        let (mut alike, mut other) = (Vec::new(), Vec::new());
        for &(field, mask) in bits {
            let first = flows().next().map_or(0, |(_, flow)| value(flow, field));
            if flows().all(|(_, flow)| value(flow, field) == first) {
                alike.push(Term { field, value: first, mask });
            } else {
                other.push((field, mask));
            }
        }
        (group.alike, group.bits) = (alike.into(), other.into());
        for (index, flow) in flows() {
            let values = group.bits.iter().map(|(field, _)| value(flow, *field)).collect();
            let same: &mut Vec<usize> = group.flows.entry(values).or_default();
            let other = |index: &usize| all.get(*index).map(|flow| (flow.priority, &flow.matches));
            same.retain(|index| other(index) != Some((flow.priority, &flow.matches)));
            let at = same.partition_point(|index| {
                other(index).is_some_and(|(priority, _)| priority >= flow.priority)
            });
            same.insert(at, index);
        }
        group
    }

    fn find(&self, packet: &Packet, values: &mut Vec<u128>) -> &[usize] {
        if self.alike.iter().any(|term| packet.matched(term.field) & term.mask != term.value) {
            return &[];
        }
        values.clear();
        values.extend(self.bits.iter().map(|(field, mask)| packet.matched(*field) & mask));
        self.flows.get(values.as_slice()).map(Vec::as_slice).unwrap_or_default()
    }
}

fn is_conjunctive(flow: &Flow) -> bool {
    flow.actions.iter().any(|action| matches!(action, Action::Conjunction { .. }))
}

/// The conjunctions all of whose clauses these flows have.
fn completed(flows: &[&Flow]) -> Vec<u32> {
    let mut missing: BTreeMap<u32, u64> = BTreeMap::new();
    for action in flows.iter().flat_map(|flow| flow.actions.iter()) {
        if let Action::Conjunction { id, clause, clauses } = *action {
            let all = u64::MAX.checked_shr(64_u32.saturating_sub(clauses.into())).unwrap_or(0);
            let bit = 1_u64.checked_shl(u32::from(clause).saturating_sub(1)).unwrap_or(0);
            *missing.entry(id).or_insert(all) &= !bit;
        }
    }
    missing.into_iter().filter(|(_, missing)| *missing == 0).map(|(id, _)| id).collect()
}
