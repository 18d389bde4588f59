//! Tables 0, 100 to 160, 173 and 191 to 194: where a frame comes from and where it goes.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    AddressPair, EtherType, MacAddr, NetworkId, NetworkType, OfPort, PortSecurity, VlanTag,
};
use openflow::{Action, CtState, Field, Match, PortNo, Subfield, TableId};

use super::build::{
    IPV4, IPV6, VLAN_ETHERTYPE, commit, goto, load, neighbour, put, refuse, refuse_back, reinstate,
    resubmit, set_vlan, to_uplink,
};
use super::layout::{
    self, ACCEPT_OR_INGRESS, ACCEPTED_EGRESS, ACCEPTED_EGRESS_NORMAL, ACCEPTED_INGRESS,
    BANDWIDTH_RATE_LIMIT, BASE_EGRESS, BASE_INGRESS, DROPPED, DropReason, ENTRY, LEARN,
    LOCAL_SWITCHING, MARK_REVOKED, Owner, PACKET_RATE_LIMIT, TRANSIENT, priority,
};
use super::sharing::{self, Claims};
use super::{Resolved, learning, qos};
use crate::{FlowSet, LocalNetwork, Snapshot};

/// 802.1ad.
pub(super) const SERVICE_VLAN_ETHERTYPE: u16 = 0x88a8;
/// The number in a tag that says a priority and no VLAN: the frame is untagged (802.1Q § 9.6).
const PRIORITY_TAG: u16 = 0;
/// The bit that a group address has and no other.
pub(super) const GROUP_BIT: [u8; 6] = [1, 0, 0, 0, 0, 0];

/// What is the same on every node.
pub(super) fn base(flows: &mut FlowSet) {
    let mut add = |table, priority, matches, actions| {
        put(flows, Owner::BASE, table, priority, matches, actions);
    };
    let any = Match::new;

    add(ENTRY, priority::ALWAYS, any().vlan_vid(VlanTag::DEAD), vec![]);
    add(ENTRY, priority::ENTER, any(), vec![goto(LOCAL_SWITCHING)]);
    add(LOCAL_SWITCHING, priority::MISS, any(), vec![goto(PACKET_RATE_LIMIT)]);
    add(PACKET_RATE_LIMIT, priority::MISS, any(), vec![goto(BANDWIDTH_RATE_LIMIT)]);
    add(BANDWIDTH_RATE_LIMIT, priority::MISS, any(), vec![goto(TRANSIENT)]);

    let from_guest = || any().field(layout::FROM_UPLINK, 0);
    let untag = vec![Action::PopVlan, resubmit(TRANSIENT)];
    add(TRANSIENT, priority::FIRST, from_guest().vlan_vid(PRIORITY_TAG), untag);
    add(TRANSIENT, priority::EARLY, from_guest().vlan_present(), refuse(DropReason::Tagged));
    // What was within such a tag and is one too; the switch may read the outer tag alone.
    for tag in [VLAN_ETHERTYPE, SERVICE_VLAN_ETHERTYPE] {
        add(TRANSIENT, priority::EARLY, from_guest().eth_type(tag), refuse(DropReason::Tagged));
    }
    let from_uplink = any().field(layout::FROM_UPLINK, 1);
    add(TRANSIENT, priority::UPLINK, from_uplink, vec![goto(LEARN)]);
    // A neighbour advertisement is judged by its target alone, as Neutron does, so it passes
    // here with any source MAC; table 171 knows the targets of each port.
    add(TRANSIENT, priority::ANY_MAC, neighbour(136), from_any_mac());
    add(TRANSIENT, priority::MISS, any(), refuse(DropReason::UnknownSource));

    add(ACCEPT_OR_INGRESS, priority::MISS, any(), vec![goto(ACCEPTED_EGRESS)]);

    let normal = || goto(ACCEPTED_EGRESS_NORMAL);
    for ethertype in [IPV4, IPV6] {
        let [new, stale] = to_commit(ethertype);
        add(ACCEPTED_EGRESS, priority::NEW, new, vec![commit(), normal()]);
        add(ACCEPTED_EGRESS, priority::STALE, stale, vec![reinstate(), normal()]);
    }
    add(ACCEPTED_EGRESS, priority::MISS, any(), vec![normal()]);
    add(ACCEPTED_INGRESS, priority::MISS, any(), vec![]);

    for reason in DropReason::ALL {
        let with_reason = any().field(layout::REASON, reason.number().into());
        add(DROPPED, priority::REASON, with_reason, vec![]);
    }
    add(DROPPED, priority::MISS, any(), vec![]);

    let to_local = any().field(layout::TO_LOCAL, 1);
    let deliver = Action::OutputField(layout::PORT);
    let strip = vec![Action::PopVlan, deliver.clone()];
    add(ACCEPTED_EGRESS_NORMAL, priority::FIRST, to_local.clone().vlan_present(), strip);
    add(ACCEPTED_EGRESS_NORMAL, priority::EARLY, to_local, vec![deliver]);
    let flood = vec![Action::Output(PortNo::NORMAL)];
    add(ACCEPTED_EGRESS_NORMAL, priority::ANY_GROUP, to_group(any()), flood);
    // Only a frame of an uplink has a tag.
    let strip = vec![Action::PopVlan, resubmit(ACCEPTED_EGRESS_NORMAL)];
    add(ACCEPTED_EGRESS_NORMAL, priority::TAGGED, any().vlan_present(), strip);
    let nobody = refuse_back(DropReason::NoDestination);
    add(ACCEPTED_EGRESS_NORMAL, priority::MISS, any(), nobody);
}

