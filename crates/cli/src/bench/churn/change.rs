//! The changes that are measured, each as often as asked for.

use std::time::Duration;

use neutron::object::{Port, SecurityGroupRule};
use tokio::time::sleep;

use super::super::{
    cloud::Cloud,
    node::{Cost, Node},
    progress::Step,
};
use super::{
    Size,
    traffic::{Machines, Passed},
};

/// Between two changes, so that what follows from one (connections that are looked at) is over.
const REST: Duration = Duration::from_millis(10);
/// How long packets flow while nothing changes.
const NOTHING: Duration = Duration::from_secs(2);
/// The tables that know which class a remote address is of: one for each direction.
pub(super) const CLASS_TABLES: u64 = 2;

/// What each change has cost, once for each repetition.
#[derive(Debug, Default)]
pub(super) struct Costs {
    /// A rule is added to the group of all ports.
    pub(super) rule_added: Vec<Cost>,
    /// It is removed again.
    pub(super) rule_removed: Vec<Cost>,
    /// A member joins the remote group.
    pub(super) member_joins: Vec<Cost>,
    /// It leaves.
    pub(super) member_leaves: Vec<Cost>,
    /// A port gets a set of groups that another port has.
    pub(super) port_moves: Vec<Cost>,
    /// A port gets a set of groups that no port has.
    pub(super) policy_comes: Vec<Cost>,
    /// The policy that no port has any more is taken away.
    pub(super) policy_goes: Vec<Cost>,
    /// Many members join at once.
    pub(super) burst_joins: Vec<Cost>,
    /// They leave at once.
    pub(super) burst_leaves: Vec<Cost>,
    /// Packets while nothing changes: what the machine loses by itself.
    pub(super) during_nothing: Passed,
    /// Packets during the bursts.
    pub(super) during_bursts: Passed,
    /// Packets while the receiver's set of groups was switched.
    pub(super) during_switches: Passed,
}

/// What the changes are made to.
pub(super) struct Stage<'a> {
    /// Who tells of them.
    pub(super) cloud: &'a Cloud,
    /// Who follows.
    pub(super) node: &'a Node,
    /// Who sends packets meanwhile.
    pub(super) machines: &'a Machines,
    /// A port in the group of all that nobody uses.
    pub(super) port: &'a Port,
    /// The port that the machines send to.
    pub(super) server: &'a Port,
}

