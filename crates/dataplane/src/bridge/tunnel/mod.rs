//! The flows of the tunnel bridge, br-tun.
//!
//! [`desired`] is the specification: the whole flow set as a function of [`Tunnels`]. [`Follower`]
//! gives the same for one after the other, at the cost of what changed. A frame takes this way:
//!
//! ```text
//! from br-int  0 -> 2 -+-> 20 ------------------> the tunnel to who is behind it
//!                      |    +-> 22 <-+            all tunnels of the network
//!                      |         to many
//!                      +-> 21 -> 23 ------------> back: an answer (ARP, ND)
//! from a tunnel  0 -> 3, 4 or 6 -> 10 ----------> br-int
//! ```
//!
//! What comes from a tunnel never goes to a tunnel, so the mesh has no loops. A tunnel's key that no
//! network of this node has ends in table 3, 4 or 6, a local VLAN of no tunnel network in 22.
//!
//! `learning` is table 10, `population` is what the server says (20), `responder` answers (21, 23).

mod follow;
mod learning;
mod population;
mod responder;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use model::{MacAddr, NetworkType, OfPort, SegmentationId, VlanTag};
use openflow::{Action, Field, Match, TableId};

pub use self::follow::Follower;
use super::build::{VLAN_ETHERTYPE, goto, load, output, put, set_vlan};
use super::layout::Owner;
use super::layout::tunnel::{
    FLOOD_TO_TUN, GENEVE_TUN_TO_LV, GRE_TUN_TO_LV, KNOWN, LEARN_FROM_TUN, MISS, ORIGIN,
    PATCH_LV_TO_TUN, UCAST_TO_TUN, VXLAN_TUN_TO_LV,
};
use super::switching::GROUP_BIT;
use crate::FlowSet;

/// Everything that decides what the tunnel bridge should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnels {
    /// The port (ofport) that leads to br-int, once there is one.
    pub patch: Option<OfPort>,
    /// Networks that tunnels carry, by local VLAN.
    pub networks: BTreeMap<VlanTag, TunnelNetwork>,
    /// The port that leads to each other node, by the address of its end.
    pub ends: BTreeMap<(NetworkType, IpAddr), OfPort>,
    /// What is answered here for who is known.
    pub responder: Responder,
}

/// Which questions are answered on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Responder {
    /// None.
    Off,
    /// ARP requests: all that the kernel's datapath can do. It writes neither the flags nor the
    /// type of the option of a neighbour advertisement, and ovs-vswitchd refuses flows that do.
    Arp,
    /// ARP requests and neighbour solicitations.
    ArpAndNd,
}

/// A network that tunnels carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelNetwork {
    /// In which tunnels.
    pub network_type: NetworkType,
    /// Its key or network identifier there.
    pub segmentation_id: SegmentationId,
    /// Who is where, as the server says it; `None` where it does not say, and every tunnel of the
    /// type gets what is for many or for somebody who was not heard of.
    pub population: Option<Arc<Population>>,
}

impl TunnelNetwork {
    /// What tells it from others in tunnels.
    fn key(&self) -> (NetworkType, SegmentationId) {
        (self.network_type, self.segmentation_id)
    }
}

/// Who of a network is behind which end (l2population).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Population {
    /// Ends of the nodes that have the network.
    pub flood: BTreeSet<IpAddr>,
    /// The end behind which an Ethernet address is.
    pub unicast: BTreeMap<MacAddr, IpAddr>,
    /// The Ethernet address of an IP address. Only of ports at other nodes.
    pub neighbours: BTreeMap<IpAddr, MacAddr>,
}

/// The whole flow set of the bridge.
pub fn desired(bridge: &Tunnels) -> FlowSet {
    let mut flows = FlowSet::new();
    frame(bridge, &mut flows);
    for (vlan, network) in carried(bridge) {
        let place = Place::new(bridge, vlan, network);
        let population = network.population.as_deref().into_iter();
        for flow in population.flat_map(|population| population::all(&place, population)) {
            let added = flows.add(flow);
            debug_assert_eq!(added, Ok(()));
        }
    }
    flows
}

/// A network where flows are made for it.
struct Place<'a> {
    vlan: VlanTag,
    network: &'a TunnelNetwork,
    ends: &'a BTreeMap<(NetworkType, IpAddr), OfPort>,
    responder: Responder,
}

impl<'a> Place<'a> {
    fn new(bridge: &'a Tunnels, vlan: VlanTag, network: &'a TunnelNetwork) -> Self {
        Self { vlan, network, ends: &bridge.ends, responder: bridge.responder }
    }

    fn owner(&self) -> Owner {
        Owner::network(self.vlan)
    }

    /// Frames of it, with the tag of its local VLAN.
    fn frame(&self) -> Match {
        Match::new().vlan_vid(self.vlan.get())
    }

    /// The port to an end.
    fn end(&self, address: IpAddr) -> Option<OfPort> {
        self.ends.get(&(self.network.network_type, address)).copied()
    }

