//! Which interfaces of the integration bridge name a port of the API, read once from each replica
//! of the database. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{NetworkId, OfPort, PortId, VlanTag};
use ovsdb::{Bridge, Interface, Port, Replica, RowId};

use crate::firewall::Firewall;
use crate::links::has_all;
use crate::rewire::{DRIVER, MOVED};
use crate::vlan;

/// The interfaces that have an `iface-id`.
#[derive(Debug, Default)]
pub struct Plugged {
    /// What was read; kept, so that another replica is at another place.
    of: Option<Arc<Replica>>,
    /// One for each port of the API.
    pub ports: BTreeMap<PortId, Plug>,
    /// Those that are to be closed because another one has the same `iface-id`.
    pub duplicates: Vec<(PortId, Plug)>,
    /// Those that are to be closed because their `iface-id`, which is given, is not the id of a
    /// port.
    pub misnamed: Vec<(String, Plug)>,
    /// Ports that are plugged into ancillary bridges: of those the server hears, and nothing else is
    /// done.
    pub ancillary: BTreeSet<PortId>,
}

/// An interface of the integration bridge, with the port of the database that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plug {
    /// The row of table Port.
    pub row: RowId,
    /// The name of the interface.
    pub interface: Arc<str>,
    /// Its port number; `None` where Open vSwitch has given it no port.
    pub ofport: Option<OfPort>,
    /// Why Open vSwitch could not open it.
    pub error: Option<String>,
    /// The VLAN that it is in.
    pub tag: Option<u16>,
    /// The driver that somebody has asked for it, where it is not that of the node.
    pub driver: Option<Firewall>,
    /// Whether it has taken the place of the interface by which the machine was plugged in.
    pub is_moved: bool,
    /// What is recorded with it. Ports with the same share it.
    pub record: Arc<Record>,
}

/// What the database has recorded with a port.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// `Port.other_config`.
    pub other_config: BTreeMap<String, String>,
    /// The network and the tag that it names.
    pub network: Option<(NetworkId, VlanTag)>,
}

impl Record {
    /// Whether all of this is recorded.
    pub fn holds(&self, all: &BTreeMap<String, String>) -> bool {
        has_all(&self.other_config, all)
    }
}

impl Plugged {
    /// What this replica says of the integration bridge of that name, and of bridges that are none
    /// of `own`, those that the agent looks after.
    pub fn read(replica: &Arc<Replica>, bridge: &str, own: &BTreeSet<&str>) -> Self {
        let mut plugged = Self { of: Some(Arc::clone(replica)), ..Self::default() };
        let mut records: BTreeMap<&BTreeMap<String, String>, Arc<Record>> = BTreeMap::new();
        let ancillary = replica.bridges.values();
        let ancillary = ancillary.filter(|it| !own.contains(&*it.name) && is_ancillary(it));
        plugged.ancillary = ancillary.flat_map(|it| named(replica, it)).collect();
        let rows = replica.bridge(bridge).into_iter().flat_map(|(_, bridge)| &bridge.ports);
        for (row, port) in rows.filter_map(|row| Some((*row, replica.ports.get(row)?))) {
            for interface in port.interfaces.iter().filter_map(|id| replica.interfaces.get(id)) {
                let Some(text) = interface.external_ids.get("iface-id") else { continue };
                let record = records.entry(&port.other_config).or_insert_with(|| {
                    let other_config = port.other_config.clone();
                    Arc::new(Record { network: vlan::recorded(&other_config), other_config })
                });
                let plug = Plug::new(row, port, interface, Arc::clone(record));
                match text.parse() {
                    Ok(id) => plugged.add(id, plug),
                    Err(_) => plugged.misnamed.push((text.clone(), plug)),
                }
            }
        }
        plugged
    }

    /// Whether it was read from this replica.
    pub fn is_of(&self, replica: &Arc<Replica>) -> bool {
        self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, replica))
    }

    /// One that somebody has plugged in counts before one that was put in such a one's place: the
    /// machine has been started anew. Else the one with the lower port number does; the tag closes the
    /// other.
    fn add(&mut self, id: PortId, plug: Plug) {
        let number = |plug: &Plug| (plug.is_moved, plug.ofport.is_none(), plug.ofport, plug.row);
        let first = self.ports.remove(&id);
        let (one, other) = match first {
            Some(first) if number(&first) <= number(&plug) => (first, Some(plug)),
            first => (plug, first),
        };
        self.ports.insert(id, one);
        self.duplicates.extend(other.map(|other| (id, other)));
    }
}

/// Whether a bridge that the agent does not look after names itself, as Neutron marks those whose
/// ports it reports.
fn is_ancillary(bridge: &Bridge) -> bool {
    bridge.external_ids.get("bridge-id") == Some(&bridge.name)
}

/// The ports of the API that interfaces of a bridge with a port number name.
fn named<'a>(replica: &'a Replica, bridge: &'a Bridge) -> impl Iterator<Item = PortId> + 'a {
    let ports = bridge.ports.iter().filter_map(|row| replica.ports.get(row));
    let interfaces = ports.flat_map(|port| &port.interfaces);
    let interfaces = interfaces.filter_map(|row| replica.interfaces.get(row));
    let there = interfaces.filter(|interface| ofport(interface).is_some());
    there.filter_map(|interface| interface.external_ids.get("iface-id")?.parse().ok())
}

/// The port number of an interface, once ovs-vswitchd has given it one.
pub(crate) fn ofport(interface: &Interface) -> Option<OfPort> {
    let number = u32::try_from(interface.ofport?).ok()?;
    OfPort::new(number).ok()
}

impl Plug {
    /// The driver that it has on a node with this one. A node that filters nothing does not, whatever
    /// somebody has asked for.
    pub(crate) fn driver_on(&self, node: Firewall) -> Firewall {
        match node {
            Firewall::Noop => Firewall::Noop,
            node => self.driver.unwrap_or(node),
        }
    }

    fn new(row: RowId, port: &Port, interface: &Interface, record: Arc<Record>) -> Self {
        Self {
            row,
            interface: interface.name.as_str().into(),
            ofport: ofport(interface),
            error: interface.error.clone(),
            tag: port.tag,
            driver: interface.external_ids.get(DRIVER).and_then(|name| Firewall::named(name).ok()),
            is_moved: interface.external_ids.contains_key(MOVED),
            record,
        }
    }
}
