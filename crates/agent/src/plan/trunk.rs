//! Trunks: which patch ports there are to be, and what the server is to hear. Pure.
//!
//! ```text
//! device on tbr-… -> its trunk known -> subports known -> bound here -> ends made -> status told
//! ```
//!
//! From the ends on the integration bridge on, parent and subports are ports like any other. An end
//! there begins on the dead VLAN. What is there already and is right is left alone, also where the
//! server has not answered; and a trunk is told of only where the server has another status for it.

use std::collections::{BTreeMap, BTreeSet};

use model::{PortId, Trunk, TrunkId, TrunkStatus, VlanTag, trunk_bridge};
use ovsdb::{Replica, RowId};
use peer::chain;

use super::{Plan, Wiring};
use crate::cache::{Binding, Query};
use crate::inventory::Inventory;
use crate::links::patched_to;
use crate::trunks::{ATTACHED_MAC, Device, End, Role, TrunkBridge, Trunks, noted};

/// Keys of what is noted with the device.
const BRIDGE_NAME: &str = "bridge_name";
const TRUNK_ID: &str = "trunk_id";
const SUBPORT_IDS: &str = "subport_ids";

/// Something to tell the server of a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrunkCall {
    /// These subports are to be bound to the host of the parent port.
    Bind {
        /// Each with its tag.
        subports: BTreeMap<PortId, VlanTag>,
        /// Whether the virtual machine runs here.
        is_active: bool,
    },
    /// It has come so far.
    Tell(TrunkStatus),
}

/// What the server was asked to bind last. It is not asked for the same again: a virtual machine that
/// moves takes its subports along before it has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Which subports.
    pub asked: BTreeSet<PortId>,
    /// Whether the virtual machine ran here.
    pub is_active: bool,
    /// Those that it could not bind.
    pub failed: BTreeSet<PortId>,
}

impl Bound {
    fn covers(&self, subports: &BTreeSet<PortId>, is_active: bool) -> bool {
        self.is_active == is_active && subports.is_subset(&self.asked)
    }

    /// Forgets subports that have left the trunk.
    pub fn keep_only(&mut self, subports: &BTreeMap<PortId, VlanTag>) {
        self.asked.retain(|port| subports.contains_key(port));
    }
}

/// Where a trunk stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkView {
    /// The parent port.
    pub parent: PortId,
    /// The trunk, once it is known.
    pub trunk: Option<TrunkId>,
    /// Its subports, each with its tag.
    pub subports: BTreeMap<PortId, VlanTag>,
    /// Where it stands.
    pub state: TrunkState,
}

/// Where a trunk stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrunkState {
    /// All of it is wired, and the server knows.
    #[error("up")]
    Up,
    /// The server has not answered yet.
    #[error("waiting for the server to describe the trunk")]
    Asking,
    /// The server has no trunk with this parent port.
    #[error("the server has no trunk with this parent port")]
    Unknown,
    /// What the server says of it makes no sense.
    #[error("the server's description cannot be used: {0}")]
    Unusable(String),
    /// The device is in the bridge of another trunk.
    #[error("the device of the parent port is not in the bridge of its trunk, {0}")]
    Elsewhere(String),
    /// Patch ports are to be made.
    #[error("waiting for Open vSwitch to make the patch ports")]
    Wiring,
    /// Subports are to be bound.
    #[error("waiting for the server to bind {0} subports to this host")]
    Binding(usize),
    /// Subports are not bound here, and the server was asked.
    #[error("the server has not bound {0} subports to this host")]
    NotBound(usize),
    /// The server has another status for it.
    #[error("wired; the server has not taken note of it yet")]
    Telling,
}

/// The patch ports that there are to be.
struct Wanted {
    ends: BTreeMap<String, WantedEnd>,
    /// Subports that have or get their ends.
    wired: BTreeSet<PortId>,
    /// Those that are not bound here.
    unbound: BTreeMap<PortId, VlanTag>,
    /// Whether the server has said of all subports what they are.
    known: bool,
}

/// An end on the trunk bridge, with the name of the one on the integration bridge.
struct WantedEnd {
    here: String,
    tag: u16,
    noted: BTreeMap<String, String>,
}

