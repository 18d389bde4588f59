//! The policies that netfilter applies, each with its ports and its packets.

use std::collections::{BTreeMap, BTreeSet};

use dataplane::hybrid::Node;
use dataplane::hybrid::verdict::Packet;
use model::{Direction, Prefix, SecurityGroup, SecurityGroupId};

use super::{DIRECTIONS, Machine, Ruling, verdicts};
use crate::probe::{End, STRANGER, at_bridge, end_of_port};
use crate::verify::subject::stride;
use crate::verify::witness::{self, Packets};

/// A policy in one direction, and who has it.
pub(super) struct Subject<'a> {
    pub(super) direction: Direction,
    pub(super) machines: Vec<&'a Machine<'a>>,
    pub(super) packets: Packets<'a>,
}

/// The policies of these ports. Packets come from `odd` addresses too.
pub(super) fn subjects<'a>(
    node: &'a Node,
    machines: &'a [Machine<'a>],
    odd: &BTreeSet<Prefix>,
) -> Vec<Subject<'a>> {
    let landmarks = witness::at(odd.iter().map(|prefix| prefix.address()));
    let mut sets: BTreeMap<&BTreeSet<SecurityGroupId>, Vec<&Machine<'_>>> = BTreeMap::new();
    for machine in machines.iter().filter(|it| matches!(it.ruling, Ruling::Rules(_))) {
        sets.entry(&machine.port.port.groups).or_default().push(machine);
    }
    let mut subjects = Vec::with_capacity(sets.len() * 2);
    for (set, machines) in sets {
        let groups = set.iter().filter_map(|id| node.groups.get(id));
        let groups: Vec<&SecurityGroup> = groups.map(AsRef::as_ref).collect();
        for direction in DIRECTIONS {
            let packets = Packets::of(&groups, &node.members, direction, &landmarks);
            subjects.push(Subject { direction, machines: machines.clone(), packets });
        }
    }
    subjects
}

impl Subject<'_> {
    /// How many verdicts there are to be had.
    pub(super) fn verdicts(&self) -> u64 {
        let each = self.machines.first().map_or(0, |machine| verdicts(machine, self.direction));
        let product = self.machines.len() * self.packets.len();
        u64::try_from(product).unwrap_or(u64::MAX).saturating_mul(each)
    }

    /// The packet whose turn it is, and the port for it in this round.
    pub(super) fn pick(&self, round: usize, turn: usize) -> Option<(&Machine<'_>, Packet)> {
        if round >= self.machines.len() || turn >= self.packets.len() {
            return None;
        }
        let packet = self.packets.get(turn * stride(self.packets.len()) % self.packets.len())?;
        let machine = self.machines.get((round + turn) % self.machines.len())?;
        let port = &machine.port.port;
        let own = end_of_port(port, packet.ethertype());
        let remote = End { mac: packet.remote_mac.unwrap_or(STRANGER), address: packet.remote };
        let ends = match self.direction {
            Direction::Ingress => [remote, own],
            Direction::Egress => [own, remote],
        };
        let policy::Packet { protocol, l4, .. } = packet;
        Some((machine, at_bridge(port.id, self.direction, ends, protocol, l4)))
    }
}
