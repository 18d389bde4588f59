//! How bridges forward by themselves, where flows say NORMAL: the size of the table of MAC addresses,
//! and whether multicast goes only to where it was asked for. Keys and defaults are Neutron's. Pure.

use std::collections::BTreeMap;

use ovsdb::Replica;

use super::{Plan, Wiring};
use crate::bridge::BridgeId;
use crate::inventory::Inventory;

/// Keys of `Bridge.other_config`.
const MAC_TABLE_SIZE: &str = "mac-table-size";
const NO_FLOOD_UNREGISTERED: &str = "mcast-snooping-disable-flood-unregistered";
/// Keys of `Port.other_config`.
const FLOOD: &str = "mcast-snooping-flood";
const FLOOD_REPORTS: &str = "mcast-snooping-flood-reports";

/// Plans what the database has otherwise. Only the integration bridge snoops: it is where the
/// virtual machines are.
pub(super) fn set(inventory: &Inventory, replica: &Replica, plan: &mut Plan) {
    let forwarding = &inventory.forwarding;
    for (id, name) in inventory.bridges() {
        let Some((row, bridge)) = replica.bridge(name) else { continue };
        let mut wanted = vec![(MAC_TABLE_SIZE, forwarding.mac_table_size.to_string())];
        let is_integration = id == BridgeId::Integration;
        if is_integration && forwarding.igmp_snooping {
            let disabled = !forwarding.igmp_flood_unregistered;
            wanted.push((NO_FLOOD_UNREGISTERED, disabled.to_string()));
        }
        let other_config = lacking(&wanted, &bridge.other_config);
        let snoops = forwarding.igmp_snooping;
        let snooping = (is_integration && bridge.mcast_snooping_enable != snoops).then_some(snoops);
        if snooping.is_some() || !other_config.is_empty() {
            plan.wiring.push(Wiring::SetBridge { bridge: row, snooping, other_config });
        }
    }
    if !forwarding.igmp_snooping {
        return;
    }
    let wanted = [
        (FLOOD, forwarding.igmp_flood.to_string()),
        (FLOOD_REPORTS, forwarding.igmp_flood_reports.to_string()),
    ];
    for name in inventory.patches() {
        let Some((row, port)) = replica.port(&name) else { continue };
        let other_config = lacking(&wanted, &port.other_config);
        if !other_config.is_empty() {
            plan.wiring.push(Wiring::SetPort { port: row, other_config });
        }
    }
}

impl Inventory {
    /// The ports of the integration bridge that lead to other bridges.
    fn patches(&self) -> impl Iterator<Item = String> {
        let physical = self.physical.iter().map(|it| super::physical::on_integration(&it.name));
        let tunnel = self.tunnels.iter().map(|it| it.config.int_peer_patch_port.clone());
        physical.chain(tunnel)
    }
}

/// What is not there as it is wanted.
fn lacking(
    wanted: &[(&str, String)],
    there: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let differs = |(key, value): &&(&str, String)| there.get(*key) != Some(value);
    let owned = |(key, value): &(&str, String)| ((*key).to_owned(), value.clone());
    wanted.iter().filter(differs).map(owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Forwarding;
    use crate::fixture::node;

    #[test]
    fn what_is_set_already_is_not_set_again() {
        let mut inventory = node(&[]);
        inventory.forwarding =
            Forwarding { mac_table_size: 7, igmp_snooping: true, ..Forwarding::default() };
        let mut replica = (*inventory.replica.clone().unwrap()).clone();
        let mut plan = Plan::default();
        set(&inventory, &replica, &mut plan);
        assert_eq!(plan.wiring.len(), 3, "two bridges and a patch port: {:?}", plan.wiring);
        for change in plan.wiring {
            match change {
                Wiring::SetBridge { bridge, snooping, other_config } => {
                    let bridge = replica.bridges.get_mut(&bridge).unwrap();
                    assert_eq!(snooping, (bridge.name == "br-int").then_some(true));
                    bridge.mcast_snooping_enable |= snooping.unwrap_or(false);
                    bridge.other_config.extend(other_config);
                    assert_eq!(bridge.other_config["mac-table-size"], "7");
                }
                Wiring::SetPort { port, other_config } => {
                    let port = replica.ports.get_mut(&port).unwrap();
                    assert_eq!(port.name, "int-br-phys");
                    port.other_config.extend(other_config);
                    assert_eq!(port.other_config["mcast-snooping-flood"], "false");
                    assert_eq!(port.other_config["mcast-snooping-flood-reports"], "true");
                }
                other => panic!("{other:?}"),
            }
        }
        let mut plan = Plan::default();
        set(&inventory, &replica, &mut plan);
        assert_eq!(plan.wiring, []);

        inventory.forwarding.igmp_snooping = false;
        set(&inventory, &replica, &mut plan);
        let off =
            |change: &Wiring| matches!(change, Wiring::SetBridge { snooping: Some(false), .. });
        assert!(plan.wiring.len() == 1 && plan.wiring.iter().all(off), "{:?}", plan.wiring);
    }
}
