//! A bridge that the agent looks after: how far it has been brought to what it should hold. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dataplane::bridge::layout::predecessor::{self, Predecessor};
use dataplane::bridge::layout::{self, Owner};
use dataplane::{FlowSet, Reconciliation};
use openflow::{Cookie, Flow, FlowUpdate, RemovedReason, TableId};
use tokio::time::Instant;

use crate::foreign::{Deed, Foreign};

/// Which bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BridgeId {
    /// The one that ports are plugged into.
    Integration,
    /// That of a physical network, by its place in `Inventory::physical`.
    Physical(usize),
    /// That of tunnels.
    Tunnel,
}

impl BridgeId {
    /// What Neutron's agent leaves in such a bridge.
    pub fn predecessor(self) -> Predecessor {
        match self {
            Self::Integration => predecessor::INTEGRATION,
            Self::Physical(_) => predecessor::PHYSICAL,
            Self::Tunnel => predecessor::TUNNEL,
        }
    }

    /// The tables of the bridge that the switch is to tell changes of. What it learns by itself is
    /// its own.
    pub fn tables(self) -> BTreeSet<TableId> {
        match self {
            Self::Integration => {
                let tables = layout::TABLES.iter().map(|table| table.id);
                tables.filter(|table| !layout::LEARNING.contains(table)).collect()
            }
            Self::Physical(_) => layout::physical::TABLES.iter().map(|table| table.id).collect(),
            // Where the switch learns there are flows of ours, too.
            Self::Tunnel => layout::tunnel::TABLES.iter().map(|table| table.id).collect(),
        }
    }
}

/// What is known of the flows of a bridge; `D` keeps those that it should have.
#[derive(Debug, Clone, Default)]
pub struct Bridge<D: ?Sized> {
    /// What the switch has refused.
    pub refused: BTreeMap<Owner, Refused>,
    /// Whether it had no flows of an agent before this one when it was reached.
    pub vacant: bool,
    /// What Neutron's agent had left there when it was reached.
    pub inherited: Option<Inherited>,
    /// Whether a bundle is under way. What the bridge lacks is known when the switch has answered.
    pub bundling: bool,
    /// What others have done to its flows.
    pub foreign: Foreign,
    /// Its flows: those that it has, and those that it should have by the last plan.
    pub flows: Reconciliation<D>,
}

/// Flows of Neutron's agent, which are to go when this one's are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inherited {
    by: Predecessor,
    /// Of all that is to go: what somebody adds from now on stays.
    cookies: BTreeSet<Cookie>,
    left: Left,
}

/// How long ago packets have left the flows of Neutron's agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    NotYet,
    JustNow,
    LongAgo,
}

impl Inherited {
    /// What is to go of these flows, if Neutron's agent has been there.
    fn find(by: Predecessor, installed: &FlowSet) -> Option<Self> {
        installed.iter().find(|flow| by.is_sign(flow))?;
        let going = installed.iter().filter(|flow| by.goes(flow));
        let cookies = going.map(|flow| flow.cookie).collect();
        Some(Self { by, cookies, left: Left::NotYet })
    }

    /// Whether this flow is to go now.
    pub fn goes(&self, flow: &Flow) -> bool {
        let may_go = self.left == Left::LongAgo || !self.by.may_linger(flow);
        may_go && self.cookies.contains(&flow.cookie) && self.by.goes(flow)
    }
}

