//! What the server has told of tunnels: which ends there are, and with l2population who is behind
//! which of them. Pure.
//!
//! What was told may be out of date: after a restart nothing is known, and when casts were lost
//! nobody knows what was in them. Then the server is asked again for the ends (`tunnel_sync`) and for
//! the population of each network (a report of its ports with `refresh_tunnels`). Until it has
//! answered nothing is taken away; what it has not told again by then is gone.

mod behind;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::bridge::tunnel::Population;
use dataplane::{LocalNetwork, Underlay};
use model::{MacAddr, NetworkId, NetworkType, Segment, SegmentationId};
use neutron::rpc::{Cast, FdbEntries, FdbUpdate, PortInfo, TunnelAddress};

use self::behind::Behind;

/// A network as tunnels carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tunnelled {
    /// Which network.
    pub network: NetworkId,
    /// In which tunnels.
    pub network_type: NetworkType,
    /// Its key there.
    pub segmentation_id: SegmentationId,
}

impl Tunnelled {
    /// How tunnels carry it; nothing where they do not.
    pub fn of(network: NetworkId, local: &LocalNetwork) -> Option<Self> {
        let Segment { network_type, segmentation_id, .. } = local.segment;
        let is_tunnelled = Underlay::of(&local.segment) == Some(Underlay::Tunnels);
        let segmentation_id = segmentation_id.filter(|_| is_tunnelled)?;
        Some(Self { network, network_type, segmentation_id })
    }
}

/// What the server has told of tunnels.
#[derive(Debug)]
pub struct Overlay {
    local_ip: IpAddr,
    l2_population: bool,
    ends: BTreeMap<NetworkType, Ends>,
    networks: BTreeMap<Tunnelled, Behind>,
    /// Counts what is told.
    clock: u64,
}

/// The ends of one type.
#[derive(Debug, Clone, Default)]
struct Ends {
    known: BTreeSet<IpAddr>,
    asked: Asked,
}

/// How far the question for all ends of a type has come.
#[derive(Debug, Clone, Default)]
enum Asked {
    /// It is to be asked.
    #[default]
    No,
    /// It was, and since then these ends have come and gone.
    Yes(Vec<(IpAddr, bool)>),
    /// It was answered.
    Answered,
}

impl Overlay {
    /// Nothing is known yet.
    pub fn new(
        local_ip: IpAddr,
        types: impl IntoIterator<Item = NetworkType>,
        l2_population: bool,
    ) -> Self {
        let ends = types.into_iter().map(|kind| (kind, Ends::default())).collect();
        Self { local_ip, l2_population, ends, networks: BTreeMap::new(), clock: 0 }
    }

    /// Everything is to be told again.
    pub fn distrust(&mut self) {
        for ends in self.ends.values_mut() {
            ends.asked = Asked::No;
        }
        for behind in self.networks.values_mut() {
            behind.distrust(self.clock);
        }
    }

    /// The types for whose ends the server is to be asked now. From here on they count as asked.
    pub fn ask(&mut self) -> Vec<NetworkType> {
        let unasked = self.ends.iter_mut().filter(|(_, ends)| matches!(ends.asked, Asked::No));
        unasked
            .map(|(kind, ends)| {
                ends.asked = Asked::Yes(Vec::new());
                *kind
            })
            .collect()
    }

    /// These are the ends of a type; `None` where the server did not answer.
    pub fn answer(&mut self, kind: NetworkType, all: Option<BTreeSet<IpAddr>>) {
        let Some(ends) = self.ends.get_mut(&kind) else { return };
        let (Asked::Yes(since), Some(all)) = (&ends.asked, all) else {
            if matches!(ends.asked, Asked::Yes(_)) {
                ends.asked = Asked::No;
            }
            return;
        };
        let since = since.clone();
        ends.asked = Asked::Answered;
        ends.known = all;
        for (end, is_there) in since {
            ends.note(end, is_there);
        }
    }

    /// Takes note of a cast. Tells whether it is about tunnels of this node.
    pub fn take(&mut self, cast: Cast) -> bool {
        match cast {
            Cast::TunnelUpdate(address) => self.end(&address, true),
            Cast::TunnelDelete(address) => self.end(&address, false),
            Cast::AddFdbEntries(entries) => self.entries(entries, true),
            Cast::RemoveFdbEntries(entries) => self.entries(entries, false),
            Cast::UpdateFdbEntries(update) => self.update(update),
            Cast::Push { .. } | Cast::Lagged => false,
        }
    }

    /// The networks of this node; of others nothing need be known.
    pub fn carry(&mut self, carried: &BTreeSet<Tunnelled>) {
        self.networks.retain(|network, _| carried.contains(network));
        for network in carried {
            let clock = self.clock;
            self.networks.entry(*network).or_insert_with(|| Behind::new(clock));
        }
    }

    /// The ends that there should be tunnels to.
    pub fn wanted(&self) -> BTreeSet<(NetworkType, IpAddr)> {
        let mut wanted = BTreeSet::new();
        if self.l2_population {
            for (network, behind) in &self.networks {
                wanted.extend(behind.ends().map(|end| (network.network_type, end)));
            }
        } else {
            for (kind, ends) in &self.ends {
                wanted.extend(ends.known.iter().map(|end| (*kind, *end)));
            }
        }
        wanted.retain(|(kind, end)| self.ends.contains_key(kind) && self.is_other(*end));
        wanted
    }

