//! Which step of which move is next. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataplane::bridge::layout::Owner;
use dataplane::{LocalPort, Snapshot};
use model::{HybridDevices, PortId};
use ovsdb::Replica;

use super::{Plan, State, Wiring, handover};
use crate::firewall::Firewall;
use crate::inventory::Inventory;
use crate::plugged::{Plug, Plugged};
use crate::rewire::{self, DRIVER, MOVED, Move, Rewiring, Start, Step, Suspect, Swap, Way};

/// Plans what moves need next, and has the ports tell of theirs.
pub(super) fn follow(
    inventory: &Inventory,
    replica: &Replica,
    plugged: &Plugged,
    snapshot: &Snapshot,
    plan: &mut Plan,
) {
    at_start(inventory, replica, plugged, plan);
    sweep(inventory, replica, plugged, plan);
    // What an agent before this one has left half done is ended before anything else.
    let is_clean = matches!(inventory.moves.start, Start::Clean | Start::Moving);
    let mut room = if is_clean { inventory.moves.room() } else { 0 };
    // ovs-vswitchd takes all the longer for each that is under way.
    let mut may_swap = !inventory.moves.is_any_swapping();
    for (id, it) in inventory.moves.iter() {
        let is_swapping = matches!(it.step, Step::Swapping(_));
        let Some(plug) = plugged.ports.get(&id) else {
            // Its rows are on their way.
            if !is_swapping {
                plan.rewiring.push(Rewiring::Forget(id));
            }
            continue;
        };
        plan.rewiring.extend(match &it.step {
            Step::Queued if room > 0 && is_up(plan, id) => match rewire::way(id, plug, it.to) {
                Ok(way) => {
                    room -= 1;
                    let carries = handover::unbridged(inventory, replica, snapshot, id, way);
                    Some(Rewiring::Prepare(id, way, carries))
                }
                Err(reason) => Some(Rewiring::Refuse(id, reason)),
            },
            Step::Doubling if it.to.is_hybrid() && inventory.netfilter.trouble.is_some() => {
                let trouble = inventory.netfilter.trouble.clone().unwrap_or_default();
                Some(Rewiring::Refuse(id, trouble))
            }
            Step::Doubling => swap(inventory, snapshot, plan, (id, plug, it)).map(Rewiring::Settle),
            Step::Ready if may_swap => {
                let next = swap(inventory, snapshot, plan, (id, plug, it));
                may_swap &= next.is_none();
                next.map(Rewiring::Swap)
            }
            _ => None,
        });
        warn(plan, id, it);
    }
}

/// What becomes of ports that were plugged in before this agent.
fn at_start(inventory: &Inventory, replica: &Replica, plugged: &Plugged, plan: &mut Plan) {
    let Some((row, bridge)) = replica.bridge(&inventory.integration_bridge) else { return };
    let moves = &inventory.moves;
    let recorded = bridge.external_ids.get(DRIVER);
    let own = inventory.firewall.to_string();
    match moves.start {
        Start::Unknown if is_settled(inventory, plan) => {
            let suspects = plugged
                .ports
                .iter()
                .filter_map(|(id, plug)| suspect(inventory, replica, *id, plug));
            plan.rewiring.push(Rewiring::Look(suspects.collect()));
        }
        Start::Clean if recorded.is_some_and(|recorded| *recorded != own) => {
            let ports = plugged.ports.iter().filter(|(id, plug)| is_strange(inventory, **id, plug));
            plan.rewiring.push(Rewiring::Queue(ports.map(|(id, _)| *id).collect()));
        }
        Start::Clean | Start::Moving if recorded != Some(&own) && !moves.is_any_under_way() => {
            let external_ids = BTreeMap::from([(DRIVER.to_owned(), own)]);
            plan.wiring.push(Wiring::NoteBridge { bridge: row, external_ids });
        }
        _ => {}
    }
}

/// Takes away interfaces that a move has put there, and that no machine uses any more.
fn sweep(inventory: &Inventory, replica: &Replica, plugged: &Plugged, plan: &mut Plan) {
    let Some((bridge, _)) = replica.bridge(&inventory.integration_bridge) else { return };
    let replaced = plugged.duplicates.iter().filter(|(_, plug)| plug.is_moved);
    let unused = plugged.ports.iter().filter(|(id, plug)| {
        plug.is_moved && !inventory.moves.is_active(**id) && is_unused(inventory, plan, **id, plug)
    });
    let gone = replaced.map(|(id, plug)| (*id, plug));
    let gone: Vec<_> = gone.chain(unused.map(|(id, plug)| (*id, plug))).collect();
    for (id, plug) in gone {
        plan.wiring.push(Wiring::Remove { bridge, port: plug.row });
        if *plug.interface == *HybridDevices::of(id).qvo {
            plan.rewiring.push(Rewiring::Clean(id));
        }
    }
}

