//! Table 10: who is behind which tunnel, learned from the frames that come from there into table
//! 20. It is what finds those of whom the server says nothing: an allowed address pair, whoever is
//! behind a port without port security, and everybody where there is no l2population. What the
//! server has said stands above what was learned, so it needs no exception here.
//!
//! Learned flows hold the key of the network. They go with the flow that has learned them, and
//! have the key in their cookie: another network in the same local VLAN, or another key of the same
//! network, finds nothing of what was learned before.

use model::OfPort;
use openflow::{Action, Field, Learn, LearnSpec, Match, Subfield};

use super::super::build::{ARP, icmpv6, output, put};
use super::super::layout::Owner;
use super::super::layout::tunnel::{
    ANNOUNCEMENT, KNOWN, LEARN_FROM_TUN, LEARNED, MISS, UCAST_TO_TUN,
};
use super::super::switching::GROUP_BIT;
use super::Place;
use crate::FlowSet;

/// For how many seconds after the last frame somebody is remembered.
const AGING: u16 = 300;
/// How many are remembered of a network. Beyond that, who is new is flooded to; so nobody can fill
/// the switch.
const MOST: u32 = 4096;

/// What is the same for every network.
pub(super) fn base(patch: OfPort, flows: &mut FlowSet) {
    put(flows, Owner::BASE, LEARN_FROM_TUN, MISS, Match::new(), vec![output(patch)]);
}

/// Learns from the frames of a network and passes them on.
pub(super) fn network(place: &Place<'_>, patch: OfPort, flows: &mut FlowSet) {
    let mut add = |priority, matches| {
        let actions = vec![learn(place), output(patch)];
        put(flows, place.owner(), LEARN_FROM_TUN, priority, matches, actions);
    };
    // Only one can be reached by unicast.
    let by_one = |frame: Match| frame.vlan_vid(place.vlan.get()).eth_src_masked([0; 6], GROUP_BIT);
    add(KNOWN, by_one(Match::new()));
    // Apart from the rest, so that the datapath has no verdict for them that it made for other
    // frames of the sender: one that has just moved is learned from its first word.
    let everybody = u128::from(u64::MAX >> 16);
    let gratuitous = Match::new().eth_type(ARP).with(Field::ARP_THA, everybody);
    for announcement in [gratuitous, icmpv6(ROUTER_ADVERTISEMENT), icmpv6(NEIGHBOUR_ADVERTISEMENT)]
    {
        add(ANNOUNCEMENT, by_one(announcement));
    }
}

const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// Frames of the network for who has sent this one go back through the tunnel that it came by.
fn learn(place: &Place<'_>) -> Action {
    let whole = Subfield::whole;
    let vlan = Subfield::new(Field::VLAN_TCI, 0, 11);
    Action::Learn(Box::new(Learn {
        table: UCAST_TO_TUN,
        priority: LEARNED,
        cookie: Owner::learned_from_tunnels(place.vlan, place.network.segmentation_id).cookie(),
        idle_timeout: 0,
        hard_timeout: AGING,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        send_flow_rem: false,
        delete_learned: true,
        limit: MOST,
        specs: vec![
            LearnSpec::Match { dst: vlan, src: vlan },
            LearnSpec::Match { dst: whole(Field::ETH_DST), src: whole(Field::ETH_SRC) },
            LearnSpec::LoadValue { dst: whole(Field::VLAN_TCI), value: 0 },
            LearnSpec::Load { dst: whole(Field::TUN_ID), src: whole(Field::TUN_ID) },
            LearnSpec::Output(Subfield::new(Field::IN_PORT, 0, 15)),
        ],
    }))
}