/// Plans what is to change of trunks.
pub(super) fn wire(inventory: &Inventory, replica: &Replica, trunks: &Trunks, plan: &mut Plan) {
    if !inventory.extensions.trunk {
        return;
    }
    let Some((integration, _)) = replica.bridge(&inventory.integration_bridge) else { return };
    // Ends on the integration bridge that stay.
    let mut kept: BTreeSet<&str> = BTreeSet::new();
    let mut made = BTreeSet::new();
    for (name, bridge) in &trunks.bridges {
        let Some(device) = &bridge.device else {
            let gone = bridge.ends.values();
            plan.wiring.extend(gone.map(|end| remove(bridge.row, end)));
            continue;
        };
        plan.queries.extend([Query::Trunk(device.port), Query::Port(device.port)]);
        let (trunk, state) = match inventory.cache.trunk(device.port) {
            Some(Ok(trunk)) if trunk_bridge(trunk.id) == *name => {
                let (state, ends) =
                    follow(inventory, integration, trunks, bridge, device, trunk, plan);
                made.extend(ends);
                (Some(trunk), state)
            }
            other => {
                // What is joined stays.
                kept.extend(bridge.ends.values().filter_map(|end| end.peer.as_deref()));
                (None, unknown(inventory, device.port, other))
            }
        };
        let view = TrunkView {
            parent: device.port,
            trunk: trunk.map(|trunk| trunk.id),
            subports: trunk.map(|trunk| trunk.subports.clone()).unwrap_or_default(),
            state,
        };
        plan.trunks.insert(name.clone(), view);
    }
    let left = trunks.here.iter();
    let left = left.filter(|(name, _)| !kept.contains(name.as_str()) && !made.contains(*name));
    plan.wiring.extend(left.map(|(_, end)| remove(integration, end)));
}

/// Why a trunk cannot be wired.
fn unknown(
    inventory: &Inventory,
    parent: PortId,
    trunk: Option<&Result<Trunk, neutron::convert::ConvertError>>,
) -> TrunkState {
    match trunk {
        Some(Ok(trunk)) => TrunkState::Elsewhere(trunk_bridge(trunk.id)),
        Some(Err(error)) => TrunkState::Unusable(chain(error)),
        None if inventory.cache.is_known(Query::Trunk(parent)) => TrunkState::Unknown,
        None => TrunkState::Asking,
    }
}

/// Plans what is to change of one trunk. Gives where it stands, and its ends on the integration
/// bridge.
fn follow(
    inventory: &Inventory,
    integration: RowId,
    trunks: &Trunks,
    bridge: &TrunkBridge,
    device: &Device,
    trunk: &Trunk,
    plan: &mut Plan,
) -> (TrunkState, BTreeSet<String>) {
    plan.queries.extend(trunk.subports.keys().copied().map(Query::Port));
    let wanted = wanted(inventory, trunks, device, trunk);
    let before = plan.wiring.len();
    let on_integration = Side { bridge: integration, ends: &trunks.here, is_access: false };
    let on_trunk = Side { bridge: bridge.row, ends: &bridge.ends, is_access: true };
    let mut is_there = true;
    for (there, end) in &wanted.ends {
        let WantedEnd { here, tag, noted } = end;
        for (side, names, tag) in
            [(&on_integration, [here, there], VlanTag::DEAD), (&on_trunk, [there, here], *tag)]
        {
            let [name, _] = names;
            is_there &= side.ends.contains_key(name);
            plan.wiring.extend(side.provide(trunks, names, tag, noted));
        }
    }
    let left = bridge.ends.iter().filter(|(name, _)| !wanted.ends.contains_key(*name));
    plan.wiring.extend(left.map(|(_, end)| remove(bridge.row, end)));
    plan.wiring.extend(note(device, trunk, &wanted.wired));
    let is_wired = is_there && plan.wiring.len() == before;
    let ends = wanted.ends.values().map(|end| end.here.clone()).collect();
    (report(inventory, trunk, &wanted, is_wired, plan), ends)
}

/// What a trunk is to have. A subport gets its ends when it is bound here, and has them for as long as
/// it is in the trunk.
fn wanted(inventory: &Inventory, trunks: &Trunks, device: &Device, trunk: &Trunk) -> Wanted {
    let end = |role: Role, port, mac: Option<&str>| {
        let [here, there] = role.names(port);
        (there, WantedEnd { here, tag: role.tag(), noted: noted(port, mac) })
    };
    let mac = device.external_ids.get(ATTACHED_MAC).map(String::as_str);
    let mut wanted = Wanted {
        ends: BTreeMap::from([end(Role::Parent, trunk.parent, mac)]),
        wired: BTreeSet::new(),
        unbound: BTreeMap::new(),
        known: true,
    };
    for (port, tag) in &trunk.subports {
        let role = Role::Subport(*tag);
        let [here, _] = role.names(*port);
        let known = inventory.cache.port(*port).and_then(|known| known.as_ref().ok());
        wanted.known &= inventory.cache.is_known(Query::Port(*port));
        let is_bound =
            known.is_some_and(|it| matches!(it.binding, Binding::Here(_) | Binding::Standby(_)));
        if !is_bound {
            wanted.unbound.insert(*port, *tag);
        }
        let there = trunks.here.get(&here);
        if is_bound || there.is_some() {
            let mac = known.map(|known| known.port.mac.to_string());
            let as_before = || there?.external_ids.get(ATTACHED_MAC).cloned();
            let mac = mac.or_else(as_before);
            wanted.ends.extend([end(role, *port, mac.as_deref())]);
            wanted.wired.insert(*port);
        }
    }
    wanted
}