    /// Sends a frame of it by tunnels.
    fn send(&self, ends: impl IntoIterator<Item = OfPort>) -> Vec<Action> {
        let id = self.network.segmentation_id.get();
        let mut actions = vec![Action::PopVlan, load(Field::TUN_ID.into(), id)];
        actions.extend(ends.into_iter().map(output));
        actions
    }
}

/// The networks that can be carried: of two that claim one key of one type, the first.
fn carried(bridge: &Tunnels) -> impl Iterator<Item = (VlanTag, &TunnelNetwork)> {
    let mut taken = BTreeSet::new();
    // Nothing can be carried before there is a way to br-int.
    let networks = bridge.networks.iter().filter(|_| bridge.patch.is_some());
    networks.map(|(vlan, network)| (*vlan, network)).filter(move |(_, network)| {
        from_tunnel(network.network_type).is_some() && taken.insert(network.key())
    })
}

/// Where frames from tunnels of a type go to; `None` for what is no tunnel.
fn from_tunnel(kind: NetworkType) -> Option<TableId> {
    match kind {
        NetworkType::Gre => Some(GRE_TUN_TO_LV),
        NetworkType::Vxlan => Some(VXLAN_TUN_TO_LV),
        NetworkType::Geneve => Some(GENEVE_TUN_TO_LV),
        NetworkType::Local | NetworkType::Flat | NetworkType::Vlan => None,
    }
}

/// Everything but what the server says of who is where.
fn frame(bridge: &Tunnels, flows: &mut FlowSet) {
    let Some(patch) = bridge.patch else { return };
    base(patch, flows);
    learning::base(patch, flows);
    responder::base(bridge.responder, flows);
    ends(bridge, patch, flows);
    for (vlan, network) in carried(bridge) {
        let place = Place::new(bridge, vlan, network);
        segment(&place, flows);
        learning::network(&place, patch, flows);
        flood(&place, flows);
    }
}

/// What is the same for every node and network.
fn base(patch: OfPort, flows: &mut FlowSet) {
    let mut add = |table, priority, matches, actions| {
        put(flows, Owner::BASE, table, priority, matches, actions);
    };
    let any = Match::new;
    add(ORIGIN, KNOWN, any().in_port(patch.get().into()), vec![goto(PATCH_LV_TO_TUN)]);
    let to_one = any().eth_dst_masked([0; 6], GROUP_BIT);
    add(PATCH_LV_TO_TUN, MISS, to_one, vec![goto(UCAST_TO_TUN)]);
    let to_many = any().eth_dst_masked(GROUP_BIT, GROUP_BIT);
    add(PATCH_LV_TO_TUN, MISS, to_many, vec![goto(FLOOD_TO_TUN)]);
    add(UCAST_TO_TUN, MISS, any(), vec![goto(FLOOD_TO_TUN)]);
    // What is dropped is counted.
    for table in [ORIGIN, GRE_TUN_TO_LV, VXLAN_TUN_TO_LV, GENEVE_TUN_TO_LV, FLOOD_TO_TUN] {
        add(table, MISS, any(), vec![]);
    }
}

/// Frames from the other nodes.
fn ends(bridge: &Tunnels, patch: OfPort, flows: &mut FlowSet) {
    // By port, should two ends ever have one.
    let ports: BTreeMap<OfPort, NetworkType> =
        bridge.ends.iter().map(|((kind, _), port)| (*port, *kind)).collect();
    for (port, kind) in ports.into_iter().filter(|(port, _)| *port != patch) {
        if let Some(table) = from_tunnel(kind) {
            let frame = Match::new().in_port(port.get().into());
            put(flows, Owner::tunnel(port), ORIGIN, KNOWN, frame, vec![goto(table)]);
        }
    }
}

/// From the key of a tunnel to the local VLAN.
fn segment(place: &Place<'_>, flows: &mut FlowSet) {
    if let Some(table) = from_tunnel(place.network.network_type) {
        let id = place.network.segmentation_id.get();
        let frame = Match::new().with(Field::TUN_ID, id.into());
        let tag =
            vec![Action::PushVlan(VLAN_ETHERTYPE), set_vlan(place.vlan), goto(LEARN_FROM_TUN)];
        put(flows, place.owner(), table, KNOWN, frame, tag);
    }
}

/// To everybody: all nodes that have the network, as far as that is known.
fn flood(place: &Place<'_>, flows: &mut FlowSet) {
    let kind = place.network.network_type;
    let all = place.ends.iter().filter(|((of, _), _)| *of == kind);
    let (owner, ports): (Owner, BTreeSet<OfPort>) = match &place.network.population {
        None => (place.owner(), all.map(|(_, port)| *port).collect()),
        Some(population) => {
            let ends = population.flood.iter();
            (Owner::population(place.vlan), ends.filter_map(|end| place.end(*end)).collect())
        }
    };
    if !ports.is_empty() {
        let actions = place.send(ports);
        put(flows, owner, FLOOD_TO_TUN, KNOWN, place.frame(), actions);
    }
}