/// Whether no machine is behind an interface: its device has gone, or it is a Linux bridge without a
/// machine, whose port is not of this host any more.
fn is_unused(inventory: &Inventory, plan: &Plan, id: PortId, plug: &Plug) -> bool {
    let devices = HybridDevices::of(id);
    let view = plan.ports.get(&id);
    let has_left = view.is_some_and(|it| matches!(it.state, State::Unknown | State::NotBoundHere));
    let is_empty = || *plug.interface == *devices.qvo && inventory.devices.is_empty(&devices);
    plug.error.is_some() && plug.ofport.is_none() || has_left && is_empty()
}

/// Whether all that is plugged in works, so that what does not can be told.
fn is_settled(inventory: &Inventory, plan: &Plan) -> bool {
    let in_netfilter = plan.netfilter.is_none() && !inventory.netfilter.is_changing();
    let in_order = plan.bundles.is_empty() && in_netfilter && plan.tags.is_empty();
    inventory.devices.is_settled() && plan.warm && inventory.confirmed && in_order
}

/// A port of which something may be left: one of its interfaces is that of the other driver, and is
/// plugged in nowhere.
fn suspect(inventory: &Inventory, replica: &Replica, id: PortId, plug: &Plug) -> Option<Suspect> {
    let devices = HybridDevices::of(id);
    let is_bridged = *plug.interface == *devices.qvo;
    let other = if is_bridged { &devices.tap } else { &devices.qvo };
    let is_either = is_bridged || *plug.interface == *devices.tap;
    let is_free = || replica.interface(other).is_none();
    (is_either && inventory.devices.may_be_half(&devices, is_bridged) && is_free())
        .then_some(Suspect { port: id, is_bridged })
}

/// Whether a port is plugged in for another driver than it has.
fn is_strange(inventory: &Inventory, id: PortId, plug: &Plug) -> bool {
    let driver = plug.driver_on(inventory.firewall);
    let way = rewire::way(id, plug, driver);
    driver != Firewall::Noop && way.is_ok_and(|way| way != Way::Stay)
}

fn is_up(plan: &Plan, id: PortId) -> bool {
    plan.ports.get(&id).is_some_and(|view| matches!(view.state, State::Up | State::Wired))
}

/// Plugging a port in anew, if flows and netfilter both filter it.
fn swap(
    inventory: &Inventory,
    snapshot: &Snapshot,
    plan: &Plan,
    (id, plug, it): (PortId, &Plug, &Move),
) -> Option<Box<Swap>> {
    let local = snapshot.ports.get(&id)?;
    let network = snapshot.networks.get(&local.port.network)?;
    let netfilter = &inventory.netfilter;
    let sees = || inventory.devices.path(&HybridDevices::of(id)) == Some(Ok(()));
    let by_netfilter =
        !it.to.is_hybrid() || (netfilter.filters(id) && netfilter.trouble.is_none() && sees());
    let way = rewire::way(id, plug, it.to).ok()?;
    let is_ready = is_up(plan, id) && by_netfilter && by_flows(inventory, plan, id, local);
    is_ready.then(|| {
        let notes = notes(inventory, plug, it, way);
        Box::new(Swap {
            port: Arc::clone(&local.port),
            way,
            interface: Arc::clone(&plug.interface),
            ofport: local.ofport,
            in_flows: network.vlan.zone(),
            in_netfilter: netfilter.zone(id),
            before: noted(plug, &notes),
            notes,
        })
    })
}

/// Whether the switch has confirmed that flows filter a port.
fn by_flows(inventory: &Inventory, plan: &Plan, id: PortId, local: &LocalPort) -> bool {
    let desired = inventory.integration.flows.desired();
    let policy = desired.policies.get(&id).map(|policy| Owner::policy(*policy));
    let owners = [Some(Owner::port(id)), policy];
    let wired = inventory.wired.get(&id).filter(|_| inventory.confirmed);
    wired.is_some_and(|wired| wired.local == *local)
        && !owners.into_iter().flatten().any(|owner| plan.lacking.contains(&owner))
}

/// What is noted with the interface of a port that has been moved.
fn notes(inventory: &Inventory, plug: &Plug, it: &Move, way: Way) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::new();
    if it.is_asked_for {
        let is_own = it.to == inventory.firewall;
        notes.insert(DRIVER.to_owned(), if is_own { String::new() } else { it.to.to_string() });
    }
    if way != Way::Stay {
        let mark = if plug.is_moved { "" } else { "true" };
        notes.insert(MOVED.to_owned(), mark.to_owned());
    }
    notes
}

/// What stands under these keys.
fn noted(plug: &Plug, notes: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let noted = |key: &str| match key {
        DRIVER => plug.driver.map(|driver| driver.to_string()),
        _ => plug.is_moved.then(|| "true".to_owned()),
    };
    notes.keys().map(|key| (key.clone(), noted(key).unwrap_or_default())).collect()
}

fn warn(plan: &mut Plan, id: PortId, it: &Move) {
    let Some(view) = plan.ports.get_mut(&id) else { return };
    match &it.step {
        Step::Done(_) => {}
        Step::Undone(why) => {
            view.warnings.push(format!("it could not be moved to {}: {why}", it.to));
        }
        step => view.warnings.push(format!("it is being moved to {}: {step}", it.to)),
    }
}

#[cfg(test)]
mod tests;
