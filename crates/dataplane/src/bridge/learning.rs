//! Tables 163, 195 and 196: unicast for somebody who is no port of this node, on a network that has
//! an unmanaged port here.
//!
//! Who is behind an unmanaged port only its frames say. So frames of unmanaged ports and of the
//! uplink are learned from (163), as NORMAL does it; but what nobody was heard with goes to those
//! ports and the uplink, one by one, and never to a managed port (196).
//!
//! A learned flow (195) says a port number and nothing else. What it is good for is said by flows
//! that are ours, so a port that has gone, or has become a managed one, gets nothing by it.

use model::OfPort;
use openflow::{Action, Match};

use super::Resolved;
use super::build::{Memory, goto, learn, load, output, put, refuse_back, resubmit, to_uplink};
use super::layout::{
    self, ACCEPT_OR_INGRESS, ACCEPTED_EGRESS_NORMAL, DropReason, LEARN, LEARNED, Owner,
    UNICAST_ELSEWHERE, priority,
};
use super::switching::GROUP_BIT;
use crate::{FlowSet, LocalNetwork};

/// For how long NORMAL remembers an address after the last frame that had it as its source.
const AGING: u16 = 300;
/// How many addresses of a network are remembered. Beyond that a new one is nobody's, and its
/// frames go to all of [`UNICAST_ELSEWHERE`]; so nobody can fill the switch.
const MOST: u32 = 4096;

/// What is the same on every node.
pub(super) fn base(flows: &mut FlowSet) {
    let on = vec![goto(ACCEPT_OR_INGRESS)];
    put(flows, Owner::BASE, LEARN, priority::MISS, Match::new(), on);
    let nobody = refuse_back(DropReason::NoDestination);
    put(flows, Owner::BASE, UNICAST_ELSEWHERE, priority::MISS, Match::new(), nobody);
}

/// A network with these unmanaged ports, at least one.
pub(super) fn network(
    network: &LocalNetwork,
    unmanaged: &[&Resolved<'_>],
    uplink: Option<OfPort>,
    flows: &mut FlowSet,
) {
    let owner = Owner::network(network.vlan);
    let here = || Match::new().field(layout::NETWORK, network.vlan.get().into());
    let nobody = || refuse_back(DropReason::NoDestination);

    let by_one = here().eth_src_masked([0; 6], GROUP_BIT);
    let memory = Memory { owner: Owner::learned(network.vlan), seconds: AGING, most: MOST };
    let learned = vec![learn(LEARNED, memory), goto(ACCEPT_OR_INGRESS)];
    put(flows, owner, LEARN, priority::PORT, by_one, learned);
    let look_up = vec![load(layout::PORT, 0_u8), resubmit(LEARNED), goto(UNICAST_ELSEWHERE)];
    put(flows, owner, ACCEPTED_EGRESS_NORMAL, priority::LEARNED, here(), look_up);

    // The way to each, and the way to all of them: the uplink comes last, because it needs a tag.
    let ports = unmanaged.iter().map(|resolved| {
        let local = resolved.local;
        (local.ofport, Owner::port(local.port.id), vec![output(local.ofport)])
    });
    let uplink = uplink.map(|uplink| (uplink, owner, to_uplink(network.vlan, uplink)));
    let ways: Vec<(OfPort, Owner, Vec<Action>)> = ports.chain(uplink).collect();
    let mut all = Vec::new();
    for (ofport, owner, way) in &ways {
        let learned = here().field(layout::PORT, ofport.get().into());
        let back = learned.clone().in_port(ofport.get().into());
        put(flows, *owner, UNICAST_ELSEWHERE, priority::EARLY, back, nobody());
        put(flows, *owner, UNICAST_ELSEWHERE, priority::PORT, learned, way.clone());
        all.extend(way.iter().cloned());
    }
    if let [(only, owner, _)] = ways.as_slice() {
        let back = here().in_port(only.get().into());
        put(flows, *owner, UNICAST_ELSEWHERE, priority::BACK, back, nobody());
    }
    put(flows, owner, UNICAST_ELSEWHERE, priority::NETWORK, here(), all);
}