    /// Whether a tunnel of this type that is not wanted may go.
    pub fn may_remove(&self, kind: NetworkType) -> bool {
        let answered =
            self.ends.get(&kind).is_none_or(|ends| matches!(ends.asked, Asked::Answered));
        let mut networks = self.networks.iter().filter(|(it, _)| it.network_type == kind);
        answered && (!self.l2_population || networks.all(|(_, behind)| behind.is_settled()))
    }

    /// Who is where in a network; nothing without l2population.
    pub fn population(&mut self, network: &Tunnelled) -> Option<Arc<Population>> {
        if !self.l2_population {
            return None;
        }
        let local_ip = self.local_ip;
        let behind = self.networks.get_mut(network);
        Some(behind.map_or_else(Arc::default, |behind| behind.population(local_ip)))
    }

    /// Whether what is known of a network is all that there is.
    pub fn is_settled(&self, network: &Tunnelled) -> bool {
        !self.l2_population || self.networks.get(network).is_some_and(Behind::is_settled)
    }

    /// Whether the next report of a port of this network is to ask for its population.
    pub fn wants_refresh(&self, network: &Tunnelled) -> bool {
        self.l2_population && self.networks.get(network).is_some_and(Behind::wants_refresh)
    }

    /// A report that asks for the population of these networks is on its way.
    pub fn refreshing(&mut self, networks: &BTreeSet<Tunnelled>) {
        for network in networks {
            if let Some(behind) = self.networks.get_mut(network) {
                behind.refreshing();
            }
        }
    }

    /// The report was answered, or was not. Gives the networks whose population has been told as
    /// soon as the casts that came before the answer have been taken note of; to
    /// [`Self::settle`].
    pub fn refreshed(&mut self, networks: &BTreeSet<Tunnelled>, answered: bool) -> Told {
        self.clock += 1;
        let when = self.clock;
        let told = networks.iter().filter(|network| {
            let behind = self.networks.get_mut(*network);
            behind.is_some_and(|behind| behind.refreshed(answered.then_some(when)))
        });
        Told { networks: told.copied().collect(), when }
    }

    /// What was not told again in these networks is gone.
    pub fn settle(&mut self, told: &Told) {
        for network in &told.networks {
            if let Some(behind) = self.networks.get_mut(network) {
                behind.settle(told.when);
            }
        }
    }

    /// Whether tunnels from here can end there.
    fn is_other(&self, end: IpAddr) -> bool {
        end != self.local_ip && end.is_ipv4() == self.local_ip.is_ipv4()
    }

    fn end(&mut self, address: &TunnelAddress, is_there: bool) -> bool {
        let (Ok(kind), Ok(end)) =
            (address.tunnel_type.parse::<NetworkType>(), address.tunnel_ip.parse::<IpAddr>())
        else {
            tracing::warn!(?address, "the server told of an end that is none");
            return false;
        };
        if !self.is_other(end) {
            if end != self.local_ip {
                tracing::warn!(%end, "no tunnel to an end of the other address family");
            }
            return false;
        }
        let Some(ends) = self.ends.get_mut(&kind) else { return false };
        if let Asked::Yes(since) = &mut ends.asked {
            since.push((end, is_there));
        }
        ends.note(end, is_there);
        true
    }

    fn entries(&mut self, entries: FdbEntries, are_there: bool) -> bool {
        let mut changed = false;
        for (network, of_network) in entries.fdb_entries {
            let carried = network
                .parse()
                .ok()
                .zip(of_network.network_type.parse().ok())
                .zip(of_network.segment_id.map(SegmentationId::new));
            let Some(((network, network_type), segmentation_id)) = carried else {
                tracing::warn!(network, "the server told of a network that tunnels do not carry");
                continue;
            };
            let carried = Tunnelled { network, network_type, segmentation_id };
            let Some(behind) = self.networks.get_mut(&carried) else { continue };
            for (end, ports) in of_network.ports {
                let Ok(end) = end.parse::<IpAddr>() else { continue };
                for port in ports {
                    self.clock += 1;
                    changed |= behind.note(end, entry(&port), are_there, self.clock);
                }
            }
        }
        changed
    }

    fn update(&mut self, update: FdbUpdate) -> bool {
        let mut changed = false;
        for (network, by_end) in update.chg_ip {
            let Ok(id) = network.parse::<NetworkId>() else { continue };
            for (_, behind) in self.networks.iter_mut().filter(|(it, _)| it.network == id) {
                for (end, entries) in &by_end {
                    let Ok(end) = end.parse::<IpAddr>() else { continue };
                    for (ports, are_there) in [(&entries.after, true), (&entries.before, false)] {
                        for port in ports {
                            self.clock += 1;
                            changed |= behind.note(end, entry(port), are_there, self.clock);
                        }
                    }
                }
            }
        }
        changed
    }
}

/// Networks whose population has been told, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub networks: BTreeSet<Tunnelled>,
    /// When, as [`Overlay`] counts.
    when: u64,
}

impl Ends {
    fn note(&mut self, end: IpAddr, is_there: bool) {
        if is_there {
            self.known.insert(end);
        } else {
            self.known.remove(&end);
        }
    }
}

/// What is said of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// Its node has the network.
    Flood,
    /// A port of that node.
    Port(MacAddr, IpAddr),
    /// Nothing that can be understood.
    Nothing,
}

fn entry(port: &PortInfo) -> Entry {
    if port.is_flood() {
        return Entry::Flood;
    }
    match (port.mac_address.parse(), port.ip_address.parse()) {
        (Ok(mac), Ok(address)) => Entry::Port(mac, address),
        _ => {
            tracing::warn!(?port, "the server told of an address that is none");
            Entry::Nothing
        }
    }
}
