//! [`desired`](super::desired) for one snapshot after the other, at the cost of what changed.
//!
//! The flow set is the union of parts: the frame with networks and ports, and for each direction
//! the classes and every policy. A part is computed again when what it is made from has changed,
//! which shared groups and sets of members tell by their pointers; then its old and its new flows
//! are compared. A follower that has seen many snapshots holds what a new one would for the last
//! of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{SecurityGroup, SecurityGroupId};
use openflow::Flow;
use policy::{ClassEntry, Classes, Demand, PolicyId, Refusal, Term};

use super::rules::{Compiled, SIDES, Side};
use super::{Desired, Fault, Frame, frame};
use crate::{FlowSet, Snapshot};

/// Keeps [`Desired`] up to date as snapshots follow each other.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    last: Option<Arc<Snapshot>>,
    desired: Desired,
    frame: Part,
    frame_faults: Vec<Fault>,
    policies: BTreeMap<BTreeSet<SecurityGroupId>, PolicyId>,
    sides: [SideParts; SIDES.len()],
}

/// Flows that are computed together.
type Part = Vec<Arc<Flow>>;

/// The parts of one direction.
#[derive(Debug, Clone, Default)]
struct SideParts {
    /// What all policies name together.
    demand: Demand,
    classes: Classes,
    policies: BTreeMap<BTreeSet<SecurityGroupId>, PolicyPart>,
}

/// A policy in one direction.
#[derive(Debug, Clone)]
struct PolicyPart {
    id: PolicyId,
    groups: Vec<Arc<SecurityGroup>>,
    refused: BTreeSet<Refusal>,
    demand: Demand,
    flows: Part,
}

/// The terms that a policy has lost and won, where that is all there is to its flows.
type Since = Option<[Vec<Term>; 2]>;

/// What a step changes.
#[derive(Default)]
struct Step<'a> {
    /// Parts with what they become.
    parts: Vec<(&'a mut Part, FlowSet)>,
    /// Flows of parts that there are no more, and of entries of classes that there are no more.
    gone: Part,
    /// Flows of entries of classes.
    came: Part,
}

impl Follower {
    /// Goes on to this snapshot. Gives a flow of every key that has another flow than before, or
    /// none any more.
    pub fn follow(&mut self, snapshot: &Arc<Snapshot>) -> Vec<Arc<Flow>> {
        self.follow_with(snapshot, &FlowSet::new())
    }

    /// The same; a flow that is among these is not made a second time, but shared.
    pub fn follow_with(&mut self, snapshot: &Arc<Snapshot>, known: &FlowSet) -> Vec<Arc<Flow>> {
        let mut step = Step::default();
        if self.last.as_ref().is_none_or(|last| !has_same_frame(last, snapshot)) {
            let Frame { desired, policies } = frame(snapshot);
            self.policies = policies;
            self.desired.policies = desired.policies;
            self.frame_faults = desired.faults;
            step.parts.push((&mut self.frame, desired.flows));
        }
        for (side, parts) in SIDES.iter().zip(&mut self.sides) {
            parts.follow(side, snapshot, &self.policies, &mut step);
        }
        let touched = step.carry_out(&mut self.desired.flows, known);
        self.desired.faults = self.faults();
        self.last = Some(Arc::clone(snapshot));
        touched
    }

    /// What the last snapshot asks for.
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// What the last snapshot asks for.
    pub(super) fn into_desired(self) -> Desired {
        self.desired
    }

    /// Those of the frame, then those of rules by direction, policy and port.
    fn faults(&self) -> Vec<Fault> {
        let mut faults = self.frame_faults.clone();
        let policies = self.sides.iter().flat_map(|parts| parts.policies.values());
        for part in policies.filter(|part| !part.refused.is_empty()) {
            let ports = self.desired.policies.iter().filter(|(_, id)| **id == part.id);
            for (port, _) in ports {
                let rules = part.refused.iter();
                faults.extend(rules.map(|refusal| Fault::Rule { port: *port, refusal: *refusal }));
            }
        }
        faults
    }
}

impl AsRef<FlowSet> for Follower {
    fn as_ref(&self) -> &FlowSet {
        &self.desired.flows
    }
}

/// Whether everything that [`frame`] looks at is as it was.
fn has_same_frame(last: &Snapshot, now: &Snapshot) -> bool {
    let Snapshot {
        networks,
        uplinks,
        ports,
        groups,
        members: _,
        in_force,
        permitted_ethertypes,
        strict_equivalence,
    } = last;
    *networks == now.networks
        && *uplinks == now.uplinks
        && *ports == now.ports
        && groups.iter().map(kind_of_group).eq(now.groups.iter().map(kind_of_group))
        && *in_force == now.in_force
        && *permitted_ethertypes == now.permitted_ethertypes
        && *strict_equivalence == now.strict_equivalence
}

