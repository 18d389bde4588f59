//! Sets of flows that are keyed as the switch keys them, and the difference of two.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use openflow::{Action, Command, Cookie, Flow, FlowKey, FlowMod};

/// What a flow does, beside the key that finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Whose it is.
    pub cookie: Cookie,
    /// What it does.
    pub actions: Vec<Action>,
}

impl Body {
    /// The flow that has this key and does this.
    pub fn flow(&self, key: &FlowKey) -> Flow {
        join(key.clone(), self.clone())
    }
}

/// Flows by table, priority and match: no two can have the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowSet {
    flows: BTreeMap<FlowKey, Body>,
}

/// Two flows with the same table, priority and match that do different things.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two flows for one key: '{kept}' and '{refused}'")]
pub struct Conflict {
    /// The flow that was there first and stays.
    pub kept: Box<Flow>,
    /// The flow that was not added.
    pub refused: Box<Flow>,
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
    pub fn add(&mut self, flow: Flow) -> Result<(), Conflict> {
        let key = flow.key();
        let body = Body { cookie: flow.cookie, actions: flow.actions };
        match self.flows.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(body);
                Ok(())
            }
            Entry::Occupied(entry) if *entry.get() == body => Ok(()),
            Entry::Occupied(entry) => Err(Conflict {
                kept: Box::new(join(entry.key().clone(), entry.get().clone())),
                refused: Box::new(join(entry.key().clone(), body)),
            }),
        }
    }

    /// Adds a flow in place of whatever has its key, as a switch does.
    pub fn replace(&mut self, flow: Flow) {
        let key = flow.key();
        self.flows.insert(key, Body { cookie: flow.cookie, actions: flow.actions });
    }

    /// What this set becomes when the switch has carried out `change`.
    pub fn apply(&mut self, change: FlowMod) {
        match change.command {
            Command::DeleteStrict => {
                self.flows.remove(&change.flow.key());
            }
            _ => self.replace(change.flow),
        }
    }

    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Whether there is a flow with this key.
    pub fn contains(&self, key: &FlowKey) -> bool {
        self.flows.contains_key(key)
    }

    /// The flows in the order of table, priority and match.
    pub fn iter(&self) -> impl Iterator<Item = (&FlowKey, &Body)> {
        self.flows.iter()
    }

    /// What changes `installed` into this set: adds and replacements first, then deletes, so
    /// that no packet finds a gap. An installed flow is deleted only if `owned` says that its
    /// cookie is ours.
    pub fn diff(&self, installed: &Self, owned: impl Fn(Cookie) -> bool) -> Vec<FlowMod> {
        let adds = self
            .flows
            .iter()
            .filter(|(key, body)| installed.flows.get(key) != Some(body))
            .map(|(key, body)| (Command::Add, key, body));
        let deletes = installed
            .flows
            .iter()
            .filter(|(key, body)| owned(body.cookie) && !self.flows.contains_key(key))
            .map(|(key, body)| (Command::DeleteStrict, key, body));
        adds.chain(deletes)
            .map(|(command, key, body)| FlowMod::new(command, join(key.clone(), body.clone())))
            .collect()
    }
}

impl FromIterator<Flow> for FlowSet {
    /// The last flow of a key stays, as in a switch.
    fn from_iter<I: IntoIterator<Item = Flow>>(flows: I) -> Self {
        let mut set = Self::new();
        for flow in flows {
            set.replace(flow);
        }
        set
    }
}

fn join(key: FlowKey, body: Body) -> Flow {
    Flow {
        table: key.table,
        priority: key.priority,
        cookie: body.cookie,
        matches: key.matches,
        actions: body.actions,
    }
}
