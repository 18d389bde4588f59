//! Tables 181 and 185: what reaches a managed port without rules, and delivery.

use openflow::{Action, CtState, Match};

use super::build::{
    ARP, IPV4, IPV6, VLAN_ETHERTYPE, commit, goto, icmpv6, load, put, refuse, reinstate, resubmit,
    track, udp,
};
use super::layout::{
    self, ACCEPTED_INGRESS, BASE_INGRESS, DELIVER, DropReason, Owner, REMOTE_INGRESS, priority,
};
use super::switching::{SERVICE_VLAN_ETHERTYPE, to_commit};
use crate::{FlowSet, PermittedEtherType};

/// MLD query, router advertisement, neighbour solicitation and advertisement.
const HOUSEKEEPING: [u8; 4] = [130, 134, 135, 136];

/// What is the same for every port, which is all of it: `reg5` says where to deliver.
pub(super) fn base(flows: &mut FlowSet) {
    let mut add = |table, priority, matches, actions| {
        put(flows, Owner::BASE, table, priority, matches, actions);
    };
    let any = Match::new;

    let strip = vec![Action::PopVlan, resubmit(BASE_INGRESS)];
    add(BASE_INGRESS, priority::FIRST, any().vlan_present(), strip);
    // What was within a tag and is one too is not for netfilter's eyes.
    for tag in [VLAN_ETHERTYPE, SERVICE_VLAN_ETHERTYPE] {
        let tagged = any().eth_type(tag).field(layout::BEHIND_NETFILTER, 1);
        add(BASE_INGRESS, priority::EARLY, tagged, refuse(DropReason::EtherType));
    }
    let to_netfilter = any().field(layout::BEHIND_NETFILTER, 1);
    add(BASE_INGRESS, priority::TO_NETFILTER, to_netfilter, vec![goto(DELIVER)]);
    add(BASE_INGRESS, priority::WITHOUT_RULES, any().eth_type(ARP), vec![deliver()]);
    for packet in without_rules() {
        add(BASE_INGRESS, priority::WITHOUT_RULES, packet, vec![deliver()]);
    }
    for ethertype in [IPV4, IPV6] {
        let packet = any().eth_type(ethertype);
        let untracked = packet.clone().ct_state(CtState(0), CtState::TRK);
        let untracked = untracked.field(layout::STATELESS_RECEIVER, 0);
        let to_class = |on| forget_sets().chain([on]).collect();
        add(BASE_INGRESS, priority::UNSEEN, untracked, to_class(track(REMOTE_INGRESS)));
        // Tracked while leaving its local sender, in the same zone; or for a stateless receiver,
        // whose rules do not look at the connection. Table 185 commits it for the sender.
        add(BASE_INGRESS, priority::SEEN, packet, to_class(goto(REMOTE_INGRESS)));
    }
    add(BASE_INGRESS, priority::MISS, any(), refuse(DropReason::EtherType));

    for ethertype in [IPV4, IPV6] {
        let [new, stale] = to_commit(ethertype);
        add(DELIVER, priority::NEW, new, vec![commit(), deliver(), goto(ACCEPTED_INGRESS)]);
        add(DELIVER, priority::STALE, stale, vec![reinstate(), deliver()]);
    }
    add(DELIVER, priority::MISS, any(), vec![deliver()]);
}

/// Frames of this EtherType reach managed ports unchecked.
pub(super) fn permitted(ethertype: PermittedEtherType, flows: &mut FlowSet) {
    let frame = Match::new().eth_type(ethertype.get());
    put(flows, Owner::BASE, BASE_INGRESS, priority::WITHOUT_RULES, frame, vec![deliver()]);
}

/// Takes away what the destination belongs to, because entries load no zeros.
pub(super) fn forget_sets() -> impl Iterator<Item = Action> {
    layout::SETS.into_iter().map(|word| load(word, 0_u8))
}

/// IP packets that reach managed ports whatever rules they have.
pub(super) fn without_rules() -> impl Iterator<Item = Match> {
    let replies = [udp(IPV4, 67, 68), udp(IPV6, 547, 546)];
    HOUSEKEEPING.into_iter().map(icmpv6).chain(replies)
}

fn deliver() -> Action {
    Action::OutputField(layout::PORT)
}
