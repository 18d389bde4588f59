//! What a bridge should hold, what it holds, and where the two differ, kept up to date as either
//! changes, at the cost of the change. [`FlowSet::diff`] is the specification.

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow::{Command, Cookie, Flow, FlowMod};

use crate::bridge::layout::{self, Owner};
use crate::bridge::tunnel::{self, Tunnels};
use crate::bridge::{Desired, Follower};
use crate::flow_set::in_order;
use crate::{FlowSet, Snapshot};

/// What somebody else has done to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// One that should be there has gone.
    Removed,
    /// One that should be there does something else, or has another cookie.
    Changed,
    /// One with a cookie of ours is there that should not be.
    Added,
}

/// A bridge that is brought to what it should hold, which `D` keeps: for the integration bridge a
/// [`Follower`] of snapshots, for any other bridge the flows themselves.
#[derive(Debug, Clone, Default)]
pub struct Reconciliation<D: ?Sized> {
    installed: Option<FlowSet>,
    /// Of every key that the two sides have different flows for the desired one, else the installed.
    differing: FlowSet,
    /// How many of them each owner has.
    lacking: BTreeMap<Owner, usize>,
    /// Stands last, so that a reference to any bridge can leave open what this is.
    desired: D,
}

impl Reconciliation<Follower> {
    /// From now on this snapshot says what should be there.
    pub fn follow(&mut self, snapshot: &Arc<Snapshot>) {
        let nothing = FlowSet::new();
        let installed = self.installed.as_ref().unwrap_or(&nothing);
        for flow in self.desired.follow_with(snapshot, installed) {
            self.compare(&flow);
        }
    }

    /// What should be there, and what could not be put into it.
    pub fn desired(&self) -> &Desired {
        self.desired.desired()
    }
}

impl Reconciliation<tunnel::Follower> {
    /// From now on this says what should be there.
    pub fn follow(&mut self, tunnels: &Tunnels) {
        for flow in self.desired.follow(tunnels) {
            self.compare(&flow);
        }
    }
}

impl Reconciliation<FlowSet> {
    /// From now on these flows should be there.
    pub fn want(&mut self, desired: FlowSet) {
        let before = std::mem::replace(&mut self.desired, desired);
        let gone = before.iter().filter(|flow| self.desired.get(flow).is_none());
        let touched: Vec<_> = gone.chain(self.desired.iter()).cloned().collect();
        for flow in touched {
            self.compare(&flow);
        }
    }
}

impl<D: AsRef<FlowSet> + ?Sized> Reconciliation<D> {
    /// The switch has been reached, and these are its flows.
    pub fn connect(&mut self, installed: FlowSet) {
        let flows: Vec<_> = self.flows().iter().chain(installed.iter()).cloned().collect();
        self.disconnect();
        self.installed = Some(installed);
        for flow in flows {
            self.compare(&flow);
        }
    }

    /// The switch cannot be reached, and nobody knows what it holds.
    pub fn disconnect(&mut self) {
        self.installed = None;
        self.differing = FlowSet::new();
        self.lacking.clear();
    }

    /// The switch has carried these out.
    pub fn apply(&mut self, changes: &[FlowMod]) {
        for change in changes {
            if let Some(installed) = &mut self.installed {
                installed.apply(change);
                self.compare(&change.flow);
            }
        }
    }

    /// Somebody else has changed the flow with this key: it is there now as it is here, or else
    /// has gone. Tells in what way that differs from what should be there, where it did not before
    /// and where it is for us to mend. What others add under cookies of theirs is theirs.
    pub fn observe(&mut self, flow: &Arc<Flow>, is_there: bool) -> Option<Damage> {
        let installed = self.installed.as_mut()?;
        let desired = self.desired.as_ref().get(flow);
        let before =
            if is_there { installed.replace(Arc::clone(flow)) } else { installed.remove(flow) };
        let damage = match desired {
            Some(desired) if before.as_ref() != Some(desired) || (is_there && desired == flow) => {
                None
            }
            Some(_) if is_there => Some(Damage::Changed),
            Some(_) => Some(Damage::Removed),
            None if is_there && before.as_ref() != Some(flow) && layout::is_weir(flow.cookie) => {
                Some(Damage::Added)
            }
            None => None,
        };
        self.compare(flow);
        damage
    }

    /// Whether what is there differs from what should be in the key of this flow.
    pub fn differs(&self, flow: &Arc<Flow>) -> bool {
        self.differing.get(flow).is_some()
    }

    /// The flows that should be there.
    pub fn flows(&self) -> &FlowSet {
        self.desired.as_ref()
    }

    /// What is there; `None` while the switch cannot be reached.
    pub fn installed(&self) -> Option<&FlowSet> {
        self.installed.as_ref()
    }

    /// Whose flows are not as they should be.
    pub fn lacking(&self) -> impl Iterator<Item = Owner> {
        self.lacking.keys().copied()
    }

    /// What changes what is there into what should be, as [`FlowSet::diff`] has it. Nothing while
    /// the switch cannot be reached.
    pub fn differences(&self, owned: impl Fn(Cookie) -> bool) -> Vec<FlowMod> {
        let Some(installed) = &self.installed else { return Vec::new() };
        let changes = self.differing.iter().filter_map(|flow| {
            if let Some(desired) = self.flows().get(flow) {
                return Some(FlowMod::add(Arc::clone(desired)));
            }
            let stale = installed.get(flow).filter(|flow| owned(flow.cookie))?;
            Some(FlowMod::new(Command::DeleteStrict, Arc::clone(stale)))
        });
        in_order(changes.collect())
    }

    /// Takes note of whether the two sides differ in the key of this flow.
    fn compare(&mut self, flow: &Arc<Flow>) {
        let Some(installed) = &mut self.installed else { return };
        let desired = self.desired.as_ref().get(flow);
        let (was, is) = match (desired, installed.get(flow)) {
            (Some(desired), Some(there)) if desired == there => {
                // Kept once.
                if !Arc::ptr_eq(desired, there) {
                    installed.replace(Arc::clone(desired));
                }
                (self.differing.remove(flow), None)
            }
            (None, None) => (self.differing.remove(flow), None),
            (Some(one), _) | (None, Some(one)) => {
                (self.differing.replace(Arc::clone(one)), Some(Arc::clone(one)))
            }
        };
        let owner = |flow: Arc<Flow>| Owner::of(flow.cookie);
        if let Some(owner) = was.and_then(owner)
            && let Some(count) = self.lacking.get_mut(&owner)
        {
            *count -= 1;
            if *count == 0 {
                self.lacking.remove(&owner);
            }
        }
        if let Some(owner) = is.and_then(owner) {
            *self.lacking.entry(owner).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests;
