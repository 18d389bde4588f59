//! Sets of flows that are keyed as the switch keys them, and the difference of two.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::FixedState;
use openflow::{Command, Cookie, Flow, FlowMod};

/// Flows by table, priority and match: no two can have the same.
///
/// The flows are shared: one that should be there, is on its way and is there is kept once. There
/// may be hundreds of thousands, so they are hashed; [`Self::sorted`] brings them into order.
#[derive(Debug, Clone, Default)]
pub struct FlowSet {
    flows: HashSet<Keyed, FixedState>,
}

/// A flow that is found by its key.
#[derive(Debug, Clone)]
struct Keyed(Arc<Flow>);

/// What makes a flow that flow.
fn key(flow: &Flow) -> impl Ord + Hash + '_ {
    (flow.table, flow.priority, &flow.matches)
}

/// By hand, because what a flow does is no part of its key.
impl PartialEq for Keyed {
    fn eq(&self, other: &Self) -> bool {
        // Most that are found are the very same.
        Arc::ptr_eq(&self.0, &other.0) || key(&self.0) == key(&other.0)
    }
}

impl Eq for Keyed {}

impl Hash for Keyed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        key(&self.0).hash(state);
    }
}

/// Two flows with the same table, priority and match that do different things.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two flows for one key: '{kept}' and '{refused}'")]
pub struct Conflict {
    /// The flow that was there first and stays.
    pub kept: Arc<Flow>,
    /// The flow that was not added.
    pub refused: Arc<Flow>,
}

impl AsRef<Self> for FlowSet {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl FlowSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a flow; an equal one may be there already.
    ///
    /// # Errors
    ///
    /// [`Conflict`] where a different flow has its key. The set is unchanged then.
    pub fn add(&mut self, flow: impl Into<Arc<Flow>>) -> Result<(), Conflict> {
        let flow = Keyed(flow.into());
        match self.flows.get(&flow) {
            None => {
                self.flows.insert(flow);
                Ok(())
            }
            Some(kept) if kept.0 == flow.0 => Ok(()),
            Some(kept) => Err(Conflict { kept: Arc::clone(&kept.0), refused: flow.0 }),
        }
    }

    /// Adds a flow in place of whatever has its key, as a switch does, and gives that back.
    pub fn replace(&mut self, flow: impl Into<Arc<Flow>>) -> Option<Arc<Flow>> {
        self.flows.replace(Keyed(flow.into())).map(|old| old.0)
    }

    /// Takes out the flow that has the key of this one.
    pub fn remove(&mut self, flow: &Arc<Flow>) -> Option<Arc<Flow>> {
        let removed = self.flows.take(&Keyed(Arc::clone(flow)))?;
        // What was needed while many were on their way is not kept for ever.
        if self.flows.len() < self.flows.capacity() / 8 {
            self.flows.shrink_to_fit();
        }
        Some(removed.0)
    }

    /// What this set becomes when the switch has carried out `change`. What is deleted by a match is
    /// what the switch has learned, which is in no set.
    pub fn apply(&mut self, change: &FlowMod) {
        match change.command {
            Command::Delete => None,
            Command::DeleteStrict => self.remove(&change.flow),
            Command::Add | Command::Modify | Command::ModifyStrict => {
                self.replace(Arc::clone(&change.flow))
            }
        };
    }

    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// The flow that has the key of this one.
    pub fn get(&self, flow: &Arc<Flow>) -> Option<&Arc<Flow>> {
        self.flows.get(&Keyed(Arc::clone(flow))).map(|found| &found.0)
    }

    /// The flows, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Flow>> {
        self.flows.iter().map(|flow| &flow.0)
    }

    /// The flows in the order of table, priority and match.
    pub fn sorted(&self) -> Vec<&Arc<Flow>> {
        let mut flows: Vec<_> = self.iter().collect();
        flows.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        flows
    }

    /// What changes `installed` into this set: adds and replacements first, then deletes, so
    /// that no packet finds a gap. An installed flow is deleted only if `owned` says that its
    /// cookie is ours.
    pub fn diff(&self, installed: &Self, owned: impl Fn(Cookie) -> bool) -> Vec<FlowMod> {
        let adds = self
            .iter()
            .filter(|flow| installed.get(flow) != Some(flow))
            .map(|flow| FlowMod::add(Arc::clone(flow)));
        let deletes = installed
            .iter()
            .filter(|flow| owned(flow.cookie) && self.get(flow).is_none())
            .map(|flow| FlowMod::new(Command::DeleteStrict, Arc::clone(flow)));
        in_order(adds.chain(deletes).collect())
    }
}

/// Changes in the order in which a switch should carry them out: what opens before what closes,
/// so that no packet finds a gap; within each by table, priority and match.
pub(crate) fn in_order(mut changes: Vec<FlowMod>) -> Vec<FlowMod> {
    let is_delete = |change: &FlowMod| change.command == Command::DeleteStrict;
    changes
        .sort_unstable_by(|a, b| (is_delete(a), key(&a.flow)).cmp(&(is_delete(b), key(&b.flow))));
    changes
}

impl PartialEq for FlowSet {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|flow| other.get(flow) == Some(flow))
    }
}

impl Eq for FlowSet {}

impl<F: Into<Arc<Flow>>> FromIterator<F> for FlowSet {
    /// The last flow of a key stays, as in a switch.
    fn from_iter<I: IntoIterator<Item = F>>(flows: I) -> Self {
        let mut set = Self::new();
        for flow in flows {
            set.replace(flow);
        }
        set
    }
}
