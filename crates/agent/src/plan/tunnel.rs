//! The tunnel bridge: the patch ports that join it to the integration bridge, the ports of its
//! tunnels, and what it should hold. Pure.
//!
//! What the server tells of tunnels comes piece by piece. After a restart, and when something was
//! lost, tunnels stay and the flows of a network's population stay until it has told all of it
//! again; only what is new is added.

use std::collections::BTreeSet;

use dataplane::bridge::layout::tunnel::{FLOOD_TO_TUN, UCAST_TO_TUN};
use dataplane::bridge::layout::{self, Kind, Owner};
use dataplane::bridge::tunnel::{Responder, TunnelNetwork, Tunnels};
use dataplane::{Snapshot, Underlay};
use model::{OfPort, VlanTag};
use openflow::{Action, Command, Field, Flow, FlowMod, PortNo, Subfield};
use ovsdb::Replica;

use super::{Plan, State, Wiring};
use crate::inventory::{Inventory, TunnelBridge};
use crate::links::{Links, PATCH, patched_to};
use crate::overlay::Tunnelled;
use crate::tunnel::port_name;

/// Every option of a tunnel that depends on the configuration.
const OPTIONS: [&str; 10] = [
    "csum",
    "df_default",
    "dst_port",
    "egress_pkt_mark",
    "in_key",
    "local_ip",
    "out_key",
    "packet_type",
    "remote_ip",
    "tos",
];

/// The datapath that can write neighbour advertisements: the kernel's cannot.
pub(super) const USERSPACE: &str = "netdev";

/// The port of the integration bridge that leads to the tunnels.
pub(super) fn uplink(inventory: &Inventory, links: &Links) -> Option<(Underlay, OfPort)> {
    inventory.tunnels.as_ref()?;
    Some((Underlay::Tunnels, links.tunnel.ofport_here()?))
}

/// What the tunnel bridge should hold by this snapshot.
pub(super) fn follow(inventory: &mut Inventory, links: &Links, snapshot: &Snapshot) {
    let Some(it) = &mut inventory.tunnels else { return };
    let networks = snapshot.networks.iter();
    it.carried = networks
        .filter_map(|(id, network)| Some((network.vlan, Tunnelled::of(*id, network)?)))
        .filter(|(_, carried)| it.config.types.contains(&carried.network_type))
        .collect();
    it.overlay.carry(&it.carried.values().copied().collect());
    let ends = links.ends.iter();
    let ends = ends.filter_map(|(end, port)| Some((*end, port.end.ofport?)));
    let overlay = &mut it.overlay;
    let mut network = |carried: &Tunnelled| TunnelNetwork {
        network_type: carried.network_type,
        segmentation_id: carried.segmentation_id,
        population: overlay.population(carried),
    };
    let by = Tunnels {
        patch: links.tunnel.ofport_there(),
        networks: it.carried.iter().map(|(vlan, carried)| (*vlan, network(carried))).collect(),
        ends: ends.collect(),
        responder: responder(it, inventory.replica.as_deref()),
    };
    if it.by.as_ref() != Some(&by) {
        it.bridge.flows.follow(&by);
        it.by = Some(by);
    }
}

/// What is answered on this node: what is wanted, as far as the datapath of the bridge can.
fn responder(it: &TunnelBridge, replica: Option<&Replica>) -> Responder {
    let bridge = replica.and_then(|replica| replica.bridge(&it.config.bridge));
    let in_user_space = bridge.is_some_and(|(_, bridge)| bridge.datapath_type == USERSPACE);
    match (it.config.arp_responder, in_user_space) {
        (false, _) => Responder::Off,
        (true, false) => Responder::Arp,
        (true, true) => Responder::ArpAndNd,
    }
}

