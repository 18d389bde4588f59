//! The policies that are verified, each with its ports and its packets, in an order in which
//! everybody gets a share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataplane::bridge::Fault;
use dataplane::{LocalPort, Snapshot};
use model::{Direction, IpProtocol, PortId, SecurityGroup, SecurityGroupId, SecurityGroupRuleId};
use policy::{Members, Packet, Policy, Refusal, allows};

use super::expect::Ruling;
use super::witness::{Landmark, Packets};
use crate::probe::Tracking;

/// A policy in one direction, and who has it.
pub(super) struct Subject<'a> {
    pub(super) direction: Direction,
    /// Without the rules that do not apply.
    groups: Vec<Arc<SecurityGroup>>,
    /// Where there are such rules.
    besides: Option<Besides<'a>>,
    pub(super) ports: Vec<&'a LocalPort>,
    pub(super) packets: Packets<'a>,
}

/// What rules that do not apply by themselves are good for all the same: beside others they may make
/// up a whole, which can be matched.
struct Besides<'a> {
    /// With those rules.
    all: Vec<&'a SecurityGroup>,
    /// What can be matched of it.
    matched: Policy,
}

impl Besides<'_> {
    fn rule(
        &self,
        members: &Members,
        direction: Direction,
        packet: &Packet,
    ) -> Option<SecurityGroupRuleId> {
        self.matched.admits(members, packet)?;
        allows(self.all.iter().copied(), members, direction, packet)
    }
}

impl Subject<'_> {
    /// What the rules say of a packet.
    pub(super) fn ruling(&self, members: &Members, packet: &Packet) -> Ruling {
        let groups = || self.groups.iter().map(Arc::as_ref);
        let ruling = Ruling::of(groups, members, self.direction, packet);
        let besides =
            || self.besides.as_ref().and_then(|it| it.rule(members, self.direction, packet));
        Ruling { rule: ruling.rule.or_else(besides), ..ruling }
    }

    /// How many verdicts there are to be had; one more for each packet where rules filter what is
    /// sent to groups.
    pub(super) fn verdicts(&self, filters_group_frames: bool) -> u64 {
        let to_group = filters_group_frames && self.direction == Direction::Ingress;
        let each = Tracking::ALL.len() + usize::from(to_group);
        let product = self.ports.len() * self.packets.len() * each;
        u64::try_from(product).unwrap_or(u64::MAX)
    }

    /// The packet whose turn it is, and the port for it in this round.
    pub(super) fn pick(&self, round: usize, turn: usize) -> Option<(&LocalPort, Packet)> {
        if round >= self.ports.len() || turn >= self.packets.len() {
            return None;
        }
        let packet = self.packets.get(turn * stride(self.packets.len()) % self.packets.len())?;
        let port = self.ports.get((round + turn) % self.ports.len())?;
        Some((port, packet))
    }
}

/// The policies of these ports.
pub(super) fn subjects<'a>(
    snapshot: &'a Snapshot,
    faults: &[Fault],
    ports: impl Iterator<Item = &'a LocalPort>,
    unreachable: &BTreeSet<PortId>,
    landmarks: &BTreeSet<Landmark>,
) -> Vec<Subject<'a>> {
    let mut refused: BTreeMap<PortId, BTreeSet<&Refusal>> = BTreeMap::new();
    for fault in faults {
        if let Fault::Rule { port, refusal } = fault {
            refused.entry(*port).or_default().insert(refusal);
        }
    }
    let nothing = BTreeSet::new();
    let mut sets: BTreeMap<&BTreeSet<SecurityGroupId>, Vec<&LocalPort>> = BTreeMap::new();
    for local in ports {
        sets.entry(&local.port.groups).or_default().push(local);
    }

    let mut subjects = Vec::with_capacity(sets.len() * 2);
    for (set, ports) in sets {
        let groups: Vec<_> = snapshot.groups_of(set).collect();
        let all: Vec<&SecurityGroup> = groups.iter().map(|group| &***group).collect();
        // A rule that does not apply by itself may do so beside another one.
        let refused = ports.first().and_then(|local| refused.get(&local.port.id));
        let refused = refused.unwrap_or(&nothing);
        let rules: BTreeSet<_> = refused.iter().map(|refusal| refusal.rule).collect();
        let protocols: Vec<IpProtocol> = refused.iter().map(|refusal| refusal.protocol).collect();
        let groups: Vec<_> = groups.into_iter().map(|group| applied(group, &rules)).collect();
        for direction in [Direction::Egress, Direction::Ingress] {
            let mut ports = ports.clone();
            if direction == Direction::Ingress {
                ports.retain(|local| !unreachable.contains(&local.port.id));
            }
            let packets = Packets::of(&all, &snapshot.members, direction, landmarks);
            let besides = (!protocols.is_empty()).then(|| {
                let mut matched = policy::compile(all.iter().copied(), direction);
                matched.refuse_ports(&protocols, all.iter().copied(), direction);
                Besides { all: all.clone(), matched }
            });
            subjects.push(Subject { direction, groups: groups.clone(), besides, ports, packets });
        }
    }
    subjects
}

/// The group without the rules that do not apply.
fn applied(
    group: &Arc<SecurityGroup>,
    refused: &BTreeSet<SecurityGroupRuleId>,
) -> Arc<SecurityGroup> {
    let mut applied = Arc::clone(group);
    if group.rules.iter().any(|rule| refused.contains(&rule.id())) {
        Arc::make_mut(&mut applied).rules.retain(|rule| !refused.contains(&rule.id()));
    }
    applied
}

/// A step that leads through all of so many places, in leaps.
pub(super) fn stride(len: usize) -> usize {
    let common = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    // Near the golden section, so that what has been visited is spread evenly at any time.
    let near = len / 1000 * 618 + len % 1000 * 618 / 1000;
    (near.max(1)..=len.max(1)).find(|step| common(*step, len) == 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaps_lead_everywhere() {
        for len in [1, 2, 3, 7, 10, 1000, 1024] {
            let visited: BTreeSet<usize> = (0..len).map(|turn| turn * stride(len) % len).collect();
            assert_eq!(visited.len(), len);
        }
    }
}
