//! Physical bridges: the patch ports that join them to the integration bridge, and what they
//! should hold. Pure.
//!
//! A pair of patch ports is made in three steps, so that no frame crosses before it is translated:
//! both ends with a peer that is not there, the flows of both bridges, then the right peers. A pair
//! that is joined already is left alone.

use std::collections::BTreeMap;

use dataplane::bridge::layout::Owner;
use dataplane::bridge::physical::{self, Physical};
use dataplane::{Snapshot, Underlay};
use model::OfPort;
use ovsdb::Replica;
use sha1::{Digest as _, Sha1};

use super::Plan;
use crate::bridge::BridgeId;
use crate::inventory::Inventory;
use crate::links::{Links, PATCH, patched_to};

/// The ends' names begin with it.
const ON_INTEGRATION: &str = "int-";
const ON_PHYSICAL: &str = "phy-";
/// The peer of an end that is not joined yet.
const NOBODY: &str = "nonexistent-peer";

/// How long the name of a network device may be, and how much of a longer one is a hash.
const LONGEST_NAME: usize = 15;
const HASH: usize = 6;

/// The name of a patch port for a bridge, as Neutron's agent derives it: a name that would be too
/// long ends in the first digits of its SHA-1.
fn patch_name(prefix: &str, bridge: &str) -> String {
    let whole = format!("{prefix}{bridge}");
    if whole.len() <= LONGEST_NAME {
        return whole;
    }
    let digest = Sha1::digest(bridge.as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let kept = LONGEST_NAME - prefix.len() - HASH;
    let start: String = bridge.chars().take(kept).collect();
    let hash: String = hash.chars().take(HASH).collect();
    format!("{prefix}{start}{hash}")
}

/// The port of the integration bridge that leads to this physical bridge.
pub(super) fn on_integration(bridge: &str) -> String {
    patch_name(ON_INTEGRATION, bridge)
}

/// The names of the ports of the pair for a physical bridge: that of the integration bridge, and its
/// own.
pub(crate) fn patch_names(bridge: &str) -> [String; 2] {
    [ON_INTEGRATION, ON_PHYSICAL].map(|end| patch_name(end, bridge))
}

/// The port of the integration bridge that leads to each underlay.
pub(super) fn uplinks(inventory: &Inventory, links: &Links) -> BTreeMap<Underlay, OfPort> {
    let physical = inventory.physical.iter().zip(&links.physical).filter_map(|(it, joint)| {
        Some((Underlay::Physical(it.physical_network.clone()), joint.ofport_here()?))
    });
    physical.collect()
}

/// What each physical bridge should hold by this snapshot.
pub(super) fn follow(inventory: &mut Inventory, links: &Links, snapshot: &Snapshot) {
    for (it, joint) in inventory.physical.iter_mut().zip(&links.physical) {
        let underlay = Some(Underlay::Physical(it.physical_network.clone()));
        let networks = snapshot.networks.values();
        let networks = networks.filter(|network| Underlay::of(&network.segment) == underlay);
        let networks = networks.map(|network| (network.vlan, network.segment.clone())).collect();
        let by = Physical { patch: joint.ofport_there(), networks };
        if it.by.as_ref() != Some(&by) {
            it.bridge.flows.want(physical::desired(&by));
            it.by = Some(by);
        }
    }
}

/// The patch ports that are to be made and joined.
pub(super) fn wire(inventory: &Inventory, replica: &Replica, links: &Links, plan: &mut Plan) {
    let Some((integration, _)) = replica.bridge(&inventory.integration_bridge) else { return };
    let bridges = inventory.physical.iter().zip(&links.physical).enumerate();
    for (place, (it, joint)) in bridges {
        let Some((physical, _)) = replica.bridge(&it.name) else { continue };
        let [ours, theirs] = patch_names(&it.name);
        let is_closed = joint.ofport_here().is_some()
            && joint.ofport_there().is_some()
            && is_closed(inventory, BridgeId::Physical(place));
        for (bridge, name, peer, end) in
            [(integration, &ours, &theirs, &joint.here), (physical, &theirs, &ours, &joint.there)]
        {
            match end {
                None => plan.provide(bridge, name, PATCH, patched_to(NOBODY), None),
                Some(end) if is_closed => {
                    plan.provide(bridge, name, PATCH, patched_to(peer), Some(end));
                }
                Some(_) => {}
            }
        }
    }
}

/// Whether both bridges refuse by now what they are not told to let through.
fn is_closed(inventory: &Inventory, physical: BridgeId) -> bool {
    let holds = |id| inventory.bridge(id).is_some_and(|bridge| bridge.holds(&[Owner::BASE]));
    holds(BridgeId::Integration) && holds(physical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_neutron() {
        assert_eq!(patch_name(ON_INTEGRATION, "br-physnet1"), "int-br-physnet1");
        assert_eq!(patch_name(ON_PHYSICAL, "br-physnet12"), "phy-br-phc27353");
        assert_eq!(patch_name(ON_PHYSICAL, "br-physnet12").len(), LONGEST_NAME);
    }
}
