//! Datapath ids: no two bridges may have the same one. Pure.
//!
//! ovs-vswitchd derives the id from a MAC address of the bridge, so two bridges over one network
//! device get the same, and whoever knows bridges by their ids takes one for the other.

use std::collections::BTreeSet;

use ovsdb::{Bridge, Replica};

use super::{Plan, Wiring};
use crate::inventory::Inventory;

/// The key of `other_config` that sets the id.
pub(crate) const KEY: &str = "datapath-id";
/// The 48 bits below are a MAC address; the four digits above are free.
const STEP: u64 = 1 << 48;

/// Plans another id for each bridge that has the id of one before it.
pub(super) fn repair(inventory: &Inventory, replica: &Replica, plan: &mut Plan) {
    let rows = inventory.bridges().filter_map(|(_, name)| replica.bridge(name));
    let ids: Vec<_> = rows.filter_map(|(row, bridge)| Some((row, id(bridge)?))).collect();
    for (bridge, id) in distinct(&ids) {
        plan.wiring.push(Wiring::Identify { bridge, datapath_id: format!("{id:016x}") });
    }
}

/// The id that a bridge has, or will have when ovs-vswitchd has read its row.
fn id(bridge: &Bridge) -> Option<u64> {
    let parse = |text: &String| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let configured = bridge.other_config.get(KEY).and_then(parse);
    configured.or_else(|| bridge.datapath_id.as_ref().and_then(parse))
}

/// New ids for those that have one that is taken: the next with the same MAC address.
fn distinct<T: Copy>(ids: &[(T, u64)]) -> Vec<(T, u64)> {
    let mut taken: BTreeSet<u64> = BTreeSet::new();
    let mut all: BTreeSet<u64> = ids.iter().map(|(_, id)| *id).collect();
    let mut changed = Vec::new();
    for (row, id) in ids {
        if taken.insert(*id) {
            continue;
        }
        let steps = (1..=0xffff_u64).map(|step| id.wrapping_add(step.wrapping_mul(STEP)));
        if let Some(free) = steps.into_iter().find(|free| all.insert(*free)) {
            changed.push((*row, free));
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_keeps_its_id_and_the_others_get_the_next_that_are_free() {
        let ids = [('a', 0x1b), ('b', 0x2b), ('c', 0x1b), ('d', 0x1b), ('e', STEP + 0x1b)];
        assert_eq!(distinct(&ids), [('c', 2 * STEP + 0x1b), ('d', 3 * STEP + 0x1b)]);
        assert_eq!(distinct(&ids[..2]), []);
        let last = 0xffff * STEP + 5;
        assert_eq!(distinct(&[('a', last), ('b', last)]), [('b', 5)]);
    }
}