/// What of a group the frame depends on.
fn kind_of_group((id, group): (&SecurityGroupId, &Arc<SecurityGroup>)) -> (SecurityGroupId, bool) {
    (*id, group.stateful)
}

impl SideParts {
    /// The parts of this direction that change, with what they become.
    fn follow<'a>(
        &'a mut self,
        side: &Side,
        snapshot: &Snapshot,
        ids: &BTreeMap<BTreeSet<SecurityGroupId>, PolicyId>,
        step: &mut Step<'a>,
    ) {
        let mut compiled: BTreeMap<&BTreeSet<SecurityGroupId>, (Compiled, Since)> = BTreeMap::new();
        for (set, id) in ids {
            let groups: Vec<_> = snapshot.groups_of(set).cloned().collect();
            let as_before = |part: &PolicyPart| part.id == *id && part.groups == groups;
            if self.policies.get(set).is_some_and(as_before) {
                continue;
            }
            let policy = side.compile(&groups);
            let (mut flows, mut since) = (Part::new(), None);
            if let Some(before) = self.policies.remove(set) {
                self.demand.remove(&before.demand);
                flows = before.flows;
                // To compile what was before once more is less work than to make all its flows.
                if before.id == *id {
                    since = policy.since(&side.compile(&before.groups));
                }
            }
            let (refused, demand) = (policy.refused.clone(), policy.demand());
            self.demand.add(&demand);
            let part = PolicyPart { id: *id, groups, refused, demand, flows };
            self.policies.insert(set.clone(), part);
            compiled.insert(set, (policy, since));
        }
        self.policies.retain(|set, part| {
            let stays = ids.contains_key(set);
            if !stays {
                self.demand.remove(&part.demand);
                step.gone.append(&mut part.flows);
            }
            stays
        });

        let changes = self.classes.follow(&self.demand, &snapshot.members);
        let flow = |entry| Arc::new(side.class(entry));
        let place = |entry: &ClassEntry| (entry.prefix, entry.mac);
        let taken: BTreeSet<_> = changes.came.iter().map(place).collect();
        let left = changes.went.iter().filter(|entry| !taken.contains(&place(entry)));
        step.gone.extend(left.map(flow));
        step.came.extend(changes.came.iter().map(flow));

        for (set, part) in &mut self.policies {
            let known = compiled.remove(set);
            if known.is_none() && !part.demand.names_any(&changes.selectors) {
                continue;
            }
            let moved = part.demand.names_any(&changes.selectors);
            let policy = match known {
                Some((_, Some(since))) if !moved => {
                    let [went, came] =
                        since.map(|terms| side.terms(part.id, &terms, &self.classes));
                    part.flows.retain(|flow| went.get(flow).is_none());
                    part.flows.extend(came.iter().cloned());
                    step.gone.extend(went.iter().cloned());
                    step.came.extend(came.iter().cloned());
                    continue;
                }
                Some((policy, _)) => policy,
                None => side.compile(&part.groups),
            };
            step.parts.push((&mut part.flows, side.rules(part.id, &policy, &self.classes)));
        }
    }
}

impl Step<'_> {
    /// Gives a flow of every key that has another flow than before, or none any more.
    fn carry_out(self, flows: &mut FlowSet, known: &FlowSet) -> Vec<Arc<Flow>> {
        let mut touched = Vec::new();
        // All that goes before all that comes: a key may leave one part for another.
        let left = self.parts.iter().flat_map(|(part, after)| {
            part.iter().filter(|flow| after.get(flow).is_none()).map(Arc::clone)
        });
        for flow in self.gone.into_iter().chain(left) {
            flows.remove(&flow);
            touched.push(flow);
        }
        for flow in self.came {
            flows.replace(Arc::clone(&flow));
            touched.push(flow);
        }
        for (part, after) in self.parts {
            *part = after
                .iter()
                .map(|flow| match flows.get(flow) {
                    // Kept once.
                    Some(before) if before == flow => Arc::clone(before),
                    _ => {
                        let flow = known.get(flow).filter(|known| *known == flow).unwrap_or(flow);
                        flows.replace(Arc::clone(flow));
                        touched.push(Arc::clone(flow));
                        Arc::clone(flow)
                    }
                })
                .collect();
        }
        touched
    }
}

#[cfg(test)]
mod tests;