/// The ports that are to be made, set or removed.
pub(super) fn wire(inventory: &Inventory, replica: &Replica, links: &Links, plan: &mut Plan) {
    let Some(it) = &inventory.tunnels else { return };
    let config = &it.config;
    let row = |bridge: &str| replica.bridge(bridge).map(|(row, _)| row);
    let (Some(integration), Some(bridge)) =
        (row(&inventory.integration_bridge), row(&config.bridge))
    else {
        return;
    };
    let [ours, theirs] = [&config.int_peer_patch_port, &config.tun_peer_patch_port];
    // Nothing crosses before br-tun has flows, so the ends are joined at once.
    let joint = &links.tunnel;
    plan.provide(integration, ours, PATCH, patched_to(theirs), joint.here.as_ref());
    plan.provide(bridge, theirs, PATCH, patched_to(ours), joint.there.as_ref());

    let there = &links.ends;
    let wanted = it.overlay.wanted();
    for (kind, end) in &wanted {
        let options = config.options(*kind, *end);
        let port = there.get(&(*kind, *end));
        let has = |key: &str| port.is_some_and(|port| port.end.options.contains_key(key));
        if let Some(port) = port
            && OPTIONS.iter().any(|key| has(key) && !options.contains_key(*key))
        {
            // It is made anew by the next plan.
            plan.wiring.push(Wiring::Remove { bridge, port: port.row });
            continue;
        }
        let (name, kind) = (port_name(*kind, *end), config.interface_type(*kind));
        plan.provide(bridge, &name, kind, options, port.map(|port| &port.end));
    }
    let may_remove = |kind| (inventory.warm || plan.warm) && it.overlay.may_remove(kind);
    let unwanted: Vec<_> = there
        .iter()
        .filter(|(end, _)| !wanted.contains(end) && may_remove(end.0))
        .map(|(_, port)| Wiring::Remove { bridge, port: port.row })
        .collect();
    plan.wiring.extend(unwanted);
}

/// Leaves out what must wait until the server has told all of a population: what takes away, and
/// what would take away from the tunnels that a network has for everybody. What leads to a key that
/// the network does not have any more need not wait.
pub(super) fn hold(it: &TunnelBridge, changes: &mut Vec<FlowMod>) {
    let Some(installed) = it.bridge.flows.installed() else { return };
    let told = it.carried.values().all(|carried| it.overlay.is_settled(carried));
    changes.retain(|change| {
        if !layout::is_weir(change.flow.cookie) {
            // Neutron's agent knew the population.
            return told;
        }
        let owner = Owner::of(change.flow.cookie);
        let Some(owner) = owner.filter(|owner| owner.kind == Kind::Population) else { return true };
        let vlan = u32::try_from(owner.object).ok().and_then(|vlan| VlanTag::new(vlan).ok());
        let Some(carried) = vlan.and_then(|vlan| it.carried.get(&vlan)) else { return true };
        let takes_away =
            change.command == Command::DeleteStrict || change.flow.table == FLOOD_TO_TUN;
        let before = installed.get(&change.flow).filter(|_| takes_away);
        before.is_none_or(|flow| {
            let other = key(flow).is_some_and(|key| key != carried.segmentation_id.get().into());
            other || it.overlay.is_settled(carried)
        })
    });
}

/// Has the switch forget who it has learned to be behind tunnels that it is told here to take no
/// frames from any more: the port leads nowhere, or soon to somebody else.
pub(super) fn forget(changes: &mut Vec<FlowMod>) {
    let gone = changes.iter().filter(|change| {
        let owner = Owner::of(change.flow.cookie);
        change.command == Command::DeleteStrict && owner.is_some_and(|it| it.kind == Kind::Tunnel)
    });
    let ports = gone.filter_map(|change| {
        let port = change.flow.matches.exact(Field::IN_PORT)?;
        u32::try_from(port).ok().map(PortNo)
    });
    let ports: BTreeSet<PortNo> = ports.collect();
    let (learned, mask) = Owner { kind: Kind::Learned, object: 0 }.cookie_of_kind();
    let forget = |port| FlowMod::delete_to(port, UCAST_TO_TUN, learned, mask);
    // Behind the others: what comes from there is not learned any more by then.
    changes.extend(ports.into_iter().map(forget));
}

/// The key with which a flow sends frames into tunnels.
fn key(flow: &Flow) -> Option<u128> {
    let tunnel = Subfield::whole(Field::TUN_ID);
    flow.actions.iter().find_map(|action| match action {
        Action::SetField { dst, value } if *dst == tunnel => Some(*value),
        _ => None,
    })
}

