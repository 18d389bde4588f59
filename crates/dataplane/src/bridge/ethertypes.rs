//! EtherTypes at ports that netfilter filters, where both drivers are to give one verdict.
//!
//! Netfilter is shown IP, and flows look at ARP; whatever else there is passes such a port. With
//! the option `strict_equivalence` it does not, as at a managed port, unless it is permitted. Group
//! frames that are neither IP nor ARP go to every port in either case.

use openflow::Match;

use super::Resolved;
use super::build::{ARP, IPV4, IPV6, goto, put, refuse};
use super::layout::{self, BASE_EGRESS, BASE_INGRESS, DELIVER, DropReason, Owner, priority};
use super::switching::accepted;
use crate::{FlowSet, Snapshot};

/// The flows that refuse other EtherTypes.
pub(super) fn filter(snapshot: &Snapshot, ports: &[Resolved<'_>], flows: &mut FlowSet) {
    let permitted = || snapshot.permitted_ethertypes.iter().map(|permitted| permitted.get());
    let mut filtered = ports.iter().filter(|it| it.local.is_behind_netfilter()).peekable();
    if filtered.peek().is_none() {
        return;
    }
    let sender = || Match::new().field(layout::CHECKED_SENDER, 1);
    // ARP and RARP have flows of their own, by the addresses of each port.
    for ethertype in [IPV4, IPV6].into_iter().chain(permitted()) {
        let frame = sender().eth_type(ethertype);
        put(flows, Owner::BASE, BASE_EGRESS, priority::FROM_NETFILTER, frame, accepted());
    }
    let receiver = || Match::new().field(layout::BEHIND_NETFILTER, 1);
    for ethertype in [ARP, IPV4, IPV6].into_iter().chain(permitted()) {
        let (frame, deliver) = (receiver().eth_type(ethertype), vec![goto(DELIVER)]);
        put(flows, Owner::BASE, BASE_INGRESS, priority::TO_NETFILTER_KNOWN, frame, deliver);
    }
    let refused = || refuse(DropReason::EtherType);
    let other = priority::TO_NETFILTER_OTHER;
    put(flows, Owner::BASE, BASE_INGRESS, other, receiver(), refused());
    // Ports that nobody filters may send it.
    for resolved in filtered {
        let owner = Owner::port(resolved.local.port.id);
        let frame = sender().field(layout::PORT, resolved.local.ofport.get().into());
        let other = priority::FROM_NETFILTER_OTHER;
        put(flows, owner, BASE_EGRESS, other, frame, refused());
    }
}
