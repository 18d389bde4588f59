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
use ovsdb::{Interface, Replica, RowId};
use sha1::{Digest as _, Sha1};

use super::{Plan, Wiring};
use crate::bridge::BridgeId;
use crate::inventory::Inventory;
use crate::plugged::ofport;

/// The ends' names begin with it.
const ON_INTEGRATION: &str = "int-";
const ON_PHYSICAL: &str = "phy-";
/// The peer of an end that is not joined yet.
const NOBODY: &str = "nonexistent-peer";
pub(super) const PATCH: &str = "patch";
pub(super) const PEER: &str = "peer";

/// How long the name of a network device may be, and how much of a longer one is a hash.
const LONGEST_NAME: usize = 15;
const HASH: usize = 6;

/// The name of a patch port for a bridge, as Neutron's agent derives it: a name that would be too
/// long ends in the first digits of its SHA-1.
pub(crate) fn patch_name(prefix: &str, bridge: &str) -> String {
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

/// The port of the integration bridge that leads to each underlay.
pub(super) fn uplinks(inventory: &Inventory, replica: &Replica) -> BTreeMap<Underlay, OfPort> {
    let physical = inventory.physical.iter().filter_map(|it| {
        let end = End::find(replica, &inventory.integration_bridge, ON_INTEGRATION, &it.name)?;
        Some((Underlay::Physical(it.physical_network.clone()), end.ofport?))
    });
    physical.collect()
}

/// What each physical bridge should hold by this snapshot.
pub(super) fn follow(inventory: &mut Inventory, replica: &Replica, snapshot: &Snapshot) {
    for it in &mut inventory.physical {
        let patch = End::find(replica, &it.name, ON_PHYSICAL, &it.name).and_then(|end| end.ofport);
        let underlay = Some(Underlay::Physical(it.physical_network.clone()));
        let networks = snapshot.networks.values();
        let networks = networks.filter(|network| Underlay::of(&network.segment) == underlay);
        let networks = networks.map(|network| (network.vlan, network.segment.clone())).collect();
        let by = Physical { patch, networks };
        if it.by.as_ref() != Some(&by) {
            it.bridge.flows.want(physical::desired(&by));
            it.by = Some(by);
        }
    }
}

/// The patch ports that are to be made and joined.
pub(super) fn wire(inventory: &Inventory, replica: &Replica, plan: &mut Plan) {
    let Some((integration, _)) = replica.bridge(&inventory.integration_bridge) else { return };
    for (place, it) in inventory.physical.iter().enumerate() {
        let Some((physical, _)) = replica.bridge(&it.name) else { continue };
        let [ours, theirs] = [ON_INTEGRATION, ON_PHYSICAL].map(|end| patch_name(end, &it.name));
        let ends = [
            (integration, &inventory.integration_bridge, ON_INTEGRATION, &ours, &theirs),
            (physical, &it.name, ON_PHYSICAL, &theirs, &ours),
        ];
        let found =
            ends.map(|(_, bridge, prefix, ..)| End::find(replica, bridge, prefix, &it.name));
        let there = found.iter().flatten().filter(|end| end.ofport.is_some()).count();
        let closed = there == found.len() && is_closed(inventory, BridgeId::Physical(place));
        for ((bridge, _, _, name, peer), found) in ends.into_iter().zip(found) {
            match found {
                None => plan.wiring.push(Wiring::Add {
                    bridge,
                    port: name.clone(),
                    kind: PATCH.to_owned(),
                    options: options(NOBODY),
                }),
                Some(end) if closed && end.peer != Some(peer) => {
                    plan.wiring.push(Wiring::Set { interface: end.row, options: options(peer) });
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

fn options(peer: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(PEER.to_owned(), peer.to_owned())])
}

/// An end of a pair of patch ports.
struct End<'a> {
    row: RowId,
    ofport: Option<OfPort>,
    peer: Option<&'a String>,
}

impl<'a> End<'a> {
    /// The end on this bridge of the pair for that one.
    fn find(replica: &'a Replica, on: &str, prefix: &str, bridge: &str) -> Option<Self> {
        let name = patch_name(prefix, bridge);
        let (row, interface) = interface(replica, on, &name)?;
        Some(Self { row, ofport: ofport(interface), peer: interface.options.get(PEER) })
    }
}

/// The interface of this name, if it is on this bridge.
pub(super) fn interface<'a>(
    replica: &'a Replica,
    bridge: &str,
    name: &str,
) -> Option<(RowId, &'a Interface)> {
    let (_, bridge) = replica.bridge(bridge)?;
    let (port_row, port) = replica.port(name)?;
    if !bridge.ports.contains(&port_row) {
        return None;
    }
    let rows = port.interfaces.iter();
    let mut interfaces = rows.filter_map(|row| Some((*row, replica.interfaces.get(row)?)));
    interfaces.find(|(_, interface)| interface.name == name)
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
