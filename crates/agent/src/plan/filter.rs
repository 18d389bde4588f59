//! Ports whose rules netfilter applies: which they are, and how far it has come. Pure.
//!
//! Flows let through what such a port sends and gets, so there are none before netfilter has its
//! rules.

use dataplane::hybrid::{self, Node};
use dataplane::{Filter, Snapshot};
use model::{HybridDevices, PortId};

use super::{Plan, State};
use crate::firewall::Firewall;
use crate::inventory::Inventory;
use crate::netfilter::Netfilter;
use crate::plugged::Plug;

/// What a port warns of that has no Linux bridge where it should have one.
const WITHOUT_BRIDGE: &str = "it is plugged in without a Linux bridge, where netfilter would not \
                              see it; flows apply its rules";

/// Who applies the rules of a port that is plugged in like this.
pub(super) fn of(firewall: Firewall, id: PortId, plug: &Plug) -> Filter {
    match firewall.filter() {
        Filter::Netfilter if *plug.interface != *HybridDevices::of(id).qvo => Filter::Flows,
        filter => filter,
    }
}

/// Where a port stands that netfilter does not filter yet.
pub(super) fn waiting(netfilter: &Netfilter) -> State {
    netfilter.trouble.clone().map_or(State::Filtering, State::NotFiltered)
}

/// Has what netfilter should hold follow the node.
pub(super) fn follow(inventory: &mut Inventory, snapshot: &mut Snapshot, plan: &mut Plan) {
    let Firewall::IptablesHybrid { ipset } = inventory.firewall else { return };
    for (id, view) in &mut plan.ports {
        let local = snapshot.ports.get(id);
        if local.is_some_and(|local| local.filter == Filter::Flows && local.is_managed()) {
            view.warnings.push(WITHOUT_BRIDGE.to_owned());
        }
    }
    let behind_bridges = std::mem::take(&mut plan.behind_bridges);
    let ports =
        behind_bridges.into_iter().map(|(id, port)| (id, hybrid::Port { port, zone: None }));
    let node = Node {
        ports: ports.collect(),
        groups: snapshot.groups.clone(),
        members: snapshot.members.clone(),
        strict_equivalence: inventory.strict_equivalence,
        ipset,
    };
    let desired = inventory.netfilter.follow(node);
    for fault in &desired.faults {
        let Some(view) = plan.ports.get_mut(&fault.port()) else { continue };
        if fault.closes_port() {
            snapshot.ports.remove(&fault.port());
            view.state = State::Closed(fault.to_string());
        } else {
            view.warnings.push(fault.to_string());
        }
    }
    // What an earlier agent has left there is understood when everything is known that is plugged
    // in; and until netfilter is as it should be, its ports are in no flows.
    if plan.warm || inventory.warm || inventory.netfilter.is_vacant() {
        plan.netfilter = inventory.netfilter.change();
    }
    plan.warm &= inventory.netfilter.is_settled();
}
