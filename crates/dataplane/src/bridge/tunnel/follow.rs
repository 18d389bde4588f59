//! [`desired`](super::desired) for one moment after the other, at the cost of what changed: of a
//! network whose population is another, only the entries that differ are made anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::VlanTag;
use openflow::Flow;

use super::{Place, Population, TunnelNetwork, Tunnels, carried, frame, population};
use crate::FlowSet;

/// Keeps the flow set of the tunnel bridge up to date.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    last: Option<Tunnels>,
    flows: FlowSet,
    /// Those of them that are not of a population.
    frame: Vec<Arc<Flow>>,
}

impl Follower {
    /// Goes on to this moment. Gives a flow of every key that has another flow than before, or none
    /// any more.
    pub fn follow(&mut self, bridge: &Tunnels) -> Vec<Arc<Flow>> {
        let mut now = FlowSet::new();
        frame(bridge, &mut now);
        let mut step = Step {
            gone: std::mem::take(&mut self.frame),
            came: now.iter().map(Arc::clone).collect(),
        };
        self.frame.clone_from(&step.came);
        let last = self.last.take();
        populations(last.as_ref(), bridge, &mut step);
        self.last = Some(bridge.clone());
        step.carry_out(&mut self.flows)
    }

    /// What should be there.
    pub fn flows(&self) -> &FlowSet {
        &self.flows
    }
}

impl AsRef<FlowSet> for Follower {
    fn as_ref(&self) -> &FlowSet {
        &self.flows
    }
}

/// What a step takes and brings. A flow may be in both.
struct Step {
    gone: Vec<Arc<Flow>>,
    came: Vec<Arc<Flow>>,
}

impl Step {
    /// Gives a flow of every key that has another flow than before, or none any more.
    fn carry_out(self, flows: &mut FlowSet) -> Vec<Arc<Flow>> {
        let mut touched = Vec::new();
        let came: FlowSet = self.came.into_iter().collect();
        for flow in self.gone.into_iter().filter(|flow| came.get(flow).is_none()) {
            flows.remove(&flow);
            touched.push(flow);
        }
        for flow in came.iter().filter(|flow| flows.get(flow) != Some(flow)).collect::<Vec<_>>() {
            flows.replace(Arc::clone(flow));
            touched.push(Arc::clone(flow));
        }
        touched
    }
}

/// What is populated anew and what no more.
fn populations(last: Option<&Tunnels>, now: &Tunnels, step: &mut Step) {
    let networks = |bridge| -> BTreeMap<VlanTag, &TunnelNetwork> { carried(bridge).collect() };
    let (before, after) = (last.map(networks).unwrap_or_default(), networks(now));
    let same_ways =
        last.is_some_and(|last| (&last.ends, last.responder) == (&now.ends, now.responder));
    let stays = |vlan| match (before.get(vlan), after.get(vlan)) {
        (Some(old), Some(new)) if same_ways && old.key() == new.key() => {
            Some((old.population.as_ref()?, new.population.as_ref()?))
        }
        _ => None,
    };
    if let Some(last) = last {
        for (vlan, network) in before.iter().filter(|(vlan, _)| stays(*vlan).is_none()) {
            step.gone.extend(flows(last, *vlan, network));
        }
    }
    for (vlan, network) in &after {
        match stays(vlan) {
            Some((old, new)) if Arc::ptr_eq(old, new) => {}
            Some((old, new)) => entries(&Place::new(now, *vlan, network), old, new, step),
            None => step.came.extend(flows(now, *vlan, network)),
        }
    }
}

/// All that a network has of its population.
fn flows(bridge: &Tunnels, vlan: VlanTag, network: &TunnelNetwork) -> Vec<Arc<Flow>> {
    let place = Place::new(bridge, vlan, network);
    let population = network.population.as_deref();
    let flows = population.map(|population| population::all(&place, population));
    flows.into_iter().flatten().map(Arc::new).collect()
}

/// The entries in which two populations of a network differ.
fn entries(place: &Place<'_>, old: &Population, new: &Population, step: &mut Step) {
    let flow = |(mac, end)| population::unicast(place, mac, end).map(Arc::new);
    step.gone.extend(without(&old.unicast, &new.unicast).filter_map(flow));
    step.came.extend(without(&new.unicast, &old.unicast).filter_map(flow));
    let flows =
        |(address, mac)| population::neighbour(place, address, mac).into_iter().map(Arc::new);
    step.gone.extend(without(&old.neighbours, &new.neighbours).flat_map(flows));
    step.came.extend(without(&new.neighbours, &old.neighbours).flat_map(flows));
}

/// Entries of the first that the second does not have.
fn without<'a, K: Ord + Copy, V: PartialEq + Copy>(
    one: &'a BTreeMap<K, V>,
    other: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (K, V)> + 'a {
    one.iter().filter(|(key, value)| other.get(*key) != Some(*value)).map(|(k, v)| (*k, *v))
}