impl Stage<'_> {
    /// Makes all changes.
    ///
    /// # Errors
    /// When the switch refuses one, or one takes too long.
    pub(super) async fn measure(&self, size: Size) -> anyhow::Result<Costs> {
        let mut costs = Costs::default();
        self.rules(size, &mut costs).await?;
        self.members(size, &mut costs).await?;
        self.moves(size, &mut costs).await?;
        self.policies(size, &mut costs).await?;
        costs.during_nothing = self.nothing().await?;
        self.bursts(size, &mut costs).await?;
        self.switches(size, &mut costs).await?;
        Ok(costs)
    }

    async fn rules(&self, size: Size, costs: &mut Costs) -> anyhow::Result<()> {
        let step = Step::begin("a rule comes and goes", size.repeat.into());
        for number in 1..=size.repeat {
            let rule: SecurityGroupRule = self.cloud.distinct_rule(size.rules);
            let id = rule.id.clone();
            costs.rule_added.push(self.cost(1, || self.cloud.put_rule(rule)).await?);
            costs.rule_removed.push(self.cost(1, || self.cloud.delete_rule(&id)).await?);
            step.reached(number.into());
        }
        Ok(())
    }

    async fn members(&self, size: Size, costs: &mut Costs) -> anyhow::Result<()> {
        let step = Step::begin("a member joins and leaves", size.repeat.into());
        for number in 1..=size.repeat {
            let member = self.cloud.member(size.members);
            let id = member.id.clone();
            costs.member_joins.push(self.cost(CLASS_TABLES, || self.cloud.put_port(member)).await?);
            costs
                .member_leaves
                .push(self.cost(CLASS_TABLES, || self.cloud.delete_port(&id)).await?);
            step.reached(number.into());
        }
        Ok(())
    }

    /// There and back: a port of the other group has the one set, all other ports have the other.
    async fn moves(&self, size: Size, costs: &mut Costs) -> anyhow::Result<()> {
        let step = Step::begin("a port changes its groups", size.repeat.into());
        for number in 1..=size.repeat {
            for groups in [[&self.cloud.other], [&self.cloud.all]] {
                let port = in_groups(self.port, &groups);
                costs.port_moves.push(self.cost(1, || self.cloud.put_port(port)).await?);
            }
            step.reached(number.into());
        }
        Ok(())
    }

    /// The set of both groups is nobody else's.
    async fn policies(&self, size: Size, costs: &mut Costs) -> anyhow::Result<()> {
        let repeat = size.repeat.div_ceil(20);
        let step = Step::begin("a port gets groups of its own", repeat.into());
        for number in 1..=repeat {
            let alone = in_groups(self.port, &[&self.cloud.all, &self.cloud.other]);
            let rules = size.rules.into();
            costs.policy_comes.push(self.cost(rules, || self.cloud.put_port(alone)).await?);
            let back = in_groups(self.port, &[&self.cloud.all]);
            costs.port_moves.push(self.cost(1, || self.cloud.put_port(back)).await?);
            let left = self.node.last_bundle().await?;
            costs.policy_goes.push(self.node.followed(left, rules).await?);
            step.reached(number.into());
        }
        Ok(())
    }

    async fn nothing(&self) -> anyhow::Result<Passed> {
        let _step = Step::begin("nothing changes", 1);
        let traffic = self.machines.start().await?;
        sleep(NOTHING).await;
        traffic.stop().await
    }

    async fn bursts(&self, size: Size, costs: &mut Costs) -> anyhow::Result<()> {
        let step = Step::begin("many members join and leave", size.bursts.into());
        let flows = CLASS_TABLES * u64::from(size.burst);
        for number in 1..=size.bursts {
            let traffic = self.machines.start().await?;
            let members: Vec<Port> =
                (0..size.burst).map(|n| self.cloud.member(size.members + n)).collect();
            let ids: Vec<String> = members.iter().map(|member| member.id.clone()).collect();
            let join = || members.into_iter().for_each(|member| self.cloud.put_port(member));
            costs.burst_joins.push(self.cost(flows, join).await?);
            let leave = || ids.iter().for_each(|id| self.cloud.delete_port(id));
            costs.burst_leaves.push(self.cost(flows, leave).await?);
            costs.during_bursts += traffic.stop().await?;
            step.reached(number.into());
        }
        Ok(())
    }

    /// The server of an open connection is switched between two sets that both allow it.
    async fn switches(&self, size: Size, costs: &mut Costs) -> anyhow::Result<()> {
        let step = Step::begin("the receiver changes its groups", size.switches.into());
        let traffic = self.machines.start().await?;
        for number in 1..=size.switches {
            let all = &self.cloud.all;
            let port = if number % 2 == 1 {
                in_groups(self.server, &[all, &self.cloud.other])
            } else {
                in_groups(self.server, &[all])
            };
            self.cost(1, || self.cloud.put_port(port)).await?;
            step.reached(number.into());
        }
        costs.during_switches += traffic.stop().await?;
        Ok(())
    }

    async fn cost(&self, at_least: u64, change: impl FnOnce()) -> anyhow::Result<Cost> {
        sleep(REST).await;
        self.node.cost(at_least, change).await
    }
}

/// The port with exactly these groups.
fn in_groups(port: &Port, groups: &[&String]) -> Port {
    let security_group_ids = groups.iter().map(|group| (*group).clone()).collect();
    Port { security_group_ids, ..port.clone() }
}
