//! The flows of a physical bridge: what leaves br-int gets the VLAN of its segment here.
//!
//! The way in needs no flow: NORMAL brings frames of the wire to br-int, whose table 0 knows their
//! segments. What br-int sends in a VLAN of no network that the bridge carries ends here, so two
//! physical networks are never joined by way of br-int.

use std::collections::BTreeMap;

use model::{NetworkType, OfPort, Segment, VlanTag};
use openflow::{Action, Match, PortNo};

use super::build::{put, set_vlan};
use super::layout::Owner;
use super::layout::physical::{LOCAL_VLAN_TO_SEGMENT, MISS, NO_SEGMENT, SEGMENT};
use crate::FlowSet;

/// Everything that decides what a physical bridge should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Physical {
    /// The port (ofport) that leads to br-int, once there is one.
    pub patch: Option<OfPort>,
    /// Networks that the bridge carries, by local VLAN.
    pub networks: BTreeMap<VlanTag, Segment>,
}

/// The whole flow set of the bridge.
pub fn desired(bridge: &Physical) -> FlowSet {
    let mut flows = FlowSet::new();
    let mut add = |owner, priority, matches, actions: Vec<Action>| {
        put(&mut flows, owner, LOCAL_VLAN_TO_SEGMENT, priority, matches, actions);
    };
    let normal = || Action::Output(PortNo::NORMAL);
    add(Owner::BASE, MISS, Match::new(), vec![normal()]);
    let Some(patch) = bridge.patch else { return flows };
    let from_patch = || Match::new().in_port(patch.get().into());
    add(Owner::BASE, NO_SEGMENT, from_patch(), vec![]);
    for (vlan, segment) in &bridge.networks {
        if let Some(retag) = retag(segment) {
            let frame = from_patch().vlan_vid(vlan.get());
            add(Owner::network(*vlan), SEGMENT, frame, vec![retag, normal()]);
        }
    }
    flows
}

/// What gives a frame the tag that it has in the segment; nothing where the segment is not one of a
/// physical network.
fn retag(segment: &Segment) -> Option<Action> {
    match segment.network_type {
        NetworkType::Flat => Some(Action::PopVlan),
        NetworkType::Vlan => {
            let vlan = VlanTag::new(segment.segmentation_id?.get()).ok()?;
            Some(set_vlan(vlan))
        }
        NetworkType::Local | NetworkType::Vxlan | NetworkType::Gre | NetworkType::Geneve => None,
    }
}
