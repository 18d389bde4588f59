//! A bridge that the agent looks after: how far it has been brought to what it should hold. Pure.

use std::collections::{BTreeMap, BTreeSet};

use dataplane::bridge::layout::{self, Owner};
use dataplane::{FlowSet, Reconciliation};

/// Which bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BridgeId {
    /// The one that ports are plugged into.
    Integration,
    /// That of a physical network, by its place in `Inventory::physical`.
    Physical(usize),
}

/// What is known of the flows of a bridge; `D` keeps those that it should have.
#[derive(Debug, Clone, Default)]
pub struct Bridge<D: ?Sized> {
    /// What the switch has refused.
    pub refused: BTreeMap<Owner, Refused>,
    /// Whether it had no flows of an agent before this one when it was reached.
    pub vacant: bool,
    /// Whether a bundle is under way. What the bridge lacks is known when the switch has answered.
    pub bundling: bool,
    /// Its flows: those that it has, and those that it should have by the last plan.
    pub flows: Reconciliation<D>,
}

/// Any bridge, whatever keeps the flows that it should have.
pub type AnyBridge = Bridge<dyn AsRef<FlowSet> + Send + Sync>;

/// Flows that the switch has refused. They are left as they are until the retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What it said.
    pub message: String,
    /// How often it has refused in a row.
    pub times: u32,
    /// Whether it may be tried again now.
    pub retry: bool,
}

impl<D: AsRef<FlowSet> + ?Sized> Bridge<D> {
    /// The switch holds these flows; `None` where it cannot be reached, or is about to lose them.
    pub fn reconnect(&mut self, installed: Option<FlowSet>) {
        match installed {
            Some(installed) => {
                self.vacant = !installed.iter().any(|flow| layout::is_weir(flow.cookie));
                self.flows.connect(installed);
            }
            None => self.flows.disconnect(),
        }
    }

    /// Forgets refusals of flows that are not wanted any more.
    pub fn forget_settled(&mut self) {
        if self.flows.installed().is_some() && !self.bundling {
            let lacking: BTreeSet<Owner> = self.flows.lacking().collect();
            self.refused.retain(|owner, _| lacking.contains(owner));
        }
    }

    /// The owners whose flows must be left alone.
    pub fn held(&self) -> BTreeSet<Owner> {
        self.refused.iter().filter(|(_, refused)| !refused.retry).map(|(owner, _)| *owner).collect()
    }

    /// Whether it has everything that these owners should have.
    pub fn holds(&self, owners: &[Owner]) -> bool {
        self.flows.installed().is_some()
            && !self.flows.lacking().any(|owner| owners.contains(&owner))
    }
}
