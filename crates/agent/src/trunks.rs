//! The bridges of trunks, and the patch ports that join them to the integration bridge, read once from
//! each replica of the database. Pure.
//!
//! Nova plugs the device of a virtual machine with a trunk into a bridge of its own. For the parent
//! port and for each subport a pair of patch ports leads from there to the integration bridge, where
//! its end is plugged in like any other port. Names and rows are those of Neutron's agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{PortId, TRUNK_BRIDGE, VlanTag};
use ovsdb::{Bridge, Interface, Port, Replica, RowId};

use crate::links::{PATCH, PEER, has_all};

/// How long the name of an end is.
const END_NAME: usize = 15;
/// What tells whose an interface is.
const IFACE_ID: &str = "iface-id";
pub(crate) const ATTACHED_MAC: &str = "attached-mac";

/// What a pair of patch ports is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Frames without a tag.
    Parent,
    /// Frames with this tag.
    Subport(VlanTag),
}

/// The trunks of a node, as the database has them.
#[derive(Debug, Default)]
pub struct Trunks {
    /// What was read; kept, so that another replica is at another place.
    of: Option<Arc<Replica>>,
    /// Their bridges, by name.
    pub bridges: BTreeMap<String, TrunkBridge>,
    /// The ends on the integration bridge, by name.
    pub here: BTreeMap<String, End>,
}

/// The bridge of a trunk.
#[derive(Debug)]
pub struct TrunkBridge {
    /// The row of table Bridge.
    pub row: RowId,
    /// The device of the virtual machine, once it is plugged in.
    pub device: Option<Device>,
    /// The ends on it, by name.
    pub ends: BTreeMap<String, End>,
}

/// The device of a virtual machine with a trunk.
#[derive(Debug)]
pub struct Device {
    /// The row of table Interface.
    pub interface: RowId,
    /// The parent port.
    pub port: PortId,
    /// What is noted with it.
    pub external_ids: BTreeMap<String, String>,
}

/// A patch port that has one interface, of the same name.
#[derive(Debug)]
pub struct End {
    /// The row of table Port.
    pub port: RowId,
    /// The row of table Interface.
    pub interface: RowId,
    /// The other end.
    pub peer: Option<String>,
    /// The VLAN that it is in.
    pub tag: Option<u16>,
    /// Whether it is in that VLAN alone.
    pub is_access: bool,
    /// What is noted with it.
    pub external_ids: BTreeMap<String, String>,
}

impl Trunks {
    /// What this replica says of trunks that end at the integration bridge of that name.
    pub(crate) fn read(replica: &Arc<Replica>, integration: &str) -> Self {
        let mut trunks = Self { of: Some(Arc::clone(replica)), ..Self::default() };
        for (row, bridge) in &replica.bridges {
            if bridge.name == integration {
                trunks.here = ends(replica, bridge);
            } else if bridge.name.starts_with(TRUNK_BRIDGE) {
                let (device, ends) = (Device::find(replica, bridge), ends(replica, bridge));
                trunks.bridges.insert(bridge.name.clone(), TrunkBridge { row: *row, device, ends });
            }
        }
        trunks
    }

    /// Whether there is a port of this name, on whatever bridge.
    pub(crate) fn has_port(&self, name: &str) -> bool {
        self.of.as_ref().is_some_and(|replica| replica.port(name).is_some())
    }

    /// Whether it was read from this replica.
    pub fn is_of(&self, replica: &Arc<Replica>) -> bool {
        self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, replica))
    }
}

impl Device {
    /// The first interface of a bridge that names a port and is no end.
    fn find(replica: &Replica, bridge: &Bridge) -> Option<Self> {
        let devices = interfaces(replica, bridge).filter_map(|(_, _, row, interface)| {
            let port = interface.external_ids.get(IFACE_ID)?.parse().ok()?;
            let is_device = interface.kind != PATCH && interface.name != bridge.name;
            let external_ids = || interface.external_ids.clone();
            let device = || Self { interface: row, port, external_ids: external_ids() };
            is_device.then(|| (interface.name.clone(), device()))
        });
        devices.min_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, device)| device)
    }
}

impl End {
    /// Whether all of this is noted with it.
    pub fn notes(&self, external_ids: &BTreeMap<String, String>) -> bool {
        has_all(&self.external_ids, external_ids)
    }
}

impl Role {
    /// The tag of the end on the trunk bridge; 0 is for frames without one.
    pub fn tag(self) -> u16 {
        match self {
            Self::Parent => 0,
            Self::Subport(tag) => tag.get(),
        }
    }

    /// The names of the ends of the pair for a port: that on the integration bridge, and that on the
    /// trunk bridge.
    pub fn names(self, port: PortId) -> [String; 2] {
        let kind = match self {
            Self::Parent => 't',
            Self::Subport(_) => 's',
        };
        ['i', 't'].map(|side| format!("{kind}p{side}-{port}").chars().take(END_NAME).collect())
    }
}

/// What is noted with both ends of a pair.
pub(crate) fn noted(port: PortId, mac: Option<&str>) -> BTreeMap<String, String> {
    let mac = mac.map(|mac| (ATTACHED_MAC.to_owned(), mac.to_owned()));
    std::iter::once((IFACE_ID.to_owned(), port.to_string())).chain(mac).collect()
}

/// Whether a name is that of an end.
fn is_end(name: &str) -> bool {
    ["tpi-", "tpt-", "spi-", "spt-"].into_iter().any(|prefix| name.starts_with(prefix))
}

fn ends(replica: &Replica, bridge: &Bridge) -> BTreeMap<String, End> {
    let ends = interfaces(replica, bridge)
        .filter(|(.., interface)| interface.kind == PATCH && is_end(&interface.name));
    let ends = ends.map(|(row, port, id, interface)| {
        let end = End {
            port: row,
            interface: id,
            peer: interface.options.get(PEER).cloned(),
            tag: port.tag,
            is_access: port.vlan_mode.as_deref() == Some("access"),
            external_ids: interface.external_ids.clone(),
        };
        (interface.name.clone(), end)
    });
    ends.collect()
}

fn interfaces<'a>(
    replica: &'a Replica,
    bridge: &'a Bridge,
) -> impl Iterator<Item = (RowId, &'a Port, RowId, &'a Interface)> {
    let ports = bridge.ports.iter().filter_map(|row| Some((*row, replica.ports.get(row)?)));
    ports.flat_map(move |(row, port)| {
        let rows: &BTreeSet<RowId> = &port.interfaces;
        rows.iter().filter_map(move |id| Some((row, port, *id, replica.interfaces.get(id)?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_neutron() {
        let id = "ed8602cf-6514-4314-b53b-c91d7fe1c7e8";
        let port = id.parse().unwrap();
        assert_eq!(Role::Parent.names(port), ["tpi-ed8602cf-65", "tpt-ed8602cf-65"]);
        let subport = Role::Subport(VlanTag::new(101).unwrap());
        assert_eq!(subport.names(port), ["spi-ed8602cf-65", "spt-ed8602cf-65"]);
        assert!(
            [Role::Parent, subport].iter().all(|role| role.names(port).iter().all(|it| is_end(it)))
        );
        assert_eq!((Role::Parent.tag(), subport.tag()), (0, 101));
    }
}
