//! Connections that go on while another firewall takes over a port that stays where it is, behind its
//! Linux bridge: as at the start of an agent with another driver than the one before it. Pure.
//!
//! Whoever filters from now on takes the first packet that it sees of a connection for the one that
//! opens it. Where that is an answer, or one side alone speaks, it would refuse what is allowed. So
//! conntrack is given the connections in the zone of the new firewall before that decides on anything.
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | flows | netfilter | with the change that gives the port a zone |
//! | netfilter | flows | before anything of an earlier agent is touched; and again before netfilter lets go |
//!
//! The kernel takes connections, and the datapath of ovs-vswitchd does not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataplane::{Filter, LocalPort, Snapshot};
use model::{CtZone, HybridDevices, Port, PortId};
use ovsdb::Replica;

use super::Plan;
use super::tunnel::USERSPACE;
use crate::conntrack::Carry;
use crate::inventory::Inventory;
use crate::plugged::Plug;
use crate::rewire::Way;

/// How far connections have come that netfilter knows, of ports that flows filter from now on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Handover {
    /// There may be some.
    #[default]
    Open,
    /// They are being carried over.
    UnderWay,
    /// Flows know them.
    Done,
}

/// Ports behind Linux bridges that netfilter may have filtered for an agent before this one. It goes on
/// until flows do, also where it filters others.
#[derive(Debug)]
pub(super) struct Kept(BTreeSet<PortId>);

impl Kept {
    pub(super) fn of(inventory: &Inventory, plugged: &BTreeMap<PortId, Plug>) -> Self {
        let netfilter = &inventory.netfilter;
        let ids = plugged.iter().filter(|(id, plug)| is_bridged(**id, plug)).map(|(id, _)| *id);
        let ids = if netfilter.is_engaged() { ids.collect() } else { BTreeSet::new() };
        // What it has taken since is known without a look at its rules.
        let before = if inventory.warm { BTreeMap::new() } else { netfilter.zones_before(&ids) };
        let has = |id: &PortId| netfilter.filters(*id) || before.contains_key(id);
        Self(ids.into_iter().filter(has).collect())
    }

    /// Whether netfilter is to filter a port with the flows.
    pub(super) fn keeps(&self, inventory: &Inventory, id: PortId) -> bool {
        self.0.contains(&id) && !is_by_flows(inventory, id)
    }
}

/// Ports of which netfilter lets go because flows filter them.
pub(super) fn leaving(inventory: &Inventory, snapshot: &Snapshot) -> BTreeSet<PortId> {
    let ports = behind_bridges(inventory, snapshot).into_keys();
    let leaves = |id: &PortId| inventory.netfilter.filters(*id) && is_by_flows(inventory, *id);
    ports.filter(leaves).collect()
}

/// As long as flows do not know the connections that they are to go on with, nothing of an earlier agent
/// is touched.
pub(super) fn to_flows(
    inventory: &Inventory,
    replica: &Replica,
    snapshot: &Snapshot,
    plan: &mut Plan,
) {
    if inventory.warm || inventory.handover == Handover::Done || !is_kernel(inventory, replica) {
        return;
    }
    let ports = behind_bridges(inventory, snapshot);
    if ports.is_empty() {
        return;
    }
    let netfilter = &inventory.netfilter;
    if !netfilter.is_read() {
        // One that is to filter ports is waited for in any case.
        plan.warm &= netfilter.is_engaged();
        return;
    }
    let carries = carries(inventory, snapshot, &ports);
    if !carries.is_empty() {
        if plan.warm && inventory.handover == Handover::Open {
            plan.carries = carries;
        }
        plan.warm = false;
    }
}

/// Those that have begun since, when netfilter is about to let go.
pub(super) fn rest(inventory: &Inventory, replica: &Replica, snapshot: &Snapshot) -> Vec<Carry> {
    if !is_kernel(inventory, replica) {
        return Vec::new();
    }
    let mut ports = behind_bridges(inventory, snapshot);
    ports.retain(|id, _| is_by_flows(inventory, *id));
    carries(inventory, snapshot, &ports)
}

