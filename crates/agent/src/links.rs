//! Ports that belong to the bridges themselves: those that join them, and tunnels. They are read
//! once from each replica of the database. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use model::{NetworkType, OfPort};
use ovsdb::{Interface, Replica, RowId};

use crate::inventory::Inventory;
use crate::plan::physical;
use crate::plugged::ofport;
use crate::tunnel::{self, port_name};

/// The type of the interface of a patch port, and the option that names its other end.
pub(crate) const PATCH: &str = "patch";
pub(crate) const PEER: &str = "peer";

/// The ports that there are.
#[derive(Debug, Default)]
pub struct Links {
    /// What was read; kept, so that another replica is at another place.
    of: Option<Arc<Replica>>,
    /// The pair for each physical bridge, as `Inventory::physical` has them.
    pub physical: Vec<Joint>,
    /// The pair for the tunnel bridge.
    pub tunnel: Joint,
    /// The ports of tunnels that are ours, which their names tell, by their far end.
    pub ends: BTreeMap<(NetworkType, IpAddr), TunnelPort>,
}

/// A pair of patch ports, as far as there is one.
#[derive(Debug, Default)]
pub struct Joint {
    /// The port of the integration bridge.
    pub here: Option<End>,
    /// The port of the other bridge.
    pub there: Option<End>,
}

/// A port that has one interface, of the same name.
#[derive(Debug)]
pub struct End {
    /// The row of table Interface.
    pub interface: RowId,
    /// Its port number, once it has one.
    pub ofport: Option<OfPort>,
    /// Its options.
    pub options: BTreeMap<String, String>,
}

/// A port of a tunnel.
#[derive(Debug)]
pub struct TunnelPort {
    /// The row of table Port.
    pub row: RowId,
    /// Its interface.
    pub end: End,
}

impl Links {
    /// What this replica says of the bridges that are looked after.
    pub(crate) fn read(replica: &Arc<Replica>, inventory: &Inventory) -> Self {
        let integration = &inventory.integration_bridge;
        let joint = |bridge: &str, [ours, theirs]: [&str; 2]| Joint {
            here: End::find(replica, integration, ours),
            there: End::find(replica, bridge, theirs),
        };
        let physical = inventory.physical.iter().map(|it| {
            let [ours, theirs] = physical::patch_names(&it.name);
            joint(&it.name, [&ours, &theirs])
        });
        let mut links =
            Self { of: Some(Arc::clone(replica)), physical: physical.collect(), ..Self::default() };
        if let Some(config) = inventory.tunnels.as_ref().map(|it| &it.config) {
            let ports = [&*config.int_peer_patch_port, &*config.tun_peer_patch_port];
            links.tunnel = joint(&config.bridge, ports);
            links.ends = ends(replica, &config.bridge);
        }
        links
    }

    /// Whether it was read from this replica.
    pub fn is_of(&self, replica: &Arc<Replica>) -> bool {
        self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, replica))
    }
}

impl Joint {
    /// The port number on the integration bridge.
    pub fn ofport_here(&self) -> Option<OfPort> {
        self.here.as_ref()?.ofport
    }

    /// The port number on the other bridge.
    pub fn ofport_there(&self) -> Option<OfPort> {
        self.there.as_ref()?.ofport
    }
}

impl End {
    /// The port of this name, if it is on this bridge.
    fn find(replica: &Replica, bridge: &str, name: &str) -> Option<Self> {
        let (_, bridge) = replica.bridge(bridge)?;
        let (row, port) = replica.port(name)?;
        if !bridge.ports.contains(&row) {
            return None;
        }
        let rows = port.interfaces.iter();
        let mut interfaces = rows.filter_map(|row| Some((*row, replica.interfaces.get(row)?)));
        let (row, interface) = interfaces.find(|(_, interface)| interface.name == name)?;
        Some(Self::new(row, interface))
    }

    fn new(row: RowId, interface: &Interface) -> Self {
        let options = interface.options.clone();
        Self { interface: row, ofport: ofport(interface), options }
    }

    /// Whether it has all of these options.
    pub fn has(&self, options: &BTreeMap<String, String>) -> bool {
        has_all(&self.options, options)
    }
}

/// The options of a patch port whose other end is this one.
pub(crate) fn patched_to(peer: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(PEER.to_owned(), peer.to_owned())])
}

/// Whether a row that has these keys has all of the others, with the same values.
pub(crate) fn has_all(row: &BTreeMap<String, String>, all: &BTreeMap<String, String>) -> bool {
    all.iter().all(|(key, value)| row.get(key) == Some(value))
}

fn ends(replica: &Replica, bridge: &str) -> BTreeMap<(NetworkType, IpAddr), TunnelPort> {
    let Some((_, bridge)) = replica.bridge(bridge) else { return BTreeMap::new() };
    let ports = bridge.ports.iter().filter_map(|row| Some((*row, replica.ports.get(row)?)));
    let interfaces = ports.flat_map(|(row, port)| {
        let rows: BTreeSet<RowId> = port.interfaces.iter().copied().collect();
        rows.into_iter().filter_map(move |id| Some((row, id, replica.interfaces.get(&id)?)))
    });
    interfaces
        .filter_map(|(row, id, interface)| {
            let (kind, end) = tunnel::end(interface)?;
            let is_ours = interface.name == port_name(kind, end);
            is_ours.then(|| ((kind, end), TunnelPort { row, end: End::new(id, interface) }))
        })
        .collect()
}
