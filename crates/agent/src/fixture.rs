//! Values that the tests of this crate start from: one node with one network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataplane::FlowSet;
use neutron::object::{
    IpAllocation, NetworkSegment, Object, Port, PortBinding, PortBindingLevel, SecurityGroup,
    SecurityGroupRule,
};
use ovsdb::{Replica, RowId};

use crate::bridge::BridgeId;
use crate::inventory::{Inventory, PhysicalBridge};

pub(crate) const HOST: &str = "node1";
pub(crate) const NETWORK: &str = "00000000-0000-4000-8000-0000000000aa";

/// The id of object `n`.
pub(crate) fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

/// The identity of database row `n`.
pub(crate) fn row(n: u32) -> RowId {
    id(n).parse().unwrap()
}

/// Port `n`, bound to [`HOST`], with address 10.0.0.n and these groups.
pub(crate) fn port(n: u32, groups: &[u32]) -> Port {
    let segment = NetworkSegment {
        id: id(0xbb),
        network_type: "vlan".to_owned(),
        physical_network: Some("physnet1".to_owned()),
        segmentation_id: Some(117),
        ..NetworkSegment::default()
    };
    Port {
        id: id(n),
        network_id: NETWORK.to_owned(),
        mac_address: format!("fa:16:3e:00:00:{n:02x}"),
        admin_state_up: true,
        bindings: vec![PortBinding {
            host: HOST.to_owned(),
            vif_type: "ovs".to_owned(),
            ..PortBinding::default()
        }],
        binding_levels: vec![PortBindingLevel {
            host: HOST.to_owned(),
            segment: Some(segment),
            ..PortBindingLevel::default()
        }],
        fixed_ips: vec![IpAllocation {
            ip_address: format!("10.0.0.{n}"),
            ..IpAllocation::default()
        }],
        security_group_ids: groups.iter().map(|group| id(*group)).collect(),
        revision_number: 1,
        ..Port::default()
    }
}

/// Group `n` at its first revision.
pub(crate) fn group(n: u32) -> Object {
    Object::SecurityGroup(SecurityGroup {
        id: id(n),
        stateful: true,
        revision_number: 1,
        ..SecurityGroup::default()
    })
}

/// Ingress rule `n` of a group, from another group or from anybody.
pub(crate) fn rule(n: u32, of: u32, from: Option<u32>) -> SecurityGroupRule {
    SecurityGroupRule {
        id: id(n),
        security_group_id: id(of),
        direction: "ingress".to_owned(),
        ethertype: "IPv4".to_owned(),
        remote_group_id: from.map(id),
        revision_number: 1,
        ..SecurityGroupRule::default()
    }
}

/// A patch port with its peer; its number is that of its rows. Gives the row of the port.
fn patch(replica: &mut Replica, n: u32, [name, peer]: [&str; 2]) -> RowId {
    let [port_row, interface_row] = [row(0x2000 + n), row(0x3000 + n)];
    let name = name.to_owned();
    let interfaces = BTreeSet::from([interface_row]);
    let port = ovsdb::Port { name: name.clone(), interfaces, ..ovsdb::Port::default() };
    replica.ports.insert(port_row, port);
    let interface = ovsdb::Interface {
        name,
        kind: "patch".to_owned(),
        ofport: Some(i64::from(n)),
        options: BTreeMap::from([("peer".to_owned(), peer.to_owned())]),
        ..ovsdb::Interface::default()
    };
    replica.interfaces.insert(interface_row, interface);
    port_row
}

/// A node with an integration bridge joined to one for `physnet1`, connected to an empty switch,
/// and interfaces for ports `plugged`, whose ofports are their numbers.
pub(crate) fn node(plugged: &[u32]) -> Inventory {
    let mut replica = Replica::default();
    replica.open_vswitch.insert(row(0x1000), ovsdb::OpenVswitch::default());
    let named = |name: &str| ovsdb::Bridge {
        name: name.to_owned(),
        other_config: BTreeMap::from([("mac-table-size".to_owned(), "50000".to_owned())]),
        ..ovsdb::Bridge::default()
    };
    let mut bridge = named("br-int");
    for n in plugged {
        bridge.ports.insert(row(0x2000 + n));
        let port = ovsdb::Port {
            name: format!("tap{n}"),
            interfaces: BTreeSet::from([row(0x3000 + n)]),
            ..ovsdb::Port::default()
        };
        replica.ports.insert(row(0x2000 + n), port);
        let interface = ovsdb::Interface {
            name: format!("tap{n}"),
            ofport: Some(i64::from(*n)),
            external_ids: BTreeMap::from([("iface-id".to_owned(), id(*n))]),
            ..ovsdb::Interface::default()
        };
        replica.interfaces.insert(row(0x3000 + n), interface);
    }
    let mut physical = named("br-phys");
    physical.ports.insert(patch(&mut replica, 0xf01, ["phy-br-phys", "int-br-phys"]));
    bridge.ports.insert(patch(&mut replica, 0xf02, ["int-br-phys", "phy-br-phys"]));
    replica.bridges.insert(row(0x1002), physical);
    replica.bridges.insert(row(0x1001), bridge);
    let mut inventory = Inventory::new(HOST, "br-int");
    inventory.replica = Some(Arc::new(replica));
    inventory.reconnect(BridgeId::Integration, Some(FlowSet::new()));
    inventory.physical = vec![PhysicalBridge::new("physnet1", "br-phys")];
    inventory.reconnect(BridgeId::Physical(0), Some(FlowSet::new()));
    inventory
}