/// Plans the calls that the server is to hear, and says where the trunk stands.
fn report(
    inventory: &Inventory,
    trunk: &Trunk,
    wanted: &Wanted,
    is_wired: bool,
    plan: &mut Plan,
) -> TrunkState {
    let parent = inventory.cache.port(trunk.parent).and_then(|known| known.as_ref().ok());
    let is_active = match parent.map(|parent| &parent.binding) {
        Some(Binding::Here(_)) => Some(true),
        Some(Binding::Standby(_)) => Some(false),
        Some(Binding::Failed | Binding::Elsewhere) | None => None,
    };
    let is_calling = inventory.trunk_calls.contains(&trunk.id);
    let unbound = wanted.unbound.len();
    let mut has_failed = false;
    if unbound > 0 {
        let (Some(is_active), true) = (is_active, wanted.known) else {
            return TrunkState::Binding(unbound);
        };
        let subports: BTreeSet<PortId> = wanted.unbound.keys().copied().collect();
        let bound = inventory.trunks_bound.get(&trunk.id);
        let bound = bound.filter(|bound| bound.covers(&subports, is_active));
        if bound.is_none() && !is_calling {
            let subports = wanted.unbound.clone();
            plan.trunk_calls.insert(trunk.id, TrunkCall::Bind { subports, is_active });
        }
        // What was bound is on its way.
        has_failed = bound.is_some_and(|bound| subports.is_subset(&bound.failed));
        if !has_failed {
            return TrunkState::Binding(unbound);
        }
    }
    if !is_wired {
        return TrunkState::Wiring;
    }
    let status = match has_failed {
        false => TrunkStatus::Active,
        // What the server calls an error is more than that.
        true if matches!(trunk.status, TrunkStatus::Build | TrunkStatus::Down) => {
            TrunkStatus::Degraded
        }
        true => return TrunkState::NotBound(unbound),
    };
    if trunk.status == status {
        return if has_failed { TrunkState::NotBound(unbound) } else { TrunkState::Up };
    }
    if !is_calling && is_active.is_some() {
        plan.trunk_calls.insert(trunk.id, TrunkCall::Tell(status));
    }
    TrunkState::Telling
}

/// The ends on one of the two bridges.
struct Side<'a> {
    bridge: RowId,
    ends: &'a BTreeMap<String, End>,
    /// Whether each is in its VLAN alone. On the integration bridge the tag becomes that of the
    /// network.
    is_access: bool,
}

impl Side<'_> {
    /// What is to change so that it has the first of these ends, joined with the other. A name that
    /// another bridge has is waited for: the subport may have been in another trunk.
    fn provide(
        &self,
        trunks: &Trunks,
        [name, peer]: [&String; 2],
        tag: u16,
        noted: &BTreeMap<String, String>,
    ) -> Vec<Wiring> {
        let (bridge, is_access) = (self.bridge, self.is_access);
        let external_ids = noted.clone();
        let Some(end) = self.ends.get(name) else {
            let (port, options) = (name.clone(), patched_to(peer));
            let add = Wiring::AddEnd { bridge, port, tag, is_access, options, external_ids };
            return if trunks.has_port(name) { Vec::new() } else { vec![add] };
        };
        let mut changes = Vec::new();
        if end.peer.as_ref() != Some(peer) {
            changes.push(Wiring::Set { interface: end.interface, options: patched_to(peer) });
        }
        if !end.notes(noted) {
            changes.push(Wiring::Note { interface: end.interface, external_ids });
        }
        if is_access && (end.tag != Some(tag) || !end.is_access) {
            changes.push(Wiring::SetAccess { port: end.port, tag });
        }
        changes
    }
}

fn remove(bridge: RowId, end: &End) -> Wiring {
    Wiring::Remove { bridge, port: end.port }
}

/// What Neutron's agent takes the trunk down by, when the device has gone.
fn note(device: &Device, trunk: &Trunk, wired: &BTreeSet<PortId>) -> Option<Wiring> {
    let noted = |key: &str| device.external_ids.get(key).map(String::as_str);
    let subports = noted(SUBPORT_IDS).and_then(|text| serde_json::from_str(text).ok());
    let subports = subports.unwrap_or_default();
    let wired: BTreeSet<String> = wired.iter().map(ToString::to_string).collect();
    let id = trunk.id.to_string();
    let bridge = trunk_bridge(trunk.id);
    let is_noted = noted(BRIDGE_NAME) == Some(&bridge)
        && noted(TRUNK_ID) == Some(&id)
        && noted(SUBPORT_IDS).is_some()
        && wired == subports;
    let list = || {
        let quoted: Vec<String> = wired.iter().map(|port| format!("\"{port}\"")).collect();
        format!("[{}]", quoted.join(", "))
    };
    (!is_noted).then(|| Wiring::Note {
        interface: device.interface,
        external_ids: BTreeMap::from([
            (BRIDGE_NAME.to_owned(), bridge.clone()),
            (TRUNK_ID.to_owned(), id.clone()),
            (SUBPORT_IDS.to_owned(), list()),
        ]),
    })
}

#[cfg(test)]
mod tests;
