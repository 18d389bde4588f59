//! Which zones a change of flows may have left connections without a rule in. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::bridge::layout::{Kind, Owner};
use dataplane::{FlowSet, Snapshot};
use model::{CtZone, PortId};
use openflow::{Command, FlowMod};

use crate::inventory::Wired;

/// Where to look for connections without a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Affected {
    /// In every zone.
    pub(crate) everywhere: bool,
    /// In these zones.
    pub(crate) zones: BTreeSet<CtZone>,
    /// Addresses that a port of the zone had and has no more: nobody else's rules speak for them.
    pub(crate) lost: BTreeSet<(CtZone, IpAddr)>,
    /// How often it has been looked there already.
    pub(crate) passes: u32,
}

impl Affected {
    /// All of them, as at the start.
    pub(crate) fn everywhere() -> Self {
        Self { everywhere: true, ..Self::default() }
    }

    /// Nothing to look at.
    pub(crate) fn is_empty(&self) -> bool {
        !self.everywhere && self.zones.is_empty()
    }

    /// This and that.
    pub(crate) fn merge(&mut self, other: Self) {
        let old = if self.is_empty() { other.passes } else { self.passes };
        self.passes = old.min(other.passes);
        self.everywhere |= other.everywhere;
        self.zones.extend(other.zones);
        self.lost.extend(other.lost);
    }

    /// The zones by their numbers.
    pub(crate) fn zones(&self, snapshot: &Snapshot) -> BTreeSet<CtZone> {
        let all = snapshot.networks.values().map(|network| network.vlan.zone());
        let all = all.filter(|_| self.everywhere);
        self.zones.iter().copied().chain(all).collect()
    }
}

/// What a bundle takes away that admitted connections: `installed` and `before` are what was there
/// before it, `snapshot` is what it leads to.
pub(crate) fn removed(
    changes: &[FlowMod],
    installed: &FlowSet,
    before: &BTreeMap<PortId, Arc<Wired>>,
    snapshot: &Snapshot,
) -> Affected {
    let takes_away = |change: &&FlowMod| {
        change.command == Command::DeleteStrict || installed.get(&change.flow).is_some()
    };
    let owners: BTreeSet<Owner> =
        changes.iter().filter(takes_away).filter_map(|it| Owner::of(it.flow.cookie)).collect();
    let has = |kind| owners.iter().any(|owner| owner.kind == kind);
    let mut affected = Affected::default();
    if has(Kind::Base) || has(Kind::Class) {
        affected.everywhere = true;
    }
    if has(Kind::Policy) {
        let zones = zones_by_policy(snapshot);
        affected.zones.extend(owners.iter().filter_map(|owner| zones.get(owner)).flatten());
    }
    if has(Kind::Port) {
        let zones = zones_by_port(before, snapshot);
        affected.zones.extend(owners.iter().filter_map(|owner| zones.get(owner)).flatten());
        affected.lost = lost(before, snapshot);
    }
    affected
}

fn zones_by_policy(snapshot: &Snapshot) -> BTreeMap<Owner, BTreeSet<CtZone>> {
    let managed = || snapshot.ports.values().filter(|local| local.is_managed());
    let ids = policy::policy_ids(&managed().map(|local| local.port.groups.clone()).collect());
    let mut zones: BTreeMap<Owner, BTreeSet<CtZone>> = BTreeMap::new();
    for local in managed() {
        let network = snapshot.networks.get(&local.port.network);
        if let (Some(id), Some(network)) = (ids.get(&local.port.groups), network) {
            zones.entry(Owner::policy(*id)).or_default().insert(network.vlan.zone());
        }
    }
    zones
}

fn zones_by_port(
    before: &BTreeMap<PortId, Arc<Wired>>,
    snapshot: &Snapshot,
) -> BTreeMap<Owner, BTreeSet<CtZone>> {
    let old = before.iter().map(|(id, wired)| (*id, Some(&wired.network)));
    let new =
        snapshot.ports.iter().map(|(id, local)| (*id, snapshot.networks.get(&local.port.network)));
    let mut zones: BTreeMap<Owner, BTreeSet<CtZone>> = BTreeMap::new();
    for (id, network) in old.chain(new) {
        zones
            .entry(Owner::port(id))
            .or_default()
            .extend(network.map(|network| network.vlan.zone()));
    }
    zones
}

/// Single addresses that ports had and have no more. Those of a port that has gone are not among
/// them: it may go on at another node.
fn lost(before: &BTreeMap<PortId, Arc<Wired>>, snapshot: &Snapshot) -> BTreeSet<(CtZone, IpAddr)> {
    let mut lost = BTreeSet::new();
    for (id, wired) in before {
        let Some(now) = snapshot.ports.get(id) else { continue };
        let network = snapshot.networks.get(&now.port.network);
        if wired.local.port == now.port && network == Some(&wired.network) {
            continue;
        }
        let had = addresses(&wired.local.port).map(|address| (wired.network.vlan.zone(), address));
        lost.extend(had);
        for address in addresses(&now.port) {
            if let Some(network) = network {
                lost.remove(&(network.vlan.zone(), address));
            }
        }
    }
    lost
}

fn addresses(port: &model::Port) -> impl Iterator<Item = IpAddr> {
    let single = |prefix: &model::Prefix| *prefix == model::Prefix::host(prefix.address());
    let pairs = port.pairs.iter().map(|pair| pair.prefix).filter(single);
    pairs.map(|prefix| prefix.address()).chain([IpAddr::V6(port.mac.link_local())])
}

#[cfg(test)]
mod tests;