/// What to do about what others have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observed {
    /// There is damage to mend now.
    pub mend: bool,
    /// There is damage that is left for so long.
    pub wait: Option<Duration>,
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
    pub fn reconnect(&mut self, installed: Option<FlowSet>, predecessor: Predecessor) {
        match installed {
            Some(installed) => {
                self.inherited = Inherited::find(predecessor, &installed);
                let ours = installed.iter().any(|flow| layout::is_weir(flow.cookie));
                self.vacant = !ours && self.inherited.is_none();
                self.flows.connect(installed);
            }
            None => self.flows.disconnect(),
        }
        self.foreign.disconnect();
    }

    /// Others have changed its flows.
    pub fn observe(&mut self, updates: Vec<FlowUpdate>, now: Instant) -> Observed {
        let mut observed = Observed::default();
        for update in updates {
            let (flow, is_there, reason) = match update {
                FlowUpdate::Added { flow, idle_timeout, hard_timeout }
                | FlowUpdate::Modified { flow, idle_timeout, hard_timeout } => {
                    // One that will go by itself is as good as gone.
                    let expires = idle_timeout != 0 || hard_timeout != 0;
                    let is_there = !expires || self.flows.flows().get(&flow).is_none();
                    (flow, is_there, None)
                }
                FlowUpdate::Removed { flow, reason } => (flow, false, Some(reason)),
                FlowUpdate::Own { .. } | FlowUpdate::Paused | FlowUpdate::Missed => continue,
            };
            self.see(&flow, is_there, reason, now, &mut observed);
        }
        self.settle();
        observed
    }

    /// It was read again, because not every change was told.
    pub fn read_again(&mut self, installed: &FlowSet, now: Instant) -> Observed {
        let mut observed = Observed::default();
        let Some(known) = self.flows.installed() else { return observed };
        let gone = known.iter().filter(|flow| installed.get(flow).is_none());
        let gone: Vec<_> = gone.cloned().collect();
        let new = installed.iter().filter(|flow| known.get(flow) != Some(flow));
        let new: Vec<_> = new.cloned().collect();
        for flow in gone {
            self.see(&flow, false, None, now, &mut observed);
        }
        for flow in new {
            self.see(&flow, true, None, now, &mut observed);
        }
        self.settle();
        observed
    }

    fn see(
        &mut self,
        flow: &Arc<Flow>,
        is_there: bool,
        reason: Option<RemovedReason>,
        now: Instant,
        observed: &mut Observed,
    ) {
        if let Some(damage) = self.flows.observe(flow, is_there) {
            let deed = Deed { damage, flow: Arc::clone(flow), reason };
            let wait = self.foreign.note(deed, now);
            observed.wait = observed.wait.or(wait);
            observed.mend |= !self.foreign.holds(flow);
        }
    }

    /// Forgets damage where the flows are as they should be again.
    pub fn settle(&mut self) {
        self.foreign.settle(|flow| self.flows.differs(flow));
    }

    /// Forgets refusals of flows that are not wanted any more.
    pub fn forget_settled(&mut self) {
        self.settle();
        if self.flows.installed().is_some() && !self.bundling {
            let lacking: BTreeSet<Owner> = self.flows.lacking().collect();
            self.refused.retain(|owner, _| lacking.contains(owner));
        }
    }

    /// The owners whose flows must be left alone.
    pub fn held(&self) -> BTreeSet<Owner> {
        self.refused.iter().filter(|(_, refused)| !refused.retry).map(|(owner, _)| *owner).collect()
    }

    /// Whether packets have just left the flows of Neutron's agent, because the way into this
    /// one's is there. Says so once; those under way meet them until [`Self::fade`].
    pub fn has_just_left(&mut self) -> bool {
        let is_open = self.holds(&[Owner::BASE]);
        let inherited = self.inherited.as_mut().filter(|it| is_open && it.left == Left::NotYet);
        inherited.map(|it| it.left = Left::JustNow).is_some()
    }

    /// No packet is under way by the flows of Neutron's agent any more, if any has left them.
    pub fn fade(&mut self) {
        if let Some(inherited) = self.inherited.as_mut().filter(|it| it.left == Left::JustNow) {
            inherited.left = Left::LongAgo;
        }
    }

    /// Whether it has everything that these owners should have.
    pub fn holds(&self, owners: &[Owner]) -> bool {
        self.flows.installed().is_some()
            && !self.flows.lacking().any(|owner| owners.contains(&owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(text: &str) -> Arc<Flow> {
        Arc::new(text.parse().unwrap())
    }

    fn ours(rest: &str) -> Arc<Flow> {
        flow(&format!("cookie={},table=0,{rest}", Owner::BASE.cookie()))
    }

    /// A bridge that has what it should have: these flows.
    fn complete(flows: &[&Arc<Flow>]) -> Bridge<FlowSet> {
        let set: FlowSet = flows.iter().copied().cloned().collect();
        let mut bridge = Bridge::<FlowSet>::default();
        bridge.flows.want(set.clone());
        bridge.reconnect(Some(set), predecessor::INTEGRATION);
        bridge
    }

    fn added(flow: &Arc<Flow>, idle_timeout: u16) -> FlowUpdate {
        FlowUpdate::Added { flow: Arc::clone(flow), idle_timeout, hard_timeout: 0 }
    }

    fn removed(flow: &Arc<Flow>) -> FlowUpdate {
        FlowUpdate::Removed { flow: Arc::clone(flow), reason: RemovedReason::DELETE }
    }

    const MEND: Observed = Observed { mend: true, wait: None };
    const NOTHING: Observed = Observed { mend: false, wait: None };

    #[test]
    fn a_flow_that_will_go_by_itself_is_as_good_as_gone() {
        let (first, now) = (ours("priority=1,actions=drop"), Instant::now());
        let mut bridge = complete(&[&first]);
        assert_eq!(bridge.observe(vec![added(&first, 0)], now), NOTHING);
        assert_eq!(bridge.observe(vec![added(&first, 5)], now), MEND);
        assert!(bridge.flows.differs(&first));
        // One under our cookie that nobody wants has to go all the same.
        let stray = ours("priority=9,actions=NORMAL");
        assert_eq!(bridge.observe(vec![added(&stray, 5)], now), MEND);
        assert_eq!(bridge.flows.differences(layout::is_weir).len(), 2);
        assert_eq!(bridge.observe(vec![removed(&stray), added(&first, 0)], now), NOTHING);
        let status = bridge.foreign.status(now);
        assert_eq!((status.removed, status.added, status.mended, status.damaged), (1, 1, 2, 0));
    }

    #[test]
    fn what_was_not_told_is_found_when_it_is_read_again() {
        let [kept, gone, changed] =
            ["1", "2", "3"].map(|n| ours(&format!("priority={n},actions=drop")));
        let now = Instant::now();
        let mut bridge = complete(&[&kept, &gone, &changed]);
        let other = flow("cookie=0x1,table=0,priority=3,actions=NORMAL");
        let theirs = flow("cookie=0x1,table=0,priority=4,actions=NORMAL");
        let there: FlowSet = [&kept, &other, &theirs].into_iter().cloned().collect();
        assert_eq!(bridge.read_again(&there, now), MEND);
        assert_eq!(bridge.flows.installed(), Some(&there));
        let status = bridge.foreign.status(now);
        assert_eq!((status.removed, status.changed, status.added), (1, 1, 0));
        assert_eq!(bridge.read_again(&there, now), NOTHING);
        // Nobody knows what is there.
        bridge.reconnect(None, predecessor::INTEGRATION);
        assert_eq!(bridge.read_again(&there, now), NOTHING);
        assert_eq!(bridge.observe(vec![removed(&kept)], now), NOTHING);
        assert_eq!(bridge.foreign.status(now).damaged, 0);
    }

    #[test]
    fn every_table_but_those_that_the_switch_learns_is_watched() {
        let tables = BridgeId::Integration.tables();
        assert_eq!(tables.len(), layout::TABLES.len() - layout::LEARNING.len());
    }
}