/// Reports that ask for the population of networks.
pub(super) fn refresh(inventory: &Inventory, snapshot: &Snapshot, plan: &mut Plan) {
    let Some(it) = &inventory.tunnels else { return };
    for (id, local) in &snapshot.ports {
        let state = plan.ports.get(id).map(|view| &view.state);
        let network = snapshot.networks.get(&local.port.network);
        let carried = network.and_then(|network| Tunnelled::of(local.port.network, network));
        if let (Some(State::Wired | State::Up), Some(carried)) = (state, carried)
            && it.overlay.wants_refresh(&carried)
            && plan.refresh.insert(carried)
        {
            plan.up.insert(*id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dataplane::FlowSet;
    use model::{NetworkId, NetworkType, SegmentationId};
    use openflow::Cookie;

    use dataplane::bridge::layout::predecessor;

    use super::*;
    use crate::fixture::row;
    use crate::tunnel::TunnelConfig;

    const VLAN: VlanTag = VlanTag::MIN;

    fn flow(rest: &str) -> Arc<Flow> {
        let cookie = Owner::population(VLAN).cookie();
        Arc::new(format!("cookie={cookie},{rest}").parse().unwrap())
    }

    fn bridge(key: u32, installed: &[&Arc<Flow>]) -> TunnelBridge {
        let config = TunnelConfig::new([192, 0, 2, 1].into(), [NetworkType::Vxlan]);
        let config = TunnelConfig { l2_population: true, ..config };
        let mut it = TunnelBridge::new(config);
        let carried = Tunnelled {
            network: NetworkId::new(uuid::Uuid::nil()),
            network_type: NetworkType::Vxlan,
            segmentation_id: SegmentationId::new(key),
        };
        it.carried.insert(VLAN, carried);
        it.overlay.carry(&BTreeSet::from([carried]));
        let installed: FlowSet = installed.iter().copied().cloned().collect();
        it.bridge.reconnect(Some(installed), predecessor::TUNNEL);
        it
    }

    #[test]
    fn what_was_learned_goes_with_the_tunnel() {
        let cookie = Owner::tunnel(OfPort::new(7).unwrap()).cookie();
        let from = |rest: &str| -> Arc<Flow> {
            Arc::new(format!("cookie={cookie},table=0,priority=1,{rest}").parse().unwrap())
        };
        let gone = FlowMod::new(Command::DeleteStrict, from("in_port=7,actions=resubmit(,4)"));
        let kept = FlowMod::add(from("in_port=8,actions=resubmit(,4)"));
        let mut changes = vec![kept.clone(), gone.clone()];
        forget(&mut changes);
        let learned = Cookie(0x3e17_0600_0000_0000);
        let mask = 0xffff_ff00_0000_0000;
        let forgotten = FlowMod::delete_to(PortNo(7), UCAST_TO_TUN, learned, mask);
        assert_eq!(changes, [kept, gone, forgotten]);
    }

    #[test]
    fn until_all_is_told_nothing_is_taken_away() {
        let one = flow(
            "table=20,priority=2,dl_vlan=1,dl_dst=fa:16:3e:00:00:01,actions=set_field:7->tun_id,output:1",
        );
        let moved = flow(
            "table=20,priority=2,dl_vlan=1,dl_dst=fa:16:3e:00:00:01,actions=set_field:7->tun_id,output:2",
        );
        let all =
            flow("table=22,priority=1,dl_vlan=1,actions=set_field:7->tun_id,output:1,output:2");
        let fewer = flow("table=22,priority=1,dl_vlan=1,actions=set_field:7->tun_id,output:2");
        let gone = FlowMod::new(Command::DeleteStrict, Arc::clone(&one));
        let changes = || {
            vec![FlowMod::add(Arc::clone(&moved)), FlowMod::add(Arc::clone(&fewer)), gone.clone()]
        };

        let mut held = changes();
        hold(&bridge(7, &[&one, &all]), &mut held);
        assert_eq!(held, [FlowMod::add(Arc::clone(&moved))], "where somebody is now");

        let mut first = changes();
        hold(&bridge(7, &[]), &mut first);
        assert_eq!(first, changes(), "nothing was there");

        let mut other_key = changes();
        hold(&bridge(8, &[&one, &all]), &mut other_key);
        assert_eq!(other_key, changes(), "the network has another key");

        let mut it = bridge(7, &[&one, &all]);
        let networks = it.carried.values().copied().collect();
        it.overlay.refreshing(&networks);
        let told = it.overlay.refreshed(&networks, true);
        it.overlay.settle(&told);
        let mut settled = changes();
        hold(&it, &mut settled);
        assert_eq!(settled, changes(), "all was told");
    }

    #[test]
    fn what_the_datapath_cannot_answer_is_not_tried() {
        let answers = |arp_responder, datapath_type: &str| {
            let config = TunnelConfig::new([192, 0, 2, 1].into(), []);
            let bridge = TunnelBridge::new(TunnelConfig { arp_responder, ..config });
            let mut replica = Replica::default();
            let name = bridge.config.bridge.clone();
            let datapath_type = datapath_type.to_owned();
            let row_of_bridge = ovsdb::Bridge { name, datapath_type, ..ovsdb::Bridge::default() };
            replica.bridges.insert(row(1), row_of_bridge);
            responder(&bridge, Some(&replica))
        };
        assert_eq!(answers(true, "netdev"), Responder::ArpAndNd);
        assert_eq!(answers(true, "system"), Responder::Arp);
        // As a bridge is that somebody has made without a word about its datapath.
        assert_eq!(answers(true, ""), Responder::Arp);
        assert_eq!(answers(false, "netdev"), Responder::Off);
    }
}