/// Connections that flows know, of ports that a change of netfilter gives a zone. Those of a port that is
/// being put behind a Linux bridge are carried when it is.
pub(super) fn to_netfilter(inventory: &Inventory, plan: &mut Plan) {
    let Some(change) = &mut plan.netfilter else { return };
    let networks = &plan.networks;
    let carry = |(port, to): (&Arc<Port>, CtZone)| {
        let filter = inventory.wired.get(&port.id).map(|wired| wired.local.filter);
        let may_have = filter == Some(Filter::Flows) || !inventory.warm;
        if !may_have || inventory.moves.has_spare_bridge(port.id) {
            return None;
        }
        let from = networks.get(&port.network)?.vlan.zone();
        Some(Carry { port: Arc::clone(port), from, to })
    };
    let carries = change.given().filter_map(carry).collect();
    change.add_carries(carries);
}

/// Connections that flows are to know before they filter a port, with netfilter, which then loses its
/// Linux bridge.
pub(super) fn unbridged(
    inventory: &Inventory,
    replica: &Replica,
    snapshot: &Snapshot,
    id: PortId,
    way: Way,
) -> Vec<Carry> {
    let carry = || {
        let port = Arc::clone(&snapshot.ports.get(&id)?.port);
        let to = snapshot.networks.get(&port.network)?.vlan.zone();
        Some(Carry { port, from: inventory.netfilter.zone(id)?, to })
    };
    let is_given = way == Way::Unbridge && is_kernel(inventory, replica);
    is_given.then(carry).flatten().into_iter().collect()
}

/// Ports that flows filter although a Linux bridge is before them, and that stay there.
fn behind_bridges<'a>(
    inventory: &Inventory,
    snapshot: &'a Snapshot,
) -> BTreeMap<PortId, &'a LocalPort> {
    let plugged = &inventory.plugged.ports;
    let is_bridged = |id: PortId| plugged.get(&id).is_some_and(|plug| is_bridged(id, plug));
    let by_flows = snapshot.ports.iter().filter(|(_, local)| local.filter == Filter::Flows);
    by_flows
        .filter(|(id, _)| is_bridged(**id) && !inventory.moves.is_active(**id))
        .map(|(id, local)| (*id, local))
        .collect()
}

/// What netfilter knows of these ports.
fn carries(
    inventory: &Inventory,
    snapshot: &Snapshot,
    ports: &BTreeMap<PortId, &LocalPort>,
) -> Vec<Carry> {
    let ids: BTreeSet<PortId> = ports.keys().copied().collect();
    let zones = inventory.netfilter.zones_before(&ids);
    let carry = |(id, from): (PortId, CtZone)| {
        let port = Arc::clone(&ports.get(&id)?.port);
        let to = snapshot.networks.get(&port.network)?.vlan.zone();
        Some(Carry { port, from, to })
    };
    zones.into_iter().filter_map(carry).collect()
}

/// Whether a Linux bridge is before a port.
fn is_bridged(id: PortId, plug: &Plug) -> bool {
    *plug.interface == *HybridDevices::of(id).qvo
}

/// Whether the switch has confirmed that flows filter a port.
fn is_by_flows(inventory: &Inventory, id: PortId) -> bool {
    let wired = inventory.wired.get(&id).filter(|_| inventory.confirmed);
    wired.is_some_and(|wired| wired.local.filter == Filter::Flows)
}

/// Whether conntrack of the integration bridge is the kernel's.
fn is_kernel(inventory: &Inventory, replica: &Replica) -> bool {
    let bridge = replica.bridge(&inventory.integration_bridge);
    bridge.is_some_and(|(_, bridge)| bridge.datapath_type != USERSPACE)
}

#[cfg(test)]
mod tests;
