//! Ports whose rules netfilter applies: which they are, and how far it has come. Pure.
//!
//! Flows let through what such a port sends and gets, so there are none before netfilter has its
//! rules.

use std::collections::BTreeSet;

use dataplane::bridge::layout::{Kind, Owner};
use dataplane::hybrid::{self, Node};
use dataplane::{Filter, LocalPort, Snapshot};
use model::{HybridDevices, PortId, SecurityGroupId};
use openflow::Flow;
use ovsdb::Replica;

use super::{Plan, State, handover};
use crate::firewall::Firewall;
use crate::inventory::Inventory;
use crate::plugged::Plug;

/// Sets of groups that ports have.
type Sets = BTreeSet<BTreeSet<SecurityGroupId>>;

/// What a port warns of that has no Linux bridge where it should have one.
const WITHOUT_BRIDGE: &str = "it is plugged in without a Linux bridge, where netfilter would not \
                              see it; flows apply its rules ('weir migrate-driver' \
                              puts one there)";

/// Who applies the rules of a port that is plugged in like this.
pub(super) fn of(inventory: &Inventory, id: PortId, plug: &Plug) -> Filter {
    let filter = match plug.driver_on(inventory.firewall).filter() {
        Filter::Netfilter if *plug.interface != *HybridDevices::of(id).qvo => Filter::Flows,
        filter => filter,
    };
    inventory.moves.filter(id, filter)
}

/// Where a port stands that netfilter does not filter yet, or would not see.
pub(super) fn waiting(inventory: &Inventory, id: PortId) -> Option<State> {
    if !inventory.netfilter.filters(id) {
        let trouble = inventory.netfilter.trouble.clone();
        return Some(trouble.map_or(State::Filtering, State::NotFiltered));
    }
    match inventory.devices.path(&HybridDevices::of(id)) {
        None => Some(State::Filtering),
        Some(path) => path.err().map(|gap| State::NotFiltered(gap.to_string())),
    }
}

/// Has what netfilter should hold follow the node.
pub(super) fn follow(
    inventory: &mut Inventory,
    replica: &Replica,
    snapshot: &mut Snapshot,
    plan: &mut Plan,
) {
    let behind_bridges = std::mem::take(&mut plan.behind_bridges);
    if !inventory.firewall.is_hybrid() && behind_bridges.is_empty() {
        clear(inventory, replica, snapshot, plan);
        return;
    }
    inventory.netfilter.engage();
    let lacks_bridge = |id: PortId, local: &LocalPort| {
        let plug = inventory.plugged.ports.get(&id);
        let driver = plug.map_or(inventory.firewall, |plug| plug.driver_on(inventory.firewall));
        let is_meant = driver == Firewall::OpenVswitch;
        local.is_managed() && !is_meant && !behind_bridges.contains_key(&id)
    };
    for (id, view) in &mut plan.ports {
        match (snapshot.ports.get(id), &inventory.netfilter.trouble) {
            (Some(local), _) if local.filter == Filter::Flows && lacks_bridge(*id, local) => {
                view.warnings.push(WITHOUT_BRIDGE.to_owned());
            }
            (Some(local), Some(trouble)) if local.filter == Filter::Netfilter => {
                view.warnings.push(format!("netfilter goes on with the rules it had: {trouble}"));
            }
            _ => {}
        }
    }
    let ports =
        behind_bridges.into_iter().map(|(id, port)| (id, hybrid::Port { port, zone: None }));
    let node = Node {
        ports: ports.collect(),
        groups: snapshot.groups.clone(),
        members: snapshot.members.clone(),
        strict_equivalence: inventory.strict_equivalence,
        ipset: inventory.enable_ipset,
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
    // in; and until netfilter has all ports, some are in no flows.
    if plan.warm || inventory.warm || inventory.netfilter.is_vacant() {
        plan.netfilter = inventory.netfilter.change();
        handover::to_netfilter(inventory, plan);
        if let Some(change) = &mut plan.netfilter
            && !handover::leaving(inventory, snapshot).is_empty()
        {
            change.let_go(handover::rest(inventory, replica, snapshot));
        }
    }
    plan.warm &= inventory.netfilter.is_settled() && inventory.devices.is_settled();
}

/// Sets of groups of ports whose rules flows have applied until now, for an agent before this one that
/// had another firewall: packets may be on their way by them.
pub(super) fn handed_over(inventory: &Inventory, snapshot: &Snapshot) -> Sets {
    let is_policy = |flow: &Flow| Owner::of(flow.cookie).is_some_and(|it| it.kind == Kind::Policy);
    let installed = inventory.integration.flows.installed();
    let by_flows =
        || installed.is_some_and(|installed| installed.iter().any(|flow| is_policy(flow)));
    if !inventory.wired.is_empty() || !by_flows() {
        return Sets::new();
    }
    let ports = snapshot.ports.values().filter(|local| local.is_checked());
    ports.map(|local| local.port.groups.clone()).collect()
}

/// What an agent with another firewall has left in netfilter goes when flows do its work: nobody
/// would have it follow the groups any more.
fn clear(inventory: &mut Inventory, replica: &Replica, snapshot: &Snapshot, plan: &mut Plan) {
    let is_wired = |(id, local): (&PortId, &LocalPort)| {
        let wired = inventory.wired.get(id).map(|wired| &wired.local);
        wired.is_some_and(|wired| (wired.ofport, wired.filter) == (local.ofport, local.filter))
    };
    let by_flows = inventory.confirmed && snapshot.ports.iter().all(is_wired);
    if plan.warm && by_flows && inventory.netfilter.has_leftovers() {
        let rest = handover::rest(inventory, replica, snapshot);
        inventory.netfilter.clear();
        plan.netfilter = inventory.netfilter.change();
        if let Some(change) = &mut plan.netfilter {
            change.let_go(rest);
        }
    }
}
