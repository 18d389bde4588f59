//! Conntrack zones: one for each port, kept as long as the port is here.
//!
//! They are the rules' own: an agent that starts finds them in table raw.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use model::{CtZone, HybridDevices, PortId};

use super::installed::Installed;
use super::netfilter::TableName;

/// The zones of ports. Those below are the other driver's, which has one for each network.
const ZONES: RangeInclusive<u16> = 4097..=u16::MAX;
/// What the name of a device begins with: `tap` or `qvb`.
const KIND: usize = 3;

/// A zone for each port; none for those for which there is no free one.
///
/// A port keeps the zone that it is `known` to have, or else the one that the installed rules give
/// it, unless a port with a lower id has the same. Zones that installed rules name for ports that
/// are gone are given last: connections of those may still be in there.
pub fn zones(
    ports: &BTreeSet<PortId>,
    known: &BTreeMap<PortId, CtZone>,
    installed: &Installed,
) -> BTreeMap<PortId, CtZone> {
    let mut zones: BTreeMap<PortId, CtZone> = BTreeMap::new();
    let mut taken: BTreeSet<u16> = BTreeSet::new();
    let without = keep(ports, known, &mut zones, &mut taken);
    // That is so after most changes, and spares a look through the rules.
    if without.is_empty() {
        return zones;
    }
    let found = installed.zones();
    let without = keep(&without, &named(&without, &found), &mut zones, &mut taken);
    let left: BTreeSet<u16> = found.values().map(|zone| zone.get()).collect();
    let unused = ZONES.filter(|zone| !taken.contains(zone) && !left.contains(zone));
    let gone = left.iter().copied().filter(|zone| ZONES.contains(zone) && !taken.contains(zone));
    let free = unused.chain(gone).map(CtZone::new);
    let given: Vec<(PortId, CtZone)> = without.into_iter().zip(free).collect();
    zones.extend(given);
    zones
}

/// Gives the ports the zones of this source, as far as they are there and free. Tells who is left.
fn keep(
    ports: &BTreeSet<PortId>,
    source: &BTreeMap<PortId, CtZone>,
    zones: &mut BTreeMap<PortId, CtZone>,
    taken: &mut BTreeSet<u16>,
) -> BTreeSet<PortId> {
    let mut without = BTreeSet::new();
    for port in ports {
        let zone = source.get(port).filter(|zone| ZONES.contains(&zone.get()));
        match zone.filter(|zone| taken.insert(zone.get())) {
            Some(zone) => {
                zones.insert(*port, *zone);
            }
            None => {
                without.insert(*port);
            }
        }
    }
    without
}

/// The zones of these ports among those of devices.
fn named(ports: &BTreeSet<PortId>, found: &BTreeMap<String, CtZone>) -> BTreeMap<PortId, CtZone> {
    let zone = |port: &PortId| found.get(id_of_device(&HybridDevices::of(*port).tap)).copied();
    ports.iter().filter_map(|port| Some((*port, zone(port)?))).collect()
}

impl Installed {
    /// The zones of those of these ports that have one.
    pub fn zones_of(&self, ports: &BTreeSet<PortId>) -> BTreeMap<PortId, CtZone> {
        named(ports, &self.zones())
    }

    /// The zone of each port that has one, by the part of its id that its devices are named with.
    /// Both families say the same; where they do not, IPv4 does.
    pub fn zones(&self) -> BTreeMap<String, CtZone> {
        let mut zones = BTreeMap::new();
        for tables in [&self.ipv4, &self.ipv6] {
            let chains = tables.get(&TableName::Raw).into_iter().flatten();
            for rule in chains.flat_map(|(_, rules)| rules.iter()) {
                if let Some((id, zone)) = zone_of_rule(rule) {
                    zones.entry(id).or_insert(zone);
                }
            }
        }
        zones
    }
}

fn zone_of_rule(rule: &str) -> Option<(String, CtZone)> {
    let behind = |what: &str| rule.split_once(what)?.1.split(' ').next();
    let device = behind("--physdev-in ")?;
    let zone = behind("-j CT --zone ")?.parse().ok()?;
    Some((id_of_device(device).to_owned(), CtZone::new(zone)))
}

fn id_of_device(device: &str) -> &str {
    device.get(KIND..).unwrap_or_default()
}