/// Translation of segments, and the way out of each network.
pub(super) fn networks(snapshot: &Snapshot, ports: &[Resolved<'_>], flows: &mut FlowSet) {
    for uplink in snapshot.uplinks.values() {
        let unmatched = Match::new().in_port(uplink.get().into());
        put(flows, Owner::BASE, LOCAL_SWITCHING, priority::NO_SEGMENT, unmatched, vec![]);
    }
    let behind_netfilter = ports.iter().filter(|resolved| resolved.local.is_behind_netfilter());
    for vlan in behind_netfilter.map(|resolved| resolved.network.vlan).collect::<BTreeSet<_>>() {
        let here = || Match::new().field(layout::NETWORK, vlan.get().into());
        for tag in [VLAN_ETHERTYPE, SERVICE_VLAN_ETHERTYPE] {
            let frame = to_group(here().eth_type(tag));
            let refused = refuse_back(DropReason::EtherType);
            let owner = Owner::network(vlan);
            put(flows, owner, ACCEPTED_EGRESS_NORMAL, priority::GROUP, frame, refused);
        }
    }
    let mut unmanaged: BTreeMap<NetworkId, Vec<&Resolved<'_>>> = BTreeMap::new();
    for resolved in ports.iter().filter(|resolved| resolved.is_unmanaged()) {
        unmanaged.entry(resolved.local.port.network).or_default().push(resolved);
    }
    for (id, network) in &snapshot.networks {
        let owner = Owner::network(network.vlan);
        let vlan = network.vlan.get();
        let uplink = snapshot.uplink(network);
        for (frame, retag) in uplink.into_iter().flat_map(|uplink| translations(network, uplink)) {
            let mut actions = retag;
            actions.extend([
                load(layout::NETWORK, vlan),
                load(layout::FROM_UPLINK, 1_u8),
                goto(PACKET_RATE_LIMIT),
            ]);
            put(flows, owner, LOCAL_SWITCHING, priority::SEGMENT, frame, actions);
        }

        if let Some(unmanaged) = unmanaged.get(id) {
            learning::network(network, unmanaged, uplink, flows);
        } else if let Some(uplink) = uplink {
            let here = Match::new().field(layout::NETWORK, vlan.into());
            let outgoing = here.field(layout::FROM_UPLINK, 0);
            let out = to_uplink(network.vlan, uplink);
            put(flows, owner, ACCEPTED_EGRESS_NORMAL, priority::NETWORK, outgoing, out);
        }
    }
}

/// Which frames of the uplink belong to the network, and what gives them the local VLAN.
fn translations(network: &LocalNetwork, uplink: OfPort) -> Vec<(Match, Vec<Action>)> {
    let frame = || Match::new().in_port(uplink.get().into());
    let tag = || vec![set_vlan(network.vlan)];
    match network.segment.network_type {
        NetworkType::Vlan => {
            let id = network.segment.segmentation_id.and_then(|id| u16::try_from(id.get()).ok());
            id.map(|id| (frame().vlan_vid(id), tag())).into_iter().collect()
        }
        NetworkType::Flat => {
            let push = vec![Action::PushVlan(VLAN_ETHERTYPE), set_vlan(network.vlan)];
            vec![(frame().vlan_absent(), push), (frame().vlan_vid(PRIORITY_TAG), tag())]
        }
        // The tunnel bridge has given it already.
        NetworkType::Vxlan | NetworkType::Gre | NetworkType::Geneve => {
            vec![(frame().vlan_vid(network.vlan.get()), vec![])]
        }
        NetworkType::Local => Vec::new(),
    }
}

/// To a multicast address or to everybody.
pub(super) fn to_group(frame: Match) -> Match {
    frame.eth_dst_masked(GROUP_BIT, GROUP_BIT)
}

/// The way in from each port, and the way to it.
pub(super) fn ports(ports: &[Resolved<'_>], flows: &mut FlowSet) {
    let claims = sharing::claims(ports);
    for resolved in ports {
        sources(resolved, &claims, flows);
    }
    for ((vlan, mac), ports) in &claims {
        match ports.as_slice() {
            [only] if !only.local.standby => destination(only, *mac, flows),
            several => sharing::destination(*vlan, *mac, several, flows),
        }
    }
}

/// Every MAC address that frames for the port may have, its own first.
pub(super) fn macs(resolved: &Resolved<'_>) -> Vec<MacAddr> {
    let port = &resolved.local.port;
    let mut macs = vec![port.mac];
    if port.security == PortSecurity::Enabled {
        macs.extend(port.pairs.iter().map(|pair| pair.mac));
        macs.dedup();
        macs.sort_unstable_by_key(|mac| (*mac != port.mac, *mac));
        macs.dedup();
    }
    macs
}

fn sources(resolved: &Resolved<'_>, claims: &Claims<'_>, flows: &mut FlowSet) {
    let port = &resolved.local.port;
    let ofport = resolved.local.ofport.get();
    let owner = Owner::port(port.id);
    let frame = Match::new().in_port(ofport.into());
    let mut context =
        vec![load(layout::PORT, ofport), load(layout::NETWORK, resolved.network.vlan.get())];
    let is_shared = |mac| sharing::is_shared(claims, resolved.network.vlan, mac);
    if resolved.is_unmanaged() {
        if is_shared(port.mac) {
            let mut actions = context.clone();
            actions.extend([load(layout::SHARED_SOURCE, 1_u8), goto(LEARN)]);
            let from_own = frame.clone().eth_src(port.mac.octets());
            put(flows, owner, TRANSIENT, priority::PORT_WITH_MAC, from_own, actions);
        }
        context.push(goto(LEARN));
        put(flows, owner, TRANSIENT, priority::PORT, frame, context);
        return;
    }
    // Netfilter does not look into a frame with a tag, not even one that says a priority alone.
    if resolved.local.is_behind_netfilter() {
        let tagged = frame.clone().vlan_present();
        let refused = refuse(DropReason::Tagged);
        put(flows, owner, TRANSIENT, priority::UNSEEN_BY_NETFILTER, tagged, refused);
    }
    match resolved.policy {
        Some(policy) => {
            context.push(load(layout::POLICY, policy.0));
            if resolved.stateless {
                context.push(load(layout::STATELESS_SENDER, 1_u8));
            }
        }
        None => context.push(load(layout::CHECKED_SENDER, 1_u8)),
    }
    for mac in macs(resolved) {
        let mut actions = context.clone();
        let is_ipv4 = |pair: &AddressPair| pair.prefix.ethertype() == EtherType::Ipv4;
        if port.pairs.iter().any(|pair| pair.mac == mac && is_ipv4(pair)) {
            actions.push(load(layout::HAS_IPV4, 1_u8));
        }
        if mac == port.mac {
            actions.push(load(layout::OWN_MAC, 1_u8));
        }
        if is_shared(mac) {
            actions.push(load(layout::SHARED_SOURCE, 1_u8));
        }
        actions.push(goto(BASE_EGRESS));
        let from_mac = frame.clone().eth_src(mac.octets());
        put(flows, owner, TRANSIENT, priority::PORT, from_mac, actions);
    }
}

/// On to 171 whatever the source MAC, so without the context that [`sources`] gives.
pub(super) fn from_any_mac() -> Vec<Action> {
    let take_port =
        Action::Move { src: Subfield::new(Field::IN_PORT, 0, 15), dst: layout::PORT_NUMBER };
    vec![take_port, goto(BASE_EGRESS)]
}

fn destination(resolved: &Resolved<'_>, mac: MacAddr, flows: &mut FlowSet) {
    let owner = Owner::port(resolved.local.port.id);
    let frame = Match::new()
        .field(layout::NETWORK, resolved.network.vlan.get().into())
        .eth_dst(mac.octets());
    put(flows, owner, ACCEPT_OR_INGRESS, priority::PORT, frame, delivery(resolved));
}

/// On to the port.
pub(super) fn delivery(resolved: &Resolved<'_>) -> Vec<Action> {
    let mut actions = qos::to_port(resolved);
    actions.push(load(layout::PORT, resolved.local.ofport.get()));
    match resolved.policy {
        Some(policy) => {
            actions.push(load(layout::POLICY, policy.0));
            if resolved.stateless {
                actions.push(load(layout::STATELESS_RECEIVER, 1_u8));
            }
        }
        None if resolved.local.is_behind_netfilter() => {
            actions.push(load(layout::BEHIND_NETFILTER, 1_u8));
        }
        None => actions.push(load(layout::TO_LOCAL, 1_u8)),
    }
    actions.push(qos::onward(resolved, delivering(resolved)));
    actions
}

/// The table that a frame for the port goes on in.
pub(super) fn delivering(resolved: &Resolved<'_>) -> TableId {
    let has_rules = resolved.policy.is_some() || resolved.local.is_behind_netfilter();
    if has_rules { BASE_INGRESS } else { ACCEPTED_EGRESS }
}

/// The packets whose acceptance conntrack must be told of: the first of a connection, and one of
/// a connection that had lost its rule. Each family by itself, because `ct` needs one.
pub(super) fn to_commit(ethertype: u16) -> [Match; 2] {
    let packet = Match::new().eth_type(ethertype);
    let new = packet.clone().ct_state(CtState::TRK | CtState::NEW, CtState(0));
    let tracked = packet.ct_state(CtState::TRK | CtState::EST, CtState(0));
    [new, tracked.ct_mark(MARK_REVOKED)]
}

/// Used by the other stages: a packet that is accepted without rules.
pub(super) fn accepted() -> Vec<Action> {
    vec![resubmit(ACCEPT_OR_INGRESS)]
}
